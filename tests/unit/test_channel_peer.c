/*
 * tests/unit/test_channel_peer.c - who is served on a listening channel, and when
 *
 * Runs in:   a test
 * Input:     connections over a unix socket, with the addresses that the test makes up
 * May touch: its own descriptors, and the two that a frontend is started with
 * Must not:  need a host: accept4 is told what the kernel says of one
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include <cmocka.h>
#include <linux/vm_sockets.h>

#include "frontend/frontend.h"
#include "ipc/launch.h"
#include "tests/lib/fds.h"

#define OWN_CID 3

struct fixture {
	size_t fds; /* open before the test */
	int worker; /* the raw end */
	uint8_t buf[FRAME_MAX];
	struct sockaddr_un addr; /* of the listener */
	socklen_t addr_len;
	struct frontend f;
};

/* ---- the kernel ---- */

/* What accept4 says of whoever connects next. */
static struct sockaddr_vm kernel_says;

int accept4(int fd, __SOCKADDR_ARG addr, socklen_t *restrict len, int flags)
{
	if (*len < sizeof(kernel_says))
		abort();
	memcpy(addr.__sockaddr__, &kernel_says, sizeof(kernel_says));
	*len = sizeof(kernel_says);
	return (int)syscall(SYS_accept4, fd, NULL, NULL, flags);
}

/* ---- a frontend whose policy has come ---- */

static int drop_frame(struct peer *p, struct frame *frame)
{
	(void)p;
	(void)frame;
	return 0;
}

static int no_worker(struct peer *p, enum frame_status why)
{
	(void)p;
	(void)why;
	return -1;
}

/* A listener in the place where a frontend finds it. */
static void listen_here(struct fixture *t)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	t->addr.sun_family = AF_UNIX;
	t->addr_len = sizeof(t->addr);
	/* No name: the kernel gives it one that nobody has. */
	assert_return_code(bind(fd, (struct sockaddr *)&t->addr, sizeof(sa_family_t)), 0);
	assert_return_code(getsockname(fd, (struct sockaddr *)&t->addr, &t->addr_len), 0);
	assert_return_code(listen(fd, 8), 0);
	assert_int_equal(dup2(fd, LAUNCH_FD_EXTRA), LAUNCH_FD_EXTRA);
	if (fd != LAUNCH_FD_EXTRA)
		close(fd);
}

static int setup(void **state, enum channel_kind kind)
{
	struct fixture *t = calloc(1, sizeof(*t));
	struct frontend *f = &t->f;
	int pair[2];

	*state = t;
	t->fds = fds_open();
	listen_here(t);
	bulk_init(&f->bulk);
	queue_init(&f->queue);
	f->scan = scan_new(&f->bulk.sink);
	assert_return_code(loop_init(&f->loop), 0);
	assert_return_code(timer_init(&f->loop, &f->abandon, queue_timer), 0);
	assert_return_code(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	t->worker = pair[0];
	assert_return_code(
		peer_open(&f->worker, &f->loop, pair[1], drop_frame, no_worker), 0);
	assert_return_code(channel_init(f, LAUNCH_FD_EXTRA, kind), 0);
	return channel_go(f);
}

static int setup_vsock(void **state)
{
	return setup(state, CHANNEL_VSOCK);
}

static int setup_unix(void **state)
{
	return setup(state, CHANNEL_LISTEN);
}

static int teardown(void **state)
{
	struct fixture *t = *state;
	struct frontend *f = &t->f;
	int served = f->channel.link.fd;

	loop_remove(&f->loop, &f->channel.link);
	close_p(&served);
	close_p(&f->channel.next);
	close(LAUNCH_FD_EXTRA);
	timer_done(&f->loop, &f->abandon);
	peer_close(&f->worker);
	loop_done(&f->loop);
	close(t->worker);
	wbuf_free(&f->channel.out);
	scan_free(f->scan);
	assert_int_equal(fds_open(), t->fds);
	free(t);
	return 0;
}

/* Let the loop turn until nothing is ready. */
static void settle(struct fixture *t)
{
	struct epoll_event ev;

	while (epoll_wait(t->f.loop.epfd, &ev, 1, 0) > 0) {
		struct source *s = ev.data.ptr;

		assert_return_code(s->fn(s, ev.events), 0);
	}
}

/* ---- clients ---- */

/* A connection of CID, after which the frontend has had its turn. */
static int connect_as(struct fixture *t, unsigned int cid)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	kernel_says = (struct sockaddr_vm){.svm_family = AF_VSOCK, .svm_cid = cid};
	assert_return_code(connect(fd, (struct sockaddr *)&t->addr, t->addr_len), 0);
	settle(t);
	return fd;
}

enum answer { ANSWER_ERROR, ANSWER_NONE, ANSWER_HANGUP };

