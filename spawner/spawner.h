/*
 * spawner/spawner.h - runs what the worker has decided on, and nothing else
 *
 * Runs in:   spawner, root, not confined: what it runs inherits nothing of ours
 * Input:     frames of the worker (trusted); output and ends of programs (not)
 * May touch: the programs that it started, pipes to them, cgroups of its own
 * Must not:  decide about a request, block, hold more output than its bounds
 */
#ifndef POSTERN_SPAWNER_SPAWNER_H
#define POSTERN_SPAWNER_SPAWNER_H

#include <sys/resource.h>

#include "ipc/ops.h"
#include "ipc/peer.h"
#include "spawner/cgroup.h"

/* Bytes kept of one stream if no rule says less (protocol 3.37), and over all programs.
 */
#define OUTPUT_MAX     (16u * 1024 * 1024)
#define OUTPUT_ALL_MAX (64u * 1024 * 1024)
#define PIECE          (64 * 1024) /* read of it at once */

/* Descriptors that we may need: for each program its pipes, files of output, pidfd, timer
 * and cgroup. */
#define FILES_MAX 4096

#define START_MS 20000             /* from fork to exec: accounts may be far away */
#define KILL_MS  5000              /* from SIGTERM at the deadline to SIGKILL */
#define PIPES_MS 1000              /* for others to close the pipes of who has ended */
#define AGE_MS   (60u * 60 * 1000) /* how long a result waits to be fetched */
#define STOP_MS  1000              /* from SIGTERM when the agent stops to SIGKILL */

/* What a program writes, as far as it is kept. */
struct stream {
	struct source pipe; /* fd -1: not captured, or closed by all */
	int fd;             /* memfd of what is kept; -1: not captured */
	uint64_t size;
	uint64_t seen; /* bytes written, kept or not */
	bool truncated;
	bool stands; /* what comes now is read, so that nobody hangs, and thrown away */
};

enum stage {
	STARTING, /* not executed yet */
	RUNNING,
	TERMINATED, /* it was told to end */
	ENDED,      /* it has; others may hold its pipes */
	SETTLED,    /* its result stands */
};

struct program {
	struct program *next;
	struct spawner *s;
	enum stage stage;
	uint32_t request; /* of the worker; answered once it was executed */
	pid_t pid;
	struct source process; /* pidfd */
	struct source started; /* pipe that execve closes, or that says why not */
	struct source input;   /* pipe; -1: none, or all was written */
	int input_fd;          /* memfd of what is not written yet */
	off_t input_at;
	struct stream out, err;
	uint64_t output_max;
	uint64_t timeout_ms; /* 0: none */
	struct timer timer;  /* the stage's: deadline, then SIGKILL; pipes; age */
	struct cgroup cgroup;
	char *name;       /* as it was asked for, for errors */
	int code, status; /* as of waitid(2) */
	bool unreaped;    /* it has ended, its group has not had its SIGKILL yet */
	bool forgotten;   /* nobody asks any more; it is dropped when it is reaped */
	bool timed_out;
	bool keep; /* it lives on when the agent stops */
};

struct spawner {
	struct loop loop;
	struct peer worker;
	struct source signals;
	struct timer stop;
	struct cgroups cgroups;
	struct program *programs;
	uint64_t held;             /* bytes of output of all of them */
	struct rlimit files, data; /* as we were given them, for what we run */
	bool stopping;
	uint8_t piece[PIECE];                            /* of output, on its way */
	_Alignas(max_align_t) uint8_t arena[256 * 1024]; /* of one decoded request */
};

/* ---- program.c ---- */

/* Start what F asks for. Answers by itself, at once or later. 0, or -1: it breaks rules.
 */
int program_start(struct spawner *s, const struct frame *f);
/* Tell of the program that F names. 0, or -1: it breaks the rules. */
int program_status(struct spawner *s, const struct frame *f);
/* The result of PID was fetched, or nobody will. */
void program_forget(struct spawner *s, pid_t pid);
/* PID is to end now, as at its deadline. */
void program_end(struct spawner *s, pid_t pid);
/* The agent stops: tell all that shall not live on to end; loop_stop when they have. */
void programs_stop(struct spawner *s);
/* The same with SIGKILL and without waiting. */
void programs_kill(struct spawner *s);

/* ---- stream.c ---- */

/* Take what FD, the reading end of a pipe, has to give; it is taken over. 0 or -1. */
int stream_open(struct stream *st, struct loop *loop, int fd, source_fn *fn);
/* Read once; false: it is at its end, and closed. What exceeds MAX is thrown away. */
bool stream_read(struct stream *st, struct spawner *s, uint64_t max);
/* From now on nothing is added to it. */
void stream_settle(struct stream *st);
void stream_hang_up(struct stream *st, struct loop *loop);
/* Give back what is kept. */
void stream_drop(struct stream *st, struct spawner *s);

/* ---- run.c ---- */

/* Ends of pipes that the program gets as 0, 1, 2 (-1: /dev/null), and one for errors. */
struct run_fds {
	int in, out, err;
	int status;
	struct rlimit files, data; /* what it may open and take: as we were given it */
};

/* In the new process. What goes wrong is an errno on FDS->status. */
_Noreturn void run(const struct msg_spawn *what, const struct run_fds *fds,
		   bool has_cgroup);

#endif
