/*
 * tests/unit/test_sink.c - where packets go: to a writer, a full disk, the journal,
 * nobody
 *
 * Runs in:   a test; a full disk and the journal need root and mounts of its own
 * Input:     packets made up by hand
 * May touch: a socket pair in the place of the writer, or a writer; files in a mount
 *            namespace of its own
 * Must not:  wait (an alarm would end it), speak to the machine's journal
 *
 * run: admin
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "tests/lib/fds.h"
#include "tests/lib/journal.h"
#include "worker/audit.h"
#include "worker/fences.h"
#include "worker/sink.h"

/* A test takes no longer; one that blocks is killed. */
#define ALARM_S 30

struct fixture {
	size_t fds;
	struct loop loop;
	struct sink sink;
	struct fences fences; /* none */
	struct held *held;
	int out;     /* where the writer would read; -1: there is one, or none */
	int file;    /* the audit file */
	int journal; /* the journal's end */
	char buf[SINK_LINE_MAX + 64];
};

static bool placed;

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	*state = f;
	alarm(ALARM_S);
	f->fds = fds_open();
	f->out = f->file = f->journal = -1;
	f->held = calloc(1, sizeof(*f->held));
	return f->held ? loop_init(&f->loop) : -1;
}

/* Let the loop turn until nothing is ready, and nothing was for WAIT ms. */
static void settle(struct fixture *f, int wait)
{
	struct epoll_event ev;

	while (epoll_wait(f->loop.epfd, &ev, 1, wait) > 0) {
		struct source *s = ev.data.ptr;

		assert_int_equal(s->fn(s, ev.events), 0);
	}
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	struct sink *s = &f->sink;
	int writer = s->writer.fd, journal = s->journal.source.fd;

	/* A writer goes when nobody is there any more. */
	if (s->loop)
		loop_remove(&f->loop, &s->writer);
	close_p(&writer);
	settle(f, f->file >= 0 ? 200 : 0);
	timer_done(&f->loop, &s->retry);
	if (s->format == SINK_JOURNAL) {
		timer_done(&f->loop, &s->journal.retry);
		close_p(&journal);
	}
	close_p(&f->out);
	close_p(&f->file);
	journal_leave(&f->journal);
	loop_done(&f->loop);
	assert_int_equal(fds_open(), f->fds);
	for (size_t i = 0; i < f->fences.n_filters; i++)
		free(f->fences.filters[i].prog.filter);
	free(f->held);
	free(f);
	alarm(0);
	return 0;
}

static void need_place(void)
{
	if (placed)
		return;
	print_message("# needs root, and mounts of its own\n");
	skip();
}

static void open_sink(struct fixture *f, int audit_fd, bool journal)
{
	assert_int_equal(sink_init(&f->sink, &f->loop, audit_fd, journal, f->held), 0);
	f->sink.fences = &f->fences;
}

/* In the place of the writer there is a socket, which the test reads. */
static void play_writer(struct fixture *f)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	f->sink.writer.fd = pair[0];
	f->out = pair[1];
}

static int put(struct fixture *f, enum held_kind kind, enum sink_effort effort,
	       const char *text)
{
	const struct packet packet = {
		.kind = kind,
		.p = (const uint8_t *)text,
		.len = strlen(text),
	};

	return sink_put(&f->sink, &packet, effort);
}

/* The next thing that the writer is given is TEXT; a RECORD, or else a line. */
static void gets(struct fixture *f, bool record, const char *text)
{
	ssize_t n = recv(f->out, f->buf, sizeof(f->buf), MSG_DONTWAIT);
	struct sink_order order;

	assert_true(n > (ssize_t)sizeof(order));
	memcpy(&order, f->buf, sizeof(order));
	assert_int_equal(order.record, record);
	assert_int_equal((size_t)n - sizeof(order), strlen(text));
	assert_memory_equal(f->buf + sizeof(order), text, strlen(text));
}

static void gets_nothing(struct fixture *f)
{
	assert_int_equal(recv(f->out, f->buf, sizeof(f->buf), MSG_DONTWAIT), -1);
}

