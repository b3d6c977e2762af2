/*
 * ctl/policy.c - the policy as posternctl reads it
 *
 * Runs in:   posternctl, as the user who calls it
 * Input:     policy files: any bytes
 * May touch: memory of its own; the files, read-only
 * Must not:  be more lenient than the agent
 */
#include "ctl/policy.h"

#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "ctl/ctl.h"
#include "policy/files.h"

bool policy_option(struct policy_options *o, int c)
{
	if (c == 'r')
		o->root = optarg;
	else if (c == 'p')
		o->profile = optarg;
	else if (c == 'j')
		o->json = true;
	return c == 'r' || c == 'p' || c == 'j';
}

int policy_option_wrong(const char *verb, const char *option)
{
	return ctl_fail("%s: unknown option or missing value: '%s' "
			"(try: posternctl %s --help)",
			verb, option, verb);
}

/* A file that was named: its owner and mode are the caller's business. */
static int add_named(struct source *s, const char *path)
{
	CLEANUP(close_p) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	char text[SOURCE_FILE_MAX + 1];
	size_t len = 0;
	ssize_t n = -1;

	while (fd >= 0 && (n = read(fd, text + len, sizeof(text) - len)) > 0)
		len += (size_t)n;
	if (n < 0)
		return ctl_fail("%s: %s", path, strerror(errno)), -1;
	source_add(s, path, text, len);
	return 0;
}

static int add_profile(struct source *s, const char *name)
{
	char text[128];

	snprintf(text, sizeof(text), "[policy]\nbase = %s\n", name);
	source_add(s, "--profile", text, strlen(text));
	return 0;
}

static int add_installed(struct source *s, const char *root)
{
	CLEANUP(close_p)
	int fd = open(root ? root : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return ctl_fail("%s: %s", root, strerror(errno)), -1;
	files_read(fd, getuid(), s);
	return 0;
}

static int add_all(struct source *s, const struct policy_options *o)
{
	if (o->profile)
		return add_profile(s, o->profile);
	if (!o->n_files)
		return add_installed(s, o->root);
	for (int i = 0; i < o->n_files; i++)
		if (add_named(s, o->files[i]) < 0)
			return -1;
	return 0;
}

static int begin(struct loaded *l)
{
	*l = (struct loaded){.source = source_new(), .image = wbuf_growing(IMAGE_MAX)};
	return l->source ? 0 : (ctl_fail("out of memory"), -1);
}

static int build(struct loaded *l)
{
	if (source_build(l->source, &l->image) < 0)
		return 1;
	if (policy_open(&l->policy, l->image.p, l->image.len) < 0)
		return ctl_fail("the policy that was built is not one"), -1;
	return 0;
}

int loaded_read(struct loaded *l, const struct policy_options *o)
{
	if (begin(l) < 0 || add_all(l->source, o) < 0)
		return -1;
	return build(l);
}

int loaded_text(struct loaded *l, const char *file, const struct wbuf *text)
{
	if (begin(l) < 0)
		return -1;
	if (!add_profile(l->source, "none"))
		source_add(l->source, file, (const char *)text->p, text->len);
	return build(l);
}

int loaded_image(struct loaded *l, int fd)
{
	struct stat st;
	uint8_t *room;

	*l = (struct loaded){.image = wbuf_growing(IMAGE_MAX)};
	if (fstat(fd, &st) < 0 || st.st_size <= 0 || st.st_size > IMAGE_MAX)
		return ctl_fail("the agent's policy is none"), -1;
	room = wbuf_room(&l->image, (size_t)st.st_size);
	if (!room || pread(fd, room, (size_t)st.st_size, 0) != st.st_size)
		return ctl_fail("the agent's policy cannot be read"), -1;
	if (policy_open(&l->policy, l->image.p, l->image.len) < 0)
		return ctl_fail("the agent's policy is none"), -1;
	return 0;
}

int loaded_good(struct loaded *l, const struct policy_options *o)
{
	const struct source_error *e;
	int r = loaded_read(l, o);
	size_t n = r > 0 ? source_errors(l->source, &e) : 0;

	for (size_t i = 0; i < n; i++)
		fprintf(stderr, "%s:%u: %s\n", e[i].file, e[i].line, e[i].what);
	if (r > 0)
		ctl_fail("the policy has mistakes; the agent would be locked down");
	return r ? -1 : 0;
}

void loaded_done(struct loaded *l)
{
	source_free(l->source);
	wbuf_free(&l->image);
}
