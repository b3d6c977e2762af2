/*
 * worker/programs.c - programs: found by an op child, run by the spawner
 *
 * Runs in:   worker
 * Input:     requests that were decided on; frames of the spawner
 * May touch: the spawner's socket, the table of programs
 * Must not:  have anything run that gate_found did not let through
 */
#include <stdio.h>
#include <string.h>

#include "ipc/body.h"
#include "worker/steps/steps.h"

static struct program *find(struct worker *w, int64_t pid)
{
	for (size_t i = 0; i < PROGRAMS_MAX; i++)
		if (w->programs[i].pid == pid && pid > 0)
			return &w->programs[i];
	return NULL;
}

static void fail_unsent(struct worker *w, struct request *rq)
{
	struct err e;

	err_set(&e, ERR_GENERIC, "%s cannot be passed on at present",
		op_by_number(rq->op)->name);
	request_fail(w, rq, &e);
}

/* Ask the spawner; without one it waits for the next, until its deadline. */
static void ask(struct worker *w, struct request *rq)
{
	CLEANUP(close_p) int fd = -1;
	struct frame f = {.type = FRAME_REQUEST, .op = (uint16_t)rq->op, .fds = {-1, -1}};

	if (!peer_is_open(&w->spawner))
		return;
	rq->asked = f.request = ++w->last_asked;
	if (body_attach(&f, &rq->question, &fd) < 0) {
		fail_unsent(w, rq);
		return;
	}
	if (rq->bulk_fd >= 0)
		f.fds[f.n_fds++] = rq->bulk_fd;
	peer_send(&w->spawner, &f);
}

static void fail_unknown(struct worker *w, struct request *rq)
{
	struct err e;

	err_set(&e, ERR_GENERIC, "Invalid parameter 'pid'");
	request_fail(w, rq, &e);
}

static void done_running(struct worker *w, struct request *rq)
{
	uint8_t buf[64];
	struct wbuf body = wbuf_fixed(buf, sizeof(buf));

	schema_put(&body, &schema_exec_status_result,
		   &(struct msg_exec_status_result){.exited = V_BOOL(false)});
	request_done(w, rq, &body);
}

static void status_start(struct worker *w, struct request *rq, const struct asked *q,
			 const struct rbuf *args)
{
	int64_t pid = ((const struct msg_exec_status *)q->args)->pid.v;
	const struct program *p = find(w, pid);

	if (!p || !peer_is_open(&w->spawner)) {
		fail_unknown(w, rq);
		return;
	}
	/* Its end is told as soon as its result stands; until then there is none to ask
	 * for. */
	if (!p->ended) {
		done_running(w, rq);
		return;
	}
	rq->question = wbuf_growing(FRAME_BODY_MAX);
	wbuf_put(&rq->question, args->p, rbuf_left(args));
	ask(w, rq);
}

/* ---- looking for it ---- */

/* The text of KEY in the first rule of A that has it; not set: none has. */
static struct v_str text_of(const struct policy *p, const struct policy_answer *a,
			    enum key key)
{
	uint32_t at = 0;
	const struct image_constraint *c = policy_next(p, a, key, &at);

	return v_str(c ? policy_text(p, p->values[c->value].text) : NULL);
}

static struct v_str joined(struct worker *w, const char *folder, const struct v_str *name)
{
	size_t size = strlen(folder) + name->len + 1;
	char *text = arena_take(&w->arena, size);

	if (text)
		snprintf(text, size, "%s%.*s", folder, (int)name->len, name->p);
	return v_str(text);
}

void program_look(struct worker *w, struct request *rq, const struct v_str *path)
{
	struct v_str paths[PROGRAM_FOLDERS];
	struct msg_exec_find look = {.paths = {.v = paths, .n = 1, .set = true}};

	/* Whatever directory its rule has it start in: what was looked at is run. */
	paths[0] = path->len && *path->p != '/' ? joined(w, "/", path) : *path;
	if (path->len && !memchr(path->p, '/', path->len)) {
		look.paths.n = PROGRAM_FOLDERS;
		for (size_t i = 0; i < PROGRAM_FOLDERS; i++)
			paths[i] = joined(w, program_folders[i], path);
	}
	request_part(w, rq, OP_exec_find, &look);
}

