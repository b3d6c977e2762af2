/*
 * worker/freeze/freeze.h - the state of the freeze, and who is at work at it
 *
 * Runs in:   worker
 * Input:     requests that were decided on; words of op children and the others below
 * May touch: the record of the freeze (ipc/state.h), children of its own
 * Must not:  block, write to a file system, leave one frozen that nobody will thaw
 *
 * A freeze goes through these steps; each ends with an event of the loop, which begins
 * the next. One request drives it, the host's or, where nobody asked, one of our own.
 *
 *   freeze:  hooks, list what is mounted and hold it, thawer and freezer, one superblock
 *            after the other; what fails goes on with the thaw
 *   thaw:    the thawer, hooks
 */
#ifndef POSTERN_WORKER_FREEZE_H
#define POSTERN_WORKER_FREEZE_H

#include "ipc/err.h"
#include "ipc/loop.h"
#include "ipc/ops.h"
#include "ipc/state.h"
#include "worker/ops/ops.h"

struct asked;
struct child;
struct frame;
struct op_child;
struct policy_answer;
struct request;
struct worker;

/* When a hook is ended, if no rule says. */
#define HOOK_TIMEOUT_MS 60000
/* The agent stops: then they have so long. */
#define HOOK_STOP_MS 5000

/* Bytes of mount points in a record of a freeze; what does not fit is left out. */
#define FREEZE_MOUNTS_MAX 4096

enum fs_state { FS_THAWED, FS_FREEZING, FS_FROZEN, FS_THAWING, FS_STATES };

enum freeze_step {
	STEP_IDLE,
	STEP_HOOKS,  /* they are looked for and run */
	STEP_LIST,   /* an op child lists and holds what is mounted */
	STEP_FREEZE, /* the freezer */
	STEP_THAW,   /* the thawer */
	STEP_RESCUE, /* an op child thaws what it can find */
};

/* What the rules say of one freeze. */
struct freeze_rules {
	uint64_t max_ms; /* 0: no deadline */
	uint64_t hook_timeout_ms;
	bool hooks;
	bool hook_must; /* one that fails ends the freeze */
};

/* The hooks that are run now, one after the other. */
struct hooks {
	const char *arg; /* "freeze", "thaw"; NULL: none are */
	char *paths[HOOKS_MAX];
	int errnums[HOOKS_MAX]; /* why one cannot be run */
	uint32_t n, at;
	uint32_t asked; /* number of the question to the spawner; 0: not asked */
	int64_t pid;    /* 0: it does not run yet */
	bool again;     /* the spawner died of it once */
};

struct freeze {
	enum fs_state state;
	enum freeze_step step;
	struct request *rq; /* that drives it; NULL when idle */
	struct freeze_record *record;
	struct freeze_rules rules;

	bool failed; /* the freeze was taken back, and why */
	struct err err;
	enum thaw_cause cause; /* of the thaw that is under way */
	uint32_t count;        /* thawed */

	const char *hook_path; /* as configured; NULL: none */
	struct hooks hooks;
	char hook_result[256]; /* of the last that were run; "": none */

	uint32_t n; /* superblocks held */
	int fds[SUPERBLOCKS_MAX];
	char *points[SUPERBLOCKS_MAX]; /* where they are mounted; NULL: not known any more
					*/

	struct source freezer; /* our end of its socket; -1: none runs */
	struct child *freezer_child;
	uint32_t at;          /* it is asked for this one */
	struct source thawer; /* our end of its socket; -1: there is none */
	struct timer retry;   /* to start another */
	int listener;         /* where the next worker finds it; -1: nowhere */
};

/* ---- freeze.c: what is asked ---- */

enum fs_event { EV_FREEZE, EV_DONE, EV_THAW, EV_FAIL, EVENTS };

/* Go to the next state, as the table says. The frontend is told. */
void freeze_move(struct worker *w, enum fs_event event);
/* Tell the frontend whether something is frozen. */
void freeze_tell(struct worker *w);

/* A request BY_FREEZE. */
void freeze_start(struct worker *w, struct request *rq, const struct policy_answer *a,
		  const struct rbuf *args);
/* The part PART of the request that drives the freeze ended with F; NULL: it failed. */
void freeze_part(struct worker *w, uint32_t part, const struct frame *f);
/* The hooks that were asked for are done. E: why they failed; NULL: they did not. */
void freeze_hooks_over(struct worker *w, const struct err *e);
/* RQ is over its time. */
void freeze_late(struct worker *w, struct request *rq, const struct err *e);
/* The agent stops: thaw what is frozen, then end the loop. */
void freeze_stop(struct worker *w);

