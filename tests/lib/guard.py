"""guard - whatever a test asks for, this machine does not change

    import guard
    guard.enter()                                   # importing `agent` has done that
    subprocess.Popen(argv, preexec_fn=guard.harmless)
    shutil.copy(guard.real("/usr/bin/getent"), top)

    python3 tests/lib/guard.py [--admin] COMMAND ARG...     # all of it, then COMMAND

The commands of an agent freeze file systems, set the clock, switch processors off, halt the
machine and change its users, and tests send every one of them to agents that run as root.
Two things stand between: enter() gives the test process mounts of its own, on which /sys is
read-only and the programs that do such things are stubs; harmless() takes from what is
started the capabilities to freeze and trim, to set the clock and to restart, and by a filter
of system calls the right to signal the first process, as init and systemd take orders by
signal. All of it holds for what is started in turn.

As an ordinary user, who may do none of this, only the capabilities are seen to. What fails
raises: nothing is started that is not guarded.
"""
import ctypes
import os
import struct
import sys

CAP_SYS_ADMIN, CAP_SYS_BOOT, CAP_SYS_TIME = 21, 22, 25

MASKED = ("chpasswd", "passwd", "usermod", "getent", "systemctl", "shutdown", "poweroff", "halt",
          "reboot", "telinit", "hwclock", "pm-suspend", "pm-hibernate")
FOLDERS = ("/usr/sbin", "/usr/bin", "/sbin", "/bin")
STUB = b"#!/bin/sh\nexit 2\n"

_CLONE_NEWNS = 0x00020000
_MS_RDONLY, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18
_KEPT = os.ST_NOSUID | os.ST_NODEV | os.ST_NOEXEC  # the same bits in mount(2)
_MNT_DETACH = 2
_LIBC = ctypes.CDLL(None, use_errno=True)


def call(name, *arguments):
    """A libc function that returns -1 and errno."""
    if getattr(_LIBC, name)(*arguments) == -1:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


def _mount(source, point, kind, flags, data=None):
    call("mount", source, os.fsencode(point), kind, ctypes.c_ulong(flags), data)


# ---- the mounts of a test process ----------------------------------------------------------

_entered = False  # pylint: disable=invalid-name # it changes, once
_real = {}  # of each masked file: a descriptor, opened before


def _targets():
    """The files to mask, where links end. Busybox is all of them, and the shell."""
    found = {os.path.realpath(os.path.join(folder, name)) for folder in FOLDERS for name in MASKED}
    return sorted(p for p in found if os.path.isfile(p) and os.path.basename(p) != "busybox")


def _is_stub(path):
    with open(path, "rb") as f:
        return f.read(len(STUB) + 1) == STUB


def _writable():
    """Could root write to files in /sys, as it is here? A test's root may have none."""
    return os.access("/sys/kernel", os.W_OK)


def _in_place():
    return not _writable() and all(_is_stub(p) for p in _targets())


def _mask(targets):
    """Bind a stub over each; the tmpfs that holds it has no place of its own."""
    _mount(b"tmpfs", "/run", b"tmpfs", 0, b"mode=755,size=1m")
    with open("/run/stub", "wb") as f:
        f.write(STUB)
    os.chmod("/run/stub", 0o755)
    for path in targets:
        _mount(b"/run/stub", path, None, _MS_BIND)
    call("umount2", b"/run", _MNT_DETACH)


def enter():
    """As root: give this process mounts of its own, with /sys read-only and stubs for what
    could change the machine. Below a process that has done so there is nothing to do."""
    global _entered  # pylint: disable=global-statement
    if os.geteuid() == 0 and not _in_place():
        targets = _targets()
        for path in targets:
            _real[path] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        call("unshare", _CLONE_NEWNS)
        _mount(None, "/", None, _MS_REC | _MS_PRIVATE)
        _mount(None, "/sys", None, _MS_REMOUNT | _MS_BIND | _MS_RDONLY
               | os.statvfs("/sys").f_flag & _KEPT)
        _mask(targets)
        if not _in_place():
            raise RuntimeError("guard: the machine could still be changed")
    _entered = True


def real(path):
    """Where this process finds the program that PATH was before the masks, to read or copy."""
    path = os.path.realpath(path)
    if path in _real:
        return f"/proc/self/fd/{_real[path]}"
    if _is_stub(path):
        raise RuntimeError(f"guard: {path} was masked by another process")
    return path


# ---- the filter of what is started ---------------------------------------------------------

# AUDIT_ARCH_*, and numbers of system calls.
_MACHINES = {
    "x86_64": (0xC000003E, {
        "kill": 62, "tkill": 200, "tgkill": 234, "rt_sigqueueinfo": 129,
        "rt_tgsigqueueinfo": 297, "pidfd_open": 434, "reboot": 169, "kexec_load": 246,
        "kexec_file_load": 320, "clock_settime": 227, "settimeofday": 164,
        "clock_adjtime": 305, "adjtimex": 159}),
    "aarch64": (0xC00000B7, {
        "kill": 129, "tkill": 130, "tgkill": 131, "rt_sigqueueinfo": 138,
        "rt_tgsigqueueinfo": 240, "pidfd_open": 434, "reboot": 142, "kexec_load": 104,
        "kexec_file_load": 294, "clock_settime": 112, "settimeofday": 170,
        "clock_adjtime": 266, "adjtimex": 171}),
}
ARCH, CALLS = _MACHINES.get(os.uname().machine, (None, {}))
# What names a process: which argument, and the values that are refused.
_PIDS = {"kill": ((0, (1, 0xffffffff)),), "tkill": ((0, (1,)),), "tgkill": ((0, (1,)), (1, (1,))),
         "rt_sigqueueinfo": ((0, (1,)),), "rt_tgsigqueueinfo": ((0, (1,)), (1, (1,))),
         "pidfd_open": ((0, (1,)),)}
