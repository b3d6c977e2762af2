/*
 * ctl/call.c - posternctl call: one request to an agent, and its reply
 *
 * Runs in:   posternctl, as the user who calls it
 * Input:     the command line; replies of an agent, shown as they come
 * May touch: the agent's socket; standard input, output and error
 * Must not:  be linked into the agent
 *
 * The other side of the protocol: what a host does with a channel of unknown state
 * (protocol 1.4) before it sends its request. Any agent with a unix socket will do.
 */
#include <cjson/cJSON.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "ctl/ctl.h"
#include "ipc/jsonw.h"
#include "ipc/loop.h"
#include "ipc/ops.h"

#define SOCKET_VARIABLE "POSTERN_SOCKET"

/* A file read of 48 MiB makes a line of 64 MiB; this leaves room. */
#define REPLY_MAX   ((size_t)256 * 1024 * 1024)
#define REQUEST_MAX REPLY_MAX

#define SENTINEL 0xFF

struct options {
	const char *socket;
	uint64_t timeout_ms;
	bool sync;
};

/* ---- the connection ---- */

struct link {
	int fd;
	uint64_t timeout_ms;
	struct wbuf in;  /* received; the next call drops the line given out last */
	size_t given;    /* bytes of it given out */
	size_t searched; /* bytes behind these, known to be without a line feed */
	bool mute;       /* the agent takes nothing any more */
	bool closed;     /* nothing more will come */
};

enum waited { LINE, TIMEOUT, CLOSED, TOO_LONG };

static const char *const wait_errors[] = {
	[TIMEOUT] = "no answer in time",
	[CLOSED] = "the agent closed the connection",
	[TOO_LONG] = "the reply is too long",
};

static void link_done(struct link *l)
{
	close_p(&l->fd);
	wbuf_free(&l->in);
}

