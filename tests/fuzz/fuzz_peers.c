/*
 * tests/fuzz/fuzz_peers.c - any frames of every process that speaks to the worker
 *
 * Runs in:   libFuzzer
 * Input:     the fuzzer's bytes: the policy, then steps: who says what (steps), length
 *            (u16), bytes
 * May touch: memory, sockets and memfds that it made; no child is ever forked
 * Must not:  find a peer that ends the worker, an answer that is given twice, a frame of
 *            the worker that its peer could not read
 *
 * run: floor 1683
 *
 * A whole worker but for its children: in the place of worker/fork.c each of them is a
 * socket, for which the fuzzer speaks as it does for frontend, inspector and spawner.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "ipc/body.h"
#include "ipc/launch.h"
#include "ipc/memfd.h"
#include "ipc/note.h"
#include "sandbox/sandbox.h"
#include "tests/lib/fuzzwire.h"
#include "tests/lib/policy.h"
#include "worker/fork.h"
#include "worker/repeats.h"
#include "worker/worker.h"

static const char *const profiles[] = {"legacy", "safe", "none"};

#define CHILDREN_MAX 64
#define ASKED_MAX    256
#define BULK_SIZE    5u

/* A raw end, and what it was asked last. */
struct end {
	int sock; /* -1: there is none */
	uint16_t op;
	uint32_t request;
};

struct fake_child {
	struct child *child;
	struct end end;
};

static struct fuzz {
	struct worker w;
	struct state *state;
	int images[ARRAY_SIZE(profiles)];
	size_t policy;
	int bulk, null;
	int supervisor;
	struct end frontend, inspector, spawner, reader;
	struct fake_child children[CHILDREN_MAX];
	size_t n_children;
	bool answered[ASKED_MAX]; /* requests of the frontend's, by their number: whole */
	uint8_t buf[FRAME_MAX];
	_Alignas(max_align_t) uint8_t arena[ARENA_SIZE], msg[4096];
} fuzz;

/* ---- children, in the place of worker/fork.c ---- */

enum fork_side worker_fork(struct child *c, struct loop *loop,
			   const struct fork_plan *plan,
			   void (*on_exit)(struct child *c, int code, int status))
{
	struct fake_child *fake = &fuzz.children[fuzz.n_children];

	*c = (struct child){.exit.fd = -1, .loop = loop, .on_exit = on_exit};
	if (fuzz.n_children == CHILDREN_MAX)
		return FORK_FAILED;
	*fake = (struct fake_child){.child = c};
	fake->end.sock = fcntl(plan->keep[0], F_DUPFD_CLOEXEC, 0);
	must(fake->end.sock >= 0);
	fuzz.n_children++;
	return FORK_WORKER;
}

/* It ends when a step says so, or at the end. */
void child_kill(struct child *c)
{
	(void)c;
}

bool fork_tie(pid_t parent)
{
	(void)parent;
	return false;
}

long fork_with_pidfd(int *pidfd)
{
	(void)pidfd;
	abort(); /* only a thawer does that */
}

/* As the loop would tell it: what the child had sent is still to be read. */
static void end_child(size_t i, int code, int status)
{
	struct fake_child fake = fuzz.children[i];

	fuzz.children[i] = fuzz.children[--fuzz.n_children];
	close_p(&fake.end.sock);
	fake.child->on_exit(fake.child, code, status);
}

/* ---- what the worker sends ---- */

static bool decodes(struct rbuf *r, const struct schema *s)
{
	struct arena arena = {.p = fuzz.arena, .cap = sizeof(fuzz.arena)};

	must(s->size <= sizeof(fuzz.msg));
	return schema_get(r, s, &arena, fuzz.msg) == 0;
}

