/*
 * tests/unit/test_inspect_fsinfo.c - guest-get-fsinfo: order, sizes, what hangs
 *
 * Runs in:   a test
 * Input:     mount tables made here
 * May touch: a folder of its own; children of its own
 * Must not:  ask a file system of the machine
 */
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "ipc/loop.h"
#include "tests/lib/inspect.h"

#define TABLE "proc/self/mountinfo"

/*
 * The functions of struct sys_ops have no context: here is how often statfs was called,
 * in children too, by whom at last, how many more of these are to die of it, and what
 * there was to tell people.
 */
static _Atomic int *asked;
static _Atomic pid_t *asked_by;
static _Atomic int *dying;
static char notes[1024];

/* What the mount point says is what happens; the numbers of the rest are fixed. */
static int told_statfs(const struct sys *sys, const char *path, struct statfs *st)
{
	sigset_t set;

	(void)sys;
	++*asked;
	*asked_by = getpid();
	*st = (struct statfs){
		.f_bsize = 4096,
		.f_frsize = 1024,
		.f_blocks = 1000,
		.f_bfree = 400,
		.f_bavail = 300,
	};
	if (strstr(path, "hangs")) {
		/* No signal of ours reaches it, as in the kernel. */
		sigfillset(&set);
		sigprocmask(SIG_BLOCK, &set, NULL);
		pause();
	} else if (strstr(path, "sleeps")) {
		pause();
	} else if (strstr(path, "dies") && *dying > 0) {
		--*dying;
		kill(getpid(), SIGKILL);
	} else if (strstr(path, "late")) {
		/* It is there again before the alarm, which waits, ends it. */
		sigfillset(&set);
		sigprocmask(SIG_BLOCK, &set, NULL);
		usleep(1600 * 1000);
	} else if (strstr(path, "slow")) {
		usleep(600 * 1000);
	} else if (strstr(path, "descriptors")) {
		st->f_blocks = st->f_bfree = fcntl(STDERR_FILENO + 1, F_GETFD) < 0;
		for (int fd = STDERR_FILENO + 1; fd < 1024; fd++)
			st->f_blocks += fcntl(fd, F_GETFD) >= 0;
	} else if (strstr(path, "old")) {
		st->f_frsize = 0;
	} else if (strstr(path, "huge")) {
		st->f_blocks = UINT64_MAX / 1024;
		st->f_bfree = 0;
		st->f_bavail = 0;
	} else if (strstr(path, "overflow")) {
		st->f_blocks = UINT64_MAX / 1024 + 1;
	} else if (strstr(path, "negative")) {
		st->f_bavail = (__fsblkcnt_t)-5;
	} else if (strstr(path, "more-free")) {
		st->f_bfree = 1001;
	} else if (strstr(path, "refused")) {
		errno = EACCES;
		return -1;
	}
	return 0;
}

static int no_block_dev(const struct sys *sys, const char *path, dev_t *dev)
{
	(void)sys;
	(void)path;
	(void)dev;
	errno = ENOENT;
	return -1;
}

static const struct sys_ops ops = {.statfs = told_statfs, .block_dev = no_block_dev};

static void keep_note(struct inspector *in, struct v_str text)
{
	size_t len = strlen(notes);

	(void)in;
	snprintf(notes + len, sizeof(notes) - len, "%.*s\n", (int)text.len, text.p);
}

static int set_up_mounts(void **state)
{
	struct fixture *f;

	set_up(state);
	f = *state;
	f->in.sys.ops = &ops;
	f->in.note = keep_note;
	notes[0] = '\0';
	asked = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	if (asked == MAP_FAILED)
		return -1;
	asked_by = (_Atomic pid_t *)(asked + 1);
	dying = asked + 2;
	/* As in the inspector: who ends is no zombie. */
	signal(SIGCHLD, SIG_IGN);
	return 0;
}

/* Wait for the end of the child that is asked. */
static void wait_for_sizer(const struct sizer *s)
{
	waitid(P_PIDFD, (id_t)s->pidfd, &(siginfo_t){0}, WEXITED | WNOWAIT);
}

static void kill_sizer(const struct sizer *s)
{
	assert_true(s->running);
	syscall(SYS_pidfd_send_signal, s->pidfd, SIGKILL, NULL, 0);
	wait_for_sizer(s);
}

static void end_hung(const struct hung_set *set)
{
	for (uint32_t i = 0; i < set->n; i++)
		syscall(SYS_pidfd_send_signal, set->v[i].pidfd, SIGKILL, NULL, 0);
	for (uint32_t i = 0; i < set->n; i++)
		waitid(P_PIDFD, (id_t)set->v[i].pidfd, &(siginfo_t){0},
		       WEXITED | WNOWAIT);
}

