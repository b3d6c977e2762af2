/*
 * json/args.c - the host's arguments, checked against the table
 *
 * Runs in:   frontend, posternctl
 * Input:     a JSON tree built from text that the scanner has passed
 * May touch: the buffer it is handed
 * Must not:  convert a number by way of a double, let a surplus member pass
 */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

#include "json/args.h"
#include "ipc/base64.h"

#define PATH_MAX_LEN 256

/* Where in the arguments we are: `vcpus[0].online`, as error texts spell it. */
struct place {
	const struct scan *scan;
	struct err *e;
	/* Set for what the reference finds only when it runs the command. */
	const char *late;
	char path[PATH_MAX_LEN];
	size_t len;
};

/* Append to the path; one that is too long for an error text is cut there. */
static void push(struct place *at, const char *text)
{
	size_t len = min_size(strlen(text), sizeof(at->path) - 1 - at->len);

	memcpy(at->path + at->len, text, len);
	at->len += len;
	at->path[at->len] = '\0';
}

static void push_name(struct place *at, const char *name)
{
	if (at->len)
		push(at, ".");
	push(at, name);
}

static void push_index(struct place *at, uint32_t i)
{
	char text[16];

	snprintf(text, sizeof(text), "[%u]", i);
	push(at, text);
}

static void pop(struct place *at, size_t len)
{
	at->len = len;
	at->path[len] = '\0';
}

static int wrong_type(struct place *at, const char *expected)
{
	return err_set(at->e, ERR_GENERIC,
		       "Invalid parameter type for '%s', expected: %s", at->path,
		       expected);
}

/* ---- one function per kind of value ---- */

typedef int arg_fn(struct place *at, const struct field *f, const cJSON *j,
		   struct wbuf *w);

/* The exact number that J stands for: the text holds its index in the kept texts. */
static bool number(const struct place *at, const cJSON *j, struct scan_num *n)
{
	return cJSON_IsNumber(j) &&
	       scan_request_number(at->scan, (uint64_t)j->valuedouble, n);
}

static int arg_int(struct place *at, const struct field *f, const cJSON *j,
		   struct wbuf *w)
{
	struct scan_num n;

	(void)f;
	if (!number(at, j, &n) || n.kind != SCAN_INT)
		return wrong_type(at, "integer");
	wbuf_u64(w, (uint64_t)n.i);
	return 0;
}

/* Negative values wrap, as they do in the reference (protocol 1.6). */
static int arg_u64(struct place *at, const struct field *f, const cJSON *j,
		   struct wbuf *w)
{
	struct scan_num n;

	(void)f;
	if (!number(at, j, &n) || n.kind == SCAN_DOUBLE)
		return err_set(at->e, ERR_GENERIC, "Parameter '%s' expects uint64",
			       at->path);
	wbuf_u64(w, n.kind == SCAN_INT ? (uint64_t)n.i : n.u);
	return 0;
}

static int arg_num(struct place *at, const struct field *f, const cJSON *j,
		   struct wbuf *w)
{
	struct scan_num n;

	(void)f;
	if (!number(at, j, &n))
		return wrong_type(at, "number");
	wbuf_f64(w, n.d);
	return 0;
}

static int arg_bool(struct place *at, const struct field *f, const cJSON *j,
		    struct wbuf *w)
{
	(void)f;
	if (!cJSON_IsBool(j))
		return wrong_type(at, "boolean");
	wbuf_u8(w, cJSON_IsTrue(j));
	return 0;
}

static int arg_str(struct place *at, const struct field *f, const cJSON *j,
		   struct wbuf *w)
{
	size_t len;

	(void)f;
	if (!cJSON_IsString(j))
		return wrong_type(at, "string");
	len = strlen(j->valuestring);
	wbuf_u32(w, (uint32_t)len);
	wbuf_put(w, j->valuestring, len);
	return 0;
}

static int arg_b64(struct place *at, const struct field *f, const cJSON *j,
		   struct wbuf *w)
{
	struct base64 state = {0};
	CLEANUP(wbuf_free) struct wbuf decoded = wbuf_growing(0);
	size_t len;

	(void)f;
	if (!cJSON_IsString(j))
		return wrong_type(at, "string");
	len = strlen(j->valuestring);
	decoded.limit = BASE64_OUT_MAX(len);
	if (wbuf_room(&decoded, BASE64_OUT_MAX(len)))
		decoded.len = base64_decode(&state, (const uint8_t *)j->valuestring, len,
					    decoded.p);
	if (state.invalid)
		at->late = "Base64 data contains invalid characters";
	wbuf_u32(w, (uint32_t)decoded.len);
	wbuf_put(w, decoded.p, decoded.len);
	return 0;
}

/* Its bytes went to the memfd while they streamed in; the tree holds an empty string. */
static int arg_bulk(struct place *at, const struct field *f, const cJSON *j,
		    struct wbuf *w)
{
	uint64_t size = 0;
	enum scan_bulk bulk = scan_request_bulk(at->scan, &size);

	(void)f;
	if (!cJSON_IsString(j))
		return wrong_type(at, "string");
	if (bulk == SCAN_BULK_TOO_BIG)
		at->late = "there is no room for the data at present";
	else if (bulk != SCAN_BULK_OK)
		at->late = "Base64 data contains invalid characters";
	wbuf_u64(w, size);
	return 0;
}

