/*
 * ipc/schema.c - the codec that follows a message's description
 *
 * Runs in:   all processes
 * Input:     messages of another process of ours, which may be in an attacker's hands
 * May touch: the buffers it is handed
 * Must not:  allocate by a length found in the input, recurse deeper than a schema does
 *
 * One const table holds, for each kind of value, how it is encoded and decoded.
 * On the wire: an optional field is preceded by one byte (0 absent, 1 present), a text
 * by its length (u32), a list by its count (u32); everything else has a fixed width.
 */
#include "ipc/schema.h"

#include <string.h>

void *arena_room(struct arena *a, size_t len)
{
	size_t at = (a->len + 7) & ~(size_t)7;

	if (at > a->cap || len > a->cap - at)
		return NULL;
	a->len = at + len;
	return a->p + at;
}

void *arena_take(struct arena *a, size_t len)
{
	void *p = arena_room(a, len);

	if (p)
		memset(p, 0, len);
	return p;
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

/* ---- the kinds ---- */

#define SET(type) offsetof(struct type, set)

static const struct kind_row {
	put_fn *put;
	get_fn *get;
	size_t set; /* where the struct says that it is present */
} kinds[K_COUNT] = {
	[K_INT] = {put_int, get_int, SET(v_int)},
	[K_U64] = {put_u64, get_u64, SET(v_u64)},
	[K_NUM] = {put_num, get_num, SET(v_num)},
	[K_BOOL] = {put_bool, get_bool, SET(v_bool)},
	[K_STR] = {put_str, get_str, SET(v_str)},
	[K_B64] = {put_str, get_b64, SET(v_b64)},
	[K_BULK] = {put_u64, get_bulk, SET(v_bulk)},
	[K_ENUM] = {put_enum, get_enum, SET(v_enum)},
	[K_INT_OR_ENUM] = {put_alt, get_alt, SET(v_alt)},
	[K_BOOL_OR_ENUM] = {put_alt, get_alt, SET(v_alt)},
	[K_OBJ] = {put_obj, get_obj, SET(v_obj)},
	[K_LIST_OBJ] = {put_list_obj, get_list_obj, SET(v_list)},
	[K_LIST_STR] = {put_list_str, get_list_str, SET(v_list)},
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

bool schema_present(struct rbuf *r, const struct field *f)
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

		if (schema_present(r, f) &&
		    !kinds[f->kind].get(r, f, a, (char *)msg + f->offset))
			r->bad = true;
		if (r->bad)
			return -1;
	}
	return 0;
}

bool schema_value(enum kind kind, struct rbuf *r, const struct field *f, void *value)
{
	return kinds[kind].get(r, f, NULL, value);
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
