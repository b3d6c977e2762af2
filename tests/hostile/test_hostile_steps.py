#!/usr/bin/python3
# run: limit 240
"""Requests that take several programs, one after the other, where everything around them goes
wrong: the test is the worker's frontend and its spawner, so it sees every order that the
worker gives, and answers late, twice, in another order, with anything, or not at all.
"""
# pylint: disable=missing-function-docstring
import os
import random
import resource
import select
import socket
import struct
import time

import fuse
import scratch
import tap
from agent import VARIANT, wait_until
from hostile import (ABANDON, ERROR, OPS, REPLY, REQUEST, Closed, Descriptors, Frame, Worker,
                     fd_count, frame, request, request_head, rss_kib, text)
from memory import is_ours, memory

ENDED, FORGET, END = 10, 11, 12
EXEC, STATUS = OPS["guest-exec"]["number"], OPS["guest-exec-status"]["number"]
PASSWORD = OPS["guest-set-user-password"]
GET = OPS["guest-ssh-get-authorized-keys"]
POLICY = """
[policy]
base = none
[rule "accounts"]
effect = allow
command = @password ; @ssh-keys
uid-min = 1000
"""
PASSWD = b"alice:x:1000:1000::/nonexistent:/bin/sh\n"
TEXT_MAX = 128 * 1024  # worker/steps/steps.h


def bounds(is_secret):
    """What a program gets besides its words: no environment, nobody's rights but root's, 20 s,
    and what it writes is taken, or it is given a secret."""
    return (bytes(5) + bytes([not is_secret]) + bytes(3) + opt(struct.pack("<Q", 20000))
            + opt(struct.pack("<Q", TEXT_MAX)) + bytes(3) + opt(bytes([is_secret])))


def opt(value=None):
    return b"\0" if value is None else b"\1" + value


def integer(value):
    return struct.pack("<q", value)


class Order(Frame):
    """What the spawner was told; of a program its path, its words and its input."""

    def __init__(self, packet, fds):
        self.input = None
        if fds:
            with os.fdopen(os.dup(fds[0]), "rb") as f:
                self.input = f.read()  # up to its end: nobody else can write to it
        super().__init__(packet, fds)
        if (self.type, self.op) != (REQUEST, EXEC):
            return
        self.at = 0
        self.path = self._text()
        count, self.at = struct.unpack_from("<I", self.body, self.at)[0], self.at + 4
        self.argv = [self._text() for _ in range(count)]
        self.bounds = self.body[self.at:]

    def _text(self):
        size, = struct.unpack_from("<I", self.body, self.at)
        self.at += 4 + size
        return self.body[self.at - size:self.at].decode()


