/*
 * worker/worker.h - the worker's state: everything hangs on this struct
 *
 * Runs in:   worker, root, sealed (no execve, no open, no socket)
 * Input:     typed frames of frontend, inspector and op children; none is trusted
 * May touch: its sockets, its children
 * Must not:  parse JSON, run a program, block
 */
#ifndef POSTERN_WORKER_WORKER_H
#define POSTERN_WORKER_WORKER_H

#include "ipc/err.h"
#include "ipc/ops.h"
#include "ipc/peer.h"
#include "ipc/state.h"
#include "ipc/sys.h"
#include "policy/policy.h"
#include "sandbox/needs.h"
#include "worker/audit.h"
#include "worker/control.h"
#include "worker/fork.h"
#include "worker/freeze/freeze.h"
#include "worker/generation.h"
#include "worker/reload.h"
#include "worker/sink.h"

/* Operations under way at the same time, abandoned ones included. */
#define REQUESTS_MAX 16
/* Besides, status and thaw, which are never too many; and one that nobody asked for. */
#define REQUESTS_SPARE 4

/* Bytes of all requests that are kept at once, to be decided on again. */
#define KEPT_MAX (2 * REQUEST_BODY_MAX)

/* Room for the lists of one decoded request. */
#define ARENA_SIZE (256 * 1024)

/* An op child, from its fork until it was reaped; a killed one may take its time. */
struct op_child {
	struct child child;
	struct source reply; /* socket on which it answers; owned */
	struct worker *w;
	struct request *rq;    /* what it works at; NULL once that has ended */
	struct handle *handle; /* the open file that it is, or NULL */
	bool looks;            /* it may hang in a file system that hangs */
	bool leaves;           /* it has closed its file, and cannot hang any more */
};

/* Files open at the same time: at the most, and if the policy does not say. */
#define HANDLES_MAX     1024
#define HANDLES_DEFAULT 64

/* An open file. */
struct handle {
	int64_t number; /* as the client knows it; 0: the slot is free */
	struct op_child *child;
	uint64_t request; /* that opened it, as in the records */
	uint64_t session;
	uint64_t bytes_read, bytes_written;
};

/* Programs known at the same time: running, or with a result that nobody has fetched. */
#define PROGRAMS_MAX       256
#define CONCURRENT_DEFAULT 32

/* A program that the spawner runs or ran. */
struct program {
	int64_t pid;      /* 0: the slot is free */
	uint64_t request; /* that started it, as in the records */
	uint64_t began;   /* counts up: the oldest has the least */
	int32_t rule;     /* of the policy in force: by which it was allowed */
	bool ended;
};

/* A request that was allowed and is being carried out. */
struct request {
	uint64_t serial; /* as in the records; 0: the slot is free */
	uint32_t id;     /* the frontend's number; meaningless once abandoned */
	uint32_t op;
	uint64_t session;
	struct generation *gen; /* the policy that it stands on; used */
	uint64_t began_usec;
	uint64_t
		limit_ms; /* from begin to deadline: the row's, or the policy's if less */
	uint64_t deadline_ms;
	bool abandoned; /* nobody waits for the reply */
	bool own;       /* nobody asked: the agent thaws by itself */
	bool waits;     /* BY_FREEZE: for the outcome of what is in progress */
	size_t replied; /* bytes of result passed on so far */

	struct op_child *child; /* BY_CHILD, BY_HANDLE */
	struct steps *steps;    /* BY_STEPS; owned */

	/* BY_INSPECTOR, BY_SPAWNER */
	uint32_t part;  /* operation whose result is asked along; its child runs first */
	bool through;   /* the result of the part is the request's */
	uint32_t asked; /* number of the question; 0: not asked yet */
	uint32_t tries;
	/*
	 * Kept to be asked once more, should the inspector die of it: arguments, then
	 * what the part gave. Of what is decided on again: the request as it came.
	 */
	struct wbuf question;
	bool undecided; /* allowed so far; what it points to was not looked at yet */
	int32_t rule;   /* by which it was allowed in the end */
	int bulk_fd;    /* content that came along: a sealed memfd, or -1 */
	struct repeat *repeat; /* it is counted, not recorded; or NULL */
};

/*
 * How fast another process may make us write lines that nobody asked for: so many at
 * once, so many a second. What exceeds it is counted (AUDIT.md: a flood from one session
 * cannot push out other records).
 */
#define NOTES_BURST   32
#define NOTES_PER_SEC 8

struct steps; /* worker/steps/steps.h */

