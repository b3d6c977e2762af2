/*
 * tests/fuzz/fuzz_base64.c - any bytes as base64, against the words of the protocol
 *
 * Runs in:   libFuzzer
 * Input:     the fuzzer's bytes: how the rest is cut into pieces, and the text
 * May touch: memory
 * Must not:  decode otherwise than the plain reading below (protocol 3.0.2), write more
 *            than BASE64_OUT_MAX of a piece
 *
 * run: floor 78
 */
#include <string.h>

#include "ipc/base64.h"
#include "ipc/jsonw.h"
#include "tests/lib/fuzz.h"

static const char alphabet[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* All at once, a group of four after the other. False: a character that is none. */
static bool decode_plainly(const uint8_t *p, size_t len, struct wbuf *out)
{
	const char *at;
	uint32_t group = 0;
	size_t n = 0;
	bool pad[4];

	for (size_t i = 0; i < len; i++) {
		if (p[i] == '\n')
			continue;
		at = p[i] ? strchr(alphabet, p[i]) : NULL;
		if (!at && p[i] != '=')
			return false;
		pad[n++] = p[i] == '=';
		group = group * 64 + (at ? (uint32_t)(at - alphabet) : 0);
		if (n < 4)
			continue;
		wbuf_u8(out, (uint8_t)(group >> 16));
		if (!pad[2])
			wbuf_u8(out, (uint8_t)(group >> 8));
		if (!pad[3])
			wbuf_u8(out, (uint8_t)group);
		group = 0;
		n = 0;
	}
	return true;
}

/* In pieces, whose sizes follow from SEED; each into a block of the promised size. */
static bool decode(const uint8_t *p, size_t len, uint8_t seed, struct wbuf *out)
{
	struct base64 b = {0};
	uint32_t step = seed;

	for (size_t at = 0; at < len;) {
		size_t piece = len - at;
		CLEANUP(free_p) uint8_t *block = NULL;
		size_t n;

		step = step * 1103515245u + seed;
		if (seed)
			piece = min_size(piece, 1 + (step >> 16) % seed);
		block = malloc(BASE64_OUT_MAX(piece));
		must(block);
		n = base64_decode(&b, p + at, piece, block);
		must(n <= BASE64_OUT_MAX(piece));
		wbuf_put(out, block, n);
		at += piece;
	}
	return !b.invalid;
}

/* What our writer makes of the bytes, read again. */
static void check_round(const struct wbuf *bytes)
{
	CLEANUP(wbuf_free) struct wbuf text = wbuf_growing(2 * bytes->len + 8);
	CLEANUP(wbuf_free) struct wbuf again = wbuf_growing(bytes->len + 8);

	jsonw_b64(&text, bytes->p, bytes->len);
	must(!text.bad && decode(text.p + 1, text.len - 2, 0, &again));
	must(again.len == bytes->len && !memcmp(again.p, bytes->p, bytes->len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(wbuf_free) struct wbuf want = wbuf_growing(size + 8);
	CLEANUP(wbuf_free) struct wbuf got = wbuf_growing(size + 8);
	bool good;

	if (!size)
		return 0;
	good = decode_plainly(data + 1, size - 1, &want);
	must(decode(data + 1, size - 1, data[0], &got) == good);
	if (!good || !want.len)
		return 0;
	must(got.len == want.len && !memcmp(got.p, want.p, want.len));
	check_round(&want);
	return 0;
}
