/*
 * worker/ops/walk.h - from a path to what is there, one component at a time
 *
 * Runs in:   op children of the worker
 * Input:     paths of the host; links and names in directories that others may write
 * May touch: O_PATH descriptors: nothing is opened, read or changed by looking
 * Must not:  let the kernel follow a link, believe a path longer than a look
 *
 * The kernel follows no link for us; where one stands, its text is walked. So what comes
 * out is one object, held by a descriptor, and the worst kind of link on the way to it.
 * What happens to the path afterwards changes neither.
 */
#ifndef POSTERN_WORKER_OPS_WALK_H
#define POSTERN_WORKER_OPS_WALK_H

#include <limits.h>
#include <sys/stat.h>

#include "ipc/sys.h"
#include "ipc/wire.h"
#include "policy/policy.h"

/* Symbolic links on the way, at the most: the kernel's own bound (path_resolution(7)). */
#define WALK_LINKS_MAX 40

struct walk {
	const struct sys *sys;
	int dir;                 /* O_PATH of the directory where the last look was */
	int fd;                  /* O_PATH of the object; -1: it is not there */
	struct stat st;          /* of the object */
	char name[NAME_MAX + 1]; /* of the object in the directory */
	/*
	 * The path as the kernel knows it; of what is not there, of its directory and the
	 * rest of what was asked for.
	 */
	char path[2 * PATH_MAX];
	enum object_links links;
	bool trusted; /* root alone can change any directory on the way */
	int errnum;   /* why there is nothing; 0: there is, or there is a place for it */
};

/*
 * Walk PATH, LEN bytes, from the root. What was found is in W, always; end with
 * walk_done.
 */
void walk(struct walk *w, const struct sys *sys, const char *path, size_t len);
void walk_done(struct walk *w);

/* Is what ST says root's, and nobody else may write it? */
bool walk_is_roots(const struct stat *st);

/* Is what was found root's alone: it, every directory on the way to it, every link? */
bool walk_is_safe(const struct walk *w);

/* 0 if what was found is a program, or the errno with which running it would fail. */
int walk_unfit(const struct walk *w);

/*
 * Where descriptor FD is now, into PATH. 0, or -1 with errno: ENOENT if it is nowhere any
 * more. True of the past too: who was unlinked once never has a name again.
 */
int walk_path_of(const struct sys *sys, int fd, char path[PATH_MAX]);

/* Open the O_PATH descriptor FD with FLAGS of open(2). A descriptor, or -1 with errno. */
int walk_reopen(const struct sys *sys, int fd, int flags);

#endif
