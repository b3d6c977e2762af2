/*
 * tests/unit/test_schema.c - the codec, over every schema there is
 *
 * Runs in:   a test
 * Input:     made-up messages (tests/lib/genmsg.h), and the same cut, padded, altered
 * May touch: memory
 * Must not:  name a schema where the table can be walked: new rows are covered as they
 *            come
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ipc/note.h"
#include "ipc/ops.h"
#include "tests/lib/genmsg.h"
#include "worker/audit.h"

#define SCHEMA_ROW(tag) &schema_##tag,
static const struct schema *const rows[] = {SCHEMA_TABLE(SCHEMA_ROW) SCHEMA_TABLE_TEST(
	SCHEMA_ROW) SCHEMA_ROW(request_head) SCHEMA_ROW(session_note) SCHEMA_ROW(audit)};

/* Room for any message here, its text and lists included. */
#define ROOM (1024 * 1024)

struct fixture {
	struct arena made;    /* of the message that is encoded */
	struct arena decoded; /* of what comes out */
	struct wbuf wire;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	f->made = (struct arena){.p = malloc(ROOM), .cap = ROOM};
	f->decoded = (struct arena){.p = malloc(ROOM), .cap = ROOM};
	f->wire = wbuf_growing(ROOM);
	*state = f;
	return f->made.p && f->decoded.p ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	free(f->made.p);
	free(f->decoded.p);
	wbuf_free(&f->wire);
	free(f);
	return 0;
}

static struct gen gen_of(struct fixture *f, uint64_t seed, enum gen_optional optional)
{
	f->made.len = 0;
	return (struct gen){
		.pub = seed,
		.secret = ~seed,
		.optional = optional,
		.items_max = 3,
		.arena = &f->made,
	};
}

/* The encoding of MSG is now F->wire. */
static void encode(struct fixture *f, const struct schema *s, const void *msg)
{
	wbuf_free(&f->wire);
	schema_put(&f->wire, s, msg);
	assert_false(f->wire.bad);
}

static const void *encode_made(struct fixture *f, const struct schema *s, uint64_t seed,
			       enum gen_optional optional)
{
	struct gen g = gen_of(f, seed, optional);
	const void *msg = gen_message(&g, s);

	encode(f, s, msg);
	return msg;
}

/* Decode LEN bytes at P; the message, or NULL if they are not exactly one. */
static void *decode(struct fixture *f, const struct schema *s, const void *p, size_t len)
{
	struct rbuf r = rbuf_of(p, len);
	void *msg;

	f->decoded.len = 0;
	msg = arena_take(&f->decoded, s->size);
	/* Whatever stood there before must not show. */
	memset(msg, 0xa5, s->size);
	return schema_get(&r, s, &f->decoded, msg) == 0 && rbuf_done(&r) ? msg : NULL;
}

/* The same of a copy that ends where the bytes do, for the sanitizer to watch. */
static bool decodes(struct fixture *f, const struct schema *s, const void *p, size_t len)
{
	uint8_t *copy = malloc(len + !len);
	bool ok;

	memcpy(copy, p, len);
	ok = decode(f, s, copy, len);
	free(copy);
	return ok;
}

/* Run CHECK for every schema, without, with and with some of the optional fields. */
static void for_each_message(struct fixture *f, uint64_t seeds,
			     void (*check)(struct fixture *f, const struct schema *s,
					   const void *msg))
{
	static const enum gen_optional optional[] = {GEN_ABSENT, GEN_PRESENT, GEN_MIXED};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		for (size_t o = 0; o < ARRAY_SIZE(optional); o++)
			for (uint64_t seed = 0; seed < seeds; seed++)
				check(f, rows[i],
				      encode_made(f, rows[i], seed, optional[o]));
}

/* ---- what comes out is what went in ---- */

static void same_again(struct fixture *f, const struct schema *s, const void *msg)
{
	const void *got = decode(f, s, f->wire.p, f->wire.len);

	assert_non_null(got);
	assert_true(gen_same(s, msg, got));
}

