/*
 * worker/steps/steps.c - requests that take op children and programs, one after the other
 *
 * Runs in:   worker
 * Input:     results of op children, ends of programs
 * May touch: the request, the spawner's socket
 * Must not:  run a program that others than root could change, keep a secret in memory
 */
#include "worker/steps/steps.h"

#include <string.h>

#include "ipc/body.h"

/* A program of ours has so long; then it is ended, and the request fails. */
#define PROGRAM_MS 20000
#define ARGS_MAX   8

static const struct plan *const plans[OP_MAX] = {
	[OP_set_user_password] = &plan_password,
	[OP_ssh_get_authorized_keys] = &plan_keys,
	[OP_ssh_add_authorized_keys] = &plan_keys,
	[OP_ssh_remove_authorized_keys] = &plan_keys,
	[OP_shutdown] = &plan_shutdown,
	[OP_suspend_disk] = &plan_suspend,
	[OP_suspend_ram] = &plan_suspend,
	[OP_suspend_hybrid] = &plan_suspend,
};

void steps_done(struct worker *w, struct request *rq)
{
	const struct wbuf none = wbuf_fixed(NULL, 0);

	request_done(w, rq, &none);
}

static void begin(struct worker *w, struct request *rq)
{
	if (rq->steps->at->begin)
		rq->steps->at->begin(w, rq);
	else
		steps_done(w, rq);
}

void steps_next(struct worker *w, struct request *rq)
{
	rq->steps->at++;
	begin(w, rq);
}

void steps_start(struct worker *w, struct request *rq, const struct asked *q,
		 const struct policy_answer *a)
{
	struct err e;

	rq->steps = calloc(1, sizeof(*rq->steps));
	if (!rq->steps) {
		err_set(&e, ERR_GENERIC, "%s: out of memory", q->op->name);
		request_fail(w, rq, &e);
		return;
	}
	*rq->steps = (struct steps){.plan = plans[rq->op], .secret = -1};
	/* steps_begin goes on. */
	if (rq->steps->plan->check(w, rq, q, a, &e) < 0)
		request_fail(w, rq, &e);
	explicit_bzero(&e, sizeof(e)); /* it may quote a key */
}

void steps_begin(struct worker *w)
{
	for (size_t i = 0; i < ARRAY_SIZE(w->requests); i++) {
		struct request *rq = &w->requests[i];

		if (!rq->serial || !rq->steps || rq->steps->at)
			continue;
		rq->steps->at = rq->steps->plan->steps;
		begin(w, rq);
	}
}

/* Nobody waits for its program any more. */
static void end_program(struct worker *w, const struct steps *s)
{
	if (s->pid)
		program_tell(w, s->runs ? FRAME_END : FRAME_FORGET, s->pid);
}

void steps_end(struct worker *w, struct request *rq, const char *result)
{
	struct steps *s = rq->steps;

	if (!s)
		return;
	if (s->plan->ended)
		s->plan->ended(w, rq, result);
	end_program(w, s);
	close_p(&s->secret);
	free(s->program);
	free(s->text);
	free(s->user);
	free(s->passwd);
	free(s->groups);
	free(s->fingerprints);
	wbuf_free(&s->account);
	free(s);
	rq->steps = NULL;
}

void steps_fail(struct worker *w, struct request *rq, const struct frame *part)
{
	struct err e;

	if (part)
		err_get(&e, part->body, part->len);
	else
		err_set(&e, ERR_GENERIC, "%s: the operation ended without a result",
			op_by_number(rq->op)->name);
	request_fail(w, rq, &e);
}

void steps_fail_program(struct worker *w, struct request *rq, const char *what,
			const struct outcome *o)
{
	const struct msg_ended *end = o->ended;
	struct err e;

	if (!end) { /* it did not even begin */
		steps_fail(w, rq, o->part);
		return;
	}
	if (end->signal.set || end->timed_out.v)
		err_set(&e, ERR_GENERIC, "child process has terminated abnormally");
	else
		err_set(&e, ERR_GENERIC,
			"child process has failed to %s: exit status %lld", what,
			(long long)end->exitcode.v);
	request_fail(w, rq, &e);
}

