/*
 * ipc/memfd.c - data that travels beside a message and cannot change any more
 *
 * Runs in:   worker, frontend
 * Input:     bytes of the process itself; descriptors of a peer, not trusted
 * May touch: memfds
 * Must not:  hand out or accept one that its other holder could still change
 */
#include "ipc/memfd.h"

#include <fcntl.h>
#include <sys/mman.h>

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

int memfd_open(const char *name)
{
	return memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
}

int memfd_seal(int fd)
{
	return fcntl(fd, F_ADD_SEALS, SEALS);
}

int memfd_of(const char *name, const void *data, size_t len)
{
	CLEANUP(close_p) int fd = memfd_open(name);

	if (fd < 0 || write(fd, data, len) != (ssize_t)len || memfd_seal(fd) < 0)
		return -1;
	return TAKE_FD(fd);
}

off_t memfd_sealed_size(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);

	if (seals < 0 || (seals & SEALS) != SEALS)
		return -1;
	return lseek(fd, 0, SEEK_END);
}
