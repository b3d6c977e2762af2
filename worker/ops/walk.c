/*
 * worker/ops/walk.c - from a path to what is there, one component at a time
 *
 * Runs in:   op children of the worker
 * Input:     paths of the host; links and names in directories that others may write
 * May touch: O_PATH descriptors: nothing is opened, read or changed by looking
 * Must not:  let the kernel follow a link, believe a path longer than a look
 */
#include "worker/ops/walk.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>

#define LOOK (O_PATH | O_NOFOLLOW | O_CLOEXEC)

/* Behind the path of who has no name any more (d_path of the kernel). */
#define DELETED " (deleted)"

/* What is left of the way: components still to be looked up. */
struct way {
	char text[2 * PATH_MAX];
	char *rest;
	unsigned int links;
	dev_t dev; /* of the file system that was looked at last */
};

bool walk_is_roots(const struct stat *st)
{
	/* An access list that lets others write shows in the group's bits. */
	return st->st_uid == 0 && !(st->st_mode & (S_IWGRP | S_IWOTH));
}

bool walk_is_safe(const struct walk *w)
{
	return w->trusted && w->links <= LINKS_ROOT && walk_is_roots(&w->st);
}

int walk_unfit(const struct walk *w)
{
	if (w->fd < 0)
		return w->errnum ? w->errnum : ENOENT;
	if (!S_ISREG(w->st.st_mode) || !(w->st.st_mode & 0111))
		return EACCES;
	return 0;
}

/* Owners and names in FUSE are what its server says, and that may be anybody. */
static bool is_told_by_server(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) < 0 || fs.f_type == FUSE_SUPER_MAGIC;
}

/* Into directory FD, which is taken over. */
static void enter(struct walk *w, struct way *way, int fd, const struct stat *st)
{
	close_p(&w->dir);
	w->dir = fd;
	if (!walk_is_roots(st) || (st->st_dev != way->dev && is_told_by_server(fd)))
		w->trusted = false;
	way->dev = st->st_dev;
}

static int enter_root(struct walk *w, struct way *way)
{
	struct stat st;
	int fd = openat(w->sys->root_fd, ".", LOOK | O_DIRECTORY);

	if (fd < 0 || fstat(fd, &st) < 0) {
		close_p(&fd);
		return -1;
	}
	w->trusted = true;
	way->dev = 0;
	enter(w, way, fd, &st);
	return 0;
}

/* The next component into NAME; its length, 0 at the end, -1: too long. */
static int next(struct way *way, char name[NAME_MAX + 1])
{
	size_t len;

	way->rest += strspn(way->rest, "/");
	len = strcspn(way->rest, "/");
	if (len > NAME_MAX) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(name, way->rest, len);
	name[len] = '\0';
	way->rest += len;
	return (int)len;
}

static bool is_last(const struct way *way)
{
	return *way->rest == '\0';
}

