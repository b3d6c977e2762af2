/*
 * ctl/suggest.c - posternctl suggest: rules for what was seen, out of the audit trail
 *
 * Runs in:   posternctl, as the user who calls it
 * Input:     the command line; records of a journal or a file: any bytes
 * May touch: standard output and error; what trail.h opens
 * Must not:  apply anything, write a rule wider than it says
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl/choice.h"
#include "ctl/ctl.h"
#include "ctl/fragment.h"
#include "ctl/policy.h"
#include "ctl/show.h"
#include "ipc/jsonw.h"

struct options {
	struct choice choice;
	bool denied;
	bool json;
};

static int help(void)
{
	puts("Usage: posternctl suggest [OPTIONS]\n"
	     "\n"
	     "Writes rules for what complain mode let through, as text of a policy: "
	     "literal\n"
	     "arguments, never patterns. Nothing is applied. What a rule cannot say, or "
	     "says\n"
	     "of more than was seen, is in its comments; a rule that has to be filled in "
	     "or\n"
	     "looked at first is a comment as a whole. By default from this machine's\n"
	     "journal.\n"
	     "\n" CHOICE_HELP_TIMES
	     "  --denied             for what was refused as well, where a rule could "
	     "change it\n" CHOICE_HELP_WHICH "  --json               rules, counts and "
	     "remarks as JSON\n" CHOICE_HELP_WHERE "  -h, --help           print this\n"
	     "\n" CHOICE_HELP_TIME "\n"
	     "\n"
	     "Exit status: 0 the rules allow all that was seen; 1 they do not, or there "
	     "was\n"
	     "nothing to suggest; 2 wrong call or unreadable.");
	return ctl_flush();
}

/* ---- reading ---- */

static int read_all(struct options *o, struct candidates *c, struct trail *t)
{
	/* What came of a request stands in records that lack its command. */
	const struct filter asked = o->choice.filter;
	CLEANUP(free_p) struct record *r = malloc(sizeof(*r));
	int n;

	if (!r)
		return ctl_fail("no memory");
	while ((n = t->next(t, r)) > 0)
		if (candidates_add(c, r, t->escapes, filter_takes(&asked, r)) < 0)
			return ctl_fail("no memory");
	if (n < 0)
		return CTL_FAILED;
	choice_told_bad(&o->choice, t);
	return candidates_end(c) < 0 ? ctl_fail("no memory") : CTL_OK;
}

static struct trail *open_trail(const struct options *o)
{
	struct choice all = o->choice;

	all.filter.ops = 0;
	all.filter.until = UINT64_MAX;
	return choice_open(&all);
}

/* ---- printing ---- */

/* The lines are ours. */
static bool is_ascii(const void *context, uint32_t cp)
{
	(void)context;
	return cp == '\n' || (cp >= 0x20 && cp < 0x7F);
}

/* A terminal that does not read UTF-8 could take a part of a character for a command. */
static int print_text(const struct fragment *f)
{
	CLEANUP(wbuf_free) struct wbuf shown = wbuf_growing(SHOW_MAX);
	const struct show s = show_for_stdout(SHOW_SHORT);
	const struct wbuf *w = &f->text;

	shown.plain = true;
	if (isatty(STDOUT_FILENO) && !s.utf8) {
		text_escaped(&shown, (const char *)w->p, w->len, is_ascii, NULL);
		w = &shown;
		if (shown.len != f->text.len)
			fputs("posternctl: this terminal does not show UTF-8, so some "
			      "characters are escaped; write to a file\n",
			      stderr);
	}
	if (w->len)
		fwrite(w->p, 1, w->len, stdout);
	return ctl_flush();
}

