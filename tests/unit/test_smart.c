/*
 * tests/unit/test_smart.c - the health of NVMe disks
 *
 * Runs in:   a test
 * Input:     a directory of its own as root, a log page of its own
 * May touch: that directory
 * Must not:  ask a disk
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>
#include <linux/nvme_ioctl.h>
#include <sys/ioctl.h>

#include "worker/ops/ops.h"

static int asked;

/* A disk that counts in its own page: byte N is N, the second disk refuses. */
static int log_page(int fd, unsigned long request, void *arg)
{
	const struct nvme_admin_cmd *cmd = arg;
	uint8_t *log = (uint8_t *)(uintptr_t)cmd->addr;

	(void)fd;
	assert_int_equal(request, NVME_IOCTL_ADMIN_CMD);
	assert_int_equal(cmd->opcode, 2);
	assert_int_equal(cmd->nsid, 0xffffffff);
	assert_int_equal(cmd->data_len, 512);
	/* Health page, event retained, 128 double words. */
	assert_int_equal(cmd->cdw10, 2 | 1 << 15 | 127 << 16);
	if (++asked == 2) {
		errno = EIO;
		return -1;
	}
	for (size_t i = 0; i < cmd->data_len; i++)
		log[i] = (uint8_t)i;
	return 0;
}

static const struct sys_ops fake = {.ioctl = log_page};

struct tree {
	char dir[32];
	struct sys sys;
};

static void make(const struct tree *t, const char *path, bool directory)
{
	char full[256];

	snprintf(full, sizeof(full), "%s/%s", t->dir, path);
	if (directory)
		assert_int_equal(mkdir(full, 0700), 0);
	else
		assert_int_equal(close(creat(full, 0600)), 0);
}

static const char *const directories[] = {"sys", "sys/block", "dev"};
static const char *const files[] = {
	"sys/block/sda", "sys/block/nvme0n1", "sys/block/nvme1n1", "sys/block/nvme2n1",
	"dev/sda",       "dev/nvme0n1",       "dev/nvme1n1"};

static int set_up(void **state)
{
	static struct tree t;

	asked = 0;
	strcpy(t.dir, "/tmp/postern-smart-XXXXXX");
	assert_non_null(mkdtemp(t.dir));
	for (size_t i = 0; i < ARRAY_SIZE(directories); i++)
		make(&t, directories[i], true);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		make(&t, files[i], false);
	t.sys = (struct sys){.root_fd = open(t.dir, O_PATH | O_CLOEXEC), .ops = &fake};
	*state = &t;
	return 0;
}

static int tear_down(void **state)
{
	struct tree *t = *state;
	int root = t->sys.root_fd;

	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		unlinkat(root, files[i], 0);
	for (size_t i = ARRAY_SIZE(directories); i-- > 0;)
		unlinkat(root, directories[i], AT_REMOVEDIR);
	rmdir(t->dir);
	sys_done(&t->sys);
	return 0;
}

static uint64_t number_at(size_t at)
{
	uint64_t v = 0;

	for (size_t i = 8; i-- > 0;)
		v = v << 8 | (uint8_t)(at + i);
	return v;
}

/* One answers, one refuses, one has no node, one is no NVMe disk. */
static void only_what_answers(void **state)
{
	struct tree *t = *state;
	CLEANUP(wbuf_free) struct wbuf out = wbuf_growing(65536);
	_Alignas(max_align_t) uint8_t memory[8192];
	struct arena arena = {.p = memory, .cap = sizeof(memory)};
	const struct msg_disk_health *disk;
	const struct msg_smart *smart;
	struct msg_question more;
	struct rbuf r;
	struct err e;

	assert_int_equal(child_disk_smart(&t->sys, NULL, &out, &e), 0);
	assert_int_equal(asked, 2);
	r = rbuf_of(out.p, out.len);
	assert_int_equal(schema_get(&r, &schema_question, &arena, &more), 0);
	assert_true(rbuf_done(&r));
	assert_int_equal(more.health.n, 1);
	disk = more.health.v;
	assert_memory_equal(disk->name.p, "nvme", 4);
	smart = disk->smart.v;
	assert_memory_equal(smart->type.p, "nvme", 4);
	assert_int_equal(smart->critical_warning.v, 0);
	assert_int_equal(smart->temperature.v, 0x0201);
	assert_int_equal(smart->available_spare.v, 3);
	assert_int_equal(smart->available_spare_threshold.v, 4);
	assert_int_equal(smart->percentage_used.v, 5);
	assert_int_equal(smart->data_units_read_lo.v, number_at(32));
	assert_int_equal(smart->data_units_read_hi.v, number_at(40));
	assert_int_equal(smart->error_log_entries_hi.v, number_at(184));
}

static void no_disks_at_all(void **state)
{
	struct tree *t = *state;
	struct sys nowhere = {.root_fd = openat(t->sys.root_fd, "dev", O_PATH),
			      .ops = &fake};
	CLEANUP(wbuf_free) struct wbuf out = wbuf_growing(65536);
	struct err e;

	assert_int_equal(child_disk_smart(&nowhere, NULL, &out, &e), -1);
	assert_string_equal(e.desc, "cannot list the disks: No such file or directory");
	sys_done(&nowhere);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(only_what_answers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(no_disks_at_all, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("smart", tests, NULL, NULL);
}
