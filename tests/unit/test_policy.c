/*
 * tests/unit/test_policy.c - may this be done?
 *
 * Runs in:   a test
 * Input:     images of made-up rules, the same cut and altered, the built-in profiles
 * May touch: memory
 * Must not:  derive an expectation from the profiles that it checks
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "policy/policy.h"

#define OP(tag) (1ull << OP_##tag)

struct fixture {
	struct wbuf image;
	struct policy policy;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->image = wbuf_growing(POLICY_IMAGE_MAX);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	wbuf_free(&f->image);
	free(f);
	return 0;
}

static void build(struct fixture *f, const struct policy_rule *rules, uint32_t n)
{
	wbuf_free(&f->image);
	assert_int_equal(policy_build("base", rules, n, &f->image), 0);
	assert_int_equal(policy_open(&f->policy, f->image.p, f->image.len), 0);
}

static void profile(struct fixture *f, const char *name)
{
	wbuf_free(&f->image);
	assert_int_equal(policy_profile(name, 0, &f->image), 0);
	assert_int_equal(policy_open(&f->policy, f->image.p, f->image.len), 0);
}

static struct policy_answer ask(const struct policy *p, uint32_t op)
{
	struct policy_question q = {.op = op};
	struct policy_answer a;

	memset(&a, 0xa5, sizeof(a));
	policy_decide(p, &q, &a);
	return a;
}

/* ---- rules ---- */

static const struct policy_rule rules[] = {
	{POLICY_ALLOW, OP(get_time) | OP(get_users), "one", "a.conf", 3},
	{POLICY_ALLOW, OP(exec), "two", "a.conf", 9},
	{POLICY_DENY, OP(get_users) | OP(shutdown), "three", "b.conf", 1},
	{POLICY_ALLOW, OP(get_users), "four", "c.conf", 0},
};

static void answers_name_the_rule(void **state)
{
	struct fixture *f = *state;
	struct policy_answer a;

	build(f, rules, ARRAY_SIZE(rules));
	assert_string_equal(f->policy.base, "base");
	a = ask(&f->policy, OP_exec);
	assert_true(a.allowed);
	assert_false(a.never);
	assert_int_equal(a.reason, REASON_RULE);
	assert_string_equal(a.rule, "two");
	assert_string_equal(a.file, "a.conf");
	assert_int_equal(a.line, 9);

	a = ask(&f->policy, OP_get_users);
	assert_false(a.allowed);
	assert_true(a.never);
	assert_int_equal(a.reason, REASON_EXPLICIT_DENY);
	assert_string_equal(a.rule, "three");
	assert_string_equal(a.file, "b.conf");
	assert_int_equal(a.line, 1);

	a = ask(&f->policy, OP_get_osinfo);
	assert_false(a.allowed);
	assert_true(a.never);
	assert_int_equal(a.reason, REASON_NO_RULE);
	assert_null(a.rule);
	assert_null(a.file);
	assert_int_equal(a.line, 0);
}

static void without_rules_nothing(void **state)
{
	struct fixture *f = *state;

	build(f, NULL, 0);
	for (uint32_t op = 0; op < OP_MAX; op++) {
		assert_false(policy_may(&f->policy, op));
		assert_false(ask(&f->policy, op).allowed);
	}
	assert_false(policy_may(&f->policy, OP_MAX));
	assert_false(policy_may(&f->policy, UINT32_MAX));
}

/* What the four rules above come to, in whatever order they stand. */
static void check_order(struct fixture *f, const struct policy_rule *ordered)
{
	build(f, ordered, ARRAY_SIZE(rules));
	assert_true(f->policy.allowed == (OP(get_time) | OP(exec)));
	for (uint32_t op = 0; op < OP_MAX; op++) {
		struct policy_answer a = ask(&f->policy, op);
		bool may = op == OP_get_time || op == OP_exec;

		assert_int_equal(a.allowed, may);
		assert_int_equal(a.never, !may);
		if (op == OP_get_users || op == OP_shutdown)
			assert_string_equal(a.rule, "three");
	}
}

/* Heap's algorithm: every order once. */
static uint32_t permute(struct fixture *f, struct policy_rule *order, uint32_t n)
{
	uint32_t orders = 0;

	if (n == 1) {
		check_order(f, order);
		return 1;
	}
	for (uint32_t i = 0; i < n; i++) {
		uint32_t other = n % 2 ? 0 : i;
		struct policy_rule last;

		orders += permute(f, order, n - 1);
		last = order[n - 1];
		order[n - 1] = order[other];
		order[other] = last;
	}
	return orders;
}

