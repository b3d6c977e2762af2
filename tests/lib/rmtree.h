/*
 * tests/lib/rmtree.h - a test's directory goes with all that is in it
 *
 * Runs in:   unit tests
 * Input:     a directory that the test made
 * May touch: what is below it
 * Must not:  follow a link out of it
 */
#ifndef POSTERN_TESTS_RMTREE_H
#define POSTERN_TESTS_RMTREE_H

#include <ftw.h>
#include <stdio.h>

static inline int rmtree_one(const char *path, const struct stat *st, int type,
			     struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

/* 0, or -1 with errno. */
static inline int rmtree(const char *dir)
{
	return nftw(dir, rmtree_one, 16, FTW_DEPTH | FTW_PHYS);
}

#endif
