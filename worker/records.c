/*
 * worker/records.c - which record says what
 *
 * Runs in:   worker
 * Input:     requests, verdicts, ends; texts of other processes as their word
 * May touch: the audit trail
 * Must not:  show a field that the table does not call public
 */
#include <stdio.h>
#include <string.h>

#include "ipc/jsonw.h"
#include "ipc/note.h"
#include "worker/repeats.h"
#include "worker/steps/steps.h"

/* Of a path as the host wrote it, and as the kernel knows it. */
#define REQUESTED_MAX 1024
#define OPENED_MAX    4096

static struct v_str cut(struct v_str s, size_t max)
{
	s.len = (uint32_t)min_size(s.len, max);
	return s;
}

/* A sender's text as a value: bounded; the writer escapes it. */
static struct v_str bounded(struct v_str s)
{
	return cut(s, NOTE_TEXT_MAX);
}

static void put_rule(struct msg_audit *r, const struct generation *g,
		     const struct image_rule *rule)
{
	r->policy_sha256 = v_str(g->digest);
	r->policy_mode = v_str(policy_mode(&g->policy));
	if (!rule)
		return;
	r->rule = v_str(policy_text(&g->policy, rule->name));
	r->rule_file = v_str(policy_text(&g->policy, rule->file));
	if (rule->line)
		r->rule_line = V_U64(rule->line);
}

static const char *decision_name(const struct verdict *v)
{
	if (!v->allowed)
		return "deny";
	if (v->error)
		return "error";
	return v->policy.complained ? "complain" : "allow";
}

static void record_policy(struct worker *w)
{
	const struct policy *p = &w->gen->policy;
	const char *why = policy_text(p, p->head->locked_down);
	struct msg_audit r = {.policy_base = v_str(policy_base(p))};

	put_rule(&r, w->gen, NULL);
	if (!*why) {
		audit_write(&w->audit, EVENT_POLICY_LOAD, AUDIT_HOW(OWN, KEEP), &r,
			    "The policy is loaded: base %s, mode %s", policy_base(p),
			    policy_mode(&w->gen->policy));
		return;
	}
	r.detail = v_str(why);
	audit_write(&w->audit, EVENT_POLICY_REFUSED, AUDIT_HOW(OWN, KEEP), &r,
		    "The policy is refused: %s", why);
	audit_write(&w->audit, EVENT_LOCKED_DOWN, AUDIT_HOW(OWN, KEEP), &r,
		    "Only session commands are answered until the policy is mended");
}

void record_start(struct worker *w)
{
	const char *base = policy_base(&w->gen->policy);
	char privileges[1024];
	struct msg_audit r = {0};

	needs_text(&w->held, NO_SPAWNER, privileges, sizeof(privileges));
	put_rule(&r, w->gen, NULL);
	r.version = v_str(POSTERN_VERSION);
	r.policy_base = v_str(base);
	r.privileges = v_str(privileges);
	audit_write(&w->audit, EVENT_START, AUDIT_HOW(OWN, KEEP), &r,
		    "Postern %s is ready, policy %s", POSTERN_VERSION, base);
	record_policy(w);
}

void record_reload(struct worker *w, const char *result)
{
	const char *base = policy_base(&w->gen->policy);
	struct msg_audit r = {.policy_base = v_str(base), .result = v_str(result)};

	put_rule(&r, w->gen, NULL);
	audit_write(&w->audit, EVENT_RELOAD, AUDIT_HOW(OWN, KEEP), &r,
		    "The policy was read again, %s: base %s, mode %s", result, base,
		    policy_mode(&w->gen->policy));
}

void record_reload_refused(struct worker *w, const char *why)
{
	struct msg_audit r = {
		.policy_base = v_str(policy_base(&w->gen->policy)),
		.detail = v_str(why),
	};

	put_rule(&r, w->gen, NULL);
	audit_write(&w->audit, EVENT_POLICY_REFUSED, AUDIT_HOW(OWN, KEEP), &r,
		    "Another policy is refused, the one in force stays: %s", why);
}

void record_stop(struct worker *w, const char *why)
{
	struct msg_audit r = {.detail = v_str(why)};

	audit_write(&w->audit, EVENT_STOP, AUDIT_HOW(OWN, KEEP), &r, "Postern ends: %s",
		    why);
}

