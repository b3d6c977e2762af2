/*
 * tests/unit/test_superblocks.c - what can be frozen, and in which order
 *
 * Runs in:   a test
 * Input:     small machines made here
 * May touch: a folder of its own
 * Must not:  depend on the machine
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/lib/mounts.h"
#include "tests/lib/rmtree.h"
#include "tests/lib/tree.h"
#include "worker/ops/reach.h"
#include "worker/ops/superblocks.h"

struct fixture {
	struct sys sys;
	struct superblocks all;
	struct err e;
	char text[4096];
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	fake = (struct fake_machine){.root = "/tmp/postern-superblocks-XXXXXX"};
	assert_non_null(mkdtemp(fake.root));
	f->sys = (struct sys){
		.root_fd = open(fake.root, O_PATH | O_DIRECTORY | O_CLOEXEC),
		.ops = &fake_ops,
	};
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	superblocks_done(&f->all);
	sys_done(&f->sys);
	free(f);
	return rmtree(fake.root);
}

static void put(const struct fixture *f, const char *tree)
{
	unsigned int line = tree_unpack(f->sys.root_fd, tree, strlen(tree));

	if (line)
		fail_msg("line %u is no entry in:\n%s", line, tree);
}

static void read_table(struct fixture *f, const char *table)
{
	char *text = strdup(table);

	assert_non_null(text);
	superblocks_done(&f->all);
	if (superblocks_parse(&f->all, &f->sys, text, strlen(text), &f->e) < 0)
		fail_msg("%s", f->e.desc);
	free(text);
}

/* The first mount of each superblock, as they stand. */
static void assert_points(struct fixture *f, const char *want)
{
	size_t len = 0;

	f->text[0] = '\0';
	for (uint32_t i = 0; i < f->all.n; i++)
		len += (size_t)snprintf(f->text + len, sizeof(f->text) - len, "%s%s",
					i ? " " : "", f->all.v[i]->mounts->point);
	assert_string_equal(f->text, want);
}

/* The order of the freeze. */
static void assert_order(struct fixture *f, const char *table, const char *want)
{
	read_table(f, table);
	if (superblocks_sort(&f->all, &f->e) < 0)
		fail_msg("%s", f->e.desc);
	assert_points(f, want);
}

/* ---- what counts ---- */

static void block_devices_count(void **state)
{
	read_table(*state, "22 27 0:21 / /proc rw - proc proc rw\n"
			   "27 1 254:1 / / rw shared:1 - ext4 /dev/vda1 rw\n"
			   "28 27 0:30 / /tmp rw - tmpfs tmpfs rw\n"
			   "29 27 0:31 / /nfs rw - nfs4 host:/x rw\n"
			   "30 27 0:32 / /merged rw - overlay overlay rw\n"
			   "31 27 0:33 / /ssh rw - fuse.sshfs me@host: rw\n"
			   "32 27 8:1 / /ntfs rw - fuseblk /dev/sda1 rw\n"
			   "33 27 8:2 / /ntfs2 rw - fuseblk.ntfs-3g /dev/sda2 rw\n"
			   "34 27 0:34 / /zfs rw - zfs tank rw\n"
			   "35 27 8:3 / /data rw - xfs /dev/sda3 rw\n"
			   "36 27 7:1 / /snap ro - squashfs /dev/loop1 ro\n");
	assert_points(*state, "/ /data /snap");
}

static void the_last_mounted_comes_first(void **state)
{
	assert_order(*state,
		     "1 0 254:1 / / rw - ext4 a rw\n"
		     "2 1 254:2 / /b rw - ext4 b rw\n"
		     "3 1 254:3 / /c rw - xfs c rw\n"
		     "4 1 254:2 / /again rw - ext4 b rw\n",
		     "/c /b /");
}

