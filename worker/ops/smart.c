/*
 * worker/ops/smart.c - the health of NVMe disks (a part of guest-get-disks)
 *
 * Runs in:   an op child of the worker, with CAP_SYS_ADMIN
 * Input:     names in /sys/block; what the disks say of themselves: any bytes
 * May touch: the nodes of NVMe disks, read-only; the log page command
 * Must not:  fail for one disk that does not answer
 */
#include <endian.h>
#include <linux/nvme_ioctl.h>
#include <stdio.h>
#include <sys/ioctl.h>

#include "worker/ops/ops.h"

/* NVM Express base specification: Get Log Page, SMART / Health Information. */
#define GET_LOG_PAGE     0x02
#define LOG_HEALTH       0x02
#define LOG_BYTES        512
#define RETAIN_EVENT     (1u << 15)        /* else the page would clear a pending event */
#define DWORDS(bytes)    ((bytes) / 4 - 1) /* zero-based */
#define ALL_NAMESPACES   0xffffffffu
#define COMMAND_LIMIT_MS 2000

/* The longest answer still fits one frame with room to spare. */
#define DISKS_MAX 128

struct health {
	const struct sys *sys;
	struct arena arena;
	struct v_list disks; /* of struct msg_disk_health, DISKS_MAX of them */
};

static bool read_log(const struct sys *sys, const char *name, uint8_t log[LOG_BYTES])
{
	struct nvme_admin_cmd cmd = {
		.opcode = GET_LOG_PAGE,
		.nsid = ALL_NAMESPACES,
		.addr = (uintptr_t)log,
		.data_len = LOG_BYTES,
		.cdw10 = LOG_HEALTH | RETAIN_EVENT | DWORDS(LOG_BYTES) << 16,
		.timeout_ms = COMMAND_LIMIT_MS,
	};
	char path[64];
	CLEANUP(close_p) int fd = -1;

	if (snprintf(path, sizeof(path), "/dev/%s", name) >= (int)sizeof(path))
		return false;
	fd = sys_open(sys, path);
	return fd >= 0 && sys->ops->ioctl(fd, NVME_IOCTL_ADMIN_CMD, &cmd) == 0;
}

static struct v_u64 u64_at(const uint8_t *log, size_t at)
{
	uint64_t v;

	memcpy(&v, log + at, sizeof(v));
	return V_U64(le64toh(v));
}

#define U128(member, at) \
	.member##_lo = u64_at(log, at), .member##_hi = u64_at(log, (at) + 8)

static struct msg_smart smart_of(const uint8_t *log)
{
	return (struct msg_smart){
		.type = v_str("nvme"),
		.critical_warning = V_INT(log[0]),
		.temperature = V_INT(log[1] | log[2] << 8),
		.available_spare = V_INT(log[3]),
		.available_spare_threshold = V_INT(log[4]),
		.percentage_used = V_INT(log[5]),
		U128(data_units_read, 32),
		U128(data_units_written, 48),
		U128(host_read_commands, 64),
		U128(host_write_commands, 80),
		U128(controller_busy_time, 96),
		U128(power_cycles, 112),
		U128(power_on_hours, 128),
		U128(unsafe_shutdowns, 144),
		U128(media_errors, 160),
		U128(error_log_entries, 176),
	};
}

static int each_disk(void *arg, const char *name, unsigned char type)
{
	struct health *h = arg;
	uint8_t log[LOG_BYTES] = {0};
	struct msg_disk_health *disks = h->disks.v;
	struct msg_smart *smart;
	char *copy;

	(void)type;
	if (strncmp(name, "nvme", 4) != 0 || !read_log(h->sys, name, log))
		return 0;
	smart = arena_take(&h->arena, sizeof(*smart));
	copy = arena_take(&h->arena, strlen(name) + 1);
	if (!smart || !copy)
		return 1;
	memcpy(copy, name, strlen(name) + 1);
	*smart = smart_of(log);
	disks[h->disks.n++] = (struct msg_disk_health){
		.name = v_str(copy),
		.smart = {.v = smart, .set = true},
	};
	return h->disks.n == DISKS_MAX;
}

int child_disk_smart(const struct sys *sys, const void *args, struct wbuf *out,
		     struct err *e)
{
	struct msg_disk_health disks[DISKS_MAX];
	_Alignas(max_align_t) uint8_t memory[DISKS_MAX * (sizeof(struct msg_smart) + 64)];
	struct health h = {
		.sys = sys,
		.arena = {.p = memory, .cap = sizeof(memory)},
		.disks = {.v = disks, .set = true},
	};
	struct msg_question more;

	(void)args;
	if (sys_list(sys, "/sys/block", each_disk, &h) < 0)
		return err_sys(e, errno, "cannot list the disks");
	more = (struct msg_question){.health = h.disks};
	schema_put(out, &schema_question, &more);
	return 0;
}
