/*
 * tests/lib/mounts.h - a machine of mounts and loop devices that exist as text only
 *
 * Runs in:   unit tests, fuzz targets
 * Input:     trees (tests/lib/tree.h) with a mount table, /sys and device nodes
 * May touch: what is below the directory it is handed
 * Must not:  look at the machine's own mounts and devices, freeze or thaw anything
 *
 * A device node is a file: its number, and of a loop device what it says of its file:
 *
 *   dev/vda = 254:0
 *   dev/loop0 = 7:0 on 254:0 1234      st_dev and inode of the file
 *   dev/loop1 = 7:1 is 7:0             the device that is its "file"
 */
#ifndef POSTERN_TESTS_MOUNTS_H
#define POSTERN_TESTS_MOUNTS_H

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#include "ipc/sys.h"

/* What is at a path. Of others: mount 1, and what stat(2) says. */
struct fake_path {
	const char *path;
	uint64_t id;   /* of the mount */
	dev_t dev;     /* st_dev, if not 0 */
	ino_t ino;     /* st_ino, if not 0 */
	int thaws;     /* so many FITHAW succeed */
	int no_trim;   /* errno of FITRIM */
	int no_detach; /* errno of open_tree */
};

/* The functions of struct sys_ops have no context: it is here. */
struct fake_machine {
	char root[64];
	struct fake_path paths[8];
	size_t n;
	char *log; /* 256 bytes that processes share: the paths that were thawed */
};
static struct fake_machine fake;

/* PATH is on mount ID. */
static inline struct fake_path *fake_add(const char *path, uint64_t id)
{
	struct fake_path *p = &fake.paths[fake.n++];

	*p = (struct fake_path){.path = path, .id = id};
	return p;
}

/* The path of FD in the machine, in PATH; an unknown one is none. */
static inline struct fake_path *fake_at(int fd)
{
	char link[64], path[512];
	ssize_t len;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, path, sizeof(path) - 1);
	if (len < (ssize_t)strlen(fake.root))
		return NULL;
	path[len] = '\0';
	for (size_t i = 0; i < fake.n; i++)
		if (streq(fake.paths[i].path, path + strlen(fake.root)))
			return &fake.paths[i];
	return NULL;
}

static inline int fake_mount_id(int fd, uint64_t *id)
{
	const struct fake_path *p = fake_at(fd);

	*id = p ? p->id : 1;
	return 0;
}

static inline int fake_fstat(int fd, struct stat *st)
{
	const struct fake_path *p = fake_at(fd);

	if (fstat(fd, st) < 0)
		return -1;
	if (p && p->dev)
		st->st_dev = p->dev;
	if (p && p->ino)
		st->st_ino = p->ino;
	return 0;
}

static inline int fake_open_tree(int fd)
{
	const struct fake_path *p = fake_at(fd);

	if (p && p->no_detach) {
		errno = p->no_detach;
		return -1;
	}
	return fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

static inline int fake_block_dev(const struct sys *sys, const char *path, dev_t *dev)
{
	unsigned int ma, mi;
	char text[128];

	if (sys_read_attr(sys, path, text, sizeof(text)) < 0)
		return -1;
	/* NOLINTNEXTLINE(cert-err34-c): of a fixture, whose numbers are small */
	if (sscanf(text, "%u:%u", &ma, &mi) != 2) {
		errno = ENOTBLK;
		return -1;
	}
	*dev = makedev(ma, mi);
	return 0;
}

static inline int fake_loop(int fd, struct loop_info64 *info)
{
	unsigned int ma, mi;
	unsigned long ino;
	char text[128] = "";

	*info = (struct loop_info64){0};
	if (pread(fd, text, sizeof(text) - 1, 0) < 0)
		return -1;
	/* NOLINTNEXTLINE(cert-err34-c): as above */
	if (sscanf(text, "%*u:%*u on %u:%u %lu", &ma, &mi, &ino) == 3) {
		info->lo_device = makedev(ma, mi);
		info->lo_inode = ino;
		return 0;
	}
	/* NOLINTNEXTLINE(cert-err34-c): as above */
	if (sscanf(text, "%*u:%*u is %u:%u", &ma, &mi) == 2) {
		info->lo_device = makedev(0, 6);
		info->lo_rdevice = makedev(ma, mi);
		return 0;
	}
	errno = ENXIO;
	return -1;
}

static inline int fake_trim(const struct fake_path *p, struct fstrim_range *range)
{
	errno = range->start || range->len != UINT64_MAX ? EINVAL : p ? p->no_trim : 0;
	range->len = 4096;
	range->minlen += 512;
	return errno ? -1 : 0;
}

static inline int fake_thaw(struct fake_path *p)
{
	if (!p || !p->thaws) {
		errno = EINVAL;
		return -1;
	}
	p->thaws--;
	if (fake.log)
		snprintf(fake.log + strlen(fake.log), 256 - strlen(fake.log), "%s ",
			 p->path);
	return 0;
}

static inline int fake_ioctl(int fd, unsigned long request, void *arg)
{
	struct fake_path *p = fake_at(fd);

	if (request == LOOP_GET_STATUS64)
		return fake_loop(fd, arg);
	if (request == FITRIM)
		return fake_trim(p, arg);
	if (request == FITHAW)
		return fake_thaw(p);
	errno = ENOTTY;
	return -1;
}

static const struct sys_ops fake_ops = {
	.block_dev = fake_block_dev,
	.ioctl = fake_ioctl,
	.fstat = fake_fstat,
	.mount_id = fake_mount_id,
	.open_tree = fake_open_tree,
};

#endif