/* The arguments without their secrets; cut where they are longer than a record takes. */
static void put_args(struct msg_audit *r, const struct op *op, const struct rbuf *args,
		     uint8_t *buf)
{
	struct wbuf text = wbuf_fixed(buf, AUDIT_ARGS_MAX);
	struct rbuf at;

	if (!args)
		return;
	at = *args;
	schema_render(&at, op->args, &(struct render){.redact = true}, &text);
	r->args = (struct v_str){
		.p = (char *)text.p,
		.len = (uint32_t)text.len,
		.set = true,
	};
	if (text.bad)
		r->args_cut = V_BOOL(true);
}

static void put_file(struct msg_audit *r, const struct asked *q)
{
	const struct msg_file_open *open = q->args;

	if (q->number != OP_file_open || !q->args)
		return;
	r->file_requested = cut(open->path, REQUESTED_MAX);
	r->file_mode = open->mode.set ? bounded(open->mode) : v_str("r");
	if (q->object)
		r->file_opened = cut(q->object->path, OPENED_MAX);
}

/* A change that is allowed leaves its record, or is not done; a thaw is done anyway. */
static struct audit_how how_of(const struct asked *q, const struct verdict *v)
{
	const struct op *op = q->op;

	if (!v->allowed)
		return AUDIT_HOW(DENIED, KEEP);
	if (!(op->flags & OPF_MUTATES))
		return AUDIT_HOW(READ, KEEP);
	/* Of thaws there may be many, and none is refused. */
	if (op->flags & OPF_FROZEN_OK)
		return AUDIT_HOW(ACT, SPARE);
	return q->gen->policy.head->audit_required ? AUDIT_HOW(ACT, NOW)
						   : AUDIT_HOW(ACT, OFFER);
}

int record_decision(struct worker *w, const struct asked *q, const struct verdict *v,
		    const struct msg_request_head *head, const struct rbuf *args,
		    uint64_t serial)
{
	uint8_t text[AUDIT_ARGS_MAX];
	const struct policy *p = &q->gen->policy;
	const struct image_rule *rule = policy_rule(p, &v->policy);
	struct msg_audit r = {
		.request = V_U64(serial),
		.session = V_U64(head->session.v),
		.client_id = bounded(head->client_id),
		.command = v_str(q->op->name),
		.decision = v_str(decision_name(v)),
		.reason = v_str(reason_name(v->reason)),
	};

	put_args(&r, q->op, args, text);
	put_file(&r, q);
	put_rule(&r, q->gen, rule);
	if (v->skew)
		r.skew = V_BOOL(true);
	return audit_write(&w->audit, EVENT_DECISION, how_of(q, v), &r,
			   "%s %s (%s, rule %s)",
			   !v->allowed ? "Refused"
			   : v->error  ? "Failed"
				       : "Allowed",
			   q->op->name, reason_name(v->reason),
			   rule ? policy_text(p, rule->name) : "none");
}

void record_refused(struct worker *w, const struct asked *q, const struct verdict *v,
		    const struct msg_request_head *head, uint64_t serial)
{
	struct msg_audit r = {
		.request = V_U64(serial),
		.session = V_U64(head->session.v),
		.command = v_str(q->op->name),
		.result = v_str("refused"),
		.reason = v_str(reason_name(v->reason)),
	};

	if (v->repeat)
		repeat_ended(v->repeat, true);
	else
		audit_write(&w->audit, EVENT_COMPLETE, AUDIT_HOW(DENIED, KEEP), &r,
			    "%s was not carried out", q->op->name);
}

int record_repeats(struct worker *w, const struct repeat *n)
{
	uint8_t text[AUDIT_ARGS_MAX];
	char detail[64];
	const struct op *op = op_by_number(n->op);
	const struct rbuf args = rbuf_of(n->args, n->n_args);
	const struct verdict v = {
		.allowed = n->allowed,
		.policy = {.rule = n->rule, .complained = n->complained},
	};
	struct msg_audit r = {
		.session = V_U64(n->session),
		.command = v_str(op->name),
		.decision = v_str(decision_name(&v)),
		.reason = v_str(reason_name((enum reason)n->reason)),
		.repeat = V_U64(n->count),
	};

	put_args(&r, op, n->pressed ? NULL : &args, text);
	/* Not of a policy that is no more. */
	if (n->generation == w->gen->number)
		put_rule(&r, w->gen, policy_rule(&w->gen->policy, &v.policy));
	snprintf(detail, sizeof(detail), "%llu of %llu failed",
		 (unsigned long long)n->failed, (unsigned long long)n->count);
	if (n->failed)
		r.detail = v_str(detail);
	return audit_write(&w->audit, EVENT_DECISION,
			   n->allowed ? AUDIT_HOW(READ, OFFER) : AUDIT_HOW(DENIED, OFFER),
			   &r, "%s %s %llu more times",
			   n->allowed ? "Allowed" : "Refused", op->name,
			   (unsigned long long)n->count);
}

