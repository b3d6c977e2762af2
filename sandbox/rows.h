/*
 * sandbox/rows.h - which process may make which system call, and why
 *
 * Runs in:   nowhere: rows of two const tables, filters.c and filter_texts.c
 * Input:     none; const data
 * May touch: nothing
 * Must not:  allow what only set-up needs: that happens before the seal
 *
 * A row is a call, its columns the processes (Frontend, Inspector, Worker,
 * the reader of the Policy, Child; a child that reads SMART, that Looks, that Opens, that
 * makes New files, that is a Handle; that walks the Mounts, that freeZes, that Thaws;
 * that sets the clocKs, that turns switches of sYsfs, that becomes a User, that works At
 * home, that siGnals init, that reBoots). Conditions compare the 32 bits that the kernel
 * looks at, or the bits named. Worker and inspector fork without libc and get the pidfd
 * at once; as the worker may not open one, it can signal nobody but its children, and
 * init where the policy has it.
 *
 * Included inside an array, and no other place: who includes it says what ALLOW, FAIL,
 * RARE, IS, BITS and NONE_OF make of a row. RARE is allowed, although no test of the
 * whole agent makes the call, and says why it is here.
 */
/* clang-format off */
#define READ_ONLY(arg) NONE_OF(arg, O_ACCMODE | O_CREAT | O_TRUNC)

	/* ---- every process: memory, time, its end ---- */
	ALLOW(brk,               ALL,     "heap"),
	ALLOW(mmap,              F|W|P|C, "heap, memfds; never code",
	      NONE_OF(2, PROT_EXEC)),
	RARE(mmap,                 I,     "heap, files; never code, never into a file",
	     "larger answers than here", NONE_OF(2, PROT_EXEC),
	     BITS(3, MAP_TYPE, MAP_PRIVATE)),
	ALLOW(mmap,                I,     "what a child fills; no file either",
	      NONE_OF(2, PROT_EXEC),
	      BITS(3, MAP_TYPE | MAP_ANONYMOUS, MAP_SHARED | MAP_ANONYMOUS)),
	ALLOW(munmap,            ALL,     "heap"),
	RARE(mremap,             ALL,     "heap: realloc", "larger blocks than here"),
	ALLOW(madvise,           ALL,     "heap: malloc_trim"),
	ALLOW(futex,             F|W|P|C, "libc's once-only set-up wakes unasked"),
	ALLOW(futex,               I,     "the same; to wait for a child, and it for us"),
	ALLOW(getrandom,         ALL,     "libc's seeds"),
	RARE(clock_gettime,      ALL,     "time", "the vDSO has answers, mostly"),
	RARE(restart_syscall,    ALL,     "a wait goes on", "after a stop and SIGCONT"),
	ALLOW(exit_group,        ALL,     "end"),

	/* ---- the loop and the sockets ---- */
	ALLOW(epoll_wait,        F|I|W|P, "loop"),
	RARE(epoll_pwait,        F|I|W|P, "loop", "aarch64 has no epoll_wait"),
	ALLOW(epoll_ctl,         F|I|W|P, "loop: sources come and go"),
	ALLOW(timerfd_settime,   F|I|W,   "loop: timers"),
	ALLOW(read,              ALL,     "channel, files, timers, signals"),
	ALLOW(write,             F|W|P|C, "channel, memfds, stderr"),
	ALLOW(writev,                W,   "libc's last words; a secret into a pipe"),
	ALLOW(recvmsg,           ALL,     "frames"),
	ALLOW(sendmsg,           ALL,     "frames"),
	ALLOW(recvfrom,              W|C, "the writer: its queue"),
	ALLOW(poll,                  W|C, "wait for the one socket, terminal or child"),
	RARE(ppoll,                  W|C, "the same", "aarch64 has no poll"),
	ALLOW(accept4,           F,       "next client of a listening channel"),
	ALLOW(socketpair,            W,   "a reply socket for each child",
	      IS(0, AF_UNIX)),
	ALLOW(connect,               W,   "the journal, on the one socket that is no pair"),
	RARE(shutdown,               W,   "hang up on a peer that does not read",
	     "only one that was taken over", IS(1, SHUT_RDWR)),
	ALLOW(close,             ALL,     "descriptors"),

	/* ---- descriptors and memfds ---- */
	ALLOW(fcntl,           F|I|W|P|L, "queue a frame with descriptors; hold a directory",
	      IS(1, F_DUPFD_CLOEXEC)),
	ALLOW(fcntl,             F|W|P|H, "seal what is handed on", IS(1, F_ADD_SEALS)),
	ALLOW(fcntl,             F|  W|H, "is it sealed?", IS(1, F_GET_SEALS)),
	ALLOW(fcntl,                   H, "does it append?", IS(1, F_GETFL)),
	ALLOW(fcntl,                 W,   "socket of a new program", IS(1, F_SETFL)),
	ALLOW(memfd_create,      F|W|P|H, "bulk data, policy image"),
	ALLOW(lseek,           F|I|W|O|H, "size of a memfd; files"),
	ALLOW(pread64,           F|      H, "content, wherever its memfd stands"),
	ALLOW(dup3,                W|O,   "a child puts its descriptors in place"),
	ALLOW(close_range,       I|W|O,   "a child closes all others"),

	/* ---- questions about the system, with an ordinary user's rights ---- */
	ALLOW(openat2,             I,     "read beneath a root; flags are out of sight"),
	RARE(newfstatat,           I,     "what is it? (libc's stat and fstat)",
	     "a libc of another release"),
	RARE(fstat,                I,     "the same", "a libc of another release"),
	ALLOW(readlinkat,          I,     "links of /sys, /etc/localtime"),
	ALLOW(getdents64,          I,     "folders of /sys and /proc"),
	ALLOW(statfs,              I,     "size of a file system"),
	ALLOW(uname,               I,     "kernel, host name"),
	ALLOW(alarm,               I,     "a question that hangs ends its process"),
	RARE(setitimer,            I,     "the same", "aarch64 has no alarm"),

	/* ---- children ---- */
	ALLOW(clone,               I|W,   "fork, and no more",
	      IS(0, CLONE_PIDFD | SIGCHLD)),
	RARE(rt_sigprocmask,         W,   "abort", "we do not, but a check of libc may"),
	ALLOW(capget,                W|O, "what does a child hold?"),
	ALLOW(capset,                W|O, "a child's capabilities"),
	ALLOW(geteuid,               W|O|T, "a child's capabilities: is it root? who connects?"),
	ALLOW(seccomp,               W|O, "a child's filter",
	      IS(0, SECCOMP_SET_MODE_FILTER), IS(1, 0)),
	ALLOW(landlock_restrict_self, W,  "a child's files", IS(1, 0)),
	ALLOW(pidfd_send_signal,     W,   "end a child that is late", IS(1, SIGKILL)),
	ALLOW(waitid,              I|W,   "its exit status", IS(0, P_PIDFD)),
	ALLOW(clock_nanosleep,       W|C, "a child waits"),
	ALLOW(getpid,                W|O, "a child's worker by number; abort"),
	ALLOW(getppid,               W,   "a child: is its worker still there?"),
	ALLOW(prctl,               I|W,   "a child ends with its parent",
	      IS(0, PR_SET_PDEATHSIG)),
	RARE(gettid,                 W|O, "the same; abort", "as above"),
	RARE(tgkill,                 W,   "abort", "as above", IS(2, SIGABRT)),

	/* ---- op children that do more than answer ---- */
	ALLOW(openat,                    L, "see what is there; nothing is opened",
	      BITS(2, O_PATH, O_PATH)),
	RARE(newfstatat,                 L|H, "whose is it, how large?",
	     "a libc of another release"),
	RARE(fstat,                      L|H, "the same", "a libc of another release"),
	ALLOW(fstatfs,                   L, "is its file system one that a user serves?"),
	ALLOW(readlinkat,                L, "links on the way; where is it now?"),
	ALLOW(openat,                    O, "the file, by its descriptor", READ_ONLY(2)),
	ALLOW(openat,                    N, "the same; a new one"),
	ALLOW(openat2,                   N, "/etc/passwd, /etc/group"),
	ALLOW(fchown,                    N, "a new file: whose"),
	ALLOW(fchmod,                    N, "a new file: for whom"),
	ALLOW(setrlimit,                 O, "a file: how large", IS(0, RLIMIT_FSIZE)),
	RARE(unlinkat,                   N, "a new file: not where it may be",
	     "its directory was moved meanwhile"),
	ALLOW(openat2,                   S, "find and open the disks"),
	ALLOW(getdents64,                S|P, "which disks, which policy files?"),
	ALLOW(openat,                    P, "policy files", READ_ONLY(2)),
	RARE(newfstatat,                 P, "may others write them?",
	     "a libc of another release"),
	RARE(fstat,                      P, "the same", "a libc of another release"),
	ALLOW(readlinkat,                P, "is a file masked?"),
	RARE(ioctl,                      S, "the health log", "NVMe disks alone",
	     IS(1, NVME_IOCTL_ADMIN_CMD)),

	/* ---- file systems ---- */
	ALLOW(openat,                    M, "what is mounted there? the loop device's node",
	      READ_ONLY(2)),
	ALLOW(openat2,                   M, "the mount table, /sys, hooks"),
	ALLOW(open_tree,                 M, "hold a mount that may go"),
	ALLOW(statx,                     M, "is it the mount of the table?"),
	RARE(newfstatat,                 M, "which file system is it?",
	     "a libc of another release"),
	RARE(fstat,                      M, "the same", "a libc of another release"),
	ALLOW(readlinkat,                M, "which device is it?"),
	ALLOW(getdents64,                M, "what a device is made of"),
	ALLOW(ioctl,                     M, "where a loop device's file is",
	      IS(1, LOOP_GET_STATUS64)),
	ALLOW(ioctl,                     M, "trim", IS(1, FITRIM)),
	ALLOW(ioctl,                     M|T, "thaw", IS(1, FITHAW)),
	ALLOW(ioctl,                     Z, "freeze", IS(1, FIFREEZE)),
	ALLOW(mlockall,                  T, "it thaws when memory is short as well"),
	ALLOW(accept4,               W|T,   "posternctl; the next worker"),
	ALLOW(getsockopt,            W|T,   "is it root's?", IS(1, SOL_SOCKET),
	      IS(2, SO_PEERCRED)),
	ALLOW(clone,                     T, "fork, and no more: one thaw may hang",
	      IS(0, CLONE_PIDFD | SIGCHLD)),
	ALLOW(waitid,                    T, "is it through?", IS(0, P_PIDFD)),
	ALLOW(prctl,                     T, "it ends with the thawer",
	      IS(0, PR_SET_PDEATHSIG)),
	ALLOW(getppid,                   T, "is the thawer still there?"),
	ALLOW(getpid,                    T, "the same"),

	/* ---- time, CPUs, memory, homes, power ---- */
	ALLOW(openat2,                   K|Y|U|A|G, "the clock's node; switches; a home"),
	RARE(ioctl,                      K, "the real-time clock",
	     "set in guests only", IS(1, RTC_RD_TIME)),
	RARE(ioctl,                      K, "sets it", "in guests only",
	     IS(1, RTC_SET_TIME)),
	RARE(gettimeofday,               K, "in which zone is it, for the kernel?",
	     "in guests only"),
	ALLOW(clock_settime,             K, "the clock", IS(0, CLOCK_REALTIME)),
	ALLOW(getdents64,                Y, "which CPUs, which blocks of memory?"),
	ALLOW(setgroups,                 U, "whose rights"),
	ALLOW(setfsgid,                  U, "the same"),
	ALLOW(setfsuid,                  U, "the same"),
	ALLOW(capset,                    U, "and no others"),
	ALLOW(capget,                    U, "what does it hold?"),
	ALLOW(prctl,                     U, "it ends with its worker, under new ids too",
	      IS(0, PR_SET_PDEATHSIG)),
	ALLOW(getppid,                   U, "is its worker still there?"),
	ALLOW(geteuid,                   U, "is it root?"),
	ALLOW(seccomp,                   U, "enter its second filter",
	      IS(0, SECCOMP_SET_MODE_FILTER), IS(1, 0)),
	RARE(newfstatat,                 U|A, "whose is it? is it still the same?",
	     "a libc of another release"),
	RARE(fstat,                      U|A, "the same", "a libc of another release"),
	ALLOW(mkdirat,                   U|A, ".ssh", IS(2, 0700)),
	ALLOW(fchmod,                    U|A, "a new file: for nobody else", IS(1, 0600)),
	ALLOW(fsync,                     U|A, "a new file: on disk before it counts"),
	ALLOW(renameat2,                 U|A, "it takes the place of the old one", IS(4, 0)),
	RARE(unlinkat,                   U|A, "it does not", "races and full disks"),
	ALLOW(readlinkat,                G, "which init is it?"),
	ALLOW(kill,                      G, "systemd: power off", IS(0, 1), IS(1, 34 + 4)),
	ALLOW(kill,                      G, "systemd: halt", IS(0, 1), IS(1, 34 + 3)),
	ALLOW(kill,                      G, "systemd: reboot", IS(0, 1), IS(1, 34 + 5)),
	RARE(kill,                       G, "busybox: power off", "init is another here",
	     IS(0, 1), IS(1, SIGUSR2)),
	RARE(kill,                       G, "busybox: halt", "init is another here",
	     IS(0, 1), IS(1, SIGUSR1)),
	RARE(kill,                       G, "busybox: reboot", "init is another here",
	     IS(0, 1), IS(1, SIGTERM)),
	ALLOW(sync,                      B, "what can be saved"),
	ALLOW(reboot,                    B, "power off", IS(2, LINUX_REBOOT_CMD_POWER_OFF)),
	ALLOW(reboot,                    B, "halt", IS(2, LINUX_REBOOT_CMD_HALT)),
	ALLOW(reboot,                    B, "reboot", IS(2, LINUX_REBOOT_CMD_RESTART)),
