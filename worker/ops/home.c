/*
 * worker/ops/home.c - one file of a user, changed with that user's rights
 *
 * Runs in:   op children of the worker
 * Input:     a home whose owner changes it meanwhile, and may wish us harm
 * May touch: what the user may: HOME/.ssh/authorized_keys; our own rights, for good
 * Must not:  follow a link below the home, wait for a pipe, leave half a file
 */
#include "worker/ops/home.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>

#include "sandbox/sandbox.h"
#include "worker/fork.h"
#include "worker/ops/account.h"

#define DIR_NAME  ".ssh"
#define FILE_NAME "authorized_keys"
#define IN_DIR    "/" DIR_NAME
#define IN_FILE   "/" DIR_NAME "/" FILE_NAME

/* ---- whose rights ---- */

/* All ones mean "leave as it is" to the kernel; what is wider would be cut off, to 0. */
static bool is_id(const struct v_u64 *id)
{
	return id->v < UINT32_MAX;
}

static int set_groups(const struct v_list *list)
{
	const struct msg_gid *from = list->v;
	gid_t groups[ACCOUNT_GROUPS_MAX];

	if (list->n > ACCOUNT_GROUPS_MAX)
		return -1;
	for (uint32_t i = 0; i < list->n; i++) {
		if (!is_id(&from[i].gid))
			return -1;
		groups[i] = (gid_t)from[i].gid.v;
	}
	/* Who is no root is that user already, or fails at the next step. */
	return geteuid() == 0 ? setgroups(list->n, groups) : 0;
}

int home_become(const struct msg_account *a)
{
	const uid_t uid = (uid_t)a->uid.v;
	const gid_t gid = (gid_t)a->gid.v;
	const pid_t worker = getppid();

	errno = EINVAL;
	if (!is_id(&a->uid) || !is_id(&a->gid) || set_groups(&a->groups) < 0)
		return -1;
	/* These say nothing of failure; but what they were before, the second time. */
	setfsgid(gid);
	setfsuid(uid);
	errno = EPERM;
	if ((gid_t)setfsgid(gid) != gid || (uid_t)setfsuid(uid) != uid)
		return -1;
	/* With the id the kernel took away the tie to the worker (prctl(2)). */
	return fork_tie(worker) ? sandbox_keep_caps(0) : -1;
}

/* ---- errors ---- */

static int fail(const struct home *h)
{
	return err_sys(h->e, errno, "failed to %s '%s" IN_FILE "'", h->verb, h->home);
}

/* A part of the path cannot be what it has to be. */
static int refuse(const struct home *h, const char *part, const char *wrong)
{
	return err_set(h->e, ERR_GENERIC, "failed to %s '%s" IN_FILE "': '%s%s' %s",
		       h->verb, h->home, h->home, part, wrong);
}

int home_refuse(const struct home *h, const char *wrong)
{
	return refuse(h, IN_FILE, wrong);
}

static int fail_open(const struct home *h, const char *part)
{
	if (errno == ELOOP && *part)
		return refuse(h, part, "is a symbolic link");
	return err_sys(h->e, errno,
		       "failed to %s '%s" IN_FILE
		       "': Failed to open file \u201c%s" IN_FILE "\u201d",
		       h->verb, h->home, h->home);
}

static int fail_create(const struct home *h)
{
	return err_sys(h->e, errno, "failed to create directory '%s" IN_DIR "'", h->home);
}

/* ---- from the root to the file ---- */

/*
 * A mount below the home is entered: it is root's doing (some keep .ssh elsewhere), or
 * one that the user serves, and that can hold us up until our time is over, as a home on
 * such a file system can.
 */
