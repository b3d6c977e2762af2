/*
 * inspector/main.c - the inspector: sealed, it answers the worker's questions
 *
 * Runs in:   inspector
 * Input:     frames of the worker; TZ and QGA_OS_RELEASE, set by the administrator
 * May touch: its socket; what an unprivileged user can read
 * Must not:  answer before it is sealed, outlive its worker or the limit of a question
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <linux/netlink.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syslog.h>

#include "inspector/inspector.h"
#include "ipc/launch.h"
#include "ipc/peer.h"
#include "sandbox/sandbox.h"

/* Longest line that the worker passes on. */
#define NOTE_MAX 256

struct server {
	struct inspector in;
	struct loop loop;
	struct peer worker;
	_Alignas(4096) uint8_t arena[INSPECT_ARENA];
};

static void send_error(struct peer *worker, const struct frame *f, const struct err *e)
{
	uint8_t body[ERR_BODY_MAX];
	struct wbuf w = wbuf_fixed(body, sizeof(body));

	err_put(&w, e);
	peer_reply(worker, f->op, f->request, FRAME_ERROR, w.p, w.len);
}

static void send_note(struct inspector *in, struct v_str text)
{
	struct server *s = CONTAINER_OF(in, struct server, in);
	uint8_t body[1 + NOTE_MAX] = {LOG_WARNING};
	size_t len = min_size(text.len, NOTE_MAX);

	memcpy(body + 1, text.p, len);
	peer_send(&s->worker, &(struct frame){.type = FRAME_LOG,
					      .body = body,
					      .len = (uint32_t)(1 + len)});
}

/* What a large answer needed is not kept for the next. */
static void give_back(struct arena *a)
{
	if (a->len > INSPECT_ARENA_KEEP)
		madvise(a->p + INSPECT_ARENA_KEEP, a->cap - INSPECT_ARENA_KEEP,
			MADV_DONTNEED);
}

/* A reply that cannot be sent means that the worker went: its own event says so. */
static int on_frame(struct peer *p, struct frame *f)
{
	struct server *s = CONTAINER_OF(p, struct server, worker);
	CLEANUP(wbuf_free) struct wbuf result = wbuf_growing(REPLY_BODY_MAX);
	const struct op *op = op_by_number(f->op);
	struct rbuf args = rbuf_of(f->body, f->len);
	enum answer answer;
	struct err e = {};

	result.plain = true; /* facts, of which none is a secret */
	if (f->type != FRAME_REQUEST || f->flags || f->n_fds || !op)
		return -EXIT_VIOLATION;
	/* A file system that hangs ends this process; the next one starts clean. */
	alarm(op->limit_s);
	answer = inspect_answer(&s->in, f->op, &args, &result, &e);
	alarm(0);
	if (answer == ANSWER_VIOLATION)
		return -EXIT_VIOLATION;
	if (answer == ANSWER_ERROR)
		send_error(p, f, &e);
	else
		peer_reply(p, f->op, f->request, 0, result.p, result.len);
	give_back(&s->in.arena);
	return 0;
}

static int on_gone(struct peer *p, enum frame_status why)
{
	(void)p;
	return why == FRAME_GONE ? -EXIT_PEER_GONE : -EXIT_VIOLATION;
}

/* Signals as a new process has them, whatever the starter blocked or ignored. */
static void reset_signals(void)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGALRM, SIG_DFL);
	/* A child that goes by itself is nothing to wake for. */
	signal(SIGCHLD, SIG_IGN);
}

static ssize_t net_send(int sock, const struct msghdr *msg)
{
	return sendmsg(sock, msg, 0);
}

static ssize_t net_receive(int sock, struct msghdr *msg)
{
	return recvmsg(sock, msg, 0);
}

static const struct net_ops real_net = {net_send, net_receive};

static int set_up(struct server *s)
{
	s->in = (struct inspector){
		.os_release = getenv("QGA_OS_RELEASE"),
		.tz = getenv("TZ"),
		.net = &real_net,
		/* Opened now: sealed, we make no socket. Without it no network answers.
		 */
		.route = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE),
		.arena = {.p = s->arena, .cap = sizeof(s->arena)},
		.note = send_note,
	};
	reset_signals();
	if (sys_init(&s->in.sys) < 0 || loop_init(&s->loop) < 0)
		return -1;
	/* Not for children: they need none of it, and each page would be copied. */
	madvise(s->arena, sizeof(s->arena), MADV_DONTFORK);
	return peer_open(&s->worker, &s->loop, LAUNCH_FD_SOCKET, on_frame, on_gone);
}

static int seal(struct server *s, const char **step)
{
	*step = "Landlock";
	if (sandbox_beneath(SC_ROLE(SANDBOX_INSPECTOR), s->in.sys.root_fd) < 0)
		return -1;
	return sandbox_enter(SC_ROLE(SANDBOX_INSPECTOR), step);
}

int main(int argc, char **argv)
{
	static struct server server;
	const char *step;
	int r;

	(void)argv;
	if (argc > 1 || !launched()) {
		fputs("postern-inspector: started by postern, not by hand\n", stderr);
		return EXIT_CONFIG;
	}
	if (set_up(&server) < 0) {
		fprintf(stderr, "postern-inspector: cannot start: %s\n", strerror(errno));
		return EXIT_SYSTEM;
	}
	if (seal(&server, &step) < 0) {
		fprintf(stderr, "postern-inspector: %s: %s\n", step, strerror(errno));
		return EXIT_SEAL;
	}
	r = loop_run(&server.loop);
	/* -1 is epoll's own failure; callbacks end the loop with their exit status. */
	return r == -1 ? EXIT_SYSTEM : -r;
}
