/*
 * worker/child.c - op children: one operation each, which may block
 *
 * Runs in:   worker; the handler in the child
 * Input:     the typed request on the way in, REPLY frames of the child on the way out
 * May touch: the child it made
 * Must not:  wait for a child
 */
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "ipc/err.h"
#include "sandbox/sandbox.h"
#include "worker/ops/ops.h"
#include "worker/worker.h"

/* Children that hang where no signal reaches them; beyond, nothing more is started. */
#define CHILDREN_MAX 32

/* A row BY_CHILD without a handler does not compile. */
#define HANDLER_BY_CHILD(tag) [OP_##tag] = child_##tag,
#define HANDLER_BY_NOBODY(tag)
#define HANDLER_BY_FRONTEND(tag)
#define HANDLER_BY_INSPECTOR(tag)
#define HANDLER(tag, number, name, args, result, carrier, ...) HANDLER_##carrier(tag)
static child_fn *const handlers[OP_MAX] = {OP_TABLE(HANDLER)};

/* ---- in the child ---- */

/* The child may wait; so the frame is sent when there is room. */
static void send_waiting(const struct frame *f)
{
	while (frame_send(CHILD_FD_FIRST, f) == FRAME_AGAIN)
		poll(&(struct pollfd){.fd = CHILD_FD_FIRST, .events = POLLOUT}, 1, -1);
}

static void send_result(uint32_t op, uint16_t flags, const struct wbuf *body)
{
	size_t sent = 0;

	do {
		size_t part = min_size(body->len - sent, FRAME_BODY_MAX);
		bool more = sent + part < body->len;

		send_waiting(&(struct frame){
			.type = FRAME_REPLY,
			.op = (uint16_t)op,
			.flags = (uint16_t)(flags | (more ? FRAME_MORE : 0)),
			.body = part ? body->p + sent : NULL,
			.len = (uint32_t)part,
		});
		sent += part;
	} while (sent < body->len);
}

static _Noreturn void run(const struct sys_ops *ops, uint32_t op, const void *args)
{
	const struct sys sys = {.root_fd = CHILD_FD_FIRST + 1, .ops = ops};
	struct wbuf out = wbuf_growing(REPLY_BODY_MAX);
	struct err e = {0};

	if (handlers[op](&sys, args, &out, &e) == 0 && !out.bad) {
		send_result(op, 0, &out);
		_exit(0);
	}
	if (!e.cls)
		err_set(&e, ERR_GENERIC, "the result is too large");
	wbuf_free(&out);
	err_put(&out, &e);
	send_result(op, FRAME_ERROR, &out);
	_exit(0);
}

/* ---- in the worker ---- */

static void drop_socket(struct op_child *c)
{
	int sock = c->reply.fd;

	if (sock < 0)
		return;
	loop_remove(&c->w->loop, &c->reply);
	close_p(&sock);
}

void child_forget(struct op_child *c)
{
	drop_socket(c);
	c->rq = NULL;
	child_kill(&c->child);
}

/* The operation that its child carries out. */
static uint32_t what(const struct request *rq)
{
	return rq->part ? rq->part : rq->op;
}

static void fail(struct op_child *c, const char *why)
{
	struct err e;

	err_set(&e, ERR_GENERIC, "%s: %s", op_by_number(c->rq->op)->name, why);
	request_failed(c->w, c->rq, &e);
}

static int child_reply(struct source *s, uint32_t events)
{
	struct op_child *c = CONTAINER_OF(s, struct op_child, reply);
	uint8_t buf[FRAME_MAX];
	struct frame f;
	enum frame_status status = frame_recv(s->fd, buf, &f);

	(void)events;
	if (status == FRAME_AGAIN)
		return 0;
	if (status == FRAME_OK && f.type == FRAME_REPLY && f.op == what(c->rq) &&
	    !f.n_fds) {
		request_reply(c->w, c->rq, &f);
		return 0;
	}
	if (status == FRAME_OK || status == FRAME_INVALID)
		record_process(c->w, EVENT_CHILD_VIOLATION, "op child",
			       "malformed reply");
	frame_close_fds(&f);
	fail(c, "the operation ended without a result");
	return 0;
}

/* After its last frame was read or its request was over: nothing is left but to free. */
static void child_exited(struct child *child, int code, int status)
{
	struct op_child *c = CONTAINER_OF(child, struct op_child, child);

	if (code == CLD_KILLED && status == SIGSYS)
		record_process(c->w, EVENT_CHILD_VIOLATION, "op child",
			       "system call outside its filter");
	/* It ended between two frames; what it sent is still in the socket. */
	while (c->rq)
		child_reply(&c->reply, EPOLLIN);
	drop_socket(c);
	c->w->children--;
	free(c);
}

static enum fork_side fork_op(struct worker *w, struct op_child *c, struct request *rq,
			      int sock)
{
	const int keep[] = {sock, w->sys.root_fd};
	const uint32_t roles = sandbox_child_roles(what(rq));
	const struct fork_plan plan = {
		.keep = keep,
		/* One that only answers has nothing to open. */
		.n_keep = roles == SC_ROLE(SANDBOX_CHILD) ? 1 : 2,
		.caps = op_by_number(what(rq))->caps,
		.roles = roles,
	};

	return worker_fork(&c->child, &w->loop, &plan, child_exited);
}

static bool start(struct worker *w, struct request *rq, const void *args)
{
	CLEANUP(close_p) int ours = -1;
	CLEANUP(close_p) int theirs = -1;
	CLEANUP(free_p) struct op_child *c = calloc(1, sizeof(*c));
	enum fork_side side;
	int pair[2];

	if (!c || w->children >= CHILDREN_MAX ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return false;
	ours = pair[0];
	theirs = pair[1];
	side = fork_op(w, c, rq, theirs);
	if (side == FORK_CHILD)
		run(w->sys.ops, what(rq), args);
	if (side == FORK_FAILED)
		return false;
	c->w = w;
	c->rq = rq;
	rq->child = c;
	w->children++;
	if (loop_add(&w->loop, &c->reply, ours, EPOLLIN, child_reply) < 0)
		c->reply.fd = -1;
	else
		TAKE_FD(ours);
	TAKE_PTR(c);
	return rq->child->reply.fd >= 0;
}

void child_start(struct worker *w, struct request *rq, const void *args)
{
	struct err e;

	if (start(w, rq, args))
		return;
	err_set(&e, ERR_GENERIC, "%s cannot be started at present",
		op_by_number(rq->op)->name);
	request_failed(w, rq, &e);
}
