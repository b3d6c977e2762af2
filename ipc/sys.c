/*
 * ipc/sys.c - the system as the handlers see it: files beneath a root, and calls
 *
 * Runs in:   worker, op children, inspector
 * Input:     files of the guest; their content is data
 * May touch: files beneath root_fd, read-only but for sys_write_attr
 * Must not:  leave the root, follow a magic link, wait for a file that is a pipe
 */
#include "ipc/sys.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/reboot.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

/* The real thing needs no root: the path is that of the mount table. */
static int real_statfs(const struct sys *sys, const char *path, struct statfs *st)
{
	(void)sys;
	return statfs(path, st);
}

static int real_block_dev(const struct sys *sys, const char *path, dev_t *dev)
{
	struct stat st;

	(void)sys;
	if (stat(path, &st) < 0)
		return -1;
	if (!S_ISBLK(st.st_mode)) {
		errno = ENOTBLK;
		return -1;
	}
	*dev = st.st_rdev;
	return 0;
}

static int real_ioctl(int fd, unsigned long request, void *arg)
{
	return ioctl(fd, request, arg);
}

static int real_mount_id(int fd, uint64_t *id)
{
	struct statx stx;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &stx) < 0)
		return -1;
	if (!(stx.stx_mask & STATX_MNT_ID)) {
		errno = EOPNOTSUPP;
		return -1;
	}
	*id = stx.stx_mnt_id;
	return 0;
}

static int real_open_tree(int fd)
{
	const unsigned int flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH;

	return (int)syscall(SYS_open_tree, fd, "", flags);
}

static int real_timezone(int *minutes_west)
{
	struct timezone zone;

	/* The call, since libc's function has left the zone out (2.31). */
	if (syscall(SYS_gettimeofday, NULL, &zone) < 0)
		return -1;
	*minutes_west = zone.tz_minuteswest;
	return 0;
}

static int real_reboot(int command)
{
	sync();
	return reboot(command);
}

#define OPEN_TRIES 8

static const struct sys_ops real_ops = {
	.clock_gettime = clock_gettime,
	.uname = uname,
	.statfs = real_statfs,
	.ioctl = real_ioctl,
	.block_dev = real_block_dev,
	.fstat = fstat,
	.mount_id = real_mount_id,
	.open_tree = real_open_tree,
	.clock_settime = clock_settime,
	.timezone = real_timezone,
	.kill = kill,
	.reboot = real_reboot,
};

int sys_init(struct sys *sys)
{
	int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	*sys = (struct sys){.root_fd = fd, .ops = &real_ops};
	return fd < 0 ? -1 : 0;
}

void sys_done(struct sys *sys)
{
	close_p(&sys->root_fd);
}

