/*
 * worker/ops/freezer.h - freezes one superblock at a time, asking before each
 *
 * Runs in:   freezer: a child of the worker that dies with it, with CAP_SYS_ADMIN
 * Input:     orders of the worker, FRAME_GO with msg_freeze_go
 * May touch: the superblocks it was given
 * Must not:  go on without an order
 */
#ifndef POSTERN_WORKER_OPS_FREEZER_H
#define POSTERN_WORKER_OPS_FREEZER_H

#include "ipc/sys.h"
#include "worker/fork.h"

/* Its first superblock, behind the socket. */
#define FREEZER_FIRST (CHILD_FD_FIRST + 1)

/* Answers each order with msg_frozen, errno included. Ends when nobody asks any more. */
_Noreturn void freezer_run(const struct sys_ops *ops);

#endif
