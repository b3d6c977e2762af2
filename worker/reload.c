/*
 * worker/reload.c - another policy in the place of the one in force: whole, or not at all
 *
 * Runs in:   worker
 * Input:     images of the reader's
 * May touch: the policy in force; what stands on the one before
 * Must not:  take more than is held, touch anything while something is frozen
 */
#include "worker/reload.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ipc/memfd.h"
#include "policy/locked.h"
#include "sandbox/sandbox.h"
#include "worker/repeats.h"
#include "worker/worker.h"

/* ---- its end ---- */

/* Nothing changed: everybody hears why. MISTAKES: a line for each, or NULL. */
PRINTF(4, 5)
static void refuse(struct worker *w, enum reload_outcome outcome,
		   const struct frame *mistakes, const char *fmt, ...)
{
	struct reload *r = &w->reload;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(r->why, sizeof(r->why), fmt, ap);
	va_end(ap);
	r->outcome = outcome;
	r->ended_usec = audit_now_usec();
	record_reload_refused(w, r->why);
	if (mistakes)
		worker_log_lines(w, mistakes->body, mistakes->len);
	worker_log(w, "the policy in force stays: %s", r->why);
	control_reloaded(w, mistakes);
}

static void succeed(struct worker *w, enum reload_outcome outcome)
{
	struct reload *r = &w->reload;

	r->outcome = outcome;
	r->why[0] = '\0';
	r->ended_usec = audit_now_usec();
	record_reload(w, outcome == RELOAD_DONE ? "ok" : "unchanged");
	if (w->verbose)
		worker_log(w, "policy %s, %s", policy_base(&w->gen->policy),
			   names_reload_outcome.v[outcome]);
	control_reloaded(w, NULL);
}

/* ---- in force ---- */

/* What began under an earlier policy, and shall not go on. */
static void revoke_all(struct worker *w)
{
	requests_revoke(w);
	handles_revoke(w);
	programs_revoke(w);
}

/* For the next worker's reader to find. With `lock = yes` nobody is left who could read.
 */
static void keep(struct worker *w)
{
	const uint8_t was_last = w->gen->policy.head->lock;

	peer_send(&w->reader,
		  &(struct frame){.type = FRAME_KEEP, .body = &was_last, .len = 1});
	if (was_last)
		peer_close(&w->reader);
}

static void put_in_force(struct worker *w, struct generation **next)
{
	struct generation *last = w->gen;

	repeats_close(w);
	w->gen = TAKE_PTR(*next);
	w->reload.loaded_usec = audit_now_usec();
	keep(w);
	programs_follow(w, last);
	succeed(w, RELOAD_DONE);
	launch_policy(w);
	if (!w->gen->policy.head->keep_on_reload)
		revoke_all(w);
	generation_drop(&last);
}

struct needs policy_needs(const struct worker *w, const struct policy *p)
{
	const bool frozen = freeze_on_record(w);
	const struct needs_where where = {
		.systemd = w->systemd,
		.init_by_signal = w->init_by_signal,
		.hook = w->freeze.hook_path && (frozen || policy_runs_hooks(p)),
		.frozen = frozen,
		.reads_only = policy_only_reads(p),
	};

	return needs_of(p->allowed, &where);
}

static void refuse_privilege(struct worker *w, const struct needs *needs)
{
	const struct needs more = {
		.caps = needs->caps & ~w->held.caps,
		.roles = needs->roles & ~w->held.roles,
		.spawner = needs->spawner && !w->held.spawner,
	};
	char text[256], files[256];

	needs_text(&more, "", text, sizeof(text));
	sandbox_beneath_text(more.roles, files, sizeof(files));
	refuse(w, RELOAD_RESTART, NULL,
	       "it needs what was given up at the start (privileges: %s; files: %s): "
	       "restart the agent",
	       *text ? text : "none", files);
}

/* The image in F, as a whole. */
static void judge(struct worker *w, const struct frame *f)
{
	struct generation *next = generation_open(f->fds[0], w->gen->number + 1);
	struct needs needs;

	if (!next) {
		refuse(w, RELOAD_FAILED, NULL, "what was read is no policy: %s",
		       strerror(errno));
		return;
	}
	needs = policy_needs(w, &next->policy);
	if (*policy_text(&next->policy, next->policy.head->locked_down))
		refuse(w, RELOAD_MISTAKES, f, "%s",
		       policy_text(&next->policy, next->policy.head->locked_down));
	else if (streq(next->digest, w->gen->digest))
		succeed(w, RELOAD_UNCHANGED);
	else if (!needs_within(&needs, &w->held))
		refuse_privilege(w, &needs);
	else
		put_in_force(w, &next);
	generation_drop(&next);
}

/* ---- on the way ---- */

static bool is_quiet(const struct worker *w)
{
	return !freeze_is_on(&w->freeze) && w->freeze.step == STEP_IDLE;
}

static void fail(struct worker *w, const char *why)
{
	w->reload.state = RELOADS_NOT;
	w->state->reload_owed = false;
	timer_disarm(&w->reload.late);
	refuse(w, RELOAD_FAILED, NULL, "%s", why);
}

/* For the first policy, that of the worker before us will do. */
static void ask(struct worker *w)
{
	const uint8_t kept_will_do = !w->gen;

	/* While there is no reader, the next is asked. */
	peer_send(&w->reader, &(struct frame){
				      .type = FRAME_READ,
				      .request = ++w->reload.asked,
				      .body = &kept_will_do,
				      .len = 1,
			      });
}

