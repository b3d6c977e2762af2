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
 * A pattern; so many bytes of it, from the first, as are literals without a backslash. A
 * text that begins otherwise is none of its own, and that is nearly every text.
 */
struct pattern {
	const char *p;
	size_t len;
	size_t literal;
};

struct pattern pattern_of(const char *p, size_t len);

/* Does TEXT begin as PATTERN does, and is it as long as that if there is nothing more? */
static inline bool pattern_begins(const struct pattern *pattern, const char *text,
				  size_t len)
{
	const size_t literal = pattern->literal;

	if (len < literal || (literal == pattern->len && len != literal))
		return false;
	/* Most differ at once. */
	return !literal ||
	       (pattern->p[0] == text[0] && !memcmp(pattern->p, text, literal));
}

/* The same from the first wildcard or backslash on, of a TEXT that begins as PATTERN. */
bool pattern_rest(const struct pattern *pattern, const char *text, size_t len,
		  uint64_t *steps);

/*
 * Does PATTERN match the whole of TEXT? STEPS, if not NULL, grows by the steps taken: at
 * most PATTERN_STEPS per byte of both, and a constant.
 */
#define PATTERN_STEPS 100
static inline bool pattern_match(const struct pattern *pattern, const char *text,
				 size_t len, uint64_t *steps)
{
	uint64_t steps_here = pattern->literal + 1;
	bool is_whole = pattern_begins(pattern, text, len);

	if (is_whole && pattern->literal < pattern->len)
		is_whole = pattern_rest(pattern, text, len, &steps_here);
	if (steps)
		*steps += steps_here;
	return is_whole;
}

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
