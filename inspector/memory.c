/*
 * inspector/memory.c - blocks of memory that can be taken off
 *
 * Runs in:   inspector
 * Input:     /sys/devices/system/memory: any bytes
 * May touch: these files, read-only; the arena
 * Must not:  touch a block
 */
#include <inttypes.h>
#include <stdio.h>

#include "inspector/kernel.h"

#define MEMORY_DIR "/sys/devices/system/memory"

/* ---- guest-get-memory-blocks ---- */

/* The attribute NAME of a block. Its length; 0: there is none; -1 with E filled. */
static ssize_t block_attr(const struct sys *blocks, uint64_t index, const char *name,
			  char *buf, size_t cap, struct err *e)
{
	char path[64];
	ssize_t len;

	snprintf(path, sizeof(path), "memory%" PRIu64 "/%s", index, name);
	len = sys_read_attr(blocks, path, buf, cap);
	if (len == 0)
		return err_set(e, ERR_GENERIC, "pread sysfs file \"%s\": unexpected EOF",
			       name);
	if (len < 0 && errno == ENOENT)
		return 0;
	if (len < 0)
		return err_sys(e, errno, "open sysfs file \"%s\"", name);
	return len;
}

static int read_block(const struct sys *blocks, uint64_t index,
		      struct msg_memory_block *block, struct err *e)
{
	static const char online[] = "online";
	char state[32], removable[8] = "0";
	ssize_t len = block_attr(blocks, index, "state", state, sizeof(state), e);

	/* Without a state there is nothing to change: it is on. */
	if (len < 0 || (len > 0 && block_attr(blocks, index, "removable", removable,
					      sizeof(removable), e) < 0))
		return -1;
	block->phys_index = V_U64(index);
	block->online = V_BOOL(len == 0 || strncmp(state, online, strlen(online)) == 0);
	block->can_offline = V_BOOL(removable[0] != '0');
	return 0;
}

static int read_blocks(struct inspector *in, const struct numbers *indexes,
		       struct v_list *list, struct err *e)
{
	for (uint32_t i = 0; i < indexes->n; i++) {
		struct msg_memory_block *block = inspect_add(in, list, sizeof(*block));

		if (!block)
			return inspect_full(e);
		if (read_block(&indexes->dir, indexes->v[i], block, e) < 0)
			return -1;
	}
	return 0;
}

int inspect_get_memory_blocks(struct inspector *in, const struct msg_empty *args,
			      struct msg_memory_blocks *result, struct err *e)
{
	CLEANUP(numbers_free) struct numbers indexes;

	(void)args;
	result->value.set = true;
	if (kernel_numbered(in, MEMORY_DIR, "memory", &indexes) < 0) {
		/* A kernel that cannot take memory off: no blocks (protocol 3.26). */
		if (errno == ENOENT)
			return 0;
		return err_sys(e, errno, "Can't open directory\"" MEMORY_DIR "/\"");
	}
	if (!indexes.n)
		return err_set(e, ERR_GENERIC, "guest reported zero memory blocks!");
	return read_blocks(in, &indexes, &result->value, e);
}

/* ---- guest-get-memory-block-info ---- */

int inspect_get_memory_block_info(struct inspector *in, const struct msg_empty *args,
				  struct msg_memory_block_info *result, struct err *e)
{
	static const char path[] = MEMORY_DIR "/block_size_bytes";
	static const char what[] = "open sysfs file \"block_size_bytes\"";
	char text[32];
	ssize_t len = sys_read_attr(&in->sys, path, text, sizeof(text));
	uint64_t size;

	(void)args;
	if (len < 0)
		return kernel_error(e, errno, what);
	if (!text_u64(text_of(text, (size_t)len), 16, &size))
		return err_sys(e, EINVAL, what);
	result->size = V_U64(size);
	return 0;
}
