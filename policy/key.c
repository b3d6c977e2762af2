/*
 * policy/key.c - the constraints of the policy language: one table
 *
 * Runs in:   worker, frontend, posternctl
 * Input:     none; const data
 * May touch: nothing
 * Must not:  have a row that the documentation does not explain
 */
#include "policy/key.h"

#include <string.h>

static const struct key_row keys[KEYS_COUNT] = {
#define KEY_ROW(tag, name, groups, ops, type, stage, tight, reason, words) \
	[KEY_##tag] = {name, groups, ops, type, stage, tight, REASON_##reason, words},
	KEY_TABLE(KEY_ROW)};

const struct key_row *key_row(enum key key)
{
	return &keys[key];
}

uint64_t group_ops(uint32_t groups)
{
	uint64_t ops = 0;

	for (uint32_t n = op_after(OP_NONE); n != OP_NONE; n = op_after(n))
		if (op_by_number(n)->groups & groups)
			ops |= UINT64_C(1) << n;
	return ops;
}

const struct key_part key_parts[2] = {
	{KEY_SMART, OP_get_disks, OP_disk_smart},
	{KEY_FORCE, OP_shutdown, OP_power_force},
};

uint64_t with_parts(uint64_t ops)
{
	for (size_t i = 0; i < ARRAY_SIZE(key_parts); i++)
		if (ops >> key_parts[i].command & 1)
			ops |= UINT64_C(1) << key_parts[i].part;
	return ops;
}

uint64_t key_ops(enum key key)
{
	return with_parts(keys[key].ops | group_ops(keys[key].groups));
}

enum key key_find(const char *name, size_t len, uint64_t ops, bool *known)
{
	*known = false;
	for (enum key key = 0; key < KEYS_COUNT; key++) {
		const char *k = keys[key].name;

		if (!k || strlen(k) != len || memcmp(k, name, len) != 0)
			continue;
		*known = true;
		if (!(ops & ~key_ops(key)))
			return key;
	}
	return KEYS_COUNT;
}
