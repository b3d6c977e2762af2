/*
 * sandbox/needs.h - what a worker must keep for what its policy may ever allow
 *
 * Runs in:   worker before it is sealed, and when a policy is to take another's place;
 *            posternctl
 * Input:     a set of operations; what kind of system it is
 * May touch: nothing
 * Must not:  keep anything for what no request could be allowed
 *
 * DESIGN section 2: "The policy decides the privilege".
 */
#ifndef POSTERN_SANDBOX_NEEDS_H
#define POSTERN_SANDBOX_NEEDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct needs {
	uint64_t caps;  /* capabilities by number: the bounding set */
	uint32_t roles; /* SC_ROLE bits: the filter, and the files that Landlock leaves */
	bool spawner;   /* programs are run */
};

/* What is not the policy's to say. */
struct needs_where {
	bool systemd;        /* it runs this system */
	bool init_by_signal; /* init goes down by a signal, so that no program is needed
			      */
	bool hook;           /* one of freezes is configured, and may be run */
	bool frozen;         /* a freeze is in force, and has to end */
	bool reads_only;     /* no rule lets a file be made or changed */
};

/* For the operations ALLOWED (a set by number, as in struct policy) on WHERE. */
struct needs needs_of(uint64_t allowed, const struct needs_where *where);

/* Is all of A in B? */
bool needs_within(const struct needs *a, const struct needs *b);

/*
 * The names of the capabilities, and "spawner" or what is said where there is none,
 * separated by blanks. Cut where SIZE ends.
 */
#define NO_SPAWNER "no-spawner" /* as records have it */
void needs_text(const struct needs *n, const char *no_spawner, char *out, size_t size);

#endif
