/*
 * bench/client.c - a client of the protocol that measures what it waits for
 *
 * Runs in:   its own process, as whoever runs the benchmark
 * Input:     replies of the agent under test, or of an echo
 * May touch: the agent's socket; the files that the command line names, through the agent
 * Must not:  spend time of its own between a request and its reply: no copy, no parser
 *
 *	client SOCKET KIND [ARGUMENT...]
 *
 * Prints one number for each sample, in nanoseconds, once all are taken, and nothing
 *else. A reply that is an error ends it with status 1 and says which: what failed quickly
 *is no figure.
 *
 * Of a large reply only its beginning and its end are kept, and content that is written
 *comes out of a small buffer: memory that is in no cache would cost more than what is
 *measured.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

/* So much is read at once; so much is kept of either end of a reply. */
#define PIECE   (64u * 1024)
#define KEPT    4096u
#define WARM_UP 100

struct client {
	const char *path;
	int fd;
	char in[2 * KEPT + PIECE + 1]; /* what is kept of the reply, room, and a NUL */
	size_t len;
	size_t whole; /* bytes of the reply */
	uint64_t *samples;
	size_t n_samples, room;
};

static void __attribute__((noreturn, format(printf, 1, 2))) die(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	fputs("client: ", stderr);
	vfprintf(stderr, format, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void sample(struct client *c, uint64_t begin)
{
	uint64_t took = now_ns() - begin;

	if (c->n_samples == c->room) {
		c->room = c->room ? 2 * c->room : 1024;
		c->samples = realloc(c->samples, c->room * sizeof(*c->samples));
		if (!c->samples)
			die("out of memory");
	}
	c->samples[c->n_samples++] = took;
}

static unsigned long number(const char *text)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (!*text || *end)
		die("%s is no number", text);
	return n;
}

/* ---- the connection ---- */

/* False while nobody listens. */
static bool try_connect(struct client *c)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};

	if (strlen(c->path) >= sizeof(to.sun_path))
		die("%s is too long for a socket", c->path);
	memcpy(to.sun_path, c->path, strlen(c->path) + 1);
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		die("socket: %s", strerror(errno));
	if (connect(c->fd, (struct sockaddr *)&to, sizeof(to)) == 0)
		return true;
	close(c->fd);
	return false;
}

/* Sends what the socket takes of *OUT, and returns once there may be something to read.
 */
static void send_some(struct client *c, const char **out, size_t *len)
{
	struct pollfd p = {.fd = c->fd, .events = POLLIN | POLLOUT};

	while (*len) {
		ssize_t n = send(c->fd, *out, *len, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN)
			die("send: %s", strerror(errno));
		if (n > 0) {
			*out += n;
			*len -= (size_t)n;
			continue;
		}
		if (poll(&p, 1, -1) < 0)
			die("poll: %s", strerror(errno));
		if (p.revents & POLLIN)
			return;
	}
}

/* Lines that end in the LEN bytes at P. */
static size_t lines_of(const char *p, size_t len)
{
	const char *end = p + len;
	size_t n = 0;

	while ((p = memchr(p, '\n', (size_t)(end - p))) != NULL) {
		p++;
		n++;
	}
	return n;
}

/* LEN bytes more of the reply stand behind what there is. */
static void keep(struct client *c, size_t len)
{
	c->whole += len;
	c->len += len;
	if (c->len > 2 * KEPT) {
		memmove(c->in + KEPT, c->in + c->len - KEPT, KEPT);
		c->len = 2 * KEPT;
	}
	c->in[c->len] = '\0';
}

/* What has come; how many lines ended in it. */
static size_t receive(struct client *c)
{
	char *at = c->in + c->len;
	ssize_t n = read(c->fd, at, PIECE);
	size_t lines;

	if (n <= 0)
		die("the agent hung up");
	lines = lines_of(at, (size_t)n);
	keep(c, (size_t)n);
	return lines;
}

/* Sends all, and meanwhile takes in what comes: neither side may wait for the other. */
static void exchange(struct client *c, const char *out, size_t len, size_t lines)
{
	c->len = c->whole = 0;
	while (lines) {
		size_t got;

		send_some(c, &out, &len);
		got = receive(c);
		if (got > lines)
			die("more replies than requests: %.300s", c->in);
		lines -= got;
	}
	if (len)
		die("replied before all was sent: %.300s", c->in);
}

/* A part of a request, to which no reply may come yet. */
static void send_part(struct client *c, const char *out, size_t len)
{
	send_some(c, &out, &len);
	if (len)
		die("replied before all was sent");
}

/* One request and its reply, which must be none of an error. */
static void ask(struct client *c, const char *request, size_t len)
{
	exchange(c, request, len, 1);
	if (strncmp(c->in, "{\"error\"", 8) == 0)
		die("%.80s: %.300s", request, c->in);
}

