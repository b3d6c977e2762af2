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
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "ipc/launch.h"
#include "sandbox/sandbox.h"
#include "worker/ops/power.h"
#include "worker/repeats.h"
#include "worker/worker.h"

/* Bytes of an allocation from which on it is a mapping of its own. */
#define MAP_FROM (128 * 1024)

struct settings {
	const char *runtime; /* directory in memory; NULL: there is none */
	const char *hook;    /* of freezes; NULL: none */
	const char *channel; /* as records name it; NULL: it has no name */
	uint64_t alive_ms;   /* between two signs of life; 0: none is wanted */
	bool journal;        /* records go there */
	bool verbose;
};

static int parse(int argc, char **argv, struct settings *s)
{
	static const struct option options[] = {
		{"runtime", required_argument, NULL, 't'},
		{"hook", required_argument, NULL, 'h'},
		{"channel", required_argument, NULL, 'c'},
		{"alive", required_argument, NULL, 'a'},
		{"journal", no_argument, NULL, 'j'},
		{"verbose", no_argument, NULL, 'v'},
		{0},
	};
	int c;

	opterr = 0; /* one line is enough, and it is ours */
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 't')
			s->runtime = optarg;
		else if (c == 'h')
			s->hook = optarg;
		else if (c == 'c')
			s->channel = optarg;
		else if (c == 'a')
			s->alive_ms = strtoull(optarg, NULL, 10);
		else if (c == 'j')
			s->journal = true;
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

/* FD if the supervisor gave it to us, else -1. */
static int given(int fd)
{
	return fcntl(fd, F_GETFD) < 0 ? -1 : fd;
}

/* Without a supervisor that keeps it, it lives as long as we do. */
static int open_state(struct worker *w)
{
	int fd = given(LAUNCH_FD_STATE);
	int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
	struct state *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, flags, fd, 0);

	/* No child may reach into it, but the thawer. */
	if (s == MAP_FAILED || madvise(s, sizeof(*s), MADV_DONTFORK) < 0)
		return -1;
	if (s->magic != STATE_MAGIC || s->last_handle < HANDLE_FIRST - 1 ||
	    s->freeze.n > SUPERBLOCKS_MAX) {
		/* It is zero then, and no memory until there is something. */
		if (fd >= 0 && fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					 0, sizeof(*s)) < 0)
			return -1;
		s->magic = STATE_MAGIC;
		s->last_handle = HANDLE_FIRST - 1;
	}
	w->state = s;
	close_p(&fd);
	return 0;
}

/* From the first write of ours on: nothing goes to a disk that may be frozen. */
static void hold_if_frozen(struct worker *w)
{
	if (phase_is_frozen(atomic_load(&w->freeze.record->phase)))
		sink_hold(&w->sink);
}

static int prepare(struct worker *w, const struct settings *s)
{
	/* First: what is not given is soon the number of something of our own. */
	int audit_fd = given(LAUNCH_FD_EXTRA);

	w->control.fd = given(LAUNCH_FD_CONTROL);
	w->arena = (struct arena){.p = malloc(ARENA_SIZE), .cap = ARENA_SIZE};
	if (open_state(w) < 0)
		return -1;
	if (!w->arena.p || sys_init(&w->sys) < 0 || loop_init(&w->loop) < 0 ||
	    launch_init(w) < 0 || requests_init(w) < 0)
		return -1;
	w->systemd = power_by_systemd(&w->sys);
	w->init_by_signal = power_signal_of(&w->sys, POWER_DOWN) > 0;
	if (sink_init(&w->sink, &w->loop, audit_fd, s->journal, &w->state->held) < 0 ||
	    freeze_open(w, s->runtime, s->hook) < 0)
		return -1;
	w->sink.fences = &w->fences;
	w->sink.rest = w;
	w->sink.rest_len = sizeof(*w);
	/* The writer's, while the reader is at the policy. */
	if (!fences_filter(&w->fences, SC_ROLE(SANDBOX_CHILD)))
		return -1;
	hold_if_frozen(w);
	return audit_init(&w->audit, &w->sink, s->channel);
}

/* From here on: no program, no file, no socket but pairs of our own. */
static int seal(struct worker *w)
{
	const char *step = "reduce capabilities";
	int landlock = -1;

	w->held = policy_needs(w, &w->gen->policy);
	if (sandbox_keep_caps(w->held.caps) == 0) {
		step = "Landlock";
		landlock = fences_open(&w->fences, w->held.roles, w->sys.root_fd);
		if (landlock == 0)
			landlock = sandbox_beneath(w->held.roles, w->sys.root_fd);
	}
	if (landlock < 0 || sandbox_enter(w->held.roles, &step) < 0) {
		fprintf(stderr, "postern: cannot seal the worker: %s: %s\n", step,
			strerror(errno));
		return EXIT_SEAL;
	}
	return 0;
}

static int serve(struct worker *w)
{
	int status;

	/* Sealed, so that the writer is born with all that its successors will have. */
	if (sink_start(&w->sink) < 0)
		return EXIT_SYSTEM;
	record_start(w);
	if (!w->fences.n)
		worker_log(w, "this kernel has no Landlock: files are not held back");
	if (w->verbose)
		worker_log(w, "ready, policy %s", policy_base(&w->gen->policy));
	freeze_resume(w);
	reload_resume(w);
	if (launch_ready(w, w->held.spawner) < 0)
		return EXIT_PEER_GONE;
	status = loop_run(&w->loop);
	reload_stop(w);
	requests_stop(w);
	handles_stop(w);
	repeats_tell(w);
	record_stop(w, status < 0 ? "failure of its own" : "the supervisor ended");
	sink_end(&w->sink);
	return status < 0 ? EXIT_SYSTEM : status;
}

int main(int argc, char **argv)
{
	struct settings settings = {0};
	struct worker *w = calloc(1, sizeof(*w));
	int status;

	if (!w)
		return fail(EXIT_SYSTEM, "out of memory", NULL);
	if (parse(argc, argv, &settings) < 0 || !launched())
		return fail(EXIT_CONFIG,
			    "postern-worker is started by postern, not by hand", NULL);
	/* Fixed: else each large buffer that is freed raises it, and the next stays. */
	mallopt(M_MMAP_THRESHOLD, MAP_FROM);
	/*
	 * We end when the supervisor closes our socket, with our records written; and a
	 * reader that leaves the log or the records costs lines, not us or the writer.
	 */
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* of an open file with a largest size: EFBIG */
	w->verbose = settings.verbose;
	w->alive_ms = settings.alive_ms;
	if (prepare(w, &settings) < 0)
		return fail(EXIT_SYSTEM, "cannot start the worker", strerror(errno));
	if (reload_first(w) < 0)
		return fail(EXIT_SYSTEM, "cannot load the policy", strerror(errno));
	if (!w->gen) /* we are to end before we began */
		return EXIT_CLEAN;
	if (control_init(w) < 0 || repeats_init(w) < 0)
		return fail(EXIT_SYSTEM, "cannot start the worker", strerror(errno));
	status = seal(w);
	return status ? status : serve(w);
}
