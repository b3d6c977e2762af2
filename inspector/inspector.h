/*
 * inspector/inspector.h - answers to read-only questions about the guest
 *
 * Runs in:   inspector
 * Input:     typed questions of the worker; files and facts of the guest, not trusted
 * May touch: what an unprivileged user can read
 * Must not:  see a byte of the host, write anything
 */
#ifndef POSTERN_INSPECTOR_H
#define POSTERN_INSPECTOR_H

#include "ipc/err.h"
#include "ipc/ops.h"
#include "ipc/sys.h"

/* Most bytes of a file that is read whole. */
#define INSPECT_FILE_MAX (64 * 1024)

/* Memory for one question: what is read and built for it. */
#define INSPECT_ARENA (1024 * 1024)

struct inspector {
	struct sys sys;
	const char *os_release; /* QGA_OS_RELEASE, or NULL */
	const char *tz;         /* TZ, or NULL */
	struct arena arena;     /* emptied for each question */
};

/*
 * One handler for each row of the table that the inspector carries out:
 *
 *   int inspect_<tag>(struct inspector *in, const struct msg_<arguments> *args,
 *                     struct msg_<result> *result, struct err *e);
 *
 * RESULT comes empty; what it points to lives in the arena, in IN or for ever. 0, or -1
 * with E filled.
 */
#define INSPECT_DECL(tag, number, name, args_t, result_t, carrier, ...) \
	INSPECT_DECL_##carrier(tag, args_t, result_t)
#define INSPECT_DECL_BY_NOBODY(...)
#define INSPECT_DECL_BY_FRONTEND(...)
#define INSPECT_DECL_BY_CHILD(...)
#define INSPECT_DECL_BY_INSPECTOR(tag, args_t, result_t)                         \
	int inspect_##tag(struct inspector *in, const struct msg_##args_t *args, \
			  struct msg_##result_t *result, struct err *e);
OP_TABLE(INSPECT_DECL)

enum answer {
	ANSWER_RESULT,    /* the encoded result is in the buffer */
	ANSWER_ERROR,     /* what went wrong is in the error */
	ANSWER_VIOLATION, /* not a question that the worker may ask */
};

/* Answer question OP with the encoded arguments in ARGS. Empties the arena first. */
enum answer inspect_answer(struct inspector *in, uint32_t op, struct rbuf *args,
			   struct wbuf *result, struct err *e);

/*
 * The file PATH whole, in the arena, *LEN bytes. NULL if it cannot be read, is longer
 * than INSPECT_FILE_MAX or the arena is full.
 */
char *inspect_read(struct inspector *in, const char *path, size_t *len);

#endif
