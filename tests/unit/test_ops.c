/*
 * tests/unit/test_ops.c - the table of operations against the protocol
 *
 * Runs in:   a test
 * Input:     protocol section 2, copied by hand
 * May touch: nothing
 * Must not:  derive an expectation from the table that it checks
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "ipc/ops.h"

#define FROZEN   OPF_FROZEN_OK
#define WRITES   OPF_MUTATES
#define NO_REPLY OPF_NO_REPLY
#define ONCE     OPF_ALONE

/* Number between our processes, name, and the columns "R/W", "frozen", "reply". */
static const struct {
	uint32_t number;
	const char *name;
	uint32_t flags;
} commands[] = {
	{1, "guest-sync-delimited", FROZEN},
	{2, "guest-sync", FROZEN},
	{3, "guest-ping", FROZEN},
	{4, "guest-get-time", 0},
	{5, "guest-set-time", WRITES | ONCE | OPF_OBJECT},
	{6, "guest-info", FROZEN},
	{7, "guest-shutdown", WRITES | NO_REPLY | ONCE},
	{8, "guest-file-open", WRITES | OPF_OBJECT},
	{9, "guest-file-close", WRITES},
	{10, "guest-file-read", 0},
	{11, "guest-file-write", WRITES},
	{12, "guest-file-seek", 0},
	{13, "guest-file-flush", WRITES},
	{14, "guest-fsfreeze-status", FROZEN},
	{15, "guest-fsfreeze-freeze", WRITES},
	{16, "guest-fsfreeze-freeze-list", WRITES},
	{17, "guest-fsfreeze-thaw", WRITES | FROZEN},
	{18, "guest-fstrim", WRITES | ONCE},
	{19, "guest-suspend-disk", WRITES | NO_REPLY | ONCE},
	{20, "guest-suspend-ram", WRITES | NO_REPLY | ONCE},
	{21, "guest-suspend-hybrid", WRITES | NO_REPLY | ONCE},
	{22, "guest-network-get-interfaces", 0},
	{23, "guest-get-vcpus", 0},
	{24, "guest-set-vcpus", WRITES | ONCE | OPF_OBJECT},
	{25, "guest-get-disks", 0},
	{26, "guest-get-fsinfo", 0},
	{27, "guest-set-user-password", WRITES | OPF_OBJECT},
	{28, "guest-get-memory-blocks", 0},
	{29, "guest-set-memory-blocks", WRITES | ONCE | OPF_OBJECT},
	{30, "guest-get-memory-block-info", 0},
	{31, "guest-exec-status", 0},
	{32, "guest-exec", WRITES | OPF_OBJECT},
	{33, "guest-get-host-name", 0},
	{34, "guest-get-users", 0},
	{35, "guest-get-timezone", 0},
	{36, "guest-get-osinfo", 0},
	{37, "guest-get-devices", OPF_ELSEWHERE},
	{38, "guest-ssh-get-authorized-keys", OPF_OBJECT},
	{39, "guest-ssh-add-authorized-keys", WRITES | OPF_OBJECT},
	{40, "guest-ssh-remove-authorized-keys", WRITES | OPF_OBJECT},
	{41, "guest-get-diskstats", 0},
	{42, "guest-get-cpustats", 0},
	{43, "guest-network-get-route", 0},
	{44, "guest-get-load", 0},
};

static void commands_of_the_protocol(void **state)
{
	uint32_t frozen = 0, silent = 0;

	(void)state;
	assert_int_equal(ARRAY_SIZE(commands), 44);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		const struct op *op = op_by_number(commands[i].number);

		assert_non_null(op);
		assert_string_equal(op->name, commands[i].name);
		assert_int_equal(op->flags, commands[i].flags);
		frozen += !!(op->flags & OPF_FROZEN_OK);
		silent += !!(op->flags & OPF_NO_REPLY);
	}
	assert_int_equal(frozen, 6);
	assert_int_equal(silent, 4);
}

/* Nothing is in the table but these, and the test operations of a test build. */
static void no_others(void **state)
{
	uint32_t n = OP_NONE;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		n = op_after(n);
		assert_int_equal(n, commands[i].number);
	}
#ifdef POSTERN_TEST_OPS
	while ((n = op_after(n)) != OP_NONE)
		assert_memory_equal(op_by_number(n)->name, "test-", 5);
#else
	assert_int_equal(op_after(n), OP_NONE);
	assert_int_equal(op_by_name("test-sleep", 10), OP_NONE);
#endif
	assert_null(op_by_number(OP_NONE));
	assert_null(op_by_number(59));
	assert_null(op_by_number(OP_MAX));
	assert_null(op_by_number(UINT32_MAX));
}

