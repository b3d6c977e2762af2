/*
 * supervisor/paths.c - where things are if nobody said so, and for a daemon
 *
 * Runs in:   supervisor, root
 * Input:     the options, XDG_RUNTIME_DIR, the working directory
 * May touch: the options
 * Must not:  open or make anything
 */
#include "supervisor/paths.h"

#include <stdio.h>
#include <sys/socket.h>

/* DIR/NAME, which the options keep; NULL: out of memory. */
static const char *beneath(struct options *o, const char *dir, const char *name)
{
	char *path;

	return asprintf(&path, "%s/%s", dir, name) < 0 ? NULL : options_own(o, path);
}

static int statedir_default(struct options *o, struct err *e)
{
	const char *base = geteuid() == 0 ? "/run" : getenv("XDG_RUNTIME_DIR");

	if (!base)
		return err_set(e, ERR_GENERIC,
			       "no state directory: XDG_RUNTIME_DIR is not set, give one "
			       "with -t");
	o->statedir = beneath(o, base, "postern");
	return o->statedir ? 0 : err_sys(e, ENOMEM, "state directory");
}

int paths_default(struct options *o, struct err *e)
{
	/* Where init scripts of qemu-ga look for a daemon. Otherwise the pidfile is also
	 * the lock of the state directory. */
	bool as_qemu_ga = o->daemon && streq(o->program, "qemu-ga") && geteuid() == 0;

	if (!o->statedir && statedir_default(o, e) < 0)
		return -1;
	if (o->pidfile)
		return 0;
	o->pidfile = as_qemu_ga ? beneath(o, "/run", "qemu-ga.pid")
				: beneath(o, o->statedir, "postern.pid");
	return o->pidfile ? 0 : err_sys(e, ENOMEM, "state directory");
}

static int make_absolute(struct options *o, const char **path, struct err *e)
{
	CLEANUP(free_p) char *here = get_current_dir_name();

	if (**path == '/')
		return 0;
	if (!here)
		return err_sys(e, errno, "working directory");
	*path = beneath(o, here, *path);
	return *path ? 0 : err_sys(e, ENOMEM, "working directory");
}

/* A daemon leaves its working directory. */
int paths_absolute(struct options *o, struct err *e)
{
	bool is_file = !o->inherited && o->method->family != AF_VSOCK;

	if ((is_file && make_absolute(o, &o->path, e) < 0) ||
	    make_absolute(o, &o->pidfile, e) < 0)
		return -1;
	return make_absolute(o, &o->statedir, e);
}
