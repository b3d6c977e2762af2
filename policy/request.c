/*
 * policy/request.c - constraints that the typed request alone decides
 *
 * Runs in:   worker, frontend, posternctl
 * Input:     a checked image; typed requests of the host: hostile
 * May touch: the structs it is handed
 * Must not:  look at a file, take a string apart that is resolved again later
 */
#include "policy/request.h"

/* One constraint on one request: its values, and the arguments. */
struct ask {
	const struct policy *p;
	const struct image_constraint *c;
	uint32_t op;
	const void *args;
};

static const struct image_value *value(const struct ask *a, uint32_t i)
{
	return &a->p->values[a->c->value + i];
}

static uint64_t number(const struct ask *a)
{
	return value(a, 0)->number;
}

/* "yes": whatever is asked holds. "no": only if it is not ASKED. */
static bool yes_or_not(const struct ask *a, bool asked)
{
	return number(a) || !asked;
}

static bool matches(const struct ask *a, uint32_t i, const char *p, size_t len)
{
	const struct pattern pattern = policy_pattern(a->p, value(a, i));

	/* Text of no length may be nowhere. */
	return pattern_match(&pattern, len ? p : "", len, NULL);
}

static bool matches_any(const struct ask *a, const char *p, size_t len)
{
	for (uint32_t i = 0; i < a->c->n_values; i++)
		if (matches(a, i, p, len))
			return true;
	return false;
}

static bool is_word(const struct v_str *s, const char *word)
{
	return s->len == strlen(word) && (!s->len || !memcmp(s->p, word, s->len));
}

/* ---- programs ---- */

static bool exec_name(const struct ask *a)
{
	const struct msg_exec *q = a->args;

	return is_word(&q->path, policy_text(a->p, value(a, 0)->text));
}

/* What stands behind a "/": a name, and not "", "." or "..". */
static bool begins_name(const char *p, size_t len)
{
	size_t dots = 0;

	if (!len || p[0] != '.')
		return len && p[0] != '/';
	while (dots < len && dots < 3 && p[dots] == '.')
		dots++;
	return dots == 3 || (dots < len && p[dots] != '/');
}

/* Absolute, and nothing in it that a pattern would not see: "/opt/x/../../bin/sh". */
static bool is_plain_path(const struct v_str *path)
{
	const char *p = path->p;
	size_t len = path->len;

	if (!len || p[0] != '/')
		return false;
	for (size_t i = 0; i < len; i++)
		if (p[i] == '/' && !begins_name(p + i + 1, len - i - 1))
			return false;
	return true;
}

const char *const program_folders[PROGRAM_FOLDERS] = {"/usr/sbin/", "/usr/bin/", "/sbin/",
						      "/bin/"};

/* A name alone stands for a program in any of the folders. */
static bool exec_named(const struct ask *a)
{
	const struct msg_exec *q = a->args;
	char path[4096];

	for (size_t i = 0; i < PROGRAM_FOLDERS; i++) {
		size_t len = strlen(program_folders[i]);
		struct v_str full = {.p = path, .len = (uint32_t)len + q->path.len};

		if (q->path.len > sizeof(path) - len)
			return false;
		memcpy(path, program_folders[i], len);
		memcpy(path + len, q->path.p, q->path.len);
		if (is_plain_path(&full) && matches_any(a, path, full.len))
			return true;
	}
	return false;
}

static bool exec_path(const struct ask *a)
{
	const struct msg_exec *q = a->args;

	if (!q->path.len)
		return false;
	if (!memchr(q->path.p, '/', q->path.len))
		return exec_named(a);
	if (matches_any(a, q->path.p, q->path.len) && is_plain_path(&q->path))
		return true;
	/* Of a name that no pattern can speak of, a deny holds and an allow does not. */
	return a->p->rules[a->c->rule].effect == POLICY_DENY && !is_plain_path(&q->path);
}

/* Is value I the text WORD? */
static bool value_is(const struct ask *a, uint32_t i, const char *word, size_t len)
{
	return value(a, i)->len == len &&
	       memcmp(policy_text(a->p, value(a, i)->text), word, len) == 0;
}

/* "*" alone stands for one argument, whatever it is. */
static bool argument(const struct ask *a, uint32_t i, const struct v_str *arg)
{
	if (value_is(a, i, "*", 1))
		return !arg->len || arg->p[0] != '-';
	return matches(a, i, arg->p, arg->len);
}

/*
 * Values of one place, which their number names, are alternatives. "..." in last place
 * stands for the rest.
 */
