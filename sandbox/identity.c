/*
 * sandbox/identity.c - become a user who can do nothing
 *
 * Runs in:   supervisor's children between fork and exec; every confined program (check);
 *            worker and op children, for caps.c
 * Input:     the uid and gid that the supervisor was told
 * May touch: the calling process's credentials
 * Must not:  allocate, use a library other than libc, continue when a step fails
 */
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox/sandbox.h"

/*
 * Most processes of a confined program's user: itself, and what it or one before it left
 * behind at file systems that hang.
 */
#define PROCESSES_MAX 32

typedef struct __user_cap_data_struct caps_t[_LINUX_CAPABILITY_U32S_3];

static struct __user_cap_header_struct caps_header(void)
{
	return (struct __user_cap_header_struct){.version = _LINUX_CAPABILITY_VERSION_3};
}

/* The kernel keeps the ambient set within the inheritable one, so it goes along. */
int identity_hold_caps(uint64_t caps)
{
	struct __user_cap_header_struct head = caps_header();
	const uint32_t low = (uint32_t)caps, high = (uint32_t)(caps >> 32);
	caps_t held = {{.effective = low, .permitted = low},
		       {.effective = high, .permitted = high}};

	return (int)syscall(SYS_capset, &head, held);
}

/* The kernel answers EINVAL for the first number that it does not know. */
int identity_bound_by(uint64_t caps)
{
	for (unsigned int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if (!(caps & CAP_MASK(cap)) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return -1;
	return errno == EINVAL ? 0 : -1;
}

/* Of root's all but the ids. */
static int leave_privilege(const char **step)
{
	*step = "bounding set";
	if (identity_bound_by(0) < 0)
		return -1;
	*step = "supplementary groups";
	return setgroups(0, NULL);
}

static int become(const struct identity *id, const char **step)
{
	*step = "user or group is root's";
	if (id->uid == 0 || id->gid == 0) {
		errno = EINVAL;
		return -1;
	}
	*step = "group";
	if (setresgid(id->gid, id->gid, id->gid) < 0)
		return -1;
	*step = "user";
	if (setresuid(id->uid, id->uid, id->uid) < 0)
		return -1;
	/* Behind the uid: a limit that is exceeded at the change would forbid execve. */
	*step = "process limit";
	return setrlimit(RLIMIT_NPROC, &(struct rlimit){PROCESSES_MAX, PROCESSES_MAX});
}

int identity_drop(const struct identity *id, const char **step)
{
	*step = "no_new_privs";
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	/* The privilege first: to leave it needs what the uid takes away. */
	if (geteuid() == 0 && (leave_privilege(step) < 0 || (id && become(id, step) < 0)))
		return -1;
	*step = "capabilities";
	return identity_hold_caps(0);
}

bool identity_dropped(bool as_root)
{
	struct __user_cap_header_struct head = caps_header();
	caps_t caps;
	uint32_t held = 0;
	uid_t ruid, euid, suid;

	if (getresuid(&ruid, &euid, &suid) < 0 || syscall(SYS_capget, &head, caps) < 0)
		return false;
	for (size_t i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
		held |= caps[i].effective | caps[i].permitted | caps[i].inheritable;
	return !held && (as_root || (ruid && euid && suid));
}
