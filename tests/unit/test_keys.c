/*
 * tests/unit/test_keys.c - a user's authorized keys: told, added, replaced, removed
 *
 * Runs in:   a test; as root for a user of its own, else for the caller
 * Input:     a directory of its own, which is the root of the system
 * May touch: that directory; children of its own, which are sealed as op children are
 * Must not:  leave it behind
 *
 * run: limit 120
 */
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

#include <cmocka.h>

#include "tests/lib/keyrun.h"
#include "tests/lib/rmtree.h"
#include "worker/ops/account.h"
#include "worker/ops/home.h"

#define SOME_UID 61003
#define SOME_GID 61004
#define OTHER    61005

#define DIR    "/home/u/.ssh"
#define FILE_  DIR "/authorized_keys"
#define SECRET "root-only\n"
#define BIG    (HOME_FILE_MAX + 4096)

struct fixture {
	char dir[64];
	struct sys sys;
	struct keyrun keyrun;
	struct msg_gid gids[1];
	struct msg_account account;
	bool good; /* the last one was no error */
	char log[3 * BIG];
	char tree[2][2 * BIG];
};

static uid_t user(void)
{
	return geteuid() == 0 ? SOME_UID : geteuid();
}

static void needs_root(void)
{
	if (geteuid() == 0)
		return;
	print_message("# needs root\n");
	skip();
}

/* ---- the place ---- */

static const char *at(const struct fixture *f, const char *path)
{
	static char buf[4][512];
	static unsigned int turn;
	char *p = buf[turn++ % 4];

	snprintf(p, sizeof(buf[0]), "%s%s", f->dir, path);
	return p;
}

static void own(const struct fixture *f, const char *path, uid_t uid)
{
	if (geteuid() == 0)
		assert_int_equal(lchown(at(f, path), uid, uid ? SOME_GID : 0), 0);
}

static void folder(const struct fixture *f, const char *path, mode_t mode, uid_t uid)
{
	assert_int_equal(mkdir(at(f, path), 0700), 0);
	assert_int_equal(chmod(at(f, path), mode), 0);
	own(f, path, uid);
}

static void put_bytes(const struct fixture *f, const char *path, const char *text,
		      size_t len, uid_t uid)
{
	int fd = open(at(f, path), O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, len), len);
	close(fd);
	own(f, path, uid);
}

/* The user's. */
static void put(const struct fixture *f, const char *path, const char *text)
{
	put_bytes(f, path, text, strlen(text), user());
}

static void link_to(const struct fixture *f, const char *target, const char *path)
{
	assert_int_equal(symlink(target, at(f, path)), 0);
	own(f, path, user());
}