static void __attribute__((format(printf, 2, 3)))
askf(struct client *c, const char *format, ...)
{
	char request[512];
	va_list ap;
	int len;

	va_start(ap, format);
	len = vsnprintf(request, sizeof(request), format, ap);
	va_end(ap);
	if (len < 0 || (size_t)len >= sizeof(request))
		die("a request is too long");
	ask(c, request, (size_t)len);
}

/* The number that follows NAME in the reply. */
static long field(const struct client *c, const char *name)
{
	const char *at = strstr(c->in, name);

	if (!at)
		die("no %s in: %.300s", name, c->in);
	return strtol(at + strlen(name), NULL, 10);
}

/* ---- kinds ---- */

/* REQUEST as a line; what begins with @ names a file that has it. */
static char *line_of(const char *request, size_t *len)
{
	FILE *f = *request == '@' ? fopen(request + 1, "re") : NULL;
	char *line = NULL;
	size_t size = 0;
	ssize_t n;

	if (*request == '@') {
		n = f ? getline(&line, &size, f) : -1;
		if (n < 1 || line[n - 1] != '\n')
			die("%s: no line", request + 1);
		fclose(f);
	} else {
		n = asprintf(&line, "%s\n", request);
		if (n < 0)
			die("out of memory");
	}
	*len = (size_t)n;
	return line;
}

/* REQUEST N: one after the other */
static void run_latency(struct client *c, char **argv)
{
	size_t len;
	char *request = line_of(argv[0], &len);
	unsigned long n = number(argv[1]), warm_up = n / 10 < WARM_UP ? n / 10 : WARM_UP;

	while (warm_up--)
		ask(c, request, len);
	while (n--) {
		uint64_t begin = now_ns();

		ask(c, request, len);
		sample(c, begin);
	}
	free(request);
}

/* REQUEST EACH N: EACH of them at once */
static void run_pipeline(struct client *c, char **argv)
{
	size_t len;
	char *request = line_of(argv[0], &len);
	unsigned long each = number(argv[1]), n = number(argv[2]);
	char *all = malloc(len * each + 1);

	if (!all)
		die("out of memory");
	for (unsigned long i = 0; i < each; i++)
		memcpy(all + i * len, request, len);
	while (n--) {
		uint64_t begin = now_ns();

		exchange(c, all, len * each, each);
		sample(c, begin);
	}
	free(all);
	free(request);
}

static long open_file(struct client *c, const char *path, const char *mode)
{
	askf(c,
	     "{\"execute\":\"guest-file-open\",\"arguments\":{\"path\":\"%s\","
	     "\"mode\":\"%s\"}}\n",
	     path, mode);
	return field(c, "\"return\": ");
}

static void close_file(struct client *c, long handle)
{
	askf(c, "{\"execute\":\"guest-file-close\",\"arguments\":{\"handle\":%ld}}\n",
	     handle);
}

/* PATH CHUNK: the whole file once; the sample is that of reading alone */
static void run_read(struct client *c, char **argv)
{
	unsigned long chunk = number(argv[1]);
	long handle = open_file(c, argv[0], "r"), count;
	uint64_t begin = now_ns();

	do {
		askf(c,
		     "{\"execute\":\"guest-file-read\",\"arguments\":{\"handle\":%ld,"
		     "\"count\":%lu}}\n",
		     handle, chunk);
		count = field(c, "\"count\": ");
	} while ((unsigned long)count == chunk);
	sample(c, begin);
	close_file(c, handle);
}

/* PATH N: reads of a file, each of another count, so that no two are equal */
static void run_counts(struct client *c, char **argv)
{
	long handle = open_file(c, argv[0], "r");
	unsigned long n = number(argv[1]);

	for (unsigned long i = 0; i < n + WARM_UP; i++) {
		uint64_t begin = now_ns();

		askf(c,
		     "{\"execute\":\"guest-file-read\",\"arguments\":{\"handle\":%ld,"
		     "\"count\":%lu}}\n",
		     handle, 1000 + i);
		if (i >= WARM_UP)
			sample(c, begin);
	}
	close_file(c, handle);
}

/* CHUNK bytes as base64. */
static void send_content(struct client *c, unsigned long chunk)
{
	static char text[PIECE];
	size_t left = chunk / 3 * 4;

	for (size_t i = 0; !text[sizeof(text) - 1] && i < sizeof(text); i++)
		text[i] = "Postern0+/write8"[i % 16];
	while (left) {
		size_t len = left < sizeof(text) ? left : sizeof(text);

		send_part(c, text, len);
		left -= len;
	}
	/* As much padding as the length asks for; the bits left over are zero. */
	if (chunk % 3)
		send_part(c, chunk % 3 == 1 ? "AA==" : "AAA=", 4);
}

