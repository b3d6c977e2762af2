/*
 * ctl/audit.c - posternctl audit: the records of the audit trail, for people and programs
 *
 * Runs in:   posternctl, as the user who calls it
 * Input:     the command line; records of a journal or a file: any bytes
 * May touch: standard output and error; what trail.h opens
 * Must not:  show a record of another's hand, or a control character
 */
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>

#include "ctl/choice.h"
#include "ctl/ctl.h"
#include "ctl/gaps.h"

#define LINES_MAX    1000000
#define FOLLOW_LINES 10
#define REPORT_MAX   (64 * 1024 * 1024)

struct options {
	struct choice choice;
	enum show_form form;
	uint64_t lines; /* only the last so many; 0: all */
	bool gaps;
};

/* The last texts, the oldest at `at`. */
struct ring {
	struct wbuf *texts;
	size_t n;
	size_t at;
};

/* One call: from the trail to standard output. */
struct view {
	const struct options *o;
	struct show show;
	struct trail *trail;
	struct record *record;
	struct wbuf text;
	struct ring ring;
	struct gaps gaps;
	uint64_t shown;
	int signals; /* with -f: tells of SIGINT and SIGTERM */
	bool done;   /* by a signal, or: */
	bool closed; /* nobody reads any more */
};

static int help(void)
{
	puts("Usage: posternctl audit [OPTIONS]\n"
	     "\n"
	     "Shows what the agent recorded: what the host asked for, what was decided,\n"
	     "by which rule, and what came of it; by default from this machine's "
	     "journal.\n"
	     "\n" CHOICE_HELP_TIMES "  --denied             decisions that refused, "
	     "would have, or failed\n" CHOICE_HELP_WHICH
	     "  -n, --lines N        only the last N\n"
	     "  -f, --follow         the last 10 (with --since: all), then new ones\n"
	     "  --gaps               no records, but which are missing or came twice,\n"
	     "                       and where the worker was killed\n"
	     "  -o, --output short|verbose|json\n"
	     "                       a line for each record; every field; JSON lines\n"
	     "  --json               as -o json\n" CHOICE_HELP_WHERE
	     "  -h, --help           print this\n"
	     "\n" CHOICE_HELP_TIME " Colour on a terminal, unless\n"
	     "NO_COLOR is set.\n"
	     "\n"
	     "Exit status: 0 records were shown, or --gaps found nothing; 1 there were\n"
	     "none, or --gaps found something; 2 wrong call or unreadable.");
	return ctl_flush();
}

/* ---- output ---- */

/* By errno. Nobody reads any more: that is no failure. */
static int cannot_write(struct view *v)
{
	v->done = v->closed = true;
	if (errno == EPIPE)
		return CTL_OK;
	return ctl_fail("cannot write to standard output: %s", strerror(errno));
}

static int flush(struct view *v)
{
	return v->closed || fflush(stdout) == 0 ? CTL_OK : cannot_write(v);
}

static int print(struct view *v, const struct wbuf *text)
{
	v->shown++;
	if (v->closed || fwrite(text->p, 1, text->len, stdout) == text->len)
		return CTL_OK;
	return cannot_write(v);
}

static int ring_init(struct ring *r, uint64_t n)
{
	if (!n)
		return 0;
	r->texts = calloc(n, sizeof(*r->texts));
	r->n = r->texts ? n : 0;
	return r->texts ? 0 : -1;
}

static void ring_done(struct ring *r)
{
	for (size_t i = 0; i < r->n; i++)
		wbuf_free(&r->texts[i]);
	free(r->texts);
	*r = (struct ring){0};
}

static void ring_put(struct ring *r, const struct wbuf *text)
{
	struct wbuf *slot = &r->texts[r->at];

	wbuf_free(slot);
	*slot = wbuf_growing(SHOW_MAX);
	slot->plain = true;
	wbuf_put(slot, text->p, text->len);
	r->at = (r->at + 1) % r->n;
}

