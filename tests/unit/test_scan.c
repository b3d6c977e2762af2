/*
 * tests/unit/test_scan.c - the reader of the host's bytes
 *
 * Runs in:   a test
 * Input:     the requests of protocol section 6, and what they do not cover
 * May touch: memory
 * Must not:  depend on how the input is cut: that is what is tested
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <malloc.h>

#include "json/scan_impl.h"

/* The bulk sink of the tests: memory, full at `room` bytes. */
struct sink {
	struct scan_sink sink;
	struct wbuf got;
	size_t room;
	int begun;
	int dropped;
};

static struct sink *sink_of(struct scan_sink *s)
{
	return CONTAINER_OF(s, struct sink, sink);
}

static int sink_begin(struct scan_sink *s)
{
	sink_of(s)->got.len = 0;
	sink_of(s)->begun++;
	return sink_of(s)->room ? 0 : -1;
}

static int sink_write(struct scan_sink *s, const uint8_t *p, size_t len)
{
	struct sink *k = sink_of(s);

	if (len > k->room - k->got.len)
		return -1;
	wbuf_put(&k->got, p, len);
	return 0;
}

static void sink_drop(struct scan_sink *s)
{
	sink_of(s)->got.len = 0;
	sink_of(s)->dropped++;
}

/* A scanner, its sink, and a line for each event that it gave. */
struct fixture {
	struct sink sink;
	struct scan *scan;
	struct wbuf log;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	f->sink.sink = (struct scan_sink){sink_begin, sink_write, sink_drop};
	f->sink.got = wbuf_growing(SCAN_MESSAGE_MAX);
	f->sink.room = SCAN_MESSAGE_MAX;
	f->log = wbuf_growing(16 * SCAN_MESSAGE_MAX);
	f->scan = scan_new(&f->sink.sink);
	*state = f;
	return f->scan ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	scan_free_p(&f->scan);
	wbuf_free(&f->sink.got);
	wbuf_free(&f->log);
	free(f);
	return 0;
}

static void log_text(struct fixture *f, const char *before, struct scan_text t)
{
	wbuf_text(&f->log, before);
	wbuf_put(&f->log, t.p, t.len);
}

static void log_event(struct fixture *f, enum scan_event ev)
{
	if (ev == SCAN_ERROR) {
		log_text(f, "E ", scan_error_text(f->scan));
	} else {
		log_text(f, "R ", scan_request_text(f->scan));
		if (scan_request_id(f->scan).p)
			log_text(f, " ", scan_request_id(f->scan));
	}
	wbuf_u8(&f->log, '\n');
}

static void feed(struct fixture *f, const void *p, size_t len)
{
	const uint8_t *b = p;

	while (len) {
		enum scan_event ev;
		size_t n = scan_feed(f->scan, b, len, &ev);

		assert_true(n <= len);
		b += n;
		len -= n;
		if (ev == SCAN_MORE)
			assert_int_equal(len, 0);
		else
			log_event(f, ev);
	}
}

static void feed_text(struct fixture *f, const char *text)
{
	feed(f, text, strlen(text));
}

/* TEXT N times. */
static void feed_times(struct fixture *f, const char *text, size_t n)
{
	while (n--)
		feed_text(f, text);
}

static void expect(struct fixture *f, const char *log)
{
	wbuf_u8(&f->log, 0);
	assert_string_equal((const char *)f->log.p, log);
	f->log.len = 0;
}

/* Feed it and compare, starting with a scanner that knows nothing. */
static void gives(struct fixture *f, const char *in, const char *log)
{
	scan_reset(f->scan);
	feed_text(f, in);
	expect(f, log);
}

#define ERROR(text)       "E " text "\n"
#define PARSE(text)       ERROR("JSON parse error, " text)
#define STRAY(text)       PARSE("stray '" text "'")
#define NO_VALUE          PARSE("expecting value")
#define NO_OBJECT         ERROR("QMP input must be a JSON object")
#define REQUEST(text, id) "R " text id "\n"
#define PING              REQUEST("{\"execute\":\"guest-ping\"}", "")
#define PING_ID(id)       REQUEST("{\"execute\":\"guest-ping\",\"id\":null}", " " id)
#define SYNC_NUM          REQUEST("{\"execute\":\"guest-sync\",\"arguments\":{\"id\":0}}", "")
#define TOO_BIG           ERROR("JSON token size limit exceeded")
#define TOO_MANY          ERROR("JSON token count limit exceeded")
#define TOO_DEEP          ERROR("JSON nesting depth limit exceeded")

/* Conformance rows 1 to 116; numbers stand in the text as their index. */
#define ROW(number, in, out)                    \
	{                                       \
		number, in, sizeof(in) - 1, out \
	}
