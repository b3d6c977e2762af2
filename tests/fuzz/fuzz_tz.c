/*
 * tests/fuzz/fuzz_tz.c - any bytes as a time zone file and as a rule
 *
 * Runs in:   libFuzzer
 * Input:     the fuzzer's bytes: a moment, then the file
 * May touch: memory
 * Must not:  accept a result that points out of the bytes
 *
 * run: floor 144
 */
#include <string.h>

#include "inspector/tz.h"
#include "tests/lib/fuzz.h"

static void check(const struct tz_local *tz, const char *bytes, size_t len)
{
	if (tz->zone < bytes || tz->zone + tz->zone_len > bytes + len ||
	    tz->offset <= -26 * 3600 || tz->offset >= 26 * 3600)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tz_local tz;
	const char *bytes;
	int64_t now;

	if (size < sizeof(now))
		return 0;
	memcpy(&now, data, sizeof(now));
	bytes = (const char *)data + sizeof(now);
	size -= sizeof(now);
	if (tz_of_file(bytes, size, now, &tz))
		check(&tz, bytes, size);
	if (tz_of_rule(bytes, size, now, &tz))
		check(&tz, bytes, size);
	return 0;
}
