/*
 * tests/unit/test_reload.c - another policy in the place of the one in force
 *
 * Runs in:   a test, with a clock of its own
 * Input:     images as the reader would send them; requests as frames
 * May touch: socket pairs in the place of the reader, of the writer and of the frontend;
 *            the descriptor at which the worker listens for posternctl
 * Must not:  start a process: what is asked for is held by hand
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include <cmocka.h>

#include "ipc/control.h"
#include "ipc/launch.h"
#include "ipc/memfd.h"
#include "ipc/note.h"
#include "policy/locked.h"
#include "tests/lib/fds.h"
#include "tests/lib/simclock.h"
#include "tests/lib/trail.h"

#define SECOND 1000u

/* What a policy of each name allows; a rule's name tells whose it is. */
#define RULES(x, on_reload)                                                              \
	"[policy]\nbase = none\non-reload = " on_reload "\n"                             \
	"[rule \"" x "-facts\"]\neffect = allow\ncommand = guest-get-host-name\n"        \
	"[rule \"" x "-files\"]\neffect = allow\ncommand = @file-read ; @file-write\n"   \
	"path-beneath = /" x "\n"                                                        \
	"[rule \"same\"]\neffect = allow\ncommand = guest-exec\npath = /" x "/program\n" \
	"concurrent = 2\n"
static const char a_text[] = RULES("a", "keep");
static const char b_text[] = RULES("b", "keep");
static const char b_revokes[] = RULES("b", "revoke");
/* The rule `same` stands at another place: at that of A's is one of its own. */
static const char c_text[] =
	"[policy]\nbase = none\non-reload = keep\n"
	"[rule \"c-no\"]\neffect = deny\ncommand = guest-get-host-name\n"
	"[rule \"c-more\"]\neffect = allow\ncommand = guest-get-osinfo\n"
	"[rule \"c-other\"]\neffect = allow\ncommand = guest-exec\npath = /c/program\n"
	"concurrent = 1\n"
	"[rule \"same\"]\neffect = allow\ncommand = guest-exec\npath = /a/program\n"
	"concurrent = 2\n";
static const char locks[] = "[policy]\nbase = none\nlock = yes\n";
static const char greedy[] = "[policy]\nbase = legacy\n";

struct fixture {
	struct trail trail;
	struct worker *w;
	struct wbuf wire;
	uint32_t id;
	int frontend; /* its end */
	uint8_t buf[FRAME_MAX];
	struct arena arena;
	struct op_child child; /* an open file */
};

/* ---- in the place of the reader ---- */

static struct {
	int theirs; /* its end of the socket */
	uint32_t question;
	unsigned int kept;
	bool was_last; /* what was kept, it was told */
} reader = {.theirs = -1};

static int image_fd(const char *text)
{
	CLEANUP(wbuf_free) struct wbuf image = {0};
	struct policy p;

	policy_of_text(&p, &image, text);
	return memfd_of("image", image.p, image.len);
}

static void hear(struct fixture *f)
{
	struct frame frame;

	while (frame_recv(reader.theirs, f->buf, &frame) == FRAME_OK) {
		if (frame.type == FRAME_KEEP) {
			reader.kept++;
			reader.was_last = frame.body[0];
		} else if (frame.type == FRAME_READ) {
			reader.question = frame.request;
		} else {
			assert_true(hello_fits(&frame));
		}
	}
}

/* Number of the question that it has been asked; 0: there is none. */
static uint32_t asked(struct fixture *f)
{
	uint32_t question;

	hear(f);
	question = reader.question;
	reader.question = 0;
	return question;
}

/* How often it was told to keep what it read. */
static unsigned int kept(struct fixture *f)
{
	hear(f);
	return reader.kept;
}

/* It comes, as the supervisor would send it. */
static int begin(struct worker *w)
{
	uint8_t body[HELLO_LEN];
	struct frame hello = hello_frame(body);
	int pair[2];

	close_p(&reader.theirs);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	reader.theirs = pair[1];
	return frame_send(reader.theirs, &hello) == FRAME_OK ? reload_reader(w, pair[0])
							     : -1;
}

static void run(void *arg)
{
	struct fixture *f = arg;
	struct epoll_event ev;

	while (epoll_wait(f->w->loop.epfd, &ev, 1, 0) > 0) {
		struct source *s = ev.data.ptr;

		assert_int_equal(s->fn(s, ev.events), 0);
	}
}

static void send_image(uint32_t question, int fd, const char *lines)
{
	assert_int_equal(frame_send(reader.theirs,
				    &(struct frame){
					    .type = FRAME_IMAGE,
					    .request = question,
					    .body = (const uint8_t *)lines,
					    .len = (uint32_t)strlen(lines),
					    .n_fds = 1,
					    .fds = {fd, -1},
				    }),
			 FRAME_OK);
	close(fd);
}

static void answer_fd(struct fixture *f, uint32_t question, int fd, const char *lines)
{
	send_image(question, fd, lines);
	run(f);
}

/* The question that is open is answered with the policy of TEXT. */
static void answer(struct fixture *f, const char *text)
{
	uint32_t question = asked(f);

	assert_int_not_equal(question, 0);
	answer_fd(f, question, image_fd(text), "");
}

/* From the question to the end. */
static void reload(struct fixture *f, const char *text)
{
	reload_ask(f->w);
	answer(f, text);
}

/* ---- a worker ---- */

