/*
 * tests/unit/test_privileges.c - what a policy leaves the worker, tried by who is sealed
 * so
 *
 * Runs in:   tests; as root, or as an ordinary user with root's part skipped
 * Input:     the table of tests/lib/privileges.h
 * May touch: children of its own, which it seals; a directory of its own
 * Must not:  change the machine if something is let through: arguments are bad, or lead
 * to the directory, and /etc/shadow is opened, not written
 *
 * run: admin
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/nvme_ioctl.h>
#include <linux/openat2.h>
#include <linux/reboot.h>
#include <linux/rtc.h>
#include <netinet/in.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "ipc/launch.h"
#include "ipc/ops.h"
#include "sandbox/filters_asan.h"
#include "sandbox/sandbox.h"
#include "tests/lib/policy.h"
#include "tests/lib/privileges.h"
#include "tests/lib/rmtree.h"

static void need_root(void)
{
	if (geteuid() == 0)
		return;
	print_message("# root's part: not root\n");
	skip();
}

/* ---- places ---- */

/* What paths begin from. */
struct place {
	char dir[64];
	int root;  /* the directory: the root of a machine, as the worker's table sees it
		    */
	int slash; /* the real one */
	int proc;  /* a file system that cannot be frozen: who may is told so */
	int tcp;   /* a socket that was made before */
};

static const char *const files[] = {"etc/shadow",  "sys/switch", "dev/node",
				    "proc/status", "run/file",   "usr/lib/file",
				    "srv/file"};

