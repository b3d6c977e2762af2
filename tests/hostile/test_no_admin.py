#!/usr/bin/python3
"""Whatever a test sends: what it started cannot freeze or trim a file system of this
machine, since neither that nor anything below it has CAP_SYS_ADMIN (agent.no_admin;
tests/lint/starts sees to it that everything is started so).
"""
# pylint: disable=missing-function-docstring
import ctypes
import errno
import fcntl
import os
import signal
import subprocess
import sys

import scratch
import tap
from agent import CAP_SYS_ADMIN, Agent, comm, descendants, no_admin, status
from hostile import Worker
from reference import Reference

IS_ROOT = os.geteuid() == 0
FIFREEZE, FITHAW = 0xC0045877, 0xC0045878


def holding(told):
    """The sets that have it, in a dict as status() gives it. An ordinary user is bounded by
    it and does not get it."""
    kinds = ("CapInh", "CapPrm", "CapEff", "CapAmb", *(["CapBnd"] if IS_ROOT else []))
    return [kind for kind in kinds if int(told[kind], 16) >> CAP_SYS_ADMIN & 1]


def check(pid):
    for p in [pid] + descendants(pid):
        assert not holding(status(p)), (comm(p), holding(status(p)))


def test_an_agent_and_its_programs():
    with Agent(profile="legacy") as a, a.client() as c:
        program = c.call("guest-exec", path="sleep", arg=["100"])["return"]["pid"]
        assert {comm(p) for p in descendants(a.pid)} == {
            "postern-worker", "postern-fronten", "postern-inspect", "postern-spawner", "sleep"}
        check(a.pid)
        os.kill(program, signal.SIGKILL)


def test_a_worker():
    with Worker("legacy") as w:
        check(w.pid)


def test_the_reference():
    with Reference() as r:
        check(r.process.pid)


def test_where_it_is_kept_the_worker_has_test_operations():
    for profile in ("safe", "legacy"):
        try:
            Agent(profile=profile, admin=True)
        except ValueError:
            continue
        raise AssertionError("an agent that could freeze the machine was started")
    if IS_ROOT:
        with Agent(profile="legacy", testops=True, admin=True) as a:
            assert holding(status(a.child("worker"))) == ["CapPrm", "CapEff", "CapBnd"]
        with Worker("legacy", admin=True) as w:
            assert holding(status(w.pid)) == ["CapPrm", "CapEff", "CapBnd"]


def inherit():
    """Have it in the sets that an exec passes on, whatever the bounding set is."""
    libc = ctypes.CDLL(None, use_errno=True)
    head, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(head, sets) == 0
    sets[2] |= 1 << CAP_SYS_ADMIN
    assert libc.capset(head, sets) == 0
    assert libc.prctl(47, 2, CAP_SYS_ADMIN, 0, 0) == 0  # PR_CAP_AMBIENT, _RAISE


def told_by_cat(prepare):
    out = subprocess.run(["cat", "/proc/self/status"], check=True, text=True,
                         stdout=subprocess.PIPE, preexec_fn=lambda: prepare(no_admin)).stdout
    return dict(line.split(":\t", 1) for line in out.splitlines() if "Cap" in line)


def test_a_starter_that_passes_it_on():
    if not IS_ROOT:
        tap.skip("needs root, to have it")

    def only_inherited(_):
        inherit()

    def both(guard):
        inherit()
        guard()

    assert "CapEff" in holding(told_by_cat(only_inherited)), "the test itself is wrong"
    assert not holding(told_by_cat(both))


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
                                 stdout=subprocess.PIPE, preexec_fn=no_admin).stdout
        finally:
            try:
                fcntl.ioctl(fd, FITHAW, 0)
            except OSError as why:
                assert why.errno == errno.EINVAL, why  # it is not frozen
            os.close(fd)
        assert out.split() == [str(errno.EPERM)] * 2, out


tap.run(tap.tests(globals()))
