/*
 * ctl/check.c - posternctl check: mistakes in policy files, and their tests
 *
 * Runs in:   posternctl, as the user who calls it
 * Input:     the command line; policy files: any bytes
 * May touch: standard output and error
 * Must not:  call a policy good that the agent would refuse
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "ctl/ctl.h"
#include "ctl/policy.h"
#include "ctl/typed.h"
#include "ctl/wording.h"
#include "ipc/jsonw.h"

static const struct option longs[] = {POLICY_OPTIONS, {0}};

static int help(void)
{
	puts("Usage: posternctl check [OPTIONS] [FILE...]\n"
	     "\n"
	     "Reads the policy files of this machine, or the FILEs, as the agent would: "
	     "says\n"
	     "what is wrong with them, and runs their [test] sections. Notes on "
	     "standard\n"
	     "error tell of rules wider than they look, clients that would stop, and "
	     "what\n"
	     "takes the place of the base profile; they change nothing.\n"
	     "\n"
	     "  --policy-root DIR  the files are beneath DIR\n"
	     "  --profile NAME     check this built-in profile\n"
	     "  --json             findings as JSON\n"
	     "  -h, --help         print this\n"
	     "\n"
	     "Exit status: 0 good, 1 findings, 2 wrong call or unreadable.");
	return ctl_flush();
}

/* Findings so far, as lines for people or as members of a JSON array. */
struct findings {
	bool json;
	unsigned int n;
};

static void finding(struct findings *f, const char *file, uint32_t line, const char *what)
{
	CLEANUP(wbuf_free) struct wbuf w = wbuf_growing(64 * 1024);

	if (f->json) {
		wbuf_text(&w, f->n ? ", " : "");
		wbuf_text(&w, "{\"file\": ");
		jsonw_cstr(&w, file);
		wbuf_text(&w, ", \"line\": ");
		jsonw_u64(&w, line);
		wbuf_text(&w, ", \"what\": ");
		jsonw_cstr(&w, what);
		wbuf_text(&w, "}");
	} else {
		put_place(&w, file, line);
		wbuf_text(&w, ": ");
		wbuf_text(&w, what);
		wbuf_text(&w, "\n");
	}
	fwrite(w.p, 1, w.len, stdout);
	f->n++;
}

/* ---- [test] sections ---- */

static bool is_expected(const struct policy *p, const struct source_test *t,
			const struct policy_answer *a)
{
	const struct image_rule *rule = policy_rule(p, a);
	bool allowed = a->allowed && !a->complained;

	if (allowed != t->expect_allow)
		return false;
	if (!t->expect_rule)
		return true;
	if (t->expect_allow)
		return rule && streq(policy_text(p, rule->name), t->expect_rule);
	return streq(reason_name(a->reason), t->expect_rule);
}

static void run_test(struct findings *f, const struct policy *p,
		     const struct source_test *t)
{
	struct policy_answer a;
	struct typed q;
	struct err e;
	char what[2048];

	if (typed_read(&q, t->request, strlen(t->request), &e) < 0) {
		snprintf(what, sizeof(what), "[test \"%s\"]: %s", t->name, e.desc);
		finding(f, t->file, t->line, what);
		typed_done(&q);
		return;
	}
	typed_decide(p, &q, &a);
	if (!is_expected(p, t, &a)) {
		const struct image_rule *rule = policy_rule(p, &a);

		snprintf(what, sizeof(what), "[test \"%s\"]: it is %s (%s%s%s)", t->name,
			 a.complained ? "let through by complain mode"
			 : a.allowed  ? "allowed"
				      : "denied",
			 reason_name(a.reason), rule ? ", rule " : "",
			 rule ? policy_text(p, rule->name) : "");
		finding(f, t->file, t->line, what);
	}
	typed_done(&q);
}

static int report(const struct findings *f, size_t tests)
{
	if (f->json)
		printf("]\n");
	else if (!f->n)
		printf("The policy is good; %zu test%s passed.\n", tests,
		       tests == 1 ? "" : "s");
	if (ctl_flush() != CTL_OK)
		return CTL_FAILED;
	return f->n ? CTL_ERROR : CTL_OK;
}

static int check(const struct policy_options *o)
{
	CLEANUP(loaded_done) struct loaded l;
	struct findings f = {.json = o->json};
	const struct source_error *e;
	const struct source_test *t;
	size_t n_tests = 0, n;
	int r = loaded_read(&l, o);

	if (r < 0)
		return CTL_FAILED;
	if (f.json)
		printf("[");
	n = source_errors(l.source, &e);
	for (size_t i = 0; i < n; i++)
		finding(&f, e[i].file, e[i].line, e[i].what);
	if (r == 0) {
		check_notes(&l.policy);
		n_tests = source_tests(l.source, &t);
	}
	for (size_t i = 0; i < n_tests; i++)
		run_test(&f, &l.policy, &t[i]);
	return report(&f, n_tests);
}

int ctl_check(int argc, char **argv)
{
	struct policy_options o = {0};
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		if (c == 'h')
			return help();
		if (!policy_option(&o, c))
			return policy_option_wrong("check", argv[optind - 1]);
	}
	o.files = argv + optind;
	o.n_files = argc - optind;
	return check(&o);
}
