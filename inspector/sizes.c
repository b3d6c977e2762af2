/*
 * inspector/sizes.c - byte counts of mounts, asked by a process that may hang
 *
 * Runs in:   inspector; the asking in a child of it
 * Input:     mount points: any bytes; what their file systems answer
 * May touch: the mount points, by statfs; the arena
 * Must not:  wait long for a file system that does not answer
 */
#include "inspector/sizes.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "inspector/mounts.h"

/*
 * A child that one call holds for longer than ALARM_S ends by itself: in a call that
 * signals do not end, as soon as that returns. So it never goes on after its parent,
 * which waits a little longer, has given it up.
 */
#define ALARM_S     1
#define TICK_MS     100
#define HANG_TICKS  12
#define TOTAL_TICKS 60

/* What parent and children share. */
struct walk {
	_Atomic uint32_t at; /* the mount that is asked now */
	_Atomic bool stop;   /* nobody waits any more */
	struct size size[];
};

static size_t walk_len(uint32_t n)
{
	return sizeof(struct walk) + n * sizeof(struct size);
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

static bool is_hung(const struct hung_set *set, const struct mount *m)
{
	for (uint32_t i = 0; i < set->n; i++) {
		const struct hung *h = &set->v[i];

		if (h->mount == m->id || (h->whole && h->dev == m->dev))
			return true;
	}
	return false;
}

/*
 * No descriptor of the parent's may stay: the worker sees by the end of the socket that
 * the inspector died.
 */
static _Noreturn void walk_on(const struct inspector *in, const struct mount *m,
			      uint32_t n, struct walk *w)
{
	struct statfs st;

	if (close_range(STDERR_FILENO + 1, ~0u, 0) < 0)
		_exit(1);
	for (uint32_t i = w->at; i < n && !w->stop; i++) {
		w->at = i;
		if (is_hung(&in->hung, &m[i]))
			continue;
		alarm(ALARM_S);
		if (in->sys.ops->statfs(&in->sys, m[i].point.p, &st) == 0)
			w->size[i].known = to_bytes(&st, &w->size[i]);
	}
	_exit(0);
}

/* ---- in the parent ---- */

static void forget_ended(struct hung_set *set)
{
	for (uint32_t i = set->n; i-- > 0;) {
		struct hung *h = &set->v[i];
		siginfo_t info = {0};

		if (waitid(P_PIDFD, (id_t)h->pidfd, &info, WEXITED | WNOHANG) == 0 &&
		    !info.si_pid)
			continue;
		close(h->pidfd);
		*h = set->v[--set->n];
	}
}

static void note(struct inspector *in, struct v_str text)
{
	if (in->note && text.set)
		in->note(in, text);
}

/* True when the child has ended, false when it hangs or TICKS reaches the total. */
static bool wait_for(int pidfd, const struct walk *w, unsigned int *ticks)
{
	struct pollfd child = {.fd = pidfd, .events = POLLIN};
	unsigned int idle = 0;
	uint32_t last = w->at;

	while (idle < HANG_TICKS && *ticks < TOTAL_TICKS) {
		uint32_t at;

		if (poll(&child, 1, TICK_MS) > 0)
			return true;
		++*ticks;
		at = w->at;
		idle = at == last ? idle + 1 : 0;
		last = at;
	}
	return false;
}

/* A device of which another mount has answered is not what hangs. */
static bool none_answered(const struct walk *w, const struct mount *m, uint32_t at)
{
	for (uint32_t i = 0; i < at; i++)
		if (m[i].dev == m[at].dev && w->size[i].known)
			return false;
	return true;
}

static void leave_behind(struct hung_set *set, int pidfd, const struct walk *w,
			 const struct mount *m, uint32_t at)
{
	set->v[set->n++] = (struct hung){
		.pidfd = pidfd,
		.mount = m[at].id,
		.dev = m[at].dev,
		.whole = none_answered(w, m, at),
	};
}

/* True: a call lasted too long and was ended; another child can go on after it. */
static bool ended_by_alarm(int pidfd)
{
	siginfo_t info = {0};

	return waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED) == 0 &&
	       info.si_code == CLD_KILLED && info.si_status == SIGALRM;
}

/* One child from W->at on. True if another can go on after the mount it hung at. */
static bool one_child(struct inspector *in, const struct mount *m, uint32_t n,
		      struct walk *w, unsigned int *ticks)
{
	CLEANUP(close_p) int pidfd = -1;
	long pid = syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, NULL, &pidfd, NULL, NULL);
	uint32_t at;

	if (pid == 0)
		walk_on(in, m, n, w);
	if (pid < 0) {
		note(in, inspect_text(in, "no byte counts: fork: %s", strerror(errno)));
		return false;
	}
	if (!wait_for(pidfd, w, ticks)) {
		at = (uint32_t)min_size(w->at, n - 1);
		leave_behind(&in->hung, TAKE_FD(pidfd), w, m, at);
	} else if (ended_by_alarm(pidfd)) {
		at = (uint32_t)min_size(w->at, n - 1);
	} else {
		return false;
	}
	note(in, inspect_text(in, "processes left behind: %u; statfs of %s hangs",
			      in->hung.n, m[at].point.p));
	w->at = at + 1;
	return true;
}

const struct size *sizes_get(struct inspector *in, const struct mount *m, uint32_t n)
{
	struct size *sizes = arena_take(&in->arena, n * sizeof(*sizes));
	unsigned int ticks = 0;
	struct walk *w;

	if (!sizes || !n)
		return sizes;
	w = mmap(NULL, walk_len(n), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		 -1, 0);
	if (w == MAP_FAILED)
		return sizes;
	forget_ended(&in->hung);
	while (w->at < n && in->hung.n < HUNG_MAX && ticks < TOTAL_TICKS &&
	       one_child(in, m, n, w, &ticks))
		;
	w->stop = true;
	memcpy(sizes, w->size, n * sizeof(*sizes));
	munmap(w, walk_len(n));
	return sizes;
}
