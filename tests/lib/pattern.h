/*
 * tests/lib/pattern.h - does a pattern match?
 *
 * Runs in:   tests, fuzzers
 * Input:     any pattern and text
 * May touch: nothing
 * Must not:  outlive the texts
 */
#ifndef POSTERN_TESTS_LIB_PATTERN_H
#define POSTERN_TESTS_LIB_PATTERN_H

#include "policy/pattern.h"

static inline bool matches_text(const char *p, size_t p_len, const char *text, size_t len,
				uint64_t *steps)
{
	const struct pattern pattern = pattern_of(p, p_len);

	return pattern_match(&pattern, text, len, steps);
}

#endif