static int tear_down_mounts(void **state)
{
	struct fixture *f = *state;

	end_hung(&f->in.hung);
	for (uint32_t i = 0; i < f->in.hung.n; i++) {
		waitid(P_PIDFD, (id_t)f->in.hung.v[i].pidfd, &(siginfo_t){0}, WEXITED);
		close(f->in.hung.v[i].pidfd);
	}
	if (f->in.sizer.running) {
		kill_sizer(&f->in.sizer);
		close(f->in.sizer.pidfd);
	}
	munmap(asked, 4096);
	signal(SIGCHLD, SIG_DFL);
	return tear_down(state);
}

/* A table with one mount for each of POINTS, every one on a device of its own. */
static void write_mounts(struct fixture *f, const char *const *points)
{
	char text[4096];
	size_t len = 0;

	for (int i = 0; points[i]; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len,
					"%d 1 8:%d / %s rw - ext4 /dev/x rw\n", i + 1, i,
					points[i]);
	put(f, TABLE, text);
}

/* The N elements of the answer. */
static const struct msg_fsinfo *get_n(struct fixture *f, uint32_t n)
{
	struct msg_fsinfos got;

	get(f, OP_get_fsinfo, &got);
	assert_int_equal(got.value.n, n);
	return got.value.v;
}

static void assert_sizes(const struct msg_fsinfo *f, uint64_t used, uint64_t total,
			 uint64_t privileged)
{
	assert_true(f->used_bytes.set && f->total_bytes.set);
	assert_true(f->total_bytes_privileged.set);
	assert_int_equal(f->used_bytes.v, used);
	assert_int_equal(f->total_bytes.v, total);
	assert_int_equal(f->total_bytes_privileged.v, privileged);
}

static void assert_no_sizes(const struct msg_fsinfo *f)
{
	assert_false(f->used_bytes.set || f->total_bytes.set);
	assert_false(f->total_bytes_privileged.set);
}

static bool has_sizes(const struct msg_fsinfo *f)
{
	return f->used_bytes.set;
}

/* ---- what is listed ---- */

static void test_reverse_order(void **state)
{
	const struct msg_fsinfo *got;

	put(*state, TABLE,
	    "1 0 254:1 / / rw - ext4 /dev/vda1 rw\n"
	    "2 1 0:5 / /proc rw - proc proc rw\n"
	    "3 1 254:1 /srv /bind rw - ext4 /dev/vda1 rw\n"
	    "4 1 253:0 / /\\303\\040b rw - xfs /dev/dm-0 rw\n");
	got = get_n(*state, 3);
	assert_text(got[0].mountpoint, "/\xc3 b");
	assert_text(got[0].type, "xfs");
	assert_text(got[1].mountpoint, "/bind");
	assert_text(got[2].mountpoint, "/");
	assert_text(got[2].type, "ext4");
}

/* As in a container: the number is the name. */
static void test_without_sysfs(void **state)
{
	const struct msg_fsinfo *got;

	put(*state, TABLE, "1 0 254:17 / / rw - ext4 /dev/vda1 rw\n");
	got = get_n(*state, 1);
	assert_text(got[0].name, "254:17");
	assert_true(got[0].disk.set);
	assert_int_equal(got[0].disk.n, 0);
}

/* The disk is looked up once; every mount of it has all that was found. */
static void test_the_disk_below(void **state)
{
	static const char pci[] = "sys/devices/pci0000:00/0000:00:04.0";
	const struct msg_fsinfo *got;
	char path[128];

	put(*state, TABLE,
	    "1 0 254:1 / / rw - ext4 /dev/vda1 rw\n"
	    "2 0 254:1 / /bind rw - ext4 /dev/vda1 rw\n");
	put_link(*state, "sys/dev/block/254:1",
		 "../../devices/pci0000:00/0000:00:04.0/virtio1/block/vda/vda1");
	snprintf(path, sizeof(path), "%s/driver", pci);
	put_link(*state, path, "../../../bus/pci/drivers/virtio-pci");
	snprintf(path, sizeof(path), "%s/virtio1/block/vda/vda1/uevent", pci);
	put(*state, path, "MAJOR=254\nMINOR=1\nDEVNAME=vda1\nDEVTYPE=partition\n");
	got = get_n(*state, 2);
	for (int i = 0; i < 2; i++) {
		const struct msg_disk_address *disk = got[i].disk.v;

		assert_text(got[i].name, "vda1");
		assert_int_equal(got[i].disk.n, 1);
		assert_text(disk->bus_type, "virtio");
		assert_text(disk->dev, "/dev/vda1");
	}
}

