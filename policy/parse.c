/*
 * policy/parse.c - the lines of policy files
 *
 * Runs in:   reader, posternctl
 * Input:     bytes of policy files: any
 * May touch: memory of its own
 * Must not:  stop at the first mistake, take half of what it does not understand
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ipc/jsonw.h"
#include "policy/source_impl.h"

/* ---- memory ---- */

void *grow(struct list *l, size_t size)
{
	if (l->n == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 8;
		void *v = reallocarray(l->v, cap, size);

		if (!v)
			return NULL;
		l->v = v;
		l->cap = cap;
	}
	return memset((char *)l->v + l->n++ * size, 0, size);
}

const char *source_keep(struct source *s, const char *p, size_t len)
{
	char **slot = grow(&s->texts, sizeof(*slot));
	char *text = slot ? malloc(len + 1) : NULL;

	if (!text) {
		s->broken = true;
		s->texts.n -= slot != NULL;
		return "";
	}
	memcpy(text, p, len);
	text[len] = '\0';
	*slot = text;
	return text;
}

struct source *source_new(void)
{
	return calloc(1, sizeof(struct source));
}

static void free_rule(struct src_rule *r)
{
	struct src_constraint *c = r->constraints.v;

	for (size_t k = 0; k < r->constraints.n; k++)
		free(c[k].values.v);
	free(c);
}

void source_free(struct source *s)
{
	char **texts = s ? s->texts.v : NULL;

	if (!s)
		return;
	for (size_t i = 0; i < s->texts.n; i++)
		free(texts[i]);
	free(texts);
	for (size_t i = 0; i < s->rules.n; i++)
		free_rule((struct src_rule *)s->rules.v + i);
	free(s->rules.v);
	free(s->tests.v);
	free(s->errors.v);
	free(s);
}

/* ---- mistakes ---- */

PRINTF(3, 0)
static void add_error(struct list *l, const struct place *at, const char *fmt, va_list va)
{
	char what[512];
	struct source_error *e;

	vsnprintf(what, sizeof(what), fmt, va);
	e = l->n < SOURCE_ERRORS_MAX ? grow(l, sizeof(*e)) : NULL;
	at->s->broken |= !e;
	if (e)
		*e = (struct source_error){
			.file = at->file,
			.line = at->line,
			.what = source_keep(at->s, what, strlen(what)),
		};
}

bool mistake(const struct place *at, const char *fmt, ...)
{
	va_list va;

	va_start(va, fmt);
	add_error(&at->s->errors, at, fmt, va);
	va_end(va);
	return false;
}

void source_mistake(struct source *s, const char *file, uint32_t line, const char *fmt,
		    ...)
{
	const struct place at = {s, source_keep(s, file, strlen(file)), line};
	va_list va;

	va_start(va, fmt);
	add_error(&s->errors, &at, fmt, va);
	va_end(va);
}

/* ---- sections ---- */

enum section {
	SECTION_NONE,
	SECTION_SETTINGS,
	SECTION_RULE,
	SECTION_EXEC,
	SECTION_TEST,
	SECTION_UNKNOWN
};

static const struct section_row {
	const char *name;
	enum section section;
	bool named;
} sections[] = {
	{"policy", SECTION_SETTINGS, false}, {"limits", SECTION_SETTINGS, false},
	{"audit", SECTION_SETTINGS, false},  {"rule", SECTION_RULE, true},
	{"exec", SECTION_EXEC, true},        {"test", SECTION_TEST, true},
};

/* A line of a rule waits for the end of its section: its commands may come last. */
struct pending {
	uint32_t line;
	const char *key;
	const char *value;
	size_t len;
};

struct parser {
	struct place at;
	enum section section;
	const char *name; /* of the section's kind */
	const char *title;
	uint32_t began;
	struct list lines; /* of struct pending */
};

static const struct setting_row settings[] = {
#define SETTING_ROW(tag, section, key, type, words) {section, key, type, words},
	SETTING_TABLE(SETTING_ROW)};

/* ---- settings ---- */

