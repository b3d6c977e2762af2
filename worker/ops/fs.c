/*
 * worker/ops/fs.c - superblocks: hold what is to be frozen, thaw what is on no record,
 * trim
 *
 * Runs in:   an op child of the worker, with the capabilities to reach any mount
 * Input:     mount points that the host names; the worker's word on each that was met
 * May touch: mounted file systems: opened for reading; FITHAW, FITRIM
 * Must not:  freeze; hold one, or trim it, that the worker does not want
 */
#include <limits.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include "ipc/launch.h"
#include "worker/fork.h"
#include "worker/ops/ops.h"
#include "worker/ops/reach.h"
#include "worker/ops/talk.h"

/* Each FITHAW takes back one FIFREEZE, where the kernel counts them. */
#define THAWS_MAX 8

/* Tests must never touch the machine that they run on. */
#ifdef POSTERN_TEST_OPS
#define ONLY_SCRATCH true
#else
#define ONLY_SCRATCH false
#endif

static bool is_refused(const struct superblock *sb)
{
	return ONLY_SCRATCH && !superblock_is_scratch(sb);
}

static void superblocks_p(struct superblocks *all)
{
	superblocks_done(all);
}

/* ---- asking ---- */

/* Does the worker want superblock SB, of which it is shown mount M? */
static bool is_wanted(uint32_t op, const struct superblock *sb, const struct sb_mount *m)
{
	const struct msg_fs_found found = {
		.point = v_str(m->point),
		.type = v_str(sb->type),
	};
	struct msg_fs_may may = {0};
	struct talk_question q = {
		.asks = &schema_fs_found,
		.question = &found,
		.answers = &schema_fs_may,
		.answer = &may,
	};

	talk_ask(op, &q);
	free(q.buf);
	return may.wanted.v;
}

static bool is_named(const struct v_list *names, const char *point)
{
	const struct v_str *v = names->v;
	size_t len = strlen(point);

	for (uint32_t i = 0; i < names->n; i++)
		if (v[i].len == len && memcmp(v[i].p, point, len) == 0)
			return true;
	return false;
}

/* The first mount of SB that the worker wants, of those that are NAMES (if any are). */
static const struct sb_mount *ask(uint32_t op, const struct superblock *sb,
				  const struct v_list *names)
{
	for (const struct sb_mount *m = sb->mounts; m; m = m->next)
		if ((!names->set || is_named(names, m->point)) && is_wanted(op, sb, m))
			return m;
	return NULL;
}

/* ---- holding ---- */

/* Hold SB, of which the worker wants the mount at POINT. Hidden as a whole, it is not. */
static int hold(const struct sys *sys, const struct superblock *sb, const char *point,
		struct err *e)
{
	CLEANUP(wbuf_free) struct wbuf body = wbuf_growing(FRAME_BODY_MAX);
	struct reached r = reach(sys, sb, true);

	if (r.fd < 0 && !r.errnum)
		return 0;
	if (r.fd < 0)
		return err_sys(e, r.errnum, "failed to %s %s",
			       r.detaching ? "freeze" : "open", point);
	schema_put(&body, &schema_fs_held,
		   &(struct msg_fs_held){
			   .point = v_str(point),
			   .dev = V_U64(sb->dev),
		   });
	talk_send(&(struct frame){
		.type = FRAME_HOLD,
		.op = OP_fs_list,
		.body = body.p,
		.len = (uint32_t)body.len,
		.n_fds = 1,
		.fds = {r.fd, -1},
	});
	close_p(&r.fd);
	return 0;
}

int child_fs_list(const struct sys *sys, const void *args, struct wbuf *out,
		  struct err *e)
{
	const struct msg_freeze_list *q = args;
	CLEANUP(superblocks_p) struct superblocks all = {0};
	const struct sb_mount *m;

