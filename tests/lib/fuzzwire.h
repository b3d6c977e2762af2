/*
 * tests/lib/fuzzwire.h - packets of a fuzzer to one of our processes, and its loop
 *
 * Runs in:   libFuzzer
 * Input:     the fuzzer's bytes
 * May touch: sockets that the target made
 * Must not:  wait
 */
#ifndef POSTERN_TESTS_FUZZWIRE_H
#define POSTERN_TESTS_FUZZWIRE_H

#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "ipc/frame.h"
#include "ipc/loop.h"
#include "tests/lib/fuzz.h"

/* The next packet, behind its length (u16), of what is left of AT; false: there is none.
 */
static inline bool fuzz_next(struct rbuf *at, struct rbuf *packet)
{
	const size_t said = rbuf_u16(at), len = min_size(said, rbuf_left(at));

	if (at->bad)
		return false;
	*packet = rbuf_of(rbuf_take(at, len), len);
	return true;
}

/* As it is, with N descriptors. False: it is too large for any socket. */
static inline bool fuzz_send(int sock, const struct rbuf *packet, const int *fds,
			     size_t n)
{
	union {
		char bytes[CMSG_SPACE(FRAME_FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	struct iovec iov = {(void *)(uintptr_t)packet->p, rbuf_left(packet)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (n) {
		struct cmsghdr *c;

		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(n * sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		*c = (struct cmsghdr){CMSG_LEN(n * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
		memcpy(CMSG_DATA(c), fds, n * sizeof(int));
	}
	return sendmsg(sock, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

/* Until nothing is left to do, or L's process would end. */
static inline int fuzz_turn(struct loop *l)
{
	struct epoll_event ev;
	int r = 0;

	while (r >= 0 && !l->stop && epoll_wait(l->epfd, &ev, 1, 0) == 1) {
		struct source *s = ev.data.ptr;

		r = s->fn(s, ev.events);
	}
	return r;
}

/* The lowest descriptor that is free: whatever was opened is closed again. */
static inline int fuzz_lowest(void)
{
	int fd = eventfd(0, EFD_CLOEXEC);

	must(fd >= 0);
	close(fd);
	return fd;
}

#endif
