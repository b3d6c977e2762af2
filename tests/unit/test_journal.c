/*
 * tests/unit/test_journal.c - entries that nobody can forge, and a journal that is full,
 * away, or another one
 *
 * Runs in:   a test; what is sent needs root and mounts of its own
 * Input:     records made up by hand, and of any bytes
 * May touch: a socket in a mount namespace of its own
 * Must not:  wait (an alarm would end it), speak to the machine's journal
 *
 * run: admin
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ipc/jsonw.h"
#include "tests/lib/fds.h"
#include "tests/lib/journal.h"
#include "worker/journal.h"

/* A test takes no longer; one that blocks is killed. */
#define ALARM_S 20

#define ENTRY_MAX (256 * 1024)

/* ---- the entry ---- */

static char text[ENTRY_MAX];

/* The entry of R, as a string. */
static const char *entry_of(const struct msg_audit *r)
{
	struct wbuf w = wbuf_fixed(text, sizeof(text) - 1);

	journal_entry(&w, r);
	assert_false(w.bad);
	assert_null(memchr(text, '\0', w.len));
	text[w.len] = '\0';
	return text;
}

static struct v_str bytes(const char *p, size_t len)
{
	return (struct v_str){.p = p, .len = (uint32_t)len, .set = true};
}

static void absent_leaves_nothing(void **state)
{
	(void)state;
	assert_string_equal(entry_of(&(struct msg_audit){0}),
			    "SYSLOG_IDENTIFIER=postern\n");
}

static void each_kind(void **state)
{
	const struct msg_audit r = {
		.message = v_str("Refused it"),
		.priority = V_INT(6),
		.seq = V_U64(UINT64_MAX),
		.errnum = V_INT(-5),
		.time_delta = V_INT(INT64_MIN),
		.abandoned = V_BOOL(true),
		.skew = V_BOOL(false),
		.detail = v_str(""),
		.args = v_str("{\"path\": \"/a\\n\"}"),
	};

	(void)state;
	assert_string_equal(entry_of(&r), "MESSAGE=Refused it\n"
					  "PRIORITY=6\n"
					  "POSTERN_SEQ=18446744073709551615\n"
					  "POSTERN_ARGS={\"path\": \"/a\\n\"}\n"
					  "POSTERN_ERRNO=-5\n"
					  "POSTERN_ABANDONED=true\n"
					  "POSTERN_SKEW=false\n"
					  "POSTERN_TIME_DELTA_NSEC=-9223372036854775808\n"
					  "POSTERN_DETAIL=\n"
					  "SYSLOG_IDENTIFIER=postern\n");
}

/* Others have no writer; and a name is one as the journal takes it. */
static void the_schema_can_be_written(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < schema_audit.n; i++) {
		const struct field *f = &schema_audit.fields[i];

		assert_true(f->kind == K_INT || f->kind == K_U64 || f->kind == K_BOOL ||
			    f->kind == K_STR);
		assert_true(f->flags & F_PUB);
		assert_true(f->kind == K_STR || !(f->flags & F_JSON));
		assert_in_range(strlen(f->name), 1, 64);
		assert_true(*f->name >= 'A' && *f->name <= 'Z');
		assert_int_equal(strspn(f->name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"),
				 strlen(f->name));
		assert_string_not_equal(f->name, "SYSLOG_IDENTIFIER");
		for (uint32_t j = 0; j < i; j++)
			assert_string_not_equal(f->name, schema_audit.fields[j].name);
	}
}

