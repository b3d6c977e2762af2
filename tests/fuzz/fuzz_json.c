/*
 * tests/fuzz/fuzz_json.c - the scanner against another strict reader of JSON: jansson
 *
 * Runs in:   libFuzzer
 * Input:     the fuzzer's bytes: one message
 * May touch: memory
 * Must not:  tolerate a difference that is not in the list below
 *
 * run: floor 515
 *
 * Both take the same messages and read the same out of them: structure, keys and strings
 * byte by byte, numbers to their last bit. Where the wire differs from JSON (protocol 1.2
 * to 1.8; json/scan.c), the difference is made up for here, and so tested as well:
 *
 *   single quotes       strings in them, and \' in any string, are the reference's; the
 *                       message is translated to JSON for jansson (translate)
 *   0e1                 a lone zero takes no exponent, as in the reference's lexer; made
 *                       an error for jansson, too (translate)
 *   NUL                 is no part of JSON; jansson overlooks one behind a number; made
 *                       an error for jansson, too (translate)
 *   NUL in a string     refused, as jansson does by itself
 *   duplicate keys      refused; jansson is told to do so (read_theirs)
 *   noncharacters       U+FDD0 to U+FDEF, U+xFFFE and U+xFFFF are refused, as in the
 *                       reference (bounds_of)
 *   depth               more than SCAN_DEPTH_MAX is refused; jansson takes 2048
 *                       (bounds_of). No other bound can be met by MESSAGE_MAX bytes.
 *   top level           must be an object
 *   integers            beyond 64 bits are doubles; jansson refuses those beyond int64,
 *                       and is asked again for doubles only (read_theirs)
 *   "id"                goes back as text of its own, where 1.0 is 1 (check_id)
 *   bulk members        are decoded on the way, and "" in the text (check_bulk)
 *   SCAN_TREE_DEPTH     what is nested deeper is checked, but not shown (same)
 */
#include <string.h>

#include <cjson/cJSON.h>
#include <jansson.h>

#include "ipc/base64.h"
#include "json/scan.h"
#include "tests/lib/fuzz.h"

#define MESSAGE_MAX 4096u

/* ---- our side ---- */

struct ours {
	struct scan_sink sink;
	struct wbuf bulk;
	struct scan *scan;
	bool taken; /* the message is one request, with nothing but blanks about it */
};

static int bulk_begin(struct scan_sink *s)
{
	CONTAINER_OF(s, struct ours, sink)->bulk.len = 0;
	return 0;
}

static int bulk_write(struct scan_sink *s, const uint8_t *p, size_t len)
{
	wbuf_put(&CONTAINER_OF(s, struct ours, sink)->bulk, p, len);
	return 0;
}

static void bulk_drop(struct scan_sink *s)
{
	CONTAINER_OF(s, struct ours, sink)->bulk.len = 0;
}

static bool is_blank(const uint8_t *p, size_t len)
{
	static const char blanks[] = " \t\r\n";

	for (size_t i = 0; i < len; i++)
		if (!p[i] || !strchr(blanks, p[i]))
			return false;
	return true;
}

static void read_ours(struct ours *o, const uint8_t *p, size_t len)
{
	enum scan_event ev = SCAN_MORE;
	size_t used;

	*o = (struct ours){.sink = {bulk_begin, bulk_write, bulk_drop}};
	o->bulk = wbuf_growing(MESSAGE_MAX);
	o->scan = scan_new(&o->sink);
	must(o->scan);
	used = scan_feed(o->scan, p, len, &ev);
	o->taken = ev == SCAN_REQUEST && is_blank(p + used, len - used);
}

/* ---- their side ---- */

/*
 * Is there something at P, outside of strings, that jansson takes and the wire does not:
 * a zero with an exponent and no other digit before it, or NUL?
 */
static bool is_wrong(const char *begin, const char *p, const char *end)
{
	const char before = (char)(p > begin ? p[-1] : ' ');

	if (p[0] != '0' || before == '.' || (before >= '0' && before <= '9'))
		return !p[0];
	return p + 1 < end && (p[1] == 'e' || p[1] == 'E');
}

/* One character of a string that QUOTE has opened, or its escape. Returns what follows.
 */
static const char *put_char(struct wbuf *out, const char *p, const char *end, char quote)
{
	if (p[0] == '\\' && p + 1 < end) {
		wbuf_put(out, p + (p[1] == '\''), p[1] == '\'' ? 1 : 2);
		return p + 2;
	}
	if (p[0] == '"' && quote == '\'')
		wbuf_u8(out, '\\');
	wbuf_u8(out, (uint8_t)p[0]);
	return p + 1;
}