/* The writer says that so many records are lost. */
static void says(struct fixture *f, uint64_t lost)
{
	assert_int_equal(write(f->out, &lost, sizeof(lost)), sizeof(lost));
}

/* ---- how much is done for it ---- */

static const enum sink_effort efforts[] = {SINK_KEEP, SINK_OFFER, SINK_NOW};

static void written_at_once(void **state)
{
	struct fixture *f = *state;

	open_sink(f, STDERR_FILENO, false);
	play_writer(f);
	assert_int_equal(f->sink.format, SINK_JSON);
	for (size_t i = 0; i < ARRAY_SIZE(efforts); i++) {
		assert_int_equal(put(f, HELD_ACT, efforts[i], "record\n"), 0);
		gets(f, true, "record\n");
		assert_int_equal(put(f, HELD_LINE, efforts[i], "line\n"), 0);
		gets(f, false, "line\n");
	}
	assert_int_equal(f->held->used, 0);
}

static void now_or_never(void **state)
{
	struct fixture *f = *state;
	int writer;

	open_sink(f, STDERR_FILENO, false);
	play_writer(f);
	writer = TAKE_FD(f->sink.writer.fd);
	assert_int_equal(put(f, HELD_ACT, SINK_NOW, "a"), -1);
	assert_int_equal(f->held->used, 0);
	assert_int_equal(put(f, HELD_ACT, SINK_KEEP, "b"), 0);
	/* The writer is back; but what waits goes first. */
	f->sink.writer.fd = writer;
	assert_int_equal(put(f, HELD_ACT, SINK_NOW, "c"), -1);
	assert_int_equal(put(f, HELD_ACT, SINK_OFFER, "d"), 0);
	gets_nothing(f);
	/* A line does not wait for records. */
	assert_int_equal(put(f, HELD_LINE, SINK_NOW, "l"), 0);
	gets(f, false, "l");
	sink_release(&f->sink);
	gets(f, true, "b");
	gets(f, true, "d");
	gets_nothing(f);
	assert_int_equal(put(f, HELD_ACT, SINK_NOW, "e"), 0);
	gets(f, true, "e");
}

static void held_while_frozen(void **state)
{
	struct fixture *f = *state;

	open_sink(f, STDERR_FILENO, false);
	play_writer(f);
	sink_hold(&f->sink);
	assert_int_equal(put(f, HELD_ACT, SINK_NOW, "a"), -1);
	assert_int_equal(put(f, HELD_ACT, SINK_KEEP, "b"), 0);
	assert_int_equal(put(f, HELD_LINE, SINK_KEEP, "l"), 0);
	assert_int_equal(put(f, HELD_ACT, SINK_OFFER, "c"), 0);
	gets_nothing(f);
	sink_end(&f->sink);
	gets_nothing(f);
	sink_release(&f->sink);
	gets(f, true, "b");
	gets(f, true, "c");
	gets(f, false, "l");
}

/* An offer leaves room for the ends of what was begun, which are kept. */
static void an_offer_leaves_room(void **state)
{
	struct fixture *f = *state;
	char text[1001];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	open_sink(f, STDERR_FILENO, false);
	while (put(f, HELD_ACT, SINK_OFFER, text) == 0)
		;
	assert_in_range(f->held->of_kind[HELD_ACT],
			held_room(HELD_ACT) - HELD_RESERVE - 1100,
			held_room(HELD_ACT) - HELD_RESERVE);
	for (int i = 0; i < 100; i++)
		assert_int_equal(put(f, HELD_ACT, SINK_KEEP, text), 0);
	/* Of the other kinds none is left. */
	while (f->held->of_kind[HELD_READ] < held_room(HELD_READ) - 1100)
		assert_int_equal(put(f, HELD_READ, SINK_OFFER, text), 0);
	assert_int_equal(f->held->dropped, 0);
}

