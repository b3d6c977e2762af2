/*
 * tests/unit/test_passwd.c - an account, from what getent(1) wrote of it
 *
 * Runs in:   a test
 * Input:     texts of its own
 * May touch: memory
 * Must not:  ask the name service
 */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ipc/frame.h"
#include "worker/ops/account.h"
#include "worker/ops/ops.h"

static char log_text[8 * ACCOUNT_GROUPS_MAX];

static const char *show(const struct wbuf *out)
{
	static _Alignas(max_align_t) uint8_t memory[32 * ACCOUNT_GROUPS_MAX];
	struct arena arena = {.p = memory, .cap = sizeof(memory)};
	struct rbuf r = rbuf_of(out->p, out->len);
	const struct msg_gid *gids;
	struct msg_account a;
	size_t len;

	assert_int_equal(schema_get(&r, &schema_account, &arena, &a), 0);
	assert_true(rbuf_done(&r));
	len = (size_t)snprintf(log_text, sizeof(log_text),
			       "%llu %llu %.*s:", (unsigned long long)a.uid.v,
			       (unsigned long long)a.gid.v, (int)a.home.len, a.home.p);
	gids = a.groups.v;
	for (uint32_t i = 0; i < a.groups.n; i++)
		len += (size_t)snprintf(log_text + len, sizeof(log_text) - len, " %llu",
					(unsigned long long)gids[i].gid.v);
	return log_text;
}

/* "UID GID HOME: GID..." or why not. GROUPS may be NULL. */
static const char *find(const char *name, struct v_str passwd, const char *groups)
{
	CLEANUP(wbuf_free) struct wbuf out = wbuf_growing(REPLY_BODY_MAX);
	const struct msg_account_find q = {
		.name = v_str(name),
		.passwd = passwd,
		.groups = v_str(groups),
	};
	char opening[256];
	struct err e = {0};
	int n;

	if (child_account_find(NULL, &q, &out, &e) == 0)
		return show(&out);
	assert_int_equal(e.cls, ERR_GENERIC);
	n = snprintf(opening, sizeof(opening), "failed to lookup user '%s': ", name);
	assert_int_equal(strncmp(e.desc, opening, (size_t)n), 0);
	snprintf(log_text, sizeof(log_text), "%s", e.desc + n);
	return log_text;
}

static void is(const char *name, const char *passwd, const char *groups, const char *want)
{
	assert_string_equal(find(name, v_str(passwd), groups), want);
}

#define NONE  "there is no such account"
#define LINE  "getent did not write one line of seven fields"
#define OTHER "getent wrote of another account"
#define UID   "its uid is no number of a user"
#define GID   "its gid is no number of a group"
#define HOME  "its home directory is no absolute path"

static void what_an_account_is(void **state)
{
	(void)state;
	is("ann", "ann:x:1000:1001:Ann,,,:/home/ann:/bin/sh\n", NULL,
	   "1000 1001 /home/ann: 1001");
	is("root", "root:x:0:0:root:/root:/bin/bash\n", NULL, "0 0 /root: 0");
	is("ann", "ann:::::/:\n", NULL, UID);
	is("ann", "ann::1:2::/:\n", NULL, "1 2 /: 2");
	is("ann", "ann::4294967294:0::/ \xc3\xa4:\n", NULL, "4294967294 0 / \xc3\xa4: 0");
	/* As a directory of another system may have it. */
	is("DOM\\an user", "DOM\\an user:*:10:10::/h:/s\n", NULL, "10 10 /h: 10");
}

static void who_is_not_the_one(void **state)
{
	(void)state;
	is("ann", "", NULL, NONE);
	is("0", "root:x:0:0:root:/root:/bin/bash\n", NULL, OTHER);
	is("Ann", "ann::1:2::/:\n", NULL, OTHER);
	is("an", "ann::1:2::/:\n", NULL, OTHER);
	is("anna", "ann::1:2::/:\n", NULL, OTHER);
	is("", ":x:1:2::/:\n", NULL, OTHER);
	is("ann:x", "ann:x:1:2::/:\n", NULL, OTHER);
	is("ann:x", "ann:x:1:2:::/:\n", NULL, LINE);
	is("a\nb", "a\nb::1:2::/:\n", NULL, LINE);
}