/* The message as it would be if the wire spoke JSON. */
static void translate(struct wbuf *out, const char *p, size_t len)
{
	const char *begin = p, *end = p + len;
	char quote = 0;

	while (p < end) {
		bool bounds = quote ? *p == quote : *p == '"' || *p == '\'';

		if (quote && !bounds) {
			p = put_char(out, p, end, quote);
			continue;
		}
		if (bounds) {
			quote = (char)(quote ? 0 : *p);
			wbuf_u8(out, '"');
		} else {
			wbuf_u8(out, is_wrong(begin, p, end) ? '!' : (uint8_t)*p);
		}
		p++;
	}
}

/* Of the message; NULL: it is refused. REAL: all numbers are doubles. */
static json_t *read_theirs(const struct wbuf *text, bool *real)
{
	json_error_t e;
	json_t *t =
		json_loadb((const char *)text->p, text->len, JSON_REJECT_DUPLICATES, &e);

	*real = !t && json_error_code(&e) == json_error_numeric_overflow;
	if (*real)
		t = json_loadb((const char *)text->p, text->len,
			       JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, &e);
	return t;
}

/* ---- what only the wire refuses ---- */

static bool has_noncharacter(const char *s, size_t len)
{
	const uint8_t *p = (const uint8_t *)s;

	/* It is UTF-8. xFFFE and xFFFF end in BF BE and BF BF, behind xF or 8F to BF. */
	for (size_t i = 0; i + 2 < len; i++) {
		bool last = p[i + 1] == 0xBF && p[i + 2] >= 0xBE;

		if ((last &&
		     (p[i] == 0xEF || (i && p[i - 1] >= 0xF0 && (p[i] & 15) == 15))) ||
		    (p[i] == 0xEF && p[i + 1] == 0xB7 && p[i + 2] >= 0x90 &&
		     p[i + 2] <= 0xAF))
			return true;
	}
	return false;
}

struct bounds {
	size_t depth; /* of containers in one another */
	bool noncharacter;
};

/* As deep as jansson goes. */
/* NOLINTNEXTLINE(misc-no-recursion) */
static void bounds_of(json_t *t, size_t depth, struct bounds *b)
{
	if (json_is_string(t) &&
	    has_noncharacter(json_string_value(t), json_string_length(t)))
		b->noncharacter = true;
	if ((json_is_object(t) || json_is_array(t)) && ++depth > b->depth)
		b->depth = depth;
	for (size_t i = 0; i < json_array_size(t); i++)
		bounds_of(json_array_get(t, i), depth, b);
	for (void *m = json_object_iter(t); m; m = json_object_iter_next(t, m)) {
		b->noncharacter |= has_noncharacter(json_object_iter_key(m),
						    json_object_iter_key_len(m));
		bounds_of(json_object_iter_value(m), depth, b);
	}
}

static bool wire_takes(json_t *t)
{
	struct bounds b = {0};

	bounds_of(t, 0, &b);
	return json_is_object(t) && b.depth <= SCAN_DEPTH_MAX && !b.noncharacter;
}

/* ---- the same values ---- */

static void same_string(const cJSON *a, const json_t *b)
{
	must(json_is_string(b) && strlen(a->valuestring) == json_string_length(b) &&
	     !memcmp(a->valuestring, json_string_value(b), json_string_length(b)));
}

/* In the tree stands its place in the table of kept numbers. */
static void same_number(const struct scan *s, const cJSON *a, const json_t *b)
{
	struct scan_num n = {0};

	must(json_is_number(b) && scan_request_number(s, (uint64_t)a->valuedouble, &n));
	if (json_is_integer(b))
		must(n.kind == SCAN_INT && n.i == json_integer_value(b));
	else
		must(n.d == json_real_value(b));
}

/* Is it decoded on the way, and not in the text? */
static bool is_bulk(const char *key)
{
	return !strcmp(key, "buf-b64") || !strcmp(key, "input-data");
}

static void same(const struct scan *s, const cJSON *a, json_t *b, size_t depth);

/* NOLINTNEXTLINE(misc-no-recursion) */
static void same_members(const struct scan *s, const cJSON *a, json_t *b, size_t depth)
{
	const cJSON *m;

	must(json_is_object(b) && (size_t)cJSON_GetArraySize(a) == json_object_size(b));
	cJSON_ArrayForEach(m, a)
	{
		json_t *other = json_object_get(b, m->string);
		bool in_arguments =
			depth == 2 && a->string && !strcmp(a->string, "arguments");

		must(other);
		if (depth == 1 && !strcmp(m->string, "id"))
			must(cJSON_IsNull(m)); /* check_id */
		else if (in_arguments && is_bulk(m->string) && json_is_string(other))
			must(cJSON_IsString(m) && !m->valuestring[0]); /* check_bulk */
		else
			same(s, m, other, depth);
	}
}

/* NOLINTNEXTLINE(misc-no-recursion) */
static void same_elements(const struct scan *s, const cJSON *a, json_t *b, size_t depth)
{
	const cJSON *m = a->child;

	must(json_is_array(b) && (size_t)cJSON_GetArraySize(a) == json_array_size(b));
	for (size_t i = 0; i < json_array_size(b); i++, m = m->next)
		same(s, m, json_array_get(b, i), depth);
}

