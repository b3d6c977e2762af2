/*
 * sandbox/landlock.c - which files a process can still reach, whatever it is told
 *
 * Runs in:   all sealed programs before they are sealed; what the worker forks
 * Input:     the const table below
 * May touch: the calling process's Landlock domain
 * Must not:  be relied on alone: a kernel may have none of it (landlock(7))
 *
 * One table: who needs what beneath which directory. What somebody needs everywhere is
 * not handled at all: the kernel looks from a file upwards to "/" and never gets there
 * from a mount that was detached, which is how a freeze holds what it freezes.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ipc/util.h"
#include "sandbox/sandbox.h"

/* Those that the headers of Linux 6.1 have not (landlock(7)). */
#define FS_REFER     (UINT64_C(1) << 13) /* from version 2 */
#define FS_TRUNCATE  (UINT64_C(1) << 14) /* 3 */
#define FS_IOCTL_DEV (UINT64_C(1) << 15) /* 5 */
#define NET_TCP      UINT64_C(3)         /* 4: bind, connect */
#define SCOPE_SOCKET (UINT64_C(1) << 0)  /* 6: abstract unix sockets */
#define SCOPE_SIGNAL (UINT64_C(1) << 1)  /* 6 */

struct ruleset {
	uint64_t fs;
	uint64_t net;
	uint64_t scoped;
};

#define READ  (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR | FS_IOCTL_DEV)
#define WRITE (LANDLOCK_ACCESS_FS_WRITE_FILE | FS_TRUNCATE)
#define MAKE  (LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE)
#define MKDIR LANDLOCK_ACCESS_FS_MAKE_DIR

/* To look at a path, by O_PATH, is not held back by Landlock, and needs no row. */
static const struct beneath {
	uint32_t roles;
	uint64_t access;
	const char *path; /* from the root; "": everywhere */
	/* cppcheck-suppress unusedStructMember; for who reads the table */
	const char *why;
} rows[] = {
	{SC_ROLE(SANDBOX_INSPECTOR), READ, "", "whatever an ordinary user may read"},
	{SC_ROLE(SANDBOX_SMART), READ, "sys", "which disks are there?"},
	{SC_ROLE(SANDBOX_SMART), READ, "dev", "their nodes"},
	{SC_ROLE(SANDBOX_OPEN), READ, "", "any file, if its rule says so"},
	{SC_ROLE(SANDBOX_MAKE), WRITE | MAKE, "", "the same, to be written or made"},
	{SC_ROLE(SANDBOX_MOUNTS), READ, "", "what is mounted, wherever that is"},
	{SC_ROLE(SANDBOX_CLOCK), READ, "dev", "the real-time clock"},
	{SC_ROLE(SANDBOX_CLOCK), READ, "etc", "is it in local time?"},
	{SC_ROLE(SANDBOX_SYSFS), READ | WRITE, "sys", "switches of the kernel"},
	{SC_ROLE(SANDBOX_HOME) | SC_ROLE(SANDBOX_AT_HOME), READ | WRITE | MAKE | MKDIR,
	 "", "a home, wherever that is"},
	{SC_ROLE(SANDBOX_SIGNAL), READ, "proc", "does init take the signal?"},
	{SC_ROLE(SANDBOX_POLICY), READ, "usr/lib", "policy files"},
	{SC_ROLE(SANDBOX_POLICY), READ, "run", "the same"},
	{SC_ROLE(SANDBOX_POLICY), READ, "etc", "the same"},
};

/* What this kernel can hold back; nothing if it has no Landlock. */
static struct ruleset known(void)
{
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0,
			       LANDLOCK_CREATE_RULESET_VERSION);
	struct ruleset all = {0};

	if (version < 1)
		return all;
	all.fs = FS_REFER - 1;
	if (version >= 2)
		all.fs |= FS_REFER;
	if (version >= 3)
		all.fs |= FS_TRUNCATE;
	if (version >= 4)
		all.net = NET_TCP;
	if (version >= 5)
		all.fs |= FS_IOCTL_DEV;
	if (version >= 6)
		all.scoped = SCOPE_SOCKET | SCOPE_SIGNAL;
	return all;
}

static struct ruleset handled(uint32_t roles)
{
	struct ruleset r = known();

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].roles & roles && !*rows[i].path)
			r.fs &= ~rows[i].access;
	/* Init is in nobody's domain. */
	if (roles & SC_ROLE(SANDBOX_SIGNAL))
		r.scoped &= ~SCOPE_SIGNAL;
	return r;
}

static int add(int ruleset, int root, const struct beneath *row, uint64_t access)
{
	CLEANUP(close_p)
	int fd = openat(root, row->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct landlock_path_beneath_attr beneath = {.allowed_access = access,
						     .parent_fd = fd};

	if (fd < 0) /* what is not there needs no leave */
		return errno == ENOENT || errno == ENOTDIR ? 0 : -1;
	return (int)syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH,
			    &beneath, 0);
}

int sandbox_ruleset(uint32_t roles, int root, int *ruleset)
{
	const struct ruleset r = handled(roles);
	/* Older kernels know only its beginning. */
	const size_t size = r.scoped ? sizeof(r)
			    : r.net  ? 2 * sizeof(r.fs)
				     : sizeof(r.fs);
	CLEANUP(close_p) int fd = -1;

	if (!r.fs)
		return 0;
	fd = (int)syscall(SYS_landlock_create_ruleset, &r, size, 0);
	if (fd < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].roles & roles && rows[i].access & r.fs &&
		    add(fd, root, &rows[i], rows[i].access & r.fs) < 0)
			return -1;
	*ruleset = TAKE_FD(fd);
	return 1;
}

int sandbox_restrict(int ruleset)
{
	return (int)syscall(SYS_landlock_restrict_self, ruleset, 0);
}

int sandbox_beneath(uint32_t roles, int root)
{
	CLEANUP(close_p) int fd = -1;
	const int r = sandbox_ruleset(roles, root, &fd);

	if (r <= 0)
		return r;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || sandbox_restrict(fd) < 0)
		return -1;
	return 1;
}

static const struct word {
	uint64_t access;
	const char *word;
} words[] = {{LANDLOCK_ACCESS_FS_READ_FILE, "read"},
	     {LANDLOCK_ACCESS_FS_WRITE_FILE, "write"}};

/* Does a row for everywhere, or one before row N, say the same? */
static bool is_said(uint32_t roles, size_t n, uint64_t access)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const bool everywhere = !*rows[i].path && *rows[n].path;

		if (rows[i].roles & roles && rows[i].access & access &&
		    (everywhere || (i < n && streq(rows[i].path, rows[n].path))))
			return true;
	}
	return false;
}

void sandbox_beneath_text(uint32_t roles, char *out, size_t size)
{
	size_t at = 0;

	*out = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		for (size_t k = 0; k < ARRAY_SIZE(words) && at < size; k++) {
			const struct beneath *row = &rows[i];

			if (!(row->roles & roles) || !(row->access & words[k].access) ||
			    is_said(roles, i, words[k].access))
				continue;
			at += (size_t)snprintf(out + at, size - at, "%s%s /%s",
					       at ? ", " : "", words[k].word, row->path);
		}
	if (!at)
		snprintf(out, size, "none");
}
