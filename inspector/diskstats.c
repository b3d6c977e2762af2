/*
 * inspector/diskstats.c - what the disks did: guest-get-diskstats
 *
 * Runs in:   inspector
 * Input:     /proc/diskstats: any bytes
 * May touch: that file, read-only; the arena
 * Must not:  need more columns than the oldest kernel has
 */
#include "inspector/diskstats.h"

#include "inspector/kernel.h"
#include "inspector/shape.h"

/* The columns behind the name, in the file's order (protocol 3.33). */
#define COLUMN(name) offsetof(struct msg_disk_counters, name)
static const size_t columns[] = {
	COLUMN(read_ios),       COLUMN(read_merges),     COLUMN(read_sectors),
	COLUMN(read_ticks),     COLUMN(write_ios),       COLUMN(write_merges),
	COLUMN(write_sectors),  COLUMN(write_ticks),     COLUMN(ios_pgr),
	COLUMN(total_ticks),    COLUMN(weight_ticks),    COLUMN(discard_ios),
	COLUMN(discard_merges), COLUMN(discard_sectors), COLUMN(discard_ticks),
	COLUMN(flush_ios),      COLUMN(flush_ticks),
};

/* Old kernels count no more for a partition. */
static const size_t partition_columns[] = {
	COLUMN(read_ios),
	COLUMN(read_sectors),
	COLUMN(write_ios),
	COLUMN(write_sectors),
};

bool diskstats_line(struct text line, struct disk_line *disk)
{
	uint64_t device[2], v[ARRAY_SIZE(columns)];
	const size_t *place = columns;
	size_t n;

	if (text_numbers(&line, device, 2) != 2 || !text_word(&line, &disk->name))
		return false;
	n = text_numbers(&line, v, ARRAY_SIZE(v));
	if (n < ARRAY_SIZE(partition_columns))
		return false;
	if (n == ARRAY_SIZE(partition_columns))
		place = partition_columns;
	disk->major = device[0];
	disk->minor = device[1];
	disk->counters = (struct msg_disk_counters){0};
	for (size_t i = 0; i < n; i++)
		*(struct v_u64 *)(void *)((char *)&disk->counters + place[i]) =
			V_U64(v[i]);
	return true;
}

static int add_disk(struct inspector *in, const struct disk_line *disk,
		    struct v_list *list)
{
	struct msg_disk_counters *counters = arena_take(&in->arena, sizeof(*counters));
	struct msg_disk_stat *stat = inspect_add(in, list, sizeof(*stat));

	if (!counters || !stat)
		return -1;
	*counters = disk->counters;
	stat->name = text_str(disk->name);
	stat->major = V_U64(disk->major);
	stat->minor = V_U64(disk->minor);
	stat->stats = (struct v_obj){.v = counters, .set = true};
	return 0;
}

int inspect_get_diskstats(struct inspector *in, const struct msg_empty *args,
			  struct msg_disk_stats *result, struct err *e)
{
	struct disk_line disk;
	struct text t, line;

	(void)args;
	if (kernel_table(in, "/proc/diskstats", &t, e) < 0)
		return -1;
	result->value.set = true;
	while (text_line(&t, &line))
		if (diskstats_line(line, &disk) &&
		    shape_shows(in, disk.name.p, (size_t)(disk.name.end - disk.name.p)) &&
		    add_disk(in, &disk, &result->value) < 0)
			return inspect_full(e);
	return 0;
}
