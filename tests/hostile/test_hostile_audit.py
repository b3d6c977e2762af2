#!/usr/bin/python3
# run: limit 240
"""The worker's records, whoever the frontend is: each request leaves one decision and one
completion, however it ends; a frontend in an attacker's hands can neither write nor change
nor suppress one, nor push others out."""
# pylint: disable=missing-function-docstring
import collections
import re
import struct

import tap
from agent import wait_until
from hostile import (ABANDON, ASKABLE, BAD_ARGS, LOG, OPS, REFUSED, Descriptors, Worker,
                     arguments, bulks, frame, note, request, request_head)

ACT = OPS["test-act"]
COMMANDS, MALFORMED = 3, 2  # enum session_event


# ---- one decision, one completion -----------------------------------------------------------

def ask(peer, op, number, memfd, flags=0, session=1):
    body = request_head(session) + (b"" if flags & BAD_ARGS else arguments(op))
    fds = [memfd] * (0 if flags & BAD_ARGS else bulks(op))
    assert peer.send(request(op, number, body, flags, len(fds)), fds), op["name"]


def stays(w, flags, memfd):
    peer = w.frontend()
    for number, op in enumerate(ASKABLE, 1):
        ask(peer, op, number, memfd, flags)
    return peer


def abandons(w, flags, memfd):
    peer = w.frontend()
    for number, op in enumerate(ASKABLE, 1):
        ask(peer, op, number, memfd, flags)
        peer.send(frame(ABANDON, request=number))
    return peer


def is_killed(w, flags, memfd):
    """Once each request has been read, and before its reply was."""
    for op in ASKABLE:
        peer = w.frontend(greet=False)
        peer.greet()
        ask(peer, op, 1, memfd, flags)
        wait_until(lambda peer=peer: not peer.unread(), "the request to be read")
        peer.close()


def unanswered(w):
    """Requests with a decision and no completion. Who would answer comes and goes at once."""
    w.inspector().close()
    w.spawner().close()
    ended = {r["POSTERN_REQUEST"] for r in w.records("complete")}
    return {r["POSTERN_REQUEST"] for r in w.records("decision")} ^ ended


def check_pairs(how, profile, flags):
    with Worker(profile) as w, Descriptors() as d:
        how(w, flags, d.memfd(b"abc"))
        wait_until(lambda: not unanswered(w)
                   and len(w.records("decision")) >= len(ASKABLE),
                   lambda: f"{unanswered(w)}: {w.records()[-5:]}", 60)
        for event in ("decision", "complete"):
            rows = collections.Counter((r["POSTERN_REQUEST"], r["POSTERN_COMMAND"])
                                       for r in w.records(event))
            assert set(rows.values()) == {1}, [n for n, count in rows.items() if count > 1]
            names = sorted(name for _, name in rows)
            assert names == sorted(op["name"] for op in ASKABLE), (event, names)


PAIRS = [(f"{how.__name__.replace('_', ' ')}, {profile}{word}",
          lambda how=how, profile=profile, flags=flags: check_pairs(how, profile, flags))
         for how in (stays, abandons, is_killed) for profile in ("legacy", "none")
         for flags, word in ((0, ""), (REFUSED, ", refused by the frontend"),
                             (BAD_ARGS, ", bad arguments"))]


def test_a_malformed_request_leaves_one_record():
    with Worker() as w:
        peer = w.frontend()
        peer.send(note(MALFORMED, 3, 1, b"what it was"))
        [r] = w.wait_records("protocol-error", 1)
        assert (r["POSTERN_REPORTED_BY"], r["POSTERN_SESSION"], r["POSTERN_REPEAT"]) \
            == ("frontend", 3, 1), r


# ---- what it cannot write ---------------------------------------------------------------------

def test_counts_of_session_commands_alone():
    """Of no other command can it say what was decided."""
    session = [op["number"] for op in OPS.values() if op["carrier"] == "BY_FRONTEND"]
    with Worker() as w:
        others = [n for n in range(-2, 70) if n not in session]
        bad = [note(COMMANDS, 1, 5, b"", n, 0) for n in others + [1 << 40, -(1 << 63)]]
        bad += [note(COMMANDS, 1, 5, b"", session[0], outcome) for outcome in (3, 255)]
        bad += [note(COMMANDS, 1, 5, b"", session[0]), note(COMMANDS, 1, 5), note(4)]
        for packet in bad:
            assert w.violation(packet) == [], packet
        w.wait_records("child-violation", len(bad))
        assert not w.records("decision")
        peer = w.frontend()
        for outcome in range(3):
            peer.send(note(COMMANDS, 1, 7, b"\n\x1b\xff", session[0], outcome))
        rows = w.wait_records("decision", 3)
        assert [r["POSTERN_DECISION"] for r in rows] == ["allow", "deny", "error"], rows
        assert {(r["POSTERN_REPORTED_BY"], r["POSTERN_REPEAT"]) for r in rows} \
            == {("frontend", 7)}, rows
        assert not any("POSTERN_REQUEST" in r for r in rows), rows


