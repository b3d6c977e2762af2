/*
 * inspector/kernel.c - the kernel's tables, and its directories that are numbered
 *
 * Runs in:   inspector
 * Input:     /proc and /sys beneath the root: any bytes
 * May touch: these, read-only; the arena
 * Must not:  take what this kernel lacks for a failure
 */
#include "inspector/kernel.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>

int kernel_error(struct err *e, int errnum, const char *what, ...)
{
	char text[256];
	va_list va;

	va_start(va, what);
	vsnprintf(text, sizeof(text), what, va);
	va_end(va);
	if (errnum == ENOENT)
		return err_set(e, ERR_NOT_FOUND, "Not available here: %s: %s", text,
			       strerror(errnum));
	return err_sys(e, errnum, "%s", text);
}

int kernel_table(struct inspector *in, const char *path, struct text *t, struct err *e)
{
	size_t len;
	const char *p = inspect_read(in, path, INSPECT_TABLE_MAX, &len);

	if (!p)
		return kernel_error(e, errno, "open(\"%s\")", path);
	*t = text_of(p, len);
	return 0;
}

/* ---- numbered directories ---- */

struct search {
	struct inspector *in;
	const char *prefix;
	struct v_list found; /* uint64_t */
};

/* An entry of the directory. 0, or ENOMEM. */
static int note_number(void *arg, const char *name, unsigned char type)
{
	struct search *s = arg;
	uint64_t number, *place;

	if (type != DT_DIR ||
	    !text_numbered(text_of(name, strlen(name)), s->prefix, &number))
		return 0;
	place = inspect_add(s->in, &s->found, sizeof(*place));
	if (!place)
		return ENOMEM;
	*place = number;
	return 0;
}

/* Move the number at AT of a heap of N down to its place. */
static void sift(uint64_t *v, size_t at, size_t n)
{
	size_t child;

	for (; (child = 2 * at + 1) < n; at = child) {
		uint64_t up = v[at];

		if (child + 1 < n && v[child + 1] > v[child])
			child++;
		if (up >= v[child])
			return;
		v[at] = v[child];
		v[child] = up;
	}
}

/* Heap sort: /sys lists by hash, thousands at times, and qsort allocates. */
static void sort(uint64_t *v, size_t n)
{
	for (size_t at = n / 2; at-- > 0;)
		sift(v, at, n);
	while (n-- > 1) {
		uint64_t greatest = v[0];

		v[0] = v[n];
		v[n] = greatest;
		sift(v, 0, n);
	}
}

int kernel_numbered(struct inspector *in, const char *path, const char *prefix,
		    struct numbers *out)
{
	struct search s = {.in = in, .prefix = prefix};
	int r;

	*out = (struct numbers){
		.dir = {.root_fd = sys_open(&in->sys, path), .ops = in->sys.ops}};
	if (out->dir.root_fd < 0)
		return -1;
	r = sys_list_fd(out->dir.root_fd, note_number, &s);
	if (r > 0)
		errno = r;
	if (r)
		return -1;
	out->v = s.found.v;
	out->n = s.found.n;
	if (out->n)
		sort(out->v, out->n);
	return 0;
}

void numbers_free(struct numbers *n)
{
	sys_done(&n->dir);
}