static void check_to_frontend(struct end *e, const struct frame *f)
{
	(void)e;
	must(f->type == FRAME_REPLY || f->type == FRAME_POLICY ||
	     f->type == FRAME_STATE || f->type == FRAME_HELLO);
	if (f->type == FRAME_POLICY)
		must(f->n_fds == 1 && memfd_sealed_size(f->fds[0]) > 0);
	if (f->type != FRAME_REPLY)
		return;
	must(f->request && f->request <= fuzz.w.last_id);
	if (f->request >= ASKED_MAX)
		return;
	must(!fuzz.answered[f->request]);
	fuzz.answered[f->request] = !(f->flags & FRAME_MORE);
}

static void check_to_inspector(struct end *e, const struct frame *f)
{
	struct rbuf r = rbuf_of(f->body, f->len);

	must(f->type == FRAME_REQUEST || f->type == FRAME_HELLO);
	if (f->type != FRAME_REQUEST)
		return;
	must(op_by_number(f->op) && op_by_number(f->op)->carrier == BY_INSPECTOR);
	must(decodes(&r, op_by_number(f->op)->args));
	must(!rbuf_left(&r) || decodes(&r, &schema_shape));
	e->op = f->op;
	e->request = f->request;
}

static void check_to_spawner(struct end *e, const struct frame *f)
{
	CLEANUP(body_release) struct body b = {0};

	must(f->type == FRAME_REQUEST || f->type == FRAME_FORGET ||
	     f->type == FRAME_END || f->type == FRAME_HELLO);
	if (f->type != FRAME_REQUEST)
		return;
	must(f->op == OP_exec || f->op == OP_exec_status);
	must(body_open(f, &b) == 0 &&
	     decodes(&b.r, f->op == OP_exec ? &schema_spawn : &schema_exec_status) &&
	     rbuf_done(&b.r));
	e->op = f->op;
	e->request = f->request;
}

static void check_to_reader(struct end *e, const struct frame *f)
{
	must(f->type == FRAME_READ || f->type == FRAME_KEEP || f->type == FRAME_HELLO);
	e->request = f->request;
}

static void check_to_child(struct end *e, const struct frame *f)
{
	struct rbuf r = rbuf_of(f->body, f->len);

	if (f->type == FRAME_REQUEST && op_by_number(f->op) &&
	    op_by_number(f->op)->carrier == BY_HANDLE)
		must(decodes(&r, op_by_number(f->op)->args) && rbuf_done(&r));
	e->request = f->request;
	e->op = f->op;
}

static void take(struct end *e, void (*check)(struct end *e, const struct frame *f))
{
	struct frame f;

	while (e->sock >= 0 && frame_recv(e->sock, fuzz.buf, &f) == FRAME_OK) {
		check(e, &f);
		frame_close_fds(&f);
	}
}

static void take_all(void)
{
	take(&fuzz.frontend, check_to_frontend);
	take(&fuzz.inspector, check_to_inspector);
	take(&fuzz.spawner, check_to_spawner);
	take(&fuzz.reader, check_to_reader);
	for (size_t i = 0; i < fuzz.n_children; i++)
		take(&fuzz.children[i].end, check_to_child);
}

/* ---- what is said to it ---- */

static void greet(int sock)
{
	uint8_t body[HELLO_LEN];
	const struct frame hello = hello_frame(body);

	frame_send(sock, &hello);
}

/* A word of the supervisor; WITH_FD: with a new socket to the peer E. */
static void supervise(struct end *e, uint16_t type, struct rbuf *bytes, bool with_fd)
{
	const uint8_t word = (uint8_t)type;
	struct rbuf byte = rbuf_of(&word, 1);
	int pair[2] = {-1, -1};

	(void)bytes;
	if (with_fd) {
		must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
		close_p(&e->sock);
		*e = (struct end){.sock = pair[0]};
		greet(e->sock);
	}
	fuzz_send(fuzz.supervisor, &byte, &pair[1], with_fd);
	close_p(&pair[1]);
	if (e == &fuzz.frontend)
		memset(fuzz.answered, 0, sizeof(fuzz.answered));
}

