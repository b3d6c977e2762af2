/*
 * inspector/sizes.c - byte counts of mounts, asked by a process that may hang
 *
 * Runs in:   inspector; the asking in a child of it
 * Input:     mount points: any bytes; what their file systems answer
 * May touch: the mount points, by statfs; the arena
 * Must not:  wait long for a file system that does not answer
 */
#include "inspector/sizes.h"

#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "inspector/mounts.h"
#include "ipc/loop.h"

/*
 * A child that one call holds for longer than ALARM_S ends by itself: in a call that
 * signals do not end, as soon as that returns. So it never goes on after its parent,
 * which waits a little longer, has given it up. The alarm is set anew for a call that
 * begins REARM_MS after it was set, so it comes up to that much early.
 */
#define ALARM_S    1
#define REARM_MS   100
#define TICK_MS    100
#define HANG_TICKS 12
#define TOTAL_MS   6000
/* One that ended after so long at one call was ended for it. */
#define SLOW_TICKS 5

#define WINDOW_LEN (16 * 1024)

/* Whose turn it is: a futex, on which the other one sleeps. */
enum turn {
	TURN_PARENT, /* nothing is asked, or all is answered */
	TURN_CHILD,
	TURN_NOBODY, /* the child went, or is to: nobody waits for it any more */
};

/* One mount in a window, behind it the next. */
struct entry {
	struct size size;
	uint32_t len; /* of all this, for the child; who has asked knows it */
	char path[];
};

/* What parent and child share: as many mounts as fit. */
struct window {
	_Atomic uint32_t turn;
	_Atomic uint32_t answered; /* how many of them */
	uint32_t n;
	_Alignas(struct entry) char entries[];
};

#define ENTRIES_LEN (WINDOW_LEN - offsetof(struct window, entries))

static struct entry *first(struct window *w)
{
	return (struct entry *)(void *)w->entries;
}

static struct entry *after(struct entry *e, size_t len)
{
	return (struct entry *)(void *)((char *)e + len);
}

static bool pass(struct window *w, enum turn from, enum turn to)
{
	uint32_t turn = from;

	return atomic_compare_exchange_strong(&w->turn, &turn, to);
}

/* True when MS have passed. Returns early, for no reason at all, as well. */
static bool sleep_while(struct window *w, enum turn turn, unsigned int ms)
{
	const struct timespec limit = {.tv_sec = ms / 1000,
				       .tv_nsec = ms % 1000 * 1000000L};

	return syscall(SYS_futex, &w->turn, FUTEX_WAIT, turn, &limit, NULL, 0) < 0 &&
	       errno == ETIMEDOUT;
}

static bool wake(struct window *w)
{
	return syscall(SYS_futex, &w->turn, FUTEX_WAKE, 1, NULL, NULL, 0) > 0;
}

/* ---- in the child ---- */

static bool to_bytes(const struct statfs *st, struct size *s)
{
	uint64_t unit = (uint64_t)(st->f_frsize ? st->f_frsize : st->f_bsize);
	uint64_t used, available;

	return !__builtin_sub_overflow(st->f_blocks, st->f_bfree, &used) &&
	       !__builtin_mul_overflow(used, unit, &s->used) &&
	       !__builtin_mul_overflow(st->f_bavail, unit, &available) &&
	       !__builtin_add_overflow(s->used, available, &s->total) &&
	       !__builtin_mul_overflow(st->f_blocks, unit, &s->privileged);
}

/* False: nobody waits any more. */
static bool answer(const struct inspector *in, struct window *w)
{
	struct entry *e = first(w);
	uint64_t armed = 0;
	struct statfs st;

	for (uint32_t i = 0; i < w->n; i++, e = after(e, e->len)) {
		uint64_t now = now_ms();

		if (w->turn != TURN_CHILD)
			return false;
		if (!i || now - armed >= REARM_MS) {
			alarm(ALARM_S);
			armed = now;
		}
		if (in->sys.ops->statfs(&in->sys, e->path, &st) == 0)
			e->size.known = to_bytes(&st, &e->size);
		w->answered = i + 1;
	}
	alarm(0);
	if (!pass(w, TURN_CHILD, TURN_PARENT))
		return false;
	wake(w);
	return true;
}