/* PATH SIZE CHUNK: SIZE bytes into a new file; the sample is that of writing alone */
static void run_write(struct client *c, char **argv)
{
	unsigned long size = number(argv[1]), chunk = number(argv[2]);
	long handle = open_file(c, argv[0], "w");
	char head[128];
	int len = snprintf(head, sizeof(head),
			   "{\"execute\":\"guest-file-write\",\"arguments\":"
			   "{\"handle\":%ld,\"count\":%lu,\"buf-b64\":\"",
			   handle, chunk);
	uint64_t begin = now_ns();

	for (unsigned long at = 0; at < size; at += chunk) {
		send_part(c, head, (size_t)len);
		send_content(c, chunk);
		ask(c, "\"}}\n", 4);
	}
	sample(c, begin);
	close_file(c, handle);
}

static void collect(struct client *c, long pid)
{
	do
		askf(c,
		     "{\"execute\":\"guest-exec-status\",\"arguments\":{\"pid\":%ld}}\n",
		     pid);
	while (!strstr(c->in, "\"exited\": true"));
	if (field(c, "\"exitcode\": ") != 0)
		die("the program failed: %.300s", c->in);
}

/* N: /bin/true, to its status */
static void run_exec(struct client *c, char **argv)
{
	for (unsigned long i = number(argv[0]); i; i--) {
		uint64_t begin = now_ns();

		askf(c, "{\"execute\":\"guest-exec\",\"arguments\":{\"path\":"
			"\"/bin/true\"}}\n");
		collect(c, field(c, "\"pid\": "));
		sample(c, begin);
	}
}

/* BYTES N: a program that writes so much, to its status and output */
static void run_output(struct client *c, char **argv)
{
	unsigned long bytes = number(argv[0]);

	for (unsigned long i = number(argv[1]); i; i--) {
		uint64_t begin = now_ns();

		askf(c,
		     "{\"execute\":\"guest-exec\",\"arguments\":{\"path\":"
		     "\"/usr/bin/head\",\"arg\":[\"-c\",\"%lu\",\"/dev/zero\"],"
		     "\"capture-output\":true}}\n",
		     bytes);
		collect(c, field(c, "\"pid\": "));
		sample(c, begin);
		if (c->whole < bytes / 3 * 4)
			die("output is missing: %zu bytes", c->whole);
	}
}

/* SIGNAL PROGRAM [ARGUMENT...]: from its start to its first reply; SIGNAL ends it */
static void run_start(struct client *c, char **argv)
{
	static const char ping[] = "{\"execute\":\"guest-ping\"}\n";
	int signal = (int)number(argv[0]), status, r;
	uint64_t begin = now_ns();
	pid_t pid;

	r = posix_spawn(&pid, argv[1], NULL, NULL, argv + 1, environ);
	if (r)
		die("%s: %s", argv[1], strerror(r));
	while (!try_connect(c)) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			die("%s ended with status %d", argv[1], status);
		/* To ask more often would take time from who starts. */
		nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
	}
	ask(c, ping, sizeof(ping) - 1);
	sample(c, begin);
	kill(pid, signal);
	waitpid(pid, &status, 0);
}

static const struct kind {
	const char *name, *usage;
	int arguments; /* at least */
	bool connects; /* by itself */
	void (*run)(struct client *c, char **argv);
} kinds[] = {
	{"latency", "REQUEST N", 2, false, run_latency},
	{"pipeline", "REQUEST EACH N", 3, false, run_pipeline},
	{"read", "PATH CHUNK", 2, false, run_read},
	{"counts", "PATH N", 2, false, run_counts},
	{"write", "PATH SIZE CHUNK", 3, false, run_write},
	{"exec", "N", 1, false, run_exec},
	{"output", "BYTES N", 2, false, run_output},
	{"start", "SIGNAL PROGRAM [ARGUMENT...]", 2, true, run_start},
};

static int usage(FILE *to)
{
	fputs("Usage: client SOCKET KIND [ARGUMENT...]\n"
	      "Prints how long each sample took, in nanoseconds. A REQUEST is JSON, or "
	      "@FILE with "
	      "a line of it.\n\nKinds:\n",
	      to);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		fprintf(to, "  %-10s%s\n", kinds[i].name, kinds[i].usage);
	return to == stdout ? 0 : 2;
}

int main(int argc, char **argv)
{
	static struct client c = {.fd = -1};

	if (argc == 2 && strcmp(argv[1], "--help") == 0)
		return usage(stdout);
	if (argc < 3)
		return usage(stderr);
	c.path = argv[1];
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		const struct kind *k = &kinds[i];

		if (strcmp(argv[2], k->name) != 0)
			continue;
		if (argc - 3 < k->arguments)
			break;
		if (!k->connects && !try_connect(&c))
			die("%s: %s", c.path, strerror(errno));
		k->run(&c, argv + 3);
		for (size_t n = 0; n < c.n_samples; n++)
			printf("%" PRIu64 "\n", c.samples[n]);
		free(c.samples);
		return 0;
	}
	return usage(stderr);
}
