/*
 * ctl/gaps.c - what the numbers of records say about records that are not there
 *
 * Runs in:   posternctl, as the user who calls it
 * Input:     records in the order of their arrival: any values
 * May touch: memory of its own
 * Must not:  grow without a bound
 *
 * An instance of the agent numbers its records from 1, without a hole. A number that is
 * missing was lost by the agent, which then says so in a later record (DROPPED), or
 * somebody took the record away.
 */
#include "ctl/gaps.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "ctl/grow.h"
#include "ipc/jsonw.h"

#define ID_MAX   64
#define ID_SHORT 8

struct id {
	char p[ID_MAX];
	size_t len;
};

struct instance {
	struct id boot;
	struct id id;
	uint64_t last; /* highest number so far */
	uint64_t dropped;
	uint64_t twice; /* records that came again */
	uint64_t first; /* when its records came, counting those of all */
	uint64_t latest;
	bool stopped;
};

/* Numbers FROM to TO have not come. */
struct hole {
	size_t instance;
	uint64_t from;
	uint64_t to;
};

struct report {
	const struct gaps *g;
	const struct show *show;
	struct wbuf *out;
	uint64_t found[3];
};

enum finding { GAP, TWICE, KILLED };

static struct id id_of(const struct v_str *s)
{
	struct id id = {.len = s->set ? min_size(s->len, ID_MAX) : 0};

	if (id.len)
		memcpy(id.p, s->p, id.len);
	return id;
}

static bool same(const struct id *a, const struct id *b)
{
	return a->len == b->len && memcmp(a->p, b->p, a->len) == 0;
}

/* ---- what comes in ---- */

/* The latest is most often the one. */
static struct instance *instance_of(struct gaps *g, const struct record *r)
{
	struct id boot = id_of(&r->m.boot_id), id = id_of(&r->m.instance);
	void *p = g->instances;

	for (size_t i = g->n; i-- > 0;)
		if (same(&g->instances[i].id, &id) && same(&g->instances[i].boot, &boot))
			return &g->instances[i];
	if (ctl_grow(&p, &g->room, g->n, sizeof(*g->instances), INSTANCES_MAX) < 0)
		return NULL;
	g->instances = p;
	g->instances[g->n] =
		(struct instance){.boot = boot, .id = id, .first = g->records};
	return &g->instances[g->n++];
}

static int add_hole(struct gaps *g, size_t instance, uint64_t from, uint64_t to)
{
	void *p = g->holes;

	if (ctl_grow(&p, &g->room_holes, g->n_holes, sizeof(*g->holes), HOLES_MAX) < 0)
		return -1;
	g->holes = p;
	g->holes[g->n_holes++] = (struct hole){instance, from, to};
	return 0;
}

/* A number below the highest: it was missing so far, or it came before. */
static int late(struct gaps *g, struct instance *in, uint64_t seq)
{
	size_t own = (size_t)(in - g->instances);

	for (size_t i = g->n_holes; i-- > 0;) {
		struct hole *h = &g->holes[i];
		uint64_t to = h->to;

		if (h->instance != own || seq < h->from || seq > to)
			continue;
		if (seq == h->from) {
			h->from++; /* past `to`: an empty one */
			return 0;
		}
		h->to = seq - 1;
		return seq < to ? add_hole(g, own, seq + 1, to) : 0;
	}
	in->twice++;
	return 0;
}

int gaps_add(struct gaps *g, const struct record *r)
{
	struct instance *in = instance_of(g, r);
	uint64_t seq = r->m.seq.v;
	bool first;
	int done = 0;

	if (!in)
		return -1;
	in->latest = g->records++;
	first = !in->last && g->partial;
	if (seq <= in->last)
		done = late(g, in, seq);
	else if (seq > in->last + 1 && !first)
		done = add_hole(g, (size_t)(in - g->instances), in->last + 1, seq - 1);
	if (seq > in->last)
		in->last = seq;
	if (r->m.dropped.set && r->m.dropped.v <= UINT64_MAX - in->dropped)
		in->dropped += r->m.dropped.v;
	if (text_is(&r->m.event, event_rows[EVENT_STOP].name))
		in->stopped = true;
	return done;
}

/* ---- what is said ---- */

static void put_id(struct report *p, const struct id *id)
{
	size_t len = p->show->form == SHOW_SHORT ? min_size(id->len, ID_SHORT) : id->len;

	show_text(p->show, id->p, len, p->out);
}

static void put_member(struct wbuf *w, const char *name, uint64_t v)
{
	wbuf_text(w, ", \"");
	wbuf_text(w, name);
	wbuf_text(w, "\": ");
	jsonw_u64(w, v);
}

/* The beginning of a finding: what, and of which instance. */
static void begin(struct report *p, enum finding kind, const struct instance *in)
{
	static const char *const words[] = {"gap", "duplicate", "killed"};
	struct wbuf *w = p->out;

	p->found[kind]++;
	if (p->show->form == SHOW_JSON) {
		wbuf_text(w, "{\"finding\": ");
		jsonw_cstr(w, words[kind]);
		wbuf_text(w, ", \"boot_id\": ");
		jsonw_str(w, in->boot.p, in->boot.len);
		wbuf_text(w, ", \"instance\": ");
		jsonw_str(w, in->id.p, in->id.len);
		return;
	}
	show_word(p->show, COLOUR_MAGENTA, words[kind], w);
	wbuf_text(w, ": boot ");
	put_id(p, &in->boot);
	wbuf_text(w, ", instance ");
	put_id(p, &in->id);
	wbuf_text(w, p->show->form == SHOW_SHORT ? ": " : ":\n    ");
}

