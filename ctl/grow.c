/*
 * ctl/grow.c - arrays that grow
 *
 * Runs in:   posternctl, as the user who calls it
 * Input:     none
 * May touch: the array it is handed
 * Must not:  grow beyond the bound it is told
 */
#include "ctl/grow.h"

#include <stdlib.h>

int ctl_grow(void **p, size_t *room, size_t n, size_t size, size_t max)
{
	size_t wanted = *room ? *room * 2 : 16;
	void *bigger;

	if (n < *room)
		return 0;
	bigger = n < max ? reallocarray(*p, wanted, size) : NULL;
	if (!bigger)
		return -1;
	*p = bigger;
	*room = wanted;
	return 0;
}
