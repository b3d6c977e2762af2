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
#include "tests/lib/policy.h"
#include "worker/worker.h"

struct fixture {
	struct worker *w;
	int writer; /* where the writer would read */
	char line[SINK_LINE_MAX + 1];
	struct wbuf wire;
	struct wbuf image; /* of the policy */
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct sink *sink;
	int pair[2];

	if (!f || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	f->w = calloc(1, sizeof(*f->w));
	f->w->state = calloc(1, sizeof(*f->w->state));
	f->w->freeze.record = &f->w->state->freeze;
	f->writer = pair[1];
	f->wire = wbuf_growing(256 * 1024);
	sink = &f->w->sink;
	*state = f;
	if (loop_init(&f->w->loop) < 0 ||
	    sink_init(sink, &f->w->loop, -1, &f->w->state->held) < 0 ||
	    audit_init(&f->w->audit, sink, NULL) < 0)
		return -1;
	sink->source.fd = pair[0];
	/* What differs from run to run is fixed here. */
	strcpy(f->w->audit.boot_id, "b");
	strcpy(f->w->audit.instance, "i");
	policy_of_text(&f->w->policy, &f->image,
		       "[policy]\nbase = safe\n\n[rule \"no-root\"]\neffect = deny\n"
		       "command = guest-set-user-password\n");
	strcpy(f->w->policy_digest, "d16e57");
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	close_p(&f->w->sink.source.fd);
	close_p(&f->writer);
	timer_done(&f->w->loop, &f->w->sink.retry);
	loop_done(&f->w->loop);
	free(f->w->sink.head); /* one line at the most was kept */
	wbuf_free(&f->wire);
	wbuf_free(&f->image);
	free(f->w->state);
	free(f->w);
	free(f);
	return 0;
}

/* The next line, or NULL; its time is blanked out. */
static const char *next_line(struct fixture *f)
{
	ssize_t n = recv(f->writer, f->line, SINK_LINE_MAX, MSG_DONTWAIT);
	static const char mark[] = "\"POSTERN_TIME_USEC\": ";
	char *at, *end;

	if (n <= 0)
		return NULL;
	f->line[n] = '\0';
	assert_int_equal(f->line[0], SINK_AUDIT);
	assert_int_equal(f->line[n - 1], '\n');
	f->line[n - 1] = '\0';
	at = strstr(f->line, mark);
	assert_non_null(at);
	at += sizeof(mark) - 1;
	end = at + strspn(at, "0123456789");
	assert_true(end - at >= 16);
	memmove(at, end, strlen(end) + 1);
	return f->line + 1;
}

static void assert_has(const char *line, const char *part)
{
	if (!line || !strstr(line, part))
		fail_msg("no %s in %s", part, line ? line : "(nothing)");
}

static void assert_lacks(const char *line, const char *part)
{
	if (strstr(line, part))
		fail_msg("%s in %s", part, line);
}

/* ---- the record ---- */

static void one_line_of_json(void **state)
{
	struct fixture *f = *state;
	struct msg_audit r = {.detail = v_str("a\nb\"\xff")};

	audit_write(&f->w->audit, EVENT_CHILD_RESTART, false, &r, "%s: %d", "message\n",
		    7);
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
		audit_write(&f->w->audit, EVENT_START, false, &(struct msg_audit){0},
			    "x");
		snprintf(seq, sizeof(seq), "\"POSTERN_SEQ\": %d,", i);
		assert_has(next_line(f), seq);
	}
}

/* What cannot be written is counted, and the next record that goes out says so, once. */
static void lost_records_are_counted(void **state)
{
	struct fixture *f = *state;
	struct sink *sink = &f->w->sink;
	struct msg_audit r = {0};
	const char *line;
	int sock = TAKE_FD(sink->source.fd); /* the writer is being replaced */

	sink->bytes = SINK_QUEUE_PLAIN; /* and what is kept for the next is full */
	for (int i = 0; i < 3; i++)
		assert_int_equal(audit_write(&f->w->audit, EVENT_START, false, &r, "x"),
				 -1);
	assert_int_equal(f->w->audit.dropped, 3);
	sink->bytes = 0;
	sink->source.fd = sock;

	assert_int_equal(audit_write(&f->w->audit, EVENT_START, false, &r, "x"), 0);
	line = next_line(f);
	assert_has(line, "\"POSTERN_DROPPED\": 3");
	assert_has(line, "\"POSTERN_SEQ\": 4");
	r = (struct msg_audit){0};
	assert_int_equal(audit_write(&f->w->audit, EVENT_START, false, &r, "x"), 0);
	assert_lacks(next_line(f), "DROPPED");
}

