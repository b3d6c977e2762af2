/*
 * tests/unit/test_hooks.c - which hooks run around a freeze
 *
 * Runs in:   a test; as who is no root trusts nothing here, most of it needs root
 * Input:     a directory of its own
 * May touch: that directory
 * Must not:  run a hook
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "ipc/frame.h"
#include "tests/lib/rmtree.h"
#include "worker/ops/ops.h"

/* Beside the root's own folders, so that every folder above is root's alone. */
#define PLACE "/run"

struct fixture {
	char dir[64];
	struct sys sys;
	char hook[128];
	char log[16384];
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	snprintf(f->dir, sizeof(f->dir), "%s/postern-hooks-XXXXXX",
		 geteuid() == 0 ? PLACE : "/tmp");
	if (!mkdtemp(f->dir) || sys_init(&f->sys) < 0)
		return -1;
	assert_int_equal(chmod(f->dir, 0755), 0);
	snprintf(f->hook, sizeof(f->hook), "%s/hook", f->dir);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	int r = rmtree(f->dir);

	sys_done(&f->sys);
	free(f);
	return r;
}

static void needs_root(void)
{
	if (geteuid() != 0)
		skip();
}

static void in(const struct fixture *f, const char *name, char path[512])
{
	snprintf(path, 512, "%s/%s", f->dir, name);
}

static void put(const struct fixture *f, const char *name, mode_t mode)
{
	char path[512];
	int fd;

	in(f, name, path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_true(fd >= 0);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static void folder(const struct fixture *f, const char *name)
{
	char path[512];

	in(f, name, path);
	assert_int_equal(mkdir(path, 0755), 0);
}

static void link_to(const struct fixture *f, const char *target, const char *name)
{
	char path[512];

	in(f, name, path);
	assert_int_equal(symlink(target, path), 0);
}

/* "NAME ERRNUM" of each, a blank between them; the directory is left out of the names. */
static const char *find(struct fixture *f, const char *path)
{
	CLEANUP(wbuf_free) struct wbuf out = wbuf_growing(REPLY_BODY_MAX);
	_Alignas(max_align_t) uint8_t memory[32768];
	struct arena arena = {.p = memory, .cap = sizeof(memory)};
	const struct msg_hook_find q = {.path = v_str(path)};
	size_t dir = strlen(f->dir) + 1, len = 0;
	const struct msg_hook *hook;
	struct msg_hooks got;
	struct err e = {0};
	struct rbuf r;

	if (child_hook_find(&f->sys, &q, &out, &e) < 0) {
		snprintf(f->log, sizeof(f->log), "error: %s", e.desc);
		return f->log;
	}
	r = rbuf_of(out.p, out.len);
	assert_int_equal(schema_get(&r, &schema_hooks, &arena, &got), 0);
	assert_true(rbuf_done(&r));
	hook = got.hooks.v;
	f->log[0] = '\0';
	for (uint32_t i = 0; i < got.hooks.n; i++)
		len += (size_t)snprintf(f->log + len, sizeof(f->log) - len, "%s%.*s %d",
					i ? " " : "", (int)(hook[i].path.len - dir),
					hook[i].path.p + dir, (int)hook[i].errnum.v);
	return f->log;
}

#define NOT_THERE "hook 2"

static void neither_hook_nor_folder(void **state)
{
	struct fixture *f = *state;
	char path[512];

	assert_string_equal(find(f, f->hook), NOT_THERE);
	/* Its "folder" is a file, or a pipe; the hook is a link to nowhere. */
	put(f, "hook.d", 0755);
	assert_string_equal(find(f, f->hook), NOT_THERE);
	in(f, "hook.d", path);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0755), 0);
	assert_string_equal(find(f, f->hook), NOT_THERE);
	link_to(f, "nowhere", "hook");
	assert_string_equal(find(f, f->hook), NOT_THERE);
}

static void a_hook_alone(void **state)
{
	struct fixture *f = *state;

	needs_root();
	put(f, "hook", 0755);
	folder(f, "hook.d");
	put(f, "hook.d/a", 0755);
	/* The stock hook runs the members itself. */
	assert_string_equal(find(f, f->hook), "hook 0");
}

static void a_hook_that_cannot_be_run(void **state)
{
	struct fixture *f = *state;
	char path[512];

	put(f, "hook", 0644);
	assert_string_equal(find(f, f->hook), "hook 13");
	in(f, "hook/x", path);
	assert_string_equal(find(f, path), "hook/x 20");
	assert_int_equal(unlink(f->hook), 0);
	folder(f, "hook");
	assert_string_equal(find(f, f->hook), "hook 13");
	assert_int_equal(rmdir(f->hook), 0);
	assert_int_equal(mkfifo(f->hook, 0755), 0);
	assert_string_equal(find(f, f->hook), "hook 13");
	link_to(f, "loop", "loop");
	in(f, "loop", path);
	assert_string_equal(find(f, path), "loop 40");
}

