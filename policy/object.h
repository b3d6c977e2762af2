/*
 * policy/object.h - constraints on what was found where a request points
 *
 * Runs in:   worker, posternctl
 * Input:     a checked image; what an op child found
 * May touch: the structs it is handed
 * Must not:  look at a file, take a string apart that is resolved again later
 */
#ifndef POSTERN_POLICY_OBJECT_H
#define POSTERN_POLICY_OBJECT_H

#include "policy/policy.h"

/* Does C hold for Q->object, which is there? True for what does not look at it. */
bool object_holds(const struct policy *p, const struct image_constraint *c,
		  const struct policy_question *q);

/* Is OBJECT, a mount, passed over by a rule that matched? */
bool object_excluded(const struct policy *p, const struct policy_answer *a,
		     const struct policy_object *object);

/*
 * Do the limits of ANSWER let OP go as far as OBJECT says? If not, *KEY is the one that
 * does not.
 */
bool object_within(const struct policy *p, const struct policy_answer *a, uint32_t op,
		   const struct policy_object *object, enum key *key);

/* Does KEY look at what OP found? */
bool object_speaks(enum key key, uint32_t op);

#endif
