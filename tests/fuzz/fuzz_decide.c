/*
 * tests/fuzz/fuzz_decide.c - any image of a policy, and any request
 *
 * Runs in:   libFuzzer
 * Input:     the fuzzer's bytes: length (u16) and text of a policy, how many bytes of its
 *            image are changed (u8), for each of these where (u16) and to what (u8);
 *            operation, arguments
 * May touch: memory
 * Must not:  look outside of the image, whatever it says
 *
 * run: floor 793
 *
 * An image is made here, of text: one in the corpus would be none as soon as the table of
 * operations changes.
 */
#include <stdlib.h>
#include <string.h>

#include "ipc/frame.h"
#include "policy/source.h"
#include "tests/lib/fuzz.h"

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

/* The image of the text that R begins with, changed as it says. False: there is none. */
static bool make_image(struct rbuf *r, struct wbuf *image)
{
	const size_t said = rbuf_u16(r), len = min_size(said, rbuf_left(r));
	struct source *s;
	bool built;

	if (!len)
		return false;
	s = source_new();
	must(s);
	source_add(s, "fuzz.conf", (const char *)rbuf_take(r, len), len);
	built = source_build(s, image) == 0;
	source_free(s);
	for (uint8_t n = rbuf_u8(r); built && n; n--) {
		const uint16_t at = rbuf_u16(r);
		const uint8_t value = rbuf_u8(r);

		if (!r->bad && image->len)
			image->p[at % image->len] = value;
	}
	return built;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static _Alignas(16) uint8_t memory[65536];
	CLEANUP(wbuf_free) struct wbuf image = wbuf_growing(IMAGE_MAX);
	struct arena arena = {.p = memory, .cap = sizeof(memory)};
	struct rbuf r = rbuf_of(data, size);
	struct policy_question q = {0};
	struct policy_answer a;
	struct policy p;
	void *args;

	if (!make_image(&r, &image) || policy_open(&p, image.p, image.len) < 0)
		return 0;
	q.op = rbuf_u8(&r) % OP_MAX;
	if (!op_by_number(q.op))
		return 0;
	args = arena_take(&arena, op_by_number(q.op)->args->size);
	if (schema_get(&r, op_by_number(q.op)->args, &arena, args) == 0)
		q.args = args;
	policy_decide(&p, &q, &a);
	if (a.allowed && !policy_may(&p, q.op))
		abort();
	walk(&p, &a);
	return 0;
}
