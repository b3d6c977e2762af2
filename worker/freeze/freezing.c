/*
 * worker/freeze/freezing.c - freeze one superblock after the other
 *
 * Runs in:   worker
 * Input:     words of the freezer
 * May touch: the state of the freeze, marks in its record
 * Must not:  go on once the thawer has begun
 */
#include <string.h>
#include <unistd.h>

#include "worker/freeze/pause.h"
#include "worker/freeze/thawer.h"
#include "worker/worker.h"

/* What the reference passes over: it cannot be frozen, or somebody else has frozen it. */
static bool is_passed_over(int errnum)
{
	return errnum == EOPNOTSUPP || errnum == ENOTTY || errnum == EBUSY;
}

static void complete(struct worker *w)
{
	struct freeze *f = &w->freeze;
	uint32_t phase = PHASE_FREEZING;
	struct request *rq = f->rq;

	if (atomic_load(&f->record->phase) != PHASE_FREEZING)
		return; /* the thawer has begun, and says so in a moment */
	f->count = thawer_count(f->record, MARK(FROZEN));
	if (!f->count) {
		freeze_roll_back(w, NULL, CAUSE_FAILURE);
		return;
	}
	pause_at(w->state, PAUSE_LAST);
	f->record->unrecorded = f->count; /* should we die now, the next worker records */
	if (!atomic_compare_exchange_strong(&f->record->phase, &phase, PHASE_FROZEN)) {
		f->record->unrecorded = 0;
		return; /* the thawer was faster: it says so in a moment */
	}
	pause_at(w->state, PAUSE_COMPLETE);
	freeze_freezer_stop(w);
	freeze_move(w, EV_DONE);
	record_freeze(w);
	f->record->unrecorded = 0;
	freeze_answer(w, rq, f->count);
	freeze_idle(w);
}

static void freeze_next(struct worker *w)
{
	struct freeze *f = &w->freeze;
	uint8_t buf[16];
	struct wbuf body = wbuf_fixed(buf, sizeof(buf));

	if (f->at == f->n) {
		complete(w);
		return;
	}
	if (f->at < 2)
		pause_at(w->state, f->at ? PAUSE_SECOND : PAUSE_FIRST);
	/*
	 * First the mark, then the look: a thawer that begins in between sees the mark,
	 * or we see that it has begun, which it will say in a moment.
	 */
	atomic_store(&f->record->mark[f->at], MARK_ASKED);
	if (atomic_load(&f->record->phase) != PHASE_FREEZING)
		return;
	schema_put(&body, &schema_freeze_go,
		   &(struct msg_freeze_go){.index = V_INT(f->at)});
	frame_send(f->freezer.fd, &(struct frame){
					  .type = FRAME_GO,
					  .op = OP_fsfreeze_freeze,
					  .body = body.p,
					  .len = (uint32_t)body.len,
				  });
}

static bool freezer_said(struct worker *w, const struct frame *frame)
{
	struct freeze *f = &w->freeze;
	struct rbuf r = rbuf_of(frame->body, frame->len);
	struct arena none = {0};
	struct msg_frozen msg;
	struct err e;
	uint8_t mark = MARK_ASKED;
	int errnum;

	if (frame->type != FRAME_REPLY ||
	    schema_whole(&r, &schema_frozen, &none, &msg) < 0 || msg.index.v != f->at)
		return false;
	errnum = (int)msg.errnum.v;
	if (!f->at)
		pause_at(w->state, PAUSE_UNMARKED);
	/* Unless the thawer has come to it already. */
	atomic_compare_exchange_strong(&f->record->mark[f->at], &mark,
				       errnum ? MARK_NOT : MARK_FROZEN);
	if (!errnum || is_passed_over(errnum)) {
		f->at++;
		freeze_next(w);
		return true;
	}
	err_sys(&e, errnum, "failed to freeze %s", f->points[f->at]);
	freeze_roll_back(w, &e, CAUSE_FAILURE);
	return true;
}

int freeze_on_freezer(struct source *s, uint32_t events)
{
	struct freeze *f = CONTAINER_OF(s, struct freeze, freezer);
	struct worker *w = CONTAINER_OF(f, struct worker, freeze);
	uint8_t buf[FRAME_MAX];
	struct frame frame;
	enum frame_status status = frame_recv(s->fd, buf, &frame);
	struct err e;

	(void)events;
	frame_close_fds(&frame);
	if (status == FRAME_AGAIN || (status == FRAME_OK && freezer_said(w, &frame)))
		return 0;
	err_set(&e, ERR_GENERIC, "%s: the process that freezes ended",
		op_by_number(f->rq->op)->name);
	freeze_roll_back(w, &e, CAUSE_FAILURE);
	return 0;
}

/* From the first ioctl on nothing is written to disk. */
void freeze_begin_ioctls(struct worker *w)
{
	struct freeze *f = &w->freeze;
	CLEANUP(close_p) int ours = -1;
	CLEANUP(close_p) int theirs = -1;
	struct err e;

	pause_at(w->state, PAUSE_HELD);
	f->step = STEP_FREEZE;
	f->at = 0;
	sink_hold(&w->sink);
	for (uint32_t i = 0; i < f->n; i++)
		atomic_store(&f->record->mark[i], MARK_HELD);
	atomic_store(&f->record->deadline_ms,
		     f->rules.max_ms ? now_ms() + f->rules.max_ms : 0);
	if (freeze_pair(&ours, &theirs) == 0) {
		f->record->n = f->n;
		f->freezer.fd = ours; /* so that the thawer sees its end */
		if (freeze_thawer_start(w, ours) == 0) {
			pause_at(w->state, PAUSE_THAWER);
			if (freeze_freezer_start(w, ours, theirs) == 0) {
				TAKE_FD(ours);
				freeze_next(w);
				return;
			}
		} else {
			f->record->n = 0; /* nobody to order from, nothing to thaw */
		}
		f->freezer = (struct source){.fd = -1};
	}
	err_set(&e, ERR_GENERIC, "%s cannot be started at present",
		op_by_number(f->rq->op)->name);
	freeze_roll_back(w, &e, CAUSE_FAILURE);
}
