/*
 * tests/unit/test_frame.c - one message on a socket between two of our processes
 *
 * Runs in:   a test
 * Input:     frames over a socket pair, malformed ones among them
 * May touch: its own descriptors
 * Must not:  leave a descriptor open: each test counts them
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "ipc/frame.h"
#include "tests/lib/fds.h"

struct fixture {
	size_t fds; /* open before the test */
	int ours, theirs;
	uint8_t buf[FRAME_MAX];
	struct frame got;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int pair[2];

	f->fds = fds_open();
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	f->ours = pair[0];
	f->theirs = pair[1];
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	close_p(&f->ours);
	close_p(&f->theirs);
	assert_int_equal(fds_open(), f->fds);
	free(f);
	return 0;
}

static enum frame_status receive(struct fixture *f)
{
	memset(&f->got, 0xa5, sizeof(f->got));
	return frame_recv(f->ours, f->buf, &f->got);
}

/* Refused, and no descriptor kept. */
static void refuses(struct fixture *f)
{
	size_t before = fds_open();

	assert_int_equal(receive(f), FRAME_INVALID);
	assert_int_equal(f->got.fds[0], -1);
	assert_int_equal(f->got.fds[1], -1);
	assert_int_equal(fds_open(), before);
	/* Only the one message is gone: the next is not there yet. */
	assert_int_equal(receive(f), FRAME_AGAIN);
}

/* Send LEN bytes and N descriptors, whatever they are. */
static void send_raw(struct fixture *f, const void *p, size_t len, const int *fds,
		     size_t n)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * 16)];
		struct cmsghdr align;
	} control = {0};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)p, .iov_len = len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (n) {
		struct cmsghdr *c = &control.align;

		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * n);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * n);
	}
	assert_int_equal(sendmsg(f->theirs, &msg, MSG_DONTWAIT), len);
}

/* A header as given, with BODY behind it and N descriptors beside it. */
static void send_head(struct fixture *f, const struct frame *head, const char *body,
		      size_t n_fds)
{
	uint8_t packet[FRAME_HEAD + 64];
	struct wbuf w = wbuf_fixed(packet, sizeof(packet));
	int fds[16];

	frame_head(head, wbuf_room(&w, FRAME_HEAD));
	wbuf_text(&w, body);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = f->theirs;
	send_raw(f, packet, w.len, fds, n_fds);
}

static void header_layout(void **state)
{
	static const uint8_t expected[FRAME_HEAD] = {
		0x02, 0x01, 0x04, 0x03, 0x08, 0x07, 0x06, 0x05, 0x0c, 0x0b,
		0x0a, 0x09, 0x0e, 0x0d, 0x10, 0x0f, 0x14, 0x13, 0x12, 0x11};
	const struct frame f = {
		.type = 0x0102,
		.op = 0x0304,
		.request = 0x05060708,
		.generation = 0x090a0b0c,
		.flags = 0x0d0e,
		.n_fds = 0x0f10,
		.len = 0x11121314,
	};
	uint8_t head[FRAME_HEAD];

	(void)state;
	frame_head(&f, head);
	assert_memory_equal(head, expected, sizeof(head));
}

static void round_trip(void **state)
{
	struct fixture *f = *state;
	struct frame sent = {
		.type = FRAME_REPLY,
		.op = 0xabcd,
		.request = 0xfffffffe,
		.generation = 77,
		.flags = FRAME_MORE,
		.body = (const uint8_t *)"body\0of it",
		.len = 10,
	};

	assert_int_equal(frame_send(f->theirs, &sent), FRAME_OK);
	assert_int_equal(receive(f), FRAME_OK);
	assert_int_equal(f->got.type, FRAME_REPLY);
	assert_int_equal(f->got.op, 0xabcd);
	assert_true(f->got.request == 0xfffffffe);
	assert_int_equal(f->got.generation, 77);
	assert_int_equal(f->got.flags, FRAME_MORE);
	assert_int_equal(f->got.n_fds, 0);
	assert_int_equal(f->got.len, 10);
	assert_memory_equal(f->got.body, "body\0of it", 10);
	assert_int_equal(receive(f), FRAME_AGAIN);
}

static void every_type_passes(void **state)
{
	struct fixture *f = *state;

	for (int type = FRAME_HELLO; type < FRAME_TYPE_END; type++) {
		const struct frame sent = {.type = (uint16_t)type};

		assert_int_equal(frame_send(f->theirs, &sent), FRAME_OK);
		assert_int_equal(receive(f), FRAME_OK);
		assert_int_equal(f->got.type, type);
		assert_int_equal(f->got.len, 0);
	}
}

