#!/usr/bin/python3
"""The worker with an inspector that is wholly in an attacker's hands (A3 of the design):
it can answer wrongly what it was asked, and nothing else. The test is the frontend, too.
"""
# pylint: disable=missing-function-docstring
import struct

import tap
from hostile import (ABANDON, BAD_ARGS, BODY_FD, ERROR, HELLO, LOG, MORE, OPS, POLICY,
                     REFUSED, REPLY, REQUEST, TABLE, Descriptors, Worker, fd_count,
                     frame, note, request, request_head, text)

HOST_NAME, GET_TIME, SLEEP = (OPS[n] for n in ("guest-get-host-name", "guest-get-time",
                                               "test-sleep"))


def answer(question, body=text("name"), **how):
    """A REPLY to QUESTION, with what HOW says otherwise."""
    return frame(REPLY, **{"op": question.op, "request": question.request, "body": body,
                           **how})


class Stage:
    """A frontend that asked for the host name, and the inspector's question about it."""

    def __init__(self, w):
        self.w = w
        self.number = 0
        self.frontend = w.frontend()
        self.inspector = w.inspector()

    def ask(self, op=HOST_NAME):
        self.number += 1
        self.frontend.send(request(op, self.number, request_head()))
        return self.question(op)

    def question(self, op=HOST_NAME):
        q = self.inspector.recv()
        assert (q.type, q.op, q.flags, q.body) == (REQUEST, op["number"], 0, b""), vars(q)
        return q

    def replaced(self):
        """The inspector was thrown out; there is a new one."""
        self.inspector.wait_closed()
        self.inspector = self.w.inspector()

    def settle(self):
        """Answer as one should; the frontend must get that and nothing more."""
        self.inspector.send(answer(self.question()))
        reply = self.frontend.reply(self.number)
        assert (reply.flags, reply.body) == (0, text("name")), vars(reply)


def test_what_breaks_the_rules_costs_the_inspector_and_not_the_question():
    with Worker() as w, Descriptors() as d:
        s = Stage(w)
        fd = d.memfd(b"abc")
        before = fd_count(w.pid)
        cases = [
            lambda q: (answer(q, op=GET_TIME["number"]), ()),
            lambda q: (answer(q, op=0), ()),
            lambda q: (answer(q, op=65535), ()),
            lambda q: (answer(q, request=0), ()),
            lambda q: (answer(q, request=q.request + 1), ()),
            lambda q: (answer(q, request=0xffffffff), ()),
            lambda q: (answer(q, fds=1), (fd,)),
            lambda q: (answer(q, fds=2), (fd, fd)),
            lambda q: (answer(q), (fd,)),
            lambda q: (answer(q, fds=1), ()),
            lambda q: (answer(q, flags=MORE | ERROR), ()),
            lambda q: (answer(q, b"", flags=MORE), ()),
            *(lambda q, bit=bit: (answer(q, flags=1 << bit), ()) for bit in range(2, 16)),
            lambda q: (answer(q, flags=BODY_FD, fds=1), (fd,)),
            lambda q: (answer(q, length=3), ()),
            lambda q: (answer(q, length=0xffffffff), ()),
            lambda q: (answer(q)[:7], ()),
            lambda q: (frame(HELLO, body=s.inspector.hello.body), ()),
            lambda q: (frame(POLICY), ()),
            lambda q: (frame(POLICY, fds=1), (fd,)),
            lambda q: (frame(ABANDON, request=1), ()),
            lambda q: (note(), ()),
            *(lambda q, f=f: (request(SLEEP, q.request, request_head() + bytes(8), f), ())
              for f in (0, REFUSED, BAD_ARGS)),
            lambda q: (frame(LOG, fds=1), (fd,)),
            lambda q: (bytes(20), ()),
            lambda q: (b"x" * 70000, ()),
        ]
        for case in cases:
            question = s.ask()
            packet, fds = case(question)
            s.inspector.send(packet, fds)
            s.replaced()
            s.settle()
        records = w.wait_records("child-violation", len(cases))
        assert {r["POSTERN_PROCESS"] for r in records} == {"inspector"}
        assert not w.busy()
        assert fd_count(w.pid) == before
    assert w.ended() == len(cases)
    assert [r["POSTERN_RESULT"] for r in w.records("complete")] == ["ok"]
    assert ["POSTERN_DETAIL" in r for r in w.counted()] == [False], w.counted()


def test_no_word_before_a_fitting_hello():
    with Worker() as w:
        s = Stage(w)
        good = s.inspector.hello.body
        question = s.ask()
        first = [answer(question), frame(LOG), frame(HELLO), bytes(20),
                 frame(HELLO, body=bytes([good[0] ^ 1]) + good[1:]),
                 frame(HELLO, body=good[:-4] + bytes(4)), frame(HELLO, body=good + b"\0")]
        for packet in first:
            peer = w.inspector(greet=False)
            peer.send(packet)
            peer.wait_closed()
        w.wait_records("child-violation", len(first))
        # Asked twice by then, so given up; the next question is answered.
        assert s.frontend.reply(1).flags == ERROR
        s.inspector = w.inspector()
        s.inspector.send(answer(s.ask()))
        assert s.frontend.reply(2).body == text("name")


