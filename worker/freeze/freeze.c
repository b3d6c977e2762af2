/*
 * worker/freeze/freeze.c - the state of the freeze, and what is asked of it
 *
 * Runs in:   worker
 * Input:     requests that were decided on
 * May touch: the record of the freeze (ipc/state.h)
 * Must not:  block, write to a file system, leave one frozen that nobody will thaw
 */
#include "worker/freeze/freeze.h"

#include <string.h>

#include "worker/freeze/pause.h"
#include "worker/worker.h"

/* The first word of `hook-failure`; of several rules the stricter holds. */
#define HOOK_ABORT 1

/* ---- the states ---- */

#define NEVER FS_STATES

static const enum fs_state table[FS_STATES][EVENTS] = {
	/*                EV_FREEZE    EV_DONE    EV_THAW     EV_FAIL */
	[FS_THAWED] = {FS_FREEZING, NEVER, FS_THAWING, NEVER},
	[FS_FREEZING] = {NEVER, FS_FROZEN, FS_THAWING, NEVER},
	[FS_FROZEN] = {NEVER, NEVER, FS_THAWING, NEVER},
	[FS_THAWING] = {NEVER, FS_THAWED, NEVER, FS_FROZEN},
};

void freeze_move(struct worker *w, enum fs_event event)
{
	enum fs_state to = table[w->freeze.state][event];

	if (to == NEVER) {
		worker_log(w, "freeze: event %d in state %d", event, w->freeze.state);
		return;
	}
	w->freeze.state = to;
	freeze_tell(w);
}

void freeze_tell(struct worker *w)
{
	const uint8_t frozen = freeze_is_on(&w->freeze);

	peer_send(&w->frontend, &(struct frame){
					.type = FRAME_STATE,
					.body = &frozen,
					.len = sizeof(frozen),
				});
}

/* ---- requests that wait for an outcome, and the end of what is done ---- */

void freeze_answer(struct worker *w, struct request *rq, int64_t number)
{
	uint8_t buf[16];
	struct wbuf body = wbuf_fixed(buf, sizeof(buf));

	schema_put(&body, &schema_integer, &(struct msg_integer){.value = V_INT(number)});
	request_done(w, rq, &body);
}

static void answer_status(struct worker *w, struct request *rq)
{
	uint8_t buf[32];
	struct wbuf body = wbuf_fixed(buf, sizeof(buf));

	schema_put(
		&body, &schema_text,
		&(struct msg_text){
			.value = v_str(freeze_is_on(&w->freeze) ? "frozen" : "thawed")});
	request_done(w, rq, &body);
}

/* The one that waits longest; NULL: none does. */
static struct request *longest_waiting(struct worker *w)
{
	struct request *first = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(w->requests); i++) {
		struct request *rq = &w->requests[i];

		if (rq->serial && rq->waits && (!first || rq->serial < first->serial))
			first = rq;
	}
	return first;
}

/* Is the answer to a question about the freeze about to change? */
static bool is_open(const struct freeze *f)
{
	return f->state == FS_FREEZING || f->state == FS_THAWING;
}

/* Nobody is at work any more: the agent may end, or who waited gets on. */
void freeze_idle(struct worker *w)
{
	struct freeze *f = &w->freeze;
	struct request *rq;

	f->step = STEP_IDLE;
	f->rq = NULL;
	if (w->stopping && f->state == FS_FROZEN)
		freeze_thaw_unasked(w, CAUSE_STOP);
	else if (w->stopping)
		loop_stop(&w->loop, 0);
	while (f->step == STEP_IDLE && (rq = longest_waiting(w))) {
		rq->waits = false;
		if (rq->op == OP_fsfreeze_thaw)
			freeze_thaw_begin(w, rq);
		else
			answer_status(w, rq);
	}
	if (f->step == STEP_IDLE && !freeze_is_on(f))
		reload_thawed(w);
}

/* ---- beginning ---- */

static void rules_of(const struct policy *p, const struct policy_answer *a,
		     struct freeze_rules *rules)
{
	uint64_t hooks = 1, failure = HOOK_ABORT;

	*rules = (struct freeze_rules){.hook_timeout_ms = HOOK_TIMEOUT_MS};
	policy_limit(p, a, KEY_FREEZE_MAX, &rules->max_ms);
	policy_limit(p, a, KEY_HOOKS, &hooks);
	policy_limit(p, a, KEY_HOOK_TIMEOUT, &rules->hook_timeout_ms);
	policy_limit(p, a, KEY_HOOK_FAILURE, &failure);
	rules->hooks = hooks;
	rules->hook_must = failure == HOOK_ABORT;
}

