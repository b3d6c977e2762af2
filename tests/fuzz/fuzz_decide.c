/*
 * tests/fuzz/fuzz_decide.c - any bytes as an image, and as a request
 *
 * Runs in:   libFuzzer
 * Input:     the fuzzer's bytes: 16 bits of length, image, operation, arguments
 * May touch: memory
 * Must not:  look outside of the image, whatever it says
 */
#include <stdlib.h>
#include <string.h>

#include "ipc/frame.h"
#include "policy/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(const struct policy *p, const struct policy_answer *a)
{
	for (enum key key = 0; key < KEYS_COUNT; key++) {
		const struct image_constraint *c;
		uint64_t limit;
		uint32_t at = 0;

		while ((c = policy_next(p, a, key, &at)))
			for (uint32_t i = 0; i < c->n_values; i++)
				if (strlen(policy_text(p,
						       p->values[c->value + i].text)) !=
				    p->values[c->value + i].len)
					abort();
		if (key_row(key)->stage == AT_ACT)
			policy_limit(p, a, key, &limit);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static _Alignas(16) uint8_t image[65536], memory[65536];
	struct arena arena = {.p = memory, .cap = sizeof(memory)};
	struct policy_question q = {0};
	struct policy_answer a;
	struct policy p;
	struct rbuf r;
	size_t len;
	void *args;

	if (size < 3)
		return 0;
	len = min_size(data[0] | data[1] << 8, size - 3);
	memcpy(image, data + 2, len);
	if (policy_open(&p, image, len) < 0)
		return 0;
	q.op = data[2 + len] % OP_MAX;
	if (!op_by_number(q.op))
		return 0;
	r = rbuf_of(data + 3 + len, size - 3 - len);
	args = arena_take(&arena, op_by_number(q.op)->args->size);
	if (schema_get(&r, op_by_number(q.op)->args, &arena, args) == 0)
		q.args = args;
	policy_decide(&p, &q, &a);
	if (a.allowed && !policy_may(&p, q.op))
		abort();
	walk(&p, &a);
	return 0;
}
