/*
 * worker/freeze/thawer.c - the process that thaws, whoever else is gone
 *
 * Runs in:   thawer: a child of the worker that outlives it, with CAP_SYS_ADMIN
 * Input:     orders of the worker, or of the next one; the clock
 * May touch: the superblocks it was given; the record of the freeze
 * Must not:  write to a file system, wait for one, believe anybody but root
 */
#include "worker/freeze/thawer.h"

#include <limits.h>
#include <linux/fs.h>
#include <linux/futex.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "ipc/frame.h"
#include "ipc/launch.h"
#include "ipc/loop.h"
#include "ipc/ops.h"
#include "worker/freeze/pause.h"

/* How often it looks whether a thaw hangs. */
#define TICK_MS 100
/* For a new worker to take what it is sent. */
#define SEND_MS 2000

struct run {
	const struct thawer *t;
	struct freeze_record *r;
	uint64_t id; /* of the freeze that is ours */
	int worker;  /* -1: there is none, since orphaned_ms */
	uint64_t orphaned_ms;
	int freezer;              /* -1: it has ended */
	int helpers[HELPERS_MAX]; /* pidfds; -1: free */
	bool helps;               /* the youngest of them is still waited for */
	uint32_t done;            /* superblocks that were done with, when last looked */
	uint64_t done_ms;         /* since when there are no more */
};

uint32_t thawer_count(const struct freeze_record *r, uint32_t marks)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < r->n; i++)
		count += marks >> atomic_load(&r->mark[i]) & 1;
	return count;
}

/* ---- telling ---- */

static void tell(struct run *run, uint16_t type, const struct schema *schema,
		 const void *msg)
{
	uint8_t buf[32];
	struct wbuf body = wbuf_fixed(buf, sizeof(buf));

	schema_put(&body, schema, msg);
	/* A worker that does not read is not waited for: it can look at the record. */
	frame_send(run->worker, &(struct frame){
					.type = type,
					.op = OP_fsfreeze_thaw,
					.body = body.p,
					.len = (uint32_t)body.len,
				});
}

/* ---- one superblock ---- */

/* What a thaw makes of a mark. */
static enum superblock_mark thaw_one(const struct run *run, uint32_t i, bool again)
{
	int errnum;

	pause_at(run->t->state, PAUSE_CLAIMED);
	errnum = run->t->ops->ioctl(THAWER_FIRST + (int)i, FITHAW, NULL) < 0 ? errno : 0;
	pause_at(run->t->state, PAUSE_UNDONE);
	if (!errnum)
		return MARK_THAWED;
	if (errnum != EINVAL)
		return MARK_FAILED;
	/* Not frozen. If a helper that died may have done that, it was us. */
	return again ? MARK_THAWED : MARK_GONE;
}

/* Marks of what is to be thawed now. What the freezer may still be at has to wait. */
static uint32_t to_do(const struct run *run)
{
	return MARK(FROZEN) | MARK(AGAIN) | (run->freezer < 0 ? MARK(ASKED) : 0);
}

/* Take the next for oneself, last frozen first: *I, and what its mark was; else false. */
static bool claim(const struct run *run, uint32_t *i, uint8_t *was)
{
	for (*i = run->r->n; (*i)-- > 0;) {
		*was = atomic_load(&run->r->mark[*i]);
		if (to_do(run) >> *was & 1 &&
		    atomic_compare_exchange_strong(&run->r->mark[*i], was, MARK_BEGUN))
			return true;
	}
	return false;
}

/* True if there was something to do. */
static bool thaw_next(const struct run *run)
{
	uint32_t i;
	uint8_t was;

	if (!claim(run, &i, &was))
		return false;
	atomic_store(&run->r->mark[i], (uint8_t)thaw_one(run, i, was == MARK_AGAIN));
	pause_at(run->t->state, PAUSE_BETWEEN);
	return true;
}

/* ---- helpers ---- */

/*
 * Who was at them died: another thawer, or a helper. What had begun may be done. Of one
 * that only hangs the same is said, which costs a second ioctl.
 */
static void begin_again(const struct run *run)
{
	uint8_t was = MARK_BEGUN;

	for (uint32_t i = 0; i < run->r->n; i++, was = MARK_BEGUN)
		atomic_compare_exchange_strong(&run->r->mark[i], &was, MARK_AGAIN);
}

/*
 * The first helper is there before it is needed: while file systems are frozen, a fork
 * may wait for the thaw. (By its cgroup, a process is moved to other CPUs and memory.
 * The kernel lets nobody fork or end meanwhile, and waits for the process if that writes
 * to a frozen file system.)
 */
static void await_thaw(const struct run *run)
{
	uint32_t phase;

	while ((phase = atomic_load(&run->r->phase)) != PHASE_THAWING)
		syscall(SYS_futex, &run->r->phase, FUTEX_WAIT, phase, NULL);
	/* Of another freeze another thawer told its own. */
	if (atomic_load(&run->r->id) != run->id)
		_exit(0);
}

