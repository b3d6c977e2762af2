/*
 * tests/unit/test_diff.c - whatever requests two policies decide differently, diff tells
 *
 * Runs in:   a test
 * Input:     profiles, examples/, policies written here and made up from a seed
 * May touch: memory
 * Must not:  draw requests as diff does; differ from run to run
 *
 * run: limit 120
 */
#include <setjmp.h>
#include <stdarg.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <cjson/cJSON.h>

#include "ctl/differ.h"
#include "ctl/limits.h"
#include "ctl/scene.h"
#include "ctl/typed.h"
#include "policy/source.h"
#include "tests/lib/genmsg.h"

/* Requests drawn for a pair of policies: of the project's, and of others. */
#ifdef __SANITIZE_ADDRESS__
#define FEW    20
#define MANY   200
#define ROUNDS 60
#else
#define FEW    200
#define MANY   2000
#define ROUNDS 400
#endif

/* ---- chance ---- */

static uint32_t any(uint64_t *c, uint32_t below)
{
	assert_int_not_equal(below, 0);
	return (uint32_t)(gen_next(c) >> 16) % below;
}

static bool once_in(uint64_t *c, uint32_t n)
{
	return any(c, n) == 0;
}

#define PICK(c, array) ((array)[any(c, ARRAY_SIZE(array))])

/* ---- policies ---- */

struct built {
	struct wbuf image;
	struct policy p;
};

static void built_free(struct built *b)
{
	wbuf_free(&b->image);
}

/* The policy of up to two texts. */
static void build(struct built *b, const char *text, const char *more)
{
	struct source *s = source_new();
	const struct source_error *e;

	assert_non_null(s);
	b->image = wbuf_growing(IMAGE_MAX);
	source_add(s, "a.conf", text, strlen(text));
	if (more)
		source_add(s, "b.conf", more, strlen(more));
	if (source_build(s, &b->image) < 0 && source_errors(s, &e))
		fail_msg("%s:%u: %s in\n%s%s", e->file, e->line, e->what, text,
			 more ? more : "");
	assert_int_equal(policy_open(&b->p, b->image.p, b->image.len), 0);
	source_free(s);
}

static void build_profile(struct built *b, const char *name, const char *more)
{
	char text[64];

	snprintf(text, sizeof(text), "[policy]\nbase = %s\n", name);
	build(b, text, more);
}

/* ---- requests, at random ---- */

struct drawing {
	uint64_t *c;
	const struct policy *const *p;
	const struct policy *of;       /* whose rule */
	const struct image_rule *rule; /* the request is drawn after it */
	struct scene *s;
	struct arena *a;
};

/* A constraint of KEY: of the rule, or of any rule; NULL: there is none. */
static const struct image_constraint *constraint(struct drawing *d, enum key key,
						 const struct policy **of)
{
	const struct image_constraint *found = NULL;
	uint32_t n = 0;

	*of = d->of;
	for (uint32_t i = 0; i < d->rule->n_constraints && !once_in(d->c, 4); i++)
		if (d->of->constraints[d->rule->constraint + i].key == key)
			return &d->of->constraints[d->rule->constraint + i];
	for (unsigned int side = 0; side < 2; side++)
		for (uint32_t i = 0; i < d->p[side]->head->n_constraints; i++) {
			const struct image_constraint *c = &d->p[side]->constraints[i];

			if (c->key != key || !once_in(d->c, ++n))
				continue;
			found = c;
			*of = d->p[side];
		}
	return found;
}

static void put_any(struct drawing *d, char *text, uint32_t *len, const char *from)
{
	for (uint32_t n = any(d->c, 4); n; n--)
		text[(*len)++] = from[any(d->c, (uint32_t)strlen(from))];
}

/* A text that PATTERN matches, mostly. */
static struct v_str like(struct drawing *d, const char *p)
{
	char *text = arena_take(d->a, 4 * strlen(p) + 64);
	struct v_str s = {.p = text, .set = true};

	assert_non_null(text);
	while (*p) {
		if (*p == '*') {
			put_any(d, text, &s.len, p[1] == '*' ? "ab/" : "abc.1");
			p += strspn(p, "*");
		} else if (*p == '?') {
			text[s.len++] = "xa1"[any(d->c, 3)];
			p++;
		} else if (*p == '[') {
			text[s.len++] = (char)(p[1] == '!' ? '~' : p[1]);
			p += strcspn(p, "]") + 1;
		} else {
			p += *p == '\\' && p[1];
			text[s.len++] = *p++;
		}
	}
	if (once_in(d->c, 10) && s.len)
		s.len--;
	else if (once_in(d->c, 10))
		text[s.len++] = "a-/.9"[any(d->c, 5)];
	return s;
}

static struct v_str joined(struct drawing *d, struct v_str a, struct v_str b)
{
	size_t size = (size_t)a.len + b.len + 1;
	char *text = arena_take(d->a, size);

	assert_non_null(text);
	snprintf(text, size, "%.*s%.*s", (int)a.len, a.p, (int)b.len, b.p);
	return (struct v_str){.p = text, .len = (uint32_t)size - 1, .set = true};
}

/* After one of the patterns of KEY; OTHERWISE if nobody has any. */
static struct v_str draw(struct drawing *d, enum key key, const char *otherwise)
{
	const struct policy *of;
	const struct image_constraint *c =
		once_in(d->c, 12) ? NULL : constraint(d, key, &of);

