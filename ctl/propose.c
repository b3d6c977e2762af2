/*
 * ctl/propose.c - the rule that allows one request and, where the language can say so, no
 * other
 *
 * Runs in:   posternctl, as the user who calls it
 * Input:     what records say of a request: any text
 * May touch: the structs it is handed
 * Must not:  write a pattern, let a text of the host be more than a literal
 */
#include "ctl/propose_impl.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ctl/literal.h"
#include "ipc/jsonw.h"
#include "policy/reason.h"

#define BODY_MAX (64 * 1024)

/* ---- what is said of it ---- */

static void remark(struct wbuf *w, const char *text)
{
	wbuf_text(w, text);
	wbuf_text(w, "\n");
}

void propose_remark(struct proposal *p, const char *text)
{
	remark(&p->remarks, text);
}

void proposal_demote(struct proposal *p, enum proposed how, const char *text)
{
	if (p->how < how)
		p->how = how;
	remark(&p->remarks, text);
}

bool propose_unfit(struct proposal *p, const char *what, const char *why)
{
	char text[256];

	snprintf(text, sizeof(text), "no rule can say it: %s%s", what, why);
	proposal_demote(p, PROPOSED_NONE, text);
	return false;
}

PRINTF(2, 3)
static void line(struct wbuf *w, const char *fmt, ...)
{
	char text[128];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	remark(w, text);
}

/* ---- arguments ---- */

bool propose_is_cut(const char *text)
{
	return strlen(text) > REDACT_STR_MAX;
}

bool propose_has_nul(const char *json)
{
	for (; *json; json++)
		if (json[0] == '\\' && json[1] && *++json == 'u' &&
		    strncmp(json + 1, "0000", 4) == 0)
			return true;
	return false;
}

bool propose_fits(struct proposal *p, const char *what, const char *text, bool whole)
{
	const char *why = text ? literal_unfit(text) : NULL;

	if (!text)
		return propose_unfit(p, what, " is not in the record");
	if (!whole && propose_is_cut(text))
		return propose_unfit(p, what, " is longer than a record keeps");
	if (why) {
		char name[64];

		snprintf(name, sizeof(name), "%s has ", what);
		return propose_unfit(p, name, why);
	}
	return true;
}

static void request_begin(struct proposal *p)
{
	wbuf_text(&p->request, "{\"execute\": ");
	jsonw_cstr(&p->request, op_by_number(p->op)->name);
	wbuf_text(&p->request, ", \"arguments\": ");
}

void propose_request(struct proposal *p, const char *before, const char *text)
{
	wbuf_text(&p->request, before);
	jsonw_cstr(&p->request, text);
}

/* ---- accounts ---- */

static bool account(struct proposal *p, const cJSON *args)
{
	const char *user = args_text(args, "username");

	if (!propose_fits(p, "the name of the user", user, false))
		return false;
	literal_line(&p->body, "user", user);
	propose_request(p, "{\"username\": ", user);
	return true;
}

static bool propose_password(struct proposal *p, const struct told *t, const cJSON *args)
{
	bool crypted = cJSON_IsTrue(args_item(args, "crypted"));
	bool empty = t->reason == REASON_SIZE;

	if (!account(p, args))
		return false;
	line(&p->body, "crypted = %s", crypted ? "only" : "no");
	line(&p->body, "empty = %s", empty ? "yes" : "no");
	if (empty)
		proposal_demote(p, PROPOSED_DRAFT,
				"it was empty, which leaves the account without a "
				"password: see whether that may be");
	wbuf_text(&p->request, ", \"password\": \"eA==\", \"crypted\": ");
	jsonw_bool(&p->request, crypted);
	wbuf_text(&p->request, "}}");
	return true;
}

static bool propose_keys_get(struct proposal *p, const struct told *t, const cJSON *args)
{
	(void)t;
	if (!account(p, args))
		return false;
	wbuf_text(&p->request, "}}");
	return true;
}

/* How many FINGERPRINTS there are, if that is known. */
static bool count_keys(const char *fingerprints, uint64_t *n)
{
	if (!fingerprints || strstr(fingerprints, "..."))
		return false;
	for (*n = 1; (fingerprints = strchr(fingerprints, ',')); ++*n)
		fingerprints++;
	return true;
}

