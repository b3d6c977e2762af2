/*
 * ctl/propose_exec.c - rules for programs
 *
 * Runs in:   posternctl, as the user who calls it
 * Input:     what records say of a request: any text
 * May touch: the structs it is handed
 * Must not:  write a pattern, let a text of the host be more than a literal
 */
#include <stdio.h>
#include <string.h>

#include "ctl/literal.h"
#include "ctl/propose_impl.h"
#include "policy/policy.h"

/* Any argument at all: one that begins with '-' or another, and what follows. */
const char no_arguments[] = "argv = {*|-**} ; ...\n";

static bool exec_arguments(struct proposal *p, const cJSON *list, bool whole)
{
	struct literals argv = {.w = &p->body, .key = "argv"};
	const char *comma = "";
	const cJSON *arg;

	wbuf_text(&p->request, ", \"arg\": [");
	cJSON_ArrayForEach(arg, list)
	{
		if (!propose_fits(p, "an argument", cJSON_GetStringValue(arg), whole))
			return false;
		literals_add(&argv, arg->valuestring);
		propose_request(p, comma, arg->valuestring);
		comma = ", ";
	}
	literals_end(&argv);
	wbuf_text(&p->request, "]}}");
	p->no_arguments = cJSON_GetArraySize(list) == 0;
	return true;
}

/* A name without a slash is allowed by the path where it was found. */
static bool exec_path(struct proposal *p, const struct told *t, const char *path)
{
	struct literals paths = {.w = &p->body, .key = "path"};
	CLEANUP(free_p)
	char *found = t->found ? literal_of_record(t->found, t->escapes, path) : NULL;

	if (strchr(path, '/')) {
		literals_add(&paths, path);
	} else if (found) {
		if (!propose_fits(p, "the program", found, true))
			return false;
		literals_add(&paths, found);
	} else {
		char full[REDACT_STR_MAX + 32];

		for (size_t i = 0; i < PROGRAM_FOLDERS; i++) {
			snprintf(full, sizeof(full), "%s%s", program_folders[i], path);
			literals_add(&paths, full);
		}
		propose_remark(p, WIDER "where the program was found is not in the "
					"record, so all places are here");
	}
	literals_end(&paths);
	p->program = strdup(path);
	return p->program || (p->body.bad = true);
}

static void exec_secrets(struct proposal *p, const cJSON *args)
{
	if (args_item(args, "env")) {
		wbuf_text(&p->body, "env-allow = NAMES-OF-VARIABLES\n");
		proposal_demote(p, PROPOSED_DRAFT,
				"it set variables, which are not recorded: put their "
				"names at env-allow");
	} else {
		wbuf_text(&p->body, "env-allow = \"\"\n");
	}
	if (args_item(args, "input-data")) {
		wbuf_text(&p->body, "stdin = yes\nstdin-max = 64K\n");
		proposal_demote(p, PROPOSED_DRAFT,
				WIDER "what input it got is not recorded, so any would "
				      "do: see whether the program may have that");
	} else {
		wbuf_text(&p->body, "stdin = no\n");
	}
}

/* Of the arguments that a program was started with, those of the host; NULL: not all. */
static cJSON *started_with(const struct told *t, const cJSON *list)
{
	cJSON *argv = t->argv && !propose_has_nul(t->argv) ? cJSON_Parse(t->argv) : NULL;

	if (!cJSON_IsArray(argv) ||
	    cJSON_GetArraySize(argv) != cJSON_GetArraySize(list) + 1) {
		cJSON_Delete(argv);
		return NULL;
	}
	/* The first is the program's name. */
	cJSON_DeleteItemFromArray(argv, 0);
	return argv;
}

bool propose_exec(struct proposal *p, const struct told *t, const cJSON *args)
{
	const char *path = args_text(args, "path");
	const cJSON *list = args_item(args, "arg");
	/* Of long arguments the record of the start has more than that of the decision.
	 */
	CLEANUP(tree_free) cJSON *argv = started_with(t, list);

	if (!propose_fits(p, "the program", path, false) || !exec_path(p, t, path))
		return false;
	propose_request(p, "{\"path\": ", path);
	if (!exec_arguments(p, argv ? argv : list, argv))
		return false;
	exec_secrets(p, args);
	return true;
}

bool propose_exec_status(struct proposal *p, const struct told *t, const cJSON *args)
{
	(void)t;
	(void)args;
	proposal_demote(p, PROPOSED_NEEDLESS,
			"it needs no rule: who may start a program may ask for its "
			"result");
	return false;
}