	if (!c || !c->n_values)
		return like(d, otherwise);
	return like(d,
		    policy_text(of, of->values[c->value + any(d->c, c->n_values)].text));
}

/* About what KEY bounds. */
static uint64_t number(struct drawing *d, enum key key, uint64_t otherwise, uint64_t max)
{
	const struct policy *of;
	const struct image_constraint *c = constraint(d, key, &of);
	uint64_t n = c ? of->values[c->value].number : otherwise;

	if (n > max || once_in(d->c, 8))
		return any(d->c, 3);
	return n + any(d->c, 3) - (n > 0);
}

static struct v_list list(struct drawing *d, uint32_t max, const struct v_str *from)
{
	struct v_str *v = arena_take(d->a, (max + 1) * sizeof(*v));

	assert_non_null(v);
	for (uint32_t i = 0; i < max; i++)
		v[i] = from[i];
	return (struct v_list){.v = v, .n = max, .set = true};
}

static void draw_argv(struct drawing *d, struct msg_exec *m)
{
	static const char *const others[] = {"restart", "-x", "a/b", ""};
	const struct policy *of;
	const struct image_constraint *c = constraint(d, KEY_ARGV, &of);
	struct v_str args[12] = {0};
	uint32_t n = 0;

	for (uint32_t i = 0; c && i < c->n_values && n < 8;) {
		const struct image_value *v = &of->values[c->value + i];
		uint32_t here = 1;

		while (i + here < c->n_values && v[here].number == v->number)
			here++;
		if (streq(policy_text(of, v->text), "..."))
			break;
		v += any(d->c, here);
		args[n++] = once_in(d->c, 6) ? draw(d, KEY_ARGV, "x")
					     : like(d, policy_text(of, v->text));
		i += here;
	}
	while (n < ARRAY_SIZE(args) && once_in(d->c, c ? 5 : 2))
		args[n++] = draw(d, KEY_ARGV, PICK(d->c, others));
	if (n && once_in(d->c, 12))
		n--;
	m->arg = list(d, n, args);
}

/* Where the agent might find it. */
static void find_program(struct drawing *d, const struct msg_exec *m)
{
	struct policy_object *o = &d->s->object;
	struct v_str folder = v_str(program_folders[any(d->c, PROGRAM_FOLDERS)]);

	o->path = memchr(m->path.p, '/', m->path.len) ? m->path
						      : joined(d, folder, m->path);
	o->real = o->path;
}

static void draw_exec(struct drawing *d)
{
	static const char *const paths[] = {"/usr/bin/systemctl", "/bin/sh", "id",
					    "/opt/../bin/sh", "/usr/bin/sh"};
	struct msg_exec *m = (void *)d->s->args;
	struct v_str env[3] = {0};
	uint32_t n = 0;

	m->path = draw(d, once_in(d->c, 4) ? KEY_EXEC_NAME : KEY_EXEC_PATH,
		       PICK(d->c, paths));
	if (m->path.len > 9 && !memcmp(m->path.p, "/usr/bin/", 9) && once_in(d->c, 4)) {
		m->path.p += 9;
		m->path.len -= 9;
	}
	/* What is in /bin may be asked for in /usr/bin. */
	if (m->path.len && *m->path.p == '/' && once_in(d->c, 8))
		m->path = joined(d, v_str("/usr"), m->path);
	if (!m->path.len)
		m->path = v_str("x");
	find_program(d, m);
	draw_argv(d, m);
	while (n < ARRAY_SIZE(env) && once_in(d->c, 2)) {
		struct v_str name = draw(d, KEY_ENV_ALLOW, "LANG");

		env[n++] = joined(d, name, v_str("="));
	}
	if (n)
		m->env = list(d, n, env);
	if (once_in(d->c, 2))
		m->input_data = (struct v_bulk){
			.size = number(d, KEY_STDIN_MAX, 1, 1u << 25), .set = true};
}

/* Is it the path of a file that there could be? */
static bool is_real_path(const struct v_str *s)
{
	for (uint32_t i = 0; i < s->len; i++)
		if (s->p[i] == '/' && (i + 1 == s->len || s->p[i + 1] == '/'))
			return false;
	return s->len && *s->p == '/';
}

static struct v_str draw_place(struct drawing *d, enum key key, const char *tail)
{
	struct v_str s = draw(d, key, "/srv/*");

	while (s.len && s.p[s.len - 1] == '/')
		s.len--;
	s = joined(d, s, v_str(tail));
	return is_real_path(&s) ? s : v_str("/srv/x");
}

static void draw_file_open(struct drawing *d)
{
	static const char *const modes[] = {"r", "r+", "w", "wb", "a", "a+", "w+", "rb"};
	struct msg_file_open *m = (void *)d->s->args;
	struct policy_object *o = &d->s->object;

	m->path = once_in(d->c, 2)
			  ? draw_place(d, KEY_FILE_PATH, "")
			  : draw_place(d, KEY_BENEATH, once_in(d->c, 4) ? "" : "/a/b");
	if (!once_in(d->c, 4))
		m->mode = v_str(PICK(d->c, modes));
	o->path = m->path;
	o->exists = !once_in(d->c, 3);
	o->size = o->exists ? number(d, KEY_SIZE_MAX, 1, 1ull << 60) : 0;
	if (once_in(d->c, 3))
		o->type = (enum object_type)any(d->c, OBJECT_DIRECTORY + 1);
	if (once_in(d->c, 3))
		o->links = (enum object_links)any(d->c, LINKS_ANY + 1);
}

