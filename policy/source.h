/*
 * policy/source.h - from policy files to an image
 *
 * Runs in:   reader, posternctl
 * Input:     bytes of policy files: any
 * May touch: memory of its own
 * Must not:  take half of what it does not understand
 *
 * Files are added in any order; order has no meaning. Every mistake is kept with its file
 * and line, and the image is built only when there is none.
 */
#ifndef POSTERN_POLICY_SOURCE_H
#define POSTERN_POLICY_SOURCE_H

#include "policy/policy.h"

#define SOURCE_LINE_MAX   4096
#define SOURCE_FILE_MAX   (64 * 1024)
#define SOURCE_FILES_MAX  64
#define SOURCE_RULES_MAX  1000
#define SOURCE_ERRORS_MAX 1000 /* kept; more are counted */

struct source_error {
	const char *file;
	uint32_t line;
	const char *what; /* what is wrong, what is accepted; one line */
};

/* A [test] section: run by `posternctl check`. */
struct source_test {
	const char *file;
	uint32_t line;
	const char *name;
	const char *request; /* JSON text */
	bool expect;         /* it was said */
	bool expect_allow;
	const char *expect_rule; /* or reason of a deny; NULL: any */
};

struct source; /* what was read so far */

struct source *source_new(void); /* NULL: no memory */
void source_free(struct source *s);

/* Add a file's LEN bytes. Copies what it keeps. Mistakes are kept, not returned. */
void source_add(struct source *s, const char *file, const char *text, size_t len);

/* Has a file said `sealed = yes`? */
bool source_sealed(const struct source *s);

/* Commands that lists of the command line take away: a deny of their own. */
void source_deny(struct source *s, uint64_t ops);

/* Add a mistake that the caller found (a file that cannot be trusted). */
void source_mistake(struct source *s, const char *file, uint32_t line, const char *fmt,
		    ...) PRINTF(4, 5);

/*
 * Resolve the base profile, replace and merge, and build the image into OUT (a growing
 * wbuf of limit IMAGE_MAX). 0, or -1 if there are mistakes; these are then complete.
 */
int source_build(struct source *s, struct wbuf *out);

/* Mistakes in the order of file and line. */
size_t source_errors(struct source *s, const struct source_error **e);
size_t source_tests(const struct source *s, const struct source_test **t);

/* ---- profiles kept by the project ---- */

struct profile {
	const char *name;
	const char *text; /* the policy file, compiled in */
	size_t len;
};

/* By name, or by index from 0; false: there is none. */
bool profile_find(const char *name, struct profile *p);
bool profile_at(size_t index, struct profile *p);

/* All names, separated by ", ". */
const char *profile_names(void);

#endif
