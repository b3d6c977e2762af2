/*
 * ctl/limits.h - how far what is allowed may go: the limits that hold together, as text
 *
 * Runs in:   posternctl, tests
 * Input:     a policy that was opened, a decision of it
 * May touch: the buffer it is handed
 * Must not:  tell two limits apart that mean the same
 */
#ifndef POSTERN_CTL_LIMITS_H
#define POSTERN_CTL_LIMITS_H

#include "policy/policy.h"

/* Limits by index, below limits_count(): those of keys, and last these. */
size_t limits_count(void);

/* As it is written in a policy. */
const char *limit_name(size_t limit);

/* Does the limit mean anything to OP? */
bool limit_is_of(size_t limit, uint32_t op);

/* Does KEY limit or shape what is allowed of OP? */
bool limit_of_key(enum key key, uint32_t op);

/*
 * What holds of LIMIT for what A allowed, over all rules that matched: with lists sorted
 * and what is not said as what it means then. Nothing: there is no limit.
 */
void limit_text(const struct policy *p, const struct policy_answer *a, size_t limit,
		struct wbuf *w);

#endif
