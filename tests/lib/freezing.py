"""freezing - freezes of scratch file systems, where they wait, and who does what

    with freezing.Watchdog() as dog, scratch.namespaces():
        disks = freezing.Disks("/run/disks")
        dog.hold("a", disks.fds())          # thawed at the end, whatever happens
        hooks = freezing.Hooks("/run/hooks")
        a = freezing.Agent(hooks, freeze_max="60s")
        with a.client() as c:
            a.state.pause("FIRST")
            c.send(...)                     # guest-fsfreeze-freeze-list of disks.points(...)
            a.state.wait_paused("FIRST")    # whoever comes to that step waits there
            a.state.release()
            ...
            probe = freezing.Probe(disks["ext4"])
            assert probe.is_waiting()

Only file systems on loop devices, in the test's own mount namespace, are ever named to an
agent. The programs have the test operations: their workers refuse to freeze anything else.

The state that outlives a worker (ipc/state.h) is mapped here as well; its layout and its
numbers come from the build under test (table.c).
"""
import fcntl
import itertools
import json
import mmap
import os
import select
import signal
import socket
import struct
import subprocess
import time

import agent
import guard
import programs
import scratch
from agent import descendants, helper, wait_until

FIFREEZE, FITHAW = 0xC0045877, 0xC0045878

TABLE = json.loads(subprocess.run([helper("hostile/table", testops=True)], check=True,
                                  stdout=subprocess.PIPE, preexec_fn=guard.harmless).stdout)
LAYOUT = TABLE["state"]


# ---- file systems ----------------------------------------------------------------------

class Disk:
    """A file system on a loop device, mounted at POINT. `fd` is a directory on it that
    stays, mounted or not, frozen or not."""

    def __init__(self, kind, image, point):
        scratch.mkfs(kind, image)
        self.kind = kind
        self.loop = scratch.Loop(image)
        self.point = point
        self.mount()
        self.fd = scratch.detached(point)

    def mount(self, point=None, data=None):
        scratch.mount(self.loop.node, point or self.point, self.kind, data=data)

    def thaw(self):
        """As often as it takes; True if it was frozen."""
        return thaw(self.fd)


def thaw(fd):
    thawed = False
    while True:
        try:
            fcntl.ioctl(fd, FITHAW, 0)
            thawed = True
        except OSError:
            return thawed


class Disks:
    """One of each: plain ones, a file system in a file on another, and mounts of all kinds
    that add no superblock. The images are in memory."""

    def __init__(self, top, kinds=("ext4", "xfs", "btrfs")):
        self.top = top
        self.all = {}
        self.mounts = {}  # what mounts it, by name; in order
        os.makedirs(top)
        for kind in kinds:
            self._add(kind, kind, scratch.MKFS[kind][1] << 20)
        if "ext4" in kinds:
            self._add("outer", "ext4", 32 << 20)
            self._add("inner", "ext4", 12 << 20, at=self.point("outer"))
            self._more("bind", self._bind)
            self._more("readonly", lambda p: self._bind(p, readonly=True))
        if "btrfs" in kinds:
            scratch.run("btrfs", "subvolume", "create", self.point("btrfs") + "/sub")
            self._more("subvolume", lambda p: self["btrfs"].mount(p, data="subvol=sub"))
        self._more("tmpfs", lambda p: scratch.mount("tmpfs", p, "tmpfs"))
        self._more("overlay", self._overlay)

    def _add(self, name, kind, size, at=None):
        image = scratch.image(at or self.top, name, size)
        self.all[name] = Disk(kind, image, self.point(name))
        self.mounts[name] = lambda p: self[name].mount()

    def _more(self, name, mount):
        """What has a superblock that another mount has, or one that is never frozen."""
        self.mounts[name] = mount
        mount(self.point(name))

    def _bind(self, point, readonly=False):
        scratch.bind(self.point("ext4"), point, readonly)

    def _overlay(self, point):
        folders = [os.path.join(self.point("tmpfs"), n) for n in ("lower", "upper", "work")]
        for folder in folders:
            os.makedirs(folder)
        scratch.mount("overlay", point, "overlay",
                      data="lowerdir={},upperdir={},workdir={}".format(*folders))

    def point(self, name):
        return os.path.join(self.top, "m", name)

    def __getitem__(self, name):
        return self.all[name]

    def fds(self):
        return [d.fd for d in self.all.values()]

    def thaw(self):
        """Whatever is frozen; names of these. What is in a file comes last: its thaw writes
        to what it lies in."""
        return [name for name, disk in self.all.items() if disk.thaw()]

    def unmount(self, names):
        """As a guest does, perhaps while they are frozen; last mounted first."""
        for name in [n for n in reversed(self.mounts) if n in names]:
            try:
                scratch.unmount(self.point(name))
            except OSError:  # in use by a loop device
                scratch.unmount(self.point(name), scratch.MNT_DETACH)

    def mount_again(self):
        for name, mount in self.mounts.items():
            if not os.path.ismount(self.point(name)):
                mount(self.point(name))