static void mounts_of_one_superblock(void **state)
{
	struct fixture *f = *state;
	const struct sb_mount *m;

	read_table(f, "27 1 254:1 / / rw - ext4 /dev/vda1 rw\n"
		      "31 27 254:1 /srv /mnt ro - ext4 /dev/vda1 rw\n"
		      "33 27 254:2 / /x rw - ext4 /dev/vda2 rw\n"
		      "32 27 254:1 /etc/hosts /mnt/hosts rw - ext4 /dev/vda1 rw\n");
	assert_points(f, "/ /x");
	assert_int_equal(f->all.n_mounts, 4);
	assert_int_equal(f->all.v[0]->dev, makedev(254, 1));
	assert_int_equal(f->all.v[0]->disk, makedev(254, 1));
	assert_string_equal(f->all.v[0]->type, "ext4");
	m = f->all.v[0]->mounts;
	assert_int_equal(m->id, 27);
	m = m->next;
	assert_string_equal(m->point, "/mnt");
	assert_int_equal(m->id, 31);
	m = m->next;
	assert_string_equal(m->point, "/mnt/hosts");
	assert_null(m->next);
	assert_null(f->all.v[1]->mounts->next);
}

/* A mount may be read-only; what matters is whether the superblock is. */
static void read_only_superblocks(void **state)
{
	static const struct {
		const char *options;
		bool read_only;
	} cases[] = {
		{"ro - ext4 a rw", false},
		{"ro - ext4 a rw,errors=remount-ro", false},
		{"ro - ext4 a rw,ro", false},
		{"rw - ext4 a ro", true},
		{"ro,nodev - ext4 a ro,data=ordered", true},
		{"ro - ext4 ro rw", false},
		{"ro - ext4 a rotten", false},
	};
	struct fixture *f = *state;
	char line[128];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		snprintf(line, sizeof(line), "1 0 8:1 / /a %s\n", cases[i].options);
		read_table(f, line);
		assert_int_equal(f->all.n, 1);
		assert_int_equal(f->all.v[0]->read_only, cases[i].read_only);
	}
}

static void many_devices(void **state)
{
	struct fixture *f = *state;

	put(f, "dev/vdb = 254:16\ndev/vdc = 254:32\ndev/null = x\ndev/loop3 = 7:3\n");
	read_table(f, "1 0 0:33 / / rw - btrfs /dev/vdb rw\n"
		      "2 1 0:33 /@home /home rw - btrfs /dev/vdb rw\n"
		      "3 1 0:34 / /null rw - btrfs /dev/null rw\n"
		      "4 1 0:35 / /gone rw - btrfs /dev/gone rw\n"
		      "5 1 0:36 / /other rw - btrfs2 /dev/vdb rw\n"
		      "6 1 0:37 / /bc rw - bcachefs /dev/gone:/dev/vdc:/dev/vdb rw\n"
		      "7 1 0:38 / /bc2 rw - bcachefs :::/dev/gone rw\n"
		      "8 1 0:39 / /l rw - btrfs /dev/loop3 rw\n"
		      "9 1 0:40 / /r rw - btrfs /dev/root rw\n");
	assert_points(f, "/ /bc /l");
	assert_int_equal(f->all.v[0]->dev, makedev(0, 33));
	assert_int_equal(f->all.v[0]->disk, makedev(254, 16));
	assert_string_equal(f->all.v[0]->mounts->next->point, "/home");
	assert_int_equal(f->all.v[1]->disk, makedev(254, 32));
	assert_false(superblock_is_scratch(f->all.v[0]));
	assert_true(superblock_is_scratch(f->all.v[2]));
}

static void hostile_names(void **state)
{
	struct fixture *f = *state;

	read_table(f, "1 0 8:1 / /a\\040b\\011c\\012d\\134e rw - ext4 x rw\n"
		      "2 0 8:2 / /\\377\xfe\x01\\x\\9 rw - ext4 x rw\n"
		      "garbage\n\n"
		      "3 0 8:3 / /x rw -\n"
		      "4 0 :4 / /x rw - ext4 x rw\n"
		      "5 0 8:5 / /d\\040(deleted)//deleted rw - ext4 /dev/root ro");
	assert_int_equal(f->all.n, 3);
	assert_string_equal(f->all.v[0]->mounts->point, "/a b\tc\nd\\e");
	assert_string_equal(f->all.v[1]->mounts->point, "/\xff\xfe\x01\\x\\9");
	assert_string_equal(f->all.v[2]->mounts->point, "/d (deleted)//deleted");
	assert_true(f->all.v[2]->read_only);
}

