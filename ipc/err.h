/*
 * ipc/err.h - a refusal or failure on its way to the host
 *
 * Runs in:   all processes
 * Input:     texts that may quote the host; bounded here
 * May touch: the struct it is handed
 * Must not:  log, allocate, exit
 */
#ifndef POSTERN_IPC_ERR_H
#define POSTERN_IPC_ERR_H

#include "ipc/util.h"

/*
 * The two classes in use on the wire (protocol 1.7). libvirt skips a command that
 * answers CommandNotFound when it is asked for everything, and no other class.
 */
#define ERR_CLASS_TABLE(X)            \
	X(GENERIC, 1, "GenericError") \
	X(NOT_FOUND, 2, "CommandNotFound")

#define ERR_CLASS_ENUM(tag, number, text) ERR_##tag = (number),
enum err_class { ERR_NONE = 0, ERR_CLASS_TABLE(ERR_CLASS_ENUM) ERR_CLASS_COUNT };

/* Longest description sent to the host, bytes; longer ones lose their middle. */
#define ERR_DESC_MAX 1024

struct err {
	enum err_class cls;
	int errnum; /* errno behind it, 0 if none; for the record, not for the host */
	char desc[ERR_DESC_MAX];
};

/* The class's name on the wire. CLS must not be ERR_NONE. */
const char *err_class_name(enum err_class cls);

/* Fill E; used by the macros below, which also say that something failed. */
void err_fill(struct err *e, enum err_class cls, const char *fmt, ...) PRINTF(3, 4);
void err_fill_errno(struct err *e, int errnum, const char *fmt, ...) PRINTF(3, 4);

/* Fill E and be -1, so that `return err_set(...)` reads well. */
#define err_set(e, cls, ...)                       \
	({                                         \
		err_fill((e), (cls), __VA_ARGS__); \
		-1;                                \
	})

/*
 * The same with `: <strerror>` behind the text (protocol: "<strerror>"). The text is
 * shortened in the middle where both do not fit, since clients match the end.
 */
#define err_sys(e, errnum, ...)                             \
	({                                                  \
		err_fill_errno((e), (errnum), __VA_ARGS__); \
		-1;                                         \
	})

#endif
