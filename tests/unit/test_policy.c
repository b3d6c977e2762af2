/*
 * tests/unit/test_policy.c - may this be done?
 *
 * Runs in:   a test
 * Input:     policies as text, requests as structs; images cut and altered
 * May touch: memory
 * Must not:  derive an expectation from the library that it checks
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "policy/locked.h"
#include "tests/lib/policy.h"

#define NONE                "[policy]\nbase = none\n"
#define BASE(name)          "[policy]\nbase = " name "\n"
#define ALLOW(name, body)   "[rule \"" name "\"]\neffect = allow\n" body "\n"
#define DENY(name, body)    "[rule \"" name "\"]\neffect = deny\n" body "\n"
#define PROGRAM(name, body) "[exec \"" name "\"]\n" body "\n"

struct fixture {
	struct wbuf image;
	struct policy policy;
};

static int setup(void **state)
{
	*state = calloc(1, sizeof(struct fixture));
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	wbuf_free(&f->image);
	free(f);
	return 0;
}

static void read_text(struct fixture *f, const char *text)
{
	policy_of_text(&f->policy, &f->image, text);
}

static struct policy_answer ask(const struct policy *p, uint32_t op, const void *args)
{
	struct policy_question q = {.op = op, .args = args};
	struct policy_answer a;

	memset(&a, 0xa5, sizeof(a));
	policy_decide(p, &q, &a);
	return a;
}

static const char *rule_of(const struct policy *p, const struct policy_answer *a)
{
	return a->rule < 0 ? "" : policy_text(p, p->rules[a->rule].name);
}

static const char *failed_of(const struct policy *p, const struct policy_answer *a)
{
	return a->failed < 0 ? "" : key_row(p->constraints[a->failed].key)->name;
}

/* ---- requests ---- */

#define STR(s)                                              \
	{                                                   \
		.p = (s), .len = sizeof(s) - 1, .set = true \
	}
#define LIST(array)                                               \
	{                                                         \
		.v = (array), .n = ARRAY_SIZE(array), .set = true \
	}

static struct v_str restart_nginx[] = {STR("restart"), STR("nginx.service")};
static struct v_str restart_sshd[] = {STR("restart"), STR("sshd.service")};
static struct v_str restart[] = {STR("restart")};
static struct v_str three[] = {STR("restart"), STR("nginx.service"), STR("now")};
static struct v_str slash[] = {STR("a/b")};
static struct v_str option[] = {STR("-rf")};
static struct v_str empty[] = {STR("")};
static struct v_str dots[] = {STR("...")};
static struct v_str lang[] = {STR("LANG=C")};
static struct v_str preload[] = {STR("LANG=C"), STR("LD_PRELOAD=x")};
static struct v_str nameless[] = {STR("=x")};
static struct v_str no_equals[] = {STR("LANG")};

#define SYSTEMCTL STR("/usr/bin/systemctl")

static const struct msg_exec plain = {.path = SYSTEMCTL};
static const struct msg_exec by_name = {.path = STR("systemctl")};
static const struct msg_exec logs = {.path = STR("collect-logs")};
static const struct msg_exec other = {.path = STR("/usr/bin/id")};
static const struct msg_exec climbing = {.path = STR("/opt/../bin/id")};
static const struct msg_exec dotted = {.path = STR("/opt/./id")};
static const struct msg_exec doubled = {.path = STR("/opt//id")};
static const struct msg_exec trailing = {.path = STR("/opt/id/")};
static const struct msg_exec relative = {.path = STR("opt/id")};
static const struct msg_exec bare_dots = {.path = STR("..")};
static const struct msg_exec no_path = {.path = STR("")};
static const struct msg_exec nginx = {.path = SYSTEMCTL, .arg = LIST(restart_nginx)};
static const struct msg_exec sshd = {.path = SYSTEMCTL, .arg = LIST(restart_sshd)};
static const struct msg_exec one_arg = {.path = SYSTEMCTL, .arg = LIST(restart)};
static const struct msg_exec three_args = {.path = SYSTEMCTL, .arg = LIST(three)};
static const struct msg_exec slash_arg = {.path = SYSTEMCTL, .arg = LIST(slash)};
static const struct msg_exec option_arg = {.path = SYSTEMCTL, .arg = LIST(option)};
static const struct msg_exec empty_arg = {.path = SYSTEMCTL, .arg = LIST(empty)};
static const struct msg_exec dots_arg = {.path = SYSTEMCTL, .arg = LIST(dots)};
static const struct msg_exec with_lang = {.path = SYSTEMCTL, .env = LIST(lang)};
static const struct msg_exec with_preload = {.path = SYSTEMCTL, .env = LIST(preload)};
static const struct msg_exec with_nameless = {.path = SYSTEMCTL, .env = LIST(nameless)};
static const struct msg_exec with_no_equals = {.path = SYSTEMCTL, .env = LIST(no_equals)};
static const struct msg_exec with_input = {.path = SYSTEMCTL,
					   .input_data = {.size = 100, .set = true}};
static const struct msg_exec_status status = {.pid = V_INT(7)};

static const struct msg_file_open open_default = {.path = STR("/x")};
static const struct msg_file_open open_r = {.path = STR("/x"), .mode = STR("r")};
static const struct msg_file_open open_rb = {.path = STR("/x"), .mode = STR("rb+")};
static const struct msg_file_open open_w = {.path = STR("/x"), .mode = STR("w")};
static const struct msg_file_open open_a = {.path = STR("/x"), .mode = STR("ab")};
static const struct msg_file_read file_read = {.handle = V_INT(1)};

static struct v_str ed25519[] = {STR("ssh-ed25519 AAAA me"), STR("")};
static struct v_str two_keys[] = {STR("ssh-ed25519 AAAA"), STR("ssh-rsa BBBB")};
static struct v_str options_key[] = {STR("no-pty ssh-ed25519 AAAA")};
static struct v_str lines_key[] = {STR("ssh-ed25519 AAAA\nssh-rsa BBBB")};

static const struct msg_ssh_user get_ada = {.username = STR("ada")};
static const struct msg_ssh_add add_ada = {.username = STR("ada"), .keys = LIST(ed25519)};
static const struct msg_ssh_add add_two = {.username = STR("ada"),
					   .keys = LIST(two_keys)};
static const struct msg_ssh_add add_options = {.username = STR("ada"),
					       .keys = LIST(options_key)};
static const struct msg_ssh_add add_lines = {.username = STR("ada"),
					     .keys = LIST(lines_key)};
static const struct msg_ssh_add add_reset = {
	.username = STR("ada"), .keys = LIST(ed25519), .reset = V_BOOL(true)};
static const struct msg_ssh_add add_root = {.username = STR("root"),
					    .keys = LIST(ed25519)};
static const struct msg_ssh_remove remove_root = {.username = STR("root"),
						  .keys = LIST(ed25519)};

