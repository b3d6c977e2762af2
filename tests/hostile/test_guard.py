#!/usr/bin/python3
"""Whatever a test sends: what it started cannot change this machine, since neither that nor
anything below it is able to (guard.py; tests/lint/starts sees to it that everything is
started so).

No call here would do anything if the guard were not there: each has an argument that the
kernel refuses, with another error.
"""
# pylint: disable=missing-function-docstring
import ctypes
import errno
import fcntl
import functools
import json
import os
import platform
import shutil
import signal
import stat
import subprocess
import sys
import tempfile

import guard
import programs
import scratch
import tap
from agent import Agent, comm, descendants, status
from guard import CAP_SYS_ADMIN, CAP_SYS_BOOT, CAP_SYS_TIME
from hostile import Worker
from reference import Reference

IS_ROOT = os.geteuid() == 0
FIFREEZE, FITHAW = 0xC0045877, 0xC0045878


def need_root():
    if not IS_ROOT:
        tap.skip("needs root: nobody else could change the machine")


# ---- what a process has ------------------------------------------------------------------

def holding(told, cap):
    """The sets that have it, in a dict as status() gives it. An ordinary user is bounded by
    it and does not get it."""
    kinds = ("CapInh", "CapPrm", "CapEff", "CapAmb", *(["CapBnd"] if IS_ROOT else []))
    return [kind for kind in kinds if int(told[kind], 16) >> cap & 1]


def check(pid, admin=False):
    """PID and all below it: capabilities, filter and mounts."""
    for p in [pid] + descendants(pid):
        told = status(p)
        for cap in (CAP_SYS_BOOT, CAP_SYS_TIME) + (() if admin else (CAP_SYS_ADMIN,)):
            assert not holding(told, cap), (comm(p), cap, holding(told, cap))
        if IS_ROOT:
            assert told["Seccomp"] == "2" and guard.filters(told) >= 0, (comm(p), told)
            assert os.readlink(f"/proc/{p}/ns/mnt") == os.readlink("/proc/self/ns/mnt"), comm(p)


def test_an_agent_and_its_programs():
    with Agent(profile="legacy") as a, a.client() as c:
        program = c.call("guest-exec", path="sleep", arg=["100"])["return"]["pid"]
        assert {comm(p) for p in descendants(a.pid)} == {
            "postern-worker", "postern-reader", "postern-fronten", "postern-inspect",
            "postern-spawner", "sleep"}
        check(a.pid)
        # The guard's filter alone: a program has none of the agent's.
        assert guard.filters(status(program)) == guard.filters(status(a.pid)) == 0
        os.kill(program, signal.SIGKILL)


def test_a_worker():
    with Worker("legacy") as w:
        check(w.pid)


def test_the_reference():
    with Reference() as r:
        check(r.process.pid)


def test_where_admin_is_kept_the_worker_has_test_operations():
    for profile in ("safe", "legacy"):
        try:
            Agent(profile=profile, admin=True)
        except ValueError:
            continue
        raise AssertionError("an agent that could freeze the machine was started")
    if IS_ROOT:
        kept = ["CapPrm", "CapEff", "CapBnd"]
        with Agent(profile="legacy", testops=True, admin=True) as a:
            assert holding(status(a.child("worker")), CAP_SYS_ADMIN) == kept
            check(a.pid, admin=True)
        with Worker("legacy", admin=True) as w:
            assert holding(status(w.pid), CAP_SYS_ADMIN) == kept
            check(w.pid, admin=True)


CAPS = (CAP_SYS_ADMIN, CAP_SYS_BOOT, CAP_SYS_TIME)


def inherit():
    """Have them in the sets that an exec passes on, whatever the bounding set is."""
    libc = ctypes.CDLL(None, use_errno=True)
    head, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(head, sets) == 0
    sets[2] |= sum(1 << cap for cap in CAPS)
    assert libc.capset(head, sets) == 0
    for cap in CAPS:
        assert libc.prctl(47, 2, cap, 0, 0) == 0  # PR_CAP_AMBIENT, _RAISE


