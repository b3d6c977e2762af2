/*
 * ctl/list.c - posternctl list: every command, and which rules say what of it
 *
 * Runs in:   posternctl, as the user who calls it
 * Input:     the command line; policy files: any bytes
 * May touch: standard output and error; looks whether systemd runs
 * Must not:  call a command allowed without conditions that has some
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "ctl/ctl.h"
#include "ctl/limits.h"
#include "ctl/policy.h"
#include "ctl/show.h"
#include "ctl/wording.h"
#include "ipc/jsonw.h"
#include "policy/object.h"
#include "policy/request.h"
#include "sandbox/needs.h"
#include "sandbox/sandbox.h"

#define TEXT_MAX       (16u * 1024 * 1024)
#define PRIVILEGES_MAX 1024
/* Columns, with the blanks behind. */
#define NAME_WIDTH      34
#define STATE_WIDTH     13
#define SYSTEMD_RUNTIME "/run/systemd/system"

static const struct option longs[] = {
	POLICY_OPTIONS,
	{"privileges", no_argument, NULL, 'P'},
	{0},
};

static int help(void)
{
	puts("Usage: posternctl list [OPTIONS] [FILE...]\n"
	     "\n"
	     "Says of every command whether the policy of this machine, or of the FILEs, "
	     "lets\n"
	     "the host use it, and by which rules:\n"
	     "\n"
	     "  allowed      whatever its arguments\n"
	     "  constrained  with some arguments only, or within limits\n"
	     "  complain     by the ceiling of complain mode alone\n"
	     "  denied       never\n"
	     "\n"
	     "  --policy-root DIR  the files are beneath DIR\n"
	     "  --profile NAME     list this built-in profile\n"
	     "  --privileges       also what the agent keeps for each command, and for "
	     "all\n"
	     "  --json             as JSON\n"
	     "  -h, --help         print this\n"
	     "\n"
	     "Exit status: 0 listed, 2 wrong call, unreadable or with mistakes.");
	return ctl_flush();
}

/* ---- what a policy says of a command ---- */

enum state { DENIED, COMPLAIN, CONSTRAINED, ALLOWED };
static const char *const state_names[] = {"denied", "complain", "constrained", "allowed"};

/* Does the value of C leave out nothing? */
static bool is_open_pattern(const struct policy *p, const struct image_constraint *c)
{
	for (uint32_t i = 0; i < c->n_values; i++)
		if (streq(policy_text(p, p->values[c->value + i].text), "**"))
			return true;
	return false;
}

static unsigned int words_in(const char *words)
{
	unsigned int n = 1;

	for (; *words; words++)
		n += *words == ' ';
	return n;
}

static bool is_open_words(const struct key_row *row, uint64_t bits)
{
	unsigned int n = words_in(row->words);

	/* The last word of these means the others as well. */
	if (row == key_row(KEY_CRYPTED) || row == key_row(KEY_SYMLINKS))
		return bits >> (n - 1) & 1;
	return (bits & ((UINT64_C(1) << n) - 1)) == (UINT64_C(1) << n) - 1;
}

/* Does C hold a request for OP back, or limit or shape what is allowed? */
static bool binds(const struct policy *p, const struct image_constraint *c, uint32_t op)
{
	const struct key_row *row = key_row(c->key);

	if (!request_speaks(c->key, op) && !object_speaks(c->key, op) &&
	    !limit_of_key(c->key, op))
		return false;
	if (row->type == TYPE_YES_NO)
		return !p->values[c->value].number;
	if (row->type == TYPE_WORDS)
		return !is_open_words(row, p->values[c->value].number);
	return row->type != TYPE_PATTERNS || row->stage == AT_ANSWER ||
	       c->key == KEY_ACCOUNT_EXCLUDE || !is_open_pattern(p, c);
}

