/*
 * tests/unit/test_repeats.c - polls and refusals that become one record and a count
 *
 * Runs in:   a test, with a clock of its own
 * Input:     requests as frames, as verdicts made up by hand; what an earlier worker left
 * May touch: socket pairs in the place of the writer and between frontend and worker
 * Must not:  sleep: an hour takes a moment
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "frontend/frontend.h"
#include "ipc/note.h"
#include "tests/lib/simclock.h"
#include "tests/lib/trail.h"

#define SECOND   1000u
#define INTERVAL AUDIT_INTERVAL_MS
#define POLL     OP_network_get_interfaces

static const char safe[] = "[policy]\nbase = safe\n";
static const char required[] = "[policy]\nbase = legacy\n[audit]\nrequired = yes\n";

/* What the records said so far. */
struct sum {
	uint64_t records; /* all of them */
	uint64_t full;    /* decisions without a count */
	uint64_t counts;  /* those with one, */
	uint64_t counted; /* and what they counted */
	uint64_t completes;
};

struct fixture {
	struct trail trail;
	struct worker *w;
	struct wbuf wire;
	uint32_t id;
	uint64_t session;

	struct frontend *frontend; /* NULL: there is none */
	int notes;                 /* the worker's end */
	uint8_t buf[FRAME_MAX];

	const char *command; /* whose records are summed up; NULL: all */
	struct sum sum;
	char last[SINK_LINE_MAX]; /* the last one with a count */
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	*state = f;
	f->notes = -1;
	f->session = 3;
	f->wire = wbuf_growing(64 * 1024);
	if (trail_open(&f->trail, safe) < 0)
		return -1;
	f->w = f->trail.w;
	return 0;
}

static void frontend_close(struct frontend *f)
{
	if (!f)
		return;
	timer_done(&f->loop, &f->tell_counts);
	timer_done(&f->loop, &f->abandon);
	close_p(&f->worker.source.fd);
	wbuf_free(&f->channel.out);
	loop_done(&f->loop);
	free(f);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	frontend_close(f->frontend);
	close_p(&f->notes);
	trail_close(&f->trail);
	wbuf_free(&f->wire);
	free(f);
	return 0;
}

/* ---- what is recorded ---- */

static void add(struct fixture *f, const char *line)
{
	uint64_t repeat = trail_number(line, "POSTERN_REPEAT");

	f->sum.records++;
	if (f->command && !trail_says(line, f->command))
		return;
	f->sum.completes += trail_says(line, "\"POSTERN_EVENT\": \"complete\"");
	if (!trail_says(line, "\"POSTERN_EVENT\": \"decision\""))
		return;
	f->sum.full += !repeat;
	f->sum.counts += repeat > 0;
	f->sum.counted += repeat;
	if (repeat)
		snprintf(f->last, sizeof(f->last), "%s", line);
}

static void drain(struct fixture *f)
{
	const char *line;

	while ((line = trail_next(&f->trail)))
		add(f, line);
}

static void run(struct loop *l)
{
	struct epoll_event ev;

	while (epoll_wait(l->epfd, &ev, 1, 0) > 0) {
		struct source *s = ev.data.ptr;

		assert_int_equal(s->fn(s, ev.events), 0);
	}
}

/* Both processes, until nothing is ready. */
static void turn(void *arg)
{
	struct fixture *f = arg;
	struct frame frame;

	if (f->frontend) {
		run(&f->frontend->loop);
		while (frame_recv(f->notes, f->buf, &frame) == FRAME_OK) {
			assert_int_equal(frame.type, FRAME_SESSION);
			assert_int_equal(record_session(f->w, &frame), 0);
		}
	}
	run(&f->w->loop);
	drain(f);
}

static void pass(struct fixture *f, uint64_t ms)
{
	simclock_pass(ms, turn, f);
}

/* Since the last time: FULL decisions, and COUNTS records that count COUNTED. */
static void assert_sum(struct fixture *f, uint64_t full, uint64_t counts,
		       uint64_t counted)
{
	drain(f);
	assert_int_equal(f->sum.full, full);
	assert_int_equal(f->sum.counts, counts);
	assert_int_equal(f->sum.counted, counted);
	f->sum = (struct sum){0};
}

/* ---- requests through the gate ---- */

