/*
 * supervisor/config.c - everything that the agent was told, in its order
 *
 * Runs in:   supervisor, root
 * Input:     qemu-ga.conf, environment and command line; the guest's administrator's
 * May touch: the configuration file, for reading
 * Must not:  run a shell, print
 */
#include "supervisor/config.h"

#include <ctype.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "supervisor/keyfile.h"

#define DEFAULT_CONFIG "/etc/qemu/qemu-ga.conf"

/* ---- the file ---- */

/* Others could take a block list out of it. The reference does not look. */
static void check_owner(struct options *o, const char *path, const struct stat *st)
{
	if (st->st_mode & (S_IWGRP | S_IWOTH))
		options_warn(o, "%s: others than its owner may write it", path);
	if (st->st_uid != 0 && st->st_uid != geteuid())
		options_warn(o, "%s: its owner is user %u, not root", path, st->st_uid);
}

/* Bytes of the file FD into TEXT (CONFIG_MAX + 1); their count, or -1 with errno. */
static ssize_t read_text(int fd, char *text)
{
	size_t len = 0;
	ssize_t n;

	do {
		n = read(fd, text + len, CONFIG_MAX + 1 - len);
		if (n < 0)
			return -1;
		len += (size_t)n;
	} while (n > 0 && len <= CONFIG_MAX);
	errno = EFBIG;
	return len <= CONFIG_MAX ? (ssize_t)len : -1;
}

static int read_entries(struct options *o, const char *path, char *text, size_t len,
			struct err *e)
{
	struct keyfile k;
	int r = keyfile_start(&k, text, len, e);

	while (r == 0 && (r = keyfile_next(&k, e)) > 0) {
		struct err inner;

		if (!streq(k.group, "general")) {
			options_warn(o,
				     "%s, line %u: nothing in group '%s' is read, "
				     "only 'general'",
				     path, k.line, k.group);
			r = 0;
			continue;
		}
		r = options_key(o, k.key, k.value, &inner);
		if (r < 0)
			return err_set(e, ERR_GENERIC, "line %u: %s", k.line, inner.desc);
		if (r == 0)
			options_warn(o,
				     "%s, line %u: there is no key '%s', ignored; the "
				     "closest is '%s'",
				     path, k.line, k.key, options_closest_key(k.key));
		r = 0;
	}
	return r;
}

/* 0, also if there is none; -1 with E filled. */
static int read_file(struct options *o, const char *path, bool required, struct err *e)
{
	CLEANUP(close_p)
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;
	ssize_t len;
	char *text;

	if (fd < 0 && errno == ENOENT && !required)
		return 0;
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, errno, "cannot open");
	text = options_own(o, calloc(1, CONFIG_MAX + 1));
	if (!text)
		return err_sys(e, ENOMEM, "cannot read");
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_GENERIC, "not a regular file");
	len = read_text(fd, text);
	if (len < 0)
		return err_sys(e, errno, "cannot read");
	check_owner(o, path, &st);
	return read_entries(o, path, text, (size_t)len, e);
}

static int load_file(struct options *o, const char *given, struct err *e)
{
	const char *variable = getenv("QGA_CONF");
	const char *path = given ? given : variable ? variable : DEFAULT_CONFIG;
	struct err inner;

	if (read_file(o, path, given != NULL, &inner) == 0)
		return 0;
	return err_set(e, ERR_GENERIC, "error loading configuration from path: %s, %s",
		       path, inner.desc);
}

/* ---- the environment ---- */

/* One source of words, as main gets them: [0] is the program, NULL is the last. */
struct words {
	const char *variable; /* NULL: the command line */
	int argc;
	char **argv;
};

/* Cut the shell words of TEXT out of it, into ARGV behind what is there. */
static int split(char *text, struct words *w, struct err *e)
{
	const char *in = text;
	char *out = text;

	while (in += strspn(in, " \t\n"), *in) {
		int quote = 0; /* the character that ends it */
		bool more;

		w->argv[w->argc++] = out;
		for (; *in && (quote || !isspace((unsigned char)*in)); in++) {
			if (quote ? *in == quote : *in == '\'' || *in == '"')
				quote = quote ? 0 : *in;
			else if (*in == '\\' && quote != '\'' && in[1])
				*out++ = *++in;
			else
				*out++ = *in;
		}
		if (quote)
			return err_set(e, ERR_GENERIC, "a quote is not closed");
		more = *in; /* OUT may be where IN is */
		*out++ = '\0';
		in += more;
	}
	return 0;
}