static void too_long(void **state)
{
	struct fixture *f = *state;
	struct packet packet = {.kind = HELD_ACT, .len = SINK_LINE_MAX + 1};

	open_sink(f, STDERR_FILENO, false);
	play_writer(f);
	packet.p = calloc(1, packet.len);
	for (size_t i = 0; i < ARRAY_SIZE(efforts); i++)
		assert_int_equal(sink_put(&f->sink, &packet, efforts[i]), -1);
	packet.len--;
	assert_int_equal(sink_put(&f->sink, &packet, SINK_KEEP), 0);
	assert_int_equal(recv(f->out, f->buf, sizeof(f->buf), MSG_DONTWAIT),
			 SINK_LINE_MAX + sizeof(struct sink_order));
	free((void *)(uintptr_t)packet.p);
}

/* Where there is no place for records: lines go out, and nothing was recorded now. */
static void nowhere(void **state)
{
	struct fixture *f = *state;

	open_sink(f, -1, false);
	play_writer(f);
	assert_int_equal(f->sink.format, SINK_NOTHING);
	assert_int_equal(put(f, HELD_ACT, SINK_KEEP, "a"), 0);
	assert_int_equal(put(f, HELD_ACT, SINK_OFFER, "a"), 0);
	assert_int_equal(put(f, HELD_ACT, SINK_NOW, "a"), -1);
	gets_nothing(f);
	assert_int_equal(put(f, HELD_LINE, SINK_KEEP, "l"), 0);
	gets(f, false, "l");
	assert_int_equal(f->held->used, 0);
}

/* ---- a writer, and its file ---- */

/* Let it work until LOST records are told of, or BROKEN is as said. */
static void until_broken(struct fixture *f, bool broken, uint64_t lost)
{
	for (int i = 0; i < 500; i++) {
		settle(f, 10);
		if (f->sink.broken == broken && f->held->dropped == lost)
			return;
	}
	fail_msg("broken: %d, dropped: %llu", f->sink.broken,
		 (unsigned long long)f->held->dropped);
}

/* What is in the file in the end. */
static void assert_file(struct fixture *f, const char *text)
{
	char is[8192];
	ssize_t n = 0;

	for (int i = 0; i < 500; i++) {
		n = pread(f->file, is, sizeof(is) - 1, 0);
		if (n == (ssize_t)strlen(text))
			break;
		settle(f, 10);
	}
	assert_true(n >= 0);
	is[n] = '\0';
	assert_string_equal(is, text);
}

#define DISK    "/run/disk"
#define BALLAST DISK "/ballast"

