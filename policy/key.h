/*
 * policy/key.h - the constraints of the policy language: one table
 *
 * Runs in:   worker, frontend, posternctl
 * Input:     none; const data
 * May touch: nothing
 * Must not:  have a row that the documentation does not explain
 */
#ifndef POSTERN_POLICY_KEY_H
#define POSTERN_POLICY_KEY_H

#include "ipc/ops.h"
#include "policy/reason.h"

/* How the value of a key is written, and what it is in an image. */
enum key_type {
	TYPE_PATTERNS, /* list of globs, any of which may match: text */
	TYPE_ARGV,     /* list of globs, one per argument in order; "..." last: text */
	TYPE_TEXTS,    /* list of literals: text */
	TYPE_TEXT,     /* one literal: text */
	TYPE_WORDS,    /* list out of a closed set: one number, bit N is word N */
	TYPE_YES_NO,   /* yes or no: number 1 or 0 */
	TYPE_COUNT,    /* plain decimal: number */
	TYPE_SIZE,     /* bytes, with K, M or G (1024): number */
	TYPE_TIME,     /* ms, s, m, min, h or d; a bare number is seconds: milliseconds */
	TYPE_MODE,     /* octal permission bits: number */
};

/* When a constraint is looked at. */
enum key_stage {
	AT_REQUEST, /* on the typed request: frontend and worker */
	AT_OBJECT,  /* on what was found there: worker, once it is open */
	AT_ACT,     /* handed to whoever acts; of several the tightest holds */
	AT_ANSWER,  /* shapes the answer; of several all hold */
};

/* Of several values of an AT_ACT key, which is the tightest. */
enum key_tight { TIGHT_NONE, TIGHT_LEAST, TIGHT_MOST };

#define OPS_OF_1(tag) (UINT64_C(1) << OP_##tag)
#define OPS_NAMED     /* commands whose answer is a list of named things */              \
	(OPS_OF_1(network_get_interfaces) | OPS_OF_1(get_fsinfo) | OPS_OF_1(get_disks) | \
	 OPS_OF_1(get_diskstats) | OPS_OF_1(get_users))

#define OPS_ACCOUNTS /* commands that name one */                          \
	(OPS_OF_1(set_user_password) | OPS_OF_1(ssh_get_authorized_keys) | \
	 OPS_OF_1(ssh_add_authorized_keys) | OPS_OF_1(ssh_remove_authorized_keys))

/*
 * X(tag, key, groups, operations beside these,
 *   type, stage, tightest, reason when it fails, words)
 *
 * A rule may use a key if the key applies to every command of the rule. The same key may
 * stand in several rows, whose commands must differ.
 */
