/*
 * worker/sink.h - lines out of the worker without ever waiting for a disk or terminal
 *
 * Runs in:   worker; the writer is an op child of it
 * Input:     lines of the worker
 * May touch: a socket to the writer; the writer: the two descriptors it was given
 * Must not:  block the worker, queue without bound
 *
 * A full disk, a stopped terminal or a reader that is slow blocks the writer, a child
 * without privilege, and nobody else.
 */
#ifndef POSTERN_WORKER_SINK_H
#define POSTERN_WORKER_SINK_H

#include "ipc/loop.h"
#include "worker/held.h"

enum sink_out {
	SINK_LOG = 'l',   /* text for people: descriptor 2 */
	SINK_AUDIT = 'a', /* records */
};

/*
 * Bytes kept for a writer that is behind; what exceeds them is refused. The second half
 * is for lines that must not be lost: what changes the guest (AUDIT.md, rules).
 */
#define SINK_QUEUE_MAX   (512 * 1024)
#define SINK_QUEUE_PLAIN (SINK_QUEUE_MAX / 2)
/* A writer that lived shorter is not replaced at once but after this time. */
#define SINK_RETRY_MS 1000
/* For a writer to take what waits when we end. */
#define SINK_END_MS 1000
/* Longest line. */
#define SINK_LINE_MAX 65536

struct sink_line;

struct sink {
	struct source source; /* socket to the writer; -1 between two of them */
	struct timer retry;
	struct loop *loop;
	int audit_fd; /* kept for the next writer, should this one die */
	uint64_t started_ms;
	struct sink_line *head;
	struct sink_line **tail;
	size_t bytes;
	struct held_lines *held; /* borrowed */
	bool holds;              /* nothing goes to the writer */
};

/*
 * Before the process is sealed. AUDIT_FD: where records go; -1: nowhere. HELD is
 * borrowed; what is in it goes out first. 0, or -1.
 */
int sink_init(struct sink *s, struct loop *loop, int audit_fd, struct held_lines *held);

/* Start the writer, in the sealed process. One that dies is replaced. 0, or -1. */
int sink_start(struct sink *s);

/*
 * One line (LEN bytes, newline included); MUST: it may use the room kept for lines that
 * must not be lost. 0, or -1: there is no room, the line is lost.
 */
int sink_put(struct sink *s, enum sink_out out, const void *line, size_t len, bool must);

/*
 * From now on lines are held (worker/held.h): file systems freeze. What the writer was
 * given before may make it wait for the thaw; nobody waits for the writer.
 */
void sink_hold(struct sink *s);
/* What was held goes out, in its order, before what comes now. */
void sink_release(struct sink *s);

/* We end: hand what waits to the writer, which outlives us; wait for it for a moment. */
void sink_end(struct sink *s);

#endif
