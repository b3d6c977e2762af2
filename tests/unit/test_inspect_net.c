/*
 * tests/unit/test_inspect_net.c - interfaces and routes, from a kernel that a test plays
 *
 * Runs in:   a test
 * Input:     netlink messages and files that it makes
 * May touch: a scratch directory
 * Must not:  depend on the machine's network
 */
#include <arpa/inet.h>
#include <limits.h>
#include <linux/if_link.h>
#include <sys/socket.h>

#include "inspector/netlink.h"
#include "tests/lib/inspect.h"

/* ---- a kernel ---- */

#define DATAGRAMS_MAX 64

/* One datagram, as the kernel would send it; `seq` of its messages is filled in late. */
struct datagram {
	_Alignas(8) uint8_t bytes[8192];
	size_t len;
	uint32_t pid;
	bool truncated;
};

/* The answer to the first question (links), then to the second, and so on. */
static struct kernel {
	struct datagram out[DATAGRAMS_MAX];
	size_t n;    /* made */
	size_t next; /* to be received */
	uint32_t seq;
	unsigned int asked;
	int fail; /* errno of the next receive */
} kernel;

static ssize_t take_question(int sock, const struct msghdr *msg)
{
	const struct nlmsghdr *m = msg->msg_iov->iov_base;
	const struct sockaddr_nl *to = msg->msg_name;

	assert_int_equal(sock, 77);
	assert_int_equal(m->nlmsg_flags, NLM_F_REQUEST | NLM_F_DUMP);
	assert_int_equal(m->nlmsg_type, kernel.asked % 2 ? RTM_GETADDR : RTM_GETLINK);
	assert_int_equal(to->nl_pid, 0);
	kernel.seq = m->nlmsg_seq;
	kernel.asked++;
	return (ssize_t)m->nlmsg_len;
}

static ssize_t give_datagram(int sock, struct msghdr *msg)
{
	struct datagram *d = &kernel.out[kernel.next];
	struct sockaddr_nl *from = msg->msg_name;

	(void)sock;
	if (kernel.fail) {
		errno = kernel.fail;
		kernel.fail = 0;
		return -1;
	}
	/* The test gave too few: a real kernel would leave us waiting. */
	assert_true(kernel.next++ < kernel.n);
	for (size_t at = 0; at + NLMSG_HDRLEN <= d->len;) {
		struct nlmsghdr *m = (void *)(d->bytes + at);

		if (!m->nlmsg_seq)
			m->nlmsg_seq = kernel.seq;
		if (m->nlmsg_len < NLMSG_HDRLEN || m->nlmsg_len > d->len - at)
			break;
		at += NLMSG_ALIGN(m->nlmsg_len);
	}
	assert_true(d->len <= msg->msg_iov->iov_len);
	memcpy(msg->msg_iov->iov_base, d->bytes, d->len);
	*from = (struct sockaddr_nl){.nl_family = AF_NETLINK, .nl_pid = d->pid};
	msg->msg_flags = d->truncated ? MSG_TRUNC : 0;
	return (ssize_t)d->len;
}

static const struct net_ops played = {take_question, give_datagram};

static struct datagram *begin(void)
{
	assert_true(kernel.n < DATAGRAMS_MAX);
	memset(&kernel.out[kernel.n], 0, sizeof(kernel.out[0]));
	return &kernel.out[kernel.n++];
}

static struct nlmsghdr *put_message(struct datagram *d, uint16_t type, const void *head,
				    size_t len)
{
	struct nlmsghdr *m = (void *)(d->bytes + d->len);

	*m = (struct nlmsghdr){.nlmsg_len = (uint32_t)NLMSG_LENGTH(len),
			       .nlmsg_type = type,
			       .nlmsg_flags = NLM_F_MULTI};
	if (len)
		memcpy(NLMSG_DATA(m), head, len);
	d->len += NLMSG_SPACE(len);
	return m;
}

