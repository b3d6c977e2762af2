/*
 * tests/lib/tree.h - a machine's files as one text, unpacked into a directory
 *
 * Runs in:   unit tests, fuzz targets
 * Input:     trees of tests/fixtures/trees/, which anybody may have sent; tests' own
 * May touch: what is below the directory it is handed
 * Must not:  follow a link that the tree holds, so write anywhere else
 *
 * doc/fixtures.md describes the format. In short:
 *
 *   # a comment
 *   [sys/devices/pci0000:00/0000:00:04.0]     names that follow are in there
 *   driver -> ../../../bus/pci/drivers/virtio-pci
 *   virtio1/block/vda/slaves/
 *   virtio1/block/vda/size = 20971520
 *   virtio1/block/vda/uevent:
 *   <tab>MAJOR=254
 *   <tab>MINOR=0
 *
 * Escapes, anywhere: \\ and \xHH. A backslash at the end of a file's line: the line's
 * newline is not in the file.
 */
#ifndef POSTERN_TESTS_TREE_H
#define POSTERN_TESTS_TREE_H

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "inspector/text.h"

struct tree {
	int root;  /* the caller's */
	int dir;   /* of the section, or the root; owned */
	int file;  /* whose lines follow, or -1; owned */
	char *buf; /* room for any line without its escapes, and a NUL; owned */
};

static inline void tree_done(struct tree *t)
{
	close_p(&t->dir);
	close_p(&t->file);
	free_p(&t->buf);
}

/* ---- escapes ---- */

/* One byte at S in OUT; how many characters it takes there, 0 if that is no escape. */
static inline size_t tree_byte(struct text s, char *out)
{
	uint64_t v;

	*out = *s.p;
	if (*s.p != '\\')
		return 1;
	if (s.end - s.p >= 2 && s.p[1] == '\\')
		return 2;
	if (s.end - s.p < 4 || s.p[1] != 'x' || !text_u64(text_of(s.p + 2, 2), 16, &v))
		return 0;
	*out = (char)v;
	return 4;
}

/* S without its escapes in T->buf, a NUL behind it. Its length, or -1. */
static inline ssize_t tree_plain(struct tree *t, struct text s)
{
	size_t len = 0;

	while (s.p < s.end) {
		size_t n = tree_byte(s, &t->buf[len++]);

		if (!n)
			return -1;
		s.p += n;
	}
	t->buf[len] = '\0';
	return (ssize_t)len;
}

/* As a path or the target of a link, which hold no NUL and are not empty. */
static inline char *tree_path(struct tree *t, struct text s)
{
	ssize_t len = tree_plain(t, s);

	return len > 0 && strlen(t->buf) == (size_t)len ? t->buf : NULL;
}

/* ---- files ---- */