/* A part of a command has a row, and no client finds it. */
static void parts_are_not_commands(void **state)
{
	static const struct {
		uint32_t number, flags;
	} parts[] = {
		{OP_disk_smart, 0},
		{OP_exec_find, 0},
		{OP_fs_list, 0},
		{OP_fs_rescue, OPF_FROZEN_OK},
		{OP_hook_find, OPF_FROZEN_OK},
		{OP_account_find, 0},
		{OP_keys, 0},
		{OP_power_signal, 0},
		{OP_power_force, 0},
		{OP_suspend_look, 0},
		{OP_suspend_write, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		const struct op *op = op_by_number(parts[i].number);

		assert_int_equal(op->flags, OPF_PART | parts[i].flags);
		assert_int_equal(op->groups, 0);
		assert_int_equal(op_by_name(op->name, strlen(op->name)), OP_NONE);
	}
}

static void names_are_exact(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		const char *name = commands[i].name;
		size_t len = strlen(name);
		char other[64] = "";

		assert_int_equal(op_by_name(name, len), commands[i].number);
		/* The NUL counts: a text that contains one is another name. */
		assert_int_equal(op_by_name(name, len + 1), OP_NONE);
		assert_int_not_equal(op_by_name(name, len - 1), commands[i].number);
		memcpy(other, name, min_size(len, sizeof(other)));
		other[0] = 'G';
		assert_int_equal(op_by_name(other, len), OP_NONE);
		other[0] = 'g';
		other[5] = '_';
		assert_int_equal(op_by_name(other, len), OP_NONE);
	}
	assert_int_equal(op_by_name("", 0), OP_NONE);
	assert_int_equal(op_by_name("guest-", 6), OP_NONE);
}

static void rows_are_complete(void **state)
{
	(void)state;
	for (uint32_t n = op_after(OP_NONE); n != OP_NONE; n = op_after(n)) {
		const struct op *op = op_by_number(n);
		bool session = op->groups == GROUP_SESSION;

		assert_non_null(op->args);
		assert_non_null(op->result);
		assert_true(op->groups != 0);
		assert_int_equal(op->limit_s == 0, session);
		assert_true(op->limit_s <= 600);
		/* Session commands end where they arrive, and are counted. */
		assert_int_equal(op->carrier == BY_FRONTEND, session);
		assert_int_equal(op->audit == AUDIT_COUNT, session);
		/* What changes something is never summed up with its like. */
		if (op->flags & OPF_MUTATES)
			assert_int_equal(op->audit, AUDIT_ACT);
		/* Nobody but an op child has capabilities to keep. */
		if (op->carrier == BY_FRONTEND || op->carrier == BY_INSPECTOR)
			assert_true(op->caps == CAPS_NONE);
		for (uint32_t i = 0; i < op->args->n; i++)
			assert_non_null(op->args->fields[i].name);
	}
}

/* POLICY.md section 3. */
static const struct {
	uint32_t group;
	const char *name;
} groups[] = {
	{GROUP_SESSION, "@session"},
	{GROUP_INFO, "@info"},
	{GROUP_FREEZE, "@freeze"},
	{GROUP_TRIM, "@trim"},
	{GROUP_POWER, "@power"},
	{GROUP_SUSPEND, "@suspend"},
	{GROUP_TIME, "@time"},
	{GROUP_HOTPLUG, "@hotplug"},
	{GROUP_EXEC, "@exec"},
	{GROUP_FILE_READ, "@file-read"},
	{GROUP_FILE_WRITE, "@file-write"},
	{GROUP_PASSWORD, "@password"},
	{GROUP_SSH_KEYS, "@ssh-keys"},
};

static void group_names(void **state)
{
	uint32_t all = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++) {
		assert_string_equal(group_name(groups[i].group), groups[i].name);
		all |= groups[i].group;
	}
	for (uint32_t n = op_after(OP_NONE); n != OP_NONE; n = op_after(n))
		assert_int_equal(op_by_number(n)->groups & ~all, 0);
	assert_null(group_name(0));
	assert_null(group_name(GROUP_FILE));
	assert_null(group_name(1u << 31));
}

static void every_group_is_used(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++) {
		uint32_t users = 0;

		for (uint32_t n = op_after(OP_NONE); n != OP_NONE; n = op_after(n))
			users += !!(op_by_number(n)->groups & groups[i].group);
		assert_true(users > 0);
	}
}

static void hash_is_stable(void **state)
{
	uint64_t hash = ops_hash();

	(void)state;
	assert_true(hash != 0);
	assert_true(hash == ops_hash());
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(commands_of_the_protocol),
		cmocka_unit_test(no_others),
		cmocka_unit_test(parts_are_not_commands),
		cmocka_unit_test(names_are_exact),
		cmocka_unit_test(rows_are_complete),
		cmocka_unit_test(group_names),
		cmocka_unit_test(every_group_is_used),
		cmocka_unit_test(hash_is_stable),
	};

	return cmocka_run_group_tests_name("ops", tests, NULL, NULL);
}