static int open_below(int dir, const char *name, uint64_t flags)
{
	return sys_openat2(dir, name, flags, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
}

/* Is FD, a part of the path, what it has to be and the user's, or as good as theirs? */
static int check(struct home *h, int fd, const char *part, mode_t format, bool or_roots)
{
	if (fstat(fd, &h->st) < 0)
		return fail_open(h, part);
	if ((h->st.st_mode & S_IFMT) != format)
		return refuse(h, part, "is no regular file");
	if (h->st.st_uid == h->account->uid.v || (or_roots && !h->st.st_uid))
		return 0;
	return refuse(h, part, "is another user's");
}

/* Links on the way to the home are followed: with the user's rights nothing is gained. */
int home_open(struct home *h)
{
	const struct v_str *path = &h->account->home;
	size_t len = path->len;

	h->home_fd = h->dir_fd = -1;
	while (len && path->p[len - 1] == '/')
		len--;
	/* Of "/", nothing is left. */
	if (!path->len || path->p[0] != '/' || len >= sizeof(h->home) ||
	    memchr(path->p, 0, len))
		return err_set(h->e, ERR_GENERIC, "the home directory is no path");
	memcpy(h->home, path->p, len);
	h->home[len] = '\0';
	h->home_fd =
		sys_openat2(h->sys->root_fd, len ? h->home : "/", O_PATH | O_DIRECTORY,
			    RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
	if (h->home_fd < 0)
		return errno == ENOENT ? 0 : fail_open(h, "");
	return check(h, h->home_fd, "", S_IFDIR, true);
}

static void forget(struct home *h)
{
	close_p(&h->dir_fd);
	free_p(&h->text);
	h->len = 0;
}

void home_done(struct home *h)
{
	forget(h);
	close_p(&h->home_fd);
}

/* .ssh, if it is there. Not by O_PATH: at the end it is to be on disk. */
static int open_dir(struct home *h)
{
	errno = ENOENT;
	if (h->home_fd >= 0)
		h->dir_fd = open_below(h->home_fd, DIR_NAME, O_RDONLY | O_DIRECTORY);
	if (h->dir_fd < 0)
		return errno == ENOENT ? 0 : fail_open(h, IN_DIR);
	return check(h, h->dir_fd, IN_DIR, S_IFDIR, false);
}

/* ---- reading ---- */

static int read_text(struct home *h, int fd)
{
	ssize_t n = 1;

	/* One byte more tells whether it is too large. */
	h->text = malloc(HOME_FILE_MAX + 1);
	while (h->text && n > 0 && h->len <= HOME_FILE_MAX) {
		n = read(fd, h->text + h->len, HOME_FILE_MAX + 1 - h->len);
		h->len += n > 0 ? (size_t)n : 0;
	}
	if (!h->text || n < 0)
		return fail(h);
	if (h->len > HOME_FILE_MAX)
		return home_refuse(h, "is larger than 1 MiB");
	return memchr(h->text, 0, h->len) ? home_refuse(h, "is no text") : 0;
}

int home_look(struct home *h, bool reads, bool may_lack)
{
	/* It is looked at before it is opened: a device can mind. A pipe is not waited
	 * for. */
	static const uint64_t flags[] = {O_PATH, O_RDONLY | O_NONBLOCK | O_NOCTTY};
	const int looks = reads ? 2 : 1;
	CLEANUP(close_p) int fd = -1;

	forget(h);
	h->verb = reads ? "read" : "write to";
	if (open_dir(h) < 0)
		return -1;
	for (int i = 0; i < looks; i++) {
		close_p(&fd);
		errno = ENOENT;
		if (h->dir_fd >= 0)
			fd = open_below(h->dir_fd, FILE_NAME, flags[i]);
		h->there = fd >= 0;
		if (fd < 0 && errno == ENOENT && may_lack)
			return 0;
		if (fd < 0)
			return fail_open(h, IN_FILE);
		/* Root's can be put away by the user. Another's, in a .ssh that others
		 * may write, would become the user's. */
		if (check(h, fd, IN_FILE, S_IFREG, true) < 0)
			return -1;
	}
	return reads ? read_text(h, fd) : 0;
}

/* ---- writing ---- */

/* Is the file the very one that was read, or as missing as it was? */
static bool is_unchanged(const struct home *h)
{
	const struct stat *was = &h->st;
	struct stat is;

	if (fstatat(h->dir_fd, FILE_NAME, &is, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT && !h->there;
	return h->there && is.st_dev == was->st_dev && is.st_ino == was->st_ino &&
	       is.st_size == was->st_size && is.st_mtim.tv_sec == was->st_mtim.tv_sec &&
	       is.st_mtim.tv_nsec == was->st_mtim.tv_nsec &&
	       is.st_ctim.tv_sec == was->st_ctim.tv_sec &&
	       is.st_ctim.tv_nsec == was->st_ctim.tv_nsec;
}

/* Whatever the umask is: for nobody else. */
static int fill(int fd, const char *text, size_t len)
{
	if (fchmod(fd, 0600) < 0)
		return -1;
	while (len) {
		ssize_t n = write(fd, text, len);

		if (n <= 0) {
			errno = n ? errno : EIO;
			return -1;
		}
		text += n;
		len -= (size_t)n;
	}
	return fsync(fd);
}

/* FD, which is NAME in .ssh, with that text in the place of the file. */
static enum home_step put(struct home *h, int fd, const char *name, const void *text,
			  size_t len)
{
	if (fill(fd, text, len) < 0)
		return fail(h);
	if (!is_unchanged(h))
		return HOME_AGAIN;
	/* The call itself, since libc makes another one of it where it can. */
	if (syscall(SYS_renameat2, h->dir_fd, name, h->dir_fd, FILE_NAME, 0) < 0)
		return fail(h);
	return HOME_DONE;
}

static enum home_step replace(struct home *h, const void *text, size_t len)
{
	char name[sizeof("." FILE_NAME ".XXXXXXXX")];
	CLEANUP(close_p) int fd = -1;
	enum home_step step;
	uint32_t random;

	if (sys_random(&random, sizeof(random)) < 0)
		return fail(h);
	snprintf(name, sizeof(name), "." FILE_NAME ".%08x", random);
	fd = open_below(h->dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW);
	if (fd < 0)
		return fail(h);
	step = put(h, fd, name, text, len);
	if (step != HOME_DONE)
		unlinkat(h->dir_fd, name, 0);
	else if (fsync(h->dir_fd) < 0)
		return fail(h);
	return step;
}

enum home_step home_replace(struct home *h, const void *text, size_t len)
{
	const bool is_new = h->dir_fd < 0;
	enum home_step step;

	errno = ENOENT;
	if (is_new && (h->home_fd < 0 || mkdirat(h->home_fd, DIR_NAME, 0700) < 0))
		return errno == EEXIST ? HOME_AGAIN : (enum home_step)fail_create(h);
	if (is_new && open_dir(h) < 0)
		step = HOME_FAILED;
	else
		step = h->dir_fd < 0 ? HOME_AGAIN : replace(h, text, len);
	/* Only if nobody has put anything into it. */
	if (is_new && step != HOME_DONE)
		unlinkat(h->home_fd, DIR_NAME, AT_REMOVEDIR);
	return step;
}
