#!/usr/bin/python3
"""The file system that is frozen is the agent's own root, with its programs, libraries,
policy, log and records on it.

Each case runs in a process with a root of its own (pivot_root): a file system on a loop
device that holds copies, never binds, of what is needed, and on it the file of another. So
"freeze all" means these two. The mount table is looked at before anything is started there; a
watchdog outside thaws both, however a case ends.
"""
# run: limit 120
import contextlib
import ctypes
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback

import agent as agents
import freezing
import frost
import scratch
import tap
from agent import Agent, build_dir, descendants, wait_until
from freezing import Probe, kill
from frost import Calls
from ownroot import put_program, text

_LIBC = ctypes.CDLL(None, use_errno=True)
SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
LOG, AUDIT = "/var/log/postern.log", "/var/log/audit.jsonl"
POLICY = "/etc/postern/policy.conf"
HOOK = "/etc/qemu/fsfreeze-hook"
HOOK_LOG = "/run/hook-log"
NO_DEVICE = ("proc", "sysfs", "tmpfs", "devtmpfs")
VERY_SLOW = 3 if agents.VARIANT == "asan" else 1
SOON = 2 * VERY_SLOW


# ---- the root ----------------------------------------------------------------------------

def fill(root):
    for name in ("proc", "sys", "dev", "run", "tmp", "old", "scratch", "var/log"):
        os.makedirs(os.path.join(root, name))
    for name in ("postern", *agents.INSTALLED.values()):
        program = os.path.abspath(os.path.join(build_dir(testops=True), name))
        put_program(root, program, f"/build/release-testops/{name}")
    for program in ("/bin/sh", "/bin/sleep"):
        put_program(root, program)
    text(root, "/etc/passwd", "root:x:0:0:root:/:/bin/sh\n")
    text(root, "/etc/group", "root:x:0:\n")
    text(root, HOOK, f'#!/bin/sh\necho "$1" >>{HOOK_LOG}\n', 0o755)
    text(root, LOG, "")
    text(root, AUDIT, "")
    os.chmod(root, 0o755)


_MASTER = []


def master(top):
    """The image of a root as it is before a case, made once."""
    if not _MASTER:
        folder = tempfile.mkdtemp(prefix="postern-root-")
        image = scratch.image(folder, "root", 256 << 20)
        scratch.mkfs("ext4", image)
        point = os.path.join(top, "master")
        with scratch.Loop(image) as loop:
            scratch.mount(loop.node, point, "ext4")
        try:
            fill(point)
            inner = scratch.image(point, "inner", 16 << 20)
            scratch.mkfs("ext4", inner)
        finally:
            scratch.unmount(point)
        _MASTER.append(folder)
    return os.path.join(_MASTER[0], "root.img")


def only_loops():
    """Refuse to go on unless every mount is a loop device's or in memory."""
    with open("/proc/self/mountinfo", encoding="utf-8") as f:
        for line in f:
            fields = line.split()
            kind, source = fields[fields.index("-") + 1:][:2]
            if fields[2].startswith("7:"):
                continue
            if not fields[2].startswith("0:") or kind not in NO_DEVICE:
                raise RuntimeError(f"refused: {source} at {fields[4]} is no loop device")


def enter(root):
    """Make ROOT the root, and nothing else be there."""
    if _LIBC.unshare(scratch.CLONE_NEWNS) < 0:
        raise OSError(ctypes.get_errno(), "unshare")
    os.chdir(root)
    if _LIBC.syscall(SYS_PIVOT_ROOT[os.uname().machine], b".", b"old") < 0:
        raise OSError(ctypes.get_errno(), "pivot_root")
    os.chdir("/")
    scratch.unmount("/old", scratch.MNT_DETACH)
    only_loops()


# ---- a case in it ------------------------------------------------------------------------

