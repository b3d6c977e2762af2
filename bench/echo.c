/*
 * bench/echo.c - the floors: what a socket alone costs, with one process and with two
 *
 * Runs in:   its own process, and one child with `two`
 * Input:     bytes of the benchmark's client, at most BUFFER at once
 * May touch: the socket that it makes
 * Must not:  do anything that an agent could leave out
 *
 *	echo SOCKET one|two
 *
 * Sends back what it reads, to one client after the other. `two` has each piece go
 *through a second process and back, as a request that another one carries out does.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <signal.h>
#include <unistd.h>

#define BUFFER (64 * 1024)

/* What comes from FROM goes to TO; through HOP if that is one. Until the end of FROM. */
static void serve(int from, int hop)
{
	static char buffer[BUFFER];
	ssize_t n;

	while ((n = read(from, buffer, sizeof(buffer))) > 0) {
		if (hop >= 0 && (write(hop, buffer, (size_t)n) != n ||
				 read(hop, buffer, sizeof(buffer)) != n))
			return;
		if (write(from, buffer, (size_t)n) != n)
			return;
	}
}

static int listen_at(const char *path)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || strlen(path) >= sizeof(at.sun_path))
		return -1;
	memcpy(at.sun_path, path, strlen(path) + 1);
	unlink(path);
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, 1) < 0)
		return -1;
	return fd;
}

/* The end of a socket whose other end is a process that sends back. */
static int second_process(void)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	if (fork() == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(pair[0]);
		serve(pair[1], -1);
		_exit(0);
	}
	close(pair[1]);
	return pair[0];
}

int main(int argc, char **argv)
{
	bool two = argc == 3 && strcmp(argv[2], "two") == 0;
	int listener, hop, fd;

	if (argc != 3 || (!two && strcmp(argv[2], "one") != 0)) {
		fputs("Usage: echo SOCKET one|two\n", stderr);
		return 2;
	}
	hop = two ? second_process() : -1;
	listener = listen_at(argv[1]);
	if (listener < 0 || (two && hop < 0)) {
		perror(argv[1]);
		return 1;
	}
	while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		serve(fd, hop);
		close(fd);
	}
	return 0;
}
