/*
 * supervisor/options.c - what the agent can be told, and one source of it: words
 *
 * Runs in:   supervisor, root
 * Input:     words and values of the guest's administrator; trusted
 * May touch: nothing but the struct it is handed
 * Must not:  open, print (but for the help and what was asked for)
 */
#include "supervisor/options.h"

#include <ctype.h>
#include <getopt.h>
#include <stdarg.h>

#include "supervisor/lists.h"

#define DEFAULT_HOOK "/etc/qemu/fsfreeze-hook"

/* ---- kinds of values ---- */

struct kind {
	/* VALUE into MEMBER; NULL: the option stands alone. 0, or -1 with E filled. */
	int (*set)(void *member, const char *value, struct err *e);
	/* MEMBER as a value of qemu-ga.conf. */
	void (*show)(const void *member, FILE *out);
};

static int set_flag(void *member, const char *value, struct err *e)
{
	bool on = !value || streq(value, "true") || streq(value, "1");

	if (!on && !streq(value, "false") && !streq(value, "0"))
		return err_set(e, ERR_GENERIC,
			       "'%s' is none of 'true', 'false', '1' and '0'", value);
	*(bool *)member = on;
	return 0;
}

static void show_flag(const void *member, FILE *out)
{
	fputs(*(const bool *)member ? "true" : "false", out);
}

static int set_text(void *member, const char *value, struct err *e)
{
	(void)e;
	*(const char **)member = value;
	return 0;
}

/* What a key file would read otherwise is written as an escape. */
static void show_text(const void *member, FILE *out)
{
	const char *start = *(const char *const *)member;

	for (const char *p = start; *p; p++) {
		if (*p == '\\')
			fputs("\\\\", out);
		else if (*p == '\n')
			fputs("\\n", out);
		else if (isspace((unsigned char)*p) && (p == start || !p[1]))
			fputs(*p == '\t' ? "\\t" : *p == '\r' ? "\\r" : "\\s", out);
		else
			fputc(*p, out);
	}
}

static int set_hook(void *member, const char *value, struct err *e)
{
	if (!value)
		value = DEFAULT_HOOK;
	if (*value != '/')
		return err_set(e, ERR_GENERIC, "'%s' is not an absolute path", value);
	return set_text(member, value, e);
}

static int set_list(void *member, const char *value, struct err *e)
{
	return list_add(member, value, e);
}

static void show_list(const void *member, FILE *out)
{
	list_print(out, *(const uint64_t *)member, ",");
}

static const struct kind flag_kind = {set_flag, show_flag};
static const struct kind text_kind = {set_text, show_text};
static const struct kind hook_kind = {set_hook, show_text};
static const struct kind list_kind = {set_list, show_list};

/* ---- the options, in the order of the keys that -D prints ---- */

struct row {
	char letter; /* '\0': a long option only */
	const char *name;
	const char *key;  /* in qemu-ga.conf; NULL: none */
	const char *arg;  /* NULL: none; "[...]": one that must be attached */
	const char *help; /* continued behind each newline */
	const struct kind *kind;
	size_t member;           /* offset of its value in struct options */
	enum options_result act; /* done at once; OPTIONS_RUN: it holds a value */
};

#define VALUE(kind_, m) .kind = &(kind_), .member = offsetof(struct options, m)
#define LIST_HELP       "\n('help' or '?' prints the names of all commands)"
#define ROW_OWN(name_, arg_, m, help_)                              \
	{                                                           \
		'\0', name_, NULL, arg_, help_, VALUE(text_kind, m) \
	}