static int print_json(const struct fragment *f, const struct candidates *c)
{
	CLEANUP(wbuf_free) struct wbuf w = wbuf_growing(64 * 1024 * 1024);

	w.plain = true;
	wbuf_text(&w, "{\"suggestions\": [");
	wbuf_put(&w, f->json.p, f->json.len);
	wbuf_text(&w, "], \"left_out\": {\"refused\": ");
	jsonw_u64(&w, c->denied);
	wbuf_text(&w, ", \"refused_otherwise\": ");
	jsonw_u64(&w, c->others);
	wbuf_text(&w, ", \"too_many\": ");
	jsonw_u64(&w, c->too_many + f->cut);
	wbuf_text(&w, "}, \"policy\": ");
	jsonw_str(&w, (const char *)f->text.p, f->text.len);
	wbuf_text(&w, "}\n");
	if (w.bad)
		return ctl_fail("no memory");
	fwrite(w.p, 1, w.len, stdout);
	return ctl_flush();
}

static void told(const char *what, uint64_t n, const char *then)
{
	if (n)
		fprintf(stderr, "posternctl: %s: %" PRIu64 "%s\n", what, n, then);
}

static void tell(const struct options *o, const struct fragment *f,
		 const struct candidates *c)
{
	if (!f->text.len) {
		fputs("-- nothing to suggest --\n", stderr);
		choice_told_none(&o->choice);
	}
	told("requests that have no rule yet", f->unsaid, "; see the comments");
	told("refusals left out", c->denied, "; --denied takes them in");
	told("refusals left out that no rule changes", c->others, "");
	told("requests left out", c->too_many + f->cut,
	     "; a policy file has no room for more: choose some by --command, --since or "
	     "--session");
}

/* What is printed must be a policy, as a whole as well. */
static int check_whole(const struct fragment *f)
{
	CLEANUP(loaded_done) struct loaded l = {0};
	const struct source_error *e;
	int r = f->text.len ? loaded_text(&l, "suggestion", &f->text) : 0;

	if (r > 0 && source_errors(l.source, &e))
		return ctl_fail("the suggestion is no policy, which is a mistake of this "
				"program: line %u: %s",
				e[0].line, e[0].what);
	return r ? CTL_FAILED : CTL_OK;
}

static int suggest(struct options *o)
{
	CLEANUP(candidates_done) struct candidates c;
	CLEANUP(fragment_done) struct fragment f = {0};
	CLEANUP(trail_end_p) struct trail *t = NULL;
	int r;

	if (candidates_init(&c, o->denied) < 0)
		return ctl_fail("no memory");
	t = open_trail(o);
	if (!t || read_all(o, &c, t) != CTL_OK)
		return CTL_FAILED;
	if (fragment_build(&f, &c) < 0 || check_whole(&f) != CTL_OK)
		return CTL_FAILED;
	tell(o, &f, &c);
	r = o->json ? print_json(&f, &c) : print_text(&f);
	if (r != CTL_OK)
		return r;
	return !f.rules || f.unsaid || f.cut || c.too_many ? CTL_ERROR : CTL_OK;
}

/* ---- the command line ---- */

enum { OPT_DENIED = 256, OPT_JSON };

static const struct option longs[] = {
	CHOICE_LONGS,
	{"denied", no_argument, NULL, OPT_DENIED},
	{"json", no_argument, NULL, OPT_JSON},
	{"help", no_argument, NULL, 'h'},
	{0},
};

int ctl_suggest(int argc, char **argv)
{
	struct options o = {0};
	int c;

	choice_init(&o.choice, "suggest");
	opterr = 0;
	while ((c = getopt_long(argc, argv, CHOICE_SHORT "h", longs, NULL)) != -1) {
		if (c == 'h')
			return help();
		if (c == '?')
			return ctl_fail("suggest: unknown option or missing value: '%s' "
					"(try: posternctl suggest --help)",
					argv[optind - 1]);
		if (c == OPT_DENIED)
			o.denied = true;
		else if (c == OPT_JSON)
			o.json = true;
		else if (choice_option(&o.choice, c) != CTL_OK)
			return CTL_FAILED;
	}
	if (optind < argc)
		return ctl_fail("suggest: one word too many: '%s'", argv[optind]);
	return choice_settle(&o.choice) == CTL_OK ? suggest(&o) : CTL_FAILED;
}
