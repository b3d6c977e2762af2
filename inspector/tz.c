/*
 * inspector/tz.c - local time at one moment, from a time zone file or a rule
 *
 * Runs in:   inspector
 * Input:     a TZif file (RFC 8536) or a POSIX TZ string: any bytes
 * May touch: the bytes it is handed
 * Must not:  open anything, as libc's tzset does for every string it is given
 */
#include "inspector/tz.h"

#include <string.h>

#include "ipc/wire.h"

#define MINUTE 60
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)

/* ---- a rule: CET-1CEST,M3.5.0,M10.5.0/3 ---- */

/* The day of a change, and the time on it. */
struct change {
	enum { DAY_JULIAN, DAY_OF_YEAR, DAY_OF_MONTH } form;
	int day;  /* Jn: 1 to 365 without 29 February. n: 0 to 365. Mm.w.d: 0 is Sunday */
	int week; /* 1 to 5; 5 is the last */
	int month; /* 1 to 12 */
	int32_t time;
};

struct cursor {
	const char *p;
	const char *end;
};

static bool next_is(const struct cursor *c, char what)
{
	return c->p < c->end && *c->p == what;
}

static bool take(struct cursor *c, char what)
{
	if (!next_is(c, what))
		return false;
	c->p++;
	return true;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_sign_or_digit(char c)
{
	return c == '+' || c == '-' || is_digit(c);
}

static bool is_letter(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool take_number(struct cursor *c, int min, int max, int *out)
{
	int v = 0;

	if (c->p == c->end || !is_digit(*c->p))
		return false;
	for (; c->p < c->end && is_digit(*c->p); c->p++) {
		v = v * 10 + (*c->p - '0');
		if (v > max)
			return false;
	}
	*out = v;
	return v >= min;
}

/* [+-]hh[:mm[:ss]] in seconds. */
static bool take_time(struct cursor *c, int max_hours, int32_t *out)
{
	bool negative = take(c, '-');
	int h;
	int m = 0;
	int s = 0;

	if (!negative)
		take(c, '+');
	if (!take_number(c, 0, max_hours, &h))
		return false;
	if (take(c, ':')) {
		if (!take_number(c, 0, 59, &m))
			return false;
		if (take(c, ':') && !take_number(c, 0, 59, &s))
			return false;
	}
	*out = h * HOUR + m * MINUTE + s;
	if (negative)
		*out = -*out;
	return true;
}

/* Three or more letters, or anything of letters, digits and signs between < and >. */
static bool take_name(struct cursor *c, struct tz_local *out)
{
	bool quoted = take(c, '<');
	const char *start = c->p;

	while (c->p < c->end && (is_letter(*c->p) || (quoted && is_sign_or_digit(*c->p))))
		c->p++;
	out->zone = start;
	out->zone_len = (size_t)(c->p - start);
	return out->zone_len >= 3 && (!quoted || take(c, '>'));
}

/* POSIX counts offsets westward. */
static bool take_offset(struct cursor *c, struct tz_local *out)
{
	if (!take_time(c, 24, &out->offset))
		return false;
	out->offset = -out->offset;
	return true;
}

static bool take_change(struct cursor *c, struct change *to)
{
	bool ok;

	*to = (struct change){.time = 2 * HOUR};
	if (take(c, 'M')) {
		to->form = DAY_OF_MONTH;
		ok = take_number(c, 1, 12, &to->month) && take(c, '.') &&
		     take_number(c, 1, 5, &to->week) && take(c, '.') &&
		     take_number(c, 0, 6, &to->day);
	} else if (take(c, 'J')) {
		to->form = DAY_JULIAN;
		ok = take_number(c, 1, 365, &to->day);
	} else {
		to->form = DAY_OF_YEAR;
		ok = take_number(c, 0, 365, &to->day);
	}
	/* A week before or after is what RFC 8536 allows beyond POSIX. */
	return ok && (!take(c, '/') || take_time(c, 167, &to->time));
}

static bool is_leap(int64_t year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* Days from 1970-01-01 to the first of January; YEAR >= 1970. */
static int64_t year_start(int64_t year)
{
	int64_t before = year - 1;

	return before * 365 + before / 4 - before / 100 + before / 400 - 719162;
}

/* The year in which day DAYS (>= 0) since 1970-01-01 lies. */
static int64_t year_of(int64_t days)
{
	int64_t year = 1970 + days / 366;

	while (year_start(year + 1) <= days)
		year++;
	return year;
}

/* Day of the year of Mm.w.d. */
static int64_t day_of_month_rule(const struct change *c, int64_t year)
{
	static const int16_t before[] = {0,   31,  59,  90,  120, 151, 181,
					 212, 243, 273, 304, 334, 365};
	int leap_first = is_leap(year) && c->month > 2;
	int leap_next = is_leap(year) && c->month >= 2;
	int64_t first = before[c->month - 1] + leap_first;
	int64_t next = before[c->month] + leap_next;
	/* 1970-01-01 was a Thursday. */
	int64_t weekday = (year_start(year) + first + 4) % 7;
	int64_t day = first + (c->day - weekday + 7) % 7 + (c->week - 1) * 7;

	return day < next ? day : day - 7;
}

/* The moment of the change in YEAR, by the local clock that runs before it. */
static int64_t change_in(const struct change *c, int64_t year)
{
	int64_t day = c->day;

	if (c->form == DAY_OF_MONTH)
		day = day_of_month_rule(c, year);
	else if (c->form == DAY_JULIAN)
		day += is_leap(year) && c->day > 59 ? 0 : -1;
	return (year_start(year) + day) * DAY + c->time;
}

/* Standard time, and summer time if there is one (SUMMER). */
struct rule {
	struct tz_local std;
	struct tz_local dst;
	struct change start;
	struct change stop;
	bool summer;
};

static bool take_summer(struct cursor *c, struct rule *r)
{
	/* When a rule names summer time but no days, these are used everywhere. */
	static const char usual[] = ",M3.2.0,M11.1.0";
	struct cursor days;

	if (!take_name(c, &r->dst))
		return false;
	r->dst.offset = r->std.offset + HOUR;
	if (c->p < c->end && *c->p != ',' && !take_offset(c, &r->dst))
		return false;
	days = c->p < c->end ? *c : (struct cursor){usual, usual + sizeof(usual) - 1};
	return take(&days, ',') && take_change(&days, &r->start) && take(&days, ',') &&
	       take_change(&days, &r->stop) && days.p == days.end;
}

static bool parse_rule(struct cursor c, struct rule *r)
{
	*r = (struct rule){0};
	if (!take_name(&c, &r->std) || !take_offset(&c, &r->std))
		return false;
	r->summer = c.p < c.end;
	return !r->summer || take_summer(&c, r);
}

static bool is_summer(const struct rule *r, int64_t now)
{
	int64_t year = year_of((now + r->std.offset) / DAY);
	int64_t from = change_in(&r->start, year) - r->std.offset;
	int64_t until = change_in(&r->stop, year) - r->dst.offset;

	/* South of the equator summer lasts over the end of the year. */
	return from < until ? now >= from && now < until : now >= from || now < until;
}

bool tz_of_rule(const char *rule, size_t len, int64_t now, struct tz_local *out)
{
	struct rule r;

	/* Two days in, no offset leads before 1970. */
	if (!len || now < 2 * DAY || now >= year_start(10000) * DAY ||
	    !parse_rule((struct cursor){rule, rule + len}, &r))
		return false;
	*out = r.summer && is_summer(&r, now) ? r.dst : r.std;
	return true;
}

/* ---- a file ---- */

/* One data block: its counts, then where its arrays begin. */
struct block {
	uint8_t version;
	uint32_t isut;
	uint32_t isstd;
	uint32_t leaps;
	uint32_t times;
	uint32_t types;
	uint32_t chars;
	size_t width; /* bytes of a time: 4 in the first block, 8 in the second */
	const uint8_t *time;
	const uint8_t *index; /* the type that each time begins */
	const uint8_t *type;
	const char *name;
};

#define TYPE_LEN 6

/* A big-endian number of WIDTH bytes, in two's complement. */
static int64_t get_be(const uint8_t *p, size_t width)
{
	uint64_t v = p[0] & 0x80 ? UINT64_MAX : 0;

	for (size_t i = 0; i < width; i++)
		v = v << 8 | p[i];
	return (int64_t)v;
}

static uint32_t take_count(struct rbuf *r)
{
	const uint8_t *p = rbuf_take(r, 4);

	return p ? (uint32_t)get_be(p, 4) : 0;
}

static bool take_block(struct rbuf *r, size_t width, struct block *b)
{
	const uint8_t *magic = rbuf_take(r, 4);

	*b = (struct block){.width = width, .version = rbuf_u8(r)};
	rbuf_take(r, 15);
	b->isut = take_count(r);
	b->isstd = take_count(r);
	b->leaps = take_count(r);
	b->times = take_count(r);
	b->types = take_count(r);
	b->chars = take_count(r);
	b->time = rbuf_take(r, b->times * width);
	b->index = rbuf_take(r, b->times);
	b->type = rbuf_take(r, (size_t)b->types * TYPE_LEN);
	b->name = (const char *)rbuf_take(r, b->chars);
	rbuf_take(r, b->leaps * (width + 4));
	rbuf_take(r, b->isstd);
	rbuf_take(r, b->isut);
	return !r->bad && memcmp(magic, "TZif", 4) == 0;
}

/* The rule between the two line feeds that end a file of version 2 or later. */
static bool take_footer(struct rbuf *r, struct cursor *rule)
{
	const uint8_t *first = rbuf_take(r, 1);
	const uint8_t *last = memchr(r->p, '\n', rbuf_left(r));

	if (r->bad || *first != '\n' || !last)
		return false;
	*rule = (struct cursor){(const char *)r->p, (const char *)last};
	return true;
}

static bool type_at(const struct block *b, uint32_t index, struct tz_local *out)
{
	const uint8_t *type;
	int64_t offset;
	uint32_t name;

	if (index >= b->types)
		return false;
	type = b->type + (size_t)index * TYPE_LEN;
	offset = get_be(type, 4);
	name = type[5];
	/* The range of RFC 8536: more than 25 hours west, 26 east is no offset. */
	if (name >= b->chars || offset <= -25 * HOUR || offset >= 26 * HOUR)
		return false;
	out->offset = (int32_t)offset;
	out->zone = b->name + name;
	out->zone_len = strnlen(out->zone, b->chars - name);
	return true;
}

bool tz_of_file(const void *file, size_t len, int64_t now, struct tz_local *out)
{
	struct rbuf r = rbuf_of(file, len);
	struct cursor rule = {NULL, NULL};
	uint32_t at = 0;
	struct block b;

	if (!take_block(&r, 4, &b))
		return false;
	if (b.version && (!take_block(&r, 8, &b) || !take_footer(&r, &rule)))
		return false;
	while (at < b.times && get_be(b.time + at * b.width, b.width) <= now)
		at++;
	/* The rule is for what comes after the last change in the list. */
	if (at == b.times && rule.p < rule.end)
		return tz_of_rule(rule.p, (size_t)(rule.end - rule.p), now, out);
	return type_at(&b, at ? b.index[at - 1] : 0, out);
}
