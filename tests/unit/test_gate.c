/*
 * tests/unit/test_gate.c - what the one door says, and in which order it looks
 *
 * Runs in:   a test
 * Input:     every operation, states and policies set up by hand
 * May touch: memory
 * Must not:  act: deciding has no effect
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/policy.h"
#include "worker/worker.h"

/* Every operation there is, allowed or denied. */
#define EVERYTHING UINT64_MAX

struct fixture {
	struct worker *w;
	struct wbuf image;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->w = calloc(1, sizeof(*f->w));
	*state = f;
	return f->w ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	wbuf_free(&f->image);
	free(f->w);
	free(f);
	return 0;
}

/* A policy of one rule; without EFFECT of none. */
static void set_policy(struct fixture *f, enum policy_effect effect, uint64_t ops)
{
	policy_of_ops(&f->w->policy, &f->image, effect, ops);
}

static const char *rule_of(const struct fixture *f, const struct verdict *v)
{
	const struct image_rule *rule = policy_rule(&f->w->policy, &v->policy);

	return rule ? policy_text(&f->w->policy, rule->name) : NULL;
}

static struct verdict decide_row(struct fixture *f, uint32_t number, const struct op *op,
				 uint16_t flags)
{
	static const uint64_t args[64]; /* of any command: nothing is set */
	struct asked q = {
		.number = number,
		.op = op,
		.args = flags & FRAME_BAD_ARGS ? NULL : args,
		.flags = flags,
	};
	struct verdict v;

	memset(&v, 0xa5, sizeof(v));
	gate_decide(f->w, &q, &v);
	return v;
}

static struct verdict decide(struct fixture *f, uint32_t number, uint16_t flags)
{
	return decide_row(f, number, op_by_number(number), flags);
}

static void assert_refused(const struct verdict *v, enum reason reason,
			   enum err_class cls)
{
	assert_false(v->allowed);
	assert_string_equal(reason_name(v->reason), reason_name(reason));
	assert_string_equal(err_class_name(v->cls), err_class_name(cls));
}

static void allowed(void **state)
{
	struct fixture *f = *state;
	struct verdict v;

	set_policy(f, POLICY_ALLOW, EVERYTHING);
	v = decide(f, OP_get_osinfo, 0);
	assert_true(v.allowed);
	assert_false(v.skew);
	assert_int_equal(v.reason, REASON_RULE);
	assert_string_equal(rule_of(f, &v), "rule");
}

static void no_rule(void **state)
{
	struct fixture *f = *state;
	struct verdict v;

	set_policy(f, 0, 0);
	v = decide(f, OP_get_osinfo, FRAME_REFUSED);
	assert_refused(&v, REASON_NO_RULE, ERR_NOT_FOUND);
	assert_false(v.skew);
	assert_null(rule_of(f, &v));
}

static void explicit_deny(void **state)
{
	struct fixture *f = *state;
	struct verdict v;

	set_policy(f, POLICY_DENY, 1ull << OP_get_osinfo);
	v = decide(f, OP_get_osinfo, FRAME_REFUSED);
	assert_refused(&v, REASON_EXPLICIT_DENY, ERR_NOT_FOUND);
	assert_string_equal(rule_of(f, &v), "rule");
}

/* Our copy says no and the frontend's said nothing of the kind: no, and a word on it. */
static void frontend_let_it_pass(void **state)
{
	struct fixture *f = *state;
	struct verdict v;

	set_policy(f, 0, 0);
	v = decide(f, OP_get_osinfo, 0);
	assert_refused(&v, REASON_NO_RULE, ERR_NOT_FOUND);
	assert_true(v.skew);
}

/* The frontend's copy says no and ours would allow: still no. */
static void frontend_refused_alone(void **state)
{
	struct fixture *f = *state;
	struct verdict v;

	set_policy(f, POLICY_ALLOW, EVERYTHING);
	v = decide(f, OP_get_osinfo, FRAME_REFUSED);
	assert_refused(&v, REASON_FRONTEND, ERR_NOT_FOUND);
	assert_true(v.skew);
}

