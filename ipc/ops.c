/*
 * ipc/ops.c - the table of operations: the rows themselves
 *
 * Runs in:   all processes
 * Input:     none; const data
 * May touch: nothing
 * Must not:  differ between two processes that talk (the hello carries its hash)
 */
#include "ipc/ops.h"

#include <string.h>

#include "ipc/control.h"

static const char *const whence_v[] = {"set", "cur", "end"};
static const char *const capture_v[] = {"none", "stdout", "stderr", "separated",
					"merged"};
static const char *const memory_result_v[] = {
	"success", "not-found", "operation-not-supported", "operation-failed"};

const struct names names_whence = {"GuestFileWhence", whence_v, ARRAY_SIZE(whence_v)};
const struct names names_capture = {"GuestExecCaptureOutput", capture_v,
				    ARRAY_SIZE(capture_v)};
const struct names names_memory_result = {"GuestMemoryBlockResponseType", memory_result_v,
					  ARRAY_SIZE(memory_result_v)};

SCHEMA_TABLE(SCHEMA_DEFINE)
SCHEMA_TABLE_TEST(SCHEMA_DEFINE)

#define OP_ROW(tag, number, name_, args_, result_, carrier_, groups_, caps_, flags_, \
	       limit_, audit_)                                                       \
	[number] = {                                                                 \
		.name = (name_),                                                     \
		.args = &schema_##args_,                                             \
		.result = &schema_##result_,                                         \
		.carrier = (carrier_),                                               \
		.groups = (groups_),                                                 \
		.caps = (caps_),                                                     \
		.flags = (flags_),                                                   \
		.limit_s = (limit_),                                                 \
		.audit = (audit_),                                                   \
	},
static const struct op ops[OP_MAX] = {OP_TABLE(OP_ROW)};

const struct op *op_by_number(uint32_t number)
{
	return number < OP_MAX && ops[number].name ? &ops[number] : NULL;
}

const char *group_name(uint32_t group)
{
#define GROUP_NAME(tag, bit, name) \
	if (group == 1u << (bit))  \
		return name;
	GROUP_TABLE(GROUP_NAME)
	return NULL;
}

uint32_t group_by_name(const char *name)
{
#define GROUP_BIT(tag, bit, spelling) \
	if (streq(name, spelling))    \
		return 1u << (bit);
	GROUP_TABLE(GROUP_BIT)
	return 0;
}

/* FNV-1a. */
static uint64_t mix_byte(uint64_t h, uint8_t byte)
{
	return (h ^ byte) * 0x100000001b3ull;
}

static uint64_t mix_number(uint64_t h, uint64_t v)
{
	for (int i = 0; i < 8; i++)
		h = mix_byte(h, (uint8_t)(v >> (8 * i)));
	return h;
}

static uint64_t mix_text(uint64_t h, const char *s)
{
	for (; s && *s; s++)
		h = mix_byte(h, (uint8_t)*s);
	return mix_byte(h, 0);
}

static uint64_t mix_schema(uint64_t h, const struct schema *s)
{
	for (uint32_t i = 0; i < s->n; i++) {
		const struct field *f = &s->fields[i];

		h = mix_number(mix_number(h, f->kind), f->flags);
		h = mix_text(h, f->name);
		for (uint32_t n = 0; field_has_names(f) && n < f->names->n; n++)
			h = mix_text(h, f->names->v[n]);
		if (field_has_sub(f))
			h = mix_schema(h, f->sub);
	}
	return mix_number(h, s->n);
}

uint64_t ops_hash(void)
{
	uint64_t h = 0xcbf29ce484222325ull;

	for (uint32_t n = OP_NONE; n < OP_MAX; n++) {
		const struct op *op = &ops[n];

		if (!op->name)
			continue;
		h = mix_text(mix_number(h, n), op->name);
		h = mix_number(mix_number(h, op->carrier), op->groups);
		h = mix_number(h, op->flags);
		h = mix_schema(mix_schema(h, op->args), op->result);
	}
	/* posternctl is one of the two. */
	return mix_schema(h, &schema_controlled);
}
