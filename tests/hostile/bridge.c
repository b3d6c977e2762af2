/*
 * tests/hostile/bridge.c - a frontend or inspector that is wholly in the test's hands
 *
 * Runs in:   below a supervisor under test, in the place of a confined program
 * Input:     orders of the test, whose abstract socket QGA_OS_RELEASE names: the one
 *            setting of the test that gets here
 * May touch: the descriptors it was started with
 * Must not:  do anything by itself, not even end when its worker hangs up
 *
 * It connects to the test and hands over its descriptors, so that the test talks to the
 * worker as if it were this process. Orders, one packet each:
 *
 *   1 byte                    end with this status
 *   1 byte and a descriptor   become the program in the descriptor
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "ipc/launch.h"
#include "ipc/util.h"

union control {
	char space[CMSG_SPACE(sizeof(int) * 2)];
	struct cmsghdr align;
};

static int call_test(void)
{
	const char *name = getenv("QGA_OS_RELEASE");
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	size_t len = name ? strlen(name) : 0;
	int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (sock < 0 || !len || len >= sizeof(addr.sun_path))
		return -1;
	memcpy(addr.sun_path + 1, name, len);
	if (connect(sock, (struct sockaddr *)&addr,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + len)) < 0) {
		close(sock);
		return -1;
	}
	return sock;
}

/* Who we are, and all that the supervisor gave us. */
static int hand_over(int sock, const char *name)
{
	int fds[] = {LAUNCH_FD_SOCKET, LAUNCH_FD_EXTRA};
	size_t size = fcntl(LAUNCH_FD_EXTRA, F_GETFD) < 0 ? sizeof(fds[0]) : sizeof(fds);
	union control control = {};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)name, .iov_len = strlen(name)};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.space,
		.msg_controllen = CMSG_SPACE(size),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_len = CMSG_LEN(size);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	memcpy(CMSG_DATA(c), fds, size);
	return sendmsg(sock, &msg, MSG_NOSIGNAL) < 0 ? -1 : 0;
}

static void obey(int sock, char **argv)
{
	union control control = {};
	uint8_t status = EXIT_SYSTEM;
	struct iovec iov = {.iov_base = &status, .iov_len = 1};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.space,
		.msg_controllen = sizeof(control),
	};
	ssize_t n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL;
	int program;

	if (c && c->cmsg_type == SCM_RIGHTS) {
		memcpy(&program, CMSG_DATA(c), sizeof(program));
		fexecve(program, argv, environ);
	}
	_exit(status);
}

int main(int argc, char **argv)
{
	int sock = call_test();

	if (argc < 1 || sock < 0 || hand_over(sock, argv[0]) < 0)
		return EXIT_SYSTEM;
	obey(sock, argv);
}
