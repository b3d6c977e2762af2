/*
 * tests/unit/test_inspect_os.c - the inspector's answers about trees of fixtures
 *
 * Runs in:   a test
 * Input:     tests/fixtures/os/
 * May touch: those trees, read-only
 * Must not:  depend on the machine: clock and uname are fixed here
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "inspector/inspector.h"

#define WINTER 1700000000 /* 2023-11-14 22:13:20 UTC */
#define SUMMER 1720000000 /* 2024-07-03 09:46:40 UTC */

struct fixture {
	struct inspector in;
	struct wbuf result;
	struct arena arena; /* for decoding */
	struct err e;
	_Alignas(max_align_t) uint8_t memory[2][1024 * 1024];
};

/* The functions of struct sys_ops have no context: the fixed clock is here. */
static time_t the_time;

static int fixed_clock(clockid_t clock, struct timespec *ts)
{
	assert_int_equal(clock, CLOCK_REALTIME);
	*ts = (struct timespec){.tv_sec = the_time, .tv_nsec = 123456789};
	return 0;
}

static int failing_clock(clockid_t clock, struct timespec *ts)
{
	(void)clock;
	(void)ts;
	errno = EINVAL;
	return -1;
}

static int fixed_uname(struct utsname *u)
{
	memset(u, 0, sizeof(*u));
	strcpy(u->release, "6.1.0-44-amd64");
	strcpy(u->version, "#1 SMP Debian 6.1.164-1");
	strcpy(u->machine, "x86_64");
	/* The kernel's maximum, which the reference cannot report. */
	memset(u->nodename, 'h', 64);
	return 0;
}

static int failing_uname(struct utsname *u)
{
	(void)u;
	errno = EFAULT;
	return -1;
}

static const struct sys_ops fixed = {.clock_gettime = fixed_clock, .uname = fixed_uname};
static const struct sys_ops failing = {.clock_gettime = failing_clock,
				       .uname = failing_uname};

static int set_up(void **state)
{
	static struct fixture f;

	f = (struct fixture){.in = {.sys = {.root_fd = -1, .ops = &fixed}, .route = -1}};
	f.in.arena = (struct arena){.p = f.memory[0], .cap = sizeof(f.memory[0])};
	f.arena = (struct arena){.p = f.memory[1], .cap = sizeof(f.memory[1])};
	f.result = wbuf_growing(1024 * 1024);
	the_time = WINTER;
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	wbuf_free(&f->result);
	sys_done(&f->in.sys);
	return 0;
}

static void use_tree(struct fixture *f, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "tests/fixtures/os/%s", name);
	sys_done(&f->in.sys);
	f->in.sys.root_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(f->in.sys.root_fd >= 0);
}

static enum answer ask(struct fixture *f, uint32_t op)
{
	struct rbuf none = rbuf_of("", 0);

	f->result.len = 0;
	return inspect_answer(&f->in, op, &none, &f->result, &f->e);
}

/* Ask, and decode the answer as the worker's side would. */
static void get(struct fixture *f, uint32_t op, void *msg)
{
	struct rbuf r;

	assert_int_equal(ask(f, op), ANSWER_RESULT);
	r = rbuf_of(f->result.p, f->result.len);
	assert_int_equal(schema_get(&r, op_by_number(op)->result, &f->arena, msg), 0);
	assert_true(rbuf_done(&r));
}

static void assert_text(struct v_str got, const char *want)
{
	if (!want) {
		assert_false(got.set);
		return;
	}
	assert_true(got.set);
	assert_int_equal(got.len, strlen(want));
	assert_memory_equal(got.p, want, got.len);
}

/* ---- guest-get-osinfo ---- */

struct expected {
	const char *id, *name, *pretty_name, *version, *version_id, *variant, *variant_id;
};

static void expect_osinfo(struct fixture *f, const struct expected *want)
{
	struct msg_osinfo got;

	get(f, OP_get_osinfo, &got);
	assert_text(got.kernel_release, "6.1.0-44-amd64");
	assert_text(got.kernel_version, "#1 SMP Debian 6.1.164-1");
	assert_text(got.machine, "x86_64");
	assert_text(got.id, want->id);
	assert_text(got.name, want->name);
	assert_text(got.pretty_name, want->pretty_name);
	assert_text(got.version, want->version);
	assert_text(got.version_id, want->version_id);
	assert_text(got.variant, want->variant);
	assert_text(got.variant_id, want->variant_id);
}

static const struct expected debian12 = {
	.id = "debian",
	.name = "Debian GNU/Linux",
	.pretty_name = "Debian GNU/Linux 12 (bookworm)",
	.version = "12 (bookworm)",
	.version_id = "12",
};

