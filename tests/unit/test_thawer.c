/*
 * tests/unit/test_thawer.c - the process that thaws: its order, its causes, what it makes
 * of a thaw that fails or hangs, who may take it over
 *
 * Runs in:   a test; each thawer in a child of it, with a thaw that is made up
 * Input:     records made up by hand; orders; the clock
 * May touch: memfds in the place of superblocks, a socket in a directory of its own
 * Must not:  thaw anything
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "ipc/frame.h"
#include "ipc/launch.h"
#include "ipc/loop.h"
#include "ipc/ops.h"
#include "worker/freeze/thawer.h"

#define MANY      40
#define SOON_MS   5000 /* what is expected at once has come by then */
#define QUIET_MS  300  /* what is not to happen has not by then */
#define SOME_UID  61001
#define REQUEST_7 7

/* ---- a thaw that is made up ---- */

enum how { WORKS, NOT_FROZEN, BREAKS, BREAKS_ONCE, HANGS };

/* Shared with the thawer and its helpers. */
struct fake {
	enum how how[MANY];
	_Atomic int calls;
	int order[4 * MANY];
	_Atomic int released; /* what hangs goes on */
	_Atomic int foreign;  /* something else than a thaw of a superblock was called */
};

static struct fake *fake; /* of the thawer that is started next */

static int fake_ioctl(int fd, unsigned long request, void *arg)
{
	int index = fd - THAWER_FIRST, call = atomic_fetch_add(&fake->calls, 1);
	enum how how;

	(void)arg;
	if (request != FITHAW || index < 0 || index >= MANY || call >= 4 * MANY) {
		atomic_store(&fake->foreign, 1);
		return -1;
	}
	fake->order[call] = index;
	how = fake->how[index];
	while (how == HANGS && !atomic_load(&fake->released))
		poll(NULL, 0, 5);
	if (how == BREAKS_ONCE)
		fake->how[index] = WORKS;
	errno = how == NOT_FROZEN ? EINVAL : EIO;
	return how == WORKS || how == HANGS ? 0 : -1;
}

static const struct sys_ops fake_ops = {.ioctl = fake_ioctl};

/* ---- a thawer, and we in the place of its worker ---- */

struct fixture {
	struct state *state;
	struct freeze_record *r;
	struct fake *fake;
	char folder[32];
	struct sockaddr_un address;
	int listener;
	int worker;  /* our end */
	int freezer; /* our end of what hangs up when it ends; -1: there is none */
	pid_t pid;   /* 0: it was reaped */
};

static void *shared(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		       0);

	assert_true(p != MAP_FAILED);
	return p;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->state = shared(sizeof(*f->state));
	f->fake = shared(sizeof(*f->fake));
	f->r = &f->state->freeze;
	f->worker = f->freezer = -1;
	strcpy(f->folder, "/tmp/postern-thawer-XXXXXX");
	if (!mkdtemp(f->folder) || chmod(f->folder, 0755) < 0)
		return -1;
	f->address.sun_family = AF_UNIX;
	snprintf(f->address.sun_path, sizeof(f->address.sun_path), "%s/thawer",
		 f->folder);
	f->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (bind(f->listener, (void *)&f->address, sizeof(f->address)) < 0 ||
	    chmod(f->address.sun_path, 0777) < 0 || listen(f->listener, 4) < 0)
		return -1;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	atomic_store(&f->fake->released, 1);
	if (f->pid) {
		kill(f->pid, SIGKILL);
		waitpid(f->pid, NULL, 0);
	}
	close_p(&f->worker);
	close_p(&f->freezer);
	close_p(&f->listener);
	unlink(f->address.sun_path);
	rmdir(f->folder);
	munmap(f->state, sizeof(*f->state));
	munmap(f->fake, sizeof(*f->fake));
	free(f);
	return 0;
}

