/*
 * ctl/parts.c - the parts of a request, and the values that policies tell apart in each
 *
 * Runs in:   posternctl, tests
 * Input:     policies that were opened
 * May touch: memory of its own
 * Must not:  forget a key that a rule may be held against
 */
#include <string.h>

#include "ctl/draw.h"
#include "ctl/scene.h"
#include "ctl/seen.h"

/* The longest list of keys that is thought of; the most input that the agent takes. */
#define KEYS_MAX  256
#define INPUT_MAX (UINT64_C(48) * 1024 * 1024)
/* Lists that are made of others. */
#define PRODUCT_MAX 4096u

/* What the values of one part are drawn from, and where they go. */
struct drawing {
	struct arena *a;
	const struct policy *const *p;
	uint32_t op;
	struct scene_value *v;
	uint32_t n;
	uint32_t room;
	bool cut;
};

static struct drawing begin(struct arena *a, const struct policy *const p[2], uint32_t op)
{
	return (struct drawing){.a = a, .p = p, .op = op};
}

static bool end(const struct drawing *d, struct scene_value **v, uint32_t *n)
{
	*v = d->v;
	*n = d->n;
	return !d->cut;
}

static void add(struct drawing *d, struct scene_value value)
{
	if (d->n == d->room) {
		uint32_t room = d->room ? 2 * d->room : 16;
		struct scene_value *v = arena_take(d->a, room * sizeof(*v));

		if (v && d->n)
			memcpy(v, d->v, d->n * sizeof(*v));
		if (!v) {
			d->cut = true;
			return;
		}
		d->v = v;
		d->room = room;
	}
	d->v[d->n++] = value;
}

/* ---- constraints of both policies ---- */

/* Walk the constraints of KEY that rules for the operation have; NULL: no more. */
struct walk {
	unsigned int side;
	uint32_t at;
	const struct policy *p; /* whose the constraint is */
};

static const struct image_constraint *next(const struct drawing *d, struct walk *w,
					   enum key key)
{
	for (; w->side < 2; w->side++, w->at = 0) {
		w->p = d->p[w->side];
		while (w->at < w->p->head->n_constraints) {
			const struct image_constraint *c = &w->p->constraints[w->at++];

			if (c->key == key && w->p->rules[c->rule].ops >> d->op & 1)
				return c;
		}
	}
	return NULL;
}

static uint32_t count(const struct drawing *d, enum key key)
{
	struct walk w = {0};
	uint32_t n = 0;

	while (next(d, &w, key))
		n++;
	return n;
}

static struct v_str text_of(const struct walk *w, const struct image_constraint *c,
			    uint32_t i)
{
	const struct image_value *v = &w->p->values[c->value + i];

	return (struct v_str){
		.p = policy_text(w->p, v->text), .len = v->len, .set = true};
}

/* ---- numbers ---- */

static void add_number(struct drawing *d, uint64_t number)
{
	for (uint32_t i = 0; i < d->n; i++)
		if (d->v[i].set && d->v[i].number == number)
			return;
	add(d, (struct scene_value){.number = number, .set = true});
}

/* The bounds that KEY sets, and what lies beside them. False: one is beyond MAX. */
static bool add_bounds(struct drawing *d, enum key key, uint64_t max)
{
	const struct image_constraint *c;
	struct walk w = {0};
	bool all = true;

	while ((c = next(d, &w, key))) {
		uint64_t n = w.p->values[c->value].number;

		all &= n <= max;
		if (n && n <= max)
			add_number(d, n - 1);
		if (n <= max)
			add_number(d, n);
		if (n < max)
			add_number(d, n + 1);
	}
	return all;
}

/* ---- patterns ---- */

struct patterns {
	struct draw_pattern *v;
	uint32_t n;
	uint32_t room;
};

static bool room_for(struct drawing *d, struct patterns *out, const enum key *keys,
		     uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		const struct image_constraint *c;
		struct walk w = {0};

		while ((c = next(d, &w, keys[i])))
			out->room += c->n_values;
	}
	out->v = arena_take(d->a, (out->room + 1) * sizeof(*out->v));
	d->cut |= !out->v;
	return out->v;
}

