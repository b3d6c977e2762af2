/*
 * ctl/requests.h - requests out of the command line, or of a file
 *
 * Runs in:   posternctl, as the user who calls it
 * Input:     the command line; a file: any bytes
 * May touch: the file, read-only; standard input
 * Must not:  change a request, guess where one ends
 */
#ifndef POSTERN_CTL_REQUESTS_H
#define POSTERN_CTL_REQUESTS_H

#include "ipc/wire.h"

struct requests {
	struct wbuf text; /* of all of them, each with a line feed behind it */
	size_t *ends;     /* in it, of each */
	size_t n, room;
};

/* All return CTL_OK, or CTL_FAILED with a line. End with requests_done in any case. */

/*
 * REQUEST is the name of a command, with the text of an object as ARGUMENTS or NULL; or
 * the request; or "-" for what standard input has.
 */
int requests_of_words(struct requests *q, const char *request, const char *arguments);

/*
 * Those in the file PATH, or of standard input for "-": objects one after the other, or
 * lines of a command's name and perhaps an object; blank lines and those that begin with
 * '#' are none.
 */
int requests_of_file(struct requests *q, const char *path);

/* The request number I. */
struct rbuf requests_at(const struct requests *q, size_t i);

void requests_done(struct requests *q);

#endif
