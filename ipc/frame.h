/*
 * ipc/frame.h - one message on a SOCK_SEQPACKET socket between two of our processes
 *
 * Runs in:   worker, frontend, inspector, op children
 * Input:     frames of a peer that may be in an attacker's hands
 * May touch: the socket
 * Must not:  block, believe a length, keep a descriptor that was not announced
 *
 * Layout, little-endian, FRAME_HEAD bytes, then `length` bytes of body:
 *
 *   u16 type   u16 op   u32 request   u32 generation   u16 flags   u16 fds   u32 length
 *
 * A socket of type SEQPACKET keeps message boundaries, so the length is checked against
 * what arrived and never trusted. A body that does not fit FRAME_BODY_MAX travels as
 * fragments (replies: FRAME_MORE on all but the last) or in a sealed memfd (requests:
 * FRAME_BODY_FD, the memfd is the first descriptor).
 */
#ifndef POSTERN_IPC_FRAME_H
#define POSTERN_IPC_FRAME_H

#include "ipc/err.h"
#include "ipc/wire.h"

#define FRAME_HEAD     20
#define FRAME_BODY_MAX (64 * 1024)
#define FRAME_FDS_MAX  2

/* Bounds of a whole body, over all fragments. */
#define REQUEST_BODY_MAX (4 * 1024 * 1024)
#define REPLY_BODY_MAX   (2 * 1024 * 1024)

/*
 * X(tag, number, most descriptors, flags that it may carry)
 *
 * HELLO      both ways, first: u64 table hash, u32 wire version
 * POLICY     worker to frontend, or to posternctl: generation; descriptor: the sealed
 * policy image; u32 size of the image REQUEST    to the worker: struct msg_request_head,
 * then the arguments; to the inspector: the arguments REPLY      the way back: the
 * result, or FRAME_ERROR: u8 class, text ABANDON    frontend to worker: the client no
 * longer waits for `request` SESSION    frontend to worker: what it says happened on the
 * channel, msg_session_note LOG        confined process to worker: u8 level, text FOUND
 * op child to worker: what it found, msg_found or msg_fs_found; it waits for GO worker to
 * op child: it may, or not: msg_may_open, msg_fs_may, msg_freeze_go ENDED      spawner to
 * worker: a program has ended, msg_ended FORGET     worker to spawner: the result of
 * program `request` was collected END        worker to spawner: program `request` is to
 * end, as at its deadline HOLD       a superblock, msg_fs_held, by its descriptor: op
 * child to worker, thawer to the next worker READ       worker to reader of the policy:
 * u8, whether what was kept will do IMAGE      the way back: the image, a sealed memfd;
 * mistakes, a line each KEEP       worker to reader: what was read last is in force;
 * u8, whether that was all
 * CONTROL    posternctl to worker: msg_control
 * CONTROLLED the way back: msg_controlled
 * STATE      worker to frontend: u8, whether file systems are frozen
 * THAW       worker to thawer: thaw, msg_thaw; thawer to worker: it has begun to
 * THAWED     thawer to worker: it is done, msg_thawed
 */
#define FRAME_TABLE(X)                                                   \
	X(HELLO, 1, 0, 0)                                                \
	X(POLICY, 2, 1, 0)                                               \
	X(REQUEST, 3, 2, FRAME_BODY_FD | FRAME_REFUSED | FRAME_BAD_ARGS) \
	X(REPLY, 4, 2, FRAME_MORE | FRAME_ERROR)                         \
	X(ABANDON, 5, 0, 0)                                              \
	X(SESSION, 6, 0, 0)                                              \
	X(LOG, 7, 0, 0)                                                  \
	X(FOUND, 8, 0, 0)                                                \
	X(GO, 9, 0, 0)                                                   \
	X(ENDED, 10, 0, 0)                                               \
	X(FORGET, 11, 0, 0)                                              \
	X(END, 12, 0, 0)                                                 \
	X(HOLD, 13, 1, 0)                                                \
	X(STATE, 14, 0, 0)                                               \
	X(THAW, 15, 0, 0)                                                \
	X(THAWED, 16, 0, 0)                                              \
	X(READ, 17, 0, 0)                                                \
	X(IMAGE, 18, 1, 0)                                               \
	X(KEEP, 19, 0, 0)                                                \
	X(CONTROL, 20, 0, 0)                                             \
	X(CONTROLLED, 21, 0, 0)

#define FRAME_ENUM(tag, number, fds, flags) FRAME_##tag = (number),
enum frame_type { FRAME_TABLE(FRAME_ENUM) FRAME_TYPE_END };

#define FRAME_MORE     1u  /* REPLY: further fragments follow; not after an error */
#define FRAME_ERROR    2u  /* REPLY: body is an error */
#define FRAME_BODY_FD  4u  /* REQUEST: the body is in the first descriptor */
#define FRAME_REFUSED  8u  /* REQUEST: the sender's copy of the policy refuses it */
#define FRAME_BAD_ARGS 16u /* REQUEST: arguments do not fit the table; no body */

#define WIRE_VERSION 1

struct frame {
	uint16_t type;
	uint16_t op;
	uint32_t request;
	uint32_t generation;
	uint16_t flags;
	uint16_t n_fds;
	const uint8_t *body; /* of the receive buffer or the sender; not owned */
	uint32_t len;
	int fds[FRAME_FDS_MAX]; /* received: owned until taken with TAKE_FD */
};

enum frame_status {
	FRAME_OK,
	FRAME_AGAIN,   /* nothing there, or no room, at present */
	FRAME_GONE,    /* the peer closed its end, or the socket failed */
	FRAME_INVALID, /* the peer broke the rules above */
};

/* Receive buffer of one peer: a whole frame. */
#define FRAME_MAX (FRAME_HEAD + FRAME_BODY_MAX)

/*
 * Receive one frame into BUF (FRAME_MAX bytes), which F then points into. Descriptors
 * are close-on-exec and F's; frame_close_fds closes what nobody took. On a status other
 * than FRAME_OK, F holds no descriptor. Never blocks.
 */
enum frame_status frame_recv(int sock, uint8_t *buf, struct frame *f);

/* Send one frame; F's descriptors stay the caller's. Never blocks, never SIGPIPE. */
enum frame_status frame_send(int sock, const struct frame *f);

void frame_close_fds(struct frame *f);

/* The body of a FRAME_ERROR reply, and the room that it takes at the most. */
void err_put(struct wbuf *w, const struct err *e);
#define ERR_BODY_MAX (1 + ERR_DESC_MAX)
/* Read one; whatever is wrong with it, E is an error afterwards. */
void err_get(struct err *e, const uint8_t *body, size_t len);

/* Write F's header into HEAD. For frame_send and for tests that send hostile frames. */
void frame_head(const struct frame *f, uint8_t head[FRAME_HEAD]);

#endif