class Machine:
    """A worker, and all that it talks to."""

    def __init__(self, policy=POLICY, **how):
        self.worker = Worker(policy=policy, **how)
        self.spawner = self.worker.spawner()
        self.peer, self.number, self.pid = self.worker.frontend(), 0, 5000
        self.d, self.replies = Descriptors(), {}

    def __enter__(self):
        return self

    def __exit__(self, *trouble):
        self.d.__exit__()
        self.worker.__exit__(*trouble)

    # -- the frontend

    def ask(self, op=PASSWORD, user="alice", more=None):
        """Send a request; its number."""
        if more is None:
            more = text("secret") + b"\0" if op is PASSWORD else b""
        self.number += 1
        self.peer.send(request(op, self.number, request_head() + text(user) + more))
        return self.number

    def reply(self, number):
        """That of NUMBER; others may come before it."""
        while number not in self.replies:
            f = self.peer.recv()
            assert (f.type, f.request in self.replies) == (REPLY, False), (f.type, f.request)
            self.replies[f.request] = f
        return self.replies.pop(number)

    def error(self, number):
        reply = self.reply(number)
        assert reply.flags & ERROR, reply.body
        return reply.body.decode("utf-8", "replace")

    def good(self, number):
        reply = self.reply(number)
        assert not reply.flags & ERROR and reply.body == b"", reply.body

    # -- the spawner

    def order(self):
        try:
            packet, fds, _, _ = socket.recv_fds(self.spawner.sock, 1 << 17, 8)
        except ConnectionResetError:
            packet, fds = b"", []
        if not packet:
            raise Closed
        return Order(packet, fds)

    def program(self, name):
        """The next order, which is to run that."""
        o = self.order()
        assert (o.type, o.op) == (REQUEST, EXEC), (o.type, o.op, o.request)
        assert os.path.basename(o.path) == name == o.argv[0], (o.path, o.argv)
        assert o.bounds == bounds(name == "chpasswd"), o.bounds
        return o

    def started(self, o, pid=None):
        self.pid += 1
        pid = pid or self.pid
        self.spawner.send(frame(REPLY, EXEC, o.request, body=integer(pid) + opt()))
        return pid

    def ended(self, pid, code=0, timed_out=False, signal=None):
        self.spawner.send(frame(ENDED, body=integer(pid)
                                + opt(None if code is None else integer(code))
                                + opt(None if signal is None else integer(signal))
                                + bytes([timed_out]) + struct.pack("<Q", 0) + b"\0"))

    def wrote(self, pid, output, code=0, exited=True):
        """What it is asked for is what PID wrote."""
        o = self.order()
        assert (o.type, o.op, o.body) == (REQUEST, STATUS, integer(pid)), (o.type, o.op)
        fds = [self.d.memfd(output)] if output else []
        body = bytes([exited]) + opt(integer(code)) + opt() + opt(
            struct.pack("<Q", len(output)) if output else None) + opt() * 3
        self.spawner.send(frame(REPLY, STATUS, o.request, fds=len(fds), body=body), fds)
        for fd in fds:
            os.close(fd)
            self.d.fds.remove(fd)

    def told(self, kind, pid):
        o = self.order()
        assert (o.type, o.request) == (kind, pid), (o.type, o.request, kind, pid)

    def run(self, name, output=None, code=0):
        """NAME is run from its begin to its end."""
        o = self.program(name)
        pid = self.started(o)
        self.ended(pid, code)
        if output is not None:
            self.wrote(pid, output, code)
        self.told(FORGET, pid)
        return o

    def respawn(self):
        self.spawner.close()
        self.spawner = self.worker.spawner()

    def idle(self, base):
        """Its op children are gone; descriptors it has as many as at first."""
        wait_until(lambda: not self.worker.busy() and fd_count(self.worker.pid) == base,
                   lambda: f"{fd_count(self.worker.pid)} descriptors to be {base}")

    # -- the records

    def settled(self, count):
        """Each of COUNT requests has one decision, then one end: {number: (decision, end)}."""
        wait_until(lambda: len(self.worker.records("complete")) >= count, "all ends")
        found = {}
        for r in self.worker.records():
            if r["POSTERN_EVENT"] in ("decision", "complete"):
                found.setdefault(r["POSTERN_REQUEST"], []).append(r)
        assert len(found) == count, (len(found), count)
        for pair in found.values():
            assert [r["POSTERN_EVENT"] for r in pair] == ["decision", "complete"], pair
            assert "POSTERN_SKEW" not in pair[0], pair
        return found


# ---- what is run, and when ------------------------------------------------------------------

def test_the_orders_of_a_password():
    with Machine() as m:
        base = fd_count(m.worker.pid)
        n = m.ask()
        o = m.program("getent")
        assert o.argv == ["getent", "passwd", "--", "alice"] and o.input is None, o.argv
        # Nothing was decided yet, so nothing was done that changes anything.
        assert not m.worker.records("decision")
        pid = m.started(o)
        m.ended(pid)
        m.wrote(pid, PASSWD)
        m.told(FORGET, pid)
        o = m.program("chpasswd")
        assert (o.argv, o.input) == (["chpasswd"], b"alice:secret\n"), o.argv
        m.worker.wait_records("decision", 1)
        m.idle(base)  # it has no end of the password's pipe any more
        pid = m.started(o)
        m.peer.nothing()
        m.ended(pid)
        m.told(FORGET, pid)
        m.good(n)
        n = m.ask(more=text("$6$x") + b"\1")
        m.run("getent", PASSWD)
        assert m.run("chpasswd").argv == ["chpasswd", "-e"]
        m.good(n)
        m.spawner.nothing()
        m.settled(2)
        assert [r["POSTERN_RESULT"] for r in m.worker.records("password")] == ["ok"] * 2


