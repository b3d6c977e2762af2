/*
 * tests/fuzz/fuzz_keys.c - any keys for any authorized_keys, changed in every way
 *
 * Runs in:   libFuzzer
 * Input:     the fuzzer's bytes: the change (a digit), how many keys (a digit), the keys
 *            with bars between them and behind them, the file
 * May touch: memory: the home is one text
 * Must not:  lose a line that nobody named, let a key be more than a line, name a key in
 *            a fingerprint
 *
 * run: floor 287
 */
#include <string.h>

#include "ipc/frame.h"
#include "sandbox/sandbox.h"
#include "tests/lib/fuzz.h"
#include "worker/ops/home.h"
#include "worker/ops/ops.h"
#include "worker/steps/fingerprint.h"

#define KEYS_MAX  10
#define LINES_MAX 1024

static struct fuzz {
	struct v_str file;
	struct wbuf replaced; /* what was put in its place, */
	bool is_replaced;     /* if it was */
} fuzz;

/* ---- the home, in the place of worker/ops/home.c ---- */

int home_become(const struct msg_account *a)
{
	(void)a;
	return 0;
}

int sandbox_enter(uint32_t roles, const char **step)
{
	(void)roles, (void)step;
	return 0;
}

int home_open(struct home *h)
{
	(void)h;
	return 0;
}

void home_done(struct home *h)
{
	free_p(&h->text);
}

int home_refuse(const struct home *h, const char *wrong)
{
	return err_set(h->e, ERR_GENERIC, "%s", wrong);
}

/* Of a block of its own, so that the sanitizer sees its end. */
int home_look(struct home *h, bool reads, bool may_lack)
{
	(void)may_lack;
	free_p(&h->text);
	h->len = 0;
	if (!reads)
		return 0;
	if (memchr(fuzz.file.p, 0, fuzz.file.len))
		return home_refuse(h, "is no text");
	h->len = fuzz.file.len;
	h->text = malloc(h->len ? h->len : 1);
	must(h->text);
	memcpy(h->text, fuzz.file.p, h->len);
	return 0;
}

enum home_step home_replace(struct home *h, const void *text, size_t len)
{
	(void)h;
	must(!fuzz.is_replaced);
	fuzz.is_replaced = true;
	wbuf_put(&fuzz.replaced, text, len);
	return HOME_DONE;
}

/* ---- lines ---- */

struct lines {
	struct v_str v[LINES_MAX];
	uint32_t n;
};

static bool is_same(struct v_str a, struct v_str b)
{
	return a.len == b.len && (!a.len || !memcmp(a.p, b.p, a.len));
}

static uint32_t count(const struct v_str *v, uint32_t n, struct v_str line)
{
	uint32_t same = 0;

	for (uint32_t i = 0; i < n; i++)
		same += is_same(v[i], line);
	return same;
}

static struct v_str upto(const char *p, const char *end, char stop)
{
	const char *at = memchr(p, stop, (size_t)(end - p));

	return (struct v_str){p, (uint32_t)((at ? at : end) - p), true};
}

/* False: there are too many. */
static bool split(struct lines *l, const char *p, size_t len)
{
	const char *end = p + len;

	for (l->n = 0; p < end && l->n < LINES_MAX; p += l->v[l->n++].len + 1)
		l->v[l->n] = upto(p, end, '\n');
	return p >= end;
}

/* ---- what must hold ---- */

/* The lines of OLD in their order, without those of KEYS if DROPS, begin NEW. */
static uint32_t check_old(const struct lines *old, const struct lines *new,
			  const struct v_list *keys, bool drops)
{
	uint32_t at = 0;

	for (uint32_t i = 0; i < old->n; i++) {
		if (drops && old->v[i].len && count(keys->v, keys->n, old->v[i]))
			continue;
		must(at < new->n &&is_same(old->v[i], new->v[at]));
		at++;
	}
	return at;
}

/* From line AT on, NEW is keys that were not there before: each once. */
static void check_added(const struct lines *new, uint32_t at, const struct v_list *keys)
{
	const struct v_str *key = keys->v;

	for (uint32_t i = at; i < new->n; i++)
		must(new->v[i].len &&count(keys->v, keys->n, new->v[i]) &&
		     count(new->v, new->n, new->v[i]) == 1);
	for (uint32_t i = 0; i < keys->n; i++)
		must(!key[i].len || count(new->v, new->n, key[i]));
}

