/*
 * tests/unit/test_sandbox.c - identity, capabilities and filters of each process
 *
 * Runs in:   tests; as root, or as an ordinary user with root's part skipped
 * Input:     none
 * May touch: children of its own, which it seals
 * Must not:  seal itself
 *
 * run: admin
 */
#include <cap-ng.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <grp.h>
#include <linux/capability.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "ipc/launch.h"
#include "tests/lib/trycall.h"

#define SOME_UID 61001
#define SOME_GID 61002

#define CAP(name) (UINT64_C(1) << CAP_##name)

static void need_root(void)
{
	if (geteuid() == 0)
		return;
	print_message("# root's part: not root\n");
	skip();
}

/* ---- children ---- */

/* Run ACT in a child; its wait status. ACT that returns counts as exit status 0. */
static int in_child(void (*act)(const void *), const void *arg)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		act(arg);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static bool killed_by_filter(int status)
{
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
}

static void check(bool ok)
{
	if (!ok)
		_exit(EXIT_SEAL);
}

static void enter(enum sandbox_role role)
{
	const char *step;

	check(try_enter(role, &step) == 0);
}

/* A child that has done ACT and waits, so that its /proc can be read. */
struct held {
	pid_t pid;
	int hold; /* the child ends when this is closed */
};

static struct held hold_after(void (*act)(void))
{
	int ready[2], hold[2];
	struct held h;
	char c;

	assert_int_equal(pipe2(ready, O_CLOEXEC) | pipe2(hold, O_CLOEXEC), 0);
	h.pid = fork();
	assert_true(h.pid >= 0);
	if (h.pid == 0) {
		close(hold[1]);
		act();
		close(ready[1]);
		_exit((int)read(hold[0], &c, 1));
	}
	close(ready[1]);
	close(hold[0]);
	h.hold = hold[1];
	assert_int_equal(read(ready[0], &c, 1), 0);
	close(ready[0]);
	return h;
}

static void let_go(const struct held *h)
{
	int status;

	close(h->hold);
	assert_int_equal(waitpid(h->pid, &status, 0), h->pid);
	assert_int_equal(status, 0);
}

/* The value of KEY (`Uid:`) in a file of the child's below /proc. */
static const char *proc_value(const struct held *h, const char *file, const char *key)
{
	static char line[256];
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/%s", h->pid, file);
	f = fopen(path, "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		if (strncmp(line, key, strlen(key)) == 0)
			break;
	fclose(f);
	assert_int_equal(strncmp(line, key, strlen(key)), 0);
	line[strcspn(line, "\n")] = '\0';
	return line + strlen(key) + strspn(line + strlen(key), " \t");
}

static uint64_t cap_set(const struct held *h, const char *key)
{
	return strtoull(proc_value(h, "status", key), NULL, 16);
}

static void assert_no_caps_in_use(const struct held *h)
{
	assert_int_equal(cap_set(h, "CapInh:"), 0);
	assert_int_equal(cap_set(h, "CapPrm:"), 0);
	assert_int_equal(cap_set(h, "CapEff:"), 0);
	assert_int_equal(cap_set(h, "CapAmb:"), 0);
}

/* ---- identity ---- */

/* What a careless service manager may leave behind. */
static void litter_root(void)
{
	check(setgroups(2, (gid_t[]){1, 2}) == 0);
	check(capng_get_caps_process() == 0);
	capng_update(CAPNG_ADD, CAPNG_INHERITABLE, CAP_CHOWN);
	check(capng_apply(CAPNG_SELECT_CAPS) == 0);
	check(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0) == 0);
}

static void drop(void)
{
	const struct identity id = {.uid = SOME_UID, .gid = SOME_GID};
	const char *step;

	check(identity_drop(&id, &step) == 0);
	check(identity_dropped(false));
}

static void litter_and_drop(void)
{
	litter_root();
	drop();
}

static void drop_and_look(void)
{
	struct rlimit limit;

	drop();
	check(getrlimit(RLIMIT_NPROC, &limit) == 0);
	check(limit.rlim_cur == 32 && limit.rlim_max == 32);
}

