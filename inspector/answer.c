/*
 * inspector/answer.c - from the encoded question to the encoded answer
 *
 * Runs in:   inspector
 * Input:     op number and arguments, from the worker; decoded exactly
 * May touch: the arena; what the handler of the operation touches
 * Must not:  answer an operation that another program carries out
 */
#include "inspector/inspector.h"

typedef enum answer run_fn(struct inspector *in, struct rbuf *args, struct wbuf *result,
			   struct err *e);

/* A handler between its two messages: it never sees bytes. */
#define RUN_DEFINE(tag, number, name, args_t, result_t, carrier, ...) \
	RUN_DEFINE_##carrier(tag, args_t, result_t)
#define RUN_DEFINE_BY_NOBODY(...)
#define RUN_DEFINE_BY_FRONTEND(...)
#define RUN_DEFINE_BY_CHILD(...)
#define RUN_DEFINE_BY_INSPECTOR(tag, args_t, result_t)                        \
	static enum answer run_##tag(struct inspector *in, struct rbuf *r,    \
				     struct wbuf *w, struct err *e)           \
	{                                                                     \
		struct msg_##args_t args = {};                                \
		struct msg_##result_t result = {};                            \
                                                                              \
		if (schema_get(r, &schema_##args_t, &in->arena, &args) < 0 || \
		    !rbuf_done(r))                                            \
			return ANSWER_VIOLATION;                              \
		if (inspect_##tag(in, &args, &result, e) < 0)                 \
			return ANSWER_ERROR;                                  \
		schema_put(w, &schema_##result_t, &result);                   \
		return ANSWER_RESULT;                                         \
	}
OP_TABLE(RUN_DEFINE)

#define RUN_ROW(tag, number, name, args_t, result_t, carrier, ...) \
	RUN_ROW_##carrier(tag, number)
#define RUN_ROW_BY_NOBODY(...)
#define RUN_ROW_BY_FRONTEND(...)
#define RUN_ROW_BY_CHILD(...)
#define RUN_ROW_BY_INSPECTOR(tag, number) [number] = run_##tag,
static run_fn *const run_table[OP_MAX] = {OP_TABLE(RUN_ROW)};

enum answer inspect_answer(struct inspector *in, uint32_t op, struct rbuf *args,
			   struct wbuf *result, struct err *e)
{
	enum answer a;

	if (op >= OP_MAX || !run_table[op])
		return ANSWER_VIOLATION;
	in->arena.len = 0;
	a = run_table[op](in, args, result, e);
	if (a == ANSWER_RESULT && result->bad) {
		err_set(e, ERR_GENERIC, "The answer is too long");
		return ANSWER_ERROR;
	}
	return a;
}

char *inspect_read(struct inspector *in, const char *path, size_t *len)
{
	size_t mark = in->arena.len;
	char *buf = arena_take(&in->arena, INSPECT_FILE_MAX);
	ssize_t n = buf ? sys_read_file(&in->sys, path, buf, INSPECT_FILE_MAX) : -1;

	if (n < 0) {
		in->arena.len = mark;
		return NULL;
	}
	*len = (size_t)n;
	return buf;
}
