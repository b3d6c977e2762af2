/*
 * worker/ops/keys.c - a user's authorized keys: told, added, replaced, removed
 *
 * Runs in:   an op child of the worker, with CAP_SETUID and CAP_SETGID until it began
 * Input:     keys of the host; a file of the user's
 * May touch: HOME/.ssh/authorized_keys, with the user's rights
 * Must not:  let a key be more than a line, lose a line that nobody named
 */
#include "sandbox/sandbox.h"
#include "worker/ops/account.h"
#include "worker/ops/home.h"
#include "worker/ops/ops.h"

/* How often it is begun anew where the user changes the file meanwhile. */
#define TRIES_MAX 5

/* ---- lines ---- */

/* The line at *AT without its LF; *AT is moved to the next one. */
static struct v_str next_line(const char **at, const char *end)
{
	const char *line = *at, *stop = memchr(line, '\n', (size_t)(end - line));

	*at = stop ? stop + 1 : end;
	stop = stop ? stop : end;
	return (struct v_str){.p = line, .len = (uint32_t)(stop - line), .set = true};
}

static bool has_line(const char *text, size_t len, const struct v_str *key)
{
	const char *at = text, *end = len ? text + len : text;

	while (at < end) {
		struct v_str line = next_line(&at, end);

		if (account_same(&line, key))
			return true;
	}
	return false;
}

static bool is_among(const struct v_list *keys, const struct v_str *line)
{
	const struct v_str *key = keys->v;

	for (uint32_t i = 0; i < keys->n; i++)
		if (account_same(&key[i], line))
			return true;
	return false;
}

static void end_line(struct wbuf *text)
{
	if (text->len && text->p[text->len - 1] != '\n')
		wbuf_u8(text, '\n');
}

/* ---- what becomes of a text ---- */

static void add(const struct v_list *keys, const char *old, size_t len, struct wbuf *text)
{
	const struct v_str *key = keys->v;

	wbuf_put(text, old, len);
	for (uint32_t i = 0; i < keys->n && !text->bad; i++) {
		if (!key[i].len || has_line((const char *)text->p, text->len, &key[i]))
			continue;
		end_line(text);
		wbuf_put(text, key[i].p, key[i].len);
		wbuf_u8(text, '\n');
	}
}

static void drop(const struct v_list *keys, const char *old, size_t len,
		 struct wbuf *text)
{
	const char *at = old, *end = len ? old + len : old;

	while (at < end) {
		const char *from = at;
		struct v_str line = next_line(&at, end);

		/* An empty key is none. */
		if (!line.len || !is_among(keys, &line))
			wbuf_put(text, from, (size_t)(at - from));
	}
	if (text->len != len)
		end_line(text);
}

/* By enum keys_change. */
static const struct change {
	void (*edit)(const struct v_list *keys, const char *old, size_t len,
		     struct wbuf *text); /* none: the keys are told */
	bool reads;                      /* what there is counts */
} changes[] = {
	[KEYS_GET] = {NULL, true},
	[KEYS_ADD] = {add, true},
	[KEYS_RESET] = {add, false},
	[KEYS_REMOVE] = {drop, true},
};

/* ---- on the file ---- */

static enum home_step change(struct home *h, const struct msg_keys *q)
{
	const struct change *c = &changes[q->change.v];
	CLEANUP(wbuf_free) struct wbuf text = wbuf_growing(HOME_FILE_MAX);

	if (home_look(h, c->reads, true) < 0)
		return HOME_FAILED;
	c->edit(&q->keys, h->text, h->len, &text);
	h->verb = "write to";
	if (text.bad)
		return (enum home_step)home_refuse(h, "would be larger than 1 MiB");
	/* Lines only come, or only go. */
	if (c->reads && text.len == h->len)
		return HOME_DONE;
	return home_replace(h, text.p, text.len);
}

static int change_it(struct home *h, const struct msg_keys *q, struct wbuf *out)
{
	const struct msg_ssh_keys nothing = {.keys = {.set = true}};
	enum home_step step = HOME_AGAIN;

	for (int i = 0; i < TRIES_MAX && step == HOME_AGAIN; i++)
		step = change(h, q);
	if (step == HOME_AGAIN)
		home_refuse(h, "is being changed all the time");
	if (step != HOME_DONE)
		return -1;
	schema_put(out, &schema_ssh_keys, &nothing);
	return 0;
}

static bool is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static struct v_str strip(struct v_str line)
{
	while (line.len && is_blank(line.p[line.len - 1]))
		line.len--;
	for (; line.len && is_blank(*line.p); line.len--)
		line.p++;
	return line;
}

static int tell(struct home *h, struct wbuf *out)
{
	CLEANUP(free_p) struct v_str *keys = NULL;
	struct msg_ssh_keys result = {.keys = {.set = true}};
	const char *at, *end;
	size_t lines = 1;

	if (home_look(h, true, false) < 0)
		return -1;
	end = h->text + h->len;
	for (at = h->text; at < end; at++)
		lines += *at == '\n';
	keys = calloc(lines, sizeof(*keys));
	if (!keys)
		return err_sys(h->e, ENOMEM, "failed to read the keys");
	for (at = h->text; at < end;) {
		struct v_str line = strip(next_line(&at, end));

		if (line.len && *line.p != '#')
			keys[result.keys.n++] = line;
	}
	result.keys.v = keys;
	schema_put(out, &schema_ssh_keys, &result);
	return 0;
}

/* ---- the operation ---- */

/* What is not one line would be several: options and keys that nobody has decided on. */
static int check_keys(const struct v_list *keys, struct err *e)
{
	const struct v_str *key = keys->v;

	for (uint32_t i = 0; i < keys->n; i++)
		if (key[i].len &&
		    (key[i].p[0] == '#' || memchr(key[i].p, '\n', key[i].len) ||
		     memchr(key[i].p, 0, key[i].len)))
			return err_set(e, ERR_GENERIC,
				       "invalid OpenSSH public key: '%.*s'",
				       (int)key[i].len, key[i].p);
	return 0;
}

int child_keys(const struct sys *sys, const void *args, struct wbuf *out, struct err *e)
{
	const struct msg_keys *q = args;
	struct home h = {.sys = sys, .account = q->account.v, .e = e, .home_fd = -1};
	const char *step;
	int r = -1;

	if (q->change.v < 0 || q->change.v >= (int64_t)ARRAY_SIZE(changes))
		return err_set(e, ERR_GENERIC, "there is no such change of keys");
	if (check_keys(&q->keys, e) < 0)
		return -1;
	/* From then on there is no way back to root's files. */
	if (home_become(h.account) < 0 ||
	    sandbox_enter(SC_ROLE(SANDBOX_CHILD) | SC_ROLE(SANDBOX_AT_HOME), &step) < 0)
		return err_sys(e, errno, "failed to take on the rights of the user");
	h.verb = changes[q->change.v].reads ? "read" : "write to";
	if (home_open(&h) == 0)
		r = changes[q->change.v].edit ? change_it(&h, q, out) : tell(&h, out);
	home_done(&h);
	return r;
}
