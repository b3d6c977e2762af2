/*
 * policy/profiles.c - the profiles that are kept by the project
 *
 * Runs in:   reader, posternctl
 * Input:     none; the files of policy/profiles/, compiled in
 * May touch: nothing
 * Must not:  grow wider by an update without a word in the release notes
 */
#include <string.h>

#include "policy/source.h"

/* Each file as it is, between two symbols. */
#define EMBED(id, file)                                                    \
	__asm__(".section .rodata\n"                                       \
		".global profile_" #id "\n.global profile_" #id "_end\n"   \
		"profile_" #id ":\n.incbin \"policy/profiles/" file "\"\n" \
		"profile_" #id "_end:\n.byte 0\n.previous\n");             \
	extern const char profile_##id[], profile_##id##_end[];

#define PROFILE_TABLE(X)                     \
	X(none, "none.conf")                 \
	X(confidential, "confidential.conf") \
	X(safe, "safe.conf")                 \
	X(libvirt, "libvirt.conf")           \
	X(proxmox, "proxmox.conf")           \
	X(kubevirt, "kubevirt.conf")         \
	X(openstack, "openstack.conf")       \
	X(legacy, "legacy.conf")

PROFILE_TABLE(EMBED)

static const struct row {
	const char *name;
	const char *text, *end;
} rows[] = {
#define PROFILE_ROW(id, file) {#id, profile_##id, profile_##id##_end},
	PROFILE_TABLE(PROFILE_ROW)};

const char *profile_names(void)
{
	return "none, confidential, safe, libvirt, proxmox, kubevirt, openstack, legacy";
}

bool profile_at(size_t index, struct profile *p)
{
	if (index >= ARRAY_SIZE(rows))
		return false;
	*p = (struct profile){rows[index].name, rows[index].text,
			      (size_t)(rows[index].end - rows[index].text)};
	return true;
}

bool profile_find(const char *name, struct profile *p)
{
	for (size_t i = 0; profile_at(i, p); i++)
		if (streq(p->name, name))
			return true;
	return false;
}
