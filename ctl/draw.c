/*
 * ctl/draw.c - texts drawn from patterns: one for every set of them that a text can match
 *
 * Runs in:   posternctl, tests
 * Input:     patterns of a policy, which were checked
 * May touch: memory of its own
 * Must not:  differ from run to run, take longer than its bounds say
 *
 * All patterns together are one machine. Its places are their elements, each with the
 * letters that it takes, and an end behind each pattern. A state is the places that a
 * text can have led to; from the state of the empty text every other is reached by one
 * letter more. States met before are not gone through again, so there are finitely many,
 * and mostly few; the patterns that end in a state are those that its text matches.
 */
#include "ctl/draw.h"

#include <string.h>

#include "ctl/seen.h"
#include "ipc/jsonw.h"
#include "policy/pattern.h"
#include "policy/policy.h"

/* States that are gone through, places in all of them, and steps: a part of a second. */
#define STATES_MAX 50000u
#define ITEMS_MAX  (2u * 1024 * 1024)
#define STEPS_MAX  (8u * 1000 * 1000)
#define BUCKETS    (1u << 14)
/* Texts that are found. */
#define FOUND_MAX 4096u

struct place {
	uint64_t *takes; /* letters; NULL: the end of a pattern */
	uint32_t pattern;
	bool many;
	bool no_option; /* of a pattern that a leading "-" must not match */
};

/* Where a text is in its form. */
enum at { AT_NOTHING, AT_SLASH, AT_IN, AT_DOT, AT_DOTS, AT_ROOT, AT_WRONG };

struct state {
	uint32_t first; /* index of its places */
	uint32_t n;
	uint32_t from;   /* the state before its last letter */
	uint32_t letter; /* which that was */
	uint32_t length; /* letters in all */
	uint32_t chain;  /* the next in its bucket, and one */
	enum at at;
};

struct machine {
	struct arena *a;
	enum draw_form form;
	bool texts;         /* letters are bytes */
	uint8_t bytes[256]; /* which */
	uint32_t n_letters;
	uint32_t words; /* of a set of letters */
	uint32_t n_patterns;
	struct place *places;
	uint32_t n_places;
	struct state *states;
	uint32_t n_states;
	uint32_t states_room;
	uint32_t *items;
	uint32_t n_items;
	uint32_t items_room;
	uint32_t *buckets;
	uint64_t steps;
	struct seen seen; /* sets of patterns that have a text */
	struct drawn_set *out;
	uint32_t out_room;
	bool cut;
};

/* ---- the form of a text ---- */

static enum at part_next(enum at at, uint8_t c)
{
	if (c != '.' || at == AT_IN || at == AT_DOTS)
		return AT_IN;
	return at == AT_DOT ? AT_DOTS : AT_DOT;
}

static enum at form_next(enum draw_form form, enum at at, uint8_t c)
{
	if (form == DRAW_TEXT || form == DRAW_WORD)
		return AT_IN;
	if (c != '/')
		return at == AT_NOTHING ? AT_WRONG : part_next(at, c);
	if (form == DRAW_PART)
		return AT_WRONG;
	if (at == AT_NOTHING)
		return AT_ROOT;
	return at == AT_IN ? AT_SLASH : AT_WRONG;
}

static enum at form_start(enum draw_form form)
{
	if (form == DRAW_TEXT)
		return AT_IN;
	return form == DRAW_PART ? AT_SLASH : AT_NOTHING;
}

static bool form_ends(enum draw_form form, enum at at)
{
	return at == AT_IN || (form == DRAW_MOUNT && at == AT_ROOT);
}

/* ---- letters ---- */

static bool takes(const struct place *p, uint32_t letter)
{
	return p->takes && p->takes[letter / 64] >> letter % 64 & 1;
}

/* Does every place take both bytes or neither? Their sets are by byte so far. */
static bool are_alike(const struct machine *m, uint8_t x, uint8_t y)
{
	for (uint32_t i = 0; i < m->n_places; i++)
		if (takes(&m->places[i], x) != takes(&m->places[i], y))
			return false;
	return true;
}

static void add_letter(struct machine *m, uint8_t c)
{
	/* These mean something to more than patterns. */
	for (uint32_t i = 0; i < m->n_letters && !strchr("/-.=", c); i++)
		if (!strchr("/-.=", m->bytes[i]) && are_alike(m, m->bytes[i], c))
			return;
	m->bytes[m->n_letters++] = c;
}

