/*
 * reader/read.c - the policy that the files make, and the one that is in force
 *
 * Runs in:   reader: root without a capability, sealed
 * Input:     policy files
 * May touch: the policy directories, read-only; the memory for the next reader
 * Must not:  keep a policy of which it was not told that it is in force
 */
#include "reader/read.h"

#include <stdio.h>
#include <string.h>

#include "ipc/launch.h"
#include "policy/files.h"
#include "policy/locked.h"

_Static_assert(sizeof(struct kept) <= POLICY_KEPT_MAX, "there is room");

/* FILE:LINE: WHAT; no line where the whole file is meant. */
static void put_mistake(const struct source_error *e, char *out, size_t size)
{
	char line[16];

	snprintf(line, sizeof(line), ":%u", e->line);
	snprintf(out, size, "%s%s: %s", e->file, e->line ? line : "", e->what);
}

/* Every mistake, a line each; the first is the reason not to take the policy. */
static void tell(struct source *s, struct wbuf *lines, char *why, size_t size)
{
	const struct source_error *e;
	size_t n = source_errors(s, &e);
	char text[900];

	for (size_t i = 0; i < n; i++) {
		put_mistake(&e[i], text, sizeof(text));
		wbuf_text(lines, text); /* what does not fit is left out */
		wbuf_text(lines, "\n");
	}
	if (!n)
		return;
	put_mistake(&e[0], text, sizeof(text));
	snprintf(why, size, "%zu mistake%s in the policy, the first in %s", n,
		 n == 1 ? "" : "s", text);
}

static int build(const struct reading *r, struct wbuf *image, struct wbuf *lines,
		 char *why, size_t size)
{
	struct source *s = source_new();
	int status;

	if (!s)
		return -1;
	if (r->profile) {
		char text[128];

		snprintf(text, sizeof(text), "[policy]\nbase = %s\n", r->profile);
		source_add(s, "command line", text, strlen(text));
	} else {
		files_read(r->root, r->owner, s);
	}
	source_deny(s, r->denied);
	status = source_build(s, image);
	if (status < 0)
		tell(s, lines, why, size);
	source_free(s);
	return status;
}

void read_files(struct reading *r, struct wbuf *lines)
{
	char why[1024] = "memory is short";

	wbuf_free(&r->image);
	r->image = wbuf_growing(IMAGE_MAX);
	r->good = build(r, &r->image, lines, why, sizeof(why)) == 0;
	if (r->good)
		return;
	wbuf_free(&r->image);
	r->image = wbuf_growing(IMAGE_MAX);
	policy_locked_down(why, &r->image);
}

bool read_kept(struct reading *r)
{
	const struct kept *k = r->kept;

	if (!k || !k->size || k->size > IMAGE_MAX)
		return false;
	wbuf_put(&r->image, k->image, k->size);
	return !r->image.bad;
}

void read_keep(struct reading *r)
{
	if (!r->kept || !r->good)
		return;
	r->kept->size = 0;
	memcpy(r->kept->image, r->image.p, r->image.len);
	r->kept->size = r->image.len;
}
