/*
 * worker/ops/handle.c - an open file: the op child that opened it stays, with nothing
 * else
 *
 * Runs in:   op children of the worker, sealed twice: no capability, nothing to open
 * Input:     typed requests of the worker; content of the file
 * May touch: the one descriptor; memfds for its content
 * Must not:  read or write beyond what its rule allows
 *
 * Errors and their texts: protocol 3.10 to 3.14. There is no buffer of our own: what was
 * written has reached the kernel, and nothing is lost between a read and the next.
 */
#include "worker/ops/handle.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "ipc/memfd.h"
#include "worker/ops/ops.h"
#include "worker/ops/talk.h"

#define READ_DEFAULT 4096
#define COPY_PIECE   (64u * 1024)

/* One request on its way. */
struct task {
	const struct handle_file *h;
	const void *args;
	int in;
	struct wbuf *out;
	int *data;
	struct err *e;
};

/* ---- content on its way ---- */

/* What became of it. */
struct carried {
	size_t n;                    /* bytes that have arrived */
	bool eof;                    /* there were no more */
	int read_error, write_error; /* errno of the side that failed, or 0 */
};

static void put(struct carried *c, int to, const uint8_t *p, size_t len)
{
	while (len && !c->write_error) {
		ssize_t n = write(to, p, len);

		if (n <= 0) {
			c->write_error = n ? errno : EIO;
			break;
		}
		p += n;
		len -= (size_t)n;
		c->n += (size_t)n;
	}
}

#define WHERE_IT_STANDS (-1)

/*
 * LEN bytes of FROM, from byte AT on or from where it stands, to TO; by way of a buffer
 * that stays in the processor's cache: a fault for each page of a mapped memfd takes
 * longer than to copy it twice.
 */
static struct carried carry(int from, off_t at, int to, size_t len)
{
	CLEANUP(free_p) uint8_t *buf = malloc(COPY_PIECE);
	struct carried c = {.read_error = buf ? 0 : ENOMEM};

	while (c.n < len && !c.eof && !c.read_error && !c.write_error) {
		const size_t most = min_size(COPY_PIECE, len - c.n);
		ssize_t n = at < 0 ? read(from, buf, most)
				   : pread(from, buf, most, at + (off_t)c.n);

		c.eof = n == 0;
		if (n < 0)
			c.read_error = errno;
		else
			put(&c, to, buf, (size_t)n);
	}
	return c;
}

/* ---- read ---- */

/* Bytes from here to the largest size; pipes and terminals are nowhere, and have none. */
static uint64_t room(const struct handle_file *h, off_t at)
{
	if (h->size_max == UINT64_MAX || at < 0)
		return UINT64_MAX;
	return (uint64_t)at < h->size_max ? h->size_max - (uint64_t)at : 0;
}

/*
 * Up to LEN bytes to the memfd: how many, or -1 with errno. What was read is handed on,
 * whatever comes after it. What lies behind the largest size is not read, and not passed
 * off as the end.
 */
static ssize_t read_within(const struct handle_file *h, int memfd, size_t len, bool *eof)
{
	uint64_t most = room(h, lseek(h->fd, 0, SEEK_CUR));
	struct carried c = carry(h->fd, WHERE_IT_STANDS, memfd, min_size(len, most));
	uint8_t more;

	*eof = c.eof;
	errno = c.write_error ? c.write_error : c.read_error;
	if (c.write_error || (c.read_error && !c.n))
		return -1;
	if (c.n < most || len <= most)
		return (ssize_t)c.n;
	if (read(h->fd, &more, 1) <= 0) {
		*eof = true;
		return (ssize_t)c.n;
	}
	errno = EFBIG;
	return -1;
}

/* A memfd with up to LEN bytes, *N of them. It, or -1 with errno. */
static int read_memfd(const struct handle_file *h, size_t len, ssize_t *n, bool *eof)
{
	CLEANUP(close_p) int fd = memfd_open("postern-data");

	if (fd < 0)
		return -1;
	*n = read_within(h, fd, len, eof);
	if (*n < 0 || memfd_seal(fd) < 0)
		return -1;
	return TAKE_FD(fd);
}

static int do_read(const struct task *t)
{
	const struct msg_file_read *q = t->args;
	struct msg_file_read_result r = {.count = V_INT(0), .eof = V_BOOL(false)};
	int64_t count = q->count.set ? q->count.v : READ_DEFAULT;
	ssize_t n = 0;

	if (count < 0 || count > HANDLE_READ_MAX)
		return err_set(t->e, ERR_GENERIC,
			       "value '%lld' is invalid for argument count",
			       (long long)count);
	*t->data = count ? read_memfd(t->h, (size_t)count, &n, &r.eof.v)
			 : memfd_of("postern-data", "", 0);
	if (*t->data < 0)
		return err_sys(t->e, errno, "failed to read file");
	r.count.v = n;
	r.buf_b64 = (struct v_bulk){.size = (uint64_t)n, .set = true};
	schema_put(t->out, &schema_file_read_result, &r);
	return 0;
}

/* ---- write ---- */

