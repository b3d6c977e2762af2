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
 * read until it has no more. Opening by the host wakes the port's queue.
 *
 * That the host opened or closed reaches the guest on another way than its data, so
 * either may come first: data, then 0 or a hang-up, can be a client that left or one that
 * has just come. It is doubted for HOST_GONE_MS, then taken to have left. Opening and
 * closing quickly merges into one edge, so nothing depends on seeing it go (DESIGN
 * section 11).
 *
 * A serial line says nothing of the other side: somebody is always there, and the end of
 * its input is the end of the line, which the supervisor opens anew.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syslog.h>

#include <linux/vm_sockets.h>

#include "frontend/frontend.h"
#include "ipc/launch.h"

/* Longer than the kernel may take to tell a port that a host has opened it. */
#define HOST_GONE_MS 250

/* ---- out ---- */

static void out_clear(struct channel *c)
{
	wbuf_free(&c->out);
	content_drop(&c->content);
	c->out.plain = true;
	c->out_done = 0;
	c->cut = false;
}

/*
 * What was written makes room, however long the host keeps the buffer from running empty;
 * not for every few bytes, or moving would cost more than writing. A large buffer is
 * given back.
 */
static void out_settle(struct channel *c)
{
	size_t pending = c->out.len - c->out_done;

	if (pending && c->out_done < OUT_HIGH)
		return;
	if (pending)
		memmove(c->out.p, c->out.p + c->out_done, pending);
	else if (c->out.cap > OUT_HIGH)
		wbuf_free(&c->out);
	if (!c->out.plain && c->out.len)
		explicit_bzero(c->out.p + pending, c->out.len - pending);
	content_move(&c->content, c->out_done);
	c->out.len = pending;
	c->out.plain = c->out.plain || !pending;
	c->out_done = 0;
}

/* Some of what comes next, with content where it belongs: as write(2). */
static ssize_t out_write(struct channel *c)
{
	struct content *k = &c->content;
	ssize_t n;

	if (!content_left(k) && content_waits(k) &&
	    content_fill(k, &c->out, &c->out_done) < 0)
		return -1;
	if (content_left(k))
		return content_write(k, c->link.fd, &c->cut);
	n = write(c->link.fd, c->out.p + c->out_done, c->out.len - c->out_done);
	if (n > 0) {
		c->out_done += (size_t)n;
		c->cut = c->out.p[c->out_done - 1] != '\n';
	}
	return n;
}

/* 0: all is written, or the rest waits for room. -1: nobody is there to read it. */
static int out_flush(struct channel *c)
{
	ssize_t n = 0;

	while (channel_pending(c) && n >= 0) {
		n = out_write(c);
		if (n < 0 && errno == EINTR)
			n = 0;
	}
	if (n < 0 && errno != EAGAIN)
		return -1;
	out_settle(c);
	return 0;
}

/* ---- the client comes and goes ---- */

/*
 * Nothing of what was scanned may stay: it can be a password, and the next read may be
 * short or never come. Before each wait, and not after each read: data that streams in is
 * overwritten by what follows.
 */
static void in_wipe(struct channel *c)
{
	explicit_bzero(c->in, c->in_at);
	if (c->in_at == c->in_len)
		c->in_at = c->in_len = 0;
	explicit_bzero(c->in + c->in_len, c->in_top - c->in_len);
	c->in_top = c->in_len;
}

static int watch(struct frontend *f), turn(struct frontend *f);

/*
 * Nobody reads any more what waits to be written. What the client asked for is carried
 * out all the same, and now: an order must not lie about until somebody else comes.
 */
static void client_left(struct frontend *f)
{
	session_end(f);
	out_clear(&f->channel);
	queue_pump(f);
}

/* And it will send no more: what it left half-said is of no use. */
static void client_gone(struct frontend *f)
{
	f->channel.in_at = f->channel.in_len = 0;
	in_wipe(&f->channel);
	scan_reset(f->scan);
	client_left(f);
}

static int serve(struct frontend *f, int fd);

static int disconnect(struct frontend *f)
{
	struct channel *c = &f->channel;
	int fd = c->link.fd;

	client_gone(f);
	loop_remove(&f->loop, &c->link);
	close_p(&fd);
	c->eof = false;
	if (c->next >= 0)
		return serve(f, TAKE_FD(c->next));
	return loop_events(&f->loop, &c->listener, EPOLLIN);
}

/* ---- is a host at the port? ---- */

