/*
 * json/scan.c - the scanner: grammar, bounds, output; the life of a message
 *
 * Runs in:   frontend, posternctl
 * Input:     tokens of the host: hostile
 * May touch: the scanner's buffers; the bulk sink it was given
 * Must not:  recurse, hold more than its bounds
 *
 * A grammar error is remembered while the rest of the message is only lexed, and is
 * reported where the reference does, which first collects and then parses: when the
 * brackets are closed (protocol 1.5). The texts and their number are the reference's.
 *
 * Deliberate differences (design section 6, protocol section 6 "STRICT"):
 *
 *   - NUL in strings, as \u0000 or as C0 80, is refused: `NUL character in string`;
 *   - a number that no double holds (1e400) is refused: `number out of range`;
 *   - bounds are tighter (scan.h), and an object has at most SCAN_MEMBERS_MAX members;
 *   - a bound that is met costs one error: the rest is skipped to the next control
 *     byte or 0xFF, where the reference reads it as new input;
 *   - what an error quotes of the input is bounded (SCAN_QUOTE_MAX);
 *   - members of an echoed id stay in their order.
 */
#include "json/scan_impl.h"

#include "ipc/jsonw.h"

#include <math.h>
#include <string.h>

/* Buffers that grew beyond this are given back after each message. */
#define KEEP_MAX 4096u

/* A number in the table: kind and bits. */
#define NUMBER_SIZE 9u

const char scan_over_size[] = "JSON token size limit exceeded";
static const char over_count[] = "JSON token count limit exceeded";
static const char over_depth[] = "JSON nesting depth limit exceeded";

/* Precedes the bytes of a key on the stack of keys. */
struct scan_key {
	uint32_t hash;
	uint32_t len;
};

/* The grammar ------------------------------------------------------------------- */

/* What may come next. */
enum expect {
	EXPECT_TOP,
	EXPECT_FIRST, /* of a list */
	EXPECT_ELEMENT,
	EXPECT_LIST, /* list goes on */
	EXPECT_FIRST_KEY,
	EXPECT_KEY,
	EXPECT_COLON,
	EXPECT_MEMBER,
	EXPECT_DICT, /* object goes on */
	EXPECT_COUNT,
};

static const struct grammar {
	bool value;          /* a value may stand here */
	bool key;            /* and it is a key */
	uint8_t after;       /* what is expected behind the value */
	uint8_t close;       /* bracket that may stand here, or 0 */
	uint8_t punct;       /* , or : that may stand here, or 0 */
	uint8_t next;        /* what is expected behind that */
	const char *missing; /* error for everything else */
} grammar[EXPECT_COUNT] = {
	[EXPECT_TOP] = {.value = true, .after = EXPECT_TOP, .missing = "expecting value"},
	[EXPECT_FIRST] = {.value = true,
			  .after = EXPECT_LIST,
			  .close = ']',
			  .missing = "expecting value"},
	[EXPECT_ELEMENT] = {.value = true,
			    .after = EXPECT_LIST,
			    .missing = "expecting value"},
	[EXPECT_LIST] = {.close = ']',
			 .punct = ',',
			 .next = EXPECT_ELEMENT,
			 .missing = "expected separator in list"},
	[EXPECT_FIRST_KEY] = {.value = true,
			      .key = true,
			      .after = EXPECT_COLON,
			      .close = '}',
			      .missing = "expecting value"},
	[EXPECT_KEY] = {.value = true,
			.key = true,
			.after = EXPECT_COLON,
			.missing = "expecting value"},
	[EXPECT_COLON] = {.punct = ':',
			  .next = EXPECT_MEMBER,
			  .missing = "missing : in object pair"},
	[EXPECT_MEMBER] = {.value = true,
			   .after = EXPECT_DICT,
			   .missing = "expecting value"},
	[EXPECT_DICT] = {.close = '}',
			 .punct = ',',
			 .next = EXPECT_KEY,
			 .missing = "expected separator in dict"},
};

/* The life of a message ---------------------------------------------------------- */

static void empty(struct wbuf *w)
{
	if (w->cap > KEEP_MAX)
		wbuf_free(w);
	else
		wbuf_empty(w);
}

/* The last token must not outlive its message: it can be the beginning of a password. */
static void forget_token(struct scan *s)
{
	explicit_bzero(s->quote, sizeof(s->quote));
	explicit_bzero(&s->string, sizeof(s->string));
}

