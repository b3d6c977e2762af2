/*
 * worker/ops/hooks.c - which hooks run around a freeze (a part of guest-fsfreeze-freeze)
 *
 * Runs in:   an op child of the worker
 * Input:     the configured path; names in the folder beside it
 * May touch: O_PATH descriptors, and that folder, read-only: nothing else is opened
 * Must not:  call a hook fit to be run that anybody but root can change
 */
#include <limits.h>
#include <stdio.h>

#include "worker/ops/ops.h"
#include "worker/ops/walk.h"

/* What editors and package managers leave beside a hook (protocol 4.7). */
static const char *const leftovers[] = {
	"~",          ".bak",      ".orig",        ".rpmnew",      ".rpmorig",
	".rpmsave",   ".sample",   ".dpkg-old",    ".dpkg-new",    ".dpkg-tmp",
	".dpkg-dist", ".dpkg-bak", ".dpkg-backup", ".dpkg-remove",
};

struct hooks {
	const struct sys *sys;
	char path[PATH_MAX];
	char folder[PATH_MAX + 2];
	char *members[HOOKS_MAX]; /* paths; owned */
	uint32_t n;
	struct msg_hook v[HOOKS_MAX];
	uint32_t n_v;
};

static void members_p(struct hooks *h)
{
	for (uint32_t i = 0; i < h->n; i++)
		free(h->members[i]);
}

static void add(struct hooks *h, const char *path, int errnum)
{
	h->v[h->n_v++] = (struct msg_hook){
		.path = v_str(path),
		.errnum = V_INT(errnum),
	};
}

/* 0 if PATH is a program that root alone can change. */
static int look(const struct sys *sys, const char *path)
{
	struct walk w;
	int errnum;

	walk(&w, sys, path, strlen(path));
	errnum = walk_unfit(&w);
	if (!errnum && !walk_is_safe(&w))
		errnum = EPERM;
	walk_done(&w);
	return errnum;
}

static bool is_leftover(const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < ARRAY_SIZE(leftovers); i++) {
		size_t tail = strlen(leftovers[i]);

		if (len >= tail && streq(name + len - tail, leftovers[i]))
			return true;
	}
	return false;
}

/* 1: there are too many. */
static int each_member(void *arg, const char *name, unsigned char type)
{
	struct hooks *h = arg;

	(void)type;
	if (*name == '.' || is_leftover(name))
		return 0;
	if (h->n == HOOKS_MAX ||
	    asprintf(&h->members[h->n], "%s/%s", h->folder, name) < 0)
		return 1;
	h->n++;
	return 0;
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The programs among the members, as the stock hook would run them. */
static void add_members(struct hooks *h)
{
	if (h->n)
		qsort(h->members, h->n, sizeof(h->members[0]), by_bytes);
	for (uint32_t i = 0; i < h->n; i++) {
		int errnum = look(h->sys, h->members[i]);

		if (errnum == 0 || errnum == EPERM)
			add(h, h->members[i], errnum);
	}
}

/* Where there is no hook. */
static int look_in_folder(struct hooks *h, struct err *e)
{
	int r;

	snprintf(h->folder, sizeof(h->folder), "%s.d", h->path);
	r = sys_list(h->sys, h->folder, each_member, h);
	if (r > 0)
		return err_set(e, ERR_GENERIC, "too many hooks in %s", h->folder);
	if (r == 0)
		add_members(h);
	else if (errno == ENOENT || errno == ENOTDIR)
		add(h, h->path, ENOENT);
	else
		add(h, h->folder, errno);
	return 0;
}

int child_hook_find(const struct sys *sys, const void *args, struct wbuf *out,
		    struct err *e)
{
	const struct msg_hook_find *q = args;
	CLEANUP(members_p) struct hooks h = {.sys = sys};
	struct msg_hooks found;
	int errnum;

	if (q->path.len >= sizeof(h.path))
		return err_sys(e, ENAMETOOLONG, "cannot look for hooks");
	memcpy(h.path, q->path.p, q->path.len);
	errnum = look(sys, h.path);
	if (errnum != ENOENT)
		add(&h, h.path, errnum);
	else if (look_in_folder(&h, e) < 0)
		return -1;
	found = (struct msg_hooks){.hooks = {.v = h.v, .n = h.n_v, .set = true}};
	schema_put(out, &schema_hooks, &found);
	return 0;
}
