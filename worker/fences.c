/*
 * worker/fences.c - what each kind of child enters: its files, its filter, made
 * beforehand
 *
 * Runs in:   worker; entered by its children
 * Input:     the operation table
 * May touch: Landlock rulesets, made before the worker is sealed; compiled filters
 * Must not:  let a child of a kind without a fence begin
 */
#include "worker/fences.h"

#include <errno.h>

#include "ipc/ops.h"
#include "sandbox/sandbox.h"

static const struct fence *find(const struct fences *f, uint32_t roles)
{
	for (size_t i = 0; i < f->n; i++)
		if (f->of[i].roles == roles)
			return &f->of[i];
	return NULL;
}

static int add(struct fences *f, uint32_t roles, int root)
{
	struct fence *fence = &f->of[f->n];
	int r;

	if (find(f, roles))
		return 0;
	if (f->n == FENCES_MAX) {
		errno = E2BIG;
		return -1;
	}
	r = sandbox_ruleset(roles, root, &fence->ruleset);
	if (r <= 0)
		return r;
	fence->roles = roles;
	f->n++;
	return 0;
}

/* What a child may lack of its roles: where files are only read, none is made. */
#define SPARE SC_ROLE(SANDBOX_MAKE)

int fences_open(struct fences *f, uint32_t held, int root)
{
	/* Those that no row of the table stands for; the first is the writer's. */
	uint32_t kinds[OP_MAX + 3] = {
		SC_ROLE(SANDBOX_CHILD),
		SC_ROLE(SANDBOX_CHILD) | SC_ROLE(SANDBOX_FREEZER),
		SC_ROLE(SANDBOX_CHILD) | SC_ROLE(SANDBOX_THAWER),
	};
	size_t n = 3;

	for (uint32_t op = OP_NONE; op < OP_MAX; op++)
		if (op_by_number(op) && op_by_number(op)->carrier == BY_CHILD)
			kinds[n++] = sandbox_child_roles(op);
	for (size_t i = 0; i < n; i++)
		if (!(kinds[i] & ~(held | SC_ROLE(SANDBOX_CHILD) | SPARE)) &&
		    add(f, kinds[i], root) < 0)
			return -1;
	return 0;
}

int fences_enter(const struct fences *f, uint32_t roles)
{
	const struct fence *fence = find(f, roles);

	if (!f->n)
		return 0;
	if (!fence) {
		errno = ENOENT;
		return -1;
	}
	return sandbox_restrict(fence->ruleset);
}

const struct sock_fprog *fences_filter(struct fences *f, uint32_t roles)
{
	struct filter *next = &f->filters[f->n_filters];

	for (size_t i = 0; i < f->n_filters; i++)
		if (f->filters[i].roles == roles)
			return &f->filters[i].prog;
	if (f->n_filters == FENCES_MAX) {
		errno = E2BIG;
		return NULL;
	}
	if (sandbox_compile(roles, &next->prog) < 0)
		return NULL;
	next->roles = roles;
	f->n_filters++;
	return &next->prog;
}