static void test_osinfo_of_a_distribution(void **state)
{
	static const struct expected fedora = {
		.id = "fedora",
		.name = "Fedora Linux",
		.pretty_name = "Fedora Linux 39 (Workstation Edition)",
		.version = "39 (Workstation Edition)",
		.version_id = "39",
		.variant = "Workstation Edition",
		.variant_id = "workstation",
	};

	use_tree(*state, "debian12");
	expect_osinfo(*state, &debian12);
	use_tree(*state, "fedora");
	expect_osinfo(*state, &fedora);
}

static void test_osinfo_quoting(void **state)
{
	static const struct expected quoted = {
		.id = "odd",
		.name = "single quoted $HOME \\ here",
		.pretty_name = "a \"b\" $c `d` 'e' \\ \\n",
		.version = "not closed",
		.version_id = "4",
		.variant = "",
		.variant_id = "",
	};

	use_tree(*state, "quoted");
	expect_osinfo(*state, &quoted);
}

static void test_osinfo_without_a_file(void **state)
{
	static const struct expected nothing = {.id = NULL};

	use_tree(*state, "missing");
	expect_osinfo(*state, &nothing);
}

/* Neither file can be understood: no field of either shows. */
static void test_osinfo_of_broken_files(void **state)
{
	static const struct expected nothing = {.id = NULL};

	use_tree(*state, "broken");
	expect_osinfo(*state, &nothing);
}

static void test_osinfo_of_hostile_files(void **state)
{
	static char name[4097];
	static char slashes[2049];
	const struct expected hostile = {
		.id = "second",
		.name = memset(name, 'n', 4096),
		.pretty_name = memset(slashes, '\\', 2048),
		.version = "\x01\x1b[31m\xc3\xa9\xf0\x9f\x90\xa7\x7f",
	};

	use_tree(*state, "hostile");
	expect_osinfo(*state, &hostile);
}

static void test_osinfo_from_the_variable_only(void **state)
{
	static const struct expected nothing = {.id = NULL};
	struct fixture *f = *state;

	use_tree(f, "debian12");
	f->in.os_release = "/usr/lib/os-release";
	expect_osinfo(f, &debian12);
	f->in.os_release = "usr/lib/os-release";
	expect_osinfo(f, &debian12);
	f->in.os_release = "/no/such/file";
	expect_osinfo(f, &nothing);
	/* Above the root is the root. */
	f->in.os_release = "../../../../etc/os-release";
	expect_osinfo(f, &debian12);
}

/* ---- the others ---- */

static void test_host_name_of_64_bytes(void **state)
{
	struct msg_host_name got;

	use_tree(*state, "missing");
	get(*state, OP_get_host_name, &got);
	assert_text(got.host_name, "hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh"
				   "hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh");
}

static void test_time_has_microseconds(void **state)
{
	struct msg_integer got;

	use_tree(*state, "missing");
	get(*state, OP_get_time, &got);
	assert_true(got.value.v == INT64_C(1700000000123456000));
}

static void expect_zone(struct fixture *f, const char *zone, int64_t offset)
{
	struct msg_timezone got;

	get(f, OP_get_timezone, &got);
	assert_text(got.zone, zone);
	assert_true(got.offset.set);
	assert_int_equal(got.offset.v, offset);
}

static void test_timezone_of_the_file(void **state)
{
	struct fixture *f = *state;

	use_tree(f, "debian12");
	expect_zone(f, "CET", 3600);
	the_time = SUMMER;
	expect_zone(f, "CEST", 7200);
	use_tree(f, "fedora");
	expect_zone(f, "EDT", -14400);
	the_time = WINTER;
	expect_zone(f, "EST", -18000);
}

static void test_timezone_without_a_file_is_utc(void **state)
{
	use_tree(*state, "missing");
	expect_zone(*state, "UTC", 0);
}

static void test_timezone_of_a_cut_file_is_utc(void **state)
{
	use_tree(*state, "hostile");
	expect_zone(*state, "UTC", 0);
}

/* The first block of a file of today has one type without a name. */
static void test_timezone_without_an_abbreviation(void **state)
{
	use_tree(*state, "broken");
	expect_zone(*state, NULL, 0);
}

static void test_timezone_of_the_variable(void **state)
{
	static const struct {
		const char *tz;
		const char *zone;
		int64_t offset;
	} cases[] = {
		{"Europe/Berlin", "CET", 3600},
		{":Europe/Berlin", "CET", 3600},
		{"/usr/share/zoneinfo/Europe/Berlin", "CET", 3600},
		{":/etc/localtime", "CET", 3600},
		{"JST-9", "JST", 32400},
		{"EST5EDT", "EST", -18000},
		{"", "UTC", 0},
		{":", "UTC", 0},
		{"Europe", "UTC", 0},
		{"garbage", "UTC", 0},
		{"/etc/os-release", "UTC", 0},
		{"../../../etc/os-release", "UTC", 0},
	};
	struct fixture *f = *state;

	use_tree(f, "debian12");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		f->in.tz = cases[i].tz;
		expect_zone(f, cases[i].zone, cases[i].offset);
	}
}

