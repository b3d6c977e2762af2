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
#include <sys/mman.h>

#include "ipc/err.h"
#include "ipc/memfd.h"
#include "ipc/note.h"
#include "worker/worker.h"

/* A request's body, wherever it travelled. */
struct body {
	struct rbuf r;
	void *map; /* to be unmapped, if it came in a memfd */
	size_t map_len;
};

static void body_release(struct body *b)
{
	if (b->map)
		munmap(b->map, b->map_len);
	b->map = NULL;
}

/*
 * Map a large body. All seals, or the sender could change or cut it while we decode,
 * which would be a SIGBUS or two readings of one request.
 */
static int body_map(int fd, struct body *b)
{
	off_t size = memfd_sealed_size(fd);

	if (size <= 0 || size > REQUEST_BODY_MAX)
		return -1;
	b->map_len = (size_t)size;
	b->map = mmap(NULL, b->map_len, PROT_READ, MAP_PRIVATE, fd, 0);
	if (b->map == MAP_FAILED) {
		b->map = NULL;
		return -1;
	}
	b->r = rbuf_of(b->map, b->map_len);
	return 0;
}

static int body_open(struct frame *f, struct body *b)
{
	*b = (struct body){.r = rbuf_of(f->body, f->len)};
	if (!(f->flags & FRAME_BODY_FD))
		return 0;
	return f->len ? -1 : body_map(f->fds[0], b);
}

/* ---- deciding ---- */

static void refuse(struct verdict *v, enum reason reason, enum err_class cls)
{
	v->allowed = false;
	v->reason = reason;
	v->cls = cls;
}

void gate_decide(const struct worker *w, const struct asked *q, struct verdict *v)
{
	struct policy_question question = {.op = q->number, .args = q->args};

	*v = (struct verdict){.allowed = true};
	policy_decide(&w->policy, &question, &v->policy);
	/* What complain mode lets through keeps the reason that would refuse it. */
	v->reason = v->policy.reason;
	v->skew = v->policy.allowed != !(q->flags & FRAME_REFUSED);
	if (w->fs != FS_THAWED && !(q->op->flags & OPF_FROZEN_OK))
		refuse(v, REASON_FROZEN, ERR_NOT_FOUND);
	else if (!v->policy.allowed)
		refuse(v, v->policy.reason,
		       v->policy.never ? ERR_NOT_FOUND : ERR_GENERIC);
	else if (q->flags & FRAME_REFUSED) /* either copy's no is a no */
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
static void add_detail(const struct worker *w, const struct verdict *v, uint64_t serial,
		       struct err *e)
{
	const struct image_rule *rule = policy_rule(&w->policy, &v->policy);
	size_t len = strlen(e->desc), room = sizeof(e->desc) - len;

	if (w->policy.head->detail == DETAIL_REF)
		snprintf(e->desc + len, room, " (ref %llu)", (unsigned long long)serial);
	else if (w->policy.head->detail == DETAIL_FULL && rule)
		snprintf(e->desc + len, room, " (rule \"%s\")",
			 policy_text(&w->policy, rule->name));
}

static void send_refusal(struct worker *w, const struct frame *f, const struct asked *q,
			 const struct verdict *v, uint64_t serial)
{
	struct err e;

	err_set(&e, v->cls, "Command %s has been disabled: %s", q->op->name,
		reason_text(v->reason));
	add_detail(w, v, serial, &e);
	send_error(w, f, &e);
}

/*
 * Decode exactly: the head, then arguments of the operation's schema, then nothing. With
 * FRAME_BAD_ARGS there are none; what was wrong with them the frontend knows.
 */
static const void *decode_args(struct worker *w, const struct asked *q, struct rbuf *r)
{
	void *args = arena_take(&w->arena, q->op->args->size);

	if (!args || schema_get(r, q->op->args, &w->arena, args) < 0 || !rbuf_done(r))
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

static void act(struct worker *w, const struct frame *f, const struct asked *q,
		struct verdict *v, const struct msg_request_head *head,
		const struct rbuf *args)
{
	uint64_t serial = ++w->last_serial;
	struct request *rq = NULL;

	if (v->allowed) {
		/* Thaw and status are never too many. */
		if (!(q->op->flags & OPF_FROZEN_OK) &&
		    !rate_take(w, &v->policy, now_usec()))
			refuse(v, REASON_RATE, ERR_GENERIC);
		else
			rq = request_begin(w, q->number, &v->policy);
		if (v->allowed && !rq)
			refuse(v, REASON_BUSY, ERR_GENERIC);
	}
	/* What changes the guest leaves a record, or is not done. */
	if (record_decision(w, q, v, head, q->args ? args : NULL, serial) < 0 && rq &&
	    q->op->flags & OPF_MUTATES && !(q->op->flags & OPF_FROZEN_OK)) {
		request_drop(rq);
		rq = NULL;
		refuse(v, REASON_AUDIT, ERR_GENERIC);
	}
	if (!rq) {
		send_refusal(w, f, q, v, serial);
		record_refused(w, q, v, serial);
		return;
	}
	rq->serial = serial;
	rq->id = f->request;
	rq->session = head->session.v;
	request_start(w, rq, q, &v->policy, args);
}

static int handle(struct worker *w, struct frame *f, struct body *b)
{
	struct asked q = {
		.number = f->op,
		.op = op_by_number(f->op),
		.flags = f->flags,
	};
	struct msg_request_head head;
	struct rbuf args, at;
	struct verdict v;

	/* Session commands end in the frontend, a part is ours, numbers only grow. */
	if (!q.op || q.op->carrier == BY_FRONTEND || q.op->flags & OPF_PART ||
	    f->request <= w->last_id || f->generation > w->generation)
		return -1;
	w->last_id = f->request;
	if (schema_get(&b->r, &schema_request_head, &w->arena, &head) < 0)
		return -1;
	args = at = b->r;
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
	act(w, f, &q, &v, &head, &args);
	return 0;
}

int gate_request(struct worker *w, struct frame *f)
{
	CLEANUP(body_release) struct body b;

	w->arena.len = 0;
	if (body_open(f, &b) < 0)
		return -1;
	return handle(w, f, &b);
}
