/*
 * bench/decide.c - how long the policy takes to decide
 *
 * Runs in:   its own process, as whoever runs the benchmark
 * Input:     the command line
 * May touch: memory
 * Must not:  measure anything but the decision that frontend and worker make
 *
 *	decide RULES ROUNDS
 *
 * Prints for each kind of request its name and the nanoseconds of one decision, a line
 * each ROUND. No rule but the last allows what is asked, and each is looked at to its
 * end: nothing is decided before the walk is over.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "policy/source.h"

#define PER_FILE 100   /* rules, so that none is over SOURCE_FILE_MAX */
#define EACH     20000 /* rules that a sample looks at, or more */

#define STR(s)                                              \
	{                                                   \
		.p = (s), .len = sizeof(s) - 1, .set = true \
	}

static struct v_str arguments[] = {STR("restart"), STR("tenant-0000-worker.service")};
static const struct msg_exec restart = {.path = STR("/usr/bin/systemctl"),
					.arg = {.v = arguments, .n = 2, .set = true}};
static const struct msg_file_open reads = {.path = STR("/srv/data/tenant-0000/log/today"),
					   .mode = STR("r")};
static const struct policy_object file = {.path = STR("/srv/data/tenant-0000/log/today"),
					  .type = OBJECT_REGULAR,
					  .exists = true};
static const struct policy_object program = {.path = STR("/usr/bin/systemctl"),
					     .real = STR("/usr/bin/systemctl"),
					     .type = OBJECT_REGULAR,
					     .exists = true};

/* ---- rules, each with a number; that of what is asked is 0 ---- */

static int exec_rule(char *to, size_t size, unsigned n)
{
	return snprintf(to, size,
			"[rule \"r%04u\"]\neffect = allow\ncommand = guest-exec\n"
			"path = /usr/bin/systemctl\nenv-allow = LANG\nstdin = no\n"
			"argv = {start|stop|restart} ; tenant-%04u-*\n",
			n, n);
}

static int file_rule(char *to, size_t size, unsigned n)
{
	return snprintf(to, size,
			"[rule \"r%04u\"]\neffect = allow\ncommand = @file-read\n"
			"open-mode = read\nfile-type = regular\nfollow-symlinks = no\n"
			"path = /srv/data/tenant-%04u/** ; /srv/data/tenant-%04u.log\n",
			n, n, n);
}

static const struct sort {
	const char *name;
	int (*rule)(char *to, size_t size, unsigned n);
	struct policy_question question;
} sorts[] = {
	{"guest-exec", exec_rule, {.op = OP_exec, .args = &restart, .object = &program}},
	{"guest-file-open",
	 file_rule,
	 {.op = OP_file_open, .args = &reads, .object = &file}},
};

static void __attribute__((noreturn)) die(const char *why)
{
	fprintf(stderr, "decide: %s\n", why);
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* One of the files that have the rules: those from BELOW - 1 down, PER_FILE at the most.
 */
static void add_rules(struct source *s, const struct sort *k, unsigned below)
{
	static char text[SOURCE_FILE_MAX];
	char name[32];
	size_t len = 0;

	snprintf(name, sizeof(name), "%04u.conf", 9999 - below);
	for (unsigned n = 0; n < PER_FILE && below; n++)
		len += (size_t)k->rule(text + len, sizeof(text) - len, --below);
	source_add(s, name, text, len);
}

static void build(struct policy *p, struct wbuf *image, const struct sort *k,
		  unsigned rules)
{
	static const char none[] = "[policy]\nbase = none\n";
	struct source *s = source_new();
	const struct source_error *e;

	if (!s)
		die("out of memory");
	source_add(s, "policy.conf", none, sizeof(none) - 1);
	for (unsigned below = rules; below; below -= below < PER_FILE ? below : PER_FILE)
		add_rules(s, k, below);
	*image = wbuf_growing(IMAGE_MAX);
	if (source_build(s, image) < 0)
		die(source_errors(s, &e) ? e->what : "the policy is not built");
	if (policy_open(p, image->p, image->len) < 0)
		die("the image is not opened");
	source_free(s);
}

/* Walked to the end, and allowed there. */
static void check(const struct policy *p, const struct policy_question *q, unsigned rules)
{
	struct policy_answer a;

	policy_decide(p, q, &a);
	if (!a.allowed || p->head->n_rules < rules || a.rule != (int32_t)rules - 1)
		die("the last rule does not decide");
}

static void measure(const struct sort *k, unsigned rules, unsigned rounds)
{
	struct policy p;
	struct wbuf image;
	struct policy_answer a;

	build(&p, &image, k, rules);
	check(&p, &k->question, rules);
	for (; rounds; rounds--) {
		uint64_t begin = now_ns(), n = 0;

		do {
			policy_decide(&p, &k->question, &a);
			n++;
		} while (n * rules < EACH);
		printf("%s %" PRIu64 "\n", k->name, (now_ns() - begin) / n);
	}
	wbuf_free(&image);
}

int main(int argc, char **argv)
{
	unsigned long rules = argc == 3 ? strtoul(argv[1], NULL, 10) : 0;
	unsigned long rounds = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;

	if (rules < 1 || rules > SOURCE_RULES_MAX || rounds < 1 || rounds > 1000000) {
		fputs("Usage: decide RULES ROUNDS\n", stderr);
		return 2;
	}
	for (size_t i = 0; i < ARRAY_SIZE(sorts); i++)
		measure(&sorts[i], (unsigned)rules, (unsigned)rounds);
	return 0;
}