static bool propose_keys_add(struct proposal *p, const struct told *t, const cJSON *args)
{
	bool reset = cJSON_IsTrue(args_item(args, "reset"));
	uint64_t n;

	if (!account(p, args))
		return false;
	if (count_keys(t->keys, &n))
		line(&p->body, "keys-max = %" PRIu64, n);
	line(&p->body, "reset = %s", reset ? "yes" : "no");
	propose_remark(p,
		       WIDER "keys are not recorded, so others will do; see key-types");
	if (reset)
		propose_remark(p, WIDER "keys may be added to those there are as well");
	wbuf_text(&p->request, ", \"keys\": [\"x\"], \"reset\": ");
	jsonw_bool(&p->request, reset);
	wbuf_text(&p->request, "}}");
	return true;
}

static bool propose_keys_remove(struct proposal *p, const struct told *t,
				const cJSON *args)
{
	(void)t;
	if (!account(p, args))
		return false;
	propose_remark(p, WIDER "keys are not recorded, so any of them will do");
	wbuf_text(&p->request, ", \"keys\": [\"x\"]}}");
	return true;
}

/* ---- other commands ---- */

static bool request_as_it_is(struct proposal *p, const struct told *t)
{
	wbuf_text(&p->request, t->args ? t->args : "{}");
	wbuf_text(&p->request, "}");
	return true;
}

static bool propose_plain(struct proposal *p, const struct told *t, const cJSON *args)
{
	(void)args;
	return request_as_it_is(p, t);
}

static bool propose_freeze_list(struct proposal *p, const struct told *t,
				const cJSON *args)
{
	struct literals points = {.w = &p->body, .key = "mountpoint"};
	const cJSON *point;

	cJSON_ArrayForEach(point, args_item(args, "mountpoints"))
	{
		if (!propose_fits(p, "a mount point", cJSON_GetStringValue(point), false))
			return false;
		literals_add(&points, point->valuestring);
	}
	literals_end(&points);
	propose_remark(p, WIDER "some of its mount points will do, or those of several "
				"such rules");
	return request_as_it_is(p, t);
}

static bool propose_shutdown(struct proposal *p, const struct told *t, const cJSON *args)
{
	static const char *const modes[] = {"powerdown", "halt", "reboot"};
	const char *mode =
		args_item(args, "mode") ? args_text(args, "mode") : "powerdown";

	for (size_t i = 0; mode && i < ARRAY_SIZE(modes); i++)
		if (streq(mode, modes[i])) {
			line(&p->body, "modes = %s", modes[i]);
			return request_as_it_is(p, t);
		}
	return propose_unfit(p, "the mode is none of the language's", "");
}

/* Of a whole millisecond at least: the language has nothing finer. */
static uint64_t step_ms(int64_t ns)
{
	uint64_t n = ns < 0 ? -(uint64_t)ns : (uint64_t)ns;

	return n / 1000000 + (n % 1000000 > 0);
}

static bool propose_set_time(struct proposal *p, const struct told *t, const cJSON *args)
{
	p->span = (struct span){
		.from_rtc = !args_item(args, "time"),
		.backwards = t->step.set && t->step.v < 0,
		.any = !t->step.set,
		.step_ms = step_ms(t->step.v),
	};
	return request_as_it_is(p, t);
}

/* One of them that is switched off is enough. */
static bool is_offline(const cJSON *list)
{
	const cJSON *one;

	cJSON_ArrayForEach(one, list)
	{
		if (!cJSON_IsTrue(args_item(one, "online")))
			return true;
	}
	return false;
}

static bool propose_hotplug(struct proposal *p, const struct told *t, const cJSON *args)
{
	bool offline =
		is_offline(args_item(args, p->op == OP_set_vcpus ? "vcpus" : "mem-blks"));

	p->span = (struct span){
		.offline = offline,
		.any = offline && !t->left.set,
		.left = t->left.set ? t->left.v : UINT64_MAX,
	};
	return request_as_it_is(p, t);
}

/* ---- limits of which the tightest holds ---- */

void span_add(struct span *a, const struct span *b)
{
	a->from_rtc |= b->from_rtc;
	a->backwards |= b->backwards;
	a->offline |= b->offline;
	a->any |= b->any;
	a->step_ms = a->step_ms > b->step_ms ? a->step_ms : b->step_ms;
	a->left = a->left < b->left ? a->left : b->left;
}

static void put_time(const struct span *s, struct wbuf *body, struct wbuf *remarks)
{
	line(body, "from-rtc = %s", s->from_rtc ? "yes" : "no");
	if (s->any) {
		remark(remarks, WIDER "how far the clock was to be moved is not in the "
				      "record; see max-step, backwards");
		return;
	}
	line(body, "max-step = %" PRIu64 "ms", s->step_ms);
	line(body, "backwards = %s", s->backwards ? "yes" : "no");
	remark(remarks, WIDER "any time that is no further away will do");
}