/* The directory PATH below AT, made where it is missing; PATH is changed. */
static inline int tree_dir(int at, char *path)
{
	CLEANUP(close_p) int fd = fcntl(at, F_DUPFD_CLOEXEC, 0);
	char *name;

	while (fd >= 0 && (name = strsep(&path, "/"))) {
		int next = -1;

		/* ".." would lead out; mkdirat and O_NOFOLLOW refuse the rest. */
		if (*name && !streq(name, ".") && !streq(name, "..") &&
		    (mkdirat(fd, name, 0755) == 0 || errno == EEXIST))
			next = openat(fd, name,
				      O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		close_p(&fd);
		fd = next;
	}
	return TAKE_FD(fd);
}

/* The directory of PATH, whose last part is *NAME. */
static inline int tree_parent(const struct tree *t, char *path, const char **name)
{
	char *slash = strrchr(path, '/');

	*name = slash ? slash + 1 : path;
	if (!slash)
		return fcntl(t->dir, F_DUPFD_CLOEXEC, 0);
	*slash = '\0';
	return tree_dir(t->dir, path);
}

static inline bool tree_open(struct tree *t, struct text path)
{
	CLEANUP(close_p) int dir = -1;
	char *p = tree_path(t, path);
	const char *name;

	if (!p)
		return false;
	dir = tree_parent(t, p, &name);
	if (dir >= 0)
		t->file = openat(dir, name,
				 O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
				 0644);
	return t->file >= 0;
}

/* One more line of the open file. */
static inline bool tree_write(struct tree *t, struct text line)
{
	size_t n = (size_t)(line.end - line.p);
	size_t slashes = 0;
	bool whole;
	ssize_t len;

	while (slashes < n && line.end[-1 - (ssize_t)slashes] == '\\')
		slashes++;
	whole = slashes % 2 == 0;
	line.end -= !whole;
	len = tree_plain(t, line);
	if (len < 0)
		return false;
	if (whole)
		t->buf[len++] = '\n';
	return write(t->file, t->buf, (size_t)len) == len;
}

static inline bool tree_link(struct tree *t, struct text path, struct text target)
{
	CLEANUP(free_p) char *to = NULL;
	CLEANUP(close_p) int dir = -1;
	const char *name;
	char *p = tree_path(t, target);

	if (!p || !(to = strdup(p)) || !(p = tree_path(t, path)))
		return false;
	dir = tree_parent(t, p, &name);
	return dir >= 0 && symlinkat(to, dir, name) == 0;
}

static inline bool tree_section(struct tree *t, struct text path)
{
	char *p = tree_path(t, path);

	close_p(&t->dir);
	if (p)
		t->dir = tree_dir(t->root, p);
	return t->dir >= 0;
}

/* ---- lines ---- */

static inline bool tree_ends(struct text line, const char *end)
{
	size_t n = strlen(end);

	return (size_t)(line.end - line.p) > n && !memcmp(line.end - n, end, n);
}

/* Whatever is between two names: NAME -> TARGET, NAME = TEXT, or neither. */
static inline bool tree_pair(struct tree *t, struct text line, bool *done)
{
	for (const char *p = line.p; p < line.end; p++) {
		size_t left = (size_t)(line.end - p);
		struct text name = text_of(line.p, (size_t)(p - line.p));

		*done = true;
		if (left > 4 && !memcmp(p, " -> ", 4))
			return tree_link(t, name, text_of(p + 4, left - 4));
		if (left > 3 && !memcmp(p, " = ", 3))
			return tree_open(t, name) &&
			       tree_write(t, text_of(p + 3, left - 3));
		/* An empty line; no blank at the end, which editors remove. */
		if (left == 2 && !memcmp(p, " =", 2))
			return tree_open(t, name) && tree_write(t, text_of("", 0));
	}
	*done = false;
	return false;
}

static inline bool tree_line(struct tree *t, struct text line)
{
	size_t n = (size_t)(line.end - line.p);
	bool done, good;

	if (n && *line.p == '\t')
		return t->file >= 0 && tree_write(t, text_of(line.p + 1, n - 1));
	close_p(&t->file);
	if (!n || *line.p == '#')
		return true;
	if (*line.p == '[')
		return line.end[-1] == ']' && tree_section(t, text_of(line.p + 1, n - 2));
	good = tree_pair(t, line, &done);
	if (done) {
		close_p(&t->file);
		return good;
	}
	if (tree_ends(line, ":"))
		return tree_open(t, text_of(line.p, n - 1));
	if (tree_ends(line, "/")) {
		CLEANUP(close_p) int dir = -1;
		char *p = tree_path(t, text_of(line.p, n - 1));

		dir = p ? tree_dir(t->dir, p) : -1;
		return dir >= 0;
	}
	return false;
}

/*
 * Unpack the tree of LEN bytes at TEXT below the directory ROOT. 0, or the number of the
 * line that is none or whose file could not be made; those before it are there.
 */
static inline unsigned int tree_unpack(int root, const char *text, size_t len)
{
	CLEANUP(tree_done)
	struct tree t = {
		.root = root,
		.dir = fcntl(root, F_DUPFD_CLOEXEC, 0),
		.file = -1,
		.buf = malloc(len + 2),
	};
	struct text rest = text_of(text, len);
	unsigned int number = 1;
	struct text line;

	if (t.dir < 0 || !t.buf)
		return number;
	for (; text_line(&rest, &line); number++)
		if (!tree_line(&t, line))
			return number;
	return 0;
}

#endif
