/*
 * spawner/main.c - the spawner's start: started by the supervisor, or by systemd
 *
 * Runs in:   spawner, root, not confined
 * Input:     the command line; frames of the worker
 * May touch: the socket it was started with
 * Must not:  serve anybody but root, or who it is itself
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "ipc/launch.h"
#include "sandbox/sandbox.h"
#include "spawner/spawner.h"

static int worker_frame(struct peer *p, struct frame *f)
{
	struct spawner *s = CONTAINER_OF(p, struct spawner, worker);
	int r = -1;

	if (f->type == FRAME_FORGET) {
		program_forget(s, (pid_t)f->request);
		return 0;
	}
	if (f->type == FRAME_END) {
		program_end(s, (pid_t)f->request);
		return 0;
	}
	if (f->type == FRAME_REQUEST && f->op == OP_exec)
		r = program_start(s, f);
	else if (f->type == FRAME_REQUEST && f->op == OP_exec_status)
		r = program_status(s, f);
	if (r < 0)
		loop_stop(&s->loop, EXIT_VIOLATION);
	return 0;
}

/* Everything hangs on the worker. */
static int worker_gone(struct peer *p, enum frame_status why)
{
	struct spawner *s = CONTAINER_OF(p, struct spawner, worker);

	(void)why;
	peer_close(p);
	programs_stop(s);
	return 0;
}

/* Asked to end, by a service manager or at a terminal: the programs first. */
static int on_signal(struct source *source, uint32_t events)
{
	struct spawner *s = CONTAINER_OF(source, struct spawner, signals);
	struct signalfd_siginfo info;

	(void)events;
	if (read(source->fd, &info, sizeof(info)) != sizeof(info))
		return 0;
	peer_close(&s->worker); /* nothing new */
	programs_stop(s);
	return 0;
}

/*
 * Whoever started us may have had signals ignored, and what we run would inherit that;
 * also those that libc keeps for itself, which it refuses to touch. A handler ends with
 * execve.
 */
static void heed_signals(void)
{
	/* Handler, flags, restorer, mask, as the kernel has them: SIG_DFL and no more. */
	const uint64_t otherwise[4] = {0};
	uint64_t now[4];

	for (int sig = 1; sig <= SIGRTMAX; sig++)
		if (syscall(SYS_rt_sigaction, sig, NULL, now, sizeof(now[3])) == 0 &&
		    now[0] == (uintptr_t)SIG_IGN)
			syscall(SYS_rt_sigaction, sig, otherwise, NULL, sizeof(now[3]));
}

static int signals_init(struct spawner *s)
{
	sigset_t set;
	int fd;

	heed_signals();
	/* A program that does not read its input is no reason to end; run.c takes it
	 * back. */
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	fd = signal_fd(&set);
	return fd < 0 ? -1 : loop_add(&s->loop, &s->signals, fd, EPOLLIN, on_signal);
}

/* The usual limit is that of programs which use select(2). */
static int raise_files(struct spawner *s)
{
	struct rlimit more;

	if (getrlimit(RLIMIT_NOFILE, &s->files) < 0)
		return -1;
	more = s->files;
	if (more.rlim_cur < FILES_MAX)
		more.rlim_cur = min_size(FILES_MAX, more.rlim_max);
	return setrlimit(RLIMIT_NOFILE, &more);
}

static int on_stop(struct timer *t)
{
	programs_kill(CONTAINER_OF(t, struct spawner, stop));
	return 0;
}

/*
 * A service is started for whoever connects. The socket's mode has said already who that
 * may be, and the kernel says it again.
 */
static int check_worker(void)
{
	if (peer_is_trusted(LAUNCH_FD_SOCKET))
		return 0;
	errno = EPERM;
	return -1;
}

static int prepare(struct spawner *s, bool unit)
{
	if (check_worker() < 0 || raise_files(s) < 0 ||
	    getrlimit(RLIMIT_DATA, &s->data) < 0 || sandbox_budget(0) < 0)
		return -1;
	s->cgroups.base = -1;
	/* Without a tree of our own limits are those of a process (setrlimit(2)). */
	if (unit && cgroups_init(&s->cgroups) < 0)
		fprintf(stderr, "postern-spawner: programs get no cgroup: %s\n",
			strerror(errno));
	if (loop_init(&s->loop) < 0 || timer_init(&s->loop, &s->stop, on_stop) < 0 ||
	    signals_init(s) < 0)
		return -1;
	return peer_open(&s->worker, &s->loop, LAUNCH_FD_SOCKET, worker_frame,
			 worker_gone);
}

int main(int argc, char **argv)
{
	bool unit = argc == 2 && streq(argv[1], "--unit");
	struct spawner *s = calloc(1, sizeof(*s));
	int status;

	if ((argc != 1 && !unit) || !launched()) {
		fputs("postern-spawner: started by postern, or by systemd with --unit\n",
		      stderr);
		return EXIT_CONFIG;
	}
	/* Our memory holds what programs are given; no user may look. */
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (!s || prepare(s, unit) < 0) {
		fprintf(stderr, "postern-spawner: cannot start: %s\n", strerror(errno));
		return EXIT_SYSTEM;
	}
	status = loop_run(&s->loop);
	if (!status)
		status = unit ? EXIT_CLEAN : EXIT_PEER_GONE;
	/* Not by exit(3): what is left goes with us, and is no leak. */
	_exit(status < 0 ? EXIT_SYSTEM : status);
}
