/*
 * worker/journal.h - the journal, by its native protocol, without ever waiting for it
 *
 * Runs in:   worker
 * Input:     records of the worker; their texts may be the host's
 * May touch: a datagram socket of its own
 * Must not:  block, let a text become another field
 *
 * The protocol: one datagram for each entry, "FIELD=text" a line; a large entry is in a
 * sealed memfd whose descriptor travels in an empty datagram (systemd, "Native Journal
 * Protocol"). libsystemd's call waits when the reader does not read; this does not.
 */
#ifndef POSTERN_WORKER_JOURNAL_H
#define POSTERN_WORKER_JOURNAL_H

#include "ipc/loop.h"
#include "ipc/record.h"

/* Entries longer than this go as a memfd, so that few do not fill the socket's buffer. */
#define JOURNAL_DATAGRAM_MAX (16 * 1024)
/* A journal that is away is looked for after this time, and with each record. */
#define JOURNAL_RETRY_MS 1000

struct journal {
	struct source source; /* the socket; -1: there is none */
	struct timer retry;
	struct loop *loop;
	bool connected;
	void (*ready)(struct journal *j); /* it may take more */
};

/* Make the socket, before the process is sealed. 0, or -1 with errno. */
int journal_open(struct journal *j, struct loop *loop, void (*ready)(struct journal *j));

/*
 * Hand over an entry, now. False: it takes none; `ready` is called when that may have
 * changed.
 */
bool journal_send(struct journal *j, const uint8_t *entry, size_t len);

/*
 * Write R as an entry to W. Control characters, backslashes and what is no UTF-8 become
 * \xNN, and so do characters that turn or hide the text around them.
 */
void journal_entry(struct wbuf *w, const struct msg_audit *r);

#endif
