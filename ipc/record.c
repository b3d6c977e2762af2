/*
 * ipc/record.c - the audit record: its events and fields, once
 *
 * Runs in:   worker (writes), posternctl (reads)
 * Input:     none; const data
 * May touch: nothing
 * Must not:  lose a name or a message id that stands in somebody's journal
 */
#include "ipc/record.h"

SCHEMA_DEFINE(audit)

const struct event_row event_rows[AUDIT_EVENT_COUNT] = {
#define AUDIT_EVENT_ROW(tag, name, id, priority) {name, id, priority},
	AUDIT_EVENT_TABLE(AUDIT_EVENT_ROW)};
