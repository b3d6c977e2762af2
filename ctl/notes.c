/*
 * ctl/notes.c - what a policy without mistakes may still not mean: notes of `check`
 *
 * Runs in:   posternctl, as the user who calls it
 * Input:     a policy that was built
 * May touch: standard error
 * Must not:  call a policy bad that says what its author wants
 */
#include <stdio.h>
#include <string.h>

#include "ctl/ctl.h"
#include "ctl/policy.h"

/* Session commands, and who stops working without them (clients.md section 0). */
static const struct session {
	uint32_t op;
	const char *clients;
} sessions[] = {
	{OP_sync, "libvirt, and all that stands on it"},
	{OP_sync_delimited, "Proxmox VE, UTM"},
	{OP_ping, "Proxmox VE"},
	{OP_info, "oVirt, KubeVirt, the Ansible connection"},
};

/* Programs that run whatever they are told to. */
static const char *const interpreters[] = {
	"sh",   "bash",        "dash",    "python", "python3", "perl",
	"ruby", "find",        "tar",     "env",    "awk",     "xargs",
	"ssh",  "systemd-run", "nsenter", "sudo",   "chroot"};

static void note(const struct policy *p, const struct image_rule *r, const char *what,
		 const char *more)
{
	fprintf(stderr, "%s:%u: note: rule \"%s\" %s%s\n", policy_text(p, r->file),
		r->line, policy_text(p, r->name), what, more);
}

static const struct image_constraint *find(const struct policy *p,
					   const struct image_rule *r, enum key key)
{
	for (uint32_t i = 0; i < r->n_constraints; i++)
		if (p->constraints[r->constraint + i].key == key)
			return &p->constraints[r->constraint + i];
	return NULL;
}

static void session_notes(const struct policy *p, const struct image_rule *r)
{
	for (size_t i = 0; i < ARRAY_SIZE(sessions); i++)
		if (r->effect == POLICY_DENY && r->ops >> sessions[i].op & 1)
			note(p, r, "stops these clients: ", sessions[i].clients);
}

static bool is_interpreter(const char *path)
{
	const char *slash = strrchr(path, '/');

	for (size_t i = 0; i < ARRAY_SIZE(interpreters); i++)
		if (streq(slash ? slash + 1 : path, interpreters[i]))
			return true;
	return false;
}

static void exec_notes(const struct policy *p, const struct image_rule *r)
{
	const struct image_constraint *path = find(p, r, KEY_EXEC_PATH);

	if (!(r->ops >> OP_exec & 1) || find(p, r, KEY_EXEC_NAME))
		return;
	if (!path)
		note(p, r, "lets the host run any program", "");
	for (uint32_t i = 0; path && i < path->n_values; i++) {
		const char *pattern = policy_text(p, p->values[path->value + i].text);

		if (is_interpreter(pattern))
			note(p, r, "lets the host run what runs anything: ", pattern);
		else if (strpbrk(pattern, "*?["))
			note(p, r, "lets the host run whatever matches: ", pattern);
	}
	if (path && !find(p, r, KEY_ARGV))
		note(p, r, "says nothing of arguments: any will do", "");
}

static void freeze_notes(const struct policy *p, const struct image_rule *r)
{
	if (r->ops >> OP_fsfreeze_freeze & 1 && !find(p, r, KEY_FREEZE_MAX))
		note(p, r, "has no freeze-max: a freeze has no deadline", "");
}

/* The base's allow rules, whose commands an allow of the administrator takes over. */
static void replace_notes(const struct policy *p, const struct image_rule *r,
			  const struct policy *base)
{
	uint64_t over = r->ops & base->allowed;

	if (find(p, r, KEY_EXEC_NAME))
		return;
	for (uint32_t n = op_after(OP_NONE); n != OP_NONE; n = op_after(n))
		if (over >> n & 1)
			note(p, r, "takes the place of the base profile for ",
			     op_by_number(n)->name);
}

void check_notes(const struct policy *p)
{
	const struct policy_options o = {.profile = policy_base(p)};
	CLEANUP(loaded_done) struct loaded base;

	if (loaded_read(&base, &o) != 0)
		return;
	for (uint32_t i = 0; i < p->head->n_rules; i++) {
		const struct image_rule *r = &p->rules[i];

		/* The project's own are as they are meant. */
		if (r->set != SET_EFFECTIVE || !r->line ||
		    !strncmp(policy_text(p, r->file), "builtin:", 8))
			continue;
		session_notes(p, r);
		if (r->effect != POLICY_ALLOW)
			continue;
		exec_notes(p, r);
		freeze_notes(p, r);
		replace_notes(p, r, &base.policy);
	}
}