/* ---- bounds ---- */

/* N mounts, of which LEVEL have a superblock in common. */
static char *many(uint32_t n, uint32_t level)
{
	char *text = malloc((size_t)n * 64 + 1);
	size_t len = 0;

	assert_non_null(text);
	for (uint32_t i = 0; i < n; i++)
		len += (size_t)snprintf(text + len, 64,
					"%u 0 259:%u / /m%u rw - x x rw\n", i + 2,
					i / level, i);
	return text;
}

static void a_thousand_mounts(void **state)
{
	struct fixture *f = *state;
	CLEANUP(free_p) char *text = many(1000, 1);

	read_table(f, text);
	assert_int_equal(superblocks_sort(&f->all, &f->e), 0);
	assert_int_equal(f->all.n, 1000);
	assert_string_equal(f->all.v[0]->mounts->point, "/m999");
	assert_string_equal(f->all.v[999]->mounts->point, "/m0");
}

static void assert_fails(struct fixture *f, const char *text, const char *why)
{
	CLEANUP(free_p) char *copy = strdup(text);

	assert_non_null(copy);
	superblocks_done(&f->all);
	assert_int_equal(superblocks_parse(&f->all, &f->sys, copy, strlen(copy), &f->e),
			 -1);
	assert_string_equal(f->e.desc, why);
}

static void too_many_are_an_error(void **state)
{
	static const char why[] = "there are too many file systems or mounts";
	struct fixture *f = *state;
	CLEANUP(free_p) char *full = many(SUPERBLOCKS_MAX, 1);
	CLEANUP(free_p) char *one_more = many(SUPERBLOCKS_MAX + 1, 1);
	CLEANUP(free_p) char *mounts = many(MOUNTS_MAX, 1000);
	CLEANUP(free_p) char *more_mounts = many(MOUNTS_MAX + 1, 1000);

	read_table(f, full);
	assert_int_equal(f->all.n, SUPERBLOCKS_MAX);
	assert_fails(f, one_more, why);
	read_table(f, mounts);
	assert_int_equal(f->all.n_mounts, MOUNTS_MAX);
	assert_fails(f, more_mounts, why);
}

static void the_file_itself(void **state)
{
	struct fixture *f = *state;
	char path[128];

	assert_int_equal(superblocks_read(&f->all, &f->sys, &f->e), -1);
	assert_string_equal(
		f->e.desc,
		"failed to read /proc/self/mountinfo: No such file or directory");
	put(f, "proc/self/mountinfo:\n\t1 0 8:1 / /a rw - ext4 x rw\n");
	assert_int_equal(superblocks_read(&f->all, &f->sys, &f->e), 0);
	assert_points(f, "/a");
	superblocks_done(&f->all);
	snprintf(path, sizeof(path), "%s/proc/self/mountinfo", fake.root);
	assert_int_equal(truncate(path, 4 * 1024 * 1024 + 1), 0);
	assert_int_equal(superblocks_read(&f->all, &f->sys, &f->e), -1);
	assert_string_equal(f->e.desc,
			    "failed to read /proc/self/mountinfo: File too large");
}

/* ---- loop devices ---- */

#define ROOT "27 1 254:1 / / rw - ext4 /dev/vda1 rw\n"
#define DATA "40 27 254:2 / /data rw - xfs /dev/vdb rw\n"

