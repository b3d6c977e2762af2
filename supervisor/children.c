/*
 * supervisor/children.c - start, watch and restart the other processes
 *
 * Runs in:   supervisor, root
 * Input:     ends of the processes; one byte of the worker, once
 * May touch: processes that it started, the channel
 * Must not:  read anything else from them, read or write the channel
 */
#include "supervisor/children.h"

#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "ipc/launch.h"
#include "supervisor/launch.h"
#include "supervisor/notify.h"

const char *const child_programs[CHILD_COUNT] = {
	[CHILD_WORKER] = "postern-worker",       [CHILD_READER] = "postern-reader",
	[CHILD_INSPECTOR] = "postern-inspector", [CHILD_SPAWNER] = "postern-spawner",
	[CHILD_FRONTEND] = "postern-frontend",
};

/* How the worker is told whose socket it gets. */
static const char child_messages[CHILD_COUNT] = {
	[CHILD_READER] = LAUNCH_MSG_READER,
	[CHILD_INSPECTOR] = LAUNCH_MSG_INSPECTOR,
	[CHILD_SPAWNER] = LAUNCH_MSG_SPAWNER,
	[CHILD_FRONTEND] = LAUNCH_MSG_FRONTEND,
};

/* Of channel_errnum: no reason told since it was open. */
#define NEVER_TOLD (-1)

/* Nobody reads the other end: a restart must not wait for that. */
static void print(const char *lines, size_t len)
{
	if (poll(&(struct pollfd){.fd = STDERR_FILENO, .events = POLLOUT}, 1, 0) > 0)
		fprintf(stderr, "%.*s", (int)len, lines);
}

int say(const char *fmt, ...)
{
	char line[ERR_DESC_MAX + 128];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (poll(&(struct pollfd){.fd = STDERR_FILENO, .events = POLLOUT}, 1, 0) > 0)
		fprintf(stderr, "postern: %s\n", line);
	return -1;
}

/* Is a file system frozen, perhaps that of our log, or about to be? */
static bool is_frozen(const struct supervisor *s)
{
	return phase_is_frozen(atomic_load(&s->record->phase));
}

static int on_said(struct timer *t)
{
	struct supervisor *s = CONTAINER_OF(t, struct supervisor, said_timer);

	if (is_frozen(s))
		return timer_arm_ms(t, SAID_MS);
	print(s->said, s->said_len);
	s->said_len = 0;
	return 0;
}

/* As say, but while something is frozen the line waits: to write it could hang us. */
PRINTF(2, 3)
static void tell(struct supervisor *s, const char *fmt, ...)
{
	char line[ERR_DESC_MAX + 128];
	size_t len;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (!is_frozen(s) && !s->said_len) {
		say("%s", line);
		return;
	}
	len = strlen("postern: \n") + strlen(line);
	/* What does not fit is lost: these are lines for people. */
	if (len < sizeof(s->said) - s->said_len)
		s->said_len +=
			(size_t)sprintf(s->said + s->said_len, "postern: %s\n", line);
	timer_arm_ms(&s->said_timer, SAID_MS);
}

static enum child_id id_of(const struct child *c)
{
	return (enum child_id)(c - c->s->child);
}

static const char *name_of(const struct child *c)
{
	return child_programs[id_of(c)];
}

/* The others are root's, and what they have to say goes where our own lines go. */
static bool has_user(const struct child *c)
{
	return id_of(c) == CHILD_INSPECTOR || id_of(c) == CHILD_FRONTEND;
}

static bool is_running(const struct child *c)
{
	return c->process.fd >= 0;
}

/* ---- start ---- */

/* Hand descriptor FD to the worker, with the byte that says what it is. */
static int send_socket(int worker, char message, int fd)
{
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {};
	struct iovec iov = {.iov_base = &message, .iov_len = 1};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.space,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	*c = (struct cmsghdr){
		.cmsg_len = CMSG_LEN(sizeof(fd)),
		.cmsg_level = SOL_SOCKET,
		.cmsg_type = SCM_RIGHTS,
	};
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	return sendmsg(worker, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) == 1 ? 0 : -1;
}

/* OPTION with its VALUE, unless that is NULL. Where the next argument goes. */
static const char **put_option(const char **arg, const char *option, const char *value)
{
	if (!value)
		return arg;
	*arg++ = option;
	*arg++ = value;
	return arg;
}

/* What is put together for them: how records name the channel, and the lists' word. */
struct words {
	char channel[256];
	char alive[24];
	char denied[2 * sizeof(uint64_t) + 1];
};

