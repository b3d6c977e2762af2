/*
 * ipc/ops.h - the table of operations: every command of the protocol, once
 *
 * Runs in:   all processes
 * Input:     none; const data
 * May touch: nothing
 * Must not:  differ between two processes that talk (the hello carries its hash)
 *
 * To add a command: its argument and result lists here, one row in OP_TABLE, one
 * handler in the program that the row names, one fixture.
 */
#ifndef POSTERN_IPC_OPS_H
#define POSTERN_IPC_OPS_H

#include <linux/capability.h>

#include "ipc/schema.h"

/* ---- spellings of enums ---- */

extern const struct names names_whence;        /* set cur end: protocol 3.13 */
extern const struct names names_capture;       /* protocol 3.36 */
extern const struct names names_memory_result; /* protocol 3.27 */

/* How a machine goes down, in the order of the policy's words (protocol 3.7). */
enum power_mode { POWER_DOWN, POWER_HALT, POWER_REBOOT, POWER_MODES };

/* How it falls asleep, in the order of the commands (protocol 3.20). */
enum suspend_mode { SUSPEND_DISK, SUSPEND_RAM, SUSPEND_HYBRID, SUSPEND_MODES };

/* What happens to authorized keys (protocol 3.43 to 3.45). */
enum keys_change { KEYS_GET, KEYS_ADD, KEYS_RESET, KEYS_REMOVE };

/* Values of names_capture, in its order. */
enum capture {
	CAPTURE_NONE,
	CAPTURE_STDOUT,
	CAPTURE_STDERR,
	CAPTURE_BOTH,
	CAPTURE_MERGED
};

/* ---- field lists: X(tag, kind, member, wire name, flags, reference) ---- */

#define FIELDS_empty(X, t)

/* Results that are no object. */
#define FIELDS_integer(X, t) X(t, INT, value, NULL, F_REQ, REF_NONE)
#define FIELDS_text(X, t)    X(t, STR, value, NULL, F_REQ, REF_NONE)

#define FIELDS_sync(X, t) X(t, INT, id, "id", F_PUB, REF_NONE)

#define FIELDS_info_command(X, t)                       \
	X(t, STR, name, "name", F_REQ, REF_NONE)        \
	X(t, BOOL, enabled, "enabled", F_REQ, REF_NONE) \
	X(t, BOOL, success_response, "success-response", F_REQ, REF_NONE)
#define FIELDS_info(X, t)                                               \
	X(t, STR, version, "version", F_REQ, REF_NONE)                  \
	X(t, LIST_OBJ, supported_commands, "supported_commands", F_REQ, \
	  REF_OBJ(info_command))

#define FIELDS_set_time(X, t) X(t, INT, time, "time", F_OPT | F_PUB, REF_NONE)
#define FIELDS_shutdown(X, t) X(t, STR, mode, "mode", F_OPT | F_PUB, REF_NONE)

#define FIELDS_file_open(X, t)                   \
	X(t, STR, path, "path", F_PUB, REF_NONE) \
	X(t, STR, mode, "mode", F_OPT | F_PUB, REF_NONE)
#define FIELDS_file_handle(X, t) X(t, INT, handle, "handle", F_PUB, REF_NONE)
#define FIELDS_file_read(X, t)                       \
	X(t, INT, handle, "handle", F_PUB, REF_NONE) \
	X(t, INT, count, "count", F_OPT | F_PUB, REF_NONE)
#define FIELDS_file_read_result(X, t)                   \
	X(t, INT, count, "count", F_REQ, REF_NONE)      \
	X(t, BULK, buf_b64, "buf-b64", F_REQ, REF_NONE) \
	X(t, BOOL, eof, "eof", F_REQ, REF_NONE)
#define FIELDS_file_write(X, t)                         \
	X(t, INT, handle, "handle", F_PUB, REF_NONE)    \
	X(t, BULK, buf_b64, "buf-b64", F_REQ, REF_NONE) \
	X(t, INT, count, "count", F_OPT | F_PUB, REF_NONE)
#define FIELDS_file_write_result(X, t)             \
	X(t, INT, count, "count", F_REQ, REF_NONE) \
	X(t, BOOL, eof, "eof", F_REQ, REF_NONE)
#define FIELDS_file_seek(X, t)                       \
	X(t, INT, handle, "handle", F_PUB, REF_NONE) \
	X(t, INT, offset, "offset", F_PUB, REF_NONE) \
	X(t, INT_OR_ENUM, whence, "whence", F_PUB, REF_ENUM(whence))
#define FIELDS_file_seek_result(X, t)                    \
	X(t, INT, position, "position", F_REQ, REF_NONE) \
	X(t, BOOL, eof, "eof", F_REQ, REF_NONE)

#define FIELDS_freeze_list(X, t) \
	X(t, LIST_STR, mountpoints, "mountpoints", F_OPT | F_PUB, REF_NONE)
#define FIELDS_fstrim(X, t) X(t, INT, minimum, "minimum", F_OPT | F_PUB, REF_NONE)
#define FIELDS_trim_path(X, t)                         \
	X(t, STR, path, "path", F_REQ, REF_NONE)       \
	X(t, INT, trimmed, "trimmed", F_OPT, REF_NONE) \
	X(t, INT, minimum, "minimum", F_OPT, REF_NONE) \
	X(t, STR, error, "error", F_OPT, REF_NONE)
#define FIELDS_trim_result(X, t) X(t, LIST_OBJ, paths, "paths", F_REQ, REF_OBJ(trim_path))
/* A mount that an op child has met; may its file system be frozen, or trimmed? */
#define FIELDS_fs_found(X, t)                      \
	X(t, STR, point, "point", F_REQ, REF_NONE) \
	X(t, STR, type, "type", F_REQ, REF_NONE)
#define FIELDS_fs_may(X, t) X(t, BOOL, wanted, "wanted", F_REQ, REF_NONE)
/* A superblock that is held by the descriptor beside it; dev is that of stat(2). */
#define FIELDS_fs_held(X, t)                       \
	X(t, STR, point, "point", F_REQ, REF_NONE) \
	X(t, U64, dev, "dev", F_REQ, REF_NONE)
/* Superblocks to be thawed, wherever they are mounted; none: any that can be frozen. */
#define FIELDS_fs_dev(X, t) X(t, U64, dev, "dev", F_PUB, REF_NONE)
#define FIELDS_fs_rescue(X, t) \
	X(t, LIST_OBJ, devs, "devs", F_OPT | F_PUB, REF_OBJ(fs_dev))
/* Hooks to be run, in order; errnum: why one cannot be (EPERM: others could change it).
 */
