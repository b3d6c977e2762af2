/*
 * inspector/users.c - who is logged in: guest-get-users
 *
 * Runs in:   inspector
 * Input:     utmp and logind's session files: any bytes
 * May touch: these files, read-only; the arena
 * Must not:  expect whole records or a NUL behind a name
 */
#include "inspector/users.h"

#include <dirent.h>
#include <stdio.h>
#include <utmpx.h>

#include "inspector/shape.h"

#define USEC_PER_SEC 1e6
#define UTMP         "/var/run/utmp"
#define SESSIONS     "/run/systemd/sessions"

static bool same(struct v_str a, struct v_str b)
{
	return a.len == b.len && memcmp(a.p, b.p, a.len) == 0;
}

static int add_user(struct inspector *in, struct v_list *users, struct v_str name,
		    double login)
{
	struct msg_user *u = users->v;

	if (!shape_shows(in, name.p, name.len))
		return 0;
	for (uint32_t i = 0; i < users->n; i++) {
		if (!same(u[i].user, name))
			continue;
		if (login < u[i].login_time.v)
			u[i].login_time.v = login;
		return 0;
	}
	u = inspect_add(in, users, sizeof(*u));
	if (!u)
		return -1;
	u->user = name;
	u->login_time = (struct v_num){.v = login, .set = true};
	return 0;
}

/* ---- utmp ---- */

int users_of_utmp(struct inspector *in, const char *bytes, size_t len,
		  struct v_list *users)
{
	struct utmpx record; /* a copy, as the bytes may lie anywhere */

	for (size_t at = 0; len - at >= sizeof(record); at += sizeof(record)) {
		/* Without a NUL where it fills its field. */
		const char *name = bytes + at + offsetof(struct utmpx, ut_user);
		struct v_str user = text_str(text_of(name, sizeof(record.ut_user)));

		memcpy(&record, bytes + at, sizeof(record));
		/* One without a name is a line where nobody is. */
		if (record.ut_type != USER_PROCESS || !user.len)
			continue;
		if (add_user(in, users, user,
			     record.ut_tv.tv_sec + record.ut_tv.tv_usec / USEC_PER_SEC))
			return -1;
	}
	return 0;
}

/* ---- logind ---- */

/*
 * Distributions with a systemd of today write no utmp (protocol 5.5, no. 49). Its session
 * files are declared private, but they are what libsystemd's sd_session_get_*() read in
 * each program that uses them, so that they cannot change at will. A format that we do
 * not know shows no users, as the reference does.
 */
enum session_key { KEY_CLASS, KEY_STATE, KEY_USER, KEY_REALTIME, KEY_COUNT };
static const char *const session_keys[KEY_COUNT] = {
	[KEY_CLASS] = "CLASS",
	[KEY_STATE] = "STATE",
	[KEY_USER] = "USER",
	[KEY_REALTIME] = "REALTIME",
};

/* Where a person works; the others are greeters, managers and jobs. Root's are early. */
static const char *const session_classes[] = {"user", "user-early", "user-light",
					      "user-early-light"};

static void take_key(struct text line, struct text values[KEY_COUNT])
{
	const char *equals = memchr(line.p, '=', (size_t)(line.end - line.p));

	if (!equals)
		return;
	for (size_t k = 0; k < KEY_COUNT; k++)
		if (text_is((struct text){line.p, equals}, session_keys[k]))
			values[k] = (struct text){equals + 1, line.end};
}

/*
 * A value without its quotes. systemd from 254 on sets them where a shell would want
 * them, with a backslash before what they do not protect; older ones write it raw.
 */
static struct v_str unquote(struct inspector *in, struct text value)
{
	char *name, *out;

	if (value.p == value.end || *value.p != '"')
		return text_str(value);
	name = out = arena_take(&in->arena, (size_t)(value.end - value.p));
	if (!name)
		return (struct v_str){0};
	for (const char *p = value.p + 1; p < value.end && *p != '"'; p++) {
		if (*p == '\\' && value.end - p > 1)
			p++;
		*out++ = *p;
	}
	return text_str((struct text){name, out});
}

/* Does somebody work here? One that is closing has left processes behind, and gone. */
static bool is_login(const struct text values[KEY_COUNT])
{
	if (text_is(values[KEY_STATE], "closing"))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(session_classes); i++)
		if (text_is(values[KEY_CLASS], session_classes[i]))
			return true;
	return false;
}

int users_of_session(struct inspector *in, struct text file, struct v_list *users)
{
	struct text values[KEY_COUNT], line;
	struct v_str name;
	uint64_t usec;

	for (size_t k = 0; k < KEY_COUNT; k++)
		values[k] = text_of("", 0);
	while (text_line(&file, &line))
		take_key(line, values);
	if (!is_login(values) || !text_u64(values[KEY_REALTIME], 10, &usec))
		return 0;
	name = unquote(in, values[KEY_USER]);
	if (!name.set)
		return -1;
	if (!name.len)
		return 0;
	return add_user(in, users, name, (double)usec / USEC_PER_SEC);
}

struct search {
	struct inspector *in;
	struct v_list *users;
};

/*
 * The session NAME. Beside the files are their FIFOs and such as are being written. 1 if
 * the arena is full.
 */
static int read_session(void *arg, const char *name, unsigned char type)
{
	struct search *s = arg;
	char path[sizeof(SESSIONS) + NAME_MAX + 1];
	const char *p;
	size_t len;

	if (type != DT_REG || *name == '.')
		return 0;
	snprintf(path, sizeof(path), SESSIONS "/%s", name);
	p = inspect_read(s->in, path, INSPECT_FILE_MAX, &len);
	/* It may have ended meanwhile. */
	if (!p)
		return errno == ENOMEM;
	return users_of_session(s->in, text_of(p, len), s->users) < 0;
}

static bool before(const struct msg_user *a, const struct msg_user *b)
{
	size_t len = min_size(a->user.len, b->user.len);
	int order = memcmp(a->user.p, b->user.p, len);

	if (a->login_time.v != b->login_time.v)
		return a->login_time.v < b->login_time.v;
	return order ? order < 0 : a->user.len < b->user.len;
}

/* By login, as utmp about is: the directory's order changes from one call to the next. */
static void sort(struct v_list *users)
{
	struct msg_user *u = users->v;

	for (uint32_t i = 1; i < users->n; i++) {
		struct msg_user one = u[i];
		uint32_t at = i;

		for (; at > 0 && before(&one, &u[at - 1]); at--)
			u[at] = u[at - 1];
		u[at] = one;
	}
}

static int ask_logind(struct inspector *in, struct v_list *users, struct err *e)
{
	struct search s = {in, users};
	int r = sys_list(&in->sys, SESSIONS, read_session, &s);

	if (r > 0)
		return inspect_full(e);
	/* There are systems with neither. */
	if (r < 0 && errno != ENOENT)
		return err_sys(e, errno, "open(\"" SESSIONS "\")");
	sort(users);
	return 0;
}

int inspect_get_users(struct inspector *in, const struct msg_empty *args,
		      struct msg_users *result, struct err *e)
{
	size_t len;
	const char *utmp = inspect_read(in, UTMP, INSPECT_TABLE_MAX, &len);

	(void)args;
	result->value.set = true;
	if (!utmp && errno != ENOENT)
		return err_sys(e, errno, "open(\"" UTMP "\")");
	/* One that is kept has at least the record of the boot. */
	if (!utmp || len < sizeof(struct utmpx))
		return ask_logind(in, &result->value, e);
	if (users_of_utmp(in, utmp, len, &result->value) < 0)
		return inspect_full(e);
	return 0;
}
