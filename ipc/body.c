/*
 * ipc/body.c - what is too large for a frame travels beside it, sealed
 *
 * Runs in:   worker, frontend, spawner
 * Input:     frames and descriptors of a peer that may be in an attacker's hands
 * May touch: memfds
 * Must not:  map what its other holder could still change or cut
 */
#include "ipc/body.h"

#include <sys/mman.h>

#include "ipc/memfd.h"

/*
 * All seals, or the sender could change or cut it while we decode, which would be a
 * SIGBUS or two readings of one request.
 */
static int map_sealed(int fd, off_t size, struct body *b)
{
	b->map_len = (size_t)size;
	b->map = mmap(NULL, b->map_len, PROT_READ, MAP_PRIVATE, fd, 0);
	if (b->map == MAP_FAILED) {
		b->map = NULL;
		return -1;
	}
	b->r = rbuf_of(b->map, b->map_len);
	return 0;
}

int body_open(const struct frame *f, struct body *b)
{
	off_t size;

	*b = (struct body){.r = rbuf_of(f->body, f->len)};
	if (!(f->flags & FRAME_BODY_FD))
		return 0;
	if (f->len || !f->n_fds)
		return -1;
	size = memfd_sealed_size(f->fds[0]);
	return size > 0 && size <= REQUEST_BODY_MAX ? map_sealed(f->fds[0], size, b) : -1;
}

int body_map(int fd, struct body *b)
{
	off_t size = memfd_sealed_size(fd);

	*b = (struct body){0};
	if (size < 0)
		return -1;
	return size ? map_sealed(fd, size, b) : 0;
}

void body_release(struct body *b)
{
	if (b->map)
		munmap(b->map, b->map_len);
	b->map = NULL;
}

int body_attach(struct frame *f, const struct wbuf *body, int *fd)
{
	*fd = -1;
	if (body->bad)
		return -1;
	if (body->len <= FRAME_BODY_MAX) {
		f->body = body->p;
		f->len = (uint32_t)body->len;
		return 0;
	}
	*fd = memfd_of("postern-request", body->p, body->len);
	if (*fd < 0)
		return -1;
	f->flags |= FRAME_BODY_FD;
	f->fds[f->n_fds++] = *fd;
	return 0;
}
