/*
 * tests/unit/test_channel_peer.c - who may be served on which kind of channel
 *
 * Runs in:   a test
 * Input:     addresses that it makes up
 * May touch: nothing
 * Must not:  need a host
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/socket.h>

#include <cmocka.h>
#include <linux/vm_sockets.h>

#include "frontend/frontend.h"

static bool serves(enum channel_kind kind, sa_family_t family, unsigned int cid)
{
	const struct sockaddr_vm addr = {.svm_family = family, .svm_cid = cid};

	return channel_may_serve(kind, &addr);
}

static void the_host_alone(void **state)
{
	(void)state;
	assert_true(serves(CHANNEL_VSOCK, AF_VSOCK, VMADDR_CID_HOST));
	assert_false(serves(CHANNEL_VSOCK, AF_VSOCK, VMADDR_CID_LOCAL));
	assert_false(serves(CHANNEL_VSOCK, AF_VSOCK, VMADDR_CID_HYPERVISOR));
	assert_false(serves(CHANNEL_VSOCK, AF_VSOCK, VMADDR_CID_ANY));
	assert_false(
		serves(CHANNEL_VSOCK, AF_VSOCK, 3)); /* the guest itself, or another */
	assert_false(serves(CHANNEL_VSOCK, AF_UNSPEC, VMADDR_CID_HOST));
	assert_false(serves(CHANNEL_VSOCK, AF_UNIX, VMADDR_CID_HOST));
}

static void whoever_reaches_the_path(void **state)
{
	(void)state;
	assert_true(serves(CHANNEL_LISTEN, AF_UNIX, 0));
	assert_true(serves(CHANNEL_LISTEN, AF_UNSPEC, 0));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_host_alone),
		cmocka_unit_test(whoever_reaches_the_path),
	};

	return cmocka_run_group_tests_name("channel_peer", tests, NULL, NULL);
}
