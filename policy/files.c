/*
 * policy/files.c - find, trust and read the policy files
 *
 * Runs in:   reader (root without a capability), posternctl
 * Input:     the file system beneath a root; files and directories of unknown owners
 * May touch: the policy directories, read-only
 * Must not:  follow a link out of them, wait for a file that is none, trust what others
 *            can write
 */
#include "policy/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* From the weakest to the strongest. */
static const char *const layers[] = {"usr/lib/postern", "run/postern", "etc/postern"};
#define LAYER_SEALING 0
#define DROP_INS      "policy.d"
#define MAIN_FILE     "policy.conf"

/* A file of one layer, which a stronger one of the same name may replace. */
struct found {
	char name[NAME_MAX + sizeof(DROP_INS) + 1]; /* beneath its layer */
	unsigned int layer;
	bool masked;
};

struct reader {
	int root;
	uid_t owner;
	struct source *s;
	struct found files[SOURCE_FILES_MAX];
	unsigned int n;
};

static void wrong(struct reader *r, unsigned int layer, const char *name,
		  const char *what)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "/%s%s%s", layers[layer], *name ? "/" : "", name);
	source_mistake(r->s, path, 0, "%s", what);
}

/* NULL, or why what FD is cannot be trusted. */
static const char *distrust(const struct reader *r, int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return strerror(errno);
	if (st.st_uid != 0 && st.st_uid != r->owner)
		return "it belongs to another user; accepted is root";
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return "group or others may write it; accepted is a mode such as 0755 "
		       "or 0644";
	return NULL;
}

/*
 * The directory PATH beneath the root by O_PATH, each one on the way trusted and none of
 * them a link. -1: it is not there, or a mistake was kept.
 */
