/*
 * supervisor/options.c - the command line
 *
 * Runs in:   supervisor, root
 * Input:     argv, from the guest's administrator; trusted
 * May touch: nothing but the struct it is handed
 * Must not:  open, print (but for the help)
 */
#include "supervisor/options.h"

#include <getopt.h>
#include <string.h>

struct row {
	char letter; /* '\0': a long option only */
	const char *name;
	const char *arg; /* NULL: a flag */
	size_t member;   /* offset of its value in struct options */
	const char *help;
};

#define MEMBER(m) offsetof(struct options, m)
#define NO_MEMBER 0 /* acts at once, holds no value */

static const struct row rows[] = {
	{'m', "method", "METHOD", MEMBER(method_name),
	 "virtio-serial (default) or unix-listen"},
	{'p', "path", "PATH", MEMBER(path), "device or socket of the channel"},
	{'t', "statedir", "DIR", MEMBER(statedir),
	 "directory of its state, default /run/postern"},
	{'f', "pidfile", "PATH", MEMBER(pidfile),
	 "default postern.pid in the state directory"},
	{'v', "verbose", NULL, MEMBER(verbose), "say more on standard error"},
	{'V', "version", NULL, NO_MEMBER, "print the version and exit"},
	{'h', "help", NULL, NO_MEMBER, "print this and exit"},
	{'\0', "profile", "NAME", MEMBER(profile),
	 "built-in policy: none, safe (default), legacy"},
	{'\0', "audit", "SINK", MEMBER(audit),
	 "decision records to fd:N (default fd:2) or file:PATH"},
	{'\0', "frontend-user", "USER", MEMBER(frontend_user),
	 "default postern-frontend"},
	{'\0', "inspector-user", "USER", MEMBER(inspector_user),
	 "default postern-inspector"},
	{'\0', "programs", "DIR", MEMBER(programs),
	 "directory of the agent's other programs"},
};

/* getopt returns this for row I, letter or not. */
#define ROW_VALUE(i) (256 + (int)(i))

/* getopt's two views of the table: long options, and ":m:p:..." */
static void getopt_tables(struct option *longs, char *shorts)
{
	*shorts++ = ':'; /* a missing argument is told apart */
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		longs[i] = (struct option){
			.name = rows[i].name,
			.has_arg = rows[i].arg ? required_argument : no_argument,
			.val = ROW_VALUE(i),
		};
		if (!rows[i].letter)
			continue;
		*shorts++ = rows[i].letter;
		if (rows[i].arg)
			*shorts++ = ':';
	}
	*shorts = '\0';
}

static const struct row *row_of(int opt)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (opt == ROW_VALUE(i) || (opt && opt == rows[i].letter))
			return &rows[i];
	return NULL;
}

/* OPT is getopt's '?' or ':'. */
static int refuse(int opt, char *argv[], struct err *e)
{
	const char *why = opt == ':' ? "option needs an argument" : "unknown option";

	/* A letter may stand among others in a word; a long option is the whole word. */
	if (optopt && optopt < ROW_VALUE(0))
		return err_set(e, ERR_GENERIC, "%s: '-%c', try 'postern --help'", why,
			       optopt);
	return err_set(e, ERR_GENERIC, "%s: '%s', try 'postern --help'", why,
		       argv[optind - 1]);
}

static void store(struct options *o, const struct row *row)
{
	char *member = (char *)o + row->member;

	if (row->arg)
		*(const char **)(void *)member = optarg;
	else
		*(bool *)member = true;
}

/* What can only be said when all options have been read. */
static int complete(struct options *o, struct err *e)
{
	o->method = channel_method(o->method_name);
	if (!o->method)
		return err_set(e, ERR_GENERIC, "unsupported channel method/type: %s",
			       o->method_name);
	if (!o->path)
		o->path = o->method->default_path;
	if (!o->path || !*o->path)
		return err_set(e, ERR_GENERIC,
			       "must specify a path for this channel (-p)");
	return 0;
}

enum options_result options_parse(struct options *o, int argc, char *argv[],
				  struct err *e)
{
	struct option longs[ARRAY_SIZE(rows) + 1] = {};
	char shorts[2 * ARRAY_SIZE(rows) + 2];
	int opt;

	*o = (struct options){
		.method_name = "virtio-serial",
		.profile = "safe",
		.audit = "fd:2",
		.frontend_user = "postern-frontend",
		.inspector_user = "postern-inspector",
	};
	getopt_tables(longs, shorts);
	optind = 0; /* GNU: start anew */
	opterr = 0;
	while ((opt = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		const struct row *row = row_of(opt);

		if (!row) {
			refuse(opt, argv, e);
			return OPTIONS_BAD;
		}
		if (row->letter == 'h')
			return OPTIONS_HELP;
		if (row->letter == 'V')
			return OPTIONS_VERSION;
		store(o, row);
	}
	return complete(o, e) < 0 ? OPTIONS_BAD : OPTIONS_RUN;
}

void options_help(FILE *out)
{
	fprintf(out,
		"Usage: postern [OPTION...]\n"
		"A guest agent that speaks the protocol of the QEMU guest agent.\n\n");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct row *r = &rows[i];
		int width = (int)strlen(r->name) + (r->arg ? (int)strlen(r->arg) + 1 : 0);

		fprintf(out, "  %c%c%c --%s%s%s%*s%s\n", r->letter ? '-' : ' ',
			r->letter ? r->letter : ' ', r->letter ? ',' : ' ', r->name,
			r->arg ? " " : "", r->arg ? r->arg : "", 24 - width, "", r->help);
	}
}
