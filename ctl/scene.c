/*
 * ctl/scene.c - questions that policies may answer differently: a request, what it finds
 *
 * Runs in:   posternctl, tests
 * Input:     policies that were opened
 * May touch: the structs it is handed
 * Must not:  make a request that the agent would not take
 */
#include "ctl/scene.h"

#include <stdio.h>
#include <string.h>

#include "ipc/jsonw.h"

/* ---- a request with what it cannot do without ---- */

/* A value of each kind that a required field may have. */
static const struct v_int an_int = {.v = 1, .set = true};
static const struct v_u64 a_u64 = {.v = 1, .set = true};
static const struct v_num a_num = {.v = 1, .set = true};
static const struct v_bool a_bool = {.v = true, .set = true};
static const struct v_str a_str = {.p = "x", .len = 1, .set = true};
static const struct v_b64 a_b64 = {.p = "x", .len = 1, .set = true};
static const struct v_bulk a_bulk = {.set = true};
static const struct v_enum an_enum = {.set = true};
static const struct v_alt an_alt = {.named = true, .set = true};
static const struct v_list a_list = {.set = true};

static const struct {
	const void *value;
	size_t size;
} least[K_COUNT] = {
	[K_INT] = {&an_int, sizeof(an_int)},
	[K_U64] = {&a_u64, sizeof(a_u64)},
	[K_NUM] = {&a_num, sizeof(a_num)},
	[K_BOOL] = {&a_bool, sizeof(a_bool)},
	[K_STR] = {&a_str, sizeof(a_str)},
	[K_B64] = {&a_b64, sizeof(a_b64)},
	[K_BULK] = {&a_bulk, sizeof(a_bulk)},
	[K_ENUM] = {&an_enum, sizeof(an_enum)},
	[K_INT_OR_ENUM] = {&an_alt, sizeof(an_alt)},
	[K_BOOL_OR_ENUM] = {&an_alt, sizeof(an_alt)},
	[K_LIST_OBJ] = {&a_list, sizeof(a_list)},
	[K_LIST_STR] = {&a_list, sizeof(a_list)},
};

void scene_init(struct scene *s, uint32_t op, bool has_object)
{
	const struct schema *args = op_by_number(op)->args;

	*s = (struct scene){
		.op = op,
		.has_object = has_object,
		.object = {.path = v_str("/x"),
			   .real = v_str("/x"),
			   .fstype = v_str("x"),
			   .exists = true,
			   .uid = 1000,
			   .left = UINT64_MAX},
		.cpu = {.logical_id = V_INT(1), .online = V_BOOL(true)},
		.block = {.phys_index = V_U64(1), .online = V_BOOL(true)},
	};
	for (uint32_t i = 0; i < args->n; i++) {
		const struct field *f = &args->fields[i];

		if (!(f->flags & F_OPT) && least[f->kind].size)
			memcpy(s->args + f->offset, least[f->kind].value,
			       least[f->kind].size);
	}
}

/* Mounts are decided on one by one, behind the request. */
#define OPS_OF_MOUNTS \
	(OPS_OF_1(fsfreeze_freeze) | OPS_OF_1(fsfreeze_freeze_list) | OPS_OF_1(fstrim))

bool scene_is_asked(uint32_t op, bool has_object)
{
	const uint32_t flags = op_by_number(op)->flags;
	bool found = flags & OPF_OBJECT;

	/* What is no command of Linux is not asked for. */
	if (flags & OPF_ELSEWHERE)
		return false;
	return OPS_OF_MOUNTS >> op & 1 || found == has_object;
}

struct policy_question scene_question(const struct scene *s)
{
	return (struct policy_question){
		.op = s->op,
		.args = s->args,
		.object = s->has_object ? &s->object : NULL,
	};
}

void scene_decide(const struct policy *p, const struct policy_question *q,
		  struct policy_answer *a)
{
	struct policy_question look = *q;
	const struct image_constraint *run = NULL;
	struct policy_object named;
	uint32_t at = 0;

	look.object = NULL;
	if (q->op == OP_exec && q->object) {
		policy_decide(p, &look, a);
		run = a->allowed ? policy_next(p, a, KEY_RUN, &at) : NULL;
	}
	look.object = q->object;
	if (run) {
		named = *q->object;
		named.path = named.real =
			v_str(policy_text(p, p->values[run->value].text));
		look.object = &named;
	}
	policy_decide(p, &look, a);
}

/* ---- as text ---- */

static bool is_long(const struct scene *s)
{
	const struct msg_exec *q = (const void *)s->args;

	return s->op == OP_exec && q->input_data.size > SCENE_INPUT_MAX;
}

