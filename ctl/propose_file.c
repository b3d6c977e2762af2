/*
 * ctl/propose_file.c - rules for files
 *
 * Runs in:   posternctl, as the user who calls it
 * Input:     what records say of a request: any text
 * May touch: the structs it is handed
 * Must not:  write a pattern, let a text of the host be more than a literal
 */
#include <string.h>

#include "ctl/literal.h"
#include "ctl/propose_impl.h"
#include "policy/reason.h"

/* Bytes of a path as it was asked for that a record keeps (doc/audit.md). */
#define REQUESTED_MAX 1024

/* Words of `open-mode` for modes of fopen(3), by their first letter and a '+'. */
static const struct open_mode_row {
	const char *words;
	const char *remark;
	char first;
	bool plus;
} open_modes[] = {
	{"read", NULL, 'r', false},
	{"update", NULL, 'r', true},
	{"create ; replace", NULL, 'w', false},
	{"create ; replace", NULL, 'w', true},
	{"create ; append",
	 WIDER "a file that is not there may be created by mode w as well", 'a', false},
	{"read ; create ; append",
	 WIDER "it may be read by mode r, and created by mode w, as well", 'a', true},
};

static bool file_mode(struct proposal *p, const char *mode)
{
	for (size_t i = 0; i < ARRAY_SIZE(open_modes); i++) {
		const struct open_mode_row *row = &open_modes[i];

		if (*mode != row->first || !!strchr(mode, '+') != row->plus)
			continue;
		wbuf_text(&p->body, "open-mode = ");
		wbuf_text(&p->body, row->words);
		wbuf_text(&p->body, "\n");
		if (row->remark)
			propose_remark(p, row->remark);
		return true;
	}
	return propose_unfit(p, "the mode is none of fopen(3)'s", "");
}

/*
 * Where the asked name is not the real one, there is a link on the way. Whose it is
 * stands in no record, unless it was what a rule did not follow.
 */
static void file_links(struct proposal *p, const struct told *t, const char *asked,
		       const char *real)
{
	bool same = real && asked && streq(asked, real);
	const char *words = same ? "no" : "root-owned";

	if (t->reason == REASON_SYMLINK) {
		words = "yes";
		propose_remark(p, WIDER "any link to this file will do");
	} else if (!real) {
		propose_remark(p, "where links lead was not looked at: path must be the "
				  "real one");
	} else if (!same) {
		propose_remark(p, WIDER "it was asked for by another name, so any link "
					"of root's will do; others stay refused");
	}
	wbuf_text(&p->body, "follow-symlinks = ");
	wbuf_text(&p->body, words);
	wbuf_text(&p->body, "\n");
	if (strncmp(real ? real : asked, "/dev/", 5) == 0)
		propose_remark(p, "the type of file is not in the record: a device "
				  "needs file-type as well");
}

/* The path as it was asked for; NULL: the record has it nowhere as a whole. */
static char *asked_path(const struct told *t, const cJSON *args)
{
	const char *path = args_text(args, "path");

	if (path && !propose_is_cut(path))
		return strdup(path);
	if (t->requested && strlen(t->requested) < REQUESTED_MAX)
		return literal_of_record(t->requested, t->escapes, NULL);
	return NULL;
}

bool propose_file_open(struct proposal *p, const struct told *t, const cJSON *args)
{
	const char *mode = args_item(args, "mode") ? args_text(args, "mode") : "r";
	CLEANUP(free_p) char *asked = asked_path(t, args);
	CLEANUP(free_p)
	char *real = t->opened && *t->opened
			     ? literal_of_record(t->opened, t->escapes, asked)
			     : NULL;
	const char *path = real ? real : asked;

	if (!propose_fits(p, "the path", path, true) ||
	    !propose_fits(p, "the mode", mode, false))
		return false;
	literal_line(&p->body, "path", path);
	if (!file_mode(p, *mode ? mode : "r"))
		return false;
	file_links(p, t, asked, real);
	propose_request(p, "{\"path\": ", path);
	propose_request(p, ", \"mode\": ", mode);
	wbuf_text(&p->request, "}}");
	return true;
}

bool propose_file_write(struct proposal *p, const struct told *t, const cJSON *args)
{
	(void)t;
	(void)args;
	wbuf_text(&p->request, "{\"handle\": 1, \"buf-b64\": \"eA==\"}}");
	return true;
}
