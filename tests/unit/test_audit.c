/*
 * tests/unit/test_audit.c - records as they stand in the trail, and floods of them
 *
 * Runs in:   a test
 * Input:     requests, verdicts and notes made up by hand
 * May touch: a socket pair in the place of the writer
 * Must not:  start the writer
 */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "ipc/note.h"
#include "tests/lib/trail.h"

struct fixture {
	struct trail trail;
	struct worker *w; /* of the trail */
	struct wbuf wire;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	*state = f;
	f->wire = wbuf_growing(256 * 1024);
	if (trail_open(&f->trail,
		       "[policy]\nbase = safe\n\n[rule \"no-root\"]\neffect = deny\n"
		       "command = guest-set-user-password\n") < 0)
		return -1;
	f->w = f->trail.w;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	trail_close(&f->trail);
	wbuf_free(&f->wire);
	free(f);
	return 0;
}

static const char *next_line(struct fixture *f)
{
	return trail_next(&f->trail);
}

/* A record of the agent's own. */
static int own(struct fixture *f, struct msg_audit *r)
{
	return audit_write(&f->w->audit, EVENT_START, AUDIT_HOW(OWN, KEEP), r, "x");
}

/* ---- the record ---- */

static void one_line_of_json(void **state)
{
	struct fixture *f = *state;
	struct msg_audit r = {.detail = v_str("a\nb\"\xff")};

	audit_write(&f->w->audit, EVENT_CHILD_RESTART, AUDIT_HOW(OWN, KEEP), &r, "%s: %d",
		    "message\n", 7);
	assert_string_equal(
		next_line(f),
		"{\"MESSAGE\": \"message\\n: 7\", "
		"\"MESSAGE_ID\": \"8f090c1ea0dc467dab5caa9b99c3cbf1\", \"PRIORITY\": 4, "
		"\"POSTERN_TIME_USEC\": , \"POSTERN_EVENT\": \"child-restart\", "
		"\"POSTERN_SEQ\": 1, \"POSTERN_BOOT_ID\": \"b\", "
		"\"POSTERN_INSTANCE\": \"i\", \"POSTERN_DETAIL\": \"a\\nb\\\"\\uFFFD\"}");
	assert_null(next_line(f));
}

static void numbered(void **state)
{
	struct fixture *f = *state;
	char seq[32];

	for (int i = 1; i <= 5; i++) {
		assert_int_equal(own(f, &(struct msg_audit){0}), 0);
		snprintf(seq, sizeof(seq), "\"POSTERN_SEQ\": %d,", i);
		trail_has(next_line(f), seq);
	}
}

/* Leave no room for a change: packets of SIZE bytes until there is no more. */
static void fill(struct fixture *f, enum held_kind kind, uint64_t session, size_t size)
{
	const struct packet packet = {
		.kind = kind,
		.session = session,
		.p = (const uint8_t *)f->trail.line,
		.len = size,
	};

	while (held_put(&f->w->state->held, &packet, 0) && !f->w->state->held.dropped &&
	       !f->w->state->held.lines_dropped)
		;
}

/* What cannot be written is counted, and the next record that goes out says so, once. */
static void lost_records_are_counted(void **state)
{
	struct fixture *f = *state;
	struct held *held = &f->w->state->held;
	struct msg_audit r = {0};
	const char *line;
	int writer = trail_away(&f->trail);

	fill(f, HELD_ACT, 1, 1000);
	fill(f, HELD_ACT, 1, 1);
	for (int i = 0; i < 3; i++)
		assert_int_equal(audit_write(&f->w->audit, EVENT_START,
					     AUDIT_HOW(ACT, KEEP), &r, "x"),
				 -1);
	assert_int_equal(held->dropped, 3);
	held->used = 0; /* it was written, as it were */
	memset(held->of_kind, 0, sizeof(held->of_kind));
	f->w->sink.writer.fd = writer;

	assert_int_equal(own(f, &r), 0);
	line = next_line(f);
	trail_has(line, "\"POSTERN_DROPPED\": 3");
	trail_has(line, "\"POSTERN_SEQ\": 4");
	assert_int_equal(held->dropped, 0);
	r = (struct msg_audit){0};
	assert_int_equal(own(f, &r), 0);
	trail_lacks(next_line(f), "DROPPED");
}

