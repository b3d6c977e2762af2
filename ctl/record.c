/*
 * ctl/record.c - one record of the audit trail as posternctl reads it
 *
 * Runs in:   posternctl, as the user who calls it
 * Input:     fields of a journal or of a file: any bytes
 * May touch: memory of its own
 * Must not:  hold more than its bounds, believe a length or a number
 */
#include "ctl/record.h"

#include <string.h>

#include "ipc/jsonw.h"
#include "ipc/ops.h"

const char *const denied_decisions[] = {"deny", "complain", "error", NULL};

void record_begin(struct record *r)
{
	r->m = (struct msg_audit){0};
	r->used = 0;
}

/* ---- the value of a field ---- */

static bool is_no_nul(const void *context, uint32_t cp)
{
	(void)context;
	return cp;
}

/* LEN bytes at VALUE as text: what is no UTF-8, and NUL, becomes \xNN. */
static struct v_str keep(struct record *r, const char *value, size_t len)
{
	size_t room = min_size(sizeof(r->text) - r->used, RECORD_FIELD_MAX);
	struct wbuf w = wbuf_fixed(r->text + r->used, room);

	text_escaped(&w, value, len, is_no_nul, NULL);
	r->used += w.len;
	return (struct v_str){
		.p = (const char *)w.p, .len = (uint32_t)w.len, .set = true};
}

/* Decimal digits and nothing else. */
static bool number(const char *p, size_t len, uint64_t max, uint64_t *v)
{
	*v = 0;
	for (size_t i = 0; i < len; i++) {
		uint64_t digit = (uint64_t)(p[i] - '0');

		if (p[i] < '0' || p[i] > '9' || *v > (max - digit) / 10)
			return false;
		*v = *v * 10 + digit;
	}
	return len > 0;
}

static struct v_u64 read_u64(const char *p, size_t len)
{
	uint64_t v;

	return number(p, len, UINT64_MAX, &v) ? V_U64(v) : (struct v_u64){0};
}

static struct v_int read_int(const char *p, size_t len)
{
	size_t minus = len && *p == '-';
	uint64_t v;

	if (!number(p + minus, len - minus, INT64_MAX, &v))
		return (struct v_int){0};
	return V_INT(minus ? -(int64_t)v : (int64_t)v);
}

static struct v_bool read_bool(const char *p, size_t len)
{
	bool yes = len == 4 && memcmp(p, "true", 4) == 0;
	bool no = len == 5 && memcmp(p, "false", 5) == 0;

	return (struct v_bool){.v = yes, .set = yes || no};
}

/* ---- fields ---- */

const void *record_member(const struct record *r, const struct field *f)
{
	return (const char *)&r->m + f->offset;
}

bool record_has(const struct record *r, const struct field *f)
{
	return schema_has(f, &r->m);
}

static const struct field *find(const char *name, size_t len)
{
	for (uint32_t i = 0; i < schema_audit.n; i++) {
		const struct field *f = &schema_audit.fields[i];

		if (strncmp(f->name, name, len) == 0 && !f->name[len])
			return f;
	}
	return NULL;
}

void record_put(struct record *r, const char *name, size_t name_len, const char *value,
		size_t len)
{
	const struct field *f = find(name, name_len);
	void *member;

	if (!f || record_has(r, f))
		return;
	member = (char *)&r->m + f->offset;
	if (f->kind == K_STR)
		*(struct v_str *)member = keep(r, value, len);
	else if (f->kind == K_U64)
		*(struct v_u64 *)member = read_u64(value, len);
	else if (f->kind == K_INT)
		*(struct v_int *)member = read_int(value, len);
	else if (f->kind == K_BOOL)
		*(struct v_bool *)member = read_bool(value, len);
}

/* What the event's row says is filled in where a record of other hands lacks it. */
bool record_end(struct record *r)
{
	struct msg_audit *m = &r->m;
	const struct event_row *row = NULL;

	if (!m->event.set || !m->seq.set || !m->instance.set || !m->time_usec.set)
		return false;
	for (size_t i = 0; i < AUDIT_EVENT_COUNT; i++)
		if (text_is(&m->event, event_rows[i].name))
			row = &event_rows[i];
	if (!m->message.set)
		m->message = m->event;
	if (!m->message_id.set)
		m->message_id = v_str(row ? row->id : "");
	if (!m->priority.set)
		m->priority = V_INT(row ? row->priority : 6);
	return true;
}

/* ---- which ---- */

static bool is_denied(const struct v_str *decision)
{
	for (const char *const *word = denied_decisions; *word; word++)
		if (text_is(decision, *word))
			return true;
	return false;
}

bool filter_takes(const struct filter *f, const struct record *r)
{
	const struct msg_audit *m = &r->m;
	uint32_t op;

	if (m->time_usec.v < f->since || m->time_usec.v > f->until)
		return false;
	if (f->one_session && !(m->session.set && m->session.v == f->session))
		return false;
	if (f->denied && !is_denied(&m->decision))
		return false;
	if (!f->ops)
		return true;
	op = m->command.set ? op_by_name(m->command.p, m->command.len) : OP_NONE;
	return op != OP_NONE && f->ops >> op & 1;
}