static void put_attr(struct datagram *d, struct nlmsghdr *m, uint16_t type, const void *p,
		     size_t len)
{
	struct rtattr *a = (void *)(d->bytes + d->len);

	*a = (struct rtattr){.rta_type = type, .rta_len = (uint16_t)RTA_LENGTH(len)};
	memcpy(RTA_DATA(a), p, len);
	d->len += RTA_SPACE(len);
	m->nlmsg_len = (uint32_t)(d->bytes + d->len - (uint8_t *)m);
}

static struct nlmsghdr *put_iface(struct datagram *d, int index, const char *name,
				  const char *mac, size_t mac_len)
{
	const struct ifinfomsg info = {.ifi_index = index};
	struct nlmsghdr *m = put_message(d, RTM_NEWLINK, &info, sizeof(info));

	put_attr(d, m, IFLA_IFNAME, name, strlen(name) + 1);
	if (mac)
		put_attr(d, m, IFLA_ADDRESS, mac, mac_len);
	return m;
}

static struct nlmsghdr *put_ip(struct datagram *d, uint32_t index, int family, int prefix,
			       uint16_t type, const char *text)
{
	const struct ifaddrmsg info = {.ifa_family = (uint8_t)family,
				       .ifa_prefixlen = (uint8_t)prefix,
				       .ifa_index = index};
	struct nlmsghdr *m = put_message(d, RTM_NEWADDR, &info, sizeof(info));
	uint8_t bytes[16];

	assert_int_equal(inet_pton(family, text, bytes), 1);
	put_attr(d, m, type, bytes, family == AF_INET ? 4 : 16);
	return m;
}

static void put_done(struct datagram *d)
{
	const int zero = 0;

	put_message(d, NLMSG_DONE, &zero, sizeof(zero));
}

static int set_up_net(void **state)
{
	struct fixture *f;

	if (set_up(state) < 0)
		return -1;
	f = *state;
	memset(&kernel, 0, sizeof(kernel));
	f->in.net = &played;
	f->in.route = 77;
	f->in.route_seq = 41;
	return 0;
}

#define NET(name) cmocka_unit_test_setup_teardown(name, set_up_net, tear_down)

/* ---- interfaces ---- */

static const struct msg_net_interface *interfaces(struct fixture *f, uint32_t n)
{
	static struct msg_net_interfaces got;

	get(f, OP_network_get_interfaces, &got);
	assert_int_equal(got.value.n, n);
	assert_int_equal(kernel.next, kernel.n);
	return got.value.v;
}