static void bad_arguments(void **state)
{
	struct fixture *f = *state;
	struct verdict v;

	set_policy(f, POLICY_ALLOW, EVERYTHING);
	v = decide(f, OP_get_osinfo, FRAME_BAD_ARGS);
	assert_refused(&v, REASON_ARGUMENTS, ERR_GENERIC);
	assert_false(v.skew);
}

static void not_in_this_build(void **state)
{
	struct fixture *f = *state;
	struct op row = *op_by_number(OP_get_osinfo);
	struct verdict v;

	set_policy(f, POLICY_ALLOW, EVERYTHING);
	row.carrier = BY_NOBODY;
	v = decide_row(f, OP_get_osinfo, &row, 0);
	assert_refused(&v, REASON_NOT_SUPPORTED, ERR_NOT_FOUND);
	assert_string_equal(rule_of(f, &v), "rule");
}

/* While frozen six pass, and the others are refused by this whatever else is wrong. */
static void frozen(void **state)
{
	struct fixture *f = *state;
	uint32_t pass = 0;

	f->w->freeze.state = FS_FROZEN;
	for (uint32_t n = op_after(OP_NONE); n != OP_NONE; n = op_after(n)) {
		struct verdict v;

		set_policy(f, POLICY_ALLOW, EVERYTHING);
		v = decide(f, n, 0);
		if (op_by_number(n)->flags & OPF_FROZEN_OK) {
			assert_true(v.allowed || v.reason == REASON_NOT_SUPPORTED);
			pass++;
			continue;
		}
		assert_refused(&v, REASON_FROZEN, ERR_NOT_FOUND);
	}
	assert_int_equal(pass, 6);
}

/* Whatever the policy, either copy of it, says of thaw and status. */
static void thaw_anyway(void **state)
{
	static const uint32_t ops[] = {OP_fsfreeze_thaw, OP_fsfreeze_status};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
		struct verdict v;

		set_policy(f, POLICY_DENY, 1ull << ops[i]);
		f->w->freeze.state = FS_THAWED;
		v = decide(f, ops[i], FRAME_REFUSED);
		assert_refused(&v, REASON_EXPLICIT_DENY, ERR_NOT_FOUND);
		for (int s = FS_FREEZING; s < FS_STATES; s++) {
			f->w->freeze.state = (enum fs_state)s;
			v = decide(f, ops[i], FRAME_REFUSED);
			assert_true(v.allowed);
			assert_int_equal(v.reason, REASON_WHILE_FROZEN);
			v = decide(f, ops[i], FRAME_REFUSED | FRAME_BAD_ARGS);
			assert_refused(&v, REASON_EXPLICIT_DENY, ERR_NOT_FOUND);
		}
		/* What is allowed anyway keeps its reason. */
		set_policy(f, POLICY_ALLOW, EVERYTHING);
		v = decide(f, ops[i], 0);
		assert_true(v.allowed);
		assert_int_equal(v.reason, REASON_RULE);
		v = decide(f, ops[i], FRAME_BAD_ARGS);
		assert_refused(&v, REASON_ARGUMENTS, ERR_GENERIC);
	}
}

/* All states but one: also while it freezes and thaws. */
static void every_state_but_thawed(void **state)
{
	struct fixture *f = *state;

	set_policy(f, POLICY_ALLOW, EVERYTHING);
	for (int s = 0; s < FS_STATES; s++) {
		struct verdict v;

		f->w->freeze.state = (enum fs_state)s;
		v = decide(f, OP_get_osinfo, 0);
		assert_int_equal(v.allowed, s == FS_THAWED);
		v = decide(f, OP_fsfreeze_freeze_list, 0);
		assert_int_equal(v.allowed, s == FS_THAWED);
	}
}

/*
 * Everything is wrong at once, and then one thing after the other is put right: what is
 * named is always the first. A disabled command is so called even if its arguments are
 * wrong (protocol 1.7).
 */
