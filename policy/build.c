/*
 * policy/build.c - from rules to the effective policy
 *
 * Runs in:   reader, posternctl
 * Input:     what the reader kept of files without a mistake
 * May touch: memory of its own
 * Must not:  let the order of rules or files mean anything
 */
#include <stdio.h>
#include <string.h>

#include "policy/policy.h"
#include "policy/source_impl.h"

/* A rule on its way into the image: the operations may be fewer than were written. */
struct picked {
	const struct src_rule *rule;
	uint64_t ops;
	enum image_set set;
};

struct builder {
	struct source *s;
	struct source *base, *ceiling; /* profiles, read */
	struct list picked;            /* of struct picked, sorted */
	struct wbuf values, constraints, text;
	uint32_t n_values, n_constraints;
	struct list offsets;   /* of struct kept_text */
	struct src_rule lists; /* of the command line, as a rule */
	bool bad;
};

struct kept_text {
	const char *text;
	uint32_t offset;
};

/* ---- profiles ---- */

static struct source *read_profile(struct source *s, enum setting which, const char *name)
{
	const struct src_setting *set = &s->settings[which];
	const struct place at = {s, set->file ? set->file : "", set->line};
	struct profile p;
	bool known = profile_find(name, &p);
	struct source *r = known ? source_new() : NULL;
	char file[64];

	if (!known)
		mistake(&at, "there is no profile '%s'; accepted: %s", name,
			profile_names());
	if (!r)
		return NULL;
	snprintf(file, sizeof(file), "builtin:%s", name);
	source_add(r, file, p.text, p.len);
	return r;
}

static const char *setting_text(const struct source *s, enum setting which,
				const char *otherwise)
{
	return s->settings[which].file ? s->settings[which].text : otherwise;
}

static bool is_word(const struct source *s, enum setting which, unsigned int word)
{
	return s->settings[which].file && s->settings[which].number >> word & 1;
}

static bool complains(const struct source *s)
{
	return is_word(s, SETTING_MODE, 1);
}

static bool read_profiles(struct builder *b)
{
	const char *base = setting_text(b->s, SETTING_BASE, "safe");

	b->base = read_profile(b->s, SETTING_BASE, base);
	/* Its name is checked though nothing complains yet. */
	if (b->base || b->s->settings[SETTING_CEILING].file)
		b->ceiling = read_profile(b->s, SETTING_CEILING,
					  setting_text(b->s, SETTING_CEILING, base));
	return b->base && b->ceiling;
}

/* ---- which rules, with which operations ---- */

/* An [exec] section adds to what the base allows: it replaces nothing. */
static uint64_t replaced(const struct source *s)
{
	const struct src_rule *r = s->rules.v;
	uint64_t ops = 0;

	for (size_t i = 0; i < s->rules.n; i++)
		if (r[i].effect == POLICY_ALLOW && !r[i].named_program)
			ops |= r[i].ops;
	/* Results of programs stay where these do. */
	return with_parts(ops);
}

/* The part of a command among OPS that KEY allows. */
static uint64_t part_by(enum key key, uint64_t ops)
{
	for (size_t i = 0; i < ARRAY_SIZE(key_parts); i++)
		if (key_parts[i].key == key && ops >> key_parts[i].command & 1)
			return UINT64_C(1) << key_parts[i].part;
	return 0;
}

/* What comes along with a right: its result, its part. */
static uint64_t with_company(const struct src_rule *r)
{
	const struct src_constraint *c = r->constraints.v;
	uint64_t ops = r->ops;

	if (r->effect == POLICY_DENY)
		return ops;
	if (ops & OPS_OF_1(exec))
		ops |= OPS_OF_1(exec_status);
	for (size_t i = 0; i < r->constraints.n; i++)
		if (part_by(c[i].key, ops) &&
		    ((const struct src_value *)c[i].values.v)->number)
			ops |= part_by(c[i].key, ops);
	return ops;
}

static void pick_rule(struct builder *b, const struct src_rule *rule, enum image_set set,
		      uint64_t ops)
{
	struct picked *p = ops ? grow(&b->picked, sizeof(*p)) : NULL;

	if (p)
		*p = (struct picked){rule, ops, set};
	b->bad |= ops && !p;
}

static void pick(struct builder *b, const struct source *s, enum image_set set,
		 uint64_t without)
{
	const struct src_rule *r = s->rules.v;

	for (size_t i = 0; i < s->rules.n; i++)
		pick_rule(b, &r[i], set,
			  with_company(&r[i]) &
				  ~(r[i].effect == POLICY_ALLOW ? without : 0));
}

/* Lists of the command line, as the deny that they are: complain mode heeds it too. */
static void pick_lists(struct builder *b)
{
	b->lists = (struct src_rule){
		.name = "block and allow lists",
		.file = "command line or qemu-ga.conf",
		.effect = POLICY_DENY,
		.ops = b->s->denied,
	};
	pick_rule(b, &b->lists, SET_EFFECTIVE, b->lists.ops);
	if (complains(b->s))
		pick_rule(b, &b->lists, SET_CEILING, b->lists.ops);
}

