/*
 * policy/files.h - find, trust and read the policy files
 *
 * Runs in:   reader (root without a capability), posternctl
 * Input:     the file system beneath a root; files and directories of unknown owners
 * May touch: the policy directories, read-only
 * Must not:  follow a link out of them, wait for a file that is none, trust what others
 *            can write
 *
 * /usr/lib/postern, /run/postern and /etc/postern hold policy.conf and policy.d with
 * NAME.conf each. A file in /etc replaces the one of the same name in /run, that the one
 * in /usr/lib; a link to /dev/null masks it. A policy in /usr/lib that says `sealed =
 * yes` makes the other two be ignored.
 */
#ifndef POSTERN_POLICY_FILES_H
#define POSTERN_POLICY_FILES_H

#include <sys/types.h>

#include "policy/source.h"

/*
 * Read all policy files beneath the directory ROOT_FD into S. OWNER: a user who may own
 * them besides root (the caller's own, without root). The number of files; what cannot
 * be trusted or read is a mistake in S.
 */
unsigned int files_read(int root_fd, uid_t owner, struct source *s);

#endif
