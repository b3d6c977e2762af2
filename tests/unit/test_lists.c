/*
 * tests/unit/test_lists.c - block and allow lists and what they leave
 *
 * Runs in:   the test program
 * Input:     lists written here
 * May touch: memory
 * Must not:  find a list good that a typing error made empty
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "ipc/ops.h"
#include "supervisor/lists.h"

#define SET(tag) (UINT64_C(1) << OP_##tag)
#define ALL      (~UINT64_C(0))
/* A command and its part. */
#define EXEC (SET(exec) | SET(exec_find))

static uint64_t set_of(const char *text)
{
	uint64_t set = 0;
	struct err e;

	assert_int_equal(list_add(&set, text, &e), 0);
	return set;
}

static void check_refused(const char *text, const char *why)
{
	uint64_t set = SET(sync);
	struct err e = {};

	assert_int_equal(list_add(&set, text, &e), -1);
	assert_string_equal(e.desc, why);
	assert_true(set == SET(sync));
}

static void test_names(void **state)
{
	(void)state;
	assert_true(set_of("") == 0);
	assert_true(set_of("guest-exec") == SET(exec));
	assert_true(set_of("guest-exec,guest-exec-status") ==
		    (SET(exec) | SET(exec_status)));
	assert_true(set_of(" guest-exec , guest-ping\n,,guest-exec\t") ==
		    (SET(exec) | SET(ping)));
	assert_true(set_of("guest-ping guest-sync") == (SET(ping) | SET(sync)));
	/* Not a command of Linux, but the lists of distributions have it. */
	assert_true(set_of("guest-get-devices") == SET(get_devices));
}

static void test_every_command(void **state)
{
	uint64_t all = 0;

	(void)state;
	for (uint32_t n = op_after(OP_NONE); n != OP_NONE; n = op_after(n)) {
		assert_true(set_of(op_by_number(n)->name) == UINT64_C(1) << n);
		all |= UINT64_C(1) << n;
	}
	assert_true(list_all() == (all & ~SET(get_devices)));
}

static void test_refused(void **state)
{
	(void)state;
	check_refused("guest-ping,guest-exce", "there is no command 'guest-exce', the "
					       "closest name is 'guest-exec'");
	check_refused("Guest-Ping", "there is no command 'Guest-Ping', the closest name "
				    "is 'guest-ping'");
	check_refused("guest-get-fs-info", "there is no command 'guest-get-fs-info', the "
					   "closest name is 'guest-get-fsinfo'");
	check_refused("guest-file-*", "there is no command 'guest-file-*', the closest "
				      "name is 'guest-file-open'");
	check_refused("guest-exec;guest-ping", "'guest-exec;guest-ping': names are "
					       "separated by ',', not by ';'");
	check_refused(",", "the list ',' names no command");
	check_refused(" ", "the list ' ' names no command");
	/* A part of a command is for the policy alone. */
	check_refused("smart",
		      "there is no command 'smart', the closest name is 'guest-sync'");
}

/* Longer than any name, and than the buffer for it. */
static void test_long_name(void **state)
{
	char text[3000];
	uint64_t set = 0;
	struct err e;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(list_add(&set, text, &e), -1);
	assert_true(strlen(e.desc) < 200);
}

static void test_leave(void **state)
{
	(void)state;
	assert_true(lists_leave(0, 0) == ALL);
	assert_true(lists_leave(0, SET(exec)) == (ALL & ~EXEC));
	assert_true(lists_leave(SET(exec) | SET(ping), 0) == (EXEC | SET(ping)));
	/* The block list wins, whatever the allow list says. */
	assert_true(lists_leave(SET(exec) | SET(ping), SET(exec) | SET(sync)) ==
		    SET(ping));
	assert_true(lists_leave(SET(ping), SET(ping)) == 0);
}

/* A part of a command has no name in a list: it goes where its command goes. */
static void test_part(void **state)
{
	(void)state;
	assert_true(lists_leave(SET(get_disks), 0) == (SET(get_disks) | SET(disk_smart)));
	assert_true(lists_leave(SET(ping), 0) == SET(ping));
	assert_true(lists_leave(0, SET(get_disks)) ==
		    (ALL & ~(SET(get_disks) | SET(disk_smart))));
}

static void check_print(uint64_t set, const char *between, const char *wanted)
{
	char text[256] = "";
	FILE *f = fmemopen(text, sizeof(text), "w");

	assert_non_null(f);
	list_print(f, set, between);
	fclose(f);
	assert_string_equal(text, wanted);
}

static void test_print(void **state)
{
	(void)state;
	check_print(0, ",", "");
	check_print(SET(ping), ",", "guest-ping");
	check_print(SET(exec) | SET(ping) | SET(disk_smart), ",",
		    "guest-ping,guest-exec");
	check_print(SET(exec) | SET(ping), "\n", "guest-ping\nguest-exec");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),   cmocka_unit_test(test_every_command),
		cmocka_unit_test(test_refused), cmocka_unit_test(test_long_name),
		cmocka_unit_test(test_leave),   cmocka_unit_test(test_part),
		cmocka_unit_test(test_print),
	};

	return cmocka_run_group_tests_name("lists", tests, NULL, NULL);
}