static void test_no_mount_at_all(void **state)
{
	put(*state, TABLE, "");
	get_n(*state, 0);
	assert_int_equal(*asked, 0);
}

static void test_without_a_table(void **state)
{
	assert_error(*state, OP_get_fsinfo, ERR_NOT_FOUND,
		     "guest-get-fsinfo is not available here: no /proc/self/mountinfo");
	put_dir(*state, TABLE);
	assert_error(*state, OP_get_fsinfo, ERR_GENERIC,
		     "failed to read /proc/self/mountinfo: Invalid argument");
}

/* A device is looked up once, so a thousand mounts of it cost no call more than one. */
static void test_system_calls(void **state)
{
	static char text[64 * 1024];
	struct fixture *f = *state;
	const struct msg_fsinfo *got;
	size_t len = 0;

	for (int i = 0; i < 1000; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len,
					"%d 1 8:1 / /mnt/%d rw - ext4 /dev/x rw\n", i, i);
	put(f, TABLE, text);
	got = get_n(f, 1000);
	assert_int_equal(*asked, 1000);
	for (int i = 0; i < 1000; i++)
		assert_true(has_sizes(&got[i]));
	assert_calls(f, OP_get_fsinfo, 8, 40);
}

/* ---- sizes ---- */

static void test_sizes(void **state)
{
	static const char *const points[] = {
		"/usual",    "/old",       "/huge",    "/overflow",
		"/negative", "/more-free", "/refused", NULL,
	};
	const struct msg_fsinfo *got;

	write_mounts(*state, points);
	got = get_n(*state, 7);
	assert_sizes(&got[6], 600 * 1024, 900 * 1024, 1000 * 1024);
	assert_sizes(&got[5], 600 * 4096, 900 * 4096, 1000 * 4096);
	assert_sizes(&got[4], UINT64_MAX - 1023, UINT64_MAX - 1023, UINT64_MAX - 1023);
	for (int i = 0; i < 4; i++)
		assert_no_sizes(&got[i]);
	assert_int_equal(*asked, 7);
}

static void test_the_child_holds_no_descriptor(void **state)
{
	static const char *const points[] = {"/descriptors", NULL};
	const struct msg_fsinfo *got;

	write_mounts(*state, points);
	got = get_n(*state, 1);
	assert_sizes(got, 0, 300 * 1024, 1024);
}

static void test_a_call_that_a_signal_ends(void **state)
{
	static const char *const points[] = {"/a", "/sleeps", "/b", NULL};
	struct fixture *f = *state;
	const struct msg_fsinfo *got;

	write_mounts(f, points);
	got = get_n(f, 3);
	assert_true(has_sizes(&got[0]) && has_sizes(&got[2]));
	assert_no_sizes(&got[1]);
	assert_int_equal(f->in.hung.n, 0);
	assert_string_equal(notes, "processes left behind: 0; statfs of /sleeps hangs\n");
}

static void test_a_call_that_nothing_ends(void **state)
{
	static const char *const points[] = {"/a", "/hangs", "/b", NULL};
	static const char *const others[] = {"/a", "/x", "/b", NULL};
	struct fixture *f = *state;
	const struct msg_fsinfo *got;

	write_mounts(f, points);
	for (int again = 0; again < 2; again++) {
		got = get_n(f, 3);
		assert_true(has_sizes(&got[0]) && has_sizes(&got[2]));
		assert_no_sizes(&got[1]);
		assert_int_equal(f->in.hung.n, 1);
		/* The second time it is not asked. */
		assert_int_equal(*asked, 3 + 2 * again);
		assert_string_equal(notes, "processes left behind: 1; "
					   "statfs of /hangs hangs\n");
	}
	/* The process ends, and the mount is asked again. */
	end_hung(&f->in.hung);
	write_mounts(f, others);
	got = get_n(f, 3);
	assert_true(has_sizes(&got[1]));
	assert_int_equal(f->in.hung.n, 0);
}

/* One device, three mounts of it: if the first hangs, so would the others. */
static void test_a_device_hangs_once(void **state)
{
	struct fixture *f = *state;
	const struct msg_fsinfo *got;

	put(f, TABLE,
	    "1 0 8:1 / /hangs rw - ext4 x rw\n"
	    "2 0 8:1 / /a rw - ext4 x rw\n"
	    "3 0 8:2 / /b rw - ext4 x rw\n"
	    "4 0 8:1 / /hangs-too rw - ext4 x rw\n");
	got = get_n(f, 4);
	assert_true(has_sizes(&got[1]));
	assert_int_equal(f->in.hung.n, 1);
	assert_int_equal(*asked, 2);
}

