/*
 * policy/value.c - values of the policy language, by their type
 *
 * Runs in:   reader, posternctl
 * Input:     the text behind a "=": any bytes but control bytes
 * May touch: memory of its own
 * Must not:  accept what it would read otherwise than its author meant it
 */
#include <string.h>

#include "policy/pattern.h"
#include "policy/source_impl.h"

/* One element as it stands in the text, trimmed. */
struct element {
	const char *p;
	size_t len;
	bool quoted; /* P and LEN are what stood between the quotes, taken apart */
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static void trim(const char **p, const char **end)
{
	while (*p < *end && is_blank(**p))
		++*p;
	while (*p < *end && is_blank((*end)[-1]))
		--*end;
}

/* ---- splitting ---- */

/* Behind the quoted text that begins at P; NULL: it does not end. */
static const char *quoted_end(const char *p, const char *end)
{
	for (p++; p < end && *p != '"'; p++)
		if (*p == '\\' && p + 1 < end)
			p++;
	return p < end ? p + 1 : NULL;
}

/* The " ; " from P on, or END. Quotes are passed over only where an element begins. */
static const char *separator(const char *p, const char *end)
{
	const char *start = p;

	if (p < end && *p == '"' && quoted_end(p, end))
		p = quoted_end(p, end);
	for (; p < end; p++)
		if (*p == ';' && (p == start || is_blank(p[-1])) &&
		    (p + 1 == end || is_blank(p[1])))
			return p;
	return end;
}

/* What stands between quotes, with \" and \\ taken apart. */
static bool unquote(const struct place *at, struct element *e)
{
	const char *p = e->p + 1, *end = quoted_end(e->p, e->p + e->len);
	char text[SOURCE_LINE_MAX];
	size_t len = 0;

	if (!end)
		return mistake(at,
			       "a '\"' without its second; inside, write \\\" for it");
	if (end != e->p + e->len)
		return mistake(at, "text behind the closing '\"'; elements of a list are "
				   "separated by ' ; '");
	for (; p < end - 1; p++) {
		if (*p == '\\') {
			p++;
			if (*p != '"' && *p != '\\')
				return mistake(at,
					       "'\\%c' between quotes; accepted are "
					       "\\\" and \\\\",
					       *p);
		}
		text[len++] = *p;
	}
	*e = (struct element){
		.p = source_keep(at->s, text, len), .len = len, .quoted = true};
	return true;
}

typedef bool element_fn(const struct place *at, const struct element *e, void *arg);

/* Call EACH with every element of the list. */
static bool each_element(const struct place *at, const char *p, const char *end,
			 element_fn *each, void *arg)
{
	bool good = true;

	trim(&p, &end);
	while (p <= end) {
		const char *stop, *last;
		struct element e;

		/* A quote in first place counts, and before that there are blanks. */
		while (p < end && is_blank(*p))
			p++;
		last = stop = separator(p, end);
		trim(&p, &last);
		e = (struct element){.p = p, .len = (size_t)(last - p)};
		if (!e.len)
			good = mistake(at,
				       "an empty element; write \"\" if that is meant");
		else if (*e.p == '"' ? unquote(at, &e) : true)
			good &= each(at, &e, arg);
		else
			good = false;
		p = stop + 1;
		if (stop == end)
			break;
		if (p == end)
			return mistake(at, "a ' ; ' with nothing behind it");
	}
	return good;
}

/* ---- numbers ---- */

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit sizes[] = {
	{"", 1}, {"K", 1ull << 10}, {"M", 1ull << 20}, {"G", 1ull << 30}, {NULL, 0}};
static const struct unit times[] = {{"", 1000},      {"ms", 1},      {"s", 1000},
				    {"m", 60000},    {"min", 60000}, {"h", 3600000},
				    {"d", 86400000}, {NULL, 0}};
static const struct unit counts[] = {{"", 1}, {NULL, 0}};

/* Digits, a blank at will, one of UNITS. */
static bool number_of(const char *p, size_t len, unsigned int base,
		      const struct unit *units, uint64_t *out)
{
	const char *end = p + len;
	uint64_t n = 0;
	bool digits = false;

	for (; p < end && *p >= '0' && *p < (char)('0' + base); p++, digits = true)
		if (__builtin_mul_overflow(n, base, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(*p - '0'), &n))
			return false;
	if (digits && p < end && is_blank(*p))
		p++;
	for (; units->name; units++)
		if (strlen(units->name) == (size_t)(end - p) &&
		    !memcmp(units->name, p, (size_t)(end - p)))
			return digits && !__builtin_mul_overflow(n, units->factor, out);
	return false;
}

static bool word_of(const char *words, const char *p, size_t len, uint64_t *out)
{
	unsigned int bit = 0;

	for (const char *w = words; w && *w; bit++) {
		size_t n = strcspn(w, " ");

		if (n == len && !memcmp(w, p, len)) {
			*out = UINT64_C(1) << bit;
			return true;
		}
		w += n + (w[n] == ' ');
	}
	return false;
}

/* ---- by type ---- */

struct target {
	const char *key;
	enum key_type type;
	const char *words;
	struct list *values;
	uint64_t position; /* of TYPE_ARGV */
	struct source *s;
};

static bool put(struct target *t, const char *p, size_t len, uint64_t number)
{
	struct src_value *v = grow(t->values, sizeof(*v));

	/* A value that is lost must not leave a rule that is wider. */
	if (!v)
		return !(t->s->broken = true);
	*v = (struct src_value){
		.text = source_keep(t->s, p, len), .len = len, .number = number};
	return true;
}

static bool put_pattern(void *arg, const char *p, size_t len)
{
	struct target *t = arg;

	/* Quoted or out of a group, it is an argument of three dots. */
	if (t->type == TYPE_ARGV && len == 3 && !memcmp(p, "...", 3))
		return put(t, "\\...", 4, t->position);
	return put(t, p, len, t->position);
}

static bool check_pattern(void *arg, const char *p, size_t len)
{
	const char **wrong = arg;

	if (!*wrong)
		*wrong = pattern_check(p, len);
	return true;
}

/* A literal as the pattern that matches it alone. */
static bool put_literal(struct target *t, const struct element *e)
{
	char text[2 * SOURCE_LINE_MAX];
	size_t len = 0;

	for (size_t i = 0; i < e->len; i++) {
		if (strchr("\\*?[", e->p[i]))
			text[len++] = '\\';
		text[len++] = e->p[i];
	}
	return put_pattern(t, text, len);
}

static bool element_pattern(const struct place *at, const struct element *e, void *arg)
{
	struct target *t = arg;
	const char *wrong, *bad = NULL;

	if (e->quoted)
		return put_literal(t, e);
	wrong = pattern_expand(e->p, e->len, check_pattern, &bad);
	if (!wrong)
		wrong = bad;
	if (!wrong)
		wrong = pattern_expand(e->p, e->len, put_pattern, t);
	if (wrong)
		return mistake(at, "%s: pattern '%.*s': %s", t->key, (int)e->len, e->p,
			       wrong);
	return true;
}

static bool element_argument(const struct place *at, const struct element *e, void *arg)
{
	struct target *t = arg;
	const struct src_value *v = t->values->v;

	if (t->values->n && streq(v[t->values->n - 1].text, "..."))
		return mistake(at,
			       "%s: '...' stands for the rest, so nothing may follow it",
			       t->key);
	t->position = t->values->n ? v[t->values->n - 1].number + 1 : 0;
	if (!e->quoted && e->len == 3 && !memcmp(e->p, "...", 3))
		return put(t, "...", 3, t->position);
	return element_pattern(at, e, arg);
}

static bool element_text(const struct place *at, const struct element *e, void *arg)
{
	(void)at;
	return put(arg, e->p, e->len, 0);
}

static bool element_word(const struct place *at, const struct element *e, void *arg)
{
	struct target *t = arg;
	struct src_value *v = t->values->v;
	uint64_t bit;

	if (!word_of(t->words, e->p, e->len, &bit))
		return mistake(at, "%s: unknown value '%.*s'; accepted: %s", t->key,
			       (int)e->len, e->p, t->words);
	if (!t->values->n)
		return put(t, "", 0, bit);
	v->number |= bit;
	return true;
}

static bool element_yes_no(const struct place *at, const struct element *e, void *arg)
{
	struct target *t = arg;
	uint64_t bit;

	if (!word_of("no yes", e->p, e->len, &bit))
		return mistake(at, "%s: '%.*s'; accepted: yes, no", t->key, (int)e->len,
			       e->p);
	return put(t, "", 0, bit >> 1);
}

static const struct number_type {
	enum key_type type;
	unsigned int base;
	const struct unit *units;
	uint64_t max;
	const char *accepted;
} number_types[] = {
	{TYPE_COUNT, 10, counts, UINT32_MAX, "a plain number"},
	{TYPE_SIZE, 10, sizes, INT64_MAX, "bytes, or a number with K, M or G"},
	{TYPE_TIME, 10, times, INT64_MAX, "seconds, or a number with ms, s, min, h or d"},
	{TYPE_MODE, 8, counts, 07777, "permission bits such as 0640"},
};

static bool element_number(const struct place *at, const struct element *e, void *arg)
{
	const struct number_type *n = number_types;
	struct target *t = arg;
	uint64_t v;

	while (n->type != t->type)
		n++;
	if (!number_of(e->p, e->len, n->base, n->units, &v) || v > n->max)
		return mistake(at, "%s: '%.*s'; accepted: %s", t->key, (int)e->len, e->p,
			       n->accepted);
	return put(t, "", 0, v);
}

static const struct type_row {
	element_fn *each;
	bool list;
} types[] = {
	[TYPE_PATTERNS] = {element_pattern, true},
	[TYPE_ARGV] = {element_argument, true},
	[TYPE_TEXTS] = {element_text, true},
	[TYPE_TEXT] = {element_text, false},
	[TYPE_WORDS] = {element_word, true},
	[TYPE_YES_NO] = {element_yes_no, false},
	[TYPE_COUNT] = {element_number, false},
	[TYPE_SIZE] = {element_number, false},
	[TYPE_TIME] = {element_number, false},
	[TYPE_MODE] = {element_number, false},
};

bool type_is_list(enum key_type type)
{
	return types[type].list;
}

bool value_parse(const struct place *at, const char *key, enum key_type type,
		 const char *words, const char *text, size_t len, struct list *values)
{
	struct target t = {
		.key = key, .type = type, .words = words, .values = values, .s = at->s};
	size_t before = values->n;

	if (!each_element(at, text, text + len, types[type].each, &t))
		return false;
	if (!types[type].list && values->n > before + 1)
		return mistake(at, "%s: takes one value", key);
	return true;
}

/* ---- rates ---- */

static const struct unit periods[] = {
	{"s", 1000}, {"min", 60000}, {"h", 3600000}, {NULL, 0}};

/* The digits at *P, from 1 to 9 of them, as a number that is not 0. */
static bool rate_number(const char **p, const char *end, uint32_t *out)
{
	const char *start = *p;
	uint64_t n = 0;

	while (*p < end && **p >= '0' && **p <= '9')
		++*p;
	if (*p - start > 9 || !number_of(start, (size_t)(*p - start), 10, counts, &n))
		return false;
	*out = (uint32_t)n;
	return n;
}

/* Pass over WORD at *P. */
static bool rate_word(const char **p, const char *end, const char *word)
{
	size_t len = strlen(word);

	if ((size_t)(end - *p) < len || memcmp(*p, word, len) != 0)
		return false;
	*p += len;
	return true;
}

static bool rate_of(const char *p, const char *end, struct src_rule *rule)
{
	const struct unit *u = periods;

	if (!rate_number(&p, end, &rule->rate) || !rate_word(&p, end, "/"))
		return false;
	while (u->name && !rate_word(&p, end, u->name))
		u++;
	rule->rate_ms = (uint32_t)u->factor;
	rule->burst = rule->rate;
	if (u->name && p < end)
		return rate_word(&p, end, " burst ") &&
		       rate_number(&p, end, &rule->burst) && p == end;
	return u->name;
}

bool rate_parse(const struct place *at, const char *text, size_t len,
		struct src_rule *rule)
{
	return rate_of(text, text + len, rule) ||
	       mistake(at,
		       "rate: '%.*s'; accepted: N/s, N/min or N/h, and 'burst M' behind",
		       (int)len, text);
}
