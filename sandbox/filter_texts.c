/*
 * sandbox/filter_texts.c - the table of system calls as people read it
 *
 * Runs in:   tests and what writes reports; no process of the agent
 * Input:     none; const data
 * May touch: nothing
 * Must not:  be linked into what only needs the numbers
 */
#include "ipc/util.h"
#include "sandbox/filters_asan.h"
#include "sandbox/sandbox.h"

#define ALLOW(call, roles, why, ...) \
	{                            \
		why, NULL,           \
		{                    \
			__VA_ARGS__  \
		}                    \
	}
#define FAIL(call, roles, err, why, ...) \
	{                                \
		why, NULL,               \
		{                        \
			__VA_ARGS__      \
		}                        \
	}
#define RARE(call, roles, why, unused, ...) \
	{                                   \
		why, unused,                \
		{                           \
			__VA_ARGS__         \
		}                           \
	}

#define IS(arg, value)         #value
#define BITS(arg, mask, value) #value " of " #mask
#define NONE_OF(arg, mask)     "none of " #mask

static const struct sc_text texts[] = {
#include "sandbox/rows.h"
};

const struct sc_text *sandbox_texts(size_t *n)
{
	*n = ARRAY_SIZE(texts);
	return texts;
}
