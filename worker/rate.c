/*
 * worker/rate.c - how often a rule allows what it allows
 *
 * Runs in:   worker
 * Input:     a decision
 * May touch: the rates of a policy
 * Must not:  charge one rule when another refuses
 *
 * Each rule has a time up to which its allowance is used. A request moves it on by the
 * rule's interval and may do so while it is not too far ahead of now: by the burst.
 */
#include "worker/worker.h"

static bool matches(const struct policy_answer *a, uint32_t rule)
{
	return a->matches[rule / 64] >> rule % 64 & 1;
}

static uint64_t interval_usec(const struct image_rule *r)
{
	return (uint64_t)r->rate_ms * 1000 / r->rate;
}

bool rate_take(struct generation *g, const struct policy_answer *a, uint64_t now)
{
	const struct policy *p = &g->policy;

	for (uint32_t i = 0; i < p->head->n_rules; i++) {
		const struct image_rule *r = &p->rules[i];

		if (r->rate && matches(a, i) &&
		    g->used_usec[i] > now + (r->burst - 1) * interval_usec(r))
			return false;
	}
	for (uint32_t i = 0; i < p->head->n_rules; i++) {
		const struct image_rule *r = &p->rules[i];

		if (!r->rate || !matches(a, i))
			continue;
		if (g->used_usec[i] < now)
			g->used_usec[i] = now;
		g->used_usec[i] += interval_usec(r);
	}
	return true;
}