static void draw_mount(struct drawing *d)
{
	struct v_str type = draw(d, KEY_FSTYPE, "ext4");

	d->s->object.path =
		once_in(d->c, 5) ? v_str("/") : draw_place(d, KEY_MOUNTPOINT, "");
	if (type.len)
		d->s->object.fstype = type;
}

/* It is the first argument of all these commands. */
static void draw_account(struct drawing *d)
{
	static const char *const users[] = {"ada", "root", "bobby", "zed"};
	struct v_str user = draw(d, once_in(d->c, 3) ? KEY_ACCOUNT_EXCLUDE : KEY_ACCOUNT,
				 PICK(d->c, users));

	if (user.len)
		((struct msg_ssh_user *)(void *)d->s->args)->username = user;
	d->s->object.uid = (uint32_t)number(d, KEY_UID_MIN, 1000, UINT32_MAX - 4);
}

static void draw_password(struct drawing *d)
{
	struct msg_set_password *m = (void *)d->s->args;

	draw_account(d);
	m->crypted = V_BOOL(once_in(d->c, 2));
	m->password = (struct v_b64){.p = "x", .len = any(d->c, 2), .set = true};
}

static void draw_ssh_add(struct drawing *d)
{
	struct msg_ssh_add *m = (void *)d->s->args;
	struct v_str keys[20] = {0};
	uint32_t n = (uint32_t)number(d, KEY_KEYS_MAX, 2, 16);

	draw_account(d);
	for (uint32_t i = 0; i < n; i++) {
		struct v_str type = draw(d, KEY_KEY_TYPES, "ssh-rsa");

		keys[i] = joined(d, type, v_str(" AAAA"));
	}
	if (n && once_in(d->c, 10))
		keys[0] = v_str(once_in(d->c, 2) ? "" : "a b\nc d");
	m->keys = list(d, n, keys);
	if (once_in(d->c, 3))
		m->reset = V_BOOL(once_in(d->c, 2));
}

static void draw_time(struct drawing *d)
{
	int64_t ms = (int64_t)number(d, KEY_MAX_STEP, 1000, 1ull << 40);

	if (!once_in(d->c, 3))
		((struct msg_set_time *)(void *)d->s->args)->time = V_INT(1);
	d->s->object.step = ms * 1000000 + any(d->c, 2);
	if (once_in(d->c, 2))
		d->s->object.step = -d->s->object.step;
}

static void draw_vcpus(struct drawing *d)
{
	static struct msg_vcpu cpus[3];

	for (uint32_t i = 0; i < 3; i++)
		cpus[i] = (struct msg_vcpu){.logical_id = V_INT(i),
					    .online = V_BOOL(!once_in(d->c, 3))};
	((struct msg_set_vcpus *)(void *)d->s->args)->vcpus =
		(struct v_list){.v = cpus, .n = 1 + any(d->c, 3), .set = true};
	d->s->object.left = number(d, KEY_ONLINE_MIN, 1, 1u << 20);
}

static void draw_blocks(struct drawing *d)
{
	static struct msg_memory_block blocks[3];

	for (uint32_t i = 0; i < 3; i++)
		blocks[i] = (struct msg_memory_block){
			.phys_index = V_U64(i), .online = V_BOOL(!once_in(d->c, 3))};
	((struct msg_set_memory_blocks *)(void *)d->s->args)->mem_blks =
		(struct v_list){.v = blocks, .n = 1 + any(d->c, 3), .set = true};
	d->s->object.left = number(d, KEY_MEMORY_MIN, 1, 1ull << 50);
}

static void draw_shutdown(struct drawing *d)
{
	static const char *const modes[] = {"powerdown", "halt", "reboot"};

	if (!once_in(d->c, 4))
		((struct msg_shutdown *)(void *)d->s->args)->mode =
			v_str(PICK(d->c, modes));
}

static const struct {
	uint32_t op;
	void (*draw)(struct drawing *d);
} draw_rows[] = {
	{OP_exec, draw_exec},
	{OP_file_open, draw_file_open},
	{OP_fsfreeze_freeze, draw_mount},
	{OP_fsfreeze_freeze_list, draw_mount},
	{OP_fstrim, draw_mount},
	{OP_ssh_get_authorized_keys, draw_account},
	{OP_ssh_add_authorized_keys, draw_ssh_add},
	{OP_ssh_remove_authorized_keys, draw_account},
	{OP_set_user_password, draw_password},
	{OP_set_time, draw_time},
	{OP_set_vcpus, draw_vcpus},
	{OP_set_memory_blocks, draw_blocks},
	{OP_shutdown, draw_shutdown},
};

/* A command that the rule speaks of; one with much to draw rather than another. */
static uint32_t draw_op(struct drawing *d)
{
	for (unsigned int tries = 0; tries < 30; tries++) {
		uint32_t op =
			once_in(d->c, 8) ? any(d->c, OP_MAX) : PICK(d->c, draw_rows).op;
		const struct op *row = op_by_number(op);

		if (d->rule->ops >> op & 1 && row &&
		    !(row->flags & (OPF_PART | OPF_ELSEWHERE)))
			return op;
	}
	return OP_get_osinfo;
}

