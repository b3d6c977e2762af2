/*
 * worker/ops/power.h - which init this system has, and what makes it go down
 *
 * Runs in:   worker before it is sealed; op children of the worker
 * Input:     /run, /sbin/init, /proc/1/status
 * May touch: these, read-only
 * Must not:  name a signal that init has no use for
 */
#ifndef POSTERN_WORKER_OPS_POWER_H
#define POSTERN_WORKER_OPS_POWER_H

#include "ipc/ops.h"
#include "ipc/sys.h"

/* Does systemd run this system (sd_booted(3))? */
bool power_by_systemd(const struct sys *sys);

/* The signal that has init go down so; 0: there is none that it would take. */
int power_signal_of(const struct sys *sys, enum power_mode mode);

#endif
