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

/* What the kernel and udev say of a device. */
struct block_info {
	struct v_str node;   /* "/dev/vda1"; not set: unknown */
	struct v_str serial; /* udev's ID_SERIAL; not set: none */
	struct v_str alias;  /* name of a device mapper device; not set: none */
};

/* Fill INFO as far as B is described. 0, or -1 if the arena is full. */
int block_info(struct inspector *in, const struct block *b, struct block_info *info);

/* Made of others, or of nothing that is a device: dm, md, loop, ram. */
bool block_is_virtual(const struct block *b);

/*
 * The devices that B is made of, in the order of their names: names of links in PATH of B
 * + "/slaves", as v_str. 0; 1: it has no such directory; -1 if the arena is full.
 */
int block_slaves(struct inspector *in, const struct block *b, struct v_list *names);

/* The device behind the slave NAME of B. As block_by_link. */
int block_slave(struct inspector *in, const struct block *b, const char *name,
		struct block *slave);

/*
 * Append to LIST (of struct msg_disk_address) where the disks of B sit: those below it
 * for a virtual device, one at the most for a real one (protocol 3.30). 0, or -1 with E
 * filled when the arena is full; what cannot be found out leaves its field as the
 * protocol says.
 */
int block_addresses(struct inspector *in, const struct block *b, struct v_list *list,
		    struct err *e);

/* Names as people sort them: numbers in them by value. For qsort of struct v_str. */
int block_by_name(const void *a, const void *b);

#endif
