/*
 * tests/lib/genmsg.h - messages of any schema, made up from its description
 *
 * Runs in:   tests
 * Input:     a schema and two seeds
 * May touch: the arena it is handed
 * Must not:  make a message that a decoder may refuse
 *
 * Public and secret fields draw from sequences of their own: two messages with the same
 * public seed differ in nothing but their secrets, and in these by value, by length and
 * by the number of elements.
 */
#ifndef POSTERN_TESTS_LIB_GENMSG_H
#define POSTERN_TESTS_LIB_GENMSG_H

#include <string.h>

#include "ipc/schema.h"

enum gen_optional { GEN_ABSENT, GEN_PRESENT, GEN_MIXED };

struct gen {
	uint64_t pub;    /* state of the sequence of the public fields */
	uint64_t secret; /* and of the others */
	enum gen_optional optional;
	uint32_t items_max; /* elements of a list */
	struct arena *arena;
};

/* splitmix64. */
static inline uint64_t gen_next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

/* Any number, the ends of the range among them. */
static inline uint64_t gen_u64(uint64_t *state)
{
	static const uint64_t ends[] = {0, 1, INT64_MAX, 1ull << 63, UINT64_MAX};
	uint64_t v = gen_next(state);

	return v % 3 ? v >> v % 64 : ends[v / 3 % ARRAY_SIZE(ends)];
}

static inline void *gen_take(struct gen *g, size_t len)
{
	void *p = arena_take(g->arena, len);

	if (!p)
		abort(); /* the test gave too small an arena */
	return p;
}

/* Up to 32 bytes, with MIN the least of them. */
static inline char *gen_bytes(struct gen *g, uint64_t *state, uint8_t min, uint32_t *len)
{
	char *p;

	*len = (uint32_t)(gen_next(state) % 33);
	p = gen_take(g, *len);
	for (uint32_t i = 0; i < *len; i++) {
		uint8_t byte = (uint8_t)gen_next(state);

		p[i] = (char)(byte < min ? min : byte);
	}
	return p;
}

static inline struct v_str gen_str(struct gen *g, uint64_t *state)
{
	struct v_str v = {.set = true};

	v.p = gen_bytes(g, state, 1, &v.len);
	return v;
}

static inline struct v_alt gen_alt(const struct field *f, uint64_t *state)
{
	struct v_alt v = {.named = gen_next(state) & 1, .set = true};

	if (v.named)
		v.v = (int64_t)(gen_next(state) % f->names->n);
	else if (f->kind == K_INT_OR_ENUM)
		v.v = (int64_t)gen_u64(state);
	else
		v.v = (int64_t)(gen_next(state) & 1);
	return v;
}

static inline void gen_fill(struct gen *g, const struct schema *s, bool secret,
			    void *msg);

static inline struct v_list gen_list(struct gen *g, const struct field *f, bool secret,
				     uint64_t *state)
{
	size_t size = f->kind == K_LIST_OBJ ? f->sub->size : sizeof(struct v_str);
	struct v_list v = {.set = true};

	v.n = (uint32_t)(gen_next(state) % (g->items_max + 1));
	v.v = gen_take(g, v.n * size);
	for (uint32_t i = 0; i < v.n; i++) {
		if (f->kind == K_LIST_OBJ)
			gen_fill(g, f->sub, secret, (char *)v.v + i * size);
		else
			((struct v_str *)v.v)[i] = gen_str(g, state);
	}
	return v;
}

static inline struct v_obj gen_obj(struct gen *g, const struct field *f, bool secret)
{
	struct v_obj v = {.v = gen_take(g, f->sub->size), .set = true};

	gen_fill(g, f->sub, secret, v.v);
	return v;
}

static inline struct v_b64 gen_b64(struct gen *g, uint64_t *state)
{
	struct v_b64 v = {.set = true};

	v.p = gen_bytes(g, state, 0, &v.len);
	return v;
}

static inline void gen_value(struct gen *g, const struct field *f, bool secret, void *v)
{
	uint64_t *state = secret ? &g->secret : &g->pub;

	switch (f->kind) {
	case K_INT:
		*(struct v_int *)v = V_INT((int64_t)gen_u64(state));
		break;
	case K_U64:
		*(struct v_u64 *)v = V_U64(gen_u64(state));
		break;
	case K_NUM:
		*(struct v_num *)v = (struct v_num){
			.v = (double)(int64_t)gen_u64(state) / 1024, .set = true};
		break;
	case K_BOOL:
		*(struct v_bool *)v = V_BOOL(gen_next(state) & 1);
		break;
	case K_STR:
		*(struct v_str *)v = gen_str(g, state);
		break;
	case K_B64:
		*(struct v_b64 *)v = gen_b64(g, state);
		break;
	case K_BULK:
		*(struct v_bulk *)v =
			(struct v_bulk){.size = gen_u64(state), .set = true};
		break;
	case K_ENUM:
		*(struct v_enum *)v = (struct v_enum){
			.v = (uint8_t)(gen_next(state) % f->names->n), .set = true};
		break;
	case K_INT_OR_ENUM:
	case K_BOOL_OR_ENUM:
		*(struct v_alt *)v = gen_alt(f, state);
		break;
	case K_OBJ:
		*(struct v_obj *)v = gen_obj(g, f, secret);
		break;
	case K_LIST_OBJ:
	case K_LIST_STR:
		*(struct v_list *)v = gen_list(g, f, secret, state);
		break;
	case K_COUNT:
		abort();
	}
}

