/*
 * tests/integration/records.c - a record of each event with every field, to the journal
 *
 * Runs in:   the tests, in a mount namespace with a journal of its own
 * Input:     the bytes of each text but the first: a number of `x`
 * May touch: the journal's socket, standard output
 * Must not:  leave out a field or an event, so that a new one is covered on arrival
 *
 * Tells on standard output, as JSON, which events and fields there are.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/jsonw.h"
#include "worker/audit.h"

/* What a text that the host may write could try. */
static const char hostile[] = "one\nPOSTERN_DECISION=allow\nfor\e[31m \\ \xff \xc3\xa4 "
			      "\xe2\x80\xae.";

static void fill_str(const struct field *f, void *value, const char *text)
{
	struct v_str *v = value;

	*v = v_str(f->flags & F_JSON ? "[\"\\u001b \\\\\"]" : text);
}

/* As many bytes as a record may take: each field has its part. */
static void fill(struct msg_audit *r, const char *text)
{
	for (uint32_t i = 0; i < schema_audit.n; i++) {
		const struct field *f = &schema_audit.fields[i];
		void *value = (char *)r + f->offset;

		if (f->kind == K_STR)
			fill_str(f, value, text);
		else if (f->kind == K_INT)
			*(struct v_int *)value = V_INT(-(int64_t)i);
		else if (f->kind == K_U64)
			*(struct v_u64 *)value = V_U64(i);
		else if (f->kind == K_BOOL)
			*(struct v_bool *)value = V_BOOL(i % 2);
		else
			abort();
	}
}

static void tell(void)
{
	printf("{\"events\": {");
	for (size_t i = 0; i < AUDIT_EVENT_COUNT; i++)
		printf("%s\"%s\": \"%s\"", i ? ", " : "", event_rows[i].name,
		       event_rows[i].id);
	printf("}, \"fields\": [");
	for (uint32_t i = 0; i < schema_audit.n; i++) {
		const struct field *f = &schema_audit.fields[i];

		printf("%s{\"name\": \"%s\", \"kind\": %d, \"json\": %s}", i ? ", " : "",
		       f->name, (int)f->kind, f->flags & F_JSON ? "true" : "false");
	}
	printf("], \"kinds\": {\"STR\": %d, \"INT\": %d, \"U64\": %d, \"BOOL\": %d}}\n",
	       K_STR, K_INT, K_U64, K_BOOL);
}

static int write_all(struct audit *a, const char *text)
{
	for (enum audit_event e = 0; e < AUDIT_EVENT_COUNT; e++) {
		struct msg_audit r;

		fill(&r, text);
		if (audit_write(a, e, AUDIT_HOW(ACT, KEEP), &r, "%s", hostile) < 0) {
			fprintf(stderr, "%s is not written\n", event_rows[e].name);
			return 1;
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	static struct held held;
	size_t size = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
	char *text = calloc(1, size + 1);
	struct audit audit;
	struct sink sink;
	struct loop loop;
	int r;

	if (!text)
		return 1;
	memset(text, 'x', size);
	if (loop_init(&loop) < 0 || sink_init(&sink, &loop, -1, true, &held) < 0 ||
	    audit_init(&audit, &sink, size ? text : hostile) < 0)
		return 1;
	tell();
	r = write_all(&audit, size ? text : hostile);
	sink_end(&sink);
	free(text);
	return r || held.used;
}