/* One that was only offered, or for now, is as if it had never been. */
static void not_taken_is_not_lost(void **state)
{
	struct fixture *f = *state;
	struct msg_audit r = {0};
	int writer = trail_away(&f->trail);

	assert_int_equal(own(f, &r), 0);
	fill(f, HELD_ACT, 1, 1000);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(audit_write(&f->w->audit, EVENT_START,
					     AUDIT_HOW(ACT, OFFER), &r, "x"),
				 -1);
		assert_int_equal(audit_write(&f->w->audit, EVENT_START,
					     AUDIT_HOW(ACT, NOW), &r, "x"),
				 -1);
		/* There is room, but that is not now. */
		assert_int_equal(audit_write(&f->w->audit, EVENT_START,
					     AUDIT_HOW(OWN, NOW), &r, "x"),
				 -1);
	}
	assert_int_equal(f->w->state->held.dropped, 0);
	assert_int_equal(own(f, &r), 0);
	assert_int_equal(f->w->audit.seq, 2);
	close_p(&writer);
}

/* For what changes the guest there is room that nothing else can fill. */
static void room_for_what_matters(void **state)
{
	struct fixture *f = *state;
	struct held *held = &f->w->state->held;
	struct packet packet = {
		.kind = HELD_ACT,
		.p = (const uint8_t *)f->trail.line,
		.len = 1000,
	};
	size_t kept = 0, used;
	int writer = trail_away(&f->trail);

	/* A flood of everything else, of one session and of many. */
	for (enum held_kind k = HELD_ACT + 1; k < HELD_KINDS; k++) {
		for (uint64_t session = 0; session < 2000; session++) {
			packet.kind = k;
			packet.session = session % 3 ? 7 : session;
			sink_put(&f->w->sink, &packet, SINK_KEEP);
		}
		assert_true(held->of_kind[k] > held_room(k) / 8 * 7);
	}
	packet.kind = HELD_ACT;
	while (sink_put(&f->w->sink, &packet, SINK_OFFER) == 0)
		;
	assert_in_range(held->of_kind[HELD_ACT],
			held_room(HELD_ACT) - HELD_RESERVE - 1024,
			held_room(HELD_ACT) - HELD_RESERVE);
	/* What was begun has room to end. */
	while (sink_put(&f->w->sink, &packet, SINK_KEEP) == 0)
		kept++;
	assert_in_range(held->of_kind[HELD_ACT], held_room(HELD_ACT) - 1023,
			held_room(HELD_ACT));
	assert_true(kept >= HELD_RESERVE / 1024);
	/* And it keeps it, whatever comes. */
	used = held->of_kind[HELD_ACT];
	for (enum held_kind k = HELD_ACT + 1; k < HELD_KINDS; k++)
		for (packet.kind = k, packet.session = 0; packet.session < 500;
		     packet.session++)
			sink_put(&f->w->sink, &packet, SINK_KEEP);
	assert_int_equal(held->of_kind[HELD_ACT], used);
	packet.len = SINK_LINE_MAX + 1;
	held->used = 0;
	memset(held->of_kind, 0, sizeof(held->of_kind));
	assert_int_equal(sink_put(&f->w->sink, &packet, SINK_KEEP), -1);
	close_p(&writer);
}

/* One that is too long for a line is lost like any other. */
static void too_long_a_record(void **state)
{
	struct fixture *f = *state;
	char *text = calloc(1, AUDIT_LINE_MAX);
	struct msg_audit r = {0};

	memset(text, 1, AUDIT_LINE_MAX - 1); /* each byte takes six */
	r.detail = v_str(text);
	assert_int_equal(own(f, &r), -1);
	assert_int_equal(f->w->state->held.dropped, 1);
	assert_null(next_line(f));
	free(text);
}