/* Go on with the text of the link FD, then with what was left. */
static int follow(struct walk *w, struct way *way, int fd, const struct stat *st)
{
	char text[2 * PATH_MAX];
	ssize_t len = readlinkat(fd, "", text, PATH_MAX);
	size_t rest = strlen(way->rest);

	if (len <= 0)
		return -1;
	if (++way->links > WALK_LINKS_MAX) {
		errno = ELOOP;
		return -1;
	}
	if ((size_t)len + rest >= sizeof(text)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	if (st->st_uid != 0 || !w->trusted)
		w->links = LINKS_ANY;
	else if (w->links < LINKS_ROOT)
		w->links = LINKS_ROOT;
	memcpy(text + len, way->rest, rest + 1);
	memcpy(way->text, text, (size_t)len + rest + 1);
	way->rest = way->text;
	return text[0] == '/' ? enter_root(w, way) : 0;
}

static int up(struct walk *w, struct way *way)
{
	struct stat st;
	int fd = openat(w->dir, "..", LOOK | O_DIRECTORY);

	if (fd < 0 || fstat(fd, &st) < 0) {
		close_p(&fd);
		return -1;
	}
	enter(w, way, fd, &st);
	return 0;
}

/* Look for W->name. 1: the object is found or its place is; 0: go on; -1 with errno. */
static int look(struct walk *w, struct way *way)
{
	CLEANUP(close_p) int fd = openat(w->dir, w->name, LOOK);
	struct stat st;

	if (fd < 0)
		return errno == ENOENT && is_last(way) ? 1 : -1;
	if (fstat(fd, &st) < 0)
		return -1;
	if (S_ISLNK(st.st_mode))
		return follow(w, way, fd, &st);
	if (is_last(way)) {
		w->st = st;
		w->fd = TAKE_FD(fd);
		return 1;
	}
	if (!S_ISDIR(st.st_mode)) {
		errno = ENOTDIR;
		return -1;
	}
	enter(w, way, TAKE_FD(fd), &st);
	return 0;
}

static int step(struct walk *w, struct way *way)
{
	char name[NAME_MAX + 1];
	int len = next(way, name);

	if (len < 0)
		return -1;
	/* Ends in a directory: by "/", by "." or by "..", which none may be made as. */
	if (len == 0) {
		w->fd = fcntl(w->dir, F_DUPFD_CLOEXEC, 0);
		return w->fd < 0 || fstat(w->fd, &w->st) < 0 ? -1 : 1;
	}
	if (streq(name, "."))
		return 0;
	if (streq(name, ".."))
		return up(w, way);
	memcpy(w->name, name, (size_t)len + 1);
	return look(w, way);
}

/* Is what PATH leads to, with no link on the way, what descriptor FD is? */
static bool leads_to(const struct sys *sys, const char *path, int fd)
{
	CLEANUP(close_p) int at = openat(sys->root_fd, ".", LOOK | O_DIRECTORY);
	struct way way = {.rest = way.text};
	char name[NAME_MAX + 1];
	struct stat here, there;

	snprintf(way.text, sizeof(way.text), "%s", path);
	while (at >= 0 && next(&way, name) > 0) {
		int below = openat(at, name, LOOK);

		close_p(&at);
		at = below;
	}
	return at >= 0 && fstat(at, &here) == 0 && fstat(fd, &there) == 0 &&
	       here.st_dev == there.st_dev && here.st_ino == there.st_ino;
}

int walk_path_of(const struct sys *sys, int fd, char path[PATH_MAX])
{
	char link[64];
	ssize_t len;
	size_t tail = strlen(DELETED);

	snprintf(link, sizeof(link), "proc/self/fd/%d", fd);
	len = readlinkat(sys->root_fd, link, path, PATH_MAX - 1);
	if (len < 0)
		return -1;
	path[len] = '\0';
	/*
	 * A file may really be called so; it is none that anybody needs. In a mount that
	 * was detached a path begins at the mount's root, and may look like any other.
	 */
	if (path[0] == '/' &&
	    ((size_t)len < tail || !streq(path + len - tail, DELETED)) &&
	    leads_to(sys, path, fd))
		return 0;
	errno = ENOENT;
	return -1;
}

/* Is W->path that of W->name in W->dir? */
static bool is_in_dir(const struct walk *w)
{
	char dir[PATH_MAX];
	size_t len;

	if (walk_path_of(w->sys, w->dir, dir) < 0)
		return false;
	len = streq(dir, "/") ? 0 : strlen(dir);
	return strncmp(w->path, dir, len) == 0 && w->path[len] == '/' &&
	       streq(w->path + len + 1, w->name);
}

/*
 * A file that is being removed has lost a link before its name is gone. Who removes it
 * has the directory locked meanwhile; and so has, for a moment, whoever looks for a name
 * there that the kernel cannot know yet. So what had begun is over after this.
 */
static bool await_removal(const struct walk *w)
{
	char name[32];
	uint64_t random;
	int fd;

	if (sys_random(&random, sizeof(random)) < 0)
		return false;
	snprintf(name, sizeof(name), ".postern-%016llx", (unsigned long long)random);
	fd = openat(w->dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	close_p(&fd);
	return true;
}

/*
 * Has the file no other name? W->st was read before, with one link. If that was the name
 * by which it was found, it has not lost that until now.
 */
static bool has_one_name(const struct walk *w)
{
	char again[PATH_MAX];

	return is_in_dir(w) && await_removal(w) &&
	       walk_path_of(w->sys, w->fd, again) == 0 && streq(again, w->path);
}

/* The path of what was found. */
static int settle(struct walk *w)
{
	if (w->fd < 0 || walk_path_of(w->sys, w->fd, w->path) < 0)
		return -1;
	/* Where only root can change a directory, each name is root's word. */
	if (!S_ISDIR(w->st.st_mode) && !w->trusted &&
	    (w->st.st_nlink > 1 || !has_one_name(w)))
		w->links = LINKS_ANY;
	return 0;
}

/* Of what is not there: as far as we came, and the rest as it was asked for. */
static void settle_absent(struct walk *w, const struct way *way)
{
	const char *sep;
	size_t len;

	if (w->dir < 0 || walk_path_of(w->sys, w->dir, w->path) < 0) {
		if (!w->errnum)
			w->errnum = ENOENT;
		w->path[0] = '\0';
	}
	len = strlen(w->path);
	sep = len && w->path[len - 1] == '/' ? "" : "/";
	snprintf(w->path + len, sizeof(w->path) - len, "%s%s%s", sep, w->name, way->rest);
}

void walk(struct walk *w, const struct sys *sys, const char *path, size_t len)
{
	struct way way = {.rest = way.text};
	int r;

	*w = (struct walk){.sys = sys, .dir = -1, .fd = -1};
	memcpy(way.text, path, min_size(len, PATH_MAX - 1));
	if (len >= PATH_MAX) {
		errno = ENAMETOOLONG;
		r = -1;
	} else if (len == 0) {
		errno = ENOENT;
		r = -1;
	} else {
		r = enter_root(w, &way);
	}
	while (r == 0)
		r = step(w, &way);
	if (r < 0)
		w->errnum = errno;
	if (settle(w) == 0)
		return;
	close_p(&w->fd);
	settle_absent(w, &way);
}

void walk_done(struct walk *w)
{
	close_p(&w->dir);
	close_p(&w->fd);
}

int walk_reopen(const struct sys *sys, int fd, int flags)
{
	char link[64];

	/* The one magic link that is followed: our own. */
	snprintf(link, sizeof(link), "proc/self/fd/%d", fd);
	return openat(sys->root_fd, link, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
}
