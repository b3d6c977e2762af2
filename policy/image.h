/*
 * policy/image.h - the effective policy as one flat block
 *
 * Runs in:   worker, frontend, posternctl (built in reader or posternctl)
 * Input:     a block that the reader made: checked before use
 * May touch: the block
 * Must not:  hold a pointer, depend on the order of rules
 *
 * Head, rules, values, constraints, texts; each part an array, each reference an index
 * or an offset, all checked once by policy_open. Frontend and worker map the same sealed
 * bytes. Both are of one build (the hello sees to that), so numbers are as in memory.
 */
#ifndef POSTERN_POLICY_IMAGE_H
#define POSTERN_POLICY_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#define IMAGE_MAGIC     0x33797270u /* "pry3" */
#define IMAGE_MAX       (1024 * 1024)
#define IMAGE_RULES_MAX 1200 /* 1,000 of the administrator, and those of two profiles */

enum image_mode { MODE_ENFORCE, MODE_COMPLAIN };
enum image_detail { DETAIL_NONE, DETAIL_REF, DETAIL_FULL };

/* Which decision a rule takes part in. */
enum image_set {
	SET_EFFECTIVE, /* the administrator's, and of the base what these do not replace
			*/
	SET_CEILING,   /* those of the profile that complain mode may not exceed */
};

/* How long equal reads are counted before their number is recorded: unless set, and ever.
 */
#define AUDIT_INTERVAL_MS 60000
static inline bool is_audit_interval(uint64_t ms)
{
	return ms >= 1000 && ms <= UINT64_C(3600) * 1000;
}

/* `text` members: offset of a text with its NUL; 0 is the empty one. */
struct image_head {
	uint32_t magic;
	uint32_t size; /* of the whole block */
	uint32_t n_rules;
	uint32_t n_constraints;
	uint32_t n_values;
	uint32_t n_text;      /* bytes of texts; the last is NUL */
	uint32_t base;        /* text: name of the profile */
	uint32_t ceiling;     /* text: the same, "" in enforce mode */
	uint32_t locked_down; /* text: why only session commands are allowed; "": it is
				 not */
	uint8_t mode;         /* enum image_mode */
	uint8_t detail;       /* enum image_detail */
	uint8_t lock;
	uint8_t keep_on_reload;
	uint8_t keep_on_stop;
	uint8_t audit_required;
	uint8_t pad[2];
	uint32_t audit_interval_ms; /* equal reads become one record */
	uint64_t message_max; /* bytes of one message of the host; 0: no limit of its own
			       */
	uint32_t exec_concurrent; /* 0: the default */
	uint32_t handles;         /* 0: the default */
};

struct image_rule {
	uint64_t ops;        /* operations it speaks of, by number */
	uint32_t name;       /* text */
	uint32_t file;       /* text; "builtin:NAME" for a profile */
	uint32_t line;       /* from 1; 0: in no file */
	uint32_t constraint; /* index of the first */
	uint32_t n_constraints;
	uint8_t effect; /* enum policy_effect */
	uint8_t set;    /* enum image_set */
	uint8_t pad[2];
	uint32_t rate; /* requests per rate_ms; 0: no rate */
	uint32_t rate_ms;
	uint32_t burst;
	uint32_t pad2;
};

struct image_constraint {
	uint32_t key;  /* enum key */
	uint32_t rule; /* index of its rule */
	uint32_t line;
	uint32_t value; /* index of the first */
	uint32_t n_values;
	uint32_t pad;
};

struct image_value {
	uint64_t number;
	uint32_t text;
	uint16_t len;     /* bytes of the text, without its NUL */
	uint16_t literal; /* of a pattern: bytes in front of what is none (pattern.h) */
};

/* No byte is left to the compiler, or equal policies would differ in their digests. */
_Static_assert(sizeof(struct image_head) == 64, "no padding");
_Static_assert(sizeof(struct image_rule) == 48, "no padding");
_Static_assert(sizeof(struct image_constraint) == 24, "no padding");
_Static_assert(sizeof(struct image_value) == 16, "no padding");

#endif
