/*
 * worker/ops/reach.h - an open file on a superblock, by whichever mount leads there
 *
 * Runs in:   op children of the worker
 * Input:     the mount table as it was read; paths that may lead elsewhere by now
 * May touch: mount points: directories and regular files are opened for reading
 * Must not:  open what is on another mount than the table's; a pipe, a socket, a device
 */
#ifndef POSTERN_WORKER_OPS_REACH_H
#define POSTERN_WORKER_OPS_REACH_H

#include "worker/ops/superblocks.h"

/*
 * O_PATH of the root of mount M. Or -1 with errno: ESTALE if it is not what its mount
 * point leads to, as it is gone or another mount hides it.
 */
int reach_mount(const struct sys *sys, const struct sb_mount *m);

struct reached {
	int fd;         /* the caller's; or -1 */
	int errnum;     /* why; 0: no mount of it can be reached */
	bool detaching; /* it could not be detached, rather than opened */
};

/*
 * Open superblock SB. With DETACH the file is on a mount of its own that is nowhere, so
 * that the guest can unmount its own; where the kernel makes no copy of a mount (one that
 * is unbindable), it is on that.
 */
struct reached reach(const struct sys *sys, const struct superblock *sb, bool detach);

#endif
