/*
 * ctl/trail.h - where records come from: the journal, or a file of JSON lines
 *
 * Runs in:   posternctl, as the user who calls it
 * Input:     none; declarations
 * May touch: nothing
 * Must not:  be linked into the agent
 */
#ifndef POSTERN_CTL_TRAIL_H
#define POSTERN_CTL_TRAIL_H

#include <poll.h>
#include <sys/types.h>

#include "ctl/record.h"

struct trail {
	/* The next record. 1; 0: there is none (yet); -1: a line was printed. */
	int (*next)(struct trail *t, struct record *r);
	/* What tells of more: fills P (fd -1: nothing does), returns milliseconds. */
	int (*watch)(struct trail *t, struct pollfd *p);
	/* That, or the time, has come. 0; -1: a line was printed. */
	int (*woken)(struct trail *t);
	void (*end)(struct trail *t);
	uint64_t bad; /* what was there and is no record */
	bool over;    /* nothing more can come */
	/* Of texts that are no JSON, each \xNN is a byte, a backslash as well. */
	bool escapes;
};

/* What is asked of both. */
struct trail_options {
	const char *directory; /* of journal files; NULL: this machine's journal */
	const char *file;      /* JSON lines instead; "-": standard input */
	uid_t uid;             /* whose records of the journal are believed */
	bool follow;           /* there will be a wait for more */
	const struct filter *filter;
};

/* NULL: a line was printed. */
struct trail *journal_open(const struct trail_options *o);
struct trail *lines_open(const struct trail_options *o);

static inline void trail_end_p(struct trail **t)
{
	if (*t)
		(*t)->end(*t);
	*t = NULL;
}

#endif