static const struct row {
	int number;
	const char *in;
	size_t len;
	const char *out;
} rows[] = {
	/* clang-format off */
	ROW(1, "{\"execute\":\"guest-ping\"}\n",
	    PING),
	ROW(2, "{\"execute\":\"guest-ping\"}",
	    PING),
	ROW(3, "{\"execute\":\"guest-ping\"}\r\n",
	    PING),
	ROW(4, " \t{ \"execute\" :\r\n \"guest-ping\" }\n",
	    PING),
	ROW(5, "\n\n \t\r\n",
	    ""),
	ROW(6, "{\"execute\":\"guest-sync\",\"arguments\":{\"id\":1}}{\"execute\":\"guest-sync\",\"arguments\":{\"id\":2}}\n{\"execute\":\"guest-sync\",\"arguments\":{\"id\":3}}",
	    SYNC_NUM SYNC_NUM SYNC_NUM),
	ROW(7, "{\"execute\":\"guest-ping\"} trailing\n",
	    PING PARSE("invalid keyword 'trailing'")),
	ROW(8, "{\"execute\":\"guest-ping\"}}\n",
	    PING NO_VALUE),
	ROW(9, "{\"execute\":\"guest-ping\"}]\n",
	    PING NO_VALUE),
	ROW(10, "{\"execute\":\"guest-ping\"\n",
	    ""),
	ROW(11, "{\"execute\":\"guest-ping\"\n}\n",
	    PING),
	ROW(12, "\377",
	    STRAY("\377")),
	ROW(13, "\377\377\377",
	    STRAY("\377") STRAY("\377") STRAY("\377")),
	ROW(14, "\376",
	    STRAY("\376")),
	ROW(15, "\377{\"execute\":\"guest-ping\"}\n",
	    STRAY("\377") PING),
	ROW(16, "{\"execute\":\"gue\377{\"execute\":\"guest-ping\"}\n",
	    STRAY("\"gue\377") PING),
	ROW(17, "{\"execute\":\"guest-ping\",\"id\":[1,2,{\"a\"\377{\"execute\":\"guest-ping\"}\n",
	    STRAY("\377") PING),
	ROW(18, "\377{\"execute\":\"guest-sync-delimited\",\"arguments\":{\"id\":123}}\n",
	    STRAY("\377") REQUEST("{\"execute\":\"guest-sync-delimited\",\"arguments\":{\"id\":0}}", "")),
	ROW(19, "{\"execute\":\"guest-sync-delimited\",\"arguments\":{\"id\":123}}\n",
	    REQUEST("{\"execute\":\"guest-sync-delimited\",\"arguments\":{\"id\":0}}", "")),
	ROW(20, "{\"execute\":\"guest-sync-delimited\",\"arguments\":{\"id\":1}}{\"execute\":\"guest-ping\"}\n",
	    REQUEST("{\"execute\":\"guest-sync-delimited\",\"arguments\":{\"id\":0}}", "") PING),
	ROW(21, "{\"execute\":\"guest-sync-delimited\",\"arguments\":{\"id\":\"x\"}}\n",
	    REQUEST("{\"execute\":\"guest-sync-delimited\",\"arguments\":{\"id\":\"x\"}}", "")),
	ROW(22, "{\"execute\":\"guest-sync-delimited\",\"arguments\":{\"id\":7},\"id\":\"tag\"}\n",
	    REQUEST("{\"execute\":\"guest-sync-delimited\",\"arguments\":{\"id\":0},\"id\":null}", " \"tag\"")),
	ROW(23, "\000{\"execute\":\"guest-ping\"}\n",
	    STRAY("") PING),
	ROW(24, "\001{\"execute\":\"guest-ping\"}\n",
	    STRAY("\001") PING),
	ROW(25, "\357\273\277{\"execute\":\"guest-ping\"}\n",
	    STRAY("\357") PING),
	ROW(26, "5",
	    ""),
	ROW(27, "5\n",
	    NO_OBJECT),
	ROW(28, "[]\n",
	    NO_OBJECT),
	ROW(29, "\"str\"\n",
	    NO_OBJECT),
	ROW(30, "5\n",
	    NO_OBJECT),
	ROW(31, "null\n",
	    NO_OBJECT),
	ROW(32, "foo\n",
	    PARSE("invalid keyword 'foo'")),
	ROW(33, "nul\n",
	    PARSE("invalid keyword 'nul'")),
	ROW(34, "True\n",
	    STRAY("T")),
	ROW(35, "{execute:\"guest-ping\"}\n",
	    PARSE("invalid keyword 'execute'")),
	ROW(36, "{\"execute\" \"guest-ping\"}\n",
	    PARSE("missing : in object pair")),
	ROW(37, "{\"execute\":}\n",
	    NO_VALUE),
	ROW(38, "{\"execute\":\"guest-ping\",}\n",
	    NO_VALUE),
	ROW(39, "{,}\n",
	    NO_VALUE),
	ROW(40, "{\"a\":1,,\"b\":2}\n",
	    NO_VALUE),
	ROW(41, "{\"a\":1 \"b\":2}\n",
	    PARSE("expected separator in dict")),
	ROW(42, "[1,]\n",
	    NO_VALUE),
	ROW(43, "[1 2]\n",
	    PARSE("expected separator in list")),
	ROW(44, "{\"execute\":\"guest-ping\"]\n",
	    PARSE("expected separator in dict")),
	ROW(45, "[}\n",
	    NO_VALUE),
	ROW(46, "}\n",
	    NO_VALUE),
	ROW(47, ":\n",
	    NO_VALUE),
	ROW(48, ",\n",
	    NO_VALUE),
	ROW(49, "{1:2}\n",
	    PARSE("key is not a string in object")),
	ROW(50, "{null:2}\n",
	    PARSE("key is not a string in object")),
	ROW(51, "{[]:2}\n",
	    PARSE("key is not a string in object")),
	ROW(52, "{\"a\":1\n]\n",
	    PARSE("expected separator in dict")),
	ROW(53, "// comment\n",
	    STRAY("/")),
	ROW(54, "/* c */{\"execute\":\"guest-ping\"}\n",
	    STRAY("/") PING),
	ROW(55, "#{\"execute\":\"guest-ping\"}\n",
	    STRAY("#") PING),
	ROW(56, "%s\n",
	    STRAY("%")),
	ROW(57, "'x'\n",
	    NO_OBJECT),
	ROW(58, "{\"execute\":\"guest-ping\",\"execute\":\"guest-info\"}\n",
	    PARSE("duplicate key")),
	ROW(59, "{\"execute\":\"guest-ping\",\"id\":{\"b\":1,\"b\":2}}\n",
	    PARSE("duplicate key")),
	ROW(60, "{'execute':'guest-ping'}\n",
	    PING),
	ROW(61, "{'execute':\"guest-ping\",\"id\":'it\"s'}\n",
	    PING_ID("\"it\\\"s\"")),
	ROW(62, "{\"execute\":\"guest-ping\",\"id\":'it\\'s'}\n",
	    PING_ID("\"it's\"")),
	ROW(63, "{\"execute\":\"guest-ping\",\"id\":\"\\u0041\\u00e9\\u20ac\\ud83d\\ude00\\/\\b\\f\\n\\r\\t\\\\\\\"\"}\n",
	    PING_ID("\"A\\u00E9\\u20AC\\uD83D\\uDE00/\\b\\f\\n\\r\\t\\\\\\\"\"")),
	ROW(64, "{\"execute\":\"guest-ping\",\"id\":\"\303\251\360\237\230\200\177\"}\n",
	    PING_ID("\"\\u00E9\\uD83D\\uDE00\\u007F\"")),
	ROW(65, "{\"\\u0065xecute\":\"guest-ping\"}\n",
	    PING),
	ROW(66, "{\"execute\":\"guest-ping\",\"id\":\"a\\u0000b\"}\n",
	    PARSE("NUL character in string")),
	ROW(67, "{\"execute\":\"guest-ping\",\"id\":\"\300\200\"}\n",
	    PARSE("NUL character in string")),
	ROW(68, "{\"execute\":\"guest-ping\",\"id\":\"\303\"}\n",
	    PARSE("invalid UTF-8 sequence in string")),
	ROW(69, "{\"execute\":\"guest-ping\",\"id\":\"\200\"}\n",
	    PARSE("invalid UTF-8 sequence in string")),
	ROW(70, "{\"execute\":\"guest-ping\",\"id\":\"\300\257\"}\n",
	    PARSE("invalid UTF-8 sequence in string")),
	ROW(71, "{\"execute\":\"guest-ping\",\"id\":\"\355\240\200\"}\n",
	    PARSE("invalid UTF-8 sequence in string")),
	ROW(72, "{\"execute\":\"guest-ping\",\"id\":\"\364\220\200\200\"}\n",
	    PARSE("invalid UTF-8 sequence in string")),
	ROW(73, "{\"execute\":\"guest-ping\",\"id\":\"\357\277\277\"}\n",
	    PARSE("invalid UTF-8 sequence in string")),
	ROW(74, "{\"execute\":\"guest-ping\",\"id\":\"\\uffff\"}\n",
	    PARSE("\\uffff is not a valid Unicode character")),
	ROW(75, "{\"execute\":\"guest-ping\",\"id\":\"\\ufdd0\"}\n",
	    PARSE("\\ufdd0 is not a valid Unicode character")),
	ROW(76, "{\"execute\":\"guest-ping\",\"id\":\"\\ud800\"}\n",
	    PARSE("\\ud800 is not a valid Unicode character")),
	ROW(77, "{\"execute\":\"guest-ping\",\"id\":\"\\udc00\"}\n",
	    PARSE("\\udc00 is not a valid Unicode character")),
	ROW(78, "{\"execute\":\"guest-ping\",\"id\":\"\\ud800\\u0041\"}\n",
	    PARSE("\\ud800 is not a valid Unicode character")),
	ROW(79, "{\"execute\":\"guest-ping\",\"id\":\"\\uZZZZ\"}\n",
	    PARSE("\\uZZZZ is not a valid Unicode character")),
	ROW(80, "{\"execute\":\"guest-ping\",\"id\":\"\\u12\"}\n",
	    PARSE("\\u12\" is not a valid Unicode character")),
	ROW(81, "{\"execute\":\"guest-ping\",\"id\":\"\\x41\"}\n",
	    PARSE("invalid escape sequence in string")),
	ROW(82, "{\"execute\":\"guest-ping\",\"id\":\"a\tb\"}\n",
	    STRAY("\"a\t") NO_VALUE),
	ROW(83, "{\"execute\":\"guest-ping\",\"id\":\"a\nb\"}\n",
	    STRAY("\"a\n") NO_VALUE),
	ROW(84, "{\"execute\":\"guest-ping\",\"id\":\"\377\"}\n",
	    STRAY("\"\377") NO_VALUE),
	ROW(85, "{\"execute\":\"%s%n\",\"id\":\"%d\"}\n",
	    REQUEST("{\"execute\":\"%s%n\",\"id\":null}", " \"%d\"")),
	ROW(86, "{\"execute\":\"a\\u0000b\"}\n",
	    PARSE("NUL character in string")),
	ROW(87, "{\"execute\":\"guest-sync\",\"arguments\":{\"id\":0}}\n",
	    SYNC_NUM),
	ROW(88, "{\"execute\":\"guest-sync\",\"arguments\":{\"id\":-0}}\n",
	    SYNC_NUM),
	ROW(89, "{\"execute\":\"guest-sync\",\"arguments\":{\"id\":9223372036854775807}}\n",
	    SYNC_NUM),
	ROW(90, "{\"execute\":\"guest-sync\",\"arguments\":{\"id\":-9223372036854775808}}\n",
	    SYNC_NUM),
	ROW(91, "{\"execute\":\"guest-sync\",\"arguments\":{\"id\":9223372036854775808}}\n",
	    SYNC_NUM),
	ROW(92, "{\"execute\":\"guest-sync\",\"arguments\":{\"id\":18446744073709551616}}\n",
	    SYNC_NUM),
	ROW(93, "{\"execute\":\"guest-sync\",\"arguments\":{\"id\":1.0}}\n",
	    SYNC_NUM),
	ROW(94, "{\"execute\":\"guest-sync\",\"arguments\":{\"id\":1e3}}\n",
	    SYNC_NUM),
	ROW(95, "{\"execute\":\"guest-sync\",\"arguments\":{\"id\":01}}\n",
	    STRAY("01") NO_VALUE NO_VALUE),
	ROW(96, "{\"execute\":\"guest-sync\",\"arguments\":{\"id\":+1}}\n",
	    STRAY("+") NO_VALUE NO_VALUE),
	ROW(97, "{\"execute\":\"guest-sync\",\"arguments\":{\"id\":.5}}\n",
	    STRAY(".") NO_VALUE NO_VALUE),
	ROW(98, "{\"execute\":\"guest-sync\",\"arguments\":{\"id\":1.}}\n",
	    STRAY("1.}") NO_VALUE),
	ROW(99, "{\"execute\":\"guest-sync\",\"arguments\":{\"id\":0x10}}\n",
	    PARSE("expected separator in dict")),
	ROW(100, "{\"execute\":\"guest-sync\",\"arguments\":{\"id\":0e1}}\n",
	    PARSE("expected separator in dict")),
	ROW(101, "{\"execute\":\"guest-sync\",\"arguments\":{\"id\":0E1}}\n",
	    STRAY("E") NO_VALUE NO_VALUE),
	ROW(102, "{\"execute\":\"guest-sync\",\"arguments\":{\"id\":NaN}}\n",
	    STRAY("N") NO_VALUE NO_VALUE),
	ROW(103, "{\"execute\":\"guest-sync\",\"arguments\":{\"id\":-Infinity}}\n",
	    STRAY("-I") NO_VALUE NO_VALUE),
	ROW(104, "{\"execute\":\"guest-sync\",\"arguments\":{\"id\":\"1\"}}\n",
	    REQUEST("{\"execute\":\"guest-sync\",\"arguments\":{\"id\":\"1\"}}", "")),
	ROW(105, "{\"execute\":\"guest-sync\",\"arguments\":{\"id\":null}}\n",
	    REQUEST("{\"execute\":\"guest-sync\",\"arguments\":{\"id\":null}}", "")),
	ROW(106, "{\"execute\":\"guest-sync\",\"arguments\":{\"id\":true}}\n",
	    REQUEST("{\"execute\":\"guest-sync\",\"arguments\":{\"id\":true}}", "")),
	ROW(107, "{\"execute\":\"guest-sync\",\"arguments\":{\"id\":[]}}\n",
	    REQUEST("{\"execute\":\"guest-sync\",\"arguments\":{\"id\":[]}}", "")),
	ROW(108, "{\"execute\":\"guest-ping\",\"id\":1.5}\n",
	    PING_ID("1.5")),
	ROW(109, "{\"execute\":\"guest-ping\",\"id\":1.0}\n",
	    PING_ID("1")),
	ROW(110, "{\"execute\":\"guest-ping\",\"id\":0.1}\n",
	    PING_ID("0.10000000000000001")),
	ROW(111, "{\"execute\":\"guest-ping\",\"id\":1e22}\n",
	    PING_ID("1e+22")),
	ROW(112, "{\"execute\":\"guest-ping\",\"id\":18446744073709551615}\n",
	    PING_ID("18446744073709551615")),
	ROW(113, "{\"execute\":\"guest-ping\",\"id\":18446744073709551616}\n",
	    PING_ID("1.8446744073709552e+19")),
	ROW(114, "{\"execute\":\"guest-ping\",\"id\":1e400}\n",
	    PARSE("number out of range")),
	ROW(115, "{\"execute\":\"guest-ping\",\"id\":-1e400}\n",
	    PARSE("number out of range")),
	ROW(116, "{\"execute\":\"guest-ping\",\"id\":-0.0}\n",
	    PING_ID("-0")),
	/* clang-format on */
};

