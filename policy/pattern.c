/*
 * policy/pattern.c - globs over one argument
 *
 * Runs in:   worker, frontend, posternctl
 * Input:     patterns of the administrator (checked); texts of the host: hostile
 * May touch: the stack
 * Must not:  allocate, take more than a constant number of steps per byte
 *
 * From its first wildcard on, a pattern is a machine whose state is a set of places, one
 * bit each, advanced for all places at once by each byte of the text. So no text makes it
 * go back, whatever the pattern.
 */
#include "policy/pattern.h"

#include <string.h>

#define WORDS  4
#define PLACES (WORDS * 64)
#define SLASH  '/'

_Static_assert(PATTERN_TAIL_MAX < PLACES, "a place for each element and one for the end");

struct places {
	uint64_t w[WORDS];
};

static void add(struct places *s, unsigned int place)
{
	s->w[place / 64] |= UINT64_C(1) << place % 64;
}

static bool has(const struct places *s, unsigned int place)
{
	return s->w[place / 64] >> place % 64 & 1;
}

/* ---- elements ---- */

enum element_kind { LITERAL, ANY, CLASS, STAR, STARSTAR };

struct element {
	enum element_kind kind;
	uint8_t byte;      /* of LITERAL */
	const char *class; /* of CLASS: behind the bracket */
	size_t class_len;
};

/* Length of the class at P, which begins behind its "["; 0: it does not end. */
static size_t class_length(const char *p, size_t len)
{
	size_t at = len && p[0] == '!' ? 1 : 0;

	/* A "]" in first place means itself. */
	for (at++; at < len; at++)
		if (p[at] == ']')
			return at;
	return 0;
}

/* Take one element off *P; false at its end. The pattern was checked. */
static bool next(const char **p, const char *end, struct element *e)
{
	if (*p == end)
		return false;
	*e = (struct element){.byte = (uint8_t) * (*p)++};
	if (e->byte == '\\') {
		e->byte = (uint8_t) * (*p)++;
	} else if (e->byte == '?') {
		e->kind = ANY;
	} else if (e->byte == '[') {
		e->kind = CLASS;
		e->class = *p;
		e->class_len = class_length(*p, (size_t)(end - *p));
		*p += e->class_len + 1;
	} else if (e->byte == '*') {
		e->kind = STAR;
		for (; *p < end && **p == '*'; (*p)++)
			e->kind = STARSTAR;
	}
	return true;
}

/* The bytes from FROM to TO, a word of 64 at a time. */
static void add_range(struct places *bytes, unsigned int from, unsigned int to)
{
	for (unsigned int i = 0; i < WORDS; i++) {
		unsigned int low = i * 64, high = low + 63;
		uint64_t all = ~UINT64_C(0);

		if (to < low || from > high)
			continue;
		if (from > low)
			all &= all << (from - low);
		if (to < high)
			all &= ~UINT64_C(0) >> (high - to);
		bytes->w[i] |= all;
	}
}

/* The bytes that a class names, which are never "/". */
static struct places class_bytes(const struct element *e)
{
	const char *p = e->class, *end = p + e->class_len;
	struct places bytes = {0};
	bool inverted = *p == '!';

	for (p += inverted; p < end; p++) {
		bool range = end - p > 2 && p[1] == '-';

		add_range(&bytes, (uint8_t)p[0], (uint8_t)p[range ? 2 : 0]);
		p += range ? 2 : 0;
	}
	for (unsigned int i = 0; inverted && i < WORDS; i++)
		bytes.w[i] = ~bytes.w[i];
	bytes.w[SLASH / 64] &= ~(UINT64_C(1) << SLASH % 64);
	return bytes;
}

bool pattern_element(const char **p, const char *end, struct pattern_element *out)
{
	struct places bytes = {0};
	struct element e;

	if (!next(p, end, &e))
		return false;
	if (e.kind == CLASS)
		bytes = class_bytes(&e);
	else if (e.kind == LITERAL)
		add(&bytes, e.byte);
	else
		add_range(&bytes, 0, UINT8_MAX);
	if (e.kind == ANY || e.kind == STAR)
		bytes.w[SLASH / 64] &= ~(UINT64_C(1) << SLASH % 64);
	*out = (struct pattern_element){.many = e.kind == STAR || e.kind == STARSTAR};
	memcpy(out->bytes, bytes.w, sizeof(out->bytes));
	return true;
}

/* ---- what is wrong with a pattern ---- */

static const char *check_class(const char *p, const char *end)
{
	size_t len = class_length(p, (size_t)(end - p));

	if (!len)
		return "a '[' without its ']'";
	for (size_t i = *p == '!'; i + 2 < len; i++)
		if (p[i + 1] == '-' && (uint8_t)p[i] > (uint8_t)p[i + 2])
			return "a range in brackets that runs backwards";
	return NULL;
}

