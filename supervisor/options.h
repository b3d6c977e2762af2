/*
 * supervisor/options.h - what the agent can be told, and one source of it: words
 *
 * Runs in:   supervisor, root
 * Input:     words and values of the guest's administrator; trusted
 * May touch: nothing but the struct it is handed
 * Must not:  open, print (but for the help and what was asked for)
 *
 * One table holds the options, their spellings and the keys of qemu-ga.conf. Where the
 * values come from, and in which order, is in config.h.
 */
#ifndef POSTERN_SUPERVISOR_OPTIONS_H
#define POSTERN_SUPERVISOR_OPTIONS_H

#include <stdio.h>

#include "ipc/err.h"
#include "supervisor/channel.h"

#define OPTIONS_OWNED_MAX 20

struct options {
	const char *program; /* the name that we were called by, without folders */
	const char *method_name;
	const struct channel_method *method; /* of that name, by options_channel */
	const char *path;                /* of the channel; NULL: the method's default */
	const struct channel *inherited; /* instead of both; NULL: none */
	const char *logfile;             /* NULL: standard error */
	const char *pidfile;             /* NULL: the default */
	const char *fsfreeze_hook;       /* absolute; NULL: none */
	const char *statedir;            /* NULL: the default */
	const char *config;              /* of -c; NULL: the usual places */
	const char *profile;             /* NULL: the policy files */
	const char *policy_root;         /* NULL: "/" */
	const char *audit;               /* "journal", "fd:N" or "file:PATH", not checked
					    yet; NULL: as there is */
	const char *frontend_user;       /* name or uid */
	const char *inspector_user;
	const char *spawner;  /* socket; NULL: it is started here */
	const char *programs; /* NULL: where they are installed */
	uint64_t block;       /* sets of operations, see lists.h */
	uint64_t allow;
	bool verbose;
	bool daemon;
	bool retry; /* wait for a channel that is not there yet */
	bool dump;  /* print the configuration instead of running */

	char warnings[2048];            /* lines for the log, each with its newline */
	void *owned[OPTIONS_OWNED_MAX]; /* texts that the members point into */
	unsigned n_owned;
};

enum options_result {
	OPTIONS_RUN,
	OPTIONS_HELP,
	OPTIONS_VERSION,
	OPTIONS_COMMANDS, /* the names of all commands */
	OPTIONS_DUMP,
	OPTIONS_BAD, /* E is filled */
};

/* The defaults, for a program that was called by NAME. */
void options_init(struct options *o, const char *name);
void options_done(struct options *o);

/* Have options_done free MEMORY, which is returned; NULL: out of memory, or of places. */
void *options_own(struct options *o, void *memory);

/*
 * Take over the options among ARGV, from left to right; the last value wins, lists add
 * up; what asks for no run acts at once. ARGV is reordered, its strings are kept.
 * VARIABLE is where they come from; NULL: the command line, on which words that are no
 * options get a warning, as they were always ignored there.
 */
enum options_result options_words(struct options *o, const char *variable, int argc,
				  char *argv[], struct err *e);

/* Take over VALUE of a key of qemu-ga.conf. 1; 0: no such key; -1: a wrong value. */
int options_key(struct options *o, const char *key, const char *value, struct err *e);

/* The key that is most like WORD. */
const char *options_closest_key(const char *word);

/* Find method and path of the channel. 0, or -1 with E filled. */
int options_channel(struct options *o, struct err *e);

/* Add a line to the warnings; lines that find no room are lost. */
void options_warn(struct options *o, const char *fmt, ...) PRINTF(2, 3);

void options_help(const struct options *o, FILE *out);

/* The configuration as a file that has the same meaning (protocol 4.2). */
void options_dump(const struct options *o, FILE *out);

#endif
