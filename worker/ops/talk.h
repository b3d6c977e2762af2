/*
 * worker/ops/talk.h - an op child's side of its socket
 *
 * Runs in:   op children of the worker
 * Input:     frames of the worker
 * May touch: the reply socket
 * Must not:  outlive the worker's interest: a socket that ends, ends the child
 */
#ifndef POSTERN_WORKER_OPS_TALK_H
#define POSTERN_WORKER_OPS_TALK_H

#include "ipc/frame.h"
#include "ipc/ops.h"

/* Send F, waiting for room. */
void talk_send(const struct frame *f);

/* The next frame, waiting for it, in BUF (FRAME_MAX bytes). Exits if there is none. */
void talk_receive(uint8_t *buf, struct frame *f);

/* A question of the worker, and the answer. */
struct talk_question {
	const struct schema *asks, *answers;
	const void *question;
	void *answer; /* its texts are in BUF, and it has no lists */
	uint8_t *buf; /* of malloc(3), by talk_ask; the caller's to keep */
};

/*
 * Tell the worker what OP has met, or is about to do. Returns if it may go on; otherwise
 * the request has ended, and we with it.
 */
void talk_ask(uint32_t op, struct talk_question *q);

/* The same of what OP is about to change. */
void talk_change(uint32_t op, const struct msg_change *change);

/* The result of OP, in as many frames as it takes; FLAGS: 0 or FRAME_ERROR. */
void talk_result(uint32_t op, uint16_t flags, const struct wbuf *body);

/* OP failed: E is its result. */
void talk_error(uint32_t op, const struct err *e);

#endif