/* An end has the room of its decision. */
static struct audit_how how_of_end(const struct op *op, const char *result)
{
	if (streq(result, "refused"))
		return AUDIT_HOW(DENIED, KEEP);
	if (!(op->flags & OPF_MUTATES))
		return AUDIT_HOW(READ, KEEP);
	return op->flags & OPF_FROZEN_OK ? AUDIT_HOW(ACT, SPARE) : AUDIT_HOW(ACT, KEEP);
}

void record_complete(struct worker *w, const struct request *rq, const char *result,
		     int errnum)
{
	const struct op *op = op_by_number(rq->op);
	uint64_t usec = now_usec() - rq->began_usec;
	struct msg_audit r = {
		.request = V_U64(rq->serial),
		.session = V_U64(rq->session),
		.command = v_str(op->name),
		.result = v_str(result),
		.duration_usec = V_U64(usec),
	};

	if (rq->repeat) {
		repeat_ended(rq->repeat, streq(result, "ok") && !rq->abandoned);
		return;
	}
	if (errnum)
		r.errnum = V_INT(errnum);
	if (rq->abandoned)
		r.abandoned = V_BOOL(true);
	audit_write(&w->audit, EVENT_COMPLETE, how_of_end(op, result), &r,
		    "%s ended: %s, %llu us%s", op->name, result, (unsigned long long)usec,
		    rq->abandoned ? ", abandoned by its client" : "");
}

void record_file(struct worker *w, enum audit_event event, const struct handle *h,
		 const char *result)
{
	struct msg_audit r = {
		.request = V_U64(h->request),
		.session = V_U64(h->session),
		.result = v_str(result),
		.handle = V_INT(h->number),
	};

	if (event == EVENT_FILE_CLOSE) {
		r.bytes_read = V_U64(h->bytes_read);
		r.bytes_written = V_U64(h->bytes_written);
	}
	audit_write(&w->audit, event, AUDIT_HOW(ACT, KEEP), &r, "Handle %lld was %s: %s",
		    (long long)h->number, event == EVENT_FILE_OPEN ? "opened" : "closed",
		    result);
}

/* Arguments are recorded as they are (AUDIT.md); a long list is cut. */
static struct v_str argv_text(const struct v_list *argv, uint8_t *buf, size_t size)
{
	struct wbuf text = wbuf_fixed(buf, size);
	const struct v_str *arg = argv->v;

	for (uint32_t i = 0; i < argv->n && !text.bad; i++) {
		wbuf_text(&text, i ? ", " : "[");
		jsonw_str(&text, arg[i].p, arg[i].len);
	}
	wbuf_text(&text, "]");
	return (struct v_str){
		.p = (const char *)buf, .len = (uint32_t)text.len, .set = true};
}

/* Under which name of the policy it ran; NULL: under none. */
static const char *program_name(const struct policy *p, int32_t rule)
{
	const struct image_rule *r = rule < 0 ? NULL : &p->rules[rule];

	for (uint32_t i = 0; r && i < r->n_constraints; i++) {
		const struct image_constraint *c = &p->constraints[r->constraint + i];

		if (c->key == KEY_EXEC_NAME)
			return policy_text(p, p->values[c->value].text);
	}
	return NULL;
}

void record_exec_start(struct worker *w, const struct request *rq,
		       const struct msg_spawn *spawn, const struct msg_spawned *got)
{
	uint8_t text[AUDIT_ARGS_MAX];
	struct msg_audit r = {
		.request = V_U64(rq->serial),
		.session = V_U64(rq->session),
		.exec_path = cut(spawn->path, OPENED_MAX),
		.exec_argv = argv_text(&spawn->argv, text, sizeof(text)),
		.exec_name = v_str(program_name(&rq->gen->policy, rq->rule)),
		.exec_user = spawn->user.set ? bounded(spawn->user) : v_str("root"),
		.exec_pid = V_INT(got->pid.v),
		.exec_unit = cut(got->unit, REQUESTED_MAX),
	};

	audit_write(&w->audit, EVENT_EXEC_START, AUDIT_HOW(ACT, KEEP), &r,
		    "Program %.*s runs as %lld", (int)r.exec_path.len, r.exec_path.p,
		    (long long)got->pid.v);
}

