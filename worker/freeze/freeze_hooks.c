/*
 * worker/freeze/freeze_hooks.c - the hooks around a freeze, run by the spawner
 *
 * Runs in:   worker
 * Input:     what an op child found of them; words of the spawner
 * May touch: the state of the freeze, the spawner's socket
 * Must not:  wait for one without a deadline, lose the thaw hook of what ran
 *
 * The words of errors are those of protocol 4.7. A thaw hook that fails is told and
 * passed over: the file systems are thawed all the same.
 */
#include <stdio.h>
#include <string.h>

#include "ipc/body.h"
#include "worker/worker.h"

/* What the spawner takes at the most besides: to execute one, and to end it. */
#define GRACE_MS 30000

static void forget(struct hooks *h)
{
	for (uint32_t i = 0; i < h->n; i++)
		free(h->paths[i]);
	*h = (struct hooks){0};
}

static bool is_thaw(const struct hooks *h)
{
	return streq(h->arg, "thaw");
}

static void over(struct worker *w, const struct err *e)
{
	snprintf(w->freeze.hook_result, sizeof(w->freeze.hook_result), "%.*s",
		 (int)sizeof(w->freeze.hook_result) - 1, e ? e->desc : "ok");
	forget(&w->freeze.hooks);
	freeze_hooks_over(w, e);
}

/* ---- one of them ---- */

static uint64_t timeout_ms(const struct worker *w)
{
	uint64_t ms = w->freeze.record->hook_timeout_ms;

	return w->stopping && ms > HOOK_STOP_MS ? HOOK_STOP_MS : ms;
}

static void ask(struct worker *w)
{
	struct hooks *h = &w->freeze.hooks;
	struct v_str argv[] = {v_str(h->paths[h->at]), v_str(h->arg)};
	const struct msg_spawn spawn = {
		.path = argv[0],
		.argv = {.v = argv, .n = ARRAY_SIZE(argv), .set = true},
		.env = {.set = true},
		.capture = {.v = CAPTURE_NONE, .set = true},
		.timeout_ms = V_U64(timeout_ms(w)),
		.keep = V_BOOL(false),
	};
	CLEANUP(wbuf_free) struct wbuf body = wbuf_growing(FRAME_BODY_MAX);
	struct frame f = {.type = FRAME_REQUEST, .op = OP_exec, .fds = {-1, -1}};

	if (!peer_is_open(&w->spawner))
		return; /* hooks_again, or late */
	schema_put(&body, &schema_spawn, &spawn);
	h->asked = f.request = ++w->last_asked;
	f.body = body.p;
	f.len = (uint32_t)body.len;
	/* One that is gone, which we are about to see, has run nothing. */
	if (peer_send(&w->spawner, &f) < 0)
		h->asked = 0;
}

static void next(struct worker *w);

/* It failed: which ends a freeze, and nothing else. */
static void failed(struct worker *w, const struct err *e)
{
	struct hooks *h = &w->freeze.hooks;

	worker_log(w, "%s", e->desc);
	if (!is_thaw(h) && w->freeze.rules.hook_must) {
		over(w, e);
		return;
	}
	snprintf(w->freeze.hook_result, sizeof(w->freeze.hook_result), "%.*s",
		 (int)sizeof(w->freeze.hook_result) - 1, e->desc);
	h->at++;
	next(w);
}

static void cannot_run(struct worker *w, const char *path, int errnum)
{
	struct err e;

	if (errnum == EPERM)
		err_set(&e, ERR_GENERIC,
			"fsfreeze hook '%s' is not run: others than root could change it",
			path);
	else
		err_sys(&e, errnum, "can't access fsfreeze hook '%s'", path);
	failed(w, &e);
}

static void next(struct worker *w)
{
	struct freeze *f = &w->freeze;
	struct hooks *h = &f->hooks;

	h->asked = 0;
	h->pid = 0;
	h->again = false;
	if (h->at == h->n) {
		/* What failed and was passed over stays in the result. */
		forget(h);
		freeze_hooks_over(w, NULL);
		return;
	}
	if (h->errnums[h->at]) {
		cannot_run(w, h->paths[h->at], h->errnums[h->at]);
		return;
	}
	/* From now on it counts as one that ran. */
	if (!is_thaw(h))
		f->record->hooks = h->at + 1;
	f->rq->deadline_ms = now_ms() + timeout_ms(w) + GRACE_MS;
	requests_arm(w);
	ask(w);
}

/* ---- all of them ---- */