def test_the_orders_for_keys():
    with Machine() as m:
        n = m.ask(GET)
        assert m.run("getent", PASSWD).argv == ["getent", "passwd", "--", "alice"]
        assert m.run("getent", b"alice 1000\n").argv == ["getent", "initgroups", "--", "alice"]
        assert "/nonexistent/.ssh/authorized_keys" in m.error(n) or os.geteuid()
        # Where getent knows no such thing there are no further groups.
        n = m.ask(GET)
        m.run("getent", PASSWD)
        m.run("getent", b"alice x\n", 1)
        assert "/nonexistent/.ssh/authorized_keys" in m.error(n) or os.geteuid()
        m.spawner.nothing()
        m.settled(2)


def test_no_process_is_born_with_a_password():
    """Not even the one that only looks for getent, here in a file system that hangs."""
    if os.geteuid() != 0:
        tap.skip("needs root, to mount and to look into memory")
    name, secret = random.randbytes(20).hex(), random.randbytes(250).hex()
    pieces = [secret[n:n + 20].encode() for n in range(0, 500, 20)]
    with scratch.namespaces(), fuse.Server("/usr/sbin") as server, Machine() as m:
        server.hold("LOOKUP")
        n = m.ask(user=name, more=text(secret) + b"\0")
        child, = wait_until(m.worker.busy, "the search")
        time.sleep(0.2)  # it is let go of only once it was looked at
        for pid in (child, m.worker.pid):
            content = b"".join(c for place, c in memory(pid) if is_ours(place))
            assert name.encode() in content
            assert not [p for p in pieces if p in content], pid
        server.answer()
        m.run("getent", b"", 2)
        m.error(n)


# ---- what a program writes ------------------------------------------------------------------

LINES = [b"", PASSWD + b"\0", PASSWD + b"\0\n", b"\n", b"alice", PASSWD[:-1], PASSWD * 2,
         PASSWD + b"x", b"\n" + PASSWD,
         PASSWD.replace(b"x", b"\0"), PASSWD.replace(b"alice", b"bob"), PASSWD.replace(b":x", b""),
         PASSWD.replace(b"alice", b"Alice"), PASSWD.replace(b"1000", b"-1"),
         PASSWD.replace(b"1000", b"4294967295"), PASSWD.replace(b"1000", b"0x3e8"),
         PASSWD.replace(b"1000", b""), PASSWD.replace(b"/nonexistent", b"home"),
         os.urandom(5000), b"alice:x:1000:1000::/" + b"x" * (TEXT_MAX - 26) + b":/sh\n\n",
         b"x" * (TEXT_MAX - 1) + b"\n", b"y" * TEXT_MAX, b"\n" * (TEXT_MAX + 5)]


def test_whatever_getent_writes():
    """No line but the account's own has anything done."""
    with Machine() as m:
        for line in LINES:
            n = m.ask()
            m.run("getent", line)
            assert "failed to lookup user 'alice'" in m.error(n), line[:80]
        m.spawner.nothing()
        for decision, _ in m.settled(len(LINES)).values():
            assert decision["POSTERN_DECISION"] == "error", decision
        assert not m.worker.records("password")
        # As it should be, and as another account's.
        n = m.ask()
        m.run("getent", PASSWD.replace(b"1000", b"999", 1))
        assert "these arguments are not allowed" in m.error(n)
        m.settled(len(LINES) + 1)
        assert not m.worker.records("password")


