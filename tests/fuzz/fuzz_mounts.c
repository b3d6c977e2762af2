/*
 * tests/fuzz/fuzz_mounts.c - any bytes as the table of mounts
 *
 * Runs in:   libFuzzer
 * Input:     the fuzzer's bytes
 * May touch: memory
 * Must not:  accept a mount without a device, or a text that is none
 *
 * run: floor 38
 */
#include <string.h>
#include <sys/sysmacros.h>

#include "inspector/mounts.h"
#include "tests/lib/fuzz.h"

/* Every other source is a disk. */
static int some_disks(const struct sys *sys, const char *path, dev_t *dev)
{
	(void)sys;
	*dev = makedev(8, 1);
	return strlen(path) % 2 ? 0 : -1;
}

static bool is_text(const struct inspector *in, struct v_str s)
{
	return s.set && s.p >= (const char *)in->arena.p &&
	       s.p + s.len < (const char *)in->arena.p + in->arena.len &&
	       strlen(s.p) == s.len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct sys_ops ops = {.block_dev = some_disks};
	static _Alignas(max_align_t) uint8_t memory[64 * 1024];
	CLEANUP(free_p) char *text = malloc(size + 1);
	struct inspector in = {
		.sys = {.root_fd = -1, .ops = &ops},
		.arena = {.p = memory, .cap = sizeof(memory)},
	};
	struct v_list list = {};
	const struct mount *m;
	struct err e;

	if (!text)
		return 0;
	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	if (mounts_parse(&in, text, size, &list, &e) < 0)
		return 0;
	m = list.v;
	for (uint32_t i = 0; i < list.n; i++)
		if (!major(m[i].dev) || !is_text(&in, m[i].point) ||
		    !is_text(&in, m[i].type))
			abort();
	return 0;
}