void record_exec_exit(struct worker *w, const struct program *p,
		      const struct msg_ended *end)
{
	struct msg_audit r = {
		.request = V_U64(p->request),
		.exec_pid = V_INT(p->pid),
		.exit_code = end->exitcode,
		.signal = end->signal,
		.timed_out = end->timed_out,
		.out_bytes = end->out_bytes,
		.out_truncated = end->truncated,
	};

	audit_write(&w->audit, EVENT_EXEC_EXIT, AUDIT_HOW(ACT, KEEP), &r,
		    "Program %lld ended by %s %lld", (long long)p->pid,
		    end->signal.set ? "signal" : "status",
		    (long long)(end->signal.set ? end->signal.v : end->exitcode.v));
}

/* ---- the frontend's word ---- */

static const struct {
	const char *decision;
	enum reason reason;
} outcomes[SESSION_OUTCOMES] = {
	[SESSION_ANSWERED] = {"allow", REASON_RULE},
	[SESSION_REFUSED] = {"deny", REASON_EXPLICIT_DENY}, /* no profile does */
	[SESSION_WRONG] = {"error", REASON_ARGUMENTS},
};

/* So many session commands. 0, or -1: what it names is none. */
static int put_commands(struct msg_audit *r, const struct msg_session_note *note)
{
	const struct op *op = note->command.v > 0 && note->command.v < OP_MAX
				      ? op_by_number((uint32_t)note->command.v)
				      : NULL;

	if (!op || op->audit != AUDIT_COUNT || !note->outcome.set)
		return -1;
	r->command = v_str(op->name);
	r->decision = v_str(outcomes[note->outcome.v].decision);
	r->reason = v_str(reason_name(outcomes[note->outcome.v].reason));
	return 0;
}

int record_session(struct worker *w, struct frame *f)
{
	static const enum audit_event events[] = {
		[SESSION_CONNECT] = EVENT_CONNECT,
		[SESSION_DISCONNECT] = EVENT_DISCONNECT,
		[SESSION_MALFORMED] = EVENT_PROTOCOL_ERROR,
		[SESSION_COMMANDS] = EVENT_DECISION,
	};
	struct rbuf r = rbuf_of(f->body, f->len);
	struct msg_session_note note;
	struct msg_audit record = {.reported_by = v_str("frontend")};

	if (schema_whole(&r, &schema_session_note, NULL, &note) < 0 ||
	    (note.event.v == SESSION_COMMANDS && put_commands(&record, &note) < 0))
		return -1;
	if (!bucket_take(&w->notes, now_ms())) {
		w->notes_dropped++;
		return 0;
	}
	if (w->notes_dropped)
		record.notes_dropped = V_U64(w->notes_dropped);
	w->notes_dropped = 0;
	record.session = note.session;
	if (note.text.len)
		record.detail = bounded(note.text);
	if (note.count.v)
		record.repeat = note.count;
	audit_write(&w->audit, events[note.event.v], AUDIT_HOW(NOTE, KEEP), &record,
		    "Session %llu: %s", (unsigned long long)note.session.v,
		    record.command.set ? record.command.p
				       : names_session_event.v[note.event.v]);
	return 0;
}

void record_process(struct worker *w, enum audit_event event, const char *process,
		    const char *detail)
{
	struct msg_audit r = {.process = v_str(process), .detail = v_str(detail)};

	audit_write(&w->audit, event, AUDIT_HOW(OWN, KEEP), &r, "%s: %s", process,
		    detail);
}

/* ---- the freeze ---- */

/* Where what is frozen is mounted. Of another worker's freeze that is not known. */
static struct v_str mounts_text(const struct freeze *f, uint8_t *buf, size_t size)
{
	struct wbuf text = wbuf_fixed(buf, size);
	const char *separator = "[";
	size_t good = 0;

	for (uint32_t i = 0; i < f->n; i++) {
		if (!f->points[i] || f->record->mark[i] != MARK_FROZEN)
			continue;
		wbuf_text(&text, separator);
		jsonw_cstr(&text, f->points[i]);
		separator = ", ";
		if (!text.bad && text.len + 1 < size)
			good = text.len;
	}
	if (!good)
		return (struct v_str){0};
	buf[good] = ']';
	return (struct v_str){
		.p = (const char *)buf, .len = (uint32_t)good + 1, .set = true};
}

