/*
 * worker/fork.h - a child of the worker: few descriptors, few capabilities, one filter
 *
 * Runs in:   worker; the second half in the child
 * Input:     the row's capabilities, the descriptors it needs
 * May touch: the process it made
 * Must not:  let a child keep what its row does not name
 */
#ifndef POSTERN_WORKER_FORK_H
#define POSTERN_WORKER_FORK_H

#include <stdbool.h>

#include "ipc/loop.h"
#include "ipc/state.h"
#include "worker/fences.h"

/* The first descriptor of those that a child was given to keep. */
#define CHILD_FD_FIRST 3
#define CHILD_FDS_MAX  (SUPERBLOCKS_MAX + 4)

/* A child that runs, or has not yet been seen to end. */
struct child {
	struct source exit; /* its pidfd; owned */
	struct loop *loop;
	/* Called once, when it ended and was reaped: si_code and si_status of waitid(2).
	 */
	void (*on_exit)(struct child *c, int code, int status);
};

enum fork_side { FORK_FAILED = -1, FORK_CHILD, FORK_WORKER };

/* What a child is given. */
struct fork_plan {
	const int *keep; /* descriptors, which become CHILD_FD_FIRST and following */
	size_t n_keep;
	uint64_t caps;         /* capabilities it keeps */
	uint32_t roles;        /* its filter: SC_ROLE bits */
	struct fences *fences; /* its own is among these */
	bool stderr;           /* keeps 2; else that is /dev/null */
	bool outlives;         /* goes on when the worker dies; else it dies with it */
};

/*
 * Fork. In the child, everything is as PLAN says and nothing else is left, and the filter
 * is entered (a child that cannot be sealed exits with EXIT_SEAL). In the worker: C is
 * filled and watched; it must stay until on_exit. On failure C is not watched.
 */
enum fork_side worker_fork(struct child *c, struct loop *loop,
			   const struct fork_plan *plan,
			   void (*on_exit)(struct child *c, int code, int status));

/*
 * fork(2) that hands out the pidfd at once. So no process number is ever looked up, and
 * the filter need not let anybody open a pidfd: one can signal nobody but one's children.
 * 0 in the child, -1 with errno.
 */
long fork_with_pidfd(int *pidfd);

/* In a child: die with the process PARENT that forked it. False: it is gone already. */
bool fork_tie(pid_t parent);

/* SIGKILL. The child may still be there for long: in a system call that hangs. */
void child_kill(struct child *c);

#endif
