/*
 * ipc/err.c - a refusal or failure on its way to the host
 *
 * Runs in:   all processes
 * Input:     texts that may quote the host; bounded here
 * May touch: the struct it is handed
 * Must not:  log, allocate, exit
 */
#include "ipc/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *err_class_name(enum err_class cls)
{
#define ERR_CLASS_NAME(tag, number, text) [number] = (text),
	static const char *const names[] = {ERR_CLASS_TABLE(ERR_CLASS_NAME)};

	return (size_t)cls < ARRAY_SIZE(names) && names[cls] ? names[cls]
							     : names[ERR_GENERIC];
}

/* Put HEAD and TAIL into desc; when both do not fit, HEAD gives way to dots. */
static void join(struct err *e, const char *head, const char *tail)
{
	static const char dots[] = "...";
	size_t tail_len = min_size(strlen(tail), ERR_DESC_MAX / 2);
	size_t room = ERR_DESC_MAX - 1 - tail_len;
	size_t head_len = strlen(head);
	char *at = e->desc;

	if (head_len <= room) {
		at = mempcpy(at, head, head_len);
	} else {
		at = mempcpy(at, head, room - (sizeof(dots) - 1));
		at = mempcpy(at, dots, sizeof(dots) - 1);
	}
	at = mempcpy(at, tail, tail_len);
	*at = '\0';
}

PRINTF(4, 0)
static void fill(struct err *e, enum err_class cls, int errnum, const char *fmt,
		 va_list ap)
{
	char text[2 * ERR_DESC_MAX];
	char tail[160] = "";

	vsnprintf(text, sizeof(text), fmt, ap);
	if (errnum)
		snprintf(tail, sizeof(tail), ": %s", strerror(errnum));
	e->cls = cls;
	e->errnum = errnum;
	join(e, text, tail);
	explicit_bzero(text, sizeof(text)); /* it may quote a request */
}

void err_fill(struct err *e, enum err_class cls, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fill(e, cls, 0, fmt, ap);
	va_end(ap);
}

void err_fill_errno(struct err *e, int errnum, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fill(e, ERR_GENERIC, errnum, fmt, ap);
	va_end(ap);
}