static void drop(const struct fixture *f, const char *path)
{
	chmod(at(f, DIR), 0700);
	assert_int_equal(rmtree(at(f, path)), 0);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	umask(022);
	/* In memory, where nothing waits for a disk, if that is possible. */
	snprintf(f->dir, sizeof(f->dir), "%s/postern-keys-XXXXXX",
		 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (!mkdtemp(f->dir) || sys_init(&f->sys) < 0)
		return -1;
	close(f->sys.root_fd);
	f->sys.root_fd = open(f->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(chmod(f->dir, 0755), 0);
	folder(f, "/home", 0755, 0);
	folder(f, "/home/u", 0755, user());
	folder(f, "/root", 0700, 0);
	put_bytes(f, "/root/authorized_keys", SECRET, strlen(SECRET), 0);
	f->gids[0] =
		(struct msg_gid){.gid = V_U64(geteuid() == 0 ? SOME_GID : getegid())};
	f->account = (struct msg_account){
		.uid = V_U64(user()),
		.gid = f->gids[0].gid,
		.home = v_str("/home/u"),
		.groups = {.v = f->gids, .n = 1, .set = true},
	};
	keyrun_init(&f->keyrun, &f->sys);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	drop(f, "");
	keyrun_done(&f->keyrun);
	sys_done(&f->sys);
	free(f);
	return 0;
}

/* ---- what is there ---- */

static struct {
	char *p;
	size_t len, cap, skip;
} shown; /* nftw has no argument for its function */

static void add_shown(const char *text, size_t len)
{
	assert_true(shown.len + len < shown.cap);
	memcpy(shown.p + shown.len, text, len);
	shown.len += len;
	shown.p[shown.len] = '\0';
}

static int show_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	char line[512];
	ssize_t n;
	int fd;

	(void)ftw, (void)type;
	n = snprintf(line, sizeof(line), "%s %o %u %lu ", path + shown.skip, st->st_mode,
		     st->st_uid, S_ISREG(st->st_mode) ? st->st_ino : 0);
	add_shown(line, (size_t)n);
	fd = S_ISREG(st->st_mode) ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	while (fd >= 0 && (n = read(fd, line, sizeof(line))) > 0)
		add_shown(line, (size_t)n);
	close_p(&fd);
	add_shown("\n", 1);
	return 0;
}

/* All below PATH: name, kind and mode, owner, inode, content. One of two buffers. */
static const char *tree(struct fixture *f, const char *path, int which)
{
	shown.p = f->tree[which];
	shown.len = 0;
	shown.cap = sizeof(f->tree[which]);
	shown.skip = strlen(f->dir);
	assert_int_equal(nftw(at(f, path), show_one, 8, FTW_PHYS), 0);
	return shown.p;
}

static void file_is(struct fixture *f, const char *path, const char *want, size_t len)
{
	int fd = open(at(f, path), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;
	ssize_t n;

	assert_true(fd >= 0);
	n = read(fd, f->log, sizeof(f->log));
	assert_int_equal(n, len);
	assert_memory_equal(f->log, want, len);
	assert_int_equal(fstat(fd, &st), 0);
	close(fd);
	assert_int_equal(st.st_uid, user());
	assert_int_equal(st.st_nlink, 1);
}

/* That is the user's file, as it was written by us, and nothing is beside it. */
static void is(struct fixture *f, const char *want)
{
	struct stat st;

	file_is(f, FILE_, want, strlen(want));
	assert_int_equal(stat(at(f, FILE_), &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0600);
	assert_int_equal(st.st_gid, f->account.gid.v);
	assert_null(strstr(tree(f, DIR, 0), "/.authorized_keys"));
}

/* ---- running it ---- */

#define KEYS_MAX 8

/* Words of KEYS between bars; none at all: an absent list. */
static struct msg_keys asked(struct fixture *f, enum keys_change change, const char *keys,
			     struct v_str list[KEYS_MAX])
{
	struct msg_keys q = {
		.change = V_INT(change),
		.account = {.v = &f->account, .set = true},
		.keys = {.v = list, .set = keys},
	};

	while (keys) {
		const char *bar = strchr(keys, '|');

		assert_true(q.keys.n < KEYS_MAX);
		list[q.keys.n++] = (struct v_str){
			.p = keys,
			.len = (uint32_t)(bar ? (size_t)(bar - keys) : strlen(keys)),
			.set = true,
		};
		keys = bar ? bar + 1 : NULL;
	}
	return q;
}

/* The keys that were told with a bar behind each; it was a change: "". */
static const char *show_keys(struct fixture *f, const char *body, size_t len)
{
	struct arena arena = {.p = calloc(1, 16 * BIG), .cap = 16 * BIG};
	struct rbuf r = rbuf_of(body, len);
	struct msg_ssh_keys got;
	const struct v_str *key;
	size_t n = 0;

	assert_non_null(arena.p);
	assert_int_equal(schema_get(&r, &schema_ssh_keys, &arena, &got), 0);
	assert_true(rbuf_done(&r));
	key = got.keys.v;
	for (uint32_t i = 0; i < got.keys.n; i++)
		n += (size_t)snprintf(f->log + n, sizeof(f->log) - n, "%.*s|",
				      (int)key[i].len, key[i].p);
	f->log[n] = '\0';
	free(arena.p);
	return f->log;
}

static const char *end_of(struct fixture *f, struct keyrun_child *c)
{
	char *buf = malloc(REPLY_BODY_MAX + 1);
	ssize_t n;

	assert_non_null(buf);
	n = keyrun_read(c, buf, REPLY_BODY_MAX, KEYRUN_LIMIT_MS);
	assert_int_equal(keyrun_end(c), 0);
	assert_true(n > 0);
	buf[n] = '\0';
	f->good = buf[0] == 'r';
	if (f->good)
		show_keys(f, buf + 1, (size_t)n - 1);
	else
		snprintf(f->log, sizeof(f->log), "%s", buf + 1);
	free(buf);
	return f->log;
}

static const char *run(struct fixture *f, enum keys_change change, const char *keys)
{
	struct v_str list[KEYS_MAX];
	struct msg_keys q = asked(f, change, keys, list);
	struct keyrun_child c = keyrun_start(&f->keyrun, &q, false, false);

	return end_of(f, &c);
}

static void does(struct fixture *f, enum keys_change change, const char *keys)
{
	assert_string_equal(run(f, change, keys), "");
}

/* It is an error, and nothing at all has changed. */
static void fails(struct fixture *f, enum keys_change change, const char *keys,
		  const char *want)
{
	const char *before = tree(f, "", 0);

	assert_string_equal(run(f, change, keys), want);
	assert_string_equal(tree(f, "", 1), before);
}

static void changes_nothing(struct fixture *f, enum keys_change change, const char *keys)
{
	const char *before = tree(f, "", 0);

	does(f, change, keys);
	assert_string_equal(tree(f, "", 1), before);
}

/* With that .ssh, and that in the file. */
static void with(struct fixture *f, const char *text)
{
	struct stat st;

	if (lstat(at(f, DIR), &st) == 0)
		drop(f, DIR);
	folder(f, DIR, 0700, user());
	if (text)
		put(f, FILE_, text);
}

#define READ  "failed to read '" FILE_ "': "
#define WRITE "failed to write to '" FILE_ "': "
#define OPEN  READ "Failed to open file \xe2\x80\x9c" FILE_ "\xe2\x80\x9d: "

/* ---- telling ---- */

static void keys_are_told(void **state)
{
	struct fixture *f = *state;

	with(f, "k1 a\n# no\n\n \t\n  k2\t\r\n\t# no\nk1 a\nk3");
	assert_string_equal(run(f, KEYS_GET, NULL), "k1 a|k2|k1 a|k3|");
	with(f, "");
	assert_string_equal(run(f, KEYS_GET, NULL), "");
	with(f, "\n\n#\n");
	assert_string_equal(run(f, KEYS_GET, NULL), "");
	with(f, "k\xff\n");
	assert_string_equal(run(f, KEYS_GET, NULL), "k\xff|");
}

static void what_is_not_there_cannot_be_told(void **state)
{
	struct fixture *f = *state;

	fails(f, KEYS_GET, NULL, OPEN "No such file or directory");
	with(f, NULL);
	fails(f, KEYS_GET, NULL, OPEN "No such file or directory");
	f->account.home = v_str("/home/none");
	fails(f, KEYS_GET, NULL,
	      "failed to read '/home/none/.ssh/authorized_keys': Failed to open file "
	      "\u201c/home/none/.ssh/authorized_keys\u201d: No such file or directory");
}

/* ---- adding ---- */

static void the_first_key(void **state)
{
	static const mode_t masks[] = {0, 022, 077};
	struct fixture *f = *state;
	struct stat st;

	for (size_t i = 0; i < ARRAY_SIZE(masks); i++) {
		umask(masks[i]);
		does(f, KEYS_ADD, "k1|k2");
		is(f, "k1\nk2\n");
		assert_int_equal(stat(at(f, DIR), &st), 0);
		assert_int_equal(st.st_mode, S_IFDIR | 0700);
		assert_int_equal(st.st_uid, user());
		assert_int_equal(st.st_gid, f->account.gid.v);
		drop(f, DIR);
	}
	with(f, NULL);
	does(f, KEYS_ADD, "k1");
	is(f, "k1\n");
}

static void keys_are_added(void **state)
{
	struct fixture *f = *state;

	with(f, "# mine\n\nk0\n\n");
	does(f, KEYS_ADD, "k1|k0|k2|k1");
	is(f, "# mine\n\nk0\n\nk1\nk2\n");
	with(f, "k0");
	does(f, KEYS_ADD, "k1");
	is(f, "k0\nk1\n");
	with(f, "");
	does(f, KEYS_ADD, "k1");
	is(f, "k1\n");
	/* Not the same line. */
	with(f, "k1 \n k1\nk1\r\n#k1\nk11\n");
	does(f, KEYS_ADD, "k1");
	is(f, "k1 \n k1\nk1\r\n#k1\nk11\nk1\n");
	with(f, "k");
	does(f, KEYS_ADD, "|k1||");
	is(f, "k\nk1\n");
}

static void what_is_there_is_not_added(void **state)
{
	struct fixture *f = *state;

	with(f, "k1\nk2");
	changes_nothing(f, KEYS_ADD, "k1|k2");
	changes_nothing(f, KEYS_ADD, "");
	changes_nothing(f, KEYS_ADD, NULL);
	drop(f, DIR);
	changes_nothing(f, KEYS_ADD, "");
	changes_nothing(f, KEYS_ADD, NULL);
}

static void the_mode_is_the_users_alone(void **state)
{
	static const mode_t modes[] = {0400, 0644, 0666, 04777};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		with(f, "k0\n");
		assert_int_equal(chmod(at(f, FILE_), modes[i]), 0);
		does(f, KEYS_ADD, "k1");
		is(f, "k0\nk1\n");
	}
	/* Whatever a service manager has set. */
	umask(0277);
	does(f, KEYS_ADD, "k2");
	is(f, "k0\nk1\nk2\n");
}

/* It is written anew, so that what else has that name keeps what it had. */
static void a_second_name(void **state)
{
	struct fixture *f = *state;

	with(f, "k0\n");
	assert_int_equal(link(at(f, FILE_), at(f, "/home/u/other")), 0);
	does(f, KEYS_ADD, "k1");
	is(f, "k0\nk1\n");
	file_is(f, "/home/u/other", "k0\n", 3);
}

/* ---- replacing ---- */

static void all_are_replaced(void **state)
{
	struct fixture *f = *state;

	does(f, KEYS_RESET, "k1|k2|k1|");
	is(f, "k1\nk2\n");
	does(f, KEYS_RESET, "k3");
	is(f, "k3\n");
	does(f, KEYS_RESET, "");
	is(f, "");
	drop(f, DIR);
	does(f, KEYS_RESET, NULL);
	is(f, "");
}

/* Whatever is in it, since nothing of it stays. */
static void what_cannot_be_read_is_replaced(void **state)
{
	struct fixture *f = *state;

	with(f, "k0\n");
	assert_int_equal(chmod(at(f, FILE_), 0), 0);
	fails(f, KEYS_GET, NULL, OPEN "Permission denied");
	fails(f, KEYS_ADD, "k1", OPEN "Permission denied");
	fails(f, KEYS_REMOVE, "k0", OPEN "Permission denied");
	does(f, KEYS_RESET, "k1");
	is(f, "k1\n");
	put_bytes(f, FILE_, "k\0k\n", 4, user());
	does(f, KEYS_RESET, "k2");
	is(f, "k2\n");
	assert_int_equal(truncate(at(f, FILE_), 1LL << 40), 0);
	does(f, KEYS_RESET, "k3");
	is(f, "k3\n");
}

/* ---- removing ---- */

static void keys_are_removed(void **state)
{
	struct fixture *f = *state;

	with(f, "k1\n# k1\n\nk2\nk1\n k1\nk1 \nk3\nk1");
	does(f, KEYS_REMOVE, "k1|k3||k9");
	is(f, "# k1\n\nk2\n k1\nk1 \n");
	with(f, "k1\nk2");
	does(f, KEYS_REMOVE, "k1");
	is(f, "k2\n");
	does(f, KEYS_REMOVE, "k2");
	is(f, "");
}

static void what_is_not_there_is_not_removed(void **state)
{
	struct fixture *f = *state;

	changes_nothing(f, KEYS_REMOVE, "k1");
	with(f, NULL);
	changes_nothing(f, KEYS_REMOVE, "k1");
	with(f, "k1\n\nk2");
	changes_nothing(f, KEYS_REMOVE, "k3||k|k22");
	changes_nothing(f, KEYS_REMOVE, NULL);
	f->account.home = v_str("/home/none");
	changes_nothing(f, KEYS_REMOVE, "k1");
}

/* ---- refusing ---- */

static void a_key_is_one_line(void **state)
{
	static const enum keys_change changes[] = {KEYS_ADD, KEYS_RESET, KEYS_REMOVE};
	struct fixture *f = *state;
	struct v_str nul = {.p = "k\0k", .len = 3, .set = true};
	struct msg_keys q = {.change = V_INT(KEYS_ADD),
			     .account = {.v = &f->account, .set = true},
			     .keys = {.v = &nul, .n = 1, .set = true}};
	struct keyrun_child c;

	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		fails(f, changes[i], "k1|#k2", "invalid OpenSSH public key: '#k2'");
		fails(f, changes[i], "k1|k\nk2", "invalid OpenSSH public key: 'k\nk2'");
		fails(f, changes[i], "k1\n", "invalid OpenSSH public key: 'k1\n'");
	}
	c = keyrun_start(&f->keyrun, &q, false, false);
	assert_string_equal(end_of(f, &c), "invalid OpenSSH public key: 'k'");
	assert_int_not_equal(access(at(f, DIR), F_OK), 0);
}

static void no_such_change(void **state)
{
	struct fixture *f = *state;

	fails(f, (enum keys_change)4, "k1", "there is no such change of keys");
}

/* Each change is refused with that behind its opening. */
static void refused(struct fixture *f, const char *why)
{
	char want[512];

	snprintf(want, sizeof(want), READ "%s", why);
	fails(f, KEYS_GET, NULL, want);
	fails(f, KEYS_ADD, "k1", want);
	fails(f, KEYS_REMOVE, "k1", want);
	snprintf(want, sizeof(want), WRITE "%s", why);
	fails(f, KEYS_RESET, "k1", want);
}

static void a_file_that_is_none(void **state)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	struct fixture *f = *state;
	int sock;

	with(f, NULL);
	link_to(f, "../k", FILE_);
	refused(f, "'" FILE_ "' is a symbolic link");
	put(f, "/home/u/k", "k1\n");
	refused(f, "'" FILE_ "' is a symbolic link");
	with(f, NULL);
	assert_int_equal(mkfifo(at(f, FILE_), 0666), 0);
	refused(f, "'" FILE_ "' is no regular file");
	with(f, NULL);
	folder(f, FILE_, 0700, user());
	refused(f, "'" FILE_ "' is no regular file");
	with(f, NULL);
	sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", at(f, FILE_));
	assert_int_equal(bind(sock, (const void *)&sa, sizeof(sa)), 0);
	refused(f, "'" FILE_ "' is no regular file");
	close(sock);
}

