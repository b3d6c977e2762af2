/*
 * ctl/fragment.c - candidates as text of a policy, and as JSON
 *
 * Runs in:   posternctl, as the user who calls it
 * Input:     candidates: texts of the host among them
 * May touch: the structs it is handed
 * Must not:  write a rule that does not allow what was seen, or that is no policy
 */
#include "ctl/fragment.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "ctl/ctl.h"
#include "ctl/policy.h"
#include "ctl/typed.h"
#include "ctl/wording.h"
#include "ipc/jsonw.h"

#define TEXT_MAX    (4 * 1024 * 1024)
#define COMMENT_MAX 1000
#define NAME_MAX    96

/* A candidate on its way into the text. */
struct entry {
	struct candidate *k;
	char name[NAME_MAX];
	struct wbuf rule;
};

static const char *const judged_names[JUDGED_KINDS] = {
	[JUDGED_COMPLAIN] = "complain",
	[JUDGED_ERROR] = "error",
	[JUDGED_DENY] = "deny",
	[JUDGED_BASE] = "allow",
	[JUDGED_RULE] = "allow by a rule of yours",
};

/* ---- comments ---- */

static bool is_seen(const void *context, uint32_t cp)
{
	return text_is_seen(context, cp) && cp != 0xFFFD;
}

/* Text of unknown origin in a comment: bounded, and of one line. */
static void put_bytes(struct wbuf *w, const char *text, size_t len)
{
	char bounded[COMMENT_MAX];
	struct wbuf piece = wbuf_fixed(bounded, sizeof(bounded));

	text_escaped(&piece, text, len, is_seen, NULL);
	wbuf_put(w, piece.p, piece.len);
	if (piece.bad)
		wbuf_text(w, "...");
}

static void put_text(struct wbuf *w, const char *text)
{
	put_bytes(w, text, strlen(text));
}

static void put_time(struct wbuf *w, uint64_t usec)
{
	time_t t = (time_t)(usec / 1000000);
	char text[64] = "";
	struct tm tm;

	if (gmtime_r(&t, &tm))
		strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%SZ", &tm);
	wbuf_text(w, *text ? text : "(no time)");
}

static void put_reasons(struct wbuf *w, uint64_t reasons)
{
	const char *before = " (";

	for (int i = 0; i < REASON_COUNT; i++)
		if (reasons >> i & 1) {
			wbuf_text(w, before);
			wbuf_text(w, reason_name((enum reason)i));
			before = ", ";
		}
	wbuf_text(w, reasons ? ")" : "");
}

static void put_counts(struct wbuf *w, const struct candidate *k)
{
	const char *before = "# ";

	for (size_t i = 0; i < JUDGED_KINDS; i++)
		if (k->n[i]) {
			wbuf_text(w, before);
			wbuf_text(w, judged_names[i]);
			wbuf_text(w, ": ");
			jsonw_u64(w, k->n[i]);
			before = ", ";
		}
	put_reasons(w, k->reasons);
	wbuf_text(w, k->first == k->last ? ", at " : ", first ");
	put_time(w, k->first);
	if (k->first != k->last) {
		wbuf_text(w, ", last ");
		put_time(w, k->last);
	}
	wbuf_text(w, "\n");
	if (!k->rule)
		return;
	wbuf_text(w, is_wanted(k) && !k->by_deny ? "# nearest rule: " : "# rule: ");
	put_text(w, k->rule);
	wbuf_text(w, ", ");
	put_text(w, k->file ? k->file : "");
	wbuf_text(w, k->line ? ":" : "");
	if (k->line)
		jsonw_u64(w, k->line);
	wbuf_text(w, "\n");
}

/* The lines of TEXT, each behind BEFORE. */
static void put_lines(struct wbuf *w, const char *before, const struct wbuf *text)
{
	const uint8_t *p = text->p, *end = text->len ? p + text->len : p;

	while (p < end) {
		const uint8_t *stop = memchr(p, '\n', (size_t)(end - p));

		stop = stop ? stop + 1 : end;
		wbuf_text(w, before);
		wbuf_put(w, p, (size_t)(stop - p));
		p = stop;
	}
}

/* ---- the rule ---- */