static void test_interfaces(void **state)
{
	struct fixture *f = *state;
	const struct rtnl_link_stats64 stats = {.rx_packets = 1,
						.tx_packets = 2,
						.rx_bytes = 1ull << 40,
						.tx_bytes = 4,
						.rx_errors = 5,
						.tx_errors = 6,
						.rx_dropped = 7,
						.tx_dropped = 8,
						.rx_missed_errors = 90};
	const struct msg_net_interface *i;
	const struct msg_ip_address *a;
	const struct msg_net_stats *s;
	struct datagram *d = begin();

	/* Out of order, as the kernel's table of indexes is. */
	put_attr(d, put_iface(d, 3, "eth0", "\x52\x54\0\xab\xcd\xef", 6), IFLA_STATS64,
		 &stats, sizeof(stats));
	put_iface(d, 1, "lo", "\0\0\0\0\0\0", 6);
	d = begin();
	put_iface(d, 9, "tun0", NULL, 0);
	put_iface(d, 8, "ib0", "\x80\0\0\x48\xfe\x80\1\2\3\4\5\6\7\x8\x9\xa\xb\xc\xd\xe",
		  20);
	put_iface(d, 7, "sit0", "\xa\1\2\3", 4);
	put_done(d);
	d = begin();
	put_ip(d, 1, AF_INET, 8, IFA_ADDRESS, "127.0.0.1");
	put_ip(d, 3, AF_INET, 24, IFA_LOCAL, "192.0.2.5");
	put_ip(d, 55, AF_INET, 24, IFA_LOCAL, "192.0.2.99");
	put_ip(d, 3, AF_INET6, 64, IFA_ADDRESS, "fe80::1");
	put_done(d);
	i = interfaces(f, 5);
	assert_text(i[0].name, "lo");
	assert_text(i[0].hardware_address, "00:00:00:00:00:00");
	assert_false(i[0].statistics.set);
	assert_text(i[1].name, "eth0");
	assert_text(i[1].hardware_address, "52:54:00:ab:cd:ef");
	assert_int_equal(i[1].ip_addresses.n, 2);
	a = i[1].ip_addresses.v;
	assert_text(a[0].ip_address, "192.0.2.5");
	assert_text(a[0].type, "ipv4");
	assert_int_equal(a[0].prefix.v, 24);
	assert_text(a[1].ip_address, "fe80::1");
	assert_text(a[1].type, "ipv6");
	s = i[1].statistics.v;
	assert_int_equal(s->rx_bytes.v, 1ull << 40);
	assert_int_equal(s->rx_packets.v, 1);
	assert_int_equal(s->rx_errs.v, 5);
	assert_int_equal(s->rx_dropped.v, 97);
	assert_int_equal(s->tx_bytes.v, 4);
	assert_int_equal(s->tx_packets.v, 2);
	assert_int_equal(s->tx_errs.v, 6);
	assert_int_equal(s->tx_dropped.v, 8);
	assert_text(i[2].hardware_address, "0a:01:02:03:00:00");
	assert_text(i[3].hardware_address, "80:00:00:48:fe:80");
	assert_text(i[4].name, "tun0");
	assert_text(i[4].hardware_address, "00:00:00:00:00:00");
	assert_false(i[4].ip_addresses.set);
}

/* The address of the other end is not ours, and a label is no interface. */
static void test_peers_and_labels(void **state)
{
	struct fixture *f = *state;
	const struct msg_net_interface *i;
	const struct msg_ip_address *a;
	struct datagram *d = begin();
	const uint8_t peer[] = {10, 0, 0, 2};
	struct nlmsghdr *m;

	put_iface(d, 2, "ppp0", NULL, 0);
	put_done(d);
	d = begin();
	m = put_ip(d, 2, AF_INET, 32, IFA_LOCAL, "10.0.0.1");
	put_attr(d, m, IFA_ADDRESS, peer, sizeof(peer));
	put_attr(d, m, IFA_LABEL, "ppp0:1", 7);
	put_done(d);
	i = interfaces(f, 1);
	assert_text(i[0].name, "ppp0");
	assert_int_equal(i[0].ip_addresses.n, 1);
	a = i[0].ip_addresses.v;
	assert_text(a[0].ip_address, "10.0.0.1");
	assert_int_equal(a[0].prefix.v, 32);
}

static void test_no_interface_at_all(void **state)
{
	put_done(begin());
	put_done(begin());
	interfaces(*state, 0);
}

/* ---- a kernel under change, and messages that are none of the answer ---- */

/* A link that came while they were read: both tables are asked for anew. */
static void test_asked_again_after_a_change(void **state)
{
	const struct msg_net_interface *i;
	struct datagram *d = begin();

	put_iface(d, 1, "lo", NULL, 0);
	put_done(d);
	d = begin();
	put_ip(d, 1, AF_INET, 8, IFA_LOCAL, "127.0.0.1")->nlmsg_flags |= NLM_F_DUMP_INTR;
	put_done(d);
	d = begin();
	put_iface(d, 1, "lo", NULL, 0);
	put_iface(d, 2, "new", NULL, 0);
	put_done(d);
	d = begin();
	put_ip(d, 1, AF_INET, 8, IFA_LOCAL, "127.0.0.1");
	put_done(d);
	i = interfaces(*state, 2);
	assert_text(i[1].name, "new");
	assert_int_equal(i[0].ip_addresses.n, 1);
	assert_int_equal(kernel.asked, 4);
}