/* What IN becomes. */
static const struct escape_row {
	const char *in, *out;
} escape_rows[] = {
	{"plain text, with = and \"quotes\"", "plain text, with = and \"quotes\""},
	{"a\nb", "a\\x0ab"},
	{"\nPRIORITY=0", "\\x0aPRIORITY=0"},
	{"\r\t\x1b[31m\x7f", "\\x0d\\x09\\x1b[31m\\x7f"},
	{"back\\slash", "back\\x5cslash"},
	{"\\x0a", "\\x5cx0a"},
	/* UTF-8 stays */
	{"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"},
	/* C1: \u0085 is a line end to some; \u009b begins a terminal's sequence */
	{"\xc2\x85\xc2\x9b", "\\xc2\\x85\\xc2\\x9b"},
	{"\xc2\xa0", "\xc2\xa0"},
	/* no UTF-8: alone, cut, overlong, surrogate, too large */
	{"\xff\xfe", "\\xff\\xfe"},
	{"a\x85z", "a\\x85z"},
	{"a\xe2\x82", "a\\xe2\\x82"},
	{"\xc0\x8a", "\\xc0\\x8a"},
	{"\xe0\x80\x8a", "\\xe0\\x80\\x8a"},
	{"\xed\xa0\x80", "\\xed\\xa0\\x80"},
	{"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"},
	/* line and paragraph separator */
	{"\xe2\x80\xa8\xe2\x80\xa9", "\\xe2\\x80\\xa8\\xe2\\x80\\xa9"},
	/* all that turn the text around them (Bidi_Control) */
	{"\xd8\x9c", "\\xd8\\x9c"},
	{"\xe2\x80\x8e\xe2\x80\x8f", "\\xe2\\x80\\x8e\\xe2\\x80\\x8f"},
	{"\xe2\x80\xaa\xe2\x80\xae", "\\xe2\\x80\\xaa\\xe2\\x80\\xae"},
	{"\xe2\x81\xa6\xe2\x81\xa9", "\\xe2\\x81\\xa6\\xe2\\x81\\xa9"},
	/* what is not seen: zero width, soft hyphen, joiner, byte order mark, a tag */
	{"\xe2\x80\x8b", "\\xe2\\x80\\x8b"},
	{"\xc2\xad", "\\xc2\\xad"},
	{"\xe2\x81\xa0", "\\xe2\\x81\\xa0"},
	{"\xef\xbb\xbf", "\\xef\\xbb\\xbf"},
	{"\xf3\xa0\x81\x81", "\\xf3\\xa0\\x81\\x81"},
	/* neighbours of these */
	{"\xe2\x80\xa7\xe2\x80\xaf\xe2\x80\x90", "\xe2\x80\xa7\xe2\x80\xaf\xe2\x80\x90"},
};

static void what_is_escaped(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(escape_rows); i++) {
		const struct escape_row *row = &escape_rows[i];
		char expected[256];

		snprintf(expected, sizeof(expected),
			 "POSTERN_DETAIL=%s\nSYSLOG_IDENTIFIER=postern\n", row->out);
		assert_string_equal(
			entry_of(&(struct msg_audit){.detail = v_str(row->in)}),
			expected);
	}
	/* A NUL is a control character like others. */
	assert_string_equal(entry_of(&(struct msg_audit){.detail = bytes("a\0b", 3)}),
			    "POSTERN_DETAIL=a\\x00b\nSYSLOG_IDENTIFIER=postern\n");
}

/* ---- any bytes ---- */

struct any {
	char raw[80][64]; /* of each field */
	char json[80][512];
	size_t len[80];
};

static void any_field(struct any *any, uint32_t i, void *value)
{
	const struct field *f = &schema_audit.fields[i];
	struct wbuf w = wbuf_fixed(any->json[i], sizeof(any->json[i]));
	/* Bytes that matter come often. */
	static const char liked[] = "\n\n\r=\\\0\xe2\x80\xa8\xc2\x85";

	any->len[i] = (size_t)random() % sizeof(any->raw[i]);
	for (size_t n = 0; n < any->len[i]; n++) {
		any->raw[i][n] = liked[random() % (long)sizeof(liked)];
		if (random() % 2)
			memset(&any->raw[i][n], (int)random() & 0xff, 1);
	}
	if (f->kind == K_STR && f->flags & F_JSON) {
		jsonw_str(&w, any->raw[i], any->len[i]);
		assert_false(w.bad);
		*(struct v_str *)value = bytes(any->json[i], w.len);
	} else if (f->kind == K_STR) {
		*(struct v_str *)value = bytes(any->raw[i], any->len[i]);
	} else if (f->kind == K_BOOL) {
		*(struct v_bool *)value = V_BOOL(random() % 2);
	} else if (f->kind == K_INT) {
		*(struct v_int *)value = V_INT((int64_t)((uint64_t)random() << 33));
	} else {
		*(struct v_u64 *)value = V_U64((uint64_t)random() << 33);
	}
}

