/*
 * ipc/sys.c - the system as the handlers see it: files beneath a root, and calls
 *
 * Runs in:   worker, op children, inspector
 * Input:     files of the guest; their content is data
 * May touch: files beneath root_fd, read-only
 * Must not:  leave the root, follow a magic link, wait for a file that is a pipe
 */
#include "ipc/sys.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static const struct sys_ops real_ops = {
	.clock_gettime = clock_gettime,
	.uname = uname,
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

int sys_open(const struct sys *sys, const char *path)
{
	/* O_NONBLOCK: a pipe in the file's place does not hold us up. */
	struct open_how how = {
		.flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};

	return (int)syscall(SYS_openat2, sys->root_fd, path, &how, sizeof(how));
}

/* Up to CAP bytes, fewer only at the end of the file. */
static ssize_t read_all(int fd, char *buf, size_t cap)
{
	size_t len = 0;

	while (len < cap) {
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
	len = read_all(fd, buf, cap);
	/* Files of /proc and /sys have no size to ask for: try one byte more. */
	if (len >= 0 && read_all(fd, &more, 1) > 0) {
		errno = EFBIG;
		return -1;
	}
	return len;
}
