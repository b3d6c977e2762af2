/*
 * tests/lib/trycall.h - calls to try in a sandbox, and who must survive them
 *
 * Runs in:   test_sandbox, trysyscall
 * Input:     none; const data
 * May touch: the calling process: it is sealed for good
 * Must not:  name a call that does anything: arguments are bad or empty on purpose
 */
#ifndef POSTERN_TESTS_TRYCALL_H
#define POSTERN_TESTS_TRYCALL_H

#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <linux/nvme_ioctl.h>
#include <linux/reboot.h>
#include <linux/rtc.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "ipc/util.h"
#include "sandbox/filters_asan.h"
#include "sandbox/sandbox.h"

struct try_call {
	const char *name;
	int nr; /* below zero: this machine has no such call */
	uint32_t survivors;
	long args[6];
};

#define TRY_F    SC_ROLE(SANDBOX_FRONTEND)
#define TRY_I    SC_ROLE(SANDBOX_INSPECTOR)
#define TRY_W    SC_ROLE(SANDBOX_WORKER)
#define TRY_S    SC_ROLE(SANDBOX_SMART)
#define TRY_P    SC_ROLE(SANDBOX_POLICY)
#define TRY_M    SC_ROLE(SANDBOX_MOUNTS)
#define TRY_Z    SC_ROLE(SANDBOX_FREEZER)
#define TRY_T    SC_ROLE(SANDBOX_THAWER)
#define TRY_L    SC_ROLE(SANDBOX_LOOK)
#define TRY_O    SC_ROLE(SANDBOX_OPEN)
#define TRY_N    SC_ROLE(SANDBOX_MAKE)
#define TRY_H    SC_ROLE(SANDBOX_HANDLE)
#define TRY_K    SC_ROLE(SANDBOX_CLOCK)
#define TRY_Y    SC_ROLE(SANDBOX_SYSFS)
#define TRY_U    SC_ROLE(SANDBOX_HOME)
#define TRY_A    SC_ROLE(SANDBOX_AT_HOME)
#define TRY_G    SC_ROLE(SANDBOX_SIGNAL)
#define TRY_B    SC_ROLE(SANDBOX_REBOOT)
#define TRY_ALL  (SC_ROLE(SANDBOX_ROLE_COUNT) - 1)
#define TRY_C    (TRY_ALL & ~(TRY_F | TRY_I | TRY_W | TRY_P))
#define TRY_NONE 0

/* The sanitizers' report reads files. */
#define TRY_REPORT (SANDBOX_SANITIZED ? TRY_W | TRY_P | TRY_C : TRY_NONE)

#ifdef __x86_64__
#define TRY_X32_GETPID (0x40000000 | SCMP_SYS(getpid))
#else
#define TRY_X32_GETPID (-1)
#endif

#define TRY_NO_PID  INT_MAX /* above every pid_max */
#define TRY_AT_FORK (CLONE_PIDFD | SIGCHLD)

