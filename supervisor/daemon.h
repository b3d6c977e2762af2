/*
 * supervisor/daemon.h - go to the background, and tell who waits how it went
 *
 * Runs in:   supervisor, root; the process that was called, until it exits
 * Input:     lines of the daemon's standard error, while it starts
 * May touch: descriptors 0 to 2, the session, the working directory
 * Must not:  let the caller go before clients are answered
 *
 * The process that was called stays until the agent is announced or has failed, so that
 * a channel that cannot be opened shows in its exit status (with -r, which waits for the
 * channel, until the agent is about to start its programs). Until then the daemon's
 * standard error is a pipe to it; what comes out of that it passes on. A NUL byte, which
 * no line holds, says that all is well.
 */
#ifndef POSTERN_SUPERVISOR_DAEMON_H
#define POSTERN_SUPERVISOR_DAEMON_H

#include "ipc/err.h"

struct daemon {
	int pipe; /* to the process that waits; -1: none does */
	bool has_log;
};

/*
 * Fork. Returns 0 in the daemon, 1 in the process that was called when its waiting is
 * over, with its exit STATUS filled; -1 with E filled. With a log (HAS_LOG) standard
 * error is left alone.
 */
int daemon_start(struct daemon *d, bool has_log, int *status, struct err *e);

/* Clients are answered: let the caller go, and everything of its that we still hold. */
void daemon_ready(struct daemon *d);

#endif