static void begin(struct worker *w)
{
	struct reload *r = &w->reload;

	r->state = is_quiet(w) ? RELOADS_NOW : RELOADS_LATER;
	if (r->state == RELOADS_LATER) {
		control_reload_waits(w);
		return;
	}
	r->round++;
	timer_arm_ms(&r->late, POLICY_READ_MS);
	ask(w);
}

void reload_ask(struct worker *w)
{
	struct reload *r = &w->reload;

	if (!w->gen) /* it is owed, says the supervisor, and comes after the start */
		return;
	w->state->reload_owed = !w->gen->policy.head->lock;
	if (w->gen->policy.head->lock) {
		r->round++;
		refuse(w, RELOAD_LOCKED, NULL,
		       "the policy in force says `lock = yes`: restart the agent");
	} else if (r->state == RELOADS_NOW) {
		r->again = true;
	} else {
		begin(w);
	}
}

void reload_resume(struct worker *w)
{
	if (w->state->reload_owed)
		reload_ask(w);
}

void reload_stop(struct worker *w)
{
	struct reload *r = &w->reload;

	w->state->reload_owed = false;
	if (r->state == RELOADS_NOT)
		return;
	/* Also for who asked for one more. */
	r->round += 2;
	fail(w, "the agent stops");
}

void reload_thawed(struct worker *w)
{
	if (w->reload.state == RELOADS_LATER)
		begin(w);
}

/* The reading is over; what was asked for meanwhile comes next. */
static void go_on(struct worker *w)
{
	struct reload *r = &w->reload;

	if (!r->again)
		return;
	r->again = false;
	reload_ask(w);
}

static struct generation *locked_down(const char *why)
{
	CLEANUP(wbuf_free) struct wbuf image = wbuf_growing(IMAGE_MAX);
	CLEANUP(close_p) int fd = -1;

	policy_locked_down(why, &image);
	if (image.bad) {
		errno = ENOMEM;
		return NULL;
	}
	fd = memfd_of("postern-policy", image.p, image.len);
	return fd < 0 ? NULL : generation_open(fd, 1);
}

/* What ends the loop, for a while: there is a policy. */
#define FIRST_TAKEN (-2)

/* The first policy is the image in F; NULL: it could not be read. */
static int take_first(struct worker *w, const struct frame *f)
{
	if (f) {
		worker_log_lines(w, f->body, f->len);
		w->gen = generation_open(f->fds[0], 1);
	}
	w->reload.state = RELOADS_NOT;
	w->reload.loaded_usec = audit_now_usec();
	if (w->gen)
		keep(w);
	else
		w->gen = locked_down("the policy could not be read");
	return w->gen ? FIRST_TAKEN : -1;
}

static int on_late(struct timer *t)
{
	struct worker *w = CONTAINER_OF(t, struct worker, reload.late);

	if (!w->gen)
		return take_first(w, NULL);
	_Static_assert(POLICY_READ_MS == 10000, "as the text says");
	fail(w, "the files could not be read within 10 s");
	go_on(w);
	return 0;
}

/* ---- the reader ---- */

static int on_image(struct worker *w, const struct frame *f)
{
	struct reload *r = &w->reload;

	/* What comes too late was told as failed. */
	if (r->state != RELOADS_NOW || f->request != r->asked)
		return 0;
	timer_disarm(&r->late);
	if (!w->gen)
		return take_first(w, f);
	r->state = RELOADS_NOT;
	/* A freeze began meanwhile: after it the files are read once more. */
	if (is_quiet(w)) {
		/* Before: what kills us shall not be tried for ever. */
		w->state->reload_owed = false;
		judge(w, f);
	} else {
		begin(w);
	}
	go_on(w);
	return 0;
}

static int reader_lost(struct worker *w, const char *why)
{
	if (why)
		record_process(w, EVENT_CHILD_VIOLATION, "reader", why);
	peer_close(&w->reader);
	return 0;
}

static int on_frame(struct peer *p, struct frame *f)
{
	struct worker *w = CONTAINER_OF(p, struct worker, reader);

	if (f->type == FRAME_IMAGE && f->n_fds == 1)
		return on_image(w, f);
	return reader_lost(w, "illegal message");
}

static int on_gone(struct peer *p, enum frame_status why)
{
	struct worker *w = CONTAINER_OF(p, struct worker, reader);

	return reader_lost(w, why == FRAME_INVALID ? "malformed frame" : NULL);
}

int reload_reader(struct worker *w, int sock)
{
	/* The first comes before there is a policy. */
	if (w->gen)
		record_process(w, EVENT_CHILD_RESTART, "reader", "started again");
	peer_close(&w->reader);
	if (peer_open(&w->reader, &w->loop, sock, on_frame, on_gone) < 0)
		return -1;
	if (w->reload.state == RELOADS_NOW)
		ask(w);
	return 0;
}

/* ---- the first ---- */

int reload_first(struct worker *w)
{
	int r;

	if (timer_init(&w->loop, &w->reload.late, on_late) < 0)
		return -1;
	begin(w);
	r = loop_run(&w->loop);
	return r == FIRST_TAKEN ? 0 : r;
}
