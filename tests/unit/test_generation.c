/*
 * tests/unit/test_generation.c - images that are a policy, or are none; who still uses
 * one
 *
 * Runs in:   a test
 * Input:     memfds, good and bad
 * May touch: mappings and descriptors of the test's own
 * Must not:  leave any of them
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "ipc/memfd.h"
#include "tests/lib/fds.h"
#include "tests/lib/policy.h"
#include "worker/generation.h"

static const char rules[] = "[policy]\nbase = safe\n"
			    "[rule \"mine\"]\neffect = deny\ncommand = @time\n";

static void image_of(struct wbuf *image)
{
	struct policy p;

	policy_of_text(&p, image, rules);
}

/* LEN bytes at P as they come from whoever read them; the descriptor is used up. */
static struct generation *opened(const void *p, size_t len)
{
	CLEANUP(close_p) int fd = memfd_of("image", p, len);

	assert_true(fd >= 0);
	return generation_open(fd, 7);
}

static void assert_none(struct generation *g)
{
	assert_null(g);
	assert_int_equal(errno, EBADMSG);
}

static void a_policy(void **state)
{
	CLEANUP(wbuf_free) struct wbuf image = {0};
	struct generation *g;
	struct policy p;

	(void)state;
	policy_of_text(&p, &image, rules);
	g = opened(image.p, image.len);
	assert_non_null(g);
	assert_int_equal(g->number, 7);
	assert_int_equal(g->users, 1);
	assert_int_equal(g->size, image.len);
	assert_int_equal(memfd_sealed_size(g->fd), image.len);
	assert_string_equal(policy_base(&g->policy), "safe");
	assert_int_equal(strlen(g->digest), (size_t)(2 * SHA256_LEN));
	for (size_t i = 0; i < SHA256_LEN; i++) {
		char hex[3];

		snprintf(hex, sizeof(hex), "%02x", p.sha256[i]);
		assert_memory_equal(g->digest + 2 * i, hex, 2);
	}
	generation_drop(&g);
	assert_null(g);
}

/* The last of its users frees it, whoever that is; nobody else does. */
static void users(void **state)
{
	CLEANUP(wbuf_free) struct wbuf image = {0};
	struct generation *g, *a, *b, *none = NULL;
	size_t before = fds_open();

	(void)state;
	image_of(&image);
	g = opened(image.p, image.len);
	assert_int_equal(fds_open(), before + 1);
	a = generation_use(g);
	b = generation_use(g);
	assert_ptr_equal(a, g);
	assert_int_equal(b->users, 3);
	generation_drop(&g);
	assert_null(g);
	generation_drop(&a);
	assert_int_equal(b->users, 1);
	assert_string_equal(policy_base(&b->policy), "safe");
	assert_int_equal(fds_open(), before + 1);
	generation_drop(&b);
	assert_int_equal(fds_open(), before);
	generation_drop(&none);
	generation_drop(&b);
}

/* Whoever could still change it could have us decide by what was never checked. */
static void not_sealed(void **state)
{
	CLEANUP(wbuf_free) struct wbuf image = {0};
	CLEANUP(close_p) int fd = memfd_open("image");
	int pair[2];

	(void)state;
	image_of(&image);
	assert_int_equal(write(fd, image.p, image.len), image.len);
	assert_none(generation_open(fd, 1));
	assert_int_equal(pipe(pair), 0);
	assert_none(generation_open(pair[0], 1));
	close(pair[0]);
	close(pair[1]);
	assert_null(generation_open(-1, 1));
}

static void of_no_size(void **state)
{
	CLEANUP(wbuf_free) struct wbuf image = {0};
	CLEANUP(free_p) uint8_t *large = calloc(1, IMAGE_MAX + 8);

	(void)state;
	image_of(&image);
	assert_none(opened("", 0));
	memcpy(large, image.p, image.len);
	assert_none(opened(large, IMAGE_MAX + 8));
	/* As large as one may be, but it says another size. */
	assert_none(opened(large, IMAGE_MAX));
	assert_none(opened(image.p, image.len - 1));
	assert_none(opened(image.p, sizeof(struct image_head)));
	assert_none(opened(image.p, sizeof(struct image_head) - 1));
	assert_none(opened(image.p, 1));
}

/* Any byte another, any cut: it is a policy whose digest is another, or none at all. */
static void garbage(void **state)
{
	CLEANUP(wbuf_free) struct wbuf image = {0};
	struct generation *good, *g;
	size_t before;

	(void)state;
	image_of(&image);
	good = opened(image.p, image.len);
	before = fds_open();
	for (size_t i = 0; i < image.len; i += i < 512 ? 1 : 37) {
		image.p[i] ^= 0x81;
		errno = 0;
		g = opened(image.p, image.len);
		if (!g)
			assert_int_equal(errno, EBADMSG);
		else
			assert_string_not_equal(g->digest, good->digest);
		generation_drop(&g);
		image.p[i] ^= 0x81;
	}
	for (size_t len = 0; len < image.len; len += 1 + len / 7)
		assert_none(opened(image.p, len));
	assert_int_equal(fds_open(), before);
	generation_drop(&good);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_policy),   cmocka_unit_test(users),
		cmocka_unit_test(not_sealed), cmocka_unit_test(of_no_size),
		cmocka_unit_test(garbage),
	};

	return cmocka_run_group_tests_name("generation", tests, NULL, NULL);
}
