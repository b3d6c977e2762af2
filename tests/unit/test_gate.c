/*
 * tests/unit/test_gate.c - what the one door says, and in which order it looks
 *
 * Runs in:   a test
 * Input:     every operation, states and policies set up by hand; requests as frames
 * May touch: memory; socket pairs in the place of writer and frontend
 * Must not:  act: deciding has no effect, and what is asked for is not there
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "ipc/note.h"
#include "tests/lib/trail.h"

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
	if (!f->w)
		return -1;
	f->w->gen = generation_blank();
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	generation_drop(&f->w->gen);
	wbuf_free(&f->image);
	free(f->w);
	free(f);
	return 0;
}

/* A policy of one rule; without EFFECT of none. */
static void set_policy(struct fixture *f, enum policy_effect effect, uint64_t ops)
{
	policy_of_ops(&f->w->gen->policy, &f->image, effect, ops);
}

static const char *rule_of(const struct fixture *f, const struct verdict *v)
{
	const struct image_rule *rule = policy_rule(&f->w->gen->policy, &v->policy);

	return rule ? policy_text(&f->w->gen->policy, rule->name) : NULL;
}

static struct verdict decide_row(struct fixture *f, uint32_t number, const struct op *op,
				 uint16_t flags)
{
	static const uint64_t args[64]; /* of any command: nothing is set */
	struct asked q = {
		.gen = f->w->gen,
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

/* ---- what cannot be recorded ---- */

#define LEGACY "[policy]\nbase = legacy\n"

struct recorded {
	struct trail trail;
	struct worker *w;
	int client; /* the frontend's end */
	uint32_t id;
	struct wbuf wire;
	uint8_t buf[FRAME_MAX];
	char text[FRAME_MAX + 1];
};

static int record_setup(void **state, const char *policy)
{
	struct recorded *r = calloc(1, sizeof(*r));
	int pair[2];

	if (!r)
		return -1;
	*state = r;
	r->wire = wbuf_growing(64 * 1024);
	if (trail_open(&r->trail, policy) < 0 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	r->w = r->trail.w;
	r->w->frontend.source.fd = pair[0];
	r->client = pair[1];
	return 0;
}

static int required_setup(void **state)
{
	return record_setup(state, LEGACY "[audit]\nrequired = yes\n");
}

static int usual_setup(void **state)
{
	return record_setup(state, LEGACY);
}

static int record_teardown(void **state)
{
	struct recorded *r = *state;

	close_p(&r->w->frontend.source.fd);
	close_p(&r->client);
	trail_close(&r->trail);
	wbuf_free(&r->wire);
	free(r);
	return 0;
}

static void ask(struct recorded *r, uint32_t number, const void *args)
{
	const struct msg_request_head head = {.session = V_U64(3)};
	struct frame frame = {
		.type = FRAME_REQUEST,
		.op = (uint16_t)number,
		.request = ++r->id,
	};

	wbuf_free(&r->wire);
	schema_put(&r->wire, &schema_request_head, &head);
	schema_put(&r->wire, op_by_number(number)->args, args);
	frame.body = r->wire.p;
	frame.len = (uint32_t)r->wire.len;
	assert_int_equal(gate_request(r->w, &frame), 0);
}

/* A change, though of a file that is not there: if it is allowed, that is the answer. */
static void change(struct recorded *r)
{
	ask(r, OP_file_close, &(struct msg_file_handle){.handle = V_INT(1000)});
}

/* The error that the client is told; NULL: nothing. */
static const char *reply(struct recorded *r)
{
	struct frame frame;
	struct err e;

	if (frame_recv(r->client, r->buf, &frame) != FRAME_OK)
		return NULL;
	assert_int_equal(frame.type, FRAME_REPLY);
	assert_int_equal(frame.flags, FRAME_ERROR);
	err_get(&e, frame.body, frame.len);
	snprintf(r->text, sizeof(r->text), "%s", e.desc);
	return r->text;
}

static void assert_refusal(struct recorded *r)
{
	assert_string_equal(reply(r), "Command guest-file-close has been disabled: it "
				      "cannot be recorded at present");
	assert_null(reply(r));
}

/* The next record is number SEQ, an EVENT, and has PART; and nothing was dropped. */
static void recorded(struct recorded *r, uint64_t seq, const char *event,
		     const char *part)
{
	const char *line = trail_next(&r->trail);
	char text[64];

	snprintf(text, sizeof(text), "\"POSTERN_EVENT\": \"%s\"", event);
	trail_has(line, text);
	trail_has(line, part);
	trail_lacks(line, "DROPPED");
	assert_int_equal(trail_number(line, "POSTERN_SEQ"), seq);
}

/* It is refused and that is recorded, as if the attempt to allow it had never been. */
static void refused_and_recorded(struct recorded *r, uint64_t seq)
{
	recorded(r, seq, "decision", "\"POSTERN_REASON\": \"audit-unavailable\"");
	trail_has(r->trail.line, "\"POSTERN_DECISION\": \"deny\"");
	trail_has(r->trail.line, "\"POSTERN_COMMAND\": \"guest-file-close\"");
	recorded(r, seq + 1, "complete", "\"POSTERN_RESULT\": \"refused\"");
}

static void allowed_and_recorded(struct recorded *r, uint64_t seq)
{
	assert_string_equal(reply(r), "handle '1000' has not been found");
	recorded(r, seq, "decision", "\"POSTERN_DECISION\": \"allow\"");
	recorded(r, seq + 1, "complete", "\"POSTERN_RESULT\": \"failed\"");
	assert_null(trail_next(&r->trail));
}

/* With `required = yes` a change waits for nothing: it is recorded now, or not done. */
static void required_and_not_taken(void **state)
{
	struct recorded *r = *state;
	int writer;

	change(r);
	allowed_and_recorded(r, 1);
	writer = trail_away(&r->trail);
	change(r);
	assert_refusal(r);
	assert_null(trail_next(&r->trail));
	trail_back(&r->trail, writer);
	refused_and_recorded(r, 3);
	assert_null(trail_next(&r->trail));
	assert_int_equal(r->w->state->held.dropped, 0);
	change(r);
	allowed_and_recorded(r, 5);
}

/* The writer's last record did not get into the file: the same. */
static void required_and_broken(void **state)
{
	struct recorded *r = *state;

	r->w->sink.broken = true;
	change(r);
	assert_refusal(r);
	/* What may be lost is tried: that is how one learns that it is not. */
	refused_and_recorded(r, 1);
	assert_null(trail_next(&r->trail));
	r->w->sink.broken = false;
	change(r);
	allowed_and_recorded(r, 3);
}

/* Nowhere is a record either. */
static void required_and_no_place(void **state)
{
	struct recorded *r = *state;

	r->w->sink.format = SINK_NOTHING;
	change(r);
	assert_refusal(r);
	assert_null(trail_next(&r->trail));
}

/* Nothing more is held of changes. ACT's room is full to the last byte. */
static void fill_changes(struct recorded *r)
{
	struct packet packet = {
		.kind = HELD_ACT,
		.p = (const uint8_t *)r->trail.line,
		.len = 4096,
	};

	for (; packet.len; packet.len /= 2)
		while (held_put(&r->w->state->held, &packet, 0))
			;
}

/* Take what fill_changes left. */
static void forget_changes(struct recorded *r, int writer)
{
	char line[SINK_LINE_MAX];
	struct sink *sink = &r->w->sink;
	struct held *held = &r->w->state->held;

	sink->writer.fd = writer;
	while (held->of_kind[HELD_ACT]) {
		sink_release(sink);
		while (held->of_kind[HELD_ACT] &&
		       recv(r->trail.out, line, sizeof(line), MSG_DONTWAIT) > 0)
			;
	}
}

/* The next record that is one, behind the filling. */
static void skip_filling(struct recorded *r)
{
	char c[64];

	while (recv(r->trail.out, c, sizeof(c), MSG_DONTWAIT | MSG_PEEK) > 0 &&
	       c[sizeof(struct sink_order)] != '{')
		recv(r->trail.out, c, sizeof(c), MSG_DONTWAIT);
}

/* Otherwise it waits, as long as there is room; then it is refused all the same. */
static void not_required_and_no_room(void **state)
{
	struct recorded *r = *state;
	int writer = trail_away(&r->trail);

	change(r);
	assert_string_equal(reply(r), "handle '1000' has not been found");
	trail_back(&r->trail, writer);
	recorded(r, 1, "decision", "\"POSTERN_DECISION\": \"allow\"");
	recorded(r, 2, "complete", "\"POSTERN_RESULT\": \"failed\"");

	writer = trail_away(&r->trail);
	memset(r->trail.line, '-', sizeof(r->trail.line));
	fill_changes(r);
	change(r);
	assert_refusal(r);
	forget_changes(r, writer);
	sink_release(&r->w->sink);
	skip_filling(r);
	refused_and_recorded(r, 3);
	assert_null(trail_next(&r->trail));
	assert_int_equal(r->w->state->held.dropped, 0);
	change(r);
	allowed_and_recorded(r, 5);
}

/* Room for the ends is left: what was allowed is never without its completion. */
static void room_for_the_end(void **state)
{
	struct recorded *r = *state;
	const struct held *held = &r->w->state->held;
	uint32_t changes = 0;
	int writer = trail_away(&r->trail);
	const char *text;

	do {
		change(r);
		text = reply(r);
		changes++;
	} while (strstr(text, "not been found") && changes <= 5000);
	assert_in_range(changes, 100, 5000);
	assert_in_range(held->of_kind[HELD_ACT],
			held_room(HELD_ACT) - HELD_RESERVE - 2048,
			held_room(HELD_ACT) - HELD_RESERVE + 2048);
	assert_int_equal(held->dropped, 0);
	close_p(&writer);
}

/* A thaw is done whether that can be recorded or not. */
static void a_thaw_passes(void **state)
{
	struct recorded *r = *state;
	uint64_t dropped;
	int writer = trail_away(&r->trail);

	/* One is in progress: the request waits for its end. */
	r->w->freeze.state = FS_THAWING;
	r->w->freeze.step = STEP_RESCUE;
	ask(r, OP_fsfreeze_thaw, "");
	assert_null(reply(r));
	assert_true(request_under_way(r->w, OP_fsfreeze_thaw));
	assert_true(held_waits(&r->w->state->held, false));
	/* Without any room as well; then it is counted. */
	memset(r->trail.line, '-', sizeof(r->trail.line));
	fill_changes(r);
	dropped = r->w->state->held.dropped;
	ask(r, OP_fsfreeze_thaw, "");
	assert_null(reply(r));
	assert_int_equal(r->w->state->held.dropped, dropped + 1);
	assert_int_equal(r->w->audit.seq, 2);
	close_p(&writer);
}

/* What changes nothing passes; its record is kept, or in the end counted. */
static void a_read_passes(void **state)
{
	struct recorded *r = *state;
	const struct msg_file_seek args = {
		.handle = V_INT(1000),
		.offset = V_INT(0),
		.whence = {.v = 0, .set = true},
	};
	int writer = trail_away(&r->trail);

	ask(r, OP_file_seek, &args);
	assert_string_equal(reply(r), "handle '1000' has not been found");
	trail_back(&r->trail, writer);
	recorded(r, 1, "decision", "\"POSTERN_DECISION\": \"allow\"");
	recorded(r, 2, "complete", "\"POSTERN_RESULT\": \"failed\"");

	writer = trail_away(&r->trail);
	memset(r->trail.line, '-', sizeof(r->trail.line));
	fill_changes(r);
	ask(r, OP_get_host_name, "");
	assert_null(reply(r));
	assert_true(request_under_way(r->w, OP_get_host_name));
	assert_int_equal(r->w->state->held.dropped, 0);
	close_p(&writer);
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
#define RECORDED(test, how) \
	cmocka_unit_test_setup_teardown(test, how##_setup, record_teardown)
		RECORDED(required_and_not_taken, required),
		RECORDED(required_and_broken, required),
		RECORDED(required_and_no_place, required),
		RECORDED(not_required_and_no_room, usual),
		RECORDED(room_for_the_end, usual),
		RECORDED(a_thaw_passes, required),
		RECORDED(a_read_passes, required),
	};

	return cmocka_run_group_tests_name("gate", tests, NULL, NULL);
}
