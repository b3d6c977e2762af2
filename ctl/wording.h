/*
 * ctl/wording.h - rules and constraints in the words of a policy
 *
 * Runs in:   posternctl, tests
 * Input:     a policy that was opened
 * May touch: the buffer it is handed
 * Must not:  word what a policy file could not say
 *
 * The texts are those of the policy: for a terminal they are escaped by who prints them.
 */
#ifndef POSTERN_CTL_WORDING_H
#define POSTERN_CTL_WORDING_H

#include "policy/policy.h"

/* "key = value ; value", as it stands in a policy. */
void put_constraint(struct wbuf *w, const struct policy *p,
		    const struct image_constraint *c);

/* One value of a key of this ROW, which takes no words. */
void put_value(struct wbuf *w, const struct policy *p, const struct key_row *row,
	       const struct image_value *v);

/* Those of WORDS whose bit is set: "create ; replace". */
void put_words(struct wbuf *w, const char *words, uint64_t bits);

/* "FILE:LINE", or the file alone for line 0. */
void put_place(struct wbuf *w, const char *file, uint32_t line);

#endif
