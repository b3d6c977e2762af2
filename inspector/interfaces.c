/*
 * inspector/interfaces.c - network interfaces: guest-network-get-interfaces
 *
 * Runs in:   inspector
 * Input:     netlink messages; names and addresses in them: any bytes
 * May touch: the netlink socket; the arena
 * Must not:  trust an index or a length in a message
 *
 * Two tables: the links with names, hardware addresses and counters, and the addresses,
 * which name their link by its index. Unlike the reference (protocol 5.5 no. 45) every
 * interface has its statistics, and an IPv4 address with a label ("eth0:1") is one of the
 * interface it belongs to: clients merge the two anyway.
 */
#include <arpa/inet.h>
#include <linux/if_link.h>

#include "inspector/kernel.h"
#include "inspector/netlink.h"
#include "inspector/shape.h"

/* Tables that change while they are read are read again, so many times. */
#define TRIES_MAX 8

/* Bytes of a hardware address that have a place in the answer (protocol 3.21). */
#define HARDWARE_BYTES 6

struct link {
	int index;
	uint32_t order; /* in which the kernel told it: for equal numbers, none are */
	struct msg_net_interface *iface;
};

struct table {
	struct inspector *in;
	struct v_list links; /* of struct link, by index */
};

/* ---- links ---- */

static struct v_str hardware_address(struct inspector *in, const struct attr *a)
{
	uint8_t b[HARDWARE_BYTES] = {0};

	if (a->p)
		memcpy(b, a->p, min_size(a->len, sizeof(b)));
	return inspect_text(in, "%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3],
			    b[4], b[5]);
}

/* As /proc/net/dev counts: what the hardware missed was dropped. */
static struct msg_net_stats statistics(const struct attr *a)
{
	struct rtnl_link_stats64 s = {0};

	memcpy(&s, a->p, min_size(a->len, sizeof(s)));
	return (struct msg_net_stats){
		.rx_bytes = V_U64(s.rx_bytes),
		.rx_packets = V_U64(s.rx_packets),
		.rx_errs = V_U64(s.rx_errors),
		.rx_dropped = V_U64(s.rx_dropped + s.rx_missed_errors),
		.tx_bytes = V_U64(s.tx_bytes),
		.tx_packets = V_U64(s.tx_packets),
		.tx_errs = V_U64(s.tx_errors),
		.tx_dropped = V_U64(s.tx_dropped),
	};
}

static int add_statistics(struct inspector *in, const struct attr *a,
			  struct msg_net_interface *iface)
{
	struct msg_net_stats *stats;

	if (!a->p)
		return 0;
	stats = arena_take(&in->arena, sizeof(*stats));
	if (!stats)
		return errno = ENOMEM, -1;
	*stats = statistics(a);
	iface->statistics = (struct v_obj){.v = stats, .set = true};
	return 0;
}

static size_t name_length(const struct attr *a)
{
	return a->p ? strnlen((const char *)a->p, a->len) : 0;
}

/* The receive buffer is used again: the name must be copied. */
static struct v_str name_of(struct inspector *in, const struct attr *a)
{
	return inspect_text(in, "%.*s", (int)name_length(a),
			    a->p ? (const char *)a->p : "");
}

static int each_link(void *arg, const struct nlmsghdr *m)
{
	struct table *t = arg;
	struct attr attrs[NETLINK_ATTRS_MAX];
	struct msg_net_interface *iface;
	struct ifinfomsg info;
	struct link *link;

	if (m->nlmsg_type != RTM_NEWLINK || !netlink_attrs(m, sizeof(info), attrs))
		return 0;
	if (!shape_shows(t->in, (const char *)attrs[IFLA_IFNAME].p,
			 name_length(&attrs[IFLA_IFNAME])))
		return 0;
	memcpy(&info, NLMSG_DATA(m), sizeof(info));
	iface = arena_take(&t->in->arena, sizeof(*iface));
	link = inspect_add(t->in, &t->links, sizeof(*link));
	if (!iface || !link)
		return errno = ENOMEM, -1;
	*link = (struct link){info.ifi_index, t->links.n, iface};
	iface->name = name_of(t->in, &attrs[IFLA_IFNAME]);
	iface->hardware_address = hardware_address(t->in, &attrs[IFLA_ADDRESS]);
	if (!iface->name.set || !iface->hardware_address.set)
		return errno = ENOMEM, -1;
	return add_statistics(t->in, &attrs[IFLA_STATS64], iface);
}

