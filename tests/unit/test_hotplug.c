/*
 * tests/unit/test_hotplug.c - CPUs and blocks of memory: switched, or why not
 *
 * Runs in:   a test; the handlers in sealed children of it without a capability
 * Input:     small machines made here
 * May touch: a folder of its own
 * Must not:  write to this machine's /sys
 */
#include "tests/lib/opchild.h"

#include <stdio.h>
#include <sys/stat.h>

#include "tests/lib/rmtree.h"
#include "tests/lib/tree.h"

#define CPU_DIR    "sys/devices/system/cpu"
#define CPU        CPU_DIR "/"
#define MEMORY_DIR "sys/devices/system/memory"
#define MEMORY     MEMORY_DIR "/"

#define WANTED_MAX 20000

struct fixture {
	char dir[40];
	struct sys sys;
	struct opchild *child;
};

static int set_up(void **state)
{
	static struct fixture f;
	static const struct sys_ops none;

	f = (struct fixture){.dir = "/tmp/postern-hotplug-XXXXXX"};
	assert_non_null(mkdtemp(f.dir));
	f.sys.root_fd = open(f.dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	f.sys.ops = &none;
	f.child = opchild_new();
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	sys_done(&f->sys);
	opchild_free(f->child);
	return rmtree(f->dir);
}

/* ---- files ---- */

static void put(const struct fixture *f, const char *tree)
{
	assert_int_equal(tree_unpack(f->sys.root_fd, tree, strlen(tree)), 0);
}

/* From now on it can only be read, or not even that. */
static void lock(const struct fixture *f, const char *path, mode_t mode)
{
	assert_int_equal(fchmodat(f->sys.root_fd, path, mode, 0), 0);
}

/* The first byte that each switch has now: of CPU 0 to N - 1, '-' if there is none. */
static void assert_switches(const struct fixture *f, const char *format, const char *want)
{
	for (int i = 0; want[i]; i++) {
		char path[128], text[16] = "-";

		snprintf(path, sizeof(path), "%s%d/%s", format, i,
			 strstr(format, "cpu/") ? "online" : "state");
		sys_read_attr(&f->sys, path, text, sizeof(text));
		/* A fixture keeps what lies behind that which was written. */
		if (strncmp(text, "o", 1) == 0)
			text[0] = strncmp(text, "on", 2) == 0 ? '1' : '0';
		if (text[0] != want[i])
			fail_msg("%s is %c", path, text[0]);
	}
}

/* Four CPUs; the first cannot be taken off, the last is off. */
static void put_cpus(const struct fixture *f)
{
	put(f, "[" CPU_DIR "]\n"
	       "online = 0-2\n"
	       "cpufreq/boost = 1\n"
	       "cpuidle/current_driver = none\n"
	       "cpu0/topology/core_id = 0\n"
	       "cpu1/online = 1\n"
	       "cpu2/online = 1\n"
	       "cpu3/online = 0\n");
}

/* Blocks of 128 MiB: 0 has no switch, 1 and 2 are on, 3 and 4 are not. */
static void put_memory(const struct fixture *f)
{
	put(f, "[" MEMORY_DIR "]\n"
	       "block_size_bytes = 8000000\n"
	       "auto_online_blocks = online\n"
	       "memory0/removable = 0\n"
	       "memory1/state = online\n"
	       "memory2/state = online\n"
	       "memory3/state = offline\n"
	       "memory4/state = going-offline\n");
}

/* ---- requests ---- */

/* "-1 +2": off with 1, on with 2; in order. */
static uint32_t parse(const char *list, int64_t *ids, bool *on)
{
	uint32_t n = 0;

	for (char *end; *list; list = end + strspn(end, " ")) {
		assert_true(n < 64);
		on[n] = *list == '+';
		/* As it is on the wire: what is negative wraps. */
		ids[n++] =
			(int64_t)(list[1] == '-' ? (uint64_t)strtoll(list + 1, &end, 10)
						 : strtoull(list + 1, &end, 10));
	}
	return n;
}

static void vcpus(struct fixture *f, const char *list, bool allowed)
{
	struct msg_vcpu v[64];
	bool on[64];
	int64_t ids[64];
	uint32_t n = parse(list, ids, on);

	for (uint32_t i = 0; i < n; i++)
		v[i] = (struct msg_vcpu){
			V_INT(ids[i]),
			V_BOOL(on[i]),
			/* Of no account. */
			{i % 2, i % 3},
		};
	opchild(f->child, &f->sys, OP_set_vcpus, child_set_vcpus,
		&(struct msg_set_vcpus){{v, n, true}}, allowed);
}

static void blocks(struct fixture *f, const char *list, bool allowed)
{
	struct msg_memory_block v[64];
	bool on[64];
	int64_t ids[64];
	uint32_t n = parse(list, ids, on);

	for (uint32_t i = 0; i < n; i++)
		v[i] = (struct msg_memory_block){
			V_U64((uint64_t)ids[i]),
			V_BOOL(on[i]),
			{i % 2, i % 3},
		};
	opchild(f->child, &f->sys, OP_set_memory_blocks, child_set_memory_blocks,
		&(struct msg_set_memory_blocks){{v, n, true}}, allowed);
}

static void assert_vcpus(struct fixture *f, const char *list, const char *result)
{
	vcpus(f, list, true);
	assert_true(f->child->asked);
	opchild_result(f->child, &schema_integer, result);
}

static void assert_no_vcpu(struct fixture *f, const char *list, const char *desc)
{
	vcpus(f, list, true);
	assert_true(f->child->asked);
	opchild_failed(f->child, ERR_GENERIC, desc);
}

/* A result as one word: its letter (success, Not found, Unsupported, Failed) and code. */
static void put_word(struct wbuf *w, const struct msg_memory_block_result *v)
{
	char text[64];

	assert_true(v->response.set);
	snprintf(text, sizeof(text), "%llu%c", (unsigned long long)v->phys_index.v,
		 "snuf"[v->response.v]);
	wbuf_text(w, text);
	if (v->error_code.set) {
		snprintf(text, sizeof(text), "%lld", (long long)v->error_code.v);
		wbuf_text(w, text);
	}
	wbuf_text(w, " ");
}

static void assert_blocks(struct fixture *f, const char *list, const char *words)
{
	static uint8_t memory[1 << 20];
	struct arena arena = {.p = memory, .cap = sizeof(memory)};
	CLEANUP(wbuf_free) struct wbuf text = wbuf_growing(1 << 20);
	const struct msg_memory_block_result *v;
	struct msg_memory_block_results all;
	struct rbuf r;

	blocks(f, list, true);
	assert_true(f->child->asked);
	assert_int_equal(f->child->status, 0);
	assert_int_equal(f->child->r, 0);
	r = rbuf_of(f->child->result, f->child->len);
	assert_int_equal(schema_get(&r, &schema_memory_block_results, &arena, &all), 0);
	assert_true(rbuf_done(&r));
	v = all.value.v;
	for (uint32_t i = 0; i < all.value.n; i++)
		put_word(&text, &v[i]);
	wbuf_u8(&text, 0);
	assert_string_equal((const char *)text.p, words);
}

/* NONE: of a list that takes nothing away it is not said. */
#define NONE (-1)

static void assert_left(const struct fixture *f, int64_t left)
{
	assert_true(f->child->asked);
	assert_false(f->child->change.step.set);
	assert_int_equal(f->child->change.left.set, left != NONE);
	if (left != NONE)
		assert_int_equal(f->child->change.left.v, left);
}

/* ---- guest-set-vcpus ---- */

static void cpus_on_and_off(void **state)
{
	struct fixture *f = *state;

	put_cpus(f);
	assert_vcpus(f, "", "0");
	assert_vcpus(f, "+3 -1", "2");
	assert_switches(f, CPU "cpu", "-011");
	/* What it says last is what it is. */
	assert_vcpus(f, "-3 +3 +1 -1 +1 -2", "6");
	assert_switches(f, CPU "cpu", "-101");
	/* The first one is on anyhow. */
	assert_vcpus(f, "+0 +0", "2");
}

/* One that is so already is not opened for writing. */
static void cpus_that_are_so_already(void **state)
{
	struct fixture *f = *state;

	put_cpus(f);
	lock(f, CPU "cpu1/online", 0400);
	lock(f, CPU "cpu3/online", 0400);
	assert_vcpus(f, "+1 -3", "2");
	assert_no_vcpu(f, "-1",
		       "open(\"/sys/devices/system/cpu/cpu1//online\"): "
		       "Permission denied");
}

/* The first says why; a later one how far it came. */
static void cpus_one_by_one(void **state)
{
	struct fixture *f = *state;

	put_cpus(f);
	assert_no_vcpu(f, "-0 -1", "logical processor #0 can't be offlined");
	assert_vcpus(f, "-1 -0 -2", "1");
	assert_switches(f, CPU "cpu", "-010");
	assert_no_vcpu(f, "+9999 +1",
		       "open(\"/sys/devices/system/cpu/cpu9999/\"): "
		       "No such file or directory");
	assert_vcpus(f, "+0 +9999", "1");
	assert_vcpus(f, "+0 +1 -9999 -2", "2");
	assert_switches(f, CPU "cpu", "-110");
}

static void cpus_that_cannot_be(void **state)
{
	static const char *const ids[] = {
		"-1",
		"1048575",
		"1048576",
		"4294967297",
		"9223372036854775807",
		"-9223372036854775808",
	};
	struct fixture *f = *state;

	put_cpus(f);
	/* Which one could take for them. */
	put(f, CPU "cpu-1/online = 1\n" CPU "cpu1048576/online = 1\n");
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
		char list[64], desc[128];

		snprintf(desc, sizeof(desc),
			 "open(\"/sys/devices/system/cpu/cpu%s/\"): "
			 "No such file or directory",
			 ids[i]);
		snprintf(list, sizeof(list), "-%s", ids[i]);
		assert_no_vcpu(f, list, desc);
		assert_left(f, NONE);
		list[0] = '+';
		assert_no_vcpu(f, list, desc);
	}
	assert_switches(f, CPU "cpu", "-110");
	assert_switches(f, CPU "cpu-", "-1");
}

