/*
 * ctl/propose.h - the rule that allows one request and, where the language can say so, no
 * other
 *
 * Runs in:   posternctl, as the user who calls it
 * Input:     what records say of a request: any text
 * May touch: the structs it is handed
 * Must not:  write a pattern, let a text of the host be more than a literal
 */
#ifndef POSTERN_CTL_PROPOSE_H
#define POSTERN_CTL_PROPOSE_H

#include "ipc/ops.h"
#include "ipc/wire.h"

/* What the records of one request say; a text that they do not have is NULL. */
struct told {
	uint32_t op;
	int reason;       /* why it would be refused (enum reason); -1: not known */
	const char *args; /* JSON, without secrets */
	bool args_cut;
	const char *requested; /* the path of a file, as it was asked for */
	const char *opened;    /* the real one */
	const char *found;     /* the path of a program */
	const char *argv;      /* its arguments, JSON */
	const char *keys;      /* fingerprints */
	bool escapes;          /* paths are as in struct trail */
	struct v_int step;     /* nanoseconds by which the clock was moved */
	struct v_u64 left;     /* CPUs or bytes that stayed online */
};

/*
 * Limits of which the tightest of all rules holds, so that equal commands need one rule
 * with the widest that was seen.
 */
struct span {
	bool from_rtc;
	bool backwards;
	bool offline;
	bool any; /* for some request it is not known */
	uint64_t step_ms;
	uint64_t left;
};

enum proposed {
	PROPOSED_RULE,
	PROPOSED_DRAFT,    /* what records leave out must be filled in: commented out */
	PROPOSED_NONE,     /* no rule can say it */
	PROPOSED_NEEDLESS, /* what allows another command allows it */
};

struct proposal {
	enum proposed how;
	uint32_t op;
	struct wbuf body;    /* lines of the rule behind its effect */
	struct wbuf remarks; /* lines for people */
	struct wbuf request; /* the request as JSON, with stand-ins for secrets */
	char *program;       /* of guest-exec: the path it is run by, if there is one */
	bool no_arguments;   /* of guest-exec: and it had none */
	struct span span;
};

/* End with proposal_done. Memory that is short leaves P->body.bad. */
void propose(const struct told *t, struct proposal *p);
void proposal_done(struct proposal *p);

/* TEXT is a remark on it, and it is no more than HOW. */
void proposal_demote(struct proposal *p, enum proposed how, const char *text);

void span_add(struct span *a, const struct span *b);

/* Lines for what S holds of OP. */
void span_put(uint32_t op, const struct span *s, struct wbuf *body, struct wbuf *remarks);

/* What refuses a program every argument, as a rule's line. */
extern const char no_arguments[];

#endif
