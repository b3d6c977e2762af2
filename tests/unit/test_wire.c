/*
 * tests/unit/test_wire.c - bounded buffers and widths
 *
 * Runs in:   a test
 * Input:     none
 * May touch: memory
 * Must not:  round-trip only: the layout is part of what is tested
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "ipc/wire.h"

static const uint8_t layout[] = {
	0xa1,                                           /* u8 */
	0xb2, 0xb1,                                     /* u16 */
	0xc4, 0xc3, 0xc2, 0xc1,                         /* u32 */
	0xd8, 0xd7, 0xd6, 0xd5, 0xd4, 0xd3, 0xd2, 0xd1, /* u64 */
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xf8, 0xbf, /* f64: -1.5 */
	'a',  0x00, 'b',                                /* bytes */
};

static void put_all(struct wbuf *w)
{
	wbuf_u8(w, 0xa1);
	wbuf_u16(w, 0xb1b2);
	wbuf_u32(w, 0xc1c2c3c4);
	wbuf_u64(w, 0xd1d2d3d4d5d6d7d8);
	wbuf_f64(w, -1.5);
	wbuf_put(w, "a\0b", 3);
}

static void little_endian(void **state)
{
	uint8_t buf[sizeof(layout)];
	struct wbuf w = wbuf_fixed(buf, sizeof(buf));
	struct rbuf r = rbuf_of(layout, sizeof(layout));

	(void)state;
	put_all(&w);
	assert_false(w.bad);
	assert_int_equal(w.len, sizeof(layout));
	assert_memory_equal(buf, layout, sizeof(layout));

	assert_int_equal(rbuf_u8(&r), 0xa1);
	assert_int_equal(rbuf_u16(&r), 0xb1b2);
	assert_int_equal(rbuf_u32(&r), 0xc1c2c3c4);
	assert_true(rbuf_u64(&r) == 0xd1d2d3d4d5d6d7d8);
	assert_true(rbuf_f64(&r) == -1.5);
	assert_int_equal(rbuf_left(&r), 3);
	assert_false(rbuf_done(&r));
	assert_memory_equal(rbuf_take(&r, 3), "a\0b", 3);
	assert_true(rbuf_done(&r));
}

/* Whatever the width: too few bytes give 0, nothing is consumed, and it stays failed. */
static void short_input(void **state)
{
	static const size_t widths[] = {1, 2, 4, 8, 8};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(widths); i++) {
		size_t len = widths[i] - 1;
		uint8_t *copy = test_malloc(len + !len);
		struct rbuf r = rbuf_of(copy, len);
		bool zero;

		memset(copy, 0xff, len);
		zero = i == 0   ? !rbuf_u8(&r)
		       : i == 1 ? !rbuf_u16(&r)
		       : i == 2 ? !rbuf_u32(&r)
		       : i == 3 ? !rbuf_u64(&r)
				: rbuf_f64(&r) == 0.0;
		assert_true(zero);
		assert_true(r.bad);
		assert_int_equal(rbuf_left(&r), len);
		assert_null(rbuf_take(&r, 0));
		assert_false(rbuf_done(&r));
		test_free(copy);
	}
}

static void no_input(void **state)
{
	struct wbuf never_written = wbuf_growing(1);
	struct rbuf r = rbuf_of(never_written.p, never_written.len);

	(void)state;
	assert_null(r.p);
	assert_int_equal(rbuf_left(&r), 0);
	assert_true(rbuf_done(&r));
	assert_null(rbuf_take(&r, 1));
	assert_false(rbuf_done(&r));
}

static void huge_take(void **state)
{
	struct rbuf r = rbuf_of(layout, sizeof(layout));

	(void)state;
	assert_null(rbuf_take(&r, SIZE_MAX));
	assert_true(r.bad);
}

