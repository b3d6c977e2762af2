/*
 * worker/control.h - posternctl's way in: status, reload, the policy in force
 *
 * Runs in:   worker
 * Input:     frames of whoever root let connect: decoded, not trusted
 * May touch: its sockets; the policy, by reload_ask
 * Must not:  serve anybody but root, or who runs the agent; let one who reads nothing
 *            cost more than a socket
 */
#ifndef POSTERN_WORKER_CONTROL_H
#define POSTERN_WORKER_CONTROL_H

#include "ipc/peer.h"

struct worker;

/* Served at the same time; one more is hung up on. */
#define CONTROL_MAX 4

struct control {
	struct peer peer;
	struct worker *w;
	bool waits;     /* for the end of a reload, */
	uint32_t round; /* of this round or a later one, */
	bool told;      /* and knows that it may take long */
};

/* Serve who connects to W->control.fd, unless that is -1. 0 or -1. */
int control_init(struct worker *w);

/* A reload ended, as W->reload says. MISTAKES: a line for each, or NULL. */
void control_reloaded(struct worker *w, const struct frame *mistakes);
/* It waits for a thaw. */
void control_reload_waits(struct worker *w);

#endif