static void order_means_nothing(void **state)
{
	struct policy_rule order[ARRAY_SIZE(rules)];

	memcpy(order, rules, sizeof(rules));
	assert_int_equal(permute(*state, order, ARRAY_SIZE(rules)), 24);
}

/* Every set of operations that one allow and one deny rule can make of three. */
static void may_is_what_can_be_decided(void **state)
{
	struct fixture *f = *state;

	for (uint64_t allow = 0; allow < 8; allow++) {
		for (uint64_t deny = 0; deny < 8; deny++) {
			const struct policy_rule two[] = {
				{POLICY_ALLOW, allow << 61, "a", "f", 1},
				{POLICY_DENY, deny << 61, "d", "f", 2},
			};

			build(f, two, 2);
			for (uint32_t op = 0; op < OP_MAX; op++) {
				bool may = (allow & ~deny) << 61 >> op & 1;

				assert_int_equal(policy_may(&f->policy, op), may);
				assert_int_equal(ask(&f->policy, op).allowed, may);
			}
		}
	}
}

static void digest_follows_the_image(void **state)
{
	struct fixture *f = *state;
	uint8_t digest[SHA256_LEN];
	struct policy_rule other = rules[0];

	build(f, rules, 1);
	sha256(f->image.p, f->image.len, digest);
	assert_memory_equal(f->policy.sha256, digest, SHA256_LEN);
	other.line++;
	build(f, &other, 1);
	assert_memory_not_equal(f->policy.sha256, digest, SHA256_LEN);
}

/* ---- images that are none ---- */

/* Open a copy that ends where the bytes do, for the sanitizer to watch. */
static int open_copy(struct policy *p, const void *image, size_t len, uint8_t **copy)
{
	*copy = malloc(len + !len);
	memcpy(*copy, image, len);
	return policy_open(p, *copy, len);
}

static void truncated_image(void **state)
{
	struct fixture *f = *state;
	struct policy p;
	uint8_t *copy;

	build(f, rules, ARRAY_SIZE(rules));
	for (size_t len = 0; len < f->image.len; len++) {
		assert_int_equal(open_copy(&p, f->image.p, len, &copy), -1);
		free(copy);
	}
	wbuf_u8(&f->image, 0);
	assert_int_equal(open_copy(&p, f->image.p, f->image.len, &copy), -1);
	free(copy);
}

/* An altered image is refused, or is another one that can be asked about anything. */
static void altered_image(void **state)
{
	struct fixture *f = *state;

	build(f, rules, ARRAY_SIZE(rules));
	for (size_t at = 0; at < f->image.len; at++) {
		uint8_t before = f->image.p[at];

		for (int byte = 0; byte < 256; byte++) {
			struct policy p;
			uint8_t *copy;
			int opened;

			f->image.p[at] = (uint8_t)byte;
			opened = open_copy(&p, f->image.p, f->image.len, &copy);
			if (at < 4 && byte != before) /* it no longer says what it is */
				assert_int_equal(opened, -1);
			if (opened == 0)
				for (uint32_t op = 0; op < OP_MAX; op++)
					assert_int_equal(ask(&p, op).allowed,
							 policy_may(&p, op));
			free(copy);
		}
		f->image.p[at] = before;
	}
}

/* An effect that is neither of the two lets nothing through. */
static void unknown_effect(void **state)
{
	struct fixture *f = *state;
	const struct policy_rule odd[] = {
		{POLICY_ALLOW, UINT64_MAX, "allow", "f", 1},
		{(enum policy_effect)7, OP(exec), "odd", "f", 2},
	};

	build(f, odd, 2);
	assert_false(policy_may(&f->policy, OP_exec));
	assert_false(ask(&f->policy, OP_exec).allowed);
}

static void as_many_rules_as_may_be(void **state)
{
	struct fixture *f = *state;
	struct policy_rule *many = calloc(POLICY_RULES_MAX + 1, sizeof(*many));
	struct policy p;

	for (uint32_t i = 0; i <= POLICY_RULES_MAX; i++)
		many[i] = (struct policy_rule){POLICY_ALLOW, OP(exec), "r", "f", i};
	build(f, many, POLICY_RULES_MAX);
	assert_true(policy_may(&f->policy, OP_exec));
	wbuf_free(&f->image);
	assert_int_equal(policy_build("b", many, POLICY_RULES_MAX + 1, &f->image), -1);
	/* One that was built by somebody else is not read either. */
	assert_false(f->image.bad);
	assert_int_equal(policy_open(&p, f->image.p, f->image.len), -1);
	free(many);
}