static void expect_row(struct fixture *f, const struct row *row)
{
	if (f->log.len != strlen(row->out))
		print_error("row %d\n", row->number);
	expect(f, row->out);
}

static void rows_whole(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		scan_reset(((struct fixture *)*state)->scan);
		feed(*state, rows[i].in, rows[i].len);
		expect_row(*state, &rows[i]);
	}
}

static void rows_by_byte(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		scan_reset(((struct fixture *)*state)->scan);
		for (size_t at = 0; at < rows[i].len; at++)
			feed(*state, rows[i].in + at, 1);
		expect_row(*state, &rows[i]);
	}
}

static void rows_cut_anywhere(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		for (size_t cut = 1; cut < rows[i].len; cut++) {
			scan_reset(((struct fixture *)*state)->scan);
			feed(*state, rows[i].in, cut);
			feed(*state, rows[i].in + cut, rows[i].len - cut);
			expect_row(*state, &rows[i]);
		}
}

/* What follows an error: where the lexer starts again, and which error counts. */
static void recovery(void **state)
{
	gives(*state,
	      "\xff"
	      "5\n",
	      STRAY("\xff"));
	gives(*state, "\xff\"abc\"\n", STRAY("\xff"));
	gives(*state, "# \t x\n5\n", STRAY("#") NO_OBJECT);
	gives(*state, "#\x01", STRAY("#") STRAY("\x01"));
	gives(*state, "#abc]", STRAY("#") NO_VALUE);
	gives(*state, "[1 2 #\n", STRAY("#"));
	gives(*state, "[1 2 {\"a\" 1}]", PARSE("expected separator in list"));
	gives(*state, "[1 2 {]", "");
	gives(*state, "[1 2 {]}", PARSE("expected separator in list"));
	gives(*state, "[1 2 }", PARSE("expected separator in list"));
	gives(*state, "[{]}", NO_VALUE);
	gives(*state, "5\"a\"{}", NO_OBJECT NO_OBJECT REQUEST("{}", ""));
}