struct bucket {
	uint64_t level_ms; /* time up to which the allowance is used */
};

struct worker {
	struct sys sys; /* for op children; the worker itself opens nothing */
	struct loop loop;
	struct source launch; /* socket to the supervisor */
	struct peer frontend;
	struct peer inspector;
	struct peer spawner; /* there only if the policy can need it */
	struct peer reader;  /* of the policy files; not where none is read any more */
	bool had_frontend;   /* one was there before: the next is a restart */
	bool had_inspector;
	bool had_spawner;

	bool systemd;        /* it runs this system */
	bool init_by_signal; /* init goes down by a signal, so that no program is needed
			      */

	struct generation *gen; /* the policy in force */
	struct reload reload;
	struct needs held;    /* what was kept at the seal */
	struct fences fences; /* what its children keep of the files */

	struct source control; /* where posternctl connects; fd -1: nowhere */
	struct control controls[CONTROL_MAX];

	struct sink sink;
	struct audit audit;
	struct bucket notes; /* session notes of the frontend */
	uint64_t notes_dropped;
	struct bucket lines; /* log lines of confined processes */
	bool verbose;

	uint32_t last_id;     /* highest request number of this frontend */
	uint64_t last_serial; /* of the records */
	uint32_t last_asked;
	struct request requests[REQUESTS_MAX + REQUESTS_SPARE + 1];
	uint32_t children; /* op children not reaped yet, */
	uint32_t looking;  /* of these, who may hang in a file system, */
	uint32_t files;    /* who is an open file, */
	uint32_t leaving;  /* and who was one */

	uint8_t child_frame[FRAME_MAX]; /* what one of them says, while it is acted on */

	struct handle handles[HANDLES_MAX];
	struct state *state;
	struct program programs[PROGRAMS_MAX];
	uint64_t last_program;
	struct timer limit;
	uint64_t limit_ms; /* when it fires, if it is armed: no later than a deadline */
	struct timer repeats;
	struct timer alive;
	uint64_t alive_ms; /* between two signs of life; 0: none is wanted */
	struct freeze freeze;
	bool stopping; /* the supervisor said so: what is frozen is thawed first */

	struct arena arena;
};

/* ---- log.c ---- */

/* One line for people on descriptor 2, by the sink. */
void worker_log(struct worker *w, const char *fmt, ...) PRINTF(2, 3);
/* Each line of LEN bytes of TEXT of our own. */
void worker_log_lines(struct worker *w, const void *text, size_t len);
/* A line that another process wants to be logged: bounded, escaped, tagged. */
void worker_log_for(struct worker *w, const char *process, const struct frame *f);

/* One more line from another process? */
bool bucket_take(struct bucket *b, uint64_t now);

/* ---- gate.c ---- */

/*
 * A request of the frontend: decode, decide, record, act. 0, or -1: the frontend broke
 * the rules of the wire between us, which no well-behaved one can.
 */
int gate_request(struct worker *w, struct frame *f);

/* The typed request as gate and decision see it. */
struct asked {
	struct generation *gen; /* the policy that is asked */
	uint32_t number;
	const struct op *op;
	const void *args; /* NULL with FRAME_BAD_ARGS */
	uint16_t flags;
	bool stale; /* the frontend's mark is by a policy in force no more: it says
		     * nothing
		     */
	const struct policy_object *object; /* NULL: not looked for yet */
};

struct verdict {
	bool allowed;
	bool skew;  /* the frontend's copy said otherwise */
	bool error; /* allowed, but it is not there or cannot be looked at */
	enum err_class cls;
	struct policy_answer policy;
	enum reason reason;
	struct repeat *repeat; /* it is counted, not recorded; or NULL */
};

/* State, then policy on the typed request, then what this build can do. No effect. */
void gate_decide(const struct worker *w, const struct asked *q, struct verdict *v);

/* RQ, which is not decided in the end, is refused: its policy is in force no more. */
void gate_revoke(struct worker *w, struct request *rq);

/*
 * Decide again on RQ, by the object that it is about, and record that. ERRNUM: why that
 * cannot be used; 0: it can. True: RQ may go on, by A. False: it has ended.
 */
bool gate_object(struct worker *w, struct request *rq, const struct policy_object *object,
		 int errnum, struct policy_answer *a);
/* The same by what an op child found. */
bool gate_found(struct worker *w, struct request *rq, const struct msg_found *found,
		struct policy_answer *a);
