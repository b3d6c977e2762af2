/*
 * inspector/answer.c - from the encoded question to the encoded answer
 *
 * Runs in:   inspector
 * Input:     op number and arguments, from the worker; decoded exactly
 * May touch: the arena; what the handler of the operation touches
 * Must not:  answer an operation that another program carries out
 */
#include "inspector/shape.h"

#include <stdarg.h>
#include <stdio.h>

typedef enum answer run_fn(struct inspector *in, struct rbuf *args, struct wbuf *result,
			   struct err *e);

/* Shape, then what the worker found out; either may be missing from the end. */
static int get_more(struct inspector *in, struct rbuf *r)
{
	in->shape = (struct msg_shape){0};
	in->more = (struct msg_question){0};
	if (r->bad)
		return -1;
	if (rbuf_left(r) && (schema_get(r, &schema_shape, &in->arena, &in->shape) < 0 ||
			     !shape_is_whole(&in->shape)))
		return -1;
	if (rbuf_left(r) && schema_get(r, &schema_question, &in->arena, &in->more) < 0)
		return -1;
	return rbuf_done(r) ? 0 : -1;
}

/* A handler between its two messages: it never sees bytes. */
#define RUN_DEFINE(tag, number, name, args_t, result_t, carrier, ...) \
	RUN_DEFINE_##carrier(tag, args_t, result_t)
#define RUN_DEFINE_BY_NOBODY(...)
#define RUN_DEFINE_BY_FRONTEND(...)
#define RUN_DEFINE_BY_CHILD(...)
#define RUN_DEFINE_BY_HANDLE(...)
#define RUN_DEFINE_BY_SPAWNER(...)
#define RUN_DEFINE_BY_FREEZE(...)
#define RUN_DEFINE_BY_STEPS(...)
#define RUN_DEFINE_BY_INSPECTOR(tag, args_t, result_t)                        \
	static enum answer run_##tag(struct inspector *in, struct rbuf *r,    \
				     struct wbuf *w, struct err *e)           \
	{                                                                     \
		struct msg_##args_t args = {};                                \
		struct msg_##result_t result = {};                            \
                                                                              \
		if (schema_get(r, &schema_##args_t, &in->arena, &args) < 0 || \
		    get_more(in, r) < 0)                                      \
			return ANSWER_VIOLATION;                              \
		if (inspect_##tag(in, &args, &result, e) < 0)                 \
			return ANSWER_ERROR;                                  \
		shape_hide(in, &schema_##result_t, &result);                  \
		schema_put(w, &schema_##result_t, &result);                   \
		return ANSWER_RESULT;                                         \
	}
OP_TABLE(RUN_DEFINE)

#define RUN_ROW(tag, number, name, args_t, result_t, carrier, ...) \
	RUN_ROW_##carrier(tag, number)
#define RUN_ROW_BY_NOBODY(...)
#define RUN_ROW_BY_FRONTEND(...)
#define RUN_ROW_BY_CHILD(...)
#define RUN_ROW_BY_HANDLE(...)
#define RUN_ROW_BY_SPAWNER(...)
#define RUN_ROW_BY_FREEZE(...)
#define RUN_ROW_BY_STEPS(...)
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
		inspect_full(e);
		return ANSWER_ERROR;
	}
	return a;
}

char *inspect_read(struct inspector *in, const char *path, size_t max, size_t *len)
{
	char *buf = (char *)in->arena.p + in->arena.len;
	size_t room = in->arena.cap - in->arena.len;
	ssize_t n;

	if (room < 2) {
		errno = ENOMEM;
		return NULL;
	}
	/* Into the rest of the arena, so that only what the file has is taken. */
	n = sys_read_file(&in->sys, path, buf, min_size(max, room - 1));
	if (n < 0) {
		if (errno == EFBIG && room - 1 < max)
			errno = ENOMEM;
		return NULL;
	}
	buf[n] = '\0';
	in->arena.len += (size_t)n + 1;
	*len = (size_t)n;
	return buf;
}

/* Lists hold 8 elements, then 16, 32 and so on, which their number tells. */
#define LIST_FIRST 8

void *inspect_add(struct inspector *in, struct v_list *list, size_t size)
{
	bool full =
		list->n == 0 || (list->n >= LIST_FIRST && (list->n & (list->n - 1)) == 0);

	if (full) {
		size_t cap = list->n ? 2 * (size_t)list->n : LIST_FIRST;
		void *v = arena_take(&in->arena, cap * size);

		if (!v)
			return NULL;
		if (list->n)
			memcpy(v, list->v, list->n * size);
		list->v = v;
	}
	list->set = true;
	return (char *)list->v + list->n++ * size;
}

struct v_str inspect_text(struct inspector *in, const char *fmt, ...)
{
	char *buf = (char *)in->arena.p + in->arena.len;
	size_t room = in->arena.cap - in->arena.len;
	va_list va;
	int len;

	va_start(va, fmt);
	len = vsnprintf(buf, room, fmt, va);
	va_end(va);
	if (len < 0 || (size_t)len >= room)
		return (struct v_str){0};
	in->arena.len += (size_t)len + 1;
	return (struct v_str){.p = buf, .len = (uint32_t)len, .set = true};
}

int inspect_full(struct err *e)
{
	return err_set(e, ERR_GENERIC, "The answer is too long");
}