/* RQ ends well, with NUMBER as its result. */
void freeze_answer(struct worker *w, struct request *rq, int64_t number);
/* Nobody is at work any more: the agent may end, or who waited gets on. */
void freeze_idle(struct worker *w);

/* What is refused, whatever the policy says, and what is allowed so. */
static inline bool freeze_is_on(const struct freeze *f)
{
	return f->state != FS_THAWED;
}

/* ---- freeze_list.c: what is mounted ---- */

void freeze_list_mounts(struct worker *w);
/* The op child that listed is done; F as for freeze_part. */
void freeze_listed(struct worker *w, const struct frame *f);
/* C has met a mount, and asks whether it is wanted. False: it broke the rules. */
bool freeze_found(struct op_child *c, const struct frame *f);
/* C has a superblock for us. False: it broke the rules. */
bool freeze_held(struct op_child *c, struct frame *f);

/* ---- freezing.c ---- */

/* All that is to be frozen is held: begin. */
void freeze_begin_ioctls(struct worker *w);
source_fn freeze_on_freezer;

/* ---- thawing.c ---- */

/* The freeze ends here; E: why, NULL: there was nothing to freeze. */
void freeze_roll_back(struct worker *w, const struct err *e, enum thaw_cause cause);
/* RQ asks for a thaw. */
void freeze_thaw_begin(struct worker *w, struct request *rq);
/* Nobody asks for it. */
void freeze_thaw_unasked(struct worker *w, enum thaw_cause cause);
/* The thawer is done: count, then as freeze_thawed. */
void freeze_thaw_ended(struct worker *w);
/* Nothing of ours is frozen any more: hooks, then freeze_finish. */
void freeze_thawed(struct worker *w);
/* All is said and done: the record goes, and who drove this is answered. */
void freeze_finish(struct worker *w);
/* Have an op child thaw what is on record, or whatever can be frozen. */
void freeze_rescue(struct worker *w, bool recorded);
/* It is done; F as for freeze_part. */
void freeze_rescued(struct worker *w, const struct frame *f);
/* Forget what is held, and who was at work at it. */
void freeze_let_go(struct worker *w);
source_fn freeze_on_thawer;
int freeze_on_retry(struct timer *t);

/* ---- freeze_children.c ---- */

/* A pair of sockets. 0 or -1. */
int freeze_pair(int *ours, int *theirs);
/* Start the freezer with THEIRS, and hear it on OURS, which is taken over. 0 or -1. */
int freeze_freezer_start(struct worker *w, int ours, int theirs);
/* End it. What it is at it ends first: the thawer sees when. */
void freeze_freezer_stop(struct worker *w);
/* Start a thawer. FREEZER: our end of the freezer's socket; -1: none runs. 0 or -1. */
int freeze_thawer_start(struct worker *w, int freezer);
/* There has to be one: start it, now or as soon as there is room; it gets its order. */
void freeze_thawer_need(struct worker *w);
/* Close the descriptor of S, if it has one. */
void freeze_hang_up(struct loop *loop, struct source *s);

/* ---- freeze_resume.c: the last worker's freeze ---- */

/*
 * Before the seal: find what there is of an earlier freeze. RUNTIME: a directory in
 * memory for the thawer's socket; NULL: there is none, and no freeze outlives the worker.
 * HOOK: as configured, or NULL. 0 or -1 with errno.
 */
int freeze_open(struct worker *w, const char *runtime, const char *hook);
/* Is there one on record, so that what it takes to end it must be kept? */
bool freeze_on_record(const struct worker *w);
/* After the seal: go on with it. */
void freeze_resume(struct worker *w);

/* ---- freeze_hooks.c ---- */

/* Run them with the one argument ARG. freeze_hooks_over is called, perhaps at once. */
void hooks_start(struct worker *w, const char *arg);
/* They were looked for: F is the result, NULL: that failed. */
void hooks_found(struct worker *w, const struct frame *f);
/* End the one that runs; what it does then counts as a failure. */
void hooks_end(struct worker *w);
/* It is over its time, and the spawner does not say so. */
void hooks_late(struct worker *w, const struct err *e);
/* A REPLY or ENDED of the spawner: true if it was about a hook. */
bool hooks_reply(struct worker *w, const struct frame *f);
bool hooks_ended(struct worker *w, const struct msg_ended *end);
/* The spawner is gone; another is there. */
void hooks_lost(struct worker *w);
void hooks_again(struct worker *w);

#endif
