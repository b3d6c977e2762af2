/*
 * tests/unit/test_machines.c - what the inspector says of each machine in a tree
 *
 * Runs in:   a test
 * Input:     tests/fixtures/trees/; files of this machine, as tests/fixtures/collect sees
 * May touch: a folder of its own; a process of that script
 * Must not:  leave out a tree
 *
 * For each NAME.tree, NAME.json has the replies: one member for each command. The script
 * that makes trees is held to the same: what it makes of a tree must tell the same.
 */
#include <cjson/cJSON.h>
#include <glob.h>
#include <sys/sysmacros.h>

#include "tests/lib/inspect.h"
#include "tests/lib/tree.h"

#define TREES "tests/fixtures/trees/"

/* More than any tree or its replies. */
#define TEXT_MAX (4 * 1024 * 1024)

/* What every tree is made for. */
static const char *const required[] = {"guest-get-disks", "guest-get-fsinfo"};

struct machine {
	struct fixture *f;
	const char *name; /* NULL: this machine */
};

/* ---- what is no file ---- */

/* A tree holds no file systems, so mounts have no sizes. */
static int no_statfs(const struct sys *sys, const char *path, struct statfs *st)
{
	(void)sys;
	(void)path;
	(void)st;
	errno = ENOENT;
	return -1;
}

/* In a tree a file stands for a device: it holds the number, as in /sys. */
static int told_block_dev(const struct sys *sys, const char *path, dev_t *dev)
{
	uint64_t v[2];
	struct text t;
	char text[32];
	ssize_t len = sys_read_attr(sys, path, text, sizeof(text));

	if (len < 0)
		return -1;
	*strchrnul(text, ':') = ' ';
	t = text_of(text, (size_t)len);
	assert_int_equal(text_numbers(&t, v, 2), 2);
	*dev = makedev((unsigned int)v[0], (unsigned int)v[1]);
	return 0;
}

static const struct sys_ops tree_ops = {
	.statfs = no_statfs,
	.block_dev = told_block_dev,
};

/* ---- files ---- */

/* All that comes from FD, *LEN bytes and a NUL. Free it. */
static char *read_text(int fd, size_t *len)
{
	CLEANUP(free_p) char *text = malloc(TEXT_MAX + 1);
	ssize_t n;

	assert_non_null(text);
	*len = 0;
	while ((n = read(fd, text + *len, TEXT_MAX - *len)) > 0)
		*len += (size_t)n;
	assert_int_equal(n, 0);
	assert_true(*len < TEXT_MAX);
	text[*len] = '\0';
	return TAKE_PTR(text);
}

static char *read_fixture(const char *name, const char *ending, size_t *len)
{
	CLEANUP(close_p) int fd = -1;
	char path[256];

	snprintf(path, sizeof(path), TREES "%s%s", name, ending);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		fail_msg("%s: %s", path, strerror(errno));
	return read_text(fd, len);
}