int sys_openat2(int dir, const char *path, uint64_t flags, uint64_t resolve)
{
	struct open_how how = {
		.flags = flags | O_CLOEXEC,
		.mode = (flags & O_CREAT) ? 0600 : 0,
		.resolve = resolve,
	};
	int fd, tries = 0;

	/* ".." on the way while something is renamed (openat2(2), EAGAIN): look again. */
	do
		fd = (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
	while (fd < 0 && errno == EAGAIN && ++tries < OPEN_TRIES);
	return fd;
}

static int open_beneath(const struct sys *sys, const char *path, uint64_t flags)
{
	return sys_openat2(sys->root_fd, path, flags,
			   RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

int sys_open(const struct sys *sys, const char *path)
{
	/* O_NONBLOCK: a pipe in the file's place does not hold us up. */
	return open_beneath(sys, path, O_RDONLY | O_NOCTTY | O_NONBLOCK);
}

int sys_look(const struct sys *sys, const char *path)
{
	return open_beneath(sys, path, O_PATH | O_NOFOLLOW);
}

/*
 * Up to CAP bytes, fewer only at the end of the file: that is where SIZE says, unless it
 * is 0, as in /proc, or there is nothing more to read before that, as in /sys.
 */
static ssize_t read_all(int fd, char *buf, size_t cap, size_t size)
{
	size_t len = 0;

	while (len < cap && (len != size || !size)) {
		ssize_t n = read(fd, buf + len, cap - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	return (ssize_t)len;
}

ssize_t sys_read_file(const struct sys *sys, const char *path, void *buf, size_t cap)
{
	CLEANUP(close_p) int fd = sys_open(sys, path);
	struct stat st;
	ssize_t len;
	char more;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -1;
	if (!S_ISREG(st.st_mode)) {
		errno = EINVAL;
		return -1;
	}
	len = read_all(fd, buf, cap, (size_t)st.st_size);
	if (len >= 0 && (size_t)len == cap && read_all(fd, &more, 1, 0) > 0) {
		errno = EFBIG;
		return -1;
	}
	return len;
}

ssize_t sys_read_attr(const struct sys *sys, const char *path, char *buf, size_t cap)
{
	CLEANUP(close_p) int fd = sys_open(sys, path);
	ssize_t len = fd < 0 ? -1 : read(fd, buf, cap - 1);

	if (len > 0 && buf[len - 1] == '\n')
		len--;
	if (len >= 0)
		buf[len] = '\0';
	return len;
}

int sys_write_attr(const struct sys *sys, const char *path, const char *text)
{
	CLEANUP(close_p) int fd = open_beneath(sys, path, O_WRONLY | O_NOCTTY);
	size_t len = strlen(text);
	ssize_t n = fd < 0 ? -1 : write(fd, text, len);

	if (n >= 0 && (size_t)n != len)
		errno = EIO;
	return n == (ssize_t)len ? 0 : -1;
}

/* PATH as the calls want it that start at a directory. */
static const char *beneath(const char *path)
{
	while (*path == '/')
		path++;
	return path;
}

ssize_t sys_readlink(const struct sys *sys, const char *path, char *buf, size_t cap)
{
	ssize_t len = readlinkat(sys->root_fd, beneath(path), buf, cap);

	if (len < 0)
		return -1;
	if ((size_t)len >= cap) {
		errno = ENAMETOOLONG;
		return -1;
	}
	buf[len] = '\0';
	return len;
}

/* The entries in the LEN bytes of getdents64(2) at BUF. */
static int list_block(const char *buf, ssize_t len,
		      int (*each)(void *arg, const char *name, unsigned char type),
		      void *arg)
{
	const struct dirent64 *d;
	int r = 0;

	for (ssize_t at = 0; at < len && r == 0; at += d->d_reclen) {
		d = (const void *)(buf + at);
		if (!streq(d->d_name, ".") && !streq(d->d_name, ".."))
			r = each(arg, d->d_name, d->d_type);
	}
	return r;
}

int sys_list(const struct sys *sys, const char *path,
	     int (*each)(void *arg, const char *name, unsigned char type), void *arg)
{
	CLEANUP(close_p) int fd = sys_open(sys, path);

	return fd < 0 ? -1 : sys_list_fd(fd, each, arg);
}

int sys_list_fd(int fd, int (*each)(void *arg, const char *name, unsigned char type),
		void *arg)
{
	_Alignas(struct dirent64) char buf[8192];
	ssize_t len;
	int r = 0;

	while (r == 0 && (len = getdents64(fd, buf, sizeof(buf))) != 0) {
		if (len < 0)
			return -1;
		r = list_block(buf, len, each, arg);
	}
	return r;
}

/*
 * Not libc's getrandom(): where the kernel can answer without a call (vDSO, from
 * Linux 6.11 and glibc 2.41 on), its first use blocks all signals and makes mappings that
 * are kept, for which a sealed process has no leave. For one number that is not worth
 * giving.
 */
int sys_random(void *out, size_t len)
{
	return syscall(SYS_getrandom, out, len, 0) == (ssize_t)len ? 0 : -1;
}