void steps_pass(struct worker *w, struct request *rq, const struct outcome *o)
{
	if (step_went_well(o))
		steps_next(w, rq);
	else
		steps_fail(w, rq, o->part);
}

/* ---- op children ---- */

void steps_find(struct worker *w, struct request *rq, const char *program)
{
	const struct v_str name = v_str(program);

	rq->steps->wanted = program;
	free_p(&rq->steps->program);
	w->arena.len = 0;
	program_look(w, rq, &name);
}

static void found(struct worker *w, struct request *rq, const struct frame *f)
{
	struct steps *s = rq->steps;
	struct rbuf r = rbuf_of(f ? f->body : NULL, f ? f->len : 0);
	struct arena none = {0};
	struct msg_found at;

	if (!f || f->flags & FRAME_ERROR ||
	    schema_whole(&r, &schema_found, &none, &at) < 0) {
		steps_fail(w, rq, NULL);
		return;
	}
	s->unsafe = at.exists.v && at.links.v == LINKS_ANY;
	if (at.exists.v && !s->unsafe)
		s->program = strndup(at.path.p, at.path.len);
	steps_next(w, rq);
}

void steps_part(struct worker *w, struct request *rq, uint32_t part,
		const struct frame *f)
{
	if (part == OP_exec_find)
		found(w, rq, f);
	else
		rq->steps->at->over(w, rq, &(struct outcome){.part = f});
}

void steps_missing(struct worker *w, struct request *rq)
{
	const char *name = op_by_number(rq->op)->name;
	struct err e;

	if (rq->steps->unsafe)
		err_set(&e, ERR_NOT_FOUND,
			"Command %s has been disabled: others than root could change %s",
			name, rq->steps->wanted);
	else
		err_set(&e, ERR_NOT_FOUND,
			"Command %s has been disabled: this system has no %s", name,
			rq->steps->wanted);
	request_fail(w, rq, &e);
}

/* ---- programs ---- */

static void ask(struct worker *w, struct steps *s, uint16_t op, const struct wbuf *body,
		int fd)
{
	struct frame f = {
		.type = FRAME_REQUEST,
		.op = op,
		.body = body->p,
		.len = (uint32_t)body->len,
		.n_fds = fd >= 0,
		.fds = {fd, -1},
	};

	s->asked = f.request = ++w->last_asked;
	/* One that is gone, which we are about to see, has run nothing. */
	if (body->bad || peer_send(&w->spawner, &f) < 0)
		s->asked = 0;
}

void steps_run(struct worker *w, struct request *rq, const char *const *argv,
	       enum steps_run how)
{
	struct steps *s = rq->steps;
	CLEANUP(wbuf_free) struct wbuf body = wbuf_growing(FRAME_BODY_MAX);
	struct v_str args[ARGS_MAX];
	uint32_t n = 0;

	if (!s->program) {
		steps_missing(w, rq);
		return;
	}
	s->runs = true;
	s->captures = how == RUN_CAPTURED;
	if (!peer_is_open(&w->spawner))
		return; /* steps_again, or the deadline */
	for (; n < ARGS_MAX && argv[n]; n++)
		args[n] = v_str(argv[n]);
	schema_put(&body, &schema_spawn,
		   &(struct msg_spawn){
			   .path = v_str(s->program),
			   .argv = {.v = args, .n = n, .set = true},
			   .env = {.set = true},
			   .capture = {.v = s->captures ? CAPTURE_STDOUT : CAPTURE_NONE,
				       .set = true},
			   .timeout_ms = V_U64(PROGRAM_MS),
			   .output_max = V_U64(STEP_TEXT_MAX),
			   .keep = V_BOOL(false),
			   .piped = V_BOOL(how == RUN_SECRET),
		   });
	ask(w, s, OP_exec, &body, how == RUN_SECRET ? s->secret : -1);
	/* From then on it is the program's alone. */
	if (how == RUN_SECRET && s->asked)
		close_p(&s->secret);
}

static struct request *asker(struct worker *w, uint32_t asked, int64_t pid)
{
	for (size_t i = 0; i < ARRAY_SIZE(w->requests); i++) {
		struct request *rq = &w->requests[i];
		const struct steps *s = rq->serial ? rq->steps : NULL;

		if (s && ((asked && s->asked == asked) || (pid > 0 && s->pid == pid)))
			return rq;
	}
	return NULL;
}

