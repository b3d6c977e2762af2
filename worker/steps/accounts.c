/*
 * worker/steps/accounts.c - passwords and authorized keys: look the account up, decide,
 * act
 *
 * Runs in:   worker
 * Input:     requests that were allowed so far; output of getent, passed on unread
 * May touch: the request, pipes
 * Must not:  keep a password, let a line of the host's become two
 *
 * The account is looked up first, by getent, so that accounts kept anywhere are found;
 * then the policy decides by its number; then chpasswd, or an op child with the rights of
 * the account, does what was asked for.
 */
#include <ctype.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "worker/steps/fingerprint.h"
#include "worker/steps/steps.h"

/* The user is the first argument of all these commands. */
_Static_assert(offsetof(struct msg_set_password, username) == 0, "first");
_Static_assert(offsetof(struct msg_ssh_user, username) == 0, "first");
_Static_assert(offsetof(struct msg_ssh_add, username) == 0, "first");
_Static_assert(offsetof(struct msg_ssh_remove, username) == 0, "first");

/* Bytes that Linux-PAM and crypt(3) take at the most, and of a name (utmp(5) has 32). */
#define PASSWORD_MAX 512
#define USER_MAX     256

static int keep_user(struct request *rq, const struct asked *q, struct err *e)
{
	const struct v_str *user = q->args;

	if (user->len > USER_MAX)
		return err_set(e, ERR_GENERIC, "the user name is too long");
	rq->steps->user = strndup(user->len ? user->p : "", user->len);
	return rq->steps->user ? 0 : err_set(e, ERR_GENERIC, "out of memory");
}

/* ---- the password ---- */

/* What would be another line, or another field, of who reads it (crypt(5)). */
static bool is_forbidden(const struct msg_set_password *q)
{
	for (uint32_t i = 0; i < q->password.len; i++) {
		unsigned char c = (unsigned char)q->password.p[i];

		if (c == '\n' || c == '\0' ||
		    (q->crypted.v && (!isgraph(c) || c >= 0x80 || c == ':')))
			return true;
	}
	return false;
}

static int check_text(const struct msg_set_password *q, bool empty, struct err *e)
{
	if (is_forbidden(q))
		return err_set(e, ERR_GENERIC, "forbidden characters in %s password",
			       q->crypted.v ? "crypted" : "raw");
	if (q->username.len && (memchr(q->username.p, '\n', q->username.len) ||
				memchr(q->username.p, ':', q->username.len)))
		return err_set(e, ERR_GENERIC, "forbidden characters in username");
	if (!q->password.len && !empty)
		return err_set(e, ERR_GENERIC,
			       "an empty password is refused: no rule of the policy says "
			       "`empty = yes`");
	if (q->password.len > PASSWORD_MAX)
		return err_set(e, ERR_GENERIC, "the password is too long");
	return 0;
}

/* Into a pipe, so that no memory of ours holds it any more: a line for chpasswd(8). */
static int put_away(struct request *rq, const struct msg_set_password *q)
{
	CLEANUP(close_p) int out = -1;
	char *const password = (char *)(uintptr_t)q->password.p;
	char colon = ':', end = '\n';
	const struct iovec line[] = {
		{rq->steps->user, strlen(rq->steps->user)},
		{&colon, 1},
		{password, q->password.len},
		{&end, 1},
	};
	int pair[2];
	ssize_t n;

	if (pipe2(pair, O_CLOEXEC | O_NONBLOCK) < 0)
		return -1;
	rq->steps->secret = pair[0];
	out = pair[1];
	n = writev(out, line, ARRAY_SIZE(line));
	/* Only its length is asked for when the rest is decided. */
	if (q->password.len)
		memset(password, '*', q->password.len);
	return n == (ssize_t)(line[0].iov_len + q->password.len + 2) ? 0 : -1;
}