static void a_loop_device_comes_before_its_file(void **state)
{
	struct fixture *f = *state;

	put(f, "dev/loop0 = 7:0 on 254:2 99\n");
	/* Mounted before what it stands on: as at boot, or after a remount of that. */
	assert_order(f, "30 27 7:0 / /loop rw - ext4 /dev/loop0 rw\n" ROOT DATA,
		     "/loop /data /");
	assert_order(f, ROOT DATA "41 27 7:0 / /loop rw - ext4 /dev/loop0 rw\n",
		     "/loop /data /");
}

static void loop_on_loop(void **state)
{
	struct fixture *f = *state;

	put(f, "dev/loop0 = 7:0 on 254:2 99\n"
	       "dev/loop1 = 7:1 on 7:0 7\n"
	       "dev/loop2 = 7:2 on 7:1 7\n"
	       "dev/loop3 = 7:3 is 7:1\n");
	assert_order(f,
		     "30 27 7:2 / /two rw - ext4 /dev/loop2 rw\n"
		     "31 27 7:1 / /one rw - ext4 /dev/loop1 rw\n"
		     "33 27 7:3 / /is rw - ext4 /dev/loop3 rw\n"
		     "32 27 7:0 / /zero rw - ext4 /dev/loop0 rw\n" DATA ROOT,
		     "/two /is /one /zero / /data");
}

/* The file's st_dev is that of a subvolume, by which the table does not know it. */
static void loop_on_a_subvolume(void **state)
{
	static const char table[] = "30 27 7:0 / /loop rw - ext4 /dev/loop0 rw\n"
				    "31 27 0:40 / /b rw - btrfs /dev/vdb rw\n"
				    "32 27 0:40 /s /s rw - btrfs /dev/vdb rw\n" ROOT;
	struct fixture *f = *state;

	put(f, "dev/vdb = 254:16\ndev/loop0 = 7:0 on 0:77 99\nb/\ns/\n");
	fake_add("/b", 31)->dev = makedev(0, 76);
	fake_add("/s", 32)->dev = makedev(0, 77);
	assert_order(f, table, "/loop / /b");
	assert_int_equal(f->all.v[0]->depth, 1);
	assert_ptr_equal(f->all.v[0]->below->sb, f->all.v[2]);
	/* Another mount hides it: whose the file is cannot be told, so before all. */
	fake.paths[1].id = 1000;
	assert_order(f, table, "/loop / /b");
	assert_int_equal(f->all.v[0]->depth, 3);
}

/* A subvolume that is no mount: the path of the file tells, if it is that file. */
static void loop_by_the_path_of_its_file(void **state)
{
	static const char table[] = "30 27 7:0 / /loop rw - ext4 /dev/loop0 rw\n"
				    "31 27 0:40 / /b rw - btrfs /dev/vdb rw\n" ROOT;
	struct fixture *f = *state;

	put(f, "dev/vdb = 254:16\ndev/loop0 = 7:0 on 0:77 99\nb/nested/file = x\n"
	       "sys/dev/block/7:0/loop/backing_file = /b/nested/file\n");
	fake_add("/b", 31)->dev = makedev(0, 76);
	fake_add("/b/nested/file", 31)->dev = makedev(0, 77);
	fake.paths[fake.n - 1].ino = 99;
	assert_order(f, table, "/loop / /b");
	assert_int_equal(f->all.v[0]->depth, 1);
	assert_ptr_equal(f->all.v[0]->below->sb, f->all.v[2]);
	/* Its mount is gone and the path leads to another file. */
	fake.paths[1].ino = 98;
	assert_order(f, table, "/loop / /b");
	assert_null(f->all.v[0]->below);
	assert_int_equal(f->all.v[0]->depth, 3);
}

