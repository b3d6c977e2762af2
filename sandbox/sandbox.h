/*
 * sandbox/sandbox.h - identity, capabilities and system calls of each process
 *
 * Runs in:   all processes (the supervisor uses identity.c only: libc, no library)
 * Input:     const tables; the uid and gid that the supervisor was told
 * May touch: the calling process's own credentials and filters
 * Must not:  continue when a step fails
 *
 * Every function returns 0, or -1 with errno; STEP then names what failed. A caller that
 * is told -1 must end (with EXIT_SEAL), since it holds more than it should.
 */
#ifndef POSTERN_SANDBOX_H
#define POSTERN_SANDBOX_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* ---- identity and capabilities ---- */

/* Who a program runs as. Neither may be 0. */
struct identity {
	uid_t uid;
	gid_t gid;
};

/*
 * Between fork and exec, for a confined program: no_new_privs, the bounding set empty,
 * no supplementary groups, gid and uid (all three each; ID NULL: they stay root's), no
 * capability in any set. Run without root it keeps the caller's ids, groups and bounding
 * set. So the program and its libraries are loaded by a process that can do nothing; with
 * root's ids it can still do what root may as the owner of files.
 */
int identity_drop(const struct identity *id, const char **step);

/* True if the calling process holds no capability and, unless AS_ROOT, no uid of root's.
 */
bool identity_dropped(bool as_root);

#define CAP_MASK(cap) (UINT64_C(1) << (cap))

/* All but CAPS, a mask by number, leave the bounding set, which takes CAP_SETPCAP. 0, or
 * -1. */
int identity_bound_by(uint64_t caps);

/* The permitted and the effective set are CAPS, a mask by number; the others empty. */
int identity_hold_caps(uint64_t caps);

/*
 * Reduce the capabilities of the calling process to those in CAPS, a mask by capability
 * number: permitted and effective sets to what it may hold of them, the inheritable and
 * ambient sets to none, and the bounding set as well while it holds CAP_SETPCAP (a
 * process without it may not, and one that cannot execute gains nothing by what is left).
 * Without root: no capability is kept. Opens nothing, so that a sealed child may call it.
 */
int sandbox_keep_caps(uint64_t caps);

/* The name of a capability as people write it, without "CAP_": "sys_admin". */
const char *sandbox_cap_name(unsigned int cap);

/* ---- system calls ---- */

/* The processes that have a filter of their own. */
enum sandbox_role {
	SANDBOX_FRONTEND,
	SANDBOX_INSPECTOR,
	SANDBOX_WORKER,
	SANDBOX_POLICY, /* the reader of the policy files */
	SANDBOX_CHILD,  /* an op child that only answers, and the audit writer */
	SANDBOX_SMART,  /* besides, an op child that reads the health of NVMe disks */
	SANDBOX_LOOK,   /* besides, one that looks what is at a path */
	SANDBOX_OPEN, /* besides, one that opens what it found, and seals itself again */
	SANDBOX_MAKE, /* besides, one that makes it, or opens it to be written */
	SANDBOX_HANDLE,  /* besides, what is left of it: an open file */
	SANDBOX_MOUNTS,  /* besides, one that holds, trims or thaws what is mounted */
	SANDBOX_FREEZER, /* besides, one that freezes what it was given */
	SANDBOX_THAWER,  /* besides, one that thaws it, whoever else is gone */
	SANDBOX_CLOCK,   /* besides, an op child that sets the clocks */
	SANDBOX_SYSFS,   /* besides, one that reads and writes switches of the kernel */
	SANDBOX_HOME, /* besides, one that takes on a user's rights and seals itself again
		       */
	SANDBOX_AT_HOME, /* besides, what is left of it: it works in the user's home */
	SANDBOX_SIGNAL,  /* besides, one that tells init to go down */
	SANDBOX_REBOOT,  /* besides, one that has the kernel go down */
	SANDBOX_ROLE_COUNT
};

#define SC_ROLE(role) (UINT32_C(1) << (role))

/* The roles of the child that carries out operation OP of ipc/ops.h: SC_ROLE bits. */
uint32_t sandbox_child_roles(uint32_t op);

/*
 * Bound the memory of the calling process by the table of budget.c, as it has it for
 * ROLES; 0 is the spawner, whose limit can be raised again for what it runs. Nothing for
 * an op child, which has the worker's, nor in a build with sanitizers. 0, or -1 with
 * errno.
 */
int sandbox_budget(uint32_t roles);

/*
 * Seal the calling process for good. A program: check that it is dropped (all but the
 * worker), not dumpable, no core file, no_new_privs, its budget, then its filter. A
 * child: its filter, on top of the worker's. What is not in the filter kills the process.
 * ROLES is a set of SC_ROLE bits: those of the program or child, and for the worker also
 * those of the children it may need, since a child can only narrow what it inherits.
 */
int sandbox_enter(uint32_t roles, const char **step);

/*
 * The two halves of the last step, for a process that loads one filter in many children:
 * compile it once, load it in each (one system call). PROG->filter is malloc()ed and the
 * caller's. Loading needs no_new_privs. To compile fails with ENOSYS on a machine whose
 * calls we do not know.
 */
int sandbox_compile(uint32_t roles, struct sock_fprog *prog);
int sandbox_load(const struct sock_fprog *prog);

/* ---- files ---- */

/*
 * Leave the calling process, and what it forks, the files beneath ROOT (a directory) that
 * the roles need, by Landlock. What is open stays usable. 1; 0: this kernel has no
 * Landlock; or -1 with errno. Sets no_new_privs. Opens files, so before sandbox_enter.
 */
int sandbox_beneath(uint32_t roles, int root);

/*
 * The two halves of it, for a process whose children get files of their own and which can
 * itself open nothing by then. *RULESET is the caller's; 1, 0 or -1 as above. To restrict
 * needs no_new_privs, and is for good: what is restricted already can only lose more.
 */
int sandbox_ruleset(uint32_t roles, int root, int *ruleset);
int sandbox_restrict(int ruleset);

/* The same for people: "read /sys, write /sys"; "none". */
void sandbox_beneath_text(uint32_t roles, char *out, size_t size);

/* ---- the filters as data ---- */

/* Holds when (the low 32 bits of argument ARG & MASK) == WANT. A zero one holds always.
 */
struct sc_cond {
	uint32_t mask;
	uint32_t want;
	uint32_t arg; /* 0 is the first */
};

#define SC_CONDS_MAX 2

/*
 * One system call as some processes may make it. All conditions of a row must hold; rows
 * of one call for one role are alternatives, and what one of the roles may do is not
 * refused because another can do without it. What no row matches kills.
 */
struct sc_rule {
	int nr;         /* below zero: this machine has no such call */
	uint32_t roles; /* SC_ROLE bits */
	int err;        /* 0: allowed; else the errno it fails with, never done */
	struct sc_cond when[SC_CONDS_MAX];
};

/* Every row of every role, *N of them: for the loader, tests and reports. */
const struct sc_rule *sandbox_rules(size_t *n);

/* The same rows in the same order, for people. */
struct sc_text {
	const char *why;
	const char *unused; /* NULL, or why no test of the whole agent makes the call */
	const char *when[SC_CONDS_MAX]; /* the conditions in the kernel's names */
};

const struct sc_text *sandbox_texts(size_t *n);

#endif