static int open_directory(struct reader *r, unsigned int layer, const char *rest)
{
	/* To look is enough on the way, and all that Landlock leaves us outside. */
	CLEANUP(close_p) int fd = openat(r->root, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	char path[256];
	char *at = path;

	snprintf(path, sizeof(path), "%s/%s", layers[layer], rest);
	do {
		const char *why = fd < 0 ? strerror(errno) : distrust(r, fd);
		const char *part;
		int next;

		if (why) {
			wrong(r, layer, rest, why);
			return -1;
		}
		part = strsep(&at, "/");
		if (!part || !*part)
			break;
		next = openat(fd, part, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (next < 0 && errno == ENOENT)
			return -1;
		close_p(&fd);
		fd = next;
	} while (true);
	return TAKE_FD(fd);
}

/* ---- which files ---- */

static void add(struct reader *r, unsigned int layer, const char *name, bool masked)
{
	struct found *f = r->files;

	while (f < r->files + r->n && !streq(f->name, name))
		f++;
	if (f == r->files + SOURCE_FILES_MAX) {
		wrong(r, layer, name, "more than 64 policy files");
		return;
	}
	r->n += f == r->files + r->n;
	*f = (struct found){.layer = layer, .masked = masked};
	snprintf(f->name, sizeof(f->name), "%s", name);
}

static void add_entry(struct reader *r, unsigned int layer, int dir, const char *entry,
		      const char *name)
{
	char to[16];
	ssize_t len = readlinkat(dir, entry, to, sizeof(to));

	if (len == (ssize_t)strlen("/dev/null") && !memcmp(to, "/dev/null", (size_t)len))
		add(r, layer, name, true);
	else if (len >= 0)
		wrong(r, layer, name,
		      "a symbolic link; accepted are files, and a link "
		      "to /dev/null to mask one");
	else if (errno != ENOENT)
		add(r, layer, name, false);
}

static bool is_drop_in(const char *entry)
{
	size_t len = strlen(entry);

	return *entry != '.' && len > 5 && streq(entry + len - 5, ".conf");
}

static void find_drop_ins(struct reader *r, unsigned int layer)
{
	CLEANUP(close_p) int at_dir = open_directory(r, layer, DROP_INS);
	CLEANUP(close_p)
	int dir =
		at_dir < 0 ? -1 : openat(at_dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_Alignas(struct dirent64) char buf[8192];
	ssize_t len = 0;

	if (at_dir >= 0 && dir < 0)
		wrong(r, layer, DROP_INS, strerror(errno));
	while (dir >= 0 && (len = getdents64(dir, buf, sizeof(buf))) > 0)
		for (ssize_t at = 0; at < len;) {
			const struct dirent64 *d = (const void *)(buf + at);
			char name[sizeof(r->files->name)];

			at += d->d_reclen;
			snprintf(name, sizeof(name), DROP_INS "/%s", d->d_name);
			if (is_drop_in(d->d_name))
				add_entry(r, layer, dir, d->d_name, name);
		}
	/* A file that is not seen might be the one that denies. */
	if (len < 0)
		wrong(r, layer, DROP_INS, strerror(errno));
}

static void find(struct reader *r, unsigned int layer)
{
	CLEANUP(close_p) int dir = open_directory(r, layer, "");

	if (dir < 0)
		return;
	add_entry(r, layer, dir, MAIN_FILE, MAIN_FILE);
	find_drop_ins(r, layer);
}

/* ---- reading ---- */

/* Half of one text and half of another can be a policy that nobody wrote. */
static bool has_changed(int fd, const struct stat *was)
{
	struct stat st;

	return fstat(fd, &st) < 0 || st.st_size != was->st_size ||
	       st.st_mtim.tv_sec != was->st_mtim.tv_sec ||
	       st.st_mtim.tv_nsec != was->st_mtim.tv_nsec;
}

static const char *read_open(struct reader *r, int fd, const char *path)
{
	const size_t room = SOURCE_FILE_MAX + 1;
	CLEANUP(free_p) char *text = malloc(room);
	const char *why = text ? distrust(r, fd) : strerror(ENOMEM);
	struct stat st;
	size_t len = 0;
	ssize_t n;

	if (why)
		return why;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return "not a regular file";
	while ((n = read(fd, text + len, room - len)) > 0)
		len += (size_t)n;
	if (n < 0)
		return strerror(errno);
	if (has_changed(fd, &st))
		return "the file was changed while it was read";
	source_add(r->s, path, text, len);
	return NULL;
}

static bool read_file(struct reader *r, const struct found *f)
{
	bool drop_in = !streq(f->name, MAIN_FILE);
	CLEANUP(close_p) int dir = open_directory(r, f->layer, drop_in ? DROP_INS : "");
	CLEANUP(close_p) int fd = -1;
	const char *why = NULL;
	char path[PATH_MAX];

	if (dir < 0)
		return false;
	/* Not waiting for a FIFO that stands in a file's place. */
	fd = openat(dir, drop_in ? f->name + sizeof(DROP_INS) : f->name,
		    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	snprintf(path, sizeof(path), "/%s/%s", layers[f->layer], f->name);
	why = fd < 0 ? strerror(errno) : read_open(r, fd, path);
	if (why)
		wrong(r, f->layer, f->name, why);
	return !why;
}

static unsigned int read_all(struct reader *r)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < r->n; i++)
		n += !r->files[i].masked && read_file(r, &r->files[i]);
	return n;
}

/* Does the weakest layer, whose /usr may be measured, close the door to the others? */
static bool is_sealed(struct reader *r)
{
	bool sealed = false;

	r->s = source_new();
	if (r->s) {
		find(r, LAYER_SEALING);
		read_all(r);
		sealed = source_sealed(r->s);
	}
	source_free(r->s);
	r->n = 0;
	return sealed;
}

unsigned int files_read(int root_fd, uid_t owner, struct source *s)
{
	/* Not on the stack, which would keep it for good. */
	CLEANUP(free_p) struct reader *r = calloc(1, sizeof(*r));
	bool sealed;

	if (!r) {
		source_mistake(s, "policy files", 0, "%s", strerror(ENOMEM));
		return 0;
	}
	r->root = root_fd;
	r->owner = owner;
	sealed = is_sealed(r);
	r->s = s;
	for (unsigned int layer = 0; layer < ARRAY_SIZE(layers); layer++)
		if (!sealed || layer == LAYER_SEALING)
			find(r, layer);
	return read_all(r);
}