/* As the frontend sends it. */
static void ask(struct fixture *f, uint32_t number, const void *args, uint16_t flags)
{
	const struct op *op = op_by_number(number);
	const struct msg_request_head head = {.session = V_U64(f->session)};
	struct frame frame = {
		.type = FRAME_REQUEST,
		.op = (uint16_t)number,
		.request = ++f->id,
		.flags = flags,
	};

	wbuf_free(&f->wire);
	schema_put(&f->wire, &schema_request_head, &head);
	if (!(flags & FRAME_BAD_ARGS))
		schema_put(&f->wire, op->args, args);
	frame.body = f->wire.p;
	frame.len = (uint32_t)f->wire.len;
	assert_int_equal(gate_request(f->w, &frame), 0);
}

/* The one that is under way. */
static struct request *under_way(struct fixture *f)
{
	for (size_t i = 0; i < ARRAY_SIZE(f->w->requests); i++)
		if (f->w->requests[i].serial)
			return &f->w->requests[i];
	fail_msg("no request is under way");
	return NULL;
}

static void ends_well(struct fixture *f)
{
	request_done(f->w, under_way(f), &(struct wbuf){0});
}

static void ends_badly(struct fixture *f)
{
	struct err e;

	err_set(&e, ERR_GENERIC, "it failed");
	request_fail(f->w, under_way(f), &e);
}

static void poll_once(struct fixture *f)
{
	ask(f, POLL, "", 0);
	ends_well(f);
}

/* ---- an hour ---- */

