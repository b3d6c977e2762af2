/*
 * worker/ops/find.c - where a program is, and who could change it (a part of guest-exec)
 *
 * Runs in:   an op child of the worker
 * Input:     paths: the host's, or the policy's
 * May touch: O_PATH descriptors: nothing is opened
 * Must not:  call a program fit to be run that anybody but root can change
 */
#include "worker/ops/ops.h"
#include "worker/ops/walk.h"

/*
 * The first that is there is the one. Its path stays as it was asked for: the program is
 * run by it, as it may look at its name.
 */
int child_exec_find(const struct sys *sys, const void *args, struct wbuf *out,
		    struct err *e)
{
	const struct msg_exec_find *q = args;
	const struct v_str *paths = q->paths.v;
	struct msg_found found = {.errnum = V_INT(ENOENT)};
	struct walk w;

	(void)e;
	for (uint32_t i = 0; i < q->paths.n && found.errnum.v == ENOENT; i++) {
		walk(&w, sys, paths[i].p, paths[i].len);
		found.path = paths[i];
		found.errnum = V_INT(walk_unfit(&w));
		found.exists = V_BOOL(found.errnum.v == 0);
		found.links = V_INT(found.errnum.v || walk_is_safe(&w) ? LINKS_NONE
								       : LINKS_ANY);
		walk_done(&w);
	}
	if (found.exists.v)
		found.real = v_str(w.path);
	found.type = V_INT(OBJECT_REGULAR);
	found.size = V_U64(0);
	schema_put(out, &schema_found, &found);
	return 0;
}