#define FIELDS_hook_find(X, t) X(t, STR, path, "path", F_REQ, REF_NONE)
#define FIELDS_hook(X, t)                        \
	X(t, STR, path, "path", F_REQ, REF_NONE) \
	X(t, INT, errnum, "errnum", F_REQ, REF_NONE)
#define FIELDS_hooks(X, t) X(t, LIST_OBJ, hooks, "hooks", F_REQ, REF_OBJ(hook))
/* Between the worker and who freezes and thaws for it (worker/freeze/thawer.h). */
#define FIELDS_freeze_go(X, t) X(t, INT, index, "index", F_REQ, REF_NONE)
#define FIELDS_frozen(X, t)                        \
	X(t, INT, index, "index", F_REQ, REF_NONE) \
	X(t, INT, errnum, "errnum", F_REQ, REF_NONE)
#define FIELDS_thaw(X, t)   X(t, INT, cause, "cause", F_REQ, REF_NONE)
#define FIELDS_thawed(X, t) X(t, INT, failed, "failed", F_REQ, REF_NONE)

/*
 * What an op child is about to do, by which the policy decides again: by how many
 * nanoseconds the clock moves; how many CPUs, or bytes of memory, stay online.
 */
#define FIELDS_change(X, t)                      \
	X(t, INT, step, "step", F_OPT, REF_NONE) \
	X(t, U64, left, "left", F_OPT, REF_NONE)

/* What getent(1) wrote of an account, and of its groups. */
#define FIELDS_account_find(X, t)                    \
	X(t, STR, name, "name", F_REQ, REF_NONE)     \
	X(t, STR, passwd, "passwd", F_REQ, REF_NONE) \
	X(t, STR, groups, "groups", F_OPT, REF_NONE)
#define FIELDS_gid(X, t) X(t, U64, gid, "gid", F_REQ, REF_NONE)
#define FIELDS_account(X, t)                     \
	X(t, U64, uid, "uid", F_REQ, REF_NONE)   \
	X(t, U64, gid, "gid", F_REQ, REF_NONE)   \
	X(t, STR, home, "home", F_REQ, REF_NONE) \
	X(t, LIST_OBJ, groups, "groups", F_REQ, REF_OBJ(gid))
/* What is to be done (enum keys_change) to the keys of an account. */
#define FIELDS_keys(X, t)                                      \
	X(t, INT, change, "change", F_REQ, REF_NONE)           \
	X(t, OBJ, account, "account", F_REQ, REF_OBJ(account)) \
	X(t, LIST_STR, keys, "keys", F_OPT, REF_NONE)
/* How the machine is to go down (enum power_mode), or asleep (enum suspend_mode). */
#define FIELDS_power(X, t) X(t, INT, mode, "mode", F_REQ, REF_NONE)

#define FIELDS_ip_address(X, t)                              \
	X(t, STR, ip_address, "ip-address", F_REQ, REF_NONE) \
	X(t, STR, type, "ip-address-type", F_REQ, REF_NONE)  \
	X(t, INT, prefix, "prefix", F_REQ, REF_NONE)
#define FIELDS_net_stats(X, t)                               \
	X(t, U64, rx_bytes, "rx-bytes", F_REQ, REF_NONE)     \
	X(t, U64, rx_packets, "rx-packets", F_REQ, REF_NONE) \
	X(t, U64, rx_errs, "rx-errs", F_REQ, REF_NONE)       \
	X(t, U64, rx_dropped, "rx-dropped", F_REQ, REF_NONE) \
	X(t, U64, tx_bytes, "tx-bytes", F_REQ, REF_NONE)     \
	X(t, U64, tx_packets, "tx-packets", F_REQ, REF_NONE) \
	X(t, U64, tx_errs, "tx-errs", F_REQ, REF_NONE)       \
	X(t, U64, tx_dropped, "tx-dropped", F_REQ, REF_NONE)
#define FIELDS_net_interface(X, t)                                               \
	X(t, STR, name, "name", F_REQ, REF_NONE)                                 \
	X(t, STR, hardware_address, "hardware-address", F_OPT, REF_NONE)         \
	X(t, LIST_OBJ, ip_addresses, "ip-addresses", F_OPT, REF_OBJ(ip_address)) \
	X(t, OBJ, statistics, "statistics", F_OPT, REF_OBJ(net_stats))
#define FIELDS_net_interfaces(X, t) \
	X(t, LIST_OBJ, value, NULL, F_REQ, REF_OBJ(net_interface))

#define FIELDS_net_route(X, t)                                   \
	X(t, STR, iface, "iface", F_REQ, REF_NONE)               \
	X(t, STR, destination, "destination", F_REQ, REF_NONE)   \
	X(t, INT, metric, "metric", F_REQ, REF_NONE)             \
	X(t, STR, gateway, "gateway", F_OPT, REF_NONE)           \
	X(t, STR, mask, "mask", F_OPT, REF_NONE)                 \
	X(t, INT, irtt, "irtt", F_OPT, REF_NONE)                 \
	X(t, U64, flags, "flags", F_OPT, REF_NONE)               \
	X(t, INT, refcnt, "refcnt", F_OPT, REF_NONE)             \
	X(t, INT, use, "use", F_OPT, REF_NONE)                   \
	X(t, INT, window, "window", F_OPT, REF_NONE)             \
	X(t, INT, mtu, "mtu", F_OPT, REF_NONE)                   \
	X(t, INT, version, "version", F_REQ, REF_NONE)           \
	X(t, STR, source, "source", F_OPT, REF_NONE)             \
	X(t, STR, nexthop, "nexthop", F_OPT, REF_NONE)           \
	X(t, STR, desprefixlen, "desprefixlen", F_OPT, REF_NONE) \
	X(t, STR, srcprefixlen, "srcprefixlen", F_OPT, REF_NONE)
#define FIELDS_net_routes(X, t) X(t, LIST_OBJ, value, NULL, F_REQ, REF_OBJ(net_route))

#define FIELDS_load(X, t)                            \
	X(t, NUM, load1m, "load1m", F_REQ, REF_NONE) \
	X(t, NUM, load5m, "load5m", F_REQ, REF_NONE) \
	X(t, NUM, load15m, "load15m", F_REQ, REF_NONE)

#define FIELDS_vcpu(X, t)                                    \
	X(t, INT, logical_id, "logical-id", F_PUB, REF_NONE) \
	X(t, BOOL, online, "online", F_PUB, REF_NONE)        \
	X(t, BOOL, can_offline, "can-offline", F_OPT | F_PUB, REF_NONE)