static void frontend_open(struct fixture *f)
{
	struct frontend *s = calloc(1, sizeof(*s));
	int pair[2];

	assert_non_null(s);
	assert_int_equal(loop_init(&s->loop), 0);
	assert_int_equal(timer_init(&s->loop, &s->abandon, queue_timer), 0);
	assert_int_equal(session_init(s), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	queue_init(&s->queue);
	s->worker.source.fd = pair[0];
	f->notes = pair[1];
	s->channel.link.fd = -1;
	s->channel.out = wbuf_growing(OUT_MAX);
	s->policy = f->w->gen->policy;
	s->generation = 1;
	f->frontend = s;
	session_begin(s);
}

/* A session command as the frontend has it in its queue; answered at once. */
static void session_command(struct fixture *f, uint32_t number, uint16_t flags)
{
	struct frontend *s = f->frontend;
	struct item *it = calloc(1, sizeof(*it));

	assert_non_null(it);
	it->op = op_by_number(number);
	it->number = number;
	it->session = s->session;
	it->flags = flags;
	it->bulk_fd = -1;
	it->args = wbuf_growing(1024);
	it->result = wbuf_growing(1024);
	if (number == OP_sync)
		schema_put(&it->args, it->op->args, &(struct msg_sync){.id = V_INT(7)});
	if (flags & FRAME_BAD_ARGS) {
		it->error = calloc(1, sizeof(*it->error));
		err_set(it->error, ERR_GENERIC, "wrong");
	}
	queue_put(s, it);
	queue_pump(s);
	assert_true(s->channel.out.len > 0);
	s->channel.out.len = 0;
}

/*
 * A host that asks both once a second, for an hour: so many records, and none of its
 * requests is missing in them.
 */
static void an_hour_of_polls(void **state)
{
	static const char ping[] = "\"guest-ping\"";
	static const char interfaces[] = "\"guest-network-get-interfaces\"";
	struct fixture *f = *state;
	struct sum pings = {0}, polls = {0};
	uint64_t records = 0, fired;
	const char *line;

	frontend_open(f);
	for (int second = 0; second < 3600 + 2 * 60; second++) {
		/* The last are told when their interval is over. */
		if (second < 3600) {
			session_command(f, OP_ping, 0);
			poll_once(f);
		}
		for (; (line = trail_next(&f->trail)); records++) {
			f->command = ping;
			f->sum = pings;
			add(f, line);
			pings = f->sum;
			f->command = interfaces;
			f->sum = polls;
			add(f, line);
			polls = f->sum;
		}
		simclock_pass(SECOND, (void (*)(void *))run, &f->frontend->loop);
		for (struct frame frame;
		     frame_recv(f->notes, f->buf, &frame) == FRAME_OK;)
			assert_int_equal(record_session(f->w, &frame), 0);
		run(&f->w->loop);
	}
	print_message("# %llu records of an hour\n", (unsigned long long)records);
	assert_in_range(records, 60, 130);
	assert_int_equal(pings.full + pings.counted, 3600);
	assert_int_equal(polls.full + polls.counted, 3600);
	assert_int_equal(f->w->state->held.dropped, 0);
	assert_int_equal(f->w->notes_dropped, 0);
	/* Nobody wakes for nothing. */
	assert_false(f->w->repeats.armed);
	assert_false(f->frontend->tell_counts.armed);
	fired = simclock.fired;
	f->command = NULL;
	f->sum = (struct sum){0};
	pass(f, 3600 * SECOND);
	assert_int_equal(simclock.fired, fired);
	assert_int_equal(f->sum.records, 0);
}

/* What became of session commands, by kind, and once an interval. */
static void session_commands_by_kind(void **state)
{
	struct fixture *f = *state;

	frontend_open(f);
	turn(f);
	f->sum = (struct sum){0};
	for (int i = 0; i < 10; i++) {
		session_command(f, OP_ping, 0);
		session_command(f, OP_sync, 0);
		session_command(f, OP_ping, FRAME_REFUSED);
		session_command(f, OP_sync, FRAME_BAD_ARGS);
	}
	pass(f, INTERVAL - 1);
	assert_int_equal(f->sum.records, 0);
	pass(f, 1);
	assert_int_equal(f->sum.records, 4);
	trail_has(f->last, "\"POSTERN_REPORTED_BY\": \"frontend\"");
	assert_sum(f, 0, 4, 40);
	/* A refusal is told as one, and none of it twice. */
	session_command(f, OP_ping, FRAME_REFUSED);
	pass(f, INTERVAL);
	trail_has(f->last, "\"POSTERN_COMMAND\": \"guest-ping\"");
	trail_has(f->last, "\"POSTERN_DECISION\": \"deny\"");
	trail_has(f->last, "\"POSTERN_REASON\": \"explicit-deny\"");
	assert_sum(f, 0, 1, 1);
	session_command(f, OP_sync, FRAME_BAD_ARGS);
	pass(f, INTERVAL);
	trail_has(f->last, "\"POSTERN_DECISION\": \"error\"");
	assert_sum(f, 0, 1, 1);
	assert_false(f->frontend->tell_counts.armed);
}

/* ---- polls ---- */

static void first_in_full_then_counts(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 10; i++)
		poll_once(f);
	drain(f);
	assert_int_equal(f->sum.completes, 1);
	assert_sum(f, 1, 0, 0);
	pass(f, INTERVAL - 1);
	assert_sum(f, 0, 0, 0);
	f->session = 9;
	poll_once(f);
	pass(f, 1);
	trail_has(f->last, "\"POSTERN_COMMAND\": \"guest-network-get-interfaces\"");
	trail_has(f->last, "\"POSTERN_DECISION\": \"allow\"");
	trail_has(f->last, "\"POSTERN_REASON\": \"rule\"");
	trail_has(f->last, "\"POSTERN_RULE\": \"info\"");
	trail_has(f->last, "\"POSTERN_ARGS\": \"{}\"");
	trail_has(f->last, "\"POSTERN_SESSION\": 9");
	trail_lacks(f->last, "DETAIL");
	assert_sum(f, 0, 1, 10);
	/* It goes on: no full one any more. */
	poll_once(f);
	pass(f, INTERVAL);
	assert_sum(f, 0, 1, 1);
	/* Nobody asks for an interval: the next is recorded in full again. */
	pass(f, INTERVAL);
	assert_false(f->w->repeats.armed);
	poll_once(f);
	assert_sum(f, 1, 0, 0);
}

static void those_that_fail(void **state)
{
	struct fixture *f = *state;

	poll_once(f);
	for (int i = 0; i < 5; i++) {
		ask(f, POLL, "", 0);
		if (i < 2)
			ends_badly(f);
		else
			ends_well(f);
	}
	/* One that nobody waited for. */
	ask(f, POLL, "", 0);
	under_way(f)->abandoned = true;
	ends_well(f);
	pass(f, INTERVAL);
	trail_has(f->last, "\"POSTERN_DETAIL\": \"3 of 6 failed\"");
	trail_has(f->last, "\"POSTERN_DECISION\": \"allow\"");
	assert_sum(f, 1, 1, 6);
	/* Each interval has its own. */
	poll_once(f);
	pass(f, INTERVAL);
	trail_lacks(f->last, "DETAIL");
	assert_sum(f, 0, 1, 1);
}

