/*
 * tests/unit/test_object.c - constraints on what was found where a request points
 *
 * Runs in:   a test
 * Input:     policies and objects of its own
 * May touch: memory
 * Must not:  look at a file
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "policy/object.h"
#include "policy/policy.h"
#include "tests/lib/policy.h"

#define R "command = @file-read\n"
#define W "command = @file-write\n"

/* A file: small, regular, its own name, there. */
#define FILE_AT(at)                                                                     \
	{                                                                               \
		.path = {.p = (at), .len = sizeof(at) - 1, .set = true}, .exists = true \
	}
#define ABSENT(at)                                                       \
	{                                                                \
		.path = {.p = (at), .len = sizeof(at) - 1, .set = true } \
	}

static const struct row {
	const char *rule;
	const char *mode;
	struct policy_object object;
	enum reason refused; /* REASON_RULE: allowed */
} rows[] = {
	{R, "r", FILE_AT("/x"), REASON_RULE},
	{R "path = /etc/*", "r", FILE_AT("/etc/x"), REASON_RULE},
	{R "path = /etc/*", "r", FILE_AT("/etc/x/y"), REASON_PATH},
	{R "path = /a ; /b", "r", FILE_AT("/b"), REASON_RULE},
	{R "path-beneath = /srv", "r", FILE_AT("/srv/x/y"), REASON_RULE},
	{R "path-beneath = /srv/", "r", FILE_AT("/srv/x"), REASON_RULE},
	{R "path-beneath = /", "r", FILE_AT("/x"), REASON_RULE},
	{R "path-beneath = /srv", "r", FILE_AT("/srv"), REASON_PATH},
	{R "path-beneath = /srv", "r", FILE_AT("/srv/"), REASON_PATH},
	{R "path-beneath = /srv", "r", FILE_AT("/srvx/y"), REASON_PATH},
	{R "path-beneath = /a ; /b", "r", FILE_AT("/b/x"), REASON_RULE},
	{R "path-beneath = /srv", "r", ABSENT("/etc/x"), REASON_PATH},
	/* What a rule does not say, it does not allow. */
	{R, "w", ABSENT("/x"), REASON_MODE},
	{R, "r+", FILE_AT("/x"), REASON_MODE},
	{W, "r", FILE_AT("/x"), REASON_MODE},
	{W, "w", ABSENT("/x"), REASON_RULE},
	{W, "r+", FILE_AT("/x"), REASON_RULE},
	{"command = @file-read ; @file-write", "a+", FILE_AT("/x"), REASON_RULE},
	{"command = guest-file-open", "a+", FILE_AT("/x"), REASON_RULE},
	{W "open-mode = create", "w", ABSENT("/x"), REASON_RULE},
	{W "open-mode = create", "w", FILE_AT("/x"), REASON_MODE},
	{W "open-mode = replace", "w", FILE_AT("/x"), REASON_RULE},
	{W "open-mode = replace", "w", ABSENT("/x"), REASON_MODE},
	{W "open-mode = append", "a", FILE_AT("/x"), REASON_RULE},
	{W "open-mode = append", "a", ABSENT("/x"), REASON_MODE},
	{W "open-mode = append ; create", "a", ABSENT("/x"), REASON_RULE},
	{W "open-mode = append", "a+", FILE_AT("/x"), REASON_MODE},
	{W "open-mode = append ; read", "a+", FILE_AT("/x"), REASON_RULE},
	{W "open-mode = update", "r+", FILE_AT("/x"), REASON_RULE},
	{R, "r", {.path = {"/x", 2, true}, .type = OBJECT_FIFO}, REASON_PATH},
	{R "file-type = fifo",
	 "r",
	 {.path = {"/x", 2, true}, .type = OBJECT_FIFO},
	 REASON_RULE},
	{R "file-type = fifo", "r", FILE_AT("/x"), REASON_PATH},
	{R, "r", {.path = {"/x", 2, true}, .type = OBJECT_DIRECTORY}, REASON_PATH},
	{R, "r", {.path = {"/x", 2, true}, .links = LINKS_ROOT}, REASON_RULE},
	{R, "r", {.path = {"/x", 2, true}, .links = LINKS_ANY}, REASON_SYMLINK},
	{R "follow-symlinks = no",
	 "r",
	 {.path = {"/x", 2, true}, .links = LINKS_ROOT},
	 REASON_SYMLINK},
	{R "follow-symlinks = no", "r", FILE_AT("/x"), REASON_RULE},
	{R "follow-symlinks = yes",
	 "r",
	 {.path = {"/x", 2, true}, .links = LINKS_ANY},
	 REASON_RULE},
	{R "size-max = 4K", "r", {.path = {"/x", 2, true}, .size = 4096}, REASON_RULE},
	{R "size-max = 4K", "r", {.path = {"/x", 2, true}, .size = 4097}, REASON_SIZE},
	{W "size-max = 4K",
	 "a",
	 {.path = {"/x", 2, true}, .exists = true, .size = 4097},
	 REASON_SIZE},
	/* Of what is replaced nothing is left. */
	{W "size-max = 4K",
	 "w",
	 {.path = {"/x", 2, true}, .exists = true, .size = 4097},
	 REASON_RULE},
};