const char *pattern_check(const char *p, size_t len)
{
	const char *end = p + len;
	const char *wrong = NULL;
	unsigned int tail = 0;
	struct element e;

	while (p < end) {
		if (*p == '\\' && end - p == 1)
			return "a backslash at the end";
		if (*p == '[')
			wrong = check_class(p + 1, end);
		if (wrong)
			return wrong;
		if (next(&p, end, &e) && (tail || e.kind != LITERAL))
			tail++;
	}
	return tail > PATTERN_TAIL_MAX ? "more than 255 bytes from its first wildcard on"
				       : NULL;
}

/* ---- the machine ---- */

struct machine {
	struct places on[256]; /* places whose element takes this byte */
	struct places stay;    /* stars */
	struct places pass;    /* places from which the next is reached without a byte */
	struct places slash;   /* "**": stays on "/" too */
	unsigned int end;
};

static void build_class(struct machine *m, const struct element *e, unsigned int place)
{
	const struct places bytes = class_bytes(e);

	for (unsigned int c = 0; c < 256; c++)
		if (has(&bytes, c))
			add(&m->on[c], place);
}

static void build(struct machine *m, const char *p, const char *end, uint64_t *steps)
{
	struct places any = {0};
	struct element e;

	memset(m, 0, sizeof(*m));
	for (; next(&p, end, &e); m->end++) {
		*steps += e.kind == CLASS ? 256 + WORDS * e.class_len : 1;
		if (e.kind == LITERAL)
			add(&m->on[e.byte], m->end);
		else if (e.kind == ANY)
			add(&any, m->end);
		else if (e.kind == CLASS)
			build_class(m, &e, m->end);
		else
			add(&m->stay, m->end);
		if (e.kind == STAR || e.kind == STARSTAR)
			add(&m->pass, m->end);
		if (e.kind == STARSTAR)
			add(&m->slash, m->end);
	}
	for (unsigned int c = 0; c < 256; c++)
		for (unsigned int i = 0; c != SLASH && i < WORDS; i++)
			m->on[c].w[i] |= any.w[i];
}

/* Every place of S that IF holds for, moved on by one. */
static struct places move(const struct places *s, const struct places *when)
{
	struct places r;
	uint64_t carry = 0;

	for (unsigned int i = 0; i < WORDS; i++) {
		uint64_t w = s->w[i] & when->w[i];

		r.w[i] = w << 1 | carry;
		carry = w >> 63;
	}
	return r;
}

static void join(struct places *a, const struct places *b)
{
	for (unsigned int i = 0; i < WORDS; i++)
		a->w[i] |= b->w[i];
}

/* Stars never stand side by side, so one pass reaches all that needs no byte. */
static void pass_on(const struct machine *m, struct places *s)
{
	struct places further = move(s, &m->pass);

	join(s, &further);
}

static bool run(const struct machine *m, const uint8_t *text, size_t len, uint64_t *steps)
{
	struct places s = {{1}};

	pass_on(m, &s);
	for (size_t i = 0; i < len; i++, ++*steps) {
		const struct places *stay = text[i] == SLASH ? &m->slash : &m->stay;
		struct places n = move(&s, &m->on[text[i]]);

		for (unsigned int k = 0; k < WORDS; k++)
			n.w[k] |= s.w[k] & stay->w[k];
		s = n;
		pass_on(m, &s);
	}
	return has(&s, m->end);
}

/* ---- matching ---- */

struct pattern pattern_of(const char *p, size_t len)
{
	static const char special[] = {'?', '[', '*', '\\'};
	size_t literal = 0;

	while (literal < len && !memchr(special, p[literal], sizeof(special)))
		literal++;
	return (struct pattern){p, len, literal};
}

/* From the first wildcard on. Of its own, so that nobody else has the machine's memory to
 * clear. */
static __attribute__((noinline)) bool tail_matches(const char *p, const char *end,
						   const char *text, size_t len,
						   uint64_t *steps)
{
	struct machine m;

	build(&m, p, end, steps);
	return run(&m, (const uint8_t *)text, len, steps);
}

bool pattern_rest(const struct pattern *pattern, const char *text, size_t len,
		  uint64_t *steps)
{
	const char *p = pattern->p + pattern->literal, *end = pattern->p + pattern->len;
	size_t at = pattern->literal;
	struct element e;

	for (const char *start = p; next(&p, end, &e); start = p, at++, ++*steps) {
		/* A wildcard in first place must not let an option through. */
		if (e.kind != LITERAL)
			return (at || !len || text[0] != '-') &&
			       tail_matches(start, end, text + at, len - at, steps);
		if (at == len || (uint8_t)text[at] != e.byte)
			return false;
	}
	return at == len;
}
