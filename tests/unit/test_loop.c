/*
 * tests/unit/test_loop.c - sources, timers, signals, and their removal at any time
 *
 * Runs in:   a test
 * Input:     pipes, eventfds and signals of its own
 * May touch: itself
 * Must not:  measure time: that a timer fires is tested, not when
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>

#include "ipc/loop.h"

/* A source that counts, and then does what the test wants. */
struct probe {
	struct source source;
	struct loop *loop;
	int fd;
	int calls;
	struct probe *victim; /* to be removed by the callback */
	bool frees;           /* ... and freed */
	int result;
};

struct fixture {
	struct loop loop;
	struct probe a, b;
};

static void probe_close(struct probe *p)
{
	loop_remove(p->loop, &p->source);
	close_p(&p->fd);
}

static int probe_event(struct source *s, uint32_t events)
{
	struct probe *p = CONTAINER_OF(s, struct probe, source);
	struct probe *victim = p->victim;
	bool frees = p->frees;
	int result = p->result;

	assert_true(events & EPOLLIN);
	p->calls++;
	if (victim) {
		probe_close(victim);
		if (frees)
			free(victim);
	}
	return result;
}

/* FD with one event pending. */
static void probe_open(struct fixture *f, struct probe *p, int result)
{
	*p = (struct probe){.loop = &f->loop, .fd = eventfd(1, EFD_CLOEXEC)};
	p->result = result;
	assert_int_equal(loop_add(&f->loop, &p->source, p->fd, EPOLLIN, probe_event), 0);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->a.fd = f->b.fd = -1;
	f->a.source.fd = f->b.source.fd = -1;
	f->a.loop = f->b.loop = &f->loop;
	*state = f;
	return loop_init(&f->loop);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	probe_close(&f->a);
	probe_close(&f->b);
	loop_done(&f->loop);
	free(f);
	return 0;
}

static void negative_result_ends(void **state)
{
	struct fixture *f = *state;

	probe_open(f, &f->a, -7);
	assert_int_equal(loop_run(&f->loop), -7);
	assert_int_equal(f->a.calls, 1);
	/* The loop can go on afterwards. */
	assert_int_equal(loop_run(&f->loop), -7);
	assert_int_equal(f->a.calls, 2);
}

static int stop_at_three(struct source *s, uint32_t events)
{
	struct probe *p = CONTAINER_OF(s, struct probe, source);

	(void)events;
	if (++p->calls == 3)
		loop_stop(p->loop, 42);
	return 0;
}

static void stop_gives_its_result(void **state)
{
	struct fixture *f = *state;

	probe_open(f, &f->a, 0);
	f->a.source.fn = stop_at_three;
	assert_int_equal(loop_run(&f->loop), 42);
	assert_int_equal(f->a.calls, 3);
	/* Stopped is stopped. */
	assert_int_equal(loop_run(&f->loop), 42);
	assert_int_equal(f->a.calls, 3);
}

/* Both are ready; whichever runs first removes the other, which must not run then. */
static void remove_the_other(void **state)
{
	struct fixture *f = *state;

	probe_open(f, &f->a, -1);
	probe_open(f, &f->b, -1);
	f->a.victim = &f->b;
	f->b.victim = &f->a;
	assert_int_equal(loop_run(&f->loop), -1);
	assert_int_equal(f->a.calls + f->b.calls, 1);
	assert_int_equal((f->a.fd < 0) + (f->b.fd < 0), 1);
}

static void remove_and_free_itself(void **state)
{
	struct fixture *f = *state;
	struct probe *p = calloc(1, sizeof(*p));

	probe_open(f, p, -5);
	p->victim = p;
	p->frees = true;
	assert_int_equal(loop_run(&f->loop), -5);
	assert_int_equal(epoll_wait(f->loop.epfd, &(struct epoll_event){0}, 1, 0), 0);
}

/* A duplicate keeps the description alive, and with it what epoll knows. */
static void removal_outlives_a_duplicate(void **state)
{
	struct fixture *f = *state;
	int twin;

	probe_open(f, &f->a, 0);
	twin = fcntl(f->a.fd, F_DUPFD_CLOEXEC, 0);
	assert_true(twin >= 0);
	probe_close(&f->a);
	assert_int_equal(epoll_wait(f->loop.epfd, &(struct epoll_event){0}, 1, 0), 0);
	close(twin);
}

static void remove_is_harmless(void **state)
{
	struct fixture *f = *state;
	struct source never = {.fd = -1};
	struct source zeroed = {0};

	probe_open(f, &f->a, 0);
	loop_remove(&f->loop, &f->a.source);
	assert_int_equal(f->a.source.fd, -1);
	loop_remove(&f->loop, &f->a.source);
	loop_remove(&f->loop, &never);
	loop_remove(&f->loop, &zeroed);
	assert_int_equal(zeroed.fd, -1);
	/* The descriptor stays the caller's. */
	assert_true(fcntl(f->a.fd, F_GETFD) >= 0);
}

static void add_reports_failure(void **state)
{
	struct fixture *f = *state;
	struct source s = {.fd = -1};

	assert_int_equal(loop_add(&f->loop, &s, -1, EPOLLIN, probe_event), -1);
	assert_int_equal(errno, EBADF);
	assert_int_equal(s.fd, -1);
	assert_null(s.fn);
}