static void cpus_whose_switch_is_broken(void **state)
{
	struct fixture *f = *state;

	assert_no_vcpu(f, "+0",
		       "open(\"/sys/devices/system/cpu/cpu0/\"): "
		       "No such file or directory");
	assert_left(f, NONE);
	put(f, "[" CPU_DIR "]\ncpu1/online =\ncpu2/online -> online\ncpu3/online/\n"
	       "cpu4/online = 1\ncpu5 = a file\ncpu6/online:\n\t\n");
	assert_no_vcpu(f, "+1",
		       "pread(\"/sys/devices/system/cpu/cpu1//online\"): unexpected EOF");
	assert_no_vcpu(f, "+2",
		       "open(\"/sys/devices/system/cpu/cpu2//online\"): "
		       "Too many levels of symbolic links");
	assert_no_vcpu(f, "-3",
		       "open(\"/sys/devices/system/cpu/cpu3//online\"): "
		       "Is a directory");
	lock(f, CPU "cpu4/online", 0);
	assert_no_vcpu(f, "+4",
		       "open(\"/sys/devices/system/cpu/cpu4//online\"): "
		       "Permission denied");
	assert_no_vcpu(f, "+5",
		       "open(\"/sys/devices/system/cpu/cpu5//online\"): "
		       "Not a directory");
	assert_no_vcpu(f, "+6",
		       "pread(\"/sys/devices/system/cpu/cpu6//online\"): unexpected EOF");
}

