/*
 * tests/unit/test_policy_property.c - what holds for every policy and every request
 *
 * Runs in:   a test
 * Input:     policies and requests made up from a seed
 * May touch: memory, memfds
 * Must not:  differ from run to run: a failure prints the seed of its round
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "ipc/memfd.h"
#include "policy/source.h"

/* Policies, and requests of each: 100,000 in all. */
#ifdef __SANITIZE_ADDRESS__
#define ROUNDS 40
#else
#define ROUNDS 400
#endif
#define REQUESTS  250
#define RULES_MAX 10
#define FILES     3 /* of rules; then one of settings, and one that is added */

/* ---- chance ---- */

struct chance {
	uint64_t x;
};

static uint32_t any(struct chance *c, uint32_t below)
{
	c->x ^= c->x << 13;
	c->x ^= c->x >> 7;
	c->x ^= c->x << 17;
	return (uint32_t)((c->x * 0x2545f4914f6cdd1dull) >> 33) % below;
}

static bool once_in(struct chance *c, uint32_t n)
{
	return any(c, n) == 0;
}

#define PICK(c, array) ((array)[any(c, ARRAY_SIZE(array))])

/* ---- policies ---- */

/* Lines that a rule of these commands may have; the empty one leaves the key out. */
struct template
{
	const char *commands[4];
	const char *lines[3][6];
};

static const struct template kinds[] = {
	{{"guest-exec", "@exec", "@exec", "guest-exec"},
	 {{"path = /usr/bin/systemctl", "path = /usr/bin/*",
	   "path = /opt/**/bin/?un[a-c]", "path = {/bin/sh|/bin/ls} ; \"/opt/x y\"",
	   "path = /usr/*bin/id", ""},
	  {"argv = {restart|reload} ; nginx.service", "argv = --since ; [1-9]? ; ...",
	   "argv = * ; *", "argv = -*", "argv = ...", ""},
	  {"env-allow = LANG ; LC_*", "env-allow = *\nstdin-max = 100", "stdin = no", "",
	   "", ""}}},
	{{"guest-file-open", "@file-read", "@file-write", "@file-read ; @file-write"},
	 {{"open-mode = read", "open-mode = create ; replace", "open-mode = append",
	   "open-mode = read ; update", "", ""},
	  {"", "", "", "", "", ""},
	  {"", "", "", "", "", ""}}},
	{{"@ssh-keys", "guest-ssh-add-authorized-keys",
	  "guest-ssh-get-authorized-keys ; guest-ssh-remove-authorized-keys",
	  "@ssh-keys"},
	 {{"user = ada ; bob*", "user = [a-m]*", "user-exclude = root", "user = ?dm*", "",
	   ""},
	  {"key-types = ssh-ed25519", "key-types = ssh-* ; sk-*", "keys-max = 1",
	   "keys-max = 3", "", ""},
	  {"reset = no", "reset = no", "", "", "", ""}}},
	{{"@password", "guest-set-user-password", "@password", "@password"},
	 {{"user = ada ; bob*", "user-exclude = root ; r*", "user = **", "", "", ""},
	  {"crypted = only", "crypted = no", "crypted = any", "crypted = no ; only", "",
	   ""},
	  {"empty = no", "empty = yes", "", "", "", ""}}},
	{{"@power", "guest-shutdown", "@power", "@power"},
	 {{"modes = powerdown", "modes = halt ; reboot", "modes = reboot", "", "", ""},
	  {"", "", "", "", "", ""},
	  {"", "", "", "", "", ""}}},
	{{"@suspend", "guest-suspend-ram", "@suspend", "guest-suspend-disk"},
	 {{"modes = ram", "modes = disk ; hybrid", "", "", "", ""},
	  {"", "", "", "", "", ""},
	  {"", "", "", "", "", ""}}},
	{{"@time", "@time", "guest-set-time", "@time"},
	 {{"from-rtc = no", "from-rtc = yes", "", "", "", ""},
	  {"", "", "", "", "", ""},
	  {"", "", "", "", "", ""}}},
	{{"@hotplug", "guest-set-vcpus", "guest-set-memory-blocks", "@hotplug"},
	 {{"offline = no", "offline = yes", "", "", "", ""},
	  {"", "", "", "", "", ""},
	  {"", "", "", "", "", ""}}},
	{{"@info", "guest-get-users ; guest-get-time", "guest-get-fsinfo",
	  "@info ; @freeze ; @trim"},
	 {{"", "", "", "", "", ""}, {"", "", "", "", "", ""}, {"", "", "", "", "", ""}}},
	{{"@exec ; @info", "@exec ; @ssh-keys ; @password", "@time ; @hotplug",
	  "@power ; @suspend"},
	 {{"", "", "", "", "", ""}, {"", "", "", "", "", ""}, {"", "", "", "", "", ""}}},
};

