/*
 * ctl/diff.c - posternctl diff: what becomes allowed, what becomes denied
 *
 * Runs in:   posternctl, as the user who calls it
 * Input:     the command line; policy files: any bytes; the policy of a running agent
 * May touch: standard output and error
 * Must not:  carry out a request, tell of a difference without one that shows it
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "ctl/control.h"
#include "ctl/ctl.h"
#include "ctl/differ.h"
#include "ctl/limits.h"
#include "ctl/policy.h"
#include "ctl/show.h"
#include "ctl/wording.h"
#include "ipc/jsonw.h"

#define PROFILE    "profile:"
#define INSTALLED  "installed"
#define RUNNING    "running"
#define TIMEOUT_MS 10000
#define TEXT_MAX   (64u * 1024 * 1024)

static const struct option longs[] = {
	{"control", required_argument, NULL, 'c'},
	{"json", no_argument, NULL, 'j'},
	{"help", no_argument, NULL, 'h'},
	{0},
};

static int help(void)
{
	puts("Usage: posternctl diff [OPTIONS] [A] B\n"
	     "\n"
	     "Says what becomes allowed (+) and denied (-) and which limits and settings "
	     "change\n"
	     "(~) when B takes the place of the policy A. Each line names a request that "
	     "the two\n"
	     "treat differently. Without A it is the policy of this machine.\n"
	     "\n"
	     "A and B are a policy file, a directory with the files beneath it (as for\n"
	     "check --policy-root), profile:NAME, installed, or running: the policy that "
	     "an\n"
	     "agent decides by, of which its control socket tells. So \"diff running\n"
	     "installed\" says what a reload would change.\n"
	     "\n"
	     "  -c, --control PATH  of the running agent (default: $" CONTROL_VARIABLE
	     ", else\n"
	     "                      " CONTROL_DEFAULT ")\n"
	     "  --json              the differences as JSON\n"
	     "  -h, --help          print this\n"
	     "\n"
	     "Exit status: 0 no difference, 1 differences, or not all could be "
	     "searched,\n"
	     "2 wrong call, unreadable or with mistakes.");
	return ctl_flush();
}

/* ---- settings ---- */

static const char *yes_no(uint64_t yes)
{
	return yes ? "yes" : "no";
}

static void mode(const struct policy *p, char *out, size_t size)
{
	snprintf(out, size, "%s", policy_mode(p));
}

static void ceiling(const struct policy *p, char *out, size_t size)
{
	snprintf(out, size, "%s", policy_text(p, p->head->ceiling));
}

static void deny_detail(const struct policy *p, char *out, size_t size)
{
	static const char *const words[] = {"none", "ref", "full"};

	snprintf(out, size, "%s", words[p->head->detail]);
}

static void lock(const struct policy *p, char *out, size_t size)
{
	snprintf(out, size, "%s", yes_no(p->head->lock));
}

static void on_reload(const struct policy *p, char *out, size_t size)
{
	snprintf(out, size, "%s", p->head->keep_on_reload ? "keep" : "revoke");
}

static void on_stop(const struct policy *p, char *out, size_t size)
{
	snprintf(out, size, "%s", p->head->keep_on_stop ? "keep" : "kill");
}

static void required(const struct policy *p, char *out, size_t size)
{
	snprintf(out, size, "%s", yes_no(p->head->audit_required));
}

static void interval(const struct policy *p, char *out, size_t size)
{
	snprintf(out, size, "%u ms", p->head->audit_interval_ms);
}

/* 0 is the build's own. */
static void number(uint64_t n, const char *unit, char *out, size_t size)
{
	out[0] = '\0';
	if (n)
		snprintf(out, size, "%llu%s", (unsigned long long)n, unit);
}

static void exec_concurrent(const struct policy *p, char *out, size_t size)
{
	number(p->head->exec_concurrent, "", out, size);
}

static void handles(const struct policy *p, char *out, size_t size)
{
	number(p->head->handles, "", out, size);
}

static void message_max(const struct policy *p, char *out, size_t size)
{
	number(p->head->message_max, " bytes", out, size);
}

