/*
 * tests/unit/test_inspect_disks.c - guest-get-disks: what is listed, and where it sits
 *
 * Runs in:   a test
 * Input:     small trees made here; whole machines are in test_machines.c
 * May touch: a folder of its own
 * Must not:  depend on the machine
 */
#include "tests/lib/inspect.h"
#include "tests/lib/tree.h"

static void put_tree(struct fixture *f, const char *text)
{
	unsigned int line = tree_unpack(f->in.sys.root_fd, text, strlen(text));

	if (line)
		fail_msg("line %u is no entry in:\n%s", line, text);
}

/* The disk whose directory is sys/devices/PATH, with its node. */
static void put_disk(struct fixture *f, const char *path)
{
	const char *name = strrchr(path, '/') + 1;
	char text[2048];

	snprintf(text, sizeof(text),
		 "[sys/block]\n%s -> ../devices/%s\n"
		 "[sys/devices/%s]\nsize = 8\nuevent:\n\tMAJOR=8\n\tMINOR=0\n"
		 "\tDEVNAME=%s\n\tDEVTYPE=disk\n",
		 name, path, path, name);
	put_tree(f, text);
}

/* The N elements of the answer. */
static const struct msg_disk *get_n(struct fixture *f, uint32_t n)
{
	struct msg_disks got;

	get(f, OP_get_disks, &got);
	assert_int_equal(got.value.n, n);
	return got.value.v;
}

static void assert_names(const struct v_list *got, const char *want)
{
	const struct v_str *v = got->v;
	char text[256] = "";

	assert_true(got->set);
	for (uint32_t i = 0; i < got->n; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%.*s",
			 i ? " " : "", (int)v[i].len, v[i].p);
	assert_string_equal(text, want);
}

/* ---- addresses ---- */

/* "BUS-TYPE PCI BUS/TARGET/UNIT" */
static void assert_address(const struct msg_disk *disk, const char *want)
{
	const struct msg_disk_address *a = disk->address.v;
	const struct msg_pci_address *pci;
	char text[128];

	assert_true(disk->address.set);
	pci = a->pci_controller.v;
	snprintf(text, sizeof(text), "%.*s %jd:%jd:%jd.%jd %jd/%jd/%jd",
		 (int)a->bus_type.len, a->bus_type.p, (intmax_t)pci->domain.v,
		 (intmax_t)pci->bus.v, (intmax_t)pci->slot.v, (intmax_t)pci->function.v,
		 (intmax_t)a->bus.v, (intmax_t)a->target.v, (intmax_t)a->unit.v);
	assert_string_equal(text, want);
}

#define PCI     "pci0000:00/0000:00:05.0"
#define NOWHERE "unknown -1:-1:-1.-1 0/0/0"

