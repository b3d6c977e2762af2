/*
 * worker/ops/hotplug.c - switch CPUs and blocks of memory: guest-set-vcpus,
 * guest-set-memory-blocks
 *
 * Runs in:   an op child of the worker, as root without a capability
 * Input:     a list of numbers, any; what /sys says of them
 * May touch: the switches in /sys/devices/system/cpu and memory
 * Must not:  write before the worker knows what would be left, nor what is so already
 */
#include <inttypes.h>
#include <stdio.h>

#include "worker/ops/ops.h"
#include "worker/ops/talk.h"

#define CPU_DIR    "/sys/devices/system/cpu"
#define MEMORY_DIR "/sys/devices/system/memory"

/* A unit is a CPU, or a block of memory. From this number on there is none. */
#define UNITS_MAX (1u << 20)

/* An entry of the list. */
struct wanted {
	uint64_t id;
	bool on;
};

struct unit_kind {
	uint32_t op;
	const char *dir, *prefix, *attr;
	const char *words[2]; /* of the attribute: off, on */
	const char *size; /* a file: bytes of each, in hexadecimal; NULL: they count 1 */
	bool stops;       /* the list ends with the first failure */
	struct wanted (*at)(const struct v_list *list, uint32_t i);
};

enum state {
	ABSENT,
	FIXED, /* on; it has no switch */
	OFF,
	ON,
	UNREADABLE, /* errnum 0: the attribute is empty */
	STUCK,      /* it has not become what was written */
};

struct run {
	const struct sys *sys;
	const struct unit_kind *kind;
	int unlisted;    /* errno: why we do not know which there are */
	int errnum;      /* of the unit that was looked at last */
	uint32_t online; /* before anything is changed */
	uint8_t states[UNITS_MAX];
};

/* ---- a unit ---- */

#define UNIT_PATH_MAX 96

static const char *unit_path(char *path, const struct unit_kind *k, uint32_t id,
			     const char *name)
{
	snprintf(path, UNIT_PATH_MAX, "%s/%s%" PRIu32 "/%s", k->dir, k->prefix, id, name);
	return path;
}

static enum state look(struct run *r, uint32_t id)
{
	const struct unit_kind *k = r->kind;
	CLEANUP(close_p) int dir = -1;
	char path[UNIT_PATH_MAX], text[32];
	ssize_t len = sys_read_attr(r->sys, unit_path(path, k, id, k->attr), text,
				    sizeof(text));

	r->errnum = len < 0 ? errno : 0;
	if (len > 0)
		return strncmp(text, k->words[1], strlen(k->words[1])) == 0 ? ON : OFF;
	if (r->errnum != ENOENT)
		return UNREADABLE;
	dir = sys_look(r->sys, unit_path(path, k, id, ""));
	return dir < 0 ? ABSENT : FIXED;
}

/* Make a unit what is wanted. ON or OFF: it is so; else why not, and errnum. */
static enum state turn(struct run *r, struct wanted w)
{
	const enum state goal = w.on ? ON : OFF;
	char path[UNIT_PATH_MAX];
	enum state state;

	r->errnum = ENOENT;
	if (w.id >= UNITS_MAX)
		return ABSENT;
	state = look(r, (uint32_t)w.id);
	if (state == FIXED && w.on)
		return ON;
	if (state == goal || (state != ON && state != OFF))
		return state;
	unit_path(path, r->kind, (uint32_t)w.id, r->kind->attr);
	if (sys_write_attr(r->sys, path, r->kind->words[w.on]) == 0)
		return goal;
	r->errnum = errno;
	return STUCK;
}

static bool is_done(enum state s)
{
	return s == ON || s == OFF;
}

/* ---- what would be left ---- */

/* Whatever else begins like a unit counts for nothing: what is looked at is its number.
 */
static int note_unit(void *arg, const char *name, unsigned char type)
{
	struct run *r = arg;
	const size_t len = strlen(r->kind->prefix);
	unsigned long id = UNITS_MAX;

	(void)type;
	if (strncmp(name, r->kind->prefix, len) == 0)
		id = strtoul(name + len, NULL, 10);
	if (id < UNITS_MAX && r->states[id] == ABSENT) {
		r->states[id] = (uint8_t)look(r, (uint32_t)id);
		r->online += r->states[id] == ON || r->states[id] == FIXED;
	}
	return 0;
}

/*
 * The least units that are on at any point of the list. One that is wanted on may stay
 * off; so it counts only where the list would end there.
 */
static uint32_t least(struct run *r, const struct v_list *list)
{
	uint32_t now = r->online, low = now;

	for (uint32_t i = 0; i < list->n; i++) {
		const struct wanted w = r->kind->at(list, i);

		if (w.id >= UNITS_MAX || r->states[w.id] != (w.on ? OFF : ON) ||
		    (w.on && !r->kind->stops))
			continue;
		r->states[w.id] = w.on ? ON : OFF;
		now = w.on ? now + 1 : now - 1;
		low = now < low ? now : low;
	}
	return low;
}

/* N units as the policy counts them; blocks of an unknown size are nothing. */
static uint64_t amount(const struct run *r, uint32_t n)
{
	char text[32];
	uint64_t bytes;

	if (!r->kind->size)
		return n;
	if (sys_read_attr(r->sys, r->kind->size, text, sizeof(text)) < 0)
		return 0;
	if (__builtin_mul_overflow(strtoull(text, NULL, 16), n, &bytes))
		return UINT64_MAX;
	return bytes;
}

