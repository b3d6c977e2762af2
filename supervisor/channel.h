/*
 * supervisor/channel.h - open, keep and give up the channel to the host
 *
 * Runs in:   supervisor, root
 * Input:     method and path of the command line; LISTEN_PID and LISTEN_FDS; files found
 *            at the path
 * May touch: the device or socket at the path
 * Must not:  read or write the channel, remove what is no socket of ours
 */
#ifndef POSTERN_SUPERVISOR_CHANNEL_H
#define POSTERN_SUPERVISOR_CHANNEL_H

#include <stdbool.h>
#include <sys/types.h>

#include "ipc/err.h"

struct channel;

struct channel_method {
	const char *name;
	const char *default_path;    /* NULL: a path must be given */
	const char *frontend_option; /* how the frontend is told */
	int family;                  /* of its sockets; AF_UNSPEC: a device */
	bool listens;
	/* The open descriptor, or -1 with E filled. */
	int (*open)(struct channel *c, struct err *e);
};

struct channel {
	const struct channel_method *method;
	const char *path;
	int fd;         /* -1: not open */
	bool was_open;  /* opened at least once */
	dev_t node_dev; /* listeners: the node we made at the path */
	ino_t node_ino;
};

/* The method of this name, or NULL. */
const struct channel_method *channel_method(const char *name);

/*
 * A listening socket that the service manager hands over (LISTEN_PID, LISTEN_FDS of
 * sd_listen_fds(3)): fill C with it, whose address family decides the method, and remove
 * the variables. 1; 0 if there is none; -1 with E filled.
 */
int channel_inherit(struct channel *c, struct err *e);

/* Open it; nothing to do if it is open. 0, or -1 with E filled. */
int channel_open(struct channel *c, struct err *e);

/* A port is closed, so that the next channel_open opens anew; a listener stays. */
void channel_drop(struct channel *c);

/* The end: close, and remove the node at the path if it is still the one we made. */
void channel_done(struct channel *c);

#endif
