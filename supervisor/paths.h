/*
 * supervisor/paths.h - where things are if nobody said so, and for a daemon
 *
 * Runs in:   supervisor, root
 * Input:     the options, XDG_RUNTIME_DIR, the working directory
 * May touch: the options
 * Must not:  open or make anything
 */
#ifndef POSTERN_SUPERVISOR_PATHS_H
#define POSTERN_SUPERVISOR_PATHS_H

#include "supervisor/options.h"

/*
 * Fill in the state directory (/run/postern for root, $XDG_RUNTIME_DIR/postern for
 * others) and the pidfile where they were not given. 0, or -1 with E filled.
 */
int paths_default(struct options *o, struct err *e);

/* Make absolute what a daemon still needs when it has left its working directory. 0, or
 * -1 with E filled. */
int paths_absolute(struct options *o, struct err *e);

#endif
