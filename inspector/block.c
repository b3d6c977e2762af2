/*
 * inspector/block.c - block devices in /sys and in the udev database
 *
 * Runs in:   inspector
 * Input:     /sys and the udev database beneath the root: any bytes
 * May touch: these, read-only; the arena
 * Must not:  open a device
 */
#include "inspector/block.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>

#include "inspector/text.h"

/* More devices below one than any real machine has. */
#define SLAVES_MAX 256

/* ---- paths ---- */

/*
 * TARGET as it stands in a link in the directory of the path LINK, whose directories are
 * no links: so ".." can be taken literally.
 */
static bool resolve(const char *link, const char *target, char path[BLOCK_PATH_MAX])
{
	size_t len = target[0] == '/' ? 0 : (size_t)(strrchr(link, '/') - link);

	if (len >= BLOCK_PATH_MAX)
		return false;
	memcpy(path, link, len);
	while (*target) {
		size_t n = strcspn(target, "/");

		if (n == 2 && !memcmp(target, "..", 2)) {
			while (len && path[--len] != '/')
				;
		} else if (n && !(n == 1 && *target == '.')) {
			if (len + n + 2 > BLOCK_PATH_MAX)
				return false;
			path[len++] = '/';
			memcpy(path + len, target, n);
			len += n;
		}
		target += n + (target[n] == '/');
	}
	path[len] = '\0';
	return true;
}

int block_by_link(struct inspector *in, const char *link, struct block *b)
{
	char target[BLOCK_PATH_MAX];

	if (sys_readlink(&in->sys, link, target, sizeof(target)) < 0)
		return -1;
	if (!resolve(link, target, b->path) || strncmp(b->path, "/sys/", 5) != 0) {
		errno = ENAMETOOLONG;
		return -1;
	}
	b->name = strrchr(b->path, '/') + 1;
	return 0;
}

int block_by_number(struct inspector *in, unsigned int major, unsigned int minor,
		    struct block *b)
{
	char link[64];

	snprintf(link, sizeof(link), "/sys/dev/block/%u:%u", major, minor);
	return block_by_link(in, link, b);
}

bool block_is_virtual(const struct block *b)
{
	return strstr(b->path, "/devices/virtual/block/");
}

/* PATH of B and what is below it; false if that is too long. */
static bool below(const struct block *b, const char *name, char path[BLOCK_PATH_MAX])
{
	return snprintf(path, BLOCK_PATH_MAX, "%s/%s", b->path, name) < BLOCK_PATH_MAX;
}

/* ---- what is said of a device ---- */

/* Text ends at a NUL, which a value cannot hold. */
static struct text up_to_nul(const char *p, size_t len)
{
	return text_of(p, strnlen(p, len));
}

/* Behind KEY, if the line begins with it. */
static bool value_of(struct text line, const char *key, struct text *value)
{
	size_t len = strlen(key);

	if ((size_t)(line.end - line.p) < len || memcmp(line.p, key, len) != 0)
		return false;
	*value = up_to_nul(line.p + len, (size_t)(line.end - line.p) - len);
	return true;
}

static struct v_str keep(struct inspector *in, struct text t)
{
	return inspect_text(in, "%.*s", (int)(t.end - t.p), t.p);
}

/* Keep it where it is not empty. -1 if the arena is full. */
static int keep_in(struct inspector *in, struct text t, struct v_str *to)
{
	if (t.p == t.end)
		return 0;
	*to = keep(in, t);
	return to->set ? 0 : -1;
}

struct uevent {
	struct text major, minor, name, type;
	uint64_t disk; /* as in struct serial */
	char bytes[4096];
};

static void read_uevent(struct inspector *in, const struct block *b, struct uevent *u)
{
	char path[BLOCK_PATH_MAX];
	struct text t, line, disk = {0};
	ssize_t len = -1;

	u->disk = 0;
	u->major = u->minor = u->name = u->type = text_of("", 0);
	if (below(b, "uevent", path))
		len = sys_read_attr(&in->sys, path, u->bytes, sizeof(u->bytes));
	t = text_of(u->bytes, len < 0 ? 0 : (size_t)len);
	while (text_line(&t, &line))
		if (!value_of(line, "MAJOR=", &u->major) &&
		    !value_of(line, "MINOR=", &u->minor) &&
		    !value_of(line, "DEVNAME=", &u->name) &&
		    !value_of(line, "DEVTYPE=", &u->type) &&
		    value_of(line, "DISKSEQ=", &disk))
			text_u64(disk, 10, &u->disk);
}

/* The entry of the udev database. 0; 1: there is none; -1: the arena is full. */
static int read_udev(struct inspector *in, const struct uevent *u,
		     struct block_info *info)
{
	char path[128];
	char bytes[16384];
	struct text t, line, value;
	ssize_t len;

