/*
 * frontend/content.c - content of a reply, encoded as it is written
 *
 * Runs in:   frontend
 * Input:     sealed memfds of the worker
 * May touch: the port or connection
 * Must not:  hold a large content in base64
 *
 * What stands around it goes along in the same write: each write wakes the client.
 */
#include <string.h>

#include "frontend/frontend.h"
#include "ipc/jsonw.h"

void content_put(struct content *k, int *fds, const uint64_t *sizes, const size_t *at,
		 uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		k->at[i] = at[i];
		k->fd[i] = TAKE_FD(fds[i]);
		k->size[i] = sizes[i];
	}
	k->n = n;
	k->next = 0;
	k->done = 0;
}

static void go_on(struct content *k)
{
	close_p(&k->fd[k->next++]);
	k->done = 0;
}

/*
 * More of the next one as text. 1: there is no room for all of it. To read it takes less
 * time than to map it: there is a fault and a flush for each mapping.
 */
static int encode(struct content *k, struct wbuf *text)
{
	uint64_t left = k->size[k->next] - k->done;
	size_t len = min_size((text->cap - text->len) / 4 * 3, sizeof(k->raw));

	len = min_size(len, left);
	if (pread(k->fd[k->next], k->raw, len, (off_t)k->done) != (ssize_t)len) {
		errno = EIO;
		return -1;
	}
	jsonw_b64_piece(text, k->raw, len);
	k->done += len;
	if (len < left)
		return 1;
	go_on(k);
	return 0;
}

int content_fill(struct content *k, const struct wbuf *out, size_t *done)
{
	struct wbuf text = wbuf_fixed(k->text, sizeof(k->text));
	int r = 0;

	while (r == 0) {
		size_t end = content_waits(k) ? k->at[k->next] : out->len;
		size_t len = min_size(end - *done, text.cap - text.len);

		wbuf_put(&text, out->p + *done, len);
		*done += len;
		r = *done < end || !content_waits(k) ? 1 : encode(k, &text);
	}
	k->text_len = text.len;
	k->text_done = 0;
	k->plain = out->plain;
	return r < 0 ? -1 : 0;
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
	while (content_waits(k))
		go_on(k);
	k->n = k->next = 0;
	text_clear(k);
}
