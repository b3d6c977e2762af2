/*
 * inspector/text.h - lines, words and numbers of the kernel's tables
 *
 * Runs in:   inspector
 * Input:     text of /proc, /sys and others: any bytes
 * May touch: the text it is handed
 * Must not:  need a NUL at the end, follow the locale
 */
#ifndef POSTERN_INSPECTOR_TEXT_H
#define POSTERN_INSPECTOR_TEXT_H

#include "ipc/schema.h"

/* A piece of text that somebody else holds: the bytes from P to before END. */
struct text {
	const char *p;
	const char *end;
};

struct text text_of(const char *p, size_t len);

/*
 * Take the first line off T, without its newline; the last one needs none. False at the
 * end of T.
 */
bool text_line(struct text *t, struct text *line);

/* Take the first word off LINE: what stands between blanks. False if there is none. */
bool text_word(struct text *line, struct text *word);

/*
 * The whole word as a number of base 2 to 16, digits only (either case): no sign, no
 * prefix, no blank. False, and OUT as it was, if it is none or exceeds 64 bits.
 */
bool text_u64(struct text word, int base, uint64_t *out);

/*
 * Take the numbers of base 10 off LINE, up to the first word that is none and MAX at the
 * most. Returns how many.
 */
size_t text_numbers(struct text *line, uint64_t *v, size_t max);

/* PREFIX and a number, as in "cpu12"; OUT is the number, at most INT64_MAX. */
bool text_numbered(struct text t, const char *prefix, uint64_t *out);

bool text_is(struct text t, const char *s);

/*
 * As a value of a result, which points to the same bytes: up to the first NUL, since a
 * value holds none.
 */
struct v_str text_str(struct text t);

#endif