static void change_of_events(void **state)
{
	struct fixture *f = *state;
	struct epoll_event ev;

	probe_open(f, &f->a, 0);
	assert_int_equal(loop_events(&f->loop, &f->a.source, 0), 0);
	assert_int_equal(epoll_wait(f->loop.epfd, &ev, 1, 0), 0);
	assert_int_equal(loop_events(&f->loop, &f->a.source, EPOLLIN | EPOLLOUT), 0);
	assert_int_equal(epoll_wait(f->loop.epfd, &ev, 1, 0), 1);
	assert_int_equal(ev.events, EPOLLIN | EPOLLOUT);
	assert_ptr_equal(ev.data.ptr, &f->a.source);
}

/* ---- timers ---- */

struct clock {
	struct timer timer;
	struct loop *loop;
	int calls;
	int rearm; /* that often, from within the callback */
};

static int tick(struct timer *t)
{
	struct clock *c = CONTAINER_OF(t, struct clock, timer);

	c->calls++;
	assert_false(t->armed);
	if (c->rearm-- > 0)
		return timer_arm_ms(t, 0);
	loop_stop(c->loop, 1);
	return 0;
}

static void clock_open(struct fixture *f, struct clock *c)
{
	*c = (struct clock){.loop = &f->loop};
	assert_int_equal(timer_init(&f->loop, &c->timer, tick), 0);
}

static void clock_close(struct clock *c)
{
	timer_done(c->loop, &c->timer);
	assert_int_equal(c->timer.source.fd, -1);
}

static void fires_at_once(void **state)
{
	struct fixture *f = *state;
	struct clock c;

	clock_open(f, &c);
	assert_int_equal(timer_arm_ms(&c.timer, 0), 0);
	assert_true(c.timer.armed);
	assert_int_equal(loop_run(&f->loop), 1);
	assert_int_equal(c.calls, 1);
	assert_false(c.timer.armed);
	clock_close(&c);
}

static void fires_once_each_time(void **state)
{
	struct fixture *f = *state;
	struct clock c;

	clock_open(f, &c);
	c.rearm = 3;
	timer_arm_ms(&c.timer, 1);
	assert_int_equal(loop_run(&f->loop), 1);
	assert_int_equal(c.calls, 4);
	clock_close(&c);
}

static void arming_again_replaces(void **state)
{
	struct fixture *f = *state;
	struct clock c;

	clock_open(f, &c);
	timer_arm_ms(&c.timer, 24ull * 3600 * 1000);
	timer_arm_ms(&c.timer, 0);
	assert_int_equal(loop_run(&f->loop), 1);
	assert_int_equal(c.calls, 1);
	clock_close(&c);
}

/* Not even when it has run out already, and the loop only has not come to it. */
static void disarmed_does_not_fire(void **state)
{
	struct fixture *f = *state;
	struct clock c, end;
	struct epoll_event ev;

	clock_open(f, &c);
	clock_open(f, &end);
	timer_arm_ms(&c.timer, 0);
	assert_int_equal(epoll_wait(f->loop.epfd, &ev, 1, -1), 1);
	assert_int_equal(timer_disarm(&c.timer), 0);
	assert_false(c.timer.armed);
	/* An event that was taken from the queue before counts for nothing. */
	assert_int_equal(c.timer.source.fn(&c.timer.source, EPOLLIN), 0);
	timer_arm_ms(&end.timer, 0);
	assert_int_equal(loop_run(&f->loop), 1);
	assert_int_equal(c.calls, 0);
	assert_int_equal(end.calls, 1);
	assert_int_equal(timer_disarm(&c.timer), 0);
	clock_close(&c);
	clock_close(&end);
}

static void clock_only_rises(void **state)
{
	uint64_t before = now_ms();

	(void)state;
	assert_true(before > 0);
	assert_true(now_ms() >= before);
}

/* ---- signals ---- */

static void signals_come_by_descriptor(void **state)
{
	struct signalfd_siginfo info;
	sigset_t set;
	CLEANUP(close_p) int fd = -1;

	(void)state;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	fd = signal_fd(&set);
	assert_true(fd >= 0);
	assert_int_equal(read(fd, &info, sizeof(info)), -1);
	assert_int_equal(errno, EAGAIN);
	/* Would end the process if it were not blocked. */
	kill(getpid(), SIGUSR1);
	assert_int_equal(read(fd, &info, sizeof(info)), sizeof(info));
	assert_int_equal(info.ssi_signo, SIGUSR1);
}

int main(void)
{
#define WITH_LOOP(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	static const struct CMUnitTest tests[] = {
		WITH_LOOP(negative_result_ends),
		WITH_LOOP(stop_gives_its_result),
		WITH_LOOP(remove_the_other),
		WITH_LOOP(remove_and_free_itself),
		WITH_LOOP(removal_outlives_a_duplicate),
		WITH_LOOP(remove_is_harmless),
		WITH_LOOP(add_reports_failure),
		WITH_LOOP(change_of_events),
		WITH_LOOP(fires_at_once),
		WITH_LOOP(fires_once_each_time),
		WITH_LOOP(arming_again_replaces),
		WITH_LOOP(disarmed_does_not_fire),
		cmocka_unit_test(clock_only_rises),
		cmocka_unit_test(signals_come_by_descriptor),
	};

	return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
