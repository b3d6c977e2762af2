/*
 * policy/pattern.h - globs over one argument, and over a list of them
 *
 * Runs in:   worker, frontend, posternctl
 * Input:     patterns of the administrator (checked); texts of the host: hostile
 * May touch: the stack
 * Must not:  allocate, take more than a constant number of steps per byte
 *
 * A pattern is a literal with `?` (one byte but "/"), `*` (any bytes but "/"), `**` (any
 * bytes), `[a-z0-9]` or `[!...]` (one byte of these but "/"), a backslash before a byte
 * that shall mean itself. `{a|b}` is taken apart by the parser (pattern_expand), so it
 * does not occur here. A wildcard at the start does not match a leading "-".
 */
#ifndef POSTERN_POLICY_PATTERN_H
#define POSTERN_POLICY_PATTERN_H

#include "ipc/wire.h"

/* Elements (bytes, classes, wildcards) from the first wildcard of a pattern on. */
#define PATTERN_TAIL_MAX 255
/* Patterns that one with `{a|b}` may stand for. */
#define PATTERN_EXPAND_MAX 64

/* NULL, or what is wrong with the pattern: static text. `{` and `|` are literals here. */
const char *pattern_check(const char *p, size_t len);

/*
 * Does PATTERN match the whole of TEXT? STEPS, if not NULL, grows by the steps taken: at
 * most PATTERN_STEPS per byte of both, and a constant.
 */
#define PATTERN_STEPS 100
bool pattern_match(const char *pattern, size_t pattern_len, const char *text,
		   size_t text_len, uint64_t *steps);

/* An element of a pattern: the bytes that it takes, and whether it takes any number. */
struct pattern_element {
	uint64_t bytes[4];
	bool many;
};

/* Take one element off *P, a checked pattern that ends at END; false: there is none. */
bool pattern_element(const char **p, const char *end, struct pattern_element *out);

/*
 * Take `{a|b}` groups apart: EACH is called with every pattern that P stands for. Groups
 * do not nest. NULL, or what is wrong: static text.
 */
const char *pattern_expand(const char *p, size_t len,
			   bool (*each)(void *arg, const char *p, size_t len), void *arg);

#endif
