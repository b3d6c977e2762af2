/*
 * policy/request.h - constraints that the typed request alone decides
 *
 * Runs in:   worker, frontend, posternctl
 * Input:     a checked image; typed requests of the host: hostile
 * May touch: the structs it is handed
 * Must not:  look at a file, take a string apart that is resolved again later
 */
#ifndef POSTERN_POLICY_REQUEST_H
#define POSTERN_POLICY_REQUEST_H

#include "policy/policy.h"

/*
 * Does C hold for the request Q, which has arguments? True for what is looked at later
 * (enum key_stage), and for a command of the rule that the key says nothing about.
 */
bool request_holds(const struct policy *p, const struct image_constraint *c,
		   const struct policy_question *q);

/* Do the arguments of OP have what KEY is about? */
bool request_speaks(enum key key, uint32_t op);

#endif
