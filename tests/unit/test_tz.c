/*
 * tests/unit/test_tz.c - local time from files and rules, held against libc's
 *
 * Runs in:   a test
 * Input:     rules and files below; tests/fixtures/os/
 * May touch: its own TZ variable
 * Must not:  depend on the machine's time zone database
 */
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "inspector/tz.h"

#define DAY 86400

static const char *const rules[] = {
	"JST-9",
	"<-03>3",
	"<+0545>-5:45",
	"CET-1CEST,M3.5.0,M10.5.0/3",
	"EST5EDT,M3.2.0,M11.1.0",
	"EST5EDT4,M3.2.0/2:00:00,M11.1.0/02:00:00",
	"NZST-12NZDT,M9.5.0,M4.1.0/3",
	"IST-1GMT0,M10.5.0,M3.5.0/1",
	"<+1030>-10:30<+11>-11,M10.1.0,M4.1.0",
	"IST-2IDT,M3.4.4/26,M10.5.0",
	"<-02>2<-01>,M3.5.0/-1,M10.5.0/0",
	"AAA4BBB,J60/2,J300",
	"CCC4DDD,59,299/1:30:15",
	"EEE-3FFF,M2.5.6,M12.4.1",
};

/* The same instant by libc, TZ set before; what we say must not differ. */
static void assert_like_libc(const struct tz_local *got, time_t now)
{
	struct tm tm;

	assert_non_null(localtime_r(&now, &tm));
	assert_int_equal(got->offset, tm.tm_gmtoff);
	assert_int_equal(got->zone_len, strlen(tm.tm_zone));
	assert_memory_equal(got->zone, tm.tm_zone, got->zone_len);
}

static void set_libc(const char *tz)
{
	assert_int_equal(setenv("TZ", tz, 1), 0);
	tzset();
}

static void check_rule(const char *rule, time_t now)
{
	struct tz_local got;

	assert_true(tz_of_rule(rule, strlen(rule), now, &got));
	assert_like_libc(&got, now);
}

static void test_rules_as_libc(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		set_libc(rules[i]);
		/* Through a leap year closely, then far. */
		for (time_t t = 1704000000; t < 1704000000 + 400 * DAY; t += 1799)
			check_rule(rules[i], t);
		for (time_t t = 2 * DAY; t < (time_t)120 * 365 * DAY;
		     t += 2 * DAY + 12345)
			check_rule(rules[i], t);
	}
}

/* The seconds around a change. */
static void test_rule_at_the_edge(void **state)
{
	static const char rule[] = "CET-1CEST,M3.5.0,M10.5.0/3";
	const time_t edges[] = {1711846800, 1729990800};

	(void)state;
	set_libc(rule);
	for (size_t i = 0; i < ARRAY_SIZE(edges); i++)
		for (time_t t = edges[i] - 2; t <= edges[i] + 2; t++)
			check_rule(rule, t);
}

/* Not by libc here: it looks for a file of that name first. */
static void test_summer_time_without_days(void **state)
{
	static const char brief[] = "EST5EDT";
	static const char full[] = "EST5EDT,M3.2.0,M11.1.0";
	struct tz_local a;
	struct tz_local b;

	(void)state;
	for (int64_t t = 1704000000; t < 1704000000 + 400 * DAY; t += 1799) {
		assert_true(tz_of_rule(brief, strlen(brief), t, &a));
		assert_true(tz_of_rule(full, strlen(full), t, &b));
		assert_int_equal(a.offset, b.offset);
		assert_memory_equal(a.zone, b.zone, 3);
	}
}

static void test_bad_rules(void **state)
{
	static const char *const bad[] = {
		"",
		"C",
		"CET",
		"CE-1",
		"CET-",
		"CET-25",
		"CET-1:60",
		"CET-1:00:60",
		"CET-1:",
		"<CET-1",
		"<C>1",
		"<CE T>1",
		"CET-1CE",
		"CET-1CEST,",
		"CET-1CEST,M3.5.0",
		"CET-1CEST,M3.5.0,",
		"CET-1CEST,M3.5.0,M10.5.0/",
		"CET-1CEST,M0.5.0,M10.5.0",
		"CET-1CEST,M13.5.0,M10.5.0",
		"CET-1CEST,M3.0.0,M10.5.0",
		"CET-1CEST,M3.6.0,M10.5.0",
		"CET-1CEST,M3.5.7,M10.5.0",
		"CET-1CEST,M3.5,M10.5.0",
		"CET-1CEST,J0,J10",
		"CET-1CEST,J1,J366",
		"CET-1CEST,0,366",
		"CET-1CEST,M3.5.0/168,M10.5.0",
		"CET-1CEST,M3.5.0,M10.5.0x",
		"CET-99999999999999999999",
		"Europe/Berlin",
	};
	struct tz_local got;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(tz_of_rule(bad[i], strlen(bad[i]), 1700000000, &got));
	/* A NUL is no part of a name. */
	assert_false(tz_of_rule("<AB\0>1", 6, 1700000000, &got));
}

static void test_times_beyond_the_calendar(void **state)
{
	static const int64_t beyond[] = {INT64_MIN, -1, 0, 253402300800, INT64_MAX};
	struct tz_local got;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(beyond); i++)
		assert_false(tz_of_rule("CET-1", 5, beyond[i], &got));
	assert_true(tz_of_rule("CET-1", 5, 253402300799, &got));
}

