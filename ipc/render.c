/*
 * ipc/render.c - a message as JSON: the host's reply, what records say of arguments
 *
 * Runs in:   frontend, worker, posternctl
 * Input:     messages of another process of ours, which may be in an attacker's hands
 * May touch: the buffers it is handed
 * Must not:  show of a secret more than that there is one, recurse deeper than a schema
 */
#include <stdio.h>

#include "ipc/jsonw.h"
#include "ipc/schema.h"

/* ---- values ---- */

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
	if (!schema_value(K_NUM, r, f, &num))
		return false;
	jsonw_num(w, num.v);
	return true;
}

static bool show_bool(struct rbuf *r, const struct field *f, struct view *v,
		      struct wbuf *w)
{
	struct v_bool val = {0};

	(void)v;
	if (!schema_value(K_BOOL, r, f, &val))
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

	if (!schema_value(K_STR, r, f, &str))
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
	struct v_b64 b64;

	(void)v;
	if (!schema_value(K_B64, r, f, &b64))
		return false;
	jsonw_b64(w, (const uint8_t *)b64.p, b64.len);
	return true;
}

static bool show_bulk(struct rbuf *r, const struct field *f, struct view *v,
		      struct wbuf *w)
{
	const uint64_t size = rbuf_u64(r);
	const struct render *how = v->how;
	const uint32_t i = v->bulk_next++;
	uint64_t there;

	(void)f;
	if (i >= how->n_bulk)
		return false;
	there = how->gaps ? how->sizes[i] : rbuf_left(&how->bulk[i]);
	wbuf_text(w, "\"");
	if (how->gaps)
		how->gaps[i] = w->len;
	else
		jsonw_b64_piece(w, how->bulk[i].p, there);
	wbuf_text(w, "\"");
	return there == size;
}

static bool show_enum(struct rbuf *r, const struct field *f, struct view *v,
		      struct wbuf *w)
{
	struct v_enum val = {0};

	(void)v;
	if (!schema_value(K_ENUM, r, f, &val))
		return false;
	jsonw_cstr(w, f->names->v[val.v]);
	return true;
}

static bool show_alt(struct rbuf *r, const struct field *f, struct view *v,
		     struct wbuf *w)
{
	struct v_alt alt = {0};

	(void)v;
	if (!schema_value(f->kind, r, f, &alt))
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

static const struct kind_row {
	show_fn *show;
	size_t width;  /* bytes on the wire, or 0: */
	skip_fn *skip; /* not the same for every value */
} kinds[K_COUNT] = {
	[K_INT] = {show_int, FIXED(8)},
	[K_U64] = {show_u64, FIXED(8)},
	[K_NUM] = {show_num, FIXED(8)},
	[K_BOOL] = {show_bool, FIXED(1)},
	[K_STR] = {show_str, SKIPPED_BY(skip_str)},
	[K_B64] = {show_b64, SKIPPED_BY(skip_str)},
	[K_BULK] = {show_bulk, FIXED(8)},
	[K_ENUM] = {show_enum, FIXED(1)},
	[K_INT_OR_ENUM] = {show_alt, FIXED(9)},
	[K_BOOL_OR_ENUM] = {show_alt, FIXED(9)},
	[K_OBJ] = {show_obj, SKIPPED_BY(skip_obj)},
	[K_LIST_OBJ] = {show_list_obj, SKIPPED_BY(skip_items)},
	[K_LIST_STR] = {show_list_str, SKIPPED_BY(skip_items)},
};

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
		if (schema_present(r, &f->sub->fields[i]) && !skip(r, &f->sub->fields[i]))
			return false;
	return !r->bad;
}

static bool skip_items(struct rbuf *r, const struct field *f)
{
	uint32_t n = rbuf_u32(r);
	bool ok = !r->bad;

	for (uint32_t i = 0; i < n && ok; i++)
		ok = field_has_sub(f) ? skip_obj(r, f) : skip_str(r, f);
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

		if (!schema_present(r, f))
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
