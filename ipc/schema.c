/*
 * ipc/schema.c - the codec that follows a message's description
 *
 * Runs in:   all processes
 * Input:     messages of another process of ours, which may be in an attacker's hands
 * May touch: the buffers it is handed
 * Must not:  allocate by a length found in the input, recurse deeper than a schema does
 *
 * One const table holds, for each kind of value, how it is encoded, decoded and shown.
 * On the wire: an optional field is preceded by one byte (0 absent, 1 present), a text
 * by its length (u32), a list by its count (u32); everything else has a fixed width.
 */
#include "ipc/schema.h"

#include <stdio.h>
#include <string.h>

#include "ipc/jsonw.h"

void *arena_take(struct arena *a, size_t len)
{
	size_t at = (a->len + 7) & ~(size_t)7;

	if (at > a->cap || len > a->cap - at)
		return NULL;
	a->len = at + len;
	memset(a->p + at, 0, len);
	return a->p + at;
}

struct v_str v_str(const char *s)
{
	if (!s)
		return (struct v_str){0};
	return (struct v_str){.p = s, .len = (uint32_t)strlen(s), .set = true};
}

/* ---- struct -> wire ---- */

typedef void put_fn(struct wbuf *w, const struct field *f, const void *value);

static void put_int(struct wbuf *w, const struct field *f, const void *value)
{
	const struct v_int *v = value;

	(void)f;
	wbuf_u64(w, (uint64_t)v->v);
}

static void put_u64(struct wbuf *w, const struct field *f, const void *value)
{
	const struct v_u64 *v = value;

	(void)f;
	wbuf_u64(w, v->v);
}

static void put_num(struct wbuf *w, const struct field *f, const void *value)
{
	const struct v_num *v = value;

	(void)f;
	wbuf_f64(w, v->v);
}

static void put_bool(struct wbuf *w, const struct field *f, const void *value)
{
	const struct v_bool *v = value;

	(void)f;
	wbuf_u8(w, v->v);
}

/* Text and base64 differ in what they mean, not in how they are carried. */
static void put_str(struct wbuf *w, const struct field *f, const void *value)
{
	const struct v_str *v = value;

	(void)f;
	wbuf_u32(w, v->len);
	wbuf_put(w, v->p, v->len);
}

static void put_enum(struct wbuf *w, const struct field *f, const void *value)
{
	const struct v_enum *v = value;

	(void)f;
	wbuf_u8(w, v->v);
}

static void put_alt(struct wbuf *w, const struct field *f, const void *value)
{
	const struct v_alt *v = value;

	(void)f;
	wbuf_u8(w, v->named);
	wbuf_u64(w, (uint64_t)v->v);
}

static void put_obj(struct wbuf *w, const struct field *f, const void *value)
{
	const struct v_obj *v = value;

	schema_put(w, f->sub, v->v);
}

static void put_list_obj(struct wbuf *w, const struct field *f, const void *value)
{
	const struct v_list *v = value;

	wbuf_u32(w, v->n);
	for (uint32_t i = 0; i < v->n && !w->bad; i++)
		schema_put(w, f->sub, (const char *)v->v + i * f->sub->size);
}

static void put_list_str(struct wbuf *w, const struct field *f, const void *value)
{
	const struct v_list *v = value;
	const struct v_str *items = v->v;

	wbuf_u32(w, v->n);
	for (uint32_t i = 0; i < v->n && !w->bad; i++)
		put_str(w, f, &items[i]);
}

/* ---- wire -> struct ---- */

typedef bool get_fn(struct rbuf *r, const struct field *f, struct arena *a, void *value);

static bool get_int(struct rbuf *r, const struct field *f, struct arena *a, void *value)
{
	(void)f, (void)a;
	*(struct v_int *)value = V_INT((int64_t)rbuf_u64(r));
	return true;
}

static bool get_u64(struct rbuf *r, const struct field *f, struct arena *a, void *value)
{
	(void)f, (void)a;
	*(struct v_u64 *)value = V_U64(rbuf_u64(r));
	return true;
}

static bool get_num(struct rbuf *r, const struct field *f, struct arena *a, void *value)
{
	double v = rbuf_f64(r);

	(void)f, (void)a;
	*(struct v_num *)value = (struct v_num){.v = v, .set = true};
	return __builtin_isfinite(v);
}

static bool get_bool(struct rbuf *r, const struct field *f, struct arena *a, void *value)
{
	uint8_t v = rbuf_u8(r);

	(void)f, (void)a;
	*(struct v_bool *)value = V_BOOL(v == 1);
	return v <= 1;
}

static bool get_bytes(struct rbuf *r, struct v_str *v)
{
	uint32_t len = rbuf_u32(r);
	const uint8_t *p = len <= WIRE_STR_MAX ? rbuf_take(r, len) : NULL;

	*v = (struct v_str){.p = (const char *)p, .len = len, .set = true};
	return p;
}

