/*
 * worker/ops/freezer.c - freezes one superblock at a time, asking before each
 *
 * Runs in:   freezer: a child of the worker that dies with it, with CAP_SYS_ADMIN
 * Input:     orders of the worker, FRAME_GO with msg_freeze_go
 * May touch: the superblocks it was given
 * Must not:  go on without an order
 */
#include "worker/ops/freezer.h"

#include <linux/fs.h>

#include "ipc/launch.h"
#include "ipc/ops.h"
#include "worker/ops/talk.h"

_Noreturn void freezer_run(const struct sys_ops *ops)
{
	uint8_t buf[FRAME_MAX], reply[32];
	struct arena none = {0};

	for (;;) {
		struct wbuf body = wbuf_fixed(reply, sizeof(reply));
		struct msg_freeze_go go;
		struct frame f;
		struct rbuf r;
		int errnum = 0;

		talk_receive(buf, &f);
		r = rbuf_of(f.body, f.len);
		if (schema_get(&r, &schema_freeze_go, &none, &go) < 0)
			_exit(EXIT_VIOLATION);
		if (ops->ioctl(FREEZER_FIRST + (int)go.index.v, FIFREEZE, NULL) < 0)
			errnum = errno;
		schema_put(
			&body, &schema_frozen,
			&(struct msg_frozen){.index = go.index, .errnum = V_INT(errnum)});
		talk_send(&(struct frame){
			.type = FRAME_REPLY,
			.op = OP_fsfreeze_freeze,
			.body = body.p,
			.len = (uint32_t)body.len,
		});
	}
}