static void test_drop_limits_processes(void **state)
{
	struct held h;

	(void)state;
	need_root();
	h = hold_after(drop_and_look);
	let_go(&h);
}

static void test_drop_leaves_nothing_of_root(void **state)
{
	struct held h;

	(void)state;
	need_root();
	h = hold_after(litter_and_drop);
	assert_string_equal(proc_value(&h, "status", "Uid:"),
			    "61001\t61001\t61001\t61001");
	assert_string_equal(proc_value(&h, "status", "Gid:"),
			    "61002\t61002\t61002\t61002");
	assert_string_equal(proc_value(&h, "status", "Groups:"), "");
	assert_string_equal(proc_value(&h, "status", "NoNewPrivs:"), "1");
	assert_int_equal(cap_set(&h, "CapBnd:"), 0);
	assert_no_caps_in_use(&h);
	let_go(&h);
}

static void drop_all_but_ids(void)
{
	const char *step;

	litter_root();
	check(identity_drop(NULL, &step) == 0);
	check(identity_dropped(true) && !identity_dropped(false));
}

static void test_drop_leaves_roots_ids_alone(void **state)
{
	struct held h;

	(void)state;
	need_root();
	h = hold_after(drop_all_but_ids);
	assert_string_equal(proc_value(&h, "status", "Uid:"), "0\t0\t0\t0");
	assert_string_equal(proc_value(&h, "status", "Gid:"), "0\t0\t0\t0");
	assert_string_equal(proc_value(&h, "status", "Groups:"), "");
	assert_string_equal(proc_value(&h, "status", "NoNewPrivs:"), "1");
	assert_int_equal(cap_set(&h, "CapBnd:"), 0);
	assert_no_caps_in_use(&h);
	let_go(&h);
}

/* An ordinary user, whoever runs the test. */
static void become_user(void)
{
	if (geteuid() == 0)
		check(setresuid(SOME_UID, SOME_UID, SOME_UID) == 0);
}

static void drop_as_user(void)
{
	uid_t uid;

	become_user();
	uid = getuid();
	drop();
	check(getuid() == uid && geteuid() == uid);
}

static void test_drop_without_root_keeps_ids(void **state)
{
	struct held h = hold_after(drop_as_user);

	(void)state;
	assert_string_equal(proc_value(&h, "status", "NoNewPrivs:"), "1");
	assert_no_caps_in_use(&h);
	let_go(&h);
}

/* No uid of root's, but all its capabilities, as some service managers do it. */
static void user_with_caps(void)
{
	check(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0);
	become_user();
	check(!identity_dropped(false));
}

static void drop_user_with_caps(void)
{
	user_with_caps();
	drop();
}

static void test_drop_without_root_drops_caps(void **state)
{
	struct held h;

	(void)state;
	need_root();
	h = hold_after(drop_user_with_caps);
	assert_no_caps_in_use(&h);
	let_go(&h);
}

static void drop_to(const void *arg)
{
	const char *step = NULL;

	check(identity_drop(arg, &step) < 0 && errno == EINVAL && step != NULL);
}

static void test_drop_refuses_roots_ids(void **state)
{
	(void)state;
	need_root();
	assert_int_equal(in_child(drop_to, &(struct identity){0, SOME_GID}), 0);
	assert_int_equal(in_child(drop_to, &(struct identity){SOME_UID, 0}), 0);
}

/* ---- capabilities ---- */

static void keep_two(void)
{
	litter_root();
	check(sandbox_keep_caps(CAP(SYS_ADMIN) | CAP(SETPCAP)) == 0);
}

static void test_root_keeps_what_it_asks_for(void **state)
{
	struct held h;

	(void)state;
	need_root();
	h = hold_after(keep_two);
	assert_int_equal(cap_set(&h, "CapPrm:"), CAP(SYS_ADMIN) | CAP(SETPCAP));
	assert_int_equal(cap_set(&h, "CapEff:"), CAP(SYS_ADMIN) | CAP(SETPCAP));
	assert_int_equal(cap_set(&h, "CapBnd:"), CAP(SYS_ADMIN) | CAP(SETPCAP));
	assert_int_equal(cap_set(&h, "CapInh:"), 0);
	assert_int_equal(cap_set(&h, "CapAmb:"), 0);
	let_go(&h);
}

