/*
 * spawner/cgroup.c - a cgroup for each program, where systemd has handed us a tree
 *
 * Runs in:   spawner
 * Input:     limits that the worker has decided on
 * May touch: the cgroups beneath that of our own unit
 * Must not:  make a cgroup in a tree that is not ours (no --unit): then there are none
 */
#include "spawner/cgroup.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define MOUNT_POINT "/sys/fs/cgroup"

#define LEAVE_TRIES 10
#define LEAVE_USEC  2000

/* Write TEXT to FILE in DIR, at once. 0, or -1 with errno. */
static int put(int dir, const char *file, const char *text)
{
	CLEANUP(close_p) int fd = openat(dir, file, O_WRONLY | O_CLOEXEC);

	return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : -1;
}

/* The line of the unified hierarchy: "0::/path". */
static int own_path(char path[PATH_MAX])
{
	char text[PATH_MAX + 64];
	CLEANUP(close_p) int fd = open("/proc/self/cgroup", O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	char *line;

	if (len < 0)
		return -1;
	text[len] = '\0';
	line = strncmp(text, "0::/", 4) == 0 ? text : strstr(text, "\n0::/");
	if (!line) {
		errno = ENOENT;
		return -1;
	}
	line = strchr(line, '/');
	snprintf(path, PATH_MAX, "%.*s", (int)strcspn(line, "\n"), line);
	return 0;
}

int cgroups_init(struct cgroups *all)
{
	char full[PATH_MAX + sizeof(MOUNT_POINT)];
	CLEANUP(close_p) int base = -1;

	all->base = -1;
	if (own_path(all->path) < 0)
		return -1;
	snprintf(full, sizeof(full), "%s%s", MOUNT_POINT, all->path);
	base = open(full, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (base < 0 || (mkdirat(base, "spawner", 0755) < 0 && errno != EEXIST))
		return -1;
	if (put(base, "spawner/cgroup.procs", "0") < 0 ||
	    put(base, "cgroup.subtree_control", "+memory +pids") < 0)
		return -1;
	all->base = TAKE_FD(base);
	return 0;
}

static int limit(int dir, const char *file, uint64_t value)
{
	char text[32];

	if (!value)
		return 0;
	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	return put(dir, file, text);
}

/* Those that outlived their programs go once nothing is left in them. */
static void sweep(int base)
{
	int fd = openat(base, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (strncmp(entry->d_name, "exec-", 5) == 0)
			unlinkat(base, entry->d_name, AT_REMOVEDIR);
	if (dir)
		closedir(dir);
	else
		close_p(&fd);
}

int cgroup_make(struct cgroups *all, struct cgroup *c, uint64_t memory, uint64_t tasks)
{
	*c = (struct cgroup){.fd = -1};
	if (all->base < 0)
		return 0;
	sweep(all->base);
	/* What a spawner before us left behind may still be in use. */
	do
		snprintf(c->name, sizeof(c->name), "exec-%llu",
			 (unsigned long long)++all->last);
	while (mkdirat(all->base, c->name, 0755) < 0 && errno == EEXIST);
	c->fd = openat(all->base, c->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (c->fd >= 0 && limit(c->fd, "memory.max", memory) == 0 &&
	    limit(c->fd, "pids.max", tasks) == 0)
		return 0;
	cgroup_done(all, c);
	return -1;
}

void cgroup_kill(const struct cgroup *c)
{
	if (c->fd >= 0)
		put(c->fd, "cgroup.kill", "1");
}

void cgroup_done(struct cgroups *all, struct cgroup *c)
{
	close_p(&c->fd);
	/*
	 * It stays while somebody is in it (sweep). Who has just ended is on its way out:
	 * a moment is worth waiting for.
	 */
	for (int i = 0; c->name[0] && i < LEAVE_TRIES; i++) {
		if (unlinkat(all->base, c->name, AT_REMOVEDIR) == 0 || errno != EBUSY)
			break;
		usleep(LEAVE_USEC);
	}
	c->name[0] = '\0';
}