/* Is it a byte that some pattern has as itself? */
static bool is_written(const struct machine *m, uint8_t c)
{
	for (uint32_t i = 0; i < m->n_places; i++) {
		const struct place *p = &m->places[i];
		unsigned int n = 0;

		for (unsigned int k = 0; p->takes && k < 4; k++)
			n += (unsigned int)__builtin_popcountll(p->takes[k]);
		if (n == 1 && takes(p, c))
			return true;
	}
	return false;
}

/* One byte of all that no pattern tells apart, the plainest; others only if written. */
static void choose_letters(struct machine *m)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz0123456789"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ/-._=:,+@%";

	for (const char *c = plain; *c; c++)
		add_letter(m, (uint8_t)*c);
	for (unsigned int c = 0x20; c < 0x7f; c++)
		if (!strchr(plain, (int)c))
			add_letter(m, (uint8_t)c);
	for (unsigned int c = 1; c < 256; c++)
		if ((c < 0x20 || c >= 0x7f) && is_written(m, (uint8_t)c))
			add_letter(m, (uint8_t)c);
}

/* ---- places ---- */

static struct place *add_place(struct machine *m, uint32_t pattern)
{
	struct place *p = &m->places[m->n_places++];

	*p = (struct place){.pattern = pattern};
	return p;
}

static bool add_pattern(struct machine *m, const struct draw_pattern *in,
			uint32_t pattern)
{
	const char *p = in->text.p, *end = p + in->text.len;
	struct pattern_element e;
	bool first = true, wild = false;

	while (pattern_element(&p, end, &e)) {
		struct place *place = add_place(m, pattern);

		place->takes = arena_take(m->a, sizeof(e.bytes));
		if (!place->takes)
			return false;
		memcpy(place->takes, e.bytes, sizeof(e.bytes));
		place->many = e.many;
		if (first)
			wild = *in->text.p == '*' || *in->text.p == '?' ||
			       *in->text.p == '[';
		place->no_option = wild && !in->in_folder;
		first = false;
	}
	add_place(m, pattern)->no_option = wild && !in->in_folder;
	return true;
}

/* ---- states ---- */

/* Add PLACE, and what is reached from it without a letter, to the N places at ITEMS. */
static void reach(const struct machine *m, uint32_t *items, uint32_t *n, uint32_t place)
{
	uint32_t at = *n;

	/* They come nearly in order. */
	while (at && items[at - 1] > place)
		at--;
	if (!at || items[at - 1] != place) {
		memmove(&items[at + 1], &items[at], (*n - at) * sizeof(*items));
		items[at] = place;
		++*n;
	}
	if (m->places[place].many)
		reach(m, items, n, place + 1);
}

/* Room for N elements of SIZE bytes at *P, and then some; no more than MAX. */
static bool have_room(void *p, uint32_t *room, uint32_t n, size_t size, uint32_t max)
{
	uint32_t more = *room ? *room : 256;
	void *grown;

	if (n <= *room)
		return true;
	while (more < n)
		more *= 2;
	grown = n > max ? NULL : reallocarray(*(void **)p, more, size);
	if (!grown)
		return false;
	*(void **)p = grown;
	*room = more;
	return true;
}

static bool is_same(const struct machine *m, const struct state *a, const struct state *b)
{
	return a->at == b->at && a->n == b->n &&
	       !memcmp(&m->items[a->first], &m->items[b->first],
		       a->n * sizeof(*m->items));
}

static uint32_t bucket_of(const struct machine *m, const struct state *s)
{
	uint64_t h = s->at + 0xcbf29ce484222325ull;

	for (uint32_t i = 0; i < s->n; i++)
		h = (h ^ m->items[s->first + i]) * 0x100000001b3ull;
	return (uint32_t)(h ^ h >> 32) % BUCKETS;
}

/* Keep S, whose places are the last ones, unless it was met before. */
static void keep_state(struct machine *m, struct state *s)
{
	uint32_t *bucket = &m->buckets[bucket_of(m, s)];

	for (uint32_t i = *bucket; i; i = m->states[i - 1].chain)
		if (is_same(m, &m->states[i - 1], s))
			return;
	if (!have_room(&m->states, &m->states_room, m->n_states + 1, sizeof(*m->states),
		       STATES_MAX)) {
		m->cut = true;
		return;
	}
	s->chain = *bucket;
	m->n_items += s->n;
	m->states[m->n_states++] = *s;
	*bucket = m->n_states;
}

/* N places more at the end of all. */
static bool have_items(struct machine *m, uint32_t n)
{
	return have_room(&m->items, &m->items_room, m->n_items + n, sizeof(*m->items),
			 ITEMS_MAX);
}

