/*
 * tests/unit/test_trail.c - the trail under attack: what is counted wrongly,
 * spins, or loses what it must keep
 *
 * Runs in:   a test
 * Input:     requests, verdicts, torn lists made up by hand
 * May touch: a socket pair in the place of the writer
 * Must not:  start the writer, have an agent of its own
 */
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ipc/note.h"
#include "tests/lib/generation.h"
#include "tests/lib/policy.h"
#include "worker/repeats.h"
/* What is called when the writer is ready: a socket of the test is in its place. */
#include "worker/sink.c" /* NOLINT(bugprone-suspicious-include) */

struct fixture {
	struct worker *w;
	struct wbuf image;
	int theirs; /* where the writer would read */
};

static void policy(struct fixture *f, const char *text)
{
	policy_of_text(&f->w->gen->policy, &f->image, text);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct worker *w = calloc(1, sizeof(*w));

	f->w = w;
	f->theirs = -1;
	*state = f;
	w->state = calloc(1, sizeof(*w->state));
	w->gen = generation_blank();
	w->freeze.record = &w->state->freeze;
	w->arena = (struct arena){.p = malloc(ARENA_SIZE), .cap = ARENA_SIZE};
	w->frontend.dead = w->inspector.dead = w->spawner.dead = true;
	w->frontend.source.fd = w->inspector.source.fd = w->spawner.source.fd = -1;
	if (loop_init(&w->loop) < 0 || requests_init(w) < 0 ||
	    sink_init(&w->sink, &w->loop, -1, false, &w->state->held) < 0 ||
	    audit_init(&w->audit, &w->sink, NULL) < 0)
		return -1;
	w->sink.format = SINK_JSON;
	policy(f, "[policy]\nbase = legacy\n[audit]\nrequired = yes\n");
	return repeats_init(w);
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	struct worker *w = f->w;

	close_p(&f->theirs);
	close_p(&w->sink.writer.fd);
	timer_done(&w->loop, &w->limit);
	timer_done(&w->loop, &w->repeats);
	timer_done(&w->loop, &w->sink.retry);
	loop_done(&w->loop);
	generation_drop(&w->gen);
	wbuf_free(&f->image);
	free(w->arena.p);
	free(w->state);
	free(w);
	free(f);
	return 0;
}

/* ---- what is held, counted by hand ---- */

struct tally {
	size_t decisions, completions, others;
	size_t dropped; /* by what they say */
};

static bool tally(void *context, const struct packet *packet)
{
	struct tally *t = context;
	char text[SINK_LINE_MAX + 1];

	memcpy(text, packet->p, packet->len);
	text[packet->len] = '\0';
	t->dropped += packet->dropped;
	if (strstr(text, "\"POSTERN_EVENT\": \"decision\""))
		t->decisions++;
	else if (strstr(text, "\"POSTERN_EVENT\": \"complete\""))
		t->completions++;
	else
		t->others++;
	return true;
}

static struct tally take_held(struct fixture *f)
{
	struct tally t = {0};

	held_give(&f->w->state->held, false, tally, &t);
	return t;
}

static uint64_t counted(const struct fixture *f, uint64_t *under_way)
{
	uint64_t n = 0;

	*under_way = 0;
	for (size_t i = 0; i < REPEATS_MAX; i++) {
		n += f->w->state->repeats[i].count;
		*under_way += f->w->state->repeats[i].under_way;
	}
	return n;
}

/* A request of OP with ARGS that was let through so far. */
static struct request *begun(struct fixture *f, uint32_t op, const struct schema *schema,
			     const void *args)
{
	const struct policy_answer a = {.rule = -1};
	uint8_t buf[8192];
	struct wbuf body = wbuf_fixed(buf, sizeof(buf));
	struct request *rq =
		request_begin(f->w, &(struct asked){.gen = f->w->gen, .number = op}, &a);
	struct rbuf whole;

	schema_put(&body, &schema_request_head,
		   &(struct msg_request_head){.session = V_U64(1)});
	schema_put(&body, schema, args);
	assert_false(body.bad);
	whole = rbuf_of(body.p, body.len);
	assert_non_null(rq);
	assert_int_equal(request_keep(f->w, rq, &whole), 0);
	rq->serial = ++f->w->last_serial;
	rq->session = 1;
	return rq;
}

static struct request *file_open(struct fixture *f, const char *path, const char *mode)
{
	return begun(f, OP_file_open, &schema_file_open,
		     &(struct msg_file_open){.path = v_str(path), .mode = v_str(mode)});
}