static void round_trip(void **state)
{
	for_each_message(*state, 20, same_again);
}

static void every_cut(struct fixture *f, const struct schema *s, const void *msg)
{
	(void)msg;
	for (size_t len = 0; len < f->wire.len; len++)
		assert_false(decodes(f, s, f->wire.p, len));
}

static void truncated(void **state)
{
	for_each_message(*state, 2, every_cut);
}

static void with_extra_byte(struct fixture *f, const struct schema *s, const void *msg)
{
	(void)msg;
	for (int byte = 0; byte < 256; byte += 51) {
		wbuf_u8(&f->wire, (uint8_t)byte);
		assert_false(decodes(f, s, f->wire.p, f->wire.len));
		f->wire.len--;
	}
}

static void extra_byte(void **state)
{
	for_each_message(*state, 2, with_extra_byte);
}

/* Everything that the writer lets out is printable ASCII, even if it gives up half-way.
 */
static bool shows(struct fixture *f, const struct schema *s, bool redact)
{
	CLEANUP(wbuf_free) struct wbuf text = wbuf_growing(16 * ROOM);
	struct rbuf r = rbuf_of(f->wire.p, f->wire.len);
	int shown = schema_render(&r, s, &(struct render){.redact = redact}, &text);

	for (size_t i = 0; i < text.len; i++)
		assert_in_range(text.p[i], 0x20, 0x7e);
	return shown == 0;
}

/*
 * Altered bytes are refused, or are another message in its one form; whatever the
 * decoder takes can be recorded, and what can be shown in full the decoder takes.
 */
static void altered_once(struct fixture *f, const struct schema *s)
{
	CLEANUP(wbuf_free) struct wbuf again = wbuf_growing(ROOM);
	const void *msg = decode(f, s, f->wire.p, f->wire.len);

	if (shows(f, s, false))
		assert_non_null(msg);
	if (!msg)
		return;
	assert_true(shows(f, s, true));
	schema_put(&again, s, msg);
	assert_int_equal(again.len, f->wire.len);
	assert_memory_equal(again.p, f->wire.p, again.len);
}

static void altered_anywhere(struct fixture *f, const struct schema *s, const void *msg)
{
	static const uint8_t bytes[] = {0, 1, 2, 0x7f, 0x80, 0xff};

	(void)msg;
	for (size_t at = 0; at < f->wire.len; at++) {
		uint8_t before = f->wire.p[at];

		for (size_t i = 0; i < ARRAY_SIZE(bytes); i++) {
			f->wire.p[at] = bytes[i];
			altered_once(f, s);
		}
		f->wire.p[at] = before;
	}
}

static void altered(void **state)
{
	for_each_message(*state, 1, altered_anywhere);
}

/* ---- one field, and bytes that are no value of it ---- */

#define ONE(tag, kind, flags, ref)                         \
	struct msg_##tag {                                 \
		kind_##kind v;                             \
	};                                                 \
	static const struct field fields_##tag[] = {       \
		FIELD_ROW(tag, kind, v, "v", flags, ref)}; \
	static const struct schema schema_##tag = {        \
		.fields = fields_##tag, .n = 1, .size = sizeof(struct msg_##tag)};

ONE(one_int, INT, F_PUB, REF_NONE)
ONE(one_opt, INT, F_PUB | F_OPT, REF_NONE)
ONE(one_u64, U64, F_PUB, REF_NONE)
ONE(one_num, NUM, F_PUB, REF_NONE)
ONE(one_bool, BOOL, F_PUB, REF_NONE)
ONE(one_str, STR, F_PUB, REF_NONE)
ONE(one_b64, B64, F_PUB, REF_NONE)
ONE(one_enum, ENUM, F_PUB, REF_ENUM(memory_result))
ONE(one_whence, INT_OR_ENUM, F_PUB, REF_ENUM(whence))
ONE(one_capture, BOOL_OR_ENUM, F_PUB, REF_ENUM(capture))
ONE(one_obj, OBJ, F_PUB, REF_OBJ(one_bool))
ONE(one_objs, LIST_OBJ, F_PUB, REF_OBJ(one_bool))
ONE(one_strs, LIST_STR, F_PUB, REF_NONE)

