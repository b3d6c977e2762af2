/*
 * frontend/bulk.c - decoded bulk data, in a memfd and never as text
 *
 * Runs in:   frontend
 * Input:     decoded bytes from the scanner
 * May touch: memfds of its own
 * Must not:  leave a memfd open that no request owns
 */
#include <fcntl.h>
#include <sys/mman.h>

#include "frontend/frontend.h"

static void drop(struct scan_sink *s)
{
	struct bulk *b = CONTAINER_OF(s, struct bulk, sink);

	close_p(&b->fd);
	b->size = 0;
}

static int begin(struct scan_sink *s)
{
	struct bulk *b = CONTAINER_OF(s, struct bulk, sink);

	drop(s);
	b->fd = memfd_create("postern-bulk", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	return b->fd < 0 ? -1 : 0;
}

static int put(struct scan_sink *s, const uint8_t *p, size_t len)
{
	struct bulk *b = CONTAINER_OF(s, struct bulk, sink);

	while (len) {
		ssize_t n = write(b->fd, p, len);

		if (n <= 0)
			return -1;
		p += n;
		len -= (size_t)n;
		b->size += (size_t)n;
	}
	return 0;
}

void bulk_init(struct bulk *b)
{
	*b = (struct bulk){
		.sink = {.begin = begin, .write = put, .drop = drop},
		.fd = -1,
	};
}

int bulk_take(struct bulk *b)
{
	const int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
	CLEANUP(close_p) int fd = TAKE_FD(b->fd);

	b->size = 0;
	if (fd < 0 || fcntl(fd, F_ADD_SEALS, seals) < 0)
		return -1;
	return TAKE_FD(fd);
}
