/*
 * ctl/lines.c - records from a file of JSON lines, as the agent writes with --audit
 * file:PATH
 *
 * Runs in:   posternctl, as the user who calls it
 * Input:     the file: any bytes
 * May touch: the file, read-only
 * Must not:  hold more of it than a line
 */
#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "ctl/ctl.h"
#include "ctl/trail.h"
#include "json/scan.h"

#define LINE_BYTES (64 * 1024)
#define LOOK_MS    500

struct lines {
	struct trail trail;
	const char *path; /* NULL: standard input */
	const char *name; /* for messages */
	int fd;
	bool follow;
	bool regular;  /* more may come behind its end */
	bool rotated;  /* another file stands at `path` by now */
	bool skipping; /* in a line that is too long */
	uint64_t offset;
	struct scan_sink sink;
	struct scan *scan;
	size_t given; /* bytes of `text` that are done with */
	size_t len;
	char text[LINE_BYTES];
};

static struct lines *lines_of(struct trail *t)
{
	return CONTAINER_OF(t, struct lines, trail);
}

/* ---- one line ---- */

/* Base64 of a request has no place in a record. */
static int bulk_begin(struct scan_sink *s)
{
	(void)s;
	return 0;
}

static int bulk_write(struct scan_sink *s, const uint8_t *p, size_t len)
{
	(void)s;
	(void)p;
	(void)len;
	return 0;
}

static void bulk_drop(struct scan_sink *s)
{
	(void)s;
}

static void tree_free(cJSON **tree)
{
	cJSON_Delete(*tree);
}

static void put_number(struct record *r, const char *name, const struct scan *scan,
		       double index)
{
	struct scan_num n;
	char text[32];

	if (!scan_request_number(scan, (uint64_t)index, &n) || n.kind == SCAN_DOUBLE)
		return;
	if (n.kind == SCAN_UINT)
		snprintf(text, sizeof(text), "%" PRIu64, n.u);
	else
		snprintf(text, sizeof(text), "%" PRId64, n.i);
	record_put(r, name, strlen(name), text, strlen(text));
}

static void put_member(struct record *r, const struct scan *scan, const cJSON *j)
{
	const char *text = NULL;

	if (cJSON_IsNumber(j))
		put_number(r, j->string, scan, j->valuedouble);
	else if (cJSON_IsString(j))
		text = j->valuestring;
	else if (cJSON_IsBool(j))
		text = cJSON_IsTrue(j) ? "true" : "false";
	if (text)
		record_put(r, j->string, strlen(j->string), text, strlen(text));
}

/* An object and nothing else: by the scanner that the agent reads its host with. */
static bool scan_line(struct scan *scan, const char *p, size_t len)
{
	enum scan_event event = SCAN_MORE;
	size_t used;

	scan_reset(scan);
	used = scan_feed(scan, (const uint8_t *)p, len, &event);
	while (used < len && (p[used] == ' ' || p[used] == '\t' || p[used] == '\r'))
		used++;
	return event == SCAN_REQUEST && used == len;
}

static bool parse(struct lines *l, const char *p, size_t len, struct record *r)
{
	CLEANUP(tree_free) cJSON *root = NULL;
	struct scan_text normal;

	if (!scan_line(l->scan, p, len))
		return false;
	normal = scan_request_text(l->scan);
	root = cJSON_ParseWithLength(normal.p, normal.len);
	record_begin(r);
	for (const cJSON *j = root ? root->child : NULL; j; j = j->next)
		put_member(r, l->scan, j);
	return record_end(r);
}

/* ---- lines of the stream ---- */

/* A line of LEN bytes at P, its end left out. 1: it is a record. */
static int take(struct lines *l, const char *p, size_t len, struct record *r)
{
	if (l->skipping || len) {
		if (!l->skipping && parse(l, p, len, r))
			return 1;
		l->trail.bad++;
	}
	l->skipping = false;
	return 0;
}

/* The next record among the lines that are here as a whole. */
static int take_line(struct lines *l, struct record *r)
{
	while (l->given < l->len) {
		const char *start = l->text + l->given;
		const char *end = memchr(start, '\n', l->len - l->given);

		if (!end)
			return 0;
		l->given += (size_t)(end - start) + 1;
		if (take(l, start, (size_t)(end - start), r))
			return 1;
	}
	return 0;
}

