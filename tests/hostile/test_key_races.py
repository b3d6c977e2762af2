#!/usr/bin/python3
# run: limit 240
"""The op child that changes a user's authorized keys works in a home whose owner changes
it meanwhile, and means harm (A4 of the design): by links, pipes, renames, modes, edits,
a full disk. It has that user's rights and no others, so nothing that only root may see is
ever opened, made or changed; the file is at any moment the old or the new one; no line of
the user's is lost but in the moment of the rename; and nothing is left behind.

The child is run sealed, as the worker runs it, by tests/hostile/keys_child.c, over and
over, while tests/hostile/flip.c or a process of the test acts as the user. It happens on
a tmpfs in a mount namespace of the test, or on a loop device there.
"""
# pylint: disable=missing-function-docstring
import contextlib
import ctypes
import fcntl
import json
import os
import shutil
import signal
import struct
import subprocess
import time
import traceback

import guard
import scratch
import tap
from agent import free_uids, helper, wait_until
from races import LIBC, Flip, Watch, tree, write

# One process forks and seals about a thousand in a second; the sanitizers take longer.
RUNS = {"release": 1500}.get(os.environ.get("POSTERN_VARIANT"), 150)

# Beneath a directory of the user's, so that the home itself can be moved.
TOP, OUT, MARK = "/run/u", "/run/out", b"ROOT-ONLY\n"
HOME = f"{TOP}/home"
SSH = f"{HOME}/.ssh"
FILE = f"{SSH}/authorized_keys"
OLD, KEY = b"# mine\nk0\n", b"k1\n"
TOGGLE = ["add", "k1", "remove", "k1"]
ALL = ["add", "k1", "get", "-", "remove", "k1", "get", "-"]

UID = free_uids(1)[0]
LINK, NO_FILE = "is a symbolic link", "is no regular file"
BUSY, LACKS = "is being changed all the time", "No such file or directory"


# ---- the place ----------------------------------------------------------------------

def own(path):
    os.chown(path, UID, UID, follow_symlinks=False)


def folder(path):
    os.mkdir(path, 0o700)
    own(path)


def put(path, content):
    write(path, content)
    own(path)


@contextlib.contextmanager
def place(content=OLD):
    """A home with that file in it, and beside it what only root may see."""
    with scratch.namespaces() as top:
        os.mkdir(OUT, 0o700)
        write(f"{OUT}/authorized_keys", MARK)
        folder(TOP)
        make_home(content)
        yield top


def make_home(content=OLD):
    folder(HOME)
    folder(SSH)
    put(FILE, content)


def read(path):
    with open(path, "rb") as f:
        return f.read()


def lines(path):
    return read(path).splitlines()


def leftovers(folder_path=SSH):
    return [n for n in os.listdir(folder_path) if n.startswith(".authorized_keys")]


# ---- who acts -----------------------------------------------------------------------

def start(*words):
    return subprocess.Popen([helper("hostile/keys_child"), *words], text=True,
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            preexec_fn=guard.harmless)


def run(changes, runs=RUNS, home=HOME):
    """How often each result came. None hangs or dies, or tells what is root's."""
    process = start(str(runs), str(UID), home, *changes)
    said = process.communicate()[0]
    assert process.returncode == 0, process.returncode
    said = json.loads(said)
    results = said["results"]
    assert said["slowest"] < 10000, said
    assert not {"HANGS", "DIED"} & set(results), results
    assert MARK.decode().strip() not in json.dumps(results)
    return results


def once(*change, home=HOME):
    return list(run(change, 1, home))[0]


def some(results, what):
    return sum(n for text, n in results.items() if what in text)