/* One that is under way over the end of an interval is counted when it has ended. */
static void one_that_takes_long(void **state)
{
	struct fixture *f = *state;

	poll_once(f);
	assert_sum(f, 1, 0, 0);
	pass(f, INTERVAL - 5 * SECOND);
	ask(f, POLL, "", 0);
	pass(f, 8 * SECOND);
	assert_sum(f, 0, 0, 0);
	ends_well(f);
	pass(f, INTERVAL);
	assert_sum(f, 0, 1, 1);
	pass(f, INTERVAL);
	assert_false(f->w->repeats.armed);
	/* The worker ends while one is under way: that is told, as one that failed. */
	poll_once(f);
	ask(f, POLL, "", 0);
	requests_stop(f->w);
	repeats_tell(f->w);
	drain(f);
	trail_has(f->last, "\"POSTERN_DETAIL\": \"1 of 1 failed\"");
	assert_sum(f, 1, 1, 1);
}

/* ---- what is equal ---- */

/* A decision on OP that is never carried out further than its record. */
static struct repeat *decide(struct fixture *f, uint32_t number, const void *args,
			     struct verdict v)
{
	const struct asked q = {
		.gen = f->w->gen, .number = number, .op = op_by_number(number)};
	const struct msg_request_head head = {.session = V_U64(f->session)};
	struct rbuf r;

	wbuf_free(&f->wire);
	if (args)
		schema_put(&f->wire, q.op->args, args);
	r = rbuf_of(f->wire.p, f->wire.len);
	/* As the gate does it. */
	v.repeat = repeat_of(f->w, &q, &v, args ? &r : NULL);
	if (!v.repeat)
		assert_int_equal(
			record_decision(f->w, &q, &v, &head, args ? &r : NULL, 1), 0);
	else
		repeat_ended(v.repeat, true);
	drain(f);
	return v.repeat;
}

static const struct verdict allow = {.allowed = true, .reason = REASON_RULE};

static void what_is_told_apart(void **state)
{
	struct fixture *f = *state;
	struct msg_file_read args[4] = {
		{.handle = V_INT(1000)},
		{.handle = V_INT(1001)},
		{.handle = V_INT(1000), .count = V_INT(1)},
		{.handle = V_INT(1000), .count = V_INT(2)},
	};
	struct verdict v[6];

	for (size_t i = 0; i < ARRAY_SIZE(v); i++)
		v[i] = allow;
	v[1].policy.rule = 1;
	v[2].allowed = false;
	v[2].reason = REASON_NO_RULE;
	v[3].allowed = false;
	v[3].reason = REASON_RATE;
	v[4].policy.complained = true;
	v[5].reason = REASON_WHILE_FROZEN;
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < ARRAY_SIZE(args); i++)
			assert_int_equal(!decide(f, OP_file_read, &args[i], allow),
					 round == 0);
		for (size_t i = 1; i < ARRAY_SIZE(v); i++)
			assert_int_equal(!decide(f, OP_file_read, &args[0], v[i]),
					 round == 0);
		/* Another command without arguments, too. */
		assert_int_equal(!decide(f, POLL, "", allow), round == 0);
		assert_int_equal(!decide(f, OP_get_osinfo, "", allow), round == 0);
	}
	assert_sum(f, 11, 0, 0);
	pass(f, INTERVAL);
	assert_sum(f, 0, 11, 22);
}

