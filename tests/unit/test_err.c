/*
 * tests/unit/test_err.c - a refusal on its way to the host
 *
 * Runs in:   a test
 * Input:     none
 * May touch: memory
 * Must not:  accept a description that lost its end: clients match on it
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "ipc/err.h"
#include "ipc/frame.h"
#include "ipc/wire.h"

static void class_names(void **state)
{
	(void)state;
	assert_string_equal(err_class_name(ERR_GENERIC), "GenericError");
	assert_string_equal(err_class_name(ERR_NOT_FOUND), "CommandNotFound");
	/* A class that came off a wire and is none. */
	assert_string_equal(err_class_name((enum err_class)200), "GenericError");
	assert_string_equal(err_class_name(ERR_NONE), "GenericError");
}

static void plain(void **state)
{
	struct err e;

	(void)state;
	memset(&e, 0x55, sizeof(e));
	assert_int_equal(err_set(&e, ERR_NOT_FOUND, "The command %s has %d", "x", 7), -1);
	assert_string_equal(e.desc, "The command x has 7");
	assert_int_equal(e.cls, ERR_NOT_FOUND);
	assert_int_equal(e.errnum, 0);
}

static void with_errno(void **state)
{
	struct err e;

	(void)state;
	memset(&e, 0x55, sizeof(e));
	assert_int_equal(err_sys(&e, ENOENT, "failed to open '%s'", "/x"), -1);
	assert_string_equal(e.desc, "failed to open '/x': No such file or directory");
	assert_int_equal(e.cls, ERR_GENERIC);
	assert_int_equal(e.errnum, ENOENT);
}

/* Every length around the limit, and far beyond. */
static void long_text(void **state)
{
	static const size_t lens[] = {ERR_DESC_MAX - 2,     ERR_DESC_MAX - 1,
				      ERR_DESC_MAX,         ERR_DESC_MAX + 1,
				      2 * ERR_DESC_MAX - 1, 2 * ERR_DESC_MAX,
				      64 * ERR_DESC_MAX};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		char *text = test_malloc(lens[i] + 1);
		struct err e;
		size_t len;

		memset(text, 'x', lens[i]);
		text[lens[i]] = '\0';
		err_set(&e, ERR_GENERIC, "%s", text);
		len = strnlen(e.desc, sizeof(e.desc));
		assert_int_equal(len, min_size(lens[i], ERR_DESC_MAX - 1));
		if (lens[i] < ERR_DESC_MAX)
			assert_string_equal(e.desc, text);
		else
			assert_string_equal(e.desc + len - 4, "x...");
		test_free(text);
	}
}

/* The end survives: the text in front of it gives way. */
static void long_text_with_errno(void **state)
{
	static const char tail[] = ": No such file or directory";
	const size_t room = ERR_DESC_MAX - 1 - (sizeof(tail) - 1);

	(void)state;
	for (size_t n = room - 5; n < room + 5; n++) {
		char text[ERR_DESC_MAX] = "";
		struct err e;
		size_t len;

		memset(text, 'x', n);
		err_sys(&e, ENOENT, "%s", text);
		len = strnlen(e.desc, sizeof(e.desc));
		assert_int_equal(len, min_size(n, room) + sizeof(tail) - 1);
		assert_string_equal(e.desc + len - (sizeof(tail) - 1), tail);
		if (n > room)
			assert_memory_equal(e.desc + room - 4, "x...", 4);
	}
}

/* ---- between processes ---- */

static void travels(void **state)
{
	uint8_t body[ERR_BODY_MAX];
	struct wbuf w = wbuf_fixed(body, sizeof(body));
	struct err e, got;

	(void)state;
	err_set(&e, ERR_NOT_FOUND, "%*d", 5000, 1); /* as long as can be */
	err_put(&w, &e);
	assert_false(w.bad);
	assert_int_equal(w.len, ERR_BODY_MAX - 1);
	assert_int_equal(body[0], 2);
	memset(&got, 0x55, sizeof(got));
	err_get(&got, body, w.len);
	assert_int_equal(got.cls, ERR_NOT_FOUND);
	assert_int_equal(got.errnum, 0);
	assert_string_equal(got.desc, e.desc);
}

/* Whatever comes, it is an error of a known class with a text within its bounds. */
static void odd_bodies(void **state)
{
	uint8_t body[4 * ERR_DESC_MAX];
	struct err e;

	(void)state;
	memset(body, 'y', sizeof(body));
	body[0] = 1;
	err_get(&e, body, sizeof(body));
	assert_int_equal(strnlen(e.desc, sizeof(e.desc)), ERR_DESC_MAX - 1);
	for (int cls = 0; cls < 256; cls++) {
		body[0] = (uint8_t)cls;
		err_get(&e, body, 3);
		assert_int_equal(e.cls,
				 cls == ERR_NOT_FOUND ? ERR_NOT_FOUND : ERR_GENERIC);
		assert_string_equal(e.desc, "yy");
	}
	err_get(&e, body, 1);
	assert_string_equal(e.desc, "the operation failed");
	err_get(&e, NULL, 0);
	assert_int_equal(e.cls, ERR_GENERIC);
	assert_string_equal(e.desc, "the operation failed");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(class_names),          cmocka_unit_test(plain),
		cmocka_unit_test(with_errno),           cmocka_unit_test(long_text),
		cmocka_unit_test(long_text_with_errno), cmocka_unit_test(travels),
		cmocka_unit_test(odd_bodies),
	};

	return cmocka_run_group_tests_name("err", tests, NULL, NULL);
}
