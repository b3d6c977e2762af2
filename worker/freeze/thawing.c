/*
 * worker/freeze/thawing.c - thaw, whoever asked for it or whatever failed
 *
 * Runs in:   worker
 * Input:     words of the thawer, and of an op child that thaws in its place
 * May touch: the state of the freeze, its record
 * Must not:  call thawed what is not
 */
#include <string.h>

#include "worker/freeze/pause.h"
#include "worker/freeze/thawer.h"
#include "worker/worker.h"

/* Before what is on record is tried again. */
#define RETRY_MS 500

/* ---- the end of a thaw, or of a freeze that was taken back ---- */

void freeze_let_go(struct worker *w)
{
	struct freeze *f = &w->freeze;

	freeze_freezer_stop(w);
	freeze_hang_up(&w->loop, &f->thawer);
	for (uint32_t i = 0; i < f->n; i++) {
		close_p(&f->fds[i]);
		free_p(&f->points[i]);
	}
	f->n = 0;
}

/* All is said and done: the record goes, and who drove this is answered. */
void freeze_finish(struct worker *w)
{
	struct freeze *f = &w->freeze;
	struct freeze_record *r = f->record;
	struct request *rq = f->rq;

	if (f->count)
		record_thaw(w);
	/* Nothing is owed any more: the next worker records nothing twice. */
	r->n = 0;
	r->hooks = 0;
	pause_at(w->state, PAUSE_END);
	atomic_store(&r->phase, PHASE_NONE);
	if (f->failed)
		request_fail(w, rq, &f->err);
	else
		freeze_answer(w, rq, f->cause == CAUSE_FAILURE ? 0 : f->count);
	freeze_idle(w);
}

/* Nothing of ours is frozen any more. */
void freeze_thawed(struct worker *w)
{
	struct freeze *f = &w->freeze;

	freeze_let_go(w);
	atomic_store(&f->record->phase, PHASE_THAWED);
	record_release(w);
	freeze_move(w, EV_DONE);
	pause_at(w->state, PAUSE_TOLD);
	f->hook_result[0] = '\0';
	if (f->record->hooks)
		hooks_start(w, "thaw");
	else
		freeze_finish(w);
}

static void thaw_order(struct worker *w, enum thaw_cause cause)
{
	struct freeze *f = &w->freeze;

	f->step = STEP_THAW;
	f->cause = cause;
	freeze_move(w, EV_THAW);
	pause_at(w->state, PAUSE_ORDER);
	freeze_thawer_need(w);
}

/* The freeze ends here; E: why, NULL: there was nothing to freeze. */
void freeze_roll_back(struct worker *w, const struct err *e, enum thaw_cause cause)
{
	struct freeze *f = &w->freeze;

	f->failed = e;
	if (e)
		f->err = *e;
	freeze_freezer_stop(w);
	if (f->record->n) {
		thaw_order(w, cause);
		return;
	}
	f->cause = cause;
	freeze_move(w, EV_THAW);
	freeze_thawed(w);
}

/* Some could not be thawed, and stay as they are; the thawer tries again by itself. */
static void thaw_failed(struct worker *w, int64_t count)
{
	struct freeze *f = &w->freeze;
	struct err e;

	err_set(&e, ERR_GENERIC, "failed to thaw %lld file system%s; it is tried again",
		(long long)count, count == 1 ? "" : "s");
	worker_log(w, "%s", e.desc);
	freeze_move(w, EV_FAIL);
	request_fail(w, f->rq, f->failed ? &f->err : &e);
	freeze_idle(w);
}

/* The thawer has begun by itself: the deadline, or what we missed of it. */
static void thaw_began(struct worker *w, enum thaw_cause cause)
{
	struct freeze *f = &w->freeze;

	if (f->step == STEP_THAW)
		return;
	f->cause = cause;
	if (f->state == FS_FREEZING) {
		f->failed = true;
		err_set(&f->err, ERR_GENERIC,
			"%s: its time was over before all file systems were frozen",
			op_by_number(f->rq->op)->name);
		freeze_freezer_stop(w);
	} else {
		f->failed = false;
		f->rq = request_own(w);
	}
	f->step = STEP_THAW;
	freeze_move(w, EV_THAW);
}

void freeze_thaw_ended(struct worker *w)
{
	struct freeze *f = &w->freeze;

	f->cause = (enum thaw_cause)atomic_load(&f->record->cause);
	f->count = thawer_count(f->record, MARK(THAWED));
	freeze_thawed(w);
}

static bool thawer_said(struct worker *w, const struct frame *f)
{
	struct rbuf r = rbuf_of(f->body, f->len);
	struct arena none = {0};
	struct msg_thawed thawed;
	struct msg_thaw thaw;

	if (f->type == FRAME_THAW && schema_whole(&r, &schema_thaw, &none, &thaw) == 0) {
		thaw_began(w, (enum thaw_cause)thaw.cause.v);
		return true;
	}
	if (f->type != FRAME_THAWED ||
	    schema_whole(&r, &schema_thawed, &none, &thawed) < 0)
		return false;
	thaw_began(w, (enum thaw_cause)w->freeze.record->cause);
	if (thawed.failed.v)
		thaw_failed(w, thawed.failed.v);
	else
		freeze_thaw_ended(w);
	return true;
}

