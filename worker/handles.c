/*
 * worker/handles.c - open files: each is an op child that stayed
 *
 * Runs in:   worker
 * Input:     requests that were decided on; results of the op children
 * May touch: the table of open files
 * Must not:  give a number twice, keep a file that its client cannot know of
 */
#include <stddef.h>

#include "worker/worker.h"

/* Protocol 3.9: 0666 whatever the umask. Ours is what a careful program would make. */
#define FILE_MODE_DEFAULT 0644

/* The handle is the first argument of all these commands. */
_Static_assert(offsetof(struct msg_file_handle, handle) == 0, "first");
_Static_assert(offsetof(struct msg_file_read, handle) == 0, "first");
_Static_assert(offsetof(struct msg_file_write, handle) == 0, "first");
_Static_assert(offsetof(struct msg_file_seek, handle) == 0, "first");

static struct handle *find(struct worker *w, int64_t number)
{
	for (size_t i = 0; i < HANDLES_MAX; i++)
		if (w->handles[i].number == number && number > 0)
			return &w->handles[i];
	return NULL;
}

static uint32_t handles_max(const struct worker *w)
{
	uint32_t max = w->gen->policy.head->handles;

	return !max ? HANDLES_DEFAULT : max < HANDLES_MAX ? max : HANDLES_MAX;
}

void handle_limits(const struct policy *p, const struct policy_answer *a,
		   struct msg_may_open *may)
{
	const struct image_constraint *c;
	uint64_t v;
	uint32_t at = 0;

	*may = (struct msg_may_open){.mode = V_INT(FILE_MODE_DEFAULT)};
	c = policy_next(p, a, KEY_FILE_MODE, &at);
	if (c)
		may->mode = V_INT((int64_t)p->values[c->value].number);
	at = 0;
	c = policy_next(p, a, KEY_OWNER, &at);
	if (c)
		may->owner = v_str(policy_text(p, p->values[c->value].text));
	if (policy_limit(p, a, KEY_SIZE_MAX, &v))
		may->size_max = V_U64(v);
}

/* ---- open ---- */

static void fail_full(struct worker *w, struct request *rq)
{
	struct asked asked;
	struct err e;

	if (gate_kept(w, rq, &asked) < 0) {
		err_set(&e, ERR_GENERIC, "guest-file-open cannot be carried out");
	} else {
		const struct msg_file_open *q = asked.args;

		err_sys(&e, EMFILE, "failed to open file '%.*s' (mode: '%.*s')",
			(int)q->path.len, q->path.p, q->mode.set ? (int)q->mode.len : 1,
			q->mode.set ? q->mode.p : "r");
	}
	request_fail(w, rq, &e);
}

bool handle_room(struct worker *w, struct request *rq)
{
	if (w->files < handles_max(w))
		return true;
	fail_full(w, rq);
	return false;
}

/* A free slot with a number of its own. */
static struct handle *take_slot(struct worker *w)
{
	for (size_t i = 0; w->files < handles_max(w) && i < HANDLES_MAX; i++)
		if (!w->handles[i].number) {
			w->handles[i] = (struct handle){
				.number = ++w->state->last_handle,
			};
			return &w->handles[i];
		}
	return NULL;
}

void handle_opened(struct worker *w, struct request *rq)
{
	uint8_t buf[16];
	struct wbuf body = wbuf_fixed(buf, sizeof(buf));
	struct handle *h = rq->abandoned ? NULL : take_slot(w);
	struct op_child *c = rq->child;

	if (rq->abandoned) {
		/* Nobody will ever close it: it is closed now, with its process. */
		request_done(w, rq, &body);
		return;
	}
	if (!h) {
		fail_full(w, rq);
		return;
	}
	h->child = c;
	h->request = rq->serial;
	h->session = rq->session;
	c->handle = h;
	c->rq = NULL;
	rq->child = NULL;
	w->files++;
	w->looking -= c->looks;
	c->looks = false;
	record_file(w, EVENT_FILE_OPEN, h, "ok");
	schema_put(&body, &schema_integer,
		   &(struct msg_integer){.value = V_INT(h->number)});
	request_done(w, rq, &body);
}

