/*
 * ipc/note.h - what the frontend tells the worker beside the arguments themselves
 *
 * Runs in:   frontend (writes), worker (reads)
 * Input:     the frontend's word; it ends in records as such, and decides nothing
 * May touch: nothing
 * Must not:  be believed
 */
#ifndef POSTERN_IPC_NOTE_H
#define POSTERN_IPC_NOTE_H

#include "ipc/schema.h"

/* Bytes of text a note carries at the most; longer ones are cut. */
#define NOTE_TEXT_MAX 256

/* In front of the arguments of a request. */
#define FIELDS_request_head(X, t)                      \
	X(t, U64, session, "session", F_PUB, REF_NONE) \
	X(t, STR, client_id, "client-id", F_OPT | F_PUB, REF_NONE)

enum session_event {
	SESSION_CONNECT,    /* the first byte of a new client; count: 0 */
	SESSION_DISCONNECT, /* count: session commands answered; text: none */
	SESSION_MALFORMED, /* count: malformed inputs since the last note; text: the first
			    */
	SESSION_COMMANDS,  /* count: session commands of one kind since the last note */
};
extern const struct names names_session_event;

/* What became of a session command. */
enum session_outcome {
	SESSION_ANSWERED,
	SESSION_REFUSED, /* by the policy */
	SESSION_WRONG,   /* its arguments were */
	SESSION_OUTCOMES
};
extern const struct names names_session_outcome;

#define FIELDS_session_note(X, t)                                  \
	X(t, ENUM, event, "event", F_PUB, REF_ENUM(session_event)) \
	X(t, U64, session, "session", F_PUB, REF_NONE)             \
	X(t, U64, count, "count", F_PUB, REF_NONE)                 \
	X(t, STR, text, "text", F_PUB, REF_NONE)                   \
	X(t, INT, command, "command", F_OPT | F_PUB, REF_NONE)     \
	X(t, ENUM, outcome, "outcome", F_OPT | F_PUB, REF_ENUM(session_outcome))

SCHEMA_STRUCT(request_head)
SCHEMA_STRUCT(session_note)

#endif
