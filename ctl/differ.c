/*
 * ctl/differ.c - what two policies decide differently, each with a request that shows it
 *
 * Runs in:   posternctl, tests
 * Input:     policies that were opened
 * May touch: memory of its own
 * Must not:  tell of a difference that it cannot show, differ from run to run
 */
#include "ctl/differ.h"

#include <string.h>

#include "ctl/grow.h"
#include "ctl/limits.h"
#include "ctl/scene.h"
#include "ctl/seen.h"
#include "ctl/typed.h"
#include "policy/object.h"

#define ARENA_BYTES (64u * 1024 * 1024)
/* Combinations that are looked at, and those that are decided on, of one command. */
#define LEAVES_MAX   (4u * 1000 * 1000)
#define EXAMINED_MAX (1u << 14)
/* Words of bits for the rules of both policies. */
#define WORDS_MAX (2 * (IMAGE_RULES_MAX / 64 + 1))

/* ---- one difference ---- */

bool is_same_difference(const struct difference *a, const struct difference *b)
{
	if (a->direction != b->direction || a->op != b->op)
		return false;
	if (a->direction == '~')
		return a->limit == b->limit && streq(a->before, b->before) &&
		       streq(a->after, b->after);
	return a->allows == b->allows && a->refusal == b->refusal &&
	       a->refuses == b->refuses;
}

static uint32_t first_match(const struct policy *p, const struct policy_answer *a)
{
	uint32_t i = 0;

	while (i < p->head->n_rules && !(a->matches[i / 64] >> i % 64 & 1))
		i++;
	return i;
}

const struct image_rule *rule_that_allows(const struct policy *p,
					  const struct policy_answer *a)
{
	uint32_t i = a->allowed ? first_match(p, a) : p->head->n_rules;

	return i < p->head->n_rules ? &p->rules[i] : NULL;
}

static void put_refusal(const struct policy *p, const struct policy_question *q,
			const struct policy_answer *a, struct difference *d)
{
	enum key key;

	if (a->reason == REASON_EXPLICIT_DENY) {
		d->refusal = REFUSED_BY_DENY;
		d->refuses = (uint32_t)a->rule;
	} else if (a->rule >= 0 && a->failed < 0 && q->object &&
		   !object_within(p, a, q->op, q->object, &key)) {
		d->refusal = REFUSED_BY_LIMIT;
		d->refuses = key;
	}
}

static void changed_limits(const struct policy *const p[2],
			   const struct policy_answer a[2], uint32_t op,
			   difference_fn *each, void *arg)
{
	for (size_t i = 0; i < limits_count(); i++) {
		CLEANUP(wbuf_free) struct wbuf before = wbuf_growing(IMAGE_MAX);
		CLEANUP(wbuf_free) struct wbuf after = wbuf_growing(IMAGE_MAX);
		struct difference d = {.direction = '~', .op = op, .limit = i};

		if (!limit_is_of(i, op))
			continue;
		before.plain = after.plain = true;
		limit_text(p[0], &a[0], i, &before);
		limit_text(p[1], &a[1], i, &after);
		wbuf_u8(&before, 0);
		wbuf_u8(&after, 0);
		if (before.bad || after.bad)
			continue;
		d.before = (const char *)before.p;
		d.after = (const char *)after.p;
		if (!streq(d.before, d.after))
			each(&d, arg);
	}
}

void differences_of(const struct policy *const p[2], const struct policy_question *q,
		    difference_fn *each, void *arg)
{
	struct policy_answer a[2];
	struct difference d = {.op = q->op};
	unsigned int by;

	scene_decide(p[0], q, &a[0]);
	scene_decide(p[1], q, &a[1]);
	if (a[0].allowed && a[1].allowed)
		changed_limits(p, a, q->op, each, arg);
	if (a[0].allowed == a[1].allowed)
		return;
	by = a[1].allowed;
	d.direction = by ? '+' : '-';
	d.allows = first_match(p[by], &a[by]);
	put_refusal(p[!by], q, &a[!by], &d);
	each(&d, arg);
}

/* ---- the space of combinations ---- */

/* The values of a part, and of which rules each lets the constraints hold. */
struct axis {
	const struct scene_part *part;
	struct scene_value *v;
	uint32_t n;
	uint64_t *bits;
};

