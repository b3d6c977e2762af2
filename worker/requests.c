/*
 * worker/requests.c - what is being carried out, from the decision to the last byte
 *
 * Runs in:   worker
 * Input:     replies of op children and of the inspector, passed on unread
 * May touch: the request table, the frontend's socket
 * Must not:  send a reply twice, or for a request that its client gave up
 */
#include <string.h>
#include <time.h>

#include "ipc/err.h"
#include "worker/steps/steps.h"

/* Of a thaw that nobody asked for: it has all the time there is. */
#define OWN_LIMIT_MS (UINT64_C(365) * 24 * 60 * 60 * 1000)

uint64_t now_usec(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static uint64_t limit_ms(uint32_t op)
{
	return (uint64_t)op_by_number(op)->limit_s * 1000;
}

/* The row's limit, or the policy's if that is less. */
static uint64_t limit_of(const struct generation *g, uint32_t op,
			 const struct policy_answer *a)
{
	uint64_t ms = limit_ms(op), tighter;

	if (policy_limit(&g->policy, a, KEY_TIME_LIMIT, &tighter) && tighter < ms)
		ms = tighter;
	return ms;
}

/* Fill a free slot of those from FROM up to TO. */
static struct request *begin(struct worker *w, size_t from, size_t to,
			     const struct asked *q, const struct policy_answer *a)
{
	for (size_t i = from; i < to; i++) {
		struct request *rq = &w->requests[i];

		if (rq->serial)
			continue;
		*rq = (struct request){
			.op = q->number,
			.gen = generation_use(q->gen),
			.began_usec = now_usec(),
			.bulk_fd = -1,
			.limit_ms = limit_of(q->gen, q->number, a),
		};
		rq->deadline_ms = now_ms() + rq->limit_ms;
		return rq;
	}
	return NULL;
}

struct request *request_begin(struct worker *w, const struct asked *q,
			      const struct policy_answer *a)
{
	/* Thaw and status are never too many. */
	bool spare = op_by_number(q->number)->flags & OPF_FROZEN_OK;
	size_t slots = spare ? REQUESTS_MAX + REQUESTS_SPARE : REQUESTS_MAX;

	return begin(w, 0, slots, q, a);
}

struct request *request_own(struct worker *w)
{
	const struct policy_answer nobodys = {.rule = -1};
	const struct asked thaw = {.gen = w->gen, .number = OP_fsfreeze_thaw};
	/* It is the only one: its slot is free, as one drives the freeze at a time. */
	struct request *rq = begin(w, REQUESTS_MAX + REQUESTS_SPARE,
				   ARRAY_SIZE(w->requests), &thaw, &nobodys);

	rq->serial = ++w->last_serial;
	rq->own = rq->abandoned = true;
	rq->limit_ms = OWN_LIMIT_MS;
	rq->deadline_ms = now_ms() + rq->limit_ms;
	return rq;
}

bool request_under_way(const struct worker *w, uint32_t op)
{
	for (size_t i = 0; i < ARRAY_SIZE(w->requests); i++)
		if (w->requests[i].serial && w->requests[i].op == op)
			return true;
	return false;
}

void request_drop(struct request *rq)
{
	wbuf_free(&rq->question);
	close_p(&rq->bulk_fd);
	generation_drop(&rq->gen);
	*rq = (struct request){.bulk_fd = -1};
}

int request_keep(const struct worker *w, struct request *rq, const struct rbuf *body)
{
	size_t kept = rbuf_left(body);

	for (size_t i = 0; i < ARRAY_SIZE(w->requests); i++)
		kept += w->requests[i].question.len;
	if (kept > KEPT_MAX)
		return -1;
	rq->question = wbuf_growing(REQUEST_BODY_MAX);
	wbuf_put(&rq->question, body->p, rbuf_left(body));
	rq->undecided = true;
	return rq->question.bad ? -1 : 0;
}

void request_start(struct worker *w, struct request *rq, const struct asked *q,
		   const struct policy_answer *a, const struct rbuf *args)
{
	requests_arm(w);
	if (q->op->carrier == BY_INSPECTOR)
		ask_start(w, rq, a, args);
	else if (q->op->carrier == BY_HANDLE)
		handle_start(w, rq, q, args);
	else if (q->op->carrier == BY_SPAWNER)
		program_start(w, rq, q, a, args);
	else if (q->op->carrier == BY_FREEZE)
		freeze_start(w, rq, a, args);
	else if (q->op->carrier == BY_STEPS)
		steps_start(w, rq, q, a);
	else
		child_start(w, rq, q->args);
}

static void end(struct worker *w, struct request *rq, const char *result, int errnum)
{
	if (rq->undecided)
		gate_unfound(w, rq);
	steps_end(w, rq, result);
	if (!rq->own)
		record_complete(w, rq, result, errnum);
	if (rq->child)
		child_forget(rq->child);
	request_drop(rq);
}

static void send_fragment(struct worker *w, const struct request *rq,
			  const struct frame *f)
{
	struct frame out = {
		.type = FRAME_REPLY,
		.op = (uint16_t)rq->op,
		.request = rq->id,
		.flags = f->flags & (FRAME_MORE | FRAME_ERROR),
		.body = f->body,
		.len = f->len,
		.n_fds = f->n_fds,
		.fds = {f->fds[0], f->fds[1]},
	};

	if (!rq->abandoned)
		peer_send(&w->frontend, &out);
}

/* Of one that takes many steps the limit is that of them all. */
static uint64_t deadline_of(const struct request *rq)
{
	return (rq->steps ? rq->began_usec / 1000 : now_ms()) + rq->limit_ms;
}

void request_part(struct worker *w, struct request *rq, uint32_t part, const void *args)
{
	rq->part = part;
	rq->deadline_ms = now_ms() + limit_ms(part);
	if (rq->deadline_ms > deadline_of(rq))
		rq->deadline_ms = deadline_of(rq);
	requests_arm(w);
	child_start(w, rq, args);
}

void request_part_drop(struct worker *w, struct request *rq)
{
	if (rq->child)
		child_forget(rq->child);
	rq->child = NULL;
	rq->part = OP_NONE;
	rq->deadline_ms = deadline_of(rq);
	requests_arm(w);
}

/* It is over: the request goes on, with what it gave in F, or NULL: with nothing. */
static void part_over(struct worker *w, struct request *rq, const struct frame *f)
{
	bool whole = f && !(f->flags & (FRAME_ERROR | FRAME_MORE));
	uint32_t part = rq->part;

	request_part_drop(w, rq);
	if (op_by_number(rq->op)->carrier == BY_FREEZE)
		freeze_part(w, part, f);
	else if (rq->steps)
		steps_part(w, rq, part, f);
	else if (rq->op == OP_exec)
		program_found(w, rq, whole ? f->body : NULL, whole ? f->len : 0);
	else
		ask_more(w, rq, whole ? f->body : NULL, whole ? f->len : 0);
}

void request_reply(struct worker *w, struct request *rq, const struct frame *f)
{
	struct err e;

	if (rq->part && !rq->through) {
		part_over(w, rq, f);
		return;
	}
	if (rq->op == OP_file_open && !(f->flags & FRAME_ERROR)) {
		handle_opened(w, rq);
		return;
	}
	if (rq->child && rq->child->handle)
		handle_replied(w, rq, f);
	rq->replied += f->len;
	if (rq->replied > REPLY_BODY_MAX) {
		err_set(&e, ERR_GENERIC, "the result of %s is too large",
			op_by_number(rq->op)->name);
		request_fail(w, rq, &e);
		return;
	}
	send_fragment(w, rq, f);
	if (f->flags & FRAME_ERROR)
		end(w, rq, "error", 0);
	else if (!(f->flags & FRAME_MORE))
		end(w, rq, "ok", 0);
}

void request_failed(struct worker *w, struct request *rq, const struct err *e)
{
	if (rq->part)
		part_over(w, rq, NULL);
	else if (op_by_number(rq->op)->carrier == BY_FREEZE)
		freeze_late(w, rq, e);
	else
		request_fail(w, rq, e);
}

static void send_error(struct worker *w, struct request *rq, const struct err *e)
{
	uint8_t buf[ERR_BODY_MAX];
	struct wbuf body = wbuf_fixed(buf, sizeof(buf));

	err_put(&body, e);
	send_fragment(w, rq,
		      &(struct frame){
			      .flags = FRAME_ERROR,
			      .body = body.p,
			      .len = (uint32_t)body.len,
		      });
	explicit_bzero(buf, sizeof(buf)); /* it may quote the request */
}

void request_fail(struct worker *w, struct request *rq, const struct err *e)
{
	send_error(w, rq, e);
	end(w, rq, "failed", e->errnum);
}

void request_refuse(struct worker *w, struct request *rq, const struct err *e)
{
	send_error(w, rq, e);
	end(w, rq, "refused", 0);
}

void request_done(struct worker *w, struct request *rq, const struct wbuf *body)
{
	send_fragment(w, rq,
		      &(struct frame){.body = body->p, .len = (uint32_t)body->len});
	end(w, rq, "ok", 0);
}

static bool thaw_left_waiting(const struct worker *w)
{
	for (size_t i = 0; i < ARRAY_SIZE(w->requests); i++) {
		const struct request *rq = &w->requests[i];

		if (rq->serial && rq->op == OP_fsfreeze_thaw && rq->waits &&
		    rq->abandoned)
			return true;
	}
	return false;
}

static void abandon(struct worker *w, struct request *rq)
{
	/* What was not begun has nobody to be begun for; but one thaw is wanted still. */
	bool wanted = rq->op == OP_fsfreeze_thaw && !thaw_left_waiting(w);
	struct err e;

	rq->abandoned = true;
	if (!rq->waits || wanted)
		return;
	err_set(&e, ERR_GENERIC, "%s: nobody waits for it", op_by_number(rq->op)->name);
	request_fail(w, rq, &e);
}

void request_abandon(struct worker *w, uint32_t id)
{
	for (size_t i = 0; i < ARRAY_SIZE(w->requests); i++)
		if (w->requests[i].serial && w->requests[i].id == id)
			abandon(w, &w->requests[i]);
}

void requests_orphan(struct worker *w)
{
	for (size_t i = 0; i < ARRAY_SIZE(w->requests); i++) {
		if (!w->requests[i].serial)
			continue;
		/* The next frontend counts anew; its numbers must not meet these. */
		w->requests[i].id = 0;
		abandon(w, &w->requests[i]);
	}
}

/* What is left to do of it would be new by an old policy. */
static void revoke_one(struct worker *w, struct request *rq)
{
	struct err e;

	err_set(&e, ERR_GENERIC, "%s: the policy was replaced",
		op_by_number(rq->op)->name);
	if (rq->undecided)
		gate_revoke(w, rq);
	else if (rq->op == OP_file_open || rq->op == OP_exec)
		request_fail(w, rq, &e);
}

void requests_revoke(struct worker *w)
{
	for (size_t i = 0; i < ARRAY_SIZE(w->requests); i++)
		if (w->requests[i].serial && w->requests[i].gen != w->gen)
			revoke_one(w, &w->requests[i]);
}

void requests_stop(struct worker *w)
{
	struct err e;

	for (size_t i = 0; i < ARRAY_SIZE(w->requests); i++) {
		struct request *rq = &w->requests[i];

		if (!rq->serial)
			continue;
		err_set(&e, ERR_GENERIC, "%s: the agent stops",
			op_by_number(rq->op)->name);
		request_fail(w, rq, &e);
	}
}

/* ---- deadlines ---- */

/*
 * Most requests end long before their deadline, and the next one's is later: a timer that
 * fires too early costs less than one that is set twice for each.
 */
void requests_arm(struct worker *w)
{
	uint64_t next = UINT64_MAX, now;

	for (size_t i = 0; i < ARRAY_SIZE(w->requests); i++)
		if (w->requests[i].serial && w->requests[i].deadline_ms < next)
			next = w->requests[i].deadline_ms;
	if (next == UINT64_MAX || (w->limit.armed && w->limit_ms <= next))
		return;
	now = now_ms();
	w->limit_ms = next;
	timer_arm_ms(&w->limit, next > now ? next - now : 0);
}

static int deadline(struct timer *t)
{
	struct worker *w = CONTAINER_OF(t, struct worker, limit);
	uint64_t now = now_ms();
	bool late_inspector = false;
	struct err e;

	for (size_t i = 0; i < ARRAY_SIZE(w->requests); i++) {
		struct request *rq = &w->requests[i];

		if (!rq->serial || rq->deadline_ms > now)
			continue;
		err_set(&e, ERR_GENERIC, "%s did not finish within %g s",
			op_by_number(rq->op)->name, (double)rq->limit_ms / 1000);
		late_inspector |=
			rq->asked && op_by_number(rq->op)->carrier == BY_INSPECTOR;
		request_failed(w, rq, &e);
	}
	/* It would answer a question that no longer stands; its successor is clean. */
	if (late_inspector)
		inspector_lost(w, "did not answer in time");
	requests_arm(w);
	return 0;
}

int requests_init(struct worker *w)
{
	return timer_init(&w->loop, &w->limit, deadline);
}
