/*
 * inspector/netlink.h - tables of the kernel's network, as messages
 *
 * Runs in:   inspector
 * Input:     netlink messages; names and addresses in them: any bytes
 * May touch: one socket of NETLINK_ROUTE, opened before the seal
 * Must not:  ask for a change, take a message for an answer that is none
 */
#ifndef POSTERN_INSPECTOR_NETLINK_H
#define POSTERN_INSPECTOR_NETLINK_H

#include <linux/rtnetlink.h>

#include "inspector/inspector.h"

/* Attributes of one message by type; those above are passed over. */
#define NETLINK_ATTRS_MAX 64

/* An attribute's bytes; not aligned. NULL: it is not there. */
struct attr {
	const uint8_t *p;
	size_t len;
};

/*
 * The attributes of M behind its struct of HEAD bytes. False, and no attribute, if the
 * message is shorter than that or an attribute does not fit it.
 */
bool netlink_attrs(const struct nlmsghdr *m, size_t head,
		   struct attr attrs[NETLINK_ATTRS_MAX]);

/*
 * Ask for the whole table that RTM_GETxxx TYPE names and call EACH with every message of
 * it, until it returns other than 0. Returns that, 0, or -1 with errno: EINTR if the
 * table changed while it was read, so that it may lack something; ask again.
 */
int netlink_dump(struct inspector *in, uint16_t type,
		 int (*each)(void *arg, const struct nlmsghdr *m), void *arg);

#endif
