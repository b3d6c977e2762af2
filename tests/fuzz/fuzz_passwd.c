/*
 * tests/fuzz/fuzz_passwd.c - any bytes as what getent(1) wrote of an account
 *
 * Runs in:   libFuzzer
 * Input:     the fuzzer's bytes: NAME|PASSWD, or NAME|PASSWD|GROUPS
 * May touch: memory
 * Must not:  accept another account's line, an id that is none, a home that is no path
 *
 * run: floor 144
 */
#include <limits.h>

#include "ipc/frame.h"
#include "tests/lib/fuzz.h"
#include "worker/ops/account.h"
#include "worker/ops/ops.h"

/* What stands before the next bar, and behind it what is left; NULL: nothing. */
static struct v_str part(const char **at, const char *end)
{
	const char *from = *at, *bar;

	if (!from)
		return (struct v_str){0};
	bar = memchr(from, '|', (size_t)(end - from));
	*at = bar ? bar + 1 : NULL;
	return (struct v_str){
		.p = from,
		.len = (uint32_t)((bar ? bar : end) - from),
		.set = true,
	};
}

static void check(const struct msg_account_find *q, const struct wbuf *out)
{
	static _Alignas(max_align_t) uint8_t memory[32 * ACCOUNT_GROUPS_MAX];
	struct arena arena = {.p = memory, .cap = sizeof(memory)};
	struct rbuf r = rbuf_of(out->p, out->len);
	const struct msg_gid *gids;
	struct msg_account a;

	must(schema_get(&r, &schema_account, &arena, &a) == 0 && rbuf_done(&r));
	must(q->name.len && q->passwd.len > q->name.len &&
	     !memcmp(q->passwd.p, q->name.p, q->name.len) &&
	     q->passwd.p[q->name.len] == ':');
	must(a.uid.v < UINT32_MAX && a.gid.v < UINT32_MAX);
	must(a.home.len && a.home.len < PATH_MAX && a.home.p[0] == '/' &&
	     !memchr(a.home.p, 0, a.home.len) && !memchr(a.home.p, '\n', a.home.len));
	gids = a.groups.v;
	for (uint32_t i = 0; i < a.groups.n; i++)
		must(gids[i].gid.v < UINT32_MAX);
	must(a.groups.n <= ACCOUNT_GROUPS_MAX);
	must(q->groups.set || (a.groups.n == 1 && gids[0].gid.v == a.gid.v));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(wbuf_free) struct wbuf out = wbuf_growing(REPLY_BODY_MAX);
	/* A block of its own, so that the sanitizer sees its end. */
	CLEANUP(free_p) char *copy = malloc(size ? size : 1);
	const char *at = copy, *end = copy + size;
	struct msg_account_find q;
	struct err e = {0};

	must(copy);
	if (size)
		memcpy(copy, data, size);
	q.name = part(&at, end);
	q.passwd = part(&at, end);
	q.groups = part(&at, end);
	if (child_account_find(NULL, &q, &out, &e) == 0)
		check(&q, &out);
	else
		must(e.cls == ERR_GENERIC);
	return 0;
}