static void largest_body(void **state)
{
	struct fixture *f = *state;
	uint8_t *body = test_malloc(FRAME_BODY_MAX + 1);
	struct frame sent = {.type = FRAME_REPLY, .body = body, .len = FRAME_BODY_MAX};

	for (size_t i = 0; i <= FRAME_BODY_MAX; i++)
		body[i] = (uint8_t)(i * 31);
	assert_int_equal(frame_send(f->theirs, &sent), FRAME_OK);
	assert_int_equal(receive(f), FRAME_OK);
	assert_int_equal(f->got.len, FRAME_BODY_MAX);
	assert_memory_equal(f->got.body, body, FRAME_BODY_MAX);

	sent.len++;
	assert_int_equal(frame_send(f->theirs, &sent), FRAME_INVALID);
	assert_int_equal(receive(f), FRAME_AGAIN);
	test_free(body);
}

/* Longer than a frame may be, so the kernel cuts it: never read as what is left. */
static void cut_by_the_kernel(void **state)
{
	struct fixture *f = *state;
	uint8_t *packet = test_calloc(1, FRAME_MAX + 1);

	frame_head(&(struct frame){.type = FRAME_REPLY, .len = FRAME_BODY_MAX}, packet);
	send_raw(f, packet, FRAME_MAX + 1, NULL, 0);
	refuses(f);
	test_free(packet);
}

static void short_header(void **state)
{
	struct fixture *f = *state;
	uint8_t head[FRAME_HEAD];

	frame_head(&(struct frame){.type = FRAME_HELLO}, head);
	for (size_t len = 1; len < FRAME_HEAD; len++) {
		send_raw(f, head, len, NULL, 0);
		refuses(f);
	}
}

/* Header, body, descriptors that really come. */
static const struct {
	struct frame head;
	const char *body;
	size_t fds;
} malformed[] = {
	{{.type = 0}, "", 0},
	{{.type = FRAME_TYPE_END}, "", 0},
	{{.type = 0xffff}, "", 0},
	{{.type = FRAME_HELLO, .len = 1}, "", 0},
	{{.type = FRAME_HELLO, .len = 0}, "x", 0},
	{{.type = FRAME_HELLO, .len = 2}, "x", 0},
	{{.type = FRAME_HELLO, .len = 0xffffffff}, "x", 0},
	{{.type = FRAME_REPLY, .flags = 32}, "", 0},
	/* An error is never a fragment. */
	{{.type = FRAME_REPLY, .flags = FRAME_MORE | FRAME_ERROR, .len = 1}, "x", 0},
	/* A fragment without content could be followed by more of them for ever. */
	{{.type = FRAME_REPLY, .flags = FRAME_MORE}, "", 0},
	{{.type = FRAME_REPLY, .flags = 0x8000}, "", 0},
	/* Announced but not there, there but not announced, more of either. */
	{{.type = FRAME_REQUEST, .n_fds = 1}, "", 0},
	{{.type = FRAME_REQUEST, .n_fds = 0xffff}, "", 0},
	{{.type = FRAME_REQUEST, .n_fds = 0}, "", 1},
	{{.type = FRAME_REQUEST, .n_fds = 1}, "", 2},
	{{.type = FRAME_REQUEST, .n_fds = 2}, "", 1},
	/* Announced and there, but not for this type, or for any. */
	{{.type = FRAME_HELLO, .n_fds = 1}, "", 1},
	{{.type = FRAME_POLICY, .n_fds = 2}, "", 2},
	{{.type = FRAME_ABANDON, .n_fds = 1}, "", 1},
	{{.type = FRAME_SESSION, .n_fds = 1}, "", 1},
	{{.type = FRAME_LOG, .n_fds = 2}, "", 2},
	{{.type = FRAME_REQUEST, .n_fds = 3}, "", 3},
	{{.type = FRAME_REQUEST, .n_fds = 2}, "", 3},
	{{.type = FRAME_REQUEST, .n_fds = 8}, "", 8},
	/* More than there is room for to receive them. */
	{{.type = FRAME_REQUEST, .n_fds = 2}, "", 12},
	/* A body in a descriptor, of which there is none. */
	{{.type = FRAME_REQUEST, .flags = FRAME_BODY_FD}, "", 0},
};

static void malformed_headers(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(malformed); i++) {
		send_head(f, &malformed[i].head, malformed[i].body, malformed[i].fds);
		refuses(f);
	}
}

/* Each flag where it belongs, and nowhere else. */
static void flags_by_type(void **state)
{
	static const uint16_t fits[FRAME_TYPE_END] = {
		[FRAME_REQUEST] = FRAME_BODY_FD | FRAME_REFUSED | FRAME_BAD_ARGS,
		[FRAME_REPLY] = FRAME_MORE | FRAME_ERROR,
	};
	struct fixture *f = *state;

	for (int type = FRAME_HELLO; type < FRAME_TYPE_END; type++) {
		for (uint32_t bit = 0; bit < 16; bit++) {
			uint16_t flag = (uint16_t)(1u << bit);
			uint16_t n_fds = flag == FRAME_BODY_FD && type == FRAME_REQUEST;
			const struct frame head = {
				.type = (uint16_t)type,
				.flags = flag,
				.n_fds = n_fds,
				.len = 1,
			};

			send_head(f, &head, "x", n_fds);
			assert_int_equal(receive(f),
					 (fits[type] & flag) ? FRAME_OK : FRAME_INVALID);
			frame_close_fds(&f->got);
		}
	}
}

