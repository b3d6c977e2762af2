/*
 * ipc/wire.h - bounded buffers and the widths of the wire between our processes
 *
 * Runs in:   all processes
 * Input:     bytes from another process of ours, which may be in an attacker's hands
 * May touch: the buffer it is handed
 * Must not:  read or write past a limit, allocate by a length found in the input
 *
 * Integers are little-endian, in the width that the function's name says. A buffer
 * that failed once stays failed, so a sequence of calls needs one check at its end.
 */
#ifndef POSTERN_IPC_WIRE_H
#define POSTERN_IPC_WIRE_H

#include <stdbool.h>

#include "ipc/util.h"

/* Reads from P up to END; owns nothing. */
struct rbuf {
	const uint8_t *p;
	const uint8_t *end;
	bool bad; /* something was missing or out of range */
};

/*
 * Writes to P. With `grow` P is malloc()ed here and belongs to the wbuf (free with
 * wbuf_free); without, P is the caller's array of CAP bytes. Never exceeds LIMIT.
 *
 * What a growing buffer held may be a password, so it is wiped wherever it is given back:
 * freed, emptied, outgrown. `plain` says that it holds no secret, and saves that.
 */
struct wbuf {
	uint8_t *p;
	size_t len;
	size_t cap;
	size_t limit;
	bool grow;
	bool plain;
	bool bad; /* the limit was met, or memory ran out */
};

static inline struct rbuf rbuf_of(const void *p, size_t len)
{
	const uint8_t *b = p;

	/* An empty buffer may come with a null pointer, to which 0 must not be added. */
	return (struct rbuf){.p = b, .end = len ? b + len : b, .bad = false};
}

static inline size_t rbuf_left(const struct rbuf *r)
{
	return r->p == r->end ? 0 : (size_t)(r->end - r->p);
}

/* True if nothing failed and every byte was consumed. */
static inline bool rbuf_done(const struct rbuf *r)
{
	return !r->bad && r->p == r->end;
}

/* LEN bytes in place, or NULL (and bad) if there are fewer. */
const uint8_t *rbuf_take(struct rbuf *r, size_t len);

/* Each returns 0 (and bad) if there are too few bytes. */
uint8_t rbuf_u8(struct rbuf *r);
uint16_t rbuf_u16(struct rbuf *r);
uint32_t rbuf_u32(struct rbuf *r);
uint64_t rbuf_u64(struct rbuf *r);
double rbuf_f64(struct rbuf *r);

/* A fixed array of the caller's; a growing one of at most LIMIT bytes. */
struct wbuf wbuf_fixed(void *p, size_t cap);
struct wbuf wbuf_growing(size_t limit);
void wbuf_free(struct wbuf *w);
/* Begin anew with the same memory, which is wiped. */
void wbuf_empty(struct wbuf *w);

/* Room for LEN bytes at the end, already counted in; NULL (and bad) at the limit. */
uint8_t *wbuf_room(struct wbuf *w, size_t len);

void wbuf_put(struct wbuf *w, const void *p, size_t len);
void wbuf_u8(struct wbuf *w, uint8_t v);
void wbuf_u16(struct wbuf *w, uint16_t v);
void wbuf_u32(struct wbuf *w, uint32_t v);
void wbuf_u64(struct wbuf *w, uint64_t v);
void wbuf_f64(struct wbuf *w, double v);

/* Text without its NUL; for growing text buffers. */
static inline void wbuf_text(struct wbuf *w, const char *s)
{
	wbuf_put(w, s, strlen(s));
}

#endif