def told_by_cat(prepare):
    out = subprocess.run(["cat", "/proc/self/status"], check=True, text=True,
                         stdout=subprocess.PIPE,
                         preexec_fn=lambda: prepare(guard.harmless)).stdout
    return dict(line.split(":\t", 1) for line in out.splitlines() if "Cap" in line)


def test_a_starter_that_passes_capabilities_on():
    need_root()

    def only_inherited(_):
        inherit()

    def both(harmless):
        inherit()
        harmless()

    for cap in CAPS:
        assert "CapEff" in holding(told_by_cat(only_inherited), cap), "the test itself is wrong"
        assert not holding(told_by_cat(both), cap), cap


# ---- what it may do ----------------------------------------------------------------------

# Run by a Python of its own: the errors of what is refused, as JSON. It goes no further if
# the guard is not in force in this very process.
TRY = """
import ctypes, errno, json, os, sys
sys.path.insert(0, sys.argv[1])
import guard

with open("/proc/self/status") as f:
    assert "\\nSeccomp:\\t2\\n" in f.read(), "no filter"
assert guard.is_filtered(), "not the guard's filter"
try:
    os.kill(1, 0)
    raise SystemExit("the first process may be signalled")
except PermissionError:
    pass

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long

def error(number, *arguments):
    done = libc.syscall(ctypes.c_long(number), *(ctypes.c_long(a) for a in arguments))
    return ctypes.get_errno() if done == -1 else 0

def writing(path):
    try:
        os.close(os.open(path, os.O_WRONLY))
        return 0
    except OSError as why:
        return why.errno

me, bad = os.getpid(), 1000  # no signal is 1000, no clock is 999, no memory is at 1
calls = [("kill", 1, bad), ("kill", -1, bad), ("tkill", 1, bad), ("tgkill", 1, 1, bad),
         ("tgkill", me, 1, bad), ("tgkill", 1, me, bad), ("rt_sigqueueinfo", 1, bad, 1),
         ("rt_tgsigqueueinfo", 1, 1, bad, 1), ("rt_tgsigqueueinfo", me, 1, bad, 1),
         ("pidfd_open", 1, 0xffff), ("reboot", 0, 0, 0, 0), ("kexec_load", 0, 99, 0, 0xffff),
         ("kexec_file_load", -1, -1, 0, 1, 0xffff), ("clock_settime", 999, 1),
         ("settimeofday", 1, 1), ("clock_adjtime", 999, 1), ("adjtimex", 1)]
json.dump({
    "refused": [[name, error(guard.CALLS[name], *rest)] for name, *rest in calls],
    "allowed": [[name, error(guard.CALLS[name], *rest)] for name, *rest in (
        ("kill", me, 0), ("kill", 0, 0), ("tkill", me, 0), ("tgkill", me, me, 0))],
    "no call": error(-1),
    "x32": error(0x40000000 | 39),
    "sys": [[path, writing(path)] for path in sys.argv[2:]],
}, sys.stdout)
"""
LIB = os.path.dirname(os.path.abspath(guard.__file__))


def files_of_sys():
    """Some that exist here, and among them what the commands write to."""
    wanted = ["/sys/devices/system/cpu/cpu1/online", "/sys/power/state", "/sys/power/disk",
              "/sys/devices/system/memory/memory0/state", "/sys/kernel/uevent_helper"]
    folder = "/sys/devices/system/cpu"
    wanted += [os.path.join(folder, name) for name in os.listdir(folder)]
    return [p for p in wanted if os.path.isfile(p) and os.stat(p).st_mode & stat.S_IWUSR]