static int by_order(const void *a, const void *b)
{
	const struct picked *x = a, *y = b;
	int r;

	if (x->set != y->set)
		return x->set < y->set ? -1 : 1;
	if (x->rule->effect != y->rule->effect)
		return x->rule->effect == POLICY_DENY ? -1 : 1;
	r = strcmp(x->rule->file, y->rule->file);
	if (r)
		return r;
	return (x->rule->line > y->rule->line) - (x->rule->line < y->rule->line);
}

/* ---- the image ---- */

/* The offset of TEXT among the texts; equal ones are kept once. */
static uint32_t text_at(struct builder *b, const char *text)
{
	struct kept_text *k = b->offsets.v;
	size_t low = 0, high = b->offsets.n;
	uint32_t offset = (uint32_t)b->text.len;

	while (low < high) {
		size_t mid = (low + high) / 2;
		int r = strcmp(text, k[mid].text);

		if (r == 0)
			return k[mid].offset;
		if (r < 0)
			high = mid;
		else
			low = mid + 1;
	}
	if (!grow(&b->offsets, sizeof(*k))) {
		b->bad = true;
		return 0;
	}
	k = b->offsets.v;
	memmove(&k[low + 1], &k[low], (b->offsets.n - 1 - low) * sizeof(*k));
	k[low] = (struct kept_text){text, offset};
	wbuf_put(&b->text, text, strlen(text) + 1);
	return offset;
}

static uint16_t literal_of(const struct src_value *v)
{
	return v->text ? (uint16_t)pattern_of(v->text, v->len).literal : 0;
}

static void put_constraint(struct builder *b, const struct src_constraint *c,
			   uint32_t rule)
{
	const struct src_value *v = c->values.v;
	struct image_constraint out = {
		.key = c->key,
		.rule = rule,
		.line = c->line,
		.value = b->n_values,
		.n_values = (uint32_t)c->values.n,
	};

	for (size_t i = 0; i < c->values.n; i++) {
		struct image_value value = {
			.number = v[i].number,
			.text = text_at(b, v[i].text),
			.len = (uint16_t)v[i].len,
			.literal = literal_of(&v[i]),
		};

		wbuf_put(&b->values, &value, sizeof(value));
		b->n_values++;
	}
	wbuf_put(&b->constraints, &out, sizeof(out));
	b->n_constraints++;
}

/* A rule that may read does not write thereby, nor the other way round. */
static uint64_t modes_of(uint64_t ops)
{
	bool reads = ops & OPS_OF_1(file_read), writes = ops & OPS_OF_1(file_write);
	const uint64_t writing = OPEN_CREATE | OPEN_REPLACE | OPEN_APPEND | OPEN_UPDATE;

	if (reads == writes)
		return OPEN_READ | writing;
	return reads ? OPEN_READ : writing;
}

/* What an allow rule says of OP if it says nothing: the careful thing. */
static const struct unsaid {
	enum key key;
	uint64_t op;
	bool has_value;
	uint64_t number;
} unsaid[] = {
	/* A program gets no variable of the host's unless its rule says which. */
	{KEY_ENV_ALLOW, OPS_OF_1(exec), false, 0},
	{KEY_OPEN_MODE, OPS_OF_1(file_open), true, 0}, /* by modes_of */
	{KEY_FILE_TYPE, OPS_OF_1(file_open), true, 1u << OBJECT_REGULAR},
	{KEY_SYMLINKS, OPS_OF_1(file_open), true, 1u << LINKS_ROOT},
};

static bool says(const struct src_rule *r, enum key key)
{
	const struct src_constraint *c = r->constraints.v;

	for (size_t i = 0; i < r->constraints.n; i++)
		if (c[i].key == key)
			return true;
	return false;
}

static void put_unsaid(struct builder *b, const struct picked *p, enum key key,
		       uint32_t rule)
{
	for (size_t i = 0; i < ARRAY_SIZE(unsaid); i++) {
		const struct unsaid *u = &unsaid[i];
		struct src_value value = {.text = "", .number = u->number};
		struct src_constraint c = {.key = key, .line = p->rule->line};

		if (u->key != key || !(p->ops & u->op) || says(p->rule, key))
			continue;
		if (key == KEY_OPEN_MODE)
			value.number = modes_of(p->ops);
		c.values = (struct list){.v = &value, .n = u->has_value};
		put_constraint(b, &c, rule);
	}
}

/* Request first, so that the nearest rule is told by what its author sees to begin with.
 */
static void put_rule(struct builder *b, const struct picked *p, uint32_t index,
		     struct wbuf *out)
{
	const struct src_rule *r = p->rule;
	const struct src_constraint *c = r->constraints.v;
	struct image_rule rule = {
		.ops = p->ops,
		.name = text_at(b, r->name),
		.file = text_at(b, r->file),
		.line = r->line,
		.constraint = b->n_constraints,
		.effect = (uint8_t)r->effect,
		.set = (uint8_t)p->set,
		.rate = r->rate,
		.rate_ms = r->rate_ms,
		.burst = r->burst,
	};