/* The path is all there is: it is believed, and the worst assumed besides. */
static void loop_without_a_node(void **state)
{
	struct fixture *f = *state;

	put(f, "data/file = x\n"
	       "sys/dev/block/7:0/loop/backing_file = /data/file\n");
	fake_add("/data/file", 40);
	assert_order(f, "30 27 7:0 / /loop rw - ext4 /dev/loop0 rw\n" DATA ROOT,
		     "/loop / /data");
	assert_string_equal(f->all.v[0]->below->sb->mounts->point, "/data");
	assert_int_equal(f->all.v[0]->depth, 3);
	/* A node that is left of another device tells nothing. */
	put(f, "dev/loop0 = 7:1 on 254:1 5\n");
	assert_order(f, "30 27 7:0 / /loop rw - ext4 /dev/loop0 rw\n" DATA ROOT,
		     "/loop / /data");
	assert_string_equal(f->all.v[0]->below->sb->mounts->point, "/data");
}

/*
 * The file's first mount was lazily unmounted. As long as there is another, the
 * superblock is known by its number; the path would lead to a file of the root.
 */
static void lazily_unmounted(void **state)
{
	struct fixture *f = *state;

	put(f, "dev/loop0 = 7:0 on 254:2 99\nfile = x\n"
	       "sys/dev/block/7:0/loop/backing_file = /file\n");
	fake_add("/file", 27)->dev = makedev(254, 1);
	fake.paths[fake.n - 1].ino = 99;
	assert_order(f, "30 27 7:0 / /loop rw - ext4 /dev/loop0 rw\n" ROOT DATA,
		     "/loop /data /");
	assert_int_equal(f->all.v[0]->depth, 1);
	/* Nor is the last mount there: before all. */
	assert_order(f, "30 27 7:0 / /loop rw - ext4 /dev/loop0 rw\n" ROOT, "/loop /");
	assert_null(f->all.v[0]->below);
}

static void deleted_and_unknown(void **state)
{
	struct fixture *f = *state;

	put(f, "dev/loop0 = 7:0\ndev/loop1 = 7:1 on 7:0 5\ndev/loop2 = 7:2 on 254:2 5\n"
	       "sys/dev/block/7:0/loop/backing_file = /data/file (deleted)\n");
	/* 0 may stand on 2, but not on 1, which stands on it. */
	assert_order(f,
		     "30 27 7:0 / /zero rw - ext4 /dev/loop0 rw\n"
		     "31 27 7:2 / /two rw - ext4 /dev/loop2 rw\n"
		     "32 27 7:1 / /one rw - ext4 /dev/loop1 rw\n" ROOT DATA,
		     "/one /zero /two /data /");
}

/* ---- what stands between ---- */

static void the_name_of_the_node(void **state)
{
	struct fixture *f = *state;

	/* Where loop devices have partitions, their numbers are not their minors. */
	put(f, "sys/dev/block/7:16 -> ../../devices/virtual/block/loop1\n"
	       "sys/devices/virtual/block/loop1/loop/\n"
	       "dev/loop1 = 7:16 on 254:2 99\ndev/loop16 = 7:256 on 254:1 99\n");
	assert_order(f, "30 27 7:16 / /loop rw - ext4 /dev/loop1 rw\n" ROOT DATA,
		     "/loop /data /");
	assert_string_equal(f->all.v[0]->below->sb->mounts->point, "/data");
}

static void devices_of_devices(void **state)
{
	struct fixture *f = *state;

	/* A volume on a RAID of a disk and of a partition of a loop device. */
	put(f, "[sys/dev/block]\n"
	       "253:0 -> ../../devices/virtual/block/dm-0\n"
	       "9:0 -> ../../devices/virtual/block/md0\n"
	       "259:3 -> ../../devices/virtual/block/loop0/loop0p1\n"
	       "7:0 -> ../../devices/virtual/block/loop0\n"
	       "8:0 -> ../../devices/pci/sda\n"
	       "[sys/devices]\n"
	       "virtual/block/dm-0/dev = 253:0\n"
	       "virtual/block/dm-0/slaves/md0 -> ../../md0\n"
	       "virtual/block/md0/dev = 9:0\n"
	       "virtual/block/md0/slaves/sda -> ../../../../pci/sda\n"
	       "virtual/block/md0/slaves/loop0p1 -> ../../loop0/loop0p1\n"
	       "virtual/block/md0/slaves/odd/dev = 12\n"
	       "virtual/block/md0/slaves/none/\n"
	       "virtual/block/loop0/dev = 7:0\n"
	       "virtual/block/loop0/loop0p1/dev = 259:3\n"
	       "virtual/block/loop0/loop0p1/partition = 1\n"
	       "pci/sda/dev = 8:0\npci/sda/slaves/\n"
	       "[dev]\nloop0 = 7:0 on 254:2 99\n");
	assert_order(f, "30 27 253:0 / /dm rw - ext4 /dev/dm-0 rw\n" ROOT DATA,
		     "/dm /data /");
	assert_order(f, "30 27 259:3 / /part rw - ext4 /dev/loop0p1 rw\n" ROOT DATA,
		     "/part /data /");
	assert_order(f, "30 27 8:0 / /sda rw - ext4 /dev/sda rw\n" ROOT DATA,
		     "/data / /sda");
}

