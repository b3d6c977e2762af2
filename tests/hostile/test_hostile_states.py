#!/usr/bin/python3
# run: limit 180
"""A hostile frontend that sends every message in every state of the worker: whole, cut at every
byte, with bytes or descriptors too many or of the wrong kind. In each state it is thrown out for
what it is thrown out for in every other, and the state is what it was."""
# pylint: disable=missing-function-docstring
import contextlib
import os
import signal
import struct
import tempfile

import frost
import tap
from agent import VARIANT, stopped, wait_until
from hostile import (ABANDON, BODY_FD, ERROR, LOG, OPS, REPLY, SEALS, STATE, TABLE, Descriptors,
                     Worker, frame, note, request, request_head, text)

SLEEP, ACT, OPEN, WRITE = (OPS[n] for n in ("test-sleep", "test-act", "guest-file-open",
                                            "guest-file-write"))
STATUS, FREEZE, THAW = (OPS[n] for n in ("guest-fsfreeze-status", "guest-fsfreeze-freeze-list",
                                         "guest-fsfreeze-thaw"))
POLICY = """
[policy]
base = safe
[rule "files"]
effect = allow
command = guest-file-open
path-beneath = /run ; /tmp ; /root
open-mode = read
"""
MANY = 50  # requests before it, so that numbers are free below
NUMBER = MANY + 1
CUTS = 1 if VARIANT == "release" else 7  # of those in a sanitizer build, one in so many


def sleep_for(ms):
    return request_head() + struct.pack("<q", ms)


def messages(d):
    """(packet, descriptors, good): everything there is to send."""
    fd, body = d.memfd(b"abc"), d.memfd(sleep_for(0))
    good = [(frame(ABANDON, request=1), []), (note(words=b"abc"), []),
            (frame(LOG, body=b"\6text"), []), (request(ACT, NUMBER), []),
            (request(SLEEP, NUMBER, sleep_for(0)), []),
            (request(SLEEP, NUMBER, b"", BODY_FD, 1), [body]),
            (request(WRITE, NUMBER, fds=1), [fd])]
    bad = [(frame(n, op, NUMBER), []) for n in range(32) if n not in (ABANDON, LOG)
           for op in (0, SLEEP["number"])]
    for packet, fds in good:
        bad += [(packet[:n], fds) for n in range(1, len(packet), CUTS)]
        bad += [(packet + b"\0", fds), (packet + bytes(70000), fds)]
        bad += [(packet, fds + [fd] * n) for n in (1, 2, 3, 100)]
        if fds:
            bad.append((packet, []))
    # Of a request that is refused nobody looks at what its content is; of its body always.
    wrong = [fd for _, fd in d.hostile()] + [d.memfd(b""), d.memfd(sleep_for(0) + b"\0"),
                                             d.memfd(sleep_for(0)[:-1]), d.memfd(size=1 << 40)]
    wrong += [d.memfd(sleep_for(0), SEALS & ~(1 << bit)) for bit in range(4)]
    bad += [(request(SLEEP, NUMBER, b"", BODY_FD, 1), [fd]) for fd in wrong]
    return [(*m, True) for m in good] + [(*m, False) for m in bad]


def answer(peer, number):
    """The reply to that; others, and what it is told of freezes, may come before."""
    while True:
        f = peer.recv()
        if f.type == REPLY and f.request == number:
            return f
        assert f.type == STATE or f.request in range(1, NUMBER + 1), vars(f)


class State:
    """A worker in a state; `before` makes a frontend that is in it as well."""

    writes = True  # its records, at once

    def __init__(self, w, greet=True):
        self.w, self.greet = w, greet

    def frontend(self):
        peer = self.w.frontend(self.greet)
        self.before(peer)
        return peer

    def before(self, peer):
        pass

    def after(self):
        """Still in that state?"""