static void follow(struct machine *m, uint32_t from, uint32_t letter)
{
	const struct state s = m->states[from];
	struct state n = {.first = m->n_items,
			  .from = from,
			  .letter = letter,
			  .length = s.length + 1};
	bool option = m->texts && !s.length && m->bytes[letter] == '-';

	n.at = m->texts ? form_next(m->form, s.at, m->bytes[letter]) : AT_IN;
	if (n.at == AT_WRONG)
		return;
	m->steps += s.n + 1;
	/* A place leads to itself or the next, and past a star. */
	if (!have_items(m, 3 * s.n + 1) || m->steps > STEPS_MAX) {
		m->cut = true;
		return;
	}
	for (uint32_t i = 0; i < s.n; i++) {
		const uint32_t item = m->items[s.first + i];
		const struct place *p = &m->places[item];

		if (takes(p, letter) && !(option && p->no_option))
			reach(m, &m->items[n.first], &n.n, item + !p->many);
	}
	keep_state(m, &n);
}

/* ---- what is found ---- */

static void put_letters(const struct machine *m, const struct state *s, void *out,
			const struct drawn_set *letters)
{
	uint8_t *bytes = out;
	struct v_str *texts = out;

	for (uint32_t i = s->length; i; i--, s = &m->states[s->from]) {
		if (m->texts)
			bytes[i - 1] = m->bytes[s->letter];
		else
			texts[i - 1] = letters->v[s->letter].text;
	}
}

static bool is_text(const uint8_t *p, size_t len)
{
	uint32_t cp;
	size_t n;

	for (; len; p += n, len -= n) {
		n = utf8_next(p, len, &cp);
		if (!n)
			return false;
	}
	return true;
}

static bool grow(struct machine *m)
{
	uint32_t room = m->out_room ? 2 * m->out_room : 64;
	struct drawn *v = arena_take(m->a, room * sizeof(*v));

	if (v && m->out->n)
		memcpy(v, m->out->v, m->out->n * sizeof(*v));
	if (!v)
		return false;
	m->out->v = v;
	m->out_room = room;
	return true;
}

/* The patterns that end in S. */
static void put_marks(const struct machine *m, const struct state *s, uint64_t *marks)
{
	for (uint32_t i = 0; i < s->n; i++) {
		const struct place *p = &m->places[m->items[s->first + i]];

		if (!p->takes)
			marks[p->pattern / 64] |= UINT64_C(1) << p->pattern % 64;
	}
}

/* The text of S, if it is the first that matches just these patterns. */
static bool find(struct machine *m, const struct state *s,
		 const struct drawn_set *letters)
{
	const size_t size = m->texts ? 1 : sizeof(struct v_str), before = m->a->len;
	const uint32_t words = m->n_patterns / 64 + 1;
	uint64_t *marks = arena_take(m->a, words * sizeof(*marks));
	void *text = arena_take(m->a, s->length * size + 1);

	if (!marks || !text)
		return false;
	put_marks(m, s, marks);
	put_letters(m, s, text, letters);
	if ((m->texts && !is_text(text, s->length)) ||
	    seen_before(&m->seen, seen_hash(SEEN_SEED, marks, words))) {
		m->a->len = before;
		return true;
	}
	if (m->out->n == FOUND_MAX || (m->out->n == m->out_room && !grow(m)))
		return false;
	m->out->v[m->out->n++] = (struct drawn){
		.text = {.p = text, .len = m->texts ? s->length : 0, .set = true},
		.list = {.v = text, .n = m->texts ? 0 : s->length, .set = true},
		.marks = marks,
	};
	return true;
}

/* ---- going through it ---- */

static void machine_free(struct machine *m)
{
	free(m->places);
	free(m->states);
	free(m->items);
	free(m->buckets);
	seen_free(&m->seen);
}

static bool machine_init(struct machine *m, uint32_t places)
{
	m->places = calloc(places + 1, sizeof(*m->places));
	m->buckets = calloc(BUCKETS, sizeof(*m->buckets));
	/* The first state may have all places. */
	return m->places && m->buckets && have_items(m, places + 1);
}

static bool run(struct machine *m, struct state *start, const struct drawn_set *letters)
{
	start->at = m->texts ? form_start(m->form) : AT_IN;
	keep_state(m, start);
	for (uint32_t i = 0; i < m->n_states; i++) {
		const struct state s = m->states[i];

		if ((!m->texts || form_ends(m->form, s.at)) && !find(m, &s, letters))
			return false;
		for (uint32_t letter = 0; letter < m->n_letters && !m->cut; letter++)
			follow(m, i, letter);
	}
	return !m->cut;
}