/* A request as the frontend would make it: operation, flags, arguments. */
static void request(struct end *e, uint16_t type, struct rbuf *bytes, bool with_fd)
{
	const uint8_t op = rbuf_u8(bytes), flags = rbuf_u8(bytes);
	CLEANUP(wbuf_free) struct wbuf body = wbuf_growing(FRAME_BODY_MAX);

	(void)type;
	schema_put(&body, &schema_request_head,
		   &(struct msg_request_head){.session = V_U64(1)});
	if (!(flags & FRAME_BAD_ARGS))
		wbuf_put(&body, bytes->p, rbuf_left(bytes));
	frame_send(e->sock,
		   &(struct frame){.type = FRAME_REQUEST,
				   .op = op,
				   .request = fuzz.w.last_id + 1,
				   .generation = fuzz.w.gen->number,
				   .flags = flags & (FRAME_REFUSED | FRAME_BAD_ARGS),
				   .n_fds = with_fd,
				   .fds = {with_fd ? fuzz.bulk : -1, -1},
				   .body = body.p,
				   .len = (uint32_t)body.len});
}

/* The operation that the child of END carries out. */
static uint16_t op_of(const struct end *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(fuzz.w.requests); i++) {
		const struct request *rq = &fuzz.w.requests[i];

		for (size_t k = 0; rq->serial && rq->child && k < fuzz.n_children; k++)
			if (&rq->child->child == fuzz.children[k].child &&
			    e == &fuzz.children[k].end)
				return (uint16_t)(rq->part ? rq->part : rq->op);
	}
	return e->op;
}

/* What E answers, in a frame of TYPE: flags, body. */
static void answer(struct end *e, uint16_t type, struct rbuf *bytes, bool with_fd)
{
	const uint8_t flags = rbuf_u8(bytes);

	if (e->sock < 0)
		return;
	frame_send(e->sock, &(struct frame){.type = type,
					    .op = op_of(e),
					    .request = e->request,
					    .flags = flags & (FRAME_MORE | FRAME_ERROR),
					    .n_fds = with_fd,
					    .fds = {with_fd ? fuzz.bulk : -1, -1},
					    .body = bytes->p,
					    .len = (uint32_t)rbuf_left(bytes)});
}

static void raw(struct end *e, uint16_t type, struct rbuf *bytes, bool with_fd)
{
	(void)type;
	if (e->sock >= 0)
		fuzz_send(e->sock, bytes, &fuzz.bulk, with_fd ? 1 : 0);
}

/* As if everything had had its time. */
static void pass_time(struct end *e, uint16_t type, struct rbuf *bytes, bool with_fd)
{
	struct worker *w = &fuzz.w;

	(void)e, (void)type, (void)bytes, (void)with_fd;
	for (size_t i = 0; i < ARRAY_SIZE(w->requests); i++)
		w->requests[i].deadline_ms = 0;
	must(w->limit.fn(&w->limit) == 0);
}

static struct end nobody = {.sock = -1};

static struct end *youngest(void)
{
	return fuzz.n_children ? &fuzz.children[fuzz.n_children - 1].end : &nobody;
}

/* False: there is no such step. */
static void hang_up(struct end *e, uint16_t type, struct rbuf *bytes, bool with_fd)
{
	(void)type, (void)bytes, (void)with_fd;
	close_p(&e->sock);
}

static void end_one(struct end *e, uint16_t type, struct rbuf *bytes, bool with_fd)
{
	(void)e, (void)type, (void)with_fd;
	if (fuzz.n_children)
		end_child(rbuf_u8(bytes) % fuzz.n_children, CLD_EXITED, 0);
}

