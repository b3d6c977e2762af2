/*
 * tests/unit/test_options.c - command lines and what becomes of them
 *
 * Runs in:   the test program
 * Input:     command lines written here
 * May touch: nothing
 * Must not:  open what they name
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "ipc/ops.h"
#include "supervisor/options.h"

#define ARGS_MAX 20
#define SET(tag) (UINT64_C(1) << OP_##tag)

struct bad_case {
	const char *args[ARGS_MAX];
	const char *text;
};

static enum options_result parse(struct options *o, const char *const *args,
				 struct err *e)
{
	char *argv[ARGS_MAX + 2] = {(char *)"postern"};
	int argc = 1;

	for (; args[argc - 1]; argc++)
		argv[argc] = (char *)args[argc - 1];
	options_init(o, "/usr/sbin/postern");
	return options_words(o, NULL, argc, argv, e);
}

/* And find the channel, if that went well. */
static enum options_result parse_all(struct options *o, const char *const *args,
				     struct err *e)
{
	enum options_result r = parse(o, args, e);

	if (r == OPTIONS_RUN && options_channel(o, e) < 0)
		return OPTIONS_BAD;
	return r;
}

static void test_defaults(void **state)
{
	const char *const args[] = {NULL};
	struct options o;
	struct err e;

	(void)state;
	assert_int_equal(parse_all(&o, args, &e), OPTIONS_RUN);
	assert_string_equal(o.program, "postern");
	assert_string_equal(o.method->name, "virtio-serial");
	assert_string_equal(o.path, "/dev/virtio-ports/org.qemu.guest_agent.0");
	assert_null(o.profile);
	assert_null(o.audit);
	assert_string_equal(o.frontend_user, "postern-frontend");
	assert_string_equal(o.inspector_user, "postern-inspector");
	assert_null(o.statedir);
	assert_null(o.pidfile);
	assert_null(o.programs);
	assert_null(o.logfile);
	assert_null(o.fsfreeze_hook);
	assert_null(o.config);
	assert_false(o.verbose || o.daemon || o.retry || o.dump);
	assert_true(o.block == 0 && o.allow == 0);
}

static void check_all_set(const char *const *args)
{
	struct options o;
	struct err e;

	assert_int_equal(parse_all(&o, args, &e), OPTIONS_RUN);
	assert_string_equal(o.method->name, "unix-listen");
	assert_string_equal(o.path, "/p");
	assert_string_equal(o.logfile, "/l");
	assert_string_equal(o.pidfile, "/f");
	assert_string_equal(o.fsfreeze_hook, "/F");
	assert_string_equal(o.statedir, "/t");
	assert_string_equal(o.config, "/c");
	assert_true(o.verbose && o.daemon && o.retry && o.dump);
	assert_true(o.block == SET(exec));
	assert_true(o.allow == SET(ping));
	assert_string_equal(o.warnings, "");
}

static void test_short(void **state)
{
	const char *const args[] = {"-vm",  "unix-listen", "-p/p",         "-t",
				    "/t",   "-f",          "/f",           "-l/l",
				    "-F/F", "-c",          "/c",           "-drD",
				    "-b",   "guest-exec",  "-aguest-ping", NULL};

	(void)state;
	check_all_set(args);
}

static void test_long(void **state)
{
	const char *const args[] = {"--method=unix-listen",
				    "--path",
				    "/p",
				    "--statedir=/t",
				    "--pidfile=/f",
				    "--logfile=/l",
				    "--fsfreeze-hook=/F",
				    "--config=/c",
				    "--verbose",
				    "--daemonize",
				    "--retry-path",
				    "--dump-conf",
				    "--block-rpcs",
				    "guest-exec",
				    "--allow-rpcs=guest-ping",
				    NULL};

	(void)state;
	check_all_set(args);
}

/* As getopt_long takes them: what is unique, or means the same. */
static void test_abbreviated(void **state)
{
	const char *const args[] = {"--meth=unix-listen",
				    "--pa=/p",
				    "--stat=/t",
				    "--pid=/f",
				    "--log=/l",
				    "--fs=/F",
				    "--conf=/c",
				    "--verb",
				    "--daemon",
				    "--retry",
				    "--dump",
				    "--bl",
				    "guest-exec",
				    "--allow=guest-ping",
				    NULL};

	(void)state;
	check_all_set(args);
}

