/*
 * tests/unit/test_policy_source.c - the language of policy files
 *
 * Runs in:   a test
 * Input:     policy files as text, right and wrong
 * May touch: memory
 * Must not:  take a message's whole wording for what it says
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/policy.h"

#define RULE(body) "[rule \"it\"]\neffect = allow\n" body "\n"

struct fixture {
	struct source *s;
	struct wbuf image;
	struct policy policy;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (f)
		f->s = source_new();
	*state = f;
	return f && f->s ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	source_free(f->s);
	wbuf_free(&f->image);
	free(f);
	return 0;
}

static void again(struct fixture *f)
{
	source_free(f->s);
	f->s = source_new();
	assert_non_null(f->s);
}

/* From memory of its very size, so that asan sees a step beyond. */
static void add_bytes(struct source *s, const char *file, const char *text, size_t len)
{
	CLEANUP(free_p) char *copy = malloc(len + !len);

	assert_non_null(copy);
	memcpy(copy, text, len);
	source_add(s, file, copy, len);
}

static void add(struct source *s, const char *file, const char *text)
{
	add_bytes(s, file, text, strlen(text));
}

/* Build what was added. 0 or -1, as source_build; what is built can be opened. */
static int build(struct fixture *f)
{
	wbuf_free(&f->image);
	f->image = wbuf_growing(IMAGE_MAX);
	if (source_build(f->s, &f->image) < 0)
		return -1;
	assert_int_equal(policy_open(&f->policy, f->image.p, f->image.len), 0);
	return 0;
}

static void print_errors(struct source *s)
{
	const struct source_error *e;
	size_t n = source_errors(s, &e);

	for (size_t i = 0; i < n; i++)
		print_message("%s:%u: %s\n", e[i].file, e[i].line, e[i].what);
}

static void good(struct fixture *f, const char *text)
{
	again(f);
	add(f->s, "a.conf", text);
	if (build(f) < 0) {
		print_errors(f->s);
		fail_msg("'%s' is refused", text);
	}
}

/* TEXT has exactly one mistake, in LINE, and WORDS stand in its message. */
static void bad(struct fixture *f, const char *text, uint32_t line, const char *words)
{
	const struct source_error *e;
	size_t n;

	again(f);
	add(f->s, "a.conf", text);
	assert_int_equal(build(f), -1);
	n = source_errors(f->s, &e);
	if (n != 1 || e->line != line || !strstr(e->what, words)) {
		print_errors(f->s);
		fail_msg("'%s': not one mistake, in line %u, with '%s'", text, line,
			 words);
	}
	assert_string_equal(e->file, "a.conf");
	assert_null(strchr(e->what, '\n'));
}

/* ---- POLICY.md section 6, as it stands there ---- */

static const char example[] =
	"[policy]\n"
	"version = 1\n"
	"mode = enforce\n"
	"base = safe\n"
	"deny-detail = ref\n"
	"\n"
	"[rule \"no-passwords\"]\n"
	"effect = deny\n"
	"command = @password\n"
	"\n"
	"[exec \"collect-logs\"]\n"
	"path = /usr/lib/example/collect-logs\n"
	"argv = --since ; {1h|6h|24h}\n"
	"user = logs\n"
	"timeout = 60s\n"
	"output-max = 1M\n"
	"\n"
	"[rule \"restart-nginx\"]\n"
	"effect = allow\n"
	"command = guest-exec\n"
	"path = /usr/bin/systemctl\n"
	"argv = {restart|reload} ; nginx.service\n"
	"timeout = 30s\n"
	"\n"
	"[rule \"drop-zone\"]\n"
	"effect = allow\n"
	"command = @file-write\n"
	"path-beneath = /var/lib/example/inbox\n"
	"open-mode = create ; replace\n"
	"file-mode = 0640\n"
	"owner = example:example\n"
	"size-max = 8M\n"
	"\n"
	"[rule \"snapshots\"]\n"
	"effect = allow\n"
	"command = @freeze\n"
	"mountpoint-exclude = /var/lib/docker/**\n"
	"freeze-max = 120s\n"
	"\n"
	"[rule \"nics\"]\n"
	"effect = allow\n"
	"command = guest-network-get-interfaces\n"
	"exclude = veth* ; docker* ; cali*\n"
	"\n"
	"[limits]\n"
	"exec-concurrent = 8\n"
	"handles = 64\n"
	"message-max = 64M\n"
	"\n"
	"[audit]\n"
	"required = yes\n"
	"\n"
	"[test \"nginx may be restarted\"]\n"
	"request = {\"execute\":\"guest-exec\",\"arguments\":{\"path\":"
	"\"/usr/bin/systemctl\",\"arg\":[\"restart\",\"nginx.service\"]}}\n"
	"expect = allow restart-nginx\n";

static const struct image_rule *rule_named(const struct policy *p, const char *name)
{
	for (uint32_t i = 0; i < p->head->n_rules; i++)
		if (streq(policy_text(p, p->rules[i].name), name))
			return &p->rules[i];
	fail_msg("no rule '%s'", name);
	return NULL;
}

static const struct image_constraint *constraint_of(const struct policy *p,
						    const char *name, enum key key)
{
	const struct image_rule *r = rule_named(p, name);

	for (uint32_t i = 0; i < r->n_constraints; i++)
		if (p->constraints[r->constraint + i].key == key)
			return &p->constraints[r->constraint + i];
	fail_msg("no constraint %u in '%s'", key, name);
	return NULL;
}

