/*
 * ipc/note.c - what the frontend tells the worker beside the arguments themselves
 *
 * Runs in:   frontend (writes), worker (reads)
 * Input:     none; const data
 * May touch: nothing
 * Must not:  be believed
 */
#include "ipc/note.h"

static const char *const session_event_v[] = {"connect", "disconnect", "protocol-error",
					      "commands"};
static const char *const session_outcome_v[] = {"answered", "refused", "wrong"};

const struct names names_session_event = {"SessionEvent", session_event_v,
					  ARRAY_SIZE(session_event_v)};

const struct names names_session_outcome = {"SessionOutcome", session_outcome_v,
					    ARRAY_SIZE(session_outcome_v)};

SCHEMA_DEFINE(request_head)
SCHEMA_DEFINE(session_note)
