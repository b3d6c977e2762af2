/*
 * ipc/record.h - the audit record: its events and fields, once
 *
 * Runs in:   worker (writes), posternctl (reads)
 * Input:     none; const data
 * May touch: nothing
 * Must not:  lose a name or a message id that stands in somebody's journal
 */
#ifndef POSTERN_IPC_RECORD_H
#define POSTERN_IPC_RECORD_H

#include "ipc/schema.h"

/* X(tag, name, message id, priority as in syslog(3)) */
#define AUDIT_EVENT_TABLE(X)                                                         \
	X(START, "start", "a72483dbe3084399a2ba22aa85feaaba", 5)                     \
	X(STOP, "stop", "710e9c00d2794da6968e695036ecf262", 5)                       \
	X(POLICY_LOAD, "policy-load", "3d1f6a07c85e4b92a4e0719bd85c26f3", 5)         \
	X(POLICY_REFUSED, "policy-refused", "a95b2e64f01d4c7785c3e6187d20b49f", 3)   \
	X(RELOAD, "reload", "0d95c7e32b6f4a18bb8e5f17a4d3c962", 5)                   \
	X(LOCKED_DOWN, "locked-down", "5e8c40d719ab4f26b73d1f90ce6285a4", 2)         \
	X(CONNECT, "connect", "c05fad69721241b0aecc835867054f74", 6)                 \
	X(DISCONNECT, "disconnect", "3940ca0cc60f458ca0cb3c4532fba0e6", 6)           \
	X(DECISION, "decision", "046ae31c146b4362bb4a669adf4d9897", 6)               \
	X(COMPLETE, "complete", "9125dbb08d7e4817bca9bf7cf1d857bf", 6)               \
	X(FILE_OPEN, "file-open", "3f5c1b0e9a344f0d8c7b65d2a1e0f943", 6)             \
	X(FILE_CLOSE, "file-close", "b0d8e6a41c5f4e72936a0f18c2d7b5e9", 6)           \
	X(EXEC_START, "exec-start", "6a1f3d9c27b84c5ea0e49d7358b2c610", 5)           \
	X(EXEC_EXIT, "exec-exit", "d94b72e05f3a41c8b6170ca2e83f95d1", 5)             \
	X(FREEZE, "freeze", "1c7de3a5b94f4f0c8e62d0a7539b8e14", 5)                   \
	X(THAW, "thaw", "5f92b6d08ac74e3f9d1b7c40e2a86f35", 5)                       \
	X(PASSWORD, "password", "c4f8a06e2d9b4b7f8e135d70a9c2b461", 5)               \
	X(SSH_KEYS, "ssh-keys", "2b90d7e5c16f4a38b4d28f6103ea79c5", 5)               \
	X(TIME_SET, "time-set", "7ae61f0d93c8452b9d04b75e28f1c36a", 5)               \
	X(HOTPLUG, "hotplug", "f13c85b7e0a24d69813e6b4c97d20f5a", 5)                 \
	X(POWER, "power", "86d2e94b7f5a4c10a3c7185fe069bd32", 4)                     \
	X(AUTO_THAW, "auto-thaw", "e08b3c71d5264a9fb7f04d9a61c2583e", 4)             \
	X(PROTOCOL_ERROR, "protocol-error", "92a3fa35c76a4ca0afa236d690b7f40a", 4)   \
	X(CHILD_VIOLATION, "child-violation", "4753ad3c42194970bb1c214840a83980", 2) \
	X(CHILD_RESTART, "child-restart", "8f090c1ea0dc467dab5caa9b99c3cbf1", 4)

#define AUDIT_EVENT_ENUM(tag, name, id, priority) EVENT_##tag,
enum audit_event { AUDIT_EVENT_TABLE(AUDIT_EVENT_ENUM) AUDIT_EVENT_COUNT };

