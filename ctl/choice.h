/*
 * ctl/choice.h - which records of which trail: options that verbs share
 *
 * Runs in:   posternctl, as the user who calls it
 * Input:     the command line
 * May touch: the structs it is handed; what trail.h opens
 * Must not:  guess what was meant
 */
#ifndef POSTERN_CTL_CHOICE_H
#define POSTERN_CTL_CHOICE_H

#include "ctl/trail.h"

struct choice {
	const char *verb; /* for messages */
	struct trail_options trail;
	struct filter filter;
	uint64_t now;
	bool since; /* it was said; so too: */
	bool until;
	bool uid;
};

/* Values of getopt_long; a verb's own lie below, at 256 and above. */
enum {
	CHOICE_SINCE = 1024,
	CHOICE_UNTIL,
	CHOICE_COMMAND,
	CHOICE_SESSION,
	CHOICE_UID,
};

#define CHOICE_SHORT "i:D:"
/* Rows of a struct option array. */
/* clang-format off */
#define CHOICE_LONGS                                          \
	{"since", required_argument, NULL, CHOICE_SINCE},     \
	{"until", required_argument, NULL, CHOICE_UNTIL},     \
	{"command", required_argument, NULL, CHOICE_COMMAND}, \
	{"session", required_argument, NULL, CHOICE_SESSION}, \
	{"file", required_argument, NULL, 'i'},               \
	{"directory", required_argument, NULL, 'D'},          \
	{"uid", required_argument, NULL, CHOICE_UID}
/* clang-format on */

#define CHOICE_HELP_TIMES                                         \
	"  --since TIME         records of events from TIME on\n" \
	"  --until TIME         up to it\n"
#define CHOICE_HELP_WHICH                                            \
	"  --command NAME       of this command (may be repeated)\n" \
	"  --session N          of this session of the host\n"
#define CHOICE_HELP_WHERE                                                          \
	"  -i, --file PATH      JSON lines that the agent wrote, as told by its\n" \
	"                       --audit file:PATH; - for standard input\n"         \
	"  -D, --directory DIR  the journal files in DIR\n"                        \
	"  --uid N              whose records of the journal are believed: 0\n"
#define CHOICE_HELP_TIME                                                   \
	"TIME is YYYY-MM-DD, 'YYYY-MM-DD HH:MM[:SS]', HH:MM[:SS], today, " \
	"yesterday,\n"                                                     \
	"now, -2h, '2h ago', -30min or @SECONDS."

/* All records of this machine's journal. */
void choice_init(struct choice *c, const char *verb);

/* Take the option OPT, with its value in optarg. CTL_OK, or CTL_FAILED with a line. */
int choice_option(struct choice *c, int opt);

/* The value of OPTION, in optarg, as a number. CTL_OK, or CTL_FAILED with a line. */
int choice_number(const struct choice *c, const char *option, uint64_t min, uint64_t max,
		  uint64_t *v);

/* Does all that was said go together? CTL_OK, or CTL_FAILED with a line. */
int choice_settle(const struct choice *c);

/* NULL: a line was printed. */
struct trail *choice_open(struct choice *c);

/* There was nothing: perhaps the reason, as a line on standard error. */
void choice_told_none(const struct choice *c);

/* A line on standard error about what was in the trail and is no record. */
void choice_told_bad(const struct choice *c, const struct trail *t);

#endif