static int check_password(struct worker *w, struct request *rq, const struct asked *q,
			  const struct policy_answer *a, struct err *e)
{
	const struct msg_set_password *in = q->args;
	struct asked kept;

	rq->steps->crypted = in->crypted.v;
	if (check_text(in, policy_yes(&rq->gen->policy, a, KEY_EMPTY), e) < 0 ||
	    keep_user(rq, q, e) < 0)
		return -1;
	/* There are two of it: in the frame, which is wiped, and what we keep. */
	if (gate_kept(w, rq, &kept) < 0 || put_away(rq, kept.args) < 0)
		return err_set(e, ERR_GENERIC, "cannot create pipe FDs");
	return 0;
}

/* ---- keys ---- */

/* None of a request that names none. */
static struct v_list keys_of(uint32_t op, const void *args)
{
	if (op == OP_ssh_add_authorized_keys)
		return ((const struct msg_ssh_add *)args)->keys;
	if (op == OP_ssh_remove_authorized_keys)
		return ((const struct msg_ssh_remove *)args)->keys;
	return (struct v_list){0};
}

static int check_keys(struct worker *w, struct request *rq, const struct asked *q,
		      const struct policy_answer *a, struct err *e)
{
	const struct v_list keys = keys_of(rq->op, q->args);
	const struct v_str *key = keys.v;

	(void)w;
	(void)a;
	if (keep_user(rq, q, e) < 0)
		return -1;
	for (uint32_t i = 0; i < keys.n; i++)
		if (key[i].len &&
		    (*key[i].p == '#' || memchr(key[i].p, '\n', key[i].len)))
			return err_set(e, ERR_GENERIC,
				       "invalid OpenSSH public key: '%.*s'",
				       (int)key[i].len, key[i].p);
	rq->steps->fingerprints = fingerprints_of(&keys);
	return 0;
}

/* ---- the account ---- */

static void find_getent(struct worker *w, struct request *rq)
{
	steps_find(w, rq, "getent");
}

static void ask_passwd(struct worker *w, struct request *rq)
{
	const char *const argv[] = {"getent", "passwd", "--", rq->steps->user, NULL};

	steps_run(w, rq, argv, RUN_CAPTURED);
}

/* As chpasswd would say it, or the reference (protocol 3.35, 3.43). */
static void fail_unknown(struct worker *w, struct request *rq)
{
	struct err e;

	if (rq->op == OP_set_user_password)
		err_set(&e, ERR_GENERIC,
			"child process has failed to set user password: "
			"there is no such user");
	else
		err_set(&e, ERR_GENERIC, "failed to lookup user '%s': Success",
			rq->steps->user);
	request_fail(w, rq, &e);
}

static void fail_getent(struct worker *w, struct request *rq)
{
	struct err e;

	err_set(&e, ERR_GENERIC, "failed to lookup user '%s': getent has failed",
		rq->steps->user);
	request_fail(w, rq, &e);
}

/* getent(1): one or more keys could not be found. */
#define GETENT_UNKNOWN 2

static void take_passwd(struct worker *w, struct request *rq, const struct outcome *o)
{
	struct steps *s = rq->steps;

	if (o->ended->exitcode.set && o->ended->exitcode.v == GETENT_UNKNOWN) {
		fail_unknown(w, rq);
		return;
	}
	if (!step_went_well(o) || !s->text) {
		fail_getent(w, rq);
		return;
	}
	s->passwd = TAKE_PTR(s->text);
	steps_next(w, rq);
}

static void ask_groups(struct worker *w, struct request *rq)
{
	const char *const argv[] = {"getent", "initgroups", "--", rq->steps->user, NULL};

	steps_run(w, rq, argv, RUN_CAPTURED);
}

/*
 * Where getent knows no such thing the account has no rights by further groups. What was
 * cut, or never came, does not say that.
 */
static void take_groups(struct worker *w, struct request *rq, const struct outcome *o)
{
	struct steps *s = rq->steps;
	bool good = step_went_well(o);

	if (good ? !s->text : !o->ended->exitcode.set || o->ended->timed_out.v) {
		fail_getent(w, rq);
		return;
	}
	if (good)
		s->groups = TAKE_PTR(s->text);
	steps_next(w, rq);
}

