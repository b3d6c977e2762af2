/*
 * ctl/link.c - a connection to an agent, as a host has one
 *
 * Runs in:   posternctl, as the user who calls it
 * Input:     lines of an agent: any bytes
 * May touch: the agent's socket
 * Must not:  wait longer than it was told, hold more than REPLY_MAX
 */
#include "ctl/link.h"

#include <cjson/cJSON.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "ctl/ctl.h"
#include "ipc/loop.h"

/* ---- the connection ---- */

const char *const wait_errors[] = {
	[TIMEOUT] = "no answer in time",
	[CLOSED] = "the agent closed the connection",
	[TOO_LONG] = "the reply is too long",
};

void link_done(struct link *l)
{
	close_p(&l->fd);
	wbuf_free(&l->in);
}

int link_open(struct link *l, const char *path, uint64_t timeout_ms)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	size_t len = strlen(path);
	/* A full backlog makes connect wait, and only this bounds it. */
	struct timeval limit = {.tv_sec = (time_t)(timeout_ms / 1000),
				.tv_usec = (suseconds_t)(timeout_ms % 1000 * 1000)};

	*l = (struct link){
		.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0),
		.timeout_ms = timeout_ms,
		.in = wbuf_growing(REPLY_MAX),
	};
	if (len >= sizeof(addr.sun_path))
		return ctl_fail("%s: a socket's path has at most %zu bytes", path,
				sizeof(addr.sun_path) - 1);
	memcpy(addr.sun_path, path, len);
	if (l->fd < 0 ||
	    setsockopt(l->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0 ||
	    connect(l->fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
		return ctl_fail("cannot connect to %s: %s", path,
				errno == EAGAIN ? "not accepted in time"
						: strerror(errno));
	return CTL_OK;
}

/* Send what there is room for; what is left is in OUT. */
static void link_send(struct link *l, struct rbuf *out)
{
	ssize_t n = send(l->fd, out->p, rbuf_left(out), MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n > 0)
		rbuf_take(out, (size_t)n);
	else if (errno != EAGAIN && errno != EINTR)
		/* It may have answered before it went: what came is still read. */
		l->mute = true;
}

static void link_receive(struct link *l)
{
	char piece[64 * 1024];
	ssize_t n = recv(l->fd, piece, sizeof(piece), MSG_DONTWAIT);

	if (n > 0)
		wbuf_put(&l->in, piece, (size_t)n);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		l->closed = true;
}

/* Take a line that is complete; true with its LEN bytes, LF included. */
static bool link_take(struct link *l, const char **line, size_t *len)
{
	size_t from = l->given + l->searched;
	const uint8_t *start;
	const uint8_t *end;

	if (l->in.len == from)
		return false;
	start = l->in.p + l->given;
	end = memchr(l->in.p + from, '\n', l->in.len - from);
	if (!end) {
		l->searched = l->in.len - l->given;
		return false;
	}
	*line = (const char *)start;
	*len = (size_t)(end - start) + 1;
	l->given += *len;
	l->searched = 0;
	return true;
}

/* Forget the lines given out. */
static void link_compact(struct link *l)
{
	if (!l->given)
		return;
	memmove(l->in.p, l->in.p + l->given, l->in.len - l->given);
	l->in.len -= l->given;
	l->given = 0;
}

static enum waited line_by(struct link *l, struct rbuf *out, uint64_t deadline,
			   const char **line, size_t *len)
{
	link_compact(l);
	while (!link_take(l, line, len)) {
		struct pollfd p = {.fd = l->fd, .events = POLLIN};
		uint64_t now = now_ms();

		if (rbuf_left(out) && !l->mute)
			p.events |= POLLOUT;
		if (l->in.bad)
			return TOO_LONG;
		if (l->closed)
			return CLOSED;
		if (now >= deadline)
			return TIMEOUT;
		if (poll(&p, 1, (int)(deadline - now)) <= 0)
			continue;
		if (p.revents & POLLOUT)
			link_send(l, out);
		if (p.revents & (POLLIN | POLLHUP | POLLERR))
			link_receive(l);
	}
	return LINE;
}

enum waited link_line(struct link *l, struct rbuf *out, const char **line, size_t *len)
{
	return line_by(l, out, now_ms() + l->timeout_ms, line, len);
}

/* ---- the handshake ---- */

/* Is LINE the answer to a delimited sync with ID? What stands before 0xFF is garbage. */
static bool is_sync_reply(const char *line, size_t len, double id)
{
	const char *mark = memrchr(line, SENTINEL, len);
	cJSON *reply;
	bool ours;

	if (!mark)
		return false;
	mark++;
	reply = cJSON_ParseWithLength(mark, (size_t)(line + len - mark));
	/* NaN, equal to nothing, if there is no such number. */
	ours = cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(reply, "return")) ==
	       id;
	cJSON_Delete(reply);
	return ours;
}

enum waited link_sync(struct link *l)
{
	uint64_t deadline = now_ms() + l->timeout_ms;
	char text[128];
	uint32_t id; /* exact in a double */
	const char *line;
	struct rbuf out;
	enum waited w;
	size_t len;

	if (getrandom(&id, sizeof(id), 0) != sizeof(id))
		id = (uint32_t)deadline;
	out = rbuf_of(text, (size_t)snprintf(text, sizeof(text),
					     "%c{\"execute\": \"guest-sync-delimited\", "
					     "\"arguments\": {\"id\": %u}}\n",
					     SENTINEL, id));
	do {
		w = line_by(l, &out, deadline, &line, &len);
	} while (w == LINE && !is_sync_reply(line, len, id));
	return w;
}
