/*
 * ctl/requests.c - requests out of the command line, or of a file
 *
 * Runs in:   posternctl, as the user who calls it
 * Input:     the command line; a file: any bytes
 * May touch: the file, read-only; standard input
 * Must not:  change a request, guess where one ends
 */
#include "ctl/requests.h"

#include <cjson/cJSON.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "ctl/ctl.h"
#include "ctl/grow.h"
#include "ctl/link.h"
#include "ipc/jsonw.h"

#define REQUEST_MAX REPLY_MAX

static struct requests empty(void)
{
	return (struct requests){.text = wbuf_growing(REQUEST_MAX)};
}

/* What was written behind the last one is one. */
static int end_request(struct requests *q)
{
	void *ends = q->ends;

	wbuf_text(&q->text, "\n");
	if (ctl_grow(&ends, &q->room, q->n, sizeof(*q->ends), SIZE_MAX) < 0)
		return ctl_fail("no memory");
	q->ends = ends;
	q->ends[q->n++] = q->text.len;
	return q->text.bad ? ctl_fail("the request is too long") : CTL_OK;
}

/* A request from a command's name and, unless NULL, the text of an object. */
static int compose(struct wbuf *w, const char *name, const char *arguments)
{
	wbuf_text(w, "{\"execute\": ");
	jsonw_cstr(w, name);
	if (arguments) {
		cJSON *tree = cJSON_ParseWithOpts(arguments, NULL, true);
		bool object = cJSON_IsObject(tree);

		cJSON_Delete(tree);
		if (!object)
			return ctl_fail("the arguments are no JSON object: %s",
					arguments);
		wbuf_text(w, ", \"arguments\": ");
		wbuf_text(w, arguments);
	}
	wbuf_text(w, "}");
	return CTL_OK;
}

static int read_all(int fd, const char *name, struct wbuf *w)
{
	for (;;) {
		char piece[64 * 1024];
		ssize_t n = read(fd, piece, sizeof(piece));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return ctl_fail("cannot read %s: %s", name, strerror(errno));
		if (n == 0)
			return CTL_OK;
		wbuf_put(w, piece, (size_t)n);
	}
}

int requests_of_words(struct requests *q, const char *request, const char *arguments)
{
	int r = CTL_OK;
	bool composed = false;

	*q = empty();
	if (strcmp(request, "-") == 0)
		r = read_all(STDIN_FILENO, "standard input", &q->text);
	else if (request[strspn(request, " \t\r\n")] == '{')
		wbuf_text(&q->text, request);
	else
		composed = true;
	if (composed)
		r = compose(&q->text, request, arguments);
	else if (arguments)
		r = ctl_fail("arguments go with the name of a command only");
	return r == CTL_OK ? end_request(q) : r;
}

/* ---- a file ---- */

/* A place in the text of a file, which ends with a NUL. */
struct cursor {
	const char *name;
	const char *p;
	const char *end;
	unsigned int line;
};

static void step(struct cursor *c)
{
	c->line += *c->p++ == '\n';
}

/* Over the string that begins here, of either kind of quotes (protocol 1.2). */
static void skip_string(struct cursor *c)
{
	const char quote = *c->p;

	for (step(c); c->p < c->end && *c->p != quote; step(c))
		if (*c->p == '\\' && c->p + 1 < c->end)
			step(c);
	if (c->p < c->end)
		step(c);
}

/* Over the object that begins here. Whether it is JSON, the agent says. */
static bool skip_object(struct cursor *c)
{
	size_t depth = 0;

	do {
		const char at = *c->p;

		if (at == '"' || at == '\'') {
			skip_string(c);
			continue;
		}
		depth += at == '{' || at == '[';
		depth -= at == '}' || at == ']';
		step(c);
	} while (depth && c->p < c->end);
	return !depth;
}

static void skip_line(struct cursor *c)
{
	while (c->p < c->end && *c->p != '\n')
		step(c);
}

/* "NAME" or "NAME {...}", to the end of the line. */
static int take_line(struct requests *q, struct cursor *c)
{
	const char *start = c->p;
	CLEANUP(free_p) char *line = NULL;
	char *name, *arguments;
	size_t len;
	int r;

	skip_line(c);
	len = (size_t)(c->p - start);
	while (len && strchr(" \t\r", start[len - 1]))
		len--;
	line = strndup(start, len);
	if (!line)
		return ctl_fail("no memory");
	name = line;
	arguments = line + strcspn(line, " \t");
	if (*arguments)
		*arguments++ = '\0';
	arguments += strspn(arguments, " \t");
	r = compose(&q->text, name, *arguments ? arguments : NULL);
	return r == CTL_OK ? end_request(q)
			   : ctl_fail("%s:%u: no request was sent", c->name, c->line);
}

static int take_object(struct requests *q, struct cursor *c)
{
	const char *start = c->p;
	unsigned int line = c->line;

	if (!skip_object(c))
		return ctl_fail("%s:%u: the request that begins here does not end",
				c->name, line);
	wbuf_put(&q->text, start, (size_t)(c->p - start));
	return end_request(q);
}

static int split(struct requests *q, struct cursor *c)
{
	int r = CTL_OK;

	while (r == CTL_OK && c->p < c->end) {
		if (strchr(" \t\r\n", *c->p))
			step(c);
		else if (*c->p == '#')
			skip_line(c);
		else if (*c->p == '{')
			r = take_object(q, c);
		else
			r = take_line(q, c);
	}
	return r;
}

int requests_of_file(struct requests *q, const char *path)
{
	const bool is_stdin = strcmp(path, "-") == 0;
	CLEANUP(wbuf_free) struct wbuf text = wbuf_growing(REQUEST_MAX);
	CLEANUP(close_p) int opened = -1;
	struct cursor c = {.name = is_stdin ? "standard input" : path, .line = 1};

	*q = empty();
	if (!is_stdin)
		opened = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (!is_stdin && opened < 0)
		return ctl_fail("%s: %s", path, strerror(errno));
	if (read_all(is_stdin ? STDIN_FILENO : opened, c.name, &text) != CTL_OK)
		return CTL_FAILED;
	wbuf_u8(&text, '\0');
	if (text.bad)
		return ctl_fail("%s: too long", c.name);
	c.p = (const char *)text.p;
	c.end = c.p + text.len - 1;
	if (memchr(c.p, '\0', text.len - 1))
		return ctl_fail("%s: it has a NUL, which no request has", c.name);
	if (split(q, &c) != CTL_OK)
		return CTL_FAILED;
	return q->n ? CTL_OK : ctl_fail("%s: there is no request in it", c.name);
}

/* ---- all of them ---- */

struct rbuf requests_at(const struct requests *q, size_t i)
{
	size_t from = i ? q->ends[i - 1] : 0;

	return rbuf_of(q->text.p + from, q->ends[i] - from);
}

void requests_done(struct requests *q)
{
	wbuf_free(&q->text);
	free(q->ends);
	q->ends = NULL;
}