static int place_init(void **state)
{
	static struct place p;

	strcpy(p.dir, "/tmp/postern-test-XXXXXX");
	assert_non_null(mkdtemp(p.dir));
	p.root = open(p.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	p.slash = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	p.proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	p.tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(p.root >= 0 && p.slash >= 0 && p.proc >= 0 && p.tcp >= 0);
	assert_int_equal(mkdirat(p.root, "usr", 0755), 0);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		char folder[32];
		int fd;

		snprintf(folder, sizeof(folder), "%.*s",
			 (int)(strrchr(files[i], '/') - files[i]), files[i]);
		assert_int_equal(mkdirat(p.root, folder, 0755), 0);
		fd = openat(p.root, files[i], O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		assert_true(fd >= 0);
		close(fd);
	}
	*state = &p;
	return 0;
}

static int place_done(void **state)
{
	struct place *p = *state;

	close(p->root);
	close(p->slash);
	close(p->proc);
	close(p->tcp);
	return rmtree(p->dir);
}

/* ---- what is tried ---- */

static long opened(int root, const char *path, int flags, bool second)
{
	struct open_how how = {.flags = (unsigned int)flags | O_CLOEXEC,
			       .mode = (flags & O_CREAT) ? 0600 : 0};

	return second ? syscall(SYS_openat2, root, path, &how, sizeof(how))
		      : syscall(SYS_openat, root, path, flags | O_CLOEXEC, 0600);
}

static long opened_folder(int root, const char *path)
{
	char folder[32];

	snprintf(folder, sizeof(folder), "%.*s", (int)(strrchr(path, '/') - path), path);
	return openat(root, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static long try_freeze(const struct place *p, bool second)
{
	(void)second;
	return syscall(SYS_ioctl, p->proc, FIFREEZE, 0);
}

static long try_thaw(const struct place *p, bool second)
{
	(void)second;
	return syscall(SYS_ioctl, p->proc, FITHAW, 0);
}

static long try_trim(const struct place *p, bool second)
{
	(void)second;
	return syscall(SYS_ioctl, p->proc, FITRIM, NULL);
}

static long try_smart(const struct place *p, bool second)
{
	(void)p, (void)second;
	return syscall(SYS_ioctl, -1, NVME_IOCTL_ADMIN_CMD, NULL);
}

static long try_rtc(const struct place *p, bool second)
{
	(void)p, (void)second;
	return syscall(SYS_ioctl, -1, RTC_SET_TIME, NULL);
}

static long try_clock(const struct place *p, bool second)
{
	(void)p, (void)second;
	return syscall(SYS_clock_settime, CLOCK_REALTIME, NULL);
}

/* By the guard it has no effect, which is looked at before. */
static long try_poweroff(const struct place *p, bool second)
{
	(void)p, (void)second;
	return syscall(SYS_kill, 1, 34 + 4);
}

static long try_reboot(const struct place *p, bool second)
{
	(void)p, (void)second;
	return syscall(SYS_reboot, 0, 0, LINUX_REBOOT_CMD_POWER_OFF, NULL);
}

static long try_setfsuid(const struct place *p, bool second)
{
	(void)p, (void)second;
	return syscall(SYS_setfsuid, -1);
}

#define TRY_OPEN(name, root, path, flags)                    \
	static long name(const struct place *p, bool second) \
	{                                                    \
		return opened(p->root, path, flags, second); \
	}
TRY_OPEN(try_read_etc, root, "etc/shadow", O_RDONLY)
TRY_OPEN(try_write_etc, root, "etc/shadow", O_WRONLY)
TRY_OPEN(try_read_sys, root, "sys/switch", O_RDONLY)
TRY_OPEN(try_write_sys, root, "sys/switch", O_WRONLY)
TRY_OPEN(try_read_dev, root, "dev/node", O_RDONLY)
TRY_OPEN(try_write_dev, root, "dev/node", O_WRONLY)
TRY_OPEN(try_read_proc, root, "proc/status", O_RDONLY)
TRY_OPEN(try_read_srv, root, "srv/file", O_RDONLY)
TRY_OPEN(try_write_srv, root, "srv/file", O_WRONLY)
TRY_OPEN(try_make, root, "srv/new", O_WRONLY | O_CREAT | O_EXCL)
TRY_OPEN(try_read_shadow, slash, "etc/shadow", O_RDONLY)
TRY_OPEN(try_write_shadow, slash, "etc/shadow", O_WRONLY)

static long try_mkdir(const struct place *p, bool second)
{
	(void)second;
	return syscall(SYS_mkdirat, p->root, "srv/dir", 0700);
}

static long try_rename(const struct place *p, bool second)
{
	(void)second;
	return syscall(SYS_renameat2, p->root, "srv/file", p->root, "srv/file", 0);
}

static long try_remove(const struct place *p, bool second)
{
	(void)second;
	return syscall(SYS_unlinkat, p->root, "srv/old", 0);
}

static const char *const columns[] = {PRIVILEGE_COLUMNS};

static const struct attempt {
	long (*make)(const struct place *p, bool second);
	bool twice; /* there is a second way */
	bool reads; /* as the sanitizers' report does */
	bool real;  /* from the real root */
} attempts[] = {
	{try_freeze, 0, 0, 0},    {try_thaw, 0, 0, 0},        {try_trim, 0, 0, 0},
	{try_smart, 0, 0, 0},     {try_rtc, 0, 0, 0},         {try_clock, 0, 0, 0},
	{try_poweroff, 0, 0, 0},  {try_reboot, 0, 0, 0},      {try_setfsuid, 0, 0, 0},
	{try_read_etc, 1, 1, 0},  {try_write_etc, 1, 0, 0},   {try_read_sys, 1, 1, 0},
	{try_write_sys, 1, 0, 0}, {try_read_dev, 1, 1, 0},    {try_write_dev, 1, 0, 0},
	{try_read_proc, 1, 1, 0}, {try_read_srv, 1, 1, 0},    {try_write_srv, 1, 0, 0},
	{try_make, 1, 0, 0},      {try_mkdir, 0, 0, 0},       {try_rename, 0, 0, 0},
	{try_remove, 0, 0, 0},    {try_read_shadow, 1, 1, 1}, {try_write_shadow, 1, 0, 1},
};
_Static_assert(ARRAY_SIZE(attempts) == ARRAY_SIZE(columns), "a column each");

/* What no policy leaves: the filter kills. Arguments are bad on purpose. */
#define NOBODY INT_MAX /* above every pid_max */
static const struct {
	const char *name;
	int nr;
	long args[6];
} never[] = {
	{"mount", SCMP_SYS(mount), {0}},
	{"umount2", SCMP_SYS(umount2), {0}},
	{"move_mount", SCMP_SYS(move_mount), {-1, 0, -1}},
	{"fsopen", SCMP_SYS(fsopen), {0}},
	{"pivot_root", SCMP_SYS(pivot_root), {0}},
	{"chroot", SCMP_SYS(chroot), {0}},
	{"execve", SCMP_SYS(execve), {0}},
	{"execveat", SCMP_SYS(execveat), {-1}},
	{"settimeofday", SCMP_SYS(settimeofday), {1, 1}},
	{"clock_adjtime", SCMP_SYS(clock_adjtime), {CLOCK_REALTIME, 1}},
	{"clock_settime of another clock", SCMP_SYS(clock_settime), {CLOCK_TAI, 1}},
	{"init_module", SCMP_SYS(init_module), {1, 0, 1}},
	{"finit_module", SCMP_SYS(finit_module), {-1}},
	{"kexec_load", SCMP_SYS(kexec_load), {0, 0, 0, -1}},
	{"reboot: kexec", SCMP_SYS(reboot), {0, 0, LINUX_REBOOT_CMD_KEXEC}},
	{"reboot: Ctrl-Alt-Del", SCMP_SYS(reboot), {0, 0, LINUX_REBOOT_CMD_CAD_ON}},
	{"kill a process", SCMP_SYS(kill), {NOBODY, SIGKILL}},
	{"kill init", SCMP_SYS(kill), {1, SIGKILL}},
	{"kill all", SCMP_SYS(kill), {-1, 0}},
	{"tkill", SCMP_SYS(tkill), {NOBODY, SIGKILL}},
	{"pidfd_open", SCMP_SYS(pidfd_open), {-1}},
	{"pidfd_getfd", SCMP_SYS(pidfd_getfd), {-1}},
	{"ptrace", SCMP_SYS(ptrace), {PTRACE_PEEKDATA, NOBODY}},
	{"process_vm_writev", SCMP_SYS(process_vm_writev), {NOBODY}},
	{"socket", SCMP_SYS(socket), {AF_INET, SOCK_STREAM}},
	{"socket: netlink", SCMP_SYS(socket), {AF_NETLINK, SOCK_RAW}},
	{"bind", SCMP_SYS(bind), {-1}},
	{"listen", SCMP_SYS(listen), {-1}},
	{"setresuid", SCMP_SYS(setresuid), {-1, -1, -1}},
	{"setuid", SCMP_SYS(setuid), {0}},
	{"unshare", SCMP_SYS(unshare), {0}},
	{"setns", SCMP_SYS(setns), {-1}},
	{"clone3", SCMP_SYS(clone3), {0}},
	{"bpf", SCMP_SYS(bpf), {-1}},
	{"perf_event_open", SCMP_SYS(perf_event_open), {0, -1, -1, -1}},
	{"io_uring_setup", SCMP_SYS(io_uring_setup), {0}},
	{"userfaultfd", SCMP_SYS(userfaultfd), {-1}},
	{"keyctl", SCMP_SYS(keyctl), {-1}},
	{"swapon", SCMP_SYS(swapon), {0}},
	{"acct", SCMP_SYS(acct), {1}},
	{"sethostname", SCMP_SYS(sethostname), {0, -1}},
	{"quotactl", SCMP_SYS(quotactl), {-1}},
	{"open_by_handle_at", SCMP_SYS(open_by_handle_at), {-1}},
	{"mknodat", SCMP_SYS(mknodat), {-1}},
	{"linkat", SCMP_SYS(linkat), {-1, 0, -1}},
	{"symlinkat", SCMP_SYS(symlinkat), {0, -1}},
	{"fchmodat", SCMP_SYS(fchmodat), {-1}},
	{"fchownat", SCMP_SYS(fchownat), {-1}},
	{"truncate", SCMP_SYS(truncate), {0}},
	{"creat", SCMP_SYS(creat), {0}},
	{"ioctl: TIOCSTI", SCMP_SYS(ioctl), {-1, TIOCSTI}},
	{"ioctl: LOOP_SET_FD", SCMP_SYS(ioctl), {-1, 0x4C00}},
	{"mmap: code", SCMP_SYS(mmap), {0, 0, 4, 2, -1}},
};

/* ---- who tries ---- */

struct trial {
	struct needs needs;
	const struct place *place;
	const struct attempt *attempt; /* NULL: NEVER */
	size_t never;
	bool second;
	int no_landlock; /* errno of a kernel without it; 0: as it is */
};

static void check(bool ok)
{
	if (!ok)
		_exit(EXIT_SEAL);
}

/* As a kernel answers that was built without Landlock, or started without it. */
static void lose_landlock(int errnum)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);

	check(ctx &&
	      seccomp_rule_add(ctx, SCMP_ACT_ERRNO((uint32_t)errnum),
			       SCMP_SYS(landlock_create_ruleset), 0) == 0 &&
	      seccomp_load(ctx) == 0);
	seccomp_release(ctx);
}

/* The worker's way, in its order (worker/main.c). */
static void seal(const struct trial *t, int root)
{
	const char *step;
	int landlock;

	if (t->no_landlock)
		lose_landlock(t->no_landlock);
	check(sandbox_keep_caps(t->needs.caps) == 0);
	landlock = sandbox_beneath(t->needs.roles, root);
	check(landlock >= 0 && !(t->no_landlock && landlock > 0));
	check(sandbox_enter(t->needs.roles, &step) == 0);
}

static _Noreturn void run(const struct trial *t)
{
	const struct attempt *a = t->attempt;
	long r;

	if (!a) {
		const long *args = never[t->never].args;

		seal(t, t->place->root);
		r = syscall(never[t->never].nr, args[0], args[1], args[2], args[3],
			    args[4], args[5]);
	} else {
		seal(t, a->real ? t->place->slash : t->place->root);
		r = a->make(t->place, t->second);
	}
	_exit(r < 0 ? errno : 0);
}

/* The letter of the table; '!' if it could not be tried. */
static char once(const struct trial *t)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0)
		run(t);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	unlinkat(t->place->root, "srv/new", 0);
	unlinkat(t->place->root, "srv/dir", AT_REMOVEDIR);
	if (WIFSIGNALED(status))
		return WTERMSIG(status) == SIGSYS ? 'K' : '!';
	switch (WEXITSTATUS(status)) {
	case EXIT_SEAL:
		return '!';
	case EACCES:
		return 'A';
	case EPERM:
		return 'P';
	default:
		return 'T';
	}
}

