/*
 * tests/fuzz/fuzz_osrelease.c - any bytes as an os-release file
 *
 * Runs in:   libFuzzer
 * Input:     the fuzzer's bytes
 * May touch: memory
 * Must not:  accept a result that points out of the text
 *
 * run: floor 64
 */
#include <string.h>

#include "inspector/osrelease.h"
#include "tests/lib/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(free_p) char *text = malloc(size ? size : 1);
	struct msg_osinfo r = {};
	const struct v_str *fields[] = {&r.id,        &r.name,    &r.pretty_name,
					&r.version,   &r.variant, &r.version_id,
					&r.variant_id};
	bool understood;

	if (!text)
		return 0;
	if (size)
		memcpy(text, data, size);
	understood = osrelease_parse(text, size, &r) == 0;
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		const struct v_str *f = fields[i];

		if (!f->set)
			continue;
		if (!understood || f->p < text || f->p + f->len > text + size ||
		    memchr(f->p, 0, f->len))
			abort();
	}
	return 0;
}