/* A NUL inside would make two readers of one text disagree. */
static bool get_str(struct rbuf *r, const struct field *f, struct arena *a, void *value)
{
	struct v_str *v = value;

	(void)f, (void)a;
	return get_bytes(r, v) && !memchr(v->p, 0, v->len);
}

static bool get_b64(struct rbuf *r, const struct field *f, struct arena *a, void *value)
{
	struct v_b64 *v = value;
	struct v_str bytes;

	(void)f, (void)a;
	if (!get_bytes(r, &bytes))
		return false;
	*v = (struct v_b64){.p = bytes.p, .len = bytes.len, .set = true};
	return true;
}

static bool get_bulk(struct rbuf *r, const struct field *f, struct arena *a, void *value)
{
	(void)f, (void)a;
	*(struct v_bulk *)value = (struct v_bulk){.size = rbuf_u64(r), .set = true};
	return true;
}

static bool get_enum(struct rbuf *r, const struct field *f, struct arena *a, void *value)
{
	uint8_t v = rbuf_u8(r);

	(void)a;
	*(struct v_enum *)value = (struct v_enum){.v = v, .set = true};
	return v < f->names->n;
}

static bool get_alt(struct rbuf *r, const struct field *f, struct arena *a, void *value)
{
	uint8_t named = rbuf_u8(r);
	int64_t v = (int64_t)rbuf_u64(r);

	(void)a;
	*(struct v_alt *)value = (struct v_alt){.v = v, .named = named == 1, .set = true};
	if (named)
		return named == 1 && v >= 0 && v < f->names->n;
	return f->kind == K_INT_OR_ENUM || v == 0 || v == 1;
}

static bool get_obj(struct rbuf *r, const struct field *f, struct arena *a, void *value)
{
	void *v = arena_take(a, f->sub->size);

	*(struct v_obj *)value = (struct v_obj){.v = v, .set = true};
	return v && schema_get(r, f->sub, a, v) == 0;
}

/*
 * The count is believed only as far as bytes are there for it (an element takes at least
 * one) and as far as the arena reaches.
 */
static void *list_room(struct rbuf *r, struct arena *a, size_t size, struct v_list *v)
{
	uint32_t n = rbuf_u32(r);
	void *items = n <= rbuf_left(r) ? arena_take(a, n * size) : NULL;

	*v = (struct v_list){.v = items, .n = n, .set = true};
	return items;
}

static bool get_list_obj(struct rbuf *r, const struct field *f, struct arena *a,
			 void *value)
{
	struct v_list *v = value;
	char *items = list_room(r, a, f->sub->size, v);

	for (uint32_t i = 0; items && i < v->n; i++)
		if (schema_get(r, f->sub, a, items + i * f->sub->size) < 0)
			return false;
	return items;
}

static bool get_list_str(struct rbuf *r, const struct field *f, struct arena *a,
			 void *value)
{
	struct v_list *v = value;
	struct v_str *items = list_room(r, a, sizeof(*items), v);

	for (uint32_t i = 0; items && i < v->n; i++)
		if (!get_str(r, f, a, &items[i]))
			return false;
	return items;
}

/* ---- wire -> JSON ---- */

struct view {
	const struct render *how;
	uint32_t bulk_next;
};

typedef bool show_fn(struct rbuf *r, const struct field *f, struct view *v,
		     struct wbuf *w);

static bool show(struct rbuf *r, const struct schema *s, struct view *v, struct wbuf *w);

static bool show_int(struct rbuf *r, const struct field *f, struct view *v,
		     struct wbuf *w)
{
	(void)f, (void)v;
	jsonw_i64(w, (int64_t)rbuf_u64(r));
	return true;
}

static bool show_u64(struct rbuf *r, const struct field *f, struct view *v,
		     struct wbuf *w)
{
	(void)f, (void)v;
	jsonw_u64(w, rbuf_u64(r));
	return true;
}

static bool show_num(struct rbuf *r, const struct field *f, struct view *v,
		     struct wbuf *w)
{
	struct v_num num = {0};

	(void)v;
	if (!get_num(r, f, NULL, &num))
		return false;
	jsonw_num(w, num.v);
	return true;
}

static bool show_bool(struct rbuf *r, const struct field *f, struct view *v,
		      struct wbuf *w)
{
	struct v_bool val;

	(void)v;
	if (!get_bool(r, f, NULL, &val))
		return false;
	jsonw_bool(w, val.v);
	return true;
}

/* For a record: no single text may crowd out all that follows it. */
static void put_cut(struct wbuf *w, const struct v_str *str)
{
	char text[REDACT_STR_MAX + 32];
	int n = snprintf(text, sizeof(text), "%.*s... (%u bytes)", REDACT_STR_MAX, str->p,
			 str->len);

	jsonw_str(w, text, (size_t)n);
}

