/*
 * worker/held.c - lines that wait for a thaw, in memory that outlives the worker
 *
 * Runs in:   worker
 * Input:     lines of the worker; what an earlier worker left, which is checked
 * May touch: the lines in struct state
 * Must not:  grow, lose what must not be lost to what may be
 */
#include "worker/held.h"

#include <string.h>

#include "ipc/util.h"

/* In front of each packet. */
struct head {
	uint32_t len;
	uint32_t must;
};

/* To make room for one, so many bytes of the oldest go at once: moving the rest costs. */
#define EVICT (HELD_MAX / 16)

static struct head head_at(const struct held_lines *h, size_t at)
{
	struct head head;

	memcpy(&head, h->bytes + at, sizeof(head));
	return head;
}

/* Whoever wrote last may have died of it. */
static bool is_whole(const struct held_lines *h, size_t *plain)
{
	size_t at = 0;

	*plain = 0;
	if (h->used > HELD_MAX)
		return false;
	while (at < h->used) {
		struct head head;

		if (h->used - at < sizeof(head))
			return false;
		head = head_at(h, at);
		if (!head.len || head.len > h->used - at - sizeof(head))
			return false;
		at += sizeof(head) + head.len;
		*plain += head.must ? 0 : sizeof(head) + head.len;
	}
	return true;
}

void held_check(struct held_lines *h)
{
	size_t plain;

	if (!is_whole(h, &plain))
		h->used = plain = 0;
	h->plain = (uint32_t)plain;
}

/* Drop the oldest plain packets, at least BYTES of them; what must stay moves up. */
static void evict(struct held_lines *h, size_t bytes)
{
	size_t from = 0, to = 0, gone = 0;

	while (from < h->used) {
		struct head head = head_at(h, from);
		size_t size = sizeof(head) + head.len;

		if (!head.must && gone < bytes) {
			gone += size;
			h->dropped++;
		} else {
			memmove(h->bytes + to, h->bytes + from, size);
			to += size;
		}
		from += size;
	}
	h->used = (uint32_t)to;
	h->plain -= (uint32_t)gone;
}

static bool has_room(struct held_lines *h, bool must, size_t size)
{
	/* Plain ones make room for either; their half is all they have. */
	if ((!must && h->plain + size > HELD_MAX / 2) ||
	    (h->plain && h->used + size > HELD_MAX))
		evict(h, size > EVICT ? size : EVICT);
	return h->used + size <= HELD_MAX && (must || h->plain + size <= HELD_MAX / 2);
}

bool held_put(struct held_lines *h, bool must, uint8_t tag, const void *line, size_t len)
{
	struct head head = {.len = (uint32_t)len + 1, .must = must};
	size_t size = sizeof(head) + head.len;
	uint8_t *p;

	if (!has_room(h, must, size))
		return false;
	p = mempcpy(h->bytes + h->used, &head, sizeof(head));
	*p++ = tag;
	memcpy(p, line, len);
	h->plain += must ? 0 : (uint32_t)size;
	h->used += (uint32_t)size; /* last: until now it is not there */
	return true;
}

const uint8_t *held_next(const struct held_lines *h, size_t *at, size_t *len)
{
	struct head head;
	const uint8_t *p;

	if (*at >= h->used)
		return NULL;
	head = head_at(h, *at);
	p = h->bytes + *at + sizeof(head);
	*len = head.len;
	*at += sizeof(head) + head.len;
	return p;
}

void held_forget(struct held_lines *h, size_t at)
{
	size_t passed = 0, plain = 0;

	while (passed < at) {
		struct head head = head_at(h, passed);

		plain += head.must ? 0 : sizeof(head) + head.len;
		passed += sizeof(head) + head.len;
	}
	memmove(h->bytes, h->bytes + at, h->used - at);
	h->used -= (uint32_t)at;
	h->plain -= (uint32_t)plain;
}
