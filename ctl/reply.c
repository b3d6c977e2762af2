/*
 * ctl/reply.c - the reply of an agent: what it is, and how it is shown
 *
 * Runs in:   posternctl, as the user who calls it
 * Input:     a line of an agent: any bytes
 * May touch: standard output
 * Must not:  change a value on its way to the screen
 */
#include "ctl/reply.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

#include "ctl/ctl.h"
#include "ctl/link.h"
#include "ipc/jsonw.h"

int reply_judge(const char *line, size_t len)
{
	cJSON *reply = cJSON_ParseWithLength(line, len);
	bool good = cJSON_HasObjectItem(reply, "return");
	bool bad = cJSON_HasObjectItem(reply, "error");

	cJSON_Delete(reply);
	if (good != bad)
		return good ? CTL_OK : CTL_ERROR;
	return ctl_fail("this is no reply of an agent");
}

/* ---- indented ---- */

/* JSON text on its way through: only white space between its tokens changes. */
struct pretty {
	struct wbuf *w;
	const char *p;
	const char *end;
	unsigned int depth;
};

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void new_line(struct pretty *j)
{
	wbuf_text(j->w, "\n");
	for (unsigned int i = 0; i < j->depth; i++)
		wbuf_text(j->w, "  ");
}

/* What is not printable ASCII, as JSON escapes it. */
static void put_escaped(struct wbuf *w, const char *p, size_t len)
{
	CLEANUP(wbuf_free) struct wbuf text = wbuf_growing(12 * len + 2);

	jsonw_str(&text, p, len);
	w->bad |= text.bad;
	if (!text.bad)
		wbuf_put(w, text.p + 1, text.len - 2);
}

static bool is_plain(char c)
{
	return c >= 0x20 && c < 0x7F;
}

/* The string at P, with its quotes; its own escapes stay. */
static void put_string(struct pretty *j)
{
	bool escaped = false, over = false;

	wbuf_put(j->w, j->p++, 1);
	while (j->p < j->end && !over) {
		const char *from = j->p;

		for (; j->p < j->end && is_plain(*j->p) && !over; j->p++) {
			over = *j->p == '"' && !escaped;
			escaped = *j->p == '\\' && !escaped;
		}
		wbuf_put(j->w, from, (size_t)(j->p - from));
		for (from = j->p; j->p < j->end && !is_plain(*j->p) && !over; j->p++)
			escaped = false;
		if (j->p > from)
			put_escaped(j->w, from, (size_t)(j->p - from));
	}
}

/* An opening bracket, and the closing one at once if there is nothing in between. */
static void put_opening(struct pretty *j)
{
	char close = *j->p == '{' ? '}' : ']';

	wbuf_put(j->w, j->p++, 1);
	while (j->p < j->end && is_space(*j->p))
		j->p++;
	if (j->p < j->end && *j->p == close) {
		wbuf_put(j->w, j->p++, 1);
		return;
	}
	j->depth++;
	new_line(j);
}

static void put_token(struct pretty *j)
{
	const char c = *j->p;

	if (c == '"') {
		put_string(j);
	} else if (c == '{' || c == '[') {
		put_opening(j);
	} else if (c == '}' || c == ']') {
		j->depth -= j->depth > 0;
		new_line(j);
		wbuf_put(j->w, j->p++, 1);
	} else {
		if (!is_space(c))
			wbuf_put(j->w, j->p, 1);
		j->p++;
		if (c == ',')
			new_line(j);
		else if (c == ':')
			wbuf_text(j->w, " ");
	}
}

/* LINE is JSON, which the caller has seen to. */
static int show_pretty(const char *line, size_t len)
{
	CLEANUP(wbuf_free) struct wbuf w = wbuf_growing(4 * REPLY_MAX);
	struct pretty j = {.w = &w, .p = line, .end = line + len};

	while (j.p < j.end)
		put_token(&j);
	wbuf_text(&w, "\n");
	if (w.bad)
		return ctl_fail("no memory");
	fwrite(w.p, 1, w.len, stdout);
	return ctl_flush();
}

/* ---- any form ---- */

static int show_raw(const char *line, size_t len)
{
	fwrite(line, 1, len, stdout);
	return ctl_flush();
}

int reply_show(enum reply_form form, const char *line, size_t len)
{
	size_t skip = (uint8_t)*line == SENTINEL; /* of a guest-sync-delimited */
	int judged, r;

	if (form == REPLY_RAW) {
		r = show_raw(line, len);
		return r == CTL_OK ? reply_judge(line + skip, len - skip) : r;
	}
	judged = reply_judge(line + skip, len - skip);
	if (judged == CTL_FAILED)
		return judged;
	r = (form == REPLY_PRETTY ? show_pretty : show_raw)(line + skip, len - skip);
	return r == CTL_OK ? judged : r;
}
