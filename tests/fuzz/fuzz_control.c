/*
 * tests/fuzz/fuzz_control.c - any packets to the worker's control socket, and back
 *
 * Runs in:   libFuzzer
 * Input:     the fuzzer's bytes: who is spoken to and how, then packets by length (u16)
 * May touch: memory, sockets that it made
 * Must not:  find a packet that costs more than its connection, or one that is taken for
 *            what it is not
 *
 * run: floor 438
 */
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "ctl/control.h"
#include "ctl/ctl.h"
#include "ipc/memfd.h"
#include "tests/lib/fuzzwire.h"
#include "tests/lib/generation.h"
#include "tests/lib/policy.h"
#include "worker/worker.h"

/* The first byte. */
#define TO_CTL    1u /* answers to posternctl; else questions to the worker */
#define GREETS    2u /* as both sides do */
#define BRINGS    4u /* a descriptor with each packet */
#define IS_FROZEN 8u

static struct fuzz {
	struct worker w;
	struct state state;
	struct wbuf image;
	int listener;
	int reader; /* the reader's end */
	uint8_t asked[FRAME_MAX];
	struct control_link link; /* posternctl's end */
	uint8_t again[FRAME_BODY_MAX];
} fuzz;

/* In the place of those in ctl/main.c: what went wrong is told to nobody. */
int ctl_fail(const char *fmt, ...)
{
	(void)fmt;
	return CTL_FAILED;
}

int ctl_seconds(const char *option, const char *text, double least, uint64_t *ms)
{
	(void)option, (void)text, (void)least, (void)ms;
	return CTL_FAILED;
}

/* On a name of the kernel's choice, in no file system. */
static int listener(void)
{
	const struct sockaddr_un any = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	must(bind(fd, (const struct sockaddr *)&any, sizeof(any.sun_family)) == 0 &&
	     listen(fd, 8) == 0);
	return fd;
}

static void open_reader(struct worker *w)
{
	uint8_t body[HELLO_LEN];
	struct frame hello = hello_frame(body);
	int pair[2];

	must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0 &&
	     reload_reader(w, pair[0]) == 0);
	fuzz.reader = pair[1];
	must(frame_send(fuzz.reader, &hello) == FRAME_OK);
}

/*
 * A worker with all that is looked at for a status. Its records are counted as lost, and
 * its reader finds no policy: a reload fails at once.
 */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct worker *w = &fuzz.w;

	(void)argc, (void)argv;
	w->gen = generation_blank();
	policy_of_profile(&w->gen->policy, &fuzz.image, "safe");
	w->gen->fd = memfd_of("fuzz", fuzz.image.p, fuzz.image.len);
	w->gen->size = fuzz.image.len;
	w->state = &fuzz.state;
	w->freeze.record = &fuzz.state.freeze;
	w->reader.source.fd = w->reload.late.source.fd = -1;
	w->frontend.source.fd = w->inspector.source.fd = w->spawner.source.fd = -1;
	must(w->gen->fd >= 0 && loop_init(&w->loop) == 0 &&
	     sink_init(&w->sink, &w->loop, -1, false, &fuzz.state.held) == 0 &&
	     audit_init(&w->audit, &w->sink, "fuzz") == 0);
	sink_hold(&w->sink);
	fuzz.listener = listener();
	w->control.fd = fuzz.listener;
	must(control_init(w) == 0);
	open_reader(w);
	fuzz.link.arena = (struct arena){.p = malloc(64 * 1024), .cap = 64 * 1024};
	return 0;
}

/* What is sent is there: nothing is waited for, however slow this machine is. */
#define PATIENCE_MS 10000

/* With a descriptor if it BRINGS one. */
static bool send_packet(int sock, const struct rbuf *packet, bool brings)
{
	return fuzz_send(sock, packet, &fuzz.listener, brings);
}

/* ---- the worker's side ---- */

/* The reader's turn: what it has for a policy is something else. False: it waits. */
static bool run_reader(void)
{
	struct frame f;

	if (frame_recv(fuzz.reader, fuzz.asked, &f) != FRAME_OK)
		return false;
	if (f.type == FRAME_READ)
		must(frame_send(fuzz.reader, &(struct frame){
						     .type = FRAME_IMAGE,
						     .request = f.request,
						     .n_fds = 1,
						     .fds = {fuzz.listener, -1},
					     }) == FRAME_OK);
	return true;
}

/* Until nothing is left to do. */
static void run_worker(void)
{
	do
		must(fuzz_turn(&fuzz.w.loop) == 0 && !fuzz.w.loop.stop);
	while (run_reader());
}

static int dial(void)
{
	struct sockaddr_un addr;
	socklen_t len = sizeof(addr);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	must(getsockname(fuzz.listener, (struct sockaddr *)&addr, &len) == 0 &&
	     connect(fd, (struct sockaddr *)&addr, len) == 0);
	run_worker();
	return fd;
}