# ---- writers ---------------------------------------------------------------------------

class Probe:
    """A process that makes a file on DISK: it waits, and cannot be killed, as long as that
    is frozen."""

    numbers = itertools.count()

    def __init__(self, disk):
        self.disk = disk
        self.name = f"probe-{os.getpid()}-{next(self.numbers)}"
        self.status = None
        self.pid = os.fork()
        if self.pid == 0:
            self._write()

    def _write(self):
        status = 1
        try:
            # Nothing of the test's may stay open in a process that cannot be ended.
            os.closerange(3, self.disk.fd)
            os.closerange(self.disk.fd + 1, 1 << 20)
            fd = os.open(self.name, os.O_CREAT | os.O_EXCL | os.O_WRONLY,
                         dir_fd=self.disk.fd)
            os.write(fd, b"x")
            status = 0
        finally:
            os._exit(status)

    def has_ended(self):
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.status = status if pid else None
        return self.status is not None

    def _sleeps(self):
        with open(f"/proc/{self.pid}/stat", encoding="ascii", errors="replace") as f:
            return f.read().rpartition(")")[2].split()[0] == "D"

    def is_waiting(self):
        """Has it come to where it waits, and does it? False once it has ended."""
        wait_until(lambda: self.has_ended() or self._sleeps(), "a writer to wait or write")
        if self.status is not None:
            return False
        time.sleep(0.03)  # a moment's wait for a disk is none
        return not self.has_ended()

    def wait(self, timeout):
        """Until the file is there."""
        wait_until(self.has_ended, f"a write to {self.disk.point}", timeout)
        assert self.status == 0, f"a write to {self.disk.point} failed: {self.status}"

    def clean(self):
        """Its file goes; for file systems that are thawed."""
        self.wait(10)
        os.unlink(self.name, dir_fd=self.disk.fd)


# ---- the watchdog ----------------------------------------------------------------------

class Watchdog:
    """A process that holds file systems of the tests, and thaws them when it is told, and
    at the end: also of a test that was killed with all of its session."""

    def __init__(self):
        self.mail, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        life, self.life = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.setsid()
                self.mail.close()
                os.close(self.life)
                self._run(theirs, life)
            finally:
                os._exit(0)
        theirs.close()
        os.close(life)

    def follow(self):
        """In a process that may end before the test does."""
        os.close(self.life)

    def hold(self, key, fds):
        """KEY is a short name for these."""
        socket.send_fds(self.mail, [b"hold " + key.encode()], fds)

    def thaw(self, key):
        self.mail.send(b"thaw " + key.encode())

    def drop(self, key):
        self.mail.send(b"drop " + key.encode())

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        os.close(self.life)
        os.waitpid(self.pid, 0)

    @staticmethod
    def _run(mail, life):
        held = {}
        while True:
            ready, _, _ = select.select([mail, life], [], [])
            if life in ready:
                break
            packet, fds, _, _ = socket.recv_fds(mail, 100, 64)
            if not packet:  # then the end of the other is near
                time.sleep(0.1)
                continue
            word, _, key = packet.decode().partition(" ")
            if word == "hold":
                held[key] = fds
            elif word == "thaw":
                Watchdog._thaw(held.get(key, []))
            else:
                Watchdog._thaw(held.get(key, []))
                for fd in held.pop(key, []):
                    os.close(fd)
        for fds in held.values():
            Watchdog._thaw(fds)

    @staticmethod
    def _thaw(fds):
        """Each in a process of its own, as one may wait for another; and once more, for
        what was being frozen."""
        for _ in range(2):
            pids = []
            for fd in fds:
                pids.append(os.fork())
                if pids[-1] == 0:
                    thaw(fd)
                    os._exit(0)
            end = time.monotonic() + 3
            while pids and time.monotonic() < end:
                pids = [p for p in pids if os.waitpid(p, os.WNOHANG) == (0, 0)]
                time.sleep(0.02)


