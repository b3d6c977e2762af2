/*
 * tests/unit/test_policy_files.c - which policy files are read, and which are trusted
 *
 * Runs in:   a test, as root or not
 * Input:     a tree of its own
 * May touch: a temporary directory
 * Must not:  look at the policy of this machine
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "policy/files.h"
#include "tests/lib/rmtree.h"

#define LIB "usr/lib/postern"
#define RUN "run/postern"
#define ETC "etc/postern"

#define NOBODY 65534

struct fixture {
	char root[64];
	int fd;
	struct source *s;
};

static void make_directories(int root, const char *path)
{
	char part[256];

	for (const char *end = path; end; end = strchr(end, '/')) {
		end += strcspn(end + 1, "/") + 1;
		snprintf(part, sizeof(part), "%.*s", (int)(end - path), path);
		if (mkdirat(root, part, 0755) < 0)
			assert_int_equal(errno, EEXIST);
		/* Whatever the umask is. */
		assert_int_equal(fchmodat(root, part, 0755, 0), 0);
	}
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	*state = f;
	strcpy(f->root, "/tmp/postern-policy-XXXXXX");
	if (!mkdtemp(f->root))
		return -1;
	f->fd = open(f->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f->s = source_new();
	make_directories(f->fd, LIB "/policy.d");
	make_directories(f->fd, RUN "/policy.d");
	make_directories(f->fd, ETC "/policy.d");
	return f->fd >= 0 && f->s ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	source_free(f->s);
	close_p(&f->fd);
	assert_int_equal(rmtree(f->root), 0);
	free(f);
	return 0;
}

