/*
 * ipc/peer.c - the other end of a socket: frames in by callback, frames out by queue
 *
 * Runs in:   worker, frontend, inspector
 * Input:     frames of a peer that may be in an attacker's hands
 * May touch: the socket
 * Must not:  block, queue without bound
 */
#include "ipc/peer.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "ipc/ops.h"

struct out_frame {
	struct out_frame *next;
	struct frame f; /* body points behind this struct, descriptors are its own */
};

static void out_free(struct out_frame *o)
{
	frame_close_fds(&o->f);
	/* A request that waited may have held a password. */
	explicit_bzero(o + 1, o->f.len);
	free(o);
}

static void queue_clear(struct peer *p)
{
	while (p->out_head) {
		struct out_frame *o = p->out_head;

		p->out_head = o->next;
		out_free(o);
	}
	p->out_tail = &p->out_head;
	p->out_bytes = 0;
}

void peer_close(struct peer *p)
{
	int fd = p->source.fd;

	if (fd < 0)
		return;
	loop_remove(p->loop, &p->source);
	close_p(&fd);
	queue_clear(p);
	p->dead = true;
}

static int finish(struct peer *p, enum frame_status why)
{
	p->dead = true;
	queue_clear(p);
	return p->on_gone(p, why);
}

bool hello_fits(const struct frame *f)
{
	struct rbuf r = rbuf_of(f->body, f->len);
	uint64_t hash = rbuf_u64(&r);
	uint32_t version = rbuf_u32(&r);

	return f->type == FRAME_HELLO && rbuf_done(&r) && hash == ops_hash() &&
	       version == WIRE_VERSION;
}

struct frame hello_frame(uint8_t body[HELLO_LEN])
{
	struct wbuf w = wbuf_fixed(body, HELLO_LEN);

	wbuf_u64(&w, ops_hash());
	wbuf_u32(&w, WIRE_VERSION);
	return (struct frame){.type = FRAME_HELLO, .body = body, .len = (uint32_t)w.len};
}

static int send_hello(struct peer *p)
{
	uint8_t body[HELLO_LEN];
	struct frame f = hello_frame(body);

	return peer_send(p, &f);
}

static int receive(struct peer *p)
{
	struct frame f;
	enum frame_status status = frame_recv(p->source.fd, p->buf, &f);
	int r = 0;

	if (status == FRAME_AGAIN)
		return 0;
	if (status != FRAME_OK)
		return finish(p, status);
	if (p->greeted && f.type != FRAME_HELLO)
		r = p->on_frame(p, &f);
	else if (!p->greeted && hello_fits(&f))
		p->greeted = true;
	else
		r = finish(p, FRAME_INVALID);
	/* What comes next may be short, or never come. An error may quote a request. */
	if (f.type == FRAME_REQUEST || (f.type == FRAME_REPLY && f.flags & FRAME_ERROR))
		explicit_bzero(p->buf, FRAME_HEAD + f.len);
	frame_close_fds(&f);
	return r;
}

/* Send what is queued until the socket is full. */
static int flush(struct peer *p)
{
	while (p->out_head) {
		struct out_frame *o = p->out_head;
		enum frame_status status = frame_send(p->source.fd, &o->f);

		if (status == FRAME_AGAIN)
			return 0;
		if (status != FRAME_OK) {
			/* It went; what it sent before is still to be read, then its end.
			 */
			queue_clear(p);
			break;
		}
		p->out_head = o->next;
		if (!p->out_head)
			p->out_tail = &p->out_head;
		p->out_bytes -= sizeof(*o) + o->f.len;
		out_free(o);
	}
	return loop_events(p->loop, &p->source, EPOLLIN);
}

static int peer_event(struct source *s, uint32_t events)
{
	struct peer *p = CONTAINER_OF(s, struct peer, source);

	if (p->dead) /* its queue ran over since the last turn */
		return p->on_gone(p, FRAME_INVALID);
	if (events & EPOLLOUT && p->out_head)
		return flush(p);
	return receive(p);
}

int peer_open(struct peer *p, struct loop *loop, int sock, peer_frame_fn *on_frame,
	      peer_gone_fn *on_gone)
{
	CLEANUP(close_p) int fd = sock;

	/* All but the buffer, which is no memory before something comes. */
	memset(p, 0, offsetof(struct peer, buf));
	p->source.fd = -1;
	p->loop = loop;
	p->on_frame = on_frame;
	p->on_gone = on_gone;
	p->out_tail = &p->out_head;
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0 ||
	    loop_add(loop, &p->source, fd, EPOLLIN, peer_event) < 0)
		return -1;
	TAKE_FD(fd);
	/* A peer that went already is noticed by the first receive, in the loop. */
	send_hello(p);
	return 0;
}

static bool copy_fds(struct frame *to, const struct frame *from)
{
	for (size_t i = 0; i < from->n_fds; i++) {
		to->fds[i] = fcntl(from->fds[i], F_DUPFD_CLOEXEC, 0);
		if (to->fds[i] < 0)
			return false;
	}
	return true;
}

/* A copy of F with descriptors of its own, or NULL. */
static struct out_frame *out_copy(const struct frame *f)
{
	struct out_frame *o = malloc(sizeof(*o) + f->len);

	if (!o)
		return NULL;
	o->next = NULL;
	o->f = *f;
	o->f.fds[0] = o->f.fds[1] = -1;
	o->f.body = (const uint8_t *)(o + 1);
	if (f->len)
		memcpy(o + 1, f->body, f->len);
	if (copy_fds(&o->f, f))
		return o;
	out_free(o);
	return NULL;
}

/* Keep a copy of F for later; a peer to which nothing more can be queued is given up. */
static int enqueue(struct peer *p, const struct frame *f)
{
	size_t bytes = sizeof(struct out_frame) + f->len;
	struct out_frame *o = p->out_bytes + bytes > PEER_QUEUE_MAX ? NULL : out_copy(f);

	if (o) {
		*p->out_tail = o;
		p->out_tail = &o->next;
		p->out_bytes += bytes;
	} else {
		/*
		 * on_gone must not come from within the caller's send: by the loop. A
		 * peer that neither reads nor writes gives it no event, so we hang up.
		 */
		p->dead = true;
		queue_clear(p);
		shutdown(p->source.fd, SHUT_RDWR);
	}
	loop_events(p->loop, &p->source, EPOLLIN | EPOLLOUT);
	return o ? 0 : -1;
}

int peer_send(struct peer *p, const struct frame *f)
{
	enum frame_status status;

	if (p->dead || !peer_is_open(p))
		return -1;
	if (p->out_head)
		return enqueue(p, f);
	status = frame_send(p->source.fd, f);
	if (status == FRAME_AGAIN)
		return enqueue(p, f);
	/* A peer that went is noticed by the next receive, in the loop. */
	return status == FRAME_OK ? 0 : -1;
}

int peer_reply(struct peer *p, uint16_t op, uint32_t request, uint16_t flags,
	       const void *body, size_t len)
{
	const uint8_t *at = body;

	for (;;) {
		size_t part = min_size(len, FRAME_BODY_MAX);
		bool more = part < len;
		struct frame f = {
			.type = FRAME_REPLY,
			.op = op,
			.request = request,
			.flags = (uint16_t)(flags | (more ? FRAME_MORE : 0)),
			.body = at,
			.len = (uint32_t)part,
		};

		if (peer_send(p, &f) < 0)
			return -1;
		if (!more)
			return 0;
		at += part;
		len -= part;
	}
}