static uint64_t number_of(const struct policy *p, const char *name, enum key key)
{
	return p->values[constraint_of(p, name, key)->value].number;
}

static const char *text_of(const struct policy *p, const char *name, enum key key,
			   uint32_t i)
{
	const struct image_constraint *c = constraint_of(p, name, key);

	assert_true(i < c->n_values);
	return policy_text(p, p->values[c->value + i].text);
}

static void example_reads_as_it_says(void **state)
{
	struct fixture *f = *state;
	const struct policy *p = &f->policy;
	const struct source_test *t;

	good(f, example);
	assert_int_equal(p->head->detail, DETAIL_REF);
	assert_int_equal(p->head->mode, MODE_ENFORCE);
	assert_int_equal(p->head->exec_concurrent, 8);
	assert_int_equal(p->head->handles, 64);
	assert_int_equal(p->head->message_max, 64 << 20);
	assert_true(p->head->audit_required);
	assert_string_equal(policy_base(p), "safe");
	assert_int_equal(rule_named(p, "no-passwords")->effect, POLICY_DENY);
	assert_int_equal(rule_named(p, "restart-nginx")->line, 18);
	assert_int_equal(number_of(p, "restart-nginx", KEY_TIMEOUT), 30000);
	assert_int_equal(constraint_of(p, "restart-nginx", KEY_ARGV)->line, 22);
	assert_string_equal(text_of(p, "restart-nginx", KEY_ARGV, 1), "reload");
	assert_string_equal(text_of(p, "collect-logs", KEY_RUN, 0),
			    "/usr/lib/example/collect-logs");
	assert_string_equal(text_of(p, "collect-logs", KEY_EXEC_USER, 0), "logs");
	assert_int_equal(number_of(p, "collect-logs", KEY_OUTPUT_MAX), 1 << 20);
	assert_string_equal(text_of(p, "drop-zone", KEY_BENEATH, 0),
			    "/var/lib/example/inbox");
	assert_int_equal(number_of(p, "drop-zone", KEY_OPEN_MODE), 2 | 4);
	assert_int_equal(number_of(p, "drop-zone", KEY_FILE_MODE), 0640);
	assert_int_equal(number_of(p, "drop-zone", KEY_SIZE_MAX), 8 << 20);
	assert_string_equal(text_of(p, "drop-zone", KEY_OWNER, 0), "example:example");
	assert_int_equal(number_of(p, "snapshots", KEY_FREEZE_MAX), 120000);
	assert_int_equal(constraint_of(p, "nics", KEY_EXCLUDE)->n_values, 3);
	assert_int_equal(source_tests(f->s, &t), 1);
	assert_string_equal(t->name, "nginx may be restarted");
	assert_int_equal(t->line, 53);
	assert_true(t->expect && t->expect_allow);
	assert_string_equal(t->expect_rule, "restart-nginx");
	assert_int_equal(strncmp(t->request, "{\"execute\":", 11), 0);
}

/* ---- lines ---- */

