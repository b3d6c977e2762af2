/*
 * worker/ops/account.h - names of local accounts as numbers
 *
 * Runs in:   op children of the worker
 * Input:     names of the policy; /etc/passwd and /etc/group
 * May touch: these two files
 * Must not:  load a module of the name service: its code would be ours
 */
#ifndef POSTERN_WORKER_OPS_ACCOUNT_H
#define POSTERN_WORKER_OPS_ACCOUNT_H

#include <sys/types.h>

#include "ipc/err.h"
#include "ipc/sys.h"
#include "ipc/schema.h"

/* Groups that an account is in, at the most. */
#define ACCOUNT_GROUPS_MAX 4096

/*
 * `user:group`, `user` (with that user's group) or `:group`, each a local name or a
 * number, as uid and gid; none at all is root. 0, or -1 with E.
 */
int account_owner(const struct sys *sys, const struct v_str *owner, uid_t *uid,
		  gid_t *gid, struct err *e);

/* Field N, counted from 0, of the LINE up to END, separated by colons; unset: none. */
struct v_str account_field(const char *line, const char *end, int n);

/* The whole of S as an id: digits only, below the number that is none. */
bool account_number(const struct v_str *s, uint32_t *out);

bool account_same(const struct v_str *a, const struct v_str *b);

#endif