struct space {
	struct differ *d;
	uint32_t op;
	bool has_object;
	/* The rules that speak of the command: N of each policy, by index. */
	uint32_t rules[2][IMAGE_RULES_MAX];
	uint32_t n[2];
	uint32_t words[2]; /* of bits; those of the second policy follow the first's */
	uint64_t allows[WORDS_MAX];
	struct axis axes[SCENE_PARTS_MAX];
	uint32_t n_axes;
	uint32_t chosen[SCENE_PARTS_MAX];
	uint32_t leaves;
	uint32_t examined;
	struct seen seen; /* what was decided on */
};

static void set_bit(const struct space *s, uint64_t *bits, unsigned int side, uint32_t i)
{
	bits[(side ? s->words[0] : 0) + i / 64] |= UINT64_C(1) << i % 64;
}

static bool is_key_of(const struct scene_part *part, uint32_t key)
{
	for (uint32_t i = 0; i < part->n_keys; i++)
		if (part->keys[i] == key)
			return true;
	return false;
}

/* Is it looked at by an axis? */
static bool is_on_axis(const struct space *s, uint32_t key)
{
	for (uint32_t i = 0; i < s->n_axes; i++)
		if (is_key_of(s->axes[i].part, key))
			return true;
	return false;
}

/* Do the constraints of RULE hold that PART looks at; without a part, that none does? */
static bool rule_holds(const struct space *s, const struct policy *p,
		       const struct image_rule *rule, const struct scene_part *part,
		       const struct policy_question *q)
{
	for (uint32_t i = 0; i < rule->n_constraints; i++) {
		const struct image_constraint *c = &p->constraints[rule->constraint + i];

		/* A deny holds only as a whole (policy/decide.c). */
		if (!part && rule->effect == POLICY_DENY && !policy_speaks(c->key, q))
			return false;
		if (part ? !is_key_of(part, c->key) : is_on_axis(s, c->key))
			continue;
		if (!policy_holds(p, c, q))
			return false;
	}
	return true;
}

static void put_bits(const struct space *s, const struct scene *scene,
		     const struct scene_part *part, uint64_t *bits)
{
	const struct policy_question q = scene_question(scene);

	for (unsigned int side = 0; side < 2; side++) {
		const struct policy *p = s->d->p[side];

		for (uint32_t i = 0; i < s->n[side]; i++)
			if (rule_holds(s, p, &p->rules[s->rules[side][i]], part, &q))
				set_bit(s, bits, side, i);
	}
}

static void find_rules(struct space *s)
{
	for (unsigned int side = 0; side < 2; side++) {
		const struct policy *p = s->d->p[side];

		for (uint32_t i = 0; i < p->head->n_rules; i++)
			if (p->rules[i].ops >> s->op & 1)
				s->rules[side][s->n[side]++] = i;
		s->words[side] = s->n[side] / 64 + 1;
	}
	for (unsigned int side = 0; side < 2; side++)
		for (uint32_t i = 0; i < s->n[side]; i++)
			if (s->d->p[side]->rules[s->rules[side][i]].effect ==
			    POLICY_ALLOW)
				set_bit(s, s->allows, side, i);
}

static uint32_t words_of(const struct space *s)
{
	return s->words[0] + s->words[1];
}

/* One value of those that are the same to all rules. */
static bool draw_axis(struct space *s, const struct scene_part *part, struct axis *axis)
{
	CLEANUP(seen_free) struct seen seen = {0};
	const uint32_t words = words_of(s);
	struct scene_value *v;
	uint32_t n;

	s->d->cut |= !part->draw(&s->d->arena, s->d->p, s->op, &v, &n);
	*axis = (struct axis){.part = part, .v = v};
	axis->bits = arena_take(&s->d->arena, (n + 1) * words * sizeof(*axis->bits));
	for (uint32_t i = 0; axis->bits && i < n; i++) {
		uint64_t *bits = &axis->bits[(size_t)axis->n * words];
		struct scene scene;

		memset(bits, 0, words * sizeof(*bits));
		scene_init(&scene, s->op, s->has_object);
		part->apply(&scene, &v[i]);
		put_bits(s, &scene, part, bits);
		if (part->limit || !seen_before(&seen, seen_hash(SEEN_SEED, bits, words)))
			v[axis->n++] = v[i];
	}
	return axis->bits;
}