static bool set(const struct place *at, enum setting which, const char *value, size_t len)
{
	const struct setting_row *row = &settings[which];
	struct src_setting *set = &at->s->settings[which];
	struct list values = {0};
	struct src_value *v;
	bool good;

	if (set->file)
		return mistake(at, "%s is set in %s:%u already", row->key, set->file,
			       set->line);
	good = value_parse(at, row->key, row->type, row->words, value, len, &values);
	v = values.v;
	if (good && row->type == TYPE_WORDS && v->number & (v->number - 1))
		good = mistake(at, "%s: takes one value", row->key);
	if (good)
		*set = (struct src_setting){at->file, at->line, v->number, v->text};
	free(values.v);
	return good;
}

static bool setting_line(const struct parser *p, const struct place *at, const char *key,
			 const char *value, size_t len)
{
	char known[256] = "";
	size_t n = 0;

	for (enum setting i = 0; i < SETTINGS_COUNT; i++) {
		if (!streq(settings[i].section, p->name))
			continue;
		if (streq(settings[i].key, key))
			return set(at, i, value, len);
		n += (size_t)snprintf(known + n, sizeof(known) - n, "%s%s", n ? ", " : "",
				      settings[i].key);
	}
	return mistake(at, "unknown key '%s' in [%s]; accepted: %s", key, p->name, known);
}

/* ---- rules ---- */

/* Commands and groups, separated by " ; ", as a set. */
static bool commands_of(const struct place *at, const char *value, size_t len,
			uint64_t *ops)
{
	struct list names = {0};
	bool good = value_parse(at, "command", TYPE_TEXTS, NULL, value, len, &names);
	const struct src_value *v = names.v;

	for (size_t i = 0; good && i < names.n; i++) {
		uint32_t op = op_by_name(v[i].text, v[i].len);
		uint32_t group = group_by_name(v[i].text);

		if (op != OP_NONE)
			*ops |= UINT64_C(1) << op;
		else if (group)
			*ops |= group_ops(group);
		else
			good = mistake(at,
				       "there is no command or group '%s'; \"postern -b "
				       "'?'\" prints the commands",
				       v[i].text);
	}
	free(names.v);
	return good;
}

static bool effect_of(const struct place *at, const char *value, size_t len,
		      enum policy_effect *effect)
{
	*effect = len == 5 && !memcmp(value, "allow", 5) ? POLICY_ALLOW : POLICY_DENY;
	if (*effect == POLICY_DENY && (len != 4 || memcmp(value, "deny", 4) != 0))
		return mistake(at, "effect: '%.*s'; accepted: allow, deny", (int)len,
			       value);
	return true;
}

static bool rule_name_free(const struct parser *p)
{
	const struct src_rule *r = p->at.s->rules.v;

	for (size_t i = 0; i < p->at.s->rules.n; i++)
		if (streq(r[i].name, p->title) &&
		    r[i].named_program == (p->section == SECTION_EXEC)) {
			const struct place at = {p->at.s, p->at.file, p->began};

			return mistake(&at,
				       "[%s \"%s\"] stands in %s:%u already; each "
				       "needs a name of its own",
				       p->name, p->title, r[i].file, r[i].line);
		}
	return true;
}

static struct src_constraint *constraint_of(struct src_rule *rule, enum key key,
					    uint32_t line)
{
	struct src_constraint *c = rule->constraints.v;

	for (size_t i = 0; i < rule->constraints.n; i++)
		if (c[i].key == key)
			return &c[i];
	c = grow(&rule->constraints, sizeof(*c));
	if (c)
		*c = (struct src_constraint){.key = key, .line = line};
	return c;
}

/* Does a result of schema SC have the optional field NAME, at any depth? */
/* Nests as deep as SCHEMA_DEPTH_MAX says. */
/* NOLINTNEXTLINE(misc-no-recursion) */
static bool has_optional(const struct schema *sc, const char *name)
{
	for (uint32_t i = 0; i < sc->n; i++) {
		const struct field *f = &sc->fields[i];

		if (f->name && f->flags & F_OPT && streq(f->name, name))
			return true;
		if (field_has_sub(f) && has_optional(f->sub, name))
			return true;
	}
	return false;
}

/* A field that a client counts on cannot be hidden, and none that is not there. */
static bool check_hidden(const struct place *at, const struct src_rule *rule,
			 const struct list *values)
{
	const struct src_value *v = values->v;
	bool good = true;

	for (size_t i = 0; i < values->n; i++) {
		bool found = false;

		for (uint32_t n = op_after(OP_NONE); n != OP_NONE; n = op_after(n))
			found |= rule->ops >> n & 1 &&
				 has_optional(op_by_number(n)->result, v[i].text);
		if (!found)
			good = mistake(at,
				       "hide: no answer of this rule's commands has an "
				       "optional field '%s'",
				       v[i].text);
	}
	return good;
}

