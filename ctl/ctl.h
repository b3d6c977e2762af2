/*
 * ctl/ctl.h - posternctl: its verbs and exit statuses
 *
 * Runs in:   posternctl, as the user who calls it
 * Input:     none; declarations
 * May touch: nothing
 * Must not:  be linked into the agent
 */
#ifndef POSTERN_CTL_H
#define POSTERN_CTL_H

#include "ipc/util.h"

/* Exit statuses of every verb. */
#define CTL_OK     0
#define CTL_ERROR  1 /* the agent answered with an error; denied; findings */
#define CTL_FAILED 2 /* wrong call, no connection, no answer */

/*
 * Verbs: argv[0] is the verb's name. Each returns an exit status. A verb prints its
 * result on standard output and nothing else there.
 */
int ctl_audit(int argc, char **argv);
int ctl_call(int argc, char **argv);
int ctl_check(int argc, char **argv);
int ctl_diff(int argc, char **argv);
int ctl_explain(int argc, char **argv);
int ctl_list(int argc, char **argv);
int ctl_reload(int argc, char **argv);
int ctl_status(int argc, char **argv);
int ctl_suggest(int argc, char **argv);

/* One line "posternctl: ..." on standard error. Returns CTL_FAILED. */
int ctl_fail(const char *fmt, ...) PRINTF(1, 2);

/* TEXT, the value of OPTION: LEAST to 86,400 seconds. CTL_OK; CTL_FAILED with a line. */
int ctl_seconds(const char *option, const char *text, double least, uint64_t *ms);

/* Write out what is buffered on standard output. CTL_OK, or CTL_FAILED with a line. */
int ctl_flush(void);

#endif
