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
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>

#include "ipc/version.h"
#include "supervisor/children.h"
#include "supervisor/options.h"
#include "supervisor/setup.h"

struct agent {
	struct supervisor supervisor;
	struct source signals;
	struct pidfile pidfile;
	char statedir[PATH_MAX];
	char pidfile_path[PATH_MAX];
};

static int on_signal(struct source *source, uint32_t events)
{
	struct agent *a = CONTAINER_OF(source, struct agent, signals);
	struct signalfd_siginfo info;

	(void)events;
	if (read(source->fd, &info, sizeof(info)) != sizeof(info))
		return 0;
	return supervisor_stop(&a->supervisor, EXIT_SUCCESS);
}

/* Both are asked to stop by SIGTERM and SIGINT; a lost reader of stderr is no reason. */
static int signals_init(struct agent *a)
{
	sigset_t set;
	int fd;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGCHLD, SIG_DFL); /* ignored by our parent, it would hide exit statuses */
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	fd = signal_fd(&set);
	if (fd < 0)
		return -1;
	return loop_add(&a->supervisor.loop, &a->signals, fd, EPOLLIN, on_signal);
}

/* The identities of the confined programs; without root all run as the caller. */
static int users_init(struct supervisor *s, const struct options *o, struct err *e)
{
	struct identity *frontend = &s->child[CHILD_FRONTEND].confine;
	struct identity *inspector = &s->child[CHILD_INSPECTOR].confine;

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

static int pidfile_init(struct agent *a, const struct options *o, struct err *e)
{
	const char *path = o->pidfile;

	if (statedir_find(a->statedir, o->statedir, e) < 0)
		return -1;
	if (!path) {
		if (snprintf(a->pidfile_path, PATH_MAX, "%s/postern.pid", a->statedir) >=
		    PATH_MAX)
			return err_sys(e, ENAMETOOLONG, "state directory");
		path = a->pidfile_path;
	}
	return pidfile_take(&a->pidfile, path, e);
}

static int prepare(struct agent *a, const struct options *o, struct err *e)
{
	struct supervisor *s = &a->supervisor;

	s->profile = o->profile;
	s->commands = ~UINT64_C(0);
	s->verbose = o->verbose;
	s->channel = (struct channel){.method = o->method, .path = o->path, .fd = -1};
	/* First, while a number that is open is open because the caller opened it. */
	s->audit = audit_open(o->audit, e);
	if (s->audit < 0 || users_init(s, o, e) < 0)
		return -1;
	for (int i = 0; i < CHILD_COUNT; i++) {
		s->child[i].exe = program_open(o->programs ? o->programs : LIBEXECDIR,
					       child_programs[i], e);
		if (s->child[i].exe < 0)
			return -1;
	}
	if (supervisor_init(s) < 0 || signals_init(a) < 0)
		return err_sys(e, errno, "cannot start");
	return pidfile_init(a, o, e);
}

static int run(const struct options *o)
{
	struct agent a = {.pidfile.fd = -1};
	struct err e;
	int status;

	if (prepare(&a, o, &e) < 0) {
		say("%s", e.desc);
		return EXIT_FAILURE;
	}
	status = supervisor_run(&a.supervisor);
	channel_done(&a.supervisor.channel);
	pidfile_done(&a.pidfile);
	return status;
}

int main(int argc, char *argv[])
{
	struct options o;
	struct err e;

	if (standard_descriptors() < 0)
		return EXIT_FAILURE;
	umask(077);
	switch (options_parse(&o, argc, argv, &e)) {
	case OPTIONS_RUN:
		return run(&o);
	case OPTIONS_HELP:
		options_help(stdout);
		return EXIT_SUCCESS;
	case OPTIONS_VERSION:
		printf("QEMU Guest Agent %s (Postern %s)\n", QGA_VERSION,
		       POSTERN_VERSION);
		return EXIT_SUCCESS;
	case OPTIONS_BAD:
		break;
	}
	say("%s", e.desc);
	return EXIT_FAILURE;
}
