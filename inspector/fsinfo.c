/*
 * inspector/fsinfo.c - mounted file systems: devices, sizes, disks
 *
 * Runs in:   inspector
 * Input:     the mount table, /sys, the udev database; sizes by statfs
 * May touch: these, read-only; the arena
 * Must not:  walk /sys more than once for a device, wait for a file system
 */
#include <sys/sysmacros.h>

#include "inspector/block.h"
#include "inspector/mounts.h"

/* What is the same for all mounts of a device. */
struct device {
	dev_t number;
	struct v_str name;
	struct v_list disk;
};

/* A device that /sys does not show (in a container) has its number for a name. */
static int fill_device(struct inspector *in, struct device *d, struct err *e)
{
	unsigned int maj = major(d->number);
	unsigned int min = minor(d->number);
	struct block b;
	bool found = block_by_number(in, maj, min, &b) == 0;

	d->disk.set = true;
	d->name = found ? inspect_text(in, "%s", b.name)
			: inspect_text(in, "%u:%u", maj, min);
	if (!d->name.set)
		return inspect_full(e);
	return found ? block_addresses(in, &b, &d->disk, e) : 0;
}

/* DEVICES are those of this answer so far. The copy in *OUT shares their memory. */
static int get_device(struct inspector *in, struct v_list *devices, dev_t number,
		      struct device *out, struct err *e)
{
	const struct device *known = devices->v;
	struct device *d;

	for (uint32_t i = 0; i < devices->n; i++)
		if (known[i].number == number) {
			*out = known[i];
			return 0;
		}
	*out = (struct device){.number = number};
	if (fill_device(in, out, e) < 0)
		return -1;
	d = inspect_add(in, devices, sizeof(*d));
	if (!d)
		return inspect_full(e);
	*d = *out;
	return 0;
}

static void set_sizes(struct msg_fsinfo *f, const struct size *s)
{
	if (!s->known)
		return;
	f->used_bytes = V_U64(s->used);
	f->total_bytes = V_U64(s->total);
	f->total_bytes_privileged = V_U64(s->privileged);
}

int inspect_get_fsinfo(struct inspector *in, const struct msg_empty *args,
		       struct msg_fsinfos *result, struct err *e)
{
	struct v_list devices = {0};
	struct v_list list = {0};
	const struct mount *mounts;
	const struct size *sizes;

	(void)args;
	if (mounts_read(in, &list, e) < 0)
		return -1;
	mounts = list.v;
	sizes = sizes_get(in, mounts, list.n);
	result->value.set = true;
	/* The last that was mounted comes first. */
	for (uint32_t i = list.n; i-- > 0;) {
		struct msg_fsinfo *f =
			sizes ? inspect_add(in, &result->value, sizeof(*f)) : NULL;
		struct device d;

		if (!f)
			return inspect_full(e);
		if (get_device(in, &devices, mounts[i].dev, &d, e) < 0)
			return -1;
		*f = (struct msg_fsinfo){
			.name = d.name,
			.mountpoint = mounts[i].point,
			.type = mounts[i].type,
			.disk = d.disk,
		};
		set_sizes(f, &sizes[i]);
	}
	return 0;
}
