/*
 * ipc/body.h - what is too large for a frame travels beside it, sealed
 *
 * Runs in:   worker, frontend, spawner
 * Input:     frames and descriptors of a peer that may be in an attacker's hands
 * May touch: memfds
 * Must not:  map what its other holder could still change or cut
 */
#ifndef POSTERN_IPC_BODY_H
#define POSTERN_IPC_BODY_H

#include "ipc/frame.h"

/* Bytes to read, and the mapping that they may be in. For CLEANUP(body_release). */
struct body {
	struct rbuf r;
	void *map;
	size_t map_len;
};

/* The body of request F, wherever it travelled. 0, or -1: it breaks the rules. */
int body_open(const struct frame *f, struct body *b);

/* Map the memfd FD, which must be sealed. 0, or -1. It stays the caller's. */
int body_map(int fd, struct body *b);

void body_release(struct body *b);

/*
 * Make BODY the body of request F: in the frame, or in a memfd, which goes to *FD (else
 * -1), to be closed by the caller once F was sent. 0, or -1 with errno.
 */
int body_attach(struct frame *f, const struct wbuf *body, int *fd);

#endif
