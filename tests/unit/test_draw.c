/*
 * tests/unit/test_draw.c - no set of patterns that a text can match is left out
 *
 * Runs in:   a test
 * Input:     patterns made up from a seed; every short text there is
 * May touch: memory
 * Must not:  know how the texts were found
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/draw.h"
#include "ctl/scene.h"
#include "ipc/jsonw.h"
#include "tests/lib/genmsg.h"
#include "tests/lib/pattern.h"
#include "tests/lib/policy.h"

#ifdef __SANITIZE_ADDRESS__
#define ROUNDS 20
#else
#define ROUNDS 150
#endif
#define PATTERNS 5
#define LENGTH   5 /* of the longest text */

static const char alphabet[] = "ab/-.";

struct fixture {
	uint8_t *memory;
	struct arena a;
};

static int setup(void **state)
{
	static struct fixture f;

	f.memory = malloc(64 * 1024 * 1024);
	f.a = (struct arena){.p = f.memory, .cap = 64 * 1024 * 1024};
	*state = &f;
	return f.memory ? 0 : -1;
}

static int teardown(void **state)
{
	free(((struct fixture *)*state)->memory);
	return 0;
}

/* ---- texts ---- */

static void make_pattern(uint64_t *seed, char *out, size_t size)
{
	static const char *const pieces[] = {"a", "b",    "/",     "-",  ".", "?",
					     "*", "[ab]", "[!b-]", "/a", "**"};
	uint64_t n = 1 + gen_next(seed) % 4;
	size_t len = 0;

	*out = '\0';
	while (n--) {
		const char *piece = pieces[gen_next(seed) % ARRAY_SIZE(pieces)];

		/* No three stars in a row. */
		if (*piece != '*' || !len || out[len - 1] != '*')
			len += (size_t)snprintf(out + len, size - len, "%s", piece);
	}
}

/* Is it a text of FORM? In words of its own, not of the machine's. */
static bool has_form(enum draw_form form, const char *s)
{
	bool plain = *s == '/';

	if (form == DRAW_TEXT || form == DRAW_WORD)
		return form == DRAW_TEXT || *s;
	if (form == DRAW_PART)
		return *s && !strchr(s, '/') && !streq(s, ".") && !streq(s, "..");
	if (form == DRAW_MOUNT && streq(s, "/"))
		return true;
	for (const char *p = s; plain && *p; p += strcspn(p, "/")) {
		size_t n = strcspn(++p, "/");

		plain = n && !(n == 1 && *p == '.') &&
			!(n == 2 && p[0] == '.' && p[1] == '.');
	}
	return plain;
}

static uint64_t marks_of(const struct draw_pattern *p, const char *s)
{
	uint64_t marks = 0;

	for (uint32_t i = 0; i < PATTERNS; i++) {
		bool is = !p[i].in_folder &&
			  matches_text(p[i].text.p, p[i].text.len, s, strlen(s), NULL);

		for (size_t k = 0; p[i].in_folder && k < PROGRAM_FOLDERS; k++) {
			char full[64];

			snprintf(full, sizeof(full), "%s%s", program_folders[k], s);
			is = is || matches_text(p[i].text.p, p[i].text.len, full,
						strlen(full), NULL);
		}
		marks |= (uint64_t)is << i;
	}
	return marks;
}

static bool is_found(const struct drawn_set *set, uint64_t marks)
{
	for (uint32_t i = 0; i < set->n; i++)
		if (*set->v[i].marks == marks)
			return true;
	return false;
}

static void check_found(const struct draw_pattern *p, enum draw_form form,
			const struct drawn_set *set, char *s, size_t len)
{
	s[len] = '\0';
	if (has_form(form, s) && !is_found(set, marks_of(p, s))) {
		for (uint32_t i = 0; i < PATTERNS; i++)
			print_error("%s\n", p[i].text.p);
		fail_msg("form %d: nothing found like '%s'", (int)form, s);
	}
	for (size_t i = 0; len < LENGTH && alphabet[i]; i++) {
		s[len] = alphabet[i];
		check_found(p, form, set, s, len + 1);
	}
}