static bool is_bound(const struct policy *p, const struct image_rule *r, uint32_t op)
{
	for (uint32_t i = 0; i < r->n_constraints; i++)
		if (binds(p, &p->constraints[r->constraint + i], op))
			return true;
	return r->rate && !(op_by_number(op)->flags & OPF_FROZEN_OK);
}

/* Can the deny R ever hold for a request of OP? */
static bool can_deny(const struct policy *p, const struct image_rule *r, uint32_t op)
{
	for (uint32_t i = 0; i < r->n_constraints; i++) {
		enum key key = p->constraints[r->constraint + i].key;

		if (!request_speaks(key, op) && !object_speaks(key, op))
			return false;
	}
	return true;
}

/* A command, and the rules that say so: bits by index. */
struct entry {
	const struct policy *p;
	uint32_t op;
	enum state state;
	uint64_t rules[IMAGE_RULES_MAX / 64 + 1];
};

static bool is_said_by(const struct entry *e, uint32_t rule)
{
	return e->rules[rule / 64] >> rule % 64 & 1;
}

static void add_rule(struct entry *e, uint32_t rule)
{
	e->rules[rule / 64] |= UINT64_C(1) << rule % 64;
}

static bool speaks_of(const struct entry *e, uint32_t rule, enum image_set set)
{
	const struct image_rule *r = &e->p->rules[rule];

	return r->set == set && r->ops >> e->op & 1;
}

/*
 * What the rules of SET make of it. Denies come first (policy/decide.c): one that always
 * holds says it all.
 */
static void judge(struct entry *e, enum image_set set)
{
	const struct policy *p = e->p;
	bool cut = false;

	e->state = DENIED;
	for (uint32_t i = 0; i < p->head->n_rules; i++) {
		const struct image_rule *r = &p->rules[i];

		if (!speaks_of(e, i, set))
			continue;
		if (r->effect == POLICY_DENY && !can_deny(p, r, e->op))
			continue;
		if (r->effect == POLICY_DENY && !r->n_constraints) {
			memset(e->rules, 0, sizeof(e->rules));
			add_rule(e, i);
			return;
		}
		add_rule(e, i);
		cut |= r->effect == POLICY_DENY || is_bound(p, r, e->op);
		if (r->effect == POLICY_ALLOW)
			e->state = ALLOWED;
	}
	if (e->state == ALLOWED && cut)
		e->state = CONSTRAINED;
	if (e->state == DENIED)
		memset(e->rules, 0, sizeof(e->rules));
}

static struct entry entry_of(const struct policy *p, uint32_t op)
{
	struct entry e = {.p = p, .op = op}, ceiling = e;

	judge(&e, SET_EFFECTIVE);
	if (e.state != DENIED || p->head->mode != MODE_COMPLAIN)
		return e;
	judge(&ceiling, SET_CEILING);
	if (ceiling.state == DENIED)
		return e;
	ceiling.state = COMPLAIN;
	return ceiling;
}

/* ---- what the worker keeps ---- */

struct kept {
	char privileges[PRIVILEGES_MAX];
	char files[PRIVILEGES_MAX];
};

static void kept_for(const struct policy *p, uint64_t allowed, struct kept *k)
{
	const struct needs_where where = {
		.systemd = access(SYSTEMD_RUNTIME, F_OK) == 0,
		.init_by_signal = true,
		.reads_only = policy_only_reads(p),
	};
	struct needs needs = needs_of(allowed, &where);

	needs_text(&needs, "", k->privileges, sizeof(k->privileges));
	sandbox_beneath_text(needs.roles, k->files, sizeof(k->files));
}

static void put_kept(struct wbuf *w, const char *before, const struct policy *p,
		     uint64_t allowed)
{
	struct kept k;

	kept_for(p, allowed, &k);
	wbuf_text(w, before);
	wbuf_text(w, *k.privileges ? k.privileges : "no privilege");
	wbuf_text(w, "; files: ");
	wbuf_text(w, k.files);
	wbuf_text(w, "\n");
}

