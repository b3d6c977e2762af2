/*
 * policy/locked.c - the policy of an agent that cannot trust the one it was given
 *
 * Runs in:   reader; worker, which has no reader; posternctl
 * Input:     the reason
 * May touch: the buffer it is handed
 * Must not:  depend on a file or on who reads them
 */
#include "policy/locked.h"

#include <string.h>

#include "policy/policy.h"

/* As in profile `none`: without these no client can tell us from one that is dead. */
static const char texts[] = "\0none\0locked down\0session";
enum { BASE = 1, WHERE = BASE + sizeof("none"), NAME = WHERE + sizeof("locked down") };

void policy_locked_down(const char *why, struct wbuf *out)
{
	const size_t len = strlen(why) + 1;
	const struct image_rule rule = {
		.ops = group_ops(GROUP_SESSION),
		.name = NAME,
		.file = WHERE,
		.effect = POLICY_ALLOW,
	};
	const struct image_head head = {
		.magic = IMAGE_MAGIC,
		.size = (uint32_t)(sizeof(head) + sizeof(rule) + sizeof(texts) + len),
		.n_rules = 1,
		.n_text = (uint32_t)(sizeof(texts) + len),
		.base = BASE,
		.locked_down = sizeof(texts),
		.audit_interval_ms = AUDIT_INTERVAL_MS,
	};

	wbuf_put(out, &head, sizeof(head));
	wbuf_put(out, &rule, sizeof(rule));
	wbuf_put(out, texts, sizeof(texts));
	wbuf_put(out, why, len);
}
