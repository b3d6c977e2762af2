/*
 * ctl/candidates.c - requests out of records, equal ones once, each with its rule
 *
 * Runs in:   posternctl, as the user who calls it
 * Input:     records: any text
 * May touch: memory of its own
 * Must not:  grow without a bound, leave out a request without counting it
 *
 * What is known of a request stands in several records: how it was decided in the first,
 * where its program was found in another. So a decision waits for the request's end, or
 * for as many others as there is room for.
 */
#include "ctl/candidates.h"

#include <string.h>

#include "ctl/grow.h"
#include "policy/policy.h"

#define PENDING_MAX 1024

#define BUILTIN "builtin:"

/* A decision whose request has not ended; all texts are malloced. */
struct pending {
	bool used;
	enum judged judged;
	uint64_t request, count, usec, line;
	uint64_t reason; /* a bit */
	char *instance;
	char *args, *requested, *opened, *rule, *file;
	char *found, *argv, *keys;
	struct told told;
};

/* ---- what a decision means ---- */

static int reason_of(const struct v_str *text)
{
	for (int i = 0; i < REASON_COUNT; i++)
		if (text_is(text, reason_name((enum reason)i)))
			return i;
	return -1;
}

/* Refusals that a rule can change, or a deny that is taken away. */
static const bool changeable[REASON_COUNT] = {
	[REASON_NO_RULE] = true,       [REASON_PATH] = true,  [REASON_ARGV] = true,
	[REASON_ENVIRONMENT] = true,   [REASON_INPUT] = true, [REASON_SYMLINK] = true,
	[REASON_USER] = true,          [REASON_KEY] = true,   [REASON_SIZE] = true,
	[REASON_MODE] = true,          [REASON_STEP] = true,  [REASON_CONSTRAINT] = true,
	[REASON_EXPLICIT_DENY] = true,
};

static bool is_builtin(const struct msg_audit *m)
{
	return m->rule_file.len >= strlen(BUILTIN) &&
	       memcmp(m->rule_file.p, BUILTIN, strlen(BUILTIN)) == 0;
}

/* What is allowed, whether or not it came to something, is so by a rule. */
static enum judged judge_allowed(const struct msg_audit *m)
{
	if (!m->rule.set || !m->rule_file.set)
		return text_is(&m->reason, reason_name(REASON_RULE)) ? JUDGED_BASE
								     : JUDGED_NOTHING;
	return is_builtin(m) ? JUDGED_BASE : JUDGED_RULE;
}

static enum judged judge(const struct msg_audit *m, int reason)
{
	if (text_is(&m->decision, "complain"))
		return JUDGED_COMPLAIN;
	if (text_is(&m->decision, "deny"))
		return reason >= 0 && changeable[reason] ? JUDGED_DENY : JUDGED_OTHER;
	/* That nothing was there hides that complain mode let it through, if no rule did.
	 */
	if (text_is(&m->decision, "error") && !m->rule.set &&
	    text_is(&m->policy_mode, "complain") && reason == REASON_LOOKUP)
		return JUDGED_ERROR;
	if (text_is(&m->decision, "error") || text_is(&m->decision, "allow"))
		return judge_allowed(m);
	return JUDGED_NOTHING;
}

/* ---- candidates ---- */

static void candidate_done(struct candidate *k)
{
	proposal_done(&k->proposal);
	free(k->args);
	free(k->rule);
	free(k->file);
	free(k->profile);
}

static uint64_t hash_of(const struct candidate *k)
{
	const struct wbuf *body = &k->proposal.body;
	uint64_t h = UINT64_C(14695981039346656037);

	for (size_t i = 0; i < body->len; i++)
		h = (h ^ body->p[i]) * UINT64_C(1099511628211);
	for (const char *p = k->args; p && *p; p++)
		h = (h ^ (uint8_t)*p) * UINT64_C(1099511628211);
	return h;
}

/* Either may be NULL. */
static bool same_text(const char *a, const char *b)
{
	return a && b ? streq(a, b) : a == b;
}

static bool is_equal(const struct candidate *a, const struct candidate *b)
{
	const struct wbuf *x = &a->proposal.body, *y = &b->proposal.body;

	return a->hash == b->hash && a->proposal.how == b->proposal.how &&
	       a->proposal.no_arguments == b->proposal.no_arguments &&
	       same_text(a->args, b->args) && x->len == y->len &&
	       memcmp(x->p, y->p, x->len) == 0;
}