/* One that never comes to rest is told so, in the end. */
static void test_a_network_without_rest(void **state)
{
	for (unsigned int i = 0; i < 8; i++) {
		put_done(begin());
		put_message(begin(), NLMSG_DONE, "\0\0\0", 4)->nlmsg_flags |=
			NLM_F_DUMP_INTR;
	}
	assert_int_equal(ask(*state, OP_network_get_interfaces), ANSWER_ERROR);
	assert_int_equal(kernel.asked, 16);
}

static void test_not_from_the_kernel(void **state)
{
	const struct msg_net_interface *i;
	struct datagram *d = begin();

	put_iface(d, 66, "evil0", NULL, 0);
	put_done(d);
	d->pid = 4711;
	d = begin();
	put_iface(d, 1, "lo", NULL, 0);
	put_iface(d, 67, "old0", NULL, 0)->nlmsg_seq = 41; /* of an earlier question */
	put_done(d);
	put_done(begin());
	i = interfaces(*state, 1);
	assert_text(i[0].name, "lo");
}

static void assert_fails(struct fixture *f, const char *desc)
{
	assert_error(f, OP_network_get_interfaces, ERR_GENERIC, desc);
}

static void test_the_kernel_refuses(void **state)
{
	const struct nlmsgerr refusal = {.error = -EPERM};

	put_message(begin(), NLMSG_ERROR, &refusal, sizeof(refusal));
	kernel.out[0].len = NLMSG_SPACE(sizeof(refusal));
	assert_fails(*state, "network links: Operation not permitted");
}

/* It may also give up after a part of the table, and says so at the end. */
static void test_the_kernel_gives_up(void **state)
{
	const int error = -ENOBUFS;
	struct datagram *d = begin();

	put_iface(d, 1, "lo", NULL, 0);
	put_message(d, NLMSG_DONE, &error, sizeof(error));
	assert_fails(*state, "network links: No buffer space available");
}

/* What is no errno has no positive counterpart either. */
static void test_the_kernel_talks_nonsense(void **state)
{
	const int error = INT_MIN;

	put_message(begin(), NLMSG_DONE, &error, sizeof(error));
	assert_fails(*state, "network links: Bad message");
}

static void test_receiving_fails(void **state)
{
	kernel.fail = ENOBUFS;
	assert_fails(*state, "network links: No buffer space available");
}

static void test_without_a_socket(void **state)
{
	struct fixture *f = *state;

	f->in.route = -1;
	assert_int_equal(ask(f, OP_network_get_interfaces), ANSWER_ERROR);
	assert_int_equal(f->e.cls, ERR_NOT_FOUND);
}

static void test_cut_datagram(void **state)
{
	struct datagram *d = begin();

	put_iface(d, 1, "lo", NULL, 0);
	d->truncated = true;
	assert_fails(*state, "network links: Message too long");
}

/* Lengths that lie: nothing is read beyond, nothing hangs. */
static void test_lengths_that_lie(void **state)
{
	static const uint32_t lengths[] = {0, 1, 15, 17, 9999, UINT32_MAX};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		struct datagram *d;

		memset(&kernel, 0, sizeof(kernel));
		d = begin();
		put_iface(d, 1, "lo", NULL, 0)->nlmsg_len = lengths[i];
		put_done(begin());
		put_done(begin());
		if (lengths[i] != 17)
			assert_fails(f, "network links: Bad message");
	}
}

