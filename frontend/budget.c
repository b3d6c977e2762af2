/*
 * frontend/budget.c - a bound on the memory of the JSON tree
 *
 * Runs in:   frontend
 * Input:     sizes that cJSON asks for, driven by the host's text
 * May touch: the heap
 * Must not:  let a request take more than the budget
 */
#include <cjson/cJSON.h>
#include <malloc.h>
#include <stddef.h>
#include <string.h>

#include "frontend/frontend.h"

/* cJSON's hooks take no context, so this one object cannot live in a struct of ours. */
static struct {
	size_t limit;
	size_t used;
	size_t most; /* used at once by the present tree */
} budget;

/* A tree that took more than this goes back to the system, not to the heap. */
#define TREE_KEEP (1024u * 1024)

/* Its size stands in front of each block, at the alignment that malloc promises. */
struct head {
	_Alignas(max_align_t) size_t size;
};

static void *budget_malloc(size_t size)
{
	struct head *h;

	if (size > budget.limit - budget.used)
		return NULL;
	h = malloc(sizeof(*h) + size);
	if (!h)
		return NULL;
	h->size = size;
	budget.used += size;
	if (budget.used > budget.most)
		budget.most = budget.used;
	return h + 1;
}

static void budget_free(void *p)
{
	struct head *h = p;

	if (!h)
		return;
	h--;
	budget.used -= h->size;
	/* A tree may hold a password, in text. */
	explicit_bzero(h + 1, h->size);
	free(h);
	if (budget.used)
		return;
	/* Many small blocks below one that stays: free alone would keep them. */
	if (budget.most > TREE_KEEP)
		malloc_trim(0);
	budget.most = 0;
}

void budget_install(size_t bytes)
{
	cJSON_Hooks hooks = {.malloc_fn = budget_malloc, .free_fn = budget_free};

	budget.limit = bytes;
	cJSON_InitHooks(&hooks);
}