static bool equal(const struct v_str *a, const struct v_str *b)
{
	return a->len == b->len && !memcmp(a->p, b->p, a->len);
}

/* The index of the pattern; one that is there already is not added. */
static uint32_t add_pattern(struct patterns *out, struct v_str text, bool in_folder)
{
	uint32_t i = 0;

	while (i < out->n &&
	       !(equal(&out->v[i].text, &text) && out->v[i].in_folder == in_folder))
		i++;
	if (i == out->n)
		out->v[out->n++] =
			(struct draw_pattern){.text = text, .in_folder = in_folder};
	return i;
}

/* One behind the other. */
static struct v_str joined(struct drawing *d, struct v_str a, struct v_str b)
{
	char *p = arena_take(d->a, a.len + b.len);

	d->cut |= !p;
	if (!p)
		return (struct v_str){0};
	if (a.len)
		memcpy(p, a.p, a.len);
	if (b.len)
		memcpy(p + a.len, b.p, b.len);
	return (struct v_str){.p = p, .len = a.len + b.len, .set = true};
}

/* How the values of a key are patterns. */
enum reading { AS_PATTERN, AS_LITERAL, AS_DIRECTORY, IN_FOLDER };

static void add_patterns(struct drawing *d, struct patterns *out, enum key key,
			 enum reading how)
{
	const struct image_constraint *c;
	struct walk w = {0};

	while ((c = next(d, &w, key)))
		for (uint32_t i = 0; i < c->n_values; i++) {
			struct v_str t = text_of(&w, c, i);

			while (how == AS_DIRECTORY && t.len && t.p[t.len - 1] == '/')
				t.len--;
			if (how == AS_DIRECTORY || how == AS_LITERAL)
				t = draw_literal(d->a, t.p, t.len,
						 how == AS_LITERAL ? "" : "/**");
			if (t.p)
				add_pattern(out, t, how == IN_FOLDER);
		}
}

static struct drawn_set draw(struct drawing *d, const struct patterns *p,
			     enum draw_form form)
{
	struct drawn_set set;

	d->cut |= !draw_texts(d->a, p->v, p->n, form, &set);
	return set;
}

/* The texts for one or two keys as values. */
static bool draw_key(struct arena *a, const struct policy *const p[2], uint32_t op,
		     enum draw_form form, const enum key keys[2],
		     const enum reading how[2], struct scene_value **v, uint32_t *n)
{
	struct drawing d = begin(a, p, op);
	struct patterns patterns = {0};
	struct drawn_set set = {0};

	if (room_for(&d, &patterns, keys, 2)) {
		for (size_t i = 0; i < 2; i++)
			add_patterns(&d, &patterns, keys[i], how[i]);
		set = draw(&d, &patterns, form);
	}
	for (uint32_t i = 0; i < set.n; i++)
		add(&d, (struct scene_value){.text = set.v[i].text});
	return end(&d, v, n);
}

/* ---- programs ---- */

/*
 * /bin is a link to /usr/bin, so a deny of /bin/sh means /usr/bin/sh as well
 * (policy/object.c).
 */
static void add_behind_usr(struct drawing *d, struct patterns *out)
{
	const struct image_constraint *c;
	struct walk w = {0};

	while ((c = next(d, &w, KEY_EXEC_PATH)))
		for (uint32_t i = 0; i < c->n_values; i++) {
			struct v_str t = text_of(&w, c, i);
			struct v_str usr = t.len && *t.p == '/'
						   ? joined(d, v_str("/usr"), t)
						   : (struct v_str){0};

			if (w.p->rules[c->rule].effect == POLICY_DENY && usr.set)
				add_pattern(out, usr, false);
		}
}

static bool draw_paths(struct drawing *d, struct drawn_set *out)
{
	/* Twice: once more with /usr in front. */
	static const enum key keys[] = {KEY_EXEC_PATH, KEY_EXEC_PATH};
	struct patterns patterns = {0};

	if (!room_for(d, &patterns, keys, 2))
		return false;
	add_patterns(d, &patterns, KEY_EXEC_PATH, AS_PATTERN);
	add_behind_usr(d, &patterns);
	*out = draw(d, &patterns, DRAW_PATH);
	return true;
}

