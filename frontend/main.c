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

#include "frontend/frontend.h"
#include "ipc/launch.h"
#include "sandbox/sandbox.h"

/* Blocks from this size on are mappings of their own, gone once they are freed. */
#define MAP_FROM (128 * 1024)
/* What the JSON tree of one request may take. */
#define TREE_BYTES_MAX (12u * 1024 * 1024)

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
