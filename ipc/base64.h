/*
 * ipc/base64.h - base64 in, as it streams, and out
 *
 * Runs in:   frontend, worker, posternctl
 * Input:     characters of the host: hostile; bytes of any origin on the way out
 * May touch: the buffers it is handed
 * Must not:  accept a character that the reference refuses (protocol 3.0.2)
 */
#ifndef POSTERN_IPC_BASE64_H
#define POSTERN_IPC_BASE64_H

#include "ipc/util.h"
#include <stdbool.h>

/* State between pieces; zero is the beginning. */
struct base64 {
	uint32_t bits; /* sextets collected */
	uint8_t count; /* how many of a group of four */
	uint8_t pads;  /* '=' among them */
	bool invalid;  /* a character outside the alphabet was seen */
};

/*
 * Decode LEN characters of IN to OUT (room for BASE64_OUT_MAX(LEN) bytes) and return the
 * bytes written. `A-Za-z0-9+/=` and LF are accepted; anything else sets `invalid`. As
 * the reference does: an incomplete last group is dropped, padding may stand anywhere.
 */
size_t base64_decode(struct base64 *b, const uint8_t *in, size_t len, uint8_t *out);
#define BASE64_OUT_MAX(len) ((len) / 4 * 3 + 6)

/* LEN bytes of IN as text, to OUT, which has room for BASE64_TEXT_LEN(LEN) characters. */
void base64_encode(const uint8_t *in, size_t len, uint8_t *out);
#define BASE64_TEXT_LEN(len) (((len) + 2) / 3 * 4)

#endif
