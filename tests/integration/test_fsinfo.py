#!/usr/bin/python3
"""guest-get-fsinfo with real mounts: what is listed in which order, what has sizes, and a
file system that does not answer

The one that does not answer is a FUSE one on a loop device ("fuseblk", the kind that the
reference lists), served here.
"""
# pylint: disable=missing-function-docstring
# run: limit 120
import contextlib
import json
import os
import select
import signal
import struct
import threading
import time

import scratch
import tap
from agent import Agent, is_zombie, status, wait_until


# ---- a file system that hangs ----------------------------------------------------------

HEAD = struct.Struct("<IIQQIIII")
INIT, STATFS, DESTROY, FORGET, INTERRUPT, BATCH_FORGET = 26, 17, 38, 2, 36, 42
ENOSYS = 38


class Fuse:
    """A server of one empty file system. `mode` says what becomes of a statfs:

    answer   the numbers of statfs()
    keep     taken and not answered: no signal ends the caller
    ignore   not even taken: a signal ends the caller
    """

    def __init__(self, device, point, mode="answer"):
        self.mode = "answer"
        self.point = point
        self.kept = []
        self.running = True
        self.fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        scratch.mount(device, point, "fuseblk",
                      data=f"fd={self.fd},rootmode=40000,user_id=0,group_id=0,allow_other")
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()
        assert os.statvfs(point).f_blocks == 1000
        self.mode = mode

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """Whoever waits gets an error."""
        self.running = False
        self.thread.join()
        os.close(self.fd)

    def release(self):
        self.mode = "answer"
        kept, self.kept = self.kept, []
        for unique in kept:
            self._statfs(unique)

    def _reply(self, unique, body=b"", error=0):
        with contextlib.suppress(FileNotFoundError):  # the caller is gone
            os.write(self.fd, struct.pack("<IiQ", 16 + len(body), -error, unique) + body)

    def _statfs(self, unique):
        self._reply(unique, struct.pack("<5Q10I", 1000, 600, 500, 10, 10, 512, 255, 512,
                                        *[0] * 7))

    def _serve(self):
        while self.running:
            ready = select.select([self.fd], [], [], 0.02)[0]
            if self.mode == "ignore":
                time.sleep(0.02)
                continue
            if not ready:
                continue
            try:
                request = os.read(self.fd, 1 << 18)
            except FileNotFoundError:  # the caller was killed
                continue
            except OSError:  # not mounted any more
                return
            self._answer(*HEAD.unpack_from(request)[1:3])

    def _answer(self, code, unique):
        if code == INIT:
            self._reply(unique, struct.pack("<4I2H2I2H8I", 7, 31, 65536, 0, 16, 12, 65536,
                                            1, 16, 0, *[0] * 8))
        elif code == STATFS and self.mode == "answer":
            self._statfs(unique)
        elif code == STATFS:
            self.kept.append(unique)
        elif code == DESTROY:
            self._reply(unique)
        elif code not in (FORGET, BATCH_FORGET, INTERRUPT):
            self._reply(unique, error=ENOSYS)


@contextlib.contextmanager
def hanging(top, mode):
    if not os.path.exists("/dev/fuse") or not scratch.known("fuseblk"):
        tap.skip("the kernel has no FUSE")
    with scratch.Loop(scratch.image(top, "hung", 1 << 20)) as loop, \
            Fuse(loop.node, os.path.join(top, "hung"), mode) as fuse:
        yield fuse


@contextlib.contextmanager
def setting():
    """A folder for mounts, an ext4 file system in it, an agent and its client."""
    with scratch.namespaces() as top:
        path = scratch.image(top, "fs", 16 << 20)
        scratch.mkfs("ext4", path)
        with scratch.Loop(path) as loop:
            fs = os.fsdecode(scratch.mount(loop.node, os.path.join(top, "fs"), "ext4"))
        with Agent() as a, a.client() as c:
            yield top, fs, a, c


# ---- asking ----------------------------------------------------------------------------