/* Their records say more than a count could. */
static void what_is_never_counted(void **state)
{
	struct fixture *f = *state;
	struct verdict skew = allow;
	struct asked q = {.gen = f->w->gen, .number = POLL, .op = op_by_number(POLL)};
	const struct policy_object object = {0};
	static const uint8_t bytes[REPEAT_ARGS_MAX + 1];
	struct rbuf args = rbuf_of(bytes, REPEAT_ARGS_MAX);

	skew.skew = true;
	for (int i = 0; i < 3; i++) {
		assert_null(decide(f, POLL, "", skew));
		assert_null(decide(f, POLL, NULL, allow));
	}
	assert_sum(f, 6, 0, 0);
	/* As many bytes of arguments as are kept, and one more. */
	assert_null(repeat_of(f->w, &q, &allow, &args));
	assert_non_null(repeat_of(f->w, &q, &allow, &args));
	args = rbuf_of(bytes, sizeof(bytes));
	assert_null(repeat_of(f->w, &q, &allow, &args));
	assert_null(repeat_of(f->w, &q, &allow, &args));
	/* What was looked for is not in what is compared. */
	args = rbuf_of(bytes, 0);
	q.object = &object;
	assert_null(repeat_of(f->w, &q, &allow, &args));
	assert_null(repeat_of(f->w, &q, &allow, &args));
}

/* Of the table, those that only ask; whatever changes something, never. */
static void which_commands(void **state)
{
	struct fixture *f = *state;
	const struct rbuf args = rbuf_of("", 0);

	for (uint32_t n = op_after(OP_NONE); n != OP_NONE; n = op_after(n)) {
		const struct asked q = {
			.gen = f->w->gen, .number = n, .op = op_by_number(n)};
		bool counted;

		memset(f->w->state->repeats, 0, sizeof(f->w->state->repeats));
		assert_null(repeat_of(f->w, &q, &allow, &args));
		counted = repeat_of(f->w, &q, &allow, &args);
		assert_int_equal(counted, q.op->audit == AUDIT_READ);
		assert_false(counted && q.op->flags & OPF_MUTATES);
	}
	memset(f->w->state->repeats, 0, sizeof(f->w->state->repeats));
}

/* More kinds of polls than are counted: the others are recorded in full. */
static void the_table_is_full(void **state)
{
	struct fixture *f = *state;
	uint64_t counted = 0, n = 0;
	struct verdict frozen = {.reason = REASON_FROZEN};

	for (int round = 0; round < 2; round++)
		for (int64_t i = 0; i < 200; i++)
			counted += !!decide(f, OP_file_read,
					    &(struct msg_file_read){.handle = V_INT(i)},
					    allow);
	assert_int_equal(counted, 64);
	assert_sum(f, 400 - 64, 0, 0);
	/* The refusals of every command have room beside, for both reasons. */
	for (int round = 0; round < 2; round++) {
		for (uint32_t op = op_after(OP_NONE); op != OP_NONE; op = op_after(op)) {
			if (op_by_number(op)->groups & GROUP_SESSION)
				continue;
			frozen.reason = REASON_FROZEN;
			assert_int_equal(!decide(f, op, NULL, frozen), round == 0);
			frozen.reason = REASON_AUDIT;
			assert_int_equal(!decide(f, op, NULL, frozen), round == 0);
			n += round ? 2 : 0;
		}
	}
	assert_sum(f, n, 0, 0);
	pass(f, INTERVAL);
	assert_sum(f, 0, 64 + n, 64 + n);
	/* An interval later there is room for others. */
	pass(f, INTERVAL);
	assert_null(decide(f, POLL, "", allow));
	assert_non_null(decide(f, POLL, "", allow));
}

/* And the other way round: refusals first, then as many polls as ever. */
static void refusals_leave_room(void **state)
{
	struct fixture *f = *state;
	struct verdict v = {0};
	uint64_t counted = 0;

	for (uint32_t op = op_after(OP_NONE); op != OP_NONE; op = op_after(op)) {
		v.reason = REASON_FROZEN;
		decide(f, op, NULL, v);
		v.reason = REASON_AUDIT;
		decide(f, op, NULL, v);
	}
	for (int round = 0; round < 2; round++)
		for (int64_t i = 0; i < 200; i++)
			counted += !!decide(f, OP_file_read,
					    &(struct msg_file_read){.handle = V_INT(i)},
					    allow);
	assert_int_equal(counted, 64);
}

/* ---- refusals ---- */