static void a_file_of_another(void **state)
{
	struct fixture *f = *state;

	needs_root();
	with(f, NULL);
	assert_int_equal(mknod(at(f, FILE_), S_IFCHR | 0666, makedev(1, 5)), 0);
	refused(f, "'" FILE_ "' is no regular file");
	with(f, "k1\n");
	own(f, FILE_, OTHER);
	assert_int_equal(chmod(at(f, FILE_), 0666), 0);
	refused(f, "'" FILE_ "' is another user's");
	/* Root's is as good as the user's: who owns the directory may put it away. */
	own(f, FILE_, 0);
	assert_int_equal(chmod(at(f, FILE_), 0644), 0);
	assert_string_equal(run(f, KEYS_GET, NULL), "k1|");
	does(f, KEYS_ADD, "k2");
	is(f, "k1\nk2\n");
}

static void a_file_that_is_too_large(void **state)
{
	struct fixture *f = *state;
	char *text = malloc(BIG);

	assert_non_null(text);
	memset(text, 'x', BIG);
	with(f, NULL);
	put_bytes(f, FILE_, text, HOME_FILE_MAX + 1, user());
	fails(f, KEYS_GET, NULL, READ "'" FILE_ "' is larger than 1 MiB");
	fails(f, KEYS_ADD, "k1", READ "'" FILE_ "' is larger than 1 MiB");
	fails(f, KEYS_REMOVE, "k1", READ "'" FILE_ "' is larger than 1 MiB");
	/* As large as it may be, nothing fits in any more; but what is there, may be. */
	text[HOME_FILE_MAX - 4] = '\n';
	put_bytes(f, FILE_, text, HOME_FILE_MAX, user());
	fails(f, KEYS_ADD, "k1", WRITE "'" FILE_ "' would be larger than 1 MiB");
	changes_nothing(f, KEYS_ADD, "xxx");
	assert_int_equal(strlen(run(f, KEYS_GET, NULL)), HOME_FILE_MAX + 1);
	does(f, KEYS_REMOVE, "xxx");
	file_is(f, FILE_, text, HOME_FILE_MAX - 3);
	does(f, KEYS_ADD, "k1");
	text[HOME_FILE_MAX - 3] = 'k';
	text[HOME_FILE_MAX - 2] = '1';
	text[HOME_FILE_MAX - 1] = '\n';
	file_is(f, FILE_, text, HOME_FILE_MAX);
	free(text);
}

