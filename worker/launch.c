/*
 * worker/launch.c - the supervisor's socket: the programs we speak with come by it
 *
 * Runs in:   worker
 * Input:     one byte and one descriptor per message, from the supervisor, which is
 *            trusted; frames of the programs behind them, which are not
 * May touch: the sockets it is handed
 * Must not:  outlive the supervisor
 */
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "ipc/launch.h"
#include "worker/worker.h"

/* ---- the frontend ---- */

static int frontend_lost(struct worker *w, const char *why)
{
	if (why) {
		record_process(w, EVENT_CHILD_VIOLATION, "frontend", why);
		worker_log(w, "frontend: %s; it is replaced", why);
	}
	/* The supervisor sees the socket closed, ends the program and sends another. */
	peer_close(&w->frontend);
	requests_orphan(w);
	return 0;
}

static int abandon(struct worker *w, struct frame *f)
{
	request_abandon(w, f->request);
	return 0;
}

static int log_line(struct worker *w, struct frame *f)
{
	worker_log_for(w, "postern-frontend", f);
	return 0;
}

static int frontend_frame(struct peer *p, struct frame *f)
{
	static int (*const handlers[FRAME_TYPE_END])(struct worker * w,
						     struct frame * f) = {
		[FRAME_REQUEST] = gate_request,
		[FRAME_ABANDON] = abandon,
		[FRAME_SESSION] = record_session,
		[FRAME_LOG] = log_line,
	};
	struct worker *w = CONTAINER_OF(p, struct worker, frontend);

	if (handlers[f->type] && handlers[f->type](w, f) == 0)
		return 0;
	return frontend_lost(w, "malformed or illegal message");
}

static int frontend_gone(struct peer *p, enum frame_status why)
{
	struct worker *w = CONTAINER_OF(p, struct worker, frontend);

	return frontend_lost(w, why == FRAME_INVALID ? "malformed frame" : NULL);
}

void launch_send_policy(struct worker *w, struct peer *p)
{
	uint8_t size[4];
	struct wbuf body = wbuf_fixed(size, sizeof(size));
	struct frame f = {
		.type = FRAME_POLICY,
		.generation = w->gen->number,
		.body = size,
		.len = sizeof(size),
		.n_fds = 1,
		.fds = {w->gen->fd, -1},
	};

	wbuf_u32(&body, (uint32_t)w->gen->size);
	peer_send(p, &f);
}

/* The frontend decides by the same bytes as we do, under the same number. */
void launch_policy(struct worker *w)
{
	launch_send_policy(w, &w->frontend);
}

static int new_frontend(struct worker *w, int sock)
{
	if (w->had_frontend)
		record_process(w, EVENT_CHILD_RESTART, "frontend", "started again");
	w->had_frontend = true;
	frontend_lost(w, NULL);
	w->last_id = 0;
	if (peer_open(&w->frontend, &w->loop, sock, frontend_frame, frontend_gone) < 0)
		return -1;
	/* Before the policy, with which it begins to read. */
	if (freeze_is_on(&w->freeze))
		freeze_tell(w);
	launch_policy(w);
	return 0;
}

/* ---- the inspector ---- */

int inspector_lost(struct worker *w, const char *why)
{
	if (why) {
		record_process(w, EVENT_CHILD_VIOLATION, "inspector", why);
		worker_log(w, "inspector: %s; it is replaced", why);
	}
	peer_close(&w->inspector);
	ask_lost(w);
	return 0;
}

static int inspector_frame(struct peer *p, struct frame *f)
{
	struct worker *w = CONTAINER_OF(p, struct worker, inspector);

	if (f->type == FRAME_LOG) {
		worker_log_for(w, "postern-inspector", f);
		return 0;
	}
	return ask_reply(w, f) < 0 ? inspector_lost(w, "illegal reply") : 0;
}

static int inspector_gone(struct peer *p, enum frame_status why)
{
	struct worker *w = CONTAINER_OF(p, struct worker, inspector);

	return inspector_lost(w, why == FRAME_INVALID ? "malformed frame" : NULL);
}

static int new_inspector(struct worker *w, int sock)
{
	if (w->had_inspector)
		record_process(w, EVENT_CHILD_RESTART, "inspector", "started again");
	w->had_inspector = true;
	inspector_lost(w, NULL);
	if (peer_open(&w->inspector, &w->loop, sock, inspector_frame, inspector_gone) < 0)
		return -1;
	ask_again(w);
	return 0;
}

