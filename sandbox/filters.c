/*
 * sandbox/filters.c - the table of system calls as numbers
 *
 * Runs in:   frontend, inspector, worker, reader; op children
 * Input:     none; const data
 * May touch: nothing
 * Must not:  hold a pointer: relocated at each start, the table would be a copy for each
 *            process instead of pages of the file
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <linux/nvme_ioctl.h>
#include <linux/reboot.h>
#include <linux/rtc.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include "ipc/ops.h"
#include "ipc/util.h"
#include "sandbox/filters_asan.h"
#include "sandbox/sandbox.h"

/* clang-format off */
#define F   SC_ROLE(SANDBOX_FRONTEND)
#define I   SC_ROLE(SANDBOX_INSPECTOR)
#define W   SC_ROLE(SANDBOX_WORKER)
#define P   SC_ROLE(SANDBOX_POLICY)
#define C   SC_ROLE(SANDBOX_CHILD)
#define S   SC_ROLE(SANDBOX_SMART)
#define L   SC_ROLE(SANDBOX_LOOK)
#define O   SC_ROLE(SANDBOX_OPEN)
#define N   SC_ROLE(SANDBOX_MAKE)
#define H   SC_ROLE(SANDBOX_HANDLE)
#define M   SC_ROLE(SANDBOX_MOUNTS)
#define Z   SC_ROLE(SANDBOX_FREEZER)
#define T   SC_ROLE(SANDBOX_THAWER)
#define K   SC_ROLE(SANDBOX_CLOCK)
#define Y   SC_ROLE(SANDBOX_SYSFS)
#define U   SC_ROLE(SANDBOX_HOME)
#define A   SC_ROLE(SANDBOX_AT_HOME)
#define G   SC_ROLE(SANDBOX_SIGNAL)
#define B   SC_ROLE(SANDBOX_REBOOT)
#define ALL (F | I | W | P | C)

#define ALLOW(call, roles, why, ...)        {SCMP_SYS(call), roles, 0, {__VA_ARGS__}}
#define FAIL(call, roles, err, why, ...)    {SCMP_SYS(call), roles, err, {__VA_ARGS__}}
#define RARE(call, roles, why, unused, ...) {SCMP_SYS(call), roles, 0, {__VA_ARGS__}}

#define IS(arg, value)         {0xffffffffu, (uint32_t)(value), arg}
#define BITS(arg, mask, value) {mask, value, arg}
#define NONE_OF(arg, mask)     {mask, 0, arg}

static const struct sc_rule rules[] = {
#include "sandbox/rows.h"
};
/* clang-format on */

/* Operations whose child does more than answer. */
static const uint32_t more_roles[OP_MAX] = {
	[OP_disk_smart] = S,    [OP_exec_find] = L,     [OP_file_open] = L | O | N | H,
	[OP_fs_list] = M,       [OP_fs_rescue] = M,     [OP_fstrim] = M,
	[OP_hook_find] = L | M, [OP_set_time] = K,      [OP_set_vcpus] = Y,
	[OP_keys] = U,          [OP_power_signal] = G,  [OP_power_force] = B,
	[OP_suspend_look] = Y,  [OP_suspend_write] = Y, [OP_set_memory_blocks] = Y,
};

uint32_t sandbox_child_roles(uint32_t op)
{
	return C | more_roles[op];
}

const struct sc_rule *sandbox_rules(size_t *n)
{
	*n = ARRAY_SIZE(rules);
	return rules;
}

#if SANDBOX_SANITIZED
/*
 * Here, not in a file of its own: the linker takes from an archive only what is named.
 * The leak check forks and traces, and the symbolizer is a program; neither is possible.
 */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0:external_symbolizer_path=";
}
#endif
