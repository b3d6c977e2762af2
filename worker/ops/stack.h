/*
 * worker/ops/stack.h - which superblocks the devices of a superblock stand on
 *
 * Runs in:   op children of the worker
 * Input:     /sys, loop devices: what they say of their files is any bytes
 * May touch: these, read-only; O_PATH descriptors of mount points and of those files
 * Must not:  run in circles, believe that a loop device whose file it cannot find has
 * none
 *
 * To write to a loop device is to write to its file. So a superblock whose devices, or
 * what these are made of, include one has to be frozen before the superblock that holds
 * the file: frozen later, it would wait for that one for ever.
 */
#ifndef POSTERN_WORKER_OPS_STACK_H
#define POSTERN_WORKER_OPS_STACK_H

#include "worker/ops/superblocks.h"

/* Fill `below` and `depth` of all superblocks. 0, or -1 with E filled. */
int stack_look(struct superblocks *all, struct err *e);

#endif