static const struct row rows[] = {
	{'d', "daemonize", "daemon", NULL,
	 "run in the background; the exit status says whether\nthe channel was opened, "
	 "but "
	 "with -r",
	 VALUE(flag_kind, daemon)},
	{'m', "method", "method", "METHOD",
	 "virtio-serial (default), isa-serial, unix-listen or\nvsock-listen",
	 VALUE(text_kind, method_name)},
	{'p', "path", "path", "PATH",
	 "device or socket of the channel; <cid>:<port> for\nvsock-listen",
	 VALUE(text_kind, path)},
	{'l', "logfile", "logfile", "PATH",
	 "append the log to this file instead of standard error",
	 VALUE(text_kind, logfile)},
	{'f', "pidfile", "pidfile", "PATH",
	 "lock, with the number of the process; default\npostern.pid in the state "
	 "directory; with -d, and called\nqemu-ga by root, /run/qemu-ga.pid",
	 VALUE(text_kind, pidfile)},
	{'F', "fsfreeze-hook", "fsfreeze-hook", "[=PATH]",
	 "run this program around a freeze, without a path\n" DEFAULT_HOOK
	 ";\nthe path must be attached: -F/path",
	 VALUE(hook_kind, fsfreeze_hook)},
	{'t', "statedir", "statedir", "DIR",
	 "directory of the agent's state, default /run/postern;\nnot in memory: a freeze "
	 "ends with the worker",
	 VALUE(text_kind, statedir)},
	{'v', "verbose", "verbose", NULL, "log more", VALUE(flag_kind, verbose)},
	{'r', "retry-path", "retry-path", NULL,
	 "wait for a channel that is not there at the start", VALUE(flag_kind, retry)},
	{'b', "block-rpcs", "block-rpcs", "LIST",
	 "refuse these commands, separated by commas" LIST_HELP, VALUE(list_kind, block)},
	{'b', "blacklist", "blacklist", "LIST", "older name of --block-rpcs",
	 VALUE(list_kind, block)},
	{'a', "allow-rpcs", "allow-rpcs", "LIST",
	 "refuse all commands but these, separated by commas; an\nempty list refuses "
	 "none" LIST_HELP,
	 VALUE(list_kind, allow)},
	{'c', "config", NULL, "PATH",
	 "configuration, default $QGA_CONF, or else\n/etc/qemu/qemu-ga.conf",
	 VALUE(text_kind, config)},
	{'D', "dump-conf", NULL, NULL, "print the configuration and exit",
	 VALUE(flag_kind, dump)},
	{'V', "version", NULL, NULL, "print the version and exit",
	 .act = OPTIONS_VERSION},
	{'h', "help", NULL, NULL, "print this and exit", .act = OPTIONS_HELP},
	ROW_OWN("profile", "NAME", profile, "this built-in policy, and no policy files"),
	ROW_OWN("policy-root", "DIR", policy_root,
		"policy files are beneath DIR, default /"),
	ROW_OWN("audit", "SINK", audit,
		"decision records to journal, file:PATH or fd:N\n"
		"(default journal where there is one, else fd:2)"),
	ROW_OWN("frontend-user", "USER", frontend_user,
		"account, by name or number, of the process that reads\nwhat the host "
		"sends; default postern-frontend"),
	ROW_OWN("inspector-user", "USER", inspector_user,
		"account of the process that collects facts, another\none; default "
		"postern-inspector"),
	ROW_OWN("spawner", "PATH", spawner,
		"socket of a spawner that runs as a service of its own"),
	ROW_OWN("programs", "DIR", programs, "directory of the agent's other programs"),
};

static void *member_of(struct options *o, const struct row *row)
{
	return (char *)o + row->member;
}

static bool has_key(const struct row *row, const char *key)
{
	return row->key && streq(row->key, key);
}

/* Another spelling of the row before? */
static bool is_alias(size_t i)
{
	return rows[i].letter && i && rows[i].letter == rows[i - 1].letter;
}

/* ---- life ---- */

void options_init(struct options *o, const char *name)
{
	const char *slash = strrchr(name, '/');

	*o = (struct options){
		.program = slash ? slash + 1 : name,
		.method_name = "virtio-serial",
		.frontend_user = "postern-frontend",
		.inspector_user = "postern-inspector",
	};
}

void options_done(struct options *o)
{
	while (o->n_owned)
		free(o->owned[--o->n_owned]);
}

void *options_own(struct options *o, void *memory)
{
	if (!memory || o->n_owned == ARRAY_SIZE(o->owned)) {
		free(memory);
		return NULL;
	}
	o->owned[o->n_owned++] = memory;
	return memory;
}

void options_warn(struct options *o, const char *fmt, ...)
{
	size_t used = strlen(o->warnings);
	size_t room = sizeof(o->warnings) - used;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(o->warnings + used, room, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n + 1 >= room)
		o->warnings[used] = '\0';
	else
		memcpy(o->warnings + used + n, "\n", 2);
}

/* ---- words ---- */

/* getopt returns this for row I; spellings of one option are not ambiguous for it. */
static int row_value(size_t i)
{
	return 256 + (int)(is_alias(i) ? i - 1 : i);
}

static int takes_argument(const struct row *row)
{
	if (!row->arg)
		return no_argument;
	return *row->arg == '[' ? optional_argument : required_argument;
}

/* getopt's two views of the table: long options, and ":m:p:..." */
static void getopt_tables(struct option *longs, char *shorts)
{
	*shorts++ = ':'; /* a missing argument is told apart */
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int argument = takes_argument(&rows[i]);

		longs[i] = (struct option){
			.name = rows[i].name,
			.has_arg = argument,
			.val = row_value(i),
		};
		if (!rows[i].letter || is_alias(i))
			continue;
		*shorts++ = rows[i].letter;
		while (argument--) /* two for an optional one */
			*shorts++ = ':';
	}
	*shorts = '\0';
}

static const struct row *row_of(int opt)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (opt == row_value(i) || (opt && opt == rows[i].letter))
			return &rows[i];
	return NULL;
}

/* OPT is getopt's '?' or ':'. */
static int refuse(const struct options *o, int opt, char *argv[], struct err *e)
{
	const char *why = opt == ':' ? "option needs an argument" : "unknown option";

	/* A letter may stand among others in a word; a long option is the whole word. */
	if (optopt && optopt < row_value(0))
		return err_set(e, ERR_GENERIC, "%s: '-%c', try '%s --help'", why, optopt,
			       o->program);
	return err_set(e, ERR_GENERIC, "%s: '%s', try '%s --help'", why, argv[optind - 1],
		       o->program);
}

