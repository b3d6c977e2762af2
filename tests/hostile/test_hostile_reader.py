#!/usr/bin/python3
"""A reader of the policy that is wholly in an attacker's hands: it decides what the policy
is, and nothing else. And one that does not what it should: an agent without a policy is
locked down.
"""
# run: limit 120
# pylint: disable=missing-function-docstring
import os
import socket
import struct

import tap
from agent import PATIENCE, Agent, wait_until
from hostile import (ABANDON, BODY_FD, ERROR, HELLO, IMAGE, KEEP, LOG, MORE, POLICY, READ, REPLY,
                     REQUEST, Descriptors, Worker, fd_count, frame)
from stage import Stage

LOCKED_DOWN = "the policy could not be read"
RELOAD = b"h"


class Asked:
    """A worker whose reader is the test, and what it asks of it."""

    def __init__(self, w):
        self.w = w
        self.reader = w.policy_reader()
        self.ends = 0

    def question(self):
        q = self.reader.recv()
        assert (q.type, q.body) == (READ, b"\0"), vars(q)  # what is kept will not do
        return q

    def ask(self):
        self.w.launch.send(RELOAD)
        return self.question()

    def replaced(self):
        """It was thrown out; the next one is asked the same."""
        self.reader.wait_closed()
        self.reader = self.w.policy_reader()
        return self.question()

    def ended(self):
        """How the reload ended."""
        def records():
            return [r for r in self.w.records() if r["POSTERN_EVENT"] in ("reload",
                                                                         "policy-refused")]
        self.ends += 1
        wait_until(lambda: len(records()) >= self.ends, "the end of the reload")
        return records()[-1]

    def is_sent_away(self):
        """Told to keep what it read, as the last there is."""
        kept = self.reader.recv()
        assert kept.type == KEEP, vars(kept)
        return kept.body == b"\1"

    def refused(self, why):
        """The reload has ended, with a record."""
        self.ends += 1
        assert why in self.w.wait_records("policy-refused", self.ends)[-1]["POSTERN_DETAIL"]


def answer(question, body=b"", **how):
    return frame(IMAGE, request=question.request, body=body, **{"fds": 1, **how})


def policy_of(w):
    """The image in force, as a frontend gets it."""
    peer = w.frontend(greet=False)
    peer.greet()
    _, fds, _, _ = socket.recv_fds(peer.sock, 1 << 10, 1)
    with open(fds[0], "rb") as f:
        return os.pread(f.fileno(), 1 << 20, 0)


def test_what_breaks_the_rules_costs_the_reader_and_not_the_question():
    with Worker() as w, Descriptors() as d:
        s = Asked(w)
        fd = d.memfd(b"abc")
        q = s.ask()
        before = fd_count(w.pid)
        cases = [
            (answer(q, fds=0), ()), (answer(q, fds=2), (fd, fd)), (answer(q), ()),
            (answer(q), (fd, fd)), (answer(q, length=3), (fd,)), (answer(q)[:7], ()),
            *((answer(q, flags=1 << bit), (fd,)) for bit in range(16)),
            (frame(HELLO, body=s.reader.hello.body), ()), (frame(POLICY, fds=1), (fd,)),
            *((frame(kind, request=q.request), ()) for kind in
              (READ, KEEP, REQUEST, REPLY, ABANDON, LOG, 0, 22, 65535)),
            (frame(REPLY, request=q.request, flags=ERROR), ()),
            (frame(REQUEST, flags=BODY_FD, fds=1), (fd,)), (frame(REPLY, flags=MORE), ()),
            (b"", ()), (b"x", ())]
        for n, (packet, fds) in enumerate(cases, 1):
            s.reader.send(packet, fds)
            q = s.replaced()
            if packet:  # nothing at all is the end of a socket
                w.wait_records("child-violation", n if n < len(cases) else n - 1)
        wait_until(lambda: fd_count(w.pid) == before, "no descriptor to be left")
        s.reader.send(answer(q), (d.memfd(policy_of(w)),))
        wait_until(lambda: w.records("reload"), "the end of the reload")
        assert w.records("reload")[0]["POSTERN_RESULT"] == "unchanged"
        w.works().close()


def test_images_that_are_none():
    with Worker() as w, Descriptors() as d:
        s = Asked(w)
        good = policy_of(w)
        head = struct.Struct("<6I")
        magic, _, rules, constraints, values, text = head.unpack_from(good)
        bad = [fd for _, fd in d.hostile()]
        bad += [d.memfd(good, seals=0), d.memfd(good, seals=7), d.memfd(b""),
                d.memfd(size=1 << 30), d.memfd(good[:-1]), d.memfd(good + b"\0"),
                d.memfd(bytes(len(good)))]
        bad += [d.memfd(head.pack(magic, len(good), *counts) + good[head.size:]) for counts in
                ((rules + 1, constraints, values, text), (rules, constraints + 1, values, text),
                 (rules, constraints, values + 1, text), (1 << 31, 1 << 31, 1 << 31, 1 << 31))]
        for fd in bad:
            s.reader.send(answer(s.ask()), (fd,))
            s.refused("what was read is no policy")
        w.works().close()


