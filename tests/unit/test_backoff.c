/*
 * tests/unit/test_backoff.c - delays before the next try
 *
 * Runs in:   the test program
 * Input:     none
 * May touch: nothing
 * Must not:  wait
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ipc/util.h"
#include "supervisor/backoff.h"

/* Any clock: the back-off must not need one that starts at zero. */
#define NOW 500000

static void test_failing_at_once(void **state)
{
	static const uint32_t delays[] = {0,    0,    0,    100,   200,   400,   800,
					  1600, 3200, 6400, 10000, 10000, 10000, 10000};
	struct backoff b = {.max_ms = 10000};
	uint64_t now = NOW;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(delays); i++) {
		assert_int_equal(backoff_next(&b, now), delays[i]);
		now += delays[i] + 1; /* a start that fails after a millisecond */
	}
}

static void test_reset_after_quiet(void **state)
{
	struct backoff b = {.max_ms = 10000};
	uint64_t now = NOW;

	(void)state;
	for (int i = 0; i < 6; i++)
		now += backoff_next(&b, now);
	assert_int_equal(backoff_next(&b, now + BACKOFF_RESET_MS - 1), 800);
	now += BACKOFF_RESET_MS - 1 + 800;
	assert_int_equal(backoff_next(&b, now + BACKOFF_RESET_MS), 0);
	assert_int_equal(b.failures, 1);
}

static void test_limit(void **state)
{
	struct backoff b = {.max_ms = 250};
	uint64_t now = NOW;

	(void)state;
	for (int i = 0; i < BACKOFF_AT_ONCE; i++)
		assert_int_equal(backoff_next(&b, now), 0);
	assert_int_equal(backoff_next(&b, now), 100);
	assert_int_equal(backoff_next(&b, now), 200);
	assert_int_equal(backoff_next(&b, now), 250);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_failing_at_once),
		cmocka_unit_test(test_reset_after_quiet),
		cmocka_unit_test(test_limit),
	};

	return cmocka_run_group_tests_name("backoff", tests, NULL, NULL);
}
