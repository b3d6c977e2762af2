/*
 * supervisor/daemon.c - go to the background, and tell who waits how it went
 *
 * Runs in:   supervisor, root; the process that was called, until it exits
 * Input:     lines of the daemon's standard error, while it starts
 * May touch: descriptors 0 to 2, the session, the working directory
 * Must not:  let the caller go before clients are answered
 */
#include "supervisor/daemon.h"

#include <fcntl.h>
#include <stdio.h>

/* The exit status: pass on what the daemon says until it is ready, or has ended. */
static int wait_ready(int fd)
{
	char text[512];
	ssize_t n;

	while ((n = read(fd, text, sizeof(text))) > 0 || (n < 0 && errno == EINTR)) {
		size_t len = n > 0 ? strnlen(text, (size_t)n) : 0;

		fprintf(stderr, "%.*s", (int)len, text);
		if (n > 0 && len < (size_t)n)
			return EXIT_SUCCESS;
	}
	return EXIT_FAILURE;
}

int daemon_start(struct daemon *d, bool has_log, int *status, struct err *e)
{
	CLEANUP(close_p) int in = -1;
	CLEANUP(close_p) int out = -1;
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(e, errno, "cannot go to the background");
	in = ends[0];
	out = ends[1];
	pid = fork();
	if (pid < 0 || (pid == 0 && setsid() < 0))
		return err_sys(e, errno, "cannot go to the background");
	if (pid > 0) {
		close_p(&out);
		*status = wait_ready(in);
		return 1;
	}
	if (!has_log && dup2(out, STDERR_FILENO) < 0)
		return err_sys(e, errno, "cannot go to the background");
	*d = (struct daemon){.pipe = TAKE_FD(out), .has_log = has_log};
	return 0;
}

void daemon_ready(struct daemon *d)
{
	CLEANUP(close_p) int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (d->pipe < 0)
		return;
	for (int fd = STDIN_FILENO; null >= 0 && fd <= STDERR_FILENO; fd++)
		if (fd != STDERR_FILENO || !d->has_log)
			dup2(null, fd);
	if (chdir("/") < 0 || write(d->pipe, "", 1) < 0)
		errno = 0; /* nobody waits any more, and there is nobody to tell */
	close_p(&d->pipe);
}
