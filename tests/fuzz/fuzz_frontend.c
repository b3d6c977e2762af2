/*
 * tests/fuzz/fuzz_frontend.c - any bytes of the host and any frames of the worker
 *
 * Runs in:   libFuzzer
 * Input:     the fuzzer's bytes: the policy, then steps: what happens (enum step), length
 *            (u16), bytes
 * May touch: memory, sockets and memfds that it made
 * Must not:  find a request that the worker could not read, a line for the host that is
 *            no reply, or more replies than the host is owed
 *
 * run: floor 1084
 */
#include <sys/mman.h>
#include <sys/un.h>

#include <cjson/cJSON.h>

#include "frontend/frontend.h"
#include "ipc/body.h"
#include "ipc/launch.h"
#include "ipc/memfd.h"
#include "tests/lib/fuzzwire.h"
#include "tests/lib/policy.h"

static const char *const profiles[] = {"none", "safe", "legacy"};

/* What the bytes of a step are. */
enum step {
	HOST_BYTES = 'h',
	HOST_END = 'e',  /* none; the client will send no more */
	HOST_ANEW = 'x', /* none; it goes, and another one comes */
	FRAME = 'w',     /* a packet of the worker's */
	FRAME_FDS = 'W', /* the same, with two memfds */
	REPLY = 'r',     /* flags (u8) and body: a reply to what was asked last */
	REPLY_FD = 'R',  /* the same, with a memfd */
	POLICY = 'p',    /* none; the next profile is in force */
	TIME = 't',      /* none; nobody waits any more for what is under way */
};

static struct fuzz {
	struct frontend f;
	int listener;
	int policies[ARRAY_SIZE(profiles)];
	uint32_t sizes[ARRAY_SIZE(profiles)];
	size_t policy;    /* in force */
	int bulk;         /* a sealed memfd of BULK_SIZE bytes */
	int host, worker; /* the raw ends */
	uint16_t asked;   /* operation that was asked for last, and */
	uint32_t request; /* its number */
	size_t replies;   /* lines that the host was sent */
	size_t owed;      /* at the most: one for each byte and reset, and so on */
	char line[256 * 1024];
	size_t line_len;
	uint8_t buf[FRAME_MAX];
	_Alignas(max_align_t) uint8_t arena[ARENA_SIZE], again[ARENA_SIZE];
} fuzz;

#define BULK_SIZE 5u

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const struct sockaddr_un any = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)argc, (void)argv;
	/* On a name of the kernel's choice, in no file system. */
	must(bind(fd, (const struct sockaddr *)&any, sizeof(any.sun_family)) == 0 &&
	     listen(fd, 8) == 0);
	/* Where a frontend finds it. */
	fuzz.listener = dup2(fd, LAUNCH_FD_EXTRA);
	must(fuzz.listener == LAUNCH_FD_EXTRA);
	if (fd != fuzz.listener)
		close(fd);
	for (size_t i = 0; i < ARRAY_SIZE(profiles); i++) {
		CLEANUP(wbuf_free) struct wbuf image = {0};
		struct policy p;

		policy_of_profile(&p, &image, profiles[i]);
		fuzz.policies[i] = memfd_of("fuzz", image.p, image.len);
		fuzz.sizes[i] = (uint32_t)image.len;
	}
	fuzz.bulk = memfd_of("fuzz", "bulk!", BULK_SIZE);
	must(fuzz.bulk >= 0);
	return 0;
}

/* ---- what the worker gets ---- */

static void check_body(const struct frame *f)
{
	const struct op *op = op_by_number(f->op);
	struct arena arena = {.p = fuzz.arena, .cap = sizeof(fuzz.arena)};
	CLEANUP(body_release) struct body b = {0};
	struct msg_request_head head;
	uint64_t size;
	void *args;

	must(body_open(f, &b) == 0 &&
	     schema_get(&b.r, &schema_request_head, &arena, &head) == 0);
	if (f->flags & FRAME_BAD_ARGS) {
		must(rbuf_done(&b.r));
		return;
	}
	arena = (struct arena){.p = fuzz.again, .cap = sizeof(fuzz.again)};
	args = arena_take(&arena, op->args->size);
	must(args && schema_get(&b.r, op->args, &arena, args) == 0 && rbuf_done(&b.r));
	if (schema_bulk(op->args, args, &size))
		must(f->n_fds && memfd_sealed_size(f->fds[f->n_fds - 1]) == (off_t)size);
}

