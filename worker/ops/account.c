/*
 * worker/ops/account.c - names of local accounts as numbers
 *
 * Runs in:   op children of the worker
 * Input:     names of the policy; /etc/passwd and /etc/group
 * May touch: these two files
 * Must not:  load a module of the name service: its code would be ours
 */
#include "worker/ops/account.h"

#include <string.h>

#define FILE_MAX (1024 * 1024)

/* Fields of a line of passwd(5) and group(5), counted from 0. */
enum { FIELD_NAME = 0, FIELD_ID = 2, FIELD_GROUP = 3 };

struct v_str account_field(const char *line, const char *end, int n)
{
	const char *stop;

	for (; n; n--) {
		line = memchr(line, ':', (size_t)(end - line));
		if (!line)
			return (struct v_str){0};
		line++;
	}
	stop = memchr(line, ':', (size_t)(end - line));
	return (struct v_str){
		.p = line,
		.len = (uint32_t)((stop ? stop : end) - line),
		.set = true,
	};
}

bool account_number(const struct v_str *s, uint32_t *out)
{
	uint64_t v = 0;

	for (uint32_t i = 0; i < s->len; i++) {
		if (s->p[i] < '0' || s->p[i] > '9' || v > UINT32_MAX)
			return false;
		v = v * 10 + (uint64_t)(s->p[i] - '0');
	}
	*out = (uint32_t)v;
	/* All ones mean "leave as it is" to the kernel. */
	return s->len && v < UINT32_MAX;
}

bool account_same(const struct v_str *a, const struct v_str *b)
{
	return a->len == b->len && !memcmp(a->p, b->p, a->len);
}

/* The numbers in fields 2 and 3 of the line that begins with NAME. */
static bool find(const struct sys *sys, const char *file, const struct v_str *name,
		 uint32_t *id, uint32_t *group)
{
	CLEANUP(free_p) char *text = malloc(FILE_MAX);
	ssize_t len = text ? sys_read_file(sys, file, text, FILE_MAX) : -1;
	const char *line = text, *end = len > 0 ? text + len : text, *stop;

	for (; line < end; line = stop + 1) {
		struct v_str it;

		stop = memchr(line, '\n', (size_t)(end - line));
		stop = stop ? stop : end;
		it = account_field(line, stop, FIELD_NAME);
		if (!account_same(&it, name))
			continue;
		it = account_field(line, stop, FIELD_ID);
		if (!account_number(&it, id))
			return false;
		it = account_field(line, stop, FIELD_GROUP);
		return !group || account_number(&it, group);
	}
	return false;
}

static int unknown(const char *what, const struct v_str *name, struct err *e)
{
	return err_set(e, ERR_GENERIC, "the policy's owner: there is no local %s '%.*s'",
		       what, (int)name->len, name->p);
}

int account_owner(const struct sys *sys, const struct v_str *owner, uid_t *uid,
		  gid_t *gid, struct err *e)
{
	struct v_str user = *owner, group = {0};
	const char *colon = owner->len ? memchr(owner->p, ':', owner->len) : NULL;

	*uid = 0;
	*gid = 0;
	if (colon) {
		user.len = (uint32_t)(colon - owner->p);
		group.p = colon + 1;
		group.len = owner->len - user.len - 1;
	}
	if (user.len && !account_number(&user, uid) &&
	    !find(sys, "/etc/passwd", &user, uid, gid))
		return unknown("user", &user, e);
	if (group.len && !account_number(&group, gid) &&
	    !find(sys, "/etc/group", &group, gid, NULL))
		return unknown("group", &group, e);
	return 0;
}