/* Record that RQ ended before anything was found. */
void gate_unfound(struct worker *w, struct request *rq);
/* What RQ asked for, from what was kept of it, in the arena. 0 or -1. */
int gate_kept(struct worker *w, const struct request *rq, struct asked *q);

/* ---- rate.c ---- */

/* Does every rule of the decision still allow one now (monotonic)? Then it is taken. */
bool rate_take(struct generation *g, const struct policy_answer *a, uint64_t now_usec);

/* ---- requests.c ---- */

/* A free slot, filled; NULL if there are too many under way. */
struct request *request_begin(struct worker *w, const struct asked *q,
			      const struct policy_answer *a);

/* A slot for what nobody asked for: its replies and its end are for nobody. */
struct request *request_own(struct worker *w);
/* Is one of this operation being carried out? */
bool request_under_way(const struct worker *w, uint32_t op);

/* Take a slot back in which nothing was started. */
void request_drop(struct request *rq);

/* Keep its BODY, as it came, to be decided on again. 0, or -1: no room. */
int request_keep(const struct worker *w, struct request *rq, const struct rbuf *body);

/* Hand it to whoever carries it out. Ends it at once if that fails. */
void request_start(struct worker *w, struct request *rq, const struct asked *q,
		   const struct policy_answer *a, const struct rbuf *args);

/* A REPLY frame of whoever carries it out: pass it on, end the request with the last. */
void request_reply(struct worker *w, struct request *rq, const struct frame *f);

/* End it with an error reply. */
void request_fail(struct worker *w, struct request *rq, const struct err *e);

/* What it was doing failed: go on without if that was a part, else request_fail. */
void request_failed(struct worker *w, struct request *rq, const struct err *e);

/* RQ was refused after all, for the reason in E. It is over. */
void request_refuse(struct worker *w, struct request *rq, const struct err *e);

/* It ended well, with BODY as its result. */
void request_done(struct worker *w, struct request *rq, const struct wbuf *body);

/* Carry out PART, an operation of flag OPF_PART, with ARGS; then go on with its result.
 */
void request_part(struct worker *w, struct request *rq, uint32_t part, const void *args);

/* Leave off RQ's part, if there is one. */
void request_part_drop(struct worker *w, struct request *rq);

/* The client of ID no longer waits. Unknown numbers are fine: its reply is on the way. */
void request_abandon(struct worker *w, uint32_t id);
/* The frontend is gone, and with it whoever waited. */
void requests_orphan(struct worker *w);
/* What would open a file or start a program by another policy than that in force. */
void requests_revoke(struct worker *w);
/* We end: no op child may stay behind without anybody who knows of it. */
void requests_stop(struct worker *w);

int requests_init(struct worker *w);
/* Set the timer to the next deadline. */
void requests_arm(struct worker *w);

/* ---- ask.c: the inspector ---- */

void ask_start(struct worker *w, struct request *rq, const struct policy_answer *a,
	       const struct rbuf *args);
/* RQ's part is over: ask with what it gave (LEN bytes at P; none if it failed). */
void ask_more(struct worker *w, struct request *rq, const uint8_t *p, size_t len);
/* A frame of the inspector. 0, or -1: it broke the rules. */
int ask_reply(struct worker *w, const struct frame *f);
/* A new inspector is there: ask again what waits. */
void ask_again(struct worker *w);
/* The inspector is gone: what it was asked waits for the next, or ends. */
void ask_lost(struct worker *w);

/* ---- child.c: op children ---- */

/* What an op child runs: fill OUT, or E and return -1. Sealed; may block. */
typedef int child_fn(const struct sys *sys, const void *args, struct wbuf *out,
		     struct err *e);

/* Start RQ's operation, or its part. */
void child_start(struct worker *w, struct request *rq, const void *args);
/* What the child of OP is to have: of KEEP, its socket and the root directory, what it
 * needs. */
struct fork_plan child_plan(struct fences *fences, uint32_t op, const int keep[2]);
/* The request is over: a child that still works at it is killed. */
void child_forget(struct op_child *c);

/* ---- handles.c: open files ---- */

/* Have RQ done by the op child that is the file it names. */
void handle_start(struct worker *w, struct request *rq, const struct asked *q,
		  const struct rbuf *args);
/* May RQ's file stay open? Else RQ has ended. */
bool handle_room(struct worker *w, struct request *rq);
/* What the rules of A say of the file that is opened. The text is the policy's. */
void handle_limits(const struct policy *p, const struct policy_answer *a,
		   struct msg_may_open *may);
