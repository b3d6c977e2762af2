/*
 * worker/ops/reach.c - an open file on a superblock, by whichever mount leads there
 *
 * Runs in:   op children of the worker
 * Input:     the mount table as it was read; paths that may lead elsewhere by now
 * May touch: mount points: directories and regular files are opened for reading
 * Must not:  open what is on another mount than the table's; a pipe, a socket, a device
 */
#include "worker/ops/reach.h"

#include <fcntl.h>

#include "worker/ops/walk.h"

int reach_mount(const struct sys *sys, const struct sb_mount *m)
{
	CLEANUP(close_p) int fd = sys_look(sys, m->point);
	uint64_t id;

	if (fd < 0) {
		if (errno == ENOENT || errno == ENOTDIR)
			errno = ESTALE;
		return -1;
	}
	if (sys->ops->mount_id(fd, &id) < 0)
		return -1;
	if (id != m->id) {
		errno = ESTALE;
		return -1;
	}
	return TAKE_FD(fd);
}

static int open_found(const struct sys *sys, int fd, mode_t format)
{
	/* By "." nothing can come between; a file has only its descriptor. */
	if (format == S_IFDIR)
		return openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return walk_reopen(sys, fd, O_RDONLY);
}

/* Also ESTALE: what is there is not of FORMAT. */
static int open_mount(const struct sys *sys, const struct sb_mount *m, mode_t format,
		      bool detach, bool *detaching)
{
	CLEANUP(close_p) int fd = reach_mount(sys, m);
	CLEANUP(close_p) int tree = -1;
	struct stat st;

	*detaching = false;
	if (fd < 0 || sys->ops->fstat(fd, &st) < 0)
		return -1;
	if ((st.st_mode & S_IFMT) != format) {
		errno = ESTALE;
		return -1;
	}
	if (detach)
		tree = sys->ops->open_tree(fd);
	if (detach && tree < 0 && errno != EINVAL) {
		*detaching = true;
		return -1;
	}
	return open_found(sys, tree < 0 ? fd : tree, format);
}

struct reached reach(const struct sys *sys, const struct superblock *sb, bool detach)
{
	/* Of a directory nobody is told that it was opened; so these first. */
	static const mode_t formats[] = {S_IFDIR, S_IFREG};
	struct reached r = {.fd = -1};
	bool detaching;

	for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
		for (const struct sb_mount *m = sb->mounts; m; m = m->next) {
			int fd = open_mount(sys, m, formats[i], detach, &detaching);

			if (fd >= 0)
				return (struct reached){.fd = fd};
			if (errno != ESTALE)
				r = (struct reached){-1, errno, detaching};
		}
	return r;
}
