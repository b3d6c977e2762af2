/*
 * tests/unit/test_held.c - lines that wait for a thaw: what is kept, what goes, what is
 * no list of lines
 *
 * Runs in:   a test
 * Input:     lines and torn lists made up by hand
 * May touch: memory
 * Must not:  touch what is behind the list (a guard stands there)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ipc/util.h"
#include "worker/held.h"

/* In front of each packet, and its tag. */
#define HEAD  8
#define EXTRA (HEAD + 1)
#define GUARD 64

struct fixture {
	struct held_lines h;
	uint8_t guard[GUARD];
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	memset(f->guard, 0xa5, GUARD);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < GUARD; i++)
		assert_int_equal(f->guard[i], 0xa5);
	free(f);
	return 0;
}

static struct held_lines *lines_of(void **state)
{
	struct fixture *f = *state;

	return &f->h;
}

static bool put(struct held_lines *h, bool must, const char *text)
{
	return held_put(h, must, 'l', text, strlen(text));
}

/* A line of SIZE bytes, head and tag included, that begins with NUMBER. */
static bool put_sized(struct held_lines *h, bool must, uint32_t number, size_t size)
{
	static uint8_t line[HELD_MAX];

	memcpy(line, &number, sizeof(number));
	return held_put(h, must, must ? 'a' : 'l', line, size - EXTRA);
}

/* The next line is TEXT. */
static void gives(const struct held_lines *h, size_t *at, const char *text)
{
	size_t len;
	const uint8_t *p = held_next(h, at, &len);

	assert_non_null(p);
	assert_int_equal(len, strlen(text) + 1);
	assert_int_equal(p[0], 'l');
	assert_memory_equal(p + 1, text, len - 1);
}

static void ends(const struct held_lines *h, size_t *at)
{
	size_t len;

	assert_null(held_next(h, at, &len));
	assert_int_equal(*at, h->used);
}

/* What `used` and `plain` say is what the packets are. */
static void assert_sound(struct held_lines *h)
{
	struct held_lines *copy = malloc(sizeof(*copy));

	memcpy(copy, h, sizeof(*copy));
	held_check(copy);
	assert_int_equal(copy->used, h->used);
	assert_int_equal(copy->plain, h->plain);
	assert_true(h->used <= HELD_MAX);
	assert_true(h->plain <= HELD_MAX / 2);
	free(copy);
}

static void in_their_order(void **state)
{
	struct held_lines *h = lines_of(state);
	size_t at = 0;

	ends(h, &at);
	assert_true(put(h, false, "one"));
	assert_true(put(h, true, "two"));
	assert_true(put(h, false, ""));
	assert_true(put(h, true, "four\n"));
	assert_sound(h);
	gives(h, &at, "one");
	gives(h, &at, "two");
	gives(h, &at, "");
	gives(h, &at, "four\n");
	ends(h, &at);
	assert_int_equal(h->plain, 2 * EXTRA + 3);
	assert_int_equal(h->dropped, 0);
}

static void tags_are_kept(void **state)
{
	struct held_lines *h = lines_of(state);
	size_t at = 0, len;

	for (int tag = 0; tag < 256; tag++)
		assert_true(held_put(h, tag & 1, (uint8_t)tag, "x", 1));
	for (int tag = 0; tag < 256; tag++) {
		const uint8_t *p = held_next(h, &at, &len);

		assert_int_equal(len, 2);
		assert_int_equal(p[0], tag);
	}
	ends(h, &at);
}

static void forgotten_from_the_front(void **state)
{
	struct held_lines *h = lines_of(state);
	size_t at = 0, len;

	put(h, false, "one");
	put(h, true, "two");
	put(h, false, "three");
	held_forget(h, 0);
	assert_sound(h);
	held_next(h, &at, &len);
	held_forget(h, at);
	assert_sound(h);
	assert_int_equal(h->plain, EXTRA + 5);
	at = 0;
	gives(h, &at, "two");
	held_forget(h, at);
	assert_sound(h);
	/* There is room again, behind what is left. */
	put(h, true, "four");
	at = 0;
	gives(h, &at, "three");
	gives(h, &at, "four");
	ends(h, &at);
	held_forget(h, at);
	assert_int_equal(h->used, 0);
	assert_int_equal(h->plain, 0);
}

