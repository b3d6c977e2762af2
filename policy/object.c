/*
 * policy/object.c - constraints on what was found where a request points
 *
 * Runs in:   worker, posternctl
 * Input:     a checked image; what an op child found
 * May touch: the structs it is handed
 * Must not:  look at a file, take a string apart that is resolved again later
 */
#include "policy/object.h"

#include <string.h>

/* One constraint on one object. */
struct seen {
	const struct policy *p;
	const struct image_constraint *c;
	const struct policy_object *object;
	const void *args;
};

static const struct image_value *value(const struct seen *s, uint32_t i)
{
	return &s->p->values[s->c->value + i];
}

static bool matches(const struct seen *s, const struct v_str *path)
{
	for (uint32_t i = 0; i < s->c->n_values; i++) {
		const struct pattern pattern = policy_pattern(s->p, value(s, i));

		if (pattern_match(&pattern, path->p, path->len, NULL))
			return true;
	}
	return false;
}

static bool path(const struct seen *s)
{
	return matches(s, &s->object->path);
}

/*
 * A program may go by many names. An allow means the one it was asked for by; a deny the
 * program. /bin is a link to /usr/bin, and a deny of /bin/sh means both.
 */
static bool program(const struct seen *s)
{
	struct v_str real = s->object->real;
	const bool named = path(s);

	if (named || s->p->rules[s->c->rule].effect != POLICY_DENY)
		return named;
	if (matches(s, &real))
		return true;
	if (real.len < strlen("/usr/") || memcmp(real.p, "/usr/", strlen("/usr/")) != 0)
		return false;
	real.p += strlen("/usr");
	real.len -= (uint32_t)strlen("/usr");
	return matches(s, &real);
}

/* The directory itself lies not beneath itself. A "/" at its end means nothing. */
static bool is_beneath(const struct v_str *path, const char *dir, size_t len)
{
	while (len && dir[len - 1] == '/')
		len--;
	return path->len > len + 1 && !memcmp(path->p, dir, len) && path->p[len] == '/';
}

static bool beneath(const struct seen *s)
{
	for (uint32_t i = 0; i < s->c->n_values; i++)
		if (is_beneath(&s->object->path, policy_text(s->p, value(s, i)->text),
			       value(s, i)->len))
			return true;
	return false;
}

static bool type(const struct seen *s)
{
	return value(s, 0)->number >> s->object->type & 1;
}

/* A word allows what is less than it. */
static bool links(const struct seen *s)
{
	return value(s, 0)->number >> s->object->links;
}

/* What becomes of the file, now that we know whether it is there. */
static bool open_mode(const struct seen *s)
{
	const struct msg_file_open *q = s->args;
	const char *mode = q->mode.set && q->mode.len ? q->mode.p : "r";
	uint64_t words = value(s, 0)->number;

	if (*mode == 'r')
		return true; /* the request told it all */
	if (!s->object->exists)
		return words & OPEN_CREATE;
	return words & (*mode == 'w' ? OPEN_REPLACE : OPEN_APPEND);
}

/* Of what is replaced nothing is left that could be too large. */
static bool size(const struct seen *s)
{
	const struct msg_file_open *q = s->args;

	return (q->mode.set && q->mode.len && q->mode.p[0] == 'w') ||
	       s->object->size <= value(s, 0)->number;
}

static bool fstype(const struct seen *s)
{
	return matches(s, &s->object->fstype);
}

static bool uid_min(const struct seen *s)
{
	return s->object->uid >= value(s, 0)->number;
}

#define MOUNTS \
	(OPS_OF_1(fsfreeze_freeze) | OPS_OF_1(fsfreeze_freeze_list) | OPS_OF_1(fstrim))

/* The commands that find what the key is about. */
static const struct row {
	uint64_t ops;
	bool (*holds)(const struct seen *s);
} rows[KEYS_COUNT] = {
	[KEY_EXEC_PATH] = {OPS_OF_1(exec), program},
	[KEY_FILE_PATH] = {OPS_OF_1(file_open), path},
	[KEY_BENEATH] = {OPS_OF_1(file_open), beneath},
	[KEY_FILE_TYPE] = {OPS_OF_1(file_open), type},
	[KEY_SYMLINKS] = {OPS_OF_1(file_open), links},
	[KEY_OPEN_MODE] = {OPS_OF_1(file_open), open_mode},
	[KEY_SIZE_MAX] = {OPS_OF_1(file_open), size},
	[KEY_MOUNTPOINT] = {MOUNTS, path},
	[KEY_FSTYPE] = {MOUNTS, fstype},
	[KEY_UID_MIN] = {OPS_ACCOUNTS, uid_min},
};

bool object_speaks(enum key key, uint32_t op)
{
	return rows[key].ops >> op & 1;
}

bool object_holds(const struct policy *p, const struct image_constraint *c,
		  const struct policy_question *q)
{
	const struct seen s = {.p = p, .c = c, .object = q->object, .args = q->args};

	return !object_speaks(c->key, q->op) || rows[c->key].holds(&s);
}

/* ---- limits ---- */

/* Nanoseconds in a millisecond, the unit of the policy's times. */
#define NSEC_PER_MS 1000000

static bool step_within(const struct policy_object *object, uint64_t max_ms)
{
	uint64_t ns = object->step < 0 ? -(uint64_t)object->step : (uint64_t)object->step;

	return ns / NSEC_PER_MS < max_ms ||
	       (ns / NSEC_PER_MS == max_ms && ns % NSEC_PER_MS == 0);
}

static bool forwards(const struct policy_object *object, uint64_t yes)
{
	return yes || object->step >= 0;
}

static bool enough_left(const struct policy_object *object, uint64_t min)
{
	return object->left >= min;
}

static const struct limit {
	enum key key;
	uint32_t op;
	bool (*holds)(const struct policy_object *object, uint64_t limit);
} limits[] = {
	{KEY_MAX_STEP, OP_set_time, step_within},
	{KEY_BACKWARDS, OP_set_time, forwards},
	{KEY_ONLINE_MIN, OP_set_vcpus, enough_left},
	{KEY_MEMORY_MIN, OP_set_memory_blocks, enough_left},
};

bool object_within(const struct policy *p, const struct policy_answer *a, uint32_t op,
		   const struct policy_object *object, enum key *key)
{
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		uint64_t limit;

		*key = limits[i].key;
		if (limits[i].op == op && policy_limit(p, a, *key, &limit) &&
		    !limits[i].holds(object, limit))
			return false;
	}
	return true;
}

bool object_excluded(const struct policy *p, const struct policy_answer *a,
		     const struct policy_object *object)
{
	static const enum key keys[] = {KEY_MOUNTPOINT_EXCLUDE, KEY_FSTYPE_EXCLUDE};

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		struct seen s = {.p = p, .object = object};
		uint32_t at = 0;

		while ((s.c = policy_next(p, a, keys[i], &at)))
			if (matches(&s, i ? &object->fstype : &object->path))
				return true;
	}
	return false;
}