static void check_changed(const struct msg_keys *q)
{
	static struct lines old, new;

	if (!split(&old, fuzz.file.p, fuzz.file.len) || old.n > LINES_MAX - KEYS_MAX)
		return;
	if (q->change.v == KEYS_RESET)
		old.n = 0;
	must(fuzz.is_replaced || q->change.v != KEYS_RESET);
	if (fuzz.is_replaced) {
		const struct wbuf *w = &fuzz.replaced;

		must(split(&new, w->len ? (const char *)w->p : "", w->len));
		must(!w->len || w->p[w->len - 1] == '\n');
	} else {
		new = old;
	}
	if (q->change.v == KEYS_REMOVE)
		must(check_old(&old, &new, &q->keys, true) == new.n);
	else
		check_added(&new, check_old(&old, &new, &q->keys, false), &q->keys);
}

static bool is_blank(char c)
{
	return c && strchr(" \t\r\v\f", c);
}

static void check_told(const struct wbuf *out)
{
	static _Alignas(max_align_t)
		uint8_t memory[(LINES_MAX + 1) * sizeof(struct v_str)];
	static struct lines lines;
	struct arena arena = {.p = memory, .cap = sizeof(memory)};
	struct rbuf r = rbuf_of(out->p, out->len);
	struct msg_ssh_keys told;
	uint32_t n = 0;

	if (!split(&lines, fuzz.file.p, fuzz.file.len))
		return;
	must(schema_get(&r, &schema_ssh_keys, &arena, &told) == 0 && rbuf_done(&r));
	for (uint32_t i = 0; i < lines.n; i++) {
		struct v_str line = lines.v[i];

		for (; line.len && is_blank(*line.p); line.len--)
			line.p++;
		while (line.len && is_blank(line.p[line.len - 1]))
			line.len--;
		if (!line.len || *line.p == '#')
			continue;
		must(n < told.keys.n &&
		     is_same(line, ((const struct v_str *)told.keys.v)[n++]));
	}
	must(n == told.keys.n);
}

/* Is a key what it must not be? */
static bool is_bad(const struct v_list *keys)
{
	const struct v_str *key = keys->v;

	for (uint32_t i = 0; i < keys->n; i++)
		if (key[i].len &&
		    (key[i].p[0] == '#' || memchr(key[i].p, '\n', key[i].len) ||
		     memchr(key[i].p, 0, key[i].len)))
			return true;
	return false;
}

static void check_fingerprints(const struct v_list *keys)
{
	CLEANUP(free_p) char *text = fingerprints_of(keys);
	const size_t most = strlen("SHA256:") + 43 + strlen(", ");

	must(!text || strlen(text) <= keys->n * most);
	for (const char *p = text; p && *p; p++)
		must(*p > 0x1f && *p < 0x7f);
}

static void run(const struct msg_keys *q)
{
	CLEANUP(wbuf_free) struct wbuf out = wbuf_growing(REPLY_BODY_MAX);
	const struct sys none = {.root_fd = -1};
	struct err e = {0};
	bool good;

	fuzz.is_replaced = false;
	fuzz.replaced = wbuf_growing(HOME_FILE_MAX);
	good = child_keys(&none, q, &out, &e) == 0;
	must(good == !e.cls);
	must(good || !fuzz.is_replaced);
	must(!good || !is_bad(&q->keys));
	if (good && q->change.v == KEYS_GET)
		check_told(&out);
	else if (good)
		check_changed(q);
	wbuf_free(&fuzz.replaced);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *p = (const char *)data + 2, *end = (const char *)data + size;
	struct msg_account nobody = {.uid = V_U64(1), .gid = V_U64(1)};
	struct v_str keys[KEYS_MAX];
	struct msg_keys q = {.account = {&nobody, true}, .keys = {keys, 0, true}};
	uint32_t n;

	if (size < 2 || data[0] < '0' || data[0] > '3' || data[1] < '0' || data[1] > '9')
		return 0;
	q.change = V_INT(data[0] - '0');
	n = (uint32_t)data[1] - '0';
	while (q.keys.n < n && p < end) {
		keys[q.keys.n] = upto(p, end, '|');
		p += keys[q.keys.n++].len;
		p += p < end;
	}
	fuzz.file = (struct v_str){p, (uint32_t)(end - p), true};
	run(&q);
	check_fingerprints(&q.keys);
	return 0;
}
