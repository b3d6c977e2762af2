/*
 * frontend/queue.c - answers in the order of the requests, and the one exception
 *
 * Runs in:   frontend
 * Input:     items made of the host's requests; REPLY frames of the worker
 * May touch: the queue, the output buffer, the socket to the worker
 * Must not:  have more than one operation under way whose reply is owed
 *
 * The exception (DESIGN section 5): once a client has begun anew (a sync or 0xFF waits in
 * the queue, or the client has gone) and the operation at the head is ABANDON_MS old,
 * nobody waits for it any more. It is abandoned: the worker is told, its reply is never
 * sent, and the queue goes on.
 */
#include <string.h>

#include "frontend/frontend.h"
#include "ipc/body.h"

void queue_init(struct queue *q)
{
	*q = (struct queue){.tail = &q->head};
}

void queue_put(struct frontend *f, struct item *it)
{
	struct queue *q = &f->queue;

	*q->tail = it;
	q->tail = &it->next;
	q->items++;
	it->weight = sizeof(*it) + it->id_len + it->args.len;
	q->bytes += it->weight;
	q->bulk += it->bulk_size;
	q->resyncs += it->resync;
	f->bulk.room = BULK_MAX - q->bulk;
}

static void pop(struct frontend *f)
{
	struct queue *q = &f->queue;
	struct item *it = q->head;

	q->head = it->next;
	if (!q->head)
		q->tail = &q->head;
	q->items--;
	q->bytes -= it->weight;
	q->bulk -= it->bulk_size;
	q->resyncs -= it->resync;
	if (it->resync)
		q->passing = false;
	f->bulk.room = BULK_MAX - q->bulk;
	item_free(it);
}

static bool is_live(const struct frontend *f, const struct item *it)
{
	return f->session_live && it->session == f->session;
}

bool queue_owes(const struct frontend *f)
{
	for (const struct item *it = f->queue.head; it; it = it->next)
		if (is_live(f, it))
			return true;
	return false;
}

/* ---- to the worker ---- */

static void put_body(const struct item *it, struct wbuf *body)
{
	struct msg_request_head head = {.session = V_U64(it->session)};

	if (it->id)
		head.client_id = (struct v_str){
			.p = it->id,
			.len = (uint32_t)min_size(it->id_len, NOTE_TEXT_MAX),
			.set = true,
		};
	schema_put(body, &schema_request_head, &head);
	if (!(it->flags & FRAME_BAD_ARGS))
		wbuf_put(body, it->args.p, it->args.len);
}

static int send_item(struct frontend *f, struct item *it)
{
	CLEANUP(wbuf_free) struct wbuf body = wbuf_growing(REQUEST_BODY_MAX + 1024);
	CLEANUP(close_p) int fd = -1;
	struct frame frame = {
		.type = FRAME_REQUEST,
		.op = (uint16_t)it->number,
		.request = ++f->last_request,
		.generation = it->generation,
		.flags = it->flags,
		.fds = {-1, -1},
	};
	int r = -1;

	put_body(it, &body);
	if (body_attach(&frame, &body, &fd) == 0) {
		if (it->bulk_fd >= 0)
			frame.fds[frame.n_fds++] = it->bulk_fd;
		r = peer_send(&f->worker, &frame);
	}
	/* Nobody needs them any more, and they may be secret. */
	wbuf_free(&it->args);
	it->request = frame.request;
	it->sent_ms = now_ms();
	return r;
}

/* ---- the head of the queue ---- */

static void refuse(struct frontend *f, const struct item *it)
{
	struct err e;

	err_set(&e, ERR_NOT_FOUND, "Command %s has been disabled: %s", it->op->name,
		reason_text(REASON_NO_RULE));
	reply_error(f, it, &e);
}

