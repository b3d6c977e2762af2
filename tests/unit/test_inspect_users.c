/*
 * tests/unit/test_inspect_users.c - who is logged in, by utmp or by logind
 *
 * Runs in:   a test
 * Input:     files it makes
 * May touch: a scratch directory
 * Must not:  depend on who is logged in
 */
#include "tests/lib/inspect.h"

#include <utmpx.h>

#define SESSIONS "run/systemd/sessions/"

struct expected {
	const char *name;
	double login;
};

static void expect_users(struct fixture *f, const struct expected *want, uint32_t n)
{
	struct msg_users got;
	const struct msg_user *u;

	get(f, OP_get_users, &got);
	assert_int_equal(got.value.n, n);
	u = got.value.v;
	for (uint32_t i = 0; i < n; i++) {
		assert_text(u[i].user, want[i].name);
		assert_true(u[i].login_time.v == want[i].login);
	}
}

/* ---- utmp ---- */

static struct utmpx record(short type, const char *name, int sec, int usec)
{
	struct utmpx r = {.ut_type = type};

	/* All of the field, without a NUL: that is what it may hold. */
	memcpy(r.ut_user, name, strnlen(name, sizeof(r.ut_user)));
	memset(r.ut_host, 'h', sizeof(r.ut_host));
	r.ut_tv.tv_sec = sec;
	r.ut_tv.tv_usec = usec;
	return r;
}

static void test_users_in_the_order_of_utmp(void **state)
{
	static const struct expected want[] = {
		{"bob", 1700000300.5},
		{"alice", 1700000100.25},
		{"abcdefghijklmnopqrstuvwxyz012345", 1700000400},
		{"\xff\x01", 1},
	};
	const struct utmpx records[] = {
		record(BOOT_TIME, "reboot", 1700000000, 0),
		record(RUN_LVL, "runlevel", 1700000001, 0),
		record(LOGIN_PROCESS, "LOGIN", 1700000002, 0),
		record(USER_PROCESS, "bob", 1700000300, 500000),
		record(USER_PROCESS, "alice", 1700000200, 0),
		record(DEAD_PROCESS, "carol", 1700000003, 0),
		record(USER_PROCESS, "alice", 1700000100, 250000),
		record(USER_PROCESS, "alice", 1700000150, 0),
		record(USER_PROCESS, "", 1700000100, 0),
		record(USER_PROCESS, want[2].name, 1700000400, 0),
		record(EMPTY, "", 0, 0),
		record(USER_PROCESS, "\xff\x01", 1, 0),
	};
	struct fixture *f = *state;

	/* As everywhere: a link that leads from the root, not from the machine's. */
	put_link(f, "var/run", "/run");
	put_bytes(f, "run/utmp", records, sizeof(records));
	/* Where utmp is kept, logind is not asked. */
	put(f, SESSIONS "1", "USER=dora\nCLASS=user\nREALTIME=1\n");
	expect_users(f, want, ARRAY_SIZE(want));
}

static void test_utmp_that_is_cut(void **state)
{
	static const struct expected want[] = {{"alice", 1700000100}};
	const struct utmpx records[] = {
		record(USER_PROCESS, "alice", 1700000100, 0),
		record(USER_PROCESS, "bob", 1700000200, 0),
	};
	struct fixture *f = *state;

	for (size_t cut = 1; cut <= sizeof(records[1]); cut++) {
		put_bytes(f, "var/run/utmp", records, sizeof(records) - cut);
		expect_users(f, want, ARRAY_SIZE(want));
	}
	put_bytes(f, "var/run/utmp", records, sizeof(records[0]) - 1);
	expect_users(f, NULL, 0);
}

static void test_utmp_of_nobody(void **state)
{
	const struct utmpx boot = record(BOOT_TIME, "reboot", 1700000000, 0);
	struct fixture *f = *state;

	put_bytes(f, "var/run/utmp", &boot, sizeof(boot));
	put(f, SESSIONS "1", "USER=dora\nCLASS=user\nREALTIME=1\n");
	expect_users(f, NULL, 0);
}

