/*
 * json/scan_impl.h - inside of the scanner; for frontend/scan*.c only
 *
 * Runs in:   frontend, posternctl
 * Input:     bytes of the host: hostile
 * May touch: the scanner's buffers; the bulk sink it was given
 * Must not:  recurse, hold more than the bounds of scan.h
 *
 * Three layers, each in a file of its own:
 *
 *   scan_lex.c     bytes -> tokens, and where to go on after an error
 *   scan_string.c  the same for strings: escapes, UTF-8, base64
 *   scan.c         tokens -> grammar, bounds, output; the life of a message
 *
 * The lexer consumes a piece at a time: a run of string bytes, a token, a run of white
 * space. What it has seen of a token that is not complete is kept here, so that input
 * may be cut anywhere.
 */
#ifndef POSTERN_FRONTEND_SCAN_IMPL_H
#define POSTERN_FRONTEND_SCAN_IMPL_H

#include "ipc/base64.h"
#include "json/scan.h"

/* What the next byte belongs to. */
enum scan_lex {
	LEX_START, /* nothing yet */
	LEX_STRING,
	LEX_NUMBER,
	LEX_KEYWORD,
	LEX_RECOVER, /* a lexical error: look for a place to start again (protocol 1.5) */
	LEX_SKIP,    /* a bound was met: the same, but brackets are no such place */
	LEX_COUNT,
};

/* A token is named by its first character; these stand for many. */
enum { TOKEN_STRING = '"', TOKEN_NUMBER = '0', TOKEN_KEYWORD = 'a' };

/* What becomes of a string. */
enum scan_string_use {
	STRING_SKIP,  /* only its end matters: the message is refused anyway */
	STRING_CHECK, /* valid or not, but shown to nobody */
	STRING_KEEP,  /* decoded to `token` */
	STRING_BULK,  /* base64, decoded to the sink */
};

/* Where in a string the next byte stands. */
enum scan_string_at {
	AT_CHAR,
	AT_ESCAPE, /* behind a backslash */
	AT_HEX,    /* in the digits of \uXXXX */
	AT_PAIR,   /* behind a high surrogate: a backslash must follow */
	AT_PAIR_U, /* and behind that backslash: a u */
	AT_UTF8,   /* in a sequence of more than one byte */
	AT_COUNT,
};

struct scan_string {
	uint8_t quote; /* that opened it and will close it */
	uint8_t use;   /* enum scan_string_use */
	uint8_t at;    /* enum scan_string_at */
	uint8_t utf8[4];
	uint8_t utf8_len;
	uint8_t utf8_need;
	uint8_t esc[12]; /* \uXXXX or \uXXXX\uXXXX as it stands on input */
	uint8_t esc_len;
	uint8_t esc_want;     /* bytes that an error about it still quotes */
	uint16_t high;        /* high surrogate that awaits its low one, or 0 */
	const char *bad;      /* what is wrong with it, behind what esc quotes; or NULL */
	struct base64 base64; /* STRING_BULK */
};

/* A token that is kept; the quotes of a string do not count, a number gets a NUL. */
#define SCAN_TOKEN_MAX (SCAN_STRING_MAX + 2)

/* One open bracket. */
struct scan_level {
	uint32_t keys;    /* length of `keys` when it was opened */
	uint16_t members; /* keys of this object so far */
	uint8_t outside;  /* what was expected in the container around it */
	bool duplicate;   /* the key of the current member was there before */
};

/* A top-level member, as far as its name matters here. */
enum scan_member { MEMBER_PLAIN, MEMBER_ID, MEMBER_ARGUMENTS };

struct scan {
	struct scan_sink *sink;
	size_t most;   /* bytes of one message */
	uint8_t event; /* enum scan_event reported by the last call */
	uint8_t lex;   /* enum scan_lex */

