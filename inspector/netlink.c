/*
 * inspector/netlink.c - tables of the kernel's network, as messages
 *
 * Runs in:   inspector
 * Input:     netlink messages; names and addresses in them: any bytes
 * May touch: one socket of NETLINK_ROUTE, opened before the seal
 * Must not:  ask for a change, take a message for an answer that is none
 */
#include "inspector/netlink.h"

#include <linux/netlink.h>
#include <sys/socket.h>

/* The kernel fills up to 32 KiB at once if there is room, so few calls are needed. */
#define RECEIVE_MAX (64 * 1024)

/* The kernel's own MAX_ERRNO: less is no error of a system call. */
#define ERRNO_MAX 4095

/* A dump that runs: what came of it so far. */
struct dump {
	uint32_t seq;
	int (*each)(void *arg, const struct nlmsghdr *m);
	void *arg;
	int result; /* of EACH; once it is not 0 the rest is only read away */
	bool done;
	bool changed;
};

bool netlink_attrs(const struct nlmsghdr *m, size_t head,
		   struct attr attrs[NETLINK_ATTRS_MAX])
{
	const uint8_t *p = (const uint8_t *)m + NLMSG_HDRLEN + NLMSG_ALIGN(head);
	const uint8_t *end = (const uint8_t *)m + m->nlmsg_len;

	memset(attrs, 0, NETLINK_ATTRS_MAX * sizeof(*attrs));
	if (m->nlmsg_len < NLMSG_HDRLEN + NLMSG_ALIGN(head))
		return false;
	while ((size_t)(end - p) >= sizeof(struct rtattr)) {
		struct rtattr a;
		size_t type;

		memcpy(&a, p, sizeof(a));
		if (a.rta_len < sizeof(a) || a.rta_len > (size_t)(end - p)) {
			memset(attrs, 0, NETLINK_ATTRS_MAX * sizeof(*attrs));
			return false;
		}
		type = a.rta_type & NLA_TYPE_MASK;
		if (type < NETLINK_ATTRS_MAX)
			attrs[type] = (struct attr){p + sizeof(a), a.rta_len - sizeof(a)};
		p += min_size(RTA_ALIGN(a.rta_len), (size_t)(end - p));
	}
	return true;
}

static int ask(struct inspector *in, uint16_t type, uint32_t seq)
{
	struct {
		struct nlmsghdr head;
		struct rtgenmsg gen;
	} q = {
		.head = {.nlmsg_len = NLMSG_LENGTH(sizeof(q.gen)),
			 .nlmsg_type = type,
			 .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
			 .nlmsg_seq = seq},
		.gen.rtgen_family = AF_UNSPEC,
	};
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	struct iovec iov = {.iov_base = &q, .iov_len = q.head.nlmsg_len};
	struct msghdr msg = {
		.msg_name = &kernel,
		.msg_namelen = sizeof(kernel),
		.msg_iov = &iov,
		.msg_iovlen = 1,
	};

	return in->net->send(in->route, &msg) < 0 ? -1 : 0;
}

/* The last message tells how the dump went: it may fail after its first part. */
static int last(const struct nlmsghdr *m)
{
	int error;

	if (m->nlmsg_len < NLMSG_LENGTH(sizeof(error)))
		return errno = EBADMSG, -1;
	memcpy(&error, NLMSG_DATA(m), sizeof(error));
	if (error < 0)
		return errno = error < -ERRNO_MAX ? EBADMSG : -error, -1;
	/* An error of 0 acknowledges a change; we asked for none. */
	return m->nlmsg_type == NLMSG_DONE ? 0 : (errno = EBADMSG, -1);
}

/* One message of the kernel. 0, or -1 with errno. */
static int message(struct dump *d, const struct nlmsghdr *m)
{
	if (m->nlmsg_seq != d->seq)
		return 0; /* left over from a question that was given up */
	d->changed |= m->nlmsg_flags & NLM_F_DUMP_INTR;
	if (m->nlmsg_type == NLMSG_DONE || m->nlmsg_type == NLMSG_ERROR) {
		d->done = true;
		return last(m);
	}
	if (d->result == 0)
		d->result = d->each(d->arg, m);
	return 0;
}

/* All messages of one datagram. */
static int datagram(struct dump *d, const uint8_t *p, size_t len)
{
	while (len >= NLMSG_HDRLEN && !d->done) {
		const struct nlmsghdr *m = (const void *)p;
		size_t step;

		if (m->nlmsg_len < NLMSG_HDRLEN || m->nlmsg_len > len)
			return errno = EBADMSG, -1;
		if (message(d, m) < 0)
			return -1;
		step = min_size(NLMSG_ALIGN(m->nlmsg_len), len);
		p += step;
		len -= step;
	}
	return 0;
}

static int receive(struct inspector *in, struct dump *d, uint8_t *buf)
{
	struct sockaddr_nl from = {0};
	struct iovec iov = {.iov_base = buf, .iov_len = RECEIVE_MAX};
	struct msghdr msg = {
		.msg_name = &from,
		.msg_namelen = sizeof(from),
		.msg_iov = &iov,
		.msg_iovlen = 1,
	};
	ssize_t n = in->net->receive(in->route, &msg);

	if (n < 0 && errno == EINTR)
		return 0;
	if (n <= 0)
		return n < 0 ? -1 : (errno = EBADMSG, -1);
	if (msg.msg_flags & MSG_TRUNC)
		return errno = EMSGSIZE, -1;
	/* Another process may send to the socket; only the kernel has number 0. */
	if (from.nl_family != AF_NETLINK || from.nl_pid)
		return 0;
	return datagram(d, buf, (size_t)n);
}

int netlink_dump(struct inspector *in, uint16_t type,
		 int (*each)(void *arg, const struct nlmsghdr *m), void *arg)
{
	struct dump d = {.seq = ++in->route_seq, .each = each, .arg = arg};
	uint8_t *buf;

	if (in->route < 0)
		return errno = ENOENT, -1;
	buf = arena_room(&in->arena, RECEIVE_MAX);
	if (!buf)
		return errno = ENOMEM, -1;
	if (ask(in, type, d.seq) < 0)
		return -1;
	while (!d.done)
		if (receive(in, &d, buf) < 0)
			return -1;
	if (d.result)
		return d.result;
	return d.changed ? (errno = EINTR, -1) : 0;
}