static const struct place {
	const char *path;
	const char *driver; /* of the function PCI; NULL: none */
	const char *want;
	const char *more; /* entries in the directory of that function */
} places[] = {
	{PCI "/virtio1/block/vda", "virtio-pci", "virtio 0:0:5.0 0/0/0", ""},
	{PCI "/virtio1/host0/target0:1:2/0:1:2:3/block/sda", "virtio-pci",
	 "scsi 0:0:5.0 1/2/3", ""},
	/* A logical unit number of its own kind: more than 32 bits. */
	{PCI "/virtio1/host0/target0:0:2/0:0:2:4611686018427387904/block/sda",
	 "virtio-pci", "scsi 0:0:5.0 0/2/4611686018427387904", ""},
	{PCI "/ata7/host6/target6:0:1/6:0:1:0/block/sda", "ata_piix", "ide 0:0:5.0 1/0/1",
	 "ata6/\n"},
	/* Before libata had names for its ports. */
	{PCI "/host4/target4:0:1/4:0:1:0/block/sda", "ata_piix", "ide 0:0:5.0 1/0/1",
	 "host3/\n"},
	{PCI "/ata10/host9/target9:0:0/9:0:0:0/block/sda", "ahci", "sata 0:0:5.0 0/0/9",
	 "ata1/\nata2/\nata3/\nata4/\nata5/\nata6/\nata7/\nata8/\nata9/\nata11/\n"},
	{PCI "/host2/target2:0:5/2:0:5:0/block/sda", "sym53c8xx", "scsi 0:0:5.0 0/0/5",
	 ""},
	{PCI "/nvme/nvme0/nvme0n1", "nvme", "nvme 0:0:5.0 0/0/0", ""},
	{PCI "/usb1/1-1/1-1:1.0/host6/target6:0:0/6:0:0:0/block/sda", "xhci_hcd",
	 "usb 0:0:5.0 0/0/0", ""},
	{PCI "/usb1/1-1/1-1:1.0/host6/target6:0:0/6:0:0:0/block/sda", "ehci-pci",
	 "usb 0:0:5.0 0/0/0", ""},
	{PCI "/usb1/1-1/1-1:1.0/host6/target6:0:0/6:0:0:0/block/sda", "uhci_hcd",
	 "usb 0:0:5.0 0/0/0", ""},
	{PCI "/usb1/1-1/1-1:1.0/host6/target6:0:0/6:0:0:0/block/sda", "ohci-pci",
	 "usb 0:0:5.0 0/0/0", ""},
	/* Hosts know these by their node alone. */
	{PCI "/host2/target2:2:1/2:2:1:0/block/sda", "megaraid_sas", NOWHERE, ""},
	{PCI "/host2/target2:0:1/2:0:1:0/block/sda", "vmw_pvscsi", NOWHERE, ""},
	{PCI "/host2/target2:0:1/2:0:1:0/block/sda", NULL, NOWHERE, ""},
	{"vbd-51712/block/xvda", NULL, NOWHERE, ""},
	{"platform/a003e00.virtio_mmio/virtio3/block/vda", NULL,
	 "virtio -1:-1:-1.-1 0/0/0", ""},
	{"platform/a003e00.virtio_mmio/virtio3/host0/target0:0:2/0:0:2:1/block/sda", NULL,
	 "scsi -1:-1:-1.-1 0/2/1", ""},
	{"platform/a003e00.virtio_mmio/virtio3/net/vda", NULL, NOWHERE, ""},
	/* The rest of the address cannot be told, but where the controller is. */
	{PCI "/host2/block/sda", "sym53c8xx", "scsi 0:0:5.0 0/0/0", ""},
	{PCI "/target1:0:0/1:0:0:0/block/sda", "ahci", "sata 0:0:5.0 0/0/0", ""},
	/* Elements that only look like it. */
	{PCI "/virtio1/target0:1:2/0:1:x:3/block/sda", "virtio-pci",
	 "virtio 0:0:5.0 0/0/0", ""},
	{PCI "/virtio1/target0:1:2/0:1:2:99999999999999999999/block/sda", "virtio-pci",
	 "virtio 0:0:5.0 0/0/0", ""},
	{"pci0000:00/0000:00:05.0x/virtio1/block/vda", NULL, NOWHERE, ""},
};

static void test_addresses(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		const struct place *p = &places[i];
		char text[512];

		if (i) {
			tear_down(state);
			set_up(state);
		}
		put_disk(f, p->path);
		snprintf(text, sizeof(text), "[sys/devices/" PCI "]\n%s", p->more);
		put_tree(f, text);
		snprintf(text, sizeof(text), "[sys/devices/" PCI "]\ndriver -> ../x/%s\n",
			 p->driver ? p->driver : "pcieport");
		put_tree(f, text);
		assert_address(get_n(f, 1), p->want);
	}
}

/* The first function with a driver that is known, from the root on. */
static void test_behind_bridges(void **state)
{
	put_disk(*state, "pci0000:00/0000:00:01.0/0000:1a:1f.7/virtio0/block/vda");
	put_tree(*state,
		 "[sys/devices/pci0000:00/0000:00:01.0]\n"
		 "driver -> ../../../bus/pci/drivers/pcieport\n"
		 "0000:1a:1f.7/driver -> ../../../../bus/pci/drivers/virtio-pci\n");
	assert_address(get_n(*state, 1), "virtio 0:26:31.7 0/0/0");
}