	/* The current token. */
	uint8_t number;                /* state of the number */
	bool keep;                     /* the number's text goes to `token` */
	uint8_t quote[SCAN_QUOTE_MAX]; /* how it began, for error texts */
	size_t quote_len;
	size_t token_len;  /* bytes of it on input */
	struct wbuf token; /* string: decoded; number: its text */
	struct scan_string string;

	/* The current message. */
	bool begun;
	bool broken;      /* error text is set; it is due when the brackets close */
	bool object;      /* the top-level value is an object */
	const char *over; /* the bound that was just met, or NULL */
	uint64_t size;    /* bytes so far */
	uint32_t tokens;
	int braces;   /* open minus closed; as in the reference each may pass zero */
	int brackets; /* alone, when the message is broken */
	uint32_t depth;
	uint8_t expect; /* index into the grammar */
	uint8_t member; /* enum scan_member; the top-level member we are in */
	bool bulk_next; /* the next value is a bulk member's */
	bool in_id;     /* output goes to `id` */
	struct scan_level levels[SCAN_DEPTH_MAX];

	/*
	 * The keys of all open objects, those of an inner one behind those of the outer,
	 * each as struct scan_key and bytes. Inner ones go when their object closes.
	 */
	struct wbuf keys;
	struct wbuf text;
	struct wbuf id;
	struct wbuf numbers; /* kind (1 byte), bits (8 bytes); by index */
	uint8_t bulk;        /* enum scan_bulk; not NONE: the sink holds something */
	uint64_t bulk_size;

	/* The last error; two fixed texts and a quotation between them. */
	char error[SCAN_QUOTE_MAX + 128];
	size_t error_len;
	bool error_reset;
	char note[128]; /* the same without the quotation */
	size_t note_len;
};

/* scan.c ------------------------------------------------------------------------- */

/* Set the error text to BEFORE, the quotation, AFTER. */
void scan_error_set(struct scan *s, const char *before, struct scan_text quoted,
		    const char *after);

/* The error is owed now: drop the message and go on in state LEX. */
void scan_abort(struct scan *s, enum scan_lex lex);

/* The same, with the text of a bound and LEX_SKIP. */
void scan_over(struct scan *s, const char *what);
extern const char scan_over_size[];

/* A token is complete; it may complete the message (see s->event). */
void scan_token(struct scan *s, uint8_t token);

/* What a string that begins here would be used for. */
enum scan_string_use scan_string_use(struct scan *s);

/* scan_lex.c --------------------------------------------------------------------- */

/* Classes of bytes. */
enum {
	BYTE_PLAIN = 1,    /* stands for itself in a string */
	BYTE_HIGH = 2,     /* 0x80 to 0xFD */
	BYTE_SPACE = 4,    /* white space between tokens */
	BYTE_PUNCT = 8,    /* a token by itself */
	BYTE_LOWER = 16,   /* keyword */
	BYTE_NUMBER = 32,  /* starts a number */
	BYTE_QUOTE = 64,   /* of either kind */
	BYTE_RESYNC = 128, /* ends what is skipped after an error */
};
extern const uint8_t scan_class[256];

/* How many bytes from P on are of the classes in MASK. */
static inline size_t scan_run(const uint8_t *p, size_t len, uint8_t mask)
{
	size_t n = 0;

	while (n < len && (scan_class[p[n]] & mask))
		n++;
	return n;
}

/* Consume up to LEN > 0 bytes in the state s->lex; returns how many. */
size_t scan_step(struct scan *s, const uint8_t *p, size_t len);

/* Begin a token: nothing of it has been seen. */
void scan_token_begin(struct scan *s, enum scan_lex lex);

/* Note bytes of the current token. */
void scan_token_bytes(struct scan *s, const uint8_t *p, size_t len);

/* The byte C can neither start nor continue a token here. */
void scan_stray(struct scan *s, uint8_t c);

/* scan_string.c ------------------------------------------------------------------ */

void scan_string_begin(struct scan *s, uint8_t quote);
size_t scan_string_step(struct scan *s, const uint8_t *p, size_t len);

#endif
