/*
 * tests/lib/simclock.h - a clock that stands still until the test lets time pass
 *
 * Runs in:   unit tests; included by one source of a test only
 * Input:     none
 * May touch: what the program takes for clock_gettime(2), timerfd_create(2) and
 *            timerfd_settime(2): an executable's own functions go before those of libc
 * Must not:  be needed by anything that sleeps
 *
 * simclock_pass() goes from one deadline to the next. A timer that is due fires by the
 * real system call, so that loops notice in the way they always do; then the test's TURN
 * is to run them until nothing is ready.
 */
#ifndef POSTERN_TESTS_SIMCLOCK_H
#define POSTERN_TESTS_SIMCLOCK_H

#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define SIMCLOCK_FDS 1024
/* The real time lies so far ahead of the monotonic one. */
#define SIMCLOCK_EPOCH_S 1700000000

static struct simclock {
	uint64_t now_ms;
	uint64_t due_ms[SIMCLOCK_FDS]; /* of each timer; 0: it is not armed */
	uint64_t fired;                /* timers, so far */
} simclock = {.now_ms = 1000000};

/* By these names everybody calls them. */
int simclock_gettime(clockid_t id, struct timespec *ts) __asm__("clock_gettime");
int simclock_timer(clockid_t id, int flags) __asm__("timerfd_create");
int simclock_set(int fd, int flags, const struct itimerspec *when,
		 struct itimerspec *old) __asm__("timerfd_settime");

int simclock_gettime(clockid_t id, struct timespec *ts)
{
	if (id != CLOCK_MONOTONIC && id != CLOCK_REALTIME)
		return (int)syscall(SYS_clock_gettime, id, ts);
	ts->tv_sec = (time_t)(simclock.now_ms / 1000);
	ts->tv_nsec = (long)(simclock.now_ms % 1000) * 1000000;
	if (id == CLOCK_REALTIME)
		ts->tv_sec += SIMCLOCK_EPOCH_S;
	return 0;
}

int simclock_timer(clockid_t id, int flags)
{
	int fd = (int)syscall(SYS_timerfd_create, id, flags);

	if (fd >= SIMCLOCK_FDS)
		abort();
	if (fd >= 0)
		simclock.due_ms[fd] = 0;
	return fd;
}

int simclock_set(int fd, int flags, const struct itimerspec *when, struct itimerspec *old)
{
	const struct timespec *in = &when->it_value;
	const struct itimerspec never = {0};

	/* Others than ipc/loop.c arms them are not known here. */
	if (fd < 0 || fd >= SIMCLOCK_FDS || flags || when->it_interval.tv_sec ||
	    when->it_interval.tv_nsec)
		abort();
	if (old)
		*old = never;
	simclock.due_ms[fd] = 0;
	if (in->tv_sec || in->tv_nsec)
		simclock.due_ms[fd] = simclock.now_ms + (uint64_t)in->tv_sec * 1000 +
				      ((uint64_t)in->tv_nsec + 999999) / 1000000;
	/* One that has fired and was not read is armed anew, or not at all. */
	return (int)syscall(SYS_timerfd_settime, fd, 0, &never, NULL);
}

/* Make FD readable. */
static inline void simclock_fire(int fd)
{
	const struct itimerspec now = {.it_value.tv_nsec = 1};
	struct pollfd p = {.fd = fd, .events = POLLIN};

	simclock.due_ms[fd] = 0;
	simclock.fired++;
	if (syscall(SYS_timerfd_settime, fd, 0, &now, NULL) < 0 || poll(&p, 1, 5000) != 1)
		abort();
}

/* The timer that is due next; -1: none is armed. */
static inline int simclock_next(void)
{
	int next = -1;

	for (int fd = 0; fd < SIMCLOCK_FDS; fd++)
		if (simclock.due_ms[fd] &&
		    (next < 0 || simclock.due_ms[fd] < simclock.due_ms[next]))
			next = fd;
	return next;
}

/* Let MS pass. TURN(ARG) is called after each timer that fires, and at the end. */
static inline void simclock_pass(uint64_t ms, void (*turn)(void *arg), void *arg)
{
	const uint64_t end = simclock.now_ms + ms;
	int fd;

	while ((fd = simclock_next()) >= 0 && simclock.due_ms[fd] <= end) {
		if (simclock.due_ms[fd] > simclock.now_ms)
			simclock.now_ms = simclock.due_ms[fd];
		simclock_fire(fd);
		turn(arg);
	}
	simclock.now_ms = end;
	turn(arg);
}

#endif
