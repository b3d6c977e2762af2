/*
 * sandbox/caps.c - the capabilities that a root process keeps
 *
 * Runs in:   worker, op children (which are sealed already)
 * Input:     a mask from the table of operations
 * May touch: the calling process's capabilities
 * Must not:  open anything, continue when a step fails
 *
 * Not libcap-ng: its handling of the bounding set reads /proc/PID/status, which a sealed
 * process cannot, and what is left is one system call.
 */
#include <errno.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "ipc/util.h"
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
	uint64_t kept = 0;

	/* An ordinary user may be bounded by all of them and hold none. */
	if (geteuid() != 0)
		caps = 0;
	for (unsigned int cap = 0; cap < CAPS_END; cap++) {
		/* Root holds what it is bounded by; in a container that is not all. */
		if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) != 1)
			continue;
		if (!(caps >> cap & 1) && unbound(cap) < 0)
			return -1;
		kept |= caps & UINT64_C(1) << cap;
	}
	return identity_hold_caps(kept);
}

const char *sandbox_cap_name(unsigned int cap)
{
	/* By the kernel's numbers. */
	static const char names[][20] = {
		"chown",
		"dac_override",
		"dac_read_search",
		"fowner",
		"fsetid",
		"kill",
		"setgid",
		"setuid",
		"setpcap",
		"linux_immutable",
		"net_bind_service",
		"net_broadcast",
		"net_admin",
		"net_raw",
		"ipc_lock",
		"ipc_owner",
		"sys_module",
		"sys_rawio",
		"sys_chroot",
		"sys_ptrace",
		"sys_pacct",
		"sys_admin",
		"sys_boot",
		"sys_nice",
		"sys_resource",
		"sys_time",
		"sys_tty_config",
		"mknod",
		"lease",
		"audit_write",
		"audit_control",
		"setfcap",
		"mac_override",
		"mac_admin",
		"syslog",
		"wake_alarm",
		"block_suspend",
		"audit_read",
		"perfmon",
		"bpf",
		"checkpoint_restore",
	};

	return cap < ARRAY_SIZE(names) ? names[cap] : "unknown";
}
