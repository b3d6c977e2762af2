/*
 * ipc/state.h - what outlives a worker: a file in memory that the supervisor keeps
 *
 * Runs in:   worker, thawer (write); supervisor (reads whether there is a freeze, writes
 *            that a reload is owed)
 * Input:     the last worker's and the thawer's word; root's own
 * May touch: nothing but the mapping
 * Must not:  hold a pointer, be changed in its layout without a new STATE_MAGIC
 */
#ifndef POSTERN_IPC_STATE_H
#define POSTERN_IPC_STATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define STATE_MAGIC  0x3574736e72747370ull
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

/*
 * What is written down, by how much it matters; each kind has room of its own, so that no
 * other can push it out (worker/held.h).
 */
#define HELD_TABLE(X)                                                             \
	X(ACT, 512)    /* changes to the guest: never dropped, rather not done */ \
	X(DENIED, 192) /* refusals */                                             \
	X(READ, 128)   /* what changes nothing */                                 \
	X(OWN, 64)     /* what the agent says of itself */                        \
	X(NOTE, 64)    /* the frontend's word */                                  \
	X(LINE, 64)    /* no records: lines of the log */
#define HELD_ENUM(tag, kib) HELD_##tag,
enum held_kind { HELD_TABLE(HELD_ENUM) HELD_KINDS };

/* Records and lines that cannot be written yet (worker/held.h). */
#define HELD_MAX (1024 * 1024)
struct held {
	uint32_t format; /* of the records: enum sink_format */
	uint32_t used;   /* bytes */
	uint32_t of_kind[HELD_KINDS];
	uint64_t dropped;       /* records, not told of yet */
	uint64_t lines_dropped; /* the same of lines */
	uint8_t bytes[HELD_MAX];
};

/*
 * Equal requests of which the first was recorded and the others are counted
 * (worker/repeats.c).
 */
#define REPEATS_MAX     160
#define REPEAT_ARGS_MAX 64
struct repeat {
	uint32_t op; /* OP_NONE: the slot is free */
	uint32_t reason;
	int32_t rule;
	uint32_t generation; /* of the policy whose rule that is; 0: not known any more */
	uint8_t allowed;
	uint8_t complained;
	uint8_t pressed; /* refusals for which there is little room */
	uint8_t n_args;
	uint8_t args[REPEAT_ARGS_MAX]; /* as on the wire */
	uint32_t under_way;
	uint64_t session; /* of the last one */
	uint64_t count;   /* that ended, or were refused, and are in no record yet */
	uint64_t failed;  /* of these */
	uint64_t until_ms;
};

struct state {
	uint64_t magic;
	int64_t last_handle; /* the highest number that was ever given */
	/* Of the policy, asked for and not over yet: whoever dies, the next does it. */
	_Atomic uint32_t reload_owed;
#ifdef POSTERN_TEST_OPS
	/* A test has whoever comes to a step wait there (worker/freeze/pause.h). */
	_Atomic uint32_t pause;  /* the step; 0: none */
	_Atomic uint32_t paused; /* the step at which somebody waits */
#endif
	struct freeze_record freeze;
	/* So many slots were ever taken; the others are not even looked at, which would
	 * make memory of them. */
	uint32_t repeats_taken;
	struct repeat repeats[REPEATS_MAX];
	struct held held;
};

#endif
