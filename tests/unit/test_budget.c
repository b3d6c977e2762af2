/*
 * tests/unit/test_budget.c - a bound on the memory of the JSON tree
 *
 * Runs in:   a test
 * Input:     texts whose trees fit, or do not
 * May touch: memory
 * Must not:  know how large a node of cJSON is
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <cjson/cJSON.h>

#include "frontend/frontend.h"

#define BUDGET (64 * 1024)

/* An array of N ones. */
static struct wbuf ones(size_t n)
{
	struct wbuf w = wbuf_growing(1024 * 1024);

	wbuf_text(&w, "[1");
	for (size_t i = 1; i < n; i++)
		wbuf_text(&w, ",1");
	wbuf_text(&w, "]");
	assert_false(w.bad);
	return w;
}

static bool parses(size_t n)
{
	struct wbuf text = ones(n);
	cJSON *tree = cJSON_ParseWithLength((char *)text.p, text.len);
	bool ok = tree;

	if (ok)
		assert_int_equal(cJSON_GetArraySize(tree), n);
	cJSON_Delete(tree);
	wbuf_free(&text);
	return ok;
}

/* The longest array that fits. */
static size_t longest(void)
{
	size_t fits = 1, fails = BUDGET;

	assert_true(parses(fits));
	assert_false(parses(fails));
	while (fits + 1 < fails) {
		size_t n = (fits + fails) / 2;

		if (parses(n))
			fits = n;
		else
			fails = n;
	}
	return fits;
}

static int setup(void **state)
{
	(void)state;
	budget_install(BUDGET);
	return 0;
}

static void bounded(void **state)
{
	size_t n = longest();

	(void)state;
	/* A node holds at least its links and a number. */
	assert_true(n < BUDGET / (4 * sizeof(void *)));
	assert_true(n > 100);
}

/* Neither success nor failure uses any of it up. */
static void given_back(void **state)
{
	size_t n = longest();

	(void)state;
	for (int i = 0; i < 50; i++) {
		assert_true(parses(n));
		assert_false(parses(n + 1));
	}
	assert_int_equal(longest(), n);
}

/* Two trees at a time share it. */
static void shared(void **state)
{
	size_t n = longest();
	struct wbuf text = ones(n);
	cJSON *tree = cJSON_ParseWithLength((char *)text.p, text.len);

	(void)state;
	assert_non_null(tree);
	assert_false(parses(2));
	cJSON_Delete(tree);
	assert_true(parses(n));
	wbuf_free(&text);
}

/* Strings count with their length. */
static void long_string(void **state)
{
	char *text = malloc(2 * BUDGET);

	(void)state;
	for (int over = 0; over < 2; over++) {
		size_t len = over ? BUDGET : BUDGET / 2;
		cJSON *tree;

		memset(text, 'x', len);
		text[0] = text[len - 1] = '"';
		tree = cJSON_ParseWithLength(text, len);
		assert_int_equal(tree == NULL, over);
		cJSON_Delete(tree);
	}
	free(text);
}

static void blocks_are_aligned(void **state)
{
	void *p = cJSON_malloc(1);

	(void)state;
	assert_non_null(p);
	assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
	cJSON_free(p);
	cJSON_free(NULL);
	assert_null(cJSON_malloc(SIZE_MAX));
	assert_null(cJSON_malloc(SIZE_MAX - 8));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(bounded),
		cmocka_unit_test(given_back),
		cmocka_unit_test(shared),
		cmocka_unit_test(long_string),
		cmocka_unit_test(blocks_are_aligned),
	};

	return cmocka_run_group_tests_name("budget", tests, setup, NULL);
}