static void a_file_that_is_no_text(void **state)
{
	struct fixture *f = *state;

	with(f, NULL);
	put_bytes(f, FILE_, "k0\n\0\n", 5, user());
	fails(f, KEYS_GET, NULL, READ "'" FILE_ "' is no text");
	fails(f, KEYS_ADD, "k1", READ "'" FILE_ "' is no text");
	fails(f, KEYS_REMOVE, "k0", READ "'" FILE_ "' is no text");
}

/* ---- .ssh and the home ---- */

static void a_folder_that_is_none(void **state)
{
	struct fixture *f = *state;

	put(f, DIR, "k1\n");
	fails(f, KEYS_GET, NULL, OPEN "Not a directory");
	fails(f, KEYS_ADD, "k1", OPEN "Not a directory");
	assert_int_equal(unlink(at(f, DIR)), 0);
	link_to(f, "nowhere", DIR);
	refused(f, "'" DIR "' is a symbolic link");
	folder(f, "/home/u/nowhere", 0700, user());
	put(f, "/home/u/nowhere/authorized_keys", "k1\n");
	refused(f, "'" DIR "' is a symbolic link");
	assert_int_equal(unlink(at(f, DIR)), 0);
	assert_int_equal(mkfifo(at(f, DIR), 0666), 0);
	fails(f, KEYS_ADD, "k1", OPEN "Not a directory");
	assert_int_equal(unlink(at(f, DIR)), 0);
}

