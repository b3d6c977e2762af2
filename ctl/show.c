/*
 * ctl/show.c - a record as text
 *
 * Runs in:   posternctl, as the user who calls it
 * Input:     records: any text
 * May touch: the buffer it is handed
 * Must not:  let a control character or a byte that is no UTF-8 through
 */
#include "ctl/show.h"

#include <inttypes.h>
#include <langinfo.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <time.h>
#include <wchar.h>

#include "ipc/jsonw.h"

#define WIDTH_MIN 80u
#define WIDTH_MAX 200u

/* More bytes than the widest line has. */
#define LINE_MAX_BYTES 4096

#define WORD_COLUMNS 11

PRINTF(2, 3)
static void put(struct wbuf *w, const char *fmt, ...)
{
	char text[64];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	wbuf_text(w, text);
}

struct show show_for_stdout(enum show_form form)
{
	struct show s = {.form = form, .width = WIDTH_MIN};
	const char *no_color = getenv("NO_COLOR");
	struct winsize size;

	setlocale(LC_CTYPE, "");
	s.utf8 = streq(nl_langinfo(CODESET), "UTF-8");
	if (!isatty(STDOUT_FILENO))
		return s;
	s.colour = !no_color || !*no_color;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > WIDTH_MIN)
		s.width = size.ws_col < WIDTH_MAX ? size.ws_col : WIDTH_MAX;
	return s;
}

void show_word(const struct show *s, enum show_colour c, const char *word, struct wbuf *w)
{
	static const char *const codes[] = {
		[COLOUR_RED] = "\x1b[31m",
		[COLOUR_YELLOW] = "\x1b[33m",
		[COLOUR_MAGENTA] = "\x1b[35m",
	};
	bool coloured = s->colour && c != COLOUR_NONE;

	if (coloured)
		wbuf_text(w, codes[c]);
	wbuf_text(w, word);
	if (coloured)
		wbuf_text(w, "\x1b[0m");
}

/* ---- text of unknown origin ---- */

/*
 * Columns of a character that may be shown, 0 if it may not. What has no width of its own
 * is nothing for a line that somebody relies on: combining marks, directions.
 */
static int columns(const struct show *s, uint32_t cp)
{
	if (cp < 0x80)
		return cp >= 0x20 && cp < 0x7F;
	if (!s->utf8 || cp == 0xAD || (cp >= 0xE000 && cp <= 0xF8FF))
		return 0;
	return wcwidth((wchar_t)cp) > 0 ? wcwidth((wchar_t)cp) : 0;
}

static bool is_shown(const void *show, uint32_t cp)
{
	return columns(show, cp);
}

void show_text(const struct show *s, const char *text, size_t len, struct wbuf *w)
{
	text_escaped(w, text, len, is_shown, s);
}

/* In quotes where it could pass for more than one word of the line. */
static void quoted(const struct show *s, const struct v_str *v, struct wbuf *w)
{
	bool plain = v->len && !memchr(v->p, ' ', v->len) && !memchr(v->p, '"', v->len) &&
		     !memchr(v->p, ',', v->len);

	if (!plain)
		wbuf_text(w, "\"");
	show_text(s, v->p, v->len, w);
	if (!plain)
		wbuf_text(w, "\"");
}

/* What text of show_text takes, up to MOST columns; *BYTES of it do. */
static unsigned int fit(const struct show *s, const struct wbuf *text, unsigned int most,
			size_t *bytes)
{
	unsigned int taken = 0;

	for (*bytes = 0; *bytes < text->len;) {
		uint32_t cp;
		size_t n = utf8_next(text->p + *bytes, text->len - *bytes, &cp);
		unsigned int wide = n ? (unsigned int)columns(s, cp) : 0;

		if (!n || taken + wide > most)
			break;
		taken += wide;
		*bytes += n;
	}
	return taken;
}

/* ---- values ---- */

