/*
 * frontend/content.c - content of a reply, encoded as it is written
 *
 * Runs in:   frontend
 * Input:     sealed memfds of the worker, mapped
 * May touch: the port or connection
 * Must not:  hold a large content in base64
 *
 * What stands around it goes along in the same write: each write wakes the client.
 */
#include <string.h>

#include "frontend/frontend.h"
#include "ipc/jsonw.h"

bool content_is_large(const struct body *body, uint32_t n)
{
	size_t len = 0;

	for (uint32_t i = 0; i < n; i++)
		len += rbuf_left(&body[i].r);
	return len > CONTENT_PIECE;
}

void content_put(struct content *k, struct body *body, const size_t *at, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		k->at[i] = at[i];
		k->body[i] = body[i];
		body[i] = (struct body){0};
	}
	k->n = n;
	k->next = 0;
}

/* More of the next one as text; false: there is no room for all of it. */
static bool encode(struct content *k, struct wbuf *text)
{
	struct rbuf *r = &k->body[k->next].r;
	size_t len = min_size(rbuf_left(r), (text->cap - text->len) / 4 * 3);

	jsonw_b64_piece(text, r->p, len);
	rbuf_take(r, len);
	if (rbuf_left(r))
		return false;
	body_release(&k->body[k->next]);
	k->next++;
	return true;
}

void content_fill(struct content *k, const struct wbuf *out, size_t *done)
{
	struct wbuf text = wbuf_fixed(k->text, sizeof(k->text));
	bool room = true;

	while (room) {
		size_t end = content_waits(k) ? k->at[k->next] : out->len;
		size_t len = min_size(end - *done, text.cap - text.len);

		wbuf_put(&text, out->p + *done, len);
		*done += len;
		room = *done == end && content_waits(k) && encode(k, &text);
	}
	k->text_len = text.len;
	k->text_done = 0;
	k->plain = out->plain;
}

static void text_clear(struct content *k)
{
	if (!k->plain)
		explicit_bzero(k->text, k->text_len);
	k->text_len = k->text_done = 0;
}

ssize_t content_write(struct content *k, int fd, bool *cut)
{
	ssize_t n = write(fd, k->text + k->text_done, content_left(k));

	if (n <= 0)
		return n;
	k->text_done += (size_t)n;
	*cut = k->text[k->text_done - 1] != '\n';
	if (!content_left(k))
		text_clear(k);
	return n;
}

void content_move(struct content *k, size_t done)
{
	for (uint32_t i = k->next; i < k->n; i++)
		k->at[i] -= done;
}

void content_drop(struct content *k)
{
	for (; k->next < k->n; k->next++)
		body_release(&k->body[k->next]);
	k->n = k->next = 0;
	text_clear(k);
}