/* False: there was no question for SIZES_IDLE_S, and there will be none. */
static bool wait_for_question(struct window *w)
{
	while (w->turn == TURN_PARENT)
		if (sleep_while(w, TURN_PARENT, SIZES_IDLE_S * 1000) &&
		    pass(w, TURN_PARENT, TURN_NOBODY))
			return false;
	return true;
}

/*
 * No descriptor of the parent's may stay: the worker sees by the end of the socket that
 * the inspector died. With it goes its child.
 */
static _Noreturn void be_child(const struct inspector *in, struct window *w)
{
	if (close_range(STDERR_FILENO + 1, ~0u, 0) < 0 ||
	    prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		_exit(1);
	while (wait_for_question(w) && answer(in, w))
		;
	_exit(0);
}

/* ---- in the parent: the child ---- */

/* If it was not ours to wait for any more it has ended as well. */
static bool has_ended(int pidfd)
{
	siginfo_t info = {0};

	return waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG) < 0 || info.si_pid;
}

static void note(struct inspector *in, struct v_str text)
{
	if (in->note && text.set)
		in->note(in, text);
}

static void forget_ended(struct hung_set *set)
{
	for (uint32_t i = set->n; i-- > 0;) {
		struct hung *h = &set->v[i];

		if (!has_ended(h->pidfd))
			continue;
		close(h->pidfd);
		*h = set->v[--set->n];
	}
}

static bool is_hung(const struct hung_set *set, const struct mount *m)
{
	for (uint32_t i = 0; i < set->n; i++) {
		const struct hung *h = &set->v[i];

		if (h->mount == m->id || (h->whole && h->dev == m->dev))
			return true;
	}
	return false;
}

/* A window is that of one child, which may write to it for as long as it lives. */
static struct window *window_of(struct sizer *s)
{
	void *p;

	if (s->window)
		return s->window;
	p = mmap(NULL, WINDOW_LEN, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		 0);
	s->window = p == MAP_FAILED ? NULL : p;
	return s->window;
}

static void forget_child(struct sizer *s)
{
	if (s->running)
		close(s->pidfd);
	s->running = false;
}

static int start_child(struct inspector *in)
{
	struct sizer *s = &in->sizer;
	long pid;

	forget_child(s);
	pid = syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, NULL, &s->pidfd, NULL, NULL);
	if (pid == 0)
		be_child(in, s->window);
	if (pid < 0)
		note(in, inspect_text(in, "no byte counts: fork: %s", strerror(errno)));
	s->running = pid > 0;
	return s->running ? 0 : -1;
}

/* What is in the window goes to the child, or to a new one where it has gone. */
static int ask_child(struct inspector *in)
{
	struct sizer *s = &in->sizer;
	bool there = s->running && pass(s->window, TURN_PARENT, TURN_CHILD);

	if (there && (wake(s->window) || !has_ended(s->pidfd)))
		return 0;
	s->window->turn = TURN_CHILD;
	return start_child(in);
}

/* ---- in the parent: questions ---- */

enum outcome {
	ANSWERED,
	HANGS,  /* at the mount behind those that have answered */
	SLOW,   /* it was, and has ended for it */
	KILLED, /* has ended, by somebody */
};

static enum outcome wait_for(const struct sizer *s, uint64_t end)
{
	struct window *w = s->window;
	uint32_t last = w->answered;
	unsigned int idle = 0;

	while (w->turn == TURN_CHILD) {
		uint32_t answered;

		if (!sleep_while(w, TURN_CHILD, TICK_MS))
			continue;
		answered = w->answered;
		idle = answered == last ? idle + 1 : 0;
		last = answered;
		if (has_ended(s->pidfd))
			return idle < SLOW_TICKS ? KILLED : SLOW;
		if (idle >= HANG_TICKS || now_ms() >= end)
			return pass(w, TURN_CHILD, TURN_NOBODY) ? HANGS : ANSWERED;
	}
	return ANSWERED;
}

/* No call takes a longer path. */
static bool is_asked(const struct inspector *in, const struct mount *m)
{
	return m->point.len < PATH_MAX && !is_hung(&in->hung, m);
}

static size_t entry_len(const struct mount *m)
{
	const size_t align = _Alignof(struct entry);

	return (sizeof(struct entry) + m->point.len + 1 + align - 1) & ~(align - 1);
}

