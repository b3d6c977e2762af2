/*
 * worker/generation.c - a policy in force, and those that requests still stand on
 *
 * Runs in:   worker
 * Input:     policy images, sealed, from the reader
 * May touch: their mappings
 * Must not:  let a request be decided by two of them
 */
#include "worker/generation.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>

#include "ipc/memfd.h"

static void end(struct generation *g)
{
	if (g->map != MAP_FAILED)
		munmap(g->map, g->size);
	close_p(&g->fd);
	free(g);
}

static void end_p(struct generation **g)
{
	if (*g)
		end(*g);
}

struct generation *generation_open(int fd, uint32_t number)
{
	CLEANUP(end_p) struct generation *g = calloc(1, sizeof(*g));
	off_t size = memfd_sealed_size(fd);

	if (!g)
		return NULL;
	*g = (struct generation){.number = number, .users = 1, .map = MAP_FAILED};
	g->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (g->fd < 0)
		return NULL;
	if (size <= 0 || size > IMAGE_MAX) {
		errno = EBADMSG;
		return NULL;
	}
	g->size = (size_t)size;
	g->map = mmap(NULL, g->size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (g->map == MAP_FAILED)
		return NULL;
	if (policy_open(&g->policy, g->map, g->size) < 0) {
		errno = EBADMSG;
		return NULL;
	}
	for (size_t i = 0; i < SHA256_LEN; i++)
		snprintf(g->digest + 2 * i, 3, "%02x", g->policy.sha256[i]);
	return TAKE_PTR(g);
}

struct generation *generation_use(struct generation *g)
{
	g->users++;
	return g;
}

void generation_drop(struct generation **g)
{
	struct generation *it = *g;

	*g = NULL;
	if (it && --it->users == 0)
		end(it);
}
