/*
 * policy/open.c - check an image before it is believed
 *
 * Runs in:   worker, frontend, posternctl
 * Input:     a block of the reader's: any bytes
 * May touch: the block
 * Must not:  leave anything for the decision to check
 */
#include <string.h>

#include "policy/policy.h"

/* Is [FIRST, FIRST + N) within COUNT? */
static bool within(uint32_t first, uint32_t n, uint32_t count)
{
	return first <= count && n <= count - first;
}

static bool open_parts(struct policy *p, const uint8_t *image, size_t len)
{
	const struct image_head *h = (const void *)image;
	uint64_t at = sizeof(*h);

	if (len < sizeof(*h) || len > IMAGE_MAX || h->magic != IMAGE_MAGIC ||
	    h->size != len || h->n_rules > IMAGE_RULES_MAX || !h->n_text)
		return false;
	p->head = h;
	p->rules = (const void *)(image + at);
	at += (uint64_t)h->n_rules * sizeof(*p->rules);
	if (at <= len)
		p->values = (const void *)(image + at);
	at += (uint64_t)h->n_values * sizeof(*p->values);
	if (at <= len)
		p->constraints = (const void *)(image + at);
	at += (uint64_t)h->n_constraints * sizeof(*p->constraints);
	if (at <= len)
		p->text = (const char *)image + at;
	/* The first text is the empty one, and the last ends. */
	return at + h->n_text == len && !p->text[0] && !p->text[h->n_text - 1];
}

/* Bytes of one value: a line of literals, each behind a backslash. */
#define VALUE_MAX 8192

static bool check_value(const struct policy *p, enum key_type type,
			const struct image_value *v)
{
	if (v->len > VALUE_MAX || v->text >= p->head->n_text ||
	    v->len >= p->head->n_text - v->text || p->text[v->text + v->len] ||
	    memchr(p->text + v->text, 0, v->len))
		return false;
	if (type == TYPE_PATTERNS || type == TYPE_ARGV)
		return !pattern_check(p->text + v->text, v->len) &&
		       v->literal == pattern_of(p->text + v->text, v->len).literal;
	return true;
}

/* Types whose value is a single one. */
static bool is_single(enum key_type type)
{
	return type != TYPE_PATTERNS && type != TYPE_ARGV && type != TYPE_TEXTS;
}

/* How far the parts are used up: each belongs to what comes before it, and once only. */
struct cursor {
	uint32_t constraint;
	uint32_t value;
};

static bool check_constraint(const struct policy *p, uint32_t rule,
			     const struct image_constraint *c, struct cursor *at)
{
	const struct key_row *row;

	if (c->key >= KEYS_COUNT || c->rule != rule || c->value != at->value ||
	    !within(c->value, c->n_values, p->head->n_values))
		return false;
	row = key_row(c->key);
	if (!(p->rules[rule].ops & key_ops(c->key)) ||
	    (is_single(row->type) && c->n_values != 1))
		return false;
	for (uint32_t i = 0; i < c->n_values; i++)
		if (!check_value(p, row->type, &p->values[c->value + i]))
			return false;
	at->value += c->n_values;
	return true;
}

/* Sets one after the other, and the denies of each before its allows. */
static bool in_order(const struct image_rule *r)
{
	return r[-1].set < r->set || (r[-1].set == r->set && r[-1].effect >= r->effect);
}

static bool check_rule(const struct policy *p, uint32_t index, struct cursor *at)
{
	const struct image_rule *r = &p->rules[index];

	if ((r->effect != POLICY_ALLOW && r->effect != POLICY_DENY) ||
	    r->set > SET_CEILING || r->name >= p->head->n_text ||
	    r->file >= p->head->n_text || r->constraint != at->constraint ||
	    !within(r->constraint, r->n_constraints, p->head->n_constraints) ||
	    (r->rate && !r->rate_ms) || (index && !in_order(r)))
		return false;
	for (uint32_t i = 0; i < r->n_constraints; i++)
		if (!check_constraint(p, index, &p->constraints[r->constraint + i], at))
			return false;
	at->constraint += r->n_constraints;
	return true;
}

static bool check_head(const struct image_head *h)
{
	return is_audit_interval(h->audit_interval_ms) && h->mode <= MODE_COMPLAIN &&
	       h->detail <= DETAIL_FULL && h->base < h->n_text &&
	       h->ceiling < h->n_text && h->locked_down < h->n_text;
}

/* What some arguments could be allowed for: an allow, and no deny whatever they are. */
static uint64_t allowed_of(const struct policy *p, enum image_set set)
{
	uint64_t allowed = 0, denied = 0;

	for (uint32_t i = 0; i < p->head->n_rules; i++) {
		const struct image_rule *r = &p->rules[i];

		if (r->set != set)
			continue;
		if (r->effect == POLICY_ALLOW)
			allowed |= r->ops;
		else if (!r->n_constraints)
			denied |= with_parts(r->ops);
	}
	return allowed & ~denied;
}

int policy_open(struct policy *p, const void *image, size_t len)
{
	struct cursor at = {0};

	*p = (struct policy){0};
	if (!open_parts(p, image, len) || !check_head(p->head))
		return -1;
	for (uint32_t i = 0; i < p->head->n_rules; i++)
		if (!check_rule(p, i, &at))
			return -1;
	if (at.constraint != p->head->n_constraints || at.value != p->head->n_values)
		return -1;
	p->allowed = allowed_of(p, SET_EFFECTIVE);
	if (p->head->mode == MODE_COMPLAIN)
		p->allowed |= allowed_of(p, SET_CEILING);
	sha256(image, len, p->sha256);
	return 0;
}
