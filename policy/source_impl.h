/*
 * policy/source_impl.h - what the reader of policy files keeps, shared by its parts
 *
 * Runs in:   reader, posternctl
 * Input:     bytes of policy files: any
 * May touch: memory of its own
 * Must not:  be included by others than parse.c, value.c, build.c (a test prints a table)
 */
#ifndef POSTERN_POLICY_SOURCE_IMPL_H
#define POSTERN_POLICY_SOURCE_IMPL_H

#include "policy/source.h"

/* An array that grows: N of SIZE bytes each. */
struct list {
	void *v;
	size_t n;
	size_t cap;
};

/* Room for one more at the end of L, zeroed; NULL: no memory. Moves the others. */
void *grow(struct list *l, size_t size);

/* One element of a value. The text is the source's. */
struct src_value {
	const char *text;
	size_t len;
	uint64_t number;
};

struct src_constraint {
	enum key key;
	uint32_t line;
	struct list values; /* of struct src_value */
};

struct src_rule {
	const char *name;
	const char *file;
	uint32_t line;
	enum policy_effect effect;
	bool named_program; /* an [exec] section */
	uint64_t ops;
	uint32_t rate, rate_ms, burst;
	struct list constraints; /* of struct src_constraint */
};

/* A setting that may be made once: where it was made. */
struct src_setting {
	const char *file; /* NULL: not made */
	uint32_t line;
	uint64_t number;
	const char *text;
};

/* X(tag, section, key, type, words): the settings that are no rules */
#define SETTING_TABLE(X)                                                  \
	X(VERSION, "policy", "version", TYPE_COUNT, NULL)                 \
	X(MODE, "policy", "mode", TYPE_WORDS, "enforce complain")         \
	X(BASE, "policy", "base", TYPE_TEXT, NULL)                        \
	X(CEILING, "policy", "ceiling", TYPE_TEXT, NULL)                  \
	X(DETAIL, "policy", "deny-detail", TYPE_WORDS, "none ref full")   \
	X(SEALED, "policy", "sealed", TYPE_YES_NO, NULL)                  \
	X(LOCK, "policy", "lock", TYPE_YES_NO, NULL)                      \
	X(ON_RELOAD, "policy", "on-reload", TYPE_WORDS, "revoke keep")    \
	X(ON_STOP, "policy", "on-stop", TYPE_WORDS, "kill keep")          \
	X(EXEC_CONCURRENT, "limits", "exec-concurrent", TYPE_COUNT, NULL) \
	X(HANDLES, "limits", "handles", TYPE_COUNT, NULL)                 \
	X(MESSAGE_MAX, "limits", "message-max", TYPE_SIZE, NULL)          \
	X(REQUIRED, "audit", "required", TYPE_YES_NO, NULL)               \
	X(INTERVAL, "audit", "interval", TYPE_TIME, NULL)

#define SETTING_ENUM(tag, ...) SETTING_##tag,
enum setting { SETTING_TABLE(SETTING_ENUM) SETTINGS_COUNT };

struct setting_row {
	const char *section;
	const char *key;
	enum key_type type;
	const char *words;
};

struct source {
	struct list rules;  /* of struct src_rule */
	struct list tests;  /* of struct source_test */
	struct list errors; /* of struct source_error */
	struct list texts;  /* of char *: every text that is kept */
	struct src_setting settings[SETTINGS_COUNT];
	uint64_t denied; /* by lists of the command line */
	unsigned int files;
	bool broken; /* memory ran out: nothing can be built */
};

/* A copy of the LEN bytes at P with a NUL, which lives as long as S; "" without memory.
 */
const char *source_keep(struct source *s, const char *p, size_t len);

/* Where something stands. */
struct place {
	struct source *s;
	const char *file;
	uint32_t line;
};

/* A mistake at PLACE. Returns false. */
bool mistake(const struct place *at, const char *fmt, ...) PRINTF(2, 3);

/* ---- value.c ---- */

/*
 * Append the elements of the value TEXT, of TYPE, to VALUES (of struct src_value). KEY is
 * its name for messages, WORDS the closed set of TYPE_WORDS. False: mistakes were kept.
 */
bool value_parse(const struct place *at, const char *key, enum key_type type,
		 const char *words, const char *text, size_t len, struct list *values);

/* May a value of TYPE have more than one element? */
bool type_is_list(enum key_type type);

/* "N/s|min|h [burst M]" */
bool rate_parse(const struct place *at, const char *text, size_t len,
		struct src_rule *rule);

#endif
