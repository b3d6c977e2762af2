/*
 * mounts/table.h - the table of mounts, taken apart by libmount
 *
 * Runs in:   inspector; op children of the worker
 * Input:     the text of /proc/self/mountinfo: mount points and sources are any bytes
 * May touch: memory
 * Must not:  read a file, look at a mount point
 */
#ifndef POSTERN_MOUNTS_TABLE_H
#define POSTERN_MOUNTS_TABLE_H

#include <libmount/libmount.h>
#include <stddef.h>

#define MOUNTINFO "/proc/self/mountinfo"

/*
 * Call EACH with the mounts in the LEN bytes of TEXT, which are changed and behind which
 * stands a NUL, in the kernel's order, until it returns other than 0; what it is shown is
 * gone afterwards. A line that is none is left out. Returns EACH's value, which must not
 * be negative, 0 at the end, or -1 with errno.
 */
int mounts_each(char *text, size_t len, int (*each)(void *arg, struct libmnt_fs *fs),
		void *arg);

#endif