	if (superblocks_read(&all, sys, e) < 0 || superblocks_sort(&all, e) < 0)
		return -1;
	for (uint32_t i = 0; i < all.n; i++) {
		if (all.v[i]->read_only)
			continue;
		m = ask(OP_fs_list, all.v[i], &q->mountpoints);
		if (m && is_refused(all.v[i]))
			return err_set(e, ERR_GENERIC,
				       "refused by the test build: %s is no loop device",
				       m->point);
		if (m && hold(sys, all.v[i], m->point, e) < 0)
			return -1;
	}
	schema_put(out, &schema_empty, &(struct msg_empty){});
	return 0;
}

/* ---- thawing ---- */

static bool thaw(const struct sys *sys, const struct superblock *sb)
{
	struct reached r = reach(sys, sb, false);
	int done = 0;

	while (r.fd >= 0 && done < THAWS_MAX && sys->ops->ioctl(r.fd, FITHAW, NULL) == 0)
		done++;
	close_p(&r.fd);
	return done > 0;
}

static bool is_meant(const struct v_list *devs, dev_t dev)
{
	const struct msg_fs_dev *v = devs->v;

	for (uint32_t i = 0; i < devs->n; i++)
		if (v[i].dev.v == dev)
			return true;
	return !devs->set;
}

int child_fs_rescue(const struct sys *sys, const void *args, struct wbuf *out,
		    struct err *e)
{
	const struct msg_fs_rescue *q = args;
	CLEANUP(superblocks_p) struct superblocks all = {0};
	struct msg_integer thawed = {V_INT(0)};

	if (superblocks_read(&all, sys, e) < 0 || superblocks_sort(&all, e) < 0)
		return -1;
	for (uint32_t i = all.n; i-- > 0;)
		if (is_meant(&q->devs, all.v[i]->dev) && !is_refused(all.v[i]))
			thawed.value.v += thaw(sys, all.v[i]);
	schema_put(out, &schema_integer, &thawed);
	return 0;
}

/* ---- trimming ---- */

/* What went wrong, as the reference says it. */
static struct v_str trim_error(struct arena *a, bool opened, int errnum)
{
	struct err e;
	size_t size;
	char *text;

	if (opened && (errnum == ENOTTY || errnum == EOPNOTSUPP))
		return v_str("trim not supported");
	err_sys(&e, errnum, "failed to %s", opened ? "trim" : "open");
	size = strlen(e.desc) + 1;
	text = arena_take(a, size);
	return v_str(text ? memcpy(text, e.desc, size) : "failed to trim");
}

/* False: there is nothing to tell of it. */
static bool trim(struct superblocks *all, const struct superblock *sb, uint64_t minimum,
		 struct msg_trim_path *result)
{
	const struct sb_mount *m = ask(OP_fstrim, sb, &(struct v_list){});
	struct fstrim_range range = {.len = ULLONG_MAX, .minlen = minimum};
	struct reached r;
	int done;

	if (!m)
		return false;
	r = reach(all->sys, sb, false);
	if (r.fd < 0 && !r.errnum)
		return false;
	*result = (struct msg_trim_path){.path = v_str(m->point)};
	done = r.fd < 0 ? -1 : all->sys->ops->ioctl(r.fd, FITRIM, &range);
	if (done < 0) {
		result->error =
			trim_error(&all->arena, r.fd >= 0, r.fd < 0 ? r.errnum : errno);
	} else {
		result->trimmed = V_INT((int64_t)range.len);
		result->minimum = V_INT((int64_t)range.minlen);
	}
	close_p(&r.fd);
	return true;
}

int child_fstrim(const struct sys *sys, const void *args, struct wbuf *out, struct err *e)
{
	const struct msg_fstrim *q = args;
	const uint64_t minimum = q->minimum.set ? (uint64_t)q->minimum.v : 0;
	CLEANUP(superblocks_p) struct superblocks all = {0};
	struct msg_trim_path paths[SUPERBLOCKS_MAX];
	struct msg_trim_result result = {.paths = {.v = paths, .set = true}};

	if (superblocks_read(&all, sys, e) < 0)
		return -1;
	for (uint32_t i = all.n; i-- > 0;)
		if (!is_refused(all.v[i]))
			result.paths.n +=
				trim(&all, all.v[i], minimum, &paths[result.paths.n]);
	schema_put(out, &schema_trim_result, &result);
	return 0;
}