/* Something on the way to the mount point hangs, not the file system. */
static void test_a_path_hangs(void **state)
{
	struct fixture *f = *state;
	const struct msg_fsinfo *got;

	put(f, TABLE,
	    "1 0 8:1 / /a rw - ext4 x rw\n"
	    "2 0 8:1 / /hangs/a rw - ext4 x rw\n"
	    "3 0 8:1 / /b rw - ext4 x rw\n");
	for (int again = 0; again < 2; again++) {
		got = get_n(f, 3);
		assert_true(has_sizes(&got[0]) && has_sizes(&got[2]));
		assert_no_sizes(&got[1]);
		assert_int_equal(f->in.hung.n, 1);
	}
}

/* A process that was left behind at mount ID. */
static void put_hung(struct fixture *f, int id)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		pause();
		_exit(0);
	}
	f->in.hung.v[f->in.hung.n++] = (struct hung){
		.pidfd = (int)syscall(SYS_pidfd_open, pid, 0),
		.mount = id,
	};
}

static void test_only_so_many_are_left_behind(void **state)
{
	static const char *const points[] = {"/a", "/hangs", "/b", NULL};
	struct fixture *f = *state;
	const struct msg_fsinfo *got;

	write_mounts(f, points);
	for (int i = 0; i < HUNG_MAX - 1; i++)
		put_hung(f, 100 + i);
	got = get_n(f, 3);
	assert_true(has_sizes(&got[2]));
	assert_no_sizes(&got[1]);
	assert_no_sizes(&got[0]);
	assert_int_equal(f->in.hung.n, HUNG_MAX);
	/* There is no room even to start one that would not hang. */
	got = get_n(f, 3);
	for (int i = 0; i < 3; i++)
		assert_no_sizes(&got[i]);
	/* One ends: there is. */
	syscall(SYS_pidfd_send_signal, f->in.hung.v[0].pidfd, SIGKILL, NULL, 0);
	waitid(P_PIDFD, (id_t)f->in.hung.v[0].pidfd, &(siginfo_t){0}, WEXITED | WNOWAIT);
	got = get_n(f, 3);
	assert_true(has_sizes(&got[2]) && has_sizes(&got[0]));
	assert_no_sizes(&got[1]);
	assert_int_equal(f->in.hung.n, HUNG_MAX - 1);
}

/* ---- the child that stays ---- */

/* Sizes of /a and /b, by NUMBER calls; who asked. */
static pid_t ask_two(struct fixture *f, int number)
{
	static const char *const points[] = {"/a", "/b", NULL};
	const struct msg_fsinfo *got;
	int before = *asked;

	write_mounts(f, points);
	got = get_n(f, 2);
	assert_true(has_sizes(&got[0]) && has_sizes(&got[1]));
	assert_int_equal(*asked - before, number);
	assert_int_not_equal(*asked_by, getpid());
	return *asked_by;
}

static void test_a_child_is_asked_again(void **state)
{
	pid_t child = ask_two(*state, 2);

	for (int again = 0; again < 3; again++)
		assert_int_equal(ask_two(*state, 2), child);
	assert_string_equal(notes, "");
}

static void test_a_child_that_hangs_is_replaced(void **state)
{
	static const char *const points[] = {"/hangs", NULL};
	pid_t child = ask_two(*state, 2), next;
	struct fixture *f = *state;

	write_mounts(f, points);
	assert_no_sizes(get_n(f, 1));
	assert_int_equal(f->in.hung.n, 1);
	assert_int_equal(*asked_by, child);
	f->in.hung.v[0].mount = 100; /* not one of the next */
	f->in.hung.v[0].whole = false;
	next = ask_two(f, 2);
	assert_int_not_equal(next, child);
	assert_int_equal(ask_two(f, 2), next);
	assert_int_equal(kill(child, 0), 0);
}

/* Its parent has nothing to do with that, and no zombie is left. */
static void test_a_child_that_waits_goes(void **state)
{
	pid_t child = ask_two(*state, 2);
	struct fixture *f = *state;
	uint64_t began = now_ms();

	wait_for_sizer(&f->in.sizer);
	assert_in_range(now_ms() - began, SIZES_IDLE_S * 1000 - 100,
			SIZES_IDLE_S * 1000 + 2000);
	assert_int_equal(kill(child, 0), -1);
	assert_int_equal(errno, ESRCH);
	assert_int_not_equal(ask_two(f, 2), child);
	assert_string_equal(notes, "");
}

