/*
 * tests/unit/test_tree.c - the format of fixture trees
 *
 * Runs in:   a test
 * Input:     trees made here
 * May touch: a folder of its own
 * Must not:  let a tree reach anything else
 */
#include "tests/lib/inspect.h"
#include "tests/lib/tree.h"

#define LITERAL(s) (s), sizeof(s) - 1

static unsigned int unpack(struct fixture *f, const char *text)
{
	return tree_unpack(f->in.sys.root_fd, text, strlen(text));
}

static void assert_file(struct fixture *f, const char *path, const char *want, size_t len)
{
	char got[64];

	assert_int_equal(sys_read_file(&f->in.sys, path, got, sizeof(got)), len);
	assert_memory_equal(got, want, len);
}

static void assert_link(struct fixture *f, const char *path, const char *want)
{
	char got[64];

	assert_true(sys_readlink(&f->in.sys, path, got, sizeof(got)) >= 0);
	assert_string_equal(got, want);
}

static void assert_dir(struct fixture *f, const char *path)
{
	struct stat st;

	assert_int_equal(fstatat(f->in.sys.root_fd, path, &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_true(S_ISDIR(st.st_mode));
}

static void test_each_kind_of_entry(void **state)
{
	assert_int_equal(unpack(*state, "# a machine\n"
					"top = 1\n"
					"\n"
					"[sys/a:b]\n"
					"slaves/\n"
					"deep/er/\n"
					"driver -> ../bus/x = y\n"
					"size = 12 -> 3\n"
					"nothing:\n"
					"empty-line =\n"
					"deep/uevent:\n"
					"\tMAJOR=8\n"
					"\t\n"
					"\t# no comment\n"
					"[proc]\n"
					"last = line"),
			 0);
	assert_file(*state, "top", LITERAL("1\n"));
	assert_dir(*state, "sys/a:b/slaves");
	assert_dir(*state, "sys/a:b/deep/er");
	assert_link(*state, "sys/a:b/driver", "../bus/x = y");
	assert_file(*state, "sys/a:b/size", LITERAL("12 -> 3\n"));
	assert_file(*state, "sys/a:b/nothing", LITERAL(""));
	assert_file(*state, "sys/a:b/empty-line", LITERAL("\n"));
	assert_file(*state, "sys/a:b/deep/uevent", LITERAL("MAJOR=8\n\n# no comment\n"));
	assert_file(*state, "proc/last", LITERAL("line\n"));
}

static void test_escapes(void **state)
{
	assert_int_equal(unpack(*state, "[a\\x20b]\n"
					"\\x23c\\x20=\\x20d -> e\\x0af\n"
					"g = \\x00\\xFF\\x7f\\\\x41\\\n"
					"h:\n"
					"\tone\\\n"
					"\t two\\\\\n"
					"\t\\x5c\\"),
			 0);
	assert_link(*state, "a b/#c = d", "e\nf");
	assert_file(*state, "a b/g", LITERAL("\0\xff\x7f\\x41"));
	assert_file(*state, "a b/h", LITERAL("one two\\\n\\"));
}

/* The number of the first line that is wrong. */
static void test_what_is_no_entry(void **state)
{
	static const struct {
		const char *text;
		unsigned int line;
	} rows[] = {
		{"\tbody without a file", 1},
		{"a = 1\n\tsecond body", 2},
		{"aa:\n\t1\n\n\t2", 4},
		{"word", 1},
		{"[unclosed", 1},
		{"[", 1},
		{"[]", 1},
		{"/", 1},
		{":", 1},
		{" = x", 1},
		{" -> x", 1},
		{"[b]\nc = \\", 0},
		{"[d]\ne = \\x4", 2},
		{"[f]\ng = \\x4g", 2},
		{"[h]\ni = \\n", 2},
		{"j\\x00 = 1", 1},
		{"k -> \\x00", 1},
		{"l = 1\nl = 2", 2},
		{"m = 1\nm -> n", 2},
		{"o/\no = 1", 2},
		{"p = 1\n[p]", 2},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(unpack(*state, rows[i].text), rows[i].line);
}

static int count_entry(void *arg, const char *name, unsigned char type)
{
	(void)name;
	(void)type;
	++*(int *)arg;
	return 0;
}

/* Whoever sends a tree may have put anything into it. */
static void test_nothing_is_made_elsewhere(void **state)
{
	static const char *const rows[] = {
		"[..]\nx = 1",
		"[a/../../b]\nx = 1",
		"../x = 1",
		"a/../../x = 1",
		"/x = 1",
		"[/tmp]\nx = 1",
		"a -> ..\na/x = 1",
		"b -> ..\n[b]\nx = 1",
		"c -> ..\n[c/d]\nx = 1",
		"d -> ../x\nd = 1",
		"e -> ..\ne/f/",
		"g -> ..\ng/x -> y",
		"\\x2e\\x2e/x = 1",
		"..\\x2fx = 1",
		".. = 1",
		"../ = 1",
	};
	struct fixture *f = *state;
	struct sys up = {.root_fd = -1};
	int entries = 0;

	/* The root is one level deeper here, so that its parent is ours too. */
	put_dir(f, "in");
	up.root_fd = f->in.sys.root_fd;
	f->in.sys.root_fd = openat(up.root_fd, "in", O_PATH | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_not_equal(unpack(f, rows[i]), 0);
	assert_int_equal(sys_list(&up, ".", count_entry, &entries), 0);
	assert_int_equal(entries, 1);
	sys_done(&up);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_each_kind_of_entry),
		TEST(test_escapes),
		TEST(test_what_is_no_entry),
		TEST(test_nothing_is_made_elsewhere),
	};

	return cmocka_run_group_tests_name("tree", tests, NULL, NULL);
}
