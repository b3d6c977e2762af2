/*
 * mounts/table.c - the kernel's table of mounts, taken apart
 *
 * Runs in:   inspector; op children of the worker
 * Input:     the text of /proc/self/mountinfo: mount points and sources are any bytes
 * May touch: that text
 * Must not:  read a file, look at a mount point, allocate
 *
 * Not libmount: short of memory it leaves out the line that it had none for, or all the
 * rest, and a freeze would miss a file system; it looks for the device of a root outside
 * ours; and with what it links it was an eighth of the agent's memory.
 */
#include "mounts/table.h"

#include <stdbool.h>
#include <sys/sysmacros.h>

#include "ipc/util.h"

/* What stands before the next blank, which becomes its end; NULL: there is no blank. */
static char *field(char **p)
{
	char *start = *p;
	char *blank = strchr(start, ' ');

	if (!blank)
		return NULL;
	*blank = '\0';
	*p = blank + 1;
	return start;
}

/* A decimal number of 32 bits and then END, which is passed. */
static bool number(const char **p, char end, uint32_t *n)
{
	uint64_t sum = 0;
	const char *s = *p;

	for (; *s >= '0' && *s <= '9' && sum <= UINT32_MAX; s++)
		sum = sum * 10 + (uint64_t)(*s - '0');
	if (s == *p || *s != end || sum > UINT32_MAX)
		return false;
	*n = (uint32_t)sum;
	*p = s + 1;
	return true;
}

static bool device(const char *text, dev_t *dev)
{
	uint32_t major, minor;

	if (!text || !number(&text, ':', &major) || !number(&text, '\0', &minor))
		return false;
	*dev = makedev(major, minor);
	return true;
}

static bool is_octal(const char *s)
{
	return s[0] >= '0' && s[0] <= '3' && s[1] >= '0' && s[1] <= '7' && s[2] >= '0' &&
	       s[2] <= '7';
}

/* A blank, a tab, an end of line and a backslash have come as a backslash and 3 digits.
 */
static char *unescape(char *text)
{
	char *to = text;

	for (const char *s = text; s && *s; to++)
		if (s[0] == '\\' && is_octal(s + 1)) {
			*to = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 |
				     (s[3] - '0'));
			s += 4;
		} else {
			*to = *s++;
		}
	if (text)
		*to = '\0';
	return text;
}

/* "27 1 254:1 / /mnt rw,relatime shared:1 - ext4 /dev/vda1 rw"; of "shared:1" any number.
 */
static bool take_apart(char *line, struct mount_line *m)
{
	const char *id = field(&line);
	const char *optional;

	if (!id || !number(&id, '\0', &m->id) || !field(&line) ||
	    !device(field(&line), &m->dev) || !field(&line))
		return false;
	m->point = unescape(field(&line));
	do
		optional = field(&line);
	while (optional && !streq(optional, "-"));
	m->type = unescape(field(&line));
	m->source = unescape(field(&line));
	m->options = line;
	return m->point && m->type && m->source && *m->type;
}

int mounts_each(char *text, size_t len,
		int (*each)(void *arg, const struct mount_line *m), void *arg)
{
	char *end = text + len;
	int r = 0;

	for (char *line = text, *next; line < end && r == 0; line = next) {
		char *stop = memchr(line, '\n', (size_t)(end - line));
		struct mount_line m;

		next = stop ? stop + 1 : end;
		if (stop)
			*stop = '\0';
		if (take_apart(line, &m))
			r = each(arg, &m);
	}
	return r;
}
