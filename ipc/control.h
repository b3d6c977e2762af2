/*
 * ipc/control.h - what posternctl and the worker say to each other
 *
 * Runs in:   worker, posternctl
 * Input:     none; const data
 * May touch: nothing
 * Must not:  be spoken with anybody but root, or who runs the agent
 *
 * Frames of ipc/frame.h on a SOCK_SEQPACKET socket, with a hello both ways first.
 * FRAME_CONTROL asks, FRAME_CONTROLLED answers; a reload that waits answers twice.
 */
#ifndef POSTERN_IPC_CONTROL_H
#define POSTERN_IPC_CONTROL_H

#include "ipc/schema.h"

/* What is asked for. */
enum control_verb {
	CONTROL_STATUS,
	CONTROL_RELOAD,
	CONTROL_POLICY, /* the image in force: answered by FRAME_POLICY */
	CONTROL_VERBS
};
extern const struct names names_control_verb;

/* What became of a reload. */
#define RELOAD_TABLE(X)                                                             \
	X(NONE, "none")           /* there was none */                              \
	X(DONE, "done")           /* the new policy is in force */                  \
	X(UNCHANGED, "unchanged") /* what was read is what is in force */           \
	X(WAITS, "waits")         /* something is frozen: after the thaw */         \
	X(MISTAKES, "mistakes")   /* the old policy stays, as in all that follow */ \
	X(RESTART, "restart")     /* it needs more privilege than is held */        \
	X(LOCKED, "locked")       /* by the policy in force: lock = yes */          \
	X(FAILED, "failed")       /* the files could not be read */
#define RELOAD_ENUM(tag, name) RELOAD_##tag,
enum reload_outcome { RELOAD_TABLE(RELOAD_ENUM) RELOAD_OUTCOMES };
extern const struct names names_reload_outcome;

#define FIELDS_control(X, t) X(t, ENUM, verb, "verb", F_PUB, REF_ENUM(control_verb))

/* Times of the clock are microseconds since 1970; texts are cut, never left out. */
#define FIELDS_status(X, t)                                                          \
	X(t, STR, version, "version", F_REQ, REF_NONE)                               \
	X(t, INT, pid, "pid", F_REQ, REF_NONE) /* of the worker */                   \
	X(t, STR, channel, "channel", F_OPT, REF_NONE)                               \
	X(t, U64, generation, "generation", F_REQ, REF_NONE)                         \
	X(t, STR, digest, "digest", F_REQ, REF_NONE)                                 \
	X(t, STR, base, "base", F_REQ, REF_NONE)                                     \
	X(t, STR, mode, "mode", F_REQ, REF_NONE)                                     \
	X(t, STR, ceiling, "ceiling", F_OPT, REF_NONE)                               \
	X(t, STR, locked_down, "locked-down", F_OPT, REF_NONE)                       \
	X(t, BOOL, lock, "lock", F_REQ, REF_NONE)                                    \
	X(t, U64, loaded, "loaded", F_REQ, REF_NONE) /* the clock */                 \
	X(t, ENUM, reload, "reload", F_REQ, REF_ENUM(reload_outcome))                \
	X(t, STR, reload_detail, "reload-detail", F_OPT, REF_NONE)                   \
	X(t, U64, reload_time, "reload-time", F_OPT, REF_NONE) /* the clock */       \
	X(t, BOOL, reload_waits, "reload-waits", F_REQ, REF_NONE)                    \
	X(t, BOOL, frozen, "frozen", F_REQ, REF_NONE)                                \
	X(t, U64, frozen_count, "frozen-count", F_OPT, REF_NONE)                     \
	X(t, U64, thaw_in_ms, "thaw-in-ms", F_OPT, REF_NONE) /* none: no deadline */ \
	X(t, STR, privileges, "privileges", F_REQ, REF_NONE)                         \
	X(t, STR, files, "files", F_REQ, REF_NONE)                                   \
	X(t, BOOL, landlock, "landlock", F_REQ, REF_NONE)                            \
	X(t, STR, needed, "needed", F_REQ, REF_NONE) /* by the policy in force */    \
	X(t, STR, needed_files, "needed-files", F_REQ, REF_NONE)                     \
	X(t, BOOL, frontend, "frontend", F_REQ, REF_NONE)                            \
	X(t, BOOL, inspector, "inspector", F_REQ, REF_NONE)                          \
	X(t, BOOL, spawner, "spawner", F_REQ, REF_NONE)                              \
	X(t, U64, requests, "requests", F_REQ, REF_NONE) /* under way */             \
	X(t, U64, handles, "handles", F_REQ, REF_NONE)                               \
	X(t, U64, programs, "programs", F_REQ, REF_NONE)     /* that run */          \
	X(t, U64, records, "records", F_REQ, REF_NONE)       /* of this worker */    \
	X(t, U64, held_bytes, "held-bytes", F_REQ, REF_NONE) /* not written yet */   \
	X(t, U64, dropped, "dropped", F_REQ, REF_NONE) /* records, not told of yet */

#define FIELDS_controlled(X, t)                                                \
	X(t, ENUM, verb, "verb", F_PUB, REF_ENUM(control_verb))                \
	X(t, ENUM, outcome, "outcome", F_OPT, REF_ENUM(reload_outcome))        \
	X(t, STR, detail, "detail", F_OPT, REF_NONE)     /* one line */        \
	X(t, STR, mistakes, "mistakes", F_OPT, REF_NONE) /* a line for each */ \
	X(t, OBJ, status, "status", F_OPT, REF_OBJ(status))

SCHEMA_STRUCT(control)
SCHEMA_STRUCT(status)
SCHEMA_STRUCT(controlled)

#endif
