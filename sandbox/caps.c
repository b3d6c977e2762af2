/*
 * sandbox/caps.c - the capabilities that a root process keeps
 *
 * Runs in:   worker, op children (which are sealed already)
 * Input:     a mask from the table of operations
 * May touch: the calling process's capabilities
 * Must not:  open anything, continue when a step fails
 *
 * libcap-ng's own handling of the bounding set reads /proc/PID/status, which a sealed
 * process cannot. So libcap-ng sets the other sets, and the bounding set is done here.
 */
#include <cap-ng.h>
#include <errno.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "sandbox/sandbox.h"

#define CAPS_END 64 /* the width of the kernel's sets */

/* Drop CAP from the bounding set. EPERM: no CAP_SETPCAP; the header says why that is
 * fine. */
static int unbound(unsigned int cap)
{
	if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && errno != EPERM)
		return -1;
	return 0;
}

int sandbox_keep_caps(uint64_t caps)
{
	/* An ordinary user may be bounded by all of them and hold none. */
	if (geteuid() != 0)
		caps = 0;
	/* This process; else the one that first asked, which may have forked without
	 * libc. */
	capng_setpid(0);
	capng_clear(CAPNG_SELECT_BOTH);
	for (unsigned int cap = 0; cap < CAPS_END; cap++) {
		/* Root holds what it is bounded by; in a container that is not all. */
		if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) != 1)
			continue;
		if (!(caps >> cap & 1) && unbound(cap) < 0)
			return -1;
		if (caps >> cap & 1)
			capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, cap);
	}
	return capng_apply(CAPNG_SELECT_CAPS) < 0 ? -1 : 0;
}

const char *sandbox_cap_name(unsigned int cap)
{
	const char *name = capng_capability_to_name(cap);

	return name ? name : "unknown";
}