static int by_index(const void *a, const void *b)
{
	const struct link *x = a, *y = b;

	if (x->index != y->index)
		return x->index < y->index ? -1 : 1;
	return x->order < y->order ? -1 : 1;
}

/* ---- addresses ---- */

static const struct family {
	uint8_t family;
	size_t bytes;
	const char *name;
} families[] = {{AF_INET, 4, "ipv4"}, {AF_INET6, 16, "ipv6"}};

static const struct family *family_of(uint8_t number)
{
	for (size_t i = 0; i < ARRAY_SIZE(families); i++)
		if (families[i].family == number)
			return &families[i];
	return NULL;
}

static struct msg_net_interface *iface_of(const struct table *t, int index)
{
	const struct link key = {.index = index};
	const struct link *l = t->links.v;
	size_t low = 0, high = t->links.n;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (l[mid].index < key.index)
			low = mid + 1;
		else
			high = mid;
	}
	return low < t->links.n && l[low].index == index ? l[low].iface : NULL;
}

static int each_address(void *arg, const struct nlmsghdr *m)
{
	struct table *t = arg;
	struct attr attrs[NETLINK_ATTRS_MAX];
	struct msg_net_interface *iface;
	struct msg_ip_address *address;
	const struct family *family;
	const struct attr *a;
	struct ifaddrmsg info;
	char text[INET6_ADDRSTRLEN];

	if (m->nlmsg_type != RTM_NEWADDR || !netlink_attrs(m, sizeof(info), attrs))
		return 0;
	memcpy(&info, NLMSG_DATA(m), sizeof(info));
	family = family_of(info.ifa_family);
	iface = iface_of(t, (int)info.ifa_index);
	/* On a point-to-point link the other one is the peer's. */
	a = attrs[IFA_LOCAL].p ? &attrs[IFA_LOCAL] : &attrs[IFA_ADDRESS];
	if (!family || !iface || a->len != family->bytes ||
	    !inet_ntop(family->family, a->p, text, sizeof(text)))
		return 0;
	address = inspect_add(t->in, &iface->ip_addresses, sizeof(*address));
	if (!address)
		return errno = ENOMEM, -1;
	*address = (struct msg_ip_address){
		.ip_address = inspect_text(t->in, "%s", text),
		.type = v_str(family->name),
		.prefix = V_INT(info.ifa_prefixlen),
	};
	return address->ip_address.set ? 0 : (errno = ENOMEM, -1);
}

/* ---- the answer ---- */

static int read_tables(struct table *t)
{
	t->links = (struct v_list){0};
	if (netlink_dump(t->in, RTM_GETLINK, each_link, t) < 0)
		return -1;
	if (t->links.n)
		qsort(t->links.v, t->links.n, sizeof(struct link), by_index);
	return netlink_dump(t->in, RTM_GETADDR, each_address, t);
}

int inspect_network_get_interfaces(struct inspector *in, const struct msg_empty *args,
				   struct msg_net_interfaces *result, struct err *e)
{
	struct table t = {.in = in};
	const size_t mark = in->arena.len;
	const struct link *links;
	int tries = 0, r;

	(void)args;
	do {
		in->arena.len = mark;
		r = read_tables(&t);
	} while (r < 0 && errno == EINTR && ++tries < TRIES_MAX);
	if (r < 0 && errno == ENOMEM)
		return inspect_full(e);
	if (r < 0)
		return kernel_error(e, errno, "network links");
	links = t.links.v;
	result->value.set = true;
	for (uint32_t i = 0; i < t.links.n; i++) {
		struct msg_net_interface *to =
			inspect_add(in, &result->value, sizeof(*to));

		if (!to)
			return inspect_full(e);
		*to = *links[i].iface;
	}
	return 0;
}