/*
 * Nothing can be recorded, and the records are required: requests end before anything was
 * found. Each leaves a decision or is counted; and nothing is counted as under way for
 * ever.
 */
static void unfound_without_a_journal(void **state)
{
	struct fixture *f = *state;
	uint64_t under_way, n;
	struct tally t;
	struct err e;

	err_set(&e, ERR_GENERIC, "it died");
	for (int i = 0; i < 5; i++)
		request_fail(f->w, file_open(f, "/x", "w"), &e);
	n = counted(f, &under_way);
	t = take_held(f);
	assert_int_equal(under_way, 0);
	assert_int_equal(t.decisions + n, 5);
	assert_int_equal(t.completions + n, 5);
}

/* Records are required, and there is no place for them (--daemon without a log). */
static void required_without_a_place(void **state)
{
	struct fixture *f = *state;
	const struct asked q = {
		.gen = f->w->gen, .number = OP_set_time, .op = op_by_number(OP_set_time)};
	const struct verdict v = {
		.allowed = true, .policy = {.rule = -1}, .reason = REASON_RULE};
	const struct msg_request_head head = {.session = V_U64(1)};

	f->w->sink.format = SINK_NOTHING;
	assert_int_equal(record_decision(f->w, &q, &v, &head, NULL, 1), -1);
	policy(f, "[policy]\nbase = legacy\n");
	assert_int_equal(record_decision(f->w, &q, &v, &head, NULL, 1), 0);
}

/* Refusals of changes cannot take the room of what was begun. */
static void refused_changes_leave_room(void **state)
{
	struct fixture *f = *state;
	struct held *h = &f->w->state->held;
	struct err e;

	policy(f, "[policy]\nbase = none\n");
	err_set(&e, ERR_GENERIC, "no");
	for (int i = 0; i < 3000; i++) {
		const struct policy_object object = {
			.path = v_str("/x"), .real = v_str("/x"), .exists = true};
		struct request *rq = file_open(f, "/x", "w");
		struct policy_answer a;

		assert_false(gate_object(f->w, rq, &object, 0, &a));
	}
	assert_true(h->of_kind[HELD_ACT] < held_room(HELD_ACT) - HELD_RESERVE / 2);
}

/* Thaws are never refused; but what they leave cannot push out the ends of the others. */
static void thaws_leave_room(void **state)
{
	struct fixture *f = *state;
	struct held *h = &f->w->state->held;
	const struct asked q = {.gen = f->w->gen,
				.number = OP_fsfreeze_thaw,
				.op = op_by_number(OP_fsfreeze_thaw)};
	const struct verdict v = {
		.allowed = true, .policy = {.rule = -1}, .reason = REASON_RULE};
	const struct msg_request_head head = {.session = V_U64(1)};
	const struct policy_answer a = {.rule = -1};
	uint64_t seq;
	struct tally t;

	for (int i = 0; i < 3000; i++) {
		struct request *rq = request_begin(f->w, &q, &a);

		rq->serial = ++f->w->last_serial;
		record_decision(f->w, &q, &v, &head, NULL, rq->serial);
		record_complete(f->w, rq, "ok", 0);
		request_drop(rq);
	}
	assert_true(h->of_kind[HELD_ACT] <= held_room(HELD_ACT) - HELD_RESERVE / 2);
	/* What is not there is counted; by a shorter record, too, that had room again. */
	seq = f->w->audit.seq;
	t = take_held(f);
	assert_int_equal(t.decisions + t.completions + t.dropped + h->dropped, seq);
	assert_int_equal(seq, 6000);
}

/* A path of control characters: its record is large, but there is one. */
static void hostile_path(void **state)
{
	struct fixture *f = *state;
	char path[4096];
	const struct policy_object object = {
		.path = {.p = path, .len = sizeof(path) - 1, .set = true},
		.real = {.p = path, .len = sizeof(path) - 1, .set = true},
	};
	struct policy_answer a;
	struct request *rq;
	struct tally t;
	struct err e;

	memset(path, 1, sizeof(path) - 1);
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	policy(f, "[policy]\nbase = legacy\n");
	f->w->sink.format = SINK_JSON;
	rq = file_open(f, path, "r");
	assert_true(gate_object(f->w, rq, &object, ENOENT, &a));
	err_set(&e, ERR_GENERIC, "no");
	request_fail(f->w, rq, &e);
	t = take_held(f);
	assert_int_equal(f->w->state->held.dropped, 0);
	assert_int_equal(t.decisions, 1);
	assert_int_equal(t.completions, 1);
}

