/*
 * tests/integration/privileges.c - print which policy leaves the worker which privilege
 *
 * Runs in:   tests; people
 * Input:     the table of tests/lib/privileges.h
 * May touch: standard output
 * Must not:  compute anything that the table says
 */
#include <stdio.h>

#include "ipc/jsonw.h"
#include "ipc/wire.h"
#include "tests/lib/privileges.h"

static void put(struct wbuf *w, const char *name, const char *value)
{
	wbuf_text(w, name);
	jsonw_cstr(w, value);
}

static void put_row(struct wbuf *w, const struct privilege_row *row)
{
	put(w, "{\"name\": ", row->name);
	put(w, ", \"policy\": ", row->policy);
	put(w, ", \"systemd\": ", row->systemd);
	put(w, ", \"other\": ", row->other);
	put(w, ", \"files\": ", row->files);
	wbuf_text(w, "}");
}

int main(void)
{
	CLEANUP(wbuf_free) struct wbuf w = wbuf_growing(1024 * 1024);

	for (size_t i = 0; i < ARRAY_SIZE(privilege_rows); i++) {
		wbuf_text(&w, i ? ", " : "[");
		put_row(&w, &privilege_rows[i]);
	}
	wbuf_text(&w, "]\n");
	return !w.bad && fwrite(w.p, 1, w.len, stdout) == w.len ? 0 : 1;
}
