/*
 * frontend/reply.c - replies as they stand on the wire (protocol 1.3, 1.4)
 *
 * Runs in:   frontend
 * Input:     encoded results; of the inspector's, only the length was ever checked
 * May touch: the output buffer
 * Must not:  leave half a line behind, write one byte outside a reply
 */
#include "frontend/frontend.h"
#include "ipc/jsonw.h"
#include "ipc/launch.h"
#include "ipc/memfd.h"

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

/* What came beside a result; sealed, so that it stays as it is. */
struct beside {
	uint64_t sizes[FRAME_FDS_MAX];
	size_t gaps[FRAME_FDS_MAX]; /* where each belongs */
	uint32_t n;
};

static int look_beside(struct beside *b, const int *fds)
{
	*b = (struct beside){0};
	for (; fds && b->n < FRAME_FDS_MAX && fds[b->n] >= 0; b->n++) {
		off_t size = memfd_sealed_size(fds[b->n]);

		if (size < 0)
			return -1;
		b->sizes[b->n] = (uint64_t)size;
	}
	return 0;
}

static int render(struct wbuf *w, const struct item *it, const struct wbuf *result,
		  struct beside *b)
{
	struct rbuf r = rbuf_of(result->p, result->len);

	return schema_render(
		&r, it->op->result,
		&(struct render){.n_bulk = b->n, .sizes = b->sizes, .gaps = b->gaps}, w);
}

static int put_result(struct channel *c, const struct item *it, const struct wbuf *result,
		      int *bulk)
{
	struct beside beside;
	struct wbuf *w = &c->out;

	/* While content waits nothing is asked for (channel_full), so none comes. */
	if (look_beside(&beside, bulk) < 0 || (beside.n && content_waits(&c->content)))
		return -1;

	/* Marks the reply to a delimited sync, and no other (protocol 1.4). */
	if (it->number == OP_sync_delimited)
		wbuf_u8(w, 0xff);
	wbuf_text(w, "{\"return\": ");
	if (render(w, it, result, &beside) < 0)
		return -1;
	if (it->id) {
		wbuf_text(w, ", \"id\": ");
		wbuf_put(w, it->id, it->id_len);
	}
	wbuf_text(w, "}\n");
	if (w->bad)
		return -1;
	if (beside.n)
		content_put(&c->content, bulk, beside.sizes, beside.gaps, beside.n);
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

static void reply_unreadable(struct frontend *f, const struct item *it)
{
	struct err e;

	err_set(&e, ERR_GENERIC, "the result of %s cannot be read", it->op->name);
	reply_error(f, it, &e);
}

void reply_result(struct frontend *f, const struct item *it, const struct wbuf *result,
		  int *bulk)
{
	struct wbuf *w = &f->channel.out;
	size_t mark = w->len;

	/* These say nothing when all is well, not even to an id (protocol 1.3). */
	if (it->op->flags & OPF_NO_REPLY)
		return;
	if (put_result(&f->channel, it, result, bulk) == 0)
		return;
	rewind_to(w, mark);
	reply_unreadable(f, it);
}