/* For what changes the guest there is room that nothing else can fill. */
static void room_for_what_matters(void **state)
{
	struct fixture *f = *state;
	struct sink *sink = &f->w->sink;

	close_p(&sink->source.fd); /* the writer is being replaced */
	sink->bytes = SINK_QUEUE_PLAIN - 1000;
	assert_int_equal(sink_put(sink, SINK_AUDIT, f->line, 1000, false), -1);
	sink->bytes = SINK_QUEUE_MAX - 1000;
	assert_int_equal(sink_put(sink, SINK_AUDIT, f->line, 1000, true), -1);
	sink->bytes = SINK_QUEUE_MAX - 1001;
	assert_int_equal(sink_put(sink, SINK_AUDIT, f->line, 1000, true), 0);
	assert_int_equal(sink->bytes, SINK_QUEUE_MAX);
	assert_non_null(sink->head);
	assert_int_equal(sink_put(sink, SINK_AUDIT, f->line, SINK_LINE_MAX + 1, true),
			 -1);
}

/* One that is too long for a line is lost like any other. */
static void too_long_a_record(void **state)
{
	struct fixture *f = *state;
	char *text = calloc(1, AUDIT_LINE_MAX);
	struct msg_audit r = {0};

	memset(text, 1, AUDIT_LINE_MAX - 1); /* each byte takes six */
	r.detail = v_str(text);
	assert_int_equal(audit_write(&f->w->audit, EVENT_START, true, &r, "x"), -1);
	assert_int_equal(f->w->audit.dropped, 1);
	assert_null(next_line(f));
	free(text);
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
			    const struct verdict *v)
{
	struct asked q = {.number = number, .op = op_by_number(number)};
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
	const struct verdict v = {
		.reason = REASON_EXPLICIT_DENY,
		.skew = true,
		.policy = {.rule = 0}, /* denies come first */
	};
	const char *line = decision(*state, OP_set_user_password, &args, &v);

	assert_has(line, "\"POSTERN_DECISION\": \"deny\"");
	assert_has(line, "\"POSTERN_REASON\": \"explicit-deny\"");
	assert_has(line, "\"POSTERN_RULE\": \"no-root\"");
	assert_has(line, "\"POSTERN_RULE_FILE\": \"test.conf\"");
	assert_has(line, "\"POSTERN_RULE_LINE\": 4");
	assert_has(line, "\"POSTERN_POLICY_SHA256\": \"d16e57\"");
	assert_has(line, "\"POSTERN_SKEW\": true");
	assert_has(line, "\"POSTERN_REQUEST\": 8");
	assert_has(line, "\"POSTERN_SESSION\": 3");
	assert_has(line, "\"POSTERN_CLIENT_ID\": \"\\\"id\\n\\\"\"");
	assert_has(line, "\"POSTERN_COMMAND\": \"guest-set-user-password\"");
	assert_has(line, "\"POSTERN_ARGS\": \"{\\\"username\\\": \\\"root\\\", "
			 "\\\"password\\\": \\\"<secret>\\\", "
			 "\\\"crypted\\\": false}\"");
	assert_lacks(line, "hunter2");
	assert_lacks(line, "aHVudGVyMg");
}

static void allowed_by_a_profile(void **state)
{
	struct fixture *f = *state;
	struct verdict v = {.allowed = true, .reason = REASON_RULE};
	const char *line;

	policy_decide(&f->w->policy, &(struct policy_question){.op = OP_get_osinfo},
		      &v.policy);
	line = decision(f, OP_get_osinfo, "", &v);

	assert_has(line, "\"POSTERN_EVENT\": \"decision\"");
	assert_has(line, "\"POSTERN_DECISION\": \"allow\"");
	assert_has(line, "\"POSTERN_RULE\": \"info\"");
	assert_has(line, "\"POSTERN_ARGS\": \"{}\"");
	assert_has(line, "\"POSTERN_RULE_FILE\": \"builtin:safe\"");
	assert_lacks(line, "SKEW");
}

static void long_text_is_cut(void **state)
{
	char *path = malloc(100000);
	struct msg_file_open args = {.path = {.p = path, .len = 100000, .set = true}};
	const struct verdict v = {.reason = REASON_NO_RULE, .policy.rule = -1};
	const char *line;

	memset(path, '"', 100000);
	line = decision(*state, OP_file_open, &args, &v);
	free(path);
	assert_has(line, "\"POSTERN_ARGS\": \"{\\\"path\\\": \\\"\\\\\\\"");
	assert_has(line, "... (100000 bytes)\\\"}\"");
	assert_has(line, "\"POSTERN_DECISION\": \"deny\"");
	assert_lacks(line, "ARGS_CUT");
}