def check_tried(text):
    told = json.loads(text)
    assert {name for name, _ in told["refused"]} == set(guard.CALLS)
    assert all(why == errno.EPERM for _, why in told["refused"]), told["refused"]
    assert not any(why for _, why in told["allowed"]), told["allowed"]
    assert told["no call"] == errno.ENOSYS, told["no call"]
    if platform.machine() == "x86_64":
        assert told["x32"] == errno.EPERM, told["x32"]
    assert all(why == errno.EROFS for _, why in told["sys"]), told["sys"]
    assert len(told["sys"]) == len(files_of_sys()) > 0


def test_the_kernel_refuses():
    need_root()
    argv = ["/usr/bin/python3", "-B", "-c", TRY, LIB, *files_of_sys()]
    for admin in (False, True):
        done = subprocess.run(argv, text=True, capture_output=True, check=False,
                              preexec_fn=functools.partial(guard.harmless, admin=admin))
        assert done.returncode == 0, done.stderr
        check_tried(done.stdout)


def test_the_kernel_refuses_a_program_of_an_agent():
    need_root()
    for admin in (False, True):
        with Agent(profile="legacy", testops=admin, admin=admin) as a, a.client() as c:
            done = programs.run(c, "/usr/bin/python3", "-B", "-c", TRY, LIB, *files_of_sys(),
                                capture_output=True)
            assert done["exitcode"] == 0, done
            check_tried(done["out-data"])


# getpid(2) of the i386 ABI, as machine code.
OLD = """
import ctypes, mmap, sys
sys.path.insert(0, sys.argv[1])
import guard
assert guard.is_filtered()
page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write(b"\\xb8\\x14\\0\\0\\0\\xcd\\x80\\xc3")
print(ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))())
"""


def test_the_i386_abi_is_no_way_round():
    need_root()
    if platform.machine() != "x86_64":
        tap.skip("only x86-64 has it")
    done = subprocess.run(["/usr/bin/python3", "-B", "-c", OLD, LIB], text=True, check=False,
                          capture_output=True, preexec_fn=guard.harmless)
    if done.returncode == -signal.SIGSEGV:
        tap.skip("this kernel does not have it")
    assert done.stdout.split() == [str(-errno.EPERM)], done


# ---- the machine's programs ----------------------------------------------------------------

PROGRAMS = ("chpasswd", "passwd", "usermod", "getent", "systemctl", "shutdown", "poweroff",
            "halt", "reboot", "telinit", "hwclock", "pm-suspend", "pm-hibernate")
FOLDERS = ("/usr/sbin", "/usr/bin", "/sbin", "/bin")


def masked():
    """Paths by which they are found, links among them."""
    found = [os.path.join(folder, name) for folder in FOLDERS for name in PROGRAMS]
    return [p for p in found
            if os.path.isfile(p) and os.path.basename(os.path.realpath(p)) != "busybox"]


def test_the_programs_are_stubs():
    need_root()
    assert masked()
    for path in masked():
        with open(path, "rb") as f:
            assert f.read() == guard.STUB, path
        done = subprocess.run([path, "--help"], check=False, capture_output=True,
                              preexec_fn=guard.harmless)
        assert (done.returncode, done.stdout, done.stderr) == (2, b"", b""), (path, done)
        st = os.stat(path)
        assert (st.st_uid, stat.S_IMODE(st.st_mode)) == (0, 0o755), (path, st)


def test_a_program_of_an_agent_finds_the_stubs():
    need_root()
    with Agent(profile="legacy") as a, a.client() as c:
        for name in sorted({os.path.basename(p) for p in masked()}):
            done = programs.run(c, name, "--help", capture_output=True)
            assert done["exitcode"] == 2, (name, done)


