/*
 * tests/fuzz/fuzz_children.c - any machine, as the op children see it
 *
 * Runs in:   libFuzzer
 * Input:     the fuzzer's bytes: a line with what is asked (asks) and words; then the
 *            machine as a tree of fixtures (doc/fixtures.md), up to the first line that
 *            is none
 * May touch: a directory of its own in /dev/shm or $TMPDIR, gone at the end
 * Must not:  give a result that cannot be read, or change what nobody asked for
 *
 * run: floor 503
 */
#include <linux/nvme_ioctl.h>
#include <string.h>
#include <sys/ioctl.h>

#include "inspector/text.h"
#include "ipc/frame.h"
#include "tests/lib/fuzzroot.h"
#include "tests/lib/tree.h"
#include "worker/ops/account.h"
#include "worker/ops/ops.h"
#include "worker/ops/power.h"
#include "worker/ops/talk.h"

#define WORDS_MAX 8

static struct fuzz {
	struct sys sys;
	struct v_str words[WORDS_MAX];
	uint32_t n;
	unsigned int asked; /* the worker, before a change */
	_Alignas(max_align_t) uint8_t arena[256 * 1024];
} fuzz;

/* ---- what is no file ---- */

/* In the place of worker/ops/talk.c: the worker lets it go on. */
void talk_change(uint32_t op, const struct msg_change *change)
{
	(void)op, (void)change;
	fuzz.asked++;
}

/* A disk says of itself what its node holds. */
static int log_page(int fd, unsigned long request, void *arg)
{
	const struct nvme_admin_cmd *cmd = arg;

	must(request == NVME_IOCTL_ADMIN_CMD);
	return pread(fd, (void *)(uintptr_t)cmd->addr, cmd->data_len, 0) < 0 ? -1 : 0;
}

static const struct sys_ops ops = {.ioctl = log_page, .fstat = fstat};

/* ---- what is asked ---- */

typedef int child(const struct sys *sys, const void *args, struct wbuf *out,
		  struct err *e);

static void run(child *fn, const void *args, const struct schema *result)
{
	CLEANUP(wbuf_free) struct wbuf out = wbuf_growing(REPLY_BODY_MAX);
	struct arena arena = {.p = fuzz.arena, .cap = sizeof(fuzz.arena)};
	struct err e = {0};
	struct rbuf r;
	void *msg;

	if (fn(&fuzz.sys, args, &out, &e) < 0) {
		must(e.cls && e.desc[0]);
		return;
	}
	msg = arena_take(&arena, result->size);
	r = rbuf_of(out.p, out.len);
	must(!out.bad && msg && schema_get(&r, result, &arena, msg) == 0 &&
	     rbuf_done(&r));
}

/* A word as a number with a sign behind it: 3+ is on, 3- is off. */
static uint64_t number_of(const struct v_str *word, bool *on)
{
	uint64_t v = 0;

	*on = word->len && word->p[word->len - 1] == '+';
	if (word->len)
		text_u64(text_of(word->p, word->len - 1), 10, &v);
	return v;
}

static void ask_vcpus(void)
{
	struct msg_vcpu v[WORDS_MAX];
	bool on;

	for (uint32_t i = 0; i < fuzz.n; i++) {
		v[i] = (struct msg_vcpu){
			.logical_id = V_INT((int64_t)number_of(&fuzz.words[i], &on))};
		v[i].online = V_BOOL(on);
	}
	run(child_set_vcpus, &(struct msg_set_vcpus){{v, fuzz.n, true}}, &schema_integer);
	must(fuzz.asked == 1);
}

static void ask_memory(void)
{
	struct msg_memory_block v[WORDS_MAX];
	bool on;

	for (uint32_t i = 0; i < fuzz.n; i++) {
		v[i] = (struct msg_memory_block){
			.phys_index = V_U64(number_of(&fuzz.words[i], &on))};
		v[i].online = V_BOOL(on);
	}
	run(child_set_memory_blocks, &(struct msg_set_memory_blocks){{v, fuzz.n, true}},
	    &schema_memory_block_results);
	must(fuzz.asked == 1);
}

static void ask_find(void)
{
	run(child_exec_find, &(struct msg_exec_find){{fuzz.words, fuzz.n, true}},
	    &schema_found);
}

static void ask_hooks(void)
{
	run(child_hook_find, &(struct msg_hook_find){fuzz.words[0]}, &schema_hooks);
}

static void ask_smart(void)
{
	run(child_disk_smart, NULL, &schema_question);
}

static void ask_owner(void)
{
	struct err e = {0};
	uid_t uid = 0;
	gid_t gid = 0;

	if (account_owner(&fuzz.sys, &fuzz.words[0], &uid, &gid, &e) < 0)
		must(e.cls && e.desc[0]);
	else
		must(uid != (uid_t)-1 && gid != (gid_t)-1);
}

static void ask_init(void)
{
	for (enum power_mode m = 0; m < POWER_MODES; m++)
		must(power_signal_of(&fuzz.sys, m) >= 0);
}

static const struct ask {
	const char *name;
	uint32_t words; /* at the least */
	void (*fn)(void);
} asks[] = {
	{"vcpus", 0, ask_vcpus}, {"memory", 0, ask_memory}, {"find", 1, ask_find},
	{"hooks", 1, ask_hooks}, {"smart", 0, ask_smart},   {"owner", 1, ask_owner},
	{"init", 0, ask_init},
};

static const struct ask *read_line(struct text line)
{
	struct text name = {0}, word;

	if (!text_word(&line, &name))
		return NULL;
	for (fuzz.n = 0; fuzz.n < WORDS_MAX && text_word(&line, &word); fuzz.n++)
		fuzz.words[fuzz.n] = text_str(word);
	for (size_t i = 0; i < ARRAY_SIZE(asks); i++)
		if (text_is(name, asks[i].name) && fuzz.n >= asks[i].words)
			return &asks[i];
	return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct text rest = text_of((const char *)data, size), line;
	const struct ask *ask;

	ask = text_line(&rest, &line) ? read_line(line) : NULL;
	if (!ask)
		return 0;
	fuzz.asked = 0;
	fuzz.sys = (struct sys){.root_fd = fuzz_root_open(), .ops = &ops};
	tree_unpack(fuzz.sys.root_fd, rest.p,
		    min_size((size_t)(rest.end - rest.p), FUZZ_TREE_MAX));
	ask->fn();
	sys_done(&fuzz.sys);
	return 0;
}
