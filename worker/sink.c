/*
 * worker/sink.c - records and lines out of the worker, without ever waiting
 *
 * Runs in:   worker; the writer is an op child of it
 * Input:     records and lines of the worker
 * May touch: the journal's socket, a socket to the writer; the writer: two descriptors
 * Must not:  block the worker, queue without bound
 */
#include "worker/sink.h"

#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "sandbox/sandbox.h"
#include "worker/fork.h"

/* ---- the writer ---- */

/* Waits as long as it takes: that is what this process is for. How much was written. */
static size_t write_all(int fd, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	size_t done = 0;

	while (done < len) {
		ssize_t n = write(fd, p + done, len - done);

		if (n > 0)
			done += (size_t)n;
		else if (n < 0 && errno == EAGAIN)
			poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, -1);
		else if (n == 0 || errno != EINTR)
			break; /* a full disk loses the line, not the writer */
	}
	return done;
}

/* TORN: a part of the last one is there. That stays a line of its own. */
static bool write_record(int fd, const void *record, size_t len, bool *torn)
{
	size_t done;

	if (*torn && write_all(fd, "\n", 1) < 1)
		return false;
	done = write_all(fd, record, len);
	*torn = done && done < len;
	return done == len;
}

/* Tell of each record that is lost, and of the first that is not. */
static void tell(int sock, uint64_t lost, bool *failing)
{
	if (!lost && !*failing)
		return;
	*failing = lost;
	if (write(sock, &lost, sizeof(lost)) < 0)
		return; /* the worker is gone */
}

static _Noreturn void writer(int sock, int audit_fd)
{
	/* Not on the stack: of that, all would be memory. */
	struct {
		struct sink_order order;
		uint8_t text[SINK_LINE_MAX];
	} *packet = malloc(sizeof(*packet));
	bool failing = false, torn = false;
	ssize_t n;

	while (packet && (n = recv(sock, packet, sizeof(*packet), 0)) >=
				 (ssize_t)sizeof(packet->order)) {
		size_t len = (size_t)n - sizeof(packet->order);
		uint64_t lost = 0;

		if (!packet->order.record) {
			write_all(STDERR_FILENO, packet->text, len);
			continue;
		}
		if (!write_record(audit_fd, packet->text, len, &torn))
			lost = 1 + packet->order.dropped;
		tell(sock, lost, &failing);
	}
	_exit(0);
}

/* What the worker knows, this sink included, as far as it is whole pages. */
static void give_up(const struct sink *s)
{
	const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	const uintptr_t begin = ((uintptr_t)s->rest + page - 1) & -page;
	const uintptr_t end = ((uintptr_t)s->rest + s->rest_len) & -page;

	if (s->rest && begin < end)
		madvise((void *)begin, end - begin, MADV_DONTNEED);
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
		.fences = s->fences,
		.keep = keep,
		.n_keep = s->audit_fd < 0 ? 1 : 2,
		.stderr = true,
		.outlives = true,
	};
	enum fork_side side;

	if (!c)
		return -1;
	side = worker_fork(c, s->loop, &plan, writer_ended);
	if (side == FORK_CHILD) {
		const int file = s->audit_fd < 0 ? -1 : CHILD_FD_FIRST + 1;

		give_up(s);
		writer(CHILD_FD_FIRST, file);
	}
	if (side == FORK_FAILED)
		free(c);
	return side == FORK_WORKER ? 0 : -1;
}

/* ---- writing ---- */

