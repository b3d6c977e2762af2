/*
 * worker/audit.h - one record per decision and one per completion
 *
 * Runs in:   worker
 * Input:     what the worker decided and did; texts of other processes, bounded and
 *            escaped here
 * May touch: the sink
 * Must not:  block, record a secret (ipc/ops.h says what is none)
 */
#ifndef POSTERN_WORKER_AUDIT_H
#define POSTERN_WORKER_AUDIT_H

#include "ipc/record.h"
#include "worker/sink.h"

/* Bytes of the redacted arguments in a record at the most; longer ones are cut. */
#define AUDIT_ARGS_MAX 4096
/* Bytes of one record, written; a byte of a host's text may take six. */
#define AUDIT_LINE_MAX 49152

struct audit {
	struct sink *sink;
	const char *channel; /* in what is said of sessions; NULL: it has no name */
	uint64_t seq;        /* of the last record of this instance */
	char boot_id[40];
	char instance[40]; /* of this worker process */
	/* A record as it is written. Here: it would stay a part of the stack for good. */
	uint8_t encoded[AUDIT_LINE_MAX];
	uint8_t text[AUDIT_LINE_MAX];
};

/*
 * Read the boot id and draw the instance id; before the process is sealed. SINK and
 * CHANNEL are borrowed. 0, or -1 with errno.
 */
int audit_init(struct audit *a, struct sink *sink, const char *channel);

/* Microseconds since 1970, by the clock as it is at present. */
uint64_t audit_now_usec(void);

/* What a record is (ipc/state.h), and how much is done for it. */
struct audit_how {
	enum held_kind kind;
	enum sink_effort effort;
};
#define AUDIT_HOW(kind_tag, effort_tag) \
	((struct audit_how){HELD_##kind_tag, SINK_##effort_tag})

/*
 * Write R as an EVENT with the text MESSAGE. Fills the common fields. Never blocks. 0, or
 * -1: it is not written. Then one that was to be kept is lost and counted, which the next
 * record tells; of any other it is as if it had never been.
 */
int audit_write(struct audit *a, enum audit_event event, struct audit_how how,
		struct msg_audit *r, const char *message, ...) PRINTF(5, 6);

#endif