#if !SANDBOX_SANITIZED /* its rows have it */
	ALLOW(pipe2,                 W,   "a secret for a program: no copy of it stays"),
#endif

	/*
	 * ---- what libc tries and can do without ----
	 * An errno, so that another release of libc does not break us.
	 */
	FAIL(sysinfo,            ALL,     ENOSYS, "qsort: how much memory is there?"),
	FAIL(newfstatat,         F|  W|C, EPERM,  "stdio: how large a buffer?"),
	FAIL(fstat,              F|  W|C, EPERM,  "the same"),
	FAIL(statx,              ALL,     ENOSYS, "the same"),
	FAIL(openat,               I,     EACCES, "files of libc's own", READ_ONLY(2)),
	FAIL(readlink,             I,     EACCES, "the same"),
	FAIL(ioctl,              ALL,     ENOTTY, "stdio: a terminal?", IS(1, TCGETS)),
	FAIL(write,                I,     EPERM,  "stderr, which is /dev/null"),
	FAIL(prctl,              ALL,     EINVAL, "malloc names its memory",
	     IS(0, PR_SET_VMA)),
	FAIL(prlimit64,          ALL,     EPERM,  "sysconf"),
	FAIL(sched_getaffinity,  ALL,     EPERM,  "sysconf: how many CPUs?"),
	FAIL(getcpu,             ALL,     ENOSYS, "malloc: which arena?"),
	FAIL(membarrier,         ALL,     ENOSYS, "libc's rseq"),
	FAIL(rseq,               ALL,     ENOSYS, "libc in a new thread or child"),

#if SANDBOX_SANITIZED
	SANITIZER_ROWS
#endif
