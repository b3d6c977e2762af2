/*
 * sandbox/seccomp.c - seal a process with its rows of the table
 *
 * Runs in:   frontend, inspector, worker, reader; op children (narrow the worker's)
 * Input:     the filter that compile.c makes
 * May touch: the calling process's filters, limits and dumpable flag
 * Must not:  continue when a step fails
 */
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>

#include "ipc/util.h"
#include "sandbox/sandbox.h"

int sandbox_load(const struct sock_fprog *prog)
{
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, prog);
}

/* What is done once per program and inherited by its children. */
static int seal_program(uint32_t roles, const char **step)
{
	*step = "identity";
	if (!(roles & SC_ROLE(SANDBOX_WORKER)) &&
	    !identity_dropped(roles & SC_ROLE(SANDBOX_POLICY))) {
		errno = EPERM;
		return -1;
	}
	*step = "memory, core and new privileges";
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ||
	    setrlimit(RLIMIT_CORE, &(struct rlimit){0}) < 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	*step = "memory budget";
	if (sandbox_budget(roles) < 0)
		return -1;
	/* The first gmtime_r or localtime_r would open /etc/localtime. */
	tzset();
	return 0;
}

/* The processes that execute a program; a child goes on from there. */
#define PROGRAMS                                                  \
	(SC_ROLE(SANDBOX_FRONTEND) | SC_ROLE(SANDBOX_INSPECTOR) | \
	 SC_ROLE(SANDBOX_WORKER) | SC_ROLE(SANDBOX_POLICY))

int sandbox_enter(uint32_t roles, const char **step)
{
	struct sock_fprog prog = {0};
	int r;

	if (roles & PROGRAMS && seal_program(roles, step) < 0)
		return -1;
	*step = "system call filter";
	if (sandbox_compile(roles, &prog) < 0)
		return -1;
	r = sandbox_load(&prog);
	free(prog.filter);
	return r;
}
