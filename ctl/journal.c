/*
 * ctl/journal.c - records from the journal
 *
 * Runs in:   posternctl, as the user who calls it
 * Input:     journal files. Everybody in the guest can log what looks like a record, but
 *            not under another's uid: that field is journald's own
 * May touch: journal files, read-only
 * Must not:  show a record that another uid wrote
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-journal.h>

#include "ctl/ctl.h"
#include "ctl/trail.h"
#include "ipc/ops.h"

/*
 * A record reaches the journal after its event, so reading begins where --since says; but
 * the clock may have been set back in between.
 */
#define SEEK_EARLIER ((uint64_t)3600 * 1000000)

/* The journal's files come and go, whatever its descriptor says. */
#define LOOK_MS 1000

struct journal {
	struct trail trail;
	sd_journal *j;
};

static struct journal *journal_of(struct trail *t)
{
	return CONTAINER_OF(t, struct journal, trail);
}

static int failed(const char *what, int r)
{
	ctl_fail("the journal cannot be %s: %s", what, strerror(-r));
	return -1;
}

/* ---- one entry ---- */

static bool read_entry(sd_journal *j, struct record *r)
{
	const void *data;
	size_t len;
	uint64_t usec;

	record_begin(r);
	sd_journal_restart_data(j);
	while (sd_journal_enumerate_available_data(j, &data, &len) > 0) {
		const char *name = data;
		const char *equals = memchr(name, '=', len);

		if (equals)
			record_put(r, name, (size_t)(equals - name), equals + 1,
				   len - (size_t)(equals - name) - 1);
	}
	if (!r->m.time_usec.set && sd_journal_get_realtime_usec(j, &usec) >= 0)
		r->m.time_usec = V_U64(usec);
	return record_end(r);
}

static int journal_next(struct trail *t, struct record *r)
{
	struct journal *own = journal_of(t);

	for (;;) {
		int n = sd_journal_next(own->j);

		if (n < 0)
			return failed("read", n);
		if (n == 0)
			return 0;
		if (read_entry(own->j, r))
			return 1;
		t->bad++;
	}
}

/* ---- waiting ---- */

static int journal_watch(struct trail *t, struct pollfd *p)
{
	sd_journal *j = journal_of(t)->j;
	int events = sd_journal_get_events(j);

	p->fd = sd_journal_get_fd(j);
	p->events = (short)(events < 0 ? 0 : events);
	return LOOK_MS;
}

static int journal_woken(struct trail *t)
{
	int r = sd_journal_process(journal_of(t)->j);

	return r < 0 ? failed("followed", r) : 0;
}

static void journal_end(struct trail *t)
{
	struct journal *own = journal_of(t);

	if (own->j)
		sd_journal_close(own->j);
	free(own);
}

/* ---- what is asked of the journal ---- */

/* Alternatives for one field; different fields must all match. */
PRINTF(2, 3)
static int match(sd_journal *j, const char *fmt, ...)
{
	char text[128];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return sd_journal_add_match(j, text, 0);
}

static int match_filter(sd_journal *j, const struct filter *f)
{
	int r = 0;

	for (uint32_t op = OP_NONE; op < OP_MAX && r >= 0; op++)
		if (f->ops >> op & 1)
			r = match(j, PX "COMMAND=%s", op_by_number(op)->name);
	for (const char *const *w = denied_decisions; f->denied && *w && r >= 0; w++)
		r = match(j, PX "DECISION=%s", *w);
	if (f->one_session && r >= 0)
		r = match(j, PX "SESSION=%" PRIu64, f->session);
	return r;
}

static int match_all(sd_journal *j, const struct trail_options *o)
{
	int r = match(j, "_UID=%u", (unsigned int)o->uid);

	for (size_t i = 0; i < AUDIT_EVENT_COUNT && r >= 0; i++)
		r = match(j, "MESSAGE_ID=%s", event_rows[i].id);
	return r < 0 ? r : match_filter(j, o->filter);
}

static int begin(sd_journal *j, const struct trail_options *o)
{
	uint64_t since = o->filter->since;
	int r = match_all(j, o);

	if (r >= 0)
		r = sd_journal_set_data_threshold(j, RECORD_FIELD_MAX + 64);
	/* From here on it is told of what comes. */
	if (r >= 0 && o->follow)
		r = sd_journal_get_fd(j);
	if (r < 0)
		return r;
	if (since <= SEEK_EARLIER)
		return sd_journal_seek_head(j);
	return sd_journal_seek_realtime_usec(j, since - SEEK_EARLIER);
}

struct trail *journal_open(const struct trail_options *o)
{
	CLEANUP(trail_end_p) struct trail *t = NULL;
	struct journal *own = calloc(1, sizeof(*own));
	int r;

	if (!own)
		return ctl_fail("no memory"), NULL;
	own->trail = (struct trail){.next = journal_next,
				    .watch = journal_watch,
				    .woken = journal_woken,
				    .end = journal_end,
				    .escapes = true};
	t = &own->trail;
	r = o->directory ? sd_journal_open_directory(&own->j, o->directory, 0)
			 : sd_journal_open(&own->j, SD_JOURNAL_LOCAL_ONLY);
	if (r < 0)
		return ctl_fail("%s: cannot open: %s",
				o->directory ? o->directory : "journal", strerror(-r)),
		       NULL;
	r = begin(own->j, o);
	if (r < 0)
		return failed("read", r), NULL;
	return TAKE_PTR(t);
}