/* The VALUE of LEN bytes is RAW, each escape one byte of it. */
static void assert_is(const char *value, size_t len, const char *raw, size_t raw_len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; n++) {
		unsigned int byte = (uint8_t)value[i];

		if (value[i] == '\\') {
			const char hex[3] = {value[i + 2], value[i + 3]};
			char *end;

			assert_true(i + 4 <= len && value[i + 1] == 'x');
			byte = (unsigned int)strtoul(hex, &end, 16);
			assert_ptr_equal(end, hex + 2);
			i += 3;
		}
		assert_true(n < raw_len && byte == (uint8_t)raw[n]);
		i++;
	}
	assert_int_equal(n, raw_len);
}

/* LINE, without its end, is field F of ANY. */
static void assert_field(const struct any *any, uint32_t i, const char *line, size_t len)
{
	const struct field *f = &schema_audit.fields[i];
	size_t name = strlen(f->name);

	assert_true(len > name && !strncmp(line, f->name, name) && line[name] == '=');
	for (size_t n = 0; n < len; n++) {
		assert_true((uint8_t)line[n] >= 0x20 && line[n] != 0x7f);
		/* JSON of our own is ASCII; that is why it may go as it is. */
		assert_true(!(f->flags & F_JSON) || (uint8_t)line[n] < 0x7f);
	}
	if (f->kind != K_STR)
		return;
	line += name + 1;
	len -= name + 1;
	if (f->flags & F_JSON)
		assert_memory_equal(line, any->json[i], len);
	else
		assert_is(line, len, any->raw[i], any->len[i]);
}

/* Whatever the texts are, there is one line for each field, and it can be read back. */
static void no_text_is_another_field(void **state)
{
	static struct any any;

	(void)state;
	assert_true(schema_audit.n <= ARRAY_SIZE(any.len));
	srandom(3);
	for (int round = 0; round < 3000; round++) {
		struct msg_audit r = {0};
		bool set[ARRAY_SIZE(any.len)] = {false};
		const char *at, *end;

		for (uint32_t i = 0; i < schema_audit.n; i++) {
			set[i] = random() % 3;
			if (set[i])
				any_field(&any, i,
					  (char *)&r + schema_audit.fields[i].offset);
		}
		at = entry_of(&r);
		for (uint32_t i = 0; i < schema_audit.n; i++) {
			if (!set[i])
				continue;
			end = strchr(at, '\n');
			assert_non_null(end);
			assert_field(&any, i, at, (size_t)(end - at));
			at = end + 1;
		}
		assert_string_equal(at, "SYSLOG_IDENTIFIER=postern\n");
	}
}

/* ---- sending ---- */

struct fixture {
	size_t fds;
	struct loop loop;
	struct journal j;
	int readies;  /* calls of `ready` */
	int receiver; /* the journal's end; -1: it is away */
	char buf[ENTRY_MAX];
};

static bool placed;

static void on_ready(struct journal *j)
{
	struct fixture *f = CONTAINER_OF(j, struct fixture, j);

	f->readies++;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	*state = f;
	alarm(ALARM_S);
	f->fds = fds_open();
	f->receiver = -1;
	if (loop_init(&f->loop) < 0 || journal_open(&f->j, &f->loop, on_ready) < 0)
		return -1;
	/* What does not wait, does not even where the socket would. */
	return fcntl(f->j.source.fd, F_SETFL, 0);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	journal_leave(&f->receiver);
	timer_done(&f->loop, &f->j.retry);
	close_p(&f->j.source.fd);
	loop_done(&f->loop);
	assert_int_equal(fds_open(), f->fds);
	free(f);
	alarm(0);
	return 0;
}

static void need_place(void)
{
	if (placed)
		return;
	print_message("# needs root, and mounts of its own\n");
	skip();
}