	for (enum key key = 0; key < KEYS_COUNT; key++) {
		for (size_t i = 0; i < r->constraints.n; i++)
			if (c[i].key == key)
				put_constraint(b, &c[i], index);
		if (r->effect == POLICY_ALLOW)
			put_unsaid(b, p, key, index);
	}
	rule.n_constraints = b->n_constraints - rule.constraint;
	wbuf_put(out, &rule, sizeof(rule));
}

static struct image_head head_of(struct builder *b)
{
	const struct source *s = b->s;
	const struct src_setting *set = s->settings;
	const char *base = setting_text(s, SETTING_BASE, "safe");

	return (struct image_head){
		.magic = IMAGE_MAGIC,
		.n_rules = (uint32_t)b->picked.n,
		.base = text_at(b, base),
		.ceiling = text_at(
			b, complains(s) ? setting_text(s, SETTING_CEILING, base) : ""),
		.mode = complains(s) ? MODE_COMPLAIN : MODE_ENFORCE,
		.detail = (uint8_t)(is_word(s, SETTING_DETAIL, 2)   ? DETAIL_FULL
				    : is_word(s, SETTING_DETAIL, 1) ? DETAIL_REF
								    : DETAIL_NONE),
		.lock = (uint8_t)set[SETTING_LOCK].number,
		.keep_on_reload = is_word(s, SETTING_ON_RELOAD, 1),
		.keep_on_stop = is_word(s, SETTING_ON_STOP, 1),
		.audit_required = (uint8_t)set[SETTING_REQUIRED].number,
		.audit_interval_ms = set[SETTING_INTERVAL].file
					     ? (uint32_t)set[SETTING_INTERVAL].number
					     : AUDIT_INTERVAL_MS,
		.message_max = set[SETTING_MESSAGE_MAX].number,
		.exec_concurrent = (uint32_t)set[SETTING_EXEC_CONCURRENT].number,
		.handles = (uint32_t)set[SETTING_HANDLES].number,
	};
}

static void put_image(struct builder *b, struct wbuf *out)
{
	CLEANUP(wbuf_free) struct wbuf rules = wbuf_growing(IMAGE_MAX);
	const struct picked *p = b->picked.v;
	struct image_head head;

	text_at(b, ""); /* offset 0 */
	head = head_of(b);
	for (size_t i = 0; p && i < b->picked.n; i++)
		put_rule(b, &p[i], (uint32_t)i, &rules);
	head.n_values = b->n_values;
	head.n_constraints = b->n_constraints;
	head.n_text = (uint32_t)b->text.len;
	head.size = (uint32_t)(sizeof(head) + rules.len + b->values.len +
			       b->constraints.len + b->text.len);
	wbuf_put(out, &head, sizeof(head));
	wbuf_put(out, rules.p, rules.len);
	wbuf_put(out, b->values.p, b->values.len);
	wbuf_put(out, b->constraints.p, b->constraints.len);
	wbuf_put(out, b->text.p, b->text.len);
	b->bad |= rules.bad || b->values.bad || b->constraints.bad || b->text.bad ||
		  out->bad;
}

static void builder_free(struct builder *b)
{
	source_free(b->base);
	source_free(b->ceiling);
	free(b->picked.v);
	free(b->offsets.v);
	wbuf_free(&b->values);
	wbuf_free(&b->constraints);
	wbuf_free(&b->text);
}

static bool check_version(struct source *s)
{
	const struct src_setting *v = &s->settings[SETTING_VERSION];
	const struct place at = {s, v->file, v->line};

	return !v->file || v->number == 1 ||
	       mistake(&at, "version = %llu; accepted: 1", (unsigned long long)v->number);
}

static bool check_interval(struct source *s)
{
	const struct src_setting *v = &s->settings[SETTING_INTERVAL];
	const struct place at = {s, v->file, v->line};

	return !v->file || is_audit_interval(v->number) ||
	       mistake(&at, "interval: accepted are 1s to 1h");
}

int source_build(struct source *s, struct wbuf *out)
{
	CLEANUP(builder_free)
	struct builder b = {
		.s = s,
		.values = wbuf_growing(IMAGE_MAX),
		.constraints = wbuf_growing(IMAGE_MAX),
		.text = wbuf_growing(IMAGE_MAX),
	};
	const struct place nowhere = {s, "", 0};

	check_version(s);
	check_interval(s);
	if (!read_profiles(&b) || s->errors.n || s->broken) {
		if (!s->errors.n)
			mistake(&nowhere, "memory is short");
		return -1;
	}
	if (s->denied)
		pick_lists(&b);
	pick(&b, s, SET_EFFECTIVE, 0);
	pick(&b, b.base, SET_EFFECTIVE, replaced(s));
	if (complains(s))
		pick(&b, b.ceiling, SET_CEILING, 0);
	if (b.picked.n)
		qsort(b.picked.v, b.picked.n, sizeof(struct picked), by_order);
	put_image(&b, out);
	if (!b.bad)
		return 0;
	mistake(&nowhere, "the policy takes more than %d bytes", IMAGE_MAX);
	return -1;
}