class User:
    """FUNCTION in a process that is the user's, over and over until the end of the block,
    or once; what it returned last is RESULT."""

    def __init__(self, function, is_once=False):
        self.function, self.is_once, self.result = function, is_once, None

    def _child(self, out):
        stop = []
        signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
        os.setsid()  # in one session, SIGCONT may be sent to anybody
        os.setgroups([])
        os.setresgid(UID, UID, UID)
        os.setresuid(UID, UID, UID)
        os.write(out, b" ")
        result = self.function()
        while not stop and not self.is_once:
            result = self.function()
        os.write(out, json.dumps(result).encode())

    def __enter__(self):
        self.out, out = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self._child(out)
                os._exit(0)
            except BaseException:  # pylint: disable=broad-except
                print("# " + traceback.format_exc().replace("\n", "\n# "), flush=True)
                os._exit(1)
        os.close(out)
        os.read(self.out, 1)
        return self

    def __exit__(self, *trouble):
        if not self.is_once:
            os.kill(self.pid, signal.SIGTERM)
        with open(self.out, "rb") as f:
            said = f.read()
        _, status = os.waitpid(self.pid, 0)
        assert status == 0 or trouble[0], status
        self.result = json.loads(said) if said else None


def as_user(function):
    """What FUNCTION returns, called as the user."""
    with User(function, is_once=True) as user:
        pass
    return user.result


# ---- races --------------------------------------------------------------------------

def race(steps, changes, watch=(), may_stay=False, runs=RUNS):
    """CHANGES while the user does STEPS over and over: what is outside is not touched. Whether
    there was a race is seen by many runs only."""
    before = tree(OUT)
    seen = Watch(OUT, f"{OUT}/authorized_keys", *watch)
    with Flip(*steps, uid=UID) as flip:
        results = run(changes, runs)
    done = seen.seen()
    seen.close()
    assert not done, done[:20]
    assert tree(OUT) == before
    left = [name for folder_path, _, _ in os.walk(TOP) for name in leftovers(folder_path)]
    told = ", ".join(f"{n} {text.rsplit(': ', 1)[-1]}" for text, n in results.items())
    print(f"# {flip.rounds} rounds: {told}; {len(left)} left behind")
    assert may_stay or not left, left
    assert runs < RUNS or flip.rounds > runs // 10, flip.rounds
    assert runs < RUNS or some(results, "ok") > 0, results
    return results


def test_ssh_is_a_link_now_and_then():
    with place():
        put_aside = f"{TOP}/aside"
        folder(put_aside)
        put(f"{put_aside}/authorized_keys", b"aside\n")
        os.symlink(OUT, f"{HOME}/out")
        os.symlink(put_aside, f"{HOME}/aside")
        results = race([("swap", SSH, f"{HOME}/out"), ("swap", SSH, f"{HOME}/out"),
                        ("swap", SSH, f"{HOME}/aside"), ("swap", SSH, f"{HOME}/aside")],
                       ALL, watch=[put_aside, f"{put_aside}/authorized_keys"])
        assert some(results, LINK) > 0, results
        found, = [p for p in (SSH, f"{HOME}/out", f"{HOME}/aside") if not os.path.islink(p)]
        assert read(f"{found}/authorized_keys") in (OLD, OLD + KEY)


