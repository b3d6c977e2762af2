/*
 * worker/ops/superblocks.c - what of our mount namespace can be frozen or trimmed
 *
 * Runs in:   op children of the worker
 * Input:     the mount table: mount points and sources are any bytes
 * May touch: that file, read-only; memory up to a bound
 * Must not:  open a mount point, cut a list that is too long
 */
#include "worker/ops/superblocks.h"

#include <limits.h>
#include <linux/major.h>
#include <stdio.h>
#include <sys/sysmacros.h>

#include "mounts/table.h"
#include "worker/ops/stack.h"

/* The table's text; and what we keep of it, with room for its texts and every mount. */
#define TABLE_MAX  (4 * 1024 * 1024)
#define MEMORY_MAX (TABLE_MAX + MOUNTS_MAX * (sizeof(struct sb_mount) + 8) + 1024 * 1024)

bool superblock_next_disk(const struct sys *sys, const char **source, dev_t *disk)
{
	char name[PATH_MAX];

	while (**source) {
		size_t len = strcspn(*source, ":");
		size_t kept = min_size(len, sizeof(name) - 1);

		memcpy(name, *source, kept);
		name[kept] = '\0';
		*source += len + ((*source)[len] == ':');
		if (sys->ops->block_dev(sys, name, disk) == 0)
			return true;
	}
	return false;
}

/* False: it is on no block device that we know, or on a server. */
static bool find_disk(const struct sys *sys, const struct superblock *sb, dev_t *disk)
{
	const char *source = sb->source;

	*disk = sb->dev;
	if (strncmp(sb->type, "fuse", 4) == 0)
		return false;
	if (major(sb->dev))
		return true;
	if (streq(sb->type, "btrfs"))
		return sys->ops->block_dev(sys, sb->source, disk) == 0;
	return streq(sb->type, "bcachefs") && superblock_next_disk(sys, &source, disk);
}

/* The kernel tells first which it is, before what the file system says of itself. */
static bool is_read_only(const char *options)
{
	return strncmp(options, "ro", 2) == 0 &&
	       (options[2] == '\0' || options[2] == ',');
}

static struct superblock *find(const struct superblocks *all, dev_t dev)
{
	for (uint32_t i = 0; i < all->n; i++)
		if (all->v[i]->dev == dev)
			return all->v[i];
	return NULL;
}

/* ---- adding: 1 where there is no room ---- */

static const char *keep_text(struct superblocks *all, const char *text)
{
	size_t size = strlen(text) + 1;
	char *copy = arena_take(&all->arena, size);

	return copy ? memcpy(copy, text, size) : NULL;
}

static int add_superblock(struct superblocks *all, const struct superblock *seen)
{
	struct superblock *sb;

	if (all->n == SUPERBLOCKS_MAX || !(sb = arena_take(&all->arena, sizeof(*sb))))
		return 1;
	*sb = *seen;
	sb->place = all->n;
	sb->type = keep_text(all, seen->type);
	sb->source = keep_text(all, seen->source);
	all->v[all->n++] = sb;
	return !sb->type || !sb->source;
}

static int add_mount(struct superblocks *all, struct superblock *sb, uint64_t id,
		     const char *point)
{
	struct sb_mount *m;

	if (all->n_mounts++ == MOUNTS_MAX || !(m = arena_take(&all->arena, sizeof(*m))))
		return 1;
	*m = (struct sb_mount){.id = id, .point = keep_text(all, point)};
	if (sb->last)
		sb->last->next = m;
	else
		sb->mounts = m;
	sb->last = m;
	return !m->point;
}

static int each_mount(void *arg, const struct mount_line *m)
{
	struct superblocks *all = arg;
	struct superblock seen = {
		.dev = m->dev,
		.type = m->type,
		.source = m->source,
		.read_only = is_read_only(m->options),
	};
	struct superblock *sb = find(all, seen.dev);

	if (!sb) {
		if (!find_disk(all->sys, &seen, &seen.disk))
			return 0;
		if (add_superblock(all, &seen))
			return 1;
		sb = all->v[all->n - 1];
	}
	return add_mount(all, sb, m->id, m->point);
}

/* ---- what others call ---- */

int superblocks_parse(struct superblocks *all, const struct sys *sys, char *text,
		      size_t len, struct err *e)
{
	*all = (struct superblocks){
		.sys = sys,
		.arena = {.p = malloc(MEMORY_MAX), .cap = MEMORY_MAX},
	};
	if (!all->arena.p)
		return err_sys(e, ENOMEM, "failed to read %s", MOUNTINFO);
	if (mounts_each(text, len, each_mount, all))
		return err_set(e, ERR_GENERIC,
			       "there are too many file systems or mounts");
	return 0;
}

int superblocks_read(struct superblocks *all, const struct sys *sys, struct err *e)
{
	CLEANUP(free_p) char *text = malloc(TABLE_MAX + 1);
	ssize_t len = text ? sys_read_file(sys, MOUNTINFO, text, TABLE_MAX) : -1;

	if (len < 0)
		return err_sys(e, errno, "failed to read %s", MOUNTINFO);
	text[len] = '\0';
	return superblocks_parse(all, sys, text, (size_t)len, e);
}

void superblocks_done(struct superblocks *all)
{
	free_p(&all->arena.p);
}

static int by_depth(const void *a, const void *b)
{
	const struct superblock *x = *(struct superblock *const *)a;
	const struct superblock *y = *(struct superblock *const *)b;

	if (x->depth != y->depth)
		return x->depth > y->depth ? -1 : 1;
	return x->place > y->place ? -1 : 1;
}

int superblocks_sort(struct superblocks *all, struct err *e)
{
	if (stack_look(all, e) < 0)
		return -1;
	if (all->n)
		qsort(all->v, all->n, sizeof(struct superblock *), by_depth);
	return 0;
}

bool superblock_is_scratch(const struct superblock *sb)
{
	return major(sb->disk) == LOOP_MAJOR;
}
