/*
 * ctl/typed.h - a request in the form that a policy decides on
 *
 * Runs in:   posternctl, as the user who calls it
 * Input:     JSON text of a request
 * May touch: memory of its own
 * Must not:  differ from what the agent's frontend makes of the same text
 */
#ifndef POSTERN_CTL_TYPED_H
#define POSTERN_CTL_TYPED_H

#include "ipc/err.h"
#include "ipc/ops.h"
#include "policy/policy.h"

struct typed {
	uint32_t number;
	const struct op *op;
	void *args; /* struct of op->args; NULL: they do not fit the table */
	struct wbuf encoded;
	struct arena arena;
};

/*
 * TEXT as the frontend would take it, by the same code. 0; -1 with E: not a request, no
 * such command, or arguments that do not fit (then the command is known: T->op).
 */
int typed_read(struct typed *t, const char *text, size_t len, struct err *e);

/*
 * What P says of T: of a file that is opened as if it were a small ordinary one of that
 * very path, which is there or not, as the mode has it. The agent looks.
 */
void typed_decide(const struct policy *p, const struct typed *t, struct policy_answer *a);
void typed_done(struct typed *t);

#endif