static void check_frame(const struct frame *f)
{
	struct rbuf r = rbuf_of(f->body, f->len);
	struct arena none = {0};
	struct msg_session_note note;

	if (f->type == FRAME_SESSION) {
		must(schema_get(&r, &schema_session_note, &none, &note) == 0 &&
		     rbuf_done(&r));
		return;
	}
	must(f->type == FRAME_REQUEST || f->type == FRAME_ABANDON ||
	     f->type == FRAME_HELLO);
	if (f->type != FRAME_REQUEST)
		return;
	must(op_by_number(f->op) &&
	     !(op_by_number(f->op)->flags & (OPF_PART | OPF_ELSEWHERE)) &&
	     op_by_number(f->op)->carrier != BY_FRONTEND &&
	     f->request == fuzz.request + 1);
	check_body(f);
	fuzz.asked = f->op;
	fuzz.request = f->request;
}

static void take_frames(void)
{
	struct frame f;

	while (frame_recv(fuzz.worker, fuzz.buf, &f) == FRAME_OK) {
		check_frame(&f);
		frame_close_fds(&f);
	}
}

/* ---- what the host gets ---- */

static void check_line(const char *line, size_t len)
{
	const char *end = NULL;
	cJSON *tree;

	/* Before the reply to a delimited sync. */
	if (len && (uint8_t)*line == 0xff) {
		line++;
		len--;
	}
	for (size_t i = 0; i < len; i++)
		must(line[i] > 0x1f && line[i] < 0x7f);
	tree = cJSON_ParseWithLengthOpts(line, len, &end, 0);
	must(cJSON_IsObject(tree) && end == line + len);
	must(!cJSON_GetObjectItemCaseSensitive(tree, "return") !=
	     !cJSON_GetObjectItemCaseSensitive(tree, "error"));
	cJSON_Delete(tree);
	fuzz.replies++;
}

static void take_lines(void)
{
	ssize_t n = 1;

	while (n > 0) {
		char *stop;

		n = recv(fuzz.host, fuzz.line + fuzz.line_len,
			 sizeof(fuzz.line) - fuzz.line_len, MSG_DONTWAIT);
		fuzz.line_len += n > 0 ? (size_t)n : 0;
		while ((stop = memchr(fuzz.line, '\n', fuzz.line_len))) {
			check_line(fuzz.line, (size_t)(stop - fuzz.line));
			fuzz.line_len -= (size_t)(stop + 1 - fuzz.line);
			memmove(fuzz.line, stop + 1, fuzz.line_len);
		}
		must(fuzz.line_len < sizeof(fuzz.line));
	}
	must(fuzz.replies <= fuzz.owed);
}

/* ---- steps ---- */

static void dial(void)
{
	struct sockaddr_un addr;
	socklen_t len = sizeof(addr);

	fuzz.host = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	must(getsockname(fuzz.listener, (struct sockaddr *)&addr, &len) == 0 &&
	     connect(fuzz.host, (struct sockaddr *)&addr, len) == 0);
	fuzz.line_len = 0;
}

static void send_frame(struct frame f, const int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		f.fds[i] = fds[i];
	f.n_fds = (uint16_t)n;
	frame_send(fuzz.worker, &f);
}

static void send_policy(size_t i)
{
	uint8_t size[4];
	struct wbuf body = wbuf_fixed(size, sizeof(size));

	wbuf_u32(&body, fuzz.sizes[i]);
	send_frame((struct frame){.type = FRAME_POLICY,
				  .generation = (uint32_t)i + 1,
				  .body = size,
				  .len = sizeof(size)},
		   &fuzz.policies[i], 1);
	fuzz.policy = i;
}

static void reply(struct rbuf *bytes, bool with_fd)
{
	const uint8_t flags = rbuf_u8(bytes);

	send_frame((struct frame){.type = FRAME_REPLY,
				  .op = fuzz.asked,
				  .request = fuzz.request,
				  .flags = flags & (FRAME_MORE | FRAME_ERROR),
				  .body = bytes->p,
				  .len = (uint32_t)rbuf_left(bytes)},
		   &fuzz.bulk, with_fd);
}