#define BYTES(text) text, sizeof(text) - 1

/* Shown as the JSON, or refused by decoder and writer alike where that is NULL. */
static const struct {
	const struct schema *s;
	const char *bytes;
	size_t len;
	const char *json;
} values[] = {
	{&schema_one_int, BYTES("\xfe\xff\xff\xff\xff\xff\xff\xff"), "{\"v\": -2}"},
	{&schema_one_int, BYTES("\0\0\0\0\0\0\0\x80"), "{\"v\": -9223372036854775808}"},
	{&schema_one_opt, BYTES("\0"), "{}"},
	{&schema_one_opt, BYTES("\1\7\0\0\0\0\0\0\0"), "{\"v\": 7}"},
	{&schema_one_opt, BYTES("\2\7\0\0\0\0\0\0\0"), NULL},
	{&schema_one_opt, BYTES("\xff"), NULL},
	{&schema_one_u64, BYTES("\xff\xff\xff\xff\xff\xff\xff\xff"),
	 "{\"v\": 18446744073709551615}"},
	{&schema_one_num, BYTES("\0\0\0\0\0\0\xf8\xbf"), "{\"v\": -1.5}"},
	{&schema_one_num, BYTES("\0\0\0\0\0\0\xf0\x7f"), NULL}, /* infinite */
	{&schema_one_num, BYTES("\0\0\0\0\0\0\xf8\x7f"), NULL}, /* no number */
	{&schema_one_bool, BYTES("\0"), "{\"v\": false}"},
	{&schema_one_bool, BYTES("\1"), "{\"v\": true}"},
	{&schema_one_bool, BYTES("\2"), NULL},
	{&schema_one_str, BYTES("\0\0\0\0"), "{\"v\": \"\"}"},
	{&schema_one_str, BYTES("\3\0\0\0a\xff\n"), "{\"v\": \"a\\uFFFD\\n\"}"},
	{&schema_one_str, BYTES("\3\0\0\0a\0b"), NULL},
	{&schema_one_str, BYTES("\1\0\0\0\0"), NULL},
	{&schema_one_str,
	 BYTES("\xff\xff\xff\xff"
	       "a"),
	 NULL},
	{&schema_one_b64, BYTES("\4\0\0\0a\0b\xff"), "{\"v\": \"YQBi/w==\"}"},
	{&schema_one_b64,
	 BYTES("\xff\xff\xff\x7f"
	       "a"),
	 NULL},
	{&schema_one_enum, BYTES("\0"), "{\"v\": \"success\"}"},
	{&schema_one_enum, BYTES("\3"), "{\"v\": \"operation-failed\"}"},
	{&schema_one_enum, BYTES("\4"), NULL},
	{&schema_one_enum, BYTES("\xff"), NULL},
	{&schema_one_whence, BYTES("\0\xff\xff\xff\xff\xff\xff\xff\xff"), "{\"v\": -1}"},
	{&schema_one_whence, BYTES("\1\2\0\0\0\0\0\0\0"), "{\"v\": \"end\"}"},
	{&schema_one_whence, BYTES("\1\3\0\0\0\0\0\0\0"), NULL},
	{&schema_one_whence, BYTES("\1\0\1\0\0\0\0\0\0"), NULL},
	{&schema_one_whence, BYTES("\1\xff\xff\xff\xff\xff\xff\xff\xff"), NULL},
	{&schema_one_whence, BYTES("\2\0\0\0\0\0\0\0\0"), NULL},
	{&schema_one_capture, BYTES("\0\1\0\0\0\0\0\0\0"), "{\"v\": true}"},
	{&schema_one_capture, BYTES("\0\0\0\0\0\0\0\0\0"), "{\"v\": false}"},
	{&schema_one_capture, BYTES("\0\2\0\0\0\0\0\0\0"), NULL},
	{&schema_one_capture, BYTES("\1\4\0\0\0\0\0\0\0"), "{\"v\": \"merged\"}"},
	{&schema_one_capture, BYTES("\1\5\0\0\0\0\0\0\0"), NULL},
	{&schema_one_obj, BYTES("\1"), "{\"v\": {\"v\": true}}"},
	{&schema_one_obj, BYTES("\2"), NULL},
	{&schema_one_objs, BYTES("\0\0\0\0"), "{\"v\": []}"},
	{&schema_one_objs, BYTES("\2\0\0\0\1\0"),
	 "{\"v\": [{\"v\": true}, {\"v\": false}]}"},
	{&schema_one_objs, BYTES("\2\0\0\0\1\2"), NULL},
	{&schema_one_objs, BYTES("\3\0\0\0\1\0"), NULL},
	{&schema_one_objs, BYTES("\1\0\0\0\1\0"), NULL},
	{&schema_one_objs, BYTES("\xff\xff\xff\xff\1\0"), NULL},
	{&schema_one_strs, BYTES("\2\0\0\0\1\0\0\0a\0\0\0\0"), "{\"v\": [\"a\", \"\"]}"},
	{&schema_one_strs, BYTES("\1\0\0\0\1\0\0\0\0"), NULL},
	{&schema_one_strs, BYTES("\xff\xff\xff\x0f\0\0\0\0"), NULL},
	/* Bulk needs its bytes beside it: see below. Results that are no object: */
	{&schema_text, BYTES("\2\0\0\0ok"), "\"ok\""},
	{&schema_integer, BYTES("\5\0\0\0\0\0\0\0"), "5"},
	{&schema_empty, BYTES(""), "{}"},
	{&schema_vcpus, BYTES("\1\0\0\0\2\0\0\0\0\0\0\0\1\0"),
	 "[{\"logical-id\": 2, \"online\": true}]"},
};

