/*
 * supervisor/options.h - the command line
 *
 * Runs in:   supervisor, root
 * Input:     argv, from the guest's administrator; trusted
 * May touch: nothing but the struct it is handed
 * Must not:  open, print (but for the help)
 */
#ifndef POSTERN_SUPERVISOR_OPTIONS_H
#define POSTERN_SUPERVISOR_OPTIONS_H

#include <stdbool.h>
#include <stdio.h>

#include "ipc/err.h"
#include "supervisor/channel.h"

struct options {
	const char *method_name;
	const struct channel_method *method; /* of that name */
	const char *path;                    /* of the channel, or the method's default */
	const char *statedir;                /* NULL: the default */
	const char *pidfile;                 /* NULL: the default */
	const char *profile;
	const char *audit;         /* "fd:N" or "file:PATH", not checked yet */
	const char *frontend_user; /* name or uid */
	const char *inspector_user;
	const char *programs; /* NULL: where they are installed */
	bool verbose;
};

enum options_result { OPTIONS_RUN, OPTIONS_HELP, OPTIONS_VERSION, OPTIONS_BAD };

/*
 * Read the command line from left to right; the last value wins; --help and --version
 * act at once. Strings stay argv's. Fills E for OPTIONS_BAD only.
 */
enum options_result options_parse(struct options *o, int argc, char *argv[],
				  struct err *e);

void options_help(FILE *out);

#endif