class Inside:
    """What a case finds: .agent, .client, .disks (`/` and /scratch)."""

    def __init__(self, disks):
        self.disks = disks
        self.agent = self.client = None

    @property
    def c(self):
        return Calls(self.client)

    def start(self, policy):
        if policy:
            text("", POLICY, policy)
        os.environ["POSTERN_BUILD"] = "/build/release"
        os.makedirs("/run/postern", exist_ok=True)
        self.agent = Agent(profile=None if policy else "legacy", testops=True, admin=True,
                           args=["-t", "/run/postern", "--audit", f"file:{AUDIT}", "-l", LOG,
                                 f"-F{HOOK}", "-v"])
        self.agent.audit_path = AUDIT
        self.client = self.agent.client()

    def freeze(self):
        assert self.c("guest-fsfreeze-freeze") == 2
        assert self.c.status() == "frozen"
        assert all(d.is_frozen() for d in self.disks)

    def thaw(self):
        assert self.c.thaw() == 2
        assert (self.c.status(), self.c.thaw()) == ("thawed", 0)
        assert not any(d.is_frozen() for d in self.disks)

    def probes(self):
        """One on each; they wait."""
        some = [Probe(d) for d in self.disks]
        assert all(p.is_waiting() for p in some)
        return some

    @staticmethod
    def log():
        with open(LOG, encoding="utf-8", errors="replace") as f:
            return f.read()

    @staticmethod
    def hook_log():
        try:
            with open(HOOK_LOG, encoding="ascii") as f:
                return f.read().split()
        except FileNotFoundError:
            return []

    def events(self):
        return [r["POSTERN_EVENT"] for r in self.agent.records()]


def run_inside(case, policy, root, disks, report):
    """The child: its traceback goes to the descriptor REPORT, nothing if all is well."""
    try:
        enter(root)
        it = Inside(disks)
        it.start(policy)
        try:
            case(it)
            if it.agent.process.poll() is None:
                it.agent.stop()
            assert not any(d.is_frozen() for d in disks)
        finally:
            for d in disks:
                d.thaw()
            it.agent.kill()
    except BaseException:  # pylint: disable=broad-except # all of it is told
        os.write(report, traceback.format_exc().encode()[-8000:])
        with contextlib.suppress(Exception):
            os.write(report, f"\nlog: {Inside.log()[-2000:]}".encode())
    finally:
        os._exit(0)


def preload():
    """Modules that Python would look for on the machine's root."""
    for codec in ("utf-8", "ascii", "latin-1", "unicode_escape", "idna"):
        "".encode(codec)
    for name in ("random", "pwd", "grp", "_posixsubprocess", "encodings.utf_8_sig", "locale"):
        __import__(name)


@contextlib.contextmanager
def rooted():
    """(mounted root, its two disks)."""
    with frost.stage() as s:
        image = frost.copy_image(master(s.top), s.path("root.img"))
        root = s.disk("root", image=image)
        inner = s.hold(frost.Disk(None, os.path.join(root.point, "scratch"), "ext4",
                                  os.path.join(root.point, "inner.img")))
        for kind, where in (("proc", "proc"), ("sysfs", "sys"), ("devtmpfs", "dev"),
                            ("tmpfs", "run"), ("tmpfs", "tmp")):
            scratch.mount(kind, os.path.join(root.point, where), kind,
                          scratch.MS_RDONLY if kind == "sysfs" else 0,  # as guard.enter()
                          data="mode=755" if where == "run" else None)
        yield s, root.point, [root, inner]


def in_root(case, policy=None):
    """Run CASE, a function of Inside, in a root of its own."""
    preload()
    with rooted() as (s, root, disks):
        report, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(report)
            run_inside(case, policy, root, disks, write)
        os.close(write)
        try:
            told = b""
            while piece := os.read(report, 65536):
                told += piece
            os.waitpid(pid, 0)
            assert not told, told.decode(errors="replace")
        finally:
            os.close(report)
            s.thaw()
            kill(*descendants(pid), pid)


def rooted_test(policy=None):
    """A test that runs inside."""
    def wrap(case):
        def test():
            in_root(case, policy)
        test.__name__ = case.__name__
        return test
    return wrap


# ---- the tests ---------------------------------------------------------------------------