/* Let the loop turn until nothing is ready, and nothing was for WAIT ms. */
static void settle(struct fixture *f, int wait)
{
	struct epoll_event ev;

	while (epoll_wait(f->loop.epfd, &ev, 1, wait) > 0) {
		struct source *s = ev.data.ptr;

		assert_int_equal(s->fn(s, ev.events), 0);
	}
}

static bool send_text(struct fixture *f, const char *entry)
{
	return journal_send(&f->j, (const uint8_t *)entry, strlen(entry));
}

/* The next entry is ENTRY. */
static void arrives(struct fixture *f, const char *entry)
{
	size_t len = journal_next(f->receiver, f->buf, sizeof(f->buf), NULL);

	assert_int_equal(len, strlen(entry));
	assert_memory_equal(f->buf, entry, len);
}

static void nothing_arrives(struct fixture *f)
{
	assert_int_equal(journal_next(f->receiver, f->buf, sizeof(f->buf), NULL), 0);
}

static void sent_as_it_is(void **state)
{
	struct fixture *f = *state;

	need_place();
	f->receiver = journal_listen();
	assert_true(send_text(f, "MESSAGE=one\n"));
	assert_true(send_text(f, "MESSAGE=two\n"));
	arrives(f, "MESSAGE=one\n");
	arrives(f, "MESSAGE=two\n");
	nothing_arrives(f);
	settle(f, 0);
	assert_int_equal(f->readies, 0);
	assert_false(f->j.retry.armed);
}

/* Send until it takes no more; how many it took. */
static uint32_t fill(struct fixture *f)
{
	uint32_t n = 0;
	char entry[64];

	while (snprintf(entry, sizeof(entry), "MESSAGE=%u\n", n), send_text(f, entry))
		assert_true(++n < 100000);
	return n;
}

static void a_full_one(void **state)
{
	struct fixture *f = *state;
	uint32_t n, more;
	char entry[64];

	need_place();
	f->receiver = journal_listen();
	n = fill(f);
	assert_true(n > 0);
	/* It stays so, and nobody waits: not for it, and not for the clock. */
	assert_false(send_text(f, "MESSAGE=x\n"));
	settle(f, 20);
	assert_int_equal(f->readies, 0);
	assert_false(f->j.retry.armed);
	assert_true(f->j.connected);
	/* It is read, and we are told, once. */
	for (uint32_t i = 0; i < n; i++) {
		snprintf(entry, sizeof(entry), "MESSAGE=%u\n", i);
		arrives(f, entry);
	}
	settle(f, 0);
	assert_int_equal(f->readies, 1);
	more = fill(f);
	assert_true(more > 0);
	settle(f, 0);
	assert_int_equal(f->readies, 1);
}

/* A full one that goes: no word comes of that, but the clock's. */
static void a_full_one_goes(void **state)
{
	struct fixture *f = *state;

	need_place();
	f->receiver = journal_listen();
	fill(f);
	journal_leave(&f->receiver);
	settle(f, 0);
	assert_false(send_text(f, "MESSAGE=x\n"));
	assert_true(f->j.retry.armed);
	/* And it is not asked again and again meanwhile. */
	f->readies = 0;
	settle(f, 50);
	assert_int_equal(f->readies, 0);
}

static void one_that_is_away(void **state)
{
	struct fixture *f = *state;

	need_place();
	assert_false(send_text(f, "MESSAGE=one\n"));
	assert_true(f->j.retry.armed);
	assert_false(send_text(f, "MESSAGE=two\n"));
	settle(f, 20);
	assert_int_equal(f->readies, 0);
	/* With the next record, before the time is over. */
	f->receiver = journal_listen();
	assert_true(send_text(f, "MESSAGE=three\n"));
	arrives(f, "MESSAGE=three\n");
	nothing_arrives(f);
}

