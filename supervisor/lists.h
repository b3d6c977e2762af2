/*
 * supervisor/lists.h - block and allow lists: names of commands become a set
 *
 * Runs in:   supervisor, root
 * Input:     lists of the guest's administrator
 * May touch: the set it is handed
 * Must not:  let a name that it does not know pass in silence
 *
 * A set of operations is a word: bit N is operation N of ipc/ops.h. The lists narrow what
 * the policy allows; nothing here widens it.
 */
#ifndef POSTERN_SUPERVISOR_LISTS_H
#define POSTERN_SUPERVISOR_LISTS_H

#include <stdio.h>

#include "ipc/err.h"

/*
 * Add the commands that TEXT names, with commas or white space between them, to SET. An
 * empty text is an empty list. 0, or -1 with E filled, and SET as it was: a name that no
 * command has, or a text that names none.
 */
int list_add(uint64_t *set, const char *text, struct err *e);

/*
 * What the two lists leave: those of ALLOW, or all if it is empty (protocol 4.5), less
 * those of BLOCK. A part of a command goes with it.
 */
uint64_t lists_leave(uint64_t allow, uint64_t block);

/* The commands of SET, with BETWEEN between them. */
void list_print(FILE *out, uint64_t set, const char *between);

/* All commands that clients are told of. */
uint64_t list_all(void);

/* The name among those tried that is most like WORD. */
struct likeness {
	const char *word;
	const char *best; /* NULL: none tried */
	size_t distance;  /* letters to change */
};
void likeness_try(struct likeness *l, const char *name);

#endif
