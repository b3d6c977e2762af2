/*
 * tests/unit/test_jsonw.c - JSON text out
 *
 * Runs in:   a test
 * Input:     protocol 1.3: escapes, numbers, base64
 * May touch: memory
 * Must not:  -
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "ipc/jsonw.h"

#define STR(in, out)                    \
	{                               \
		in, sizeof(in) - 1, out \
	}
static const struct {
	const char *in;
	size_t len;
	const char *out;
} strings[] = {
	STR("", "\"\""),
	STR("plain ~/", "\"plain ~/\""),
	STR("\"\\'", "\"\\\"\\\\'\""),
	STR("\b\f\n\r\t", "\"\\b\\f\\n\\r\\t\""),
	STR("\0\001\037\177", "\"\\u0000\\u0001\\u001F\\u007F\""),
	STR("\xc3\xa9\xe2\x82\xac", "\"\\u00E9\\u20AC\""),
	STR("\xf0\x9f\x98\x80\xf4\x8f\xbf\xbd", "\"\\uD83D\\uDE00\\uDBFF\\uDFFD\""),
	/* One replacement for each byte that is not UTF-8 ... */
	STR("\xff", "\"\\uFFFD\""),
	STR("a\x80z", "\"a\\uFFFDz\""),
	STR("\xc0\x80", "\"\\uFFFD\\uFFFD\""),
	STR("\xe0\x9f\xbf", "\"\\uFFFD\\uFFFD\\uFFFD\""),
	STR("\xed\xa0\x80", "\"\\uFFFD\\uFFFD\\uFFFD\""),
	STR("\xf4\x90\x80\x80", "\"\\uFFFD\\uFFFD\\uFFFD\\uFFFD\""),
	STR("\xf8", "\"\\uFFFD\""),
	STR("\xe2\x82", "\"\\uFFFD\\uFFFD\""),
	STR("\xe2\x82z", "\"\\uFFFD\\uFFFDz\""),
	/* ... and one for a noncharacter. */
	STR("\xef\xbf\xbf\xef\xb7\x90\xf0\x9f\xbf\xbe", "\"\\uFFFD\\uFFFD\\uFFFD\""),
};

/* What was written, as a string; empties W. */
static void written(struct wbuf *w, const char *want)
{
	assert_false(w->bad);
	wbuf_u8(w, 0);
	assert_string_equal((const char *)w->p, want);
	w->len = 0;
}

static void str(void **state)
{
	CLEANUP(wbuf_free) struct wbuf w = wbuf_growing(4096);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(strings); i++) {
		jsonw_str(&w, strings[i].in, strings[i].len);
		written(&w, strings[i].out);
	}
	jsonw_cstr(&w, "a\nb");
	written(&w, "\"a\\nb\"");
}

/* Whatever comes in, nothing but printable ASCII goes out. */
static void str_is_ascii(void **state)
{
	CLEANUP(wbuf_free) struct wbuf w = wbuf_growing(1 << 20);

	(void)state;
	for (unsigned v = 0; v < 0x10000; v++) {
		const char in[] = {(char)(v >> 8), (char)v, 'x'};

		w.len = 0;
		jsonw_str(&w, in, sizeof(in));
		assert_false(w.bad);
		for (size_t i = 0; i < w.len; i++)
			assert_in_range(w.p[i], 0x20, 0x7E);
	}
}

static void numbers(void **state)
{
	CLEANUP(wbuf_free) struct wbuf w = wbuf_growing(4096);

	(void)state;
	jsonw_i64(&w, INT64_MIN);
	written(&w, "-9223372036854775808");
	jsonw_u64(&w, UINT64_MAX);
	written(&w, "18446744073709551615");
	jsonw_num(&w, 1.0);
	written(&w, "1");
	jsonw_num(&w, 0.1);
	written(&w, "0.10000000000000001");
	jsonw_num(&w, -0.0);
	written(&w, "-0");
	jsonw_num(&w, -1.7976931348623157e308);
	written(&w, "-1.7976931348623157e+308");
	jsonw_bool(&w, true);
	jsonw_bool(&w, false);
	written(&w, "truefalse");
}

static void b64(void **state)
{
	static const char *const forms[] = {"\"\"", "\"aA==\"", "\"aGU=\"", "\"aGVs\"",
					    "\"aGVsbA==\""};
	CLEANUP(wbuf_free) struct wbuf w = wbuf_growing(4096);

	(void)state;
	for (size_t len = 0; len < ARRAY_SIZE(forms); len++) {
		jsonw_b64(&w, (const uint8_t *)"hello", len);
		written(&w, forms[len]);
	}
	jsonw_b64(&w, (const uint8_t *)"\xfb\xff\xbf", 3);
	written(&w, "\"+/+/\"");
}

/* The limit of the buffer holds for each of the writers. */
static void limits(void **state)
{
	uint8_t room[16];

	(void)state;
	for (size_t cap = 0; cap < 8; cap++) {
		struct wbuf w = wbuf_fixed(room, cap);

		memset(room, 0xAA, sizeof(room));
		jsonw_str(&w, "\n\n\n", 3); /* 8 bytes with its quotes */
		assert_true(w.bad);
		assert_int_equal(room[cap], 0xAA);
		w = wbuf_fixed(room, cap);
		jsonw_b64(&w, (const uint8_t *)"hello", 5); /* 10 */
		assert_true(w.bad);
		assert_int_equal(room[cap], 0xAA);
	}
}

static void utf8(void **state)
{
	uint32_t cp = 0;

	(void)state;
	assert_int_equal(utf8_next((const uint8_t *)"a", 1, &cp), 1);
	assert_int_equal(cp, 'a');
	assert_int_equal(utf8_next((const uint8_t *)"\xdf\xbf", 2, &cp), 2);
	assert_int_equal(cp, 0x7FF);
	assert_int_equal(utf8_next((const uint8_t *)"\xef\xbf\xbf", 3, &cp), 3);
	assert_int_equal(cp, 0xFFFF);
	assert_int_equal(utf8_next((const uint8_t *)"\xf4\x8f\xbf\xbf", 4, &cp), 4);
	assert_int_equal(cp, 0x10FFFF);
	assert_int_equal(utf8_next((const uint8_t *)"\xf4\x8f\xbf\xbf", 3, &cp), 0);
	assert_int_equal(utf8_next((const uint8_t *)"\xf4\x90\x80\x80", 4, &cp), 0);
	assert_int_equal(utf8_next((const uint8_t *)"\xc1\xbf", 2, &cp), 0);
	assert_int_equal(cp, 0x10FFFF);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(str),     cmocka_unit_test(str_is_ascii),
		cmocka_unit_test(numbers), cmocka_unit_test(b64),
		cmocka_unit_test(limits),  cmocka_unit_test(utf8),
	};

	return cmocka_run_group_tests_name("jsonw", tests, NULL, NULL);
}