/* Words that are no options: often what is left of a list with blanks, which must not
 * be lost in silence. */
static int refuse_surplus(struct options *o, bool strict, char *argv[], struct err *e)
{
	for (; *argv; argv++) {
		if (strict || strncmp(*argv, "guest-", 6) == 0)
			return err_set(e, ERR_GENERIC,
				       "'%s' is not an option; a list is one word",
				       *argv);
		options_warn(o, "'%s' is not an option, ignored", *argv);
	}
	return 0;
}

static enum options_result apply(struct options *o, const struct row *row, struct err *e)
{
	struct err inner;

	if (row->act != OPTIONS_RUN)
		return row->act;
	if (row->kind == &list_kind && (streq(optarg, "help") || streq(optarg, "?")))
		return OPTIONS_COMMANDS;
	if (row->kind->set(member_of(o, row), optarg, &inner) == 0)
		return OPTIONS_RUN;
	err_set(e, ERR_GENERIC, "--%s: %s", row->name, inner.desc);
	return OPTIONS_BAD;
}

static enum options_result read_words(struct options *o, bool strict, int argc,
				      char *argv[], struct err *e)
{
	struct option longs[ARRAY_SIZE(rows) + 1] = {};
	char shorts[3 * ARRAY_SIZE(rows) + 2];
	int opt;

	getopt_tables(longs, shorts);
	optind = 0; /* GNU: start anew */
	opterr = 0;
	while ((opt = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		const struct row *row = row_of(opt);
		enum options_result r;

		if (!row) {
			refuse(o, opt, argv, e);
			return OPTIONS_BAD;
		}
		r = apply(o, row, e);
		if (r != OPTIONS_RUN)
			return r;
	}
	return refuse_surplus(o, strict, argv + optind, e) < 0 ? OPTIONS_BAD
							       : OPTIONS_RUN;
}

enum options_result options_words(struct options *o, const char *variable, int argc,
				  char *argv[], struct err *e)
{
	struct err inner;
	enum options_result r = read_words(o, variable != NULL, argc, argv, &inner);

	if (r == OPTIONS_BAD)
		err_set(e, ERR_GENERIC, "%s%s%s", variable ? variable : "",
			variable ? ": " : "", inner.desc);
	return r;
}

/* ---- keys ---- */

int options_key(struct options *o, const char *key, const char *value, struct err *e)
{
	struct err inner;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (!has_key(&rows[i], key))
			continue;
		if (rows[i].kind->set(member_of(o, &rows[i]), value, &inner) == 0)
			return 1;
		return err_set(e, ERR_GENERIC, "%s: %s", key, inner.desc);
	}
	return 0;
}

const char *options_closest_key(const char *word)
{
	struct likeness l = {.word = word};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].key)
			likeness_try(&l, rows[i].key);
	return l.best;
}

/* ---- what can only be said when all is read ---- */

int options_channel(struct options *o, struct err *e)
{
	if (o->inherited) {
		o->method = o->inherited->method;
		o->path = o->inherited->path;
		return 0;
	}
	o->method = channel_method(o->method_name);
	if (!o->method)
		return err_set(e, ERR_GENERIC, "unsupported channel method/type: %s",
			       o->method_name);
	if (!o->path)
		o->path = o->method->default_path;
	if (!o->path || !*o->path)
		return err_set(e, ERR_GENERIC,
			       "must specify a path for this channel (-p)");
	return 0;
}

/* ---- output ---- */

static void help_row(const struct row *r, FILE *out)
{
	bool optional = takes_argument(r) == optional_argument;
	const char *between = r->arg && !optional ? " " : "";
	int width = (int)strlen(r->name) + (r->arg ? (int)strlen(r->arg) + !optional : 0);

	fprintf(out, "  %c%c%c --%s%s%s%*s", r->letter ? '-' : ' ',
		r->letter ? r->letter : ' ', r->letter ? ',' : ' ', r->name, between,
		r->arg ? r->arg : "", 24 - width, "");
	for (const char *p = r->help; *p; p++) {
		fputc(*p, out);
		if (*p == '\n')
			fprintf(out, "%32s", "");
	}
	fputc('\n', out);
}

void options_help(const struct options *o, FILE *out)
{
	fprintf(out,
		"Usage: %s [OPTION...]\n"
		"A guest agent that speaks the protocol of the QEMU guest agent.\n\n"
		"Options of qemu-ga:\n",
		o->program);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].letter)
			help_row(&rows[i], out);
	fprintf(out, "\nOptions of Postern:\n");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (!rows[i].letter)
			help_row(&rows[i], out);
}

/* Has it a value that a file would hold? */
static bool is_shown(const struct row *row, const void *member)
{
	return row->kind->show != show_text || *(const char *const *)member;
}

void options_dump(const struct options *o, FILE *out)
{
	fprintf(out, "[general]\n");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const void *member = (const char *)o + rows[i].member;

		if (!rows[i].key || is_alias(i) || !is_shown(&rows[i], member))
			continue;
		fprintf(out, "%s=", rows[i].key);
		rows[i].kind->show(member, out);
		fputc('\n', out);
	}
}