/* A policy before it is text: rules with a name each, and the file that each stands in.
 */
struct draft {
	char settings[128];
	char rules[RULES_MAX + 4][512];
	unsigned int file[RULES_MAX + 4];
	unsigned int n;
};

static void draft_rule(struct chance *c, struct draft *d, unsigned int file,
		       const char *effect)
{
	static const char *const profiles[] = {"rule", "rule", "rule", "rule", "exec"};
	const struct template *k = &PICK(c, kinds);
	char *text = d->rules[d->n];
	size_t room = sizeof(d->rules[0]);

	d->file[d->n] = file;
	if (!effect && streq(PICK(c, profiles), "exec")) {
		snprintf(text, room, "[exec \"prog%u\"]\npath = /usr/lib/x\n%s\n%s\n",
			 d->n, PICK(c, kinds[0].lines[1]), PICK(c, kinds[0].lines[2]));
	} else {
		if (!effect)
			effect = once_in(c, 4) ? "deny" : "allow";
		snprintf(text, room,
			 "[rule \"r%u\"]\neffect = %s\ncommand = %s\n%s\n%s\n%s\n", d->n,
			 effect, PICK(c, k->commands), PICK(c, k->lines[0]),
			 PICK(c, k->lines[1]), PICK(c, k->lines[2]));
	}
	d->n++;
}

static void draft_policy(struct chance *c, struct draft *d)
{
	static const char *const profiles[] = {"none",    "none",    "safe",
					       "libvirt", "proxmox", "legacy"};
	unsigned int n = 2 + any(c, RULES_MAX - 2);
	bool complain = once_in(c, 5);

	*d = (struct draft){0};
	snprintf(d->settings, sizeof(d->settings), "[policy]\nbase = %s\n%s%s\n",
		 PICK(c, profiles), complain ? "mode = complain\nceiling = " : "",
		 complain ? PICK(c, profiles) : "");
	while (d->n < n)
		draft_rule(c, d, any(c, FILES), NULL);
}

/* ---- images ---- */

struct built {
	struct wbuf image;
	struct policy policy;
};

static void built_free(struct built *b)
{
	wbuf_free(&b->image);
}

/* The numbers below N, shuffled. */
static void shuffle(struct chance *c, unsigned int *order, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		unsigned int k = any(c, i + 1);

		order[i] = i;
		order[i] = order[k];
		order[k] = i;
	}
}

/* Rules in the order RULES, files added in the order FILES. */
static void build(struct built *b, const struct draft *d, const unsigned int *rules,
		  const unsigned int *files)
{
	struct source *s = source_new();
	const struct source_error *e;

	assert_non_null(s);
	b->image = wbuf_growing(IMAGE_MAX);
	for (unsigned int f = 0; f <= FILES + 1; f++) {
		char text[RULES_MAX * 520 + 256] = "", name[16];
		size_t len = 0;

		snprintf(name, sizeof(name), "%u.conf", files[f]);
		if (files[f] == FILES)
			len += (size_t)snprintf(text, sizeof(text), "%s", d->settings);
		for (unsigned int i = 0; i < d->n; i++)
			if (d->file[rules[i]] == files[f])
				len += (size_t)snprintf(text + len, sizeof(text) - len,
							"%s", d->rules[rules[i]]);
		source_add(s, name, text, len);
	}
	if (source_build(s, &b->image) < 0 && source_errors(s, &e))
		fail_msg("%s:%u: %s", e->file, e->line, e->what);
	assert_int_equal(policy_open(&b->policy, b->image.p, b->image.len), 0);
	source_free(s);
}

