/*
 * tests/unit/test_channel.c - the channel as the supervisor opens or inherits it
 *
 * Runs in:   a test
 * Input:     a pty in the place of a serial line, sockets, variables that it sets
 * May touch: its own descriptors, 3 among them, and environment
 * Must not:  connect to anything
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <pty.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "supervisor/channel.h"
#include "tests/lib/fds.h"

#define INHERITED 3

static struct channel channel_of(const char *method, const char *path)
{
	return (struct channel){.method = channel_method(method), .path = path, .fd = -1};
}

/* ---- a serial line ---- */

struct line {
	int master;
	int slave;
	char path[64];
};

static int line_open(void **state)
{
	struct line *l = calloc(1, sizeof(*l));

	assert_return_code(openpty(&l->master, &l->slave, l->path, NULL, NULL), 0);
	*state = l;
	return 0;
}

static int line_close(void **state)
{
	struct line *l = *state;

	close_p(&l->slave);
	close_p(&l->master);
	free(l);
	return 0;
}

static bool is_exclusive(int fd)
{
	int exclusive;

	assert_return_code(ioctl(fd, TIOCGEXCL, &exclusive), 0);
	return exclusive;
}

/* Whatever the line was set to, it passes bytes as they are. */
static void test_raw_bytes(void **state)
{
	struct line *l = *state;
	struct channel c = channel_of("isa-serial", l->path);
	struct termios t;
	struct err e;

	assert_return_code(tcgetattr(l->slave, &t), 0);
	t.c_iflag = IGNBRK | BRKINT | PARMRK | INPCK | ISTRIP | INLCR | IGNCR | ICRNL |
		    IXON | IXOFF | IXANY | IUCLC;
	t.c_oflag = OPOST | ONLCR | OLCUC;
	t.c_lflag = ISIG | ICANON | ECHO | IEXTEN | TOSTOP;
	t.c_cflag = CS7 | CSTOPB | PARENB | HUPCL | CRTSCTS;
	t.c_cc[VMIN] = 9;
	t.c_cc[VTIME] = 9;
	cfsetspeed(&t, B300);
	assert_return_code(tcsetattr(l->slave, TCSANOW, &t), 0);
	assert_return_code(channel_open(&c, &e), 0);
	assert_return_code(tcgetattr(l->slave, &t), 0);
	assert_int_equal(t.c_iflag, 0);
	assert_int_equal(t.c_oflag & OPOST, 0);
	assert_int_equal(t.c_lflag & (ISIG | ICANON | ECHO | IEXTEN), 0);
	/* A pty has 8 bits and no parity whatever is asked for. */
	assert_int_equal(t.c_cflag & (CSIZE | CSTOPB | PARENB | CRTSCTS), CS8);
	assert_int_equal(t.c_cflag & (CREAD | CLOCAL), CREAD | CLOCAL);
	assert_int_equal(t.c_cc[VMIN], 1);
	assert_int_equal(t.c_cc[VTIME], 0);
	assert_int_equal(cfgetispeed(&t), B38400);
	assert_int_equal(cfgetospeed(&t), B38400);
	channel_done(&c);
}