/* ---- use ---- */

static void fail_busy(struct worker *w, struct request *rq, const struct handle *h)
{
	struct err e;

	err_set(&e, ERR_GENERIC, "handle '%lld' is busy: %s is in progress",
		(long long)h->number, op_by_number(h->child->rq->op)->name);
	request_fail(w, rq, &e);
}

/* To close what is busy is to end it: who asks waits no longer for the other. */
static void close_busy(struct worker *w, struct request *rq, const struct handle *h)
{
	struct op_child *c = h->child;
	struct wbuf none = wbuf_fixed(NULL, 0);
	struct err e;

	err_set(&e, ERR_GENERIC, "handle '%lld' was closed", (long long)h->number);
	request_fail(w, c->rq, &e);
	request_done(w, rq, &none);
}

void handle_start(struct worker *w, struct request *rq, const struct asked *q,
		  const struct rbuf *args)
{
	int64_t number = ((const struct msg_file_handle *)q->args)->handle.v;
	const struct handle *h = find(w, number);
	struct frame f = {
		.type = FRAME_REQUEST,
		.op = (uint16_t)rq->op,
		.body = args->p,
		.len = (uint32_t)rbuf_left(args),
		.n_fds = rq->bulk_fd >= 0,
		.fds = {rq->bulk_fd, -1},
	};
	struct err e;

	if (!h) {
		err_set(&e, ERR_GENERIC, "handle '%lld' has not been found",
			(long long)number);
		request_fail(w, rq, &e);
	} else if (h->child->rq && rq->op == OP_file_close) {
		close_busy(w, rq, h);
	} else if (h->child->rq) {
		fail_busy(w, rq, h);
	} else if (frame_send(h->child->reply.fd, &f) != FRAME_OK) {
		err_set(&e, ERR_GENERIC, "handle '%lld' cannot be used at present",
			(long long)number);
		request_fail(w, rq, &e);
	} else {
		rq->child = h->child;
		h->child->rq = rq;
	}
}

/* Results of read and write begin with the count. */
static uint64_t count_of(const struct frame *f)
{
	struct rbuf r = rbuf_of(f->body, f->len);

	return rbuf_u64(&r);
}

void handle_replied(struct worker *w, struct request *rq, const struct frame *f)
{
	struct op_child *c = rq->child;

	c->rq = NULL;
	rq->child = NULL;
	if (rq->op == OP_file_close) {
		handle_gone(c, f->flags & FRAME_ERROR ? "error" : "ok");
		c->leaves = true;
		w->leaving++;
	} else if (f->flags & FRAME_ERROR) {
		return;
	}
	if (rq->op == OP_file_read)
		c->handle->bytes_read += count_of(f);
	else if (rq->op == OP_file_write)
		c->handle->bytes_written += count_of(f);
}

/* ---- end ---- */

void handle_gone(struct op_child *c, const char *how)
{
	record_file(c->w, EVENT_FILE_CLOSE, c->handle, how);
	*c->handle = (struct handle){0};
	c->handle = NULL;
	c->w->files--;
}

/* What works at the file of H ends with it. */
static void revoke_one(struct worker *w, const struct handle *h)
{
	struct op_child *c = h->child;
	struct err e;

	if (!c->rq) {
		child_forget(c);
		/* It did nothing at which it could hang; of a crowd the end comes later.
		 */
		c->leaves = true;
		w->leaving++;
		return;
	}
	err_set(&e, ERR_GENERIC, "handle '%lld' was closed: the policy was replaced",
		(long long)h->number);
	request_fail(w, c->rq, &e);
}

void handles_revoke(struct worker *w)
{
	for (size_t i = 0; i < HANDLES_MAX; i++)
		if (w->handles[i].number)
			revoke_one(w, &w->handles[i]);
}

void handles_stop(struct worker *w)
{
	for (size_t i = 0; i < HANDLES_MAX; i++)
		if (w->handles[i].number)
			handle_gone(w->handles[i].child, "stop");
}
