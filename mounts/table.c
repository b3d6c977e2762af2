/*
 * mounts/table.c - the table of mounts, taken apart by libmount
 *
 * Runs in:   inspector; op children of the worker
 * Input:     the text of /proc/self/mountinfo: mount points and sources are any bytes
 * May touch: memory
 * Must not:  read a file, look at a mount point
 */
#include "mounts/table.h"

#include <errno.h>
#include <stdio.h>

#include "ipc/util.h"

static void close_stream_p(FILE **f)
{
	if (*f)
		fclose(*f);
}

static void table_p(struct libmnt_table **t)
{
	mnt_unref_table(*t);
}

static void iter_p(struct libmnt_iter **i)
{
	mnt_free_iter(*i);
}

/* Is what ends at P, a blank, the type of a file system: "... - TYPE"? */
static bool ends_type(const char *text, const char *p)
{
	const char *type = memrchr(text, ' ', (size_t)(p - text));

	return type && type - text >= 2 && memcmp(type - 2, " -", 2) == 0;
}

/*
 * A root that the kernel mounted by itself has the source "/dev/root", for which libmount
 * looks on its own: outside our root and in the end by probing disks, which the seal does
 * not allow. Nobody asks for it, so it gets another name.
 */
static void rename_dev_root(char *text, size_t len)
{
	static const char name[] = " /dev/root ";
	char *p = text;

	while ((p = memmem(p, (size_t)(text + len - p), name, sizeof(name) - 1))) {
		if (ends_type(text, p))
			p[1] = '-';
		p++;
	}
}

/*
 * Short of memory, libmount leaves out the line that it had none for, or all the rest,
 * and says nothing of it: then a freeze would miss a file system. So it is asked twice,
 * by errno, whether that was the reason: here for a line, below for the rest.
 */
static int on_bad_line(struct libmnt_table *table, const char *name, int line)
{
	const bool short_of_memory = errno == ENOMEM;

	(void)table;
	(void)name;
	(void)line;
	errno = 0;
	/* Whatever else is wrong with it: a line that is none is left out. */
	return short_of_memory ? -ENOMEM : 1;
}

static int parse(struct libmnt_table *table, FILE *f)
{
	errno = 0;
	/* Of a file that has a name libmount finds out whose process it is. */
	if (mnt_table_set_parser_errcb(table, on_bad_line) < 0 ||
	    mnt_table_parse_stream(table, f, "") < 0)
		return -1;
	return errno == ENOMEM ? -1 : 0;
}

int mounts_each(char *text, size_t len, int (*each)(void *arg, struct libmnt_fs *fs),
		void *arg)
{
	CLEANUP(close_stream_p) FILE *f = fmemopen(text, len, "r");
	CLEANUP(table_p) struct libmnt_table *table = mnt_new_table();
	CLEANUP(iter_p) struct libmnt_iter *iter = mnt_new_iter(MNT_ITER_FORWARD);
	struct libmnt_fs *fs;
	int r = 0;

	rename_dev_root(text, len);
	if (!f || !table || !iter || parse(table, f) < 0) {
		errno = ENOMEM;
		return -1;
	}
	while (r == 0 && mnt_table_next_fs(table, iter, &fs) == 0)
		r = each(arg, fs);
	return r;
}
