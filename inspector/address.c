/*
 * inspector/address.c - where a disk sits: from its path in /sys to its address
 *
 * Runs in:   inspector
 * Input:     paths and links of /sys: any bytes
 * May touch: these, read-only; the arena
 * Must not:  recurse without a bound
 *
 * Protocol 3.30. The answers are the reference's, which hosts map to their disks. Where
 * it knows less than there is to know, ours has more:
 *
 * - virtio-scsi on PCI has its target, without which two disks have one address (protocol
 *   5.5 no. 47), and its channel;
 * - an NVMe disk with several controllers has the place of the first;
 * - a PCI host that is not at the top of the device tree, as on many ARM machines and on
 *   Hyper-V, is one;
 * - disks on the older USB controllers are on USB;
 * - the ports of a controller are counted, however many there are.
 */
#include <ctype.h>
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>

#include "inspector/block.h"
#include "inspector/text.h"

/* Device mapper on md on partitions and so on; deeper is a loop. */
#define DEPTH_MAX 8

#define NVME_SUBSYSTEM "/nvme-subsystem/"

/* ---- elements of a path ---- */

/*
 * The numbers in P where FORM has '#' (decimal) or '@' (hexadecimal); all else must be
 * the same. Behind them, or NULL if P is of another form.
 */
static const char *numbers(const char *p, const char *form, int64_t *v)
{
	for (; *form; form++) {
		bool number = *form == '#' || *form == '@';
		size_t n = strspn(p, *form == '#' ? "0123456789" : "0123456789abcdef");
		uint64_t value;

		if (!number && *p++ != *form)
			return NULL;
		if (!number)
			continue;
		if (!text_u64(text_of(p, n), *form == '#' ? 10 : 16, &value) ||
		    value > INT64_MAX)
			return NULL;
		*v++ = (int64_t)value;
		p += n;
	}
	return p;
}

/* "target<H>:<C>:<T>/<H>:<C>:<T>:<L>" */
struct scsi {
	int64_t channel, target, lun;
};

/* The element behind "/PREFIX<digit>" in PATH, from its slash on; NULL: none. */
static const char *element(const char *path, const char *prefix)
{
	char key[16];
	size_t len = (size_t)snprintf(key, sizeof(key), "/%s", prefix);

	while ((path = strstr(path, key))) {
		if (isdigit((unsigned char)path[len]))
			return path;
		path++;
	}
	return NULL;
}

static bool scsi_of(const char *path, struct scsi *s)
{
	const char *p = element(path, "target");
	int64_t v[7];

	if (!p || !numbers(p, "/target#:#:#/#:#:#:#", v))
		return false;
	*s = (struct scsi){.channel = v[4], .target = v[5], .lun = v[6]};
	return true;
}

/* ---- the index of a port among its siblings ---- */

struct siblings {
	const char *prefix; /* "ata" or "host" */
	uint64_t own;
	int64_t before;
};

static int each_sibling(void *arg, const char *name, unsigned char type)
{
	struct siblings *s = arg;
	uint64_t number;

	(void)type;
	if (text_numbered(text_of(name, strlen(name)), s->prefix, &number))
		s->before += number < s->own;
	return 0;
}

/* That of the ATA port in PATH or, without one, of the SCSI host. */
static bool port_index(struct inspector *in, const char *path, int64_t *index)
{
	struct siblings s = {.prefix = "ata"};
	const char *at = element(path, s.prefix);
	char dir[BLOCK_PATH_MAX];

	if (!at) {
		s.prefix = "host";
		at = element(path, s.prefix);
	}
	if (!at ||
	    !text_numbered(text_of(at + 1, strcspn(at + 1, "/")), s.prefix, &s.own))
		return false;
	snprintf(dir, sizeof(dir), "%.*s", (int)(at - path), path);
	if (sys_list(&in->sys, dir, each_sibling, &s) < 0)
		return false;
	*index = s.before;
	return true;
}

/* ---- by driver of the controller ---- */

struct place {
	struct inspector *in;
	const char *path;
	struct msg_disk_address *a;
};

