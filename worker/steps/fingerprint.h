/*
 * worker/steps/fingerprint.h - public keys by the name that people compare
 *
 * Runs in:   worker
 * Input:     keys of the host: any bytes
 * May touch: memory of its own
 * Must not:  let a record hold a key itself
 */
#ifndef POSTERN_WORKER_FINGERPRINT_H
#define POSTERN_WORKER_FINGERPRINT_H

#include "ipc/schema.h"

/*
 * "SHA256:..., ..." as ssh-keygen(1) has it, of the KEYS (v_str each); what is no key is
 * "invalid", what exceeds 16 of them is "...". Malloced, or NULL: no key, or no memory.
 */
char *fingerprints_of(const struct v_list *keys);

#endif
