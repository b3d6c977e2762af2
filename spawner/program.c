/*
 * spawner/program.c - a program from its start until its result was fetched
 *
 * Runs in:   spawner
 * Input:     what the worker has decided on; output and end of the program
 * May touch: the programs that it started
 * Must not:  signal by a number that may be somebody else's by now
 *
 * A program leads a session and a process group of its own. It has ended when it was
 * reaped; its result stands when its pipes are closed as well, or PIPES_MS later: others
 * may hold them for as long as they like.
 */
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "ipc/body.h"
#include "ipc/memfd.h"
#include "spawner/spawner.h"

/* Read and decode the request in F. The body B holds its texts. */
static int decode(struct spawner *s, const struct frame *f, const struct schema *schema,
		  struct body *b, void *msg)
{
	struct arena arena = {.p = s->arena, .cap = sizeof(s->arena)};

	if (body_open(f, b) < 0 || schema_get(&b->r, schema, &arena, msg) < 0)
		return -1;
	return rbuf_done(&b->r) ? 0 : -1;
}

static void refuse(struct spawner *s, uint32_t op, uint32_t request, const char *name,
		   int errnum)
{
	uint8_t buf[ERR_BODY_MAX];
	struct wbuf body = wbuf_fixed(buf, sizeof(buf));
	struct err e;

	if (op == OP_exec)
		err_fill(&e, ERR_GENERIC,
			 "Guest agent command failed, error was 'Failed to execute child "
			 "process \xe2\x80\x9c%s\xe2\x80\x9d (%s)'",
			 name, strerror(errnum));
	else
		err_fill(&e, ERR_GENERIC, "Invalid parameter 'pid'");
	err_put(&body, &e);
	peer_reply(&s->worker, (uint16_t)op, request, FRAME_ERROR, body.p, body.len);
}

static struct program *find(struct spawner *s, pid_t pid)
{
	for (struct program *p = s->programs; p; p = p->next)
		if (p->pid == pid && p->stage != STARTING && !p->forgotten)
			return p;
	return NULL;
}

static void drop_source(struct loop *l, struct source *source)
{
	int fd = source->fd;

	if (fd < 0)
		return;
	loop_remove(l, source);
	close_p(&fd);
}

static void drop(struct program *p)
{
	struct spawner *s = p->s;
	struct program **at = &s->programs;

	while (*at && *at != p)
		at = &(*at)->next;
	if (*at)
		*at = p->next;
	drop_source(&s->loop, &p->process);
	drop_source(&s->loop, &p->started);
	drop_source(&s->loop, &p->input);
	close_p(&p->input_fd);
	stream_drop(&p->out, s);
	stream_drop(&p->err, s);
	timer_done(&s->loop, &p->timer);
	cgroup_done(&s->cgroups, &p->cgroup);
	free(p->name);
	free(p);
}

/* ---- its end ---- */

/* Only while it is not reaped: its number, and so that of its group, is its own. */
static void signal_group(const struct program *p, int sig)
{
	/* Until it leads a group it is alone. */
	if ((p->stage < ENDED || p->unreaped) && kill(-p->pid, sig) < 0)
		kill(p->pid, sig);
	if (sig == SIGKILL)
		cgroup_kill(&p->cgroup);
}

static void tell_end(struct program *p)
{
	uint8_t buf[128];
	struct wbuf body = wbuf_fixed(buf, sizeof(buf));
	struct msg_ended end = {
		.pid = V_INT(p->pid),
		.timed_out = V_BOOL(p->timed_out),
		.out_bytes = V_U64(p->out.seen + p->err.seen),
		.truncated = V_BOOL(p->out.truncated || p->err.truncated),
	};

	if (p->code == CLD_EXITED)
		end.exitcode = V_INT(p->status);
	else
		end.signal = V_INT(p->status);
	schema_put(&body, &schema_ended, &end);
	peer_send(&p->s->worker, &(struct frame){
					 .type = FRAME_ENDED,
					 .body = body.p,
					 .len = (uint32_t)body.len,
				 });
}

/* Does it end with the agent, and has it or its group not done so yet? */
static bool is_under_way(const struct program *p)
{
	return !p->keep && (p->stage < ENDED || p->unreaped);
}

static void stop_if_done(struct spawner *s)
{
	for (struct program *p = s->programs; s->stopping && p; p = p->next)
		if (is_under_way(p))
			return;
	if (s->stopping)
		programs_kill(s);
}

/* The result stands: nothing of what is still written belongs to it. */
static int settle(struct program *p)
{
	p->stage = SETTLED;
	drop_source(&p->s->loop, &p->input);
	stream_settle(&p->out);
	stream_settle(&p->err);
	tell_end(p);
	/* As long as it is not reaped the timer is its group's. */
	return p->unreaped ? 0 : timer_arm_ms(&p->timer, AGE_MS);
}