/* Stable: it is made of what the rule says, and nothing else. */
static void name_rule(struct entry *e)
{
	const struct proposal *p = &e->k->proposal;
	const char *command = op_by_number(p->op)->name;
	const char *slash = p->program ? strrchr(p->program, '/') : NULL;
	const char *program = slash ? slash + 1 : p->program;
	uint8_t digest[SHA256_LEN];
	size_t n;

	if (strncmp(command, "guest-", 6) == 0)
		command += 6;
	n = (size_t)snprintf(e->name, sizeof(e->name), "seen-%s%s%.24s", command,
			     program ? "-" : "", program ? program : "");
	for (char *at = e->name; *at; at++)
		if (!(*at >= 'a' && *at <= 'z') && !(*at >= 'A' && *at <= 'Z') &&
		    !(*at >= '0' && *at <= '9') && !strchr("-._+", *at))
			*at = '_';
	/* Of a command without constraints there is one rule. */
	if (memchr(p->body.p, '\n', p->body.len - 1) == NULL)
		return;
	sha256(p->body.p, p->body.len, digest);
	snprintf(e->name + n, sizeof(e->name) - n, "-%02x%02x%02x%02x", digest[0],
		 digest[1], digest[2], digest[3]);
}

static void put_head(struct wbuf *w, const char *name, const char *more,
		     const char *effect)
{
	wbuf_text(w, "[rule \"");
	wbuf_text(w, name);
	wbuf_text(w, more);
	wbuf_text(w, "\"]\neffect = ");
	wbuf_text(w, effect);
	wbuf_text(w, "\n");
}

/* "No arguments" is a deny of any, since there is no other word for it. */
static void put_no_arguments(struct entry *e)
{
	const struct wbuf *body = &e->k->proposal.body;
	const char *path = memmem(body->p, body->len, "\npath = ", 8);
	const char *end = path ? (const char *)body->p + body->len : NULL;

	if (!path)
		return;
	put_head(&e->rule, e->name, "-no-arguments", "deny");
	wbuf_text(&e->rule, "command = guest-exec\n");
	/* A list of four may take more than a line. */
	while (path + 1 < end && strncmp(path + 1, "path = ", 7) == 0) {
		const char *stop = memchr(path + 1, '\n', (size_t)(end - path - 1));

		wbuf_put(&e->rule, path + 1, (size_t)(stop - path));
		path = stop;
	}
	wbuf_text(&e->rule, no_arguments);
}

static void write_rule(struct entry *e)
{
	const struct proposal *p = &e->k->proposal;

	name_rule(e);
	wbuf_empty(&e->rule);
	put_head(&e->rule, e->name, "", "allow");
	wbuf_put(&e->rule, p->body.p, p->body.len);
	if (p->no_arguments && p->how == PROPOSED_RULE)
		put_no_arguments(e);
}

/* There is no rule for K, because of WHY, which may quote the host. */
static void no_rule(struct proposal *p, const char *why)
{
	CLEANUP(wbuf_free) struct wbuf text = wbuf_growing(TEXT_MAX);

	wbuf_text(&text, "no rule can say it: ");
	put_text(&text, why);
	wbuf_u8(&text, '\0');
	proposal_demote(p, PROPOSED_NONE, text.bad ? "" : (const char *)text.p);
}

/* Does P allow what was seen? */
static void try_request(struct proposal *p, const struct policy *policy)
{
	CLEANUP(typed_done) struct typed q = {0};
	struct policy_answer a;
	struct err e;

	if (typed_read(&q, (const char *)p->request.p, p->request.len, &e) < 0) {
		no_rule(p, e.desc);
		return;
	}
	typed_decide(policy, &q, &a);
	if (!a.allowed)
		no_rule(p, reason_text(a.reason));
}

/* Is it a policy, and does it allow what was seen? Else there is no rule. */
static int verify(struct entry *e)
{
	CLEANUP(loaded_done) struct loaded l;
	struct proposal *p = &e->k->proposal;
	const struct source_error *errors;
	int r = loaded_text(&l, "rule", &e->rule);

	if (r > 0 && source_errors(l.source, &errors))
		no_rule(p, errors[0].what);
	else if (r == 0 && p->how == PROPOSED_RULE)
		try_request(p, &l.policy);
	return r < 0 ? -1 : 0;
}

/* ---- what else has to be known of it ---- */

static uint64_t wanted(const struct candidate *k)
{
	return k->n[JUDGED_COMPLAIN] + k->n[JUDGED_ERROR] + k->n[JUDGED_DENY];
}

