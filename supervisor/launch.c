/*
 * supervisor/launch.c - from fork to exec
 *
 * Runs in:   supervisor, root; the started process until its exec
 * Input:     what the supervisor decided
 * May touch: the new process's identity and descriptors
 * Must not:  leave anything of the supervisor to the new program
 */
#include "supervisor/launch.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#include "ipc/launch.h"
#include "ipc/util.h"

/* Of the new process until its exec; behind those of ipc/launch.h. */
#define FD_EXE    8
#define FD_STDERR 9
#define FD_HIGH   10 /* the first that is of no use */

static void default_signals(void)
{
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL); /* fails for SIGKILL and SIGSTOP, and libc's own */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Put every descriptor in its place and close all others. */
static int arrange(const struct launch *l, int *err_fd)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct {
		int from, to, flags;
	} moves[] = {
		{null, STDIN_FILENO, 0},
		{null, STDOUT_FILENO, 0},
		{l->user ? null : STDERR_FILENO, STDERR_FILENO, 0},
		{l->socket, LAUNCH_FD_SOCKET, 0},
		{l->extra, LAUNCH_FD_EXTRA, 0},
		{l->state, LAUNCH_FD_STATE, 0},
		{l->control, LAUNCH_FD_CONTROL, 0},
		{l->policy, LAUNCH_FD_POLICY, 0},
		{l->exe, FD_EXE, O_CLOEXEC},
		{STDERR_FILENO, FD_STDERR, O_CLOEXEC},
	};

	if (null < 0)
		return -1;
	/* First all out of the way, since a place may be taken by another's source. */
	for (size_t i = 0; i < ARRAY_SIZE(moves); i++) {
		if (moves[i].from < 0) /* nothing goes there */
			continue;
		moves[i].from = fcntl(moves[i].from, F_DUPFD_CLOEXEC, FD_HIGH);
		if (moves[i].from < 0)
			return -1;
	}
	for (size_t i = 0; i < ARRAY_SIZE(moves); i++)
		if (moves[i].from < 0)
			close(moves[i].to);
		else if (dup3(moves[i].from, moves[i].to, moves[i].flags) < 0)
			return -1;
	*err_fd = FD_STDERR;
	return close_range(FD_HIGH, ~0U, 0);
}

static const char *setting(char *buf, size_t size, const char *name)
{
	const char *value = getenv(name);

	if (!value || snprintf(buf, size, "%s=%s", name, value) >= (int)size)
		return NULL;
	return buf;
}

static const char *run(const struct launch *l, int *err_fd)
{
	char zone[256], os_release[4096 + 16];
	const char *env[3] = {};
	const char *step = "confine";
	size_t n = 0;

	if ((env[n] = setting(zone, sizeof(zone), "TZ")))
		n++;
	env[n] = setting(os_release, sizeof(os_release), "QGA_OS_RELEASE");
	default_signals();
	/* A terminal's Ctrl-C is for the supervisor: the others are told by their
	 * sockets. */
	if (setsid() < 0)
		return "setsid";
	if (chdir("/") < 0)
		return "chdir";
	if (l->confined && identity_drop(l->user, &step) < 0)
		return step;
	if (arrange(l, err_fd) < 0)
		return "descriptors";
	execveat(FD_EXE, "", (char *const *)l->argv, (char *const *)env, AT_EMPTY_PATH);
	return "execute";
}

int launch(const struct launch *l)
{
	pid_t pid = fork();
	int fd, err_fd = STDERR_FILENO;

	if (pid < 0)
		return -1;
	if (pid == 0) {
		const char *step = run(l, &err_fd);

		dprintf(err_fd, "postern: cannot start %s: %s: %s\n", l->argv[0], step,
			strerror(errno));
		_exit(EXIT_NOT_RUN);
	}
	fd = pidfd_open(pid, 0);
	if (fd < 0) { /* out of descriptors: nothing may run that we cannot watch */
		int saved = errno;

		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		errno = saved;
	}
	return fd;
}