static int settle_if_done(struct program *p)
{
	if (p->stage != ENDED || p->out.pipe.fd >= 0 || p->err.pipe.fd >= 0)
		return 0;
	return settle(p);
}

static source_fn on_started;

static int on_end(struct source *source, uint32_t events)
{
	struct program *p = CONTAINER_OF(source, struct program, process);
	siginfo_t info = {0};
	bool told;

	/* It may have ended before we came to look whether it began. */
	if (p->stage == STARTING)
		return on_started(&p->started, events);
	/* What it was told its group was told, which has its time all the same. Until
	 * that is over the number has to stay theirs. */
	told = p->stage == TERMINATED;
	if (waitid(P_PIDFD, (id_t)source->fd, &info,
		   WEXITED | WNOHANG | (told ? WNOWAIT : 0)) < 0 ||
	    !info.si_pid)
		return 0;
	drop_source(&p->s->loop, source);
	p->code = info.si_code;
	p->status = info.si_status;
	p->unreaped = told;
	p->stage = ENDED;
	stop_if_done(p->s);
	if (!told && timer_arm_ms(&p->timer, PIPES_MS) < 0)
		return -1;
	return settle_if_done(p);
}

/* The time of its group is over, and with it that of the pipes. */
static int reap(struct program *p)
{
	signal_group(p, SIGKILL);
	waitid(P_PID, (id_t)p->pid, NULL, WEXITED);
	p->unreaped = false;
	if (p->forgotten)
		return drop(p), 0;
	return p->stage == ENDED ? settle(p) : timer_arm_ms(&p->timer, AGE_MS);
}

static int terminate(struct program *p)
{
	p->stage = TERMINATED;
	signal_group(p, SIGTERM);
	return timer_arm_ms(&p->timer, KILL_MS);
}

static int on_timer(struct timer *t)
{
	struct program *p = CONTAINER_OF(t, struct program, timer);

	if (p->stage == RUNNING) {
		p->timed_out = true;
		return terminate(p);
	}
	if (p->unreaped)
		return reap(p);
	if (p->stage == STARTING || p->stage == TERMINATED)
		signal_group(p, SIGKILL);
	else if (p->stage == ENDED)
		return settle(p);
	else if (p->stage == SETTLED)
		drop(p);
	return 0;
}

/* ---- its pipes ---- */

static int on_stream(struct program *p, struct stream *st)
{
	return stream_read(st, p->s, p->output_max) ? 0 : settle_if_done(p);
}

static int on_out(struct source *s, uint32_t events)
{
	struct stream *st = CONTAINER_OF(s, struct stream, pipe);

	(void)events;
	return on_stream(CONTAINER_OF(st, struct program, out), st);
}

static int on_err(struct source *s, uint32_t events)
{
	struct stream *st = CONTAINER_OF(s, struct stream, pipe);

	(void)events;
	return on_stream(CONTAINER_OF(st, struct program, err), st);
}

/* As much as fits; a program that reads no more gets no more. */
static int on_input(struct source *source, uint32_t events)
{
	struct program *p = CONTAINER_OF(source, struct program, input);
	ssize_t n = sendfile(source->fd, p->input_fd, &p->input_at, 1024 * 1024);

	(void)events;
	if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
		return 0;
	drop_source(&p->s->loop, source);
	close_p(&p->input_fd);
	return 0;
}

/* ---- its start ---- */

static int on_started(struct source *source, uint32_t events)
{
	struct program *p = CONTAINER_OF(source, struct program, started);
	struct spawner *s = p->s;
	uint8_t buf[PATH_MAX + 64];
	struct wbuf body = wbuf_fixed(buf, sizeof(buf));
	struct msg_spawned got = {.pid = V_INT(p->pid)};
	char unit[PATH_MAX + sizeof(p->cgroup.name) + 1];
	int errnum = 0;
	ssize_t n = read(source->fd, &errnum, sizeof(errnum));

	(void)events;
	drop_source(&s->loop, source);
	if (n != 0) {
		refuse(s, OP_exec, p->request, p->name, n < 0 ? errno : errnum);
		signal_group(p, SIGKILL);
		waitid(P_PID, (id_t)p->pid, NULL, WEXITED);
		drop(p);
		return 0;
	}
	p->stage = RUNNING;
	snprintf(unit, sizeof(unit), "%s/%s", s->cgroups.path, p->cgroup.name);
	if (p->cgroup.name[0])
		got.unit = v_str(unit);
	schema_put(&body, &schema_spawned, &got);
	peer_reply(&s->worker, OP_exec, p->request, 0, body.p, body.len);
	return p->timeout_ms ? timer_arm_ms(&p->timer, p->timeout_ms)
			     : timer_disarm(&p->timer);
}