static const struct msg_set_password password_ada = {
	.username = STR("ada"), .password = STR("x"), .crypted = V_BOOL(false)};
static const struct msg_set_password password_crypted = {
	.username = STR("ada"), .password = STR("$6$"), .crypted = V_BOOL(true)};
static const struct msg_set_password password_empty = {
	.username = STR("ada"), .password = STR(""), .crypted = V_BOOL(false)};
static const struct msg_set_password password_root = {
	.username = STR("root"), .password = STR("x"), .crypted = V_BOOL(false)};

static const struct msg_set_time time_given = {.time = V_INT(1)};
static const struct msg_set_time time_rtc = {0};

static struct msg_vcpu cpus_on[] = {{.logical_id = V_INT(1), .online = V_BOOL(true)}};
static struct msg_vcpu cpus_off[] = {{.logical_id = V_INT(1), .online = V_BOOL(true)},
				     {.logical_id = V_INT(2), .online = V_BOOL(false)}};
static struct msg_memory_block memory_off[] = {
	{.phys_index = V_U64(1), .online = V_BOOL(false)}};
static const struct msg_set_vcpus vcpus_on = {.vcpus = LIST(cpus_on)};
static const struct msg_set_vcpus vcpus_off = {.vcpus = LIST(cpus_off)};
static const struct msg_set_memory_blocks blocks_off = {.mem_blks = LIST(memory_off)};

static const struct msg_shutdown power_default = {0};
static const struct msg_shutdown power_down = {.mode = STR("powerdown")};
static const struct msg_shutdown power_halt = {.mode = STR("halt")};
static const struct msg_shutdown power_reboot = {.mode = STR("reboot")};
static const struct msg_shutdown power_odd = {.mode = STR("power")};
static const struct msg_empty nothing;

/* ---- one rule, one request ---- */