class UnderWay(State):
    """It has an operation under way; with `abandoned` it waits for that no longer."""

    def __init__(self, w, count=1, abandoned=False):
        super().__init__(w)
        self.count, self.abandoned = count, abandoned

    def before(self, peer):
        for n in range(1, self.count + 1):
            peer.send(request(SLEEP, n, sleep_for(60000)))
            if self.abandoned:
                peer.send(frame(ABANDON, request=n))
        wait_until(lambda: len(self.w.busy()) == self.count, "its operations")

    def after(self):
        for pid in self.w.busy():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not self.w.busy(), "its operations to end")


class Frozen(State):
    """Something is; its records are held until the thaw, and counted where there is no room."""

    writes = False

    def after(self):
        peer = self.w.frontend()
        peer.send(request(STATUS, 1, request_head()))
        assert answer(peer, 1).body == text("frozen")


class Reload(State):
    """The policy is being read."""

    def before(self, peer):
        self.w.launch.send(b"h")


class Files(State):
    """A file is open."""

    def __init__(self, w):
        super().__init__(w)
        self.open = w.busy()

    def after(self):
        wait_until(lambda: self.w.busy() == self.open, "nobody else to be there")


def check(state, every=1):
    """Every message, or one of so many: who sends what is good is served on."""
    w = state.w
    told = len(w.records("child-violation"))
    with Descriptors() as d:
        for packet, fds, good in messages(d)[::every]:
            good = good and state.greet
            peer = state.frontend()
            peer.send(packet, fds)
            if good:
                # A frontend that was not thrown out gets an answer to this.
                peer.send(request(ACT, NUMBER + 1))
                assert answer(peer, NUMBER + 1).flags == ERROR
                peer.close()
            else:
                peer.wait_closed()
                told += 1
                if state.writes and told % 40 == 0:
                    wait_until(lambda n=told: len(w.records("child-violation")) >= n, "records")
            state.after()
    if state.writes:
        w.wait_records("child-violation", told)


def with_worker(state, every=1, **how):
    with Worker(policy=POLICY) as w:
        check(state(w, **how), every)
        w.works()


def test_before_hello():
    with_worker(State, greet=False)


def test_idle():
    with_worker(State)


def test_operation_under_way():
    with_worker(UnderWay)


def test_abandoned():
    with_worker(UnderWay, abandoned=True)


def test_as_many_as_there_may_be():
    with_worker(UnderWay, every=9, count=TABLE["REQUESTS_MAX"] - 1)


def test_reload_in_flight():
    with Worker(policy=POLICY) as w:
        with stopped(w.reader.pid):
            check(Reload(w))
        w.works()


def test_files_open():
    with tempfile.NamedTemporaryFile(dir="/tmp", prefix="postern-test-") as f, \
            Worker(policy=POLICY) as w:
        peer = w.frontend()
        peer.send(request(OPEN, 1, request_head() + text(os.path.realpath(f.name)) + b"\0"))
        reply = peer.reply(1)
        assert reply.flags == 0, reply.body
        check(Files(w))


def test_frozen():
    with frost.stage() as s:
        disk = s.disk("a")
        with Worker(policy=POLICY, admin=True) as w:
            peer = w.frontend()
            peer.send(request(FREEZE, 1, request_head() + b"\1" + struct.pack("<I", 1)
                              + text(disk.point)))
            assert answer(peer, 1).flags == 0
            assert disk.is_frozen()
            check(Frozen(w))
            assert disk.is_frozen()
            peer = w.frontend()
            peer.send(request(THAW, 1, request_head()))
            assert answer(peer, 1).flags == 0
            assert not disk.is_frozen()


def test_stopping():
    """The word to stop and the message are there at once."""
    with Descriptors() as d:
        todo = messages(d)
        for packet, fds, _ in todo[:7] + todo[7::max(1, len(todo) // 20)]:
            w = Worker(policy=POLICY)
            peer = w.frontend()
            with stopped(w.pid):
                w.launch.send(b"q")
                peer.send(packet, fds)
            try:
                assert w.process.wait(20) == 0, (packet[:20], w.stderr())
            finally:
                w.clear()


tap.run(tap.tests(globals()), limit=60)
