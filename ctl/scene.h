/*
 * ctl/scene.h - questions that policies may answer differently: a request, what it finds
 *
 * Runs in:   posternctl, tests
 * Input:     policies that were opened
 * May touch: memory of its own
 * Must not:  differ from run to run, leave out what a constraint looks at
 *
 * What constraints look at falls into parts that have nothing to do with each other: the
 * program, its arguments, its environment, the account... For each part there is a list
 * of values, such that whatever a request has there, one of them is the same to all rules
 * of both policies. So every request is like some combination of these values.
 */
#ifndef POSTERN_CTL_SCENE_H
#define POSTERN_CTL_SCENE_H

#include "policy/policy.h"

/* Bytes of the largest struct of arguments. */
#define SCENE_ARGS_MAX 512

/* A request and what was found where it points. */
struct scene {
	uint32_t op;
	_Alignas(max_align_t) uint8_t args[SCENE_ARGS_MAX];
	bool has_object;
	struct policy_object object;
	struct msg_vcpu cpu;
	struct msg_memory_block block;
};

/* OP asked for with as little as it takes; about nothing in particular, if HAS_OBJECT. */
void scene_init(struct scene *s, uint32_t op, bool has_object);

/*
 * How often OP is asked about: once by the request alone, or with what it finds, or both
 * (a freeze is allowed, and then every file system of it).
 */
bool scene_is_asked(uint32_t op, bool has_object);

/*
 * What P says of Q in the end. A program that a rule of P names is where that rule says,
 * so the object is that one then.
 */
void scene_decide(const struct policy *p, const struct policy_question *q,
		  struct policy_answer *a);

struct policy_question scene_question(const struct scene *s);

/* ---- values ---- */

/* One value of one part. Which members count depends on the part. */
struct scene_value {
	struct v_str text;
	struct v_str found; /* where a program is; it is taken to be no link */
	struct v_list list;
	uint64_t number;
	uint32_t word;
	bool set;
	bool is;
};

#define SCENE_KEYS_MAX 2

struct scene_part {
	uint64_t ops;
	enum key keys[SCENE_KEYS_MAX]; /* that look at it */
	uint32_t n_keys;
	bool of_object;
	bool limit; /* what all matching rules together say of it is a bound */
	/* Values for OP by the constraints of both policies, in A. False: not all. */
	bool (*draw)(struct arena *a, const struct policy *const p[2], uint32_t op,
		     struct scene_value **v, uint32_t *n);
	void (*apply)(struct scene *s, const struct scene_value *v);
};

/* The parts of OP, into OUT; how many there are. */
#define SCENE_PARTS_MAX 8
uint32_t scene_parts(uint32_t op, bool has_object,
		     const struct scene_part *out[SCENE_PARTS_MAX]);

/* ---- as text ---- */

/* Bytes of input that stand in the text of a request; more are only counted. */
#define SCENE_INPUT_MAX 48

/* The request as the host would send it. False: it cannot be written down. */
bool scene_put_request(const struct scene *s, struct wbuf *w);

/*
 * A JSON object: what it finds, and how much input there is that the request leaves out.
 * Nothing is written if there is no more to say than the request does.
 */
void scene_put_object(const struct scene *s, struct wbuf *w);

#endif
