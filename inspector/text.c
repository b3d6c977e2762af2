/*
 * inspector/text.c - lines, words and numbers of the kernel's tables
 *
 * Runs in:   inspector
 * Input:     text of /proc, /sys and others: any bytes
 * May touch: the text it is handed
 * Must not:  need a NUL at the end, follow the locale
 */
#include "inspector/text.h"

struct text text_of(const char *p, size_t len)
{
	return (struct text){.p = p, .end = p + len};
}

static size_t length(struct text t)
{
	return (size_t)(t.end - t.p);
}

bool text_line(struct text *t, struct text *line)
{
	const char *newline;

	if (t->p == t->end)
		return false;
	newline = memchr(t->p, '\n', length(*t));
	*line = (struct text){t->p, newline ? newline : t->end};
	t->p = newline ? newline + 1 : t->end;
	return true;
}

static bool is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

bool text_word(struct text *line, struct text *word)
{
	const char *p = line->p;

	while (p < line->end && is_blank(*p))
		p++;
	word->p = p;
	while (p < line->end && !is_blank(*p))
		p++;
	word->end = p;
	line->p = p;
	return length(*word) > 0;
}

/* The value of a digit of base 16; 16 if it is none. */
static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 16;
}

bool text_u64(struct text word, int base, uint64_t *out)
{
	uint64_t value = 0;

	if (!length(word))
		return false;
	for (const char *p = word.p; p < word.end; p++) {
		int d = digit(*p);

		if (d >= base || __builtin_mul_overflow(value, base, &value) ||
		    __builtin_add_overflow(value, d, &value))
			return false;
	}
	*out = value;
	return true;
}

size_t text_numbers(struct text *line, uint64_t *v, size_t max)
{
	struct text word;
	size_t n = 0;

	while (n < max && text_word(line, &word) && text_u64(word, 10, &v[n]))
		n++;
	return n;
}

bool text_numbered(struct text t, const char *prefix, uint64_t *out)
{
	size_t len = strlen(prefix);
	uint64_t n;

	if (length(t) < len || memcmp(t.p, prefix, len) != 0)
		return false;
	t.p += len;
	if (!text_u64(t, 10, &n) || n > INT64_MAX)
		return false;
	*out = n;
	return true;
}

bool text_is(struct text t, const char *s)
{
	return length(t) == strlen(s) && memcmp(t.p, s, length(t)) == 0;
}

struct v_str text_str(struct text t)
{
	size_t len = strnlen(t.p, length(t));

	return (struct v_str){.p = t.p, .len = (uint32_t)len, .set = true};
}
