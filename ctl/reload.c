/*
 * ctl/reload.c - posternctl reload: have a running agent read its policy again
 *
 * Runs in:   posternctl, as the user who calls it: root, or who runs the agent
 * Input:     the command line; answers of the agent
 * May touch: the control socket; standard output and error
 * Must not:  be linked into the agent
 */
#include <stdio.h>

#include "ctl/control.h"
#include "ctl/ctl.h"
#include "ctl/show.h"
#include "ipc/jsonw.h"

/* The agent gives up on the files after ten seconds. */
#define TIMEOUT_MS 30000

static int help(void)
{
	puts("Usage: posternctl reload [OPTIONS]\n"
	     "\n"
	     "Have a running agent read its policy files again, and wait for the "
	     "outcome.\n"
	     "The new policy is put in force as a whole or not at all. While file "
	     "systems\n"
	     "are frozen it waits for the thaw. SIGHUP does the same, without an "
	     "answer.\n");
	fputs(control_help, stdout);
	puts("  -t, --timeout SECONDS  give up waiting then (default: 30, and without "
	     "end\n"
	     "                         for a thaw); the agent goes on by itself\n"
	     "      --json             the outcome as JSON\n"
	     "  -h, --help             this text\n"
	     "\n"
	     "Exit status: 0 if the policy of the files is in force now, 1 if it was\n"
	     "refused and the old one stays, 2 if there was no answer.");
	return ctl_flush();
}

/* What the outcome means to a person, before the reason. */
static const char *const texts[RELOAD_OUTCOMES] = {
	[RELOAD_NONE] = "there was no reload",
	[RELOAD_DONE] = "the new policy is in force",
	[RELOAD_UNCHANGED] = "the policy is in force already",
	[RELOAD_WAITS] = "file systems are frozen: the reload waits for the thaw",
	[RELOAD_MISTAKES] = "refused, the old policy stays",
	[RELOAD_RESTART] = "refused, the old policy stays",
	[RELOAD_LOCKED] = "refused, the old policy stays",
	[RELOAD_FAILED] = "failed, the old policy stays",
};

/* The next line of LINES, which is left with what is behind it; false: none is there. */
static bool take_line(struct v_str *lines, struct v_str *line)
{
	const char *feed = lines->len ? memchr(lines->p, '\n', lines->len) : NULL;

	*line = *lines;
	if (feed)
		line->len = (uint32_t)(feed - lines->p);
	lines->p += line->len + (feed != NULL);
	lines->len -= line->len + (feed != NULL);
	return line->p != lines->p;
}

static void put_lines(struct wbuf *w, struct v_str lines)
{
	const char *between = "";
	struct v_str line;

	wbuf_text(w, ", \"mistakes\": [");
	while (take_line(&lines, &line)) {
		wbuf_text(w, between);
		jsonw_str(w, line.p, line.len);
		between = ", ";
	}
	wbuf_text(w, "]");
}

static int print_json(const struct msg_controlled *m)
{
	CLEANUP(wbuf_free) struct wbuf w = wbuf_growing(SHOW_MAX);

	wbuf_text(&w, "{\"outcome\": ");
	jsonw_cstr(&w, names_reload_outcome.v[m->outcome.v]);
	if (m->detail.set) {
		wbuf_text(&w, ", \"detail\": ");
		jsonw_str(&w, m->detail.p, m->detail.len);
	}
	if (m->mistakes.set)
		put_lines(&w, m->mistakes);
	wbuf_text(&w, "}\n");
	fwrite(w.p, 1, w.len, stdout);
	return ctl_flush();
}

/* Line feeds part mistakes; nothing else of theirs reaches a terminal. */
static void show_lines(const struct show *s, struct v_str lines, struct wbuf *w)
{
	struct v_str line;

	while (take_line(&lines, &line)) {
		show_text(s, line.p, line.len, w);
		wbuf_text(w, "\n");
	}
}

static int print_text(const struct msg_controlled *m)
{
	CLEANUP(wbuf_free) struct wbuf w = wbuf_growing(SHOW_MAX);
	const struct show s = show_for_stdout(SHOW_SHORT);

	if (m->mistakes.set)
		show_lines(&s, m->mistakes, &w);
	wbuf_text(&w, texts[m->outcome.v]);
	if (m->detail.set) {
		wbuf_text(&w, ": ");
		show_text(&s, m->detail.p, m->detail.len, &w);
	}
	wbuf_text(&w, "\n");
	fwrite(w.p, 1, w.len, stdout);
	return ctl_flush();
}

/* Until the reload has ended: first it may say that it waits. */
static int wait_for_end(struct control_link *l, const struct control_options *o,
			uint64_t timeout_ms, struct msg_controlled *m)
{
	do {
		if (control_answer(l, timeout_ms, m) != CTL_OK)
			return CTL_FAILED;
		if (m->verb.v != CONTROL_RELOAD || !m->outcome.set)
			return ctl_fail("what answers is no agent");
		if (m->outcome.v == RELOAD_WAITS) {
			fprintf(stderr, "posternctl: %s\n", texts[RELOAD_WAITS]);
			timeout_ms = o->timeout_ms;
		}
	} while (m->outcome.v == RELOAD_WAITS);
	return CTL_OK;
}

static int run(const struct control_options *o)
{
	const uint64_t timeout_ms = o->timeout_ms ? o->timeout_ms : TIMEOUT_MS;
	CLEANUP(control_done) struct control_link l = {.fd = -1};
	struct msg_controlled m;
	int r;

	if (control_open(&l, o->path, timeout_ms) != CTL_OK ||
	    control_ask(&l, CONTROL_RELOAD) != CTL_OK ||
	    wait_for_end(&l, o, timeout_ms, &m) != CTL_OK)
		return CTL_FAILED;
	r = o->json ? print_json(&m) : print_text(&m);
	if (r != CTL_OK)
		return r;
	return m.outcome.v == RELOAD_DONE || m.outcome.v == RELOAD_UNCHANGED ? CTL_OK
									     : CTL_ERROR;
}

int ctl_reload(int argc, char **argv)
{
	struct control_options o = {0};
	int r = control_parse(&o, argc, argv);

	if (r < 0)
		return help();
	return r == CTL_OK ? run(&o) : r;
}
