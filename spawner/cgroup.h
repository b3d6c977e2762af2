/*
 * spawner/cgroup.h - a cgroup for each program, where systemd has handed us a tree
 *
 * Runs in:   spawner
 * Input:     limits that the worker has decided on
 * May touch: the cgroups beneath that of our own unit
 * Must not:  make a cgroup in a tree that is not ours (no --unit): then there are none
 *
 * The unit has Delegate=yes, so its cgroup is ours; a cgroup that has children may hold
 * no process, so we move to one of our own ("spawner") first. See the kernel's
 * Documentation/admin-guide/cgroup-v2.rst.
 */
#ifndef POSTERN_SPAWNER_CGROUP_H
#define POSTERN_SPAWNER_CGROUP_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "ipc/util.h"

struct cgroups {
	int base;            /* directory of our unit's; -1: there are none */
	char path[PATH_MAX]; /* of it, as /proc/self/cgroup has it */
	uint64_t last;
};

struct cgroup {
	int fd; /* its directory; -1: none */
	char name[32];
};

/* Take over our unit's cgroup. 0, or -1 with errno: there are none. */
int cgroups_init(struct cgroups *all);

/*
 * One for a program, of at most MEMORY bytes and TASKS tasks (0: no limit). Without
 * cgroups, and if it cannot be made, C->fd is -1; then -1 is returned if there are any.
 */
int cgroup_make(struct cgroups *all, struct cgroup *c, uint64_t memory, uint64_t tasks);

/* SIGKILL to all that is in it. Fine on none. */
void cgroup_kill(const struct cgroup *c);

/* Remove it if nothing is in it any more; forget it either way. */
void cgroup_done(struct cgroups *all, struct cgroup *c);

#endif