static bool exec_argv(const struct ask *a)
{
	const struct msg_exec *q = a->args;
	const struct v_str *args = q->arg.v;
	uint32_t place = 0, i = 0;

	while (i < a->c->n_values) {
		uint64_t here = value(a, i)->number;
		bool found = false;

		if (value_is(a, i, "...", 3))
			return true;
		if (place == q->arg.n)
			return false;
		for (; i < a->c->n_values && value(a, i)->number == here; i++)
			found = found || argument(a, i, &args[place]);
		if (!found)
			return false;
		place++;
	}
	return place == q->arg.n;
}

static bool exec_env(const struct ask *a)
{
	const struct msg_exec *q = a->args;
	const struct v_str *env = q->env.v;

	for (uint32_t i = 0; i < q->env.n; i++) {
		const char *equals = memchr(env[i].p, '=', env[i].len);

		/* A variable without a name is none that a pattern could speak of. */
		if (!equals || equals == env[i].p ||
		    !matches_any(a, env[i].p, (size_t)(equals - env[i].p)))
			return false;
	}
	return true;
}

static bool exec_stdin(const struct ask *a)
{
	return yes_or_not(a, ((const struct msg_exec *)a->args)->input_data.set);
}

static bool exec_stdin_max(const struct ask *a)
{
	return ((const struct msg_exec *)a->args)->input_data.size <= number(a);
}

/* ---- files ---- */

/*
 * Modes of fopen(3) by their first letter; whether a file is made depends on what is
 * there (policy/object.c). "a+" reads what is there already, "w+" only what it wrote.
 */
static bool open_mode(const struct ask *a)
{
	const struct msg_file_open *q = a->args;
	const char first = *(q->mode.set && q->mode.len ? q->mode.p : "r");
	bool update = q->mode.set && q->mode.len && memchr(q->mode.p, '+', q->mode.len);
	uint64_t words = number(a);

	if (first == 'w')
		return words & (OPEN_CREATE | OPEN_REPLACE);
	if (first == 'a' && update && !(words & (OPEN_READ | OPEN_UPDATE)))
		return false;
	if (first == 'a')
		return words & OPEN_APPEND;
	return words & (update ? OPEN_UPDATE : OPEN_READ);
}

/* ---- accounts ---- */

/* The user name is the first argument of all these commands. */
static const struct v_str *account_of(const struct ask *a)
{
	if (a->op == OP_set_user_password)
		return &((const struct msg_set_password *)a->args)->username;
	if (a->op == OP_ssh_add_authorized_keys)
		return &((const struct msg_ssh_add *)a->args)->username;
	if (a->op == OP_ssh_remove_authorized_keys)
		return &((const struct msg_ssh_remove *)a->args)->username;
	return &((const struct msg_ssh_user *)a->args)->username;
}

static bool account(const struct ask *a)
{
	const struct v_str *user = account_of(a);

	return matches_any(a, user->p, user->len);
}

static bool account_exclude(const struct ask *a)
{
	return !account(a);
}

enum { CRYPTED_ONLY = 1, CRYPTED_NO = 2, CRYPTED_ANY = 4 };

static bool crypted(const struct ask *a)
{
	bool is = ((const struct msg_set_password *)a->args)->crypted.v;

	return number(a) & (CRYPTED_ANY | (is ? CRYPTED_ONLY : CRYPTED_NO));
}

static bool empty_password(const struct ask *a)
{
	return yes_or_not(a, !((const struct msg_set_password *)a->args)->password.len);
}

/* A key with options in front has no type in first place, so it matches nothing. */
static bool key_types(const struct ask *a)
{
	const struct msg_ssh_add *q = a->args;
	const struct v_str *keys = q->keys.v;

	for (uint32_t i = 0; i < q->keys.n; i++) {
		const char *blank = memchr(keys[i].p, ' ', keys[i].len);
		size_t len = blank ? (size_t)(blank - keys[i].p) : keys[i].len;

		/* One that is several lines would bring keys of other types along. */
		if (memchr(keys[i].p, '\n', keys[i].len))
			return false;
		/* An empty one is no key: clients split files at newlines. */
		if (keys[i].len && !matches_any(a, keys[i].p, len))
			return false;
	}
	return true;
}

/* Each line may be a key. */
static bool keys_max(const struct ask *a)
{
	const struct msg_ssh_add *q = a->args;
	const struct v_str *keys = q->keys.v;
	uint64_t n = 0;

	for (uint32_t i = 0; i < q->keys.n; i++) {
		n += keys[i].len > 0;
		for (uint32_t k = 0; k < keys[i].len; k++)
			n += keys[i].p[k] == '\n';
	}
	return n <= number(a);
}

