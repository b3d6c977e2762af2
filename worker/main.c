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
#include "policy/source.h"
#include "sandbox/sandbox.h"
#include "worker/ops/power.h"
#include "worker/policy.h"
#include "worker/repeats.h"

/* Bytes of an allocation from which on it is a mapping of its own. */
#define MAP_FROM (128 * 1024)

struct settings {
	struct policy_from policy;
	const char *runtime; /* directory in memory; NULL: there is none */
	const char *hook;    /* of freezes; NULL: none */
	const char *channel; /* as records name it; NULL: it has no name */
	bool journal;        /* records go there */
	bool verbose;
};

static int parse(int argc, char **argv, struct settings *s)
{
	static const struct option options[] = {
		{"profile", required_argument, NULL, 'p'},
		{"policy-root", required_argument, NULL, 'r'},
		{"deny", required_argument, NULL, 'd'},
		{"runtime", required_argument, NULL, 't'},
		{"hook", required_argument, NULL, 'h'},
		{"channel", required_argument, NULL, 'c'},
		{"journal", no_argument, NULL, 'j'},
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
		else if (c == 't')
			s->runtime = optarg;
		else if (c == 'h')
			s->hook = optarg;
		else if (c == 'c')
			s->channel = optarg;
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

#define OPS(tag) (UINT64_C(1) << OP_##tag)
#define FREEZES  (OPS(fsfreeze_freeze) | OPS(fsfreeze_freeze_list) | OPS(fsfreeze_thaw))
#define SUSPENDS (OPS(suspend_disk) | OPS(suspend_ram) | OPS(suspend_hybrid))
#define ACCOUNTS                                                 \
	(OPS(set_user_password) | OPS(ssh_get_authorized_keys) | \
	 OPS(ssh_add_authorized_keys) | OPS(ssh_remove_authorized_keys))

/* Parts that no policy names are needed with their commands. */
static const uint64_t needed_by[OP_MAX] = {
	[OP_account_find] = ACCOUNTS,      [OP_keys] = ACCOUNTS & ~OPS(set_user_password),
	[OP_power_signal] = OPS(shutdown), [OP_suspend_look] = SUSPENDS,
	[OP_suspend_write] = SUSPENDS,     [OP_fs_list] = FREEZES,
	[OP_fs_rescue] = FREEZES,          [OP_hook_find] = FREEZES,
};

/* For which of the operations ALLOWED a program is run, besides for hooks. */
static uint64_t by_program(const struct worker *w, uint64_t allowed)
{
	uint64_t ops = OPS(exec) | ACCOUNTS;

	if (!w->init_by_signal)
		ops |= OPS(shutdown);
	if (w->systemd)
		ops |= SUSPENDS;
	return allowed & ops;
}

static bool is_needed(const struct worker *w, uint64_t allowed, uint32_t op)
{
	/* Whatever the policy says now, a freeze that is in force has to end. */
	if (freeze_on_record(w))
		allowed |= FREEZES;
	if (op == OP_exec_find)
		return by_program(w, allowed);
	return allowed & (needed_by[op] ? needed_by[op] : UINT64_C(1) << op);
}

static struct needs needs_of(const struct worker *w)
{
	struct needs needs = {.roles = SC_ROLE(SANDBOX_WORKER)};

	for (uint32_t n = OP_NONE; n < OP_MAX; n++) {
		const struct op *op = op_by_number(n);

		if (!op || !is_needed(w, w->policy.allowed, n))
			continue;
		needs.spawner |= n == OP_exec_find;
		needs.spawner |= n == OP_hook_find && w->freeze.hook_path;
		if (op->carrier == BY_CHILD) {
			needs.caps |= op->caps;
			needs.roles |= sandbox_child_roles(n);
		} else if (op->carrier == BY_FREEZE && op->flags & OPF_MUTATES) {
			needs.roles |= SC_ROLE(SANDBOX_FREEZER) | SC_ROLE(SANDBOX_THAWER);
		}
	}
	return needs;
}

/* Without a supervisor that keeps it, it lives as long as we do. */
static int open_state(struct worker *w)
{
	int fd = fcntl(LAUNCH_FD_STATE, F_GETFD) < 0 ? -1 : LAUNCH_FD_STATE;
	int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
	struct state *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, flags, fd, 0);

	/* No child may reach into it, but the thawer. */
	if (s == MAP_FAILED || madvise(s, sizeof(*s), MADV_DONTFORK) < 0)
		return -1;
	if (s->magic != STATE_MAGIC || s->last_handle < HANDLE_FIRST - 1 ||
	    s->freeze.n > SUPERBLOCKS_MAX) {
		/* Room for lines is no memory until there are some. */
		memset(s, 0, offsetof(struct state, held.bytes));
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
	int audit_fd = fcntl(LAUNCH_FD_EXTRA, F_GETFD) < 0 ? -1 : LAUNCH_FD_EXTRA;

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
	hold_if_frozen(w);
	return audit_init(&w->audit, &w->sink, s->channel);
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
	record_start(w, needs->caps, needs->spawner);
	if (w->verbose)
		worker_log(w, "ready, policy %s", policy_base(&w->policy));
	freeze_resume(w);
	if (launch_ready(w, needs->spawner) < 0)
		return EXIT_PEER_GONE;
	status = loop_run(&w->loop);
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
	struct needs needs;
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
	if (prepare(w, &settings) < 0)
		return fail(EXIT_SYSTEM, "cannot start the worker", strerror(errno));
	status = load_policy(w, &settings);
	if (status)
		return status;
	if (repeats_init(w) < 0)
		return fail(EXIT_SYSTEM, "cannot start the worker", strerror(errno));
	needs = needs_of(w);
	status = seal(&needs);
	return status ? status : serve(w, &needs);
}