/* Superblocks in the order of their freeze, each with a mark. */
static void record(struct fixture *f, enum freeze_phase phase, uint32_t n,
		   const enum superblock_mark *marks)
{
	f->r->n = n;
	f->r->request = REQUEST_7;
	atomic_store(&f->r->id, f->r->id + 1);
	for (uint32_t i = 0; i < n; i++) {
		f->r->dev[i] = 1000 + i;
		atomic_store(&f->r->mark[i], marks ? marks[i] : MARK_FROZEN);
	}
	atomic_store(&f->r->phase, phase);
}

#define ASSERT_MARKS(f, marks) assert_marks(f, marks, ARRAY_SIZE(marks))

static void assert_marks(const struct fixture *f, const enum superblock_mark *marks,
			 size_t n)
{
	assert_int_equal(f->r->n, n);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(atomic_load(&f->r->mark[i]), marks[i]);
}

/* As worker/fork.c leaves its descriptors. */
static _Noreturn void be_thawer(const struct fixture *f, bool has_listener, int worker,
				int freezer)
{
	const struct thawer t = {
		.state = f->state,
		.ops = &fake_ops,
		.has_listener = has_listener,
		.has_freezer = freezer >= 0,
	};
	const int fds[] = {worker, f->listener, freezer < 0 ? STDIN_FILENO : freezer};
	int aside[ARRAY_SIZE(fds)];

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		aside[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, THAWER_FIRST + MANY);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		dup3(aside[i], THAWER_WORKER + (int)i, O_CLOEXEC);
	close_range(THAWER_FIRST, ~0u, 0);
	for (uint32_t i = 0; i < f->r->n; i++) {
		char name[16];
		int fd;

		snprintf(name, sizeof(name), "sb%u", i);
		fd = memfd_create(name, MFD_CLOEXEC);
		if (fd != THAWER_FIRST + (int)i)
			_exit(99);
	}
	thawer_run(&t);
}

static void start_one(struct fixture *f, bool has_listener, bool has_freezer)
{
	int worker[2], freezer[2] = {-1, -1};

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, worker),
			 0);
	if (has_freezer)
		assert_int_equal(
			socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, freezer),
			0);
	fake = f->fake;
	f->pid = fork();
	assert_true(f->pid >= 0);
	if (f->pid == 0) {
		close(worker[0]);
		if (has_freezer)
			close(freezer[0]);
		be_thawer(f, has_listener, worker[1], freezer[1]);
	}
	close(worker[1]);
	close_p(&freezer[1]);
	f->worker = worker[0];
	f->freezer = freezer[0];
}

static void start(struct fixture *f)
{
	start_one(f, true, false);
}

/* ---- talking to it ---- */

static void send_to(int sock, uint16_t type, int64_t cause)
{
	uint8_t buf[16];
	struct wbuf body = wbuf_fixed(buf, sizeof(buf));

	schema_put(&body, &schema_thaw, &(struct msg_thaw){.cause = V_INT(cause)});
	assert_int_equal(frame_send(sock, &(struct frame){.type = type,
							  .op = OP_fsfreeze_thaw,
							  .body = body.p,
							  .len = (uint32_t)body.len}),
			 FRAME_OK);
}

static void order(const struct fixture *f, int64_t cause)
{
	send_to(f->worker, FRAME_THAW, cause);
}

/* The next frame, or none for so long. */
static enum frame_status receive(int sock, int ms, uint8_t *buf, struct frame *frame)
{
	struct pollfd p = {.fd = sock, .events = POLLIN};

	if (poll(&p, 1, ms) <= 0)
		return FRAME_AGAIN;
	return frame_recv(sock, buf, frame);
}

/* It says TYPE, with that number as cause, or as how many failed. */
static void says(int sock, uint16_t type, int64_t number)
{
	uint8_t buf[FRAME_MAX];
	struct arena none = {0};
	struct msg_thawed thawed;
	struct msg_thaw thaw;
	struct frame frame = {0};
	struct rbuf r;

	assert_int_equal(receive(sock, SOON_MS, buf, &frame), FRAME_OK);
	assert_int_equal(frame.type, type);
	assert_int_equal(frame.n_fds, 0);
	r = rbuf_of(frame.body, frame.len);
	if (type == FRAME_THAW) {
		assert_int_equal(schema_get(&r, &schema_thaw, &none, &thaw), 0);
		assert_int_equal(thaw.cause.v, number);
	} else {
		assert_int_equal(schema_get(&r, &schema_thawed, &none, &thawed), 0);
		assert_int_equal(thawed.failed.v, number);
	}
}

