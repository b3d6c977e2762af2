/*
 * ipc/peer.h - the other end of a socket: frames in by callback, frames out by queue
 *
 * Runs in:   worker, frontend, inspector
 * Input:     frames of a peer that may be in an attacker's hands
 * May touch: the socket
 * Must not:  block, queue without bound
 */
#ifndef POSTERN_IPC_PEER_H
#define POSTERN_IPC_PEER_H

#include "ipc/frame.h"
#include "ipc/loop.h"

struct peer;

/* F's body is valid during the call only. A negative result ends the loop. */
typedef int peer_frame_fn(struct peer *p, struct frame *f);
/*
 * The peer is finished: closed (FRAME_GONE) or broke the rules (FRAME_INVALID). Must call
 * peer_close, or end the loop by a negative result.
 */
typedef int peer_gone_fn(struct peer *p, enum frame_status why);

/*
 * What two of our programs say to each other first; a hello of another build does not
 * fit. BODY is the frame's.
 */
#define HELLO_LEN 12
struct frame hello_frame(uint8_t body[HELLO_LEN]);
bool hello_fits(const struct frame *f);

/* Bytes queued for a peer that does not read, before it counts as gone. */
#define PEER_QUEUE_MAX (8 * 1024 * 1024)

struct out_frame; /* one queued frame */

struct peer {
	struct source source;
	struct loop *loop;
	peer_frame_fn *on_frame;
	peer_gone_fn *on_gone;
	bool greeted; /* the peer's hello came and fits */
	bool dead;    /* finished; on_gone has been or is being called */
	struct out_frame *out_head;
	struct out_frame **out_tail;
	size_t out_bytes;
	uint8_t buf[FRAME_MAX]; /* last: peer_open leaves it alone */
};

/*
 * Take over SOCK (made non-blocking) and send our hello. The first frame received must
 * be a fitting hello; it is checked here and not shown to on_frame. 0, or -1 with errno
 * (SOCK is then closed).
 */
int peer_open(struct peer *p, struct loop *loop, int sock, peer_frame_fn *on_frame,
	      peer_gone_fn *on_gone);

/* Close the socket and free the queue; on_gone is not called. Fine on a closed one. */
void peer_close(struct peer *p);

static inline bool peer_is_open(const struct peer *p)
{
	return p->source.fd >= 0;
}

/*
 * Send F now or queue a copy (descriptors are duplicated). 0, or -1 if the peer is
 * closed or its queue is full; in the latter case on_gone is called from the loop with
 * FRAME_INVALID, since a peer that does not read is out of order.
 */
int peer_send(struct peer *p, const struct frame *f);

/*
 * Send BODY as a reply in as many fragments as it takes, to request REQUEST of OP.
 * FLAGS: 0 or FRAME_ERROR.
 */
int peer_reply(struct peer *p, uint16_t op, uint32_t request, uint16_t flags,
	       const void *body, size_t len);

#endif
