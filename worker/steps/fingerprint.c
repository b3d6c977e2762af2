/*
 * worker/steps/fingerprint.c - public keys by the name that people compare
 *
 * Runs in:   worker
 * Input:     keys of the host: any bytes
 * May touch: memory of its own
 * Must not:  let a record hold a key itself
 */
#include "worker/steps/fingerprint.h"

#include <string.h>

#include "ipc/jsonw.h"
#include "ipc/base64.h"
#include "policy/sha256.h"

#define FINGERPRINTS_MAX 16
/* Each begins so: the length of its type's name, which is short. */
#define BLOB "AAAA"

/* The key itself: behind options, which may hold blanks in quotes, and the type. */
static struct v_str blob_of(const struct v_str *key)
{
	const char *p = key->p, *end = p + key->len;
	bool quoted = false;

	for (const char *at = p; at < end; at++) {
		quoted ^= *at == '"' && (at == p || at[-1] != '\\');
		if (quoted || (at > p && at[-1] != ' ' && at[-1] != '\t') ||
		    (size_t)(end - at) < strlen(BLOB) ||
		    memcmp(at, BLOB, strlen(BLOB)) != 0)
			continue;
		for (p = at; at < end && *at != ' ' && *at != '\t';)
			at++;
		return (struct v_str){.p = p, .len = (uint32_t)(at - p), .set = true};
	}
	return (struct v_str){0};
}

static void put_digest(struct wbuf *out, const struct v_str *blob)
{
	/* What it grew by is wiped when it goes (ipc/wire.h). */
	CLEANUP(wbuf_free) struct wbuf key = wbuf_growing(BASE64_OUT_MAX(blob->len));
	struct base64 state = {0};
	uint8_t digest[SHA256_LEN], text[64];
	struct wbuf quoted = wbuf_fixed(text, sizeof(text));
	size_t len = 0;

	if (blob->set && wbuf_room(&key, BASE64_OUT_MAX(blob->len)))
		len = base64_decode(&state, (const uint8_t *)blob->p, blob->len, key.p);
	if (!len || state.invalid) {
		wbuf_text(out, "invalid");
		return;
	}
	sha256(key.p, len, digest);
	jsonw_b64(&quoted, digest, sizeof(digest));
	/* Without the quotes, and the one '=' that the length of a digest brings. */
	wbuf_text(out, "SHA256:");
	wbuf_put(out, text + 1, quoted.len - 3);
}

char *fingerprints_of(const struct v_list *keys)
{
	CLEANUP(wbuf_free) struct wbuf out = wbuf_growing(4096);
	const struct v_str *key = keys->v;

	for (uint32_t i = 0; i < keys->n && i < FINGERPRINTS_MAX; i++) {
		struct v_str blob;

		if (!key[i].len)
			continue;
		if (out.len)
			wbuf_text(&out, ", ");
		blob = blob_of(&key[i]);
		put_digest(&out, &blob);
	}
	if (keys->n > FINGERPRINTS_MAX)
		wbuf_text(&out, ", ...");
	return out.bad || !out.len ? NULL : strndup((const char *)out.p, out.len);
}
