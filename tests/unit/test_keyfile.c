/*
 * tests/unit/test_keyfile.c - key files, well-formed and not
 *
 * Runs in:   the test program
 * Input:     texts written here
 * May touch: memory
 * Must not:  open anything
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "supervisor/keyfile.h"

#define TEXT_MAX 512

/* All entries of TEXT as lines `LINE GROUP|KEY|VALUE`, or the error. */
static const char *entries(const char *text, size_t len)
{
	static char out[4 * TEXT_MAX];
	char copy[TEXT_MAX];
	struct keyfile k;
	size_t used = 0;
	struct err e;
	int r;

	memcpy(copy, text, len);
	copy[len] = '\0';
	out[0] = '\0';
	for (r = keyfile_start(&k, copy, len, &e); r >= 0;) {
		r = keyfile_next(&k, &e);
		if (r <= 0)
			break;
		used += (size_t)snprintf(out + used, sizeof(out) - used, "%u %s|%s|%s\n",
					 k.line, k.group, k.key, k.value);
	}
	if (r < 0)
		snprintf(out, sizeof(out), "%s", e.desc);
	return out;
}

static void check(const char *text, const char *wanted)
{
	assert_string_equal(entries(text, strlen(text)), wanted);
}

static void test_nothing(void **state)
{
	(void)state;
	check("", "");
	check("\n\n", "");
	check("# only = this", "");
	check("[general]", "");
	check("  \t\r\n [a] \n", "");
}

static void test_entries(void **state)
{
	(void)state;
	check("[general]\nmethod=unix-listen\n\n# a comment\npath = /a b/c \n",
	      "2 general|method|unix-listen\n5 general|path|/a b/c\n");
	check("[general]\r\n  key\t=\tvalue\r\n", "2 general|key|value\n");
	check("[a]\nk=1\n[b c]\nk=2", "2 a|k|1\n4 b c|k|2\n");
	check("[a]\nempty=\nequals=a=b\nk = #no comment\n",
	      "2 a|empty|\n3 a|equals|a=b\n4 a|k|#no comment\n");
	check("[a]\nno-newline=x", "2 a|no-newline|x\n");
}

/* Escapes are read behind the blanks, so they can keep some. */
static void test_escapes(void **state)
{
	(void)state;
	check("[a]\nk = \\sx\\t\\\\\\r\\s \n", "2 a|k| x\t\\\r \n");
	check("[a]\nk=a\\nb\n", "2 a|k|a\nb\n");
	check("[a]\nk=\\\n", "line 2: a '\\' in the value of 'k' that is no escape");
	check("[a]\nk=\\x\n", "line 2: a '\\' in the value of 'k' that is no escape");
}

static void test_refused(void **state)
{
	(void)state;
	check("k=v\n", "line 1: 'k=v' stands in front of a group");
	check("[a]\n\nword\n",
	      "line 3: 'word' is not a key-value pair, group or comment");
	check("[a]\n=v\n", "line 2: '=v' is not a key-value pair, group or comment");
	check("[a]\n; semicolon\n",
	      "line 2: '; semicolon' is not a key-value pair, group or comment");
	check("[a\n", "line 1: '[a' is not a group");
	check("[]\n", "line 1: '[]' is not a group");
	check("[\n", "line 1: '[' is not a group");
	check("[a] # comment\n", "line 1: '[a] # comment' is not a group");
	assert_string_equal(entries("[a]\0\nk=v\n", 9), "it holds a NUL byte");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_entries),
		cmocka_unit_test(test_escapes),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests_name("keyfile", tests, NULL, NULL);
}
