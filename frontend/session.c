/*
 * frontend/session.c - session commands, and what the worker is told of a session
 *
 * Runs in:   frontend
 * Input:     typed arguments of guest-sync, guest-sync-delimited, guest-ping, guest-info
 * May touch: the socket to the worker
 * Must not:  tell the worker more often than a record is worth
 */
#include <string.h>

#include "frontend/frontend.h"
#include "ipc/version.h"

/* A flood of malformed input becomes one note a second, with a count. */
#define MALFORMED_NOTE_MS 1000

static void answer_info(struct frontend *f, struct wbuf *out)
{
	struct msg_info_command commands[OP_MAX];
	struct msg_info info = {.version =
					v_str(QGA_VERSION " postern-" POSTERN_VERSION)};
	uint32_t n = 0;

	for (uint32_t op = op_after(OP_NONE); op != OP_NONE; op = op_after(op)) {
		const struct op *row = op_by_number(op);
		bool enabled = policy_may(&f->policy, op) && row->carrier != BY_NOBODY;

		/* Then it is the same for everybody (protocol 1.7). */
		if (f->frozen)
			enabled = row->flags & OPF_FROZEN_OK &&
				  (enabled || !(row->groups & GROUP_SESSION));

		if (row->flags & OPF_ELSEWHERE)
			continue;
		commands[n++] = (struct msg_info_command){
			.name = v_str(row->name),
			.enabled = V_BOOL(enabled),
			.success_response = V_BOOL(!(row->flags & OPF_NO_REPLY)),
		};
	}
	info.supported_commands = (struct v_list){.v = commands, .n = n, .set = true};
	schema_put(out, &schema_info, &info);
}

void session_answer(struct frontend *f, const struct item *it, struct wbuf *out)
{
	f->answered++;
	if (it->number == OP_info)
		answer_info(f, out);
	else /* ping gives back nothing, sync the number that it was given */
		wbuf_put(out, it->args.p, it->args.len);
}

static void send_note(struct frontend *f, const struct msg_session_note *msg)
{
	uint8_t buf[NOTE_TEXT_MAX + 64];
	struct wbuf body = wbuf_fixed(buf, sizeof(buf));
	struct frame frame = {.type = FRAME_SESSION};

	schema_put(&body, &schema_session_note, msg);
	frame.body = body.p;
	frame.len = (uint32_t)body.len;
	peer_send(&f->worker, &frame);
}

static void note(struct frontend *f, enum session_event event, uint64_t count,
		 const char *text)
{
	struct msg_session_note msg = {
		.event = {.v = (uint8_t)event, .set = true},
		.session = V_U64(f->session),
		.count = V_U64(count),
		.text = v_str(text),
	};

	msg.text.len = (uint32_t)min_size(msg.text.len, NOTE_TEXT_MAX);
	send_note(f, &msg);
}

/* ---- counts ---- */

static void tell_count(struct frontend *f, uint32_t op, enum session_outcome outcome)
{
	const struct msg_session_note msg = {
		.event = {.v = SESSION_COMMANDS, .set = true},
		.session = V_U64(f->session),
		.count = V_U64(f->counts[op][outcome]),
		.text = v_str(""),
		.command = V_INT(op),
		.outcome = {.v = (uint8_t)outcome, .set = true},
	};

	if (f->counts[op][outcome])
		send_note(f, &msg);
	f->counts[op][outcome] = 0;
}

static int tell_counts(struct timer *t)
{
	struct frontend *f = CONTAINER_OF(t, struct frontend, tell_counts);

	for (uint32_t op = OP_NONE; op < OP_MAX; op++)
		for (enum session_outcome o = 0; o < SESSION_OUTCOMES; o++)
			tell_count(f, op, o);
	return 0;
}

void session_count(struct frontend *f, const struct item *it,
		   enum session_outcome outcome)
{
	f->counts[it->number][outcome]++;
	if (!f->tell_counts.armed)
		timer_arm_ms(&f->tell_counts, f->policy.head->audit_interval_ms);
}

int session_init(struct frontend *f)
{
	return timer_init(&f->loop, &f->tell_counts, tell_counts);
}

/* ---- sessions ---- */

void session_begin(struct frontend *f)
{
	if (f->session_live)
		return;
	f->session_live = true;
	f->session++;
	f->answered = 0;
	note(f, SESSION_CONNECT, 0, "");
}

static void tell_malformed(struct frontend *f, const char *text)
{
	note(f, SESSION_MALFORMED, f->malformed, text);
	f->malformed = 0;
	f->malformed_told_ms = now_ms();
}

void session_end(struct frontend *f)
{
	if (!f->session_live)
		return;
	if (f->malformed)
		tell_malformed(f, "");
	note(f, SESSION_DISCONNECT, f->answered, "");
	f->session_live = false;
}

void session_malformed(struct frontend *f, const char *text)
{
	f->malformed++;
	if (!f->malformed_told_ms || now_ms() - f->malformed_told_ms >= MALFORMED_NOTE_MS)
		tell_malformed(f, text);
}
