/*
 * sandbox/sandbox.h - identity, capabilities and system calls of each process
 *
 * Runs in:   all processes (the supervisor uses identity.c only: libc, no library)
 * Input:     const tables; the uid and gid that the supervisor was told
 * May touch: the calling process's own credentials and filters
 * Must not:  continue when a step fails
 */
#ifndef POSTERN_SANDBOX_H
#define POSTERN_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Who a program runs as. */
struct identity {
	uid_t uid;
	gid_t gid;
};

/*
 * Between fork and exec, for a confined program: no supplementary groups, no capability
 * in any set, the bounding set empty, no_new_privs, then gid and uid (all three each).
 * Run without root it only sets no_new_privs and keeps the caller's ids. So the program
 * and its libraries are loaded by a process that can do nothing.
 * 0, or -1 with errno and *STEP naming what failed.
 */
int identity_drop(const struct identity *id, const char **step);

/* The processes that have a filter of their own. */
enum sandbox_role {
	SANDBOX_FRONTEND,
	SANDBOX_INSPECTOR,
	SANDBOX_WORKER,
	SANDBOX_CHILD, /* an op child, and the audit writer; narrows the worker's */
	SANDBOX_ROLE_COUNT
};

/*
 * Seal the calling process for good: check that it holds no capability and no root uid
 * (frontend and inspector, unless the supervisor ran without root too), not dumpable,
 * no core file, no_new_privs, then the role's system call filter with kill as default.
 * 0, or -1 with errno and *STEP naming what failed; the caller must then end with
 * EXIT_SEAL.
 */
int sandbox_enter(enum sandbox_role role, const char **step);

/*
 * Reduce all capability sets and the bounding set of this (root) process to CAPS, a mask
 * by capability number. 0, or -1 with errno. Without root: clears what there is.
 */
int sandbox_keep_caps(uint64_t caps);

/* One allowed system call. Rows of one call are alternatives. */
struct sc_rule {
	int nr;         /* SCMP_SYS(...) */
	int arg;        /* index of the argument looked at, or -1: any arguments */
	uint64_t mask;  /* allowed when (argument & mask) == want */
	uint64_t want;
	const char *why;
};

struct sc_filter {
	const char *name;
	const struct sc_rule *rules;
	size_t n;
	/* Calls that libc can do without: ENOSYS or EPERM instead of death. */
	const struct sc_rule *soft;
	size_t n_soft;
};

/* The role's filter as data, for the tests and for `make` reports. */
const struct sc_filter *sandbox_filter(enum sandbox_role role);

#endif