static void looked_for_in_time(void **state)
{
	struct fixture *f = *state;
	uint64_t began = now_ms();

	need_place();
	assert_false(send_text(f, "MESSAGE=one\n"));
	settle(f, JOURNAL_RETRY_MS + 200);
	assert_int_equal(f->readies, 1);
	assert_true(now_ms() - began >= JOURNAL_RETRY_MS);
	assert_false(f->j.retry.armed);
	assert_false(send_text(f, "MESSAGE=one\n"));
	assert_true(f->j.retry.armed);
}

/* Another one took its place: the same record gets there. */
static void gone_and_back(void **state)
{
	struct fixture *f = *state;

	need_place();
	f->receiver = journal_listen();
	assert_true(send_text(f, "MESSAGE=one\n"));
	arrives(f, "MESSAGE=one\n");
	for (int i = 0; i < 3; i++) {
		journal_leave(&f->receiver);
		f->receiver = journal_listen();
		assert_true(send_text(f, "MESSAGE=two\n"));
		arrives(f, "MESSAGE=two\n");
		assert_false(f->j.retry.armed);
	}
	/* Gone for longer. */
	journal_leave(&f->receiver);
	assert_false(send_text(f, "MESSAGE=three\n"));
	assert_true(f->j.retry.armed);
	f->receiver = journal_listen();
	assert_true(send_text(f, "MESSAGE=four\n"));
	arrives(f, "MESSAGE=four\n");
	nothing_arrives(f);
}

/* ---- large ones ---- */

/* An entry of LEN bytes; it is the test's until the next. */
static const char *large(size_t len)
{
	static char entry[ENTRY_MAX];

	for (size_t i = 0; i < len; i++)
		entry[i] = (char)('a' + i % 26);
	return entry;
}

/* An entry of LEN bytes arrives whole, beside a datagram if BESIDE. */
static void comes_whole(struct fixture *f, size_t len, bool beside)
{
	const char *entry = large(len);
	bool memfd;

	assert_true(journal_send(&f->j, (const uint8_t *)entry, len));
	assert_int_equal(journal_next(f->receiver, f->buf, sizeof(f->buf), &memfd), len);
	assert_memory_equal(f->buf, entry, len);
	assert_int_equal(memfd, beside);
}

static void large_ones_in_a_memfd(void **state)
{
	struct fixture *f = *state;

	need_place();
	f->receiver = journal_listen();
	comes_whole(f, 1, false);
	comes_whole(f, JOURNAL_DATAGRAM_MAX, false);
	comes_whole(f, JOURNAL_DATAGRAM_MAX + 1, true);
	comes_whole(f, 65536, true);
	comes_whole(f, 100000, true);
	/* They meet the same fate as small ones. */
	journal_leave(&f->receiver);
	assert_false(journal_send(&f->j, (const uint8_t *)large(65536), 65536));
	assert_true(f->j.retry.armed);
	f->receiver = journal_listen();
	comes_whole(f, 65536, true);
	fill(f);
	assert_false(journal_send(&f->j, (const uint8_t *)large(65536), 65536));
}

/* What the socket's buffer has no room for goes beside as well. */
static void too_large_for_the_buffer(void **state)
{
	struct fixture *f = *state;
	int least = 1;

	need_place();
	f->receiver = journal_listen();
	assert_int_equal(
		setsockopt(f->j.source.fd, SOL_SOCKET, SO_SNDBUF, &least, sizeof(least)),
		0);
	comes_whole(f, 100, false);
	comes_whole(f, 10000, true);
	assert_false(f->j.retry.armed);
	assert_true(f->j.connected);
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(absent_leaves_nothing),
		cmocka_unit_test(each_kind),
		cmocka_unit_test(the_schema_can_be_written),
		cmocka_unit_test(what_is_escaped),
		cmocka_unit_test(no_text_is_another_field),
		WITH(sent_as_it_is),
		WITH(a_full_one),
		WITH(a_full_one_goes),
		WITH(one_that_is_away),
		WITH(looked_for_in_time),
		WITH(gone_and_back),
		WITH(large_ones_in_a_memfd),
		WITH(too_large_for_the_buffer),
	};

	placed = journal_place() == 0;
	return cmocka_run_group_tests_name("journal", tests, NULL, NULL);
}
