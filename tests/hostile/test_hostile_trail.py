#!/usr/bin/python3
# run: limit 240
"""The trail under attack: a disk that fills up and empties again, a journal that is replaced
by something else; what is lost is counted, nothing spins, and it recovers by itself."""
# pylint: disable=missing-function-docstring
import contextlib
import json
import os
import resource
import signal
import socket
import struct
import time

import scratch
import tap
from agent import Agent, children, wait_until
from hostile import OPS, Worker, note, request, request_head
from journald import SOCKET

ACT = OPS["test-act"]
REQUIRED = "[policy]\nbase = legacy\n[audit]\nrequired = yes\n"


def act(peer, number):
    """Was it carried out?"""
    peer.send(request(ACT, number, request_head() + struct.pack("<q", 0)))
    return not peer.reply(number).flags


def cpu(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def assert_idle(pid, seconds=2):
    before = cpu(pid)
    time.sleep(seconds)
    assert cpu(pid) - before < 0.1, cpu(pid) - before


# ---- a full disk --------------------------------------------------------------------------

@contextlib.contextmanager
def full(w, more=0):
    """Its file takes only MORE bytes more."""
    writer, = w.writer
    wait_until(lambda: len(w.records()) > 1, "the first records")  # it has begun
    was = resource.prlimit(writer, resource.RLIMIT_FSIZE)
    size = os.path.getsize(w.audit_path) + more
    resource.prlimit(writer, resource.RLIMIT_FSIZE, (size, was[1]))
    yield
    with contextlib.suppress(ProcessLookupError):  # it may have been killed
        resource.prlimit(writer, resource.RLIMIT_FSIZE, was)


def trail(w):
    """Records, and lines that are none."""
    good, bad = [], []
    with open(w.audit_path, "rb") as f:
        for line in f.read().split(b"\n")[:-1]:
            try:
                good.append(json.loads(line))
            except ValueError:
                bad.append(line)
    return good, bad


def check_counts(more):
    w = Worker("legacy")
    try:
        peer = w.frontend()
        act(peer, 1)
        wait_until(lambda: len(w.records("complete")) == 1, "the first")
        with full(w, more):
            for n in range(2, 12):
                act(peer, n)
                time.sleep(0.05)
        for n in range(12, 15):
            act(peer, n)
            time.sleep(0.05)
        good, bad = trail(w)
        assert len(bad) <= (1 if more else 0), bad
        numbers = [r["POSTERN_SEQ"] for r in good]
        dropped = sum(r.get("POSTERN_DROPPED", 0) for r in good)
        assert dropped > 10 and len(good) + dropped == numbers[-1], \
            (len(good), dropped, numbers)
        assert [r["POSTERN_REQUEST"] for r in good[-6:]] == [12, 12, 13, 13, 14, 14], numbers
    finally:
        w.process.kill()
        with contextlib.suppress(AssertionError):
            w.__exit__(AssertionError, None, None)


def test_all_that_a_full_disk_lost_is_counted():
    check_counts(0)


def test_after_half_a_record_comes_a_whole_one():
    check_counts(100)


def test_with_required_records_a_disk_that_has_room_again_is_seen():
    """Though only changes are asked for."""
    with Worker(policy=REQUIRED) as w:
        peer = w.frontend()
        assert act(peer, 1)
        with full(w):
            n = 2
            while act(peer, n):  # the first is lost in the writer, which the worker hears
                n += 1
                time.sleep(0.05)
            assert n < 5, n
            for n in range(n + 1, n + 20):
                assert not act(peer, n)
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline and not act(peer, n := n + 1):
            time.sleep(0.1)
        assert act(peer, n + 1), "it is still refused"


def test_a_writer_that_died_on_a_full_disk():
    """Its successor is not believed to be as bad."""
    with Worker(policy=REQUIRED) as w:
        time.sleep(1)  # one that lived for so long is replaced at once
        peer = w.frontend()
        old, = w.writer
        n = 1
        with full(w):
            while act(peer, n):
                n += 1
                time.sleep(0.05)
            time.sleep(0.3)  # what it was given it has read, and told
            os.kill(old, signal.SIGKILL)
            wait_until(lambda: children(w.pid) not in ([], [old]), "another")
            w.writer = children(w.pid)
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline and not act(peer, n := n + 1):
            time.sleep(0.1)
        assert act(peer, n + 1), "it is still refused"


# ---- whose counts they are --------------------------------------------------------------

def test_counts_of_an_earlier_worker_name_no_policy():
    """It may have been another one."""
    with Agent(profile="legacy") as a, a.client() as c:
        for _ in range(5):
            c.call("guest-get-host-name")
        old = a.child("worker")
        os.kill(old, signal.SIGKILL)
        wait_until(lambda: a.child("worker") not in (None, old), "another")
        wait_until(lambda: [r for r in a.records() if r.get("POSTERN_REPEAT") == 4],
                   "the count")
        [r] = [r for r in a.records() if r.get("POSTERN_REPEAT") == 4]
        assert "POSTERN_POLICY_SHA256" not in r, r


# ---- what stands where the journal was ----------------------------------------------------

def directory():
    os.mkdir(SOCKET)


def regular():
    with open(SOCKET, "wb"):
        pass


def fifo():
    os.mkfifo(SOCKET)


def dangling():
    os.symlink("/nowhere", SOCKET)


def stream():
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.bind(SOCKET)
    s.listen(1)
    return s


def deaf():
    """It never reads."""
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.bind(SOCKET)
    return s


def of_another():
    """It is somebody else's: who sends gets EPERM."""
    a, b = (socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(2))
    b.bind(SOCKET + "-")
    a.bind(SOCKET)
    a.connect(SOCKET + "-")
    return a, b


def check_replaced(how):
    with scratch.namespaces():
        os.makedirs(os.path.dirname(SOCKET), exist_ok=True)
        journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        journal.bind(SOCKET)
        with Agent(profile="legacy", audit=False, args=["--audit", "journal"]) as a, \
                a.client() as c:
            c.call("guest-get-host-name")
            journal.close()
            os.unlink(SOCKET)
            keep = how()
            worker = a.child("worker")
            for n in range(300):
                c.call("guest-file-close", handle=n)
            assert_idle(worker, 2)
            del keep
            if os.path.isdir(SOCKET) and not os.path.islink(SOCKET):
                os.rmdir(SOCKET)
            else:
                os.unlink(SOCKET)
            journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            journal.bind(SOCKET)
            journal.settimeout(5)
            assert b"POSTERN_SEQ" in journal.recv(1 << 16)
            # It reads the rest, or the agent would wait a moment for it.
            journal.settimeout(0.5)
            with contextlib.suppress(TimeoutError):
                while True:
                    journal.recv(1 << 16)
            assert_idle(worker, 1)
            began = time.monotonic()
        assert time.monotonic() - began < 2


REPLACED = [(f"where the journal was: {how.__name__}", lambda how=how: check_replaced(how))
            for how in (directory, regular, fifo, dangling, stream, deaf, of_another)]

tap.run(tap.tests(globals()) + REPLACED, limit=60)
