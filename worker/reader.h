/*
 * worker/reader.h - the child that reads the policy files
 *
 * Runs in:   worker; the reading in a child of it, forked before the worker is sealed
 * Input:     policy files, in the child; frames of the child
 * May touch: the policy directories, read-only, in the child
 * Must not:  read a file in the worker: a hung /etc must not hang it
 *
 * It stays, so that the worker needs no right to open anything when a policy is to be
 * read again. And it keeps what is in force where the next worker's reader finds it, in
 * memory that no worker can write: what is in force outlives a worker, whatever stands in
 * the files by then, and whoever took the worker over.
 */
#ifndef POSTERN_WORKER_READER_H
#define POSTERN_WORKER_READER_H

#include "worker/fork.h"

struct worker;
struct frame;

struct policy_from {
	const char *profile; /* this built-in profile and no files; NULL: the files */
	const char *root;    /* directory beneath which the files are; NULL: "/" */
	uint64_t denied;     /* operations that lists of the command line take away */
};

struct reader {
	struct source
		source; /* our end of its socket; -1: it is gone, or was sent away */
	struct child child;
	uint32_t asked; /* number of the last question */
	int kept_fd;    /* memory for the next worker's; -1: there is none. Owned */
};

/*
 * Start it and have it read for the first time. The image (a memfd, the caller's) or -1:
 * it cannot be read, or not within POLICY_READ_MS. FRAMES is called for what it says from
 * then on; GONE once it went.
 */
#define POLICY_READ_MS 10000
int reader_start(struct worker *w, const struct policy_from *from, source_fn *frames);

/* Have the files read again; FRAME_IMAGE with READER->asked is the answer. 0 or -1. */
int reader_ask(struct worker *w);
/* What it read last is in force: it is to be kept for the next worker. */
void reader_keep(struct worker *w);
/* It is not needed any more. */
void reader_end(struct worker *w);

#endif
