/*
 * tests/unit/test_handle.c - an open file, and the accounts that a new one may belong to
 *
 * Runs in:   a test
 * Input:     a memfd as the file, a pipe, a directory of its own as root
 * May touch: these
 * Must not:  open a file of the machine
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "ipc/body.h"
#include "ipc/memfd.h"
#include "worker/ops/account.h"
#include "worker/ops/handle.h"

struct fixture {
	struct handle_file h;
	struct err e;
	uint8_t buf[256];
	struct wbuf out;
	int data;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	f->h = (struct handle_file){memfd_create("file", MFD_CLOEXEC), UINT64_MAX};
	f->data = -1;
	*state = f;
	return f->h.fd < 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	close(f->h.fd);
	close_p(&f->data);
	free(f);
	return 0;
}

static int call(struct fixture *f, uint32_t op, const void *args, int in)
{
	close_p(&f->data);
	f->out = wbuf_fixed(f->buf, sizeof(f->buf));
	f->e = (struct err){0};
	return handle_do(&f->h, op, args, in, &f->out, &f->data, &f->e);
}

/* Write TEXT, COUNT bytes of it (-1: all). The count of the result, or -1. */
static int64_t put(struct fixture *f, const char *text, int64_t count)
{
	int in = memfd_of("in", text, strlen(text));
	struct msg_file_write q = {.buf_b64 = {.size = strlen(text), .set = true}};
	struct msg_file_write_result r;
	struct rbuf at;
	int done;

	if (count != -1)
		q.count = V_INT(count);
	done = call(f, OP_file_write, &q, in);
	close(in);
	if (done < 0)
		return -1;
	at = rbuf_of(f->out.p, f->out.len);
	assert_int_equal(schema_get(&at, &schema_file_write_result, NULL, &r), 0);
	assert_false(r.eof.v);
	return r.count.v;
}

/* Read COUNT bytes: TEXT, and whether the end was met. */
static void gives(struct fixture *f, int64_t count, const char *text, bool eof)
{
	const struct msg_file_read q = {.count = V_INT(count)};
	struct msg_file_read_result r;
	struct body body;
	struct rbuf at;

	assert_int_equal(call(f, OP_file_read, &q, -1), 0);
	at = rbuf_of(f->out.p, f->out.len);
	assert_int_equal(schema_get(&at, &schema_file_read_result, NULL, &r), 0);
	assert_int_equal(r.count.v, strlen(text));
	assert_int_equal(r.eof.v, eof);
	/* Sealed, and as large as it says. */
	assert_int_equal(body_map(f->data, &body), 0);
	assert_int_equal(rbuf_left(&body.r), r.buf_b64.size);
	if (*text)
		assert_memory_equal(body.r.p, text, strlen(text));
	body_release(&body);
}

static int64_t seek(struct fixture *f, int64_t offset, int64_t whence)
{
	const struct msg_file_seek q = {
		.offset = V_INT(offset),
		.whence = {.v = whence, .set = true},
	};
	struct msg_file_seek_result r;
	struct rbuf at;

	if (call(f, OP_file_seek, &q, -1) < 0)
		return -1;
	at = rbuf_of(f->out.p, f->out.len);
	assert_int_equal(schema_get(&at, &schema_file_seek_result, NULL, &r), 0);
	assert_false(r.eof.v);
	return r.position.v;
}

static void read_write_seek(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(put(f, "hello world", -1), 11);
	gives(f, 5, "", true);
	assert_int_equal(seek(f, 0, 0), 0);
	gives(f, 5, "hello", false);
	assert_int_equal(seek(f, 1, 1), 6);
	/* Exactly the rest is not the end yet. */
	gives(f, 5, "world", false);
	gives(f, 0, "", false);
	gives(f, 5, "", true);
	assert_int_equal(seek(f, -5, 2), 6);
	assert_int_equal(put(f, "W-------", 1), 1);
	gives(f, 100, "orld", true);
	/* What is behind the end is a hole. */
	assert_int_equal(seek(f, 1, 2), 12);
	assert_int_equal(put(f, "x", -1), 1);
	assert_int_equal(seek(f, 11, 0), 11);
	assert_int_equal(call(f, OP_file_flush, NULL, -1), 0);
}

static void mistakes(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(put(f, "ab", 3), -1);
	assert_string_equal(f->e.desc, "value '3' is invalid for argument count");
	assert_int_equal(put(f, "ab", -2), -1);
	assert_int_equal(
		call(f, OP_file_read, &(struct msg_file_read){.count = V_INT(-1)}, -1),
		-1);
	assert_int_equal(
		call(f, OP_file_read,
		     &(struct msg_file_read){.count = V_INT(HANDLE_READ_MAX + 1)}, -1),
		-1);
	assert_string_equal(f->e.desc, "value '50331649' is invalid for argument count");
	assert_int_equal(seek(f, 0, 3), -1);
	assert_string_equal(f->e.desc, "invalid whence code 3");
	assert_int_equal(seek(f, -1, 0), -1);
	assert_string_equal(f->e.desc, "failed to seek file: Invalid argument");
}