static void test_timezone_variable_of_any_length(void **state)
{
	static char tz[100000];
	struct fixture *f = *state;

	memset(tz, 'A', sizeof(tz) - 1);
	use_tree(f, "debian12");
	f->in.tz = tz;
	expect_zone(f, "UTC", 0);
}

static void test_failure_of_the_system_is_an_error(void **state)
{
	static const struct {
		uint32_t op;
		const char *desc;
	} cases[] = {
		{OP_get_time, "Failed to get time: Invalid argument"},
		{OP_get_timezone, "Failed to get time: Invalid argument"},
		{OP_get_host_name, "Failed to get the names of the kernel: Bad address"},
		{OP_get_osinfo, "Failed to get the names of the kernel: Bad address"},
	};
	struct fixture *f = *state;

	use_tree(f, "debian12");
	f->in.sys.ops = &failing;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(ask(f, cases[i].op), ANSWER_ERROR);
		assert_int_equal(f->e.cls, ERR_GENERIC);
		assert_string_equal(f->e.desc, cases[i].desc);
	}
}

/* ---- what is no question ---- */

/* Every number: exactly the rows of the inspector's are answered. */
static void test_only_its_own_operations(void **state)
{
	struct fixture *f = *state;

	use_tree(f, "debian12");
	for (uint32_t n = 0; n < 70000; n++) {
		const struct op *op = op_by_number(n);
		bool own = op && op->carrier == BY_INSPECTOR;

		/* An error is an answer: this tree has no facts for most of them. */
		assert_int_equal(ask(f, n) != ANSWER_VIOLATION, own);
	}
}

static void test_arguments_that_do_not_decode(void **state)
{
	struct fixture *f = *state;

	use_tree(f, "debian12");
	for (uint32_t n = op_after(OP_NONE); n != OP_NONE; n = op_after(n)) {
		struct rbuf one = rbuf_of("x", 1);

		if (op_by_number(n)->carrier == BY_INSPECTOR)
			assert_int_equal(
				inspect_answer(&f->in, n, &one, &f->result, &f->e),
				ANSWER_VIOLATION);
	}
}

static void test_patterns_that_are_none(void **state)
{
	static const char *const texts[] = {"/a*", "", "/a[", "a\\"};
	struct fixture *f = *state;

	use_tree(f, "debian12");
	for (size_t i = 0; i < 2 * ARRAY_SIZE(texts); i++) {
		struct v_str v = v_str(texts[i / 2]);
		const struct v_list list = {.v = &v, .n = 1, .set = true};
		uint8_t buf[64];
		struct wbuf question = wbuf_fixed(buf, sizeof(buf));
		struct msg_shape shape = {0};
		struct rbuf r;

		*(i % 2 ? &shape.only : &shape.exclude) = list;
		schema_put(&question, &schema_shape, &shape);
		r = rbuf_of(question.p, question.len);
		f->result.len = 0;
		assert_int_equal(inspect_answer(&f->in, OP_get_osinfo, &r, &f->result,
						&f->e) == ANSWER_VIOLATION,
				 i / 2 >= 2);
	}
}

static void test_result_beyond_the_limit_is_an_error(void **state)
{
	struct fixture *f = *state;
	struct rbuf none = rbuf_of("", 0);
	uint8_t little[16];
	struct wbuf w = wbuf_fixed(little, sizeof(little));

	use_tree(f, "debian12");
	assert_int_equal(inspect_answer(&f->in, OP_get_osinfo, &none, &w, &f->e),
			 ANSWER_ERROR);
	assert_string_equal(f->e.desc, "The answer is too long");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_osinfo_of_a_distribution),
		TEST(test_osinfo_quoting),
		TEST(test_osinfo_without_a_file),
		TEST(test_osinfo_of_broken_files),
		TEST(test_osinfo_of_hostile_files),
		TEST(test_osinfo_from_the_variable_only),
		TEST(test_host_name_of_64_bytes),
		TEST(test_time_has_microseconds),
		TEST(test_timezone_of_the_file),
		TEST(test_timezone_without_a_file_is_utc),
		TEST(test_timezone_of_a_cut_file_is_utc),
		TEST(test_timezone_without_an_abbreviation),
		TEST(test_timezone_of_the_variable),
		TEST(test_timezone_variable_of_any_length),
		TEST(test_failure_of_the_system_is_an_error),
		TEST(test_only_its_own_operations),
		TEST(test_arguments_that_do_not_decode),
		TEST(test_patterns_that_are_none),
		TEST(test_result_beyond_the_limit_is_an_error),
	};

	return cmocka_run_group_tests_name("inspect_os", tests, NULL, NULL);
}