/* What is known of an event. */
struct event_row {
	const char *name; /* POSTERN_EVENT */
	const char *id;   /* MESSAGE_ID; its text is in the message catalogue */
	int priority;     /* as in syslog(3) */
};
extern const struct event_row event_rows[AUDIT_EVENT_COUNT];

/*
 * The record. Names are those of the journal's fields (AUDIT.md, "Fields"). An absent
 * value leaves no field.
 */
#define PX "POSTERN_"
#define FIELDS_audit(X, t)                                                           \
	X(t, STR, message, "MESSAGE", F_PUB, REF_NONE)                               \
	X(t, STR, message_id, "MESSAGE_ID", F_PUB, REF_NONE)                         \
	X(t, INT, priority, "PRIORITY", F_PUB, REF_NONE)                             \
	X(t, U64, time_usec, PX "TIME_USEC", F_PUB, REF_NONE)                        \
	X(t, STR, event, PX "EVENT", F_PUB, REF_NONE)                                \
	X(t, U64, seq, PX "SEQ", F_PUB, REF_NONE)                                    \
	X(t, STR, boot_id, PX "BOOT_ID", F_PUB | F_OPT, REF_NONE)                    \
	X(t, STR, instance, PX "INSTANCE", F_PUB, REF_NONE)                          \
	X(t, U64, request, PX "REQUEST", F_PUB | F_OPT, REF_NONE)                    \
	X(t, U64, session, PX "SESSION", F_PUB | F_OPT, REF_NONE)                    \
	X(t, STR, channel, PX "CHANNEL", F_PUB | F_OPT, REF_NONE)                    \
	X(t, STR, client_id, PX "CLIENT_ID", F_PUB | F_OPT, REF_NONE)                \
	X(t, STR, command, PX "COMMAND", F_PUB | F_OPT, REF_NONE)                    \
	X(t, STR, args, PX "ARGS", F_PUB | F_OPT | F_JSON, REF_NONE)                 \
	X(t, BOOL, args_cut, PX "ARGS_CUT", F_PUB | F_OPT, REF_NONE)                 \
	X(t, STR, decision, PX "DECISION", F_PUB | F_OPT, REF_NONE)                  \
	X(t, STR, reason, PX "REASON", F_PUB | F_OPT, REF_NONE)                      \
	X(t, STR, rule, PX "RULE", F_PUB | F_OPT, REF_NONE)                          \
	X(t, STR, rule_file, PX "RULE_FILE", F_PUB | F_OPT, REF_NONE)                \
	X(t, U64, rule_line, PX "RULE_LINE", F_PUB | F_OPT, REF_NONE)                \
	X(t, STR, policy_base, PX "POLICY_BASE", F_PUB | F_OPT, REF_NONE)            \
	X(t, STR, policy_sha256, PX "POLICY_SHA256", F_PUB | F_OPT, REF_NONE)        \
	X(t, STR, policy_mode, PX "POLICY_MODE", F_PUB | F_OPT, REF_NONE)            \
	X(t, STR, version, PX "VERSION", F_PUB | F_OPT, REF_NONE)                    \
	X(t, STR, privileges, PX "PRIVILEGES", F_PUB | F_OPT, REF_NONE)              \
	X(t, STR, result, PX "RESULT", F_PUB | F_OPT, REF_NONE)                      \
	X(t, INT, errnum, PX "ERRNO", F_PUB | F_OPT, REF_NONE)                       \
	X(t, U64, duration_usec, PX "DURATION_USEC", F_PUB | F_OPT, REF_NONE)        \
	X(t, BOOL, abandoned, PX "ABANDONED", F_PUB | F_OPT, REF_NONE)               \
	X(t, BOOL, skew, PX "SKEW", F_PUB | F_OPT, REF_NONE)                         \
	X(t, STR, file_requested, PX "FILE_REQUESTED", F_PUB | F_OPT, REF_NONE)      \
	X(t, STR, file_opened, PX "FILE_OPENED", F_PUB | F_OPT, REF_NONE)            \
	X(t, STR, file_mode, PX "FILE_MODE", F_PUB | F_OPT, REF_NONE)                \
	X(t, INT, handle, PX "HANDLE", F_PUB | F_OPT, REF_NONE)                      \
	X(t, U64, bytes_read, PX "BYTES_READ", F_PUB | F_OPT, REF_NONE)              \
	X(t, U64, bytes_written, PX "BYTES_WRITTEN", F_PUB | F_OPT, REF_NONE)        \
	X(t, STR, exec_path, PX "EXEC_PATH", F_PUB | F_OPT, REF_NONE)                \
	X(t, STR, exec_argv, PX "EXEC_ARGV", F_PUB | F_OPT | F_JSON, REF_NONE)       \
	X(t, STR, exec_name, PX "EXEC_NAME", F_PUB | F_OPT, REF_NONE)                \
	X(t, STR, exec_user, PX "EXEC_USER", F_PUB | F_OPT, REF_NONE)                \
	X(t, INT, exec_pid, PX "EXEC_PID", F_PUB | F_OPT, REF_NONE)                  \
	X(t, STR, exec_unit, PX "EXEC_UNIT", F_PUB | F_OPT, REF_NONE)                \
	X(t, INT, exit_code, PX "EXIT_CODE", F_PUB | F_OPT, REF_NONE)                \
	X(t, INT, signal, PX "SIGNAL", F_PUB | F_OPT, REF_NONE)                      \
	X(t, BOOL, timed_out, PX "TIMED_OUT", F_PUB | F_OPT, REF_NONE)               \
	X(t, U64, out_bytes, PX "OUT_BYTES", F_PUB | F_OPT, REF_NONE)                \
	X(t, BOOL, out_truncated, PX "OUT_TRUNCATED", F_PUB | F_OPT, REF_NONE)       \
	X(t, U64, fs_count, PX "FS_COUNT", F_PUB | F_OPT, REF_NONE)                  \
	X(t, STR, fs_mounts, PX "FS_MOUNTS", F_PUB | F_OPT | F_JSON, REF_NONE)       \
	X(t, STR, thaw_cause, PX "THAW_CAUSE", F_PUB | F_OPT, REF_NONE)              \
	X(t, STR, hook, PX "HOOK", F_PUB | F_OPT, REF_NONE)                          \
	X(t, STR, hook_result, PX "HOOK_RESULT", F_PUB | F_OPT, REF_NONE)            \
	X(t, STR, target_user, PX "TARGET_USER", F_PUB | F_OPT, REF_NONE)            \
	X(t, STR, key_fingerprint, PX "KEY_FINGERPRINT", F_PUB | F_OPT, REF_NONE)    \
	X(t, BOOL, password_crypted, PX "PASSWORD_CRYPTED", F_PUB | F_OPT, REF_NONE) \
	X(t, INT, time_delta, PX "TIME_DELTA_NSEC", F_PUB | F_OPT, REF_NONE)         \
	X(t, STR, power_mode, PX "POWER_MODE", F_PUB | F_OPT, REF_NONE)              \
	X(t, U64, online, PX "ONLINE", F_PUB | F_OPT, REF_NONE)                      \
	X(t, STR, process, PX "PROCESS", F_PUB | F_OPT, REF_NONE)                    \
	X(t, STR, reported_by, PX "REPORTED_BY", F_PUB | F_OPT, REF_NONE)            \
	X(t, STR, detail, PX "DETAIL", F_PUB | F_OPT, REF_NONE)                      \
	X(t, U64, repeat, PX "REPEAT", F_PUB | F_OPT, REF_NONE)                      \
	X(t, U64, dropped, PX "DROPPED", F_PUB | F_OPT, REF_NONE)                    \
	X(t, U64, notes_dropped, PX "NOTES_DROPPED", F_PUB | F_OPT, REF_NONE)

SCHEMA_STRUCT(audit)

#endif
