/*
 * ipc/control.c - what posternctl and the worker say to each other
 *
 * Runs in:   worker, posternctl
 * Input:     none; const data
 * May touch: nothing
 * Must not:  be spoken with anybody but root, or who runs the agent
 */
#include "ipc/control.h"

static const char *const verb_v[] = {"status", "reload", "policy"};
#define OUTCOME_NAME(tag, name) name,
static const char *const outcome_v[] = {RELOAD_TABLE(OUTCOME_NAME)};

const struct names names_control_verb = {"ControlVerb", verb_v, ARRAY_SIZE(verb_v)};
const struct names names_reload_outcome = {"ReloadOutcome", outcome_v,
					   ARRAY_SIZE(outcome_v)};

SCHEMA_DEFINE(control)
SCHEMA_DEFINE(status)
SCHEMA_DEFINE(controlled)