static const unsigned int as_written[RULES_MAX + 4] = {0, 1, 2, 3,  4,  5,  6,
						       7, 8, 9, 10, 11, 12, 13};

/* ---- requests ---- */

struct request {
	uint32_t op;
	union {
		struct msg_exec exec;
		struct msg_exec_status exec_status;
		struct msg_file_open file_open;
		struct msg_ssh_user ssh_user;
		struct msg_ssh_add ssh_add;
		struct msg_ssh_remove ssh_remove;
		struct msg_set_password set_password;
		struct msg_set_time set_time;
		struct msg_set_vcpus set_vcpus;
		struct msg_set_memory_blocks set_memory_blocks;
		struct msg_shutdown shutdown;
	} args;
	bool has_args; /* of an operation that a constraint asks about */
	struct v_str list[8], more[4];
	struct msg_vcpu cpus[3];
	struct msg_memory_block blocks[3];
	char text[8192];
	size_t used;
};

/* Requests are drawn after the policy P, its rule RULE in particular. */
struct drawing {
	struct chance *c;
	const struct policy *p;
	const struct image_rule *rule;
	struct request *r;
};

static const struct image_constraint *constraint(const struct drawing *d, enum key key)
{
	for (uint32_t i = 0; i < d->rule->n_constraints; i++)
		if (d->p->constraints[d->rule->constraint + i].key == key)
			return &d->p->constraints[d->rule->constraint + i];
	return NULL;
}

static void put_any(struct drawing *d, char *text, size_t *len, const char *from)
{
	for (uint32_t n = any(d->c, 4); n && *len < 200; n--)
		text[(*len)++] = from[any(d->c, (uint32_t)strlen(from))];
}

/* A text that PATTERN matches, mostly. */
static size_t like(struct drawing *d, const char *p, char *text)
{
	size_t len = 0;

	while (*p && len < 200) {
		if (*p == '*') {
			put_any(d, text, &len, p[1] == '*' ? "ab/" : "abc");
			p += strspn(p, "*");
		} else if (*p == '?') {
			text[len++] = 'x';
			p++;
		} else if (*p == '[') {
			text[len++] = p[1 + (p[1] == '!')];
			p += strcspn(p, "]") + 1;
		} else {
			p += *p == '\\' && p[1];
			text[len++] = *p++;
		}
	}
	return len;
}

/* One byte more, less or another; a NUL never gets that far. */
static size_t mutate(struct chance *c, char *text, size_t len)
{
	static const char bytes[] = "-/a.=x \xff*";
	size_t at = len ? any(c, (uint32_t)len) : 0;
	char byte = bytes[any(c, sizeof(bytes) - 1)];

	switch (any(c, 4)) {
	case 0: /* one more, in front of what is often there */
		memmove(text + at + 1, text + at, len - at);
		text[at] = byte;
		return len + 1;
	case 1:
		if (!len)
			return 0;
		memmove(text + at, text + at + 1, len - at - 1);
		return len - 1;
	case 2:
		text[len] = byte;
		return len + 1;
	default:
		if (len)
			text[at] = byte;
		return len;
	}
}

/* Made like PATTERN, with TAIL behind it, and now and then something changed. */
static struct v_str draw_like(struct drawing *d, const char *pattern, const char *tail)
{
	struct request *r = d->r;
	char *text = r->text + r->used;
	size_t len = like(d, pattern, text);

	while (*tail)
		text[len++] = *tail++;
	if (once_in(d->c, 8))
		len = mutate(d->c, text, len);
	r->used += len + 1;
	return (struct v_str){.p = text, .len = (uint32_t)len, .set = true};
}

/* After one of the patterns of KEY in the rule; OTHERWISE if it has none. */
static struct v_str draw(struct drawing *d, enum key key, const char *otherwise,
			 const char *tail)
{
	const struct image_constraint *c = constraint(d, key);
	const char *pattern = otherwise;

	if (c && c->n_values)
		pattern = policy_text(
			d->p, d->p->values[c->value + any(d->c, c->n_values)].text);
	return draw_like(d, pattern, tail);
}