/* Whether a field is there is never a secret, unless what it stands in is one. */
static inline bool gen_absent(struct gen *g, const struct field *f, bool secret)
{
	if (!(f->flags & F_OPT))
		return false;
	if (g->optional == GEN_MIXED)
		return gen_next(secret ? &g->secret : &g->pub) & 1;
	return g->optional == GEN_ABSENT;
}

/* Fill MSG, a zeroed struct of schema S. With SECRET all of it is one. */
static inline void gen_fill(struct gen *g, const struct schema *s, bool secret, void *msg)
{
	for (uint32_t i = 0; i < s->n; i++) {
		const struct field *f = &s->fields[i];

		if (!gen_absent(g, f, secret))
			gen_value(g, f, secret || !(f->flags & F_PUB),
				  (char *)msg + f->offset);
	}
}

/* A message of schema S in G's arena. */
static inline void *gen_message(struct gen *g, const struct schema *s)
{
	void *msg = gen_take(g, s->size);

	gen_fill(g, s, false, msg);
	return msg;
}

/* ---- two messages ---- */

static inline bool gen_same(const struct schema *s, const void *a, const void *b);

static inline bool gen_same_str(const struct v_str *x, const struct v_str *y)
{
	return x->len == y->len && (!x->len || !memcmp(x->p, y->p, x->len));
}

static inline bool gen_same_list(const struct field *f, const struct v_list *x,
				 const struct v_list *y)
{
	size_t size = f->kind == K_LIST_OBJ ? f->sub->size : sizeof(struct v_str);

	if (x->n != y->n)
		return false;
	for (uint32_t i = 0; i < x->n; i++) {
		const void *a = (const char *)x->v + i * size;
		const void *b = (const char *)y->v + i * size;

		if (f->kind == K_LIST_OBJ ? !gen_same(f->sub, a, b) : !gen_same_str(a, b))
			return false;
	}
	return true;
}

/* Compares member X of two values of the type. */
#define GEN_SAME(type, x) (((const struct type *)a)->x == ((const struct type *)b)->x)

static inline bool gen_same_value(const struct field *f, const void *a, const void *b)
{
	switch (f->kind) {
	case K_INT:
		return GEN_SAME(v_int, v) && GEN_SAME(v_int, set);
	case K_U64:
		return GEN_SAME(v_u64, v) && GEN_SAME(v_u64, set);
	case K_NUM:
		return GEN_SAME(v_num, v) && GEN_SAME(v_num, set);
	case K_BOOL:
		return GEN_SAME(v_bool, v) && GEN_SAME(v_bool, set);
	case K_STR:
		return GEN_SAME(v_str, set) && gen_same_str(a, b);
	case K_B64:
		return GEN_SAME(v_b64, set) && GEN_SAME(v_b64, len) &&
		       (!((const struct v_b64 *)a)->len ||
			!memcmp(((const struct v_b64 *)a)->p,
				((const struct v_b64 *)b)->p,
				((const struct v_b64 *)a)->len));
	case K_BULK:
		return GEN_SAME(v_bulk, size) && GEN_SAME(v_bulk, set);
	case K_ENUM:
		return GEN_SAME(v_enum, v) && GEN_SAME(v_enum, set);
	case K_INT_OR_ENUM:
	case K_BOOL_OR_ENUM:
		return GEN_SAME(v_alt, v) && GEN_SAME(v_alt, named) &&
		       GEN_SAME(v_alt, set);
	case K_OBJ:
		return GEN_SAME(v_obj, set) &&
		       (!((const struct v_obj *)a)->set ||
			gen_same(f->sub, ((const struct v_obj *)a)->v,
				 ((const struct v_obj *)b)->v));
	case K_LIST_OBJ:
	case K_LIST_STR:
		return GEN_SAME(v_list, set) && gen_same_list(f, a, b);
	case K_COUNT:
		break;
	}
	return false;
}

/* Do the messages A and B of schema S say the same? */
static inline bool gen_same(const struct schema *s, const void *a, const void *b)
{
	for (uint32_t i = 0; i < s->n; i++) {
		size_t offset = s->fields[i].offset;

		if (!gen_same_value(&s->fields[i], (const char *)a + offset,
				    (const char *)b + offset))
			return false;
	}
	return true;
}

#endif