static bool constraint_line(const struct place *at, struct src_rule *rule,
			    const char *key, const char *value, size_t len)
{
	bool known;
	enum key k = key_find(key, strlen(key), rule->ops, &known);
	const struct key_row *row;
	struct src_constraint *c;

	if (rule->named_program && streq(key, "path"))
		k = KEY_RUN;
	if (k == KEYS_COUNT)
		return mistake(at,
			       known ? "'%s' does not apply to every command of this "
				       "rule; make a rule of its own"
				     : "unknown key '%s'; the manual page lists the keys",
			       key);
	row = key_row(k);
	if (rule->effect == POLICY_DENY && row->stage != AT_REQUEST &&
	    row->stage != AT_OBJECT)
		return mistake(at, "'%s' limits what is allowed; a deny cannot have it",
			       key);
	c = constraint_of(rule, k, at->line);
	if (!c) {
		at->s->broken = true;
		return false;
	}
	if (c->values.n && !type_is_list(row->type))
		return mistake(at, "%s is set in line %u already", key, c->line);
	if (!value_parse(at, key, row->type, row->words, value, len, &c->values))
		return false;
	return k != KEY_HIDE || check_hidden(at, rule, &c->values);
}

static bool rule_line(const struct place *at, struct src_rule *rule,
		      const struct pending *l)
{
	if (streq(l->key, "description"))
		return true;
	if (streq(l->key, "rate"))
		return rule->rate ? mistake(at, "rate is set twice")
				  : rate_parse(at, l->value, l->len, rule);
	return constraint_line(at, rule, l->key, l->value, l->len);
}

/* "effect" and "command" first: what they say decides which other keys there are. */
static bool rule_head(struct parser *p, struct src_rule *rule)
{
	const struct pending *l = p->lines.v;
	bool good = true;
	unsigned int effects = 0;

	for (size_t i = 0; i < p->lines.n; i++) {
		const struct place at = {p->at.s, p->at.file, l[i].line};

		if (streq(l[i].key, "effect")) {
			good &= effects++ ? mistake(&at, "effect is set twice")
					  : effect_of(&at, l[i].value, l[i].len,
						      &rule->effect);
		} else if (streq(l[i].key, "command")) {
			good &= commands_of(&at, l[i].value, l[i].len, &rule->ops);
		}
	}
	p->at.line = p->began;
	if (!effects)
		good = mistake(&p->at,
			       "[rule \"%s\"] says no effect; accepted: effect = "
			       "allow, effect = deny",
			       p->title);
	if (good && !rule->ops)
		good = mistake(&p->at, "[rule \"%s\"] names no command", p->title);
	return good;
}

/* [exec "name"]: guest-exec of that name, and asking for its result. */
static bool exec_head(struct parser *p, struct src_rule *rule)
{
	struct src_constraint *c;
	struct src_value *v;

	rule->effect = POLICY_ALLOW;
	rule->named_program = true;
	rule->ops = OPS_OF_1(exec) | OPS_OF_1(exec_status);
	if (strchr(p->title, '/'))
		return mistake(&p->at, "[exec \"%s\"]: a name has no '/'", p->title);
	c = constraint_of(rule, KEY_EXEC_NAME, p->began);
	v = c ? grow(&c->values, sizeof(*v)) : NULL;
	if (!v)
		return !(p->at.s->broken = true);
	*v = (struct src_value){.text = p->title, .len = strlen(p->title)};
	return true;
}

/* The lines of a rule whose commands are known. */
static void rule_body(struct parser *p, struct src_rule *rule)
{
	const struct pending *l = p->lines.v;
	bool runs = false;

	for (size_t i = 0; i < p->lines.n; i++) {
		const struct place at = {p->at.s, p->at.file, l[i].line};

		runs |= streq(l[i].key, "path");
		if (rule->named_program ||
		    (!streq(l[i].key, "effect") && !streq(l[i].key, "command")))
			rule_line(&at, rule, &l[i]);
	}
	if (rule->named_program && !runs)
		mistake(&p->at, "[exec \"%s\"] names no path to run", p->title);
}