static struct candidate *find(struct candidates *c, const struct candidate *like)
{
	for (size_t i = 0; i < c->n; i++)
		if (is_equal(&c->v[i], like))
			return &c->v[i];
	return NULL;
}

/* K, which then belongs to C. 0; 1: no room; -1: no memory. */
static int keep(struct candidates *c, struct candidate *k, bool wanted)
{
	size_t others = c->n - c->candidates;
	void *v = c->v;

	if (wanted ? c->candidates >= CANDIDATES_MAX : others >= BYSTANDERS_MAX)
		return 1;
	if (ctl_grow(&v, &c->room, c->n, sizeof(*c->v), SIZE_MAX) < 0)
		return -1;
	c->v = v;
	c->candidates += wanted;
	c->v[c->n++] = *k;
	*k = (struct candidate){0};
	return 0;
}

static void count(struct candidate *k, struct pending *p)
{
	k->n[p->judged] += p->count;
	if (p->judged <= JUDGED_DENY) {
		k->reasons |= p->reason;
		if (p->reason >> REASON_EXPLICIT_DENY & 1)
			k->by_deny += p->count;
	}
	k->first = p->usec < k->first ? p->usec : k->first;
	k->last = p->usec > k->last ? p->usec : k->last;
	if (!p->rule || !p->file)
		return;
	if (p->judged == JUDGED_BASE) {
		free(k->profile);
		k->profile = strdup(p->file + strlen(BUILTIN));
	}
	free(k->rule);
	free(k->file);
	k->rule = TAKE_PTR(p->rule);
	k->file = TAKE_PTR(p->file);
	k->line = p->line;
}

/* ---- decisions that wait ---- */

static void pending_done(struct pending *p)
{
	char *texts[] = {p->instance, p->args,  p->requested, p->opened, p->rule,
			 p->file,     p->found, p->argv,      p->keys};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		free(texts[i]);
	*p = (struct pending){0};
}

/* All is known of P that there is. 0; -1: no memory. */
static int settle(struct candidates *c, struct pending *p)
{
	CLEANUP(candidate_done) struct candidate k = {.first = UINT64_MAX};
	bool wanted = p->judged <= JUDGED_DENY;
	struct candidate *known;
	int r = 0;

	p->told.args = p->args;
	p->told.requested = p->requested;
	p->told.opened = p->opened;
	p->told.found = p->found;
	p->told.argv = p->argv;
	p->told.keys = p->keys;
	propose(&p->told, &k.proposal);
	if (k.proposal.how == PROPOSED_NONE)
		k.args = strdup(p->args ? p->args : "");
	if (k.proposal.body.bad || (k.proposal.how == PROPOSED_NONE && !k.args)) {
		pending_done(p);
		return -1;
	}
	k.hash = hash_of(&k);
	known = find(c, &k);
	if (!known) {
		r = keep(c, &k, wanted);
		known = r == 0 ? &c->v[c->n - 1] : NULL;
	} else {
		span_add(&known->proposal.span, &k.proposal.span);
		c->candidates += wanted && !is_wanted(known);
	}
	if (known)
		count(known, p);
	c->too_many += r > 0 ? p->count : 0;
	pending_done(p);
	return r < 0 ? -1 : 0;
}

static struct pending *slot_of(struct candidates *c, const struct msg_audit *m)
{
	return &c->pending[m->request.v % PENDING_MAX];
}

/* A copy of S in *TEXT, unless there is one. */
static void copy(char **text, const struct v_str *s, bool *bad)
{
	if (!s->set || *text)
		return;
	*text = strndup(s->p, s->len);
	*bad |= !*text;
}

static int decided(struct candidates *c, const struct msg_audit *m, uint32_t op,
		   enum judged judged, bool escapes)
{
	struct pending counted = {0};
	struct pending *p = m->request.set ? slot_of(c, m) : &counted;
	int reason = reason_of(&m->reason);
	bool bad = false;

