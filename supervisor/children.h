/*
 * supervisor/children.h - start, watch and restart the other processes
 *
 * Runs in:   supervisor, root
 * Input:     ends of the processes; a byte of the worker's at a time
 * May touch: processes that it started, the channel
 * Must not:  read anything else from them, read or write the channel
 *
 * Each program is started as soon as what it needs is there:
 *
 *   worker     nothing
 *   reader     a worker, which takes its socket; not once it has read all that worker
 *              will ever need (`lock = yes`)
 *   inspector  a worker that said it is ready
 *   spawner    a worker that said so, and that its policy can need one
 *   frontend   a worker that said it is ready; the channel, opened then: opening it
 *              is the signal that clients wait for
 *
 * Between two processes there is one socket pair. The supervisor keeps an end of each:
 * its own to the worker; of the others a copy of the program's end, to see the worker
 * hang up. Either way a hang-up means that the program must go, by itself within
 * HANGUP_MS or else by SIGKILL. So the end of the worker ends the others, and closing
 * our end to the worker ends all.
 *
 * A channel that cannot be opened ends us with status 1 if it never was open, unless told
 * to retry; later it is tried again, with a back-off, until it can. One that is in use is
 * given BUSY_MS first.
 */
#ifndef POSTERN_SUPERVISOR_CHILDREN_H
#define POSTERN_SUPERVISOR_CHILDREN_H

#include "ipc/err.h"
#include "ipc/loop.h"
#include "ipc/state.h"
#include "sandbox/sandbox.h"
#include "supervisor/backoff.h"
#include "supervisor/channel.h"
#include "supervisor/setup.h"

#define HANGUP_MS         500   /* for a program to end after its peer went */
#define SPAWNER_HANGUP_MS 1500  /* the same, with programs of its own to end */
#define SETTLE_MS         50    /* until the end of a worker is seen, after its peers' */
#define TRIAL_MS          1000  /* in which a first frontend shows that it can run here */
#define READY_MS          20000 /* for a worker to be ready, its policy read (10 s) */
#define STOP_MS           2000  /* for all to end after a request to stop */
#define FROZEN_STOP_MS    15000 /* the same, with a thaw and its hooks before */
#define FROZEN_RETRY_MS   1000  /* longest delay between two starts while frozen */
#define SAID_MS           500   /* between two looks whether a line can be written */
#define RETRY_MAX_MS      10000 /* longest delay between two starts of a program */
#define REOPEN_MAX_MS     5000  /* longest delay between two tries to open the channel */
#define BUSY_MS           500   /* for who had the channel before us to let it go */
#define BUSY_STEP_MS      20    /* between two looks whether it did */

enum child_id {
	CHILD_WORKER,
	CHILD_READER,
	CHILD_INSPECTOR,
	CHILD_SPAWNER,
	CHILD_FRONTEND,
	CHILD_COUNT
};

/* Their file names. */
extern const char *const child_programs[CHILD_COUNT];

struct supervisor;

struct child {
	struct supervisor *s;
	int exe;               /* O_PATH */
	struct identity user;  /* of those that are not root */
	struct source process; /* pidfd; -1: not running */
	struct source socket;  /* the end we keep; -1: none, or it hung up */
	struct timer timer;    /* running: then it is killed; not: then it is started */
	struct backoff backoff;
	uint64_t started_ms;
	unsigned starts;
};

struct supervisor {
	struct loop loop;
	struct child child[CHILD_COUNT];
	struct channel channel;
	struct backoff reopen;
	int channel_errnum;     /* why it could not be opened, as was told last */
	uint64_t busy_since_ms; /* that somebody else has it; 0: nobody had */
	struct timer stop_timer;
	const char *profile;     /* this one and no files; NULL: the files */
	const char *policy_root; /* of the files; NULL: "/" */
	const char *spawner;     /* socket of one that is a service; NULL: we start it */
	int state;               /* of LAUNCH_FD_STATE */
	const struct freeze_record *record; /* in it */
	int control;                        /* of LAUNCH_FD_CONTROL; -1: none */
	int policy;                         /* of LAUNCH_FD_POLICY */
	const char *runtime; /* directory in memory for a thawer's socket; NULL: none */
	const char *hook;    /* of freezes; NULL: none */
	uint64_t
		alive_ms; /* between two signs of life of the worker; 0: none is wanted */
	char said[8192];  /* lines that wait for a thaw */
	size_t said_len;
	struct timer said_timer;
	uint64_t commands; /* that the lists leave, by number in ipc/ops.h; ~0: no list */
	struct audit_sink audit;
	bool verbose;
	bool retry;     /* also a channel that was never open is tried again */
	bool ready;     /* the worker that runs now said so */
	bool run;       /* and that it needs the spawner */
	bool no_reader; /* it is to get one: it had none yet, or that ended too early */
	bool announced; /* the frontend was started once: clients are answered */
	bool stopping;
	bool killed; /* stopping took too long */
	int status;  /* of our own, when stopping */
	/* Called once, when announced; may be NULL. */
	void (*on_announced)(struct supervisor *s);
};

/*
 * The parts with an owner outside (child[].exe and .user, channel, profile, state,
 * control, policy, audit, verbose) are the caller's to fill, all else zero. 0, or -1 with
 * errno.
 */
int supervisor_init(struct supervisor *s);

/* Start all and stay until stopped; the exit status for the process. */
int supervisor_run(struct supervisor *s);

/* End everything, then supervisor_run with STATUS. Calling again changes nothing. */
int supervisor_stop(struct supervisor *s, int status);

/* Have the worker read the policy again. */
void supervisor_reload(struct supervisor *s);

/* One line on standard error; returns -1. */
int say(const char *fmt, ...) PRINTF(1, 2);

#endif
