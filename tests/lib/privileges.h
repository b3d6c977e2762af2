/*
 * tests/lib/privileges.h - which policy leaves the worker which privilege
 *
 * Runs in:   test_privileges; tests/integration/privileges, which prints it
 * Input:     none; const data
 * May touch: nothing
 * Must not:  be computed from what it is held against
 */
#ifndef POSTERN_TESTS_PRIVILEGES_H
#define POSTERN_TESTS_PRIVILEGES_H

#include "sandbox/needs.h"

/*
 * What the worker may try once it is sealed, by column:
 *
 *   K  its filter kills it           P  refused: the capability is missing
 *   A  refused by Landlock           T  let through
 *
 * Of files: read (r) and write (w) in /etc, /sys, /dev, /proc and elsewhere (/srv); make
 * a file, a directory there, rename, remove; and read, write the real /etc/shadow.
 */
#define PRIVILEGE_COLUMNS                                                              \
	"freeze", "thaw", "trim", "smart", "set the real-time clock", "set the clock", \
		"have init power off", "reboot", "setfsuid", "read etc", "write etc",  \
		"read sys", "write sys", "read dev", "write dev", "read proc",         \
		"read srv", "write srv", "make", "mkdir", "rename", "remove",          \
		"read shadow", "write shadow"

struct privilege_row {
	const char *name;
	const char *policy;  /* text of a policy file */
	const char *systemd; /* needs_text, where systemd takes signals */
	const char *other;   /* and where init takes none */
	const char *files;   /* sandbox_beneath_text */
	const char *tries;   /* a letter for each column, blanks between groups */
};

#define PRIVILEGE_PROFILE(name) "[policy]\nbase = " name "\n"
#define PRIVILEGE_NONE          PRIVILEGE_PROFILE("none")
#define PRIVILEGE_RULE(name, command, more) \
	"[rule \"" name "\"]\neffect = allow\ncommand = " command "\n" more

#define PRIVILEGE_ALL                                                        \
	"chown dac_override dac_read_search fowner setgid setuid sys_admin " \
	"sys_boot sys_time spawner"

static const struct needs_where privilege_systemd = {.systemd = true,
						     .init_by_signal = true};
static const struct needs_where privilege_other = {0};