/* Where PATTERN is behind FOLDER, from its first place on. */
static void start_in(struct machine *m, struct state *start, uint32_t first,
		     const char *folder)
{
	uint32_t places[PATTERN_TAIL_MAX + 8192], next[ARRAY_SIZE(places)];
	uint32_t n = 0;

	reach(m, places, &n, first);
	for (; *folder; folder++) {
		uint32_t n_next = 0;

		for (uint32_t i = 0; i < n; i++) {
			const struct place *p = &m->places[places[i]];

			if (takes(p, (uint8_t)*folder))
				reach(m, next, &n_next, places[i] + !p->many);
		}
		n = n_next;
		memcpy(places, next, n * sizeof(*places));
	}
	for (uint32_t i = 0; i < n; i++)
		reach(m, &m->items[start->first], &start->n, places[i]);
}

/* The sets of places by byte become sets by letter. */
static void to_letters(struct machine *m)
{
	for (uint32_t i = 0; i < m->n_places; i++) {
		uint64_t set[4] = {0};

		for (uint32_t k = 0; k < m->n_letters; k++)
			if (takes(&m->places[i], m->bytes[k]))
				set[k / 64] |= UINT64_C(1) << k % 64;
		if (m->places[i].takes)
			memcpy(m->places[i].takes, set, sizeof(set));
	}
}

bool draw_texts(struct arena *a, const struct draw_pattern *patterns, uint32_t n,
		enum draw_form form, struct drawn_set *out)
{
	CLEANUP(machine_free)
	struct machine m = {
		.a = a, .form = form, .texts = true, .n_patterns = n, .out = out};
	CLEANUP(free_p) uint32_t *first = calloc(n + 1, sizeof(*first));
	struct state start = {0};
	uint32_t places = 0;

	*out = (struct drawn_set){0};
	for (uint32_t i = 0; i < n; i++)
		places += patterns[i].text.len + 1;
	if (!first || !machine_init(&m, places))
		return false;
	for (uint32_t i = 0; i < n; i++) {
		first[i] = m.n_places;
		if (!add_pattern(&m, &patterns[i], i))
			return false;
	}
	for (uint32_t i = 0; i < n; i++)
		for (size_t k = 0; k < PROGRAM_FOLDERS; k++)
			if (patterns[i].in_folder || !k)
				start_in(&m, &start, first[i],
					 patterns[i].in_folder ? program_folders[k] : "");
	choose_letters(&m);
	to_letters(&m);
	return run(&m, &start, NULL);
}

/* ---- lists ---- */

static bool add_rule(struct machine *m, const struct draw_places *rule, uint32_t index,
		     const struct drawn_set *letters)
{
	for (uint32_t i = 0; i < rule->n; i++) {
		const struct draw_place *in = &rule->v[i];
		struct place *p = add_place(m, index);

		p->takes = arena_take(m->a, m->words * sizeof(*p->takes));
		if (!p->takes)
			return false;
		p->many = in->rest;
		for (uint32_t k = 0; k < letters->n; k++) {
			bool is = in->rest;

			for (uint32_t l = 0; l < in->n; l++)
				is = is || draw_mark(&letters->v[k], in->patterns[l]);
			if (is)
				p->takes[k / 64] |= UINT64_C(1) << k % 64;
		}
	}
	add_place(m, index);
	return true;
}

bool draw_lists(struct arena *a, const struct draw_places *rules, uint32_t n,
		const struct drawn_set *letters, struct drawn_set *out)
{
	CLEANUP(machine_free)
	struct machine m = {.a = a,
			    .n_patterns = n,
			    .n_letters = letters->n,
			    .words = letters->n / 64 + 1,
			    .out = out};
	struct state start = {0};
	uint32_t places = 0;

	*out = (struct drawn_set){0};
	for (uint32_t i = 0; i < n; i++)
		places += rules[i].n + 1;
	if (!machine_init(&m, places))
		return false;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t first = m.n_places;

		if (!add_rule(&m, &rules[i], i, letters))
			return false;
		reach(&m, m.items, &start.n, first);
	}
	return run(&m, &start, letters);
}

struct v_str draw_literal(struct arena *a, const char *text, size_t len, const char *tail)
{
	char *p = arena_take(a, 2 * len + strlen(tail) + 1);
	struct v_str s = {.p = p, .set = true};

	for (size_t i = 0; p && i < len; i++) {
		if (strchr("\\*?[", text[i]))
			p[s.len++] = '\\';
		p[s.len++] = text[i];
	}
	for (; p && *tail; tail++)
		p[s.len++] = *tail;
	return s;
}