static void draw_argv(struct drawing *d)
{
	static const char *const others[] = {"restart", "-x", "a/b", ""};
	const struct image_constraint *c = constraint(d, KEY_ARGV);
	struct request *r = d->r;
	uint32_t n = 0;

	for (uint32_t i = 0; c && i < c->n_values && n < 6;) {
		const struct image_value *v = &d->p->values[c->value + i];
		uint32_t here = 1;

		while (i + here < c->n_values && v[here].number == v->number)
			here++;
		if (streq(policy_text(d->p, v->text), "..."))
			break;
		v += any(d->c, here);
		r->list[n++] = draw_like(d, policy_text(d->p, v->text), "");
		i += here;
	}
	while (n < ARRAY_SIZE(r->list) && once_in(d->c, c ? 6 : 2))
		r->list[n++] = draw_like(d, PICK(d->c, others), "");
	if (n && once_in(d->c, 12))
		n--;
	r->args.exec.arg = (struct v_list){.v = r->list, .n = n, .set = true};
}

static void draw_exec(struct drawing *d)
{
	static const char *const paths[] = {"/usr/bin/systemctl", "/bin/sh", "id",
					    "/opt/../bin/sh", "prog1"};
	struct msg_exec *m = &d->r->args.exec;
	bool named = constraint(d, KEY_EXEC_NAME);

	m->path = draw(d, named ? KEY_EXEC_NAME : KEY_EXEC_PATH, PICK(d->c, paths), "");
	/* As its author might have written it. */
	if (m->path.len > 9 && !memcmp(m->path.p, "/usr/bin/", 9) && once_in(d->c, 4)) {
		m->path.p += 9;
		m->path.len -= 9;
	}
	draw_argv(d);
	if (once_in(d->c, 4)) {
		d->r->more[0] = draw(d, KEY_ENV_ALLOW, "LANG", "=x");
		m->env = (struct v_list){.v = d->r->more, .n = 1, .set = true};
	}
	if (once_in(d->c, 4))
		m->input_data = (struct v_bulk){.size = 95 + any(d->c, 10), .set = true};
}

static void draw_exec_status(struct drawing *d)
{
	d->r->args.exec_status.pid = V_INT(any(d->c, 10000));
}

static void draw_file_open(struct drawing *d)
{
	static const char *const modes[] = {"r", "r+", "w", "wb", "a", "a+", "w+", "rb"};
	struct msg_file_open *m = &d->r->args.file_open;

	m->path = draw_like(d, "/srv/**", "");
	if (!once_in(d->c, 4))
		m->mode = v_str(PICK(d->c, modes));
}

static struct v_str draw_user(struct drawing *d)
{
	static const char *const users[] = {"ada", "root", "bobby", "admin", "zed"};

	return draw(d, KEY_ACCOUNT, PICK(d->c, users), "");
}

static struct v_list draw_keys(struct drawing *d)
{
	static const char *const types[] = {"ssh-ed25519", "ssh-rsa", "no-pty"};
	struct request *r = d->r;
	uint32_t n = any(d->c, 4);

	for (uint32_t i = 0; i < n; i++)
		r->list[i] = draw(d, KEY_KEY_TYPES, PICK(d->c, types), " AAAA");
	return (struct v_list){.v = r->list, .n = n, .set = true};
}

static void draw_ssh_user(struct drawing *d)
{
	d->r->args.ssh_user.username = draw_user(d);
}

static void draw_ssh_add(struct drawing *d)
{
	d->r->args.ssh_add.username = draw_user(d);
	d->r->args.ssh_add.keys = draw_keys(d);
	if (once_in(d->c, 3))
		d->r->args.ssh_add.reset = V_BOOL(once_in(d->c, 2));
}

static void draw_ssh_remove(struct drawing *d)
{
	d->r->args.ssh_remove.username = draw_user(d);
	d->r->args.ssh_remove.keys = draw_keys(d);
}

static void draw_password(struct drawing *d)
{
	struct msg_set_password *m = &d->r->args.set_password;

	m->username = draw_user(d);
	m->crypted = V_BOOL(once_in(d->c, 2));
	m->password = (struct v_b64){.p = "x", .len = any(d->c, 2), .set = true};
}