void program_start(struct worker *w, struct request *rq, const struct asked *q,
		   const struct policy_answer *a, const struct rbuf *args)
{
	const struct msg_exec *exec = q->args;
	struct v_str path;

	if (rq->op == OP_exec_status) {
		status_start(w, rq, q, args);
		return;
	}
	/* A program that the policy names is where the policy says. */
	path = text_of(&rq->gen->policy, a, KEY_RUN);
	if (!path.set)
		path = exec->path;
	program_look(w, rq, &path);
}

uint64_t programs_running(const struct worker *w)
{
	uint64_t running = 0;

	for (size_t i = 0; i < PROGRAMS_MAX; i++)
		running += w->programs[i].pid && !w->programs[i].ended;
	return running;
}

/* The rule of P that has the name of RULE, a rule of LAST; -1: there is none. */
static int32_t same_rule(const struct policy *p, const struct policy *last, int32_t rule)
{
	const char *name = rule < 0 ? NULL : policy_text(last, last->rules[rule].name);

	for (uint32_t i = 0; name && i < p->head->n_rules; i++)
		if (streq(policy_text(p, p->rules[i].name), name))
			return (int32_t)i;
	return -1;
}

/* RULE of G as the table of programs has it: by the policy in force. */
static int32_t rule_in_force(const struct worker *w, const struct generation *g,
			     int32_t rule)
{
	return g == w->gen ? rule : same_rule(&w->gen->policy, &g->policy, rule);
}

bool program_full(const struct worker *w, const struct asked *q,
		  const struct policy_answer *a)
{
	const struct policy *policy = &q->gen->policy;
	const int32_t rule = rule_in_force(w, q->gen, a->rule);
	uint64_t all = policy->head->exec_concurrent, one = UINT64_MAX, same = 0;

	policy_limit(policy, a, KEY_CONCURRENT, &one);
	for (size_t i = 0; i < PROGRAMS_MAX; i++) {
		const struct program *p = &w->programs[i];

		same += p->pid && !p->ended && p->rule == rule;
	}
	return programs_running(w) >= (all ? all : CONCURRENT_DEFAULT) || same >= one;
}

/* ---- having it run ---- */

static void fail_start(struct worker *w, struct request *rq, const struct v_str *name,
		       int errnum)
{
	struct err e;

	err_fill(&e, ERR_GENERIC,
		 "Guest agent command failed, error was 'Failed to execute child process "
		 "\xe2\x80\x9c%.*s\xe2\x80\x9d (%s)'",
		 (int)name->len, name->p, strerror(errnum));
	e.errnum = errnum;
	request_fail(w, rq, &e);
}

static struct v_u64 limit_of(const struct policy *p, const struct policy_answer *a,
			     enum key key)
{
	struct v_u64 v = {0};

	v.set = policy_limit(p, a, key, &v.v);
	return v;
}

/* Names, or a boolean as in the first releases (protocol 3.36). */
static uint8_t capture_of(const struct v_alt *capture)
{
	if (!capture->set)
		return CAPTURE_NONE;
	if (capture->named)
		return (uint8_t)capture->v;
	return capture->v ? CAPTURE_BOTH : CAPTURE_NONE;
}

/* The program's name is what it was asked for by, before its arguments. */
static struct v_list argv_of(struct worker *w, const struct msg_exec *q,
			     const struct v_str *name)
{
	struct v_str *argv = arena_take(&w->arena, (q->arg.n + 1) * sizeof(*argv));

	if (!argv)
		return (struct v_list){0};
	argv[0] = *name;
	if (q->arg.n)
		memcpy(argv + 1, q->arg.v, q->arg.n * sizeof(*argv));
	return (struct v_list){.v = argv, .n = q->arg.n + 1, .set = true};
}

/* All that the spawner is told, by the request and the rules of A. */
static void compose(struct worker *w, const struct asked *asked,
		    const struct policy_answer *a, const struct v_str *path,
		    struct msg_spawn *spawn)
{
	const struct policy *p = &asked->gen->policy;
	const struct msg_exec *q = asked->args;
	struct v_str named = text_of(p, a, KEY_RUN);

