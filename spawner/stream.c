/*
 * spawner/stream.c - what a program writes, as far as it is kept
 *
 * Runs in:   spawner
 * Input:     bytes of a program: any, and as many as it likes
 * May touch: the pipe, a memfd
 * Must not:  keep more than the bounds, let a program wait for us
 */
#include "ipc/memfd.h"
#include "spawner/spawner.h"

int stream_open(struct stream *st, struct loop *loop, int fd, source_fn *fn)
{
	CLEANUP(close_p) int pipe = fd;

	st->fd = memfd_open("postern-output");
	if (st->fd < 0 || loop_add(loop, &st->pipe, pipe, EPOLLIN, fn) < 0)
		return -1;
	TAKE_FD(pipe);
	return 0;
}

/* Keep what there is room for. */
static void keep(struct stream *st, struct spawner *s, uint64_t max, const uint8_t *p,
		 size_t len)
{
	uint64_t room = st->size < max ? max - st->size : 0;
	size_t n = min_size(len, min_size(room, OUTPUT_ALL_MAX - s->held));
	ssize_t kept = n ? write(st->fd, p, n) : 0;

	if (kept < (ssize_t)len)
		st->truncated = true;
	if (kept > 0) {
		st->size += (uint64_t)kept;
		s->held += (uint64_t)kept;
	}
}

bool stream_read(struct stream *st, struct spawner *s, uint64_t max)
{
	ssize_t n = read(st->pipe.fd, s->piece, sizeof(s->piece));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n <= 0) {
		stream_hang_up(st, &s->loop);
		return false;
	}
	if (st->stands)
		return true;
	st->seen += (uint64_t)n;
	keep(st, s, max, s->piece, (size_t)n);
	return true;
}

void stream_settle(struct stream *st)
{
	st->stands = true;
	if (st->fd >= 0)
		memfd_seal(st->fd);
}

void stream_hang_up(struct stream *st, struct loop *loop)
{
	int fd = st->pipe.fd;

	if (fd < 0)
		return;
	loop_remove(loop, &st->pipe);
	close_p(&fd);
}

void stream_drop(struct stream *st, struct spawner *s)
{
	stream_hang_up(st, &s->loop);
	close_p(&st->fd);
	s->held -= st->size;
	st->size = 0;
}
