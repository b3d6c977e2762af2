/*
 * worker/held.h - lines that wait for a thaw, in memory that outlives the worker
 *
 * Runs in:   worker
 * Input:     lines of the worker; what an earlier worker left, which is checked
 * May touch: the lines in struct state
 * Must not:  grow, lose what must not be lost to what may be
 *
 * While file systems are frozen nothing is written to any (AUDIT.md, rules). Lines are
 * kept here, in order, until the thaw; a worker that dies leaves them to the next. Plain
 * lines may take half of the room, and the oldest of them go first, which is counted; the
 * rest is for lines that must not be lost.
 */
#ifndef POSTERN_WORKER_HELD_H
#define POSTERN_WORKER_HELD_H

#include <stdbool.h>
#include <stddef.h>

#include "ipc/state.h"

/* Empty what is no list of lines, so that the rest may believe it. */
void held_check(struct held_lines *h);

/*
 * Keep a packet: TAG, then LEN bytes. MUST: it may take all the room there is; a plain
 * one takes the place of older ones. False: there is no room, it is lost.
 */
bool held_put(struct held_lines *h, bool must, uint8_t tag, const void *line, size_t len);

/*
 * The packet at *AT (0: the oldest), tag first; *AT moves on to the next. NULL: no more.
 */
const uint8_t *held_next(const struct held_lines *h, size_t *at, size_t *len);

/* Forget all before AT, as held_next left it. */
void held_forget(struct held_lines *h, size_t at);

#endif
