/*
 * worker/ops/clock.c - guest-set-time: the clock, and the real-time clock beside it
 *
 * Runs in:   an op child of the worker, with CAP_SYS_TIME
 * Input:     the time of the request; what the real-time clock and /etc/adjtime say
 * May touch: the clock; the real-time clock
 * Must not:  change one before the worker knows by how much, or one without the other
 */
#include <linux/rtc.h>
#include <sys/ioctl.h>
#include <time.h>

#include "worker/ops/ops.h"
#include "worker/ops/talk.h"

#define NS_PER_S INT64_C(1000000000)

/* The years are 1970 to 2069 (protocol 3.6); here begins 2070. */
#define TIME_END_S INT64_C(3155760000)

/* How often we look whether its second has changed, and for how long. */
#define TICK_LOOK_NS INT64_C(5000000)
#define TICK_MAX_NS  INT64_C(1500000000)

struct rtc {
	const struct sys *sys;
	int fd;       /* -1: this machine has none */
	time_t delay; /* seconds by which what it shows is behind UTC */
};

/* What it said: UTC, whole seconds; and when, by CLOCK_MONOTONIC. */
struct reading {
	time_t utc;
	struct timespec at;
};

/* ---- time ---- */

/* A - B in nanoseconds; the nearest there is, if that does not fit. */
static int64_t difference(const struct timespec *a, const struct timespec *b)
{
	const int64_t seconds = a->tv_sec - b->tv_sec;
	int64_t ns;

	if (__builtin_mul_overflow(seconds, NS_PER_S, &ns) ||
	    __builtin_add_overflow(ns, a->tv_nsec - b->tv_nsec, &ns))
		return seconds < 0 ? INT64_MIN : INT64_MAX;
	return ns;
}

/* The time now, if it was what R says then. */
static struct timespec since(const struct sys *sys, const struct reading *r)
{
	struct timespec now;
	int64_t passed;

	sys->ops->clock_gettime(CLOCK_MONOTONIC, &now);
	passed = difference(&now, &r->at);
	return (struct timespec){
		.tv_sec = r->utc + passed / NS_PER_S,
		.tv_nsec = passed % NS_PER_S,
	};
}

/* May the clock go to GOAL? Returns if it may. */
static void ask(const struct sys *sys, const struct timespec *goal)
{
	struct timespec now;

	sys->ops->clock_gettime(CLOCK_REALTIME, &now);
	talk_change(OP_set_time,
		    &(struct msg_change){.step = V_INT(difference(goal, &now))});
}

static int set_clock(const struct sys *sys, const struct timespec *goal, struct err *e)
{
	if (sys->ops->clock_settime(CLOCK_REALTIME, goal) < 0)
		return err_sys(e, errno, "Failed to set time to guest");
	return 0;
}

/* ---- the real-time clock ---- */

/* Does it show local time? The third line says so; without one it is UTC. */
static bool is_local(const struct sys *sys)
{
	char text[256], *rest = text;
	const char *line = NULL;

	if (sys_read_attr(sys, "/etc/adjtime", text, sizeof(text)) < 0)
		return false;
	for (int i = 0; i < 3; i++)
		line = strsep(&rest, "\n");
	return line && streq(line, "LOCAL");
}

/* A node may be there without a device. */
static bool is_absent(int errnum)
{
	return errnum == ENOENT || errnum == ENODEV || errnum == ENXIO;
}

/* Open it, if there is one. */
static int rtc_open(struct rtc *rtc, struct err *e)
{
	static const char *const nodes[] = {"/dev/rtc", "/dev/rtc0"};
	int west = 0;

	for (size_t i = 0; i < ARRAY_SIZE(nodes) && rtc->fd < 0; i++) {
		rtc->fd = sys_open(rtc->sys, nodes[i]);
		if (rtc->fd < 0 && !is_absent(errno))
			return err_sys(e, errno, "open(\"%s\")", nodes[i]);
	}
	/* As the kernel does it that keeps such a clock: by its zone, not by libc's. */
	if (rtc->fd >= 0 && is_local(rtc->sys) && rtc->sys->ops->timezone(&west) < 0)
		return err_sys(e, errno, "failed to get the zone of the real-time clock");
	rtc->delay = (time_t)west * 60;
	return 0;
}

