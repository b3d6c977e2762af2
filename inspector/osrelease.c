/*
 * inspector/osrelease.c - the os-release file
 *
 * Runs in:   inspector
 * Input:     the file's bytes: any
 * May touch: the buffer it is handed
 * Must not:  take half of a file that it does not understand
 */
#include "inspector/osrelease.h"

#include <string.h>

#include "ipc/jsonw.h"

#define MEMBER(name) offsetof(struct msg_osinfo, name)
static const struct {
	const char *name;
	size_t member;
} keys[] = {
	{"ID", MEMBER(id)},
	{"NAME", MEMBER(name)},
	{"PRETTY_NAME", MEMBER(pretty_name)},
	{"VERSION", MEMBER(version)},
	{"VERSION_ID", MEMBER(version_id)},
	{"VARIANT", MEMBER(variant)},
	{"VARIANT_ID", MEMBER(variant_id)},
};

static struct v_str *member(struct msg_osinfo *r, size_t offset)
{
	return (struct v_str *)(void *)((char *)r + offset);
}

/* A piece of the text. */
struct span {
	char *p;
	char *end;
};

static bool is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static struct span trim(struct span s)
{
	while (s.p < s.end && is_blank(*s.p))
		s.p++;
	while (s.p < s.end && is_blank(s.end[-1]))
		s.end--;
	return s;
}

/* TEXT as UTF-8 without NUL. */
static bool is_text(const char *text, size_t len)
{
	const uint8_t *s = (const uint8_t *)text;

	while (len) {
		uint32_t cp = *s;
		size_t n = cp < 0x80 ? 1 : utf8_next(s, len, &cp);

		if (!n || !cp)
			return false;
		s += n;
		len -= n;
	}
	return true;
}

/*
 * A value with its quotes taken off, in place. In double quotes a backslash takes the
 * meaning from `$ ' " \` and backquote; single quotes have no escapes, as in a shell. A
 * missing closing quote stands at the end of the line.
 */
static struct span unquote(struct span v)
{
	char quote = *v.p;
	struct span out = {v.p, v.p};

	for (v.p++; v.p < v.end && *v.p != quote; v.p++) {
		if (quote == '"' && *v.p == '\\' && v.end - v.p > 1 &&
		    strchr("$'\"\\`", v.p[1]))
			v.p++;
		*out.end++ = *v.p;
	}
	return out;
}

/* A value without quotes ends at the first blank, or else at the first semicolon. */
static struct span cut(struct span v)
{
	size_t len = (size_t)(v.end - v.p);
	char *stop = memchr(v.p, ' ', len);

	if (stop)
		v.end = stop;
	stop = memchr(v.p, ';', (size_t)(v.end - v.p));
	if (stop)
		v.end = stop;
	return v;
}

static void assign(struct msg_osinfo *r, struct span key, struct span value)
{
	size_t len = (size_t)(key.end - key.p);

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		if (strlen(keys[i].name) != len || memcmp(keys[i].name, key.p, len) != 0)
			continue;
		if (value.p < value.end)
			value = *value.p == '"' || *value.p == '\'' ? unquote(value)
								    : cut(value);
		*member(r, keys[i].member) =
			(struct v_str){.p = value.p,
				       .len = (uint32_t)(value.end - value.p),
				       .set = true};
	}
}

/* False if the line is neither blank nor a comment nor KEY=value. */
static bool parse_line(struct span line, struct msg_osinfo *r)
{
	char *equals;
	struct span key;

	line = trim(line);
	if (line.p == line.end || *line.p == '#')
		return true;
	equals = memchr(line.p, '=', (size_t)(line.end - line.p));
	if (!equals)
		return false;
	key = trim((struct span){line.p, equals});
	if (key.p == key.end)
		return false;
	assign(r, key, trim((struct span){equals + 1, line.end}));
	return true;
}

static int clear(struct msg_osinfo *r)
{
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		*member(r, keys[i].member) = (struct v_str){.set = false};
	return -1;
}

int osrelease_parse(char *text, size_t len, struct msg_osinfo *r)
{
	char *end = text + len;

	if (!is_text(text, len))
		return clear(r);
	while (text < end) {
		char *stop = memchr(text, '\n', (size_t)(end - text));

		if (!stop)
			stop = end;
		if (!parse_line((struct span){text, stop}, r))
			return clear(r);
		text = stop < end ? stop + 1 : end;
	}
	return 0;
}