static void put(const struct fixture *f, const char *path, const char *text)
{
	CLEANUP(close_p)
	int fd = openat(f->fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(fchmod(fd, 0644), 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

/* A rule whose name tells which file was read. */
static void put_rule(const struct fixture *f, const char *path, const char *name)
{
	char text[256];

	snprintf(text, sizeof(text),
		 "[rule \"%s\"]\neffect = allow\ncommand = guest-exec\n", name);
	put(f, path, text);
}

static void link_to(const struct fixture *f, const char *path, const char *to)
{
	assert_int_equal(symlinkat(to, f->fd, path), 0);
}

static unsigned int read_files(struct fixture *f)
{
	source_free(f->s);
	f->s = source_new();
	assert_non_null(f->s);
	return files_read(f->fd, geteuid(), f->s);
}

/* The names of the administrator's rules in the built policy, in order, with blanks. */
static void check_rules(struct fixture *f, const char *names)
{
	CLEANUP(wbuf_free) struct wbuf image = wbuf_growing(IMAGE_MAX);
	const struct source_error *e;
	char found[512] = "";
	struct policy p;
	size_t len = 0;

	if (source_errors(f->s, &e))
		fail_msg("%s:%u: %s", e->file, e->line, e->what);
	assert_int_equal(source_build(f->s, &image), 0);
	assert_int_equal(policy_open(&p, image.p, image.len), 0);
	for (uint32_t i = 0; i < p.head->n_rules; i++) {
		if (!strncmp(policy_text(&p, p.rules[i].file), "builtin:", 8))
			continue;
		len += (size_t)snprintf(found + len, sizeof(found) - len, "%s%s",
					len ? " " : "", policy_text(&p, p.rules[i].name));
	}
	assert_string_equal(found, names);
}

/* One mistake, of FILE; WORDS stand in it. */
static void check_mistake(struct fixture *f, const char *file, const char *words)
{
	const struct source_error *e;
	size_t n = source_errors(f->s, &e);

	for (size_t i = 0; i < n; i++)
		if (n != 1 || !streq(e[i].file, file) || !strstr(e[i].what, words))
			fail_msg("%s: %s", e[i].file, e[i].what);
	assert_int_equal(n, 1);
}

/* ---- which ---- */

static void nothing_is_no_mistake(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(read_files(f), 0);
	check_rules(f, "");
	/* Not even the directories are there. */
	assert_int_equal(unlinkat(f->fd, ETC "/policy.d", AT_REMOVEDIR), 0);
	assert_int_equal(unlinkat(f->fd, ETC, AT_REMOVEDIR), 0);
	assert_int_equal(unlinkat(f->fd, "etc", AT_REMOVEDIR), 0);
	assert_int_equal(read_files(f), 0);
	check_rules(f, "");
}

static void all_places_are_read(void **state)
{
	struct fixture *f = *state;

	put_rule(f, LIB "/policy.d/a.conf", "lib");
	put_rule(f, RUN "/policy.d/b.conf", "run");
	put_rule(f, ETC "/policy.d/c.conf", "etc");
	put_rule(f, ETC "/policy.conf", "main");
	assert_int_equal(read_files(f), 4);
	/* In the order of the paths that the records name. */
	check_rules(f, "main etc run lib");
}

static void other_names_are_left_alone(void **state)
{
	struct fixture *f = *state;

	put(f, ETC "/policy.d/README", "not a policy\n");
	put(f, ETC "/policy.d/.hidden.conf", "not a policy\n");
	put(f, ETC "/policy.d/a.conf~", "not a policy\n");
	put(f, ETC "/policy.d/a.conf.dpkg-new", "not a policy\n");
	put(f, ETC "/policy.d/.conf", "not a policy\n");
	put(f, ETC "/other.conf", "not a policy\n");
	assert_int_equal(read_files(f), 0);
	check_rules(f, "");
}

static void stronger_places_replace(void **state)
{
	struct fixture *f = *state;

	put_rule(f, LIB "/policy.d/a.conf", "lib-a");
	put_rule(f, RUN "/policy.d/a.conf", "run-a");
	put_rule(f, ETC "/policy.d/a.conf", "etc-a");
	put_rule(f, LIB "/policy.d/b.conf", "lib-b");
	put_rule(f, RUN "/policy.d/b.conf", "run-b");
	put_rule(f, LIB "/policy.conf", "lib-main");
	put_rule(f, ETC "/policy.conf", "etc-main");
	assert_int_equal(read_files(f), 3);
	check_rules(f, "etc-main etc-a run-b");
	/* The main file and a drop-in of its name are two. */
	put_rule(f, ETC "/policy.d/policy.conf", "drop-in");
	assert_int_equal(read_files(f), 4);
	check_rules(f, "etc-main etc-a drop-in run-b");
}

static void links_to_null_mask(void **state)
{
	struct fixture *f = *state;

	put_rule(f, LIB "/policy.d/a.conf", "a");
	put_rule(f, LIB "/policy.d/b.conf", "b");
	put_rule(f, LIB "/policy.conf", "main");
	link_to(f, ETC "/policy.d/a.conf", "/dev/null");
	link_to(f, RUN "/policy.conf", "/dev/null");
	assert_int_equal(read_files(f), 1);
	check_rules(f, "b");
	/* What is stronger than the mask is there again. */
	put_rule(f, ETC "/policy.conf", "etc-main");
	assert_int_equal(read_files(f), 2);
	check_rules(f, "etc-main b");
}

static void sealed_closes_the_other_places(void **state)
{
	struct fixture *f = *state;

	put(f, LIB "/policy.conf", "[policy]\nsealed = yes\n");
	put_rule(f, LIB "/policy.d/a.conf", "lib-a");
	put_rule(f, ETC "/policy.d/a.conf", "etc-a");
	put_rule(f, RUN "/policy.d/b.conf", "run-b");
	link_to(f, ETC "/policy.conf", "/dev/null");
	assert_int_equal(read_files(f), 2);
	check_rules(f, "lib-a");
	/* Nobody else can seal. */
	put(f, LIB "/policy.conf", "[policy]\nsealed = no\n");
	put(f, RUN "/policy.d/s.conf", "[policy]\nlock = yes\n");
	assert_int_equal(unlinkat(f->fd, ETC "/policy.conf", 0), 0);
	assert_int_equal(read_files(f), 4);
	check_rules(f, "etc-a run-b");
}

static void sealed_elsewhere_closes_nothing(void **state)
{
	struct fixture *f = *state;

	put(f, RUN "/policy.d/s.conf", "[policy]\nsealed = yes\n");
	put_rule(f, ETC "/policy.d/a.conf", "etc-a");
	assert_int_equal(read_files(f), 2);
	check_rules(f, "etc-a");
}

static void mistakes_name_the_file(void **state)
{
	struct fixture *f = *state;

	put(f, ETC "/policy.d/a.conf", "[policy]\nbogus = 1\n");
	read_files(f);
	check_mistake(f, "/" ETC "/policy.d/a.conf", "bogus");
}

static void number_of_files_is_bounded(void **state)
{
	struct fixture *f = *state;
	const struct source_error *e;
	char path[128];

	for (unsigned int i = 0; i < SOURCE_FILES_MAX; i++) {
		snprintf(path, sizeof(path), "%s/policy.d/%u.conf", i & 1 ? LIB : ETC, i);
		put(f, path, "");
	}
	assert_int_equal(read_files(f), SOURCE_FILES_MAX);
	check_rules(f, "");
	/* Which of them is the one too many depends on the directory. */
	put(f, ETC "/policy.d/more.conf", "");
	read_files(f);
	assert_int_equal(source_errors(f->s, &e), 1);
	assert_non_null(strstr(e->what, "64"));
}

static void large_files_are_refused(void **state)
{
	struct fixture *f = *state;
	CLEANUP(free_p) char *text = calloc(1, SOURCE_FILE_MAX + 2);

	memset(text, '\n', SOURCE_FILE_MAX);
	put(f, ETC "/policy.conf", text);
	assert_int_equal(read_files(f), 1);
	check_rules(f, "");
	text[SOURCE_FILE_MAX] = '\n';
	put(f, ETC "/policy.conf", text);
	read_files(f);
	check_mistake(f, "/" ETC "/policy.conf", "64 KiB");
}

/* ---- trust ---- */

static void writable_by_others_is_refused(void **state)
{
	static const struct {
		const char *path;
		mode_t mode;
		const char *named;
	} rows[] = {
		{ETC "/policy.d/a.conf", 0664, "/" ETC "/policy.d/a.conf"},
		{ETC "/policy.d/a.conf", 0646, "/" ETC "/policy.d/a.conf"},
		{ETC "/policy.d", 0775, "/" ETC "/policy.d"},
		{ETC "/policy.d", 01777, "/" ETC "/policy.d"},
	};
	struct fixture *f = *state;

	put_rule(f, ETC "/policy.d/a.conf", "a");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct stat st;

		assert_int_equal(fstatat(f->fd, rows[i].path, &st, 0), 0);
		assert_int_equal(fchmodat(f->fd, rows[i].path, rows[i].mode, 0), 0);
		assert_int_equal(read_files(f), 0);
		check_mistake(f, rows[i].named, "may write it");
		assert_int_equal(fchmodat(f->fd, rows[i].path, st.st_mode & 07777, 0), 0);
	}
	assert_int_equal(read_files(f), 1);
	check_rules(f, "a");
}

/* Above the policy's own directory: whoever may write there may put another in place. */
static void writable_above_is_refused(void **state)
{
	static const char *const above[] = {".", "etc", ETC};
	struct fixture *f = *state;

	put_rule(f, ETC "/policy.d/a.conf", "a");
	for (size_t i = 0; i < ARRAY_SIZE(above); i++) {
		const struct source_error *e;

		assert_int_equal(fchmodat(f->fd, above[i], 0777, 0), 0);
		assert_int_equal(read_files(f), 0);
		assert_true(source_errors(f->s, &e) > 0);
		assert_non_null(strstr(e->what, "may write it"));
		assert_int_equal(fchmodat(f->fd, above[i], 0755, 0), 0);
	}
	assert_int_equal(read_files(f), 1);
}

static void foreign_owners_are_refused(void **state)
{
	static const struct {
		const char *path, *named;
	} rows[] = {
		{ETC "/policy.d/a.conf", "/" ETC "/policy.d/a.conf"},
		{ETC "/policy.d", "/" ETC "/policy.d"},
	};
	struct fixture *f = *state;

	if (geteuid() != 0)
		skip();
	put_rule(f, ETC "/policy.d/a.conf", "a");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(fchownat(f->fd, rows[i].path, NOBODY, NOBODY, 0), 0);
		assert_int_equal(read_files(f), 0);
		check_mistake(f, rows[i].named, "another user");
		/* To that user it is their own. */
		source_free(f->s);
		f->s = source_new();
		assert_int_equal(files_read(f->fd, NOBODY, f->s), 1);
		check_rules(f, "a");
		assert_int_equal(fchownat(f->fd, rows[i].path, 0, 0, 0), 0);
	}
}

static void links_are_refused(void **state)
{
	struct fixture *f = *state;
	const struct source_error *e;

	put_rule(f, "real.conf", "a");
	link_to(f, ETC "/policy.d/a.conf", "../../../real.conf");
	assert_int_equal(read_files(f), 0);
	check_mistake(f, "/" ETC "/policy.d/a.conf", "link");
	assert_int_equal(unlinkat(f->fd, ETC "/policy.d/a.conf", 0), 0);
	/* One that leads nowhere is no mask either. */
	link_to(f, ETC "/policy.d/b.conf", "/dev/nullx");
	read_files(f);
	check_mistake(f, "/" ETC "/policy.d/b.conf", "link");
	assert_int_equal(unlinkat(f->fd, ETC "/policy.d/b.conf", 0), 0);
	/* Nor may the directory be one. */
	assert_int_equal(renameat(f->fd, ETC "/policy.d", f->fd, "elsewhere"), 0);
	put_rule(f, "elsewhere/a.conf", "a");
	link_to(f, ETC "/policy.d", "../../elsewhere");
	assert_int_equal(read_files(f), 0);
	assert_true(source_errors(f->s, &e) > 0);
}

/* A FIFO without a writer: an open that waits would wait for ever. */
static void what_is_no_file_is_refused(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(mkfifoat(f->fd, ETC "/policy.d/a.conf", 0644), 0);
	alarm(20);
	assert_int_equal(read_files(f), 0);
	alarm(0);
	check_mistake(f, "/" ETC "/policy.d/a.conf", "not a regular file");
	assert_int_equal(unlinkat(f->fd, ETC "/policy.d/a.conf", 0), 0);
	assert_int_equal(mkdirat(f->fd, ETC "/policy.d/a.conf", 0755), 0);
	assert_int_equal(read_files(f), 0);
	check_mistake(f, "/" ETC "/policy.d/a.conf", "not a regular file");
}

/* A file in the place of a directory. */
static void what_is_no_directory_is_refused(void **state)
{
	struct fixture *f = *state;
	const struct source_error *e;

	assert_int_equal(unlinkat(f->fd, ETC "/policy.d", AT_REMOVEDIR), 0);
	put(f, ETC "/policy.d", "");
	assert_int_equal(read_files(f), 0);
	assert_true(source_errors(f->s, &e) > 0);
}

/* In a child that is an ordinary user: the number of mistakes. */
static int mistakes_of_nobody(struct fixture *f)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		const struct source_error *e;
		struct source *s = source_new();
		bool ok = s && setresgid(NOBODY, NOBODY, NOBODY) == 0 &&
			  setresuid(NOBODY, NOBODY, NOBODY) == 0;

		if (ok)
			files_read(f->fd, NOBODY, s);
		_exit(ok ? (int)source_errors(s, &e) : 100);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* A rule that cannot be seen may be the one that denies. */
static void what_cannot_be_read_is_a_mistake(void **state)
{
	struct fixture *f = *state;

	if (geteuid() != 0)
		skip();
	assert_int_equal(fchmodat(f->fd, ".", 0755, 0), 0);
	put_rule(f, ETC "/policy.d/a.conf", "a");
	assert_int_equal(mistakes_of_nobody(f), 0);
	assert_int_equal(fchmodat(f->fd, ETC "/policy.d/a.conf", 0600, 0), 0);
	assert_int_equal(mistakes_of_nobody(f), 1);
	assert_int_equal(fchmodat(f->fd, ETC "/policy.d/a.conf", 0644, 0), 0);
	assert_int_equal(fchmodat(f->fd, ETC "/policy.d", 0700, 0), 0);
	assert_int_equal(mistakes_of_nobody(f), 1);
	assert_int_equal(fchmodat(f->fd, ETC, 0700, 0), 0);
	assert_true(mistakes_of_nobody(f) > 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_is_no_mistake),
		TEST(all_places_are_read),
		TEST(other_names_are_left_alone),
		TEST(stronger_places_replace),
		TEST(links_to_null_mask),
		TEST(sealed_closes_the_other_places),
		TEST(sealed_elsewhere_closes_nothing),
		TEST(mistakes_name_the_file),
		TEST(number_of_files_is_bounded),
		TEST(large_files_are_refused),
		TEST(writable_by_others_is_refused),
		TEST(writable_above_is_refused),
		TEST(foreign_owners_are_refused),
		TEST(links_are_refused),
		TEST(what_is_no_file_is_refused),
		TEST(what_is_no_directory_is_refused),
		TEST(what_cannot_be_read_is_a_mistake),
	};

	return cmocka_run_group_tests_name("policy files", tests, NULL, NULL);
}
