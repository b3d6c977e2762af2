/*
 * ctl/limits.c - how far what is allowed may go: the limits that hold together, as text
 *
 * Runs in:   posternctl, tests
 * Input:     a policy that was opened, a decision of it
 * May touch: the buffer it is handed
 * Must not:  tell two limits apart that mean the same
 */
#include "ctl/limits.h"

#include <stdio.h>
#include <string.h>

#include "ctl/wording.h"

/* Values, or texts, of more rules than this are not told in full. */
#define VALUES_MAX 256

#define ALL      UINT64_MAX
#define PROGRAMS OPS_OF_1(exec)
#define FILES    OPS_OF_1(file_open)
#define FREEZES  (OPS_OF_1(fsfreeze_freeze) | OPS_OF_1(fsfreeze_freeze_list))
#define MOUNTS   (FREEZES | OPS_OF_1(fstrim))
#define SUSPENDS \
	(OPS_OF_1(suspend_disk) | OPS_OF_1(suspend_ram) | OPS_OF_1(suspend_hybrid))

/* How the values of several rules become what holds. */
typedef void put_fn(struct wbuf *w, const struct policy *p, const struct policy_answer *a,
		    enum key key);

static put_fn put_tightest, put_first, put_all, put_each, put_rates, put_complaint;

static const struct limit {
	const char *name; /* NULL: the key's */
	enum key key;
	uint64_t ops; /* the worker looks at it for these */
	put_fn *put;
	const char *unsaid; /* what holds if no rule says it */
} limits[] = {
	{NULL, KEY_RUN, PROGRAMS, put_first, ""},
	{NULL, KEY_EXEC_USER, PROGRAMS, put_first, ""},
	{NULL, KEY_EXEC_GROUP, PROGRAMS, put_first, ""},
	{NULL, KEY_CWD, PROGRAMS, put_first, "/"},
	{NULL, KEY_TIMEOUT, PROGRAMS, put_tightest, ""},
	{NULL, KEY_OUTPUT_MAX, PROGRAMS, put_tightest, ""},
	{NULL, KEY_MEMORY_MAX, PROGRAMS, put_tightest, ""},
	{NULL, KEY_TASKS_MAX, PROGRAMS, put_tightest, ""},
	{NULL, KEY_CONCURRENT, PROGRAMS, put_tightest, ""},
	{NULL, KEY_SIZE_MAX, FILES, put_tightest, ""},
	{NULL, KEY_FILE_MODE, FILES, put_first, "0644"},
	{NULL, KEY_OWNER, FILES, put_first, ""},
	{NULL, KEY_MOUNTPOINT_EXCLUDE, MOUNTS, put_all, ""},
	{NULL, KEY_FSTYPE_EXCLUDE, MOUNTS, put_all, ""},
	{NULL, KEY_FREEZE_MAX, FREEZES, put_tightest, ""},
	{NULL, KEY_HOOKS, FREEZES, put_tightest, "yes"},
	{NULL, KEY_HOOK_TIMEOUT, FREEZES, put_tightest, ""},
	{NULL, KEY_HOOK_FAILURE, FREEZES, put_tightest, "abort"},
	{NULL, KEY_EMPTY, OPS_OF_1(set_user_password), put_tightest, "no"},
	{NULL, KEY_MAX_STEP, OPS_OF_1(set_time), put_tightest, ""},
	{NULL, KEY_BACKWARDS, OPS_OF_1(set_time), put_tightest, "yes"},
	{NULL, KEY_ONLINE_MIN, OPS_OF_1(set_vcpus), put_tightest, ""},
	{NULL, KEY_MEMORY_MIN, OPS_OF_1(set_memory_blocks), put_tightest, ""},
	{NULL, KEY_FORCE, OPS_OF_1(shutdown) | SUSPENDS, put_tightest, "no"},
	{NULL, KEY_ONLY, OPS_NAMED, put_each, ""},
	{NULL, KEY_EXCLUDE, OPS_NAMED, put_all, ""},
	{NULL, KEY_HIDE, ALL, put_all, ""},
	{NULL, KEY_SMART, OPS_OF_1(get_disks), put_tightest, "no"},
	{NULL, KEY_TIME_LIMIT, ALL, put_tightest, ""},
	{"rate", KEYS_COUNT, ALL, put_rates, ""},
	{"only by complain mode", KEYS_COUNT, ALL, put_complaint, "no"},
};

size_t limits_count(void)
{
	return ARRAY_SIZE(limits);
}

const char *limit_name(size_t limit)
{
	const struct limit *l = &limits[limit];

	if (l->name)
		return l->name;
	return key_row(l->key)->name ? key_row(l->key)->name : "path";
}

bool limit_is_of(size_t limit, uint32_t op)
{
	const struct limit *l = &limits[limit];

	/* Session commands, thaw and status know no rates (POLICY.md section 3). */
	if (l->put == put_rates && op_by_number(op)->flags & OPF_FROZEN_OK)
		return false;
	return l->ops >> op & 1 && (l->key == KEYS_COUNT || key_ops(l->key) >> op & 1);
}

