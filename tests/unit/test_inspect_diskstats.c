/*
 * tests/unit/test_inspect_diskstats.c - what the disks did
 *
 * Runs in:   a test
 * Input:     files it makes
 * May touch: a scratch directory
 * Must not:  depend on the machine's disks
 */
#include "tests/lib/inspect.h"

static const struct msg_disk_counters *counters(const struct msg_disk_stat *s)
{
	return s->stats.v;
}

/* The members in the order of the file's columns. */
static void columns_of(const struct msg_disk_counters *c, struct v_u64 v[17])
{
	const struct v_u64 all[17] = {
		c->read_ios,       c->read_merges,     c->read_sectors,  c->read_ticks,
		c->write_ios,      c->write_merges,    c->write_sectors, c->write_ticks,
		c->ios_pgr,        c->total_ticks,     c->weight_ticks,  c->discard_ios,
		c->discard_merges, c->discard_sectors, c->discard_ticks, c->flush_ios,
		c->flush_ticks};

	memcpy(v, all, sizeof(all));
}

static const struct msg_disk_stat *one_disk(struct fixture *f, const char *line,
					    struct msg_disk_stats *got)
{
	put(f, "proc/diskstats", line);
	get(f, OP_get_diskstats, got);
	assert_int_equal(got->value.n, 1);
	return got->value.v;
}

static void test_disks_in_the_order_of_the_file(void **state)
{
	struct fixture *f = *state;
	struct msg_disk_stats got;
	const struct msg_disk_stat *s;
	struct v_u64 v[17];

	put(f, "proc/diskstats",
	    " 254       0 vda 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17\n"
	    "   7       0 loop0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
	    " 259  123456 nvme0n1p1 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9 18 19\n");
	get(f, OP_get_diskstats, &got);
	assert_int_equal(got.value.n, 3);
	s = got.value.v;
	assert_text(s[0].name, "vda");
	assert_int_equal(s[0].major.v, 254);
	assert_int_equal(s[0].minor.v, 0);
	assert_text(s[1].name, "loop0");
	assert_text(s[2].name, "nvme0n1p1");
	assert_int_equal(s[2].minor.v, 123456);
	columns_of(counters(&s[0]), v);
	for (uint64_t i = 0; i < ARRAY_SIZE(v); i++) {
		assert_true(v[i].set);
		assert_int_equal(v[i].v, i + 1);
	}
	columns_of(counters(&s[1]), v);
	assert_true(v[16].set);
	assert_int_equal(v[16].v, 0);
}

/* Each number of columns that a kernel has had, and those between. */
static void test_columns_that_are_missing(void **state)
{
	static const char all[] =
		"8 0 sda 42 42 42 42 42 42 42 42 42 42 42 42 42 42 42 42 42";
	struct fixture *f = *state;
	struct msg_disk_stats got;

	for (size_t n = 5; n <= 17; n++) {
		char line[sizeof(all)];
		struct v_u64 v[17];

		snprintf(line, sizeof(line), "%.*s", (int)(strlen("8 0 sda") + 3 * n),
			 all);
		columns_of(counters(one_disk(f, line, &got)), v);
		for (size_t i = 0; i < ARRAY_SIZE(v); i++)
			assert_int_equal(v[i].set, i < n);
	}
}

static void test_four_columns_of_an_old_partition(void **state)
{
	struct fixture *f = *state;
	struct msg_disk_stats got;
	const struct msg_disk_counters *c =
		counters(one_disk(f, "   8       1 sda1 11 22 33 44\n", &got));
	struct v_u64 v[17];
	size_t n = 0;

	assert_int_equal(c->read_ios.v, 11);
	assert_int_equal(c->read_sectors.v, 22);
	assert_int_equal(c->write_ios.v, 33);
	assert_int_equal(c->write_sectors.v, 44);
	columns_of(c, v);
	for (size_t i = 0; i < ARRAY_SIZE(v); i++)
		n += v[i].set;
	assert_int_equal(n, 4);
}

static void test_lines_that_are_not_understood(void **state)
{
	struct fixture *f = *state;
	struct msg_disk_stats got;
	const struct msg_disk_stat *s =
		one_disk(f,
			 "\n"
			 "8\n"
			 "8 0\n"
			 "8 0 sda\n"
			 "8 0 sda 1 2 3\n"
			 "8 x sda 1 2 3 4 5 6 7 8 9 10 11\n"
			 "-8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n"
			 "8 0 sda x 2 3 4 5 6 7 8 9 10 11\n"
			 "8 0 s\x01\xff! 1 2 3 4 99999999999999999999 6 7 8 9 10 11",
			 &got);

	assert_text(s->name, "s\x01\xff!");
	assert_int_equal(counters(s)->write_sectors.v, 4);
	assert_false(counters(s)->write_ticks.set);
}

static void put_disks(struct fixture *f, unsigned int n)
{
	static char text[300000];
	size_t len = 0;

	for (unsigned int i = 0; i < n; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len,
					"8 %u sd%u %u 2 3 4 5 6 7 8 9 10 11\n", i, i, i);
	assert_true(len < sizeof(text));
	put(f, "proc/diskstats", text);
}

static void test_many_disks(void **state)
{
	enum { N = 3000 };
	struct fixture *f = *state;
	struct msg_disk_stats got;
	const struct msg_disk_stat *s;

	put_disks(f, N);
	get(f, OP_get_diskstats, &got);
	assert_int_equal(got.value.n, N);
	s = got.value.v;
	for (uint32_t i = 0; i < N; i++) {
		assert_int_equal(s[i].minor.v, i);
		assert_int_equal(counters(&s[i])->read_ios.v, i);
	}
}

/* Open, what is it, read until there is no more, close. */
static void test_disks_take_no_call_of_their_own(void **state)
{
	struct fixture *f = *state;

	put_disks(f, 3000);
	assert_calls(f, OP_get_diskstats, 4, 10);
}

static void test_a_file_that_is_missing_empty_or_too_long(void **state)
{
	static char text[INSPECT_TABLE_MAX + 1];
	struct fixture *f = *state;
	struct msg_disk_stats got;

	assert_error(f, OP_get_diskstats, ERR_NOT_FOUND,
		     "Not available here: open(\"/proc/diskstats\"): "
		     "No such file or directory");
	put(f, "proc/diskstats", "");
	get(f, OP_get_diskstats, &got);
	assert_int_equal(got.value.n, 0);
	put_bytes(f, "proc/diskstats", text, sizeof(text));
	assert_error(f, OP_get_diskstats, ERR_GENERIC,
		     "open(\"/proc/diskstats\"): File too large");
}

/* An answer is whole or none. */
static void test_disks_beyond_the_memory(void **state)
{
	struct fixture *f = *state;

	put(f, "proc/diskstats", "8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n");
	for (f->in.arena.cap = 40; f->in.arena.cap < 800; f->in.arena.cap += 8)
		assert_error(f, OP_get_diskstats, ERR_GENERIC, "The answer is too long");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_disks_in_the_order_of_the_file),
		TEST(test_columns_that_are_missing),
		TEST(test_four_columns_of_an_old_partition),
		TEST(test_lines_that_are_not_understood),
		TEST(test_many_disks),
		TEST(test_disks_take_no_call_of_their_own),
		TEST(test_a_file_that_is_missing_empty_or_too_long),
		TEST(test_disks_beyond_the_memory),
	};

	return cmocka_run_group_tests_name("inspect_diskstats", tests, NULL, NULL);
}
