/*
 * frontend/main.c - the frontend's start: seal, greet the worker, open the door
 *
 * Runs in:   frontend, own user, no capability, sealed
 * Input:     the command line of the supervisor; frames of the worker
 * May touch: the descriptors it was started with (ipc/launch.h)
 * Must not:  read a byte of the host before it is sealed and has a policy
 */
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "frontend/frontend.h"
#include "ipc/launch.h"
#include "sandbox/sandbox.h"

/* Blocks from this size on are mappings of their own, gone once they are freed. */
#define MAP_FROM (128 * 1024)
/* What the JSON tree of one request may take. */
#define TREE_BYTES_MAX (12u * 1024 * 1024)

static void forget_policy(struct frontend *f)
{
	const struct image_head *head = f->policy.head;

	if (head)
		munmap((void *)(uintptr_t)head, head->size);
	f->policy = (struct policy){0};
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
	void *map;

	if (!rbuf_done(&r) || frame->n_fds != 1)
		return -1;
	forget_policy(f);
	map = mmap(NULL, size, PROT_READ, MAP_PRIVATE, frame->fds[0], 0);
	if (map == MAP_FAILED || policy_open(&f->policy, map, size) < 0)
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

static int worker_frame(struct peer *p, struct frame *frame)
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

static int worker_gone(struct peer *p, enum frame_status why)
{
	struct frontend *f = CONTAINER_OF(p, struct frontend, worker);

	peer_close(p);
	loop_stop(&f->loop, why == FRAME_INVALID ? EXIT_VIOLATION : EXIT_PEER_GONE);
	return 0;
}

/* As the supervisor names them (supervisor/channel.c). */
static const char *const kinds[CHANNEL_KINDS] = {
	[CHANNEL_PORT] = "--port",
	[CHANNEL_SERIAL] = "--serial",
	[CHANNEL_LISTEN] = "--listen",
	[CHANNEL_VSOCK] = "--listen-vsock",
};

static enum channel_kind kind_of(int argc, char **argv)
{
	enum channel_kind kind = 0;

	while (kind < CHANNEL_KINDS && (argc != 2 || !streq(argv[1], kinds[kind])))
		kind++;
	return kind;
}

static int prepare(struct frontend *f, enum channel_kind kind)
{
	bulk_init(&f->bulk);
	queue_init(&f->queue);
	budget_install(TREE_BYTES_MAX);
	/* Fixed: else each large buffer that is freed raises it, and the next stays. */
	mallopt(M_MMAP_THRESHOLD, MAP_FROM);
	f->scan = scan_new(&f->bulk.sink);
	f->arena = (struct arena){.p = malloc(ARENA_SIZE), .cap = ARENA_SIZE};
	if (!f->scan || !f->arena.p || loop_init(&f->loop) < 0 ||
	    timer_init(&f->loop, &f->abandon, queue_timer) < 0 || session_init(f) < 0)
		return -1;
	if (channel_init(f, LAUNCH_FD_EXTRA, kind) < 0)
		return -1;
	return peer_open(&f->worker, &f->loop, LAUNCH_FD_SOCKET, worker_frame,
			 worker_gone);
}

/* The supervisor must know of half a reply: the port is then no longer in step. */
static int status_of(const struct frontend *f, int result)
{
	if (f->channel.cut)
		return EXIT_REPLY_CUT;
	return result < 0 ? EXIT_SYSTEM : result;
}

int main(int argc, char **argv)
{
	struct frontend *f = calloc(1, sizeof(*f));
	enum channel_kind kind = kind_of(argc, argv);
	const char *step;

	if (kind == CHANNEL_KINDS || !launched()) {
		fputs("postern-frontend: started by postern, not by hand\n", stderr);
		return EXIT_CONFIG;
	}
	/* A client that closes while we write is an error of that write, no more. */
	signal(SIGPIPE, SIG_IGN);
	if (!f || prepare(f, kind) < 0)
		return EXIT_SYSTEM;
	/* It opens nothing, wherever that is. */
	if (sandbox_beneath(SC_ROLE(SANDBOX_FRONTEND), -1) < 0 ||
	    sandbox_enter(SC_ROLE(SANDBOX_FRONTEND), &step) < 0)
		return EXIT_SEAL;
	return status_of(f, loop_run(&f->loop));
}
