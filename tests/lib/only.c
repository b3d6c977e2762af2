/*
 * tests/lib/only.c - the one test of a program that is to be run
 *
 * Runs in:   unit tests
 * Input:     POSTERN_ONLY (tests/lib/tap.py)
 * May touch: cmocka's filter
 * Must not:  be more than that
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

__attribute__((constructor)) static void only(void)
{
	cmocka_set_test_filter(getenv("POSTERN_ONLY"));
}