static void test_a_host_bridge_further_down(void **state)
{
	put_disk(*state,
		 "platform/4010000000.pcie/pci0001:00/0001:00:02.0/virtio0/block/vda");
	put_tree(*state,
		 "[sys/devices/platform/4010000000.pcie/pci0001:00/0001:00:02.0]\n"
		 "driver -> ../x/virtio-pci\n");
	assert_address(get_n(*state, 1), "virtio 1:0:2.0 0/0/0");
}

static void test_channel_subsystem(void **state)
{
	const struct msg_disk_address *a;
	const struct msg_ccw_address *ccw;
	const struct msg_disk *disk;

	put_disk(*state, "css0/0.1.00a1/0.1.fe02/virtio1/block/vda");
	disk = get_n(*state, 1);
	assert_address(disk, "virtio -1:-1:-1.-1 0/0/0");
	a = disk->address.v;
	assert_true(a->ccw_address.set);
	ccw = a->ccw_address.v;
	assert_int_equal(ccw->cssid.v, 0);
	assert_int_equal(ccw->ssid.v, 1);
	assert_int_equal(ccw->subchno.v, 0xa1);
	assert_int_equal(ccw->devno.v, 0xfe02);
}

#define SUBSYSTEM "virtual/nvme-subsystem/nvme-subsys1"

/* By number, not by name; a name space is no controller. */
static void test_several_nvme_controllers(void **state)
{
	put_disk(*state, SUBSYSTEM "/nvme1n1");
	put_tree(*state, "[sys/devices/" SUBSYSTEM "]\n"
			 "nvme10 -> ../../../pci0000:00/0000:00:0a.0/nvme/nvme10\n"
			 "nvme9 -> ../../../pci0000:00/0000:00:09.0/nvme/nvme9\n"
			 "nvme0/\n"
			 "[sys/devices/pci0000:00]\n"
			 "0000:00:09.0/driver -> ../../../bus/pci/drivers/nvme\n"
			 "0000:00:0a.0/driver -> ../../../bus/pci/drivers/nvme\n");
	assert_address(get_n(*state, 1), "nvme 0:0:9.0 0/0/0");
}

static void test_an_nvme_subsystem_that_leads_nowhere(void **state)
{
	put_disk(*state, SUBSYSTEM "/nvme1n1");
	assert_address(get_n(*state, 1), NOWHERE);
	/* By network; and one that is its own controller. */
	put_tree(*state, "[sys/devices/" SUBSYSTEM "]\n"
			 "nvme3 -> ../../nvme-fabrics/ctl/nvme3\n");
	assert_address(get_n(*state, 1), NOWHERE);
	put_tree(*state, "[sys/devices/" SUBSYSTEM "]\nnvme2 -> nvme1n1\n");
	assert_address(get_n(*state, 1), NOWHERE);
}

/* ---- what is listed ---- */

static void test_order(void **state)
{
	static const char *const want[] = {"/dev/sda",   "/dev/sda1", "/dev/sda2",
					   "/dev/sda10", "/dev/sdaa", "/dev/sdb"};
	const struct msg_disk *got;

	put_disk(*state, "x/sdaa");
	put_disk(*state, "x/sdb");
	put_disk(*state, "x/sda");
	put_tree(*state, "[sys/devices/x/sda]\n"
			 "sda10/uevent = DEVNAME=sda10\n"
			 "sda2/uevent = DEVNAME=sda2\n"
			 "sda1/uevent = DEVNAME=sda1\n");
	got = get_n(*state, ARRAY_SIZE(want));
	for (size_t i = 0; i < ARRAY_SIZE(want); i++)
		assert_text(got[i].name, want[i]);
}

static void test_partitions(void **state)
{
	const struct msg_disk *got;

	put_disk(*state, "x/nvme0n1");
	put_tree(*state, "[sys/devices/x/nvme0n1]\n"
			 "slaves/\n"
			 "nvme0n1p1/uevent = DEVNAME=nvme0n1p1\n"
			 "nvme0n1p2/size = 8\n"
			 "nvme0n1px/uevent = DEVNAME=nvme0n1px\n"
			 "nvme0/uevent = DEVNAME=nvme0\n"
			 "nvme0n1p3 = a file\n"
			 "nvme0n1p4 -> ../nvme0n1\n");
	got = get_n(*state, 2);
	assert_false(got[0].partition.v);
	assert_names(&got[0].dependencies, "");
	assert_text(got[1].name, "/dev/nvme0n1p1");
	assert_true(got[1].partition.v);
	assert_names(&got[1].dependencies, "/dev/nvme0n1");
	assert_false(got[1].address.set || got[1].alias.set || got[1].smart.set);
}

