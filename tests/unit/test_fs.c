/*
 * tests/unit/test_fs.c - what a child asks of the worker, holds, thaws and trims
 *
 * Runs in:   a test; the handlers in children of it
 * Input:     small machines made here
 * May touch: a folder of its own
 * Must not:  freeze, thaw or trim anything
 */
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "ipc/launch.h"
#include "tests/lib/mounts.h"
#include "tests/lib/rmtree.h"
#include "tests/lib/tree.h"
#include "worker/fork.h"
#include "worker/ops/ops.h"
#include "worker/ops/talk.h"

/* A child at work, and what the worker saw of it. */
struct fixture {
	struct sys sys;
	int sock;
	const char *wanted; /* words: mount points that are wanted */
	char log[4096];
	uint8_t frame[FRAME_MAX];
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	fake = (struct fake_machine){.root = "/tmp/postern-fs-XXXXXX"};
	assert_non_null(mkdtemp(fake.root));
	fake.log = mmap(NULL, 256, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
			0);
	assert_true(fake.log != MAP_FAILED);
	f->sys = (struct sys){
		.root_fd = open(fake.root, O_PATH | O_DIRECTORY | O_CLOEXEC),
		.ops = &fake_ops,
	};
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	sys_done(&f->sys);
	munmap(fake.log, 256);
	free(f);
	return rmtree(fake.root);
}

static void put(const struct fixture *f, const char *tree)
{
	unsigned int line = tree_unpack(f->sys.root_fd, tree, strlen(tree));

	if (line)
		fail_msg("line %u is no entry in:\n%s", line, tree);
}

/* ---- the child ---- */

typedef int handler(const struct sys *sys, const void *args, struct wbuf *out,
		    struct err *e);

/* As worker/child.c does it. */
static _Noreturn void run(const struct fixture *f, int sock, handler *h, uint32_t op,
			  const void *args)
{
	struct wbuf out = wbuf_growing(REPLY_BODY_MAX);
	struct sys sys = f->sys;
	struct err e = {0};

	sys.root_fd = fcntl(sys.root_fd, F_DUPFD_CLOEXEC, 10);
	if (dup2(fcntl(sock, F_DUPFD_CLOEXEC, 10), CHILD_FD_FIRST) < 0)
		_exit(1);
	if (h(&sys, args, &out, &e) == 0)
		talk_result(op, 0, &out);
	else
		talk_error(op, &e);
	wbuf_free(&out);
	_exit(0);
}

/* ---- the worker's side ---- */

static void note(struct fixture *f, const char *fmt, ...) PRINTF(2, 3);
static void note(struct fixture *f, const char *fmt, ...)
{
	size_t len = strlen(f->log);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(f->log + len, sizeof(f->log) - len, fmt, ap);
	va_end(ap);
}

static bool is_wanted(const struct fixture *f, struct v_str point)
{
	const char *p = f->wanted;

	for (; p && *p; p += strcspn(p, " "), p += strspn(p, " "))
		if (strcspn(p, " ") == point.len && !memcmp(p, point.p, point.len))
			return true;
	return false;
}

static void answer(struct fixture *f, struct rbuf *r, uint32_t op)
{
	struct msg_fs_found found;
	struct msg_fs_may may;
	uint8_t buf[16];
	struct wbuf body = wbuf_fixed(buf, sizeof(buf));

	assert_int_equal(schema_get(r, &schema_fs_found, &(struct arena){}, &found), 0);
	assert_true(rbuf_done(r));
	may = (struct msg_fs_may){V_BOOL(is_wanted(f, found.point))};
	note(f, "%c%.*s %.*s\n", may.wanted.v ? '+' : '-', (int)found.point.len,
	     found.point.p, (int)found.type.len, found.type.p);
	schema_put(&body, &schema_fs_may, &may);
	assert_int_equal(frame_send(f->sock, &(struct frame){.type = FRAME_GO,
							     .op = (uint16_t)op,
							     .body = body.p,
							     .len = (uint32_t)body.len}),
			 FRAME_OK);
}

static void take(struct fixture *f, struct rbuf *r, const struct frame *frame)
{
	struct msg_fs_held held;
	char link[64], path[256] = "";

	assert_int_equal(schema_get(r, &schema_fs_held, &(struct arena){}, &held), 0);
	assert_true(rbuf_done(r));
	assert_int_equal(frame->n_fds, 1);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", frame->fds[0]);
	assert_true(readlink(link, path, sizeof(path) - 1) > 0);
	note(f, "held %.*s %u:%u %s\n", (int)held.point.len, held.point.p,
	     major(held.dev.v), minor(held.dev.v), path + strlen(fake.root));
}

