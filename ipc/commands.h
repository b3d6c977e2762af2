/*
 * ipc/commands.h - the commands of the protocol: number, name and what is due to each
 *
 * Runs in:   all processes
 * Input:     none; const data
 * May touch: nothing
 * Must not:  differ between two processes that talk (the hello carries a hash of it)
 *
 * What their arguments and results consist of is in ipc/ops.h, for who looks at them.
 */
#ifndef POSTERN_IPC_COMMANDS_H
#define POSTERN_IPC_COMMANDS_H

#include <linux/capability.h>

#include "ipc/util.h"

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
#define OP_TABLE_TEST(X)                                                                 \
	X(test_sleep, 60, "test-sleep", test_sleep, empty, BY_CHILD, GROUP_INFO,         \
	  CAPS_NONE, 0, 5, AUDIT_ACT)                                                    \
	X(test_blob, 61, "test-blob", test_blob, text, BY_CHILD, GROUP_INFO, CAPS_NONE,  \
	  0, 10, AUDIT_ACT)                                                              \
	X(test_act, 62, "test-act", test_sleep, empty, BY_CHILD, GROUP_EXEC, CAPS_ADMIN, \
	  OPF_MUTATES, 10, AUDIT_ACT)
#else
#define OP_TABLE_TEST(X)
#endif

#define OP_ENUM(tag, number, ...) OP_##tag = (number),
enum op_number { OP_NONE = 0, OP_TABLE(OP_ENUM) };

/* Numbers lie below this, so that a set of operations is one 64-bit word. */
#define OP_MAX 64

/* Bits OPF_* of the command NUMBER, or of the part of one; 0 if there is none. */
uint32_t op_flags(uint32_t number);

/* Its name, or NULL. */
const char *op_name(uint32_t number);

/* The number of the command so named (exact, LEN bytes), or OP_NONE. */
uint32_t op_by_name(const char *name, size_t len);

/* The next number after NUMBER that is a command's, in table order; OP_NONE: no more. */
uint32_t op_after(uint32_t number);

#endif
