/*
 * worker/journal.c - the journal, by its native protocol, without ever waiting for it
 *
 * Runs in:   worker
 * Input:     records of the worker; their texts may be the host's
 * May touch: a datagram socket of its own
 * Must not:  block, let a text become another field
 */
#include "worker/journal.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

#include "ipc/jsonw.h"
#include "ipc/launch.h"
#include "ipc/memfd.h"

static const struct sockaddr_un address = {
	.sun_family = AF_UNIX,
	.sun_path = JOURNAL_SOCKET,
};

/* ---- the socket ---- */

static bool is_connected(struct journal *j)
{
	if (!j->connected)
		j->connected = connect(j->source.fd, (const struct sockaddr *)&address,
				       sizeof(address)) == 0;
	return j->connected;
}

/* One datagram. 0, or the errno. */
static int try_send(struct journal *j, const struct msghdr *msg)
{
	if (!is_connected(j))
		return ECONNREFUSED;
	if (sendmsg(j->source.fd, msg, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		return 0;
	/* The journal that we knew is gone; another may be there. */
	if (errno != EAGAIN && errno != EMSGSIZE)
		j->connected = false;
	return errno;
}

static int send_datagram(struct journal *j, const uint8_t *entry, size_t len)
{
	struct iovec iov = {.iov_base = (void *)(uintptr_t)entry, .iov_len = len};

	return try_send(j, &(struct msghdr){.msg_iov = &iov, .msg_iovlen = 1});
}

static int send_memfd(struct journal *j, const uint8_t *entry, size_t len)
{
	CLEANUP(close_p) int fd = memfd_of("postern-record", entry, len);
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	struct msghdr msg = {
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	if (fd < 0)
		return ENOMEM;
	*c = (struct cmsghdr){
		.cmsg_level = SOL_SOCKET,
		.cmsg_type = SCM_RIGHTS,
		.cmsg_len = CMSG_LEN(sizeof(int)),
	};
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	return try_send(j, &msg);
}

static int send_entry(struct journal *j, const uint8_t *entry, size_t len)
{
	int error = EMSGSIZE;

	if (len <= JOURNAL_DATAGRAM_MAX)
		error = send_datagram(j, entry, len);
	return error == EMSGSIZE ? send_memfd(j, entry, len) : error;
}

bool journal_send(struct journal *j, const uint8_t *entry, size_t len)
{
	bool knew = j->connected;
	int error = send_entry(j, entry, len);

	if (error && knew && !j->connected)
		error = send_entry(j, entry, len);
	/* A full one wakes us when it was read; of one that is away no word comes. */
	loop_events(j->loop, &j->source, error == EAGAIN ? EPOLLOUT : 0);
	if (error && error != EAGAIN && !j->retry.armed)
		timer_arm_ms(&j->retry, JOURNAL_RETRY_MS);
	return !error;
}

static int writable(struct source *s, uint32_t events)
{
	struct journal *j = CONTAINER_OF(s, struct journal, source);

	(void)events;
	loop_events(j->loop, s, 0);
	j->ready(j);
	return 0;
}

static int retry(struct timer *t)
{
	struct journal *j = CONTAINER_OF(t, struct journal, retry);

	j->ready(j);
	return 0;
}

int journal_open(struct journal *j, struct loop *loop, void (*ready)(struct journal *j))
{
	CLEANUP(close_p)
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	*j = (struct journal){.source.fd = -1, .loop = loop, .ready = ready};
	if (fd < 0 || timer_init(loop, &j->retry, retry) < 0 ||
	    loop_add(loop, &j->source, fd, 0, writable) < 0)
		return -1;
	TAKE_FD(fd);
	return 0;
}

/* ---- the entry ---- */

/* The backslash is not, so that nobody else writes our escapes. */
static bool is_itself(const void *context, uint32_t cp)
{
	return cp != '\\' && text_is_seen(context, cp);
}

typedef void put_fn(struct wbuf *w, const struct field *f, const void *value);

static void put_int(struct wbuf *w, const struct field *f, const void *value)
{
	const struct v_int *v = value;

	(void)f;
	jsonw_i64(w, v->v);
}

static void put_u64(struct wbuf *w, const struct field *f, const void *value)
{
	const struct v_u64 *v = value;

	(void)f;
	jsonw_u64(w, v->v);
}

static void put_bool(struct wbuf *w, const struct field *f, const void *value)
{
	const struct v_bool *v = value;

	(void)f;
	jsonw_bool(w, v->v);
}

static void put_str(struct wbuf *w, const struct field *f, const void *value)
{
	const struct v_str *v = value;

	if (f->flags & F_JSON)
		wbuf_put(w, v->p, v->len);
	else
		text_escaped(w, v->p, v->len, is_itself, NULL);
}

/* Others than these a record has not: see a test. */
static put_fn *const puts_of[K_COUNT] = {
	[K_INT] = put_int,
	[K_U64] = put_u64,
	[K_BOOL] = put_bool,
	[K_STR] = put_str,
};

void journal_entry(struct wbuf *w, const struct msg_audit *r)
{
	for (uint32_t i = 0; i < schema_audit.n; i++) {
		const struct field *f = &schema_audit.fields[i];

		if (!schema_has(f, r))
			continue;
		wbuf_text(w, f->name);
		wbuf_text(w, "=");
		puts_of[f->kind](w, f, (const char *)r + f->offset);
		wbuf_text(w, "\n");
	}
	wbuf_text(w, "SYSLOG_IDENTIFIER=postern\n");
}
