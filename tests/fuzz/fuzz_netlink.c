/*
 * tests/fuzz/fuzz_netlink.c - any bytes as answers of the kernel, and as routes
 *
 * Runs in:   libFuzzer
 * Input:     the fuzzer's bytes, as datagrams of at most 512 bytes
 * May touch: memory
 * Must not:  hang
 *
 * run: floor 188
 */
#include <linux/netlink.h>
#include <sys/socket.h>

#include "inspector/netlink.h"
#include "inspector/routes.h"
#include "tests/lib/fuzz.h"

static struct rbuf input;

static ssize_t take(int sock, const struct msghdr *msg)
{
	(void)sock;
	return (ssize_t)msg->msg_iov->iov_len;
}

static ssize_t give(int sock, struct msghdr *msg)
{
	size_t n = min_size(rbuf_left(&input), 512);
	struct sockaddr_nl *from = msg->msg_name;

	(void)sock;
	if (n)
		memcpy(msg->msg_iov->iov_base, rbuf_take(&input, n), n);
	from->nl_family = AF_NETLINK;
	return (ssize_t)n;
}

static const struct net_ops fuzzed = {take, give};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static _Alignas(16) uint8_t memory[1024 * 1024];
	struct inspector in = {.net = &fuzzed,
			       .route = 3,
			       .arena = {.p = memory, .cap = sizeof(memory)}};
	struct text t = text_of((const char *)data, size), line;
	struct msg_net_interfaces result = {0};
	struct msg_net_route route;
	struct msg_empty none;
	struct err e;

	input = rbuf_of(data, size);
	if (inspect_network_get_interfaces(&in, &none, &result, &e) == 0 &&
	    !result.value.set)
		abort();
	in.arena.len = 0;
	while (text_line(&t, &line) && in.arena.len < sizeof(memory) / 2) {
		if (route_ipv4(&in, line, &route) > 0 && route.version.v != 4)
			abort();
		if (route_ipv6(&in, line, &route) > 0 && !route.nexthop.set)
			abort();
	}
	return 0;
}
