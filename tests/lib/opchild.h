/*
 * tests/lib/opchild.h - a handler in a process such as the worker makes for it
 *
 * Runs in:   unit tests
 * Input:     the test's request and fixtures
 * May touch: a child of the test: no capability, sealed as the table has it for the
 *            operation
 * Must not:  let a handler have a capability, or more system calls than in the agent
 *
 * For handlers that ask once before they change anything. The answer lies ready before
 * the child begins; what it asked is looked at when it has ended.
 */
#ifndef POSTERN_TESTS_OPCHILD_H
#define POSTERN_TESTS_OPCHILD_H

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

#include "ipc/launch.h"
#include "sandbox/sandbox.h"
#include "worker/fork.h"
#include "worker/ops/ops.h"
#include "worker/ops/talk.h"

typedef int opchild_handler(const struct sys *sys, const void *args, struct wbuf *out,
			    struct err *e);

/* What came of it; in memory that test and child share. */
struct opchild {
	int status; /* of its end */
	bool asked;
	struct msg_change change; /* if it asked */
	int r;                    /* what the handler returned */
	struct err e;
	size_t len; /* of the result, if R is 0 */
	uint8_t result[1 << 20];
	rlim_t file_max; /* the test's: to write beyond it fails by EFBIG */
};

static inline struct opchild *opchild_new(void)
{
	void *p = mmap(NULL, sizeof(struct opchild), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_true(p != MAP_FAILED);
	((struct opchild *)p)->file_max = RLIM_INFINITY;
	return p;
}

static inline void opchild_free(struct opchild *c)
{
	munmap(c, sizeof(*c));
}

/* As worker/fork.c leaves it: nothing of the worker's filter is beyond that of a child.
 */
static inline bool opchild_seal(uint32_t op, rlim_t file_max)
{
	const struct rlimit limit = {file_max, file_max};
	struct sock_fprog prog = {0};

	signal(SIGXFSZ, SIG_IGN);
	tzset();
	return sandbox_compile(sandbox_child_roles(op), &prog) == 0 &&
	       setrlimit(RLIMIT_FSIZE, &limit) == 0 && sandbox_keep_caps(0) == 0 &&
	       prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && sandbox_load(&prog) == 0;
}

static inline _Noreturn void opchild_run(struct opchild *c, const struct sys *root,
					 int sock, uint32_t op, opchild_handler *h,
					 const void *args)
{
	struct wbuf out = wbuf_fixed(c->result, sizeof(c->result));
	struct sys sys = *root;

	sys.root_fd = fcntl(root->root_fd, F_DUPFD_CLOEXEC, 10);
	sock = fcntl(sock, F_DUPFD_CLOEXEC, 10);
	if (dup2(sock, CHILD_FD_FIRST) < 0 || !opchild_seal(op, c->file_max))
		_exit(EXIT_SEAL);
	c->r = h(&sys, args, &out, &c->e);
	c->len = out.bad ? 0 : out.len;
	_exit(0);
}

/* Whether it asked, and what. */
static inline void opchild_question(struct opchild *c, int sock, uint32_t op)
{
	uint8_t buf[FRAME_MAX];
	struct frame f;
	struct rbuf r;

	c->asked = frame_recv(sock, buf, &f) == FRAME_OK;
	if (!c->asked)
		return;
	assert_int_equal(f.type, FRAME_FOUND);
	assert_int_equal(f.op, op);
	r = rbuf_of(f.body, f.len);
	assert_int_equal(schema_get(&r, &schema_change, &(struct arena){0}, &c->change),
			 0);
	assert_true(rbuf_done(&r));
	/* Once. */
	assert_int_equal(frame_recv(sock, buf, &f), FRAME_GONE);
}

/* Have a child carry out OP. Not ALLOWED: the worker ends the request when it asks. */
static inline void opchild(struct opchild *c, const struct sys *sys, uint32_t op,
			   opchild_handler *h, const void *args, bool allowed)
{
	int pair[2];
	pid_t pid;

	memset(c, 0, offsetof(struct opchild, result));
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	if (allowed)
		assert_int_equal(frame_send(pair[0], &(struct frame){.type = FRAME_GO,
								     .op = (uint16_t)op}),
				 FRAME_OK);
	else
		shutdown(pair[0], SHUT_WR);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		opchild_run(c, sys, pair[1], op, h, args);
	close(pair[1]);
	assert_int_equal(waitpid(pid, &c->status, 0), pid);
	opchild_question(c, pair[0], op);
	close(pair[0]);
}

/* It came to its end, and failed so. */
static inline void opchild_failed(const struct opchild *c, enum err_class cls,
				  const char *desc)
{
	assert_int_equal(c->status, 0);
	assert_int_equal(c->r, -1);
	assert_string_equal(c->e.desc, desc);
	assert_int_equal(c->e.cls, cls);
}

/* It came to its end, and this is its result as the host sees it. */
static inline void opchild_result(const struct opchild *c, const struct schema *s,
				  const char *json)
{
	CLEANUP(wbuf_free) struct wbuf text = wbuf_growing(1 << 22);
	struct rbuf r = rbuf_of(c->result, c->len);

	assert_int_equal(c->status, 0);
	if (c->r)
		fail_msg("%s", c->e.desc);
	assert_int_equal(schema_render(&r, s, &(struct render){0}, &text), 0);
	wbuf_u8(&text, 0);
	assert_string_equal((const char *)text.p, json);
}

/* It asked, and was told to end: EXIT_PEER_GONE, no result. */
static inline void opchild_refused(const struct opchild *c)
{
	assert_true(c->asked);
	assert_true(WIFEXITED(c->status));
	assert_int_equal(WEXITSTATUS(c->status), EXIT_PEER_GONE);
	assert_int_equal(c->len, 0);
}

#endif