/* `failed`: the key of the constraint that refused; NULL: it is allowed. */
static const struct constraint_row {
	const char *rule;
	uint32_t op;
	const void *args;
	const char *failed;
} constraint_rows[] = {
	/* path */
	{"command = @exec\npath = /usr/bin/systemctl", OP_exec, &plain, NULL},
	{"command = @exec\npath = /usr/bin/systemctl", OP_exec, &by_name, NULL},
	{"command = @exec\npath = /usr/bin/systemctl", OP_exec, &other, "path"},
	{"command = @exec\npath = /usr/bin/systemctl ; /usr/bin/id", OP_exec, &other,
	 NULL},
	{"command = @exec\npath = systemctl", OP_exec, &by_name, "path"},
	{"command = @exec\npath = /usr/bin/*", OP_exec, &by_name, NULL},
	{"command = @exec\npath = **", OP_exec, &climbing, "path"},
	{"command = @exec\npath = /opt/**", OP_exec, &climbing, "path"},
	{"command = @exec\npath = /opt/**", OP_exec, &dotted, "path"},
	{"command = @exec\npath = /opt/**", OP_exec, &doubled, "path"},
	{"command = @exec\npath = /opt/**", OP_exec, &trailing, "path"},
	{"command = @exec\npath = **", OP_exec, &relative, "path"},
	{"command = @exec\npath = **", OP_exec, &bare_dots, "path"},
	{"command = @exec\npath = **", OP_exec, &no_path, "path"},
	{"command = @exec", OP_exec, &climbing, NULL},
	/* asking for a result has no path */
	{"command = @exec\npath = /usr/bin/systemctl", OP_exec_status, &status, NULL},
	{"command = guest-exec\npath = /usr/bin/systemctl", OP_exec_status, &status,
	 NULL},
	/* argv */
	{"command = @exec\nargv = {restart|reload} ; nginx.service", OP_exec, &nginx,
	 NULL},
	{"command = @exec\nargv = {restart|reload} ; nginx.service", OP_exec, &sshd,
	 "argv"},
	{"command = @exec\nargv = restart ; nginx.service", OP_exec, &one_arg, "argv"},
	{"command = @exec\nargv = restart ; nginx.service", OP_exec, &three_args, "argv"},
	{"command = @exec\nargv = restart", OP_exec, &nginx, "argv"},
	{"command = @exec\nargv = restart\nargv = nginx.service", OP_exec, &nginx, NULL},
	{"command = @exec\nargv = restart ; *", OP_exec, &nginx, NULL},
	{"command = @exec\nargv = restart ; *", OP_exec, &one_arg, "argv"},
	{"command = @exec\nargv = restart ; *", OP_exec, &three_args, "argv"},
	{"command = @exec\nargv = restart ; ...", OP_exec, &one_arg, NULL},
	{"command = @exec\nargv = restart ; ...", OP_exec, &three_args, NULL},
	{"command = @exec\nargv = reload ; ...", OP_exec, &three_args, "argv"},
	{"command = @exec\nargv = ...", OP_exec, &option_arg, NULL},
	{"command = @exec\nargv = ...", OP_exec, &plain, NULL},
	{"command = @exec\nargv = *", OP_exec, &slash_arg, NULL},
	{"command = @exec\nargv = a*", OP_exec, &slash_arg, "argv"},
	{"command = @exec\nargv = *", OP_exec, &option_arg, "argv"},
	{"command = @exec\nargv = -*", OP_exec, &option_arg, NULL},
	{"command = @exec\nargv = *", OP_exec, &empty_arg, NULL},
	{"command = @exec\nargv = \"\"", OP_exec, &empty_arg, NULL},
	{"command = @exec\nargv = \"\"", OP_exec, &plain, "argv"},
	{"command = @exec\nargv = \"...\"", OP_exec, &dots_arg, NULL},
	{"command = @exec\nargv = \"...\"", OP_exec, &option_arg, "argv"},
	{"command = @exec\nargv = {...|x}", OP_exec, &dots_arg, NULL},
	{"command = @exec\nargv = {...|x}", OP_exec, &three_args, "argv"},
	{"command = @exec\nargv = \"*\"", OP_exec, &one_arg, "argv"},
	/* env-allow */
	{"command = @exec\nenv-allow = LANG ; LC_*", OP_exec, &with_lang, NULL},
	{"command = @exec\nenv-allow = LANG ; LC_*", OP_exec, &with_preload, "env-allow"},
	{"command = @exec\nenv-allow = *", OP_exec, &with_preload, NULL},
	{"command = @exec\nenv-allow = LANG=C", OP_exec, &with_lang, "env-allow"},
	{"command = @exec\nenv-allow = \"\"", OP_exec, &with_lang, "env-allow"},
	{"command = @exec\nenv-allow = \"\"", OP_exec, &with_nameless, "env-allow"},
	{"command = @exec\nenv-allow = **", OP_exec, &with_nameless, "env-allow"},
	{"command = @exec\nenv-allow = *", OP_exec, &with_no_equals, "env-allow"},
	{"command = @exec\nenv-allow = \"\"", OP_exec, &plain, NULL},
	/* none is let through that no rule names */
	{"command = @exec", OP_exec, &with_lang, "env-allow"},
	{"command = @exec ; @info", OP_exec, &with_lang, "env-allow"},
	{"command = @exec", OP_exec, &plain, NULL},
	{"command = @exec", OP_exec_status, &status, NULL},
	/* input */
	{"command = @exec\nstdin = no", OP_exec, &with_input, "stdin"},
	{"command = @exec\nstdin = no", OP_exec, &plain, NULL},
	{"command = @exec\nstdin = yes", OP_exec, &with_input, NULL},
	{"command = @exec\nstdin-max = 100", OP_exec, &with_input, NULL},
	{"command = @exec\nstdin-max = 99", OP_exec, &with_input, "stdin-max"},
	/* files */
	{"command = @file-read\nopen-mode = read", OP_file_open, &open_default, NULL},
	{"command = @file-read\nopen-mode = read", OP_file_open, &open_r, NULL},
	{"command = @file-read\nopen-mode = read", OP_file_open, &open_rb, "open-mode"},
	{"command = @file-read\nopen-mode = update", OP_file_open, &open_rb, NULL},
	{"command = @file-read\nopen-mode = update", OP_file_open, &open_r, "open-mode"},
	{"command = @file-write\nopen-mode = create", OP_file_open, &open_w, NULL},
	{"command = @file-write\nopen-mode = replace", OP_file_open, &open_w, NULL},
	{"command = @file-write\nopen-mode = append ; read", OP_file_open, &open_w,
	 "open-mode"},
	{"command = @file-write\nopen-mode = append", OP_file_open, &open_a, NULL},
	{"command = @file-write\nopen-mode = create ; replace ; update", OP_file_open,
	 &open_a, "open-mode"},
	{"command = @file-read\nopen-mode = append", OP_file_read, &file_read, NULL},
	/* what is looked at later holds until then */
	{"command = @file-read\npath = /etc/hostname", OP_file_open, &open_r, NULL},
	{"command = @file-read\npath-beneath = /srv", OP_file_open, &open_r, NULL},
	/* accounts */
	{"command = @ssh-keys\nuser = ada ; bob*", OP_ssh_get_authorized_keys, &get_ada,
	 NULL},
	{"command = @ssh-keys\nuser = bob*", OP_ssh_get_authorized_keys, &get_ada,
	 "user"},
	{"command = @ssh-keys\nuser = ada", OP_ssh_add_authorized_keys, &add_root,
	 "user"},
	{"command = @ssh-keys\nuser = ada", OP_ssh_remove_authorized_keys, &remove_root,
	 "user"},
	{"command = @ssh-keys\nuser-exclude = root", OP_ssh_remove_authorized_keys,
	 &remove_root, "user-exclude"},
	{"command = @ssh-keys\nuser-exclude = root", OP_ssh_add_authorized_keys, &add_ada,
	 NULL},
	{"command = @password\nuser = ada", OP_set_user_password, &password_ada, NULL},
	{"command = @password\nuser = ada", OP_set_user_password, &password_root, "user"},
	{"command = @password\nuser-exclude = r*", OP_set_user_password, &password_root,
	 "user-exclude"},
	{"command = @password\ncrypted = only", OP_set_user_password, &password_crypted,
	 NULL},
	{"command = @password\ncrypted = only", OP_set_user_password, &password_ada,
	 "crypted"},
	{"command = @password\ncrypted = no", OP_set_user_password, &password_crypted,
	 "crypted"},
	{"command = @password\ncrypted = no", OP_set_user_password, &password_ada, NULL},
	{"command = @password\ncrypted = any", OP_set_user_password, &password_crypted,
	 NULL},
	{"command = @password\nempty = no", OP_set_user_password, &password_empty,
	 "empty"},
	{"command = @password\nempty = no", OP_set_user_password, &password_ada, NULL},
	{"command = @password\nempty = yes", OP_set_user_password, &password_empty, NULL},
	/* keys */
	{"command = @ssh-keys\nkey-types = ssh-ed25519", OP_ssh_add_authorized_keys,
	 &add_ada, NULL},
	{"command = @ssh-keys\nkey-types = ssh-ed25519", OP_ssh_add_authorized_keys,
	 &add_two, "key-types"},
	{"command = @ssh-keys\nkey-types = ssh-*", OP_ssh_add_authorized_keys, &add_two,
	 NULL},
	{"command = @ssh-keys\nkey-types = ssh-*", OP_ssh_add_authorized_keys,
	 &add_options, "key-types"},
	{"command = @ssh-keys\nkey-types = ssh-ed25519", OP_ssh_add_authorized_keys,
	 &add_lines, "key-types"},
	{"command = @ssh-keys\nkeys-max = 1", OP_ssh_add_authorized_keys, &add_ada, NULL},
	{"command = @ssh-keys\nkeys-max = 1", OP_ssh_add_authorized_keys, &add_two,
	 "keys-max"},
	{"command = @ssh-keys\nkeys-max = 1", OP_ssh_add_authorized_keys, &add_lines,
	 "keys-max"},
	{"command = @ssh-keys\nkeys-max = 2", OP_ssh_add_authorized_keys, &add_two, NULL},
	{"command = @ssh-keys\nreset = no", OP_ssh_add_authorized_keys, &add_reset,
	 "reset"},
	{"command = @ssh-keys\nreset = no", OP_ssh_add_authorized_keys, &add_ada, NULL},
	{"command = @ssh-keys\nreset = yes", OP_ssh_add_authorized_keys, &add_reset,
	 NULL},
	{"command = @ssh-keys\nreset = no", OP_ssh_get_authorized_keys, &get_ada, NULL},
	/* time, CPUs, memory */
	{"command = @time\nfrom-rtc = no", OP_set_time, &time_rtc, "from-rtc"},
	{"command = @time\nfrom-rtc = no", OP_set_time, &time_given, NULL},
	{"command = @time\nfrom-rtc = yes", OP_set_time, &time_rtc, NULL},
	{"command = @hotplug\noffline = no", OP_set_vcpus, &vcpus_on, NULL},
	{"command = @hotplug\noffline = no", OP_set_vcpus, &vcpus_off, "offline"},
	{"command = @hotplug\noffline = no", OP_set_memory_blocks, &blocks_off,
	 "offline"},
	{"command = @hotplug\noffline = yes", OP_set_memory_blocks, &blocks_off, NULL},
	/* power */
	{"command = @power\nmodes = powerdown", OP_shutdown, &power_default, NULL},
	{"command = @power\nmodes = powerdown", OP_shutdown, &power_down, NULL},
	{"command = @power\nmodes = powerdown", OP_shutdown, &power_reboot, "modes"},
	{"command = @power\nmodes = powerdown", OP_shutdown, &power_odd, "modes"},
	{"command = @power\nmodes = halt ; reboot", OP_shutdown, &power_halt, NULL},
	{"command = @power\nmodes = halt ; reboot", OP_shutdown, &power_reboot, NULL},
	{"command = @power\nmodes = halt ; reboot", OP_shutdown, &power_default, "modes"},
	{"command = @suspend\nmodes = ram", OP_suspend_ram, &nothing, NULL},
	{"command = @suspend\nmodes = ram", OP_suspend_disk, &nothing, "modes"},
	{"command = @suspend\nmodes = ram", OP_suspend_hybrid, &nothing, "modes"},
	{"command = @suspend\nmodes = disk ; hybrid", OP_suspend_hybrid, &nothing, NULL},
};

