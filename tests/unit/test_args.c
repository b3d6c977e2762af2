/*
 * tests/unit/test_args.c - the host's arguments against the table
 *
 * Runs in:   a test
 * Input:     requests as they stand on the wire, through the real scanner
 * May touch: memory, a memfd for bulk data
 * Must not:  build the tree in another way than the frontend does
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <cjson/cJSON.h>

#include "frontend/frontend.h"
#include "json/args.h"

struct fixture {
	struct scan *scan;
	struct bulk bulk;
	struct arena arena;
	struct wbuf encoded;
	struct wbuf json; /* the arguments as they were understood, NUL-terminated */
	struct err e;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	bulk_init(&f->bulk);
	f->scan = scan_new(&f->bulk.sink);
	f->arena = (struct arena){.p = malloc(ARENA_SIZE), .cap = ARENA_SIZE};
	f->encoded = wbuf_growing(REQUEST_BODY_MAX);
	f->json = wbuf_growing(8 * REQUEST_BODY_MAX);
	*state = f;
	return f->scan && f->arena.p ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	f->bulk.sink.drop(&f->bulk.sink);
	scan_free_p(&f->scan);
	free(f->arena.p);
	wbuf_free(&f->encoded);
	wbuf_free(&f->json);
	free(f);
	return 0;
}

/* Feed a request for COMMAND; ARGS is its "arguments", or NULL for none. */
static cJSON *parse(struct fixture *f, const char *command, const char *args)
{
	CLEANUP(wbuf_free) struct wbuf w = wbuf_growing(SCAN_MESSAGE_MAX);
	struct scan_text text;
	enum scan_event ev;
	cJSON *tree;

	wbuf_text(&w, "{\"execute\":\"");
	wbuf_text(&w, command);
	wbuf_text(&w, args ? "\",\"arguments\":" : "\"");
	wbuf_text(&w, args ? args : "");
	wbuf_text(&w, "}");
	assert_int_equal(scan_feed(f->scan, w.p, w.len, &ev), w.len);
	assert_int_equal(ev, SCAN_REQUEST);
	text = scan_request_text(f->scan);
	tree = cJSON_ParseWithLength(text.p, text.len);
	assert_non_null(tree);
	return tree;
}

/* What was encoded, decoded as the worker does and shown. */
static void show(struct fixture *f, const struct schema *s)
{
	static const char data[64] = "(data)";
	struct rbuf r = rbuf_of(f->encoded.p, f->encoded.len);
	struct rbuf bulk;
	uint64_t size;
	void *msg;

	f->arena.len = 0;
	msg = arena_take(&f->arena, s->size);
	assert_int_equal(schema_get(&r, s, &f->arena, msg), 0);
	assert_true(rbuf_done(&r));
	scan_request_bulk(f->scan, &size);
	assert_true(size <= sizeof(data));
	bulk = rbuf_of(data, size);
	r = rbuf_of(f->encoded.p, f->encoded.len);
	assert_int_equal(schema_render(&r, s,
				       &(struct render){.bulk = &bulk, .n_bulk = 1},
				       &f->json),
			 0);
}

/* True if ARGS are good ones for COMMAND: F->json shows them. Else F->e says why not. */
static bool understood(struct fixture *f, const char *command, const char *args)
{
	const struct op *op = op_by_number(op_by_name(command, strlen(command)));
	cJSON *tree = parse(f, command, args);
	const cJSON *a = cJSON_GetObjectItemCaseSensitive(tree, "arguments");
	int r;

	assert_non_null(op);
	wbuf_free(&f->encoded);
	wbuf_free(&f->json);
	memset(&f->e, 0x55, sizeof(f->e));
	r = args_encode(f->scan, a, op->args, &f->encoded, &f->e);
	cJSON_Delete(tree);
	if (r < 0) {
		assert_int_equal(f->e.cls, ERR_GENERIC);
		return false;
	}
	show(f, op->args);
	wbuf_u8(&f->json, '\0');
	return true;
}

/* ---- good ones: command, arguments, how they are understood ---- */

