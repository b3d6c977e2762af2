/*
 * json/scan_lex.c - the scanner: bytes to tokens
 *
 * Runs in:   frontend, posternctl
 * Input:     bytes of the host: hostile
 * May touch: the scanner's buffers
 * Must not:  look ahead or back: input may be cut anywhere
 */
#include "json/scan_impl.h"

#include <string.h>

/* NUL to 0x1F are no part of a string; TAB alone ends no recovery (protocol 1.5). */
const uint8_t scan_class[256] = {
	[0x00 ... 0x08] = BYTE_RESYNC,
	['\t'] = BYTE_SPACE,
	['\n'] = BYTE_SPACE | BYTE_RESYNC,
	[0x0B ... 0x0C] = BYTE_RESYNC,
	['\r'] = BYTE_SPACE | BYTE_RESYNC,
	[0x0E ... 0x1F] = BYTE_RESYNC,
	[' '] = BYTE_PLAIN | BYTE_SPACE,
	['!'] = BYTE_PLAIN,
	['"'] = BYTE_QUOTE,
	['#' ... '&'] = BYTE_PLAIN,
	['\''] = BYTE_QUOTE,
	['(' ... '+'] = BYTE_PLAIN,
	[','] = BYTE_PLAIN | BYTE_PUNCT,
	['-'] = BYTE_PLAIN | BYTE_NUMBER,
	['.' ... '/'] = BYTE_PLAIN,
	['0' ... '9'] = BYTE_PLAIN | BYTE_NUMBER,
	[':'] = BYTE_PLAIN | BYTE_PUNCT,
	[';' ... 'Z'] = BYTE_PLAIN,
	['['] = BYTE_PLAIN | BYTE_PUNCT,
	['\\'] = 0,
	[']'] = BYTE_PLAIN | BYTE_PUNCT,
	['^' ... '`'] = BYTE_PLAIN,
	['a' ... 'z'] = BYTE_PLAIN | BYTE_LOWER,
	['{'] = BYTE_PLAIN | BYTE_PUNCT,
	['|'] = BYTE_PLAIN,
	['}'] = BYTE_PLAIN | BYTE_PUNCT,
	['~' ... 0x7F] = BYTE_PLAIN,
	[0x80 ... 0xFD] = BYTE_HIGH,
	[0xFE ... 0xFF] = BYTE_RESYNC,
};

void scan_token_begin(struct scan *s, enum scan_lex lex)
{
	s->lex = (uint8_t)lex;
	s->begun = true;
	s->quote_len = 0;
	s->token_len = 0;
	s->token.len = 0;
	s->token.bad = false;
}

void scan_token_bytes(struct scan *s, const uint8_t *p, size_t len)
{
	size_t n = min_size(len, sizeof(s->quote) - s->quote_len);

	memcpy(s->quote + s->quote_len, p, n);
	s->quote_len += n;
	s->token_len += len;
}

void scan_stray(struct scan *s, uint8_t c)
{
	/* The reference quotes a C string, so a NUL is not there. */
	if (c)
		scan_token_bytes(s, &c, 1);
	scan_error_set(s, "JSON parse error, stray '",
		       (struct scan_text){(const char *)s->quote, s->quote_len}, "'");
	s->error_reset = c >= 0xFE;
	scan_abort(s, LEX_RECOVER);
}

/* Numbers ------------------------------------------------------------------------ */

/* Where in a number the next byte stands: behind ... */
enum {
	NUM_MINUS, /* the sign, or nothing */
	NUM_ZERO,  /* a leading zero */
	NUM_INT,
	NUM_POINT,
	NUM_FRAC,
	NUM_E,
	NUM_ESIGN,
	NUM_EXP,
	NUM_STATES,
	NUM_END = NUM_STATES, /* the byte is not part of it */
	NUM_BAD,
};

enum {
	DIGIT_NONE,
	DIGIT_ZERO,
	DIGIT_OTHER,
	DIGIT_POINT,
	DIGIT_E,
	DIGIT_SIGN,
	DIGIT_COUNT
};

static const uint8_t digit_class[256] = {
	['0'] = DIGIT_ZERO,  ['1' ... '9'] = DIGIT_OTHER,
	['.'] = DIGIT_POINT, ['e'] = DIGIT_E,
	['E'] = DIGIT_E,     ['+'] = DIGIT_SIGN,
	['-'] = DIGIT_SIGN,
};

