/*
 * tests/unit/test_clock.c - the clock and the real-time clock: which, when, in what order
 *
 * Runs in:   a test; the handler in sealed children of it without a capability
 * Input:     small machines made here; clocks that are numbers
 * May touch: a folder of its own
 * Must not:  set a clock: every call that would is recorded instead
 */
#include "tests/lib/opchild.h"

#include <linux/rtc.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

#include "tests/lib/rmtree.h"
#include "tests/lib/tree.h"

#define S  INT64_C(1000000000)
#define MS INT64_C(1000000)

/* 2024-02-29 12:00:00 */
#define NOON INT64_C(1709208000)

/* Clocks, and what was done to them; in memory that the child shares. */
struct clocks {
	struct timespec now;
	int64_t run;      /* CLOCK_MONOTONIC */
	int64_t pace;     /* by which it moves whenever it is asked */
	int64_t rtc;      /* what the real-time clock shows, as if that were UTC */
	int64_t rtc_from; /* its second changes when RUN is whole seconds behind this */
	int west;
	/* errno of the call, or 0 */
	int no_read, no_write, no_set, no_zone;
	int reads;
	char log[512];
};

struct fixture {
	char dir[40];
	struct sys sys;
	struct opchild *child;
};

/* The operations have no place for more. */
static struct clocks *clocks;

static void note(const char *fmt, ...) PRINTF(1, 2);
static void note(const char *fmt, ...)
{
	size_t len = strlen(clocks->log);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(clocks->log + len, sizeof(clocks->log) - len, fmt, ap);
	va_end(ap);
}

/* In the child, where a test cannot fail. */
static void check(bool is_so)
{
	if (!is_so)
		_exit(EXIT_SYSTEM);
}

static int outcome(int errnum)
{
	errno = errnum;
	return errnum ? -1 : 0;
}

/* ---- the calls; each also makes the real one, in vain, for the filter to see ---- */

static int fake_gettime(clockid_t clock, struct timespec *ts)
{
	if (clock == CLOCK_REALTIME) {
		*ts = clocks->now;
		return 0;
	}
	check(clock == CLOCK_MONOTONIC);
	clocks->run += clocks->pace;
	*ts = (struct timespec){clocks->run / S, clocks->run % S};
	return 0;
}

static int fake_settime(clockid_t clock, const struct timespec *ts)
{
	/* Without a time there is nothing to set; and tests may not (EPERM). */
	check(syscall(SYS_clock_settime, clock, NULL) < 0 &&
	      (errno == EFAULT || errno == EPERM));
	note("clock %lld.%09ld\n", (long long)ts->tv_sec, ts->tv_nsec);
	return outcome(clocks->no_set);
}

static int fake_zone(int *minutes_west)
{
	struct timezone zone;

	check(syscall(SYS_gettimeofday, NULL, &zone) == 0);
	*minutes_west = clocks->west;
	return outcome(clocks->no_zone);
}

static int read_rtc(struct rtc_time *t)
{
	time_t shown = clocks->rtc;
	struct tm tm;

	clocks->reads++;
	if (clocks->rtc_from)
		shown += (clocks->run - clocks->rtc_from) / S;
	gmtime_r(&shown, &tm);
	/* As the kernel: no day of the week, nor of the year. */
	*t = (struct rtc_time){
		.tm_sec = tm.tm_sec,
		.tm_min = tm.tm_min,
		.tm_hour = tm.tm_hour,
		.tm_mday = tm.tm_mday,
		.tm_mon = tm.tm_mon,
		.tm_year = tm.tm_year,
	};
	return outcome(clocks->no_read);
}

static int fake_ioctl(int fd, unsigned long request, void *arg)
{
	const struct rtc_time *t = arg;

	/* It is a plain file. */
	check(ioctl(fd, request, arg) < 0 && errno == ENOTTY);
	if (request == RTC_RD_TIME)
		return read_rtc(arg);
	check(request == RTC_SET_TIME);
	note("rtc %04d-%02d-%02d %02d:%02d:%02d %d %d\n", t->tm_year + 1900,
	     t->tm_mon + 1, t->tm_mday, t->tm_hour, t->tm_min, t->tm_sec, t->tm_wday,
	     t->tm_yday);
	return outcome(clocks->no_write);
}

