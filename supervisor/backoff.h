/*
 * supervisor/backoff.h - how long to wait before the next try
 *
 * Runs in:   supervisor, root
 * Input:     the clock
 * May touch: the struct it is handed
 * Must not:  block
 */
#ifndef POSTERN_SUPERVISOR_BACKOFF_H
#define POSTERN_SUPERVISOR_BACKOFF_H

#include <stdint.h>

#define BACKOFF_AT_ONCE  3   /* failures answered without a delay */
#define BACKOFF_FIRST_MS 100 /* the first delay; each further one is twice the last */
#define BACKOFF_RESET_MS                                              \
	10000 /* without a failure, counted from the end of the delay \
	       */

/* All zero but MAX_MS is a fresh one. */
struct backoff {
	uint32_t max_ms;   /* longest delay */
	uint32_t failures; /* in a row */
	uint64_t tried_at; /* when the try that follows the last failure was due */
};

/* Count a failure at NOW_MS; the delay before the next try in milliseconds. */
uint32_t backoff_next(struct backoff *b, uint64_t now_ms);

#endif
