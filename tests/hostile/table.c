/*
 * tests/hostile/table.c - the table of operations as JSON, for tests that walk it
 *
 * Runs in:   the tests; the build that is tested (with or without test operations)
 * Input:     none; const data
 * May touch: standard output
 * Must not:  leave out a row, so that a new one is covered on arrival
 */
#include <stddef.h>
#include <stdio.h>

#include "ipc/frame.h"
#include "ipc/jsonw.h"
#include "ipc/note.h"
#include "ipc/ops.h"
#include "worker/freeze/pause.h"
#include "worker/freeze/thawer.h"
#include "worker/worker.h"

#define KIND_NAME(kind, type) [K_##kind] = #kind,
static const char *const kinds[K_COUNT] = {KIND_TABLE(KIND_NAME)};

#define CARRIER_NAME(name) [name] = #name
static const char *const carriers[] = {
	CARRIER_NAME(BY_NOBODY),    CARRIER_NAME(BY_FRONTEND), CARRIER_NAME(BY_CHILD),
	CARRIER_NAME(BY_INSPECTOR), CARRIER_NAME(BY_HANDLE),   CARRIER_NAME(BY_SPAWNER),
	CARRIER_NAME(BY_FREEZE),    CARRIER_NAME(BY_STEPS),
};

#define GROUP_WORD(tag, bit, name) name,
static const char *const groups[] = {GROUP_TABLE(GROUP_WORD)};

static void put_number(struct wbuf *w, const char *name, uint64_t v)
{
	jsonw_cstr(w, name);
	wbuf_text(w, ": ");
	jsonw_u64(w, v);
	wbuf_text(w, ", ");
}

static void put_word(struct wbuf *w, const char *name, const char *text)
{
	jsonw_cstr(w, name);
	wbuf_text(w, ": ");
	jsonw_cstr(w, text);
	wbuf_text(w, ", ");
}

/* Text between the elements of a list. */
static void next(struct wbuf *w, uint32_t i)
{
	if (i)
		wbuf_text(w, ",\n");
}

/* The schemas nest, as deep as SCHEMA_DEPTH_MAX says. */
/* NOLINTNEXTLINE(misc-no-recursion) */
static void put_schema(struct wbuf *w, const struct schema *s)
{
	wbuf_text(w, "[");
	for (uint32_t i = 0; i < s->n; i++) {
		const struct field *f = &s->fields[i];

		next(w, i);
		wbuf_text(w, "{");
		put_word(w, "name", f->name ? f->name : "");
		put_word(w, "kind", kinds[f->kind]);
		put_number(w, "optional", f->flags & F_OPT);
		put_number(w, "public", f->flags & F_PUB);
		put_number(w, "names", field_has_names(f) ? f->names->n : 0);
		wbuf_text(w, "\"sub\": ");
		if (field_has_sub(f))
			put_schema(w, f->sub);
		else
			wbuf_text(w, "null");
		wbuf_text(w, "}");
	}
	wbuf_text(w, "]");
}

static void put_groups(struct wbuf *w, uint32_t mask)
{
	uint32_t n = 0;

	wbuf_text(w, "\"groups\": [");
	for (uint32_t bit = 0; bit < ARRAY_SIZE(groups); bit++) {
		if (!(mask >> bit & 1))
			continue;
		next(w, n++);
		jsonw_cstr(w, groups[bit]);
	}
	wbuf_text(w, "], ");
}

static void put_op(struct wbuf *w, uint32_t number)
{
	const struct op *op = op_by_number(number);

	wbuf_text(w, "{");
	put_number(w, "number", number);
	put_word(w, "name", op->name);
	put_word(w, "carrier", carriers[op->carrier]);
	put_groups(w, op->groups);
	wbuf_text(w, "\"args\": ");
	put_schema(w, op->args);
	wbuf_text(w, ", \"result\": ");
	put_schema(w, op->result);
	wbuf_text(w, "}");
}

static void put_limits(struct wbuf *w)
{
	put_number(w, "OP_MAX", OP_MAX);
	put_number(w, "FRAME_BODY_MAX", FRAME_BODY_MAX);
	put_number(w, "REQUEST_BODY_MAX", REQUEST_BODY_MAX);
	put_number(w, "REPLY_BODY_MAX", REPLY_BODY_MAX);
	put_number(w, "REQUESTS_MAX", REQUESTS_MAX);
	put_number(w, "PEER_QUEUE_MAX", PEER_QUEUE_MAX);
	put_number(w, "NOTES_BURST", NOTES_BURST);
	put_number(w, "NOTES_PER_SEC", NOTES_PER_SEC);
}