/* The wider of both ways, if there are two. */
static char result(struct trial *t)
{
	static const char order[] = "KPAT!";
	char first, second;

	t->second = false;
	first = once(t);
	if (!t->attempt || !t->attempt->twice)
		return first;
	t->second = true;
	second = once(t);
	if (strchr(order, second) > strchr(order, first))
		return second;
	return first;
}

/* ---- the table ---- */

static void needs_of_row(const struct privilege_row *row, const struct needs_where *where,
			 struct needs *n)
{
	CLEANUP(wbuf_free) struct wbuf image = {0};
	struct needs_where here = *where;
	struct policy p;

	policy_of_text(&p, &image, row->policy);
	here.reads_only = policy_only_reads(&p);
	*n = needs_of(p.allowed, &here);
}

/* Does what came out fit what the table says, on this kernel and in this build? */
static bool fits(const struct trial *t, char want, char got, char guarded)
{
	/* What the guard refuses cannot be told from what the kernel does. */
	if (guarded == 'P' && got == 'P')
		return want == 'T' || want == 'P';
	if (SANDBOX_SANITIZED && want == 'K' && t->attempt->reads)
		want = 'A';
	if (t->no_landlock && want == 'A')
		want = 'T';
	return got == want;
}

/* What comes of it where nobody is sealed: errors of the guard. */
static char unsealed(const struct attempt *a, const struct place *p)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(a->make(p, false) < 0 ? errno : 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	unlinkat(p->root, "srv/new", 0);
	unlinkat(p->root, "srv/dir", AT_REMOVEDIR);
	return WIFEXITED(status) && WEXITSTATUS(status) == EPERM ? 'P' : 'T';
}

