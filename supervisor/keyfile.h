/*
 * supervisor/keyfile.h - the text of a key file, entry by entry
 *
 * Runs in:   supervisor, root
 * Input:     a text in memory, of the guest's administrator; may hold any bytes
 * May touch: that text, which it cuts up
 * Must not:  allocate, know what the keys mean
 *
 * A key file is what GLib calls so: groups `[name]`, in them lines `key = value`,
 * comments behind `#` and empty lines between them. A value may hold \s \n \t \r and \\.
 */
#ifndef POSTERN_SUPERVISOR_KEYFILE_H
#define POSTERN_SUPERVISOR_KEYFILE_H

#include "ipc/err.h"

struct keyfile {
	char *rest;        /* what was not read yet */
	unsigned line;     /* of the entry, from 1 */
	const char *group; /* all three point into the text */
	const char *key;
	const char *value; /* without blanks around it */
};

/* Begin with TEXT: LEN bytes and a NUL behind them. 0, or -1 with E filled: a NUL inside.
 */
int keyfile_start(struct keyfile *k, char *text, size_t len, struct err *e);

/* The next entry: 1 and the members are filled; 0: no more; -1 with E filled. */
int keyfile_next(struct keyfile *k, struct err *e);

#endif