static void json_kept(struct wbuf *w, const struct policy *p, uint64_t allowed)
{
	struct kept k;

	kept_for(p, allowed, &k);
	wbuf_text(w, ", \"privileges\": ");
	jsonw_cstr(w, k.privileges);
	wbuf_text(w, ", \"files\": ");
	jsonw_cstr(w, k.files);
}

/* Of the command, with the parts of it that are allowed. */
static uint64_t allowed_of(const struct entry *e)
{
	return with_parts(UINT64_C(1) << e->op) & e->p->allowed;
}

/* ---- for people ---- */

struct output {
	const struct policy *p;
	bool privileges;
	struct show show;
	struct wbuf w;
};

static void put_padded(struct output *o, const char *text, size_t width)
{
	wbuf_text(&o->w, text);
	for (size_t len = strlen(text); len < width; len++)
		wbuf_text(&o->w, " ");
}

static void put_rule(struct output *o, const struct image_rule *r)
{
	CLEANUP(wbuf_free) struct wbuf text = wbuf_growing(64 * 1024);

	wbuf_text(&text, r->effect == POLICY_DENY ? "deny \"" : "\"");
	wbuf_text(&text, policy_text(o->p, r->name));
	wbuf_text(&text, "\" (");
	put_place(&text, policy_text(o->p, r->file), r->line);
	wbuf_text(&text, ")");
	show_text(&o->show, (const char *)text.p, text.len, &o->w);
}

static bool is_elsewhere(uint32_t op)
{
	return op_by_number(op)->flags & OPF_ELSEWHERE;
}

static void people_entry(struct output *o, const struct entry *e)
{
	const char *between = "";

	wbuf_text(&o->w, "  ");
	put_padded(o, op_by_number(e->op)->name, NAME_WIDTH);
	put_padded(o, state_names[e->state], STATE_WIDTH);
	for (uint32_t i = 0; i < o->p->head->n_rules; i++) {
		if (!is_said_by(e, i))
			continue;
		wbuf_text(&o->w, between);
		put_rule(o, &o->p->rules[i]);
		between = ", ";
	}
	wbuf_text(&o->w, *between ? "" : "no rule");
	wbuf_text(&o->w, is_elsewhere(e->op) ? "; no command of Linux\n" : "\n");
	if (!o->privileges || e->state == DENIED)
		return;
	put_padded(o, "", 2 + NAME_WIDTH + STATE_WIDTH);
	put_kept(&o->w, "keeps: ", o->p, allowed_of(e));
}

/* A command of two groups stands in the first. */
static bool is_in(uint32_t op, uint32_t group)
{
	uint32_t groups = op_by_number(op)->groups;

	return (groups & -groups) == group;
}

/* What holds beside the rules. */
static void people_mode(struct output *o)
{
	const char *ceiling = policy_text(o->p, o->p->head->ceiling);

	wbuf_text(&o->w, "Base ");
	wbuf_text(&o->w, policy_base(o->p));
	if (o->p->head->mode == MODE_COMPLAIN) {
		wbuf_text(&o->w, "; complain mode: what is refused is let through as far "
				 "as ");
		wbuf_text(&o->w, ceiling);
		wbuf_text(&o->w, " goes");
	}
	wbuf_text(&o->w, "\n");
}

static void people(struct output *o)
{
	people_mode(o);
	for (uint32_t bit = 0; group_name(1u << bit); bit++) {
		wbuf_text(&o->w, "\n");
		wbuf_text(&o->w, group_name(1u << bit));
		if (is_in(OP_file_open, 1u << bit))
			wbuf_text(&o->w, ", and with @file-write");
		wbuf_text(&o->w, "\n");
		for (uint32_t op = op_after(OP_NONE); op != OP_NONE; op = op_after(op)) {
			const struct entry e = entry_of(o->p, op);

			if (is_in(op, 1u << bit))
				people_entry(o, &e);
		}
	}
	if (o->privileges)
		put_kept(&o->w, "\nFor this policy the agent keeps: ", o->p,
			 o->p->allowed);
}