/* The letter of column I. */
static char letter(const char *tries, size_t i)
{
	while (*tries == ' ' || i) {
		i -= *tries != ' ';
		tries++;
	}
	return *tries;
}

static size_t try_row(const struct privilege_row *row, const struct place *place,
		      int no_landlock)
{
	struct trial t = {.place = place, .no_landlock = no_landlock};
	char seen[ARRAY_SIZE(attempts) + 1] = "";
	size_t wrong = 0;

	needs_of_row(row, &privilege_systemd, &t.needs);
	for (size_t i = 0; i < ARRAY_SIZE(attempts); i++) {
		t.attempt = &attempts[i];
		seen[i] = result(&t);
		if (fits(&t, letter(row->tries, i), seen[i],
			 unsealed(&attempts[i], place)))
			continue;
		print_error("%s: %s: %c, not %c\n", row->name, columns[i], seen[i],
			    letter(row->tries, i));
		wrong++;
	}
	if (wrong)
		print_error("%s: all of it: %s\n", row->name, seen);
	return wrong;
}

/* Else what is let through would reach process 1. */
static void need_guard(void)
{
	assert_true(kill(1, 1000) < 0 && errno == EPERM);
}

static void try_rows(const struct place *place, int no_landlock)
{
	size_t wrong = 0;

	need_root();
	need_guard();
	for (size_t i = 0; i < ARRAY_SIZE(privilege_rows); i++)
		wrong += try_row(&privilege_rows[i], place, no_landlock);
	assert_int_equal(wrong, 0);
}