static void words_of(const struct supervisor *s, struct words *words)
{
	const struct channel *c = &s->channel;

	snprintf(words->channel, sizeof(words->channel), "%s%s%s", c->method->name,
		 c->path ? ":" : "", c->path ? c->path : "");
	snprintf(words->alive, sizeof(words->alive), "%" PRIu64, s->alive_ms);
	snprintf(words->denied, sizeof(words->denied), "%" PRIx64, ~s->commands);
}

/* Behind the name. */
static void worker_args(const struct supervisor *s, const struct words *words,
			const char **arg)
{
	arg = put_option(arg, "--channel", words->channel);
	arg = put_option(arg, "--runtime", s->runtime);
	arg = put_option(arg, "--hook", s->hook);
	arg = put_option(arg, "--alive", s->alive_ms ? words->alive : NULL);
	if (s->audit.journal)
		*arg++ = "--journal";
	if (s->verbose)
		*arg = "--verbose";
}

static void reader_args(const struct supervisor *s, const struct words *words,
			const char **arg)
{
	arg = put_option(arg, "--deny", words->denied);
	arg = put_option(arg, "--profile", s->profile);
	put_option(arg, "--policy-root", s->policy_root);
}

static int launch_child(const struct child *c, int socket)
{
	const struct supervisor *s = c->s;
	struct words words = {};
	const char *argv[12] = {name_of(c)};
	struct launch l = {
		.argv = argv,
		.exe = c->exe,
		.socket = socket,
		.extra = -1,
		.state = -1,
		.control = -1,
		.policy = -1,
		.confined = has_user(c) || id_of(c) == CHILD_READER,
		.user = has_user(c) ? &c->user : NULL,
	};

	words_of(s, &words);
	if (id_of(c) == CHILD_WORKER) {
		worker_args(s, &words, argv + 1);
		l.extra = s->audit.fd;
		l.state = s->state;
		l.control = s->control;
	} else if (id_of(c) == CHILD_READER) {
		reader_args(s, &words, argv + 1);
		l.policy = s->policy;
	} else if (id_of(c) == CHILD_FRONTEND) {
		argv[1] = s->channel.method->frontend_option;
		l.extra = s->channel.fd;
	}
	return launch(&l);
}

static void kill_child(const struct child *c)
{
	if (is_running(c))
		pidfd_send_signal(c->process.fd, SIGKILL, NULL, 0);
}

static void close_socket(struct child *c)
{
	int fd = c->socket.fd;

	loop_remove(&c->s->loop, &c->socket);
	close_p(&fd);
	if (id_of(c) != CHILD_WORKER)
		return;
	c->s->ready = false;
	/* What we keep of a service's is the worker's end: it would not see the worker
	 * go.
	 */
	if (c->s->spawner)
		close_socket(&c->s->child[CHILD_SPAWNER]);
}

static source_fn on_exit_of, on_socket;

/* The program, and the end of its socket that we keep, into the loop. */
static int watch(struct child *c, int pidfd, int kept)
{
	struct loop *l = &c->s->loop;
	uint32_t events = id_of(c) == CHILD_WORKER ? EPOLLIN : 0;

	if (loop_add(l, &c->process, pidfd, EPOLLIN, on_exit_of) == 0 &&
	    loop_add(l, &c->socket, kept, events, on_socket) == 0)
		return 0;
	/* Out of memory, and a program that is not watched must not run. */
	pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
	waitid(P_PIDFD, (id_t)pidfd, NULL, WEXITED);
	loop_remove(l, &c->process);
	return -1;
}

static int start(struct child *c)
{
	const struct child *worker = &c->s->child[CHILD_WORKER];
	bool is_worker = c == worker;
	CLEANUP(close_p) int kept = -1;
	CLEANUP(close_p) int given = -1;
	CLEANUP(close_p) int pidfd = -1;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	kept = pair[0];
	given = pair[1];
	/* The worker's pair ends with us; those of others lead from them to the worker.
	 */
	if (!is_worker &&
	    send_socket(worker->socket.fd, child_messages[id_of(c)], given) < 0)
		return -1;
	pidfd = launch_child(c, is_worker ? given : kept);
	if (pidfd < 0 || watch(c, pidfd, kept) < 0)
		return -1;
	TAKE_FD(pidfd);
	TAKE_FD(kept);
	c->starts++;
	c->started_ms = now_ms();
	if (is_worker || id_of(c) == CHILD_READER)
		c->s->no_reader = is_worker;
	if (is_worker && timer_arm_ms(&c->timer, READY_MS) < 0)
		return -1;
	if (c->s->verbose)
		tell(c->s, "%s started", name_of(c));
	return 0;
}