static void test_hook(void **state)
{
	static const char *const words[] = {"-F", "--fsfreeze-hook"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		const char *const args[] = {words[i], "/other", NULL};
		struct options o;
		struct err e;

		assert_int_equal(parse(&o, args, &e), OPTIONS_RUN);
		assert_string_equal(o.fsfreeze_hook, "/etc/qemu/fsfreeze-hook");
		assert_string_equal(o.warnings, "'/other' is not an option, ignored\n");
	}
}

/* They add up, over all spellings; the same name twice is no error. */
static void test_lists(void **state)
{
	const char *const args[] = {"-b",
				    "guest-exec, guest-ping,",
				    "--blacklist",
				    "guest-sync\tguest-exec",
				    "--block-rpcs=",
				    "-a",
				    " guest-info",
				    "--allow-rpcs=guest-get-devices",
				    NULL};
	struct options o;
	struct err e;

	(void)state;
	assert_int_equal(parse(&o, args, &e), OPTIONS_RUN);
	assert_true(o.block == (SET(exec) | SET(ping) | SET(sync)));
	assert_true(o.allow == (SET(info) | SET(get_devices)));
}

static void test_own(void **state)
{
	const char *const args[] = {"--profile",       "none",  "--audit=file:/a",
				    "--frontend-user", "alice", "--inspector-user=17",
				    "--programs",      "/bin",  NULL};
	struct options o;
	struct err e;

	(void)state;
	assert_int_equal(parse(&o, args, &e), OPTIONS_RUN);
	assert_string_equal(o.profile, "none");
	assert_string_equal(o.audit, "file:/a");
	assert_string_equal(o.frontend_user, "alice");
	assert_string_equal(o.inspector_user, "17");
	assert_string_equal(o.programs, "/bin");
}

/* The last value wins; words that are no options are ignored, between and behind. */
static void test_repeated_and_surplus(void **state)
{
	const char *const args[] = {"word", "-p", "/a", "more", "-p",
				    "/b",   "--", "-x", NULL};
	struct options o;
	struct err e;

	(void)state;
	assert_int_equal(parse(&o, args, &e), OPTIONS_RUN);
	assert_string_equal(o.path, "/b");
	assert_string_equal(o.warnings, "'word' is not an option, ignored\n"
					"'more' is not an option, ignored\n"
					"'-x' is not an option, ignored\n");
}

/* More warnings than there is room for: whole lines only. */
static void test_many_warnings(void **state)
{
	char word[100];
	char *argv[100] = {(char *)"postern"};
	struct options o;
	struct err e;
	size_t len;

	(void)state;
	memset(word, 'w', sizeof(word) - 1);
	word[sizeof(word) - 1] = '\0';
	for (size_t i = 1; i < ARRAY_SIZE(argv) - 1; i++)
		argv[i] = word;
	options_init(&o, "postern");
	assert_int_equal(options_words(&o, NULL, 99, argv, &e), OPTIONS_RUN);
	len = strlen(o.warnings);
	assert_true(len > sizeof(o.warnings) / 2 && len < sizeof(o.warnings));
	assert_string_equal(o.warnings + len - 9, " ignored\n");
}

/* From left to right: what stands behind is not looked at, what stands before is. */
static void test_at_once(void **state)
{
	const char *const version[] = {"-v", "-V", "--nonsense", NULL};
	const char *const help[] = {"--help", "-m", "nonsense", NULL};
	const char *const late[] = {"--nonsense", "-h", NULL};
	const char *const commands[] = {"-b", "help", "--nonsense", NULL};
	const char *const short_commands[] = {"--allow-rpcs=?", NULL};
	struct options o;
	struct err e;

	(void)state;
	assert_int_equal(parse(&o, version, &e), OPTIONS_VERSION);
	assert_int_equal(parse(&o, help, &e), OPTIONS_HELP);
	assert_int_equal(parse(&o, late, &e), OPTIONS_BAD);
	assert_int_equal(parse(&o, commands, &e), OPTIONS_COMMANDS);
	assert_int_equal(parse(&o, short_commands, &e), OPTIONS_COMMANDS);
}

