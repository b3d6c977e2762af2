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

enum sink_out {
	SINK_LOG = 'l',   /* text for people: descriptor 2 */
	SINK_AUDIT = 'a', /* records */
};

/* Bytes kept for a writer that is behind; what exceeds them is refused. */
#define SINK_QUEUE_MAX (256 * 1024)
/* Longest line. */
#define SINK_LINE_MAX 65536

struct sink_line;

struct sink {
	struct source source; /* socket to the writer */
	struct loop *loop;
	int audit_fd; /* kept for the next writer, should this one die */
	uint64_t started_ms;
	struct sink_line *head;
	struct sink_line **tail;
	size_t bytes;
};

/*
 * Start the writer; AUDIT_FD is where records go, or -1: they are dropped. A writer that
 * dies is replaced. The process is sealed already. 0, or -1 with errno.
 */
int sink_start(struct sink *s, struct loop *loop, int audit_fd);

/* One line (LEN bytes, newline included). 0, or -1: there is no room, the line is lost.
 */
int sink_put(struct sink *s, enum sink_out out, const void *line, size_t len);

#endif
