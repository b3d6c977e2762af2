/*
 * supervisor/channel.c - open, keep and give up the channel to the host
 *
 * Runs in:   supervisor, root
 * Input:     method and path of the command line; LISTEN_PID and LISTEN_FDS; files found
 *            at the path
 * May touch: the device or socket at the path
 * Must not:  read or write the channel, remove what is no socket of ours
 */
#include "supervisor/channel.h"

#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>

#include <linux/vm_sockets.h>

/* Clients that may wait while another one is served. */
#define LISTEN_BACKLOG 16

static int open_error(const struct channel *c, int errnum, struct err *e)
{
	return err_sys(e, errnum, "error opening channel '%s'", c->path);
}

static int open_device(struct channel *c, struct err *e)
{
	CLEANUP(close_p)
	int fd = open(c->path, O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return open_error(c, errno, e);
	if (!S_ISCHR(st.st_mode))
		return err_set(e, ERR_GENERIC,
			       "error opening channel '%s': not a character device",
			       c->path);
	return TAKE_FD(fd);
}

/*
 * Bytes as they are, 8 of 8 bits, no flow control (protocol 1.1), and none that came
 * before us. Who may open the line, too (group dialout), may not do so while we have it.
 */
static int make_raw(int fd)
{
	struct termios t;

	if (tcgetattr(fd, &t) < 0)
		return -1;
	cfmakeraw(&t);
	cfsetspeed(&t, B38400);
	t.c_iflag = 0;
	t.c_cflag &= ~(tcflag_t)(CSTOPB | CRTSCTS);
	t.c_cflag |= CREAD | CLOCAL; /* no modem that could hang up */
	t.c_cc[VMIN] = 1;
	t.c_cc[VTIME] = 0;
	if (ioctl(fd, TIOCEXCL) < 0 || tcflush(fd, TCIFLUSH) < 0)
		return -1;
	return tcsetattr(fd, TCSANOW, &t);
}

static int open_serial(struct channel *c, struct err *e)
{
	CLEANUP(close_p) int fd = open_device(c, e);

	if (fd < 0)
		return -1;
	if (make_raw(fd) < 0)
		return open_error(c, errno, e);
	return TAKE_FD(fd);
}

/*
 * Does somebody have that socket? 0 if nobody does, or -1 with errno. Asked by a socket
 * of another type than an agent's, so as not to take a place in its backlog.
 */
static int probe(const struct sockaddr_un *addr)
{
	CLEANUP(close_p) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if (connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0) {
		if (errno == ECONNREFUSED)
			return 0;
		if (errno != EPROTOTYPE)
			return -1;
	}
	errno = EADDRINUSE;
	return -1;
}

/* Make room for our node: only a socket that nobody has is removed. */
static int clear_path(const struct channel *c, const struct sockaddr_un *addr,
		      struct err *e)
{
	struct stat st;

	if (lstat(c->path, &st) < 0)
		return errno == ENOENT ? 0 : open_error(c, errno, e);
	if (!S_ISSOCK(st.st_mode))
		return err_set(
			e, ERR_GENERIC,
			"error opening channel '%s': it exists and is not a socket",
			c->path);
	if (probe(addr) < 0 || unlink(c->path) < 0)
		return open_error(c, errno, e);
	return 0;
}

static int open_listener(struct channel *c, struct err *e)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	CLEANUP(close_p) int fd = -1;
	struct stat st;

	if (strlen(c->path) >= sizeof(addr.sun_path))
		return err_set(e, ERR_GENERIC,
			       "error opening channel '%s': path longer than %zu bytes",
			       c->path, sizeof(addr.sun_path) - 1);
	memcpy(addr.sun_path, c->path, strlen(c->path));
	if (clear_path(c, &addr, e) < 0)
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* The node gets the socket's mode, so it never has another; the umask is not
	 * enough. */
	if (fd < 0 || fchmod(fd, 0600) < 0 ||
	    bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return open_error(c, errno, e);
	/* Recorded before anything else can fail, so that channel_done removes it. */
	if (lstat(c->path, &st) == 0) {
		c->node_dev = st.st_dev;
		c->node_ino = st.st_ino;
	}
	if (listen(fd, LISTEN_BACKLOG) < 0)
		return open_error(c, errno, e);
	return TAKE_FD(fd);
}

/* A plain number up to MAX, to the end of the text or to the byte END. */
static bool number_until(const char **p, char end, uint32_t max, uint32_t *out)
{
	uint64_t n = 0;
	const char *start = *p;

	for (; **p >= '0' && **p <= '9' && n <= max; ++*p)
		n = n * 10 + (uint64_t)(**p - '0');
	if (*p == start || n > max || **p != end)
		return false;
	*p += end != '\0';
	*out = (uint32_t)n;
	return true;
}

static int open_vsock(struct channel *c, struct err *e)
{
	struct sockaddr_vm addr = {.svm_family = AF_VSOCK};
	CLEANUP(close_p) int fd = -1;
	const char *p = c->path;

	if (!number_until(&p, ':', UINT32_MAX, &addr.svm_cid) ||
	    !number_until(&p, '\0', UINT32_MAX - 1, &addr.svm_port))
		return err_set(
			e, ERR_GENERIC,
			"error opening channel '%s': accepted is <cid>:<port>, two "
			"numbers, with 4294967295 for any cid",
			c->path);
	fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    listen(fd, LISTEN_BACKLOG) < 0)
		return open_error(c, errno, e);
	return TAKE_FD(fd);
}

