/*
 * supervisor/launch.h - from fork to exec
 *
 * Runs in:   supervisor, root; the started process until its exec
 * Input:     what the supervisor decided
 * May touch: the new process's identity and descriptors
 * Must not:  leave anything of the supervisor to the new program
 */
#ifndef POSTERN_SUPERVISOR_LAUNCH_H
#define POSTERN_SUPERVISOR_LAUNCH_H

#include "sandbox/sandbox.h"

/* Not of a program: it could not be run at all; the reason is on standard error. */
#define EXIT_NOT_RUN 127

struct launch {
	const char *const *argv;     /* argv[0] is the program's name */
	int exe;                     /* O_PATH */
	int socket;                  /* becomes LAUNCH_FD_SOCKET */
	int extra;                   /* becomes LAUNCH_FD_EXTRA; -1: none */
	int state;                   /* becomes LAUNCH_FD_STATE; -1: none */
	int control;                 /* becomes LAUNCH_FD_CONTROL; -1: none */
	int policy;                  /* becomes LAUNCH_FD_POLICY; -1: none */
	bool confined;               /* it has no privilege (identity_drop), and is, */
	const struct identity *user; /* this one; NULL: who we are, and it keeps stderr */
};

/*
 * Start the program; all descriptors stay the caller's. Its pidfd, or -1 with errno.
 * The descriptors and the environment it gets are those of ipc/launch.h.
 */
int launch(const struct launch *l);

#endif