bool scene_put_request(const struct scene *s, struct wbuf *w)
{
	static const uint8_t input[SCENE_INPUT_MAX];
	const struct op *op = op_by_number(s->op);
	CLEANUP(wbuf_free) struct wbuf wire = wbuf_growing(1024 * 1024);
	struct scene short_one = *s;
	struct rbuf bulk, r;
	uint64_t size = 0;

	if (is_long(s))
		((struct msg_exec *)(void *)short_one.args)->input_data.set = false;
	wbuf_text(w, "{\"execute\": ");
	jsonw_cstr(w, op->name);
	if (op->args->n) {
		schema_bulk(op->args, short_one.args, &size);
		bulk = rbuf_of(input, size);
		schema_put(&wire, op->args, short_one.args);
		r = rbuf_of(wire.p, wire.len);
		wbuf_text(w, ", \"arguments\": ");
		if (wire.bad ||
		    schema_render(&r, op->args,
				  &(struct render){.bulk = &bulk, .n_bulk = 1}, w) < 0)
			return false;
	}
	wbuf_text(w, "}");
	return !w->bad;
}

static void member(struct wbuf *w, const char *name)
{
	wbuf_text(w, w->len && w->p[w->len - 1] != '{' ? ", " : "");
	jsonw_cstr(w, name);
	wbuf_text(w, ": ");
}

static void put_text(struct wbuf *w, const char *name, const struct v_str *s)
{
	member(w, name);
	jsonw_str(w, s->p, s->len);
}

static void put_number(struct wbuf *w, const char *name, uint64_t v)
{
	member(w, name);
	jsonw_u64(w, v);
}

/* The word of KEY whose bit is BIT. */
static void put_word(struct wbuf *w, const char *name, enum key key, unsigned int bit)
{
	const char *word = key_row(key)->words;

	for (; bit; bit--)
		word += strcspn(word, " ") + 1;
	member(w, name);
	jsonw_str(w, word, strcspn(word, " "));
}

static bool is_equal(const struct v_str *a, const struct v_str *b)
{
	return a->len == b->len && !memcmp(a->p, b->p, a->len);
}

static void put_program(const struct scene *s, struct wbuf *w)
{
	const struct msg_exec *q = (const void *)s->args;

	if (!is_equal(&s->object.path, &q->path))
		put_text(w, "path", &s->object.path);
	if (is_long(s))
		put_number(w, "input-bytes", q->input_data.size);
}

static void put_file(const struct scene *s, struct wbuf *w)
{
	static const char *const links[] = {"none", "root-owned", "others"};

	put_text(w, "path", &s->object.path);
	put_word(w, "type", KEY_FILE_TYPE, s->object.type);
	member(w, "links");
	jsonw_cstr(w, links[s->object.links]);
	member(w, "exists");
	jsonw_bool(w, s->object.exists);
	put_number(w, "size", s->object.size);
}

static void put_mount(const struct scene *s, struct wbuf *w)
{
	put_text(w, "mountpoint", &s->object.path);
	put_text(w, "fstype", &s->object.fstype);
}

static void put_account(const struct scene *s, struct wbuf *w)
{
	put_number(w, "uid", s->object.uid);
}

static void put_step(const struct scene *s, struct wbuf *w)
{
	member(w, "step-ns");
	jsonw_i64(w, s->object.step);
}

static void put_left(const struct scene *s, struct wbuf *w)
{
	bool cpus = s->op == OP_set_vcpus;

	if (s->object.left != UINT64_MAX)
		put_number(w, cpus ? "cpus-left" : "bytes-left", s->object.left);
}

static const struct {
	uint64_t ops;
	void (*put)(const struct scene *s, struct wbuf *w);
} objects[] = {
	{OPS_OF_1(exec), put_program},
	{OPS_OF_1(file_open), put_file},
	{OPS_OF_MOUNTS, put_mount},
	{OPS_OF_1(set_user_password) | OPS_OF_1(ssh_get_authorized_keys) |
		 OPS_OF_1(ssh_add_authorized_keys) | OPS_OF_1(ssh_remove_authorized_keys),
	 put_account},
	{OPS_OF_1(set_time), put_step},
	{OPS_OF_1(set_vcpus) | OPS_OF_1(set_memory_blocks), put_left},
};

void scene_put_object(const struct scene *s, struct wbuf *w)
{
	size_t start = w->len;

	if (!s->has_object)
		return;
	wbuf_text(w, "{");
	for (size_t i = 0; i < ARRAY_SIZE(objects); i++)
		if (objects[i].ops >> s->op & 1)
			objects[i].put(s, w);
	if (w->len == start + 1)
		w->len = start;
	else
		wbuf_text(w, "}");
}