/* Unpack TEXT, the tree WHAT, in the directory SUB of the root; that is the new root. */
static void enter_tree(struct fixture *f, const char *sub, const char *what,
		       const char *text, size_t len)
{
	unsigned int line;
	int fd;

	put_dir(f, sub);
	fd = openat(f->in.sys.root_fd, sub, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	close_p(&f->in.sys.root_fd);
	f->in.sys.root_fd = fd;
	line = tree_unpack(fd, text, len);
	if (line)
		fail_msg("%s:%u: no entry, or %s", what, line, strerror(errno));
}

static void leave_tree(struct fixture *f)
{
	close_p(&f->in.sys.root_fd);
	f->in.sys.root_fd = open(f->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(f->in.sys.root_fd >= 0);
}

/* What the script prints of the machine in DIR. Free it. */
static char *collect(const char *dir, bool serials, size_t *len)
{
	int ends[2], status;
	char *text;
	pid_t pid;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		dup2(ends[1], STDOUT_FILENO);
		execl("tests/fixtures/collect", "collect", "--root", dir,
		      serials ? "--serials" : NULL, NULL);
		_exit(127);
	}
	close(ends[1]);
	text = read_text(ends[0], len);
	close(ends[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	return text;
}

/* ---- replies ---- */

static cJSON *error_of(const struct err *e)
{
	cJSON *reply = cJSON_CreateObject();
	cJSON *error = cJSON_AddObjectToObject(reply, "error");

	cJSON_AddStringToObject(error, "class", err_class_name(e->cls));
	cJSON_AddStringToObject(error, "desc", e->desc);
	return reply;
}

/* As it goes to the host. Free it. */
static cJSON *reply_of(struct fixture *f, const char *command)
{
	uint32_t op = op_by_name(command, strlen(command));
	struct wbuf text = wbuf_growing(64 * 1024 * 1024);
	cJSON *reply, *value;
	enum answer a;
	struct rbuf r;

	if (!op)
		fail_msg("no command: %s", command);
	a = ask(f, op);
	assert_int_not_equal(a, ANSWER_VIOLATION);
	if (a == ANSWER_ERROR)
		return error_of(&f->e);
	r = rbuf_of(f->result.p, f->result.len);
	assert_int_equal(
		schema_render(&r, op_by_number(op)->result, &(struct render){0}, &text),
		0);
	value = cJSON_ParseWithLength((const char *)text.p, text.len);
	assert_non_null(value);
	wbuf_free(&text);
	reply = cJSON_CreateObject();
	cJSON_AddItemToObject(reply, "return", value);
	return reply;
}

static void assert_reply(struct fixture *f, const char *command, const cJSON *want)
{
	cJSON *got = reply_of(f, command);
	bool same = cJSON_Compare(got, want, true);

	if (!same) {
		char *shown = cJSON_Print(got);

		/* print_error cuts it off. */
		fprintf(stderr, "%s answers otherwise than listed:\n%s\n", command,
			shown);
		cJSON_free(shown);
	}
	cJSON_Delete(got);
	assert_true(same);
}

static cJSON *read_replies(const char *name)
{
	CLEANUP(free_p) char *text = NULL;
	cJSON *replies;
	size_t len;

	text = read_fixture(name, ".json", &len);
	replies = cJSON_ParseWithOpts(text, NULL, true);
	if (!cJSON_IsObject(replies))
		fail_msg(TREES "%s.json: no JSON object", name);
	for (size_t i = 0; i < ARRAY_SIZE(required); i++)
		if (!cJSON_GetObjectItemCaseSensitive(replies, required[i]))
			fail_msg(TREES "%s.json: %s is missing", name, required[i]);
	return replies;
}

/* ---- tests ---- */

static void test_replies(void **state)
{
	const struct machine *m = *state;
	CLEANUP(free_p) char *text = NULL;
	cJSON *replies;
	size_t len;

	text = read_fixture(m->name, ".tree", &len);
	enter_tree(m->f, "tree", m->name, text, len);
	replies = read_replies(m->name);
	for (const cJSON *want = replies->child; want; want = want->next)
		assert_reply(m->f, want->string, want);
	cJSON_Delete(replies);
}

/* The tree of the tree: nothing that an answer needs is lost. */
static void test_collected(void **state)
{
	const struct machine *m = *state;
	CLEANUP(free_p) char *text = NULL;
	CLEANUP(free_p) char *again = NULL;
	char dir[sizeof(m->f->root) + 8];
	cJSON *replies;
	size_t len;

	text = read_fixture(m->name, ".tree", &len);
	enter_tree(m->f, "tree", m->name, text, len);
	snprintf(dir, sizeof(dir), "%s/tree", m->f->root);
	again = collect(dir, true, &len);
	leave_tree(m->f);
	enter_tree(m->f, "again", "what collect made of it", again, len);
	replies = read_replies(m->name);
	for (size_t i = 0; i < ARRAY_SIZE(required); i++)
		assert_reply(m->f, required[i],
			     cJSON_GetObjectItemCaseSensitive(replies, required[i]));
	cJSON_Delete(replies);
}

/* Other programs of this machine may attach and detach disks meanwhile. */
#define TRIES 10

/* This machine's replies, and those of a tree made of it between. */
static bool same_here(struct fixture *f, const char *sub, const char *command)
{
	CLEANUP(free_p) char *text = NULL;
	int real = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int own = f->in.sys.root_fd;
	cJSON *here, *collected;
	size_t len;
	bool same;

	f->in.sys.root_fd = real;
	here = reply_of(f, command);
	text = collect("/", true, &len);
	f->in.sys.root_fd = own;
	enter_tree(f, sub, "what collect printed", text, len);
	collected = reply_of(f, command);
	same = cJSON_Compare(here, collected, true);
	cJSON_Delete(here);
	cJSON_Delete(collected);
	leave_tree(f);
	close(real);
	return same;
}

static void test_this_machine(void **state)
{
	const struct machine *m = *state;

	for (size_t i = 0; i < ARRAY_SIZE(required); i++) {
		bool same = false;

		for (int try = 0; try < TRIES && !same; try++) {
			char sub[64];

			snprintf(sub, sizeof(sub), "%s-%d", required[i], try);
			same = same_here(m->f, sub, required[i]);
		}
		assert_true(same);
	}
}

/* Without being told to, the script prints none. */
static void test_serials_are_secret(void **state)
{
	static const char machine[] =
		"[sys/block]\n"
		"vda -> ../devices/x/block/vda\n"
		"nvme0n1 -> ../devices/y/nvme/nvme0/nvme0n1\n"
		"[sys/devices/x/block/vda]\n"
		"serial = TOP-SECRET\n"
		"uevent:\n\tMAJOR=254\n\tMINOR=0\n"
		"[sys/devices/y/nvme/nvme0]\n"
		"serial = TOP-SECRET\n"
		"nvme0n1/device -> ../../nvme0\n"
		"[run/udev/data]\n"
		"b254:0:\n\tS:disk/by-id/TOP-SECRET\n"
		"\tE:ID_SERIAL_SHORT=TOP-SECRET\n\tE:ID_SERIAL=TOP-SECRET\n";
	const struct machine *m = *state;
	char dir[sizeof(m->f->root) + 8];

	enter_tree(m->f, "tree", "machine", machine, sizeof(machine) - 1);
	snprintf(dir, sizeof(dir), "%s/tree", m->f->root);
	for (int serials = 0; serials < 2; serials++) {
		CLEANUP(free_p) char *text = NULL;
		size_t len;

		text = collect(dir, serials, &len);
		assert_true(!!strstr(text, "TOP-SECRET") == serials);
		assert_true(!!strstr(text, "\tE:ID_SERIAL=SERIAL\n") == !serials);
	}
}

/* Names that no kernel would give, but the file system takes. */
static void test_odd_names_are_collected(void **state)
{
	static const char odd[] = "a\\x20\\x09\\\\x20=\\x20\\xff\\x3a";
	const struct machine *m = *state;
	char dir[sizeof(m->f->root) + 8], machine[512];
	CLEANUP(free_p) char *text = NULL;
	size_t len;

	snprintf(machine, sizeof(machine),
		 "[sys/block]\n%s -> ../devices/%s\n[sys/devices/%s]\nsize = %s\n", odd,
		 odd, odd, odd);
	enter_tree(m->f, "tree", "machine", machine, strlen(machine));
	snprintf(dir, sizeof(dir), "%s/tree", m->f->root);
	text = collect(dir, false, &len);
	assert_non_null(strstr(text, odd));
	leave_tree(m->f);
	enter_tree(m->f, "again", "what collect made of it", text, len);
}

/* ---- all trees ---- */

static int set_up_machine(void **state)
{
	static struct machine m;

	m.name = *state;
	set_up((void **)&m.f);
	m.f->in.sys.ops = &tree_ops;
	*state = &m;
	return 0;
}

static int tear_down_machine(void **state)
{
	const struct machine *m = *state;

	return tear_down((void *[]){m->f});
}

/* NAME of the tree PATH. */
static char *name_of(const char *path)
{
	const char *name = path + strlen(TREES);

	return strndup(name, strlen(name) - strlen(".tree"));
}

static struct CMUnitTest test_of(const char *name, const char *what,
				 CMUnitTestFunction fn)
{
	char *title;

	if (asprintf(&title, "%s%s", name ? name : "", what) < 0)
		abort();
	return (struct CMUnitTest){
		.name = title,
		.test_func = fn,
		.setup_func = set_up_machine,
		.teardown_func = tear_down_machine,
		.initial_state = (void *)(uintptr_t)name,
	};
}

int main(void)
{
	struct CMUnitTest tests[3 + 2 * 64];
	size_t n = 0;
	glob_t trees;
	int failed;

	tests[n++] = test_of(NULL, "this machine, collected", test_this_machine);
	tests[n++] = test_of(NULL, "serials are secret", test_serials_are_secret);
	tests[n++] =
		test_of(NULL, "odd names are collected", test_odd_names_are_collected);
	if (glob(TREES "*.tree", 0, NULL, &trees) != 0 ||
	    n + 2 * trees.gl_pathc > ARRAY_SIZE(tests)) {
		print_error("no trees, or too many for the table\n");
		return 1;
	}
	for (size_t i = 0; i < trees.gl_pathc; i++) {
		const char *name = name_of(trees.gl_pathv[i]);

		tests[n++] = test_of(name, "", test_replies);
		tests[n++] = test_of(name, ", collected", test_collected);
	}
	failed = _cmocka_run_group_tests("machines", tests, n, NULL, NULL);
	for (size_t i = 0; i < n; i++) {
		free((void *)(uintptr_t)tests[i].name);
		if (tests[i].test_func == test_replies) /* the next one shares it */
			free(tests[i].initial_state);
	}
	globfree(&trees);
	return failed;
}
