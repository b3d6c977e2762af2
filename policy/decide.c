/*
 * policy/decide.c - may this be done?
 *
 * Runs in:   worker, frontend, posternctl
 * Input:     a policy image that policy_open checked; typed requests
 * May touch: the structs it is handed
 * Must not:  make a system call, allocate, depend on the order of rules
 *
 * Rules come sorted from the builder: denies first, then by file and line. So the first
 * that matches is the one to name, and the order in which they were written means
 * nothing.
 */
#include <string.h>

#include "policy/object.h"
#include "policy/policy.h"
#include "policy/request.h"

bool policy_holds(const struct policy *p, const struct image_constraint *c,
		  const struct policy_question *q)
{
	/* What was found may be what a deny means, whatever it was called. */
	if (q->object && c->key == KEY_EXEC_PATH &&
	    p->rules[c->rule].effect == POLICY_DENY)
		return request_holds(p, c, q) || object_holds(p, c, q);
	return request_holds(p, c, q) && (!q->object || object_holds(p, c, q));
}

bool policy_speaks(enum key key, const struct policy_question *q)
{
	return request_speaks(key, q->op) || (q->object && object_speaks(key, q->op));
}

/*
 * Many rules have constraints in common: the same program, the same type of file. Of each
 * key the last one of a single value, and whether it held; within one decision.
 */
struct known {
	const struct image_constraint *last[KEYS_COUNT];
	bool holds[KEYS_COUNT];
};

static bool is_same(const struct policy *p, const struct image_constraint *a,
		    const struct image_constraint *b)
{
	return !memcmp(&p->values[a->value], &p->values[b->value], sizeof(*p->values)) &&
	       p->rules[a->rule].effect == p->rules[b->rule].effect;
}

static bool holds(const struct policy *p, const struct image_constraint *c,
		  const struct policy_question *q, struct known *k)
{
	const struct image_constraint *last = k->last[c->key];

	if (c->n_values != 1)
		return policy_holds(p, c, q);
	if (!last || !is_same(p, last, c)) {
		k->last[c->key] = c;
		k->holds[c->key] = policy_holds(p, c, q);
	}
	return k->holds[c->key];
}

/*
 * How many constraints of RULE hold until one fails; all of them if none does. Those that
 * look at more than the request hold for an allow, and are looked at again later.
 */
static uint32_t held(const struct policy *p, const struct image_rule *rule,
		     const struct policy_question *q, struct known *k)
{
	uint32_t n = 0;

	if (!q->args)
		return rule->n_constraints;
	while (n < rule->n_constraints &&
	       holds(p, &p->constraints[rule->constraint + n], q, k))
		n++;
	return n;
}

/*
 * A deny must hold as a whole: what cannot be known yet does not refuse, nor does what
 * the command has not (a program's path, of asking for its result).
 */
static bool denies(const struct policy *p, const struct image_rule *rule,
		   const struct policy_question *q, struct known *k)
{
	for (uint32_t i = 0; i < rule->n_constraints; i++)
		if (!policy_speaks(p->constraints[rule->constraint + i].key, q))
			return false;
	if (rule->n_constraints && !q->args)
		return false;
	return held(p, rule, q, k) == rule->n_constraints;
}

static enum reason default_reason(const struct policy *p, enum reason reason)
{
	return *policy_text(p, p->head->locked_down) ? REASON_LOCKED_DOWN : reason;
}

/* An allow rule that speaks of the command: it matches, or may be the nearest that fails.
 */
static void weigh(const struct policy *p, const struct policy_question *q, uint32_t rule,
		  struct known *k, struct policy_answer *a, uint32_t *nearest)
{
	const struct image_rule *r = &p->rules[rule];
	uint32_t n = held(p, r, q, k);

	if (n == r->n_constraints) {
		if (!a->allowed)
			*a = (struct policy_answer){.allowed = true,
						    .reason = REASON_RULE,
						    .rule = (int32_t)rule,
						    .failed = -1};
		a->matches[rule / 64] |= UINT64_C(1) << rule % 64;
		return;
	}
	if (a->allowed || (a->rule >= 0 && n <= *nearest))
		return;
	*nearest = n;
	a->rule = (int32_t)rule;
	a->failed = (int32_t)(r->constraint + n);
	a->reason = key_row(p->constraints[a->failed].key)->reason;
}

