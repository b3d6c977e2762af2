/*
 * sandbox/needs.c - what a worker must keep for what its policy may ever allow
 *
 * Runs in:   worker before it is sealed, and when a policy is to take another's place;
 *            posternctl
 * Input:     a set of operations; what kind of system it is
 * May touch: nothing
 * Must not:  keep anything for what no request could be allowed
 */
#include "sandbox/needs.h"

#include <stdio.h>

#include "ipc/ops.h"
#include "sandbox/sandbox.h"

#define OPS(tag) (UINT64_C(1) << OP_##tag)
#define FREEZES  (OPS(fsfreeze_freeze) | OPS(fsfreeze_freeze_list) | OPS(fsfreeze_thaw))
#define SUSPENDS (OPS(suspend_disk) | OPS(suspend_ram) | OPS(suspend_hybrid))
#define ACCOUNTS                                                 \
	(OPS(set_user_password) | OPS(ssh_get_authorized_keys) | \
	 OPS(ssh_add_authorized_keys) | OPS(ssh_remove_authorized_keys))

/* Parts that no policy names are needed with their commands. */
static const uint64_t needed_by[OP_MAX] = {
	[OP_account_find] = ACCOUNTS,      [OP_keys] = ACCOUNTS & ~OPS(set_user_password),
	[OP_power_signal] = OPS(shutdown), [OP_suspend_look] = SUSPENDS,
	[OP_suspend_write] = SUSPENDS,     [OP_fs_list] = FREEZES,
	[OP_fs_rescue] = FREEZES,          [OP_hook_find] = FREEZES,
};

/* For which of the operations ALLOWED a program is run, besides for hooks. */
static uint64_t by_program(uint64_t allowed, const struct needs_where *where)
{
	uint64_t ops = OPS(exec) | ACCOUNTS;

	if (!where->init_by_signal)
		ops |= OPS(shutdown);
	if (where->systemd)
		ops |= SUSPENDS;
	return allowed & ops;
}

static bool is_needed(uint64_t allowed, uint32_t op, const struct needs_where *where)
{
	/* Whatever the policy says now, a freeze that is in force has to end. */
	if (where->frozen)
		allowed |= FREEZES;
	if (op == OP_exec_find)
		return by_program(allowed, where);
	return allowed & (needed_by[op] ? needed_by[op] : UINT64_C(1) << op);
}

/* What OP's own process needs. */
static struct needs needs_of_op(uint32_t op, const struct needs_where *where)
{
	const struct op *row = op_by_number(op);
	struct needs n = {0};

	if (row->carrier == BY_CHILD) {
		n.caps = row->caps;
		n.roles = sandbox_child_roles(op);
	} else if (row->carrier == BY_FREEZE && row->flags & OPF_MUTATES) {
		n.roles = SC_ROLE(SANDBOX_FREEZER) | SC_ROLE(SANDBOX_THAWER);
	}
	if (op == OP_file_open && where->reads_only) {
		n.caps &= CAPS_SEARCH;
		n.roles &= ~SC_ROLE(SANDBOX_MAKE);
	}
	n.spawner = op == OP_exec_find || (op == OP_hook_find && where->hook);
	return n;
}

struct needs needs_of(uint64_t allowed, const struct needs_where *where)
{
	struct needs all = {.roles = SC_ROLE(SANDBOX_WORKER)};

	for (uint32_t n = OP_NONE; n < OP_MAX; n++) {
		struct needs one;

		if (!op_by_number(n) || !is_needed(allowed, n, where))
			continue;
		one = needs_of_op(n, where);
		all.caps |= one.caps;
		all.roles |= one.roles;
		all.spawner |= one.spawner;
	}
	return all;
}

bool needs_within(const struct needs *a, const struct needs *b)
{
	return !(a->caps & ~b->caps) && !(a->roles & ~b->roles) &&
	       (b->spawner || !a->spawner);
}

void needs_text(const struct needs *n, const char *no_spawner, char *out, size_t size)
{
	const char *last = n->spawner ? "spawner" : no_spawner;
	size_t at = 0;

	*out = '\0';
	for (unsigned int cap = 0; cap < 63 && n->caps >> cap && at < size; cap++)
		if (n->caps >> cap & 1)
			at += (size_t)snprintf(out + at, size - at, "%s%s", at ? " " : "",
					       sandbox_cap_name(cap));
	if (at < size && *last)
		snprintf(out + at, size - at, "%s%s", at ? " " : "", last);
}
