/*
 * ctl/policy.h - the policy as posternctl reads it
 *
 * Runs in:   posternctl, as the user who calls it
 * Input:     policy files: any bytes
 * May touch: memory of its own; the files, read-only
 * Must not:  be more lenient than the agent
 */
#ifndef POSTERN_CTL_POLICY_H
#define POSTERN_CTL_POLICY_H

#include "policy/policy.h"
#include "policy/source.h"

/* What verbs about a policy share on the command line. */
struct policy_options {
	const char *root;    /* --policy-root; NULL: "/" */
	const char *profile; /* --profile: this one and no files */
	char **files;        /* these instead of the installed ones */
	int n_files;
	bool json;
};

/* The options of these, for getopt_long. */
#define POLICY_OPTIONS                                     \
	{"policy-root", required_argument, NULL, 'r'},     \
		{"profile", required_argument, NULL, 'p'}, \
		{"json", no_argument, NULL, 'j'},          \
	{                                                  \
		"help", no_argument, NULL, 'h'             \
	}

/* Is C, of getopt_long, one of them but help? Then it is in O. */
bool policy_option(struct policy_options *o, int c);

/* The line for OPTION, which VERB has not. CTL_FAILED. */
int policy_option_wrong(const char *verb, const char *option);

struct loaded {
	struct source *source;
	struct wbuf image;
	struct policy policy; /* good after 0 */
};

/*
 * Read and build. 0; 1: there are mistakes, in L->source; -1: a line was printed. End
 * with loaded_done in any case.
 */
int loaded_read(struct loaded *l, const struct policy_options *o);

/* The same for who can do nothing with mistakes: they are printed. 0 or -1. */
int loaded_good(struct loaded *l, const struct policy_options *o);
/* The same with TEXT alone, as the rules of a file so named, and no base. */
int loaded_text(struct loaded *l, const char *file, const struct wbuf *text);
/* The policy whose image is in the file FD. 0 or -1: a line was printed. */
int loaded_image(struct loaded *l, int fd);
void loaded_done(struct loaded *l);

/*
 * Lines on standard error on what P may not mean: rules wider than they look, clients
 * that stop, what takes the place of the base.
 */
void check_notes(const struct policy *p);

#endif