/* Texts of a host that makes them as long as it can, and each byte longer. */
static void longest_records_fit(void **state)
{
	struct fixture *f = *state;
	static char bad[65536], quotes[65536];
	const struct v_str path = {.p = bad, .len = sizeof(bad), .set = true};
	const struct v_str text = {.p = quotes, .len = 100, .set = true};
	struct v_str arg[1000];
	struct verdict v = {.allowed = true, .reason = REASON_RULE};
	const struct policy_object object = {.path = path, .exists = true};
	const struct msg_file_open open = {.path = path, .mode = path};
	const struct asked q = {
		.gen = f->w->gen,
		.number = OP_file_open,
		.op = op_by_number(OP_file_open),
		.args = &open,
		.object = &object,
	};
	const struct msg_request_head head = {
		.session = V_U64(UINT64_MAX),
		.client_id = path,
	};
	const struct msg_spawn spawn = {
		.path = path,
		.argv = {.v = arg, .n = ARRAY_SIZE(arg), .set = true},
		.user = path,
	};
	const struct request rq = {
		.serial = UINT64_MAX, .op = OP_exec, .gen = f->w->gen, .rule = -1};
	struct rbuf args;

	memset(bad, 1, sizeof(bad));
	memset(quotes, '"', sizeof(quotes));
	for (size_t i = 0; i < ARRAY_SIZE(arg); i++)
		arg[i] = text;
	schema_put(&f->wire, q.op->args, &open);
	assert_false(f->wire.bad);
	sink_hold(&f->w->sink);
	for (enum sink_format format = SINK_JSON; format <= SINK_JOURNAL; format++) {
		f->w->sink.format = format;
		args = rbuf_of(f->wire.p, f->wire.len);
		assert_int_equal(record_decision(f->w, &q, &v, &head, &args, 1), 0);
		record_exec_start(f->w, &rq, &spawn,
				  &(struct msg_spawned){.pid = V_INT(1), .unit = path});
	}
	assert_int_equal(f->w->audit.seq, 4);
	assert_int_equal(f->w->state->held.dropped, 0);
}

static void instance_is_drawn(void **state)
{
	struct fixture *f = *state;
	struct audit one, two;

	assert_int_equal(audit_init(&one, &f->w->sink, NULL), 0);
	assert_int_equal(audit_init(&two, &f->w->sink, NULL), 0);
	assert_int_equal(strlen(one.instance), 36);
	assert_string_not_equal(one.instance, two.instance);
	assert_string_equal(one.boot_id, two.boot_id);
}

/* ---- a decision ---- */

/* Record the decision V on the arguments ARGS of operation NUMBER. */
static const char *decision(struct fixture *f, uint32_t number, const void *args,
			    struct verdict *v)
{
	struct asked q = {.gen = f->w->gen, .number = number, .op = op_by_number(number)};
	const struct msg_request_head head = {
		.session = V_U64(3),
		.client_id = v_str("\"id\n\""),
	};
	struct rbuf r;

	wbuf_free(&f->wire);
	schema_put(&f->wire, q.op->args, args);
	assert_false(f->wire.bad);
	r = rbuf_of(f->wire.p, f->wire.len);
	record_decision(f->w, &q, v, &head, &r, 8);
	/* The arguments are still to be decoded by whoever acts. */
	assert_int_equal(rbuf_left(&r), f->wire.len);
	return next_line(f);
}

static void denied_password(void **state)
{
	const struct msg_set_password args = {
		.username = v_str("root"),
		.password = {.p = "hunter2", .len = 7, .set = true},
		.crypted = V_BOOL(false),
	};
	struct verdict v = {
		.reason = REASON_EXPLICIT_DENY,
		.skew = true,
		.policy = {.rule = 0}, /* denies come first */
	};
	const char *line = decision(*state, OP_set_user_password, &args, &v);

	trail_has(line, "\"POSTERN_DECISION\": \"deny\"");
	trail_has(line, "\"POSTERN_REASON\": \"explicit-deny\"");
	trail_has(line, "\"POSTERN_RULE\": \"no-root\"");
	trail_has(line, "\"POSTERN_RULE_FILE\": \"test.conf\"");
	trail_has(line, "\"POSTERN_RULE_LINE\": 4");
	trail_has(line, "\"POSTERN_POLICY_SHA256\": \"d16e57\"");
	trail_has(line, "\"POSTERN_SKEW\": true");
	trail_has(line, "\"POSTERN_REQUEST\": 8");
	trail_has(line, "\"POSTERN_SESSION\": 3");
	trail_has(line, "\"POSTERN_CLIENT_ID\": \"\\\"id\\n\\\"\"");
	trail_has(line, "\"POSTERN_COMMAND\": \"guest-set-user-password\"");
	trail_has(line, "\"POSTERN_ARGS\": \"{\\\"username\\\": \\\"root\\\", "
			"\\\"password\\\": \\\"<secret>\\\", "
			"\\\"crypted\\\": false}\"");
	trail_lacks(line, "hunter2");
	trail_lacks(line, "aHVudGVyMg");
}

