/*
 * ctl/fragment.h - candidates as text of a policy, and as JSON
 *
 * Runs in:   posternctl, as the user who calls it
 * Input:     candidates: texts of the host among them
 * May touch: the structs it is handed
 * Must not:  write a rule that does not allow what was seen, or that is no policy
 */
#ifndef POSTERN_CTL_FRAGMENT_H
#define POSTERN_CTL_FRAGMENT_H

#include "ctl/candidates.h"

struct fragment {
	struct wbuf text; /* of a policy file */
	struct wbuf json; /* elements of an array */
	uint64_t rules;   /* that are in force */
	uint64_t unsaid;  /* requests that have none, or one to be filled in */
	uint64_t cut;     /* requests that a file had no room for */
};

/* 0; -1: a line was printed. End with fragment_done. */
int fragment_build(struct fragment *f, struct candidates *c);
void fragment_done(struct fragment *f);

#endif
