/*
 * ipc/launch.h - how the supervisor starts a program, and what its end means
 *
 * Runs in:   supervisor (starts), worker, reader, frontend, inspector (are started)
 * Input:     none; const data
 * May touch: nothing
 * Must not:  differ between the programs
 *
 * A started program has exactly these descriptors: 0 and 1 on /dev/null, 2 on /dev/null
 * (the supervisor's own, of those that are root's), and the ones below. Its environment
 * is empty but for TZ and QGA_OS_RELEASE where those are set for the supervisor.
 */
#ifndef POSTERN_IPC_LAUNCH_H
#define POSTERN_IPC_LAUNCH_H

#include <stdbool.h>

/* Where systemd-journald takes entries (systemd, "Native Journal Protocol"). */
#define JOURNAL_SOCKET "/run/systemd/journal/socket"

/* worker: socket to the supervisor. All others: socket to the worker. */
#define LAUNCH_FD_SOCKET 3
/* frontend: the open port, or the listening socket. worker: the audit sink, if any. */
#define LAUNCH_FD_EXTRA 4
/* worker: what survives it (struct state of ipc/state.h), a file in memory. */
#define LAUNCH_FD_STATE 5
/* worker: where posternctl connects: a listening socket in the state directory. */
#define LAUNCH_FD_CONTROL 6
#define CONTROL_NAME      "control"
/* reader: memory in which it keeps what is in force, for the next (reader/read.h). */
#define LAUNCH_FD_POLICY 7
#define POLICY_KEPT_MAX  (2 * 1024 * 1024) /* bytes of it; unused ones cost nothing */

/*
 * Messages on the supervisor's socket with the worker (SOCK_SEQPACKET, one byte each).
 * Supervisor to worker: a new program's socket end travels with the byte (SCM_RIGHTS).
 * Worker to supervisor: when it is ready to decide, whether its policy can need the
 * spawner as well; then, started with --alive MS, that its loop turns, once in so many
 * milliseconds.
 */
#define LAUNCH_MSG_FRONTEND  'f'
#define LAUNCH_MSG_INSPECTOR 'i'
#define LAUNCH_MSG_READER    'p' /* the first of all, before the worker is ready */
#define LAUNCH_MSG_SPAWNER   's'
/* Without a descriptor: end, but thaw first. A socket that just ends says neither. */
#define LAUNCH_MSG_STOP      'q'
#define LAUNCH_MSG_RELOAD    'h' /* likewise: read the policy again */
#define LAUNCH_MSG_READY     'r'
#define LAUNCH_MSG_READY_RUN 'R'
#define LAUNCH_MSG_ALIVE     'a'

/*
 * Exit statuses of the programs it starts, told apart by the supervisor.
 * Anything else, and death by a signal, is a crash.
 */
#define EXIT_CLEAN     0  /* asked to stop; reader: there is nothing more to read */
#define EXIT_CONFIG    64 /* wrong arguments or environment: a restart will not help */
#define EXIT_PEER_GONE 65 /* the process at the other end of its socket went */
#define EXIT_REPLY_CUT 66 /* frontend: ended with a reply partly written */
#define EXIT_VIOLATION 67 /* the peer broke the rules of the wire between us */
#define EXIT_CHANNEL   68 /* frontend: the channel itself failed (unplugged, I/O error) */
#define EXIT_SEAL      69 /* the sandbox could not be entered: a restart will not help */
#define EXIT_SYSTEM    70 /* out of memory or descriptors */

/* Is the process at the other end of SOCK (when it connected) root's, or our own user's?
 */
bool peer_is_trusted(int sock);

/* Is there a socket of the supervisor's making? False for a person at a terminal. */
bool launched(void);

#endif