/* Where the next byte would go; -1: nowhere in particular. */
static off_t write_position(int fd)
{
	struct stat st;

	if (!(fcntl(fd, F_GETFL) & O_APPEND))
		return lseek(fd, 0, SEEK_CUR);
	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? st.st_size : -1;
}

/*
 * The first LEN bytes of the content in IN: bytes written, or -1 with errno. What does
 * not fit is refused as a whole, unless others write to the file at the same time: then
 * what still fitted was written.
 */
static ssize_t write_all(const struct handle_file *h, int in, size_t len)
{
	struct carried c;

	if (len > room(h, write_position(h->fd))) {
		errno = EFBIG;
		return -1;
	}
	/* Whoever has it as well could move where it stands. */
	c = carry(in, 0, h->fd, len);
	errno = c.write_error ? c.write_error : c.read_error ? c.read_error : EIO;
	if (c.n == len || (c.n && (c.write_error == EAGAIN || c.write_error == EFBIG)))
		return (ssize_t)c.n;
	return -1;
}

/* What came along is content of SIZE bytes, and stays as it is. */
static int content_fits(int in, uint64_t size)
{
	off_t len = size ? memfd_sealed_size(in) : 0;

	if (len >= 0 && (uint64_t)len == size)
		return 0;
	errno = EINVAL;
	return -1;
}

static int do_write(const struct task *t)
{
	const struct msg_file_write *q = t->args;
	struct msg_file_write_result r = {.eof = V_BOOL(false)};
	int64_t count = q->count.set ? q->count.v : (int64_t)q->buf_b64.size;
	ssize_t n;

	if (count < 0 || (uint64_t)count > q->buf_b64.size)
		return err_set(t->e, ERR_GENERIC,
			       "value '%lld' is invalid for argument count",
			       (long long)count);
	n = content_fits(t->in, q->buf_b64.size);
	if (n == 0)
		n = write_all(t->h, t->in, (size_t)count);
	if (n < 0)
		return err_sys(t->e, errno, "failed to write to file");
	r.count = V_INT(n);
	schema_put(t->out, &schema_file_write_result, &r);
	return 0;
}

/* ---- the rest ---- */

static int do_seek(const struct task *t)
{
	/* The protocol's numbers, which are also the places of the names. */
	static const int whence[] = {SEEK_SET, SEEK_CUR, SEEK_END};
	const struct msg_file_seek *q = t->args;
	struct msg_file_seek_result r = {.eof = V_BOOL(false)};
	off_t at;

	if (q->whence.v < 0 || (size_t)q->whence.v >= ARRAY_SIZE(whence))
		return err_set(t->e, ERR_GENERIC, "invalid whence code %lld",
			       (long long)q->whence.v);
	at = lseek(t->h->fd, q->offset.v, whence[q->whence.v]);
	if (at < 0)
		return err_sys(t->e, errno, "failed to seek file");
	r.position = V_INT(at);
	schema_put(t->out, &schema_file_seek_result, &r);
	return 0;
}

/* Nothing is held back, so there is nothing to hand on. */
static int do_flush(const struct task *t)
{
	(void)t;
	return 0;
}

static int do_close(const struct task *t)
{
	return close(t->h->fd) < 0 ? err_sys(t->e, errno, "failed to close handle") : 0;
}

int handle_do(const struct handle_file *h, uint32_t op, const void *args, int in,
	      struct wbuf *out, int *data, struct err *e)
{
	static int (*const tasks[OP_MAX])(const struct task *t) = {
		[OP_file_read] = do_read,   [OP_file_write] = do_write,
		[OP_file_seek] = do_seek,   [OP_file_flush] = do_flush,
		[OP_file_close] = do_close,
	};
	const struct task t = {h, args, in, out, data, e};

	*data = -1;
	return tasks[op](&t);
}

static void serve_one(const struct handle_file *h, struct frame *f)
{
	uint8_t buf[256], args_mem[256];
	struct wbuf out = wbuf_fixed(buf, sizeof(buf));
	struct arena arena = {.p = args_mem, .cap = sizeof(args_mem)};
	struct rbuf r = rbuf_of(f->body, f->len);
	const struct op *op = op_by_number(f->op);
	_Alignas(max_align_t) uint8_t args[256];
	CLEANUP(close_p) int data = -1;
	struct err e = {0};

	if (op->args->size > sizeof(args) || schema_get(&r, op->args, &arena, args) < 0)
		_exit(1);
	if (handle_do(h, f->op, args, f->fds[0], &out, &data, &e) < 0)
		talk_error(f->op, &e);
	else
		talk_send(&(struct frame){
			.type = FRAME_REPLY,
			.op = f->op,
			.body = out.p,
			.len = (uint32_t)out.len,
			.n_fds = data >= 0,
			.fds = {data, -1},
		});
}

_Noreturn void handle_serve(const struct handle_file *h)
{
	uint8_t buf[FRAME_MAX];
	struct frame f = {0};

	while (f.op != OP_file_close) {
		talk_receive(buf, &f);
		serve_one(h, &f);
		frame_close_fds(&f);
	}
	_exit(0);
}
