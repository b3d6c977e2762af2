/*
 * ipc/sys.h - the system as the handlers see it: files beneath a root, and calls
 *
 * Runs in:   worker, op children, inspector
 * Input:     files of the guest; their content is data
 * May touch: files beneath root_fd, read-only but for sys_write_attr
 * Must not:  leave the root, follow a magic link, wait for a file that is a pipe
 *
 * All state of the system is reached through this struct (design section 14), so that a
 * handler runs against a tree of fixtures in a test and against "/" in the guest.
 */
#ifndef POSTERN_IPC_SYS_H
#define POSTERN_IPC_SYS_H

#include <sys/stat.h>
#include <sys/types.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <time.h>

#include "ipc/util.h"

struct sys;

/* What is no file. Each as the system call of its name: 0, or -1 with errno. */
struct sys_ops {
	int (*clock_gettime)(clockid_t clock, struct timespec *ts);
	int (*uname)(struct utsname *u);
	/* Of the file system at PATH (absolute). May hang, where no signal reaches. */
	int (*statfs)(const struct sys *sys, const char *path, struct statfs *st);
	int (*ioctl)(int fd, unsigned long request, void *arg);
	/* Device number of the block special file PATH; ENOTBLK: it is none. */
	int (*block_dev)(const struct sys *sys, const char *path, dev_t *dev);
	/* Of the open file, or what is held by O_PATH. */
	int (*fstat)(int fd, struct stat *st);
	/* The kernel's number of the mount that the open file, or O_PATH, is on. */
	int (*mount_id)(int fd, uint64_t *id);
	/* A copy of the mount at FD that is nowhere: a descriptor as if by O_PATH. */
	int (*open_tree)(int fd);
	int (*clock_settime)(clockid_t clock, const struct timespec *ts);
	/* Minutes that local time is behind UTC, as the kernel has it. */
	int (*timezone)(int *minutes_west);
	int (*kill)(pid_t pid, int sig);
	/* LINUX_REBOOT_CMD_* of reboot(2), once what can be is on disk. */
	int (*reboot)(int command);
};

struct sys {
	int root_fd; /* a directory; whoever opened it closes it */
	const struct sys_ops *ops;
};

/* The real thing: "/" and libc. 0, or -1 with errno. End with sys_done. */
int sys_init(struct sys *sys);
void sys_done(struct sys *sys);

/*
 * openat2(2) with the RESOLVE_* bits of RESOLVE, close-on-exec, mode 0600 for what is
 * made; tried again where something on the way is being renamed. A descriptor of the
 * caller's, or -1 with errno. Of the real system: DIR is what holds the caller back.
 */
int sys_openat2(int dir, const char *path, uint64_t flags, uint64_t resolve);

/*
 * Open PATH beneath the root for reading: symbolic links are followed as if the root
 * were "/". Returns a descriptor of the caller's (close-on-exec), or -1 with errno.
 */
int sys_open(const struct sys *sys, const char *path);

/* The same by O_PATH, so without opening it; a link that PATH itself is, is not followed.
 */
int sys_look(const struct sys *sys, const char *path);

/*
 * The whole of the regular file PATH into BUF. Returns its bytes, at most CAP, or -1
 * with errno: EFBIG if there are more, EINVAL if it is no regular file.
 */
ssize_t sys_read_file(const struct sys *sys, const char *path, void *buf, size_t cap);

/*
 * A short attribute of /sys or /proc, with one read: text without its last newline, NUL
 * at the end; what exceeds CAP - 1 bytes is cut off. Its length, or -1 with errno.
 */
ssize_t sys_read_attr(const struct sys *sys, const char *path, char *buf, size_t cap);

/*
 * Write TEXT to the attribute PATH, which is there, with one write. 0, or -1 with errno:
 * for most of them the kernel's answer to what was asked.
 */
int sys_write_attr(const struct sys *sys, const char *path, const char *text);

/*
 * Where the symbolic link PATH points, as it is written there, NUL at the end. Links
 * among the directories of PATH must be relative, as those of /sys are. Its length, or -1
 * with errno: ENAMETOOLONG if it does not fit.
 */
ssize_t sys_readlink(const struct sys *sys, const char *path, char *buf, size_t cap);

/*
 * Call EACH with the name and type (DT_* of readdir(3)) of each entry of the directory
 * PATH but "." and "..", in the kernel's order, until it returns other than 0. Returns
 * that value, 0 at the end, or -1 with errno if the directory cannot be read.
 */
int sys_list(const struct sys *sys, const char *path,
	     int (*each)(void *arg, const char *name, unsigned char type), void *arg);

/* The same for the directory FD, which stays the caller's. */
int sys_list_fd(int fd, int (*each)(void *arg, const char *name, unsigned char type),
		void *arg);

/* Random bytes into the LEN bytes, at most 256, at OUT. 0, or -1 with errno. */
int sys_random(void *out, size_t len);

#endif
