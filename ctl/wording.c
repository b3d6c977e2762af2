/*
 * ctl/wording.c - rules and constraints in the words of a policy
 *
 * Runs in:   posternctl, tests
 * Input:     a policy that was opened
 * May touch: the buffer it is handed
 * Must not:  word what a policy file could not say
 */
#include "ctl/wording.h"

#include <stdio.h>
#include <string.h>

void put_value(struct wbuf *w, const struct policy *p, const struct key_row *row,
	       const struct image_value *v)
{
	char number[32];

	if (row->type == TYPE_PATTERNS || row->type == TYPE_ARGV ||
	    row->type == TYPE_TEXTS || row->type == TYPE_TEXT) {
		wbuf_text(w, policy_text(p, v->text));
		return;
	}
	if (row->type == TYPE_YES_NO) {
		wbuf_text(w, v->number ? "yes" : "no");
		return;
	}
	snprintf(number, sizeof(number), row->type == TYPE_MODE ? "%04llo" : "%llu",
		 (unsigned long long)v->number);
	wbuf_text(w, number);
	wbuf_text(w, row->type == TYPE_TIME   ? " ms"
		     : row->type == TYPE_SIZE ? " bytes"
					      : "");
}

void put_words(struct wbuf *w, const char *words, uint64_t bits)
{
	const char *between = "";

	for (unsigned int bit = 0; *words; bit++) {
		size_t n = strcspn(words, " ");

		if (bits >> bit & 1) {
			wbuf_text(w, between);
			wbuf_put(w, words, n);
			between = " ; ";
		}
		words += n + (words[n] == ' ');
	}
}

void put_constraint(struct wbuf *w, const struct policy *p,
		    const struct image_constraint *c)
{
	const struct key_row *row = key_row(c->key);

	wbuf_text(w, row->name ? row->name : c->key == KEY_EXEC_NAME ? "name" : "path");
	wbuf_text(w, " = ");
	for (uint32_t i = 0; i < c->n_values; i++) {
		const struct image_value *v = &p->values[c->value + i];
		/* Patterns of one argument are alternatives. */
		bool same = i && row->type == TYPE_ARGV && v->number == v[-1].number;

		wbuf_text(w, same ? " | " : i ? " ; " : "");
		if (row->type == TYPE_WORDS)
			put_words(w, row->words, v->number);
		else
			put_value(w, p, row, v);
	}
}

void put_place(struct wbuf *w, const char *file, uint32_t line)
{
	char number[16];

	wbuf_text(w, file);
	snprintf(number, sizeof(number), ":%u", line);
	if (line)
		wbuf_text(w, number);
}
