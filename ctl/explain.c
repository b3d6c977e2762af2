/*
 * ctl/explain.c - posternctl explain: what the policy says of one request, and why
 *
 * Runs in:   posternctl, as the user who calls it
 * Input:     the command line; policy files; JSON text of a request
 * May touch: standard output and error
 * Must not:  carry out the request, decide by other code than the agent
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "ctl/ctl.h"
#include "ctl/policy.h"
#include "ctl/typed.h"
#include "ctl/wording.h"
#include "ipc/jsonw.h"

static const struct option longs[] = {
	POLICY_OPTIONS,
	{"file", required_argument, NULL, 'f'},
	{0},
};

#define FILES_MAX 64

static int help(void)
{
	puts("Usage: posternctl explain [OPTIONS] REQUEST\n"
	     "\n"
	     "Says whether REQUEST, a JSON object as the host sends it, would be "
	     "allowed, by\n"
	     "which rule, and with which limits; of a refusal, which rule came nearest "
	     "and\n"
	     "what failed. Nothing is carried out.\n"
	     "\n"
	     "  -f, --file FILE    decide by this policy file (may be repeated)\n"
	     "  --policy-root DIR  the files are beneath DIR\n"
	     "  --profile NAME     decide by this built-in profile\n"
	     "  --json             the decision as JSON\n"
	     "  -h, --help         print this\n"
	     "\n"
	     "Exit status: 0 allowed, 1 denied, 2 wrong call, unreadable or with "
	     "mistakes.");
	return ctl_flush();
}

static const char *decision(const struct policy_answer *a)
{
	if (!a->allowed)
		return "deny";
	return a->complained ? "complain" : "allow";
}

/* ---- for people ---- */

static void print(const struct wbuf *w)
{
	fwrite(w->p, 1, w->len, stdout);
}

static void people(const struct policy *p, const struct typed *q,
		   const struct policy_answer *a)
{
	CLEANUP(wbuf_free) struct wbuf w = wbuf_growing(1024 * 1024);
	const struct image_rule *rule = policy_rule(p, a);

	wbuf_text(&w, q->op->name);
	wbuf_text(&w, ": ");
	wbuf_text(&w, decision(a));
	wbuf_text(&w, " (");
	wbuf_text(&w, reason_name(a->reason));
	wbuf_text(&w, ")\n");
	if (rule) {
		bool nearest = !a->allowed && rule->effect == POLICY_ALLOW;

		wbuf_text(&w, nearest ? "  nearest rule: " : "  rule: ");
		wbuf_text(&w, policy_text(p, rule->name));
		wbuf_text(&w, "\n  at: ");
		put_place(&w, policy_text(p, rule->file), rule->line);
		wbuf_text(&w, "\n");
	}
	if (a->failed >= 0) {
		wbuf_text(&w, "  failed: ");
		put_constraint(&w, p, &p->constraints[a->failed]);
		wbuf_text(&w, "\n");
	}
	for (uint32_t i = 0; a->allowed && i < p->head->n_constraints; i++) {
		const struct image_constraint *c = &p->constraints[i];

		if (key_row(c->key)->stage == AT_REQUEST ||
		    !(a->matches[c->rule / 64] >> c->rule % 64 & 1))
			continue;
		wbuf_text(&w, "  limit: ");
		put_constraint(&w, p, c);
		wbuf_text(&w, "\n");
	}
	print(&w);
}

/* ---- for programs ---- */

static void member(struct wbuf *w, const char *name, const char *value)
{
	wbuf_text(w, ", ");
	jsonw_cstr(w, name);
	wbuf_text(w, ": ");
	jsonw_cstr(w, value);
}

static void json(const struct policy *p, const struct typed *q,
		 const struct policy_answer *a)
{
	CLEANUP(wbuf_free) struct wbuf w = wbuf_growing(1024 * 1024);
	const struct image_rule *rule = policy_rule(p, a);

	wbuf_text(&w, "{\"command\": ");
	jsonw_cstr(&w, q->op->name);
	member(&w, "decision", decision(a));
	member(&w, "reason", reason_name(a->reason));
	if (rule) {
		member(&w, "rule", policy_text(p, rule->name));
		member(&w, "file", policy_text(p, rule->file));
		wbuf_text(&w, ", \"line\": ");
		jsonw_u64(&w, rule->line);
	}
	if (a->failed >= 0) {
		CLEANUP(wbuf_free) struct wbuf text = wbuf_growing(64 * 1024);

		put_constraint(&text, p, &p->constraints[a->failed]);
		wbuf_text(&w, ", \"failed\": ");
		jsonw_str(&w, (const char *)text.p, text.len);
	}
	wbuf_text(&w, "}\n");
	print(&w);
}

/* ---- the verb ---- */

static int explain(const struct policy_options *o, const char *request)
{
	CLEANUP(loaded_done) struct loaded l;
	CLEANUP(typed_done) struct typed q = {0};
	struct policy_answer a;
	struct err e;

	if (loaded_good(&l, o) < 0)
		return CTL_FAILED;
	if (typed_read(&q, request, strlen(request), &e) < 0)
		return ctl_fail("%s", e.desc);
	typed_decide(&l.policy, &q, &a);
	(o->json ? json : people)(&l.policy, &q, &a);
	if (ctl_flush() != CTL_OK)
		return CTL_FAILED;
	return a.allowed ? CTL_OK : CTL_ERROR;
}

int ctl_explain(int argc, char **argv)
{
	char *files[FILES_MAX];
	struct policy_options o = {.files = files};
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "f:h", longs, NULL)) != -1) {
		if (c == 'h')
			return help();
		if (c == 'f' && o.n_files < FILES_MAX)
			files[o.n_files++] = optarg;
		else if (!policy_option(&o, c))
			return policy_option_wrong("explain", argv[optind - 1]);
	}
	if (argc - optind != 1)
		return ctl_fail("explain: give one request (try: posternctl explain "
				"--help)");
	return explain(&o, argv[optind]);
}