/* The spawner that is a service: root's, or whose we are ourselves. */
static int connect_spawner(const struct supervisor *s)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	CLEANUP(close_p)
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", s->spawner) >=
	    (int)sizeof(addr.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return -1;
	if (!peer_is_trusted(fd)) {
		errno = EPERM;
		return -1;
	}
	return TAKE_FD(fd);
}

/* Hand it to the worker, and watch it for the end of either. */
static int attach_spawner(struct child *c)
{
	CLEANUP(close_p) int fd = connect_spawner(c->s);

	if (fd < 0 ||
	    send_socket(c->s->child[CHILD_WORKER].socket.fd, LAUNCH_MSG_SPAWNER, fd) < 0)
		return -1;
	if (loop_add(&c->s->loop, &c->socket, fd, 0, on_socket) < 0)
		return -1;
	TAKE_FD(fd);
	c->started_ms = now_ms();
	return 0;
}

/* ---- what is to run ---- */

static bool may_start(const struct child *c)
{
	const struct supervisor *s = c->s;

	if (s->stopping || is_running(c) || c->timer.armed)
		return false;
	if (id_of(c) == CHILD_WORKER)
		return true;
	if (id_of(c) == CHILD_READER)
		return s->child[CHILD_WORKER].socket.fd >= 0 && s->no_reader;
	if (id_of(c) == CHILD_SPAWNER && (!s->run || c->socket.fd >= 0))
		return false;
	return s->ready;
}

/*
 * May the channel be free in a moment? Of an agent that was killed, the frontend may
 * still be on its way out when the next agent starts. (EMFILE: a busy port of older
 * kernels.)
 */
static bool may_come_free(struct supervisor *s, int errnum)
{
	if (s->channel.was_open ||
	    (errnum != EBUSY && errnum != EADDRINUSE && errnum != EMFILE))
		return false;
	if (!s->busy_since_ms)
		s->busy_since_ms = now_ms();
	return now_ms() - s->busy_since_ms < BUSY_MS;
}

/* Each reason once: a port can be away for weeks. */
static void tell_channel(struct supervisor *s, const struct err *e)
{
	if (s->verbose || e->errnum != s->channel_errnum)
		tell(s, "%s", e->desc);
	s->channel_errnum = e->errnum;
}

/* 1 if the channel is open, 0 if it will be tried again, negative to end. */
static int need_channel(struct child *frontend)
{
	struct supervisor *s = frontend->s;
	uint32_t delay;
	struct err e;

	if (channel_open(&s->channel, &e) == 0) {
		s->channel_errnum = NEVER_TOLD;
		return 1;
	}
	if (may_come_free(s, e.errnum))
		return timer_arm_ms(&frontend->timer, BUSY_STEP_MS);
	tell_channel(s, &e);
	/* Without an errno it is what we were told that is wrong, and will remain so. */
	if (!s->channel.was_open && (!s->retry || !e.errnum))
		return supervisor_stop(s, EXIT_FAILURE);
	/* A manager gives up on who is not ready in time, unless told to wait. */
	if (!s->announced)
		notify_manager("EXTEND_TIMEOUT_USEC=30000000");
	delay = backoff_next(&s->reopen, now_ms());
	return timer_arm_ms(&frontend->timer, delay);
}

static int start_later(struct child *c, int errnum)
{
	if (errnum == EPIPE) /* the worker just went; that is no fault of C */
		return timer_arm_ms(&c->timer, SETTLE_MS);
	tell(c->s, "cannot start %s: %s", name_of(c), strerror(errnum));
	return timer_arm_ms(&c->timer, backoff_next(&c->backoff, now_ms()));
}

static int start_frontend(struct child *c)
{
	int open = need_channel(c);

	if (open <= 0)
		return open;
	if (start(c) < 0)
		return start_later(c, errno);
	if (c->s->announced)
		return 0;
	c->s->announced = true;
	notify_manager("READY=1");
	if (c->s->on_announced)
		c->s->on_announced(c->s);
	return 0;
}

