/*
 * worker/audit.c - one record per decision and one per completion
 *
 * Runs in:   worker
 * Input:     what the worker decided and did; texts of other processes, bounded and
 *            escaped here
 * May touch: the sink
 * Must not:  block, record a secret (ipc/ops.h says what is none)
 */
#include "worker/audit.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* A uuid of the kernel's, without its newline. */
static int read_uuid(const char *path, char *out, size_t room)
{
	CLEANUP(close_p) int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = read(fd, out, room - 1);
	if (n < 0)
		return -1;
	out[n] = '\0';
	out[strcspn(out, "\n")] = '\0';
	return 0;
}

int audit_init(struct audit *a, struct sink *sink, const char *channel)
{
	memset(a, 0, offsetof(struct audit, encoded));
	a->sink = sink;
	a->channel = channel;
	/* A container may hide the boot id; the instance id is ours and must be there. */
	if (read_uuid("/proc/sys/kernel/random/boot_id", a->boot_id, sizeof(a->boot_id)))
		a->boot_id[0] = '\0';
	return read_uuid("/proc/sys/kernel/random/uuid", a->instance,
			 sizeof(a->instance));
}

uint64_t audit_now_usec(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static void fill_common(struct audit *a, enum audit_event event, struct msg_audit *r)
{
	const struct event_row *row = &event_rows[event];
	uint64_t dropped = a->sink->held->dropped;

	r->message_id = v_str(row->id);
	r->priority = V_INT(row->priority);
	r->time_usec = V_U64(audit_now_usec());
	r->event = v_str(row->name);
	r->seq = V_U64(a->seq + 1);
	r->boot_id = v_str(a->boot_id[0] ? a->boot_id : NULL);
	r->instance = v_str(a->instance);
	if (r->session.set || event == EVENT_START)
		r->channel = v_str(a->channel);
	r->dropped = (struct v_u64){.v = dropped, .set = dropped > 0};
}

/* The record as one line of JSON. */
static void put_line(struct audit *a, struct wbuf *w, const struct msg_audit *r)
{
	struct wbuf wire = wbuf_fixed(a->encoded, sizeof(a->encoded));
	struct rbuf read;

	schema_put(&wire, &schema_audit, r);
	read = rbuf_of(wire.p, wire.len);
	if (wire.bad || schema_render(&read, &schema_audit, &(struct render){0}, w) < 0)
		w->bad = true;
	wbuf_text(w, "\n");
}

/* As the sink takes it, to the sink. */
static int put(struct audit *a, struct audit_how how, const struct msg_audit *r)
{
	struct wbuf w = wbuf_fixed(a->text, sizeof(a->text));
	struct packet packet = {
		.kind = how.kind,
		.session = r->session.v,
		.dropped = r->dropped.v,
		.p = a->text,
	};

	if (a->sink->format == SINK_JOURNAL)
		journal_entry(&w, r);
	else
		put_line(a, &w, r);
	packet.len = w.len;
	return w.bad ? -1 : sink_put(a->sink, &packet, how.effort);
}

int audit_write(struct audit *a, enum audit_event event, struct audit_how how,
		struct msg_audit *r, const char *message, ...)
{
	struct held *held = a->sink->held;
	char text[512];
	va_list ap;

	va_start(ap, message);
	vsnprintf(text, sizeof(text), message, ap);
	va_end(ap);
	r->message = v_str(text);
	fill_common(a, event, r);
	if (put(a, how, r) == 0) {
		a->seq++;
		held->dropped -= r->dropped.v;
		return 0;
	}
	if (how.effort <= SINK_SPARE) {
		a->seq++;
		held->dropped++;
	}
	return -1;
}