static const struct {
	const char *command, *args, *json;
} good[] = {
	{"guest-ping", NULL, "{}"},
	{"guest-ping", "{}", "{}"},
	/* Rows 87 to 90. */
	{"guest-sync", "{\"id\":0}", "{\"id\": 0}"},
	{"guest-sync", "{\"id\":-0}", "{\"id\": 0}"},
	{"guest-sync", "{\"id\":9223372036854775807}", "{\"id\": 9223372036854775807}"},
	{"guest-sync", "{\"id\":-9223372036854775808}", "{\"id\": -9223372036854775808}"},
	/* No double can hold these. */
	{"guest-sync", "{\"id\":9007199254740993}", "{\"id\": 9007199254740993}"},
	{"guest-sync-delimited", "{\"id\":1234567890123456789}",
	 "{\"id\": 1234567890123456789}"},
	/* Optional ones, there and not; order does not matter, the schema's comes out. */
	{"guest-file-open", "{\"path\":\"/x\"}", "{\"path\": \"/x\"}"},
	{"guest-file-open", "{\"mode\":\"w+\",\"path\":\"/x\"}",
	 "{\"path\": \"/x\", \"mode\": \"w+\"}"},
	{"guest-set-time", "{}", "{}"},
	{"guest-set-time", NULL, "{}"},
	{"guest-set-time", "{\"time\":1}", "{\"time\": 1}"},
	/* What a mode may be is the command's business. */
	{"guest-shutdown", "{\"mode\":\"bogus\"}", "{\"mode\": \"bogus\"}"},
	/* Text: quotes, escapes, UTF-8. */
	{"guest-file-open", "{'path':'a\\'b\\u00e4\xc3\xa4\"'}",
	 "{\"path\": \"a'b\\u00E4\\u00E4\\\"\"}"},
	{"guest-file-open", "{\"path\":\"\"}", "{\"path\": \"\"}"},
	/* Alternates: a name, an index, any integer; a name or a boolean. */
	{"guest-file-seek", "{\"handle\":1,\"offset\":-5,\"whence\":\"set\"}",
	 "{\"handle\": 1, \"offset\": -5, \"whence\": \"set\"}"},
	{"guest-file-seek", "{\"handle\":1,\"offset\":0,\"whence\":\"end\"}",
	 "{\"handle\": 1, \"offset\": 0, \"whence\": \"end\"}"},
	{"guest-file-seek", "{\"handle\":1,\"offset\":0,\"whence\":1}",
	 "{\"handle\": 1, \"offset\": 0, \"whence\": 1}"},
	{"guest-file-seek", "{\"handle\":1,\"offset\":0,\"whence\":-7}",
	 "{\"handle\": 1, \"offset\": 0, \"whence\": -7}"},
	{"guest-exec", "{\"path\":\"true\",\"capture-output\":true}",
	 "{\"path\": \"true\", \"capture-output\": true}"},
	{"guest-exec", "{\"path\":\"true\",\"capture-output\":false}",
	 "{\"path\": \"true\", \"capture-output\": false}"},
	{"guest-exec", "{\"path\":\"true\",\"capture-output\":\"separated\"}",
	 "{\"path\": \"true\", \"capture-output\": \"separated\"}"},
	{"guest-exec", "{\"path\":\"true\",\"capture-output\":\"none\"}",
	 "{\"path\": \"true\", \"capture-output\": \"none\"}"},
	/* Lists. */
	{"guest-exec", "{\"path\":\"p\",\"arg\":[],\"env\":[\"A=1\",\"B=\"]}",
	 "{\"path\": \"p\", \"arg\": [], \"env\": [\"A=1\", \"B=\"]}"},
	{"guest-set-vcpus", "{\"vcpus\":[]}", "{\"vcpus\": []}"},
	{"guest-set-vcpus",
	 "{\"vcpus\":[{\"logical-id\":0,\"online\":true},"
	 "{\"online\":false,\"logical-id\":7,\"can-offline\":true}]}",
	 "{\"vcpus\": [{\"logical-id\": 0, \"online\": true}, "
	 "{\"logical-id\": 7, \"online\": false, \"can-offline\": true}]}"},
	/* uint64: beyond int64, and negative ones wrap (protocol 1.6). */
	{"guest-set-memory-blocks",
	 "{\"mem-blks\":[{\"phys-index\":18446744073709551615,\"online\":true},"
	 "{\"phys-index\":9223372036854775808,\"online\":true},"
	 "{\"phys-index\":-1,\"online\":true},{\"phys-index\":0,\"online\":true}]}",
	 "{\"mem-blks\": [{\"phys-index\": 18446744073709551615, \"online\": true}, "
	 "{\"phys-index\": 9223372036854775808, \"online\": true}, "
	 "{\"phys-index\": 18446744073709551615, \"online\": true}, "
	 "{\"phys-index\": 0, \"online\": true}]}"},
	/* base64 in text: shown again in its one form. */
	{"guest-set-user-password",
	 "{\"username\":\"u\",\"password\":\"aHVu\\ndGVyMg==\",\"crypted\":false}",
	 "{\"username\": \"u\", \"password\": \"aHVudGVyMg==\", \"crypted\": false}"},
	{"guest-set-user-password",
	 "{\"username\":\"u\",\"password\":\"\",\"crypted\":false}",
	 "{\"username\": \"u\", \"password\": \"\", \"crypted\": false}"},
	/* An incomplete last group is dropped (protocol 3.0.2). */
	{"guest-set-user-password",
	 "{\"username\":\"u\",\"password\":\"YWJjYW\",\"crypted\":true}",
	 "{\"username\": \"u\", \"password\": \"YWJj\", \"crypted\": true}"},
	{"guest-set-user-password",
	 "{\"username\":\"u\",\"password\":\"AAAA\",\"crypted\":true}",
	 "{\"username\": \"u\", \"password\": \"AAAA\", \"crypted\": true}"},
	/* Bulk: only its size is here. */
	{"guest-exec", "{\"path\":\"p\",\"input-data\":\"KGRhdGEp\"}",
	 "{\"path\": \"p\", \"input-data\": \"KGRhdGEp\"}"},
	{"guest-file-write", "{\"handle\":1,\"buf-b64\":\"\",\"count\":0}",
	 "{\"handle\": 1, \"buf-b64\": \"\", \"count\": 0}"},
};