static void keep_some_then_fewer(void)
{
	check(sandbox_keep_caps(CAP(SYS_ADMIN) | CAP(CHOWN)) == 0);
	enter(SANDBOX_WORKER);
	check(sandbox_keep_caps(CAP(CHOWN) | CAP(SYS_TIME)) == 0);
}

/* Not more than the worker had, though more was asked for; and nothing was opened. */
static void test_sealed_child_keeps_fewer(void **state)
{
	struct held h;

	(void)state;
	need_root();
	h = hold_after(keep_some_then_fewer);
	assert_int_equal(cap_set(&h, "CapPrm:"), CAP(CHOWN));
	assert_int_equal(cap_set(&h, "CapEff:"), CAP(CHOWN));
	assert_int_equal(cap_set(&h, "CapInh:"), 0);
	let_go(&h);
}

static void test_names_of_capabilities(void **state)
{
	(void)state;
	for (unsigned int cap = 0; cap <= CAP_LAST_CAP; cap++)
		assert_string_equal(sandbox_cap_name(cap), capng_capability_to_name(cap));
	assert_string_equal(sandbox_cap_name(CAP_LAST_CAP + 1), "unknown");
}

static void keep_as_user(void)
{
	become_user();
	check(sandbox_keep_caps(CAP(SYS_ADMIN)) == 0);
	check(identity_dropped(false));
}

static void test_user_keeps_none(void **state)
{
	struct held h = hold_after(keep_as_user);

	(void)state;
	assert_no_caps_in_use(&h);
	let_go(&h);
}

/* ---- sealing ---- */

static void seal_dumpable_user(void)
{
	const struct rlimit any = {RLIM_INFINITY, RLIM_INFINITY};
	const char *step;

	/* Who started us may have seen to it already. */
	check(geteuid() != 0 || setrlimit(RLIMIT_CORE, &any) == 0);
	become_user();
	check(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0);
	check(sandbox_enter(SC_ROLE(SANDBOX_FRONTEND), &step) == 0);
}

static void test_a_sealed_program(void **state)
{
	struct held h = hold_after(seal_dumpable_user);
	struct stat st;
	char path[32];

	(void)state;
	assert_string_equal(proc_value(&h, "status", "NoNewPrivs:"), "1");
	assert_string_equal(proc_value(&h, "status", "Seccomp:"), "2");
	assert_int_equal(
		strncmp(proc_value(&h, "limits", "Max core file size"), "0  ", 3), 0);
	/* The files of what is not dumpable belong to root. */
	snprintf(path, sizeof(path), "/proc/%d/status", h.pid);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_uid, 0);
	let_go(&h);
}

static void refuse_identity(const void *role)
{
	const char *step = "";

	check(sandbox_enter(SC_ROLE(*(const enum sandbox_role *)role), &step) < 0);
	check(errno == EPERM && strcmp(step, "identity") == 0);
}

static void refuse_caps(const void *role)
{
	user_with_caps();
	refuse_identity(role);
}

static void test_confined_programs_must_be_dropped(void **state)
{
	static const enum sandbox_role roles[] = {SANDBOX_FRONTEND, SANDBOX_INSPECTOR,
						  SANDBOX_POLICY};

	(void)state;
	need_root();
	for (size_t i = 0; i < ARRAY_SIZE(roles); i++) {
		assert_int_equal(in_child(refuse_identity, &roles[i]), 0);
		assert_int_equal(in_child(refuse_caps, &roles[i]), 0);
	}
}

struct narrowed {
	struct sock_fprog prog;
	bool break_it;
};

static void load_child_filter(const void *arg)
{
	const struct narrowed *n = arg;

	check(sandbox_load(&n->prog) == 0);
	if (n->break_it)
		fcntl(-1, F_GET_SEALS); /* the worker may */
}