static void all_devices_of_btrfs(void **state)
{
	static const char table[] = "30 27 0:40 / /b rw - btrfs /dev/vdb rw\n" ROOT DATA;
	struct fixture *f = *state;

	put(f, "dev/vdb = 254:16\ndev/vdc = 254:32\ndev/loop0 = 7:0 on 254:2 99\n"
	       "[sys/fs/btrfs]\nfeatures/x = 1\n"
	       "other/devices/vdz/dev = 254:99\n"
	       "uuid/devices/vdb/dev = 254:16\nuuid/devices/loop0/dev = 7:0\n");
	assert_order(f, table, "/b /data /");
	/* Nothing is known but the source. */
	put(f, "[dev]\nloop1 = 7:1 on 254:2 99\n");
	assert_order(f,
		     "30 27 0:41 / /l rw - btrfs /dev/loop1 rw\n"
		     "31 27 0:42 / /bc rw - bcachefs /dev/vdc:/dev/loop1 rw\n" ROOT DATA,
		     "/bc /l /data /");
}

static void no_circles(void **state)
{
	struct fixture *f = *state;

	put(f, "dev/loop0 = 7:0 on 7:1 1\ndev/loop1 = 7:1 on 7:0 1\n"
	       "dev/loop2 = 7:2 is 7:3\ndev/loop3 = 7:3 is 7:2\n"
	       "dev/loop4 = 7:4 on 7:4 1\n"
	       "sys/dev/block/253:0/slaves/x/dev = 253:0\n"
	       "sys/dev/block/253:1/partition = 1\nsys/dev/block/dev = 253:1\n");
	read_table(f,
		   ROOT "30 27 7:0 / /0 rw - ext4 x rw\n31 27 7:1 / /1 rw - ext4 x rw\n"
			"32 27 7:2 / /2 rw - ext4 x rw\n33 27 7:4 / /4 rw - ext4 x rw\n"
			"34 27 253:0 / /d rw - ext4 x rw\n"
			"35 27 253:1 / /p rw - ext4 x rw\n");
	assert_int_equal(superblocks_sort(&f->all, &f->e), 0);
	assert_int_equal(f->all.n, 7);
}

static void too_many_devices(void **state)
{
	struct fixture *f = *state;
	char entry[64];

	for (int i = 1; i <= 1024; i++) {
		snprintf(entry, sizeof(entry), "sys/dev/block/9:0/slaves/%d/dev = 8:%d\n",
			 i, i);
		put(f, entry);
	}
	read_table(f, "30 27 9:0 / /md rw - ext4 /dev/md0 rw\n");
	assert_int_equal(superblocks_sort(&f->all, &f->e), -1);
	assert_string_equal(f->e.desc, "too many devices are below /md");
}

/* ---- reaching one ---- */