/* Is there a place for what the next bytes ask for? */
static bool has_room(const struct frontend *f)
{
	return !queue_full(&f->queue) && !channel_full(&f->channel);
}

static bool has_input(const struct channel *c)
{
	return c->in_at < c->in_len;
}

/* Can what comes next be read? */
static bool reads_on(const struct frontend *f)
{
	return !has_input(&f->channel) && has_room(f);
}

static void host_here(struct channel *c)
{
	if (c->host != HOST_HERE)
		timer_disarm(&c->doubt);
	c->host = HOST_HERE;
}

static void host_doubted(struct channel *c)
{
	c->host = HOST_DOUBTED;
	timer_arm_ms(&c->doubt, HOST_GONE_MS);
}

static int on_doubt(struct timer *t)
{
	struct frontend *f = CONTAINER_OF(t, struct frontend, channel.doubt);

	if (reads_on(f)) { /* all it sent was read; what comes now is another's */
		f->channel.host = HOST_AWAY;
		client_gone(f);
	} else {
		f->channel.host = HOST_LEFT;
		client_left(f);
	}
	return turn(f);
}

/* ---- in ---- */

/* Scan what was read as long as there is room. Returns a loop result. */
static int scan_input(struct frontend *f)
{
	struct channel *c = &f->channel;

	while (has_input(c) && has_room(f)) {
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
		bulk_drop(&f->bulk);
		queue_put(f, it);
		queue_pump(f);
	}
	return 0;
}

/* INPUT_LAST: read, and there is no more at present. */
enum input { INPUT_READ, INPUT_LAST, INPUT_NONE, INPUT_END, INPUT_LOST };

static enum input read_input(struct frontend *f)
{
	struct channel *c = &f->channel;
	ssize_t n = read(c->link.fd, c->in, sizeof(c->in));

	if (n > 0) {
		c->in_at = 0;
		c->in_len = (size_t)n;
		if (c->in_top < c->in_len)
			c->in_top = c->in_len;
		/* Data can be there before the news that there is a host. */
		if (c->host == HOST_AWAY || c->host == HOST_DOUBTED)
			host_doubted(c);
		if (c->host != HOST_LEFT)
			session_begin(f);
		/* A port has to say so itself: it is watched for edges. */
		return c->port || c->in_len == sizeof(c->in) ? INPUT_READ : INPUT_LAST;
	}
	if (n == 0)
		return c->kind == CHANNEL_SERIAL ? INPUT_LOST : INPUT_END;
	if (errno == EAGAIN)
		host_here(c);
	return errno == EAGAIN || errno == EINTR ? INPUT_NONE : INPUT_LOST;
}

/* A port that fails is the supervisor's to open anew; a connection just ends. */
static int lost(struct frontend *f)
{
	if (!f->channel.port)
		return disconnect(f);
	loop_stop(&f->loop, EXIT_CHANNEL);
	return 0;
}

/* The port's host seems to be away, or the client will send no more. */
static void end_of_input(struct frontend *f)
{
	struct channel *c = &f->channel;

	if (!c->port) {
		c->eof = true;
	} else if (c->host == HOST_LEFT) {
		c->host = HOST_AWAY;
		client_gone(f);
	} else if (c->host == HOST_HERE) {
		host_doubted(c);
	}
}

/*
 * Scan and answer what is there until nothing more comes of it or the host does not take
 * it. Leaves output behind only after the kernel refused some: with an edge-triggered
 * port, nothing else would wake us for it.
 */
static int work(struct frontend *f)
{
	struct channel *c = &f->channel;
	bool wrote;

	do {
		if (scan_input(f) < 0)
			return -1;
		queue_pump(f);
		wrote = channel_pending(c);
		if (wrote && out_flush(c) < 0)
			return lost(f);
		/* What was written made room for what waits in the queue, too. */
	} while (wrote && !channel_pending(c) && c->link.fd >= 0);
	return 0;
}

/* Reads in a row before others get their turn: a host can write faster than we read. */
#define READS_MAX 16

/* INPUT: what is known of it so far. */
static int go_on(struct frontend *f, enum input input)
{
	struct channel *c = &f->channel;

	for (int i = 0; input <= INPUT_LAST; i++) {
		int r = work(f);

		if (r < 0 || c->link.fd < 0)
			return r;
		if (c->eof || !reads_on(f) || input == INPUT_LAST)
			break;
		if (i == READS_MAX) {
			/* Asking anew gives a new edge if there is more. */
			c->link.events = 0;
			break;
		}
		input = read_input(f);
	}
	if (input == INPUT_LOST)
		return lost(f);
	if (input == INPUT_END)
		end_of_input(f);
	return watch(f);
}

