/*
 * tests/unit/test_held.c - what cannot be written yet: what is kept, what goes, whose it
 * was, what is no list of packets
 *
 * Runs in:   a test
 * Input:     packets and torn lists made up by hand
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

/* In front of each packet, as worker/held.c has it. */
struct head {
	uint32_t len;
	uint32_t kind;
	uint64_t session;
	uint64_t dropped;
};
#define HEAD   sizeof(struct head)
#define GUARD  64
#define FORMAT 7 /* of the records */

struct fixture {
	struct held h;
	uint8_t guard[GUARD];
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	memset(f->guard, 0xa5, GUARD);
	held_check(&f->h, FORMAT);
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

static struct held *held_of(void **state)
{
	struct fixture *f = *state;

	return &f->h;
}

static bool put(struct held *h, enum held_kind kind, uint64_t session, const char *text)
{
	const struct packet packet = {
		.kind = kind,
		.session = session,
		.p = (const uint8_t *)text,
		.len = strlen(text),
	};

	return held_put(h, &packet, 0);
}

/* A packet of SIZE bytes, head included, that begins with NUMBER; RESERVE as told. */
static bool put_reserve(struct held *h, enum held_kind kind, uint64_t session,
			uint32_t number, size_t size, size_t reserve)
{
	static uint8_t bytes[2 * HELD_MAX];
	const struct packet packet = {
		.kind = kind,
		.session = session,
		.p = bytes,
		.len = size - HEAD,
	};

	memcpy(bytes, &number, sizeof(number));
	return held_put(h, &packet, reserve);
}

static bool put_sized(struct held *h, enum held_kind kind, uint64_t session,
		      uint32_t number, size_t size)
{
	return put_reserve(h, kind, session, number, size, 0);
}

/* ---- what is there ---- */

#define SEEN_MAX 65536
static struct seen {
	enum held_kind kind;
	uint64_t session;
	uint64_t dropped;
	uint32_t number; /* the first four bytes */
	size_t len;
	char text[16];
} seen[SEEN_MAX];

struct taker {
	size_t n;    /* taken so far */
	size_t most; /* then it says no */
};

static bool take(void *context, const struct packet *p)
{
	struct taker *t = context;
	struct seen *s = &seen[t->n];

	if (t->n == t->most)
		return false;
	*s = (struct seen){
		.kind = p->kind,
		.session = p->session,
		.dropped = p->dropped,
		.len = p->len,
	};
	memcpy(&s->number, p->p, min_size(p->len, sizeof(s->number)));
	memcpy(s->text, p->p, min_size(p->len, sizeof(s->text) - 1));
	t->n++;
	return true;
}

/* What of_kind and `used` say is what the packets are, and within the rooms. */
static void assert_sound(const struct held *h)
{
	struct held *copy = malloc(sizeof(*copy));
	size_t sum = 0;

	memcpy(copy, h, sizeof(*copy));
	held_check(copy, h->format);
	assert_int_equal(copy->used, h->used);
	assert_int_equal(copy->dropped, h->dropped);
	for (enum held_kind k = 0; k < HELD_KINDS; k++) {
		assert_int_equal(copy->of_kind[k], h->of_kind[k]);
		assert_true(h->of_kind[k] <= held_room(k));
		sum += h->of_kind[k];
	}
	assert_int_equal(sum, h->used);
	free(copy);
}

/* Take up to MOST; how many there were, which are in `seen`. */
static size_t give_some(struct held *h, bool lines, size_t most)
{
	struct taker t = {.most = most};
	bool all = held_give(h, lines, take, &t);

	assert_int_equal(all, !held_waits(h, lines));
	assert_sound(h);
	return t.n;
}

static size_t give(struct held *h, bool lines)
{
	size_t n = give_some(h, lines, SEEN_MAX);

	assert_false(held_waits(h, lines));
	return n;
}

static void ends(struct held *h)
{
	assert_int_equal(give(h, false), 0);
	assert_int_equal(give(h, true), 0);
	assert_int_equal(h->used, 0);
}

/* ---- order ---- */

static void in_their_order(void **state)
{
	struct held *h = held_of(state);

	ends(h);
	assert_true(put(h, HELD_NOTE, 1, "one"));
	assert_true(put(h, HELD_ACT, 2, "two"));
	assert_true(put(h, HELD_OWN, 0, "three"));
	assert_true(put(h, HELD_READ, 1, "four\n"));
	assert_true(put(h, HELD_DENIED, UINT64_MAX, "five"));
	assert_sound(h);
	assert_int_equal(give(h, false), 5);
	assert_string_equal(seen[0].text, "one");
	assert_string_equal(seen[1].text, "two");
	assert_string_equal(seen[2].text, "three");
	assert_string_equal(seen[3].text, "four\n");
	assert_string_equal(seen[4].text, "five");
	assert_int_equal(seen[0].kind, HELD_NOTE);
	assert_int_equal(seen[4].kind, HELD_DENIED);
	assert_true(seen[4].session == UINT64_MAX);
	assert_int_equal(h->dropped, 0);
	ends(h);
}

/* Lines and records go different ways, and one may be stuck while the other is not. */
static void lines_apart_from_records(void **state)
{
	struct held *h = held_of(state);

	assert_true(put(h, HELD_LINE, 0, "line one"));
	assert_false(held_waits(h, false));
	assert_true(held_waits(h, true));
	assert_true(put(h, HELD_ACT, 1, "record one"));
	assert_true(put(h, HELD_LINE, 0, "line two"));
	assert_true(put(h, HELD_READ, 1, "record two"));
	assert_true(held_waits(h, false));

	assert_int_equal(give(h, true), 2);
	assert_string_equal(seen[0].text, "line one");
	assert_string_equal(seen[1].text, "line two");
	assert_true(held_waits(h, false));
	assert_true(put(h, HELD_LINE, 0, "line three"));
	assert_int_equal(give(h, false), 2);
	assert_string_equal(seen[0].text, "record one");
	assert_string_equal(seen[1].text, "record two");
	assert_true(held_waits(h, true));
	assert_int_equal(give(h, true), 1);
	assert_string_equal(seen[0].text, "line three");
	ends(h);
}

/* What was not taken stays, in its order, and there is room behind it. */
static void given_in_parts(void **state)
{
	struct held *h = held_of(state);

	for (uint32_t i = 0; i < 100; i++) {
		assert_true(put_sized(h, HELD_READ, 1, i, HEAD + 4 + i));
		assert_true(put_sized(h, HELD_LINE, 0, 1000 + i, HEAD + 4));
	}
	assert_int_equal(give_some(h, false, 0), 0);
	assert_int_equal(give_some(h, false, 40), 40);
	assert_int_equal(seen[39].number, 39);
	assert_int_equal(give_some(h, true, 99), 99);
	assert_int_equal(seen[98].number, 1098);
	for (uint32_t i = 100; i < 120; i++)
		assert_true(put_sized(h, HELD_READ, 1, i, HEAD + 4));
	assert_int_equal(give(h, false), 80);
	for (uint32_t i = 0; i < 80; i++)
		assert_int_equal(seen[i].number, 40 + i);
	assert_int_equal(give(h, true), 1);
	assert_int_equal(seen[0].number, 1099);
	ends(h);
}

/* ---- rooms ---- */

/* Each kind has its own room to the last byte, whatever the others take. */
static void rooms_of_their_own(void **state)
{
	struct held *h = held_of(state);
	size_t sum = 0;

	for (enum held_kind k = 0; k < HELD_KINDS; k++) {
		const uint32_t fit = (uint32_t)(held_room(k) / 1024);

		assert_int_equal(held_room(k) % 1024, 0);
		sum += held_room(k);
		/* Of many sessions, of which none has most of it. */
		for (uint32_t i = 0; i < fit; i++)
			assert_true(put_sized(h, k, i, k * 10000 + i, 1024));
		assert_int_equal(h->of_kind[k], held_room(k));
		assert_false(put(h, k, fit, "x"));
		assert_sound(h);
	}
	assert_true(sum <= HELD_MAX);
	assert_int_equal(h->dropped, 0);
	assert_int_equal(h->lines_dropped, 0);
	assert_int_equal(give(h, true), held_room(HELD_LINE) / 1024);
	assert_int_equal(give(h, false), (sum - held_room(HELD_LINE)) / 1024);
	assert_int_equal(seen[0].number, 0);
	assert_int_equal(seen[held_room(HELD_ACT) / 1024].number, HELD_DENIED * 10000);
	ends(h);
}

/* A change that was recorded stays, even against its own session. */
static void changes_are_never_dropped(void **state)
{
	struct held *h = held_of(state);
	const uint32_t fit = (uint32_t)(held_room(HELD_ACT) / 1024);

	for (uint32_t i = 0; i < fit; i++)
		assert_true(put_sized(h, HELD_ACT, 1, i, 1024));
	assert_false(put(h, HELD_ACT, 1, "x"));
	assert_false(put(h, HELD_ACT, 2, "x"));
	for (uint32_t i = 0; i < 2000; i++)
		put_sized(h, (enum held_kind)(1 + i % (HELD_KINDS - 1)), i % 3, i, 1024);
	assert_false(put(h, HELD_ACT, 2, "x"));
	assert_int_equal(h->of_kind[HELD_ACT], held_room(HELD_ACT));
	/* What was written makes room. */
	assert_int_equal(give_some(h, false, 1), 1);
	assert_int_equal(seen[0].number, 0);
	assert_true(put(h, HELD_ACT, 1, "last"));
	give(h, false);
	for (uint32_t i = 1; i < fit; i++)
		assert_int_equal(seen[i - 1].number, i);
}

/* What is offered leaves room for the ends of what was begun. */
static void a_reserve(void **state)
{
	struct held *h = held_of(state);
	const size_t room = held_room(HELD_ACT), size = 4096;
	const uint32_t fit = (uint32_t)((room - HELD_RESERVE) / size);

	for (uint32_t i = 0; i < fit; i++)
		assert_true(put_reserve(h, HELD_ACT, 1, i, size, HELD_RESERVE));
	assert_int_equal(h->of_kind[HELD_ACT], room - HELD_RESERVE);
	assert_false(put_reserve(h, HELD_ACT, 1, 0, HEAD + 4, HELD_RESERVE));
	for (uint32_t i = 0; i < HELD_RESERVE / size; i++)
		assert_true(put_sized(h, HELD_ACT, 1, fit + i, size));
	assert_false(put(h, HELD_ACT, 1, "x"));
	assert_int_equal(h->dropped, 0);
	assert_int_equal(give(h, false), room / size);
	/* One that can never leave it. */
	assert_false(
		put_reserve(h, HELD_ACT, 1, 0, room - HELD_RESERVE + 1, HELD_RESERVE));
	assert_true(put_reserve(h, HELD_ACT, 1, 0, room - HELD_RESERVE, HELD_RESERVE));
}

/* One that is larger than its room is lost, and pushes nothing out. */
static void too_large(void **state)
{
	struct held *h = held_of(state);

	for (enum held_kind k = 0; k < HELD_KINDS; k++) {
		assert_true(put(h, k, 1, "one"));
		assert_false(put_sized(h, k, 1, 0, held_room(k) + 1));
		assert_false(put_sized(h, k, 1, 0, held_room(k) + HELD_MAX));
	}
	assert_int_equal(h->dropped, 0);
	assert_sound(h);
	assert_int_equal(give(h, true), 1);
	assert_int_equal(give(h, false), HELD_KINDS - 1);
	for (enum held_kind k = 0; k < HELD_KINDS; k++) {
		assert_true(put_sized(h, k, 1, 0, held_room(k)));
		assert_int_equal(h->of_kind[k], held_room(k));
	}
}

/* ---- sessions ---- */

/* One session alone: its oldest go, a part at a time, and are counted. */
static void a_session_pushes_out_its_own(void **state)
{
	struct held *h = held_of(state);
	const size_t size = 256;
	const uint32_t fit = (uint32_t)(held_room(HELD_READ) / size), total = 3 * fit;
	size_t n;

	for (uint32_t i = 0; i < fit; i++)
		assert_true(put_sized(h, HELD_READ, 5, i, size));
	assert_int_equal(h->dropped, 0);
	for (uint32_t i = fit; i < total; i++)
		assert_true(put_sized(h, HELD_READ, 5, i, size));
	assert_sound(h);
	/* Not more than a part goes at once. */
	assert_true(h->of_kind[HELD_READ] > held_room(HELD_READ) / 8 * 7);
	n = give(h, false);
	assert_int_equal(h->dropped + n, total);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(seen[i].number, total - n + i);
}

/* A flood of one session leaves what the others have, whenever that came. */
static void a_flood_of_one_session(void **state)
{
	for (enum held_kind k = HELD_ACT + 1; k < HELD_KINDS; k++) {
		struct held *h = held_of(state);
		const size_t size = 128;
		const uint32_t fit = (uint32_t)(held_room(k) / size);
		const uint32_t others = fit / 2 - 2; /* together less than half */
		uint32_t placed = 0, want = 0, last = 0;
		uint64_t flood = 0, left = 0, *dropped;
		size_t n;

		dropped = k == HELD_LINE ? &h->lines_dropped : &h->dropped;
		*dropped = 0;
		for (uint32_t i = 0; i < 6 * fit; i++) {
			/* In between, before the room is full and after. */
			if (i % 9 == 0 && placed < others)
				assert_true(put_sized(h, k, 2 + i % 5, placed++, size));
			assert_true(put_sized(h, k, 1, i, size));
			flood++;
		}
		assert_int_equal(placed, others);
		assert_sound(h);
		n = give(h, k == HELD_LINE);
		for (size_t i = 0; i < n; i++) {
			if (seen[i].session == 1) {
				if (left++)
					assert_int_equal(seen[i].number, last + 1);
				last = seen[i].number;
			} else {
				assert_int_equal(seen[i].number, want++);
			}
		}
		assert_int_equal(want, others);
		assert_int_equal(last, 6 * fit - 1);
		assert_int_equal(left + *dropped, flood);
		ends(h);
	}
}

/* Sessions that are told apart by nothing but their number push nothing out. */
static void a_flood_of_many_sessions(void **state)
{
	struct held *h = held_of(state);
	const size_t size = 512;
	const uint32_t fit = (uint32_t)(held_room(HELD_NOTE) / size);
	uint64_t refused = 0;

	srandom(5);
	for (uint32_t i = 0; i < fit; i++)
		assert_true(put_sized(h, HELD_NOTE, i % 3, i, size));
	for (uint32_t i = 0; i < 5000; i++)
		refused += !put_sized(h, HELD_NOTE, 1000 + (uint64_t)random(), fit + i,
				      size);
	assert_int_equal(refused, 5000);
	assert_int_equal(h->dropped, 0);
	assert_int_equal(give(h, false), fit);
	for (uint32_t i = 0; i < fit; i++)
		assert_int_equal(seen[i].number, i);
}

/* More than half, by a byte or a thousand, loses; half does not. */
static void what_is_most(void **state)
{
	struct held *h = held_of(state);
	const size_t room = held_room(HELD_DENIED);

	/* Half and half: neither, and so the newcomer is not taken, whosever it is. */
	for (size_t i = 0; i < room / 1024; i++)
		assert_true(put_sized(h, HELD_DENIED, i & 1, (uint32_t)i, 1024));
	for (uint64_t session = 0; session < 3; session++)
		assert_false(put(h, HELD_DENIED, session, "x"));
	assert_int_equal(h->dropped, 0);
	give(h, false);

	/* By a byte, of few large against many small ones, either way round. */
	assert_true(put_sized(h, HELD_DENIED, 8, 1, room / 2 + 1));
	for (size_t at = room / 2 + 1, n; at < room; at += n) {
		n = min_size(64, room - at);
		if (room - at - n && room - at - n < HEAD + 4)
			n = room - at; /* the last takes what is left */
		assert_true(put_sized(h, HELD_DENIED, 9, 2, n));
	}
	assert_int_equal(h->of_kind[HELD_DENIED], room);
	assert_true(put(h, HELD_DENIED, 9, "x"));
	assert_int_equal(h->dropped, 1);
	assert_int_equal(h->of_kind[HELD_DENIED], room - room / 2 - 1 + HEAD + 1);
	give(h, false);

	/* Its own in two parts, and between them one that is larger than the first. */
	h->dropped = 0;
	assert_true(put_sized(h, HELD_DENIED, 3, 1, room / 10 * 3));
	assert_true(put_sized(h, HELD_DENIED, 8, 2, room / 10 * 4));
	while (put_sized(h, HELD_DENIED, 3, 3, 1024) && !h->dropped)
		;
	assert_int_equal(h->dropped, 1);
	give(h, false);
	assert_int_equal(seen[0].session, 8);

	h->dropped = 0;
	for (size_t i = 0; i < room / 64; i++)
		assert_true(
			put_sized(h, HELD_DENIED, i % 4 ? 3 : 4 + i, (uint32_t)i, 64));
	assert_true(put(h, HELD_DENIED, 4, "x"));
	assert_true(h->dropped > 0);
	for (size_t i = 0, n = give(h, false), of_others = 0; i < n; i++) {
		of_others += seen[i].session != 3;
		if (i == n - 1)
			assert_int_equal(of_others, room / 256 + 1);
	}
}

/* A full kind does not touch another one's packets, between which its own stand. */
static void mixed(void **state)
{
	struct held *h = held_of(state);
	uint64_t taken[HELD_KINDS] = {0}, given[HELD_KINDS] = {0}, refused = 0, lines;
	uint32_t last[HELD_KINDS] = {0};

	srandom(7);
	for (uint32_t i = 1; i <= 20000; i++) {
		enum held_kind k = (enum held_kind)(random() % HELD_KINDS);
		size_t size = HEAD + 4 + (size_t)random() % 700;

		if (put_sized(h, k, (uint64_t)random() % 3, i, size))
			taken[k]++;
		else
			refused++;
		if (i % 1000 == 0)
			assert_sound(h);
	}
	assert_true(refused > 0);
	lines = h->lines_dropped;
	for (int turn = 0; turn < 2; turn++) {
		size_t n = give(h, turn);

		for (size_t i = 0; i < n; i++) {
			assert_true(seen[i].number > last[seen[i].kind]);
			last[seen[i].kind] = seen[i].number;
			given[seen[i].kind]++;
		}
	}
	assert_int_equal(given[HELD_ACT], taken[HELD_ACT]);
	assert_int_equal(given[HELD_LINE] + lines, taken[HELD_LINE]);
	assert_int_equal(given[HELD_DENIED] + given[HELD_READ] + given[HELD_OWN] +
				 given[HELD_NOTE] + h->dropped,
			 taken[HELD_DENIED] + taken[HELD_READ] + taken[HELD_OWN] +
				 taken[HELD_NOTE]);
}

/* ---- what is counted ---- */

/* One that told how many were dropped, and is dropped: that is told by the next. */
static void what_a_dropped_one_told(void **state)
{
	struct held *h = held_of(state);
	struct packet packet = {
		.kind = HELD_OWN,
		.dropped = 41,
		.p = (const uint8_t *)"told",
		.len = 4,
	};

	assert_true(held_put(h, &packet, 0));
	assert_int_equal(h->dropped, 0);
	while (!h->dropped)
		assert_true(put_sized(h, HELD_OWN, 0, 1, held_room(HELD_OWN) / 16));
	assert_true(h->dropped >= 42);
	/* It and sixteen others. */
	assert_int_equal(h->dropped - 41 + give(h, false), 17);

	/* One that is written told it to whoever reads. */
	h->dropped = 0;
	assert_true(held_put(h, &packet, 0));
	assert_int_equal(give(h, false), 1);
	assert_true(seen[0].dropped == 41);
	assert_int_equal(h->dropped, 0);
}

/* Lines and records are counted apart. */
static void counted_apart(void **state)
{
	struct held *h = held_of(state);

	while (!h->lines_dropped)
		assert_true(put_sized(h, HELD_LINE, 0, 1, 1024));
	assert_int_equal(h->dropped, 0);
	h->lines_dropped = 0;
	while (!h->dropped)
		assert_true(put_sized(h, HELD_READ, 1, 1, 1024));
	assert_int_equal(h->lines_dropped, 0);
}

/* ---- what a worker that died may have left ---- */

static void a_whole_list_is_believed(void **state)
{
	struct held *h = held_of(state);

	put(h, HELD_READ, 1, "one");
	put(h, HELD_LINE, 0, "two");
	h->dropped = 3;
	h->lines_dropped = 4;
	/* These were not written yet, or were torn. */
	memset(h->of_kind, 0x77, sizeof(h->of_kind));
	held_check(h, FORMAT);
	assert_int_equal(h->of_kind[HELD_READ], HEAD + 3);
	assert_int_equal(h->of_kind[HELD_LINE], HEAD + 3);
	assert_int_equal(h->of_kind[HELD_ACT], 0);
	assert_int_equal(h->dropped, 3);
	assert_int_equal(h->lines_dropped, 4);
	assert_int_equal(give(h, false), 1);
	assert_int_equal(give(h, true), 1);
}

/* The worker died within held_put: the packet is there, and not yet counted. */
static void half_written_is_not_there(void **state)
{
	struct held *h = held_of(state);
	uint32_t used;

	put(h, HELD_READ, 1, "one");
	used = h->used;
	put(h, HELD_READ, 1, "two");
	h->used = used;
	held_check(h, FORMAT);
	assert_int_equal(h->of_kind[HELD_READ], HEAD + 3);
	assert_int_equal(give(h, false), 1);
	assert_string_equal(seen[0].text, "one");
}

/* Records of another format would go to a place where nobody can read them. */
static void records_of_another_format(void **state)
{
	struct held *h = held_of(state);
	const struct packet told = {
		.kind = HELD_ACT,
		.dropped = 10,
		.p = (const uint8_t *)"x",
		.len = 1,
	};

	h->dropped = 5;
	put(h, HELD_LINE, 0, "line one");
	put(h, HELD_READ, 1, "one");
	put(h, HELD_LINE, 0, "line two");
	held_put(h, &told, 0);
	put(h, HELD_NOTE, 1, "three");
	held_check(h, FORMAT + 1);
	assert_sound(h);
	assert_int_equal(h->dropped, 5 + 3 + 10);
	assert_int_equal(h->lines_dropped, 0);
	assert_false(held_waits(h, false));
	assert_int_equal(give(h, true), 2);
	assert_string_equal(seen[0].text, "line one");
	assert_string_equal(seen[1].text, "line two");
	/* From now on that is what they are. */
	put(h, HELD_READ, 1, "four");
	held_check(h, FORMAT + 1);
	assert_int_equal(give(h, false), 1);
}

static void put_head(struct held *h, size_t at, uint32_t len, uint32_t kind)
{
	memcpy(h->bytes + at, &(struct head){.len = len, .kind = kind}, HEAD);
}

static void assert_emptied(struct held *h)
{
	held_check(h, FORMAT);
	assert_int_equal(h->used, 0);
	for (enum held_kind k = 0; k < HELD_KINDS; k++)
		assert_int_equal(h->of_kind[k], 0);
	ends(h);
	assert_true(put(h, HELD_ACT, 1, "again"));
	assert_int_equal(give(h, false), 1);
	assert_string_equal(seen[0].text, "again");
	memset(h->bytes, 0, 2 * HEAD); /* or it is found there */
}

/* Cut anywhere: what is whole stays. */
static void cut_anywhere(void **state)
{
	struct held *h = held_of(state);
	uint32_t ends_at[20], used;
	size_t whole = 0;

	for (size_t i = 0; i < ARRAY_SIZE(ends_at); i++) {
		put_sized(h, (enum held_kind)(i % HELD_KINDS), i, 0, HEAD + 4 + i);
		ends_at[i] = h->used;
	}
	used = h->used;
	for (uint32_t cut = 1; cut <= used; cut++) {
		struct held *copy = malloc(sizeof(*copy));
		size_t n;

		memcpy(copy, h, sizeof(*copy));
		copy->used = cut;
		held_check(copy, FORMAT);
		if (cut == ends_at[whole])
			whole++;
		assert_int_equal(copy->used, whole ? ends_at[whole - 1] : 0);
		assert_int_equal(copy->dropped, copy->used < cut);
		n = give(copy, false);
		n += give(copy, true);
		assert_int_equal(n, whole);
		free(copy);
	}
	assert_int_equal(whole, ARRAY_SIZE(ends_at));
}

static void torn_lists(void **state)
{
	struct held *h = held_of(state);
	static const uint32_t lengths[] = {
		0, 100, 101, HELD_MAX, UINT32_MAX, UINT32_MAX - HEAD, 1u << 31};

	memset(h->bytes, 0, HELD_MAX);
	/* Longer than the room. */
	h->used = HELD_MAX + 1;
	assert_emptied(h);
	h->used = UINT32_MAX;
	assert_emptied(h);
	/* A packet that goes beyond the end, or has no length. */
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		h->used = HEAD + 99;
		put_head(h, 0, lengths[i], HELD_ACT);
		assert_emptied(h);
	}
	/* Of a kind that there is not. */
	h->used = HEAD + 99;
	put_head(h, 0, 99, HELD_KINDS);
	assert_emptied(h);
	h->used = HEAD + 99;
	put_head(h, 0, 99, UINT32_MAX);
	assert_emptied(h);
	/* The last of many. */
	for (uint32_t i = 0; i < 100; i++)
		put(h, HELD_READ, i, "line");
	h->used += 5;
	held_check(h, FORMAT);
	assert_int_equal(give(h, false), 100);
	for (uint32_t i = 0; i < 100; i++)
		put(h, HELD_READ, i, "line");
	put_head(h, h->used - HEAD - 4, 5, HELD_READ);
	held_check(h, FORMAT);
	assert_int_equal(give(h, false), 99);
	/* One too long for all there is. */
	put_head(h, 0, HELD_MAX - HEAD + 1, HELD_ACT);
	h->used = HELD_MAX;
	assert_emptied(h);
}