static int listen_for_posternctl(void)
{
	const struct sockaddr_un here = {.sun_family = AF_UNIX}; /* the kernel names it */
	CLEANUP(close_p)
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fcntl(LAUNCH_FD_CONTROL, F_GETFD) >= 0 ||
	    bind(fd, (const void *)&here, sizeof(here.sun_family)) < 0 ||
	    listen(fd, 8) < 0)
		return -1;
	return dup2(fd, LAUNCH_FD_CONTROL) < 0 ? -1 : 0;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int pair[2];

	if (!f || listen_for_posternctl() < 0 || trail_open(&f->trail, a_text) < 0)
		return -1;
	*state = f;
	f->w = f->trail.w;
	f->wire = wbuf_growing(64 * 1024);
	f->arena = (struct arena){.p = malloc(ARENA_SIZE), .cap = ARENA_SIZE};
	f->w->control.fd = LAUNCH_FD_CONTROL;
	generation_drop(&f->w->gen);
	reader.kept = 0;
	if (!f->arena.p ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0 ||
	    begin(f->w) < 0)
		return -1;
	/* It has answered before it is asked: the loop runs until then. */
	send_image(1, image_fd(a_text), "");
	if (reload_first(f->w) < 0 || control_init(f->w) < 0 || asked(f) != 1)
		return -1;
	f->w->frontend.source.fd = pair[0];
	f->frontend = pair[1];
	f->w->held = policy_needs(f->w, &f->w->gen->policy);
	return kept(f) == 1 ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	int fd = LAUNCH_FD_CONTROL;

	for (size_t i = 0; i < CONTROL_MAX; i++)
		peer_close(&f->w->controls[i].peer);
	peer_close(&f->w->reader);
	timer_done(&f->w->loop, &f->w->reload.late);
	close_p(&f->w->frontend.source.fd);
	close_p(&f->frontend);
	close_p(&reader.theirs);
	close_p(&fd);
	trail_close(&f->trail);
	wbuf_free(&f->wire);
	free(f->arena.p);
	free(f);
	return 0;
}

static void pass(struct fixture *f, uint64_t ms)
{
	simclock_pass(ms, run, f);
}

/* ---- records ---- */

/* The next record is an EVENT and has PART. */
static const char *recorded(struct fixture *f, const char *event, const char *part)
{
	const char *line = trail_next(&f->trail);
	char text[64];

	snprintf(text, sizeof(text), "\"POSTERN_EVENT\": \"%s\"", event);
	trail_has(line, text);
	trail_has(line, part);
	return line;
}

static void nothing_recorded(struct fixture *f)
{
	const char *line = trail_next(&f->trail);

	if (line)
		fail_msg("a record: %s", line);
}

static void assert_digest(const char *line, const struct generation *g)
{
	trail_has(line, g->digest);
}

/* ---- posternctl ---- */

struct client {
	int fd;
};

static void client_open(struct fixture *f, struct client *c)
{
	uint8_t body[HELLO_LEN];
	struct frame hello = hello_frame(body), frame;
	struct sockaddr_un addr;
	socklen_t len = sizeof(addr);

	c->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(getsockname(LAUNCH_FD_CONTROL, (void *)&addr, &len), 0);
	assert_int_equal(connect(c->fd, (void *)&addr, len), 0);
	run(f);
	assert_int_equal(frame_send(c->fd, &hello), FRAME_OK);
	run(f);
	assert_int_equal(frame_recv(c->fd, f->buf, &frame), FRAME_OK);
	assert_true(hello_fits(&frame));
}

static void client_asks(struct fixture *f, const struct client *c, enum control_verb verb)
{
	const struct msg_control m = {.verb = {.v = (uint8_t)verb, .set = true}};
	uint8_t buf[16];
	struct wbuf body = wbuf_fixed(buf, sizeof(buf));

	schema_put(&body, &schema_control, &m);
	assert_int_equal(frame_send(c->fd,
				    &(struct frame){
					    .type = FRAME_CONTROL,
					    .body = buf,
					    .len = (uint32_t)body.len,
				    }),
			 FRAME_OK);
	run(f);
}

/* What it is told; false: nothing so far, or no more. */
static bool client_told(struct fixture *f, const struct client *c,
			struct msg_controlled *m)
{
	struct frame frame;
	struct rbuf r;

	if (frame_recv(c->fd, f->buf, &frame) != FRAME_OK)
		return false;
	assert_int_equal(frame.type, FRAME_CONTROLLED);
	r = rbuf_of(frame.body, frame.len);
	f->arena.len = 0;
	assert_int_equal(schema_get(&r, &schema_controlled, &f->arena, m), 0);
	return true;
}

static void assert_told(struct fixture *f, const struct client *c,
			enum reload_outcome outcome)
{
	struct msg_controlled m = {0};

	assert_true(client_told(f, c, &m));
	assert_string_equal(names_reload_outcome.v[m.outcome.v],
			    names_reload_outcome.v[outcome]);
}

static void assert_told_nothing(struct fixture *f, const struct client *c)
{
	struct msg_controlled m = {0};

	assert_false(client_told(f, c, &m));
}

/* ---- ends ---- */

static void done(void **state)
{
	struct fixture *f = *state;
	const struct generation *first = f->w->gen;
	char digest[2 * SHA256_LEN + 1];
	struct frame frame;
	size_t fds = fds_open();

	memcpy(digest, first->digest, sizeof(digest));
	reload(f, b_text);
	assert_int_equal(f->w->gen->number, 2);
	assert_string_not_equal(f->w->gen->digest, digest);
	assert_digest(recorded(f, "reload", "\"POSTERN_RESULT\": \"ok\""), f->w->gen);
	nothing_recorded(f);
	assert_int_equal(kept(f), 2);
	assert_int_equal(f->w->gen->users, 1);
	/* The frontend has the same bytes under the same number. */
	assert_int_equal(frame_recv(f->frontend, f->buf, &frame), FRAME_OK);
	assert_int_equal(frame.type, FRAME_POLICY);
	assert_int_equal(frame.generation, 2);
	assert_int_equal(memfd_sealed_size(frame.fds[0]), f->w->gen->size);
	frame_close_fds(&frame);
	for (int i = 0; i < 20; i++) {
		reload(f, i % 2 ? b_text : a_text);
		recorded(f, "reload", "\"ok\"");
		assert_int_equal(frame_recv(f->frontend, f->buf, &frame), FRAME_OK);
		frame_close_fds(&frame);
	}
	assert_int_equal(f->w->gen->number, 22);
	assert_int_equal(fds_open(), fds);
}