/* A filter compiled before the seal, loaded after the fork. */
/* As the worker forks: without libc. The child's exit status. */
static int in_bare_child(void (*act)(const void *), const void *arg)
{
	int pidfd = -1;
	siginfo_t end;
	long pid = syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, NULL, &pidfd, NULL, NULL);

	check(pid >= 0);
	if (pid == 0) {
		act(arg);
		_exit(0);
	}
	check(waitid(P_PIDFD, (id_t)pidfd, &end, WEXITED) == 0);
	return end.si_status;
}

static void fork_and_load(const void *arg)
{
	struct narrowed n = {.break_it = *(const bool *)arg};

	check(sandbox_compile(SC_ROLE(SANDBOX_CHILD), &n.prog) == 0);
	enter(SANDBOX_WORKER);
	check(fcntl(-1, F_GET_SEALS) < 0);
	check(in_bare_child(load_child_filter, &n) == (n.break_it ? SIGSYS : 0));
	free(n.prog.filter);
}

static void test_a_child_narrows_the_worker(void **state)
{
	(void)state;
	assert_int_equal(in_child(fork_and_load, &(bool){false}), 0);
	assert_int_equal(in_child(fork_and_load, &(bool){true}), 0);
}

/* ---- calls, role by role ---- */

struct attempt {
	enum sandbox_role role;
	struct sock_fprog filters[TRY_FILTERS_MAX]; /* compiled once for all calls */
	size_t n;
	const struct try_call *call;
};

static void attempt(const void *arg)
{
	const struct attempt *a = arg;
	const char *step;

	check(try_drop(a->role, &step) == 0 &&
	      prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	for (size_t i = 0; i < a->n; i++)
		check(sandbox_load(&a->filters[i]) == 0);
	try_syscall(a->call);
}

static void attempt_setup(struct attempt *a, enum sandbox_role role)
{
	uint32_t filters[TRY_FILTERS_MAX] = {0};

	*a = (struct attempt){.role = role, .n = try_filters(role, filters)};
	for (size_t i = 0; i < a->n; i++)
		assert_int_equal(sandbox_compile(filters[i], &a->filters[i]), 0);
}

static void attempt_teardown(struct attempt *a)
{
	for (size_t i = 0; i < a->n; i++)
		free(a->filters[i].filter);
}

static const char *outcome(int status)
{
	if (status == 0)
		return "survived";
	return killed_by_filter(status) ? "was killed" : "was not sealed";
}

static void test_calls(void **state)
{
	enum sandbox_role role = *(const enum sandbox_role *)*state;
	struct attempt a;
	size_t wrong = 0;

	attempt_setup(&a, role);
	for (size_t i = 0; i < ARRAY_SIZE(try_calls); i++) {
		const struct try_call *call = &try_calls[i];
		bool lives = call->survivors & SC_ROLE(role);
		int status;

		if (call->nr < 0)
			continue;
		a.call = call;
		status = in_child(attempt, &a);
		if (lives ? status == 0 : killed_by_filter(status))
			continue;
		print_error("%s %s (status %#x)\n", call->name, outcome(status),
			    (unsigned int)status);
		wrong++;
	}
	attempt_teardown(&a);
	assert_int_equal(wrong, 0);
}

static int backwards(const void *a, const void *b)
{
	return *(const int *)b - *(const int *)a;
}

/* What a program may innocently ask of libc: allocate, sort, tell the time. */
static void use_libc(const void *role)
{
	int many[4096] = {[0] = 1};
	time_t now;
	struct tm tm;
	char text[64];

	enter(*(const enum sandbox_role *)role);
	for (size_t size = 1; size <= 4 << 20; size <<= 2) {
		char *p = malloc(size), *grown;

		check(p != NULL);
		memset(p, 1, size);
		grown = realloc(p, size * 2);
		check(grown != NULL);
		free(grown);
	}
	malloc_trim(0);
	qsort(many, ARRAY_SIZE(many), sizeof(*many), backwards);
	check(many[0] == 1);
	now = time(NULL);
	check(gmtime_r(&now, &tm) && localtime_r(&now, &tm));
	check(strftime(text, sizeof(text), "%F %T", &tm) > 0);
	snprintf(text, sizeof(text), "%.3f %m", 1.5);
	check(!isatty(STDIN_FILENO) && sysconf(_SC_OPEN_MAX) != 0);
}

static void test_libc_works(void **state)
{
	assert_int_equal(in_child(use_libc, *state), 0);
}

static void abort_in_worker(const void *arg)
{
	(void)arg;
	enter(SANDBOX_WORKER);
	abort();
}

static void test_worker_can_abort(void **state)
{
	int status = in_child(abort_in_worker, NULL);

	(void)state;
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
}

#if SANDBOX_SANITIZED
/* One for the address sanitizer alone, one that gcc's undefined sanitizer sees first. */
static void overflow_by_libc(char *p, size_t room)
{
	memset(p, 1, room + 1);
}

static void overflow_by_hand(char *p, size_t room)
{
	p[room] = 1;
}

struct mistake {
	void (*make)(char *p, size_t room);
	int stderr_fd;
};

static void make_mistake(const void *arg)
{
	const struct mistake *m = arg;
	volatile size_t room = 8;

	check(dup2(m->stderr_fd, STDERR_FILENO) >= 0);
	enter(SANDBOX_WORKER);
	m->make(malloc(room), room);
}

static void test_sanitizers_report_from_within(void **state)
{
	struct mistake m[] = {{overflow_by_libc, -1}, {overflow_by_hand, -1}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(m); i++) {
		char report[4096] = "";
		int status;

		m[i].stderr_fd = memfd_create("report", MFD_CLOEXEC);
		status = in_child(make_mistake, &m[i]);
		assert_true(pread(m[i].stderr_fd, report, sizeof(report) - 1, 0) > 0);
		close(m[i].stderr_fd);
		assert_non_null(strstr(report, "test_sandbox"));
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) != 0);
	}
}
#endif

