/*
 * policy/expand.c - the groups of a pattern, `{a|b}`, taken apart
 *
 * Runs in:   reader, posternctl
 * Input:     patterns of policy files: any bytes
 * May touch: the stack
 * Must not:  let one pattern become many without a bound
 */
#include "policy/pattern.h"

#include <string.h>

struct expansion {
	char text[4096];
	size_t len;
	unsigned int n;
	bool (*each)(void *arg, const char *p, size_t len);
	void *arg;
};

static const char *expand(struct expansion *x, const char *p, const char *end);

/* NULL, or what is wrong with P behind what there is. */
static const char *append(struct expansion *x, const char *p, size_t len)
{
	if (len > sizeof(x->text) - x->len)
		return "it is too long";
	/* Two of them would become the "**" that nobody wrote. */
	if (len && x->len && *p == '*' && x->text[x->len - 1] == '*')
		return "a '*' beside another at the edge of '{...}'";
	memcpy(x->text + x->len, p, len);
	x->len += len;
	return NULL;
}

static bool of_group(char c)
{
	return c == '{' || c == '|' || c == '}';
}

/* The end of the text from P that no `{`, `|` or `}` of its own interrupts. */
static const char *plain(const char *p, const char *end)
{
	while (p < end && !of_group(*p))
		p += *p == '\\' && end - p > 1 ? 2 : 1;
	return p;
}

/* P is behind a "{": each alternative in turn, then what follows the group. */
static const char *expand_group(struct expansion *x, const char *p, const char *end)
{
	const char *close = p;
	size_t mark = x->len;

	while (close < end && *close != '}') {
		if (*close == '{')
			return "a group within a group";
		close = plain(close + (*close == '|'), end);
	}
	if (close == end)
		return "a '{' without its '}'";
	for (const char *stop; p <= close; p = stop + 1) {
		const char *wrong;

		stop = plain(p, close);
		x->len = mark;
		wrong = append(x, p, (size_t)(stop - p));
		if (!wrong)
			wrong = expand(x, close + 1, end);
		if (wrong)
			return wrong;
	}
	return NULL;
}

static const char *expand(struct expansion *x, const char *p, const char *end)
{
	const char *stop = plain(p, end);
	const char *wrong = append(x, p, (size_t)(stop - p));

	if (wrong)
		return wrong;
	if (stop < end && *stop == '{')
		return expand_group(x, stop + 1, end);
	if (stop < end)
		return *stop == '|' ? "a '|' outside of '{...}'"
				    : "a '}' without its '{'";
	if (++x->n > PATTERN_EXPAND_MAX)
		return "it stands for more than 64 patterns";
	return x->each(x->arg, x->text, x->len) ? NULL : "memory is short";
}

const char *pattern_expand(const char *p, size_t len,
			   bool (*each)(void *arg, const char *p, size_t len), void *arg)
{
	struct expansion x = {.each = each, .arg = arg};

	return expand(&x, p, p + len);
}
