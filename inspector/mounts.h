/*
 * inspector/mounts.h - the mounts that stand on a block device, in the kernel's order
 *
 * Runs in:   inspector
 * Input:     /proc/self/mountinfo: mount points and sources are any bytes
 * May touch: that file, read-only; the arena
 * Must not:  look at a mount point
 */
#ifndef POSTERN_INSPECTOR_MOUNTS_H
#define POSTERN_INSPECTOR_MOUNTS_H

#include "inspector/inspector.h"

struct mount {
	dev_t dev;          /* of the file system; where btrfs has none, of its disk */
	int id;             /* the kernel's number of the mount */
	struct v_str point; /* a NUL follows; without the escapes of the table */
	struct v_str type;
};

/*
 * Append to LIST (of struct mount) the mounts of our namespace that the reference knows
 * (protocol 3.0.1), bind mounts included. 0, or -1 with E filled.
 */
int mounts_read(struct inspector *in, struct v_list *list, struct err *e);

/*
 * The same from LEN bytes of text with a NUL behind them, which are changed. A line that
 * is none is left out.
 */
int mounts_parse(struct inspector *in, char *text, size_t len, struct v_list *list,
		 struct err *e);

#endif
