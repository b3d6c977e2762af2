/*
 * ctl/literal.h - texts of the host as literals of the policy language
 *
 * Runs in:   posternctl, as the user who calls it
 * Input:     text of records: any bytes
 * May touch: the buffer it is handed
 * Must not:  let a character of the text mean anything, or hide
 */
#ifndef POSTERN_CTL_LITERAL_H
#define POSTERN_CTL_LITERAL_H

#include "ipc/wire.h"

/* NULL, or why TEXT cannot stand in a policy as it is. */
const char *literal_unfit(const char *text);

/* "KEY = ..." in as many lines as it takes. */
struct literals {
	struct wbuf *w;
	const char *key;
	size_t begin; /* of the line at hand; 0: there is none */
};

void literals_add(struct literals *l, const char *text);
void literals_end(struct literals *l);

/* KEY with this text alone. */
void literal_line(struct wbuf *w, const char *key, const char *text);

/*
 * TEXT of a record (struct trail) as it was: a copy, or NULL if that cannot be told, or
 * memory is short. ESCAPES: \xNN in it is a byte; else it may be, unless TEXT is the SAME
 * as another that is known to be itself.
 */
char *literal_of_record(const char *text, bool escapes, const char *same);

#endif