/* As the kernel refuses: the file is there and writable. */
static void cpus_that_the_kernel_keeps(void **state)
{
	struct fixture *f = *state;

	put_cpus(f);
	f->child->file_max = 0;
	vcpus(f, "-1", true);
	opchild_failed(f->child, ERR_GENERIC,
		       "pwrite(\"/sys/devices/system/cpu/cpu1//online\"): "
		       "File too large");
}

static void the_least_cpus(void **state)
{
	static const struct {
		const char *list;
		int64_t left;
	} rows[] = {
		/* 0, 1 and 2 are on. */
		{"", NONE},
		{"+1 +2", NONE},
		{"+3", NONE},
		{"-3", NONE},
		{"-1", 2},
		{"-1 -2", 1},
		{"-1 -1 -1", 2},
		{"-1 +1 -2 +2", 2},
		{"-1 -2 +1 +2", 1},
		{"+3 -1", NONE},
		{"+3 -1 -2", 2},
		{"+3 -3 -3 -1", 2},
		/* The first has no switch, and others are none. */
		{"-0", NONE},
		{"-0 -1", 2},
		{"+9 -1", 2},
		{"+-1 --1 +1048576 -18446744073709551615", NONE},
	};
	struct fixture *f = *state;

	put_cpus(f);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		vcpus(f, rows[i].list, false);
		opchild_refused(f->child);
		assert_left(f, rows[i].left);
		/* It was only looked. */
		assert_switches(f, CPU "cpu", "-110");
	}
}

