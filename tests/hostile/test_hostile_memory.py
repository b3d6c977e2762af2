#!/usr/bin/python3
# run: limit 60
"""Answers that are large, to clients that do not read them, and a frontend or an inspector in
hostile hands: the memory of all processes together stays in its bounds. What memory is, gauge.py
says; test_limits.py has what comes in."""
import functools
import os
import select
import struct
import tempfile

import fuse
import gauge
import programs
import scratch
import tap
from agent import PATIENCE, VARIANT, wait_until
from gauge import BULK, MIB, measured
from hostile import (BODY_FD, LOG, MORE, OPS, REPLY, TABLE, Descriptors, frame, note,
                     request, request_head, text)
from stage import Stage

# The largest message, and what is beside a bulk member of it.
BULK_MAX = 64 * MIB + BULK
FILES = """
[policy]
base = none
[rule "files"]
effect = allow
command = @file-read ; @file-write
path-beneath = {top}
open-mode = read
"""


def ask(client, command, **arguments):
    reply = client.call(command, PATIENCE, **arguments)
    assert "return" in reply, reply
    return reply["return"]


def stuff(client, data):
    """Send until nothing more is taken for half a second, and read nothing."""
    while data and select.select([], [client.sock], [], 0.5)[1]:
        data = data[client.sock.send(data[:MIB]):]


def still_served(agent):
    with agent.client() as c:
        c.sync(PATIENCE)


# ---- answers ----------------------------------------------------------------------------

def read(handle):
    return b'{"execute":"guest-file-read","arguments":{"handle":%d,"count":%d}}' % (handle,
                                                                                  48 * MIB)


def large_file(top, size):
    """A file that was read already: what the kernel keeps of it is nobody's of the agent."""
    path = os.path.join(top, "file")
    with open(path, "wb+") as f:
        f.truncate(size)
        while f.read(MIB):
            pass
    return path


def test_files_read_and_not_taken():
    """The largest read there is, as often as its client likes."""
    with tempfile.TemporaryDirectory(prefix="postern-test-") as top:
        path = large_file(top, 64 * MIB)
        with measured(FILES.format(top=top), profile=None) as (a, g):
            with a.client() as c:
                handle = ask(c, "guest-file-open", path=path)
                stuff(c, read(handle) * 1000)
            still_served(a)
            gauge.check(g.peak(), BULK_MAX)


def test_as_many_files_as_may_be_open():
    with tempfile.TemporaryDirectory(prefix="postern-test-") as top:
        path = large_file(top, MIB)
        with measured(FILES.format(top=top), profile=None) as (a, g):
            g.needs_group()
            with a.client() as c:
                opened = 0
                while "return" in c.call("guest-file-open", path=path):
                    opened += 1
                assert opened == 64, opened
            gauge.check(g.peak())


def test_output_of_programs():
    """As much as is kept, and fetched at once."""
    for count in (2, 32):  # all that may be of each, or of many
        with programs.Folder() as d:
            script = d.script("much", "head -c 20000000 /dev/zero\nhead -c 20000000 /dev/zero >&2")
            output(script, count)


def output(script, count):
    with measured(programs.policy(programs.rule()), profile=None) as (a, g):
        with a.client() as c:
            pids = [programs.start(c, script, capture_output=True) for _ in range(count)]
            for pid in pids:
                programs.wait_gone(pid)
            stuff(c, b"".join(b'{"execute":"guest-exec-status","arguments":{"pid":%d}}' % p
                              for p in pids))
        still_served(a)
        gauge.check(g.peak(), BULK_MAX)


def test_interfaces():
    with scratch.namespaces():
        scratch.ip(*(f"link add v{n} type veth peer name v{n + 1}" for n in range(0, 200, 2)),
                   *(f"address add 10.{n % 200}.{n // 200}.1/24 dev v{n % 200}"
                     for n in range(4000)))
        with measured(profile="legacy") as (a, g):
            with a.client() as c:
                assert len(ask(c, "guest-network-get-interfaces")) == 201
                stuff(c, b'{"execute":"guest-network-get-interfaces"}' * 5000)
            still_served(a)
            gauge.check(g.peak())


