/*
 * tests/unit/test_fingerprint.c - public keys by the name that people compare
 *
 * Runs in:   a test
 * Input:     keys of its own; the fingerprints are those that ssh-keygen -l prints
 * May touch: nothing
 * Must not:  depend on an ssh-keygen that is there
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "worker/steps/fingerprint.h"

#define KEY            \
	"ssh-ed25519 " \
	"AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
#define PRINT "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU"

static void assert_prints(const struct v_str *v, uint32_t n, const char *want)
{
	char *got = fingerprints_of(
		&(struct v_list){.v = (void *)(uintptr_t)v, .n = n, .set = true});

	if (want)
		assert_string_equal(got, want);
	else
		assert_null(got);
	free(got);
}

static void assert_print(const char *key, const char *want)
{
	struct v_str v = v_str(key);

	assert_prints(&v, 1, want);
}

static void as_ssh_keygen_has_it(void **state)
{
	(void)state;
	assert_print(KEY, PRINT);
	assert_print(KEY " a comment", PRINT);
	assert_print(KEY "\t", PRINT);
}

static void with_options(void **state)
{
	(void)state;
	assert_print("no-pty,from=\"10.0.0.1\" " KEY, PRINT);
	assert_print("command=\"echo AAAA AAAB\" " KEY " x", PRINT);
	assert_print("command=\"a \\\" AAAA\" " KEY, PRINT);
}

static void no_keys(void **state)
{
	static const char *const bad[] = {"ssh-rsa",         "AAAB", "ssh-rsa AAAA$$$$",
					  "x \"AAAA quoted", " ",    "command=\"AAAA"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_print(bad[i], "invalid");
	assert_print("", NULL);
	assert_prints(NULL, 0, NULL);
}

static void several(void **state)
{
	struct v_str v[17];
	char *got;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(v); i++)
		v[i] = v_str(i % 2 ? "" : KEY);
	assert_prints(v, 3, PRINT ", " PRINT);
	got = fingerprints_of(&(struct v_list){.v = v, .n = 17, .set = true});
	assert_int_equal(strlen(got), 8 * strlen(PRINT) + 7 * 2 + strlen(", ..."));
	free(got);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_ssh_keygen_has_it),
		cmocka_unit_test(with_options),
		cmocka_unit_test(no_keys),
		cmocka_unit_test(several),
	};

	return cmocka_run_group_tests_name("fingerprint", tests, NULL, NULL);
}
