/*
 * inspector/disks.c - disks and partitions: guest-get-disks
 *
 * Runs in:   inspector
 * Input:     /sys/block, the udev database: any bytes; health readings of the worker
 * May touch: these, read-only; the arena
 * Must not:  open a device
 *
 * Each disk is followed by its partitions, disks in the order of their names.
 */
#include <ctype.h>
#include <dirent.h>
#include <limits.h>
#include <stdio.h>

#include "inspector/block.h"
#include "inspector/kernel.h"
#include "inspector/shape.h"

/* Names of one directory, on the way into a list of struct v_str. */
struct entries {
	struct inspector *in;
	const char *disk; /* its partitions; NULL: links */
	struct v_list list;
	bool full;
};

/* Named like the disk and a number; with a "p" between where the disk ends in one. */
static bool is_partition(const char *name, const char *disk)
{
	size_t len = strlen(disk);

	if (strncmp(name, disk, len) != 0)
		return false;
	name += len + (name[len] == 'p');
	return isdigit((unsigned char)*name);
}

static int each_name(void *arg, const char *name, unsigned char type)
{
	struct entries *n = arg;
	struct v_str *v;

	if (n->disk ? type != DT_DIR || !is_partition(name, n->disk) : type != DT_LNK)
		return 0;
	if (!shape_shows(n->in, name, strlen(name)))
		return 0;
	v = inspect_add(n->in, &n->list, sizeof(*v));
	if (v)
		*v = inspect_text(n->in, "%s", name);
	n->full = !v || !v->set;
	return n->full;
}

static void sort(struct v_list *names)
{
	if (names->n)
		qsort(names->v, names->n, sizeof(struct v_str), block_by_name);
}

/* ---- one disk ---- */

/* A drive without a medium has no bytes. */
static bool is_empty(struct inspector *in, const struct block *b)
{
	char path[BLOCK_PATH_MAX + 8], size[32];

	snprintf(path, sizeof(path), "%s/size", b->path);
	return sys_read_attr(&in->sys, path, size, sizeof(size)) < 0 || streq(size, "0");
}

/* The nodes of what B is made of. */
static int add_dependencies(struct inspector *in, const struct block *b,
			    struct v_list *to)
{
	struct v_list names = {0};
	int r = block_slaves(in, b, &names);
	const struct v_str *name = names.v;

	if (r < 0)
		return -1;
	to->set = r == 0;
	for (uint32_t i = 0; i < names.n; i++) {
		struct block_info info;
		struct block slave;
		struct v_str *v;

		if (block_slave(in, b, name[i].p, &slave) < 0)
			continue;
		if (block_info(in, &slave, &info) < 0)
			return -1;
		v = info.node.set ? inspect_add(in, to, sizeof(*v)) : NULL;
		if (v)
			*v = info.node;
		else if (info.node.set)
			return -1;
	}
	return 0;
}

static int add_address(struct inspector *in, const struct block *b, struct v_obj *to,
		       struct err *e)
{
	struct v_list list = {0};

	if (block_is_virtual(b))
		return 0;
	if (block_addresses(in, b, &list, e) < 0)
		return -1;
	if (list.n)
		*to = (struct v_obj){.v = list.v, .set = true};
	return 0;
}

/* What the worker read from the disk, if the policy lets it. */
static struct v_obj health_of(const struct inspector *in, const char *name)
{
	const struct msg_disk_health *h = in->more.health.v;

	for (uint32_t i = 0; i < in->more.health.n; i++)
		if (h[i].name.len == strlen(name) &&
		    !memcmp(h[i].name.p, name, h[i].name.len))
			return h[i].smart;
	return (struct v_obj){0};
}

/* 1: added; 0: nobody knows its node; -1 with E. */
static int add_disk(struct inspector *in, const struct block *b, struct v_list *disks,
		    struct v_str *node, struct err *e)
{
	struct msg_disk disk = {.partition = V_BOOL(false)};
	struct block_info info;
	struct msg_disk *to;

	if (block_info(in, b, &info) < 0)
		return inspect_full(e);
	if (!info.node.set)
		return 0;
	disk.name = *node = info.node;
	disk.alias = info.alias;
	disk.smart = health_of(in, b->name);
	if (add_address(in, b, &disk.address, e) < 0)
		return -1;
	if (add_dependencies(in, b, &disk.dependencies) < 0)
		return inspect_full(e);
	to = inspect_add(in, disks, sizeof(*to));
	if (!to)
		return inspect_full(e);
	*to = disk;
	return 1;
}

/* ---- its partitions ---- */

static int add_partition(struct inspector *in, const struct block *disk, const char *name,
			 struct v_str *parent, struct v_list *disks)
{
	struct block_info info;
	struct msg_disk *to;
	struct block b;

	if (snprintf(b.path, sizeof(b.path), "%s/%s", disk->path, name) >=
	    (int)sizeof(b.path))
		return 0;
	b.name = strrchr(b.path, '/') + 1;
	if (block_info(in, &b, &info) < 0)
		return -1;
	if (!info.node.set)
		return 0;
	to = inspect_add(in, disks, sizeof(*to));
	if (!to)
		return -1;
	*to = (struct msg_disk){
		.name = info.node,
		.partition = V_BOOL(true),
		.dependencies = {.v = parent, .n = 1, .set = true},
	};
	return 0;
}

static int add_partitions(struct inspector *in, const struct block *disk,
			  struct v_str node, struct v_list *disks)
{
	struct v_str *parent = arena_take(&in->arena, sizeof(*parent));
	struct entries n = {.in = in, .disk = disk->name};
	const struct v_str *name;

	if (!parent)
		return -1;
	*parent = node;
	if (sys_list(&in->sys, disk->path, each_name, &n) < 0 && !n.full)
		return 0;
	sort(&n.list);
	name = n.list.v;
	for (uint32_t i = 0; i < n.list.n; i++)
		if (add_partition(in, disk, name[i].p, parent, disks) < 0)
			return -1;
	return n.full ? -1 : 0;
}

/* ---- the answer ---- */

static int add_all(struct inspector *in, const char *name, struct v_list *disks,
		   struct err *e)
{
	char link[sizeof("/sys/block/") + NAME_MAX];
	struct v_str node;
	struct block b;
	int r;

	snprintf(link, sizeof(link), "/sys/block/%s", name);
	/* Gone since the directory was read, or a drive without a medium. */
	if (block_by_link(in, link, &b) < 0 || is_empty(in, &b))
		return 0;
	r = add_disk(in, &b, disks, &node, e);
	if (r > 0 && add_partitions(in, &b, node, disks) < 0)
		return inspect_full(e);
	return r < 0 ? -1 : 0;
}

int inspect_get_disks(struct inspector *in, const struct msg_empty *args,
		      struct msg_disks *result, struct err *e)
{
	struct entries n = {.in = in};
	const struct v_str *name;

	(void)args;
	if (sys_list(&in->sys, "/sys/block", each_name, &n) < 0)
		return kernel_error(e, errno, "Can't open directory \"/sys/block\"");
	if (n.full)
		return inspect_full(e);
	sort(&n.list);
	name = n.list.v;
	result->value.set = true;
	for (uint32_t i = 0; i < n.list.n; i++)
		if (add_all(in, name[i].p, &result->value, e) < 0)
			return -1;
	return 0;
}
