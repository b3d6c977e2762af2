/*
 * policy/reason.c - why a request was decided as it was: the texts
 *
 * Runs in:   worker, frontend, posternctl
 * Input:     none; const data
 * May touch: nothing
 * Must not:  lose a spelling that stands in somebody's records
 */
#include "policy/reason.h"

static const struct reason_row {
	const char *name;
	const char *text;
} reasons[REASON_COUNT] = {
#define REASON_ROW(tag, name, text) {name, text},
	REASON_TABLE(REASON_ROW)};

const char *reason_name(enum reason r)
{
	return reasons[r].name;
}

const char *reason_text(enum reason r)
{
	return reasons[r].text;
}
