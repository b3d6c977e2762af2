/*
 * tests/fuzz/fuzz_worker.c - any bytes as the body of a request, up to the decision
 *
 * Runs in:   libFuzzer
 * Input:     the fuzzer's bytes: operation, flags, then head and arguments
 * May touch: memory
 * Must not:  find two readings of one request, a secret in a record, or a way around
 *            the policy
 *
 * run: floor 348
 */
#include <string.h>

#include "ipc/note.h"
#include "tests/lib/fuzz.h"
#include "tests/lib/generation.h"
#include "tests/lib/policy.h"
#include "worker/worker.h"

#define TEXT_MAX (1024 * 1024)

static const char *const profiles[] = {"none", "safe", "legacy"};

static struct fuzz {
	struct worker workers[ARRAY_SIZE(profiles)];
	_Alignas(max_align_t) uint8_t arena[4 * 1024 * 1024];
	_Alignas(max_align_t) uint8_t args[4096];
	uint8_t again[8 * 1024];
	uint8_t text[TEXT_MAX], other[TEXT_MAX];
} fuzz;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	for (size_t i = 0; i < ARRAY_SIZE(profiles); i++) {
		/* The policy points into it: it stays. */
		struct wbuf image = {0};

		fuzz.workers[i].gen = generation_blank();
		policy_of_profile(&fuzz.workers[i].gen->policy, &image, profiles[i]);
	}
	return 0;
}

/* ---- a message with other secrets ---- */

static void blank_fields(const struct schema *s, void *msg);

static void blank_value(const struct field *f, void *value)
{
	static struct v_str empty = {.p = "", .set = true};
	struct v_list *list = value;

	if (f->kind == K_STR || f->kind == K_B64)
		((struct v_str *)value)->len = 0;
	else if (f->kind == K_LIST_STR)
		*list = (struct v_list){&empty, 1, list->set};
	else if (f->kind == K_BULK)
		((struct v_bulk *)value)->size = 0;
	else
		abort(); /* a secret of a new kind: say here what another one is */
}

/* Nests as deep as SCHEMA_DEPTH_MAX says. */
/* NOLINTNEXTLINE(misc-no-recursion) */
static void blank_list(const struct field *f, struct v_list *list)
{
	for (uint32_t i = 0; i < list->n; i++)
		blank_fields(f->sub, (char *)list->v + i * f->sub->size);
}

/* Give every secret field of MSG another value, of another length; if it is there.
 * Nests as the schemas do. */
/* NOLINTNEXTLINE(misc-no-recursion) */
static void blank_fields(const struct schema *s, void *msg)
{
	for (uint32_t i = 0; i < s->n; i++) {
		const struct field *f = &s->fields[i];
		void *value = (char *)msg + f->offset;

		if (!(f->flags & F_PUB))
			blank_value(f, value);
		else if (f->kind == K_LIST_OBJ)
			blank_list(f, value);
	}
}

/* ---- what must hold ---- */

static size_t redacted(const struct schema *s, const void *p, size_t len, uint8_t *text)
{
	struct wbuf w = wbuf_fixed(text, TEXT_MAX);
	struct rbuf r = rbuf_of(p, len);

	must(schema_render(&r, s, &(struct render){.redact = true}, &w) == 0);
	for (size_t i = 0; i < w.len; i++)
		must(w.p[i] >= 0x20 && w.p[i] < 0x7f);
	return w.len;
}

static size_t encoded(const struct schema *s, const void *msg)
{
	struct wbuf w = wbuf_fixed(fuzz.again, sizeof(fuzz.again));

	schema_put(&w, s, msg);
	must(!w.bad);
	return w.len;
}

/* A record must not depend on anything that is secret, be it content or length. */
static void check_record(const struct schema *s, const struct rbuf *at, void *args)
{
	size_t len = redacted(s, at->p, rbuf_left(at), fuzz.text);

	blank_fields(s, args);
	must(redacted(s, fuzz.again, encoded(s, args), fuzz.other) == len);
	must(!memcmp(fuzz.text, fuzz.other, len));
}

