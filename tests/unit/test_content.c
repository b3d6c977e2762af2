/*
 * tests/unit/test_content.c - content of a reply that is encoded as it is written
 *
 * Runs in:   a test
 * Input:     sealed memfds, a pipe that takes little at once
 * May touch: these
 * Must not:  open a file of the machine
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "frontend/frontend.h"
#include "ipc/jsonw.h"
#include "ipc/memfd.h"

#define LONG (3 * CONTENT_PIECE + 1)

struct fixture {
	struct content k;
	int pipe[2];
	uint8_t data[LONG];
	struct wbuf got;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f || pipe2(f->pipe, O_NONBLOCK | O_CLOEXEC) < 0 ||
	    fcntl(f->pipe[1], F_SETPIPE_SZ, 4096) < 0)
		return -1;
	for (size_t i = 0; i < LONG; i++)
		f->data[i] = (uint8_t)(i * 7 + i / 251);
	f->got = wbuf_growing(1 << 20);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	content_drop(&f->k);
	wbuf_free(&f->got);
	close(f->pipe[0]);
	close(f->pipe[1]);
	free(f);
	return 0;
}

static struct body body_of(const struct fixture *f, size_t len)
{
	CLEANUP(close_p) int fd = memfd_of("content", f->data, len);
	struct body b;

	assert_int_equal(body_map_whole(fd, &b), 0);
	return b;
}

static void drain(struct fixture *f)
{
	uint8_t buf[4096];
	ssize_t n;

	while ((n = read(f->pipe[0], buf, sizeof(buf))) > 0)
		wbuf_put(&f->got, buf, (size_t)n);
}

/* Write the next one to its end. */
static void write_next(struct fixture *f)
{
	uint32_t next = f->k.next;

	while (f->k.next == next) {
		ssize_t n = content_write(&f->k, f->pipe[1]);

		assert_true(n >= 0 || errno == EAGAIN);
		drain(f);
	}
}

static void is_base64_of(struct fixture *f, size_t len)
{
	CLEANUP(wbuf_free) struct wbuf want = wbuf_growing(1 << 20);

	jsonw_b64_piece(&want, f->data, len);
	assert_int_equal(f->got.len, want.len);
	if (len)
		assert_memory_equal(f->got.p, want.p, want.len);
	wbuf_empty(&f->got);
}

static void each_length(void **state)
{
	static const size_t lengths[] = {
		0, 1, 2, 3, CONTENT_PIECE - 1, CONTENT_PIECE, CONTENT_PIECE + 1, LONG,
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		struct body b = body_of(f, lengths[i]);

		content_put(&f->k, &b, &(size_t){0}, 1);
		assert_null(b.map);
		assert_true(content_waits(&f->k));
		write_next(f);
		assert_false(content_waits(&f->k));
		is_base64_of(f, lengths[i]);
	}
}

static void two_in_their_places(void **state)
{
	struct fixture *f = *state;
	struct body b[] = {body_of(f, LONG), body_of(f, 5)};

	content_put(&f->k, b, (size_t[]){100, 200}, 2);
	write_next(f);
	is_base64_of(f, LONG);
	/* What stood before it is gone; so nothing of the first moves. */
	content_move(&f->k, 100);
	assert_int_equal(f->k.at[f->k.next], 100);
	write_next(f);
	is_base64_of(f, 5);
	assert_false(content_waits(&f->k));
}

/* The next reply begins at its beginning. */
static void a_client_that_leaves(void **state)
{
	struct fixture *f = *state;
	struct body b = body_of(f, LONG);

	content_put(&f->k, &b, &(size_t){0}, 1);
	assert_true(content_write(&f->k, f->pipe[1]) > 0);
	content_drop(&f->k);
	assert_false(content_waits(&f->k));
	drain(f);
	wbuf_empty(&f->got);
	b = body_of(f, 4);
	content_put(&f->k, &b, &(size_t){0}, 1);
	write_next(f);
	is_base64_of(f, 4);
}

static void which_is_large(void **state)
{
	struct fixture *f = *state;
	struct body b[] = {body_of(f, CONTENT_PIECE), body_of(f, 1)};

	assert_false(content_is_large(NULL, 0));
	assert_false(content_is_large(b, 1));
	assert_true(content_is_large(b, 2));
	body_release(&b[0]);
	body_release(&b[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(each_length, setup, teardown),
		cmocka_unit_test_setup_teardown(two_in_their_places, setup, teardown),
		cmocka_unit_test_setup_teardown(a_client_that_leaves, setup, teardown),
		cmocka_unit_test_setup_teardown(which_is_large, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