static void lines_that_are_fine(void **state)
{
	static const char *const texts[] = {
		"",
		"\n\n",
		"# a remark",
		"#\n[policy]\n#[rule]\n",
		"[policy]",
		"[policy]\nversion=1",
		"[policy]\nversion =1\n",
		"[policy]  \nversion\t=\t1 \t\n",
		"[policy]\nbase = \"none\"\n",
		"[policy]\nmode = enforce\n[policy]\nbase = none\n", /* the same twice */
		"[limits]\n[audit]\n",
		RULE("command = @info ; @time"),
		RULE("command = @info\ncommand = @time"),
		RULE("command = \"@info\""),
		RULE("command = @info\ndescription = any \xc3\xa4 text ; = [at] # all"),
		"[rule \"\xc3\xa4 name, with [all] # of = it\"]\neffect = deny\n"
		"command = @info\n",
		/* names are of their kind */
		RULE("command = @info") "[exec \"it\"]\npath = /x\n",
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		good(f, texts[i]);
}

static const struct bad_row {
	const char *text;
	uint32_t line;
	const char *words;
} bad_rows[] = {
	/* the frame */
	{"version = 1", 1, "before the first [section]"},
	{"[policy]\nversion", 2, "key = value"},
	{"[policy]\n= 1", 2, "key = value"},
	{"[policy]\nVersion = 1", 2, "key = value"},
	{"[policy]\nver sion = 1", 2, "key = value"},
	{"[policy]\n version = 1", 2, "key = value"},
	{"[policy]\nversion = 1\\\n", 2, "plain number"},
	{"[policy]\nbogus = 1", 2, "unknown key 'bogus'"},
	{"[limits]\nversion = 1", 2, "unknown key 'version' in [limits]"},
	{"[bogus]\nx = 1\ny = 2", 1, "unknown section"},
	{"[policy", 1, "without its ']'"},
	{"[policy] # remark", 1, "without its ']'"},
	{"[policy ]", 1, "accepted: [policy]"},
	{"[policy \"x\"]", 1, "accepted: [policy]"},
	{"[a", 1, "without its ']'"},
	{"[]", 1, "unknown section"},
	{"[abcdefghijklmnopqrstuvwxyz]", 1, "unknown section"},
	{"[rule]", 1, "[rule \"name\"]"},
	{"[rule \"\"]", 1, "[rule \"name\"]"},
	{"[rule x]", 1, "[rule \"name\"]"},
	{"[rule \"x]", 1, "[rule \"name\"]"},
	{"[rule \"x\" ]", 1, "[rule \"name\"]"},
	{"[rule  \"x\"]", 1, "[rule \"name\"]"},
	{"[rule \"x\"y\"]", 1, "[rule \"name\"]"},
	{"\xef\xbb\xbf[policy]", 1, "key = value"}, /* a byte order mark */
	/* bytes */
	{"[policy]\nbase = saf\xe9\n", 2, "UTF-8"},
	{"# \xc0\xaf", 1, "UTF-8"},
	{"# \xed\xa0\x80", 1, "UTF-8"},
	{"# cut \xe2\x82", 1, "UTF-8"},
	{"[policy]\r\n", 1, "CR LF"},
	{"[policy]\n# \x1b[2J", 2, "control byte (0x1b)"},
	{"# \x7f", 1, "control byte (0x7f)"},
	/* settings */
	{"[policy]\nbase = safe\nbase = none", 3, "a.conf:2"},
	{"[policy]\nbase = mine", 2, "there is no profile 'mine'"},
	{"[policy]\nbase =", 2, "empty element"},
	{"[policy]\nbase = safe ; none", 2, "one value"},
	{"[policy]\nceiling = mine", 2, "there is no profile 'mine'"},
	{"[policy]\nversion = 2", 2, "accepted: 1"},
	{"[policy]\nversion = 0", 2, "accepted: 1"},
	{"[policy]\nmode = permissive", 2, "enforce complain"},
	{"[policy]\nmode = enforce ; complain", 2, "one value"},
	{"[policy]\nsealed = true", 2, "yes, no"},
	{"[policy]\nlock = Yes", 2, "yes, no"},
	{"[limits]\nhandles = many", 2, "plain number"},
	{"[limits]\nhandles = 4294967296", 2, "plain number"},
	{"[limits]\nhandles = +4", 2, "plain number"},
	{"[limits]\nmessage-max = 1T", 2, "K, M or G"},
	{"[limits]\nmessage-max = 9223372036854775808", 2, "K, M or G"},
	{"[limits]\nmessage-max = 18446744073709551617", 2, "K, M or G"},
	{"[audit]\ninterval = 0", 2, "1s to 1h"},
	{"[audit]\nrequired = no\ninterval = 999ms", 3, "1s to 1h"},
	{"[audit]\ninterval = 3601s", 2, "1s to 1h"},
	/* 2^32 ms and a second: what a narrower number would take for 1 s */
	{"[audit]\ninterval = 4294968296ms", 2, "1s to 1h"},
	{"[audit]\ninterval = often", 2, "seconds"},
	{"[audit]\ninterval = 1s ; 2s", 2, "one value"},
	{"[audit]\ninterval = 1s\ninterval = 1s", 3, "a.conf:2"},
	/* rules */
	{"[rule \"it\"]\ncommand = @info", 1, "says no effect"},
	{"[rule \"it\"]\neffect = allow", 1, "names no command"},
	{"[rule \"it\"]\neffect = allow\neffect = deny\ncommand = @info", 3, "twice"},
	{"[rule \"it\"]\neffect = permit\ncommand = @info", 2, "allow, deny"},
	{RULE("command = guest-bogus"), 3, "'guest-bogus'"},
	{RULE("command = @bogus"), 3, "'@bogus'"},
	{RULE("command = guest-get-disks smart"), 3, "'guest-get-disks smart'"},
	{RULE("command = @info ;"), 3, "nothing behind it"},
	{RULE("command = ; @info"), 3, "empty element"},
	{RULE("command = @info ; ; @time"), 3, "empty element"},
	{RULE("command = @info\nbogus = 1"), 4, "unknown key 'bogus'"},
	{RULE("command = @info\npath = /x"), 4, "does not apply"},
	{RULE("command = @exec ; @info\npath = /x"), 4, "does not apply"},
	{RULE("command = @exec\ntimeout = 1s\ntimeout = 1s"), 5, "line 4"},
	{RULE("command = @exec\ntimeout = 1s ; 2s"), 4, "one value"},
	{RULE("command = @exec\ntimeout = soon"), 4, "seconds"},
	{RULE("command = @exec\ntimeout = 1 s s"), 4, "seconds"},
	{RULE("command = @exec\ntimeout = 106751991168d"), 4, "seconds"},
	{RULE("command = @file-write\nfile-mode = 0688"), 4, "permission bits"},
	{RULE("command = @file-write\nfile-mode = 10000"), 4, "permission bits"},
	{RULE("command = @file-write\nopen-mode = write"), 4, "unknown value 'write'"},
	{RULE("command = @info") RULE("command = @time"), 4, "a.conf:1"},
	{"[rule \"it\"]\neffect = deny\ncommand = @exec\ntimeout = 1s", 4, "a deny"},
	{"[rule \"it\"]\neffect = deny\ncommand = @info\nhide = x", 4, "a deny"},
	{RULE("command = guest-get-disks\nhide = name"), 4, "optional field"},
	{RULE("command = guest-get-disks\nhide = bogus"), 4, "optional field"},
	/* patterns and quotes */
	{RULE("command = @exec\nargv = [a"), 4, "'['"},
	{RULE("command = @exec\nargv = a\\"), 4, "backslash"},
	{RULE("command = @exec\nargv = {a|b"), 4, "'{'"},
	{RULE("command = @exec\nargv = {[a|b]}"), 4, "'['"},
	{RULE("command = @exec\nargv = {*|a}*"), 4, "'*'"},
	{RULE("command = @exec\nargv = ... ; a"), 4, "'...'"},
	{RULE("command = @exec\nargv = ...\nargv = a"), 5, "'...'"},
	{RULE("command = @exec\nargv = \"a"), 4, "without its second"},
	{RULE("command = @exec\nargv = \"a\" b"), 4, "behind the closing"},
	{RULE("command = @exec\nargv = \"a\\n\""), 4, "between quotes"},
	/* rates */
	{RULE("command = @exec\nrate = 5"), 4, "N/s"},
	{RULE("command = @exec\nrate = 0/s"), 4, "N/s"},
	{RULE("command = @exec\nrate = +5/s"), 4, "N/s"},
	{RULE("command = @exec\nrate = -5/s"), 4, "N/s"},
	{RULE("command = @exec\nrate = 5 /s"), 4, "N/s"},
	{RULE("command = @exec\nrate = 5/d"), 4, "N/s"},
	{RULE("command = @exec\nrate = 5/sec"), 4, "N/s"},
	{RULE("command = @exec\nrate = 5/s burst"), 4, "N/s"},
	{RULE("command = @exec\nrate = 5/s burst 0"), 4, "N/s"},
	{RULE("command = @exec\nrate = 5/s burst +2"), 4, "N/s"},
	{RULE("command = @exec\nrate = 5/s burst 2 3"), 4, "N/s"},
	{RULE("command = @exec\nrate = 1234567890/s"), 4, "N/s"},
	{RULE("command = @exec\nrate ="), 4, "N/s"},
	{RULE("command = @exec\nrate = 5/s\nrate = 5/s"), 5, "twice"},
	/* named programs */
	{"[exec \"a\"]\ntimeout = 1s", 1, "names no path"},
	{"[exec \"a/b\"]\npath = /x", 1, "no '/'"},
	{"[exec \"a\"]\npath = /x\npath = /y", 3, "line 2"},
	{"[exec \"a\"]\npath = /x ; /y", 2, "one value"},
	{"[exec \"a\"]\npath = /x\neffect = deny", 3, "unknown key 'effect'"},
	{"[exec \"a\"]\npath = /x\ncommand = @info", 3, "unknown key 'command'"},
	{"[exec \"a\"]\npath = /x\n[exec \"a\"]\npath = /y", 3, "a.conf:1"},
	/* tests */
	{"[test \"a\"]\nrequest = {}", 1, "both request and expect"},
	{"[test \"a\"]\nexpect = allow", 1, "both request and expect"},
	{"[test \"a\"]\nrequest = {}\nexpect = deny\nrequest = {}", 4, "twice"},
	{"[test \"a\"]\nrequest = {}\nexpect = deny\nexpect = deny", 4, "twice"},
	{"[test \"a\"]\nrequest = {}\nexpect = maybe", 3, "allow [RULE]"},
	{"[test \"a\"]\nrequest = {}\nexpect = allowed", 3, "allow [RULE]"},
	{"[test \"a\"]\nrequest = {}\nexpect = deny\nbogus = 1", 4,
	 "unknown key 'bogus'"},
};

static void mistakes_are_told(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(bad_rows); i++) {
		const struct bad_row *r = &bad_rows[i];

		bad(f, r->text, r->line, r->words);
	}
}

