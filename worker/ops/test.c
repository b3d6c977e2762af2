/*
 * worker/ops/test.c - operations that only test builds have
 *
 * Runs in:   op children of the worker, in a build with POSTERN_TEST_OPS
 * Input:     the typed request, decided on
 * May touch: memory of its own
 * Must not:  be part of a production build
 */
#include "worker/ops/ops.h"

#ifdef POSTERN_TEST_OPS

#include <string.h>
#include <time.h>

int child_test_sleep(const struct sys *sys, const void *args, struct wbuf *out,
		     struct err *e)
{
	const struct msg_test_sleep *q = args;
	struct timespec ts = {
		.tv_sec = q->ms.v / 1000,
		.tv_nsec = q->ms.v % 1000 * 1000000,
	};

	(void)sys;
	(void)out;
	if (nanosleep(&ts, NULL) < 0)
		return err_sys(e, errno, "failed to sleep for %lld ms",
			       (long long)q->ms.v);
	return 0;
}

int child_test_act(const struct sys *sys, const void *args, struct wbuf *out,
		   struct err *e)
{
	return child_test_sleep(sys, args, out, e);
}

int child_test_blob(const struct sys *sys, const void *args, struct wbuf *out,
		    struct err *e)
{
	const struct msg_test_blob *q = args;
	uint8_t *room;

	(void)sys;
	if (q->size.v < 0 || q->size.v > WIRE_STR_MAX)
		return err_set(e, ERR_GENERIC,
			       "value '%lld' is invalid for argument size",
			       (long long)q->size.v);
	wbuf_u32(out, (uint32_t)q->size.v);
	room = wbuf_room(out, (size_t)q->size.v);
	if (room)
		memset(room, 'x', (size_t)q->size.v);
	return 0;
}

#endif