/* More of one kind than it may have, as only a stranger writes it: nothing is overrun. */
static void too_much_of_a_kind(void **state)
{
	struct held *h = held_of(state);

	for (enum held_kind k = 0; k < HELD_KINDS; k++) {
		put_head(h, 0, HELD_MAX - HEAD, k);
		h->used = HELD_MAX;
		held_check(h, FORMAT);
		for (enum held_kind other = 0; other < HELD_KINDS; other++)
			put(h, other, 1, "x");
		assert_true(h->used <= HELD_MAX);
		give(h, false);
		give(h, true);
		ends(h);
	}
}

static void noise(void **state)
{
	struct held *h = held_of(state);

	srandom(11);
	for (int round = 0; round < 300; round++) {
		for (size_t i = 0; i < 4096; i++)
			h->bytes[i] = (uint8_t)(random() % 4 ? 0 : random());
		/* Sometimes there is a first packet. */
		if (round & 1)
			put_head(h, 0, 1 + (uint32_t)random() % 2000,
				 (uint32_t)random() % (HELD_KINDS + 1));
		h->used = (uint32_t)random() % 4096;
		held_check(h, FORMAT + (round & 2));
		assert_true(put(h, HELD_ACT, 1, "x"));
		assert_true(put(h, HELD_NOTE, 1, "x"));
		assert_true(h->used <= 4096 + 2 * (HEAD + 1));
		give(h, false);
		give(h, true);
		ends(h);
	}
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	static const struct CMUnitTest tests[] = {
		WITH(in_their_order),
		WITH(lines_apart_from_records),
		WITH(given_in_parts),
		WITH(rooms_of_their_own),
		WITH(changes_are_never_dropped),
		WITH(a_reserve),
		WITH(too_large),
		WITH(a_session_pushes_out_its_own),
		WITH(a_flood_of_one_session),
		WITH(a_flood_of_many_sessions),
		WITH(what_is_most),
		WITH(mixed),
		WITH(what_a_dropped_one_told),
		WITH(counted_apart),
		WITH(a_whole_list_is_believed),
		WITH(half_written_is_not_there),
		WITH(records_of_another_format),
		WITH(cut_anywhere),
		WITH(torn_lists),
		WITH(too_much_of_a_kind),
		WITH(noise),
	};

	return cmocka_run_group_tests_name("held", tests, NULL, NULL);
}