static void end_rule(struct parser *p)
{
	struct src_rule rule = {.name = p->title, .file = p->at.file, .line = p->began};
	struct list *rules = &p->at.s->rules;
	struct src_rule *place = NULL;
	bool good;

	p->at.line = p->began;
	good = rule_name_free(p);
	good &= p->section == SECTION_EXEC ? exec_head(p, &rule) : rule_head(p, &rule);
	if (rule.ops)
		rule_body(p, &rule);
	if (rules->n >= SOURCE_RULES_MAX)
		mistake(&p->at, "more than %d rules", SOURCE_RULES_MAX);
	else if (good)
		place = grow(rules, sizeof(*place));
	if (place)
		*place = rule;
	else
		free_rule(&rule);
	p->at.s->broken |= good && !place;
}

/* ---- tests ---- */

static void end_test(struct parser *p)
{
	struct source_test *t = grow(&p->at.s->tests, sizeof(*t));
	const struct pending *l = p->lines.v;
	bool good = true;

	if (!t) {
		p->at.s->broken = true;
		return;
	}
	*t = (struct source_test){.file = p->at.file, .line = p->began, .name = p->title};
	for (size_t i = 0; i < p->lines.n; i++) {
		const struct place at = {p->at.s, p->at.file, l[i].line};
		const char *v = source_keep(p->at.s, l[i].value, l[i].len);
		bool allow = !strncmp(v, "allow", 5), deny = !strncmp(v, "deny", 4);
		const char *rest = v + (allow ? 5 : 4);

		if (streq(l[i].key, "request") ? !!t->request
					       : streq(l[i].key, "expect") && t->expect) {
			good = mistake(&at, "%s is set twice", l[i].key);
		} else if (streq(l[i].key, "request")) {
			t->request = v;
		} else if (!streq(l[i].key, "expect")) {
			good = mistake(&at,
				       "unknown key '%s' in [test]; accepted: request, "
				       "expect",
				       l[i].key);
		} else if ((!allow && !deny) || (*rest && *rest != ' ')) {
			good = mistake(
				&at,
				"expect: '%s'; accepted: allow [RULE], deny [REASON]", v);
		} else {
			t->expect = true;
			t->expect_allow = allow;
			t->expect_rule = *rest ? rest + 1 : NULL;
		}
	}
	p->at.line = p->began;
	if (good && (!t->request || !t->expect))
		mistake(&p->at, "[test \"%s\"] needs both request and expect", p->title);
}

/* ---- lines ---- */

static void end_section(struct parser *p)
{
	uint32_t line = p->at.line;

	if (p->section == SECTION_RULE || p->section == SECTION_EXEC)
		end_rule(p);
	else if (p->section == SECTION_TEST)
		end_test(p);
	p->at.line = line;
	p->lines.n = 0;
	p->section = SECTION_NONE;
}

/* How many of the bytes from P on are small letters or one of MORE. */
static size_t span(const char *p, const char *end, const char *more)
{
	const char *start = p;

	while (p < end && ((*p >= 'a' && *p <= 'z') || strchr(more, *p)))
		p++;
	return (size_t)(p - start);
}