/* What a request gets that needs no worker: one that is not JSON. */
static enum answer ask(struct fixture *t, int fd)
{
	static const char want[] = "{\"error\": {\"class\": \"GenericError\", ";
	char got[256];
	ssize_t n;

	if (send(fd, "}", 1, MSG_NOSIGNAL) < 0)
		return ANSWER_HANGUP;
	settle(t);
	n = recv(fd, got, sizeof(got), 0);
	if (n < 0)
		return errno == EAGAIN ? ANSWER_NONE : ANSWER_HANGUP;
	if (n > 0)
		assert_memory_equal(got, want, sizeof(want) - 1);
	return n > 0 ? ANSWER_ERROR : ANSWER_HANGUP;
}

static void hang_up(struct fixture *t, int fd)
{
	close(fd);
	settle(t);
}

/* Lines for the log that the worker was sent since the last call. */
static unsigned int log_lines(struct fixture *t)
{
	struct frame frame;
	unsigned int n = 0;

	while (recv(t->worker, t->buf, 1, MSG_PEEK | MSG_DONTWAIT) > 0) {
		assert_int_equal(frame_recv(t->worker, t->buf, &frame), FRAME_OK);
		n += frame.type == FRAME_LOG;
	}
	return n;
}

/* ---- vsock ---- */

static void test_the_host_is_served(void **state)
{
	struct fixture *t = *state;
	int host = connect_as(t, VMADDR_CID_HOST);

	assert_int_equal(ask(t, host), ANSWER_ERROR);
	assert_int_equal(log_lines(t), 0);
	close(host);
}

static void test_nobody_else_is_served(void **state)
{
	static const unsigned int cids[] = {VMADDR_CID_HYPERVISOR, VMADDR_CID_LOCAL,
					    OWN_CID, OWN_CID + 1, VMADDR_CID_ANY};
	struct fixture *t = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cids); i++) {
		int fd = connect_as(t, cids[i]);

		assert_int_equal(ask(t, fd), ANSWER_HANGUP);
		assert_int_equal(log_lines(t), 1);
		close(fd);
	}
}

static void test_nor_while_the_host_is_there(void **state)
{
	struct fixture *t = *state;
	int host = connect_as(t, VMADDR_CID_HOST);
	int own = connect_as(t, OWN_CID);

	assert_int_equal(ask(t, own), ANSWER_HANGUP);
	assert_int_equal(ask(t, host), ANSWER_ERROR);
	close(own);
	close(host);
}

static void test_the_next_of_the_host_waits(void **state)
{
	struct fixture *t = *state;
	int first = connect_as(t, VMADDR_CID_HOST);
	int second = connect_as(t, VMADDR_CID_HOST);
	int third = connect_as(t, VMADDR_CID_HOST);

	assert_int_equal(ask(t, second), ANSWER_NONE);
	assert_int_equal(ask(t, third), ANSWER_NONE);
	assert_int_equal(ask(t, first), ANSWER_ERROR);
	hang_up(t, first);
	assert_int_equal(ask(t, third), ANSWER_NONE);
	assert_int_equal(ask(t, second), ANSWER_ERROR);
	hang_up(t, second);
	assert_int_equal(ask(t, third), ANSWER_ERROR);
	hang_up(t, third);
	first = connect_as(t, OWN_CID);
	assert_int_equal(ask(t, first), ANSWER_HANGUP);
	close(first);
}

static void test_an_address_of_another_family(void **state)
{
	struct sockaddr_vm addr = {.svm_cid = VMADDR_CID_HOST};

	(void)state;
	for (sa_family_t family = AF_UNSPEC; family < AF_MAX; family++) {
		addr.svm_family = family;
		assert_int_equal(channel_may_serve(CHANNEL_VSOCK, &addr),
				 family == AF_VSOCK);
	}
}

/* ---- unix ---- */

static void test_whoever_reaches_the_path(void **state)
{
	struct fixture *t = *state;
	int first = connect_as(t, OWN_CID);
	int second = connect_as(t, OWN_CID);

	assert_int_equal(ask(t, second), ANSWER_NONE);
	assert_int_equal(ask(t, first), ANSWER_ERROR);
	hang_up(t, first);
	assert_int_equal(ask(t, second), ANSWER_ERROR);
	assert_int_equal(log_lines(t), 0);
	close(second);
}

#define VSOCK(fn) cmocka_unit_test_setup_teardown(fn, setup_vsock, teardown)
#define UNIX(fn)  cmocka_unit_test_setup_teardown(fn, setup_unix, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		VSOCK(test_the_host_is_served),
		VSOCK(test_nobody_else_is_served),
		VSOCK(test_nor_while_the_host_is_there),
		VSOCK(test_the_next_of_the_host_waits),
		cmocka_unit_test(test_an_address_of_another_family),
		UNIX(test_whoever_reaches_the_path),
	};

	return cmocka_run_group_tests_name("channel_peer", tests, NULL, NULL);
}
