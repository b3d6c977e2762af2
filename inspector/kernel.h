/*
 * inspector/kernel.h - the kernel's tables, and its directories that are numbered
 *
 * Runs in:   inspector
 * Input:     /proc and /sys beneath the root: any bytes
 * May touch: these, read-only; the arena
 * Must not:  take what this kernel lacks for a failure
 */
#ifndef POSTERN_INSPECTOR_KERNEL_H
#define POSTERN_INSPECTOR_KERNEL_H

#include "inspector/inspector.h"
#include "inspector/text.h"

/* The table PATH whole. 0, or -1 with E filled. */
int kernel_table(struct inspector *in, const char *path, struct text *t, struct err *e);

/* The numbers N of the directories PREFIX<N> in a directory, in their order. */
struct numbers {
	struct sys dir; /* that directory as a root: a short way to what is in it */
	uint64_t *v;    /* in the arena */
	uint32_t n;
};

/*
 * Those in PATH. 0, or -1 with errno (ENOMEM: the arena is full). OUT, which may come
 * with any content, is to be freed by numbers_free after either.
 */
int kernel_numbered(struct inspector *in, const char *path, const char *prefix,
		    struct numbers *out);
void numbers_free(struct numbers *n);

/*
 * The error of WHAT ("open(...)"), which failed with ERRNUM. A file that is missing is a
 * feature that this machine lacks: libvirt skips a command of that class (clients 0.10).
 * Returns -1.
 */
int kernel_error(struct err *e, int errnum, const char *what, ...) PRINTF(3, 4);

#endif
