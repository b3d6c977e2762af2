/*
 * sandbox/caps.c - the capabilities that a root process keeps
 *
 * Runs in:   worker, op children (which are sealed already)
 * Input:     a mask from the table of operations
 * May touch: the calling process's capabilities
 * Must not:  open anything, continue when a step fails
 *
 * Not libcap-ng: its handling of the bounding set reads /proc/PID/status, which a sealed
 * process cannot, and what is left are two system calls.
 */
#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ipc/util.h"
#include "sandbox/sandbox.h"

/* The kernel's sets are of two words. */
#define CAPS_WORDS _LINUX_CAPABILITY_U32S_3

static uint64_t mask_of(uint32_t low, uint32_t high)
{
	return (uint64_t)high << 32 | low;
}

int sandbox_keep_caps(uint64_t caps)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct sets[CAPS_WORDS];
	uint64_t effective;

	/* An ordinary user may be bounded by all of them and hold none. */
	if (geteuid() != 0)
		caps = 0;
	if (syscall(SYS_capget, &head, sets) < 0)
		return -1;
	effective = mask_of(sets[0].effective, sets[1].effective);
	if (effective & CAP_MASK(CAP_SETPCAP) && identity_bound_by(caps) < 0)
		return -1;
	/* In a container root does not hold all that is asked for. */
	caps &= mask_of(sets[0].permitted, sets[1].permitted);
	return identity_hold_caps(caps);
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