def fsinfo(client):
    return client.call("guest-get-fsinfo")["return"]


def by_point(client):
    return {f["mountpoint"]: f for f in fsinfo(client)}


def sizes(info):
    return tuple(info.get(k) for k in ("used-bytes", "total-bytes", "total-bytes-privileged"))


def expected_sizes(point):
    s = os.statvfs(point)
    used = s.f_blocks - s.f_bfree
    return used * s.f_frsize, (used + s.f_bavail) * s.f_frsize, s.f_blocks * s.f_frsize


FUSE_SIZES = (400 * 512, 900 * 512, 1000 * 512)
NO_SIZES = (None, None, None)


def size_children(agent):
    """Children of the inspector that are still there, zombies as well."""
    inspector = agent.child("inspector")
    return [p for p in agent.pids("inspector") if p != inspector]


def left_behind(agent):
    """Those that hang; who waits to be asked again can be woken."""
    return [p for p in size_children(agent) if status(p)["State"].startswith("D")]


# ---- what is listed --------------------------------------------------------------------

def test_this_machine():
    """As whoever runs the test."""
    with open("/proc/self/mountinfo", encoding="ascii", errors="replace") as f:
        table = [line.split() for line in f]
    want = [(w[4], w[w.index("-") + 1]) for w in reversed(table)
            if not w[2].startswith("0:") and "\\" not in w[4]]
    with Agent() as a, a.client() as c:
        got = [(f["mountpoint"], f["type"]) for f in fsinfo(c)]
    assert [g for g in got if g in want] == want, (got, want)


def test_binds_are_listed_in_reverse_order():
    with setting() as (top, fs, _, c):
        with open(fs + "/file", "wb"):
            pass
        points = [f"{top}/{name}" for name in ("bind", "read-only", "one-file")]
        scratch.bind(fs, points[0])
        scratch.bind(fs, points[1], readonly=True)
        scratch.bind(fs + "/file", points[2])
        scratch.mount("none", f"{top}/tmpfs", "tmpfs")
        got = [f for f in fsinfo(c) if f["mountpoint"].startswith(top)]
        assert [f["mountpoint"] for f in got] == points[::-1] + [fs], got
        for f in got:
            assert f["type"] == "ext4" and f["name"].startswith("loop"), f
            assert f["disk"] == [] and sizes(f) == expected_sizes(fs), f


def test_a_path_that_an_ordinary_user_cannot_walk():
    with setting() as (top, fs, _, c):
        scratch.bind(fs, f"{top}/secret/here")
        os.chmod(f"{top}/secret", 0o700)
        got = by_point(c)
        assert sizes(got[f"{top}/secret/here"]) == NO_SIZES
        assert sizes(got[fs]) == expected_sizes(fs)


# ---- what hangs ------------------------------------------------------------------------

def test_a_hang_that_no_signal_ends():
    with setting() as (top, fs, a, c), hanging(top, "keep") as fuse:
        for _ in range(3):
            got = by_point(c)
            assert sizes(got[fuse.point]) == NO_SIZES
            assert got[fuse.point]["type"] == "fuseblk"
            assert sizes(got[fs]) == expected_sizes(fs)
            assert "used-bytes" in got["/"]
            assert len(fuse.kept) == 1, "known to hang, and asked again"
        stuck, = left_behind(a)
        wait_until(lambda: a.stderr().count(
            f"processes left behind: 1; statfs of {fuse.point} hangs") == 1, "a line")
        assert a.stderr().count("hangs") == 1, a.stderr()
        fuse.release()
        wait_until(lambda: not os.path.exists(f"/proc/{stuck}"), "its end")
        assert sizes(by_point(c)[fuse.point]) == FUSE_SIZES


def test_a_hang_that_a_signal_ends():
    with setting() as (top, fs, a, c), hanging(top, "ignore") as fuse:
        got = by_point(c)
        assert sizes(got[fuse.point]) == NO_SIZES
        assert sizes(got[fs]) == expected_sizes(fs)
        assert not left_behind(a)
        fuse.release()
        assert sizes(by_point(c)[fuse.point]) == FUSE_SIZES


