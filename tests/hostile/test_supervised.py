#!/usr/bin/python3
"""The whole agent with a frontend or an inspector in an attacker's hands (bridge.c): who
breaks the rules is replaced, even if it does not go by itself, and the agent works on.
"""
# pylint: disable=missing-function-docstring
import json
import os
import time

import tap
from agent import wait_until
from hostile import (ERROR, MORE, OPS, REPLY, REQUEST, SESSION, TABLE, frame, message,
                     request, request_head, text)
from stage import Stage

CONFIG, VIOLATION, CHANNEL, SEAL = 64, 67, 68, 69


def converse(stage):
    """A client of the agent gets what it should, and not what the policy forbids."""
    with stage.client() as c:
        c.sync()
        assert c.call("guest-get-time")["return"] > 0
        assert c.call("test-blob", size=5)["return"] == "xxxxx"
        assert c.call("test-act", ms=1)["error"]["class"] == "CommandNotFound"
        c.sync()


def test_a_frontend_that_breaks_the_rules_is_killed_and_replaced():
    with Stage("frontend") as a:
        a.start()
        worker = inspector = None
        for n, packet in enumerate((b"garbage", request(OPS["guest-ping"], 1),
                                    frame(REPLY), frame(SESSION)), 1):
            p = a.puppet()
            worker = worker or a.child("worker")
            inspector = inspector or a.child("inspector")
            p.greet().send(packet)
            p.worker.wait_closed()
            # It does not end by itself; SIGKILL comes after half a second.
            wait_until(p.is_gone, "the frontend to be killed", 5)
            wait_until(lambda n=n: len(a.violations()) == n, "its record")
        assert "did not end when it should, killed" in a.stderr()
        assert {r["POSTERN_PROCESS"] for r in a.violations()} == {"frontend"}
        a.puppet().become(a.real)
        converse(a)
        assert (a.child("worker"), a.child("inspector")) == (worker, inspector)
        assert len([r for r in a.records() if r["POSTERN_EVENT"] == "start"]) == 1


def test_a_taken_over_frontend_can_do_what_the_policy_allows_and_no_more():
    with Stage("frontend") as a:
        a.start()
        p = a.puppet()
        peer = p.greet()
        peer.send(request(OPS["guest-get-host-name"], 1, request_head()))
        name = os.uname().nodename
        assert peer.reply(1).body == text(name), "the inspector answers as ever"
        peer.send(request(OPS["test-act"], 2))
        assert peer.reply(2).flags == ERROR
        deny = a.wait_record(lambda r: r.get("POSTERN_DECISION") == "deny")
        assert deny["POSTERN_COMMAND"] == "test-act" and deny["POSTERN_SKEW"] is True
        p.end(VIOLATION)
        a.puppet().become(a.real)
        converse(a)


def test_no_way_to_end_takes_the_worker_along():
    with Stage("frontend") as a:
        a.start()
        p = a.puppet()
        worker = a.child("worker")
        time.sleep(1.1)  # the time in which a first frontend is on trial
        for status in (CONFIG, SEAL, 0, CHANNEL, 127):
            p.end(status)
            p = a.puppet()
        p.become(a.real)
        converse(a)
        assert a.child("worker") == worker


def test_an_inspector_that_breaks_the_rules_is_killed_and_its_question_answered():
    with Stage("inspector") as a:
        a.start()
        p = a.puppet()
        worker = a.child("worker")
        with a.client() as c:
            c.sync()
            c.send(b'{"execute":"guest-get-host-name"}\n')
            p.worker.greet()
            question = p.worker.recv()
            assert question.type == REQUEST
            p.worker.send(frame(REPLY, op=question.op + 1, request=question.request))
            p.worker.wait_closed()
            wait_until(p.is_gone, "the inspector to be killed", 5)
            a.puppet().become(a.real)
            reply = json.loads(c.recv_replies(1)[0])
            assert reply == {"return": {"host-name": os.uname().nodename}}, reply
        assert [r["POSTERN_PROCESS"] for r in a.violations()] == ["inspector"]
        converse(a)
        assert a.child("worker") == worker


def results(op):
    """(body, flags) that no result of OP has, in fragments."""
    good = message(op["result"])
    yield from (([good[:n]], 0) for n in range(len(good)))
    yield [good + b"\0"], 0
    yield [b"\xff" * 1000], 0
    yield [text(b"a\0b")], 0
    yield [b"\xff" * TABLE["FRAME_BODY_MAX"]] * 3, 0
    yield [b"a" * TABLE["FRAME_BODY_MAX"]] * 33, 0
    yield [b""], ERROR
    for cls in range(256):
        yield [bytes([cls]) + b"why\0\n\xff\x1b\"}\n{\"return\": {}}"], ERROR
    yield [b"\1" + b"\n" * 60000], ERROR


def test_whatever_the_inspector_answers_is_one_well_formed_reply():
    op = OPS["guest-get-host-name"]
    with Stage("inspector") as a:
        a.start()
        p = a.puppet()
        p.worker.greet()
        frontend = a.child("frontend")
        with a.client() as c:
            c.sync()
            for pieces, flags in results(op):
                c.send(b'{"execute":"guest-get-host-name","id":"\\u00e4"}\n')
                question = p.worker.recv()
                for n, piece in enumerate(pieces, 1):
                    mark = MORE if n < len(pieces) else flags
                    p.worker.send(frame(REPLY, op["number"], question.request, flags=mark,
                                        body=piece))
                line = c.recv_replies(1)[0]
                assert all(0x20 <= byte < 0x7f for byte in line), line
                reply = json.loads(line)
                assert set(reply) == {"error", "id"}, (reply, pieces[0][:80])
                assert reply["error"]["class"] in ("GenericError", "CommandNotFound"), reply
            c.nothing()
            c.sync()
        assert a.child("frontend") == frontend
        assert not a.violations()
        p.end(VIOLATION)
        a.puppet().become(a.real)
        converse(a)


tap.run(tap.tests(globals()), limit=60)
