/*
 * worker/sink.c - lines out of the worker without ever waiting for a disk or terminal
 *
 * Runs in:   worker; the writer is an op child of it
 * Input:     lines of the worker
 * May touch: a socket to the writer; the writer: the two descriptors it was given
 * Must not:  block the worker, queue without bound
 */
#include "worker/sink.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "sandbox/sandbox.h"
#include "worker/fork.h"

struct sink_line {
	struct sink_line *next;
	size_t len;
	uint8_t packet[]; /* one byte of enum sink_out, then the line */
};

/* ---- the writer ---- */

/* Waits as long as it takes: that is what this process is for. */
static void write_all(int fd, const uint8_t *p, size_t len)
{
	while (len) {
		ssize_t n = write(fd, p, len);

		if (n > 0) {
			p += n;
			len -= (size_t)n;
		} else if (n < 0 && errno == EAGAIN) {
			poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, -1);
		} else if (n == 0 || errno != EINTR) {
			return; /* a full disk loses the line, not the writer */
		}
	}
}

static _Noreturn void writer(int sock, int audit_fd)
{
	uint8_t packet[1 + SINK_LINE_MAX];
	ssize_t n;

	while ((n = recv(sock, packet, sizeof(packet), 0)) > 0) {
		int fd = packet[0] == SINK_AUDIT ? audit_fd : STDERR_FILENO;

		if (fd >= 0)
			write_all(fd, packet + 1, (size_t)n - 1);
	}
	_exit(0);
}

/* ---- the worker's side ---- */