static void constraints_hold_or_not(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(constraint_rows); i++) {
		const struct constraint_row *r = &constraint_rows[i];
		struct policy_answer a;
		char text[512];

		snprintf(text, sizeof(text), NONE ALLOW("it", "%s"), r->rule);
		read_text(f, text);
		a = ask(&f->policy, r->op, r->args);
		if (a.allowed != !r->failed)
			fail_msg("row %zu, '%s': not %d", i, r->rule, a.allowed);
		assert_string_equal(rule_of(&f->policy, &a), "it");
		assert_string_equal(failed_of(&f->policy, &a),
				    r->failed ? r->failed : "");
		assert_false(a.never);
		/* Without arguments, only the command is asked about. */
		assert_true(ask(&f->policy, r->op, NULL).allowed);
	}
}

/* A row of the table above for every key that a request can break. */
static void no_constraint_is_forgotten(void **state)
{
	(void)state;
	for (enum key key = 0; key < KEYS_COUNT; key++) {
		const struct key_row *row = key_row(key);
		bool found = !row->name || row->stage != AT_REQUEST;

		for (size_t i = 0; !found && i < ARRAY_SIZE(constraint_rows); i++) {
			const struct constraint_row *r = &constraint_rows[i];

			found = r->failed && streq(r->failed, row->name) &&
				key_ops(key) >> r->op & 1;
		}
		if (!found)
			fail_msg("no request breaks '%s' (%u)", row->name, key);
	}
}

static void reasons_are_those_of_the_key(void **state)
{
	static const struct {
		const char *rule;
		uint32_t op;
		const void *args;
		enum reason reason;
	} rows[] = {
		{"command = @exec\npath = /x", OP_exec, &plain, REASON_PATH},
		{"command = @exec\nargv = x", OP_exec, &plain, REASON_ARGV},
		{"command = @exec", OP_exec, &with_lang, REASON_ENVIRONMENT},
		{"command = @exec\nstdin = no", OP_exec, &with_input, REASON_INPUT},
		{"command = @power\nmodes = halt", OP_shutdown, &power_down, REASON_MODE},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char text[512];

		snprintf(text, sizeof(text), NONE ALLOW("it", "%s"), rows[i].rule);
		read_text(f, text);
		assert_int_equal(ask(&f->policy, rows[i].op, rows[i].args).reason,
				 rows[i].reason);
	}
}

/* ---- rules among each other ---- */