static void test_what_is_no_disk(void **state)
{
	put_disk(*state, "x/sda");
	put_tree(*state, "[sys/block]\n"
			 "sr0 -> ../devices/x/sr0\n"   /* without a medium */
			 "sdb -> ../devices/x/sdb\n"   /* without a node */
			 "gone -> ../devices/x/gone\n" /* just removed */
			 "away -> /etc/away\n"
			 "dir/size = 8\n"
			 "[sys/devices/x]\n"
			 "sr0/size = 0\nsr0/uevent = DEVNAME=sr0\n"
			 "sdb/size = 8\nsdb/sdb1/uevent = DEVNAME=sdb1\n"
			 "[etc/away]\nsize = 8\nuevent = DEVNAME=away\n");
	assert_text(get_n(*state, 1)->name, "/dev/sda");
}

static void test_without_sysfs(void **state)
{
	assert_error(*state, OP_get_disks, ERR_NOT_FOUND,
		     "Not available here: Can't open directory \"/sys/block\": "
		     "No such file or directory");
	put_dir(*state, "sys/block");
	get_n(*state, 0);
}

/* ---- devices made of others ---- */

#define VIRTUAL "[sys/devices/virtual/block]\n"

static void test_device_mapper(void **state)
{
	const struct msg_disk *got;

	put_disk(*state, "virtual/block/dm-0");
	put_disk(*state, "virtual/block/dm-1");
	put_disk(*state, "x/sda");
	put_tree(*state, VIRTUAL "dm-0/dm/name = vg0-root\n"
				 "dm-0/slaves/sda -> ../../../../x/sda\n"
				 "dm-0/slaves/dm-1 -> ../../dm-1\n"
				 "dm-1/slaves/\n");
	got = get_n(*state, 3);
	assert_text(got[0].name, "/dev/dm-0");
	assert_text(got[0].alias, "vg0-root");
	assert_names(&got[0].dependencies, "/dev/dm-1 /dev/sda");
	assert_false(got[0].address.set);
	assert_names(&got[1].dependencies, "");
	assert_false(got[1].alias.set);
	assert_false(got[2].dependencies.set);
	assert_true(got[2].address.set);
}

#define MOUNTED "[proc/self]\nmountinfo = 1 0 253:0 / / rw - ext4 /dev/dm-0 rw\n"

/* Of the file system on dm-0. */
static uint32_t addresses_of_dm_0(struct fixture *f)
{
	struct msg_fsinfos got;
	const struct msg_fsinfo *fs;

	get(f, OP_get_fsinfo, &got);
	assert_int_equal(got.value.n, 1);
	fs = got.value.v;
	assert_text(fs->name, "dm-0");
	return fs->disk.n;
}

static int no_statfs(const struct sys *sys, const char *path, struct statfs *st)
{
	(void)sys;
	(void)path;
	(void)st;
	errno = ENOENT;
	return -1;
}

/* A made-up kernel could loop, or branch at every level. */
static void test_slaves_that_go_in_circles(void **state)
{
	static const struct sys_ops ops = {.statfs = no_statfs};
	struct fixture *f = *state;

	f->in.sys.ops = &ops;
	put_disk(f, "virtual/block/dm-0");
	put_disk(f, "virtual/block/dm-1");
	put_tree(f, MOUNTED "[sys/dev/block]\n"
			    "253:0 -> ../../devices/virtual/block/dm-0\n" VIRTUAL
			    "dm-0/slaves/dm-1 -> ../../dm-1\n"
			    "dm-1/slaves/dm-0 -> ../../dm-0\n");
	assert_int_equal(addresses_of_dm_0(f), 0);
	assert_names(&get_n(f, 2)->dependencies, "/dev/dm-1");
}

