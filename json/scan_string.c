/*
 * json/scan_string.c - the scanner: strings, decoded and validated as they stream
 *
 * Runs in:   frontend, posternctl
 * Input:     bytes of the host: hostile
 * May touch: the scanner's buffers; the bulk sink
 * Must not:  keep a bulk string, pass on what is not UTF-8
 *
 * Two things can be wrong with a string. A byte that cannot be in one is a lexical
 * error at once. A bad escape or bad UTF-8 is a grammar error: the string is read to its
 * end, and the first such error is reported if the string stands where it may.
 */
#include "json/scan_impl.h"

#include "ipc/jsonw.h"

#include <string.h>

/* Characters of base64 decoded at once. */
#define BULK_PIECE 16384u

static const char bad_escape[] = "invalid escape sequence in string";
static const char bad_unicode[] = " is not a valid Unicode character";
static const char bad_utf8[] = "invalid UTF-8 sequence in string";
static const char bad_nul[] = "NUL character in string";

void scan_string_begin(struct scan *s, uint8_t quote)
{
	s->lex = LEX_STRING;
	s->string = (struct scan_string){
		.quote = quote,
		.use = (uint8_t)scan_string_use(s),
	};
	scan_token_bytes(s, &quote, 1);
	if (s->string.use != STRING_BULK)
		return;
	s->bulk = s->sink->begin(s->sink) < 0 ? SCAN_BULK_TOO_BIG : SCAN_BULK_OK;
	s->bulk_size = 0;
}

/* WHAT is wrong with the string; from here on only its end is looked for. */
static void bad(struct scan *s, const char *what, size_t quoted, size_t want)
{
	s->string.bad = what;
	s->string.esc_len = (uint8_t)quoted;
	s->string.esc_want = (uint8_t)want;
	s->string.use = STRING_SKIP;
	s->string.at = AT_CHAR;
}

static void put_bulk(struct scan *s, const uint8_t *p, size_t len)
{
	uint8_t out[BASE64_OUT_MAX(BULK_PIECE)];
	struct base64 *b = &s->string.base64;
	size_t most = 0;

	while (len && s->bulk != SCAN_BULK_INVALID) {
		size_t piece = min_size(len, BULK_PIECE);
		size_t n = base64_decode(b, p, piece, out);

		/* What is wrong with the text counts more than what the sink can take. */
		if (b->invalid)
			s->bulk = SCAN_BULK_INVALID;
		else if (s->bulk == SCAN_BULK_OK && n &&
			 s->sink->write(s->sink, out, n) < 0)
			s->bulk = SCAN_BULK_TOO_BIG;
		s->bulk_size += n;
		p += piece;
		len -= piece;
		if (n > most)
			most = n;
	}
	explicit_bzero(out, most);
}

/* Decoded bytes of the string. */
static void put(struct scan *s, const uint8_t *p, size_t len)
{
	if (s->string.use == STRING_KEEP)
		wbuf_put(&s->token, p, len);
	else if (s->string.use == STRING_BULK)
		put_bulk(s, p, len);
}

/* Noncharacters are refused, as the reference does (protocol 1.6). */
static bool is_character(uint32_t cp)
{
	return cp <= 0x10FFFF && (cp < 0xD800 || cp > 0xDFFF) &&
	       (cp < 0xFDD0 || cp > 0xFDEF) && (cp & 0xFFFE) != 0xFFFE;
}

/* Bytes of the string as they stand on input; false if a bound was met. */
static bool note(struct scan *s, const uint8_t *p, size_t len)
{
	bool bounded = s->string.use == STRING_CHECK || s->string.use == STRING_KEEP;

	scan_token_bytes(s, p, len);
	if (!bounded || s->token_len <= SCAN_TOKEN_MAX)
		return true;
	scan_over(s, scan_over_size);
	return false;
}

/* What an error about \uXXXX quotes reaches beyond it if digits are missing. */
static void quote_more(struct scan_string *str, const uint8_t *p, size_t len)
{
	size_t n = min_size(len, str->esc_want);

	memcpy(str->esc + str->esc_len, p, n);
	str->esc_len = (uint8_t)(str->esc_len + n);
	str->esc_want = (uint8_t)(str->esc_want - n);
}

