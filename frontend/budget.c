/*
 * frontend/budget.c - a bound on the memory of the JSON tree
 *
 * Runs in:   frontend
 * Input:     sizes that cJSON asks for, driven by the host's text
 * May touch: the heap
 * Must not:  let a request take more than the budget
 */
#include <cjson/cJSON.h>
#include <stddef.h>

#include "frontend/frontend.h"

/* cJSON's hooks take no context, so this one object cannot live in a struct of ours. */
static struct {
	size_t limit;
	size_t used;
} budget;

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
	return h + 1;
}

static void budget_free(void *p)
{
	struct head *h = p;

	if (!h)
		return;
	h--;
	budget.used -= h->size;
	free(h);
}

void budget_install(size_t bytes)
{
	cJSON_Hooks hooks = {.malloc_fn = budget_malloc, .free_fn = budget_free};

	budget.limit = bytes;
	cJSON_InitHooks(&hooks);
}
