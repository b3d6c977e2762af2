/*
 * tests/unit/test_filters.c - each filter does what libseccomp makes of the same rows
 *
 * Runs in:   a test
 * Input:     the table of system calls
 * May touch: memory
 * Must not:  load a filter
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>

#include "ipc/ops.h"
#include "tests/lib/trycall.h"

#define CALLS_END 600 /* above every number of a call */

/* ---- the kernel's machine, as far as filters of either kind use it ---- */

static uint32_t load(const struct seccomp_data *d, uint32_t at)
{
	uint32_t v;

	assert_true(at % sizeof(v) == 0 && at <= sizeof(*d) - sizeof(v));
	memcpy(&v, (const char *)d + at, sizeof(v));
	return v;
}

static size_t jump(const struct sock_filter *f, uint32_t a)
{
	switch (BPF_OP(f->code)) {
	case BPF_JA:
		return f->k;
	case BPF_JEQ:
		return a == f->k ? f->jt : f->jf;
	case BPF_JGE:
		return a >= f->k ? f->jt : f->jf;
	case BPF_JGT:
		return a > f->k ? f->jt : f->jf;
	default:
		fail_msg("jump %#x", f->code);
		return 0;
	}
}

static uint32_t run(const struct sock_fprog *prog, const struct seccomp_data *d)
{
	uint32_t a = 0;

	for (size_t i = 0; i < prog->len; i++) {
		const struct sock_filter *f = &prog->filter[i];

		if (f->code == (BPF_LD | BPF_W | BPF_ABS))
			a = load(d, f->k);
		else if (f->code == (BPF_ALU | BPF_AND | BPF_K))
			a &= f->k;
		else if (BPF_CLASS(f->code) == BPF_JMP)
			i += jump(f, a);
		else if (f->code == (BPF_RET | BPF_K))
			return f->k;
		else
			fail_msg("instruction %#x", f->code);
	}
	fail_msg("no end");
	return 0;
}

/* ---- the same rows by libseccomp ---- */

static void add_rule(scmp_filter_ctx ctx, const struct sc_rule *rule)
{
	struct scmp_arg_cmp cmp[SC_CONDS_MAX];
	const uint32_t action =
		rule->err ? SCMP_ACT_ERRNO((uint32_t)rule->err) : SCMP_ACT_ALLOW;
	unsigned int n = 0;

	for (size_t i = 0; i < SC_CONDS_MAX; i++)
		if (rule->when[i].mask)
			cmp[n++] = SCMP_CMP(rule->when[i].arg, SCMP_CMP_MASKED_EQ,
					    rule->when[i].mask, rule->when[i].want);
	assert_int_equal(seccomp_rule_add_exact_array(ctx, action, rule->nr, n, cmp), 0);
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

static void export(scmp_filter_ctx ctx, struct sock_fprog *prog)
{
	CLEANUP(close_p) int fd = memfd_create("filter", MFD_CLOEXEC);
	const size_t max = BPF_MAXINSNS * sizeof(*prog->filter);
	ssize_t len;

	assert_int_equal(seccomp_export_bpf(ctx, fd), 0);
	prog->filter = malloc(max);
	assert_non_null(prog->filter);
	len = pread(fd, prog->filter, max, 0);
	assert_true(len > 0 && (size_t)len < max);
	prog->len = (unsigned short)((size_t)len / sizeof(*prog->filter));
}

static void by_libseccomp(uint32_t roles, struct sock_fprog *prog)
{
	size_t n;
	const struct sc_rule *rules = sandbox_rules(&n);
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);

	assert_non_null(ctx);
	assert_int_equal(
		seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS), 0);
	for (size_t i = 0; i < n; i++)
		if (rules[i].nr >= 0 && rules[i].roles & roles &&
		    (!rules[i].err || !is_allowed(rules, n, rules[i].nr, roles)))
			add_rule(ctx, &rules[i]);
	export(ctx, prog);
	seccomp_release(ctx);
}

/* ---- both asked the same ---- */

struct both {
	uint32_t roles;
	struct sock_fprog ours, theirs;
	size_t asked, let_through;
};

static void ask(struct both *b, const struct seccomp_data *d)
{
	const uint32_t ours = run(&b->ours, d);

	if (ours != run(&b->theirs, d))
		fail_msg("roles %#x, call %d of %#x (%#llx, %#llx, %#llx, ...): %#x, and "
			 "by "
			 "libseccomp %#x",
			 b->roles, d->nr, d->arch, (unsigned long long)d->args[0],
			 (unsigned long long)d->args[1], (unsigned long long)d->args[2],
			 ours, run(&b->theirs, d));
	b->asked++;
	b->let_through += ours == SECCOMP_RET_ALLOW;
}

