/*
 * tests/unit/test_setup.c - where records go, from what the command line says of it
 *
 * Runs in:   a test; the journal's address needs root and mounts of its own
 * Input:     words of the option --audit
 * May touch: files and a socket in a mount namespace of its own
 * Must not:  speak to the machine's journal
 *
 * run: admin
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "supervisor/setup.h"
#include "tests/lib/journal.h"

static bool placed;

static void need_place(void)
{
	if (placed)
		return;
	print_message("# needs root, and mounts of its own\n");
	skip();
}

static void opens(const char *sink, bool journal, int fd)
{
	struct audit_sink a;
	struct err e;

	assert_int_equal(audit_open(&a, sink, false, &e), 0);
	assert_int_equal(a.journal, journal);
	assert_int_equal(a.fd, fd);
}

static void fails(const char *sink, bool frozen, const char *words)
{
	struct audit_sink a;
	struct err e;

	assert_int_equal(audit_open(&a, sink, frozen, &e), -1);
	if (!strstr(e.desc, words))
		fail_msg("'%s': '%s', not '%s'", sink, e.desc, words);
	assert_int_equal(a.fd, -1);
	assert_false(a.journal);
}

static void words(void **state)
{
	static const char *const wrong[] = {"",      "Journal", "journal:", "journald",
					    "fd",    "fd:",     "fd:-1",    "fd:1x",
					    "fd: 1", "fd:0x1",  "file",     "/tmp/audit"};

	(void)state;
	opens("fd:1", false, 1);
	opens("fd:2", false, 2);
	opens("journal", true, -1);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		fails(wrong[i], false, "neither journal nor fd:N nor file:PATH");
	fails("fd:99999", false, "Bad file descriptor");
	fails("fd:4294967297", false, "neither");
	fails("file:", false, "cannot open audit file");
}

static void of_its_own_accord(void **state)
{
	int journal;

	(void)state;
	need_place();
	opens(NULL, false, 2);
	journal = journal_listen();
	opens(NULL, true, -1);
	/* What was said counts. */
	opens("fd:2", false, 2);
	journal_leave(&journal);
	opens(NULL, false, 2);
	opens("journal", true, -1);
}

static void a_file(void **state)
{
	struct audit_sink a;
	struct stat st;
	struct err e;

	(void)state;
	need_place();
	/* While something is frozen none is made. */
	fails("file:/run/audit", true, "cannot open audit file");
	assert_int_equal(audit_open(&a, "file:/run/audit", false, &e), 0);
	assert_false(a.journal);
	assert_true(a.fd >= 0);
	assert_int_equal(fcntl(a.fd, F_GETFL) & (O_ACCMODE | O_APPEND),
			 O_WRONLY | O_APPEND);
	assert_int_equal(fstat(a.fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	close_p(&a.fd);
	assert_int_equal(audit_open(&a, "file:/run/audit", true, &e), 0);
	close_p(&a.fd);
	fails("file:/run", false, "cannot open audit file");
	assert_int_equal(symlink("audit", "/run/link"), 0);
	fails("file:/run/link", false, "cannot open audit file");
	assert_int_equal(mkfifo("/run/fifo", 0600), 0);
	fails("file:/run/fifo", false, "audit file '/run/fifo'");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(words),
		cmocka_unit_test(of_its_own_accord),
		cmocka_unit_test(a_file),
	};

	placed = journal_place() == 0;
	return cmocka_run_group_tests_name("setup", tests, NULL, NULL);
}
