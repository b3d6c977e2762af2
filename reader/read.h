/*
 * reader/read.h - the policy that the files make, and the one that is in force
 *
 * Runs in:   reader: root without a capability, sealed
 * Input:     policy files
 * May touch: the policy directories, read-only; the memory for the next reader
 * Must not:  keep a policy of which it was not told that it is in force
 *
 * What is in force is kept in memory that no worker can write, for the reader of the next
 * worker: it outlives a worker, whatever stands in the files by then, and whoever took
 * the worker over.
 */
#ifndef POSTERN_READER_READ_H
#define POSTERN_READER_READ_H

#include "policy/source.h"

/* What is in force, for the readers of later workers; all zero at the beginning. */
struct kept {
	uint64_t size; /* 0: nothing is kept */
	uint8_t image[IMAGE_MAX];
};

struct reading {
	const char *profile; /* this built-in profile and no files; NULL: the files */
	uint64_t denied;     /* operations that lists of the command line take away */
	int root;            /* directory beneath which the files are */
	uid_t owner;         /* of the files, besides root */
	struct kept *kept;   /* NULL: there is no such memory */
	struct wbuf image;   /* as read last */
	bool good;           /* that is a policy, and may be kept */
};

/*
 * The files into R->image; with mistakes, the image of an agent that is locked down.
 * Every mistake is a line in LINES. Out of memory leaves R->image.bad.
 */
void read_files(struct reading *r, struct wbuf *lines);

/* What was kept into R->image, which is empty; false: nothing was. */
bool read_kept(struct reading *r);

/* What was read last is in force. */
void read_keep(struct reading *r);

#endif