/* Plain ones have half of the room; then the oldest of them go, and are counted. */
static void plain_ones_make_room(void **state)
{
	struct held_lines *h = lines_of(state);
	const size_t size = 1024;
	const uint32_t fit = HELD_MAX / 2 / size;
	size_t at = 0, len;
	uint32_t number, first;

	for (uint32_t i = 0; i < fit; i++)
		assert_true(put_sized(h, false, i, size));
	assert_int_equal(h->dropped, 0);
	for (uint32_t i = fit; i < 3 * fit; i++) {
		assert_true(put_sized(h, false, i, size));
		assert_true(h->plain <= HELD_MAX / 2);
	}
	assert_sound(h);
	/* What is there are the youngest, without a gap; the others were counted. */
	memcpy(&number, held_next(h, &at, &len) + 1, sizeof(number));
	first = number;
	assert_int_equal(h->dropped, first);
	for (uint32_t i = first + 1; i < 3 * fit; i++) {
		memcpy(&number, held_next(h, &at, &len) + 1, sizeof(number));
		assert_int_equal(number, i);
	}
	ends(h, &at);
	/* Not more than a part goes at once. */
	assert_true(h->plain > HELD_MAX / 2 - HELD_MAX / 8);
}

/* What must stay takes the place of plain ones, and keeps its own. */
static void what_must_stay(void **state)
{
	struct held_lines *h = lines_of(state);
	const size_t size = 4096;
	const uint32_t fit = HELD_MAX / size;
	size_t at = 0, len;

	for (uint32_t i = 0; i < fit / 2; i++)
		assert_true(put_sized(h, false, 1000 + i, size));
	for (uint32_t i = 0; i < fit; i++)
		assert_true(put_sized(h, true, i, size));
	assert_sound(h);
	assert_int_equal(h->plain, 0);
	assert_int_equal(h->dropped, fit / 2);
	assert_int_equal(h->used, HELD_MAX);
	/* Now it is full, for either. */
	assert_false(put(h, true, "x"));
	assert_false(put(h, false, "x"));
	assert_int_equal(h->dropped, fit / 2);
	for (uint32_t i = 0; i < fit; i++) {
		const uint8_t *p = held_next(h, &at, &len);
		uint32_t number;

		assert_int_equal(p[0], 'a');
		memcpy(&number, p + 1, sizeof(number));
		assert_int_equal(number, i);
	}
	ends(h, &at);
	/* What was sent makes room. */
	at = 0;
	held_next(h, &at, &len);
	held_forget(h, at);
	assert_true(put(h, true, "x"));
}

/* Between those that must stay, in any order, plain ones go oldest first. */
static void mixed(void **state)
{
	struct held_lines *h = lines_of(state);
	uint32_t musts = 0, plains = 0, number, want_must = 0, last_plain = 0;
	bool any_plain = false;
	size_t at = 0, len;
	const uint8_t *p;
	uint64_t kept = 0;

	srandom(7);
	for (int i = 0; i < 4000; i++) {
		bool must = random() % 4 == 0;
		size_t size = EXTRA + 4 + (size_t)random() % 700;

		if (must && put_sized(h, true, musts, size))
			musts++;
		if (!must && put_sized(h, false, plains, size))
			plains++;
		if (i % 500 == 0)
			assert_sound(h);
	}
	assert_sound(h);
	while ((p = held_next(h, &at, &len))) {
		memcpy(&number, p + 1, sizeof(number));
		if (p[0] == 'a') {
			assert_int_equal(number, want_must++);
			continue;
		}
		if (any_plain)
			assert_int_equal(number, last_plain + 1);
		any_plain = true;
		last_plain = number;
		kept++;
	}
	assert_int_equal(want_must, musts);
	assert_int_equal(last_plain, plains - 1);
	assert_int_equal(kept + h->dropped, plains);
}

/* One that is larger than its half, or than all, is lost. */
static void too_large(void **state)
{
	struct held_lines *h = lines_of(state);
	size_t at = 0;

	put(h, true, "one");
	assert_false(put_sized(h, false, 0, HELD_MAX / 2 + 1));
	assert_false(put_sized(h, true, 0, HELD_MAX + 1));
	assert_true(put_sized(h, true, 0, HELD_MAX / 2 + 1));
	gives(h, &at, "one");
	assert_sound(h);
}

/* ---- what a worker that died may have left ---- */

static void put_head(struct held_lines *h, size_t at, uint32_t len, uint32_t must)
{
	memcpy(h->bytes + at, &len, sizeof(len));
	memcpy(h->bytes + at + sizeof(len), &must, sizeof(must));
}