static void draw_scene(uint64_t *c, const struct policy *const p[2], struct scene *s,
		       struct arena *a)
{
	struct drawing d = {.c = c, .p = p, .of = p[any(c, 2)], .s = s, .a = a};
	uint32_t op;

	a->len = 0;
	assert_int_not_equal(d.of->head->n_rules, 0);
	d.rule = &d.of->rules[any(c, d.of->head->n_rules)];
	/* A rule with something to ask about is the one that is of interest. */
	for (unsigned int i = 0; i < 4 && !d.rule->n_constraints; i++)
		d.rule = &d.of->rules[any(c, d.of->head->n_rules)];
	op = draw_op(&d);
	scene_init(s, op,
		   scene_is_asked(op, true) &&
			   (!scene_is_asked(op, false) || !once_in(c, 4)));
	for (size_t i = 0; i < ARRAY_SIZE(draw_rows); i++)
		if (draw_rows[i].op == op)
			draw_rows[i].draw(&d);
}

/* ---- every difference is covered ---- */

struct totals {
	uint64_t pairs, requests, different, lines;
	uint64_t by_direction[3], by_refusal[3];
};

struct checking {
	const char *what;
	const struct differ *d;
	struct scene s; /* the request of the moment */
	struct totals *t;
};

static void print_difference(const struct checking *k, const struct difference *d)
{
	CLEANUP(wbuf_free) struct wbuf w = wbuf_growing(1024 * 1024);

	scene_put_request(&k->s, &w);
	wbuf_text(&w, " ");
	scene_put_object(&k->s, &w);
	print_error("%s: no line for %c %s, by rule %u, refused (%d) by %u, %s: %s -> "
		    "%s\n%.*s\n",
		    k->what, d->direction, op_by_number(d->op)->name, d->allows,
		    (int)d->refusal, d->refuses,
		    d->direction == '~' ? limit_name(d->limit) : "",
		    d->before ? d->before : "", d->after ? d->after : "", (int)w.len,
		    w.p);
	for (uint32_t i = 0; i < k->d->n; i++) {
		const struct differ_line *l = &k->d->v[i];

		if (l->d.op == d->op)
			print_error("  has %c rule %u, refused (%d) by %u: %s %s\n",
				    l->d.direction, l->d.allows, (int)l->d.refusal,
				    l->d.refuses, l->request, l->object);
	}
}

static void check_covered(const struct difference *d, void *arg)
{
	const struct checking *k = arg;

	k->t->different++;
	k->t->by_direction[strchr("+-~", d->direction) - "+-~"]++;
	if (d->direction != '~')
		k->t->by_refusal[d->refusal]++;
	if (differ_covers(k->d, d))
		return;
	print_difference(k, d);
	fail();
}

static void check_requests(struct checking *k, uint64_t seed, uint32_t requests)
{
	static uint8_t memory[1024 * 1024];
	struct arena a = {.p = memory, .cap = sizeof(memory)};

	for (uint32_t i = 0; i < requests; i++) {
		struct policy_question q;

		draw_scene(&seed, k->d->p, &k->s, &a);
		q = scene_question(&k->s);
		differences_of(k->d->p, &q, check_covered, k);
		k->t->requests++;
	}
}

/* ---- every line shows its difference ---- */

static uint64_t number_in(const char *json, const char *name, uint64_t otherwise)
{
	char key[64];
	const char *at;

	snprintf(key, sizeof(key), "\"%s\": ", name);
	at = strstr(json, key);
	if (!at)
		return otherwise;
	at += strlen(key);
	return *at == '-' ? (uint64_t)strtoll(at, NULL, 10) : strtoull(at, NULL, 10);
}

static struct v_str text_in(const cJSON *json, const char *name, struct v_str otherwise)
{
	const cJSON *j = json ? cJSON_GetObjectItemCaseSensitive(json, name) : NULL;

	return j && cJSON_IsString(j) ? v_str(j->valuestring) : otherwise;
}

static unsigned int word_in(struct v_str word, const char *words)
{
	unsigned int bit = 0;

	for (; *words && strncmp(words, word.p, word.len) != 0; bit++)
		words += strcspn(words, " ") + 1;
	return bit;
}

/* What the line says that the request finds. */
static struct policy_object object_in(const struct differ_line *l, const cJSON *json,
				      const struct typed *t)
{
	struct policy_object o = {
		.path = text_in(json, "mountpoint", text_in(json, "path", v_str("/x"))),
		.fstype = text_in(json, "fstype", v_str("x")),
		.type = (enum object_type)word_in(
			text_in(json, "type", v_str("regular")),
			"regular fifo socket character block directory"),
		.links = (enum object_links)word_in(text_in(json, "links", v_str("none")),
						    "none root-owned others"),
		.exists = !strstr(l->object, "\"exists\": false"),
		.size = number_in(l->object, "size", 0),
		.uid = (uint32_t)number_in(l->object, "uid", 0),
		.step = (int64_t)number_in(l->object, "step-ns", 0),
		.left = number_in(l->object, "cpus-left",
				  number_in(l->object, "bytes-left", UINT64_MAX)),
	};

	if (t->number == OP_exec && !strstr(l->object, "\"path\""))
		o.path = ((const struct msg_exec *)t->args)->path;
	o.real = o.path;
	return o;
}

static void json_free(cJSON **j)
{
	cJSON_Delete(*j);
}

/* A program that P names is where P says. */
static struct policy_answer ask(const struct policy *p, struct policy_question q)
{
	struct policy_object named;
	struct policy_answer a;
	uint32_t at = 0;