static void a_folder_that_may_not_be_used(void **state)
{
	struct fixture *f = *state;

	needs_root(); /* to look at it */
	with(f, "k0\n");
	assert_int_equal(chmod(at(f, DIR), 0), 0);
	fails(f, KEYS_GET, NULL, OPEN "Permission denied");
	fails(f, KEYS_ADD, "k1", OPEN "Permission denied");
	fails(f, KEYS_REMOVE, "k0", OPEN "Permission denied");
	assert_int_equal(chmod(at(f, DIR), 0500), 0);
	assert_string_equal(run(f, KEYS_GET, NULL), "k0|");
	fails(f, KEYS_ADD, "k1", WRITE "Permission denied");
	fails(f, KEYS_RESET, "k1", WRITE "Permission denied");
	fails(f, KEYS_REMOVE, "k0", WRITE "Permission denied");
	assert_int_equal(chmod(at(f, DIR), 0777), 0);
	does(f, KEYS_ADD, "k1");
	is(f, "k0\nk1\n");
	own(f, DIR, OTHER);
	refused(f, "'" DIR "' is another user's");
	own(f, DIR, 0);
	refused(f, "'" DIR "' is another user's");
}

static void a_home_that_is_none(void **state)
{
	static char longest[PATH_MAX + 1];
	struct fixture *f = *state;

	put(f, "/home/u/file", "");
	f->account.home = v_str("/home/u/file");
	assert_non_null(strstr(run(f, KEYS_ADD, "k1"), ": Not a directory"));
	f->account.home = v_str("/home/none");
	fails(f, KEYS_ADD, "k1",
	      "failed to create directory '/home/none/.ssh': No such file or directory");
	fails(f, KEYS_RESET, "k1",
	      "failed to create directory '/home/none/.ssh': No such file or directory");
	f->account.home = v_str("home/u");
	fails(f, KEYS_ADD, "k1", "the home directory is no path");
	f->account.home = v_str("");
	fails(f, KEYS_ADD, "k1", "the home directory is no path");
	f->account.home = (struct v_str){.p = "/home/u\0", .len = 8, .set = true};
	fails(f, KEYS_ADD, "k1", "the home directory is no path");
	memset(longest, 'a', PATH_MAX);
	longest[0] = '/';
	f->account.home = v_str(longest);
	fails(f, KEYS_ADD, "k1", "the home directory is no path");
}

static void a_home_of_another(void **state)
{
	struct fixture *f = *state;

	needs_root();
	own(f, "/home/u", OTHER);
	refused(f, "'/home/u' is another user's");
	own(f, "/home/u", 0);
	fails(f, KEYS_ADD, "k1",
	      "failed to create directory '" DIR "': Permission denied");
	f->account.home = v_str("//");
	fails(f, KEYS_ADD, "k1", "failed to create directory '/.ssh': Permission denied");
	with(f, "k0\n");
	f->account.home = v_str("/home/../home/./u//");
	does(f, KEYS_ADD, "k1");
	is(f, "k0\nk1\n");
	f->account.home = v_str("/root");
	assert_non_null(strstr(run(f, KEYS_GET, NULL), ": Permission denied"));
	assert_non_null(strstr(run(f, KEYS_ADD, "k1"), ": Permission denied"));
}

/* With the user's rights, and beneath the root. */
static void links_on_the_way_home(void **state)
{
	struct fixture *f = *state;

	link_to(f, "/home", "/homes");
	link_to(f, "../../../../home/u", "/home/v");
	f->account.home = v_str("/homes/v");
	does(f, KEYS_ADD, "k1");
	is(f, "k1\n");
	assert_int_equal(unlink(at(f, "/home/v")), 0);
	link_to(f, "v", "/home/v");
	assert_non_null(strstr(run(f, KEYS_ADD, "k2"), "Too many levels of symbolic"));
	needs_root();
	assert_int_equal(unlink(at(f, "/home/v")), 0);
	link_to(f, "/root", "/home/v");
	assert_non_null(strstr(run(f, KEYS_GET, NULL), ": Permission denied"));
}

/* ---- rights ---- */

#define RIGHTS "failed to take on the rights of the user: "

