/*
 * worker/reload.h - another policy in the place of the one in force: whole, or not at all
 *
 * Runs in:   worker
 * Input:     images of the reader's
 * May touch: the policy in force; what stands on the one before
 * Must not:  take more than is held, touch anything while something is frozen
 *
 * Asked for by the supervisor (SIGHUP) or by posternctl. What is frozen is thawed first,
 * by whoever froze it: a reload waits. Then the files are read, by the reader; what comes
 * back is refused as a whole, with a record, or put in force as a whole. Of a reader that
 * went meanwhile the next is asked the same.
 */
#ifndef POSTERN_WORKER_RELOAD_H
#define POSTERN_WORKER_RELOAD_H

#include "ipc/control.h"
#include "ipc/loop.h"
#include "policy/policy.h"
#include "sandbox/needs.h"

struct worker;

/* For the files to be read, by as many readers as that takes. */
#define POLICY_READ_MS 10000

enum reload_state {
	RELOADS_NOT,
	RELOADS_LATER, /* something is frozen */
	RELOADS_NOW,   /* the files are being read */
};

struct reload {
	enum reload_state state;
	bool again;     /* asked for once more, while the files were being read */
	uint32_t round; /* of reading: who asked during one is answered by the next */
	uint32_t asked; /* number of the last question to a reader */
	struct timer late;
	/* How the last one ended, */
	enum reload_outcome outcome;
	char why[1024];
	uint64_t ended_usec;  /* by the clock; 0: there was none */
	uint64_t loaded_usec; /* and since when the policy is in force */
};

/*
 * The first policy, before the seal; the loop runs until it is there. With any mistake,
 * or if it takes too long to read, only session commands are allowed, and the log says
 * why. 0, or -1 with errno: not even that is possible. Without W->gen afterwards: we were
 * told to end.
 */
int reload_first(struct worker *w);

/* A new reader, behind SOCK, which is taken over. 0 or -1. */
int reload_reader(struct worker *w, int sock);

/* Somebody wants the files read again. control_reloaded is called, perhaps at once. */
void reload_ask(struct worker *w);

/* One that the last worker did not come to is ours; once we know what is frozen. */
void reload_resume(struct worker *w);
/* We end: what waits is over, and told so. */
void reload_stop(struct worker *w);

/* What it takes to do what P may allow, here. */
struct needs policy_needs(const struct worker *w, const struct policy *p);

/* Nothing is frozen, and nobody is at it: what waited for that may go on. */
void reload_thawed(struct worker *w);

#endif