/* Each text that was found has the marks that it says, its form, and no twin. */
static void check_texts(const struct draw_pattern *p, enum draw_form form,
			const struct drawn_set *set)
{
	for (uint32_t i = 0; i < set->n; i++) {
		char s[256];

		snprintf(s, sizeof(s), "%.*s", (int)set->v[i].text.len,
			 set->v[i].text.len ? set->v[i].text.p : "");
		assert_true(has_form(form, s));
		assert_int_equal(marks_of(p, s), *set->v[i].marks);
		for (uint32_t k = 0; k < i; k++)
			assert_int_not_equal(*set->v[k].marks, *set->v[i].marks);
	}
}

static void texts(void **state)
{
	struct fixture *f = *state;
	uint64_t seed = 1;

	for (unsigned int round = 0; round < ROUNDS; round++) {
		enum draw_form form = (enum draw_form)(round % (DRAW_MOUNT + 1));
		char text[PATTERNS][64], s[LENGTH + 1];
		struct draw_pattern p[PATTERNS];
		struct drawn_set set;

		f->a.len = 0;
		for (size_t i = 0; i < PATTERNS; i++) {
			const bool in_folder = form == DRAW_PART && i % 2;
			char made[32];

			make_pattern(&seed, made, sizeof(made));
			snprintf(text[i], sizeof(text[i]), "%s%s",
				 !in_folder ? ""
				 : i == 1   ? "/usr/bin/"
					    : "/**sbin**/",
				 made);
			p[i] = (struct draw_pattern){.text = v_str(text[i]),
						     .in_folder = in_folder};
			assert_null(pattern_check(text[i], strlen(text[i])));
		}
		assert_true(draw_texts(&f->a, p, PATTERNS, form, &set));
		check_texts(p, form, &set);
		check_found(p, form, &set, s, 0);
	}
}

static void a_literal_is_a_pattern_of_itself(void **state)
{
	static const char odd[] = "a*b?[c]\\d";
	struct fixture *f = *state;
	struct v_str p;

	f->a.len = 0;
	p = draw_literal(&f->a, odd, strlen(odd), "");
	assert_true(matches_text(p.p, p.len, odd, strlen(odd), NULL));
	assert_false(matches_text(p.p, p.len, "aab?[c]\\d", 9, NULL));
	p = draw_literal(&f->a, "/x", 2, "/**");
	assert_true(matches_text(p.p, p.len, "/x/y/z", 6, NULL));
}

/* A byte of a letter is no text, and stands for none. */
static void letters_of_several_bytes(void **state)
{
	static const char *const written[] = {"\xc3\xa9*", "?*", "a\xc3\xa9",
					      "\xe2\x82\xac"};
	struct draw_pattern p[ARRAY_SIZE(written)];
	struct fixture *f = *state;
	struct drawn_set set;
	unsigned int found = 0;

	f->a.len = 0;
	for (size_t i = 0; i < ARRAY_SIZE(p); i++)
		p[i] = (struct draw_pattern){.text = v_str(written[i])};
	assert_true(draw_texts(&f->a, p, ARRAY_SIZE(p), DRAW_TEXT, &set));
	for (uint32_t i = 0; i < set.n; i++) {
		const uint8_t *at = (const uint8_t *)set.v[i].text.p;
		size_t len = set.v[i].text.len, n;
		uint32_t cp;

		for (; len; at += n, len -= n)
			assert_true((n = utf8_next(at, len, &cp)) > 0);
		found |= (unsigned int)(1u << *set.v[i].marks);
	}
	/* None; the second alone; and with each of the others. */
	assert_int_equal(found, 1u << 0 | 1u << 2 | 1u << 3 | 1u << 6 | 1u << 10);
}

static void no_pattern_and_too_many(void **state)
{
	static char text[64][8];
	struct draw_pattern p[64];
	struct fixture *f = *state;
	struct drawn_set set;

	f->a.len = 0;
	assert_true(draw_texts(&f->a, NULL, 0, DRAW_PATH, &set));
	assert_int_equal(set.n, 1);
	assert_memory_equal(set.v[0].text.p, "/a", 2);
	for (size_t i = 0; i < ARRAY_SIZE(p); i++) {
		snprintf(text[i], sizeof(text[i]), "*%c%c*", (char)('a' + i / 8),
			 (char)('i' + i % 8));
		p[i] = (struct draw_pattern){.text = v_str(text[i])};
	}
	assert_false(draw_texts(&f->a, p, ARRAY_SIZE(p), DRAW_TEXT, &set));
	assert_true(set.n > 64);
}

/* ---- values of parts, against what the rules say of every short request ---- */

#define RULES 4

