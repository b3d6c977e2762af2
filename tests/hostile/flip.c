/*
 * tests/hostile/flip.c - change what stands under a path, over and over, as fast as it
 * goes
 *
 * Runs in:   beside an agent under test, as root; or as another: flip as UID STEP...
 * Input:     the steps of one round, on the command line: flip STEP ARG... STEP ARG...
 * May touch: the paths that the steps name
 * Must not:  outlive the test: it ends when its standard input does
 *
 * A step that fails is passed over: the agent makes and removes files meanwhile, which
 * may be just what it was told to. On the way out the number of rounds is printed.
 */
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ipc/util.h"

#define STEPS_MAX 16

/* A regular file with that text, and no other name. */
static int make(const char *path, const char *text)
{
	CLEANUP(close_p)
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	size_t len = strlen(text);

	return fd >= 0 && write(fd, text, len) == (ssize_t)len ? 0 : -1;
}

static int swap(const char *a, const char *b)
{
	return renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE);
}

static int bind_on(const char *from, const char *to)
{
	return mount(from, to, NULL, MS_BIND, NULL);
}

static int set_mode(const char *path, const char *mode)
{
	return chmod(path, (mode_t)strtoul(mode, NULL, 8));
}

static int make_pipe(const char *path, const char *unused)
{
	(void)unused;
	return mkfifo(path, 0666);
}

static int make_folder(const char *path, const char *unused)
{
	(void)unused;
	return mkdir(path, 0700);
}

static int delete (const char *path, const char *unused)
{
	(void)unused;
	return unlink(path);
}

/* At once, whoever is in it: they stay in a tree that stands nowhere. */
static int detach(const char *path, const char *unused)
{
	(void)unused;
	return umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW);
}

static const struct verb {
	const char *name;
	int n_args;
	int (*run)(const char *a, const char *b);
} verbs[] = {
	{"link", 2, link},        {"symlink", 2, symlink},   {"rename", 2, rename},
	{"swap", 2, swap},        {"make", 2, make},         {"bind", 2, bind_on},
	{"unlink", 1, delete},    {"detach", 1, detach},     {"chmod", 2, set_mode},
	{"mkfifo", 1, make_pipe}, {"mkdir", 1, make_folder},
};

struct step {
	int (*run)(const char *a, const char *b);
	const char *a, *b;
};

/* The step that begins at ARGV; how many words it takes, 0: it is none. */
static int parse(char **argv, int argc, struct step *s)
{
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
		const struct verb *v = &verbs[i];

		if (!streq(argv[0], v->name) || argc <= v->n_args)
			continue;
		*s = (struct step){v->run, argv[1], v->n_args > 1 ? argv[2] : NULL};
		return 1 + v->n_args;
	}
	return 0;
}

static bool has_ended(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 0) != 0;
}

/* Whom the folder of the programs may be closed to, so not by who starts us. */
static int become(const char *number)
{
	const uid_t uid = (uid_t)strtoul(number, NULL, 10);

	return setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 ||
			       setresuid(uid, uid, uid) < 0
		       ? -1
		       : 0;
}

int main(int argc, char **argv)
{
	const int first = argc > 2 && streq(argv[1], "as") ? 3 : 1;
	struct step steps[STEPS_MAX];
	unsigned long rounds = 0;
	int n = 0, words;

	if (first > 1 && become(argv[2]) < 0) {
		perror("flip: as");
		return 2;
	}
	for (int at = first; at < argc; at += words) {
		words = n < STEPS_MAX ? parse(argv + at, argc - at, &steps[n++]) : 0;
		if (!words) {
			fprintf(stderr, "flip: no step: %s\n", argv[at]);
			return 2;
		}
	}
	for (; !has_ended(STDIN_FILENO); rounds++)
		for (int i = 0; i < n; i++)
			steps[i].run(steps[i].a, steps[i].b);
	printf("%lu\n", rounds);
	return 0;
}
