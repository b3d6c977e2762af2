/*
 * ipc/frame.c - one message on a SOCK_SEQPACKET socket between two of our processes
 *
 * Runs in:   worker, frontend, inspector, op children
 * Input:     frames of a peer that may be in an attacker's hands
 * May touch: the socket
 * Must not:  block, believe a length, keep a descriptor that was not announced
 */
#include "ipc/frame.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

static const struct allowed {
	uint16_t fds;
	uint16_t flags;
} allowed[FRAME_TYPE_END] = {
#define FRAME_ROW(tag, number, fds, flags) [number] = {fds, flags},
	FRAME_TABLE(FRAME_ROW)};

void frame_head(const struct frame *f, uint8_t head[FRAME_HEAD])
{
	struct wbuf w = wbuf_fixed(head, FRAME_HEAD);

	wbuf_u16(&w, f->type);
	wbuf_u16(&w, f->op);
	wbuf_u32(&w, f->request);
	wbuf_u32(&w, f->generation);
	wbuf_u16(&w, f->flags);
	wbuf_u16(&w, f->n_fds);
	wbuf_u32(&w, f->len);
}

/*
 * Each in its place; a body in a descriptor needs one. A fragment before the last has
 * content, or they could go on for ever, and an error is always whole.
 */
static bool flags_fit(const struct frame *f)
{
	return !(f->flags & ~allowed[f->type].flags) &&
	       (!(f->flags & FRAME_BODY_FD) || f->n_fds > 0) &&
	       (!(f->flags & FRAME_MORE) || (f->len > 0 && !(f->flags & FRAME_ERROR)));
}

/* The header in BUF, held against what really arrived: LEN bytes, F->n_fds descriptors.
 */
static bool head_fits(struct frame *f, const uint8_t *buf, size_t len)
{
	struct rbuf r = rbuf_of(buf, len);
	uint16_t announced;

	f->type = rbuf_u16(&r);
	f->op = rbuf_u16(&r);
	f->request = rbuf_u32(&r);
	f->generation = rbuf_u32(&r);
	f->flags = rbuf_u16(&r);
	announced = rbuf_u16(&r);
	f->len = rbuf_u32(&r);
	f->body = r.p;
	return !r.bad && rbuf_left(&r) == f->len && announced == f->n_fds &&
	       f->type > 0 && f->type < FRAME_TYPE_END &&
	       f->n_fds <= allowed[f->type].fds && flags_fit(f);
}

/* Take over every descriptor that came along; what exceeds our room is closed at once. */
static bool take_fds(struct msghdr *msg, struct frame *f)
{
	bool room = true;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
			if (f->n_fds < FRAME_FDS_MAX) {
				f->fds[f->n_fds++] = fd;
			} else {
				close(fd);
				room = false;
			}
		}
	}
	return room && !(msg->msg_flags & (MSG_TRUNC | MSG_CTRUNC));
}

void frame_close_fds(struct frame *f)
{
	for (size_t i = 0; i < FRAME_FDS_MAX; i++)
		close_p(&f->fds[i]);
}

enum frame_status frame_recv(int sock, uint8_t *buf, struct frame *f)
{
	/* Room for more than may come, so that all that came is seen and closed. */
	union {
		char bytes[CMSG_SPACE(sizeof(int) * 8)];
		struct cmsghdr align;
	} control;
	struct iovec iov = {.iov_base = buf, .iov_len = FRAME_MAX};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	ssize_t n;

	*f = (struct frame){.fds = {-1, -1}};
	do {
		n = recvmsg(sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? FRAME_AGAIN : FRAME_GONE;
	/* An empty packet cannot be told from the end of the stream; none is sent. */
	if (n == 0 && !msg.msg_controllen)
		return FRAME_GONE;
	if (take_fds(&msg, f) && head_fits(f, buf, (size_t)n))
		return FRAME_OK;
	frame_close_fds(f);
	return FRAME_INVALID;
}

static void attach_fds(struct msghdr *msg, char *control, const struct frame *f)
{
	struct cmsghdr *c;

	msg->msg_control = control;
	msg->msg_controllen = CMSG_SPACE(sizeof(int) * f->n_fds);
	c = CMSG_FIRSTHDR(msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int) * f->n_fds);
	memcpy(CMSG_DATA(c), f->fds, sizeof(int) * f->n_fds);
}

enum frame_status frame_send(int sock, const struct frame *f)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * FRAME_FDS_MAX)];
		struct cmsghdr align;
	} control = {0};
	uint8_t head[FRAME_HEAD];
	struct iovec iov[] = {
		{.iov_base = head, .iov_len = sizeof(head)},
		{.iov_base = (void *)(uintptr_t)f->body, .iov_len = f->len},
	};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = f->len ? 2 : 1};
	ssize_t n;

	if (f->len > FRAME_BODY_MAX || f->n_fds > FRAME_FDS_MAX)
		return FRAME_INVALID;
	frame_head(f, head);
	if (f->n_fds)
		attach_fds(&msg, control.bytes, f);
	do {
		n = sendmsg(sock, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	if (n >= 0)
		return FRAME_OK;
	/* Short of memory is as good as full: there will be room again. */
	return errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM ? FRAME_AGAIN
								      : FRAME_GONE;
}

void err_put(struct wbuf *w, const struct err *e)
{
	wbuf_u8(w, (uint8_t)e->cls);
	wbuf_text(w, e->desc);
}

void err_get(struct err *e, const uint8_t *body, size_t len)
{
	struct rbuf r = rbuf_of(body, len);
	uint8_t cls = rbuf_u8(&r);
	size_t text = min_size(rbuf_left(&r), ERR_DESC_MAX - 1);

	*e = (struct err){.cls = cls == ERR_NOT_FOUND ? ERR_NOT_FOUND : ERR_GENERIC};
	if (text)
		memcpy(e->desc, r.p, text);
	else
		err_fill(e, e->cls, "the operation failed");
}