static void add_names(struct drawing *d)
{
	static const enum key keys[] = {KEY_EXEC_PATH, KEY_EXEC_PATH, KEY_EXEC_NAME};
	struct patterns patterns = {0};
	struct drawn_set names;

	if (!room_for(d, &patterns, keys, 3))
		return;
	add_patterns(d, &patterns, KEY_EXEC_PATH, IN_FOLDER);
	add_patterns(d, &patterns, KEY_EXEC_NAME, AS_LITERAL);
	names = draw(d, &patterns, DRAW_PART);
	for (uint32_t i = 0; i < names.n; i++)
		for (size_t k = 0; k < PROGRAM_FOLDERS; k++)
			add(d, (struct scene_value){
				       .text = names.v[i].text,
				       .found = joined(d, v_str(program_folders[k]),
						       names.v[i].text)});
}

static bool draw_program(struct arena *a, const struct policy *const p[2], uint32_t op,
			 struct scene_value **v, uint32_t *n)
{
	/* No pattern can speak of these: a deny holds. */
	static const char *const odd[] = {"/x/../x", "x/x"};
	struct drawing d = begin(a, p, op);
	struct drawn_set paths = {0};

	d.cut |= !draw_paths(&d, &paths);
	for (uint32_t i = 0; i < paths.n; i++)
		add(&d, (struct scene_value){.text = paths.v[i].text,
					     .found = paths.v[i].text});
	add_names(&d);
	for (size_t i = 0; i < ARRAY_SIZE(odd); i++)
		add(&d,
		    (struct scene_value){.text = v_str(odd[i]), .found = v_str("/x")});
	return end(&d, v, n);
}

static void apply_program(struct scene *s, const struct scene_value *v)
{
	struct msg_exec *q = (void *)s->args;

	q->path = v->text;
	s->object.path = v->found;
	s->object.real = v->found;
}

/* ---- arguments ---- */

/* "*" alone is one argument, whatever is in it. */
static struct v_str argument(struct v_str text)
{
	return text.len == 1 && *text.p == '*' ? v_str("**") : text;
}

/* The places of one constraint, whose patterns get their indices in PATTERNS. */
static bool places_of(struct drawing *d, const struct walk *w,
		      const struct image_constraint *c, struct patterns *patterns,
		      struct draw_places *out)
{
	uint32_t *index = arena_take(d->a, (c->n_values + 1) * sizeof(*index));

	out->v = arena_take(d->a, (c->n_values + 1) * sizeof(*out->v));
	if (!index || !out->v)
		return !(d->cut = true);
	for (uint32_t i = 0; i < c->n_values; i++) {
		const struct image_value *v = &w->p->values[c->value + i];
		struct v_str text = text_of(w, c, i);
		struct draw_place *place = out->n ? &out->v[out->n - 1] : NULL;

		if (!place || v->number != v[-1].number) {
			place = &out->v[out->n++];
			place->patterns = &index[i];
		}
		place->rest = text.len == 3 && !memcmp(text.p, "...", 3);
		if (!place->rest) {
			index[i] = add_pattern(patterns, argument(text), false);
			place->n++;
		}
	}
	return true;
}

static bool draw_arguments(struct arena *a, const struct policy *const p[2], uint32_t op,
			   struct scene_value **v, uint32_t *n)
{
	struct drawing d = begin(a, p, op);
	struct patterns patterns = {0};
	struct drawn_set letters, lists = {0};
	struct draw_places *rules;
	const struct image_constraint *c;
	struct walk w = {0};
	uint32_t n_rules;

