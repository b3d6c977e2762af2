/*
 * inspector/shape.c - what of an answer the policy lets the host see
 *
 * Runs in:   inspector
 * Input:     patterns and field names of the policy, by way of the worker
 * May touch: the answer
 * Must not:  let through what it does not understand
 */
#include "inspector/shape.h"

#include "policy/pattern.h"

static bool matches_one(const struct v_str *v, uint32_t n, const char *name, size_t len)
{
	for (uint32_t i = 0; i < n; i++) {
		const struct pattern pattern = pattern_of(v[i].p, v[i].len);

		if (pattern_match(&pattern, name, len, NULL))
			return true;
	}
	return false;
}

/* Each rule's list ends with an empty element; the name must be on every list. */
static bool on_every_list(const struct v_list *only, const char *name, size_t len)
{
	const struct v_str *v = only->v;
	uint32_t from = 0;

	for (uint32_t i = 0; i < only->n; i++) {
		if (v[i].len)
			continue;
		if (!matches_one(v + from, i - from, name, len))
			return false;
		from = i + 1;
	}
	return true;
}

bool shape_shows(const struct inspector *in, const char *name, size_t len)
{
	return on_every_list(&in->shape.only, name, len) &&
	       !matches_one(in->shape.exclude.v, in->shape.exclude.n, name, len);
}

/* An empty one, which ends a rule's list, is one. */
static bool are_patterns(const struct v_list *list)
{
	const struct v_str *v = list->v;

	for (uint32_t i = 0; i < list->n; i++)
		if (pattern_check(v[i].p, v[i].len))
			return false;
	return true;
}

bool shape_is_whole(const struct msg_shape *shape)
{
	return are_patterns(&shape->only) && are_patterns(&shape->exclude);
}

/* Where the values of each kind say whether they are there. */
static const size_t set_at[K_COUNT] = {
#define SET_AT(kind, type) offsetof(struct type, set),
	KIND_TABLE(SET_AT)};

static bool is_hidden(const struct inspector *in, const char *name)
{
	const struct v_str *v = in->shape.hide.v;

	for (uint32_t i = 0; name && i < in->shape.hide.n; i++)
		if (v[i].len == strlen(name) && !memcmp(v[i].p, name, v[i].len))
			return true;
	return false;
}

/* Nests as deep as SCHEMA_DEPTH_MAX says. */
/* NOLINTNEXTLINE(misc-no-recursion) */
static void hide(const struct inspector *in, const struct schema *s, void *msg)
{
	for (uint32_t i = 0; i < s->n; i++) {
		const struct field *f = &s->fields[i];
		char *value = (char *)msg + f->offset;
		const struct v_obj *obj = (void *)value;
		const struct v_list *list = (void *)value;

		if (f->flags & F_OPT && is_hidden(in, f->name))
			*(bool *)(value + set_at[f->kind]) = false;
		else if (f->kind == K_OBJ && obj->set)
			hide(in, f->sub, obj->v);
		else if (f->kind == K_LIST_OBJ)
			for (uint32_t k = 0; k < list->n; k++)
				hide(in, f->sub, (char *)list->v + k * f->sub->size);
	}
}

void shape_hide(const struct inspector *in, const struct schema *s, void *msg)
{
	if (in->shape.hide.n)
		hide(in, s, msg);
}
