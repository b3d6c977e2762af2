/*
 * supervisor/main.c - postern: the process that starts and restarts all others
 *
 * Runs in:   supervisor, root
 * Input:     command line and environment; trusted
 * May touch: what setup.h, channel.h and children.h say
 * Must not:  parse anything of the host, load a policy
 */
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/stat.h>

#include "ipc/launch.h"
#include "ipc/version.h"
#include "supervisor/children.h"
#include "supervisor/config.h"
#include "supervisor/daemon.h"
#include "supervisor/lists.h"
#include "supervisor/notify.h"
#include "supervisor/paths.h"
#include "supervisor/setup.h"

struct agent {
	struct supervisor supervisor;
	struct source signals;
	struct pidfile pidfile;
	struct daemon daemon;
};

static int on_signal(struct source *source, uint32_t events)
{
	struct agent *a = CONTAINER_OF(source, struct agent, signals);
	struct signalfd_siginfo info;

	(void)events;
	if (read(source->fd, &info, sizeof(info)) != sizeof(info))
		return 0;
	if (info.ssi_signo == SIGHUP) {
		supervisor_reload(&a->supervisor);
		return 0;
	}
	return supervisor_stop(&a->supervisor, EXIT_SUCCESS);
}

/* Asked to stop by SIGTERM or SIGINT; a lost reader of stderr is no reason. */
static int signals_init(struct agent *a)
{
	sigset_t set;
	int fd;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_DFL); /* ignored by our parent, it would hide exit statuses */
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP); /* read the policy again */
	fd = signal_fd(&set);
	if (fd < 0)
		return -1;
	return loop_add(&a->supervisor.loop, &a->signals, fd, EPOLLIN, on_signal);
}

/* The identities of the confined programs; without root all run as the caller. */
static int users_init(struct supervisor *s, const struct options *o, struct err *e)
{
	struct identity *frontend = &s->child[CHILD_FRONTEND].user;
	struct identity *inspector = &s->child[CHILD_INSPECTOR].user;

	*frontend = *inspector = (struct identity){.uid = getuid(), .gid = getgid()};
	if (geteuid() != 0)
		return 0;
	if (user_find(frontend, o->frontend_user, "--frontend-user", e) < 0 ||
	    user_find(inspector, o->inspector_user, "--inspector-user", e) < 0)
		return -1;
	if (frontend->uid == inspector->uid)
		return err_set(e, ERR_GENERIC,
			       "--frontend-user and --inspector-user must be two users");
	return 0;
}

/* Say what was noticed while the options were read. */
static void warn(const struct options *o)
{
	const char *line = o->warnings;

	for (; *line; line += strcspn(line, "\n") + 1)
		say("%.*s", (int)strcspn(line, "\n"), line);
}

/* A service manager that waits for our word takes the end of its child for a failure. */
static void stay_with_manager(struct options *o)
{
	if (!o->daemon || !getenv("NOTIFY_SOCKET"))
		return;
	options_warn(o, "run by a service manager: daemonize is ignored");
	o->daemon = false;
}

static void on_announced(struct supervisor *s)
{
	daemon_ready(&CONTAINER_OF(s, struct agent, supervisor)->daemon);
}

/* Where lines go, and which process goes on: 1 with STATUS in one that does not. */
static int begin(struct agent *a, struct options *o, int *status, struct err *e)
{
	struct supervisor *s = &a->supervisor;
	bool frozen = state_is_frozen(o->statedir);

	/* Now, while a number that is open is open because the caller opened it. */
	if (audit_open(&s->audit, o->audit, frozen, e) < 0 ||
	    (o->logfile && log_open(o->logfile, frozen, e) < 0))
		return -1;
	if (o->daemon && !o->logfile && s->audit.fd == STDERR_FILENO) {
		options_warn(o, "a daemon has no standard error: decisions will not be "
				"recorded, give --audit or --logfile");
		s->audit.fd = -1;
	}
	warn(o);
	if (!o->daemon)
		return 0;
	if (paths_absolute(o, e) < 0)
		return -1;
	s->on_announced = on_announced;
	return daemon_start(&a->daemon, o->logfile != NULL, status, e);
}