static void check_decision(struct worker *w, struct asked *q)
{
	bool frozen = freeze_is_on(&w->freeze);
	struct verdict v;

	q->gen = w->gen;
	gate_decide(w, q, &v);
	/* Then thaw and status are allowed, whatever else is said. */
	if (frozen && q->op->flags & OPF_FROZEN_OK && !(q->flags & FRAME_BAD_ARGS)) {
		must(v.allowed &&
		     (v.reason == REASON_RULE || v.reason == REASON_WHILE_FROZEN));
		return;
	}
	must(v.allowed == (v.reason == REASON_RULE));
	if (!v.allowed) {
		must(v.cls == ERR_GENERIC || v.cls == ERR_NOT_FOUND);
		return;
	}
	must(policy_may(&w->gen->policy, q->number) && q->op->carrier != BY_NOBODY);
	/* A mark of the frontend's counts unless it is by an earlier policy. */
	must(!(q->flags & FRAME_REFUSED) || q->stale);
	must(!(q->flags & FRAME_BAD_ARGS));
	must(!frozen);
}

static void check_decisions(struct asked *q)
{
	for (size_t i = 0; i < ARRAY_SIZE(profiles); i++) {
		fuzz.workers[i].freeze.state = FS_THAWED;
		check_decision(&fuzz.workers[i], q);
		fuzz.workers[i].freeze.state = FS_FROZEN;
		check_decision(&fuzz.workers[i], q);
	}
}

static void check_request(struct asked *q, struct rbuf r)
{
	struct arena arena = {.p = fuzz.arena, .cap = ARENA_SIZE};
	const uint8_t *begin = r.p;
	struct msg_request_head head;
	struct rbuf at;
	size_t len;

	if (schema_get(&r, &schema_request_head, &arena, &head) < 0)
		return;
	len = encoded(&schema_request_head, &head);
	must(len == (size_t)(r.p - begin) && !memcmp(begin, fuzz.again, len));
	at = r;
	must(q->op->args->size <= sizeof(fuzz.args));
	if (schema_get(&r, q->op->args, &arena, fuzz.args) < 0 || !rbuf_done(&r))
		return;
	len = encoded(q->op->args, fuzz.args);
	must(len == rbuf_left(&at) && !memcmp(at.p, fuzz.again, len));
	must(schema_bulks(q->op->args, fuzz.args) <= 1);
	q->args = fuzz.args;
	check_decisions(q);
	check_record(q->op->args, &at, fuzz.args);
}

/* The frontend renders the inspector's results: what it shows must be what they say. */
static void check_result(const struct schema *s, struct rbuf r)
{
	struct arena arena = {.p = fuzz.arena, .cap = sizeof(fuzz.arena)};
	struct wbuf w = wbuf_fixed(fuzz.text, TEXT_MAX);
	struct rbuf again = r;
	bool shown = schema_render(&r, s, &(struct render){0}, &w) == 0;

	must(s->size <= sizeof(fuzz.args));
	if (shown)
		must(schema_get(&again, s, &arena, fuzz.args) == 0 && rbuf_done(&again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct asked q = {0};

	if (size < 2 || size > sizeof(fuzz.again) - 64)
		return 0;
	q.number = data[0] % OP_MAX;
	q.op = op_by_number(q.number);
	q.flags = data[1] & (FRAME_REFUSED | FRAME_BAD_ARGS);
	q.stale = data[1] & 64;
	if (!q.op)
		return 0;
	/* A part is never asked for: the gate throws it out. */
	if (!(q.op->flags & OPF_PART))
		check_request(&q, rbuf_of(data + 2, size - 2));
	check_result(q.op->result, rbuf_of(data + 2, size - 2));
	return 0;
}