static void image_too_large(void **state)
{
	struct wbuf small = wbuf_growing(40);

	(void)state;
	assert_int_equal(policy_build("base", rules, ARRAY_SIZE(rules), &small), -1);
	wbuf_free(&small);
}

/* ---- profiles ---- */

/* POLICY.md section 5. */
static const struct {
	const char *group;
	bool none, safe, legacy;
} allowed[] = {
	{"@session", true, true, true},      {"@info", false, true, true},
	{"@freeze", false, true, true},      {"@trim", false, true, true},
	{"@power", false, true, true},       {"@suspend", false, false, true},
	{"@time", false, true, true},        {"@hotplug", false, true, true},
	{"@exec", false, false, true},       {"@file-read", false, false, true},
	{"@file-write", false, false, true}, {"@password", false, false, true},
	{"@ssh-keys", false, false, true},
};

/* The column of the table above for PROFILE. */
static bool group_allowed(size_t i, const char *name)
{
	return streq(name, "none")   ? allowed[i].none
	       : streq(name, "safe") ? allowed[i].safe
				     : allowed[i].legacy;
}

/* A command of several groups is allowed where one of them is. */
static bool op_allowed(const struct op *op, const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(allowed); i++)
		for (uint32_t bit = 0; bit < 32; bit++)
			if (op->groups & 1u << bit && group_name(1u << bit) &&
			    streq(group_name(1u << bit), allowed[i].group) &&
			    group_allowed(i, name))
				return true;
	return false;
}

static void profiles(void **state)
{
	static const char *const names[] = {"none", "safe", "legacy"};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		assert_string_equal(policy_profile_name((uint32_t)i), names[i]);
		profile(f, names[i]);
		assert_string_equal(f->policy.base, names[i]);
		for (uint32_t n = op_after(OP_NONE); n != OP_NONE; n = op_after(n)) {
			bool may = op_allowed(op_by_number(n), names[i]);

			assert_int_equal(policy_may(&f->policy, n), may);
			assert_int_equal(ask(&f->policy, n).allowed, may);
		}
	}
	assert_null(policy_profile_name(ARRAY_SIZE(names)));
	assert_null(policy_profile_name(UINT32_MAX));
}

/* A few that matter most, said without the groups. */
static void profiles_by_command(void **state)
{
	struct fixture *f = *state;

	profile(f, "none");
	assert_true(f->policy.allowed ==
		    (OP(sync) | OP(sync_delimited) | OP(ping) | OP(info)));
	profile(f, "safe");
	assert_false(f->policy.allowed & OP(disk_smart));
	assert_true(f->policy.allowed & OP(fsfreeze_thaw));
	assert_true(f->policy.allowed & OP(shutdown));
	assert_false(f->policy.allowed &
		     (OP(exec) | OP(exec_status) | OP(file_open) | OP(file_read) |
		      OP(file_write) | OP(file_seek) | OP(set_user_password) |
		      OP(ssh_get_authorized_keys) | OP(ssh_add_authorized_keys) |
		      OP(suspend_ram)));
	profile(f, "legacy");
	for (uint32_t n = op_after(OP_NONE); n != OP_NONE; n = op_after(n))
		assert_true(policy_may(&f->policy, n));
	assert_true(policy_may(&f->policy, OP_disk_smart));
	/* ... and no number that no command has. */
	assert_false(policy_may(&f->policy, OP_NONE));
	assert_false(policy_may(&f->policy, 50));
}

/* A record says which group of which profile let a request through. */
static void profile_rules_are_named(void **state)
{
	struct fixture *f = *state;
	struct policy_answer a;

	profile(f, "safe");
	a = ask(&f->policy, OP_get_osinfo);
	assert_string_equal(a.rule, "@info");
	assert_string_equal(a.file, "builtin:safe");
	assert_int_equal(a.line, 0);
	assert_int_equal(ask(&f->policy, OP_exec).reason, REASON_NO_RULE);
}