/* Twenty of them, over two files: twenty lines, in the order of file and line. */
static void twenty_mistakes_are_twenty_lines(void **state)
{
	static const char first[] = "[policy]\n"
				    "version = 3x\n"     /* 2 */
				    "mode = off\n"       /* 3 */
				    "bogus = 1\n"        /* 4 */
				    "sealed = perhaps\n" /* 5 */
				    "no equals\n"        /* 6 */
				    "[limits]\n"
				    "handles = -1\n"      /* 8 */
				    "message-max = big\n" /* 9 */
				    "[unknown]\n"         /* 10 */
				    "[rule \"a\"]\n"      /* 11: no effect */
				    "command = @info\n"
				    "[rule \"b\"]\n"
				    "effect = maybe\n" /* 14 */
				    "command = @info\n";
	static const char second[] = "stray = 1\n" /* 1 */
				     "[rule \"c\"]\n"
				     "effect = allow\n"
				     "command = @exec\n"
				     "path = [a\n"       /* 5 */
				     "argv = ... ; x\n"  /* 6 */
				     "timeout = never\n" /* 7 */
				     "freeze-max = 1s\n" /* 8 */
				     "rate = often\n"    /* 9 */
				     "stdin = maybe\n"   /* 10 */
				     "# \x01\n"          /* 11 */
				     "[exec \"d\"]\n"    /* 12: no path */
				     "user = \"x\n"      /* 13 */
				     "[test \"e\"]\n"    /* 14: no request */
				     "expect = deny\n";
	static const struct {
		const char *file;
		uint32_t line;
	} want[] = {{"a.conf", 2},  {"a.conf", 3},  {"a.conf", 4},  {"a.conf", 5},
		    {"a.conf", 6},  {"a.conf", 8},  {"a.conf", 9},  {"a.conf", 10},
		    {"a.conf", 11}, {"a.conf", 14}, {"b.conf", 1},  {"b.conf", 5},
		    {"b.conf", 6},  {"b.conf", 7},  {"b.conf", 8},  {"b.conf", 9},
		    {"b.conf", 10}, {"b.conf", 11}, {"b.conf", 12}, {"b.conf", 13},
		    {"b.conf", 14}};
	struct fixture *f = *state;
	const struct source_error *e;
	size_t n;

	add(f->s, "b.conf", second);
	add(f->s, "a.conf", first);
	assert_int_equal(build(f), -1);
	n = source_errors(f->s, &e);
	if (n != ARRAY_SIZE(want))
		print_errors(f->s);
	assert_int_equal(n, ARRAY_SIZE(want));
	for (size_t i = 0; i < n; i++) {
		assert_string_equal(e[i].file, want[i].file);
		assert_int_equal(e[i].line, want[i].line);
		for (size_t k = 0; k < i; k++)
			if (streq(e[i].what, e[k].what))
				fail_msg("twice: %s", e[i].what);
	}
}