	rules = arena_take(a, (count(&d, KEY_ARGV) + 1) * sizeof(*rules));
	if (!rules || !room_for(&d, &patterns, (const enum key[]){KEY_ARGV}, 1))
		return false;
	for (n_rules = 0; (c = next(&d, &w, KEY_ARGV)); n_rules++)
		if (!places_of(&d, &w, c, &patterns, &rules[n_rules]))
			return false;
	letters = draw(&d, &patterns, DRAW_TEXT);
	d.cut |= !draw_lists(a, rules, n_rules, &letters, &lists);
	for (uint32_t i = 0; i < lists.n; i++)
		add(&d, (struct scene_value){.list = lists.v[i].list});
	return end(&d, v, n);
}

static void apply_arguments(struct scene *s, const struct scene_value *v)
{
	((struct msg_exec *)(void *)s->args)->arg = v->list;
}

/* ---- lists of which every member must match ---- */

/* A list, and the constraints that hold for all its members: a set by their order. */
struct joint {
	struct v_str *v;
	uint32_t n;
	uint64_t *marks;
};

struct joints {
	struct joint *v;
	uint32_t n;
	uint32_t words;
	struct seen seen;
};

/* OLD, which may be NULL, with MORE behind it, unless another holds for the same. */
static void join(struct drawing *d, struct joints *j, const struct joint *old,
		 struct v_str more, const uint64_t *marks_of_more)
{
	const size_t before = d->a->len;
	uint32_t n = old ? old->n : 0;
	uint64_t *marks = arena_take(d->a, j->words * sizeof(*marks));
	struct v_str *v = arena_take(d->a, (n + 1) * sizeof(*v));

	d->cut |= !marks || !v || j->n == PRODUCT_MAX;
	if (!marks || !v || j->n == PRODUCT_MAX)
		return;
	for (uint32_t i = 0; i < j->words; i++)
		marks[i] = marks_of_more[i] & (old ? old->marks[i] : UINT64_MAX);
	if (seen_before(&j->seen, seen_hash(SEEN_SEED, marks, j->words))) {
		d->a->len = before;
		return;
	}
	if (old)
		memcpy(v, old->v, n * sizeof(*v));
	v[n] = more;
	j->v[j->n++] = (struct joint){.v = v, .n = n + 1, .marks = marks};
}

/* For which constraints of KEY does the text hold: any pattern of each will do. */
static uint64_t *marks_of(struct drawing *d, enum key key, struct patterns *patterns,
			  const struct drawn *text, uint32_t words)
{
	uint64_t *marks = arena_take(d->a, words * sizeof(*marks));
	const struct image_constraint *c;
	struct walk w = {0};

	d->cut |= !marks;
	for (uint32_t n = 0; marks && (c = next(d, &w, key)); n++)
		for (uint32_t i = 0; i < c->n_values; i++)
			if (draw_mark(text,
				      add_pattern(patterns, text_of(&w, c, i), false)))
				marks[n / 64] |= UINT64_C(1) << n % 64;
	return marks;
}

/*
 * Lists for every set of constraints of KEY that can hold for all members. A member is a
 * text with TAIL behind it; a text with one of BAD in it cannot be one.
 */
static struct joints draw_joints(struct drawing *d, enum key key, const char *bad,
				 const char *tail)
{
	struct joints j = {.v = arena_take(d->a, PRODUCT_MAX * sizeof(*j.v)),
			   .words = count(d, key) / 64 + 1};
	struct patterns patterns = {0};
	struct drawn_set set;
	uint32_t singles;

	if (!j.v || !room_for(d, &patterns, &key, 1))
		return j;
	add_patterns(d, &patterns, key, AS_PATTERN);
	set = draw(d, &patterns, DRAW_WORD);
	for (uint32_t i = 0; i < set.n; i++) {
		const struct v_str *t = &set.v[i].text;
		uint64_t *marks = marks_of(d, key, &patterns, &set.v[i], j.words);
		const char *b = bad;

		while (*b && !memchr(t->p, *b, t->len))
			b++;
		if (marks && !*b)
			join(d, &j, NULL, joined(d, *t, v_str(tail)), marks);
	}
	singles = j.n;
	for (uint32_t k = 0; k < j.n; k++)
		for (uint32_t i = 0; i < singles; i++)
			join(d, &j, &j.v[k], j.v[i].v[0], j.v[i].marks);
	seen_free(&j.seen);
	return j;
}