static void understood_as(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		if (!understood(f, good[i].command, good[i].args))
			fail_msg("%s %s: %s", good[i].command, good[i].args, f->e.desc);
		assert_string_equal((const char *)f->json.p, good[i].json);
	}
}

/* ---- wrong ones: command, arguments, what the client is told ---- */

#define TYPE(name, type) "Invalid parameter type for '" name "', expected: " type
#define MISSING(name)    "Parameter '" name "' is missing"
#define SURPLUS(name)    "Parameter '" name "' is unexpected"
#define BASE64           "Base64 data contains invalid characters"
#define DEEP8            "[[[[[[[[]]]]]]]]"

static const struct {
	const char *command, *args, *desc;
} wrong[] = {
	/* Rows 91 to 94 and 104 to 107. */
	{"guest-sync", "{\"id\":9223372036854775808}", TYPE("id", "integer")},
	{"guest-sync", "{\"id\":18446744073709551616}", TYPE("id", "integer")},
	{"guest-sync", "{\"id\":1.0}", TYPE("id", "integer")},
	{"guest-sync", "{\"id\":1e3}", TYPE("id", "integer")},
	{"guest-sync", "{\"id\":\"1\"}", TYPE("id", "integer")},
	{"guest-sync", "{\"id\":null}", TYPE("id", "integer")},
	{"guest-sync", "{\"id\":true}", TYPE("id", "integer")},
	{"guest-sync", "{\"id\":[]}", TYPE("id", "integer")},
	{"guest-sync", "{\"id\":{}}", TYPE("id", "integer")},
	{"guest-sync", "{\"id\":-9223372036854775809}", TYPE("id", "integer")},
	/* Rows 142 to 163. */
	{"guest-sync", NULL, MISSING("id")},
	{"guest-sync", "{\"id\":1,\"x\":2}", SURPLUS("x")},
	{"guest-sync", "{\"ID\":1}", MISSING("id")},
	{"guest-set-user-password", NULL, MISSING("username")},
	{"guest-file-open", "{\"path\":5}", TYPE("path", "string")},
	{"guest-file-open", "{\"path\":\"/x\",\"mode\":null}", TYPE("mode", "string")},
	{"guest-file-seek", "{\"handle\":1,\"offset\":0,\"whence\":null}",
	 TYPE("whence", "GuestFileWhence")},
	{"guest-file-seek", "{\"handle\":1,\"offset\":0,\"whence\":1.0}",
	 TYPE("whence", "integer")},
	{"guest-file-seek", "{\"handle\":1,\"offset\":0,\"whence\":\"SET\"}",
	 "Parameter 'whence' does not accept value 'SET'"},
	{"guest-exec", "{\"path\":\"true\",\"arg\":\"x\"}", TYPE("arg", "array")},
	{"guest-exec", "{\"path\":\"true\",\"arg\":[\"a\",5]}", TYPE("arg[1]", "string")},
	{"guest-exec", "{\"path\":\"true\",\"input-data\":\"!!\"}", BASE64},
	{"guest-set-vcpus", "{\"vcpus\":[{\"logical-id\":0}]}",
	 MISSING("vcpus[0].online")},
	{"guest-set-vcpus", "{\"vcpus\":[{\"logical-id\":0,\"online\":true,\"foo\":1}]}",
	 SURPLUS("vcpus[0].foo")},
	{"guest-set-vcpus", "{\"vcpus\":[5]}", TYPE("vcpus[0]", "object")},
	{"guest-set-vcpus", "{\"vcpus\":5}", TYPE("vcpus", "array")},
	{"guest-set-memory-blocks",
	 "{\"mem-blks\":[{\"phys-index\":\"0\",\"online\":true}]}",
	 "Parameter 'mem-blks[0].phys-index' expects uint64"},
	{"guest-fsfreeze-freeze-list", "{\"mountpoints\":[1]}",
	 TYPE("mountpoints[0]", "string")},
	{"guest-suspend-ram", "{\"x\":1}", SURPLUS("x")},
	{"guest-set-time", "{\"time\":\"x\"}", TYPE("time", "integer")},
	/* uint64, other ways to be wrong. */
	{"guest-set-memory-blocks",
	 "{\"mem-blks\":[{\"phys-index\":18446744073709551616,\"online\":true}]}",
	 "Parameter 'mem-blks[0].phys-index' expects uint64"},
	{"guest-set-memory-blocks",
	 "{\"mem-blks\":[{\"phys-index\":1.0,\"online\":true}]}",
	 "Parameter 'mem-blks[0].phys-index' expects uint64"},
	{"guest-set-memory-blocks",
	 "{\"mem-blks\":[{\"phys-index\":-9223372036854775809,\"online\":true}]}",
	 "Parameter 'mem-blks[0].phys-index' expects uint64"},
	/* Booleans. */
	{"guest-set-vcpus", "{\"vcpus\":[{\"logical-id\":0,\"online\":1}]}",
	 TYPE("vcpus[0].online", "boolean")},
	{"guest-set-vcpus", "{\"vcpus\":[{\"logical-id\":0,\"online\":\"true\"}]}",
	 TYPE("vcpus[0].online", "boolean")},
	{"guest-set-vcpus", "{\"vcpus\":[{\"logical-id\":0,\"online\":null}]}",
	 TYPE("vcpus[0].online", "boolean")},
	/* Alternates. */
	{"guest-file-seek", "{\"handle\":1,\"offset\":0,\"whence\":true}",
	 TYPE("whence", "GuestFileWhence")},
	{"guest-file-seek", "{\"handle\":1,\"offset\":0,\"whence\":[]}",
	 TYPE("whence", "GuestFileWhence")},
	{"guest-file-seek", "{\"handle\":1,\"offset\":0,\"whence\":\"\"}",
	 "Parameter 'whence' does not accept value ''"},
	{"guest-file-seek", "{\"handle\":1,\"offset\":0,\"whence\":\"se\"}",
	 "Parameter 'whence' does not accept value 'se'"},
	{"guest-file-seek", "{\"handle\":1,\"offset\":0,\"whence\":\"set \"}",
	 "Parameter 'whence' does not accept value 'set '"},
	{"guest-file-seek", "{\"handle\":1,\"offset\":0,\"whence\":9223372036854775808}",
	 TYPE("whence", "integer")},
	{"guest-exec", "{\"path\":\"p\",\"capture-output\":1}",
	 TYPE("capture-output", "GuestExecCaptureOutput")},
	{"guest-exec", "{\"path\":\"p\",\"capture-output\":null}",
	 TYPE("capture-output", "GuestExecCaptureOutput")},
	{"guest-exec", "{\"path\":\"p\",\"capture-output\":\"both\"}",
	 "Parameter 'capture-output' does not accept value 'both'"},
	/* Names: nested, of the wrong case, with - for _. */
	{"guest-set-vcpus",
	 "{\"vcpus\":[{\"logical-id\":0,\"online\":true},"
	 "{\"logical-id\":1,\"online\":true},{\"logical-id\":\"2\"}]}",
	 TYPE("vcpus[2].logical-id", "integer")},
	{"guest-set-vcpus", "{\"vcpus\":[{\"logical_id\":0,\"online\":true}]}",
	 MISSING("vcpus[0].logical-id")},
	{"guest-file-open", "{\"Path\":\"/x\"}", MISSING("path")},
	{"guest-ping", "{\"\":1}", SURPLUS("")},
	{"guest-ping", "{\"a.b\":1}", SURPLUS("a.b")},
	/* Nested deeper than any argument goes: still the same words. */
	{"guest-sync", "{\"id\":" DEEP8 "}", TYPE("id", "integer")},
	{"guest-ping", "{\"x\":" DEEP8 "}", SURPLUS("x")},
	{"guest-exec", "{\"path\":\"p\",\"arg\":[" DEEP8 "]}", TYPE("arg[0]", "string")},
	/* Order: what is missing or of a wrong type, as the schema goes ... */
	{"guest-file-seek", "{\"whence\":null,\"offset\":null}", MISSING("handle")},
	{"guest-file-seek", "{\"whence\":null,\"offset\":null,\"handle\":1}",
	 TYPE("offset", "integer")},
	{"guest-file-seek", "{\"offset\":1,\"handle\":1}", MISSING("whence")},
	/* ... before surplus members, the first that stands there ... */
	{"guest-file-seek", "{\"x\":1,\"handle\":1,\"offset\":0}", MISSING("whence")},
	{"guest-file-open", "{\"x\":1,\"path\":5}", TYPE("path", "string")},
	{"guest-ping", "{\"b\":1,\"a\":1}", SURPLUS("b")},
	{"guest-set-vcpus", "{\"x\":1,\"vcpus\":[{\"logical-id\":0,\"online\":0}]}",
	 TYPE("vcpus[0].online", "boolean")},
	/* ... and these before what the command itself finds. */
	{"guest-set-user-password",
	 "{\"username\":\"u\",\"password\":\"!\",\"crypted\":false,\"x\":1}",
	 SURPLUS("x")},
	{"guest-set-user-password", "{\"username\":\"u\",\"password\":\"!\"}",
	 MISSING("crypted")},
	{"guest-set-user-password",
	 "{\"username\":\"u\",\"password\":\"!\",\"crypted\":false}", BASE64},
	{"guest-set-user-password",
	 "{\"username\":\"u\",\"password\":\"YWJj ZA==\",\"crypted\":false}", BASE64},
	{"guest-set-user-password",
	 "{\"username\":\"u\",\"password\":5,\"crypted\":false}",
	 TYPE("password", "string")},
	{"guest-exec", "{\"path\":\"p\",\"input-data\":\"!!\",\"capture-output\":5}",
	 TYPE("capture-output", "GuestExecCaptureOutput")},
	{"guest-exec", "{\"path\":\"p\",\"input-data\":5}", TYPE("input-data", "string")},
	{"guest-file-write", "{\"handle\":1,\"buf-b64\":null}",
	 TYPE("buf-b64", "string")},
	{"guest-file-write", "{\"handle\":1}", MISSING("buf-b64")},
	{"guest-file-write", "{\"handle\":1,\"buf-b64\":\"*\"}", BASE64},
};