static void test_each_policy(void **state)
{
	try_rows(*state, 0);
}

/* Not held back by it, they are by the rest; and the worker starts. */
static void test_without_landlock(void **state)
{
	try_rows(*state, ENOSYS);
}

static void test_landlock_switched_off(void **state)
{
	try_rows(*state, EOPNOTSUPP);
}

static void test_what_no_policy_leaves(void **state)
{
	struct trial t = {.place = *state};
	size_t wrong = 0;

	need_guard();
	for (size_t row = 0; row < ARRAY_SIZE(privilege_rows); row++) {
		needs_of_row(&privilege_rows[row], &privilege_systemd, &t.needs);
		for (t.never = 0; t.never < ARRAY_SIZE(never); t.never++) {
			char got = 'K';

			if (never[t.never].nr >= 0)
				got = result(&t);
			if (got == 'K')
				continue;
			print_error("%s: %s: %c\n", privilege_rows[row].name,
				    never[t.never].name, got);
			wrong++;
		}
	}
	assert_int_equal(wrong, 0);
}

static void test_texts(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(privilege_rows); i++) {
		const struct privilege_row *row = &privilege_rows[i];
		struct needs systemd, other;
		char text[512];

		needs_of_row(row, &privilege_systemd, &systemd);
		needs_text(&systemd, NO_SPAWNER, text, sizeof(text));
		assert_string_equal(text, row->systemd);
		sandbox_beneath_text(systemd.roles, text, sizeof(text));
		assert_string_equal(text, row->files);
		needs_of_row(row, &privilege_other, &other);
		needs_text(&other, NO_SPAWNER, text, sizeof(text));
		assert_string_equal(text, row->other);
		sandbox_beneath_text(other.roles, text, sizeof(text));
		assert_string_equal(text, row->files);
	}
}