static void helper(const struct run *run, pid_t thawer)
{
	if (!fork_tie(thawer))
		_exit(EXIT_PEER_GONE);
	await_thaw(run);
	while (thaw_next(run))
		;
	_exit(0);
}

static int *free_slot(struct run *run)
{
	for (size_t i = 0; i < HELPERS_MAX; i++)
		if (run->helpers[i] < 0)
			return &run->helpers[i];
	return NULL;
}

static void start_helper(struct run *run)
{
	pid_t thawer = getpid();
	int *slot = free_slot(run);
	long pid;

	if (!slot)
		return; /* all hang: one of them has to come back first */
	pid = fork_with_pidfd(slot);
	if (pid == 0)
		helper(run, thawer);
	run->helps = pid > 0;
	run->done_ms = now_ms();
	if (pid > 0)
		return;
	*slot = -1;
	/* No memory for a process; then we may hang ourselves, after this one. */
	if (atomic_load(&run->r->phase) == PHASE_THAWING)
		thaw_next(run);
}

/* Has the helper of SLOT ended? If not by itself, what it was at is to be done. */
static bool has_ended(const struct run *run, const int *slot)
{
	siginfo_t info = {0};

	if (waitid(P_PIDFD, (id_t)*slot, &info, WEXITED | WNOHANG) == 0 && !info.si_pid)
		return false;
	if (info.si_code != CLD_EXITED || info.si_status != 0)
		begin_again(run);
	return true;
}

/* Forget those that have ended; how many there still are. */
static size_t reap(struct run *run)
{
	size_t left = 0;

	for (size_t i = 0; i < HELPERS_MAX; i++) {
		if (run->helpers[i] < 0)
			continue;
		if (has_ended(run, &run->helpers[i]))
			close_p(&run->helpers[i]);
		else
			left++;
	}
	if (!left)
		run->helps = false;
	return left;
}

/* A helper that gets nowhere has met one that hangs: leave it there. */
static void look_after(struct run *run)
{
	uint32_t done = thawer_count(run->r, MARK(THAWED) | MARK(GONE) | MARK(FAILED));
	uint64_t now = now_ms();

	if (done != run->done)
		run->done_ms = now;
	run->done = done;
	if (now - run->done_ms >= HANG_MS)
		run->helps = false;
}

/* ---- all of them ---- */

static bool move(struct run *run, uint32_t from, uint32_t to)
{
	return atomic_compare_exchange_strong(&run->r->phase, &from, to);
}

static void begin(struct run *run, enum thaw_cause cause)
{
	if (!move(run, PHASE_FREEZING, PHASE_THAWING) &&
	    !move(run, PHASE_FROZEN, PHASE_THAWING))
		return; /* it has begun already */
	atomic_store(&run->r->cause, cause);
	run->done_ms = now_ms();
	pause_at(run->t->state, PAUSE_BEGUN);
	syscall(SYS_futex, &run->r->phase, FUTEX_WAKE, INT_MAX);
	tell(run, FRAME_THAW, &schema_thaw, &(struct msg_thaw){.cause = V_INT(cause)});
}

/* Some could not be thawed: it is frozen as before, and tried again soon. */
static void fall_back(struct run *run, uint32_t failed)
{
	uint8_t was = MARK_FAILED;

	for (uint32_t i = 0; i < run->r->n; i++, was = MARK_FAILED)
		atomic_compare_exchange_strong(&run->r->mark[i], &was, MARK_FROZEN);
	run->orphaned_ms = now_ms();
	atomic_store(&run->r->deadline_ms, now_ms() + THAW_RETRY_MS);
	move(run, PHASE_THAWING, PHASE_FROZEN);
	tell(run, FRAME_THAWED, &schema_thawed,
	     &(struct msg_thawed){.failed = V_INT(failed)});
}

static void finish(struct run *run)
{
	uint32_t failed = thawer_count(run->r, MARK(FAILED));

	pause_at(run->t->state, PAUSE_DONE);
	if (failed) {
		fall_back(run, failed);
		return;
	}
	move(run, PHASE_THAWING, PHASE_THAWED);
	tell(run, FRAME_THAWED, &schema_thawed, &(struct msg_thawed){.failed = V_INT(0)});
	_exit(EXIT_CLEAN);
}

static void go_on(struct run *run)
{
	size_t left = reap(run);

	if (left)
		look_after(run);
	if (thawer_count(run->r, to_do(run))) {
		if (!run->helps)
			start_helper(run);
	} else if (!left && !thawer_count(run->r, MARK(ASKED))) {
		finish(run);
	}
}

/* ---- who orders ---- */

static void lose_worker(struct run *run)
{
	close_p(&run->worker);
	run->orphaned_ms = now_ms();
	/* At once: the next worker is not to find a freeze that nobody goes on with, and
	 * without a socket it will not find us. */
	if (atomic_load(&run->r->phase) == PHASE_FREEZING || !run->t->has_listener)
		begin(run, CAUSE_AGENT_LOST);
}

