/*
 * worker/control.c - posternctl's way in: status, reload, the policy in force
 *
 * Runs in:   worker
 * Input:     frames of whoever root let connect: decoded, not trusted
 * May touch: its sockets; the policy, by reload_ask
 * Must not:  serve anybody but root, or who runs the agent; let one who reads nothing
 *            cost more than a socket
 */
#include "worker/control.h"

#include <string.h>
#include <sys/socket.h>

#include "ipc/control.h"
#include "ipc/launch.h"
#include "sandbox/sandbox.h"
#include "worker/worker.h"

/* Bytes of mistakes in an answer; the rest takes less than what is left of a frame. */
#define MISTAKES_MAX (FRAME_BODY_MAX - 4096)

static void answer(struct control *c, const struct msg_controlled *m)
{
	CLEANUP(wbuf_free) struct wbuf body = wbuf_growing(FRAME_BODY_MAX);

	schema_put(&body, &schema_controlled, m);
	/* One that cannot be told has hung up, or reads nothing. */
	if (!body.bad)
		peer_send(&c->peer, &(struct frame){
					    .type = FRAME_CONTROLLED,
					    .body = body.p,
					    .len = (uint32_t)body.len,
				    });
}

/* ---- status ---- */

static void put_policy(const struct worker *w, struct msg_status *s)
{
	const struct policy *p = &w->gen->policy;

	s->generation = V_U64(w->gen->number);
	s->digest = v_str(w->gen->digest);
	s->base = v_str(policy_base(p));
	s->mode = v_str(policy_mode(p));
	if (*policy_text(p, p->head->ceiling))
		s->ceiling = v_str(policy_text(p, p->head->ceiling));
	if (*policy_text(p, p->head->locked_down))
		s->locked_down = v_str(policy_text(p, p->head->locked_down));
	s->lock = V_BOOL(p->head->lock);
	s->loaded = V_U64(w->reload.loaded_usec);
	s->reload = (struct v_enum){.v = (uint8_t)w->reload.outcome, .set = true};
	if (w->reload.why[0])
		s->reload_detail = v_str(w->reload.why);
	if (w->reload.ended_usec)
		s->reload_time = V_U64(w->reload.ended_usec);
	s->reload_waits = V_BOOL(w->reload.state == RELOADS_LATER);
}

static void put_freeze(const struct worker *w, struct msg_status *s)
{
	const struct freeze *f = &w->freeze;
	const uint64_t deadline = atomic_load(&f->record->deadline_ms), now = now_ms();

	s->frozen = V_BOOL(freeze_is_on(f));
	if (!s->frozen.v)
		return;
	s->frozen_count = V_U64(f->record->n);
	if (deadline)
		s->thaw_in_ms = V_U64(deadline > now ? deadline - now : 0);
}

/* What it holds, and what it would hold had it started with this policy. */
struct privilege_texts {
	char held[512], held_files[256];
	char needed[512], needed_files[256];
};

static void put_privileges(const struct worker *w, struct msg_status *s,
			   struct privilege_texts *t)
{
	const struct needs needs = policy_needs(w, &w->gen->policy);

	needs_text(&w->held, NO_SPAWNER, t->held, sizeof(t->held));
	sandbox_beneath_text(w->held.roles, t->held_files, sizeof(t->held_files));
	needs_text(&needs, NO_SPAWNER, t->needed, sizeof(t->needed));
	sandbox_beneath_text(needs.roles, t->needed_files, sizeof(t->needed_files));
	s->privileges = v_str(t->held);
	s->files = v_str(t->held_files);
	s->landlock = V_BOOL(w->fences.n > 0);
	s->needed = v_str(t->needed);
	s->needed_files = v_str(t->needed_files);
}

static void put_counts(const struct worker *w, struct msg_status *s)
{
	uint64_t requests = 0;

	for (size_t i = 0; i < ARRAY_SIZE(w->requests); i++)
		requests += w->requests[i].serial != 0;
	s->requests = V_U64(requests);
	s->handles = V_U64(w->files);
	s->programs = V_U64(programs_running(w));
	s->frontend = V_BOOL(peer_is_open(&w->frontend));
	s->inspector = V_BOOL(peer_is_open(&w->inspector));
	s->spawner = V_BOOL(peer_is_open(&w->spawner));
	s->records = V_U64(w->audit.seq);
	s->held_bytes = V_U64(w->state->held.used);
	s->dropped = V_U64(w->state->held.dropped);
}