static void check_value(struct fixture *f, size_t i)
{
	char text[256] = "";
	struct wbuf w = wbuf_fixed(text, sizeof(text) - 1);
	struct rbuf r = rbuf_of(values[i].bytes, values[i].len);
	const char *json = values[i].json;
	int shown = schema_render(&r, values[i].s, &(struct render){0}, &w);

	if (decodes(f, values[i].s, values[i].bytes, values[i].len) != !!json)
		fail_msg("value %zu decodes otherwise", i);
	if (shown != (json ? 0 : -1))
		fail_msg("value %zu is shown otherwise: %s", i, text);
	if (json)
		assert_string_equal(text, json);
}

static void each_kind(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(values); i++)
		check_value(*state, i);
}

/* The text encoded in W is shown as it is, or refused if LEN is 0. */
static void check_long_json(const struct wbuf *w, const char *text, size_t len)
{
	CLEANUP(wbuf_free) struct wbuf json = wbuf_growing(len + 2);
	struct rbuf r = rbuf_of(w->p, w->len);
	int shown = schema_render(&r, &schema_text, &(struct render){0}, &json);

	assert_int_equal(shown, len ? 0 : -1);
	if (!len)
		return;
	assert_int_equal(json.len, len + 2);
	assert_memory_equal(json.p + 1, text, len);
}

/* A text may be as long as the limit says, and no byte longer. */
static void longest_text(void **state)
{
	struct fixture *f = *state;
	char *text = malloc(WIRE_STR_MAX + 1);

	memset(text, 'x', WIRE_STR_MAX + 1);
	for (uint32_t over = 0; over < 2; over++) {
		CLEANUP(wbuf_free) struct wbuf w = wbuf_growing(2 * WIRE_STR_MAX);
		struct msg_text msg = {
			.value = {.p = text, .len = WIRE_STR_MAX + over, .set = true}};

		schema_put(&w, &schema_text, &msg);
		assert_false(w.bad);
		assert_int_equal(decodes(f, &schema_text, w.p, w.len), !over);
		check_long_json(&w, text, over ? 0 : WIRE_STR_MAX);
	}
	free(text);
}