/* ---- the table ---- */

static bool conditional(const struct sc_rule *rule)
{
	return rule->when[0].mask != 0;
}

static void test_rows_are_sound(void **state)
{
	size_t n, n_texts;
	const struct sc_rule *rules = sandbox_rules(&n);
	const struct sc_text *texts = sandbox_texts(&n_texts);

	(void)state;
	assert_int_equal(n, n_texts);
	for (size_t i = 0; i < n; i++) {
		assert_true(texts[i].why && texts[i].why[0]);
		assert_true(rules[i].roles &&
			    !(rules[i].roles & ~(SC_ROLE(SANDBOX_ROLE_COUNT) - 1)));
		for (size_t c = 0; c < SC_CONDS_MAX; c++) {
			assert_true(rules[i].when[c].arg < 6);
			/* Else it could never hold. */
			assert_int_equal(rules[i].when[c].want & ~rules[i].when[c].mask,
					 0);
		}
		/* A gap would read as an end. */
		assert_true(conditional(&rules[i]) || !rules[i].when[1].mask);
	}
}

/* Alternatives must all have conditions: one without would make the others void. */
static void test_no_row_voids_another(void **state)
{
	size_t n;
	const struct sc_rule *rules = sandbox_rules(&n);

	(void)state;
	for (size_t i = 0; i < n; i++)
		for (size_t j = i + 1; j < n; j++)
			if (rules[i].nr == rules[j].nr && rules[i].roles & rules[j].roles)
				assert_true(conditional(&rules[i]) &&
					    conditional(&rules[j]));
}

/*
 * A child's filter comes on top of the worker's, so what only the child has is void; but
 * for what the policy may need, which the worker then has as well.
 */
static void test_child_is_within_worker(void **state)
{
	size_t n;
	const struct sc_rule *rules = sandbox_rules(&n);

	(void)state;
	for (size_t i = 0; i < n; i++)
		if (rules[i].roles & SC_ROLE(SANDBOX_CHILD))
			assert_true(rules[i].roles & TRY_W);
}

