#!/usr/bin/python3
# run: limit 120
"""The worker with a child that is wholly in an attacker's hands: one that carries out an
operation, one that looks whether a file may be opened, an open file. It
answers with anything, too long, too late, twice, with descriptors; the worker loses that child,
and with it what it was asked for, and nothing else."""
# pylint: disable=missing-function-docstring
import contextlib
import os
import signal
import struct
import tempfile

import fuse
import scratch
import tap
from agent import wait_until
from hostile import (ABANDON, ERROR, HEAD, LOG, MORE, OPS, REPLY, REQUEST, SEALS, TABLE,
                     Descriptors, Worker, fd_count, frame, request, request_head, text)
from impostor import Impostor

FOUND, GO, HOLD, TYPES = 8, 9, 13, range(32)
SLEEP, BLOB, OPEN, READ = (OPS[n] for n in ("test-sleep", "test-blob", "guest-file-open",
                                            "guest-file-read"))


def opt(value=None):
    return b"\0" if value is None else b"\1" + value


def wrong_frames(op, d, body=b""):
    """(packet, descriptors): what may not come where a REPLY to OP is awaited."""
    good = frame(REPLY, op, body=body)
    fd = d.memfd(b"abc")
    head = list(HEAD.unpack_from(good))
    cases = [(good[:n], ()) for n in range(1, len(good))] + [(good + b"\0", ())]
    cases += [(frame(n, op, body=body), ()) for n in TYPES if n != REPLY]
    cases += [(frame(REPLY, n, body=body), ()) for n in (0, op + 1, 255, 65535)]
    cases += [(frame(REPLY, op, flags=1 << bit, body=body), ()) for bit in range(2, 16)]
    cases += [(frame(REPLY, op, flags=MORE | ERROR, body=body), ())]
    cases += [(HEAD.pack(*head[:6], n) + body, ()) for n in (len(body) + 1, 65537, 0xffffffff)]
    cases += [(frame(REPLY, op, fds=n, body=body), [fd] * k)
              for n, k in ((0, 1), (1, 0), (2, 1), (1, 2), (2, 2), (3, 3), (65535, 1), (2, 100))]
    return cases + [(os.urandom(40), ()), (b"x" * 70000, ()), (b"", [fd])]


class Stage:
    """A worker, its frontend, and the child that works at the one request under way."""

    def __init__(self, op=SLEEP, args=struct.pack("<q", 60000), **how):
        self.w, self.d = Worker(**how), Descriptors()
        self.op, self.args, self.number = op, args, 0
        self.peer = self.w.frontend()

    def __enter__(self):
        self.w.__enter__()
        self.d.__enter__()
        return self

    def __exit__(self, *trouble):
        self.d.__exit__(*trouble)
        self.w.__exit__(*trouble)

    @contextlib.contextmanager
    def child(self):
        """Ask, and be the child that carries it out."""
        self.number += 1
        self.peer.send(request(self.op, self.number, request_head() + self.args))
        pid = wait_until(lambda: next(iter(self.w.busy()), None), "an op child")
        with Impostor(pid) as child:
            yield child
        wait_until(lambda: pid not in self.w.busy(), "it to go")

    def failed(self):
        """The request has, as its child did not answer it."""
        reply = self.peer.reply(self.number)
        assert reply.flags == ERROR and b"ended without a result" in reply.body, reply.body

    def violations(self, count):
        for r in self.w.wait_records("child-violation", count):
            assert r["POSTERN_PROCESS"] == "op child", r

    def works(self):
        self.number += 1
        self.peer.send(request(BLOB, self.number, request_head() + struct.pack("<q", 5)))
        assert self.peer.reply(self.number).body == text("xxxxx")


# ---- one that carries out an operation ----------------------------------------------

def test_what_breaks_the_rules_costs_its_request():
    with Stage() as s:
        s.works()
        wait_until(lambda: not s.w.busy(), "its child to go")
        before = fd_count(s.w.pid)
        cases = wrong_frames(SLEEP["number"], s.d)
        for n, (packet, fds) in enumerate(cases, 1):
            with s.child() as child:
                child.send(packet, fds)
                s.failed()
                child.wait_closed()
            if n % 40 == 0:
                s.violations(n)
        s.violations(len(cases))
        s.works()
        wait_until(lambda: fd_count(s.w.pid) == before, "its descriptors to be closed")


def test_any_body_is_passed_on_unread():
    with Stage() as s:
        for body in (b"", b"\0", b"\xff" * 100, text("a") + b"x", bytes(65536)):
            for flags in (0, ERROR):
                with s.child() as child:
                    child.send(frame(REPLY, SLEEP["number"], flags=flags, body=body))
                    reply = s.peer.reply(s.number)
                    assert (reply.flags, reply.body) == (flags, body), vars(reply)


