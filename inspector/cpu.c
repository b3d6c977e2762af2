/*
 * inspector/cpu.c - CPUs: which there are, what they did, how long their queue is
 *
 * Runs in:   inspector
 * Input:     /sys/devices/system/cpu, /proc/stat, /proc/loadavg: any bytes
 * May touch: these, read-only; the arena
 * Must not:  touch a CPU
 */
#include "inspector/cpu.h"

#include <inttypes.h>
#include <stdio.h>

#include "inspector/kernel.h"

#define CPU_DIR "/sys/devices/system/cpu"

/* ---- guest-get-vcpus ---- */

/* A CPU without the file "online", as the first one often is, cannot be taken off. */
static int read_vcpu(const struct sys *cpus, uint64_t id, struct msg_vcpu *vcpu,
		     struct err *e)
{
	char path[48], online[8];
	ssize_t len;

	snprintf(path, sizeof(path), "cpu%" PRIu64 "/online", id);
	len = sys_read_attr(cpus, path, online, sizeof(online));
	if (len < 0 && errno != ENOENT)
		return err_sys(e, errno, "open(\"" CPU_DIR "/%s\")", path);
	if (len == 0)
		return err_set(e, ERR_GENERIC,
			       "pread(\"" CPU_DIR "/%s\"): unexpected EOF", path);
	vcpu->logical_id = V_INT((int64_t)id);
	vcpu->online = V_BOOL(len < 0 || online[0] != '0');
	vcpu->can_offline = V_BOOL(len > 0);
	return 0;
}

int inspect_get_vcpus(struct inspector *in, const struct msg_empty *args,
		      struct msg_vcpus *result, struct err *e)
{
	CLEANUP(numbers_free) struct numbers ids;

	(void)args;
	if (kernel_numbered(in, CPU_DIR, "cpu", &ids) < 0)
		return kernel_error(e, errno, "failed to list entries: " CPU_DIR);
	result->value.set = true;
	for (uint32_t i = 0; i < ids.n; i++) {
		struct msg_vcpu *vcpu = inspect_add(in, &result->value, sizeof(*vcpu));

		if (!vcpu)
			return inspect_full(e);
		if (read_vcpu(&ids.dir, ids.v[i], vcpu, e) < 0)
			return -1;
	}
	return 0;
}

/* ---- guest-get-cpustats ---- */

/* The columns behind the name, in the file's order; each kernel has the first four. */
#define COLUMN(name) offsetof(struct msg_cpu_stat, name)
#define COLUMNS_MIN  4
static const size_t columns[] = {
	COLUMN(user), COLUMN(nice),    COLUMN(system), COLUMN(idle),  COLUMN(iowait),
	COLUMN(irq),  COLUMN(softirq), COLUMN(steal),  COLUMN(guest), COLUMN(guestnice),
};

static struct v_u64 *column(struct msg_cpu_stat *stat, size_t i)
{
	return (struct v_u64 *)(void *)((char *)stat + columns[i]);
}

/* Whole seconds first: the product does not overflow before the result does. */
static uint64_t milliseconds(uint64_t ticks, uint64_t hz)
{
	return ticks / hz * 1000 + ticks % hz * 1000 / hz;
}

bool cpu_stat_of(struct text line, uint64_t hz, struct msg_cpu_stat *stat)
{
	uint64_t v[ARRAY_SIZE(columns)], cpu;
	struct text name;
	size_t n;

	/* The line of all CPUs has no number. */
	if (!text_word(&line, &name) || !text_numbered(name, "cpu", &cpu))
		return false;
	n = text_numbers(&line, v, ARRAY_SIZE(v));
	*stat = (struct msg_cpu_stat){.type = v_str("linux"), .cpu = V_INT((int64_t)cpu)};
	for (size_t i = 0; i < n; i++)
		*column(stat, i) = V_U64(milliseconds(v[i], hz));
	return n >= COLUMNS_MIN;
}

int inspect_get_cpustats(struct inspector *in, const struct msg_empty *args,
			 struct msg_cpu_stats *result, struct err *e)
{
	uint64_t hz = (uint64_t)sysconf(_SC_CLK_TCK);
	struct msg_cpu_stat stat, *place;
	struct text t, line;

	(void)args;
	if (kernel_table(in, "/proc/stat", &t, e) < 0)
		return -1;
	result->value.set = true;
	while (text_line(&t, &line)) {
		if (!cpu_stat_of(line, hz, &stat))
			continue;
		place = inspect_add(in, &result->value, sizeof(*place));
		if (!place)
			return inspect_full(e);
		*place = stat;
	}
	return 0;
}

/* ---- guest-get-load ---- */

/* Beyond these a double does not hold each digit. */
#define LOAD_WHOLE_MAX       1000000000
#define LOAD_FRACTION_DIGITS 6

/*
 * A number with a fraction, as the kernel writes it. The one division makes it the double
 * that is nearest to it, the same that strtod finds; strtod follows the locale.
 */
static bool take_load(struct text *line, struct v_num *load)
{
	struct text word, whole, fraction;
	uint64_t w, f, scale = 1;
	const char *point;

	if (!text_word(line, &word))
		return false;
	point = memchr(word.p, '.', (size_t)(word.end - word.p));
	if (!point)
		return false;
	whole = (struct text){word.p, point};
	fraction = (struct text){point + 1, word.end};
	if (!text_u64(whole, 10, &w) || !text_u64(fraction, 10, &f) ||
	    w > LOAD_WHOLE_MAX || fraction.end - fraction.p > LOAD_FRACTION_DIGITS)
		return false;
	for (const char *p = fraction.p; p < fraction.end; p++)
		scale *= 10;
	*load = (struct v_num){.v = (double)(w * scale + f) / (double)scale, .set = true};
	return true;
}

bool cpu_load_of(struct text t, struct msg_load *load)
{
	struct text line;

	return text_line(&t, &line) && take_load(&line, &load->load1m) &&
	       take_load(&line, &load->load5m) && take_load(&line, &load->load15m);
}

int inspect_get_load(struct inspector *in, const struct msg_empty *args,
		     struct msg_load *result, struct err *e)
{
	char text[128];
	ssize_t len = sys_read_attr(&in->sys, "/proc/loadavg", text, sizeof(text));

	(void)args;
	if (len < 0)
		return kernel_error(e, errno, "cannot query load average");
	if (!cpu_load_of(text_of(text, (size_t)len), result))
		return err_sys(e, EINVAL, "cannot query load average");
	return 0;
}