/* ---- the spawner ---- */

int spawner_lost(struct worker *w, const char *why)
{
	if (why) {
		record_process(w, EVENT_CHILD_VIOLATION, "spawner", why);
		worker_log(w, "spawner: %s; it is replaced", why);
	}
	peer_close(&w->spawner);
	programs_lost(w);
	return 0;
}

static int spawner_frame(struct peer *p, struct frame *f)
{
	struct worker *w = CONTAINER_OF(p, struct worker, spawner);

	if (f->type == FRAME_LOG) {
		worker_log_for(w, "postern-spawner", f);
		return 0;
	}
	return program_frame(w, f) < 0 ? spawner_lost(w, "illegal message") : 0;
}

static int spawner_gone(struct peer *p, enum frame_status why)
{
	struct worker *w = CONTAINER_OF(p, struct worker, spawner);

	return spawner_lost(w, why == FRAME_INVALID ? "malformed frame" : NULL);
}

static int new_spawner(struct worker *w, int sock)
{
	if (w->had_spawner)
		record_process(w, EVENT_CHILD_RESTART, "spawner", "started again");
	w->had_spawner = true;
	spawner_lost(w, NULL);
	if (peer_open(&w->spawner, &w->loop, sock, spawner_frame, spawner_gone) < 0)
		return -1;
	programs_again(w);
	return 0;
}

/* ---- the supervisor ---- */

/*
 * One byte, one descriptor, which may have been lost on the way (no room in our table).
 * Returns the byte, 0 at the end of the stream, -1 if there is none at present.
 */
static int receive(int sock, int *fd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	char byte = 0;
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	ssize_t n = recvmsg(sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *c;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return -1;
	if (n <= 0)
		return 0;
	c = CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
		memcpy(fd, CMSG_DATA(c), sizeof(*fd));
	return byte;
}

static int launch_event(struct source *s, uint32_t events)
{
	struct worker *w = CONTAINER_OF(s, struct worker, launch);
	CLEANUP(close_p) int fd = -1;
	int what = receive(s->fd, &fd);

	(void)events;
	if (what < 0)
		return 0;
	/* The end of its socket is the supervisor's death, by which no freeze ends. */
	if (what == 0 && w->stopping)
		return loop_remove(&w->loop, s), 0;
	if (what == 0 || (what == LAUNCH_MSG_STOP && !w->gen))
		return loop_stop(&w->loop, EXIT_CLEAN), 0;
	if (what == LAUNCH_MSG_STOP)
		return freeze_stop(w), 0;
	if (what == LAUNCH_MSG_RELOAD)
		return reload_ask(w), 0;
	if (fd < 0)
		return -1; /* out of descriptors: a worker started anew has none yet */
	if (what == LAUNCH_MSG_FRONTEND)
		return new_frontend(w, TAKE_FD(fd));
	if (what == LAUNCH_MSG_SPAWNER)
		return new_spawner(w, TAKE_FD(fd));
	if (what == LAUNCH_MSG_READER)
		return reload_reader(w, TAKE_FD(fd));
	return new_inspector(w, TAKE_FD(fd));
}

static int say(struct worker *w, char byte)
{
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	return sendmsg(w->launch.fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) == 1 ? 0 : -1;
}

/* That our loop turns; who is not heard of is replaced by the service manager. */
static int on_alive(struct timer *t)
{
	struct worker *w = CONTAINER_OF(t, struct worker, alive);

	say(w, LAUNCH_MSG_ALIVE); /* a supervisor that is behind has some of ours */
	return timer_arm_ms(t, w->alive_ms);
}

int launch_init(struct worker *w)
{
	w->frontend.source.fd = w->inspector.source.fd = -1;
	w->spawner.source.fd = w->reader.source.fd = -1;
	if (w->alive_ms && timer_init(&w->loop, &w->alive, on_alive) < 0)
		return -1;
	return loop_add(&w->loop, &w->launch, LAUNCH_FD_SOCKET, EPOLLIN, launch_event);
}

int launch_ready(struct worker *w, bool run)
{
	if (w->alive_ms && timer_arm_ms(&w->alive, w->alive_ms) < 0)
		return -1;
	return say(w, run ? LAUNCH_MSG_READY_RUN : LAUNCH_MSG_READY);
}