static void draw_time(struct drawing *d)
{
	if (!once_in(d->c, 2))
		d->r->args.set_time.time = V_INT(1);
}

static void draw_vcpus(struct drawing *d)
{
	struct request *r = d->r;
	uint32_t n = 1 + any(d->c, 3);

	for (uint32_t i = 0; i < n; i++)
		r->cpus[i] = (struct msg_vcpu){.logical_id = V_INT(i),
					       .online = V_BOOL(!once_in(d->c, 3))};
	r->args.set_vcpus.vcpus = (struct v_list){.v = r->cpus, .n = n, .set = true};
}

static void draw_blocks(struct drawing *d)
{
	struct request *r = d->r;
	uint32_t n = 1 + any(d->c, 3);

	for (uint32_t i = 0; i < n; i++)
		r->blocks[i] = (struct msg_memory_block){
			.phys_index = V_U64(i), .online = V_BOOL(!once_in(d->c, 3))};
	r->args.set_memory_blocks.mem_blks =
		(struct v_list){.v = r->blocks, .n = n, .set = true};
}

static void draw_shutdown(struct drawing *d)
{
	static const char *const modes[] = {"powerdown", "halt", "reboot", "odd"};

	if (!once_in(d->c, 4))
		d->r->args.shutdown.mode = v_str(PICK(d->c, modes));
}

static void draw_nothing(struct drawing *d)
{
	d->r->has_args = true;
}

/* Operations without a row are asked about without arguments. */
static const struct draw_row {
	uint32_t op;
	void (*draw)(struct drawing *d);
} draw_rows[] = {
	{OP_exec, draw_exec},
	{OP_exec_status, draw_exec_status},
	{OP_file_open, draw_file_open},
	{OP_ssh_get_authorized_keys, draw_ssh_user},
	{OP_ssh_add_authorized_keys, draw_ssh_add},
	{OP_ssh_remove_authorized_keys, draw_ssh_remove},
	{OP_set_user_password, draw_password},
	{OP_set_time, draw_time},
	{OP_set_vcpus, draw_vcpus},
	{OP_set_memory_blocks, draw_blocks},
	{OP_shutdown, draw_shutdown},
	{OP_suspend_disk, draw_nothing},
	{OP_suspend_ram, draw_nothing},
	{OP_suspend_hybrid, draw_nothing},
};

/* A request of an operation that the rule speaks of; now and then of any. */
static void draw_request(struct chance *c, const struct policy *p, struct request *r)
{
	struct drawing d = {c, p, &p->rules[any(c, p->head->n_rules)], r};
	const struct draw_row *row = &PICK(c, draw_rows);

	r->used = 0;
	r->has_args = false;
	memset(&r->args, 0, sizeof(r->args));
	/* A rule with something to ask about is the one that is of interest. */
	for (unsigned int i = 0; i < 4 && !d.rule->n_constraints; i++)
		d.rule = &p->rules[any(c, p->head->n_rules)];
	r->op = row->op;
	while (!once_in(c, 40) && !(d.rule->ops >> r->op & 1)) {
		row = &PICK(c, draw_rows);
		r->op = once_in(c, 40) ? 1 + any(c, 44) : row->op;
	}
	for (size_t i = 0; i < ARRAY_SIZE(draw_rows); i++)
		if (draw_rows[i].op == r->op) {
			r->has_args = true;
			draw_rows[i].draw(&d);
		}
}

/* ---- what must hold ---- */

struct totals {
	unsigned int requests, allowed, denied, complained, explicit_denies;
	unsigned int matched_twice;
};

struct round {
	uint64_t seed;
	struct chance c;
	struct draft draft;
	struct built policy;    /* as written */
	struct built shuffled;  /* its rules in another order */
	struct built denied;    /* with a deny more */
	struct built with_file; /* with a file more */
	struct policy copy;     /* of `policy`, through a memfd */
	void *map;
	struct totals *totals;
};

#define MUST(round, holds)                                           \
	do {                                                         \
		if (!(holds))                                        \
			fail_msg("seed %#llx: " #holds,              \
				 (unsigned long long)(round)->seed); \
	} while (0)

static struct policy_answer ask(const struct policy *p, uint32_t op, const void *args)
{
	struct policy_question q = {.op = op, .args = args};
	struct policy_answer a;