	if (p->used && settle(c, p) < 0)
		return -1;
	*p = (struct pending){
		.used = true,
		.judged = judged,
		.request = m->request.v,
		.count = m->repeat.set ? m->repeat.v : 1,
		.usec = m->time_usec.v,
		.line = m->rule_line.v,
		.reason = reason < 0 ? 0 : UINT64_C(1) << reason,
		.told = {.op = op,
			 .reason = reason,
			 .args_cut = m->args_cut.v,
			 .escapes = escapes},
	};
	copy(&p->instance, &m->instance, &bad);
	copy(&p->args, &m->args, &bad);
	copy(&p->requested, &m->file_requested, &bad);
	copy(&p->opened, &m->file_opened, &bad);
	copy(&p->rule, &m->rule, &bad);
	copy(&p->file, &m->rule_file, &bad);
	/* A count stands for requests that have ended. */
	if (!bad && m->request.set)
		return 0;
	if (!bad)
		return settle(c, p);
	pending_done(p);
	return -1;
}

static int decision(struct candidates *c, const struct msg_audit *m, bool escapes)
{
	uint32_t op = m->command.set ? op_by_name(m->command.p, m->command.len) : OP_NONE;
	enum judged judged = judge(m, reason_of(&m->reason));
	uint64_t n = m->repeat.set ? m->repeat.v : 1;

	if (op == OP_NONE || m->reported_by.set || op_by_number(op)->flags & OPF_PART ||
	    op_by_number(op)->audit == AUDIT_COUNT)
		return 0;
	if (judged == JUDGED_OTHER) {
		c->others += n;
	} else if (judged == JUDGED_DENY && !c->with_denied) {
		c->denied += n;
	} else if (judged != JUDGED_NOTHING) {
		return decided(c, m, op, judged, escapes);
	}
	return 0;
}

/* Another record of a request whose decision waits. */
static int more(struct candidates *c, const struct msg_audit *m)
{
	struct pending *p = slot_of(c, m);
	bool bad = false;

	if (!m->request.set || !p->used || p->request != m->request.v ||
	    !text_is(&m->instance, p->instance))
		return 0;
	copy(&p->found, &m->exec_path, &bad);
	copy(&p->argv, &m->exec_argv, &bad);
	copy(&p->keys, &m->key_fingerprint, &bad);
	if (m->time_delta.set)
		p->told.step = m->time_delta;
	if (m->online.set)
		p->told.left = m->online;
	if (bad)
		return -1;
	return text_is(&m->event, event_rows[EVENT_COMPLETE].name) ? settle(c, p) : 0;
}

int candidates_add(struct candidates *c, const struct record *r, bool escapes, bool taken)
{
	if (!text_is(&r->m.event, event_rows[EVENT_DECISION].name))
		return more(c, &r->m);
	return taken ? decision(c, &r->m, escapes) : 0;
}

/* ---- all of them ---- */

int candidates_init(struct candidates *c, bool with_denied)
{
	*c = (struct candidates){.with_denied = with_denied};
	c->pending = calloc(PENDING_MAX, sizeof(*c->pending));
	return c->pending ? 0 : -1;
}

void candidates_done(struct candidates *c)
{
	for (size_t i = 0; i < c->n; i++)
		candidate_done(&c->v[i]);
	free(c->v);
	for (size_t i = 0; c->pending && i < PENDING_MAX; i++)
		pending_done(&c->pending[i]);
	free(c->pending);
	*c = (struct candidates){0};
}

/* In an order that does not depend on that of the records. */
static int by_text(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;
	const struct wbuf *s = &x->proposal.body, *t = &y->proposal.body;
	int r;

	if (x->proposal.op != y->proposal.op)
		return x->proposal.op < y->proposal.op ? -1 : 1;
	r = memcmp(s->p, t->p, min_size(s->len, t->len));
	if (r || s->len != t->len)
		return r ? r : s->len < t->len ? -1 : 1;
	return x->args && y->args ? strcmp(x->args, y->args) : !!x->args - !!y->args;
}

int candidates_end(struct candidates *c)
{
	for (size_t i = 0; i < PENDING_MAX; i++)
		if (c->pending[i].used && settle(c, &c->pending[i]) < 0)
			return -1;
	if (c->n)
		qsort(c->v, c->n, sizeof(*c->v), by_text);
	return 0;
}
