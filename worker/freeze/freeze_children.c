/*
 * worker/freeze/freeze_children.c - start and stop who freezes and who thaws
 *
 * Runs in:   worker; freezer and thawer begin here
 * Input:     none
 * May touch: children of its own
 * Must not:  give a child more than the superblocks and its sockets
 */
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "sandbox/sandbox.h"
#include "worker/ops/freezer.h"
#include "worker/freeze/thawer.h"
#include "worker/worker.h"

/* To start a thawer where there was no room for a process. */
#define RETRY_MS 500

/* ---- children ---- */

/* A child, and where it is known as long as it runs; NULL: nowhere. */
struct known_child {
	struct child child;
	struct child **at;
};

static void reaped(struct child *c, int code, int status)
{
	struct known_child *k = CONTAINER_OF(c, struct known_child, child);

	(void)code;
	(void)status;
	if (k->at && *k->at == c)
		*k->at = NULL;
	free(k);
}

void freeze_hang_up(struct loop *loop, struct source *s)
{
	int fd = s->fd;

	if (fd < 0)
		return;
	loop_remove(loop, s);
	close_p(&fd);
}

int freeze_pair(int *ours, int *theirs)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	*ours = pair[0];
	*theirs = pair[1];
	return 0;
}

/* Fork by PLAN, with KEEP in front of the superblocks; it is known AT, if that is given.
 */
static enum fork_side fork_with(struct worker *w, struct fork_plan *plan, const int *keep,
				size_t n_keep, struct child **at)
{
	struct freeze *f = &w->freeze;
	CLEANUP(free_p) struct known_child *k = calloc(1, sizeof(*k));
	int fds[CHILD_FDS_MAX];
	enum fork_side side;

	if (!k)
		return FORK_FAILED;
	k->at = at;
	memcpy(fds, keep, n_keep * sizeof(*fds));
	memcpy(fds + n_keep, f->fds, f->n * sizeof(*fds));
	plan->keep = fds;
	plan->n_keep = n_keep + f->n;
	plan->caps = CAPS_ADMIN;
	plan->fences = &w->fences;
	side = worker_fork(&k->child, &w->loop, plan, reaped);
	if (side != FORK_WORKER)
		return side;
	if (at)
		*at = &k->child;
	TAKE_PTR(k);
	return side;
}

/* ---- the freezer ---- */

int freeze_freezer_start(struct worker *w, int ours, int theirs)
{
	struct freeze *f = &w->freeze;
	struct fork_plan plan = {
		.roles = SC_ROLE(SANDBOX_CHILD) | SC_ROLE(SANDBOX_FREEZER),
	};
	enum fork_side side = fork_with(w, &plan, &theirs, 1, &f->freezer_child);

	if (side == FORK_CHILD)
		freezer_run(w->sys.ops);
	if (side == FORK_FAILED)
		return -1;
	return loop_add(&w->loop, &f->freezer, ours, EPOLLIN, freeze_on_freezer);
}

/* What it is at it ends first: the thawer sees when. */
void freeze_freezer_stop(struct worker *w)
{
	struct freeze *f = &w->freeze;

	if (f->freezer_child)
		child_kill(f->freezer_child);
	freeze_hang_up(&w->loop, &f->freezer);
}

/* ---- the thawer ---- */

static _Noreturn void be_thawer(struct worker *w)
{
	const struct thawer t = {
		.state = w->state,
		.ops = w->sys.ops,
		.has_listener = w->freeze.listener >= 0,
		.has_freezer = w->freeze.freezer.fd >= 0,
	};

	thawer_run(&t);
}

/* FREEZER: our end of the freezer's socket, or -1: none runs. */
int freeze_thawer_start(struct worker *w, int freezer)
{
	struct freeze *f = &w->freeze;
	CLEANUP(close_p) int ours = -1;
	CLEANUP(close_p) int theirs = -1;
	struct fork_plan plan = {
		.roles = SC_ROLE(SANDBOX_CHILD) | SC_ROLE(SANDBOX_THAWER),
		.outlives = true,
	};
	enum fork_side side = FORK_FAILED;

	if (freeze_pair(&ours, &theirs) == 0) {
		const int keep[] = {theirs, f->listener < 0 ? STDIN_FILENO : f->listener,
				    freezer < 0 ? STDIN_FILENO : freezer};

		/* It alone may reach what outlives us. */
		madvise(w->state, sizeof(*w->state), MADV_DOFORK);
		side = fork_with(w, &plan, keep, ARRAY_SIZE(keep), NULL);
		if (side == FORK_CHILD)
			be_thawer(w);
		madvise(w->state, sizeof(*w->state), MADV_DONTFORK);
	}
	if (side == FORK_FAILED ||
	    loop_add(&w->loop, &f->thawer, ours, EPOLLIN, freeze_on_thawer) < 0)
		return -1;
	TAKE_FD(ours);
	return 0;
}

static void thawer_order(struct worker *w)
{
	uint8_t buf[16];
	struct wbuf body = wbuf_fixed(buf, sizeof(buf));

	schema_put(&body, &schema_thaw,
		   &(struct msg_thaw){.cause = V_INT(w->freeze.cause)});
	/* One that is gone is seen by its socket, and another gets the order. */
	frame_send(w->freeze.thawer.fd, &(struct frame){
						.type = FRAME_THAW,
						.op = OP_fsfreeze_thaw,
						.body = body.p,
						.len = (uint32_t)body.len,
					});
}

/* There has to be one: start it, now or as soon as there is room. */
void freeze_thawer_need(struct worker *w)
{
	struct freeze *f = &w->freeze;

	if (f->thawer.fd < 0 && freeze_thawer_start(w, f->freezer.fd) < 0) {
		timer_arm_ms(&f->retry, RETRY_MS);
		return;
	}
	if (f->step == STEP_THAW)
		thawer_order(w);
}