static void read_account(struct worker *w, struct request *rq)
{
	request_part(w, rq, OP_account_find,
		     &(struct msg_account_find){
			     .name = v_str(rq->steps->user),
			     .passwd = v_str(rq->steps->passwd),
			     .groups = v_str(rq->steps->groups),
		     });
}

static void take_account(struct worker *w, struct request *rq, const struct outcome *o)
{
	struct wbuf *account = &rq->steps->account;

	if (!step_went_well(o)) {
		steps_fail(w, rq, o->part);
		return;
	}
	*account = wbuf_growing(FRAME_BODY_MAX);
	wbuf_put(account, o->part->body, o->part->len);
	if (account->bad)
		steps_fail(w, rq, NULL);
	else
		steps_next(w, rq);
}

/* Its lists join what is in the arena. */
static int account_of(struct worker *w, const struct request *rq,
		      struct msg_account *account)
{
	struct rbuf r = rbuf_of(rq->steps->account.p, rq->steps->account.len);

	return schema_whole(&r, &schema_account, &w->arena, account);
}

static void decide(struct worker *w, struct request *rq)
{
	struct policy_object object = {.exists = true};
	struct msg_account account;
	struct policy_answer a;

	w->arena.len = 0;
	if (account_of(w, rq, &account) < 0 || account.uid.v > UINT32_MAX) {
		steps_fail(w, rq, NULL);
		return;
	}
	object.uid = (uint32_t)account.uid.v;
	if (!gate_object(w, rq, &object, 0, &a))
		return;
	rq->steps->acts = true;
	steps_next(w, rq);
}

/* ---- chpasswd ---- */

static void find_chpasswd(struct worker *w, struct request *rq)
{
	steps_find(w, rq, "chpasswd");
}

static void run_chpasswd(struct worker *w, struct request *rq)
{
	const char *const argv[] = {"chpasswd", rq->steps->crypted ? "-e" : NULL, NULL};

	steps_run(w, rq, argv, RUN_SECRET);
}

static void take_chpasswd(struct worker *w, struct request *rq, const struct outcome *o)
{
	if (step_went_well(o))
		steps_next(w, rq);
	else
		steps_fail_program(w, rq, "set user password", o);
}

static const struct step password_steps[] = {
	{find_getent, NULL}, {ask_passwd, take_passwd}, {read_account, take_account},
	{decide, NULL},      {find_chpasswd, NULL},     {run_chpasswd, take_chpasswd},
	{NULL, NULL},
};

const struct plan plan_password = {check_password, password_steps, record_password};

/* ---- authorized_keys ---- */

static enum keys_change change_of(uint32_t op, const void *args)
{
	if (op == OP_ssh_get_authorized_keys)
		return KEYS_GET;
	if (op == OP_ssh_remove_authorized_keys)
		return KEYS_REMOVE;
	return ((const struct msg_ssh_add *)args)->reset.v ? KEYS_RESET : KEYS_ADD;
}

static void start_keys(struct worker *w, struct request *rq)
{
	struct msg_account account;
	struct msg_keys what;
	struct asked q;

	if (gate_kept(w, rq, &q) < 0 || account_of(w, rq, &account) < 0) {
		steps_fail(w, rq, NULL);
		return;
	}
	what = (struct msg_keys){
		.change = V_INT(change_of(rq->op, q.args)),
		.account = {.v = &account, .set = true},
		.keys = keys_of(rq->op, q.args),
	};
	/* Its result is the request's, and may be many frames. */
	rq->through = rq->op == OP_ssh_get_authorized_keys;
	request_part(w, rq, OP_keys, &what);
}

static const struct step keys_steps[] = {
	{find_getent, NULL},
	{ask_passwd, take_passwd},
	{ask_groups, take_groups},
	{read_account, take_account},
	{decide, NULL},
	{start_keys, steps_pass},
	{NULL, NULL},
};

const struct plan plan_keys = {check_keys, keys_steps, record_keys};