/* Not by us: while it waits, and in the middle of a question. */
static void test_a_child_that_is_killed(void **state)
{
	static const char *const points[] = {"/a", "/dies", "/b", NULL};
	pid_t child = ask_two(*state, 2);
	struct fixture *f = *state;
	const struct msg_fsinfo *got;

	kill_sizer(&f->in.sizer);
	assert_int_not_equal(ask_two(f, 2), child);
	for (int deaths = 1; deaths <= 2; deaths++) {
		*dying = deaths;
		write_mounts(f, points);
		got = get_n(f, 3);
		assert_true(has_sizes(&got[2]));
		assert_true(has_sizes(&got[1]) == (deaths == 1));
		assert_true(has_sizes(&got[0]) == (deaths == 1));
		assert_string_equal(
			notes,
			deaths == 1 ? "" : "no byte counts: the child was killed\n");
	}
	ask_two(f, 2);
	assert_int_equal(f->in.hung.n, 0);
}

/* What it was given up for is over: it asks for none of the others. */
static void test_a_child_that_comes_back_goes(void **state)
{
	static const char *const points[] = {"/late", "/a", "/b", NULL};
	struct fixture *f = *state;
	const struct msg_fsinfo *got;

	write_mounts(f, points);
	got = get_n(f, 3);
	assert_true(has_sizes(&got[0]) && has_sizes(&got[1]));
	assert_no_sizes(&got[2]);
	assert_int_equal(f->in.hung.n, 1);
	waitid(P_PIDFD, (id_t)f->in.hung.v[0].pidfd, &(siginfo_t){0}, WEXITED | WNOWAIT);
	assert_int_equal(*asked, 3);
}

/* As long as a question may last, one after the other. */
static void test_a_slow_call_is_none_that_hangs(void **state)
{
	static const char *const points[] = {"/slow1", "/slow2", "/slow3", "/b", NULL};
	const struct msg_fsinfo *got;

	write_mounts(*state, points);
	got = get_n(*state, 4);
	for (int i = 0; i < 4; i++)
		assert_true(has_sizes(&got[i]));
	assert_string_equal(notes, "");
}

/* No call takes one. */
static void test_a_path_that_is_too_long(void **state)
{
	char path[PATH_MAX + 1], text[2 * PATH_MAX];
	struct fixture *f = *state;
	const struct msg_fsinfo *got;

	memset(path, 'a', PATH_MAX);
	path[0] = '/';
	for (int more = 1; more >= 0; more--) {
		path[PATH_MAX - 1 + more] = '\0';
		snprintf(text, sizeof(text),
			 "1 0 8:1 / %s rw - ext4 x rw\n2 0 8:2 / /b rw - ext4 x rw\n",
			 path);
		put(f, TABLE, text);
		got = get_n(f, 2);
		assert_true(has_sizes(&got[0]));
		assert_true(has_sizes(&got[1]) == !more);
	}
}

#define TEST_MOUNTS(name) \
	cmocka_unit_test_setup_teardown(name, set_up_mounts, tear_down_mounts)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST_MOUNTS(test_reverse_order),
		TEST_MOUNTS(test_without_sysfs),
		TEST_MOUNTS(test_the_disk_below),
		TEST_MOUNTS(test_no_mount_at_all),
		TEST_MOUNTS(test_without_a_table),
		TEST_MOUNTS(test_system_calls),
		TEST_MOUNTS(test_sizes),
		TEST_MOUNTS(test_the_child_holds_no_descriptor),
		TEST_MOUNTS(test_a_call_that_a_signal_ends),
		TEST_MOUNTS(test_a_call_that_nothing_ends),
		TEST_MOUNTS(test_a_device_hangs_once),
		TEST_MOUNTS(test_a_path_hangs),
		TEST_MOUNTS(test_only_so_many_are_left_behind),
		TEST_MOUNTS(test_a_child_is_asked_again),
		TEST_MOUNTS(test_a_child_that_hangs_is_replaced),
		TEST_MOUNTS(test_a_child_that_waits_goes),
		TEST_MOUNTS(test_a_child_that_is_killed),
		TEST_MOUNTS(test_a_child_that_comes_back_goes),
		TEST_MOUNTS(test_a_slow_call_is_none_that_hangs),
		TEST_MOUNTS(test_a_path_that_is_too_long),
	};

	return cmocka_run_group_tests_name("inspect_fsinfo", tests, NULL, NULL);
}