/* Each of three is made of all three, eight levels deep. */
static void test_slaves_that_branch(void **state)
{
	static const struct sys_ops ops = {.statfs = no_statfs};
	struct fixture *f = *state;

	f->in.sys.ops = &ops;
	put_tree(f, MOUNTED "[sys/dev/block]\n"
			    "253:0 -> ../../devices/virtual/block/dm-0\n");
	for (int i = 0; i < 3; i++)
		for (int k = 0; k < 3; k++) {
			char text[256];

			snprintf(text, sizeof(text),
				 VIRTUAL "dm-%d/slaves/dm-%d -> ../../dm-%d\n", i, k, k);
			put_tree(f, text);
		}
	assert_int_equal(addresses_of_dm_0(f), 0);
}

static void test_every_slave_has_its_address(void **state)
{
	static const struct sys_ops ops = {.statfs = no_statfs};
	struct fixture *f = *state;

	f->in.sys.ops = &ops;
	put_disk(f, "x/sda");
	put_disk(f, "x/sdb");
	put_tree(f, MOUNTED "[sys/dev/block]\n"
			    "253:0 -> ../../devices/virtual/block/dm-0\n" VIRTUAL
			    "dm-0/slaves/md0 -> ../../md0\n"
			    "dm-0/slaves/sda -> ../../../../x/sda\n"
			    "dm-0/slaves/gone -> ../../gone\n"
			    "md0/slaves/sda -> ../../../../x/sda\n"
			    "md0/slaves/sdb -> ../../../../x/sdb\n");
	assert_int_equal(addresses_of_dm_0(f), 3);
}

/* ---- what is said of a device ---- */

static const struct msg_disk_address *address_of(struct fixture *f)
{
	return get_n(f, 1)->address.v;
}

#define SDA "[sys/devices/x/sda]\n"

static void test_udev_tells_the_serial_number(void **state)
{
	put_disk(*state, "x/sda");
	put_tree(*state, SDA "serial = of the kernel\n"
			     "[run/udev/data]\nb8:0:\n"
			     "\tS:disk/by-id/x\n"
			     "\tE:ID_SERIAL_SHORT=short\n"
			     "\tE:ID_SERIAL=\n"
			     "\tE:ID_SERIAL=A=B c\n"
			     "\tE:DM_NAME=alias\n");
	assert_text(address_of(*state)->serial, "A=B c");
	assert_text(get_n(*state, 1)->alias, "alias");
}

/* It has looked, and found none. */
static void test_udev_knows_no_serial_number(void **state)
{
	put_disk(*state, "x/sda");
	put_tree(*state, SDA "serial = of the kernel\n"
			     "[run/udev/data]\nb8:0 = E:ID_SERIAL=\n");
	assert_false(address_of(*state)->serial.set);
}

static void test_without_udev(void **state)
{
	put_disk(*state, "x/sda");
	assert_false(address_of(*state)->serial.set);
	put_tree(*state, SDA "device -> ../y\n[sys/devices/y]\nserial = NVME-1   \n");
	put_tree(*state, "[sys/devices/x]\ny -> ../y\n");
	assert_text(address_of(*state)->serial, "NVME-1");
	put_tree(*state, SDA "serial = virtio-1\n");
	assert_text(address_of(*state)->serial, "virtio-1");
}

/* Number of the disk in its uevent, and what its attribute says. */
static void put_serial(struct fixture *f, const char *number, const char *serial)
{
	char text[256];

	snprintf(text, sizeof(text), "MAJOR=8\nMINOR=0\nDEVNAME=sda\nDEVTYPE=disk\n%s\n",
		 number);
	put(f, "sys/devices/x/sda/uevent", text);
	put(f, "sys/devices/x/sda/serial", serial);
}

static void expect_serial(struct fixture *f, const char *want)
{
	assert_text(address_of(f)->serial, want);
}