static void test_flags_of_a_line(void **state)
{
	struct line *l = *state;
	struct channel c = channel_of("isa-serial", l->path);
	struct err e;

	assert_return_code(channel_open(&c, &e), 0);
	assert_int_equal(fcntl(c.fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(c.fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK),
			 O_RDWR | O_NONBLOCK);
	channel_done(&c);
}

/* What came before us was meant for somebody else. */
static void test_what_waits_in_the_line(void **state)
{
	struct line *l = *state;
	struct channel c = channel_of("isa-serial", l->path);
	struct err e;
	char byte;

	assert_int_equal(write(l->master, "root\n", 5), 5);
	assert_return_code(channel_open(&c, &e), 0);
	assert_int_equal(read(c.fd, &byte, 1), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(write(l->master, "x", 1), 1);
	assert_int_equal(read(c.fd, &byte, 1), 1);
	channel_done(&c);
}

static void test_a_line_is_opened_anew(void **state)
{
	struct line *l = *state;
	struct channel c = channel_of("isa-serial", l->path);
	struct err e;

	assert_return_code(channel_open(&c, &e), 0);
	channel_drop(&c);
	assert_int_equal(c.fd, -1);
	assert_false(is_exclusive(l->slave));
	assert_return_code(channel_open(&c, &e), 0);
	assert_true(is_exclusive(l->slave));
	channel_done(&c);
	assert_false(is_exclusive(l->slave));
}

static void test_no_line(void **state)
{
	static const struct {
		const char *path, *text;
	} rows[] = {
		{"/dev/null", "Inappropriate ioctl for device"},
		{"/", "Is a directory"},
		{"/etc/passwd", "not a character device"},
		{"/nonexistent", "No such file or directory"},
	};
	size_t fds = fds_open();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct channel c = channel_of("isa-serial", rows[i].path);
		char want[128];
		struct err e;

		assert_int_equal(channel_open(&c, &e), -1);
		snprintf(want, sizeof(want), "error opening channel '%s': %s",
			 rows[i].path, rows[i].text);
		assert_string_equal(e.desc, want);
		assert_false(c.was_open);
	}
	assert_int_equal(fds_open(), fds);
}

/* ---- vsock ---- */

static void test_addresses_that_are_none(void **state)
{
	static const char *const paths[] = {
		"",
		":",
		"1",
		"1:",
		":1",
		"1:1:",
		"1:1:1",
		"-1:1",
		"+1:1",
		" 1:1",
		"1: 1",
		"1:1 ",
		"0x1:1",
		"1:1x",
		"1;1",
		"a:1",
		"1:b",
		"1.0:1",
		"1,1",
		"4294967296:1",
		"1:4294967295",
		"1:4294967296",
		"99999999999999999999:1",
		"1:18446744073709551617",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		struct channel c = channel_of("vsock-listen", paths[i]);
		struct err e;

		assert_int_equal(channel_open(&c, &e), -1);
		assert_non_null(strstr(e.desc, "accepted is <cid>:<port>"));
		/* A mistake, for which there is no errno: it is not tried again. */
		assert_int_equal(e.errnum, 0);
	}
}

static void test_address(void **state)
{
	struct channel c = channel_of("vsock-listen", "4294967295:4294967294");
	CLEANUP(close_p) int probe = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_vm addr = {0};
	socklen_t len = sizeof(addr);
	struct err e;

	(void)state;
	if (probe < 0)
		skip(); /* a kernel without vsock */
	assert_return_code(channel_open(&c, &e), 0);
	assert_return_code(getsockname(c.fd, (struct sockaddr *)&addr, &len), 0);
	assert_int_equal(addr.svm_cid, VMADDR_CID_ANY);
	assert_int_equal(addr.svm_port, 4294967294u);
	assert_int_equal(fcntl(c.fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(c.fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	channel_done(&c);
}

/* ---- a socket of the service manager ---- */

static void set_variables(const char *pid, const char *count)
{
	char own[16];

	snprintf(own, sizeof(own), "%d", (int)getpid());
	setenv("LISTEN_PID", pid ? pid : own, 1);
	setenv("LISTEN_FDS", count, 1);
	setenv("LISTEN_FDNAMES", "agent", 1);
}

/* Put a socket where the manager puts it. */
static void hand_over(int family, int type, bool listens)
{
	int fd = socket(family, type, 0);

	assert_return_code(fd, 0);
	if (fd != INHERITED) {
		assert_int_equal(dup2(fd, INHERITED), INHERITED);
		close(fd);
	}
	if (listens) {
		struct sockaddr addr = {.sa_family = (sa_family_t)family};

		assert_return_code(bind(INHERITED, &addr, sizeof(sa_family_t)), 0);
		assert_return_code(listen(INHERITED, 1), 0);
	}
	set_variables(NULL, "1");
}

static int drop_socket(void **state)
{
	(void)state;
	close(INHERITED);
	return 0;
}

static void test_a_socket_is_handed_over(void **state)
{
	struct channel c = {.fd = -1};
	struct err e;

	(void)state;
	hand_over(AF_UNIX, SOCK_STREAM, true);
	assert_int_equal(channel_inherit(&c, &e), 1);
	assert_int_equal(c.fd, INHERITED);
	assert_ptr_equal(c.method, channel_method("unix-listen"));
	assert_int_equal(fcntl(c.fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(c.fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	assert_null(getenv("LISTEN_PID"));
	assert_null(getenv("LISTEN_FDS"));
	assert_null(getenv("LISTEN_FDNAMES"));
	/* It is open, and stays so; nothing of it was ours to remove. */
	assert_return_code(channel_open(&c, &e), 0);
	channel_drop(&c);
	assert_int_equal(c.fd, INHERITED);
	assert_int_equal(c.node_ino, 0);
}

static void test_nothing_for_us(void **state)
{
	static const char *const others[] = {"1", "", "x", "-1", "4294967297"};
	struct channel c = {.fd = -1};
	struct err e;

	(void)state;
	hand_over(AF_UNIX, SOCK_STREAM, true);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		set_variables(others[i], "1");
		assert_int_equal(channel_inherit(&c, &e), 0);
		assert_null(getenv("LISTEN_FDS"));
	}
	set_variables(NULL, "0");
	assert_int_equal(channel_inherit(&c, &e), 0);
	unsetenv("LISTEN_PID");
	setenv("LISTEN_FDS", "1", 1);
	assert_int_equal(channel_inherit(&c, &e), 0);
	set_variables(NULL, "1");
	unsetenv("LISTEN_FDS");
	assert_int_equal(channel_inherit(&c, &e), 0);
	assert_int_equal(c.fd, -1);
	assert_null(c.method);
}

static void refused(const char *text)
{
	struct channel c = {.fd = -1};
	struct err e;

	assert_int_equal(channel_inherit(&c, &e), -1);
	assert_string_equal(e.desc, text);
	assert_null(getenv("LISTEN_FDS"));
	close(INHERITED);
}

static void test_what_is_handed_over_must_fit(void **state)
{
	static const char odd[] = "the inherited socket is not a listening stream socket";
	static const char *const numbers[] = {"x", "", "-1", "1x", " 1", "4294967297"};

	(void)state;
	hand_over(AF_UNIX, SOCK_STREAM, true);
	set_variables(NULL, "2");
	refused("only supports listening on one socket");
	hand_over(AF_UNIX, SOCK_STREAM, false);
	refused(odd);
	hand_over(AF_UNIX, SOCK_DGRAM, false);
	refused(odd);
	hand_over(AF_UNIX, SOCK_SEQPACKET, true);
	refused(odd);
	hand_over(AF_INET, SOCK_STREAM, false);
	refused("unsupported listen fd type");
	set_variables(NULL, "1"); /* and nothing there */
	refused("unsupported listen fd type");
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		char want[64];

		hand_over(AF_UNIX, SOCK_STREAM, true);
		set_variables(NULL, numbers[i]);
		snprintf(want, sizeof(want), "LISTEN_FDS '%s' is no number", numbers[i]);
		refused(want);
	}
}

#define LINE(fn)  cmocka_unit_test_setup_teardown(fn, line_open, line_close)
#define GIVEN(fn) cmocka_unit_test_teardown(fn, drop_socket)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		LINE(test_raw_bytes),
		LINE(test_flags_of_a_line),
		LINE(test_what_waits_in_the_line),
		LINE(test_a_line_is_opened_anew),
		cmocka_unit_test(test_no_line),
		cmocka_unit_test(test_addresses_that_are_none),
		cmocka_unit_test(test_address),
		GIVEN(test_a_socket_is_handed_over),
		GIVEN(test_nothing_for_us),
		GIVEN(test_what_is_handed_over_must_fit),
	};

	return cmocka_run_group_tests_name("channel", tests, NULL, NULL);
}
