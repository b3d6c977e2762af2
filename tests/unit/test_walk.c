/*
 * tests/unit/test_walk.c - from a path to what is there
 *
 * Runs in:   a test; what is about owners needs root
 * Input:     a directory of its own
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

#include "tests/lib/rmtree.h"
#include "worker/ops/walk.h"

/* Beside the root's own folders, so that every folder above is root's alone. */
#define PLACE "/run"

struct fixture {
	char dir[64];
	struct sys sys;
	struct walk w;
};

static char *at(const struct fixture *f, const char *name)
{
	static char path[2][512];
	static unsigned int turn;
	char *p = path[turn++ % 2];

	snprintf(p, sizeof(path[0]), "%s/%s", f->dir, name);
	return p;
}

static void put(const struct fixture *f, const char *name, const char *content)
{
	int fd = open(at(f, name), O_WRONLY | O_CREAT | O_EXCL, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, content, strlen(content)), strlen(content));
	close(fd);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	snprintf(f->dir, sizeof(f->dir), "%s/postern-walk-XXXXXX",
		 geteuid() == 0 ? PLACE : "/tmp");
	if (!mkdtemp(f->dir) || sys_init(&f->sys) < 0)
		return -1;
	f->w.dir = f->w.fd = -1;
	assert_int_equal(chmod(f->dir, 0755), 0);
	assert_int_equal(mkdir(at(f, "d"), 0755), 0);
	assert_int_equal(mkdir(at(f, "open"), 0755), 0);
	assert_int_equal(chmod(at(f, "open"), 01777), 0);
	put(f, "file", "1234567");
	put(f, "open/file", "");
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	int r = rmtree(f->dir);

	walk_done(&f->w);
	sys_done(&f->sys);
	free(f);
	return r;
}

static struct walk *go(struct fixture *f, const char *path)
{
	walk_done(&f->w);
	walk(&f->w, &f->sys, path, strlen(path));
	return &f->w;
}

/* It is there, and is called NAME beneath the directory. */
static void is(struct fixture *f, const char *path, const char *name)
{
	const struct walk *w = go(f, path);

	assert_int_equal(w->errnum, 0);
	assert_true(w->fd >= 0);
	assert_string_equal(w->path, at(f, name));
}

static void fails(struct fixture *f, const char *path, int errnum)
{
	const struct walk *w = go(f, path);

	assert_int_equal(w->errnum, errnum);
	assert_true(w->fd < 0);
}

static void what_is_there(void **state)
{
	struct fixture *f = *state;
	char path[512];

	is(f, at(f, "file"), "file");
	assert_int_equal(f->w.st.st_size, 7);
	assert_int_equal(f->w.links, LINKS_NONE);
	snprintf(path, sizeof(path), "%s//./d/../d/.././/file", f->dir);
	is(f, path, "file");
	is(f, at(f, "d"), "d");
	is(f, at(f, "d/"), "d");
	is(f, at(f, "d/."), "d");
	is(f, at(f, "d/../open"), "open");
	/* Relative ones start at the root. */
	is(f, at(f, "file") + 1, "file");
	assert_string_equal(go(f, "/")->path, "/");
	assert_string_equal(go(f, "/../..")->path, "/");
}

static void what_is_not(void **state)
{
	struct fixture *f = *state;
	char path[PATH_MAX + 16];

	/* A place for a file, and its name. */
	go(f, at(f, "new"));
	assert_int_equal(f->w.errnum, 0);
	assert_true(f->w.fd < 0 && f->w.dir >= 0);
	assert_string_equal(f->w.path, at(f, "new"));
	assert_string_equal(f->w.name, "new");
	fails(f, at(f, "new/"), ENOENT);
	fails(f, at(f, "new/x"), ENOENT);
	assert_string_equal(f->w.path, at(f, "new/x"));
	fails(f, at(f, "file/x"), ENOTDIR);
	fails(f, at(f, "file/"), ENOTDIR);
	fails(f, "", ENOENT);
	memset(path, 'a', sizeof(path));
	path[0] = '/';
	path[300] = '\0';
	fails(f, path, ENAMETOOLONG);
	memset(path, '/', sizeof(path));
	walk_done(&f->w);
	walk(&f->w, &f->sys, path, PATH_MAX);
	assert_int_equal(f->w.errnum, ENAMETOOLONG);
}

static void links_are_walked(void **state)
{
	struct fixture *f = *state;

	int held = open(at(f, "file"), O_RDONLY);
	char link[64];

	assert_int_equal(symlink("../file", at(f, "d/up")), 0);
	assert_int_equal(symlink(at(f, "d"), at(f, "abs")), 0);
	assert_int_equal(symlink("nowhere", at(f, "dangling")), 0);
	assert_int_equal(symlink("loop", at(f, "loop")), 0);
	is(f, at(f, "d/up"), "file");
	is(f, at(f, "abs/up"), "file");
	fails(f, at(f, "loop"), ELOOP);
	go(f, at(f, "dangling"));
	assert_int_equal(f->w.errnum, 0);
	assert_string_equal(f->w.path, at(f, "nowhere"));
	/* A link of /proc is its text: the deleted file behind it is not reached. */
	assert_int_equal(unlink(at(f, "file")), 0);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", held);
	assert_true(go(f, link)->fd < 0);
	close(held);
	go(f, "/proc/self/exe");
	assert_non_null(strstr(f->w.path, "test_walk"));
}