static int link_open(struct link *l, const struct options *o)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	size_t len = strlen(o->socket);
	/* A full backlog makes connect wait, and only this bounds it. */
	struct timeval limit = {.tv_sec = (time_t)(o->timeout_ms / 1000),
				.tv_usec = (suseconds_t)(o->timeout_ms % 1000 * 1000)};

	*l = (struct link){
		.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0),
		.timeout_ms = o->timeout_ms,
		.in = wbuf_growing(REPLY_MAX),
	};
	if (len >= sizeof(addr.sun_path))
		return ctl_fail("%s: a socket's path has at most %zu bytes", o->socket,
				sizeof(addr.sun_path) - 1);
	memcpy(addr.sun_path, o->socket, len);
	if (l->fd < 0 ||
	    setsockopt(l->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0 ||
	    connect(l->fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
		return ctl_fail("cannot connect to %s: %s", o->socket,
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

/*
 * Send OUT, and meanwhile wait for the next line. It is valid until the next call. Both
 * at once: an agent may answer while the request is still on its way.
 */
static enum waited link_line(struct link *l, struct rbuf *out, uint64_t deadline,
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

static enum waited handshake(struct link *l)
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
		w = link_line(l, &out, deadline, &line, &len);
	} while (w == LINE && !is_sync_reply(line, len, id));
	return w;
}

/* ---- the request ---- */

static int read_input(struct wbuf *w)
{
	for (;;) {
		char piece[64 * 1024];
		ssize_t n = read(STDIN_FILENO, piece, sizeof(piece));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return ctl_fail("cannot read standard input: %s",
					strerror(errno));
		if (n == 0)
			return CTL_OK;
		wbuf_put(w, piece, (size_t)n);
	}
}

/* A request from a command's name and, unless NULL, the text of an object. */
static int compose(struct wbuf *w, const char *name, const char *arguments)
{
	wbuf_text(w, "{\"execute\": ");
	jsonw_cstr(w, name);
	if (arguments) {
		cJSON *tree = cJSON_ParseWithOpts(arguments, NULL, true);
		bool object = cJSON_IsObject(tree);

		cJSON_Delete(tree);
		if (!object)
			return ctl_fail("the arguments are no JSON object: %s",
					arguments);
		wbuf_text(w, ", \"arguments\": ");
		wbuf_text(w, arguments);
	}
	wbuf_text(w, "}");
	return CTL_OK;
}

/* What is sent, from the words behind the options. */
static int build_request(struct wbuf *w, const char *request, const char *arguments)
{
	int r = CTL_OK;
	bool composed = false;

	if (strcmp(request, "-") == 0)
		r = read_input(w);
	else if (request[strspn(request, " \t\r\n")] == '{')
		wbuf_text(w, request);
	else
		composed = true;
	if (composed)
		r = compose(w, request, arguments);
	else if (arguments)
		r = ctl_fail("arguments go with the name of a command only");
	wbuf_text(w, "\n");
	if (r == CTL_OK && w->bad)
		r = ctl_fail("the request is too long");
	return r;
}

/* Is it a command that answers only when it fails? Text that is no JSON is none. */
static bool expects_no_reply(const struct wbuf *request)
{
	cJSON *tree = cJSON_ParseWithLength((const char *)request->p, request->len);
	const char *name =
		cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(tree, "execute"));
	uint32_t number = name ? op_by_name(name, strlen(name)) : OP_NONE;

	cJSON_Delete(tree);
	return number != OP_NONE && op_by_number(number)->flags & OPF_NO_REPLY;
}

/* ---- the reply ---- */

static int judge(const char *line, size_t len)
{
	size_t skip = (uint8_t)*line == SENTINEL; /* of a guest-sync-delimited */
	cJSON *reply = cJSON_ParseWithLength(line + skip, len - skip);
	bool good = cJSON_HasObjectItem(reply, "return");
	bool bad = cJSON_HasObjectItem(reply, "error");

	cJSON_Delete(reply);
	if (good != bad)
		return good ? CTL_OK : CTL_ERROR;
	return ctl_fail("this is no reply of an agent");
}

static int show(const char *line, size_t len)
{
	int r;

	fwrite(line, 1, len, stdout);
	r = ctl_flush();
	return r == CTL_OK ? judge(line, len) : r;
}

static int converse(struct link *l, const struct options *o, const struct wbuf *request)
{
	struct rbuf out = rbuf_of(request->p, request->len);
	const char *line;
	enum waited w;
	size_t len;

	if (o->sync) {
		w = handshake(l);
		if (w != LINE)
			return ctl_fail("%s: no sync: %s", o->socket, wait_errors[w]);
	}
	w = link_line(l, &out, now_ms() + l->timeout_ms, &line, &len);
	if (w == LINE)
		return show(line, len);
	if ((w == TIMEOUT || w == CLOSED) && !rbuf_left(&out) &&
	    expects_no_reply(request)) {
		fprintf(stderr,
			"posternctl: no reply (%s): "
			"this command answers only when it fails\n",
			w == TIMEOUT ? "none in time" : "connection closed");
		return CTL_OK;
	}
	return ctl_fail("%s: %s", o->socket, wait_errors[w]);
}

/* ---- the command line ---- */

static int help(void)
{
	puts("Usage: posternctl call [OPTIONS] REQUEST [ARGUMENTS]\n"
	     "\n"
	     "Send one request to an agent over its unix socket and print the reply.\n"
	     "REQUEST is the name of a command, with ARGUMENTS as a JSON object; or the\n"
	     "request as JSON; or - to read it from standard input.\n"
	     "\n"
	     "  -s, --socket PATH      the agent's socket (default: $" SOCKET_VARIABLE
	     ")\n"
	     "  -t, --timeout SECONDS  for each wait (default: 10)\n"
	     "      --no-sync          send the request without a handshake before it\n"
	     "  -h, --help             this text\n"
	     "\n"
	     "Exit status: 0 if the reply is a result, 1 if it is an error, 2 if there\n"
	     "was none or the call was wrong.\n"
	     "\n"
	     "  posternctl call guest-sync '{\"id\": 5}'");
	return ctl_flush();
}

enum { OPT_NO_SYNC = 256 };

static const struct option long_options[] = {
	{"socket", required_argument, NULL, 's'},
	{"timeout", required_argument, NULL, 't'},
	{"no-sync", no_argument, NULL, OPT_NO_SYNC},
	{"help", no_argument, NULL, 'h'},
	{0},
};

/* The word that getopt_long did not accept, with the reason. */
static int bad_option(int reason, char **argv)
{
	const char *why = reason == ':' ? "needs a value" : "is unknown or ambiguous";

	if (optopt && optopt < OPT_NO_SYNC && argv[optind - 1][1] != '-')
		return ctl_fail("option '-%c' %s (try: posternctl call --help)", optopt,
				why);
	return ctl_fail("option '%s' %s (try: posternctl call --help)", argv[optind - 1],
			why);
}

static int run(const struct options *o, const char *text, const char *arguments)
{
	CLEANUP(wbuf_free) struct wbuf request = wbuf_growing(REQUEST_MAX);
	CLEANUP(link_done) struct link l = {.fd = -1};
	int r = build_request(&request, text, arguments);

	if (r == CTL_OK)
		r = link_open(&l, o);
	return r == CTL_OK ? converse(&l, o, &request) : r;
}

int ctl_call(int argc, char **argv)
{
	struct options o = {
		.socket = getenv(SOCKET_VARIABLE), .timeout_ms = 10000, .sync = true};
	int c;

	/* `+`: what follows REQUEST is no option. `:`: the messages are ours. */
	while ((c = getopt_long(argc, argv, "+:s:t:h", long_options, NULL)) != -1) {
		if (c == 'h')
			return help();
		if (c == 's')
			o.socket = optarg;
		else if (c == OPT_NO_SYNC)
			o.sync = false;
		else if (c != 't')
			return bad_option(c, argv);
		else if (ctl_seconds(optarg, &o.timeout_ms) != CTL_OK)
			return CTL_FAILED;
	}
	if (optind == argc)
		return ctl_fail("no request given (try: posternctl call --help)");
	if (argc - optind > 2)
		return ctl_fail("one argument too many: '%s'", argv[optind + 2]);
	if (!o.socket || !*o.socket)
		return ctl_fail(
			"no socket given: use --socket PATH or set " SOCKET_VARIABLE);
	return run(&o, argv[optind], optind + 1 < argc ? argv[optind + 1] : NULL);
}
