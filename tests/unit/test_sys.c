/*
 * tests/unit/test_sys.c - files beneath a root
 *
 * Runs in:   a test
 * Input:     a directory made here
 * May touch: that directory
 * Must not:  leave it behind
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "ipc/sys.h"

struct tree {
	char path[32];
	struct sys sys;
};

static int set_up(void **state)
{
	static struct tree t;

	t = (struct tree){.path = "/tmp/test-sys-XXXXXX"};
	assert_non_null(mkdtemp(t.path));
	t.sys.root_fd = open(t.path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(t.sys.root_fd >= 0);
	*state = &t;
	return 0;
}

static int tear_down(void **state)
{
	struct tree *t = *state;
	static const char *const names[] = {"file", "link", "pipe"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		unlinkat(t->sys.root_fd, names[i], 0);
	unlinkat(t->sys.root_fd, "dir", AT_REMOVEDIR);
	sys_done(&t->sys);
	return rmdir(t->path);
}

static void write_file(struct tree *t, const char *text)
{
	CLEANUP(close_p)
	int fd = openat(t->sys.root_fd, "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void assert_refused(struct tree *t, const char *path, int errnum)
{
	char buf[8];

	errno = 0;
	assert_int_equal(sys_read_file(&t->sys, path, buf, sizeof(buf)), -1);
	assert_int_equal(errno, errnum);
}

static void test_reads_up_to_the_bound(void **state)
{
	struct tree *t = *state;
	char buf[8];

	write_file(t, "12345678");
	assert_int_equal(sys_read_file(&t->sys, "file", buf, 8), 8);
	assert_memory_equal(buf, "12345678", 8);
	assert_int_equal(sys_read_file(&t->sys, "/file", buf, 7), -1);
	assert_int_equal(errno, EFBIG);
}

static void test_missing(void **state)
{
	assert_refused(*state, "file", ENOENT);
}

/* A link to an absolute path means one beneath the root. */
static void test_absolute_link_stays_beneath(void **state)
{
	struct tree *t = *state;
	char buf[8];

	write_file(t, "inside");
	assert_int_equal(symlinkat("/file", t->sys.root_fd, "link"), 0);
	assert_int_equal(sys_read_file(&t->sys, "link", buf, sizeof(buf)), 6);
}

static void test_no_way_out(void **state)
{
	struct tree *t = *state;

	assert_int_equal(symlinkat("../../../etc/passwd", t->sys.root_fd, "link"), 0);
	assert_refused(t, "link", ENOENT);
	assert_refused(t, "../etc/passwd", ENOENT);
}

/* It does not wait for a writer. */
static void test_pipe_is_refused_at_once(void **state)
{
	struct tree *t = *state;

	assert_int_equal(mkfifoat(t->sys.root_fd, "pipe", 0600), 0);
	assert_refused(t, "pipe", EINVAL);
}

static void test_directory_is_refused(void **state)
{
	struct tree *t = *state;

	assert_int_equal(mkdirat(t->sys.root_fd, "dir", 0700), 0);
	assert_refused(t, "dir", EINVAL);
}

static void test_real_root(void **state)
{
	struct sys sys;
	struct timespec ts;
	struct utsname u;
	char buf[4096];

	(void)state;
	assert_int_equal(sys_init(&sys), 0);
	/* A file whose size is said to be 0. */
	assert_true(sys_read_file(&sys, "/proc/self/status", buf, sizeof(buf)) > 0);
	assert_int_equal(sys_open(&sys, "/proc/self/exe"), -1);
	assert_int_equal(errno, ELOOP);
	assert_int_equal(sys.ops->clock_gettime(CLOCK_REALTIME, &ts), 0);
	assert_int_equal(sys.ops->uname(&u), 0);
	sys_done(&sys);
	assert_int_equal(sys.root_fd, -1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_reads_up_to_the_bound),       TEST(test_missing),
		TEST(test_absolute_link_stays_beneath), TEST(test_no_way_out),
		TEST(test_pipe_is_refused_at_once),     TEST(test_directory_is_refused),
		cmocka_unit_test(test_real_root),
	};

	return cmocka_run_group_tests_name("sys", tests, NULL, NULL);
}