static void refused_as(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		if (understood(f, wrong[i].command, wrong[i].args))
			fail_msg("understood: %s", wrong[i].args);
		assert_string_equal(f->e.desc, wrong[i].desc);
	}
}

/* ---- what cannot stand in a table ---- */

/* N copies of the character C between BEFORE and AFTER. */
static char *with_run(const char *before, char c, size_t n, const char *after)
{
	size_t head = strlen(before), tail = strlen(after);
	char *s = malloc(head + n + tail + 1);

	memcpy(s, before, head);
	memset(s + head, c, n);
	memcpy(s + head + n, after, tail);
	s[head + n + tail] = '\0';
	return s;
}

/* A long name is cut in the error text, and the text keeps its end. */
static void long_names(void **state)
{
	static const size_t lens[] = {1, 200, 254, 255, 256, 257, 1000, 100000};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		char *args = with_run("{\"", 'n', lens[i], "\":1}");
		size_t shown = strlen("Parameter '");

		assert_false(understood(f, "guest-ping", args));
		assert_memory_equal(f->e.desc, "Parameter '", shown);
		shown = strspn(f->e.desc + shown, "n");
		assert_int_equal(shown, min_size(lens[i], 255));
		assert_string_equal(f->e.desc + strlen("Parameter '") + shown,
				    "' is unexpected");
		free(args);
	}
}