def test_the_inspector_dies_while_its_child_hangs():
    with setting() as (top, fs, a, c), hanging(top, "keep") as fuse:
        by_point(c)
        stuck, = left_behind(a)
        old = a.child("inspector")
        os.kill(old, signal.SIGKILL)
        # The worker sees the end of its socket although a child of the inspector lives.
        assert "used-bytes" in by_point(c)["/"]
        assert sizes(by_point(c)[fs]) == expected_sizes(fs)
        assert a.child("inspector") != old
        assert not is_zombie(stuck) and len(fuse.kept) == 2
        fuse.release()
        wait_until(lambda: not os.path.exists(f"/proc/{stuck}") or is_zombie(stuck),
                   "its end")


def test_the_inspector_dies_while_it_waits():
    with setting() as (top, fs, a, c), hanging(top, "keep") as fuse:
        c.send(b'{"execute":"guest-get-fsinfo"}\n')
        wait_until(lambda: fuse.kept, "the hang")
        os.kill(a.child("inspector"), signal.SIGKILL)
        line, = c.recv_replies(1)
        got = {f["mountpoint"]: f for f in json.loads(line)["return"]}
        assert sizes(got[fuse.point]) == NO_SIZES
        assert sizes(got[fs]) == expected_sizes(fs)


# ---- the child that stays ---------------------------------------------------------------

IDLE_S = 2  # SIZES_IDLE_S


def one_child(agent):
    child, = size_children(agent)
    return child


def test_a_child_is_asked_again_and_goes():
    with Agent() as a, a.client() as c:
        assert not size_children(a)
        fsinfo(c)
        child = one_child(a)
        for _ in range(3):
            time.sleep(IDLE_S / 3)  # longer than it waits, all in all
            fsinfo(c)
            assert one_child(a) == child
        if os.geteuid() == 0:  # else nobody may look: it is not dumpable
            assert os.listdir(f"/proc/{child}/fd") == ["0", "1", "2"]
        inspector = a.child("inspector")
        time.sleep(IDLE_S / 2)
        before = status(inspector)["voluntary_ctxt_switches"]
        wait_until(lambda: not os.path.exists(f"/proc/{child}"), "its end", IDLE_S + 1)
        # It leaves no zombie, and nobody had to wake for that.
        assert status(inspector)["voluntary_ctxt_switches"] == before
        assert "used-bytes" in by_point(c)["/"] and one_child(a) != child


def test_a_mount_that_came_later():
    """The child sees what was mounted after it began, and holds nothing that goes."""
    with setting() as (top, fs, a, c):
        fsinfo(c)
        child = one_child(a)
        scratch.mount("none", f"{top}/tmpfs", "tmpfs")
        scratch.bind(fs, f"{top}/tmpfs/late")
        assert sizes(by_point(c)[f"{top}/tmpfs/late"]) == expected_sizes(fs)
        scratch.unmount(f"{top}/tmpfs/late")
        scratch.unmount(f"{top}/tmpfs")
        assert f"{top}/tmpfs/late" not in by_point(c)
        assert one_child(a) == child


def test_a_child_ends_with_the_inspector():
    with Agent() as a, a.client() as c:
        fsinfo(c)
        child = one_child(a)
        os.kill(a.child("inspector"), signal.SIGKILL)
        wait_until(lambda: not os.path.exists(f"/proc/{child}") or is_zombie(child),
                   "its end", IDLE_S / 2)


def test_a_child_is_killed():
    with Agent() as a, a.client() as c:
        fsinfo(c)
        child = one_child(a)
        os.kill(child, signal.SIGKILL)
        began = time.monotonic()
        assert "used-bytes" in by_point(c)["/"]
        assert time.monotonic() - began < 1
        assert one_child(a) != child and "child" not in a.stderr()


tap.run(tap.tests(globals()))
