/*
 * ipc/base64.c - base64 in, as it streams, and out
 *
 * Runs in:   frontend, worker, posternctl
 * Input:     characters of the host: hostile
 * May touch: the buffers it is handed
 * Must not:  accept a character that the reference refuses (protocol 3.0.2)
 */
#include "ipc/base64_impl.h"

enum { PAD = 64, SKIP, BAD };

/* N bytes from C on stand for the numbers from V on. */
#define RUN5(c, v)                                                                \
	[c] = (v), [(c) + 1] = (v) + 1, [(c) + 2] = (v) + 2, [(c) + 3] = (v) + 3, \
	[(c) + 4] = (v) + 4
#define RUN10(c, v) RUN5(c, v), RUN5((c) + 5, (v) + 5)
#define RUN26(c, v)                                                       \
	RUN10(c, v), RUN10((c) + 10, (v) + 10), RUN5((c) + 20, (v) + 20), \
		[(c) + 25] = (v) + 25

/* What each byte stands for: 0 to 63, or one of the above. */
static const uint8_t value_of[256] = {
	[0x00 ... 0x09] = BAD, ['\n'] = SKIP,
	[0x0B ... 0x2A] = BAD, ['+'] = 62,
	[0x2C ... 0x2E] = BAD, ['/'] = 63,
	RUN10('0', 52),        [0x3A ... 0x3C] = BAD,
	['='] = PAD,           [0x3E ... 0x40] = BAD,
	RUN26('A', 0),         [0x5B ... 0x60] = BAD,
	RUN26('a', 26),        [0x7B ... 0xFF] = BAD,
};

/*
 * What the processor can do at once, from the beginning of IN: so many bytes of it are
 * done. The rest, and all where it can do nothing, is done below.
 */
static size_t encode_blocks(const uint8_t *in, size_t len, uint8_t *out)
{
#ifdef BASE64_AVX2
	if (__builtin_cpu_supports("avx2"))
		return base64_encode_avx2(in, len, out);
#endif
	(void)in, (void)len, (void)out;
	return 0;
}

static size_t decode_blocks(const uint8_t *in, size_t len, uint8_t *out)
{
#ifdef BASE64_AVX2
	if (__builtin_cpu_supports("avx2"))
		return base64_decode_avx2(in, len, out);
#endif
	(void)in, (void)len, (void)out;
	return 0;
}

/* ---- in ---- */

/* A group is complete. As in the reference only its third and fourth '=' matter. */
static uint8_t *put_group(struct base64 *b, uint8_t *out)
{
	*out++ = (uint8_t)(b->bits >> 16);
	if (!(b->pads & 2))
		*out++ = (uint8_t)(b->bits >> 8);
	if (!(b->pads & 1))
		*out++ = (uint8_t)b->bits;
	b->bits = 0;
	b->count = 0;
	b->pads = 0;
	return out;
}

static uint8_t *put_char(struct base64 *b, uint8_t v, uint8_t *out)
{
	if (v == BAD)
		b->invalid = true;
	if (v > PAD)
		return out;
	b->bits = b->bits << 6 | (v & 63u);
	b->pads = (uint8_t)(b->pads << 1 | (v == PAD));
	return ++b->count == 4 ? put_group(b, out) : out;
}

size_t base64_decode(struct base64 *b, const uint8_t *in, size_t len, uint8_t *out)
{
	const uint8_t *end = in + len;
	uint8_t *at = out;

	while (in < end) {
		if (b->count == 0) {
			size_t done = decode_blocks(in, (size_t)(end - in), at);

			in += done;
			at += done / 4 * 3;
		}
		/* The usual case: whole groups without padding or line ends. */
		while (b->count == 0 && end - in >= 4) {
			uint8_t v0 = value_of[in[0]], v1 = value_of[in[1]];
			uint8_t v2 = value_of[in[2]], v3 = value_of[in[3]];

			if ((v0 | v1 | v2 | v3) > 63)
				break;
			at[0] = (uint8_t)(v0 << 2 | v1 >> 4);
			at[1] = (uint8_t)(v1 << 4 | v2 >> 2);
			at[2] = (uint8_t)(v2 << 6 | v3);
			at += 3;
			in += 4;
		}
		if (in < end)
			at = put_char(b, value_of[*in++], at);
	}
	return (size_t)(at - out);
}

/* ---- out ---- */

/* One group of 1 to 3 bytes. */
static void encode_group(uint8_t *out, const uint8_t *in, size_t len)
{
	static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				  "0123456789+/";
	uint32_t v = (uint32_t)in[0] << 16;

	if (len > 1)
		v |= (uint32_t)in[1] << 8;
	if (len > 2)
		v |= in[2];
	out[0] = (uint8_t)set[v >> 18];
	out[1] = (uint8_t)set[v >> 12 & 63];
	out[2] = len > 1 ? (uint8_t)set[v >> 6 & 63] : '=';
	out[3] = len > 2 ? (uint8_t)set[v & 63] : '=';
}

void base64_encode(const uint8_t *in, size_t len, uint8_t *out)
{
	size_t at = encode_blocks(in, len, out);

	out += at / 3 * 4;
	for (; len - at >= 3; at += 3, out += 4)
		encode_group(out, in + at, 3);
	if (at < len)
		encode_group(out, in + at, len - at);
}