_X32 = 0x40000000  # and above: the calls of x86-64's other ABI
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _REFUSE = 0x7fff0000, 0x00050001  # SECCOMP_RET_ERRNO with EPERM
_NUMBER, _ARCH, _ARGUMENTS = 0, 4, 16  # in struct seccomp_data; a pid is the low half


def _program():
    """The filter, as struct sock_filter after struct sock_filter. A test of a value goes on
    with the next instruction if it is true, else with the one after that."""
    code = [(_LOAD, 0, 0, _ARCH), (_EQUAL, 1, 0, ARCH), (_RETURN, 0, 0, _REFUSE),
            (_LOAD, 0, 0, _NUMBER)]
    if os.uname().machine == "x86_64":  # -1 is no call, and the kernel says so
        code += [(_EQUAL, 0, 1, 0xffffffff), (_RETURN, 0, 0, _ALLOW),
                 (_AT_LEAST, 0, 1, _X32), (_RETURN, 0, 0, _REFUSE)]
    for name, number in CALLS.items():
        if name not in _PIDS:
            code += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _REFUSE)]
            continue
        tests = []
        for argument, values in _PIDS[name]:
            tests += [(_LOAD, 0, 0, _ARGUMENTS + 8 * argument)]
            for value in values:
                tests += [(_EQUAL, 0, 1, value), (_RETURN, 0, 0, _REFUSE)]
        tests += [(_RETURN, 0, 0, _ALLOW)]
        code += [(_EQUAL, 0, len(tests), number), *tests]
    code += [(_RETURN, 0, 0, _ALLOW)]
    return len(code), b"".join(struct.pack("=HBBI", *c) for c in code)


def is_filtered():
    """Is a signal to the first process refused? There is no such signal as this one, so that
    the kernel alone finds it invalid, whoever asks."""
    try:
        os.kill(1, 1000)
    except PermissionError:
        return True
    except OSError:
        pass
    return False


def filters(status):
    """How many filters a process has besides this one; STATUS is what agent.status() says."""
    return int(status["Seccomp_filters"]) - (os.geteuid() == 0)


def _filter():
    """Of filters one is enough. CAP_SYS_ADMIN makes no_new_privs unnecessary, which agents
    would pass on."""
    if is_filtered():
        return
    if ARCH is None:
        raise RuntimeError(f"guard: no filter for {os.uname().machine}")
    length, code = _program()
    program = ctypes.create_string_buffer(code)
    head = ctypes.create_string_buffer(struct.pack("@HP", length, ctypes.addressof(program)))
    call("prctl", 22, 2, head, 0, 0)  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
    if not is_filtered():
        raise RuntimeError("guard: the filter does not work")


# ---- capabilities --------------------------------------------------------------------------

def _give_up(caps):
    # Root gains by exec what it is bounded by and what is inheritable; others nothing.
    for cap in caps if os.geteuid() == 0 else ():
        if _LIBC.prctl(23, cap, 0, 0, 0) == 1:  # PR_CAPBSET_READ
            call("prctl", 24, cap, 0, 0, 0)  # PR_CAPBSET_DROP
    head = (ctypes.c_uint32 * 2)(0x20080522, 0)  # version 3, this process
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; then their high halves
    call("capget", head, sets)
    for n in range(3):
        sets[n] &= ~sum(1 << cap for cap in caps)
    call("capset", head, sets)  # the ambient set goes along


def give_up_all():
    """As harmless's THEN: what is started has no capability, whoever starts it."""
    _give_up(range(64))


# ---- what a test starts --------------------------------------------------------------------

def harmless(then=None, admin=False):
    """As preexec_fn: the new process, and all that it starts, cannot change the machine.
    THEN is called next. ADMIN: it keeps CAP_SYS_ADMIN, and so could freeze and trim; see to
    it that it does so to nothing but the test's own."""
    if os.geteuid() == 0:
        if not _entered or _writable():
            raise RuntimeError("guard: /sys and the machine's programs are within reach")
        _filter()
    _give_up([CAP_SYS_BOOT, CAP_SYS_TIME] + ([] if admin else [CAP_SYS_ADMIN]))
    if then:
        then()


def main():
    admin = sys.argv[1:2] == ["--admin"]
    argv = sys.argv[2 if admin else 1:]
    if not argv:
        sys.exit(__doc__)
    enter()
    harmless(admin=admin)
    try:
        os.execvp(argv[0], argv)
    except OSError as why:
        sys.exit(f"guard: {argv[0]}: {why.strerror}")


if __name__ == "__main__":
    main()
