/*
 * worker/policy.c - have the policy files read, and believe the result once it is checked
 *
 * Runs in:   worker, before it is sealed; the reading in a child of it
 * Input:     the command line of the supervisor; policy files, in the child
 * May touch: the policy of the worker
 * Must not:  read a file in the worker: a hung /etc must not hang it
 *
 * The child reads, parses and builds; what it hands back is one block, which policy_open
 * checks before a byte of it means anything.
 */
#include "worker/policy.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "ipc/launch.h"
#include "ipc/memfd.h"
#include "policy/files.h"
#include "sandbox/sandbox.h"

/* Descriptors of the child, in the order of its plan. */
#define IMAGE_FD CHILD_FD_FIRST
#define ROOT_FD  (CHILD_FD_FIRST + 1)

/* ---- in the child ---- */

/* Every mistake on the log; the first is the reason to lock down. */
static void tell(struct source *s, char *why, size_t size)
{
	const struct source_error *e;
	size_t n = source_errors(s, &e);

	for (size_t i = 0; i < n; i++) {
		char line[1024];
		int len = snprintf(line, sizeof(line), "postern: %s:%u: %s\n", e[i].file,
				   e[i].line, e[i].what);

		/* Not by stdio: it asks where in the file it is. A lost line is lost. */
		if (write(STDERR_FILENO, line, min_size((size_t)len, sizeof(line) - 1)) <
		    0)
			break;
	}
	snprintf(why, size, "%zu mistake%s in the policy, the first in %s:%u: %s", n,
		 n == 1 ? "" : "s", n ? e[0].file : "", n ? e[0].line : 0,
		 n ? e[0].what : "memory is short");
}

static int build(const struct policy_from *from, uid_t owner, struct wbuf *image,
		 char *why, size_t size)
{
	struct source *s = source_new();
	int r;

	if (!s)
		return -1;
	if (from->profile) {
		char text[128];

		snprintf(text, sizeof(text), "[policy]\nbase = %s\n", from->profile);
		source_add(s, "command line", text, strlen(text));
	} else {
		files_read(ROOT_FD, owner, s);
	}
	source_deny(s, from->denied);
	r = source_build(s, image);
	if (r < 0)
		tell(s, why, size);
	source_free(s);
	return r;
}

static _Noreturn void run(const struct policy_from *from, uid_t owner)
{
	struct wbuf image = wbuf_growing(IMAGE_MAX);
	char why[1024] = "memory is short";
	size_t done = 0;

	if (build(from, owner, &image, why, sizeof(why)) < 0) {
		wbuf_free(&image);
		image = wbuf_growing(IMAGE_MAX);
		policy_locked_down(why, &image);
	}
	while (done < image.len) {
		ssize_t n = write(IMAGE_FD, image.p + done, image.len - done);

		if (n <= 0)
			_exit(EXIT_SYSTEM);
		done += (size_t)n;
	}
	_exit(0);
}

/* ---- in the worker ---- */

static void on_exit_unused(struct child *c, int code, int status)
{
	(void)c;
	(void)code;
	(void)status;
}

/* Wait for the child, which may hang. True if it ended well. */
static bool ended_well(struct child *c)
{
	struct pollfd p = {.fd = c->exit.fd, .events = POLLIN};
	siginfo_t info = {0};
	int r;

	do
		r = poll(&p, 1, POLICY_READ_MS);
	while (r < 0 && errno == EINTR);
	if (r <= 0)
		child_kill(c);
	else
		waitid(P_PIDFD, (id_t)c->exit.fd, &info, WEXITED);
	return r > 0 && info.si_code == CLD_EXITED && info.si_status == 0;
}

/* The child's block into IMAGE; false if there is none. */
static bool have_it_read(struct worker *w, const struct policy_from *from,
			 struct wbuf *image)
{
	CLEANUP(close_p) int fd = memfd_open("postern-policy-new");
	CLEANUP(close_p)
	int root =
		open(from->root ? from->root : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const int keep[] = {fd, root};
	const struct fork_plan plan = {
		.keep = keep,
		.n_keep = ARRAY_SIZE(keep),
		.roles = SC_ROLE(SANDBOX_CHILD) | SC_ROLE(SANDBOX_POLICY),
		/* That may lead to a file on what is frozen. */
		.stderr = !freeze_on_record(w),
	};
	enum fork_side side = fd < 0 || root < 0 ? FORK_FAILED : FORK_WORKER;
	const uid_t owner = getuid();
	struct child child;
	int pidfd;
	struct stat st;
	uint8_t *room;
	bool good;

	if (side != FORK_FAILED)
		side = worker_fork(&child, &w->loop, &plan, on_exit_unused);
	if (side == FORK_CHILD)
		run(from, owner);
	if (side == FORK_FAILED)
		return false;
	good = ended_well(&child);
	pidfd = child.exit.fd;
	loop_remove(&w->loop, &child.exit);
	close_p(&pidfd);
	if (!good || fstat(fd, &st) < 0 || st.st_size <= 0 || st.st_size > IMAGE_MAX)
		return false;
	room = wbuf_room(image, (size_t)st.st_size);
	return room && pread(fd, room, (size_t)st.st_size, 0) == st.st_size;
}

/* A sealed copy, which the frontend gets too; mapped for us to read. */
static int publish(struct worker *w, const struct wbuf *image)
{
	CLEANUP(close_p) int fd = memfd_of("postern-policy", image->p, image->len);
	void *map;

	if (fd < 0)
		return -1;
	map = mmap(NULL, image->len, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED)
		return -1;
	if (policy_open(&w->policy, map, image->len) < 0) {
		munmap(map, image->len);
		errno = EBADMSG;
		return -1;
	}
	w->policy_fd = TAKE_FD(fd);
	w->policy_size = (uint32_t)image->len;
	w->generation = 1;
	return 0;
}

int worker_policy_load(struct worker *w, const struct policy_from *from)
{
	CLEANUP(wbuf_free) struct wbuf image = wbuf_growing(IMAGE_MAX);

	/* A child may load a filter only with this; the worker itself does so later. */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	if (have_it_read(w, from, &image) && publish(w, &image) == 0)
		return 0;
	wbuf_free(&image);
	image = wbuf_growing(IMAGE_MAX);
	policy_locked_down("the policy could not be read", &image);
	return publish(w, &image);
}
