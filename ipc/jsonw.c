/*
 * ipc/jsonw.c - JSON text out: ASCII only, as the host reads it; text for people
 *
 * Runs in:   all processes
 * Input:     bytes of any origin; what is not UTF-8 is replaced
 * May touch: the buffer it is handed
 * Must not:  let a byte outside 0x20..0x7E into JSON
 */
#include "ipc/jsonw.h"

#include <stdio.h>
#include <string.h>

#include "ipc/base64.h"

#define REPLACEMENT 0xFFFDu

/* Text goes out in pieces, so that a buffer that runs full holds all but the last. */
#define RUN_MAX 128

/* Length of a sequence by its first byte's upper five bits; 0: no first byte. */
static const uint8_t utf8_len[32] = {
	1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, /* 0xxxxxxx */
	0, 0, 0, 0, 0, 0, 0, 0,                         /* 10xxxxxx */
	2, 2, 2, 2, 3, 3, 4, 0,
};

/* Smallest code point that needs a sequence of this length. */
static const uint32_t utf8_min[] = {0, 0, 0x80, 0x800, 0x10000};

size_t utf8_next(const uint8_t *s, size_t len, uint32_t *cp)
{
	size_t n = utf8_len[s[0] >> 3];
	uint32_t v = n == 1 ? s[0] : s[0] & (0x7Fu >> n);

	if (!n || n > len)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xC0) != 0x80)
			return 0;
		v = v << 6 | (s[i] & 0x3Fu);
	}
	if (v < utf8_min[n] || v > 0x10FFFF || (v >= 0xD800 && v <= 0xDFFF))
		return 0;
	*cp = v;
	return n;
}

static void put_unit(struct wbuf *w, uint32_t unit)
{
	static const char hex[] = "0123456789ABCDEF";
	const char text[] = {'\\',
			     'u',
			     hex[unit >> 12 & 15],
			     hex[unit >> 8 & 15],
			     hex[unit >> 4 & 15],
			     hex[unit & 15]};

	wbuf_put(w, text, sizeof(text));
}

static void put_escaped(struct wbuf *w, uint32_t cp)
{
	static const char shorts[0x80] = {
		['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n',  ['\r'] = 'r',
		['\t'] = 't', ['"'] = '"',  ['\\'] = '\\',
	};

	if (cp < sizeof(shorts) && shorts[cp]) {
		wbuf_u8(w, '\\');
		wbuf_u8(w, (uint8_t)shorts[cp]);
	} else if (cp < 0x10000) {
		put_unit(w, cp);
	} else {
		put_unit(w, 0xD800 + ((cp - 0x10000) >> 10));
		put_unit(w, 0xDC00 + ((cp - 0x10000) & 0x3FF));
	}
}

static bool is_plain(uint8_t c)
{
	return c >= 0x20 && c < 0x7F && c != '"' && c != '\\';
}

/* One character that is not plain; returns the bytes it takes. */
static size_t put_special(struct wbuf *w, const uint8_t *s, size_t len)
{
	uint32_t cp;
	size_t n = utf8_next(s, len, &cp);

	/* Clients with the reference's own parser refuse noncharacters (protocol 1.6). */
	if (n && ((cp & 0xFFFE) == 0xFFFE || (cp >= 0xFDD0 && cp <= 0xFDEF)))
		cp = REPLACEMENT;
	put_escaped(w, n ? cp : REPLACEMENT);
	return n ? n : 1;
}

void jsonw_str(struct wbuf *w, const char *s, size_t len)
{
	const uint8_t *p = (const uint8_t *)s;
	size_t at = 0;

	wbuf_u8(w, '"');
	while (at < len && !w->bad) {
		size_t run = at;

		while (run < len && run - at < RUN_MAX && is_plain(p[run]))
			run++;
		wbuf_put(w, p + at, run - at);
		at = run;
		if (at < len && !is_plain(p[at]))
			at += put_special(w, p + at, len - at);
	}
	wbuf_u8(w, '"');
}

void jsonw_cstr(struct wbuf *w, const char *s)
{
	jsonw_str(w, s, strlen(s));
}

void jsonw_i64(struct wbuf *w, int64_t v)
{
	if (v < 0)
		wbuf_u8(w, '-');
	jsonw_u64(w, v < 0 ? -(uint64_t)v : (uint64_t)v);
}

void jsonw_u64(struct wbuf *w, uint64_t v)
{
	char text[20];
	size_t at = sizeof(text);

	do
		text[--at] = (char)('0' + v % 10);
	while (v /= 10);
	wbuf_put(w, text + at, sizeof(text) - at);
}

void jsonw_num(struct wbuf *w, double v)
{
	char text[32];

	snprintf(text, sizeof(text), "%.17g", v);
	wbuf_text(w, text);
}

void jsonw_bool(struct wbuf *w, bool v)
{
	wbuf_text(w, v ? "true" : "false");
}

void jsonw_b64_piece(struct wbuf *w, const uint8_t *p, size_t len)
{
	uint8_t *out = wbuf_room(w, BASE64_TEXT_LEN(len));

	if (out)
		base64_encode(p, len, out);
}

void jsonw_b64(struct wbuf *w, const uint8_t *p, size_t len)
{
	wbuf_u8(w, '"');
	jsonw_b64_piece(w, p, len);
	wbuf_u8(w, '"');
}

static void put_bytes(struct wbuf *w, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		char text[8];

		snprintf(text, sizeof(text), "\\x%02x", p[i]);
		wbuf_text(w, text);
	}
}

void text_escaped(struct wbuf *w, const char *s, size_t len, text_pass *pass,
		  const void *context)
{
	const uint8_t *p = (const uint8_t *)s;

	for (size_t i = 0, n; i < len && !w->bad; i += n) {
		uint32_t cp;

		n = utf8_next(p + i, len - i, &cp);
		if (n && pass(context, cp)) {
			wbuf_put(w, p + i, n);
			continue;
		}
		n = n ? n : 1;
		put_bytes(w, p + i, n);
	}
}

static const struct {
	uint32_t first, last;
} hidden[] = {
	{0, 0x1f},        {0x7f, 0x9f},     {0xad, 0xad},       {0x61c, 0x61c},
	{0x180e, 0x180e}, {0x200b, 0x200f}, {0x2028, 0x202e},   {0x2060, 0x206f},
	{0xfeff, 0xfeff}, {0xfff9, 0xfffb}, {0xe0000, 0xe0fff},
};

bool text_is_seen(const void *context, uint32_t cp)
{
	(void)context;
	for (size_t i = 0; i < ARRAY_SIZE(hidden); i++)
		if (cp >= hidden[i].first && cp <= hidden[i].last)
			return false;
	return true;
}