static void test_utmp_with_many_names(void **state)
{
	enum { N = 500 };
	static struct utmpx records[2 * N];
	static char names[N][8];
	static struct expected want[N];
	struct fixture *f = *state;

	for (int i = 0; i < 2 * N; i++) {
		snprintf(names[i % N], sizeof(names[0]), "u%d", i % N);
		records[i] = record(USER_PROCESS, names[i % N], 1000 - i, 0);
		want[i % N] = (struct expected){names[i % N], 1000 - i};
	}
	put_bytes(f, "var/run/utmp", records, sizeof(records));
	expect_users(f, want, N);
}

static void test_utmp_that_cannot_be_read(void **state)
{
	struct fixture *f = *state;

	put_dir(f, "var/run/utmp");
	assert_error(f, OP_get_users, ERR_GENERIC,
		     "open(\"/var/run/utmp\"): Invalid argument");
}

/* ---- logind ---- */

static void test_neither_utmp_nor_logind(void **state)
{
	expect_users(*state, NULL, 0);
}

static void put_session(struct fixture *f, const char *id, const char *user,
			const char *class, const char *st, const char *usec)
{
	char path[64], text[512];

	snprintf(path, sizeof(path), SESSIONS "%s", id);
	snprintf(text, sizeof(text),
		 "# This is private data. Do not parse.\n"
		 "UID=1000\nUSER=%s\nACTIVE=1\nIS_DISPLAY=1\nSTATE=%s\nREMOTE=1\n"
		 "TYPE=tty\nORIGINAL_TYPE=tty\nCLASS=%s\nSCOPE=session-%s.scope\n"
		 "TTY=pts/0\nREMOTE_HOST=192.0.2.1\nREMOTE_USER=\nSERVICE=sshd\n"
		 "LEADER=4711\nAUDIT=%s\nREALTIME=%s\nMONOTONIC=99\n",
		 user, st, class, id, id, usec);
	put(f, path, text);
}

static void test_users_of_logind_by_login(void **state)
{
	static const struct expected want[] = {
		{"root", 1700000000.25}, {"alice", 1700000001}, {"a", 1700000003.5},
		{"abc", 1700000003.5},   {"abd", 1700000003.5}, {"light", 1700000004},
		{"early", 1700000005},   {"opens", 1700000006},
	};
	struct fixture *f = *state;

	put_session(f, "9", "opens", "user", "opening", "1700000006000000");
	put_session(f, "8", "light", "user-light", "online", "1700000004000000");
	put_session(f, "7", "early", "user-early-light", "online", "1700000005000000");
	put_session(f, "5", "abd", "user", "online", "1700000003500000");
	put_session(f, "6", "abc", "user", "online", "1700000003500000");
	put_session(f, "c2", "a", "user", "online", "1700000003500000");
	put_session(f, "4", "alice", "user", "active", "1700000002000000");
	put_session(f, "3", "alice", "user", "online", "1700000001000000");
	put_session(f, "2", "root", "user-early", "active", "1700000000250000");
	/* An empty utmp is none. */
	put(f, "var/run/utmp", "");
	expect_users(f, want, ARRAY_SIZE(want));
}

/* Open, what is it, read, close. */
static void test_sessions_take_four_calls_each(void **state)
{
	enum { N = 200 };
	struct fixture *f = *state;

	for (int i = 0; i < N; i++) {
		char id[16];

		snprintf(id, sizeof(id), "%d", i);
		put_session(f, id, id, "user", "active", "1000000");
	}
	assert_calls(f, OP_get_users, 4 * N, 4 * N + 10);
}