/* A fixed buffer takes exactly its size; what does not fit leaves no part behind. */
static void fixed_limit(void **state)
{
	(void)state;
	for (size_t cap = 0; cap < sizeof(layout); cap++) {
		uint8_t *buf = test_malloc(cap + !cap);
		struct wbuf w = wbuf_fixed(buf, cap);
		size_t len;

		put_all(&w);
		assert_true(w.bad);
		assert_true(w.len <= cap);
		assert_memory_equal(buf, layout, w.len);
		len = w.len;
		wbuf_u8(&w, 1);
		wbuf_put(&w, "", 0);
		assert_null(wbuf_room(&w, 0));
		assert_int_equal(w.len, len);
		wbuf_free(&w); /* must not free what is the caller's */
		test_free(buf);
	}
}

static void growing_limit(void **state)
{
	static const size_t limits[] = {0, 1, 255, 256, 257, 1000, 4096, 100000};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		CLEANUP(wbuf_free) struct wbuf w = wbuf_growing(limits[i]);

		for (size_t n = 0; n < limits[i]; n++)
			wbuf_u8(&w, (uint8_t)(n * 7));
		assert_false(w.bad);
		assert_int_equal(w.len, limits[i]);
		assert_true(w.cap <= limits[i]);
		for (size_t n = 0; n < limits[i]; n++)
			assert_int_equal(w.p[n], (uint8_t)(n * 7));
		wbuf_u8(&w, 1);
		assert_true(w.bad);
		assert_int_equal(w.len, limits[i]);
	}
}

/* Sizes near the end of the address space must not wrap. */
static void huge_put(void **state)
{
	CLEANUP(wbuf_free) struct wbuf w = wbuf_growing(1000);

	(void)state;
	wbuf_text(&w, "abc");
	assert_null(wbuf_room(&w, SIZE_MAX));
	assert_true(w.bad);
	assert_int_equal(w.len, 3);
}

static void reused_after_free(void **state)
{
	struct wbuf w = wbuf_growing(3);

	(void)state;
	wbuf_text(&w, "four");
	assert_true(w.bad);
	wbuf_free(&w);
	assert_null(w.p);
	wbuf_text(&w, "abc");
	assert_false(w.bad);
	assert_int_equal(w.len, 3);
	assert_memory_equal(w.p, "abc", 3);
	wbuf_free(&w);
}

/* Emptied memory is used again; what it held is gone, if it may have been a secret. */
static void emptied(void **state)
{
	static const uint8_t zeroes[300];

	(void)state;
	for (int plain = 0; plain < 2; plain++) {
		CLEANUP(wbuf_free) struct wbuf w = wbuf_growing(400);
		uint8_t *p;

		w.plain = plain;
		wbuf_empty(&w);
		assert_null(w.p);
		for (int i = 0; i < 300; i++)
			wbuf_u8(&w, 'x');
		p = w.p;
		w.len = 7; /* what stood behind counts as well */
		wbuf_put(&w, p, 399);
		assert_true(w.bad);
		wbuf_empty(&w);
		assert_ptr_equal(w.p, p);
		assert_int_equal(w.len, 0);
		assert_int_equal(memcmp(p, zeroes, sizeof(zeroes)) != 0, plain);
		wbuf_text(&w, "abc");
		assert_false(w.bad);
		assert_memory_equal(w.p, "abc", 3);
	}
}

/* Whether or not it is wiped, a buffer that grows takes along what it holds. */
static void grows_with_content(void **state)
{
	(void)state;
	for (int plain = 0; plain < 2; plain++) {
		CLEANUP(wbuf_free) struct wbuf w = wbuf_growing(1 << 20);

		w.plain = plain;
		for (uint32_t i = 0; i < 1 << 18; i++)
			wbuf_u32(&w, i);
		assert_false(w.bad);
		for (uint32_t i = 0; i < 1 << 18; i++)
			assert_memory_equal(w.p + i * 4, &i, 4);
		wbuf_free(&w);
		assert_int_equal(w.plain, plain);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(little_endian), cmocka_unit_test(short_input),
		cmocka_unit_test(no_input),      cmocka_unit_test(huge_take),
		cmocka_unit_test(fixed_limit),   cmocka_unit_test(growing_limit),
		cmocka_unit_test(huge_put),      cmocka_unit_test(reused_after_free),
		cmocka_unit_test(emptied),       cmocka_unit_test(grows_with_content),
	};

	return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}