static void a_hook_of_others(void **state)
{
	struct fixture *f = *state;

	needs_root();
	put(f, "hook", 0775);
	assert_string_equal(find(f, f->hook), "hook 1");
	assert_int_equal(chmod(f->hook, 0755), 0);
	assert_int_equal(chown(f->hook, 4711, 0), 0);
	assert_string_equal(find(f, f->hook), "hook 1");
	assert_int_equal(chown(f->hook, 0, 0), 0);
	assert_string_equal(find(f, f->hook), "hook 0");
	assert_int_equal(chmod(f->dir, 01777), 0);
	assert_string_equal(find(f, f->hook), "hook 1");
}

static void members_in_the_order_of_a_glob(void **state)
{
	static const char *const names[] = {"b", "a",   "B",    "10",
					    "9", "a-b", "\xff", "a.b"};
	struct fixture *f = *state;
	char path[64];

	needs_root();
	folder(f, "hook.d");
	assert_string_equal(find(f, f->hook), "");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "hook.d/%s", names[i]);
		put(f, path, 0755);
	}
	assert_string_equal(find(f, f->hook),
			    "hook.d/10 0 hook.d/9 0 hook.d/B 0 hook.d/a 0 hook.d/a-b 0 "
			    "hook.d/a.b 0 hook.d/b 0 hook.d/\xff 0");
}

static void leftovers_are_none(void **state)
{
	static const char *const names[] = {
		"x~",
		"x.bak",
		"x.orig",
		"x.rpmnew",
		"x.rpmorig",
		"x.rpmsave",
		"x.sample",
		"x.dpkg-old",
		"x.dpkg-new",
		"x.dpkg-tmp",
		"x.dpkg-dist",
		"x.dpkg-bak",
		"x.dpkg-backup",
		"x.dpkg-remove",
		".hidden",
		"~",
	};
	static const char *const kept[] = {"x.bak2", "x~y", "bak", "x.dpkg", "x.SAMPLE"};
	struct fixture *f = *state;
	char path[64];

	needs_root();
	folder(f, "hook.d");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "hook.d/%s", names[i]);
		put(f, path, 0755);
	}
	assert_string_equal(find(f, f->hook), "");
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
		snprintf(path, sizeof(path), "hook.d/%s", kept[i]);
		put(f, path, 0755);
	}
	assert_string_equal(find(f, f->hook),
			    "hook.d/bak 0 hook.d/x.SAMPLE 0 hook.d/x.bak2 0 "
			    "hook.d/x.dpkg 0 hook.d/x~y 0");
}

/* What the stock hook would not run is left out; what it should not is told. */
static void members_that_are_no_programs(void **state)
{
	struct fixture *f = *state;
	char path[512];

	needs_root();
	folder(f, "hook.d");
	put(f, "hook.d/data", 0644);
	put(f, "hook.d/others", 0757);
	put(f, "hook.d/run", 0700);
	put(f, "program", 0755);
	folder(f, "hook.d/sub");
	in(f, "hook.d/pipe", path);
	assert_int_equal(mkfifo(path, 0755), 0);
	link_to(f, "../program", "hook.d/link");
	link_to(f, "nowhere", "hook.d/nowhere");
	link_to(f, "../program", "hook.d/theirs");
	in(f, "hook.d/theirs", path);
	assert_int_equal(lchown(path, 4711, 0), 0);
	assert_string_equal(find(f, f->hook),
			    "hook.d/link 0 hook.d/others 1 hook.d/run 0 hook.d/theirs 1");
}

static void a_folder_of_others(void **state)
{
	struct fixture *f = *state;
	char path[512];

	needs_root();
	folder(f, "hook.d");
	put(f, "hook.d/a", 0755);
	in(f, "hook.d", path);
	assert_int_equal(chmod(path, 0777), 0);
	assert_string_equal(find(f, f->hook), "hook.d/a 1");
}

static void too_many(void **state)
{
	struct fixture *f = *state;
	char want[128], path[64];

	folder(f, "hook.d");
	for (int i = 0; i <= 256; i++) {
		snprintf(path, sizeof(path), "hook.d/%d", i);
		put(f, path, 0755);
	}
	snprintf(want, sizeof(want), "error: too many hooks in %s/hook.d", f->dir);
	assert_string_equal(find(f, f->hook), want);
}

static void too_long(void **state)
{
	struct fixture *f = *state;
	char path[4097];

	memset(path, '/', sizeof(path));
	path[4096] = '\0';
	assert_string_equal(find(f, path),
			    "error: cannot look for hooks: File name too long");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(neither_hook_nor_folder),
		TEST(a_hook_alone),
		TEST(a_hook_that_cannot_be_run),
		TEST(a_hook_of_others),
		TEST(members_in_the_order_of_a_glob),
		TEST(leftovers_are_none),
		TEST(members_that_are_no_programs),
		TEST(a_folder_of_others),
		TEST(too_many),
		TEST(too_long),
	};

	return cmocka_run_group_tests_name("hooks", tests, NULL, NULL);
}
