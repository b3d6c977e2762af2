/*
 * ctl/status.c - posternctl status: what a running agent decides by, holds and does
 *
 * Runs in:   posternctl, as the user who calls it: root, or who runs the agent
 * Input:     the command line; answers of the agent
 * May touch: the control socket; standard output and error
 * Must not:  be linked into the agent
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "ctl/control.h"
#include "ctl/ctl.h"
#include "ctl/show.h"

#define TIMEOUT_MS 10000

static int help(void)
{
	puts("Usage: posternctl status [OPTIONS]\n"
	     "\n"
	     "Say by which policy a running agent decides, what is frozen, what its\n"
	     "processes do, which privilege it holds, and whether records were lost.\n");
	fputs(control_help, stdout);
	puts("  -t, --timeout SECONDS  for each wait (default: 10)\n"
	     "      --json             as JSON\n"
	     "  -h, --help             this text\n"
	     "\n"
	     "Exit status: 0, 1 if the agent is locked down, 2 if there was no answer.");
	return ctl_flush();
}

/* ---- for people ---- */

struct page {
	struct show show;
	struct wbuf text;
};

/* A line: WHAT, then text of ours and texts of the agent's, which are escaped. */
PRINTF(3, 4)
static void line(struct page *p, const char *what, const char *fmt, ...)
{
	char text[4096];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	wbuf_text(&p->text, what);
	for (size_t i = strlen(what); i < 13; i++)
		wbuf_text(&p->text, " ");
	show_text(&p->show, text, min_size((size_t)n, sizeof(text) - 1), &p->text);
	wbuf_text(&p->text, "\n");
}

#define TEXT(s) (int)(s).len, (s).p

static const char *local_time(uint64_t usec, char *buf, size_t size)
{
	const time_t t = (time_t)(usec / 1000000);
	struct tm tm;

	localtime_r(&t, &tm);
	strftime(buf, size, "%Y-%m-%d %H:%M:%S", &tm);
	return buf;
}

static void show_policy(struct page *p, const struct msg_status *s)
{
	char when[32];

	line(p, "Policy", "base %.*s, mode %.*s%s%.*s%s", TEXT(s->base), TEXT(s->mode),
	     s->ceiling.set ? ", ceiling " : "", TEXT(s->ceiling),
	     s->lock.v ? ", locked until a restart" : "");
	if (s->locked_down.set)
		line(p, "LOCKED DOWN", "%.*s", TEXT(s->locked_down));
	line(p, "", "generation %" PRIu64 ", in force since %s", s->generation.v,
	     local_time(s->loaded.v, when, sizeof(when)));
	line(p, "", "sha256 %.*s", TEXT(s->digest));
	if (s->reload_time.set)
		line(p, "Reload", "%s: %s%s%.*s",
		     local_time(s->reload_time.v, when, sizeof(when)),
		     names_reload_outcome.v[s->reload.v],
		     s->reload_detail.set ? ", " : "", TEXT(s->reload_detail));
	if (s->reload_waits.v)
		line(p, "", "another waits for the thaw");
}

static void show_freeze(struct page *p, const struct msg_status *s)
{
	if (!s->frozen.v)
		line(p, "Frozen", "nothing");
	else if (s->thaw_in_ms.set)
		line(p, "Frozen",
		     "%" PRIu64 " file systems, thawed in %" PRIu64 " s at the latest",
		     s->frozen_count.v, s->thaw_in_ms.v / 1000);
	else
		line(p, "Frozen", "%" PRIu64 " file systems, without a deadline",
		     s->frozen_count.v);
}

static bool same(const struct v_str *a, const struct v_str *b)
{
	return a->len == b->len && memcmp(a->p, b->p, a->len) == 0;
}

static void show_privilege(struct page *p, const struct msg_status *s)
{
	line(p, "Privilege", "%.*s", TEXT(s->privileges));
	line(p, "Files", "%.*s%s", TEXT(s->files),
	     s->landlock.v ? "" : " (not held back: this kernel has no Landlock)");
	if (same(&s->privileges, &s->needed) && same(&s->files, &s->needed_files))
		return;
	line(p, "", "the policy needs no more than: %.*s; files: %.*s", TEXT(s->needed),
	     TEXT(s->needed_files));
	line(p, "", "a restart of the agent gives up the rest");
}

static void show_work(struct page *p, const struct msg_status *s)
{
	line(p, "Processes", "worker %" PRId64 ", frontend %s, inspector %s, spawner %s",
	     s->pid.v, s->frontend.v ? "up" : "down", s->inspector.v ? "up" : "down",
	     s->spawner.v ? "up" : "none");
	line(p, "At work",
	     "%" PRIu64 " requests, %" PRIu64 " open files, %" PRIu64 " programs",
	     s->requests.v, s->handles.v, s->programs.v);
	line(p, "Records", "%" PRIu64 " made, %" PRIu64 " bytes wait, %" PRIu64 " lost",
	     s->records.v, s->held_bytes.v, s->dropped.v);
}

static int print_text(const struct msg_status *s)
{
	struct page p = {
		.show = show_for_stdout(SHOW_SHORT),
		.text = wbuf_growing(SHOW_MAX),
	};

	line(&p, "Postern", "%.*s%s%.*s", TEXT(s->version), s->channel.set ? ", " : "",
	     TEXT(s->channel));
	show_policy(&p, s);
	show_freeze(&p, s);
	show_privilege(&p, s);
	show_work(&p, s);
	fwrite(p.text.p, 1, p.text.len, stdout);
	wbuf_free(&p.text);
	return ctl_flush();
}

/* ---- for programs ---- */

static int print_json(const struct msg_status *s)
{
	CLEANUP(wbuf_free) struct wbuf encoded = wbuf_growing(SHOW_MAX);
	CLEANUP(wbuf_free) struct wbuf text = wbuf_growing(SHOW_MAX);
	struct rbuf r;

	schema_put(&encoded, &schema_status, s);
	r = rbuf_of(encoded.p, encoded.len);
	if (encoded.bad ||
	    schema_render(&r, &schema_status, &(struct render){0}, &text) < 0)
		return ctl_fail("out of memory");
	wbuf_text(&text, "\n");
	fwrite(text.p, 1, text.len, stdout);
	return ctl_flush();
}

static int run(const struct control_options *o)
{
	const uint64_t timeout_ms = o->timeout_ms ? o->timeout_ms : TIMEOUT_MS;
	CLEANUP(control_done) struct control_link l = {.fd = -1};
	const struct msg_status *s;
	struct msg_controlled m;
	int r;

	if (control_open(&l, o->path, timeout_ms) != CTL_OK ||
	    control_ask(&l, CONTROL_STATUS) != CTL_OK ||
	    control_answer(&l, timeout_ms, &m) != CTL_OK)
		return CTL_FAILED;
	if (!m.status.set)
		return ctl_fail("what answers is no agent");
	s = m.status.v;
	r = o->json ? print_json(s) : print_text(s);
	return r == CTL_OK && s->locked_down.set ? CTL_ERROR : r;
}

int ctl_status(int argc, char **argv)
{
	struct control_options o = {0};
	int r = control_parse(&o, argc, argv);

	if (r < 0)
		return help();
	return r == CTL_OK ? run(&o) : r;
}