/* As if all had waited for as long as anybody does. */
static int pass_time(void)
{
	for (struct item *it = fuzz.f.queue.head; it; it = it->next) {
		it->sent_ms -= min_size(it->sent_ms, ABANDON_MS);
		it->received_ms -= min_size(it->received_ms, ABANDON_MS);
	}
	return queue_timer(&fuzz.f.abandon);
}

static int take_step(uint8_t step, struct rbuf *bytes)
{
	const int fds[FRAME_FDS_MAX] = {fuzz.bulk, fuzz.bulk};
	size_t len = rbuf_left(bytes);

	if (step == HOST_BYTES && len &&
	    send(fuzz.host, bytes->p, len, MSG_NOSIGNAL | MSG_DONTWAIT) > 0) {
		fuzz.owed += len + 1;
	} else if (step == HOST_END) {
		shutdown(fuzz.host, SHUT_WR);
	} else if (step == HOST_ANEW) {
		close(fuzz.host);
		dial();
	} else if (step == FRAME || step == FRAME_FDS) {
		fuzz_send(fuzz.worker, bytes, fds, step == FRAME ? 0 : FRAME_FDS_MAX);
	} else if (step == REPLY || step == REPLY_FD) {
		reply(bytes, step == REPLY_FD);
	} else if (step == POLICY) {
		send_policy((fuzz.policy + 1) % ARRAY_SIZE(profiles));
	} else if (step == TIME) {
		return pass_time();
	}
	return 0;
}

/* ---- one frontend ---- */

static void begin(uint8_t policy)
{
	struct frontend *f = &fuzz.f;
	uint8_t body[HELLO_LEN];
	struct frame hello = hello_frame(body);
	int pair[2];

	*f = (struct frontend){.arena = {.p = malloc(ARENA_SIZE), .cap = ARENA_SIZE}};
	bulk_init(&f->bulk);
	queue_init(&f->queue);
	f->scan = scan_new(&f->bulk.sink);
	must(f->scan && f->arena.p && loop_init(&f->loop) == 0 &&
	     timer_init(&f->loop, &f->abandon, queue_timer) == 0 &&
	     session_init(f) == 0 &&
	     channel_init(f, LAUNCH_FD_EXTRA, CHANNEL_LISTEN) == 0);
	must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	must(peer_open(&f->worker, &f->loop, pair[0], worker_frame, worker_gone) == 0);
	fuzz.worker = pair[1];
	fuzz.request = fuzz.asked = 0;
	fuzz.replies = fuzz.owed = 0;
	dial();
	frame_send(fuzz.worker, &hello);
	send_policy(policy % ARRAY_SIZE(profiles));
}

static void close_source(struct loop *l, struct source *s)
{
	int fd = s->fd;

	loop_remove(l, s);
	close_p(&fd);
}

static void finish(void)
{
	struct frontend *f = &fuzz.f;
	int fd;

	while (f->queue.head) {
		struct item *it = f->queue.head;

		f->queue.head = it->next;
		item_free(it);
	}
	close(fuzz.host);
	close(fuzz.worker);
	peer_close(&f->worker);
	close_source(&f->loop, &f->channel.link);
	close_p(&f->channel.next);
	timer_done(&f->loop, &f->abandon);
	timer_done(&f->loop, &f->tell_counts);
	loop_done(&f->loop);
	wbuf_free(&f->channel.out);
	bulk_drop(&f->bulk);
	scan_free(f->scan);
	free(f->arena.p);
	if (f->policy.head)
		munmap((void *)(uintptr_t)f->policy.head, f->policy.head->size);
	/* Who was not served yet waits for nobody. */
	while ((fd = accept4(fuzz.listener, NULL, NULL, SOCK_CLOEXEC)) >= 0)
		close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const int before = fuzz_lowest();
	struct rbuf at = rbuf_of(data, size), bytes;
	int r;

	begin(rbuf_u8(&at));
	r = fuzz_turn(&fuzz.f.loop);
	must(r == 0 && !fuzz.f.loop.stop && fuzz.f.generation);
	while (r == 0 && !fuzz.f.loop.stop) {
		const uint8_t step = rbuf_u8(&at);

		if (!fuzz_next(&at, &bytes))
			break;
		r = take_step(step, &bytes);
		if (r == 0)
			r = fuzz_turn(&fuzz.f.loop);
		take_frames();
		take_lines();
	}
	finish();
	must(fuzz_lowest() == before);
	return 0;
}