/* A rule that allows does nothing against one that denies. */
static void heed_denies(struct candidate *k)
{
	if (k->by_deny && k->by_deny == wanted(k) && k->proposal.how == PROPOSED_RULE)
		proposal_demote(&k->proposal, PROPOSED_DRAFT,
				"a deny rule refuses it, so this one would do nothing");
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* Would a deny of arguments be one of what else was seen of the program? */
static void heed_arguments(struct candidate *k, const struct candidates *c)
{
	const struct proposal *p = &k->proposal;

	if (!p->no_arguments || p->how != PROPOSED_RULE)
		return;
	for (size_t i = 0; i < c->n; i++) {
		const struct proposal *other = &c->v[i].proposal;

		if (other->op != OP_exec || other->no_arguments || !other->program ||
		    !streq(base_name(other->program), base_name(p->program)))
			continue;
		proposal_demote(
			&k->proposal, PROPOSED_DRAFT,
			"wider than what was seen: it had no arguments, and a rule "
			"can say so by a deny of all arguments only, which others "
			"of this program have");
		return;
	}
	wbuf_text(&k->proposal.remarks, "it had no arguments, so a deny takes away all "
					"others, of your own rules as well\n");
}

/* Limits of the profile's rules that allowed it go along with it. */
static int restate_limits(struct candidate *k)
{
	CLEANUP(loaded_done) struct loaded l = {0};
	CLEANUP(typed_done) struct typed q = {0};
	struct policy_options o = {0};
	struct proposal *p = &k->proposal;
	struct policy_answer a;
	struct profile profile;
	struct err e;

	/* Its name comes out of a record. */
	o.profile = k->profile;
	if (!k->profile || !profile_find(k->profile, &profile))
		return 0;
	if (loaded_read(&l, &o) != 0)
		return -1;
	if (typed_read(&q, (const char *)p->request.p, p->request.len, &e) < 0)
		return 0;
	typed_decide(&l.policy, &q, &a);
	for (uint32_t i = 0; a.allowed && i < l.policy.head->n_constraints; i++) {
		const struct image_constraint *c = &l.policy.constraints[i];
		enum key_stage stage = key_row(c->key)->stage;

		if ((stage != AT_ACT && stage != AT_ANSWER) ||
		    !(a.matches[c->rule / 64] >> c->rule % 64 & 1))
			continue;
		put_constraint(&p->body, &l.policy, c);
		wbuf_text(&p->body, "\n");
	}
	return 0;
}

static int complete(struct entry *e, const struct candidates *c)
{
	struct proposal *p = &e->k->proposal;
	size_t before = p->body.len;

	heed_denies(e->k);
	heed_arguments(e->k, c);
	span_put(p->op, &p->span, &p->body, &p->remarks);
	if (before == p->body.len && p->how == PROPOSED_RULE && restate_limits(e->k) < 0)
		return -1;
	if (p->how >= PROPOSED_NONE)
		return 0;
	write_rule(e);
	return verify(e);
}

/* ---- text ---- */

static void put_note(struct wbuf *w, const struct candidate *k)
{
	const struct proposal *p = &k->proposal;

	wbuf_text(w, "# ");
	if (k->args || p->how == PROPOSED_NEEDLESS)
		wbuf_text(w, op_by_number(p->op)->name);
	else
		put_bytes(w, (const char *)p->request.p, p->request.len);
	if (k->args && *k->args) {
		wbuf_text(w, " ");
		put_text(w, k->args);
	}
	wbuf_text(w, "\n");
}

static void put_entry(struct wbuf *w, const struct entry *e)
{
	const struct proposal *p = &e->k->proposal;

	wbuf_text(w, "\n");
	if (p->how >= PROPOSED_NONE)
		put_note(w, e->k);
	put_counts(w, e->k);
	put_lines(w, "# ", &p->remarks);
	if (!is_wanted(e->k))
		wbuf_text(w, p->how == PROPOSED_RULE
				     ? "# the base profile allows it; rules here take "
				       "the place of its own\n"
				     : "# the base profile allows it, and with the rules "
				       "of this command here it no longer would\n");
	if (p->how < PROPOSED_NONE)
		put_lines(w, p->how == PROPOSED_DRAFT ? "#" : "", &e->rule);
}

/* ---- JSON ---- */

static void member(struct wbuf *w, const char *name)
{
	wbuf_text(w, ", ");
	jsonw_cstr(w, name);
	wbuf_text(w, ": ");
}

/* The lines of TEXT as an array. */
static void put_array(struct wbuf *w, const struct wbuf *text)
{
	const char *p = (const char *)text->p, *comma = "";

	wbuf_text(w, "[");
	for (const char *end = text->len ? p + text->len : p; p < end; comma = ", ") {
		const char *stop = memchr(p, '\n', (size_t)(end - p));

		wbuf_text(w, comma);
		jsonw_str(w, p, (size_t)(stop - p));
		p = stop + 1;
	}
	wbuf_text(w, "]");
}

static void json_reasons(struct wbuf *w, uint64_t reasons)
{
	const char *comma = "";

	wbuf_text(w, "[");
	for (int i = 0; i < REASON_COUNT; i++)
		if (reasons >> i & 1) {
			wbuf_text(w, comma);
			jsonw_cstr(w, reason_name((enum reason)i));
			comma = ", ";
		}
	wbuf_text(w, "]");
}

static void json_entry(struct wbuf *w, const struct entry *e)
{
	static const char *const names[JUDGED_KINDS] = {"complain", "error", "deny",
							"allow", "allow_by_own_rule"};
	static const char *const hows[] = {"rule", "draft", "none", "needless"};
	const struct candidate *k = e->k;

	wbuf_text(w, w->len ? ", {\"command\": " : "{\"command\": ");
	jsonw_cstr(w, op_by_number(k->proposal.op)->name);
	member(w, "is");
	jsonw_cstr(w, hows[k->proposal.how]);
	for (size_t i = 0; i < JUDGED_KINDS; i++) {
		member(w, names[i]);
		jsonw_u64(w, k->n[i]);
	}
	member(w, "reasons");
	json_reasons(w, k->reasons);
	member(w, "first_usec");
	jsonw_u64(w, k->first);
	member(w, "last_usec");
	jsonw_u64(w, k->last);
	member(w, "remarks");
	put_array(w, &k->proposal.remarks);
	if (k->proposal.how < PROPOSED_NONE) {
		member(w, "name");
		jsonw_cstr(w, e->name);
		member(w, "text");
		jsonw_str(w, (const char *)e->rule.p, e->rule.len);
	} else if (k->args) {
		member(w, "arguments");
		jsonw_cstr(w, k->args);
	} else if (k->proposal.how == PROPOSED_NONE) {
		member(w, "request");
		jsonw_str(w, (const char *)k->proposal.request.p,
			  k->proposal.request.len);
	}
	wbuf_text(w, "}");
}

/* ---- all of them ---- */

/* E, if a policy file still has room for it. */
static void put(struct fragment *f, const struct entry *e)
{
	CLEANUP(wbuf_free) struct wbuf text = wbuf_growing(TEXT_MAX);
	uint64_t n = wanted(e->k) + e->k->n[JUDGED_BASE];

	text.plain = true;
	put_entry(&text, e);
	if (f->text.len + text.len > SOURCE_FILE_MAX || f->rules + 2 > SOURCE_RULES_MAX) {
		f->cut += n;
		return;
	}
	wbuf_put(&f->text, text.p, text.len);
	json_entry(&f->json, e);
	if (e->k->proposal.how == PROPOSED_RULE)
		f->rules += 1 + e->k->proposal.no_arguments;
	else if (e->k->proposal.how != PROPOSED_NEEDLESS)
		f->unsaid += n;
}

static void put_top(struct fragment *f)
{
	wbuf_text(&f->text,
		  "# Suggested by posternctl suggest, out of the records of requests.\n"
		  "# Each rule allows what was seen and, as far as the language can say "
		  "it, nothing\n"
		  "# else. For their commands these rules take the place of the base "
		  "profile's. Read\n"
		  "# them before you use them; then they can be a file in policy.d.\n");
}

static bool is_active(const struct candidate *k)
{
	return is_wanted(k) && k->proposal.how == PROPOSED_RULE;
}

static void entries_free(struct entry **entries)
{
	free(*entries);
}

int fragment_build(struct fragment *f, struct candidates *c)
{
	CLEANUP(entries_free) struct entry *entries = calloc(c->n + 1, sizeof(*entries));
	uint64_t replaced = 0;
	int r = 0;

	*f = (struct fragment){.text = wbuf_growing(TEXT_MAX),
			       .json = wbuf_growing(TEXT_MAX)};
	f->text.plain = f->json.plain = true;
	if (!entries)
		return ctl_fail("no memory"), -1;
	for (size_t i = 0; i < c->n && r == 0; i++) {
		entries[i] =
			(struct entry){.k = &c->v[i], .rule = wbuf_growing(TEXT_MAX)};
		entries[i].rule.plain = true;
		r = complete(&entries[i], c);
		if (is_active(&c->v[i]))
			replaced |= UINT64_C(1) << c->v[i].proposal.op;
	}
	for (size_t i = 0; i < c->n && r == 0; i++) {
		const struct candidate *k = &c->v[i];
		bool taken = k->n[JUDGED_BASE] && replaced >> k->proposal.op & 1;

		if (!f->text.len && (is_wanted(k) || taken))
			put_top(f);
		if (is_wanted(k) || taken)
			put(f, &entries[i]);
	}
	for (size_t i = 0; i < c->n; i++)
		wbuf_free(&entries[i].rule);
	if (f->text.bad || f->json.bad)
		return ctl_fail("no memory"), -1;
	return r;
}

void fragment_done(struct fragment *f)
{
	wbuf_free(&f->text);
	wbuf_free(&f->json);
}