/* What an op child found is of some kind, or the request ends undecided. */
static void objects_that_are_none(void **state)
{
	static const int64_t wrong[][2] = {
		{-1, LINKS_NONE},        {OBJECT_DIRECTORY + 1, LINKS_NONE},
		{OBJECT_REGULAR, -1},    {OBJECT_REGULAR, LINKS_ANY + 1},
		{INT64_MIN, LINKS_NONE}, {OBJECT_REGULAR, INT64_MAX},
	};
	struct fixture *f = *state;
	struct msg_found found = {.path = v_str("/x"), .exists = V_BOOL(true)};
	struct policy_answer a;
	struct request *rq;

	policy(f, "[policy]\nbase = legacy\n");
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		rq = file_open(f, "/x", "r");
		found.type = V_INT(wrong[i][0]);
		found.links = V_INT(wrong[i][1]);
		assert_false(gate_found(f->w, rq, &found, &a));
		assert_int_equal(rq->serial, 0);
	}
	rq = file_open(f, "/x", "r");
	found.type = V_INT(OBJECT_DIRECTORY);
	found.links = V_INT(LINKS_ANY);
	assert_true(gate_found(f->w, rq, &found, &a));
}

/* What turns or hides the text around it: the bidi controls of Unicode, and more. */
static void hidden_characters(void **state)
{
	static const char *const texts[] = {
		"\xc2\xad",         "\xd8\x9c",     "\xe1\xa0\x8e", "\xe2\x80\x8f",
		"\xe2\x80\xae",     "\xe2\x81\xa7", "\xef\xbf\xb9", "\xef\xbb\xbf",
		"\xf3\xa0\x81\x81", "\x7f",         "\xc2\x9b",     "\n",
		"\xe2\x80\xa8",     "\\",           "\xed\xa0\x80", "\xc0\x8a",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		const struct msg_audit r = {.message = v_str(texts[i])};
		CLEANUP(wbuf_free) struct wbuf w = wbuf_growing(4096);

		journal_entry(&w, &r);
		wbuf_u8(&w, 0);
		if (strncmp((const char *)w.p, "MESSAGE=\\x", 10) != 0)
			fail_msg("%zu: %s", i, (const char *)w.p);
	}
}

/* ---- spins ---- */

