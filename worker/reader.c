/*
 * worker/reader.c - the child that reads the policy files
 *
 * Runs in:   worker; the reading in a child of it, forked before the worker is sealed
 * Input:     policy files, in the child; frames of the child
 * May touch: the policy directories, read-only, in the child
 * Must not:  read a file in the worker: a hung /etc must not hang it
 */
#include "worker/reader.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "ipc/launch.h"
#include "ipc/memfd.h"
#include "policy/files.h"
#include "sandbox/sandbox.h"
#include "worker/worker.h"

/* Descriptors of the child, in the order of its plan. */
#define SOCKET_FD CHILD_FD_FIRST
#define ROOT_FD   (CHILD_FD_FIRST + 1)
#define KEPT_FD   (CHILD_FD_FIRST + 2)

/* ---- in the child ---- */

/* What is in force, for the readers of later workers; all zero at the beginning. */
struct kept {
	uint64_t size; /* 0: nothing is kept */
	uint8_t image[IMAGE_MAX];
};
_Static_assert(sizeof(struct kept) <= POLICY_KEPT_MAX, "there is room");

struct reading {
	const struct policy_from *from;
	uid_t owner;       /* of the files, besides root */
	struct kept *kept; /* NULL: there is no such memory */
	struct wbuf image; /* as read last */
	bool good;         /* that is a policy, and may be kept */
};

/* FILE:LINE: WHAT; no line where the whole file is meant. */
static void put_mistake(const struct source_error *e, char *out, size_t size)
{
	char line[16];

	snprintf(line, sizeof(line), ":%u", e->line);
	snprintf(out, size, "%s%s: %s", e->file, e->line ? line : "", e->what);
}

/* Every mistake, a line each; the first is the reason not to take the policy. */
static void tell(struct source *s, struct wbuf *lines, char *why, size_t size)
{
	const struct source_error *e;
	size_t n = source_errors(s, &e);
	char text[900];

	for (size_t i = 0; i < n; i++) {
		put_mistake(&e[i], text, sizeof(text));
		wbuf_text(lines, text); /* what does not fit is left out */
		wbuf_text(lines, "\n");
	}
	if (!n)
		return;
	put_mistake(&e[0], text, sizeof(text));
	snprintf(why, size, "%zu mistake%s in the policy, the first in %s", n,
		 n == 1 ? "" : "s", text);
}

static int build(const struct reading *r, struct wbuf *image, struct wbuf *lines,
		 char *why, size_t size)
{
	const struct policy_from *from = r->from;
	struct source *s = source_new();
	int status;

	if (!s)
		return -1;
	if (from->profile) {
		char text[128];

		snprintf(text, sizeof(text), "[policy]\nbase = %s\n", from->profile);
		source_add(s, "command line", text, strlen(text));
	} else {
		files_read(ROOT_FD, r->owner, s);
	}
	source_deny(s, from->denied);
	status = source_build(s, image);
	if (status < 0)
		tell(s, lines, why, size);
	source_free(s);
	return status;
}

/* The files as an image; with mistakes, the image of an agent that is locked down. */
static void read_files(struct reading *r, struct wbuf *lines)
{
	char why[1024] = "memory is short";

	wbuf_free(&r->image);
	r->image = wbuf_growing(IMAGE_MAX);
	r->good = build(r, &r->image, lines, why, sizeof(why)) == 0;
	if (r->good)
		return;
	wbuf_free(&r->image);
	r->image = wbuf_growing(IMAGE_MAX);
	policy_locked_down(why, &r->image);
}

/* What the last worker decided by; false: nothing, or this is the first. */
static bool read_kept(struct reading *r)
{
	const struct kept *k = r->kept;

	if (!k || !k->size || k->size > IMAGE_MAX)
		return false;
	wbuf_put(&r->image, k->image, k->size);
	return !r->image.bad;
}

static void keep(struct reading *r)
{
	if (!r->kept || !r->good)
		return;
	r->kept->size = 0;
	memcpy(r->kept->image, r->image.p, r->image.len);
	r->kept->size = r->image.len;
}

static void answer(struct reading *r, const struct frame *question)
{
	uint8_t text[FRAME_BODY_MAX];
	struct wbuf lines = wbuf_fixed(text, sizeof(text));
	struct rbuf q = rbuf_of(question->body, question->len);
	CLEANUP(close_p) int fd = -1;

	if (!rbuf_u8(&q) || !read_kept(r))
		read_files(r, &lines);
	fd = memfd_of("postern-policy", r->image.p, r->image.len);
	if (r->image.bad || fd < 0)
		_exit(EXIT_SYSTEM);
	frame_send(SOCKET_FD, &(struct frame){
				      .type = FRAME_IMAGE,
				      .request = question->request,
				      .body = text,
				      .len = (uint32_t)lines.len,
				      .n_fds = 1,
				      .fds = {fd, -1},
			      });
}