static void what_is_no_line(void **state)
{
	(void)state;
	is("ann", "\n", NULL, LINE);
	is("ann", "ann::1:2::/\n", NULL, LINE);
	is("ann", "ann::1:2::/::\n", NULL, LINE);
	/* Cut off, so that anything may be missing; or two of them. */
	is("ann", "ann::1:2::/:/bin/s", NULL, LINE);
	is("ann", "ann::1:2::/:\nann::1:2::/:\n", NULL, LINE);
	is("ann", "\nann::1:2::/:\n", NULL, LINE);
	assert_string_equal(
		find("ann",
		     (struct v_str){.p = "ann::1:2::/\0:\n", .len = 14, .set = true},
		     NULL),
		LINE);
}

static void what_is_no_number(void **state)
{
	static const char *const bad[] = {
		"",
		" 1",
		"1 ",
		"-1",
		"+1",
		"0x1",
		"1a",
		"4294967295",
		"4294967296",
		"18446744073709551616",
		"99999999999999999999999999",
	};
	char line[128];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		snprintf(line, sizeof(line), "ann::%s:2::/:\n", bad[i]);
		is("ann", line, NULL, UID);
		snprintf(line, sizeof(line), "ann::1:%s::/:\n", bad[i]);
		is("ann", line, NULL, GID);
	}
}

static void what_is_no_home(void **state)
{
	char line[PATH_MAX + 64], want[PATH_MAX + 64];

	(void)state;
	is("ann", "ann::1:2:::\n", NULL, HOME);
	is("ann", "ann::1:2::home:\n", NULL, HOME);
	is("ann", "ann::1:2:: /home:\n", NULL, HOME);
	snprintf(line, sizeof(line), "ann::1:2::/%0*d:\n", PATH_MAX - 1, 0);
	is("ann", line, NULL, HOME);
	snprintf(line, sizeof(line), "ann::1:2::/%0*d:\n", PATH_MAX - 2, 0);
	snprintf(want, sizeof(want), "1 2 /%0*d: 2", PATH_MAX - 2, 0);
	is("ann", line, NULL, want);
}

#define ANN "ann::1:2::/:\n"

static void which_groups(void **state)
{
	(void)state;
	is("ann", ANN, "ann                   4 24 4 0 4294967294\n",
	   "1 2 /: 4 24 4 0 4294967294");
	is("ann", ANN, "ann 7\n", "1 2 /: 7");
	/* In none, with and without the blanks that follow a short name. */
	is("ann", ANN, "ann                  \n", "1 2 /:");
	is("ann", ANN, "ann\n", "1 2 /:");
	is("a b", "a b::1:2::/:\n", "a b 7 8\n", "1 2 /: 7 8");
}

static void what_are_no_groups(void **state)
{
	static const char *const bad[] = {"ann 7 x\n", "ann -7\n", "ann 4294967295\n",
					  "ann 7,8\n", "ann\t7\n", "ann 7\t8\n"};
	static const char *const cut[] = {
		"",       "\n",      "ann 7",   "ann 7\n\n", "ann 7\nann 8\n",
		"an 7\n", "bob 7\n", " ann 7\n"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(strncmp(find("ann", v_str(ANN), bad[i]), "getent ", 7),
				 0);
	for (size_t i = 0; i < ARRAY_SIZE(cut); i++)
		is("ann", ANN, cut[i], "getent did not write its groups");
	is("ann", ANN, "anna 7\n", "getent wrote of the groups of another account");
}

static void too_many_groups(void **state)
{
	static char text[8 * ACCOUNT_GROUPS_MAX];
	size_t len = (size_t)snprintf(text, sizeof(text), "ann");

	(void)state;
	for (int i = 0; i < ACCOUNT_GROUPS_MAX; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, " %d", i);
	snprintf(text + len, sizeof(text) - len, "\n");
	assert_int_equal(strncmp(find("ann", v_str(ANN), text), "1 2 /: 0 1 2 ", 13), 0);
	snprintf(text + len, sizeof(text) - len, " 0\n");
	is("ann", ANN, text, "it is in too many groups");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_an_account_is),
		cmocka_unit_test(who_is_not_the_one),
		cmocka_unit_test(what_is_no_line),
		cmocka_unit_test(what_is_no_number),
		cmocka_unit_test(what_is_no_home),
		cmocka_unit_test(which_groups),
		cmocka_unit_test(what_are_no_groups),
		cmocka_unit_test(too_many_groups),
	};

	return cmocka_run_group_tests_name("passwd", tests, NULL, NULL);
}