/* Make room; a line that fills all of it is skipped. */
static void compact(struct lines *l)
{
	l->len -= l->given;
	memmove(l->text, l->text + l->given, l->len);
	l->given = 0;
	if (l->skipping || l->len == sizeof(l->text)) {
		l->skipping = true;
		l->len = 0;
	}
}

/* What stands behind the last line feed is a line if nothing can come behind it. */
static int take_rest(struct lines *l, struct record *r)
{
	size_t from = l->given;

	l->given = l->len;
	return take(l, l->text + from, l->len - from, r);
}

static bool is_ready(const struct lines *l)
{
	struct pollfd p = {.fd = l->fd, .events = POLLIN};

	/* The wait is elsewhere, where it can be ended. */
	return l->regular || !l->follow || poll(&p, 1, 0) > 0;
}

/* Bytes that were read; 0: the end, or none yet (then `trail.over` is false). */
static int more(struct lines *l)
{
	ssize_t n;

	compact(l);
	if (!is_ready(l))
		return 0;
	do {
		n = read(l->fd, l->text + l->len, sizeof(l->text) - l->len);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN && l->follow)
		return 0;
	if (n < 0)
		return ctl_fail("%s: cannot read: %s", l->name, strerror(errno)), -1;
	l->trail.over = n == 0 && !(l->follow && l->regular);
	l->offset += (uint64_t)n;
	l->len += (size_t)n;
	return n > 0;
}

/* ---- files that change under us ---- */

static int open_path(struct lines *l, int flags)
{
	struct stat st;

	l->fd = l->path ? open(l->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | flags)
			: STDIN_FILENO;
	if (l->fd < 0 || fstat(l->fd, &st) < 0)
		return ctl_fail("%s: cannot open: %s", l->name, strerror(errno)), -1;
	l->regular = S_ISREG(st.st_mode);
	l->offset = 0;
	return 0;
}

/* The old file is read to its end: go on with the one in its place. */
static int change_over(struct lines *l, struct record *r)
{
	if (take_rest(l, r))
		return 1;
	close_p(&l->fd);
	l->rotated = false;
	return open_path(l, O_NONBLOCK);
}

static int lines_next(struct trail *t, struct record *r)
{
	struct lines *l = lines_of(t);

	for (;;) {
		int n;

		if (take_line(l, r))
			return 1;
		n = more(l);
		if (n < 0)
			return -1;
		if (n > 0)
			continue;
		if (t->over)
			return take_rest(l, r);
		if (!l->rotated)
			return 0;
		n = change_over(l, r);
		if (n)
			return n;
	}
}

static int lines_watch(struct trail *t, struct pollfd *p)
{
	const struct lines *l = lines_of(t);

	p->fd = l->regular ? -1 : l->fd;
	p->events = POLLIN;
	return LOOK_MS;
}

/* Cut to less than was read, or replaced by another file. */
static int lines_woken(struct trail *t)
{
	struct lines *l = lines_of(t);
	struct stat here, there;

	if (!l->regular || fstat(l->fd, &here) < 0)
		return 0;
	if ((uint64_t)here.st_size < l->offset) {
		t->bad += l->skipping || l->given < l->len;
		l->skipping = false;
		l->given = l->len = 0;
		l->offset = 0;
		if (lseek(l->fd, 0, SEEK_SET) < 0)
			return ctl_fail("%s: %s", l->name, strerror(errno)), -1;
	}
	if (l->path && stat(l->path, &there) == 0)
		l->rotated = here.st_dev != there.st_dev || here.st_ino != there.st_ino;
	return 0;
}

static void lines_end(struct trail *t)
{
	struct lines *l = lines_of(t);

	if (l->path)
		close_p(&l->fd);
	scan_free(l->scan);
	free(l);
}

struct trail *lines_open(const struct trail_options *o)
{
	CLEANUP(trail_end_p) struct trail *t = NULL;
	struct lines *l = calloc(1, sizeof(*l));

	if (!l)
		return ctl_fail("no memory"), NULL;
	t = &l->trail;
	*t = (struct trail){.next = lines_next,
			    .watch = lines_watch,
			    .woken = lines_woken,
			    .end = lines_end};
	l->path = streq(o->file, "-") ? NULL : o->file;
	l->name = l->path ? l->path : "standard input";
	l->follow = o->follow;
	l->sink = (struct scan_sink){bulk_begin, bulk_write, bulk_drop};
	l->fd = -1;
	l->scan = scan_new(&l->sink);
	if (!l->scan)
		return ctl_fail("no memory"), NULL;
	return open_path(l, 0) < 0 ? NULL : TAKE_PTR(t);
}