/* A disk of PAGES, all but KEPT bytes of which are full, and a file on it. */
static void full_disk(struct fixture *f, unsigned int pages, size_t in_file)
{
	static const char page[4096];
	char size[32];
	int fd;

	snprintf(size, sizeof(size), "size=%zu", pages * sizeof(page));
	umount2(DISK, MNT_DETACH);
	mkdir(DISK, 0755);
	assert_int_equal(mount("tmpfs", DISK, "tmpfs", 0, size), 0);
	f->file = open(DISK "/audit", O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	assert_true(f->file >= 0);
	for (size_t i = 0; i < in_file; i++)
		assert_int_equal(write(f->file, i + 1 == in_file ? "\n" : "-", 1), 1);
	fd = open(BALLAST, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	while (write(fd, page, sizeof(page)) > 0)
		;
	assert_int_equal(errno, ENOSPC);
	close(fd);
}

static void start_writer(struct fixture *f)
{
	open_sink(f, f->file, false);
	assert_int_equal(sink_start(&f->sink), 0);
	settle(f, 0);
}

/* A record as the audit trail makes it; what it says of dropped ones, or -1. */
static int64_t record(struct fixture *f, struct audit *a, enum sink_effort effort)
{
	struct msg_audit r = {0};
	const struct audit_how how = {HELD_ACT, effort};

	(void)f;
	if (audit_write(a, EVENT_START, how, &r, "x") < 0)
		return -1;
	return (int64_t)r.dropped.v;
}

/*
 * What does not get into the file is counted, and told by the next record; if that is
 * lost as well, by the one that follows. Meanwhile nothing is written now.
 */
static void a_full_disk(void **state)
{
	struct fixture *f = *state;
	struct audit a;
	char is[8192];
	ssize_t n;

	need_place();
	full_disk(f, 4, 0);
	start_writer(f);
	assert_int_equal(audit_init(&a, &f->sink, NULL), 0);
	assert_int_equal(record(f, &a, SINK_NOW), 0); /* nobody knew */
	until_broken(f, true, 1);
	for (uint64_t i = 1; i < 6; i++) {
		assert_int_equal(record(f, &a, SINK_NOW), -1);
		/* It tells of those before; and is lost too. */
		assert_int_equal(record(f, &a, i & 1 ? SINK_KEEP : SINK_OFFER), i);
		until_broken(f, true, i + 1);
	}
	assert_int_equal(unlink(BALLAST), 0);
	assert_int_equal(record(f, &a, SINK_NOW), -1);
	assert_int_equal(record(f, &a, SINK_KEEP), 6);
	until_broken(f, false, 0);
	assert_int_equal(record(f, &a, SINK_NOW), 0);
	settle(f, 50);
	n = pread(f->file, is, sizeof(is) - 1, 0);
	assert_true(n > 0);
	is[n] = '\0';
	assert_non_null(strstr(is, "\"POSTERN_DROPPED\": 6"));
	/* Those that were for now, and were not, are none that is missing. */
	assert_non_null(strstr(is, "\"POSTERN_SEQ\": 7,"));
	assert_non_null(strstr(is, "\"POSTERN_SEQ\": 8,"));
	assert_null(strstr(is, "\"POSTERN_SEQ\": 6,"));
}

/* A record that was cut by the end of the disk takes no other one with it. */
static void a_cut_record(void **state)
{
	struct fixture *f = *state;
	char expected[8192];

	need_place();
	full_disk(f, 4, 4090);
	start_writer(f);
	assert_int_equal(put(f, HELD_ACT, SINK_KEEP, "a cut record\n"), 0);
	until_broken(f, true, 1);
	assert_int_equal(put(f, HELD_ACT, SINK_KEEP, "another\n"), 0);
	until_broken(f, true, 2);
	assert_int_equal(unlink(BALLAST), 0);
	assert_int_equal(put(f, HELD_ACT, SINK_KEEP, "whole\n"), 0);
	assert_int_equal(put(f, HELD_ACT, SINK_KEEP, "and whole\n"), 0);
	memset(expected, '-', 4089);
	snprintf(expected + 4089, sizeof(expected) - 4089,
		 "\na cut \nwhole\nand whole\n");
	assert_file(f, expected);
}

static pid_t only_child(void)
{
	char text[64];
	FILE *f;

	snprintf(text, sizeof(text), "/proc/self/task/%d/children", getpid());
	f = fopen(text, "re");
	assert_non_null(f);
	assert_non_null(fgets(text, sizeof(text), f));
	fclose(f);
	return (pid_t)strtol(text, NULL, 10);
}

/* One that dies is replaced, and of the next nothing bad is known. */
static void another_writer(void **state)
{
	struct fixture *f = *state;
	struct packet packet = {.kind = HELD_ACT, .p = (const uint8_t *)"x\n", .len = 2};
	pid_t pid;

	need_place();
	full_disk(f, 4, 0);
	start_writer(f);
	assert_int_equal(sink_put(&f->sink, &packet, SINK_KEEP), 0);
	until_broken(f, true, 1);
	assert_int_equal(unlink(BALLAST), 0);
	f->sink.started_ms -= SINK_RETRY_MS; /* it has lived long enough */
	pid = only_child();
	assert_int_equal(kill(pid, SIGKILL), 0);
	until_broken(f, false, 1);
	assert_true(f->sink.writer.fd >= 0);
	assert_int_equal(sink_put(&f->sink, &packet, SINK_NOW), 0);
	assert_file(f, "x\n");
}

/* What it says is counted, whatever that is. */
static void the_writers_word(void **state)
{
	struct fixture *f = *state;

	open_sink(f, STDERR_FILENO, false);
	assert_int_equal(sink_start(&f->sink), 0);
	/* In its place: the source stays, its socket is another. */
	{
		int pair[2];

		assert_int_equal(
			socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
		assert_int_equal(dup3(pair[0], f->sink.writer.fd, O_CLOEXEC),
				 f->sink.writer.fd);
		close(pair[0]);
		f->out = pair[1];
		f->sink.writer.events = 0;
		assert_int_equal(loop_add(&f->loop, &f->sink.writer, f->sink.writer.fd,
					  EPOLLIN, f->sink.writer.fn),
				 0);
	}
	says(f, 1);
	says(f, 41);
	settle(f, 0);
	assert_true(f->sink.broken);
	assert_int_equal(f->held->dropped, 42);
	assert_int_equal(put(f, HELD_ACT, SINK_NOW, "x"), -1);
	says(f, 0);
	settle(f, 0);
	assert_false(f->sink.broken);
	assert_int_equal(f->held->dropped, 42);
	assert_int_equal(put(f, HELD_ACT, SINK_NOW, "x"), 0);
	/* It is behind; when it has read, the rest follows, and no one asked for it. */
	while (put(f, HELD_ACT, SINK_KEEP, "0123456789") == 0 && !f->held->used)
		;
	settle(f, 0);
	assert_true(f->held->used);
	while (recv(f->out, f->buf, sizeof(f->buf), MSG_DONTWAIT) > 0)
		;
	settle(f, 0);
	assert_int_equal(f->held->used, 0);
	f->file = dup(STDERR_FILENO); /* the first writer is waited for */
}

/* ---- the journal ---- */

static void journal_gets(struct fixture *f, const char *text)
{
	assert_int_equal(journal_next(f->journal, f->buf, sizeof(f->buf), NULL),
			 strlen(text));
	assert_memory_equal(f->buf, text, strlen(text));
}

/* Put records until they have to wait. */
static uint32_t fill_journal(struct fixture *f)
{
	uint32_t n = 0;

	for (; !held_waits(f->held, false); n++)
		assert_int_equal(put(f, HELD_OWN, SINK_KEEP, "A=b\n"), 0);
	return n;
}

/* Lines that nobody reads leave records alone, and records that nobody reads lines. */
static void stuck_apart(void **state)
{
	struct fixture *f = *state;
	uint32_t n;

	need_place();
	f->journal = journal_listen();
	open_sink(f, -1, true);
	play_writer(f);
	assert_int_equal(f->sink.format, SINK_JOURNAL);
	while (!held_waits(f->held, true))
		assert_int_equal(put(f, HELD_LINE, SINK_KEEP, "line\n"), 0);
	assert_int_equal(put(f, HELD_ACT, SINK_NOW, "A=c\n"), 0);
	journal_gets(f, "A=c\n");
	assert_int_equal(put(f, HELD_LINE, SINK_NOW, "line\n"), -1);

	while (recv(f->out, f->buf, sizeof(f->buf), MSG_DONTWAIT) > 0)
		;
	sink_release(&f->sink);
	gets(f, false, "line\n");
	gets_nothing(f);
	n = fill_journal(f);
	assert_int_equal(put(f, HELD_ACT, SINK_NOW, "A=c\n"), -1);
	assert_int_equal(put(f, HELD_LINE, SINK_NOW, "line\n"), 0);
	gets(f, false, "line\n");

	/* It reads; the rest comes by itself, and then all is as before. */
	for (uint32_t i = 1; i < n; i++)
		journal_gets(f, "A=b\n");
	settle(f, 0);
	journal_gets(f, "A=b\n");
	assert_int_equal(f->held->used, 0);
	assert_int_equal(put(f, HELD_ACT, SINK_NOW, "A=c\n"), 0);
	journal_gets(f, "A=c\n");
}

/* Both wait: each goes when its own way is free, by the loop alone. */
static void the_journal_comes_back(void **state)
{
	struct fixture *f = *state;

	need_place();
	open_sink(f, -1, true);
	assert_int_equal(put(f, HELD_OWN, SINK_KEEP, "A=1\n"), 0);
	assert_int_equal(put(f, HELD_LINE, SINK_KEEP, "line\n"), 0);
	assert_int_equal(put(f, HELD_ACT, SINK_NOW, "A=x\n"), -1);
	assert_int_equal(put(f, HELD_ACT, SINK_OFFER, "A=2\n"), 0);
	f->journal = journal_listen();
	settle(f, JOURNAL_RETRY_MS + 200);
	journal_gets(f, "A=1\n");
	journal_gets(f, "A=2\n");
	assert_false(held_waits(f->held, false));
	assert_true(held_waits(f->held, true));
	assert_int_equal(put(f, HELD_ACT, SINK_NOW, "A=3\n"), 0);
	journal_gets(f, "A=3\n");
}

/* ---- the end ---- */

/* How long sink_end takes. */
static uint64_t end_ms(struct fixture *f)
{
	uint64_t began = now_ms();

	sink_end(&f->sink);
	return now_ms() - began;
}

#define AT_ONCE_MS (SINK_END_MS / 2)

static void the_end_where_nobody_is(void **state)
{
	struct fixture *f = *state;

	open_sink(f, STDERR_FILENO, false);
	assert_true(end_ms(f) < AT_ONCE_MS);
	assert_int_equal(put(f, HELD_OWN, SINK_KEEP, "x"), 0);
	assert_int_equal(put(f, HELD_LINE, SINK_KEEP, "x"), 0);
	assert_true(end_ms(f) < AT_ONCE_MS);
	/* One that has died with all that it was given. */
	play_writer(f);
	while (f->held->of_kind[HELD_READ] < 1000)
		put(f, HELD_READ, SINK_KEEP, "0123456789");
	sink_hold(&f->sink);
	assert_true(end_ms(f) < AT_ONCE_MS);
	sink_release(&f->sink);
	close_p(&f->out);
	assert_true(end_ms(f) < AT_ONCE_MS);
}

static void the_end_without_a_journal(void **state)
{
	struct fixture *f = *state;

	need_place();
	open_sink(f, -1, true);
	play_writer(f);
	assert_int_equal(put(f, HELD_OWN, SINK_KEEP, "A=b\n"), 0);
	assert_true(end_ms(f) < AT_ONCE_MS);
	assert_true(held_waits(f->held, false));
	/* It came back in the last moment. */
	f->journal = journal_listen();
	assert_true(end_ms(f) < AT_ONCE_MS);
	journal_gets(f, "A=b\n");
	/* It is there, but does not read: for a moment we wait. */
	fill_journal(f);
	assert_in_range(end_ms(f), SINK_END_MS - 50, 2 * SINK_END_MS);
	assert_true(held_waits(f->held, false));
	/* It went meanwhile. */
	journal_leave(&f->journal);
	assert_true(end_ms(f) < AT_ONCE_MS);
}

/* Somebody reads, slowly: all that waits gets there. */
static void the_end_waits_for_a_slow_one(void **state)
{
	struct fixture *f = *state;
	uint32_t n;
	int status;
	pid_t pid;

	need_place();
	f->journal = journal_listen();
	open_sink(f, -1, true);
	n = fill_journal(f);
	for (int i = 0; i < 5; i++, n++)
		assert_int_equal(put(f, HELD_OWN, SINK_KEEP, "A=b\n"), 0);
	pid = fork();
	if (pid == 0) {
		usleep(100 * 1000);
		for (; n; n--)
			if (recv(f->journal, f->buf, sizeof(f->buf), 0) != 4)
				_exit(1);
		_exit(0);
	}
	assert_true(end_ms(f) < SINK_END_MS);
	assert_int_equal(f->held->used, 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	static const struct CMUnitTest tests[] = {
		WITH(written_at_once),
		WITH(now_or_never),
		WITH(held_while_frozen),
		WITH(an_offer_leaves_room),
		WITH(too_long),
		WITH(nowhere),
		WITH(a_full_disk),
		WITH(a_cut_record),
		WITH(another_writer),
		WITH(the_writers_word),
		WITH(stuck_apart),
		WITH(the_journal_comes_back),
		WITH(the_end_where_nobody_is),
		WITH(the_end_without_a_journal),
		WITH(the_end_waits_for_a_slow_one),
	};

	placed = journal_place() == 0;
	/* Like the sealed worker, else its children could not seal themselves. */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return 1;
	return cmocka_run_group_tests_name("sink", tests, NULL, NULL);
}