static bool draw_environment(struct arena *a, const struct policy *const p[2],
			     uint32_t op, struct scene_value **v, uint32_t *n)
{
	static struct v_str nameless[] = {{.p = "=x", .len = 2, .set = true}};
	struct drawing d = begin(a, p, op);
	struct joints j = draw_joints(&d, KEY_ENV_ALLOW, "=", "=x");

	add(&d, (struct scene_value){0});
	for (uint32_t i = 0; i < j.n; i++)
		add(&d, (struct scene_value){
				.list = {.v = j.v[i].v, .n = j.v[i].n, .set = true}});
	add(&d, (struct scene_value){.list = {.v = nameless, .n = 1, .set = true}});
	return end(&d, v, n);
}

static void apply_environment(struct scene *s, const struct scene_value *v)
{
	((struct msg_exec *)(void *)s->args)->env = v->list;
}

static bool draw_input(struct arena *a, const struct policy *const p[2], uint32_t op,
		       struct scene_value **v, uint32_t *n)
{
	struct drawing d = begin(a, p, op);

	add(&d, (struct scene_value){0});
	add_number(&d, 0);
	add_number(&d, 1);
	add_bounds(&d, KEY_STDIN_MAX, INPUT_MAX);
	return end(&d, v, n);
}

static void apply_input(struct scene *s, const struct scene_value *v)
{
	((struct msg_exec *)(void *)s->args)->input_data =
		(struct v_bulk){.size = v->number, .set = v->set};
}

/* ---- files ---- */

static bool draw_file(struct arena *a, const struct policy *const p[2], uint32_t op,
		      struct scene_value **v, uint32_t *n)
{
	return draw_key(a, p, op, DRAW_PATH,
			(const enum key[]){KEY_FILE_PATH, KEY_BENEATH},
			(const enum reading[]){AS_PATTERN, AS_DIRECTORY}, v, n);
}

static void apply_file(struct scene *s, const struct scene_value *v)
{
	((struct msg_file_open *)(void *)s->args)->path = v->text;
	s->object.path = v->text;
}

/* How it is opened, whether it is there, how large it is. */
static bool draw_opening(struct arena *a, const struct policy *const p[2], uint32_t op,
			 struct scene_value **v, uint32_t *n)
{
	static const char *const modes[] = {"r", "w", "a", "r+", "w+", "a+"};
	struct drawing sizes = begin(a, p, op), d = begin(a, p, op);

	add_number(&sizes, 0);
	add_bounds(&sizes, KEY_SIZE_MAX, INT64_MAX);
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		for (uint32_t k = 0; k < sizes.n; k++)
			add(&d, (struct scene_value){.text = v_str(modes[i]),
						     .number = sizes.v[k].number,
						     .is = true});
		add(&d, (struct scene_value){.text = v_str(modes[i])});
	}
	return end(&d, v, n) && !sizes.cut;
}

static void apply_opening(struct scene *s, const struct scene_value *v)
{
	((struct msg_file_open *)(void *)s->args)->mode = v->text;
	s->object.exists = v->is;
	s->object.size = v->number;
}

/* The words 0 to LAST. */
static bool draw_words(struct arena *a, const struct policy *const p[2], uint32_t op,
		       uint32_t last, struct scene_value **v, uint32_t *n)
{
	struct drawing d = begin(a, p, op);

	for (uint32_t i = 0; i <= last; i++)
		add(&d, (struct scene_value){.word = i, .is = i, .set = i});
	return end(&d, v, n);
}

static bool draw_type(struct arena *a, const struct policy *const p[2], uint32_t op,
		      struct scene_value **v, uint32_t *n)
{
	return draw_words(a, p, op, OBJECT_DIRECTORY, v, n);
}

static void apply_type(struct scene *s, const struct scene_value *v)
{
	s->object.type = (enum object_type)v->word;
}

