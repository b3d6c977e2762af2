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
/* Bytes of one record as a line. */
#define AUDIT_LINE_MAX 32768

struct audit {
	struct sink *sink;
	uint64_t seq;     /* of the last record of this instance */
	uint64_t dropped; /* records lost since the last one that went out */
	char boot_id[40];
	char instance[40]; /* of this worker process */
};

/*
 * Read the boot id and draw the instance id; before the process is sealed. SINK is
 * borrowed. 0, or -1 with errno.
 */
int audit_init(struct audit *a, struct sink *sink);

/*
 * Write R as an EVENT with the text MESSAGE. Fills the common fields. Never blocks. 0, or
 * -1: the record is lost; it is counted, and the next record says so. MUST: it may use
 * the room that is kept for what changes the guest.
 */
int audit_write(struct audit *a, enum audit_event event, bool must, struct msg_audit *r,
		const char *message, ...) PRINTF(5, 6);

#endif
