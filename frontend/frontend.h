/*
 * frontend/frontend.h - the frontend's state: channel, scanner, queue, worker
 *
 * Runs in:   frontend, own user, no capability, sealed
 * Input:     bytes of the host (hostile), frames of the worker (trusted)
 * May touch: the channel, its socket to the worker, memfds of its own
 * Must not:  open a path, hold a guest file, make a socket, fork
 *
 * Bytes come in through the scanner and become items in a queue. The head of the queue
 * is answered: at once if it is an error or a session command, else by the worker. So
 * replies leave in the order of the requests, with the one exception of queue.c.
 */
#ifndef POSTERN_FRONTEND_FRONTEND_H
#define POSTERN_FRONTEND_FRONTEND_H

#include "json/scan.h"
#include "ipc/err.h"
#include "ipc/note.h"
#include "ipc/ops.h"
#include "ipc/peer.h"
#include "policy/policy.h"

/* Input is not read while this much is waiting to be answered. */
#define QUEUE_ITEMS_MAX 256
#define QUEUE_BYTES_MAX (8u * 1024 * 1024)
/* Decoded bulk data of all requests that wait: one message's worth (protocol 1.8). */
#define BULK_MAX (48u * 1024 * 1024)
/* Nothing more is answered while this much is waiting to be written. */
#define OUT_HIGH (256 * 1024)
/* No output buffer ever exceeds this: 2 MiB of result, of characters that are escaped by
 * six each, an id, and what waits. */
#define OUT_MAX (24u * 1024 * 1024)
/* Content of a reply is encoded as it is written, so much at once. */
#define CONTENT_PIECE (48u * 1024)
/* An operation of this age is given up when its client has begun anew (DESIGN 5). */
#define ABANDON_MS 2000

#define INPUT_SIZE (64 * 1024)
#define ARENA_SIZE (256 * 1024)

/* Something that is owed to the client, in its turn. */
struct item {
	struct item *next;
	uint64_t session;
	bool resync; /* sync, sync-delimited, 0xFF: its client began anew */

	const struct op *op; /* NULL: only `error` is owed */
	uint32_t number;
	uint16_t flags;      /* FRAME_REFUSED, FRAME_BAD_ARGS */
	uint32_t generation; /* of the policy copy that was asked */
	char *id;            /* as it goes back; NULL if the request had none */
	size_t id_len;
	struct wbuf args; /* encoded; wiped once they are passed on */
	size_t weight;    /* bytes that it counts for in the queue */
	int bulk_fd;      /* sealed memfd of the bulk argument, or -1 */
	uint64_t bulk_size;
	struct err *error; /* the error reply, or what is wrong with the arguments */

	uint64_t received_ms;
	uint64_t sent_ms;
	uint32_t request;   /* number at the worker; 0: not sent yet */
	struct wbuf result; /* fragments so far */
};

struct queue {
	struct item *head;
	struct item **tail;
	uint32_t items;
	size_t bytes;
	uint64_t bulk;    /* bytes in their memfds */
	uint32_t resyncs; /* items that say that their client began anew */
	bool passing;     /* an operation was abandoned for a resync not yet answered */
};

struct bulk {
	struct scan_sink sink;
	int fd; /* memfd being filled, or -1 */
	uint64_t size;
	uint64_t room; /* bytes it may take at present */
};

/* Is a host at the port? Always HERE for a connection. */
enum host {
	HOST_HERE,
	HOST_DOUBTED, /* the kernel says no; HOST_GONE_MS later that is believed */
	HOST_LEFT,    /* it went; what it sent is still being read */
	HOST_AWAY,    /* nobody, and nothing left to read */
};

/* What the channel is; the command line names it (frontend/main.c). */
enum channel_kind {
	CHANNEL_PORT,   /* a virtio port, which tells whether a host is there */
	CHANNEL_SERIAL, /* a serial line: somebody is always there */
	CHANNEL_LISTEN, /* a listener, one connection at a time */
	CHANNEL_VSOCK,  /* the same, where only the host may connect */
	CHANNEL_KINDS
};

/*
 * Content of a reply, which is encoded only as it is written, piece by piece: in base64 a
 * large one would be there one and a third times more.
 */
struct content {
	size_t at[FRAME_FDS_MAX];     /* in front of which byte of `out` */
	int fd[FRAME_FDS_MAX];        /* sealed memfd, or -1 */
	uint64_t size[FRAME_FDS_MAX]; /* of it */
	uint64_t done;                /* bytes encoded of the next */
	uint32_t n, next;             /* how many there are; the one to go on with */
	uint8_t raw[CONTENT_PIECE];
	/* What is written next: encoded, with what stands around it in `out`. */
	uint8_t text[CONTENT_PIECE / 3 * 4];
	size_t text_len, text_done; /* written is so much */
	bool plain;                 /* no secret is in it */
};

/* A port or line that stays, or a listener and one connection at a time. */
struct channel {
	struct source listener; /* fd -1 for a port */
	struct source link;     /* port or connection; fd -1 while there is none */
	int next;               /* vsock: the host's next connection, or -1 */
	enum channel_kind kind;
	bool port; /* it stays: CHANNEL_PORT or CHANNEL_SERIAL */
	enum host host;
	struct timer doubt;     /* armed while the host is doubted */
	bool eof;               /* connection: the client will send no more */
	bool cut;               /* a reply has been written in part */
	struct wbuf out;        /* plain, unless an error is in it */
	size_t out_done;        /* bytes of `out` already written, or in `content` */
	struct content content; /* of the last reply in `out` */
	uint8_t in[INPUT_SIZE];
	size_t in_at, in_len; /* input read but not scanned */
	size_t in_top;        /* behind it `in` is all zeroes */
};