/* ---- lines ---- */

struct keeping {
	struct space *s;
	const struct scene *scene;
	bool found; /* of `is_shown`: it is among the differences */
	const struct difference *wanted;
};

static void find_wanted(const struct difference *d, void *arg)
{
	struct keeping *k = arg;

	k->found |= is_same_difference(d, k->wanted);
}

/* Is WHAT what the policies make of the request as it is written? */
static bool is_shown(const struct differ *d, const struct scene *scene,
		     const struct difference *what, const char *request)
{
	CLEANUP(typed_done) struct typed t = {0};
	struct policy_question q = scene_question(scene);
	struct keeping k = {.wanted = what};
	struct err e;

	if (typed_read(&t, request, strlen(request), &e) < 0 || t.number != scene->op)
		return false;
	/* Input that is too long to be written is only counted. */
	if (t.number == OP_exec)
		((struct msg_exec *)t.args)->input_data =
			((const struct msg_exec *)(const void *)scene->args)->input_data;
	q.args = t.args;
	differences_of(d->p, &q, find_wanted, &k);
	return k.found;
}

static const char *keep_text(struct differ *d, const void *text, size_t len)
{
	char *p = arena_take(&d->arena, len + 1);

	d->cut |= !p;
	if (p && len)
		memcpy(p, text, len);
	return p;
}

static bool room_for_line(struct differ *d)
{
	void *v = d->v;

	if (ctl_grow(&v, &d->room, d->n, sizeof(*d->v), UINT32_MAX) < 0)
		return !(d->cut = true);
	d->v = v;
	return true;
}

/* A line for WHAT, which SCENE shows. False: it does not, as it is written. */
static bool add_line(struct differ *d, const struct scene *scene,
		     const struct difference *what)
{
	CLEANUP(wbuf_free) struct wbuf request = wbuf_growing(1024 * 1024);
	CLEANUP(wbuf_free) struct wbuf object = wbuf_growing(64 * 1024);
	const struct policy_question q = scene_question(scene);
	struct differ_line line = {.d = *what, .order = d->n};
	bool good = scene_put_request(scene, &request);

	scene_put_object(scene, &object);
	line.request = keep_text(d, request.p, request.len);
	line.object = keep_text(d, object.p, object.len);
	if (what->direction == '~') {
		line.d.before = keep_text(d, what->before, strlen(what->before));
		line.d.after = keep_text(d, what->after, strlen(what->after));
	}
	if (!good || object.bad || !line.request || !line.object ||
	    !is_shown(d, scene, what, line.request) || !room_for_line(d))
		return false;
	for (unsigned int side = 0; side < 2; side++)
		scene_decide(d->p[side], &q, &line.a[side]);
	d->v[d->n++] = line;
	return true;
}

/* Of a program: that nothing but the request is to be said of it. */
static bool add_plain_line(struct differ *d, const struct scene *scene,
			   const struct difference *what)
{
	struct scene plain = *scene;

	if (scene->op != OP_exec)
		return false;
	plain.object.path = plain.object.real =
		((const struct msg_exec *)(const void *)scene->args)->path;
	return add_line(d, &plain, what);
}

bool differ_covers(const struct differ *d, const struct difference *what)
{
	for (uint32_t i = 0; i < d->n; i++)
		if (is_same_difference(&d->v[i].d, what))
			return true;
	return false;
}

static void keep(const struct difference *what, void *arg)
{
	const struct keeping *k = arg;
	struct differ *d = k->s->d;

	if (differ_covers(d, what) || add_plain_line(d, k->scene, what))
		return;
	d->cut |= !add_line(d, k->scene, what);
}

/* ---- going through it ---- */

static void examine(struct space *s)
{
	struct scene scene;
	struct keeping k = {.s = s, .scene = &scene};
	struct policy_question q;

	scene_init(&scene, s->op, s->has_object);
	for (uint32_t i = 0; i < s->n_axes; i++)
		s->axes[i].part->apply(&scene, &s->axes[i].v[s->chosen[i]]);
	q = scene_question(&scene);
	differences_of(s->d->p, &q, keep, &k);
}