static void test_refused(void **state)
{
	static const struct bad_case cases[] = {
		{{"--foo"}, "unknown option: '--foo', try 'postern --help'"},
		{{"-x"}, "unknown option: '-x', try 'postern --help'"},
		{{"-vxv"}, "unknown option: '-x', try 'postern --help'"},
		{{"a", "-x"}, "unknown option: '-x', try 'postern --help'"},
		{{"--ver"}, "unknown option: '--ver', try 'postern --help'"},
		{{"--verbose=1"}, "unknown option: '--verbose=1', try 'postern --help'"},
		{{"-m"}, "option needs an argument: '-m', try 'postern --help'"},
		{{"-vp"}, "option needs an argument: '-p', try 'postern --help'"},
		{{"-v", "--profile"},
		 "option needs an argument: '--profile', try 'postern --help'"},
		{{"-m", "foo"}, "unsupported channel method/type: foo"},
		{{"-m", ""}, "unsupported channel method/type: "},
		{{"-m", "unix-listen"}, "must specify a path for this channel (-p)"},
		{{"-m", "unix-listen", "-p", ""},
		 "must specify a path for this channel (-p)"},
		{{"-b"}, "option needs an argument: '-b', try 'postern --help'"},
		{{"-F", "-b"}, "option needs an argument: '-b', try 'postern --help'"},
		{{"-Frelative"}, "--fsfreeze-hook: 'relative' is not an absolute path"},
		{{"--fsfreeze-hook="}, "--fsfreeze-hook: '' is not an absolute path"},
		{{"-b", "guest-exce"},
		 "--block-rpcs: there is no command 'guest-exce', "
		 "the closest name is 'guest-exec'"},
		{{"--allow-rpcs", ","}, "--allow-rpcs: the list ',' names no command"},
		{{"-b", "guest-exec,", "guest-ping"},
		 "'guest-ping' is not an option; a list is one word"},
		{{"-s", "install"}, "unknown option: '-s', try 'postern --help'"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct err e = {};
		struct options o;

		assert_int_equal(parse_all(&o, cases[i].args, &e), OPTIONS_BAD);
		assert_string_equal(e.desc, cases[i].text);
	}
}

/* From a variable, a word that is no option is an error, and the variable is named. */
static void test_variable(void **state)
{
	char word[] = "word";
	char *argv[] = {(char *)"", word, NULL};
	struct options o;
	struct err e;

	(void)state;
	options_init(&o, "qemu-ga");
	assert_int_equal(options_words(&o, "DAEMON_ARGS", 2, argv, &e), OPTIONS_BAD);
	assert_string_equal(e.desc,
			    "DAEMON_ARGS: 'word' is not an option; a list is one word");
	argv[1] = (char *)"--foo";
	assert_int_equal(options_words(&o, "DAEMON_ARGS", 2, argv, &e), OPTIONS_BAD);
	assert_string_equal(e.desc,
			    "DAEMON_ARGS: unknown option: '--foo', try 'qemu-ga --help'");
}

/* ---- keys ---- */

static void test_keys(void **state)
{
	static const char *const texts[][2] = {
		{"method", "m"},  {"path", "p"},       {"logfile", "l"},
		{"pidfile", "f"}, {"statedir", "t"},   {"fsfreeze-hook", "/F"},
		{"daemon", "1"},  {"verbose", "true"}, {"retry-path", "true"},
	};
	struct options o;
	struct err e;

	(void)state;
	options_init(&o, "postern");
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		assert_int_equal(options_key(&o, texts[i][0], texts[i][1], &e), 1);
	assert_string_equal(o.method_name, "m");
	assert_string_equal(o.path, "p");
	assert_string_equal(o.logfile, "l");
	assert_string_equal(o.pidfile, "f");
	assert_string_equal(o.statedir, "t");
	assert_string_equal(o.fsfreeze_hook, "/F");
	assert_true(o.daemon && o.verbose && o.retry);
	assert_int_equal(options_key(&o, "daemon", "0", &e), 1);
	assert_int_equal(options_key(&o, "verbose", "false", &e), 1);
	assert_false(o.daemon || o.verbose);
}

static void test_key_lists(void **state)
{
	struct options o;
	struct err e;

	(void)state;
	options_init(&o, "postern");
	assert_int_equal(options_key(&o, "blacklist", "guest-exec", &e), 1);
	assert_int_equal(options_key(&o, "block-rpcs", " guest-ping ", &e), 1);
	assert_int_equal(options_key(&o, "allow-rpcs", "", &e), 1);
	assert_true(o.block == (SET(exec) | SET(ping)));
	assert_true(o.allow == 0);
	assert_int_equal(options_key(&o, "allow-rpcs", "help", &e), -1);
	assert_string_equal(e.desc, "allow-rpcs: there is no command 'help', the closest "
				    "name is 'guest-ping'");
}

/* What is no key of the reference is none of ours, though it may be an option. */
static void test_key_unknown(void **state)
{
	static const char *const names[] = {"daemonize", "config",  "dump-conf",
					    "profile",   "version", ""};
	struct options o;
	struct err e;

	(void)state;
	options_init(&o, "postern");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		assert_int_equal(options_key(&o, names[i], "true", &e), 0);
	assert_string_equal(options_closest_key("daemonize"), "daemon");
	assert_string_equal(options_closest_key("blocked-rpcs"), "block-rpcs");
}

static void test_key_wrong_value(void **state)
{
	static const char *const values[] = {"yes", "", "TRUE", "2", "true false"};
	struct options o;
	struct err e;

	(void)state;
	options_init(&o, "postern");
	for (size_t i = 0; i < ARRAY_SIZE(values); i++)
		assert_int_equal(options_key(&o, "daemon", values[i], &e), -1);
	assert_string_equal(e.desc, "daemon: 'true false' is none of 'true', 'false', "
				    "'1' and '0'");
	assert_int_equal(options_key(&o, "fsfreeze-hook", "", &e), -1);
	assert_string_equal(e.desc, "fsfreeze-hook: '' is not an absolute path");
}

/* ---- output ---- */

static void print(const struct options *o, void (*what)(const struct options *, FILE *),
		  char text[8192])
{
	FILE *f = fmemopen(text, 8192, "w");

	assert_non_null(f);
	what(o, f);
	fclose(f);
}

/* Each option that can be given is in the help, with its argument's name. */
static void test_help(void **state)
{
	static const char *const names[] = {
		"Usage: qemu-ga ",
		"-m, --method METHOD",
		"-p, --path PATH",
		"-l, --logfile PATH",
		"-f, --pidfile PATH",
		"-F, --fsfreeze-hook[=PATH]",
		"-t, --statedir DIR",
		"-v, --verbose",
		"-V, --version",
		"-d, --daemonize",
		"-b, --block-rpcs LIST",
		"--blacklist LIST",
		"-a, --allow-rpcs LIST",
		"-c, --config PATH",
		"-D, --dump-conf",
		"-r, --retry-path",
		"-h, --help",
		"--profile NAME",
		"--policy-root DIR",
		"--audit SINK",
		"--frontend-user USER",
		"--inspector-user USER",
		"--programs DIR",
	};
	char text[8192] = "";
	struct options o;

	(void)state;
	options_init(&o, "qemu-ga");
	print(&o, options_help, text);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		assert_non_null(strstr(text, names[i]));
}

static void test_dump(void **state)
{
	const char *const args[] = {
		"-b", "guest-exec,guest-ping", "-p", "/a\\b ", "-l", "\t/l\n", "-v",
		NULL};
	char text[8192] = "";
	struct options o;
	struct err e;

	(void)state;
	assert_int_equal(parse_all(&o, args, &e), OPTIONS_RUN);
	print(&o, options_dump, text);
	assert_string_equal(text, "[general]\n"
				  "daemon=false\n"
				  "method=virtio-serial\n"
				  "path=/a\\\\b\\s\n"
				  "logfile=\\t/l\\n\n"
				  "verbose=true\n"
				  "retry-path=false\n"
				  "block-rpcs=guest-ping,guest-exec\n"
				  "allow-rpcs=\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_short),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_abbreviated),
		cmocka_unit_test(test_hook),
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_own),
		cmocka_unit_test(test_repeated_and_surplus),
		cmocka_unit_test(test_many_warnings),
		cmocka_unit_test(test_at_once),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_variable),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_key_lists),
		cmocka_unit_test(test_key_unknown),
		cmocka_unit_test(test_key_wrong_value),
		cmocka_unit_test(test_help),
		cmocka_unit_test(test_dump),
	};

	return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