def test_whatever_getent_says_of_groups():
    """What is cut, or no list of groups, is not taken for fewer groups."""
    many = b"alice " + b" 7" * (TEXT_MAX // 2)
    with Machine() as m:
        for groups in (b"", many[:TEXT_MAX - 1] + b"\n", many, b"alice 1\0002\n", b"alice x\n",
                       b"alice 1".ljust(TEXT_MAX - 1) + b"\n", b"alice 1\n\0 2\n", b"bob 1\n",
                       b"alice 1\nalice 2\n", b"alice 1"):
            n = m.ask(GET)
            m.run("getent", PASSWD)
            m.run("getent", groups)
            assert "failed to lookup user 'alice'" in m.error(n), groups[:80]
        # It did not say that there are none: it did not say anything.
        for how in ({"code": 0, "timed_out": True}, {"code": None, "signal": 9}):
            n = m.ask(GET)
            m.run("getent", PASSWD)
            pid = m.started(m.program("getent"))
            m.ended(pid, **how)
            if not how.get("timed_out"):
                o = m.order()
                body = b"\1" + opt() + opt(integer(9)) + opt() * 4
                m.spawner.send(frame(REPLY, STATUS, o.request, body=body))
            m.told(FORGET, pid)
            assert "failed to lookup user 'alice'" in m.error(n), how


def test_however_getent_ends():
    with Machine() as m:
        for output, code, words in ((b"", 2, "there is no such user"),
                                    (PASSWD, 1, "getent has failed"),
                                    (PASSWD, 255, "getent has failed")):
            n = m.ask()
            m.run("getent", output, code)
            assert words in m.error(n), code
        n = m.ask()
        pid = m.started(m.program("getent"))
        m.ended(pid, 0, timed_out=True)  # what it wrote until then is not asked for
        m.told(FORGET, pid)
        assert "getent has failed" in m.error(n)
        # It cannot be started; its result is lost; it is none.
        n = m.ask()
        o = m.program("getent")
        m.spawner.send(frame(REPLY, EXEC, o.request, flags=ERROR, body=b"\1no such thing"))
        words = m.error(n)
        assert "no such thing" in words, words
        n = m.ask()
        o = m.program("getent")
        m.spawner.send(frame(REPLY, EXEC, o.request, body=integer(-1) + opt()))
        assert "ended without a result" in m.error(n)
        n = m.ask()
        pid = m.started(m.program("getent"))
        m.ended(pid)
        o = m.order()
        m.spawner.send(frame(REPLY, STATUS, o.request, flags=ERROR, body=b"\1no pid"))
        m.told(FORGET, pid)
        assert "no pid" in m.error(n)
        m.spawner.nothing()
        m.settled(7)


def test_however_chpasswd_ends():
    with Machine() as m:
        for how, words in (({"code": 1}, "exit status 1"),
                           ({"code": None, "signal": 9}, "abnormally"),
                           ({"code": 0, "timed_out": True}, "abnormally")):
            n = m.ask()
            m.run("getent", PASSWD)
            pid = m.started(m.program("chpasswd"))
            m.ended(pid, **how)
            m.told(FORGET, pid)
            assert words in m.error(n), how
        m.settled(3)
        assert [r["POSTERN_RESULT"] for r in m.worker.records("password")] == ["failed"] * 3


# ---- late, twice, in another order ----------------------------------------------------------

def test_two_at_the_same_time():
    """The same account and another one; what is answered in another order stays apart."""
    with Machine() as m:
        first, second = m.ask(more=text("one") + b"\0"), m.ask(user="bob", more=text("two") + b"\0")
        third = m.ask(more=text("three") + b"\0")
        orders = {}
        for _ in range(3):
            o = m.program("getent")
            orders.setdefault(o.argv[-1], []).append(o)
        pids = [m.started(o) for o in (*orders["bob"], *reversed(orders["alice"]))]
        seen = []
        for pid, line in zip(pids, (PASSWD.replace(b"alice", b"bob"), PASSWD, PASSWD)):
            m.ended(pid)
            m.wrote(pid, line)
            m.told(FORGET, pid)
            seen.append(m.program("chpasswd"))
        assert sorted(o.input for o in seen) == [b"alice:one\n", b"alice:three\n", b"bob:two\n"]
        by_input = {o.input: m.started(o) for o in seen}
        for line, n in ((b"alice:three\n", third), (b"bob:two\n", second), (b"alice:one\n", first)):
            m.ended(by_input[line])
            m.told(FORGET, by_input[line])
            m.good(n)
        m.settled(3)


def test_words_about_nobody():
    """Unknown numbers, the same end twice: nothing is taken for anything."""
    with Machine() as m:
        def noise(o, pid):
            for number in (0, o.request - 1, o.request + 1, 0xffffffff):
                for op in (EXEC, STATUS):
                    m.spawner.send(frame(REPLY, op, number, flags=ERROR, body=b"\1no"))
            for other in (0, -1, 1, pid + 1000, 1 << 40):
                m.ended(other, 1)

        n = m.ask()
        o = m.program("getent")
        noise(o, 0)
        pid = m.started(o)
        noise(o, pid)
        m.ended(pid)
        told = []
        while (o := m.order()).type == FORGET:
            told.append(o.request)
        assert pid not in told, told
        assert (o.type, o.op) == (REQUEST, STATUS)
        fd = m.d.memfd(PASSWD)
        m.spawner.send(frame(REPLY, STATUS, o.request, fds=1, body=b"\1" + opt(integer(0)) + opt()
                             + opt(struct.pack("<Q", len(PASSWD))) + opt() * 3), [fd])
        m.told(FORGET, pid)
        o = m.program("chpasswd")
        m.ended(pid, 1)  # that of getent once more
        m.told(FORGET, pid)
        m.peer.nothing()
        pid = m.started(o)
        m.ended(pid)
        m.told(FORGET, pid)
        m.good(n)
        m.settled(1)


HASTY = POLICY + "time-limit = 150ms\n"


def test_what_begins_too_late_is_ended():
    """Its request has failed, and says so; nobody would ever fetch what it leaves."""
    with Machine(HASTY) as m:
        n = m.ask()
        o = m.program("getent")
        assert "did not finish within 0.15 s" in m.error(n)
        late = m.started(o)
        m.told(END, late)
        m.ended(late, None, signal=15)
        m.told(FORGET, late)
        # The slot is another's by now.
        n = m.ask()
        o = m.program("getent")
        pid = m.started(o)
        assert "did not finish" in m.error(n)
        m.told(END, pid)
        n = m.ask()
        o = m.program("getent")
        m.ended(pid, None, signal=15)
        m.told(FORGET, pid)
        assert "did not finish" in m.error(n)
        # One that has ended has only to be forgotten, and what it wrote comes too late.
        m.started(o, pid)
        m.told(END, pid)
        n = m.ask()
        pid = m.started(m.program("getent"))
        m.ended(pid)
        o = m.order()
        assert "did not finish" in m.error(n)
        m.told(FORGET, pid)
        m.spawner.send(frame(REPLY, STATUS, o.request, body=b"\1" + opt(integer(0)) + opt() * 5))
        m.spawner.nothing()
        m.settled(4)


def test_a_chpasswd_that_begins_too_late_is_ended():
    with Machine(HASTY) as m:
        for late in (True, False):
            n = m.ask()
            m.run("getent", PASSWD)
            o = m.program("chpasswd")
            pid = None if late else m.started(o)
            assert "did not finish" in m.error(n)
            pid = pid or m.started(o)
            m.told(END, pid)
            m.ended(pid)
            m.told(FORGET, pid)
        m.settled(2)
        assert [r["POSTERN_RESULT"] for r in m.worker.records("password")] == ["failed"] * 2


def test_the_time_limit_is_that_of_the_whole():
    """Of each step, and of all together."""
    if os.geteuid() != 0:
        tap.skip("needs root, to mount")
    with scratch.namespaces(), fuse.Server("/run/fuse") as server, Machine(HASTY) as m:
        server.hold("LOOKUP")
        n = m.ask(GET)
        m.run("getent", PASSWD.replace(b"/nonexistent", b"/run/fuse"))
        m.run("getent", b"alice 1000\n")
        begin = time.monotonic()
        assert "guest-ssh-get-authorized-keys" in m.error(n)
        assert time.monotonic() - begin < 5
        server.answer()
        wait_until(lambda: not m.worker.busy(), "its op child to go")
    with Machine(POLICY + "time-limit = 1s\n") as m:
        n = m.ask()
        time.sleep(0.6)
        m.run("getent", PASSWD)
        assert "did not finish within 1 s" in m.error(n)
        end, = m.worker.wait_records("complete", 1)
        assert end["POSTERN_DURATION_USEC"] < 1500000, end


# ---- the spawner goes -----------------------------------------------------------------------

def test_the_spawner_goes_at_each_step():
    def asked(m):
        m.program("getent")

    def runs(m):
        m.started(m.program("getent"))

    def fetched(m):
        pid = m.started(m.program("getent"))
        m.ended(pid)
        m.order()

    def acts(m):
        m.run("getent", PASSWD)
        m.program("chpasswd")

    def acting(m):
        m.run("getent", PASSWD)
        m.started(m.program("chpasswd"))

    with Machine() as m:
        base = fd_count(m.worker.pid)
        for step in (asked, runs, fetched, acts, acting):
            n = m.ask()
            step(m)
            m.respawn()
            assert "the spawner ended before it was done" in m.error(n), step
        # Without one it waits for the next, with its secret.
        m.spawner.close()
        time.sleep(0.1)
        n = m.ask()
        m.peer.nothing()
        m.spawner = m.worker.spawner()
        m.run("getent", PASSWD)
        assert m.run("chpasswd").input == b"alice:secret\n"
        m.good(n)
        m.idle(base)
        m.settled(6)


# ---- many -----------------------------------------------------------------------------------

def test_as_many_as_there_may_be():
    with Machine() as m:
        numbers, orders = [], []
        for _ in range(2):  # all at once they would be too many that look for a program
            numbers += [m.ask() for _ in range(8)]
            orders += [m.program("getent") for _ in range(8)]
        over = m.ask()
        assert "disabled: " in m.error(over)
        for n in numbers[:8]:
            m.peer.send(frame(ABANDON, request=n))
        pids = [m.started(o) for o in orders]
        for pid in pids:
            m.ended(pid)
            m.wrote(pid, b"", 2)
            m.told(FORGET, pid)
        for n in numbers[8:]:
            assert "there is no such user" in m.error(n)
        m.peer.nothing()
        pairs = m.settled(17)
        abandoned = [end for _, end in pairs.values() if end.get("POSTERN_ABANDONED")]
        assert len(abandoned) == 8
        busy = [d for d, _ in pairs.values() if d["POSTERN_REASON"] == "busy"]
        assert [d["POSTERN_DECISION"] for d in busy] == ["deny"], busy


def test_no_password_without_its_record():
    """It is decided on when the account is known, and only then is there a record, or none."""
    with Machine(stuck=True) as m:
        for _ in range(1500):  # what is wrong with them is recorded
            n = m.ask(more=text("two\nlines" + "x" * 200) + b"\0", user="u" * 200)
            assert "forbidden characters" in m.error(n)
        n = m.ask()
        m.run("getent", PASSWD)
        assert "it cannot be recorded at present" in m.error(n)
        m.spawner.nothing()
        m.worker.read_records()
        wait_until(lambda: m.worker.records("complete"), "records")
        assert not m.worker.records("password")

        def room_again():
            n = m.ask()
            m.run("getent", PASSWD)
            if m.peer.sock in select.select([m.spawner.sock, m.peer.sock], [], [])[0]:
                return m.error(n) and None
            m.run("chpasswd")
            return m.good(n) or True
        wait_until(room_again, "room for a record")
        wait_until(lambda: m.worker.records("password"), "its record")


def test_no_descriptor_is_free():
    """At whichever point that shows, the request fails, and nothing is run or lost."""
    with Machine() as m:
        base = fd_count(m.worker.pid)
        if base is None:
            tap.skip("may not count the worker's descriptors")
        before = resource.prlimit(m.worker.pid, resource.RLIMIT_NOFILE)
        asked = 0
        for free in range(6):
            resource.prlimit(m.worker.pid, resource.RLIMIT_NOFILE, (base + free, before[1]))
            n = m.ask()
            if select.select([m.spawner.sock], [], [], 0.3)[0]:
                pid = m.started(m.program("getent"))
                m.ended(pid)
                m.wrote(pid, b"", 2)
                m.told(FORGET, pid)
                asked += 1
            assert m.error(n), free
            m.idle(base)
        assert asked, "all of them failed"
        resource.prlimit(m.worker.pid, resource.RLIMIT_NOFILE, before)
        n = m.ask()
        m.run("getent", PASSWD)
        m.run("chpasswd")
        m.good(n)
        m.settled(7)


def test_nothing_is_left_of_two_thousand():
    long = PASSWD.replace(b"/n", b"/" + b"n" * 400)
    ways = [lambda m: m.run("getent", long) and m.run("chpasswd"),
            lambda m: m.run("getent", b"", 2), lambda m: m.run("getent", LINES[-4]),
            lambda m: m.run("getent", long) and m.run("chpasswd", code=1),
            lambda m: m.run("getent", PASSWD.replace(b"1000", b"9", 1))]
    with Machine() as m:
        def some(count):
            for i in range(count):
                n = m.ask(more=text("secret" * 50) + b"\0")
                ways[i % len(ways)](m)
                m.reply(n)
            m.idle(base)
            return rss_kib(m.worker.pid)

        base = fd_count(m.worker.pid)
        kib = some(100)
        for _ in range(4):
            now = some(500 if VARIANT == "release" else 50)
            assert VARIANT != "release" or now < kib + 64, (now, kib)


tap.run(tap.tests(globals()))
