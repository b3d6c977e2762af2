/*
 * frontend/channel.c - bytes from and to the host
 *
 * Runs in:   frontend
 * Input:     bytes of the host: hostile
 * May touch: the port, or the listener and one connection
 * Must not:  block, wait in a loop, write anything but replies
 *
 * A port (virtio) stays open for ever. While no host is there, reading gives 0 and the
 * kernel reports a hang-up on every level-triggered wait; so it is watched for edges, and
 * read until it has no more. Opening by the host wakes the port's queue. A host that
 * closes and opens quickly merges into one edge, so nothing depends on seeing it go
 * (DESIGN section 11).
 */
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "frontend/frontend.h"
#include "ipc/launch.h"

/* ---- out
 * -------------------------------------------------------------------------------- */

static void out_clear(struct channel *c)
{
	wbuf_free(&c->out);
	c->out_done = 0;
	c->cut = false;
}

/* A written buffer is emptied; a large one is given back. */
static void out_settle(struct channel *c)
{
	c->out.len = c->out_done = 0;
	c->cut = false;
	if (c->out.cap > OUT_HIGH)
		wbuf_free(&c->out);
}

/*
 * What was written makes room for what is answered before a slow reader has taken all.
 * Each time less is moved than was written.
 */
static void out_compact(struct channel *c)
{
	size_t pending = channel_pending(c);

	if (c->out_done < OUT_HIGH || pending >= OUT_HIGH)
		return;
	memmove(c->out.p, c->out.p + c->out_done, pending);
	c->out.len = pending;
	c->out_done = 0;
}

/* 0: all is written, or the rest waits for room. -1: nobody is there to read it. */
static int out_flush(struct channel *c)
{
	while (channel_pending(c)) {
		ssize_t n = write(c->link.fd, c->out.p + c->out_done, channel_pending(c));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0)
			return -1;
		c->out_done += (size_t)n;
		c->cut = c->out.p[c->out_done - 1] != '\n';
	}
	if (channel_pending(c))
		out_compact(c);
	else
		out_settle(c);
	return 0;
}

/* ---- the client comes and goes
 * ------------------------------------------------------------ */

static int watch(struct frontend *f);

/* Nobody reads any more what is waiting to be written. */
static void client_gone(struct frontend *f)
{
	session_end(f);
	scan_reset(f->scan);
	out_clear(&f->channel);
	f->channel.in_at = f->channel.in_len = 0;
}

static void disconnect(struct frontend *f)
{
	struct channel *c = &f->channel;
	int fd = c->link.fd;

	client_gone(f);
	loop_remove(&f->loop, &c->link);
	close_p(&fd);
	c->eof = false;
	loop_events(&f->loop, &c->listener, EPOLLIN);
}

/* ---- in
 * ------------------------------------------------------------------------------------ */

/* Scan what was read until the queue is full. Returns a loop result. */
static int scan_input(struct frontend *f)
{
	struct channel *c = &f->channel;

	while (c->in_at < c->in_len && !queue_full(&f->queue) &&
	       channel_pending(c) < OUT_HIGH) {
		enum scan_event event;
		struct item *it;

		c->in_at += scan_feed(f->scan, c->in + c->in_at, c->in_len - c->in_at,
				      &event);
		if (event == SCAN_MORE)
			continue;
		it = event == SCAN_REQUEST ? request_item(f) : error_item(f);
		if (!it)
			return -1;
		/* What the item was made of is given back now, not with the next byte. */
		scan_feed(f->scan, NULL, 0, &event);
		queue_put(f, it);
		queue_pump(f);
	}
	return 0;
}

static bool wants_input(const struct frontend *f)
{
	const struct channel *c = &f->channel;

	return c->in_at == c->in_len && !queue_full(&f->queue) &&
	       channel_pending(c) < OUT_HIGH;
}

/* The port's host is away, or the client will send no more. */
static void end_of_input(struct frontend *f)
{
	struct channel *c = &f->channel;

	if (c->port) {
		c->away = true;
		client_gone(f);
	} else {
		c->eof = true;
	}
}

