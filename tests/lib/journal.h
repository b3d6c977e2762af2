/*
 * tests/lib/journal.h - a journal of the test's own at the one address there is
 *
 * Runs in:   unit tests, as root: it needs mounts of its own (run: admin)
 * Input:     entries, by the journal's native protocol
 * May touch: a mount namespace of the test process
 * Must not:  be seen by any other process, speak to the machine's journal
 */
#ifndef POSTERN_TESTS_JOURNAL_H
#define POSTERN_TESTS_JOURNAL_H

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cmocka.h>

#include "ipc/launch.h"
#include "ipc/memfd.h"

/* From now on this process has a /run of its own, where no journal is. 0, or -1. */
static inline int journal_place(void)
{
	if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "size=4m") < 0 ||
	    mkdir("/run/systemd", 0755) < 0 || mkdir("/run/systemd/journal", 0755) < 0)
		return -1;
	return 0;
}

/* A journal that is there; what was at its address is no more. */
static inline int journal_listen(void)
{
	const struct sockaddr_un address = {
		.sun_family = AF_UNIX,
		.sun_path = JOURNAL_SOCKET,
	};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	unlink(JOURNAL_SOCKET);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* It ends, and nobody is at its address. */
static inline void journal_leave(int *fd)
{
	close_p(fd);
	unlink(JOURNAL_SOCKET);
}

/*
 * The next entry into BUF; its length, 0: there is none. An empty datagram brings a
 * memfd, which is sealed; MEMFD, if not NULL, says whether it was one.
 */
static inline size_t journal_next(int fd, char *buf, size_t size, bool *memfd)
{
	struct iovec iov = {.iov_base = buf, .iov_len = size};
	union {
		char bytes[CMSG_SPACE(4 * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	ssize_t n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *c = n < 0 ? NULL : CMSG_FIRSTHDR(&msg);
	const int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
	int entry;

	if (memfd)
		*memfd = c;
	if (n < 0)
		return 0;
	assert_int_equal(msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC), 0);
	if (!c)
		return (size_t)n;
	assert_int_equal(n, 0);
	assert_int_equal(c->cmsg_len, CMSG_LEN(sizeof(entry)));
	assert_null(CMSG_NXTHDR(&msg, c));
	memcpy(&entry, CMSG_DATA(c), sizeof(entry));
	assert_int_equal(fcntl(entry, F_GET_SEALS) & seals, seals);
	n = pread(entry, buf, size, 0);
	assert_true(n > 0 && n < (ssize_t)size);
	assert_int_equal(n, memfd_sealed_size(entry));
	close(entry);
	return (size_t)n;
}

#endif