static void forget_error(struct scan *s)
{
	explicit_bzero(s->error, sizeof(s->error));
	s->error_len = 0;
}

/* Nothing of what the message would have given is wanted any more. */
static void drop_output(struct scan *s)
{
	if (s->bulk != SCAN_BULK_NONE)
		s->sink->drop(s->sink);
	s->bulk = SCAN_BULK_NONE;
	empty(&s->keys);
	empty(&s->token);
	empty(&s->text);
	empty(&s->id);
	empty(&s->numbers);
}

/* Start over; the sink's content is the caller's if it was given out. */
static void begin_message(struct scan *s)
{
	if (s->event == SCAN_REQUEST)
		s->bulk = SCAN_BULK_NONE;
	drop_output(s);
	forget_token(s);
	s->begun = false;
	s->broken = false;
	s->object = false;
	s->over = NULL;
	s->size = 0;
	s->tokens = 0;
	s->braces = 0;
	s->brackets = 0;
	s->depth = 0;
	s->expect = EXPECT_TOP;
	s->member = MEMBER_PLAIN;
	s->bulk_next = false;
	s->in_id = false;
}

void scan_error_set(struct scan *s, const char *before, struct scan_text quoted,
		    const char *after)
{
	struct wbuf w = wbuf_fixed(s->error, sizeof(s->error));
	struct wbuf note = wbuf_fixed(s->note, sizeof(s->note));

	forget_error(s);
	wbuf_text(&w, before);
	wbuf_put(&w, quoted.p, min_size(quoted.len, SCAN_QUOTE_MAX));
	wbuf_text(&w, after);
	s->error_len = w.len;
	s->error_reset = false;
	wbuf_text(&note, before);
	wbuf_text(&note, quoted.len ? "..." : "");
	wbuf_text(&note, after);
	s->note_len = note.len;
}

void scan_abort(struct scan *s, enum scan_lex lex)
{
	begin_message(s);
	s->event = SCAN_ERROR;
	s->lex = (uint8_t)lex;
}

void scan_over(struct scan *s, const char *what)
{
	scan_error_set(s, what, (struct scan_text){NULL, 0}, "");
	scan_abort(s, LEX_SKIP);
}

/* A grammar error: remembered until the brackets are closed. */
static void fail_quoting(struct scan *s, const char *before, struct scan_text quoted,
			 const char *after)
{
	scan_error_set(s, before, quoted, after);
	drop_output(s);
	s->broken = true;
}

static void fail(struct scan *s, const char *what)
{
	fail_quoting(s, "JSON parse error, ", (struct scan_text){NULL, 0}, what);
}

/* Output ------------------------------------------------------------------------- */

/* Bytes left for all three buffers together decide what one of them may take. */
static struct wbuf *bounded(struct scan *s, struct wbuf *w)
{
	w->limit = SCAN_TEXT_MAX - (s->text.len + s->id.len + s->keys.len) + w->len;
	return w;
}

/* Where the value at hand is shown; NULL: nowhere. */
static struct wbuf *output(struct scan *s)
{
	if (s->in_id)
		return bounded(s, &s->id);
	return s->object && s->depth <= SCAN_TREE_DEPTH ? bounded(s, &s->text) : NULL;
}

static void put_control(struct wbuf *w, uint8_t c)
{
	static const char hex[] = "0123456789abcdef";
	const char text[] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};

	wbuf_put(w, text, sizeof(text));
}

/* Strict JSON of decoded bytes; unlike jsonw_str, UTF-8 stays as it is. */
static void put_text(struct wbuf *w, struct scan_text t)
{
	const uint8_t *p = (const uint8_t *)t.p;
	size_t at = 0;

	wbuf_u8(w, '"');
	while (at < t.len) {
		size_t n = scan_run(p + at, t.len - at, BYTE_PLAIN | BYTE_HIGH);

		wbuf_put(w, p + at, n);
		at += n;
		if (at == t.len)
			break;
		if (p[at] < 0x20) {
			put_control(w, p[at]);
		} else {
			if (p[at] != '\'')
				wbuf_u8(w, '\\');
			wbuf_u8(w, p[at]);
		}
		at++;
	}
	wbuf_u8(w, '"');
}

static void put_string(struct scan *s, struct scan_text t)
{
	struct wbuf *w = output(s);

	if (!w)
		return;
	if (s->in_id)
		jsonw_str(w, t.p, t.len);
	else
		put_text(w, t);
}

