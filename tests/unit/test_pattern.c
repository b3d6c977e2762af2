/*
 * tests/unit/test_pattern.c - globs over one argument
 *
 * Runs in:   a test
 * Input:     patterns, texts and what they should come to, written out
 * May touch: memory
 * Must not:  measure time: the matcher counts its own steps
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/pattern.h"

static bool match(const char *pattern, const char *text)
{
	assert_null(pattern_check(pattern, strlen(pattern)));
	return matches_text(pattern, strlen(pattern), text, strlen(text), NULL);
}

/* ---- what matches ---- */

static const struct match_row {
	const char *pattern;
	const char *text;
	bool matches;
} match_rows[] = {
	{"", "", true},
	{"", "a", false},
	{"a", "", false},
	{"reload", "reload", true},
	{"reload", "reloa", false},
	{"reload", "reloads", false},
	{"reload", "Reload", false},
	/* one byte */
	{"?", "a", true},
	{"?", "", false},
	{"?", "ab", false},
	{"a?c", "a/c", false},
	{"a?c", "a-c", true},
	{"??", "\xc3\xa4", true}, /* bytes, not characters */
	/* within one part of a path */
	{"*", "", true},
	{"*", "anything at all", true},
	{"*", "a/b", false},
	{"/var/*", "/var/log", true},
	{"/var/*", "/var/", true},
	{"/var/*", "/var", false},
	{"/var/*", "/var/log/x", false},
	{"/var/*/x", "/var/log/x", true},
	{"/var/*/x", "/var/a/b/x", false},
	{"*.service", "nginx.service", true},
	{"*.service", ".service", true},
	{"*.service", "nginx.service.d", false},
	{"a*b*c", "aXbYbZc", true},
	{"a*b*c", "aXbYbZ", false},
	/* across parts */
	{"**", "a/b/c", true},
	{"/srv/**", "/srv/a/b/c", true},
	{"/srv/**", "/srv/", true},
	{"/srv/**", "/srv", false},
	{"/srv/**", "/srvx/a", false},
	{"/srv/**/x", "/srv/a/b/x", true},
	{"/srv/**/x", "/srv/x", false},
	{"/srv/***", "/srv/a/b", true}, /* as two */
	/* classes */
	{"[abc]", "b", true},
	{"[abc]", "d", false},
	{"[abc]", "ab", false},
	{"[a-c]x", "bx", true},
	{"[a-c]x", "dx", false},
	{"eth[0-9]", "eth7", true},
	{"eth[0-9]", "eth", false},
	{"eth[!0-9]", "ethx", true},
	{"eth[!0-9]", "eth7", false},
	{"x[!a]y", "x/y", false},
	{"x[/]y", "x/y", false},
	{"x[.-0]y", "x/y", false}, /* a range over it */
	{"x[]]y", "x]y", true},
	{"x[!]]y", "x]y", false},
	{"x[!]]y", "xay", true},
	{"x[a-]y", "x-y", true},
	{"x[a-]y", "xby", false},
	{"x[\x80-\xff]y", "x\xc3y", true},
	{"x[\x80-\xff]y", "xay", false},
	{"x[?]y", "x?y", true},
	{"x[?]y", "xay", false},
	/* a backslash takes the meaning away */
	{"\\*", "*", true},
	{"\\*", "a", false},
	{"a\\?b", "a?b", true},
	{"a\\?b", "axb", false},
	{"\\[a]", "[a]", true},
	{"\\[a]", "a", false},
	{"a\\\\b", "a\\b", true},
	{"\\a", "a", true},
	/* groups are taken apart elsewhere */
	{"{a|b}", "{a|b}", true},
	{"{a|b}", "a", false},
	/* a leading "-" only if it is written */
	{"*", "-rf", false},
	{"**", "-rf", false},
	{"?", "-", false},
	{"[!a]", "-", false},
	{"[-]", "-", false},
	{"*-x", "-x", false},
	{"-*", "-rf", true},
	{"\\-*", "-rf", true},
	{"-rf", "-rf", true},
	{"--since=*", "--since=1h", true},
	{"a*", "a-b", true},
	{"a?", "a-", true},
};

static void matches_as_written(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(match_rows); i++) {
		const struct match_row *r = &match_rows[i];

		if (match(r->pattern, r->text) != r->matches)
			fail_msg("'%s' on '%s': not %d", r->pattern, r->text, r->matches);
	}
}

