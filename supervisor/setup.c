/*
 * supervisor/setup.c - what must be in place before anything is started
 *
 * Runs in:   supervisor, root
 * Input:     values of the command line; /etc/passwd; trusted
 * May touch: the state directory, the pidfile, the audit file, the log file
 * Must not:  ask a name service, follow a link to what it writes
 */
#include "supervisor/setup.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/vfs.h>

#include "ipc/launch.h"
#include "ipc/state.h"

/* A decimal number from 0 to MAX, nothing before or after it; -1 if it is none. */
static int64_t number_of(const char *s, int64_t max)
{
	int64_t v = 0;

	if (!*s)
		return -1;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return -1;
		v = v * 10 + (*s - '0');
		if (v > max)
			return -1;
	}
	return v;
}

static bool is_regular(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

int statedir_check(const char *dir, bool is_default, struct err *e)
{
	struct stat st;

	if (is_default && mkdir(dir, 0700) < 0 && errno != EEXIST)
		return err_sys(e, errno, "cannot make state directory '%s'", dir);
	if (stat(dir, &st) < 0)
		return err_sys(e, errno, "state directory '%s'", dir);
	if (!S_ISDIR(st.st_mode))
		return err_sys(e, ENOTDIR, "state directory '%s'", dir);
	return 0;
}

/* Is FD still what is found at PATH? */
static bool is_at(int fd, const char *path)
{
	struct stat ours, there;

	return fstat(fd, &ours) == 0 && lstat(path, &there) == 0 &&
	       ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}

int pidfile_take(struct pidfile *p, const char *path, struct err *e)
{
	CLEANUP(close_p) int fd = -1;

	do { /* again if the last holder removed it while we waited for nothing */
		close_p(&fd);
		fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC,
			  0600);
		if (fd < 0)
			return err_sys(e, errno, "cannot open pidfile '%s'", path);
		if (!is_regular(fd))
			return err_set(e, ERR_GENERIC, "pidfile '%s': not a regular file",
				       path);
		if (flock(fd, LOCK_EX | LOCK_NB) < 0)
			return errno == EWOULDBLOCK
				       ? err_set(e, ERR_GENERIC,
						 "pidfile '%s': another agent is running",
						 path)
				       : err_sys(e, errno, "cannot lock pidfile '%s'",
						 path);
	} while (!is_at(fd, path));
	if (ftruncate(fd, 0) < 0 || dprintf(fd, "%d\n", (int)getpid()) < 0)
		return err_sys(e, errno, "cannot write pidfile '%s'", path);
	*p = (struct pidfile){.path = path, .fd = TAKE_FD(fd)};
	return 0;
}

void pidfile_done(struct pidfile *p)
{
	if (p->fd >= 0 && is_at(p->fd, p->path))
		unlink(p->path);
	close_p(&p->fd);
}

/* The entry of NAME in /etc/passwd alone: a name service may hang or be hostile. */
static int passwd_find(struct identity *id, const char *name)
{
	FILE *f = fopen("/etc/passwd", "re");
	struct passwd *pw;

	if (!f)
		return -1;
	while ((pw = fgetpwent(f)) && strcmp(pw->pw_name, name) != 0)
		;
	if (pw)
		*id = (struct identity){.uid = pw->pw_uid, .gid = pw->pw_gid};
	fclose(f);
	return pw ? 0 : -1;
}

int user_find(struct identity *id, const char *user, const char *option, struct err *e)
{
	int64_t number = number_of(user, UINT32_MAX - 1);

	if (number >= 0)
		*id = (struct identity){.uid = (uid_t)number, .gid = (gid_t)number};
	else if (passwd_find(id, user) < 0)
		return err_set(
			e, ERR_GENERIC,
			"user '%s' is not in /etc/passwd: create it (useradd --system %s)"
			" or name another with %s",
			user, user, option);
	if (id->uid == 0 || id->gid == 0)
		return err_set(e, ERR_GENERIC, "%s '%s' is root, name another user",
			       option, user);
	return 0;
}

/*
 * WHAT it is, for the message. While something is FROZEN only what is there is opened: to
 * make a file waits for the thaw, and so does the kernel's way to one it has not looked
 * up yet.
 */
static int append_file(const char *path, const char *what, bool frozen, struct err *e)
{
	/* O_NONBLOCK: do not wait for the reader of a FIFO; it is refused below. */
	const int flags = O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY |
			  O_CLOEXEC | (frozen ? 0 : O_CREAT);
	CLEANUP(close_p)
	int looked = frozen ? open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC) : -1;
	CLEANUP(close_p)
	int fd = frozen && looked < 0 ? -1 : open(path, flags, 0600);

	if (fd < 0)
		return err_sys(e, errno, "cannot open %s file '%s'", what, path);
	if (!is_regular(fd))
		return err_set(e, ERR_GENERIC, "%s file '%s': not a regular file", what,
			       path);
	return TAKE_FD(fd);
}