static const struct {
	const char *section;
	const char *name;
	void (*put)(const struct policy *p, char *out, size_t size);
} settings[] = {
	{"policy", "mode", mode},
	{"policy", "ceiling", ceiling},
	{"policy", "deny-detail", deny_detail},
	{"policy", "lock", lock},
	{"policy", "on-reload", on_reload},
	{"policy", "on-stop", on_stop},
	{"limits", "exec-concurrent", exec_concurrent},
	{"limits", "handles", handles},
	{"limits", "message-max", message_max},
	{"audit", "required", required},
	{"audit", "interval", interval},
};

struct setting_change {
	char before[256];
	char after[256];
};

/* Does setting I differ? */
static bool is_set_otherwise(const struct differ *d, size_t i, struct setting_change *c)
{
	settings[i].put(d->p[0], c->before, sizeof(c->before));
	settings[i].put(d->p[1], c->after, sizeof(c->after));
	return !streq(c->before, c->after);
}

/* ---- for people ---- */

struct output {
	const struct differ *d;
	const char *names[2];
	struct show show;
	struct wbuf w;
	size_t n; /* lines so far */
};

static void put(struct output *o, const char *text)
{
	show_text(&o->show, text, strlen(text), &o->w);
}

static void put_rule(struct output *o, const struct policy *p,
		     const struct image_rule *rule)
{
	CLEANUP(wbuf_free) struct wbuf place = wbuf_growing(64 * 1024);

	put_place(&place, policy_text(p, rule->file), rule->line);
	wbuf_text(&o->w, "\"");
	put(o, policy_text(p, rule->name));
	wbuf_text(&o->w, "\" (");
	show_text(&o->show, (const char *)place.p, place.len, &o->w);
	wbuf_text(&o->w, ")");
}

/* Why P refuses what LINE's request asks for. */
static void put_refusal(struct output *o, const struct policy *p,
			const struct policy_answer *a, const struct difference *d)
{
	CLEANUP(wbuf_free) struct wbuf failed = wbuf_growing(IMAGE_MAX);
	const struct image_rule *rule = policy_rule(p, a);

	if (!rule) {
		wbuf_text(&o->w, "no rule");
		return;
	}
	wbuf_text(&o->w, d->refusal == REFUSED_BY_DENY    ? "deny rule "
			 : d->refusal == REFUSED_BY_LIMIT ? "beyond a limit, rule "
							  : "nearest rule ");
	put_rule(o, p, rule);
	if (d->refusal == REFUSED_BY_LIMIT) {
		wbuf_text(&o->w, ": ");
		put(o, key_row(d->refuses)->name);
	} else if (a->failed >= 0) {
		put_constraint(&failed, p, &p->constraints[a->failed]);
		wbuf_text(&o->w, ": ");
		show_text(&o->show, (const char *)failed.p, failed.len, &o->w);
	}
}

/* How long a limit may be in a line for people. */
#define VALUE_MAX 200

static void put_value_text(struct output *o, const char *text)
{
	size_t len = strlen(text);

	show_text(&o->show, text, min_size(len, VALUE_MAX), &o->w);
	wbuf_text(&o->w, !len ? "not set" : len > VALUE_MAX ? "..." : "");
}

static void put_change(struct output *o, const char *before, const char *after)
{
	wbuf_text(&o->w, ": ");
	put_value_text(o, before);
	wbuf_text(&o->w, " -> ");
	put_value_text(o, after);
	wbuf_text(&o->w, "\n");
}

static void people_setting(struct output *o, size_t i, const struct setting_change *c)
{
	wbuf_text(&o->w, "~ [");
	wbuf_text(&o->w, settings[i].section);
	wbuf_text(&o->w, "] ");
	wbuf_text(&o->w, settings[i].name);
	put_change(o, c->before, c->after);
}

static void people_decision(struct output *o, const struct differ_line *l)
{
	unsigned int by = l->d.direction == '+';
	const struct policy *p = o->d->p[by];

	wbuf_text(&o->w,
		  by ? ": becomes allowed by " : ": becomes denied, was allowed by ");
	put_rule(o, p, &p->rules[l->d.allows]);
	wbuf_text(&o->w, l->a[by].complained ? " (complain)\n" : "\n");
	wbuf_text(&o->w, by ? "    was refused: " : "    is refused: ");
	put_refusal(o, o->d->p[!by], &l->a[!by], &l->d);
	wbuf_text(&o->w, "\n");
}

