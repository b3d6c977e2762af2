/*
 * policy/policy.h - may this be done? The same answer in frontend and worker
 *
 * Runs in:   worker, frontend, posternctl
 * Input:     a policy image; typed requests
 * May touch: the structs it is handed
 * Must not:  make a system call, allocate while deciding, depend on the order of rules
 *
 * Denied unless a rule allows; a deny beats every allow (POLICY.md section 3).
 */
#ifndef POSTERN_POLICY_POLICY_H
#define POSTERN_POLICY_POLICY_H

#include "policy/image.h"
#include "policy/key.h"
#include "policy/pattern.h"
#include "policy/reason.h"
#include "policy/sha256.h"

enum policy_effect { POLICY_ALLOW = 1, POLICY_DENY = 2 };

/* An image opened for reading; borrows the bytes. */
struct policy {
	const struct image_head *head;
	const struct image_rule *rules;
	const struct image_constraint *constraints;
	const struct image_value *values;
	const char *text;
	uint64_t allowed; /* operations that some arguments could be allowed for */
	uint8_t sha256[SHA256_LEN];
};

/* Check and open the image of LEN bytes at P (8-byte aligned), which must outlive
 * POLICY. 0 or -1. */
int policy_open(struct policy *p, const void *image, size_t len);

static inline const char *policy_text(const struct policy *p, uint32_t text)
{
	return p->text + text;
}

/* A value of a type that has patterns. */
static inline struct pattern policy_pattern(const struct policy *p,
					    const struct image_value *v)
{
	return (struct pattern){policy_text(p, v->text), v->len, v->literal};
}

/* What is asked. ARGS is the decoded struct of the operation's argument schema. */
struct policy_question {
	uint32_t op;
	const void *args; /* NULL: only the command is asked about */
	/* NULL: not looked for yet. What constrains it holds then, and refuses nobody. */
	const struct policy_object *object;
};

/* The worst symbolic link on the way: bits of `follow-symlinks`. */
enum object_links {
	LINKS_NONE,
	LINKS_ROOT, /* only root can change it */
	LINKS_ANY,  /* or another name of the file, where others may put one */
};

/* Bits of `file-type`. */
enum object_type {
	OBJECT_REGULAR,
	OBJECT_FIFO,
	OBJECT_SOCKET,
	OBJECT_CHARACTER,
	OBJECT_BLOCK,
	OBJECT_DIRECTORY,
};

/* Bits of `open-mode`. */
enum open_mode {
	OPEN_READ = 1,
	OPEN_CREATE = 2,
	OPEN_REPLACE = 4,
	OPEN_APPEND = 8,
	OPEN_UPDATE = 16
};

/*
 * What an op child found: a file, or the place for one; a program; a mount; an account;
 * what would become of clock, CPUs or memory.
 */
struct policy_object {
	/* Of a file as the kernel knows it; of a program as found; a mount point. */
	struct v_str path;
	struct v_str real;   /* of a program, as the kernel knows it */
	struct v_str fstype; /* of a mount */
	enum object_type type;
	enum object_links links;
	bool exists;
	uint64_t size; /* bytes */
	uint32_t uid;  /* of an account */
	int64_t step;  /* by which the clock moves, in nanoseconds */
	uint64_t left; /* CPUs, or bytes of memory, that stay online; UINT64_MAX: all */
};

/* The texts are the image's. */
struct policy_answer {
	bool allowed;
	bool complained; /* allowed by the ceiling alone: would be refused if enforced */
	bool never;      /* refused, and no other arguments could be allowed */
	enum reason reason;
	/* The rule that decided, by index; -1: none spoke of the command. Of a refusal
	 * for lack of an allow: the allow rule that came nearest. */
	int32_t rule;
	/* Of such a rule: index of the constraint that failed first; -1: none did. */
	int32_t failed;
	/* All allow rules that matched, a bit each: their limits and exclusions hold. */
	uint64_t matches[IMAGE_RULES_MAX / 64 + 1];
};

/* A program's name without a slash is looked for in these, in this order (POLICY.md
 * section 4). */
#define PROGRAM_FOLDERS 4
extern const char *const program_folders[PROGRAM_FOLDERS];

void policy_decide(const struct policy *p, const struct policy_question *q,
		   struct policy_answer *a);

/* Does C hold for Q, which has arguments? What is looked at later does. */
bool policy_holds(const struct policy *p, const struct image_constraint *c,
		  const struct policy_question *q);

/* Is there anything about Q that a constraint of KEY looks at? */
bool policy_speaks(enum key key, const struct policy_question *q);

/* The rule that ANSWER names, as a person knows it; NULL: none. */
static inline const struct image_rule *policy_rule(const struct policy *p,
						   const struct policy_answer *a)
{
	return a->rule < 0 ? NULL : &p->rules[a->rule];
}

static inline const char *policy_base(const struct policy *p)
{
	return policy_text(p, p->head->base);
}

/* As policies and records have it. */
static inline const char *policy_mode(const struct policy *p)
{
	return p->head->mode == MODE_COMPLAIN ? "complain" : "enforce";
}

/* Could any arguments of OP be allowed? What guest-info reports. */
static inline bool policy_may(const struct policy *p, uint32_t op)
{
	return op < OP_MAX && p->allowed >> op & 1;
}

/* Does no rule let a file be opened but to be read? */
bool policy_only_reads(const struct policy *p);
/* Does some rule have a freeze run the hooks that are configured? */
bool policy_runs_hooks(const struct policy *p);

/*
 * The tightest value of KEY (stage AT_ACT) over the rules that matched; false: none of
 * them says anything.
 */
bool policy_limit(const struct policy *p, const struct policy_answer *a, enum key key,
		  uint64_t *value);

/* Do the rules that matched say yes to KEY, all that say anything? */
static inline bool policy_yes(const struct policy *p, const struct policy_answer *a,
			      enum key key)
{
	uint64_t yes = 0;

	return policy_limit(p, a, key, &yes) && yes;
}

/* Walk the constraints of KEY over all rules that matched: call until NULL. *AT starts
 * at 0. */
const struct image_constraint *policy_next(const struct policy *p,
					   const struct policy_answer *a, enum key key,
					   uint32_t *at);

#endif