/* clang-format off */
static const struct try_call try_calls[] = {
	/* files */
	{"open",            SCMP_SYS(open),              TRY_REPORT, {0, O_RDONLY}},
	{"open-write",      SCMP_SYS(open),              TRY_NONE,   {0, O_WRONLY}},
	{"openat",          SCMP_SYS(openat),            TRY_I | TRY_P | TRY_M | TRY_O | TRY_N | TRY_REPORT,
	 {-1, 0, O_RDONLY}},
	{"openat-path",     SCMP_SYS(openat),
	 TRY_I | TRY_P | TRY_M | TRY_L | TRY_O | TRY_N | TRY_REPORT, {-1, 0, O_PATH}},
	{"openat-write",    SCMP_SYS(openat),            TRY_N,      {-1, 0, O_WRONLY}},
	{"openat-rdwr",     SCMP_SYS(openat),            TRY_N,      {-1, 0, O_RDWR}},
	{"openat-create",   SCMP_SYS(openat),            TRY_N,
	 {-1, 0, O_RDONLY | O_CREAT}},
	{"openat-truncate", SCMP_SYS(openat),            TRY_N,
	 {-1, 0, O_RDONLY | O_TRUNC}},
	{"openat-tmpfile",  SCMP_SYS(openat),            TRY_N,
	 {-1, 0, O_RDWR | O_TMPFILE}},
	{"openat2",         SCMP_SYS(openat2),
	 TRY_I | TRY_S | TRY_M | TRY_N | TRY_K | TRY_Y | TRY_U | TRY_A | TRY_G, {-1}},
	{"open_by_handle",  SCMP_SYS(open_by_handle_at), TRY_NONE,   {-1}},
	{"creat",           SCMP_SYS(creat),             TRY_NONE,   {0}},
	{"unlinkat",        SCMP_SYS(unlinkat),          TRY_N | TRY_U | TRY_A, {-1}},
	{"renameat2",       SCMP_SYS(renameat2),         TRY_U | TRY_A, {-1, 0, -1}},
	{"renameat2-flags", SCMP_SYS(renameat2),         TRY_NONE,   {-1, 0, -1, 0, 2}},
	{"mkdirat",         SCMP_SYS(mkdirat),           TRY_U | TRY_A, {-1, 0, 0700}},
	{"mkdirat-open",    SCMP_SYS(mkdirat),           TRY_NONE,   {-1, 0, 0777}},
	{"fchmod",          SCMP_SYS(fchmod),            TRY_N | TRY_U | TRY_A, {-1, 0600}},
	{"fchmod-open",     SCMP_SYS(fchmod),            TRY_N,      {-1, 0644}},
	{"fchown",          SCMP_SYS(fchown),            TRY_N,      {-1, -1, -1}},
	{"fchmodat",        SCMP_SYS(fchmodat),          TRY_NONE,   {-1}},
	{"newfstatat",      SCMP_SYS(newfstatat),        TRY_ALL,    {-1}},
	{"readlinkat",      SCMP_SYS(readlinkat),
	 TRY_I | TRY_P | TRY_M | TRY_L | TRY_G, {-1}},
	{"getdents64",      SCMP_SYS(getdents64),
	 TRY_I | TRY_S | TRY_P | TRY_M | TRY_Y, {-1}},
	{"statx",           SCMP_SYS(statx),             TRY_ALL,    {-1}},
	{"open_tree",       SCMP_SYS(open_tree),         TRY_M,      {-1}},
	{"move_mount",      SCMP_SYS(move_mount),        TRY_NONE,   {-1, 0, -1}},
	{"umount2",         SCMP_SYS(umount2),           TRY_NONE,   {0}},
	{"ioctl-fifreeze",  SCMP_SYS(ioctl),             TRY_Z,      {-1, FIFREEZE}},
	{"ioctl-fithaw",    SCMP_SYS(ioctl),             TRY_M | TRY_T, {-1, FITHAW}},
	{"ioctl-fitrim",    SCMP_SYS(ioctl),             TRY_M,      {-1, FITRIM}},
	{"ioctl-loop",      SCMP_SYS(ioctl),             TRY_M,
	 {-1, LOOP_GET_STATUS64}},
	{"ioctl-loop-set",  SCMP_SYS(ioctl),             TRY_NONE,   {-1, LOOP_SET_FD}},
	{"ioctl-shutdown",  SCMP_SYS(ioctl),             TRY_NONE,
	 {-1, _IOR('X', 125, uint32_t)}},
	{"ioctl-nvme",      SCMP_SYS(ioctl),             TRY_S,
	 {-1, NVME_IOCTL_ADMIN_CMD}},
	{"ioctl-nvme-io",   SCMP_SYS(ioctl),             TRY_NONE,
	 {-1, NVME_IOCTL_IO_CMD}},
	{"ioctl-rtc",       SCMP_SYS(ioctl),             TRY_K,      {-1, RTC_SET_TIME}},
	{"ioctl-rtc-wake",  SCMP_SYS(ioctl),             TRY_NONE,   {-1, RTC_WKALM_SET}},
	{"ioctl-tcgets",    SCMP_SYS(ioctl),             TRY_ALL,    {-1, TCGETS}},

	/* sockets */
	{"socket",          SCMP_SYS(socket),            TRY_NONE,   {AF_INET, -1}},
	{"socket-unix",     SCMP_SYS(socket),            TRY_NONE,   {AF_UNIX, -1}},
	{"socketpair",      SCMP_SYS(socketpair),        TRY_W,      {AF_UNIX, -1}},
	{"socketpair-tipc", SCMP_SYS(socketpair),        TRY_NONE,   {AF_TIPC, -1}},
	{"connect",         SCMP_SYS(connect),           TRY_W,      {-1}},
	{"bind",            SCMP_SYS(bind),              TRY_NONE,   {-1}},
	{"accept4",         SCMP_SYS(accept4),           TRY_F | TRY_W | TRY_T, {-1}},
	{"listen",          SCMP_SYS(listen),            TRY_NONE,   {-1}},
	{"sendmsg",         SCMP_SYS(sendmsg),           TRY_ALL,    {-1}},
	{"recvmsg",         SCMP_SYS(recvmsg),           TRY_ALL,    {-1}},

	/* programs and processes */
	{"execve",          SCMP_SYS(execve),            TRY_NONE,   {0}},
	{"execveat",        SCMP_SYS(execveat),          TRY_NONE,   {-1}},
	{"fork",            SCMP_SYS(clone),             TRY_I | TRY_W | TRY_T,
	 {TRY_AT_FORK}},
	{"fork-libc",       SCMP_SYS(clone),             TRY_NONE,   {SIGCHLD}},
	{"clone-newuser",   SCMP_SYS(clone),             TRY_NONE,
	 {TRY_AT_FORK | CLONE_NEWUSER}},
	{"clone-thread",    SCMP_SYS(clone),             TRY_NONE,   {CLONE_THREAD}},
	{"clone3",          SCMP_SYS(clone3),            TRY_NONE,   {0}},
	{"unshare",         SCMP_SYS(unshare),           TRY_NONE,   {0}},
	{"ptrace",          SCMP_SYS(ptrace),            TRY_NONE,
	 {PTRACE_PEEKDATA, TRY_NO_PID}},
	{"vm-readv",        SCMP_SYS(process_vm_readv),  TRY_NONE,   {TRY_NO_PID}},
	{"kill",            SCMP_SYS(kill),              TRY_NONE,   {TRY_NO_PID, 0}},
	{"kill-other",      SCMP_SYS(kill),              TRY_NONE,   {TRY_NO_PID, SIGTERM}},
	{"kill-init",       SCMP_SYS(kill),              TRY_NONE,   {1, 0}},
	{"tgkill-kill",     SCMP_SYS(tgkill),            TRY_NONE,
	 {TRY_NO_PID, TRY_NO_PID, SIGKILL}},
	{"pidfd_open",      SCMP_SYS(pidfd_open),        TRY_NONE,   {-1}},
	{"pidfd-kill",      SCMP_SYS(pidfd_send_signal), TRY_W,      {-1, SIGKILL}},
	{"pidfd-stop",      SCMP_SYS(pidfd_send_signal), TRY_NONE,   {-1, SIGSTOP}},
	{"waitid",          SCMP_SYS(waitid),            TRY_I | TRY_W | TRY_T,
	 {P_PIDFD, -1}},
	{"waitid-any",      SCMP_SYS(waitid),            TRY_NONE,   {P_ALL, -1}},
	{"clock_nanosleep", SCMP_SYS(clock_nanosleep),   TRY_W | TRY_C, {-1}},

	/* privilege */
	{"setresuid",       SCMP_SYS(setresuid),         TRY_NONE,   {-1, -1, -1}},
	{"setgroups",       SCMP_SYS(setgroups),         TRY_U,      {-1}},
	{"setfsuid",        SCMP_SYS(setfsuid),          TRY_U,      {-1}},
	{"capset",          SCMP_SYS(capset),            TRY_W | TRY_O | TRY_U, {0}},
	{"prctl-dumpable",  SCMP_SYS(prctl),             TRY_NONE,
	 {PR_SET_DUMPABLE, -1}},
	{"prctl-vma",       SCMP_SYS(prctl),             TRY_ALL,    {PR_SET_VMA, -1}},
	{"seccomp-filter",  SCMP_SYS(seccomp),           TRY_W | TRY_O | TRY_U,
	 {SECCOMP_SET_MODE_FILTER}},
	{"seccomp-notify",  SCMP_SYS(seccomp),           TRY_NONE,
	 {SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER}},
	{"mount",           SCMP_SYS(mount),             TRY_NONE,   {0}},
	/* Not by these magic numbers, and at no time. */
	{"reboot",          SCMP_SYS(reboot),            TRY_B,
	 {0, 0, LINUX_REBOOT_CMD_RESTART}},
	{"reboot-kexec",    SCMP_SYS(reboot),            TRY_NONE,
	 {0, 0, LINUX_REBOOT_CMD_KEXEC}},
	{"clock_settime",   SCMP_SYS(clock_settime),     TRY_K,      {CLOCK_REALTIME}},
	{"clock-monotonic", SCMP_SYS(clock_settime),     TRY_NONE,   {CLOCK_MONOTONIC}},
	{"setrlimit-size",  SCMP_SYS(setrlimit),         TRY_O,      {RLIMIT_FSIZE}},
	{"setrlimit-core",  SCMP_SYS(setrlimit),         TRY_NONE,   {RLIMIT_CORE}},
	{"bpf",             SCMP_SYS(bpf),               TRY_NONE,   {-1}},
	{"io_uring_setup",  SCMP_SYS(io_uring_setup),    TRY_NONE,   {0}},
	{"x32-getpid",      TRY_X32_GETPID,              TRY_NONE,   {0}},

	/* memory and descriptors */
	{"mmap",            SCMP_SYS(mmap),              TRY_ALL,
	 {0, 0, PROT_READ, MAP_PRIVATE, -1}},
	{"mmap-exec",       SCMP_SYS(mmap),              TRY_NONE,
	 {0, 0, PROT_EXEC, MAP_PRIVATE, -1}},
	{"mmap-shared",     SCMP_SYS(mmap),              TRY_ALL & ~TRY_I,
	 {0, 0, PROT_READ, MAP_SHARED, -1}},
	{"mmap-anonymous",  SCMP_SYS(mmap),              TRY_ALL,
	 {0, 0, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1}},
	{"mmap-validate",   SCMP_SYS(mmap),              TRY_ALL & ~TRY_I,
	 {0, 0, PROT_READ, MAP_SHARED_VALIDATE | MAP_ANONYMOUS, -1}},
	{"mlockall",        SCMP_SYS(mlockall),          TRY_T,      {-1}},
	{"munlockall",      SCMP_SYS(munlockall),        TRY_NONE,   {0}},
	{"mprotect-exec",   SCMP_SYS(mprotect),          TRY_NONE,   {0, 0, PROT_EXEC}},
	{"read",            SCMP_SYS(read),              TRY_ALL,    {-1}},
	{"write",           SCMP_SYS(write),             TRY_ALL,    {-1}},
	{"pread64",         SCMP_SYS(pread64),           TRY_F | TRY_H, {-1}},
	{"pwrite64",        SCMP_SYS(pwrite64),          TRY_NONE,   {-1}},
	{"ftruncate",       SCMP_SYS(ftruncate),         TRY_NONE,    {-1}},
	{"lseek",           SCMP_SYS(lseek),             TRY_F | TRY_I | TRY_W | TRY_O | TRY_H,
	 {-1}},
	{"fsync",           SCMP_SYS(fsync),             TRY_U | TRY_A, {-1}},
	{"dup3",            SCMP_SYS(dup3),              TRY_W | TRY_O, {-1, -1}},
	{"memfd_create",    SCMP_SYS(memfd_create),
	 TRY_F | TRY_W | TRY_P | TRY_H, {0}},
	{"fcntl-seal",      SCMP_SYS(fcntl),             TRY_F | TRY_W | TRY_P | TRY_H,
	 {-1, F_ADD_SEALS}},
	{"fcntl-setfl",     SCMP_SYS(fcntl),             TRY_W,      {-1, F_SETFL}},
	{"fcntl-setown",    SCMP_SYS(fcntl),             TRY_NONE,   {-1, F_SETOWN}},
};
/* clang-format on */