def test_only_loops():
    """It refuses where the machine's own file systems are in sight."""
    with frost.stage():
        try:
            only_loops()
        except RuntimeError as why:
            assert "is no loop device" in str(why), why
            return
        assert False, "the machine's mounts passed"


@rooted_test()
def test_root_is_frozen_and_thawed(it):
    it.freeze()
    probes = it.probes()
    before = [os.stat(p).st_size for p in (LOG, AUDIT)]
    for _ in range(50):
        assert it.client.sync() == []
        it.client.reset()
        assert it.client.call("guest-ping") == {"return": {}}
        assert it.c.status() == "frozen"
    enabled = [x["name"] for x in it.c("guest-info")["supported_commands"] if x["enabled"]]
    assert len(enabled) == 6, enabled
    for command in ("guest-get-osinfo", "guest-get-fsinfo", "guest-exec",
                    "guest-fsfreeze-freeze"):
        assert it.c(command) == \
            f"Command {command} has been disabled: the agent is in frozen state"
    assert [os.stat(p).st_size for p in (LOG, AUDIT)] == before
    assert all(p.is_waiting() for p in probes)
    it.thaw()
    for p in probes:
        p.wait(5)
    assert it.hook_log() == ["freeze", "thaw"]
    it.agent.wait_record(lambda r: r["POSTERN_EVENT"] == "thaw")
    freeze = it.agent.wait_record(lambda r: r["POSTERN_EVENT"] == "freeze")
    assert json.loads(freeze["POSTERN_FS_MOUNTS"]) == ["/scratch", "/"], freeze
    refused = [r for r in it.agent.records() if r.get("POSTERN_REASON") == "frozen"
               and r["POSTERN_EVENT"] == "decision"]
    assert len(refused) == 4, refused
    assert it.c("guest-get-osinfo")["kernel-release"] == os.uname().release


@rooted_test()
def test_again_and_again(it):
    for _ in range(10):
        it.freeze()
        it.thaw()
    assert it.c("guest-fsfreeze-freeze-list", mountpoints=["/"]) == 1
    assert (it.c.thaw(), it.c.status()) == (1, "thawed")


LIMITED = """[policy]
base = legacy
[rule "freeze"]
effect = allow
command = @freeze
freeze-max = 2s
"""


@rooted_test(LIMITED)
def test_deadline(it):
    it.freeze()
    begun = time.monotonic()
    probes = it.probes()
    for p in probes:
        p.wait(10)
    assert 1 < time.monotonic() - begun < 5 + SOON
    wait_until(lambda: it.c.status() == "thawed", "status", SOON)
    assert it.c.thaw() == 0
    record = it.agent.wait_record(lambda r: r["POSTERN_EVENT"] == "auto-thaw")
    assert (record["POSTERN_THAW_CAUSE"], record["POSTERN_FS_COUNT"]) == ("deadline", 2), record
    wait_until(lambda: it.hook_log() == ["freeze", "thaw"], "the thaw hook")


def killed(program):
    """PROGRAM is killed while all is frozen: it is back in time, and nothing has changed."""
    def case(it):
        it.freeze()
        probes = it.probes()
        it.client.close()
        old = it.agent.child(program)
        begun = time.monotonic()
        it.client = frost.after_death(it.agent, program)
        assert it.c.status() == "frozen"
        wait_until(lambda: it.agent.child(program) != old, f"another {program}", SOON)
        assert time.monotonic() - begun < SOON, time.monotonic() - begun
        assert all(d.is_frozen() for d in it.disks)
        assert all(p.is_waiting() for p in probes)
        assert it.client.call("guest-ping") == {"return": {}}
        assert "ended by signal 9" not in it.log()
        it.thaw()
        for p in probes:
            p.wait(5)
        # What was said meanwhile is in the log now.
        wait_until(lambda: f"postern-{program} ended by signal 9" in it.log(), it.log)
        assert it.hook_log() == ["freeze", "thaw"], it.hook_log()
        assert it.events().count("freeze") == it.events().count("thaw") == 1
        assert it.c("guest-get-osinfo")["kernel-release"] == os.uname().release
    case.__name__ = f"killed_{program}"
    return case


