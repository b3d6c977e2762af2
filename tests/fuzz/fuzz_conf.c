/*
 * tests/fuzz/fuzz_conf.c - any bytes as qemu-ga.conf
 *
 * Runs in:   libFuzzer
 * Input:     the fuzzer's bytes
 * May touch: memory
 * Must not:  accept what is printed with another meaning than it was read with
 *
 * run: floor 135
 */
#include "supervisor/keyfile.h"
#include "supervisor/options.h"
#include "tests/lib/fuzz.h"

/* All entries of the LEN bytes of TEXT, which has a NUL behind them. 0, or -1. */
static int read_all(struct options *o, char *text, size_t len)
{
	struct keyfile k;
	struct err e;
	int r = keyfile_start(&k, text, len, &e);

	while (r == 0 && (r = keyfile_next(&k, &e)) > 0) {
		if (k.group < text || k.key < k.group || k.value < k.key ||
		    k.value + strlen(k.value) > text + len)
			abort();
		r = options_key(o, k.key, k.value, &e) < 0 ? -1 : 0;
	}
	return r;
}

static char *dump(const struct options *o, size_t *len)
{
	char *text = NULL;
	FILE *f = open_memstream(&text, len);

	if (!f)
		abort();
	options_dump(o, f);
	fclose(f);
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(free_p) char *text = calloc(1, size + 1);
	CLEANUP(free_p) char *once = NULL;
	CLEANUP(free_p) char *again = NULL;
	CLEANUP(free_p) char *copy = NULL;
	struct options o, p;
	size_t len;

	options_init(&o, "postern");
	options_init(&p, "postern");
	if (!text)
		return 0;
	if (size)
		memcpy(text, data, size);
	if (read_all(&o, text, size) < 0)
		return 0;
	once = dump(&o, &len);
	copy = strdup(once);
	if (!copy || read_all(&p, copy, len) < 0)
		abort();
	again = dump(&p, &len);
	if (!streq(once, again))
		abort();
	return 0;
}
