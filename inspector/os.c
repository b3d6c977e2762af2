/*
 * inspector/os.c - what runs here: operating system, host name, time, time zone
 *
 * Runs in:   inspector
 * Input:     os-release and time zone files of the guest; any bytes
 * May touch: those files, read-only; the clock, uname
 * Must not:  believe a file's structure
 */
#include <stdio.h>
#include <string.h>

#include "inspector/inspector.h"
#include "inspector/osrelease.h"
#include "inspector/tz.h"

#define NSEC_PER_SEC  1000000000
#define NSEC_PER_USEC 1000

static int wall_clock(struct inspector *in, struct timespec *ts, struct err *e)
{
	if (in->sys.ops->clock_gettime(CLOCK_REALTIME, ts) < 0)
		return err_sys(e, errno, "Failed to get time");
	return 0;
}

int inspect_get_time(struct inspector *in, const struct msg_empty *args,
		     struct msg_integer *result, struct err *e)
{
	struct timespec ts;

	(void)args;
	if (wall_clock(in, &ts, e) < 0)
		return -1;
	/* Microseconds, as the reference has them (protocol 3.5). */
	result->value = V_INT((int64_t)ts.tv_sec * NSEC_PER_SEC +
			      ts.tv_nsec / NSEC_PER_USEC * NSEC_PER_USEC);
	return 0;
}

/* uname's text, which lives in the arena. */
static struct utsname *kernel_names(struct inspector *in, struct err *e)
{
	struct utsname *u = arena_take(&in->arena, sizeof(*u));

	if (!u || in->sys.ops->uname(u) < 0) {
		err_sys(e, u ? errno : ENOMEM, "Failed to get the names of the kernel");
		return NULL;
	}
	return u;
}

int inspect_get_host_name(struct inspector *in, const struct msg_empty *args,
			  struct msg_host_name *result, struct err *e)
{
	const struct utsname *u = kernel_names(in, e);

	(void)args;
	if (!u)
		return -1;
	result->host_name = v_str(u->nodename);
	return 0;
}

static bool os_release(struct inspector *in, const char *path, struct msg_osinfo *result)
{
	size_t len;
	char *text = inspect_read(in, path, INSPECT_FILE_MAX, &len);

	return text && osrelease_parse(text, len, result) == 0;
}

int inspect_get_osinfo(struct inspector *in, const struct msg_empty *args,
		       struct msg_osinfo *result, struct err *e)
{
	const struct utsname *u = kernel_names(in, e);

	(void)args;
	if (!u)
		return -1;
	result->kernel_release = v_str(u->release);
	result->kernel_version = v_str(u->version);
	result->machine = v_str(u->machine);
	/* Without a file that can be understood the kernel's names are the answer. */
	if (in->os_release)
		os_release(in, in->os_release, result);
	else if (!os_release(in, "/etc/os-release", result))
		os_release(in, "/usr/lib/os-release", result);
	return 0;
}

static bool zone_of_file(struct inspector *in, const char *path, int64_t now,
			 struct tz_local *tz)
{
	size_t len;
	const char *file = inspect_read(in, path, INSPECT_FILE_MAX, &len);

	return file && tz_of_file(file, len, now, tz);
}

/* What TZ says: a file, by its path or by its name in the database, or a rule. */
static bool zone_of_variable(struct inspector *in, const char *value, int64_t now,
			     struct tz_local *tz)
{
	char path[256];
	int len;

	if (*value == ':')
		value++;
	len = snprintf(path, sizeof(path), "%s%s",
		       *value == '/' ? "" : "/usr/share/zoneinfo/", value);
	if (len < (int)sizeof(path) && zone_of_file(in, path, now, tz))
		return true;
	return tz_of_rule(value, strlen(value), now, tz);
}

int inspect_get_timezone(struct inspector *in, const struct msg_empty *args,
			 struct msg_timezone *result, struct err *e)
{
	struct tz_local tz;
	struct timespec ts;
	bool known;

	(void)args;
	if (wall_clock(in, &ts, e) < 0)
		return -1;
	known = in->tz ? zone_of_variable(in, in->tz, ts.tv_sec, &tz)
		       : zone_of_file(in, "/etc/localtime", ts.tv_sec, &tz);
	if (!known)
		tz = (struct tz_local){.zone = "UTC", .zone_len = strlen("UTC")};
	result->zone = (struct v_str){
		.p = tz.zone, .len = (uint32_t)tz.zone_len, .set = tz.zone_len > 0};
	result->offset = V_INT(tz.offset);
	return 0;
}