static void take_order(struct run *run)
{
	uint8_t buf[FRAME_MAX];
	struct arena none = {0};
	struct msg_thaw order;
	struct frame f;
	struct rbuf r;
	enum frame_status status = frame_recv(run->worker, buf, &f);

	frame_close_fds(&f);
	if (status == FRAME_AGAIN)
		return;
	r = rbuf_of(f.body, f.len);
	if (status != FRAME_OK || f.type != FRAME_THAW ||
	    schema_whole(&r, &schema_thaw, &none, &order) < 0)
		lose_worker(run);
	else
		begin(run, order.cause.v > 0 && order.cause.v < THAW_CAUSES
				   ? (enum thaw_cause)order.cause.v
				   : CAUSE_REQUEST);
}

/* One descriptor to the next worker. */
static bool hand_over(int sock, uint32_t n, uint64_t dev, int fd)
{
	uint8_t buf[64];
	struct wbuf body = wbuf_fixed(buf, sizeof(buf));
	enum frame_status status;
	struct frame f = {
		.type = FRAME_HOLD,
		.op = OP_fs_list,
		.request = n,
		.generation = (uint32_t)ops_hash(),
		.n_fds = 1,
		.fds = {fd, -1},
	};

	schema_put(&body, &schema_fs_held,
		   &(struct msg_fs_held){.point = v_str(""), .dev = V_U64(dev)});
	f.body = body.p;
	f.len = (uint32_t)body.len;
	while ((status = frame_send(sock, &f)) == FRAME_AGAIN)
		if (poll(&(struct pollfd){.fd = sock, .events = POLLOUT}, 1, SEND_MS) ==
		    0)
			return false;
	return status == FRAME_OK;
}

/* The next worker: it is sent all that we hold. */
static void adopt(struct run *run)
{
	CLEANUP(close_p)
	int sock = accept4(THAWER_LISTENER, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	bool good = sock >= 0 && run->worker < 0 && peer_is_trusted(sock) &&
		    hand_over(sock, run->r->n, 0, THAWER_LISTENER);

	for (uint32_t i = 0; good && i < run->r->n; i++)
		good = hand_over(sock, run->r->n, run->r->dev[i], THAWER_FIRST + (int)i);
	if (good)
		run->worker = TAKE_FD(sock);
}

/* ---- the loop ---- */

/* Is it time to thaw, though nobody said so? In how many milliseconds, else? */
static bool is_due(const struct run *run, enum thaw_cause *cause, int *wait)
{
	uint64_t now = now_ms(), deadline = atomic_load(&run->r->deadline_ms);
	uint64_t until = UINT64_MAX;

	*cause = CAUSE_AGENT_LOST;
	if (run->worker < 0)
		until = run->orphaned_ms + ADOPT_MS;
	if (deadline && deadline < until) {
		*cause = CAUSE_DEADLINE;
		until = deadline;
	}
	if (until <= now)
		return true;
	*wait = until - now > INT32_MAX ? INT32_MAX : (int)(until - now);
	return false;
}

/* Another worker has thawed what we hold, and may have begun anew. */
static bool is_over(const struct run *run)
{
	uint32_t phase = atomic_load(&run->r->phase);

	return atomic_load(&run->r->id) != run->id || phase == PHASE_NONE ||
	       phase == PHASE_THAWED;
}

/* What to do next by the record; for how long there is nothing else, in milliseconds. */
static int turn(struct run *run)
{
	enum thaw_cause cause;
	int wait = TICK_MS;

	if (is_over(run))
		_exit(EXIT_CLEAN);
	if (atomic_load(&run->r->phase) == PHASE_THAWING)
		go_on(run);
	else if (is_due(run, &cause, &wait))
		begin(run, cause);
	else if (!reap(run))
		start_helper(run);
	return wait;
}

static void wait_for(struct run *run, int ms)
{
	struct pollfd p[3 + HELPERS_MAX] = {
		{.fd = run->worker, .events = POLLIN},
		{.fd = run->t->has_listener ? THAWER_LISTENER : -1, .events = POLLIN},
		{.fd = run->freezer, .events = 0},
	};

	/* That one has ended is seen in the next turn. */
	for (size_t i = 0; i < HELPERS_MAX; i++)
		p[3 + i] = (struct pollfd){.fd = run->helpers[i], .events = POLLIN};
	if (poll(p, ARRAY_SIZE(p), ms) <= 0)
		return;
	/* The old worker before the new one. */
	if (p[0].revents)
		take_order(run);
	if (p[1].revents)
		adopt(run);
	if (p[2].revents)
		run->freezer = -1;
}

_Noreturn void thawer_run(const struct thawer *t)
{
	struct run run = {
		.t = t,
		.r = &t->state->freeze,
		.id = atomic_load(&t->state->freeze.id),
		.worker = THAWER_WORKER,
		.freezer = t->has_freezer ? THAWER_FREEZER : -1,
	};

	for (size_t i = 0; i < HELPERS_MAX; i++)
		run.helpers[i] = -1;
	/* Its few pages stay: what it needs must not come from a disk that is full or
	 * gone. Where that is not allowed, it does without. */
	mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT);
	begin_again(&run);
	for (;;)
		wait_for(&run, turn(&run));
}
