/*
 * tests/integration/fake_program.c - stands in for worker, frontend and inspector
 *
 * Runs in:   below a supervisor under test, by the name in argv[0]
 * Input:     NAME.mode (at its start) and NAME.do (at any time, once) in the folder that
 *            QGA_OS_RELEASE names, the one setting of the test that gets here
 * May touch: that folder: it appends what happens to `log`, and removes NAME.do
 * Must not:  do anything by itself but what its counterpart owes the supervisor
 *
 * Commands, in both files:
 *   exit N     end with this status
 *   mute       worker: do not say that we are ready
 *   ready      worker: say it now
 *   say C      worker: say the letter C
 *   drop       worker: close the sockets that were handed over
 *   hangup     worker: close our socket to the supervisor
 *   stubborn   stay when the socket hangs up
 */
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "ipc/launch.h"
#include "ipc/util.h"

#define SOCKETS_MAX 64

struct fake {
	const char *name; /* "worker", "frontend", "inspector" */
	int dir;
	bool is_worker;
	bool mute;
	bool stubborn;
	int sockets[SOCKETS_MAX];
	size_t n_sockets;
};

static void note(const struct fake *f, const char *what)
{
	CLEANUP(close_p) int fd = openat(f->dir, "log", O_WRONLY | O_APPEND | O_CLOEXEC);

	if (fd >= 0)
		dprintf(fd, "%s %d %s\n", f->name, (int)getpid(), what);
}

static void say(char byte)
{
	if (send(LAUNCH_FD_SOCKET, &byte, 1, MSG_NOSIGNAL) != 1)
		_exit(EXIT_SYSTEM);
}

static void say_ready(const struct fake *f)
{
	note(f, "ready");
	say(LAUNCH_MSG_READY);
}

static void obey(struct fake *f, const char *command)
{
	if (strncmp(command, "exit ", 5) == 0)
		_exit((int)strtol(command + 5, NULL, 10));
	else if (strcmp(command, "mute") == 0)
		f->mute = true;
	else if (strcmp(command, "stubborn") == 0)
		f->stubborn = true;
	else if (strcmp(command, "ready") == 0)
		say_ready(f);
	else if (strncmp(command, "say ", 4) == 0)
		say(command[4]);
	else if (strcmp(command, "hangup") == 0)
		close(LAUNCH_FD_SOCKET);
	else if (strcmp(command, "drop") == 0)
		while (f->n_sockets > 0)
			close_p(&f->sockets[--f->n_sockets]);
	else
		_exit(EXIT_CONFIG);
}

/* Obey the file NAME.SUFFIX, if there is one. */
static void obey_file(struct fake *f, const char *suffix, bool once)
{
	char name[64];
	char command[64] = "";
	int fd;

	snprintf(name, sizeof(name), "%s.%s", f->name, suffix);
	fd = openat(f->dir, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (read(fd, command, sizeof(command) - 1) < 0 ||
	    (once && unlinkat(f->dir, name, 0) < 0))
		_exit(EXIT_SYSTEM);
	close(fd);
	obey(f, command);
}

/* Take one message; false when the socket hung up. */
static bool take(struct fake *f)
{
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {};
	char text[] = "got ?";
	struct iovec iov = {.iov_base = &text[4], .iov_len = 1};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.space,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *c;

	if (recvmsg(LAUNCH_FD_SOCKET, &msg, MSG_CMSG_CLOEXEC) <= 0)
		return false;
	c = CMSG_FIRSTHDR(&msg);
	if (text[4] == LAUNCH_MSG_STOP && !c) {
		note(f, text);
		return true;
	}
	if (!c || c->cmsg_type != SCM_RIGHTS || f->n_sockets == SOCKETS_MAX)
		_exit(EXIT_VIOLATION);
	memcpy(&f->sockets[f->n_sockets++], CMSG_DATA(c), sizeof(int));
	note(f, text);
	return true;
}

/* Is the channel's open file the one that an earlier instance marked? Mark it. */
static const char *mark_channel(void)
{
	int flags = fcntl(LAUNCH_FD_EXTRA, F_GETFL);

	if (flags < 0 || fcntl(LAUNCH_FD_EXTRA, F_SETFL, flags | O_APPEND) < 0)
		return "start without channel";
	return flags & O_APPEND ? "start kept" : "start new";
}

int main(int argc, char **argv)
{
	const char *dir = getenv("QGA_OS_RELEASE");
	struct fake f = {.name = argv[0] + strlen("postern-")};
	bool hung_up = false;

	(void)argc;
	f.dir = open(dir ? dir : "", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (f.dir < 0)
		return EXIT_CONFIG;
	f.is_worker = strcmp(f.name, "worker") == 0;
	note(&f, strcmp(f.name, "frontend") == 0 ? mark_channel() : "start");
	obey_file(&f, "mode", false);
	if (f.is_worker && !f.mute)
		say_ready(&f);
	for (;;) {
		struct pollfd p = {.fd = hung_up ? -1 : LAUNCH_FD_SOCKET,
				   .events = POLLIN};

		if (poll(&p, 1, 5) > 0 && !take(&f)) {
			note(&f, "hung up");
			hung_up = true;
		}
		if (hung_up && !f.stubborn)
			_exit(f.is_worker ? EXIT_CLEAN : EXIT_PEER_GONE);
		obey_file(&f, "do", true);
	}
}