bool limit_of_key(enum key key, uint32_t op)
{
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++)
		if (limits[i].key == key)
			return limit_is_of(i, op);
	return false;
}

/* ---- one value ---- */

static void put_tightest(struct wbuf *w, const struct policy *p,
			 const struct policy_answer *a, enum key key)
{
	struct image_value v = {0};

	if (!policy_limit(p, a, key, &v.number))
		return;
	if (key_row(key)->type == TYPE_WORDS)
		put_words(w, key_row(key)->words, v.number);
	else
		put_value(w, p, key_row(key), &v);
}

static void put_first(struct wbuf *w, const struct policy *p,
		      const struct policy_answer *a, enum key key)
{
	uint32_t at = 0;
	const struct image_constraint *c = policy_next(p, a, key, &at);

	if (c)
		put_value(w, p, key_row(key), &p->values[c->value]);
}

/* ---- several ---- */

struct texts {
	const char *v[VALUES_MAX];
	size_t n;
	bool cut;
};

static void add(struct texts *t, const char *text)
{
	if (t->n == VALUES_MAX)
		t->cut = true;
	else
		t->v[t->n++] = text;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Each once, in order. */
static void put_texts(struct wbuf *w, struct texts *t, const char *between)
{
	qsort(t->v, t->n, sizeof(*t->v), by_text);
	for (size_t i = 0; i < t->n; i++) {
		if (i && streq(t->v[i], t->v[i - 1]))
			continue;
		wbuf_text(w, i ? between : "");
		wbuf_text(w, *t->v[i] ? t->v[i] : "\"\"");
	}
	wbuf_text(w, t->cut ? between : "");
	wbuf_text(w, t->cut ? "..." : "");
}

static void add_values(struct texts *t, const struct policy *p,
		       const struct image_constraint *c)
{
	for (uint32_t i = 0; i < c->n_values; i++)
		add(t, policy_text(p, p->values[c->value + i].text));
}

static void put_all(struct wbuf *w, const struct policy *p, const struct policy_answer *a,
		    enum key key)
{
	const struct image_constraint *c;
	struct texts t = {0};
	uint32_t at = 0;

	while ((c = policy_next(p, a, key, &at)))
		add_values(&t, p, c);
	put_texts(w, &t, " ; ");
}

static void free_texts(struct texts *t)
{
	for (size_t i = 0; i < t->n; i++)
		free((void *)(uintptr_t)t->v[i]);
}

/* BUILT as a text of its own, to be sorted among others. */
static void add_built(struct texts *t, struct wbuf *built)
{
	char *text;

	wbuf_u8(built, 0);
	text = built->bad ? NULL : strdup((const char *)built->p);
	if (text && t->n < VALUES_MAX) {
		t->v[t->n++] = text;
	} else {
		free(text);
		t->cut = true;
	}
}

/* A name must be among those of each rule that says any. */
static void put_each(struct wbuf *w, const struct policy *p,
		     const struct policy_answer *a, enum key key)
{
	CLEANUP(free_texts) struct texts rules = {0};
	const struct image_constraint *c;
	uint32_t at = 0;

	while ((c = policy_next(p, a, key, &at))) {
		CLEANUP(wbuf_free) struct wbuf one = wbuf_growing(IMAGE_MAX);
		struct texts t = {0};

		add_values(&t, p, c);
		put_texts(&one, &t, " ; ");
		add_built(&rules, &one);
	}
	put_texts(w, &rules, " and ");
}

static void put_rate(struct wbuf *w, const struct image_rule *r)
{
	static const struct {
		uint32_t ms;
		const char *name;
	} periods[] = {{1000, "s"}, {60000, "min"}, {3600000, "h"}};
	const char *name = "?";
	char text[64];

	for (size_t i = 0; i < ARRAY_SIZE(periods); i++)
		if (periods[i].ms == r->rate_ms)
			name = periods[i].name;
	snprintf(text, sizeof(text), "%u/%s burst %u", r->rate, name, r->burst);
	wbuf_text(w, text);
}

static void put_rates(struct wbuf *w, const struct policy *p,
		      const struct policy_answer *a, enum key key)
{
	CLEANUP(free_texts) struct texts rates = {0};

	(void)key;
	for (uint32_t i = 0; i < p->head->n_rules; i++) {
		CLEANUP(wbuf_free) struct wbuf one = wbuf_growing(64);

		if (!p->rules[i].rate || !(a->matches[i / 64] >> i % 64 & 1))
			continue;
		put_rate(&one, &p->rules[i]);
		add_built(&rates, &one);
	}
	put_texts(w, &rates, " and ");
}

static void put_complaint(struct wbuf *w, const struct policy *p,
			  const struct policy_answer *a, enum key key)
{
	(void)p;
	(void)key;
	wbuf_text(w, a->complained ? "yes" : "");
}

void limit_text(const struct policy *p, const struct policy_answer *a, size_t limit,
		struct wbuf *w)
{
	const struct limit *l = &limits[limit];
	size_t start = w->len;

	l->put(w, p, a, l->key);
	if (w->len == start)
		wbuf_text(w, l->unsaid);
}
