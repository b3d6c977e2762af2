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
static bool find_device(const struct inspector *in, struct libmnt_fs *fs, dev_t *dev)
{
	const char *type = mnt_fs_get_fstype(fs);
	const char *source = mnt_fs_get_source(fs);

	*dev = mnt_fs_get_devno(fs);
	if (major(*dev))
		return true;
	/* A file system of many devices has a number of its own making. */
	return type && streq(type, "btrfs") && source &&
	       in->sys.ops->block_dev(&in->sys, source, dev) == 0;
}

/* The table goes before the answer does: texts are copied. 1: there is no room. */
static int add_mount(void *arg, struct libmnt_fs *fs)
{
	const struct adding *to = arg;
	const char *point = mnt_fs_get_target(fs);
	const char *type = mnt_fs_get_fstype(fs);
	struct mount *m;
	dev_t dev;

	if (!point || !type || !shape_shows(to->in, point, strlen(point)) ||
	    !find_device(to->in, fs, &dev))
		return 0;
	m = inspect_add(to->in, to->list, sizeof(*m));
	if (!m)
		return 1;
	*m = (struct mount){
		.dev = dev,
		.id = mnt_fs_get_id(fs),
		.point = inspect_text(to->in, "%s", point),
		.type = inspect_text(to->in, "%s", type),
	};
	return !m->point.set || !m->type.set;
}

int mounts_parse(struct inspector *in, char *text, size_t len, struct v_list *list,
		 struct err *e)
{
	struct adding to = {.in = in, .list = list};
	int r = mounts_each(text, len, add_mount, &to);

	if (r < 0)
		return err_sys(e, errno, "failed to read %s", MOUNTINFO);
	return r ? inspect_full(e) : 0;
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
