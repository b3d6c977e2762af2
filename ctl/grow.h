/*
 * ctl/grow.h - arrays that grow
 *
 * Runs in:   posternctl, as the user who calls it
 * Input:     none
 * May touch: the array it is handed
 * Must not:  grow beyond the bound it is told
 */
#ifndef POSTERN_CTL_GROW_H
#define POSTERN_CTL_GROW_H

#include <stddef.h>

/*
 * Room for one more element of SIZE bytes behind the N of the array at *P, which has
 * *ROOM of them and is malloc()ed or NULL. 0; -1: no memory, or N is MAX already.
 */
int ctl_grow(void **p, size_t *room, size_t n, size_t size, size_t max);

#endif
