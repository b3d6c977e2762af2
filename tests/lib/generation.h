/*
 * tests/lib/generation.h - a policy in force, for tests of the worker's parts
 *
 * Runs in:   unit tests
 * Input:     none
 * May touch: memory
 * Must not:  map anything: its policy's image is the test's
 */
#ifndef POSTERN_TESTS_GENERATION_H
#define POSTERN_TESTS_GENERATION_H

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "worker/generation.h"

/* The first, whose policy the test fills in. End with generation_drop. */
static inline struct generation *generation_blank(void)
{
	struct generation *g = calloc(1, sizeof(*g));

	if (!g)
		abort();
	*g = (struct generation){.number = 1, .users = 1, .fd = -1, .map = MAP_FAILED};
	strcpy(g->digest, "d16e57");
	return g;
}

#endif