static void duration(struct wbuf *w, uint64_t usec)
{
	if (usec < 1000) {
		jsonw_u64(w, usec);
		wbuf_text(w, " us");
	} else if (usec < 1000 * 1000) {
		put(w, "%.1f ms", (double)usec / 1e3);
	} else {
		put(w, "%.1f s", (double)usec / 1e6);
	}
}

static void value(const struct show *s, const struct record *r, const struct field *f,
		  bool in_line, struct wbuf *w)
{
	const void *v = record_member(r, f);

	if (f->kind == K_STR && in_line)
		quoted(s, v, w);
	else if (f->kind == K_STR)
		show_text(s, ((const struct v_str *)v)->p, ((const struct v_str *)v)->len,
			  w);
	else if (f->kind == K_U64)
		jsonw_u64(w, ((const struct v_u64 *)v)->v);
	else if (f->kind == K_INT)
		jsonw_i64(w, ((const struct v_int *)v)->v);
	else if (f->kind == K_BOOL)
		jsonw_bool(w, ((const struct v_bool *)v)->v);
}

/* Local time; `full` with its year, microseconds and zone. */
static void local_time(struct wbuf *w, bool full, uint64_t usec)
{
	time_t t = (time_t)(usec / 1000000);
	char text[64], zone[16];
	struct tm tm;

	if (!localtime_r(&t, &tm)) {
		wbuf_text(w, "?");
		return;
	}
	strftime(text, sizeof(text), full ? "%Y-%m-%d %H:%M:%S" : "%m-%d %H:%M:%S ", &tm);
	wbuf_text(w, text);
	strftime(zone, sizeof(zone), "%z", &tm);
	if (full)
		put(w, ".%06u %s\n", (unsigned int)(usec % 1000000), zone);
}

/* ---- one line ---- */

#define BARE  1u /* free text of a field, without quotes */
#define ALONE 2u /* only where no command says more */
#define START 4u /* only where nothing is decided */
#define TRUTH 8u /* a boolean: said if it is true, by its name here */
#define USEC  16u
#define NSEC  32u

/* What a line says after its word, in this order. */
static const struct piece {
	size_t offset;
	uint32_t flags;
	const char *before;
	const char *after;
} pieces[] = {
#define PIECE(member, ...)                                      \
	{                                                       \
		offsetof(struct msg_audit, member), __VA_ARGS__ \
	}
	PIECE(version, START, "version ", ""),
	PIECE(policy_base, START, "policy ", ""),
	PIECE(policy_mode, START, "mode ", ""),
	PIECE(process, 0, "", ""),
	PIECE(command, 0, "", ""),
	PIECE(result, 0, "", ""),
	PIECE(reason, 0, "", ""),
	PIECE(rule, 0, "rule ", ""),
	PIECE(errnum, 0, "errno ", ""),
	PIECE(duration_usec, USEC, "", ""),
	PIECE(abandoned, TRUTH, "abandoned", ""),
	PIECE(skew, TRUTH, "frontend disagreed", ""),
	PIECE(exec_pid, 0, "pid ", ""),
	PIECE(exec_user, 0, "as ", ""),
	PIECE(exit_code, 0, "status ", ""),
	PIECE(signal, 0, "signal ", ""),
	PIECE(timed_out, TRUTH, "timed out", ""),
	PIECE(exec_name, 0, "name ", ""),
	PIECE(exec_path, 0, "", ""),
	PIECE(exec_argv, BARE, "", ""),
	PIECE(out_bytes, 0, "", " bytes of output"),
	PIECE(out_truncated, TRUTH, "cut", ""),
	PIECE(handle, 0, "handle ", ""),
	PIECE(file_mode, 0, "mode ", ""),
	PIECE(file_opened, 0, "", ""),
	PIECE(file_requested, 0, "asked for ", ""),
	PIECE(bytes_read, 0, "", " bytes read"),
	PIECE(bytes_written, 0, "", " bytes written"),
	PIECE(fs_count, 0, "", " file systems"),
	PIECE(thaw_cause, 0, "cause ", ""),
	PIECE(hook_result, 0, "hook ", ""),
	PIECE(fs_mounts, BARE, "", ""),
	PIECE(target_user, 0, "user ", ""),
	PIECE(password_crypted, TRUTH, "crypted", ""),
	PIECE(key_fingerprint, 0, "", ""),
	PIECE(time_delta, NSEC, "by ", " s"),
	PIECE(power_mode, 0, "", ""),
	PIECE(online, 0, "", " left online"),
	PIECE(session, ALONE, "session ", ""),
	PIECE(notes_dropped, 0, "", " notes lost before this"),
	PIECE(detail, BARE, "", ""),
	PIECE(args, BARE, "", ""),
};