static void allowed_by_a_profile(void **state)
{
	struct fixture *f = *state;
	struct verdict v = {.allowed = true, .reason = REASON_RULE};
	const char *line;

	policy_decide(&f->w->gen->policy, &(struct policy_question){.op = OP_get_osinfo},
		      &v.policy);
	line = decision(f, OP_get_osinfo, "", &v);

	trail_has(line, "\"POSTERN_EVENT\": \"decision\"");
	trail_has(line, "\"POSTERN_DECISION\": \"allow\"");
	trail_has(line, "\"POSTERN_RULE\": \"info\"");
	trail_has(line, "\"POSTERN_ARGS\": \"{}\"");
	trail_has(line, "\"POSTERN_RULE_FILE\": \"builtin:safe\"");
	trail_lacks(line, "SKEW");
}

static void long_text_is_cut(void **state)
{
	char *path = malloc(100000);
	struct msg_file_open args = {.path = {.p = path, .len = 100000, .set = true}};
	struct verdict v = {.reason = REASON_NO_RULE, .policy.rule = -1};
	const char *line;

	memset(path, '"', 100000);
	line = decision(*state, OP_file_open, &args, &v);
	free(path);
	trail_has(line, "\"POSTERN_ARGS\": \"{\\\"path\\\": \\\"\\\\\\\"");
	trail_has(line, "... (100000 bytes)\\\"}\"");
	trail_has(line, "\"POSTERN_DECISION\": \"deny\"");
	trail_lacks(line, "ARGS_CUT");
}

/* Arguments longer than a record takes are cut, which is said, and it stays one line. */
static void many_arguments_are_cut(void **state)
{
	struct v_str arg[2000];
	const struct msg_exec args = {
		.path = v_str("/bin/true"),
		.arg = {.v = arg, .n = ARRAY_SIZE(arg), .set = true},
	};
	struct verdict v = {.reason = REASON_NO_RULE, .policy.rule = -1};
	const char *line, *text;

	for (size_t i = 0; i < ARRAY_SIZE(arg); i++)
		arg[i] = v_str("\n");
	line = decision(*state, OP_exec, &args, &v);
	trail_has(line, "\"POSTERN_ARGS_CUT\": true");
	trail_has(line, "\"POSTERN_DECISION\": \"deny\"");
	text = strstr(line, "{\\\"path\\\": \\\"/bin/true\\\"");
	assert_non_null(text);
	assert_true(strlen(text) < 4 * AUDIT_ARGS_MAX);
	assert_int_equal(line[strlen(line) - 1], '}');
}

/* With wrong arguments there are none to show. */
static void no_arguments(void **state)
{
	struct fixture *f = *state;
	struct asked q = {
		.gen = f->w->gen, .number = OP_exec, .op = op_by_number(OP_exec)};
	const struct msg_request_head head = {.session = V_U64(1)};
	struct verdict v = {.reason = REASON_ARGUMENTS};
	const char *line;

	record_decision(f->w, &q, &v, &head, NULL, 1);
	line = next_line(f);
	trail_has(line, "\"POSTERN_REASON\": \"arguments\"");
	trail_lacks(line, "POSTERN_ARGS");
	trail_lacks(line, "CLIENT_ID");
}

static void abandoned_completion(void **state)
{
	struct fixture *f = *state;
	const struct request rq = {
		.serial = 8,
		.op = OP_get_osinfo,
		.session = 3,
		.abandoned = true,
		.began_usec = now_usec(),
	};
	const char *line;

	record_complete(f->w, &rq, "failed", EIO);
	line = next_line(f);
	trail_has(line, "\"POSTERN_EVENT\": \"complete\"");
	trail_has(line, "\"POSTERN_RESULT\": \"failed\"");
	trail_has(line, "\"POSTERN_ERRNO\": 5");
	trail_has(line, "\"POSTERN_ABANDONED\": true");
	trail_has(line, "\"POSTERN_DURATION_USEC\": ");
	trail_has(line, "\"POSTERN_REQUEST\": 8");
}

