/*
 * worker/ask.c - questions to the inspector
 *
 * Runs in:   worker
 * Input:     REPLY frames of the inspector; number, operation and length are checked,
 *            the body is passed on unread
 * May touch: the inspector's socket, the request table
 * Must not:  lose a question because an inspector died of another one
 *
 * The inspector is asked in order and answers in order. One that dies is replaced by the
 * supervisor; questions are read-only, so what it had not answered is asked again, once.
 */
#include <string.h>

#include "ipc/err.h"
#include "worker/worker.h"

#define TRIES_MAX 2

static bool is_question(const struct request *rq)
{
	return rq->serial && op_by_number(rq->op)->carrier == BY_INSPECTOR;
}

static void ask(struct worker *w, struct request *rq)
{
	struct frame f = {
		.type = FRAME_REQUEST,
		.op = (uint16_t)rq->op,
		.body = rq->body,
		.len = (uint32_t)rq->body_len,
	};

	rq->tries++;
	rq->asked = f.request = ++w->last_asked;
	peer_send(&w->inspector, &f);
}

void ask_start(struct worker *w, struct request *rq, const struct rbuf *args)
{
	struct err e;

	rq->body_len = rbuf_left(args);
	rq->body = malloc(rq->body_len + 1); /* room even for no arguments */
	if (!rq->body || rq->body_len > FRAME_BODY_MAX) {
		err_set(&e, ERR_GENERIC, "the arguments of %s are too large",
			op_by_number(rq->op)->name);
		request_fail(w, rq, &e);
		return;
	}
	if (rq->body_len)
		memcpy(rq->body, args->p, rq->body_len);
	/* Without an inspector it waits for the next, until its deadline. */
	if (peer_is_open(&w->inspector))
		ask(w, rq);
}

int ask_reply(struct worker *w, const struct frame *f)
{
	if (f->type != FRAME_REPLY || f->n_fds || !f->request)
		return -1;
	for (size_t i = 0; i < REQUESTS_MAX; i++) {
		struct request *rq = &w->requests[i];

		if (!is_question(rq) || rq->asked != f->request)
			continue;
		if (rq->op != f->op)
			return -1;
		request_reply(w, rq, f);
		return 0;
	}
	return -1; /* nobody asked, or it was answered already */
}

void ask_again(struct worker *w)
{
	for (size_t i = 0; i < REQUESTS_MAX; i++)
		if (is_question(&w->requests[i]) && !w->requests[i].asked)
			ask(w, &w->requests[i]);
}

void ask_lost(struct worker *w)
{
	for (size_t i = 0; i < REQUESTS_MAX; i++) {
		struct request *rq = &w->requests[i];
		struct err e;

		if (!is_question(rq) || !rq->asked)
			continue;
		rq->asked = 0;
		/* Half an answer cannot be taken back; and some question may be fatal. */
		if (rq->tries < TRIES_MAX && !rq->replied)
			continue;
		err_set(&e, ERR_GENERIC, "%s: the inspector ended without an answer",
			op_by_number(rq->op)->name);
		request_fail(w, rq, &e);
	}
}
