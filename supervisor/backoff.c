/*
 * supervisor/backoff.c - how long to wait before the next try
 *
 * Runs in:   supervisor, root
 * Input:     the clock
 * May touch: the struct it is handed
 * Must not:  block
 */
#include "supervisor/backoff.h"

static uint32_t delay_of(const struct backoff *b)
{
	uint64_t delay = BACKOFF_FIRST_MS;

	if (b->failures <= BACKOFF_AT_ONCE)
		return 0;
	for (uint32_t i = BACKOFF_AT_ONCE + 1; i < b->failures && delay < b->max_ms; i++)
		delay *= 2;
	return delay < b->max_ms ? (uint32_t)delay : b->max_ms;
}

uint32_t backoff_next(struct backoff *b, uint64_t now_ms)
{
	uint32_t delay;

	/*
	 * From the end of the delay, not from the failure: the longest delay is as long
	 * as the time that resets, and would reset a program that fails on every start.
	 */
	if (now_ms >= b->tried_at + BACKOFF_RESET_MS)
		b->failures = 0;
	b->failures++;
	delay = delay_of(b);
	b->tried_at = now_ms + delay;
	return delay;
}