static bool draw_links(struct arena *a, const struct policy *const p[2], uint32_t op,
		       struct scene_value **v, uint32_t *n)
{
	return draw_words(a, p, op, LINKS_ANY, v, n);
}

static void apply_links(struct scene *s, const struct scene_value *v)
{
	s->object.links = (enum object_links)v->word;
}

/* ---- mounts ---- */

static bool draw_mount(struct arena *a, const struct policy *const p[2], uint32_t op,
		       struct scene_value **v, uint32_t *n)
{
	return draw_key(a, p, op, DRAW_MOUNT,
			(const enum key[]){KEY_MOUNTPOINT, KEYS_COUNT},
			(const enum reading[]){AS_PATTERN, AS_PATTERN}, v, n);
}

static void apply_mount(struct scene *s, const struct scene_value *v)
{
	s->object.path = v->text;
}

static bool draw_fstype(struct arena *a, const struct policy *const p[2], uint32_t op,
			struct scene_value **v, uint32_t *n)
{
	return draw_key(a, p, op, DRAW_WORD, (const enum key[]){KEY_FSTYPE, KEYS_COUNT},
			(const enum reading[]){AS_PATTERN, AS_PATTERN}, v, n);
}

static void apply_fstype(struct scene *s, const struct scene_value *v)
{
	s->object.fstype = v->text;
}

/* ---- accounts ---- */

static bool draw_account(struct arena *a, const struct policy *const p[2], uint32_t op,
			 struct scene_value **v, uint32_t *n)
{
	return draw_key(a, p, op, DRAW_WORD,
			(const enum key[]){KEY_ACCOUNT, KEY_ACCOUNT_EXCLUDE},
			(const enum reading[]){AS_PATTERN, AS_PATTERN}, v, n);
}

/* It is the first argument of all these commands (policy/request.c). */
_Static_assert(offsetof(struct msg_set_password, username) == 0, "the first");
_Static_assert(offsetof(struct msg_ssh_user, username) == 0, "the first");
_Static_assert(offsetof(struct msg_ssh_add, username) == 0, "the first");
_Static_assert(offsetof(struct msg_ssh_remove, username) == 0, "the first");

static void apply_account(struct scene *s, const struct scene_value *v)
{
	((struct msg_ssh_user *)(void *)s->args)->username = v->text;
}

static bool draw_uid(struct arena *a, const struct policy *const p[2], uint32_t op,
		     struct scene_value **v, uint32_t *n)
{
	struct drawing d = begin(a, p, op);

	add_number(&d, 1000);
	add_number(&d, 0);
	add_bounds(&d, KEY_UID_MIN, UINT32_MAX);
	return end(&d, v, n);
}

static void apply_uid(struct scene *s, const struct scene_value *v)
{
	s->object.uid = (uint32_t)v->number;
}

/* Yes or no. */
static bool draw_switch(struct arena *a, const struct policy *const p[2], uint32_t op,
			struct scene_value **v, uint32_t *n)
{
	return draw_words(a, p, op, 1, v, n);
}

static void apply_crypted(struct scene *s, const struct scene_value *v)
{
	((struct msg_set_password *)(void *)s->args)->crypted = V_BOOL(v->is);
}

static void apply_empty(struct scene *s, const struct scene_value *v)
{
	((struct msg_set_password *)(void *)s->args)->password.len = !v->is;
}

/* COUNT keys: those of J, the last of them as often as it takes. */
static void add_keys(struct drawing *d, const struct joint *j, uint64_t count)
{
	struct v_str *v = arena_take(d->a, (count + 1) * sizeof(*v));

	d->cut |= !v;
	if (!v)
		return;
	for (uint64_t i = 0; i < count; i++)
		v[i] = j->v[i < j->n ? i : j->n - 1];
	add(d, (struct scene_value){.list = {.v = v, .n = (uint32_t)count, .set = true}});
}

static bool draw_keys(struct arena *a, const struct policy *const p[2], uint32_t op,
		      struct scene_value **v, uint32_t *n)
{
	static struct v_str lines[] = {{.p = "x x\nx x", .len = 7, .set = true}};
	struct drawing counts = begin(a, p, op), d = begin(a, p, op);
	struct joints j = draw_joints(&d, KEY_KEY_TYPES, " \n", " AAAA");

