/*
 * ipc/loop.c - one epoll loop per process
 *
 * Runs in:   all processes
 * Input:     readiness of descriptors; signals by signalfd, time by timerfd
 * May touch: descriptors registered with it
 * Must not:  exit the process, own a descriptor that it did not create
 */
#include "ipc/loop.h"

#include <string.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <time.h>

int loop_init(struct loop *l)
{
	*l = (struct loop){.epfd = epoll_create1(EPOLL_CLOEXEC)};
	return l->epfd < 0 ? -1 : 0;
}

void loop_done(struct loop *l)
{
	close_p(&l->epfd);
}

int loop_add(struct loop *l, struct source *s, int fd, uint32_t events, source_fn *fn)
{
	struct epoll_event ev = {.events = events, .data.ptr = s};

	if (epoll_ctl(l->epfd, EPOLL_CTL_ADD, fd, &ev) < 0)
		return -1;
	*s = (struct source){.fd = fd, .events = events, .fn = fn};
	return 0;
}

int loop_events(struct loop *l, struct source *s, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = s};

	if (s->events == events)
		return 0;
	if (epoll_ctl(l->epfd, EPOLL_CTL_MOD, s->fd, &ev) < 0)
		return -1;
	s->events = events;
	return 0;
}

void loop_remove(struct loop *l, struct source *s)
{
	/* Explicitly, since a duplicate elsewhere would keep a closed one registered. */
	if (s->fd >= 0 && s->fn)
		epoll_ctl(l->epfd, EPOLL_CTL_DEL, s->fd, NULL);
	*s = (struct source){.fd = -1};
}

int loop_run(struct loop *l)
{
	struct epoll_event ev;

	while (!l->stop) {
		/* One at a time: whatever a callback frees, no event for it is held. */
		int n = epoll_wait(l->epfd, &ev, 1, -1);
		struct source *s = ev.data.ptr;
		int r;

		if (n < 0 && errno != EINTR)
			return -1;
		if (n <= 0)
			continue;
		r = s->fn(s, ev.events);
		if (r < 0)
			return r;
	}
	return l->result;
}

void loop_stop(struct loop *l, int result)
{
	l->stop = true;
	l->result = result;
}

static int timer_fired(struct source *s, uint32_t events)
{
	struct timer *t = CONTAINER_OF(s, struct timer, source);
	uint64_t expirations;

	(void)events;
	/* Disarmed after the event was queued: nothing to read, nothing to do. */
	if (read(s->fd, &expirations, sizeof(expirations)) != sizeof(expirations))
		return 0;
	t->armed = false;
	return t->fn(t);
}

int timer_init(struct loop *l, struct timer *t, int (*fn)(struct timer *t))
{
	CLEANUP(close_p)
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

	*t = (struct timer){.source.fd = -1, .fn = fn};
	if (fd < 0 || loop_add(l, &t->source, fd, EPOLLIN, timer_fired) < 0)
		return -1;
	TAKE_FD(fd);
	return 0;
}

static int timer_set(struct timer *t, const struct itimerspec *when)
{
	return timerfd_settime(t->source.fd, 0, when, NULL);
}

int timer_arm_ms(struct timer *t, uint64_t ms)
{
	/* Zero would disarm; the least that fires is a nanosecond. */
	struct itimerspec when = {
		.it_value.tv_sec = (time_t)(ms / 1000),
		.it_value.tv_nsec = ms ? (long)(ms % 1000) * 1000000 : 1,
	};

	t->armed = true;
	return timer_set(t, &when);
}

int timer_disarm(struct timer *t)
{
	if (!t->armed)
		return 0;
	t->armed = false;
	return timer_set(t, &(struct itimerspec){0});
}

void timer_done(struct loop *l, struct timer *t)
{
	int fd = t->source.fd;

	loop_remove(l, &t->source);
	close_p(&fd);
}

uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

int signal_fd(const sigset_t *set)
{
	if (sigprocmask(SIG_BLOCK, set, NULL) < 0)
		return -1;
	return signalfd(-1, set, SFD_CLOEXEC | SFD_NONBLOCK);
}
