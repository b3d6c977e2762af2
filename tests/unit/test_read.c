/*
 * tests/unit/test_read.c - what the reader makes of the files, and what it keeps
 *
 * Runs in:   a test, as root or not
 * Input:     policy files of its own
 * May touch: a temporary directory
 * Must not:  look at the policy of this machine
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "reader/read.h"
#include "tests/lib/rmtree.h"

struct fixture {
	char root[64];
	int dir; /* of the policy files */
	struct kept *kept;
	struct reading r;
	uint8_t text[512];
	struct wbuf lines;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	static const char *const parts[] = {"etc", "etc/postern"};

	if (!f)
		return -1;
	*state = f;
	strcpy(f->root, "/tmp/postern-read-XXXXXX");
	if (!mkdtemp(f->root))
		return -1;
	f->kept = calloc(1, sizeof(*f->kept));
	f->lines = wbuf_fixed(f->text, sizeof(f->text));
	f->r = (struct reading){.owner = geteuid(), .kept = f->kept};
	f->r.root = open(f->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		if (mkdirat(f->r.root, parts[i], 0755) < 0 ||
		    fchmodat(f->r.root, parts[i], 0755, 0) < 0)
			return -1;
	f->dir = openat(f->r.root, parts[1], O_PATH | O_DIRECTORY | O_CLOEXEC);
	return f->dir >= 0 && f->kept ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	wbuf_free(&f->r.image);
	close_p(&f->r.root);
	close_p(&f->dir);
	assert_int_equal(rmtree(f->root), 0);
	free(f->kept);
	free(f);
	return 0;
}

static void put(const struct fixture *f, const char *text)
{
	CLEANUP(close_p)
	int fd = openat(f->dir, "policy.conf", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
			0644);

	assert_true(fd >= 0);
	assert_int_equal(fchmod(fd, 0644), 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

/* What was read, opened. */
static struct policy policy_of(const struct fixture *f)
{
	struct policy p;

	assert_false(f->r.image.bad);
	assert_int_equal(policy_open(&p, f->r.image.p, f->r.image.len), 0);
	return p;
}

static const char *locked_down(const struct policy *p)
{
	return policy_text(p, p->head->locked_down);
}

/* Another reader, later. */
static struct reading next(const struct fixture *f)
{
	return (struct reading){
		.root = f->r.root,
		.owner = f->r.owner,
		.kept = f->kept,
		.image = wbuf_growing(IMAGE_MAX),
	};
}

static void profile_and_lists(void **state)
{
	struct fixture *f = *state;
	struct policy p;

	put(f, "nonsense");
	f->r.profile = "safe";
	read_files(&f->r, &f->lines);
	p = policy_of(f);
	assert_string_equal(policy_base(&p), "safe");
	assert_true(policy_may(&p, OP_get_osinfo) && policy_may(&p, OP_get_time));
	f->r.denied = OPS_OF_1(get_osinfo);
	read_files(&f->r, &f->lines);
	p = policy_of(f);
	assert_true(!policy_may(&p, OP_get_osinfo) && policy_may(&p, OP_get_time));
	assert_int_equal(f->lines.len, 0);
}

static void mistakes(void **state)
{
	static const char lines[] =
		"/etc/postern/policy.conf:2: unknown section; accepted: [policy], "
		"[limits], "
		"[audit], [rule \"name\"], [exec \"name\"], [test \"name\"]\n";
	struct fixture *f = *state;
	struct policy p;

	put(f, "[policy]\n[nonsense]\n");
	read_files(&f->r, &f->lines);
	p = policy_of(f);
	assert_int_equal(f->lines.len, strlen(lines));
	assert_memory_equal(f->lines.p, lines, strlen(lines));
	assert_int_equal(strncmp(locked_down(&p),
				 "1 mistake in the policy, the first in "
				 "/etc/postern/policy.conf:2: ",
				 66),
			 0);
	assert_false(policy_may(&p, OP_get_osinfo));
	assert_true(policy_may(&p, OP_ping));
	/* It was never in force by itself, and shall not be. */
	read_keep(&f->r);
	assert_int_equal(f->kept->size, 0);
	/* The next time the files are right. */
	put(f, "[policy]\nbase = safe\n");
	read_files(&f->r, &f->lines);
	p = policy_of(f);
	assert_string_equal(locked_down(&p), "");
}

static void kept_for_the_next(void **state)
{
	struct fixture *f = *state;
	struct reading later = next(f);

	assert_false(read_kept(&later)); /* the first finds nothing */
	put(f, "[policy]\nbase = none\n");
	read_files(&f->r, &f->lines);
	assert_int_equal(f->kept->size, 0); /* read is not in force */
	read_keep(&f->r);
	put(f, "[policy]\nbase = legacy\n");
	assert_true(read_kept(&later));
	assert_int_equal(later.image.len, f->r.image.len);
	assert_memory_equal(later.image.p, f->r.image.p, later.image.len);
	/* That one has read nothing that it could keep. */
	memset(f->kept, 0, sizeof(*f->kept));
	read_keep(&later);
	assert_int_equal(f->kept->size, 0);
	read_files(&later, &f->lines);
	read_keep(&later);
	assert_int_equal(f->kept->size, later.image.len);
	assert_int_not_equal(later.image.len, f->r.image.len);
	wbuf_free(&later.image);
}

/* One that ended while it kept, or memory that is not ours. */
static void what_is_no_image(void **state)
{
	struct fixture *f = *state;
	struct reading later = next(f);

	f->kept->size = IMAGE_MAX + 1;
	assert_false(read_kept(&later));
	f->kept->size = UINT64_MAX;
	assert_false(read_kept(&later));
	assert_int_equal(later.image.len, 0);
	later.kept = NULL;
	assert_false(read_kept(&later));
	read_files(&later, &f->lines);
	read_keep(&later);
	wbuf_free(&later.image);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(profile_and_lists),
		WITH(mistakes),
		WITH(kept_for_the_next),
		WITH(what_is_no_image),
	};

	return cmocka_run_group_tests_name("read", tests, NULL, NULL);
}
