/*
 * worker/gate.c - the one door: decode, decide, record, then act
 *
 * Runs in:   worker
 * Input:     requests of the frontend; decoded, but not trusted
 * May touch: the request table
 * Must not:  act before it decided, decide by anything but the typed request
 */
#include <stdio.h>
#include <string.h>

#include "ipc/body.h"
#include "ipc/err.h"
#include "ipc/memfd.h"
#include "ipc/note.h"
#include "worker/repeats.h"
#include "worker/steps/steps.h"

/* ---- deciding ---- */

static void refuse(struct verdict *v, enum reason reason, enum err_class cls)
{
	v->allowed = false;
	v->reason = reason;
	v->cls = cls;
}

/* While something is frozen: thaw and status, whatever else is said. */
static void thaw_anyway(struct verdict *v)
{
	if (v->policy.allowed && !v->policy.complained)
		return;
	v->reason = REASON_WHILE_FROZEN;
	v->policy.complained = false;
}

void gate_decide(const struct worker *w, const struct asked *q, struct verdict *v)
{
	struct policy_question question = {
		.op = q->number,
		.args = q->args,
		.object = q->object,
	};

	*v = (struct verdict){.allowed = true};
	policy_decide(&q->gen->policy, &question, &v->policy);
	/* What complain mode lets through keeps the reason that would refuse it. */
	v->reason = v->policy.reason;
	v->skew = !q->stale && v->policy.allowed != !(q->flags & FRAME_REFUSED);
	if (freeze_is_on(&w->freeze) && !(q->op->flags & OPF_FROZEN_OK))
		refuse(v, REASON_FROZEN, ERR_NOT_FOUND);
	else if (freeze_is_on(&w->freeze) && !(q->flags & FRAME_BAD_ARGS))
		thaw_anyway(v);
	else if (!v->policy.allowed)
		refuse(v, v->policy.reason,
		       v->policy.never ? ERR_NOT_FOUND : ERR_GENERIC);
	else if (!q->stale && q->flags & FRAME_REFUSED) /* either copy's no is a no */
		refuse(v, REASON_FRONTEND, ERR_NOT_FOUND);
	else if (q->flags & FRAME_BAD_ARGS)
		refuse(v, REASON_ARGUMENTS, ERR_GENERIC);
	else if (q->op->carrier == BY_NOBODY)
		refuse(v, REASON_NOT_SUPPORTED, ERR_NOT_FOUND);
}

/* ---- the request ---- */

static void send_error(struct worker *w, const struct frame *f, const struct err *e)
{
	uint8_t buf[ERR_BODY_MAX];
	struct wbuf body = wbuf_fixed(buf, sizeof(buf));

	err_put(&body, e);
	peer_reply(&w->frontend, f->op, f->request, FRAME_ERROR, body.p, body.len);
}

/* How much more than the reason the host is told (POLICY.md section 3, point 10). */
static void add_detail(const struct policy *p, const struct verdict *v, uint64_t serial,
		       struct err *e)
{
	const struct image_rule *rule = policy_rule(p, &v->policy);
	size_t len = strlen(e->desc), room = sizeof(e->desc) - len;

	if (p->head->detail == DETAIL_REF)
		snprintf(e->desc + len, room, " (ref %llu)", (unsigned long long)serial);
	else if (p->head->detail == DETAIL_FULL && rule)
		snprintf(e->desc + len, room, " (rule \"%s\")",
			 policy_text(p, rule->name));
}

/* That a deny met these arguments alone would tell what they lead to. */
static enum reason told(const struct policy *p, const struct verdict *v)
{
	const struct image_rule *rule = policy_rule(p, &v->policy);

	return v->reason == REASON_EXPLICIT_DENY && rule && rule->n_constraints
		       ? REASON_CONSTRAINT
		       : v->reason;
}

/* The words of a refusal, into E. */
static void refusal(const struct asked *q, const struct verdict *v, uint64_t serial,
		    struct err *e)
{
	err_set(e, v->cls, "Command %s has been disabled: %s", q->op->name,
		reason_text(told(&q->gen->policy, v)));
	add_detail(&q->gen->policy, v, serial, e);
}

/*
 * Decode exactly: the head, then arguments of the operation's schema, then nothing. With
 * FRAME_BAD_ARGS there are none; what was wrong with them the frontend knows.
 */
static const void *decode_args(struct worker *w, const struct asked *q, struct rbuf *r)
{
	void *args = arena_take(&w->arena, q->op->args->size);

	if (!args || schema_whole(r, q->op->args, &w->arena, args) < 0)
		return NULL;
	return args;
}

/* Exactly the descriptors that flags and arguments speak of. */
static uint16_t fds_expected(const struct asked *q)
{
	uint16_t n = q->flags & FRAME_BODY_FD ? 1 : 0;

	if (q->args)
		n += (uint16_t)schema_bulks(q->op->args, q->args);
	return n;
}

