/*
 * worker/ops/stack.c - which superblocks the devices of a superblock stand on
 *
 * Runs in:   op children of the worker
 * Input:     /sys, loop devices: what they say of their files is any bytes
 * May touch: these, read-only; O_PATH descriptors of mount points and of those files
 * Must not:  run in circles, believe that a loop device whose file it cannot find has
 * none
 */
#include <limits.h>
#include <linux/loop.h>
#include <linux/major.h>
#include <stdio.h>
#include <sys/sysmacros.h>

#include "worker/ops/reach.h"
#include "worker/ops/stack.h"

/* Devices that one superblock stands on, at the most. */
#define DEVICES_MAX 1024
#define SYS_PATH    320

struct stack {
	struct superblocks *all;
	struct superblock *sb;
	dev_t devices[DEVICES_MAX]; /* those before `at` were looked at */
	uint32_t n;
	uint32_t at;
	bool full;
};

static void push(struct stack *s, dev_t dev)
{
	for (uint32_t i = 0; i < s->n; i++)
		if (s->devices[i] == dev)
			return;
	if (s->n == DEVICES_MAX)
		s->full = true;
	else
		s->devices[s->n++] = dev;
}

/* ---- /sys ---- */

/* Entry NAME of /sys/dev/block for DEV; false: it is too long. */
static bool dev_path(dev_t dev, const char *name, char path[SYS_PATH])
{
	return snprintf(path, SYS_PATH, "/sys/dev/block/%u:%u/%s", major(dev), minor(dev),
			name) < SYS_PATH;
}

/* The number in the file PATH, "MAJOR:MINOR". */
static bool read_dev(const struct sys *sys, const char *path, dev_t *dev)
{
	char text[32], *colon, *end;
	unsigned long major, minor;

	if (sys_read_attr(sys, path, text, sizeof(text)) < 0)
		return false;
	major = strtoul(text, &colon, 10);
	if (*colon != ':')
		return false;
	minor = strtoul(colon + 1, &end, 10);
	*dev = makedev((unsigned int)major, (unsigned int)minor);
	return end > colon + 1 && *end == '\0';
}

/* A folder whose entries are devices. */
struct members {
	struct stack *s;
	const char *folder;
	dev_t want;
};

static bool member_dev(const struct members *m, const char *name, dev_t *dev)
{
	char path[2 * SYS_PATH];

	snprintf(path, sizeof(path), "%s/%s/dev", m->folder, name);
	return read_dev(m->s->all->sys, path, dev);
}

static int push_member(void *arg, const char *name, unsigned char type)
{
	const struct members *m = arg;
	dev_t dev;

	(void)type;
	if (member_dev(m, name, &dev))
		push(m->s, dev);
	return 0;
}

static int is_member(void *arg, const char *name, unsigned char type)
{
	const struct members *m = arg;
	dev_t dev;

	(void)type;
	return member_dev(m, name, &dev) && dev == m->want;
}

/* What a device of the device mapper, or a RAID, is made of. */
static void push_slaves(struct stack *s, dev_t dev)
{
	char folder[SYS_PATH];
	struct members m = {.s = s, .folder = folder};

	if (dev_path(dev, "slaves", folder))
		sys_list(s->all->sys, folder, push_member, &m);
}

/* Is DEV a part of a disk? That is pushed. */
static bool is_partition(struct stack *s, dev_t dev)
{
	const struct sys *sys = s->all->sys;
	char path[SYS_PATH], number[16];
	dev_t disk;

	if (!dev_path(dev, "partition", path) ||
	    sys_read_attr(sys, path, number, sizeof(number)) < 0 ||
	    !dev_path(dev, "../dev", path) || !read_dev(sys, path, &disk))
		return false;
	push(s, disk);
	return true;
}

/* One file system of those in /sys/fs/btrfs: is it that of M->want? Then all devices. */
static int push_btrfs(void *arg, const char *name, unsigned char type)
{
	const struct members *of = arg;
	char folder[SYS_PATH];
	struct members m = {.s = of->s, .folder = folder, .want = of->want};
	const struct sys *sys = of->s->all->sys;

	(void)type;
	if (snprintf(folder, sizeof(folder), "%s/%s/devices", of->folder, name) >=
	    (int)sizeof(folder))
		return 0;
	if (sys_list(sys, folder, is_member, &m) != 1)
		return 0;
	sys_list(sys, folder, push_member, &m);
	return 1;
}

/* The devices of a superblock of many. */
static void push_many(struct stack *s)
{
	const struct sys *sys = s->all->sys;
	struct members m = {.s = s, .folder = "/sys/fs/btrfs", .want = s->sb->disk};
	const char *source = s->sb->source;
	dev_t dev;

	if (streq(s->sb->type, "btrfs"))
		sys_list(sys, m.folder, push_btrfs, &m);
	else
		while (superblock_next_disk(sys, &source, &dev))
			push(s, dev);
}

/* ---- the file of a loop device ---- */

/* What the loop device DEV says of its file. False: nothing. */
static bool ask_loop(const struct sys *sys, dev_t dev, struct loop_info64 *info)
{
	CLEANUP(close_p) int fd = -1;
	char path[SYS_PATH], link[SYS_PATH];
	const char *name = NULL;
	dev_t found;

	/* Its name: the number is another where loop devices have partitions. */
	snprintf(link, sizeof(link), "/sys/dev/block/%u:%u", major(dev), minor(dev));
	if (sys_readlink(sys, link, path, sizeof(path)) > 0)
		name = strrchr(path, '/');
	if (name)
		snprintf(link, sizeof(link), "/dev%s", name);
	else
		snprintf(link, sizeof(link), "/dev/loop%u", minor(dev));
	if (sys->ops->block_dev(sys, link, &found) < 0 || found != dev)
		return false;
	fd = sys_open(sys, link);
	return fd >= 0 && sys->ops->ioctl(fd, LOOP_GET_STATUS64, info) == 0;
}

