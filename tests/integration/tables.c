/*
 * tests/integration/tables.c - print the tables that the manual pages are written from
 *
 * Runs in:   tests; `make pages`
 * Input:     the tables of ipc/ and policy/
 * May touch: standard output
 * Must not:  compute anything that a table says
 *
 * One JSON object of lists: "profiles"; "groups"; "commands", with groups and arguments;
 * "keys" of rules and "settings" of a policy, with types and words; "reasons", "events"
 * and "fields" of records.
 */
#include <stdio.h>

#include "ipc/jsonw.h"
#include "ipc/ops.h"
#include "ipc/record.h"
#include "policy/key.h"
#include "policy/source_impl.h"

/* Types and stages by the words of doc/policy.md. */
static const char *const type_names[] = {
	[TYPE_PATTERNS] = "patterns", [TYPE_ARGV] = "arguments",
	[TYPE_TEXTS] = "texts",       [TYPE_TEXT] = "text",
	[TYPE_WORDS] = "words",       [TYPE_YES_NO] = "yes or no",
	[TYPE_COUNT] = "count",       [TYPE_SIZE] = "size",
	[TYPE_TIME] = "time",         [TYPE_MODE] = "mode",
};
static const char *const stage_names[] = {
	[AT_REQUEST] = "request",
	[AT_OBJECT] = "object",
	[AT_ACT] = "limit",
	[AT_ANSWER] = "answer",
};
static const struct setting_row settings[] = {
#define SETTING_ROW(tag, section, key, type, words) {section, key, type, words},
	SETTING_TABLE(SETTING_ROW)};

/* A member of an object; NAME is NULL in front of an element of a list. */
static void put(struct wbuf *w, const char *before, const char *name, const char *value)
{
	wbuf_text(w, before);
	if (name) {
		jsonw_cstr(w, name);
		wbuf_text(w, ": ");
	}
	jsonw_cstr(w, value ? value : "");
}

static void put_flag(struct wbuf *w, const char *name, bool value)
{
	wbuf_text(w, ", ");
	jsonw_cstr(w, name);
	wbuf_text(w, ": ");
	jsonw_bool(w, value);
}

/* The start of the list NAME; each of its elements begins on a line of its own. */
static void put_list(struct wbuf *w, const char *before, const char *name)
{
	wbuf_text(w, before);
	jsonw_cstr(w, name);
	wbuf_text(w, ": [");
}

static void put_profiles(struct wbuf *w)
{
	struct profile p;

	put_list(w, "{", "profiles");
	for (size_t i = 0; profile_at(i, &p); i++)
		put(w, i ? ", " : "", NULL, p.name);
	wbuf_text(w, "]");
}

/* The names of the groups in the mask GROUPS. */
static void put_groups(struct wbuf *w, uint32_t groups)
{
	const char *between = "";

	put_list(w, "", "groups");
	for (uint32_t group = 1; group; group <<= 1) {
		if (!(groups & group) || !group_name(group))
			continue;
		put(w, between, NULL, group_name(group));
		between = ", ";
	}
	wbuf_text(w, "]");
}

static void put_args(struct wbuf *w, const struct schema *args)
{
	put_list(w, ", ", "args");
	for (uint32_t i = 0; i < args->n; i++) {
		const struct field *f = &args->fields[i];

		put(w, i ? ", {" : "{", "name", f->name);
		put_flag(w, "optional", f->flags & F_OPT);
		put_flag(w, "public", f->flags & F_PUB);
		wbuf_text(w, "}");
	}
	wbuf_text(w, "]");
}

static void put_command(struct wbuf *w, const struct op *op)
{
	put(w, "{", "name", op->name);
	wbuf_text(w, ", ");
	put_groups(w, op->groups);
	put_args(w, op->args);
	put_flag(w, "frozen", op->flags & OPF_FROZEN_OK);
	put_flag(w, "silent", op->flags & OPF_NO_REPLY);
	put_flag(w, "elsewhere", op->flags & OPF_ELSEWHERE);
	wbuf_text(w, ", \"seconds\": ");
	jsonw_u64(w, op->limit_s);
	wbuf_text(w, "}");
}

static void put_commands(struct wbuf *w)
{
	const char *between = "\n";

	put_list(w, ",\n", "commands");
	for (uint32_t n = op_after(OP_NONE); n != OP_NONE; n = op_after(n)) {
		wbuf_text(w, between);
		put_command(w, op_by_number(n));
		between = ",\n";
	}
	wbuf_text(w, "]");
}

/* The commands that KEY applies to. */
static void put_ops(struct wbuf *w, enum key key)
{
	const char *between = "";

	put_list(w, ", ", "commands");
	for (uint32_t n = op_after(OP_NONE); n != OP_NONE; n = op_after(n)) {
		if (!(key_ops(key) >> n & 1))
			continue;
		put(w, between, NULL, op_name(n));
		between = ", ";
	}
	wbuf_text(w, "]");
}

static void put_keys(struct wbuf *w)
{
	const char *between = "\n{";

	put_list(w, ",\n", "keys");
	for (enum key key = 0; key < KEYS_COUNT; key++) {
		const struct key_row *row = key_row(key);

		if (!row->name)
			continue;
		put(w, between, "name", row->name);
		put(w, ", ", "type", type_names[row->type]);
		put(w, ", ", "words", row->words);
		put(w, ", ", "when", stage_names[row->stage]);
		put(w, ", ", "reason", reason_name(row->reason));
		put_ops(w, key);
		wbuf_text(w, "}");
		between = ",\n{";
	}
	wbuf_text(w, "]");
}

static void put_settings(struct wbuf *w)
{
	put_list(w, ",\n", "settings");
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
		put(w, i ? ",\n{" : "\n{", "section", settings[i].section);
		put(w, ", ", "name", settings[i].key);
		put(w, ", ", "type", type_names[settings[i].type]);
		put(w, ", ", "words", settings[i].words);
		wbuf_text(w, "}");
	}
	wbuf_text(w, "]");
}

static void put_records(struct wbuf *w)
{
	put_list(w, ",\n", "reasons");
	for (enum reason r = 0; r < REASON_COUNT; r++)
		put(w, r ? ", " : "", NULL, reason_name(r));
	put_list(w, "],\n", "events");
	for (size_t i = 0; i < AUDIT_EVENT_COUNT; i++) {
		put(w, i ? ",\n{" : "\n{", "name", event_rows[i].name);
		put(w, ", ", "id", event_rows[i].id);
		wbuf_text(w, ", \"priority\": ");
		jsonw_i64(w, event_rows[i].priority);
		wbuf_text(w, "}");
	}
	put_list(w, "],\n", "fields");
	for (uint32_t i = 0; i < schema_audit.n; i++)
		put(w, i ? ", " : "", NULL, schema_audit.fields[i].name);
	wbuf_text(w, "]}\n");
}

int main(void)
{
	CLEANUP(wbuf_free) struct wbuf w = wbuf_growing(1024 * 1024);

	put_profiles(&w);
	wbuf_text(&w, ",\n");
	put_groups(&w, ~0u);
	put_commands(&w);
	put_keys(&w);
	put_settings(&w);
	put_records(&w);
	return !w.bad && fwrite(w.p, 1, w.len, stdout) == w.len ? 0 : 1;
}