/* ---- limits ---- */

static void lines_are_bounded(void **state)
{
	struct fixture *f = *state;
	char text[SOURCE_LINE_MAX + 16];

	memset(text, 'x', sizeof(text));
	text[0] = '#';
	add_bytes(f->s, "a.conf", text, SOURCE_LINE_MAX - 1);
	assert_int_equal(build(f), 0);
	text[SOURCE_LINE_MAX - 1] = '\n';
	add_bytes(f->s, "b.conf", text, SOURCE_LINE_MAX);
	assert_int_equal(build(f), 0);
	text[SOURCE_LINE_MAX - 1] = 'x';
	again(f);
	add_bytes(f->s, "a.conf", text, SOURCE_LINE_MAX);
	assert_int_equal(build(f), -1);
}

/* The longest value there can be arrives whole, and the image can be opened. */
static void longest_value_is_kept(void **state)
{
	struct fixture *f = *state;
	char text[2 * SOURCE_LINE_MAX];
	size_t n = (size_t)sprintf(text, RULE("command = @exec") "path = \"");
	size_t line = strlen("path = \"");

	/* Each has a backslash put before it. */
	memset(text + n, '*', SOURCE_LINE_MAX - 2 - line);
	n += SOURCE_LINE_MAX - 2 - line;
	text[n++] = '"';
	add_bytes(f->s, "a.conf", text, n);
	/* A literal is no wildcard, so the limit of these is not met. */
	if (build(f) < 0) {
		print_errors(f->s);
		fail();
	}
	assert_int_equal(strlen(text_of(&f->policy, "it", KEY_EXEC_PATH, 0)),
			 2 * (SOURCE_LINE_MAX - 2 - line));
}

static void files_are_bounded(void **state)
{
	struct fixture *f = *state;
	CLEANUP(free_p) char *text = malloc(SOURCE_FILE_MAX + 1);

	memset(text, '\n', SOURCE_FILE_MAX + 1);
	add_bytes(f->s, "a.conf", text, SOURCE_FILE_MAX);
	assert_int_equal(build(f), 0);
	add_bytes(f->s, "b.conf", text, SOURCE_FILE_MAX + 1);
	assert_int_equal(build(f), -1);
}

static void number_of_files_is_bounded(void **state)
{
	struct fixture *f = *state;
	char name[16];

	for (unsigned int i = 0; i < SOURCE_FILES_MAX; i++) {
		snprintf(name, sizeof(name), "%u.conf", i);
		add(f->s, name, "");
	}
	assert_int_equal(build(f), 0);
	add(f->s, "more.conf", "");
	assert_int_equal(build(f), -1);
}

/* N rules over files of a size that is accepted. */
static void add_rules(struct source *s, unsigned int n)
{
	char text[SOURCE_FILE_MAX], file[16];
	size_t len = 0;

	for (unsigned int i = 0; i < n; i++) {
		len += (size_t)sprintf(text + len,
				       "[rule \"r%u\"]\neffect = allow\n"
				       "command = @info\ntime-limit = %us\n",
				       i, i + 1);
		if (len < sizeof(text) - 200 && i + 1 < n)
			continue;
		snprintf(file, sizeof(file), "%u.conf", i);
		add_bytes(s, file, text, len);
		len = 0;
	}
}

static void number_of_rules_is_bounded(void **state)
{
	struct fixture *f = *state;
	const struct source_error *e;

	add_rules(f->s, SOURCE_RULES_MAX);
	assert_int_equal(build(f), 0);
	assert_true(f->policy.head->n_rules >= SOURCE_RULES_MAX);
	again(f);
	add_rules(f->s, SOURCE_RULES_MAX + 1);
	assert_int_equal(build(f), -1);
	assert_int_equal(source_errors(f->s, &e), 1);
	assert_non_null(strstr(e->what, "1000 rules"));
}

/* As many as there can be, in complain mode, with lists: the image holds them all. */
static void the_most_rules_fit(void **state)
{
	struct fixture *f = *state;

	add(f->s, "policy.conf", "[policy]\nbase = legacy\nmode = complain\n");
	add_rules(f->s, SOURCE_RULES_MAX);
	source_deny(f->s, OPS_OF_1(exec));
	assert_int_equal(build(f), 0);
}

/* More mistakes than are kept: refused all the same. */
static void mistakes_are_bounded(void **state)
{
	struct fixture *f = *state;
	const struct source_error *e;
	CLEANUP(free_p) char *text = malloc(SOURCE_FILE_MAX);
	size_t len = 0;

	while (len + 2 <= SOURCE_FILE_MAX) {
		text[len++] = 'x';
		text[len++] = '\n';
	}
	add_bytes(f->s, "a.conf", text, len);
	assert_int_equal(build(f), -1);
	assert_int_equal(source_errors(f->s, &e), SOURCE_ERRORS_MAX);
}