/* Arguments longer than a record takes are cut, which is said, and it stays one line. */
static void many_arguments_are_cut(void **state)
{
	struct v_str arg[2000];
	const struct msg_exec args = {
		.path = v_str("/bin/true"),
		.arg = {.v = arg, .n = ARRAY_SIZE(arg), .set = true},
	};
	const struct verdict v = {.reason = REASON_NO_RULE, .policy.rule = -1};
	const char *line, *text;

	for (size_t i = 0; i < ARRAY_SIZE(arg); i++)
		arg[i] = v_str("\n");
	line = decision(*state, OP_exec, &args, &v);
	assert_has(line, "\"POSTERN_ARGS_CUT\": true");
	assert_has(line, "\"POSTERN_DECISION\": \"deny\"");
	text = strstr(line, "{\\\"path\\\": \\\"/bin/true\\\"");
	assert_non_null(text);
	assert_true(strlen(text) < 4 * AUDIT_ARGS_MAX);
	assert_int_equal(line[strlen(line) - 1], '}');
}

/* With wrong arguments there are none to show. */
static void no_arguments(void **state)
{
	struct fixture *f = *state;
	struct asked q = {.number = OP_exec, .op = op_by_number(OP_exec)};
	const struct msg_request_head head = {.session = V_U64(1)};
	const struct verdict v = {.reason = REASON_ARGUMENTS};
	const char *line;

	record_decision(f->w, &q, &v, &head, NULL, 1);
	line = next_line(f);
	assert_has(line, "\"POSTERN_REASON\": \"arguments\"");
	assert_lacks(line, "POSTERN_ARGS");
	assert_lacks(line, "CLIENT_ID");
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
	assert_has(line, "\"POSTERN_EVENT\": \"complete\"");
	assert_has(line, "\"POSTERN_RESULT\": \"failed\"");
	assert_has(line, "\"POSTERN_ERRNO\": 5");
	assert_has(line, "\"POSTERN_ABANDONED\": true");
	assert_has(line, "\"POSTERN_DURATION_USEC\": ");
	assert_has(line, "\"POSTERN_REQUEST\": 8");
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
	assert_has(line, "\"POSTERN_EVENT\": \"protocol-error\"");
	assert_has(line, "\"POSTERN_REPORTED_BY\": \"frontend\"");
	assert_has(line, "\"POSTERN_SESSION\": 4");
	assert_has(line, "\"POSTERN_REPEAT\": 9");
	text[NOTE_TEXT_MAX] = '\0';
	assert_has(line, text);
	text[NOTE_TEXT_MAX] = 't';
	text[NOTE_TEXT_MAX + 1] = '\0';
	assert_lacks(line, text);

	assert_int_equal(session_note(f, SESSION_CONNECT, 0, ""), 0);
	line = next_line(f);
	assert_has(line, "\"POSTERN_EVENT\": \"connect\"");
	assert_lacks(line, "DETAIL");
	assert_lacks(line, "REPEAT");
}

static void no_note_at_all(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(session_note(f, 3, 0, ""), -1);
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

	while (f->w->notes_dropped < 10) {
		uint64_t lost = f->w->notes_dropped;

		assert_int_equal(session_note(f, SESSION_CONNECT, 0, ""), 0);
		assert_int_equal(next_line(f) == NULL, f->w->notes_dropped > lost);
	}
	assert_int_equal(f->w->audit.dropped, 0);
	f->w->notes.level_ms = 0; /* time passes */
	assert_int_equal(session_note(f, SESSION_CONNECT, 0, ""), 0);
	assert_has(next_line(f), "\"POSTERN_NOTES_DROPPED\": 10");
	assert_int_equal(session_note(f, SESSION_CONNECT, 0, ""), 0);
	assert_lacks(next_line(f), "NOTES_DROPPED");
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
	assert_has(line, "\"POSTERN_EVENT\": \"freeze\"");
	assert_has(line, "\"POSTERN_REQUEST\": 7,");
	assert_has(line, "\"POSTERN_FS_COUNT\": 2,");
	assert_has(line, "\"POSTERN_FS_MOUNTS\": "
			 "\"[\\\"/a\\\", \\\"/c\\\\\\\"\\\\uFFFD\\\"]\"");
	assert_lacks(line, "THAW_CAUSE");
	assert_lacks(line, "HOOK");
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
		assert_has(line, part);
		snprintf(part, sizeof(part), "\"POSTERN_THAW_CAUSE\": \"%s\"",
			 cases[i].name);
		assert_has(line, part);
		assert_has(line, "\"POSTERN_FS_COUNT\": 2,");
		assert_has(line, "\"POSTERN_HOOK\": \"/hook\"");
		assert_has(line, "\"POSTERN_HOOK_RESULT\": \"ok\"");
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
	assert_has(line, "\"POSTERN_FS_COUNT\": 1024,");
}