static void is_quiet(int sock)
{
	struct pollfd p = {.fd = sock, .events = POLLIN};

	assert_int_equal(poll(&p, 1, QUIET_MS), 0);
}

/* Its exit status; -1: it has not ended within MS. */
static int ended(struct fixture *f, int ms)
{
	uint64_t end = now_ms() + (uint64_t)ms;
	int status;

	while (waitpid(f->pid, &status, WNOHANG) != f->pid) {
		if (now_ms() >= end)
			return -1;
		poll(NULL, 0, 2);
	}
	f->pid = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void thaws_all(struct fixture *f, enum thaw_cause cause)
{
	says(f->worker, FRAME_THAW, cause);
	says(f->worker, FRAME_THAWED, 0);
	assert_int_equal(ended(f, SOON_MS), EXIT_CLEAN);
	assert_int_equal(atomic_load(&f->r->phase), PHASE_THAWED);
	assert_int_equal(atomic_load(&f->r->cause), cause);
	assert_int_equal(f->fake->foreign, 0);
}

static uint32_t thawed_ones(const struct fixture *f)
{
	return thawer_count(f->r, MARK(THAWED));
}

/* ---- the order, and the marks ---- */

static void the_last_frozen_first(void **state)
{
	struct fixture *f = *state;

	record(f, PHASE_FROZEN, 5, NULL);
	start(f);
	is_quiet(f->worker);
	order(f, CAUSE_REQUEST);
	thaws_all(f, CAUSE_REQUEST);
	assert_int_equal(f->fake->calls, 5);
	for (int i = 0; i < 5; i++)
		assert_int_equal(f->fake->order[i], 4 - i);
	assert_int_equal(thawed_ones(f), 5);
}

static void many(void **state)
{
	struct fixture *f = *state;

	record(f, PHASE_FROZEN, MANY, NULL);
	start(f);
	order(f, CAUSE_STOP);
	thaws_all(f, CAUSE_STOP);
	assert_int_equal(thawed_ones(f), MANY);
	for (int i = 0; i < MANY; i++)
		assert_int_equal(f->fake->order[i], MANY - 1 - i);
}

static void nothing_but_what_we_froze(void **state)
{
	static const enum superblock_mark before[] = {
		MARK_HELD, MARK_FROZEN, MARK_NOT, MARK_GONE, MARK_THAWED, MARK_FROZEN};
	static const enum superblock_mark after[] = {MARK_HELD, MARK_THAWED, MARK_NOT,
						     MARK_GONE, MARK_THAWED, MARK_THAWED};
	struct fixture *f = *state;

	record(f, PHASE_FROZEN, 6, before);
	start(f);
	order(f, CAUSE_REQUEST);
	thaws_all(f, CAUSE_REQUEST);
	ASSERT_MARKS(f, after);
	assert_int_equal(f->fake->calls, 2);
}

/* It was thawed by somebody else, and is not counted. */
static void gone(void **state)
{
	static const enum superblock_mark after[] = {MARK_THAWED, MARK_GONE, MARK_THAWED};
	struct fixture *f = *state;

	record(f, PHASE_FROZEN, 3, NULL);
	f->fake->how[1] = NOT_FROZEN;
	start(f);
	order(f, CAUSE_REQUEST);
	thaws_all(f, CAUSE_REQUEST);
	ASSERT_MARKS(f, after);
}

/* What the helper of another thawer had begun may be done: then that was us. */
static void begun_by_another(void **state)
{
	static const enum superblock_mark before[] = {MARK_BEGUN, MARK_BEGUN, MARK_FROZEN,
						      MARK_AGAIN};
	struct fixture *f = *state;

	record(f, PHASE_THAWING, 4, before);
	f->fake->how[0] = f->fake->how[3] = NOT_FROZEN;
	atomic_store(&f->r->cause, CAUSE_DEADLINE);
	start(f);
	/* Nobody needs to order it again. */
	says(f->worker, FRAME_THAWED, 0);
	assert_int_equal(ended(f, SOON_MS), EXIT_CLEAN);
	assert_int_equal(thawed_ones(f), 4);
	assert_int_equal(atomic_load(&f->r->cause), CAUSE_DEADLINE);
	assert_int_equal(atomic_load(&f->r->phase), PHASE_THAWED);
}

static void killed_in_a_thaw(void **state)
{
	struct fixture *f = *state;

	record(f, PHASE_FROZEN, 3, NULL);
	f->fake->how[1] = HANGS;
	start(f);
	order(f, CAUSE_REQUEST);
	says(f->worker, FRAME_THAW, CAUSE_REQUEST);
	while (atomic_load(&f->fake->calls) < 2)
		poll(NULL, 0, 2);
	kill(f->pid, SIGKILL);
	assert_int_equal(ended(f, SOON_MS), 1000 + SIGKILL);
	close_p(&f->worker);
	assert_int_equal(atomic_load(&f->r->mark[1]), MARK_BEGUN);
	/* Its helper ends with it; another takes up what is left. */
	f->fake->how[1] = WORKS;
	start(f);
	says(f->worker, FRAME_THAWED, 0);
	assert_int_equal(ended(f, SOON_MS), EXIT_CLEAN);
	assert_int_equal(thawed_ones(f), 3);
	assert_int_equal(f->fake->calls, 4);
}

static void ordered_twice(void **state)
{
	struct fixture *f = *state;

	record(f, PHASE_FROZEN, 3, NULL);
	f->fake->how[2] = HANGS;
	start(f);
	order(f, CAUSE_REQUEST);
	order(f, CAUSE_STOP);
	says(f->worker, FRAME_THAW, CAUSE_REQUEST);
	is_quiet(f->worker);
	atomic_store(&f->fake->released, 1);
	says(f->worker, FRAME_THAWED, 0);
	assert_int_equal(ended(f, SOON_MS), EXIT_CLEAN);
	assert_int_equal(f->fake->calls, 3);
	assert_int_equal(atomic_load(&f->r->cause), CAUSE_REQUEST);
}

/* ---- why ---- */

static void at_the_deadline(void **state)
{
	struct fixture *f = *state;
	uint64_t begin = now_ms();

	record(f, PHASE_FROZEN, 2, NULL);
	atomic_store(&f->r->deadline_ms, begin + 500);
	start(f);
	is_quiet(f->worker);
	thaws_all(f, CAUSE_DEADLINE);
	assert_true(now_ms() - begin >= 500);
	assert_true(now_ms() - begin < 500 + SOON_MS);
	assert_int_equal(thawed_ones(f), 2);
}

static void a_deadline_that_is_past(void **state)
{
	struct fixture *f = *state;

	record(f, PHASE_FROZEN, 2, NULL);
	atomic_store(&f->r->deadline_ms, 1);
	start(f);
	thaws_all(f, CAUSE_DEADLINE);
}

static void no_deadline(void **state)
{
	struct fixture *f = *state;

	record(f, PHASE_FROZEN, 2, NULL);
	start(f);
	is_quiet(f->worker);
	assert_int_equal(f->fake->calls, 0);
	assert_int_equal(ended(f, 0), -1);
}

/* A cause that nobody knows is a request. */
static void causes(void **state)
{
	static const int64_t given[] = {CAUSE_FAILURE, CAUSE_STOP, 0, -1,
					THAW_CAUSES,   INT64_MAX};

	for (size_t i = 0; i < ARRAY_SIZE(given); i++) {
		struct fixture *f = *state;
		bool known = given[i] > 0 && given[i] < THAW_CAUSES;

		record(f, PHASE_FROZEN, 1, NULL);
		start(f);
		order(f, given[i]);
		thaws_all(f, known ? (enum thaw_cause)given[i] : CAUSE_REQUEST);
		close_p(&f->worker);
	}
}

static void the_worker_dies_before_it_is_complete(void **state)
{
	static const enum superblock_mark before[] = {MARK_FROZEN, MARK_FROZEN,
						      MARK_HELD};
	static const enum superblock_mark after[] = {MARK_THAWED, MARK_THAWED, MARK_HELD};
	struct fixture *f = *state;

	record(f, PHASE_FREEZING, 3, before);
	start(f);
	is_quiet(f->worker);
	close_p(&f->worker);
	assert_int_equal(ended(f, SOON_MS), EXIT_CLEAN);
	ASSERT_MARKS(f, after);
	assert_int_equal(atomic_load(&f->r->phase), PHASE_THAWED);
	assert_int_equal(atomic_load(&f->r->cause), CAUSE_AGENT_LOST);
}

/* What the freezer is at ends first: only then is it known whether it is frozen. */
static void what_the_freezer_is_at(void **state)
{
	static const enum superblock_mark before[] = {MARK_FROZEN, MARK_ASKED, MARK_HELD};
	static const enum superblock_mark after[] = {MARK_THAWED, MARK_THAWED, MARK_HELD};
	static const enum superblock_mark never[] = {MARK_THAWED, MARK_GONE, MARK_HELD};
	struct fixture *f = *state;

	for (int froze = 0; froze < 2; froze++) {
		record(f, PHASE_FREEZING, 3, before);
		atomic_store(&f->fake->calls, 0);
		f->fake->how[1] = froze ? WORKS : NOT_FROZEN;
		start_one(f, true, true);
		order(f, CAUSE_FAILURE);
		says(f->worker, FRAME_THAW, CAUSE_FAILURE);
		is_quiet(f->worker);
		assert_int_equal(f->fake->calls, 1);
		assert_int_equal(atomic_load(&f->r->mark[1]), MARK_ASKED);
		close_p(&f->freezer);
		says(f->worker, FRAME_THAWED, 0);
		assert_int_equal(ended(f, SOON_MS), EXIT_CLEAN);
		assert_marks(f, froze ? after : never, ARRAY_SIZE(after));
		close_p(&f->worker);
	}
}

/* A worker that says what it must not is none. */
static void nonsense(void **state)
{
	struct fixture *f = *state;
	const uint8_t bytes[] = {1, 2, 3};

	record(f, PHASE_FREEZING, 1, NULL);
	start(f);
	send_to(f->worker, FRAME_HELLO, 1);
	assert_int_equal(ended(f, SOON_MS), EXIT_CLEAN);
	assert_int_equal(atomic_load(&f->r->cause), CAUSE_AGENT_LOST);
	close_p(&f->worker);

	record(f, PHASE_FREEZING, 1, NULL);
	start(f);
	assert_int_equal(send(f->worker, bytes, sizeof(bytes), 0), sizeof(bytes));
	assert_int_equal(ended(f, SOON_MS), EXIT_CLEAN);
	assert_int_equal(atomic_load(&f->r->cause), CAUSE_AGENT_LOST);
}

/* ---- what fails, what hangs ---- */

static void one_that_fails(void **state)
{
	static const enum superblock_mark between[] = {MARK_THAWED, MARK_FROZEN,
						       MARK_THAWED};
	struct fixture *f = *state;
	uint64_t deadline;

	record(f, PHASE_FROZEN, 3, NULL);
	f->fake->how[1] = BREAKS;
	start(f);
	order(f, CAUSE_REQUEST);
	says(f->worker, FRAME_THAW, CAUSE_REQUEST);
	says(f->worker, FRAME_THAWED, 1);
	/* It is frozen as before, and will be tried again soon. */
	assert_int_equal(atomic_load(&f->r->phase), PHASE_FROZEN);
	ASSERT_MARKS(f, between);
	deadline = atomic_load(&f->r->deadline_ms);
	assert_in_range(deadline, now_ms() + THAW_RETRY_MS - 2000,
			now_ms() + THAW_RETRY_MS);
	assert_int_equal(ended(f, QUIET_MS), -1);
	/* Or when it is told to. */
	f->fake->how[1] = WORKS;
	order(f, CAUSE_STOP);
	thaws_all(f, CAUSE_STOP);
	assert_int_equal(thawed_ones(f), 3);
	assert_int_equal(f->fake->calls, 4);
}

/* One that hangs holds up nobody else for long. */
static void one_that_hangs(void **state)
{
	struct fixture *f = *state;
	uint64_t begin = now_ms();

	record(f, PHASE_FROZEN, 4, NULL);
	f->fake->how[3] = HANGS; /* the first to be thawed */
	start(f);
	order(f, CAUSE_REQUEST);
	says(f->worker, FRAME_THAW, CAUSE_REQUEST);
	while (thawed_ones(f) < 3 && now_ms() - begin < SOON_MS)
		poll(NULL, 0, 5);
	assert_int_equal(thawed_ones(f), 3);
	assert_true(now_ms() - begin >= HANG_MS);
	/* It is not over. */
	assert_int_equal(atomic_load(&f->r->phase), PHASE_THAWING);
	assert_int_equal(atomic_load(&f->r->mark[3]), MARK_BEGUN);
	is_quiet(f->worker);
	atomic_store(&f->fake->released, 1);
	says(f->worker, FRAME_THAWED, 0);
	assert_int_equal(ended(f, SOON_MS), EXIT_CLEAN);
	assert_int_equal(thawed_ones(f), 4);
	assert_int_equal(f->fake->calls, 4);
}

static void two_that_hang(void **state)
{
	struct fixture *f = *state;
	uint64_t begin = now_ms();

	record(f, PHASE_FROZEN, 5, NULL);
	f->fake->how[4] = f->fake->how[2] = HANGS;
	start(f);
	order(f, CAUSE_REQUEST);
	while (thawed_ones(f) < 3 && now_ms() - begin < SOON_MS)
		poll(NULL, 0, 5);
	assert_int_equal(thawed_ones(f), 3);
	atomic_store(&f->fake->released, 1);
	thaws_all(f, CAUSE_REQUEST);
	assert_int_equal(thawed_ones(f), 5);
}

/* ---- the next worker ---- */

/* A connection to it. */
static int meet(const struct fixture *f)
{
	int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(sock, (const void *)&f->address, sizeof(f->address)), 0);
	return sock;
}

