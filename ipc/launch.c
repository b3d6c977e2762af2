/*
 * ipc/launch.c - how a program sees that the supervisor started it
 *
 * Runs in:   worker, frontend, inspector
 * Input:     the descriptors it was started with
 * May touch: nothing
 * Must not:  let a program run that nobody is at the other end of
 */
#include "ipc/launch.h"

#include <sys/socket.h>
#include <unistd.h>

bool peer_is_trusted(int sock)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
	       (peer.uid == 0 || peer.uid == geteuid());
}

bool launched(void)
{
	int type;
	socklen_t len = sizeof(type);

	return getsockopt(LAUNCH_FD_SOCKET, SOL_SOCKET, SO_TYPE, &type, &len) == 0 &&
	       type == SOCK_SEQPACKET;
}