/* A list of as many elements as the message has bytes: the arena says no, in time. */
static void list_fills_arena(void **state)
{
	struct fixture *f = *state;
	CLEANUP(wbuf_free) struct wbuf w = wbuf_growing(ROOM);
	const uint32_t n = ROOM / sizeof(struct msg_one_bool) + 1;

	wbuf_u32(&w, n);
	memset(wbuf_room(&w, n), 1, n);
	assert_false(w.bad);
	assert_false(decodes(f, &schema_one_objs, w.p, w.len));
	assert_true(f->decoded.len <= ROOM);
}

/* ---- memory ---- */

/* With each byte less than it takes the message is refused; with enough it is read. */
static void every_arena(struct fixture *f, const struct schema *s, const void *msg)
{
	size_t enough;

	(void)msg;
	assert_non_null(decode(f, s, f->wire.p, f->wire.len));
	enough = f->decoded.len;
	for (size_t cap = 0; cap <= enough; cap += cap + 8 < enough ? 8 : 1) {
		struct arena a = {.p = malloc(cap + !cap), .cap = cap};
		struct rbuf r = rbuf_of(f->wire.p, f->wire.len);
		void *got = arena_take(&a, s->size);

		if (got)
			assert_int_equal(schema_get(&r, s, &a, got) == 0, cap == enough);
		assert_true(a.len <= cap);
		free(a.p);
	}
}

static void arena_exhausted(void **state)
{
	for_each_message(*state, 1, every_arena);
}

static void arena_is_aligned(void **state)
{
	_Alignas(16) uint8_t block[64];
	struct arena a = {.p = block, .cap = sizeof(block)};
	uint8_t *first, *second;

	(void)state;
	memset(block, 0xff, sizeof(block));
	first = arena_take(&a, 3);
	second = arena_take(&a, 8);
	assert_ptr_equal(first, block);
	assert_ptr_equal(second, block + 8);
	assert_memory_equal(second, "\0\0\0\0\0\0\0\0", 8);
	assert_null(arena_take(&a, 49));
	assert_null(arena_take(&a, SIZE_MAX));
	assert_ptr_equal(arena_take(&a, 48), block + 16);
	assert_null(arena_take(&a, 1));
}

/* ---- encoding ---- */

/* A field that is required and was not filled is noticed where the message is made. */
static void required_unset(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct schema *s = rows[i];

		for (uint32_t n = 0; n < s->n; n++) {
			CLEANUP(wbuf_free) struct wbuf w = wbuf_growing(ROOM);
			struct gen g = gen_of(f, 1, GEN_PRESENT);
			size_t next = n + 1 < s->n ? s->fields[n + 1].offset : s->size;
			char *msg = gen_message(&g, s);

			memset(msg + s->fields[n].offset, 0, next - s->fields[n].offset);
			schema_put(&w, s, msg);
			assert_int_equal(w.bad, !(s->fields[n].flags & F_OPT));
		}
	}
}

static void buffer_too_small(struct fixture *f, const struct schema *s, const void *msg)
{
	for (size_t cap = 0; cap < f->wire.len; cap++) {
		uint8_t *p = malloc(cap + !cap);
		struct wbuf w = wbuf_fixed(p, cap);

		schema_put(&w, s, msg);
		assert_true(w.bad);
		free(p);
	}
}

static void no_room(void **state)
{
	for_each_message(*state, 1, buffer_too_small);
}

/* ---- bulk ---- */

