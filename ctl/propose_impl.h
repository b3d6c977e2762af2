/*
 * ctl/propose_impl.h - what the parts of propose.c share
 *
 * Runs in:   posternctl, as the user who calls it
 * Input:     what records say of a request: any text
 * May touch: the structs it is handed
 * Must not:  write a pattern, let a text of the host be more than a literal
 */
#ifndef POSTERN_CTL_PROPOSE_IMPL_H
#define POSTERN_CTL_PROPOSE_IMPL_H

#include <cjson/cJSON.h>

#include "ctl/propose.h"

#define WIDER "wider than what was seen: "

/* A line for people. */
void propose_remark(struct proposal *p, const char *text);

/* No rule can say it: a remark. False. */
bool propose_unfit(struct proposal *p, const char *what, const char *why);

/*
 * Is the text WHAT in the record, and can it stand in a policy? WHOLE: it is known to be
 * as long as it was. If not: a remark.
 */
bool propose_fits(struct proposal *p, const char *what, const char *text, bool whole);

/* As a record shows it, it is no longer whole. */
bool propose_is_cut(const char *text);

/* JSON in which a text has a NUL: no host sent that, and the parser would end there. */
bool propose_has_nul(const char *json);

/* BEFORE and TEXT, as JSON, behind what there is of the request. */
void propose_request(struct proposal *p, const char *before, const char *text);

static inline void tree_free(cJSON **tree)
{
	cJSON_Delete(*tree);
}

static inline const cJSON *args_item(const cJSON *args, const char *name)
{
	return cJSON_GetObjectItemCaseSensitive(args, name);
}

static inline const char *args_text(const cJSON *args, const char *name)
{
	return cJSON_GetStringValue(args_item(args, name));
}

/* How a command's request becomes a rule. False: there is none, and why is a remark. */
typedef bool propose_fn(struct proposal *p, const struct told *t, const cJSON *args);

propose_fn propose_exec, propose_exec_status, propose_file_open, propose_file_write;

#endif
