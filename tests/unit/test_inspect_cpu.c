/*
 * tests/unit/test_inspect_cpu.c - CPUs, what they did, the load
 *
 * Runs in:   a test
 * Input:     files it makes
 * May touch: a scratch directory
 * Must not:  depend on the machine's CPUs
 */
#include "tests/lib/inspect.h"

#include "inspector/cpu.h"

#define CPU "sys/devices/system/cpu/"

/* ---- guest-get-vcpus ---- */

struct expected {
	int64_t id;
	bool online, can_offline;
};

static void expect_vcpus(struct fixture *f, const struct expected *want, uint32_t n)
{
	struct msg_vcpus got;
	const struct msg_vcpu *v;

	get(f, OP_get_vcpus, &got);
	assert_int_equal(got.value.n, n);
	v = got.value.v;
	for (uint32_t i = 0; i < n; i++) {
		assert_int_equal(v[i].logical_id.v, want[i].id);
		assert_int_equal(v[i].online.v, want[i].online);
		assert_true(v[i].can_offline.set);
		assert_int_equal(v[i].can_offline.v, want[i].can_offline);
	}
}

static void test_vcpus_by_number(void **state)
{
	static const struct expected want[] = {
		{0, true, false}, {1, true, true}, {2, false, true}, {10, true, true}};
	struct fixture *f = *state;

	put(f, CPU "cpu10/online", "1\n");
	put(f, CPU "cpu2/online", "0\n");
	put(f, CPU "cpu1/online", "1\n");
	put_dir(f, CPU "cpu0");
	/* What is no CPU. */
	put(f, CPU "online", "0-1,10\n");
	put(f, CPU "cpufreq/boost", "1\n");
	put_dir(f, CPU "cpu");
	put_dir(f, CPU "cpu-1");
	put(f, CPU "cpu5", "a file\n");
	expect_vcpus(f, want, ARRAY_SIZE(want));
}

/* Enough of them that the list moves, made in an order that is not theirs. */
static void test_vcpus_of_a_large_machine(void **state)
{
	enum { N = 1000 };
	static struct expected want[N];
	struct fixture *f = *state;

	for (uint32_t i = 0; i < N; i++) {
		uint32_t id = i * 7 % N;
		char path[64];

		want[id] = (struct expected){id, id % 3 != 0, true};
		snprintf(path, sizeof(path), CPU "cpu%u/online", id);
		put(f, path, id % 3 ? "1\n" : "0\n");
	}
	expect_vcpus(f, want, N);
}

static void test_vcpus_that_cannot_be_read(void **state)
{
	struct fixture *f = *state;

	assert_error(f, OP_get_vcpus, ERR_NOT_FOUND,
		     "Not available here: failed to list entries: "
		     "/sys/devices/system/cpu: No such file or directory");
	put(f, CPU "cpu0/online", "");
	assert_error(f, OP_get_vcpus, ERR_GENERIC,
		     "pread(\"/sys/devices/system/cpu/cpu0/online\"): unexpected EOF");
	put_link(f, CPU "cpu1/online", "online");
	put(f, CPU "cpu0/online", "1\n");
	assert_error(f, OP_get_vcpus, ERR_GENERIC,
		     "open(\"/sys/devices/system/cpu/cpu1/online\"): "
		     "Too many levels of symbolic links");
}

/* Numbers that leave no memory for the answer. */
static void test_vcpus_beyond_the_memory(void **state)
{
	struct fixture *f = *state;

	put_dir(f, CPU "cpu0");
	f->in.arena.cap = 16;
	assert_error(f, OP_get_vcpus, ERR_GENERIC,
		     "failed to list entries: /sys/devices/system/cpu: "
		     "Cannot allocate memory");
	f->in.arena.cap = 100;
	assert_error(f, OP_get_vcpus, ERR_GENERIC, "The answer is too long");
}

/* Three for each CPU; to list a directory takes some for each few hundred. */
static void test_vcpus_take_three_calls_each(void **state)
{
	enum { N = 500 };
	struct fixture *f = *state;

	for (int i = 0; i < N; i++) {
		char path[64];

		snprintf(path, sizeof(path), CPU "cpu%d/online", i);
		put(f, path, "1\n");
	}
	assert_calls(f, OP_get_vcpus, 3 * N, 3 * N + 10);
}

/* ---- guest-get-cpustats ---- */

static const struct msg_cpu_stat *one_stat(struct fixture *f, struct msg_cpu_stats *got)
{
	get(f, OP_get_cpustats, got);
	assert_int_equal(got->value.n, 1);
	return got->value.v;
}

static void test_stats_of_each_cpu(void **state)
{
	struct fixture *f = *state;
	struct msg_cpu_stats got;
	const struct msg_cpu_stat *s;
	uint64_t tick = 1000 / (uint64_t)sysconf(_SC_CLK_TCK);

	put(f, "proc/stat",
	    "cpu  11 22 33 44 55 66 77 88 99 110\n"
	    "cpu0 1 2 3 4 5 6 7 8 9 10\n"
	    "cpu12 10 20 30 40 50 60 70 80 90 100\n"
	    "intr 123 4 5 6 7\n"
	    "ctxt 99\n");
	get(f, OP_get_cpustats, &got);
	assert_int_equal(got.value.n, 2);
	s = got.value.v;
	assert_text(s[0].type, "linux");
	assert_int_equal(s[0].cpu.v, 0);
	assert_int_equal(s[1].cpu.v, 12);
	for (uint64_t i = 0; i < 2; i++) {
		uint64_t unit = tick * (i ? 10 : 1);

		assert_int_equal(s[i].user.v, 1 * unit);
		assert_int_equal(s[i].nice.v, 2 * unit);
		assert_int_equal(s[i].system.v, 3 * unit);
		assert_int_equal(s[i].idle.v, 4 * unit);
		assert_int_equal(s[i].iowait.v, 5 * unit);
		assert_int_equal(s[i].irq.v, 6 * unit);
		assert_int_equal(s[i].softirq.v, 7 * unit);
		assert_int_equal(s[i].steal.v, 8 * unit);
		assert_int_equal(s[i].guest.v, 9 * unit);
		assert_int_equal(s[i].guestnice.v, 10 * unit);
	}
}

