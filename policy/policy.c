/*
 * policy/policy.c - may this be done? The same answer in frontend and worker
 *
 * Runs in:   worker, frontend
 * Input:     a policy image (built by the worker, read by both); typed requests
 * May touch: the structs it is handed
 * Must not:  make a system call, allocate while deciding, depend on the order of rules
 */
#include "policy/policy.h"

#include <string.h>

#define IMAGE_MAGIC 0x31797270u /* "pry1" */

static const struct reason_row {
	const char *name;
	const char *text;
} reasons[REASON_COUNT] = {
#define REASON_ROW(tag, name, text) {name, text},
	REASON_TABLE(REASON_ROW)};

const char *reason_name(enum reason r)
{
	return reasons[r].name;
}

const char *reason_text(enum reason r)
{
	return reasons[r].text;
}

/* ---- the image: magic, base, count, then each rule ---- */

/* Text with its NUL, so that a reader can point at it. */
static void put_text(struct wbuf *w, const char *s)
{
	wbuf_put(w, s, strlen(s) + 1);
}

static const char *get_text(struct rbuf *r)
{
	const uint8_t *end = rbuf_left(r) ? memchr(r->p, 0, rbuf_left(r)) : NULL;

	if (!end) {
		r->bad = true;
		return NULL;
	}
	return (const char *)rbuf_take(r, (size_t)(end - r->p) + 1);
}

static void put_rule(struct wbuf *w, const struct policy_rule *rule)
{
	wbuf_u8(w, (uint8_t)rule->effect);
	wbuf_u64(w, rule->ops);
	wbuf_u32(w, rule->line);
	put_text(w, rule->name);
	put_text(w, rule->file);
}

static struct policy_rule get_rule(struct rbuf *r)
{
	struct policy_rule rule;

	rule.effect = rbuf_u8(r);
	rule.ops = rbuf_u64(r);
	rule.line = rbuf_u32(r);
	rule.name = get_text(r);
	rule.file = get_text(r);
	return rule;
}

int policy_build(const char *base, const struct policy_rule *rules, uint32_t n,
		 struct wbuf *out)
{
	wbuf_u32(out, IMAGE_MAGIC);
	put_text(out, base);
	wbuf_u32(out, n);
	for (uint32_t i = 0; i < n; i++)
		put_rule(out, &rules[i]);
	return out->bad || n > POLICY_RULES_MAX ? -1 : 0;
}

int policy_open(struct policy *p, const void *image, size_t len)
{
	struct rbuf r = rbuf_of(image, len);
	uint64_t allowed = 0, denied = 0;

	*p = (struct policy){0};
	if (rbuf_u32(&r) != IMAGE_MAGIC)
		return -1;
	p->base = get_text(&r);
	p->n_rules = rbuf_u32(&r);
	p->rules = r;
	for (uint32_t i = 0; i < p->n_rules && !r.bad; i++) {
		struct policy_rule rule = get_rule(&r);

		*(rule.effect == POLICY_ALLOW ? &allowed : &denied) |= rule.ops;
	}
	p->allowed = allowed & ~denied;
	sha256(image, len, p->sha256);
	return rbuf_done(&r) && p->n_rules <= POLICY_RULES_MAX ? 0 : -1;
}

/* ---- deciding ---- */

void policy_decide(const struct policy *p, const struct policy_question *q,
		   struct policy_answer *a)
{
	struct rbuf r = p->rules;
	uint64_t op = 1ull << q->op;

	*a = (struct policy_answer){.never = true, .reason = REASON_NO_RULE};
	for (uint32_t i = 0; i < p->n_rules; i++) {
		struct policy_rule rule = get_rule(&r);

		if (!(rule.ops & op))
			continue;
		/* A deny ends the search; the first allow is named, unless one follows.
		 */
		if (rule.effect == POLICY_ALLOW && a->rule)
			continue;
		a->rule = rule.name;
		a->file = rule.file;
		a->line = rule.line;
		a->allowed = rule.effect == POLICY_ALLOW;
		a->reason = a->allowed ? REASON_RULE : REASON_EXPLICIT_DENY;
		if (!a->allowed)
			break;
	}
	a->never = !policy_may(p, q->op);
}