	memset(&a, 0xa5, sizeof(a));
	policy_decide(p, &q, &a);
	return a;
}

static bool same(const struct policy_answer *a, const struct policy_answer *b)
{
	return a->allowed == b->allowed && a->complained == b->complained &&
	       a->never == b->never && a->reason == b->reason && a->rule == b->rule &&
	       a->failed == b->failed &&
	       !memcmp(a->matches, b->matches, sizeof(a->matches));
}

static bool is_match(const struct policy_answer *a, uint32_t rule)
{
	return a->matches[rule / 64] >> rule % 64 & 1;
}

static const char *name_of(const struct policy *p, uint32_t rule)
{
	return policy_text(p, p->rules[rule].name);
}

/* The names of the rules that matched, whatever their order. */
static bool same_rules(const struct policy *p, const struct policy_answer *a,
		       const struct policy *q, const struct policy_answer *b)
{
	unsigned int of_p = 0, of_both = 0, of_q = 0;

	for (uint32_t i = 0; i < p->head->n_rules; i++)
		of_p += is_match(a, i);
	for (uint32_t k = 0; k < q->head->n_rules; k++)
		of_q += is_match(b, k);
	for (uint32_t i = 0; i < p->head->n_rules; i++)
		for (uint32_t k = 0; is_match(a, i) && k < q->head->n_rules; k++)
			of_both += is_match(b, k) && p->rules[i].set == q->rules[k].set &&
				   streq(name_of(p, i), name_of(q, k));
	return of_p == of_q && of_p == of_both;
}

/* What the worker makes of it: the same policy by another way, the request decoded. */
static void check_other_side(struct round *r, const struct request *q,
			     const struct policy_answer *a)
{
	static uint8_t wire[64 * 1024];
	static _Alignas(max_align_t) uint8_t block[64 * 1024], args[4096];
	const struct schema *s = op_by_number(q->op)->args;
	struct arena arena = {.p = block, .cap = sizeof(block)};
	struct wbuf w = wbuf_fixed(wire, sizeof(wire));
	struct policy_answer b;
	struct rbuf in;

	if (q->has_args) {
		assert_true(s->size <= sizeof(args));
		schema_put(&w, s, &q->args);
		assert_false(w.bad);
		in = rbuf_of(wire, w.len);
		MUST(r, schema_get(&in, s, &arena, args) == 0 && rbuf_done(&in));
	}
	b = ask(&r->copy, q->op, q->has_args ? args : NULL);
	MUST(r, same(a, &b));
}

static void check_answer(struct round *r, const struct policy_answer *a, uint32_t op)
{
	const struct policy *p = &r->policy.policy;
	const struct image_rule *rule = a->rule < 0 ? NULL : &p->rules[a->rule];

	MUST(r, !rule || rule->ops >> op & 1);
	MUST(r, !a->complained || a->allowed);
	MUST(r, !a->never || !a->allowed);
	MUST(r, !a->allowed || policy_may(p, op));
	if (a->allowed && !a->complained)
		MUST(r, rule && rule->effect == POLICY_ALLOW &&
				is_match(a, (uint32_t)a->rule));
	if (a->reason == REASON_EXPLICIT_DENY)
		MUST(r, rule && rule->effect == POLICY_DENY);
	if (a->failed >= 0)
		MUST(r, rule && p->constraints[a->failed].rule == (uint32_t)a->rule);
}

static void count(struct totals *t, const struct policy *p, const struct policy_answer *a)
{
	unsigned int n = 0;

	for (uint32_t i = 0; i < p->head->n_rules; i++)
		n += is_match(a, i);
	t->requests++;
	t->allowed += a->allowed;
	t->denied += !a->allowed;
	t->complained += a->complained;
	t->explicit_denies += a->reason == REASON_EXPLICIT_DENY;
	t->matched_twice += n > 1;
}

