/*
 * tests/lib/inspect.h - ask the inspector about a machine that a test makes up
 *
 * Runs in:   unit tests
 * Input:     the test's files
 * May touch: a directory of its own below $TMPDIR, gone after each test
 * Must not:  show a handler anything of the machine it runs on
 *
 *   put(f, "proc/loadavg", "0.00 0.01 0.05 1/80 4711\n");
 *   get(f, OP_get_load, &load);
 *
 * What get() decodes is good until the next get() or the end of the test.
 */
#ifndef POSTERN_TESTS_INSPECT_H
#define POSTERN_TESTS_INSPECT_H

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "inspector/inspector.h"
#include "tests/lib/calls.h"
#include "tests/lib/rmtree.h"

struct fixture {
	struct inspector in;
	struct wbuf result;
	struct arena arena; /* for decoding */
	struct err e;
	char root[256];
	_Alignas(max_align_t) uint8_t memory[2][INSPECT_ARENA];
};

/* With a root that is empty; the test says what is no file. */
static inline int set_up(void **state)
{
	static struct fixture f;
	static const struct sys_ops none = {.uname = NULL};
	const char *tmp = getenv("TMPDIR");

	snprintf(f.root, sizeof(f.root), "%s/postern-inspect-XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(f.root));
	f.in = (struct inspector){.sys = {.ops = &none}, .route = -1};
	f.in.sys.root_fd = open(f.root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(f.in.sys.root_fd >= 0);
	f.in.arena = (struct arena){.p = f.memory[0], .cap = sizeof(f.memory[0])};
	f.arena = (struct arena){.p = f.memory[1], .cap = sizeof(f.memory[1])};
	f.result = wbuf_growing(64 * 1024 * 1024);
	*state = &f;
	return 0;
}

static inline int tear_down(void **state)
{
	struct fixture *f = *state;

	wbuf_free(&f->result);
	sys_done(&f->in.sys);
	return rmtree(f->root);
}

/* ---- files: paths are relative to the root ---- */

/* Make the directories that lead to PATH. */
static inline void put_parents(struct fixture *f, const char *path)
{
	char dir[512];

	snprintf(dir, sizeof(dir), "%s", path);
	for (char *p = strchr(dir, '/'); p; p = strchr(p + 1, '/')) {
		*p = '\0';
		assert_true(mkdirat(f->in.sys.root_fd, dir, 0755) == 0 ||
			    errno == EEXIST);
		*p = '/';
	}
}

static inline void put_dir(struct fixture *f, const char *path)
{
	put_parents(f, path);
	assert_int_equal(mkdirat(f->in.sys.root_fd, path, 0755), 0);
}

static inline void put_link(struct fixture *f, const char *path, const char *target)
{
	put_parents(f, path);
	assert_int_equal(symlinkat(target, f->in.sys.root_fd, path), 0);
}

/* Make or replace a file. */
static inline void put_bytes(struct fixture *f, const char *path, const void *p,
			     size_t len)
{
	CLEANUP(close_p) int fd = -1;

	put_parents(f, path);
	fd = openat(f->in.sys.root_fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
		    0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, p, len), len);
}

static inline void put(struct fixture *f, const char *path, const char *text)
{
	put_bytes(f, path, text, strlen(text));
}

/* ---- questions ---- */

static inline enum answer ask(struct fixture *f, uint32_t op)
{
	struct rbuf none = rbuf_of("", 0);

	f->result.len = 0;
	return inspect_answer(&f->in, op, &none, &f->result, &f->e);
}

/* Ask, and decode the answer as the worker's side would. */
static inline void get(struct fixture *f, uint32_t op, void *msg)
{
	struct rbuf r;

	assert_int_equal(ask(f, op), ANSWER_RESULT);
	r = rbuf_of(f->result.p, f->result.len);
	f->arena.len = 0;
	assert_int_equal(schema_get(&r, op_by_number(op)->result, &f->arena, msg), 0);
	assert_true(rbuf_done(&r));
}

static inline void assert_error(struct fixture *f, uint32_t op, enum err_class cls,
				const char *desc)
{
	assert_int_equal(ask(f, op), ANSWER_ERROR);
	assert_string_equal(f->e.desc, desc);
	assert_int_equal(f->e.cls, cls);
}

/* A question whose system calls are counted. */
struct question {
	struct fixture *f;
	uint32_t op;
};

static inline void ask_question(void *arg)
{
	const struct question *q = arg;

	if (ask(q->f, q->op) != ANSWER_RESULT)
		abort();
}

/* OP is answered, with FEWEST to MOST system calls of the kind that the kernel sees. */
static inline void assert_calls(struct fixture *f, uint32_t op, long fewest, long most)
{
	struct question q = {f, op};
	long n;

	/* Once before, so that memory for the answer is there. */
	assert_int_equal(ask(f, op), ANSWER_RESULT);
	n = calls_of(ask_question, &q);
	assert_in_range(n, fewest, most);
}

static inline void assert_text(struct v_str got, const char *want)
{
	assert_true(got.set);
	assert_int_equal(got.len, strlen(want));
	assert_memory_equal(got.p, want, got.len);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