/* What stays when a worker goes, and is given to the next. */
static int open_kept(struct supervisor *s, const char *statedir, struct err *e)
{
	s->state = state_open(statedir, e);
	if (s->state < 0)
		return -1;
	/* Without it everything works but posternctl's reload and status. */
	s->control = control_listen(statedir, e);
	if (s->control < 0)
		say("%s", e->desc);
	s->policy = memfd_create("postern-kept", MFD_CLOEXEC);
	if (s->policy < 0 || ftruncate(s->policy, POLICY_KEPT_MAX) < 0)
		return err_sys(e, errno, "cannot make room for the policy");
	if (is_in_memory(statedir))
		s->runtime = statedir;
	return 0;
}

static int prepare(struct agent *a, const struct options *o, bool make_statedir,
		   struct err *e)
{
	struct supervisor *s = &a->supervisor;

	s->profile = o->profile;
	s->policy_root = o->policy_root;
	s->spawner = o->spawner;
	s->hook = o->fsfreeze_hook;
	s->alive_ms = notify_alive_ms();
	s->commands = lists_leave(o->allow, o->block);
	s->verbose = o->verbose;
	s->retry = o->retry;
	s->channel = o->inherited ? *o->inherited
				  : (struct channel){.method = o->method,
						     .path = o->path,
						     .fd = -1};
	if (users_init(s, o, e) < 0)
		return -1;
	for (int i = 0; i < CHILD_COUNT; i++) {
		s->child[i].exe = program_open(o->programs ? o->programs : LIBEXECDIR,
					       child_programs[i], e);
		if (s->child[i].exe < 0)
			return -1;
	}
	if (statedir_check(o->statedir, make_statedir, e) < 0)
		return -1;
	if (pidfile_take(&a->pidfile, o->pidfile, e) < 0)
		return -1;
	if (open_kept(s, o->statedir, e) < 0)
		return -1;
	if (supervisor_init(s) < 0 || signals_init(a) < 0)
		return err_sys(e, errno, "cannot start");
	return 0;
}

static int run(struct options *o)
{
	struct agent a = {.pidfile.fd = -1, .daemon.pipe = -1};
	const bool make_statedir = !o->statedir;
	struct err e;
	int status = EXIT_FAILURE;
	int r = -1;

	stay_with_manager(o);
	if (options_channel(o, &e) == 0 && paths_default(o, &e) == 0)
		r = begin(&a, o, &status, &e);
	if (r == 0)
		r = prepare(&a, o, make_statedir, &e);
	if (r < 0)
		say("%s", e.desc);
	if (r != 0)
		return status;
	if (o->retry) /* the channel may take hours to come */
		daemon_ready(&a.daemon);
	status = supervisor_run(&a.supervisor);
	channel_done(&a.supervisor.channel);
	if (a.supervisor.control >= 0)
		control_remove(o->statedir);
	pidfile_done(&a.pidfile);
	return status;
}

static int dump(struct options *o)
{
	struct err e;

	if (options_channel(o, &e) < 0) {
		say("%s", e.desc);
		return EXIT_FAILURE;
	}
	warn(o);
	paths_default(o, &e); /* one without a default is left out */
	options_dump(o, stdout);
	return EXIT_SUCCESS;
}

static int act(enum options_result what, struct options *o, const struct err *e)
{
	switch (what) {
	case OPTIONS_RUN:
		return run(o);
	case OPTIONS_DUMP:
		return dump(o);
	case OPTIONS_HELP:
		options_help(o, stdout);
		break;
	case OPTIONS_COMMANDS:
		list_print(stdout, list_all(), "\n");
		putchar('\n');
		break;
	case OPTIONS_VERSION:
		printf("QEMU Guest Agent %s (Postern %s)\n", QGA_VERSION,
		       POSTERN_VERSION);
		break;
	case OPTIONS_BAD:
		say("%s", e->desc);
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}

int main(int argc, char *argv[])
{
	struct channel inherited = {.fd = -1};
	enum options_result what;
	struct options o;
	struct err e;
	int status, r;

	if (standard_descriptors() < 0)
		return EXIT_FAILURE;
	umask(077);
	/* First, while a number that is open is open because the caller opened it. */
	r = channel_inherit(&inherited, &e);
	if (r < 0) {
		say("%s", e.desc);
		return EXIT_FAILURE;
	}
	what = config_read(&o, argc, argv, &e);
	o.inherited = r ? &inherited : NULL;
	status = act(what, &o, &e);
	options_done(&o);
	return status;
}