/* The question that PACKET is; CONTROL_VERBS if it is none. Read by hand. */
static enum control_verb question(const struct rbuf *packet)
{
	struct rbuf r = *packet;
	const size_t len = rbuf_left(&r);
	const uint16_t type = rbuf_u16(&r);
	uint16_t flags, fds;

	rbuf_take(&r, 2 + 4 + 4); /* op, request, generation */
	flags = rbuf_u16(&r);
	fds = rbuf_u16(&r);
	return len == 21 && type == 20 && !flags && !fds && rbuf_u32(&r) == 1 &&
			       packet->p[20] < CONTROL_VERBS
		       ? packet->p[20]
		       : CONTROL_VERBS;
}

/* The answer to VERB is there, and whole. */
static void take_answer(int sock, enum control_verb verb)
{
	struct msg_controlled m;

	fuzz.link.fd = sock;
	if (verb == CONTROL_POLICY) {
		struct frame f;

		must(frame_recv(sock, fuzz.link.buf, &f) == FRAME_OK &&
		     f.type == FRAME_POLICY && f.n_fds == 1 &&
		     memfd_sealed_size(f.fds[0]) == (off_t)fuzz.image.len);
		frame_close_fds(&f);
		return;
	}
	must(control_answer(&fuzz.link, PATIENCE_MS, &m) == CTL_OK && m.verb.v == verb);
	must(m.status.set == (verb == CONTROL_STATUS) &&
	     m.outcome.set == (verb == CONTROL_RELOAD));
}

static bool hung_up(int sock)
{
	char byte;

	return recv(sock, &byte, 1, MSG_DONTWAIT) == 0 || errno == ECONNRESET;
}

/* It answers each question, and hangs up at the first that is none. */
static void ask_worker(struct rbuf *at, unsigned int how)
{
	uint8_t body[HELLO_LEN];
	struct frame hello = hello_frame(body), f;
	int sock = dial();
	bool open = how & GREETS, waits = false;
	struct rbuf packet;

	must(frame_recv(sock, fuzz.link.buf, &f) == FRAME_OK && hello_fits(&f));
	if (open)
		frame_send(sock, &hello);
	fuzz.w.freeze.state = how & IS_FROZEN ? FS_FROZEN : FS_THAWED;
	while (fuzz_next(at, &packet)) {
		const enum control_verb verb = question(&packet);

		send_packet(sock, &packet, how & BRINGS);
		run_worker();
		open = open && verb < CONTROL_VERBS && !(how & BRINGS);
		if (!open)
			break;
		take_answer(sock, verb);
		waits |= verb == CONTROL_RELOAD && how & IS_FROZEN;
	}
	fuzz.w.freeze.state = FS_THAWED;
	reload_thawed(&fuzz.w);
	run_worker();
	if (open && waits)
		take_answer(sock, CONTROL_RELOAD);
	if (!open && how & GREETS)
		must(hung_up(sock));
	close(sock);
	run_worker();
	for (size_t i = 0; i < CONTROL_MAX; i++)
		must(!peer_is_open(&fuzz.w.controls[i].peer) &&
		     !fuzz.w.controls[i].waits);
	must(fuzz.w.reload.state == RELOADS_NOT && fuzz.w.gen->users == 1);
	fuzz.state.held = (struct held){.used = 0};
}

/* ---- posternctl's side ---- */

/* What was taken for an answer is one: it says no more than what it was made of. */
static void check_answer(const struct msg_controlled *m, const struct rbuf *packet)
{
	struct wbuf w = wbuf_fixed(fuzz.again, sizeof(fuzz.again));

	schema_put(&w, &schema_controlled, m);
	must(!w.bad && w.len + FRAME_HEAD == rbuf_left(packet) &&
	     !memcmp(w.p, packet->p + FRAME_HEAD, w.len));
}

static void answer_ctl(struct rbuf *at, unsigned int how)
{
	struct rbuf packet;
	int pair[2];

	must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	fuzz.link.fd = pair[0];
	while (fuzz_next(at, &packet)) {
		struct msg_controlled m;
		int fd = -1;

		if (!send_packet(pair[1], &packet, how & BRINGS))
			continue;
		if (!(how & GREETS))
			fd = control_policy(&fuzz.link, PATIENCE_MS);
		else if (control_answer(&fuzz.link, PATIENCE_MS, &m) == CTL_OK)
			check_answer(&m, &packet);
		must(fd < 0 || how & BRINGS);
		close_p(&fd);
	}
	close(pair[0]);
	close(pair[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const int before = fuzz_lowest();
	struct rbuf at = rbuf_of(data, size);
	const unsigned int how = rbuf_u8(&at);

	if (how & TO_CTL)
		answer_ctl(&at, how);
	else
		ask_worker(&at, how);
	must(fuzz_lowest() == before);
	return 0;
}
