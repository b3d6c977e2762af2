/*
 * tests/unit/test_mounts.c - the mount table: which mounts count, and their texts
 *
 * Runs in:   a test
 * Input:     tables made here
 * May touch: memory
 * Must not:  look at the machine's own mounts
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#include <cmocka.h>

#include "inspector/mounts.h"

struct fixture {
	struct inspector in;
	struct err e;
	_Alignas(max_align_t) uint8_t memory[256 * 1024];
};

/* The functions of struct sys_ops have no context: what was asked for last is here. */
static char asked[64];

/* /dev/vdb is a disk; nothing else is. */
static int one_disk(const struct sys *sys, const char *path, dev_t *dev)
{
	(void)sys;
	snprintf(asked, sizeof(asked), "%s", path);
	if (!streq(path, "/dev/vdb")) {
		errno = streq(path, "/dev/null") ? ENOTBLK : ENOENT;
		return -1;
	}
	*dev = makedev(254, 16);
	return 0;
}

static const struct sys_ops ops = {.block_dev = one_disk};

static int set_up(void **state)
{
	static struct fixture f;

	f = (struct fixture){.in.sys = {.root_fd = -1, .ops = &ops}};
	f.in.arena = (struct arena){.p = f.memory, .cap = sizeof(f.memory)};
	*state = &f;
	return 0;
}

static struct v_list parse(struct fixture *f, const char *table, size_t len)
{
	CLEANUP(free_p) char *text = malloc(len + 1);
	struct v_list list = {};

	assert_non_null(text);
	memcpy(text, table, len);
	text[len] = '\0';
	assert_int_equal(mounts_parse(&f->in, text, len, &list, &f->e), 0);
	return list;
}

static void assert_text(struct v_str got, const char *want)
{
	assert_true(got.set);
	assert_int_equal(got.len, strlen(want));
	assert_string_equal(got.p, want);
}

/* The one mount of a table of one line. */
static const struct mount *parse_one(struct fixture *f, const char *line)
{
	struct v_list list = parse(f, line, strlen(line));

	assert_int_equal(list.n, 1);
	return list.v;
}

static void assert_none(struct fixture *f, const char *line)
{
	assert_int_equal(parse(f, line, strlen(line)).n, 0);
}

static void test_a_table(void **state)
{
	static const char table[] =
		"22 27 0:21 / /proc rw,relatime - proc proc rw\n"
		"27 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw\n"
		"30 27 0:44 / /tmp rw master:7 propagate_from:2 - tmpfs tmpfs rw\n"
		"31 27 254:1 /srv /mnt ro - ext4 /dev/vda1 rw\n"
		"32 27 7:300 / /snap/x ro - squashfs /dev/loop300 ro\n";
	struct v_list list = parse(*state, table, sizeof(table) - 1);
	const struct mount *m = list.v;

	assert_int_equal(list.n, 3);
	assert_int_equal(m[0].dev, makedev(254, 1));
	assert_int_equal(m[0].id, 27);
	assert_text(m[0].point, "/");
	assert_text(m[0].type, "ext4");
	assert_int_equal(m[1].dev, makedev(254, 1));
	assert_int_equal(m[1].id, 31);
	assert_text(m[1].point, "/mnt");
	assert_int_equal(m[2].dev, makedev(7, 300));
	assert_text(m[2].type, "squashfs");
}

static void test_btrfs_has_the_number_of_its_disk(void **state)
{
	const struct mount *m;

	m = parse_one(*state, "1 0 0:33 /@ / rw - btrfs /dev/vdb rw\n");
	assert_int_equal(m->dev, makedev(254, 16));
	assert_none(*state, "1 0 0:33 / / rw - btrfs /dev/null rw\n");
	assert_none(*state, "1 0 0:33 / / rw - btrfs /dev/gone rw\n");
	assert_none(*state, "1 0 0:33 / / rw - btrfs2 /dev/vdb rw\n");
	assert_none(*state, "1 0 0:33 / / rw - bcachefs /dev/vdb rw\n");
}