# ---- hooks -----------------------------------------------------------------------------

class Hooks:
    """A hook that logs its argument, and behaves for each as it is told: well, "fail",
    "hang", "flood", "wait" (until it is told otherwise)."""

    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        self.path = os.path.join(folder, "fsfreeze-hook")
        with open(self.path, "w", encoding="utf-8") as f:
            f.write(f"""#!/bin/sh
echo "$1" >>{folder}/log
how=well
[ -e {folder}/$1 ] && read -r how <{folder}/$1
case $how in
fail) exit 7 ;;
hang) sleep 100 ;;
flood) dd if=/dev/zero bs=64k count=256; dd if=/dev/zero bs=64k count=256 >&2 ;;
wait) while [ -e {folder}/$1 ]; do sleep 0.02; done ;;
esac
echo "$1" >>{folder}/done
""")
        os.chmod(self.path, 0o755)

    def _file(self, name):
        return os.path.join(self.folder, name)

    def reset(self):
        for name in ("log", "done", "freeze", "thaw"):
            self.behave(name, None)

    def behave(self, which, how):
        """HOW None: well."""
        if how is None:
            if os.path.exists(self._file(which)):
                os.unlink(self._file(which))
            return
        with open(self._file(which) + ".new", "w", encoding="ascii") as f:
            f.write(how + "\n")
        os.rename(f.name, self._file(which))

    def log(self, name="log"):
        """The arguments with which it was run, in order."""
        try:
            with open(self._file(name), encoding="ascii") as f:
                return f.read().split()
        except FileNotFoundError:
            return []

    def done(self):
        """The same, where it came to its end."""
        return self.log("done")

    def wait(self, calls):
        wait_until(lambda: self.log() == calls, lambda: f"hooks {calls}, not {self.log()}")


# ---- what outlives a worker ------------------------------------------------------------

class State:
    """struct state of an agent with test operations."""

    def __init__(self, path):
        with open(path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), LAYOUT["size"])

    def _get(self, member, form="=I"):
        return struct.unpack_from(form, self.map, LAYOUT[member])[0]

    def _set(self, member, value):
        struct.pack_into("=I", self.map, LAYOUT[member], value)

    # -- the seam (worker/freeze/pause.h)

    def pause(self, step):
        """Whoever comes to STEP waits there."""
        self._set("pause", TABLE["pauses"].index(step))

    def release(self):
        self._set("pause", 0)
        self._set("paused", 0)  # for one that was killed there

    def paused(self):
        return TABLE["pauses"][self._get("paused")]

    def wait_paused(self, step, timeout=None):
        wait_until(lambda: self.paused() == step,
                   lambda: f"somebody to come to {step}: {self}", timeout)

    # -- the record

    @property
    def phase(self):
        return TABLE["phases"][self._get("phase")]

    @property
    def cause(self):
        return TABLE["causes"][self._get("cause")]

    @property
    def count(self):
        """Superblocks that are held."""
        return self._get("n")

    @property
    def deadline_ms(self):
        return self._get("deadline_ms", "=Q")

    def marks(self):
        return [TABLE["marks"][m] for m in
                self.map[LAYOUT["mark"]:LAYOUT["mark"] + self.count]]

    def frozen(self):
        """How many are said to be frozen."""
        return self.marks().count("FROZEN")

    def __str__(self):
        return (f"phase {self.phase}, cause {self.cause}, marks {self.marks()}, "
                f"hooks {self._get('hooks')}, paused at {self.paused()}")

    def close(self):
        self.map.close()