static bool show_str(struct rbuf *r, const struct field *f, struct view *v,
		     struct wbuf *w)
{
	struct v_str str;

	if (!get_str(r, f, NULL, &str))
		return false;
	if (v->how->redact && str.len > REDACT_STR_MAX) {
		put_cut(w, &str);
		return true;
	}
	jsonw_str(w, str.p, str.len);
	return true;
}

static bool show_b64(struct rbuf *r, const struct field *f, struct view *v,
		     struct wbuf *w)
{
	struct v_str str;

	(void)f, (void)v;
	if (!get_bytes(r, &str))
		return false;
	jsonw_b64(w, (const uint8_t *)str.p, str.len);
	return true;
}

static bool show_bulk(struct rbuf *r, const struct field *f, struct view *v,
		      struct wbuf *w)
{
	uint64_t size = rbuf_u64(r);
	const struct rbuf *bulk;

	(void)f;
	if (v->bulk_next >= v->how->n_bulk)
		return false;
	bulk = &v->how->bulk[v->bulk_next++];
	jsonw_b64(w, bulk->p, rbuf_left(bulk));
	return rbuf_left(bulk) == size;
}

static bool show_enum(struct rbuf *r, const struct field *f, struct view *v,
		      struct wbuf *w)
{
	struct v_enum val;

	(void)v;
	if (!get_enum(r, f, NULL, &val))
		return false;
	jsonw_cstr(w, f->names->v[val.v]);
	return true;
}

static bool show_alt(struct rbuf *r, const struct field *f, struct view *v,
		     struct wbuf *w)
{
	struct v_alt alt;

	(void)v;
	if (!get_alt(r, f, NULL, &alt))
		return false;
	if (alt.named)
		jsonw_cstr(w, f->names->v[alt.v]);
	else if (f->kind == K_INT_OR_ENUM)
		jsonw_i64(w, alt.v);
	else
		jsonw_bool(w, alt.v);
	return true;
}

static bool show_obj(struct rbuf *r, const struct field *f, struct view *v,
		     struct wbuf *w)
{
	return show(r, f->sub, v, w);
}

/* Elements of a list, each by SHOW. The count needs no bound: bytes run out first. */
static bool show_items(struct rbuf *r, const struct field *f, struct view *v,
		       struct wbuf *w, show_fn *show_item)
{
	uint32_t n = rbuf_u32(r);

	wbuf_text(w, "[");
	for (uint32_t i = 0; i < n; i++) {
		if (i)
			wbuf_text(w, ", ");
		if (r->bad || w->bad || !show_item(r, f, v, w))
			return false;
	}
	wbuf_text(w, "]");
	return true;
}

static bool show_list_obj(struct rbuf *r, const struct field *f, struct view *v,
			  struct wbuf *w)
{
	return show_items(r, f, v, w, show_obj);
}

static bool show_list_str(struct rbuf *r, const struct field *f, struct view *v,
			  struct wbuf *w)
{
	return show_items(r, f, v, w, show_str);
}

/* ---- the kinds ---- */

typedef bool skip_fn(struct rbuf *r, const struct field *f);

static skip_fn skip_str, skip_obj, skip_items;

#define FIXED(bytes)  (bytes), NULL
#define SKIPPED_BY(f) 0, (f)
#define SET(type)     offsetof(struct type, set)

static const struct kind_row {
	put_fn *put;
	get_fn *get;
	show_fn *show;
	size_t set;    /* where the struct says that it is present */
	size_t width;  /* bytes on the wire, or 0: */
	skip_fn *skip; /* not the same for every value */
} kinds[K_COUNT] = {
	[K_INT] = {put_int, get_int, show_int, SET(v_int), FIXED(8)},
	[K_U64] = {put_u64, get_u64, show_u64, SET(v_u64), FIXED(8)},
	[K_NUM] = {put_num, get_num, show_num, SET(v_num), FIXED(8)},
	[K_BOOL] = {put_bool, get_bool, show_bool, SET(v_bool), FIXED(1)},
	[K_STR] = {put_str, get_str, show_str, SET(v_str), SKIPPED_BY(skip_str)},
	[K_B64] = {put_str, get_b64, show_b64, SET(v_b64), SKIPPED_BY(skip_str)},
	[K_BULK] = {put_u64, get_bulk, show_bulk, SET(v_bulk), FIXED(8)},
	[K_ENUM] = {put_enum, get_enum, show_enum, SET(v_enum), FIXED(1)},
	[K_INT_OR_ENUM] = {put_alt, get_alt, show_alt, SET(v_alt), FIXED(9)},
	[K_BOOL_OR_ENUM] = {put_alt, get_alt, show_alt, SET(v_alt), FIXED(9)},
	[K_OBJ] = {put_obj, get_obj, show_obj, SET(v_obj), SKIPPED_BY(skip_obj)},
	[K_LIST_OBJ] = {put_list_obj, get_list_obj, show_list_obj, SET(v_list),
			SKIPPED_BY(skip_items)},
	[K_LIST_STR] = {put_list_str, get_list_str, show_list_str, SET(v_list),
			SKIPPED_BY(skip_items)},
};

