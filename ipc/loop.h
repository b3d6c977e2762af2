/*
 * ipc/loop.h - one epoll loop per process
 *
 * Runs in:   all processes
 * Input:     readiness of descriptors; signals by signalfd, time by timerfd
 * May touch: descriptors registered with it
 * Must not:  exit the process, own a descriptor that it did not create
 *
 * A source is a descriptor, a callback and the object around it (CONTAINER_OF). One
 * event is taken at a time, so a callback may remove or free any source. A callback
 * returns 0 to go on, or a negative value, which ends loop_run with that value.
 */
#ifndef POSTERN_IPC_LOOP_H
#define POSTERN_IPC_LOOP_H

#include <signal.h>
#include <stdbool.h>
#include <sys/epoll.h>

#include "ipc/util.h"

struct source;
typedef int source_fn(struct source *s, uint32_t events);

struct source {
	int fd;
	uint32_t events; /* EPOLL* asked for at present */
	source_fn *fn;
};

struct loop {
	int epfd;
	bool stop;
	int result;
};

/* 0, or -1 with errno. */
int loop_init(struct loop *l);
void loop_done(struct loop *l);

/* FD stays the caller's. 0, or -1 with errno. */
int loop_add(struct loop *l, struct source *s, int fd, uint32_t events, source_fn *fn);
/* Change what is asked for; no system call when nothing changes. */
int loop_events(struct loop *l, struct source *s, uint32_t events);
/* Forget the source and set its fd to -1; does not close. Fine on one not added. */
void loop_remove(struct loop *l, struct source *s);

/* Until loop_stop (its RESULT) or a callback's or epoll's negative result. */
int loop_run(struct loop *l);
void loop_stop(struct loop *l, int result);

/* A timer on CLOCK_MONOTONIC; FN is called once per expiry. */
struct timer {
	struct source source;
	int (*fn)(struct timer *t);
	bool armed;
};
int timer_init(struct loop *l, struct timer *t, int (*fn)(struct timer *t));
/* Fire once, MS from now (0: at once). Arming again replaces. */
int timer_arm_ms(struct timer *t, uint64_t ms);
int timer_disarm(struct timer *t);
void timer_done(struct loop *l, struct timer *t);

/* Milliseconds of CLOCK_MONOTONIC. */
uint64_t now_ms(void);

/*
 * Block the signals in SET for the process and return a signalfd for them, or -1 with
 * errno. Register it with loop_add; read struct signalfd_siginfo from it.
 */
int signal_fd(const sigset_t *set);

#endif
