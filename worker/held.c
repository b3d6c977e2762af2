/*
 * worker/held.c - records and lines that cannot be written yet
 *
 * Runs in:   worker
 * Input:     records and lines of the worker; of an earlier one, which are checked
 * May touch: struct held of struct state, which outlives the worker
 * Must not:  grow, lose a change to what is none, lose one session's to another's
 */
#include "worker/held.h"

#include <string.h>

#include "ipc/util.h"

/* In front of each packet. */
struct head {
	uint32_t len;
	uint32_t kind;
	uint64_t session;
	uint64_t dropped;
};

static const uint32_t rooms[HELD_KINDS] = {
#define HELD_ROOM(tag, kib) (kib) * 1024,
	HELD_TABLE(HELD_ROOM)};

/* To make room for one, so much of the room is emptied: moving the rest costs. */
#define EVICT_PART 16

size_t held_room(enum held_kind kind)
{
	return rooms[kind];
}

static bool is_line(uint32_t kind)
{
	return kind == HELD_LINE;
}

/* The packet at *AT, which moves on to the next; 0: there is none. */
static size_t next(const struct held *h, size_t *at, struct head *head)
{
	size_t size;

	if (*at >= h->used)
		return 0;
	memcpy(head, h->bytes + *at, sizeof(*head));
	size = sizeof(*head) + head->len;
	*at += size;
	return size;
}

/* ---- taking some out ---- */

/* The packet of SIZE bytes that ends at FROM stays: move it up to *TO. */
static void keep(struct held *h, size_t from, size_t size, size_t *to)
{
	memmove(h->bytes + *to, h->bytes + from - size, size);
	*to += size;
}

static void forget(struct held *h, const struct head *head, size_t size)
{
	h->of_kind[head->kind] -= (uint32_t)size;
}

static void count_dropped(struct held *h, const struct head *head)
{
	if (is_line(head->kind))
		h->lines_dropped += 1 + head->dropped;
	else
		h->dropped += 1 + head->dropped;
}

/* ---- what an earlier worker left ---- */

/* The size of the packet at AT, if one can be there; else 0. */
static size_t packet_at(const struct held *h, size_t at, struct head *head)
{
	size_t left = h->used - at;

	if (left < sizeof(*head))
		return 0;
	memcpy(head, h->bytes + at, sizeof(*head));
	if (!head->len || head->len > left - sizeof(*head) || head->kind >= HELD_KINDS)
		return 0;
	return sizeof(*head) + head->len;
}

/* How far packets follow each other from AT on. */
static size_t whole_until(const struct held *h, size_t at)
{
	size_t size;
	struct head head;

	while ((size = packet_at(h, at, &head)))
		at += size;
	return at;
}

/* Where behind AT packets begin that lead to the end: no text has a head in it. */
static size_t next_whole(const struct held *h, size_t at)
{
	while (++at < h->used && whole_until(h, at) != h->used)
		;
	return at;
}

/*
 * Whoever wrote last may have died of it, or while he moved packets: count anew. What is
 * no packet is lost; of what had been moved already some may be there twice.
 */
static void mend(struct held *h)
{
	size_t at, size;
	struct head head;

	if (h->used > HELD_MAX)
		h->used = HELD_MAX;
	at = whole_until(h, 0);
	if (at < h->used) {
		size_t from = next_whole(h, at);

		memmove(h->bytes + at, h->bytes + from, h->used - from);
		h->used -= (uint32_t)(from - at);
		h->dropped++;
	}
	memset(h->of_kind, 0, sizeof(h->of_kind));
	for (at = 0; (size = next(h, &at, &head));)
		h->of_kind[head.kind] += (uint32_t)size;
}

/* The oldest of what is more than its room; and RECORDS: all of them. */
static void drop(struct held *h, bool records)
{
	size_t at = 0, to = 0, size;
	struct head head;

	while ((size = next(h, &at, &head))) {
		if ((records && !is_line(head.kind)) ||
		    h->of_kind[head.kind] > rooms[head.kind]) {
			forget(h, &head, size);
			count_dropped(h, &head);
		} else {
			keep(h, at, size, &to);
		}
	}
	h->used = (uint32_t)to;
}

void held_check(struct held *h, uint32_t format)
{
	mend(h);
	drop(h, h->format != format);
	h->format = format;
}

/* ---- room ---- */

/*
 * The session that has more than half of what there is of KIND, by the vote of Boyer and
 * Moore: what is left when bytes of different sessions have cancelled each other out.
 */
static bool heaviest(const struct held *h, enum held_kind kind, uint64_t *session)
{
	size_t at = 0, size, weight = 0, bytes = 0;
	struct head head;

	*session = 0;
	while ((size = next(h, &at, &head))) {
		if (head.kind != (uint32_t)kind)
			continue;
		if (head.session == *session) {
			weight += size;
		} else if (size <= weight) {
			weight -= size;
		} else {
			*session = head.session;
			weight = size - weight;
		}
	}
	for (at = 0; (size = next(h, &at, &head));)
		if (head.kind == (uint32_t)kind && head.session == *session)
			bytes += size;
	return bytes > h->of_kind[kind] / 2;
}

/* Drop the oldest packets of KIND and SESSION, at least BYTES of them. */
static void evict(struct held *h, enum held_kind kind, uint64_t session, size_t bytes)
{
	size_t at = 0, to = 0, gone = 0, size;
	struct head head;

	while ((size = next(h, &at, &head))) {
		if (head.kind == (uint32_t)kind && head.session == session &&
		    gone < bytes) {
			gone += size;
			forget(h, &head, size);
			count_dropped(h, &head);
		} else {
			keep(h, at, size, &to);
		}
	}
	h->used = (uint32_t)to;
}

static bool has_room(struct held *h, enum held_kind kind, size_t size)
{
	uint64_t session;

	while (h->of_kind[kind] + size > rooms[kind]) {
		if (kind == HELD_ACT || !heaviest(h, kind, &session))
			return false;
		evict(h, kind, session, max_size(size, rooms[kind] / EVICT_PART));
	}
	return true;
}

bool held_put(struct held *h, const struct packet *packet, size_t reserve)
{
	struct head head = {
		.len = (uint32_t)packet->len,
		.kind = packet->kind,
		.session = packet->session,
		.dropped = packet->dropped,
	};
	size_t size = sizeof(head) + packet->len;

	if (size + reserve > rooms[packet->kind] ||
	    !has_room(h, packet->kind, size + reserve))
		return false;
	memcpy(mempcpy(h->bytes + h->used, &head, sizeof(head)), packet->p, packet->len);
	h->of_kind[packet->kind] += (uint32_t)size;
	h->used += (uint32_t)size; /* last: until now it is not there */
	return true;
}

/* ---- giving out ---- */

bool held_waits(const struct held *h, bool lines)
{
	return lines ? h->of_kind[HELD_LINE] : h->used > h->of_kind[HELD_LINE];
}

bool held_give(struct held *h, bool lines, held_write *write, void *context)
{
	size_t at = 0, to = 0, size;
	struct head head;
	bool takes = true;

	while ((size = next(h, &at, &head))) {
		const struct packet packet = {
			.kind = (enum held_kind)head.kind,
			.session = head.session,
			.dropped = head.dropped,
			.p = h->bytes + at - head.len,
			.len = head.len,
		};

		if (is_line(head.kind) == lines && takes)
			takes = write(context, &packet);
		if (is_line(head.kind) == lines && takes)
			forget(h, &head, size);
		else
			keep(h, at, size, &to);
	}
	h->used = (uint32_t)to;
	return !held_waits(h, lines);
}
