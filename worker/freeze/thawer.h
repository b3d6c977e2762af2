/*
 * worker/freeze/thawer.h - the process that thaws, whoever else is gone
 *
 * Runs in:   thawer: a child of the worker that outlives it, with CAP_SYS_ADMIN
 * Input:     orders of the worker, or of the next one; the clock
 * May touch: the superblocks it was given; the record of the freeze
 * Must not:  write to a file system, wait for one, believe anybody but root
 *
 * It is forked before the first superblock is frozen, and so is a helper, for a fork may
 * have to wait for the thaw; it ends when the last is thawed.
 * It thaws when it is told to; at the deadline; when the worker dies before the freeze is
 * complete; when no worker is there for ADOPT_MS afterwards. What it knows stands in
 * memory that it shares with the worker and that outlives both (ipc/state.h), so another
 * thawer can go on where this one was killed.
 *
 * The next worker finds it by a socket of its own (SEQPACKET) and is sent the
 * superblocks, one FRAME_HOLD each, after one with the listening socket itself. Orders
 * and answers are FRAME_THAW and FRAME_THAWED.
 */
#ifndef POSTERN_WORKER_THAWER_H
#define POSTERN_WORKER_THAWER_H

#include "ipc/state.h"
#include "ipc/sys.h"
#include "worker/fork.h"

/* Without a worker, for so long. */
#define ADOPT_MS 10000
/* A thaw that takes longer is left behind; others go on with the rest. */
#define HANG_MS 1000
/* Processes that thaw at the same time, those left behind included. */
#define HELPERS_MAX 16
/* After a thaw that failed. */
#define THAW_RETRY_MS 5000

/* Its descriptors. */
#define THAWER_WORKER   CHILD_FD_FIRST
#define THAWER_LISTENER (CHILD_FD_FIRST + 1)
#define THAWER_FREEZER  (CHILD_FD_FIRST + 2) /* hangs up when the freezer has ended */
#define THAWER_FIRST    (CHILD_FD_FIRST + 3) /* superblocks, by their index */

struct thawer {
	struct state *state;
	const struct sys_ops *ops;
	bool has_listener;
	bool has_freezer;
};

/* Of which superblocks is it said that they are in one of the MARKS (a bit each)? */
uint32_t thawer_count(const struct freeze_record *r, uint32_t marks);
#define MARK(mark) (1u << MARK_##mark)

_Noreturn void thawer_run(const struct thawer *t);

#endif
