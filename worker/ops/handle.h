/*
 * worker/ops/handle.h - an open file: the op child that opened it stays, with nothing
 * else
 *
 * Runs in:   op children of the worker, sealed twice: no capability, nothing to open
 * Input:     typed requests of the worker; content of the file
 * May touch: the one descriptor; memfds for its content
 * Must not:  read or write beyond what its rule allows
 */
#ifndef POSTERN_WORKER_OPS_HANDLE_H
#define POSTERN_WORKER_OPS_HANDLE_H

#include "ipc/err.h"
#include "ipc/ops.h"

struct handle_file {
	int fd;
	uint64_t size_max; /* bytes of the file; UINT64_MAX: any */
};

/* Most bytes of one read (protocol 3.11). */
#define HANDLE_READ_MAX (48 * 1024 * 1024)

/*
 * One request: its arguments in ARGS, the content that came along in IN (-1: none).
 * Fills OUT, and *DATA with a sealed memfd that goes back beside it, or E and returns -1.
 */
int handle_do(const struct handle_file *h, uint32_t op, const void *args, int in,
	      struct wbuf *out, int *data, struct err *e);

/* Serve the worker until the file is closed, or nobody asks any more. */
_Noreturn void handle_serve(const struct handle_file *h);

#endif
