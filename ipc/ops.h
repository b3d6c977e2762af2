/*
 * ipc/ops.h - the table of operations: every command of the protocol, once
 *
 * Runs in:   all processes
 * Input:     none; const data
 * May touch: nothing
 * Must not:  differ between two processes that talk (the hello carries its hash)
 *
 * To add a command: its argument and result lists here, one row in OP_TABLE
 * (ipc/commands.h), one handler in the program that the row names, one fixture.
 */
#ifndef POSTERN_IPC_OPS_H
#define POSTERN_IPC_OPS_H

#include "ipc/commands.h"
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

/* Of the operations that only test builds have (ipc/commands.h). */
#ifdef POSTERN_TEST_OPS
#define FIELDS_test_sleep(X, t) X(t, INT, ms, "ms", F_PUB, REF_NONE)
#define FIELDS_test_blob(X, t)  X(t, INT, size, "size", F_PUB, REF_NONE)
#define SCHEMA_TABLE_TEST(X)    X(test_sleep) X(test_blob)
#else
#define SCHEMA_TABLE_TEST(X)
#endif

SCHEMA_TABLE(SCHEMA_STRUCT)
SCHEMA_TABLE_TEST(SCHEMA_STRUCT)

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
