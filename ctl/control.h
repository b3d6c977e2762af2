/*
 * ctl/control.h - the control socket of a running agent
 *
 * Runs in:   posternctl, as the user who calls it: root, or who runs the agent
 * Input:     frames of the agent; decoded, bounded
 * May touch: the socket
 * Must not:  wait without end for who does not answer
 */
#ifndef POSTERN_CTL_CONTROL_H
#define POSTERN_CTL_CONTROL_H

#include "ipc/control.h"
#include "ipc/frame.h"

#define CONTROL_VARIABLE "POSTERN_CONTROL"
#define CONTROL_DEFAULT  "/run/postern/control"

struct control_link {
	int fd;
	struct arena arena; /* of the last answer */
	uint8_t buf[FRAME_MAX];
};

/*
 * Connect to PATH (NULL: the variable, else the default) and greet. CTL_OK, or CTL_FAILED
 * with a line printed. End with control_done in any case.
 */
int control_open(struct control_link *l, const char *path, uint64_t timeout_ms);
void control_done(struct control_link *l);

/* Ask. CTL_OK, or CTL_FAILED with a line printed. */
int control_ask(struct control_link *l, enum control_verb verb);

/*
 * The next answer, whose texts are L's, within TIMEOUT_MS (0: without end). CTL_OK, or
 * CTL_FAILED with a line printed.
 */
int control_answer(struct control_link *l, uint64_t timeout_ms, struct msg_controlled *m);

/* The image of the policy in force: a sealed memfd of the caller's; -1: a line printed.
 */
int control_policy(struct control_link *l, uint64_t timeout_ms);

/* ---- the command line of those who use it ---- */

struct control_options {
	const char *path;
	uint64_t timeout_ms; /* 0: the default of the verb */
	bool json;
};

/* CTL_OK; CTL_FAILED with a line printed; -1: --help, so print it. */
int control_parse(struct control_options *o, int argc, char **argv);
/* The lines of --help on these options. */
extern const char control_help[];

#endif
