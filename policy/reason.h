/*
 * policy/reason.h - why a request was decided as it was: a closed list
 *
 * Runs in:   worker, frontend
 * Input:     none; const data
 * May touch: nothing
 * Must not:  lose a spelling that stands in somebody's records
 */
#ifndef POSTERN_POLICY_REASON_H
#define POSTERN_POLICY_REASON_H

/*
 * X(tag, spelling in the record, what the host is told behind "has been disabled: ")
 *
 * The host's texts are those that clients know (protocol 1.7, "Disabled commands").
 */
#define REASON_TABLE(X)                                                   \
	X(RULE, "rule", "")                                               \
	X(NO_RULE, "no-rule", "the command is not allowed")               \
	X(PATH, "path", "these arguments are not allowed")                \
	X(ARGV, "argv", "these arguments are not allowed")                \
	X(ENVIRONMENT, "environment", "these arguments are not allowed")  \
	X(INPUT, "input", "these arguments are not allowed")              \
	X(SYMLINK, "symlink", "these arguments are not allowed")          \
	X(UNSAFE, "unsafe", "others than root could change the program")  \
	X(LOOKUP, "lookup", "")                                           \
	X(USER, "user", "these arguments are not allowed")                \
	X(KEY, "key", "these arguments are not allowed")                  \
	X(SIZE, "size", "these arguments are not allowed")                \
	X(MODE, "mode", "these arguments are not allowed")                \
	X(STEP, "step", "these arguments are not allowed")                \
	X(CONSTRAINT, "constraint", "these arguments are not allowed")    \
	X(RATE, "rate", "it is asked too often")                          \
	X(LOCKED_DOWN, "locked-down", "the policy cannot be trusted")     \
	X(EXPLICIT_DENY, "explicit-deny", "the command is not allowed")   \
	X(FROZEN, "frozen", "the agent is in frozen state")               \
	X(NOT_SUPPORTED, "not-supported", "not supported by this build")  \
	X(ARGUMENTS, "arguments", "the arguments are not valid")          \
	X(BUSY, "busy", "too many operations are in progress")            \
	X(IN_PROGRESS, "in-progress", "one is in progress")               \
	X(WHILE_FROZEN, "while-frozen", "")                               \
	X(AUDIT, "audit-unavailable", "it cannot be recorded at present") \
	X(RELOAD, "reload", "the policy is being replaced")               \
	X(FRONTEND, "frontend", "the command is not allowed")

#define REASON_ENUM(tag, name, text) REASON_##tag,
enum reason { REASON_TABLE(REASON_ENUM) REASON_COUNT };

/* Both return static text. */
const char *reason_name(enum reason r);
const char *reason_text(enum reason r);

#endif
