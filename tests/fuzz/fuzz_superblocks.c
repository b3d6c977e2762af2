/*
 * tests/fuzz/fuzz_superblocks.c - any machine, asked what of it can be frozen
 *
 * Runs in:   libFuzzer
 * Input:     the fuzzer's bytes, as a tree (tests/lib/mounts.h)
 * May touch: a directory of its own in /dev/shm or $TMPDIR, gone at the end
 * Must not:  find one without a mount, or one frozen after its devices' files
 *
 * run: floor 327
 */
#include "tests/lib/fuzzroot.h"
#include "tests/lib/mounts.h"
#include "tests/lib/tree.h"
#include "worker/ops/reach.h"

static void check_order(const struct superblocks *all)
{
	for (uint32_t i = 1; i < all->n; i++)
		if (all->v[i]->depth > all->v[i - 1]->depth)
			abort();
	/* The depth of those in a circle, or above one, is beyond any that is real. */
	for (uint32_t i = 0; i < all->n; i++)
		for (const struct sb_below *b = all->v[i]->below; b; b = b->next)
			if (all->v[i]->depth <= b->sb->depth && b->sb->depth < all->n)
				abort();
}

static void check_each(const struct superblocks *all)
{
	uint32_t mounts = 0;

	for (uint32_t i = 0; i < all->n; i++) {
		const struct superblock *sb = all->v[i];
		struct reached r = reach(all->sys, sb, i % 2);

		if (!sb->mounts || !sb->type || strncmp(sb->type, "fuse", 4) == 0 ||
		    (r.fd >= 0 && r.errnum))
			abort();
		close_p(&r.fd);
		for (const struct sb_mount *m = sb->mounts; m; m = m->next)
			mounts++;
	}
	if (mounts != all->n_mounts)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sys sys = {.root_fd = fuzz_root_open(), .ops = &fake_ops};
	struct superblocks all = {0};
	struct err e;

	_Static_assert(sizeof(fake.root) == sizeof(fuzz_root), "the same path");
	memcpy(fake.root, fuzz_root, sizeof(fake.root));
	tree_unpack(sys.root_fd, (const char *)data, min_size(size, FUZZ_TREE_MAX));
	if (superblocks_read(&all, &sys, &e) == 0 && superblocks_sort(&all, &e) == 0) {
		check_order(&all);
		check_each(&all);
	}
	superblocks_done(&all);
	sys_done(&sys);
	return 0;
}