def test_lines_are_bounded_escaped_and_tagged():
    with Worker() as w:
        peer = w.frontend()
        words = [b"plain", b"a\nPOSTERN_EVENT=decision\r\x1b[2J\x00\xff\"\\", b"x" * 60000,
                 b"\xff" * 60000, b""]
        for line in words:
            peer.send(frame(LOG, body=b"\6" + line))
        wait_until(lambda: w.stderr().count(b"postern-frontend: ") == len(words),
                   lambda: w.stderr())
        for line in w.stderr().splitlines():
            assert re.fullmatch(rb"postern-[a-z]+: [ -~]*", line), line
            assert len(line) < 2100, len(line)
        assert not w.records("decision")


def test_a_flood_of_lines_is_cut_and_counted():
    with Worker() as w:
        peer = w.frontend()
        for _ in range(2000):
            peer.send(frame(LOG, body=b"\6flood"))
        w.works()
        assert w.stderr().count(b"flood") < 200, w.stderr().count(b"flood")

        def told():
            peer.send(frame(LOG, body=b"\6later"))
            return re.search(rb"(\d+) lines were lost", w.stderr())
        peer = w.frontend()
        wait_until(told, "the count")


# ---- what it cannot push out -------------------------------------------------------------------

def flood(peer, first, count, session_of):
    for n in range(count):
        peer.send(request(ACT, first + n, request_head(session_of(n), "flood")
                          + struct.pack("<q", n)))
        peer.reply(first + n)
    return first + count


def test_a_flood_pushes_out_nothing_else():
    """The trail is stuck. What one session left stays, whatever comes in others: of one other,
    or of ever new ones; notes and lines have room of their own."""
    with Worker("none", stuck=True) as w:
        peer = w.frontend()
        number = flood(peer, 1, 3000, lambda n: 99)  # everything is full
        for n in range(30):
            peer.send(request(ACT, number, request_head(7, f"honest-{n}")
                              + struct.pack("<q", n)))
            peer.reply(number)
            number += 1
        number = flood(peer, number, 2000, lambda n: 99)
        number = flood(peer, number, 2000, lambda n: 1000 + n)
        for n in range(3000):
            peer.send(note(n % 3, n, 1, b"n" * 200))
            peer.send(frame(LOG, body=b"\6" + b"l" * 200))
        w.violation(b"x")
        w.read_records()
        wait_until(lambda: w.records("child-violation"), "the last of them")
        honest = collections.Counter(
            r["POSTERN_CLIENT_ID"] for r in w.records("decision")
            if r.get("POSTERN_CLIENT_ID", "").startswith("honest"))
        assert honest == {f"honest-{n}": 1 for n in range(30)}, honest
        assert sum(r.get("POSTERN_DROPPED", 0) for r in w.records()) > 1000


def test_an_allowed_change_is_never_dropped():
    """With no room left for it, it is refused; what was done has its records."""
    with Worker("legacy", stuck=True) as w:
        peer = w.frontend()
        done = refused = 0
        for n in range(1, 3000):
            peer.send(request(ACT, n, request_head() + struct.pack("<q", 0)))
            reply = peer.reply(n)
            if reply.flags:
                assert b"it cannot be recorded" in reply.body, reply.body
                refused += 1
            else:
                done += 1
        assert done > 100 and refused > 100, (done, refused)
        w.read_records()
        wait_until(lambda: w.violation(b"x") == [] and w.records("child-violation"), "the end")
        rows = [r for r in w.records() if r.get("POSTERN_COMMAND") == "test-act"]
        allowed = {r["POSTERN_REQUEST"] for r in rows if r.get("POSTERN_DECISION") == "allow"}
        ended = {r["POSTERN_REQUEST"] for r in rows if r["POSTERN_EVENT"] == "complete"}
        assert len(allowed) == done and allowed <= ended, (len(allowed), done)
        told = [r for r in rows if r.get("POSTERN_DECISION") == "deny"]
        assert {r["POSTERN_REASON"] for r in told} == {"audit-unavailable"}, told
        # The rest of the refusals is told when the worker ends.
        assert sum(r.get("POSTERN_REPEAT", 1) for r in told) <= refused


tap.run(PAIRS + tap.tests(globals()), limit=120)