# ---- hostile hands ----------------------------------------------------------------------

def test_a_frontend_that_asks_and_does_not_read():
    with measured(make=functools.partial(Stage, "frontend")) as (a, g):
        g.needs_group()
        for given_up in range(1, 4):
            puppet = a.puppet()
            peer = puppet.greet()
            for n in range(1, 20):
                peer.send(request(OPS["test-blob"], n, request_head() + struct.pack("<q", MIB)))
            wait_until(lambda n=given_up: len(a.violations()) == n, "it to be given up")
            peer.wait_closed()
        a.puppet().become(a.real)
        still_served(a)
        gauge.check(g.peak())


def test_a_frontend_that_sends_whatever_is_large():
    """Bodies and content of the largest size, and as many words as it has."""
    big = request_head() + text(b"a" * 1000000) + b"\0"
    with measured(make=functools.partial(Stage, "frontend")) as (a, g), Descriptors() as d:
        body = d.memfd(big)
        puppet = a.puppet()
        peer = puppet.greet()
        for n in range(1, 2000):
            peer.send(request(OPS["guest-file-open"], n, b"", BODY_FD, 1), [body])
            peer.send(frame(LOG, body=b"\6" + bytes(60000)))
            peer.send(note(1, n, words=b"x" * 60000))
            if n % 8 == 0:
                for _ in range(8):
                    peer.recv()
        puppet.end(67)
        a.puppet().become(a.real)
        still_served(a)
        gauge.check(g.peak())


def test_large_requests_that_wait_to_be_decided_on():
    """Each is kept while somebody looks at its path, which hangs."""
    body = (request_head() + text("/run/fuse/f") + b"\1" + struct.pack("<I", 3)
            + text(b"a" * 1000000) * 3 + bytes(3))
    with (scratch.namespaces(), fuse.Server("/run/fuse") as server,
          measured(programs.policy(programs.rule()), profile=None,
                   make=functools.partial(Stage, "frontend")) as (a, g), Descriptors() as d):
        server.hold("LOOKUP")
        puppet, kept = a.puppet(), d.memfd(body)
        peer = puppet.greet()
        for n in range(1, 11):
            peer.send(request(OPS["guest-exec"], n, b"", BODY_FD, 1), [kept])
        replies = [peer.recv() for _ in range(8)]
        assert all(b"in progress" in r.body for r in replies), [r.body for r in replies]
        peer.nothing()  # two are kept
        server.answer()
        for _ in range(2):
            assert b"in progress" not in peer.recv().body
        puppet.end(67)
        a.puppet().become(a.real)
        still_served(a)
        gauge.check(g.peak())


def test_an_inspector_whose_answer_is_large():
    """As large as may be, of characters that take six on their way to the host."""
    piece = b"\1" * TABLE["FRAME_BODY_MAX"]
    size = TABLE["REPLY_BODY_MAX"]
    name = OPS["guest-get-host-name"]["number"]
    with measured(make=functools.partial(Stage, "inspector")) as (a, g):
        puppet = a.puppet()
        puppet.worker.greet()
        with a.client() as c:
            stuff(c, b'{"execute":"guest-get-host-name"}' * 100)
            for _ in range(3):
                question = puppet.worker.recv()
                answer = text(b"\1" * (size - 4))
                while answer:
                    part, answer = answer[:len(piece)], answer[len(piece):]
                    puppet.worker.send(frame(REPLY, name, question.request,
                                             flags=MORE if answer else 0, body=part))
                if not select.select([puppet.worker.sock], [], [], 1)[0]:
                    break
        gauge.check(g.peak())
        puppet.become(a.real)
        still_served(a)


def test_figures():
    """The bounds on memory above were looked at."""
    if VARIANT == "asan":
        tap.skip("no figure of memory was looked at: the sanitizer keeps what is freed")


tap.run(tap.tests(globals()))