static void refuse_frozen(struct fixture *f, uint32_t number)
{
	struct asked q = {.number = number, .op = op_by_number(number)};
	const struct msg_request_head head = {.session = V_U64(1)};
	const struct verdict v = {.reason = REASON_FROZEN, .policy.rule = -1};

	assert_int_equal(record_decision(f->w, &q, &v, &head, NULL, 1), 0);
	record_refused(f->w, &q, &v, 1);
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

	assert_has(next_line(f), "\"POSTERN_EVENT\": \"decision\"");
	assert_has(next_line(f), "\"POSTERN_EVENT\": \"complete\"");
	assert_has(next_line(f), "\"POSTERN_COMMAND\": \"guest-get-osinfo\"");
	assert_has(next_line(f), "\"POSTERN_COMMAND\": \"guest-get-osinfo\"");
	line = next_line(f);
	assert_has(line, "\"POSTERN_COMMAND\": \"guest-exec\"");
	assert_has(line, "\"POSTERN_REPEAT\": 4");
	assert_has(line, "\"POSTERN_REASON\": \"frozen\"");
	assert_null(next_line(f));

	/* The next freeze counts anew. */
	sink_hold(&f->w->sink);
	refuse_frozen(f, OP_exec);
	record_release(f->w);
	sink_end(&f->w->sink);
	assert_has(next_line(f), "\"POSTERN_EVENT\": \"decision\"");
	assert_has(next_line(f), "\"POSTERN_EVENT\": \"complete\"");
	assert_null(next_line(f));
}

/* What waited for the writer before the freeze goes out before what came in it. */
static void order_around_a_freeze(void **state)
{
	struct fixture *f = *state;
	struct sink *sink = &f->w->sink;
	struct msg_audit r = {0};
	int sock = TAKE_FD(sink->source.fd);
	char seq[32];

	audit_write(&f->w->audit, EVENT_START, false, &r, "x");
	sink_hold(sink);
	assert_null(sink->head);
	audit_write(&f->w->audit, EVENT_START, false, &r, "x");
	sink->source.fd = sock;
	assert_null(next_line(f));
	sink_release(sink);
	audit_write(&f->w->audit, EVENT_START, false, &r, "x");
	assert_null(next_line(f));
	sink_end(sink);
	for (int i = 1; i <= 3; i++) {
		snprintf(seq, sizeof(seq), "\"POSTERN_SEQ\": %d,", i);
		assert_has(next_line(f), seq);
	}
	assert_int_equal(f->w->state->held.used, 0);
	audit_write(&f->w->audit, EVENT_START, false, &r, "x");
	assert_has(next_line(f), "\"POSTERN_SEQ\": 4,");
}

/* As the worker ends after a thaw: all that was held, and one more record. */
static void end_after_thaw(struct fixture *f)
{
	struct msg_audit r = {0};

	record_release(f->w);
	for (int i = 0; i < 10 && f->w->state->held.used; i++)
		sink_end(&f->w->sink);
	audit_write(&f->w->audit, EVENT_START, false, &r, "x");
	sink_end(&f->w->sink);
	_exit(f->w->state->held.used || f->w->sink.head);
}

/* What was dropped from what is held is counted in the next record that goes out. */
static void dropped_while_frozen(void **state)
{
	struct fixture *f = *state;
	uint64_t written = 0, seen = 0, lost;
	struct msg_audit r = {0};
	char count[64];
	int status;
	pid_t pid;

	sink_hold(&f->w->sink);
	while (!f->w->state->held.dropped)
		written += audit_write(&f->w->audit, EVENT_START, false, &r, "x") == 0;
	lost = f->w->state->held.dropped;
	pid = fork();
	if (pid == 0)
		end_after_thaw(f);
	while (seen + lost < written) {
		const char *line = next_line(f);

		if (!line) {
			poll(&(struct pollfd){.fd = f->writer, .events = POLLIN}, 1,
			     5000);
			line = next_line(f);
		}
		assert_non_null(line);
		assert_lacks(line, "DROPPED");
		seen++;
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	snprintf(count, sizeof(count), "\"POSTERN_DROPPED\": %llu",
		 (unsigned long long)lost);
	assert_has(next_line(f), count);
	assert_null(next_line(f));
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	static const struct CMUnitTest tests[] = {
		WITH(one_line_of_json),
		WITH(numbered),
		WITH(lost_records_are_counted),
		WITH(room_for_what_matters),
		WITH(too_long_a_record),
		WITH(instance_is_drawn),
		WITH(denied_password),
		WITH(allowed_by_a_profile),
		WITH(long_text_is_cut),
		WITH(many_arguments_are_cut),
		WITH(no_arguments),
		WITH(abandoned_completion),
		WITH(notes_are_its_word),
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
