/*
 * supervisor/notify.c - tell the service manager (the sd_notify protocol)
 *
 * Runs in:   supervisor, root
 * Input:     NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID of the environment, set by the
 *            service manager
 * May touch: a datagram socket of its own
 * Must not:  block, fail the agent
 */
#include "supervisor/notify.h"

#include <stdlib.h>
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

/* A decimal number in the environment; 0 if there is none. */
static uint64_t number_in(const char *name)
{
	const char *text = getenv(name);
	char *end;
	uint64_t n;

	if (!text || *text < '0' || *text > '9')
		return 0;
	n = strtoull(text, &end, 10);
	return *end ? 0 : n;
}

uint64_t notify_alive_ms(void)
{
	uint64_t half = number_in("WATCHDOG_USEC") / 2000;

	/* It may be meant for a process that started us. */
	if (getenv("WATCHDOG_PID") && number_in("WATCHDOG_PID") != (uint64_t)getpid())
		return 0;
	return half < NOTIFY_ALIVE_MAX_MS ? half : NOTIFY_ALIVE_MAX_MS;
}