PRINTF(2, 3)
static void line(struct report *p, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	wbuf_text(p->out, text);
}

static void report_hole(struct report *p, const struct instance *in, const struct hole *h,
			uint64_t counted)
{
	uint64_t n = h->to - h->from + 1;

	begin(p, GAP, in);
	if (p->show->form == SHOW_JSON) {
		put_member(p->out, "from", h->from);
		put_member(p->out, "to", h->to);
		put_member(p->out, "missing", n);
		put_member(p->out, "dropped", counted);
		wbuf_text(p->out, "}\n");
		return;
	}
	if (n == 1)
		line(p, "record %" PRIu64 " is missing (1)\n", h->from);
	else
		line(p, "records %" PRIu64 " to %" PRIu64 " are missing (%" PRIu64 ")\n",
		     h->from, h->to, n);
	line(p, "    %" PRIu64 " of them counted as dropped by the agent%s\n", counted,
	     h->from == 1 ? "; the beginning: rotated away?" : "");
}

/* Holes of an instance; what it said it dropped is taken to be the first of them. */
static void report_holes(struct report *p, size_t n)
{
	const struct instance *in = &p->g->instances[n];
	uint64_t dropped = in->dropped;

	for (size_t i = 0; i < p->g->n_holes; i++) {
		const struct hole *h = &p->g->holes[i];
		uint64_t size = h->to - h->from + 1;
		uint64_t counted = size < dropped ? size : dropped;

		if (h->instance != n || h->from > h->to)
			continue;
		report_hole(p, in, h, counted);
		dropped -= counted;
	}
}

static void report_twice(struct report *p, const struct instance *in)
{
	if (!in->twice)
		return;
	begin(p, TWICE, in);
	if (p->show->form == SHOW_JSON) {
		put_member(p->out, "count", in->twice);
		wbuf_text(p->out, "}\n");
	} else {
		line(p, "%" PRIu64 " record%s came twice\n", in->twice,
		     in->twice == 1 ? "" : "s");
	}
}

/*
 * The instance that followed number N; NULL: none, so that it may run still. In the same
 * boot what a killed worker held back is written by its successor. Boots that overlap are
 * those of several machines.
 */
static const struct instance *successor(const struct gaps *g, size_t n)
{
	const struct instance *in = &g->instances[n], *later = NULL;

	for (size_t i = n + 1; i < g->n; i++) {
		if (same(&g->instances[i].boot, &in->boot))
			return &g->instances[i];
		if (!later && g->instances[i].first > in->latest)
			later = &g->instances[i];
	}
	return later;
}

static void report_killed(struct report *p, size_t n)
{
	const struct instance *in = &p->g->instances[n];
	const struct instance *next = in->stopped ? NULL : successor(p->g, n);
	bool reboot;

	if (!next)
		return;
	reboot = !same(&in->boot, &next->boot);
	begin(p, KILLED, in);
	if (p->show->form == SHOW_JSON)
		wbuf_text(p->out,
			  reboot ? ", \"reboot\": true}\n" : ", \"reboot\": false}\n");
	else
		line(p, "no record of a stop\n    %s\n",
		     reboot ? "another boot followed: the worker was killed, or the "
			      "machine"
			    : "another instance followed: the worker was killed");
}

static void report_sum(struct report *p)
{
	const struct gaps *g = p->g;

	if (p->show->form == SHOW_JSON) {
		wbuf_text(p->out, "{\"finding\": \"summary\"");
		put_member(p->out, "records", g->records);
		put_member(p->out, "instances", g->n);
		put_member(p->out, "gaps", p->found[GAP]);
		wbuf_text(p->out, "}\n");
		return;
	}
	line(p, "%" PRIu64 " record%s of %zu instance%s, %" PRIu64 " gap%s", g->records,
	     g->records == 1 ? "" : "s", g->n, g->n == 1 ? "" : "s", p->found[GAP],
	     p->found[GAP] == 1 ? "" : "s");
	if (p->found[TWICE])
		line(p, ", %" PRIu64 " with duplicates", p->found[TWICE]);
	if (p->found[KILLED])
		line(p, ", %" PRIu64 " without a stop", p->found[KILLED]);
	wbuf_text(p->out, "\n");
}

uint64_t gaps_report(struct gaps *g, const struct show *s, struct wbuf *w)
{
	struct report p = {.g = g, .show = s, .out = w};

	for (size_t i = 0; i < g->n; i++) {
		report_holes(&p, i);
		report_twice(&p, &g->instances[i]);
		report_killed(&p, i);
	}
	report_sum(&p);
	return p.found[GAP] + p.found[TWICE] + p.found[KILLED];
}

void gaps_done(struct gaps *g)
{
	free(g->instances);
	free(g->holes);
}