static struct policy_answer ask(const struct policy *p, const char *mode,
				const struct policy_object *object)
{
	const struct msg_file_open args = {
		.path = v_str("/somewhere/else"),
		.mode = v_str(mode),
	};
	const struct policy_question q = {OP_file_open, &args, object};
	struct policy_answer a;

	policy_decide(p, &q, &a);
	return a;
}

static void allows(void **state)
{
	struct wbuf image = {0};
	struct policy p;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct row *r = &rows[i];
		struct policy_answer a;
		char text[512];

		snprintf(text, sizeof(text),
			 "[policy]\nbase = none\n[rule \"it\"]\neffect = allow\n%s\n",
			 r->rule);
		policy_of_text(&p, &image, text);
		a = ask(&p, r->mode, &r->object);
		if (a.allowed != (r->refused == REASON_RULE) || a.reason != r->refused)
			fail_msg("row %zu: %s, %s", i, r->rule, reason_name(a.reason));
		assert_false(a.never);
	}
	wbuf_free(&image);
}

/* A deny of what is found refuses nothing before it is found. */
static void denies(void **state)
{
	static const char text[] =
		"[policy]\nbase = none\n"
		"[rule \"all\"]\neffect = allow\ncommand = @file-read\n"
		"[rule \"secret\"]\neffect = deny\ncommand = @file-read\n"
		"path-beneath = /secret\n"
		"[rule \"pipes\"]\neffect = deny\ncommand = @file-read\n"
		"file-type = fifo\n";
	struct policy_object object = {.path = {"/x", 2, true}, .exists = true};
	struct wbuf image = {0};
	struct policy p;

	(void)state;
	policy_of_text(&p, &image, text);
	assert_true(ask(&p, "r", NULL).allowed);
	assert_true(ask(&p, "r", &object).allowed);
	object.type = OBJECT_FIFO;
	assert_int_equal(ask(&p, "r", &object).reason, REASON_EXPLICIT_DENY);
	object = (struct policy_object){.path = {"/secret/x", 9, true}, .exists = true};
	assert_int_equal(ask(&p, "r", &object).reason, REASON_EXPLICIT_DENY);
	wbuf_free(&image);
}

/* A program is judged by where it was found, not by where it might have been. */
static void programs(void **state)
{
	static const char text[] =
		"[policy]\nbase = none\n[rule \"it\"]\neffect = allow\n"
		"command = guest-exec\npath = /usr/bin/x\n";
	const struct msg_exec args = {.path = v_str("x")};
	struct policy_object object = {.path = v_str("/usr/bin/x"), .exists = true};
	struct policy_question q = {OP_exec, &args, NULL};
	struct policy_answer a;
	struct wbuf image = {0};
	struct policy p;

	(void)state;
	policy_of_text(&p, &image, text);
	policy_decide(&p, &q, &a);
	assert_true(a.allowed);
	q.object = &object;
	policy_decide(&p, &q, &a);
	assert_true(a.allowed);
	object.path = v_str("/usr/sbin/x");
	policy_decide(&p, &q, &a);
	assert_false(a.allowed);
	assert_int_equal(a.reason, REASON_PATH);
	wbuf_free(&image);
}

/* ---- mounts ---- */

#define ALLOW(command, more)                                                       \
	"[policy]\nbase = none\n[rule \"it\"]\neffect = allow\ncommand = " command \
	"\n" more
#define F(more) ALLOW("@freeze ; @trim", more)
#define RULE(name, how) \
	"[rule \"" name "\"]\neffect = " how "\ncommand = @freeze ; @trim\n"