/* ---- the frontend's word ---- */

static int session_note(struct fixture *f, uint8_t event, uint64_t count,
			const char *text)
{
	struct msg_session_note note = {
		.event = {.v = event, .set = true},
		.session = V_U64(4),
		.count = V_U64(count),
		.text = v_str(text),
	};

	wbuf_free(&f->wire);
	schema_put(&f->wire, &schema_session_note, &note);
	return record_session(f->w, &(struct frame){.type = FRAME_SESSION,
						    .body = f->wire.p,
						    .len = (uint32_t)f->wire.len});
}

static void notes_are_its_word(void **state)
{
	struct fixture *f = *state;
	char text[NOTE_TEXT_MAX + 100] = "";
	const char *line;

	memset(text, 't', sizeof(text) - 1);
	assert_int_equal(session_note(f, SESSION_MALFORMED, 9, text), 0);
	line = next_line(f);
	trail_has(line, "\"POSTERN_EVENT\": \"protocol-error\"");
	trail_has(line, "\"POSTERN_REPORTED_BY\": \"frontend\"");
	trail_has(line, "\"POSTERN_SESSION\": 4");
	trail_has(line, "\"POSTERN_REPEAT\": 9");
	text[NOTE_TEXT_MAX] = '\0';
	trail_has(line, text);
	text[NOTE_TEXT_MAX] = 't';
	text[NOTE_TEXT_MAX + 1] = '\0';
	trail_lacks(line, text);

	assert_int_equal(session_note(f, SESSION_CONNECT, 0, ""), 0);
	line = next_line(f);
	trail_has(line, "\"POSTERN_EVENT\": \"connect\"");
	trail_lacks(line, "DETAIL");
	trail_lacks(line, "REPEAT");
}

/* A note on session commands, as the frontend counts them. OUTCOME < 0: none. */
static int count_note(struct fixture *f, int64_t command, int outcome, uint64_t count)
{
	const struct msg_session_note note = {
		.event = {.v = SESSION_COMMANDS, .set = true},
		.session = V_U64(4),
		.count = V_U64(count),
		.text = v_str(""),
		.command = V_INT(command),
		.outcome = {.v = (uint8_t)outcome, .set = outcome >= 0},
	};

	wbuf_free(&f->wire);
	schema_put(&f->wire, &schema_session_note, &note);
	return record_session(f->w, &(struct frame){.type = FRAME_SESSION,
						    .body = f->wire.p,
						    .len = (uint32_t)f->wire.len});
}

static void counted_commands(void **state)
{
	static const struct {
		enum session_outcome outcome;
		const char *decision, *reason;
	} cases[] = {
		{SESSION_ANSWERED, "allow", "rule"},
		{SESSION_REFUSED, "deny", "explicit-deny"},
		{SESSION_WRONG, "error", "arguments"},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *line;
		char part[64];

		assert_int_equal(count_note(f, OP_ping, cases[i].outcome, 60), 0);
		line = next_line(f);
		trail_has(line, "\"POSTERN_EVENT\": \"decision\"");
		trail_has(line, "\"POSTERN_COMMAND\": \"guest-ping\"");
		trail_has(line, "\"POSTERN_REPORTED_BY\": \"frontend\"");
		trail_has(line, "\"POSTERN_REPEAT\": 60");
		trail_has(line, "\"POSTERN_SESSION\": 4");
		snprintf(part, sizeof(part), "\"POSTERN_DECISION\": \"%s\"",
			 cases[i].decision);
		trail_has(line, part);
		snprintf(part, sizeof(part), "\"POSTERN_REASON\": \"%s\"",
			 cases[i].reason);
		trail_has(line, part);
	}
}

/* It speaks for session commands alone, and only in full. */
static void no_count_of_others(void **state)
{
	struct fixture *f = *state;

	for (uint32_t n = op_after(OP_NONE); n != OP_NONE; n = op_after(n)) {
		bool session = op_by_number(n)->groups & GROUP_SESSION;

		f->w->notes.level_ms = 0;
		assert_int_equal(count_note(f, n, SESSION_ANSWERED, 1), session ? 0 : -1);
		assert_int_equal(!next_line(f), !session);
	}
	assert_int_equal(count_note(f, 0, SESSION_ANSWERED, 1), -1);
	assert_int_equal(count_note(f, -1, SESSION_ANSWERED, 1), -1);
	assert_int_equal(count_note(f, OP_MAX, SESSION_ANSWERED, 1), -1);
	assert_int_equal(count_note(f, INT64_MAX, SESSION_ANSWERED, 1), -1);
	assert_int_equal(count_note(f, (1LL << 32) + OP_ping, SESSION_ANSWERED, 1), -1);
	assert_int_equal(count_note(f, OP_ping, -1, 1), -1);
	assert_int_equal(count_note(f, OP_ping, SESSION_OUTCOMES, 1), -1);
	assert_null(next_line(f));
}

