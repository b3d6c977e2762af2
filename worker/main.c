/*
 * worker/main.c - the worker's start: load the policy, seal, say that we are ready
 *
 * Runs in:   worker, root until sealed
 * Input:     the command line of the supervisor
 * May touch: the descriptors it was started with (ipc/launch.h)
 * Must not:  serve anybody before it is sealed
 */
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "ipc/launch.h"
#include "policy/source.h"
#include "sandbox/sandbox.h"
#include "worker/policy.h"

struct settings {
	struct policy_from policy;
	bool verbose;
};

static int parse(int argc, char **argv, struct settings *s)
{
	static const struct option options[] = {
		{"profile", required_argument, NULL, 'p'},
		{"policy-root", required_argument, NULL, 'r'},
		{"deny", required_argument, NULL, 'd'},
		{"verbose", no_argument, NULL, 'v'},
		{0},
	};
	int c;

	opterr = 0; /* one line is enough, and it is ours */
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'p')
			s->policy.profile = optarg;
		else if (c == 'r')
			s->policy.root = optarg;
		else if (c == 'd')
			s->policy.denied = strtoull(optarg, NULL, 16);
		else if (c == 'v')
			s->verbose = true;
		else
			return -1;
	}
	return optind == argc ? 0 : -1;
}

static int fail(int status, const char *what, const char *detail)
{
	fprintf(stderr, "postern: %s%s%s\n", what, detail ? ": " : "",
		detail ? detail : "");
	return status;
}

/* A name that is mistaken on the command line ends us; a mistake in a file locks down. */
static int load_policy(struct worker *w, const struct settings *s)
{
	struct profile p;

	if (s->policy.profile && !profile_find(s->policy.profile, &p)) {
		fprintf(stderr, "postern: there is no profile '%s'; known are: %s\n",
			s->policy.profile, profile_names());
		return EXIT_CONFIG;
	}
	if (worker_policy_load(w, &s->policy) < 0)
		return fail(EXIT_SYSTEM, "cannot load the policy", strerror(errno));
	return 0;
}

/* What the op children of a policy can ever need, and so what we keep. */
struct needs {
	uint64_t caps;
	uint32_t roles; /* of the filter */
	bool spawner;
};

/* A part that no policy names is needed with its command. */
static uint32_t part_of(uint32_t op)
{
	return op == OP_exec_find ? OP_exec : op;
}

static struct needs needs_of(const struct policy *p)
{
	struct needs needs = {.roles = SC_ROLE(SANDBOX_WORKER)};

	for (uint32_t n = OP_NONE; n < OP_MAX; n++) {
		const struct op *op = op_by_number(n);

		if (!op || !policy_may(p, part_of(n)))
			continue;
		/* To ask for results alone there is none to ask. */
		needs.spawner |= op->carrier == BY_SPAWNER && op->flags & OPF_MUTATES;
		if (op->carrier != BY_CHILD)
			continue;
		needs.caps |= op->caps;
		needs.roles |= sandbox_child_roles(n);
	}
	return needs;
}

/* Without a supervisor that keeps it, it lives as long as we do. */
static int open_state(struct worker *w)
{
	int fd = fcntl(LAUNCH_FD_STATE, F_GETFD) < 0 ? -1 : LAUNCH_FD_STATE;
	int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
	struct state *s =
		mmap(NULL, LAUNCH_STATE_SIZE, PROT_READ | PROT_WRITE, flags, fd, 0);

	/* No child may reach into it. */
	if (s == MAP_FAILED || madvise(s, LAUNCH_STATE_SIZE, MADV_DONTFORK) < 0)
		return -1;
	if (s->magic != STATE_MAGIC || s->last_handle < HANDLE_FIRST - 1)
		*s = (struct state){STATE_MAGIC, HANDLE_FIRST - 1};
	w->state = s;
	close_p(&fd);
	return 0;
}

static int prepare(struct worker *w)
{
	int audit_fd = fcntl(LAUNCH_FD_EXTRA, F_GETFD) < 0 ? -1 : LAUNCH_FD_EXTRA;

	w->arena = (struct arena){.p = malloc(ARENA_SIZE), .cap = ARENA_SIZE};
	if (open_state(w) < 0)
		return -1;
	if (!w->arena.p || sys_init(&w->sys) < 0 || loop_init(&w->loop) < 0 ||
	    launch_init(w) < 0 || requests_init(w) < 0)
		return -1;
	if (sink_init(&w->sink, &w->loop, audit_fd) < 0)
		return -1;
	return audit_init(&w->audit, &w->sink);
}

/* From here on: no program, no file, no socket but pairs of our own. */
static int seal(const struct needs *needs)
{
	const char *step = "reduce capabilities";

	if (sandbox_keep_caps(needs->caps) < 0 ||
	    sandbox_enter(needs->roles, &step) < 0) {
		fprintf(stderr, "postern: cannot seal the worker: %s: %s\n", step,
			strerror(errno));
		return EXIT_SEAL;
	}
	return 0;
}

static int serve(struct worker *w, const struct needs *needs)
{
	int status;

	/* Sealed, so that the writer is born with all that its successors will have. */
	if (sink_start(&w->sink) < 0)
		return EXIT_SYSTEM;
	record_start(w, needs->caps);
	if (w->verbose)
		worker_log(w, "ready, policy %s", policy_base(&w->policy));
	if (launch_ready(w, needs->spawner) < 0)
		return EXIT_PEER_GONE;
	status = loop_run(&w->loop);
	requests_stop(w);
	handles_stop(w);
	record_stop(w, status < 0 ? "failure of its own" : "the supervisor ended");
	return status < 0 ? EXIT_SYSTEM : status;
}

int main(int argc, char **argv)
{
	struct settings settings = {0};
	struct worker *w = calloc(1, sizeof(*w));
	struct needs needs;
	int status;

	if (!w)
		return fail(EXIT_SYSTEM, "out of memory", NULL);
	if (parse(argc, argv, &settings) < 0 || !launched())
		return fail(EXIT_CONFIG,
			    "postern-worker is started by postern, not by hand", NULL);
	/*
	 * We end when the supervisor closes our socket, with our records written; and a
	 * reader that leaves the log or the records costs lines, not us or the writer.
	 */
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ,
	       SIG_IGN); /* an open file that may be so large: an error as well */
	signal(SIGXFSZ, SIG_IGN); /* of an open file with a largest size: EFBIG */
	w->verbose = settings.verbose;
	if (prepare(w) < 0)
		return fail(EXIT_SYSTEM, "cannot start the worker", strerror(errno));
	status = load_policy(w, &settings);
	if (status)
		return status;
	needs = needs_of(&w->policy);
	status = seal(&needs);
	return status ? status : serve(w, &needs);
}
