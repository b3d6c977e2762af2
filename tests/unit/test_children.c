/*
 * tests/unit/test_children.c - each op child has what its row of the table says
 *
 * Runs in:   a test
 * Input:     the table; /proc of the children
 * May touch: children of its own, which do nothing
 * Must not:  carry an operation out
 */
/* run: admin */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <linux/landlock.h>
#include <linux/openat2.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ipc/launch.h"
#include "sandbox/sandbox.h"
#include "worker/worker.h"

/* The value behind NAME in /proc/PID/FILE, a number of BASE. */
static uint64_t value_of(const char *file, const char *name, int base)
{
	char text[8192];
	const char *at;
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, text, sizeof(text) - 1);

	close(fd);
	assert_true(n > 0);
	text[n] = '\0';
	at = strstr(text, name);
	assert_non_null(at);
	return strtoull(at + strlen(name), NULL, base);
}

static uint64_t status_of(pid_t pid, const char *name, int base)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	return value_of(path, name, base);
}

static pid_t pid_of(const struct child *c)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", c->exit.fd);
	return (pid_t)value_of(path, "\nPid:\t", 10);
}

static size_t descriptors_of(pid_t pid)
{
	char path[64];
	size_t n = 0;

	for (int fd = 0; fd < 64; fd++) {
		snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, fd);
		n += faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
	}
	return n;
}

static void ended(struct child *c, int code, int status)
{
	(void)c;
	(void)code;
	(void)status;
}

/* It waits for a word, sealed, and goes. */
static _Noreturn void wait_and_go(void)
{
	char byte;

	_exit(read(CHILD_FD_FIRST, &byte, 1) < 0);
}

static void check(uint32_t op, uint64_t held, uint64_t filters, pid_t pid)
{
	const char *const sets[] = {"\nCapPrm:\t", "\nCapEff:\t"};
	const uint64_t want = op_by_number(op)->caps & held;
	const bool opens = sandbox_child_roles(op) != SC_ROLE(SANDBOX_CHILD);

	for (size_t i = 0; i < ARRAY_SIZE(sets); i++)
		if (status_of(pid, sets[i], 16) != want)
			fail_msg("%s: %s%llx, not %llx", op_by_number(op)->name, sets[i],
				 (unsigned long long)status_of(pid, sets[i], 16),
				 (unsigned long long)want);
	assert_int_equal(status_of(pid, "\nCapInh:\t", 16), 0);
	assert_int_equal(status_of(pid, "\nCapAmb:\t", 16), 0);
	assert_int_equal(status_of(pid, "\nSeccomp_filters:\t", 10), filters + 1);
	assert_int_equal(status_of(pid, "\nNoNewPrivs:\t", 10), 1);
	/* Three that are /dev/null, its socket, and the root directory if it opens. */
	assert_int_equal(descriptors_of(pid), opens ? 5 : 4);
}

static void drop_filters(struct fences *f)
{
	for (size_t i = 0; i < f->n_filters; i++)
		free(f->filters[i].prog.filter);
}

static void try(uint32_t op, struct fences *fences, struct loop *loop)
{
	int pair[2], root = open("/", O_PATH | O_CLOEXEC);
	uint64_t held = status_of(getpid(), "\nCapPrm:\t", 16);
	uint64_t filters = status_of(getpid(), "\nSeccomp_filters:\t", 10);
	struct fork_plan plan;
	struct child c;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	plan = child_plan(fences, op, (const int[]){pair[1], root});
	assert_int_equal(plan.caps, op_by_number(op)->caps);
	if (worker_fork(&c, loop, &plan, ended) == FORK_CHILD)
		wait_and_go();
	close(pair[1]);
	assert_true(c.exit.fd >= 0);
	/* Its filter comes last. */
	for (int i = 0; i < 2000; i++) {
		if (status_of(pid_of(&c), "\nSeccomp_filters:\t", 10) > filters)
			break;
		usleep(1000);
	}
	check(op, held, filters, pid_of(&c));
	close(pair[0]);
	assert_int_equal(waitid(P_PIDFD, (id_t)c.exit.fd, &(siginfo_t){0}, WEXITED), 0);
	loop_remove(loop, &c.exit);
	close(root);
}

