/*
 * worker/ops/power.c - shutdown and suspend: tell init, or the kernel
 *
 * Runs in:   op children of the worker; worker before it is sealed
 * Input:     the mode, decided on; /run, /sbin/init, /proc/1/status, /sys/power
 * May touch: these; process 1; the power of the machine
 * Must not:  signal anybody else, or an init that has no use for the signal
 */
#include "worker/ops/power.h"

#include <linux/reboot.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "worker/ops/ops.h"

/* SIGRTMIN as programs know it: libc keeps the two below for itself (signal(7)). */
#define RTMIN 34

/* What each init takes for which mode: systemd(1); init/init.c of busybox. */
static const int systemd_signals[POWER_MODES] = {
	[POWER_DOWN] = RTMIN + 4,
	[POWER_HALT] = RTMIN + 3,
	[POWER_REBOOT] = RTMIN + 5,
};
static const int busybox_signals[POWER_MODES] = {
	[POWER_DOWN] = SIGUSR2,
	[POWER_HALT] = SIGUSR1,
	[POWER_REBOOT] = SIGTERM,
};

bool power_by_systemd(const struct sys *sys)
{
	CLEANUP(close_p) int fd = sys_look(sys, "/run/systemd/system");

	return fd >= 0;
}

static bool by_busybox(const struct sys *sys)
{
	char target[256];
	const char *name;

	if (sys_readlink(sys, "/sbin/init", target, sizeof(target)) < 0)
		return false;
	name = strrchr(target, '/');
	return streq(name ? name + 1 : target, "busybox");
}

/* Signals in the line of /proc/1/status that begins with NAME, as a set (proc(5)). */
static uint64_t signals(const char *status, const char *name)
{
	const char *line = strstr(status, name);

	return line ? strtoull(line + strlen(name), NULL, 16) : 0;
}

/* An init that neither waits for a signal nor handles it does not even get it. */
static bool takes(const struct sys *sys, int sig)
{
	char status[8192];

	if (sys_read_attr(sys, "/proc/1/status", status, sizeof(status)) < 0)
		return false;
	return (signals(status, "\nSigBlk:") | signals(status, "\nSigCgt:")) >>
		       (sig - 1) &
	       1;
}

int power_signal_of(const struct sys *sys, enum power_mode mode)
{
	int sig = 0;

	if (power_by_systemd(sys))
		sig = systemd_signals[mode];
	else if (by_busybox(sys))
		sig = busybox_signals[mode];
	return sig && takes(sys, sig) ? sig : 0;
}

int child_power_signal(const struct sys *sys, const void *args, struct wbuf *out,
		       struct err *e)
{
	const struct msg_power *q = args;
	int sig = power_signal_of(sys, (enum power_mode)q->mode.v);

	(void)out;
	if (!sig)
		return err_set(
			e, ERR_GENERIC,
			"child process has failed to shutdown: init takes no signal");
	if (sys->ops->kill(1, sig) < 0)
		return err_sys(e, errno, "child process has failed to shutdown");
	return 0;
}

int child_power_force(const struct sys *sys, const void *args, struct wbuf *out,
		      struct err *e)
{
	static const unsigned int commands[POWER_MODES] = {
		[POWER_DOWN] = LINUX_REBOOT_CMD_POWER_OFF,
		[POWER_HALT] = LINUX_REBOOT_CMD_HALT,
		[POWER_REBOOT] = LINUX_REBOOT_CMD_RESTART,
	};
	const struct msg_power *q = args;

	(void)out;
	if (sys->ops->reboot((int)commands[q->mode.v]) < 0)
		return err_sys(e, errno, "child process has failed to shutdown");
	return 0;
}

/* ---- suspend ---- */

#define STATE "/sys/power/state"

/* By enum suspend_mode: the word of the kernel, and of the command. */
static const struct {
	const char *state;
	const char *name;
} sleeps[SUSPEND_MODES] = {
	[SUSPEND_DISK] = {"disk", "disk"},
	[SUSPEND_RAM] = {"mem", "ram"},
	/* It writes to the disk as well (systemd-sleep.conf(5)). */
	[SUSPEND_HYBRID] = {"disk", "hybrid"},
};

static bool is_listed(const char *list, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = list; (at = strstr(at, word)); at += len)
		if ((at == list || at[-1] == ' ') && (!at[len] || at[len] == ' '))
			return true;
	return false;
}

int child_suspend_look(const struct sys *sys, const void *args, struct wbuf *out,
		       struct err *e)
{
	const struct msg_power *q = args;
	char states[256];

	(void)out;
	if (sys_read_attr(sys, STATE, states, sizeof(states)) >= 0 &&
	    is_listed(states, sleeps[q->mode.v].state))
		return 0;
	return err_set(
		e, ERR_NOT_FOUND,
		"Command guest-suspend-%s has been disabled: the requested suspend "
		"mode is not supported by the guest",
		sleeps[q->mode.v].name);
}

int child_suspend_write(const struct sys *sys, const void *args, struct wbuf *out,
			struct err *e)
{
	const struct msg_power *q = args;

	(void)out;
	/* It returns when the machine is awake again. */
	if (sys_write_attr(sys, STATE, sleeps[q->mode.v].state) < 0)
		return err_sys(e, errno, "suspend: cannot write to '" STATE "'");
	return 0;
}