	if (q.op == OP_exec) {
		const struct policy_question look = {.op = q.op, .args = q.args};
		const struct image_constraint *c;

		policy_decide(p, &look, &a);
		c = policy_next(p, &a, KEY_RUN, &at);
		if (c) {
			named = *q.object;
			named.path = named.real =
				v_str(policy_text(p, p->values[c->value].text));
			q.object = &named;
		}
	}
	policy_decide(p, &q, &a);
	return a;
}

/* Are the limits those that the line tells of? */
static void check_limit(const struct checking *k, const struct differ_line *l,
			const struct policy_answer a[2])
{
	for (unsigned int i = 0; i < 2; i++) {
		CLEANUP(wbuf_free) struct wbuf w = wbuf_growing(64 * 1024);

		limit_text(k->d->p[i], &a[i], l->d.limit, &w);
		wbuf_u8(&w, 0);
		assert_string_equal((const char *)w.p, i ? l->d.after : l->d.before);
	}
	assert_string_not_equal(l->d.before, l->d.after);
}

static void check_line(const struct checking *k, const struct differ_line *l)
{
	CLEANUP(typed_done) struct typed t = {0};
	CLEANUP(json_free) cJSON *json = cJSON_Parse(l->object);
	const struct op *op = op_by_number(l->d.op);
	struct policy_answer a[2];
	struct policy_object object;
	struct policy_question q;
	struct err e;

	if (typed_read(&t, l->request, strlen(l->request), &e) < 0)
		fail_msg("%s: %s: %s", k->what, l->request, e.desc);
	assert_true(!*l->object || json);
	assert_int_equal(t.number, l->d.op);
	if (t.number == OP_exec && strstr(l->object, "input-bytes"))
		((struct msg_exec *)t.args)->input_data = (struct v_bulk){
			.size = number_in(l->object, "input-bytes", 0), .set = true};
	object = object_in(l, json, &t);
	q = (struct policy_question){.op = t.number, .args = t.args};
	if (op->flags & OPF_OBJECT || *l->object)
		q.object = &object;
	for (unsigned int i = 0; i < 2; i++)
		a[i] = ask(k->d->p[i], q);
	if (a[0].allowed != (l->d.direction != '+') ||
	    a[1].allowed != (l->d.direction != '-'))
		fail_msg("%s: %c is not what %s %s shows", k->what, l->d.direction,
			 l->request, l->object);
	if (l->d.direction == '~')
		check_limit(k, l, a);
	for (uint32_t i = 0; i < k->d->n; i++)
		assert_true(&k->d->v[i] == l ||
			    !is_same_difference(&k->d->v[i].d, &l->d));
}

/* ---- a pair ---- */

static void check_pair(const char *what, const struct policy *a, const struct policy *b,
		       uint64_t seed, uint32_t requests, struct totals *t)
{
	CLEANUP(differ_done) struct differ d = {0};
	struct checking k = {.what = what, .d = &d, .t = t};

	assert_int_equal(differ_find(&d, a, b), 0);
	assert_false(d.cut);
	t->pairs++;
	t->lines += d.n;
	for (uint32_t i = 0; i < d.n; i++)
		check_line(&k, &d.v[i]);
	check_requests(&k, seed, requests);
}

static void report(const struct totals *t)
{
	print_message("%llu pairs, %llu lines; %llu requests, %llu differences: %llu "
		      "allowed, %llu denied, %llu limits; refused by: none %llu, deny "
		      "%llu, limit %llu\n",
		      (unsigned long long)t->pairs, (unsigned long long)t->lines,
		      (unsigned long long)t->requests, (unsigned long long)t->different,
		      (unsigned long long)t->by_direction[0],
		      (unsigned long long)t->by_direction[1],
		      (unsigned long long)t->by_direction[2],
		      (unsigned long long)t->by_refusal[REFUSED_UNMATCHED],
		      (unsigned long long)t->by_refusal[REFUSED_BY_DENY],
		      (unsigned long long)t->by_refusal[REFUSED_BY_LIMIT]);
}

static void profiles(void **state)
{
	struct totals t = {0};
	struct profile a, b;

	(void)state;
	for (size_t i = 0; profile_at(i, &a); i++)
		for (size_t k = 0; profile_at(k, &b); k++) {
			CLEANUP(built_free) struct built x = {0}, y = {0};
			char what[128];

			snprintf(what, sizeof(what), "%s and %s", a.name, b.name);
			build_profile(&x, a.name, NULL);
			build_profile(&y, b.name, NULL);
			check_pair(what, &x.p, &y.p, i * 100 + k, FEW, &t);
		}
	report(&t);
}

static char *read_file(const char *path)
{
	FILE *f = fopen(path, "r");
	char *text = calloc(1, SOURCE_FILE_MAX + 1);

	if (!f || !text)
		fail_msg("%s: run this from the project's root", path);
	else
		assert_true(fread(text, 1, SOURCE_FILE_MAX, f) > 0);
	if (f)
		fclose(f);
	return text;
}

static void check_example(const char *path, const char *text, const char *profile,
			  uint64_t seed, struct totals *t)
{
	CLEANUP(built_free) struct built x = {0}, y = {0};

	build_profile(&x, profile, NULL);
	if (strstr(text, "\n[policy]"))
		build(&y, text, NULL);
	else
		build_profile(&y, profile, text);
	check_pair(path, &x.p, &y.p, seed, FEW, t);
	check_pair(path, &y.p, &x.p, seed, FEW, t);
}

