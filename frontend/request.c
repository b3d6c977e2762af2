/*
 * frontend/request.c - from checked text to something that is owed an answer
 *
 * Runs in:   frontend
 * Input:     text that the scanner has passed
 * May touch: the JSON tree, the item it makes
 * Must not:  let anything reach the worker that is not of the table
 */
#include <cjson/cJSON.h>
#include <string.h>

#include "frontend/frontend.h"
#include "json/args.h"
#include "json/envelope.h"

static void tree_free(cJSON **tree)
{
	cJSON_Delete(*tree);
	*tree = NULL;
}

static struct item *item_new(const struct frontend *f)
{
	struct item *it = calloc(1, sizeof(*it));

	if (!it)
		return NULL;
	it->session = f->session;
	it->received_ms = now_ms();
	it->generation = f->generation;
	it->bulk_fd = -1;
	it->args = wbuf_growing(REQUEST_BODY_MAX);
	it->result = wbuf_growing(REPLY_BODY_MAX);
	return it;
}

void item_free(struct item *it)
{
	if (!it)
		return;
	close_p(&it->bulk_fd);
	wbuf_free(&it->args);
	wbuf_free(&it->result);
	free(it->id);
	if (it->error) /* it may quote the request */
		explicit_bzero(it->error, sizeof(*it->error));
	free(it->error);
	free(it);
}

static void item_free_p(struct item **it)
{
	item_free(*it);
	*it = NULL;
}

/* Keep E with the item, and nowhere else: it may quote the request. */
static int item_error(struct item *it, struct err *e)
{
	it->error = malloc(sizeof(*e));
	if (it->error)
		*it->error = *e;
	explicit_bzero(e, sizeof(*e));
	return it->error ? 0 : -1;
}

static int item_id(struct item *it, struct scan_text id)
{
	if (!id.p)
		return 0;
	it->id = malloc(id.len);
	if (!it->id)
		return -1;
	memcpy(it->id, id.p, id.len);
	it->id_len = id.len;
	return 0;
}

/*
 * The arguments as the worker will decode them, with as much room as it has; NULL if it
 * could not. Points into the item and the arena.
 */
static const void *typed_args(struct frontend *f, const struct item *it)
{
	struct rbuf r = rbuf_of(it->args.p, it->args.len);
	void *args;

	f->arena.len = 0;
	args = arena_take(&f->arena, it->op->args->size);
	if (!args || schema_get(&r, it->op->args, &f->arena, args) < 0)
		return NULL;
	return args;
}

/* Our copy's word on the typed request; the worker asks its own. */
static bool refused(const struct frontend *f, const struct item *it, const void *args)
{
	struct policy_question q = {.op = it->number, .args = args};
	struct policy_answer a;

	/* Without arguments only the command itself can be judged. */
	if (!args)
		return !policy_may(&f->policy, it->number);
	policy_decide(&f->policy, &q, &a);
	return !a.allowed;
}

static int fill_args(struct frontend *f, struct item *it, const cJSON *arguments,
		     struct err *e)
{
	const void *args = NULL;
	int r = args_encode(f->scan, arguments, it->op->args, &it->args, e);

	if (r == 0)
		args = typed_args(f, it);
	if (r == 0 && !args)
		err_set(e, ERR_GENERIC, "the arguments are too large");
	if (!args)
		it->flags |= FRAME_BAD_ARGS;
	if (refused(f, it, args))
		it->flags |= FRAME_REFUSED;
	return args ? 0 : item_error(it, e);
}

static int fill(struct frontend *f, struct item *it, const cJSON *root, struct err *e)
{
	struct envelope env;

	if (envelope_open(root, &env, e) < 0)
		return -1;
	it->number = env.number;
	it->op = op_by_number(it->number);
	it->resync = it->number == OP_sync || it->number == OP_sync_delimited;
	return fill_args(f, it, env.arguments, e);
}

struct item *request_item(struct frontend *f)
{
	struct scan_text text = scan_request_text(f->scan);
	CLEANUP(tree_free) cJSON *root = cJSON_ParseWithLength(text.p, text.len);
	CLEANUP(item_free_p) struct item *it = item_new(f);
	struct err *e = &f->error;
	uint64_t size;

	if (!it || item_id(it, scan_request_id(f->scan)) < 0)
		return NULL;
	if (!root)
		err_set(e, ERR_GENERIC, "the request takes too much memory");
	if (!root || fill(f, it, root, e) < 0) {
		it->op = NULL;
		session_malformed(f, e->desc);
		if (item_error(it, e) < 0)
			return NULL;
		return TAKE_PTR(it);
	}
	if (scan_request_bulk(f->scan, &size) == SCAN_BULK_OK &&
	    !(it->flags & FRAME_BAD_ARGS)) {
		it->bulk_fd = bulk_take(&f->bulk);
		it->bulk_size = size;
	}
	return TAKE_PTR(it);
}

struct item *error_item(struct frontend *f)
{
	struct scan_text text = scan_error_text(f->scan);
	CLEANUP(item_free_p) struct item *it = item_new(f);
	struct err e = {.cls = ERR_GENERIC};

	if (!it || item_error(it, &e) < 0)
		return NULL;
	memcpy(it->error->desc, text.p, min_size(text.len, sizeof(e.desc) - 1));
	it->resync = scan_error_is_reset(f->scan);
	/* To begin anew is what clients do at first (protocol 1.4), and no mistake. */
	if (it->resync)
		return TAKE_PTR(it);
	/* The client is told what it sent; a record is for others, too. */
	text = scan_error_note(f->scan);
	memcpy(e.desc, text.p, min_size(text.len, sizeof(e.desc) - 1));
	session_malformed(f, e.desc);
	return TAKE_PTR(it);
}