static void check_request(struct round *r, const struct request *q)
{
	const void *args = q->has_args ? &q->args : NULL;
	const struct policy *p = &r->policy.policy;
	struct policy_answer a = ask(p, q->op, args);
	struct policy_answer b = ask(&r->shuffled.policy, q->op, args);

	check_answer(r, &a, q->op);
	count(r->totals, p, &a);
	check_other_side(r, q, &a);
	/* The order of rules means nothing. */
	MUST(r, a.allowed == b.allowed && a.complained == b.complained &&
			a.never == b.never);
	MUST(r, (a.reason == REASON_EXPLICIT_DENY) == (b.reason == REASON_EXPLICIT_DENY));
	MUST(r, same_rules(p, &a, &r->shuffled.policy, &b));
	/* A deny more never allows more. */
	b = ask(&r->denied.policy, q->op, args);
	MUST(r, a.allowed || !b.allowed);
	MUST(r, !a.never || b.never);
	/* A file more never allows what another denies. */
	b = ask(&r->with_file.policy, q->op, args);
	if (a.reason == REASON_EXPLICIT_DENY) {
		MUST(r, a.allowed || !b.allowed);
		MUST(r, b.reason == REASON_EXPLICIT_DENY);
	}
}

static void map_copy(struct round *r)
{
	size_t len = r->policy.image.len;
	CLEANUP(close_p) int fd = memfd_of("policy", r->policy.image.p, len);

	assert_int_equal(memfd_sealed_size(fd), len);
	r->map = mmap(NULL, len, PROT_READ, MAP_PRIVATE, fd, 0);
	assert_ptr_not_equal(r->map, MAP_FAILED);
	assert_int_equal(policy_open(&r->copy, r->map, len), 0);
	MUST(r, !memcmp(r->copy.sha256, r->policy.policy.sha256, SHA256_LEN));
}

/* Files in another order, each as it was: the very same image. */
static void check_file_order(struct round *r)
{
	CLEANUP(built_free) struct built other = {0};
	unsigned int order[FILES + 2];

	shuffle(&r->c, order, FILES + 2);
	build(&other, &r->draft, as_written, order);
	MUST(r, other.image.len == r->policy.image.len &&
			!memcmp(other.image.p, r->policy.image.p, other.image.len));
}

static void build_all(struct round *r)
{
	unsigned int order[RULES_MAX];
	struct draft d = r->draft;

	build(&r->policy, &d, as_written, as_written);
	map_copy(r);
	shuffle(&r->c, order, d.n);
	build(&r->shuffled, &d, order, as_written);
	draft_rule(&r->c, &d, any(&r->c, FILES), "deny");
	build(&r->denied, &d, as_written, as_written);
	d = r->draft;
	for (unsigned int i = 0; i < 3; i++)
		draft_rule(&r->c, &d, FILES + 1, NULL);
	build(&r->with_file, &d, as_written, as_written);
}

static void one_round(uint64_t seed, struct totals *t)
{
	static struct request request;
	struct round r = {.seed = seed, .c = {seed}, .totals = t};

	draft_policy(&r.c, &r.draft);
	build_all(&r);
	check_file_order(&r);
	for (unsigned int i = 0; i < REQUESTS; i++) {
		draw_request(&r.c, &r.policy.policy, &request);
		check_request(&r, &request);
	}
	munmap(r.map, r.policy.image.len);
	built_free(&r.policy);
	built_free(&r.shuffled);
	built_free(&r.denied);
	built_free(&r.with_file);
}

static void properties_hold(void **state)
{
	struct totals t = {0};

	(void)state;
	for (uint64_t i = 0; i < ROUNDS; i++)
		one_round(0x9e3779b97f4a7c15ull * (i + 1), &t);
	print_message(
		"%u requests: %u allowed, %u of them complained of, %u denied, %u by "
		"a deny, %u by several rules\n",
		t.requests, t.allowed, t.complained, t.denied, t.explicit_denies,
		t.matched_twice);
	assert_int_equal(t.requests, ROUNDS * REQUESTS);
	/* Neither side is left to chance. */
	assert_true(t.allowed >= t.requests / 5);
	assert_true(t.denied >= t.requests / 5);
	assert_true(t.complained >= t.requests / 100);
	assert_true(t.explicit_denies >= t.requests / 50);
	assert_true(t.matched_twice >= t.requests / 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(properties_hold),
	};

	return cmocka_run_group_tests_name("policy properties", tests, NULL, NULL);
}