/* What is left of it is in END; what it wrote in `text`. */
static void over(struct worker *w, struct request *rq, const struct msg_ended *end)
{
	program_tell(w, FRAME_FORGET, rq->steps->pid);
	rq->steps->pid = 0;
	rq->steps->at->over(w, rq, &(struct outcome){.ended = end});
}

/* By force, what cannot be run is passed over like what fails. */
static void fail_start(struct worker *w, struct request *rq, const struct frame *f)
{
	const struct outcome o = {.part = f->flags & FRAME_ERROR ? f : NULL};

	rq->steps->runs = false;
	if (rq->steps->force)
		rq->steps->at->over(w, rq, &o);
	else
		steps_fail(w, rq, o.part);
}

static void started(struct worker *w, struct request *rq, const struct frame *f)
{
	struct rbuf r = rbuf_of(f->body, f->len);
	struct arena none = {0};
	struct msg_spawned got;

	if (f->flags & FRAME_ERROR ||
	    schema_whole(&r, &schema_spawned, &none, &got) < 0 || got.pid.v <= 0) {
		fail_start(w, rq, f);
		return;
	}
	rq->steps->pid = got.pid.v;
}

/* Its whole output, which has no NUL in it. NULL: it is none. */
static char *text_of(const struct frame *f)
{
	CLEANUP(body_release) struct body b = {0};
	size_t len;

	if (!f->n_fds || body_map(f->fds[0], &b) < 0)
		return NULL;
	len = rbuf_left(&b.r);
	return len && len < STEP_TEXT_MAX && !memchr(b.r.p, 0, len)
		       ? strndup((const char *)b.r.p, len)
		       : NULL;
}

/* How a program whose output was fetched had ended. */
static void fetched(struct worker *w, struct request *rq, const struct frame *f)
{
	struct rbuf r = rbuf_of(f->body, f->len);
	struct arena none = {0};
	struct msg_exec_status_result got;
	struct msg_ended end = {0};

	if (f->flags & FRAME_ERROR ||
	    schema_whole(&r, &schema_exec_status_result, &none, &got) < 0) {
		fail_start(w, rq, f);
		return;
	}
	free(rq->steps->text);
	rq->steps->text = text_of(f);
	end.exitcode = got.exitcode;
	end.signal = got.signal;
	over(w, rq, &end);
}

bool steps_reply(struct worker *w, const struct frame *f)
{
	struct request *rq = asker(w, f->request, 0);

	if (!rq)
		return false;
	rq->steps->asked = 0;
	if (f->op == OP_exec)
		started(w, rq, f);
	else
		fetched(w, rq, f);
	return true;
}

bool steps_ended(struct worker *w, const struct msg_ended *end)
{
	struct request *rq = asker(w, 0, end->pid.v);
	uint8_t buf[16];
	struct wbuf body = wbuf_fixed(buf, sizeof(buf));

	if (!rq)
		return false;
	rq->steps->runs = false;
	if (rq->steps->captures && !end->timed_out.v) {
		schema_put(&body, &schema_exec_status,
			   &(struct msg_exec_status){.pid = end->pid});
		ask(w, rq->steps, OP_exec_status, &body, -1);
	} else {
		over(w, rq, end);
	}
	return true;
}

void steps_lost(struct worker *w)
{
	for (size_t i = 0; i < ARRAY_SIZE(w->requests); i++) {
		struct request *rq = &w->requests[i];
		struct err e;

		if (!rq->serial || !rq->steps || (!rq->steps->asked && !rq->steps->pid))
			continue;
		rq->steps->runs = false;
		rq->steps->asked = 0;
		rq->steps->pid = 0;
		err_set(&e, ERR_GENERIC, "%s: the spawner ended before it was done",
			op_by_number(rq->op)->name);
		request_fail(w, rq, &e);
	}
}

void steps_again(struct worker *w)
{
	for (size_t i = 0; i < ARRAY_SIZE(w->requests); i++) {
		struct request *rq = &w->requests[i];

		if (rq->serial && rq->steps && rq->steps->runs && !rq->steps->asked &&
		    !rq->steps->pid)
			rq->steps->at->begin(w, rq);
	}
}