static bool by_port_and_target(const struct place *p)
{
	struct scsi s;
	int64_t index;

	if (!scsi_of(p->path, &s) || !port_index(p->in, p->path, &index))
		return false;
	p->a->bus = V_INT(index);
	p->a->unit = V_INT(s.target);
	return true;
}

static bool by_target(const struct place *p)
{
	struct scsi s;

	if (!scsi_of(p->path, &s))
		return false;
	p->a->unit = V_INT(s.target);
	return true;
}

static bool by_port(const struct place *p)
{
	struct scsi s;
	int64_t index;

	if (!scsi_of(p->path, &s) || !port_index(p->in, p->path, &index))
		return false;
	p->a->unit = V_INT(index);
	return true;
}

static bool by_virtio(const struct place *p)
{
	struct scsi s;

	if (!scsi_of(p->path, &s)) {
		p->a->bus_type = v_str("virtio");
		return true;
	}
	p->a->bus_type = v_str("scsi");
	p->a->bus = V_INT(s.channel);
	p->a->target = V_INT(s.target);
	p->a->unit = V_INT(s.lun);
	return true;
}

static bool by_itself(const struct place *p)
{
	(void)p;
	return true;
}

static const struct driver {
	const char *name;
	const char *bus_type;
	bool (*fill)(const struct place *p);
} drivers[] = {
	{"ata_piix", "ide", by_port_and_target},
	{"sym53c8xx", "scsi", by_target},
	{"virtio-pci", "unknown", by_virtio},
	{"ahci", "sata", by_port},
	{"nvme", "nvme", by_itself},
	{"xhci_hcd", "usb", by_itself},
	{"ehci-pci", "usb", by_itself},
	{"uhci_hcd", "usb", by_itself},
	{"ohci-pci", "usb", by_itself},
};

/* The known driver that the device whose directory is the first LEN bytes of PATH has. */
static const struct driver *driver_of(struct inspector *in, const char *path, size_t len)
{
	char link[BLOCK_PATH_MAX + 8], target[BLOCK_PATH_MAX];
	const char *name;

	snprintf(link, sizeof(link), "%.*s/driver", (int)len, path);
	if (sys_readlink(&in->sys, link, target, sizeof(target)) < 0)
		return NULL;
	name = strrchr(target, '/');
	for (size_t i = 0; name && i < ARRAY_SIZE(drivers); i++)
		if (streq(drivers[i].name, name + 1))
			return &drivers[i];
	return NULL;
}

/* ---- by kind of path ---- */

/* "0000:00:05.0" at P, to the end of the element. */
static bool pci_function(const char *p, struct msg_pci_address *pci)
{
	int64_t v[4];
	const char *end = numbers(p, "@:@:@.@", v);

	if (!end || *end != '/')
		return false;
	*pci = (struct msg_pci_address){.domain = V_INT(v[0]),
					.bus = V_INT(v[1]),
					.slot = V_INT(v[2]),
					.function = V_INT(v[3])};
	return true;
}

/* The first function on the way, bridges included, that a known driver drives. */
static bool on_pci(const struct place *p)
{
	for (const char *at = strstr(p->path, "/pci"); at; at = strchr(at + 1, '/')) {
		const struct driver *driver;
		struct msg_pci_address pci;

		if (!pci_function(at + 1, &pci))
			continue;
		driver = driver_of(p->in, p->path,
				   (size_t)(strchr(at + 1, '/') - p->path));
		if (!driver)
			continue;
		*(struct msg_pci_address *)p->a->pci_controller.v = pci;
		p->a->bus_type = v_str(driver->bus_type);
		return driver->fill(p);
	}
	return false;
}

/*
 * A name space that several controllers lead to belongs to a subsystem, which has links
 * to them. It sits where the first of them does.
 */
static int each_controller(void *arg, const char *name, unsigned char type)
{
	uint64_t number, *first = arg;

	if (type == DT_LNK && text_numbered(text_of(name, strlen(name)), "nvme", &number))
		*first = number < *first ? number : *first;
	return 0;
}