def test_a_result_without_end_is_cut_off():
    piece = b"a" * TABLE["FRAME_BODY_MAX"]
    with Stage() as s, s.child() as child:
        for _ in range(TABLE["REPLY_BODY_MAX"] // len(piece)):
            child.send(frame(REPLY, SLEEP["number"], flags=MORE, body=piece))
            assert s.peer.recv().flags == MORE
        child.send(frame(REPLY, SLEEP["number"], flags=MORE, body=b"a"))
        reply = s.peer.recv()
        assert reply.flags == ERROR and b"too large" in reply.body, reply.body
        child.wait_closed()
        s.works()


def test_an_answer_twice_is_one_reply():
    with Stage() as s:
        for flags in (0, ERROR, MORE):
            with s.child() as child:
                child.send(frame(REPLY, SLEEP["number"]))
                child.send(frame(REPLY, SLEEP["number"], flags=flags, body=b"again"))
                assert s.peer.reply(s.number).body == b""
                child.wait_closed()
                s.peer.nothing()
        s.works()


def test_a_late_answer_reaches_nobody():
    with Stage() as s, s.child() as child:
        s.peer.send(frame(ABANDON, request=s.number))
        s.works()
        child.send(frame(REPLY, SLEEP["number"], body=b"late"))
        s.w.wait_records("complete", 2)
        s.peer.nothing()


# ---- one that looks whether a file may be opened --------------------------------------

FILES = """
[policy]
base = none
[rule "files"]
effect = allow
command = @file-read
path-beneath = /run/fuse ; {top}
open-mode = read
[rule "blob"]
effect = allow
command = test-blob
[rule "not this one"]
effect = deny
command = guest-file-open
path = /etc/shadow
"""


def found(path="/run/fuse/f"):
    return text(path) + opt() + struct.pack("<qqBQq", 0, 0, 1, 1, 0)


def looking(server):
    """A worker whose op child hangs at the path of a file to be opened."""
    os.kill(server.pid, signal.SIGSTOP)
    return Stage(OPEN, text("/run/fuse/f") + opt(), policy=FILES.format(top="/nowhere"))


def test_who_looks_and_says_what_it_likes():
    """Nothing is opened, and each attempt has its record."""
    op = OPEN["number"]
    with scratch.namespaces(), fuse.Server("/run/fuse") as server, looking(server) as s:
        good = found()
        cases = [(frame(FOUND, op, body=good[:n]), ()) for n in range(len(good))]
        cases += [(frame(FOUND, op, body=good + b"\0"), ()),
                  (frame(FOUND, BLOB["number"], body=good), ()),
                  (frame(FOUND, op, fds=1, body=good), [s.d.memfd(b"abc")]),
                  (frame(HOLD, op, fds=1), [s.d.memfd(b"abc")]), (frame(GO, op), ()),
                  (frame(REPLY, op), ()), (frame(REPLY, op, flags=MORE), ())]
        for packet, fds in cases:
            with s.child() as child:
                child.send(packet, fds)
                s.failed()
                child.wait_closed()
        s.violations(len(cases))
        for kind, links in ((-1, 0), (0, -1), (1 << 40, 0), (0, 1 << 40)):
            with s.child() as child:
                child.send(frame(FOUND, op, body=text("/run/fuse/f") + opt()
                                 + struct.pack("<qqBQq", kind, links, 1, 1, 0)))
                reply = s.peer.reply(s.number)
                assert reply.flags == ERROR and b"decided on" in reply.body, reply.body
        for path in ("/etc/shadow", "", "f", "/run/fusef"):
            with s.child() as child:
                child.send(frame(FOUND, op, body=found(path)))
                reply = s.peer.reply(s.number)
                assert reply.flags == ERROR and b"not allowed" in reply.body, (path, reply.body)
                child.wait_closed()
        with s.child() as child:  # it asks twice
            child.send(frame(FOUND, op, body=good))
            assert child.recv().type == GO
            child.send(frame(FOUND, op, body=found("/etc/shadow")))
            s.failed()
            child.wait_closed()
        s.w.wait_records("complete", s.number)
        assert len(s.w.records("decision")) == s.number
        assert not s.w.records("file-open")
        os.kill(server.pid, signal.SIGCONT)


# ---- an open file -----------------------------------------------------------------------

@contextlib.contextmanager
def opened(s, path):
    """(number, impostor) of a file that was opened."""
    s.number += 1
    s.peer.send(request(OPEN, s.number, request_head() + text(path) + opt()))
    reply = s.peer.reply(s.number)
    assert reply.flags == 0, reply.body
    pid, = s.w.busy()
    with Impostor(pid) as child:
        yield struct.unpack("<q", reply.body)[0], child
    wait_until(lambda: pid not in s.w.busy(), "it to go")


def read(s, handle):
    s.number += 1
    s.peer.send(request(READ, s.number, request_head() + struct.pack("<q", handle) + opt()))


def unknown(s, handle):
    """There is no such file any more."""
    read(s, handle)
    reply = s.peer.reply(s.number)
    assert reply.flags == ERROR and b"has not been found" in reply.body, reply.body


@contextlib.contextmanager
def files():
    with tempfile.NamedTemporaryFile(dir="/run", prefix="postern-test-") as f:
        os.chmod(f.name, 0o644)
        f.write(b"content")
        f.flush()
        with Stage(policy=FILES.format(top=os.path.realpath("/run"))) as s:
            yield s, f.name


def test_an_open_file_that_answers_what_it_was_not_asked():
    op = READ["number"]
    with files() as (s, path):
        bodies = [frame(n, op) for n in TYPES] + [b"x", bytes(20), frame(REPLY, op, fds=1)]
        for n, packet in enumerate(bodies, 1):
            with opened(s, path) as (handle, child):
                child.send(packet)
                child.wait_closed()
                unknown(s, handle)
                s.violations(n)
        assert len(s.w.records("file-close")) == len(bodies)


def test_an_open_file_that_answers_wrongly():
    """The file is gone then, and the request has failed."""
    op, result = READ["number"], struct.pack("<QB", 3, 0) + struct.pack("<Q", 3)
    with files() as (s, path):
        cases = wrong_frames(op, s.d, result)
        # One sealed memfd may come, and no other descriptor.
        cases = [(p, fds) for p, fds in cases if (HEAD.unpack(p[:20].ljust(20))[5], len(fds))
                 != (1, 1)]
        others = [fd for _, fd in s.d.hostile()] + [s.d.memfd(b"abc", 0)] + [
            s.d.memfd(b"abc", SEALS & ~(1 << bit)) for bit in range(4)]
        cases += [(frame(REPLY, op, fds=1, body=result), [fd]) for fd in others]
        cases += [(frame(REPLY, op, flags=MORE, body=result), ())]
        for n, (packet, fds) in enumerate(cases, 1):
            with opened(s, path) as (handle, child):
                read(s, handle)
                asked = child.recv()
                assert (asked.type, asked.op) == (REQUEST, op)
                child.send(packet, fds)
                s.failed()
                child.wait_closed()
                unknown(s, handle)
            if n % 40 == 0:
                s.violations(n)
        s.violations(len(cases))
        with opened(s, path) as (handle, child):
            read(s, handle)
            child.recv()
            child.send(frame(REPLY, op, fds=1, body=result), [s.d.memfd(b"abc")])
            assert s.peer.reply(s.number).body == result


# ---- the spawner ------------------------------------------------------------------------

EXEC = OPS["guest-exec"]
RUNS = """
[policy]
base = none
[rule "run"]
effect = allow
command = guest-exec
[rule "blob"]
effect = allow
command = test-blob
"""


def spawner_may(packet, fds):
    """What answers nobody is passed over, as it comes late; a line of its log is taken; a result
    may have two descriptors."""
    if len(packet) < HEAD.size:
        return False
    kind, op, _, _, _, announced, _ = HEAD.unpack_from(packet)
    return kind == LOG or kind == REPLY and (op != EXEC["number"]
                                             or announced == len(fds) in (1, 2))


def test_a_spawner_that_breaks_the_rules():
    with Worker(policy=RUNS) as w, Descriptors() as d:
        peer = w.frontend()
        cases = [c for c in wrong_frames(EXEC["number"], d, struct.pack("<q", 77) + opt())
                 if not spawner_may(*c)]
        for n, (packet, fds) in enumerate(cases, 1):
            spawner = w.spawner()
            peer.send(request(EXEC, n, request_head() + text("/bin/true") + opt() * 2 + opt()
                              + opt()))
            q = spawner.recv()
            assert (q.type, q.op) == (REQUEST, EXEC["number"])
            spawner.send(packet.replace(frame(REPLY, EXEC["number"])[:8],
                                        frame(REPLY, EXEC["number"], q.request)[:8]), fds)
            reply = peer.reply(n)
            assert reply.flags == ERROR, (packet[:20], vars(reply))
            spawner.wait_closed()
            if n % 40 == 0:
                w.wait_records("child-violation", n)
        w.wait_records("child-violation", len(cases))
        assert {r["POSTERN_PROCESS"] for r in w.records("child-violation")} == {"spawner"}
        w.works()


def none():
    tap.skip("needs root, to take a process's socket from it")


tap.run([none] if os.geteuid() else tap.tests(globals()), limit=60)