/* Where the file is that was opened. */
static void assert_reached(struct fixture *f, bool detach, const char *want)
{
	struct reached r = reach(&f->sys, f->all.v[0], detach);
	char link[64], path[256] = "";

	assert_int_equal(r.errnum, 0);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", r.fd);
	if (r.fd >= 0)
		assert_true(readlink(link, path, sizeof(path) - 1) > 0);
	assert_string_equal(path + min_size(strlen(path), strlen(fake.root)), want);
	assert_int_equal(r.fd < 0 ? O_RDONLY : fcntl(r.fd, F_GETFL) & O_ACCMODE,
			 O_RDONLY);
	close_p(&r.fd);
}

static void assert_not_reached(struct fixture *f, int errnum, bool detaching)
{
	struct reached r = reach(&f->sys, f->all.v[0], true);

	assert_int_equal(r.fd, -1);
	assert_int_equal(r.errnum, errnum);
	assert_int_equal(r.detaching, detaching);
}

static void whichever_mount_leads_there(void **state)
{
	struct fixture *f = *state;
	char path[128];

	/* Of a file there is no other way than by its descriptor. */
	put(f, "a/\nb/\nfile = x\nproc/self/fd -> /proc/self/fd\n");
	snprintf(path, sizeof(path), "%s/fifo", fake.root);
	assert_int_equal(mkfifo(path, 0600), 0);
	read_table(
		f,
		"30 27 8:1 /f /file rw - ext4 x rw\n31 27 8:1 /p /fifo rw - ext4 x rw\n"
		"32 27 8:1 / /gone rw - ext4 x rw\n33 27 8:1 / /a rw - ext4 x rw\n"
		"34 27 8:1 / /b rw - ext4 x rw\n");
	fake_add("/file", 30);
	fake_add("/fifo", 31);
	fake_add("/a", 33);
	fake_add("/b", 34);
	assert_reached(f, true, "/a");
	assert_reached(f, false, "/a");
	fake.paths[2].id = 1000;
	assert_reached(f, true, "/b");
	fake.paths[3].id = 1000;
	assert_reached(f, true, "/file");
	assert_reached(f, false, "/file");
	/* A pipe would not be opened for the sake of its file system. */
	fake.paths[0].id = 1000;
	assert_reached(f, true, "");
}

static void why_it_is_not_reached(void **state)
{
	struct fixture *f = *state;

	put(f, "a/\nb/\n");
	read_table(f, "33 27 8:1 / /a rw - ext4 x rw\n34 27 8:1 / /b rw - ext4 x rw\n");
	fake_add("/a", 33)->no_detach = EPERM;
	fake_add("/b", 34)->no_detach = EPERM;
	assert_not_reached(f, EPERM, true);
	/* Another mount will do. */
	fake.paths[1].no_detach = 0;
	assert_reached(f, true, "/b");
	/* Where there is no copy, the mount itself is held. */
	fake.paths[0].no_detach = EINVAL;
	assert_reached(f, true, "/a");
	/* A path that leads nowhere for another reason than that it is not there. */
	put(f, "loop -> loop\n");
	read_table(f,
		   "33 27 8:1 / /loop/a rw - ext4 x rw\n34 27 8:1 / /c rw - ext4 x rw\n");
	assert_not_reached(f, ELOOP, false);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(block_devices_count),
		TEST(the_last_mounted_comes_first),
		TEST(mounts_of_one_superblock),
		TEST(read_only_superblocks),
		TEST(many_devices),
		TEST(hostile_names),
		TEST(a_thousand_mounts),
		TEST(too_many_are_an_error),
		TEST(the_file_itself),
		TEST(a_loop_device_comes_before_its_file),
		TEST(loop_on_loop),
		TEST(loop_on_a_subvolume),
		TEST(loop_by_the_path_of_its_file),
		TEST(loop_without_a_node),
		TEST(lazily_unmounted),
		TEST(deleted_and_unknown),
		TEST(the_name_of_the_node),
		TEST(devices_of_devices),
		TEST(all_devices_of_btrfs),
		TEST(no_circles),
		TEST(too_many_devices),
		TEST(whichever_mount_leads_there),
		TEST(why_it_is_not_reached),
	};

	return cmocka_run_group_tests_name("superblocks", tests, NULL, NULL);
}