static void ids_that_are_none(void **state)
{
	struct fixture *f = *state;
	static struct msg_gid many[ACCOUNT_GROUPS_MAX + 1];
	const struct msg_account good = f->account;

	/* Cut to 32 bits, it would be root. */
	f->account.uid = V_U64(1ull << 32);
	fails(f, KEYS_ADD, "k1", RIGHTS "Invalid argument");
	f->account.uid = V_U64(UINT32_MAX);
	fails(f, KEYS_ADD, "k1", RIGHTS "Invalid argument");
	f->account = good;
	f->account.gid = V_U64(1ull << 32);
	fails(f, KEYS_ADD, "k1", RIGHTS "Invalid argument");
	f->account = good;
	f->gids[0].gid = V_U64(1ull << 32);
	fails(f, KEYS_ADD, "k1", RIGHTS "Invalid argument");
	f->account.groups =
		(struct v_list){.v = many, .n = ARRAY_SIZE(many), .set = true};
	fails(f, KEYS_ADD, "k1", RIGHTS "Invalid argument");
	f->account.groups.n--;
	does(f, KEYS_ADD, "k1");
	is(f, "k1\n");
	if (geteuid() == 0)
		return;
	f->account = good;
	f->gids[0].gid = good.gid;
	f->account.uid = V_U64(0);
	fails(f, KEYS_ADD, "k1", RIGHTS "Operation not permitted");
}

static void groups_count(void **state)
{
	struct fixture *f = *state;

	needs_root();
	folder(f, "/staff", 0750, 0);
	assert_int_equal(chown(at(f, "/staff"), 0, OTHER), 0);
	folder(f, "/staff/u", 0755, user());
	f->account.home = v_str("/staff/u");
	fails(f, KEYS_ADD, "k1",
	      "failed to read '/staff/u/.ssh/authorized_keys': Failed to open file "
	      "\u201c/staff/u/.ssh/authorized_keys\u201d: Permission denied");
	f->gids[0].gid = V_U64(OTHER);
	does(f, KEYS_ADD, "k1");
	file_is(f, "/staff/u/.ssh/authorized_keys", "k1\n", 3);
	/* And those that root had do not. */
	f->gids[0].gid = V_U64(SOME_GID);
	assert_int_equal(chown(at(f, "/staff"), 0, 0), 0);
	assert_non_null(strstr(run(f, KEYS_GET, NULL), ": Permission denied"));
}