def test_images_with_a_wrong_word():
    """A count, a size, an offset: refused, or another policy; never the end of the worker."""
    ends, at = set(), 0
    while True:
        with Worker() as w:
            s, image = Asked(w), policy_of(w)
            while at + 4 <= len(image):
                wrong = bytearray(image)
                wrong[at:at + 4] = struct.pack("<I", (0xffffffff, 0x7fffffff, len(wrong),
                                                      len(wrong) - 1)[at // 4 % 4])
                at += 4
                with Descriptors() as d:
                    s.reader.send(answer(s.ask()), (d.memfd(bytes(wrong)),))
                end = s.ended()
                ends.add(end["POSTERN_EVENT"])
                if end["POSTERN_EVENT"] == "reload" and s.is_sent_away():
                    break  # that one said `lock`: nobody reads any more
            w.works().close()
        if at + 4 > len(image):
            break
    assert ends == {"reload", "policy-refused"}, ends


def test_answers_that_nobody_asked_for():
    with Worker() as w, Descriptors() as d:
        s = Asked(w)
        junk = d.memfd(b"no policy")
        for number in (0, 1, 2, 1 << 31):
            s.reader.send(frame(IMAGE, request=number, fds=1), (junk,))
        q = s.ask()
        s.reader.send(frame(IMAGE, request=q.request + 1, fds=1), (junk,))
        s.reader.send(answer(q, b"x.conf:1: a line\n" * 3000), (junk,))
        s.refused("what was read is no policy")
        s.reader.send(answer(q), (junk,))  # once more
        w.works().close()
        assert not w.records("reload") and len(w.records("policy-refused")) == 1


def test_a_reader_that_never_answers():
    """What it was asked has failed then, once, and its answer comes too late."""
    with Worker() as w, Descriptors() as d:
        s = Asked(w)
        q = s.ask()
        w.works().close()
        s.refused("within 10 s")
        s.reader.send(answer(q), (d.memfd(b"no policy"),))
        w.works().close()
        assert len(w.records("policy-refused")) == 1


# ---- at the start -----------------------------------------------------------------------------

def wait_locked_down(a):
    """It serves, and nobody but to say that it is there."""
    Agent.wait_ready(a, 2 * PATIENCE)
    assert a.ctl_json("status", status=1)["locked-down"] == LOCKED_DOWN
    assert "did not get ready" not in a.stderr(), a.stderr()
    with a.client() as c:
        assert "error" in c.call("guest-get-time")


def test_one_that_is_mute():
    with Stage("reader") as a:
        a.start()
        p = a.puppet()
        wait_locked_down(a)
        # The real one, which finds nothing kept; what it was asked nobody waits for.
        p.become(a.real)
        assert "restart the agent" in a.ctl_json("reload", status=1)["detail"]


def test_one_that_greets_and_is_mute():
    with Stage("reader") as a:
        a.start()
        p = a.puppet()
        p.worker.greet()
        q = p.worker.recv()
        assert (q.type, q.body) == (READ, b"\1"), vars(q)
        wait_locked_down(a)
        # Nothing is in force that it could keep.
        p.worker.nothing()
        p.end(70)
        a.puppet().become(a.real)


def test_each_ends_at_once():
    with Stage("reader") as a:
        a.start()
        a.listener.settimeout(0.2)
        ends = 0
        while "POSTERN_EVENT" not in str(a.records()):
            try:
                a.puppet().end(70)
                ends += 1
            except (BlockingIOError, socket.timeout):
                pass
        assert ends > 3, ends
        a.listener.settimeout(PATIENCE)
        wait_locked_down(a)
        a.puppet().become(a.real)


def test_the_second_is_as_good_as_the_first():
    with Stage("reader") as a:
        a.start()
        a.puppet().end(70)
        p = a.puppet()
        p.worker.greet()
        assert p.worker.recv().type == READ
        p.worker.send(b"garbage")
        p.worker.wait_closed()
        p.end(65)
        a.puppet().become(a.real)
        Agent.wait_ready(a)
        assert "locked-down" not in a.ctl_json("status", status=0)
        with a.client() as c:
            assert "return" in c.call("guest-get-time")


tap.run(tap.tests(globals()), limit=90)