bool schema_has(const struct field *f, const void *msg)
{
	return *(const bool *)((const char *)msg + f->offset + kinds[f->kind].set);
}

void schema_put(struct wbuf *w, const struct schema *s, const void *msg)
{
	for (uint32_t i = 0; i < s->n; i++) {
		const struct field *f = &s->fields[i];
		bool set = schema_has(f, msg);

		if (f->flags & F_OPT)
			wbuf_u8(w, set);
		else if (!set) /* a required field that nobody filled */
			w->bad = true;
		if (set)
			kinds[f->kind].put(w, f, (const char *)msg + f->offset);
	}
}

/* Is F there? An optional one says so itself; false with R->bad if it lies. */
static bool present(struct rbuf *r, const struct field *f)
{
	uint8_t set = f->flags & F_OPT ? rbuf_u8(r) : 1;

	if (set > 1)
		r->bad = true;
	return set == 1 && !r->bad;
}

int schema_get(struct rbuf *r, const struct schema *s, struct arena *a, void *msg)
{
	if (s->size)
		memset(msg, 0, s->size);
	for (uint32_t i = 0; i < s->n; i++) {
		const struct field *f = &s->fields[i];

		if (present(r, f) &&
		    !kinds[f->kind].get(r, f, a, (char *)msg + f->offset))
			r->bad = true;
		if (r->bad)
			return -1;
	}
	return 0;
}

uint32_t schema_bulks(const struct schema *s, const void *msg)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < s->n; i++) {
		const struct v_bulk *v =
			(const void *)((const char *)msg + s->fields[i].offset);

		n += s->fields[i].kind == K_BULK && v->set;
	}
	return n;
}

bool schema_bulk(const struct schema *s, const void *msg, uint64_t *size)
{
	for (uint32_t i = 0; i < s->n; i++) {
		const struct v_bulk *v =
			(const void *)((const char *)msg + s->fields[i].offset);

		if (s->fields[i].kind != K_BULK || !v->set)
			continue;
		*size = v->size;
		return true;
	}
	return false;
}

/* ---- over a value without looking at it ---- */

static bool skip(struct rbuf *r, const struct field *f)
{
	const struct kind_row *kind = &kinds[f->kind];

	if (kind->width)
		return rbuf_take(r, kind->width);
	return kind->skip(r, f);
}

static bool skip_str(struct rbuf *r, const struct field *f)
{
	(void)f;
	return rbuf_take(r, rbuf_u32(r));
}

static bool skip_obj(struct rbuf *r, const struct field *f)
{
	for (uint32_t i = 0; i < f->sub->n; i++)
		if (present(r, &f->sub->fields[i]) && !skip(r, &f->sub->fields[i]))
			return false;
	return !r->bad;
}

static bool skip_items(struct rbuf *r, const struct field *f)
{
	uint32_t n = rbuf_u32(r);
	bool ok = !r->bad;

	for (uint32_t i = 0; i < n && ok; i++)
		ok = f->sub ? skip_obj(r, f) : skip_str(r, f);
	return ok;
}

/* ---- a whole message as JSON ---- */

static bool show_field(struct rbuf *r, const struct field *f, struct view *v,
		       struct wbuf *w)
{
	if (!v->how->redact || f->flags & F_PUB)
		return kinds[f->kind].show(r, f, v, w);
	/* Nothing of a secret is told, not its length either (AUDIT.md, rules). */
	jsonw_cstr(w, "<secret>");
	return skip(r, f);
}

/* A struct as an object, or as its value where that has no name. */
static bool show(struct rbuf *r, const struct schema *s, struct view *v, struct wbuf *w)
{
	const char *comma = "";

	if (s->n == 1 && !s->fields[0].name)
		return show_field(r, &s->fields[0], v, w);
	wbuf_text(w, "{");
	for (uint32_t i = 0; i < s->n; i++) {
		const struct field *f = &s->fields[i];

		if (!present(r, f))
			continue;
		wbuf_text(w, comma);
		jsonw_cstr(w, f->name);
		wbuf_text(w, ": ");
		if (!show_field(r, f, v, w))
			return false;
		comma = ", ";
	}
	wbuf_text(w, "}");
	return !r->bad && !w->bad;
}

int schema_render(struct rbuf *r, const struct schema *s, const struct render *how,
		  struct wbuf *w)
{
	struct view v = {.how = how};

	return show(r, s, &v, w) && rbuf_done(r) && !w->bad ? 0 : -1;
}