/* Errors inside a value come before its key is compared; keys may be any value. */
static void order_of_errors(void **state)
{
	gives(*state, "{\"a\":1,\"a\":[1 2]}", PARSE("expected separator in list"));
	gives(*state, "{\"a\":1,\"\\u0061\":2}", PARSE("duplicate key"));
	gives(*state, "{\"a\":{\"a\":{}},\"b\":{\"a\":1}}",
	      REQUEST("{\"a\":{\"a\":{}},\"b\":{\"a\":0}}", ""));
	gives(*state, "{\"\":1,\"\":2}", PARSE("duplicate key"));
	gives(*state, "{[1,]:2}", NO_VALUE);
	gives(*state, "{{\"a\":1}:2}", PARSE("key is not a string in object"));
	gives(*state, "{\"a\" \"\\x\"}", PARSE("missing : in object pair"));
	gives(*state, "[\"\\x\",]", PARSE("invalid escape sequence in string"));
	gives(*state, "[1 foo]", PARSE("expected separator in list"));
	gives(*state, "{\"a\":1e999,}", PARSE("number out of range"));
}

static void bad_strings(void **state)
{
	gives(*state, "\"\\u\\\"abc\"",
	      PARSE("\\u\\\"ab is not a valid Unicode character"));
	gives(*state, "\"\\u\"", PARSE("\\u\" is not a valid Unicode character"));
	gives(*state, "\"\\ud83f\\udffe\"",
	      PARSE("\\ud83f\\udffe is not a valid Unicode character"));
	gives(*state, "\"\\ud800\\u12\"",
	      PARSE("\\ud800 is not a valid Unicode character"));
	gives(*state, "\"\\ud800\\n\"",
	      PARSE("\\ud800 is not a valid Unicode character"));
	gives(*state, "\"\\x\\uffff\"", PARSE("invalid escape sequence in string"));
	gives(*state, "\"\xe2\x82\"", PARSE("invalid UTF-8 sequence in string"));
	gives(*state, "\"\xe2\x82\\x\"", PARSE("invalid UTF-8 sequence in string"));
	gives(*state, "\"\xf8\x80\x80\x80\x80\"",
	      PARSE("invalid UTF-8 sequence in string"));
	gives(*state, "\"\\x\n", STRAY("\"\\x\n"));
	gives(*state, "\"\\\n", STRAY("\"\\\n"));
}