static void no_note_at_all(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(session_note(f, SESSION_COMMANDS, 0, ""), -1);
	assert_int_equal(session_note(f, SESSION_COMMANDS + 1, 0, ""), -1);
	assert_int_equal(session_note(f, SESSION_CONNECT, 0, ""), 0);
	f->wire.len--;
	assert_int_equal(
		record_session(f->w, &(struct frame){.body = f->wire.p,
						     .len = (uint32_t)f->wire.len}),
		-1);
	assert_non_null(next_line(f));
	assert_null(next_line(f));
}

/* A flood of notes is cut short, and the next one that passes says by how much. */
static void flood_of_notes(void **state)
{
	struct fixture *f = *state;

	for (int n = 0; f->w->notes_dropped < 10; n++) {
		uint64_t lost = f->w->notes_dropped;

		assert_true(n < 10 * NOTES_BURST);
		assert_int_equal(session_note(f, SESSION_CONNECT, 0, ""), 0);
		assert_int_equal(next_line(f) == NULL, f->w->notes_dropped > lost);
	}
	assert_int_equal(f->w->state->held.dropped, 0);
	f->w->notes.level_ms = 0; /* time passes */
	assert_int_equal(session_note(f, SESSION_CONNECT, 0, ""), 0);
	trail_has(next_line(f), "\"POSTERN_NOTES_DROPPED\": 10");
	assert_int_equal(session_note(f, SESSION_CONNECT, 0, ""), 0);
	trail_lacks(next_line(f), "NOTES_DROPPED");
}

/* So many at once; then so many a second, whatever was asked for in between. */
static void bucket(void **state)
{
	struct bucket b = {0};
	int n = 0;

	(void)state;
	while (bucket_take(&b, 5000))
		n++;
	assert_int_equal(n, NOTES_BURST);
	assert_false(bucket_take(&b, 5000 + 1000 / NOTES_PER_SEC - 1));
	for (n = 0; bucket_take(&b, 6000); n++)
		;
	assert_int_equal(n, NOTES_PER_SEC);
	/* A long silence saves up a burst, and no more. */
	for (n = 0; bucket_take(&b, 100000000); n++)
		;
	assert_int_equal(n, NOTES_BURST);
}

/* ---- the freeze ---- */

static void records_of_a_freeze(void **state)
{
	struct fixture *f = *state;
	struct freeze *z = &f->w->freeze;
	const char *line;

	z->n = 3;
	z->count = 2;
	z->points[0] = (char *)"/a";
	z->points[1] = (char *)"/b\"\xff"; /* this one could not be frozen */
	z->points[2] = (char *)"/c\"\xff";
	z->record->mark[0] = z->record->mark[2] = MARK_FROZEN;
	z->record->mark[1] = MARK_NOT;
	z->record->request = 7;
	record_freeze(f->w);
	line = next_line(f);
	trail_has(line, "\"POSTERN_EVENT\": \"freeze\"");
	trail_has(line, "\"POSTERN_REQUEST\": 7,");
	trail_has(line, "\"POSTERN_FS_COUNT\": 2,");
	trail_has(line, "\"POSTERN_FS_MOUNTS\": "
			"\"[\\\"/a\\\", \\\"/c\\\\\\\"\\\\uFFFD\\\"]\"");
	trail_lacks(line, "THAW_CAUSE");
	trail_lacks(line, "HOOK");
}