/* It sends its listening socket, then all that it holds, in order. */
static void takes_over(const struct fixture *f, int sock)
{
	for (uint32_t i = 0; i <= f->r->n; i++) {
		uint8_t buf[FRAME_MAX];
		struct arena none = {0};
		struct msg_fs_held held;
		struct frame frame = {0};
		struct rbuf r;
		char path[64], name[64];
		ssize_t len;

		assert_int_equal(receive(sock, SOON_MS, buf, &frame), FRAME_OK);
		assert_int_equal(frame.type, FRAME_HOLD);
		assert_int_equal(frame.request, f->r->n);
		assert_int_equal(frame.generation, (uint32_t)ops_hash());
		assert_int_equal(frame.n_fds, 1);
		r = rbuf_of(frame.body, frame.len);
		assert_int_equal(schema_get(&r, &schema_fs_held, &none, &held), 0);
		assert_int_equal(held.dev.v, i ? 1000 + i - 1 : 0);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", frame.fds[0]);
		len = readlink(path, name, sizeof(name) - 1);
		assert_true(len > 0);
		name[len] = '\0';
		if (i) {
			char want[32];

			snprintf(want, sizeof(want), "/memfd:sb%u (deleted)", i - 1);
			assert_string_equal(name, want);
		} else {
			assert_memory_equal(name, "socket:", 7);
		}
		frame_close_fds(&frame);
	}
}

