/*
 * inspector/osrelease.h - the os-release file
 *
 * Runs in:   inspector
 * Input:     the file's bytes: any
 * May touch: the buffer it is handed
 * Must not:  take half of a file that it does not understand
 */
#ifndef POSTERN_INSPECTOR_OSRELEASE_H
#define POSTERN_INSPECTOR_OSRELEASE_H

#include "ipc/ops.h"

/*
 * Fill the fields of R that come from the file whose LEN bytes are at TEXT (protocol
 * 3.41). Values are unquoted in place, so R points into TEXT. 0, or -1 with these fields
 * unset if the text is not UTF-8 or has a line that is no assignment.
 */
int osrelease_parse(char *text, size_t len, struct msg_osinfo *r);

#endif