#define FIELDS_vcpus(X, t)     X(t, LIST_OBJ, value, NULL, F_REQ, REF_OBJ(vcpu))
#define FIELDS_set_vcpus(X, t) X(t, LIST_OBJ, vcpus, "vcpus", F_PUB, REF_OBJ(vcpu))

#define FIELDS_memory_block(X, t)                            \
	X(t, U64, phys_index, "phys-index", F_PUB, REF_NONE) \
	X(t, BOOL, online, "online", F_PUB, REF_NONE)        \
	X(t, BOOL, can_offline, "can-offline", F_OPT | F_PUB, REF_NONE)
#define FIELDS_memory_blocks(X, t) \
	X(t, LIST_OBJ, value, NULL, F_REQ, REF_OBJ(memory_block))
#define FIELDS_set_memory_blocks(X, t) \
	X(t, LIST_OBJ, mem_blks, "mem-blks", F_PUB, REF_OBJ(memory_block))
#define FIELDS_memory_block_result(X, t)                                 \
	X(t, U64, phys_index, "phys-index", F_REQ, REF_NONE)             \
	X(t, ENUM, response, "response", F_REQ, REF_ENUM(memory_result)) \
	X(t, INT, error_code, "error-code", F_OPT, REF_NONE)
#define FIELDS_memory_block_results(X, t) \
	X(t, LIST_OBJ, value, NULL, F_REQ, REF_OBJ(memory_block_result))
#define FIELDS_memory_block_info(X, t) X(t, U64, size, "size", F_REQ, REF_NONE)

#define FIELDS_pci_address(X, t)                     \
	X(t, INT, domain, "domain", F_REQ, REF_NONE) \
	X(t, INT, bus, "bus", F_REQ, REF_NONE)       \
	X(t, INT, slot, "slot", F_REQ, REF_NONE)     \
	X(t, INT, function, "function", F_REQ, REF_NONE)
#define FIELDS_ccw_address(X, t)                       \
	X(t, INT, cssid, "cssid", F_REQ, REF_NONE)     \
	X(t, INT, ssid, "ssid", F_REQ, REF_NONE)       \
	X(t, INT, subchno, "subchno", F_REQ, REF_NONE) \
	X(t, INT, devno, "devno", F_REQ, REF_NONE)
#define FIELDS_disk_address(X, t)                                                \
	X(t, OBJ, pci_controller, "pci-controller", F_REQ, REF_OBJ(pci_address)) \
	X(t, STR, bus_type, "bus-type", F_REQ, REF_NONE)                         \
	X(t, INT, bus, "bus", F_REQ, REF_NONE)                                   \
	X(t, INT, target, "target", F_REQ, REF_NONE)                             \
	X(t, INT, unit, "unit", F_REQ, REF_NONE)                                 \
	X(t, STR, serial, "serial", F_OPT, REF_NONE)                             \
	X(t, STR, dev, "dev", F_OPT, REF_NONE)                                   \
	X(t, OBJ, ccw_address, "ccw-address", F_OPT, REF_OBJ(ccw_address))
#define FIELDS_fsinfo(X, t)                                                          \
	X(t, STR, name, "name", F_REQ, REF_NONE)                                     \
	X(t, STR, mountpoint, "mountpoint", F_REQ, REF_NONE)                         \
	X(t, STR, type, "type", F_REQ, REF_NONE)                                     \
	X(t, U64, used_bytes, "used-bytes", F_OPT, REF_NONE)                         \
	X(t, U64, total_bytes, "total-bytes", F_OPT, REF_NONE)                       \
	X(t, U64, total_bytes_privileged, "total-bytes-privileged", F_OPT, REF_NONE) \
	X(t, LIST_OBJ, disk, "disk", F_REQ, REF_OBJ(disk_address))
#define FIELDS_fsinfos(X, t) X(t, LIST_OBJ, value, NULL, F_REQ, REF_OBJ(fsinfo))