static void answer_session(struct frontend *f, const struct item *it)
{
	CLEANUP(wbuf_free) struct wbuf out = wbuf_growing(64 * 1024);

	if (it->flags & FRAME_REFUSED) {
		session_count(f, it, SESSION_REFUSED);
		refuse(f, it);
	} else if (it->flags & FRAME_BAD_ARGS) {
		session_count(f, it, SESSION_WRONG);
		reply_error(f, it, it->error);
	} else {
		session_count(f, it, SESSION_ANSWERED);
		session_answer(f, it, &out);
		reply_result(f, it, &out, NULL);
	}
}

/* Answer an item that needs nobody else. A client that has gone gets nothing. */
static void answer(struct frontend *f, const struct item *it)
{
	if (!is_live(f, it))
		return;
	if (it->op)
		answer_session(f, it);
	else
		reply_error(f, it, it->error);
}

static bool given_up(const struct frontend *f, const struct item *it)
{
	return f->queue.resyncs || !is_live(f, it);
}

static void abandon(struct frontend *f, const struct item *it)
{
	peer_send(&f->worker, &(struct frame){
				      .type = FRAME_ABANDON,
				      .request = it->request,
			      });
}

/*
 * For how long nobody has been served by IT: since it was sent, as long as its client may
 * still wait for it. Who has gone, or has seen an operation before it abandoned, waited
 * for this one too, since it asked; so what is left behind by a client that gave up takes
 * two seconds together and not each.
 */
static uint64_t age(const struct frontend *f, const struct item *it)
{
	bool waited = f->queue.passing || !is_live(f, it);

	return now_ms() - (waited ? it->received_ms : it->sent_ms);
}

static void fail_to_pass(struct frontend *f, const struct item *it)
{
	struct err e;

	err_set(&e, ERR_GENERIC, "%s cannot be passed on at present", it->op->name);
	reply_error(f, it, &e);
}

/*
 * The operation at the head: send it, or see whether it is still waited for. True if the
 * queue may go on to the next.
 */
static bool advance(struct frontend *f, struct item *it)
{
	uint64_t ms;

	if (!it->request && send_item(f, it) < 0) {
		if (is_live(f, it))
			fail_to_pass(f, it);
		return true;
	}
	if (!given_up(f, it))
		return false;
	ms = age(f, it);
	if (ms < ABANDON_MS) {
		timer_arm_ms(&f->abandon, ABANDON_MS - ms);
		return false;
	}
	abandon(f, it);
	f->queue.passing = f->queue.resyncs > 0;
	return true;
}

void queue_pump(struct frontend *f)
{
	struct queue *q = &f->queue;

	while (q->head && !channel_full(&f->channel)) {
		struct item *it = q->head;

		if (!it->op || it->op->carrier == BY_FRONTEND)
			answer(f, it);
		else if (!advance(f, it))
			break;
		pop(f);
	}
	if (!q->head)
		timer_disarm(&f->abandon);
}

int queue_timer(struct timer *t)
{
	struct frontend *f = CONTAINER_OF(t, struct frontend, abandon);

	queue_pump(f);
	return channel_resume(f);
}

/* ---- from the worker ---- */

static void reply_refused(struct frontend *f, const struct item *it)
{
	struct err e;

	err_get(&e, it->result.p, it->result.len);
	/* The worker's refusal counts; only if it has none, what the arguments lack. */
	if (it->flags & FRAME_BAD_ARGS && e.cls == ERR_GENERIC)
		reply_error(f, it, it->error);
	else
		reply_error(f, it, &e);
	explicit_bzero(&e, sizeof(e)); /* it may quote the request */
}

int queue_reply(struct frontend *f, struct frame *frame)
{
	struct item *it = f->queue.head;

	/* The late reply to an abandoned operation: nobody may see it. */
	if (!it || !it->request || it->request != frame->request)
		return 0;
	if (frame->flags & FRAME_ERROR)
		it->result.len = 0;
	wbuf_put(&it->result, frame->body, frame->len);
	if (frame->flags & FRAME_MORE)
		return 0;
	if (is_live(f, it)) {
		if (frame->flags & FRAME_ERROR)
			reply_refused(f, it);
		else
			reply_result(f, it, &it->result, frame->fds);
	}
	pop(f);
	queue_pump(f);
	return channel_resume(f);
}