static void bulks_are_counted(void **state)
{
	struct msg_exec_status_result msg = {.exited = V_BOOL(true)};

	(void)state;
	assert_int_equal(schema_bulks(&schema_exec_status_result, &msg), 0);
	msg.err_data.set = true;
	assert_int_equal(schema_bulks(&schema_exec_status_result, &msg), 1);
	msg.out_data.set = true;
	assert_int_equal(schema_bulks(&schema_exec_status_result, &msg), 2);
	assert_int_equal(schema_bulks(&schema_integer, &(struct msg_integer){0}), 0);
}

/* Render a finished program's status; OUT and ERR are the sizes that it announces. */
static int show_bulks(struct fixture *f, uint64_t out, uint64_t err,
		      const struct rbuf *bulk, uint32_t n, char text[256])
{
	struct wbuf w = wbuf_fixed(text, 255);
	struct msg_exec_status_result msg = {
		.exited = V_BOOL(true),
		.out_data = {.size = out, .set = true},
		.err_data = {.size = err, .set = true},
	};
	struct rbuf r;
	int shown;

	encode(f, &schema_exec_status_result, &msg);
	r = rbuf_of(f->wire.p, f->wire.len);
	shown = schema_render(&r, &schema_exec_status_result,
			      &(struct render){.bulk = bulk, .n_bulk = n}, &w);
	text[w.len] = '\0';
	return shown;
}

static void bulk_is_shown(void **state)
{
	const struct rbuf bulk[] = {rbuf_of("hello", 5), rbuf_of("", 0)};
	char text[256];

	assert_int_equal(show_bulks(*state, 5, 0, bulk, 2, text), 0);
	assert_string_equal(text, "{\"exited\": true, \"out-data\": \"aGVsbG8=\", "
				  "\"err-data\": \"\"}");
	/* One is missing; one is not as long as announced. */
	assert_int_equal(show_bulks(*state, 5, 0, bulk, 1, text), -1);
	assert_int_equal(show_bulks(*state, 5, 0, NULL, 0, text), -1);
	assert_int_equal(show_bulks(*state, 4, 0, bulk, 2, text), -1);
	assert_int_equal(show_bulks(*state, 5, 1, bulk, 2, text), -1);
}

/* ---- secrets ---- */

static void show_args(struct fixture *f, const struct op *op, uint64_t pub,
		      uint64_t secret, bool redact, struct wbuf *text)
{
	struct gen g = gen_of(f, 0, GEN_MIXED);
	struct rbuf r;
	/* What the bulk fields hold is not at hand where a record is written. */
	const struct rbuf none[] = {rbuf_of("", 0), rbuf_of("", 0)};

	g.pub = pub;
	g.secret = secret;
	encode(f, op->args, gen_message(&g, op->args));
	r = rbuf_of(f->wire.p, f->wire.len);
	wbuf_free(text);
	schema_render(&r, op->args,
		      &(struct render){.redact = redact, .bulk = none, .n_bulk = 2},
		      text);
	wbuf_u8(text, '\0');
}

static bool has_field(const struct schema *s, uint32_t public)
{
	for (uint32_t i = 0; i < s->n; i++)
		if ((s->fields[i].flags & F_PUB) == public)
			return true;
	return false;
}

/*
 * Two messages that differ in nothing but the secrets look the same: no byte of a secret
 * shows, and neither its length nor the number of its elements.
 */
static void secrets_are_hidden(void **state)
{
	uint32_t with_secret = 0;

	for (uint32_t n = op_after(OP_NONE); n != OP_NONE; n = op_after(n)) {
		const struct op *op = op_by_number(n);
		CLEANUP(wbuf_free) struct wbuf a = wbuf_growing(ROOM);
		CLEANUP(wbuf_free) struct wbuf b = wbuf_growing(ROOM);
		uint32_t differ = 0;

		for (uint64_t seed = 0; seed < 50; seed++) {
			show_args(*state, op, seed, 1000, true, &a);
			show_args(*state, op, seed, 2000 + seed, true, &b);
			assert_string_equal((const char *)a.p, (const char *)b.p);
			show_args(*state, op, seed, 1000, false, &a);
			show_args(*state, op, seed, 2000 + seed, false, &b);
			differ += !streq((char *)a.p, (char *)b.p);
		}
		/* Else the comparison above would have compared nothing. */
		assert_int_equal(differ > 0, has_field(op->args, 0));
		with_secret += differ > 0;
	}
	assert_true(with_secret >= 5);
}

