/*
 * ipc/commands.c - the commands of the protocol: number and name
 *
 * Runs in:   all processes
 * Input:     none; const data
 * May touch: nothing
 * Must not:  know what a command's arguments consist of
 */
#include "ipc/commands.h"

static const struct command {
	const char *name;
	uint32_t len; /* of the name */
	uint32_t flags;
} commands[OP_MAX] = {
#define COMMAND(tag, number, name_, args, result, carrier, groups, caps, flags_, limit, \
		audit)                                                                  \
	[number] = {name_, sizeof(name_) - 1, flags_},
	OP_TABLE(COMMAND)};

/* A number that two rows share does not compile. */
#define OP_CASE(tag, number, ...) case (number):
static inline UNUSED void numbers_are_unique(int number)
{
	switch (number) {
		OP_TABLE(OP_CASE)
	default:;
	}
}

uint32_t op_flags(uint32_t number)
{
	return number < OP_MAX ? commands[number].flags : 0;
}

const char *op_name(uint32_t number)
{
	return number < OP_MAX ? commands[number].name : NULL;
}

uint32_t op_after(uint32_t number)
{
	for (number++; number < OP_MAX; number++)
		if (commands[number].name && !(commands[number].flags & OPF_PART))
			return number;
	return OP_NONE;
}

uint32_t op_by_name(const char *name, size_t len)
{
	for (uint32_t n = op_after(OP_NONE); n != OP_NONE; n = op_after(n))
		if (commands[n].len == len && !memcmp(commands[n].name, name, len))
			return n;
	return OP_NONE;
}