static int turn(struct frontend *f)
{
	return go_on(f, INPUT_READ);
}

/* ---- readiness ---- */

/* Ask for what can be used, and end a connection that is finished. */
static int watch(struct frontend *f)
{
	struct channel *c = &f->channel;
	uint32_t events = c->port ? EPOLLET : 0;

	in_wipe(c);
	if (c->eof && !channel_pending(c) && !has_input(c) && !queue_owes(f))
		return disconnect(f);
	if (!c->eof && reads_on(f))
		events |= EPOLLIN;
	if (channel_pending(c) || c->host != HOST_HERE)
		events |= EPOLLOUT;
	return loop_events(&f->loop, &c->link, events);
}

static int link_event(struct source *s, uint32_t events)
{
	struct frontend *f = CONTAINER_OF(s, struct frontend, channel.link);
	struct channel *c = &f->channel;
	bool hung_up = events & (EPOLLHUP | EPOLLERR);

	/* Both directions are closed: whoever asked cannot be answered. */
	if (hung_up && c->kind != CHANNEL_PORT && !(events & EPOLLIN))
		return lost(f);
	/* Not left to reading: with our buffers full we do not read. */
	if (c->port && !hung_up)
		host_here(c);
	else if (c->kind == CHANNEL_PORT && c->host == HOST_HERE)
		host_doubted(c);
	return turn(f);
}

bool channel_may_serve(enum channel_kind kind, const struct sockaddr_vm *addr)
{
	/* Processes of the guest itself can connect, too: by its own number or by 1. */
	return kind != CHANNEL_VSOCK ||
	       (addr->svm_family == AF_VSOCK && addr->svm_cid == VMADDR_CID_HOST);
}

static int turn_away(struct frontend *f, const struct sockaddr_vm *addr)
{
	char line[96] = {LOG_WARNING};
	int len = snprintf(line + 1, sizeof(line) - 1,
			   "vsock: a client with CID %u was turned away, only the host "
			   "is served",
			   addr->svm_cid);

	peer_send(&f->worker, &(struct frame){.type = FRAME_LOG,
					      .body = (const uint8_t *)line,
					      .len = 1 + (uint32_t)len});
	return 0;
}

/* FD is ours. One client at a time; the next one waits without an answer (protocol 1.1).
 */
static int serve(struct frontend *f, int fd)
{
	struct channel *c = &f->channel;

	if (loop_add(&f->loop, &c->link, fd, EPOLLIN, link_event) < 0) {
		close_p(&fd);
		return -1;
	}
	/* Where some are turned away, nobody of these waits for a client to end. */
	return loop_events(&f->loop, &c->listener,
			   c->kind == CHANNEL_VSOCK ? EPOLLIN : 0);
}

static int listener_event(struct source *s, uint32_t events)
{
	struct frontend *f = CONTAINER_OF(s, struct frontend, channel.listener);
	struct channel *c = &f->channel;
	struct sockaddr_vm addr = {0};
	socklen_t len = sizeof(addr);
	CLEANUP(close_p)
	int fd = accept4(s->fd, (struct sockaddr *)&addr, &len,
			 SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	/* Out of descriptors: it would be asked again at once, for ever. */
	if (fd < 0)
		return errno == EMFILE || errno == ENFILE ? -1 : 0;
	if (!channel_may_serve(c->kind, &addr))
		return turn_away(f, &addr);
	if (c->link.fd < 0)
		return serve(f, TAKE_FD(fd));
	c->next = TAKE_FD(fd);
	return loop_events(&f->loop, s, 0);
}

int channel_resume(struct frontend *f)
{
	const struct channel *c = &f->channel;

	if (c->link.fd < 0)
		return 0;
	/* What a connection has to read is told again; for a port only new input is. */
	return go_on(f, c->port ? INPUT_READ : INPUT_LAST);
}

int channel_init(struct frontend *f, int fd, enum channel_kind kind)
{
	struct channel *c = &f->channel;

	c->kind = kind;
	c->port = kind == CHANNEL_PORT || kind == CHANNEL_SERIAL;
	c->link.fd = c->listener.fd = c->next = -1;
	c->out = wbuf_growing(OUT_MAX);
	c->out.plain = true;
	if (c->port && timer_init(&f->loop, &c->doubt, on_doubt) < 0)
		return -1;
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