static bool on_nvme_subsystem(const struct place *p)
{
	const char *at = strstr(p->path, NVME_SUBSYSTEM) + strlen(NVME_SUBSYSTEM);
	int len = (int)(at - p->path + (ptrdiff_t)strcspn(at, "/"));
	char link[BLOCK_PATH_MAX + 32];
	uint64_t first = UINT64_MAX;
	struct block controller;

	snprintf(link, sizeof(link), "%.*s", len, p->path);
	if (sys_list(&p->in->sys, link, each_controller, &first) < 0 ||
	    first == UINT64_MAX)
		return false;
	snprintf(link, sizeof(link), "%.*s/nvme%" PRIu64, len, p->path, first);
	if (block_by_link(p->in, link, &controller) < 0)
		return false;
	return on_pci(&(struct place){p->in, controller.path, p->a});
}

static bool on_virtio(const struct place *p)
{
	return strstr(p->path, "/block") && by_virtio(p);
}

static bool on_css(const struct place *p)
{
	const char *at = strstr(p->path, "/devices/css");
	struct msg_ccw_address *ccw;
	int64_t v[7];

	if (!numbers(at, "/devices/css@/@.@.@/@.@.@/", v))
		return false;
	ccw = arena_take(&p->in->arena, sizeof(*ccw));
	if (!ccw)
		return false;
	*ccw = (struct msg_ccw_address){.cssid = V_INT(v[1]),
					.ssid = V_INT(v[2]),
					.subchno = V_INT(v[3]),
					.devno = V_INT(v[6])};
	p->a->ccw_address = (struct v_obj){.v = ccw, .set = true};
	if (element(at, "virtio"))
		on_virtio(p);
	return true;
}

/* In this order, by the first that the path has. */
static const struct way {
	const char *part;
	bool (*fill)(const struct place *p);
} ways[] = {
	{"/pci", on_pci},
	{"/devices/css", on_css},
	{NVME_SUBSYSTEM, on_nvme_subsystem},
	{"/virtio", on_virtio},
};

static bool fill_place(const struct place *p)
{
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++)
		if (strstr(p->path, ways[i].part))
			return ways[i].fill(p);
	return false;
}

/* ---- the address ---- */

static int real_address(struct inspector *in, const struct block *b, struct v_list *list)
{
	struct msg_pci_address *pci = arena_take(&in->arena, sizeof(*pci));
	struct msg_disk_address a = {.bus_type = v_str("unknown"),
				     .bus = V_INT(0),
				     .target = V_INT(0),
				     .unit = V_INT(0),
				     .pci_controller = {.v = pci, .set = true}};
	const struct place place = {.in = in, .path = b->path, .a = &a};
	struct msg_disk_address *to;
	struct block_info info;

	if (!pci || block_info(in, b, &info) < 0)
		return -1;
	*pci = (struct msg_pci_address){V_INT(-1), V_INT(-1), V_INT(-1), V_INT(-1)};
	a.dev = info.node;
	a.serial = info.serial;
	if (!fill_place(&place) && !a.dev.set && !a.serial.set)
		return 0;
	to = inspect_add(in, list, sizeof(*to));
	if (to)
		*to = a;
	return to ? 0 : -1;
}

static int addresses(struct inspector *in, const struct block *b, unsigned int depth,
		     struct v_list *list)
{
	struct v_list names = {0};
	const struct v_str *name;

	if (!block_is_virtual(b))
		return real_address(in, b, list);
	if (depth == DEPTH_MAX)
		return 0;
	if (block_slaves(in, b, &names) < 0)
		return -1;
	name = names.v;
	for (uint32_t i = 0; i < names.n; i++) {
		struct block slave;

		if (block_slave(in, b, name[i].p, &slave) == 0 &&
		    addresses(in, &slave, depth + 1, list) < 0)
			return -1;
	}
	return 0;
}

int block_addresses(struct inspector *in, const struct block *b, struct v_list *list,
		    struct err *e)
{
	list->set = true;
	return addresses(in, b, 0, list) < 0 ? inspect_full(e) : 0;
}