/* Punctuation, which the id's form spaces (protocol 1.3). */
static void put_punct(struct scan *s, char c)
{
	struct wbuf *w = output(s);

	if (!w)
		return;
	wbuf_u8(w, (uint8_t)c);
	if (s->in_id && (c == ',' || c == ':'))
		wbuf_u8(w, ' ');
}

/* Keys --------------------------------------------------------------------------- */

static uint32_t hash_of(struct scan_text t)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < t.len; i++)
		h = (h ^ (uint8_t)t.p[i]) * 16777619u;
	return h;
}

static bool equals(struct scan_text t, const char *name)
{
	return t.len == strlen(name) && !memcmp(t.p, name, t.len);
}

/* True if KEY is among the keys from FROM on. */
static bool key_known(const struct scan *s, uint32_t from, struct scan_text key,
		      uint32_t hash)
{
	struct scan_key head;

	for (size_t at = from; at < s->keys.len; at += sizeof(head) + head.len) {
		memcpy(&head, s->keys.p + at, sizeof(head));
		if (head.hash == hash && head.len == key.len &&
		    !memcmp(s->keys.p + at + sizeof(head), key.p, key.len))
			return true;
	}
	return false;
}

/* Members whose value does not take the usual way. */
static void note_member(struct scan *s, struct scan_text key)
{
	if (s->depth == 1)
		s->member = equals(key, "id")          ? MEMBER_ID
			    : equals(key, "arguments") ? MEMBER_ARGUMENTS
						       : MEMBER_PLAIN;
	s->bulk_next = s->depth == 2 && s->member == MEMBER_ARGUMENTS &&
		       (equals(key, "buf-b64") || equals(key, "input-data"));
}

static void key_done(struct scan *s, struct scan_text key)
{
	struct scan_level *l = &s->levels[s->depth - 1];
	struct scan_key head = {.hash = hash_of(key), .len = (uint32_t)key.len};

	if (++l->members > SCAN_MEMBERS_MAX) {
		s->over = over_count;
		return;
	}
	l->duplicate = key_known(s, l->keys, key, head.hash);
	wbuf_put(bounded(s, &s->keys), &head, sizeof(head));
	wbuf_put(bounded(s, &s->keys), key.p, key.len);
	note_member(s, key);
	put_string(s, key);
}

/* Numbers ------------------------------------------------------------------------ */

/* Protocol 1.6: int64, else uint64, else double. TEXT ends with a NUL. */
static struct scan_num number_of(const char *text)
{
	struct scan_num n = {.kind = SCAN_DOUBLE};
	bool whole = !strpbrk(text, ".eE");

	errno = 0;
	n.i = strtoll(text, NULL, 10);
	if (whole && !errno)
		return (struct scan_num){SCAN_INT, n.i, (uint64_t)n.i, (double)n.i};
	errno = 0;
	n.u = strtoull(text, NULL, 10);
	if (whole && !errno && *text != '-')
		return (struct scan_num){SCAN_UINT, 0, n.u, (double)n.u};
	return (struct scan_num){SCAN_DOUBLE, 0, 0, strtod(text, NULL)};
}

static void keep_number(struct scan *s, const struct scan_num *n)
{
	struct wbuf *w = output(s);

	if (!w)
		return;
	jsonw_u64(w, s->numbers.len / NUMBER_SIZE);
	wbuf_u8(&s->numbers, (uint8_t)n->kind);
	if (n->kind == SCAN_DOUBLE)
		wbuf_f64(&s->numbers, n->d);
	else
		wbuf_u64(&s->numbers, n->u);
}

static void echo_number(struct scan *s, const struct scan_num *n)
{
	struct wbuf *w = output(s);

	if (n->kind == SCAN_INT)
		jsonw_i64(w, n->i);
	else if (n->kind == SCAN_UINT)
		jsonw_u64(w, n->u);
	else
		jsonw_num(w, n->d);
}

/* Values ------------------------------------------------------------------------- */

/*
 * Behind a value. Only now the reference looks whether its key was there before, so
 * that errors inside the value come first.
 */
static void value_done(struct scan *s)
{
	if (s->expect == EXPECT_MEMBER && s->levels[s->depth - 1].duplicate)
		fail(s, "duplicate key");
	if (s->depth == 1)
		s->in_id = false;
	s->expect = grammar[s->expect].after;
}

