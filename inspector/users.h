/*
 * inspector/users.h - who is logged in, by the records of either keeper
 *
 * Runs in:   inspector
 * Input:     utmp and logind's session files: any bytes
 * May touch: the bytes it is handed; the arena
 * Must not:  expect whole records or a NUL behind a name
 *
 * Users are collected in a list of struct msg_user, each name once with its earliest
 * login. Both functions return 0, or -1 if the arena is full; names point into the bytes
 * or into the arena.
 */
#ifndef POSTERN_INSPECTOR_USERS_H
#define POSTERN_INSPECTOR_USERS_H

#include "inspector/inspector.h"
#include "inspector/text.h"

/* Those of a utmp file, in its order. A record that is cut off at the end is none. */
int users_of_utmp(struct inspector *in, const char *bytes, size_t len,
		  struct v_list *users);

/* That of one of logind's session files, if somebody is logged in by it. */
int users_of_session(struct inspector *in, struct text file, struct v_list *users);

#endif
