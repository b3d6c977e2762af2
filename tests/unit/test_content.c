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

/* LEN bytes as content in front of byte AT. */
static void put_one(struct fixture *f, size_t len, size_t at)
{
	int fd = memfd_of("content", f->data, len);

	assert_true(fd >= 0);
	content_put(&f->k, &fd, &(uint64_t){len}, &at, 1);
	assert_int_equal(fd, -1);
}

static void drain(struct fixture *f)
{
	uint8_t buf[4096];
	ssize_t n;

	while ((n = read(f->pipe[0], buf, sizeof(buf))) > 0)
		wbuf_put(&f->got, buf, (size_t)n);
}

/* Write what is there, with TEXT around it. */
static void write_all(struct fixture *f, const char *text)
{
	struct wbuf out = wbuf_growing(1024);
	size_t done = 0;
	bool cut = false;

	wbuf_text(&out, text);

	while (content_left(&f->k) || content_waits(&f->k) || done < out.len) {
		ssize_t n;

		if (!content_left(&f->k))
			assert_int_equal(content_fill(&f->k, &out, &done), 0);
		n = content_write(&f->k, f->pipe[1], &cut);
		assert_true(n > 0 || errno == EAGAIN);
		drain(f);
	}
	assert_int_equal(cut, !strchr(text, '\n'));
	wbuf_free(&out);
}

/* BEFORE, LEN bytes as base64, BEHIND are what was written. */
static void is_base64_of(struct fixture *f, const char *before, size_t len,
			 const char *behind)
{
	CLEANUP(wbuf_free) struct wbuf want = wbuf_growing(1 << 20);

	wbuf_text(&want, before);
	jsonw_b64_piece(&want, f->data, len);
	wbuf_text(&want, behind);
	assert_int_equal(f->got.len, want.len);
	if (want.len)
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
		put_one(f, lengths[i], 1);
		assert_true(content_waits(&f->k));
		write_all(f, "[]\n");
		assert_false(content_waits(&f->k));
		is_base64_of(f, "[", lengths[i], "]\n");
	}
}

static void two_in_their_places(void **state)
{
	struct fixture *f = *state;
	int fds[] = {memfd_of("first", f->data, LONG), memfd_of("second", f->data, 5)};
	CLEANUP(wbuf_free) struct wbuf want = wbuf_growing(1 << 20);

	content_put(&f->k, fds, (uint64_t[]){LONG, 5}, (size_t[]){2, 3}, 2);
	write_all(f, "ab-cd\n");
	wbuf_text(&want, "ab");
	jsonw_b64_piece(&want, f->data, LONG);
	wbuf_text(&want, "-");
	jsonw_b64_piece(&want, f->data, 5);
	wbuf_text(&want, "cd\n");
	assert_int_equal(f->got.len, want.len);
	assert_memory_equal(f->got.p, want.p, want.len);
	assert_false(content_waits(&f->k));
}

/* What was written in front of it makes room; so its place moves. */
static void places_that_move(void **state)
{
	struct fixture *f = *state;

	put_one(f, LONG, 101);
	content_move(&f->k, 100);
	write_all(f, "[]\n");
	is_base64_of(f, "[", LONG, "]\n");
}

/* The next reply begins at its beginning. */
static void a_client_that_leaves(void **state)
{
	struct fixture *f = *state;
	struct wbuf out = wbuf_growing(64);
	size_t done = 0;
	bool cut;

	wbuf_text(&out, "secret");
	put_one(f, LONG, 6);
	assert_int_equal(content_fill(&f->k, &out, &done), 0);
	assert_int_equal(done, 6);
	assert_true(content_write(&f->k, f->pipe[1], &cut) > 0);
	assert_true(cut);
	content_drop(&f->k);
	assert_false(content_waits(&f->k));
	assert_int_equal(content_left(&f->k), 0);
	/* The buffer was not said to be plain. */
	assert_null(memmem(f->k.text, sizeof(f->k.text), "secret", 6));
	wbuf_free(&out);
	drain(f);
	wbuf_empty(&f->got);
	put_one(f, 4, 0);
	write_all(f, "\n");
	is_base64_of(f, "", 4, "\n");
}

/* Nothing is made up for bytes that are not there. */
static void less_than_was_said(void **state)
{
	struct fixture *f = *state;
	const struct wbuf out = wbuf_fixed(NULL, 0);
	int fd = memfd_of("content", f->data, 10);
	size_t done = 0;

	content_put(&f->k, &fd, &(uint64_t){11}, &(size_t){0}, 1);
	assert_int_equal(content_fill(&f->k, &out, &done), -1);
	assert_int_equal(errno, EIO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(each_length, setup, teardown),
		cmocka_unit_test_setup_teardown(two_in_their_places, setup, teardown),
		cmocka_unit_test_setup_teardown(places_that_move, setup, teardown),
		cmocka_unit_test_setup_teardown(a_client_that_leaves, setup, teardown),
		cmocka_unit_test_setup_teardown(less_than_was_said, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