/* The same where a key is wanted, behind anything that is no string. */
static void other_done(struct scan *s)
{
	if (grammar[s->expect].key)
		fail(s, "key is not a string in object");
	else
		value_done(s);
}

static void on_string(struct scan *s)
{
	const struct scan_string *str = &s->string;
	struct scan_text t = {s->token.len ? (const char *)s->token.p : "", s->token.len};

	if (str->bad) {
		fail_quoting(s, "JSON parse error, ",
			     (struct scan_text){(const char *)str->esc, str->esc_len},
			     str->bad);
		return;
	}
	if (grammar[s->expect].key)
		key_done(s, t);
	else if (str->use != STRING_CHECK)
		put_string(s, t); /* of a bulk string nothing is kept: "" */
	value_done(s);
}

static void on_number(struct scan *s)
{
	struct scan_num n;

	wbuf_u8(&s->token, 0);
	if (s->token.bad)
		return;
	n = number_of((const char *)s->token.p);
	if (!isfinite(n.d)) {
		fail(s, "number out of range");
		return;
	}
	if (s->in_id)
		echo_number(s, &n);
	else
		keep_number(s, &n);
	other_done(s);
}

static void on_keyword(struct scan *s)
{
	struct scan_text word = {(const char *)s->quote, s->quote_len};
	struct wbuf *w = output(s);

	if (!equals(word, "true") && !equals(word, "false") && !equals(word, "null")) {
		fail_quoting(s, "JSON parse error, invalid keyword '", word, "'");
		return;
	}
	if (w)
		wbuf_put(w, word.p, word.len);
	other_done(s);
}

static void on_open(struct scan *s, uint8_t bracket)
{
	if (s->depth == 0)
		s->object = bracket == '{';
	put_punct(s, (char)bracket);
	s->levels[s->depth++] = (struct scan_level){
		.keys = (uint32_t)s->keys.len,
		.outside = s->expect,
	};
	s->expect = bracket == '{' ? EXPECT_FIRST_KEY : EXPECT_FIRST;
}

static void on_close(struct scan *s, uint8_t bracket)
{
	const struct scan_level *l = &s->levels[--s->depth];

	s->keys.len = l->keys;
	s->expect = l->outside;
	put_punct(s, (char)bracket);
	other_done(s);
}

static void on_punct(struct scan *s, uint8_t punct)
{
	put_punct(s, (char)punct);
	s->expect = grammar[s->expect].next;
	if (s->depth == 1 && punct == ':' && s->member == MEMBER_ID) {
		wbuf_text(bounded(s, &s->text), "null");
		s->in_id = true;
	}
}

/* Tokens ------------------------------------------------------------------------- */

static bool begins_nothing(uint8_t token)
{
	return token == ']' || token == '}' || token == ':' || token == ',';
}

static void on_token(struct scan *s, uint8_t token)
{
	const struct grammar *g = &grammar[s->expect];

	if (token == g->close)
		on_close(s, token);
	else if (token == g->punct)
		on_punct(s, token);
	else if (!g->value || begins_nothing(token))
		fail(s, g->missing);
	else if (token == TOKEN_STRING)
		on_string(s);
	else if (token == TOKEN_NUMBER)
		on_number(s);
	else if (token == TOKEN_KEYWORD)
		on_keyword(s);
	else
		on_open(s, token);
}

/* The bound that is met by one more token, or NULL. */
static const char *count_token(struct scan *s, uint8_t token)
{
	s->braces += (token == '{') - (token == '}');
	s->brackets += (token == '[') - (token == ']');
	if (++s->tokens > SCAN_TOKENS_MAX)
		return over_count;
	if (s->braces + s->brackets > (int)SCAN_DEPTH_MAX)
		return over_depth;
	return NULL;
}

static void finish(struct scan *s)
{
	if (s->broken) {
		scan_abort(s, LEX_START);
		return;
	}
	if (!s->object) {
		scan_error_set(s, "QMP input must be a JSON object",
			       (struct scan_text){NULL, 0}, "");
		scan_abort(s, LEX_START);
		return;
	}
	empty(&s->keys);
	empty(&s->token);
	s->event = SCAN_REQUEST;
}