/* ---- needs ---- */

#define OPS(tag) (UINT64_C(1) << OP_##tag)
#define CAP(n)   (UINT64_C(1) << CAP_##n)

static struct needs on_systemd(uint64_t ops)
{
	return needs_of(ops, &privilege_systemd);
}

static void test_nothing_needs_nothing(void **state)
{
	const struct needs n = on_systemd(0);

	(void)state;
	assert_int_equal(n.caps, 0);
	assert_int_equal(n.roles, SC_ROLE(SANDBOX_WORKER));
	assert_false(n.spawner);
}

/* What a policy allows more, it needs no less for. */
static void test_more_needs_no_less(void **state)
{
	(void)state;
	for (uint32_t a = OP_NONE; a < OP_MAX; a++)
		for (uint32_t b = OP_NONE; b < OP_MAX; b++) {
			const struct needs one = on_systemd(UINT64_C(1) << a);
			const struct needs both =
				on_systemd(UINT64_C(1) << a | UINT64_C(1) << b);

			assert_true(needs_within(&one, &both));
		}
}

static void test_a_freeze_in_force_has_to_end(void **state)
{
	const struct needs_where frozen = {
		.systemd = true, .init_by_signal = true, .frozen = true};
	const struct needs freeze = on_systemd(OPS(fsfreeze_freeze)),
			   thaw = on_systemd(OPS(fsfreeze_thaw)),
			   now = needs_of(0, &frozen);

	(void)state;
	assert_true(needs_within(&freeze, &now) && needs_within(&now, &freeze));
	assert_true(needs_within(&thaw, &freeze) && needs_within(&freeze, &thaw));
	assert_true(now.caps & CAP(SYS_ADMIN));
}

static void test_hooks_need_the_spawner(void **state)
{
	struct needs_where where = privilege_systemd;

	(void)state;
	assert_false(needs_of(OPS(fsfreeze_freeze), &where).spawner);
	where.hook = true;
	assert_true(needs_of(OPS(fsfreeze_freeze), &where).spawner);
	assert_false(needs_of(OPS(fstrim), &where).spawner);
}

static void test_how_init_is_told(void **state)
{
	const struct needs signal = on_systemd(OPS(shutdown)),
			   program = needs_of(OPS(shutdown), &privilege_other);

	(void)state;
	assert_false(signal.spawner);
	assert_int_equal(signal.caps, 0);
	assert_true(program.spawner);
	assert_true(program.roles & SC_ROLE(SANDBOX_LOOK));
}

static void test_within(void **state)
{
	const struct needs base = {.caps = 6, .roles = 6, .spawner = false};
	struct needs n;

	(void)state;
	assert_true(needs_within(&base, &base));
	n = base, n.caps = 2;
	assert_true(needs_within(&n, &base));
	assert_false(needs_within(&base, &n));
	n = base, n.roles = 14;
	assert_true(needs_within(&base, &n));
	assert_false(needs_within(&n, &base));
	n = base, n.spawner = true;
	assert_true(needs_within(&base, &n));
	assert_false(needs_within(&n, &base));
	n = base, n.caps = UINT64_C(1) << 63;
	assert_false(needs_within(&n, &base));
}

static void test_needs_text(void **state)
{
	const struct needs all = {.caps = ~UINT64_C(0), .spawner = true},
			   some = {.caps = CAP(SYS_ADMIN) | CAP(CHOWN)};
	char text[4096], cut[4096];

	(void)state;
	needs_text(&some, NO_SPAWNER, text, sizeof(text));
	assert_string_equal(text, "chown sys_admin no-spawner");
	needs_text(&all, NO_SPAWNER, text, sizeof(text));
	assert_non_null(strstr(text, "checkpoint_restore"));
	assert_string_equal(text + strlen(text) - 8, " spawner");
	/* Cut, and ended, wherever that is. */
	for (size_t size = 1; size <= strlen(text) + 1; size++) {
		memset(cut, 'x', sizeof(cut));
		needs_text(&all, NO_SPAWNER, cut, size);
		assert_int_equal(strlen(cut), size - 1);
		assert_memory_equal(cut, text, size - 1);
		assert_int_equal(cut[size], 'x');
	}
}