static void no_byte_beyond_its_size(void **state)
{
	struct fixture *f = *state;

	f->h.size_max = 8;
	assert_int_equal(put(f, "123456789", -1), -1);
	assert_string_equal(f->e.desc, "failed to write to file: File too large");
	assert_int_equal(put(f, "12345678", -1), 8);
	assert_int_equal(put(f, "9", -1), -1);
	assert_int_equal(seek(f, 4, 0), 4);
	assert_int_equal(put(f, "56789", -1), -1);
	assert_int_equal(put(f, "5678", -1), 4);
	assert_int_equal(seek(f, 1 << 20, 0), 1 << 20);
	assert_int_equal(put(f, "x", -1), -1);
	assert_int_equal(seek(f, 0, 0), 0);
	gives(f, 100, "12345678", true);
	/* Somebody else makes it longer. */
	assert_int_equal(pwrite(f->h.fd, "9", 1, 8), 1);
	assert_int_equal(seek(f, 0, 0), 0);
	gives(f, 8, "12345678", false);
	assert_int_equal(
		call(f, OP_file_read, &(struct msg_file_read){.count = V_INT(1)}, -1),
		-1);
	assert_string_equal(f->e.desc, "failed to read file: File too large");
}

static void append_goes_to_the_end(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(put(f, "123", -1), 3);
	assert_int_equal(fcntl(f->h.fd, F_SETFL, O_APPEND), 0);
	assert_int_equal(seek(f, 0, 0), 0);
	assert_int_equal(put(f, "45", -1), 2);
	assert_int_equal(seek(f, 0, 0), 0);
	gives(f, 100, "12345", true);
	f->h.size_max = 6;
	assert_int_equal(seek(f, 0, 0), 0);
	assert_int_equal(put(f, "67", -1), -1);
	assert_int_equal(put(f, "6", -1), 1);
}

/* What was read is not lost because there is no more (the reference does lose it). */
static void a_pipe_gives_what_it_has(void **state)
{
	struct fixture *f = *state;
	int ends[2];

	close(f->h.fd);
	assert_int_equal(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
	f->h = (struct handle_file){ends[0], 4};
	assert_int_equal(write(ends[1], "hello", 5), 5);
	gives(f, 100, "hello", false);
	assert_int_equal(
		call(f, OP_file_read, &(struct msg_file_read){.count = V_INT(1)}, -1),
		-1);
	assert_string_equal(f->e.desc,
			    "failed to read file: Resource temporarily unavailable");
	assert_int_equal(seek(f, 0, 0), -1);
	assert_string_equal(f->e.desc, "failed to seek file: Illegal seek");
	close(ends[1]);
	gives(f, 100, "", true);
}

static void content_that_is_not_sealed(void **state)
{
	struct fixture *f = *state;
	const struct msg_file_write q = {.buf_b64 = {.size = 3, .set = true}};
	int in = memfd_create("in", MFD_CLOEXEC);

	assert_int_equal(write(in, "abc", 3), 3);
	assert_int_equal(call(f, OP_file_write, &q, in), -1);
	close(in);
	in = memfd_of("in", "abcd", 4);
	assert_int_equal(call(f, OP_file_write, &q, in), -1);
	close(in);
}

/* ---- accounts ---- */

static const struct owner_row {
	const char *owner;
	int result;
	uid_t uid;
	gid_t gid;
} owners[] = {
	{"", 0, 0, 0},
	{"web", 0, 33, 34},
	{"web:adm", 0, 33, 4},
	{":adm", 0, 0, 4},
	{"web:", 0, 33, 34},
	{"1000:1001", 0, 1000, 1001},
	{"7", 0, 7, 0},
	{"we", -1, 0, 0},
	{"webb", -1, 0, 0},
	{"web:no", -1, 0, 0},
	{"broken", -1, 0, 0},
	{"4294967295", -1, 0, 0},
	{"99999999999999999999", -1, 0, 0},
	{"-1", -1, 0, 0},
};

static void owners_by_name_or_number(void **state)
{
	static const char passwd[] = "root:x:0:0:root:/root:/bin/bash\n"
				     "web:x:33:34::/:/bin/false\nbroken:x:x:1::/:\n"
				     "short\nlast:x:5:6::/:";
	static const char group[] = "root:x:0:\nadm:x:4:syslog\n";
	char dir[] = "/tmp/postern-account-XXXXXX", path[64];
	struct sys sys;
	FILE *file;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/etc", dir);
	assert_int_equal(mkdir(path, 0755), 0);
	snprintf(path, sizeof(path), "%s/etc/passwd", dir);
	file = fopen(path, "w");
	fputs(passwd, file);
	fclose(file);
	snprintf(path, sizeof(path), "%s/etc/group", dir);
	file = fopen(path, "w");
	fputs(group, file);
	fclose(file);
	sys.root_fd = open(dir, O_RDONLY | O_DIRECTORY);
	for (size_t i = 0; i < ARRAY_SIZE(owners); i++) {
		const struct owner_row *row = &owners[i];
		struct v_str owner = v_str(row->owner);
		struct err e;
		uid_t uid;
		gid_t gid;

		assert_int_equal(account_owner(&sys, &owner, &uid, &gid, &e),
				 row->result);
		if (row->result < 0)
			continue;
		assert_int_equal(uid, row->uid);
		assert_int_equal(gid, row->gid);
	}
	close(sys.root_fd);
	unlink(path);
	snprintf(path, sizeof(path), "%s/etc/passwd", dir);
	unlink(path);
	snprintf(path, sizeof(path), "%s/etc", dir);
	rmdir(path);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(read_write_seek, setup, teardown),
		cmocka_unit_test_setup_teardown(mistakes, setup, teardown),
		cmocka_unit_test_setup_teardown(no_byte_beyond_its_size, setup, teardown),
		cmocka_unit_test_setup_teardown(append_goes_to_the_end, setup, teardown),
		cmocka_unit_test_setup_teardown(a_pipe_gives_what_it_has, setup,
						teardown),
		cmocka_unit_test_setup_teardown(content_that_is_not_sealed, setup,
						teardown),
		cmocka_unit_test(owners_by_name_or_number),
	};

	return cmocka_run_group_tests_name("handle", tests, NULL, NULL);
}
