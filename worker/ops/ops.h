/*
 * worker/ops/ops.h - handlers of the op children
 *
 * Runs in:   op children of the worker
 * Input:     the typed request, decided on
 * May touch: what the row of the operation names
 * Must not:  be called in the worker itself: they may block
 */
#ifndef POSTERN_WORKER_OPS_OPS_H
#define POSTERN_WORKER_OPS_OPS_H

#include "ipc/err.h"
#include "ipc/ops.h"
#include "ipc/sys.h"

/* Hooks around a freeze, at the most. */
#define HOOKS_MAX 64

/* Each fills OUT with the encoded result and returns 0, or E and returns -1. */
#define CHILD_DECL_BY_CHILD(tag)                                                   \
	int child_##tag(const struct sys *sys, const void *args, struct wbuf *out, \
			struct err *e);
#define CHILD_DECL_BY_NOBODY(tag)
#define CHILD_DECL_BY_FRONTEND(tag)
#define CHILD_DECL_BY_INSPECTOR(tag)
#define CHILD_DECL_BY_HANDLE(tag)
#define CHILD_DECL_BY_SPAWNER(tag)
#define CHILD_DECL_BY_FREEZE(tag)
#define CHILD_DECL_BY_STEPS(tag)
#define CHILD_DECL(tag, number, name, args, result, carrier, ...) \
	CHILD_DECL_##carrier(tag)
OP_TABLE(CHILD_DECL)

#endif
