/*
 * worker/steps/steps.h - requests that take op children and programs, one after the other
 *
 * Runs in:   worker
 * Input:     results of op children, ends of programs
 * May touch: the request, the spawner's socket
 * Must not:  run a program that others than root could change, keep a secret in memory
 */
#ifndef POSTERN_WORKER_STEPS_H
#define POSTERN_WORKER_STEPS_H

#include "worker/worker.h"

/* Bytes of a program's output that are looked at. */
#define STEP_TEXT_MAX (128 * 1024)

/* How a step ended: one of these. */
struct outcome {
	const struct frame *part;      /* what its op child said; NULL: nothing */
	const struct msg_ended *ended; /* its program */
};

struct step {
	/*
	 * Begin: by request_part, steps_find or steps_run; or go on by steps_next, or end
	 * the request.
	 */
	void (*begin)(struct worker *w, struct request *rq);
	/* What it began is over: steps_next, or the end. Unused after steps_find. */
	void (*over)(struct worker *w, struct request *rq, const struct outcome *o);
};

/* What an operation consists of; a step without `begin` is its end, and success. */
struct plan {
	/* Look at the arguments, before anything is done. 0, or -1 with E filled. */
	int (*check)(struct worker *w, struct request *rq, const struct asked *q,
		     const struct policy_answer *a, struct err *e);
	const struct step *steps;
	/* It has ended, with RESULT as in the records; NULL: that needs none. */
	void (*ended)(struct worker *w, struct request *rq, const char *result);
};

extern const struct plan plan_password, plan_keys;    /* accounts.c */
extern const struct plan plan_shutdown, plan_suspend; /* power.c */

/* Where a request is, and what it has found so far. */
struct steps {
	const struct plan *plan;
	const struct step *at;
	const char *wanted; /* the program that was looked for */
	char *program;      /* where it is; NULL: it is not there, or not safe */
	bool unsafe;
	bool runs;      /* a program is wanted, and has not ended yet */
	bool captures;  /* what it writes is */
	uint32_t asked; /* number of the question to the spawner; 0: none is open */
	int64_t pid;
	char *text; /* what it wrote; NULL: nothing, or it was not captured */

	/* Accounts. */
	char *user;
	char *passwd, *groups; /* what getent said of them */
	struct wbuf account;   /* msg_account, as a message */
	int secret;            /* reading end of the pipe that holds it, or -1 */
	bool crypted;
	bool acts; /* it was decided, and is being done */
	char *fingerprints;

	/* Power. */
	int64_t mode;
	bool force;
};

/* Look at RQ's arguments, and be ready. */
void steps_start(struct worker *w, struct request *rq, const struct asked *q,
		 const struct policy_answer *a);
/* Begin what is ready, now that its secrets are put away. */
void steps_begin(struct worker *w);
/* RQ ends with RESULT: record that, and let go of what it holds. */
void steps_end(struct worker *w, struct request *rq, const char *result);

void steps_next(struct worker *w, struct request *rq);
/* Nothing more is to be done: success, of which there is nothing to say. */
void steps_done(struct worker *w, struct request *rq);
/* Look for PROGRAM, which then is in `program`. */
void steps_find(struct worker *w, struct request *rq, const char *program);
/*
 * Run what was found, with ARGV (up to NULL) and perhaps the secret as its input. Fails
 * the request if it was not found.
 */
enum steps_run { RUN_PLAIN, RUN_CAPTURED, RUN_SECRET };
void steps_run(struct worker *w, struct request *rq, const char *const *argv,
	       enum steps_run how);
/* It was not found: the request fails, and says why. */
void steps_missing(struct worker *w, struct request *rq);
/* Its op child failed: the request does, in that one's words. */
void steps_fail(struct worker *w, struct request *rq, const struct frame *part);
/* The program that was to do WHAT failed, or did not even begin (protocol 3.0.3). */
void steps_fail_program(struct worker *w, struct request *rq, const char *what,
			const struct outcome *o);
/* As `over` of an op child whose result nobody needs: on to the next step, or steps_fail.
 */
void steps_pass(struct worker *w, struct request *rq, const struct outcome *o);

static inline bool step_went_well(const struct outcome *o)
{
	return o->part ? !(o->part->flags & FRAME_ERROR)
		       : o->ended && o->ended->exitcode.set && !o->ended->exitcode.v &&
				 !o->ended->timed_out.v;
}

/* RQ's part is over, with F; NULL: with nothing. */
void steps_part(struct worker *w, struct request *rq, uint32_t part,
		const struct frame *f);
/* Frames of the spawner. False: it is nothing of ours. */
bool steps_reply(struct worker *w, const struct frame *f);
bool steps_ended(struct worker *w, const struct msg_ended *end);
/* The spawner is gone; a new one is there. */
void steps_lost(struct worker *w);
void steps_again(struct worker *w);

#endif