struct frontend {
	struct loop loop;
	struct peer worker;
	struct timer abandon;
	struct channel channel;
	struct scan *scan;
	struct bulk bulk;
	struct queue queue;
	struct arena arena;
	/* What is wrong with the request that is looked at; empty again before the next.
	 * Here, since a local would be cleared for each request. */
	struct err error;

	struct policy policy;
	uint32_t generation; /* 0: no policy yet, nothing is read */
	bool frozen;         /* file systems are, by the worker's word */

	uint64_t session; /* of the client that is there, or was last */
	bool session_live;
	uint64_t answered; /* session commands of this session */
	/* Session commands that the worker was not told of yet. */
	uint64_t counts[OP_MAX][SESSION_OUTCOMES];
	struct timer tell_counts;
	uint64_t malformed; /* malformed inputs not yet told to the worker */
	uint64_t malformed_told_ms;
	uint32_t last_request;
};

/* ---- worker.c ---- */

/* What the worker says: callbacks of its peer. With the first policy, reading begins. */
peer_frame_fn worker_frame;
peer_gone_fn worker_gone;

/* ---- content.c ---- */

static inline bool content_waits(const struct content *k)
{
	return k->next < k->n;
}
/* Bytes that were put together and are not written yet. */
static inline size_t content_left(const struct content *k)
{
	return k->text_len - k->text_done;
}
/* Take over the N memfds in FDS, of SIZES bytes; each belongs in front of byte AT of what
 * is written. Nothing may wait. */
void content_put(struct content *k, int *fds, const uint64_t *sizes, const size_t *at,
		 uint32_t n);
/* Put together what comes next: OUT from byte *DONE on, which moves on, and the content
 * in its places. Nothing may be left. -1 with errno: it cannot be read. */
int content_fill(struct content *k, const struct wbuf *out, size_t *done);
/* Write some of what is left to FD: bytes written, or -1 with errno. *CUT: the last of
 * them does not end a reply. */
ssize_t content_write(struct content *k, int fd, bool *cut);
/* DONE bytes of what is written are gone. */
void content_move(struct content *k, size_t done);
/* Nobody reads it any more. */
void content_drop(struct content *k);

/* ---- channel.c ---- */

/* FD is the port, or the listening socket. The channel reads only after channel_go. */
int channel_init(struct frontend *f, int fd, enum channel_kind kind);
int channel_go(struct frontend *f);
/* May a connection from ADDR be served on a channel of KIND? */
struct sockaddr_vm;
bool channel_may_serve(enum channel_kind kind, const struct sockaddr_vm *addr);
/* There is room in the queue again, or output to write. */
int channel_resume(struct frontend *f);
static inline size_t channel_pending(const struct channel *c)
{
	return c->out.len - c->out_done + content_left(&c->content);
}
/* Is so much waiting to be written that nothing more is to be answered? */
static inline bool channel_full(const struct channel *c)
{
	return channel_pending(c) >= OUT_HIGH || content_waits(&c->content);
}

/* ---- request.c: from text to item ---- */

/* The request that the scanner holds. NULL: out of memory. */
struct item *request_item(struct frontend *f);
/* An item that owes the error the scanner found. */
struct item *error_item(struct frontend *f);
void item_free(struct item *it);

/* ---- queue.c ---- */

void queue_init(struct queue *q);
void queue_put(struct frontend *f, struct item *it);
static inline bool queue_full(const struct queue *q)
{
	return q->items >= QUEUE_ITEMS_MAX || q->bytes >= QUEUE_BYTES_MAX;
}
/* Answer what can be answered. */
void queue_pump(struct frontend *f);
/* A REPLY frame of the worker. */
int queue_reply(struct frontend *f, struct frame *frame);
int queue_timer(struct timer *t);
/* Does anything of the present session wait? */
bool queue_owes(const struct frontend *f);

/* ---- session.c ---- */

int session_init(struct frontend *f);
/* Answer a session command: its encoded result goes to OUT. */
void session_answer(struct frontend *f, const struct item *it, struct wbuf *out);
/* Count one: once in an interval the worker is told of how many there were. */
void session_count(struct frontend *f, const struct item *it,
		   enum session_outcome outcome);
void session_begin(struct frontend *f);
void session_end(struct frontend *f);
/* One more malformed input; TEXT is told to the worker at most once a second. */
void session_malformed(struct frontend *f, const char *text);

/* ---- reply.c ---- */

/* BULK: memfds of the bulk values of RESULT, FRAME_FDS_MAX of them, which are taken over;
 * NULL: it has none. */
void reply_result(struct frontend *f, const struct item *it, const struct wbuf *result,
		  int *bulk);
void reply_error(struct frontend *f, const struct item *it, const struct err *e);

/* ---- bulk.c ---- */

void bulk_init(struct bulk *b);
/* The filled memfd, sealed; the caller's from now on. -1 if it cannot be sealed. */
int bulk_take(struct bulk *b);
/* Nobody wants what is there. */
void bulk_drop(struct bulk *b);

/* ---- budget.c ---- */

/* Bound what the JSON tree may take, for good: bytes over all that is allocated. */
void budget_install(size_t bytes);

#endif
