/*
 * tests/fuzz/fuzz_pattern.c - any bytes as a pattern and a text
 *
 * Runs in:   libFuzzer
 * Input:     the fuzzer's bytes: length of the pattern, pattern, text
 * May touch: memory
 * Must not:  take more than a constant number of steps per byte
 *
 * run: floor 133
 */
#include <stdlib.h>

#include "ipc/util.h"
#include "tests/lib/fuzz.h"
#include "tests/lib/pattern.h"

struct texts {
	const char *text;
	size_t len;
	unsigned int n;
};

static bool each(void *arg, const char *p, size_t len)
{
	struct texts *t = arg;
	uint64_t steps = 0;

	t->n++;
	if (pattern_check(p, len))
		return true;
	matches_text(p, len, t->text, t->len, &steps);
	if (steps > PATTERN_STEPS * (len + t->len) + 512)
		abort();
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t len = size ? min_size(data[0], size - 1) : 0;
	struct texts t = {.text = (const char *)data + 1 + len,
			  .len = size - len - !!size};

	if (!size)
		return 0;
	pattern_expand((const char *)data + 1, len, each, &t);
	if (t.n > PATTERN_EXPAND_MAX)
		abort();
	return 0;
}