static void too_large_a_policy_is_told(void **state)
{
	struct fixture *f = *state;
	const struct source_error *e;
	char text[SOURCE_FILE_MAX], file[16];

	for (unsigned int i = 0; i < 20; i++) {
		size_t len = 0;

		for (unsigned int k = 0; k < 13; k++) {
			len += (size_t)sprintf(text + len,
					       "[rule \"%u.%u\"]\neffect = allow\n"
					       "command = @exec\npath = \"%u.%u",
					       i, k, i, k);
			memset(text + len, '*', 4000);
			len += 4000;
			text[len++] = '"';
			text[len++] = '\n';
		}
		snprintf(file, sizeof(file), "%u.conf", i);
		add_bytes(f->s, file, text, len);
	}
	assert_int_equal(build(f), -1);
	assert_int_equal(source_errors(f->s, &e), 1);
	assert_non_null(strstr(e->what, "bytes"));
}

/* ---- values ---- */

/* One of each type, as it is written, and as the number it becomes. */
static const struct value_row {
	const char *line; /* in a rule of CMD */
	const char *command;
	enum key key;
	uint64_t number;
} value_rows[] = {
	{"timeout = 0", "@exec", KEY_TIMEOUT, 0},
	{"timeout = 90", "@exec", KEY_TIMEOUT, 90000},
	{"timeout = 250ms", "@exec", KEY_TIMEOUT, 250},
	{"timeout = 2s", "@exec", KEY_TIMEOUT, 2000},
	{"timeout = 2 s", "@exec", KEY_TIMEOUT, 2000},
	{"timeout = 2m", "@exec", KEY_TIMEOUT, 120000},
	{"timeout = 2min", "@exec", KEY_TIMEOUT, 120000},
	{"timeout = 2h", "@exec", KEY_TIMEOUT, 7200000},
	{"timeout = 2d", "@exec", KEY_TIMEOUT, 172800000},
	{"output-max = 4096", "@exec", KEY_OUTPUT_MAX, 4096},
	{"output-max = 4K", "@exec", KEY_OUTPUT_MAX, 4096},
	{"output-max = 4M", "@exec", KEY_OUTPUT_MAX, 4 << 20},
	{"output-max = 4G", "@exec", KEY_OUTPUT_MAX, 4ull << 30},
	{"output-max = 9223372036854775807", "@exec", KEY_OUTPUT_MAX, INT64_MAX},
	{"tasks-max = 4294967295", "@exec", KEY_TASKS_MAX, UINT32_MAX},
	{"tasks-max = \"7\"", "@exec", KEY_TASKS_MAX, 7},
	{"file-mode = 0640", "@file-write", KEY_FILE_MODE, 0640},
	{"file-mode = 7777", "@file-write", KEY_FILE_MODE, 07777},
	{"stdin = yes", "@exec", KEY_STDIN, 1},
	{"stdin = no", "@exec", KEY_STDIN, 0},
	{"open-mode = read", "@file-read", KEY_OPEN_MODE, 1},
	{"open-mode = update ; read", "@file-read", KEY_OPEN_MODE, 17},
	{"open-mode = update\nopen-mode = read", "@file-read", KEY_OPEN_MODE, 17},
};

static void values_become_numbers(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(value_rows); i++) {
		const struct value_row *r = &value_rows[i];
		char text[256];

		snprintf(text, sizeof(text), RULE("command = %s\n%s"), r->command,
			 r->line);
		good(f, text);
		assert_int_equal(number_of(&f->policy, "it", r->key), r->number);
	}
}

/* Elements of a list, as `cwd`-like texts: quotes, blanks, separators. */
static const struct list_row {
	const char *value;
	const char *elements[4];
} list_rows[] = {
	{"/a", {"/a"}},
	{"/a ; /b", {"/a", "/b"}},
	{"  /a\t;\t/b  ", {"/a", "/b"}},
	{"/a\npath-beneath = /b", {"/a", "/b"}},
	{"/a;b ; c", {"/a;b", "c"}},
	{"\"/a ; b\"", {"/a ; b"}},
	{"\"/a ; b\" ; c", {"/a ; b", "c"}},
	{"c ; \"/a ; b\" ; \" ; \"", {"c", "/a ; b", " ; "}},
	{"c ;   \"a\"", {"c", "a"}},
	{"\" a \"", {" a "}},
	{"\"\"", {""}},
	{"\"a\\\"b\\\\c\"", {"a\"b\\c"}},
	{"a\"b\"c", {"a\"b\"c"}}, /* a quote means something in first place only */
	{"a = b # c", {"a = b # c"}},
};

static void lists_are_split(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(list_rows); i++) {
		const struct list_row *r = &list_rows[i];
		uint32_t n = 0;
		char text[256];

		snprintf(text, sizeof(text),
			 RULE("command = @file-read\npath-beneath = %s"), r->value);
		good(f, text);
		for (; n < ARRAY_SIZE(r->elements) && r->elements[n]; n++)
			assert_string_equal(text_of(&f->policy, "it", KEY_BENEATH, n),
					    r->elements[n]);
		assert_int_equal(constraint_of(&f->policy, "it", KEY_BENEATH)->n_values,
				 n);
	}
}