/* A NUL is a byte as any other, and the lengths rule. */
static void lengths_rule(void **state)
{
	(void)state;
	assert_true(matches_text("a?b", 3, "a\0b", 3, NULL));
	assert_false(matches_text("ab", 2, "ab\0", 3, NULL));
	assert_true(matches_text("abc", 2, "abx", 2, NULL));
	assert_true(matches_text("*c", 1, "abx", 3, NULL));
}

/* Each of the 256 bytes, against a matcher of one class that needs no cleverness. */
static void classes_take_exactly_their_bytes(void **state)
{
	static const char *const classes[] = {
		"a", "a-z", "!a-z", "]-a", "\x01-\xff", "!\x01-\xff", "a-zA-Z0-9_", "?*"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(classes); i++)
		for (unsigned int c = 1; c < 256; c++) {
			const char *p = classes[i];
			char pattern[32], text[2] = {'x', (char)c};
			bool inverted = *p == '!', in = false;

			for (p += inverted; *p; p++) {
				uint8_t low = (uint8_t)*p, high = low;

				if (p[1] == '-' && p[2]) {
					high = (uint8_t)p[2];
					p += 2;
				}
				in = in || (c >= low && c <= high);
			}
			snprintf(pattern, sizeof(pattern), "x[%s]", classes[i]);
			assert_int_equal(
				matches_text(pattern, strlen(pattern), text, 2, NULL),
				c != '/' && in != inverted);
		}
}

/* The longest tail that is accepted works to its last place. */
static void tail_is_bounded(void **state)
{
	char pattern[PATTERN_TAIL_MAX + 2], text[PATTERN_TAIL_MAX + 2];
	char longer[1024];

	(void)state;
	memset(pattern, '?', sizeof(pattern));
	memset(text, 'a', sizeof(text));
	assert_null(pattern_check(pattern, PATTERN_TAIL_MAX));
	assert_non_null(pattern_check(pattern, PATTERN_TAIL_MAX + 1));
	assert_true(
		matches_text(pattern, PATTERN_TAIL_MAX, text, PATTERN_TAIL_MAX, NULL));
	assert_false(matches_text(pattern, PATTERN_TAIL_MAX, text, PATTERN_TAIL_MAX - 1,
				  NULL));
	assert_false(matches_text(pattern, PATTERN_TAIL_MAX, text, PATTERN_TAIL_MAX + 1,
				  NULL));
	/* What stands before the first wildcard does not count. */
	memset(longer, 'a', sizeof(longer));
	memset(longer + 700, '?', PATTERN_TAIL_MAX);
	assert_null(pattern_check(longer, 700 + PATTERN_TAIL_MAX));
}

static void wrong_patterns_are_told(void **state)
{
	static const char *const wrong[] = {"\\",  "a\\", "[",      "[a", "[]",  "[!",
					    "[!]", "x[",  "a[z-a]", "*[", "[a]["};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		if (!pattern_check(wrong[i], strlen(wrong[i])))
			fail_msg("'%s' is accepted", wrong[i]);
}

/* ---- steps ---- */

static void check_steps(const char *pattern, size_t pattern_len, const char *text,
			size_t text_len)
{
	uint64_t steps = 0, most = PATTERN_STEPS * (pattern_len + text_len) + 300;

	matches_text(pattern, pattern_len, text, text_len, &steps);
	if (steps > most)
		fail_msg("'%.*s': %llu steps, not %llu", (int)pattern_len, pattern,
			 (unsigned long long)steps, (unsigned long long)most);
}

/* What makes a matcher that goes back go back for ever. */
static void steps_are_linear(void **state)
{
	static const char *const units[] = {"*a",   "**a",  "a*",  "?*", "*a*b", "[a-z]*",
					    "[!b]", "*[a]", "**/", "a",  "\\a"};
	char pattern[512], text[16384];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		size_t unit = strlen(units[i]), len = 0;

		for (; len + unit <= 250; len += unit)
			memcpy(pattern + len, units[i], unit);
		assert_null(pattern_check(pattern, len));
		for (size_t n = 1; n <= sizeof(text); n *= 4) {
			memset(text, 'a', n);
			check_steps(pattern, len, text, n);
			text[n - 1] = 'c';
			check_steps(pattern, len, text, n);
			for (size_t k = 1; k < n; k += 2)
				text[k] = '/';
			check_steps(pattern, len, text, n);
		}
	}
}