	add(&d, (struct scene_value){.list = {.set = true}});
	d.cut |= !add_bounds(&counts, KEY_KEYS_MAX, KEYS_MAX);
	for (uint32_t i = 0; i < j.n; i++) {
		add_keys(&d, &j.v[i], j.v[i].n);
		for (uint32_t k = 0; k < counts.n; k++)
			if (counts.v[k].number > j.v[i].n)
				add_keys(&d, &j.v[i], counts.v[k].number);
	}
	add(&d, (struct scene_value){.list = {.v = lines, .n = 1, .set = true}});
	return end(&d, v, n) && !counts.cut;
}

static void apply_keys(struct scene *s, const struct scene_value *v)
{
	((struct msg_ssh_add *)(void *)s->args)->keys = v->list;
}

static void apply_reset(struct scene *s, const struct scene_value *v)
{
	((struct msg_ssh_add *)(void *)s->args)->reset =
		(struct v_bool){.v = v->is, .set = v->is};
}

/* ---- time, CPUs, memory, power ---- */

static void apply_time(struct scene *s, const struct scene_value *v)
{
	((struct msg_set_time *)(void *)s->args)->time =
		(struct v_int){.v = INT64_C(1700000000000000000), .set = !v->is};
}

/* Steps forward and back, in nanoseconds, as their number. */
static bool draw_step(struct arena *a, const struct policy *const p[2], uint32_t op,
		      struct scene_value **v, uint32_t *n)
{
	struct drawing d = begin(a, p, op);
	const struct image_constraint *c;
	struct walk w = {0};

	add_number(&d, 0);
	add_number(&d, (uint64_t)-1);
	add_number(&d, 1);
	while ((c = next(&d, &w, KEY_MAX_STEP))) {
		uint64_t ns = w.p->values[c->value].number;

		/* What 64 bits of nanoseconds cannot reach bounds nothing. */
		if (__builtin_mul_overflow(ns, 1000000, &ns) || ns >= INT64_MAX)
			continue;
		add_number(&d, ns);
		add_number(&d, ns + 1);
		add_number(&d, -ns);
		add_number(&d, -ns - 1);
	}
	return end(&d, v, n);
}

static void apply_step(struct scene *s, const struct scene_value *v)
{
	s->object.step = (int64_t)v->number;
}

static void apply_vcpus(struct scene *s, const struct scene_value *v)
{
	s->cpu.online = V_BOOL(!v->is);
	((struct msg_set_vcpus *)(void *)s->args)->vcpus =
		(struct v_list){.v = &s->cpu, .n = 1, .set = true};
}

static void apply_blocks(struct scene *s, const struct scene_value *v)
{
	s->block.online = V_BOOL(!v->is);
	((struct msg_set_memory_blocks *)(void *)s->args)->mem_blks =
		(struct v_list){.v = &s->block, .n = 1, .set = true};
}

static bool draw_left(struct arena *a, const struct policy *const p[2], uint32_t op,
		      struct scene_value **v, uint32_t *n)
{
	struct drawing d = begin(a, p, op);

	add_number(&d, UINT64_MAX);
	add_number(&d, 0);
	add_bounds(&d, op == OP_set_vcpus ? KEY_ONLINE_MIN : KEY_MEMORY_MIN, INT64_MAX);
	return end(&d, v, n);
}

static void apply_left(struct scene *s, const struct scene_value *v)
{
	s->object.left = v->number;
}

static bool draw_mode(struct arena *a, const struct policy *const p[2], uint32_t op,
		      struct scene_value **v, uint32_t *n)
{
	static const char *const modes[] = {"powerdown", "halt", "reboot"};
	struct drawing d = begin(a, p, op);

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
		add(&d, (struct scene_value){.text = v_str(modes[i])});
	return end(&d, v, n);
}

static void apply_mode(struct scene *s, const struct scene_value *v)
{
	((struct msg_shutdown *)(void *)s->args)->mode = v->text;
}

