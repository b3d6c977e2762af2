/*
 * json/envelope.c - the members of a request
 *
 * Runs in:   frontend, posternctl
 * Input:     a JSON tree built from text that the scanner has passed
 * May touch: the structs it is handed
 * Must not:  guess
 */
#include "json/envelope.h"

#include <cjson/cJSON.h>
#include <string.h>

int envelope_open(const cJSON *root, struct envelope *env, struct err *e)
{
	const struct op *op;
	const char *name;
	const cJSON *m;

	*env = (struct envelope){0};
	cJSON_ArrayForEach(m, root)
	{
		if (streq(m->string, "execute"))
			env->execute = m;
		else if (streq(m->string, "arguments"))
			env->arguments = m;
		else if (!streq(m->string, "id"))
			return err_set(e, ERR_GENERIC,
				       "QMP input member '%s' is unexpected", m->string);
	}
	if (env->execute && !cJSON_IsString(env->execute))
		return err_set(e, ERR_GENERIC,
			       "QMP input member 'execute' must be a string");
	if (env->arguments && !cJSON_IsObject(env->arguments))
		return err_set(e, ERR_GENERIC,
			       "QMP input member 'arguments' must be an object");
	if (!env->execute)
		return err_set(e, ERR_GENERIC, "QMP input lacks member 'execute'");
	name = env->execute->valuestring;
	env->number = op_by_name(name, strlen(name));
	op = op_by_number(env->number);
	if (!op || op->flags & OPF_ELSEWHERE)
		return err_set(e, ERR_NOT_FOUND, "The command %s has not been found",
			       name);
	return 0;
}
