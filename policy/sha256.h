/*
 * policy/sha256.h - the digest by which a policy is known (FIPS 180-4)
 *
 * Runs in:   worker, frontend
 * Input:     the policy image
 * May touch: the buffer it is handed
 * Must not:  be used for secrets; it is not hardened against side channels
 *
 * Own code because a crypto library would multiply the worker's link map for one
 * digest at load time.
 */
#ifndef POSTERN_POLICY_SHA256_H
#define POSTERN_POLICY_SHA256_H

#include "ipc/util.h"

#define SHA256_LEN 32

void sha256(const void *data, size_t len, uint8_t out[SHA256_LEN]);

#endif
