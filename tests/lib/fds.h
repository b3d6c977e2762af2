/*
 * tests/lib/fds.h - how many descriptors are open here
 *
 * Runs in:   tests
 * Input:     /proc/self/fd
 * May touch: nothing
 * Must not:  count the one that it counts with
 */
#ifndef POSTERN_TESTS_LIB_FDS_H
#define POSTERN_TESTS_LIB_FDS_H

#include <dirent.h>
#include <stddef.h>
#include <stdlib.h>

static inline size_t fds_open(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t n = 0;

	if (!dir)
		abort();
	while (readdir(dir))
		n++;
	closedir(dir);
	return n - 3; /* ".", ".." and the directory itself */
}

#endif