static void needs_root(void)
{
	if (geteuid() != 0)
		skip();
}

static void whose_links_they_are(void **state)
{
	struct fixture *f = *state;

	needs_root();
	assert_int_equal(symlink("../file", at(f, "d/roots")), 0);
	assert_int_equal(symlink("../file", at(f, "open/roots")), 0);
	assert_int_equal(symlink("../file", at(f, "d/others")), 0);
	assert_int_equal(lchown(at(f, "d/others"), 4711, 0), 0);
	assert_int_equal(symlink(at(f, "d/roots"), at(f, "d/twice")), 0);
	assert_int_equal(symlink(at(f, "open/roots"), at(f, "d/worst")), 0);
	assert_int_equal(go(f, at(f, "d/roots"))->links, LINKS_ROOT);
	assert_int_equal(go(f, at(f, "d/twice"))->links, LINKS_ROOT);
	assert_true(f->w.trusted);
	/* Who may write the directory could have put another in its place. */
	assert_int_equal(go(f, at(f, "open/roots"))->links, LINKS_ANY);
	assert_int_equal(go(f, at(f, "d/others"))->links, LINKS_ANY);
	assert_int_equal(go(f, at(f, "d/worst"))->links, LINKS_ANY);
}

static void whose_directories_they_are(void **state)
{
	struct fixture *f = *state;

	needs_root();
	assert_true(go(f, at(f, "file"))->trusted);
	assert_false(go(f, at(f, "open/file"))->trusted);
	assert_int_equal(f->w.links, LINKS_NONE);
	assert_int_equal(chown(at(f, "d"), 4711, 0), 0);
	assert_false(go(f, at(f, "d/new"))->trusted);
	/* Whoever went through it on the way may have been sent elsewhere. */
	assert_false(go(f, at(f, "d/../file"))->trusted);
}

static void another_name_of_the_file(void **state)
{
	struct fixture *f = *state;

	needs_root();
	assert_int_equal(link(at(f, "file"), at(f, "d/other")), 0);
	assert_int_equal(link(at(f, "file"), at(f, "open/other")), 0);
	/* Only root can have put it there. */
	assert_int_equal(go(f, at(f, "d/other"))->links, LINKS_NONE);
	assert_int_equal(go(f, at(f, "open/other"))->links, LINKS_ANY);
	assert_int_equal(go(f, at(f, "open/file"))->links, LINKS_NONE);
}

static void who_lost_its_name_is_nowhere(void **state)
{
	struct fixture *f = *state;
	char path[PATH_MAX];

	is(f, at(f, "file"), "file");
	assert_int_equal(walk_path_of(&f->sys, f->w.fd, path), 0);
	assert_int_equal(rename(at(f, "file"), at(f, "d/moved")), 0);
	assert_int_equal(walk_path_of(&f->sys, f->w.fd, path), 0);
	assert_string_equal(path, at(f, "d/moved"));
	assert_int_equal(unlink(at(f, "d/moved")), 0);
	assert_int_equal(walk_path_of(&f->sys, f->w.fd, path), -1);
	assert_int_equal(errno, ENOENT);
	/* A new file of that name changes nothing. */
	put(f, "d/moved", "");
	assert_int_equal(walk_path_of(&f->sys, f->w.fd, path), -1);
}

static void what_was_held_is_opened(void **state)
{
	struct fixture *f = *state;
	char text[8] = "";
	int fd;

	is(f, at(f, "file"), "file");
	assert_int_equal(rename(at(f, "open/file"), at(f, "file")), 0);
	fd = walk_reopen(&f->sys, f->w.fd, O_RDONLY);
	assert_true(fd >= 0);
	assert_int_equal(read(fd, text, sizeof(text)), 7);
	assert_string_equal(text, "1234567");
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_there, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_not, setup, teardown),
		cmocka_unit_test_setup_teardown(links_are_walked, setup, teardown),
		cmocka_unit_test_setup_teardown(whose_links_they_are, setup, teardown),
		cmocka_unit_test_setup_teardown(whose_directories_they_are, setup,
						teardown),
		cmocka_unit_test_setup_teardown(another_name_of_the_file, setup,
						teardown),
		cmocka_unit_test_setup_teardown(who_lost_its_name_is_nowhere, setup,
						teardown),
		cmocka_unit_test_setup_teardown(what_was_held_is_opened, setup, teardown),
	};

	return cmocka_run_group_tests_name("walk", tests, NULL, NULL);
}