static void unchanged(void **state)
{
	struct fixture *f = *state;
	const struct generation *first = f->w->gen;
	size_t fds = fds_open();

	for (int i = 0; i < 5; i++) {
		reload(f, a_text);
		assert_digest(recorded(f, "reload", "\"POSTERN_RESULT\": \"unchanged\""),
			      first);
	}
	assert_ptr_equal(f->w->gen, first);
	assert_int_equal(first->number, 1);
	assert_int_equal(kept(f), 1);
	assert_int_equal(fds_open(), fds);
	/* Nobody had to be told. */
	assert_int_equal(recv(f->frontend, f->buf, 1, MSG_DONTWAIT), -1);
}

/* OUTCOME with the record, and all as it was. */
static void assert_refused(struct fixture *f, const struct generation *first,
			   enum reload_outcome outcome, const char *why)
{
	assert_digest(recorded(f, "policy-refused", why), first);
	nothing_recorded(f);
	assert_ptr_equal(f->w->gen, first);
	assert_int_equal(first->number, 1);
	assert_int_equal(first->users, 1);
	assert_int_equal(f->w->reload.outcome, outcome);
	assert_int_equal(f->w->reload.state, RELOADS_NOT);
	assert_int_equal(kept(f), 1);
	assert_int_equal(recv(f->frontend, f->buf, 1, MSG_DONTWAIT), -1);
}

static void mistakes(void **state)
{
	CLEANUP(wbuf_free) struct wbuf image = wbuf_growing(IMAGE_MAX);
	struct fixture *f = *state;
	struct client c;
	struct msg_controlled m = {0};

	policy_locked_down("2 mistakes in the policy, the first in x.conf:1: no", &image);
	client_open(f, &c);
	client_asks(f, &c, CONTROL_RELOAD);
	answer_fd(f, asked(f), memfd_of("image", image.p, image.len),
		  "x.conf:1: no\nx.conf:2: neither\n");
	assert_refused(f, f->w->gen, RELOAD_MISTAKES, "\"POSTERN_DETAIL\": \"2 mistakes");
	assert_true(client_told(f, &c, &m));
	assert_int_equal(m.outcome.v, RELOAD_MISTAKES);
	assert_int_equal(m.mistakes.len, strlen("x.conf:1: no\nx.conf:2: neither\n"));
	close(c.fd);
}

static void more_than_is_held(void **state)
{
	struct fixture *f = *state;

	reload(f, greedy);
	assert_refused(f, f->w->gen, RELOAD_RESTART, "restart the agent");
	/* What it does not need is not what is missing. */
	trail_lacks(f->trail.line, "no-spawner");
	trail_has(f->trail.line, "sys_time");
}

static void no_policy(void **state)
{
	static const uint8_t bytes[4096] = "POLICY?";
	CLEANUP(wbuf_free) struct wbuf image = {0};
	struct fixture *f = *state;
	const struct generation *first = f->w->gen;
	size_t fds = fds_open();
	struct policy p;
	int fd;

	policy_of_text(&p, &image, b_text);
	for (size_t len = 0; len < image.len; len += 1 + len) {
		reload_ask(f->w);
		answer_fd(f, asked(f), memfd_of("image", image.p, len), "");
		assert_refused(f, first, RELOAD_FAILED, "is no policy");
	}
	reload_ask(f->w);
	answer_fd(f, asked(f), memfd_of("image", bytes, sizeof(bytes)), "");
	assert_refused(f, first, RELOAD_FAILED, "is no policy");
	fd = memfd_open("image");
	assert_int_equal(write(fd, image.p, image.len), image.len);
	reload_ask(f->w);
	answer_fd(f, asked(f), fd, "");
	assert_refused(f, first, RELOAD_FAILED, "is no policy");
	assert_int_equal(fds_open(), fds);
}

/* ---- who reads ---- */

static void too_late(void **state)
{
	struct fixture *f = *state;
	uint32_t question;

	reload_ask(f->w);
	question = asked(f);
	pass(f, POLICY_READ_MS - 1);
	nothing_recorded(f);
	pass(f, 1);
	assert_refused(f, f->w->gen, RELOAD_FAILED, "could not be read within 10 s");
	/* It was told as failed: it must not come into force behind that. */
	answer_fd(f, question, image_fd(b_text), "");
	nothing_recorded(f);
	assert_int_equal(f->w->gen->number, 1);
	reload_ask(f->w);
	answer_fd(f, question, image_fd(b_text), "");
	assert_int_equal(f->w->gen->number, 1);
	answer(f, b_text);
	recorded(f, "reload", "\"ok\"");
	pass(f, 60 * SECOND);
	nothing_recorded(f);
}

/* What one that died was asked, the next is asked. */
static void reader_gone(void **state)
{
	struct fixture *f = *state;

	reload_ask(f->w);
	assert_int_not_equal(asked(f), 0);
	close_p(&reader.theirs);
	run(f);
	assert_int_equal(f->w->reader.source.fd, -1);
	nothing_recorded(f);
	assert_int_equal(begin(f->w), 0);
	recorded(f, "child-restart", "\"POSTERN_PROCESS\": \"reader\"");
	run(f);
	answer(f, b_text);
	recorded(f, "reload", "\"ok\"");
	assert_int_equal(kept(f), 2);
	assert_false(reader.was_last);
	/* At rest none is asked. */
	assert_int_equal(begin(f->w), 0);
	recorded(f, "child-restart", "\"POSTERN_PROCESS\": \"reader\"");
	run(f);
	assert_int_equal(asked(f), 0);
	pass(f, 60 * SECOND);
	nothing_recorded(f);
}

