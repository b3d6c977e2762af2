/*
 * ctl/reply.h - the reply of an agent: what it is, and how it is shown
 *
 * Runs in:   posternctl, as the user who calls it
 * Input:     a line of an agent: any bytes
 * May touch: standard output
 * Must not:  change a value on its way to the screen
 */
#ifndef POSTERN_CTL_REPLY_H
#define POSTERN_CTL_REPLY_H

#include <stdbool.h>
#include <stddef.h>

enum reply_form {
	REPLY_RAW,    /* as it came */
	REPLY_JSON,   /* a JSON value on a line, and nothing that is none */
	REPLY_PRETTY, /* one that is indented, in ASCII */
};

/* CTL_OK: it is a result. CTL_ERROR: an error. CTL_FAILED with a line: neither. */
int reply_judge(const char *line, size_t len);

/* Print LINE, with its line feed, and judge it. */
int reply_show(enum reply_form form, const char *line, size_t len);

#endif
