/*
 * ctl/seen.h - which sets of bits were met before
 *
 * Runs in:   posternctl, tests
 * Input:     none of its own
 * May touch: memory of its own
 * Must not:  be used where an attacker chooses the bits: it keeps 64 bits of hash
 */
#ifndef POSTERN_CTL_SEEN_H
#define POSTERN_CTL_SEEN_H

#include <stdbool.h>

#include "ipc/util.h"

#define SEEN_SEED 0xcbf29ce484222325ull

struct seen {
	uint64_t *v; /* hashes; 0: free */
	uint32_t room;
	uint32_t n;
};

static inline uint64_t seen_hash(uint64_t hash, const uint64_t *bits, uint32_t words)
{
	for (uint32_t i = 0; i < words; i++) {
		hash = (hash ^ bits[i]) * 0x9e3779b97f4a7c15ull;
		hash ^= hash >> 29;
	}
	return hash;
}

/* Where HASH is, or would be. */
static inline uint32_t seen_place(const struct seen *s, uint64_t hash)
{
	uint32_t i = (uint32_t)(hash % s->room);

	while (s->v[i] && s->v[i] != hash)
		i = (i + 1) % s->room;
	return i;
}

/* At most half of the places are ever taken. */
static inline bool seen_grow(struct seen *s)
{
	struct seen more = {.room = s->room ? 2 * s->room : 1024, .n = s->n};

	more.v = calloc(more.room, sizeof(*more.v));
	if (!more.v)
		return false;
	for (uint32_t i = 0; i < s->room; i++)
		if (s->v[i])
			more.v[seen_place(&more, s->v[i])] = s->v[i];
	free(s->v);
	*s = more;
	return true;
}

/* Was HASH added before? It is from now on. Without memory nothing is known. */
static inline bool seen_before(struct seen *s, uint64_t hash)
{
	uint32_t i;

	hash += !hash;
	if (2 * s->n >= s->room && !seen_grow(s))
		return false;
	i = seen_place(s, hash);
	if (s->v[i])
		return true;
	s->v[i] = hash;
	s->n++;
	return false;
}

static inline void seen_free(struct seen *s)
{
	free(s->v);
	*s = (struct seen){0};
}

#endif