/* Only what JSON demands is escaped; the rest is UTF-8. */
static void normal_form(void **state)
{
	gives(*state,
	      " { 'a' : 'x\"\\'\\/\\u0001\\u007f\\u00e9\xe2\x82\xac\\ud83d\\ude00' , "
	      "\"b\" : [ ] , \"\\n\\\\\" : [ true , null ] } ",
	      REQUEST("{\"a\":\"x\\\"'/\\u0001\x7f\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\","
		      "\"b\":[],\"\\u000a\\\\\":[true,null]}",
		      ""));
}

static void echoed_id(void **state)
{
	gives(*state, "{\"id\":{\"a\":[1,-0,{}],'\xc3\xa9':null},\"x\":7}",
	      REQUEST("{\"id\":null,\"x\":0}",
		      " {\"a\": [1, 0, {}], \"\\u00E9\": null}"));
	gives(*state, "{\"a\":{\"id\":1},\"i\\u0064\":\"\"}",
	      REQUEST("{\"a\":{\"id\":0},\"id\":null}", " \"\""));
	gives(*state, "{\"id\":1,\"id\":2}", PARSE("duplicate key"));
	gives(*state, "{\"id\":{\"arguments\":{\"buf-b64\":\"YQ==\"}}}",
	      REQUEST("{\"id\":null}", " {\"arguments\": {\"buf-b64\": \"YQ==\"}}"));
	assert_int_equal(((struct fixture *)*state)->sink.begun, 0);
}

/* The numbers of a request; those of its id and of hidden parts are not among them. */
static void numbers(void **state)
{
	static const struct scan_num want[] = {
		{SCAN_INT, 0, 0, 0},
		{SCAN_INT, INT64_MAX, INT64_MAX, 0x1p63},
		{SCAN_INT, INT64_MIN, (uint64_t)INT64_MIN, -0x1p63},
		{SCAN_UINT, 0, (uint64_t)INT64_MAX + 1, 0x1p63},
		{SCAN_UINT, 0, UINT64_MAX, 0x1p64},
		{SCAN_DOUBLE, 0, 0, 0x1p64},
		{SCAN_DOUBLE, 0, 0, -9223372036854775809.0},
		{SCAN_DOUBLE, 0, 0, 1000},
		{SCAN_DOUBLE, 0, 0, 0.1},
		{SCAN_INT, -1, UINT64_MAX, -1},
	};
	struct fixture *f = *state;
	struct scan_num n;

	gives(f,
	      "{\"id\":99,\"a\":[-0,9223372036854775807,-9223372036854775808,"
	      "9223372036854775808,18446744073709551615,18446744073709551616,"
	      "-9223372036854775809,1e3,0.1,[[[[[[[77]]]]]]],-1]}",
	      REQUEST("{\"id\":null,\"a\":[0,1,2,3,4,5,6,7,8,[[[[[[[]]]]]]],9]}", " 99"));
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		assert_true(scan_request_number(f->scan, i, &n));
		assert_int_equal(n.kind, want[i].kind);
		assert_true(n.i == want[i].i && n.u == want[i].u && n.d == want[i].d);
	}
	assert_false(scan_request_number(f->scan, ARRAY_SIZE(want), &n));
	assert_false(scan_request_number(f->scan, UINT64_MAX, &n));
	gives(f, "{}", REQUEST("{}", ""));
	assert_false(scan_request_number(f->scan, 0, &n));
}

/* What no schema reaches is an empty container, but checked like all. */
static void hidden_depth(void **state)
{
	gives(*state, "{\"a\":[[[[[[[1,[2,{\"b\":\"c\"}],{\"d\":3}]]]]]]]}",
	      REQUEST("{\"a\":[[[[[[[0,[],{}]]]]]]]}", ""));
	gives(*state, "{\"a\":[[[[[[[[{\"b\":1,\"b\":2}]]]]]]]]}",
	      PARSE("duplicate key"));
	gives(*state, "{\"a\":[[[[[[[[\"\xff", STRAY("\"\xff"));
	gives(*state, "{\"a\":[[[[[[[[\"\\x\"]]]]]]]]}",
	      PARSE("invalid escape sequence in string"));
}

/* Conformance rows 222 to 225. */
static void depth_bound(void **state)
{
	struct fixture *f = *state;

	feed_text(f, "{\"execute\":\"guest-ping\",\"id\":");
	feed_times(f, "[", SCAN_DEPTH_MAX - 1);
	feed_times(f, "]", SCAN_DEPTH_MAX - 1);
	feed_text(f, "}\n");
	assert_int_equal(f->log.len, strlen(PING_ID("")) + 2 * (SCAN_DEPTH_MAX - 1));
	f->log.len = 0;

	feed_text(f, "{\"execute\":\"guest-ping\",\"id\":");
	feed_times(f, "[", SCAN_DEPTH_MAX);
	feed_times(f, "]", SCAN_DEPTH_MAX);
	feed_text(f, "}\n{}");
	expect(f, TOO_DEEP REQUEST("{}", ""));

	feed_times(f, "[", SCAN_DEPTH_MAX);
	feed_times(f, "]", SCAN_DEPTH_MAX);
	expect(f, NO_OBJECT);
	feed_times(f, "{\"a\":", SCAN_DEPTH_MAX + 1);
	expect(f, TOO_DEEP);
	/* The rest goes up to a control byte that is no TAB, or an 0xFF. */
	feed_text(f, "}}{}\t{}[]:,\"\xff");
	expect(f, STRAY("\xff"));
}

