/*
 * tests/fuzz/fuzz_tables.c - any bytes as /proc/stat, /proc/diskstats, /proc/loadavg
 *
 * Runs in:   libFuzzer
 * Input:     the fuzzer's bytes
 * May touch: memory
 * Must not:  accept a line that lacks what the protocol requires
 *
 * run: floor 73
 */
#include <math.h>

#include "inspector/cpu.h"
#include "inspector/diskstats.h"
#include "tests/lib/fuzz.h"

static void check_load(struct text t)
{
	struct msg_load load = {};

	if (cpu_load_of(t, &load) &&
	    (!load.load1m.set || !load.load5m.set || !load.load15m.set ||
	     !(load.load15m.v >= 0) || !isfinite(load.load15m.v)))
		abort();
}

static void check_line(struct text line)
{
	struct msg_cpu_stat cpu;
	struct disk_line disk;

	if (cpu_stat_of(line, 100, &cpu) &&
	    (!cpu.user.set || !cpu.idle.set || cpu.cpu.v < 0))
		abort();
	if (diskstats_line(line, &disk) &&
	    (disk.name.p < line.p || disk.name.end > line.end ||
	     disk.name.p >= disk.name.end || !disk.counters.read_ios.set ||
	     !disk.counters.read_sectors.set))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct text t = text_of((const char *)data, size), line;

	check_load(t);
	while (text_line(&t, &line))
		check_line(line);
	return 0;
}
