/*
 * worker/ops/open.c - guest-file-open: look, ask, open what was looked at, stay
 *
 * Runs in:   an op child of the worker, with the capabilities to open any file
 * Input:     a path of the host; the worker's word on what was found there
 * May touch: the one object, once the worker said so; then no other
 * Must not:  open by a path: what was decided on is held by a descriptor
 */
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "ipc/launch.h"
#include "sandbox/sandbox.h"
#include "worker/fork.h"
#include "worker/ops/account.h"
#include "worker/ops/handle.h"
#include "worker/ops/ops.h"
#include "worker/ops/talk.h"
#include "worker/ops/walk.h"

/* Where the file goes, in place of the root directory. */
#define FILE_FD (CHILD_FD_FIRST + 1)

/* Spellings of fopen(3) that are accepted, exactly (protocol 3.9). */
static const struct mode {
	const char *name;
	int flags;
} modes[] = {
	{"r", O_RDONLY},
	{"rb", O_RDONLY},
	{"w", O_WRONLY | O_CREAT | O_TRUNC},
	{"wb", O_WRONLY | O_CREAT | O_TRUNC},
	{"a", O_WRONLY | O_CREAT | O_APPEND},
	{"ab", O_WRONLY | O_CREAT | O_APPEND},
	{"r+", O_RDWR},
	{"rb+", O_RDWR},
	{"r+b", O_RDWR},
	{"w+", O_RDWR | O_CREAT | O_TRUNC},
	{"wb+", O_RDWR | O_CREAT | O_TRUNC},
	{"w+b", O_RDWR | O_CREAT | O_TRUNC},
	{"a+", O_RDWR | O_CREAT | O_APPEND},
	{"ab+", O_RDWR | O_CREAT | O_APPEND},
	{"a+b", O_RDWR | O_CREAT | O_APPEND},
};

/* A request on its way, with what its errors quote. */
struct opening {
	const struct sys *sys;
	struct v_str path;
	struct v_str mode;
	int flags;
	struct walk found;
	struct msg_may_open may; /* its texts are in ASK */
	struct talk_question ask;
	struct err *e;
};

static bool find_mode(struct opening *o, const struct msg_file_open *q)
{
	o->mode = q->mode.set ? q->mode : v_str("r");
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
		if (o->mode.len == strlen(modes[i].name) &&
		    !memcmp(o->mode.p, modes[i].name, o->mode.len)) {
			o->flags = modes[i].flags;
			return true;
		}
	return false;
}

static int fail(const struct opening *o, int errnum)
{
	return err_sys(o->e, errnum, "failed to open file '%.*s' (mode: '%.*s')",
		       (int)o->path.len, o->path.p, (int)o->mode.len, o->mode.p);
}

/* ---- asking ---- */

static enum object_type type_of(mode_t mode)
{
	static const struct {
		mode_t format;
		enum object_type type;
	} types[] = {
		{S_IFREG, OBJECT_REGULAR}, {S_IFIFO, OBJECT_FIFO},
		{S_IFSOCK, OBJECT_SOCKET}, {S_IFCHR, OBJECT_CHARACTER},
		{S_IFBLK, OBJECT_BLOCK},   {S_IFDIR, OBJECT_DIRECTORY},
	};

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if ((mode & S_IFMT) == types[i].format)
			return types[i].type;
	return OBJECT_SOCKET; /* nothing that one opens */
}

/* The worker says GO, or ends us. */
static void ask(struct opening *o)
{
	const struct walk *w = &o->found;
	bool exists = w->fd >= 0;
	struct msg_found found = {
		.path = v_str(w->path),
		.type = V_INT(exists ? type_of(w->st.st_mode) : OBJECT_REGULAR),
		.links = V_INT(w->links),
		.exists = V_BOOL(exists),
		.size = V_U64(exists && S_ISREG(w->st.st_mode) ? (uint64_t)w->st.st_size
							       : 0),
		.errnum = V_INT(w->errnum),
	};

	o->ask = (struct talk_question){
		.asks = &schema_found,
		.question = &found,
		.answers = &schema_may_open,
		.answer = &o->may,
	};
	talk_ask(OP_file_open, &o->ask);
}

/* ---- opening ---- */

