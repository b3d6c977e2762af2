/*
 * worker/ops/passwd.c - an account, from what getent(1) wrote of it
 *
 * Runs in:   an op child of the worker, without any capability
 * Input:     a name of the host; lines of the name service, which a network may serve
 * May touch: memory
 * Must not:  take a line of another account for the one that was asked for
 */
#include <limits.h>

#include "worker/ops/account.h"
#include "worker/ops/ops.h"

/* Fields of a line of passwd(5), counted from 0. */
enum { FIELD_NAME = 0, FIELD_UID = 2, FIELD_GID = 3, FIELD_HOME = 5, FIELDS = 7 };

/* Where its end is, if TEXT is one whole line and no NUL in it: a part of one may have a
 * part of a number at its end. */
static const char *end_of_line(const struct v_str *text)
{
	const char *end = text->len ? memchr(text->p, '\n', text->len) : NULL;

	if (!end || end + 1 != text->p + text->len || memchr(text->p, 0, text->len))
		return NULL;
	return end;
}

static bool is_home(const struct v_str *s)
{
	return s->len && s->len < PATH_MAX && s->p[0] == '/';
}

/* What is wrong with the account's own line; NULL: nothing, it is in A. */
static const char *read_line(const struct msg_account_find *q, struct msg_account *a)
{
	const char *line = q->passwd.p, *end = end_of_line(&q->passwd);
	struct v_str name, number;
	uint32_t uid, gid;

	if (!q->passwd.len)
		return "there is no such account";
	if (!end || !account_field(line, end, FIELDS - 1).set ||
	    account_field(line, end, FIELDS).set)
		return "getent did not write one line of seven fields";
	/* Of a number, getent tells whose it is. */
	name = account_field(line, end, FIELD_NAME);
	if (!name.len || !account_same(&name, &q->name))
		return "getent wrote of another account";
	number = account_field(line, end, FIELD_UID);
	if (!account_number(&number, &uid))
		return "its uid is no number of a user";
	number = account_field(line, end, FIELD_GID);
	if (!account_number(&number, &gid))
		return "its gid is no number of a group";
	a->home = account_field(line, end, FIELD_HOME);
	if (!is_home(&a->home))
		return "its home directory is no absolute path";
	a->uid = V_U64(uid);
	a->gid = V_U64(gid);
	return NULL;
}

/* The next word between blanks, behind which *AT is moved; empty: there is none. */
static struct v_str next_word(const char **at, const char *end)
{
	struct v_str word = {.set = true};

	while (*at < end && **at == ' ')
		++*at;
	word.p = *at;
	while (*at < end && **at != ' ')
		++*at;
	word.len = (uint32_t)(*at - word.p);
	return word;
}

/* The same of its groups: the name, blanks, and gids between blanks. */
static const char *read_groups(const struct msg_account_find *q, struct msg_account *a)
{
	const char *at = q->groups.p, *end = end_of_line(&q->groups);
	struct msg_gid *gids = a->groups.v;
	struct v_str name = q->name, word;
	uint32_t gid;

	/* A name may have blanks in it. Behind a long one without groups there is none.
	 */
	if (!end || (size_t)(end - at) < name.len || memcmp(at, name.p, name.len) != 0)
		return "getent did not write its groups";
	at += name.len;
	if (at < end && *at != ' ')
		return "getent wrote of the groups of another account";
	while ((word = next_word(&at, end)).len) {
		/* Fewer would be other rights: a group can be one that may not. */
		if (a->groups.n == ACCOUNT_GROUPS_MAX)
			return "it is in too many groups";
		if (!account_number(&word, &gid))
			return "getent did not write its groups as numbers";
		gids[a->groups.n++] = (struct msg_gid){.gid = V_U64(gid)};
	}
	return NULL;
}

int child_account_find(const struct sys *sys, const void *args, struct wbuf *out,
		       struct err *e)
{
	const struct msg_account_find *q = args;
	struct msg_gid gids[ACCOUNT_GROUPS_MAX];
	struct msg_account a = {.groups = {.v = gids, .set = true}};
	const char *wrong = read_line(q, &a);

	(void)sys;
	if (!wrong && q->groups.set)
		wrong = read_groups(q, &a);
	if (wrong)
		return err_set(e, ERR_GENERIC, "failed to lookup user '%.*s': %s",
			       (int)q->name.len, q->name.p, wrong);
	if (!q->groups.set)
		gids[a.groups.n++] = (struct msg_gid){.gid = a.gid};
	schema_put(out, &schema_account, &a);
	return 0;
}
