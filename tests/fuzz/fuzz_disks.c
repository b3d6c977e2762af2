/*
 * tests/fuzz/fuzz_disks.c - any machine, asked for its disks
 *
 * Runs in:   libFuzzer
 * Input:     the fuzzer's bytes, as a tree of fixtures (doc/fixtures.md), up to the first
 *            line that is none
 * May touch: a directory of its own in /dev/shm or $TMPDIR, gone at the end
 * Must not:  take a device for a disk that has no node, or an address that lacks a part
 *
 * run: floor 315
 */
#include <string.h>

#include "inspector/inspector.h"
#include "tests/lib/fuzzroot.h"
#include "tests/lib/tree.h"

static void check_address(const struct msg_disk_address *a)
{
	const struct msg_pci_address *pci = a->pci_controller.v;

	if (!a->pci_controller.set || !pci->domain.set || !pci->bus.set ||
	    !pci->slot.set || !pci->function.set || !a->bus_type.set || !a->bus.set ||
	    !a->target.set || !a->unit.set)
		abort();
}

static void check(const struct msg_disks *disks)
{
	const struct msg_disk *d = disks->value.v;

	for (uint32_t i = 0; i < disks->value.n; i++) {
		if (!d[i].name.set || d[i].name.len <= strlen("/dev/") ||
		    memcmp(d[i].name.p, "/dev/", strlen("/dev/")) != 0)
			abort();
		if (d[i].partition.v && (d[i].address.set || d[i].dependencies.n != 1))
			abort();
		if (d[i].address.set)
			check_address(d[i].address.v);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static _Alignas(max_align_t) uint8_t memory[256 * 1024];
	struct inspector in = {
		.sys = {.root_fd = fuzz_root_open()},
		.arena = {.p = memory, .cap = sizeof(memory)},
		.route = -1,
	};
	struct msg_disks disks = {};
	struct err e;

	tree_unpack(in.sys.root_fd, (const char *)data, min_size(size, FUZZ_TREE_MAX));
	if (inspect_get_disks(&in, &(struct msg_empty){}, &disks, &e) == 0)
		check(&disks);
	sys_done(&in.sys);
	return 0;
}
