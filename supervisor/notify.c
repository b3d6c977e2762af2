/*
 * supervisor/notify.c - tell the service manager (the sd_notify protocol)
 *
 * Runs in:   supervisor, root
 * Input:     NOTIFY_SOCKET of the environment, set by the service manager
 * May touch: a datagram socket of its own
 * Must not:  block, fail the agent
 */
#include "supervisor/notify.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "ipc/util.h"

void notify_manager(const char *state)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	const char *path = getenv("NOTIFY_SOCKET");
	size_t len = path ? strlen(path) : 0;
	CLEANUP(close_p) int fd = -1;

	if (len < 2 || len >= sizeof(addr.sun_path) || (*path != '/' && *path != '@'))
		return;
	memcpy(addr.sun_path, path, len);
	if (*path == '@')
		addr.sun_path[0] = '\0'; /* abstract */
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return;
	sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&addr,
	       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
}
