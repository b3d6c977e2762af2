#!/usr/bin/python3
"""The whole agent with a frontend or an inspector in an attacker's hands (bridge.c): who
breaks the rules is replaced, even if it does not go by itself, and the agent works on.
"""
# pylint: disable=missing-function-docstring
import json
import os
import secrets
import shutil
import socket
import struct
import time

import tap
from agent import PROGRAMS, Agent, comm, helper, is_zombie, wait_until
from hostile import (ERROR, MORE, OPS, POLICY, REPLY, REQUEST, SESSION, TABLE, Peer, frame,
                     message, request, request_head, text)

CONFIG, VIOLATION, CHANNEL, SEAL = 64, 67, 68, 69


class Puppet:
    """One bridge: its socket to the worker is ours, and so is its end."""

    def __init__(self, control, name, fds):
        self.control = control
        self.name = name
        self.pid = struct.unpack("iii", control.getsockopt(socket.SOL_SOCKET,
                                                           socket.SO_PEERCRED, 12))[0]
        self.worker = Peer(socket.socket(fileno=fds[0]))
        for fd in fds[1:]:
            os.close(fd)

    def greet(self):
        """Say hello as a frontend should."""
        self.worker.greet()
        assert self.worker.recv().type == POLICY
        return self.worker

    def end(self, status):
        self.worker.close()
        self.control.send(bytes([status]))

    def become(self, program):
        """Let it be what it should have been."""
        self.worker.close()
        fd = os.open(program, os.O_RDONLY)
        socket.send_fds(self.control, [b"\0"], [fd])
        os.close(fd)

    def is_gone(self):
        return is_zombie(self.pid) or not comm(self.pid)


class Stage(Agent):
    """An agent in which one PROGRAM is a bridge."""

    def __init__(self, program, **how):
        self.program = program
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        name = f"postern-test-{secrets.token_hex(8)}"
        self.listener.bind("\0" + name)
        self.listener.listen()
        self.listener.settimeout(15)
        super().__init__(start=False, testops=True, env={"QGA_OS_RELEASE": name}, **how)
        self.real = os.path.join(self.programs, PROGRAMS[program])
        folder = os.path.join(self.dir, "programs")
        os.mkdir(folder)
        for p in PROGRAMS.values():
            source = (helper("hostile/bridge", testops=True) if p == PROGRAMS[program]
                      else os.path.join(self.programs, p))
            shutil.copy(source, os.path.join(folder, p))
        self.argv[self.argv.index("--programs") + 1] = folder

    def puppet(self):
        """The next bridge that the supervisor starts."""
        control, _ = self.listener.accept()
        name, fds, _, _ = socket.recv_fds(control, 64, 2)
        assert name.decode() == PROGRAMS[self.program], name
        return Puppet(control, self.program, fds)

    def wait_ready(self, timeout=None):
        """With a bridge for a frontend nobody answers before the test does."""
        if self.program != "frontend":
            super().wait_ready(timeout)

    def stop(self):
        self.listener.close()
        super().stop()

    def violations(self):
        return [r for r in self.records() if r["POSTERN_EVENT"] == "child-violation"]


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
