/*
 * ctl/draw.h - texts drawn from patterns: one for every set of them that a text can match
 *
 * Runs in:   posternctl, tests
 * Input:     patterns of a policy, which were checked
 * May touch: memory of its own
 * Must not:  differ from run to run, take longer than its bounds say
 *
 * Of given patterns, those that one text matches are a set. Two texts with the same set
 * are the same to a policy, so one text for every set that there is stands for all texts:
 * for each alternative, for where patterns overlap, and for what just misses them. They
 * are found by going through all patterns at once, shortest texts first.
 *
 * The same holds for lists of arguments, whose letters are texts.
 */
#ifndef POSTERN_CTL_DRAW_H
#define POSTERN_CTL_DRAW_H

#include "ipc/schema.h"

/* What a text must be besides, or the agent would not take it for one. */
enum draw_form {
	DRAW_TEXT,  /* any, also none */
	DRAW_WORD,  /* at least one byte */
	DRAW_PART,  /* a part of a path: no "/", not "." or ".." */
	DRAW_PATH,  /* from the root, of such parts */
	DRAW_MOUNT, /* the same, or "/" alone */
};

/* A pattern, or the places of an argument list. */
struct draw_pattern {
	struct v_str text;
	/* It is matched behind one of the program folders (policy/policy.h). */
	bool in_folder;
};

/* The arguments that a rule allows in order: each a set of patterns, by index. */
struct draw_place {
	const uint32_t *patterns;
	uint32_t n;
	bool rest; /* "...": all that follow, also none */
};

struct draw_places {
	struct draw_place *v;
	uint32_t n;
};

struct drawn {
	struct v_str text;
	struct v_list list; /* of v_str */
	uint64_t *marks;    /* which patterns match: a set by index */
};

struct drawn_set {
	struct drawn *v;
	uint32_t n;
};

static inline bool draw_mark(const struct drawn *d, uint32_t pattern)
{
	return d->marks[pattern / 64] >> pattern % 64 & 1;
}

/*
 * The texts of FORM for N patterns, in A. False: there was more than time or room, and
 * what there is of it is in OUT.
 */
bool draw_texts(struct arena *a, const struct draw_pattern *patterns, uint32_t n,
		enum draw_form form, struct drawn_set *out);

/*
 * The lists for N rules of arguments; LETTERS are the texts that draw_texts found for the
 * patterns that their places name. The marks of these in turn.
 */
bool draw_lists(struct arena *a, const struct draw_places *rules, uint32_t n,
		const struct drawn_set *letters, struct drawn_set *out);

/* A pattern that matches TEXT alone, with TAIL, a pattern, behind it. */
struct v_str draw_literal(struct arena *a, const char *text, size_t len,
			  const char *tail);

#endif
