/*
 * supervisor/lists.c - block and allow lists: names of commands become a set
 *
 * Runs in:   supervisor, root
 * Input:     lists of the guest's administrator
 * May touch: the set it is handed
 * Must not:  let a name that it does not know pass in silence
 */
#include "supervisor/lists.h"

#include "ipc/commands.h"

#define SEPARATORS ", \t\n\r\f\v"

/* Longest name that is compared with others. */
#define NAME_MAX_LEN 63

static size_t min3(size_t a, size_t b, size_t c)
{
	return min_size(a, min_size(b, c));
}

/* Letters to insert, remove or replace to come from A to B (Levenshtein). */
static size_t distance(const char *a, const char *b)
{
	size_t row[NAME_MAX_LEN + 1]; /* from the part of A so far to each start of B */
	size_t len = strlen(b);

	if (len > NAME_MAX_LEN)
		return SIZE_MAX;
	for (size_t j = 0; j <= len; j++)
		row[j] = j;
	for (size_t i = 0; a[i]; i++) {
		size_t diagonal = row[0];

		row[0] = i + 1;
		for (size_t j = 0; j < len; j++) {
			size_t replaced = diagonal + (a[i] != b[j]);

			diagonal = row[j + 1];
			row[j + 1] = min3(diagonal + 1, row[j] + 1, replaced);
		}
	}
	return row[len];
}

void likeness_try(struct likeness *l, const char *name)
{
	size_t d = distance(l->word, name);

	if (l->best && d >= l->distance)
		return;
	l->best = name;
	l->distance = d;
}

static int refuse_name(const char *name, size_t len, struct err *e)
{
	char word[NAME_MAX_LEN + 1];
	struct likeness l = {.word = word};

	len = min_size(len, NAME_MAX_LEN);
	memcpy(word, name, len);
	word[len] = '\0';
	if (strchr(word, ';'))
		return err_set(e, ERR_GENERIC,
			       "'%s': names are separated by ',', not by ';'", word);
	for (uint32_t n = op_after(OP_NONE); n != OP_NONE; n = op_after(n))
		likeness_try(&l, op_name(n));
	return err_set(e, ERR_GENERIC,
		       "there is no command '%s', the closest name is '%s'", word,
		       l.best);
}

int list_add(uint64_t *set, const char *text, struct err *e)
{
	uint64_t found = 0;

	for (const char *p = text + strspn(text, SEPARATORS); *p;
	     p += strspn(p, SEPARATORS)) {
		size_t len = strcspn(p, SEPARATORS);
		uint32_t op = op_by_name(p, len);

		if (op == OP_NONE)
			return refuse_name(p, len, e);
		found |= UINT64_C(1) << op;
		p += len;
	}
	/* As an allow list it would allow everything, which nobody means by a comma. */
	if (!found && *text)
		return err_set(e, ERR_GENERIC, "the list '%s' names no command", text);
	*set |= found;
	return 0;
}

uint64_t lists_leave(uint64_t allow, uint64_t block)
{
	uint64_t left = (allow ? allow : ~UINT64_C(0)) & ~block;

	for (uint32_t n = 0; n < OP_MAX; n++) {
		const char *name = op_name(n);
		uint64_t whole;

		if (!(op_flags(n) & OPF_PART))
			continue;
		/* The name of a part begins with that of its command. */
		whole = left >> op_by_name(name, strcspn(name, " ")) & 1;
		left = (left & ~(UINT64_C(1) << n)) | whole << n;
	}
	return left;
}

void list_print(FILE *out, uint64_t set, const char *between)
{
	const char *before = "";

	for (uint32_t n = op_after(OP_NONE); n != OP_NONE; n = op_after(n)) {
		if (!(set >> n & 1))
			continue;
		fprintf(out, "%s%s", before, op_name(n));
		before = between;
	}
}

uint64_t list_all(void)
{
	uint64_t all = 0;

	for (uint32_t n = op_after(OP_NONE); n != OP_NONE; n = op_after(n))
		if (!(op_flags(n) & OPF_ELSEWHERE))
			all |= UINT64_C(1) << n;
	return all;
}
