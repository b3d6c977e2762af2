/*
 * inspector/block.h - block devices: names, nodes, and where they sit on their buses
 *
 * Runs in:   inspector
 * Input:     /sys and the udev database beneath the root: any bytes
 * May touch: these, read-only; the arena
 * Must not:  open a device
 */
#ifndef POSTERN_INSPECTOR_BLOCK_H
#define POSTERN_INSPECTOR_BLOCK_H

#include "inspector/inspector.h"

/* Longest path in /sys that is followed, its NUL included. */
#define BLOCK_PATH_MAX 1024

/* A block device: a disk, a partition, or one made of others. */
struct block {
	/* Its directory with no link in it: "/sys/devices/.../block/vda/vda1". */
	char path[BLOCK_PATH_MAX];
	const char *name; /* last component of PATH: the kernel's name, "vda1" */
};

/*
 * Find a device: by its number, or by a link in /sys that leads to its directory
 * ("/sys/block/vda", ".../slaves/dm-0"). 0, or -1 with errno; ENOENT: no such device, or
 * /sys is not all there (a container).
 */
int block_by_number(struct inspector *in, unsigned int major, unsigned int minor,
		    struct block *b);
int block_by_link(struct inspector *in, const char *link, struct block *b);

/* Its node ("/dev/vda1"), by the name that the kernel gives it; not set: unknown. */
struct v_str block_node(struct inspector *in, const struct block *b);

/*
 * Append to LIST (of struct msg_disk_address) where the disks of B sit: those below it
 * for a virtual device, one at the most for a real one (protocol 3.30). 0, or -1 with E
 * filled when the arena is full; what cannot be found out leaves its field as the
 * protocol says.
 */
int block_addresses(struct inspector *in, const struct block *b, struct v_list *list,
		    struct err *e);

#endif
