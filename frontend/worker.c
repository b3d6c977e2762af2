/*
 * frontend/worker.c - frames of the worker: the policy, the state, replies
 *
 * Runs in:   frontend
 * Input:     frames of the worker: well-formed, and trusted to be meant
 * May touch: the policy's image, mapped; the queue
 * Must not:  go on with a policy that is none
 */
#include <sys/mman.h>

#include "frontend/frontend.h"
#include "ipc/launch.h"
#include "ipc/memfd.h"

static void forget_policy(struct frontend *f)
{
	const struct image_head *head = f->policy.head;

	if (head)
		munmap((void *)(uintptr_t)head, head->size);
	f->policy = (struct policy){0};
}

static int map_policy(struct policy *p, int fd, uint32_t size)
{
	void *map = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);

	if (map == MAP_FAILED)
		return -1;
	if (policy_open(p, map, size) == 0)
		return 0;
	munmap(map, size);
	*p = (struct policy){0};
	return -1;
}

/*
 * The worker's policy: sealed, so that neither of us can change it under the other. What
 * waits was decided on by the last one, whole: its number goes along.
 */
static int policy_frame(struct frontend *f, const struct frame *frame)
{
	struct rbuf r = rbuf_of(frame->body, frame->len);
	uint32_t size = rbuf_u32(&r);
	bool first = !f->generation;

	if (!rbuf_done(&r) || frame->n_fds != 1 ||
	    memfd_sealed_size(frame->fds[0]) != (off_t)size)
		return -1;
	forget_policy(f);
	if (map_policy(&f->policy, frame->fds[0], size) < 0)
		return -1;
	f->generation = frame->generation;
	scan_limit(f->scan, f->policy.head->message_max ? f->policy.head->message_max
							: SCAN_MESSAGE_MAX);
	return first ? channel_go(f) : 0;
}

static int state_frame(struct frontend *f, const struct frame *frame)
{
	struct rbuf r = rbuf_of(frame->body, frame->len);

	f->frozen = rbuf_u8(&r);
	return rbuf_done(&r) ? 0 : -1;
}

int worker_frame(struct peer *p, struct frame *frame)
{
	struct frontend *f = CONTAINER_OF(p, struct frontend, worker);

	if (frame->type == FRAME_POLICY)
		return policy_frame(f, frame);
	if (frame->type == FRAME_STATE)
		return state_frame(f, frame);
	if (frame->type == FRAME_REPLY)
		return queue_reply(f, frame);
	loop_stop(&f->loop, EXIT_VIOLATION);
	return 0;
}

int worker_gone(struct peer *p, enum frame_status why)
{
	struct frontend *f = CONTAINER_OF(p, struct frontend, worker);

	peer_close(p);
	loop_stop(&f->loop, why == FRAME_INVALID ? EXIT_VIOLATION : EXIT_PEER_GONE);
	return 0;
}