/* Where we cannot know which there are, nothing may be left. */
static void cpus_that_cannot_be_listed(void **state)
{
	struct fixture *f = *state;

	put_cpus(f);
	lock(f, CPU, 0100);
	assert_vcpus(f, "-1", "1");
	assert_left(f, 0);
	lock(f, CPU, 0700);
	assert_switches(f, CPU "cpu", "-010");
}

/* Numbers that are no numbers, twice the same, too large. */
static void what_is_no_cpu(void **state)
{
	struct fixture *f = *state;

	put_cpus(f);
	put(f, "[" CPU_DIR "]\ncpu/online = 1\ncpu1x/online = 1\ncpu01/online = 1\n"
	       "cpu+2/online = 1\ncpu99999999999999999999/online = 1\n"
	       "cpu1048576/online = 1\ncpu1048575/online = 1\n");
	vcpus(f, "-1 -2", false);
	opchild_refused(f->child);
	assert_left(f, 2);
}

static void many_cpus(void **state)
{
	static struct msg_vcpu v[WANTED_MAX];
	struct fixture *f = *state;

	put_cpus(f);
	for (int i = 0; i < WANTED_MAX; i++)
		v[i] = (struct msg_vcpu){
			V_INT(1 + i % 3), V_BOOL(i / 3 % 2), {false, false}};
	opchild(f->child, &f->sys, OP_set_vcpus, child_set_vcpus,
		&(struct msg_set_vcpus){{v, WANTED_MAX, true}}, true);
	opchild_result(f->child, &schema_integer, "20000");
	assert_left(f, 1);
	assert_switches(f, CPU "cpu", "-001");
}

/* ---- guest-set-memory-blocks ---- */

static void blocks_on_and_off(void **state)
{
	struct fixture *f = *state;

	put_memory(f);
	assert_blocks(f, "", "");
	assert_blocks(f, "-1 +3 +2 -3 +4", "1s 3s 2s 3s 4s ");
	assert_switches(f, MEMORY "memory", "-0101");
	blocks(f, "+2", true);
	opchild_result(f->child, &schema_memory_block_results,
		       "[{\"phys-index\": 2, \"response\": \"success\"}]");
}

/* One entry each, in order; a failure does not stop it. */
static void blocks_one_by_one(void **state)
{
	struct fixture *f = *state;

	put_memory(f);
	lock(f, MEMORY "memory1/state", 0400);
	lock(f, MEMORY "memory3/state", 0400);
	/* 0 has no switch: it is on, which is no error if that is wanted. */
	assert_blocks(f, "-99999 -1 -0 +0 -2 +3 -3 +1",
		      "99999n2 1f13 0u2 0s 2s 3f13 3s 1s ");
	assert_switches(f, MEMORY "memory", "-100");
	blocks(f, "-99999", true);
	opchild_result(f->child, &schema_memory_block_results,
		       "[{\"phys-index\": 99999, \"response\": \"not-found\", "
		       "\"error-code\": 2}]");
}

static void blocks_that_cannot_be(void **state)
{
	struct fixture *f = *state;

	put_memory(f);
	put(f, MEMORY "memory1048576/state = online\n");
	assert_blocks(f, "--1 +18446744073709551615 -1048576 +4294967297",
		      "18446744073709551615n2 18446744073709551615n2 1048576n2 "
		      "4294967297n2 ");
	assert_left(f, NONE);
}

static void blocks_whose_switch_is_broken(void **state)
{
	struct fixture *f = *state;

	/* A kernel that cannot. */
	assert_blocks(f, "-0 +1 +18446744073709551615",
		      "0u2 1u2 18446744073709551615u2 ");
	assert_left(f, NONE);
	put(f,
	    "[" MEMORY_DIR "]\nmemory1/state =\nmemory2/state -> state\nmemory3/state/\n"
	    "memory4/state = online\nmemory5 = a file\n");
	lock(f, MEMORY "memory4/state", 0);
	assert_blocks(f, "+1 -2 +3 +4 +5 +6", "1f5 2f40 3f21 4f13 5f20 6n2 ");
	/* One that may not be looked into is not success. */
	lock(f, MEMORY, 0);
	assert_blocks(f, "+1 -4", "1f13 4f13 ");
	assert_left(f, 0);
	lock(f, MEMORY, 0700);
}

