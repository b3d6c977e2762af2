/*
 * tests/unit/test_base64.c - base64 in, as it streams
 *
 * Runs in:   a test
 * Input:     protocol 3.0.2 and conformance rows 195 to 199
 * May touch: memory
 * Must not:  depend on how the input is cut: that is what is tested
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "ipc/base64.h"
#include "ipc/jsonw.h"

static const struct {
	const char *in;
	const char *out;
	size_t len;
	bool invalid;
} cases[] = {
	{"", "", 0, false},
	{"aGVsbG8=", "hello", 5, false},
	{"aGVs\nbG8=", "hello", 5, false},
	{"\na\nG\nV\ns\n", "hel", 3, false},
	{"YW", "", 0, false},
	{"YWJjYW", "abc", 3, false},
	{"YQ==YWJj", "aabc", 4, false},
	{"====", "\0", 1, false},
	{"A=A=", "\0\0", 2, false},
	{"AQ=D", "\1\3", 2, false},
	{"+/+/", "\xfb\xff\xbf", 3, false},
	{"aGVs bG8=", NULL, 0, true},
	{"aGVs\r\nbG8=", NULL, 0, true},
	{"-_-_", NULL, 0, true},
	{"YQ=\x80", NULL, 0, true},
	{"!", NULL, 0, true},
};

/* Decode in pieces of at most PIECE bytes; the output has exactly the promised room. */
static void check_case(size_t i, size_t piece)
{
	struct base64 b = {0};
	size_t len = strlen(cases[i].in), got = 0;
	uint8_t all[64];

	for (size_t at = 0, n; at < len; at += n) {
		uint8_t *out;
		size_t wrote;

		n = min_size(piece, len - at);
		out = test_malloc(BASE64_OUT_MAX(n));
		wrote = base64_decode(&b, (const uint8_t *)cases[i].in + at, n, out);
		assert_true(wrote <= BASE64_OUT_MAX(n) && got + wrote <= sizeof(all));
		memcpy(all + got, out, wrote);
		got += wrote;
		test_free(out);
	}
	assert_int_equal(b.invalid, cases[i].invalid);
	if (cases[i].invalid)
		return;
	assert_int_equal(got, cases[i].len);
	assert_memory_equal(all, cases[i].out, got);
}

static void cut_anywhere(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		for (size_t piece = 1; piece <= 10; piece++)
			check_case(i, piece);
}

static void alphabet(void **state)
{
	static const char good[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				   "0123456789+/=\n";
	(void)state;
	for (int c = 0; c < 256; c++) {
		struct base64 b = {0};
		uint8_t in = (uint8_t)c, out[BASE64_OUT_MAX(1)];

		base64_decode(&b, &in, 1, out);
		assert_int_equal(b.invalid, !memchr(good, c, sizeof(good) - 1));
	}
}

/* What the writer encodes comes back, for every length of the last group. */
static void round_trip(void **state)
{
	uint8_t bytes[256], out[BASE64_OUT_MAX(512)];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 167 + 13);
	for (size_t len = 0; len <= sizeof(bytes); len++) {
		CLEANUP(wbuf_free) struct wbuf w = wbuf_growing(512);
		struct base64 b = {0};

		jsonw_b64(&w, bytes, len);
		assert_false(w.bad);
		assert_int_equal(base64_decode(&b, w.p + 1, w.len - 2, out), len);
		assert_false(b.invalid);
		assert_memory_equal(out, bytes, len);
	}
}

/* Of many bytes, as of few: blocks of a processor's own are begun, and left off,
 * anywhere. */
static void blocks(void **state)
{
	static const uint8_t odd[] = {'\n', '=', '-', 0x80, 0xff};
	uint8_t bytes[200], text[BASE64_TEXT_LEN(200)], again[BASE64_TEXT_LEN(200)];
	uint8_t out[BASE64_OUT_MAX(sizeof(text))], want[sizeof(out)];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 89 + (i >> 2));
	base64_encode(bytes, sizeof(bytes), text);
	for (size_t i = 0; i < sizeof(bytes); i += 3)
		base64_encode(bytes + i, min_size(3, sizeof(bytes) - i),
			      again + i / 3 * 4);
	assert_memory_equal(text, again, sizeof(text));
	for (size_t at = 0; at < 120; at++)
		for (size_t i = 0; i < ARRAY_SIZE(odd); i++) {
			struct base64 whole = {0}, cut = {0};
			size_t n = 0, kept = text[at];

			text[at] = odd[i];
			for (size_t p = 0; p < sizeof(text); p++)
				n += base64_decode(&cut, text + p, 1, want + n);
			assert_int_equal(base64_decode(&whole, text, sizeof(text), out),
					 n);
			assert_int_equal(whole.invalid, cut.invalid);
			assert_memory_equal(out, want, n);
			text[at] = (uint8_t)kept;
		}
}

/* Every byte, in each place of a block. */
static void no_block_takes_what_is_no_character(void **state)
{
	(void)state;
	for (size_t at = 0; at < 64; at++)
		for (int c = 0; c < 256; c++) {
			struct base64 whole = {0}, alone = {0};
			uint8_t in[64], out[BASE64_OUT_MAX(64)], one = (uint8_t)c;

			memset(in, 'A', sizeof(in));
			in[at] = one;
			base64_decode(&whole, in, sizeof(in), out);
			base64_decode(&alone, &one, 1, out);
			assert_int_equal(whole.invalid, alone.invalid);
		}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(cut_anywhere),
		cmocka_unit_test(alphabet),
		cmocka_unit_test(round_trip),
		cmocka_unit_test(blocks),
		cmocka_unit_test(no_block_takes_what_is_no_character),
	};

	return cmocka_run_group_tests_name("base64", tests, NULL, NULL);
}