enum input { INPUT_READ, INPUT_NONE, INPUT_END, INPUT_LOST };

static enum input read_input(struct frontend *f)
{
	struct channel *c = &f->channel;
	ssize_t n = read(c->link.fd, c->in, sizeof(c->in));

	if (n > 0) {
		c->in_at = 0;
		c->in_len = (size_t)n;
		c->away = false;
		session_begin(f);
		return INPUT_READ;
	}
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? INPUT_NONE : INPUT_LOST;
	return INPUT_END;
}

/* A port that fails is the supervisor's to open anew; a connection just ends. */
static int lost(struct frontend *f)
{
	if (f->channel.port)
		return loop_stop(&f->loop, EXIT_CHANNEL), 0;
	disconnect(f);
	return 0;
}

/*
 * Scan and answer what is there until nothing more comes of it or the host does not take
 * it. Leaves output behind only after the kernel refused some: with an edge-triggered
 * port, nothing else would wake us for it.
 */
static int work(struct frontend *f)
{
	struct channel *c = &f->channel;

	for (;;) {
		if (scan_input(f) < 0)
			return -1;
		queue_pump(f);
		if (!channel_pending(c))
			return 0;
		if (out_flush(c) < 0)
			return lost(f);
		if (channel_pending(c))
			return 0;
	}
}

static int turn(struct frontend *f)
{
	struct channel *c = &f->channel;
	enum input input = INPUT_READ;

	while (input == INPUT_READ) {
		int r = work(f);

		if (r < 0 || c->link.fd < 0)
			return r;
		if (c->eof || !wants_input(f))
			break;
		input = read_input(f);
	}
	if (input == INPUT_LOST)
		return lost(f);
	if (input == INPUT_END)
		end_of_input(f);
	return watch(f);
}

/* ---- readiness
 * ------------------------------------------------------------------------------ */

/* Ask for what can be used, and end a connection that is finished. */
static int watch(struct frontend *f)
{
	struct channel *c = &f->channel;
	uint32_t events = 0;

	if (!c->port && c->eof && !channel_pending(c) && !queue_owes(f) &&
	    c->in_at == c->in_len) {
		disconnect(f);
		return 0;
	}
	if (wants_input(f) && !c->eof)
		events |= EPOLLIN;
	if (channel_pending(c) || c->away)
		events |= EPOLLOUT;
	if (c->port)
		events |= EPOLLET;
	return loop_events(&f->loop, &c->link, events);
}

static int link_event(struct source *s, uint32_t events)
{
	struct frontend *f = CONTAINER_OF(s, struct frontend, channel.link);

	/* Both directions are closed: whoever asked cannot be answered. */
	if (!f->channel.port && events & (EPOLLHUP | EPOLLERR) && !(events & EPOLLIN)) {
		disconnect(f);
		return 0;
	}
	return turn(f);
}

static int listener_event(struct source *s, uint32_t events)
{
	struct frontend *f = CONTAINER_OF(s, struct frontend, channel.listener);
	CLEANUP(close_p)
	int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd < 0)
		return 0;
	if (loop_add(&f->loop, &f->channel.link, fd, EPOLLIN, link_event) < 0)
		return -1;
	TAKE_FD(fd);
	/* One client at a time; the next waits in the backlog (protocol 1.1). */
	return loop_events(&f->loop, s, 0);
}

int channel_resume(struct frontend *f)
{
	return f->channel.link.fd >= 0 ? turn(f) : 0;
}

int channel_init(struct frontend *f, int fd, bool port)
{
	struct channel *c = &f->channel;

	c->port = port;
	c->link.fd = c->listener.fd = -1;
	c->out = wbuf_growing(OUT_MAX);
	return fcntl(fd, F_SETFL, O_NONBLOCK);
}

int channel_go(struct frontend *f)
{
	struct channel *c = &f->channel;

	if (!c->port)
		return loop_add(&f->loop, &c->listener, LAUNCH_FD_EXTRA, EPOLLIN,
				listener_event);
	return loop_add(&f->loop, &c->link, LAUNCH_FD_EXTRA, EPOLLIN | EPOLLET,
			link_event);
}
