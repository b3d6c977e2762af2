/*
 * ctl/differ.h - what two policies decide differently, each with a request that shows it
 *
 * Runs in:   posternctl, tests
 * Input:     policies that were opened
 * May touch: memory of its own
 * Must not:  tell of a difference that it cannot show, differ from run to run
 *
 * Every request is like some combination of the values of its parts (ctl/scene.h). Of a
 * value only this counts: of which rules it lets the constraints hold. So combinations
 * are bits, and only those that let different rules match are decided on, by the agent's
 * own code.
 */
#ifndef POSTERN_CTL_DIFFER_H
#define POSTERN_CTL_DIFFER_H

#include "policy/policy.h"

/* Why a policy refuses what the other allows. */
enum refusal {
	REFUSED_UNMATCHED, /* no allow rule matches, whichever came nearest */
	REFUSED_BY_DENY,   /* a deny rule does */
	REFUSED_BY_LIMIT,  /* it would go further than a limit */
};

/*
 * What makes two differences the same one, and so one line: the command, what becomes of
 * it, the rule that allows it and why the other policy refuses it; or the limit and what
 * it was and is. Whatever request two policies treat differently is covered by a line
 * that is the same in all of this.
 */
struct difference {
	char direction; /* '+' becomes allowed, '-' becomes denied, '~' a limit changes */
	uint32_t op;
	/* Of '+' and '-'. */
	uint32_t allows; /* the first rule that matched, of the policy that allows it */
	enum refusal refusal;
	uint32_t refuses; /* the deny rule of the other, or the key of the limit */
	/* Of '~'. */
	size_t limit; /* as in ctl/limits.h */
	const char *before;
	const char *after;
};

bool is_same_difference(const struct difference *a, const struct difference *b);

/* What P[0] and P[1] decide differently of Q: EACH is called with it, maybe often. */
typedef void difference_fn(const struct difference *d, void *arg);
void differences_of(const struct policy *const p[2], const struct policy_question *q,
		    difference_fn *each, void *arg);

/* The first rule of P that let A through; NULL: none did. */
const struct image_rule *rule_that_allows(const struct policy *p,
					  const struct policy_answer *a);

struct differ_line {
	struct difference d;
	const char *request; /* JSON */
	const char *object;  /* JSON; "": there is no more to say */
	struct policy_answer a[2];
	uint32_t order; /* in which it was found */
};

struct differ {
	const struct policy *p[2];
	struct arena arena;
	struct differ_line *v; /* by command, then '+', '-', '~' */
	uint32_t n;
	size_t room;
	bool cut; /* there was more than time or room: some may be missing */
};

/* 0, or -1: no memory. End with differ_done in any case. */
int differ_find(struct differ *d, const struct policy *a, const struct policy *b);
void differ_done(struct differ *d);

/* Is it one of the lines? */
bool differ_covers(const struct differ *d, const struct difference *what);

#endif