/* One whose place nobody takes costs each reload its time, and one record. */
static void nobody_reads(void **state)
{
	struct fixture *f = *state;

	close_p(&reader.theirs);
	run(f);
	for (int i = 0; i < 3; i++) {
		reload_ask(f->w);
		pass(f, POLICY_READ_MS - 1);
		nothing_recorded(f);
		pass(f, 1);
		assert_refused(f, f->w->gen, RELOAD_FAILED, "within 10 s");
	}
	pass(f, 60 * SECOND);
	nothing_recorded(f);
}

static void reader_breaks_the_rules(void **state)
{
	struct fixture *f = *state;
	const struct frame wrong[] = {{.type = FRAME_IMAGE}, {.type = FRAME_READ}};

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		reload_ask(f->w);
		assert_int_not_equal(asked(f), 0);
		assert_int_equal(frame_send(reader.theirs, &wrong[i]), FRAME_OK);
		run(f);
		recorded(f, "child-violation", "illegal message");
		assert_int_equal(f->w->reader.source.fd, -1);
		assert_int_equal(begin(f->w), 0);
		recorded(f, "child-restart", "reader");
		run(f);
		answer(f, a_text);
		recorded(f, "reload", "\"unchanged\"");
	}
	assert_int_equal(kept(f), 1);
}

/* What nobody asked for is not taken. */
static void unasked(void **state)
{
	struct fixture *f = *state;

	answer_fd(f, 0, image_fd(b_text), "");
	answer_fd(f, 1, image_fd(b_text), "");
	nothing_recorded(f);
	assert_int_equal(f->w->gen->number, 1);
	reload(f, b_text);
	recorded(f, "reload", "\"ok\"");
	answer_fd(f, f->w->reload.asked, image_fd(a_text), "");
	nothing_recorded(f);
	assert_int_equal(f->w->gen->number, 2);
}

/* ---- more than one at a time ---- */

static void again(void **state)
{
	struct fixture *f = *state;
	uint32_t question;

	for (int i = 0; i < 5; i++)
		reload_ask(f->w);
	question = asked(f);
	assert_int_equal(asked(f), 0);
	answer_fd(f, question, image_fd(b_text), "");
	recorded(f, "reload", "\"ok\"");
	/* Those that came meanwhile are one. */
	answer(f, b_text);
	recorded(f, "reload", "\"unchanged\"");
	assert_int_equal(asked(f), 0);
	nothing_recorded(f);
}

/* Who asks once the files were read is told of the reading that comes after. */
static void asks_in_between(void **state)
{
	CLEANUP(wbuf_free) struct wbuf image = wbuf_growing(IMAGE_MAX);
	struct fixture *f = *state;
	struct client early, late;

	policy_locked_down("1 mistake", &image);
	client_open(f, &early);
	client_open(f, &late);
	client_asks(f, &early, CONTROL_RELOAD);
	client_asks(f, &late, CONTROL_RELOAD);
	answer(f, b_text);
	recorded(f, "reload", "\"ok\"");
	assert_told(f, &early, RELOAD_DONE);
	assert_told_nothing(f, &late);
	/* Meanwhile the file is another: its own. */
	answer_fd(f, asked(f), memfd_of("image", image.p, image.len), "");
	recorded(f, "policy-refused", "1 mistake");
	assert_told(f, &late, RELOAD_MISTAKES);
	assert_told_nothing(f, &early);
	/* The same where it comes too late, or nobody is left to read. */
	client_asks(f, &early, CONTROL_RELOAD);
	client_asks(f, &late, CONTROL_RELOAD);
	assert_int_not_equal(asked(f), 0);
	pass(f, POLICY_READ_MS);
	assert_told(f, &early, RELOAD_FAILED);
	assert_told_nothing(f, &late);
	assert_int_not_equal(asked(f), 0);
	close_p(&reader.theirs);
	client_asks(f, &early, CONTROL_RELOAD);
	pass(f, POLICY_READ_MS);
	assert_told(f, &late, RELOAD_FAILED);
	assert_told_nothing(f, &early);
	pass(f, POLICY_READ_MS);
	assert_told(f, &early, RELOAD_FAILED);
	close(early.fd);
	close(late.fd);
}

static void locked(void **state)
{
	struct fixture *f = *state;
	struct client early, late;

	client_open(f, &early);
	client_open(f, &late);
	client_asks(f, &early, CONTROL_RELOAD);
	client_asks(f, &late, CONTROL_RELOAD);
	answer(f, locks);
	recorded(f, "reload", "\"ok\"");
	recorded(f, "policy-refused", "lock = yes");
	assert_told(f, &early, RELOAD_DONE);
	assert_told(f, &late, RELOAD_LOCKED);
	/* What it read is in force, and that was all. */
	assert_int_equal(kept(f), 2);
	assert_true(reader.was_last);
	assert_int_equal(f->w->reader.source.fd, -1);
	client_asks(f, &early, CONTROL_RELOAD);
	assert_told(f, &early, RELOAD_LOCKED);
	recorded(f, "policy-refused", "lock = yes");
	pass(f, 60 * SECOND);
	nothing_recorded(f);
	close(early.fd);
	close(late.fd);
}

/* ---- while something is frozen ---- */