/* The index of J's spelling, or -1. */
static int named(const struct field *f, const cJSON *j)
{
	for (int i = 0; i < f->names->n; i++)
		if (streq(f->names->v[i], j->valuestring))
			return i;
	return -1;
}

static int unknown_name(struct place *at, const cJSON *j)
{
	return err_set(at->e, ERR_GENERIC, "Parameter '%s' does not accept value '%s'",
		       at->path, j->valuestring);
}

static int arg_enum(struct place *at, const struct field *f, const cJSON *j,
		    struct wbuf *w)
{
	int index;

	if (!cJSON_IsString(j))
		return wrong_type(at, "string");
	index = named(f, j);
	if (index < 0)
		return unknown_name(at, j);
	wbuf_u8(w, (uint8_t)index);
	return 0;
}

/* Either a name, or what PLAIN takes: the alternate types of the schema. */
static int arg_alt(struct place *at, const struct field *f, const cJSON *j,
		   struct wbuf *w)
{
	bool plain_int = f->kind == K_INT_OR_ENUM;

	if (cJSON_IsString(j)) {
		int index = named(f, j);

		if (index < 0)
			return unknown_name(at, j);
		wbuf_u8(w, 1);
		wbuf_u64(w, (uint64_t)index);
		return 0;
	}
	if (plain_int ? !cJSON_IsNumber(j) : !cJSON_IsBool(j))
		return wrong_type(at, f->names->type);
	wbuf_u8(w, 0);
	if (plain_int)
		return arg_int(at, f, j, w);
	wbuf_u64(w, cJSON_IsTrue(j));
	return 0;
}

static int members(struct place *at, const cJSON *j, const struct schema *s,
		   struct wbuf *w);

static int arg_obj(struct place *at, const struct field *f, const cJSON *j,
		   struct wbuf *w)
{
	if (!cJSON_IsObject(j))
		return wrong_type(at, "object");
	return members(at, j, f->sub, w);
}

static int items(struct place *at, const struct field *f, const cJSON *j, struct wbuf *w,
		 arg_fn *item)
{
	const cJSON *element;
	size_t len = at->len;
	unsigned int i = 0;

	if (!cJSON_IsArray(j))
		return wrong_type(at, "array");
	wbuf_u32(w, (uint32_t)cJSON_GetArraySize(j));
	cJSON_ArrayForEach(element, j)
	{
		push_index(at, i++);
		if (item(at, f, element, w) < 0)
			return -1;
		pop(at, len);
	}
	return 0;
}

static int arg_list_obj(struct place *at, const struct field *f, const cJSON *j,
			struct wbuf *w)
{
	return items(at, f, j, w, arg_obj);
}

static int arg_list_str(struct place *at, const struct field *f, const cJSON *j,
			struct wbuf *w)
{
	return items(at, f, j, w, arg_str);
}

static arg_fn *const kinds[K_COUNT] = {
	[K_INT] = arg_int,           [K_U64] = arg_u64,   [K_NUM] = arg_num,
	[K_BOOL] = arg_bool,         [K_STR] = arg_str,   [K_B64] = arg_b64,
	[K_BULK] = arg_bulk,         [K_ENUM] = arg_enum, [K_INT_OR_ENUM] = arg_alt,
	[K_BOOL_OR_ENUM] = arg_alt,  [K_OBJ] = arg_obj,   [K_LIST_OBJ] = arg_list_obj,
	[K_LIST_STR] = arg_list_str,
};

/* ---- an object against its schema ---- */

static int member(struct place *at, const cJSON *j, const struct field *f, struct wbuf *w)
{
	const cJSON *value = cJSON_GetObjectItemCaseSensitive(j, f->name);
	size_t len = at->len;

	push_name(at, f->name);
	if (f->flags & F_OPT)
		wbuf_u8(w, value != NULL);
	else if (!value)
		return err_set(at->e, ERR_GENERIC, "Parameter '%s' is missing", at->path);
	if (value && kinds[f->kind](at, f, value, w) < 0)
		return -1;
	pop(at, len);
	return 0;
}

static bool declared(const struct schema *s, const char *name)
{
	for (uint32_t i = 0; i < s->n; i++)
		if (streq(s->fields[i].name, name))
			return true;
	return false;
}

static int members(struct place *at, const cJSON *j, const struct schema *s,
		   struct wbuf *w)
{
	const cJSON *m;

	for (uint32_t i = 0; i < s->n; i++)
		if (member(at, j, &s->fields[i], w) < 0)
			return -1;
	cJSON_ArrayForEach(m, j)
	{
		if (declared(s, m->string))
			continue;
		push_name(at, m->string);
		return err_set(at->e, ERR_GENERIC, "Parameter '%s' is unexpected",
			       at->path);
	}
	return 0;
}

int args_encode(const struct scan *scan, const struct cJSON *args, const struct schema *s,
		struct wbuf *w, struct err *e)
{
	struct place at = {.scan = scan, .e = e};

	if (members(&at, args, s, w) < 0)
		return -1;
	if (at.late)
		return err_set(e, ERR_GENERIC, "%s", at.late);
	if (w->bad)
		return err_set(e, ERR_GENERIC, "the arguments are too large");
	return 0;
}