#define PAUSE_NAME(name) [PAUSE_##name] = #name
static const char *const pauses[PAUSE_COUNT] = {
	PAUSE_NAME(UNMARKED), PAUSE_NAME(CLAIMED), PAUSE_NAME(UNDONE),
	PAUSE_NAME(NONE),     PAUSE_NAME(HOOK),    PAUSE_NAME(LIST),
	PAUSE_NAME(HELD),     PAUSE_NAME(THAWER),  PAUSE_NAME(FIRST),
	PAUSE_NAME(SECOND),   PAUSE_NAME(LAST),    PAUSE_NAME(COMPLETE),
	PAUSE_NAME(ORDER),    PAUSE_NAME(BEGUN),   PAUSE_NAME(BETWEEN),
	PAUSE_NAME(DONE),     PAUSE_NAME(TOLD),    PAUSE_NAME(END),
};

#define PHASE_NAME(name) [PHASE_##name] = #name
static const char *const phases[] = {
	PHASE_NAME(NONE),    PHASE_NAME(FREEZING), PHASE_NAME(FROZEN),
	PHASE_NAME(THAWING), PHASE_NAME(THAWED),
};

#define MARK_NAME(name) [MARK_##name] = #name
static const char *const marks[] = {
	MARK_NAME(HELD),   MARK_NAME(ASKED), MARK_NAME(FROZEN),
	MARK_NAME(BEGUN),  MARK_NAME(AGAIN), MARK_NAME(FAILED),
	MARK_NAME(THAWED), MARK_NAME(GONE),  MARK_NAME(NOT),
};

#define CAUSE_NAME(tag, name) [CAUSE_##tag] = (name),
static const char *const causes[] = {THAW_CAUSE_TABLE(CAUSE_NAME)};

static void put_names(struct wbuf *w, const char *what, const char *const *names,
		      uint32_t n)
{
	jsonw_cstr(w, what);
	wbuf_text(w, ": [");
	for (uint32_t i = 0; i < n; i++) {
		next(w, i);
		jsonw_cstr(w, names[i]);
	}
	wbuf_text(w, "], ");
}

/* What a test needs to have a freeze wait (worker/freeze/pause.h), and to look at its
 * record. */
static void put_freeze(struct wbuf *w)
{
	put_names(w, "pauses", pauses, ARRAY_SIZE(pauses));
	put_names(w, "phases", phases, ARRAY_SIZE(phases));
	put_names(w, "marks", marks, ARRAY_SIZE(marks));
	put_names(w, "causes", causes, ARRAY_SIZE(causes));
	put_number(w, "THAWER_LISTENER", THAWER_LISTENER);
	wbuf_text(w, "\"state\": {");
#ifdef POSTERN_TEST_OPS
	put_number(w, "pause", offsetof(struct state, pause));
	put_number(w, "paused", offsetof(struct state, paused));
#endif
	put_number(w, "phase", offsetof(struct state, freeze.phase));
	put_number(w, "cause", offsetof(struct state, freeze.cause));
	put_number(w, "n", offsetof(struct state, freeze.n));
	put_number(w, "hooks", offsetof(struct state, freeze.hooks));
	put_number(w, "deadline_ms", offsetof(struct state, freeze.deadline_ms));
	put_number(w, "mark", offsetof(struct state, freeze.mark));
	wbuf_text(w, "\"size\": ");
	jsonw_u64(w, sizeof(struct state));
	wbuf_text(w, "}, ");
}

int main(void)
{
	CLEANUP(wbuf_free) struct wbuf w = wbuf_growing(1024 * 1024);

	wbuf_text(&w, "{");
	put_limits(&w);
	put_freeze(&w);
	wbuf_text(&w, "\"head\": ");
	put_schema(&w, &schema_request_head);
	wbuf_text(&w, ", \"note\": ");
	put_schema(&w, &schema_session_note);
	wbuf_text(&w, ", \"ops\": [");
	for (uint32_t n = op_after(OP_NONE), i = 0; n != OP_NONE; n = op_after(n), i++) {
		next(&w, i);
		put_op(&w, n);
	}
	wbuf_text(&w, "]}\n");
	return !w.bad && fwrite(w.p, 1, w.len, stdout) == w.len ? 0 : 1;
}