/* Steps are counted at all: each byte of the text is looked at. */
static void steps_are_counted(void **state)
{
	uint64_t steps = 7, before;
	char text[1000];

	(void)state;
	memset(text, 'a', sizeof(text));
	assert_true(matches_text("a*", 2, text, sizeof(text), &steps));
	assert_true(steps >= 7 + sizeof(text));
	before = steps;
	assert_true(matches_text(text, sizeof(text), text, sizeof(text), &steps));
	assert_true(steps >= before + sizeof(text));
	before = steps;
	assert_false(matches_text("ax", 2, text, sizeof(text), &steps));
	assert_true(steps > before);
}

/* ---- groups ---- */

struct expanded {
	char text[PATTERN_EXPAND_MAX + 1][64];
	unsigned int n;
	unsigned int most; /* refuse to take more */
};

static bool take(void *arg, const char *p, size_t len)
{
	struct expanded *x = arg;

	if (x->n == x->most)
		return false;
	assert_true(len < sizeof(x->text[0]));
	snprintf(x->text[x->n++], sizeof(x->text[0]), "%.*s", (int)len, p);
	return true;
}

static const char *expand(const char *pattern, struct expanded *x)
{
	*x = (struct expanded){.most = PATTERN_EXPAND_MAX + 1};
	return pattern_expand(pattern, strlen(pattern), take, x);
}

static const struct group_row {
	const char *pattern;
	const char *all; /* separated by blanks */
} group_rows[] = {
	{"plain", "plain"},
	{"{1h|6h|24h}", "1h 6h 24h"},
	{"a{b|c}d", "abd acd"},
	{"{a|b}{c|d}", "ac ad bc bd"},
	{"{a}", "a"},
	{"x{|y}", "x xy"},
	{"x{y|}", "xy x"},
	{"x{}y", "xy"},
	{"{a\\|b|c}", "a\\|b c"},
	{"\\{a|b", NULL},
	{"\\{a\\|b\\}", "\\{a\\|b\\}"},
	{"{*|?}x", "*x ?x"},
	{"[a-c]{x|y}", "[a-c]x [a-c]y"},
	{"{a|{b|c}}", NULL},
	{"{a|b", NULL},
	{"a}", NULL},
	{"a|b", NULL},
	{"{a|b}}", NULL},
	{"{", NULL},
	/* "**" stands there only if somebody wrote it. */
	{"{*|a}*", NULL},
	{"*{*|a}", NULL},
	{"{*|a}{*|b}", NULL},
	{"*{|a}*", NULL},
	{"*{a|b}*", "*a* *b*"},
	{"{**|a}", "** a"},
};

static void groups_are_taken_apart(void **state)
{
	struct expanded x;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(group_rows); i++) {
		const struct group_row *r = &group_rows[i];
		const char *wrong = expand(r->pattern, &x);
		char all[1024] = "";
		size_t len = 0;

		for (unsigned int k = 0; k < x.n; k++)
			len += (size_t)snprintf(all + len, sizeof(all) - len, "%s%s",
						k ? " " : "", x.text[k]);
		if (!r->all != !!wrong)
			fail_msg("'%s': %s", r->pattern, wrong ? wrong : "accepted");
		if (r->all)
			assert_string_equal(all, r->all);
	}
}

static void groups_are_bounded(void **state)
{
	struct expanded x;
	char many[4096];
	size_t len = 0;

	(void)state;
	assert_null(expand("{a|b}{a|b}{a|b}{a|b}{a|b}{a|b}", &x));
	assert_int_equal(x.n, PATTERN_EXPAND_MAX);
	assert_non_null(expand("{a|b}{a|b}{a|b}{a|b}{a|b}{a|b|c}", &x));
	/* As many groups as a line has room for: no stack, no time. */
	for (; len + 5 <= sizeof(many) - 1; len += 5)
		memcpy(many + len, "{|||}", 5);
	many[len] = '\0';
	assert_non_null(expand(many, &x));
	x = (struct expanded){.most = 1};
	assert_non_null(pattern_expand("{a|b}", 5, take, &x));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(matches_as_written),
		cmocka_unit_test(lengths_rule),
		cmocka_unit_test(classes_take_exactly_their_bytes),
		cmocka_unit_test(tail_is_bounded),
		cmocka_unit_test(wrong_patterns_are_told),
		cmocka_unit_test(steps_are_linear),
		cmocka_unit_test(steps_are_counted),
		cmocka_unit_test(groups_are_taken_apart),
		cmocka_unit_test(groups_are_bounded),
	};

	return cmocka_run_group_tests_name("pattern", tests, NULL, NULL);
}