static void test_beneath_text(void **state)
{
	char text[512], cut[512];

	(void)state;
	sandbox_beneath_text(0, text, sizeof(text));
	assert_string_equal(text, "none");
	sandbox_beneath_text(SC_ROLE(SANDBOX_POLICY), text, sizeof(text));
	assert_string_equal(text, "read /usr/lib, read /run, read /etc");
	/* What is said once is not said again, nor what lies within it. */
	sandbox_beneath_text(SC_ROLE(SANDBOX_ROLE_COUNT) - 1, text, sizeof(text));
	assert_string_equal(text, "read /, write /");
	sandbox_beneath_text(SC_ROLE(SANDBOX_SMART) | SC_ROLE(SANDBOX_CLOCK) |
				     SC_ROLE(SANDBOX_SYSFS),
			     text, sizeof(text));
	assert_string_equal(text, "read /sys, read /dev, read /etc, write /sys");
	for (size_t size = 1; size <= strlen(text) + 1; size++) {
		memset(cut, 'x', sizeof(cut));
		sandbox_beneath_text(SC_ROLE(SANDBOX_SMART) | SC_ROLE(SANDBOX_CLOCK) |
					     SC_ROLE(SANDBOX_SYSFS),
				     cut, size);
		assert_int_equal(strlen(cut), size - 1);
		assert_memory_equal(cut, text, size - 1);
		assert_int_equal(cut[size], 'x');
	}
}

/* ---- Landlock by itself ---- */

/* By role: where files may be read, and written; "*": everywhere. */
static const struct {
	enum sandbox_role role;
	const char *read;
	const char *write;
	bool make, folder; /* everywhere */
} beneath[] = {
	{SANDBOX_FRONTEND, "", "", false, false},
	{SANDBOX_INSPECTOR, "*", "", false, false},
	{SANDBOX_WORKER, "", "", false, false},
	{SANDBOX_CHILD, "", "", false, false},
	{SANDBOX_POLICY, "etc/shadow run/file usr/lib/file", "", false, false},
	{SANDBOX_SMART, "sys/switch dev/node", "", false, false},
	{SANDBOX_LOOK, "", "", false, false},
	{SANDBOX_OPEN, "*", "", false, false},
	{SANDBOX_MAKE, "", "*", true, false},
	{SANDBOX_HANDLE, "", "", false, false},
	{SANDBOX_MOUNTS, "*", "", false, false},
	{SANDBOX_FREEZER, "", "", false, false},
	{SANDBOX_THAWER, "", "", false, false},
	{SANDBOX_CLOCK, "dev/node etc/shadow", "", false, false},
	{SANDBOX_SYSFS, "sys/switch", "sys/switch", false, false},
	{SANDBOX_HOME, "*", "*", true, true},
	{SANDBOX_AT_HOME, "*", "*", true, true},
	{SANDBOX_SIGNAL, "proc/status", "", false, false},
	{SANDBOX_REBOOT, "", "", false, false},
};
_Static_assert(ARRAY_SIZE(beneath) == SANDBOX_ROLE_COUNT, "one each");

static void expect(const char *what, const char *path, bool want, long r)
{
	if ((want && r >= 0) || (!want && r < 0 && errno == EACCES))
		return;
	print_error("%s %s: %s\n", what, path, r < 0 ? strerror(errno) : "done");
	_exit(1);
}

static bool lists(const char *list, const char *path)
{
	return *list == '*' || strstr(list, path);
}

