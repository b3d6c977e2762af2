/*
 * inspector/cpu.h - lines about CPUs: /proc/stat, /proc/loadavg
 *
 * Runs in:   inspector
 * Input:     text of these files: any bytes
 * May touch: the text it is handed
 * Must not:  follow the locale
 */
#ifndef POSTERN_INSPECTOR_CPU_H
#define POSTERN_INSPECTOR_CPU_H

#include "inspector/text.h"
#include "ipc/ops.h"

/*
 * A line of /proc/stat, whose unit is 1/HZ s. False if it is not that of one CPU; columns
 * that this kernel does not have are not set.
 */
bool cpu_stat_of(struct text line, uint64_t hz, struct msg_cpu_stat *stat);

/* /proc/loadavg. False, and LOAD half filled, if it does not begin with three numbers. */
bool cpu_load_of(struct text t, struct msg_load *load);

#endif