static int set_owner_and_mode(const struct opening *o, int fd)
{
	uid_t uid;
	gid_t gid;

	if (account_owner(o->sys, &o->may.owner, &uid, &gid, o->e) < 0)
		return -1;
	if ((!o->may.owner.set || fchown(fd, uid, gid) == 0) &&
	    fchmod(fd, (mode_t)o->may.mode.v) == 0)
		return 0;
	return err_sys(o->e, errno,
		       "failed to set permission %04o on new file '%.*s' (mode: '%.*s')",
		       (unsigned int)o->may.mode.v, (int)o->path.len, o->path.p,
		       (int)o->mode.len, o->mode.p);
}

/* Did it come to be where we were told that it may? */
static bool is_in_place(const struct opening *o, int fd)
{
	char path[PATH_MAX];

	return walk_path_of(o->sys, fd, path) == 0 && streq(path, o->found.path);
}

/* Make the file in the directory that was found; take it back if that was moved. */
static int create(const struct opening *o)
{
	const struct walk *w = &o->found;
	int flags = (o->flags & ~O_TRUNC) | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY;
	CLEANUP(close_p) int fd = openat(w->dir, w->name, flags | O_NONBLOCK, 0);

	if (fd < 0)
		return fail(o, errno);
	if (!is_in_place(o, fd))
		fail(o, ESTALE);
	else if (set_owner_and_mode(o, fd) == 0)
		return TAKE_FD(fd);
	unlinkat(w->dir, w->name, 0);
	return -1;
}

static int open_found(const struct opening *o)
{
	int fd;

	if (o->found.fd < 0)
		return (o->flags & O_CREAT) ? create(o) : fail(o, ENOENT);
	/* On a directory O_CREAT would say "is a directory" where r+ should as well. */
	fd = walk_reopen(o->sys, o->found.fd, o->flags & ~O_CREAT);
	return fd < 0 ? fail(o, errno) : fd;
}

/* ---- staying ---- */

/*
 * The kernel counts as well, since who appends cannot: between its look and its write
 * another may have written. The call itself, as libc's needs more of the filter.
 */
static int bound(int fd, uint64_t size_max)
{
	struct rlimit limit = {size_max, size_max};
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -1;
	return S_ISREG(st.st_mode) ? (int)syscall(SYS_setrlimit, RLIMIT_FSIZE, &limit)
				   : 0;
}

/*
 * Nothing is left but the socket and the file, no capability, and no way to get more. The
 * bound comes between the halves of the filter, which is a file too on its way.
 */
static void seal(int fd, const struct v_u64 *size_max)
{
	const uint32_t roles = SC_ROLE(SANDBOX_CHILD) | SC_ROLE(SANDBOX_HANDLE);
	struct sock_fprog prog;

	if (dup3(fd, FILE_FD, O_CLOEXEC) < 0 || close_range(FILE_FD + 1, ~0u, 0) < 0 ||
	    sandbox_keep_caps(0) < 0 || sandbox_compile(roles, &prog) < 0)
		_exit(EXIT_SEAL);
	/* What it took to compile it is not kept for as long as the file is open. */
	malloc_trim(0);
	if ((size_max->set && bound(FILE_FD, size_max->v) < 0) || sandbox_load(&prog) < 0)
		_exit(EXIT_SEAL);
}

/* Our own files in /proc are no files of the guest. */
static bool is_ours(const char *path)
{
	char own[64];
	int len = snprintf(own, sizeof(own), "/proc/%d/", getpid());

	return strncmp(path, own, (size_t)len) == 0;
}

int child_file_open(const struct sys *sys, const void *args, struct wbuf *out,
		    struct err *e)
{
	const struct msg_file_open *q = args;
	struct opening o = {.sys = sys, .path = q->path, .e = e};
	struct handle_file file = {.fd = FILE_FD, .size_max = UINT64_MAX};
	int fd;

	if (!find_mode(&o, q))
		return err_set(e, ERR_GENERIC, "invalid file open mode '%.*s'",
			       (int)o.mode.len, o.mode.p);
	walk(&o.found, sys, q->path.p, q->path.len);
	if (is_ours(o.found.path))
		o.found.errnum = EACCES;
	ask(&o);
	if (o.found.errnum)
		return fail(&o, o.found.errnum);
	fd = open_found(&o);
	if (fd < 0)
		return -1;
	if (o.may.size_max.set)
		file.size_max = o.may.size_max.v;
	free(o.ask.buf);
	seal(fd, &o.may.size_max);
	talk_result(OP_file_open, 0, out);
	handle_serve(&file);
}