static void token_bound(void **state)
{
	struct fixture *f = *state;

	feed_text(f, "{\"a\":["); /* 4 tokens, and 3 behind */
	feed_times(f, "[],", (SCAN_TOKENS_MAX - 8) / 3);
	feed_times(f, " ", 1000);
	feed_text(f, "[]]}");
	assert_int_equal(f->log.p[0], 'R');
	f->log.len = 0;
	feed_text(f, "[1 2");
	feed_times(f, ",", SCAN_TOKENS_MAX - 2);
	expect(f, TOO_MANY);
	feed_text(f, ",,,\r{}");
	expect(f, REQUEST("{}", ""));
}

static void member_bound(void **state)
{
	struct fixture *f = *state;
	char member[32];

	for (unsigned over = 0; over < 2; over++) {
		feed_text(f, "{\"a\":{");
		for (unsigned i = 0; i < SCAN_MEMBERS_MAX + over; i++) {
			snprintf(member, sizeof(member), "%s\"m%u\":true", i ? "," : "",
				 i);
			feed_text(f, member);
		}
		feed_text(f, "}}\n");
		assert_int_equal(f->log.p[0], over ? 'E' : 'R');
		if (over)
			expect(f, TOO_MANY);
		f->log.len = 0;
	}
}

static void string_bound(void **state)
{
	struct fixture *f = *state;

	feed_text(f, "{\"a\":\"");
	feed_times(f, "0123456789abcdef", SCAN_STRING_MAX / 16);
	feed_text(f, "\"}");
	assert_int_equal(f->log.len,
			 SCAN_STRING_MAX + strlen(REQUEST("{\"a\":\"\"}", "")));
	f->log.len = 0;
	feed_text(f, "{\"a\":\"");
	feed_times(f, "0123456789abcdef", SCAN_STRING_MAX / 16);
	feed_text(f, "x\"} {}\n{}");
	expect(f, TOO_BIG REQUEST("{}", ""));
	feed_text(f, "[");
	feed_times(f, "1234567890123456", SCAN_STRING_MAX / 16);
	feed_text(f, "7]\n");
	expect(f, TOO_BIG);
}

/* A list of N strings of a mebibyte. */
static void feed_mebibytes(struct fixture *f, unsigned n)
{
	feed_text(f, "[");
	for (unsigned i = 0; i < n; i++) {
		feed_text(f, i ? ",\"" : "\"");
		feed_times(f, "0123456789abcdef", SCAN_STRING_MAX / 16);
		feed_text(f, "\"");
	}
	feed_text(f, "]");
}

/* Text and id share one bound, and what escapes make of a string counts. */
static void text_bound(void **state)
{
	struct fixture *f = *state;

	feed_text(f, "{\"id\":\"");
	feed_times(f, "\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f", SCAN_TEXT_MAX / 48 + 1);
	feed_text(f, "\"}\n");
	expect(f, TOO_BIG);
	for (unsigned id = 1; id <= 2; id++) {
		feed_text(f, "{\"id\":");
		feed_mebibytes(f, id);
		feed_text(f, ",\"a\":");
		feed_mebibytes(f, 2);
		feed_text(f, "}\n");
		assert_int_equal(f->log.p[0], id == 1 ? 'R' : 'E');
		if (id == 1)
			f->log.len = 0;
	}
	expect(f, TOO_BIG);
}

static void message_bound(void **state)
{
	static const size_t piece = 65536;
	struct fixture *f = *state;
	char *blank = test_malloc(piece);

	memset(blank, '\n', piece);
	for (size_t n = 0; n < 2 * (size_t)SCAN_MESSAGE_MAX; n += piece)
		feed(f, blank, piece); /* belongs to no message */
	feed_text(f, "{}");
	expect(f, REQUEST("{}", ""));
	feed_text(f, "{");
	for (size_t n = 0; n < SCAN_MESSAGE_MAX - piece; n += piece)
		feed(f, blank, piece);
	feed(f, blank, piece - 2);
	feed_text(f, "}");
	expect(f, REQUEST("{}", ""));
	feed_text(f, "{");
	for (size_t n = 0; n < SCAN_MESSAGE_MAX; n += piece)
		feed(f, blank, piece);
	/* The line end that was too much ends the skipping as well. */
	feed_text(f, "}");
	expect(f, TOO_BIG NO_VALUE);
	test_free(blank);
}

static void quote_bound(void **state)
{
	struct fixture *f = *state;

	feed_text(f, "\"");
	feed_times(f, "0123456789abcdef", 4096);
	feed_text(f, "\xff");
	assert_int_equal(f->log.len, SCAN_QUOTE_MAX + strlen(STRAY("")));
	f->log.len = 0;
	feed_text(f, "\n");
	feed_times(f, "abcdefghijklmnop", 4096);
	feed_text(f, "\n");
	assert_int_equal(f->log.len,
			 SCAN_QUOTE_MAX + strlen(PARSE("invalid keyword ''")));
}

/* Bulk ----------------------------------------------------------------------------- */

static void bulk_is(struct fixture *f, enum scan_bulk kind, const char *bytes)
{
	uint64_t size = 99;

	assert_int_equal(scan_request_bulk(f->scan, &size), kind);
	assert_int_equal(size, strlen(bytes));
	if (kind == SCAN_BULK_OK && size)
		assert_memory_equal(f->sink.got.p, bytes, size);
}

#define WRITE(value) "{\"arguments\":{\"buf-b64\":" value "}}"
#define WRITTEN      REQUEST(WRITE("\"\""), "")

