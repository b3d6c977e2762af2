/*
 * spawner/run.c - from fork to exec
 *
 * Runs in:   the new process, root until it becomes the user of its rule
 * Input:     what the worker has decided on
 * May touch: its own credentials, limits and descriptors
 * Must not:  leave anything of the agent to the program
 *
 * Account look-ups may go to the network and hang; here they hold up nobody else. What
 * goes wrong is told as an errno.
 */
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "spawner/spawner.h"

/* Behind 0, 1 and 2, until the exec. */
#define STATUS_FD 3

#define SHELL "/bin/sh"
#define PATH  "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* Whom the program runs as. */
struct person {
	const char *name, *home, *shell;
	uid_t uid;
	gid_t gid;
	bool change; /* it is not who we are */
};

static _Noreturn void fail(int errnum)
{
	if (write(STATUS_FD, &errnum, sizeof(errnum)) < 0)
		_exit(126);
	_exit(127);
}

static void *need(void *memory)
{
	if (!memory)
		fail(ENOMEM);
	return memory;
}

static char *text_of(const struct v_str *s)
{
	return need(strndup(s->p, s->len));
}

static void arrange(const struct run_fds *fds)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int from[] = {fds->in, fds->out, fds->err, fds->status};

	/* First all out of the way, since a place may be taken by another's source. */
	for (int i = 0; i <= STATUS_FD; i++) {
		from[i] = fcntl(from[i] < 0 ? null : from[i], F_DUPFD_CLOEXEC,
				STATUS_FD + 1);
		if (from[i] < 0)
			_exit(126);
	}
	for (int i = 0; i <= STATUS_FD; i++)
		if (dup3(from[i], i, i == STATUS_FD ? O_CLOEXEC : 0) < 0)
			_exit(126);
	close_range(STATUS_FD + 1, ~0u, 0);
}

/* All others the spawner has not touched since its start (signals_init). */
static void default_signals(void)
{
	sigset_t none;

	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* ---- who ---- */

/* A name, or a number. */
static bool number_of(const char *s, unsigned int *out)
{
	char *end;
	unsigned long v = strtoul(s, &end, 10);

	*out = (unsigned int)v;
	return *s >= '0' && *s <= '9' && !*end && v < UINT32_MAX;
}

static void set_person(struct person *p, const struct passwd *pw)
{
	p->name = need(strdup(pw->pw_name));
	p->home = need(strdup(pw->pw_dir));
	p->shell = need(strdup(*pw->pw_shell ? pw->pw_shell : SHELL));
	p->uid = pw->pw_uid;
	p->gid = pw->pw_gid;
}

static struct person person_of(const struct msg_spawn *what)
{
	struct person p = {.name = "root", .home = "/root", .shell = SHELL};
	const char *user = what->user.set ? text_of(&what->user) : NULL;
	const char *group = what->group.set ? text_of(&what->group) : NULL;
	unsigned int number;
	const struct passwd *pw = NULL;
	const struct group *gr;

	p.uid = geteuid();
	p.gid = getegid();
	p.change = user || group;
	if (user)
		pw = number_of(user, &number) ? getpwuid(number) : getpwnam(user);
	else if (p.uid != 0) /* of root all is known, wherever accounts are kept */
		pw = getpwuid(p.uid);
	if (!pw && user)
		fail(ESRCH);
	if (pw)
		set_person(&p, pw);
	if (!group)
		return p;
	gr = number_of(group, &number) ? NULL : getgrnam(group);
	if (!gr && !number_of(group, &number))
		fail(ESRCH);
	p.gid = gr ? gr->gr_gid : number;
	return p;
}

/* Its own groups and no other, the user last, since that takes away the rest. */
static void become(const struct person *p)
{
	if (!p->change || geteuid() != 0)
		return;
	if (initgroups(p->name, p->gid) < 0 || setresgid(p->gid, p->gid, p->gid) < 0 ||
	    setresuid(p->uid, p->uid, p->uid) < 0)
		fail(errno);
}

/* ---- with what ---- */

/* Where there is no cgroup; of root's tasks there is no bound then. */
static void set_limits(const struct msg_spawn *what, const struct person *p)
{
	struct rlimit memory = {what->memory_max.v, what->memory_max.v};
	struct rlimit tasks = {what->tasks_max.v, what->tasks_max.v};

	if (what->memory_max.set && setrlimit(RLIMIT_AS, &memory) < 0)
		fail(errno);
	if (what->tasks_max.set && p->uid != 0 && setrlimit(RLIMIT_NPROC, &tasks) < 0)
		fail(errno);
}

static bool same_name(const char *a, const char *b)
{
	size_t len = strcspn(a, "=");

	return strncmp(a, b, len + 1) == 0;
}

/* VARIABLE takes the place of one of its name, or joins at the end. */
static void set_variable(char **env, size_t *n, char *variable)
{
	for (size_t i = 0; i < *n; i++)
		if (same_name(env[i], variable)) {
			env[i] = variable;
			return;
		}
	env[(*n)++] = variable;
}

static char *assign(const char *name, const char *value)
{
	char *text;

	if (asprintf(&text, "%s=%s", name, value) < 0)
		fail(ENOMEM);
	return text;
}

static char **environment(const struct msg_spawn *what, const struct person *p)
{
	const struct v_str *given = what->env.v;
	char **env = need(calloc(what->env.n + 8, sizeof(*env)));
	size_t n = 0;

	set_variable(env, &n, assign("PATH", PATH));
	set_variable(env, &n, assign("LANG", "C.UTF-8"));
	set_variable(env, &n, assign("HOME", p->home));
	set_variable(env, &n, assign("USER", p->name));
	set_variable(env, &n, assign("LOGNAME", p->name));
	set_variable(env, &n, assign("SHELL", p->shell));
	for (uint32_t i = 0; i < what->env.n; i++)
		set_variable(env, &n, text_of(&given[i]));
	return env;
}

/* Room for one more in front. */
static char **arguments(const struct msg_spawn *what)
{
	const struct v_str *given = what->argv.v;
	char **argv = need(calloc(what->argv.n + 2, sizeof(*argv)));

	for (uint32_t i = 0; i < what->argv.n; i++)
		argv[i + 1] = text_of(&given[i]);
	return argv;
}

_Noreturn void run(const struct msg_spawn *what, const struct run_fds *fds,
		   bool has_cgroup)
{
	char *path, **argv, **env;
	struct person p;

	arrange(fds);
	default_signals();
	umask(022);
	if (setsid() < 0)
		fail(errno);
	p = person_of(what);
	path = text_of(&what->path);
	argv = arguments(what);
	env = environment(what, &p);
	if (setrlimit(RLIMIT_NOFILE, &fds->files) < 0 ||
	    setrlimit(RLIMIT_DATA, &fds->data) < 0)
		fail(errno);
	if (!has_cgroup)
		set_limits(what, &p);
	become(&p);
	if (chdir(what->cwd.set ? text_of(&what->cwd) : "/") < 0)
		fail(errno);
	execve(path, argv + 1, env);
	if (errno != ENOEXEC)
		fail(errno);
	/* A script that does not say by what (protocol 3.36). */
	argv[0] = need(strdup(SHELL));
	argv[1] = path;
	execve(SHELL, argv, env);
	fail(errno);
}
