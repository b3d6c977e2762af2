/*
 * worker/fork.c - a child of the worker: few descriptors, few capabilities, one filter
 *
 * Runs in:   worker; the second half in the child
 * Input:     the row's capabilities, the descriptors it needs
 * May touch: the process it made
 * Must not:  let a child keep what its row does not name
 */
#include "worker/fork.h"

#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "ipc/launch.h"
#include "sandbox/sandbox.h"

static bool keep_only(const struct fork_plan *plan)
{
	/* Above every descriptor that it is given, so that moving never overwrites one.
	 */
	const int first = CHILD_FD_FIRST + (int)plan->n_keep;
	int aside[CHILD_FDS_MAX];

	for (size_t i = 0; i < plan->n_keep; i++) {
		aside[i] = fcntl(plan->keep[i], F_DUPFD_CLOEXEC, first);
		if (aside[i] < 0)
			return false;
	}
	for (size_t i = 0; i < plan->n_keep; i++)
		if (dup3(aside[i], CHILD_FD_FIRST + (int)i, O_CLOEXEC) < 0)
			return false;
	if (!plan->stderr && dup3(STDIN_FILENO, STDERR_FILENO, 0) < 0)
		return false;
	return close_range(CHILD_FD_FIRST + (unsigned int)plan->n_keep, ~0u, 0) == 0;
}

/* A worker that is killed takes along what nobody would know of any more. */
bool fork_tie(pid_t parent)
{
	return prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent;
}

static void become_child(const struct fork_plan *plan, const struct sock_fprog *filter,
			 pid_t worker)
{
	/* Before its ruleset is closed with all other descriptors. */
	if (fences_enter(plan->fences, plan->roles) < 0 || !keep_only(plan) ||
	    (!plan->outlives && !fork_tie(worker)) || sandbox_keep_caps(plan->caps) < 0 ||
	    sandbox_load(filter) < 0)
		_exit(EXIT_SEAL);
}

/* There is one thread, and nothing relies on what libc's fork does besides. */
long fork_with_pidfd(int *pidfd)
{
	return syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, NULL, pidfd, NULL, NULL);
}

static int child_ended(struct source *s, uint32_t events)
{
	struct child *c = CONTAINER_OF(s, struct child, exit);
	siginfo_t info = {0};
	int pidfd = s->fd;

	(void)events;
	if (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG) < 0 || !info.si_pid)
		return 0;
	loop_remove(c->loop, s);
	close_p(&pidfd);
	c->on_exit(c, info.si_code, info.si_status);
	return 0;
}

/* A child that cannot be watched must not stay; it has hardly begun. */
static enum fork_side undo(int pidfd)
{
	siginfo_t info;

	syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
	waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED);
	return FORK_FAILED;
}

enum fork_side worker_fork(struct child *c, struct loop *loop,
			   const struct fork_plan *plan,
			   void (*on_exit)(struct child *c, int code, int status))
{
	CLEANUP(close_p) int pidfd = -1;
	const struct sock_fprog *filter = fences_filter(plan->fences, plan->roles);
	pid_t worker = getpid();
	long pid = -1;

	*c = (struct child){.exit.fd = -1, .loop = loop, .on_exit = on_exit};
	if (filter && plan->n_keep <= CHILD_FDS_MAX)
		pid = fork_with_pidfd(&pidfd);
	if (pid < 0)
		return FORK_FAILED;
	if (pid == 0) {
		become_child(plan, filter, worker);
		return FORK_CHILD;
	}
	if (loop_add(loop, &c->exit, pidfd, EPOLLIN, child_ended) < 0)
		return undo(pidfd);
	TAKE_FD(pidfd);
	return FORK_WORKER;
}

void child_kill(struct child *c)
{
	if (c->exit.fd >= 0)
		syscall(SYS_pidfd_send_signal, c->exit.fd, SIGKILL, NULL, 0);
}
