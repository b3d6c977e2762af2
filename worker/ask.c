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
		.body = rq->question.p,
		.len = (uint32_t)rq->question.len,
	};

	rq->tries++;
	rq->asked = f.request = ++w->last_asked;
	peer_send(&w->inspector, &f);
}

/* A part that must run first: only what the policy lets it be asked for. */
static uint32_t part_of(const struct request *rq)
{
	if (rq->op == OP_get_disks && policy_may(&rq->gen->policy, OP_disk_smart))
		return OP_disk_smart;
	return OP_NONE;
}

/* Values of KEY over all rules that matched; END closes those of each rule. */
static struct v_list values_of(struct worker *w, const struct policy *p,
			       const struct policy_answer *a, enum key key, bool end)
{
	struct v_list list = {.v = w->arena.p + w->arena.len};
	const struct image_constraint *c;
	uint32_t at = 0;

	while ((c = policy_next(p, a, key, &at)))
		for (uint32_t i = 0; i < c->n_values + end; i++) {
			const struct image_value *v = &p->values[c->value + i];
			struct v_str *s = arena_take(&w->arena, sizeof(*s));

			if (!s) /* less than all would show too much */
				return (struct v_list){0};
			*s = i == c->n_values ? v_str("")
					      : v_str(policy_text(p, v->text));
			list.set = true;
			list.n++;
		}
	return list;
}

/* What the policy lets be seen; nothing where it says nothing and nothing follows. */
static void put_shape(struct worker *w, struct request *rq, const struct policy_answer *a)
{
	const struct policy *p = &rq->gen->policy;
	const struct msg_shape shape = {
		.only = values_of(w, p, a, KEY_ONLY, true),
		.exclude = values_of(w, p, a, KEY_EXCLUDE, false),
		.hide = values_of(w, p, a, KEY_HIDE, false),
	};

	if (part_of(rq) || shape.only.set || shape.exclude.set || shape.hide.set)
		schema_put(&rq->question, &schema_shape, &shape);
}

void ask_start(struct worker *w, struct request *rq, const struct policy_answer *a,
	       const struct rbuf *args)
{
	struct err e;

	rq->question = wbuf_growing(FRAME_BODY_MAX);
	wbuf_put(&rq->question, args->p, rbuf_left(args));
	put_shape(w, rq, a);
	if (rq->question.bad) {
		err_set(&e, ERR_GENERIC, "the arguments of %s are too large",
			op_by_number(rq->op)->name);
		request_fail(w, rq, &e);
		return;
	}
	if (part_of(rq))
		request_part(w, rq, part_of(rq), NULL);
	/* Without an inspector it waits for the next, until its deadline. */
	else if (peer_is_open(&w->inspector))
		ask(w, rq);
}

void ask_more(struct worker *w, struct request *rq, const uint8_t *p, size_t len)
{
	/* What does not fit is left out: the rest of the answer is worth having. */
	if (len <= FRAME_BODY_MAX - rq->question.len)
		wbuf_put(&rq->question, p, len);
	if (peer_is_open(&w->inspector))
		ask(w, rq);
}

int ask_reply(struct worker *w, const struct frame *f)
{
	if (f->type != FRAME_REPLY || f->n_fds || !f->request)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(w->requests); i++) {
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
	for (size_t i = 0; i < ARRAY_SIZE(w->requests); i++)
		if (is_question(&w->requests[i]) && !w->requests[i].asked &&
		    !w->requests[i].part)
			ask(w, &w->requests[i]);
}

void ask_lost(struct worker *w)
{
	for (size_t i = 0; i < ARRAY_SIZE(w->requests); i++) {
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