/* A kernel that counts less, and one that counts more. */
static void test_stats_of_other_kernels(void **state)
{
	struct fixture *f = *state;
	struct msg_cpu_stats got;
	const struct msg_cpu_stat *s;

	put(f, "proc/stat", "cpu0 1 2 3 4 5\n");
	s = one_stat(f, &got);
	assert_true(s->iowait.set);
	assert_false(s->irq.set);
	assert_false(s->guestnice.set);
	put(f, "proc/stat", "cpu0 1 2 3 4 5 6 7 8 9 10 11 12\n");
	s = one_stat(f, &got);
	assert_int_equal(s->guestnice.v % 10, 0);
	assert_true(s->guestnice.set);
}

static void test_stats_that_are_not_understood(void **state)
{
	struct fixture *f = *state;
	struct msg_cpu_stats got;

	put(f, "proc/stat",
	    "cpu0 1 2 3\n"
	    "cpu1 1 2 3 x\n"
	    "cpux 1 2 3 4\n"
	    "cpu2\n"
	    "\n"
	    "cpu18446744073709551615 1 2 3 4\n"
	    "cpu3 18446744073709551616 2 3 4\n"
	    "cpu4 5 6 7 8");
	assert_int_equal(one_stat(f, &got)->cpu.v, 4);
	put(f, "proc/stat", "");
	get(f, OP_get_cpustats, &got);
	assert_int_equal(got.value.n, 0);
}

static void test_stats_without_a_file(void **state)
{
	struct fixture *f = *state;

	assert_error(f, OP_get_cpustats, ERR_NOT_FOUND,
		     "Not available here: open(\"/proc/stat\"): "
		     "No such file or directory");
	put_dir(f, "proc/stat");
	assert_error(f, OP_get_cpustats, ERR_GENERIC,
		     "open(\"/proc/stat\"): Invalid argument");
}

/* The interrupts of a large machine take more than a file that people write may have. */
static void test_stats_of_a_long_file(void **state)
{
	static const char head[] = "cpu0 1 2 3 4\nintr ", tail[] = "\ncpu1 1 2 3 4\n";
	static char text[1024 * 1024];
	struct fixture *f = *state;
	struct msg_cpu_stats got;

	memset(text, '0', sizeof(text));
	memcpy(text, head, sizeof(head) - 1);
	memcpy(text + sizeof(text) - sizeof(tail), tail, sizeof(tail));
	put(f, "proc/stat", text);
	get(f, OP_get_cpustats, &got);
	assert_int_equal(got.value.n, 2);
}

static void test_milliseconds_do_not_overflow_early(void **state)
{
	static const char line[] = "cpu0 18446744073709552 19 0 7";
	struct msg_cpu_stat s;

	(void)state;
	assert_true(cpu_stat_of(text_of(line, strlen(line)), 1000, &s));
	assert_true(s.user.v == UINT64_C(18446744073709552));
	assert_true(cpu_stat_of(text_of(line, strlen(line)), 1024, &s));
	assert_int_equal(s.nice.v, 18);
	assert_int_equal(s.idle.v, 6);
}

/* ---- guest-get-load ---- */

static void test_load(void **state)
{
	struct fixture *f = *state;
	struct msg_load got;

	put(f, "proc/loadavg", "0.07 12.50 1234.99 3/456 7890\n");
	get(f, OP_get_load, &got);
	assert_true(got.load1m.v == 0.07);
	assert_true(got.load5m.v == 12.5);
	assert_true(got.load15m.v == 1234.99);
}

static void test_load_that_is_none(void **state)
{
	static const char *const cases[] = {
		"",
		"\n",
		"0.1 0.2\n0.3\n",
		"0.1 0.2 3",
		"0.1 0.2 3.",
		"0.1 0.2 .3",
		"0.1 0.2 -0.3",
		"0.1 0.2 nan",
		"0.1 0.2 0x1.8",
		"0.1 0.2 0,3",
		"0.1 0.2 1.1e3",
		"0.1 0.2 1.2.3",
		"0.1 0.2 1000000001.0",
		"0.1 0.2 0.0000001",
	};
	struct fixture *f = *state;

	assert_error(f, OP_get_load, ERR_NOT_FOUND,
		     "Not available here: cannot query load average: "
		     "No such file or directory");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		put(f, "proc/loadavg", cases[i]);
		assert_error(f, OP_get_load, ERR_GENERIC,
			     "cannot query load average: Invalid argument");
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_vcpus_by_number),
		TEST(test_vcpus_of_a_large_machine),
		TEST(test_vcpus_that_cannot_be_read),
		TEST(test_vcpus_beyond_the_memory),
		TEST(test_vcpus_take_three_calls_each),
		TEST(test_stats_of_each_cpu),
		TEST(test_stats_of_other_kernels),
		TEST(test_stats_that_are_not_understood),
		TEST(test_stats_without_a_file),
		TEST(test_stats_of_a_long_file),
		cmocka_unit_test(test_milliseconds_do_not_overflow_early),
		TEST(test_load),
		TEST(test_load_that_is_none),
	};

	return cmocka_run_group_tests_name("inspect_cpu", tests, NULL, NULL);
}