/* `never`: no arguments could be allowed. RULE is NULL where none is named. */
static const struct rule_row {
	const char *text;
	uint32_t op;
	const void *args;
	bool allowed, never;
	enum reason reason;
	const char *rule;
	const char *failed;
} rule_rows[] = {
	/* nothing is allowed that no rule allows */
	{NONE, OP_get_time, NULL, false, true, REASON_NO_RULE, "", ""},
	{NONE, OP_ping, NULL, true, false, REASON_RULE, "session", ""},
	{NONE ALLOW("one", "command = guest-get-time ; guest-get-users"), OP_get_users,
	 NULL, true, false, REASON_RULE, "one", ""},
	{NONE ALLOW("one", "command = guest-get-time ; guest-get-users"), OP_get_load,
	 NULL, false, true, REASON_NO_RULE, "", ""},
	/* no file at all: the safe profile */
	{"", OP_get_time, NULL, true, false, REASON_RULE, "info", ""},
	{"", OP_exec, &plain, false, true, REASON_NO_RULE, "", ""},
	/* a deny beats an allow, wherever it stands */
	{NONE ALLOW("yes", "command = @info") DENY("no", "command = guest-get-users"),
	 OP_get_users, NULL, false, true, REASON_EXPLICIT_DENY, "no", ""},
	{NONE DENY("no", "command = guest-get-users") ALLOW("yes", "command = @info"),
	 OP_get_users, NULL, false, true, REASON_EXPLICIT_DENY, "no", ""},
	{NONE DENY("no", "command = guest-get-users") ALLOW("yes", "command = @info"),
	 OP_get_time, NULL, true, false, REASON_RULE, "yes", ""},
	{BASE("legacy") DENY("no", "command = @exec"), OP_exec, &plain, false, true,
	 REASON_EXPLICIT_DENY, "no", ""},
	{BASE("safe") DENY("no", "command = guest-ping"), OP_ping, NULL, false, true,
	 REASON_EXPLICIT_DENY, "no", ""},
	/* a deny with constraints: all must hold */
	{BASE("legacy") DENY("no", "command = @exec\npath = /usr/bin/id"), OP_exec,
	 &other, false, false, REASON_EXPLICIT_DENY, "no", ""},
	{BASE("legacy") DENY("no", "command = @exec\npath = /usr/bin/id"), OP_exec,
	 &plain, true, false, REASON_RULE, "programs", ""},
	{BASE("legacy") DENY("no", "command = @exec\npath = /usr/bin/id"), OP_exec_status,
	 &status, true, false, REASON_RULE, "programs", ""},
	{BASE("legacy") DENY("no", "command = @exec\npath = /usr/bin/*\nargv = restart"),
	 OP_exec, &one_arg, false, false, REASON_EXPLICIT_DENY, "no", ""},
	{BASE("legacy") DENY("no", "command = @exec\npath = /usr/bin/*\nargv = restart"),
	 OP_exec, &nginx, true, false, REASON_RULE, "programs", ""},
	{BASE("legacy") DENY("no", "command = @exec\npath = /usr/bin/id"), OP_exec, NULL,
	 true, false, REASON_RULE, "programs", ""},
	{BASE("legacy") DENY("no", "command = @file-read ; @file-write\npath = /x"),
	 OP_file_open, &open_r, true, false, REASON_RULE, "files", ""},
	{BASE("legacy") DENY("no", "command = @ssh-keys\nkey-types = ssh-ed25519"),
	 OP_ssh_get_authorized_keys, &get_ada, true, false, REASON_RULE, "keys", ""},
	{BASE("legacy") DENY("no", "command = guest-exec"), OP_exec_status, &status, true,
	 false, REASON_RULE, "programs", ""},
	/* alternatives */
	{NONE ALLOW("a", "command = guest-exec\npath = /a")
		 ALLOW("b", "command = guest-exec\npath = /usr/bin/id"),
	 OP_exec, &other, true, false, REASON_RULE, "b", ""},
	/* the administrator's allow takes the place of the base's, for its commands */
	{BASE("legacy") ALLOW("mine", "command = guest-exec\npath = /usr/bin/id"),
	 OP_exec, &plain, false, false, REASON_PATH, "mine", "path"},
	{BASE("legacy") ALLOW("mine", "command = guest-exec\npath = /usr/bin/id"),
	 OP_exec, &other, true, false, REASON_RULE, "mine", ""},
	{BASE("legacy") ALLOW("mine", "command = guest-exec\npath = /usr/bin/id"),
	 OP_exec_status, &status, true, false, REASON_RULE, "programs", ""},
	{BASE("legacy") ALLOW("mine", "command = guest-exec\npath = /usr/bin/id"),
	 OP_file_open, &open_r, true, false, REASON_RULE, "files", ""},
	{BASE("legacy") ALLOW("mine", "command = @power\nmodes = halt"), OP_shutdown,
	 &power_down, false, false, REASON_MODE, "mine", "modes"},
	/* a part goes with its command */
	{BASE("legacy"), OP_disk_smart, NULL, true, false, REASON_RULE, "smart", ""},
	{BASE("safe"), OP_disk_smart, NULL, false, true, REASON_NO_RULE, "", ""},
	{BASE("legacy") ALLOW("mine", "command = guest-get-disks\nsmart = no"),
	 OP_disk_smart, NULL, false, true, REASON_NO_RULE, "", ""},
	{BASE("legacy") ALLOW("mine", "command = guest-get-disks\nexclude = loop*"),
	 OP_disk_smart, NULL, false, true, REASON_NO_RULE, "", ""},
	{BASE("safe") ALLOW("mine", "command = guest-get-disks\nsmart = yes"),
	 OP_disk_smart, NULL, true, false, REASON_RULE, "mine", ""},
	/* named programs add to the base, and are picked by name alone */
	{BASE("safe") PROGRAM("collect-logs", "path = /usr/lib/x/logs"), OP_exec, &logs,
	 true, false, REASON_RULE, "collect-logs", ""},
	{BASE("safe") PROGRAM("collect-logs", "path = /usr/lib/x/logs"), OP_exec_status,
	 &status, true, false, REASON_RULE, "collect-logs", ""},
	{BASE("safe") PROGRAM("collect-logs", "path = /usr/bin/id"), OP_exec, &other,
	 false, false, REASON_PATH, "collect-logs", NULL},
	{BASE("safe") PROGRAM("collect-logs", "path = /usr/bin/id\nargv = x"), OP_exec,
	 &logs, false, false, REASON_ARGV, "collect-logs", "argv"},
	{BASE("legacy") PROGRAM("collect-logs", "path = /usr/bin/id"), OP_exec, &plain,
	 true, false, REASON_RULE, "programs", ""},
	/* the nearest: most constraints held, then file and line */
	{NONE ALLOW("far", "command = guest-exec\npath = /x\nargv = x")
		 ALLOW("near", "command = guest-exec\npath = /usr/bin/*\nargv = x"),
	 OP_exec, &plain, false, false, REASON_ARGV, "near", "argv"},
	{NONE ALLOW("near", "command = guest-exec\npath = /usr/bin/*\nargv = x")
		 ALLOW("far", "command = guest-exec\npath = /x\nargv = x"),
	 OP_exec, &plain, false, false, REASON_ARGV, "near", "argv"},
	{NONE ALLOW("first", "command = guest-exec\npath = /x")
		 ALLOW("second", "command = guest-exec\npath = /y"),
	 OP_exec, &plain, false, false, REASON_PATH, "first", "path"},
	{NONE ALLOW("first", "command = guest-exec\nargv = ...")
		 ALLOW("second", "command = guest-exec"),
	 OP_exec, &plain, true, false, REASON_RULE, "first", ""},
	/* constraints in the order of the table, however they were written */
	{NONE ALLOW("it", "argv = x\npath = /x\ncommand = guest-exec"), OP_exec, &plain,
	 false, false, REASON_PATH, "it", "path"},
};

static void rules_combine(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(rule_rows); i++) {
		const struct rule_row *r = &rule_rows[i];
		struct policy_answer a;

		read_text(f, r->text);
		a = ask(&f->policy, r->op, r->args);
		if (a.allowed != r->allowed || a.never != r->never ||
		    a.reason != r->reason || !streq(rule_of(&f->policy, &a), r->rule))
			fail_msg("row %zu: allowed %d, never %d, %s, rule '%s'", i,
				 a.allowed, a.never, reason_name(a.reason),
				 rule_of(&f->policy, &a));
		assert_int_equal(a.failed >= 0, !r->failed || *r->failed);
		if (r->failed)
			assert_string_equal(failed_of(&f->policy, &a), r->failed);
		assert_false(a.complained);
	}
}

/* Each rule of an answer tells its file and line. */
static void answers_name_file_and_line(void **state)
{
	struct fixture *f = *state;
	struct policy_answer a;
	const struct image_rule *r;

	read_text(f,
		  NONE "# a remark\n\n" ALLOW("it", "command = guest-exec\n\npath = /x"));
	a = ask(&f->policy, OP_exec, &plain);
	r = &f->policy.rules[a.rule];
	assert_string_equal(policy_text(&f->policy, r->file), "test.conf");
	assert_int_equal(r->line, 5);
	assert_int_equal(f->policy.constraints[a.failed].line, 9);
	a = ask(&f->policy, OP_ping, NULL);
	r = &f->policy.rules[a.rule];
	assert_string_equal(policy_text(&f->policy, r->file), "builtin:none");
	assert_string_equal(policy_base(&f->policy), "none");
}

/* A number that is no command of this build, and those beyond the set. */
static void unknown_operations_are_denied(void **state)
{
	static const uint32_t numbers[] = {0, 59, 63, 64, 65, 128, UINT32_MAX};
	struct fixture *f = *state;

	policy_of_profile(&f->policy, &f->image, "legacy");
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		struct policy_answer a = ask(&f->policy, numbers[i], NULL);

		assert_false(a.allowed);
		assert_true(a.never);
		assert_int_equal(a.rule, -1);
	}
}

/* ---- complain mode ---- */

#define COMPLAIN(base, ceiling) \
	"[policy]\nmode = complain\nbase = " base "\n" ceiling "\n"