static void people_line(struct output *o, const struct differ_line *l)
{
	char direction[] = {l->d.direction, ' ', '\0'};

	wbuf_text(&o->w, direction);
	wbuf_text(&o->w, op_by_number(l->d.op)->name);
	if (l->d.direction == '~') {
		wbuf_text(&o->w, ": ");
		wbuf_text(&o->w, limit_name(l->d.limit));
		put_change(o, l->d.before, l->d.after);
	} else {
		people_decision(o, l);
	}
	wbuf_text(&o->w, "    as in: ");
	put(o, l->request);
	if (*l->object) {
		wbuf_text(&o->w, "\n    with:  ");
		put(o, l->object);
	}
	wbuf_text(&o->w, "\n");
}

static void people(struct output *o)
{
	struct setting_change c;

	for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
		if (is_set_otherwise(o->d, i, &c)) {
			people_setting(o, i, &c);
			o->n++;
		}
	for (uint32_t i = 0; i < o->d->n; i++, o->n++)
		people_line(o, &o->d->v[i]);
	if (!o->n)
		wbuf_text(&o->w,
			  o->d->cut ? "No difference was found.\n" : "No difference.\n");
}

/* ---- for programs ---- */

static void name(struct output *o, const char *text)
{
	if (o->w.len && o->w.p[o->w.len - 1] != '{')
		wbuf_text(&o->w, ", ");
	jsonw_cstr(&o->w, text);
	wbuf_text(&o->w, ": ");
}

static void member(struct output *o, const char *key, const char *value)
{
	name(o, key);
	jsonw_cstr(&o->w, value);
}

static void json_rule(struct output *o, const struct policy *p,
		      const struct image_rule *rule)
{
	member(o, "rule", policy_text(p, rule->name));
	member(o, "file", policy_text(p, rule->file));
	name(o, "line");
	jsonw_u64(&o->w, rule->line);
}

/* What one policy makes of the request. */
static void json_answer(struct output *o, const char *key, const struct policy *p,
			const struct policy_answer *a)
{
	const struct image_rule *rule =
		a->allowed ? rule_that_allows(p, a) : policy_rule(p, a);

	name(o, key);
	wbuf_text(&o->w, "{");
	member(o, "decision",
	       !a->allowed     ? "deny"
	       : a->complained ? "complain"
			       : "allow");
	member(o, "reason", reason_name(a->reason));
	if (rule)
		json_rule(o, p, rule);
	if (!a->allowed && a->failed >= 0) {
		CLEANUP(wbuf_free) struct wbuf text = wbuf_growing(IMAGE_MAX);

		put_constraint(&text, p, &p->constraints[a->failed]);
		name(o, "failed");
		jsonw_str(&o->w, (const char *)text.p, text.len);
	}
	wbuf_text(&o->w, "}");
}

static void json_line(struct output *o, const struct differ_line *l)
{
	static const char *const refusals[] = {
		[REFUSED_UNMATCHED] = "no-allow",
		[REFUSED_BY_DENY] = "deny",
		[REFUSED_BY_LIMIT] = "limit",
	};
	const char direction[] = {l->d.direction, '\0'};

	wbuf_text(&o->w, o->n++ ? ",\n  {" : "\n  {");
	member(o, "direction", direction);
	member(o, "command", op_by_number(l->d.op)->name);
	if (l->d.direction != '~') {
		member(o, "refused", refusals[l->d.refusal]);
	} else {
		member(o, "limit", limit_name(l->d.limit));
		member(o, "from", l->d.before);
		member(o, "to", l->d.after);
	}
	json_answer(o, "before", o->d->p[0], &l->a[0]);
	json_answer(o, "after", o->d->p[1], &l->a[1]);
	name(o, "request");
	wbuf_text(&o->w, l->request);
	if (*l->object) {
		name(o, "object");
		wbuf_text(&o->w, l->object);
	}
	wbuf_text(&o->w, "}");
}

