/*
 * ipc/schema.h - what a message consists of, as data, and the codec that follows it
 *
 * Runs in:   all processes
 * Input:     messages of another process of ours, which may be in an attacker's hands
 * May touch: the buffers it is handed
 * Must not:  allocate by a length found in the input, recurse deeper than a schema does
 *
 * A message is declared once, as a list of fields (ipc/ops.h). From that list come
 * the C struct, and a const description that every walker follows:
 *
 *   frontend/args.h   JSON -> wire   check the host's arguments
 *   schema_get        wire -> struct decode, bounded and exact
 *   schema_put        struct -> wire encode
 *   schema_render     wire -> JSON   the host's reply, the audit's redacted arguments
 *
 * So a field that is added to a list is validated, carried, printed and redacted.
 */
#ifndef POSTERN_IPC_SCHEMA_H
#define POSTERN_IPC_SCHEMA_H

#include "ipc/wire.h"

/*
 * Values as the C structs hold them. `set` is false for an optional field that is
 * absent. Text and lists are views: the memory belongs to whoever built the message
 * (on decoding: the receive buffer and the arena) and must outlive the struct.
 */
struct v_int {
	int64_t v;
	bool set;
};
struct v_u64 {
	uint64_t v;
	bool set;
};
struct v_num {
	double v;
	bool set;
};
struct v_bool {
	bool v;
	bool set;
};
/* Not NUL-terminated. From a decoder: without NUL inside, but any other bytes. */
struct v_str {
	const char *p;
	uint32_t len;
	bool set;
};
/* Bytes whose JSON form is base64; decoded in the frontend. */
struct v_b64 {
	const char *p;
	uint32_t len;
	bool set;
};
/* As v_b64, but the bytes travel in a memfd beside the message; here is their size. */
struct v_bulk {
	uint64_t size;
	bool set;
};
/* Index into the names of the field's description. */
struct v_enum {
	uint8_t v;
	bool set;
};
/* Either one of the names (`named`, v is the index) or a plain integer or boolean. */
struct v_alt {
	int64_t v;
	bool named;
	bool set;
};
/* A struct of the field's sub-schema. */
struct v_obj {
	void *v;
	bool set;
};
/* N structs of the sub-schema in a row, or N v_str. */
struct v_list {
	void *v;
	uint32_t n;
	bool set;
};

/* kind, type of the struct member */
#define KIND_TABLE(X)          \
	X(INT, v_int)          \
	X(U64, v_u64)          \
	X(NUM, v_num)          \
	X(BOOL, v_bool)        \
	X(STR, v_str)          \
	X(B64, v_b64)          \
	X(BULK, v_bulk)        \
	X(ENUM, v_enum)        \
	X(INT_OR_ENUM, v_alt)  \
	X(BOOL_OR_ENUM, v_alt) \
	X(OBJ, v_obj)          \
	X(LIST_OBJ, v_list)    \
	X(LIST_STR, v_list)

#define KIND_ENUM(kind, type) K_##kind,
enum kind { KIND_TABLE(KIND_ENUM) K_COUNT };

#define KIND_TYPEDEF(kind, type) typedef struct type kind_##kind;
KIND_TABLE(KIND_TYPEDEF)

/* Field flags. */
#define F_REQ 0u /* required */
#define F_OPT 1u /* may be absent */
#define F_PUB 2u /* may stand in a record; a field without it is a secret */
/* Text of our own that is JSON, and so ASCII without control characters. */
#define F_JSON 4u

/* The spellings of an enum, and the name of the alternate type in error texts. */
struct names {
	const char *type;
	const char *const *v;
	uint8_t n;
};

struct schema;

/* One field. A null name: the field is the whole value, not a member of an object. */
struct field {
	const char *name;
	uint8_t kind;    /* enum kind */
	uint8_t flags;   /* F_ bits */
	uint32_t offset; /* bytes, in the C struct */
	union {
		const struct schema *sub;  /* field_has_sub */
		const struct names *names; /* field_has_names */
	};
};

static inline bool field_has_sub(const struct field *f)
{
	return f->kind == K_OBJ || f->kind == K_LIST_OBJ;
}

static inline bool field_has_names(const struct field *f)
{
	return f->kind == K_ENUM || f->kind == K_INT_OR_ENUM || f->kind == K_BOOL_OR_ENUM;
}

struct schema {
	const struct field *fields;
	uint32_t n;
	size_t size; /* of the C struct */
};