/* A packet without a byte, but with descriptors. */
static void empty_with_descriptors(void **state)
{
	struct fixture *f = *state;

	send_raw(f, "", 0, (int[]){f->theirs, f->theirs}, 2);
	refuses(f);
}

static bool same_file(int a, int b)
{
	struct stat x, y;

	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_ino == y.st_ino &&
	       x.st_dev == y.st_dev;
}

static void descriptors_in_order(void **state)
{
	struct fixture *f = *state;
	size_t before = fds_open();
	int pipes[2];

	assert_int_equal(pipe2(pipes, 0), 0);
	for (uint16_t n = 1; n <= FRAME_FDS_MAX; n++) {
		struct frame sent = {
			.type = FRAME_REQUEST,
			.n_fds = n,
			.fds = {f->theirs, pipes[1]},
		};

		assert_int_equal(frame_send(f->theirs, &sent), FRAME_OK);
		assert_int_equal(receive(f), FRAME_OK);
		assert_int_equal(f->got.n_fds, n);
		assert_int_equal(fds_open(), before + 2 + n);
		assert_true(same_file(f->got.fds[0], f->theirs));
		assert_int_equal(n == 2, same_file(f->got.fds[1], pipes[1]));
		assert_int_equal(fcntl(f->got.fds[0], F_GETFD), FD_CLOEXEC);
		frame_close_fds(&f->got);
		assert_int_equal(f->got.fds[0], -1);
		assert_int_equal(f->got.fds[1], -1);
	}
	close(pipes[0]);
	close(pipes[1]);
	assert_int_equal(fds_open(), before);
}

/* What was taken is not closed with the rest. */
static void taken_descriptor_stays(void **state)
{
	struct fixture *f = *state;
	struct frame sent = {
		.type = FRAME_REPLY, .n_fds = 2, .fds = {f->theirs, f->theirs}};
	CLEANUP(close_p) int taken = -1;

	frame_send(f->theirs, &sent);
	assert_int_equal(receive(f), FRAME_OK);
	taken = TAKE_FD(f->got.fds[0]);
	frame_close_fds(&f->got);
	assert_true(fcntl(taken, F_GETFD) >= 0);
}

static void too_many_to_send(void **state)
{
	struct fixture *f = *state;
	struct frame sent = {.type = FRAME_REQUEST, .n_fds = FRAME_FDS_MAX + 1};

	assert_int_equal(frame_send(f->theirs, &sent), FRAME_INVALID);
	assert_int_equal(receive(f), FRAME_AGAIN);
}

static void peer_closed(void **state)
{
	struct fixture *f = *state;

	/* What it said before it went is still heard. */
	frame_send(f->theirs, &(struct frame){.type = FRAME_LOG});
	close_p(&f->theirs);
	assert_int_equal(receive(f), FRAME_OK);
	assert_int_equal(receive(f), FRAME_GONE);
	/* No SIGPIPE. */
	assert_int_equal(frame_send(f->ours, &(struct frame){.type = FRAME_LOG}),
			 FRAME_GONE);
}

static void full_socket(void **state)
{
	struct fixture *f = *state;
	uint8_t *body = test_calloc(1, FRAME_BODY_MAX);
	struct frame sent = {.type = FRAME_REPLY, .body = body, .len = FRAME_BODY_MAX};
	uint32_t queued = 0, received = 0;

	while (sent.request = queued, frame_send(f->theirs, &sent) == FRAME_OK)
		queued++;
	assert_true(queued > 0);
	assert_int_equal(frame_send(f->theirs, &sent), FRAME_AGAIN);
	while (receive(f) == FRAME_OK)
		assert_int_equal(f->got.request, received++);
	assert_int_equal(received, queued);
	assert_int_equal(frame_send(f->theirs, &sent), FRAME_OK);
	test_free(body);
}

int main(void)
{
#define WITH_PAIR(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(header_layout),
		WITH_PAIR(round_trip),
		WITH_PAIR(every_type_passes),
		WITH_PAIR(largest_body),
		WITH_PAIR(cut_by_the_kernel),
		WITH_PAIR(short_header),
		WITH_PAIR(malformed_headers),
		WITH_PAIR(flags_by_type),
		WITH_PAIR(empty_with_descriptors),
		WITH_PAIR(descriptors_in_order),
		WITH_PAIR(taken_descriptor_stays),
		WITH_PAIR(too_many_to_send),
		WITH_PAIR(peer_closed),
		WITH_PAIR(full_socket),
	};

	return cmocka_run_group_tests_name("frame", tests, NULL, NULL);
}