/* Likewise below a path; and what comes behind it is named rightly again. */
static void long_nested_names(void **state)
{
	struct fixture *f = *state;
	char *args = with_run("{\"vcpus\":[{\"logical-id\":0,\"online\":true,\"", 'n',
			      5000, "\":1}]}");

	assert_false(understood(f, "guest-set-vcpus", args));
	assert_memory_equal(f->e.desc, "Parameter 'vcpus[0].nnn", 23);
	assert_string_equal(f->e.desc + strlen(f->e.desc) - 16, "n' is unexpected");
	free(args);
}

/* An unknown value may be as long as a string; the text stays bounded and whole. */
static void long_values(void **state)
{
	struct fixture *f = *state;
	char *args =
		with_run("{\"handle\":1,\"offset\":0,\"whence\":\"", 'v', 500000, "\"}");
	size_t len;

	assert_false(understood(f, "guest-file-seek", args));
	len = strnlen(f->e.desc, sizeof(f->e.desc));
	assert_int_equal(len, ERR_DESC_MAX - 1);
	assert_memory_equal(f->e.desc, "Parameter 'whence' does not accept value 'vvv",
			    45);
	free(args);
}

static void long_text(void **state)
{
	struct fixture *f = *state;
	char *args = with_run("{\"path\":\"", 'p', 1000000, "\"}");

	assert_true(understood(f, "guest-file-open", args));
	assert_int_equal(f->json.len, strlen("{\"path\": \"\"}") + 1000000 + 1);
	free(args);
}