def test_ssh_comes_and_goes():
    """Where it is not there it is made; then the first one cannot come back, and that race
    is over."""
    links = done = 0
    with place():
        for _ in range(15):
            results = race([("rename", SSH, f"{HOME}/x"), ("symlink", OUT, SSH),
                            *[("chmod", HOME, "0700")] * 6,
                            ("unlink", SSH), ("rename", f"{HOME}/x", SSH),
                            *[("chmod", HOME, "0700")] * 6], ALL, runs=RUNS // 15)
            links += some(results, LINK)
            done += some(results, "ok")
            found = [f"{p}/authorized_keys" for p in (SSH, f"{HOME}/x")
                     if not os.path.islink(p)]
            found = [read(p) for p in found if os.path.exists(p)]
            assert set(found) <= {OLD, OLD + KEY, KEY, b""}, found
            assert set(found) & {OLD, OLD + KEY}, found
            shutil.rmtree(HOME)
            make_home()
    assert links > 0 and done > 0, "there was no race"


def test_the_file_is_a_link_now_and_then():
    with place():
        put(f"{HOME}/aside", b"aside\n")
        bad = f"{SSH}/bad"
        results = race([("symlink", f"{OUT}/authorized_keys", bad), ("swap", FILE, bad),
                        ("swap", FILE, bad), ("unlink", bad),
                        ("symlink", "../aside", bad), ("swap", FILE, bad),
                        ("swap", FILE, bad), ("unlink", bad)],
                       ALL, watch=[f"{HOME}/aside"])
        assert some(results, LINK) > 0, results
        assert read(f"{HOME}/aside") == b"aside\n"


def test_the_file_is_a_pipe_or_a_folder_now_and_then():
    """Nobody writes to the pipe: who waited for that would wait for ever."""
    with place():
        for make, bad in ("mkfifo", f"{SSH}/pipe"), ("mkdir", f"{SSH}/folder"):
            results = race([(make, bad), ("swap", FILE, bad), ("swap", FILE, bad)], ALL)
            assert some(results, NO_FILE) > 0, results


def test_the_file_is_a_hard_link_now_and_then():
    with place():
        put(f"{HOME}/other", b"other\n")
        before = os.stat(f"{HOME}/other")
        results = race([("unlink", FILE), ("link", f"{HOME}/other", FILE)], ALL)
        assert some(results, "other|") > 0, results
        assert read(f"{HOME}/other") == b"other\n"
        after = os.stat(f"{HOME}/other")
        assert (before.st_ino, before.st_mode) == (after.st_ino, after.st_mode)


def test_modes_change():
    """Who takes away his own right to search the folder keeps what was made in it."""
    with place():
        results = race([("chmod", FILE, "0400"), ("chmod", FILE, "04777"),
                        ("chmod", FILE, "0"), ("chmod", FILE, "0600")], ALL)
        assert some(results, "Permission denied") > 0, results
        results = race([("chmod", SSH, "0"), ("chmod", SSH, "0777"), ("chmod", SSH, "0500"),
                        ("chmod", SSH, "0700")], ALL, may_stay=True)
        assert some(results, "Permission denied") > 0, results
        assert read(FILE) in (OLD, OLD + KEY)


def test_the_home_moves():
    with place():
        os.symlink(OUT, f"{TOP}/out")
        results = race([("swap", HOME, f"{TOP}/out"), ("swap", HOME, f"{TOP}/out"),
                        ("rename", HOME, f"{TOP}/x"), ("rename", f"{TOP}/x", HOME)], ALL)
        assert some(results, "Permission denied") > 0, results
        found, = [p for p in (HOME, f"{TOP}/out", f"{TOP}/x")
                  if os.path.exists(p) and not os.path.islink(p)]
        assert read(f"{found}/.ssh/authorized_keys") in (OLD, OLD + KEY)


# ---- old or new, and nobody's line is lost ------------------------------------------

def test_the_file_is_old_or_new():
    text = OLD * 2000
    counts = {}

    def look():
        with open(FILE, "rb") as f:
            seen = f.read()
        word = {text: "old", text + KEY: "new"}.get(seen, "neither")
        counts[word] = counts.get(word, 0) + 1
        return counts

    with place(text):
        with User(look) as user:
            results = run(TOGGLE)
        print(f"# seen: {user.result}")
        assert set(results) == {"ok"}, results
        assert set(user.result) == {"old", "new"}, user.result
        assert not leftovers()


def test_lines_that_are_appended():
    """The user adds lines of his own, while a key comes and goes. A line is lost if it is
    written between the last look at the old file and its end. And if it is written to what
    is that file no longer, since it was opened before: that is no matter of ours."""
    done, late = [], []

    def append():
        fd = os.open(FILE, os.O_WRONLY | os.O_APPEND)
        if not os.fstat(fd).st_nlink:
            late.append(len(done))
        os.write(fd, b"line %d\n" % len(done))
        done.append(fd)
        os.close(fd)
        time.sleep(0.0002)
        return len(done), late

    with place():
        with User(append) as user:
            results = run(TOGGLE)
        there = set(lines(FILE))
        count, late = user.result
        lost = {n for n in range(count) if b"line %d" % n not in there}
        assert set(late) <= lost
        print(f"# {len(lost)} of {count} lines lost in {RUNS} changes, of which {len(late)} "
              f"were written too late; {some(results, BUSY)} changes were given up")
        assert set(OLD.splitlines()) <= there
        assert some(results, "ok") + some(results, BUSY) == RUNS, results
        # Without that last look it is several in each change. How few there are depends on who
        # else wants the processor between the look and the rename.
        assert len(lost) <= 2 + RUNS // 4, len(lost)
        assert not leftovers()


# ---- who holds it -------------------------------------------------------------------

def test_a_lease_on_the_file():
    """Who opens a file on which somebody has a lease waits for him."""
    held = []

    def hold():
        if not held:
            signal.signal(signal.SIGIO, signal.SIG_IGN)
            held.append(os.open(FILE, os.O_RDWR))
            fcntl.fcntl(held[0], fcntl.F_SETLEASE, fcntl.F_WRLCK)
        time.sleep(0.05)

    with place():
        with User(hold):
            wait_until(lambda: "LEASE" in read("/proc/locks").decode(), "a lease")
            for change in ("get", "-"), ("add", "k1"), ("remove", "k0"):
                assert once(*change).endswith("Resource temporarily unavailable"), change
        assert once("get", "-") == "k0|" and read(FILE) == OLD


# ---- a disk that is full ------------------------------------------------------------

@contextlib.contextmanager
def disk(top, kind, size, options, data=None):
    """A home on a small disk; the home and the device."""
    path = scratch.image(top, "disk", size << 20)
    scratch.mkfs(kind, path, *options)
    with scratch.Loop(path) as loop:
        scratch.mount(loop.node, "/run/disk", kind, data=data)
        try:
            os.mkdir("/run/disk/home", 0o700)
            own("/run/disk/home")
            yield "/run/disk/home", loop.node
        finally:
            scratch.unmount("/run/disk", scratch.MNT_DETACH)


def fill(path):
    """Until nothing goes in any more, as the user."""
    def act():
        with open(path, "wb", buffering=0) as f:
            for size in 1 << 16, 1 << 12:
                try:
                    while True:
                        f.write(bytes(size))
                except OSError as why:
                    error = why.errno
        return error

    return os.strerror(as_user(act))


def refuses_for_lack(home, why):
    """Nothing goes in any more, so nothing changes; there is no .ssh yet, or there is."""
    name = f"{home}/.ssh/authorized_keys"
    before = tree(home)
    assert once("add", "k1", home=home) == f"failed to create directory '{home}/.ssh': {why}"
    assert tree(home) == before
    # Room for the folder, but for no file in it.
    with open(f"{home}/fill", "r+b") as f:
        f.truncate(os.path.getsize(f"{home}/fill") - 4096)
    before = tree(home)
    assert once("add", "k1", home=home) == f"failed to write to '{name}': {why}"
    assert tree(home) == before
    os.unlink(f"{home}/fill")
    assert once("reset", "k0", home=home) == "ok"
    assert fill(f"{home}/fill") == why
    before = tree(home)
    for change in ("add", "k1"), ("reset", "k1"), ("reset", "k" * 10000):
        assert once(*change, home=home) == f"failed to write to '{name}': {why}", change
        assert tree(home) == before
    assert once("add", "k0", home=home) == "ok"
    assert once("get", "-", home=home) == "k0|"
    os.unlink(f"{home}/fill")
    assert once("add", "k1", home=home) == "ok"
    assert read(name) == b"k0\nk1\n"


def test_a_disk_that_is_full():
    """For the user; root's blocks are free."""
    with place() as top, disk(top, "ext4", 8, ["-b", "4096", "-m", "20"]) as (home, _):
        assert fill(f"{home}/fill") == "No space left on device"
        assert os.statvfs(home).f_bfree > os.statvfs(home).f_bavail
        refuses_for_lack(home, "No space left on device")


def test_a_quota():
    options = ["-b", "4096", "-O", "quota", "-E", "quotatype=usrquota"]
    with place() as top, contextlib.ExitStack() as stack:
        try:
            home, node = stack.enter_context(disk(top, "ext4", 8, options, "usrquota"))
        except OSError as why:
            tap.skip(f"no quota on ext4 here: {why}")
        limits = struct.pack("=8QI4x", 200, 200, 0, 0, 0, 0, 0, 0, 1)  # QIF_BLIMITS
        set_quota = ctypes.c_int(0x800008 << 8 | 0)  # Q_SETQUOTA of users
        if LIBC.quotactl(set_quota, node.encode(), UID, limits) < 0:
            tap.skip(f"no quota here: {os.strerror(ctypes.get_errno())}")
        assert fill(f"{home}/fill") == "Disk quota exceeded"
        refuses_for_lack(home, "Disk quota exceeded")


def test_a_quota_of_btrfs():
    """Of a subvolume, so root's as well."""
    scratch.tool("btrfs")
    if not scratch.known("btrfs"):
        tap.skip("the kernel has no btrfs")
    why = "Disk quota exceeded"
    with place() as top, disk(top, "btrfs", 128, []) as (home, _):
        name = f"{home}/.ssh/authorized_keys"
        scratch.run("btrfs", "quota", "enable", "/run/disk")
        assert once("add", "k0", home=home) == "ok"
        scratch.run("btrfs", "qgroup", "limit", "1M", "/run/disk")
        assert fill(f"{home}/fill") == why
        before = tree(home)
        for change in ("add", "k1"), ("reset", "k1"), ("remove", "k0"):
            assert once(*change, home=home) == f"failed to write to '{name}': {why}", change
            assert tree(home) == before
        assert once("get", "-", home=home) == "k0|"
        scratch.run("btrfs", "qgroup", "limit", "none", "/run/disk")
        assert once("add", "k1", home=home) == "ok"
        assert read(name) == b"k0\nk1\n"


# ---- what the user can do to us -----------------------------------------------------

def attack(pid):
    """What each try to get at process PID comes to: an errno, or 0."""
    def of(call):
        ctypes.set_errno(0)
        try:
            return ctypes.get_errno() if call() == -1 else 0
        except OSError as why:
            return why.errno

    buf = ctypes.create_string_buffer(64)
    vec = struct.pack("PN", ctypes.addressof(buf), 8)
    null = ctypes.c_void_p(0)
    ptrace = LIBC.ptrace
    ptrace.restype = ctypes.c_long
    tries = {
        **{f"kill {n}": lambda n=n: os.kill(pid, n) for n in (0, 9, 15, 18, 19)},
        "ptrace attach": lambda: ptrace(16, pid, null, null),
        "ptrace seize": lambda: ptrace(0x4206, pid, null, null),
        "vm_readv": lambda: LIBC.process_vm_readv(pid, vec, 1, vec, 1, 0),
        "prlimit": lambda: LIBC.prlimit(pid, 1, struct.pack("QQ", 0, 0), null),
        "priority": lambda: LIBC.setpriority(0, pid, 19),
        "affinity": lambda: LIBC.sched_setaffinity(pid, 8, struct.pack("Q", 1)),
        **{name: lambda name=name: os.close(os.open(f"/proc/{pid}/{name}", os.O_RDONLY))
           for name in ("mem", "environ", "maps", "auxv", "syscall", "fd/0", "cwd/x")},
        "fd": lambda: os.listdir(f"/proc/{pid}/fd") and 0,
        "root": lambda: os.readlink(f"/proc/{pid}/root") and 0,
    }
    return {name: of(call) for name, call in tries.items()}


def test_the_user_has_no_power_over_us():
    with place():
        process = start("0", str(UID), HOME, "add", "k1")
        number, result = process.stdout.readline().split()
        assert result == "ok", result
        try:
            with open(f"/proc/{number}/status", encoding="ascii") as f:
                status = dict(line.rstrip("\n").split(":\t") for line in f if ":\t" in line)
            assert status["Uid"] == f"0\t0\t0\t{UID}", status["Uid"]
            for name in ("CapPrm", "CapEff", "CapInh", "CapAmb"):
                assert int(status[name], 16) == 0, (name, status)
            # The worker's, its own, and the one by which it cannot become root again.
            assert guard.filters(status) == 3, status
            found = as_user(lambda: attack(int(number)))
            assert set(found.values()) <= {1, 13}, found
            os.kill(int(number), 0)
        finally:
            process.communicate()
        assert process.returncode == 0


tap.run(tap.tests(globals()), limit=120)