static void examples(void **state)
{
	struct totals t = {0};
	struct profile p;
	glob_t found;

	(void)state;
	assert_int_equal(glob("examples/*.conf", 0, NULL, &found), 0);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		CLEANUP(free_p) char *text = read_file(found.gl_pathv[i]);

		for (size_t k = 0; profile_at(k, &p); k++)
			check_example(found.gl_pathv[i], text, p.name, i * 100 + k, &t);
	}
	globfree(&found);
	report(&t);
}

/* ---- written by hand: where two rules meet ---- */

#define RULE(name, effect, command, lines) \
	"[rule \"" name "\"]\neffect = " effect "\ncommand = " command "\n" lines
#define NONE "[policy]\nbase = none\n"

static const struct {
	const char *a;
	const char *b;
} pairs[] = {
	{NONE RULE("x", "allow", "guest-exec", "path = /usr/bin/*\n"),
	 NONE RULE("x", "allow", "guest-exec", "path = /usr/bin/*\n")
		 RULE("d", "deny", "guest-exec", "path = /bin/sh\n")},
	{NONE RULE("x", "allow", "guest-exec", "path = /opt/**\nargv = {a|b} ; ...\n"),
	 NONE RULE("x", "allow", "guest-exec", "path = /opt/*/bin/*\nargv = a ; * ; c\n")
		 RULE("y", "allow", "guest-exec", "path = /opt/x/**\nargv = ?\n")
			 RULE("d", "deny", "guest-exec", "argv = ** ; --force ; ...\n")},
	{NONE RULE("x", "allow", "guest-exec", "env-allow = LANG\nstdin-max = 10\n")
		 RULE("y", "allow", "guest-exec", "env-allow = LC_*\ntimeout = 3s\n"),
	 NONE RULE("x", "allow", "guest-exec",
		   "env-allow = LANG ; LC_A* ; P[A-C]TH\nstdin = no\ntimeout = 5s\n")
		 RULE("d", "deny", "guest-exec", "env-allow = PATH\nstdin-max = 5\n")},
	{NONE
	 "[exec \"logs\"]\npath = /usr/lib/x/logs\nargv = -n ; [0-9]\nuser = daemon\n",
	 NONE "[exec \"logs\"]\npath = /usr/lib/y/logs\nargv = -n ; [5-9]\ntimeout = 9s\n"
	      "[exec \"more\"]\npath = /usr/lib/x/more\n" RULE("d", "deny", "guest-exec",
							       "path = /usr/lib/x/**\n")},
	{NONE RULE("x", "allow", "guest-exec",
		   "path = /usr/bin/id ; /bin/ls ; /sbin/ip\n"),
	 NONE RULE("x", "allow", "guest-exec", "path = /usr/*/{id|ls}\n")
		 RULE("d", "deny", "guest-exec", "path = /usr/sbin/*\n")},
	/* Only a list of two shows these. */
	{NONE RULE("x", "allow", "guest-exec", "env-allow = LANG\n")
		 RULE("y", "allow", "guest-exec", "env-allow = LC_*\n"),
	 NONE RULE("x", "allow", "guest-exec", "env-allow = LANG ; LC_*\n")},
	{NONE RULE("x", "allow", "@ssh-keys", "key-types = ssh-rsa\n")
		 RULE("y", "allow", "@ssh-keys", "key-types = sk-*\nkeys-max = 4\n"),
	 NONE RULE("x", "allow", "@ssh-keys", "key-types = ssh-rsa ; sk-*\n")},
	/* What a deny of /lib means where /lib is a link. */
	{NONE RULE("x", "allow", "guest-exec", "path = /usr/lib/**\n"),
	 NONE RULE("x", "allow", "guest-exec", "path = /usr/lib/**\n")
		 RULE("d", "deny", "guest-exec", "path = /lib/x/{a|b}\n")},
	{NONE RULE("r", "allow", "@file-read", "path-beneath = /var/log\nsize-max = 8M\n")
		 RULE("w", "allow", "@file-write",
		      "path = /srv/in/*\nopen-mode = create\nfile-mode = 0600\n"),
	 NONE RULE("r", "allow", "@file-read",
		   "path-beneath = /var\nsize-max = 4M\n"
		   "follow-symlinks = no\n")
		 RULE("w", "allow", "@file-write",
		      "path = /srv/**\nopen-mode = create ; append\nowner = a:b\n")
			 RULE("d", "deny", "guest-file-open",
			      "path = /var/log/journal/**\nfile-type = regular\n")},
	{NONE RULE("f", "allow", "@freeze", "mountpoint = / ; /srv/*\nfreeze-max = 60s\n")
		 RULE("t", "allow", "@trim", "mountpoint = /srv/*\n"),
	 NONE RULE("f", "allow", "@freeze",
		   "mountpoint-exclude = /srv/b*\nhooks = "
		   "no\nfstype = ext? ; xfs\n")
		 RULE("d", "deny", "@freeze", "fstype = xfs\nmountpoint = /srv\n")},
	{NONE RULE("p", "allow", "@password", "user-exclude = root\nuid-min = 1000\n"),
	 NONE RULE("p", "allow", "@password",
		   "user = ad* ; r*\nuid-min = 500\nempty = yes\n"
		   "rate = 6/min\n")
		 RULE("d", "deny", "@password", "user = ada\ncrypted = only\n")},
	{NONE RULE("k", "allow", "@ssh-keys", "key-types = ssh-*\nkeys-max = 3\n"),
	 NONE RULE("k", "allow", "@ssh-keys",
		   "key-types = ssh-ed25519 ; sk-*\nkeys-max = 5\nreset = no\n")
		 RULE("l", "allow", "guest-ssh-add-authorized-keys", "user = ada\n")},
	{NONE RULE("t", "allow", "@time", "max-step = 1h\n")
		 RULE("h", "allow", "@hotplug", "online-min = 2\n"),
	 NONE RULE("t", "allow", "@time",
		   "max-step = 2h\nbackwards = no\nfrom-rtc = no\n")
		 RULE("h", "allow", "@hotplug", "offline = yes\nonline-min = 4\n") RULE(
			 "m", "allow", "guest-set-memory-blocks", "memory-min = 1G\n")},
	{"[policy]\nbase = safe\n",
	 "[policy]\nbase = confidential\nmode = complain\nceiling = legacy\n" RULE(
		 "d", "deny", "guest-exec", "path = /bin/sh\n")},
	{"[policy]\nbase = libvirt\n" RULE("i", "allow",
					   "guest-get-disks ; guest-get-users",
					   "exclude = a* ; b\nhide = serial\n"),
	 "[policy]\nbase = libvirt\n" RULE("i", "allow", "guest-get-disks",
					   "only = /dev/vd*\nsmart = yes\n")
		 RULE("s", "deny", "@suspend", "modes = ram\n") RULE(
			 "u", "allow", "@suspend", "force = yes\nmodes = ram ; disk\n")},
};

