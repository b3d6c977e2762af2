/*
 * tests/unit/test_peer.c - the other end of a socket
 *
 * Runs in:   a test
 * Input:     frames of a raw socket that plays the other process, well-behaved or not
 * May touch: its own descriptors
 * Must not:  leave a descriptor open: each test counts them
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "ipc/ops.h"
#include "ipc/peer.h"
#include "tests/lib/fds.h"

struct fixture {
	size_t fds; /* open before the test */
	struct loop loop;
	struct peer peer;
	int other; /* the raw end */
	uint8_t buf[FRAME_MAX];
	struct frame got; /* at the raw end */

	int frames; /* shown to on_frame */
	struct frame last;
	bool closes; /* on_frame closes the peer */
	int gone;    /* calls of on_gone */
	enum frame_status why;
};

static int on_frame(struct peer *p, struct frame *frame)
{
	struct fixture *f = CONTAINER_OF(p, struct fixture, peer);

	f->frames++;
	f->last = *frame;
	if (f->closes)
		peer_close(p);
	return frame->op == 99 ? -9 : 0;
}

static int on_gone(struct peer *p, enum frame_status why)
{
	struct fixture *f = CONTAINER_OF(p, struct fixture, peer);

	f->gone++;
	f->why = why;
	peer_close(p);
	return 0;
}

/* Let the loop turn until nothing is ready; the first negative result of a callback. */
static int settle(struct fixture *f)
{
	struct epoll_event ev;
	int r = 0;

	while (r >= 0 && epoll_wait(f->loop.epfd, &ev, 1, 0) > 0) {
		struct source *s = ev.data.ptr;

		r = s->fn(s, ev.events);
	}
	return r;
}

static enum frame_status receive(struct fixture *f)
{
	return frame_recv(f->other, f->buf, &f->got);
}

static void send_frame(struct fixture *f, const struct frame *frame)
{
	assert_int_equal(frame_send(f->other, frame), FRAME_OK);
}

/* A hello of LEN bytes at the most, as another build might send it. */
static void send_hello(struct fixture *f, uint64_t hash, uint32_t version, uint32_t len)
{
	uint8_t body[16];
	struct wbuf w = wbuf_fixed(body, sizeof(body));

	wbuf_u64(&w, hash);
	wbuf_u32(&w, version);
	wbuf_u32(&w, 0);
	send_frame(f, &(struct frame){.type = FRAME_HELLO, .body = body, .len = len});
}

/* A peer of which nothing was heard yet; its own hello waits at the raw end. */
static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int pair[2];

	*state = f;
	f->fds = fds_open();
	if (loop_init(&f->loop) < 0 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	f->other = pair[1];
	return peer_open(&f->peer, &f->loop, pair[0], on_frame, on_gone);
}

/* A peer that has greeted, and whose hello was read. */
static int setup_greeted(void **state)
{
	struct fixture *f;

	if (setup(state) < 0)
		return -1;
	f = *state;
	send_hello(f, ops_hash(), WIRE_VERSION, 12);
	settle(f);
	return receive(f) == FRAME_OK && f->peer.greeted ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	peer_close(&f->peer);
	close_p(&f->other);
	loop_done(&f->loop);
	assert_int_equal(fds_open(), f->fds);
	free(f);
	return 0;
}

static void assert_gone(struct fixture *f, enum frame_status why)
{
	assert_int_equal(settle(f), 0);
	assert_int_equal(f->gone, 1);
	assert_int_equal(f->why, why);
	assert_int_equal(f->frames, 0);
	assert_false(peer_is_open(&f->peer));
}

/* ---- hello ---- */

static void says_hello_first(void **state)
{
	struct fixture *f = *state;
	struct rbuf r;

	assert_int_equal(receive(f), FRAME_OK);
	assert_int_equal(f->got.type, FRAME_HELLO);
	r = rbuf_of(f->got.body, f->got.len);
	assert_true(rbuf_u64(&r) == ops_hash());
	assert_int_equal(rbuf_u32(&r), WIRE_VERSION);
	assert_true(rbuf_done(&r));
	assert_int_equal(receive(f), FRAME_AGAIN);
}