/* Is what came beside the request as large as it says, and sealed? */
static bool bulk_fits(const struct frame *f, const struct asked *q)
{
	uint64_t size;

	if (!q->args || !schema_bulk(q->op->args, q->args, &size))
		return true;
	return memfd_sealed_size(f->fds[f->n_fds - 1]) == (off_t)size;
}

/* A slot for what was allowed, if its rate and the others leave one. */
static struct request *take_slot(struct worker *w, const struct asked *q,
				 struct verdict *v)
{
	struct request *rq = NULL;

	/* Thaw and status are never too many. */
	if (!(q->op->flags & OPF_FROZEN_OK) && !rate_take(q->gen, &v->policy, now_usec()))
		refuse(v, REASON_RATE, ERR_GENERIC);
	else if (q->op->flags & OPF_ALONE && request_under_way(w, q->number))
		refuse(v, REASON_IN_PROGRESS, ERR_GENERIC);
	else
		rq = request_begin(w, q, &v->policy);
	if (v->allowed && !rq)
		refuse(v, REASON_BUSY, ERR_GENERIC);
	return rq;
}

/* A request's own words, and what they are about. */
struct words {
	struct msg_request_head head;
	struct rbuf whole; /* head and arguments */
	struct rbuf args;
};

/* One more of what is counted, or a record. -1: there is neither. */
static int record_once(struct worker *w, const struct asked *q, struct verdict *v,
		       const struct words *words, uint64_t serial)
{
	const struct rbuf *args = q->args ? &words->args : NULL;

	v->repeat = repeat_of(w, q, v, args);
	if (!v->repeat)
		return record_decision(w, q, v, &words->head, args, serial);
	v->repeat->session = words->head.session.v;
	return 0;
}

/* What changes the guest leaves a record, or is refused, which leaves one as well. */
static void record(struct worker *w, const struct asked *q, struct verdict *v,
		   const struct words *words, uint64_t serial)
{
	if (record_once(w, q, v, words, serial) == 0 || !v->allowed ||
	    !(q->op->flags & OPF_MUTATES) || q->op->flags & OPF_FROZEN_OK)
		return;
	refuse(v, REASON_AUDIT, ERR_GENERIC);
	record_once(w, q, v, words, serial);
}

static void act(struct worker *w, struct frame *f, const struct asked *q,
		struct verdict *v, const struct words *words)
{
	uint64_t serial = ++w->last_serial;
	struct request *rq = v->allowed ? take_slot(w, q, v) : NULL;
	bool later = rq && q->op->flags & OPF_OBJECT;
	struct err e;

	if (later && request_keep(w, rq, &words->whole) < 0) {
		refuse(v, REASON_BUSY, ERR_GENERIC);
		later = false;
	}
	/* What it points to decides as well; only then is there a record. */
	if (!later)
		record(w, q, v, words, serial);
	if (!rq || !v->allowed) {
		if (rq)
			request_drop(rq);
		refusal(q, v, serial, &e);
		send_error(w, f, &e);
		record_refused(w, q, v, &words->head, serial);
		return;
	}
	rq->serial = serial;
	rq->id = f->request;
	rq->session = words->head.session.v;
	rq->rule = v->policy.rule;
	rq->repeat = v->repeat;
	if (schema_bulks(q->op->args, q->args))
		rq->bulk_fd = TAKE_FD(f->fds[f->n_fds - 1]);
	request_start(w, rq, q, &v->policy, &words->args);
}

static int handle(struct worker *w, struct frame *f, struct body *b)
{
	struct asked q = {
		.gen = w->gen,
		.number = f->op,
		.op = op_by_number(f->op),
		.flags = f->flags,
		.stale = f->generation != w->gen->number,
	};
	struct words words = {.whole = b->r};
	struct rbuf at;
	struct verdict v;

	/* Session commands end in the frontend, a part is ours, numbers only grow. */
	if (!q.op || q.op->carrier == BY_FRONTEND || q.op->flags & OPF_PART ||
	    f->request <= w->last_id || f->generation > w->gen->number)
		return -1;
	w->last_id = f->request;
	if (schema_get(&b->r, &schema_request_head, &w->arena, &words.head) < 0)
		return -1;
	words.args = at = b->r;
	if (f->flags & FRAME_BAD_ARGS) {
		if (!rbuf_done(&at))
			return -1;
	} else {
		q.args = decode_args(w, &q, &at);
		if (!q.args)
			return -1;
	}
	if (f->n_fds != fds_expected(&q))
		return -1;
	gate_decide(w, &q, &v);
	if (v.allowed && !bulk_fits(f, &q))
		return -1;
	act(w, f, &q, &v, &words);
	return 0;
}

static int take(struct worker *w, struct frame *f)
{
	CLEANUP(body_release) struct body b;

	w->arena.len = 0;
	if (body_open(f, &b) < 0)
		return -1;
	return handle(w, f, &b);
}