	*spawn = (struct msg_spawn){
		.path = *path,
		.argv = argv_of(w, q, named.set ? &named : &q->path),
		.env = {.v = q->env.v, .n = q->env.n, .set = true},
		.input = q->input_data,
		.capture = {.v = capture_of(&q->capture_output), .set = true},
		.user = text_of(p, a, KEY_EXEC_USER),
		.group = text_of(p, a, KEY_EXEC_GROUP),
		.cwd = text_of(p, a, KEY_CWD),
		.timeout_ms = limit_of(p, a, KEY_TIMEOUT),
		.output_max = limit_of(p, a, KEY_OUTPUT_MAX),
		.memory_max = limit_of(p, a, KEY_MEMORY_MAX),
		.tasks_max = limit_of(p, a, KEY_TASKS_MAX),
		.keep = V_BOOL(p->head->keep_on_stop),
	};
}

void program_found(struct worker *w, struct request *rq, const uint8_t *p, size_t len)
{
	struct rbuf r = rbuf_of(p, len);
	struct arena none = {0};
	struct msg_found found;
	struct msg_spawn spawn;
	struct policy_answer a;
	struct asked q;
	struct err e;
	CLEANUP(wbuf_free) struct wbuf whole = wbuf_growing(REQUEST_BODY_MAX);

	if (schema_whole(&r, &schema_found, &none, &found) < 0) {
		err_set(&e, ERR_GENERIC, "guest-exec: the program could not be found");
		request_fail(w, rq, &e);
		return;
	}
	if (!gate_found(w, rq, &found, &a))
		return;
	if (gate_kept(w, rq, &q) < 0)
		return; /* it could be decoded a moment ago */
	if (found.errnum.v) {
		fail_start(w, rq, &((const struct msg_exec *)q.args)->path,
			   (int)found.errnum.v);
		return;
	}
	compose(w, &q, &a, &found.path, &spawn);
	schema_put(&whole, &schema_spawn, &spawn);
	/* It takes the place of the request, into which it pointed until now. */
	wbuf_free(&rq->question);
	rq->question = whole;
	whole = wbuf_growing(0);
	if (rq->question.bad)
		fail_start(w, rq, &found.path, E2BIG);
	else
		ask(w, rq);
}

void programs_again(struct worker *w)
{
	for (size_t i = 0; i < ARRAY_SIZE(w->requests); i++) {
		struct request *rq = &w->requests[i];

		if (rq->serial && rq->op == OP_exec && !rq->undecided && !rq->part &&
		    !rq->asked)
			ask(w, rq);
	}
	hooks_again(w);
	steps_again(w);
}

/* ---- its result ---- */

void program_tell(struct worker *w, uint16_t type, int64_t pid)
{
	peer_send(&w->spawner, &(struct frame){.type = type, .request = (uint32_t)pid});
}

static void forget(struct worker *w, struct program *p)
{
	program_tell(w, FRAME_FORGET, p->pid);
	*p = (struct program){0};
}

/* A free slot; else that of the oldest whose result nobody fetched; NULL: all run. */
static struct program *take_slot(struct worker *w)
{
	struct program *best = NULL;

	for (size_t i = 0; i < PROGRAMS_MAX; i++) {
		struct program *p = &w->programs[i];

		if (!p->pid)
			return p;
		if (p->ended && (!best || p->began < best->began))
			best = p;
	}
	if (best)
		forget(w, best);
	return best;
}

static int started(struct worker *w, struct request *rq, const struct frame *f)
{
	uint8_t buf[16];
	struct wbuf body = wbuf_fixed(buf, sizeof(buf));
	struct rbuf r = rbuf_of(f->body, f->len);
	struct rbuf was = rbuf_of(rq->question.p, rq->question.len);
	struct program *p;
	struct msg_spawned got;
	struct msg_spawn spawn;

	w->arena.len = 0;
	if (schema_whole(&r, &schema_spawned, &w->arena, &got) < 0 ||
	    schema_get(&was, &schema_spawn, &w->arena, &spawn) < 0 || got.pid.v <= 0)
		return -1;
	/* A number comes back once its first program has ended; that one's is lost. */
	p = find(w, got.pid.v);
	p = p ? p : take_slot(w);
	if (!p)
		return -1;
	*p = (struct program){
		.pid = got.pid.v,
		.request = rq->serial,
		.began = ++w->last_program,
		.rule = rule_in_force(w, rq->gen, rq->rule),
	};
	record_exec_start(w, rq, &spawn, &got);
	schema_put(&body, &schema_exec_result,
		   &(struct msg_exec_result){.pid = V_INT(got.pid.v)});
	request_done(w, rq, &body);
	return 0;
}