static void hello_is_not_shown(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(f->frames, 0);
	send_frame(f, &(struct frame){.type = FRAME_REPLY, .op = 4, .request = 7});
	assert_int_equal(settle(f), 0);
	assert_int_equal(f->frames, 1);
	assert_int_equal(f->last.type, FRAME_REPLY);
	assert_int_equal(f->last.op, 4);
	assert_int_equal(f->last.request, 7);
	assert_int_equal(f->gone, 0);
}

static void hello_of_another_table(void **state)
{
	send_hello(*state, ops_hash() ^ 1, WIRE_VERSION, 12);
	assert_gone(*state, FRAME_INVALID);
}

static void hello_of_another_version(void **state)
{
	send_hello(*state, ops_hash(), WIRE_VERSION + 1, 12);
	assert_gone(*state, FRAME_INVALID);
}

static void hello_too_short(void **state)
{
	send_hello(*state, ops_hash(), WIRE_VERSION, 11);
	assert_gone(*state, FRAME_INVALID);
}

static void hello_too_long(void **state)
{
	send_hello(*state, ops_hash(), WIRE_VERSION, 13);
	assert_gone(*state, FRAME_INVALID);
}

static void frame_before_hello(void **state)
{
	send_frame(*state, &(struct frame){.type = FRAME_REQUEST, .op = 4});
	assert_gone(*state, FRAME_INVALID);
}

/* A frame that says what a hello says, and is none. */
static void hello_in_disguise(void **state)
{
	struct fixture *f = *state;
	uint8_t body[12];
	struct wbuf w = wbuf_fixed(body, sizeof(body));

	wbuf_u64(&w, ops_hash());
	wbuf_u32(&w, WIRE_VERSION);
	send_frame(f, &(struct frame){.type = FRAME_LOG, .body = body, .len = 12});
	assert_gone(f, FRAME_INVALID);
}

static void second_hello(void **state)
{
	send_hello(*state, ops_hash(), WIRE_VERSION, 12);
	assert_gone(*state, FRAME_INVALID);
}

/* ---- the end ---- */

static void closed_by_the_other(void **state)
{
	struct fixture *f = *state;

	close_p(&f->other);
	assert_gone(f, FRAME_GONE);
	assert_int_equal(peer_send(&f->peer, &(struct frame){.type = FRAME_LOG}), -1);
	peer_close(&f->peer);
}

static void malformed_frame(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(send(f->other, "garbage", 7, 0), 7);
	assert_gone(f, FRAME_INVALID);
}

static void callback_ends_the_loop(void **state)
{
	struct fixture *f = *state;

	send_frame(f, &(struct frame){.type = FRAME_LOG, .op = 99});
	assert_int_equal(settle(f), -9);
}

/* What comes behind the frame at which the callback closed is not shown. */
static void closed_within_callback(void **state)
{
	struct fixture *f = *state;

	f->closes = true;
	send_frame(f, &(struct frame){.type = FRAME_REQUEST,
				      .n_fds = 2,
				      .fds = {f->other, f->other}});
	send_frame(f, &(struct frame){.type = FRAME_LOG});
	assert_int_equal(settle(f), 0);
	assert_int_equal(f->frames, 1);
	assert_int_equal(f->gone, 0);
}

static void descriptors_nobody_took(void **state)
{
	struct fixture *f = *state;
	size_t before = fds_open();

	for (int i = 0; i < 3; i++)
		send_frame(f, &(struct frame){.type = FRAME_REQUEST,
					      .n_fds = 1,
					      .fds = {f->other, -1}});
	assert_int_equal(settle(f), 0);
	assert_int_equal(f->frames, 3);
	assert_int_equal(fds_open(), before);
}

/* A request may hold a password; nothing of it is left when it was handled. */
static void request_is_wiped(void **state)
{
	struct fixture *f = *state;
	uint8_t body[1000];

	memset(body, 0x5a, sizeof(body));
	send_frame(f, &(struct frame){.type = FRAME_REQUEST, .body = body, .len = 1000});
	assert_int_equal(settle(f), 0);
	assert_int_equal(f->frames, 1);
	assert_int_equal(f->last.len, 1000);
	assert_null(memchr(f->peer.buf, 0x5a, sizeof(f->peer.buf)));
	/* The callback may have closed the peer. */
	f->closes = true;
	send_frame(f, &(struct frame){.type = FRAME_REQUEST, .body = body, .len = 1000});
	assert_int_equal(settle(f), 0);
	assert_int_equal(f->frames, 2);
	assert_null(memchr(f->peer.buf, 0x5a, sizeof(f->peer.buf)));
}