/*
 * See what there is, and ask: may LIST be carried out? Returns if it may. Of a list that
 * takes nothing away it is not said how much is left.
 */
static void ask(struct run *r, const struct v_list *list)
{
	struct msg_change change = {0};
	uint32_t left;

	if (sys_list(r->sys, r->kind->dir, note_unit, r) < 0)
		r->unlisted = errno;
	left = least(r, list);
	/* Where we cannot know what there is, nothing may be left. */
	if (left < r->online || (r->unlisted && r->unlisted != ENOENT))
		change.left = V_U64(amount(r, left));
	talk_change(r->kind->op, &change);
}

/* ---- guest-set-vcpus ---- */

static struct wanted vcpu_at(const struct v_list *list, uint32_t i)
{
	const struct msg_vcpu *v = list->v;

	return (struct wanted){(uint64_t)v[i].logical_id.v, v[i].online.v};
}

static const struct unit_kind cpus = {
	.op = OP_set_vcpus,
	.dir = CPU_DIR,
	.prefix = "cpu",
	.attr = "online",
	.words = {"0", "1"},
	.stops = true,
	.at = vcpu_at,
};

/* Why it is not done, in the reference's words. */
static int vcpu_error(const struct run *r, enum state why, int64_t id, struct err *e)
{
	/* These come from opening it; from the kernel, if it does not want to, others. */
	const bool is_open = why == UNREADABLE || r->errnum == EACCES ||
			     r->errnum == EROFS || r->errnum == ENOENT;

	if (why == ABSENT)
		return err_sys(e, r->errnum, "open(\"" CPU_DIR "/cpu%" PRId64 "/\")", id);
	if (why == FIXED)
		return err_set(e, ERR_GENERIC,
			       "logical processor #%" PRId64 " can't be offlined", id);
	if (!r->errnum)
		return err_set(e, ERR_GENERIC,
			       "pread(\"" CPU_DIR "/cpu%" PRId64
			       "//online\"): unexpected EOF",
			       id);
	return err_sys(e, r->errnum, "%s(\"" CPU_DIR "/cpu%" PRId64 "//online\")",
		       is_open ? "open" : "pwrite", id);
}

int child_set_vcpus(const struct sys *sys, const void *args, struct wbuf *out,
		    struct err *e)
{
	const struct msg_set_vcpus *q = args;
	struct run r = {.sys = sys, .kind = &cpus};
	enum state s = ON;
	uint32_t done = 0;

	ask(&r, &q->vcpus);
	while (done < q->vcpus.n && is_done(s = turn(&r, vcpu_at(&q->vcpus, done))))
		done++;
	/* Why a later one failed is learnt by asking for it again. */
	if (done == 0 && !is_done(s))
		return vcpu_error(&r, s, (int64_t)vcpu_at(&q->vcpus, 0).id, e);
	schema_put(out, &schema_integer, &(struct msg_integer){V_INT(done)});
	return 0;
}

/* ---- guest-set-memory-blocks ---- */

static struct wanted block_at(const struct v_list *list, uint32_t i)
{
	const struct msg_memory_block *v = list->v;

	return (struct wanted){v[i].phys_index.v, v[i].online.v};
}

static const struct unit_kind blocks = {
	.op = OP_set_memory_blocks,
	.dir = MEMORY_DIR,
	.prefix = "memory",
	.attr = "state",
	.words = {"offline", "online"},
	.size = MEMORY_DIR "/block_size_bytes",
	.at = block_at,
};

/* Values of names_memory_result, in its order. */
enum response { SUCCESS, NOT_FOUND, NOT_SUPPORTED, FAILED };

static const enum response responses[] = {
	[ABSENT] = NOT_FOUND, [FIXED] = NOT_SUPPORTED, [OFF] = SUCCESS,
	[ON] = SUCCESS,       [UNREADABLE] = FAILED,   [STUCK] = FAILED,
};

static struct msg_memory_block_result block_result(struct run *r, struct wanted w)
{
	const enum state s = turn(r, w);
	/* A kernel that cannot take memory off has none of them. */
	const bool is_nowhere = s == ABSENT && r->unlisted == ENOENT;
	struct msg_memory_block_result result = {
		.phys_index = V_U64(w.id),
		.response = {is_nowhere ? NOT_SUPPORTED : responses[s], true},
	};

	if (!is_done(s))
		result.error_code = V_INT(r->errnum ? r->errnum : EIO);
	return result;
}

int child_set_memory_blocks(const struct sys *sys, const void *args, struct wbuf *out,
			    struct err *e)
{
	const struct msg_set_memory_blocks *q = args;
	const uint32_t n = q->mem_blks.n;
	struct run r = {.sys = sys, .kind = &blocks};
	CLEANUP(free_p)
	struct msg_memory_block_result *v = calloc(n + 1, sizeof(*v));

	if (!v)
		return err_sys(e, ENOMEM, "no room for the result");
	ask(&r, &q->mem_blks);
	for (uint32_t i = 0; i < n; i++)
		v[i] = block_result(&r, block_at(&q->mem_blks, i));
	schema_put(out, &schema_memory_block_results,
		   &(struct msg_memory_block_results){{v, n, true}});
	return 0;
}