static void blocks_that_the_kernel_keeps(void **state)
{
	struct fixture *f = *state;

	put_memory(f);
	f->child->file_max = 0;
	assert_blocks(f, "-1 +2 +3", "1f27 2s 3f27 ");
}

#define BLOCK (INT64_C(128) << 20)

/* One that is to be on may stay off, and the list goes on. */
static void the_least_memory(void **state)
{
	static const struct {
		const char *list;
		int64_t left;
	} rows[] = {
		/* 0, 1 and 2 are on. */
		{"", NONE},
		{"+1 +3", NONE},
		{"-3 -4", NONE},
		{"-1", 2 * BLOCK},
		{"+3 -1", 2 * BLOCK},
		{"-1 +1 -2 +2", BLOCK},
		{"-1 +1 -1", 2 * BLOCK},
		{"-0 -1 -2 -3 -99 --1", BLOCK},
		{"-0", NONE},
	};
	struct fixture *f = *state;

	put_memory(f);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		blocks(f, rows[i].list, false);
		opchild_refused(f->child);
		assert_left(f, rows[i].left);
		assert_switches(f, MEMORY "memory", "-110");
	}
}

/* Nothing is known of its size: nothing may be left. */
static void blocks_of_any_size(void **state)
{
	static const struct {
		const char *size;
		uint64_t left;
	} rows[] = {
		{"block_size_bytes = 80000000\n", UINT64_C(4) << 30},
		{"block_size_bytes = fffffffffffffff\n", 2 * UINT64_C(0xfffffffffffffff)},
		{"block_size_bytes = ffffffffffffffff\n", UINT64_MAX},
		{"block_size_bytes =\n", 0},
		{"block_size_bytes = what?\n", 0},
		{"block_size_bytes/\n", 0},
		{"# none\n", 0},
	};
	struct fixture *f = *state;

	put_memory(f);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char tree[256];

		unlinkat(f->sys.root_fd, MEMORY "block_size_bytes", 0);
		unlinkat(f->sys.root_fd, MEMORY "block_size_bytes", AT_REMOVEDIR);
		snprintf(tree, sizeof(tree), "[" MEMORY_DIR "]\n%s", rows[i].size);
		put(f, tree);
		blocks(f, "-1", false);
		opchild_refused(f->child);
		assert_true(f->child->change.left.set);
		assert_int_equal(f->child->change.left.v, rows[i].left);
	}
}

static void many_blocks(void **state)
{
	static struct msg_memory_block v[WANTED_MAX];
	struct fixture *f = *state;

	put_memory(f);
	for (uint64_t i = 0; i < WANTED_MAX; i++)
		v[i] = (struct msg_memory_block){
			V_U64(i % 2 ? UINT64_MAX - i : 1 + i % 3),
			V_BOOL(i / 4 % 2),
			{false, false}};
	opchild(f->child, &f->sys, OP_set_memory_blocks, child_set_memory_blocks,
		&(struct msg_set_memory_blocks){{v, WANTED_MAX, true}}, true);
	assert_int_equal(f->child->status, 0);
	assert_int_equal(f->child->r, 0);
	assert_true(f->child->len > WANTED_MAX * 10);
	assert_left(f, BLOCK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(cpus_on_and_off),
		TEST(cpus_that_are_so_already),
		TEST(cpus_one_by_one),
		TEST(cpus_that_cannot_be),
		TEST(cpus_whose_switch_is_broken),
		TEST(cpus_that_the_kernel_keeps),
		TEST(the_least_cpus),
		TEST(cpus_that_cannot_be_listed),
		TEST(what_is_no_cpu),
		TEST(many_cpus),
		TEST(blocks_on_and_off),
		TEST(blocks_one_by_one),
		TEST(blocks_that_cannot_be),
		TEST(blocks_whose_switch_is_broken),
		TEST(blocks_that_the_kernel_keeps),
		TEST(the_least_memory),
		TEST(blocks_of_any_size),
		TEST(many_blocks),
	};

	return cmocka_run_group_tests_name("hotplug", tests, NULL, NULL);
}