def killed_supervisor(it):
    """With it go all that it had started but what holds the freeze; it is started again."""
    it.freeze()
    probes = it.probes()
    it.client.close()
    family = [it.agent.child(p) for p in ("frontend", "worker", "inspector", "spawner")]
    kill(it.agent.pid)
    it.agent.process.wait()
    if agents.VARIANT == "asan":
        kill(family[-1])  # else it tells of its leaks, and its log is frozen
    wait_until(lambda: not any(runs(p) for p in family), "the others to end", SOON)
    begun = time.monotonic()
    it.agent.start()
    it.client = it.agent.client()
    assert it.c.status() == "frozen"
    assert time.monotonic() - begun < SOON
    assert all(d.is_frozen() for d in it.disks)
    assert all(p.is_waiting() for p in probes)
    it.thaw()
    for p in probes:
        p.wait(5)
    assert it.hook_log() == ["freeze", "thaw"], it.hook_log()
    wait_until(lambda: it.events().count("thaw") == 1, it.events)
    assert it.events().count("freeze") == 1


def killed_all(it):
    """All at once, but what holds the freeze."""
    it.freeze()
    probes = it.probes()
    it.client.close()
    family = freezing.family(os.getpid())
    kill(*[pid for role, pids in family.items() if role != "thawer" for pid in pids])
    it.agent.process.wait()
    it.agent.start()
    it.client = it.agent.client()
    assert it.c.status() == "frozen"
    assert all(p.is_waiting() for p in probes)
    it.thaw()
    for p in probes:
        p.wait(5)


def killed_thawer(it):
    """The worker has another."""
    it.freeze()
    probes = it.probes()
    old = freezing.family(os.getpid())["thawer"]
    kill(*old)
    new = wait_until(lambda: [p for p in freezing.family(os.getpid()).get("thawer", [])
                              if p not in old], "another thawer", SOON)
    assert len(new) == 1
    assert it.c.status() == "frozen"
    assert all(p.is_waiting() for p in probes)
    it.thaw()
    for p in probes:
        p.wait(5)


def runs(pid):
    return agents.comm(pid).startswith("postern") and not agents.is_zombie(pid)


@rooted_test()
def test_sigterm_thaws(it):
    it.freeze()
    probes = it.probes()
    it.client.close()
    it.agent.process.send_signal(signal.SIGTERM)
    assert it.agent.process.wait(15) == 0
    for p in probes:
        p.wait(5)
    assert not any(d.is_frozen() for d in it.disks)
    assert it.hook_log() == ["freeze", "thaw"], it.hook_log()
    wait_until(lambda: it.events()[-1] == "stop", it.events)
    last = it.agent.records()[-2]
    assert (last["POSTERN_EVENT"], last["POSTERN_THAW_CAUSE"]) == ("auto-thaw", "stop"), last
    # The next one finds nothing to do.
    it.agent.start()
    it.client = it.agent.client()
    assert (it.c.status(), it.c.thaw()) == ("thawed", 0)


@rooted_test()
def test_all_lost_and_nobody_comes(it):
    """No restart, no deadline: what holds the freeze gives up after ten seconds."""
    it.freeze()
    probes = it.probes()
    it.client.close()
    kill(it.agent.pid, *[it.agent.child(p) for p in ("frontend", "worker", "inspector")])
    it.agent.process.wait()
    begun = time.monotonic()
    for p in probes:
        p.wait(15)
    assert 8 < time.monotonic() - begun < 12.5, time.monotonic() - begun
    assert not any(d.is_frozen() for d in it.disks)


def main():
    killings = [*map(killed, ("frontend", "worker", "inspector", "spawner")), killed_supervisor,
                killed_all, killed_thawer]
    todo = frost.tests(globals())
    if os.geteuid() == 0:
        todo += [(c.__name__.replace("_", " "), rooted_test()(c)) for c in killings]
    try:
        tap.run(todo, limit=45)
    finally:
        for folder in _MASTER:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
