/*
 * worker/sink.h - records and lines out of the worker, without ever waiting
 *
 * Runs in:   worker; the writer is an op child of it
 * Input:     records and lines of the worker
 * May touch: the journal's socket, a socket to the writer; the writer: two descriptors
 * Must not:  block the worker, queue without bound
 *
 * Records go to the journal, or as lines to a descriptor; lines of the log to
 * descriptor 2. A full disk, a stopped terminal or a reader that is slow blocks the
 * writer, a child without privilege, and nobody else. What cannot be written yet is held
 * (worker/held.h).
 */
#ifndef POSTERN_WORKER_SINK_H
#define POSTERN_WORKER_SINK_H

#include "worker/held.h"
#include "worker/journal.h"

/* What records are written as. */
enum sink_format {
	SINK_NOTHING, /* there is no place for them */
	SINK_JSON,    /* a line of JSON each, by the writer */
	SINK_JOURNAL, /* entries of the journal */
};

/* A writer that lived shorter is not replaced at once but after this time. */
#define SINK_RETRY_MS 1000
/* For what waits to be taken when we end. */
#define SINK_END_MS 1000
/* Longest line, and longest record. */
#define SINK_LINE_MAX 65536

/*
 * In front of what the writer is given. It answers a record that did not get into the
 * file, and the first that did again, by how many are lost with it: a uint64_t.
 */
struct sink_order {
	uint64_t record;  /* 1: a record; 0: a line */
	uint64_t dropped; /* it says that so many were, as in struct packet */
};

struct sink {
	enum sink_format format;
	struct journal journal;
	struct source writer; /* socket to it; -1 between two of them */
	struct timer retry;
	struct loop *loop;
	struct fences *fences; /* borrowed; the writer stays within one of them */
	int audit_fd;          /* kept for the next writer, should this one die */
	uint64_t started_ms;
	struct held *held;  /* borrowed */
	bool holds;         /* nothing is written: file systems are frozen */
	bool broken;        /* the writer's last record did not get into the file */
	uint64_t probed_ms; /* when that was last tried although nothing had to be */
	void *rest;         /* memory that is none of the writer's business; NULL: none */
	size_t rest_len;
};

/*
 * Before the process is sealed. AUDIT_FD: where records go as lines; -1: nowhere, or to
 * the journal, if JOURNAL. HELD is borrowed; what is in it goes out first. 0, or -1.
 */
int sink_init(struct sink *s, struct loop *loop, int audit_fd, bool journal,
	      struct held *held);

/* Start the writer, in the sealed process. One that dies is replaced. 0, or -1. */
int sink_start(struct sink *s);

/* How much a packet may do to get somewhere. */
enum sink_effort {
	SINK_KEEP,  /* written, or held if there is any room */
	SINK_SPARE, /* the same, but a change leaves half the room of HELD_RESERVE */
	SINK_OFFER, /* the same, but a change leaves all of it */
	SINK_NOW,   /* written, or nothing: not where there is no place for it */
};

/* 0, or -1: it is neither written nor held, which the caller has to count. */
int sink_put(struct sink *s, const struct packet *packet, enum sink_effort effort);

/* Is the writer's file to be tried again, by a record that may be lost? Not often. */
bool sink_probes(struct sink *s);

/*
 * From now on everything is held: file systems freeze. What the writer was given before
 * may make it wait for the thaw; nobody waits for the writer.
 */
void sink_hold(struct sink *s);
/* What was held goes out, in its order, before what comes now. */
void sink_release(struct sink *s);

/* We end: hand over what waits; wait for that for a moment. The writer outlives us. */
void sink_end(struct sink *s);

#endif