static const struct sys_ops fake_ops = {
	.clock_gettime = fake_gettime,
	.clock_settime = fake_settime,
	.timezone = fake_zone,
	.ioctl = fake_ioctl,
};

/* ---- a machine ---- */

static int set_up(void **state)
{
	static struct fixture f;

	f = (struct fixture){.dir = "/tmp/postern-clock-XXXXXX"};
	assert_non_null(mkdtemp(f.dir));
	f.sys.root_fd = open(f.dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	f.sys.ops = &fake_ops;
	f.child = opchild_new();
	clocks = mmap(NULL, sizeof(*clocks), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(clocks != MAP_FAILED);
	*clocks = (struct clocks){
		.now = {NOON, 0},
		.run = 500 * MS,
		.pace = 10 * MS,
		.rtc = NOON,
	};
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	sys_done(&f->sys);
	opchild_free(f->child);
	munmap(clocks, sizeof(*clocks));
	return rmtree(f->dir);
}

static void put(const struct fixture *f, const char *tree)
{
	assert_int_equal(tree_unpack(f->sys.root_fd, tree, strlen(tree)), 0);
}

static void run(struct fixture *f, const struct msg_set_time *q, bool allowed)
{
	clocks->log[0] = '\0';
	opchild(f->child, &f->sys, OP_set_time, child_set_time, q, allowed);
}

static void set_to(struct fixture *f, int64_t time)
{
	run(f, &(struct msg_set_time){V_INT(time)}, true);
}

static void set_from_rtc(struct fixture *f)
{
	run(f, &(struct msg_set_time){0}, true);
}

static void assert_set(const struct fixture *f, const char *log)
{
	opchild_result(f->child, &schema_empty, "{}");
	assert_true(f->child->asked);
	assert_string_equal(clocks->log, log);
}

static void assert_step(const struct fixture *f, int64_t ns)
{
	assert_true(f->child->change.step.set);
	assert_int_equal(f->child->change.step.v, ns);
	assert_false(f->child->change.left.set);
}

/* ---- a time that is given ---- */

/* Both; the real-time clock first; the clock to the nanosecond. */
static void both_clocks(void **state)
{
	struct fixture *f = *state;

	put(f, "dev/rtc = x\ndev/rtc0 = y\n");
	set_to(f, NOON * S + 123456789);
	assert_set(f, "rtc 2024-02-29 12:00:00 4 59\nclock 1709208000.123456789\n");
	assert_step(f, 123456789);
}

static void which_node(void **state)
{
	struct fixture *f = *state;

	/* None: the clock alone. */
	set_to(f, NOON * S);
	assert_set(f, "clock 1709208000.000000000\n");
	put(f, "dev/rtc -> rtc0\n");
	set_to(f, NOON * S);
	assert_set(f, "clock 1709208000.000000000\n");
	put(f, "dev/rtc0 = x\n");
	set_to(f, NOON * S);
	assert_set(f, "rtc 2024-02-29 12:00:00 4 59\nclock 1709208000.000000000\n");
	assert_int_equal(unlinkat(f->sys.root_fd, "dev/rtc", 0), 0);
	set_to(f, NOON * S);
	assert_set(f, "rtc 2024-02-29 12:00:00 4 59\nclock 1709208000.000000000\n");
}

static void years_1970_to_2069(void **state)
{
	static const int64_t beyond[] = {-1, -S, INT64_MIN, 3155760000 * S, INT64_MAX};
	struct fixture *f = *state;

	put(f, "dev/rtc = x\n");
	set_to(f, 0);
	assert_set(f, "rtc 1970-01-01 00:00:00 4 0\nclock 0.000000000\n");
	set_to(f, 1);
	assert_set(f, "rtc 1970-01-01 00:00:00 4 0\nclock 0.000000001\n");
	set_to(f, 3155760000 * S - 1);
	assert_set(f, "rtc 2069-12-31 23:59:59 2 364\nclock 3155759999.999999999\n");
	for (size_t i = 0; i < ARRAY_SIZE(beyond); i++) {
		set_to(f, beyond[i]);
		opchild_failed(f->child, ERR_GENERIC,
			       "Invalid time: Numerical result out of range");
		assert_false(f->child->asked);
		assert_string_equal(clocks->log, "");
		assert_int_equal(clocks->reads, 3);
	}
}

static void the_step(void **state)
{
	struct fixture *f = *state;

	clocks->now = (struct timespec){NOON, 999999999};
	set_to(f, (NOON + 1) * S);
	assert_step(f, 1);
	set_to(f, NOON * S);
	assert_step(f, -999999999);
	set_to(f, 0);
	assert_step(f, -NOON * S - 999999999);
	clocks->now = (struct timespec){0, 0};
	set_to(f, 3155760000 * S - 1);
	assert_step(f, 3155760000 * S - 1);
	/* Not what a kernel says; saturated all the same. */
	clocks->now = (struct timespec){INT64_C(-9000000000), 0};
	set_to(f, NOON * S);
	assert_step(f, INT64_MAX);
	clocks->now = (struct timespec){INT64_C(90000000000), 0};
	set_to(f, NOON * S);
	assert_step(f, INT64_MIN);
	clocks->now = (struct timespec){INT64_C(9223372036), 854775807};
	set_to(f, 0);
	assert_step(f, -INT64_MAX);
	clocks->now = (struct timespec){INT64_C(9223372036), 854775809};
	set_to(f, 0);
	assert_step(f, INT64_MIN);
}

/* ---- local time ---- */

static void assert_shown(struct fixture *f, const char *adjtime, int west,
			 const char *shown)
{
	unlinkat(f->sys.root_fd, "etc/adjtime", 0);
	put(f, adjtime);
	clocks->west = west;
	set_to(f, NOON * S);
	opchild_result(f->child, &schema_empty, "{}");
	clocks->log[strlen("rtc 2024-02-29 12:00:00")] = '\0';
	assert_string_equal(clocks->log + strlen("rtc "), shown);
}

#define LOCAL_CLOCK "etc/adjtime:\n\t0.0 0 0.0\n\t0\n\tLOCAL\n"

/* The kernel's zone, as it is now: that it is winter does not matter. */
static void a_clock_of_local_time(void **state)
{
	struct fixture *f = *state;

	put(f, "dev/rtc = x\n");
	assert_shown(f, LOCAL_CLOCK, -120, "2024-02-29 14:00:00");
	assert_shown(f, LOCAL_CLOCK, -60, "2024-02-29 13:00:00");
	assert_shown(f, LOCAL_CLOCK, 480, "2024-02-29 04:00:00");
	assert_shown(f, LOCAL_CLOCK, -345, "2024-02-29 17:45:00");
	assert_shown(f, LOCAL_CLOCK, -14 * 60, "2024-03-01 02:00:00");
	assert_shown(f, LOCAL_CLOCK, 0, "2024-02-29 12:00:00");
	/* No newline, and more lines. */
	assert_shown(f, "etc/adjtime:\n\t0.0\n\t0\n\tLOCAL\\\n", -60,
		     "2024-02-29 13:00:00");
	assert_shown(f, "etc/adjtime:\n\t\n\t\n\tLOCAL\n\tUTC\n", -60,
		     "2024-02-29 13:00:00");
	/* The day of the week, and of the year, as it shows them. */
	clocks->west = -60;
	set_to(f, INT64_C(1704067199) * S);
	assert_set(f, "rtc 2024-01-01 00:59:59 1 0\nclock 1704067199.000000000\n");
}

static void a_clock_of_utc(void **state)
{
	static const char *const files[] = {
		"# none\n",
		"etc/adjtime =\n",
		"etc/adjtime:\n\t0.0 0 0.0\n\t0\n\tUTC\n",
		"etc/adjtime:\n\t0.0 0 0.0\n\tLOCAL\n",
		"etc/adjtime:\n\t0.0 0 0.0\n\t0\n\tUTC\n\tLOCAL\n",
		"etc/adjtime:\n\t0.0 0 0.0\n\t0\n\tLOCALE\n",
		"etc/adjtime:\n\t0.0 0 0.0\n\t0\n\tlocal\n",
		"etc/adjtime:\n\tLOCAL\\x00\n\t0\n\tLOCAL\n",
		"etc/adjtime -> adjtime\n",
	};
	char longer[400];
	struct fixture *f = *state;

	put(f, "dev/rtc = x\n");
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		assert_shown(f, files[i], -60, "2024-02-29 12:00:00");
	snprintf(longer, sizeof(longer), "etc/adjtime:\n\t%0300d\n\t0\n\tLOCAL\n", 0);
	assert_shown(f, longer, -60, "2024-02-29 12:00:00");
}

/* ---- what fails ---- */

static void assert_nothing_set(const struct fixture *f, const char *desc, const char *log)
{
	opchild_failed(f->child, ERR_GENERIC, desc);
	assert_string_equal(clocks->log, log);
}

static void a_refusal_changes_nothing(void **state)
{
	struct fixture *f = *state;

	put(f, "dev/rtc = x\n");
	run(f, &(struct msg_set_time){V_INT(NOON * S)}, false);
	opchild_refused(f->child);
	assert_string_equal(clocks->log, "");
	assert_int_equal(clocks->reads, 0);
	clocks->rtc_from = 1;
	run(f, &(struct msg_set_time){0}, false);
	opchild_refused(f->child);
	assert_string_equal(clocks->log, "");
}

static void the_clock_waits_for_the_rtc(void **state)
{
	struct fixture *f = *state;

	put(f, "dev/rtc = x\n" LOCAL_CLOCK);
	clocks->no_write = EACCES;
	set_to(f, NOON * S);
	assert_nothing_set(
		f, "failed to set hardware clock to system time: Permission denied",
		"rtc 2024-02-29 12:00:00 4 59\n");
	clocks->no_zone = EFAULT;
	set_to(f, NOON * S);
	assert_nothing_set(
		f, "failed to get the zone of the real-time clock: Bad address", "");
	assert_int_equal(unlinkat(f->sys.root_fd, "dev/rtc", 0), 0);
	put(f, "dev/rtc -> rtc\n");
	set_to(f, NOON * S);
	assert_nothing_set(f, "open(\"/dev/rtc\"): Too many levels of symbolic links",
			   "");
	set_from_rtc(f);
	assert_nothing_set(f, "open(\"/dev/rtc\"): Too many levels of symbolic links",
			   "");
}

/* By what has passed since, and in its own zone. */
static void the_rtc_is_put_back(void **state)
{
	struct fixture *f = *state;

	put(f, "dev/rtc = x\n" LOCAL_CLOCK);
	clocks->no_set = EPERM;
	clocks->west = -60;
	clocks->rtc = 3600;
	clocks->pace = 2 * S;
	set_to(f, NOON * S);
	assert_nothing_set(f, "Failed to set time to guest: Operation not permitted",
			   "rtc 2024-02-29 13:00:00 4 59\n"
			   "clock 1709208000.000000000\n"
			   "rtc 1970-01-01 01:00:02 4 0\n");
	/* If it said nothing, there is nothing to put back; nor without one. */
	clocks->no_read = EINVAL;
	set_to(f, NOON * S);
	assert_nothing_set(f, "Failed to set time to guest: Operation not permitted",
			   "rtc 2024-02-29 13:00:00 4 59\n"
			   "clock 1709208000.000000000\n");
	assert_int_equal(unlinkat(f->sys.root_fd, "dev/rtc", 0), 0);
	set_to(f, NOON * S);
	assert_nothing_set(f, "Failed to set time to guest: Operation not permitted",
			   "clock 1709208000.000000000\n");
}

/* ---- the time of the real-time clock ---- */

/* Its second begins when RUN is 1 s; it is seen in steps of 10 ms. */
static void as_its_second_begins(void **state)
{
	struct fixture *f = *state;

	put(f, "dev/rtc0 = x\n");
	clocks->rtc_from = 1;
	clocks->run = 500 * MS + 1;
	set_from_rtc(f);
	/* It is read; the time is taken for reading, for the question, and for setting.
	 */
	assert_set(f, "clock 1709208001.020000000\n");
	assert_step(f, S + 10 * MS);
	assert_true(clocks->reads > 40 && clocks->reads < 60);
}

static void of_local_time(void **state)
{
	struct fixture *f = *state;

	put(f, "dev/rtc0 = x\n" LOCAL_CLOCK);
	clocks->rtc_from = 1;
	clocks->run = 900 * MS + 1;
	clocks->west = 90;
	clocks->now = (struct timespec){NOON, 20 * MS};
	set_from_rtc(f);
	assert_set(f, "clock 1709213401.020000000\n");
	assert_step(f, (5400 + 1) * S - 10 * MS);
}

/* Backwards; and time passes while the worker decides. */
static void behind_the_clock(void **state)
{
	struct fixture *f = *state;

	put(f, "dev/rtc = x\n");
	clocks->rtc_from = 1;
	clocks->run = 999 * MS + 1;
	clocks->pace = 1500 * MS;
	clocks->now = (struct timespec){NOON + 86400, 0};
	set_from_rtc(f);
	/* The clock that is read at 2.499 is at 3.999, asked at 5.499, set at 6.999. */
	assert_set(f, "clock 1709208005.000000000\n");
	assert_step(f, (2 + 1 - 86400) * S + 500 * MS);
}

static void one_that_stands(void **state)
{
	struct fixture *f = *state;

	put(f, "dev/rtc = x\n");
	clocks->pace = 100 * MS;
	clocks->now = (struct timespec){0, 0};
	set_from_rtc(f);
	assert_set(f, "clock 1709208000.200000000\n");
	assert_int_equal(clocks->reads, 1 + 15);
	assert_step(f, NOON * S + 100 * MS);
}

static void far_in_the_future(void **state)
{
	struct fixture *f = *state;

	put(f, "dev/rtc = x\n");
	clocks->rtc = INT64_C(253402300799); /* 9999-12-31 23:59:59 */
	clocks->pace = S;
	set_from_rtc(f);
	assert_set(f, "clock 253402300801.000000000\n");
	assert_step(f, INT64_MAX);
}

static void none_to_ask(void **state)
{
	struct fixture *f = *state;

	set_from_rtc(f);
	opchild_failed(f->child, ERR_NOT_FOUND,
		       "Command guest-set-time has been disabled: "
		       "this machine has no real-time clock");
	assert_false(f->child->asked);
	assert_string_equal(clocks->log, "");
}

static void one_that_does_not_know(void **state)
{
	struct fixture *f = *state;

	put(f, "dev/rtc = x\n");
	clocks->no_read = EINVAL;
	set_from_rtc(f);
	assert_nothing_set(f, "the real-time clock has no valid time", "");
	assert_false(f->child->asked);
	clocks->no_read = EIO;
	set_from_rtc(f);
	assert_nothing_set(f, "failed to read the real-time clock: Input/output error",
			   "");
}

static void when_the_clock_cannot_be_set(void **state)
{
	struct fixture *f = *state;

	put(f, "dev/rtc = x\n");
	clocks->pace = S;
	clocks->no_set = EPERM;
	set_from_rtc(f);
	assert_nothing_set(f, "Failed to set time to guest: Operation not permitted",
			   "clock 1709208002.000000000\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(both_clocks),
		TEST(which_node),
		TEST(years_1970_to_2069),
		TEST(the_step),
		TEST(a_clock_of_local_time),
		TEST(a_clock_of_utc),
		TEST(a_refusal_changes_nothing),
		TEST(the_clock_waits_for_the_rtc),
		TEST(the_rtc_is_put_back),
		TEST(as_its_second_begins),
		TEST(of_local_time),
		TEST(behind_the_clock),
		TEST(one_that_stands),
		TEST(far_in_the_future),
		TEST(none_to_ask),
		TEST(one_that_does_not_know),
		TEST(when_the_clock_cannot_be_set),
	};

	return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
