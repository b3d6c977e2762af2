/*
 * supervisor/notify.h - tell the service manager (the sd_notify protocol)
 *
 * Runs in:   supervisor, root
 * Input:     NOTIFY_SOCKET of the environment, set by the service manager
 * May touch: a datagram socket of its own
 * Must not:  block, fail the agent
 */
#ifndef POSTERN_SUPERVISOR_NOTIFY_H
#define POSTERN_SUPERVISOR_NOTIFY_H

/* Send STATE ("READY=1"). Nothing happens where nobody listens. */
void notify_manager(const char *state);

#endif