/* The mounts from FROM on that are not known to hang, as far as they fit; *TO: the next.
 * False: there are none. */
static bool fill(struct window *w, const struct inspector *in, const struct mount *m,
		 uint32_t n, uint32_t from, uint32_t *to)
{
	size_t room = ENTRIES_LEN;
	struct entry *e = first(w);
	uint32_t asked = 0;

	for (*to = from; *to < n; ++*to) {
		const size_t len = entry_len(&m[*to]);

		if (!is_asked(in, &m[*to]))
			continue;
		if (len > room)
			break;
		*e = (struct entry){.len = (uint32_t)len};
		memcpy(e->path, m[*to].point.p, m[*to].point.len + 1);
		e = after(e, len);
		room -= len;
		asked++;
	}
	w->n = asked;
	w->answered = 0;
	return asked;
}

/*
 * What has been answered of the mounts from FROM up to TO; the one at which that ended.
 * Where an answer stands is not read from memory that the child can write to.
 */
static uint32_t take(const struct inspector *in, struct window *w, const struct mount *m,
		     uint32_t from, uint32_t to, struct size *sizes)
{
	const uint32_t answered = w->answered;
	struct entry *e = first(w);
	uint32_t at = from, i = 0;

	for (uint32_t k = from; k < to; k++) {
		if (!is_asked(in, &m[k]))
			continue;
		at = k;
		if (i++ == answered)
			break;
		sizes[k] = e->size;
		e = after(e, entry_len(&m[k]));
	}
	return at;
}

/* A device of which another mount has answered is not what hangs. */
static bool none_answered(const struct size *sizes, const struct mount *m, uint32_t at)
{
	for (uint32_t i = 0; i < at; i++)
		if (m[i].dev == m[at].dev && sizes[i].known)
			return false;
	return true;
}

/* It keeps its window, the next child gets another. */
static void leave_behind(struct inspector *in, const struct size *sizes,
			 const struct mount *m, uint32_t at)
{
	in->hung.v[in->hung.n++] = (struct hung){
		.pidfd = in->sizer.pidfd,
		.mount = m[at].id,
		.dev = m[at].dev,
		.whole = none_answered(sizes, m, at),
	};
	munmap(in->sizer.window, WINDOW_LEN);
	in->sizer = (struct sizer){0};
}

/* What one request has used of its bounds. */
struct spent {
	uint64_t end; /* when its time is over */
	bool killed;  /* a child was, by somebody */
};

/* Once, what it was asked is asked again. */
static bool accident(struct inspector *in, struct spent *spent)
{
	bool again = !spent->killed;

	spent->killed = true;
	if (!again)
		note(in, inspect_text(in, "no byte counts: the child was killed"));
	return again;
}

/* One window full from *AT on. False: no more can be asked. */
static bool ask(struct inspector *in, const struct mount *m, uint32_t n, uint32_t *at,
		struct size *sizes, struct spent *spent)
{
	struct window *w = window_of(&in->sizer);
	const uint32_t from = *at;
	enum outcome outcome;
	uint32_t stuck;

	if (!w)
		return false;
	if (!fill(w, in, m, n, from, at))
		return true;
	if (ask_child(in) < 0)
		return false;
	outcome = wait_for(&in->sizer, spent->end);
	stuck = take(in, w, m, from, *at, sizes);
	if (outcome == ANSWERED)
		return true;
	if (outcome == HANGS)
		leave_behind(in, sizes, m, stuck);
	else
		forget_child(&in->sizer);
	if (outcome == KILLED) {
		*at = stuck;
		return accident(in, spent);
	}
	*at = stuck + 1;
	note(in, inspect_text(in, "processes left behind: %u; statfs of %s hangs",
			      in->hung.n, m[stuck].point.p));
	return true;
}

const struct size *sizes_get(struct inspector *in, const struct mount *m, uint32_t n)
{
	struct size *sizes = arena_take(&in->arena, n * sizeof(*sizes));
	struct spent spent = {.end = now_ms() + TOTAL_MS};
	uint32_t at = 0;

	if (!sizes || !n)
		return sizes;
	forget_ended(&in->hung);
	while (at < n && in->hung.n < HUNG_MAX && now_ms() < spent.end &&
	       ask(in, m, n, &at, sizes, &spent))
		;
	return sizes;
}