/* fork(2) that hands out the pidfd, into a cgroup (Linux 5.7). */
static pid_t fork_into(const struct cgroup *c, int *pidfd)
{
	struct clone_args args = {
		.flags = CLONE_PIDFD | (c->fd >= 0 ? CLONE_INTO_CGROUP : 0),
		.pidfd = (uintptr_t)pidfd,
		.exit_signal = SIGCHLD,
		.cgroup = (uint64_t)(c->fd < 0 ? 0 : c->fd),
	};

	return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

/* Both ends of each pipe; ours do not block. */
struct pipes {
	int in[2], out[2], err[2], status[2];
};

static void pipes_close(struct pipes *p)
{
	int *all[] = {p->in, p->out, p->err, p->status};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		close_p(&all[i][0]);
		close_p(&all[i][1]);
	}
}

static int make(int pair[2], bool wanted, int ours)
{
	if (!wanted)
		return 0;
	return pipe2(pair, O_CLOEXEC) == 0 && fcntl(pair[ours], F_SETFL, O_NONBLOCK) == 0
		       ? 0
		       : -1;
}

static int pipes_make(struct pipes *p, const struct msg_spawn *what)
{
	/* What each way of capturing reads (protocol 3.36), by enum capture. */
	static const struct {
		bool out, err;
	} captured[] = {
		[CAPTURE_STDOUT] = {true, false}, [CAPTURE_STDERR] = {false, true},
		[CAPTURE_BOTH] = {true, true},    [CAPTURE_MERGED] = {true, false},
		[CAPTURE_NONE] = {false, false},
	};
	bool out = captured[what->capture.v].out, err = captured[what->capture.v].err;

	*p = (struct pipes){{-1, -1}, {-1, -1}, {-1, -1}, {-1, -1}};
	if (make(p->status, true, 0) < 0 || make(p->out, out, 0) < 0 ||
	    make(p->err, err, 0) < 0)
		return -1;
	return make(p->in, what->input.set && what->input.size, 1);
}

/* Our ends into the loop. */
static int watch(struct program *p, struct pipes *pipes, int pidfd, int input)
{
	struct loop *l = &p->s->loop;

	if (loop_add(l, &p->process, pidfd, EPOLLIN, on_end) < 0)
		return -1;
	if (loop_add(l, &p->started, pipes->status[0], EPOLLIN, on_started) < 0)
		return -1;
	TAKE_FD(pipes->status[0]);
	if (pipes->out[0] >= 0 &&
	    stream_open(&p->out, l, TAKE_FD(pipes->out[0]), on_out) < 0)
		return -1;
	if (pipes->err[0] >= 0 &&
	    stream_open(&p->err, l, TAKE_FD(pipes->err[0]), on_err) < 0)
		return -1;
	if (pipes->in[1] < 0)
		return 0;
	p->input_fd = fcntl(input, F_DUPFD_CLOEXEC, 0);
	if (p->input_fd < 0 ||
	    loop_add(l, &p->input, pipes->in[1], EPOLLOUT, on_input) < 0)
		return -1;
	TAKE_FD(pipes->in[1]);
	return 0;
}

static struct program *program_new(struct spawner *s, const struct msg_spawn *what,
				   uint32_t request)
{
	struct program *p = calloc(1, sizeof(*p));
	const struct v_str *argv = what->argv.v;

	if (!p)
		return NULL;
	*p = (struct program){
		.s = s,
		.request = request,
		.process.fd = -1,
		.started.fd = -1,
		.input.fd = -1,
		.input_fd = -1,
		.out = {.pipe.fd = -1, .fd = -1},
		.err = {.pipe.fd = -1, .fd = -1},
		.output_max = what->output_max.set ? what->output_max.v : OUTPUT_MAX,
		.timeout_ms = what->timeout_ms.v,
		.timer.source.fd = -1,
		.cgroup.fd = -1,
		.name = strndup(argv[0].p, argv[0].len),
		.keep = what->keep.v,
	};
	p->next = s->programs;
	s->programs = p;
	return p;
}

