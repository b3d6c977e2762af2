/*
 * ipc/jsonw.h - JSON text out: ASCII only, as the host reads it; text for people
 *
 * Runs in:   all processes
 * Input:     bytes of any origin; what is not UTF-8 is replaced
 * May touch: the buffer it is handed
 * Must not:  let a byte outside 0x20..0x7E into JSON
 *
 * Separators (", " and ": ") are the caller's.
 */
#ifndef POSTERN_IPC_JSONW_H
#define POSTERN_IPC_JSONW_H

#include "ipc/wire.h"

/* A string with its quotes. Invalid UTF-8 becomes U+FFFD, one per offending byte. */
void jsonw_str(struct wbuf *w, const char *s, size_t len);
void jsonw_cstr(struct wbuf *w, const char *s);
void jsonw_i64(struct wbuf *w, int64_t v);
void jsonw_u64(struct wbuf *w, uint64_t v);
/* As the reference prints a number: "%.17g" (protocol 1.3). V must be finite. */
void jsonw_num(struct wbuf *w, double v);
void jsonw_bool(struct wbuf *w, bool v);
/* A string with its quotes that holds the base64 form of LEN bytes. */
void jsonw_b64(struct wbuf *w, const uint8_t *p, size_t len);
/* A piece of one, without quotes: all but the last are of a multiple of 3 bytes. */
void jsonw_b64_piece(struct wbuf *w, const uint8_t *p, size_t len);

/*
 * One code point of the UTF-8 text at S (LEN > 0 bytes). Returns the bytes it takes,
 * or 0 if what stands there is not valid (overlong, surrogate, beyond U+10FFFF, cut).
 */
size_t utf8_next(const uint8_t *s, size_t len, uint32_t *cp);

/*
 * Text for people, as it is; \xNN stands for each byte of what is no UTF-8, and of a
 * character that PASS refuses.
 */
typedef bool text_pass(const void *context, uint32_t cp);
void text_escaped(struct wbuf *w, const char *s, size_t len, text_pass *pass,
		  const void *context);

/* Passes what is seen, and leaves the direction of what follows as it is. */
bool text_is_seen(const void *context, uint32_t cp);

#endif
