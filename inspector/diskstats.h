/*
 * inspector/diskstats.h - the lines of /proc/diskstats
 *
 * Runs in:   inspector
 * Input:     text of that file: any bytes
 * May touch: the text it is handed
 * Must not:  need more columns than the oldest kernel has
 */
#ifndef POSTERN_INSPECTOR_DISKSTATS_H
#define POSTERN_INSPECTOR_DISKSTATS_H

#include "inspector/text.h"
#include "ipc/ops.h"

/* What one line tells about a disk. */
struct disk_line {
	uint64_t major;
	uint64_t minor;
	struct text name;
	struct msg_disk_counters counters; /* columns that are not there are not set */
};

/* False if LINE is none of a disk with four counters or more. */
bool diskstats_line(struct text line, struct disk_line *disk);

#endif
