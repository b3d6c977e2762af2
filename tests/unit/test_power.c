/*
 * tests/unit/test_power.c - init and kernel going down, or asleep: in a tree, recorded
 *
 * Runs in:   a test
 * Input:     a directory of its own as root; calls of its own
 * May touch: that directory
 * Must not:  signal, reboot or suspend anything: the calls are the test's
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <linux/reboot.h>
#include <signal.h>

#include "tests/lib/inspect.h"
#include "worker/ops/ops.h"
#include "worker/ops/power.h"

/* The functions of struct sys_ops have no context: what was called is here. */
static struct {
	pid_t pid;
	int sig;
	int command;
	int calls;
	int errnum;
} called;

static int answer(void)
{
	called.calls++;
	errno = called.errnum;
	return called.errnum ? -1 : 0;
}

static int fake_kill(pid_t pid, int sig)
{
	called.pid = pid;
	called.sig = sig;
	return answer();
}

static int fake_reboot(int command)
{
	called.command = command;
	return answer();
}

static const struct sys_ops ops = {.kill = fake_kill, .reboot = fake_reboot};

static int start(void **state)
{
	int r = set_up(state);

	((struct fixture *)*state)->in.sys.ops = &ops;
	memset(&called, 0, sizeof(called));
	return r;
}

typedef int handler(const struct sys *sys, const void *args, struct wbuf *out,
		    struct err *e);

static int run(struct fixture *f, handler *fn, int64_t mode)
{
	const struct msg_power args = {.mode = V_INT(mode)};
	int r;

	f->result.len = 0;
	f->e = (struct err){0};
	r = fn(&f->in.sys, &args, &f->result, &f->e);
	assert_int_equal(f->result.len, 0);
	return r;
}

/* /proc/1/status of an init that waits for the signals BLOCKED and handles CAUGHT. */
static void put_status(struct fixture *f, uint64_t blocked, uint64_t caught)
{
	char text[256];

	snprintf(text, sizeof(text),
		 "Name:\tinit\nShdPnd:\t0000000000000000\nSigBlk:\t%016llx\n"
		 "SigIgn:\tffffffffffffffff\nSigCgt:\t%016llx\nCapInh:\t0\n",
		 (unsigned long long)blocked, (unsigned long long)caught);
	put(f, "proc/1/status", text);
}

#define BIT(sig) (UINT64_C(1) << ((sig)-1))

/* systemd(1): SIGRTMIN+4, +3, +5, of libc's SIGRTMIN. */
static void systemd(void **state)
{
	struct fixture *f = *state;
	const int want[] = {SIGRTMIN + 4, SIGRTMIN + 3, SIGRTMIN + 5};

	put_dir(f, "run/systemd/system");
	put_status(f, BIT(want[0]) | BIT(want[1]) | BIT(want[2]), 0);
	assert_true(power_by_systemd(&f->in.sys));
	for (int mode = 0; mode < POWER_MODES; mode++) {
		assert_int_equal(run(f, child_power_signal, mode), 0);
		assert_int_equal(called.pid, 1);
		assert_int_equal(called.sig, want[mode]);
	}
	assert_int_equal(called.calls, POWER_MODES);
}

static void busybox(void **state)
{
	static const int want[] = {SIGUSR2, SIGUSR1, SIGTERM};
	struct fixture *f = *state;

	put_link(f, "sbin/init", "/bin/busybox");
	put_status(f, 0, BIT(SIGUSR1) | BIT(SIGUSR2) | BIT(SIGTERM));
	assert_false(power_by_systemd(&f->in.sys));
	for (int mode = 0; mode < POWER_MODES; mode++) {
		assert_int_equal(run(f, child_power_signal, mode), 0);
		assert_int_equal(called.pid, 1);
		assert_int_equal(called.sig, want[mode]);
	}
}

/* Nothing is sent to an init that has no use for it, or is another. */
static void no_signal(void **state)
{
	struct fixture *f = *state;

	put_dir(f, "run/systemd/system");
	assert_int_equal(run(f, child_power_signal, POWER_DOWN), -1); /* no status */
	put_status(f, ~BIT(SIGRTMIN + 4), ~BIT(SIGRTMIN + 4));
	assert_int_equal(run(f, child_power_signal, POWER_DOWN), -1);
	assert_string_equal(f->e.desc,
			    "child process has failed to shutdown: init takes no signal");
	assert_int_equal(called.calls, 0);
}

