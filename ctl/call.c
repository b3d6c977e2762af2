/*
 * ctl/call.c - posternctl call: requests to an agent, and its replies
 *
 * Runs in:   posternctl, as the user who calls it
 * Input:     the command line; replies of an agent, shown as they come
 * May touch: the agent's socket; standard input, output and error
 * Must not:  be linked into the agent
 */
#include <cjson/cJSON.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "ctl/ctl.h"
#include "ctl/grow.h"
#include "ctl/link.h"
#include "ctl/reply.h"
#include "ctl/requests.h"
#include "ipc/ops.h"

#define SOCKET_VARIABLE "POSTERN_SOCKET"

#define REPEAT_MAX 1000000

struct options {
	const char *socket;
	const char *file;
	uint64_t timeout_ms;
	uint64_t interval_ms;
	uint64_t repeat; /* 0: not said, so once and without a summary */
	enum reply_form form;
	bool json;
	bool pretty;
	bool sync;
};

/* One call: all requests, as often as they are asked for. */
struct call {
	const struct options *o;
	const struct requests *requests;
	struct link link;
	bool lost;       /* where the next reply begins */
	uint64_t *times; /* microseconds that replies took */
	size_t n, room;
	size_t errors;
};

/* ---- how long it takes ---- */

static uint64_t now_usec(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static int took(struct call *c, uint64_t usec)
{
	void *times = c->times;

	if (ctl_grow(&times, &c->room, c->n, sizeof(*c->times), SIZE_MAX) < 0)
		return ctl_fail("no memory");
	c->times = times;
	c->times[c->n++] = usec;
	return CTL_OK;
}

static int by_size(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void summary(struct call *c)
{
	const uint64_t *t = c->times;
	/* Of an even number there are two in the middle. */
	size_t low = (c->n - 1) / 2, high = c->n / 2;

	if (!c->o->repeat || !c->n)
		return;
	qsort(c->times, c->n, sizeof(*c->times), by_size);
	fprintf(stderr,
		"posternctl: %zu replies, %zu errors; time: min %.3f ms, median %.3f ms, "
		"max %.3f ms\n",
		c->n, c->errors, (double)t[0] / 1e3, (double)(t[low] + t[high]) / 2e3,
		(double)t[c->n - 1] / 1e3);
}

/* ---- one request ---- */

/* Is it a command that answers only when it fails? Text that is no JSON is none. */
static bool expects_no_reply(const struct rbuf *request)
{
	cJSON *tree = cJSON_ParseWithLength((const char *)request->p, rbuf_left(request));
	const char *name =
		cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(tree, "execute"));
	uint32_t number = name ? op_by_name(name, strlen(name)) : OP_NONE;

	cJSON_Delete(tree);
	return number != OP_NONE && op_by_number(number)->flags & OPF_NO_REPLY;
}

static int resync(struct call *c)
{
	enum waited w = c->o->sync && c->lost ? link_sync(&c->link) : LINE;

	if (w != LINE)
		return ctl_fail("%s: no sync: %s", c->o->socket, wait_errors[w]);
	c->lost = false;
	return CTL_OK;
}

/* There is no reply, and perhaps none was to come. */
static int no_reply(struct call *c, enum waited w, bool sent, const struct rbuf *request)
{
	c->lost = true;
	if ((w != TIMEOUT && w != CLOSED) || !sent || !expects_no_reply(request))
		return ctl_fail("%s: %s", c->o->socket, wait_errors[w]);
	fprintf(stderr,
		"posternctl: no reply (%s): this command answers only when it fails\n",
		w == TIMEOUT ? "none in time" : "connection closed");
	return CTL_OK;
}

static int converse(struct call *c, const struct rbuf *request)
{
	struct rbuf out = *request;
	uint64_t began;
	const char *line;
	enum waited w;
	size_t len;
	int r;

	if (resync(c) != CTL_OK)
		return CTL_FAILED;
	began = now_usec();
	w = link_line(&c->link, &out, &line, &len);
	if (w != LINE)
		return no_reply(c, w, !rbuf_left(&out), request);
	if (took(c, now_usec() - began) != CTL_OK)
		return CTL_FAILED;
	r = reply_show(c->o->form, line, len);
	c->errors += r == CTL_ERROR;
	return r;
}

/* ---- all of them ---- */

/* The worst of all statuses; what fails ends it. */
static int converse_all(struct call *c)
{
	int worst = CTL_OK;

	for (size_t i = 0; i < c->requests->n; i++) {
		const struct rbuf request = requests_at(c->requests, i);
		int r = converse(c, &request);

		if (r == CTL_FAILED)
			return r;
		worst = r > worst ? r : worst;
	}
	return worst;
}

static void pause_for(uint64_t ms)
{
	struct timespec left = {.tv_sec = (time_t)(ms / 1000),
				.tv_nsec = (long)(ms % 1000) * 1000000};

	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		;
}

static int repeat(struct call *c)
{
	int worst = CTL_OK;
	uint64_t n = 0;

	do {
		int r;

		if (n)
			pause_for(c->o->interval_ms);
		r = converse_all(c);
		if (r == CTL_FAILED)
			return r;
		worst = r > worst ? r : worst;
	} while (++n < c->o->repeat);
	return worst;
}

static void call_done(struct call *c)
{
	link_done(&c->link);
	free(c->times);
}

static int call(const struct options *o, const struct requests *requests)
{
	CLEANUP(call_done)
	struct call c = {.o = o, .requests = requests, .link.fd = -1, .lost = true};
	int r = link_open(&c.link, o->socket, o->timeout_ms);

	if (r == CTL_OK)
		r = repeat(&c);
	summary(&c);
	return r;
}

/* ---- the command line ---- */

static int help(void)
{
	puts("Usage: posternctl call [OPTIONS] REQUEST [ARGUMENTS]\n"
	     "       posternctl call [OPTIONS] -f FILE\n"
	     "\n"
	     "Send requests to an agent over its unix socket and print the replies.\n"
	     "REQUEST is the name of a command, with ARGUMENTS as a JSON object; or the\n"
	     "request as JSON; or - to read it from standard input.\n"
	     "\n"
	     "  -s, --socket PATH       the agent's socket (default: $" SOCKET_VARIABLE
	     ")\n"
	     "  -t, --timeout SECONDS   for each wait (default: 10)\n"
	     "  -f, --file FILE         the requests in FILE (- for standard input), "
	     "each\n"
	     "                          when the one before has its reply: JSON objects, "
	     "or\n"
	     "                          lines of a command's name and perhaps an "
	     "object;\n"
	     "                          lines that begin with # are passed over\n"
	     "      --repeat N          all of it N times, and how long replies took\n"
	     "      --interval SECONDS  wait so long before each repetition\n"
	     "      --pretty            indent the replies\n"
	     "      --json              print one JSON value for each reply, and nothing "
	     "of\n"
	     "                          what is no reply\n"
	     "      --no-sync           send requests without a handshake before them\n"
	     "  -h, --help              this text\n"
	     "\n"
	     "A reply is printed as it came, on a line of its own, unless told "
	     "otherwise.\n"
	     "\n"
	     "Exit status: 0 if all replies are results, 1 if one is an error, 2 if "
	     "there\n"
	     "was none or the call was wrong.\n"
	     "\n"
	     "  posternctl call guest-sync '{\"id\": 5}'");
	return ctl_flush();
}

static int parse_repeat(uint64_t *n)
{
	char *end;
	unsigned long v = strtoul(optarg, &end, 10);

	if (*optarg < '0' || *optarg > '9' || *end || !v || v > REPEAT_MAX)
		return ctl_fail("--repeat: '%s' is no number from 1 to %d", optarg,
				REPEAT_MAX);
	*n = v;
	return CTL_OK;
}

enum { OPT_NO_SYNC = 256, OPT_REPEAT, OPT_INTERVAL, OPT_PRETTY, OPT_JSON };

static const struct option long_options[] = {
	{"socket", required_argument, NULL, 's'},
	{"timeout", required_argument, NULL, 't'},
	{"file", required_argument, NULL, 'f'},
	{"repeat", required_argument, NULL, OPT_REPEAT},
	{"interval", required_argument, NULL, OPT_INTERVAL},
	{"pretty", no_argument, NULL, OPT_PRETTY},
	{"json", no_argument, NULL, OPT_JSON},
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

static int option(struct options *o, int c, char **argv)
{
	switch (c) {
	case 's':
		o->socket = optarg;
		return CTL_OK;
	case 'f':
		o->file = optarg;
		return CTL_OK;
	case 't':
		return ctl_seconds("--timeout", optarg, 0.001, &o->timeout_ms);
	case OPT_REPEAT:
		return parse_repeat(&o->repeat);
	case OPT_INTERVAL:
		return ctl_seconds("--interval", optarg, 0, &o->interval_ms);
	case OPT_PRETTY:
		o->pretty = true;
		return CTL_OK;
	case OPT_JSON:
		o->json = true;
		return CTL_OK;
	case OPT_NO_SYNC:
		o->sync = false;
		return CTL_OK;
	default:
		return bad_option(c, argv);
	}
}

static int words(const struct options *o, int n, char **v)
{
	if (o->file && n)
		return ctl_fail("--file has the requests: '%s' is one too many", v[0]);
	if (!o->file && !n)
		return ctl_fail("no request given (try: posternctl call --help)");
	if (n > 2)
		return ctl_fail("one argument too many: '%s'", v[2]);
	if (o->interval_ms && !o->repeat)
		return ctl_fail("--interval goes with --repeat");
	if (!o->socket || !*o->socket)
		return ctl_fail(
			"no socket given: use --socket PATH or set " SOCKET_VARIABLE);
	return CTL_OK;
}

int ctl_call(int argc, char **argv)
{
	CLEANUP(requests_done) struct requests requests = {0};
	struct options o = {
		.socket = getenv(SOCKET_VARIABLE), .timeout_ms = 10000, .sync = true};
	int c, r;

	/* `+`: what follows REQUEST is no option. `:`: the messages are ours. */
	while ((c = getopt_long(argc, argv, "+:s:t:f:h", long_options, NULL)) != -1) {
		if (c == 'h')
			return help();
		if (option(&o, c, argv) != CTL_OK)
			return CTL_FAILED;
	}
	argc -= optind;
	argv += optind;
	if (words(&o, argc, argv) != CTL_OK)
		return CTL_FAILED;
	o.form = o.pretty ? REPLY_PRETTY : o.json ? REPLY_JSON : REPLY_RAW;
	r = o.file ? requests_of_file(&requests, o.file)
		   : requests_of_words(&requests, argv[0], argc > 1 ? argv[1] : NULL);
	return r == CTL_OK ? call(&o, &requests) : r;
}
