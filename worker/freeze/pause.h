/*
 * worker/freeze/pause.h - where a test can have a freeze wait, to kill who is to be
 * killed there
 *
 * Runs in:   worker, thawer; it does something in a build with POSTERN_TEST_OPS only
 * Input:     the state that the test has mapped as well
 * May touch: that state
 * Must not:  be anything in a production build
 */
#ifndef POSTERN_WORKER_PAUSE_H
#define POSTERN_WORKER_PAUSE_H

#include "ipc/state.h"

/* The steps of a freeze and a thaw, in their order; by who comes to them. */
enum pause {
	PAUSE_NONE,
	PAUSE_HOOK,     /* worker: before the freeze hook */
	PAUSE_LIST,     /* worker: before the mount table is read */
	PAUSE_HELD,     /* worker: all superblocks are held, no thawer yet */
	PAUSE_THAWER,   /* worker: a thawer, no freezer yet */
	PAUSE_FIRST,    /* worker: before the first ioctl */
	PAUSE_UNMARKED, /* worker: the first is frozen, no mark says so */
	PAUSE_SECOND,   /* worker: before the second */
	PAUSE_LAST,     /* worker: after the last, not complete yet */
	PAUSE_COMPLETE, /* worker: complete, nobody was told */
	PAUSE_ORDER,    /* worker: before it orders the thaw */
	PAUSE_BEGUN,    /* thawer: before the first thaw */
	PAUSE_CLAIMED,  /* helper of the thawer: before the first ioctl */
	PAUSE_UNDONE,   /* the same: it is thawed, no mark says so */
	PAUSE_BETWEEN,  /* the same: after the first */
	PAUSE_DONE,     /* thawer: after the last */
	PAUSE_TOLD,     /* worker: knows of it, before the thaw hook */
	PAUSE_END,      /* worker: after the hook, the record still stands */
	PAUSE_COUNT
};

#ifdef POSTERN_TEST_OPS
#include <time.h>

static inline void pause_at(struct state *s, enum pause step)
{
	const struct timespec moment = {.tv_nsec = 1000000};

	while (atomic_load(&s->pause) == step) {
		atomic_store(&s->paused, step);
		nanosleep(&moment, NULL);
	}
	if (atomic_load(&s->paused) == step)
		atomic_store(&s->paused, PAUSE_NONE);
}
#else
static inline void pause_at(struct state *s, enum pause step)
{
	(void)s;
	(void)step;
}
#endif

#endif