static void rtc_close(struct rtc *rtc)
{
	close_p(&rtc->fd);
}

/* The kernel's struct is what libc's begins with. */
#define SAME(member) (offsetof(struct tm, member) == offsetof(struct rtc_time, member))
_Static_assert(SAME(tm_sec) && SAME(tm_year) && SAME(tm_isdst), "they are copied");

static int rtc_read(const struct rtc *rtc, struct reading *r)
{
	struct rtc_time t;
	struct tm tm = {0};

	if (rtc->sys->ops->ioctl(rtc->fd, RTC_RD_TIME, &t) < 0)
		return -1;
	rtc->sys->ops->clock_gettime(CLOCK_MONOTONIC, &r->at);
	memcpy(&tm, &t, sizeof(t));
	r->utc = timegm(&tm) + rtc->delay;
	return 0;
}

static int rtc_write(const struct rtc *rtc, time_t utc)
{
	const time_t shown = utc - rtc->delay;
	struct rtc_time t;
	struct tm tm = {0};

	gmtime_r(&shown, &tm);
	memcpy(&t, &tm, sizeof(t));
	return rtc->sys->ops->ioctl(rtc->fd, RTC_SET_TIME, &t);
}

/*
 * It as its second begins, since it says no more than the second. One that stands is read
 * as it is.
 */
static int rtc_tick(const struct rtc *rtc, struct reading *r)
{
	static const struct timespec look = {.tv_nsec = TICK_LOOK_NS};
	struct reading first;

	if (rtc_read(rtc, &first) < 0)
		return -1;
	do {
		clock_nanosleep(CLOCK_MONOTONIC, 0, &look, NULL);
		if (rtc_read(rtc, r) < 0)
			return -1;
	} while (r->utc == first.utc && difference(&r->at, &first.at) < TICK_MAX_NS);
	return 0;
}

/* ---- guest-set-time ---- */

/* The real-time clock first: one that cannot be set leaves both as they were. */
static int set_both(struct rtc *rtc, int64_t time, struct err *e)
{
	const struct timespec goal = {time / NS_PER_S, time % NS_PER_S};
	struct reading old;
	bool is_known;

	if (time < 0 || goal.tv_sec >= TIME_END_S)
		return err_sys(e, ERANGE, "Invalid time");
	ask(rtc->sys, &goal);
	if (rtc_open(rtc, e) < 0)
		return -1;
	is_known = rtc->fd >= 0 && rtc_read(rtc, &old) == 0;
	if (rtc->fd >= 0 && rtc_write(rtc, goal.tv_sec) < 0)
		return err_sys(e, errno, "failed to set hardware clock to system time");
	if (set_clock(rtc->sys, &goal, e) == 0)
		return 0;
	if (is_known)
		rtc_write(rtc, since(rtc->sys, &old).tv_sec);
	return -1;
}

static int set_from_rtc(struct rtc *rtc, struct err *e)
{
	struct timespec goal;
	struct reading r;

	if (rtc_open(rtc, e) < 0)
		return -1;
	if (rtc->fd < 0)
		return err_set(e, ERR_NOT_FOUND,
			       "Command guest-set-time has been disabled: "
			       "this machine has no real-time clock");
	if (rtc_tick(rtc, &r) < 0) {
		if (errno == EINVAL)
			return err_set(e, ERR_GENERIC,
				       "the real-time clock has no valid time");
		return err_sys(e, errno, "failed to read the real-time clock");
	}
	goal = since(rtc->sys, &r);
	ask(rtc->sys, &goal);
	goal = since(rtc->sys, &r);
	return set_clock(rtc->sys, &goal, e);
}

int child_set_time(const struct sys *sys, const void *args, struct wbuf *out,
		   struct err *e)
{
	const struct msg_set_time *q = args;
	CLEANUP(rtc_close) struct rtc rtc = {.sys = sys, .fd = -1};
	int r = q->time.set ? set_both(&rtc, q->time.v, e) : set_from_rtc(&rtc, e);

	if (r == 0)
		schema_put(out, &schema_empty, &(struct msg_empty){});
	return r;
}
