/*
 * sandbox/filters_asan.h - what the sanitizers' run time calls; in that variant only
 *
 * Runs in:   all sealed processes of a build with -fsanitize=address
 * Input:     none; const data
 * May touch: nothing
 * Must not:  be in a build that is installed
 *
 * Enough to run. Where stderr leads somewhere (worker, its children, reader) also to
 * print a report before the end; frontend and inspector die without one.
 */
#ifndef POSTERN_SANDBOX_FILTERS_ASAN_H
#define POSTERN_SANDBOX_FILTERS_ASAN_H

#ifdef __has_feature /* clang */
#if __has_feature(address_sanitizer)
#define SANDBOX_SANITIZED 1
#endif
#elif defined(__SANITIZE_ADDRESS__) /* gcc */
#define SANDBOX_SANITIZED 1
#endif
#ifndef SANDBOX_SANITIZED
#define SANDBOX_SANITIZED 0
#endif

/* clang-format off */
/* Rows of the table in filters.c, with its columns. */
#define SANITIZER_ROWS	                                                          \
	ALLOW(sigaltstack,       ALL,     "before a call that does not return"),        \
	ALLOW(sched_yield,       ALL,     "its locks"),                                 \
	ALLOW(open,                W|P|C, "report: symbols", READ_ONLY(1)),             \
	ALLOW(openat,              W|P|C, "the same", READ_ONLY(2)),                    \
	ALLOW(fcntl,               W|P|C, "the same", IS(1, F_SETFD)),                  \
	ALLOW(readlink,            W|P|C, "report: name of the program"),               \
	ALLOW(pipe2,               W|P|C, "report: is there memory? (write tells)"),
/* clang-format on */

#endif
