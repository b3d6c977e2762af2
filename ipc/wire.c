/*
 * ipc/wire.c - bounded buffers and the widths of the wire between our processes
 *
 * Runs in:   all processes
 * Input:     bytes from another process of ours, which may be in an attacker's hands
 * May touch: the buffer it is handed
 * Must not:  read or write past a limit, allocate by a length found in the input
 */
#include "ipc/wire.h"

#include <string.h>

const uint8_t *rbuf_take(struct rbuf *r, size_t len)
{
	const uint8_t *at = r->p;

	if (r->bad || len > rbuf_left(r)) {
		r->bad = true;
		return NULL;
	}
	r->p += len;
	return at;
}

static uint64_t get_le(struct rbuf *r, size_t width)
{
	const uint8_t *b = rbuf_take(r, width);
	uint64_t v = 0;

	for (size_t i = 0; b && i < width; i++)
		v |= (uint64_t)b[i] << (8 * i);
	return v;
}

uint8_t rbuf_u8(struct rbuf *r)
{
	return (uint8_t)get_le(r, 1);
}

uint16_t rbuf_u16(struct rbuf *r)
{
	return (uint16_t)get_le(r, 2);
}

uint32_t rbuf_u32(struct rbuf *r)
{
	return (uint32_t)get_le(r, 4);
}

uint64_t rbuf_u64(struct rbuf *r)
{
	return get_le(r, 8);
}

double rbuf_f64(struct rbuf *r)
{
	uint64_t bits = get_le(r, 8);
	double v;

	memcpy(&v, &bits, sizeof(v));
	return v;
}

struct wbuf wbuf_fixed(void *p, size_t cap)
{
	return (struct wbuf){.p = p, .cap = cap, .limit = cap};
}

struct wbuf wbuf_growing(size_t limit)
{
	return (struct wbuf){.limit = limit, .grow = true};
}

static void wipe(const struct wbuf *w)
{
	if (w->p && !w->plain)
		explicit_bzero(w->p, w->cap);
}

void wbuf_free(struct wbuf *w)
{
	if (w->grow) {
		wipe(w);
		free(w->p);
	}
	*w = (struct wbuf){.limit = w->limit, .grow = w->grow, .plain = w->plain};
}

void wbuf_empty(struct wbuf *w)
{
	wipe(w);
	w->len = 0;
	w->bad = false;
}

/* The content in a block of CAP bytes; the old one is gone. NULL: nothing was done. */
static uint8_t *moved(const struct wbuf *w, size_t cap)
{
	uint8_t *p;

	if (w->plain)
		return realloc(w->p, cap);
	/* realloc would leave a copy where the block was. */
	p = malloc(cap);
	if (!p || !w->p)
		return p;
	memcpy(p, w->p, w->len);
	wipe(w);
	free(w->p);
	return p;
}

/* Double up to the limit, so that building N bytes costs O(N). */
static bool make_room(struct wbuf *w, size_t need)
{
	size_t cap = w->cap ? w->cap : 256;
	uint8_t *p;

	while (cap < need)
		cap *= 2;
	cap = min_size(cap, w->limit);
	p = moved(w, cap);
	if (!p)
		return false;
	w->p = p;
	w->cap = cap;
	return true;
}

uint8_t *wbuf_room(struct wbuf *w, size_t len)
{
	uint8_t *at;

	if (w->bad || len > w->limit - w->len ||
	    (w->len + len > w->cap && (!w->grow || !make_room(w, w->len + len)))) {
		w->bad = true;
		return NULL;
	}
	at = w->p + w->len;
	w->len += len;
	return at;
}

void wbuf_put(struct wbuf *w, const void *p, size_t len)
{
	uint8_t *at;

	if (!len)
		return;
	at = wbuf_room(w, len);
	if (at)
		memcpy(at, p, len);
}

static void put_le(struct wbuf *w, uint64_t v, size_t width)
{
	uint8_t *b = wbuf_room(w, width);

	for (size_t i = 0; b && i < width; i++)
		b[i] = (uint8_t)(v >> (8 * i));
}

void wbuf_u8(struct wbuf *w, uint8_t v)
{
	uint8_t *at = wbuf_room(w, 1);

	if (at)
		*at = v;
}

void wbuf_u16(struct wbuf *w, uint16_t v)
{
	put_le(w, v, 2);
}

void wbuf_u32(struct wbuf *w, uint32_t v)
{
	put_le(w, v, 4);
}

void wbuf_u64(struct wbuf *w, uint64_t v)
{
	put_le(w, v, 8);
}

void wbuf_f64(struct wbuf *w, double v)
{
	uint64_t bits;

	memcpy(&bits, &v, sizeof(bits));
	put_le(w, bits, 8);
}