static void records_of_a_thaw(void **state)
{
	static const struct {
		enum thaw_cause cause;
		const char *event, *name;
	} cases[] = {
		{CAUSE_REQUEST, "thaw", "request"},
		{CAUSE_DEADLINE, "auto-thaw", "deadline"},
		{CAUSE_FAILURE, "auto-thaw", "failure"},
		{CAUSE_AGENT_LOST, "auto-thaw", "agent-lost"},
		{CAUSE_STOP, "auto-thaw", "stop"},
		{(enum thaw_cause)99, "auto-thaw", "none"},
	};
	struct fixture *f = *state;
	struct freeze *z = &f->w->freeze;

	z->count = 2;
	z->hook_path = "/hook";
	strcpy(z->hook_result, "ok");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char part[64];
		const char *line;

		z->cause = cases[i].cause;
		record_thaw(f->w);
		line = next_line(f);
		snprintf(part, sizeof(part), "\"POSTERN_EVENT\": \"%s\"", cases[i].event);
		trail_has(line, part);
		snprintf(part, sizeof(part), "\"POSTERN_THAW_CAUSE\": \"%s\"",
			 cases[i].name);
		trail_has(line, part);
		trail_has(line, "\"POSTERN_FS_COUNT\": 2,");
		trail_has(line, "\"POSTERN_HOOK\": \"/hook\"");
		trail_has(line, "\"POSTERN_HOOK_RESULT\": \"ok\"");
	}
}

/* A list that is too long for a record is cut between two mounts. */
static void many_mounts_in_a_record(void **state)
{
	struct fixture *f = *state;
	struct freeze *z = &f->w->freeze;
	char point[100];
	const char *line, *list, *end;

	memset(point, 'm', sizeof(point) - 1);
	point[sizeof(point) - 1] = '\0';
	z->n = z->count = SUPERBLOCKS_MAX;
	for (uint32_t i = 0; i < z->n; i++) {
		z->points[i] = point;
		z->record->mark[i] = MARK_FROZEN;
	}
	record_freeze(f->w);
	line = next_line(f);
	list = strstr(line, "POSTERN_FS_MOUNTS\": \"[");
	assert_non_null(list);
	end = strstr(list, "m\\\"]\"");
	assert_non_null(end);
	assert_in_range(end - list, FREEZE_MOUNTS_MAX - 300, FREEZE_MOUNTS_MAX + 400);
	trail_has(line, "\"POSTERN_FS_COUNT\": 1024,");
}

static void refuse_frozen(struct fixture *f, uint32_t number)
{
	struct asked q = {.gen = f->w->gen, .number = number, .op = op_by_number(number)};
	const struct msg_request_head head = {.session = V_U64(1)};
	struct verdict v = {.reason = REASON_FROZEN, .policy.rule = -1};

	/* As the gate does it. */
	v.repeat = repeat_of(f->w, &q, &v, NULL);
	if (!v.repeat)
		assert_int_equal(record_decision(f->w, &q, &v, &head, NULL, 1), 0);
	record_refused(f->w, &q, &v, &head, 1);
}

/* Equal refusals while frozen: the first is held, the others become one with a count. */
static void refusals_while_frozen(void **state)
{
	struct fixture *f = *state;
	const char *line;

	sink_hold(&f->w->sink);
	for (int i = 0; i < 5; i++)
		refuse_frozen(f, OP_exec);
	refuse_frozen(f, OP_get_osinfo);
	assert_null(next_line(f));
	record_release(f->w);
	sink_end(&f->w->sink);

	trail_has(next_line(f), "\"POSTERN_EVENT\": \"decision\"");
	trail_has(next_line(f), "\"POSTERN_EVENT\": \"complete\"");
	trail_has(next_line(f), "\"POSTERN_COMMAND\": \"guest-get-osinfo\"");
	trail_has(next_line(f), "\"POSTERN_COMMAND\": \"guest-get-osinfo\"");
	line = next_line(f);
	trail_has(line, "\"POSTERN_COMMAND\": \"guest-exec\"");
	trail_has(line, "\"POSTERN_REPEAT\": 4");
	trail_has(line, "\"POSTERN_REASON\": \"frozen\"");
	assert_null(next_line(f));

	/* The next freeze counts anew. */
	sink_hold(&f->w->sink);
	refuse_frozen(f, OP_exec);
	record_release(f->w);
	sink_end(&f->w->sink);
	trail_has(next_line(f), "\"POSTERN_EVENT\": \"decision\"");
	trail_has(next_line(f), "\"POSTERN_EVENT\": \"complete\"");
	assert_null(next_line(f));
}

