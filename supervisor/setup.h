/*
 * supervisor/setup.h - what must be in place before anything is started
 *
 * Runs in:   supervisor, root
 * Input:     values of the command line; /etc/passwd; trusted
 * May touch: the state directory, the pidfile, the audit file, the log file
 * Must not:  ask a name service, follow a link to what it writes
 */
#ifndef POSTERN_SUPERVISOR_SETUP_H
#define POSTERN_SUPERVISOR_SETUP_H

#include <limits.h>

#include "ipc/err.h"
#include "sandbox/sandbox.h"

/* Each returns 0, or -1 with E filled, unless it says otherwise. */

/* DIR must be a directory; one that is missing is made if it is the DEFAULT. */
int statedir_check(const char *dir, bool is_default, struct err *e);

struct pidfile {
	const char *path;
	int fd; /* holds the lock; -1: none */
};

/* Write our process id to PATH and lock it; a held one is refused. PATH is kept. */
int pidfile_take(struct pidfile *p, const char *path, struct err *e);
/* Remove and close it. Fine on one not taken. */
void pidfile_done(struct pidfile *p);

/* USER, a name in /etc/passwd or a number (used as uid and gid); never root. */
int user_find(struct identity *id, const char *user, const char *option, struct err *e);

/* Is DIR in memory, so that nothing written there waits for a disk? */
bool is_in_memory(const char *dir);

/*
 * What survives a worker (struct state of ipc/state.h): the file "state" in DIR, if that
 * is in memory, so that it lasts until the next boot; else a memory of our own. Its
 * descriptor, or -1 with E.
 */
int state_open(const char *dir, struct err *e);

/*
 * Where posternctl connects: the socket CONTROL_NAME in DIR, for us alone. Its
 * descriptor, or -1 with E. One that an agent before us left there is replaced.
 */
int control_listen(const char *dir, struct err *e);
/* Remove it. */
void control_remove(const char *dir);

/* Does the state in DIR say that a file system is frozen? Then nothing may be made. */
bool state_is_frozen(const char *dir);

/* Where records go: to the journal, or to a descriptor (-1: nowhere). */
struct audit_sink {
	bool journal;
	int fd;
};

/*
 * SINK is "journal", "fd:N" (N itself) or "file:PATH" (opened); NULL: the journal where
 * its socket is, else "fd:2". 0, or -1 with E filled.
 */
int audit_open(struct audit_sink *a, const char *sink, bool frozen, struct err *e);

/* Standard error goes to the end of the file PATH from now on. */
int log_open(const char *path, bool frozen, struct err *e);

/* An O_PATH descriptor of the program FILE in DIR; -1 with E filled. */
int program_open(const char *dir, const char *file, struct err *e);

/* Give 0, 1 and 2 to /dev/null where they are closed. 0, or -1 with errno. */
int standard_descriptors(void);

#endif