static void order_of_checks(void **state)
{
	struct fixture *f = *state;
	struct op row = *op_by_number(OP_get_osinfo);
	const uint16_t marks = FRAME_REFUSED | FRAME_BAD_ARGS;
	struct verdict v;

	row.carrier = BY_NOBODY;
	f->w->freeze.state = FS_FROZEN;
	set_policy(f, 0, 0);
	v = decide_row(f, OP_get_osinfo, &row, marks);
	assert_refused(&v, REASON_FROZEN, ERR_NOT_FOUND);

	f->w->freeze.state = FS_THAWED;
	v = decide_row(f, OP_get_osinfo, &row, marks);
	assert_refused(&v, REASON_NO_RULE, ERR_NOT_FOUND);

	set_policy(f, POLICY_ALLOW, EVERYTHING);
	v = decide_row(f, OP_get_osinfo, &row, marks);
	assert_refused(&v, REASON_FRONTEND, ERR_NOT_FOUND);

	v = decide_row(f, OP_get_osinfo, &row, FRAME_BAD_ARGS);
	assert_refused(&v, REASON_ARGUMENTS, ERR_GENERIC);

	v = decide_row(f, OP_get_osinfo, &row, 0);
	assert_refused(&v, REASON_NOT_SUPPORTED, ERR_NOT_FOUND);

	row.carrier = BY_INSPECTOR;
	v = decide_row(f, OP_get_osinfo, &row, 0);
	assert_true(v.allowed);
}

/* Skew is seen although something else was the reason. */
static void skew_behind_another_reason(void **state)
{
	struct fixture *f = *state;
	struct verdict v;

	f->w->freeze.state = FS_FROZEN;
	set_policy(f, 0, 0);
	v = decide(f, OP_get_osinfo, 0);
	assert_refused(&v, REASON_FROZEN, ERR_NOT_FOUND);
	assert_true(v.skew);
	v = decide(f, OP_get_osinfo, FRAME_REFUSED);
	assert_false(v.skew);
}

/* Every row, every combination of state, policy and marks: allowed only if all agree. */
static void table_walk(void **state)
{
	struct fixture *f = *state;

	for (uint32_t n = op_after(OP_NONE); n != OP_NONE; n = op_after(n)) {
		const struct op *op = op_by_number(n);

		for (uint32_t bits = 0; bits < 16; bits++) {
			bool allow = bits & 1, freeze = bits & 2;
			uint16_t flags = (bits & 4 ? FRAME_REFUSED : 0) |
					 (bits & 8 ? FRAME_BAD_ARGS : 0);
			bool expected = allow && !flags && op->carrier != BY_NOBODY;
			struct verdict v;

			/* Then nothing but their arguments can be wrong with them. */
			if (freeze)
				expected = op->flags & OPF_FROZEN_OK &&
					   !(flags & FRAME_BAD_ARGS);

			f->w->freeze.state = freeze ? FS_FROZEN : FS_THAWED;
			set_policy(f, allow ? POLICY_ALLOW : POLICY_DENY, 1ull << n);
			v = decide(f, n, flags);
			assert_int_equal(v.allowed, expected);
			assert_int_equal(v.skew, allow != !(flags & FRAME_REFUSED));
			if (!expected)
				assert_true(v.cls != ERR_NONE && v.reason != REASON_RULE);
		}
	}
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	static const struct CMUnitTest tests[] = {
		WITH(allowed),
		WITH(no_rule),
		WITH(explicit_deny),
		WITH(frontend_let_it_pass),
		WITH(frontend_refused_alone),
		WITH(bad_arguments),
		WITH(not_in_this_build),
		WITH(frozen),
		WITH(thaw_anyway),
		WITH(every_state_but_thawed),
		WITH(order_of_checks),
		WITH(skew_behind_another_reason),
		WITH(table_walk),
	};

	return cmocka_run_group_tests_name("gate", tests, NULL, NULL);
}
