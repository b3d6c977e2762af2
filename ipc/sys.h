/*
 * ipc/sys.h - the system as the handlers see it: files beneath a root, and calls
 *
 * Runs in:   worker, op children, inspector
 * Input:     files of the guest; their content is data
 * May touch: files beneath root_fd, read-only
 * Must not:  leave the root, follow a magic link, wait for a file that is a pipe
 *
 * All state of the system is reached through this struct (design section 14), so that a
 * handler runs against a tree of fixtures in a test and against "/" in the guest.
 */
#ifndef POSTERN_IPC_SYS_H
#define POSTERN_IPC_SYS_H

#include <sys/types.h>
#include <sys/utsname.h>
#include <time.h>

#include "ipc/util.h"

/* What is no file. Each as the system call of its name: 0, or -1 with errno. */
struct sys_ops {
	int (*clock_gettime)(clockid_t clock, struct timespec *ts);
	int (*uname)(struct utsname *u);
};

struct sys {
	int root_fd; /* a directory; whoever opened it closes it */
	const struct sys_ops *ops;
};

/* The real thing: "/" and libc. 0, or -1 with errno. End with sys_done. */
int sys_init(struct sys *sys);
void sys_done(struct sys *sys);

/*
 * Open PATH beneath the root for reading: symbolic links are followed as if the root
 * were "/". Returns a descriptor of the caller's (close-on-exec), or -1 with errno.
 */
int sys_open(const struct sys *sys, const char *path);

/*
 * The whole of the regular file PATH into BUF. Returns its bytes, at most CAP, or -1
 * with errno: EFBIG if there are more, EINVAL if it is no regular file.
 */
ssize_t sys_read_file(const struct sys *sys, const char *path, void *buf, size_t cap);

#endif