static void the_account_is_roots(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	needs_root();
	f->account.uid = f->account.gid = f->gids[0].gid = V_U64(0);
	f->account.home = v_str("/root");
	does(f, KEYS_ADD, "k1");
	assert_int_equal(stat(at(f, "/root/.ssh/authorized_keys"), &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0600);
	assert_int_equal(st.st_uid, 0);
	/* No capability is left, for root either. */
	f->account.home = v_str("/home/u");
	assert_int_equal(chmod(at(f, "/home/u"), 0700), 0);
	refused(f, "'/home/u' is another user's");
}

static const char *value(const char *text, const char *key)
{
	static char line[256];
	const char *p = strstr(text, key);

	assert_non_null(p);
	p += strlen(key);
	p += strspn(p, " \t");
	snprintf(line, sizeof(line), "%.*s", (int)strcspn(p, "\n"), p);
	return line;
}

static void status_of(pid_t pid, char *text, size_t size)
{
	char path[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = read(fd, text, size - 1);
	assert_true(n > 0);
	text[n] = '\0';
	close(fd);
}

static long filters(const char *text)
{
	return strtol(value(text, "\nSeccomp_filters:"), NULL, 10);
}

/* At its end it has the rights that it worked with. */
static void what_it_may(void **state)
{
	static const char *const none[] = {"CapInh:", "CapPrm:", "CapEff:", "CapAmb:"};
	struct fixture *f = *state;
	struct v_str list[KEYS_MAX];
	struct msg_keys q = asked(f, KEYS_ADD, "k1", list);
	struct keyrun_child c = keyrun_start(&f->keyrun, &q, true, false);
	char text[8192], ours[8192];
	ssize_t n = keyrun_read(&c, text, sizeof(text), KEYRUN_LIMIT_MS);

	assert_true(n > 0 && text[0] == 'r');
	status_of(c.pid, text, sizeof(text));
	status_of(getpid(), ours, sizeof(ours));
	assert_int_equal(keyrun_end(&c), 0);
	/* The worker's, an op child's, and that of one at home; ours may come on top. */
	assert_int_equal(filters(text), filters(ours) + 3);
	for (size_t i = 0; i < ARRAY_SIZE(none); i++)
		assert_string_equal(value(text, none[i]), "0000000000000000");
	assert_string_equal(value(text, "\nNoNewPrivs:"), "1");
	assert_string_equal(value(text, "\nSeccomp:"), "2");
	needs_root();
	assert_string_equal(value(text, "\nUid:"), "0\t0\t0\t61003");
	assert_string_equal(value(text, "\nGid:"), "0\t0\t0\t61004");
	assert_string_equal(value(text, "\nGroups:"), "61004 ");
}

/* ---- at each system call something happens ---- */

struct step {
	struct fixture *f;
	int at;                         /* before which call, from the first open: 0 */
	void (*act)(struct fixture *f); /* NULL: it is killed */
	long nr;                        /* which call that was */
};

/* Before it enters a system call; false: it has ended. SIGSYS goes on to it. */
static bool next_call(pid_t pid, long *nr)
{
	struct __ptrace_syscall_info info = {.op = PTRACE_SYSCALL_INFO_NONE};
	int status = 0, sig = 0;

	while (info.op != PTRACE_SYSCALL_INFO_ENTRY) {
		if (ptrace(PTRACE_SYSCALL, pid, 0, sig) < 0 ||
		    waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
			return false;
		sig = WSTOPSIG(status) == (SIGTRAP | 0x80) ? 0 : WSTOPSIG(status);
		if (!sig)
			ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info);
	}
	*nr = (long)info.entry.nr;
	return true;
}

/*
 * Run a change; before the call s->at of the handler s->act happens, or it is killed.
 * False: there are not so many calls. The result is left in C's pipe.
 */
static bool step(struct step *s, struct keyrun_child *c, const struct msg_keys *q)
{
	bool begun = false;
	int status, n = 0;
	long nr;

	*c = keyrun_start(&s->f->keyrun, q, false, true);
	assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
	if (!WIFSTOPPED(status))
		skip(); /* where a process may not trace its child */
	assert_int_equal(ptrace(PTRACE_SETOPTIONS, c->pid, 0,
				PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL),
			 0);
	while (next_call(c->pid, &nr)) {
		begun = begun || nr == SYS_openat2;
		if (!begun || n++ != s->at)
			continue;
		s->nr = nr;
		if (s->act)
			s->act(s->f);
		else
			kill(c->pid, SIGKILL);
		ptrace(s->act ? PTRACE_DETACH : PTRACE_CONT, c->pid, 0, 0);
		return true;
	}
	return false;
}

#define OLD          "# mine\nk0\n"
#define NEW          "# mine\nk0\nk1\n"
#define MINE         "k-mine\n"
#define ASIDE        "/home/u/aside"
#define ATTEMPTS_MAX 400

static bool has_leftover(struct fixture *f)
{
	return strstr(tree(f, "/home/u", 0), "/.authorized_keys.");
}

static void a_kill_at_each_call(void **state)
{
	struct fixture *f = *state;
	struct v_str list[KEYS_MAX];
	struct msg_keys q = asked(f, KEYS_ADD, "k1", list);
	struct step s = {.f = f};
	struct keyrun_child c;
	int old = 0, left = 0, n = 0;
	bool more = true;
	struct stat st;

	for (; more && s.at < ATTEMPTS_MAX; s.at++) {
		with(f, OLD);
		more = step(&s, &c, &q);
		if (more)
			keyrun_end(&c);
		close_p(&c.out);
		assert_int_equal(stat(at(f, FILE_), &st), 0);
		if (st.st_size == (off_t)strlen(OLD))
			file_is(f, FILE_, OLD, strlen(OLD)), old++;
		else
			file_is(f, FILE_, NEW, strlen(NEW));
		left += has_leftover(f);
		n++;
	}
	assert_false(more);
	assert_true(old > 0 && old < n);
	print_message("# killed at %d calls: the old file %d times, the new one %d; a "
		      "temporary file stayed %d times\n",
		      n - 1, old, n - 1 - old, left);
}

static void append(struct fixture *f)
{
	int fd = open(at(f, FILE_), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, MINE, strlen(MINE)), strlen(MINE));
	close(fd);
	own(f, FILE_, user());
}

/* As an editor does it. */
static void edit(struct fixture *f)
{
	put(f, DIR "/new", OLD MINE);
	assert_int_equal(rename(at(f, DIR "/new"), at(f, FILE_)), 0);
}

static void lay_link(struct fixture *f)
{
	unlink(at(f, FILE_));
	link_to(f, "../../../root/authorized_keys", FILE_);
}

static void lay_pipe(struct fixture *f)
{
	unlink(at(f, FILE_));
	assert_int_equal(mkfifo(at(f, FILE_), 0666), 0);
	own(f, FILE_, user());
}

static void lay_folder(struct fixture *f)
{
	unlink(at(f, FILE_));
	folder(f, FILE_, 0777, user());
}

static void move_dir(struct fixture *f)
{
	rename(at(f, DIR), at(f, ASIDE));
	link_to(f, "/root", DIR);
}

static void new_dir(struct fixture *f)
{
	rename(at(f, DIR), at(f, ASIDE));
	folder(f, DIR, 0700, user());
	put(f, FILE_, OLD MINE);
}

static void take(struct fixture *f)
{
	unlink(at(f, FILE_));
}

static void move_home(struct fixture *f)
{
	assert_int_equal(rename(at(f, "/home/u"), at(f, "/home/v")), 0);
	assert_int_equal(symlink("/root", at(f, "/home/u")), 0);
}

/* Everything as it was before the attempt. */
static void begin_anew(struct fixture *f, bool is_there)
{
	drop(f, "/home");
	folder(f, "/home", 0755, 0);
	folder(f, "/home/u", 0755, user());
	if (is_there)
		with(f, OLD);
}

static const struct attempt {
	const char *what;
	void (*act)(struct fixture *f);
	bool is_theirs; /* the user's line is in the file from then on */
} attempts[] = {
	{"append", append, true},         {"edit", edit, true},
	{"link", lay_link, false},        {"pipe", lay_pipe, false},
	{"folder", lay_folder, false},    {"moved .ssh", move_dir, false},
	{"new .ssh", new_dir, true},      {"gone", take, false},
	{"moved home", move_home, false},
};

/* The change was made, or nothing; a line of the user's stays; and root's own is safe. */
static void attempt(struct fixture *f, const struct attempt *a, enum keys_change change,
		    bool is_there)
{
	struct v_str list[KEYS_MAX];
	struct msg_keys q = asked(f, change, "k1", list);
	struct step s = {.f = f, .act = a->act};
	struct keyrun_child c;
	char *root = strdup(tree(f, "/root", 0));
	int done = 0, lost = 0;

	/* What is root's is the caller's own then, and he may have his home there. */
	if (geteuid() != 0 && a->act == move_home)
		return free(root);
	for (; s.at < ATTEMPTS_MAX; s.at++) {
		begin_anew(f, is_there);
		if (!step(&s, &c, &q)) {
			close_p(&c.out);
			break;
		}
		end_of(f, &c);
		done += f->good;
		assert_null(strstr(f->log, SECRET));
		assert_string_equal(tree(f, "/root", 0), root);
		assert_null(strstr(tree(f, "/home", 0), "/.authorized_keys."));
		if (!a->is_theirs || strstr(tree(f, FILE_, 0), MINE))
			continue;
		/* It was there before the rename began, and after the last look. */
		assert_int_equal(s.nr, SYS_renameat2);
		lost++;
	}
	free(root);
	assert_true(s.at > 0 && s.at < ATTEMPTS_MAX);
	assert_true(lost <= 1);
	print_message("# %s at %d calls: done %d times, a line was lost %d times\n",
		      a->what, s.at, done, lost);
}

static void a_change_at_each_call(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(attempts); i++)
		attempt(f, &attempts[i], KEYS_ADD, true);
}

