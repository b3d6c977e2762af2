/*
 * frontend/reply.c - replies as they stand on the wire (protocol 1.3, 1.4)
 *
 * Runs in:   frontend
 * Input:     encoded results; of the inspector's, only the length was ever checked
 * May touch: the output buffer
 * Must not:  leave half a line behind, write one byte outside a reply
 */
#include "frontend/frontend.h"
#include "ipc/body.h"
#include "ipc/jsonw.h"
#include "ipc/launch.h"

static void put_error(struct wbuf *w, const struct item *it, const struct err *e)
{
	wbuf_text(w, "{");
	if (it->id) {
		wbuf_text(w, "\"id\": ");
		wbuf_put(w, it->id, it->id_len);
		wbuf_text(w, ", ");
	}
	wbuf_text(w, "\"error\": {\"class\": ");
	jsonw_cstr(w, err_class_name(e->cls));
	wbuf_text(w, ", \"desc\": ");
	jsonw_cstr(w, e->desc);
	wbuf_text(w, "}}\n");
}

/* What came beside a result, to be read; sealed, so that it stays as it is. */
struct beside {
	struct body body[FRAME_FDS_MAX];
	uint32_t n;
};

static void beside_release(struct beside *b)
{
	for (uint32_t i = 0; i < b->n; i++)
		body_release(&b->body[i]);
}

static int beside_open(struct beside *b, const int *fds)
{
	*b = (struct beside){0};
	for (; fds && b->n < FRAME_FDS_MAX && fds[b->n] >= 0; b->n++)
		if (body_map(fds[b->n], &b->body[b->n]) < 0)
			return -1;
	return 0;
}

static int render(struct wbuf *w, const struct item *it, const struct wbuf *result,
		  const struct beside *b, size_t *gaps)
{
	struct rbuf r = rbuf_of(result->p, result->len);
	struct rbuf bulk[FRAME_FDS_MAX];

	for (uint32_t i = 0; i < b->n; i++)
		bulk[i] = b->body[i].r;
	return schema_render(&r, it->op->result,
			     &(struct render){.bulk = bulk, .n_bulk = b->n, .gaps = gaps},
			     w);
}

static int put_result(struct channel *c, const struct item *it, const struct wbuf *result,
		      const int *bulk)
{
	CLEANUP(beside_release) struct beside beside;
	struct wbuf *w = &c->out;
	size_t gaps[FRAME_FDS_MAX] = {0};
	bool later;

	if (beside_open(&beside, bulk) < 0)
		return -1;
	/* While other content waits nothing is answered (channel_full). */
	later = content_is_large(beside.body, beside.n) && !content_waits(&c->content);

	/* Marks the reply to a delimited sync, and no other (protocol 1.4). */
	if (it->number == OP_sync_delimited)
		wbuf_u8(w, 0xff);
	wbuf_text(w, "{\"return\": ");
	if (render(w, it, result, &beside, later ? gaps : NULL) < 0)
		return -1;
	if (it->id) {
		wbuf_text(w, ", \"id\": ");
		wbuf_put(w, it->id, it->id_len);
	}
	wbuf_text(w, "}\n");
	if (w->bad)
		return -1;
	if (later)
		content_put(&c->content, beside.body, gaps, beside.n);
	return 0;
}

/* What was begun is taken back, and the buffer is usable again. */
static void rewind_to(struct wbuf *w, size_t mark)
{
	w->len = mark;
	w->bad = false;
}

void reply_error(struct frontend *f, const struct item *it, const struct err *e)
{
	struct wbuf *w = &f->channel.out;
	size_t mark = w->len;

	/* An error can quote the request. */
	w->plain = false;
	put_error(w, it, e);
	if (!w->bad)
		return;
	/*
	 * Out of memory. Clients count replies, so one that is missing would shift all
	 * that follow; a new frontend costs less.
	 */
	rewind_to(w, mark);
	loop_stop(&f->loop, EXIT_SYSTEM);
}

void reply_result(struct frontend *f, const struct item *it, const struct wbuf *result,
		  const int *bulk)
{
	struct wbuf *w = &f->channel.out;
	size_t mark = w->len;
	struct err e;

	/* These say nothing when all is well, not even to an id (protocol 1.3). */
	if (it->op->flags & OPF_NO_REPLY)
		return;
	if (put_result(&f->channel, it, result, bulk) == 0)
		return;
	rewind_to(w, mark);
	err_set(&e, ERR_GENERIC, "the result of %s cannot be read", it->op->name);
	reply_error(f, it, &e);
}