static bool reset(const struct ask *a)
{
	return yes_or_not(a, ((const struct msg_ssh_add *)a->args)->reset.v);
}

/* ---- time, CPUs, memory, power ---- */

static bool from_rtc(const struct ask *a)
{
	return yes_or_not(a, !((const struct msg_set_time *)a->args)->time.set);
}

static bool offline_cpus(const struct ask *a)
{
	const struct msg_set_vcpus *q = a->args;
	const struct msg_vcpu *cpus = q->vcpus.v;
	bool asked = false;

	for (uint32_t i = 0; i < q->vcpus.n; i++)
		asked |= !cpus[i].online.v;
	return yes_or_not(a, asked);
}

static bool offline_memory(const struct ask *a)
{
	const struct msg_set_memory_blocks *q = a->args;
	const struct msg_memory_block *blocks = q->mem_blks.v;
	bool asked = false;

	for (uint32_t i = 0; i < q->mem_blks.n; i++)
		asked |= !blocks[i].online.v;
	return yes_or_not(a, asked);
}

static bool offline(const struct ask *a)
{
	return a->op == OP_set_vcpus ? offline_cpus(a) : offline_memory(a);
}

static bool power_mode(const struct ask *a)
{
	static const char *const words[] = {"powerdown", "halt", "reboot"};
	const struct msg_shutdown *q = a->args;

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (q->mode.set ? is_word(&q->mode, words[i]) : i == 0)
			return number(a) >> i & 1;
	return false;
}

static bool suspend_mode(const struct ask *a)
{
	return number(a) >> (a->op - OP_suspend_disk) & 1;
}

_Static_assert(OP_suspend_ram == OP_suspend_disk + 1, "words of `modes` in this order");
_Static_assert(OP_suspend_hybrid == OP_suspend_disk + 2,
	       "words of `modes` in this order");

/* ---- the table ---- */

#define SUSPENDS \
	(OPS_OF_1(suspend_disk) | OPS_OF_1(suspend_ram) | OPS_OF_1(suspend_hybrid))

/* The commands whose arguments have what the key is about. */
static const struct row {
	uint64_t ops;
	bool (*holds)(const struct ask *a);
} rows[KEYS_COUNT] = {
	[KEY_EXEC_NAME] = {OPS_OF_1(exec), exec_name},
	[KEY_EXEC_PATH] = {OPS_OF_1(exec), exec_path},
	[KEY_ARGV] = {OPS_OF_1(exec), exec_argv},
	[KEY_ENV_ALLOW] = {OPS_OF_1(exec), exec_env},
	[KEY_STDIN] = {OPS_OF_1(exec), exec_stdin},
	[KEY_STDIN_MAX] = {OPS_OF_1(exec), exec_stdin_max},
	[KEY_OPEN_MODE] = {OPS_OF_1(file_open), open_mode},
	[KEY_ACCOUNT] = {OPS_ACCOUNTS, account},
	[KEY_ACCOUNT_EXCLUDE] = {OPS_ACCOUNTS, account_exclude},
	[KEY_CRYPTED] = {OPS_OF_1(set_user_password), crypted},
	[KEY_EMPTY] = {OPS_OF_1(set_user_password), empty_password},
	[KEY_KEY_TYPES] = {OPS_OF_1(ssh_add_authorized_keys), key_types},
	[KEY_KEYS_MAX] = {OPS_OF_1(ssh_add_authorized_keys), keys_max},
	[KEY_RESET] = {OPS_OF_1(ssh_add_authorized_keys), reset},
	[KEY_FROM_RTC] = {OPS_OF_1(set_time), from_rtc},
	[KEY_OFFLINE] = {OPS_OF_1(set_vcpus) | OPS_OF_1(set_memory_blocks), offline},
	[KEY_MODES] = {OPS_OF_1(shutdown), power_mode},
	[KEY_SUSPEND_MODES] = {SUSPENDS, suspend_mode},
};

bool request_speaks(enum key key, uint32_t op)
{
	return rows[key].ops >> op & 1;
}

bool request_holds(const struct policy *p, const struct image_constraint *c,
		   const struct policy_question *q)
{
	const struct ask a = {.p = p, .c = c, .op = q->op, .args = q->args};

	return !request_speaks(c->key, q->op) || rows[c->key].holds(&a);
}