static void another_worker(void **state)
{
	struct fixture *f = *state;

	record(f, PHASE_FROZEN, 3, NULL);
	start(f);
	close_p(&f->worker);
	assert_int_equal(ended(f, QUIET_MS), -1);
	assert_int_equal(atomic_load(&f->r->phase), PHASE_FROZEN);
	f->worker = meet(f);
	takes_over(f, f->worker);
	is_quiet(f->worker);
	assert_int_equal(f->fake->calls, 0);
	order(f, CAUSE_REQUEST);
	thaws_all(f, CAUSE_REQUEST);
	assert_int_equal(thawed_ones(f), 3);
}

static void worker_after_worker(void **state)
{
	struct fixture *f = *state;

	record(f, PHASE_FROZEN, MANY, NULL);
	start(f);
	for (int i = 0; i < 20; i++) {
		close_p(&f->worker);
		f->worker = meet(f);
		takes_over(f, f->worker);
	}
	order(f, CAUSE_REQUEST);
	thaws_all(f, CAUSE_REQUEST);
}

/* One that dies while it is sent all this is as one that never came. */
static void a_worker_that_dies_at_once(void **state)
{
	struct fixture *f = *state;

	record(f, PHASE_FROZEN, MANY, NULL);
	start(f);
	close_p(&f->worker);
	for (int i = 0; i < 20; i++)
		close(meet(f));
	f->worker = meet(f);
	takes_over(f, f->worker);
	order(f, CAUSE_REQUEST);
	thaws_all(f, CAUSE_REQUEST);
}