/* ---- the table ---- */

#define ACCOUNTS                                                           \
	(OPS_OF_1(set_user_password) | OPS_OF_1(ssh_get_authorized_keys) | \
	 OPS_OF_1(ssh_add_authorized_keys) | OPS_OF_1(ssh_remove_authorized_keys))
#define MOUNTS \
	(OPS_OF_1(fsfreeze_freeze) | OPS_OF_1(fsfreeze_freeze_list) | OPS_OF_1(fstrim))
#define KEYS_1(a)    {KEY_##a}, 1
#define KEYS_2(a, b) {KEY_##a, KEY_##b}, 2

/* What matches most selectively comes first, so that little is left to combine. */
static const struct scene_part parts[] = {
	{OPS_OF_1(exec), KEYS_2(EXEC_NAME, EXEC_PATH), true, false, draw_program,
	 apply_program},
	{OPS_OF_1(exec), KEYS_1(ARGV), false, false, draw_arguments, apply_arguments},
	{OPS_OF_1(exec), KEYS_1(ENV_ALLOW), false, false, draw_environment,
	 apply_environment},
	{OPS_OF_1(exec), KEYS_2(STDIN, STDIN_MAX), false, false, draw_input, apply_input},
	{OPS_OF_1(file_open), KEYS_2(FILE_PATH, BENEATH), true, false, draw_file,
	 apply_file},
	{OPS_OF_1(file_open), KEYS_2(OPEN_MODE, SIZE_MAX), true, false, draw_opening,
	 apply_opening},
	{OPS_OF_1(file_open), KEYS_1(FILE_TYPE), true, false, draw_type, apply_type},
	{OPS_OF_1(file_open), KEYS_1(SYMLINKS), true, false, draw_links, apply_links},
	{MOUNTS, KEYS_1(MOUNTPOINT), true, false, draw_mount, apply_mount},
	{MOUNTS, KEYS_1(FSTYPE), true, false, draw_fstype, apply_fstype},
	{ACCOUNTS, KEYS_2(ACCOUNT, ACCOUNT_EXCLUDE), false, false, draw_account,
	 apply_account},
	{ACCOUNTS, KEYS_1(UID_MIN), true, false, draw_uid, apply_uid},
	{OPS_OF_1(set_user_password), KEYS_1(CRYPTED), false, false, draw_switch,
	 apply_crypted},
	{OPS_OF_1(set_user_password), KEYS_1(EMPTY), false, false, draw_switch,
	 apply_empty},
	{OPS_OF_1(ssh_add_authorized_keys), KEYS_2(KEY_TYPES, KEYS_MAX), false, false,
	 draw_keys, apply_keys},
	{OPS_OF_1(ssh_add_authorized_keys), KEYS_1(RESET), false, false, draw_switch,
	 apply_reset},
	{OPS_OF_1(set_time), KEYS_1(FROM_RTC), false, false, draw_switch, apply_time},
	{OPS_OF_1(set_time), KEYS_2(MAX_STEP, BACKWARDS), true, true, draw_step,
	 apply_step},
	{OPS_OF_1(set_vcpus), KEYS_1(OFFLINE), false, false, draw_switch, apply_vcpus},
	{OPS_OF_1(set_memory_blocks), KEYS_1(OFFLINE), false, false, draw_switch,
	 apply_blocks},
	{OPS_OF_1(set_vcpus) | OPS_OF_1(set_memory_blocks),
	 KEYS_2(ONLINE_MIN, MEMORY_MIN), true, true, draw_left, apply_left},
	{OPS_OF_1(shutdown), KEYS_1(MODES), false, false, draw_mode, apply_mode},
};

uint32_t scene_parts(uint32_t op, bool has_object,
		     const struct scene_part *out[SCENE_PARTS_MAX])
{
	uint32_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(parts) && n < SCENE_PARTS_MAX; i++)
		if (parts[i].ops >> op & 1 && (has_object || !parts[i].of_object))
			out[n++] = &parts[i];
	return n;
}
