/*
 * frontend/bulk.c - decoded bulk data, in a memfd and never as text
 *
 * Runs in:   frontend
 * Input:     decoded bytes from the scanner
 * May touch: memfds of its own
 * Must not:  leave a memfd open that no request owns
 */
#include "frontend/frontend.h"
#include "ipc/memfd.h"

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
	b->fd = memfd_open("postern-bulk");
	return b->fd < 0 ? -1 : 0;
}

static int put(struct scan_sink *s, const uint8_t *p, size_t len)
{
	struct bulk *b = CONTAINER_OF(s, struct bulk, sink);

	if (len > b->room - b->size)
		return -1;
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
		.room = BULK_MAX,
	};
}

void bulk_drop(struct bulk *b)
{
	drop(&b->sink);
}

int bulk_take(struct bulk *b)
{
	CLEANUP(close_p) int fd = TAKE_FD(b->fd);

	b->size = 0;
	if (fd < 0 || memfd_seal(fd) < 0)
		return -1;
	return TAKE_FD(fd);
}
