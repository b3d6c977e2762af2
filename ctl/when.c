/*
 * ctl/when.c - points in time as people write them
 *
 * Runs in:   posternctl, as the user who calls it
 * Input:     text of the command line
 * May touch: nothing
 * Must not:  guess: what has no form of these is refused
 */
#include "ctl/when.h"

#include <string.h>
#include <time.h>

#define USEC ((uint64_t)1000000)

/* Seconds since 1970 fit into microseconds, and into a year of four digits. */
#define SECONDS_MAX ((uint64_t)253402300799)

static const struct unit {
	const char *name;
	uint64_t seconds;
} units[] = {
	{"s", 1},         {"sec", 1},        {"second", 1},   {"seconds", 1},
	{"m", 60},        {"min", 60},       {"minute", 60},  {"minutes", 60},
	{"h", 3600},      {"hr", 3600},      {"hour", 3600},  {"hours", 3600},
	{"d", 86400},     {"day", 86400},    {"days", 86400}, {"w", 7 * 86400},
	{"week", 604800}, {"weeks", 604800},
};

/* A digit for each 0; strptime alone would take less. */
static const struct form {
	const char *shape;
	const char *format;
	bool date;
} forms[] = {
	{"0000-00-00", "%Y-%m-%d", true},
	{"0000-00-00 00:00", "%Y-%m-%d %H:%M", true},
	{"0000-00-00 00:00:00", "%Y-%m-%d %H:%M:%S", true},
	{"00:00", "%H:%M", false},
	{"00:00:00", "%H:%M:%S", false},
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Digits at *TEXT, which moves behind them. */
static bool digits(const char **text, uint64_t *v)
{
	const char *p = *text;

	for (*v = 0; is_digit(*p) && *v <= SECONDS_MAX; p++)
		*v = *v * 10 + (uint64_t)(*p - '0');
	if (p == *text || *v > SECONDS_MAX)
		return false;
	*text = p;
	return true;
}

/* ---- so long ago ---- */

static bool unit(const char *p, size_t len, uint64_t *seconds)
{
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (strlen(units[i].name) != len || memcmp(units[i].name, p, len) != 0)
			continue;
		*seconds = units[i].seconds;
		return true;
	}
	return false;
}

/* "2h", "1h 30min": up to REST, which is what stands behind. */
static bool span(const char *p, uint64_t *seconds, const char **rest)
{
	*seconds = 0;
	do {
		uint64_t n, each;
		size_t len;

		if (!digits(&p, &n))
			return false;
		p += strspn(p, " ");
		len = strspn(p, "abcdefghijklmnopqrstuvwxyz");
		if (!unit(p, len, &each) || n > SECONDS_MAX / each)
			return false;
		*seconds += n * each;
		p += len;
		*rest = p;
		p += strspn(p, " ");
	} while (is_digit(*p) && *seconds <= SECONDS_MAX);
	return *seconds <= SECONDS_MAX;
}

static bool ago(const char *text, uint64_t now, uint64_t *usec)
{
	bool minus = *text == '-';
	const char *rest;
	uint64_t seconds;

	if (!span(text + minus, &seconds, &rest) || seconds > now / USEC)
		return false;
	if (minus ? *rest : !streq(rest, " ago"))
		return false;
	*usec = now - seconds * USEC;
	return true;
}

/* ---- dates and words ---- */

static bool has_shape(const char *text, const char *shape)
{
	for (; *shape; text++, shape++)
		if (*shape == '0' ? !is_digit(*text) : *text != *shape)
			return false;
	return !*text;
}

/* Local time; a day that is not in the calendar is none. */
static bool local(struct tm tm, uint64_t *usec)
{
	int day = tm.tm_mday;
	time_t t;

	tm.tm_isdst = -1;
	t = mktime(&tm);
	if (t < 0 || (uint64_t)t > SECONDS_MAX || tm.tm_mday != day)
		return false;
	*usec = (uint64_t)t * USEC;
	return true;
}

/* The day of NOW, at its beginning. */
static bool today(uint64_t now, struct tm *tm)
{
	time_t t = (time_t)(now / USEC);

	if (!localtime_r(&t, tm))
		return false;
	tm->tm_hour = tm->tm_min = tm->tm_sec = 0;
	return true;
}

static bool date(const char *text, uint64_t now, uint64_t *usec)
{
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		struct tm tm = {0};
		const char *end;

		if (!has_shape(text, forms[i].shape))
			continue;
		if (!forms[i].date && !today(now, &tm))
			return false;
		end = strptime(text, forms[i].format, &tm);
		return end && !*end && local(tm, usec);
	}
	return false;
}

static bool word(const char *text, uint64_t now, uint64_t *usec)
{
	struct tm tm;
	bool yesterday = streq(text, "yesterday");

	if (streq(text, "now")) {
		*usec = now;
		return true;
	}
	if (!(yesterday || streq(text, "today")) || !today(now, &tm))
		return false;
	if (yesterday) {
		/* A day may have 23 hours or 25; at noon it is the one before, or this.
		 */
		tm.tm_hour = 12;
		tm.tm_isdst = -1;
		tm.tm_mday--;
		mktime(&tm);
		tm.tm_hour = 0;
	}
	return local(tm, usec);
}

static bool epoch(const char *text, uint64_t *usec)
{
	uint64_t seconds;

	text += *text == '@';
	if (!digits(&text, &seconds) || *text)
		return false;
	*usec = seconds * USEC;
	return true;
}

int when_read(const char *text, uint64_t now, uint64_t *usec)
{
	if (*text == '@')
		return epoch(text, usec) ? 0 : -1;
	if (word(text, now, usec) || date(text, now, usec) || ago(text, now, usec))
		return 0;
	return -1;
}