/* The lone zero takes no exponent, which differs from JSON (protocol 1.6). */
static const uint8_t number_next[NUM_STATES][DIGIT_COUNT] = {
	/* clang-format off */
	/*               none     0         1-9       .          e E      + -       */
	[NUM_MINUS] = {NUM_BAD, NUM_ZERO, NUM_INT,  NUM_BAD,   NUM_BAD, NUM_BAD},
	[NUM_ZERO]  = {NUM_END, NUM_BAD,  NUM_BAD,  NUM_POINT, NUM_END, NUM_END},
	[NUM_INT]   = {NUM_END, NUM_INT,  NUM_INT,  NUM_POINT, NUM_E,   NUM_END},
	[NUM_POINT] = {NUM_BAD, NUM_FRAC, NUM_FRAC, NUM_BAD,   NUM_BAD, NUM_BAD},
	[NUM_FRAC]  = {NUM_END, NUM_FRAC, NUM_FRAC, NUM_END,   NUM_E,   NUM_END},
	[NUM_E]     = {NUM_BAD, NUM_EXP,  NUM_EXP,  NUM_BAD,   NUM_BAD, NUM_ESIGN},
	[NUM_ESIGN] = {NUM_BAD, NUM_EXP,  NUM_EXP,  NUM_BAD,   NUM_BAD, NUM_BAD},
	[NUM_EXP]   = {NUM_END, NUM_EXP,  NUM_EXP,  NUM_END,   NUM_END, NUM_END},
	/* clang-format on */
};

/* Bytes of a number; false if a bound was met. */
static bool number_bytes(struct scan *s, const uint8_t *p, size_t len)
{
	scan_token_bytes(s, p, len);
	if (s->keep && s->token_len > SCAN_STRING_MAX) {
		scan_over(s, scan_over_size);
		return false;
	}
	if (s->keep)
		wbuf_put(&s->token, p, len);
	return true;
}

static size_t step_number(struct scan *s, const uint8_t *p, size_t len)
{
	size_t n = 0;
	uint8_t next = s->number;

	while (n < len) {
		next = number_next[s->number][digit_class[p[n]]];
		if (next >= NUM_STATES)
			break;
		s->number = next;
		n++;
	}
	if (!number_bytes(s, p, n))
		return n;
	if (next == NUM_END) {
		s->lex = LEX_START;
		scan_token(s, TOKEN_NUMBER);
	} else if (next == NUM_BAD) {
		scan_stray(s, p[n]);
		n++;
	}
	return n;
}

/* The rest ----------------------------------------------------------------------- */

static size_t step_keyword(struct scan *s, const uint8_t *p, size_t len)
{
	size_t n = scan_run(p, len, BYTE_LOWER);

	scan_token_bytes(s, p, n);
	if (n < len) {
		s->lex = LEX_START;
		scan_token(s, TOKEN_KEYWORD);
	}
	return n;
}

static size_t step_start(struct scan *s, const uint8_t *p, size_t len)
{
	uint8_t cls = scan_class[*p];

	if (cls & BYTE_SPACE)
		return scan_run(p, len, BYTE_SPACE);
	scan_token_begin(s, LEX_START);
	if (cls & BYTE_PUNCT) {
		scan_token(s, *p);
	} else if (cls & BYTE_QUOTE) {
		scan_string_begin(s, *p);
	} else if (cls & BYTE_LOWER) {
		s->lex = LEX_KEYWORD;
		return step_keyword(s, p, len);
	} else if (cls & BYTE_NUMBER) {
		s->lex = LEX_NUMBER;
		s->number = NUM_MINUS;
		s->keep = scan_string_use(s) != STRING_SKIP;
		if (*p != '-')
			return step_number(s, p, len);
		number_bytes(s, p, 1);
	} else {
		scan_stray(s, *p);
	}
	return 1;
}

/* What ends the search is not consumed: it begins the new input. */
static size_t search(struct scan *s, const uint8_t *p, size_t len, uint8_t mask)
{
	size_t n = 0;

	while (n < len && !(scan_class[p[n]] & mask))
		n++;
	if (n < len)
		s->lex = LEX_START;
	return n;
}

static size_t step_recover(struct scan *s, const uint8_t *p, size_t len)
{
	return search(s, p, len, BYTE_RESYNC | BYTE_PUNCT);
}

static size_t step_skip(struct scan *s, const uint8_t *p, size_t len)
{
	return search(s, p, len, BYTE_RESYNC);
}

size_t scan_step(struct scan *s, const uint8_t *p, size_t len)
{
	static size_t (*const steps[LEX_COUNT])(struct scan *, const uint8_t *,
						size_t) = {
		[LEX_START] = step_start,     [LEX_STRING] = scan_string_step,
		[LEX_NUMBER] = step_number,   [LEX_KEYWORD] = step_keyword,
		[LEX_RECOVER] = step_recover, [LEX_SKIP] = step_skip,
	};

	return steps[s->lex](s, p, len);
}
