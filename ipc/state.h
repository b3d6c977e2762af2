/*
 * ipc/state.h - what outlives a worker: a file in memory that the supervisor keeps
 *
 * Runs in:   worker, thawer (write); supervisor (reads whether there is a freeze)
 * Input:     the last worker's and the thawer's word; root's own
 * May touch: nothing but the mapping
 * Must not:  hold a pointer, be changed in its layout without a new STATE_MAGIC
 */
#ifndef POSTERN_IPC_STATE_H
#define POSTERN_IPC_STATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define STATE_MAGIC  0x3274736e72747370ull
#define HANDLE_FIRST 1000 /* as the reference counts (protocol 3.8) */

/* Superblocks that are frozen together, at the most. */
#define SUPERBLOCKS_MAX 1024

/*
 * How far a freeze is. The worker writes NONE, FREEZING and FROZEN, the thawer the rest;
 * whoever changes it must have found what it expected there (atomically).
 */
enum freeze_phase {
	PHASE_NONE,     /* there is no freeze */
	PHASE_FREEZING, /* begun; the death of worker or freezer takes it back */
	PHASE_FROZEN,   /* complete; it outlives any of us */
	PHASE_THAWING,  /* will be finished whoever dies */
	PHASE_THAWED,   /* a record, and perhaps a hook, are still owed */
};

/* May a file system be frozen in PHASE, or be about to? Then a write to it may hang. */
static inline bool phase_is_frozen(uint32_t phase)
{
	return phase != PHASE_NONE && phase != PHASE_THAWED;
}

/* Why it ended (AUDIT.md: THAW_CAUSE). */
#define THAW_CAUSE_TABLE(X)         \
	X(NONE, "none")             \
	X(REQUEST, "request")       \
	X(DEADLINE, "deadline")     \
	X(FAILURE, "failure")       \
	X(AGENT_LOST, "agent-lost") \
	X(STOP, "stop")
#define THAW_CAUSE_ENUM(tag, name) CAUSE_##tag,
enum thaw_cause { THAW_CAUSE_TABLE(THAW_CAUSE_ENUM) THAW_CAUSES };

/* What is known of one superblock. */
enum superblock_mark {
	MARK_HELD,   /* not touched */
	MARK_ASKED,  /* its freeze may be under way, or complete */
	MARK_FROZEN, /* by us */
	MARK_BEGUN,  /* its thaw may be under way, or complete */
	MARK_AGAIN,  /* begun by a thawer that died of something else */
	MARK_FAILED, /* its thaw failed: it is tried again */
	MARK_THAWED, /* by us */
	MARK_GONE,   /* somebody else thawed it */
	MARK_NOT,    /* it cannot be frozen, or was frozen by somebody else */
};

/* Written before the first ioctl. Times are CLOCK_MONOTONIC. */
struct freeze_record {
	_Atomic uint64_t id;    /* of the freeze: counts up */
	_Atomic uint32_t phase; /* enum freeze_phase */
	_Atomic uint32_t cause; /* enum thaw_cause */
	uint32_t n;             /* superblocks held; in the order of their freeze */
	uint32_t hooks;         /* that ran at the freeze and are owed a thaw */
	uint32_t unrecorded;    /* it froze so many, of which no record tells yet */
	uint64_t request;       /* that froze, as in the records */
	uint64_t session;       /* of that request */
	uint64_t hook_timeout_ms;
	_Atomic uint64_t deadline_ms;  /* when it is thawed; 0: never */
	uint64_t dev[SUPERBLOCKS_MAX]; /* st_dev */
	_Atomic uint8_t mark[SUPERBLOCKS_MAX];
};

/* Lines of the log and the records that wait for a thaw (worker/held.h). */
#define HELD_MAX (1024 * 1024)
struct held_lines {
	uint32_t used;  /* bytes */
	uint32_t plain; /* of these, of lines that may be dropped */
	uint64_t dropped;
	uint8_t bytes[HELD_MAX];
};

struct state {
	uint64_t magic;
	int64_t last_handle; /* the highest number that was ever given */
#ifdef POSTERN_TEST_OPS
	/* A test has whoever comes to a step wait there (worker/freeze/pause.h). */
	_Atomic uint32_t pause;  /* the step; 0: none */
	_Atomic uint32_t paused; /* the step at which somebody waits */
#endif
	struct freeze_record freeze;
	/* Refusals while frozen, by operation: the first was recorded. */
	uint32_t refused[64];
	struct held_lines held;
};

#endif