static void frozen(void **state)
{
	struct fixture *f = *state;
	struct freeze *z = &f->w->freeze;
	struct client c, d;

	client_open(f, &c);
	client_open(f, &d);
	z->state = FS_FROZEN;
	client_asks(f, &c, CONTROL_RELOAD);
	assert_told(f, &c, RELOAD_WAITS);
	reload_ask(f->w);
	assert_int_equal(f->w->reload.state, RELOADS_LATER);
	client_asks(f, &d, CONTROL_RELOAD);
	assert_told(f, &d, RELOAD_WAITS);
	assert_int_equal(asked(f), 0);
	pass(f, 3600 * SECOND);
	nothing_recorded(f);
	/* A thaw whose hook still runs. */
	z->state = FS_THAWED;
	z->step = STEP_HOOKS;
	reload_thawed(f->w);
	assert_int_equal(asked(f), 0);
	freeze_idle(f->w);
	/* Who waited is told again, each time that somebody else asks. */
	while (recv(c.fd, f->buf, sizeof(f->buf), MSG_DONTWAIT) > 0 ||
	       recv(d.fd, f->buf, sizeof(f->buf), MSG_DONTWAIT) > 0)
		;
	answer(f, b_text);
	recorded(f, "reload", "\"ok\"");
	assert_told(f, &c, RELOAD_DONE);
	assert_told(f, &d, RELOAD_DONE);
	assert_int_equal(asked(f), 0);
	reload_thawed(f->w);
	assert_int_equal(asked(f), 0);
	close(c.fd);
	close(d.fd);
}

static void freeze_while_reading(void **state)
{
	struct fixture *f = *state;
	struct freeze *z = &f->w->freeze;
	struct client c, late;
	uint32_t question;

	client_open(f, &c);
	client_open(f, &late);
	client_asks(f, &c, CONTROL_RELOAD);
	question = asked(f);
	z->state = FS_FREEZING;
	z->step = STEP_LIST;
	client_asks(f, &late, CONTROL_RELOAD);
	answer_fd(f, question, image_fd(b_text), "");
	assert_int_equal(f->w->gen->number, 1);
	assert_told(f, &c, RELOAD_WAITS);
	assert_told(f, &late, RELOAD_WAITS);
	nothing_recorded(f);
	pass(f, 3600 * SECOND);
	nothing_recorded(f);
	/* It fails. What was read then may be old by now. */
	z->state = FS_THAWED;
	freeze_idle(f->w);
	while (recv(c.fd, f->buf, sizeof(f->buf), MSG_DONTWAIT) > 0 ||
	       recv(late.fd, f->buf, sizeof(f->buf), MSG_DONTWAIT) > 0)
		;
	answer(f, c_text);
	recorded(f, "reload", "\"ok\"");
	assert_int_equal(f->w->gen->policy.head->n_rules >= 3, true);
	assert_told(f, &c, RELOAD_DONE);
	assert_told(f, &late, RELOAD_DONE);
	nothing_recorded(f);
	close(c.fd);
	close(late.fd);
}

/* Whoever hangs up while it waits is nobody's problem; its place is free. */
static void hangs_up(void **state)
{
	struct fixture *f = *state;
	struct client c[CONTROL_MAX], more;
	struct frame frame;

	f->w->freeze.state = FS_FROZEN;
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < CONTROL_MAX; i++) {
			client_open(f, &c[i]);
			client_asks(f, &c[i], CONTROL_RELOAD);
		}
		/* One more is hung up on. */
		more.fd =
			socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		{
			struct sockaddr_un addr;
			socklen_t len = sizeof(addr);

			assert_int_equal(
				getsockname(LAUNCH_FD_CONTROL, (void *)&addr, &len), 0);
			assert_int_equal(connect(more.fd, (void *)&addr, len), 0);
		}
		run(f);
		assert_int_equal(frame_recv(more.fd, f->buf, &frame), FRAME_GONE);
		close(more.fd);
		for (size_t i = 0; i < CONTROL_MAX; i++)
			close(c[i].fd);
		run(f);
	}
	f->w->freeze.state = FS_THAWED;
	freeze_idle(f->w);
	answer(f, b_text);
	recorded(f, "reload", "\"ok\"");
	nothing_recorded(f);
}

/* ---- what stands on the one before ---- */

static void ask_as(struct fixture *f, uint32_t number, const void *args,
		   uint32_t generation, uint16_t flags)
{
	const struct msg_request_head head = {.session = V_U64(3)};
	struct frame frame = {
		.type = FRAME_REQUEST,
		.op = (uint16_t)number,
		.request = ++f->id,
		.generation = generation,
		.flags = flags,
	};

	wbuf_free(&f->wire);
	schema_put(&f->wire, &schema_request_head, &head);
	schema_put(&f->wire, op_by_number(number)->args, args);
	frame.body = f->wire.p;
	frame.len = (uint32_t)f->wire.len;
	assert_int_equal(gate_request(f->w, &frame), 0);
}

static void poll_host_name(struct fixture *f)
{
	ask_as(f, OP_get_host_name, "", f->w->gen->number, 0);
}

static struct request *under_way(struct fixture *f)
{
	for (size_t i = 0; i < ARRAY_SIZE(f->w->requests); i++)
		if (f->w->requests[i].serial)
			return &f->w->requests[i];
	return NULL;
}

/*
 * A request to open /a/file that was allowed and has not looked yet, as if its op child
 * were about to answer.
 */
static struct request *opening(struct fixture *f)
{
	const struct msg_request_head head = {.session = V_U64(3)};
	const struct msg_file_open args = {.path = v_str("/a/file"), .mode = v_str("r")};
	const struct policy_answer none = {.rule = -1};
	const struct asked q = {.gen = f->w->gen, .number = OP_file_open};
	struct request *rq = request_begin(f->w, &q, &none);
	struct rbuf r;

	assert_non_null(rq);
	rq->serial = ++f->w->last_serial;
	rq->id = ++f->id;
	wbuf_free(&f->wire);
	schema_put(&f->wire, &schema_request_head, &head);
	schema_put(&f->wire, op_by_number(OP_file_open)->args, &args);
	r = rbuf_of(f->wire.p, f->wire.len);
	assert_int_equal(request_keep(f->w, rq, &r), 0);
	return rq;
}

