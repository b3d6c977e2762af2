/*
 * policy/locked.h - the policy of an agent that cannot trust the one it was given
 *
 * Runs in:   reader; worker, which has no reader; posternctl
 * Input:     the reason
 * May touch: the buffer it is handed
 * Must not:  depend on a file or on who reads them
 */
#ifndef POSTERN_POLICY_LOCKED_H
#define POSTERN_POLICY_LOCKED_H

#include "ipc/wire.h"

/*
 * The image of a policy that cannot be trusted: session commands only. WHY goes to the
 * log and into the records. Out of memory leaves OUT->bad.
 */
void policy_locked_down(const char *why, struct wbuf *out);

#endif
