/*
 * ctl/when.h - points in time as people write them
 *
 * Runs in:   posternctl, as the user who calls it
 * Input:     text of the command line
 * May touch: nothing
 * Must not:  guess: what has no form of these is refused
 */
#ifndef POSTERN_CTL_WHEN_H
#define POSTERN_CTL_WHEN_H

#include "ipc/util.h"

/* For messages. */
#define WHEN_FORMS                                                                 \
	"YYYY-MM-DD, 'YYYY-MM-DD HH:MM[:SS]', HH:MM[:SS], today, yesterday, now, " \
	"-2h, '2h ago', -30min, @SECONDS"

/*
 * Microseconds since 1970 for TEXT, in local time, as of NOW. 0; -1: it has none of the
 * forms, or is no time that was.
 */
int when_read(const char *text, uint64_t now, uint64_t *usec);

#endif