static bool hangs_up(int sock)
{
	uint8_t buf[FRAME_MAX];
	struct frame frame = {0};
	enum frame_status status = receive(sock, SOON_MS, buf, &frame);

	frame_close_fds(&frame);
	return status != FRAME_OK && status != FRAME_AGAIN;
}

/* As long as there is one, there is no second. */
static void a_second_worker(void **state)
{
	struct fixture *f = *state;
	int second;

	record(f, PHASE_FROZEN, 2, NULL);
	start(f);
	second = meet(f);
	assert_true(hangs_up(second));
	close(second);
	order(f, CAUSE_REQUEST);
	thaws_all(f, CAUSE_REQUEST);
}

/* Anybody's but root's. */
static void a_strangers_connection(void **state)
{
	struct fixture *f = *state;
	int status;
	pid_t pid;

	if (geteuid() != 0) {
		print_message("# root's part: not root\n");
		skip();
	}
	record(f, PHASE_FROZEN, 2, NULL);
	start(f);
	close_p(&f->worker);
	pid = fork();
	if (pid == 0) {
		int sock;

		if (setresuid(SOME_UID, SOME_UID, SOME_UID) < 0)
			_exit(2);
		sock = meet(f);
		_exit(!hangs_up(sock));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(f->fake->calls, 0);
	f->worker = meet(f);
	takes_over(f, f->worker);
	order(f, CAUSE_REQUEST);
	thaws_all(f, CAUSE_REQUEST);
}

/* Where no socket can be, nobody will find it: it does not wait for that. */
static void without_a_socket(void **state)
{
	struct fixture *f = *state;

	record(f, PHASE_FROZEN, 2, NULL);
	start_one(f, false, false);
	is_quiet(f->worker);
	close_p(&f->worker);
	assert_int_equal(ended(f, SOON_MS), EXIT_CLEAN);
	assert_int_equal(atomic_load(&f->r->cause), CAUSE_AGENT_LOST);
	assert_int_equal(thawed_ones(f), 2);
}

/* The worker that died with a thaw under way finds it done. */
static void a_thaw_outlives_its_worker(void **state)
{
	struct fixture *f = *state;

	record(f, PHASE_FROZEN, 2, NULL);
	f->fake->how[0] = HANGS;
	start(f);
	order(f, CAUSE_REQUEST);
	says(f->worker, FRAME_THAW, CAUSE_REQUEST);
	close_p(&f->worker);
	assert_int_equal(ended(f, QUIET_MS), -1);
	f->worker = meet(f);
	takes_over(f, f->worker);
	atomic_store(&f->fake->released, 1);
	says(f->worker, FRAME_THAWED, 0);
	assert_int_equal(ended(f, SOON_MS), EXIT_CLEAN);
	assert_int_equal(atomic_load(&f->r->cause), CAUSE_REQUEST);
	assert_int_equal(thawed_ones(f), 2);
}

/* Another has done it all, or has begun another freeze: then we have nothing to do. */
static void it_is_over(void **state)
{
	struct fixture *f = *state;

	for (int another = 0; another < 2; another++) {
		record(f, PHASE_FROZEN, 2, NULL);
		start(f);
		is_quiet(f->worker);
		if (another)
			record(f, PHASE_FROZEN, 2, NULL);
		else
			atomic_store(&f->r->phase, PHASE_NONE);
		order(f, CAUSE_REQUEST);
		assert_int_equal(ended(f, SOON_MS), EXIT_CLEAN);
		assert_true(another || f->fake->calls == 0);
		close_p(&f->worker);
	}
}

/* ---- what takes long: all of it at the same time ---- */

struct slow {
	struct fixture *tries, *waits;
};

static int setup_slow(void **state)
{
	struct slow *s = calloc(1, sizeof(*s));
	void *p;

	if (setup(&p) < 0)
		return -1;
	s->tries = p;
	if (setup(&p) < 0)
		return -1;
	s->waits = p;
	*state = s;
	return 0;
}

static int teardown_slow(void **state)
{
	struct slow *s = *state;
	void *p = s->tries;

	teardown(&p);
	p = s->waits;
	teardown(&p);
	free(s);
	return 0;
}

/*
 * What failed is tried again after THAW_RETRY_MS. Where no worker comes within ADOPT_MS,
 * all is thawed, though there is no deadline; not before.
 */
static void after_a_while(void **state)
{
	struct slow *s = *state;
	struct fixture *t = s->tries, *w = s->waits;
	uint64_t begin = now_ms();

	record(w, PHASE_FROZEN, 2, NULL);
	start(w);
	close_p(&w->worker);

	record(t, PHASE_FROZEN, 3, NULL);
	t->fake->how[1] = BREAKS_ONCE;
	start(t);
	order(t, CAUSE_REQUEST);
	says(t->worker, FRAME_THAW, CAUSE_REQUEST);
	says(t->worker, FRAME_THAWED, 1);
	assert_int_equal(ended(t, THAW_RETRY_MS - 500), -1);
	thaws_all(t, CAUSE_DEADLINE);
	assert_int_equal(thawed_ones(t), 3);
	assert_int_equal(t->fake->calls, 4);

	assert_int_equal(ended(w, (int)(begin + ADOPT_MS - 500 - now_ms())), -1);
	assert_int_equal(w->fake->calls, 0);
	assert_int_equal(ended(w, 2500), EXIT_CLEAN);
	assert_int_equal(atomic_load(&w->r->cause), CAUSE_AGENT_LOST);
	assert_int_equal(thawed_ones(w), 2);
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	static const struct CMUnitTest tests[] = {
		WITH(the_last_frozen_first),
		WITH(many),
		WITH(nothing_but_what_we_froze),
		WITH(gone),
		WITH(begun_by_another),
		WITH(killed_in_a_thaw),
		WITH(ordered_twice),
		WITH(at_the_deadline),
		WITH(a_deadline_that_is_past),
		WITH(no_deadline),
		WITH(causes),
		WITH(the_worker_dies_before_it_is_complete),
		WITH(what_the_freezer_is_at),
		WITH(nonsense),
		WITH(one_that_fails),
		WITH(one_that_hangs),
		WITH(two_that_hang),
		WITH(another_worker),
		WITH(worker_after_worker),
		WITH(a_worker_that_dies_at_once),
		WITH(a_second_worker),
		WITH(a_strangers_connection),
		WITH(without_a_socket),
		WITH(a_thaw_outlives_its_worker),
		WITH(it_is_over),
		cmocka_unit_test_setup_teardown(after_a_while, setup_slow, teardown_slow),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("thawer", tests, NULL, NULL);
}