static const struct field *field_at(size_t offset)
{
	for (uint32_t i = 0; i < schema_audit.n; i++)
		if (schema_audit.fields[i].offset == offset)
			return &schema_audit.fields[i];
	return NULL;
}

static bool is_said(const struct piece *p, const struct record *r, const struct field *f)
{
	const struct msg_audit *m = &r->m;

	if (!record_has(r, f))
		return false;
	if (p->flags & ALONE)
		return !m->command.set;
	if (p->flags & START)
		return !m->decision.set;
	if (p->flags & TRUTH)
		return ((const struct v_bool *)record_member(r, f))->v;
	/* Of no arguments, and of those that stand in fields of their own, nothing. */
	if (p->offset == offsetof(struct msg_audit, args))
		return !text_is(&m->args, "{}") && !m->file_requested.set;
	return true;
}

static void say(const struct show *s, const struct piece *p, const struct record *r,
		const struct field *f, struct wbuf *w)
{
	const void *v = record_member(r, f);

	wbuf_text(w, p->before);
	if (p->flags & USEC)
		duration(w, ((const struct v_u64 *)v)->v);
	else if (p->flags & NSEC)
		put(w, "%+.3f", (double)((const struct v_int *)v)->v / 1e9);
	else if (!(p->flags & TRUTH))
		value(s, r, f, !(p->flags & BARE), w);
	wbuf_text(w, p->after);
}

static void compose(const struct show *s, const struct record *r, struct wbuf *w)
{
	for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
		const struct field *f = field_at(pieces[i].offset);

		if (!f || !is_said(&pieces[i], r, f))
			continue;
		if (w->len)
			wbuf_text(w, ", ");
		say(s, &pieces[i], r, f, w);
	}
}

/* What must not be cut: how often, on whose word, and that something is missing. */
static void notes(const struct show *s, const struct msg_audit *m, struct wbuf *w)
{
	if (m->repeat.set && m->repeat.v > 1)
		put(w, " x%" PRIu64, m->repeat.v);
	if (m->reported_by.set) {
		wbuf_text(w, " by ");
		quoted(s, &m->reported_by, w);
	}
}

static void lost(const struct msg_audit *m, char *text, size_t size)
{
	text[0] = '\0';
	if (m->dropped.set && m->dropped.v)
		snprintf(text, size, " (%" PRIu64 " record%s lost before this)",
			 m->dropped.v, m->dropped.v == 1 ? "" : "s");
}

static enum show_colour colour_of(const struct msg_audit *m)
{
	static const enum audit_event alarms[] = {EVENT_POLICY_REFUSED, EVENT_LOCKED_DOWN,
						  EVENT_CHILD_VIOLATION};

	if (text_is(&m->decision, "deny") || text_is(&m->decision, "error"))
		return COLOUR_RED;
	if (text_is(&m->decision, "complain"))
		return COLOUR_YELLOW;
	for (size_t i = 0; i < ARRAY_SIZE(alarms); i++)
		if (text_is(&m->event, event_rows[alarms[i]].name))
			return COLOUR_RED;
	return COLOUR_NONE;
}