/* Deepest nesting of any schema, checked by a test; bounds every walker's recursion. */
#define SCHEMA_DEPTH_MAX 6

/* A list's fields become the members of `struct msg_<tag>`. */
#define FIELD_DECL(tag, kind, member, name, flags, ref) kind_##kind member;
#define SCHEMA_STRUCT(tag)                    \
	struct msg_##tag {                    \
		FIELDS_##tag(FIELD_DECL, tag) \
	};                                    \
	extern const struct schema schema_##tag;

/* What may stand in a field's last column. */
#define REF_NONE      .sub = NULL
#define REF_OBJ(tag)  .sub = &schema_##tag
#define REF_ENUM(tag) .names = &names_##tag

#define FIELD_ROW(tag, kind_, member, name_, flags_, ref) \
	{.name = (name_),                                 \
	 .kind = K_##kind_,                               \
	 .flags = (flags_),                               \
	 .offset = offsetof(struct msg_##tag, member),    \
	 ref},
#define SCHEMA_DEFINE(tag)                                                         \
	static const struct field fields_##tag[] = {FIELDS_##tag(FIELD_ROW, tag)}; \
	const struct schema schema_##tag = {                                       \
		.fields = fields_##tag,                                            \
		.n = ARRAY_SIZE(fields_##tag),                                     \
		.size = sizeof(struct msg_##tag),                                  \
	};

/* Memory for decoded lists: one fixed block, emptied as a whole. */
struct arena {
	uint8_t *p;
	size_t len;
	size_t cap;
};

/* LEN zeroed bytes, aligned for any struct here, or NULL when the block is full. */
void *arena_take(struct arena *a, size_t len);
/* The same with whatever is there, for what is filled at once. */
void *arena_room(struct arena *a, size_t len);

/* Bytes a list element or a string may take on the wire at the most. */
#define WIRE_STR_MAX (1024 * 1024)

/* Append the message at MSG, a struct of schema S. Failure is left in W->bad. */
void schema_put(struct wbuf *w, const struct schema *s, const void *msg);

/*
 * Decode one message of schema S into MSG (S->size bytes, overwritten). Text points
 * into R's buffer, lists into A. 0, or -1 if the bytes are not exactly such a message
 * so far (the caller checks rbuf_done) or A is full.
 */
int schema_get(struct rbuf *r, const struct schema *s, struct arena *a, void *msg);
/* The same for one that is all there is in R. */
static inline int schema_whole(struct rbuf *r, const struct schema *s, struct arena *a,
			       void *msg)
{
	return schema_get(r, s, a, msg) == 0 && rbuf_done(r) ? 0 : -1;
}

/*
 * Write the message in R, of schema S, as JSON text. With `redact`, a field without
 * F_PUB shows no part of its value, nor its length. Otherwise the bytes of the
 * N-th bulk field are those of bulk[N]; with `gaps` they are left out, there are sizes[N]
 * of them, and gaps[N] is where in W their base64 belongs. -1 if R is malformed, a bulk
 * is missing or not of the size the message says, or W is full.
 */
struct render {
	bool redact;
	const struct rbuf *bulk;
	uint32_t n_bulk;
	const uint64_t *sizes;
	size_t *gaps; /* or NULL */
};
int schema_render(struct rbuf *r, const struct schema *s, const struct render *how,
		  struct wbuf *w);

/* Is F there in R? An optional one says so itself; false with R->bad if it lies. */
bool schema_present(struct rbuf *r, const struct field *f);

/*
 * Decode the one value that comes next, a KIND without a list or struct of its own: that
 * of F, or of an element of it. False: it is malformed.
 */
bool schema_value(enum kind kind, struct rbuf *r, const struct field *f, void *value);

/* Is the field F of MSG, a struct of F's schema, present? */
bool schema_has(const struct field *f, const void *msg);

/* How many bulk fields of MSG are present, so how many memfds travel beside it. */
uint32_t schema_bulks(const struct schema *s, const void *msg);

/* The size of the first bulk field of MSG that is present; false: none is. */
bool schema_bulk(const struct schema *s, const void *msg, uint64_t *size);

/* Bytes of one text that a redacted form shows at the most. */
#define REDACT_STR_MAX 256

/* Text of a C string as a value that is set; NULL gives one that is absent. */
struct v_str v_str(const char *s);

#define V_INT(x)  ((struct v_int){.v = (x), .set = true})
#define V_U64(x)  ((struct v_u64){.v = (x), .set = true})
#define V_BOOL(x) ((struct v_bool){.v = (x), .set = true})

#endif