/* However long it lasts: what is refused takes no more room than that. */
static void while_frozen(void **state)
{
	struct fixture *f = *state;
	uint32_t used;

	f->w->freeze.state = FS_FROZEN;
	sink_hold(&f->w->sink);
	ask(f, POLL, "", 0);
	ask(f, OP_file_close, &(struct msg_file_handle){.handle = V_INT(1000)},
	    FRAME_REFUSED);
	used = f->w->state->held.used;
	for (int i = 0; i < 600; i++) {
		ask(f, POLL, "", 0);
		/* Other arguments, and wrong ones: they are refused for the same. */
		ask(f, OP_file_close, &(struct msg_file_handle){.handle = V_INT(i)},
		    FRAME_REFUSED);
		ask(f, OP_file_close, NULL, FRAME_REFUSED | FRAME_BAD_ARGS);
		pass(f, SECOND);
	}
	assert_int_equal(f->w->state->held.used, used);
	assert_int_equal(f->sum.records, 0);

	f->w->freeze.state = FS_THAWED;
	record_release(f->w);
	sink_end(&f->w->sink);
	drain(f);
	assert_int_equal(f->sum.completes, 2);
	trail_has(f->last, "\"POSTERN_REASON\": \"frozen\"");
	trail_has(f->last, "\"POSTERN_DECISION\": \"deny\"");
	trail_lacks(f->last, "ARGS");
	assert_sum(f, 2, 2, 600 + 1200);
	assert_int_equal(f->w->state->held.dropped, 0);
	/* The next freeze begins anew. */
	f->w->freeze.state = FS_FROZEN;
	ask(f, POLL, "", 0);
	assert_sum(f, 1, 0, 0);
}

static void close_file(struct fixture *f)
{
	ask(f, OP_file_close, &(struct msg_file_handle){.handle = V_INT(1000)}, 0);
}

/* Refused because it cannot be recorded: told when there is room again. */
static void while_nothing_is_taken(void **state)
{
	struct fixture *f = *state;
	int writer;

	policy_of_text(&f->w->gen->policy, &f->trail.image, required);
	writer = trail_away(&f->trail);
	for (int i = 0; i < 150; i++) {
		close_file(f);
		pass(f, SECOND);
	}
	trail_back(&f->trail, writer);
	drain(f);
	assert_int_equal(f->sum.completes, 1);
	assert_sum(f, 1, 0, 0);
	pass(f, INTERVAL);
	trail_has(f->last, "\"POSTERN_REASON\": \"audit-unavailable\"");
	trail_has(f->last, "\"POSTERN_COMMAND\": \"guest-file-close\"");
	assert_sum(f, 0, 1, 149);
	assert_int_equal(f->w->state->held.dropped, 0);
	pass(f, INTERVAL);
	assert_false(f->w->repeats.armed);
	/* Now they pass. */
	close_file(f);
	drain(f);
	assert_int_equal(f->sum.completes, 1);
	assert_sum(f, 1, 0, 0);
}

/* There is no room even for the count: it stays, and is told later. */
static void no_room_for_the_count(void **state)
{
	struct fixture *f = *state;
	struct held *held = &f->w->state->held;
	struct packet packet = {
		.kind = HELD_READ,
		.p = (const uint8_t *)"{\"POSTERN_TIME_USEC\": 1111111111111111}\n",
		.len = 40,
	};
	int writer;

	poll_once(f);
	poll_once(f);
	assert_sum(f, 1, 0, 0);
	writer = trail_away(&f->trail);
	for (packet.session = 100; held_put(held, &packet, 0); packet.session++)
		;
	pass(f, INTERVAL);
	poll_once(f);
	pass(f, INTERVAL);
	assert_sum(f, 0, 0, 0);
	assert_int_equal(held->dropped, 0);
	f->w->sink.writer.fd = writer;
	while (held_waits(held, false)) {
		sink_release(&f->w->sink);
		drain(f);
	}
	f->sum = (struct sum){0};
	pass(f, INTERVAL);
	assert_sum(f, 0, 1, 2);
}

/* ---- what an earlier worker left ---- */

/* A worker takes the place of the one before, on its state. */
static void another_worker(struct fixture *f)
{
	timer_done(&f->w->loop, &f->w->repeats);
	memset(f->w->requests, 0, sizeof(f->w->requests));
	f->w->freeze.state = FS_THAWED;
	assert_int_equal(repeats_init(f->w), 0);
}

