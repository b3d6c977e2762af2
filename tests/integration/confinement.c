/*
 * tests/integration/confinement.c - print the tables that say what each process can do
 *
 * Runs in:   tests; `make security`
 * Input:     the tables of sandbox/ and of ipc/ops.h
 * May touch: standard output
 * Must not:  compute anything that a table says
 *
 * One JSON object: "roles" (of a process, with its files), "rows" of the filters,
 * "children" (an operation that is carried out by one, with roles and capabilities), and
 * "filters" of children, by length.
 */
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>

#include "ipc/jsonw.h"
#include "ipc/ops.h"
#include "ipc/wire.h"
#include "ipc/util.h"
#include "sandbox/sandbox.h"
#include "tests/lib/trycall.h"

static void put_names(struct wbuf *w, uint32_t roles)
{
	const char *between = "[";

	for (uint32_t i = 0; i < SANDBOX_ROLE_COUNT; i++) {
		if (!(roles & SC_ROLE(i)))
			continue;
		wbuf_text(w, between);
		jsonw_cstr(w, try_roles[i]);
		between = ", ";
	}
	wbuf_text(w, "]");
}

static void put_roles(struct wbuf *w)
{
	for (uint32_t i = 0; i < SANDBOX_ROLE_COUNT; i++) {
		char files[256];

		sandbox_beneath_text(SC_ROLE(i), files, sizeof(files));
		wbuf_text(w, i ? ",\n" : "\n");
		jsonw_cstr(w, try_roles[i]);
		wbuf_text(w, ": ");
		jsonw_cstr(w, files);
	}
}

static void put_conditions(struct wbuf *w, const struct sc_rule *rule,
			   const struct sc_text *text)
{
	char numbers[96];

	for (size_t i = 0; i < SC_CONDS_MAX && rule->when[i].mask; i++) {
		snprintf(numbers, sizeof(numbers), "%s[%u, %u, %u, ", i ? ", " : "",
			 rule->when[i].arg, rule->when[i].mask, rule->when[i].want);
		wbuf_text(w, numbers);
		jsonw_cstr(w, text->when[i]);
		wbuf_text(w, "]");
	}
}

static void put_row(struct wbuf *w, const struct sc_rule *rule,
		    const struct sc_text *text)
{
	char *call = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, rule->nr);
	char err[32];

	snprintf(err, sizeof(err), ", \"errno\": %d", rule->err);
	wbuf_text(w, "{\"call\": ");
	jsonw_cstr(w, call);
	wbuf_text(w, ", \"roles\": ");
	put_names(w, rule->roles);
	wbuf_text(w, err);
	wbuf_text(w, ", \"why\": ");
	jsonw_cstr(w, text->why);
	wbuf_text(w, ", \"unused\": ");
	jsonw_cstr(w, text->unused ? text->unused : "");
	wbuf_text(w, ", \"when\": [");
	put_conditions(w, rule, text);
	wbuf_text(w, "]}");
	free(call);
}

static void put_rows(struct wbuf *w)
{
	size_t n;
	const struct sc_text *texts = sandbox_texts(&n);
	const struct sc_rule *rules = sandbox_rules(&n);
	const char *between = "\n";

	for (size_t i = 0; i < n; i++) {
		if (rules[i].nr < 0) /* this machine has no such call */
			continue;
		wbuf_text(w, between);
		put_row(w, &rules[i], &texts[i]);
		between = ",\n";
	}
}

static void put_child(struct wbuf *w, uint32_t op)
{
	const uint64_t caps = op_by_number(op)->caps;
	const char *between = "";

	wbuf_text(w, "{\"name\": ");
	jsonw_cstr(w, op_by_number(op)->name);
	wbuf_text(w, ", \"roles\": ");
	put_names(w, sandbox_child_roles(op));
	wbuf_text(w, ", \"caps\": [");
	for (unsigned int cap = 0; cap < 64; cap++) {
		if (!(caps >> cap & 1))
			continue;
		wbuf_text(w, between);
		jsonw_cstr(w, sandbox_cap_name(cap));
		between = ", ";
	}
	wbuf_text(w, "]}");
}

static void put_children(struct wbuf *w)
{
	const char *between = "\n";

	for (uint32_t op = OP_NONE; op < OP_MAX; op++) {
		if (!op_by_number(op) || op_by_number(op)->carrier != BY_CHILD)
			continue;
		wbuf_text(w, between);
		put_child(w, op);
		between = ",\n";
	}
}

/* A filter is known by its constants: those of the children, and of what becomes of two.
 */
static int put_filter(struct wbuf *w, uint32_t roles)
{
	struct sock_fprog prog;
	char k[32];

	if (sandbox_compile(roles, &prog) < 0)
		return -1;
	wbuf_text(w, "{\"constants\": [");
	for (unsigned int i = 0; i < prog.len; i++) {
		snprintf(k, sizeof(k), "%s%u", i ? ", " : "", prog.filter[i].k);
		wbuf_text(w, k);
	}
	free(prog.filter);
	wbuf_text(w, "], \"roles\": ");
	put_names(w, roles);
	wbuf_text(w, "}");
	return 0;
}

static int put_filters(struct wbuf *w)
{
	static const uint32_t others[] = {
		0, SC_ROLE(SANDBOX_FREEZER), SC_ROLE(SANDBOX_THAWER),
		SC_ROLE(SANDBOX_HANDLE), SC_ROLE(SANDBOX_AT_HOME)};

	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		wbuf_text(w, i ? ",\n" : "\n");
		if (put_filter(w, SC_ROLE(SANDBOX_CHILD) | others[i]) < 0)
			return -1;
	}
	for (uint32_t op = OP_NONE; op < OP_MAX; op++) {
		if (!op_by_number(op) || op_by_number(op)->carrier != BY_CHILD)
			continue;
		wbuf_text(w, ",\n");
		if (put_filter(w, sandbox_child_roles(op)) < 0)
			return -1;
	}
	return 0;
}

int main(void)
{
	CLEANUP(wbuf_free) struct wbuf w = wbuf_growing(1024 * 1024);

	wbuf_text(&w, "{\"roles\": {");
	put_roles(&w);
	wbuf_text(&w, "},\n\"rows\": [");
	put_rows(&w);
	wbuf_text(&w, "],\n\"children\": [");
	put_children(&w);
	wbuf_text(&w, "],\n\"filters\": [");
	if (put_filters(&w) < 0)
		return 1;
	wbuf_text(&w, "]}\n");
	return !w.bad && fwrite(w.p, 1, w.len, stdout) == w.len ? 0 : 1;
}
