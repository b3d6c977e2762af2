/*
 * mounts/table.h - the kernel's table of mounts, taken apart
 *
 * Runs in:   inspector; op children of the worker
 * Input:     the text of /proc/self/mountinfo: mount points and sources are any bytes
 * May touch: that text
 * Must not:  read a file, look at a mount point, allocate
 */
#ifndef POSTERN_MOUNTS_TABLE_H
#define POSTERN_MOUNTS_TABLE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define MOUNTINFO "/proc/self/mountinfo"

/* A line of the table, as far as we ask; the texts lie in the table, unescaped. */
struct mount_line {
	uint32_t id;
	dev_t dev;
	const char *point;
	const char *type;
	const char *source;  /* any text, and it may be empty */
	const char *options; /* of the file system, not of the mount */
};

/*
 * Call EACH with the mounts in the LEN bytes of TEXT, which are changed and behind which
 * stands a NUL, in the kernel's order, until it returns other than 0. A line that is none
 * is left out. Returns EACH's value, or 0 at the end.
 */
int mounts_each(char *text, size_t len,
		int (*each)(void *arg, const struct mount_line *m), void *arg);

#endif