static uint64_t cpu_ms(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000 +
	       (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1000;
}

static int over(struct timer *t)
{
	(void)t;
	return -1;
}

/* Milliseconds of CPU time in MS of the loop. */
static uint64_t spent(struct fixture *f, uint64_t ms)
{
	uint64_t from = cpu_ms();
	struct timer t;

	assert_int_equal(timer_init(&f->w->loop, &t, over), 0);
	timer_arm_ms(&t, ms);
	loop_run(&f->w->loop);
	timer_done(&f->w->loop, &t);
	return cpu_ms() - from;
}

/* The writer is behind when a freeze begins; while that lasts, it catches up. */
static void frozen_with_a_writer_that_was_behind(void **state)
{
	struct fixture *f = *state;
	struct worker *w = f->w;
	char text[4096];
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	f->theirs = pair[1];
	assert_int_equal(
		loop_add(&w->loop, &w->sink.writer, pair[0], EPOLLIN, writer_event), 0);
	while (!held_waits(&w->state->held, true))
		worker_log(w, "a line that is long enough to fill something some time");
	sink_hold(&w->sink);
	while (recv(f->theirs, text, sizeof(text), MSG_DONTWAIT) > 0)
		;
	assert_true(spent(f, 300) < 100);
	/* After the thaw it goes on. */
	sink_release(&w->sink);
	assert_true(recv(f->theirs, text, sizeof(text), MSG_DONTWAIT) > 0);
}

static int nothing(struct source *s, uint32_t events)
{
	(void)s, (void)events;
	return 0;
}

/* No descriptor is left for a large entry; we end: that takes no time, of ours or others.
 */
static void ends_without_descriptors(void **state)
{
	struct fixture *f = *state;
	struct sink *s = &f->w->sink;
	static uint8_t text[20000] = "text";
	const struct packet p = {.kind = HELD_OWN, .p = text, .len = sizeof(text)};
	struct rlimit was, now;
	uint64_t began, from;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair), 0);
	f->theirs = pair[1];
	s->format = SINK_JOURNAL;
	s->journal =
		(struct journal){.source.fd = -1, .loop = &f->w->loop, .connected = true};
	assert_int_equal(timer_init(&f->w->loop, &s->journal.retry, over), 0);
	assert_int_equal(loop_add(&f->w->loop, &s->journal.source, pair[0], 0, nothing),
			 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	now = (struct rlimit){.rlim_cur = 3, .rlim_max = was.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
	assert_int_equal(sink_put(s, &p, SINK_KEEP), 0);
	began = now_ms();
	from = cpu_ms();
	sink_end(s);
	setrlimit(RLIMIT_NOFILE, &was);
	assert_true(now_ms() - began < 500);
	assert_true(cpu_ms() - from < 100);
	timer_done(&f->w->loop, &s->journal.retry);
	close_p(&s->journal.source.fd);
}

/* ---- torn lists ---- */

static void put_head(struct held *h, size_t at, uint32_t len, uint32_t kind)
{
	memcpy(h->bytes + at, &len, sizeof(len));
	memcpy(h->bytes + at + sizeof(len), &kind, sizeof(kind));
	memset(h->bytes + at + 8, 0, 16);
}

/* More of one kind than there is room for, as only a stranger writes it. */
static void too_much_of_one_kind(void **state)
{
	struct fixture *f = *state;
	struct held *h = &f->w->state->held;
	static uint8_t text[20000] = "text";

	put_head(h, 0, HELD_MAX - 24, HELD_READ);
	h->used = HELD_MAX;
	held_check(h, h->format);
	for (int kind = 0; kind < HELD_KINDS; kind++) {
		const struct packet p = {
			.kind = (enum held_kind)kind, .p = text, .len = 20000};

		held_put(h, &p, 0);
		assert_true(h->used <= HELD_MAX);
	}
}

/* What a torn list held is not there any more, and the trail says that it lacks. */
static void torn_is_told(void **state)
{
	struct fixture *f = *state;
	struct held *h = &f->w->state->held;
	const struct packet p = {.kind = HELD_ACT, .p = (const uint8_t *)"abc", .len = 3};

	for (int i = 0; i < 10; i++)
		held_put(h, &p, 0);
	h->used -= 1;
	held_check(h, h->format);
	assert_true(h->dropped >= 1);
	assert_int_equal(h->dropped + h->of_kind[HELD_ACT] / 27, 10);
}

/* ---- killed at any moment ---- */

static void sound(const struct held *h)
{
	uint32_t of[HELD_KINDS] = {0};
	size_t at = 0;

	while (at < h->used) {
		uint32_t v[2];

		memcpy(v, h->bytes + at, sizeof(v));
		assert_true(v[1] < HELD_KINDS && v[0] <= h->used - at - 24);
		of[v[1]] += 24 + v[0];
		at += 24 + v[0];
	}
	assert_int_equal(at, h->used);
	for (int k = 0; k < HELD_KINDS; k++) {
		assert_int_equal(of[k], h->of_kind[k]);
		assert_true(of[k] <= held_room((enum held_kind)k));
	}
}

struct shared {
	struct held h;
	volatile uint32_t acts; /* put so far; each holds its number */
};

static _Noreturn void put_for_ever(struct shared *s)
{
	char text[1200];

	memset(text, 'x', sizeof(text)); /* as in a record there is no NUL */

	for (uint32_t n = 0;; n++) {
		const struct packet p = {
			.kind = n % 16 ? HELD_DENIED : HELD_ACT,
			.session = 1,
			.p = (const uint8_t *)text,
			.len = 200 + n % 900,
		};

		snprintf(text, sizeof(text), "%08x", s->acts);
		text[8] = 'x';
		if (held_put(&s->h, &p, 0) && p.kind == HELD_ACT)
			s->acts++;
	}
}

static bool see_act(void *context, const struct packet *p)
{
	bool *seen = context;

	if (p->kind == HELD_ACT) {
		char number[9] = "";
		uint32_t n;

		memcpy(number, p->p, 8);
		n = (uint32_t)strtoul(number, NULL, 16);
		assert_true(n < 4096);
		seen[n] = true;
	}
	return true;
}

/* Others are being pushed out, for which packets are moved: changes are all there. */
static void killed_while_it_moves(void **state)
{
	struct shared *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint32_t lost = 0;

	(void)state;
	assert_ptr_not_equal(s, MAP_FAILED);
	for (int round = 0; round < 150; round++) {
		bool seen[4096] = {false};
		pid_t pid;

		memset(s, 0, sizeof(*s));
		pid = fork();
		if (pid == 0)
			put_for_ever(s);
		usleep(1000 + (useconds_t)random() % 6000);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		held_check(&s->h, s->h.format);
		sound(&s->h);
		held_give(&s->h, false, see_act, seen);
		for (uint32_t n = 0; n < s->acts && n < 4096; n++)
			lost += !seen[n];
	}
	/* At the most the very one that was moved. */
	assert_true(lost < 20);
	munmap(s, sizeof(*s));
}

/* ---- the store against a model ---- */

struct model {
	uint32_t id;
	uint32_t kind;
	uint64_t session;
	size_t len;
};

static struct model all[200000];
static size_t n_all, n_kept;

static bool give_some(void *context, const struct packet *p)
{
	uint32_t *budget = context, id;

	if (!*budget)
		return false;
	--*budget;
	memcpy(&id, p->p, sizeof(id));
	assert_true(id < n_all);
	assert_int_equal(all[id].kind, p->kind);
	assert_int_equal(all[id].session, p->session);
	assert_int_equal(all[id].len, p->len);
	n_kept++;
	return true;
}

static void random_puts(void **state)
{
	struct fixture *f = *state;
	struct held *h = &f->w->state->held;
	static uint8_t text[70000];
	uint64_t refused = 0;
	uint32_t budget;

	srandom(5);
	for (int i = 0; i < 20000; i++) {
		struct model *m = &all[n_all];
		struct packet p;

		m->id = (uint32_t)n_all;
		m->kind = (uint32_t)(random() % HELD_KINDS);
		m->session = random() % 3 ? 1 : (uint64_t)random() % 50;
		m->len = 4 + (size_t)(random() % (random() % 50 ? 900 : 65000));
		memcpy(text, &m->id, 4);
		p = (struct packet){.kind = (enum held_kind)m->kind,
				    .session = m->session,
				    .p = text,
				    .len = m->len};
		n_all++;
		if (!held_put(h, &p, random() % 2 ? 0 : (size_t)(random() % 200000)))
			refused++;
		if (i % 97 == 0)
			sound(h);
		if (random() % 400 == 0) {
			budget = (uint32_t)random() % 300;
			held_give(h, random() % 2, give_some, &budget);
			sound(h);
		}
		if (random() % 2000 == 0)
			held_check(h, h->format);
	}
	budget = UINT32_MAX;
	assert_true(held_give(h, true, give_some, &budget));
	assert_true(held_give(h, false, give_some, &budget));
	assert_int_equal(h->used, 0);
	assert_int_equal(n_kept + refused + h->dropped + h->lines_dropped, n_all);
}

/* Any byte, any word of it, changed; then it is used. */
static void random_tears(void **state)
{
	struct fixture *f = *state;
	struct held *h = &f->w->state->held;
	static uint8_t text[9000] = "text";
	uint32_t budget;

	srandom(6);
	n_all = 0;
	for (int round = 0; round < 3000; round++) {
		for (int i = 0; i < 20; i++) {
			const struct packet p = {
				.kind = (enum held_kind)(random() % HELD_KINDS),
				.session = (uint64_t)random() % 4,
				.p = text,
				.len = 1 + (size_t)random() % 9000};

			held_put(h, &p, 0);
		}
		for (int i = 0; i < 3; i++) {
			size_t at = h->used ? (size_t)random() % h->used : 0;
			uint32_t v = (uint32_t)random() >> random() % 31;

			if (random() % 2)
				at = 0;
			if (at + 4 <= HELD_MAX)
				memcpy(h->bytes + at, &v, 4);
		}
		if (random() % 3 == 0)
			h->used = (uint32_t)random() % (HELD_MAX + 10);
		if (random() % 3 == 0)
			h->of_kind[random() % HELD_KINDS] = (uint32_t)random();
		held_check(h, random() % 9 ? h->format : 7);
		sound(h);
		budget = 0;
		held_give(h, round & 1, give_some, &budget);
		sound(h);
	}
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	static const struct CMUnitTest tests[] = {
		WITH(unfound_without_a_journal),
		WITH(required_without_a_place),
		WITH(refused_changes_leave_room),
		WITH(thaws_leave_room),
		WITH(hostile_path),
		WITH(objects_that_are_none),
		WITH(hidden_characters),
		WITH(frozen_with_a_writer_that_was_behind),
		WITH(ends_without_descriptors),
		WITH(too_much_of_one_kind),
		WITH(torn_is_told),
		WITH(killed_while_it_moves),
		WITH(random_puts),
		WITH(random_tears),
	};

	return cmocka_run_group_tests_name("attack trail", tests, NULL, NULL);
}