static void test_escapes(void **state)
{
	const struct mount *m;

	m = parse_one(*state, "1 0 8:1 / /a\\040b\\011c\\012d\\134e rw - ext4 x rw\n");
	assert_text(m->point, "/a b\tc\nd\\e");
	m = parse_one(*state, "1 0 8:1 / /\\377\xfe\x01\\x\\9 rw - ext4 x rw\n");
	assert_text(m->point, "/\xff\xfe\x01\\x\\9");
	m = parse_one(*state, "1 0 0:2 / /x rw - btrfs /dev/\\166db rw\n");
	assert_int_equal(m->dev, makedev(254, 16));
}

static void test_long_mount_point(void **state)
{
	static char point[4096] = "/";
	CLEANUP(free_p) char *line = NULL;

	memset(point + 1, 'p', sizeof(point) - 2);
	assert_true(asprintf(&line, "1 0 8:1 / %s rw - ext4 x rw\n", point) > 0);
	assert_text(parse_one(*state, line)->point, point);
}

/* What the kernel names a root that it mounted by itself. */
static void test_dev_root_is_only_a_name(void **state)
{
	const struct mount *m;

	m = parse_one(*state, "1 0 8:1 / / rw - ext4 /dev/root rw\n");
	assert_int_equal(m->dev, makedev(8, 1));
	m = parse_one(*state, "1 0 8:1 / /dev/root rw - ext4 /dev/root rw\n");
	assert_text(m->point, "/dev/root");
	m = parse_one(*state, "1 0 8:1 /dev/root /dev/root rw - ext4 /dev/root rw\n");
	assert_text(m->point, "/dev/root");
	assert_none(*state, "1 0 0:33 / /dev/root rw - btrfs /dev/root rw\n");
	assert_string_equal(asked, "/dev/root");
}

static void test_lines_that_are_none(void **state)
{
	static const char *const lines[] = {
		"",
		"\n",
		"\n\n\n",
		"x\n",
		"1 0 8:1 / /x rw\n",
		"1 0 8:1 / /x rw -\n",
		"1 0 8:1 / /x rw - \n",
		"1 0 8 / /x rw - ext4 x rw\n",
		"1 0 :1 / /x rw - ext4 x rw\n",
		"a b 8:1 / /x rw - ext4 x rw\n",
		"1x 0 8:1 / /x rw - ext4 x rw\n",
		"-1 0 8:1 / /x rw - ext4 x rw\n",
		"4294967296 0 8:1 / /x rw - ext4 x rw\n",
		"99999999999999999999 0 8:1 / /x rw - ext4 x rw\n",
		"1 0 8:1x / /x rw - ext4 x rw\n",
		"1 0 8:4294967296 / /x rw - ext4 x rw\n",
		"1 0 8:1 / /x rw shared:1 ext4 x rw\n",
		"1 0 8:1 / /x rw - ext4 x\n",
		"# 1 0 8:1 / /x rw - ext4 x rw\n",
	};

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		assert_none(*state, lines[i]);
}

static void test_a_bad_line_hides_no_other(void **state)
{
	static const char table[] = "1 0 8:1 / /a rw - ext4 x rw\n"
				    "garbage\n"
				    "\0\0\n"
				    "2 0 8:2 / /b rw - ext4 x rw";
	struct v_list list = parse(*state, table, sizeof(table) - 1);

	assert_int_equal(list.n, 2);
	assert_text(((const struct mount *)list.v)[1].point, "/b");
}

static void test_arena_is_full(void **state)
{
	static const char table[] = "1 0 8:1 / /mnt rw - ext4 x rw\n";
	struct fixture *f = *state;
	struct v_list list = {};

	for (size_t cap = 0; cap < 8 * sizeof(struct mount) + 10; cap++) {
		char line[sizeof(table)];

		memcpy(line, table, sizeof(line));
		f->in.arena = (struct arena){.p = f->memory, .cap = cap};
		list = (struct v_list){};
		assert_int_equal(mounts_parse(&f->in, line, strlen(line), &list, &f->e),
				 -1);
		assert_string_equal(f->e.desc, "The answer is too long");
	}
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_a_table),
		TEST(test_btrfs_has_the_number_of_its_disk),
		TEST(test_escapes),
		TEST(test_long_mount_point),
		TEST(test_dev_root_is_only_a_name),
		TEST(test_lines_that_are_none),
		TEST(test_a_bad_line_hides_no_other),
		TEST(test_arena_is_full),
	};

	return cmocka_run_group_tests_name("mounts", tests, NULL, NULL);
}
