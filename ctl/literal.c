/*
 * ctl/literal.c - texts of the host as literals of the policy language
 *
 * Runs in:   posternctl, as the user who calls it
 * Input:     text of records: any bytes
 * May touch: the buffer it is handed
 * Must not:  let a character of the text mean anything, or hide
 */
#include "ctl/literal.h"

#include <string.h>

#include "ipc/jsonw.h"

/* Bytes of a line that already has an element, with another; the language takes 4095. */
#define LINE_FULL 2000

#define REPLACEMENT 0xFFFDu

const char *literal_unfit(const char *text)
{
	const uint8_t *p = (const uint8_t *)text, *end = p + strlen(text);
	uint32_t cp;

	for (size_t n; p < end; p += n) {
		n = utf8_next(p, (size_t)(end - p), &cp);
		/* Records have it in the place of what is no UTF-8. */
		if (!n || cp == REPLACEMENT)
			return "bytes that are no text, which records do not keep";
		if (cp == '\t')
			continue;
		if (cp < 0x20 || cp == 0x7F)
			return "a control character, which no policy may hold";
		if (!text_is_seen(NULL, cp))
			return "a character that nobody would see in the policy";
	}
	return NULL;
}

static size_t quoted_length(const char *text)
{
	size_t n = 2;

	for (; *text; text++)
		n += 1 + (*text == '"' || *text == '\\');
	return n;
}

static void put_quoted(struct wbuf *w, const char *text)
{
	wbuf_text(w, "\"");
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			wbuf_text(w, "\\");
		wbuf_put(w, text, 1);
	}
	wbuf_text(w, "\"");
}

void literals_add(struct literals *l, const char *text)
{
	size_t room = quoted_length(text) + strlen(" ; ");

	if (l->begin && l->w->len - l->begin + room > LINE_FULL)
		literals_end(l);
	if (l->begin) {
		wbuf_text(l->w, " ; ");
	} else {
		wbuf_text(l->w, l->key);
		wbuf_text(l->w, " = ");
		l->begin = l->w->len;
	}
	put_quoted(l->w, text);
}

void literals_end(struct literals *l)
{
	if (l->begin)
		wbuf_text(l->w, "\n");
	l->begin = 0;
}

void literal_line(struct wbuf *w, const char *key, const char *text)
{
	struct literals l = {.w = w, .key = key};

	literals_add(&l, text);
	literals_end(&l);
}

static int hex(char c)
{
	const char *digits = "0123456789abcdef";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* The byte that stands at P as \xNN; -1: none does. */
static int escaped_byte(const char *p)
{
	int high = p[0] == '\\' && p[1] == 'x' ? hex(p[2]) : -1;
	int low = high < 0 ? -1 : hex(p[3]);

	return low < 0 ? -1 : high << 4 | low;
}

char *literal_of_record(const char *text, bool escapes, const char *same)
{
	char *copy = strdup(text), *out = copy;

	if (!copy || (same && streq(text, same)))
		return copy;
	for (const char *p = text; *p; p++) {
		int byte = escaped_byte(p);

		if (byte == 0 || (byte > 0 && !escapes)) {
			free(copy);
			return NULL;
		}
		if (byte < 0) {
			*out++ = *p;
			continue;
		}
		memcpy(out++, &(uint8_t){(uint8_t)byte}, 1);
		p += 3;
	}
	*out = '\0';
	return copy;
}