static int audit_descriptor(const char *sink, struct err *e)
{
	int64_t number = strncmp(sink, "fd:", 3) == 0 ? number_of(sink + 3, INT_MAX) : -1;
	int flags;

	if (number < 0)
		return err_set(e, ERR_GENERIC,
			       "--audit '%s' is neither journal nor fd:N nor file:PATH",
			       sink);
	flags = fcntl((int)number, F_GETFL);
	if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY)
		return err_sys(e, EBADF, "--audit '%s'", sink);
	return (int)number;
}

int audit_open(struct audit_sink *a, const char *sink, bool frozen, struct err *e)
{
	*a = (struct audit_sink){.fd = -1};
	if (!sink)
		sink = access(JOURNAL_SOCKET, F_OK) == 0 ? "journal" : "fd:2";
	if (strcmp(sink, "journal") == 0) {
		a->journal = true;
		return 0;
	}
	a->fd = strncmp(sink, "file:", 5) == 0 ? append_file(sink + 5, "audit", frozen, e)
					       : audit_descriptor(sink, e);
	return a->fd < 0 ? -1 : 0;
}

int log_open(const char *path, bool frozen, struct err *e)
{
	CLEANUP(close_p) int fd = append_file(path, "log", frozen, e);

	if (fd < 0)
		return -1;
	return dup2(fd, STDERR_FILENO) < 0 ? err_sys(e, errno, "log file '%s'", path) : 0;
}

/* What writes to a disk may hang with it; the worker must not. */
bool is_in_memory(const char *dir)
{
	struct statfs fs;

	return statfs(dir, &fs) == 0 && fs.f_type == TMPFS_MAGIC;
}

int state_open(const char *dir, struct err *e)
{
	CLEANUP(close_p) int fd = -1;
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/state", dir) >= (int)sizeof(path))
		return err_sys(e, ENAMETOOLONG, "state directory");
	if (is_in_memory(dir))
		fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC,
			  0600);
	else
		fd = memfd_create("postern-state", MFD_CLOEXEC);
	if (fd < 0)
		return err_sys(e, errno, "cannot open '%s'", path);
	if (!is_regular(fd) || ftruncate(fd, sizeof(struct state)) < 0)
		return err_sys(e, errno, "cannot make room for the state");
	return TAKE_FD(fd);
}

static int control_address(const char *dir, struct sockaddr_un *addr)
{
	*addr = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (snprintf(addr->sun_path, sizeof(addr->sun_path), "%s/" CONTROL_NAME, dir) <
	    (int)sizeof(addr->sun_path))
		return 0;
	errno = ENAMETOOLONG;
	return -1;
}

/* An agent before us may have left its socket; what is something else stays. */
static int control_clear(const char *path)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : -1;
	if (S_ISSOCK(st.st_mode))
		return unlink(path);
	errno = EEXIST;
	return -1;
}

int control_listen(const char *dir, struct err *e)
{
	CLEANUP(close_p)
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un addr;

	if (fd < 0 || control_address(dir, &addr) < 0 ||
	    control_clear(addr.sun_path) < 0 ||
	    bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, 8) < 0)
		return err_sys(e, errno, "no control socket in '%s'", dir);
	return TAKE_FD(fd);
}

void control_remove(const char *dir)
{
	struct sockaddr_un addr;

	if (control_address(dir, &addr) == 0)
		unlink(addr.sun_path);
}

bool state_is_frozen(const char *dir)
{
	char path[PATH_MAX];
	CLEANUP(close_p) int fd = -1;
	uint32_t phase;

	if (snprintf(path, sizeof(path), "%s/state", dir) < (int)sizeof(path))
		fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	return fd >= 0 && is_in_memory(dir) &&
	       pread(fd, &phase, sizeof(phase), offsetof(struct state, freeze.phase)) ==
		       sizeof(phase) &&
	       phase_is_frozen(phase);
}

int program_open(const char *dir, const char *file, struct err *e)
{
	CLEANUP(close_p) int fd = -1;
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/%s", dir, file) >= (int)sizeof(path))
		return err_sys(e, ENAMETOOLONG, "program '%s'", file);
	fd = open(path, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, errno, "cannot open program '%s'", path);
	if (!is_regular(fd))
		return err_set(e, ERR_GENERIC, "program '%s': not a regular file", path);
	return TAKE_FD(fd);
}

int standard_descriptors(void)
{
	int fd;

	do /* the lowest free one is given, so this fills the gaps */
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd < 0)
		return -1;
	close(fd);
	return 0;
}