static void finish(struct fixture *f, struct rbuf *r, const struct frame *frame)
{
	const struct schema *s = frame->op == OP_fs_list     ? &schema_empty
				 : frame->op == OP_fs_rescue ? &schema_integer
							     : &schema_trim_result;
	CLEANUP(wbuf_free) struct wbuf text = wbuf_growing(65536);
	const struct render how = {0};
	struct err e;

	if (frame->flags & FRAME_ERROR) {
		err_get(&e, frame->body, frame->len);
		note(f, "error: %s\n", e.desc);
		return;
	}
	assert_int_equal(schema_render(r, s, &how, &text), 0);
	note(f, "%.*s\n", (int)text.len, (const char *)text.p);
}

/* One frame. False: the child has ended without a result. */
static bool serve(struct fixture *f, uint32_t op, bool *done)
{
	struct pollfd p = {.fd = f->sock, .events = POLLIN};
	enum frame_status status;
	struct frame frame;
	struct rbuf r;

	assert_int_equal(poll(&p, 1, 10000), 1);
	status = frame_recv(f->sock, f->frame, &frame);
	if (status != FRAME_OK)
		return false;
	assert_int_equal(frame.op, op);
	r = rbuf_of(frame.body, frame.len);
	if (frame.type == FRAME_FOUND)
		answer(f, &r, op);
	else if (frame.type == FRAME_HOLD)
		take(f, &r, &frame);
	else
		finish(f, &r, &frame);
	*done = frame.type == FRAME_REPLY;
	frame_close_fds(&frame);
	return true;
}

/* Have a child carry out OP; what was seen is in the log. */
static const char *carry_out(struct fixture *f, handler *h, uint32_t op, const void *args)
{
	int pair[2], status = -1;
	bool done = false;
	pid_t pid;

	f->log[0] = '\0';
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		run(f, pair[1], h, op, args);
	close(pair[1]);
	f->sock = pair[0];
	while (!done && serve(f, op, &done))
		;
	close(f->sock);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	return f->log;
}

static void assert_list(struct fixture *f, const char *wanted, const char *log)
{
	f->wanted = wanted;
	assert_string_equal(
		carry_out(f, child_fs_list, OP_fs_list, &(struct msg_freeze_list){}),
		log);
}

/* ---- hold ---- */

static void put_machine(const struct fixture *f)
{
	put(f, "proc/self/mountinfo:\n"
	       "\t27 1 254:1 / / rw - ext4 /dev/vda1 rw\n"
	       "\t28 27 254:2 / /a rw - xfs /dev/vda2 rw\n"
	       "\t29 27 254:1 /srv /b ro - ext4 /dev/vda1 rw\n"
	       "\t30 27 254:3 / /cd ro - iso9660 /dev/sr0 ro\n"
	       "\t31 27 7:0 / /loop rw - ext4 /dev/loop0 rw\n"
	       "dev/loop0 = 7:0 on 254:2 5\n"
	       "proc/self/fd -> /proc/self/fd\n"
	       "a/\nb/\ncd/\nloop/\n");
	fake_add("", 27);
	fake_add("/a", 28);
	fake_add("/b", 29);
	fake_add("/cd", 30);
	fake_add("/loop", 31);
}

static void what_is_wanted_is_held(void **state)
{
	struct fixture *f = *state;

	put_machine(f);
	assert_list(f, "/ /a /b /cd /loop",
		    "+/loop ext4\nheld /loop 7:0 /loop\n"
		    "+/a xfs\nheld /a 254:2 /a\n"
		    "+/ ext4\nheld / 254:1 \n"
		    "{}\n");
	/* A superblock is out only if every mount of it is. */
	assert_list(f, "/b",
		    "-/loop ext4\n-/a xfs\n-/ ext4\n+/b ext4\nheld /b 254:1 \n{}\n");
	assert_list(f, "", "-/loop ext4\n-/a xfs\n-/ ext4\n-/b ext4\n{}\n");
}

static void assert_named(struct fixture *f, const struct v_str *names, uint32_t n,
			 const char *log)
{
	struct msg_freeze_list q = {
		.mountpoints = {.v = (void *)(uintptr_t)names, .n = n, .set = true}};

	f->wanted = "/ /a /b /cd /loop";
	assert_string_equal(carry_out(f, child_fs_list, OP_fs_list, &q), log);
}

/* By their bytes; whichever mount of a superblock it is. */
static void what_is_named(void **state)
{
	struct fixture *f = *state;
	const struct v_str names[] = {v_str("/a/"), v_str("//a"), v_str("/b"),
				      v_str("b"),   v_str("/cd"), v_str("")};

	put_machine(f);
	assert_named(f, names, ARRAY_SIZE(names), "+/b ext4\nheld /b 254:1 \n{}\n");
	assert_named(f, names, 2, "{}\n");
	assert_named(f, names, 0, "{}\n");
}

