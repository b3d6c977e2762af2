/*
 * worker/ops/superblocks.h - what of our mount namespace can be frozen or trimmed
 *
 * Runs in:   op children of the worker
 * Input:     the mount table, /sys, loop devices: mount points and sources are any bytes
 * May touch: these, read-only; O_PATH descriptors of mount points
 * Must not:  open a mount point, cut a list that is too long
 *
 * Mounts are many, superblocks are what is frozen: bind mounts and subvolumes share one.
 * Those count that stand on a block device of their own (major number not 0), and those
 * of many devices, which have a number of the kernel's making. FUSE does not count, not
 * even on a block device: who serves it may wait for what is frozen.
 */
#ifndef POSTERN_WORKER_OPS_SUPERBLOCKS_H
#define POSTERN_WORKER_OPS_SUPERBLOCKS_H

#include "ipc/err.h"
#include "ipc/schema.h"
#include "ipc/state.h"
#include "ipc/sys.h"

#define MOUNTS_MAX 65536

/* A mount of a superblock. */
struct sb_mount {
	struct sb_mount *next; /* as the table has them */
	uint64_t id;           /* the kernel's number */
	const char *point;
	dev_t dev;   /* st_dev of its root, once it was looked at */
	bool looked; /* it was; 0: it cannot be reached */
};

/* A superblock whose files are the devices of another. */
struct sb_below {
	struct sb_below *next;
	const struct superblock *sb;
};

struct superblock {
	dev_t dev;  /* as the table has it, and stat(2) but for subvolumes */
	dev_t disk; /* the block device; of many the one that is its source */
	const char *type;
	const char *source;
	bool read_only; /* itself, not only a mount of it */
	uint32_t place; /* of its first mount among the superblocks */
	uint32_t depth; /* how many may have to be frozen after it */
	struct sb_mount *mounts;
	struct sb_mount *last;
	struct sb_below *below;
};

struct superblocks {
	const struct sys *sys;
	struct arena arena; /* all that is below; owned */
	uint32_t n_mounts;
	uint32_t n;
	struct superblock *v[SUPERBLOCKS_MAX];
};

/*
 * Into ALL, in the order of their first mounts. 0, or -1 with E filled. ALL was zeroed;
 * end with superblocks_done, in either case.
 */
int superblocks_read(struct superblocks *all, const struct sys *sys, struct err *e);

/* The same from LEN bytes of text with a NUL behind them, which are changed. */
int superblocks_parse(struct superblocks *all, const struct sys *sys, char *text,
		      size_t len, struct err *e);
void superblocks_done(struct superblocks *all);

/*
 * Bring ALL into the order in which they can be frozen: the last mounted first, but one
 * on a loop device before all that may hold the device's file; who thaws goes backwards.
 * 0, or -1 with E filled.
 */
int superblocks_sort(struct superblocks *all, struct err *e);

/*
 * The next device that a source of several names, as "/dev/vda:/dev/vdb"; *SOURCE is what
 * is left of it. False: there is none.
 */
bool superblock_next_disk(const struct sys *sys, const char **source, dev_t *disk);

/* May a test build touch it? */
bool superblock_is_scratch(const struct superblock *sb);

#endif
