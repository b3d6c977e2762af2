/*
 * ctl/show.h - a record as text
 *
 * Runs in:   posternctl, as the user who calls it
 * Input:     records: any text
 * May touch: the buffer it is handed
 * Must not:  let a control character or a byte that is no UTF-8 through
 */
#ifndef POSTERN_CTL_SHOW_H
#define POSTERN_CTL_SHOW_H

#include "ctl/record.h"

enum show_form { SHOW_SHORT, SHOW_VERBOSE, SHOW_JSON };

struct show {
	enum show_form form;
	unsigned int width; /* columns of a short line */
	bool colour;
	bool utf8; /* what is read by is more than ASCII */
};

/* Room for one record in any form. */
#define SHOW_MAX (2 * 1024 * 1024)

/* As standard output wants it. */
struct show show_for_stdout(enum show_form form);

void show_record(const struct show *s, const struct record *r, struct wbuf *w);

/* Text of unknown origin: what is not printable, as \xNN. */
void show_text(const struct show *s, const char *text, size_t len, struct wbuf *w);

enum show_colour { COLOUR_NONE, COLOUR_RED, COLOUR_YELLOW, COLOUR_MAGENTA };

/* WORD, which is ours, in a colour if S has them. */
void show_word(const struct show *s, enum show_colour c, const char *word,
	       struct wbuf *w);

#endif