/* END: who says it; NULL: the youngest child. */
static const struct step {
	uint8_t name;
	void (*fn)(struct end *e, uint16_t type, struct rbuf *bytes, bool with_fd);
	struct end *end;
	uint16_t type;
	bool with_fd;
} steps[] = {
	{'f', raw, &fuzz.frontend, 0, false},
	{'F', raw, &fuzz.frontend, 0, true},
	{'i', raw, &fuzz.inspector, 0, false},
	{'I', raw, &fuzz.inspector, 0, true},
	{'s', raw, &fuzz.spawner, 0, false},
	{'S', raw, &fuzz.spawner, 0, true},
	{'c', raw, NULL, 0, false},
	{'C', raw, NULL, 0, true},
	{'p', raw, &fuzz.reader, 0, false},
	{'P', raw, &fuzz.reader, 0, true},
	{'r', answer, &fuzz.reader, FRAME_IMAGE, true},
	{'q', request, &fuzz.frontend, 0, false},
	{'Q', request, &fuzz.frontend, 0, true},
	{'j', answer, &fuzz.inspector, FRAME_REPLY, false},
	{'t', answer, &fuzz.spawner, FRAME_REPLY, false},
	{'T', answer, &fuzz.spawner, FRAME_REPLY, true},
	{'e', answer, &fuzz.spawner, FRAME_ENDED, false},
	{'d', answer, NULL, FRAME_REPLY, false},
	{'D', answer, NULL, FRAME_REPLY, true},
	{'o', answer, NULL, FRAME_FOUND, false},
	{'h', answer, NULL, FRAME_HOLD, true},
	{'1', supervise, &fuzz.frontend, LAUNCH_MSG_FRONTEND, true},
	{'2', supervise, &fuzz.inspector, LAUNCH_MSG_INSPECTOR, true},
	{'3', supervise, &fuzz.spawner, LAUNCH_MSG_SPAWNER, true},
	{'4', supervise, &nobody, LAUNCH_MSG_RELOAD, false},
	{'0', supervise, &fuzz.reader, LAUNCH_MSG_READER, true},
	{'5', hang_up, &fuzz.frontend, 0, false},
	{'6', hang_up, &fuzz.inspector, 0, false},
	{'7', hang_up, &fuzz.spawner, 0, false},
	{'8', pass_time, &nobody, 0, false},
	{'9', end_one, &nobody, 0, false},
};

/* False: there is no such step. */
static bool take_step(uint8_t name, struct rbuf *bytes)
{
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		const struct step *s = &steps[i];

		if (s->name != name)
			continue;
		s->fn(s->end ? s->end : youngest(), s->type, bytes, s->with_fd);
		return true;
	}
	return false;
}

/* ---- one worker ---- */

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	/* Before anything else is there: in its place comes the supervisor's socket. */
	fuzz.null = open("/dev/null", O_RDWR | O_CLOEXEC);
	must(dup2(fuzz.null, LAUNCH_FD_SOCKET) == LAUNCH_FD_SOCKET);
	fuzz.null = fcntl(fuzz.null, F_DUPFD_CLOEXEC, LAUNCH_FD_SOCKET + 1);
	for (size_t i = 0; i < ARRAY_SIZE(profiles); i++) {
		CLEANUP(wbuf_free) struct wbuf image = {0};
		struct policy p;

		policy_of_profile(&p, &image, profiles[i]);
		fuzz.images[i] = memfd_of("fuzz", image.p, image.len);
		must(fuzz.images[i] >= 0);
	}
	fuzz.bulk = memfd_of("fuzz", "bulk!", BULK_SIZE);
	fuzz.state = mmap(NULL, sizeof(*fuzz.state), PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(fuzz.bulk >= 0 && fuzz.null >= 0 && fuzz.state != MAP_FAILED);
	return 0;
}

/* A reader whose answer to the first question, whichever number that has, lies ready. */
static void begin_reader(void)
{
	supervise(&fuzz.reader, LAUNCH_MSG_READER, NULL, true);
	for (uint32_t number = 1; number <= 2; number++)
		frame_send(fuzz.reader.sock,
			   &(struct frame){.type = FRAME_IMAGE,
					   .request = number,
					   .n_fds = 1,
					   .fds = {fuzz.images[fuzz.policy], -1}});
}