/* True if the packet is gone, false if the socket is full or has no writer any more. */
static bool send_packet(struct sink *s, const struct iovec *iov, size_t n)
{
	struct msghdr msg = {.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = n};

	return sendmsg(s->source.fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 ||
	       (errno != EAGAIN && errno != ENOBUFS && errno != EPIPE);
}

static void pop(struct sink *s)
{
	struct sink_line *line = s->head;

	s->head = line->next;
	if (!s->head)
		s->tail = &s->head;
	s->bytes -= line->len;
	free(line);
}

/* What was held; false: it is not all gone. */
static bool flush_held(struct sink *s)
{
	struct iovec iov;
	size_t at = 0, sent = 0;
	const uint8_t *p;

	while ((p = held_next(s->held, &at, &iov.iov_len))) {
		iov.iov_base = (void *)(uintptr_t)p;
		if (!send_packet(s, &iov, 1))
			break;
		sent = at;
	}
	held_forget(s->held, sent);
	return !p;
}

static void flush(struct sink *s)
{
	if (!s->holds && !flush_held(s))
		return;
	while (!s->holds && s->head) {
		struct sink_line *line = s->head;
		struct iovec iov = {.iov_base = line->packet, .iov_len = line->len};

		if (!send_packet(s, &iov, 1))
			return;
		pop(s);
	}
	loop_events(s->loop, &s->source, EPOLLIN);
}

static int sink_event(struct source *source, uint32_t events)
{
	struct sink *s = CONTAINER_OF(source, struct sink, source);
	int sock = s->source.fd;

	if (!(events & (EPOLLHUP | EPOLLERR))) {
		flush(s);
		return 0;
	}
	/* The writer died. What waits in the queue is for the next one. */
	loop_remove(s->loop, &s->source);
	close_p(&sock);
	/* One that dies as it starts may go on doing so; but the agent goes on too. */
	if (now_ms() - s->started_ms < SINK_RETRY_MS || sink_start(s) < 0)
		return timer_arm_ms(&s->retry, SINK_RETRY_MS);
	return 0;
}

static int retry(struct timer *t)
{
	struct sink *s = CONTAINER_OF(t, struct sink, retry);

	return sink_start(s) < 0 ? timer_arm_ms(t, SINK_RETRY_MS) : 0;
}

int sink_init(struct sink *s, struct loop *loop, int audit_fd, struct held_lines *held)
{
	*s = (struct sink){
		.source.fd = -1, .loop = loop, .audit_fd = audit_fd, .held = held};
	s->tail = &s->head;
	return timer_init(loop, &s->retry, retry);
}

static void writer_ended(struct child *c, int code, int status)
{
	(void)code, (void)status;
	free(c);
}

/* Fork the writer with its end of the socket. */
static int start_writer(struct sink *s, int sock)
{
	struct child *c = malloc(sizeof(*c));
	const int keep[] = {sock, s->audit_fd};
	/* Outlives a worker that is killed, to write what that one had recorded. */
	const struct fork_plan plan = {
		.roles = SC_ROLE(SANDBOX_CHILD),
		.keep = keep,
		.n_keep = s->audit_fd < 0 ? 1 : 2,
		.stderr = true,
		.outlives = true,
	};
	enum fork_side side;

	if (!c)
		return -1;
	side = worker_fork(c, s->loop, &plan, writer_ended);
	if (side == FORK_CHILD)
		writer(CHILD_FD_FIRST, s->audit_fd < 0 ? -1 : CHILD_FD_FIRST + 1);
	if (side == FORK_FAILED)
		free(c);
	return side == FORK_WORKER ? 0 : -1;
}

/* Is there something held that may go? */
static bool waits(const struct sink *s)
{
	return !s->holds && s->held->used;
}

int sink_start(struct sink *s)
{
	CLEANUP(close_p) int ours = -1;
	CLEANUP(close_p) int theirs = -1;
	uint32_t events = s->head || waits(s) ? EPOLLIN | EPOLLOUT : EPOLLIN;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	ours = pair[0];
	theirs = pair[1];
	if (start_writer(s, theirs) < 0 ||
	    loop_add(s->loop, &s->source, ours, events, sink_event) < 0)
		return -1;
	TAKE_FD(ours);
	s->started_ms = now_ms();
	return 0;
}

static int enqueue(struct sink *s, enum sink_out out, const void *text, size_t len,
		   bool must)
{
	struct sink_line *line;

	if (s->bytes + len + 1 > (must ? SINK_QUEUE_MAX : SINK_QUEUE_PLAIN))
		return -1;
	line = malloc(sizeof(*line) + 1 + len);
	if (!line)
		return -1;
	line->next = NULL;
	line->len = 1 + len;
	line->packet[0] = (uint8_t)out;
	memcpy(line->packet + 1, text, len);
	*s->tail = line;
	s->tail = &line->next;
	s->bytes += line->len;
	if (s->source.fd < 0)
		return 0;
	return loop_events(s->loop, &s->source, EPOLLIN | EPOLLOUT);
}

int sink_put(struct sink *s, enum sink_out out, const void *line, size_t len, bool must)
{
	uint8_t tag = (uint8_t)out;
	struct iovec iov[] = {
		{.iov_base = &tag, .iov_len = 1},
		{.iov_base = (void *)(uintptr_t)line, .iov_len = len},
	};

	if (len > SINK_LINE_MAX)
		return -1;
	if (s->holds)
		return held_put(s->held, must, tag, line, len) ? 0 : -1;
	if (s->head || waits(s) || s->source.fd < 0 ||
	    !send_packet(s, iov, ARRAY_SIZE(iov)))
		return enqueue(s, out, line, len, must);
	return 0;
}

void sink_hold(struct sink *s)
{
	s->holds = true;
	/* What waits for the writer waits with them, before them. */
	while (s->head && held_put(s->held, true, s->head->packet[0], s->head->packet + 1,
				   s->head->len - 1))
		pop(s);
}

void sink_release(struct sink *s)
{
	s->holds = false;
	if (s->source.fd >= 0 && (s->held->used || s->head))
		loop_events(s->loop, &s->source, EPOLLIN | EPOLLOUT);
}

void sink_end(struct sink *s)
{
	uint64_t end = now_ms() + SINK_END_MS, now;

	while (s->source.fd >= 0 && (s->head || waits(s)) && (now = now_ms()) < end) {
		struct pollfd p = {.fd = s->source.fd, .events = POLLOUT};

		flush(s);
		if (poll(&p, 1, (int)(end - now)) > 0 && p.revents & (POLLHUP | POLLERR))
			return;
	}
}