/* What waited for the writer before the freeze goes out before what came in it. */
static void order_around_a_freeze(void **state)
{
	struct fixture *f = *state;
	struct sink *sink = &f->w->sink;
	struct msg_audit r = {0};
	int writer = trail_away(&f->trail);
	char seq[32];

	own(f, &r);
	sink_hold(sink);
	/* A change, and one of another session: the kinds share one order. */
	audit_write(&f->w->audit, EVENT_START, AUDIT_HOW(ACT, KEEP), &r, "x");
	sink->writer.fd = writer;
	r.session = V_U64(1);
	audit_write(&f->w->audit, EVENT_START, AUDIT_HOW(READ, KEEP), &r, "x");
	assert_null(next_line(f));
	trail_away(&f->trail); /* it is behind as the thaw comes */
	sink_release(sink);
	own(f, &r);
	sink->writer.fd = writer;
	own(f, &r);
	assert_null(next_line(f));
	sink_end(sink);
	for (int i = 1; i <= 5; i++) {
		snprintf(seq, sizeof(seq), "\"POSTERN_SEQ\": %d,", i);
		trail_has(next_line(f), seq);
	}
	assert_int_equal(f->w->state->held.used, 0);
	own(f, &r);
	trail_has(next_line(f), "\"POSTERN_SEQ\": 6,");
}

/* As the worker ends after a thaw: all that was held, and one more record. */
static void end_after_thaw(struct fixture *f)
{
	struct msg_audit r = {0};

	record_release(f->w);
	for (int i = 0; i < 10 && f->w->state->held.used; i++)
		sink_end(&f->w->sink);
	own(f, &r);
	sink_end(&f->w->sink);
	_exit(f->w->state->held.used != 0);
}

/* Wait for the next line of another process. */
static const char *wait_line(struct fixture *f)
{
	const char *line = next_line(f);

	if (line)
		return line;
	poll(&(struct pollfd){.fd = f->trail.out, .events = POLLIN}, 1, 5000);
	return next_line(f);
}

/*
 * What was dropped from what is held is counted, in the next record that is made, which
 * is held too; and so on. In the end every one was written or counted, and once.
 */
static void dropped_while_frozen(void **state)
{
	struct fixture *f = *state;
	struct held *held = &f->w->state->held;
	uint64_t written = 0, seen = 0, lost = 0, told = 0, last = 0;
	const char *line;
	int status;
	pid_t pid;

	sink_hold(&f->w->sink);
	while (told < 3) {
		struct msg_audit r = {0};

		assert_int_equal(own(f, &r), 0);
		written++;
		told += r.dropped.set;
	}
	pid = fork();
	if (pid == 0)
		end_after_thaw(f);
	while ((line = wait_line(f))) {
		uint64_t seq = trail_number(line, "POSTERN_SEQ");

		assert_true(seq > last);
		last = seq;
		lost += trail_number(line, "POSTERN_DROPPED");
		seen++;
		if (seq == written + 1)
			break;
	}
	assert_non_null(line);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_true(lost > 0);
	assert_int_equal(seen + lost, written + 1);
	assert_null(next_line(f));
	/* The child had a copy of what is held. */
	held->used = 0;
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	static const struct CMUnitTest tests[] = {
		WITH(one_line_of_json),
		WITH(numbered),
		WITH(lost_records_are_counted),
		WITH(not_taken_is_not_lost),
		WITH(room_for_what_matters),
		WITH(too_long_a_record),
		WITH(longest_records_fit),
		WITH(instance_is_drawn),
		WITH(denied_password),
		WITH(allowed_by_a_profile),
		WITH(long_text_is_cut),
		WITH(many_arguments_are_cut),
		WITH(no_arguments),
		WITH(abandoned_completion),
		WITH(notes_are_its_word),
		WITH(counted_commands),
		WITH(no_count_of_others),
		WITH(no_note_at_all),
		WITH(flood_of_notes),
		cmocka_unit_test(bucket),
		WITH(records_of_a_freeze),
		WITH(records_of_a_thaw),
		WITH(many_mounts_in_a_record),
		WITH(refusals_while_frozen),
		WITH(order_around_a_freeze),
		WITH(dropped_while_frozen),
	};

	return cmocka_run_group_tests_name("audit", tests, NULL, NULL);
}