void hooks_start(struct worker *w, const char *arg)
{
	struct freeze *f = &w->freeze;
	const struct msg_hook_find look = {.path = v_str(f->hook_path)};

	f->step = STEP_HOOKS;
	f->hook_result[0] = '\0';
	if (!f->hook_path) {
		freeze_hooks_over(w, NULL);
		return;
	}
	f->hooks = (struct hooks){.arg = arg};
	snprintf(f->hook_result, sizeof(f->hook_result), "ok");
	request_part(w, f->rq, OP_hook_find, &look);
}

static bool take_list(struct worker *w, const struct frame *f, uint32_t most)
{
	struct hooks *h = &w->freeze.hooks;
	struct msg_hooks found;
	const struct msg_hook *hook;
	struct rbuf r;

	if (!f || f->flags & (FRAME_ERROR | FRAME_MORE))
		return false;
	r = rbuf_of(f->body, f->len);
	w->arena.len = 0;
	if (schema_whole(&r, &schema_hooks, &w->arena, &found) < 0)
		return false;
	hook = found.hooks.v;
	for (; h->n < found.hooks.n && h->n < most; h->n++, hook++) {
		h->paths[h->n] = strndup(hook->path.p, hook->path.len);
		h->errnums[h->n] = (int)hook->errnum.v;
		if (!h->paths[h->n])
			return false;
	}
	return true;
}

void hooks_found(struct worker *w, const struct frame *f)
{
	struct hooks *h = &w->freeze.hooks;
	/* Only what ran at the freeze has something to undo. */
	uint32_t most = is_thaw(h) ? w->freeze.record->hooks : HOOKS_MAX;
	struct err e;

	if (take_list(w, f, most < HOOKS_MAX ? most : HOOKS_MAX)) {
		next(w);
		return;
	}
	err_set(&e, ERR_GENERIC, "fsfreeze hook '%s' could not be looked for",
		w->freeze.hook_path);
	if (is_thaw(h))
		worker_log(w, "%s", e.desc);
	over(w, &e);
}

/* ---- the spawner ---- */

void hooks_end(struct worker *w)
{
	if (w->freeze.hooks.pid && peer_is_open(&w->spawner))
		program_tell(w, FRAME_END, w->freeze.hooks.pid);
}

void hooks_late(struct worker *w, const struct err *e)
{
	hooks_end(w);
	failed(w, e);
}

bool hooks_reply(struct worker *w, const struct frame *f)
{
	struct hooks *h = &w->freeze.hooks;
	struct rbuf r = rbuf_of(f->body, f->len);
	struct arena none = {0};
	struct msg_spawned got;
	struct err e;

	if (!h->arg || !h->asked || f->request != h->asked || f->op != OP_exec)
		return false;
	h->asked = 0;
	if (f->flags & FRAME_ERROR ||
	    schema_whole(&r, &schema_spawned, &none, &got) < 0) {
		err_set(&e, ERR_GENERIC, "fsfreeze hook '%s' could not be executed",
			h->paths[h->at]);
		failed(w, &e);
	} else {
		h->pid = got.pid.v;
	}
	return true;
}

static bool went_well(const struct worker *w, const struct msg_ended *end, struct err *e)
{
	if (end->timed_out.v)
		err_set(e, ERR_GENERIC, "fsfreeze hook did not end within %g s",
			(double)timeout_ms(w) / 1000);
	else if (end->signal.set)
		err_set(e, ERR_GENERIC, "fsfreeze hook has terminated abnormally");
	else if (end->exitcode.v)
		err_set(e, ERR_GENERIC, "fsfreeze hook has failed with status %lld",
			(long long)end->exitcode.v);
	else
		return true;
	return false;
}

bool hooks_ended(struct worker *w, const struct msg_ended *end)
{
	struct hooks *h = &w->freeze.hooks;
	struct err e;

	if (!h->arg || !h->pid || h->pid != end->pid.v)
		return false;
	program_tell(w, FRAME_FORGET, h->pid);
	if (!went_well(w, end, &e)) {
		failed(w, &e);
		return true;
	}
	h->at++;
	next(w);
	return true;
}

/*
 * With the spawner ends what it ran. A freeze hook counts as failed. A thaw hook is run
 * again, once: better twice than not.
 */
void hooks_lost(struct worker *w)
{
	struct hooks *h = &w->freeze.hooks;
	struct err e;

	if (!h->arg || (!h->asked && !h->pid))
		return;
	h->asked = 0;
	h->pid = 0;
	if (is_thaw(h) && !h->again) {
		h->again = true;
		return;
	}
	err_set(&e, ERR_GENERIC, "fsfreeze hook: the spawner ended before it");
	failed(w, &e);
}

void hooks_again(struct worker *w)
{
	struct hooks *h = &w->freeze.hooks;

	if (h->arg && h->n && !h->asked && !h->pid)
		ask(w);
}