static int as_options(const char *option, char *value, struct words *w, struct err *e)
{
	(void)option;
	return split(value, w, e);
}

/* The one word OPTION=VALUE; there is room for the option in front of the value. */
static int as_value(const char *option, char *value, struct words *w, struct err *e)
{
	(void)e;
	/* NOLINTNEXTLINE(bugprone-not-null-terminated-result): the value follows */
	w->argv[w->argc++] = memcpy(value - strlen(option), option, strlen(option));
	return 0;
}

/* The first half of METHOD:PATH, or all of METHOD. */
static int as_method(const char *option, char *value, struct words *w, struct err *e)
{
	*strchrnul(value, ':') = '\0';
	return as_value(option, value, w, e);
}

/* The second half, if there is one. */
static int as_path(const char *option, char *value, struct words *w, struct err *e)
{
	char *colon = strchr(value, ':');

	return colon ? as_value(option, colon + 1, w, e) : 0;
}

static const struct variable {
	const char *name;
	int (*read)(const char *option, char *value, struct words *w, struct err *e);
	const char *option;
} variables[] = {
	{"DAEMON_ARGS", as_options, ""},
	{"TRANSPORT", as_method, "--method="}, /* behind it, as in the init script */
	{"TRANSPORT", as_path, "--path="},
	{"BLACKLIST_RPC", as_value, "--block-rpcs="},
	{"BLOCK_RPCS", as_value, "--block-rpcs="},
	{"FILTER_RPC_ARGS", as_options, ""},
	{"QEMU_GA_ARGS", as_options, ""},
	{"FSFREEZE_HOOK_PATHNAME", as_value, "--fsfreeze-hook="},
};

#define VARIABLES ARRAY_SIZE(variables)

static int read_variable(struct options *o, const struct variable *v, struct words *w,
			 struct err *e)
{
	const char *value = getenv(v->name);
	size_t before = strlen(v->option);
	struct err inner;
	char *copy, **argv;

	*w = (struct words){.variable = v->name};
	if (!value || !*value)
		return 0;
	copy = options_own(o, calloc(1, before + strlen(value) + 1));
	/* Every second byte is a blank at the least; the program, NULL. */
	argv = options_own(o, calloc(strlen(value) / 2 + 3, sizeof(*argv)));
	if (!copy || !argv)
		return err_sys(e, ENOMEM, "%s", v->name);
	w->argv = argv;
	w->argv[w->argc++] = copy;
	if (v->read(v->option, strcpy(copy + before, value), w, &inner) < 0)
		return err_set(e, ERR_GENERIC, "%s: %s", v->name, inner.desc);
	return 0;
}

/* ---- all of them ---- */

static enum options_result read_words(struct options *o, const struct words *sources,
				      struct err *e)
{
	for (size_t i = 0; i <= VARIABLES; i++) {
		const struct words *w = &sources[i];
		enum options_result r;

		if (!w->argc)
			continue;
		r = options_words(o, w->variable, w->argc, w->argv, e);
		if (r != OPTIONS_RUN)
			return r;
	}
	return o->dump ? OPTIONS_DUMP : OPTIONS_RUN;
}

enum options_result config_read(struct options *o, int argc, char *argv[], struct err *e)
{
	struct words sources[VARIABLES + 1] = {};
	const char *name = argc ? argv[0] : "postern";
	struct options first;

	options_init(o, name);
	options_init(&first, name);
	for (size_t i = 0; i < VARIABLES; i++)
		if (read_variable(o, &variables[i], &sources[i], e) < 0)
			return OPTIONS_BAD;
	sources[VARIABLES] = (struct words){.argc = argc, .argv = argv};
	/* Only for -c; what is wrong is said when all are read in their order. */
	read_words(&first, sources, e);
	if (load_file(o, first.config, e) < 0)
		return OPTIONS_BAD;
	return read_words(o, sources, e);
}