/* The rules that may match, and how far it would go. */
static uint64_t hash_of(const struct space *s, const uint64_t *bits)
{
	uint64_t hash = seen_hash(SEEN_SEED, bits, words_of(s));

	for (uint32_t i = 0; i < s->n_axes; i++) {
		const uint64_t chosen = s->chosen[i];

		if (s->axes[i].part->limit)
			hash = seen_hash(hash, &chosen, 1);
	}
	return hash;
}

static void leaf(struct space *s, const uint64_t *bits)
{
	if (s->leaves++ == LEAVES_MAX || s->examined == EXAMINED_MAX)
		s->d->cut = true;
	if (s->leaves > LEAVES_MAX || s->examined == EXAMINED_MAX ||
	    seen_before(&s->seen, hash_of(s, bits)))
		return;
	s->examined++;
	examine(s);
}

static bool may_allow(const struct space *s, const uint64_t *bits)
{
	uint64_t any = 0;

	for (uint32_t i = 0; i < words_of(s); i++)
		any |= bits[i] & s->allows[i];
	return any;
}

/* As deep as there are parts. */
/* NOLINTNEXTLINE(misc-no-recursion) */
static void walk(struct space *s, uint32_t axis, const uint64_t *bits)
{
	const uint32_t words = words_of(s);
	const struct axis *a = &s->axes[axis];
	uint64_t more[WORDS_MAX];

	/* Where nothing is allowed by either, nothing differs. */
	if (!may_allow(s, bits) || s->leaves > LEAVES_MAX)
		return;
	if (axis == s->n_axes) {
		leaf(s, bits);
		return;
	}
	for (uint32_t i = 0; i < a->n; i++) {
		for (uint32_t k = 0; k < words; k++)
			more[k] = bits[k] & a->bits[(size_t)i * words + k];
		s->chosen[axis] = i;
		walk(s, axis + 1, more);
	}
}

static void search(struct space *s)
{
	const struct scene_part *parts[SCENE_PARTS_MAX];
	uint32_t n = scene_parts(s->op, s->has_object, parts);
	uint64_t bits[WORDS_MAX] = {0};
	struct scene scene;
	bool good = true;

	find_rules(s);
	for (uint32_t i = 0; i < n; i++)
		s->axes[s->n_axes++].part = parts[i];
	for (uint32_t i = 0; i < n; i++)
		good = good && draw_axis(s, parts[i], &s->axes[i]);
	s->d->cut |= !good;
	scene_init(&scene, s->op, s->has_object);
	put_bits(s, &scene, NULL, bits);
	if (good)
		walk(s, 0, bits);
}

static int by_direction(const void *a, const void *b)
{
	const struct differ_line *x = a, *y = b;
	static const char order[] = "+-~";

	if (x->d.op != y->d.op)
		return x->d.op < y->d.op ? -1 : 1;
	if (x->d.direction != y->d.direction)
		return strchr(order, x->d.direction) < strchr(order, y->d.direction) ? -1
										     : 1;
	return x->order < y->order ? -1 : 1;
}

int differ_find(struct differ *d, const struct policy *a, const struct policy *b)
{
	CLEANUP(free_p) struct space *s = malloc(sizeof(*s));

	*d = (struct differ){.p = {a, b},
			     .arena = {.p = malloc(ARENA_BYTES), .cap = ARENA_BYTES}};
	if (!s || !d->arena.p)
		return -1;
	/* Equal policies have equal images, and nothing is to be searched. */
	if (a->head->size == b->head->size && !memcmp(a->head, b->head, a->head->size))
		return 0;
	for (uint32_t op = op_after(OP_NONE); op != OP_NONE; op = op_after(op))
		for (unsigned int object = 0; object < 2; object++) {
			if (!scene_is_asked(op, object))
				continue;
			memset(s, 0, sizeof(*s));
			s->d = d;
			s->op = op;
			s->has_object = object;
			search(s);
			seen_free(&s->seen);
		}
	if (d->n)
		qsort(d->v, d->n, sizeof(*d->v), by_direction);
	return 0;
}

void differ_done(struct differ *d)
{
	free(d->arena.p);
	free(d->v);
}