/* The kernel would ask the disk each time. */
static void test_a_disk_is_asked_once(void **state)
{
	static const char *const none[] = {"", "DISKSEQ=0", "DISKSEQ=x"};
	struct fixture *f = *state;

	put_disk(f, "x/sda");
	put_serial(f, "DISKSEQ=7", "first");
	expect_serial(f, "first");
	put_serial(f, "DISKSEQ=7", "not read");
	expect_serial(f, "first");
	/* Another disk in its place, then kernels that do not count them. */
	put_serial(f, "DISKSEQ=8", "second");
	expect_serial(f, "second");
	for (size_t i = 0; i < ARRAY_SIZE(none); i++) {
		put_serial(f, none[i], "third");
		expect_serial(f, "third");
		put_serial(f, none[i], "fourth");
		expect_serial(f, "fourth");
	}
}

/* One that is empty may come yet; one that is too long is not kept; the oldest goes. */
static void test_serial_numbers_that_are_kept(void **state)
{
	char number[32], serial[sizeof(((struct serial *)0)->text) + 1];
	struct fixture *f = *state;

	put_disk(f, "x/sda");
	put_serial(f, "DISKSEQ=1", "");
	assert_false(address_of(f)->serial.set);
	put_serial(f, "DISKSEQ=1", "late");
	expect_serial(f, "late");
	for (size_t more = 0; more < 2; more++) {
		memset(serial, 'x', sizeof(serial));
		serial[sizeof(serial) - 2 + more] = '\0';
		snprintf(number, sizeof(number), "DISKSEQ=%zu", 2 + more);
		put_serial(f, number, serial);
		expect_serial(f, serial);
		put_serial(f, number, "another");
		expect_serial(f, more ? "another" : serial);
	}
	for (int i = 0; i < SERIALS_MAX; i++) {
		snprintf(number, sizeof(number), "DISKSEQ=%d", 20 + i);
		put_serial(f, number, number);
		expect_serial(f, number);
	}
	put_serial(f, "DISKSEQ=20", "not read");
	expect_serial(f, "DISKSEQ=20");
	put_serial(f, "DISKSEQ=1", "read again");
	expect_serial(f, "read again");
}

/* The kernel keeps it with the disk. */
static void test_a_partition_without_udev(void **state)
{
	static const struct sys_ops ops = {.statfs = no_statfs};
	const struct msg_disk_address *a;
	const struct msg_fsinfo *fs;
	struct fixture *f = *state;
	struct msg_fsinfos got;

	f->in.sys.ops = &ops;
	put_tree(f, "[proc/self]\nmountinfo = 1 0 8:1 / / rw - ext4 /dev/sda1 rw\n"
		    "[sys/dev/block]\n8:1 -> ../../devices/x/sda/sda1\n" SDA
		    "serial = of the disk\n"
		    "sda1/uevent:\n\tMAJOR=8\n\tMINOR=1\n\tDEVNAME=sda1\n"
		    "\tDEVTYPE=partition\n");
	get(f, OP_get_fsinfo, &got);
	assert_int_equal(got.value.n, 1);
	fs = got.value.v;
	assert_int_equal(fs->disk.n, 1);
	a = fs->disk.v;
	assert_text(a->dev, "/dev/sda1");
	assert_text(a->serial, "of the disk");
}

/* Whatever the kernel or a device may say, it comes out as it is. */
static void test_hostile_texts(void **state)
{
	put_disk(*state, "x/s%sa");
	put_disk(*state, "virtual/block/d%m");
	put_tree(*state, "[run/udev/data]\nb8:0:\n\tE:ID_SERIAL=%n\\xff\\x01\\\n\n"
			 "[sys/devices/virtual/block/d%m]\n"
			 "dm/name = \\x1b[2J%s\n"
			 "[sys/devices/x/s%sa]\n"
			 "s%sa1/uevent = DEVNAME=../../etc/passwd\n");
	assert_text(get_n(*state, 3)[0].alias, "\x1b[2J%s");
	assert_text(get_n(*state, 3)[1].name, "/dev/s%sa");
	assert_text(
		((const struct msg_disk_address *)get_n(*state, 3)[1].address.v)->serial,
		"%n\xff\x01");
}