static _Noreturn void serve(struct reading *r)
{
	uint8_t buf[FRAME_MAX];

	for (;;) {
		struct pollfd p = {.fd = SOCKET_FD, .events = POLLIN};
		struct frame f;
		enum frame_status status;

		poll(&p, 1, -1);
		status = frame_recv(SOCKET_FD, buf, &f);
		if (status == FRAME_AGAIN)
			continue;
		if (status != FRAME_OK)
			_exit(0);
		if (f.type == FRAME_READ)
			answer(r, &f);
		else if (f.type == FRAME_KEEP)
			keep(r);
		frame_close_fds(&f);
	}
}

static _Noreturn void run(const struct policy_from *from, uid_t owner, bool keeps)
{
	struct reading r = {
		.from = from,
		.owner = owner,
		.image = wbuf_growing(IMAGE_MAX),
	};
	void *map = MAP_FAILED;

	if (keeps)
		map = mmap(NULL, sizeof(struct kept), PROT_READ | PROT_WRITE, MAP_SHARED,
			   KEPT_FD, 0);
	r.kept = map == MAP_FAILED ? NULL : map;
	serve(&r);
}

/* ---- in the worker ---- */

static void on_reader_exit(struct child *c, int code, int status)
{
	struct worker *w = CONTAINER_OF(c, struct worker, reader.child);

	if (code == CLD_KILLED && status == SIGSYS)
		record_process(w, EVENT_CHILD_VIOLATION, "reader of the policy",
			       "system call outside its filter");
}

/* Sealed before us, with what is needed to read the files and no more. */
static enum fork_side fork_reader(struct worker *w, int sock, int root)
{
	const int fds[] = {sock, root, w->reader.kept_fd};
	const struct fork_plan plan = {
		.keep = fds,
		.n_keep = w->reader.kept_fd < 0 ? 2 : 3,
		.roles = SC_ROLE(SANDBOX_CHILD) | SC_ROLE(SANDBOX_POLICY),
		.beneath = true,
	};

	return worker_fork(&w->reader.child, &w->loop, &plan, on_reader_exit);
}

/* The answer to the first question, for which we wait. */
static int first_answer(struct worker *w)
{
	struct pollfd p = {.fd = w->reader.source.fd, .events = POLLIN};
	uint8_t buf[FRAME_MAX];
	struct frame f;
	int r, fd = -1;

	do
		r = poll(&p, 1, POLICY_READ_MS);
	while (r < 0 && errno == EINTR);
	if (r <= 0 || frame_recv(p.fd, buf, &f) != FRAME_OK)
		return -1;
	if (f.type == FRAME_IMAGE) {
		worker_log_lines(w, f.body, f.len);
		fd = TAKE_FD(f.fds[0]);
	}
	frame_close_fds(&f);
	return fd;
}

static int ask(struct worker *w, uint8_t kept_will_do)
{
	const struct frame f = {
		.type = FRAME_READ,
		.request = ++w->reader.asked,
		.body = &kept_will_do,
		.len = 1,
	};

	if (w->reader.source.fd < 0)
		return -1;
	return frame_send(w->reader.source.fd, &f) == FRAME_OK ? 0 : -1;
}

int reader_start(struct worker *w, const struct policy_from *from, source_fn *frames)
{
	const bool keeps = w->reader.kept_fd >= 0;
	const char *root = from->root ? from->root : "/";
	CLEANUP(close_p) int root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP(close_p) int theirs = -1;
	CLEANUP(close_p) int ours = -1;
	enum fork_side side = FORK_FAILED;
	const uid_t owner = getuid();
	int pair[2], fd;

	w->reader.source.fd = -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	ours = pair[0];
	theirs = pair[1];
	if (root_fd >= 0)
		side = fork_reader(w, theirs, root_fd);
	if (side == FORK_CHILD)
		run(from, owner, keeps);
	close_p(&w->reader.kept_fd);
	if (side == FORK_FAILED ||
	    loop_add(&w->loop, &w->reader.source, ours, EPOLLIN, frames) < 0)
		return -1;
	TAKE_FD(ours);
	fd = ask(w, true) == 0 ? first_answer(w) : -1;
	if (fd < 0) { /* it hangs, or it is gone */
		child_kill(&w->reader.child);
		reader_end(w);
	}
	return fd;
}

int reader_ask(struct worker *w)
{
	return ask(w, false);
}

void reader_keep(struct worker *w)
{
	if (w->reader.source.fd >= 0)
		frame_send(w->reader.source.fd, &(struct frame){.type = FRAME_KEEP});
}

void reader_end(struct worker *w)
{
	int fd = w->reader.source.fd;

	loop_remove(&w->loop, &w->reader.source);
	close_p(&fd);
}