/* It was killed, or ended before we could read its last word. */
static void thawer_gone(struct worker *w)
{
	struct freeze *f = &w->freeze;

	freeze_hang_up(&w->loop, &f->thawer);
	if (atomic_load(&f->record->phase) == PHASE_THAWED) {
		thaw_began(w, (enum thaw_cause)f->record->cause);
		freeze_thaw_ended(w);
		return;
	}
	record_process(w, EVENT_CHILD_RESTART, "thawer", "started again");
	freeze_thawer_need(w);
}

int freeze_on_thawer(struct source *s, uint32_t events)
{
	struct freeze *f = CONTAINER_OF(s, struct freeze, thawer);
	struct worker *w = CONTAINER_OF(f, struct worker, freeze);
	uint8_t buf[FRAME_MAX];
	struct frame frame;
	enum frame_status status = frame_recv(s->fd, buf, &frame);

	(void)events;
	frame_close_fds(&frame);
	if (status == FRAME_AGAIN)
		return 0;
	if (status != FRAME_OK || !thawer_said(w, &frame))
		thawer_gone(w);
	return 0;
}

/* ---- thawing ---- */

/* Superblocks of the record; none if that is not what is asked for. */
void freeze_rescue(struct worker *w, bool recorded)
{
	struct freeze_record *r = w->freeze.record;
	struct msg_fs_rescue args = {.devs.set = recorded};
	struct msg_fs_dev *devs;

	w->freeze.step = STEP_RESCUE;
	w->arena.len = 0;
	devs = args.devs.v = arena_take(&w->arena, (r->n + 1) * sizeof(*devs));
	args.devs.n = recorded && devs ? r->n : 0;
	for (uint32_t i = 0; i < args.devs.n; i++)
		devs[i].dev = V_U64(r->dev[i]);
	request_part(w, w->freeze.rq, OP_fs_rescue, &args);
}

/* RESCUED: now. On top comes what the thawer had done before it died, or was about to. */
static uint32_t thawed_in_all(const struct freeze_record *r, uint32_t rescued)
{
	uint32_t open = thawer_count(r, MARK(ASKED) | MARK(FROZEN) | MARK(FAILED));
	uint32_t begun = thawer_count(r, MARK(BEGUN) | MARK(AGAIN) | MARK(THAWED));

	return r->n ? begun + (rescued < open ? rescued : open) : rescued;
}

void freeze_rescued(struct worker *w, const struct frame *frame)
{
	struct freeze *f = &w->freeze;
	struct rbuf r = frame ? rbuf_of(frame->body, frame->len) : (struct rbuf){0};
	struct arena none = {0};
	struct msg_integer count = {0};

	f->failed = true;
	if (!frame)
		err_set(&f->err, ERR_GENERIC, "the file systems could not be thawed");
	else if (frame->flags & FRAME_ERROR)
		err_get(&f->err, frame->body, frame->len);
	else
		f->failed = schema_whole(&r, &schema_integer, &none, &count) < 0;
	f->count = thawed_in_all(f->record, (uint32_t)count.value.v);
	if (f->failed && f->record->n) {
		/* Of what is on record we are the last who know. */
		timer_arm_ms(&f->retry, RETRY_MS);
		return;
	}
	/* Of a freeze that nobody remembers hooks may have run as well. */
	if (f->count && !f->record->n && f->hook_path)
		f->record->hooks = HOOKS_MAX;
	freeze_thawed(w);
}

void freeze_thaw_begin(struct worker *w, struct request *rq)
{
	struct freeze *f = &w->freeze;

	if (f->step != STEP_IDLE) {
		rq->waits = true;
		return;
	}
	f->rq = rq;
	f->failed = false;
	f->count = 0;
	if (f->state == FS_FROZEN) {
		thaw_order(w, CAUSE_REQUEST);
		return;
	}
	/* Nothing on record: operators use it to get out of whatever happened. */
	f->cause = CAUSE_REQUEST;
	f->record->hook_timeout_ms = HOOK_TIMEOUT_MS;
	freeze_move(w, EV_THAW);
	freeze_rescue(w, false);
}

void freeze_thaw_unasked(struct worker *w, enum thaw_cause cause)
{
	w->freeze.rq = request_own(w);
	w->freeze.failed = false;
	w->freeze.count = 0;
	thaw_order(w, cause);
}

int freeze_on_retry(struct timer *t)
{
	struct freeze *f = CONTAINER_OF(t, struct freeze, retry);
	struct worker *w = CONTAINER_OF(f, struct worker, freeze);

	if (f->step == STEP_RESCUE)
		freeze_rescue(w, true);
	else if (f->n && f->thawer.fd < 0)
		freeze_thawer_need(w);
	return 0;
}
