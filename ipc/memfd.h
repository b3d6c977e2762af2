/*
 * ipc/memfd.h - data that travels beside a message and cannot change any more
 *
 * Runs in:   worker, frontend
 * Input:     bytes of the process itself; descriptors of a peer, not trusted
 * May touch: memfds
 * Must not:  hand out or accept one that its other holder could still change
 */
#ifndef POSTERN_IPC_MEMFD_H
#define POSTERN_IPC_MEMFD_H

#include <sys/types.h>

#include "ipc/util.h"

/* An empty memfd that can be sealed, close-on-exec; or -1 with errno. */
int memfd_open(const char *name);

/* Seal FD against every change, and against removal of the seals. 0, or -1 with errno. */
int memfd_seal(int fd);

/* A sealed memfd that holds LEN bytes of DATA; or -1 with errno. */
int memfd_of(const char *name, const void *data, size_t len);

/*
 * The size of FD if it is a memfd with all seals; -1 if it is anything else. Asks for the
 * seals first: whatever else one does to a file of a hung file system may hang.
 */
off_t memfd_sealed_size(int fd);

#endif
