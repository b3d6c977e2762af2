/*
 * tests/unit/test_inspect_text.c - lines, words and numbers
 *
 * Runs in:   a test
 * Input:     its own tables
 * May touch: memory
 * Must not:  rely on a NUL behind the text: each is a copy of exactly its size
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "inspector/text.h"

/* A copy with nothing behind it, so that the sanitizer sees a byte too many. */
static struct text copy(const char *s)
{
	size_t len = strlen(s);
	char *p = malloc(len + 1);

	assert_non_null(p);
	/* At the end of the block: what is behind it is the sanitizer's. */
	p++;
	for (size_t i = 0; i < len; i++)
		p[i] = s[i];
	return text_of(p, len);
}

static void drop(struct text t)
{
	free((char *)t.p - 1);
}

static void test_lines(void **state)
{
	struct text whole = copy("one\n\n two \n\rlast");
	struct text t = whole, line;

	(void)state;
	assert_true(text_line(&t, &line));
	assert_true(text_is(line, "one"));
	assert_true(text_line(&t, &line));
	assert_true(text_is(line, ""));
	assert_true(text_line(&t, &line));
	assert_true(text_is(line, " two "));
	assert_true(text_line(&t, &line));
	assert_true(text_is(line, "\rlast"));
	assert_false(text_line(&t, &line));
	drop(whole);
}

static void test_no_line_after_the_last_newline(void **state)
{
	struct text whole = copy("one\n");
	struct text t = whole, line;

	(void)state;
	assert_true(text_line(&t, &line));
	assert_true(text_is(line, "one"));
	assert_false(text_line(&t, &line));
	t = text_of(whole.p, 0);
	assert_false(text_line(&t, &line));
	drop(whole);
}

static void test_words(void **state)
{
	struct text whole = copy("  a\t bc\r\v\fd\xff-1 ");
	struct text t = whole, word;

	(void)state;
	assert_true(text_word(&t, &word));
	assert_true(text_is(word, "a"));
	assert_true(text_word(&t, &word));
	assert_true(text_is(word, "bc"));
	assert_true(text_word(&t, &word));
	assert_true(text_is(word, "d\xff-1"));
	assert_false(text_word(&t, &word));
	assert_false(text_word(&t, &word));
	drop(whole);
}

/* A NUL is a byte of a word as any other, but not of a value. */
static void test_nul_is_no_end(void **state)
{
	struct text t = text_of("a\0b c", 5), word;

	(void)state;
	assert_true(text_word(&t, &word));
	assert_false(text_is(word, "a"));
	assert_int_equal(text_str(word).len, 1);
	assert_false(text_u64(text_of("1\0", 2), 10, &(uint64_t){0}));
}

static void test_numbers(void **state)
{
	static const struct {
		const char *text;
		int base;
		uint64_t value;
	} cases[] = {
		{"0", 10, 0},
		{"007", 10, 7},
		{"18446744073709551615", 10, UINT64_MAX},
		{"0000000000000000000018446744073709551615", 10, UINT64_MAX},
		{"8000000", 16, 0x8000000},
		{"DeadBeef", 16, 0xdeadbeef},
		{"ffffffffffffffff", 16, UINT64_MAX},
		{"777", 8, 511},
		{"101", 2, 5},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct text t = copy(cases[i].text);
		uint64_t got = 42;

		assert_true(text_u64(t, cases[i].base, &got));
		assert_true(got == cases[i].value);
		drop(t);
	}
}

static void test_what_is_no_number(void **state)
{
	static const struct {
		const char *text;
		int base;
	} cases[] = {
		{"", 10},
		{"+1", 10},
		{"-1", 10},
		{" 1", 10},
		{"1 ", 10},
		{"1.5", 10},
		{"1a", 10},
		{"0x10", 16},
		{"g", 16},
		{"G", 16},
		{"8", 8},
		{"2", 2},
		{"18446744073709551616", 10},
		{"99999999999999999999", 10},
		{"184467440737095516150", 10},
		{"10000000000000000", 16},
		{"\xd9\xa1", 10},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct text t = copy(cases[i].text);
		uint64_t got = 42;

		assert_false(text_u64(t, cases[i].base, &got));
		assert_int_equal(got, 42);
		drop(t);
	}
}

static void test_numbers_in_a_row(void **state)
{
	struct text whole = copy(" 1 22\t333 x 4");
	struct text t = whole;
	uint64_t v[5] = {0};

	(void)state;
	assert_int_equal(text_numbers(&t, v, 2), 2);
	assert_int_equal(v[1], 22);
	assert_int_equal(v[2], 0);
	assert_int_equal(text_numbers(&t, v, 5), 1);
	assert_int_equal(v[0], 333);
	t = text_of(whole.p, 0);
	assert_int_equal(text_numbers(&t, v, 5), 0);
	drop(whole);
}

static void test_numbered_names(void **state)
{
	static const struct {
		const char *name;
		bool is;
	} cases[] = {
		{"cpu12", true},
		{"cpu9223372036854775807", true},
		{"cpu9223372036854775808", false},
		{"cpu", false},
		{"cpufreq", false},
		{"cpu1a", false},
		{"cpu-1", false},
		{"cp", false},
		{"", false},
		{"xcpu1", false},
		{"node1", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct text t = copy(cases[i].name);
		uint64_t n = 42;

		assert_int_equal(text_numbered(t, "cpu", &n), cases[i].is);
		assert_true(cases[i].is ? n != 42 : n == 42);
		drop(t);
	}
}

static void test_as_a_value(void **state)
{
	struct text t = text_of("name", 4);
	struct v_str s = text_str(t);

	(void)state;
	assert_true(s.set);
	assert_ptr_equal(s.p, t.p);
	assert_int_equal(s.len, 4);
	assert_true(text_str(text_of("", 0)).set);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_no_line_after_the_last_newline),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_nul_is_no_end),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_what_is_no_number),
		cmocka_unit_test(test_numbers_in_a_row),
		cmocka_unit_test(test_numbered_names),
		cmocka_unit_test(test_as_a_value),
	};

	return cmocka_run_group_tests_name("inspect_text", tests, NULL, NULL);
}
