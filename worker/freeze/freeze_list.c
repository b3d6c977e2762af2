/*
 * worker/freeze/freeze_list.c - what is mounted, and which of it is to be frozen
 *
 * Runs in:   worker
 * Input:     mounts that an op child has met, and descriptors of their superblocks
 * May touch: the state of the freeze
 * Must not:  believe a mount point to be more than a text that rules match
 */
#include <string.h>

#include "policy/object.h"
#include "worker/freeze/pause.h"
#include "worker/worker.h"

void freeze_list_mounts(struct worker *w)
{
	struct freeze *f = &w->freeze;
	struct rbuf r = rbuf_of(f->rq->question.p, f->rq->question.len);
	struct msg_freeze_list args = {0};
	struct err e;

	pause_at(w->state, PAUSE_LIST);
	f->step = STEP_LIST;
	w->arena.len = 0;
	if (f->rq->op == OP_fsfreeze_freeze_list &&
	    schema_whole(&r, &schema_freeze_list, &w->arena, &args) < 0) {
		err_set(&e, ERR_GENERIC, "the arguments cannot be read again");
		freeze_roll_back(w, &e, CAUSE_FAILURE);
		return;
	}
	request_part(w, f->rq, OP_fs_list, &args);
}

void freeze_listed(struct worker *w, const struct frame *frame)
{
	struct err e;

	if (frame && !(frame->flags & FRAME_ERROR)) {
		if (w->freeze.n)
			freeze_begin_ioctls(w);
		else
			freeze_roll_back(w, NULL, CAUSE_FAILURE);
		return;
	}
	if (frame)
		err_get(&e, frame->body, frame->len);
	else
		err_set(&e, ERR_GENERIC, "the mounted file systems could not be listed");
	freeze_roll_back(w, &e, CAUSE_FAILURE);
}

/* May what is mounted there be frozen, or trimmed, by the rules? */
static bool is_wanted(const struct request *rq, const struct msg_fs_found *found)
{
	const struct msg_freeze_list nothing = {0}; /* no rule looks at it */
	const struct policy_object object = {.path = found->point, .fstype = found->type};
	const struct policy_question q = {
		.op = rq->op, .args = &nothing, .object = &object};
	const struct policy *p = &rq->gen->policy;
	struct policy_answer a;

	policy_decide(p, &q, &a);
	return a.allowed && !object_excluded(p, &a, &object);
}

bool freeze_found(struct op_child *c, const struct frame *f)
{
	struct rbuf r = rbuf_of(f->body, f->len);
	uint8_t buf[16];
	struct wbuf body = wbuf_fixed(buf, sizeof(buf));
	struct arena none = {0};
	struct msg_fs_found found;

	if (schema_whole(&r, &schema_fs_found, &none, &found) < 0)
		return false;
	schema_put(&body, &schema_fs_may,
		   &(struct msg_fs_may){
			   .wanted = V_BOOL(is_wanted(c->rq, &found)),
		   });
	return frame_send(c->reply.fd, &(struct frame){
					       .type = FRAME_GO,
					       .op = f->op,
					       .body = body.p,
					       .len = (uint32_t)body.len,
				       }) == FRAME_OK;
}

bool freeze_held(struct op_child *c, struct frame *frame)
{
	struct freeze *f = &c->w->freeze;
	struct rbuf r = rbuf_of(frame->body, frame->len);
	struct arena none = {0};
	struct msg_fs_held held;

	if (f->step != STEP_LIST || c->rq != f->rq || f->n == SUPERBLOCKS_MAX ||
	    frame->n_fds != 1 || schema_whole(&r, &schema_fs_held, &none, &held) < 0)
		return false;
	f->points[f->n] = strndup(held.point.p, held.point.len);
	if (!f->points[f->n])
		return false;
	f->record->dev[f->n] = held.dev.v;
	f->fds[f->n++] = TAKE_FD(frame->fds[0]);
	return true;
}