/* To the writer. False: it is behind, or there is none at present. */
static bool to_writer(struct sink *s, const struct packet *packet)
{
	struct sink_order order = {
		.record = packet->kind != HELD_LINE,
		.dropped = packet->dropped,
	};
	struct iovec iov[] = {
		{.iov_base = &order, .iov_len = sizeof(order)},
		{.iov_base = (void *)(uintptr_t)packet->p, .iov_len = packet->len},
	};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = ARRAY_SIZE(iov)};

	if (s->writer.fd < 0)
		return false;
	return sendmsg(s->writer.fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

static bool write_now(void *context, const struct packet *packet)
{
	struct sink *s = context;

	if (packet->kind == HELD_LINE || s->format == SINK_JSON)
		return to_writer(s, packet);
	return s->format == SINK_NOTHING ||
	       journal_send(&s->journal, packet->p, packet->len);
}

/* Does something wait that the writer takes? */
static bool writer_owed(const struct sink *s)
{
	return held_waits(s->held, true) ||
	       (s->format == SINK_JSON && held_waits(s->held, false));
}

/* Write what waits, of records and of lines: one may be stuck while the other is not. */
static void flush(struct sink *s)
{
	if (!s->holds && held_waits(s->held, false))
		held_give(s->held, false, write_now, s);
	if (!s->holds && held_waits(s->held, true))
		held_give(s->held, true, write_now, s);
	/* While everything is held, a writer that could take some would only wake us. */
	if (s->writer.fd >= 0)
		loop_events(s->loop, &s->writer,
			    !s->holds && writer_owed(s) ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static int hold(struct sink *s, const struct packet *packet, enum sink_effort effort)
{
	size_t reserve = effort == SINK_OFFER   ? HELD_RESERVE
			 : effort == SINK_SPARE ? HELD_RESERVE / 2
						: 0;

	if (effort == SINK_NOW ||
	    !held_put(s->held, packet, packet->kind == HELD_ACT ? reserve : 0))
		return -1;
	if (!s->holds && s->writer.fd >= 0 && writer_owed(s))
		loop_events(s->loop, &s->writer, EPOLLIN | EPOLLOUT);
	return 0;
}

int sink_put(struct sink *s, const struct packet *packet, enum sink_effort effort)
{
	bool nowhere = s->broken || s->format == SINK_NOTHING;

	if (packet->len > SINK_LINE_MAX || (effort == SINK_NOW && nowhere))
		return -1;
	/* In the order in which they came. */
	if (s->holds || held_waits(s->held, packet->kind == HELD_LINE) ||
	    !write_now(s, packet))
		return hold(s, packet, effort);
	return 0;
}

bool sink_probes(struct sink *s)
{
	if (!s->broken || now_ms() - s->probed_ms < SINK_RETRY_MS)
		return false;
	s->probed_ms = now_ms();
	return true;
}

/* ---- life ---- */

static void hear(struct sink *s)
{
	uint64_t lost;

	while (recv(s->writer.fd, &lost, sizeof(lost), MSG_DONTWAIT) == sizeof(lost)) {
		s->broken = lost;
		s->held->dropped += lost;
	}
}

static int writer_event(struct source *source, uint32_t events)
{
	struct sink *s = CONTAINER_OF(source, struct sink, writer);
	int sock = source->fd;

	if (events & EPOLLIN)
		hear(s);
	if (!(events & (EPOLLHUP | EPOLLERR))) {
		flush(s);
		return 0;
	}
	/* The writer died. What is held is for the next one. */
	loop_remove(s->loop, source);
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

static void journal_ready(struct journal *j)
{
	flush(CONTAINER_OF(j, struct sink, journal));
}

int sink_init(struct sink *s, struct loop *loop, int audit_fd, bool journal,
	      struct held *held)
{
	*s = (struct sink){
		.format = journal         ? SINK_JOURNAL
			  : audit_fd >= 0 ? SINK_JSON
					  : SINK_NOTHING,
		.journal.source.fd = -1,
		.writer.fd = -1,
		.loop = loop,
		.audit_fd = audit_fd,
		.held = held,
	};
	held_check(held, s->format);
	if (journal && journal_open(&s->journal, loop, journal_ready) < 0)
		return -1;
	return timer_init(loop, &s->retry, retry);
}

int sink_start(struct sink *s)
{
	CLEANUP(close_p) int ours = -1;
	CLEANUP(close_p) int theirs = -1;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	ours = pair[0];
	theirs = pair[1];
	if (start_writer(s, theirs) < 0 ||
	    loop_add(s->loop, &s->writer, ours, EPOLLIN, writer_event) < 0)
		return -1;
	TAKE_FD(ours);
	s->started_ms = now_ms();
	s->broken = false; /* of that, this one knows nothing */
	flush(s);
	return 0;
}

void sink_hold(struct sink *s)
{
	s->holds = true;
}

void sink_release(struct sink *s)
{
	s->holds = false;
	flush(s);
}

void sink_end(struct sink *s)
{
	const uint64_t end = now_ms() + SINK_END_MS;
	uint64_t now;

	for (flush(s); (now = now_ms()) < end; flush(s)) {
		/* A full one: of what else may fail, no moment more is of use. */
		bool entries =
			s->format == SINK_JOURNAL && s->journal.source.events & EPOLLOUT;
		struct pollfd p[] = {
			{.fd = s->writer.fd, .events = POLLOUT},
			{.fd = s->journal.source.fd, .events = POLLOUT},
		};

		if (!writer_owed(s) || s->writer.fd < 0)
			p[0].fd = -1;
		if (!entries)
			p[1].fd = -1;
		/* Nothing waits, or nobody is there for whom one could wait. */
		if (s->holds || (p[0].fd < 0 && p[1].fd < 0))
			return;
		if (poll(p, ARRAY_SIZE(p), (int)(end - now)) > 0 &&
		    p[0].revents & (POLLHUP | POLLERR))
			return;
	}
}