static void what_cannot_be_held(void **state)
{
	struct fixture *f = *state;

	put_machine(f);
	/* Hidden: passed over, though it was wanted. */
	fake.paths[1].id = 1000;
	assert_list(f, "/a", "-/loop ext4\n+/a xfs\n-/ ext4\n-/b ext4\n{}\n");
	fake.paths[1].id = 28;
	fake.paths[1].no_detach = EPERM;
	assert_list(f, "/a",
		    "-/loop ext4\n+/a xfs\n"
		    "error: failed to freeze /a: Operation not permitted\n");
	assert_int_equal(unlinkat(f->sys.root_fd, "a", AT_REMOVEDIR), 0);
	put(f, "a -> a\n");
	assert_list(f, "/a",
		    "-/loop ext4\n+/a xfs\n"
		    "-/ ext4\n-/b ext4\n{}\n");
}

static void without_a_table(void **state)
{
	struct fixture *f = *state;

	assert_list(f, "/",
		    "error: failed to read /proc/self/mountinfo: "
		    "No such file or directory\n");
}

/* ---- thaw ---- */

static void assert_rescue(struct fixture *f, const struct msg_fs_rescue *q,
			  const char *result, const char *thawed)
{
	fake.log[0] = '\0';
	assert_string_equal(carry_out(f, child_fs_rescue, OP_fs_rescue, q), result);
	assert_string_equal(fake.log, thawed);
}

/* What holds the file of a loop device comes before that. Nobody is asked. */
static void thawed_as_often_as_it_takes(void **state)
{
	static const struct msg_fs_rescue all;
	struct msg_fs_dev devs[] = {{V_U64(makedev(254, 2))}, {V_U64(makedev(254, 77))}};
	struct msg_fs_rescue some = {{.v = devs, .n = 2, .set = true}};
	struct msg_fs_rescue none = {{.v = devs, .n = 0, .set = true}};
	struct fixture *f = *state;

	put_machine(f);
	assert_rescue(f, &all, "0\n", "");
	fake.paths[0].thaws = 1000;
	fake.paths[1].thaws = 1;
	fake.paths[4].thaws = 2;
	/* The root's path is empty. */
	assert_rescue(f, &all, "3\n", "        /a /loop /loop ");
	assert_rescue(f, &some, "1\n", "/a ");
	assert_rescue(f, &none, "0\n", "");
	/* What cannot be opened is left out. */
	fake.paths[1].id = 1000;
	assert_rescue(f, &all, "2\n", "        /loop /loop ");
}

/* ---- trim ---- */

static const char *trim(struct fixture *f, const char *wanted, const struct msg_fstrim *q)
{
	f->wanted = wanted;
	return carry_out(f, child_fstrim, OP_fstrim, q);
}

#define DONE "\"trimmed\": 4096, \"minimum\": 512"

static void trimmed_once_each(void **state)
{
	struct fixture *f = *state;

	put_machine(f);
	assert_string_equal(trim(f, "/ /a /b /cd /loop", &(struct msg_fstrim){}),
			    "+/loop ext4\n+/cd iso9660\n+/a xfs\n+/ ext4\n"
			    "{\"paths\": [{\"path\": \"/loop\", " DONE
			    "}, {\"path\": \"/cd\", " DONE "}, {\"path\": \"/a\", " DONE
			    "}, {\"path\": \"/\", " DONE "}]}\n");
	/* Passed on as it is. */
	assert_string_equal(trim(f, "/b", &(struct msg_fstrim){V_INT(-2)}),
			    "-/loop ext4\n-/cd iso9660\n-/a xfs\n-/ ext4\n+/b ext4\n"
			    "{\"paths\": [{\"path\": \"/b\", \"trimmed\": 4096, "
			    "\"minimum\": 510}]}\n");
	assert_string_equal(trim(f, "", &(struct msg_fstrim){}),
			    "-/loop ext4\n-/cd iso9660\n-/a xfs\n-/ ext4\n-/b ext4\n"
			    "{\"paths\": []}\n");
}

static void why_it_is_not_trimmed(void **state)
{
	struct fixture *f = *state;

	put_machine(f);
	fake.paths[0].no_trim = EOPNOTSUPP;
	fake.paths[1].no_trim = EROFS;
	fake.paths[3].id = 1000;
	fake.paths[4].no_trim = ENOTTY;
	assert_string_equal(
		trim(f, "/ /a /cd /loop", &(struct msg_fstrim){}),
		"+/loop ext4\n+/cd iso9660\n+/a xfs\n+/ ext4\n"
		"{\"paths\": [{\"path\": \"/loop\", \"error\": \"trim not supported\"}, "
		"{\"path\": \"/a\", \"error\": "
		"\"failed to trim: Read-only file system\"}, "
		"{\"path\": \"/\", \"error\": \"trim not supported\"}]}\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(what_is_wanted_is_held),      TEST(what_is_named),
		TEST(what_cannot_be_held),         TEST(without_a_table),
		TEST(thawed_as_often_as_it_takes), TEST(trimmed_once_each),
		TEST(why_it_is_not_trimmed),
	};

	return cmocka_run_group_tests_name("fs", tests, NULL, NULL);
}