static void begin(uint8_t policy)
{
	struct worker *w = &fuzz.w;
	int pair[2];

	memset(w, 0, sizeof(*w));
	memset(fuzz.state, 0, offsetof(struct state, held.bytes));
	fuzz.state->last_handle = HANDLE_FIRST - 1;
	fuzz.n_children = 0;
	fuzz.policy = policy % ARRAY_SIZE(profiles);
	fuzz.frontend = fuzz.inspector = fuzz.spawner = fuzz.reader = nobody;
	memset(fuzz.answered, 0, sizeof(fuzz.answered));
	must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	must(dup2(pair[1], LAUNCH_FD_SOCKET) == LAUNCH_FD_SOCKET);
	close(pair[1]);
	fuzz.supervisor = pair[0];
	w->state = fuzz.state;
	w->sys.root_fd = -1;
	w->control.fd = -1;
	w->systemd = true;
	w->arena = (struct arena){.p = malloc(ARENA_SIZE), .cap = ARENA_SIZE};
	must(w->arena.p && loop_init(&w->loop) == 0 && launch_init(w) == 0 &&
	     requests_init(w) == 0 && control_init(w) == 0);
	must(sink_init(&w->sink, &w->loop, fuzz.null, false, &fuzz.state->held) == 0 &&
	     freeze_open(w, NULL, "/hook") == 0 &&
	     audit_init(&w->audit, &w->sink, "fuzz") == 0);
	sink_hold(&w->sink);
	begin_reader();
	must(reload_first(w) == 0 && repeats_init(w) == 0);
	must(!*policy_text(&w->gen->policy, w->gen->policy.head->locked_down));
	/* It is not sealed, and the sanitizer has to look into it. */
	must(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0);
	supervise(&fuzz.frontend, LAUNCH_MSG_FRONTEND, NULL, true);
	supervise(&fuzz.inspector, LAUNCH_MSG_INSPECTOR, NULL, true);
	supervise(&fuzz.spawner, LAUNCH_MSG_SPAWNER, NULL, true);
	must(fuzz_turn(&w->loop) == 0);
}

static void free_freeze(struct freeze *f)
{
	for (size_t i = 0; i < SUPERBLOCKS_MAX; i++)
		free(f->points[i]);
	for (size_t i = 0; i < HOOKS_MAX; i++)
		free(f->hooks.paths[i]);
}

/* All that is left of it; descriptors from OWN on were its own. */
static void end(int own)
{
	struct worker *w = &fuzz.w;

	close_p(&fuzz.frontend.sock);
	close_p(&fuzz.inspector.sock);
	close_p(&fuzz.spawner.sock);
	close_p(&fuzz.reader.sock);
	must(fuzz_turn(&w->loop) == 0);
	reload_stop(w);
	requests_stop(w);
	handles_stop(w);
	repeats_tell(w);
	while (fuzz.n_children)
		end_child(0, CLD_KILLED, SIGKILL);
	must(!w->children && !w->files && !w->looking && !w->leaving);
	must(!peer_is_open(&w->frontend) && !peer_is_open(&w->inspector) &&
	     !peer_is_open(&w->spawner));
	free_freeze(&w->freeze);
	must(w->gen->users == 1);
	generation_drop(&w->gen);
	free(w->arena.p);
	close_range((unsigned int)own, ~0u, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const int own = fuzz_lowest();
	struct rbuf at = rbuf_of(data, size), bytes;

	begin(rbuf_u8(&at));
	take_all();
	for (;;) {
		const uint8_t step = rbuf_u8(&at);

		if (!fuzz_next(&at, &bytes) || !take_step(step, &bytes))
			break;
		must(fuzz_turn(&fuzz.w.loop) == 0 && !fuzz.w.loop.stop);
		take_all();
	}
	end(own);
	return 0;
}
