/*
 * inspector/shape.h - what of an answer the policy lets the host see
 *
 * Runs in:   inspector
 * Input:     patterns and field names of the policy, by way of the worker
 * May touch: the answer
 * Must not:  let through what it does not understand
 */
#ifndef POSTERN_INSPECTOR_SHAPE_H
#define POSTERN_INSPECTOR_SHAPE_H

#include "inspector/inspector.h"

/* May the thing so named (LEN bytes) be part of the answer? Asked before it is looked at.
 */
bool shape_shows(const struct inspector *in, const char *name, size_t len);

/* Is every pattern of it one? Else it means nothing, and nothing may be matched by it. */
bool shape_is_whole(const struct msg_shape *shape);

/* Take the hidden fields out of MSG, a result of schema S. */
void shape_hide(const struct inspector *in, const struct schema *s, void *msg);

#endif
