/*
 * supervisor/notify.h - tell the service manager (the sd_notify protocol)
 *
 * Runs in:   supervisor, root
 * Input:     NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID of the environment, set by the
 *            service manager (sd_watchdog_enabled(3))
 * May touch: a datagram socket of its own
 * Must not:  block, fail the agent
 */
#ifndef POSTERN_SUPERVISOR_NOTIFY_H
#define POSTERN_SUPERVISOR_NOTIFY_H

#include <stdint.h>

/* No process is woken more often than that while nobody asks for anything. */
#define NOTIFY_ALIVE_MAX_MS 60000

/* Send STATE ("READY=1"). Nothing happens where nobody listens. */
void notify_manager(const char *state);

/*
 * Milliseconds between two signs of life that the manager is to get ("WATCHDOG=1"): half
 * of what it waits for one, at most NOTIFY_ALIVE_MAX_MS. 0: it does not wait for any.
 */
uint64_t notify_alive_ms(void);

#endif