/* 0, or -1 with errno: nothing runs. */
static int launch(struct program *p, const struct msg_spawn *what, int input)
{
	CLEANUP(pipes_close) struct pipes pipes;
	const struct cgroup *c = &p->cgroup;
	int pidfd = -1, saved;

	if (pipes_make(&pipes, what) < 0 ||
	    timer_init(&p->s->loop, &p->timer, on_timer) < 0 ||
	    cgroup_make(&p->s->cgroups, &p->cgroup, what->memory_max.v,
			what->tasks_max.v) < 0)
		return -1;
	p->pid = fork_into(c, &pidfd);
	if (p->pid < 0)
		return -1;
	if (p->pid == 0) {
		bool merged = what->capture.v == CAPTURE_MERGED;
		const struct run_fds fds = {
			.in = what->piped.v ? input : pipes.in[0],
			.out = pipes.out[1],
			.err = merged ? pipes.out[1] : pipes.err[1],
			.status = pipes.status[1],
			.files = p->s->files,
			.data = p->s->data,
		};

		run(what, &fds, c->fd >= 0);
	}
	if (watch(p, &pipes, pidfd, input) == 0 && timer_arm_ms(&p->timer, START_MS) == 0)
		return 0;
	saved = errno;
	kill(p->pid, SIGKILL);
	waitid(P_PID, (id_t)p->pid, NULL, WEXITED);
	if (p->process.fd < 0)
		close_p(&pidfd);
	errno = saved;
	return -1;
}

int program_start(struct spawner *s, const struct frame *f)
{
	CLEANUP(body_release) struct body b = {0};
	struct msg_spawn what;
	struct program *p;

	if (decode(s, f, &schema_spawn, &b, &what) < 0 || !what.argv.n)
		return -1;
	p = program_new(s, &what, f->request);
	if (!p || !p->name) {
		refuse(s, OP_exec, f->request, "", ENOMEM);
		if (p)
			drop(p);
		return 0;
	}
	if (launch(p, &what, f->n_fds ? f->fds[f->n_fds - 1] : -1) < 0) {
		refuse(s, OP_exec, f->request, p->name, errno);
		drop(p);
	}
	return 0;
}

/* ---- its result ---- */

/* What was captured and is not empty, and whether that is all. */
static void put_stream(const struct stream *st, struct v_bulk *data,
		       struct v_bool *truncated, struct frame *f)
{
	if (!st->size)
		return;
	*data = (struct v_bulk){.size = st->size, .set = true};
	*truncated = V_BOOL(st->truncated);
	f->fds[f->n_fds++] = st->fd;
}

int program_status(struct spawner *s, const struct frame *f)
{
	CLEANUP(body_release) struct body b = {0};
	uint8_t buf[128];
	struct wbuf body = wbuf_fixed(buf, sizeof(buf));
	struct frame out = {
		.type = FRAME_REPLY,
		.op = OP_exec_status,
		.request = f->request,
		.fds = {-1, -1},
	};
	struct msg_exec_status_result r = {.exited = V_BOOL(false)};
	struct msg_exec_status q;
	const struct program *p;

	if (decode(s, f, &schema_exec_status, &b, &q) < 0)
		return -1;
	p = find(s, (pid_t)q.pid.v);
	if (!p) {
		refuse(s, OP_exec_status, f->request, "", 0);
		return 0;
	}
	if (p->stage == SETTLED) {
		r.exited.v = true;
		if (p->code == CLD_EXITED)
			r.exitcode = V_INT(p->status);
		else
			r.signal = V_INT(p->status);
		put_stream(&p->out, &r.out_data, &r.out_truncated, &out);
		put_stream(&p->err, &r.err_data, &r.err_truncated, &out);
	}
	schema_put(&body, &schema_exec_status_result, &r);
	out.body = body.p;
	out.len = (uint32_t)body.len;
	peer_send(&s->worker, &out);
	return 0;
}

void program_forget(struct spawner *s, pid_t pid)
{
	struct program *p = find(s, pid);

	if (!p || p->stage != SETTLED)
		return;
	p->forgotten = p->unreaped;
	if (!p->unreaped)
		drop(p);
}

void program_end(struct spawner *s, pid_t pid)
{
	struct program *p = find(s, pid);

	if (p && p->stage == RUNNING)
		terminate(p);
}

/* ---- the end of the agent ---- */

void programs_kill(struct spawner *s)
{
	for (struct program *p = s->programs; p; p = p->next)
		if (is_under_way(p))
			signal_group(p, SIGKILL);
	loop_stop(&s->loop, 0);
}

void programs_stop(struct spawner *s)
{
	if (s->stopping)
		return;
	s->stopping = true;
	for (struct program *p = s->programs; p; p = p->next) {
		if (!is_under_way(p))
			continue;
		signal_group(p, SIGTERM);
		if (p->stage == RUNNING)
			p->stage = TERMINATED;
	}
	timer_arm_ms(&s->stop, STOP_MS);
	stop_if_done(s);
}