/* The lists of the command line take away, whatever allows; they never add. */
static void lists_narrow(void **state)
{
	struct fixture *f = *state;
	struct policy_answer a;

	wbuf_free(&f->image);
	assert_int_equal(
		policy_profile("safe", OP(get_osinfo) | OP(ping) | OP(exec), &f->image),
		0);
	assert_int_equal(policy_open(&f->policy, f->image.p, f->image.len), 0);
	a = ask(&f->policy, OP_get_osinfo);
	assert_false(a.allowed);
	assert_true(a.never);
	assert_int_equal(a.reason, REASON_EXPLICIT_DENY);
	assert_string_equal(a.rule, "block and allow lists");
	assert_false(ask(&f->policy, OP_ping).allowed);
	assert_true(ask(&f->policy, OP_sync).allowed);
	assert_true(ask(&f->policy, OP_get_time).allowed);
	assert_false(ask(&f->policy, OP_file_open).allowed);
}

static void unknown_profile(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(policy_profile("Safe", 0, &f->image), -1);
	assert_int_equal(policy_profile("saf", 0, &f->image), -1);
	assert_int_equal(policy_profile("safe ", 0, &f->image), -1);
	assert_int_equal(policy_profile("", 0, &f->image), -1);
	assert_int_equal(f->image.len, 0);
}

/* ---- reasons ---- */

/* Spellings stand in records that somebody evaluates; texts are known to clients. */
static void reasons(void **state)
{
	static const struct {
		enum reason reason;
		const char *name, *text;
	} expected[] = {
		{REASON_RULE, "rule", ""},
		{REASON_NO_RULE, "no-rule", "the command is not allowed"},
		{REASON_EXPLICIT_DENY, "explicit-deny", "the command is not allowed"},
		{REASON_FROZEN, "frozen", "the agent is in frozen state"},
		{REASON_NOT_SUPPORTED, "not-supported", "not supported by this build"},
		{REASON_ARGUMENTS, "arguments", "the arguments are not valid"},
		{REASON_BUSY, "busy", "too many operations are in progress"},
		{REASON_AUDIT, "audit-unavailable", "there is no room for its record"},
		{REASON_FRONTEND, "frontend", "the command is not allowed"},
	};

	(void)state;
	assert_int_equal(ARRAY_SIZE(expected), REASON_COUNT);
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		assert_string_equal(reason_name(expected[i].reason), expected[i].name);
		assert_string_equal(reason_text(expected[i].reason), expected[i].text);
	}
}

/* ---- the digest ---- */

static void assert_digest(const void *data, size_t len, const char *expected)
{
	uint8_t digest[SHA256_LEN];
	char hex[2 * SHA256_LEN + 1];

	sha256(data, len, digest);
	for (size_t i = 0; i < SHA256_LEN; i++)
		snprintf(hex + 2 * i, 3, "%02x", digest[i]);
	assert_string_equal(hex, expected);
}

/* The examples of FIPS 180-4. */
static void sha256_vectors(void **state)
{
	uint8_t *million = malloc(1000000);

	(void)state;
	assert_digest("", 0,
		      "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	assert_digest("abc", 3,
		      "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	assert_digest("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56,
		      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
	memset(million, 'a', 1000000);
	assert_digest(million, 1000000,
		      "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
	free(million);
}

/*
 * Every length up to two blocks: each digest goes in front of the next message of N times
 * 'x'. The last one was calculated by another implementation.
 */
static void sha256_padding(void **state)
{
	uint8_t message[SHA256_LEN + 130];
	size_t head = 0;

	(void)state;
	for (size_t n = 0; n < 130; n++) {
		memset(message + head, 'x', n);
		sha256(message, head + n, message);
		head = SHA256_LEN;
	}
	memset(message + head, 'x', 130);
	assert_digest(message, head + 130,
		      "3fb3b8c6f149d82c5b550285989c507ab8dc43f0ef86e51b217fff12dd1bebba");
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	static const struct CMUnitTest tests[] = {
		WITH(answers_name_the_rule),
		WITH(without_rules_nothing),
		WITH(order_means_nothing),
		WITH(may_is_what_can_be_decided),
		WITH(digest_follows_the_image),
		WITH(truncated_image),
		WITH(altered_image),
		WITH(unknown_effect),
		WITH(as_many_rules_as_may_be),
		cmocka_unit_test(image_too_large),
		WITH(profiles),
		WITH(profiles_by_command),
		WITH(profile_rules_are_named),
		WITH(lists_narrow),
		WITH(unknown_profile),
		cmocka_unit_test(reasons),
		cmocka_unit_test(sha256_vectors),
		cmocka_unit_test(sha256_padding),
	};

	return cmocka_run_group_tests_name("policy", tests, NULL, NULL);
}