/* TEXT in at most MOST columns, its end replaced where it is longer; how many it took. */
static unsigned int put_fitting(const struct show *s, const struct wbuf *text,
				unsigned int most, struct wbuf *w)
{
	size_t bytes;
	unsigned int taken = fit(s, text, most, &bytes);

	if (bytes == text->len && !text->bad) {
		wbuf_put(w, text->p, text->len);
		return taken;
	}
	if (most < 3)
		return 0;
	taken = fit(s, text, most - 3, &bytes);
	wbuf_put(w, text->p, bytes);
	wbuf_text(w, "...");
	return taken + 3;
}

/* The decision, or else the event, with blanks behind it; how many columns. */
static unsigned int put_first(const struct show *s, const struct record *r,
			      struct wbuf *w)
{
	const struct msg_audit *m = &r->m;
	const struct v_str *v = m->decision.set ? &m->decision : &m->event;
	uint8_t raw[64], cut[64];
	struct wbuf text = wbuf_fixed(raw, sizeof(raw));
	struct wbuf word = wbuf_fixed(cut, sizeof(cut) - 1);
	unsigned int n;

	show_text(s, v->p, v->len, &text);
	n = put_fitting(s, &text, 15, &word);
	cut[word.len] = '\0';
	show_word(s, colour_of(m), (const char *)cut, w);
	do {
		wbuf_u8(w, ' ');
		n++;
	} while (n < WORD_COLUMNS + 1);
	return n;
}

static void show_short(const struct show *s, const struct record *r, struct wbuf *w)
{
	uint8_t said_bytes[LINE_MAX_BYTES], note_bytes[256];
	struct wbuf said = wbuf_fixed(said_bytes, sizeof(said_bytes));
	struct wbuf note = wbuf_fixed(note_bytes, sizeof(note_bytes));
	unsigned int room = s->width;
	unsigned int noted;
	char missing[64];
	size_t bytes;

	compose(s, r, &said);
	notes(s, &r->m, &note);
	lost(&r->m, missing, sizeof(missing));
	local_time(w, false, r->m.time_usec.v);
	room -= 15;
	room -= put_first(s, r, w);
	room -= (unsigned int)strlen(missing);
	noted = fit(s, &note, room, &bytes);
	put_fitting(s, &said, room - noted, w);
	wbuf_put(w, note.p, bytes);
	if (*missing)
		show_word(s, COLOUR_MAGENTA, missing, w);
	wbuf_text(w, "\n");
}

/* ---- a block, JSON ---- */

static void show_verbose(const struct show *s, const struct record *r, struct wbuf *w)
{
	local_time(w, true, r->m.time_usec.v);
	for (uint32_t i = 0; i < schema_audit.n; i++) {
		const struct field *f = &schema_audit.fields[i];

		if (!record_has(r, f))
			continue;
		wbuf_text(w, f->name);
		wbuf_text(w, "=");
		value(s, r, f, false, w);
		wbuf_text(w, "\n");
	}
	wbuf_text(w, "\n");
}

/* By the code that the agent writes its lines with. */
static void show_json(const struct record *r, struct wbuf *w)
{
	CLEANUP(wbuf_free) struct wbuf wire = wbuf_growing(SHOW_MAX);
	struct rbuf read;

	schema_put(&wire, &schema_audit, &r->m);
	read = rbuf_of(wire.p, wire.len);
	if (wire.bad || schema_render(&read, &schema_audit, &(struct render){0}, w) < 0)
		w->bad = true;
	wbuf_text(w, "\n");
}

void show_record(const struct show *s, const struct record *r, struct wbuf *w)
{
	if (s->form == SHOW_JSON)
		show_json(r, w);
	else if (s->form == SHOW_VERBOSE)
		show_verbose(s, r, w);
	else
		show_short(s, r, w);
}