static void look(const struct place *p, size_t row)
{
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		const char *path = files[i];

		expect("look at", path, true, openat(p->root, path, O_PATH));
		expect("read", path, lists(beneath[row].read, path),
		       openat(p->root, path, O_RDONLY));
		expect("write", path, lists(beneath[row].write, path),
		       openat(p->root, path, O_WRONLY));
		expect("truncate", path, lists(beneath[row].write, path),
		       openat(p->root, path, O_WRONLY | O_TRUNC));
		expect("list the folder of", path, lists(beneath[row].read, path),
		       opened_folder(p->root, path));
	}
	expect("make", "srv/new", beneath[row].make,
	       openat(p->root, "srv/new", O_WRONLY | O_CREAT, 0600));
	expect("rename", "srv/file", beneath[row].make,
	       renameat(p->root, "srv/file", p->root, "srv/renamed"));
	if (beneath[row].make)
		renameat(p->root, "srv/renamed", p->root, "srv/file");
	expect("make a folder", "srv/dir", beneath[row].folder,
	       mkdirat(p->root, "srv/dir", 0700));
	expect("make a link", "srv/link", false, symlinkat("x", p->root, "srv/link"));
	expect("make a fifo", "srv/fifo", false, mkfifoat(p->root, "srv/fifo", 0600));
	expect("read from", "/", *beneath[row].read == '*',
	       openat(p->slash, "etc/passwd", O_RDONLY));
	expect("execute", "/bin/true", false, execl("/bin/true", "true", (char *)NULL));
}

static void look_after_sealing(const struct place *p, size_t row)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
				   .sin_port = htons(9),
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	const long version = syscall(SYS_landlock_create_ruleset, NULL, 0, 1);
	const int r = sandbox_beneath(SC_ROLE(beneath[row].role), p->root);

	if (version < 1) { /* nothing is held back, and the caller is told */
		check(r == 0);
		_exit(0);
	}
	check(r == 1);
	look(p, row);
	if (version >= 4)
		expect("connect by", "TCP", false,
		       connect(p->tcp, (struct sockaddr *)&addr, sizeof(addr)));
	if (version >= 6 && beneath[row].role != SANDBOX_SIGNAL &&
	    kill(getppid(), 0) == 0)
		expect("signal", "another", false, 0);
	_exit(0);
}

static void test_beneath(void **state)
{
	const struct place *p = *state;

	for (size_t row = 0; row < ARRAY_SIZE(beneath); row++) {
		pid_t pid = fork();
		int status;

		assert_true(pid >= 0);
		if (pid == 0)
			look_after_sealing(p, row);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		unlinkat(p->root, "srv/new", 0);
		unlinkat(p->root, "srv/dir", AT_REMOVEDIR);
		if (status != 0)
			print_error("role %d\n", (int)beneath[row].role);
		assert_int_equal(status, 0);
	}
}

/* What is not there is no reason not to start; and what comes later is not held to be. */
static void test_beneath_a_poor_root(void **state)
{
	const struct place *p = *state;
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		const int srv = openat(p->root, "srv", O_RDONLY | O_DIRECTORY);

		check(sandbox_beneath(SC_ROLE(SANDBOX_POLICY) | SC_ROLE(SANDBOX_SYSFS),
				      srv) >= 0);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_each_policy),
		cmocka_unit_test(test_without_landlock),
		cmocka_unit_test(test_landlock_switched_off),
		cmocka_unit_test(test_what_no_policy_leaves),
		cmocka_unit_test(test_nothing_needs_nothing),
		cmocka_unit_test(test_more_needs_no_less),
		cmocka_unit_test(test_a_freeze_in_force_has_to_end),
		cmocka_unit_test(test_hooks_need_the_spawner),
		cmocka_unit_test(test_how_init_is_told),
		cmocka_unit_test(test_within),
		cmocka_unit_test(test_needs_text),
		cmocka_unit_test(test_beneath_text),
		cmocka_unit_test(test_beneath),
		cmocka_unit_test(test_beneath_a_poor_root),
	};

	return cmocka_run_group_tests_name("privileges", tests, place_init, place_done);
}