static void assert_emptied(struct held_lines *h)
{
	size_t at = 0;

	held_check(h);
	assert_int_equal(h->used, 0);
	assert_int_equal(h->plain, 0);
	ends(h, &at);
	assert_true(put(h, false, "again"));
	gives(h, &at, "again");
	h->used = h->plain = 0;
}

static void a_whole_list_is_believed(void **state)
{
	struct held_lines *h = lines_of(state);
	size_t at = 0;

	put(h, false, "one");
	put(h, true, "two");
	h->dropped = 3;
	h->plain = 12345678; /* this was not written yet, or was torn */
	held_check(h);
	assert_int_equal(h->plain, EXTRA + 3);
	assert_int_equal(h->dropped, 3);
	gives(h, &at, "one");
	gives(h, &at, "two");
	ends(h, &at);
}

/* The worker died within held_put: the line is there, and not yet counted. */
static void half_written_is_not_there(void **state)
{
	struct held_lines *h = lines_of(state);
	uint32_t used;
	size_t at = 0;

	put(h, false, "one");
	used = h->used;
	put(h, false, "two");
	h->used = used;
	held_check(h);
	gives(h, &at, "one");
	ends(h, &at);
	assert_int_equal(h->plain, EXTRA + 3);
}

static void torn_lists(void **state)
{
	struct held_lines *h = lines_of(state);
	static const uint32_t lengths[] = {
		0, 100, 101, HELD_MAX, UINT32_MAX, UINT32_MAX - HEAD, 1u << 31};

	/* Longer than the room. */
	h->used = HELD_MAX + 1;
	assert_emptied(h);
	h->used = UINT32_MAX;
	assert_emptied(h);
	/* A packet that goes beyond the end, or has no length. */
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		h->used = HEAD + 99;
		put_head(h, 0, lengths[i], 1);
		assert_emptied(h);
	}
	/* No room for a head. */
	for (uint32_t used = 1; used < HEAD; used++) {
		h->used = used;
		put_head(h, 0, 1, 0);
		assert_emptied(h);
	}
	/* The last of many. */
	for (int i = 0; i < 100; i++)
		put(h, i & 1, "line");
	h->used += 5;
	assert_emptied(h);
	for (int i = 0; i < 100; i++)
		put(h, i & 1, "line");
	put_head(h, h->used - EXTRA - 4, 6, 0);
	assert_emptied(h);
	/* Full to the last byte, and one too long. */
	put_head(h, 0, HELD_MAX - HEAD, 1);
	h->used = HELD_MAX;
	held_check(h);
	assert_int_equal(h->used, HELD_MAX);
	put_head(h, 0, HELD_MAX - HEAD + 1, 1);
	assert_emptied(h);
}

/* More plain bytes than they may have, as only a stranger writes them. */
static void too_many_plain_ones(void **state)
{
	struct held_lines *h = lines_of(state);

	put_head(h, 0, HELD_MAX - HEAD, 0);
	h->used = HELD_MAX;
	held_check(h);
	assert_true(put(h, false, "x") || put(h, true, "x") || h->used <= HELD_MAX);
	assert_true(h->used <= HELD_MAX);
}

static void noise(void **state)
{
	struct held_lines *h = lines_of(state);

	srandom(11);
	for (int round = 0; round < 300; round++) {
		size_t at = 0, len;

		for (size_t i = 0; i < 4096; i++)
			h->bytes[i] = (uint8_t)(random() % 4 ? 0 : random());
		h->used = (uint32_t)random() % 4096;
		held_check(h);
		while (held_next(h, &at, &len))
			assert_true(at <= h->used);
		assert_true(put(h, round & 1, "x"));
		held_forget(h, at);
		assert_true(h->used <= 4096 + 64);
	}
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	static const struct CMUnitTest tests[] = {
		WITH(in_their_order),
		WITH(tags_are_kept),
		WITH(forgotten_from_the_front),
		WITH(plain_ones_make_room),
		WITH(what_must_stay),
		WITH(mixed),
		WITH(too_large),
		WITH(a_whole_list_is_believed),
		WITH(half_written_is_not_there),
		WITH(torn_lists),
		WITH(too_many_plain_ones),
		WITH(noise),
	};

	return cmocka_run_group_tests_name("held", tests, NULL, NULL);
}
