/*
 * sandbox/seccomp.c - seal a process with its rows of the table
 *
 * Runs in:   frontend, inspector, worker, reader; op children (narrow the worker's)
 * Input:     the const table of filters.c
 * May touch: the calling process's filters, limits and dumpable flag
 * Must not:  continue when a step fails
 */
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>

#include "ipc/util.h"
#include "sandbox/sandbox.h"

#define FILTER_MAX (BPF_MAXINSNS * sizeof(struct sock_filter))

static void release_p(scmp_filter_ctx *ctx)
{
	seccomp_release(*ctx);
}

/* libseccomp returns what it has to say as a negative errno. */
static int failed(int r)
{
	errno = -r;
	return -1;
}

static int add_rule(scmp_filter_ctx ctx, const struct sc_rule *rule)
{
	struct scmp_arg_cmp cmp[SC_CONDS_MAX];
	unsigned int n = 0;

	for (size_t i = 0; i < SC_CONDS_MAX; i++) {
		const struct sc_cond *c = &rule->when[i];

		if (c->mask)
			cmp[n++] = SCMP_CMP(c->arg, SCMP_CMP_MASKED_EQ, c->mask, c->want);
	}
	/* "Exact", since the other kind may widen what it cannot express. */
	return seccomp_rule_add_exact_array(
		ctx, rule->err ? SCMP_ACT_ERRNO((uint32_t)rule->err) : SCMP_ACT_ALLOW,
		rule->nr, n, cmp);
}

/* What one of the roles may do is not refused because another can do without it. */
static bool is_allowed(const struct sc_rule *rules, size_t n, int nr, uint32_t roles)
{
	for (size_t i = 0; i < n; i++)
		if (rules[i].nr == nr && rules[i].roles & roles && !rules[i].err &&
		    !rules[i].when[0].mask)
			return true;
	return false;
}

static int add_roles(scmp_filter_ctx ctx, uint32_t roles)
{
	size_t n;
	const struct sc_rule *rules = sandbox_rules(&n);
	/* Calls of another ABI of the machine (32 bits, x32) have other numbers. */
	int r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);

	for (size_t i = 0; i < n && r == 0; i++) {
		if (rules[i].nr < 0 || !(rules[i].roles & roles))
			continue;
		if (!rules[i].err || !is_allowed(rules, n, rules[i].nr, roles))
			r = add_rule(ctx, &rules[i]);
	}
	return r;
}

/* libseccomp hands out a compiled filter only through a descriptor. */
static int export_bpf(scmp_filter_ctx ctx, struct sock_fprog *prog)
{
	CLEANUP(close_p) int fd = memfd_create("filter", MFD_CLOEXEC);
	CLEANUP(free_p) struct sock_filter *code = malloc(FILTER_MAX);
	ssize_t len;
	int r;

	if (fd < 0 || !code)
		return -1;
	r = seccomp_export_bpf(ctx, fd);
	if (r < 0)
		return failed(r);
	len = pread(fd, code, FILTER_MAX, 0);
	if (len < 0)
		return -1;
	prog->len = (unsigned short)((size_t)len / sizeof(*code));
	prog->filter = TAKE_PTR(code);
	return 0;
}

int sandbox_compile(uint32_t roles, struct sock_fprog *prog)
{
	CLEANUP(release_p) scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r;

	if (!ctx) {
		errno = ENOMEM;
		return -1;
	}
	r = add_roles(ctx, roles);
	return r < 0 ? failed(r) : export_bpf(ctx, prog);
}

/* Not seccomp_load: that asks the kernel what it can do, with calls a filter would need.
 */
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
