/*
 * worker/repeats.h - equal requests that leave one record and a count
 *
 * Runs in:   worker
 * Input:     requests and verdicts; what an earlier worker counted
 * May touch: the counts in struct state, which outlive the worker; the audit trail
 * Must not:  take two requests for equal that a record would tell apart
 *
 * A host polls: the first of equal reads is recorded in full, the others are counted, and
 * when an interval is over their number is recorded (AUDIT.md, rules). So are refusals
 * for which there is little room: while file systems are frozen, and of what cannot be
 * recorded.
 */
#ifndef POSTERN_WORKER_REPEATS_H
#define POSTERN_WORKER_REPEATS_H

#include "worker/worker.h"

/* Before the first request: what an earlier worker counted is told soon. 0, or -1. */
int repeats_init(struct worker *w);

/*
 * The count that a request is part of, if an equal one was recorded; NULL: it is to be
 * recorded itself, and those that follow will be equal to it. ARGS: as on the wire, or
 * NULL.
 */
struct repeat *repeat_of(struct worker *w, const struct asked *q, const struct verdict *v,
			 const struct rbuf *args);

/* One of R has ended. */
void repeat_ended(struct repeat *r, bool well);

/* Nothing is frozen any more, or we end: tell all counts. */
void repeats_tell(struct worker *w);

/* The same; and what comes is by another policy, and equal to nothing so far. */
void repeats_close(struct worker *w);

#endif