static void freeze_begin(struct worker *w, struct request *rq,
			 const struct policy_answer *a)
{
	struct freeze *f = &w->freeze;
	struct freeze_record *r = f->record;

	rules_of(&rq->gen->policy, a, &f->rules);
	f->rq = rq;
	f->failed = false;
	f->count = 0;
	r->n = 0;
	r->id++;
	r->hooks = 0;
	r->request = rq->serial;
	r->session = rq->session;
	r->hook_timeout_ms = f->rules.hook_timeout_ms;
	atomic_store(&r->cause, CAUSE_NONE);
	atomic_store(&r->phase, PHASE_FREEZING);
	freeze_move(w, EV_FREEZE);
	pause_at(w->state, PAUSE_HOOK);
	if (f->rules.hooks)
		hooks_start(w, "freeze");
	else
		freeze_list_mounts(w);
}

void freeze_hooks_over(struct worker *w, const struct err *e)
{
	if (w->freeze.state != FS_FREEZING)
		freeze_finish(w);
	else if (e)
		freeze_roll_back(w, e, CAUSE_FAILURE);
	else
		freeze_list_mounts(w);
}

/* ---- what others call ---- */

static void status_begin(struct worker *w, struct request *rq,
			 const struct policy_answer *a)
{
	(void)a;
	if (is_open(&w->freeze))
		rq->waits = true;
	else
		answer_status(w, rq);
}

static void thaw_asked(struct worker *w, struct request *rq,
		       const struct policy_answer *a)
{
	(void)a;
	freeze_thaw_begin(w, rq);
}

static void freeze_asked(struct worker *w, struct request *rq,
			 const struct policy_answer *a)
{
	const struct freeze *f = &w->freeze;
	struct err e;

	if (f->step == STEP_IDLE && !w->stopping) {
		freeze_begin(w, rq, a);
		return;
	}
	err_set(&e, ERR_GENERIC, "%s cannot begin: %s", op_by_number(rq->op)->name,
		w->stopping ? "the agent stops" : "the hooks of a thaw are in progress");
	request_fail(w, rq, &e);
}

void freeze_start(struct worker *w, struct request *rq, const struct policy_answer *a,
		  const struct rbuf *args)
{
	static void (*const handlers[OP_MAX])(struct worker * w, struct request * rq,
					      const struct policy_answer *a) = {
		[OP_fsfreeze_status] = status_begin,
		[OP_fsfreeze_freeze] = freeze_asked,
		[OP_fsfreeze_freeze_list] = freeze_asked,
		[OP_fsfreeze_thaw] = thaw_asked,
	};
	struct err e;

	rq->question = wbuf_growing(REQUEST_BODY_MAX);
	wbuf_put(&rq->question, args->p, rbuf_left(args));
	if (!rq->question.bad) {
		handlers[rq->op](w, rq, a);
		return;
	}
	err_set(&e, ERR_GENERIC, "%s cannot be started at present",
		op_by_number(rq->op)->name);
	request_fail(w, rq, &e);
}

void freeze_part(struct worker *w, uint32_t part, const struct frame *f)
{
	if (part == OP_hook_find)
		hooks_found(w, f);
	else if (part == OP_fs_list)
		freeze_listed(w, f);
	else
		freeze_rescued(w, f);
}

void freeze_late(struct worker *w, struct request *rq, const struct err *e)
{
	struct freeze *f = &w->freeze;

	if (rq != f->rq) {
		request_fail(w, rq, e);
	} else if (f->step == STEP_HOOKS) {
		hooks_late(w, e);
	} else if (f->state == FS_FREEZING) {
		freeze_roll_back(w, e, CAUSE_FAILURE);
	} else if (rq->own) {
		/* Nobody waits for it; the thaw goes on. */
		rq->deadline_ms = now_ms() + rq->limit_ms;
	} else {
		/* Its client has had its time; the thaw goes on. */
		f->rq = request_own(w);
		request_fail(w, rq, e);
	}
}

/* A step that may take long is cut short. */
static void cut_short(struct worker *w)
{
	struct freeze *f = &w->freeze;
	struct err e;

	err_set(&e, ERR_GENERIC, "%s: the agent stops", op_by_number(f->rq->op)->name);
	if (f->step == STEP_HOOKS && !f->rq->part) {
		hooks_end(w);
		return; /* its end is told */
	}
	if (f->rq->child)
		request_part_drop(w, f->rq);
	freeze_roll_back(w, &e, CAUSE_STOP);
}

void freeze_stop(struct worker *w)
{
	struct freeze *f = &w->freeze;

	w->stopping = true;
	if (f->step == STEP_IDLE) {
		freeze_idle(w);
	} else if (f->state == FS_FREEZING) {
		cut_short(w);
	} else if (f->step == STEP_HOOKS) {
		f->rq->deadline_ms = now_ms() + HOOK_STOP_MS;
		requests_arm(w);
	}
}
