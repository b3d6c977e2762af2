/*
 * ipc/util.h - ownership helpers shared by every program
 *
 * Runs in:   all processes
 * Input:     none of its own
 * May touch: the descriptor or pointer it is handed
 * Must not:  hold state
 */
#ifndef POSTERN_IPC_UTIL_H
#define POSTERN_IPC_UTIL_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ARRAY_SIZE(a)   (sizeof(a) / sizeof((a)[0]))
#define CLEANUP(f)      __attribute__((cleanup(f)))
#define PRINTF(fmt, va) __attribute__((format(printf, fmt, va)))
#define UNUSED          __attribute__((unused))

/* The structure that contains MEMBER, from a pointer to the member. */
#define CONTAINER_OF(p, type, member) \
	((type *)(void *)((char *)(p)-offsetof(type, member)))

/* Give a descriptor away: the local becomes -1, so its cleanup does nothing. */
#define TAKE_FD(fd)                   \
	({                            \
		int taken_fd_ = (fd); \
		(fd) = -1;            \
		taken_fd_;            \
	})

/* Give a pointer away in the same manner. */
#define TAKE_PTR(p)                             \
	({                                      \
		__typeof__(p) taken_ptr_ = (p); \
		(p) = NULL;                     \
		taken_ptr_;                     \
	})

/* Close *FD if it is open, and make it -1. Leaves errno alone; 0 is a descriptor. */
static inline void close_p(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved;
}

/* Free what the pointer at P points to. For CLEANUP on any object pointer. */
static inline void free_p(void *p)
{
	free(*(void **)p);
	*(void **)p = NULL;
}

static inline bool streq(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

static inline size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

static inline size_t max_size(size_t a, size_t b)
{
	return a > b ? a : b;
}

#endif