/* ---- for programs ---- */

static void member(struct wbuf *w, const char *key, const char *value)
{
	wbuf_text(w, w->p[w->len - 1] == '{' ? "" : ", ");
	jsonw_cstr(w, key);
	wbuf_text(w, ": ");
	jsonw_cstr(w, value);
}

static void json_rule(struct wbuf *w, const struct policy *p, const struct image_rule *r)
{
	wbuf_text(w, w->p[w->len - 1] == '[' ? "{" : ", {");
	member(w, "effect", r->effect == POLICY_DENY ? "deny" : "allow");
	member(w, "rule", policy_text(p, r->name));
	member(w, "file", policy_text(p, r->file));
	wbuf_text(w, ", \"line\": ");
	jsonw_u64(w, r->line);
	wbuf_text(w, "}");
}

static void json_entry(struct output *o, const struct entry *e)
{
	uint32_t groups = op_by_number(e->op)->groups;
	wbuf_text(&o->w, o->w.p[o->w.len - 1] == '[' ? "\n  {" : ",\n  {");
	member(&o->w, "command", op_by_number(e->op)->name);
	wbuf_text(&o->w, ", \"groups\": [");
	for (uint32_t bit = 0; groups >> bit; bit++) {
		if (!(groups >> bit & 1))
			continue;
		wbuf_text(&o->w, o->w.p[o->w.len - 1] == '[' ? "" : ", ");
		jsonw_cstr(&o->w, group_name(1u << bit));
	}
	wbuf_text(&o->w, "]");
	member(&o->w, "state", state_names[e->state]);
	wbuf_text(&o->w, is_elsewhere(e->op) ? ", \"elsewhere\": true" : "");
	wbuf_text(&o->w, ", \"rules\": [");
	for (uint32_t i = 0; i < o->p->head->n_rules; i++)
		if (is_said_by(e, i))
			json_rule(&o->w, o->p, &o->p->rules[i]);
	wbuf_text(&o->w, "]");
	if (o->privileges)
		json_kept(&o->w, o->p, allowed_of(e));
	wbuf_text(&o->w, "}");
}

static void json(struct output *o)
{
	wbuf_text(&o->w, "{");
	member(&o->w, "base", policy_base(o->p));
	member(&o->w, "mode", policy_mode(o->p));
	if (o->privileges)
		json_kept(&o->w, o->p, o->p->allowed);
	wbuf_text(&o->w, ", \"commands\": [");
	for (uint32_t op = op_after(OP_NONE); op != OP_NONE; op = op_after(op)) {
		const struct entry e = entry_of(o->p, op);

		json_entry(o, &e);
	}
	wbuf_text(&o->w, "]}\n");
}

/* ---- the verb ---- */

static int list(const struct policy_options *options, bool privileges)
{
	CLEANUP(loaded_done) struct loaded l = {0};
	struct output o = {.p = &l.policy,
			   .privileges = privileges,
			   .show = show_for_stdout(SHOW_SHORT),
			   .w = wbuf_growing(TEXT_MAX)};
	bool bad;

	if (loaded_good(&l, options) < 0)
		return CTL_FAILED;
	(options->json ? json : people)(&o);
	bad = o.w.bad;
	if (!bad)
		fwrite(o.w.p, 1, o.w.len, stdout);
	wbuf_free(&o.w);
	return bad ? ctl_fail("out of memory") : ctl_flush();
}

int ctl_list(int argc, char **argv)
{
	struct policy_options o = {0};
	bool privileges = false;
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		if (c == 'h')
			return help();
		if (c == 'P')
			privileges = true;
		else if (!policy_option(&o, c))
			return policy_option_wrong("list", argv[optind - 1]);
	}
	o.files = argv + optind;
	o.n_files = argc - optind;
	return list(&o, privileges);
}