static const struct complain_row {
	const char *text;
	uint32_t op;
	const void *args;
	bool allowed, complained;
	enum reason reason;
} complain_rows[] = {
	{COMPLAIN("none", "ceiling = legacy"), OP_exec, &plain, true, true,
	 REASON_NO_RULE},
	{COMPLAIN("none", "ceiling = legacy"), OP_ping, NULL, true, false, REASON_RULE},
	{COMPLAIN("none", "ceiling = safe"), OP_exec, &plain, false, false,
	 REASON_NO_RULE},
	{COMPLAIN("none", "ceiling = safe"), OP_get_time, NULL, true, true,
	 REASON_NO_RULE},
	/* the ceiling is the base itself */
	{COMPLAIN("confidential", ""), OP_exec, &plain, false, false, REASON_NO_RULE},
	{COMPLAIN("safe", DENY("no", "command = @info")), OP_get_time, NULL, true, true,
	 REASON_EXPLICIT_DENY},
	{COMPLAIN("legacy", ALLOW("it", "command = guest-exec\npath = /x")), OP_exec,
	 &plain, true, true, REASON_PATH},
	/* the ceiling's constraints hold too */
	{COMPLAIN("none", "ceiling = confidential"), OP_shutdown, &power_reboot, false,
	 false, REASON_NO_RULE},
	{COMPLAIN("none", "ceiling = confidential"), OP_shutdown, &power_down, true, true,
	 REASON_NO_RULE},
	/* without the mode, it means nothing */
	{"[policy]\nbase = none\nceiling = legacy\n", OP_exec, &plain, false, false,
	 REASON_NO_RULE},
};

static void complaining_ends_at_the_ceiling(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(complain_rows); i++) {
		const struct complain_row *r = &complain_rows[i];
		struct policy_answer a;

		read_text(f, r->text);
		a = ask(&f->policy, r->op, r->args);
		if (a.allowed != r->allowed || a.complained != r->complained ||
		    a.reason != r->reason)
			fail_msg("row %zu: allowed %d, complained %d, %s", i, a.allowed,
				 a.complained, reason_name(a.reason));
		if (a.allowed)
			assert_true(policy_may(&f->policy, r->op));
	}
}

/* What is let through has the limits of the ceiling, which is all that allowed it. */
static void complaining_keeps_the_limits_of_the_ceiling(void **state)
{
	struct fixture *f = *state;
	struct policy_answer a;
	uint64_t value = 0;

	read_text(f, COMPLAIN("none", "ceiling = confidential"));
	a = ask(&f->policy, OP_fsfreeze_freeze, NULL);
	assert_true(a.complained);
	assert_true(policy_limit(&f->policy, &a, KEY_FREEZE_MAX, &value));
	assert_int_equal(value, 60000);
}

/* ---- limits ---- */

static void limits_are_the_tightest(void **state)
{
	struct fixture *f = *state;
	struct policy_answer a;
	uint64_t value = 0;

	read_text(
		f,
		NONE ALLOW("a", "command = guest-exec\ntimeout = 60s\noutput-max = 1M")
			ALLOW("b", "command = guest-exec\ntimeout = 30s") ALLOW(
				"c", "command = guest-exec\npath = /x\ntimeout = 1s")
				ALLOW("d", "command = @hotplug\nonline-min = 2") ALLOW(
					"e", "command = guest-set-vcpus\nonline-min = 4")
					ALLOW("f", "command = guest-exec\npath = "
						   "**\noutput-max = 2M"));
	a = ask(&f->policy, OP_exec, &plain);
	assert_string_equal(rule_of(&f->policy, &a), "a");
	assert_true(policy_limit(&f->policy, &a, KEY_TIMEOUT, &value));
	assert_int_equal(value, 30000); /* not that of "c", which does not match */
	assert_true(policy_limit(&f->policy, &a, KEY_OUTPUT_MAX, &value));
	assert_int_equal(value, 1024 * 1024);
	assert_false(policy_limit(&f->policy, &a, KEY_MEMORY_MAX, &value));
	a = ask(&f->policy, OP_set_vcpus, &vcpus_on);
	assert_true(policy_limit(&f->policy, &a, KEY_ONLINE_MIN, &value));
	assert_int_equal(value, 4); /* of a least number the tightest is the most */
	a = ask(&f->policy, OP_get_time, NULL);
	assert_false(policy_limit(&f->policy, &a, KEY_TIMEOUT, &value));
}

/* A rule whose number is beyond the first word of the set counts like any other. */
static void limits_of_many_rules(void **state)
{
	struct fixture *f = *state;
	CLEANUP(free_p) char *text = malloc(64 * 1024);
	size_t len = (size_t)sprintf(text, "%s", NONE);
	struct policy_answer a;
	uint64_t value = 0;

	for (unsigned int i = 0; i < 700; i++)
		len += (size_t)sprintf(text + len,
				       "[rule \"r%u\"]\neffect = allow\ncommand = "
				       "guest-exec\ntimeout = %u\n",
				       i, i == 650 ? 1 : 1000 + i);
	read_text(f, text);
	a = ask(&f->policy, OP_exec, &plain);
	assert_true(policy_limit(&f->policy, &a, KEY_TIMEOUT, &value));
	assert_int_equal(value, 1000);
}

/* Of what shapes an answer, every rule that matched has its word. */
static void exclusions_add_up(void **state)
{
	struct fixture *f = *state;
	const struct image_constraint *c;
	struct policy_answer a;
	unsigned int found = 0;
	uint32_t at = 0;

	read_text(f, NONE ALLOW("a", "command = guest-network-get-interfaces\n"
				     "exclude = veth* ; docker*")
			     ALLOW("b", "command = @info\nhide = hardware-address") ALLOW(
				     "c", "command = guest-network-get-interfaces\n"
					  "exclude = cali*")
				     ALLOW("d",
					   "command = guest-get-users\nexclude = root"));
	a = ask(&f->policy, OP_network_get_interfaces, &nothing);
	while ((c = policy_next(&f->policy, &a, KEY_EXCLUDE, &at))) {
		const char *name = policy_text(&f->policy, f->policy.rules[c->rule].name);

		assert_true(streq(name, "a") || streq(name, "c"));
		found += c->n_values;
	}
	assert_int_equal(found, 3);
	at = 0;
	assert_non_null(policy_next(&f->policy, &a, KEY_HIDE, &at));
	assert_null(policy_next(&f->policy, &a, KEY_HIDE, &at));
}

/* ---- locked down, lists of the command line ---- */

static void locked_down_leaves_the_session(void **state)
{
	struct fixture *f = *state;

	f->image = wbuf_growing(IMAGE_MAX);
	policy_locked_down("policy.conf:3: a mistake", &f->image);
	assert_false(f->image.bad);
	assert_int_equal(policy_open(&f->policy, f->image.p, f->image.len), 0);
	assert_string_equal(policy_text(&f->policy, f->policy.head->locked_down),
			    "policy.conf:3: a mistake");
	for (uint32_t n = op_after(OP_NONE); n != OP_NONE; n = op_after(n)) {
		struct policy_answer a = ask(&f->policy, n, NULL);
		bool session = op_by_number(n)->groups == GROUP_SESSION;

		assert_int_equal(a.allowed, session);
		assert_int_equal(a.never, !session);
		assert_int_equal(a.reason, session ? REASON_RULE : REASON_LOCKED_DOWN);
	}
}

