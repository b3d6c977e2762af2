/*
 * tests/lib/policy.h - policies for tests, made by the real reader and builder
 *
 * Runs in:   unit tests, fuzz targets
 * Input:     the test's text
 * May touch: memory
 * Must not:  hide a mistake in the text
 */
#ifndef POSTERN_TESTS_POLICY_H
#define POSTERN_TESTS_POLICY_H

#include <stdio.h>
#include <string.h>

#include "policy/source.h"

/* P is the policy of TEXT, in IMAGE, which must outlive it. */
static inline void policy_of_text(struct policy *p, struct wbuf *image, const char *text)
{
	struct source *s = source_new();

	wbuf_free(image);
	*image = wbuf_growing(IMAGE_MAX);
	source_add(s, "test.conf", text, strlen(text));
	if (source_build(s, image) < 0 || policy_open(p, image->p, image->len) < 0) {
		const struct source_error *e;
		size_t n = source_errors(s, &e);

		for (size_t i = 0; i < n; i++)
			fprintf(stderr, "%s:%u: %s\n", e[i].file, e[i].line, e[i].what);
		abort();
	}
	source_free(s);
}

static inline void policy_of_profile(struct policy *p, struct wbuf *image,
				     const char *name)
{
	char text[128];

	snprintf(text, sizeof(text), "[policy]\nbase = %s\n", name);
	policy_of_text(p, image, text);
}

/* One rule for the commands of OPS on top of profile `none`; without EFFECT no rule. */
static inline void policy_of_ops(struct policy *p, struct wbuf *image,
				 enum policy_effect effect, uint64_t ops)
{
	char text[4096] = "[policy]\nbase = none\n";
	size_t len = strlen(text);
	const char *between = "";

	if (effect && ops)
		len += (size_t)snprintf(text + len, sizeof(text) - len,
					"[rule \"rule\"]\neffect = %s\ncommand = ",
					effect == POLICY_ALLOW ? "allow" : "deny");
	for (uint32_t n = op_after(OP_NONE); effect && n != OP_NONE; n = op_after(n)) {
		if (!(ops >> n & 1))
			continue;
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s", between,
					op_by_number(n)->name);
		between = " ; ";
	}
	policy_of_text(p, image, text);
}

#endif