/* What it holds goes out; from here on records go out as they come. */
static int ring_print(struct view *v)
{
	struct ring *r = &v->ring;
	int status = CTL_OK;

	for (size_t i = 0; i < r->n && status == CTL_OK && !v->done; i++) {
		const struct wbuf *text = &r->texts[(r->at + i) % r->n];

		if (text->len)
			status = print(v, text);
	}
	ring_done(r);
	return status;
}

static int take(struct view *v)
{
	if (!filter_takes(&v->o->choice.filter, v->record))
		return CTL_OK;
	if (v->o->gaps)
		return gaps_add(&v->gaps, v->record) < 0
			       ? ctl_fail("too many instances or gaps to tell apart")
			       : CTL_OK;
	wbuf_empty(&v->text);
	show_record(&v->show, v->record, &v->text);
	if (v->text.bad)
		return ctl_fail("a record is too long to show");
	if (!v->ring.n)
		return print(v, &v->text);
	ring_put(&v->ring, &v->text);
	return CTL_OK;
}

/* ---- following ---- */

/*
 * Wait for what FDS says, at most TIMEOUT ms. Was it a signal that ends, or is nobody
 * there to read?
 */
static bool ended(const struct view *v, struct pollfd *more, int timeout)
{
	struct pollfd fds[] = {
		{.fd = v->signals, .events = POLLIN}, {.fd = STDOUT_FILENO}, *more};

	if (poll(fds, ARRAY_SIZE(fds), timeout) <= 0)
		return false;
	return fds[0].revents || fds[1].revents & (POLLERR | POLLHUP);
}

static int watch_signals(struct view *v)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	v->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return v->signals < 0 ? ctl_fail("signalfd: %s", strerror(errno)) : CTL_OK;
}

/* Every record that is there by now. */
static int drain(struct view *v)
{
	struct pollfd none = {.fd = -1};
	int status = CTL_OK;
	int n = 0;

	while (status == CTL_OK && !v->done &&
	       (n = v->trail->next(v->trail, v->record)) > 0) {
		status = take(v);
		if (v->signals >= 0 && ended(v, &none, 0))
			v->done = true;
	}
	return n < 0 ? CTL_FAILED : status;
}

static int follow(struct view *v)
{
	int status = CTL_OK;

	while (status == CTL_OK && !v->done && !v->trail->over) {
		struct pollfd p = {.fd = -1};
		int timeout = v->trail->watch(v->trail, &p);

		if (ended(v, &p, timeout))
			break;
		if (v->trail->woken(v->trail) < 0)
			return CTL_FAILED;
		status = drain(v);
		if (status == CTL_OK)
			status = flush(v);
	}
	return status;
}

/* ---- the end ---- */

static int end_gaps(struct view *v)
{
	CLEANUP(wbuf_free) struct wbuf report = wbuf_growing(REPORT_MAX);
	uint64_t found;

	report.plain = true;
	found = gaps_report(&v->gaps, &v->show, &report);
	if (report.bad)
		return ctl_fail("the report is too long");
	if (print(v, &report) != CTL_OK || flush(v) != CTL_OK)
		return CTL_FAILED;
	return found || !v->gaps.records ? CTL_ERROR : CTL_OK;
}

static int end_records(struct view *v)
{
	if (flush(v) != CTL_OK)
		return CTL_FAILED;
	if (v->shown)
		return CTL_OK;
	fputs("-- no records --\n", stderr);
	choice_told_none(&v->o->choice);
	/* Who followed and ended it has what was asked for. */
	return v->o->choice.trail.follow ? CTL_OK : CTL_ERROR;
}

static int show_trail(struct view *v)
{
	int status = v->o->choice.trail.follow ? watch_signals(v) : CTL_OK;

	if (status == CTL_OK)
		status = drain(v);
	if (status == CTL_OK)
		status = ring_print(v);
	if (status == CTL_OK)
		status = flush(v);
	if (status == CTL_OK && v->o->choice.trail.follow)
		status = follow(v);
	choice_told_bad(&v->o->choice, v->trail);
	if (status != CTL_OK)
		return CTL_FAILED;
	return v->o->gaps ? end_gaps(v) : end_records(v);
}