static void with_lists(struct fixture *f, const char *text, uint64_t ops)
{
	struct source *s = source_new();

	f->image = wbuf_growing(IMAGE_MAX);
	source_add(s, "test.conf", text, strlen(text));
	source_deny(s, ops);
	assert_int_equal(source_build(s, &f->image), 0);
	assert_int_equal(policy_open(&f->policy, f->image.p, f->image.len), 0);
	source_free(s);
}

static void lists_deny_whatever_a_rule_says(void **state)
{
	struct fixture *f = *state;
	struct policy_answer a;

	with_lists(f, BASE("legacy") ALLOW("mine", "command = @exec"),
		   OPS_OF_1(exec) | OPS_OF_1(get_users));
	a = ask(&f->policy, OP_exec, &plain);
	assert_false(a.allowed);
	assert_true(a.never);
	assert_int_equal(a.reason, REASON_EXPLICIT_DENY);
	assert_string_equal(rule_of(&f->policy, &a), "block and allow lists");
	assert_false(ask(&f->policy, OP_get_users, NULL).allowed);
	assert_true(ask(&f->policy, OP_get_time, NULL).allowed);
	assert_true(ask(&f->policy, OP_exec_status, &status).allowed);
}

/* qemu-ga's lists were never something to try out. */
static void lists_deny_in_complain_mode(void **state)
{
	struct fixture *f = *state;

	with_lists(f, COMPLAIN("legacy", ""), OPS_OF_1(exec));
	assert_false(ask(&f->policy, OP_exec, &plain).allowed);
	assert_true(ask(&f->policy, OP_get_time, NULL).allowed);
}

/* ---- an image that lies ---- */

static const struct sample {
	uint32_t op;
	const void *args;
} samples[] = {
	{OP_exec, &nginx},
	{OP_exec, &with_preload},
	{OP_exec, &by_name},
	{OP_exec, &with_input},
	{OP_exec_status, &status},
	{OP_file_open, &open_w},
	{OP_file_read, &file_read},
	{OP_ssh_get_authorized_keys, &get_ada},
	{OP_ssh_add_authorized_keys, &add_two},
	{OP_ssh_remove_authorized_keys, &remove_root},
	{OP_set_user_password, &password_ada},
	{OP_set_time, &time_rtc},
	{OP_set_vcpus, &vcpus_off},
	{OP_set_memory_blocks, &blocks_off},
	{OP_shutdown, &power_reboot},
	{OP_suspend_ram, &nothing},
	{OP_network_get_interfaces, &nothing},
	{OP_get_disks, NULL},
};

static void check_text(const struct policy *p, uint32_t text)
{
	assert_true(text < p->head->n_text);
	assert_true(text + strlen(policy_text(p, text)) < p->head->n_text);
}

/* Everything that a reader of P may do: nothing leaves the block (and asan sees it). */
static void use(const struct policy *p)
{
	check_text(p, p->head->base);
	check_text(p, p->head->ceiling);
	check_text(p, p->head->locked_down);
	for (uint32_t i = 0; i < p->head->n_rules; i++) {
		check_text(p, p->rules[i].name);
		check_text(p, p->rules[i].file);
	}
	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		struct policy_answer a = ask(p, samples[i].op, samples[i].args);
		uint64_t value;

		assert_true(a.rule >= -1 && a.rule < (int32_t)p->head->n_rules);
		assert_true(a.failed >= -1 && a.failed < (int32_t)p->head->n_constraints);
		assert_true(a.reason < REASON_COUNT);
		for (enum key key = 0; key < KEYS_COUNT; key++) {
			uint32_t at = 0;

			while (policy_next(p, &a, key, &at))
				;
			if (key_row(key)->stage == AT_ACT)
				policy_limit(p, &a, key, &value);
		}
	}
}

static const char rich[] = COMPLAIN(
	"safe",
	"ceiling = libvirt") "deny-detail = full\n" DENY("no",
							 "command = guest-exec\npath = "
							 "/bin/sh\nargv = -c ; ...")
	ALLOW("nginx", "command = guest-exec\npath = /usr/bin/systemctl\n"
		       "argv = {restart|reload} ; nginx*\nenv-allow = LANG\n"
		       "stdin-max = 1K\ntimeout = 30s\nrate = 5/min burst 9")
		PROGRAM("logs", "path = /usr/bin/logs\nargv = [a-z]? ; ...\nuser "
				"= logs")
			ALLOW("files",
			      "command = @file-write\npath-beneath = /srv\nopen-mode = "
			      "create") ALLOW("keys",
					      "command = @ssh-keys\nuser = "
					      "ad*\nkey-types = ssh-*\nkeys-max = 3")
				ALLOW("passwords", "command = @password\ncrypted = "
						   "only\nuser-exclude = root")
					ALLOW("off", "command = @power\nmodes = reboot")
						ALLOW("nics",
						      "command = "
						      "guest-network-get-"
						      "interfaces\nexclude = veth*\n"
						      "hide = hardware-address");

/* Each byte to several values: refused, or harmless. Refused often, or it checks nothing.
 */
static void altered_images_are_refused_or_harmless(void **state)
{
	static const uint8_t masks[] = {0x01, 0x80, 0xff, 0x10};
	struct fixture *f = *state;
	unsigned int refused = 0;

	read_text(f, rich);
	use(&f->policy);
	for (size_t i = 0; i < f->image.len; i++)
		for (size_t k = 0; k < ARRAY_SIZE(masks); k++) {
			/* Of its very size, so that asan sees a step beyond. */
			CLEANUP(free_p) uint8_t *copy = malloc(f->image.len);
			struct policy p;

			memcpy(copy, f->image.p, f->image.len);
			copy[i] ^= masks[k];
			if (policy_open(&p, copy, f->image.len) == 0)
				use(&p);
			else
				refused++;
		}
	assert_true(refused > f->image.len / 2);
}

static void cut_images_are_refused(void **state)
{
	struct fixture *f = *state;
	struct policy p;

	read_text(f, rich);
	for (size_t len = 0; len < f->image.len; len++) {
		CLEANUP(free_p) uint8_t *copy = malloc(len + 1);

		memcpy(copy, f->image.p, len);
		assert_int_equal(policy_open(&p, copy, len), -1);
		/* The same with a head that says so. */
		if (len < sizeof(struct image_head))
			continue;
		((struct image_head *)(void *)copy)->size = (uint32_t)len;
		assert_int_equal(policy_open(&p, copy, len), -1);
	}
}