/* clang-format off */
#define KEY_TABLE(X) \
	X(EXEC_NAME, NULL, GROUP_EXEC, 0, \
	  TYPE_TEXT, AT_REQUEST, TIGHT_NONE, PATH, NULL) \
	X(RUN, NULL, GROUP_EXEC, 0, \
	  TYPE_TEXT, AT_ACT, TIGHT_NONE, PATH, NULL) \
	X(EXEC_PATH, "path", GROUP_EXEC, 0, \
	  TYPE_PATTERNS, AT_REQUEST, TIGHT_NONE, PATH, NULL) \
	X(ARGV, "argv", GROUP_EXEC, 0, \
	  TYPE_ARGV, AT_REQUEST, TIGHT_NONE, ARGV, NULL) \
	X(ENV_ALLOW, "env-allow", GROUP_EXEC, 0, \
	  TYPE_PATTERNS, AT_REQUEST, TIGHT_NONE, ENVIRONMENT, NULL) \
	X(STDIN, "stdin", GROUP_EXEC, 0, \
	  TYPE_YES_NO, AT_REQUEST, TIGHT_NONE, INPUT, NULL) \
	X(STDIN_MAX, "stdin-max", GROUP_EXEC, 0, \
	  TYPE_SIZE, AT_REQUEST, TIGHT_NONE, SIZE, NULL) \
	X(EXEC_USER, "user", GROUP_EXEC, 0, \
	  TYPE_TEXT, AT_ACT, TIGHT_NONE, CONSTRAINT, NULL) \
	X(EXEC_GROUP, "group", GROUP_EXEC, 0, \
	  TYPE_TEXT, AT_ACT, TIGHT_NONE, CONSTRAINT, NULL) \
	X(CWD, "cwd", GROUP_EXEC, 0, \
	  TYPE_TEXT, AT_ACT, TIGHT_NONE, CONSTRAINT, NULL) \
	X(TIMEOUT, "timeout", GROUP_EXEC, 0, \
	  TYPE_TIME, AT_ACT, TIGHT_LEAST, CONSTRAINT, NULL) \
	X(OUTPUT_MAX, "output-max", GROUP_EXEC, 0, \
	  TYPE_SIZE, AT_ACT, TIGHT_LEAST, CONSTRAINT, NULL) \
	X(MEMORY_MAX, "memory-max", GROUP_EXEC, 0, \
	  TYPE_SIZE, AT_ACT, TIGHT_LEAST, CONSTRAINT, NULL) \
	X(TASKS_MAX, "tasks-max", GROUP_EXEC, 0, \
	  TYPE_COUNT, AT_ACT, TIGHT_LEAST, CONSTRAINT, NULL) \
	X(CONCURRENT, "concurrent", GROUP_EXEC, 0, \
	  TYPE_COUNT, AT_ACT, TIGHT_LEAST, CONSTRAINT, NULL) \
	X(FILE_PATH, "path", GROUP_FILE, 0, \
	  TYPE_PATTERNS, AT_OBJECT, TIGHT_NONE, PATH, NULL) \
	X(BENEATH, "path-beneath", GROUP_FILE, 0, \
	  TYPE_TEXTS, AT_OBJECT, TIGHT_NONE, PATH, NULL) \
	X(FILE_TYPE, "file-type", GROUP_FILE, 0, \
	  TYPE_WORDS, AT_OBJECT, TIGHT_NONE, PATH, "regular fifo socket character block directory") \
	X(OPEN_MODE, "open-mode", GROUP_FILE, 0, \
	  TYPE_WORDS, AT_REQUEST, TIGHT_NONE, MODE, "read create replace append update") \
	X(SIZE_MAX, "size-max", GROUP_FILE, 0, \
	  TYPE_SIZE, AT_ACT, TIGHT_LEAST, SIZE, NULL) \
	X(FILE_MODE, "file-mode", GROUP_FILE, 0, \
	  TYPE_MODE, AT_ACT, TIGHT_NONE, CONSTRAINT, NULL) \
	X(OWNER, "owner", GROUP_FILE, 0, \
	  TYPE_TEXT, AT_ACT, TIGHT_NONE, CONSTRAINT, NULL) \
	X(SYMLINKS, "follow-symlinks", GROUP_FILE, 0, \
	  TYPE_WORDS, AT_OBJECT, TIGHT_NONE, SYMLINK, "no root-owned yes") \
	X(MOUNTPOINT, "mountpoint", GROUP_FREEZE | GROUP_TRIM, 0, \
	  TYPE_PATTERNS, AT_OBJECT, TIGHT_NONE, CONSTRAINT, NULL) \
	X(MOUNTPOINT_EXCLUDE, "mountpoint-exclude", GROUP_FREEZE | GROUP_TRIM, 0, \
	  TYPE_PATTERNS, AT_ANSWER, TIGHT_NONE, CONSTRAINT, NULL) \
	X(FSTYPE, "fstype", GROUP_FREEZE | GROUP_TRIM, 0, \
	  TYPE_PATTERNS, AT_OBJECT, TIGHT_NONE, CONSTRAINT, NULL) \
	X(FSTYPE_EXCLUDE, "fstype-exclude", GROUP_FREEZE | GROUP_TRIM, 0, \
	  TYPE_PATTERNS, AT_ANSWER, TIGHT_NONE, CONSTRAINT, NULL) \
	X(FREEZE_MAX, "freeze-max", GROUP_FREEZE, 0, \
	  TYPE_TIME, AT_ACT, TIGHT_LEAST, CONSTRAINT, NULL) \
	X(HOOKS, "hooks", GROUP_FREEZE, 0, \
	  TYPE_YES_NO, AT_ACT, TIGHT_LEAST, CONSTRAINT, NULL) \
	X(HOOK_TIMEOUT, "hook-timeout", GROUP_FREEZE, 0, \
	  TYPE_TIME, AT_ACT, TIGHT_LEAST, CONSTRAINT, NULL) \
	X(HOOK_FAILURE, "hook-failure", GROUP_FREEZE, 0, \
	  TYPE_WORDS, AT_ACT, TIGHT_NONE, CONSTRAINT, "abort continue") \
	X(ACCOUNT, "user", GROUP_PASSWORD | GROUP_SSH_KEYS, 0, \
	  TYPE_PATTERNS, AT_REQUEST, TIGHT_NONE, USER, NULL) \
	X(ACCOUNT_EXCLUDE, "user-exclude", GROUP_PASSWORD | GROUP_SSH_KEYS, 0, \
	  TYPE_PATTERNS, AT_REQUEST, TIGHT_NONE, USER, NULL) \
	X(UID_MIN, "uid-min", GROUP_PASSWORD | GROUP_SSH_KEYS, 0, \
	  TYPE_COUNT, AT_OBJECT, TIGHT_MOST, USER, NULL) \
	X(CRYPTED, "crypted", GROUP_PASSWORD, 0, \
	  TYPE_WORDS, AT_REQUEST, TIGHT_NONE, MODE, "only no any") \
	X(EMPTY, "empty", GROUP_PASSWORD, 0, \
	  TYPE_YES_NO, AT_REQUEST, TIGHT_NONE, SIZE, NULL) \
	X(KEY_TYPES, "key-types", GROUP_SSH_KEYS, 0, \
	  TYPE_PATTERNS, AT_REQUEST, TIGHT_NONE, KEY, NULL) \
	X(KEYS_MAX, "keys-max", GROUP_SSH_KEYS, 0, \
	  TYPE_COUNT, AT_REQUEST, TIGHT_NONE, SIZE, NULL) \
	X(RESET, "reset", GROUP_SSH_KEYS, 0, \
	  TYPE_YES_NO, AT_REQUEST, TIGHT_NONE, MODE, NULL) \
	X(MAX_STEP, "max-step", GROUP_TIME, 0, \
	  TYPE_TIME, AT_ACT, TIGHT_LEAST, STEP, NULL) \
	X(BACKWARDS, "backwards", GROUP_TIME, 0, \
	  TYPE_YES_NO, AT_ACT, TIGHT_LEAST, STEP, NULL) \
	X(FROM_RTC, "from-rtc", GROUP_TIME, 0, \
	  TYPE_YES_NO, AT_REQUEST, TIGHT_NONE, STEP, NULL) \
	X(ONLINE_MIN, "online-min", GROUP_HOTPLUG, 0, \
	  TYPE_COUNT, AT_ACT, TIGHT_MOST, MODE, NULL) \
	X(OFFLINE, "offline", GROUP_HOTPLUG, 0, \
	  TYPE_YES_NO, AT_REQUEST, TIGHT_NONE, MODE, NULL) \
	X(MEMORY_MIN, "memory-min", GROUP_HOTPLUG, 0, \
	  TYPE_SIZE, AT_ACT, TIGHT_MOST, MODE, NULL) \
	X(MODES, "modes", GROUP_POWER, 0, \
	  TYPE_WORDS, AT_REQUEST, TIGHT_NONE, MODE, "powerdown halt reboot") \
	X(SUSPEND_MODES, "modes", GROUP_SUSPEND, 0, \
	  TYPE_WORDS, AT_REQUEST, TIGHT_NONE, MODE, "disk ram hybrid") \
	X(FORCE, "force", GROUP_POWER | GROUP_SUSPEND, 0, \
	  TYPE_YES_NO, AT_ACT, TIGHT_LEAST, CONSTRAINT, NULL) \
	X(ONLY, "only", 0, OPS_NAMED, \
	  TYPE_PATTERNS, AT_ANSWER, TIGHT_NONE, CONSTRAINT, NULL) \
	X(EXCLUDE, "exclude", 0, OPS_NAMED, \
	  TYPE_PATTERNS, AT_ANSWER, TIGHT_NONE, CONSTRAINT, NULL) \
	X(HIDE, "hide", GROUP_INFO, 0, \
	  TYPE_TEXTS, AT_ANSWER, TIGHT_NONE, CONSTRAINT, NULL) \
	X(SMART, "smart", 0, OPS_OF_1(get_disks), \
	  TYPE_YES_NO, AT_ACT, TIGHT_LEAST, CONSTRAINT, NULL) \
	X(TIME_LIMIT, "time-limit", ~0u, 0, \
	  TYPE_TIME, AT_ACT, TIGHT_LEAST, CONSTRAINT, NULL)
