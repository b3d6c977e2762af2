/*
 * supervisor/keyfile.c - the text of a key file, entry by entry
 *
 * Runs in:   supervisor, root
 * Input:     a text in memory, of the guest's administrator; may hold any bytes
 * May touch: that text, which it cuts up
 * Must not:  allocate, know what the keys mean
 */
#include "supervisor/keyfile.h"

#include <ctype.h>

/* The text from START up to END, without blanks on both sides, as a string. */
static char *trim(char *start, char *end)
{
	while (start < end && isspace((unsigned char)*start))
		start++;
	while (end > start && isspace((unsigned char)end[-1]))
		end--;
	*end = '\0';
	return start;
}

/* Replace the escapes of VALUE, which never grows. 0, or -1: one that is none. */
static int unescape(char *value)
{
	static const char letters[] = "sntr\\";
	static const char meanings[] = " \n\t\r\\";
	char *out = value;

	for (const char *in = value; *in; in++) {
		const char *letter;

		if (*in != '\\') {
			*out++ = *in;
			continue;
		}
		in++;
		letter = *in ? strchr(letters, *in) : NULL;
		if (!letter)
			return -1;
		*out++ = meanings[letter - letters];
	}
	*out = '\0';
	return 0;
}

int keyfile_start(struct keyfile *k, char *text, size_t len, struct err *e)
{
	*k = (struct keyfile){.rest = text};
	return strlen(text) == len ? 0 : err_set(e, ERR_GENERIC, "it holds a NUL byte");
}

static int read_group(struct keyfile *k, char *line, struct err *e)
{
	size_t len = strlen(line);

	if (len < 3 || line[len - 1] != ']')
		return err_set(e, ERR_GENERIC, "line %u: '%s' is not a group", k->line,
			       line);
	line[len - 1] = '\0';
	k->group = line + 1;
	return 0;
}

static int read_entry(struct keyfile *k, char *line, struct err *e)
{
	char *equals = strchr(line, '=');
	char *value;

	if (!equals || equals == line)
		return err_set(e, ERR_GENERIC,
			       "line %u: '%s' is not a key-value pair, group or comment",
			       k->line, line);
	if (!k->group)
		return err_set(e, ERR_GENERIC, "line %u: '%s' stands in front of a group",
			       k->line, line);
	value = trim(equals + 1, equals + strlen(equals));
	k->key = trim(line, equals);
	k->value = value;
	if (unescape(value) < 0)
		return err_set(e, ERR_GENERIC,
			       "line %u: a '\\' in the value of '%s' that is no escape",
			       k->line, k->key);
	return 1;
}

int keyfile_next(struct keyfile *k, struct err *e)
{
	int r = 0;

	while (r == 0 && *k->rest) {
		char *end = strchrnul(k->rest, '\n');
		bool last = !*end;
		char *line = trim(k->rest, end);

		k->rest = last ? end : end + 1;
		k->line++;
		if (*line == '[')
			r = read_group(k, line, e);
		else if (*line && *line != '#')
			r = read_entry(k, line, e);
	}
	return r;
}