/* By the tightest limit of all that match, an allow is none: it would go too far. */
static void limit(const struct policy *p, const struct policy_question *q,
		  struct policy_answer *a)
{
	enum key key;

	if (!a->allowed || !q->object || object_within(p, a, q->op, q->object, &key))
		return;
	a->allowed = false;
	a->reason = key_row(key)->reason;
}

static void decide_set(const struct policy *p, const struct policy_question *q,
		       enum image_set set, struct policy_answer *a)
{
	struct known known = {0};
	uint32_t nearest = 0;

	*a = (struct policy_answer){
		.reason = default_reason(p, REASON_NO_RULE), .rule = -1, .failed = -1};
	for (uint32_t i = 0; i < p->head->n_rules; i++) {
		const struct image_rule *r = &p->rules[i];

		if (r->set != set || q->op >= OP_MAX || !(r->ops >> q->op & 1))
			continue;
		if (r->effect == POLICY_ALLOW) {
			weigh(p, q, i, &known, a, &nearest);
		} else if (denies(p, r, q, &known)) {
			/* Denies come first, so nothing was allowed yet. */
			a->reason = REASON_EXPLICIT_DENY;
			a->rule = (int32_t)i;
			return;
		}
	}
	limit(p, q, a);
}

void policy_decide(const struct policy *p, const struct policy_question *q,
		   struct policy_answer *a)
{
	struct policy_answer ceiling;

	decide_set(p, q, SET_EFFECTIVE, a);
	if (!a->allowed && p->head->mode == MODE_COMPLAIN) {
		decide_set(p, q, SET_CEILING, &ceiling);
		if (ceiling.allowed) {
			/* What would have refused it stays, to be recorded. */
			a->allowed = a->complained = true;
			memcpy(a->matches, ceiling.matches, sizeof(a->matches));
		}
	}
	a->never = !a->allowed && !policy_may(p, q->op);
}

bool policy_only_reads(const struct policy *p)
{
	for (uint32_t i = 0; i < p->head->n_constraints; i++) {
		const struct image_constraint *c = &p->constraints[i];

		/* Every rule that lets a file be opened says how, if only by default. */
		if (c->key == KEY_OPEN_MODE && p->rules[c->rule].effect == POLICY_ALLOW &&
		    p->values[c->value].number & ~(uint64_t)OPEN_READ)
			return false;
	}
	return true;
}

static bool says_no(const struct policy *p, const struct image_rule *r, enum key key)
{
	for (uint32_t i = 0; i < r->n_constraints; i++) {
		const struct image_constraint *c = &p->constraints[r->constraint + i];

		if (c->key == key && !p->values[c->value].number)
			return true;
	}
	return false;
}

bool policy_runs_hooks(const struct policy *p)
{
	const uint64_t freezes = UINT64_C(1) << OP_fsfreeze_freeze |
				 UINT64_C(1) << OP_fsfreeze_freeze_list;

	for (uint32_t i = 0; i < p->head->n_rules; i++)
		if (p->rules[i].effect == POLICY_ALLOW && p->rules[i].ops & freezes &&
		    !says_no(p, &p->rules[i], KEY_HOOKS))
			return true;
	return false;
}

/* ---- limits ---- */

const struct image_constraint *policy_next(const struct policy *p,
					   const struct policy_answer *a, enum key key,
					   uint32_t *at)
{
	while (*at < p->head->n_constraints) {
		const struct image_constraint *c = &p->constraints[(*at)++];

		if (c->key == key && a->matches[c->rule / 64] >> c->rule % 64 & 1)
			return c;
	}
	return NULL;
}

bool policy_limit(const struct policy *p, const struct policy_answer *a, enum key key,
		  uint64_t *value)
{
	bool most = key_row(key)->tight == TIGHT_MOST, found = false;
	const struct image_constraint *c;
	uint32_t at = 0;

	while ((c = policy_next(p, a, key, &at))) {
		uint64_t v = p->values[c->value].number;

		if (!found || (most ? v > *value : v < *value))
			*value = v;
		found = true;
	}
	return found;
}