/* ---- files ---- */

struct file {
	char bytes[8192];
	size_t len;
};

static void load(const char *path, struct file *f)
{
	CLEANUP(close_p) int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, f->bytes, sizeof(f->bytes));

	assert_true(n > 0);
	f->len = (size_t)n;
}

#define BERLIN   "tests/fixtures/os/debian12/usr/share/zoneinfo/Europe/Berlin"
#define NEW_YORK "tests/fixtures/os/fedora/etc/localtime"

static void test_files_as_libc(void **state)
{
	static const char *const paths[] = {BERLIN, NEW_YORK};
	static struct file f;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		char absolute[PATH_MAX];
		char tz[PATH_MAX + 1];
		struct tz_local got;

		assert_non_null(realpath(paths[i], absolute));
		snprintf(tz, sizeof(tz), ":%s", absolute);
		set_libc(tz);
		load(paths[i], &f);
		/* From before the first change in the list to after the last. */
		for (time_t t = -(time_t)100 * 365 * DAY; t < (time_t)100 * 365 * DAY;
		     t += DAY + 4321) {
			assert_true(tz_of_file(f.bytes, f.len, t, &got));
			assert_like_libc(&got, t);
		}
	}
}

/* Is a file of which LEN bytes are left refused? Under the sanitizer not one more is
 * read. */
static bool is_refused(const struct file *f, size_t len)
{
	char *exact = malloc(len ? len : 1);
	struct tz_local got;
	bool refused;

	if (!exact)
		return false;
	memcpy(exact, f->bytes, len);
	refused = !tz_of_file(exact, len, 1700000000, &got);
	free(exact);
	return refused;
}

static void test_truncated_files(void **state)
{
	static struct file f;

	(void)state;
	load(NEW_YORK, &f);
	for (size_t len = 0; len < f.len; len++)
		assert_true(is_refused(&f, len));
	assert_false(is_refused(&f, f.len));
}

/* Every byte made the largest: whatever it answers lies within the file. */
static void test_damaged_files(void **state)
{
	static struct file f;
	size_t refused = 0;

	(void)state;
	load(BERLIN, &f);
	for (size_t i = 0; i < f.len; i++) {
		char was = f.bytes[i];
		struct tz_local got;

		f.bytes[i] = (char)0xFF;
		if (!tz_of_file(f.bytes, f.len, 1700000000, &got)) {
			refused++;
		} else {
			assert_true(got.zone >= f.bytes);
			assert_true(got.zone + got.zone_len <= f.bytes + f.len);
			assert_in_range(got.offset + 25 * 3600, 1, 51 * 3600);
		}
		f.bytes[i] = was;
	}
	assert_true(refused > 0);
}

/* A file of version 1 by hand, whose counts and indexes are then made wrong. */
#define HEAD(times, types, chars)        \
	"TZif\0"                         \
	"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0" \
	"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0" times "\0\0\0" types "\0\0\0" chars
#define TIME  "\0\0\0\1"
#define TYPE  "\0\0\x0e\x10\0"
#define NAMES "ABC\0DEF\0"

static void test_indexes(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		const char *zone; /* NULL: refused */
	} cases[] = {
#define CASE(bytes, zone) {bytes, sizeof(bytes) - 1, zone}
		CASE(HEAD("\1", "\1", "\x8") TIME "\0" TYPE "\4" NAMES, "DEF"),
		CASE(HEAD("\1", "\1", "\x8") TIME "\0" TYPE "\2" NAMES, "C"),
		CASE(HEAD("\1", "\1", "\x7") TIME "\0" TYPE "\4" NAMES, "DEF"),
		CASE(HEAD("\1", "\1", "\x8") TIME "\1" TYPE "\4" NAMES, NULL),
		CASE(HEAD("\1", "\1", "\x8") TIME "\0" TYPE "\x8" NAMES, NULL),
		CASE(HEAD("\1", "\1", "\x9") TIME "\0" TYPE "\4" NAMES, NULL),
		CASE(HEAD("\0", "\0", "\x8") NAMES, NULL),
		CASE(HEAD("\0", "\1", "\0") TYPE "\0", NULL),
		CASE(HEAD("\0", "\1", "\x8") "\x7f\0\0\0\0\0" NAMES, NULL),
		CASE(HEAD("\0", "\1", "\x8") "\x80\0\0\0\0\0" NAMES, NULL),
#undef CASE
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct tz_local got;
		bool ok = tz_of_file(cases[i].bytes, cases[i].len, 1700000000, &got);

		if (!cases[i].zone) {
			assert_false(ok);
			continue;
		}
		assert_true(ok);
		assert_int_equal(got.offset, 3600);
		assert_int_equal(got.zone_len, strlen(cases[i].zone));
		assert_memory_equal(got.zone, cases[i].zone, got.zone_len);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rules_as_libc),
		cmocka_unit_test(test_rule_at_the_edge),
		cmocka_unit_test(test_summer_time_without_days),
		cmocka_unit_test(test_bad_rules),
		cmocka_unit_test(test_times_beyond_the_calendar),
		cmocka_unit_test(test_files_as_libc),
		cmocka_unit_test(test_truncated_files),
		cmocka_unit_test(test_damaged_files),
		cmocka_unit_test(test_indexes),
	};

	return cmocka_run_group_tests_name("tz", tests, NULL, NULL);
}
