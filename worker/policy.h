/*
 * worker/policy.h - where the policy comes from
 *
 * Runs in:   worker, before it is sealed; the reading in a child of it
 * Input:     the command line of the supervisor; policy files, in the child
 * May touch: the policy of the worker
 * Must not:  read a file in the worker: a hung /etc must not hang it
 */
#ifndef POSTERN_WORKER_POLICY_H
#define POSTERN_WORKER_POLICY_H

#include "worker/worker.h"

struct policy_from {
	const char *profile; /* this built-in profile and no files; NULL: the files */
	const char *root;    /* directory beneath which the files are; NULL: "/" */
	uint64_t denied;     /* operations that lists of the command line take away */
};

/* For a child to have read the files. */
#define POLICY_READ_MS 10000

/*
 * Load the policy into W, or lock it down: with any mistake, or one that takes too long
 * to read, only session commands are allowed, and the log says why. 0, or -1 with errno:
 * not even that is possible.
 */
int worker_policy_load(struct worker *w, const struct policy_from *from);

#endif
