/*
 * tests/fuzz/fuzz_scan.c - the reader of the host's bytes, under the fuzzer
 *
 * Runs in:   a fuzzer
 * Input:     its first byte says how the rest is cut into pieces
 * May touch: memory
 * Must not:  -
 *
 * run: floor 435
 *
 * Whatever comes in: the same events, texts and bytes come out however it is cut; a
 * request's text is JSON to cJSON and stays what it is when it is scanned again, and so
 * does its id; output is bounded by input.
 */
#include <assert.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "json/scan.h"
#include "tests/lib/fuzz.h"

/* All that comes out of a scanner goes to one log. */
struct run {
	struct scan_sink sink;
	struct wbuf bulk;
	struct wbuf log;
};

static int bulk_begin(struct scan_sink *s)
{
	CONTAINER_OF(s, struct run, sink)->bulk.len = 0;
	return 0;
}

static int bulk_write(struct scan_sink *s, const uint8_t *p, size_t len)
{
	struct run *r = CONTAINER_OF(s, struct run, sink);

	/* Small, so that a full sink is met too. */
	if (r->bulk.len + len > 1000)
		return -1;
	wbuf_put(&r->bulk, p, len);
	return 0;
}

static void bulk_drop(struct scan_sink *s)
{
	CONTAINER_OF(s, struct run, sink)->bulk.len = 0;
}

static void log_text(struct wbuf *log, struct scan_text t)
{
	wbuf_u64(log, t.len);
	wbuf_put(log, t.p, t.len);
}

/* What the tree is built from must be what cJSON takes, in full. */
static void check_text(struct scan_text t)
{
	const char *end = NULL;
	cJSON *tree = cJSON_ParseWithLengthOpts(t.p, t.len, &end, 0);

	assert(tree && cJSON_IsObject(tree));
	assert(end == t.p + t.len);
	for (size_t i = 0; i < t.len; i++)
		assert((uint8_t)t.p[i] >= 0x20 && (uint8_t)t.p[i] < 0xFE);
	cJSON_Delete(tree);
}

/* Numbers are there one by one; returns how many. */
static uint64_t check_numbers(const struct scan *s, struct wbuf *log)
{
	struct scan_num n;
	uint64_t count = 0;

	while (scan_request_number(s, count, &n)) {
		assert(n.kind <= SCAN_DOUBLE);
		assert(n.d - n.d == 0); /* finite */
		wbuf_u8(log, (uint8_t)n.kind);
		wbuf_f64(log, n.d);
		count++;
	}
	return count;
}

static void log_request(struct run *r, const struct scan *s)
{
	struct scan_text id = scan_request_id(s);
	uint64_t size;

	for (size_t i = 0; i < id.len; i++)
		assert(id.p[i] >= 0x20 && id.p[i] < 0x7F);
	check_text(scan_request_text(s));
	log_text(&r->log, scan_request_text(s));
	log_text(&r->log, id);
	wbuf_u64(&r->log, check_numbers(s, &r->log));
	wbuf_u8(&r->log, (uint8_t)scan_request_bulk(s, &size));
	wbuf_u64(&r->log, size);
	if (scan_request_bulk(s, &size) == SCAN_BULK_OK) {
		assert(size == r->bulk.len);
		wbuf_put(&r->log, r->bulk.p, r->bulk.len);
	}
}

static void log_error(struct run *r, const struct scan *s)
{
	struct scan_text t = scan_error_text(s);

	assert(t.len > 0 && t.len < SCAN_QUOTE_MAX + 128);
	assert(!memchr(t.p, 0, t.len));
	wbuf_u8(&r->log, scan_error_is_reset(s));
	log_text(&r->log, t);
}

