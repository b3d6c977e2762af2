/*
 * tests/hostile/keys_child.c - change a user's authorized keys, over and over
 *
 * Runs in:   a test, as root
 * Input:     keys_child RUNS UID HOME CHANGE KEY [CHANGE KEY...]: as often, in turn
 * May touch: what the op children do that it starts: sealed, with UID's rights
 * Must not:  wait for one that hangs
 *
 * At the end there is one line of JSON: how often each result came, and how many
 * milliseconds the slowest took. A result is "ok", the keys with a bar behind each, or an
 * error. With no RUNS there is one child, that stays: its result and its number are
 * printed at once, and the end of our standard input ends it.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "ipc/jsonw.h"
#include "tests/lib/keyrun.h"

#define CHANGES_MAX 8
#define RESULTS_MAX 64
#define TEXT_MAX    4096

static const char *const names[] = {
	[KEYS_GET] = "get",
	[KEYS_ADD] = "add",
	[KEYS_RESET] = "reset",
	[KEYS_REMOVE] = "remove",
};

struct tally {
	struct {
		char *text;
		unsigned long n;
	} v[RESULTS_MAX];
	size_t n;
	long slowest;
};

static void count(struct tally *t, const char *text)
{
	size_t i = 0;

	while (i < t->n && !streq(t->v[i].text, text))
		i++;
	if (i == RESULTS_MAX)
		abort();
	if (i == t->n)
		t->v[t->n++].text = strdup(text);
	t->v[i].n++;
}

static void print(const struct tally *t)
{
	struct wbuf w = wbuf_growing(1 << 20);

	wbuf_text(&w, "{\"results\": {");
	for (size_t i = 0; i < t->n; i++) {
		if (i)
			wbuf_text(&w, ", ");
		jsonw_str(&w, t->v[i].text, strlen(t->v[i].text));
		wbuf_text(&w, ": ");
		jsonw_u64(&w, t->v[i].n);
	}
	printf("%.*s}, \"slowest\": %ld}\n", (int)w.len, (const char *)w.p, t->slowest);
	wbuf_free(&w);
}

static long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* The keys in LEN bytes of a result, with a bar behind each; "ok": there are none. */
static void show(const char *body, size_t len, char *text)
{
	static _Alignas(max_align_t) uint8_t memory[1 << 20];
	struct arena arena = {.p = memory, .cap = sizeof(memory)};
	struct rbuf r = rbuf_of(body, len);
	struct msg_ssh_keys got;
	const struct v_str *key;
	size_t n = 0;

	if (schema_get(&r, &schema_ssh_keys, &arena, &got) < 0 || !rbuf_done(&r))
		abort();
	key = got.keys.v;
	snprintf(text, TEXT_MAX, "ok");
	for (uint32_t i = 0; i < got.keys.n && n < TEXT_MAX; i++)
		n += (size_t)snprintf(text + n, TEXT_MAX - n, "%.*s|", (int)key[i].len,
				      key[i].p);
}

static void take(struct keyrun_child *c, char *text)
{
	static char buf[REPLY_BODY_MAX + 2];
	ssize_t n = keyrun_read(c, buf, sizeof(buf) - 1, KEYRUN_LIMIT_MS);
	size_t len = n > 0 ? min_size((size_t)n, TEXT_MAX) - 1 : 0;

	if (n <= 0)
		snprintf(text, TEXT_MAX, "%s", n < 0 ? "HANGS" : "DIED");
	else if (buf[0] == 'r')
		show(buf + 1, (size_t)n - 1, text);
	else
		*(char *)mempcpy(text, buf + 1, len) = '\0';
}

static void repeat(const struct keyrun *k, const struct msg_keys *q, int n, long runs)
{
	struct tally t = {0};
	char text[TEXT_MAX];

	for (long i = 0; i < runs; i++) {
		long begin = now_ms();
		struct keyrun_child c = keyrun_start(k, &q[i % n], false, false);

		take(&c, text);
		count(&t, text);
		if (keyrun_end(&c) != 0)
			count(&t, "DIED");
		if (now_ms() - begin > t.slowest)
			t.slowest = now_ms() - begin;
	}
	print(&t);
}

static void stay(const struct keyrun *k, const struct msg_keys *q)
{
	struct keyrun_child c = keyrun_start(k, q, true, false);
	char text[TEXT_MAX];

	take(&c, text);
	printf("%d %s\n", c.pid, text);
	fflush(stdout);
	(void)!read(STDIN_FILENO, text, 1);
	keyrun_end(&c);
}

static enum keys_change change_of(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (streq(name, names[i]))
			return (enum keys_change)i;
	fprintf(stderr, "keys_child: no change: %s\n", name);
	exit(2);
}

int main(int argc, char **argv)
{
	struct msg_keys q[CHANGES_MAX];
	struct v_str keys[CHANGES_MAX];
	struct msg_gid gid;
	struct msg_account account;
	struct keyrun k;
	struct sys sys;
	int n = 0;

	if (argc < 6 || argc % 2 || (argc - 4) / 2 > CHANGES_MAX || sys_init(&sys) < 0)
		return 2;
	gid.gid = V_U64(strtoull(argv[2], NULL, 10));
	account = (struct msg_account){
		.uid = gid.gid,
		.gid = gid.gid,
		.home = v_str(argv[3]),
		.groups = {.v = &gid, .n = 1, .set = true},
	};
	for (int i = 4; i + 1 < argc; i += 2, n++) {
		keys[n] = v_str(argv[i + 1]);
		q[n] = (struct msg_keys){
			.change = V_INT(change_of(argv[i])),
			.account = {.v = &account, .set = true},
			.keys = {.v = &keys[n], .n = 1, .set = true},
		};
	}
	keyrun_init(&k, &sys);
	if (strtol(argv[1], NULL, 10))
		repeat(&k, q, n, strtol(argv[1], NULL, 10));
	else
		stay(&k, q);
	return 0;
}
