/*
 * tests/fuzz/fuzz_users.c - any bytes as utmp and as a session file of logind
 *
 * Runs in:   libFuzzer
 * Input:     the fuzzer's bytes: a size of the arena, then both files in one
 * May touch: memory
 * Must not:  accept a name that is empty, there twice, or holds a NUL
 *
 * run: floor 94
 */
#include <math.h>
#include <string.h>

#include "inspector/users.h"
#include "tests/lib/fuzz.h"

static void check(const struct v_list *users)
{
	const struct msg_user *u = users->v;

	for (uint32_t i = 0; i < users->n; i++) {
		struct v_str a = u[i].user;

		/* Read to its end, so that the sanitizer sees where it lies. */
		if (!a.set || !a.len || memchr(a.p, 0, a.len) ||
		    !isfinite(u[i].login_time.v))
			abort();
		for (uint32_t k = 0; k < i; k++)
			if (u[k].user.len == a.len &&
			    memcmp(u[k].user.p, a.p, a.len) == 0)
				abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static _Alignas(max_align_t) uint8_t memory[64 * 256];
	struct inspector in = {.arena = {.p = memory}};
	struct v_list users = {0};
	const char *file;

	if (!size)
		return 0;
	in.arena.cap = (size_t)data[0] * 64;
	file = (const char *)data + 1;
	users_of_utmp(&in, file, size - 1, &users);
	users_of_session(&in, text_of(file, size - 1), &users);
	check(&users);
	return 0;
}
