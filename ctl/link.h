/*
 * ctl/link.h - a connection to an agent, as a host has one
 *
 * Runs in:   posternctl, as the user who calls it
 * Input:     lines of an agent: any bytes
 * May touch: the agent's socket
 * Must not:  wait longer than it was told, hold more than REPLY_MAX
 *
 * The other side of the protocol: what a host does with a channel of unknown state
 * (protocol 1.4) before it sends its request. Any agent with a unix socket will do.
 */
#ifndef POSTERN_CTL_LINK_H
#define POSTERN_CTL_LINK_H

#include "ipc/wire.h"

/* A file read of 48 MiB makes a line of 64 MiB; this leaves room. */
#define REPLY_MAX ((size_t)256 * 1024 * 1024)

/* Begins the reply to a guest-sync-delimited, and resets whoever reads it. */
#define SENTINEL 0xFF

struct link {
	int fd;
	uint64_t timeout_ms;
	struct wbuf in;  /* received; the next call drops the line given out last */
	size_t given;    /* bytes of it given out */
	size_t searched; /* bytes behind these, known to be without a line feed */
	bool mute;       /* the agent takes nothing any more */
	bool closed;     /* nothing more will come */
};

enum waited { LINE, TIMEOUT, CLOSED, TOO_LONG };

/* Why there was no line. */
extern const char *const wait_errors[];

/* To the socket PATH; each wait takes TIMEOUT_MS at most. CTL_OK or CTL_FAILED with a
 * line. End with link_done in any case. */
int link_open(struct link *l, const char *path, uint64_t timeout_ms);
void link_done(struct link *l);

/*
 * Send OUT, and meanwhile wait for the next line. It is valid until the next call. Both
 * at once: an agent may answer while the request is still on its way.
 */
enum waited link_line(struct link *l, struct rbuf *out, const char **line, size_t *len);

/* Agree on where the next reply begins. LINE: done. */
enum waited link_sync(struct link *l);

#endif