static void public_fields_are_shown(void **state)
{
	for (uint32_t n = op_after(OP_NONE); n != OP_NONE; n = op_after(n)) {
		const struct op *op = op_by_number(n);
		CLEANUP(wbuf_free) struct wbuf a = wbuf_growing(ROOM);
		CLEANUP(wbuf_free) struct wbuf b = wbuf_growing(ROOM);
		uint32_t differ = 0;

		for (uint64_t seed = 0; seed < 10; seed++) {
			show_args(*state, op, seed, 1000, true, &a);
			show_args(*state, op, seed + 100, 1000, true, &b);
			differ += !streq((char *)a.p, (char *)b.p);
		}
		assert_int_equal(differ > 0, has_field(op->args, F_PUB));
	}
}

/* The secrets of the protocol, by name: a flag that slips in the table is seen here. */
static void known_secrets(void **state)
{
	static const struct {
		const char *command, *field;
	} secrets[] = {
		{"guest-file-write", "buf-b64"},
		{"guest-set-user-password", "password"},
		{"guest-exec", "env"},
		{"guest-exec", "input-data"},
		{"guest-ssh-add-authorized-keys", "keys"},
		{"guest-ssh-remove-authorized-keys", "keys"},
	};
	uint32_t found = 0, all = 0;

	(void)state;
	for (uint32_t n = op_after(OP_NONE); n != OP_NONE; n = op_after(n)) {
		const struct op *op = op_by_number(n);

		for (uint32_t i = 0; i < op->args->n; i++) {
			const struct field *f = &op->args->fields[i];

			all += !(f->flags & F_PUB);
			for (size_t k = 0; k < ARRAY_SIZE(secrets); k++)
				found += streq(op->name, secrets[k].command) &&
					 streq(f->name, secrets[k].field) &&
					 !(f->flags & F_PUB);
		}
	}
	assert_int_equal(found, ARRAY_SIZE(secrets));
	assert_int_equal(all, ARRAY_SIZE(secrets));
}

static void redacted_form(void **state)
{
	struct fixture *f = *state;
	struct v_str env[] = {v_str("TOKEN=hunter2"), v_str("B=2")};
	struct v_str arg[] = {v_str("-v")};
	struct msg_exec msg = {
		.path = v_str("/bin/true"),
		.arg = {.v = arg, .n = 1, .set = true},
		.env = {.v = env, .n = 2, .set = true},
		.input_data = {.size = 77, .set = true},
		.capture_output = {.v = 1, .set = true},
	};
	char text[256] = "";
	struct wbuf w = wbuf_fixed(text, sizeof(text) - 1);
	struct rbuf r;

	encode(f, &schema_exec, &msg);
	r = rbuf_of(f->wire.p, f->wire.len);
	assert_int_equal(
		schema_render(&r, &schema_exec, &(struct render){.redact = true}, &w), 0);
	assert_string_equal(text, "{\"path\": \"/bin/true\", \"arg\": [\"-v\"], "
				  "\"env\": \"<secret>\", \"input-data\": \"<secret>\", "
				  "\"capture-output\": true}");
}

