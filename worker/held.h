/*
 * worker/held.h - records and lines that cannot be written yet
 *
 * Runs in:   worker
 * Input:     records and lines of the worker; of an earlier one, which are checked
 * May touch: struct held of struct state, which outlives the worker
 * Must not:  grow, lose a change to what is none, lose one session's to another's
 *
 * They wait because file systems are frozen, or because nobody takes them at present, and
 * keep their order (AUDIT.md, rules). Each kind has room of its own. Where that is used
 * up, the session that has most of it loses its oldest; where none has, the new one is
 * not taken. So no session can push out what others left. What is dropped is counted.
 */
#ifndef POSTERN_WORKER_HELD_H
#define POSTERN_WORKER_HELD_H

#include <stdbool.h>
#include <stddef.h>

#include "ipc/state.h"

/* Of the room for changes, what is kept for the ends of those that were begun. */
#define HELD_RESERVE (128 * 1024)

struct packet {
	enum held_kind kind;
	uint64_t session; /* 0: nobody's */
	uint64_t dropped; /* it says that so many were */
	const uint8_t *p; /* what will be written; borrowed */
	size_t len;
};

/* Bytes of KIND at the most, heads included. */
size_t held_room(enum held_kind kind);

/* Take out what is no packet, and drop records that are of another FORMAT. */
void held_check(struct held *h, uint32_t format);

/*
 * Keep a packet; RESERVE bytes of its kind's room stay free. False: there is no room; it
 * is the caller's to count.
 */
bool held_put(struct held *h, const struct packet *packet, size_t reserve);

/* Does a line wait (LINES), or a record (not LINES)? */
bool held_waits(const struct held *h, bool lines);

/* Write PACKET. False: not now, or it cannot be. */
typedef bool held_write(void *context, const struct packet *packet);

/*
 * Have the lines written, or the records, oldest first, until WRITE says no. True: none
 * is left.
 */
bool held_give(struct held *h, bool lines, held_write *write, void *context);

#endif
