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
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

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
#define TRY_C    (SC_ROLE(SANDBOX_CHILD) | TRY_S | TRY_M | TRY_Z | TRY_T)
#define TRY_ALL  (TRY_F | TRY_I | TRY_W | TRY_P | TRY_C)
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
	{"openat",          SCMP_SYS(openat),            TRY_I | TRY_P | TRY_M | TRY_REPORT,
	 {-1, 0, O_RDONLY}},
	{"openat-write",    SCMP_SYS(openat),            TRY_NONE,   {-1, 0, O_WRONLY}},
	{"openat-rdwr",     SCMP_SYS(openat),            TRY_NONE,   {-1, 0, O_RDWR}},
	{"openat-create",   SCMP_SYS(openat),            TRY_NONE,
	 {-1, 0, O_RDONLY | O_CREAT}},
	{"openat-truncate", SCMP_SYS(openat),            TRY_NONE,
	 {-1, 0, O_RDONLY | O_TRUNC}},
	{"openat-tmpfile",  SCMP_SYS(openat),            TRY_NONE,
	 {-1, 0, O_RDWR | O_TMPFILE}},
	{"openat2",         SCMP_SYS(openat2),           TRY_I | TRY_S | TRY_M, {-1}},
	{"open_by_handle",  SCMP_SYS(open_by_handle_at), TRY_NONE,   {-1}},
	{"creat",           SCMP_SYS(creat),             TRY_NONE,   {0}},
	{"unlinkat",        SCMP_SYS(unlinkat),          TRY_NONE,   {-1}},
	{"renameat2",       SCMP_SYS(renameat2),         TRY_NONE,   {-1, 0, -1}},
	{"fchmodat",        SCMP_SYS(fchmodat),          TRY_NONE,   {-1}},
	{"newfstatat",      SCMP_SYS(newfstatat),        TRY_ALL,    {-1}},
	{"readlinkat",      SCMP_SYS(readlinkat),        TRY_I | TRY_P | TRY_M, {-1}},
	{"getdents64",      SCMP_SYS(getdents64),
	 TRY_I | TRY_S | TRY_P | TRY_M, {-1}},
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
	{"capset",          SCMP_SYS(capset),            TRY_W,      {0}},
	{"prctl-dumpable",  SCMP_SYS(prctl),             TRY_NONE,
	 {PR_SET_DUMPABLE, -1}},
	{"prctl-vma",       SCMP_SYS(prctl),             TRY_ALL,    {PR_SET_VMA, -1}},
	{"seccomp-filter",  SCMP_SYS(seccomp),           TRY_W,
	 {SECCOMP_SET_MODE_FILTER}},
	{"seccomp-notify",  SCMP_SYS(seccomp),           TRY_NONE,
	 {SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER}},
	{"mount",           SCMP_SYS(mount),             TRY_NONE,   {0}},
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
	{"pwrite64",        SCMP_SYS(pwrite64),          TRY_NONE,   {-1}},
	{"memfd_create",    SCMP_SYS(memfd_create),      TRY_F | TRY_W | TRY_P, {0}},
	{"fcntl-seal",      SCMP_SYS(fcntl),             TRY_F | TRY_W | TRY_P,
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
	[SANDBOX_THAWER] = "thawer",
};

/* Become what ROLE is in the agent. 0, or -1 with errno. */
static inline int try_enter(enum sandbox_role role, const char **step)
{
	const struct identity nobody = {.uid = 65534, .gid = 65534};

	const uint32_t bare = SC_ROLE(SANDBOX_CHILD);
	const uint32_t more = role > SANDBOX_CHILD ? SC_ROLE(role) : 0;

	/* A child narrows the filter of a worker that may need such a child. */
	if (role >= SANDBOX_CHILD) {
		if (sandbox_enter(SC_ROLE(SANDBOX_WORKER) | bare | more, step) < 0)
			return -1;
		return sandbox_enter(bare | more, step);
	}
	if (role != SANDBOX_WORKER &&
	    identity_drop(role == SANDBOX_POLICY ? NULL : &nobody, step) < 0)
		return -1;
	return sandbox_enter(SC_ROLE(role), step);
}

static inline void try_syscall(const struct try_call *c)
{
	const long *a = c->args;

	syscall(c->nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}

#endif
