/*
 * inspector/routes.h - lines of the kernel's routing tables
 *
 * Runs in:   inspector
 * Input:     lines of /proc/net/route and /proc/net/ipv6_route: any bytes
 * May touch: the arena
 * Must not:  take half a line for a route
 */
#ifndef POSTERN_INSPECTOR_ROUTES_H
#define POSTERN_INSPECTOR_ROUTES_H

#include "inspector/inspector.h"
#include "inspector/text.h"

/*
 * LINE as a route. 1; 0 if it is none (a header, a line of another form); -1 if the arena
 * is full. The name of the interface points into the line.
 */
int route_ipv4(struct inspector *in, struct text line, struct msg_net_route *route);
int route_ipv6(struct inspector *in, struct text line, struct msg_net_route *route);

#endif