static struct msg_audit freeze_fields(const struct freeze *f)
{
	struct msg_audit r = {
		.request = V_U64(f->record->request),
		.session = V_U64(f->record->session),
		.fs_count = V_U64(f->count),
	};

	if (f->hook_result[0]) {
		r.hook = v_str(f->hook_path);
		r.hook_result = v_str(f->hook_result);
	}
	return r;
}

void record_freeze(struct worker *w)
{
	uint8_t text[FREEZE_MOUNTS_MAX];
	struct msg_audit r = freeze_fields(&w->freeze);

	r.fs_mounts = mounts_text(&w->freeze, text, sizeof(text));
	audit_write(&w->audit, EVENT_FREEZE, AUDIT_HOW(ACT, KEEP), &r,
		    "%u file systems are frozen", w->freeze.count);
}

void record_thaw(struct worker *w)
{
	static const char *const causes[] = {
#define THAW_CAUSE_NAME(tag, name) [CAUSE_##tag] = (name),
		THAW_CAUSE_TABLE(THAW_CAUSE_NAME)};
	const struct freeze *f = &w->freeze;
	struct msg_audit r = freeze_fields(f);
	bool asked = f->cause == CAUSE_REQUEST;

	r.thaw_cause = v_str((size_t)f->cause < ARRAY_SIZE(causes) ? causes[f->cause]
								   : causes[0]);
	audit_write(&w->audit, asked ? EVENT_THAW : EVENT_AUTO_THAW, AUDIT_HOW(ACT, KEEP),
		    &r, "%u file systems were thawed: %.*s", f->count,
		    (int)r.thaw_cause.len, r.thaw_cause.p);
}

/* ---- accounts, clock, CPUs and memory, power ---- */

static struct msg_audit act_fields(const struct request *rq)
{
	return (struct msg_audit){
		.request = V_U64(rq->serial),
		.session = V_U64(rq->session),
		.command = v_str(op_by_number(rq->op)->name),
	};
}

void record_change(struct worker *w, const struct request *rq,
		   const struct policy_object *object)
{
	struct msg_audit r = act_fields(rq);

	if (rq->op == OP_set_time) {
		r.time_delta = V_INT(object->step);
		audit_write(&w->audit, EVENT_TIME_SET, AUDIT_HOW(ACT, KEEP), &r,
			    "The clock is moved by %lld ns", (long long)object->step);
	} else {
		if (object->left != UINT64_MAX)
			r.online = V_U64(object->left);
		audit_write(&w->audit, EVENT_HOTPLUG, AUDIT_HOW(ACT, KEEP), &r,
			    "%s switched %s",
			    rq->op == OP_set_vcpus ? "CPUs are" : "Memory is",
			    r.online.set ? "on or off" : "on");
	}
}

void record_power(struct worker *w, const struct request *rq, const char *mode)
{
	struct msg_audit r = act_fields(rq);

	r.power_mode = v_str(mode);
	audit_write(&w->audit, EVENT_POWER, AUDIT_HOW(ACT, KEEP), &r,
		    "The machine is told to %s", mode);
}

void record_password(struct worker *w, struct request *rq, const char *result)
{
	struct msg_audit r = act_fields(rq);

	if (!rq->steps->acts)
		return;
	r.target_user = v_str(rq->steps->user);
	r.password_crypted = V_BOOL(rq->steps->crypted);
	r.result = v_str(result);
	audit_write(&w->audit, EVENT_PASSWORD, AUDIT_HOW(ACT, KEEP), &r,
		    "Password of %s: %s", rq->steps->user, result);
}

void record_keys(struct worker *w, struct request *rq, const char *result)
{
	struct msg_audit r = act_fields(rq);

	if (!rq->steps->acts)
		return;
	r.target_user = v_str(rq->steps->user);
	r.key_fingerprint = v_str(rq->steps->fingerprints);
	r.result = v_str(result);
	audit_write(&w->audit, EVENT_SSH_KEYS, AUDIT_HOW(ACT, KEEP), &r,
		    "Keys of %s, %s: %s", rq->steps->user, op_by_number(rq->op)->name,
		    result);
}

void record_release(struct worker *w)
{
	repeats_tell(w);
	sink_release(&w->sink);
}
