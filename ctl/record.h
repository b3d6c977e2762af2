/*
 * ctl/record.h - one record of the audit trail as posternctl reads it
 *
 * Runs in:   posternctl, as the user who calls it
 * Input:     fields of a journal or of a file: any bytes
 * May touch: memory of its own
 * Must not:  hold more than its bounds, believe a length or a number
 */
#ifndef POSTERN_CTL_RECORD_H
#define POSTERN_CTL_RECORD_H

#include "ipc/record.h"

/* Bytes of one field's text, and of all texts of a record; what is longer is cut. */
#define RECORD_FIELD_MAX (16 * 1024)
#define RECORD_TEXT_MAX  (256 * 1024)

/* What is in `m` is valid UTF-8 without NUL; control characters may be in it. */
struct record {
	struct msg_audit m;
	size_t used;
	char text[RECORD_TEXT_MAX];
};

/* Empty R; then a record_put for each field; then: is it a record, with all that must be?
 */
void record_begin(struct record *r);
bool record_end(struct record *r);

/*
 * A field by its name and its text: numbers are decimal, booleans true or false. What the
 * schema does not have, or what is there already, is left out.
 */
void record_put(struct record *r, const char *name, size_t name_len, const char *value,
		size_t len);

/* The member of R that F describes; false: absent. */
bool record_has(const struct record *r, const struct field *f);
const void *record_member(const struct record *r, const struct field *f);

static inline bool text_is(const struct v_str *s, const char *word)
{
	return s->set && s->len == strlen(word) && memcmp(s->p, word, s->len) == 0;
}

/* Which records are asked for. */
struct filter {
	uint64_t since; /* microseconds since 1970 */
	uint64_t until;
	uint64_t ops; /* commands, by number; 0: all */
	uint64_t session;
	bool one_session;
	bool denied; /* what was refused, would be, or failed */
};

/* Decisions that `denied` asks for; ends with NULL. */
extern const char *const denied_decisions[];

bool filter_takes(const struct filter *f, const struct record *r);

#endif
