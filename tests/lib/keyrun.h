/*
 * tests/lib/keyrun.h - child_keys as the worker runs it: sealed, in a process of its own
 *
 * Runs in:   tests; as root, or as an ordinary user for that user's own home
 * Input:     the operation's arguments
 * May touch: children of its own
 * Must not:  wait for ever for one that hangs
 */
#ifndef POSTERN_TESTS_KEYRUN_H
#define POSTERN_TESTS_KEYRUN_H

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "ipc/frame.h"
#include "ipc/launch.h"
#include "sandbox/sandbox.h"
#include "worker/ops/ops.h"

#define KEYRUN_ROLES    (SC_ROLE(SANDBOX_CHILD) | SC_ROLE(SANDBOX_HOME))
#define KEYRUN_LIMIT_MS 20000

/* The filters of a worker that may need such a child, and of the child. */
struct keyrun {
	const struct sys *sys;
	struct sock_fprog worker, child;
};

static inline void keyrun_init(struct keyrun *k, const struct sys *sys)
{
	k->sys = sys;
	if (sandbox_compile(SC_ROLE(SANDBOX_WORKER) | KEYRUN_ROLES, &k->worker) < 0 ||
	    sandbox_compile(KEYRUN_ROLES, &k->child) < 0)
		abort();
}

static inline void keyrun_done(struct keyrun *k)
{
	free(k->worker.filter);
	free(k->child.filter);
}

/* As sandbox_enter does it, and worker/fork.c. */
static inline void keyrun_seal(const struct keyrun *k)
{
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || sandbox_keep_caps(CAPS_HOME) < 0 ||
	    sandbox_load(&k->worker) < 0 || sandbox_keep_caps(CAPS_HOME) < 0 ||
	    sandbox_load(&k->child) < 0)
		_exit(EXIT_SEAL);
}

struct keyrun_child {
	pid_t pid;
	int out;  /* 'r' and the result, or 'e' and a text, until the end */
	int hold; /* a child that was told to stay ends with it; else -1 */
};

static inline void keyrun_write(int out, const void *p, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = write(out, (const char *)p + done, len - done);

		if (n < 0)
			_exit(EXIT_PEER_GONE);
		done += (size_t)n;
	}
}

/* In the child. */
static inline _Noreturn void keyrun_run(const struct keyrun *k, const struct msg_keys *q,
					int out, int hold)
{
	struct wbuf result = wbuf_growing(REPLY_BODY_MAX);
	struct err e = {0};
	bool good;
	char c;

	keyrun_seal(k);
	good = child_keys(k->sys, q, &result, &e) == 0 && !result.bad;
	if (!good) {
		wbuf_free(&result);
		wbuf_text(&result, e.cls ? e.desc : "the result is too large");
	}
	keyrun_write(out, good ? "r" : "e", 1);
	keyrun_write(out, result.p, result.len);
	close(out);
	_exit(hold >= 0 && read(hold, &c, 1) < 0);
}

/* Start it; STAYS: it waits at its end; TRACED: it stops before it is sealed. */
static inline struct keyrun_child keyrun_start(const struct keyrun *k,
					       const struct msg_keys *q, bool stays,
					       bool traced)
{
	struct keyrun_child c = {.hold = -1};
	int out[2], hold[2] = {-1, -1};

	if (pipe2(out, O_CLOEXEC) < 0 || (stays && pipe2(hold, O_CLOEXEC) < 0))
		abort();
	c.pid = fork();
	if (c.pid < 0)
		abort();
	if (c.pid == 0) {
		close(out[0]);
		close_p(&hold[1]);
		if (traced && (ptrace(PTRACE_TRACEME, 0, 0, 0) < 0 || raise(SIGSTOP)))
			_exit(EXIT_SEAL);
		keyrun_run(k, q, out[1], hold[0]);
	}
	close(out[1]);
	close_p(&hold[0]);
	c.out = out[0];
	c.hold = hold[1];
	return c;
}

/*
 * What it has to say, in BUF: as long as that, or -1: it hangs, and is killed. LIMIT as
 * of poll(2), for each part of it.
 */
static inline ssize_t keyrun_read(struct keyrun_child *c, char *buf, size_t cap,
				  int limit)
{
	struct pollfd p = {.fd = c->out, .events = POLLIN};
	size_t len = 0;
	ssize_t n = 1;

	while (n > 0 && len < cap) {
		if (poll(&p, 1, limit) <= 0) {
			kill(c->pid, SIGKILL);
			close_p(&c->out);
			return -1;
		}
		n = read(c->out, buf + len, cap - len);
		len += n > 0 ? (size_t)n : 0;
	}
	close_p(&c->out);
	return (ssize_t)len;
}

/* Its wait status. */
static inline int keyrun_end(struct keyrun_child *c)
{
	int status;

	close_p(&c->hold);
	close_p(&c->out);
	if (waitpid(c->pid, &status, 0) != c->pid)
		abort();
	return status;
}

#endif
