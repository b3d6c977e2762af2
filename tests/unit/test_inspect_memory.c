/*
 * tests/unit/test_inspect_memory.c - memory blocks
 *
 * Runs in:   a test
 * Input:     files it makes
 * May touch: a scratch directory
 * Must not:  depend on the machine's memory
 */
#include "tests/lib/inspect.h"

#define MEMORY "sys/devices/system/memory/"

struct expected {
	uint64_t index;
	bool online, can_offline;
};

static void expect_blocks(struct fixture *f, const struct expected *want, uint32_t n)
{
	struct msg_memory_blocks got;
	const struct msg_memory_block *b;

	get(f, OP_get_memory_blocks, &got);
	assert_int_equal(got.value.n, n);
	b = got.value.v;
	for (uint32_t i = 0; i < n; i++) {
		assert_int_equal(b[i].phys_index.v, want[i].index);
		assert_int_equal(b[i].online.v, want[i].online);
		assert_true(b[i].can_offline.set);
		assert_int_equal(b[i].can_offline.v, want[i].can_offline);
	}
}

static void put_block(struct fixture *f, uint64_t index, const char *state,
		      const char *removable)
{
	char path[96];

	snprintf(path, sizeof(path), MEMORY "memory%lu/uevent", (unsigned long)index);
	put(f, path, "");
	snprintf(path, sizeof(path), MEMORY "memory%lu/state", (unsigned long)index);
	if (state)
		put(f, path, state);
	snprintf(path, sizeof(path), MEMORY "memory%lu/removable", (unsigned long)index);
	if (removable)
		put(f, path, removable);
}

static void test_blocks_by_number(void **state)
{
	static const struct expected want[] = {
		{0, true, false},  {1, true, true},   {2, false, true}, {9, false, true},
		{10, true, false}, {32, true, false}, {100, true, true}};
	struct fixture *f = *state;

	put_block(f, 100, "online\n", "1\n");
	put_block(f, 9, "going-offline\n", "1\n");
	put_block(f, 2, "offline\n", "1\n");
	put_block(f, 32, "online\n", NULL);
	put_block(f, 1, "online\n", "1\n");
	put_block(f, 0, "online\n", "0\n");
	/* Without a state, what else there is does not count. */
	put_block(f, 10, NULL, "1\n");
	put(f, MEMORY "block_size_bytes", "8000000\n");
	put_dir(f, MEMORY "memory");
	put_dir(f, MEMORY "memoryx");
	put(f, MEMORY "memory7", "a file\n");
	expect_blocks(f, want, ARRAY_SIZE(want));
}

static void test_blocks_of_a_large_machine(void **state)
{
	enum { N = 1024 };
	static struct expected want[N];
	struct fixture *f = *state;

	for (uint32_t i = 0; i < N; i++) {
		uint32_t index = N - 1 - i;

		want[index] = (struct expected){index, index % 2, index % 5 == 0};
		put_block(f, index, index % 2 ? "online\n" : "offline\n",
			  index % 5 ? "0\n" : "1\n");
	}
	expect_blocks(f, want, N);
}

/* Two attributes, three for each. */
static void test_blocks_take_six_calls_each(void **state)
{
	enum { N = 500 };
	struct fixture *f = *state;

	for (uint64_t i = 0; i < N; i++)
		put_block(f, i, "online\n", "1\n");
	assert_calls(f, OP_get_memory_blocks, 6 * N, 6 * N + 10);
}

static void test_a_machine_without_blocks(void **state)
{
	struct fixture *f = *state;

	expect_blocks(f, NULL, 0);
	put_dir(f, "sys/devices/system/memory");
	assert_error(f, OP_get_memory_blocks, ERR_GENERIC,
		     "guest reported zero memory blocks!");
}

static void test_blocks_that_cannot_be_read(void **state)
{
	struct fixture *f = *state;

	put_block(f, 0, "", "1\n");
	assert_error(f, OP_get_memory_blocks, ERR_GENERIC,
		     "pread sysfs file \"state\": unexpected EOF");
	put_block(f, 0, "online\n", "");
	assert_error(f, OP_get_memory_blocks, ERR_GENERIC,
		     "pread sysfs file \"removable\": unexpected EOF");
	put_block(f, 0, "online\n", "1\n");
	put_link(f, MEMORY "memory1/state", "state");
	assert_error(f, OP_get_memory_blocks, ERR_GENERIC,
		     "open sysfs file \"state\": Too many levels of symbolic links");
}

static void test_blocks_where_there_is_no_directory(void **state)
{
	struct fixture *f = *state;

	put(f, "sys/devices/system/memory", "a file\n");
	assert_error(f, OP_get_memory_blocks, ERR_GENERIC,
		     "Can't open directory\"/sys/devices/system/memory/\": "
		     "Not a directory");
}

static void test_block_size(void **state)
{
	static const struct {
		const char *text;
		uint64_t size;
	} cases[] = {
		{"8000000\n", 0x8000000},
		{"40000000", 0x40000000},
		{"ffffffffffffffff\n", UINT64_MAX},
	};
	struct fixture *f = *state;
	struct msg_memory_block_info got;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		put(f, MEMORY "block_size_bytes", cases[i].text);
		get(f, OP_get_memory_block_info, &got);
		assert_true(got.size.v == cases[i].size);
	}
}

static void test_block_size_that_is_none(void **state)
{
	static const char *const cases[] = {"", "\n", "8 MiB\n", "10000000000000000\n",
					    "-1\n"};
	struct fixture *f = *state;

	assert_error(f, OP_get_memory_block_info, ERR_NOT_FOUND,
		     "Not available here: open sysfs file \"block_size_bytes\": "
		     "No such file or directory");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		put(f, MEMORY "block_size_bytes", cases[i]);
		assert_error(f, OP_get_memory_block_info, ERR_GENERIC,
			     "open sysfs file \"block_size_bytes\": Invalid argument");
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_blocks_by_number),
		TEST(test_blocks_of_a_large_machine),
		TEST(test_blocks_take_six_calls_each),
		TEST(test_a_machine_without_blocks),
		TEST(test_blocks_that_cannot_be_read),
		TEST(test_blocks_where_there_is_no_directory),
		TEST(test_block_size),
		TEST(test_block_size_that_is_none),
	};

	return cmocka_run_group_tests_name("inspect_memory", tests, NULL, NULL);
}