static void leftovers_are_told(void **state)
{
	struct fixture *f = *state;

	poll_once(f);
	poll_once(f);
	poll_once(f);
	ask(f, POLL, "", 0); /* of this nobody will know the end */
	ask(f, POLL, "", 0);
	assert_sum(f, 1, 0, 0);
	another_worker(f);
	assert_sum(f, 0, 0, 0);
	/* At once, and of rules that may be others now it says nothing. */
	pass(f, 1);
	trail_has(f->last, "\"POSTERN_COMMAND\": \"guest-network-get-interfaces\"");
	trail_has(f->last, "\"POSTERN_DETAIL\": \"2 of 4 failed\"");
	trail_has(f->last, "\"POSTERN_SESSION\": 3");
	trail_lacks(f->last, "\"POSTERN_RULE\"");
	assert_sum(f, 0, 1, 4);
	/* They are not counted on. */
	poll_once(f);
	assert_sum(f, 1, 0, 0);
	pass(f, 3 * INTERVAL);
	assert_sum(f, 0, 0, 0);
	assert_false(f->w->repeats.armed);
}

static void invalid_slots_are_cleared(void **state)
{
	struct fixture *f = *state;
	struct repeat *slots = f->w->state->repeats;
	const struct repeat fine = {
		.op = POLL,
		.reason = REASON_RULE,
		.rule = 77777,
		.allowed = 200,
		.complained = 100,
		.count = 5,
		.until_ms = UINT64_MAX,
		.session = UINT64_MAX,
	};

	f->w->state->repeats_taken = 10;
	for (size_t i = 0; i < 10; i++)
		slots[i] = fine;
	slots[0].op = OP_MAX;
	slots[1].op = UINT32_MAX;
	for (slots[2].op = OP_MAX - 1; op_by_number(slots[2].op); slots[2].op--)
		;
	slots[3].n_args = REPEAT_ARGS_MAX + 1;
	slots[4].reason = REASON_COUNT;
	slots[5].reason = UINT32_MAX;
	slots[6].op = OP_NONE; /* free, with something in it */
	/* Arguments that are none of this command. */
	slots[7].op = OP_file_read;
	slots[7].n_args = REPEAT_ARGS_MAX;
	memset(slots[7].args, 0xff, sizeof(slots[7].args));
	slots[8].rule = INT32_MIN;
	another_worker(f);
	for (size_t i = 0; i < 7; i++)
		assert_int_equal(slots[i].op, OP_NONE);
	pass(f, 1);
	assert_sum(f, 0, 3, 15);
	pass(f, 2 * INTERVAL);
	for (size_t i = 0; i < REPEATS_MAX; i++)
		assert_int_equal(slots[i].op, OP_NONE);
	assert_false(f->w->repeats.armed);
}

/* Any bytes: it neither falls over nor wakes for ever. */
static void noise(void **state)
{
	struct fixture *f = *state;
	struct repeat *slots = f->w->state->repeats;

	srandom(13);
	for (int round = 0; round < 30; round++) {
		uint8_t *p = (uint8_t *)slots;

		for (size_t i = 0; i < sizeof(f->w->state->repeats); i++)
			p[i] = (uint8_t)random();
		/* So that some are taken for good. */
		for (size_t i = 0; i < REPEATS_MAX; i++) {
			slots[i].op %= OP_MAX;
			slots[i].reason %= REASON_COUNT + 1;
			slots[i].n_args %= REPEAT_ARGS_MAX + 2;
		}
		f->w->state->repeats_taken = round % 2 ? REPEATS_MAX : UINT32_MAX;
		another_worker(f);
		for (int i = 0; i < 5; i++)
			poll_once(f);
		pass(f, 4 * INTERVAL);
		assert_false(f->w->repeats.armed);
	}
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	static const struct CMUnitTest tests[] = {
		WITH(an_hour_of_polls),
		WITH(session_commands_by_kind),
		WITH(first_in_full_then_counts),
		WITH(those_that_fail),
		WITH(one_that_takes_long),
		WITH(what_is_told_apart),
		WITH(what_is_never_counted),
		WITH(which_commands),
		WITH(the_table_is_full),
		WITH(refusals_leave_room),
		WITH(while_frozen),
		WITH(while_nothing_is_taken),
		WITH(no_room_for_the_count),
		WITH(leftovers_are_told),
		WITH(invalid_slots_are_cleared),
		WITH(noise),
	};

	return cmocka_run_group_tests_name("repeats", tests, NULL, NULL);
}
