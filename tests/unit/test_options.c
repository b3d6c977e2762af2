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

#include "supervisor/options.h"

#define ARGS_MAX 12

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
	return options_parse(o, argc, argv, e);
}

static void test_defaults(void **state)
{
	const char *const args[] = {NULL};
	struct options o;
	struct err e;

	(void)state;
	assert_int_equal(parse(&o, args, &e), OPTIONS_RUN);
	assert_string_equal(o.method->name, "virtio-serial");
	assert_string_equal(o.path, "/dev/virtio-ports/org.qemu.guest_agent.0");
	assert_string_equal(o.profile, "safe");
	assert_string_equal(o.audit, "fd:2");
	assert_string_equal(o.frontend_user, "postern-frontend");
	assert_string_equal(o.inspector_user, "postern-inspector");
	assert_null(o.statedir);
	assert_null(o.pidfile);
	assert_null(o.programs);
	assert_false(o.verbose);
}

static void check_all_set(const struct options *o)
{
	assert_string_equal(o->method->name, "unix-listen");
	assert_string_equal(o->path, "/p");
	assert_string_equal(o->statedir, "/t");
	assert_string_equal(o->pidfile, "/f");
	assert_true(o->verbose);
}

static void test_short(void **state)
{
	const char *const args[] = {"-vm", "unix-listen", "-p/p", "-t",
				    "/t",  "-f",          "/f",   NULL};
	struct options o;
	struct err e;

	(void)state;
	assert_int_equal(parse(&o, args, &e), OPTIONS_RUN);
	check_all_set(&o);
}

static void test_long(void **state)
{
	const char *const args[] = {"--method=unix-listen",
				    "--path",
				    "/p",
				    "--statedir=/t",
				    "--pidfile",
				    "/f",
				    "--verbose",
				    NULL};
	struct options o;
	struct err e;

	(void)state;
	assert_int_equal(parse(&o, args, &e), OPTIONS_RUN);
	check_all_set(&o);
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
}

/* From left to right: what stands behind is not looked at, what stands before is. */
static void test_at_once(void **state)
{
	const char *const version[] = {"-v", "-V", "--nonsense", NULL};
	const char *const help[] = {"--help", "-m", "nonsense", NULL};
	const char *const late[] = {"--nonsense", "-h", NULL};
	struct options o;
	struct err e;

	(void)state;
	assert_int_equal(parse(&o, version, &e), OPTIONS_VERSION);
	assert_int_equal(parse(&o, help, &e), OPTIONS_HELP);
	assert_int_equal(parse(&o, late, &e), OPTIONS_BAD);
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
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct err e = {};
		struct options o;

		assert_int_equal(parse(&o, cases[i].args, &e), OPTIONS_BAD);
		assert_string_equal(e.desc, cases[i].text);
	}
}

/* Each option that can be given is in the help, with its argument's name. */
static void test_help(void **state)
{
	static const char *const names[] = {
		"-m, --method METHOD",  "-p, --path PATH",       "-t, --statedir DIR",
		"-f, --pidfile PATH",   "-v, --verbose",         "-V, --version",
		"-h, --help",           "--profile NAME",        "--audit SINK",
		"--frontend-user USER", "--inspector-user USER", "--programs DIR",
	};
	char text[4096] = "";
	FILE *f = fmemopen(text, sizeof(text), "w");

	(void)state;
	assert_non_null(f);
	options_help(f);
	fclose(f);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		assert_non_null(strstr(text, names[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_short),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_own),
		cmocka_unit_test(test_repeated_and_surplus),
		cmocka_unit_test(test_at_once),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_help),
	};

	return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
