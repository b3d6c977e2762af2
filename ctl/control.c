/*
 * ctl/control.c - the control socket of a running agent
 *
 * Runs in:   posternctl, as the user who calls it: root, or who runs the agent
 * Input:     frames of the agent; decoded, bounded
 * May touch: the socket
 * Must not:  wait without end for who does not answer
 */
#include "ctl/control.h"

#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "ctl/ctl.h"
#include "ipc/loop.h"
#include "ipc/peer.h"

#define ARENA_BYTES (64 * 1024)

void control_done(struct control_link *l)
{
	close_p(&l->fd);
	free(l->arena.p);
	l->arena.p = NULL;
}

/* ---- frames ---- */

/* The next frame. Its descriptors are F's. */
static int receive(struct control_link *l, uint64_t timeout_ms, struct frame *f)
{
	const uint64_t deadline = timeout_ms ? now_ms() + timeout_ms : UINT64_MAX;

	*f = (struct frame){.fds = {-1, -1}};
	for (;;) {
		struct pollfd p = {.fd = l->fd, .events = POLLIN};
		uint64_t now = now_ms();
		int wait = timeout_ms ? (int)(deadline - now) : -1;
		enum frame_status status;

		if (now >= deadline)
			return ctl_fail("the agent did not answer in time");
		if (poll(&p, 1, wait) <= 0)
			continue;
		status = frame_recv(l->fd, l->buf, f);
		if (status == FRAME_OK)
			return CTL_OK;
		if (status == FRAME_INVALID)
			return ctl_fail("what answers is no agent");
		if (status == FRAME_GONE)
			return ctl_fail("the agent hung up: it ends, serves others at "
					"present, or serves root alone");
	}
}

static int send_frame(struct control_link *l, const struct frame *f)
{
	return frame_send(l->fd, f) == FRAME_OK ? CTL_OK
						: ctl_fail("the agent does not listen");
}

static int greet(struct control_link *l, uint64_t timeout_ms)
{
	uint8_t body[HELLO_LEN];
	struct frame hello = hello_frame(body), f;
	bool fits;

	/* If it hung up at once, that is what is told. */
	frame_send(l->fd, &hello);
	if (receive(l, timeout_ms, &f) != CTL_OK)
		return CTL_FAILED;
	fits = hello_fits(&f);
	frame_close_fds(&f);
	if (!fits)
		return ctl_fail("the agent is of another version than this posternctl: "
				"use that of its package, or restart the agent");
	return CTL_OK;
}

/* ---- connection ---- */

static int explain_connect(const char *path)
{
	const char *why = errno == ENOENT ? ": no agent runs, or its state directory is "
					    "another one (see --control)"
			  : errno == ECONNREFUSED ? ": no agent runs"
			  : errno == EAGAIN       ? ": it takes no connection in time"
			  : errno == EACCES ? ": root, or who runs the agent, may connect"
					    : "";

	return ctl_fail("cannot connect to %s: %s%s", path, strerror(errno), why);
}

int control_open(struct control_link *l, const char *path, uint64_t timeout_ms)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	const char *named = getenv(CONTROL_VARIABLE);
	/* A full backlog makes connect wait, and only this bounds it. */
	const struct timeval limit = {.tv_sec = (time_t)(timeout_ms / 1000),
				      .tv_usec = (suseconds_t)(timeout_ms % 1000 * 1000)};

	l->arena = (struct arena){.p = malloc(ARENA_BYTES), .cap = ARENA_BYTES};
	l->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (!path)
		path = named && *named ? named : CONTROL_DEFAULT;
	if (l->fd < 0 || !l->arena.p)
		return ctl_fail("%s", strerror(errno));
	if (snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path) >=
	    (int)sizeof(addr.sun_path))
		return ctl_fail("%s: a socket's path has at most %zu bytes", path,
				sizeof(addr.sun_path) - 1);
	if (setsockopt(l->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0 ||
	    connect(l->fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
		return explain_connect(path);
	return greet(l, timeout_ms);
}

/* ---- questions ---- */

int control_ask(struct control_link *l, enum control_verb verb)
{
	const struct msg_control m = {.verb = {.v = (uint8_t)verb, .set = true}};
	uint8_t buf[16];
	struct wbuf body = wbuf_fixed(buf, sizeof(buf));

	schema_put(&body, &schema_control, &m);
	return send_frame(l, &(struct frame){
				     .type = FRAME_CONTROL,
				     .body = buf,
				     .len = (uint32_t)body.len,
			     });
}

int control_answer(struct control_link *l, uint64_t timeout_ms, struct msg_controlled *m)
{
	struct frame f;
	struct rbuf r;
	bool good;

	if (receive(l, timeout_ms, &f) != CTL_OK)
		return CTL_FAILED;
	l->arena.len = 0;
	r = rbuf_of(f.body, f.len);
	good = f.type == FRAME_CONTROLLED &&
	       schema_whole(&r, &schema_controlled, &l->arena, m) == 0;
	frame_close_fds(&f);
	return good ? CTL_OK : ctl_fail("what answers is no agent");
}

int control_policy(struct control_link *l, uint64_t timeout_ms)
{
	struct frame f;
	int fd = -1;

	if (control_ask(l, CONTROL_POLICY) != CTL_OK ||
	    receive(l, timeout_ms, &f) != CTL_OK)
		return -1;
	if (f.type == FRAME_POLICY && f.n_fds == 1)
		fd = TAKE_FD(f.fds[0]);
	frame_close_fds(&f);
	if (fd < 0)
		ctl_fail("what answers is no agent");
	return fd;
}

/* ---- the command line ---- */

static const struct option long_options[] = {
	{"control", required_argument, NULL, 'c'},
	{"timeout", required_argument, NULL, 't'},
	{"json", no_argument, NULL, 'j'},
	{"help", no_argument, NULL, 'h'},
	{0},
};

const char control_help[] =
	"  -c, --control PATH     the agent's control socket (default: $" CONTROL_VARIABLE
	",\n"
	"                         else " CONTROL_DEFAULT ")\n";

int control_parse(struct control_options *o, int argc, char **argv)
{
	int c;

	while ((c = getopt_long(argc, argv, ":c:t:h", long_options, NULL)) != -1) {
		if (c == 'h')
			return -1;
		if (c == 'c')
			o->path = optarg;
		else if (c == 'j')
			o->json = true;
		else if (c != 't')
			return ctl_fail("option '%s' %s (try: posternctl %s --help)",
					argv[optind - 1],
					c == ':' ? "needs a value"
						 : "is unknown or ambiguous",
					argv[0]);
		else if (ctl_seconds("--timeout", optarg, 0.001, &o->timeout_ms) !=
			 CTL_OK)
			return CTL_FAILED;
	}
	if (optind < argc)
		return ctl_fail("one argument too many: '%s'", argv[optind]);
	return CTL_OK;
}