static void each_has_its_row(void **state)
{
	struct fences none = {0};
	struct loop loop;
	uint32_t n = 0;

	(void)state;
	assert_int_equal(loop_init(&loop), 0);
	assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	for (uint32_t op = OP_NONE; op < OP_MAX; op++) {
		if (!op_by_number(op) || op_by_number(op)->carrier != BY_CHILD)
			continue;
		try(op, &none, &loop);
		n++;
	}
	assert_true(n >= 16);
	drop_filters(&none);
}

/* What the table must say of these, so that a row that asks for more is seen. */
static void rows_of_what_changes(void **state)
{
	static const struct {
		uint32_t op;
		uint64_t caps;
	} rows[] = {
		{OP_set_time, 1ull << CAP_SYS_TIME},
		{OP_set_vcpus, 0},
		{OP_set_memory_blocks, 0},
		{OP_account_find, 0},
		{OP_keys, 1ull << CAP_SETUID | 1ull << CAP_SETGID},
		{OP_power_signal, 0},
		{OP_power_force, 1ull << CAP_SYS_BOOT},
		{OP_suspend_look, 0},
		{OP_suspend_write, 0},
		{OP_shutdown, 0},
		{OP_set_user_password, 0},
		{OP_ssh_add_authorized_keys, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(op_by_number(rows[i].op)->caps, rows[i].caps);
}

/* ---- what is left of the files ---- */

/* What a child may open, as far as its filter lets it try; the root is the real one. */
static const struct {
	uint32_t op;
	const char *path;
	uint64_t flags;
	bool may;
} files[] = {
	{OP_set_vcpus, "sys/kernel", O_RDONLY, true},
	{OP_set_vcpus, "etc/passwd", O_RDONLY, false},
	{OP_set_vcpus, "dev/null", O_WRONLY, false},
	{OP_suspend_write, "proc/version", O_RDONLY, false},
	{OP_power_signal, "proc/version", O_RDONLY, true},
	{OP_power_signal, "sys/kernel", O_RDONLY, false},
	{OP_set_time, "etc/passwd", O_RDONLY, true},
	{OP_set_time, "dev/null", O_RDONLY, true},
	{OP_set_time, "dev/null", O_WRONLY, false},
	{OP_set_time, "usr/lib", O_RDONLY, false},
	{OP_disk_smart, "sys/kernel", O_RDONLY, true},
	{OP_disk_smart, "dev/null", O_RDONLY, true},
	{OP_disk_smart, "dev/null", O_WRONLY, false},
	{OP_disk_smart, "etc/passwd", O_RDONLY, false},
	{OP_fs_list, "etc/passwd", O_RDONLY, true},
	{OP_fs_list, "dev/null", O_WRONLY, false},
	{OP_fstrim, "dev/null", O_RDWR, false},
	{OP_keys, "etc/passwd", O_RDONLY, true},
	{OP_keys, "dev/null", O_WRONLY, true},
};

/* Which rulesets there are must not depend on who may ask. */
static bool kernel_has_landlock(void)
{
	return syscall(SYS_landlock_create_ruleset, NULL, 0,
		       LANDLOCK_CREATE_RULESET_VERSION) > 0;
}

static int opened_within(struct fences *fences, size_t row, struct loop *loop)
{
	const struct open_how how = {.flags = files[row].flags | O_CLOEXEC};
	const int root = open("/", O_PATH | O_CLOEXEC);
	struct fork_plan plan = child_plan(fences, files[row].op, (int[]){root, root});
	siginfo_t end = {0};
	struct child c;

	if (worker_fork(&c, loop, &plan, ended) == FORK_CHILD) {
		long fd = syscall(SYS_openat2, CHILD_FD_FIRST, files[row].path, &how,
				  sizeof(how));

		_exit(fd >= 0 ? 0 : errno);
	}
	close(root);
	assert_true(c.exit.fd >= 0);
	assert_int_equal(waitid(P_PIDFD, (id_t)c.exit.fd, &end, WEXITED), 0);
	loop_remove(loop, &c.exit);
	assert_int_equal(end.si_code, CLD_EXITED);
	return end.si_status;
}

static void each_stays_within_its_files(void **state)
{
	struct fences fences = {0};
	struct loop loop;
	int root = open("/", O_PATH | O_CLOEXEC);

	(void)state;
	if (!kernel_has_landlock()) {
		print_message("this kernel has no Landlock\n");
		skip();
	}
	assert_int_equal(fences_open(&fences, UINT32_MAX, root), 0);
	assert_in_range(fences.n, 10, FENCES_MAX);
	assert_int_equal(loop_init(&loop), 0);
	assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		int r = opened_within(&fences, i, &loop);

		if (r != (files[i].may ? 0 : EACCES))
			fail_msg("%s, %s by %llo: %s", op_by_number(files[i].op)->name,
				 files[i].path, (unsigned long long)files[i].flags,
				 r ? strerror(r) : "opened");
	}
	for (size_t i = 0; i < fences.n; i++)
		close(fences.of[i].ruleset);
	drop_filters(&fences);
	close(root);
}

/* Kinds have filters of their own, and each is compiled once. */
static void a_filter_is_kept(void **state)
{
	const uint32_t child = SC_ROLE(SANDBOX_CHILD);
	struct fences fences = {0};
	const struct sock_fprog *first = fences_filter(&fences, child);
	const struct sock_fprog *other;

	(void)state;
	assert_non_null(first);
	other = fences_filter(&fences, child | SC_ROLE(SANDBOX_LOOK));
	assert_non_null(other);
	assert_ptr_not_equal(first, other);
	assert_true(other->len > first->len);
	assert_ptr_equal(fences_filter(&fences, child), first);
	assert_int_equal(fences.n_filters, 2);
	for (uint32_t role = SANDBOX_OPEN; fences.n_filters < FENCES_MAX; role++)
		for (uint32_t more = 0; more <= SC_ROLE(SANDBOX_LOOK);
		     more += SC_ROLE(SANDBOX_LOOK))
			assert_non_null(
				fences_filter(&fences, child | more | SC_ROLE(role)));
	/* One too many is none, not the filter of another. */
	assert_null(fences_filter(&fences, child | SC_ROLE(SANDBOX_REBOOT)));
	assert_int_equal(errno, E2BIG);
	drop_filters(&fences);
}

/* One that nobody made a fence for does not begin. */
static void none_is_without_a_fence(void **state)
{
	struct fences fences = {.n = 1, .of = {{.roles = UINT32_MAX, .ruleset = -1}}};
	struct fork_plan plan = child_plan(&fences, OP_set_time, (int[]){0, 0});
	siginfo_t end = {0};
	struct loop loop;
	struct child c;

	(void)state;
	assert_int_equal(loop_init(&loop), 0);
	assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	if (worker_fork(&c, &loop, &plan, ended) == FORK_CHILD)
		_exit(0);
	assert_int_equal(waitid(P_PIDFD, (id_t)c.exit.fd, &end, WEXITED), 0);
	assert_int_equal(end.si_status, EXIT_SEAL);
	loop_remove(&loop, &c.exit);
	drop_filters(&fences);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_of_what_changes),
		cmocka_unit_test(each_has_its_row),
		cmocka_unit_test(each_stays_within_its_files),
		cmocka_unit_test(none_is_without_a_fence),
		cmocka_unit_test(a_filter_is_kept),
	};

	return cmocka_run_group_tests_name("children", tests, NULL, NULL);
}