static const struct channel_method methods[] = {
	{"virtio-serial", "/dev/virtio-ports/org.qemu.guest_agent.0", "--port", AF_UNSPEC,
	 false, open_device},
	{"isa-serial", "/dev/ttyS0", "--serial", AF_UNSPEC, false, open_serial},
	{"unix-listen", NULL, "--listen", AF_UNIX, true, open_listener},
	{"vsock-listen", NULL, "--listen-vsock", AF_VSOCK, true, open_vsock},
};

/* ---- a socket of the service manager ---- */

#define INHERITED_FD 3 /* SD_LISTEN_FDS_START */

static int option_of(int fd, int option)
{
	socklen_t len = sizeof(int);
	int v = -1;

	return getsockopt(fd, SOL_SOCKET, option, &v, &len) < 0 ? -1 : v;
}

/* How many descriptors are for us. Said to this process alone, so it is forgotten. */
static int inherited_count(uint32_t *count, struct err *e)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	const char *number = fds;
	bool valid = true;
	uint32_t ours = 0;

	*count = 0;
	if (fds && pid && number_until(&pid, '\0', INT32_MAX, &ours) &&
	    ours == (uint32_t)getpid())
		valid = number_until(&number, '\0', INT32_MAX, count);
	if (!valid)
		err_set(e, ERR_GENERIC, "LISTEN_FDS '%s' is no number", fds);
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	return valid ? 0 : -1;
}

int channel_inherit(struct channel *c, struct err *e)
{
	int family = option_of(INHERITED_FD, SO_DOMAIN);
	uint32_t n;

	if (inherited_count(&n, e) < 0)
		return -1;
	if (n == 0)
		return 0;
	if (n > 1)
		return err_set(e, ERR_GENERIC, "only supports listening on one socket");
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
		if (methods[i].listens && methods[i].family == family)
			*c = (struct channel){.method = &methods[i],
					      .path = "socket of the service manager",
					      .fd = INHERITED_FD};
	if (!c->method)
		return err_set(e, ERR_GENERIC, "unsupported listen fd type");
	if (option_of(c->fd, SO_TYPE) != SOCK_STREAM ||
	    option_of(c->fd, SO_ACCEPTCONN) != 1)
		return err_set(e, ERR_GENERIC,
			       "the inherited socket is not a listening "
			       "stream socket");
	if (fcntl(c->fd, F_SETFD, FD_CLOEXEC) < 0 ||
	    fcntl(c->fd, F_SETFL, O_RDWR | O_NONBLOCK) < 0)
		return err_sys(e, errno, "inherited socket");
	return 1;
}

const struct channel_method *channel_method(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
		if (strcmp(methods[i].name, name) == 0)
			return &methods[i];
	return NULL;
}

int channel_open(struct channel *c, struct err *e)
{
	if (c->fd < 0)
		c->fd = c->method->open(c, e);
	if (c->fd < 0)
		return -1;
	c->was_open = true;
	return 0;
}

/* A serial line that somebody else keeps open would remain ours alone (make_raw). */
static void let_go(struct channel *c)
{
	ioctl(c->fd, TIOCNXCL); /* what is no line refuses, which is fine */
	close_p(&c->fd);
}

void channel_drop(struct channel *c)
{
	if (!c->method->listens)
		let_go(c);
}

void channel_done(struct channel *c)
{
	struct stat st;

	if (c->node_ino && lstat(c->path, &st) == 0 && st.st_dev == c->node_dev &&
	    st.st_ino == c->node_ino)
		unlink(c->path);
	let_go(c);
}