static void open_fails(void **state)
{
	struct fixture *f = *state;
	struct peer *p = calloc(1, sizeof(*p));
	size_t before = fds_open();
	int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* epoll takes none */

	assert_int_equal(peer_open(p, &f->loop, fd, on_frame, on_gone), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(fds_open(), before);
	assert_false(peer_is_open(p));
	peer_close(p);
	free(p);
}

/* ---- the queue ---- */

#define BODY FRAME_BODY_MAX

/* Send numbered frames until N are sent or the peer takes no more; how many it took. */
static uint32_t send_many(struct fixture *f, uint32_t n, const uint8_t *body)
{
	uint32_t i = 0;

	while (i < n && peer_send(&f->peer, &(struct frame){.type = FRAME_REPLY,
							    .request = i,
							    .body = body,
							    .len = BODY}) == 0)
		i++;
	return i;
}

static void queued_in_order(void **state)
{
	struct fixture *f = *state;
	uint8_t *body = malloc(BODY);
	uint32_t n = 0;

	memset(body, 0x5a, BODY);
	assert_int_equal(send_many(f, 40, body), 40);
	assert_non_null(f->peer.out_head);
	memset(body, 0, BODY); /* a copy is queued */
	for (; receive(f) == FRAME_OK; settle(f)) {
		assert_int_equal(f->got.request, n++);
		assert_int_equal(f->got.len, BODY);
		assert_int_equal(f->got.body[0], 0x5a);
		assert_int_equal(f->got.body[BODY - 1], 0x5a);
	}
	assert_int_equal(n, 40);
	assert_null(f->peer.out_head);
	assert_int_equal(f->peer.out_bytes, 0);
	/* Nothing to write: room in the socket must not wake us. */
	assert_int_equal(f->peer.source.events, EPOLLIN);
	free(body);
}

/* While frames wait none overtakes them, even if the socket has room again. */
static void none_overtakes(void **state)
{
	struct fixture *f = *state;
	uint8_t *body = calloc(1, BODY);
	uint32_t n = 0;

	assert_int_equal(send_many(f, 10, body), 10);
	while (n < 3 && receive(f) == FRAME_OK)
		assert_int_equal(f->got.request, n++);
	peer_send(&f->peer, &(struct frame){.type = FRAME_LOG, .request = 10});
	for (settle(f); receive(f) == FRAME_OK; settle(f))
		assert_int_equal(f->got.request, n++);
	assert_int_equal(n, 11);
	free(body);
}

/* A queued frame has descriptors of its own. */
static void queued_descriptors(void **state)
{
	struct fixture *f = *state;
	uint8_t *body = calloc(1, BODY);
	int pipes[2];
	uint32_t n = send_many(f, 10, body);
	size_t before = fds_open();

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	peer_send(&f->peer, &(struct frame){.type = FRAME_REPLY,
					    .n_fds = 2,
					    .fds = {pipes[0], pipes[1]}});
	close(pipes[0]);
	close(pipes[1]);
	assert_int_equal(fds_open(), before + 2);
	while (n-- && receive(f) == FRAME_OK)
		settle(f);
	assert_int_equal(receive(f), FRAME_OK);
	assert_int_equal(f->got.n_fds, 2);
	assert_int_equal(write(f->got.fds[1], "x", 1), 1);
	assert_int_equal(read(f->got.fds[0], body, 1), 1);
	frame_close_fds(&f->got);
	assert_int_equal(fds_open(), before);
	free(body);
}

/* What it said before it went is heard although we have more to say. */
static void last_words(void **state)
{
	struct fixture *f = *state;
	uint8_t *body = calloc(1, BODY);

	send_many(f, 10, body);
	send_frame(f, &(struct frame){.type = FRAME_LOG, .request = 1});
	send_frame(f, &(struct frame){.type = FRAME_LOG, .request = 2});
	close_p(&f->other);
	assert_int_equal(settle(f), 0);
	assert_int_equal(f->frames, 2);
	assert_int_equal(f->last.request, 2);
	assert_int_equal(f->gone, 1);
	assert_int_equal(f->why, FRAME_GONE);
	free(body);
}

/* Closing with frames queued frees them; the sanitizer and teardown would tell. */
static void closed_with_queue(void **state)
{
	struct fixture *f = *state;
	uint8_t *body = calloc(1, BODY);

	send_many(f, 10, body);
	peer_send(
		&f->peer,
		&(struct frame){.type = FRAME_REPLY, .n_fds = 1, .fds = {f->other, -1}});
	peer_close(&f->peer);
	assert_int_equal(f->peer.out_bytes, 0);
	free(body);
}

/*
 * A peer that does not read and does not write either: so many bytes, then it is given
 * up. That is said by the loop, never from within a send.
 */
static void overrun(void **state)
{
	struct fixture *f = *state;
	uint8_t *body = calloc(1, BODY);
	uint32_t n = send_many(f, 1000, body);

	free(body);
	assert_in_range(n, PEER_QUEUE_MAX / (BODY + 1024), PEER_QUEUE_MAX / BODY + 64);
	assert_int_equal(f->gone, 0);
	assert_true(peer_is_open(&f->peer));
	assert_int_equal(f->peer.out_bytes, 0);
	assert_int_equal(peer_send(&f->peer, &(struct frame){.type = FRAME_LOG}), -1);
	assert_gone(f, FRAME_INVALID);
}

/* ---- fragments ---- */

static void reply_of(struct fixture *f, const uint8_t *body, size_t len, uint16_t flags)
{
	size_t at = 0;
	bool more = true;

	assert_int_equal(peer_reply(&f->peer, 17, 5, flags, body, len), 0);
	for (; more && receive(f) == FRAME_OK; settle(f)) {
		assert_int_equal(f->got.type, FRAME_REPLY);
		assert_int_equal(f->got.op, 17);
		assert_int_equal(f->got.request, 5);
		assert_int_equal(f->got.flags & ~FRAME_MORE, flags);
		assert_true(at + f->got.len <= len);
		assert_memory_equal(f->got.body, body + at, f->got.len);
		at += f->got.len;
		more = f->got.flags & FRAME_MORE;
	}
	assert_false(more);
	assert_int_equal(at, len);
	assert_int_equal(receive(f), FRAME_AGAIN);
}

static void fragments(void **state)
{
	static const size_t lens[] = {0,        1,        BODY - 1,      BODY,
				      BODY + 1, 2 * BODY, REPLY_BODY_MAX};
	uint8_t *body = malloc(REPLY_BODY_MAX);

	for (size_t i = 0; i < REPLY_BODY_MAX; i++)
		body[i] = (uint8_t)(i % 251);
	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		reply_of(*state, body, lens[i], 0);
		if (lens[i] <= BODY) /* an error is always whole */
			reply_of(*state, body, lens[i], FRAME_ERROR);
	}
	free(body);
}

int main(void)
{
#define NEW(test)     cmocka_unit_test_setup_teardown(test, setup, teardown)
#define GREETED(test) cmocka_unit_test_setup_teardown(test, setup_greeted, teardown)
	static const struct CMUnitTest tests[] = {
		NEW(says_hello_first),
		GREETED(hello_is_not_shown),
		NEW(hello_of_another_table),
		NEW(hello_of_another_version),
		NEW(hello_too_short),
		NEW(hello_too_long),
		NEW(frame_before_hello),
		NEW(hello_in_disguise),
		GREETED(second_hello),
		NEW(closed_by_the_other),
		GREETED(malformed_frame),
		GREETED(callback_ends_the_loop),
		GREETED(closed_within_callback),
		GREETED(descriptors_nobody_took),
		GREETED(request_is_wiped),
		NEW(open_fails),
		GREETED(queued_in_order),
		GREETED(none_overtakes),
		GREETED(queued_descriptors),
		GREETED(last_words),
		GREETED(closed_with_queue),
		GREETED(overrun),
		GREETED(fragments),
	};

	return cmocka_run_group_tests_name("peer", tests, NULL, NULL);
}
