/*
 * inspector/sizes.h - byte counts of mounts, asked by a process that may hang
 *
 * Runs in:   inspector; the asking in a child of it
 * Input:     mount points: any bytes; what their file systems answer
 * May touch: the mount points, by statfs; the arena
 * Must not:  wait long for a file system that does not answer
 *
 * A statfs may hang where no signal reaches. So a child asks, and writes what it learns
 * into memory that both see. A child that hangs is left behind, at most HUNG_MAX of
 * them, and the next goes on after that mount. Nothing of ours is held by it.
 *
 * To fork costs more than to ask, and who looks at file systems does so again and again:
 * a child stays for a while and is asked once more. One that has waited for nothing goes
 * by itself, and nobody has to wake for its end where SIGCHLD is ignored.
 */
#ifndef POSTERN_INSPECTOR_SIZES_H
#define POSTERN_INSPECTOR_SIZES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct inspector;
struct mount;

/* In bytes; see protocol 3.29. Not known: the call failed, was not made or hangs. */
struct size {
	uint64_t used;
	uint64_t total;
	uint64_t privileged;
	bool known;
};

/* For how long a child waits for the next question. */
#define SIZES_IDLE_S 2

/* The child that is asked, and what both of them see. Zeroed: none. */
struct sizer {
	struct window *window;
	int pidfd;    /* owned, if there is one */
	bool running; /* was started and is not known to have ended */
};

#define HUNG_MAX 4

/* A child that was left behind, and what it hangs at. */
struct hung {
	int pidfd; /* owned */
	int mount; /* its number */
	dev_t dev;
	bool whole; /* the device as a whole: no mount of it has answered */
};

/* All that were left behind and are not known to have ended. Zeroed: none. */
struct hung_set {
	struct hung v[HUNG_MAX];
	uint32_t n;
};

/*
 * The sizes of the N mounts at M: an array in the arena, or NULL if that is full. Takes
 * seven seconds at the most, and less than one where none hangs. What is known to hang
 * is not asked again while its child is there. In the child, only the descriptors 0 to 2
 * are open when it calls sys_ops.statfs.
 */
const struct size *sizes_get(struct inspector *in, const struct mount *m, uint32_t n);

#endif