/* Who has taken on a user's rights keeps them: root's files are no id away. */
static void test_no_way_back_from_a_home(void **state)
{
	static const int back[] = {SCMP_SYS(setfsuid),  SCMP_SYS(setfsgid),
				   SCMP_SYS(setgroups), SCMP_SYS(setresuid),
				   SCMP_SYS(capset),    SCMP_SYS(seccomp)};
	size_t n;
	const struct sc_rule *rules = sandbox_rules(&n);

	(void)state;
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < ARRAY_SIZE(back); k++)
			if (rules[i].nr == back[k])
				assert_false(rules[i].roles & (SC_ROLE(SANDBOX_AT_HOME) |
							       SC_ROLE(SANDBOX_CHILD)));
}

#if !SANDBOX_SANITIZED
/* How many different calls ROLES may make, however many rows say so. */
static size_t calls_of(uint32_t roles)
{
	size_t n, calls = 0;
	const struct sc_rule *rules = sandbox_rules(&n);

	for (size_t i = 0; i < n; i++) {
		bool first = rules[i].roles & roles && !rules[i].err && rules[i].nr >= 0;

		for (size_t k = 0; k < i && first; k++)
			first = rules[k].nr != rules[i].nr || rules[k].err ||
				!(rules[k].roles & roles);
		calls += first;
	}
	return calls;
}

static void test_tables_stay_small(void **state)
{
	/* By role: frontend, inspector, worker, child; then what each adds to a child. */
	static const size_t most[SANDBOX_ROLE_COUNT] = {
		28, 40, 64, 28, 28, 4, 7, 16, 5, 7, 10, 1, 10, 5, 2, 20, 8, 4, 2};
	const uint32_t confined = SC_ROLE(SANDBOX_FRONTEND) | SC_ROLE(SANDBOX_INSPECTOR) |
				  SC_ROLE(SANDBOX_POLICY);

	(void)state;
	for (size_t role = 0; role < SANDBOX_ROLE_COUNT; role++)
		assert_in_range(calls_of(SC_ROLE(role)), role > SANDBOX_CHILD ? 1 : 12,
				most[role]);
	/* A worker whose policy may need every kind of child. */
	assert_in_range(calls_of(~confined), 64, 80);
}
#endif

#if !SANDBOX_SANITIZED && defined(__x86_64__)
static int number(uint32_t arch, const char *name)
{
	return seccomp_syscall_resolve_name_arch(arch, name);
}

/* Each of ROLES may call NAME, whatever the arguments. */
static bool may(const char *name, uint32_t roles)
{
	size_t n;
	const struct sc_rule *rules = sandbox_rules(&n);
	uint32_t have = 0;

	for (size_t i = 0; i < n; i++)
		if (rules[i].nr == number(SCMP_ARCH_NATIVE, name) && !rules[i].err &&
		    !conditional(&rules[i]))
			have |= rules[i].roles;
	return !(roles & ~have);
}

/* What aarch64 has not, it has by another name, and who may call the one may the other.
 */
static void test_the_other_machine_has_them_all(void **state)
{
	static const char *const others[][2] = {
		{"epoll_wait", "epoll_pwait"}, {"poll", "ppoll"}, {"alarm", "setitimer"}};
	size_t n, found = 0;
	const struct sc_rule *rules = sandbox_rules(&n);

	(void)state;
	for (size_t i = 0; i < n; i++) {
		char *name =
			seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, rules[i].nr);
		const char *other = NULL;

		assert_non_null(name);
		for (size_t k = 0; k < ARRAY_SIZE(others); k++)
			if (streq(others[k][0], name))
				other = others[k][1];
		if (number(SCMP_ARCH_AARCH64, name) < 0 && !rules[i].err) {
			if (!other || number(SCMP_ARCH_AARCH64, other) < 0 ||
			    !may(other, rules[i].roles))
				fail_msg("%s has no counterpart on aarch64", name);
			found++;
		}
		free(name);
	}
	assert_int_equal(found, ARRAY_SIZE(others));
}
#endif

