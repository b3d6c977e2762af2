/*
 * ipc/version.h - the schema that we implement
 *
 * Runs in:   all processes
 * Input:     none; const data
 * May touch: nothing
 * Must not:  run ahead of the table in ipc/ops.h
 */
#ifndef POSTERN_IPC_VERSION_H
#define POSTERN_IPC_VERSION_H

/* The QEMU release whose schema the table of operations implements. */
#define QGA_VERSION "11.1.0"

#endif