/* Start whatever can be started now. */
static int advance(struct supervisor *s)
{
	for (int i = 0; i < CHILD_COUNT; i++) {
		struct child *c = &s->child[i];
		int r = 0;

		if (!may_start(c))
			continue;
		if (i == CHILD_FRONTEND)
			r = start_frontend(c);
		else if ((i == CHILD_SPAWNER && s->spawner ? attach_spawner : start)(c) <
			 0)
			r = start_later(c, errno);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- events ---- */

static int on_timer(struct timer *t)
{
	struct child *c = CONTAINER_OF(t, struct child, timer);

	if (!is_running(c))
		return advance(c->s);
	tell(c->s, "%s %s, killed", name_of(c),
	     c->socket.fd < 0 ? "did not end when it should" : "did not get ready");
	kill_child(c);
	return 0;
}

static int on_ready(struct child *worker, bool run)
{
	struct supervisor *s = worker->s;

	s->ready = true;
	s->run = run;
	if (loop_events(&s->loop, &worker->socket, s->alive_ms ? EPOLLIN : 0) < 0 ||
	    timer_disarm(&worker->timer) < 0)
		return -1;
	return advance(s);
}

static int on_socket(struct source *source, uint32_t events)
{
	struct child *c = CONTAINER_OF(source, struct child, socket);
	char byte = 0;

	/* Only the worker's is asked for input. */
	if ((events & EPOLLIN) && recv(source->fd, &byte, 1, MSG_DONTWAIT) == 1) {
		if (!c->s->ready && byte == LAUNCH_MSG_READY)
			return on_ready(c, false);
		if (!c->s->ready && byte == LAUNCH_MSG_READY_RUN)
			return on_ready(c, true);
		if (c->s->ready && byte == LAUNCH_MSG_ALIVE)
			return notify_manager("WATCHDOG=1"), 0;
	}
	close_socket(c);
	return timer_arm_ms(&c->timer,
			    id_of(c) == CHILD_SPAWNER ? SPAWNER_HANGUP_MS : HANGUP_MS);
}

/* ---- ends ---- */

/* May there be half a reply on the channel, or is the port unusable? */
static bool spoils_port(const siginfo_t *end)
{
	static const int whole[] = {EXIT_CLEAN,     EXIT_CONFIG, EXIT_PEER_GONE,
				    EXIT_VIOLATION, EXIT_SEAL,   EXIT_SYSTEM,
				    EXIT_NOT_RUN};

	if (end->si_code != CLD_EXITED)
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(whole); i++)
		if (end->si_status == whole[i])
			return false;
	return true; /* reply cut, channel failed, or a crash that a run-time made an exit
		      */
}

/* An end from which a restart will not help. */
static bool is_hopeless(const struct child *c, const siginfo_t *end)
{
	int status = end->si_code == CLD_EXITED ? end->si_status : 0;

	if (status != EXIT_CONFIG && status != EXIT_SEAL && status != EXIT_NOT_RUN)
		return false;
	if (!c->s->announced)
		return true;
	/*
	 * The frontend has no word for "ready", so its first instance is on trial for a
	 * moment. No longer: who has taken over a process must not end us all by a
	 * status.
	 */
	return c->starts == 1 && now_ms() - c->started_ms < TRIAL_MS;
}

static int give_up(struct child *c, int status)
{
	/* Who can has said why, and so has a program that was not run. */
	if (has_user(c) && status != EXIT_NOT_RUN)
		tell(c->s, "%s cannot work here: %s", name_of(c),
		     status == EXIT_SEAL ? "its sandbox could not be entered"
					 : "wrong arguments or environment");
	return supervisor_stop(c->s, EXIT_FAILURE);
}

/*
 * A new worker is a new chance for the others: they may have failed because of it. And
 * it waits for its reader.
 */
static int forgive_others(struct supervisor *s)
{
	for (int i = 0; i < CHILD_COUNT; i++)
		if (i != CHILD_WORKER)
			s->child[i].backoff.failures = 0;
	if (is_running(&s->child[CHILD_READER]))
		return 0;
	return timer_disarm(&s->child[CHILD_READER].timer);
}

static int restart(struct child *c, const siginfo_t *end, bool hung_up)
{
	bool exited = end->si_code == CLD_EXITED;
	bool expected = hung_up && exited && end->si_status == EXIT_PEER_GONE;
	uint32_t delay = backoff_next(&c->backoff, now_ms());

	/* Whoever is needed to end a freeze is not waited for. */
	if (is_frozen(c->s) && delay > FROZEN_RETRY_MS)
		delay = FROZEN_RETRY_MS;
	/* Its end may be seen before that of its worker, to which it must not go back. */
	if (expected && delay < SETTLE_MS)
		delay = SETTLE_MS;
	if (id_of(c) == CHILD_WORKER && forgive_others(c->s) < 0)
		return -1;
	if (!expected || c->s->verbose)
		tell(c->s, "%s ended by %s %d, restart in %u ms", name_of(c),
		     exited ? "status" : "signal", end->si_status, delay);
	if (delay && timer_arm_ms(&c->timer, delay) < 0)
		return -1;
	return advance(c->s);
}

static void send_byte(int sock, char byte)
{
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	/* One that is not there, or reads nothing, is ended otherwise. */
	sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static bool any_running(const struct supervisor *s)
{
	for (int i = 0; i < CHILD_COUNT; i++)
		if (is_running(&s->child[i]))
			return true;
	return false;
}

static int on_exit_of(struct source *source, uint32_t events)
{
	struct child *c = CONTAINER_OF(source, struct child, process);
	CLEANUP(close_p) int pidfd = source->fd;
	struct supervisor *s = c->s;
	bool hung_up = c->socket.fd < 0;
	siginfo_t end = {};

	(void)events;
	if (waitid(P_PIDFD, (id_t)pidfd, &end, WEXITED) < 0)
		return -1;
	loop_remove(&s->loop, source);
	close_socket(c);
	if (timer_disarm(&c->timer) < 0)
		return -1;
	if (id_of(c) == CHILD_FRONTEND && spoils_port(&end))
		channel_drop(&s->channel);
	if (s->stopping) {
		if (!any_running(s))
			loop_stop(&s->loop, s->status);
		return 0;
	}
	if (is_hopeless(c, &end))
		return give_up(c, end.si_status);
	if (id_of(c) == CHILD_READER) {
		/* It is done; but a worker that is new already needs another. */
		if (end.si_code == CLD_EXITED && end.si_status == EXIT_CLEAN)
			return advance(s);
		s->no_reader = true;
	}
	return restart(c, &end, hung_up);
}

/* ---- the whole ---- */

int supervisor_stop(struct supervisor *s, int status)
{
	if (s->stopping)
		return 0;
	s->stopping = true;
	s->status = status;
	notify_manager("STOPPING=1");
	/* It thaws what is frozen, and ends, and with it the others. */
	send_byte(s->child[CHILD_WORKER].socket.fd, LAUNCH_MSG_STOP);
	close_socket(&s->child[CHILD_WORKER]);
	if (!any_running(s))
		loop_stop(&s->loop, status);
	return timer_arm_ms(&s->stop_timer, atomic_load(&s->record->phase) == PHASE_NONE
						    ? STOP_MS
						    : FROZEN_STOP_MS);
}

void supervisor_reload(struct supervisor *s)
{
	const uint32_t owed = true;

	/* Before: a worker that dies of something else leaves it to the next. */
	if (pwrite(s->state, &owed, sizeof(owed), offsetof(struct state, reload_owed)) <
	    0)
		tell(s, "cannot leave word of the reload: %s", strerror(errno));
	send_byte(s->child[CHILD_WORKER].socket.fd, LAUNCH_MSG_RELOAD);
}

static int on_stop_timer(struct timer *t)
{
	struct supervisor *s = CONTAINER_OF(t, struct supervisor, stop_timer);

	/* Even SIGKILL does not end a process that waits for a dead disk. */
	if (s->killed) {
		loop_stop(&s->loop, s->status);
		return 0;
	}
	tell(s, "stopping takes too long, killed what is left");
	s->killed = true;
	for (int i = 0; i < CHILD_COUNT; i++)
		kill_child(&s->child[i]);
	return timer_arm_ms(t, HANGUP_MS);
}

/* What is frozen, by the worker's word; for reading. */
static const struct freeze_record *state_map(int fd)
{
	const struct state *s = mmap(NULL, sizeof(*s), PROT_READ, MAP_SHARED, fd, 0);

	return s == MAP_FAILED ? NULL : &s->freeze;
}

int supervisor_init(struct supervisor *s)
{
	if (loop_init(&s->loop) < 0 ||
	    timer_init(&s->loop, &s->stop_timer, on_stop_timer) < 0)
		return -1;
	s->record = state_map(s->state);
	if (!s->record || timer_init(&s->loop, &s->said_timer, on_said) < 0)
		return -1;
	s->reopen.max_ms = REOPEN_MAX_MS;
	s->channel_errnum = NEVER_TOLD;
	for (int i = 0; i < CHILD_COUNT; i++) {
		struct child *c = &s->child[i];

		c->s = s;
		c->process.fd = -1;
		c->socket.fd = -1;
		c->backoff.max_ms = RETRY_MAX_MS;
		if (timer_init(&s->loop, &c->timer, on_timer) < 0)
			return -1;
	}
	return 0;
}

int supervisor_run(struct supervisor *s)
{
	int status = advance(s);

	if (status == 0)
		status = loop_run(&s->loop);
	if (!is_frozen(s))
		print(s->said, s->said_len);
	if (status >= 0)
		return status;
	tell(s, "internal failure: %s", strerror(errno));
	for (int i = 0; i < CHILD_COUNT; i++)
		kill_child(&s->child[i]);
	return EXIT_FAILURE;
}
