/*
 * tests/lib/fuzzroot.h - an empty directory for each input of a fuzz target
 *
 * Runs in:   libFuzzer
 * Input:     none
 * May touch: a directory of its own in /dev/shm or $TMPDIR, gone at the end
 * Must not:  leave anything of one input to the next
 */
#ifndef POSTERN_TESTS_FUZZROOT_H
#define POSTERN_TESTS_FUZZROOT_H

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "tests/lib/fuzz.h"
#include "tests/lib/rmtree.h"

/* More of a machine is slow to make and shows nothing new. */
#define FUZZ_TREE_MAX 8192

static char fuzz_root[64];

static inline void fuzz_root_remove(void)
{
	rmtree(fuzz_root);
}

/* In memory where that is possible: many times as fast. */
static inline void fuzz_root_make(void)
{
	const char *const places[] = {"/dev/shm", getenv("TMPDIR"), "/tmp"};

	for (size_t i = 0; i < 3; i++) {
		int n = places[i] ? snprintf(fuzz_root, sizeof(fuzz_root),
					     "%s/postern-fuzz-XXXXXX", places[i])
				  : -1;

		if (n < 0 || (size_t)n >= sizeof(fuzz_root) || !mkdtemp(fuzz_root))
			continue;
		must(atexit(fuzz_root_remove) == 0);
		return;
	}
	abort();
}

/* Made at the first call, emptied at the others. A descriptor (O_PATH) of the caller's.
 */
static inline int fuzz_root_open(void)
{
	int fd;

	if (!fuzz_root[0]) {
		fuzz_root_make();
	} else {
		fuzz_root_remove();
		must(mkdir(fuzz_root, 0700) == 0);
	}
	fd = open(fuzz_root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	must(fd >= 0);
	return fd;
}

#endif