/* Escapes ------------------------------------------------------------------------ */

static void put_cp(struct scan *s, uint32_t cp)
{
	uint8_t out[4];
	size_t n = cp < 0x80 ? 1 : cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
	static const uint8_t lead[] = {0, 0, 0xC0, 0xE0, 0xF0};

	for (size_t i = n - 1; i > 0; i--, cp >>= 6)
		out[i] = (uint8_t)(0x80 | (cp & 0x3F));
	out[0] = (uint8_t)(lead[n] | cp);
	put(s, out, n);
}

static int hex_value(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The four digits at the end of esc are complete. */
static void hex_done(struct scan *s)
{
	struct scan_string *str = &s->string;
	uint32_t cp = 0;

	for (int i = 4; i > 0; i--)
		cp = cp << 4 | (uint32_t)hex_value(str->esc[str->esc_len - i]);
	str->at = AT_CHAR;
	if (!str->high && cp >= 0xD800 && cp <= 0xDBFF) {
		str->high = (uint16_t)cp;
		str->at = AT_PAIR;
		return;
	}
	if (str->high && (cp < 0xDC00 || cp > 0xDFFF)) {
		bad(s, bad_unicode, 6, 0);
		return;
	}
	if (str->high)
		cp = 0x10000 + ((str->high & 0x3FFu) << 10 | (cp & 0x3FF));
	str->high = 0;
	if (!cp)
		bad(s, bad_nul, 0, 0);
	else if (!is_character(cp))
		bad(s, bad_unicode, str->esc_len, 0);
	else
		put_cp(s, cp);
}

/*
 * The functions below look at one byte C, each in one of the states `at`. They return
 * true if it is consumed, false if it is to be looked at in the state left behind.
 */

static bool at_hex(struct scan *s, uint8_t c)
{
	struct scan_string *str = &s->string;

	if (hex_value(c) < 0) {
		/* The reference quotes four bytes, digits or not; of a pair the first. */
		if (str->high)
			bad(s, bad_unicode, 6, 0);
		else
			bad(s, bad_unicode, str->esc_len, 6u - str->esc_len);
		return false;
	}
	str->esc[str->esc_len++] = c;
	if (str->esc_len == 6 || str->esc_len == 12)
		hex_done(s);
	return true;
}

static void begin_hex(struct scan_string *str, size_t at)
{
	str->esc[at] = '\\';
	str->esc[at + 1] = 'u';
	str->esc_len = (uint8_t)(at + 2);
	str->at = AT_HEX;
}

static bool at_escape(struct scan *s, uint8_t c)
{
	static const uint8_t decoded[256] = {
		['"'] = '"',  ['\''] = '\'', ['\\'] = '\\', ['/'] = '/',  ['b'] = '\b',
		['f'] = '\f', ['n'] = '\n',  ['r'] = '\r',  ['t'] = '\t',
	};

	s->string.at = AT_CHAR;
	quote_more(&s->string, &c, 1);
	if (s->string.use == STRING_SKIP)
		return true;
	if (c == 'u')
		begin_hex(&s->string, 0);
	else if (decoded[c])
		put(s, &decoded[c], 1);
	else
		bad(s, bad_escape, 0, 0);
	return true;
}

static bool at_pair(struct scan *s, uint8_t c)
{
	s->string.at = AT_PAIR_U;
	if (c == '\\')
		return true;
	bad(s, bad_unicode, 6, 0);
	return false;
}

static bool at_pair_u(struct scan *s, uint8_t c)
{
	if (c == 'u') {
		begin_hex(&s->string, 6);
		return true;
	}
	/* To the lexer it is an escape like any other. */
	bad(s, bad_unicode, 6, 0);
	return true;
}

/* UTF-8 -------------------------------------------------------------------------- */

/* C0 is overlong, but begins the reference's form of NUL, which has its own text. */
static size_t utf8_need(uint8_t c)
{
	return c < 0xC0 ? 0 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : c < 0xF8 ? 4 : 0;
}

static bool begin_utf8(struct scan *s, uint8_t c)
{
	struct scan_string *str = &s->string;

	str->utf8[0] = c;
	str->utf8_len = 1;
	str->utf8_need = (uint8_t)utf8_need(c);
	str->at = AT_UTF8;
	if (!str->utf8_need)
		bad(s, bad_utf8, 0, 0);
	return true;
}

static bool at_utf8(struct scan *s, uint8_t c)
{
	struct scan_string *str = &s->string;
	uint32_t cp;

	if ((c & 0xC0) != 0x80) {
		bad(s, bad_utf8, 0, 0);
		return false;
	}
	str->utf8[str->utf8_len++] = c;
	if (str->utf8_len < str->utf8_need)
		return true;
	str->at = AT_CHAR;
	if (str->utf8[0] == 0xC0 && c == 0x80)
		bad(s, bad_nul, 0, 0);
	else if (!utf8_next(str->utf8, str->utf8_len, &cp) || !is_character(cp))
		bad(s, bad_utf8, 0, 0);
	else
		put(s, str->utf8, str->utf8_len);
	return true;
}

/* -------------------------------------------------------------------------------- */

static void string_end(struct scan *s)
{
	s->lex = LEX_START;
	scan_token(s, TOKEN_STRING);
}

static bool at_char(struct scan *s, uint8_t c)
{
	quote_more(&s->string, &c, 1);
	if (c == s->string.quote)
		string_end(s);
	else if (c == '\\')
		s->string.at = AT_ESCAPE;
	else if (s->string.use == STRING_SKIP)
		return true;
	else if (scan_class[c] & BYTE_HIGH)
		return begin_utf8(s, c);
	else
		put(s, &c, 1);
	return true;
}

/* One byte that is no part of a run. */
static void string_byte(struct scan *s, uint8_t c)
{
	static bool (*const looks[AT_COUNT])(struct scan *, uint8_t) = {
		[AT_CHAR] = at_char, [AT_ESCAPE] = at_escape, [AT_HEX] = at_hex,
		[AT_PAIR] = at_pair, [AT_PAIR_U] = at_pair_u, [AT_UTF8] = at_utf8,
	};
	bool consumed = false;

	if (scan_class[c] & BYTE_RESYNC || c == '\t') {
		scan_stray(s, c);
		return;
	}
	if (!note(s, &c, 1))
		return;
	while (!consumed)
		consumed = looks[s->string.at](s, c);
}

/* Sixteen bytes at once; to compilers for any processor. */
typedef int8_t block __attribute__((vector_size(16)));

/* Whole blocks from P on that are BYTE_PLAIN throughout: how many bytes. */
static size_t plain_blocks(const uint8_t *p, size_t len)
{
	size_t n = 0;

	for (; len - n >= sizeof(block); n += sizeof(block)) {
		uint64_t good[2];
		block b;

		memcpy(&b, p + n, sizeof(b));
		/* From 0x80 on they are negative. */
		b = (block)((b >= ' ') & (b != '"') & (b != '\'') & (b != '\\'));
		memcpy(good, &b, sizeof(b));
		if ((good[0] & good[1]) != UINT64_MAX)
			break;
	}
	return n;
}

/* Bytes of the string from P on that end nothing and begin nothing. */
static size_t run_of(const struct scan *s, const uint8_t *p, size_t len)
{
	size_t n;

	if (s->string.at != AT_CHAR)
		return 0;
	if (s->string.use == STRING_SKIP)
		return scan_run(p, len, BYTE_PLAIN | BYTE_HIGH);
	n = plain_blocks(p, len);
	return n + scan_run(p + n, len - n, BYTE_PLAIN);
}

size_t scan_string_step(struct scan *s, const uint8_t *p, size_t len)
{
	size_t n = run_of(s, p, len);

	if (!n) {
		string_byte(s, *p);
		return 1;
	}
	if (note(s, p, n)) {
		quote_more(&s->string, p, n);
		put(s, p, n);
	}
	return n;
}
