/*
 * tests/unit/test_config.c - file, environment and command line, and which one wins
 *
 * Runs in:   the test program
 * Input:     files and variables of its own
 * May touch: a temporary directory, its environment
 * Must not:  read the machine's configuration
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "ipc/ops.h"
#include "supervisor/config.h"

#define SET(tag) (UINT64_C(1) << OP_##tag)

static char dir[] = "/tmp/postern-test-XXXXXX";
static char conf[64];

static const char *const variables[] = {
	"QGA_CONF",   "TRANSPORT",       "DAEMON_ARGS",  "BLACKLIST_RPC",
	"BLOCK_RPCS", "FILTER_RPC_ARGS", "QEMU_GA_ARGS", "FSFREEZE_HOOK_PATHNAME"};

static int make_dir(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	return snprintf(conf, sizeof(conf), "%s/qemu-ga.conf", dir) < 0;
}

static int remove_dir(void **state)
{
	(void)state;
	return rmdir(dir);
}

/* No file, and no variable but the one that says so. */
static int plain(void **state)
{
	(void)state;
	unlink(conf);
	for (size_t i = 0; i < ARRAY_SIZE(variables); i++)
		unsetenv(variables[i]);
	return setenv("QGA_CONF", conf, 1);
}

static void write_conf(const char *text, size_t len)
{
	FILE *f = fopen(conf, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(conf, 0600), 0);
}

static void conf_is(const char *text)
{
	write_conf(text, strlen(text));
}

