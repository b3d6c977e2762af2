/*
 * worker/fences.h - what each kind of child enters: its files, its filter, made
 * beforehand
 *
 * Runs in:   worker; entered by its children
 * Input:     the operation table
 * May touch: Landlock rulesets, made before the worker is sealed; compiled filters
 * Must not:  let a child of a kind without a fence begin
 *
 * The worker's own fence (sandbox_beneath) is that of all its children together. Sealed,
 * it can open no directory any more, so that the narrower ones are made at the start and
 * kept as descriptors. A filter is compiled when the first child of its kind is forked,
 * and kept: to compile it takes longer than most of what a child does.
 */
#ifndef POSTERN_WORKER_FENCES_H
#define POSTERN_WORKER_FENCES_H

#include <linux/filter.h>
#include <stddef.h>
#include <stdint.h>

#define FENCES_MAX 16

struct fences {
	struct fence {
		uint32_t roles; /* of the children: SC_ROLE bits */
		int ruleset;    /* owned */
	} of[FENCES_MAX];
	size_t n; /* 0: this kernel has no Landlock */
	struct filter {
		uint32_t roles;
		struct sock_fprog prog; /* owned */
	} filters[FENCES_MAX];
	size_t n_filters;
};

/*
 * One for each kind of child that a worker with the roles HELD can have, beneath ROOT. 0,
 * or -1 with errno.
 */
int fences_open(struct fences *f, uint32_t held, int root);

/*
 * In a child with these roles, which has no_new_privs: stay within its fence from now on.
 * 0, also where the kernel has no Landlock; -1 with errno: there is none for its kind.
 */
int fences_enter(const struct fences *f, uint32_t roles);

/* The filter of children with these roles (sandbox_compile). NULL with errno. */
const struct sock_fprog *fences_filter(struct fences *f, uint32_t roles);

#endif
