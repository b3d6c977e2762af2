/*
 * worker/generation.h - a policy in force, and those that requests still stand on
 *
 * Runs in:   worker
 * Input:     policy images, sealed, from the reader
 * May touch: their mappings
 * Must not:  let a request be decided by two of them
 *
 * A request stands on the policy that was in force when it came, from its first decision
 * to its last; a reload puts another in its place for those that come later.
 */
#ifndef POSTERN_WORKER_GENERATION_H
#define POSTERN_WORKER_GENERATION_H

#include "policy/policy.h"

struct generation {
	uint32_t number; /* 1 is the first of this worker */
	uint32_t users;  /* requests that stand on it; and one while it is in force */
	struct policy policy;
	int fd;    /* sealed memfd of the image; owned */
	void *map; /* of it */
	size_t size;
	char digest[2 * SHA256_LEN + 1];
	uint64_t used_usec[IMAGE_RULES_MAX]; /* by rule: its rate is used up to then */
};

/*
 * The policy whose image is in the memfd FD, which is the caller's; used once. NULL with
 * errno: EBADMSG if it is none, or is not sealed.
 */
struct generation *generation_open(int fd, uint32_t number);

struct generation *generation_use(struct generation *g);
/* One use less; the last frees it. Fine on NULL; sets *G to NULL. */
void generation_drop(struct generation **g);

#endif