#define READ(o, e, ...)                                                             \
	({                                                                          \
		char *argv_[] = {(char *)"/usr/sbin/qemu-ga", ##__VA_ARGS__, NULL}; \
		config_read((o), (int)ARRAY_SIZE(argv_) - 1, argv_, (e));           \
	})
#define WORD(s) ((char *)(s))

/* It must be refused with the text WHY. */
static void check_refused(const char *why)
{
	struct options o;
	struct err e = {};

	assert_int_equal(READ(&o, &e), OPTIONS_BAD);
	assert_string_equal(e.desc, why);
	options_done(&o);
}

static void check_refused_file(const char *why)
{
	char text[256];

	snprintf(text, sizeof(text), "error loading configuration from path: %s, %s",
		 conf, why);
	check_refused(text);
}

/* ---- the file ---- */

static void test_no_file(void **state)
{
	struct options o;
	struct err e;

	(void)state;
	assert_int_equal(READ(&o, &e), OPTIONS_RUN);
	assert_string_equal(o.program, "qemu-ga");
	assert_string_equal(o.method_name, "virtio-serial");
	assert_true(o.block == 0 && o.allow == 0);
	assert_string_equal(o.warnings, "");
	options_done(&o);
}

static void test_named_file(void **state)
{
	char text[256];
	struct options o;
	struct err e;

	(void)state;
	conf_is("[general]\nverbose=true\n");
	setenv("QGA_CONF", "/nonexistent", 1);
	assert_int_equal(READ(&o, &e, WORD("-c"), conf), OPTIONS_RUN);
	assert_true(o.verbose);
	options_done(&o);

	/* Only -c demands that there be one. */
	unlink(conf);
	snprintf(text, sizeof(text),
		 "error loading configuration from path: %s, cannot open: No such file "
		 "or directory",
		 conf);
	assert_int_equal(READ(&o, &e, WORD("-c"), conf), OPTIONS_BAD);
	assert_string_equal(e.desc, text);
	options_done(&o);
}

static void test_precedence(void **state)
{
	struct options o;
	struct err e;

	(void)state;
	conf_is("[general]\nmethod=isa-serial\npath=/file\nlogfile=/l\ndaemon=1\n");
	setenv("TRANSPORT", "unix-listen:/variable", 1);
	setenv("DAEMON_ARGS", "-t /t -p /earlier", 1);
	assert_int_equal(READ(&o, &e, WORD("-p"), WORD("/word")), OPTIONS_RUN);
	assert_string_equal(o.logfile, "/l");
	assert_string_equal(o.method_name, "unix-listen");
	assert_string_equal(o.statedir, "/t");
	assert_string_equal(o.path, "/word");
	assert_true(o.daemon);
	options_done(&o);

	assert_int_equal(READ(&o, &e), OPTIONS_RUN);
	assert_string_equal(o.path, "/variable");
	options_done(&o);
}

/* From all sources, and both of their keys. */
static void test_lists_add_up(void **state)
{
	struct options o;
	struct err e;

	(void)state;
	conf_is("[general]\nblacklist=guest-exec\nblock-rpcs=guest-ping , guest-sync\n"
		"allow-rpcs=guest-info\n");
	setenv("BLOCK_RPCS", "guest-file-open", 1);
	setenv("BLACKLIST_RPC", "guest-file-read", 1);
	setenv("FILTER_RPC_ARGS", "--allow-rpcs=guest-get-time", 1);
	assert_int_equal(READ(&o, &e, WORD("-bguest-shutdown")), OPTIONS_RUN);
	assert_true(o.block == (SET(exec) | SET(ping) | SET(sync) | SET(file_open) |
				SET(file_read) | SET(shutdown)));
	assert_true(o.allow == (SET(info) | SET(get_time)));
	options_done(&o);
}

static void test_unknown_keys(void **state)
{
	char wanted[512];
	struct options o;
	struct err e;

	(void)state;
	conf_is("[other]\nverbose=true\n[general]\ndaemonize=true\nverbose=0\n");
	snprintf(wanted, sizeof(wanted),
		 "%s, line 2: nothing in group 'other' is read, only 'general'\n"
		 "%s, line 4: there is no key 'daemonize', ignored; the closest is "
		 "'daemon'\n",
		 conf, conf);
	assert_int_equal(READ(&o, &e), OPTIONS_RUN);
	assert_string_equal(o.warnings, wanted);
	assert_false(o.verbose || o.daemon);
	options_done(&o);
}

static void test_wrong_file(void **state)
{
	(void)state;
	conf_is("[general]\ndaemon=yes\n");
	check_refused_file(
		"line 2: daemon: 'yes' is none of 'true', 'false', '1' and '0'");
	conf_is("[general]\nblock-rpcs=guest-exec,guest-file-opne\n");
	check_refused_file("line 2: block-rpcs: there is no command 'guest-file-opne', "
			   "the closest name is 'guest-file-open'");
	conf_is("[general]\nallow-rpcs=guest-ping;guest-sync\n");
	check_refused_file("line 2: allow-rpcs: 'guest-ping;guest-sync': names are "
			   "separated by ',', not by ';'");
	conf_is("daemon=true\n");
	check_refused_file("line 1: 'daemon=true' stands in front of a group");
	write_conf("[general]\n\0", 11);
	check_refused_file("it holds a NUL byte");
}

static void test_file_of_another_kind(void **state)
{
	(void)state;
	assert_int_equal(mkdir(conf, 0700), 0);
	check_refused_file("not a regular file");
	rmdir(conf);
	assert_int_equal(mkfifo(conf, 0600), 0);
	check_refused_file("not a regular file");
}

static void test_file_size(void **state)
{
	char *text = calloc(1, CONFIG_MAX + 1);
	struct options o;
	struct err e;

	(void)state;
	assert_non_null(text);
	memset(text, '#', CONFIG_MAX + 1);
	write_conf(text, CONFIG_MAX);
	assert_int_equal(READ(&o, &e), OPTIONS_RUN);
	options_done(&o);
	write_conf(text, CONFIG_MAX + 1);
	check_refused_file("cannot read: File too large");
	free(text);
}

/* Who may write it decides what the agent does. */
static void test_writable_by_others(void **state)
{
	char wanted[256];
	struct options o;
	struct err e;

	(void)state;
	conf_is("[general]\n");
	snprintf(wanted, sizeof(wanted), "%s: others than its owner may write it\n",
		 conf);
	for (mode_t bit = 0020; bit; bit = bit == 0020 ? 0002 : 0) {
		assert_int_equal(chmod(conf, 0600 | bit), 0);
		assert_int_equal(READ(&o, &e), OPTIONS_RUN);
		assert_string_equal(o.warnings, wanted);
		options_done(&o);
	}
	assert_int_equal(chmod(conf, 0644), 0);
	assert_int_equal(READ(&o, &e), OPTIONS_RUN);
	assert_string_equal(o.warnings, "");
	options_done(&o);
}

/* What acts at once does so when the file has been read. */
static void test_at_once(void **state)
{
	struct options o;
	struct err e;

	(void)state;
	assert_int_equal(READ(&o, &e, WORD("-h")), OPTIONS_HELP);
	options_done(&o);
	assert_int_equal(READ(&o, &e, WORD("-D"), WORD("-b"), WORD("?")),
			 OPTIONS_COMMANDS);
	options_done(&o);
	assert_int_equal(READ(&o, &e, WORD("-D"), WORD("-v")), OPTIONS_DUMP);
	assert_true(o.verbose);
	options_done(&o);
	conf_is("nonsense\n");
	assert_int_equal(READ(&o, &e, WORD("-V")), OPTIONS_BAD);
	options_done(&o);
}

/* ---- variables ---- */

static void test_empty_variables(void **state)
{
	struct options o;
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(variables); i++)
		setenv(variables[i], "", 1);
	assert_int_equal(READ(&o, &e), OPTIONS_RUN);
	assert_true(o.block == 0 && o.allow == 0);
	assert_null(o.fsfreeze_hook);
	assert_string_equal(o.method_name, "virtio-serial");
	assert_string_equal(o.warnings, "");
	options_done(&o);
}