/* What an argument is made to be so that a condition on it holds, or fails by one bit. */
static void vary(struct both *b, struct seccomp_data *d, const struct sc_cond *c)
{
	const uint64_t was = d->args[c->arg];

	for (unsigned int bit = 0; bit <= 64; bit++) {
		d->args[c->arg] = c->want ^ (bit < 64 ? UINT64_C(1) << bit : 0);
		ask(b, d);
		d->args[c->arg] |= ~(uint64_t)c->mask;
		ask(b, d);
	}
	d->args[c->arg] = was;
}

static void ask_row(struct both *b, const struct sc_rule *rule)
{
	struct seccomp_data d = {.nr = rule->nr, .arch = seccomp_arch_native()};

	for (size_t i = 0; i < SC_CONDS_MAX; i++)
		if (rule->when[i].mask)
			d.args[rule->when[i].arg] = rule->when[i].want;
	ask(b, &d);
	for (size_t i = 0; i < SC_CONDS_MAX; i++)
		if (rule->when[i].mask)
			vary(b, &d, &rule->when[i]);
}

static void ask_number(struct both *b, int nr)
{
	static const uint64_t values[] = {0, 1, UINT32_MAX, UINT64_MAX};
	struct seccomp_data d = {.nr = nr, .arch = seccomp_arch_native()};

	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		for (size_t k = 0; k < ARRAY_SIZE(d.args); k++)
			d.args[k] = values[i];
		ask(b, &d);
	}
}

static void ask_all(struct both *b)
{
	size_t n;
	const struct sc_rule *rules = sandbox_rules(&n);

	for (int nr = -2; nr < CALLS_END; nr++) {
		ask_number(b, nr);
		ask_number(b, nr ^ 0x40000000); /* x32 */
	}
	for (size_t i = 0; i < n; i++)
		if (rules[i].nr >= 0) /* whoever has the row */
			ask_row(b, &rules[i]);
}

static void compare(uint32_t roles)
{
	struct both b = {.roles = roles};

	assert_int_equal(sandbox_compile(roles, &b.ours), 0);
	by_libseccomp(roles, &b.theirs);
	ask_all(&b);
	assert_true(b.asked > 5000 && b.let_through > 50);
	free(b.ours.filter);
	free(b.theirs.filter);
}

/* ---- tests ---- */

static void of_each_process(void **state)
{
	(void)state;
	for (enum sandbox_role role = 0; role < SANDBOX_ROLE_COUNT; role++) {
		uint32_t filters[TRY_FILTERS_MAX] = {0};

		for (size_t i = try_filters(role, filters); i-- > 0;)
			compare(filters[i]);
	}
}

static void of_each_child(void **state)
{
	(void)state;
	for (uint32_t op = OP_NONE; op < OP_MAX; op++)
		if (op_by_number(op) && op_by_number(op)->carrier == BY_CHILD)
			compare(sandbox_child_roles(op));
}

/* Workers of any policy: which children each may need. */
static void of_many_workers(void **state)
{
	const uint32_t confined = SC_ROLE(SANDBOX_FRONTEND) | SC_ROLE(SANDBOX_INSPECTOR) |
				  SC_ROLE(SANDBOX_POLICY);
	uint32_t some = 12345;

	(void)state;
	compare((SC_ROLE(SANDBOX_ROLE_COUNT) - 1) & ~confined);
	for (int i = 0; i < 20; i++) {
		some = some * 1103515245 + 12345;
		compare((SC_ROLE(SANDBOX_WORKER) | SC_ROLE(SANDBOX_CHILD) | some >> 8) &
			(SC_ROLE(SANDBOX_ROLE_COUNT) - 1) & ~confined);
	}
}

static void calls_of_another_machine(void **state)
{
	static const uint32_t others[] = {0, AUDIT_ARCH_I386, AUDIT_ARCH_ARM,
					  AUDIT_ARCH_RISCV64, UINT32_MAX};
	struct sock_fprog prog;

	(void)state;
	assert_int_equal(sandbox_compile(SC_ROLE(SANDBOX_FRONTEND), &prog), 0);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		for (int nr = 0; nr < CALLS_END; nr++)
			assert_int_equal(
				run(&prog,
				    &(struct seccomp_data){.nr = nr, .arch = others[i]}),
				SECCOMP_RET_KILL_PROCESS);
	free(prog.filter);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(of_each_process),
		cmocka_unit_test(of_each_child),
		cmocka_unit_test(of_many_workers),
		cmocka_unit_test(calls_of_another_machine),
	};

	return cmocka_run_group_tests_name("filters", tests, NULL, NULL);
}