static void by_hand(void **state)
{
	struct totals t = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		CLEANUP(built_free) struct built x = {0}, y = {0};
		char what[64];

		snprintf(what, sizeof(what), "pair %zu", i);
		build(&x, pairs[i].a, NULL);
		build(&y, pairs[i].b, NULL);
		check_pair(what, &x.p, &y.p, i, MANY, &t);
		check_pair(what, &y.p, &x.p, i, MANY, &t);
		check_pair(what, &x.p, &x.p, i, FEW, &t);
	}
	report(&t);
	assert_true(t.by_refusal[REFUSED_BY_DENY] && t.by_refusal[REFUSED_BY_LIMIT]);
}

/* ---- made up ---- */

/* Commands, lines that any rule may have, and lines of an allow. Some are empty. */
static const struct rule_kind {
	const char *commands[3];
	const char *lines[2][6];
	const char *allows[2][4];
} kinds[] = {
	{{"guest-exec", "@exec", "guest-exec"},
	 {{"path = /usr/bin/systemctl", "path = /usr/bin/*",
	   "path = /opt/**/bin/?un[a-c]", "path = {/bin/sh|/bin/ls} ; \"/opt/x y\"",
	   "path = /usr/*bin/id", ""},
	  {"argv = {restart|reload} ; nginx.service", "argv = --since ; [1-9]? ; ...",
	   "argv = * ; *", "argv = -*", "argv = ... ", ""}},
	 {{"env-allow = LANG ; LC_*", "env-allow = *\nstdin-max = 100", "stdin = no", ""},
	  {"timeout = 5s", "timeout = 9s\ncwd = /srv", "rate = 3/s", ""}}},
	{{"guest-file-open", "@file-read", "@file-read ; @file-write"},
	 {{"path = /srv/*", "path = /srv/**.log ; /etc/motd", "path-beneath = /srv",
	   "path-beneath = /var/log ; /srv/a", "path = /*/a", ""},
	  {"open-mode = read", "open-mode = create ; replace", "open-mode = append",
	   "file-type = regular ; fifo", "follow-symlinks = no", ""}},
	 {{"size-max = 100", "size-max = 200", "file-mode = 0600", ""},
	  {"owner = a:b", "follow-symlinks = yes", "", ""}}},
	{{"@freeze", "@freeze ; @trim", "@trim"},
	 {{"mountpoint = /srv/*", "mountpoint = / ; /srv", "mountpoint = /[a-m]*", "", "",
	   ""},
	  {"fstype = ext4", "fstype = ext? ; xfs", "fstype = *fs", "", "", ""}},
	 {{"mountpoint-exclude = /srv/a", "fstype-exclude = xfs", "", ""},
	  {"time-limit = 3s", "rate = 6/min burst 2", "", ""}}},
	{{"@ssh-keys", "guest-ssh-add-authorized-keys", "@ssh-keys"},
	 {{"user = ada ; bob*", "user = [a-m]*", "user-exclude = root", "user = ?dm*",
	   "uid-min = 1000", ""},
	  {"", "", "", "", "", ""}},
	 {{"", "", "", ""}, {"rate = 9/h", "", "", ""}}},
	{{"guest-ssh-add-authorized-keys", "guest-ssh-add-authorized-keys",
	  "guest-ssh-add-authorized-keys"},
	 {{"key-types = ssh-ed25519", "key-types = ssh-* ; sk-*", "keys-max = 1",
	   "keys-max = 3\nreset = no", "key-types = *a*", ""},
	  {"user = ada", "user = a*", "", "", "", ""}},
	 {{"", "", "", ""}, {"", "", "", ""}}},
	{{"@password", "guest-set-user-password", "@password"},
	 {{"user = ada ; bob*", "user-exclude = root ; r*", "user = **", "uid-min = 1000",
	   "uid-min = 1001", ""},
	  {"crypted = only", "crypted = no", "crypted = any", "empty = no", "empty = yes",
	   ""}},
	 {{"", "", "", ""}, {"", "", "", ""}}},
	{{"@power", "guest-shutdown", "@power"},
	 {{"modes = powerdown", "modes = halt ; reboot", "modes = reboot", "", "", ""},
	  {"", "", "", "", "", ""}},
	 {{"force = yes", "force = no", "", ""}, {"", "", "", ""}}},
	{{"@suspend", "guest-suspend-ram", "@suspend"},
	 {{"modes = ram", "modes = disk ; hybrid", "", "", "", ""},
	  {"", "", "", "", "", ""}},
	 {{"force = yes", "", "", ""}, {"", "", "", ""}}},
	{{"@time", "@time", "guest-set-time"},
	 {{"from-rtc = no", "from-rtc = yes", "", "", "", ""}, {"", "", "", "", "", ""}},
	 {{"max-step = 1h", "max-step = 90s", "", ""}, {"backwards = no", "", "", ""}}},
	{{"@hotplug", "guest-set-vcpus ; guest-set-memory-blocks", "@hotplug"},
	 {{"offline = no", "offline = yes", "", "", "", ""}, {"", "", "", "", "", ""}},
	 {{"online-min = 2", "online-min = 3", "memory-min = 4K", ""}, {"", "", "", ""}}},
	{{"@info", "guest-get-users ; guest-get-time", "@session"},
	 {{"", "", "", "", "", ""}, {"", "", "", "", "", ""}},
	 {{"time-limit = 4s", "rate = 3/s", "", ""}, {"", "", "", ""}}},
	{{"guest-get-users", "guest-get-fsinfo", "guest-get-users ; guest-get-fsinfo"},
	 {{"", "", "", "", "", ""}, {"", "", "", "", "", ""}},
	 {{"only = a*", "exclude = b* ; a", "exclude = a ; b*", ""}, {"", "", "", ""}}},
};