/* st_dev of the root of mount M; 0 if it cannot be reached. */
static dev_t dev_of_root(const struct sys *sys, struct sb_mount *m)
{
	CLEANUP(close_p) int fd = -1;
	struct stat st;

	if (m->looked)
		return m->dev;
	m->looked = true;
	fd = reach_mount(sys, m);
	if (fd >= 0 && sys->ops->fstat(fd, &st) == 0)
		m->dev = st.st_dev;
	return m->dev;
}

static bool has_subvolume(const struct sys *sys, const struct superblock *sb, dev_t dev)
{
	for (struct sb_mount *m = sb->mounts; m; m = m->next)
		if (dev_of_root(sys, m) == dev)
			return true;
	return false;
}

static const struct superblock *by_dev(const struct superblocks *all, dev_t dev)
{
	for (uint32_t i = 0; i < all->n; i++)
		if (all->v[i]->dev == dev)
			return all->v[i];
	/* Each subvolume has a number of its own, which the table does not know. */
	for (uint32_t i = 0; i < all->n; i++)
		if (!major(all->v[i]->dev) && has_subvolume(all->sys, all->v[i], dev))
			return all->v[i];
	return NULL;
}

static const struct superblock *by_mount(const struct superblocks *all, uint64_t id)
{
	for (uint32_t i = 0; i < all->n; i++)
		for (const struct sb_mount *m = all->v[i]->mounts; m; m = m->next)
			if (m->id == id)
				return all->v[i];
	return NULL;
}

/*
 * By the path of the file, as the kernel tells it; INFO, if any, tells whether it is that
 * file. One that was deleted, or whose mount is gone, has a path that leads elsewhere.
 */
static const struct superblock *by_path(const struct superblocks *all, dev_t dev,
					const struct loop_info64 *info)
{
	const struct sys *sys = all->sys;
	CLEANUP(close_p) int fd = -1;
	char name[SYS_PATH], path[PATH_MAX];
	struct stat st;
	uint64_t id;

	if (!dev_path(dev, "loop/backing_file", name) ||
	    sys_read_attr(sys, name, path, sizeof(path)) <= 0)
		return NULL;
	fd = sys_look(sys, path);
	if (fd < 0 || sys->ops->fstat(fd, &st) < 0 || sys->ops->mount_id(fd, &id) < 0)
		return NULL;
	if (info && (info->lo_device != st.st_dev || info->lo_inode != st.st_ino))
		return NULL;
	return by_mount(all, id);
}

static bool add_below(struct stack *s, const struct superblock *below)
{
	struct sb_below *b;

	for (b = s->sb->below; b; b = b->next)
		if (b->sb == below)
			return true;
	b = arena_take(&s->all->arena, sizeof(*b));
	if (!b)
		return false;
	*b = (struct sb_below){.next = s->sb->below, .sb = below};
	s->sb->below = b;
	return true;
}

/* False: there is no memory. */
static bool look_below_loop(struct stack *s, dev_t dev)
{
	const struct superblock *below = NULL;
	struct loop_info64 info = {0};
	bool told = ask_loop(s->all->sys, dev, &info);

	/* Its "file" is a device. */
	if (told && info.lo_rdevice) {
		push(s, info.lo_rdevice);
		return true;
	}
	if (told)
		below = by_dev(s->all, info.lo_device);
	if (!below)
		below = by_path(s->all, dev, told ? &info : NULL);
	/* It may be anywhere, so this one comes before any of which more is known. */
	if (!below || !told)
		s->sb->depth = s->all->n;
	return !below || below == s->sb || add_below(s, below);
}

/* ---- all of them ---- */

static int look_below(struct superblocks *all, struct superblock *sb, struct err *e)
{
	struct stack s = {.all = all, .sb = sb};
	bool room = true;

	push(&s, sb->disk);
	if (!major(sb->dev))
		push_many(&s);
	for (; s.at < s.n && room; s.at++) {
		dev_t dev = s.devices[s.at];

		if (is_partition(&s, dev))
			continue;
		push_slaves(&s, dev);
		if (major(dev) == LOOP_MAJOR)
			room = look_below_loop(&s, dev);
	}
	if (room && !s.full)
		return 0;
	return err_set(e, ERR_GENERIC, "too many devices are below %s",
		       sb->mounts->point);
}

/* One step further down wherever that is needed. False: it is not. */
static bool deepen(struct superblocks *all)
{
	bool deeper = false;

	for (uint32_t i = 0; i < all->n; i++)
		for (const struct sb_below *b = all->v[i]->below; b; b = b->next)
			if (all->v[i]->depth <= b->sb->depth) {
				all->v[i]->depth = b->sb->depth + 1;
				deeper = true;
			}
	return deeper;
}

int stack_look(struct superblocks *all, struct err *e)
{
	for (uint32_t i = 0; i < all->n; i++)
		if (look_below(all, all->v[i], e) < 0)
			return -1;
	/* The longest chain is as long as there are superblocks, unless it is a circle.
	 */
	for (uint32_t i = 0; i < all->n && deepen(all); i++)
		;
	return 0;
}
