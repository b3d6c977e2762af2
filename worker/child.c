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
#include "ipc/memfd.h"
#include "sandbox/sandbox.h"
#include "worker/ops/ops.h"
#include "worker/ops/talk.h"
#include "worker/worker.h"

/* Children that hang where no signal reaches them; beyond, nothing more is started. */
#define CHILDREN_MAX 32
/* Of these, such as hang in a file system; the rest is for what does not look at any. */
#define LOOKING_MAX 12

/* A row BY_CHILD without a handler does not compile. */
#define HANDLER_BY_CHILD(tag) [OP_##tag] = child_##tag,
#define HANDLER_BY_NOBODY(tag)
#define HANDLER_BY_FRONTEND(tag)
#define HANDLER_BY_INSPECTOR(tag)
#define HANDLER_BY_HANDLE(tag)
#define HANDLER_BY_SPAWNER(tag)
#define HANDLER_BY_FREEZE(tag)
#define HANDLER_BY_STEPS(tag)
#define HANDLER(tag, number, name, args, result, carrier, ...) HANDLER_##carrier(tag)
static child_fn *const handlers[OP_MAX] = {OP_TABLE(HANDLER)};

/* ---- in the child ---- */

static _Noreturn void run(const struct sys_ops *ops, uint32_t op, const void *args)
{
	const struct sys sys = {.root_fd = CHILD_FD_FIRST + 1, .ops = ops};
	struct wbuf out = wbuf_growing(REPLY_BODY_MAX);
	struct err e = {0};

	if (handlers[op](&sys, args, &out, &e) == 0 && !out.bad) {
		talk_result(op, 0, &out);
		_exit(0);
	}
	if (!e.cls)
		err_set(&e, ERR_GENERIC, "the result is too large");
	talk_error(op, &e);
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
	if (c->handle)
		handle_gone(c, "revoked");
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

/* It has looked and asks: may it be opened? It goes on, or the request has ended. */
static bool found_file(struct op_child *c, const struct frame *f)
{
	uint8_t buf[1024];
	struct wbuf body = wbuf_fixed(buf, sizeof(buf));
	struct rbuf r = rbuf_of(f->body, f->len);
	struct arena none = {0};
	struct msg_may_open may;
	struct msg_found msg;
	struct policy_answer a;

	if (!c->rq->undecided || schema_whole(&r, &schema_found, &none, &msg) < 0)
		return false;
	/* Neither made nor truncated, if it could not stay open. */
	if (!handle_room(c->w, c->rq) || !gate_found(c->w, c->rq, &msg, &a))
		return true;
	handle_limits(&c->rq->gen->policy, &a, &may);
	schema_put(&body, &schema_may_open, &may);
	/* The socket is empty; what cannot be sent has nobody to go to. */
	return !body.bad && frame_send(c->reply.fd, &(struct frame){
							    .type = FRAME_GO,
							    .body = body.p,
							    .len = (uint32_t)body.len,
						    }) == FRAME_OK;
}

/* What is about to be changed; it goes on, or the request has ended. */
static bool found_change(struct op_child *c, const struct frame *f)
{
	struct rbuf r = rbuf_of(f->body, f->len);
	struct policy_object object = {.exists = true};
	struct arena none = {0};
	struct msg_change change;
	struct policy_answer a;

	if (!c->rq->undecided || schema_whole(&r, &schema_change, &none, &change) < 0)
		return false;
	object.step = change.step.v;
	/* Where nothing is taken away, enough is left. */
	object.left = change.left.set ? change.left.v : UINT64_MAX;
	if (!gate_object(c->w, c->rq, &object, 0, &a))
		return true;
	record_change(c->w, c->rq, &object);
	return frame_send(c->reply.fd, &(struct frame){.type = FRAME_GO}) == FRAME_OK;
}

/* Operations whose child asks on its way. */
static bool (*const founds[OP_MAX])(struct op_child *c, const struct frame *f) = {
	[OP_file_open] = found_file,   [OP_set_time] = found_change,
	[OP_set_vcpus] = found_change, [OP_set_memory_blocks] = found_change,
	[OP_fs_list] = freeze_found,   [OP_fstrim] = freeze_found,
};

/* Content goes beside the answer to a read, and to nothing else; and it is content. */
static bool fds_fit(const struct frame *f)
{
	if (!f->n_fds)
		return true;
	return f->op == OP_file_read && f->n_fds == 1 &&
	       memfd_sealed_size(f->fds[0]) >= 0;
}

/* None opens a file without having asked, and who has one open answers at once. */
static bool is_timely(const struct op_child *c, const struct frame *f)
{
	if (c->handle)
		return !(f->flags & FRAME_MORE);
	return f->op != OP_file_open || f->flags & FRAME_ERROR || !c->rq->undecided;
}

/* A frame as it may come from C at this point. */
static bool take(struct op_child *c, struct frame *f)
{
	if (!c->rq || f->op != what(c->rq))
		return false;
	if (f->type == FRAME_FOUND)
		return founds[f->op] && founds[f->op](c, f);
	if (f->type == FRAME_HOLD)
		return f->op == OP_fs_list && freeze_held(c, f);
	if (f->type != FRAME_REPLY || !fds_fit(f) || !is_timely(c, f))
		return false;
	request_reply(c->w, c->rq, f);
	return true;
}

static int child_reply(struct source *s, uint32_t events)
{
	struct op_child *c = CONTAINER_OF(s, struct op_child, reply);
	struct worker *w = c->w;
	struct frame f;
	enum frame_status status = frame_recv(s->fd, w->child_frame, &f);
	bool good = status == FRAME_OK && take(c, &f);

	(void)events;
	/* An error may quote its request. */
	if (status == FRAME_OK && f.flags & FRAME_ERROR)
		explicit_bzero(w->child_frame, FRAME_HEAD + f.len);
	frame_close_fds(&f);
	if (status == FRAME_AGAIN || good)
		return 0;
	if (status != FRAME_GONE)
		record_process(c->w, EVENT_CHILD_VIOLATION, "op child",
			       "malformed reply");
	if (c->rq)
		fail(c, "the operation ended without a result");
	else
		child_forget(c);
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
	child_forget(c);
	c->w->children--;
	c->w->looking -= c->looks;
	c->w->leaving -= c->leaves;
	free(c);
}

struct fork_plan child_plan(struct fences *fences, uint32_t op, const int keep[2])
{
	const uint32_t roles = sandbox_child_roles(op);

	return (struct fork_plan){
		.keep = keep,
		/* One that only answers has nothing to open. */
		.n_keep = roles == SC_ROLE(SANDBOX_CHILD) ? 1 : 2,
		.caps = op_by_number(op)->caps,
		.roles = roles,
		.fences = fences,
	};
}

static enum fork_side fork_op(struct worker *w, struct op_child *c, struct request *rq,
			      int sock)
{
	const int keep[] = {sock, w->sys.root_fd};
	const struct fork_plan plan = child_plan(&w->fences, what(rq), keep);

	return worker_fork(&c->child, &w->loop, &plan, child_exited);
}

static bool looks(uint32_t op)
{
	return sandbox_child_roles(op) & (SC_ROLE(SANDBOX_LOOK) | SC_ROLE(SANDBOX_HOME));
}

static bool is_full(const struct worker *w, uint32_t op)
{
	/* A thaw is never too much. */
	if (op_by_number(op)->flags & OPF_FROZEN_OK)
		return false;
	/* Of a crowd of files that was closed a busy machine sees the end much later. */
	return w->children - w->files - w->leaving >= CHILDREN_MAX ||
	       w->leaving >= HANDLES_MAX || (looks(op) && w->looking >= LOOKING_MAX);
}

static bool start(struct worker *w, struct request *rq, const void *args)
{
	CLEANUP(close_p) int ours = -1;
	CLEANUP(close_p) int theirs = -1;
	CLEANUP(free_p) struct op_child *c = calloc(1, sizeof(*c));
	enum fork_side side;
	int pair[2];

	if (!c || is_full(w, what(rq)) ||
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
	c->looks = looks(what(rq));
	rq->child = c;
	w->children++;
	w->looking += c->looks;
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