/* clang-format on */

#define KEY_ENUM(tag, ...) KEY_##tag,
enum key { KEY_TABLE(KEY_ENUM) KEYS_COUNT };

struct key_row {
	const char *name; /* NULL: not written by people */
	uint32_t groups;  /* whose commands it applies to */
	uint64_t ops;     /* further operations that it applies to */
	enum key_type type;
	enum key_stage stage;
	enum key_tight tight;
	enum reason reason;
	const char *words; /* of TYPE_WORDS, separated by blanks */
};

/* Row of KEY. */
const struct key_row *key_row(enum key key);

/* Every operation that KEY applies to, as a set by number. */
uint64_t key_ops(enum key key);

/* A part of a command that a rule allows by saying yes to KEY. */
struct key_part {
	enum key key;
	uint32_t command;
	uint32_t part;
};
extern const struct key_part key_parts[2];

/* OPS, with the parts that go along with a command in it. */
uint64_t with_parts(uint64_t ops);

/* Operations of the groups in the mask GROUPS, as a set. */
uint64_t group_ops(uint32_t groups);

/*
 * The key so named that applies to all of OPS; KEYS_COUNT if there is none. *KNOWN: some
 * row has that name, so it is out of place rather than unknown.
 */
enum key key_find(const char *name, size_t len, uint64_t ops, bool *known);

#endif