def test_the_real_ones_can_be_copied():
    need_root()
    with tempfile.TemporaryDirectory() as top:
        for path in masked():
            copy = shutil.copy(guard.real(path), os.path.join(top, "program"))
            with open(copy, "rb") as f:
                assert f.read() != guard.STUB, path
        copy = shutil.copy(guard.real("/usr/bin/getent"), os.path.join(top, "getent"))
        done = subprocess.run([copy, "passwd", "root"], text=True, check=True,
                              stdout=subprocess.PIPE, preexec_fn=guard.harmless)
        assert done.stdout.startswith("root:"), done
    assert guard.real("/usr/bin/env") == os.path.realpath("/usr/bin/env")


# ---- the guard itself ----------------------------------------------------------------------

def test_the_mounts_are_ours_alone():
    need_root()
    parent, own = (os.readlink(f"/proc/{p}/ns/mnt") for p in (os.getppid(), "self"))
    assert parent != own
    with open("/proc/self/mountinfo", encoding="utf-8") as f:
        rows = [line.split() for line in f]
    assert not [r for r in rows if r[6] != "-"], "a mount that is passed on"
    assert os.statvfs("/sys").f_flag & os.ST_RDONLY
    # Stubs are all that is new.
    with open(f"/proc/{os.getppid()}/mountinfo", encoding="utf-8") as f:
        before = {line.split()[4] for line in f}
    assert {r[4] for r in rows} - before == {os.path.realpath(p) for p in masked()}


def test_below_a_guard_there_is_nothing_to_do():
    """As tests/demo is for its test."""
    command = ["/usr/bin/python3", guard.__file__]
    done = subprocess.run([*command, *command, "--admin", "cat", "/proc/self/status"], text=True,
                          check=False, capture_output=True, preexec_fn=guard.harmless)
    assert done.returncode == 0, done.stderr
    told = dict(line.split(":\t", 1) for line in done.stdout.splitlines())
    assert guard.filters(told) == 0 and not any(holding(told, cap) for cap in CAPS), told


LOST = """
import os, sys
sys.path.insert(0, sys.argv[1])
import guard
{}
guard.harmless()
print("went on")
"""


def test_nothing_is_started_without_it():
    """A process that may not do what it takes, or has not."""
    need_root()
    for what, why in (("", "within reach"),
                      ("guard.enter(); guard._writable = lambda: True", "within reach"),
                      ("guard._in_place = lambda: False; guard.enter()", "PermissionError"),
                      ("guard.enter(); guard.is_filtered = lambda: False", "prctl")):
        done = subprocess.run(["/usr/bin/python3", "-B", "-c", LOST.format(what), LIB], text=True,
                              check=False, capture_output=True, preexec_fn=guard.harmless)
        assert done.returncode == 1 and why in done.stderr and not done.stdout, (what, done)


# ---- freezing ------------------------------------------------------------------------------

ASK = """
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
for request, argument in ((0xC0045877, bytes(4)), (0xC0185879, bytes(8) + b"\\xff" * 8 + bytes(8))):
    try:
        fcntl.ioctl(fd, request, argument)
        print(0)
    except OSError as why:
        print(why.errno)
"""


def test_freeze_and_trim_are_refused_by_the_kernel():
    """Asked of a file system that the test made, and could freeze itself."""
    with scratch.namespaces() as top:
        path = scratch.image(top, "disk", 16 << 20)
        scratch.mkfs("ext4", path)
        with scratch.Loop(path) as loop:
            point = scratch.mount(loop.node, f"{top}/m", "ext4")
        fd = os.open(point, os.O_RDONLY)
        fcntl.ioctl(fd, FIFREEZE, 0)
        fcntl.ioctl(fd, FITHAW, 0)
        try:
            out = subprocess.run([sys.executable, "-c", ASK, point], check=True, text=True,
                                 stdout=subprocess.PIPE, preexec_fn=guard.harmless).stdout
        finally:
            try:
                fcntl.ioctl(fd, FITHAW, 0)
            except OSError as why:
                assert why.errno == errno.EINVAL, why  # it is not frozen
            os.close(fd)
        assert out.split() == [str(errno.EPERM)] * 2, out


tap.run(tap.tests(globals()))
