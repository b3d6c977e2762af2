/*
 * frontend/content.c - content of a reply, encoded as it is written
 *
 * Runs in:   frontend
 * Input:     sealed memfds of the worker, mapped
 * May touch: the port or connection
 * Must not:  hold a large content in base64
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
	content_drop(k);
	for (uint32_t i = 0; i < n; i++) {
		k->at[i] = at[i];
		k->body[i] = body[i];
		body[i] = (struct body){0};
	}
	k->n = n;
}

/* The next piece as text; false: there is none. */
static bool encode(struct content *k)
{
	struct rbuf *r = &k->body[k->next].r;
	struct wbuf text = wbuf_fixed(k->text, sizeof(k->text));
	size_t len = min_size(rbuf_left(r), CONTENT_PIECE);

	jsonw_b64_piece(&text, r->p, len);
	rbuf_take(r, len);
	k->text_len = text.len;
	k->text_done = 0;
	return len;
}

ssize_t content_write(struct content *k, int fd)
{
	ssize_t n;

	if (k->text_done == k->text_len && !encode(k)) {
		body_release(&k->body[k->next]);
		k->next++;
		return 0;
	}
	n = write(fd, k->text + k->text_done, k->text_len - k->text_done);
	if (n > 0)
		k->text_done += (size_t)n;
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
	k->text_len = k->text_done = 0;
}
