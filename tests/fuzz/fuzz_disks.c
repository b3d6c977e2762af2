/*
 * tests/fuzz/fuzz_disks.c - any machine, asked for its disks
 *
 * Runs in:   libFuzzer
 * Input:     the fuzzer's bytes, as a tree of fixtures (doc/fixtures.md), up to the first
 *            line that is none
 * May touch: a directory of its own in /dev/shm or $TMPDIR, gone at the end
 * Must not:  take a device for a disk that has no node, or an address that lacks a part
 */
#include <ftw.h>
#include <string.h>

#include "inspector/inspector.h"
#include "tests/lib/tree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* More is slow to make and shows nothing new. */
#define TREE_MAX 8192

static char root[256];

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void remove_root(void)
{
	nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* In memory where that is possible: many times as fast. */
static void make_root(void)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(root, sizeof(root), "/dev/shm/postern-fuzz-XXXXXX");
	if (!mkdtemp(root)) {
		snprintf(root, sizeof(root), "%s/postern-fuzz-XXXXXX",
			 tmp ? tmp : "/tmp");
		if (!mkdtemp(root))
			abort();
	}
	if (atexit(remove_root) != 0)
		abort();
}

/* Made at the first call, emptied at the others. */
static int empty_root(void)
{
	if (!root[0]) {
		make_root();
	} else {
		remove_root();
		if (mkdir(root, 0700) < 0)
			abort();
	}
	return open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

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
		.sys = {.root_fd = empty_root()},
		.arena = {.p = memory, .cap = sizeof(memory)},
		.route = -1,
	};
	struct msg_disks disks = {};
	struct err e;

	if (in.sys.root_fd < 0)
		abort();
	tree_unpack(in.sys.root_fd, (const char *)data, min_size(size, TREE_MAX));
	if (inspect_get_disks(&in, &(struct msg_empty){}, &disks, &e) == 0)
		check(&disks);
	sys_done(&in.sys);
	return 0;
}
