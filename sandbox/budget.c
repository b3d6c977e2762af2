/*
 * sandbox/budget.c - how much memory each process may ask for
 *
 * Runs in:   all processes but the supervisor, as they are sealed
 * Input:     const table
 * May touch: the calling process's limit
 * Must not:  be the bound that a request meets first: each has one of its own
 *
 * RLIMIT_DATA counts what a process may write to and shares with nobody: heap, private
 * mappings, its own data; not its stack, nor memfds and files, which have bounds of their
 * own. Beyond the limit an allocation fails, and that is an error answer, as wherever
 * memory is short. RLIMIT_AS would count libraries and every mapped memfd as well.
 */
#include "sandbox/filters_asan.h"
#include "sandbox/sandbox.h"

#include <sys/resource.h>

#include "ipc/util.h"

#define MIB ((rlim_t)1024 * 1024)

static const struct budget {
	uint32_t roles; /* whoever has one of these; 0: who has no filter */
	rlim_t bytes;
} budgets[] = {
	/* Tree 12, what waits 8 and one request, an answer of escapes 24: not all at
	   once. */
	{SC_ROLE(SANDBOX_FRONTEND), 40 * MIB},
	/* Arena 16, an answer 6 as it grows, what the worker does not take 8. */
	{SC_ROLE(SANDBOX_INSPECTOR), 40 * MIB},
	/* What two of the others do not take 16, requests kept 8; and a child has all
	 * that as it begins: a table of mounts 14. */
	{SC_ROLE(SANDBOX_WORKER), 48 * MIB},
	/* Texts of a policy, and what becomes of them: 1. */
	{SC_ROLE(SANDBOX_POLICY), 16 * MIB},
	/* The spawner: what the worker does not take 8; programs have their own limit. */
	{0, 24 * MIB},
};

static const struct budget *budget_of(uint32_t roles)
{
	for (size_t i = 0; i < ARRAY_SIZE(budgets); i++)
		if (budgets[i].roles ? budgets[i].roles & roles : !roles)
			return &budgets[i];
	return NULL;
}

int sandbox_budget(uint32_t roles)
{
	const struct budget *b = budget_of(roles);
	struct rlimit limit;

	/* A child has the worker's. And sanitizers ask for terabytes. */
	if (!b || SANDBOX_SANITIZED)
		return 0;
	if (getrlimit(RLIMIT_DATA, &limit) < 0)
		return -1;
	limit.rlim_cur = limit.rlim_max < b->bytes ? limit.rlim_max : b->bytes;
	/* Who runs programs gives them what it was given itself. */
	if (b->roles)
		limit.rlim_max = limit.rlim_cur;
	return setrlimit(RLIMIT_DATA, &limit);
}
