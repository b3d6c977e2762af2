/*
 * ctl/typed.c - a request in the form that a policy decides on
 *
 * Runs in:   posternctl, as the user who calls it
 * Input:     JSON text of a request
 * May touch: memory of its own
 * Must not:  differ from what the agent's frontend makes of the same text
 */
#include "ctl/typed.h"

#include <cjson/cJSON.h>

#include "json/args.h"
#include "json/envelope.h"
#include "ipc/frame.h"
#include "json/scan.h"

#define ARENA_BYTES (1024 * 1024)

/* Bulk data is only counted: a policy looks at its size. */
static int begin(struct scan_sink *s)
{
	(void)s;
	return 0;
}

static int take(struct scan_sink *s, const uint8_t *p, size_t len)
{
	(void)s;
	(void)p;
	(void)len;
	return 0;
}

static void drop(struct scan_sink *s)
{
	(void)s;
}

static void tree_free(cJSON **tree)
{
	cJSON_Delete(*tree);
}

/* The first thing in TEXT must be a request, and the only one. */
static int scan_one(struct scan *scan, const char *text, size_t len, struct err *e)
{
	enum scan_event event = SCAN_MORE;
	struct scan_text why;

	scan_feed(scan, (const uint8_t *)text, len, &event);
	if (event == SCAN_REQUEST)
		return 0;
	if (event == SCAN_MORE)
		return err_set(e, ERR_GENERIC, "the request is not complete");
	why = scan_error_text(scan);
	return err_set(e, ERR_GENERIC, "%.*s", (int)why.len, why.p);
}

static int read_args(struct typed *t, struct scan *scan, const struct cJSON *arguments,
		     struct err *e)
{
	struct rbuf r;
	void *args;

	if (args_encode(scan, arguments, t->op->args, &t->encoded, e) < 0)
		return -1;
	r = rbuf_of(t->encoded.p, t->encoded.len);
	args = arena_take(&t->arena, t->op->args->size);
	if (!args || schema_get(&r, t->op->args, &t->arena, args) < 0)
		return err_set(e, ERR_GENERIC, "the arguments are too large");
	t->args = args;
	return 0;
}

int typed_read(struct typed *t, const char *text, size_t len, struct err *e)
{
	struct scan_sink sink = {begin, take, drop};
	CLEANUP(scan_free_p) struct scan *scan = scan_new(&sink);
	CLEANUP(tree_free) cJSON *root = NULL;
	struct scan_text normal;
	struct envelope env;

	*t = (struct typed){.encoded = wbuf_growing(REQUEST_BODY_MAX),
			    .arena = {.p = malloc(ARENA_BYTES), .cap = ARENA_BYTES}};
	if (!scan || !t->arena.p)
		return err_sys(e, ENOMEM, "request");
	if (scan_one(scan, text, len, e) < 0)
		return -1;
	normal = scan_request_text(scan);
	root = cJSON_ParseWithLength(normal.p, normal.len);
	if (!root)
		return err_sys(e, ENOMEM, "request");
	if (envelope_open(root, &env, e) < 0)
		return -1;
	t->number = env.number;
	t->op = op_by_number(env.number);
	return read_args(t, scan, env.arguments, e);
}

void typed_decide(const struct policy *p, const struct typed *t, struct policy_answer *a)
{
	const struct msg_file_open *file = t->number == OP_file_open ? t->args : NULL;
	struct policy_object object = {.exists = true};
	struct policy_question q = {.op = t->number, .args = t->args};
	struct policy_answer absent;

	if (file) {
		object.path = file->path;
		q.object = &object;
	}
	policy_decide(p, &q, a);
	if (!file || a->allowed)
		return;
	object.exists = false;
	policy_decide(p, &q, &absent);
	if (absent.allowed)
		*a = absent;
}

void typed_done(struct typed *t)
{
	wbuf_free(&t->encoded);
	free(t->arena.p);
}
