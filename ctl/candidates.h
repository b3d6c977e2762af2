/*
 * ctl/candidates.h - requests out of records, equal ones once, each with its rule
 *
 * Runs in:   posternctl, as the user who calls it
 * Input:     records: any text
 * May touch: memory of its own
 * Must not:  grow without a bound, leave out a request without counting it
 */
#ifndef POSTERN_CTL_CANDIDATES_H
#define POSTERN_CTL_CANDIDATES_H

#include "ctl/propose.h"
#include "ctl/record.h"
#include "policy/reason.h"

/* Requests that may need a rule, and others beside them, that are kept apart. */
#define CANDIDATES_MAX 1000
#define BYSTANDERS_MAX 4000

/* How a request was decided, as far as it matters here. */
enum judged {
	JUDGED_COMPLAIN, /* let through by complain mode alone */
	JUDGED_ERROR,    /* so too, and what it names was not there */
	JUDGED_DENY,     /* refused, and a rule could allow it */
	JUDGED_BASE,     /* allowed by a rule of a profile */
	JUDGED_RULE,     /* allowed by a rule of the administrator's */
	JUDGED_KINDS,
	JUDGED_OTHER = JUDGED_KINDS, /* refused, and no rule would change that */
	JUDGED_NOTHING,              /* not of interest */
};

struct candidate {
	struct proposal proposal;
	char *args; /* as the record shows them; of one that no rule can say */
	uint64_t hash;
	uint64_t n[JUDGED_KINDS];
	uint64_t by_deny; /* of these, so many because of a deny */
	uint64_t reasons; /* bits by enum reason */
	uint64_t first, last;
	char *rule; /* the last that was named, and where it stands */
	char *file;
	uint64_t line;
	char *profile; /* whose rule allowed it */
};

struct candidates {
	bool with_denied;
	struct candidate *v;
	size_t n, room;
	size_t candidates;
	uint64_t denied;   /* refusals left out because of !with_denied */
	uint64_t others;   /* refusals that no rule changes */
	uint64_t too_many; /* requests that found no room */
	struct pending *pending;
};

/* -1: no memory. */
int candidates_init(struct candidates *c, bool with_denied);
void candidates_done(struct candidates *c);

/* A record of a trail with ESCAPES; TAKEN: its request is asked for. 0; -1: no memory. */
int candidates_add(struct candidates *c, const struct record *r, bool escapes,
		   bool taken);

/* No record follows. Sorts. 0; -1: no memory. */
int candidates_end(struct candidates *c);

/* Is it one that wants a rule, rather than one beside it? */
static inline bool is_wanted(const struct candidate *k)
{
	return k->n[JUDGED_COMPLAIN] || k->n[JUDGED_ERROR] || k->n[JUDGED_DENY];
}

#endif