#define SMART_U128(X, t, member, name)                      \
	X(t, U64, member##_lo, name "-lo", F_REQ, REF_NONE) \
	X(t, U64, member##_hi, name "-hi", F_REQ, REF_NONE)
#define FIELDS_smart(X, t)                                                       \
	X(t, STR, type, "type", F_REQ, REF_NONE)                                 \
	X(t, INT, critical_warning, "critical-warning", F_REQ, REF_NONE)         \
	X(t, INT, temperature, "temperature", F_REQ, REF_NONE)                   \
	X(t, INT, available_spare, "available-spare", F_REQ, REF_NONE)           \
	X(t, INT, available_spare_threshold, "available-spare-threshold", F_REQ, \
	  REF_NONE)                                                              \
	X(t, INT, percentage_used, "percentage-used", F_REQ, REF_NONE)           \
	SMART_U128(X, t, data_units_read, "data-units-read")                     \
	SMART_U128(X, t, data_units_written, "data-units-written")               \
	SMART_U128(X, t, host_read_commands, "host-read-commands")               \
	SMART_U128(X, t, host_write_commands, "host-write-commands")             \
	SMART_U128(X, t, controller_busy_time, "controller-busy-time")           \
	SMART_U128(X, t, power_cycles, "power-cycles")                           \
	SMART_U128(X, t, power_on_hours, "power-on-hours")                       \
	SMART_U128(X, t, unsafe_shutdowns, "unsafe-shutdowns")                   \
	SMART_U128(X, t, media_errors, "media-errors")                           \
	SMART_U128(X, t, error_log_entries, "number-of-error-log-entries")
/* Health of a disk, by the kernel's name of it ("nvme0n1"). */
#define FIELDS_disk_health(X, t)                 \
	X(t, STR, name, "name", F_REQ, REF_NONE) \
	X(t, OBJ, smart, "smart", F_REQ, REF_OBJ(smart))
/*
 * Behind the arguments of a question to the inspector, if there is anything to say: what
 * the policy lets the host see. `only` holds the patterns of each rule with an empty one
 * at its end. What `hide` names are optional fields of the result.
 */
#define FIELDS_shape(X, t)                                  \
	X(t, LIST_STR, only, "only", F_OPT, REF_NONE)       \
	X(t, LIST_STR, exclude, "exclude", F_OPT, REF_NONE) \
	X(t, LIST_STR, hide, "hide", F_OPT, REF_NONE)
/* And behind that: what the inspector cannot find out itself. */
#define FIELDS_question(X, t) \
	X(t, LIST_OBJ, health, "health", F_OPT, REF_OBJ(disk_health))
#define FIELDS_disk(X, t)                                             \
	X(t, STR, name, "name", F_REQ, REF_NONE)                      \
	X(t, BOOL, partition, "partition", F_REQ, REF_NONE)           \
	X(t, LIST_STR, dependencies, "dependencies", F_OPT, REF_NONE) \
	X(t, OBJ, address, "address", F_OPT, REF_OBJ(disk_address))   \
	X(t, STR, alias, "alias", F_OPT, REF_NONE)                    \
	X(t, OBJ, smart, "smart", F_OPT, REF_OBJ(smart))
#define FIELDS_disks(X, t) X(t, LIST_OBJ, value, NULL, F_REQ, REF_OBJ(disk))

#define FIELDS_disk_counters(X, t)                                     \
	X(t, U64, read_sectors, "read-sectors", F_OPT, REF_NONE)       \
	X(t, U64, read_ios, "read-ios", F_OPT, REF_NONE)               \
	X(t, U64, read_merges, "read-merges", F_OPT, REF_NONE)         \
	X(t, U64, write_sectors, "write-sectors", F_OPT, REF_NONE)     \
	X(t, U64, write_ios, "write-ios", F_OPT, REF_NONE)             \
	X(t, U64, write_merges, "write-merges", F_OPT, REF_NONE)       \
	X(t, U64, discard_sectors, "discard-sectors", F_OPT, REF_NONE) \
	X(t, U64, discard_ios, "discard-ios", F_OPT, REF_NONE)         \
	X(t, U64, discard_merges, "discard-merges", F_OPT, REF_NONE)   \
	X(t, U64, flush_ios, "flush-ios", F_OPT, REF_NONE)             \
	X(t, U64, read_ticks, "read-ticks", F_OPT, REF_NONE)           \
	X(t, U64, write_ticks, "write-ticks", F_OPT, REF_NONE)         \
	X(t, U64, discard_ticks, "discard-ticks", F_OPT, REF_NONE)     \
	X(t, U64, flush_ticks, "flush-ticks", F_OPT, REF_NONE)         \
	X(t, U64, ios_pgr, "ios-pgr", F_OPT, REF_NONE)                 \
	X(t, U64, total_ticks, "total-ticks", F_OPT, REF_NONE)         \
	X(t, U64, weight_ticks, "weight-ticks", F_OPT, REF_NONE)
#define FIELDS_disk_stat(X, t)                     \
	X(t, STR, name, "name", F_REQ, REF_NONE)   \
	X(t, U64, major, "major", F_REQ, REF_NONE) \
	X(t, U64, minor, "minor", F_REQ, REF_NONE) \
	X(t, OBJ, stats, "stats", F_REQ, REF_OBJ(disk_counters))
#define FIELDS_disk_stats(X, t) X(t, LIST_OBJ, value, NULL, F_REQ, REF_OBJ(disk_stat))

#define FIELDS_cpu_stat(X, t)                          \
	X(t, STR, type, "type", F_REQ, REF_NONE)       \
	X(t, INT, cpu, "cpu", F_REQ, REF_NONE)         \
	X(t, U64, user, "user", F_REQ, REF_NONE)       \
	X(t, U64, nice, "nice", F_REQ, REF_NONE)       \
	X(t, U64, system, "system", F_REQ, REF_NONE)   \
	X(t, U64, idle, "idle", F_REQ, REF_NONE)       \
	X(t, U64, iowait, "iowait", F_OPT, REF_NONE)   \
	X(t, U64, irq, "irq", F_OPT, REF_NONE)         \
	X(t, U64, softirq, "softirq", F_OPT, REF_NONE) \
	X(t, U64, steal, "steal", F_OPT, REF_NONE)     \
	X(t, U64, guest, "guest", F_OPT, REF_NONE)     \
	X(t, U64, guestnice, "guestnice", F_OPT, REF_NONE)
#define FIELDS_cpu_stats(X, t) X(t, LIST_OBJ, value, NULL, F_REQ, REF_OBJ(cpu_stat))

#define FIELDS_set_password(X, t)                        \
	X(t, STR, username, "username", F_PUB, REF_NONE) \
	X(t, B64, password, "password", F_REQ, REF_NONE) \
	X(t, BOOL, crypted, "crypted", F_PUB, REF_NONE)

/* Program arguments are recorded as they are; an argument is no place for a secret. */
#define FIELDS_exec(X, t)                                                   \
	X(t, STR, path, "path", F_PUB, REF_NONE)                            \
	X(t, LIST_STR, arg, "arg", F_OPT | F_PUB, REF_NONE)                 \
	X(t, LIST_STR, env, "env", F_OPT, REF_NONE)                         \
	X(t, BULK, input_data, "input-data", F_OPT, REF_NONE)               \
	X(t, BOOL_OR_ENUM, capture_output, "capture-output", F_OPT | F_PUB, \
	  REF_ENUM(capture))
#define FIELDS_exec_result(X, t) X(t, INT, pid, "pid", F_REQ, REF_NONE)
/* What an op child found at a path (enum object_type, object_links); or why nothing. */
#define FIELDS_found(X, t)                            \
	X(t, STR, path, "path", F_REQ, REF_NONE)      \
	X(t, STR, real, "real", F_OPT, REF_NONE)      \
	X(t, INT, type, "type", F_REQ, REF_NONE)      \
	X(t, INT, links, "links", F_REQ, REF_NONE)    \
	X(t, BOOL, exists, "exists", F_REQ, REF_NONE) \
	X(t, U64, size, "size", F_REQ, REF_NONE)      \
	X(t, INT, errnum, "errnum", F_REQ, REF_NONE)
/* How a file may be opened, which was decided on: for who is made, how large it may be.
 */
#define FIELDS_may_open(X, t)                      \
	X(t, INT, mode, "mode", F_REQ, REF_NONE)   \
	X(t, STR, owner, "owner", F_OPT, REF_NONE) \
	X(t, U64, size_max, "size-max", F_OPT, REF_NONE)
/* Where a program may be: the first that is there is the one. */
#define FIELDS_exec_find(X, t) X(t, LIST_STR, paths, "paths", F_REQ, REF_NONE)
/*
 * What the spawner is to run. Its input is beside it: in a memfd, or, if it is piped, in
 * a pipe that the spawner need not read.
 */
#define FIELDS_spawn(X, t)                                       \
	X(t, STR, path, "path", F_REQ, REF_NONE)                 \
	X(t, LIST_STR, argv, "argv", F_REQ, REF_NONE)            \
	X(t, LIST_STR, env, "env", F_REQ, REF_NONE)              \
	X(t, BULK, input, "input", F_OPT, REF_NONE)              \
	X(t, ENUM, capture, "capture", F_REQ, REF_ENUM(capture)) \
	X(t, STR, user, "user", F_OPT, REF_NONE)                 \
	X(t, STR, group, "group", F_OPT, REF_NONE)               \
	X(t, STR, cwd, "cwd", F_OPT, REF_NONE)                   \
	X(t, U64, timeout_ms, "timeout-ms", F_OPT, REF_NONE)     \
	X(t, U64, output_max, "output-max", F_OPT, REF_NONE)     \
	X(t, U64, memory_max, "memory-max", F_OPT, REF_NONE)     \
	X(t, U64, tasks_max, "tasks-max", F_OPT, REF_NONE)       \
	X(t, BOOL, keep, "keep", F_REQ, REF_NONE)                \
	X(t, BOOL, piped, "piped", F_OPT, REF_NONE)
#define FIELDS_spawned(X, t)                   \
	X(t, INT, pid, "pid", F_REQ, REF_NONE) \
	X(t, STR, unit, "unit", F_OPT, REF_NONE)
/* A program has ended. */
#define FIELDS_ended(X, t)                                  \
	X(t, INT, pid, "pid", F_REQ, REF_NONE)              \
	X(t, INT, exitcode, "exitcode", F_OPT, REF_NONE)    \
	X(t, INT, signal, "signal", F_OPT, REF_NONE)        \
	X(t, BOOL, timed_out, "timed-out", F_REQ, REF_NONE) \
	X(t, U64, out_bytes, "out-bytes", F_REQ, REF_NONE)  \
	X(t, BOOL, truncated, "truncated", F_REQ, REF_NONE)
#define FIELDS_exec_status(X, t) X(t, INT, pid, "pid", F_PUB, REF_NONE)
#define FIELDS_exec_status_result(X, t)                             \
	X(t, BOOL, exited, "exited", F_REQ, REF_NONE)               \
	X(t, INT, exitcode, "exitcode", F_OPT, REF_NONE)            \
	X(t, INT, signal, "signal", F_OPT, REF_NONE)                \
	X(t, BULK, out_data, "out-data", F_OPT, REF_NONE)           \
	X(t, BULK, err_data, "err-data", F_OPT, REF_NONE)           \
	X(t, BOOL, out_truncated, "out-truncated", F_OPT, REF_NONE) \
	X(t, BOOL, err_truncated, "err-truncated", F_OPT, REF_NONE)

#define FIELDS_host_name(X, t) X(t, STR, host_name, "host-name", F_REQ, REF_NONE)
#define FIELDS_user(X, t)                        \
	X(t, STR, user, "user", F_REQ, REF_NONE) \
	X(t, NUM, login_time, "login-time", F_REQ, REF_NONE)
#define FIELDS_users(X, t) X(t, LIST_OBJ, value, NULL, F_REQ, REF_OBJ(user))
#define FIELDS_timezone(X, t)                    \
	X(t, STR, zone, "zone", F_OPT, REF_NONE) \
	X(t, INT, offset, "offset", F_REQ, REF_NONE)
#define FIELDS_osinfo(X, t)                                          \
	X(t, STR, kernel_release, "kernel-release", F_OPT, REF_NONE) \
	X(t, STR, kernel_version, "kernel-version", F_OPT, REF_NONE) \
	X(t, STR, machine, "machine", F_OPT, REF_NONE)               \
	X(t, STR, id, "id", F_OPT, REF_NONE)                         \
	X(t, STR, name, "name", F_OPT, REF_NONE)                     \
	X(t, STR, pretty_name, "pretty-name", F_OPT, REF_NONE)       \
	X(t, STR, version, "version", F_OPT, REF_NONE)               \
	X(t, STR, version_id, "version-id", F_OPT, REF_NONE)         \
	X(t, STR, variant, "variant", F_OPT, REF_NONE)               \
	X(t, STR, variant_id, "variant-id", F_OPT, REF_NONE)
/* Windows only; declared for the name, never filled on Linux (protocol 3.42). */
#define FIELDS_device(X, t)  X(t, STR, driver_name, "driver-name", F_REQ, REF_NONE)
#define FIELDS_devices(X, t) X(t, LIST_OBJ, value, NULL, F_REQ, REF_OBJ(device))

#define FIELDS_ssh_user(X, t) X(t, STR, username, "username", F_PUB, REF_NONE)
#define FIELDS_ssh_keys(X, t) X(t, LIST_STR, keys, "keys", F_REQ, REF_NONE)
#define FIELDS_ssh_add(X, t)                             \
	X(t, STR, username, "username", F_PUB, REF_NONE) \
	X(t, LIST_STR, keys, "keys", F_REQ, REF_NONE)    \
	X(t, BOOL, reset, "reset", F_OPT | F_PUB, REF_NONE)
#define FIELDS_ssh_remove(X, t)                          \
	X(t, STR, username, "username", F_PUB, REF_NONE) \
	X(t, LIST_STR, keys, "keys", F_REQ, REF_NONE)

/* Every list, a list before those that refer to it. */
/* The formatter never settles on this one. */
/* clang-format off */
#define SCHEMA_TABLE(X)                                                                  \
	X(empty) X(integer) X(text) X(sync) X(info_command) X(info) X(set_time)          \
	X(shutdown) X(file_open) X(file_handle) X(file_read) X(file_read_result)         \
	X(file_write) X(file_write_result) X(file_seek) X(file_seek_result)              \
	X(freeze_list) X(fstrim) X(trim_path) X(trim_result) X(fs_found) X(fs_may)       \
	X(fs_held) X(fs_dev) X(fs_rescue) X(hook_find) X(hook) X(hooks) X(freeze_go)     \
	X(frozen) X(thaw) X(thawed) X(ip_address)                                        \
	X(net_stats) X(net_interface) X(net_interfaces) X(net_route)                     \
	X(net_routes) X(load) X(vcpu) X(vcpus) X(set_vcpus) X(memory_block)              \
	X(memory_blocks) X(set_memory_blocks) X(memory_block_result)                     \
	X(memory_block_results) X(memory_block_info) X(pci_address)                      \
	X(ccw_address) X(disk_address) X(fsinfo) X(fsinfos) X(smart) X(shape) X(disk_health)      \
	X(question) X(disk) X(disks) X(disk_counters) X(disk_stat) X(disk_stats) X(cpu_stat)                 \
	X(cpu_stats) X(set_password) X(exec) X(exec_result) X(found) X(may_open) X(exec_find) X(spawn) X(spawned) X(ended) X(exec_status)               \
	X(exec_status_result) X(host_name) X(user) X(users) X(timezone) X(osinfo)        \
	X(device) X(devices) X(ssh_user) X(ssh_keys) X(ssh_add) X(ssh_remove)            \
	X(change) X(account_find) X(gid) X(account) X(keys) X(power)
/* clang-format on */

/* ---- columns of the table ---- */

/* Who carries an operation out. */
enum carrier {
	BY_NOBODY,    /* not in this build: decided, then answered as not supported */
	BY_FRONTEND,  /* session commands: answered where they arrive, counted */
	BY_CHILD,     /* by an op child of the worker */
	BY_INSPECTOR, /* by the inspector */
	BY_HANDLE,    /* by the op child that is the open file */
	BY_SPAWNER,   /* by the spawner; its presence costs an unconfined process */
	BY_FREEZE,    /* by the worker's state of the freeze, and children of it */
	BY_STEPS,     /* by op children and programs, one after the other */
};

/* Groups of the policy language (POLICY.md section 3). */
#define GROUP_TABLE(X)                   \
	X(SESSION, 0, "@session")        \
	X(INFO, 1, "@info")              \
	X(FREEZE, 2, "@freeze")          \
	X(TRIM, 3, "@trim")              \
	X(POWER, 4, "@power")            \
	X(SUSPEND, 5, "@suspend")        \
	X(TIME, 6, "@time")              \
	X(HOTPLUG, 7, "@hotplug")        \
	X(EXEC, 8, "@exec")              \
	X(FILE_READ, 9, "@file-read")    \
	X(FILE_WRITE, 10, "@file-write") \
	X(PASSWORD, 11, "@password")     \
	X(SSH_KEYS, 12, "@ssh-keys")

#define GROUP_ENUM(tag, bit, name) GROUP_##tag = 1u << (bit),
enum op_group { GROUP_TABLE(GROUP_ENUM) };

/* A command of both file groups is allowed where one of them is. */
#define GROUP_FILE (GROUP_FILE_READ | GROUP_FILE_WRITE)

/* How a decision is recorded (AUDIT.md). */
enum audit_class {
	AUDIT_COUNT, /* counted by the frontend */
	AUDIT_READ,  /* one record each; equal polls may become one with a count */
	AUDIT_ACT,   /* one record each, always */
};

#define OPF_FROZEN_OK 1u /* allowed while file systems are frozen (protocol 2) */
#define OPF_MUTATES   2u /* changes something in the guest */
#define OPF_NO_REPLY  4u /* answers only when it fails (protocol 1.3) */
/* Not a command of Linux: known in lists and policies, not found by clients. */
#define OPF_ELSEWHERE 8u
/* No command but a part of one, which only a policy names: see disk_smart. */
#define OPF_PART 16u
/* Decided on again, with what an op child found where the request points. */
#define OPF_OBJECT 32u
/* One at a time: a second is refused while the first is under way. */
#define OPF_ALONE 64u

#define CAPS_NONE  0ull
#define CAPS_ADMIN (1ull << CAP_SYS_ADMIN)
#define CAPS_TIME  (1ull << CAP_SYS_TIME)
#define CAPS_BOOT  (1ull << CAP_SYS_BOOT)
#define CAPS_FILE                                                                     \
	(1ull << CAP_DAC_OVERRIDE | 1ull << CAP_DAC_READ_SEARCH | 1ull << CAP_CHOWN | \
	 1ull << CAP_FOWNER)
#define CAPS_SEARCH (1ull << CAP_DAC_READ_SEARCH)
/* To hold, freeze, thaw and trim what is mounted wherever root alone may go. */
#define CAPS_MOUNTS (CAPS_ADMIN | CAPS_SEARCH)
/* To work in a user's home with that user's rights: for the change, and no longer. */
#define CAPS_HOME (1ull << CAP_SETUID | 1ull << CAP_SETGID)

/*
 * X(tag, number, wire name, arguments, result, carrier, groups, capabilities, flags,
 *   time limit in seconds, audit class)
 *
 * Numbers are the ones between our processes; they never change meaning within a
 * release and a number that is used twice does not compile. The order is that of the
 * schema; guest-info lists it so.
 */
#define OP_TABLE(X)                                                                      \
	X(sync_delimited, 1, "guest-sync-delimited", sync, integer, BY_FRONTEND,         \
	  GROUP_SESSION, CAPS_NONE, OPF_FROZEN_OK, 0, AUDIT_COUNT)                       \
	X(sync, 2, "guest-sync", sync, integer, BY_FRONTEND, GROUP_SESSION, CAPS_NONE,   \
	  OPF_FROZEN_OK, 0, AUDIT_COUNT)                                                 \
	X(ping, 3, "guest-ping", empty, empty, BY_FRONTEND, GROUP_SESSION, CAPS_NONE,    \
	  OPF_FROZEN_OK, 0, AUDIT_COUNT)                                                 \
	X(get_time, 4, "guest-get-time", empty, integer, BY_INSPECTOR, GROUP_INFO,       \
	  CAPS_NONE, 0, 10, AUDIT_READ)                                                  \
	X(set_time, 5, "guest-set-time", set_time, empty, BY_CHILD, GROUP_TIME,          \
	  CAPS_TIME, OPF_MUTATES | OPF_OBJECT | OPF_ALONE, 30, AUDIT_ACT)                \
	X(info, 6, "guest-info", empty, info, BY_FRONTEND, GROUP_SESSION, CAPS_NONE,     \
	  OPF_FROZEN_OK, 0, AUDIT_COUNT)                                                 \
	X(shutdown, 7, "guest-shutdown", shutdown, empty, BY_STEPS, GROUP_POWER,         \
	  CAPS_NONE, OPF_MUTATES | OPF_NO_REPLY | OPF_ALONE, 60, AUDIT_ACT)              \
	X(file_open, 8, "guest-file-open", file_open, integer, BY_CHILD, GROUP_FILE,     \
	  CAPS_FILE, OPF_MUTATES | OPF_OBJECT, 30, AUDIT_ACT)                            \
	X(file_close, 9, "guest-file-close", file_handle, empty, BY_HANDLE, GROUP_FILE,  \
	  CAPS_NONE, OPF_MUTATES, 30, AUDIT_ACT)                                         \
	X(file_read, 10, "guest-file-read", file_read, file_read_result, BY_HANDLE,      \
	  GROUP_FILE_READ, CAPS_NONE, 0, 60, AUDIT_READ)                                 \
	X(file_write, 11, "guest-file-write", file_write, file_write_result, BY_HANDLE,  \
	  GROUP_FILE_WRITE, CAPS_NONE, OPF_MUTATES, 60, AUDIT_ACT)                       \
	X(file_seek, 12, "guest-file-seek", file_seek, file_seek_result, BY_HANDLE,      \
	  GROUP_FILE, CAPS_NONE, 0, 30, AUDIT_READ)                                      \
	X(file_flush, 13, "guest-file-flush", file_handle, empty, BY_HANDLE,             \
	  GROUP_FILE_WRITE, CAPS_NONE, OPF_MUTATES, 60, AUDIT_ACT)                       \
	X(fsfreeze_status, 14, "guest-fsfreeze-status", empty, text, BY_FREEZE,          \
	  GROUP_FREEZE, CAPS_NONE, OPF_FROZEN_OK, 600, AUDIT_READ)                       \
	X(fsfreeze_freeze, 15, "guest-fsfreeze-freeze", empty, integer, BY_FREEZE,       \
	  GROUP_FREEZE, CAPS_MOUNTS, OPF_MUTATES, 600, AUDIT_ACT)                        \
	X(fsfreeze_freeze_list, 16, "guest-fsfreeze-freeze-list", freeze_list, integer,  \
	  BY_FREEZE, GROUP_FREEZE, CAPS_MOUNTS, OPF_MUTATES, 600, AUDIT_ACT)             \
	X(fsfreeze_thaw, 17, "guest-fsfreeze-thaw", empty, integer, BY_FREEZE,           \
	  GROUP_FREEZE, CAPS_MOUNTS, OPF_MUTATES | OPF_FROZEN_OK, 180, AUDIT_ACT)        \
	X(fstrim, 18, "guest-fstrim", fstrim, trim_result, BY_CHILD, GROUP_TRIM,         \
	  CAPS_MOUNTS, OPF_MUTATES | OPF_ALONE, 600, AUDIT_ACT)                          \
	X(suspend_disk, 19, "guest-suspend-disk", empty, empty, BY_STEPS, GROUP_SUSPEND, \
	  CAPS_NONE, OPF_MUTATES | OPF_NO_REPLY | OPF_ALONE, 60, AUDIT_ACT)              \
	X(suspend_ram, 20, "guest-suspend-ram", empty, empty, BY_STEPS, GROUP_SUSPEND,   \
	  CAPS_NONE, OPF_MUTATES | OPF_NO_REPLY | OPF_ALONE, 60, AUDIT_ACT)              \
	X(suspend_hybrid, 21, "guest-suspend-hybrid", empty, empty, BY_STEPS,            \
	  GROUP_SUSPEND, CAPS_NONE, OPF_MUTATES | OPF_NO_REPLY | OPF_ALONE, 60,          \
	  AUDIT_ACT)                                                                     \
	X(network_get_interfaces, 22, "guest-network-get-interfaces", empty,             \
	  net_interfaces, BY_INSPECTOR, GROUP_INFO, CAPS_NONE, 0, 10, AUDIT_READ)        \
	X(get_vcpus, 23, "guest-get-vcpus", empty, vcpus, BY_INSPECTOR, GROUP_INFO,      \
	  CAPS_NONE, 0, 10, AUDIT_READ)                                                  \
	X(set_vcpus, 24, "guest-set-vcpus", set_vcpus, integer, BY_CHILD, GROUP_HOTPLUG, \
	  CAPS_NONE, OPF_MUTATES | OPF_OBJECT | OPF_ALONE, 60, AUDIT_ACT)                \
	X(get_disks, 25, "guest-get-disks", empty, disks, BY_INSPECTOR, GROUP_INFO,      \
	  CAPS_NONE, 0, 10, AUDIT_READ)                                                  \
	X(get_fsinfo, 26, "guest-get-fsinfo", empty, fsinfos, BY_INSPECTOR, GROUP_INFO,  \
	  CAPS_NONE, 0, 10, AUDIT_READ)                                                  \
	X(set_user_password, 27, "guest-set-user-password", set_password, empty,         \
	  BY_STEPS, GROUP_PASSWORD, CAPS_NONE, OPF_MUTATES | OPF_OBJECT, 60, AUDIT_ACT)  \
	X(get_memory_blocks, 28, "guest-get-memory-blocks", empty, memory_blocks,        \
	  BY_INSPECTOR, GROUP_INFO, CAPS_NONE, 0, 10, AUDIT_READ)                        \
	X(set_memory_blocks, 29, "guest-set-memory-blocks", set_memory_blocks,           \
	  memory_block_results, BY_CHILD, GROUP_HOTPLUG, CAPS_NONE,                      \
	  OPF_MUTATES | OPF_OBJECT | OPF_ALONE, 120, AUDIT_ACT)                          \
	X(get_memory_block_info, 30, "guest-get-memory-block-info", empty,               \
	  memory_block_info, BY_INSPECTOR, GROUP_INFO, CAPS_NONE, 0, 10, AUDIT_READ)     \
	X(exec_status, 31, "guest-exec-status", exec_status, exec_status_result,         \
	  BY_SPAWNER, GROUP_EXEC, CAPS_NONE, 0, 30, AUDIT_READ)                          \
	X(exec, 32, "guest-exec", exec, exec_result, BY_SPAWNER, GROUP_EXEC, CAPS_NONE,  \
	  OPF_MUTATES | OPF_OBJECT, 30, AUDIT_ACT)                                       \
	X(get_host_name, 33, "guest-get-host-name", empty, host_name, BY_INSPECTOR,      \
	  GROUP_INFO, CAPS_NONE, 0, 10, AUDIT_READ)                                      \
	X(get_users, 34, "guest-get-users", empty, users, BY_INSPECTOR, GROUP_INFO,      \
	  CAPS_NONE, 0, 10, AUDIT_READ)                                                  \
	X(get_timezone, 35, "guest-get-timezone", empty, timezone, BY_INSPECTOR,         \
	  GROUP_INFO, CAPS_NONE, 0, 10, AUDIT_READ)                                      \
	X(get_osinfo, 36, "guest-get-osinfo", empty, osinfo, BY_INSPECTOR, GROUP_INFO,   \
	  CAPS_NONE, 0, 10, AUDIT_READ)                                                  \
	X(get_devices, 37, "guest-get-devices", empty, devices, BY_NOBODY, GROUP_INFO,   \
	  CAPS_NONE, OPF_ELSEWHERE, 10, AUDIT_READ)                                      \
	X(ssh_get_authorized_keys, 38, "guest-ssh-get-authorized-keys", ssh_user,        \
	  ssh_keys, BY_STEPS, GROUP_SSH_KEYS, CAPS_NONE, OPF_OBJECT, 60, AUDIT_ACT)      \
	X(ssh_add_authorized_keys, 39, "guest-ssh-add-authorized-keys", ssh_add, empty,  \
	  BY_STEPS, GROUP_SSH_KEYS, CAPS_NONE, OPF_MUTATES | OPF_OBJECT, 60, AUDIT_ACT)  \
	X(ssh_remove_authorized_keys, 40, "guest-ssh-remove-authorized-keys",            \
	  ssh_remove, empty, BY_STEPS, GROUP_SSH_KEYS, CAPS_NONE,                        \
	  OPF_MUTATES | OPF_OBJECT, 60, AUDIT_ACT)                                       \
	X(get_diskstats, 41, "guest-get-diskstats", empty, disk_stats, BY_INSPECTOR,     \
	  GROUP_INFO, CAPS_NONE, 0, 10, AUDIT_READ)                                      \
	X(get_cpustats, 42, "guest-get-cpustats", empty, cpu_stats, BY_INSPECTOR,        \
	  GROUP_INFO, CAPS_NONE, 0, 10, AUDIT_READ)                                      \
	X(network_get_route, 43, "guest-network-get-route", empty, net_routes,           \
	  BY_INSPECTOR, GROUP_INFO, CAPS_NONE, 0, 10, AUDIT_READ)                        \
	X(get_load, 44, "guest-get-load", empty, load, BY_INSPECTOR, GROUP_INFO,         \
	  CAPS_NONE, 0, 10, AUDIT_READ)                                                  \
	X(disk_smart, 45, "guest-get-disks smart", empty, question, BY_CHILD, 0,         \
	  CAPS_ADMIN, OPF_PART, 5, AUDIT_READ)                                           \
	X(exec_find, 46, "guest-exec find", exec_find, found, BY_CHILD, 0, CAPS_SEARCH,  \
	  OPF_PART, 10, AUDIT_READ)                                                      \
	X(fs_list, 47, "guest-fsfreeze-freeze list", freeze_list, empty, BY_CHILD, 0,    \
	  CAPS_MOUNTS, OPF_PART, 60, AUDIT_READ)                                         \
	X(fs_rescue, 48, "guest-fsfreeze-thaw rescue", fs_rescue, integer, BY_CHILD, 0,  \
	  CAPS_MOUNTS, OPF_PART | OPF_FROZEN_OK, 180, AUDIT_READ)                        \
	X(hook_find, 49, "guest-fsfreeze hooks", hook_find, hooks, BY_CHILD, 0,          \
	  CAPS_SEARCH, OPF_PART | OPF_FROZEN_OK, 10, AUDIT_READ)                         \
	X(account_find, 50, "account", account_find, account, BY_CHILD, 0, CAPS_NONE,    \
	  OPF_PART, 10, AUDIT_READ)                                                      \
	X(keys, 51, "authorized keys", keys, ssh_keys, BY_CHILD, 0, CAPS_HOME, OPF_PART, \
	  30, AUDIT_READ)                                                                \
	X(power_signal, 52, "guest-shutdown signal", power, empty, BY_CHILD, 0,          \
	  CAPS_NONE, OPF_PART, 10, AUDIT_READ)                                           \
	X(power_force, 53, "guest-shutdown force", power, empty, BY_CHILD, 0, CAPS_BOOT, \
	  OPF_PART, 30, AUDIT_READ)                                                      \
	X(suspend_look, 54, "guest-suspend look", power, empty, BY_CHILD, 0, CAPS_NONE,  \
	  OPF_PART, 10, AUDIT_READ)                                                      \
	X(suspend_write, 55, "guest-suspend write", power, empty, BY_CHILD, 0,           \
	  CAPS_NONE, OPF_PART, 60, AUDIT_READ)                                           \
	OP_TABLE_TEST(X)

/*
 * Operations that only test builds have, so that hangs, large results and floods can be
 * made at will. A production build has none of them, and its table hash differs.
 */
#ifdef POSTERN_TEST_OPS
#define FIELDS_test_sleep(X, t) X(t, INT, ms, "ms", F_PUB, REF_NONE)
#define FIELDS_test_blob(X, t)  X(t, INT, size, "size", F_PUB, REF_NONE)
#define SCHEMA_TABLE_TEST(X)    X(test_sleep) X(test_blob)
#define OP_TABLE_TEST(X)                                                                 \
	X(test_sleep, 60, "test-sleep", test_sleep, empty, BY_CHILD, GROUP_INFO,         \
	  CAPS_NONE, 0, 5, AUDIT_ACT)                                                    \
	X(test_blob, 61, "test-blob", test_blob, text, BY_CHILD, GROUP_INFO, CAPS_NONE,  \
	  0, 10, AUDIT_ACT)                                                              \
	X(test_act, 62, "test-act", test_sleep, empty, BY_CHILD, GROUP_EXEC, CAPS_ADMIN, \
	  OPF_MUTATES, 10, AUDIT_ACT)
#else
#define SCHEMA_TABLE_TEST(X)
#define OP_TABLE_TEST(X)
#endif

SCHEMA_TABLE(SCHEMA_STRUCT)
SCHEMA_TABLE_TEST(SCHEMA_STRUCT)

#define OP_ENUM(tag, number, ...) OP_##tag = (number),
enum op_number { OP_NONE = 0, OP_TABLE(OP_ENUM) };

/* Numbers lie below this, so that a set of operations is one 64-bit word. */
#define OP_MAX 64

struct op {
	const char *name;
	const struct schema *args;
	const struct schema *result;
	enum carrier carrier;
	uint32_t groups;
	uint64_t caps; /* capabilities its op child keeps, by number */
	uint32_t flags;
	uint32_t limit_s;
	enum audit_class audit;
};

/* The row of NUMBER, or NULL if there is none. */
const struct op *op_by_number(uint32_t number);

/* The number of the command so named (exact, LEN bytes), or OP_NONE. */
uint32_t op_by_name(const char *name, size_t len);

/* The next number after NUMBER that is a command's, in table order; OP_NONE: no more. */
uint32_t op_after(uint32_t number);

/* The group's name ("@info"), or NULL; GROUP is one bit. */
const char *group_name(uint32_t group);

/* The group so named, one bit; 0 if there is none. */
uint32_t group_by_name(const char *name);

/*
 * A hash of everything in the tables that two processes must agree on. It parts halves
 * of different builds at the hello; it is no defence against an attacker.
 */
uint64_t ops_hash(void);

#endif