static void make_argv(uint64_t *seed, char *out, size_t size)
{
	static const char *const places[] = {"a", "b",  "*",  "{a|b}",
					     "?", "a*", "-*", "\"\""};
	uint64_t n = 1 + gen_next(seed) % 3;
	size_t len = 0;

	while (n--)
		len += (size_t)snprintf(out + len, size - len, "%s%s", len ? " ; " : "",
					places[gen_next(seed) % ARRAY_SIZE(places)]);
	if (gen_next(seed) % 2)
		snprintf(out + len, size - len, " ; ...");
}

/* Which rules' constraints hold for arguments. */
static uint64_t rules_of(const struct policy *p, struct v_str *args, uint32_t n)
{
	struct msg_exec m = {.path = v_str("/x"),
			     .arg = {.v = args, .n = n, .set = true}};
	const struct policy_question q = {.op = OP_exec, .args = &m};
	uint64_t marks = 0;

	for (uint32_t i = 0; i < p->head->n_constraints; i++)
		if (p->constraints[i].key == KEY_ARGV &&
		    policy_holds(p, &p->constraints[i], &q))
			marks |= UINT64_C(1) << p->constraints[i].rule;
	return marks;
}

static void check_lists(const struct policy *p, const struct scene_value *v, uint32_t n,
			struct v_str *args, uint32_t len)
{
	static const char *const words[] = {"a", "b", "ab", "-a", "", "c"};
	uint64_t marks = rules_of(p, args, len);
	bool found = false;

	for (uint32_t i = 0; i < n; i++)
		found = found || rules_of(p, v[i].list.v, v[i].list.n) == marks;
	assert_true(found);
	for (size_t i = 0; len < 4 && i < ARRAY_SIZE(words); i++) {
		args[len] = v_str(words[i]);
		check_lists(p, v, n, args, len + 1);
	}
}

static void lists(void **state)
{
	struct fixture *f = *state;
	uint64_t seed = 2;

	for (unsigned int round = 0; round < ROUNDS / 5; round++) {
		char text[2048] = "[policy]\nbase = none\n";
		CLEANUP(wbuf_free) struct wbuf image = {0};
		const struct scene_part *parts[SCENE_PARTS_MAX];
		struct scene_value *v = NULL;
		struct policy p;
		const struct policy *const both[2] = {&p, &p};
		struct v_str args[4];
		uint32_t n = 0;

		f->a.len = 0;
		for (unsigned int i = 0; i < RULES; i++) {
			char argv[128];

			make_argv(&seed, argv, sizeof(argv));
			snprintf(text + strlen(text), sizeof(text) - strlen(text),
				 "[rule \"%u\"]\neffect = allow\ncommand = guest-exec\n"
				 "argv = %s\n",
				 i, argv);
		}
		policy_of_text(&p, &image, text);
		assert_true(scene_parts(OP_exec, true, parts) > 1);
		assert_int_equal(parts[1]->keys[0], KEY_ARGV);
		assert_true(parts[1]->draw(&f->a, both, OP_exec, &v, &n));
		check_lists(&p, v, n, args, 0);
	}
}

/* Every key that tells requests or objects apart is of a part, or needs none. */
static void no_key_is_forgotten(void **state)
{
	(void)state;
	for (enum key key = 0; key < KEYS_COUNT; key++)
		for (uint32_t op = op_after(OP_NONE); op != OP_NONE; op = op_after(op)) {
			const struct policy_object object = {0};
			const struct policy_question q = {.op = op, .object = &object};
			const struct scene_part *parts[SCENE_PARTS_MAX];
			uint32_t n = scene_parts(op, true, parts);
			bool found = key == KEY_SUSPEND_MODES; /* the command says it */

			for (uint32_t i = 0; i < n; i++)
				for (uint32_t k = 0; k < parts[i]->n_keys; k++)
					found = found || parts[i]->keys[k] == key;
			if (policy_speaks(key, &q) && !found)
				fail_msg("no part of %s is for %s",
					 op_by_number(op)->name, key_row(key)->name);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts),
		cmocka_unit_test(a_literal_is_a_pattern_of_itself),
		cmocka_unit_test(letters_of_several_bytes),
		cmocka_unit_test(no_pattern_and_too_many),
		cmocka_unit_test(lists),
		cmocka_unit_test(no_key_is_forgotten),
	};

	return cmocka_run_group_tests_name("texts drawn from patterns", tests, setup,
					   teardown);
}