/* Are the mounts "/srv/a" of ext4, "/srv/a/b" of xfs and "/" of btrfs wanted? */
static const struct mount_row {
	const char *policy;
	const char *wanted; /* one letter each */
} mount_rows[] = {
	{F(""), "yyy"},
	{F("mountpoint = /srv/a\n"), "ynn"},
	{F("mountpoint = /srv/a/\n"), "nnn"},
	{F("mountpoint = /srv/*\n"), "ynn"},
	{F("mountpoint = /srv/**\n"), "yyn"},
	{F("mountpoint = /\n"), "nny"},
	{F("mountpoint = / ; /srv/a/b\n"), "nyy"},
	{F("fstype = xfs\n"), "nyn"},
	{F("fstype = ext*\n"), "ynn"},
	{F("fstype = xfs ; btrfs\n"), "nyy"},
	/* All of a rule have to hold. */
	{F("fstype = xfs\nmountpoint = /srv/a\n"), "nnn"},
	{F("fstype = xfs\nmountpoint = /srv/**\n"), "nyn"},
	{F("mountpoint-exclude = /srv/**\n"), "nny"},
	{F("fstype-exclude = ext4 ; btrfs\n"), "nyn"},
	{F("mountpoint = /srv/**\nfstype-exclude = xfs\n"), "ynn"},
	/* Rules are alternatives; what they exclude adds up. */
	{F("mountpoint = /\n") RULE("more", "allow") "fstype = xfs\n", "nyy"},
	{F("mountpoint-exclude = /\n") RULE("more", "allow") "fstype-exclude = xfs\n",
	 "ynn"},
	/* But only of those that match. */
	{F("fstype = ext4\nmountpoint-exclude = /**\n")
		 RULE("more", "allow") "fstype = xfs\n",
	 "nyn"},
	/* A deny holds as a whole. */
	{F("") RULE("no", "deny") "mountpoint = /srv/**\n", "nny"},
	{F("") RULE("no", "deny") "fstype = xfs\nmountpoint = /srv/a\n", "yyy"},
	{F("") RULE("no", "deny") "fstype = xfs\nmountpoint = /srv/**\n", "yny"},
};

static const struct policy_object mounts[] = {
	{.path = {"/srv/a", 6, true}, .fstype = {"ext4", 4, true}},
	{.path = {"/srv/a/b", 8, true}, .fstype = {"xfs", 3, true}},
	{.path = {"/", 1, true}, .fstype = {"btrfs", 5, true}},
};

static const uint32_t mount_ops[] = {OP_fsfreeze_freeze, OP_fsfreeze_freeze_list,
				     OP_fstrim};

static struct policy_answer ask_mount(const struct policy *p, uint32_t op,
				      const struct policy_object *object)
{
	static const struct msg_freeze_list nothing; /* no rule looks at it */
	struct policy_answer a;

	policy_decide(p, &(struct policy_question){op, &nothing, object}, &a);
	return a;
}

static void wanted_mounts(void **state)
{
	struct wbuf image = {0};
	struct policy p;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(mount_rows); i++) {
		policy_of_text(&p, &image, mount_rows[i].policy);
		for (size_t m = 0; m < ARRAY_SIZE(mounts) * ARRAY_SIZE(mount_ops); m++) {
			const struct policy_object *object =
				&mounts[m % ARRAY_SIZE(mounts)];
			uint32_t op = mount_ops[m / ARRAY_SIZE(mounts)];
			struct policy_answer a = ask_mount(&p, op, object);
			bool wanted = a.allowed && !object_excluded(&p, &a, object);

			if (wanted !=
			    (mount_rows[i].wanted[m % ARRAY_SIZE(mounts)] == 'y'))
				fail_msg("row %zu, %s, operation %u", i, object->path.p,
					 op);
		}
	}
	wbuf_free(&image);
}

/* Before a mount is met no rule that speaks of mounts refuses, nor do bad arguments. */
static void before_any_mount(void **state)
{
	struct wbuf image = {0};
	struct policy p;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(mount_rows); i++) {
		policy_of_text(&p, &image, mount_rows[i].policy);
		for (size_t o = 0; o < ARRAY_SIZE(mount_ops); o++) {
			struct policy_answer a = ask_mount(&p, mount_ops[o], NULL);

			assert_true(a.allowed);
			policy_decide(&p, &(struct policy_question){.op = mount_ops[o]},
				      &a);
			assert_true(a.allowed);
		}
	}
	wbuf_free(&image);
}