static enum sandbox_role frontend = SANDBOX_FRONTEND;
static enum sandbox_role inspector = SANDBOX_INSPECTOR;
static enum sandbox_role worker = SANDBOX_WORKER;
static enum sandbox_role child = SANDBOX_CHILD;
static enum sandbox_role smart = SANDBOX_SMART;
static enum sandbox_role policy = SANDBOX_POLICY;
static enum sandbox_role mounts = SANDBOX_MOUNTS;
static enum sandbox_role freezer = SANDBOX_FREEZER;
static enum sandbox_role thawer = SANDBOX_THAWER;
static enum sandbox_role look = SANDBOX_LOOK;
static enum sandbox_role opening = SANDBOX_OPEN;
static enum sandbox_role making = SANDBOX_MAKE;
static enum sandbox_role handle = SANDBOX_HANDLE;
static enum sandbox_role clocks = SANDBOX_CLOCK;
static enum sandbox_role sysfs = SANDBOX_SYSFS;
static enum sandbox_role home = SANDBOX_HOME;
static enum sandbox_role at_home = SANDBOX_AT_HOME;
static enum sandbox_role signals = SANDBOX_SIGNAL;
static enum sandbox_role reboots = SANDBOX_REBOOT;

#define FOR_ROLE(test, role)                               \
	{                                                  \
#test " " #role, test, NULL, NULL, &(role) \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_drop_limits_processes),
		cmocka_unit_test(test_drop_leaves_nothing_of_root),
		cmocka_unit_test(test_drop_leaves_roots_ids_alone),
		cmocka_unit_test(test_drop_without_root_keeps_ids),
		cmocka_unit_test(test_drop_without_root_drops_caps),
		cmocka_unit_test(test_drop_refuses_roots_ids),
		cmocka_unit_test(test_root_keeps_what_it_asks_for),
		cmocka_unit_test(test_sealed_child_keeps_fewer),
		cmocka_unit_test(test_user_keeps_none),
		cmocka_unit_test(test_names_of_capabilities),
		cmocka_unit_test(test_a_sealed_program),
		cmocka_unit_test(test_confined_programs_must_be_dropped),
		cmocka_unit_test(test_a_child_narrows_the_worker),
		FOR_ROLE(test_calls, frontend),
		FOR_ROLE(test_calls, inspector),
		FOR_ROLE(test_calls, worker),
		FOR_ROLE(test_calls, child),
		FOR_ROLE(test_calls, smart),
		FOR_ROLE(test_calls, policy),
		FOR_ROLE(test_calls, mounts),
		FOR_ROLE(test_calls, freezer),
		FOR_ROLE(test_calls, thawer),
		FOR_ROLE(test_calls, look),
		FOR_ROLE(test_calls, opening),
		FOR_ROLE(test_calls, making),
		FOR_ROLE(test_calls, handle),
		FOR_ROLE(test_calls, clocks),
		FOR_ROLE(test_calls, sysfs),
		FOR_ROLE(test_calls, home),
		FOR_ROLE(test_calls, at_home),
		FOR_ROLE(test_calls, signals),
		FOR_ROLE(test_calls, reboots),
		FOR_ROLE(test_libc_works, frontend),
		FOR_ROLE(test_libc_works, inspector),
		FOR_ROLE(test_libc_works, worker),
		FOR_ROLE(test_libc_works, child),
		FOR_ROLE(test_libc_works, smart),
		FOR_ROLE(test_libc_works, policy),
		FOR_ROLE(test_libc_works, mounts),
		FOR_ROLE(test_libc_works, freezer),
		FOR_ROLE(test_libc_works, thawer),
		cmocka_unit_test(test_worker_can_abort),
		cmocka_unit_test(test_rows_are_sound),
		cmocka_unit_test(test_no_row_voids_another),
		cmocka_unit_test(test_no_way_back_from_a_home),
		cmocka_unit_test(test_child_is_within_worker),
#if SANDBOX_SANITIZED
		cmocka_unit_test(test_sanitizers_report_from_within),
#else
		cmocka_unit_test(test_tables_stay_small),
#ifdef __x86_64__
		cmocka_unit_test(test_the_other_machine_has_them_all),
#endif
#endif
	};

	return cmocka_run_group_tests_name("sandbox", tests, NULL, NULL);
}