static void test_sessions_of_nobody(void **state)
{
	static const char *const classes[] = {
		"greeter", "manager",         "background",    "none",
		"USER",    "user-incomplete", "manager-early", "lock-screen",
		"",        "background-light"};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(classes); i++) {
		char id[16];

		snprintf(id, sizeof(id), "c%zu", i);
		put_session(f, id, "who", classes[i], "active", "1");
	}
	put_session(f, "1", "gone", "user", "closing", "1");
	put_session(f, "2", "", "user", "active", "1");
	put_session(f, "3", "when", "user", "active", "soon");
	/* Being written, a pipe, what is no session. */
	put_session(f, ".#1abcdef", "temporary", "user", "active", "1");
	assert_int_equal(mkfifoat(f->in.sys.root_fd, SESSIONS "4.ref", 0600), 0);
	put_dir(f, SESSIONS "5");
	put_link(f, SESSIONS "6", "../elsewhere");
	put(f, "run/systemd/elsewhere", "USER=who\nCLASS=user\nREALTIME=1\n");
	expect_users(f, NULL, 0);
}

static void test_session_files_of_any_content(void **state)
{
	static const struct expected want[] = {{"last", 2}, {"only", 3}};
	struct fixture *f = *state;

	put(f, SESSIONS "1", "");
	put(f, SESSIONS "2", "\n=\n==\nUSER\nCLASS=user\n");
	put(f, SESSIONS "3", "REALTIME=2000000\nUSER=first\nCLASS=user\nUSER=last");
	put(f, SESSIONS "4",
	    "USER=only\nCLASS=user\nREALTIME=3000000\nXUSER=x\nUSER2=y\n");
	put(f, SESSIONS "5", "USER=never\nCLASS=user\n");
	expect_users(f, want, ARRAY_SIZE(want));
}

static void test_quoted_names(void **state)
{
	static const struct {
		const char *text;
		const char *name;
	} cases[] = {
		{"DOM\\alice", "DOM\\alice"},
		{"\"DOM\\\\alice\"", "DOM\\alice"},
		{"\"with blank\"", "with blank"},
		{"\"a\\$\\`\\\"\"", "a$`\""},
		{"\"not closed", "not closed"},
		{"\"ends with\\", "ends with\\"},
		{"a\"b\"", "a\"b\""},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct expected want = {cases[i].name, 1};

		put_session(f, "1", cases[i].text, "user", "active", "1000000");
		expect_users(f, &want, 1);
	}
	put_session(f, "1", "\"\"", "user", "active", "1000000");
	expect_users(f, NULL, 0);
	put_session(f, "1", "\"", "user", "active", "1000000");
	expect_users(f, NULL, 0);
}

static void test_sessions_that_cannot_be_listed(void **state)
{
	struct fixture *f = *state;

	put(f, "run/systemd/sessions", "a file");
	assert_error(f, OP_get_users, ERR_GENERIC,
		     "open(\"/run/systemd/sessions\"): Not a directory");
}

/* An answer is whole or none: at each size that is too little. */
static void test_users_beyond_the_memory(void **state)
{
	const struct utmpx alice = record(USER_PROCESS, "alice", 1700000100, 0);
	struct fixture *f = *state;

	put_session(f, "1", "\"alice\"", "user", "active", "1000000");
	for (f->in.arena.cap = 500; f->in.arena.cap > 8; f->in.arena.cap -= 8)
		assert_error(f, OP_get_users, ERR_GENERIC, "The answer is too long");
	put_bytes(f, "var/run/utmp", &alice, sizeof(alice));
	f->in.arena.cap = sizeof(alice) + 64;
	assert_error(f, OP_get_users, ERR_GENERIC, "The answer is too long");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(test_users_in_the_order_of_utmp),
		TEST(test_utmp_that_is_cut),
		TEST(test_utmp_of_nobody),
		TEST(test_utmp_with_many_names),
		TEST(test_utmp_that_cannot_be_read),
		TEST(test_neither_utmp_nor_logind),
		TEST(test_users_of_logind_by_login),
		TEST(test_sessions_take_four_calls_each),
		TEST(test_sessions_of_nobody),
		TEST(test_session_files_of_any_content),
		TEST(test_quoted_names),
		TEST(test_sessions_that_cannot_be_listed),
		TEST(test_users_beyond_the_memory),
	};

	return cmocka_run_group_tests_name("inspect_users", tests, NULL, NULL);
}