static void test_attributes_that_lie(void **state)
{
	struct fixture *f = *state;
	/* The name has room for 8. */
	static const unsigned short lengths[] = {0, 3, 9, 4000, UINT16_MAX};
	struct datagram *d = begin();
	const struct msg_net_interface *i;
	struct nlmsghdr *m;

	for (size_t n = 0; n < ARRAY_SIZE(lengths); n++) {
		m = put_iface(d, 1, "lo", NULL, 0);
		((struct rtattr *)((uint8_t *)m + NLMSG_SPACE(sizeof(struct ifinfomsg))))
			->rta_len = lengths[n];
	}
	put_iface(d, 2, "good", NULL, 0);
	put_done(d);
	/* An address whose bytes are too few for its family. */
	d = begin();
	m = put_ip(d, 2, AF_INET, 24, IFA_LOCAL, "192.0.2.1");
	m->nlmsg_type = RTM_NEWADDR;
	((struct ifaddrmsg *)NLMSG_DATA(m))->ifa_family = AF_INET6;
	put_done(d);
	i = interfaces(f, 1);
	assert_text(i[0].name, "good");
	assert_false(i[0].ip_addresses.set);
}

/* A name without its NUL, one with bytes that are no text. */
static void test_names(void **state)
{
	const struct ifinfomsg info = {.ifi_index = 1};
	const struct msg_net_interface *i;
	struct datagram *d = begin();
	struct nlmsghdr *m = put_message(d, RTM_NEWLINK, &info, sizeof(info));

	put_attr(d, m, IFLA_IFNAME, "\xff\x01veth", 6);
	put_done(d);
	put_done(begin());
	i = interfaces(*state, 1);
	assert_text(i[0].name, "\xff\x01veth");
}

/* ---- routes ---- */

#define V4_HEAD                                                                 \
	"Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU" \
	"\tWindow\tIRTT                                                       \n"

static const struct msg_net_route *routes(struct fixture *f, uint32_t n)
{
	static struct msg_net_routes got;

	get(f, OP_network_get_route, &got);
	assert_int_equal(got.value.n, n);
	return got.value.v;
}

static void test_routes(void **state)
{
	struct fixture *f = *state;
	const struct msg_net_route *r;

	put(f, "proc/net/route",
	    V4_HEAD "eth0\t00000000\t010200C0\t0003\t1\t2\t100\t00000000\t1500\t4\t5   \n"
		    "eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0   \n");
	put(f, "proc/net/ipv6_route",
	    "fd000000000000000000000000000000 40 00000000000000000000000000000000 00 "
	    "fe800000000000000000000000000001 00000100 0000000a 0000000b 80200001     "
	    "eth0\n");
	r = routes(f, 3);
	assert_text(r[0].iface, "eth0");
	assert_text(r[0].destination, "0.0.0.0");
	assert_text(r[0].gateway, "192.0.2.1");
	assert_text(r[0].mask, "0.0.0.0");
	assert_int_equal(r[0].flags.v, 3);
	assert_int_equal(r[0].refcnt.v, 1);
	assert_int_equal(r[0].use.v, 2);
	assert_int_equal(r[0].metric.v, 100);
	assert_int_equal(r[0].mtu.v, 1500);
	assert_int_equal(r[0].window.v, 4);
	assert_int_equal(r[0].irtt.v, 5);
	assert_int_equal(r[0].version.v, 4);
	assert_false(r[0].source.set || r[0].nexthop.set || r[0].desprefixlen.set);
	assert_text(r[1].destination, "192.0.2.0");
	assert_text(r[1].mask, "255.255.255.0");
	assert_text(r[2].iface, "eth0");
	assert_text(r[2].destination, "fd00::");
	assert_text(r[2].desprefixlen, "64");
	assert_text(r[2].source, "::");
	assert_text(r[2].srcprefixlen, "0");
	assert_text(r[2].nexthop, "fe80::1");
	assert_int_equal(r[2].metric.v, 0x100);
	assert_int_equal(r[2].refcnt.v, 10);
	assert_int_equal(r[2].use.v, 11);
	assert_int_equal(r[2].flags.v, 0x80200001);
	assert_int_equal(r[2].version.v, 6);
	assert_false(r[2].gateway.set || r[2].mask.set || r[2].mtu.set);
}