/* clang-format off */
static const struct privilege_row privilege_rows[] = {
	{"information and shutdown",
	 PRIVILEGE_NONE PRIVILEGE_RULE("info", "@info", "")
	 PRIVILEGE_RULE("shutdown", "guest-shutdown", ""),
	 "no-spawner",
	 "dac_read_search spawner",
	 "read /proc",
	 "KKKK KKTKK AA AA AA T AA AKKK AA"},
	{"profile none", PRIVILEGE_PROFILE("none"),
	 "no-spawner",
	 "no-spawner",
	 "none",
	 "KKKK KKKKK KK KK KK K KK KKKK KK"},
	{"profile confidential", PRIVILEGE_PROFILE("confidential"),
	 "dac_read_search sys_admin no-spawner",
	 "dac_read_search sys_admin spawner",
	 "read /",
	 "TTTK KKTKK TA TA TA T TA AKKK TA"},
	{"profile safe", PRIVILEGE_PROFILE("safe"),
	 "dac_read_search sys_admin sys_time no-spawner",
	 "dac_read_search sys_admin sys_time spawner",
	 "read /, write /sys",
	 "TTTK TTTKK TA TT TA T TA AKKK TA"},
	{"profile libvirt", PRIVILEGE_PROFILE("libvirt"),
	 "dac_read_search sys_admin sys_time spawner",
	 "dac_read_search sys_admin sys_time spawner",
	 "read /, write /sys",
	 "TTTK TTTKK TA TT TA T TA AKKK TA"},
	{"profile proxmox", PRIVILEGE_PROFILE("proxmox"),
	 "dac_read_search sys_admin spawner",
	 "dac_read_search sys_admin spawner",
	 "read /, write /sys",
	 "TTTK KKTKK TA TT TA T TA AKKK TA"},
	{"profile kubevirt", PRIVILEGE_PROFILE("kubevirt"),
	 "dac_read_search sys_admin sys_time no-spawner",
	 "dac_read_search sys_admin sys_time spawner",
	 "read /",
	 "TTTK TTTKK TA TA TA T TA AKKK TA"},
	{"profile openstack", PRIVILEGE_PROFILE("openstack"),
	 "dac_read_search sys_admin sys_time no-spawner",
	 "dac_read_search sys_admin sys_time spawner",
	 "read /",
	 "TTTK TTTKK TA TA TA T TA AKKK TA"},
	{"profile legacy", PRIVILEGE_PROFILE("legacy"),
	 PRIVILEGE_ALL,
	 PRIVILEGE_ALL,
	 "read /, write /",
	 "TTTT TTTTT TT TT TT T TT TTTT TT"},
	{"information",
	 PRIVILEGE_NONE PRIVILEGE_RULE("info", "@info", ""),
	 "no-spawner",
	 "no-spawner",
	 "none",
	 "KKKK KKKKK KK KK KK K KK KKKK KK"},
	{"shutdown by force",
	 PRIVILEGE_NONE PRIVILEGE_RULE("shutdown", "guest-shutdown", "force = yes\n"),
	 "sys_boot no-spawner",
	 "dac_read_search sys_boot spawner",
	 "read /proc",
	 "KKKK KKTTK AA AA AA T AA AKKK AA"},
	{"status of a freeze",
	 PRIVILEGE_NONE PRIVILEGE_RULE("status", "guest-fsfreeze-status", ""),
	 "no-spawner",
	 "no-spawner",
	 "none",
	 "KKKK KKKKK KK KK KK K KK KKKK KK"},
	{"freeze", PRIVILEGE_NONE PRIVILEGE_RULE("freeze", "@freeze", ""),
	 "dac_read_search sys_admin no-spawner",
	 "dac_read_search sys_admin no-spawner",
	 "read /",
	 "TTTK KKKKK TA TA TA T TA AKKK TA"},
	{"trim", PRIVILEGE_NONE PRIVILEGE_RULE("trim", "@trim", ""),
	 "dac_read_search sys_admin no-spawner",
	 "dac_read_search sys_admin no-spawner",
	 "read /",
	 "KTTK KKKKK TA TA TA T TA AKKK TA"},
	{"clock", PRIVILEGE_NONE PRIVILEGE_RULE("clock", "@time", ""),
	 "sys_time no-spawner",
	 "sys_time no-spawner",
	 "read /dev, read /etc",
	 "KKKK TTKKK TA AA TA A AA AKKK TA"},
	{"processors", PRIVILEGE_NONE PRIVILEGE_RULE("cpus", "guest-set-vcpus", ""),
	 "no-spawner",
	 "no-spawner",
	 "read /sys, write /sys",
	 "KKKK KKKKK AA TT AA A AA AKKK AA"},
	{"suspend", PRIVILEGE_NONE PRIVILEGE_RULE("suspend", "@suspend", ""),
	 "dac_read_search spawner",
	 "no-spawner",
	 "read /sys, write /sys",
	 "KKKK KKKKK AA TT AA A AA AKKK AA"},
	{"health of disks",
	 PRIVILEGE_NONE PRIVILEGE_RULE("disks", "guest-get-disks", "smart = yes\n"),
	 "sys_admin no-spawner",
	 "sys_admin no-spawner",
	 "read /sys, read /dev",
	 "KKKT KKKKK AA TA TA A AA AKKK AA"},
	{"files to be read",
	 PRIVILEGE_NONE PRIVILEGE_RULE("files", "@file-read", "path-beneath = /srv\n"),
	 "dac_read_search no-spawner",
	 "dac_read_search no-spawner",
	 "read /",
	 "KKKK KKKKK TK TK TK T TK KKKK TK"},
	{"files to be read, by rules for both",
	 PRIVILEGE_NONE PRIVILEGE_RULE("files", "@file-read ; @file-write",
				       "open-mode = read\n"),
	 "dac_read_search no-spawner",
	 "dac_read_search no-spawner",
	 "read /",
	 "KKKK KKKKK TK TK TK T TK KKKK TK"},
	{"files", PRIVILEGE_NONE PRIVILEGE_RULE("files", "@file-read ; @file-write",
						"path-beneath = /srv\n"),
	 "chown dac_override dac_read_search fowner no-spawner",
	 "chown dac_override dac_read_search fowner no-spawner",
	 "read /, write /",
	 "KKKK KKKKK TT TT TT T TT TKKT TT"},
	{"files in the end",
	 "[policy]\nbase = none\nmode = complain\nceiling = legacy\n"
	 PRIVILEGE_RULE("info", "@info", ""),
	 PRIVILEGE_ALL,
	 PRIVILEGE_ALL,
	 "read /, write /",
	 "TTTT TTTTT TT TT TT T TT TTTT TT"},
	{"programs", PRIVILEGE_NONE PRIVILEGE_RULE("run", "@exec", "path = /bin/true\n"),
	 "dac_read_search spawner",
	 "dac_read_search spawner",
	 "none",
	 "KKKK KKKKK KK KK KK K KK KKKK KK"},
	{"passwords", PRIVILEGE_NONE PRIVILEGE_RULE("passwords", "@password", ""),
	 "dac_read_search spawner",
	 "dac_read_search spawner",
	 "none",
	 "KKKK KKKKK KK KK KK K KK KKKK KK"},
	{"keys", PRIVILEGE_NONE PRIVILEGE_RULE("keys", "@ssh-keys", ""),
	 "dac_read_search setgid setuid spawner",
	 "dac_read_search setgid setuid spawner",
	 "read /, write /",
	 "KKKK KKKKT TT TT TT T TT TTTT TT"},
	{"all that is denied again",
	 PRIVILEGE_PROFILE("legacy")
	 "[rule \"no\"]\neffect = deny\ncommand = @exec ; @file-read ; @file-write ; @power\n"
	 "command = @freeze ; @trim ; @time ; @suspend ; @password ; @ssh-keys ; @hotplug\n"
	 "command = guest-get-disks\n",
	 "no-spawner",
	 "no-spawner",
	 "none",
	 "KKKK KKKKK KK KK KK K KK KKKK KK"},
};
/* clang-format on */

#endif