void scan_token(struct scan *s, uint8_t token)
{
	s->over = count_token(s, token);
	if (!s->over && !s->broken)
		on_token(s, token);
	if (s->text.bad || s->id.bad || s->keys.bad || s->numbers.bad || s->token.bad)
		s->over = scan_over_size;
	if (s->over)
		scan_over(s, s->over);
	else if (s->braces < 0 || s->brackets < 0 || (!s->braces && !s->brackets))
		finish(s);
}

enum scan_string_use scan_string_use(struct scan *s)
{
	const struct grammar *g = &grammar[s->expect];

	if (s->broken || !g->value)
		return STRING_SKIP;
	if (s->bulk_next && s->expect == EXPECT_MEMBER)
		return STRING_BULK;
	return g->key || output(s) ? STRING_KEEP : STRING_CHECK;
}

/* Interface ---------------------------------------------------------------------- */

struct scan *scan_new(struct scan_sink *sink)
{
	struct scan *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->sink = sink;
	s->most = SCAN_MESSAGE_MAX;
	s->token = wbuf_growing(SCAN_TOKEN_MAX);
	s->keys = wbuf_growing(SCAN_TEXT_MAX);
	s->text = wbuf_growing(SCAN_TEXT_MAX);
	s->id = wbuf_growing(SCAN_TEXT_MAX);
	s->numbers = wbuf_growing((size_t)SCAN_TOKENS_MAX * NUMBER_SIZE);
	begin_message(s);
	return s;
}

void scan_limit(struct scan *s, uint64_t most)
{
	s->most = most < SCAN_MESSAGE_MAX ? (size_t)most : SCAN_MESSAGE_MAX;
}

void scan_reset(struct scan *s)
{
	begin_message(s);
	forget_error(s);
	s->event = SCAN_MORE;
	s->lex = LEX_START;
	wbuf_free(&s->token);
	wbuf_free(&s->keys);
	wbuf_free(&s->text);
	wbuf_free(&s->id);
	wbuf_free(&s->numbers);
}

void scan_free(struct scan *s)
{
	if (!s)
		return;
	scan_reset(s);
	free(s);
}

size_t scan_feed(struct scan *s, const uint8_t *p, size_t len, enum scan_event *ev)
{
	size_t used = 0;

	if (s->event == SCAN_REQUEST)
		begin_message(s);
	else if (s->event == SCAN_ERROR)
		forget_error(s);
	s->event = SCAN_MORE;
	while (used < len && s->event == SCAN_MORE) {
		size_t room = s->size < s->most ? s->most - s->size : 0;
		size_t n;

		if (!room) {
			scan_over(s, scan_over_size);
			break;
		}
		n = scan_step(s, p + used, min_size(len - used, room));
		used += n;
		if (s->begun)
			s->size += n;
	}
	*ev = s->event;
	return used;
}

bool scan_pending(const struct scan *s)
{
	return s->begun && s->event == SCAN_MORE;
}

struct scan_text scan_request_text(const struct scan *s)
{
	return (struct scan_text){(const char *)s->text.p, s->text.len};
}

struct scan_text scan_request_id(const struct scan *s)
{
	return (struct scan_text){s->id.len ? (const char *)s->id.p : NULL, s->id.len};
}

bool scan_request_number(const struct scan *s, uint64_t index, struct scan_num *out)
{
	struct rbuf r;
	enum scan_number kind;

	if (index >= s->numbers.len / NUMBER_SIZE)
		return false;
	r = rbuf_of(s->numbers.p + index * NUMBER_SIZE, NUMBER_SIZE);
	kind = rbuf_u8(&r);
	if (kind == SCAN_DOUBLE) {
		*out = (struct scan_num){.kind = kind, .d = rbuf_f64(&r)};
	} else {
		uint64_t u = rbuf_u64(&r);
		bool whole = kind == SCAN_INT;

		*out = (struct scan_num){
			.kind = kind,
			.i = whole ? (int64_t)u : 0,
			.u = u,
			.d = whole ? (double)(int64_t)u : (double)u,
		};
	}
	return true;
}

enum scan_bulk scan_request_bulk(const struct scan *s, uint64_t *size)
{
	*size = s->bulk == SCAN_BULK_OK ? s->bulk_size : 0;
	return s->bulk;
}

struct scan_text scan_error_text(const struct scan *s)
{
	return (struct scan_text){s->error, s->error_len};
}

struct scan_text scan_error_note(const struct scan *s)
{
	return (struct scan_text){s->note, s->note_len};
}

bool scan_error_is_reset(const struct scan *s)
{
	return s->error_reset;
}
