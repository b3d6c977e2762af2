/*
 * worker/freeze/freeze_resume.c - go on with the freeze of the last worker
 *
 * Runs in:   worker: before the seal, then right after it
 * Input:     the record; the thawer that survives, by its socket
 * May touch: the socket in the runtime directory
 * Must not:  serve anybody before it knows what is frozen
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "ipc/launch.h"
#include "worker/worker.h"

/* Descriptors for superblocks, and as many again while a child is given them. */
#define FILES_MAX (4 * SUPERBLOCKS_MAX)
/* For a thawer to hand over what it holds. */
#define TAKE_MS 5000
/* For our predecessor to end: until then its thawer takes nobody else. */
#define MEET_MS      3000
#define MEET_STEP_MS 20

bool freeze_on_record(const struct worker *w)
{
	return atomic_load(&w->freeze.record->phase) != PHASE_NONE;
}

/* Frames of the thawer we have met: its listening socket, then all it holds. */
static bool take_over(struct freeze *f, int sock)
{
	uint8_t buf[FRAME_MAX];

	for (uint32_t i = 0; i <= f->record->n; i++) {
		struct pollfd p = {.fd = sock, .events = POLLIN};
		struct frame frame;
		int *to = i ? &f->fds[i - 1] : &f->listener;

		if (poll(&p, 1, TAKE_MS) <= 0 ||
		    frame_recv(sock, buf, &frame) != FRAME_OK)
			return false;
		if (frame.type == FRAME_HOLD && frame.n_fds == 1 &&
		    frame.request == f->record->n &&
		    frame.generation == (uint32_t)ops_hash())
			*to = TAKE_FD(frame.fds[0]);
		frame_close_fds(&frame);
		if (*to < 0)
			return false;
		f->n = i;
	}
	return true;
}

/* A path for a socket that is as short as the kernel wants it, wherever RUNTIME is. */
static int address(const char *runtime, struct sockaddr_un *addr)
{
	int dir = open(runtime, O_PATH | O_DIRECTORY | O_CLOEXEC);

	*addr = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(addr->sun_path, sizeof(addr->sun_path), "/proc/self/fd/%d/thawer", dir);
	return dir;
}

/* A socket to the thawer; -1: there is none. */
static int reach_thawer(const struct sockaddr_un *addr)
{
	CLEANUP(close_p) int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (sock < 0 || connect(sock, (const void *)addr, sizeof(*addr)) < 0 ||
	    !peer_is_trusted(sock))
		return -1;
	return TAKE_FD(sock);
}

static bool meet(struct worker *w, const struct sockaddr_un *addr)
{
	struct freeze *f = &w->freeze;
	const uint64_t until = now_ms() + MEET_MS;
	CLEANUP(close_p) int sock = reach_thawer(addr);

	while (sock >= 0 && !take_over(f, sock)) {
		close_p(&sock);
		/* It hung up at once: it believes that our predecessor lives. */
		if (f->listener >= 0 || now_ms() >= until)
			return false;
		poll(NULL, 0, MEET_STEP_MS);
		sock = reach_thawer(addr);
	}
	/* It is not heard before there is a policy, by which a request of ours would be.
	 */
	f->thawer.fd = TAKE_FD(sock);
	return f->thawer.fd >= 0;
}

static void hear_thawer(struct worker *w)
{
	struct source *s = &w->freeze.thawer;
	CLEANUP(close_p) int sock = s->fd;

	if (sock < 0 || loop_add(&w->loop, s, sock, EPOLLIN, freeze_on_thawer) == 0)
		TAKE_FD(sock);
	else
		s->fd = -1;
}

static int listen_at(const struct sockaddr_un *addr)
{
	CLEANUP(close_p)
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	mode_t mask = umask(0177);
	int r = -1;

	if (fd >= 0 && (unlink(addr->sun_path) == 0 || errno == ENOENT))
		r = bind(fd, (const void *)addr, sizeof(*addr));
	umask(mask);
	return r < 0 || listen(fd, 4) < 0 ? -1 : TAKE_FD(fd);
}

int freeze_open(struct worker *w, const char *runtime, const char *hook)
{
	struct freeze *f = &w->freeze;
	struct rlimit files;
	struct sockaddr_un addr;
	CLEANUP(close_p) int dir = -1;

	f->record = &w->state->freeze;
	f->hook_path = hook;
	f->listener = f->freezer.fd = f->thawer.fd = -1;
	memset(f->fds, -1, sizeof(f->fds));
	if (timer_init(&w->loop, &f->retry, freeze_on_retry) < 0)
		return -1;
	/* As many as it takes; with fewer a freeze of many file systems fails. */
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < FILES_MAX) {
		files.rlim_cur = min_size(FILES_MAX, files.rlim_max);
		setrlimit(RLIMIT_NOFILE, &files);
	}
	setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY});
	if (!runtime)
		return 0;
	dir = address(runtime, &addr);
	if (dir < 0)
		return -1;
	if (freeze_on_record(w) && meet(w, &addr))
		return 0;
	freeze_let_go(w);
	close_p(&f->listener);
	f->listener = listen_at(&addr);
	return f->listener < 0 ? -1 : 0;
}

/* Nobody thaws what is on record: the thawer is gone as well. PHASE: how far it had come.
 */
static void rescue_recorded(struct worker *w, uint32_t phase)
{
	struct freeze_record *r = w->freeze.record;

	w->freeze.rq = request_own(w);
	if (phase != PHASE_THAWING)
		atomic_store(&r->cause, CAUSE_AGENT_LOST);
	w->freeze.cause = (enum thaw_cause)atomic_load(&r->cause);
	if (r->n) {
		freeze_rescue(w, true);
		return;
	}
	freeze_thawed(w); /* it had not come to that */
}

/* A freeze that was complete, of which the last worker could not tell. */
static void record_untold(struct worker *w, uint32_t phase)
{
	struct freeze *f = &w->freeze;

	if (f->record->unrecorded && phase != PHASE_FREEZING) {
		f->count = f->record->unrecorded;
		record_freeze(w);
	}
	f->record->unrecorded = 0;
}

void freeze_resume(struct worker *w)
{
	struct freeze *f = &w->freeze;
	uint32_t phase;

	hear_thawer(w);
	phase = atomic_load(&f->record->phase);
	if (phase == PHASE_NONE)
		return;
	record_untold(w, phase);
	f->state = phase == PHASE_FROZEN ? FS_FROZEN : FS_THAWING;
	if (phase == PHASE_THAWED) {
		f->rq = request_own(w);
		f->cause = (enum thaw_cause)f->record->cause;
		freeze_thaw_ended(w);
	} else if (f->thawer.fd < 0) {
		f->state = FS_THAWING;
		rescue_recorded(w, phase);
	} else if (phase != PHASE_FROZEN) {
		/* It thaws, or is about to take back what was not complete. */
		f->rq = request_own(w);
		f->cause = CAUSE_AGENT_LOST;
		f->step = STEP_THAW;
	}
}