/* ---- limits ---- */

#define MS   1000000
#define HOUR (INT64_C(3600000) * MS)

static const struct limit_row {
	uint32_t op;
	const char *rule;
	int64_t step;
	uint64_t left;
	enum reason refused; /* REASON_RULE: allowed */
} limit_rows[] = {
	{OP_set_time, "@time", INT64_MIN, 0, REASON_RULE},
	{OP_set_time, "@time\nmax-step = 1h", HOUR, 0, REASON_RULE},
	{OP_set_time, "@time\nmax-step = 1h", HOUR + 1, 0, REASON_STEP},
	{OP_set_time, "@time\nmax-step = 1h", -HOUR, 0, REASON_RULE},
	{OP_set_time, "@time\nmax-step = 1h", -HOUR - 1, 0, REASON_STEP},
	{OP_set_time, "@time\nmax-step = 1h", INT64_MAX, 0, REASON_STEP},
	{OP_set_time, "@time\nmax-step = 1h", INT64_MIN, 0, REASON_STEP},
	{OP_set_time, "@time\nmax-step = 1ms", MS - 1, 0, REASON_RULE},
	{OP_set_time, "@time\nmax-step = 1ms", -MS - 1, 0, REASON_STEP},
	{OP_set_time, "@time\nbackwards = no", 0, 0, REASON_RULE},
	{OP_set_time, "@time\nbackwards = no", -1, 0, REASON_STEP},
	{OP_set_time, "@time\nbackwards = yes", -1, 0, REASON_RULE},
	{OP_set_vcpus, "@hotplug\nonline-min = 2", -1, 2, REASON_RULE},
	{OP_set_vcpus, "@hotplug\nonline-min = 2", 0, 1, REASON_MODE},
	{OP_set_vcpus, "@hotplug\nmemory-min = 1G", 0, 1, REASON_RULE},
	{OP_set_vcpus, "@hotplug\nonline-min = 2", 0, UINT64_MAX, REASON_RULE},
	{OP_set_memory_blocks, "@hotplug\nmemory-min = 1K", 0, 1024, REASON_RULE},
	{OP_set_memory_blocks, "@hotplug\nmemory-min = 1K", 0, 1023, REASON_MODE},
	{OP_set_memory_blocks, "@hotplug\nonline-min = 2", 0, 1, REASON_RULE},
	/* The tightest holds. */
	{OP_set_vcpus,
	 "@hotplug\nonline-min = 2\n[rule \"more\"]\neffect = allow\n"
	 "command = @hotplug\nonline-min = 3",
	 0, 2, REASON_MODE},
	{OP_set_time,
	 "@time\nmax-step = 1h\n[rule \"more\"]\neffect = allow\n"
	 "command = @time\nmax-step = 2h",
	 HOUR + 1, 0, REASON_STEP},
};

static void limits_are_kept(void **state)
{
	struct wbuf image = wbuf_growing(IMAGE_MAX);
	static const uint64_t args[64]; /* nothing is set */

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(limit_rows); i++) {
		const struct limit_row *r = &limit_rows[i];
		const struct policy_object object = {
			.exists = true, .step = r->step, .left = r->left};
		struct policy_question q = {.op = r->op, .args = args, .object = &object};
		struct policy_answer a;
		struct policy p;
		char text[512];

		snprintf(text, sizeof(text),
			 "[policy]\nbase = none\n[rule \"it\"]\neffect = allow\n"
			 "command = %s\n",
			 r->rule);
		policy_of_text(&p, &image, text);
		policy_decide(&p, &q, &a);
		if (a.reason != r->refused)
			print_error("row %zu: %s\n", i, reason_name(a.reason));
		assert_int_equal(a.reason, r->refused);
		assert_int_equal(a.allowed, r->refused == REASON_RULE);
		assert_false(a.never);
		/* Before it is known how far it goes, it may. */
		q.object = NULL;
		policy_decide(&p, &q, &a);
		assert_true(a.allowed);
	}
	wbuf_free(&image);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(allows),           cmocka_unit_test(denies),
		cmocka_unit_test(programs),         cmocka_unit_test(wanted_mounts),
		cmocka_unit_test(before_any_mount), cmocka_unit_test(limits_are_kept),
	};

	return cmocka_run_group_tests_name("object", tests, NULL, NULL);
}