/* Scan in pieces, whose sizes follow from SEED; 0: as one. */
static void run(struct run *r, const uint8_t *p, size_t len, uint8_t seed)
{
	CLEANUP(scan_free_p) struct scan *s = scan_new(&r->sink);
	uint32_t step = seed;

	assert(s);
	for (size_t at = 0; at < len;) {
		enum scan_event ev;
		size_t piece = len - at;

		step = step * 1103515245u + seed;
		if (seed)
			piece = min_size(piece, 1 + (step >> 16) % seed);
		at += scan_feed(s, p + at, piece, &ev);
		if (ev == SCAN_MORE)
			continue;
		assert(!scan_pending(s));
		wbuf_u8(&r->log, (uint8_t)ev);
		wbuf_u64(&r->log, at);
		if (ev == SCAN_REQUEST)
			log_request(r, s);
		else
			log_error(r, s);
	}
	wbuf_u8(&r->log, scan_pending(s));
}

/* The text or id of the one request in IN, which must be nothing else. */
static struct wbuf rescan(const struct wbuf *in, bool want_id)
{
	CLEANUP(scan_free_p) struct scan *s = NULL;
	struct run r = {.sink = {bulk_begin, bulk_write, bulk_drop}};
	struct wbuf out = wbuf_growing(SCAN_TEXT_MAX);
	struct scan_text t;
	enum scan_event ev;

	s = scan_new(&r.sink);
	assert(s && scan_feed(s, in->p, in->len, &ev) == in->len && ev == SCAN_REQUEST);
	t = want_id ? scan_request_id(s) : scan_request_text(s);
	if (want_id)
		wbuf_text(&out, "{\"id\":");
	wbuf_put(&out, t.p, t.len);
	if (want_id)
		wbuf_text(&out, "}");
	assert(!out.bad);
	return out;
}

/* Text is in normal form; id is after once more (-0.0 goes by -0 to 0). */
static void check_normal(const uint8_t *p, size_t len)
{
	CLEANUP(wbuf_free) struct wbuf request = wbuf_growing(len);
	CLEANUP(wbuf_free) struct wbuf text = {0};
	CLEANUP(wbuf_free) struct wbuf again = {0};

	wbuf_put(&request, p, len);
	text = rescan(&request, false);
	again = rescan(&text, false);
	assert(text.len == again.len && !memcmp(text.p, again.p, text.len));
	if (!memmem(text.p, text.len, "\"id\":null", 9))
		return;
	wbuf_free(&text);
	wbuf_free(&again);
	text = rescan(&request, true);
	if (text.len == strlen("{\"id\":}"))
		return; /* the "id" found above was not at top level */
	again = rescan(&text, true);
	wbuf_free(&text);
	text = rescan(&again, true);
	assert(text.len == again.len && !memcmp(text.p, again.p, text.len));
}

/* Look for requests in the input, and check each by itself. */
static void check_requests(const uint8_t *p, size_t len)
{
	struct run r = {.sink = {bulk_begin, bulk_write, bulk_drop}};
	CLEANUP(scan_free_p) struct scan *s = scan_new(&r.sink);
	size_t begin = 0;
	bool clean = true; /* nothing of an error before it is skipped */

	r.bulk = wbuf_growing(len);
	for (size_t at = 0; at < len;) {
		enum scan_event ev;

		at += scan_feed(s, p + at, len - at, &ev);
		if (ev == SCAN_REQUEST && clean)
			check_normal(p + begin, at - begin);
		clean = ev == SCAN_REQUEST;
		begin = at;
	}
	wbuf_free(&r.bulk);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct run r[2];

	if (!size)
		return 0;
	for (int i = 0; i < 2; i++) {
		r[i] = (struct run){.sink = {bulk_begin, bulk_write, bulk_drop}};
		r[i].bulk = wbuf_growing(1000);
		/* An error for each byte, at most; escapes make six of one. */
		r[i].log = wbuf_growing(size * 512 + 64);
		run(&r[i], data + 1, size - 1, i ? data[0] : 0);
		assert(!r[i].log.bad && !r[i].bulk.bad);
	}
	assert(r[0].log.len == r[1].log.len);
	assert(!memcmp(r[0].log.p, r[1].log.p, r[0].log.len));
	check_requests(data + 1, size - 1);
	for (int i = 0; i < 2; i++) {
		wbuf_free(&r[i].bulk);
		wbuf_free(&r[i].log);
	}
	return 0;
}
