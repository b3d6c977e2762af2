/*
 * policy/profiles.c - the profiles that are kept by the project
 *
 * Runs in:   worker
 * Input:     none; const data
 * May touch: the buffer it is handed
 * Must not:  grow wider by an update without a word in the release notes
 */
#include "policy/policy.h"

#include <stdio.h>
#include <string.h>

#define GROUPS_SAFE                                                             \
	(GROUP_SESSION | GROUP_INFO | GROUP_FREEZE | GROUP_TRIM | GROUP_POWER | \
	 GROUP_TIME | GROUP_HOTPLUG)
#define GROUP_OR(tag, bit, name) | GROUP_##tag
#define GROUPS_ALL               (0u GROUP_TABLE(GROUP_OR))
#define GROUPS_MAX               32 /* bits of a mask */

static const struct profile {
	const char *name;
	uint32_t groups;
	uint64_t parts; /* parts of commands that are off elsewhere */
} profiles[] = {
	/* The channel is there, nothing is told or done. */
	{"none", GROUP_SESSION, 0},
	/* Facts, consistent snapshots, an orderly stop: what every platform needs. */
	{"safe", GROUPS_SAFE, 0},
	/* Whatever qemu-ga does. */
	{"legacy", GROUPS_ALL, 1ull << OP_disk_smart},
};

const char *policy_profile_name(uint32_t index)
{
	return index < ARRAY_SIZE(profiles) ? profiles[index].name : NULL;
}

uint64_t policy_group_ops(uint32_t groups)
{
	uint64_t ops = 0;

	for (uint32_t n = op_after(OP_NONE); n != OP_NONE; n = op_after(n))
		if (op_by_number(n)->groups & groups)
			ops |= 1ull << n;
	return ops;
}

/* One rule per group, so that a record names what let a request through. */
static int build(const struct profile *profile, uint64_t denied, struct wbuf *out)
{
	struct policy_rule rules[GROUPS_MAX + 2];
	char file[32];
	uint32_t n = 0;

	if (denied)
		rules[n++] = (struct policy_rule){
			.effect = POLICY_DENY,
			.ops = denied,
			.name = "block and allow lists",
			.file = "command line or qemu-ga.conf",
		};
	snprintf(file, sizeof(file), "builtin:%s", profile->name);
	for (uint32_t bit = 0; bit < GROUPS_MAX; bit++) {
		uint32_t group = profile->groups & 1u << bit;

		if (!group)
			continue;
		rules[n++] = (struct policy_rule){
			.effect = POLICY_ALLOW,
			.ops = policy_group_ops(group),
			.name = group_name(group),
			.file = file,
		};
	}
	if (profile->parts)
		rules[n++] = (struct policy_rule){
			.effect = POLICY_ALLOW,
			.ops = profile->parts,
			.name = "parts of commands",
			.file = file,
		};
	return policy_build(profile->name, rules, n, out);
}

int policy_profile(const char *name, uint64_t denied, struct wbuf *out)
{
	for (size_t i = 0; i < ARRAY_SIZE(profiles); i++)
		if (streq(profiles[i].name, name))
			return build(&profiles[i], denied, out);
	return -1;
}