static void another_init(void **state)
{
	static const char *const inits[] = {"/lib/sysvinit/init", "busybox.old",
					    "/opt/busybox/init", "runit-init"};
	struct fixture *f = *state;

	put_status(f, ~0ull, ~0ull);
	assert_int_equal(power_signal_of(&f->in.sys, POWER_DOWN), 0);
	for (size_t i = 0; i < ARRAY_SIZE(inits); i++) {
		put_link(f, "sbin/init", inits[i]);
		assert_int_equal(power_signal_of(&f->in.sys, POWER_DOWN), 0);
		assert_int_equal(unlinkat(f->in.sys.root_fd, "sbin/init", 0), 0);
	}
	put(f, "sbin/init", "a program");
	assert_int_equal(power_signal_of(&f->in.sys, POWER_DOWN), 0);
	assert_int_equal(called.calls, 0);
}

static void kernel_refuses_signal(void **state)
{
	struct fixture *f = *state;

	put_dir(f, "run/systemd/system");
	put_status(f, ~0ull, 0);
	called.errnum = EPERM;
	assert_int_equal(run(f, child_power_signal, POWER_HALT), -1);
	assert_string_equal(
		f->e.desc,
		"child process has failed to shutdown: Operation not permitted");
}

static void force(void **state)
{
	static const unsigned int want[] = {LINUX_REBOOT_CMD_POWER_OFF,
					    LINUX_REBOOT_CMD_HALT,
					    LINUX_REBOOT_CMD_RESTART};
	struct fixture *f = *state;

	for (int mode = 0; mode < POWER_MODES; mode++) {
		assert_int_equal(run(f, child_power_force, mode), 0);
		assert_int_equal(called.command, (int)want[mode]);
	}
	called.errnum = EPERM;
	assert_int_equal(run(f, child_power_force, POWER_DOWN), -1);
	assert_int_equal(f->e.cls, ERR_GENERIC);
	assert_int_equal(f->e.errnum, EPERM);
}

/* ---- suspend ---- */

static void suspend_is_supported(void **state)
{
	struct fixture *f = *state;

	put(f, "sys/power/state", "freeze mem disk\n");
	for (int mode = 0; mode < SUSPEND_MODES; mode++)
		assert_int_equal(run(f, child_suspend_look, mode), 0);
}

static void suspend_is_not_supported(void **state)
{
	static const char *const states[] = {NULL, "\n", "freeze\n", "memory diskette\n",
					     "xmem xdisk\n"};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		if (states[i])
			put(f, "sys/power/state", states[i]);
		for (int mode = 0; mode < SUSPEND_MODES; mode++) {
			assert_int_equal(run(f, child_suspend_look, mode), -1);
			assert_int_equal(f->e.cls, ERR_NOT_FOUND);
		}
	}
	assert_int_equal(run(f, child_suspend_look, SUSPEND_RAM), -1);
	assert_string_equal(f->e.desc,
			    "Command guest-suspend-ram has been disabled: the requested "
			    "suspend mode is not supported by the guest");
}

static void assert_state(struct fixture *f, const char *want)
{
	char text[64];

	assert_true(sys_read_attr(&f->in.sys, "/sys/power/state", text, sizeof(text)) >=
		    0);
	assert_string_equal(text, want);
}

/* A file keeps what was there before behind what is written; the kernel's does not. */
static void suspend_is_written(void **state)
{
	struct fixture *f = *state;

	put(f, "sys/power/state", "----");
	assert_int_equal(run(f, child_suspend_write, SUSPEND_RAM), 0);
	assert_state(f, "mem-");
	assert_int_equal(run(f, child_suspend_write, SUSPEND_DISK), 0);
	assert_state(f, "disk");
}

static void suspend_cannot_be_written(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(run(f, child_suspend_write, SUSPEND_RAM), -1);
	assert_string_equal(f->e.desc, "suspend: cannot write to '/sys/power/state': No "
				       "such file or directory");
	assert_int_equal(f->e.cls, ERR_GENERIC);
}

#undef TEST
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(systemd),
		TEST(busybox),
		TEST(no_signal),
		TEST(another_init),
		TEST(kernel_refuses_signal),
		TEST(force),
		TEST(suspend_is_supported),
		TEST(suspend_is_not_supported),
		TEST(suspend_is_written),
		TEST(suspend_cannot_be_written),
	};

	return cmocka_run_group_tests_name("power", tests, NULL, NULL);
}
