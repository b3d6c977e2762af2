/*
 * worker/repeats.c - equal requests that leave one record and a count
 *
 * Runs in:   worker
 * Input:     requests and verdicts; what an earlier worker counted
 * May touch: the counts in struct state, which outlive the worker; the audit trail
 * Must not:  take two requests for equal that a record would tell apart
 */
#include "worker/repeats.h"

#include <string.h>

/* Slots for polls; the others are for refusals, of which there are two for each command.
 */
#define READS_MAX 64

/* ---- which are equal ---- */

/* There is little room, or none, for refusals of this kind. */
static bool is_pressed(const struct verdict *v)
{
	return !v->allowed && (v->reason == REASON_FROZEN || v->reason == REASON_AUDIT);
}

/* One that only asks, and of which the record would say nothing but what the key holds.
 */
static bool is_poll(const struct asked *q, const struct verdict *v,
		    const struct rbuf *args)
{
	return q->op->audit == AUDIT_READ && !q->object && !v->skew && args &&
	       rbuf_left(args) <= REPEAT_ARGS_MAX;
}

static bool key_of(struct repeat *key, const struct asked *q, const struct verdict *v,
		   const struct rbuf *args)
{
	*key = (struct repeat){
		.op = q->number,
		.generation = q->gen->number,
		.reason = v->reason,
		.rule = v->policy.rule,
		.allowed = v->allowed,
		.complained = v->policy.complained,
	};
	if (is_pressed(v)) {
		/* Of what was under way when the freeze began there is not much. */
		key->pressed = true;
		key->rule = -1;
		return !q->object;
	}
	if (!is_poll(q, v, args))
		return false;
	key->n_args = (uint8_t)rbuf_left(args);
	if (key->n_args) /* none may come with a null pointer */
		memcpy(key->args, args->p, key->n_args);
	return true;
}

static bool is_equal(const struct repeat *a, const struct repeat *b)
{
	return a->op == b->op && a->reason == b->reason && a->rule == b->rule &&
	       (a->pressed || a->generation == b->generation) &&
	       a->pressed == b->pressed && a->allowed == b->allowed &&
	       a->complained == b->complained && a->n_args == b->n_args &&
	       memcmp(a->args, b->args, a->n_args) == 0;
}

/* The slots that were ever taken. */
static size_t n_slots(const struct worker *w)
{
	return min_size(w->state->repeats_taken, REPEATS_MAX);
}

/* That of KEY; or a slot for it, which is free; or NULL. */
static struct repeat *find(struct worker *w, const struct repeat *key)
{
	struct repeat *slots = w->state->repeats, *slot = NULL;
	const size_t n = n_slots(w);
	size_t reads = 0;

	for (size_t i = 0; i < n; i++) {
		if (slots[i].op == OP_NONE) {
			slot = slot ? slot : &slots[i];
			continue;
		}
		if (is_equal(&slots[i], key))
			return &slots[i];
		reads += !slots[i].pressed;
	}
	if (!slot && n < REPEATS_MAX) {
		slot = &slots[n];
		slot->op = OP_NONE;
	}
	return key->pressed || reads < READS_MAX ? slot : NULL;
}

static uint64_t interval_ms(const struct worker *w)
{
	return w->gen->policy.head->audit_interval_ms;
}

/* KEY is in SLOT from now on. */
static void take(struct worker *w, struct repeat *slot, const struct repeat *key)
{
	const uint32_t end = (uint32_t)(slot - w->state->repeats) + 1;

	*slot = *key;
	slot->until_ms = now_ms() + interval_ms(w);
	if (w->state->repeats_taken < end)
		w->state->repeats_taken = end;
}

/* ---- telling ---- */

/* What was counted goes into a record, if there is room for one. */
static void tell(struct worker *w, struct repeat *r)
{
	if (r->count && record_repeats(w, r) == 0)
		r->count = r->failed = 0;
}

/* A record would only wait, in the room that is little. */
static bool is_stuck(const struct sink *s)
{
	return s->holds || held_waits(s->held, false);
}

/*
 * Its time is over: it counts on if it was used, else the next is recorded in full; and
 * so is a refusal, once there is room again. Until then, however long, one record and one
 * count of each refusal have to do.
 */
static void end_interval(struct worker *w, struct repeat *r, uint64_t now)
{
	bool used = r->count || r->under_way;
	bool later = r->pressed && is_stuck(&w->sink);

	if (!later)
		tell(w, r);
	r->until_ms = now + interval_ms(w);
	if (!later && (!used || (r->pressed && !r->count)))
		r->op = OP_NONE;
}

static void arm(struct worker *w)
{
	uint64_t now = now_ms(), next = UINT64_MAX;

	for (size_t i = 0; i < n_slots(w); i++) {
		const struct repeat *r = &w->state->repeats[i];

		if (r->op != OP_NONE && r->until_ms < next)
			next = r->until_ms;
	}
	if (next != UINT64_MAX)
		timer_arm_ms(&w->repeats, next > now ? next - now : 0);
}

static int intervals(struct timer *t)
{
	struct worker *w = CONTAINER_OF(t, struct worker, repeats);
	uint64_t now = now_ms();

	for (size_t i = 0; i < n_slots(w); i++) {
		struct repeat *r = &w->state->repeats[i];

		if (r->op != OP_NONE && r->until_ms <= now)
			end_interval(w, r, now);
	}
	arm(w);
	return 0;
}

void repeats_tell(struct worker *w)
{
	for (size_t i = 0; i < n_slots(w); i++) {
		struct repeat *r = &w->state->repeats[i];

		if (r->op == OP_NONE)
			continue;
		tell(w, r);
		if (r->pressed && !r->count)
			r->op = OP_NONE;
	}
}

void repeats_close(struct worker *w)
{
	repeats_tell(w);
	for (size_t i = 0; i < n_slots(w); i++) {
		struct repeat *r = &w->state->repeats[i];

		if (!r->under_way && !r->count)
			r->op = OP_NONE;
	}
}

/* ---- counting ---- */

struct repeat *repeat_of(struct worker *w, const struct asked *q, const struct verdict *v,
			 const struct rbuf *args)
{
	struct repeat key, *r;

	if (!key_of(&key, q, v, args))
		return NULL;
	r = find(w, &key);
	if (r && r->op == OP_NONE) {
		take(w, r, &key);
		if (!w->repeats.armed)
			arm(w);
		return NULL;
	}
	/* Else nothing would show that the disk has room again. */
	if (r && r->pressed && sink_probes(&w->sink))
		return NULL;
	if (r)
		r->under_way++;
	return r;
}

void repeat_ended(struct repeat *r, bool well)
{
	r->under_way--;
	r->count++;
	r->failed += !well;
}

int repeats_init(struct worker *w)
{
	for (size_t i = 0; i < n_slots(w); i++) {
		struct repeat *r = &w->state->repeats[i];

		if (r->op >= OP_MAX || !op_by_number(r->op) ||
		    r->n_args > REPEAT_ARGS_MAX || r->reason >= REASON_COUNT)
			*r = (struct repeat){0};
		/* Nobody knows how those that were under way ended. */
		r->count += r->under_way;
		r->failed += r->under_way;
		r->under_way = 0;
		r->generation = 0; /* of a policy that may have been another */
		r->until_ms = 0;
	}
	if (timer_init(&w->loop, &w->repeats, intervals) < 0)
		return -1;
	arm(w);
	return 0;
}