/* RQ's child has opened its file: it stays, and RQ ends. */
void handle_opened(struct worker *w, struct request *rq);
/* RQ, an operation on a file, was answered with F. */
void handle_replied(struct worker *w, struct request *rq, const struct frame *f);
/* The file that child C is, is no more. HOW: as the record says it. */
void handle_gone(struct op_child *c, const char *how);
/* The policy is another, by which none may stay open. */
void handles_revoke(struct worker *w);
/* We end, and with us all files. */
void handles_stop(struct worker *w);

/* ---- programs.c: the spawner ---- */

void program_start(struct worker *w, struct request *rq, const struct asked *q,
		   const struct policy_answer *a, const struct rbuf *args);
/*
 * Have an op child look where PATH is, by OP_exec_find; a name without a slash is looked
 * for in program_folders.
 */
void program_look(struct worker *w, struct request *rq, const struct v_str *path);
/* A word to the spawner about its program PID: FRAME_END, FRAME_FORGET. */
void program_tell(struct worker *w, uint16_t type, int64_t pid);
/* RQ's program was looked for: LEN bytes of msg_found at P; none: that failed. */
void program_found(struct worker *w, struct request *rq, const uint8_t *p, size_t len);
/* Are there as many programs as there may be? */
bool program_full(const struct worker *w, const struct asked *q,
		  const struct policy_answer *a);
uint64_t programs_running(const struct worker *w);
/* The policy in force is another than LAST; the rules of both go by their names. */
void programs_follow(struct worker *w, const struct generation *last);
/* By which none may go on running. */
void programs_revoke(struct worker *w);
/* A frame of the spawner. 0, or -1: it broke the rules. */
int program_frame(struct worker *w, struct frame *f);
/* A new spawner is there: it gets what waits. */
void programs_again(struct worker *w);
/* The spawner is gone, and what it knew of its programs. */
void programs_lost(struct worker *w);

/* ---- launch.c: the supervisor ---- */

int launch_init(struct worker *w);
/* Say that we are ready; RUN: and that we need the spawner. 0 or -1. */
int launch_ready(struct worker *w, bool run);
/* Have the inspector replaced; WHY: the rule it broke, or NULL. Returns 0. */
int inspector_lost(struct worker *w, const char *why);
/* The same for the spawner. */
int spawner_lost(struct worker *w, const char *why);

/* The policy in force, to the frontend if there is one; to P. */
void launch_policy(struct worker *w);
void launch_send_policy(struct worker *w, struct peer *p);

/* ---- records.c ---- */

void record_start(struct worker *w);
/* Another policy is in force, or (RESULT says) the same. */
void record_reload(struct worker *w, const char *result);
void record_reload_refused(struct worker *w, const char *why);
void record_stop(struct worker *w, const char *why);
/* ARGS: what is left to decode after the head, or NULL. */
struct msg_request_head;
/* 0, or -1: it is not recorded. */
int record_decision(struct worker *w, const struct asked *q, const struct verdict *v,
		    const struct msg_request_head *head, const struct rbuf *args,
		    uint64_t serial);
void record_refused(struct worker *w, const struct asked *q, const struct verdict *v,
		    const struct msg_request_head *head, uint64_t serial);
/* What was counted of equal requests. 0, or -1: it is not recorded. */
int record_repeats(struct worker *w, const struct repeat *n);
void record_complete(struct worker *w, const struct request *rq, const char *result,
		     int errnum);
/* 0, or -1: F is no session note. */
int record_session(struct worker *w, struct frame *f);
void record_file(struct worker *w, enum audit_event event, const struct handle *h,
		 const char *result);
void record_exec_start(struct worker *w, const struct request *rq,
		       const struct msg_spawn *spawn, const struct msg_spawned *got);
void record_exec_exit(struct worker *w, const struct program *p,
		      const struct msg_ended *end);
/* Of the freeze in worker/freeze/freeze.h as it stands. */
void record_freeze(struct worker *w);
void record_thaw(struct worker *w);
/* Nothing is frozen any more: what was held goes out, refusals as one record each. */
void record_release(struct worker *w);
struct policy_object;
/* About to be done: what the clock, CPUs or memory of OBJECT become. */
void record_change(struct worker *w, const struct request *rq,
		   const struct policy_object *object);
void record_power(struct worker *w, const struct request *rq, const char *mode);
/* Has been done, or tried. */
void record_password(struct worker *w, struct request *rq, const char *result);
void record_keys(struct worker *w, struct request *rq, const char *result);
void record_process(struct worker *w, enum audit_event event, const char *process,
		    const char *detail);

uint64_t now_usec(void);

#endif