/* The text of the error that the frontend is told of; past policies that it was handed.
 */
static const char *error(struct fixture *f)
{
	static struct err e;
	struct frame frame;

	do {
		if (frame_recv(f->frontend, f->buf, &frame) != FRAME_OK)
			return NULL;
		frame_close_fds(&frame);
	} while (frame.type == FRAME_POLICY);
	assert_int_equal(frame.type, FRAME_REPLY);
	assert_true(frame.flags & FRAME_ERROR);
	err_get(&e, frame.body, frame.len);
	return e.desc;
}

static const struct policy_object found = {
	.path = {.p = "/a/file", .len = 7, .set = true},
	.exists = true,
};

/* It stands on the policy by which it began, and is decided by that to the end. */
static void kept_to_the_end(void **state)
{
	struct fixture *f = *state;
	char digest[2 * SHA256_LEN + 1];
	struct request *rq = opening(f);
	struct generation *first = rq->gen;
	struct policy_answer a;

	memcpy(digest, first->digest, sizeof(digest));
	assert_int_equal(first->users, 2);
	reload(f, b_text);
	recorded(f, "reload", "\"ok\"");
	assert_ptr_equal(under_way(f), rq);
	assert_ptr_equal(rq->gen, first);
	assert_int_equal(first->users, 1);
	assert_true(gate_object(f->w, rq, &found, 0, &a));
	trail_has(recorded(f, "decision", "\"POSTERN_DECISION\": \"allow\""), digest);
	trail_has(f->trail.line, "\"POSTERN_RULE\": \"a-files\"");
	assert_int_equal(rq->rule, a.rule);
	request_done(f->w, rq, &(struct wbuf){0});
	recorded(f, "complete", "\"ok\"");
	assert_null(under_way(f));
}

static void revoked(void **state)
{
	struct fixture *f = *state;
	struct request *undecided = opening(f), *decided = opening(f);
	char digest[2 * SHA256_LEN + 1];
	struct policy_answer a;
	uint64_t serial = undecided->serial;

	memcpy(digest, f->w->gen->digest, sizeof(digest));
	assert_true(gate_object(f->w, decided, &found, 0, &a));
	recorded(f, "decision", "\"allow\"");
	reload(f, b_revokes);
	recorded(f, "reload", "\"ok\"");
	assert_null(under_way(f));
	trail_has(recorded(f, "decision", "\"POSTERN_DECISION\": \"deny\""), digest);
	trail_has(f->trail.line, "\"POSTERN_REASON\": \"reload\"");
	trail_lacks(f->trail.line, "POSTERN_RULE\"");
	assert_int_equal(trail_number(f->trail.line, "POSTERN_REQUEST"), serial);
	recorded(f, "complete", "\"refused\"");
	assert_non_null(strstr(error(f), "has been disabled"));
	recorded(f, "complete", "\"failed\"");
	assert_non_null(strstr(error(f), "the policy was replaced"));
	assert_null(error(f));
	nothing_recorded(f);
	assert_int_equal(f->w->gen->users, 1);
}

/* Nobody hears of one whose client has gone; it leaves its records all the same. */
static void revoked_and_abandoned(void **state)
{
	struct fixture *f = *state;

	opening(f)->abandoned = true;
	reload(f, b_revokes);
	recorded(f, "reload", "\"ok\"");
	recorded(f, "decision", "\"POSTERN_REASON\": \"reload\"");
	recorded(f, "complete", "\"refused\"");
	assert_null(error(f));
}

/* What reads, and what cannot be taken back, ends by the policy by which it began. */
static void others_go_on(void **state)
{
	struct fixture *f = *state;

	poll_host_name(f);
	recorded(f, "decision", "\"a-facts\"");
	reload(f, b_revokes);
	recorded(f, "reload", "\"ok\"");
	assert_non_null(under_way(f));
	request_done(f->w, under_way(f), &(struct wbuf){0});
	recorded(f, "complete", "\"ok\"");
}

/* An open file as its op child would be it. */
static void has_open_file(struct fixture *f)
{
	f->child = (struct op_child){
		.w = f->w,
		.reply.fd = -1,
		.child.exit.fd = -1,
		.handle = &f->w->handles[5],
	};
	f->w->handles[5] =
		(struct handle){.number = 1005, .child = &f->child, .request = 1};
	f->w->files = f->w->children = 1;
}

static void open_files(void **state)
{
	struct fixture *f = *state;
	struct request *rq;

	has_open_file(f);
	reload(f, b_text);
	recorded(f, "reload", "\"ok\"");
	nothing_recorded(f);
	assert_int_equal(f->w->files, 1);
	/* One that is read from. */
	rq = opening(f);
	rq->undecided = false;
	rq->op = OP_file_read;
	rq->child = &f->child;
	f->child.rq = rq;
	reload(f, b_revokes);
	recorded(f, "reload", "\"ok\"");
	recorded(f, "complete", "\"failed\"");
	recorded(f, "file-close", "\"POSTERN_RESULT\": \"revoked\"");
	assert_non_null(
		strstr(error(f), "handle '1005' was closed: the policy was replaced"));
	assert_int_equal(f->w->files, 0);
	assert_int_equal(f->w->handles[5].number, 0);
	assert_null(f->child.handle);
	assert_null(f->child.rq);
	nothing_recorded(f);
}

/* ---- the frontend's mark ---- */

/* The next is recorded in full. */
static void forget_counts(struct fixture *f)
{
	memset(f->w->state->repeats, 0, sizeof(f->w->state->repeats));
}

