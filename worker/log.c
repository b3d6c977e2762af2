/*
 * worker/log.c - lines for people, on descriptor 2
 *
 * Runs in:   worker
 * Input:     texts of the worker; texts of confined processes, which may be hostile
 * May touch: the sink
 * Must not:  pass a control character on, or more of it than a line
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ipc/jsonw.h"
#include "worker/worker.h"

#define LOG_LINE_MAX 1024

/* A line, which says that so many were DROPPED. */
static void put_line(struct worker *w, const void *line, size_t len, uint64_t dropped)
{
	const struct packet packet = {
		.kind = HELD_LINE, .dropped = dropped, .p = line, .len = len};

	if (sink_put(&w->sink, &packet, SINK_KEEP) < 0)
		w->state->held.lines_dropped += 1 + dropped;
}

/* A line with what was lost before it. */
static void put(struct worker *w, const void *line, size_t len)
{
	uint64_t *dropped = &w->state->held.lines_dropped, told = *dropped;

	if (told) {
		char text[64];
		int n = snprintf(text, sizeof(text),
				 "postern-worker: %llu lines were lost\n",
				 (unsigned long long)told);

		*dropped = 0;
		put_line(w, text, (size_t)n, told);
	}
	put_line(w, line, len, 0);
}

void worker_log(struct worker *w, const char *fmt, ...)
{
	char line[LOG_LINE_MAX];
	char text[LOG_LINE_MAX - 32];
	va_list ap;
	int n;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	n = snprintf(line, sizeof(line), "postern-worker: %s\n", text);
	put(w, line, (size_t)n);
}

void worker_log_lines(struct worker *w, const void *text, size_t len)
{
	const char *at = text, *const end = at + len;

	while (at < end) {
		const char *line = at;
		const char *feed = memchr(at, '\n', (size_t)(end - at));

		at = feed ? feed + 1 : end;
		worker_log(w, "%.*s", (int)((feed ? feed : end) - line), line);
	}
}

bool bucket_take(struct bucket *b, uint64_t now)
{
	const uint64_t cost = 1000 / NOTES_PER_SEC;
	uint64_t from = b->level_ms > now ? b->level_ms : now;

	if (from + cost > now + NOTES_BURST * cost)
		return false;
	b->level_ms = from + cost;
	return true;
}

void worker_log_for(struct worker *w, const char *process, const struct frame *f)
{
	uint8_t buf[LOG_LINE_MAX * 2];
	struct wbuf line = wbuf_fixed(buf, sizeof(buf));
	struct rbuf text = rbuf_of(f->body, f->len);

	if (!bucket_take(&w->lines, now_ms())) {
		w->state->held.lines_dropped++;
		return;
	}
	rbuf_u8(&text); /* the level */
	wbuf_text(&line, process);
	wbuf_text(&line, ": ");
	/* A JSON string is ASCII without control characters, whatever went in. */
	jsonw_str(&line, (const char *)text.p,
		  min_size(rbuf_left(&text), LOG_LINE_MAX / 4));
	wbuf_text(&line, "\n");
	if (!line.bad)
		put(w, line.p, line.len);
}