static void test_words_of_a_variable(void **state)
{
	struct options o;
	struct err e;

	(void)state;
	setenv("QEMU_GA_ARGS",
	       " -v\t-p '/a \\b' --logfile=\"/l 'x' \\\" \\\\\" -t /t\\ t -f '' "
	       "--allow-rpcs=guest-ping,\"guest-sync\" -l$HOME`x` ",
	       1);
	assert_int_equal(READ(&o, &e), OPTIONS_RUN);
	assert_true(o.verbose);
	assert_string_equal(o.path, "/a \\b");
	assert_string_equal(o.statedir, "/t t");
	assert_string_equal(o.pidfile, "");
	assert_string_equal(o.logfile, "$HOME`x`");
	assert_true(o.allow == (SET(ping) | SET(sync)));
	options_done(&o);

	setenv("QEMU_GA_ARGS", "--logfile=\"/l 'x' \\\" \\\\\"", 1);
	assert_int_equal(READ(&o, &e), OPTIONS_RUN);
	assert_string_equal(o.logfile, "/l 'x' \" \\");
	options_done(&o);
}

/* As many words as there can be in so many bytes. */
static void test_short_words(void **state)
{
	(void)state;
	setenv("DAEMON_ARGS", "a b c d e f g h i j k l m n o p q r s t u v w x y z", 1);
	check_refused("DAEMON_ARGS: 'a' is not an option; a list is one word");
	setenv("DAEMON_ARGS", "''", 1);
	check_refused("DAEMON_ARGS: '' is not an option; a list is one word");
}

static void test_transport(void **state)
{
	struct options o;
	struct err e;

	(void)state;
	setenv("TRANSPORT", "vsock-listen:3:1234", 1);
	assert_int_equal(READ(&o, &e), OPTIONS_RUN);
	assert_string_equal(o.method_name, "vsock-listen");
	assert_string_equal(o.path, "3:1234");
	options_done(&o);
	setenv("TRANSPORT", "isa-serial", 1);
	assert_int_equal(READ(&o, &e), OPTIONS_RUN);
	assert_string_equal(o.method_name, "isa-serial");
	assert_null(o.path);
	options_done(&o);
}

static void test_hook_variable(void **state)
{
	struct options o;
	struct err e;

	(void)state;
	setenv("FSFREEZE_HOOK_PATHNAME", "/etc/qemu-ga/fsfreeze-hook", 1);
	assert_int_equal(READ(&o, &e), OPTIONS_RUN);
	assert_string_equal(o.fsfreeze_hook, "/etc/qemu-ga/fsfreeze-hook");
	options_done(&o);
	setenv("FSFREEZE_HOOK_PATHNAME", "hook", 1);
	check_refused("FSFREEZE_HOOK_PATHNAME: --fsfreeze-hook: 'hook' is not an "
		      "absolute path");
}

/* The variable that holds the mistake is named; what it takes away is never lost. */
static void test_wrong_variables(void **state)
{
	static const struct {
		const char *name, *value, *why;
	} cases[] = {
		{"BLACKLIST_RPC", "guest-file-open,guest-foo",
		 "BLACKLIST_RPC: --block-rpcs: there is no command 'guest-foo', the "
		 "closest name is 'guest-info'"},
		{"BLOCK_RPCS", "guest-exec;guest-ping",
		 "BLOCK_RPCS: --block-rpcs: 'guest-exec;guest-ping': names are separated "
		 "by ',', not by ';'"},
		/* A list where options are expected, as in the older variables. */
		{"FILTER_RPC_ARGS", "guest-exec,guest-exec-status",
		 "FILTER_RPC_ARGS: 'guest-exec,guest-exec-status' is not an option; a "
		 "list is one word"},
		{"FILTER_RPC_ARGS", "--block-rpcs=guest-exec, guest-exec-status",
		 "FILTER_RPC_ARGS: 'guest-exec-status' is not an option; a list is one "
		 "word"},
		{"FILTER_RPC_ARGS", "--block-rpcs",
		 "FILTER_RPC_ARGS: option needs an argument: '--block-rpcs', try "
		 "'qemu-ga --help'"},
		{"FILTER_RPC_ARGS", "-- -v",
		 "FILTER_RPC_ARGS: '-v' is not an option; a list is one word"},
		{"QEMU_GA_ARGS", "--block-rpcs='guest-exec",
		 "QEMU_GA_ARGS: a quote is not closed"},
		{"DAEMON_ARGS", "--nonsense",
		 "DAEMON_ARGS: unknown option: '--nonsense', try 'qemu-ga --help'"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		plain(state);
		setenv(cases[i].name, cases[i].value, 1);
		check_refused(cases[i].why);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, plain, plain)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_no_file),
		TEST(test_named_file),
		TEST(test_precedence),
		TEST(test_lists_add_up),
		TEST(test_unknown_keys),
		TEST(test_wrong_file),
		TEST(test_file_of_another_kind),
		TEST(test_file_size),
		TEST(test_writable_by_others),
		TEST(test_at_once),
		TEST(test_empty_variables),
		TEST(test_words_of_a_variable),
		TEST(test_short_words),
		TEST(test_transport),
		TEST(test_hook_variable),
		TEST(test_wrong_variables),
	};

	return cmocka_run_group_tests_name("config", tests, make_dir, remove_dir);
}
