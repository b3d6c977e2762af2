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

#include "inspector/sizes.h"
#include "ipc/err.h"
#include "ipc/ops.h"
#include "ipc/sys.h"

/* Most bytes of a file that is read whole: one that people write, one of the kernel. */
#define INSPECT_FILE_MAX  (64 * 1024)
#define INSPECT_TABLE_MAX (4 * 1024 * 1024)

/*
 * Memory for one question: what is read and built for it. Used from the start, so what a
 * question does not need is never there; what exceeds the second is given back after it.
 */
#define INSPECT_ARENA      (16 * 1024 * 1024)
#define INSPECT_ARENA_KEEP (256 * 1024)

/*
 * Serial numbers of disks, for which the kernel asks the disk each time. It counts disks,
 * and no other, not the next in the same place either, gets the number of one.
 */
#define SERIALS_MAX 8

struct serial {
	uint64_t disk; /* its DISKSEQ; 0: none is known here */
	char text[64];
};

struct serials {
	struct serial v[SERIALS_MAX];
	uint32_t next; /* whose place the next one takes */
};

struct msghdr;

/* How the kernel is asked about its network; as sendmsg(2) and recvmsg(2), which wait. */
struct net_ops {
	ssize_t (*send)(int sock, const struct msghdr *msg);
	ssize_t (*receive)(int sock, struct msghdr *msg);
};

struct inspector {
	struct sys sys;
	const char *os_release; /* QGA_OS_RELEASE, or NULL */
	const char *tz;         /* TZ, or NULL */
	const struct net_ops *net;
	int route;                /* socket to the kernel, NETLINK_ROUTE; or -1 */
	uint32_t route_seq;       /* number of the last question there */
	struct arena arena;       /* emptied for each question */
	struct msg_shape shape;   /* what the policy lets be seen of this one */
	struct msg_question more; /* what the worker found out for it */
	struct serials serials;
	struct sizer sizer;   /* who asks for sizes */
	struct hung_set hung; /* processes left behind */
	/* A line for people, by way of the worker; NULL: nobody reads it. */
	void (*note)(struct inspector *in, struct v_str text);
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
#define INSPECT_DECL_BY_HANDLE(...)
#define INSPECT_DECL_BY_SPAWNER(...)
#define INSPECT_DECL_BY_FREEZE(...)
#define INSPECT_DECL_BY_STEPS(...)
#define INSPECT_DECL_BY_INSPECTOR(tag, args_t, result_t)                         \
	int inspect_##tag(struct inspector *in, const struct msg_##args_t *args, \
			  struct msg_##result_t *result, struct err *e);
OP_TABLE(INSPECT_DECL)

enum answer {
	ANSWER_RESULT,    /* the encoded result is in the buffer */
	ANSWER_ERROR,     /* what went wrong is in the error */
	ANSWER_VIOLATION, /* not a question that the worker may ask */
};

/*
 * Answer question OP with what is encoded in ARGS: the arguments and, if there is more,
 * a struct msg_question. Empties the arena first.
 */
enum answer inspect_answer(struct inspector *in, uint32_t op, struct rbuf *args,
			   struct wbuf *result, struct err *e);

/* ---- memory for an answer: all in the arena ---- */

/*
 * The file PATH whole, *LEN bytes and a NUL. NULL with errno if it cannot be read, is
 * longer than MAX bytes (EFBIG) or the arena is full (ENOMEM).
 */
char *inspect_read(struct inspector *in, const char *path, size_t max, size_t *len);

/*
 * Room for one more struct of SIZE bytes at the end of LIST, zeroed; NULL if the arena is
 * full. Moves the list at times, so pointers into it are good until the next call.
 */
void *inspect_add(struct inspector *in, struct v_list *list, size_t size);

/* Formatted text; not set if the arena is full. */
struct v_str inspect_text(struct inspector *in, const char *fmt, ...) PRINTF(2, 3);

/* The error of an answer that does not fit the arena. Returns -1. */
int inspect_full(struct err *e);

#endif
