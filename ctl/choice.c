/*
 * ctl/choice.c - which records of which trail: options that verbs share
 *
 * Runs in:   posternctl, as the user who calls it
 * Input:     the command line
 * May touch: the structs it is handed; what trail.h opens
 * Must not:  guess what was meant
 */
#include "ctl/choice.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "ctl/ctl.h"
#include "ctl/when.h"
#include "ipc/ops.h"

void choice_init(struct choice *c, const char *verb)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	*c = (struct choice){
		.verb = verb,
		.filter.until = UINT64_MAX,
		.now = (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000,
	};
}

int choice_number(const struct choice *c, const char *option, uint64_t min, uint64_t max,
		  uint64_t *v)
{
	char *end;
	unsigned long long n;

	errno = 0;
	n = strtoull(optarg, &end, 10);
	if (*optarg < '0' || *optarg > '9' || *end || errno || n < min || n > max)
		return ctl_fail("%s: %s: '%s' is no number from %" PRIu64 " to %" PRIu64,
				c->verb, option, optarg, min, max);
	*v = n;
	return CTL_OK;
}

static int read_time(const struct choice *c, const char *option, uint64_t *usec)
{
	if (when_read(optarg, c->now, usec) == 0)
		return CTL_OK;
	return ctl_fail("%s: %s: '%s' is no time; one is written as " WHEN_FORMS, c->verb,
			option, optarg);
}

/* With `guest-` before it, or without. */
static int read_command(struct choice *c)
{
	char name[64];
	int n = snprintf(name, sizeof(name), "guest-%s", optarg);
	uint32_t op = op_by_name(optarg, strlen(optarg));

	if (op == OP_NONE && n > 0 && (size_t)n < sizeof(name))
		op = op_by_name(name, (size_t)n);
	if (op == OP_NONE || op_by_number(op)->flags & OPF_PART)
		return ctl_fail("%s: --command: there is no command '%s'", c->verb,
				optarg);
	c->filter.ops |= UINT64_C(1) << op;
	return CTL_OK;
}

static int read_uid(struct choice *c)
{
	uint64_t uid = 0;
	int r = choice_number(c, "--uid", 0, UINT32_MAX - 1, &uid);

	c->uid = true;
	c->trail.uid = (uid_t)uid;
	return r;
}

int choice_option(struct choice *c, int opt)
{
	switch (opt) {
	case CHOICE_SINCE:
		c->since = true;
		return read_time(c, "--since", &c->filter.since);
	case CHOICE_UNTIL:
		c->until = true;
		return read_time(c, "--until", &c->filter.until);
	case CHOICE_COMMAND:
		return read_command(c);
	case CHOICE_SESSION:
		c->filter.one_session = true;
		return choice_number(c, "--session", 0, UINT64_MAX, &c->filter.session);
	case CHOICE_UID:
		return read_uid(c);
	case 'i':
		c->trail.file = optarg;
		return CTL_OK;
	case 'D':
		c->trail.directory = optarg;
		return CTL_OK;
	default: /* every option has its case */
		return CTL_FAILED;
	}
}

int choice_settle(const struct choice *c)
{
	if (c->trail.file && (c->trail.directory || c->uid))
		return ctl_fail("%s: --directory and --uid are of the journal, --file is "
				"another source",
				c->verb);
	if (c->filter.since > c->filter.until)
		return ctl_fail("%s: --since is later than --until", c->verb);
	return CTL_OK;
}

struct trail *choice_open(struct choice *c)
{
	c->trail.filter = &c->filter;
	return c->trail.file ? lines_open(&c->trail) : journal_open(&c->trail);
}

void choice_told_none(const struct choice *c)
{
	if (geteuid() != 0 && !c->trail.file && !c->trail.directory)
		fputs("The system's journal is for root and the group systemd-journal.\n",
		      stderr);
}

void choice_told_bad(const struct choice *c, const struct trail *t)
{
	const char *one = c->trail.file ? "line is" : "entry is";
	const char *many = c->trail.file ? "lines are" : "entries are";

	if (t->bad)
		fprintf(stderr, "posternctl: %" PRIu64 " %s no record%s and left out\n",
			t->bad, t->bad == 1 ? one : many, t->bad == 1 ? "" : "s");
}