/* A quoted element is the pattern that matches it alone. */
static void quoted_patterns_are_literal(void **state)
{
	struct fixture *f = *state;

	good(f, RULE("command = @exec\npath = \"/a*?[b]{c|d}\\\\\""));
	assert_string_equal(text_of(&f->policy, "it", KEY_EXEC_PATH, 0),
			    "/a\\*\\?\\[b]{c|d}\\\\");
}

static void rates_are_read(void **state)
{
	static const struct {
		const char *value;
		uint32_t rate, ms, burst;
	} rows[] = {
		{"5/s", 5, 1000, 5},
		{"5/min", 5, 60000, 5},
		{"5/h", 5, 3600000, 5},
		{"5/h burst 9", 5, 3600000, 9},
		{"999999999/s burst 1", 999999999, 1000, 1},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct image_rule *r;
		char text[256];

		snprintf(text, sizeof(text), RULE("command = @info\nrate = %s"),
			 rows[i].value);
		good(f, text);
		r = rule_named(&f->policy, "it");
		assert_int_equal(r->rate, rows[i].rate);
		assert_int_equal(r->rate_ms, rows[i].ms);
		assert_int_equal(r->burst, rows[i].burst);
	}
}

/* ---- every key, every setting ---- */

/* A value that KEY accepts. */
static const char *value_for(enum key key)
{
	static const char *const by_type[] = {
		[TYPE_PATTERNS] = "a*", [TYPE_ARGV] = "a ; ...", [TYPE_TEXTS] = "a",
		[TYPE_TEXT] = "a",      [TYPE_WORDS] = NULL,     [TYPE_YES_NO] = "no",
		[TYPE_COUNT] = "3",     [TYPE_SIZE] = "3K",      [TYPE_TIME] = "3s",
		[TYPE_MODE] = "0600",
	};
	static char word[32];
	const struct key_row *row = key_row(key);

	if (key == KEY_HIDE)
		return NULL; /* depends on the command */
	if (row->type != TYPE_WORDS)
		return by_type[row->type];
	snprintf(word, sizeof(word), "%.*s", (int)strcspn(row->words, " "), row->words);
	return word;
}

/* Each key with each command: accepted where the table says, refused elsewhere. */
static void keys_are_accepted_where_they_belong(void **state)
{
	struct fixture *f = *state;
	unsigned int accepted = 0;

	for (enum key key = 0; key < KEYS_COUNT; key++) {
		const struct key_row *row = key_row(key);

		if (!row->name || !value_for(key))
			continue;
		for (uint32_t n = op_after(OP_NONE); n != OP_NONE; n = op_after(n)) {
			enum key same = KEYS_COUNT;
			const struct source_error *e;
			bool known;
			char text[512];

			/* Of the keys of this name, the one of this command. */
			for (enum key k = 0; k < KEYS_COUNT; k++)
				if (key_row(k)->name &&
				    streq(key_row(k)->name, row->name) &&
				    key_ops(k) >> n & 1) {
					assert_int_equal(same, KEYS_COUNT);
					same = k;
				}
			assert_int_equal(key_find(row->name, strlen(row->name),
						  UINT64_C(1) << n, &known),
					 same);
			assert_true(known);
			if (same != key && same != KEYS_COUNT)
				continue; /* its own turn comes */
			snprintf(text, sizeof(text), RULE("command = %s\n%s = %s"),
				 op_by_number(n)->name, row->name, value_for(key));
			again(f);
			add(f->s, "a.conf", text);
			if (same == KEYS_COUNT) {
				assert_int_equal(build(f), -1);
				assert_int_equal(source_errors(f->s, &e), 1);
				assert_int_equal(e->line, 4);
				continue;
			}
			if (build(f) < 0) {
				print_errors(f->s);
				fail_msg("'%s' of %s", row->name, op_by_number(n)->name);
			}
			constraint_of(&f->policy, "it", key);
			accepted++;
		}
	}
	assert_true(accepted > KEYS_COUNT);
}

/* And in a deny only those that can be told before anything is done. */
static void deny_rules_take_what_can_be_asked(void **state)
{
	struct fixture *f = *state;

	for (enum key key = 0; key < KEYS_COUNT; key++) {
		const struct key_row *row = key_row(key);
		bool may = row->stage == AT_REQUEST || row->stage == AT_OBJECT;
		uint32_t n = op_after(OP_NONE);
		char text[512];

		if (!row->name || !value_for(key))
			continue;
		while (!(key_ops(key) >> n & 1))
			n = op_after(n);
		snprintf(text, sizeof(text),
			 "[rule \"it\"]\neffect = deny\ncommand = %s\n%s = %s\n",
			 op_by_number(n)->name, row->name, value_for(key));
		again(f);
		add(f->s, "a.conf", text);
		if (build(f) != (may ? 0 : -1)) {
			print_errors(f->s);
			fail_msg("'%s'", row->name);
		}
	}
}

/* Every optional field of every answer can be hidden, by the rows of the tables. */
static void optional_fields_can_be_hidden(void **state)
{
	struct fixture *f = *state;
	unsigned int found = 0;

	for (uint32_t n = op_after(OP_NONE); n != OP_NONE; n = op_after(n)) {
		const struct schema *s = op_by_number(n)->result;

		/* The members of a list's elements. */
		if (s->n && !s->fields[0].name && field_has_sub(&s->fields[0]))
			s = s->fields[0].sub;
		if (!(key_ops(KEY_HIDE) >> n & 1))
			continue;
		for (uint32_t i = 0; i < s->n; i++) {
			bool optional = s->fields[i].flags & F_OPT;
			char text[512];

			if (!s->fields[i].name)
				continue;
			snprintf(text, sizeof(text), RULE("command = %s\nhide = %s"),
				 op_by_number(n)->name, s->fields[i].name);
			if (optional)
				good(f, text);
			found += optional;
		}
	}
	assert_true(found > 20);
}