/* IPv6 switched off costs the IPv6 routes, not the others (protocol 5.5 no. 48). */
static void test_routes_without_ipv6(void **state)
{
	struct fixture *f = *state;

	put(f, "proc/net/route",
	    V4_HEAD "eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n");
	routes(f, 1);
}

static void test_routes_of_a_kernel_without_network(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(ask(f, OP_network_get_route), ANSWER_ERROR);
	assert_int_equal(f->e.cls, ERR_NOT_FOUND);
}

static void test_great_metrics(void **state)
{
	static const struct {
		const char *text;
		int64_t metric; /* -1: the line is none */
	} cases[] = {
		{"2147483647", INT32_MAX},
		{"-2147483648", 1LL << 31},
		{"-16769024", 4278198272},
		{"-1", UINT32_MAX},
		{"4294967295", UINT32_MAX},
		{"-2147483649", -1},
		{"4294967296", -1},
		{"-", -1},
		{"--1", -1},
	};
	struct fixture *f = *state;
	char line[128];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const bool is_route = cases[i].metric >= 0;
		const struct msg_net_route *r;

		snprintf(line, sizeof(line), "eth0\t0\t0\t1\t0\t0\t%s\t0\t0\t0\t0\n",
			 cases[i].text);
		put(f, "proc/net/route", line);
		r = routes(f, is_route);
		if (is_route)
			assert_int_equal(r[0].metric.v, cases[i].metric);
	}
	/* No other number has a sign. */
	put(f, "proc/net/route", "eth0\t0\t0\t1\t-1\t0\t0\t0\t0\t0\t0\n");
	routes(f, 0);
}

static void test_lines_that_are_no_routes(void **state)
{
	struct fixture *f = *state;

	put(f, "proc/net/route",
	    V4_HEAD "eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\n"
		    "eth0\tx00200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
		    "eth0\t1000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
		    "\n\n \t\neth0\n");
	put(f, "proc/net/ipv6_route",
	    "fd0000000000000000000000000000 40 00000000000000000000000000000000 00 "
	    "fe800000000000000000000000000001 00000100 0000000a 0000000b 80200001     "
	    "eth0\n"
	    "fd000000000000000000000000000000 40 00000000000000000000000000000000 00 "
	    "fe800000000000000000000000000001 00000100 0000000a 0000000b 80200001\n");
	routes(f, 0);
}

static void test_many_routes(void **state)
{
	struct fixture *f = *state;
	const size_t line = 60, n = 10000;
	char *text = malloc(n * line + 1);
	size_t len = 0;

	for (size_t i = 0; i < n; i++)
		len += (size_t)snprintf(text + len, line,
					"eth%zu\t%08zX\t0\t1\t0\t0\t0\t0\t0\t0\t0\n", i,
					i);
	put_bytes(f, "proc/net/route", text, len);
	free(text);
	assert_text(routes(f, (uint32_t)n)[n - 1].iface, "eth9999");
	assert_calls(f, OP_network_get_route, 3, 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		NET(test_interfaces),
		NET(test_peers_and_labels),
		NET(test_no_interface_at_all),
		NET(test_asked_again_after_a_change),
		NET(test_a_network_without_rest),
		NET(test_not_from_the_kernel),
		NET(test_the_kernel_refuses),
		NET(test_the_kernel_gives_up),
		NET(test_the_kernel_talks_nonsense),
		NET(test_receiving_fails),
		NET(test_without_a_socket),
		NET(test_cut_datagram),
		NET(test_lengths_that_lie),
		NET(test_attributes_that_lie),
		NET(test_names),
		TEST(test_routes),
		TEST(test_routes_without_ipv6),
		TEST(test_routes_of_a_kernel_without_network),
		TEST(test_great_metrics),
		TEST(test_lines_that_are_no_routes),
		TEST(test_many_routes),
	};

	return cmocka_run_group_tests_name("inspect_net", tests, NULL, NULL);
}