/* DEPTH: of the container around A. No deeper than SCAN_TREE_DEPTH. */
/* NOLINTNEXTLINE(misc-no-recursion) */
static void same(const struct scan *s, const cJSON *a, json_t *b, size_t depth)
{
	bool shown = depth < SCAN_TREE_DEPTH;

	if (cJSON_IsObject(a) && shown)
		same_members(s, a, b, depth + 1);
	else if (cJSON_IsArray(a) && shown)
		same_elements(s, a, b, depth + 1);
	else if (cJSON_IsObject(a))
		must(!a->child && json_is_object(b));
	else if (cJSON_IsArray(a))
		must(!a->child && json_is_array(b));
	else if (cJSON_IsString(a))
		same_string(a, b);
	else if (cJSON_IsNumber(a))
		same_number(s, a, b);
	else
		must((cJSON_IsTrue(a) && json_is_true(b)) ||
		     (cJSON_IsFalse(a) && json_is_false(b)) ||
		     (cJSON_IsNull(a) && json_is_null(b)));
}

/* Numbers go by their value: 1.0 comes back as 1. */
/* NOLINTNEXTLINE(misc-no-recursion) */
static void same_id(json_t *a, json_t *b)
{
	if (json_is_integer(a) && json_is_integer(b))
		must(json_integer_value(a) == json_integer_value(b));
	else if (json_is_number(a))
		must(json_is_number(b) && json_number_value(a) == json_number_value(b));
	else if (!json_is_array(a) && !json_is_object(a))
		must(json_equal(a, b));
	else
		must(json_typeof(a) == json_typeof(b) &&
		     json_array_size(a) == json_array_size(b) &&
		     json_object_size(a) == json_object_size(b));
	for (size_t i = 0; i < json_array_size(a); i++)
		same_id(json_array_get(a, i), json_array_get(b, i));
	for (void *m = json_object_iter(a); m; m = json_object_iter_next(a, m)) {
		json_t *other = json_object_get(b, json_object_iter_key(m));

		must(other);
		same_id(json_object_iter_value(m), other);
	}
}

static void check_id(const struct ours *o, const json_t *theirs, bool real)
{
	struct scan_text id = scan_request_id(o->scan);
	json_t *want = json_object_get(theirs, "id"), *got;
	size_t flags = JSON_DECODE_ANY | (real ? JSON_DECODE_INT_AS_REAL : 0);

	must(!id.p == !want);
	if (!want)
		return;
	got = json_loadb(id.p, id.len, flags, NULL);
	must(got);
	same_id(want, got);
	json_decref(got);
}

/* The last of the bulk members, which drops those before it; NULL: there is none. */
static json_t *bulk_of(const json_t *theirs)
{
	json_t *arguments = json_object_get(theirs, "arguments"), *last = NULL;

	for (void *m = json_object_iter(arguments); m;
	     m = json_object_iter_next(arguments, m))
		if (is_bulk(json_object_iter_key(m)) &&
		    json_is_string(json_object_iter_value(m)))
			last = json_object_iter_value(m);
	return last;
}

static void check_bulk(const struct ours *o, const json_t *theirs)
{
	CLEANUP(free_p) uint8_t *want = malloc(BASE64_OUT_MAX(MESSAGE_MAX));
	const json_t *last = bulk_of(theirs);
	struct base64 b = {0};
	enum scan_bulk kind;
	uint64_t size;
	size_t len;

	kind = scan_request_bulk(o->scan, &size);
	must(want && !last == (kind == SCAN_BULK_NONE));
	if (!last)
		return;
	len = base64_decode(&b, (const uint8_t *)json_string_value(last),
			    json_string_length(last), want);
	must(kind == (b.invalid ? SCAN_BULK_INVALID : SCAN_BULK_OK));
	must(b.invalid || (size == len && o->bulk.len == len &&
			   (!len || !memcmp(o->bulk.p, want, len))));
}

static void check_values(const struct ours *o, json_t *theirs, bool real)
{
	struct scan_text text = scan_request_text(o->scan);
	cJSON *tree = cJSON_ParseWithLength(text.p, text.len);

	must(tree);
	same(o->scan, tree, theirs, 0);
	check_id(o, theirs, real);
	check_bulk(o, theirs);
	cJSON_Delete(tree);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(wbuf_free) struct wbuf text = wbuf_growing(2 * MESSAGE_MAX);
	struct ours ours;
	json_t *theirs;
	bool real;

	if (size > MESSAGE_MAX)
		return 0;
	wbuf_text(&text, "");
	translate(&text, (const char *)data, size);
	must(!text.bad);
	read_ours(&ours, data, size);
	theirs = read_theirs(&text, &real);
	must(ours.taken == (theirs && wire_takes(theirs)));
	if (ours.taken)
		check_values(&ours, theirs, real);
	json_decref(theirs);
	scan_free(ours.scan);
	wbuf_free(&ours.bulk);
	return 0;
}