/* NAME, or NAME "title", between the brackets. */
static bool section_line(struct parser *p, const char *line, size_t len)
{
	char name[16] = "";
	const char *open = memchr(line, '"', len), *end = line + len;
	size_t n = span(line + 1, end, "");

	end_section(p);
	p->began = p->at.line;
	p->section = SECTION_UNKNOWN; /* its lines are passed over */
	if (end[-1] != ']')
		return mistake(&p->at, "a '[' without its ']' at the end of the line");
	if (n < sizeof(name))
		memcpy(name, line + 1, n);
	for (size_t i = 0; i < ARRAY_SIZE(sections); i++) {
		const struct section_row *row = &sections[i];

		if (!streq(row->name, name))
			continue;
		if (!row->named && line[1 + n] == ']' && line + n + 2 == end) {
			p->section = row->section;
			p->name = row->name;
			return true;
		}
		if (row->named && open == line + n + 2 && line[n + 1] == ' ' &&
		    end - open > 3 && end[-2] == '"' &&
		    !memchr(open + 1, '"', (size_t)(end - open) - 3)) {
			p->section = row->section;
			p->name = row->name;
			p->title =
				source_keep(p->at.s, open + 1, (size_t)(end - open) - 3);
			return true;
		}
		return mistake(&p->at,
			       row->named ? "accepted: [%s \"name\"]" : "accepted: [%s]",
			       name);
	}
	return mistake(&p->at, "unknown section; accepted: [policy], [limits], [audit], "
			       "[rule \"name\"], [exec \"name\"], [test \"name\"]");
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool key_line(struct parser *p, const char *line, size_t len)
{
	const char *equals = memchr(line, '=', len), *value, *end = line + len;
	size_t n = span(line, end, "-"), blanks = 0;
	struct pending *l;
	const char *key;

	while (line + n + blanks < end && is_blank(line[n + blanks]))
		blanks++;
	if (!equals || !n || line + n + blanks != equals)
		return mistake(&p->at, "accepted: [section], key = value, # comment");
	if (p->section == SECTION_NONE)
		return mistake(&p->at, "a key before the first [section]");
	if (p->section == SECTION_UNKNOWN)
		return false;
	for (value = equals + 1; value < end && is_blank(*value);)
		value++;
	key = source_keep(p->at.s, line, n);
	value = source_keep(p->at.s, value, (size_t)(end - value));
	len = strlen(value);
	if (p->section == SECTION_SETTINGS)
		return setting_line(p, &p->at, key, value, len);
	l = grow(&p->lines, sizeof(*l));
	if (l)
		*l = (struct pending){p->at.line, key, value, len};
	else
		p->at.s->broken = true;
	return l;
}

static bool is_clean(const struct place *at, const char *line, size_t len)
{
	const uint8_t *p = (const uint8_t *)line, *end = p + len;
	uint32_t cp;
	size_t n;

	if (len > SOURCE_LINE_MAX - 1)
		return mistake(at, "a line of %zu bytes; accepted are %d", len,
			       SOURCE_LINE_MAX - 1);
	for (; p < end; p += n) {
		n = utf8_next(p, (size_t)(end - p), &cp);
		if (!n)
			return mistake(at, "bytes that are not UTF-8");
		if ((*p < 0x20 && *p != '\t') || *p == 0x7f)
			return mistake(at,
				       *p == '\r' ? "a line that ends with CR LF; "
						    "accepted is LF"
						  : "a control byte (0x%02x)",
				       *p);
	}
	return true;
}

static void parse_line(struct parser *p, const char *line, size_t len)
{
	while (len && is_blank(line[len - 1]))
		len--;
	if (!len || *line == '#')
		return;
	if (*line == '[')
		section_line(p, line, len);
	else
		key_line(p, line, len);
}

void source_add(struct source *s, const char *file, const char *text, size_t len)
{
	struct parser p = {.title = "", .at = {s, source_keep(s, file, strlen(file)), 0}};
	const char *end = text + len;

	if (len > SOURCE_FILE_MAX || ++s->files > SOURCE_FILES_MAX) {
		mistake(&p.at, len > SOURCE_FILE_MAX ? "the file is larger than 64 KiB"
						     : "more than 64 policy files");
		return;
	}
	while (text < end) {
		const char *stop = memchr(text, '\n', (size_t)(end - text));
		size_t n = (size_t)((stop ? stop : end) - text);

		p.at.line++;
		if (is_clean(&p.at, text, n))
			parse_line(&p, text, n);
		text += n + 1;
	}
	end_section(&p);
	free(p.lines.v);
}

bool source_sealed(const struct source *s)
{
	return s->settings[SETTING_SEALED].number;
}

void source_deny(struct source *s, uint64_t ops)
{
	s->denied |= ops;
}

static int by_place(const void *a, const void *b)
{
	const struct source_error *x = a, *y = b;
	int r = strcmp(x->file, y->file);

	return r ? r : (x->line > y->line) - (x->line < y->line);
}

size_t source_errors(struct source *s, const struct source_error **e)
{
	if (s->errors.n)
		qsort(s->errors.v, s->errors.n, sizeof(**e), by_place);
	*e = s->errors.v;
	return s->errors.n;
}

size_t source_tests(const struct source *s, const struct source_test **t)
{
	*t = s->tests.v;
	return s->tests.n;
}
