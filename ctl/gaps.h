/*
 * ctl/gaps.h - what the numbers of records say about records that are not there
 *
 * Runs in:   posternctl, as the user who calls it
 * Input:     records in the order of their arrival: any values
 * May touch: memory of its own
 * Must not:  grow without a bound
 */
#ifndef POSTERN_CTL_GAPS_H
#define POSTERN_CTL_GAPS_H

#include "ctl/show.h"

/* Instances of the agent, and holes in their numbers, that are kept apart. */
#define INSTANCES_MAX 8192
#define HOLES_MAX     65536

struct instance;
struct hole;

struct gaps {
	struct instance *instances; /* in the order of their first record */
	size_t n;
	size_t room;
	struct hole *holes; /* of all instances */
	size_t n_holes;
	size_t room_holes;
	uint64_t records;
	bool partial; /* --since: the trail need not start with a beginning */
};

/* 0; -1: no memory, or too much to keep apart. */
int gaps_add(struct gaps *g, const struct record *r);

/* Print what was found and a line that sums it up. How many findings. */
uint64_t gaps_report(struct gaps *g, const struct show *s, struct wbuf *w);
void gaps_done(struct gaps *g);

#endif