	snprintf(path, sizeof(path), "/run/udev/data/b%.*s:%.*s",
		 (int)(u->major.end - u->major.p), u->major.p,
		 (int)(u->minor.end - u->minor.p), u->minor.p);
	len = sys_read_attr(&in->sys, path, bytes, sizeof(bytes));
	if (len < 0)
		return 1;
	t = text_of(bytes, (size_t)len);
	while (text_line(&t, &line)) {
		if (value_of(line, "E:ID_SERIAL=", &value) &&
		    keep_in(in, value, &info->serial) < 0)
			return -1;
		if (value_of(line, "E:DM_NAME=", &value) &&
		    keep_in(in, value, &info->alias) < 0)
			return -1;
	}
	return 0;
}

static int read_attr(struct inspector *in, const struct block *b, const char *name,
		     struct v_str *to)
{
	char path[BLOCK_PATH_MAX], bytes[512];
	ssize_t len = -1;
	struct text t;

	if (to->set || !below(b, name, path))
		return 0;
	len = sys_read_attr(&in->sys, path, bytes, sizeof(bytes));
	t = up_to_nul(bytes, len < 0 ? 0 : (size_t)len);
	while (t.end > t.p && isspace((unsigned char)t.end[-1]))
		t.end--; /* NVMe pads its serial number */
	return keep_in(in, t, to);
}

static const char *known_serial(const struct serials *s, uint64_t disk)
{
	for (uint32_t i = 0; disk && i < SERIALS_MAX; i++)
		if (s->v[i].disk == disk)
			return s->v[i].text;
	return NULL;
}

static void remember_serial(struct serials *s, uint64_t disk, struct v_str serial)
{
	struct serial *to = &s->v[s->next];

	if (!disk || !serial.set || serial.len >= sizeof(to->text))
		return;
	*to = (struct serial){.disk = disk};
	memcpy(to->text, serial.p, serial.len);
	s->next = (s->next + 1) % SERIALS_MAX;
}

/* The kernel's, which it keeps with the whole disk. -1 if the arena is full. */
static int read_serial(struct inspector *in, const struct block *b,
		       const struct uevent *u, struct v_str *serial)
{
	const char *known = known_serial(&in->serials, u->disk);
	struct block disk;

	if (known)
		return keep_in(in, text_of(known, strlen(known)), serial);
	disk = *b;
	if (text_is(u->type, "partition"))
		*strrchr(disk.path, '/') = '\0';
	if (read_attr(in, &disk, "serial", serial) < 0 ||
	    read_attr(in, &disk, "device/serial", serial) < 0)
		return -1;
	remember_serial(&in->serials, u->disk, *serial);
	return 0;
}

int block_info(struct inspector *in, const struct block *b, struct block_info *info)
{
	struct uevent u;
	int r;

	*info = (struct block_info){0};
	read_uevent(in, b, &u);
	if (u.name.p != u.name.end) {
		info->node = inspect_text(in, "/dev/%.*s", (int)(u.name.end - u.name.p),
					  u.name.p);
		if (!info->node.set)
			return -1;
	}
	r = read_udev(in, &u, info);
	if (r < 0 ||
	    (block_is_virtual(b) && read_attr(in, b, "dm/name", &info->alias) < 0))
		return -1;
	/* The reference knows a serial number from udev only; where udev does not run the
	 * kernel's is better than none. */
	return r > 0 ? read_serial(in, b, &u, &info->serial) : 0;
}

/* ---- what it is made of ---- */

struct slaves {
	struct inspector *in;
	struct v_list *names;
	bool full;
};

static int each_slave(void *arg, const char *name, unsigned char type)
{
	struct slaves *s = arg;
	struct v_str *v;

	if (type != DT_LNK || s->names->n == SLAVES_MAX)
		return 0;
	v = inspect_add(s->in, s->names, sizeof(*v));
	if (v)
		*v = inspect_text(s->in, "%s", name);
	s->full = !v || !v->set;
	return s->full;
}

int block_slaves(struct inspector *in, const struct block *b, struct v_list *names)
{
	struct slaves s = {.in = in, .names = names};
	char path[BLOCK_PATH_MAX];

	if (!below(b, "slaves", path) ||
	    (sys_list(&in->sys, path, each_slave, &s) < 0 && !s.full))
		return 1;
	if (s.full)
		return -1;
	names->set = true;
	if (names->n)
		qsort(names->v, names->n, sizeof(struct v_str), block_by_name);
	return 0;
}

int block_slave(struct inspector *in, const struct block *b, const char *name,
		struct block *slave)
{
	char link[BLOCK_PATH_MAX];

	if (snprintf(link, sizeof(link), "%s/slaves/%s", b->path, name) >=
	    (int)sizeof(link))
		return errno = ENAMETOOLONG, -1;
	return block_by_link(in, link, slave);
}

int block_by_name(const void *a, const void *b)
{
	return strverscmp(((const struct v_str *)a)->p, ((const struct v_str *)b)->p);
}