static void bulk_decodes(void **state)
{
	struct fixture *f = *state;

	gives(f, WRITE("\"aGVsbG8=\""), WRITTEN);
	bulk_is(f, SCAN_BULK_OK, "hello");
	gives(f, WRITE("'aGV\\nsb\\u00478\\u003d'"), WRITTEN);
	bulk_is(f, SCAN_BULK_OK, "hello");
	gives(f, WRITE("\"Pz8\\/\""), WRITTEN);
	bulk_is(f, SCAN_BULK_OK, "???");
	gives(f, WRITE("\"\""), WRITTEN);
	bulk_is(f, SCAN_BULK_OK, "");
	gives(f, "{\"arguments\":{\"path\":\"x\",\"input-data\":\"YQ==\"}}",
	      REQUEST("{\"arguments\":{\"path\":\"x\",\"input-data\":\"\"}}", ""));
	bulk_is(f, SCAN_BULK_OK, "a");
	assert_int_equal(f->sink.dropped, 0);
	gives(f, "{}", REQUEST("{}", ""));
	bulk_is(f, SCAN_BULK_NONE, "");
}

static void bulk_cut_anywhere(void **state)
{
	static const char in[] = WRITE("'aGV\\nsb\\u00478\\u003d'");
	struct fixture *f = *state;

	for (size_t cut = 1; cut < sizeof(in) - 1; cut++) {
		scan_reset(f->scan);
		feed(f, in, cut);
		feed_text(f, in + cut);
		expect(f, WRITTEN);
		bulk_is(f, SCAN_BULK_OK, "hello");
	}
}

static void bulk_refused(void **state)
{
	struct fixture *f = *state;

	gives(f, WRITE("\"aGVs bG8=\""), WRITTEN);
	bulk_is(f, SCAN_BULK_INVALID, "");
	gives(f, WRITE("\"aGVs\xc3\xa9\""), WRITTEN);
	bulk_is(f, SCAN_BULK_INVALID, "");
	gives(f, WRITE("\"aGVs\\x\""), PARSE("invalid escape sequence in string"));
	f->sink.room = 3;
	gives(f, WRITE("\"aGVs\""), WRITTEN);
	bulk_is(f, SCAN_BULK_OK, "hel");
	gives(f, WRITE("\"aGVsbG8=\""), WRITTEN);
	bulk_is(f, SCAN_BULK_TOO_BIG, "");
	gives(f, WRITE("\"aGVsbG8=!\""), WRITTEN);
	bulk_is(f, SCAN_BULK_INVALID, "");
	f->sink.room = 0;
	gives(f, WRITE("\"\""), WRITTEN);
	bulk_is(f, SCAN_BULK_TOO_BIG, "");
}

/* The names mean something only as members of the top-level "arguments". */
static void bulk_elsewhere(void **state)
{
	struct fixture *f = *state;

	gives(f, "{\"buf-b64\":\"YQ==\"}", REQUEST("{\"buf-b64\":\"YQ==\"}", ""));
	gives(f, "{\"x\":{\"buf-b64\":\"YQ==\"}}",
	      REQUEST("{\"x\":{\"buf-b64\":\"YQ==\"}}", ""));
	gives(f, "{\"arguments\":[{\"buf-b64\":\"YQ==\"}]}",
	      REQUEST("{\"arguments\":[{\"buf-b64\":\"YQ==\"}]}", ""));
	gives(f, WRITE("[\"YQ==\"]"), REQUEST(WRITE("[\"YQ==\"]"), ""));
	gives(f, WRITE("{\"a\":\"YQ==\"}"), REQUEST(WRITE("{\"a\":\"YQ==\"}"), ""));
	gives(f, WRITE("null,\"b\":\"YQ==\""), REQUEST(WRITE("null,\"b\":\"YQ==\""), ""));
	gives(f, "[" WRITE("\"YQ==\"") "]", NO_OBJECT);
	assert_int_equal(f->sink.begun, 0);
}

/* A bulk string may be as long as a message, and none of it stays here. */
static void bulk_is_long(void **state)
{
	static const size_t groups = SCAN_MESSAGE_MAX / 4 - 16;
	struct fixture *f = *state;
	uint64_t size;

	feed_text(f, "{\"arguments\":{\"buf-b64\":\"");
	for (size_t n = 0; n < groups; n += 16)
		feed_text(f, "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJ"
			     "zdHV2");
	feed_text(f, "\"}}");
	expect(f, WRITTEN);
	assert_int_equal(scan_request_bulk(f->scan, &size), SCAN_BULK_OK);
	assert_int_equal(size, groups * 3);
	assert_memory_equal(f->sink.got.p + size - 4, "stuv", 4);
}

/* What is looked at in blocks is told apart as it is byte by byte: each, in each place.
 */
static void each_byte_in_a_long_string(void **state)
{
	struct fixture *f = *state;
	char text[48];

	for (size_t at = 1; at < sizeof(text) - 1; at++)
		for (int c = 0; c < 256; c++) {
			CLEANUP(wbuf_free) struct wbuf whole = wbuf_growing(1 << 16);

			memset(text, 'a', sizeof(text));
			text[0] = text[sizeof(text) - 1] = '"';
			text[at] = (char)c;
			feed(f, text, sizeof(text));
			wbuf_put(&whole, f->log.p, f->log.len);
			f->log.len = 0;
			scan_reset(f->scan);
			for (size_t i = 0; i < sizeof(text); i++)
				feed(f, text + i, 1);
			assert_int_equal(f->log.len, whole.len);
			assert_true(!whole.len ||
				    memcmp(f->log.p, whole.p, whole.len) == 0);
			f->log.len = 0;
			scan_reset(f->scan);
		}
}

static void bulk_dropped(void **state)
{
	static const char *const rests[] = {"\xff", "\" ]}", "\n", "\",\"buf-b64\":1}}"};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(rests); i++) {
		scan_reset(f->scan);
		f->sink.dropped = 0;
		feed_text(f, "{\"arguments\":{\"buf-b64\":\"aGVs");
		assert_int_equal(f->sink.dropped, 0);
		assert_int_equal(f->sink.got.len, 3);
		feed_text(f, rests[i]);
		assert_int_equal(f->sink.dropped, 1);
	}
	scan_reset(f->scan);
	feed_text(f, "{\"arguments\":{\"buf-b64\":\"aGVs");
	f->sink.dropped = 0;
	scan_reset(f->scan);
	assert_int_equal(f->sink.dropped, 1);
}

