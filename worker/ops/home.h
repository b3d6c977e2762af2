/*
 * worker/ops/home.h - one file of a user, changed with that user's rights
 *
 * Runs in:   op children of the worker
 * Input:     a home whose owner changes it meanwhile, and may wish us harm
 * May touch: what the user may: HOME/.ssh/authorized_keys; our own rights, for good
 * Must not:  follow a link below the home, wait for a pipe, leave half a file
 *
 * Real, effective and saved ids stay root's. So the user, whose rights to files we have,
 * has none over us: no signal, no ptrace, nothing of /proc.
 */
#ifndef POSTERN_WORKER_OPS_HOME_H
#define POSTERN_WORKER_OPS_HOME_H

#include <limits.h>

#include "ipc/err.h"
#include "ipc/ops.h"
#include "ipc/sys.h"

/* Content of the file, bytes. */
#define HOME_FILE_MAX (1024 * 1024)

struct home {
	const struct sys *sys;
	const struct msg_account *account;
	struct err *e;
	const char *verb;    /* of errors: "read", "write to"; home_look sets it */
	char home[PATH_MAX]; /* without a slash at its end */
	int home_fd, dir_fd; /* O_PATH of the home; .ssh. -1: it is not there */
	bool there;          /* is there a file? */
	struct stat st;      /* of it, before it was read */
	char *text;          /* what was read; owned */
	size_t len;
};

/* What came of a step. */
enum home_step {
	HOME_FAILED = -1, /* H->e says why, and nothing was changed */
	HOME_DONE,
	HOME_AGAIN, /* somebody else changed something, and we did not: begin anew */
};

/* Give up all rights but those of account A to files. 0, or -1 with errno. */
int home_become(const struct msg_account *a);

/* Open H->home, of what is set in H. 0, or -1 with H->e. Always end with home_done. */
int home_open(struct home *h);
void home_done(struct home *h);

/* H->e: the file is what it must not be, WRONG. -1. */
int home_refuse(const struct home *h, const char *wrong);

/*
 * Look at the file and, with READS, read it. Where it may not be there: that is no error,
 * and there is no text.
 */
int home_look(struct home *h, bool reads, bool may_lack);

/* Put a file with that text in the place of the one that home_look has seen. */
enum home_step home_replace(struct home *h, const void *text, size_t len);

#endif
