/*
 * json/scan.h - the reader of the host's bytes: frames, bounds, validates
 *
 * Runs in:   frontend, posternctl
 * Input:     bytes of the host: hostile
 * May touch: its own buffers; the bulk sink it was given
 * Must not:  recurse, hold more than its bounds, pass on text it has not checked
 *
 * The channel carries JSON values without lines or lengths (protocol 1.2, 1.4 to 1.6,
 * 1.8). The scanner is fed bytes as they come and stops after each thing it found: a
 * complete request, or one error that is owed to the client. A request comes out as
 *
 *   text   strict JSON in normal form: double quotes, no white space, UTF-8, escapes
 *          only where JSON demands them; depth and size bounded. The value of the
 *          top-level member "id" is replaced by `null`. Every number is replaced by its
 *          index in the table of kept texts, so that no double ever rounds it. What is
 *          nested deeper than any schema goes (SCAN_TREE_DEPTH) is checked, then shown
 *          as an empty object or array.
 *   id     the value of "id" as it goes back: re-serialised as the reference does
 *          (protocol 1.3, 1.6: ASCII, ", " and ": ", numbers by class)
 *   bulk   the decoded bytes of arguments.buf-b64 or arguments.input-data, which went
 *          to the sink while they streamed in and never were text here
 */
#ifndef POSTERN_FRONTEND_SCAN_H
#define POSTERN_FRONTEND_SCAN_H

#include "ipc/wire.h"

#define SCAN_MESSAGE_MAX (64u * 1024 * 1024) /* bytes of one message, white space too */
#define SCAN_STRING_MAX  (1024u * 1024)      /* bytes of one string or number on input */
#define SCAN_TEXT_MAX    (4u * 1024 * 1024)  /* bytes of text, id and keys together */
#define SCAN_TOKENS_MAX  131072u             /* tokens of one message */
#define SCAN_MEMBERS_MAX 1024u               /* members of one object */
#define SCAN_DEPTH_MAX   1024u               /* open { plus open [ (protocol 1.8) */
#define SCAN_TREE_DEPTH  8u                  /* nesting that reaches the tree */
#define SCAN_QUOTE_MAX   256u                /* bytes of input quoted in an error */

enum scan_event {
	SCAN_MORE,    /* all bytes consumed, nothing complete */
	SCAN_REQUEST, /* a complete top-level object: text, id and bulk are valid */
	SCAN_ERROR,   /* one error reply is owed: scan_error_text */
};

/* Where bulk bytes go as they are decoded. Each returns 0, or -1: cannot take more. */
struct scan_sink {
	/* A bulk member begins; drop what an earlier one of this message left. */
	int (*begin)(struct scan_sink *s);
	int (*write)(struct scan_sink *s, const uint8_t *p, size_t len);
	/* The message was dropped (error, reset): drop what is there. */
	void (*drop)(struct scan_sink *s);
};

struct scan;

/* SINK outlives the scanner. NULL if memory is short. */
struct scan *scan_new(struct scan_sink *sink);
void scan_free(struct scan *s);
static inline void scan_free_p(struct scan **s)
{
	scan_free(*s);
	*s = NULL;
}

/* Take messages of at most MOST bytes, if that is less than SCAN_MESSAGE_MAX. */
void scan_limit(struct scan *s, uint64_t most);

/*
 * Consume bytes of P up to the end of the first event, which goes to *EV, and return
 * how many. Call again with the rest. What the accessors below return is valid until
 * the next call.
 */
size_t scan_feed(struct scan *s, const uint8_t *p, size_t len, enum scan_event *ev);

/* Forget everything: the client that sent it is gone. Memory is given back. */
void scan_reset(struct scan *s);

/* True if a message was begun and is not complete (bytes other than white space). */
bool scan_pending(const struct scan *s);

/* After SCAN_REQUEST. */
struct scan_text {
	const char *p; /* not NUL-terminated */
	size_t len;
};
struct scan_text scan_request_text(const struct scan *s);
/* p is NULL if the request has no "id". */
struct scan_text scan_request_id(const struct scan *s);

enum scan_number { SCAN_INT, SCAN_UINT, SCAN_DOUBLE }; /* protocol 1.6 */
struct scan_num {
	enum scan_number kind; /* INT: fits int64. UINT: only uint64. DOUBLE: the rest */
	int64_t i;
	uint64_t u;
	double d;
};
/* The number that stands in the text as INDEX; false if there is none. */
bool scan_request_number(const struct scan *s, uint64_t index, struct scan_num *out);

enum scan_bulk { SCAN_BULK_NONE, SCAN_BULK_OK, SCAN_BULK_INVALID, SCAN_BULK_TOO_BIG };
/*
 * INVALID: a character outside the base64 alphabet (protocol 3.0.2). TOO_BIG: the sink
 * refused. SIZE: decoded bytes. The member itself stands in the text as "".
 */
enum scan_bulk scan_request_bulk(const struct scan *s, uint64_t *size);

/*
 * After SCAN_ERROR: the description for the error reply (class GenericError), raw bytes
 * which the JSON writer escapes, e.g. `JSON parse error, stray '\xff'`.
 */
struct scan_text scan_error_text(const struct scan *s);
/*
 * The same for a record: dots stand for what the error quotes, which can be the beginning
 * of a password whose end was bad.
 */
struct scan_text scan_error_note(const struct scan *s);
/* True if this error is an 0xFF or 0xFE: the client started over. */
bool scan_error_is_reset(const struct scan *s);

#endif