int gate_request(struct worker *w, struct frame *f)
{
	int r = take(w, f);

	/* No process may be born with a copy of a secret. */
	if (f->len)
		explicit_bzero((uint8_t *)(uintptr_t)f->body, f->len);
	steps_begin(w);
	return r;
}

/* ---- deciding again ---- */

static int kept_words(struct worker *w, const struct request *rq, struct asked *q,
		      struct words *words)
{
	struct rbuf at = rbuf_of(rq->question.p, rq->question.len);

	w->arena.len = 0;
	*q = (struct asked){.gen = rq->gen, .number = rq->op, .op = op_by_number(rq->op)};
	words->whole = at;
	if (schema_get(&at, &schema_request_head, &w->arena, &words->head) < 0)
		return -1;
	words->args = at;
	q->args = decode_args(w, q, &at);
	return q->args ? 0 : -1;
}

int gate_kept(struct worker *w, const struct request *rq, struct asked *q)
{
	struct words words;

	return kept_words(w, rq, q, &words);
}

/* What an op child says, within its bounds. */
static bool object_of(const struct msg_found *found, struct policy_object *object)
{
	if (found->type.v < 0 || found->type.v > OBJECT_DIRECTORY || found->links.v < 0 ||
	    found->links.v > LINKS_ANY)
		return false;
	*object = (struct policy_object){
		.path = found->path,
		.real = found->real,
		.type = (enum object_type)found->type.v,
		.links = (enum object_links)found->links.v,
		.exists = found->exists.v,
		.size = found->size.v,
	};
	return true;
}

/* Of a program, what no rule can allow: one that others can change; one too many. */
static void decide_program(const struct worker *w, const struct asked *q,
			   struct verdict *v)
{
	if (q->object->links == LINKS_ANY)
		refuse(v, REASON_UNSAFE, ERR_GENERIC);
	else if (program_full(w, q, &v->policy))
		refuse(v, REASON_BUSY, ERR_GENERIC);
}

/* The rules for the account that it is about in the end have to say so as well. */
static void decide_password(const struct asked *q, struct verdict *v)
{
	const struct msg_set_password *in = q->args;

	if (!in->password.len && !policy_yes(&q->gen->policy, &v->policy, KEY_EMPTY))
		refuse(v, key_row(KEY_EMPTY)->reason, ERR_GENERIC);
}

static bool cannot_decide(struct worker *w, struct request *rq)
{
	struct err e;

	err_set(&e, ERR_GENERIC, "%s cannot be decided on", op_by_number(rq->op)->name);
	request_fail(w, rq, &e);
	return false;
}

bool gate_found(struct worker *w, struct request *rq, const struct msg_found *found,
		struct policy_answer *a)
{
	struct policy_object object;

	return object_of(found, &object)
		       ? gate_object(w, rq, &object, (int)found->errnum.v, a)
		       : cannot_decide(w, rq);
}

bool gate_object(struct worker *w, struct request *rq, const struct policy_object *object,
		 int errnum, struct policy_answer *a)
{
	struct words words;
	struct verdict v;
	struct asked q;
	struct err e;

	if (kept_words(w, rq, &q, &words) < 0)
		return cannot_decide(w, rq);
	q.object = object;
	gate_decide(w, &q, &v);
	/* The frontend's mark was looked at when the request came. */
	v.skew = false;
	if (v.allowed && rq->op == OP_exec)
		decide_program(w, &q, &v);
	if (v.allowed && rq->op == OP_set_user_password)
		decide_password(&q, &v);
	if (v.allowed && errnum) {
		v.error = true;
		v.reason = REASON_LOOKUP;
	}
	record(w, &q, &v, &words, rq->serial);
	rq->undecided = false;
	rq->rule = v.policy.rule;
	*a = v.policy;
	if (v.allowed)
		return true;
	refusal(&q, &v, rq->serial, &e);
	request_refuse(w, rq, &e);
	return false;
}

void gate_revoke(struct worker *w, struct request *rq)
{
	struct verdict v = {.policy = {.rule = -1}};
	struct words words;
	struct asked q;
	struct err e;

	if (kept_words(w, rq, &q, &words) < 0) {
		cannot_decide(w, rq);
		return;
	}
	refuse(&v, REASON_RELOAD, ERR_GENERIC);
	record(w, &q, &v, &words, rq->serial);
	rq->undecided = false;
	refusal(&q, &v, rq->serial, &e);
	request_refuse(w, rq, &e);
}

void gate_unfound(struct worker *w, struct request *rq)
{
	struct words words;
	struct verdict v;
	struct asked q;

	if (kept_words(w, rq, &q, &words) < 0)
		return;
	gate_decide(w, &q, &v);
	/* Nobody refused it, even if something is frozen by now. */
	v.allowed = true;
	v.skew = false;
	v.error = true;
	v.reason = REASON_LOOKUP;
	record(w, &q, &v, &words, rq->serial);
	rq->repeat = v.repeat; /* if it could not be recorded */
	rq->undecided = false;
}