static void put_hotplug(uint32_t op, const struct span *s, struct wbuf *body,
			struct wbuf *remarks)
{
	line(body, "offline = %s", s->offline ? "yes" : "no");
	if (s->offline && s->any)
		remark(remarks, WIDER "how much stayed online is not in the record");
	else if (s->offline && s->left != UINT64_MAX)
		line(body, "%s = %" PRIu64,
		     op == OP_set_vcpus ? "online-min" : "memory-min", s->left);
	remark(remarks, WIDER "a rule cannot say which of them are switched");
}

void span_put(uint32_t op, const struct span *s, struct wbuf *body, struct wbuf *remarks)
{
	if (op == OP_set_time)
		put_time(s, body, remarks);
	else if (op == OP_set_vcpus || op == OP_set_memory_blocks)
		put_hotplug(op, s, body, remarks);
}

/* ---- the table ---- */

#define OF_HANDLES "of files alone that guest-file-open was allowed to open"
#define NO_END     "without freeze-max a freeze has no deadline"
#define NO_FORCE   "without force, which the ceiling may have had: by init alone"

/* Commands whose arguments a rule can narrow, or of which there is something to say. */
static const struct row {
	uint32_t op;
	bool (*propose)(struct proposal *p, const struct told *t, const cJSON *args);
	const char *remark;
} rows[] = {
	{OP_set_time, propose_set_time, NULL},
	{OP_shutdown, propose_shutdown, NO_FORCE},
	{OP_file_open, propose_file_open, NULL},
	{OP_file_close, propose_plain, OF_HANDLES},
	{OP_file_read, propose_plain, OF_HANDLES},
	{OP_file_write, propose_file_write, OF_HANDLES},
	{OP_file_seek, propose_plain, OF_HANDLES},
	{OP_file_flush, propose_plain, OF_HANDLES},
	{OP_fsfreeze_freeze, propose_plain, NO_END},
	{OP_fsfreeze_freeze_list, propose_freeze_list, NO_END},
	{OP_fstrim, propose_plain, WIDER "`minimum` cannot be limited"},
	{OP_suspend_disk, propose_plain, NO_FORCE},
	{OP_suspend_ram, propose_plain, NO_FORCE},
	{OP_suspend_hybrid, propose_plain, NO_FORCE},
	{OP_set_vcpus, propose_hotplug, NULL},
	{OP_get_disks, propose_plain,
	 "without smart, which the ceiling may have had: nothing of NVMe disks' health"},
	{OP_set_user_password, propose_password, NULL},
	{OP_set_memory_blocks, propose_hotplug, NULL},
	{OP_exec_status, propose_exec_status, NULL},
	{OP_exec, propose_exec, NULL},
	{OP_ssh_get_authorized_keys, propose_keys_get, NULL},
	{OP_ssh_add_authorized_keys, propose_keys_add, NULL},
	{OP_ssh_remove_authorized_keys, propose_keys_remove, NULL},
};

static const struct row *row_of(uint32_t op)
{
	static const struct row plain = {OP_NONE, propose_plain, NULL};
	static const struct row open = {OP_NONE, propose_plain,
					WIDER "no rule can narrow its arguments"};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].op == op)
			return &rows[i];
	return op_by_number(op)->args == &schema_empty ? &plain : &open;
}

void propose(const struct told *t, struct proposal *p)
{
	CLEANUP(tree_free) cJSON *args = NULL;
	const struct row *row = row_of(t->op);

	*p = (struct proposal){.op = t->op,
			       .body = wbuf_growing(BODY_MAX),
			       .remarks = wbuf_growing(BODY_MAX),
			       .request = wbuf_growing(BODY_MAX)};
	p->body.plain = p->remarks.plain = p->request.plain = true;
	line(&p->body, "command = %s", op_by_number(t->op)->name);
	request_begin(p);
	if (t->args && !t->args_cut && !propose_has_nul(t->args))
		args = cJSON_Parse(t->args);
	if (!args && op_by_number(t->op)->args != &schema_empty &&
	    t->op != OP_exec_status) {
		propose_unfit(p, "its arguments are ",
			      t->args ? "cut in the record, or no JSON"
				      : "not in the record");
		return;
	}
	if (row->propose(p, t, args) && row->remark)
		propose_remark(p, row->remark);
}

void proposal_done(struct proposal *p)
{
	wbuf_free(&p->body);
	wbuf_free(&p->remarks);
	wbuf_free(&p->request);
	free(p->program);
	p->program = NULL;
}