static void view_done(struct view *v)
{
	trail_end_p(&v->trail);
	free(v->record);
	wbuf_free(&v->text);
	ring_done(&v->ring);
	gaps_done(&v->gaps);
	close_p(&v->signals);
}

static int audit(struct options *o)
{
	CLEANUP(view_done)
	struct view v = {.o = o, .signals = -1, .text = wbuf_growing(SHOW_MAX)};

	v.text.plain = true;
	v.show = show_for_stdout(o->form);
	v.gaps.partial = o->choice.since;
	v.record = malloc(sizeof(*v.record));
	if (!v.record || ring_init(&v.ring, o->lines) < 0)
		return ctl_fail("no memory");
	v.trail = choice_open(&o->choice);
	/* Who pipes into `head` wants no more, and no word about it. */
	signal(SIGPIPE, SIG_IGN);
	return v.trail ? show_trail(&v) : CTL_FAILED;
}

/* ---- the command line ---- */

enum { OPT_DENIED = 256, OPT_GAPS, OPT_JSON };

static const struct option longs[] = {
	CHOICE_LONGS,
	{"denied", no_argument, NULL, OPT_DENIED},
	{"lines", required_argument, NULL, 'n'},
	{"follow", no_argument, NULL, 'f'},
	{"gaps", no_argument, NULL, OPT_GAPS},
	{"output", required_argument, NULL, 'o'},
	{"json", no_argument, NULL, OPT_JSON},
	{"help", no_argument, NULL, 'h'},
	{0},
};

static int read_form(const char *text, enum show_form *form)
{
	static const char *const names[] = {
		[SHOW_SHORT] = "short", [SHOW_VERBOSE] = "verbose", [SHOW_JSON] = "json"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (!streq(text, names[i]))
			continue;
		*form = (enum show_form)i;
		return CTL_OK;
	}
	return ctl_fail("audit: -o: '%s' is none of short, verbose, json", text);
}

static int option(struct options *o, int c)
{
	switch (c) {
	case OPT_DENIED:
		o->choice.filter.denied = true;
		return CTL_OK;
	case 'n':
		return choice_number(&o->choice, "--lines", 1, LINES_MAX, &o->lines);
	case 'f':
		o->choice.trail.follow = true;
		return CTL_OK;
	case OPT_GAPS:
		o->gaps = true;
		return CTL_OK;
	case 'o':
		return read_form(optarg, &o->form);
	case OPT_JSON:
		o->form = SHOW_JSON;
		return CTL_OK;
	default:
		return choice_option(&o->choice, c);
	}
}

/* What does not go together. */
static int settle(struct options *o)
{
	const struct filter *f = &o->choice.filter;
	const bool follows = o->choice.trail.follow;

	if (o->gaps && (f->denied || f->ops || f->one_session))
		return ctl_fail("audit: --gaps looks at all records: not with --denied, "
				"--command, --session");
	if (o->gaps && (follows || o->lines))
		return ctl_fail("audit: --gaps goes neither with --follow nor --lines");
	if (follows && o->choice.until)
		return ctl_fail("audit: --follow and --until do not go together");
	if (follows && !o->choice.since && !o->lines)
		o->lines = FOLLOW_LINES;
	return choice_settle(&o->choice);
}

int ctl_audit(int argc, char **argv)
{
	struct options o = {.form = SHOW_SHORT};
	int c;

	choice_init(&o.choice, "audit");
	opterr = 0;
	while ((c = getopt_long(argc, argv, CHOICE_SHORT "n:fo:h", longs, NULL)) != -1) {
		if (c == 'h')
			return help();
		if (c == '?')
			return ctl_fail("audit: unknown option or missing value: '%s' "
					"(try: posternctl audit --help)",
					argv[optind - 1]);
		if (option(&o, c) != CTL_OK)
			return CTL_FAILED;
	}
	if (optind < argc)
		return ctl_fail("audit: one word too many: '%s'", argv[optind]);
	return settle(&o) == CTL_OK ? audit(&o) : CTL_FAILED;
}
