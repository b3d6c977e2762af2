/*
 * tests/fuzz/fuzz_inspect.c - any machine, asked any question of the inspector
 *
 * Runs in:   libFuzzer
 * Input:     the fuzzer's bytes: a line with the command and words of a policy (+PATTERN
 *            only these, -PATTERN not these, !FIELD hidden); then the machine as a tree
 *            of fixtures (doc/fixtures.md), up to the first line that is none
 * May touch: a directory of its own in /dev/shm or $TMPDIR, gone at the end
 * Must not:  give an answer that cannot be read or printed, or show what is hidden
 *
 * run: floor 929
 */
#include <string.h>
#include <sys/sysmacros.h>

#include <cjson/cJSON.h>

#include "inspector/inspector.h"
#include "inspector/mounts.h"
#include "inspector/shape.h"
#include "inspector/text.h"
#include "tests/lib/fuzzroot.h"
#include "tests/lib/tree.h"

#define ANSWER_MAX (4 * 1024 * 1024)
#define WORDS_MAX  8

static struct fuzz {
	_Alignas(max_align_t) uint8_t arena[512 * 1024], decoded[512 * 1024];
	uint8_t question[4096], answer[ANSWER_MAX], text[ANSWER_MAX];
	struct wbuf result;
} fuzz;

/* ---- what is no file ---- */

/* In the place of inspector/sizes.c, which asks by a child: every third is not known. */
const struct size *sizes_get(struct inspector *in, const struct mount *m, uint32_t n)
{
	struct size *sizes = arena_take(&in->arena, (n + 1) * sizeof(*sizes));

	for (uint32_t i = 0; sizes && i < n; i++)
		sizes[i] = (struct size){1, (uint64_t)m[i].id, UINT64_MAX, m[i].id % 3};
	return sizes;
}

static int some_names(struct utsname *u)
{
	*u = (struct utsname){.nodename = "a\xff\"b", .release = "6", .machine = "x"};
	return 0;
}

/* In 2026, in summer. */
static int some_time(clockid_t clock, struct timespec *ts)
{
	(void)clock;
	*ts = (struct timespec){1783000000, 123456789};
	return 0;
}

static int some_disks(const struct sys *sys, const char *path, dev_t *dev)
{
	(void)sys;
	*dev = makedev(8, 1);
	errno = ENOTBLK;
	return strlen(path) % 2 ? 0 : -1;
}

/* ---- the question ---- */

struct question {
	uint32_t op; /* OP_NONE: there is no such command */
	struct v_str words[3][WORDS_MAX];
	struct msg_shape shape;
};

static struct question read_question(struct text line)
{
	static struct question q;
	struct v_list *const lists[] = {&q.shape.only, &q.shape.exclude, &q.shape.hide};
	static const char signs[] = "+-!";
	struct text word;

	q = (struct question){0};
	if (text_word(&line, &word))
		q.op = op_by_name(word.p, (size_t)(word.end - word.p));
	while (text_word(&line, &word)) {
		const char *sign = *word.p ? strchr(signs, *word.p) : NULL;
		struct v_list *l = sign ? lists[sign - signs] : NULL;

		if (!l || l->n >= WORDS_MAX - 1)
			continue;
		l->v = q.words[sign - signs];
		word.p++;
		q.words[sign - signs][l->n++] = text_str(word);
		l->set = true;
	}
	/* What one rule says ends. */
	if (q.shape.only.set)
		q.words[0][q.shape.only.n++] = v_str("");
	return q;
}

/* ---- what must hold ---- */

/* Is a member of that name, which may be left out, in the fields of S or below? */
/* NOLINTNEXTLINE(misc-no-recursion) */
static void check_hidden(const struct schema *s, const void *msg,
			 const struct v_str *name)
{
	for (uint32_t i = 0; i < s->n; i++) {
		const struct field *f = &s->fields[i];
		const void *value = (const char *)msg + f->offset;
		const struct v_list *list = value;
		bool there = schema_has(f, msg);

		must(!there || !f->name || !(f->flags & F_OPT) ||
		     strlen(f->name) != name->len ||
		     memcmp(f->name, name->p, name->len) != 0);
		if (there && f->kind == K_OBJ)
			check_hidden(f->sub, ((const struct v_obj *)value)->v, name);
		for (uint32_t k = 0; there && f->kind == K_LIST_OBJ && k < list->n; k++)
			check_hidden(f->sub, (char *)list->v + k * f->sub->size, name);
	}
}

static void check_text(const struct schema *s)
{
	struct rbuf r = rbuf_of(fuzz.result.p, fuzz.result.len);
	struct wbuf text = wbuf_fixed(fuzz.text, sizeof(fuzz.text));
	const char *end = NULL;
	cJSON *tree;

	must(schema_render(&r, s, &(struct render){0}, &text) == 0 && rbuf_done(&r));
	tree = cJSON_ParseWithLengthOpts((const char *)text.p, text.len, &end, 0);
	must(tree && end == (const char *)text.p + text.len);
	cJSON_Delete(tree);
}

static void check_result(const struct question *q)
{
	const struct schema *s = op_by_number(q->op)->result;
	struct arena arena = {.p = fuzz.decoded, .cap = sizeof(fuzz.decoded)};
	struct rbuf r = rbuf_of(fuzz.result.p, fuzz.result.len);
	void *msg = arena_take(&arena, s->size);

	must(msg && schema_get(&r, s, &arena, msg) == 0 && rbuf_done(&r));
	for (uint32_t i = 0; i < q->shape.hide.n; i++)
		check_hidden(s, msg, &q->words[2][i]);
	check_text(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct sys_ops ops = {
		.clock_gettime = some_time, .uname = some_names, .block_dev = some_disks};
	struct text rest = text_of((const char *)data, size), line;
	struct wbuf question = wbuf_fixed(fuzz.question, sizeof(fuzz.question));
	struct inspector in = {
		.sys = {.ops = &ops},
		.arena = {.p = fuzz.arena, .cap = sizeof(fuzz.arena)},
		.route = -1,
	};
	struct question q;
	struct err e = {0};
	struct rbuf r;

	if (!text_line(&rest, &line))
		return 0;
	q = read_question(line);
	if (q.op == OP_NONE || op_by_number(q.op)->carrier != BY_INSPECTOR)
		return 0;
	in.sys.root_fd = fuzz_root_open();
	tree_unpack(in.sys.root_fd, rest.p,
		    min_size((size_t)(rest.end - rest.p), FUZZ_TREE_MAX));
	schema_put(&question, &schema_shape, &q.shape);
	fuzz.result = wbuf_fixed(fuzz.answer, sizeof(fuzz.answer));
	r = rbuf_of(question.p, question.bad ? 0 : question.len);
	switch (inspect_answer(&in, q.op, &r, &fuzz.result, &e)) {
	case ANSWER_RESULT:
		check_result(&q);
		break;
	case ANSWER_ERROR:
		must(e.cls && e.desc[0]);
		break;
	case ANSWER_VIOLATION: /* else the question is well-formed */
		must(!shape_is_whole(&q.shape));
		break;
	}
	sys_done(&in.sys);
	return 0;
}