/* State ---------------------------------------------------------------------------- */

static void pending(void **state)
{
	static const struct {
		const char *in;
		bool pending;
	} cases[] = {
		{"", false},     {" \t\r\n", false}, {"{", true},    {"{} ", false},
		{"{}", false},   {"5", true},        {"\"", true},   {"{} n", true},
		{"\xff", false}, {"# {", true},      {"# x", false}, {"[1 2", true},
		{"[]", false},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		scan_reset(f->scan);
		feed_text(f, cases[i].in);
		assert_int_equal(scan_pending(f->scan), cases[i].pending);
	}
	scan_reset(f->scan);
	assert_false(scan_pending(f->scan));
}

static void reset_byte(void **state)
{
	struct fixture *f = *state;

	feed_text(f, "{\"a\xff");
	assert_true(scan_error_is_reset(f->scan));
	feed_text(f, "\xfe");
	assert_true(scan_error_is_reset(f->scan));
	feed_text(f, "\n#");
	assert_false(scan_error_is_reset(f->scan));
	feed_text(f, "\n\xff]");
	assert_false(scan_error_is_reset(f->scan));
}

static bool holds(const struct wbuf *w, const char *text)
{
	return w->p && memmem(w->p, w->cap, text, strlen(text));
}

/* No part of the scanner's memory holds TEXT. */
static void assert_forgot(const struct scan *s, const char *text)
{
	assert_null(memmem(s, sizeof(*s), text, strlen(text)));
	assert_false(holds(&s->token, text) || holds(&s->keys, text) ||
		     holds(&s->text, text) || holds(&s->id, text) ||
		     holds(&s->numbers, text));
}

/* Of a message that is over nothing is left, whether it was good, bad or cut. */
static void nothing_is_kept(void **state)
{
	static const char *const messages[] = {
		"{'a': {'password': 'SECRETsecret'}}",
		"{'SECRETsecret': 1, 'id': 'SECRETsecret'}",
		"{'a': 'SECRETsecret', 'a': 'SECRETsecret'}",
		"['SECRETsecret', 5]",
		"'SECRETsecret'",
		"{'a': 'SECRETsecret\x01",
		"{'a': ['SECRETsecret' 'SECRETsecret'], 'b': 'SECRETsecret'}",
		"{'a': 'SECRETsecret\\uD800 SECRET'}",
		"{'a': '\\u12SECRETsecret'}",
		"{'a': '\\uSECRETsecret'}",
		"{'a': SECRETsecret\xff",
		"{'a': secret} SECRET\n",
		"{'arguments': {'buf-b64': 'SECRETsecret'}}",
	};
	struct fixture *f = *state;
	enum scan_event ev;

	for (size_t i = 0; i < ARRAY_SIZE(messages); i++) {
		for (size_t len = 0; len <= strlen(messages[i]); len++) {
			feed(f, messages[i], len);
			if (len < strlen(messages[i]))
				scan_reset(f->scan);
			else
				scan_feed(f->scan, NULL, 0, &ev);
			assert_forgot(f->scan, "SECR");
			assert_forgot(f->scan, "secr");
		}
		scan_reset(f->scan);
	}
}

/* What is told to others than the client has no part of its text. */
static void notes_quote_nothing(void **state)
{
	static const char *const cases[][2] = {
		{"{'a': 'secret\xff", "JSON parse error, stray '...'"},
		{"\xff", "JSON parse error, stray '...'"},
		{"{'a': secret}", "JSON parse error, invalid keyword '...'"},
		{"{'a': '\\u12secret'}",
		 "JSON parse error, ... is not a valid Unicode character"},
		{"[]", "QMP input must be a JSON object"},
		{"{'a' 1}", "JSON parse error, missing : in object pair"},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct scan_text note;

		feed_text(f, cases[i][0]);
		note = scan_error_note(f->scan);
		assert_int_equal(note.len, strlen(cases[i][1]));
		assert_memory_equal(note.p, cases[i][1], note.len);
		scan_reset(f->scan);
	}
}

static void reset_forgets(void **state)
{
	static const char *const begins[] = {"{\"a\":\"b", "#",       "[1 2",
					     "12",         "\"\\u12", "{\"a\":1"};

	for (size_t i = 0; i < ARRAY_SIZE(begins); i++) {
		feed_text(*state, begins[i]);
		((struct fixture *)*state)->log.len = 0;
		gives(*state, "{\"execute\":\"guest-ping\"}", PING);
	}
}

/* Heap in use; the sanitizers' own allocator always reports 0. */
static size_t heap(void)
{
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
}

static void memory_is_bounded(void **state)
{
	struct fixture *f = *state;
	size_t before = heap(), after;

	feed_text(f, "{\"a\":");
	feed_mebibytes(f, 3);
	assert_true(heap() < before + 2 * (size_t)SCAN_TEXT_MAX);
	feed_text(f, "\xff");
	after = heap();
	assert_true(after < before + 32768);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	static const struct CMUnitTest tests[] = {
		TEST(rows_whole),
		TEST(rows_by_byte),
		TEST(rows_cut_anywhere),
		TEST(recovery),
		TEST(order_of_errors),
		TEST(bad_strings),
		TEST(normal_form),
		TEST(echoed_id),
		TEST(numbers),
		TEST(hidden_depth),
		TEST(depth_bound),
		TEST(token_bound),
		TEST(member_bound),
		TEST(string_bound),
		TEST(text_bound),
		TEST(message_bound),
		TEST(quote_bound),
		TEST(bulk_decodes),
		TEST(bulk_cut_anywhere),
		TEST(bulk_refused),
		TEST(bulk_elsewhere),
		TEST(bulk_is_long),
		TEST(bulk_dropped),
		TEST(pending),
		TEST(each_byte_in_a_long_string),
		TEST(nothing_is_kept),
		TEST(notes_quote_nothing),
		TEST(reset_byte),
		TEST(reset_forgets),
		TEST(memory_is_bounded),
	};

	return cmocka_run_group_tests_name("scan", tests, NULL, NULL);
}