/* One long text must not crowd out what follows it in a record. */
static void redacted_text_is_cut(void **state)
{
	struct fixture *f = *state;
	char path[REDACT_STR_MAX + 2] = "";

	memset(path, 'p', REDACT_STR_MAX + 1);
	for (uint32_t over = 0; over < 2; over++) {
		CLEANUP(wbuf_free) struct wbuf w = wbuf_growing(ROOM);
		CLEANUP(wbuf_free) struct wbuf want = wbuf_growing(ROOM);
		struct msg_file_open msg = {.mode = v_str("r")};
		struct rbuf r;

		msg.path = (struct v_str){
			.p = path, .len = REDACT_STR_MAX + over, .set = true};
		encode(f, &schema_file_open, &msg);
		r = rbuf_of(f->wire.p, f->wire.len);
		assert_int_equal(schema_render(&r, &schema_file_open,
					       &(struct render){.redact = true}, &w),
				 0);
		wbuf_text(&want, "{\"path\": \"");
		wbuf_put(&want, path, REDACT_STR_MAX);
		wbuf_text(&want, over ? "... (257 bytes)" : "");
		wbuf_text(&want, "\", \"mode\": \"r\"}");
		assert_int_equal(w.len, want.len);
		assert_memory_equal(w.p, want.p, want.len);
	}
}

/* ---- the descriptions themselves ---- */

static uint32_t depth(const struct schema *s)
{
	uint32_t deepest = 0;

	for (uint32_t i = 0; i < s->n; i++) {
		const struct field *f = &s->fields[i];
		uint32_t d = field_has_sub(f) ? depth(f->sub) : 0;

		deepest = d > deepest ? d : deepest;
	}
	return deepest + 1;
}

static void nesting_is_bounded(void **state)
{
	uint32_t deepest = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint32_t d = depth(rows[i]);

		assert_true(d <= SCHEMA_DEPTH_MAX);
		deepest = d > deepest ? d : deepest;
	}
	/* disks, disk, address, PCI address */
	assert_int_equal(deepest, 4);
}

static void check_field(const struct schema *s, const struct field *f)
{
	/* A value without a name is all there is, and there. */
	if (!f->name)
		assert_true(s->n == 1 && !(f->flags & F_OPT));
	assert_true(f->kind < K_COUNT);
	/* The one pointer is there for what has a use for it, and for nothing else. */
	assert_int_equal(f->sub != NULL, field_has_sub(f) || field_has_names(f));
	if (field_has_names(f))
		assert_true(f->names->type && f->names->n > 0);
	if (!field_has_sub(f))
		return;
	/* An element takes at least a byte, so that a count is bounded by what is there;
	 * schema_bulks does not look into structs within structs. */
	assert_true(f->sub->n > 0);
	for (uint32_t i = 0; i < f->sub->n; i++)
		assert_int_not_equal(f->sub->fields[i].kind, K_BULK);
}

static void descriptions_are_sound(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct schema *s = rows[i];

		for (uint32_t n = 0; n < s->n; n++) {
			check_field(s, &s->fields[n]);
			for (uint32_t m = 0; m < n; m++)
				assert_string_not_equal(s->fields[n].name,
							s->fields[m].name);
		}
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),
		cmocka_unit_test(truncated),
		cmocka_unit_test(extra_byte),
		cmocka_unit_test(altered),
		cmocka_unit_test(each_kind),
		cmocka_unit_test(longest_text),
		cmocka_unit_test(list_fills_arena),
		cmocka_unit_test(arena_exhausted),
		cmocka_unit_test(arena_is_aligned),
		cmocka_unit_test(required_unset),
		cmocka_unit_test(no_room),
		cmocka_unit_test(bulks_are_counted),
		cmocka_unit_test(bulk_is_shown),
		cmocka_unit_test(secrets_are_hidden),
		cmocka_unit_test(public_fields_are_shown),
		cmocka_unit_test(known_secrets),
		cmocka_unit_test(redacted_form),
		cmocka_unit_test(redacted_text_is_cut),
		cmocka_unit_test(nesting_is_bounded),
		cmocka_unit_test(descriptions_are_sound),
	};

	return cmocka_run_group_tests_name("schema", tests, setup, teardown);
}