static void marks_of_an_older_policy(void **state)
{
	struct fixture *f = *state;
	const uint16_t refused[] = {0, FRAME_REFUSED};

	reload(f, c_text);
	recorded(f, "reload", "\"ok\"");
	/* Allowed by A, denied by C: its mark came from A, and neither is a skew. */
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		forget_counts(f);
		ask_as(f, OP_get_host_name, "", 1, refused[i]);
		recorded(f, "decision", "\"POSTERN_REASON\": \"explicit-deny\"");
		trail_lacks(f->trail.line, "SKEW");
		trail_has(f->trail.line, "\"c-no\"");
		assert_digest(f->trail.line, f->w->gen);
		recorded(f, "complete", "\"refused\"");
		assert_non_null(error(f));
	}
	/* Denied by C, allowed by A: the worker's word alone counts. */
	reload(f, a_text);
	recorded(f, "reload", "\"ok\"");
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		forget_counts(f);
		ask_as(f, OP_get_host_name, "", 2, refused[i]);
		recorded(f, "decision", "\"POSTERN_DECISION\": \"allow\"");
		trail_lacks(f->trail.line, "SKEW");
		trail_has(f->trail.line, "\"a-facts\"");
		request_done(f->w, under_way(f), &(struct wbuf){0});
		recorded(f, "complete", "\"ok\"");
	}
	/* Of the one in force it counts as ever. */
	forget_counts(f);
	ask_as(f, OP_get_host_name, "", 3, FRAME_REFUSED);
	recorded(f, "decision", "\"POSTERN_REASON\": \"frontend\"");
	trail_has(f->trail.line, "SKEW");
}

/* A policy that nobody was handed yet. */
static void marks_of_a_policy_to_come(void **state)
{
	struct fixture *f = *state;
	struct frame frame = {
		.type = FRAME_REQUEST, .op = OP_get_host_name, .request = 1};
	const struct msg_request_head head = {.session = V_U64(3)};

	schema_put(&f->wire, &schema_request_head, &head);
	frame.body = f->wire.p;
	frame.len = (uint32_t)f->wire.len;
	frame.generation = 2;
	assert_int_equal(gate_request(f->w, &frame), -1);
	frame.generation = UINT32_MAX;
	assert_int_equal(gate_request(f->w, &frame), -1);
	nothing_recorded(f);
}

/* ---- programs ---- */

static const char *rule_of(const struct fixture *f, const struct program *p)
{
	const struct policy *policy = &f->w->gen->policy;

	return p->rule < 0 ? "none" : policy_text(policy, policy->rules[p->rule].name);
}

static int32_t rule_named(const struct policy *p, const char *name)
{
	for (uint32_t i = 0; i < p->head->n_rules; i++)
		if (streq(policy_text(p, p->rules[i].name), name))
			return (int32_t)i;
	fail_msg("there is no rule %s", name);
	return -1;
}

/* A program that runs by the rule NAME of G, which may be in force no more. */
static void has_program(struct fixture *f, const struct generation *g, size_t slot,
			const char *name)
{
	f->w->programs[slot] = (struct program){
		.pid = 100 + (int64_t)slot,
		.rule = rule_named(&g->policy, name),
	};
}

static void programs_by_name(void **state)
{
	struct fixture *f = *state;

	has_program(f, f->w->gen, 0, "same");
	has_program(f, f->w->gen, 1, "a-facts");
	f->w->programs[2] = (struct program){.pid = 102, .rule = -1};
	reload(f, c_text);
	assert_string_equal(rule_of(f, &f->w->programs[0]), "same");
	assert_string_equal(rule_of(f, &f->w->programs[1]), "none");
	assert_string_equal(rule_of(f, &f->w->programs[2]), "none");
	reload(f, a_text);
	assert_string_equal(rule_of(f, &f->w->programs[0]), "same");
	assert_string_equal(rule_of(f, &f->w->programs[1]), "none");
	assert_int_equal(programs_running(f->w), 3);
}

/* Is there room for one more by rule NAME of G? */
static bool has_room(struct fixture *f, struct generation *g, const char *path)
{
	const struct msg_exec args = {.path = v_str(path)};
	const struct policy_question question = {.op = OP_exec, .args = &args};
	const struct asked q = {.gen = g, .number = OP_exec, .args = &args};
	struct policy_answer a;

	policy_decide(&g->policy, &question, &a);
	assert_true(a.allowed);
	return !program_full(f->w, &q, &a);
}

/* Of a request that stands on an older policy the rule is counted under its name. */
static void programs_counted_by_name(void **state)
{
	struct fixture *f = *state;
	struct generation *first = generation_use(f->w->gen);

	/* Its place in A is that of another in C, and the other way round. */
	has_program(f, first, 0, "same");
	assert_true(has_room(f, first, "/a/program"));
	reload(f, c_text);
	assert_int_equal(rule_named(&first->policy, "same"),
			 rule_named(&f->w->gen->policy, "c-other"));
	assert_true(has_room(f, first, "/a/program"));
	assert_true(has_room(f, f->w->gen, "/a/program"));
	has_program(f, f->w->gen, 1, "same");
	assert_false(has_room(f, first, "/a/program"));
	assert_false(has_room(f, f->w->gen, "/a/program"));
	assert_true(has_room(f, f->w->gen, "/c/program"));
	f->w->programs[0].rule = rule_named(&f->w->gen->policy, "c-other");
	assert_true(has_room(f, first, "/a/program"));
	assert_false(has_room(f, f->w->gen, "/c/program"));
	memset(f->w->programs, 0, sizeof(f->w->programs));
	generation_drop(&first);
}

