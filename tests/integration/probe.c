/*
 * tests/integration/probe.c - print everything that a program inherits from its parent
 *
 * Runs in:   below the spawner, or below a shell, to compare
 * Input:     what execve(2) handed over; /proc/self
 * May touch: standard output
 * Must not:  change anything of itself before it has printed it
 *
 * One JSON object of one member on each line, e.g. {"umask": "0022"}. A list of lines is
 * what is there in any number: descriptors, variables, limits.
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/ioprio.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "ipc/jsonw.h"

#define OUTPUT_LIMIT (1024 * 1024)

static void name(struct wbuf *w, const char *text)
{
	wbuf_text(w, "{");
	jsonw_cstr(w, text);
	wbuf_text(w, ": ");
}

static void put_text(struct wbuf *w, const char *what, const char *value)
{
	name(w, what);
	jsonw_cstr(w, value);
	wbuf_text(w, "}\n");
}

static void put_number(struct wbuf *w, const char *what, int64_t value)
{
	name(w, what);
	jsonw_i64(w, value);
	wbuf_text(w, "}\n");
}

/* Identity, capabilities, filter and signals are what the kernel says they are. */
static void put_status(struct wbuf *w)
{
	static const char *const wanted[] = {
		"Umask",           "Uid",         "Gid",         "Groups",
		"CapInh",          "CapPrm",      "CapEff",      "CapBnd",
		"CapAmb",          "SigBlk",      "SigIgn",      "SigCgt",
		"SigPnd",          "ShdPnd",      "NoNewPrivs",  "Seccomp",
		"Seccomp_filters", "CoreDumping", "THP_enabled", "Cpus_allowed",
		"Mems_allowed",
	};
	char line[4096];
	FILE *f = fopen("/proc/self/status", "re");

	while (f && fgets(line, sizeof(line), f)) {
		char *value = strchr(line, ':');

		if (!value)
			continue;
		*value++ = '\0';
		value += strspn(value, "\t ");
		value[strcspn(value, "\n")] = '\0';
		for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
			if (streq(line, wanted[i]))
				put_text(w, line, value);
	}
	if (f)
		fclose(f);
}

static void put_descriptor(struct wbuf *w, int fd)
{
	static const struct {
		mode_t type;
		const char *name;
	} types[] = {
		{S_IFREG, "file"}, {S_IFIFO, "pipe"},    {S_IFCHR, "device"},
		{S_IFBLK, "disk"}, {S_IFSOCK, "socket"}, {S_IFDIR, "directory"},
	};
	static const char *const ways[] = {"read", "write", "read and write"};
	struct stat st = {0};
	char label[32];

	fstat(fd, &st);
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		if ((st.st_mode & S_IFMT) != types[i].type)
			continue;
		snprintf(label, sizeof(label), "fd %d", fd);
		name(w, label);
		wbuf_text(w, "[");
		jsonw_cstr(w, types[i].name);
		wbuf_text(w, ", ");
		jsonw_cstr(w, ways[fcntl(fd, F_GETFL) & O_ACCMODE]);
		wbuf_text(w, ", ");
		jsonw_bool(w, fcntl(fd, F_GETFL) & O_NONBLOCK);
		wbuf_text(w, "]}\n");
		return;
	}
	put_text(w, "fd of no type", "");
}

static void put_descriptors(struct wbuf *w)
{
	DIR *dir = opendir("/proc/self/fd");
	const struct dirent *e;

	while (dir && (e = readdir(dir))) {
		char *end;
		long fd = strtol(e->d_name, &end, 10);

		if (*end == '\0' && fd != dirfd(dir))
			put_descriptor(w, (int)fd);
	}
	if (dir)
		closedir(dir);
}

static void put_limits(struct wbuf *w)
{
	char label[32];
	struct rlimit r;

	for (int i = 0; i < RLIM_NLIMITS; i++) {
		if (getrlimit(i, &r) < 0)
			continue;
		snprintf(label, sizeof(label), "limit %d", i);
		name(w, label);
		wbuf_text(w, "[");
		jsonw_u64(w, r.rlim_cur);
		wbuf_text(w, ", ");
		jsonw_u64(w, r.rlim_max);
		wbuf_text(w, "]}\n");
	}
}

/* The first line of a file of ours in /proc. */
static void put_file(struct wbuf *w, const char *what)
{
	char path[64], line[256] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/%s", what);
	f = fopen(path, "re");
	if (!f)
		return;
	if (fgets(line, sizeof(line), f))
		line[strcspn(line, "\n")] = '\0';
	fclose(f);
	put_text(w, what, line);
}

static void put_link(struct wbuf *w, const char *what)
{
	char path[64], target[PATH_MAX];
	ssize_t len;

	snprintf(path, sizeof(path), "/proc/self/%s", what);
	len = readlink(path, target, sizeof(target) - 1);
	if (len < 0)
		return;
	target[len] = '\0';
	put_text(w, what, target);
}

static void put_kernel(struct wbuf *w)
{
	static const char *const spaces[] = {
		"ns/cgroup",           "ns/ipc",  "ns/mnt",  "ns/net", "ns/pid",
		"ns/pid_for_children", "ns/time", "ns/user", "ns/uts"};
	int death = 0;

	prctl(PR_GET_PDEATHSIG, &death);
	put_number(w, "parent death signal", death);
	put_number(w, "dumpable", prctl(PR_GET_DUMPABLE, 0, 0, 0, 0));
	put_number(w, "keep caps", prctl(PR_GET_KEEPCAPS, 0, 0, 0, 0));
	put_number(w, "secure bits", prctl(PR_GET_SECUREBITS, 0, 0, 0, 0));
	put_number(w, "timer slack", prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0));
	put_number(w, "personality", personality(0xffffffff));
	put_number(w, "nice", getpriority(PRIO_PROCESS, 0));
	put_number(w, "scheduler", sched_getscheduler(0));
	put_number(w, "io priority", syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0));
	put_file(w, "oom_score_adj");
	put_file(w, "coredump_filter");
	put_link(w, "root");
	for (size_t i = 0; i < ARRAY_SIZE(spaces); i++)
		put_link(w, spaces[i]);
}

int main(int argc, char **argv)
{
	CLEANUP(wbuf_free) struct wbuf w = wbuf_growing(OUTPUT_LIMIT);
	int tty = open("/dev/tty", O_RDWR | O_CLOEXEC);

	put_number(&w, "terminal", tty >= 0);
	close_p(&tty);
	put_status(&w);
	put_descriptors(&w);
	put_number(&w, "leads session", getsid(0) == getpid());
	put_number(&w, "leads group", getpgid(0) == getpid());
	put_link(&w, "cwd");
	put_limits(&w);
	put_kernel(&w);
	for (int i = 0; i < argc; i++)
		put_text(&w, "argument", argv[i]);
	for (char **e = environ; *e; e++)
		put_text(&w, "variable", *e);
	if (w.bad || fwrite(w.p, 1, w.len, stdout) != w.len)
		return 1;
	return fflush(stdout) == 0 ? 0 : 1;
}
