/*
 * sandbox/compile.c - rows of the table as a program of the kernel's packet filter
 *
 * Runs in:   frontend, inspector, worker, reader; op children
 * Input:     the const table of filters.c
 * May touch: memory
 * Must not:  let pass what no row names
 *
 * Not libseccomp: it takes a millisecond and a hundred kilobytes in each process for what
 * is a list of comparisons. A test holds every filter against what libseccomp makes of
 * the same rows.
 *
 * After the machine was looked at, one block per call: the rows that allow
 * it, then those that let it fail, each with its conditions; the first that holds
 * decides.
 */
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stddef.h>

#include "ipc/util.h"
#include "sandbox/sandbox.h"

/* Calls of another machine have other numbers, as those of 32 bits on this one have. */
#if defined(__x86_64__)
#define MACHINE AUDIT_ARCH_X86_64
#elif defined(__aarch64__) && defined(__AARCH64EL__)
#define MACHINE AUDIT_ARCH_AARCH64
#else
#define MACHINE 0 /* none that we know */
#endif

#define LOAD  (BPF_LD | BPF_W | BPF_ABS)
#define AND   (BPF_ALU | BPF_AND | BPF_K)
#define EQUAL (BPF_JMP | BPF_JEQ | BPF_K)
#define RET   (BPF_RET | BPF_K)

#define JUMP_MAX 255 /* of a comparison */

struct code {
	struct sock_filter *p; /* BPF_MAXINSNS of them */
	size_t n;              /* may be more than that: then it is too long */
};

/* YES and NO: how many instructions are skipped. */
static void put(struct code *c, uint16_t op, uint32_t k, size_t yes, size_t no)
{
	if (c->n < BPF_MAXINSNS)
		c->p[c->n] = (struct sock_filter){op, (uint8_t)yes, (uint8_t)no, k};
	c->n++;
}

static uint32_t action(const struct sc_rule *rule)
{
	return rule->err ? SECCOMP_RET_ERRNO | ((uint32_t)rule->err & SECCOMP_RET_DATA)
			 : SECCOMP_RET_ALLOW;
}

/* The low half of an argument; both machines are little-endian. */
static size_t argument(uint32_t arg)
{
	return offsetof(struct seccomp_data, args) + arg * sizeof(uint64_t);
}

static size_t cond_len(const struct sc_cond *cond)
{
	if (!cond->mask)
		return 0;
	return cond->mask == UINT32_MAX ? 2 : 3;
}

/* Go on if COND holds, else skip REST instructions as well. */
static void put_cond(struct code *c, const struct sc_cond *cond, size_t rest)
{
	put(c, LOAD, (uint32_t)argument(cond->arg), 0, 0);
	if (cond->mask != UINT32_MAX)
		put(c, AND, cond->mask, 0, 0);
	put(c, EQUAL, cond->want, 0, rest);
}

/* If all conditions hold its action, else on to what follows. */
static void put_rule(struct code *c, const struct sc_rule *rule)
{
	size_t rest = 1; /* the action */

	for (size_t i = 0; i < SC_CONDS_MAX; i++)
		rest += cond_len(&rule->when[i]);
	for (size_t i = 0; i < SC_CONDS_MAX && rule->when[i].mask; i++) {
		rest -= cond_len(&rule->when[i]);
		put_cond(c, &rule->when[i], rest);
	}
	put(c, RET, action(rule), 0, 0);
}

/* The table, as far as ROLES have it. */
struct rows {
	const struct sc_rule *v;
	size_t n;
	uint32_t roles;
};

static bool is_of(const struct rows *rows, size_t i, int nr)
{
	return rows->v[i].nr == nr && rows->v[i].roles & rows->roles;
}

/* False: one of them had no condition, and nothing is left that could follow. */
static bool put_rows(struct code *c, const struct rows *rows, int nr, bool fail)
{
	for (size_t i = 0; i < rows->n; i++) {
		if (!is_of(rows, i, nr) || !rows->v[i].err != !fail)
			continue;
		put_rule(c, &rows->v[i]);
		if (!rows->v[i].when[0].mask)
			return false;
	}
	return true;
}

/* The block of one call. False: it is too long for the jump across it. */
static bool put_call(struct code *c, const struct rows *rows, int nr)
{
	const size_t at = c->n;
	size_t len;

	put(c, EQUAL, (uint32_t)nr, 0, 0);
	if (put_rows(c, rows, nr, false) && put_rows(c, rows, nr, true))
		put(c, RET, SECCOMP_RET_KILL_PROCESS, 0, 0);
	len = c->n - at - 1;
	if (c->n > BPF_MAXINSNS || len > JUMP_MAX)
		return false;
	c->p[at].jf = (uint8_t)len;
	return true;
}

static bool is_first(const struct rows *rows, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (is_of(rows, k, rows->v[i].nr))
			return false;
	return rows->v[i].nr >= 0 && is_of(rows, i, rows->v[i].nr);
}

static bool put_all(struct code *c, const struct rows *rows)
{
	put(c, LOAD, offsetof(struct seccomp_data, arch), 0, 0);
	put(c, EQUAL, MACHINE, 1, 0);
	put(c, RET, SECCOMP_RET_KILL_PROCESS, 0, 0);
	put(c, LOAD, offsetof(struct seccomp_data, nr), 0, 0);
	for (size_t i = 0; i < rows->n; i++)
		if (is_first(rows, i) && !put_call(c, rows, rows->v[i].nr))
			return false;
	put(c, RET, SECCOMP_RET_KILL_PROCESS, 0, 0);
	return c->n <= BPF_MAXINSNS;
}

int sandbox_compile(uint32_t roles, struct sock_fprog *prog)
{
	CLEANUP(free_p) struct sock_filter *p = malloc(BPF_MAXINSNS * sizeof(*p));
	struct code code = {.p = p};
	struct rows rows = {.roles = roles};

	rows.v = sandbox_rules(&rows.n);
	if (!MACHINE || !p || !put_all(&code, &rows)) {
		errno = !MACHINE ? ENOSYS : !p ? ENOMEM : E2BIG;
		return -1;
	}
	prog->len = (unsigned short)code.n;
	/* Some are kept. To make it smaller does not fail. */
	prog->filter = realloc(TAKE_PTR(p), code.n * sizeof(*p));
	return prog->filter ? 0 : -1;
}