static void the_same_while_it_is_told(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(attempts); i++)
		attempt(f, &attempts[i], KEYS_GET, true);
}

static void make_dir(struct fixture *f)
{
	struct stat st;

	if (lstat(at(f, DIR), &st) < 0)
		folder(f, DIR, 0700, user());
	append(f);
}

static void lay_dir_link(struct fixture *f)
{
	rename(at(f, DIR), at(f, ASIDE));
	link_to(f, "/root", DIR);
}

static void where_nothing_is_yet(void **state)
{
	static const struct attempt these[] = {
		{"made .ssh", make_dir, true},
		{"link .ssh", lay_dir_link, false},
		{"moved home", move_home, false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(these); i++)
		attempt(*state, &these[i], KEYS_ADD, false);
}

/* A file that never rests is left as it is. */
static void a_file_that_never_rests(void **state)
{
	struct fixture *f = *state;
	struct v_str list[KEYS_MAX];
	struct msg_keys q = asked(f, KEYS_ADD, "k1", list);
	struct keyrun_child c;
	int status, syncs = 0;
	long nr;

	with(f, OLD);
	c = keyrun_start(&f->keyrun, &q, false, true);
	assert_int_equal(waitpid(c.pid, &status, 0), c.pid);
	if (!WIFSTOPPED(status))
		skip();
	assert_int_equal(ptrace(PTRACE_SETOPTIONS, c.pid, 0,
				PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL),
			 0);
	while (next_call(c.pid, &nr) && nr != SYS_exit_group)
		if (nr == SYS_fsync) {
			append(f);
			syncs++;
		}
	ptrace(PTRACE_DETACH, c.pid, 0, 0);
	assert_string_equal(end_of(f, &c),
			    WRITE "'" FILE_ "' is being changed all the time");
	assert_int_equal(syncs, 5);
	file_is(f, FILE_, OLD MINE MINE MINE MINE MINE, strlen(OLD) + 5 * strlen(MINE));
	assert_false(has_leftover(f));
}

/* It ends with its worker, though the kernel unties who takes on another id. */
static void it_ends_with_its_worker(void **state)
{
	struct fixture *f = *state;
	int gone[2], status;
	char c;
	pid_t worker;

	assert_int_equal(pipe2(gone, O_CLOEXEC), 0);
	worker = fork();
	assert_true(worker >= 0);
	if (worker == 0) {
		int ready[2], sig = 0;

		if (pipe2(ready, O_CLOEXEC) < 0)
			_exit(1);
		if (fork() == 0) {
			if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ||
			    home_become(&f->account) < 0 ||
			    prctl(PR_GET_PDEATHSIG, &sig) < 0 || sig != SIGKILL ||
			    write(ready[1], "", 1) != 1)
				_exit(1);
			alarm(20); /* it goes, if not in time */
			pause();
			_exit(0);
		}
		close_p(&ready[1]);
		_exit(read(ready[0], &c, 1) != 1);
	}
	close(gone[1]);
	/* Its end is the end of the pipe, which both hold. */
	assert_int_equal(
		poll(&(struct pollfd){.fd = gone[0], .events = POLLIN}, 1, 10000), 1);
	close(gone[0]);
	assert_int_equal(waitpid(worker, &status, 0), worker);
	assert_int_equal(status, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(keys_are_told),
		TEST(what_is_not_there_cannot_be_told),
		TEST(the_first_key),
		TEST(keys_are_added),
		TEST(what_is_there_is_not_added),
		TEST(the_mode_is_the_users_alone),
		TEST(a_second_name),
		TEST(all_are_replaced),
		TEST(what_cannot_be_read_is_replaced),
		TEST(keys_are_removed),
		TEST(what_is_not_there_is_not_removed),
		TEST(a_key_is_one_line),
		TEST(no_such_change),
		TEST(a_file_that_is_none),
		TEST(a_file_of_another),
		TEST(a_file_that_is_too_large),
		TEST(a_file_that_is_no_text),
		TEST(a_folder_that_is_none),
		TEST(a_folder_that_may_not_be_used),
		TEST(a_home_that_is_none),
		TEST(a_home_of_another),
		TEST(links_on_the_way_home),
		TEST(ids_that_are_none),
		TEST(groups_count),
		TEST(the_account_is_roots),
		TEST(what_it_may),
		TEST(a_kill_at_each_call),
		TEST(a_change_at_each_call),
		TEST(the_same_while_it_is_told),
		TEST(where_nothing_is_yet),
		TEST(a_file_that_never_rests),
		TEST(it_ends_with_its_worker),
	};

	return cmocka_run_group_tests_name("keys", tests, NULL, NULL);
}