#define RULES_MAX 9

struct draft {
	char settings[128];
	char rules[RULES_MAX][512];
	unsigned int n;
};

static void draft_rule(uint64_t *c, struct draft *d, unsigned int i)
{
	const struct rule_kind *k = once_in(c, 2) ? &kinds[any(c, 4)] : &PICK(c, kinds);
	bool deny = once_in(c, 3);

	if (once_in(c, 12))
		snprintf(d->rules[i], sizeof(d->rules[i]),
			 "[exec \"prog%u\"]\npath = %s\n%s\n%s\n", i,
			 once_in(c, 2) ? "/bin/sh" : "/usr/lib/x",
			 PICK(c, kinds[0].lines[1]), PICK(c, kinds[0].allows[1]));
	else
		snprintf(d->rules[i], sizeof(d->rules[i]),
			 "[rule \"r%u\"]\neffect = %s\ncommand = %s\n%s\n%s\n%s\n%s\n", i,
			 deny ? "deny" : "allow", PICK(c, k->commands),
			 PICK(c, k->lines[0]), PICK(c, k->lines[1]),
			 deny ? "" : PICK(c, k->allows[0]),
			 deny ? "" : PICK(c, k->allows[1]));
}

static void draft_policy(uint64_t *c, struct draft *d)
{
	static const char *const bases[] = {"none",    "none",    "none",
					    "libvirt", "proxmox", "legacy"};
	bool complain = once_in(c, 5);

	d->n = 2 + any(c, RULES_MAX - 2);
	snprintf(d->settings, sizeof(d->settings), "[policy]\nbase = %s\n%s%s\n",
		 PICK(c, bases), complain ? "mode = complain\nceiling = " : "",
		 complain ? PICK(c, bases) : "");
	for (unsigned int i = 0; i < d->n; i++)
		draft_rule(c, d, i);
}

static void build_draft(struct built *b, const struct draft *d)
{
	char text[RULES_MAX * 512 + 256];
	size_t len = (size_t)snprintf(text, sizeof(text), "%s", d->settings);

	for (unsigned int i = 0; i < d->n; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s",
					d->rules[i]);
	build(b, text, NULL);
}

static void made_up(void **state)
{
	struct totals t = {0};

	(void)state;
	for (uint64_t round = 0; round < ROUNDS; round++) {
		CLEANUP(built_free) struct built x = {0}, y = {0};
		uint64_t seed = 0x706f737465726e00 + round;
		struct draft a, b;
		char what[64];

		snprintf(what, sizeof(what), "seed %#llx", (unsigned long long)seed);
		draft_policy(&seed, &a);
		b = a;
		if (once_in(&seed, 3))
			draft_policy(&seed, &b);
		/* An edited policy is what diff is for. */
		for (unsigned int i = 0; i < 3; i++)
			draft_rule(&seed, &b, any(&seed, b.n));
		build_draft(&x, &a);
		build_draft(&y, &b);
		check_pair(what, &x.p, &y.p, seed, MANY / 2, &t);
	}
	report(&t);
	for (size_t i = 0; i < 3; i++)
		assert_true(t.by_direction[i] && t.by_refusal[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(profiles),
		cmocka_unit_test(examples),
		cmocka_unit_test(by_hand),
		cmocka_unit_test(made_up),
	};

	return cmocka_run_group_tests_name("policies compared", tests, NULL, NULL);
}