static void json(struct output *o)
{
	struct setting_change c;
	size_t changes = 0;

	wbuf_text(&o->w, "{");
	member(o, "a", o->names[0]);
	member(o, "b", o->names[1]);
	name(o, "complete");
	jsonw_bool(&o->w, !o->d->cut);
	name(o, "settings");
	wbuf_text(&o->w, "[");
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
		if (!is_set_otherwise(o->d, i, &c))
			continue;
		wbuf_text(&o->w, changes++ ? ", {" : "{");
		member(o, "section", settings[i].section);
		member(o, "setting", settings[i].name);
		member(o, "from", c.before);
		member(o, "to", c.after);
		wbuf_text(&o->w, "}");
	}
	wbuf_text(&o->w, "]");
	name(o, "differences");
	wbuf_text(&o->w, "[");
	for (uint32_t i = 0; i < o->d->n; i++)
		json_line(o, &o->d->v[i]);
	wbuf_text(&o->w, "]}\n");
	o->n += changes;
}

/* ---- the verb ---- */

/* By which a running agent decides. */
static int read_running(struct loaded *l, const char *control)
{
	CLEANUP(control_done) struct control_link link = {.fd = -1};
	CLEANUP(close_p) int fd = -1;

	if (control_open(&link, control, TIMEOUT_MS) != CTL_OK)
		return -1;
	fd = control_policy(&link, TIMEOUT_MS);
	return fd < 0 ? -1 : loaded_image(l, fd);
}

/* A file, a directory, a profile, a word; NULL: what is installed. */
static int read_policy(struct loaded *l, const char *what, const char *control)
{
	char *file = (char *)(uintptr_t)what;
	struct policy_options o = {0};
	struct stat st;

	*l = (struct loaded){0};
	if (!what || streq(what, INSTALLED))
		return loaded_good(l, &o);
	if (streq(what, RUNNING))
		return read_running(l, control);
	if (!strncmp(what, PROFILE, strlen(PROFILE))) {
		o.profile = what + strlen(PROFILE);
	} else if (stat(what, &st) < 0) {
		ctl_fail("%s: %s", what, strerror(errno));
		return -1;
	} else if (S_ISDIR(st.st_mode)) {
		o.root = what;
	} else {
		o.files = &file;
		o.n_files = 1;
	}
	return loaded_good(l, &o);
}

static int report(const struct differ *d, const char *a, const char *b, bool as_json)
{
	struct output o = {.d = d,
			   .names = {a ? a : "the policy of this machine", b},
			   .show = show_for_stdout(SHOW_SHORT),
			   .w = wbuf_growing(TEXT_MAX)};

	o.w.plain = true;
	(as_json ? json : people)(&o);
	if (d->cut)
		fputs("posternctl: the search was cut short: there may be more "
		      "differences\n",
		      stderr);
	if (o.w.bad) {
		wbuf_free(&o.w);
		return ctl_fail("out of memory");
	}
	fwrite(o.w.p, 1, o.w.len, stdout);
	wbuf_free(&o.w);
	if (ctl_flush() != CTL_OK)
		return CTL_FAILED;
	/* Of what was not searched nobody can say that it is the same. */
	return o.n || d->cut ? CTL_ERROR : CTL_OK;
}

static int diff(const char *a, const char *b, const char *control, bool as_json)
{
	CLEANUP(loaded_done) struct loaded before = {0};
	CLEANUP(loaded_done) struct loaded after = {0};
	CLEANUP(differ_done) struct differ d = {0};

	if (read_policy(&before, a, control) < 0 || read_policy(&after, b, control) < 0)
		return CTL_FAILED;
	if (differ_find(&d, &before.policy, &after.policy) < 0)
		return ctl_fail("out of memory");
	return report(&d, a, b, as_json);
}

int ctl_diff(int argc, char **argv)
{
	const char *control = NULL;
	bool as_json = false;
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, "c:h", longs, NULL)) != -1) {
		if (c == 'h')
			return help();
		if (c == 'c')
			control = optarg;
		else if (c == 'j')
			as_json = true;
		else
			return policy_option_wrong("diff", argv[optind - 1]);
	}
	argc -= optind;
	argv += optind;
	if (argc != 1 && argc != 2)
		return ctl_fail("diff: give one or two policies (try: posternctl diff "
				"--help)");
	return diff(argc == 2 ? argv[0] : NULL, argv[argc - 1], control, as_json);
}