static void status(struct worker *w, struct control *c)
{
	struct privilege_texts texts;
	struct msg_status s = {
		.version = v_str(POSTERN_VERSION),
		.pid = V_INT(getpid()),
		.channel = v_str(w->audit.channel),
	};

	put_policy(w, &s);
	put_freeze(w, &s);
	put_privileges(w, &s, &texts);
	put_counts(w, &s);
	answer(c, &(struct msg_controlled){
			  .verb = {.v = CONTROL_STATUS, .set = true},
			  .status = {.v = &s, .set = true},
		  });
}

/* ---- reload ---- */

static void reload(struct worker *w, struct control *c)
{
	c->waits = true;
	c->told = false;
	c->round = w->reload.round + 1;
	reload_ask(w);
}

/* Those of F for which an answer has room beside the rest. */
static struct v_str whole_lines(const struct frame *f)
{
	const char *text = (const char *)f->body, *feed;
	size_t len = f->len;

	if (len > MISTAKES_MAX) {
		feed = memrchr(text, '\n', MISTAKES_MAX);
		len = feed ? (size_t)(feed - text) : 0;
	}
	return (struct v_str){.p = text, .len = (uint32_t)len, .set = true};
}

static void tell_reload(struct control *c, enum reload_outcome outcome, const char *why,
			const struct frame *mistakes)
{
	struct msg_controlled m = {
		.verb = {.v = CONTROL_RELOAD, .set = true},
		.outcome = {.v = (uint8_t)outcome, .set = true},
		.detail = v_str(*why ? why : NULL),
	};

	if (mistakes)
		m.mistakes = whole_lines(mistakes);
	answer(c, &m);
}

void control_reloaded(struct worker *w, const struct frame *mistakes)
{
	for (size_t i = 0; i < CONTROL_MAX; i++) {
		struct control *c = &w->controls[i];

		if (!c->waits || c->round > w->reload.round)
			continue;
		c->waits = false;
		tell_reload(c, w->reload.outcome, w->reload.why, mistakes);
	}
}

void control_reload_waits(struct worker *w)
{
	for (size_t i = 0; i < CONTROL_MAX; i++) {
		struct control *c = &w->controls[i];

		if (c->waits && !c->told)
			tell_reload(c, RELOAD_WAITS, "", NULL);
		c->told = true;
	}
}

/* ---- the policy ---- */

static void policy(struct worker *w, struct control *c)
{
	launch_send_policy(w, &c->peer);
}

/* ---- connections ---- */

static int hang_up(struct control *c)
{
	peer_close(&c->peer);
	c->waits = false;
	return 0;
}

static int on_frame(struct peer *p, struct frame *f)
{
	static void (*const verbs[CONTROL_VERBS])(struct worker * w,
						  struct control * c) = {
		[CONTROL_STATUS] = status,
		[CONTROL_RELOAD] = reload,
		[CONTROL_POLICY] = policy,
	};
	struct control *c = CONTAINER_OF(p, struct control, peer);
	struct rbuf r = rbuf_of(f->body, f->len);
	struct msg_control m;

	/* Who does not read what it asked for is not told more. */
	if (p->out_head || f->type != FRAME_CONTROL ||
	    schema_whole(&r, &schema_control, NULL, &m) < 0)
		return hang_up(c);
	verbs[m.verb.v](c->w, c);
	return 0;
}

static int on_gone(struct peer *p, enum frame_status why)
{
	(void)why;
	return hang_up(CONTAINER_OF(p, struct control, peer));
}

static struct control *free_slot(struct worker *w)
{
	for (size_t i = 0; i < CONTROL_MAX; i++)
		if (!peer_is_open(&w->controls[i].peer))
			return &w->controls[i];
	return NULL;
}

static int on_connection(struct source *s, uint32_t events)
{
	struct worker *w = CONTAINER_OF(s, struct worker, control);
	CLEANUP(close_p)
	int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct control *c = free_slot(w);

	(void)events;
	if (fd < 0 || !c || !peer_is_trusted(fd))
		return 0;
	/* It closes what it could not take. */
	peer_open(&c->peer, &w->loop, TAKE_FD(fd), on_frame, on_gone);
	return 0;
}

int control_init(struct worker *w)
{
	for (size_t i = 0; i < CONTROL_MAX; i++) {
		w->controls[i].peer.source.fd = -1;
		w->controls[i].w = w;
	}
	if (w->control.fd < 0)
		return 0;
	return loop_add(&w->loop, &w->control, w->control.fd, EPOLLIN, on_connection);
}
