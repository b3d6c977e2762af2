/*
 * worker/ops/talk.c - an op child's side of its socket
 *
 * Runs in:   op children of the worker
 * Input:     frames of the worker
 * May touch: the reply socket
 * Must not:  outlive the worker's interest: a socket that ends, ends the child
 */
#include "worker/ops/talk.h"

#include <poll.h>

#include "ipc/launch.h"
#include "worker/fork.h"

static void wait_for(short events)
{
	poll(&(struct pollfd){.fd = CHILD_FD_FIRST, .events = events}, 1, -1);
}

void talk_send(const struct frame *f)
{
	while (frame_send(CHILD_FD_FIRST, f) == FRAME_AGAIN)
		wait_for(POLLOUT);
}

void talk_receive(uint8_t *buf, struct frame *f)
{
	enum frame_status status;

	/* Mostly the worker has yet to think. */
	do {
		wait_for(POLLIN);
		status = frame_recv(CHILD_FD_FIRST, buf, f);
	} while (status == FRAME_AGAIN);
	if (status != FRAME_OK)
		_exit(EXIT_PEER_GONE);
}

void talk_ask(uint32_t op, struct talk_question *q)
{
	CLEANUP(wbuf_free) struct wbuf body = wbuf_growing(FRAME_BODY_MAX);
	struct arena none = {0};
	struct frame f;
	struct rbuf r;

	q->buf = malloc(FRAME_MAX);
	if (!q->buf)
		_exit(EXIT_SYSTEM);
	schema_put(&body, q->asks, q->question);
	talk_send(&(struct frame){
		.type = FRAME_FOUND,
		.op = (uint16_t)op,
		.body = body.p,
		.len = (uint32_t)body.len,
	});
	talk_receive(q->buf, &f);
	r = rbuf_of(f.body, f.len);
	if (f.type != FRAME_GO || schema_whole(&r, q->answers, &none, q->answer) < 0)
		_exit(EXIT_VIOLATION);
}

void talk_change(uint32_t op, const struct msg_change *change)
{
	struct msg_empty go;
	struct talk_question q = {
		.asks = &schema_change,
		.question = change,
		.answers = &schema_empty,
		.answer = &go,
	};

	talk_ask(op, &q);
	free(q.buf);
}

void talk_result(uint32_t op, uint16_t flags, const struct wbuf *body)
{
	size_t sent = 0;

	do {
		size_t part = min_size(body->len - sent, FRAME_BODY_MAX);
		bool more = sent + part < body->len;

		talk_send(&(struct frame){
			.type = FRAME_REPLY,
			.op = (uint16_t)op,
			.flags = (uint16_t)(flags | (more ? FRAME_MORE : 0)),
			.body = part ? body->p + sent : NULL,
			.len = (uint32_t)part,
		});
		sent += part;
	} while (sent < body->len);
}

void talk_error(uint32_t op, const struct err *e)
{
	uint8_t buf[ERR_BODY_MAX];
	struct wbuf body = wbuf_fixed(buf, sizeof(buf));

	err_put(&body, e);
	talk_result(op, FRAME_ERROR, &body);
}