def test_any_body_is_passed_on_unread():
    bodies = [b"", b"\0", b"\xff" * 100, text(b"a\0b"), text("a") + b"x", bytes(65536)]
    with Worker() as w:
        s = Stage(w)
        for body in bodies:
            for flags in (0, ERROR):
                s.inspector.send(answer(s.ask(), body, flags=flags))
                reply = s.frontend.reply(s.number)
                assert reply.op == HOST_NAME["number"], reply.op
                assert (reply.flags, reply.body) == (flags, body), vars(reply)
    assert w.ended() == 2 * len(bodies)
    assert [r["POSTERN_RESULT"] for r in w.records("complete")] == ["ok"]
    assert [r["POSTERN_DETAIL"] for r in w.counted()] == ["6 of 11 failed"], w.counted()


def test_a_result_without_end_is_cut_off():
    piece = b"a" * TABLE["FRAME_BODY_MAX"]
    pieces = TABLE["REPLY_BODY_MAX"] // len(piece)
    with Worker() as w:
        s = Stage(w)
        question = s.ask()
        for _ in range(pieces):
            s.inspector.send(answer(question, piece, flags=MORE))
            assert s.frontend.recv().flags == MORE
        s.inspector.send(answer(question, b"a", flags=MORE))
        reply = s.frontend.recv()
        assert reply.flags == ERROR and b"too large" in reply.body, vars(reply)
        w.wait_records("complete", 1)
        # The question is closed, and so is the door to who goes on.
        s.inspector.send(answer(question, piece, flags=MORE))
        s.replaced()
        s.frontend.nothing()
        s.inspector.send(answer(s.ask()))
        assert s.frontend.reply(2).body == text("name")


def test_an_answer_twice_is_one_reply():
    with Worker() as w:
        s = Stage(w)
        for flags in (0, ERROR, MORE):
            question = s.ask()
            s.inspector.send(answer(question))
            s.inspector.send(answer(question, text("again"), flags=flags))
            assert s.frontend.reply(s.number).body == text("name")
            s.replaced()
            s.frontend.nothing()
        old = question
        s.ask(GET_TIME)
        s.inspector.send(answer(old, text("old")))
        s.replaced()
        s.inspector.send(answer(s.question(GET_TIME), struct.pack("<q", 5)))
        assert s.frontend.reply(s.number).body == struct.pack("<q", 5)
        w.wait_records("child-violation", 4)
    assert w.ended() == 4
    assert [r["POSTERN_RESULT"] for r in w.records("complete")] == ["ok"] * 2


def test_answers_in_another_order_reach_who_asked():
    with Worker() as w:
        s = Stage(w)
        asked = [s.ask(), s.ask(GET_TIME), s.ask()]
        for number, question in reversed(list(enumerate(asked, 1))):
            s.inspector.send(answer(question, struct.pack("<q", number)))
            assert s.frontend.reply(number).body == struct.pack("<q", number)


def test_a_late_answer_reaches_nobody():
    with Worker() as w:
        s = Stage(w)
        question = s.ask()
        s.frontend.send(frame(ABANDON, request=1))
        s.frontend.send(request(SLEEP, 2, request_head() + bytes(8)))
        assert s.frontend.reply(2).flags == 0
        s.inspector.send(answer(question))
        ends = w.wait_records("complete", 2)
        s.frontend.nothing()
        assert ends[1]["POSTERN_ABANDONED"] is True
        s.number = 2
        # Nor does one for a frontend that is no more reach its successor.
        question = s.ask(GET_TIME)
        s.frontend = w.frontend()
        s.frontend.send(request(SLEEP, 1, request_head() + bytes(8)))
        assert s.frontend.reply(1).flags == 0
        s.inspector.send(answer(question))
        w.wait_records("complete", 4)
        s.frontend.nothing()


def test_who_dies_of_a_question_is_asked_once_more():
    with Worker() as w:
        s = Stage(w)
        s.ask()
        s.inspector.close()
        s.inspector = w.inspector()
        s.question()
        s.inspector.close()
        s.inspector = w.inspector()
        reply = s.frontend.reply(1)
        assert reply.flags == ERROR and b"without an answer" in reply.body, vars(reply)
        s.inspector.nothing()


def test_half_an_answer_is_not_asked_again():
    with Worker() as w:
        s = Stage(w)
        s.inspector.send(answer(s.ask(), text("half"), flags=MORE))
        assert s.frontend.recv().flags == MORE
        s.inspector.close()
        s.inspector = w.inspector()
        assert s.frontend.reply(1).flags == ERROR
        s.inspector.nothing()


def test_who_does_not_answer_keeps_nobody_else_waiting():
    with Worker() as w:
        s = Stage(w)
        for _ in range(TABLE["REQUESTS_MAX"] - 1):
            s.ask()
        s.number += 1
        s.frontend.send(request(SLEEP, s.number, request_head() + bytes(8)))
        assert s.frontend.reply(s.number).flags == 0


tap.run(tap.tests(globals()))
