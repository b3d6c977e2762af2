/*
 * supervisor/config.h - everything that the agent was told, in its order
 *
 * Runs in:   supervisor, root
 * Input:     qemu-ga.conf, environment and command line; the guest's administrator's
 * May touch: the configuration file, for reading
 * Must not:  run a shell, print
 *
 * In this order, a later value beats an earlier one and lists add up:
 *
 *   defaults
 *   the file of -c, or else $QGA_CONF, or else /etc/qemu/qemu-ga.conf
 *   variables of the distributions' environment files, which the unit passes on
 *   the command line
 *
 * The variables stand for options: their units put them on the command line of qemu-ga.
 *
 *   DAEMON_ARGS                     options                  Debian
 *   TRANSPORT                       METHOD:PATH              Debian
 *   BLACKLIST_RPC, BLOCK_RPCS       a list of --block-rpcs   RHEL 7, 8, early 9
 *   FILTER_RPC_ARGS, QEMU_GA_ARGS   options                  RHEL 9, 10, Fedora, SUSE
 *   FSFREEZE_HOOK_PATHNAME          a path                   RHEL, Fedora
 *
 * An empty one has no meaning. Options in one are cut at blanks; quotes and backslashes
 * are those of a shell, nothing is expanded. What is no option there is an error: a list
 * that was lost in silence would open the agent.
 */
#ifndef POSTERN_SUPERVISOR_CONFIG_H
#define POSTERN_SUPERVISOR_CONFIG_H

#include "supervisor/options.h"

/* Longest configuration file, bytes. */
#define CONFIG_MAX (64 * 1024)

/* Read all sources into O, which needs options_done whatever comes of it. */
enum options_result config_read(struct options *o, int argc, char *argv[], struct err *e);

#endif
