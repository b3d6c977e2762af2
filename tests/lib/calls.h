/*
 * tests/lib/calls.h - how many system calls does a function make?
 *
 * Runs in:   unit tests
 * Input:     the test's function
 * May touch: a child of its own, which it traces
 * Must not:  count what the child needs to come and go
 */
#ifndef POSTERN_TESTS_CALLS_H
#define POSTERN_TESTS_CALLS_H

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* A call that nobody makes by chance stands before the function and behind it. */
#define CALLS_MARK SYS_getpgid

static inline void calls_child(void (*fn)(void *arg), void *arg)
{
	if (ptrace(PTRACE_TRACEME, 0, 0, 0) < 0)
		_exit(1);
	kill(getpid(), SIGSTOP);
	syscall(CALLS_MARK, 0);
	fn(arg);
	syscall(CALLS_MARK, 0);
	_exit(0);
}

/* Wait for the next entry of a system call; its number, or -1 if the child has ended. */
static inline long calls_next(pid_t child)
{
	struct __ptrace_syscall_info info;
	int sig = 0;
	int status;

	do {
		if (ptrace(PTRACE_SYSCALL, child, 0, sig) < 0 ||
		    waitpid(child, &status, 0) != child || !WIFSTOPPED(status))
			return -1;
		/* A signal goes on to the child: its own children end. */
		sig = WSTOPSIG(status) == (SIGTRAP | 0x80) ? 0 : WSTOPSIG(status);
		info.op = PTRACE_SYSCALL_INFO_NONE;
		if (!sig)
			ptrace(PTRACE_GET_SYSCALL_INFO, child, sizeof(info), &info);
	} while (info.op != PTRACE_SYSCALL_INFO_ENTRY);
	return (long)info.entry.nr;
}

/*
 * The system calls of FN(ARG), in a child, so that nothing it changes is seen here. -1 if
 * FN did not return. Skips the test where a process may not trace its child.
 */
static inline long calls_of(void (*fn)(void *arg), void *arg)
{
	pid_t child = fork();
	long nr, n;
	int status;

	assert_true(child >= 0);
	if (!child)
		calls_child(fn, arg);
	assert_int_equal(waitpid(child, &status, 0), child);
	if (!WIFSTOPPED(status))
		skip();
	assert_int_equal(ptrace(PTRACE_SETOPTIONS, child, 0,
				PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL),
			 0);
	while ((nr = calls_next(child)) >= 0 && nr != CALLS_MARK)
		;
	for (n = 0; nr >= 0 && (nr = calls_next(child)) != CALLS_MARK; n++)
		;
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	return nr < 0 ? -1 : n;
}

#endif