/* A value ends there, and may be none then. */
static void test_texts_with_a_nul(void **state)
{
	put_disk(*state, "x/sda");
	put_tree(*state, SDA "serial = \\x00a\n"
			     "sda1/uevent = DEVNAME=\\x00sda1\n");
	assert_false(address_of(*state)->serial.set);
	put_disk(*state, "virtual/block/dm-0");
	put_tree(*state, VIRTUAL "dm-0/dm/name = a\\x00b\n");
	assert_text(get_n(*state, 2)[0].alias, "a");
}

/* Longer than any that the kernel has. */
static void test_a_path_that_is_too_long(void **state)
{
	char text[2048] = "[sys/block]\nsdb -> ../devices/";
	size_t len = strlen(text);

	put_disk(*state, "x/sda");
	for (int i = 0; i < 150; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "abcdefgh/");
	snprintf(text + len, sizeof(text) - len, "sdb\n");
	put_tree(*state, text);
	assert_text(get_n(*state, 1)->name, "/dev/sda");
}

static void test_an_answer_that_is_too_long(void **state)
{
	struct fixture *f = *state;
	size_t cap = f->in.arena.cap;

	put_disk(f, "x/sda");
	put_disk(f, "virtual/block/dm-0");
	put_tree(f, VIRTUAL "dm-0/slaves/sda -> ../../../../x/sda\n" SDA
			    "sda1/uevent = DEVNAME=sda1\nserial = 1\n");
	get_n(f, 3);
	/* Wherever it ends. */
	f->in.arena.cap = 0;
	while (f->in.arena.cap < 32 * 1024 && ask(f, OP_get_disks) == ANSWER_ERROR) {
		assert_string_equal(f->e.desc, "The answer is too long");
		f->in.arena.cap += 8;
	}
	assert_in_range(f->in.arena.cap, 512, 8 * 1024);
	f->in.arena.cap = cap;
}

/* ---- system calls ---- */

#define DISKS 40
/* To list the disks. */
#define CALLS_BASE 4
/*
 * Its link 1, size 3, slaves 4, the names of its partitions 4; driver of the controller
 * 1; what is said of a device 7 (nothing by udev), for the disk, its address, its
 * partition.
 */
#define CALLS_DISK (1 + 3 + 4 + 4 + 1 + 3 * 7)

static void test_system_calls(void **state)
{
	for (int i = 0; i < DISKS; i++) {
		char path[128], text[512];

		snprintf(path, sizeof(path), PCI "/virtio%d/block/vd%d", i, i);
		put_disk(*state, path);
		snprintf(text, sizeof(text),
			 "[sys/devices/%s]\nslaves/\nvd%dp1/uevent = DEVNAME=vd%dp1\n",
			 path, i, i);
		put_tree(*state, text);
	}
	put_tree(*state, "[sys/devices/" PCI "]\ndriver -> ../x/virtio-pci\n");
	get_n(*state, 2 * DISKS);
	assert_calls(*state, OP_get_disks, DISKS, CALLS_BASE + DISKS * CALLS_DISK);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_addresses),
		TEST(test_behind_bridges),
		TEST(test_a_host_bridge_further_down),
		TEST(test_channel_subsystem),
		TEST(test_several_nvme_controllers),
		TEST(test_an_nvme_subsystem_that_leads_nowhere),
		TEST(test_order),
		TEST(test_partitions),
		TEST(test_what_is_no_disk),
		TEST(test_without_sysfs),
		TEST(test_device_mapper),
		TEST(test_slaves_that_go_in_circles),
		TEST(test_slaves_that_branch),
		TEST(test_every_slave_has_its_address),
		TEST(test_udev_tells_the_serial_number),
		TEST(test_udev_knows_no_serial_number),
		TEST(test_a_disk_is_asked_once),
		TEST(test_serial_numbers_that_are_kept),
		TEST(test_without_udev),
		TEST(test_a_partition_without_udev),
		TEST(test_hostile_texts),
		TEST(test_texts_with_a_nul),
		TEST(test_a_path_that_is_too_long),
		TEST(test_an_answer_that_is_too_long),
		TEST(test_system_calls),
	};

	return cmocka_run_group_tests_name("inspect_disks", tests, NULL, NULL);
}
