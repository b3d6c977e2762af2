/*
 * inspector/tz.h - local time at one moment, from a time zone file or a rule
 *
 * Runs in:   inspector
 * Input:     a TZif file (RFC 8536) or a POSIX TZ string: any bytes
 * May touch: the bytes it is handed
 * Must not:  open anything, as libc's tzset does for every string it is given
 */
#ifndef POSTERN_INSPECTOR_TZ_H
#define POSTERN_INSPECTOR_TZ_H

#include <stdbool.h>

#include "ipc/util.h"

struct tz_local {
	int32_t offset; /* seconds east of UTC, daylight saving included */
	/* Abbreviation; may be empty. Not NUL-terminated, in the bytes handed in. */
	const char *zone;
	size_t zone_len;
};

/*
 * Local time at NOW, seconds since 1970. True with OUT filled, or false if the bytes are
 * not what they should be (or, where a rule has to be applied, NOW is not between the
 * years 1970 and 9999).
 */
bool tz_of_file(const void *file, size_t len, int64_t now, struct tz_local *out);
bool tz_of_rule(const char *rule, size_t len, int64_t now, struct tz_local *out);

#endif
