/*
 * tests/fuzz/fuzz_policy.c - any bytes as a policy file, and the policy that comes of it
 *
 * Runs in:   libFuzzer
 * Input:     the fuzzer's bytes
 * May touch: memory
 * Must not:  build what policy_open refuses, allow a command that the image says never
 *
 * run: floor 618
 */
#include "policy/source.h"
#include "tests/lib/fuzz.h"

static void check(const struct wbuf *image)
{
	static const uint64_t args[64]; /* of any command: nothing is set */
	struct policy p;

	if (policy_open(&p, image->p, image->len) < 0)
		abort();
	for (uint32_t n = op_after(OP_NONE); n != OP_NONE; n = op_after(n)) {
		const struct policy_question q = {.op = n, .args = args};
		struct policy_answer a;

		policy_decide(&p, &q, &a);
		if (a.allowed && !policy_may(&p, n))
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wbuf image = wbuf_growing(IMAGE_MAX);
	struct source *s = source_new();
	const struct source_error *e;

	source_add(s, "fuzz.conf", (const char *)data, size);
	if (source_build(s, &image) == 0)
		check(&image);
	else if (!source_errors(s, &e))
		abort(); /* refused without a word */
	source_free(s);
	wbuf_free(&image);
	return 0;
}
