/*
 * policy/policy.h - may this be done? The same answer in frontend and worker
 *
 * Runs in:   worker, frontend
 * Input:     a policy image (built by the worker, read by both); typed requests
 * May touch: the structs it is handed
 * Must not:  make a system call, allocate while deciding, depend on the order of rules
 *
 * An image is the effective policy as one flat block without pointers, so that the
 * worker can hand it to the frontend as a sealed memfd and both read the same bytes.
 */
#ifndef POSTERN_POLICY_POLICY_H
#define POSTERN_POLICY_POLICY_H

#include "ipc/ops.h"
#include "policy/reason.h"
#include "policy/sha256.h"

#define POLICY_IMAGE_MAX (256 * 1024)
#define POLICY_RULES_MAX 1000

enum policy_effect { POLICY_ALLOW = 1, POLICY_DENY = 2 };

/* A rule as a builder states it. */
struct policy_rule {
	enum policy_effect effect;
	uint64_t ops; /* operations it speaks of, by number */
	const char *name;
	const char *file; /* where it stands; "builtin:NAME" for a profile */
	uint32_t line;    /* 0: in no file */
};

/* An image opened for reading; borrows the bytes. */
struct policy {
	struct rbuf rules; /* n_rules encoded rules */
	uint32_t n_rules;
	const char *base; /* name of the profile it starts from */
	uint64_t allowed; /* operations that some rule allows and none denies whole */
	uint8_t sha256[SHA256_LEN];
};

/*
 * Build the image of RULES into OUT (a growing wbuf of limit POLICY_IMAGE_MAX). 0, or
 * -1 if it does not fit.
 */
int policy_build(const char *base, const struct policy_rule *rules, uint32_t n,
		 struct wbuf *out);

/* Check and open the image of LEN bytes at P, which must outlive POLICY. 0 or -1. */
int policy_open(struct policy *p, const void *image, size_t len);

/* What is asked. ARGS is the decoded struct of the operation's argument schema. */
struct policy_question {
	uint32_t op;
	const void *args;
};

/* The texts are the image's. */
struct policy_answer {
	bool allowed;
	bool never; /* refused, and no other arguments could be allowed */
	enum reason reason;
	const char *rule; /* the rule that decided; NULL if none matched */
	const char *file;
	uint32_t line;
};

/* Denied unless a rule allows; a deny beats every allow (POLICY.md section 3). */
void policy_decide(const struct policy *p, const struct policy_question *q,
		   struct policy_answer *a);

/* Could any arguments of OP be allowed? What guest-info reports. */
static inline bool policy_may(const struct policy *p, uint32_t op)
{
	return op < OP_MAX && p->allowed >> op & 1;
}

/* ---- profiles kept by the project ---- */

/*
 * Build the image of the built-in profile NAME, less the operations in DENIED, which the
 * lists of the command line take away. 0, or -1: no such profile.
 */
int policy_profile(const char *name, uint64_t denied, struct wbuf *out);

/* The names, in order; NULL after the last. */
const char *policy_profile_name(uint32_t index);

/* Operations of the groups in the mask GROUPS, as a set. */
uint64_t policy_group_ops(uint32_t groups);

#endif