static const char *const try_roles[SANDBOX_ROLE_COUNT] = {
	[SANDBOX_FRONTEND] = "frontend", [SANDBOX_INSPECTOR] = "inspector",
	[SANDBOX_WORKER] = "worker",     [SANDBOX_POLICY] = "policy",
	[SANDBOX_CHILD] = "child",       [SANDBOX_SMART] = "smart",
	[SANDBOX_MOUNTS] = "mounts",     [SANDBOX_FREEZER] = "freezer",
	[SANDBOX_THAWER] = "thawer",     [SANDBOX_LOOK] = "look",
	[SANDBOX_OPEN] = "open",         [SANDBOX_MAKE] = "make",
	[SANDBOX_HANDLE] = "handle",     [SANDBOX_CLOCK] = "clock",
	[SANDBOX_SYSFS] = "sysfs",       [SANDBOX_HOME] = "home",
	[SANDBOX_AT_HOME] = "at-home",   [SANDBOX_SIGNAL] = "signal",
	[SANDBOX_REBOOT] = "reboot",
};

#define TRY_FILTERS_MAX 2

/* The filters of what ROLE is in the agent as sets of roles, the first first; how many.
 */
static inline size_t try_filters(enum sandbox_role role,
				 uint32_t filters[TRY_FILTERS_MAX])
{
	const uint32_t bare = SC_ROLE(SANDBOX_CHILD);
	const uint32_t narrow = bare | (role > SANDBOX_CHILD ? SC_ROLE(role) : 0);

	filters[0] = SC_ROLE(role);
	if (role < SANDBOX_CHILD)
		return 1;
	/* A child narrows the filter of a worker that may need such a child. */
	filters[0] = SC_ROLE(SANDBOX_WORKER) | narrow;
	filters[1] = narrow;
	return 2;
}

/* The identity of what ROLE is in the agent. 0, or -1 with errno. */
static inline int try_drop(enum sandbox_role role, const char **step)
{
	const struct identity nobody = {.uid = 65534, .gid = 65534};

	if (role <= SANDBOX_INSPECTOR)
		return identity_drop(&nobody, step);
	return role == SANDBOX_POLICY ? identity_drop(NULL, step) : 0;
}

/* Become what ROLE is in the agent. 0, or -1 with errno. */
static inline int try_enter(enum sandbox_role role, const char **step)
{
	uint32_t filters[TRY_FILTERS_MAX] = {0};
	const size_t n = try_filters(role, filters);

	if (try_drop(role, step) < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		if (sandbox_enter(filters[i], step) < 0)
			return -1;
	return 0;
}

static inline void try_syscall(const struct try_call *c)
{
	const long *a = c->args;

	syscall(c->nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}

#endif