#define HEAD(member) \
	offsetof(struct image_head, member), sizeof(((struct image_head *)0)->member)

static const struct setting_case {
	const char *text;
	size_t offset, size;
	uint64_t number;
} setting_cases[] = {
	{"[policy]\nmode = enforce\n", HEAD(mode), MODE_ENFORCE},
	{"[policy]\nmode = complain\n", HEAD(mode), MODE_COMPLAIN},
	{"", HEAD(mode), MODE_ENFORCE},
	{"[policy]\ndeny-detail = none\n", HEAD(detail), DETAIL_NONE},
	{"[policy]\ndeny-detail = ref\n", HEAD(detail), DETAIL_REF},
	{"[policy]\ndeny-detail = full\n", HEAD(detail), DETAIL_FULL},
	{"", HEAD(detail), DETAIL_NONE},
	{"[policy]\nlock = yes\n", HEAD(lock), 1},
	{"[policy]\nlock = no\n", HEAD(lock), 0},
	{"", HEAD(lock), 0},
	{"[policy]\non-reload = keep\n", HEAD(keep_on_reload), 1},
	{"[policy]\non-reload = revoke\n", HEAD(keep_on_reload), 0},
	{"", HEAD(keep_on_reload), 0},
	{"[policy]\non-stop = keep\n", HEAD(keep_on_stop), 1},
	{"[policy]\non-stop = kill\n", HEAD(keep_on_stop), 0},
	{"", HEAD(keep_on_stop), 0},
	{"[audit]\nrequired = yes\n", HEAD(audit_required), 1},
	{"[audit]\nrequired = no\n", HEAD(audit_required), 0},
	{"", HEAD(audit_required), 0},
	{"", HEAD(audit_interval_ms), 60000},
	{"[audit]\nrequired = yes\n", HEAD(audit_interval_ms), 60000},
	{"[audit]\ninterval = 1s\n", HEAD(audit_interval_ms), 1000},
	{"[audit]\ninterval = 1500ms\n", HEAD(audit_interval_ms), 1500},
	{"[audit]\ninterval = 90\n", HEAD(audit_interval_ms), 90000},
	{"[audit]\ninterval = 1h\n", HEAD(audit_interval_ms), 3600000},
	{"[limits]\nmessage-max = 64M\n", HEAD(message_max), 64 << 20},
	{"", HEAD(message_max), 0},
	{"[limits]\nexec-concurrent = 8\n", HEAD(exec_concurrent), 8},
	{"[limits]\nhandles = 9\n", HEAD(handles), 9},
};

static void settings_reach_the_image(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(setting_cases); i++) {
		const struct setting_case *c = &setting_cases[i];
		uint64_t n = 0;

		good(f, c->text);
		memcpy(&n, (const char *)f->policy.head + c->offset, c->size);
		if (n != c->number)
			fail_msg("'%s'", c->text);
	}
	good(f, "[policy]\nversion = 1\nbase = libvirt\nceiling = legacy\nmode = "
		"complain\n");
	assert_string_equal(policy_base(&f->policy), "libvirt");
	assert_string_equal(policy_text(&f->policy, f->policy.head->ceiling), "legacy");
	assert_false(source_sealed(f->s));
	good(f, "[policy]\nsealed = yes\n");
	assert_true(source_sealed(f->s));
}

/* ---- the profiles ---- */

static void profiles_are_read(void **state)
{
	struct fixture *f = *state;
	struct profile p;
	size_t n = 0;

	for (; profile_at(n, &p); n++) {
		const struct source_test *t;
		char file[64];

		again(f);
		snprintf(file, sizeof(file), "%s.conf", p.name);
		add_bytes(f->s, file, p.text, p.len);
		if (build(f) < 0) {
			print_errors(f->s);
			fail_msg("%s", p.name);
		}
		assert_string_equal(policy_base(&f->policy), "none");
		assert_true(source_tests(f->s, &t) > 0);
		assert_non_null(strstr(profile_names(), p.name));
		assert_true(profile_find(p.name, &p));
	}
	assert_int_equal(n, 8);
	assert_false(profile_find("mine", &p));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(example_reads_as_it_says),
		TEST(lines_that_are_fine),
		TEST(mistakes_are_told),
		TEST(twenty_mistakes_are_twenty_lines),
		TEST(lines_are_bounded),
		TEST(longest_value_is_kept),
		TEST(files_are_bounded),
		TEST(number_of_files_is_bounded),
		TEST(number_of_rules_is_bounded),
		TEST(the_most_rules_fit),
		TEST(mistakes_are_bounded),
		TEST(too_large_a_policy_is_told),
		TEST(values_become_numbers),
		TEST(lists_are_split),
		TEST(quoted_patterns_are_literal),
		TEST(rates_are_read),
		TEST(keys_are_accepted_where_they_belong),
		TEST(deny_rules_take_what_can_be_asked),
		TEST(optional_fields_can_be_hidden),
		TEST(settings_reach_the_image),
		TEST(profiles_are_read),
	};

	return cmocka_run_group_tests_name("policy source", tests, NULL, NULL);
}
