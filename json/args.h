/*
 * json/args.h - JSON arguments against the table
 *
 * Runs in:   frontend, posternctl
 * Input:     a JSON tree built from text that the scanner has passed
 * May touch: the buffer it is handed
 * Must not:  convert a number by way of a double, let a surplus member pass
 */
#ifndef POSTERN_JSON_ARGS_H
#define POSTERN_JSON_ARGS_H

#include "ipc/err.h"
#include "ipc/schema.h"
#include "json/scan.h"

struct cJSON;

/*
 * Check ARGS (an object, or NULL for none) against S and append their encoding to W. The
 * checks come in the reference's order (protocol 1.7): fields in schema order, then
 * surplus members, then what only the command itself looks at (base64). 0, or -1 with E.
 */
int args_encode(const struct scan *scan, const struct cJSON *args, const struct schema *s,
		struct wbuf *w, struct err *e);

#endif