/* The result, with what the program wrote beside it. Once fetched it is forgotten. */
static int told(struct worker *w, struct request *rq, const struct frame *f)
{
	struct rbuf was = rbuf_of(rq->question.p, rq->question.len);
	struct rbuf r = rbuf_of(f->body, f->len);
	struct msg_exec_status_result result;
	struct msg_exec_status q;
	struct program *p;

	w->arena.len = 0;
	if (schema_get(&was, &schema_exec_status, &w->arena, &q) < 0 ||
	    schema_whole(&r, &schema_exec_status_result, &w->arena, &result) < 0)
		return -1;
	p = find(w, q.pid.v);
	if (p && result.exited.v && !rq->abandoned)
		forget(w, p);
	request_reply(w, rq, f);
	return 0;
}

/* It runs, but its request ended at its deadline, as one that failed: so it ends too. */
static int too_late(struct worker *w, const struct frame *f)
{
	struct rbuf r = rbuf_of(f->body, f->len);
	struct arena none = {0};
	struct msg_spawned got;

	if (f->op == OP_exec && !(f->flags & FRAME_ERROR) &&
	    schema_whole(&r, &schema_spawned, &none, &got) == 0)
		program_tell(w, FRAME_END, got.pid.v);
	return 0;
}

static int reply(struct worker *w, const struct frame *f)
{
	if (hooks_reply(w, f) || steps_reply(w, f))
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(w->requests); i++) {
		struct request *rq = &w->requests[i];

		if (!rq->serial || rq->asked != f->request || rq->op != f->op ||
		    op_by_number(rq->op)->carrier != BY_SPAWNER)
			continue;
		if (f->flags & FRAME_ERROR) {
			request_reply(w, rq, f);
			return 0;
		}
		return rq->op == OP_exec ? started(w, rq, f) : told(w, rq, f);
	}
	return too_late(w, f);
}

static int ended(struct worker *w, const struct frame *f)
{
	struct rbuf r = rbuf_of(f->body, f->len);
	struct arena none = {0};
	struct msg_ended end;
	struct program *p;

	if (schema_whole(&r, &schema_ended, &none, &end) < 0)
		return -1;
	if (hooks_ended(w, &end) || steps_ended(w, &end))
		return 0;
	p = find(w, end.pid.v);
	if (!p) /* nobody will fetch what it leaves */
		program_tell(w, FRAME_FORGET, end.pid.v);
	if (!p || p->ended)
		return 0;
	p->ended = true;
	record_exec_exit(w, p, &end);
	return 0;
}

int program_frame(struct worker *w, struct frame *f)
{
	if (f->type == FRAME_ENDED)
		return ended(w, f);
	return f->type == FRAME_REPLY ? reply(w, f) : -1;
}

/* ---- another policy ---- */

void programs_follow(struct worker *w, const struct generation *last)
{
	for (size_t i = 0; i < PROGRAMS_MAX; i++) {
		struct program *p = &w->programs[i];

		if (p->pid)
			p->rule = same_rule(&w->gen->policy, &last->policy, p->rule);
	}
}

void programs_revoke(struct worker *w)
{
	for (size_t i = 0; i < PROGRAMS_MAX; i++)
		if (w->programs[i].pid && !w->programs[i].ended)
			program_tell(w, FRAME_END, w->programs[i].pid);
}

void programs_lost(struct worker *w)
{
	struct err e;

	for (size_t i = 0; i < ARRAY_SIZE(w->requests); i++) {
		struct request *rq = &w->requests[i];

		if (!rq->serial || !rq->asked ||
		    op_by_number(rq->op)->carrier != BY_SPAWNER)
			continue;
		err_set(&e, ERR_GENERIC, "%s: the spawner ended without an answer",
			op_by_number(rq->op)->name);
		request_fail(w, rq, &e);
	}
	memset(w->programs, 0, sizeof(w->programs));
	hooks_lost(w);
	steps_lost(w);
}