/* One that the spawner tells of only now is known under its rule in force. */
static void started_behind_a_reload(void **state)
{
	struct fixture *f = *state;
	struct request *rq = opening(f);
	const struct msg_spawn spawn = {.path = v_str("/a/program"),
					.argv = {.set = true},
					.env = {.set = true},
					.capture = {.set = true},
					.keep = V_BOOL(false)};
	const struct msg_spawned spawned = {.pid = V_INT(4711)};
	CLEANUP(wbuf_free) struct wbuf body = wbuf_growing(1024);

	rq->op = OP_exec;
	rq->undecided = false;
	rq->asked = 9;
	rq->rule = rule_named(&rq->gen->policy, "same");
	wbuf_free(&rq->question);
	rq->question = wbuf_growing(1024);
	schema_put(&rq->question, &schema_spawn, &spawn);
	reload(f, c_text);
	recorded(f, "reload", "\"ok\"");
	schema_put(&body, &schema_spawned, &spawned);
	assert_int_equal(program_frame(f->w,
				       &(struct frame){
					       .type = FRAME_REPLY,
					       .op = OP_exec,
					       .request = 9,
					       .body = body.p,
					       .len = (uint32_t)body.len,
				       }),
			 0);
	recorded(f, "exec-start", "/a/program");
	recorded(f, "complete", "\"ok\"");
	assert_int_equal(f->w->programs[0].pid, 4711);
	assert_string_equal(rule_of(f, &f->w->programs[0]), "same");
}

/* ---- equal requests ---- */

/* No count of one policy's rule gets the other's name, nor is it added to that. */
static void counts_by_policy(void **state)
{
	struct fixture *f = *state;
	char digest[2 * SHA256_LEN + 1];

	memcpy(digest, f->w->gen->digest, sizeof(digest));
	for (int i = 0; i < 4; i++) {
		poll_host_name(f);
		request_done(f->w, under_way(f), &(struct wbuf){0});
	}
	recorded(f, "decision", "\"a-facts\"");
	recorded(f, "complete", "\"ok\"");
	nothing_recorded(f);
	reload(f, b_text);
	/* What was counted comes first, under the policy that allowed it. */
	trail_has(recorded(f, "decision", "\"POSTERN_REPEAT\": 3"), digest);
	trail_has(f->trail.line, "\"a-facts\"");
	recorded(f, "reload", "\"ok\"");
	poll_host_name(f);
	request_done(f->w, under_way(f), &(struct wbuf){0});
	recorded(f, "decision", "\"b-facts\"");
	recorded(f, "complete", "\"ok\"");
	poll_host_name(f);
	request_done(f->w, under_way(f), &(struct wbuf){0});
	pass(f, AUDIT_INTERVAL_MS);
	assert_digest(recorded(f, "decision", "\"POSTERN_REPEAT\": 1"), f->w->gen);
	trail_has(f->trail.line, "\"b-facts\"");
	nothing_recorded(f);
}

/* One that is under way over the reload names no rule when it is told. */
static void counted_over_a_reload(void **state)
{
	struct fixture *f = *state;

	poll_host_name(f);
	request_done(f->w, under_way(f), &(struct wbuf){0});
	recorded(f, "decision", "\"a-facts\"");
	recorded(f, "complete", "\"ok\"");
	poll_host_name(f);
	reload(f, b_text);
	recorded(f, "reload", "\"ok\"");
	request_done(f->w, under_way(f), &(struct wbuf){0});
	nothing_recorded(f);
	/* The same question is another now. */
	poll_host_name(f);
	request_done(f->w, under_way(f), &(struct wbuf){0});
	recorded(f, "decision", "\"b-facts\"");
	recorded(f, "complete", "\"ok\"");
	pass(f, AUDIT_INTERVAL_MS);
	recorded(f, "decision", "\"POSTERN_REPEAT\": 1");
	trail_lacks(f->trail.line, "POSTERN_RULE");
	pass(f, 3 * AUDIT_INTERVAL_MS);
	nothing_recorded(f);
	for (size_t i = 0; i < REPEATS_MAX; i++)
		assert_int_equal(f->w->state->repeats[i].op, OP_NONE);
}

/* However often: the table does not fill up with what nobody can be equal to any more. */
static void counts_leave_room(void **state)
{
	struct fixture *f = *state;
	struct frame frame;

	for (int i = 0; i < 3 * REPEATS_MAX; i++) {
		poll_host_name(f);
		request_done(f->w, under_way(f), &(struct wbuf){0});
		poll_host_name(f);
		reload(f, i % 2 ? a_text : b_text);
		request_done(f->w, under_way(f), &(struct wbuf){0});
		while (trail_next(&f->trail))
			;
		while (frame_recv(f->frontend, f->buf, &frame) == FRAME_OK)
			frame_close_fds(&frame);
		pass(f, 2 * SECOND);
	}
	while (trail_next(&f->trail))
		;
	poll_host_name(f);
	request_done(f->w, under_way(f), &(struct wbuf){0});
	while (trail_next(&f->trail))
		;
	poll_host_name(f);
	request_done(f->w, under_way(f), &(struct wbuf){0});
	nothing_recorded(f);
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	static const struct CMUnitTest tests[] = {
		WITH(done),
		WITH(unchanged),
		WITH(mistakes),
		WITH(more_than_is_held),
		WITH(no_policy),
		WITH(too_late),
		WITH(reader_gone),
		WITH(nobody_reads),
		WITH(reader_breaks_the_rules),
		WITH(unasked),
		WITH(again),
		WITH(asks_in_between),
		WITH(locked),
		WITH(frozen),
		WITH(freeze_while_reading),
		WITH(hangs_up),
		WITH(kept_to_the_end),
		WITH(revoked),
		WITH(revoked_and_abandoned),
		WITH(others_go_on),
		WITH(open_files),
		WITH(marks_of_an_older_policy),
		WITH(marks_of_a_policy_to_come),
		WITH(programs_by_name),
		WITH(programs_counted_by_name),
		WITH(started_behind_a_reload),
		WITH(counts_by_policy),
		WITH(counted_over_a_reload),
		WITH(counts_leave_room),
	};

	return cmocka_run_group_tests_name("reload", tests, NULL, NULL);
}
