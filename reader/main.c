/*
 * reader/main.c - the reader's start: sealed, it reads the policy for the worker
 *
 * Runs in:   reader: root without a capability
 * Input:     the command line of the supervisor; frames of the worker
 * May touch: its socket; what read.h says
 * Must not:  read a policy file before it is sealed, outlive its worker
 *
 * It stays, so that the worker needs no right to open anything when a policy is to be
 * read again.
 */
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "ipc/launch.h"
#include "ipc/memfd.h"
#include "ipc/peer.h"
#include "reader/read.h"
#include "sandbox/sandbox.h"

struct reader {
	struct loop loop;
	struct peer worker;
	struct reading reading;
	uint8_t mistakes[FRAME_BODY_MAX];
};

static int fail(int status, const char *step)
{
	fprintf(stderr, "postern: cannot start the reader of the policy: %s: %s\n", step,
		strerror(errno));
	return status;
}

/* ---- the worker ---- */

static int answer(struct reader *reader, const struct frame *question)
{
	struct reading *r = &reader->reading;
	struct wbuf lines = wbuf_fixed(reader->mistakes, sizeof(reader->mistakes));
	struct rbuf q = rbuf_of(question->body, question->len);
	const bool kept_will_do = rbuf_u8(&q);
	CLEANUP(close_p) int fd = -1;

	if (!rbuf_done(&q))
		return -EXIT_VIOLATION;
	if (!kept_will_do || !read_kept(r))
		read_files(r, &lines);
	fd = memfd_of("postern-policy", r->image.p, r->image.len);
	if (r->image.bad || fd < 0)
		return -EXIT_SYSTEM;
	peer_send(&reader->worker, &(struct frame){
					   .type = FRAME_IMAGE,
					   .request = question->request,
					   .body = reader->mistakes,
					   .len = (uint32_t)lines.len,
					   .n_fds = 1,
					   .fds = {fd, -1},
				   });
	return 0;
}

static int keep(struct reader *reader, const struct frame *f)
{
	struct rbuf r = rbuf_of(f->body, f->len);
	const bool was_last = rbuf_u8(&r);

	if (!rbuf_done(&r))
		return -EXIT_VIOLATION;
	read_keep(&reader->reading);
	if (was_last)
		loop_stop(&reader->loop, EXIT_CLEAN);
	return 0;
}

static int on_frame(struct peer *p, struct frame *f)
{
	struct reader *r = CONTAINER_OF(p, struct reader, worker);

	if (f->type == FRAME_READ)
		return answer(r, f);
	return f->type == FRAME_KEEP ? keep(r, f) : -EXIT_VIOLATION;
}

static int on_gone(struct peer *p, enum frame_status why)
{
	(void)p;
	return why == FRAME_GONE ? -EXIT_PEER_GONE : -EXIT_VIOLATION;
}

/* ---- the start ---- */

static int parse(int argc, char **argv, struct reading *r, const char **root)
{
	static const struct option options[] = {
		{"profile", required_argument, NULL, 'p'},
		{"policy-root", required_argument, NULL, 'r'},
		{"deny", required_argument, NULL, 'd'},
		{0},
	};
	int c;

	opterr = 0; /* one line is enough, and it is ours */
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'p')
			r->profile = optarg;
		else if (c == 'r')
			*root = optarg;
		else if (c == 'd')
			r->denied = strtoull(optarg, NULL, 16);
		else
			return -1;
	}
	return optind == argc ? 0 : -1;
}

static int prepare(struct reader *reader, const char *root)
{
	struct reading *r = &reader->reading;
	int kept = LAUNCH_FD_POLICY;
	void *map =
		mmap(NULL, sizeof(*r->kept), PROT_READ | PROT_WRITE, MAP_SHARED, kept, 0);

	/* Without a supervisor that keeps it, there is none. */
	r->kept = map == MAP_FAILED ? NULL : map;
	close_p(&kept);
	r->owner = getuid();
	r->image = wbuf_growing(IMAGE_MAX);
	r->root = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (r->root < 0 || loop_init(&reader->loop) < 0)
		return -1;
	return peer_open(&reader->worker, &reader->loop, LAUNCH_FD_SOCKET, on_frame,
			 on_gone);
}

static int seal(const struct reading *r)
{
	const uint32_t roles = SC_ROLE(SANDBOX_POLICY);
	const char *step = "Landlock";

	if (sandbox_beneath(roles, r->root) >= 0 && sandbox_enter(roles, &step) == 0)
		return 0;
	return fail(EXIT_SEAL, step);
}

int main(int argc, char **argv)
{
	static struct reader r;
	const char *root = NULL;
	struct profile p;
	int status;

	if (parse(argc, argv, &r.reading, &root) < 0 || !launched()) {
		fputs("postern-reader: started by postern, not by hand\n", stderr);
		return EXIT_CONFIG;
	}
	/* A name that is mistaken on the command line ends the agent. */
	if (r.reading.profile && !profile_find(r.reading.profile, &p)) {
		fprintf(stderr, "postern: there is no profile '%s'; known are: %s\n",
			r.reading.profile, profile_names());
		return EXIT_CONFIG;
	}
	if (prepare(&r, root ? root : "/") < 0)
		return fail(EXIT_SYSTEM, "set-up");
	status = seal(&r.reading);
	if (status)
		return status;
	status = loop_run(&r.loop);
	/* -1 is epoll's own failure; callbacks end the loop with their exit status. */
	return status == -1 ? EXIT_SYSTEM : abs(status);
}
