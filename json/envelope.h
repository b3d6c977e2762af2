/*
 * json/envelope.h - the members of a request
 *
 * Runs in:   frontend, posternctl
 * Input:     a JSON tree built from text that the scanner has passed
 * May touch: the structs it is handed
 * Must not:  guess
 */
#ifndef POSTERN_JSON_ENVELOPE_H
#define POSTERN_JSON_ENVELOPE_H

#include "ipc/err.h"
#include "ipc/ops.h"

struct cJSON;

/* Both point into the tree. */
struct envelope {
	const struct cJSON *execute;   /* a string */
	const struct cJSON *arguments; /* an object; NULL: none */
	uint32_t number;               /* of the command */
};

/* Check the members (protocol 1.2, 1.7 steps 5 to 7) of ROOT. 0, or -1 with E. */
int envelope_open(const struct cJSON *root, struct envelope *env, struct err *e);

#endif
