/*
 * inspector/mounts.c - the mounts that stand on a block device, in the kernel's order
 *
 * Runs in:   inspector
 * Input:     /proc/self/mountinfo: mount points and sources are any bytes
 * May touch: that file, read-only; the arena
 * Must not:  look at a mount point
 */
#include "inspector/mounts.h"

#include <libmount/libmount.h>
#include <stdio.h>
#include <sys/sysmacros.h>

#include "inspector/shape.h"

#define MOUNTINFO "/proc/self/mountinfo"

static void close_stream_p(FILE **f)
{
	if (*f)
		fclose(*f);
}

static void table_p(struct libmnt_table **t)
{
	mnt_unref_table(*t);
}

static void iter_p(struct libmnt_iter **i)
{
	mnt_free_iter(*i);
}

/* Is what ends at P, a blank, the type of a file system: "... - TYPE"? */
static bool ends_type(const char *text, const char *p)
{
	const char *type = memrchr(text, ' ', (size_t)(p - text));

	return type && type - text >= 2 && memcmp(type - 2, " -", 2) == 0;
}

/*
 * A root that the kernel mounted by itself has the source "/dev/root", for which libmount
 * looks on its own: outside our root and in the end by probing disks, which the seal does
 * not allow. Nobody asks for it, so it gets another name.
 */
static void rename_dev_root(char *text, size_t len)
{
	static const char name[] = " /dev/root ";
	char *p = text;

	while ((p = memmem(p, (size_t)(text + len - p), name, sizeof(name) - 1))) {
		if (ends_type(text, p))
			p[1] = '-';
		p++;
	}
}

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

/* The table goes before the answer does: texts are copied. */
static int add_mount(struct inspector *in, struct libmnt_fs *fs, struct v_list *list)
{
	const char *point = mnt_fs_get_target(fs);
	const char *type = mnt_fs_get_fstype(fs);
	struct mount *m;
	dev_t dev;

	if (!point || !type || !shape_shows(in, point, strlen(point)) ||
	    !find_device(in, fs, &dev))
		return 0;
	m = inspect_add(in, list, sizeof(*m));
	if (!m)
		return -1;
	*m = (struct mount){
		.dev = dev,
		.id = mnt_fs_get_id(fs),
		.point = inspect_text(in, "%s", point),
		.type = inspect_text(in, "%s", type),
	};
	return m->point.set && m->type.set ? 0 : -1;
}

int mounts_parse(struct inspector *in, char *text, size_t len, struct v_list *list,
		 struct err *e)
{
	CLEANUP(close_stream_p) FILE *f = fmemopen(text, len, "r");
	CLEANUP(table_p) struct libmnt_table *table = mnt_new_table();
	CLEANUP(iter_p) struct libmnt_iter *iter = mnt_new_iter(MNT_ITER_FORWARD);
	struct libmnt_fs *fs;

	rename_dev_root(text, len);
	if (!f || !table || !iter || mnt_table_parse_stream(table, f, MOUNTINFO) < 0)
		return err_sys(e, ENOMEM, "failed to read %s", MOUNTINFO);
	while (mnt_table_next_fs(table, iter, &fs) == 0)
		if (add_mount(in, fs, list) < 0)
			return inspect_full(e);
	return 0;
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