/* A path grows and shrinks with the nesting: the hundredth element is named as such. */
static void many_elements(void **state)
{
	struct fixture *f = *state;
	CLEANUP(wbuf_free) struct wbuf args = wbuf_growing(64 * 1024);

	wbuf_text(&args, "{\"vcpus\":[");
	for (int i = 0; i < 100; i++)
		wbuf_text(&args, "{\"logical-id\":1,\"online\":true},");
	wbuf_text(&args, "{\"logical-id\":1,\"online\":null}]}");
	wbuf_u8(&args, '\0');
	assert_false(understood(f, "guest-set-vcpus", (char *)args.p));
	assert_string_equal(f->e.desc, TYPE("vcpus[100].online", "boolean"));
}

/* More than the worker takes: an error, not half a message. */
static void too_large(void **state)
{
	struct fixture *f = *state;
	cJSON *tree = parse(f, "guest-file-open", "{\"path\":\"0123456789\"}");
	const cJSON *a = cJSON_GetObjectItemCaseSensitive(tree, "arguments");
	struct wbuf small = wbuf_growing(10);

	assert_int_equal(
		args_encode(f->scan, a, op_by_number(OP_file_open)->args, &small, &f->e),
		-1);
	assert_string_equal(f->e.desc, "the arguments are too large");
	wbuf_free(&small);
	cJSON_Delete(tree);
}

/* Bulk data that the memfd takes no more of is refused as late as data that is wrong. */
static void bulk_without_room(void **state)
{
	struct fixture *f = *state;

	f->bulk.room = 5;
	assert_true(understood(f, "guest-exec",
			       "{\"path\":\"p\",\"input-data\":\"aGVsbG8=\"}"));
	assert_false(understood(f, "guest-exec",
				"{\"path\":\"p\",\"input-data\":\"KGRhdGEp\"}"));
	assert_string_equal(f->e.desc, "there is no room for the data at present");
	assert_false(understood(f, "guest-exec",
				"{\"input-data\":\"KGRhdGEp\",\"path\":\"p\",\"x\":1}"));
	assert_string_equal(f->e.desc, SURPLUS("x"));
}

/* No member of the wrong kind passes for any argument of any command. */
static void every_argument_checked(void **state)
{
	static const char *const odd[] = {"null", "[null]", "{\"?\":1}"};
	struct fixture *f = *state;

	for (uint32_t n = op_after(OP_NONE); n != OP_NONE; n = op_after(n)) {
		const struct op *op = op_by_number(n);
		char args[256];

		for (uint32_t i = 0; i < op->args->n * ARRAY_SIZE(odd); i++) {
			const struct field *field =
				&op->args->fields[i / ARRAY_SIZE(odd)];

			snprintf(args, sizeof(args), "{\"%s\":%s}", field->name,
				 odd[i % ARRAY_SIZE(odd)]);
			assert_false(understood(f, op->name, args));
		}
		assert_false(understood(f, op->name, "{\"no-such-argument\":1}"));
	}
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	static const struct CMUnitTest tests[] = {
		WITH(understood_as),          WITH(refused_as),  WITH(long_names),
		WITH(long_nested_names),      WITH(long_values), WITH(long_text),
		WITH(many_elements),          WITH(too_large),   WITH(bulk_without_room),
		WITH(every_argument_checked),
	};

	return cmocka_run_group_tests_name("args", tests, NULL, NULL);
}
