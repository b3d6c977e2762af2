/*
 * ipc/note.c - what the frontend tells the worker beside the arguments themselves
 *
 * Runs in:   frontend (writes), worker (reads)
 * Input:     none; const data
 * May touch: nothing
 * Must not:  be believed
 */
#include "ipc/note.h"

static const char *const session_event_v[] = {"connect", "disconnect", "protocol-error"};

const struct names names_session_event = {"SessionEvent", session_event_v,
					  ARRAY_SIZE(session_event_v)};

SCHEMA_DEFINE(request_head)
SCHEMA_DEFINE(session_note)