/* Lies of the kind that a decision would act upon, made in a copy of the image. */
struct lie {
	struct image_head *head;
	struct image_rule *rules;
	struct image_value *values;
	struct image_constraint *constraints;
	char *text;
};

static void lie_magic(struct lie *l)
{
	l->head->magic++;
}

static void lie_many_rules(struct lie *l)
{
	l->head->n_rules = IMAGE_RULES_MAX + 1;
}

static void lie_no_text(struct lie *l)
{
	l->head->n_text = 0;
}

static void lie_mode(struct lie *l)
{
	l->head->mode = MODE_COMPLAIN + 1;
}

static void lie_short_interval(struct lie *l)
{
	l->head->audit_interval_ms = 999;
}

static void lie_long_interval(struct lie *l)
{
	l->head->audit_interval_ms = 3600001;
}

static void lie_no_interval(struct lie *l)
{
	l->head->audit_interval_ms = 0;
}

/* A deny behind an allow would come too late. */
static void lie_order(struct lie *l)
{
	struct image_rule *last = &l->rules[l->head->n_rules - 1];

	last->effect = POLICY_DENY;
}

/* A rule of one set among those of another hides what follows. */
static void lie_sets(struct lie *l)
{
	l->rules[1].set = SET_CEILING;
}

static void lie_set_unknown(struct lie *l)
{
	l->rules[l->head->n_rules - 1].set = SET_CEILING + 1;
}

static void lie_effect(struct lie *l)
{
	l->rules[0].effect = 3;
}

/* Constraints that no rule has, or two have. */
static void lie_fewer_constraints(struct lie *l)
{
	l->rules[0].n_constraints--;
}

static void lie_shared_constraints(struct lie *l)
{
	l->rules[1].constraint = l->rules[0].constraint;
}

static void lie_rule_of_constraint(struct lie *l)
{
	l->constraints[0].rule++;
}

static void lie_key(struct lie *l)
{
	l->constraints[0].key = KEYS_COUNT;
}

/* About other commands than its rule is. */
static void lie_foreign_key(struct lie *l)
{
	l->constraints[0].key = KEY_MAX_STEP;
}

static void lie_fewer_values(struct lie *l)
{
	l->constraints[0].n_values = 0;
}

static void lie_values_beyond(struct lie *l)
{
	l->constraints[l->head->n_constraints - 1].n_values = l->head->n_values + 1;
}

static void lie_text_beyond(struct lie *l)
{
	l->values[0].text = l->head->n_text;
}

static void lie_text_length(struct lie *l)
{
	l->values[0].len = UINT16_MAX;
}

static void lie_text_cut(struct lie *l)
{
	l->values[0].len--;
}

static void lie_pattern(struct lie *l)
{
	memset(l->text + l->values[0].text, '[', l->values[0].len);
	l->values[0].literal = 0;
}

/* Longer than it is: a wildcard would be compared as a byte. */
static void lie_literal(struct lie *l)
{
	l->values[0].literal++;
}

static void lie_last_text(struct lie *l)
{
	l->text[l->head->n_text - 1] = 'x';
}

static void lie_first_text(struct lie *l)
{
	l->text[0] = 'x';
}

static void lie_rate(struct lie *l)
{
	l->rules[0].rate = 1;
	l->rules[0].rate_ms = 0;
}

static void lie_nothing(struct lie *l)
{
	(void)l;
}

#define LIE(what)           \
	{                   \
#what, what \
	}
static const struct lie_row {
	const char *name;
	void (*tell)(struct lie *l);
} lies[] = {
	LIE(lie_nothing), /* first: the copy as such is fine */
	LIE(lie_magic),
	LIE(lie_many_rules),
	LIE(lie_no_text),
	LIE(lie_mode),
	LIE(lie_short_interval),
	LIE(lie_long_interval),
	LIE(lie_no_interval),
	LIE(lie_order),
	LIE(lie_sets),
	LIE(lie_set_unknown),
	LIE(lie_effect),
	LIE(lie_fewer_constraints),
	LIE(lie_shared_constraints),
	LIE(lie_rule_of_constraint),
	LIE(lie_key),
	LIE(lie_foreign_key),
	LIE(lie_fewer_values),
	LIE(lie_values_beyond),
	LIE(lie_text_beyond),
	LIE(lie_text_length),
	LIE(lie_text_cut),
	LIE(lie_pattern),
	LIE(lie_literal),
	LIE(lie_last_text),
	LIE(lie_first_text),
	LIE(lie_rate),
};

static void lies_are_refused(void **state)
{
	struct fixture *f = *state;

	read_text(f, rich);
	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		CLEANUP(free_p) uint8_t *copy = malloc(f->image.len);
		const struct policy *p = &f->policy;
		struct policy q;
		struct lie l = {
			.head = (void *)copy,
			.rules = (void *)(copy + ((uint8_t *)p->rules - f->image.p)),
			.values = (void *)(copy + ((uint8_t *)p->values - f->image.p)),
			.constraints =
				(void *)(copy + ((uint8_t *)p->constraints - f->image.p)),
			.text = (char *)copy + ((uint8_t *)p->text - f->image.p),
		};

		memcpy(copy, f->image.p, f->image.len);
		lies[i].tell(&l);
		if (policy_open(&q, copy, f->image.len) != (i ? -1 : 0))
			fail_msg("%s", lies[i].name);
	}
}

/* The digest in every record: the same policy, the same bytes. */
static void images_are_reproducible(void **state)
{
	struct fixture *f = *state;
	struct fixture again = {0};

	read_text(f, rich);
	read_text(&again, rich);
	assert_int_equal(f->image.len, again.image.len);
	assert_memory_equal(f->image.p, again.image.p, f->image.len);
	assert_memory_equal(f->policy.sha256, again.policy.sha256, SHA256_LEN);
	wbuf_free(&again.image);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(constraints_hold_or_not),
		TEST(no_constraint_is_forgotten),
		TEST(reasons_are_those_of_the_key),
		TEST(rules_combine),
		TEST(answers_name_file_and_line),
		TEST(unknown_operations_are_denied),
		TEST(complaining_ends_at_the_ceiling),
		TEST(complaining_keeps_the_limits_of_the_ceiling),
		TEST(limits_are_the_tightest),
		TEST(limits_of_many_rules),
		TEST(exclusions_add_up),
		TEST(locked_down_leaves_the_session),
		TEST(lists_deny_whatever_a_rule_says),
		TEST(lists_deny_in_complain_mode),
		TEST(altered_images_are_refused_or_harmless),
		TEST(cut_images_are_refused),
		TEST(lies_are_refused),
		TEST(images_are_reproducible),
	};

	return cmocka_run_group_tests_name("policy", tests, NULL, NULL);
}
