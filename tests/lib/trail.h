/*
 * tests/lib/trail.h - a worker whose records a test reads
 *
 * Runs in:   unit tests
 * Input:     the test's policy
 * May touch: a socket pair in the place of the writer
 * Must not:  start a process, have an inspector, frontend or spawner
 */
#ifndef POSTERN_TESTS_TRAIL_H
#define POSTERN_TESTS_TRAIL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "tests/lib/generation.h"
#include "tests/lib/policy.h"
#include "worker/repeats.h"
#include "worker/worker.h"

struct trail {
	struct worker *w;
	struct wbuf image;       /* of the policy */
	int out;                 /* where the writer would read */
	struct sink_order order; /* of the last record */
	char line[SINK_LINE_MAX + 1];
};

/* Records are lines of JSON. What differs from run to run is fixed. 0, or -1. */
static inline int trail_open(struct trail *t, const char *policy)
{
	struct worker *w = calloc(1, sizeof(*w));
	int pair[2];

	*t = (struct trail){.w = w, .out = -1};
	if (!w || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	t->out = pair[1];
	w->frontend.source.fd = w->inspector.source.fd = -1;
	w->spawner.source.fd = w->reader.source.fd = w->launch.fd = -1;
	w->arena = (struct arena){.p = malloc(ARENA_SIZE), .cap = ARENA_SIZE};
	w->state = calloc(1, sizeof(*w->state));
	w->freeze.record = &w->state->freeze;
	w->gen = generation_blank();
	policy_of_text(&w->gen->policy, &t->image, policy);
	/* The descriptor is for a writer, which is never started. */
	if (!w->arena.p || !w->state || loop_init(&w->loop) < 0 ||
	    sink_init(&w->sink, &w->loop, STDERR_FILENO, false, &w->state->held) < 0 ||
	    audit_init(&w->audit, &w->sink, NULL) < 0 || requests_init(w) < 0 ||
	    repeats_init(w) < 0)
		return -1;
	w->sink.writer.fd = pair[0];
	strcpy(w->audit.boot_id, "b");
	strcpy(w->audit.instance, "i");
	return 0;
}

static inline void trail_close(struct trail *t)
{
	struct worker *w = t->w;

	for (size_t i = 0; i < ARRAY_SIZE(w->requests); i++)
		if (w->requests[i].serial)
			request_drop(&w->requests[i]);
	close_p(&w->sink.writer.fd);
	close_p(&t->out);
	timer_done(&w->loop, &w->sink.retry);
	timer_done(&w->loop, &w->limit);
	timer_done(&w->loop, &w->repeats);
	loop_done(&w->loop);
	generation_drop(&w->gen);
	wbuf_free(&t->image);
	free(w->arena.p);
	free(w->state);
	free(w);
}

/* The writer is away: what comes is held. Gives what trail_back takes. */
static inline int trail_away(struct trail *t)
{
	return TAKE_FD(t->w->sink.writer.fd);
}

/* It is there again, and takes what was held. */
static inline void trail_back(struct trail *t, int writer)
{
	t->w->sink.writer.fd = writer;
	sink_release(&t->w->sink);
}

/* The next record, or NULL; its time is blanked out. Lines for people are passed over. */
static inline const char *trail_next(struct trail *t)
{
	struct iovec iov[] = {
		{.iov_base = &t->order, .iov_len = sizeof(t->order)},
		{.iov_base = t->line, .iov_len = sizeof(t->line) - 1},
	};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = ARRAY_SIZE(iov)};
	static const char mark[] = "\"POSTERN_TIME_USEC\": ";
	char *at, *end;
	ssize_t n;

	do {
		n = recvmsg(t->out, &msg, MSG_DONTWAIT);
		if (n <= 0)
			return NULL;
	} while (!t->order.record);
	n -= (ssize_t)sizeof(t->order);
	assert_true(n > 0);
	assert_int_equal(t->line[n - 1], '\n');
	t->line[n - 1] = '\0';
	at = strstr(t->line, mark);
	assert_non_null(at);
	at += sizeof(mark) - 1;
	end = at + strspn(at, "0123456789");
	assert_true(end - at >= 16);
	memmove(at, end, strlen(end) + 1);
	return t->line;
}

static inline bool trail_says(const char *line, const char *part)
{
	return strstr(line, part);
}

static inline void trail_has(const char *line, const char *part)
{
	if (!line || !strstr(line, part))
		fail_msg("no %s in %s", part, line ? line : "(nothing)");
}

static inline void trail_lacks(const char *line, const char *part)
{
	if (strstr(line, part))
		fail_msg("%s in %s", part, line);
}

/* The number that field NAME has in LINE; 0: it is not there. */
static inline uint64_t trail_number(const char *line, const char *name)
{
	char mark[64];
	const char *at;

	snprintf(mark, sizeof(mark), "\"%s\": ", name);
	at = strstr(line, mark);
	return at ? strtoull(at + strlen(mark), NULL, 10) : 0;
}

#endif
