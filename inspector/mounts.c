/*
 * inspector/mounts.c - the mounts that stand on a block device, in the kernel's order
 *
 * Runs in:   inspector
 * Input:     /proc/self/mountinfo: mount points and sources are any bytes
 * May touch: that file, read-only; the arena
 * Must not:  look at a mount point
 */
#include "inspector/mounts.h"

#include <sys/sysmacros.h>

#include "inspector/shape.h"
#include "mounts/table.h"

/* A list that mounts are appended to. */
struct adding {
	struct inspector *in;
	struct v_list *list;
};

/* False: the file system is on no block device that we know. */
static bool find_device(const struct inspector *in, const struct mount_line *line,
			dev_t *dev)
{
	*dev = line->dev;
	if (major(*dev))
		return true;
	/* A file system of many devices has a number of its own making. */
	return streq(line->type, "btrfs") &&
	       in->sys.ops->block_dev(&in->sys, line->source, dev) == 0;
}

/* The table goes before the answer does: texts are copied. 1: there is no room. */
static int add_mount(void *arg, const struct mount_line *line)
{
	const struct adding *to = arg;
	struct mount *m;
	dev_t dev;

	if (!shape_shows(to->in, line->point, strlen(line->point)) ||
	    !find_device(to->in, line, &dev))
		return 0;
	m = inspect_add(to->in, to->list, sizeof(*m));
	if (!m)
		return 1;
	*m = (struct mount){
		.dev = dev,
		.id = (int)line->id,
		.point = inspect_text(to->in, "%s", line->point),
		.type = inspect_text(to->in, "%s", line->type),
	};
	return !m->point.set || !m->type.set;
}

int mounts_parse(struct inspector *in, char *text, size_t len, struct v_list *list,
		 struct err *e)
{
	struct adding to = {.in = in, .list = list};

	return mounts_each(text, len, add_mount, &to) ? inspect_full(e) : 0;
}

int mounts_read(struct inspector *in, struct v_list *list, struct err *e)
{
	size_t len;
	char *text = inspect_read(in, MOUNTINFO, INSPECT_TABLE_MAX, &len);

	if (!text && errno == ENOENT)
		return err_set(e, ERR_NOT_FOUND,
			       "guest-get-fsinfo is not available here: no %s",
			       MOUNTINFO);
	if (!text)
		return err_sys(e, errno, "failed to read %s", MOUNTINFO);
	return mounts_parse(in, text, len, list, e);
}