# ---- the agent -------------------------------------------------------------------------

class Agent(agent.Agent):
    """One whose state is in memory, with a rule for freezes that says what SETTINGS say:
    freeze_max, hook_timeout, hook_failure."""

    numbers = itertools.count()

    def __init__(self, hooks, statedir=None, **settings):
        super().__init__(profile=None, testops=True, admin=True, start=False)
        self.statedir = statedir or f"/run/state-{next(self.numbers)}"
        os.makedirs(self.statedir, exist_ok=True)
        root = os.path.join(self.dir, "root")
        os.makedirs(os.path.join(root, "etc/postern"))
        with open(os.path.join(root, "etc/postern/policy.conf"), "w",
                  encoding="utf-8") as f:
            f.write("[policy]\nbase = legacy\n[rule \"test\"]\neffect = allow\n"
                    "command = @freeze\n" + programs.keys(settings))
        self.argv += ["--policy-root", root, "-t", self.statedir, f"-F{hooks.path}"]
        self.state = None
        try:
            self.start()
            self.state = State(os.path.join(self.statedir, "state"))
        except BaseException:
            self.kill()
            raise

    def family(self):
        """Pids by what they are: supervisor, worker, frontend, inspector, spawner, thawer,
        helper, freezer, child (of the worker). Whatever has a name of ours below the test
        counts, also what its supervisor left behind."""
        return family(os.getpid())

    def the(self, role):
        """The one process that is ROLE, waiting for it."""
        return wait_until(lambda: self.family().get(role), f"a {role}")[0]


# ---- who is who ------------------------------------------------------------------------

PROGRAMS = {"postern": "supervisor", "postern-worker": "worker",
            "postern-fronten": "frontend", "postern-inspect": "inspector",
            "postern-spawner": "spawner", "postern-reader": "reader"}
ADMIN_ALONE = 1 << guard.CAP_SYS_ADMIN


def _is_listener(pid, fd):
    try:
        return os.readlink(f"/proc/{pid}/fd/{fd}").startswith("socket:")
    except OSError:
        return False


def _child_of_worker(pid, state, parent):
    """Freezer and thawer have one capability, the thawer a listening socket too."""
    caps = int(state["CapEff"], 16)
    if caps != ADMIN_ALONE:
        return "worker" if caps and parent is None else "child"
    if not _is_listener(pid, TABLE["THAWER_LISTENER"]):
        return "freezer"
    return "helper" if parent in ("thawer", "helper") else "thawer"


def family(top):
    roles, found = {}, {}
    for pid in descendants(top):
        name = PROGRAMS.get(agent.comm(pid))
        try:
            state = agent.status(pid) if name else None
        except (FileNotFoundError, ProcessLookupError):
            continue
        if not name or state["State"][0] in "ZX":
            continue
        parent = roles.get(int(state["PPid"]))
        # The worker is the supervisor's child; what else bears its name was forked from it.
        if name == "worker" and parent != "supervisor":
            name = _child_of_worker(pid, state, parent)
        roles[pid] = name
        found.setdefault(name, []).append(pid)
    return found


def kill(*pids):
    """All at once: none has time to see that another is gone. Returns when they are."""
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in pids:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass
        if len(pids) > 1:
            time.sleep(0.002)  # stopped, wherever they were
    wait_until(lambda: not any(map(programs.is_alive, pids)),
               lambda: f"the killed to end: {[_where(p) for p in pids]}", 5)


def _where(pid):
    """What a process does that should have ended."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
            stat = f.read()
        with open(f"/proc/{pid}/stack", encoding="ascii", errors="replace") as f:
            return " ".join(stat.split()[:4]), f.read().split()
    except OSError:
        return None


def reap():
    """Orphans of ours that have ended."""
    for pid in agent.children(os.getpid()):
        name = PROGRAMS.get(agent.comm(pid), "supervisor")
        if name != "supervisor" and agent.is_zombie(pid):
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                pass
