/*
 * inspector/routes.c - routing tables: guest-network-get-route
 *
 * Runs in:   inspector
 * Input:     /proc/net/route and /proc/net/ipv6_route: any bytes
 * May touch: these files, read-only; the arena
 * Must not:  fail for IPv6 being off: such a guest has IPv4 routes (protocol 5.5 no. 48)
 *
 * Text, since the protocol's fields (use, refcnt, irtt) come from there; IPv4 is the main
 * table, IPv6 all tables (protocol 3.22). The kernel gives a page at a time: of a longer
 * table, a line may be lacking or come twice if routes change meanwhile.
 */
#include "inspector/routes.h"

#include <arpa/inet.h>

#include "inspector/kernel.h"

/* ---- IPv4: iface destination gateway flags refcnt use metric mask mtu window irtt ----
 */

enum {
	V4_DESTINATION,
	V4_GATEWAY,
	V4_FLAGS,
	V4_REFCNT,
	V4_USE,
	V4_METRIC,
	V4_MASK,
	V4_MTU,
	V4_WINDOW,
	V4_IRTT,
	V4_COLUMNS
};

static const int v4_base[V4_COLUMNS] = {16, 16, 16, 10, 10, 10, 16, 10, 10, 10};

/* The word as it lies in memory: its bytes are those of the address. */
static struct v_str v4_address(struct inspector *in, uint64_t word)
{
	const uint32_t bytes = (uint32_t)word;
	char text[INET_ADDRSTRLEN];

	inet_ntop(AF_INET, &bytes, text, sizeof(text));
	return inspect_text(in, "%s", text);
}

/* Older kernels (until 2024) write a metric above INT32_MAX as a negative number. */
static bool v4_number(struct text word, size_t column, uint64_t *v)
{
	const bool negative = column == V4_METRIC && word.p < word.end && *word.p == '-';

	word.p += negative;
	if (!text_u64(word, v4_base[column], v) ||
	    *v > (negative ? -(int64_t)INT32_MIN : UINT32_MAX))
		return false;
	if (negative)
		*v = (uint32_t)(0 - *v);
	return true;
}

int route_ipv4(struct inspector *in, struct text line, struct msg_net_route *r)
{
	uint64_t v[V4_COLUMNS];
	struct text name, word;

	if (!text_word(&line, &name))
		return 0;
	for (size_t i = 0; i < V4_COLUMNS; i++)
		if (!text_word(&line, &word) || !v4_number(word, i, &v[i]))
			return 0;
	*r = (struct msg_net_route){
		.iface = text_str(name),
		.destination = v4_address(in, v[V4_DESTINATION]),
		.metric = V_INT((int64_t)v[V4_METRIC]),
		.gateway = v4_address(in, v[V4_GATEWAY]),
		.mask = v4_address(in, v[V4_MASK]),
		.irtt = V_INT((int64_t)v[V4_IRTT]),
		.flags = V_U64(v[V4_FLAGS]),
		.refcnt = V_INT((int64_t)v[V4_REFCNT]),
		.use = V_INT((int64_t)v[V4_USE]),
		.window = V_INT((int64_t)v[V4_WINDOW]),
		.mtu = V_INT((int64_t)v[V4_MTU]),
		.version = V_INT(4),
	};
	return r->destination.set && r->gateway.set && r->mask.set ? 1 : -1;
}

/* ---- IPv6: destination length source length nexthop metric refcnt use flags iface ----
 */

enum {
	V6_DESTINATION_LEN,
	V6_SOURCE_LEN,
	V6_METRIC,
	V6_REFCNT,
	V6_USE,
	V6_FLAGS,
	V6_COLUMNS
};

/* 32 hexadecimal digits, as text of an address; not set: they are none. */
static bool v6_address(struct inspector *in, struct text *line, struct v_str *out)
{
	uint8_t bytes[16];
	char text[INET6_ADDRSTRLEN];
	struct text word;

	if (!text_word(line, &word) || word.end - word.p != 2 * (ptrdiff_t)sizeof(bytes))
		return false;
	for (size_t i = 0; i < sizeof(bytes); i++) {
		const struct text digits = {word.p + 2 * i, word.p + 2 * i + 2};
		uint64_t byte;

		if (!text_u64(digits, 16, &byte))
			return false;
		bytes[i] = (uint8_t)byte;
	}
	inet_ntop(AF_INET6, bytes, text, sizeof(text));
	*out = inspect_text(in, "%s", text);
	return true;
}

static bool v6_numbers(struct text *line, uint64_t *v, size_t from, size_t to)
{
	struct text word;

	for (size_t i = from; i < to; i++)
		if (!text_word(line, &word) || !text_u64(word, 16, &v[i]) ||
		    v[i] > UINT32_MAX)
			return false;
	return true;
}

int route_ipv6(struct inspector *in, struct text line, struct msg_net_route *r)
{
	struct v_str destination, source, nexthop;
	uint64_t v[V6_COLUMNS];
	struct text name;

	if (!v6_address(in, &line, &destination) ||
	    !v6_numbers(&line, v, V6_DESTINATION_LEN, V6_SOURCE_LEN) ||
	    !v6_address(in, &line, &source) ||
	    !v6_numbers(&line, v, V6_SOURCE_LEN, V6_METRIC) ||
	    !v6_address(in, &line, &nexthop) ||
	    !v6_numbers(&line, v, V6_METRIC, V6_COLUMNS) || !text_word(&line, &name))
		return 0;
	*r = (struct msg_net_route){
		.iface = text_str(name),
		.destination = destination,
		.metric = V_INT((int64_t)v[V6_METRIC]),
		.flags = V_U64(v[V6_FLAGS]),
		.refcnt = V_INT((int64_t)v[V6_REFCNT]),
		.use = V_INT((int64_t)v[V6_USE]),
		.version = V_INT(6),
		.source = source,
		.nexthop = nexthop,
		.desprefixlen =
			inspect_text(in, "%u", (unsigned int)v[V6_DESTINATION_LEN]),
		.srcprefixlen = inspect_text(in, "%u", (unsigned int)v[V6_SOURCE_LEN]),
	};
	if (!destination.set || !source.set || !nexthop.set || !r->desprefixlen.set ||
	    !r->srcprefixlen.set)
		return -1;
	return 1;
}

/* ---- the answer ---- */

static const struct routing_table {
	const char *path;
	int (*route)(struct inspector *in, struct text line, struct msg_net_route *r);
} tables[] = {{"/proc/net/route", route_ipv4}, {"/proc/net/ipv6_route", route_ipv6}};

static int add_routes(struct inspector *in, const struct routing_table *table,
		      struct text t, struct v_list *list)
{
	struct text line;

	while (text_line(&t, &line)) {
		struct msg_net_route route, *to;
		int r = table->route(in, line, &route);

		if (r == 0)
			continue;
		to = r > 0 ? inspect_add(in, list, sizeof(*to)) : NULL;
		if (!to)
			return -1;
		*to = route;
	}
	return 0;
}

int inspect_network_get_route(struct inspector *in, const struct msg_empty *args,
			      struct msg_net_routes *result, struct err *e)
{
	size_t missing = 0;

	(void)args;
	result->value.set = true;
	for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
		struct text t;

		if (kernel_table(in, tables[i].path, &t, e) < 0) {
			if (e->cls != ERR_NOT_FOUND)
				return -1;
			missing++;
		} else if (add_routes(in, &tables[i], t, &result->value) < 0) {
			return inspect_full(e);
		}
	}
	/* E says what the last one lacked. */
	return missing == ARRAY_SIZE(tables) ? -1 : 0;
}
